use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ecg_core::CoreError;

use crate::Warning;

/// The field of a WFDB header that caused an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The header.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: u64,
    /// Name of the field.
    pub field: &'static str,
}

impl Place {
    pub(crate) fn new(path: &Path, line: u64, field: &'static str) -> Self {
        Self { path: path.to_owned(), line, field }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.field)
    }
}

/// The reason why a recording, a label table or a data set could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IoError {
    /// A file or folder cannot be read.
    #[error("{}cannot read {}", before(at.as_ref()), path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The header field that names it, for a signal file.
        at: Option<Place>,
        /// The error reported by the system.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error reported by the system.
        source: io::Error,
    },
    /// A folder, a pipe or a device in place of a file.
    #[error("{}{} is not a file", before(at.as_ref()), path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// The header field that names it, for a signal file.
        at: Option<Place>,
    },
    /// There is neither a WFDB header nor a CSV file at the path.
    #[error("no recording at {}: expected a WFDB header ({}) or a table (.csv or .tsv, with or without .gz)", path.display(), header.display())]
    NoSuchRecord {
        /// The requested path.
        path: PathBuf,
        /// The header that was looked for.
        header: PathBuf,
    },
    /// A text file larger than any real one.
    #[error("{} is too large: found {bytes} bytes, expected at most {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Size of the file.
        bytes: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// A file that should be text but contains something else.
    #[error("{}:{line}: found {found}, expected plain text with LF or CRLF line endings", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What was found.
        found: String,
    },
    /// A header without a record line.
    #[error("{} is empty: expected a record line", path.display())]
    EmptyHeader {
        /// The header.
        path: PathBuf,
    },
    /// A field of a WFDB header, or a time or a comment of a table, that cannot be read.
    #[error("{}:{line}: {field}: found {found:?}, expected {expected}", path.display())]
    Field {
        /// The header or table.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Name of the field, such as `gain`; for a table, `time`, `sampling rate` or `units`.
        field: &'static str,
        /// The text found there.
        found: String,
        /// What the format requires.
        expected: &'static str,
    },
    /// The number of signal or segment lines differs from the one in the record line.
    #[error("{}:{line}: the record line declares {expected} {what} lines, found {found}", path.display())]
    LineCount {
        /// The header.
        path: PathBuf,
        /// Line of the record line, from 1.
        line: u64,
        /// `signal` or `segment`.
        what: &'static str,
        /// Number of lines announced.
        expected: u64,
        /// Number of lines found.
        found: u64,
    },
    /// More signals, segments or comments than any real header or table has.
    #[error("{}:{line}: too many {what} lines: found at least {}, expected at most {limit}", path.display(), limit + 1)]
    TooManyLines {
        /// The file.
        path: PathBuf,
        /// The first line beyond the limit, from 1.
        line: u64,
        /// `signal`, `segment` or `comment`.
        what: &'static str,
        /// The largest number that is read.
        limit: usize,
    },
    /// Segment lengths that do not add up to the length of the record.
    #[error("{}:{line}: number of samples: the record line declares {expected}, but the segments add up to {found}", path.display())]
    SegmentLengths {
        /// The header.
        path: PathBuf,
        /// Line of the record line, from 1.
        line: u64,
        /// Number of samples announced.
        expected: u64,
        /// Sum of the segment lengths.
        found: u64,
    },
    /// A departure from the format, in strict mode.
    #[error("{0} (an error in strict mode)")]
    Strict(Warning),
    /// A signal file or segment that lies outside the record's folder, by its name or by a link, or whose name is not a
    /// file name.
    #[error("{}:{line}: unsafe file name {name:?}, expected a file inside the header's folder, without .. and not absolute", path.display())]
    UnsafeName {
        /// The header.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// The name.
        name: String,
    },
    /// Signals of the same file that disagree about its format, byte offset or block size.
    #[error("{}:{line}: {field} of {file:?} is {found}, but {expected} for the previous signal", path.display())]
    GroupDiffers {
        /// The header.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// `format`, `byte offset` or `block size`.
        field: &'static str,
        /// The signal file.
        file: String,
        /// Value of the previous signal.
        expected: u64,
        /// Value of this signal.
        found: u64,
    },
    /// The signals of a file are not on consecutive lines.
    #[error("{}:{line}: {file:?} appears again after another file, expected the signals of a file on consecutive lines", path.display())]
    FileOrder {
        /// The header.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// The signal file.
        file: String,
    },
    /// A signal file that is shorter than its header says.
    #[error("{at}: {} has {found} bytes, expected {expected}", path.display())]
    Truncated {
        /// The signal file.
        path: PathBuf,
        /// The header field that requires more bytes.
        at: Place,
        /// Number of bytes required.
        expected: u64,
        /// Number of bytes present.
        found: u64,
    },
    /// A record without samples.
    #[error("{}{} has no samples: found {found}, expected {expected}", before(at.as_ref()), path.display())]
    NoSamples {
        /// The header, signal file or table.
        path: PathBuf,
        /// The field of the WFDB header that says so.
        at: Option<Place>,
        /// What is there instead.
        found: String,
        /// What is required.
        expected: &'static str,
    },
    /// More samples without bytes of their own in a file than is plausible: samples of null signals, of gaps, and of
    /// segments whose files already belong to other segments.
    #[error("{}:{line}: {field}: {samples} samples in total that are not stored in a file, expected at most {limit}; {}raise the limit (max_null_samples, --max-null-samples)", path.display(), in_blocks_or(*in_blocks))]
    TooManyNullSamples {
        /// The header.
        path: PathBuf,
        /// Line, from 1, of the signal or segment with the most of them.
        line: u64,
        /// `samples per frame` or `number of samples` for null signals, `segment length` for segments.
        field: &'static str,
        /// Number of samples requested.
        samples: u64,
        /// The largest number allowed; see [`ReadOptions::max_null_samples`](crate::ReadOptions::max_null_samples).
        limit: u64,
        /// Whether [`Record::blocks`](crate::Record::blocks) reads the record all the same; not if a single frame has
        /// too many.
        in_blocks: bool,
    },
    /// A skew that leaves no samples of its signal.
    #[error("{}:{line}: the skew is {skew} samples, but the signal has only {samples}", path.display())]
    SkewPastEnd {
        /// The header.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// The skew, in samples.
        skew: u64,
        /// Number of samples of the signal.
        samples: u64,
    },
    /// A signal whose checksum differs from the one in the header.
    #[error("{}:{line}: the checksum of signal {signal} ({lead}) is {found}, but the header says {expected}", path.display())]
    Checksum {
        /// The header.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Number of the signal, from 0.
        signal: usize,
        /// Name of the signal.
        lead: String,
        /// Checksum in the header, mod 2^16.
        expected: u16,
        /// Checksum of the samples.
        found: u16,
    },
    /// A FLAC signal file with fewer samples than its header says.
    #[error("{at}: {} has {found} samples per channel, expected {expected}", path.display())]
    TruncatedFlac {
        /// The signal file.
        path: PathBuf,
        /// The header field that requires more samples.
        at: Place,
        /// Number of samples required.
        expected: u64,
        /// Number of samples present.
        found: u64,
    },
    /// A FLAC signal file with more samples than is plausible for its size.
    #[error("{at}: {} has {bytes} bytes but decodes to more samples than the limit of {limit}", path.display())]
    FlacExpands {
        /// The signal file.
        path: PathBuf,
        /// The header field that names it.
        at: Place,
        /// Size of the file in bytes.
        bytes: u64,
        /// The most samples that are decompressed, counting all channels; see
        /// [`crate::ReadOptions::max_packed_samples`].
        limit: u64,
    },
    /// A FLAC signal file that cannot be decoded.
    #[error("{} cannot be decoded beyond sample {sample}", path.display())]
    Flac {
        /// The signal file.
        path: PathBuf,
        /// The first sample, from 0, of the broken block.
        sample: u64,
        /// The error reported by the decoder.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A FLAC signal file whose properties differ from those in its header.
    #[error("{}:{line}: {} has {found} {field}, expected {expected}", path.display(), file.display())]
    FlacDiffers {
        /// The header.
        path: PathBuf,
        /// Line of the file's first signal, from 1.
        line: u64,
        /// The signal file.
        file: PathBuf,
        /// `channels`, `bits` (the expected value is a maximum), or `samples per frame`, which must be equal within a
        /// file.
        field: &'static str,
        /// Expected value.
        expected: u64,
        /// Value found.
        found: u64,
    },
    /// A segment that itself has segments, or that is the record itself.
    #[error("{}:{line}: segment {name:?} is itself a multi-segment record, expected a single-segment record", path.display())]
    NestedSegment {
        /// The header of the record.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Name of the segment.
        name: String,
    },
    /// A segment that cannot be read.
    #[error("{}:{line}: segment {name:?} cannot be read", path.display())]
    Segment {
        /// The header of the record.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Name of the segment.
        name: String,
        /// The error of the segment.
        source: Box<IoError>,
    },
    /// Segment headers that are larger in total than those of real records.
    #[error("{}:{line}: the segment headers up to this line have {bytes} bytes in total, expected at most {limit}", path.display())]
    SegmentHeaders {
        /// The header of the record.
        path: PathBuf,
        /// Line of the segment, from 1.
        line: u64,
        /// Total size of the headers, each counted once.
        bytes: u64,
        /// The largest total size that is read.
        limit: u64,
    },
    /// A segment that does not fit its record.
    #[error("{}:{line}: {field} of segment {name:?} is {found}, but the record has {expected}", path.display())]
    SegmentDiffers {
        /// The header of the record.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Name of the segment.
        name: String,
        /// `number of signals`, `number of samples`, `samples per frame` or `sampling frequency`.
        field: &'static str,
        /// Value of the record.
        expected: f64,
        /// Value of the segment.
        found: f64,
    },
    /// More samples than fit in memory.
    #[error("{}: not enough memory for {samples} samples; read the record in blocks", path.display())]
    OutOfMemory {
        /// The header.
        path: PathBuf,
        /// Number of samples requested.
        samples: u64,
    },
    /// Frames beyond the end of a record.
    #[error("{}: frames {}..{} requested, but the record has {n_frames} frames", path.display(), frames.start, frames.end)]
    NoSuchFrames {
        /// The header.
        path: PathBuf,
        /// The requested frames.
        frames: std::ops::Range<u64>,
        /// Length of the record in frames.
        n_frames: u64,
    },
    /// A signal that the record does not have.
    #[error("{}: no signal {found:?}; the record has {n_signals} signals", path.display())]
    NoSuchSignal {
        /// The header.
        path: PathBuf,
        /// The requested name or number.
        found: String,
        /// Number of signals of the record.
        n_signals: usize,
    },
    /// Signals with different sampling rates, requested as one matrix.
    #[error("{}:{line}: {found} samples per frame, but {expected} for the previous signals; average over frames or read each signal separately", path.display())]
    DifferentRates {
        /// The header.
        path: PathBuf,
        /// Line of the signal, from 1.
        line: u64,
        /// Samples per frame of the first signal.
        expected: usize,
        /// Samples per frame of this signal.
        found: usize,
    },
    /// Stored values requested where none exist: for several segments together, or for averages.
    #[error("{}: no stored values for several segments or for averages, expected a physical type", path.display())]
    PhysicalOnly {
        /// The header.
        path: PathBuf,
    },
    /// A format whose samples do not fit 16 bits.
    #[error("{}:{line}: format {format} has more than 16 bits; expected a wider type", path.display())]
    WideFormat {
        /// The header.
        path: PathBuf,
        /// Line of the signal, from 1.
        line: u64,
        /// Code of the format.
        format: u32,
    },
    /// A sample of format 8 that does not fit 16 bits.
    #[error("{}: signal {signal} ({lead}): {found} in frame {frame} does not fit in 16 bits; expected a wider type", path.display())]
    WideSample {
        /// The signal file.
        path: PathBuf,
        /// Number of the signal, from 0.
        signal: usize,
        /// Name of the signal.
        lead: String,
        /// The frame, from 0.
        frame: u64,
        /// The value.
        found: i32,
    },
    /// A departure from the format of annotation files, in strict mode.
    #[error("{} at byte {byte}: {field}: found {found}, expected {expected} (an error in strict mode)", path.display())]
    Annotation {
        /// The annotation file.
        path: PathBuf,
        /// Byte position of the word concerned, from 0.
        byte: u64,
        /// The kind of field, such as `AUX`.
        field: &'static str,
        /// What was found.
        found: String,
        /// What the format requires.
        expected: &'static str,
    },
    /// An annotation that the format cannot represent.
    #[error("{what} of annotation {index}: found {found}, expected {expected}")]
    WriteAnnotation {
        /// `sample`, `code`, `text` or `definition`.
        what: &'static str,
        /// Number of the annotation or the definition, from 0.
        index: usize,
        /// What was found.
        found: String,
        /// What the format can represent.
        expected: &'static str,
    },
    /// A cell of a CSV file or label table that cannot be read.
    #[error("{}:{line}: column {column} ({name}): found {found:?}, expected {expected}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: usize,
        /// Name of the column.
        name: String,
        /// The text found there.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A row with more or fewer cells than the others.
    #[error("{}:{line}: {found} columns, expected {expected}", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Number of columns expected.
        expected: usize,
        /// Number of columns found.
        found: usize,
    },
    /// A row with more cells than a recording can have.
    #[error("{}:{line}: more than {limit} columns", path.display())]
    TooManyColumns {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// The largest number of columns that is read.
        limit: usize,
    },
    /// The number of leads in a table differs from the number of names given for them.
    #[error("{} has {found} leads, but {expected} lead names were given", path.display())]
    LeadNames {
        /// The file.
        path: PathBuf,
        /// Number of names given.
        expected: usize,
        /// Number of leads found.
        found: usize,
    },
    /// A requested column that does not exist.
    #[error("{}:{line}: requested column {column:?} does not exist; found {found}", path.display())]
    NoSuchColumn {
        /// The file.
        path: PathBuf,
        /// Line of the first row, from 1.
        line: u64,
        /// The requested name or number.
        column: String,
        /// The existing columns (or rows of leads), joined by commas.
        found: String,
    },
    /// Units given for a table that are not units of voltage.
    #[error("{}: units given as {found:?}, expected mV, uV or V", path.display())]
    CsvUnits {
        /// The file.
        path: PathBuf,
        /// The units given.
        found: String,
    },
    /// A CSV file that states no sampling rate.
    #[error("{} has no sampling rate: expected a time column, a line \"# fs: 500\", or a rate given by the caller", path.display())]
    NoSamplingRate {
        /// The file.
        path: PathBuf,
    },
    /// Times that are not evenly spaced.
    #[error("{}:{line}: time {found} s, expected {expected} s (samples must be evenly spaced)", path.display())]
    UnevenTime {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// The time found there.
        found: f64,
        /// The expected time.
        expected: f64,
    },
    /// A table without a required column.
    #[error("{}:{line}: no column {column:?}; found {found}", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// The existing columns, joined by commas.
        found: String,
    },
    /// A record of which a table has no row, or no row that is surely its own.
    #[error("{}: record {record:?}: found {}", path.display(), row_found(*ambiguous))]
    NoSuchRow {
        /// The table.
        path: PathBuf,
        /// The record.
        record: String,
        /// Whether there are rows that may be meant; see [`RowMatch::Ambiguous`](crate::RowMatch::Ambiguous).
        ambiguous: bool,
    },
    /// A label that a table does not have.
    #[error("{}: no column for label {label:?}; the labels are {found}", path.display())]
    NoSuchLabel {
        /// The table.
        path: PathBuf,
        /// The label.
        label: String,
        /// The labels of the table, joined by commas.
        found: String,
    },
    /// A link out of the folder of a data set or of a record.
    #[error("{} is a link out of its folder, expected a file inside it, unless such links are allowed", path.display())]
    OutsideLink {
        /// The link.
        path: PathBuf,
    },
    /// Two rows for the same record.
    #[error("{}:{line}: record {record:?} already has a row on line {first}", path.display())]
    DuplicateRow {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// The record.
        record: String,
        /// Line of the first row.
        first: u64,
    },
    /// A folder without recordings.
    #[error(
        "no recordings in {}: expected WFDB headers (.hea) or CSV recordings (.csv) there or below{}",
        path.display(),
        behind(warnings)
    )]
    EmptyDataset {
        /// The folder.
        path: PathBuf,
        /// What was skipped there, and why.
        warnings: Vec<Warning>,
    },
    /// A file, or the name of a recording, in place of a folder of recordings.
    #[error("{}: found {}", path.display(), in_place_of_folder(recording.as_deref()))]
    NotAFolder {
        /// The path.
        path: PathBuf,
        /// The WFDB header or table of the recording there, if there is one.
        recording: Option<PathBuf>,
    },
    /// A name that cannot be used for a WFDB record.
    #[error(
        "invalid WFDB record name {name:?}: expected letters, digits, _ and -, with / between folders"
    )]
    RecordName {
        /// The name.
        name: String,
    },
    /// A format that can only be read.
    #[error("cannot write signals in format {format}; expected 16, 24, 32, 61, 80, 160 or 212")]
    WriteFormat {
        /// Code of the format.
        format: u32,
    },
    /// A gain that is not a positive number, or is too small.
    #[error("the gain is {found:e} units per mV, expected a positive number of at least 2.4e-299")]
    WriteGain {
        /// The gain.
        found: f64,
    },
    /// A sample that the format cannot represent.
    #[error(
        "sample {sample} of lead {lead} of {record} is {value} mV: format {format} at {gain} units per mV holds {low} to {high} mV"
    )]
    WriteRange {
        /// The recording.
        record: String,
        /// The lead.
        lead: String,
        /// The sample, from 0.
        sample: usize,
        /// Its value in mV.
        value: f64,
        /// Code of the format.
        format: u32,
        /// ADC units per mV.
        gain: f64,
        /// Lowest value in mV.
        low: f64,
        /// Highest value in mV.
        high: f64,
    },
    /// Values that do not make a valid recording or label set.
    #[error("{}{}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Recording {
        /// The file.
        path: PathBuf,
        /// Line, from 1, if the error concerns a single line.
        line: Option<u64>,
        /// The error of the values.
        source: CoreError,
    },
    /// The number of patients differs from the number of records.
    #[error("{patients} patients given for {records} records, expected one per record")]
    PatientCount {
        /// Number of records.
        records: usize,
        /// Number of patients given.
        patients: usize,
    },
    /// Folds that cannot be formed from so few patients.
    #[error(
        "cannot make {folds} folds from {patients} patients: expected at least 2 folds and at least one patient per fold"
    )]
    TooFewPatients {
        /// Number of patients.
        patients: usize,
        /// Number of folds requested.
        folds: u32,
    },
    /// A fold that does not exist, or that holds every record.
    #[error("fold {found} has no records or all of them; the folds are {known:?}")]
    NoSuchFold {
        /// The requested fold.
        found: u32,
        /// The existing folds.
        known: Vec<u32>,
    },
    /// A column of a table that was requested twice.
    #[error("{}:{line}: column {column:?} is requested twice, expected each column once", path.display())]
    ColumnTwice {
        /// The table.
        path: PathBuf,
        /// The line, from 1, that names or contains the columns.
        line: u64,
        /// The column as it was requested the second time.
        column: String,
    },
    /// An unknown name of a label map or rule, or a delimiter that cannot separate cells.
    #[error("unknown {what} {found:?}; expected {expected}")]
    UnknownName {
        /// `label map`, `NSR rule` or `delimiter`.
        what: &'static str,
        /// The name given.
        found: String,
        /// The valid values.
        expected: &'static str,
    },
}

impl IoError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Read { path: path.to_owned(), at: None, source }
    }

    /// Adds to the error of a signal file the place where the header names it.
    pub(crate) fn named(mut self, place: impl FnOnce() -> Place) -> Self {
        if let Self::Read { at, .. } | Self::NotAFile { at, .. } = &mut self {
            *at = Some(place());
        }
        self
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Write { path: path.to_owned(), source }
    }

    /// Returns the message followed by those of its causes, for places that keep only text.
    pub fn with_causes(&self) -> String {
        ecg_core::with_causes(self)
    }
}

/// The first warnings, to append to a message.
fn behind(warnings: &[Warning]) -> String {
    const SHOWN: usize = 3;
    let mut text: String =
        warnings.iter().take(SHOWN).map(|warning| format!("; {warning}")).collect();
    if warnings.len() > SHOWN {
        text.push_str(&format!("; and {} more", warnings.len() - SHOWN));
    }
    text
}

/// The advice that helps unless a single frame has too many samples.
fn in_blocks_or(in_blocks: bool) -> &'static str {
    if in_blocks { "read the record in blocks or " } else { "" }
}

/// What is found instead of a row that surely belongs to a record.
fn row_found(ambiguous: bool) -> &'static str {
    if ambiguous {
        "rows or records that cannot be told apart, expected one row with its full name"
    } else {
        "no row, expected one"
    }
}

/// What is found in place of a folder of recordings.
fn in_place_of_folder(recording: Option<&Path>) -> String {
    match recording {
        None => "a file, expected a folder of recordings".to_owned(),
        Some(file) => format!(
            "a recording ({}), expected a folder of recordings, such as the one that it is in",
            file.display()
        ),
    }
}

fn before(at: Option<&Place>) -> String {
    at.map_or_else(String::new, |place| format!("{place}: "))
}

/// Shortens a text to at most 60 characters, for messages.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
