//! WFDB record headers.

mod comments;
mod fields;
mod parse;
#[cfg(test)]
mod tests;
mod units;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use ecg_core::SamplingRate;

pub(crate) use comments::{Clinical, is_unknown};
pub(crate) use fields::is_readable_gain;
pub(crate) use parse::MAX_COMMENTS;
pub(crate) use units::{Unit, unit_of};

use crate::signal::beside;
use crate::text::{check_text, open, read_file};
use crate::warning::Notes;
use crate::{Format, IoError, ReadOptions, Warning};

/// Largest header that is read, and the largest total size of the headers of a record's segments. Real headers with
/// thousands of segments stay below a megabyte.
pub(crate) const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Number of bytes of a header that are inspected to see whether it belongs to a plain record.
const LOOK_BYTES: u64 = 512;

/// The contents of a WFDB header (`.hea`).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// The file it was read from.
    pub path: PathBuf,
    /// Line of the record line, from 1.
    pub line: u64,
    /// Record name as written there.
    pub name: String,
    /// Frames per second; equals the sampling rate of signals with one sample per frame.
    pub frame_rate: SamplingRate,
    /// Counter ticks per second.
    pub counter_frequency: f64,
    /// Counter value at the first sample.
    pub base_counter: f64,
    /// Length in frames; `None` if the header does not state it.
    pub n_frames: Option<u64>,
    /// Time of day of the first sample.
    pub base_time: Option<TimeOfDay>,
    /// Date of the first sample.
    pub base_date: Option<Date>,
    /// The signals in order; empty in a multi-segment record.
    pub signals: Vec<SignalSpec>,
    /// The segments of a multi-segment record in order; empty otherwise.
    pub segments: Vec<SegmentSpec>,
    /// Number of signals announced in the record line.
    pub n_signals: usize,
    /// Comment lines, without the comment character and surrounding whitespace.
    pub comments: Vec<Comment>,
    /// Lowest version of the WFDB library that can read the record, if stated.
    pub library_version: Option<String>,
}

/// One signal of a [`Header`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SignalSpec {
    /// Line of the header, from 1.
    pub line: u64,
    /// Name of the signal file; `~` for a signal without one.
    pub file: String,
    /// Storage format of the samples.
    pub format: Format,
    /// Samples per frame. Default: 1.
    pub samples_per_frame: u32,
    /// Number of samples by which the signal is delayed in its file. Default: 0.
    pub skew: u32,
    /// Bytes before the first sample (in FLAC files, a sample number). Default: 0.
    pub offset: u64,
    /// ADC units per physical unit. Default: 200.
    pub gain: f64,
    /// Whether the header states the gain.
    pub calibrated: bool,
    /// The stored value of physical zero. Default: the ADC zero.
    pub baseline: i32,
    /// Physical units as written there; see [`SignalSpec::mv_per_unit`]. Default: mV.
    pub units: String,
    /// Number of bits of the ADC; never 0. Default: that of the format, also where the header says 0.
    pub adc_resolution: u32,
    /// The stored value in the middle of the ADC's range. Default: 0.
    pub adc_zero: i32,
    /// The first value; difference formats start from it. Default: the ADC zero.
    pub initial_value: i32,
    /// Sum of all stored values, mod 2^16.
    pub checksum: Option<u16>,
    /// Size in bytes of the blocks in which the file must be read; 0 for ordinary files. Default: 0.
    pub block_size: u64,
    /// Description of the signal, usually the lead. May be empty.
    pub description: String,
}

/// One segment of a multi-segment [`Header`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentSpec {
    /// Line of the header, from 1.
    pub line: u64,
    /// Name of the segment's record; `~` for a gap.
    pub name: String,
    /// Length in frames; 0 for a layout segment.
    pub n_frames: u64,
}

/// A comment line of a [`Header`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comment {
    /// Line of the header, from 1.
    pub line: u64,
    /// The text, without the comment character and surrounding whitespace.
    pub text: String,
}

/// A time of day.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hours: u8,
    /// 0 to 59.
    pub minutes: u8,
    /// 0 to below 60, including fractions.
    pub seconds: f64,
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pad = if self.seconds < 10.0 { "0" } else { "" };
        write!(f, "{:02}:{:02}:{pad}{}", self.hours, self.minutes, self.seconds)
    }
}

/// A date of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Date {
    /// The year.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Header {
    /// Parses a header from bytes. `path` is only named in errors and warnings; nothing is read from it.
    ///
    /// # Errors
    /// Fails if the header violates its grammar; in strict mode, also for everything that lenient reading warns about.
    pub fn parse(
        bytes: &[u8],
        path: impl AsRef<Path>,
        options: &ReadOptions,
    ) -> Result<(Self, Vec<Warning>), IoError> {
        let mut notes = Notes::new(path.as_ref(), options.strict);
        let header = Self::parse_with(bytes, &mut notes)?;
        Ok((header, notes.warnings))
    }

    pub(crate) fn parse_with(bytes: &[u8], notes: &mut Notes<'_>) -> Result<Self, IoError> {
        check_text(bytes, notes.path)?;
        parse::parse(bytes, notes)
    }

    /// Returns whether all samples come from the same file.
    pub(crate) fn has_one_file(&self) -> bool {
        let with_file = self.signals.iter().filter(|signal| signal.format != Format::Null);
        let mut files = with_file.map(|signal| &signal.file);
        let first = files.next();
        files.all(|file| Some(file) == first)
    }

    /// Returns the paths of the segment headers that are read; names that lead elsewhere are left out.
    pub(crate) fn segment_headers(&self) -> impl Iterator<Item = PathBuf> {
        let named = self.segments.iter().filter(|segment| segment.name != "~");
        named.filter_map(|segment| {
            beside(&self.path, &format!("{}.hea", segment.name), segment.line).ok()
        })
    }
}

impl SignalSpec {
    /// Returns the size in mV of the signal's unit, such as 0.001 for uV; `None` if the unit is not a voltage or is
    /// unknown.
    ///
    /// V, mV, uV and nV are voltages, in upper or lower case.
    pub fn mv_per_unit(&self) -> Option<f64> {
        unit_of(&self.units).mv()
    }

    /// Returns the name of a signal: its description, or else its number.
    pub(crate) fn name(&self, number: usize) -> String {
        if self.description.is_empty() {
            format!("signal {number}")
        } else {
            self.description.clone()
        }
    }
}

/// Reads the header of a WFDB record; `path` may lack the `.hea`.
///
/// # Errors
/// Fails if the file is missing or unreadable, and with the errors of [`Header::parse`].
pub fn read_header(
    path: impl AsRef<Path>,
    options: &ReadOptions,
) -> Result<(Header, Vec<Warning>), IoError> {
    let path = header_path(path.as_ref());
    Header::parse(&header_bytes(&path)?, &path, options)
}

pub(crate) fn header_bytes(path: &Path) -> Result<Vec<u8>, IoError> {
    read_file(path, MAX_HEADER_BYTES)
}

/// Returns the headers that a header names as its segments; none if it belongs to a plain record or cannot be read.
pub(crate) fn names_segments(path: &Path) -> Vec<PathBuf> {
    // The record line is near the start and shows which headers are worth reading in full.
    let Ok((file, _)) = open(path) else { return Vec::new() };
    let mut start = Vec::new();
    if file.take(LOOK_BYTES).read_to_end(&mut start).is_err() || parse::is_plain(&start) {
        return Vec::new();
    }
    match read_header(path, &ReadOptions::default()) {
        Ok((header, _)) => header.segment_headers().collect(),
        Err(_) => Vec::new(),
    }
}

/// Returns `path` with `.hea` appended if needed; a record's own name may contain dots.
pub(crate) fn header_path(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("hea")) {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".hea");
    name.into()
}
