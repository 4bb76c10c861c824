use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use ecg_core::{LeadName, Recording, SamplingRate};
use ndarray::Array2;

use super::CsvOptions;
use super::cells::{Layout, comment};
use super::lines::{Blocks, count_lines, open_table};
use super::table::{Size, Table};
use super::time::rate_of;
use crate::error::clip;
use crate::header::{Clinical, Comment, MAX_COMMENTS, unit_of};
use crate::read::recording_stem;
use crate::text::{check_text, decode_text};
use crate::warning::Notes;
use crate::{IoError, Loaded, ReadOptions};

/// Reads a table as a recording: one column per lead and one row per sample, or the other way round, in mV unless it
/// says otherwise.
///
/// - The delimiter is a tab, a semicolon, a bar, a comma or blanks, detected from the first row. A decimal comma is
///   accepted if commas do not separate columns. Empty cells and `nan` are NaN. Files that end in `.gz` are
///   decompressed.
/// - The first row may name the columns: leads in any case, with units as in `V1 (uV)`; `time`, `timestamp` or `t`, in
///   seconds, or with another unit as in `time_ms`, `time_us`, `time_ns`. `sample` and unnamed columns are ignored. All
///   others are leads, unless [`CsvOptions::columns`] says which are. Without names there are twelve columns in the
///   standard order, or those of [`CsvOptions::leads`].
/// - A first row that counts eight columns or more, from 0 or 1, names no columns and is not a sample, if decimals
///   follow or if there are twelve columns or more. A column of times or an ignored one may precede twelve of them.
/// - A line that starts with `#` above a first row of numbers names the columns if it has a standard lead name, or the
///   name of a time or ignored column, for each of them.
/// - A second row may hold units.
/// - Rows are leads if the first one is a lead's name followed by numbers, or has more than 4096 numbers. It may be
///   preceded by a row of `time` and numbers, unless these count the columns and the row below is as many numbers, or
///   by a row of sample names if a standard lead's name and numbers follow. Rows without names are the twelve leads in
///   the standard order. If the row above counts the samples after an empty cell, each row starts with its number or
///   its lead's name.
/// - Lines that start with `#` are comments: `# fs: 500`, `# units: uV`, `# Age: 61`, `# Sex: Female`,
///   `# Dx: 426783006`, `# Patient: 7`.
/// - Cells may be in double or single quotes, and times may be clock times, `0:01.500`, as PhysioNet's `rdsamp` writes
///   them.
/// - The sampling rate comes from the comment, else from the times, else from [`CsvOptions::sampling_rate`], which also
///   takes the place of times that give less than 10 Hz, because these may lack their unit. If a comment or the options
///   give the rate, times that do not increase or are not evenly spaced are a warning (an error in strict mode). There
///   are also warnings if these rates differ, and if the times alone give less than 10 Hz.
/// - Units come from the names, the second row or the comment, else from [`CsvOptions::units`], else they are mV. If no
///   units are stated at all, there is a warning if most leads span less than 0.02 mV or more than 50 mV; flat leads do
///   not count.
///
/// What is detected from the first rows, and the names of the leads, can be set explicitly in [`ReadOptions::csv`].
/// Units and rates given there are for tables that state none. Decimals are rounded as `str::parse` does.
///
/// # Errors
/// Fails if
///
/// - the file cannot be read,
/// - a cell is not a number, or not finite in mV, or a row has another length (the error states line and column),
/// - times do not increase or are not evenly spaced, and neither a comment nor the options give the rate,
/// - the delimiter could be part of a cell,
/// - there are more than 4096 columns,
/// - there is more than a GiB of text (for a compressed file, more than 8 MiB plus a hundred times its size), or
/// - the file states no sampling rate and the options give none.
pub fn read_csv(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Loaded, IoError> {
    let path = path.as_ref();
    let (mut file, bytes, limit) = open_table(path)?;
    let size = Size { bytes: bytes as usize, lines: file.count_lines(path)? };
    read_table(Blocks::new(file, path, limit), size, path, options)
}

/// Parses the bytes of an uncompressed table; `path` appears in messages and gives the recording its name. See
/// [`read_csv`].
///
/// # Errors
/// Those of [`read_csv`], except for an unreadable file.
pub fn parse_csv(
    bytes: &[u8],
    path: impl AsRef<Path>,
    options: &ReadOptions,
) -> Result<Loaded, IoError> {
    let path = path.as_ref();
    let size = Size { bytes: bytes.len(), lines: Some(count_lines(bytes)) };
    read_table(Blocks::new(bytes, path, u64::MAX), size, path, options)
}

/// Times that give a lower sampling rate may lack their unit.
const LOWEST_USUAL_HZ: f64 = 10.0;

/// The peak-to-peak amplitudes of most leads of an ECG lie well between these: others may be in another unit than mV.
const USUAL_MV: std::ops::RangeInclusive<f64> = 0.02..=50.0;

/// State of reading a file.
#[derive(Default)]
struct State {
    line: u64,
    comments: Vec<Comment>,
    /// The first row, kept until the second one shows what it is.
    first: Option<FirstRow>,
    table: Option<Table>,
}

struct FirstRow {
    line: u64,
    text: String,
    /// Number of tabs in the text.
    tabs: usize,
}

fn read_table<R: Read>(
    mut blocks: Blocks<'_, R>,
    size: Size,
    path: &Path,
    options: &ReadOptions,
) -> Result<Loaded, IoError> {
    check_delimiter(&options.csv)?;
    let mut state = State { line: 1, ..State::default() };
    loop {
        let mut block = blocks.next()?;
        if block.is_empty() {
            break;
        }
        if state.line == 1 {
            block = block.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(block);
        }
        while !block.is_empty() {
            let plain = state.table.as_mut().and_then(|t| t.push_plain(state.line, block));
            let length = match plain {
                Some(length) => length,
                None => {
                    let end = block.iter().position(|&b| b == b'\n').map_or(block.len(), |n| n + 1);
                    state.take_line(&block[..end], size, path, &options.csv)?;
                    end
                }
            };
            block = &block[length..];
            state.line += 1;
        }
    }
    state.start(None, size, path, &options.csv)?;
    state.finish(path, options)
}

/// Rejects delimiters that occur in numbers, names or quotes, or that start comments.
fn check_delimiter(options: &CsvOptions) -> Result<(), IoError> {
    let Some(byte) = options.delimiter else { return Ok(()) };
    let parts = byte == b'\t' || byte == b' ' || byte.is_ascii_punctuation();
    if parts && !b"+-.\"#".contains(&byte) {
        return Ok(());
    }
    Err(IoError::UnknownName {
        what: "delimiter",
        found: char::from(byte).to_string(),
        expected: "a tab, a space or a punctuation character other than + - . # and quotes",
    })
}

impl State {
    /// Takes a line, including its LF.
    fn take_line(
        &mut self,
        bytes: &[u8],
        size: Size,
        path: &Path,
        options: &CsvOptions,
    ) -> Result<(), IoError> {
        let line = self.line;
        check_text(bytes, path).map_err(|error| match error {
            IoError::NotText { path, found, .. } => IoError::NotText { path, line, found },
            other => other,
        })?;
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let text: Cow<'_, str> = decode_text(bytes.strip_suffix(b"\r").unwrap_or(bytes));
        if let Some(comment) = comment(&text) {
            if self.comments.len() == MAX_COMMENTS {
                let (path, limit) = (path.to_owned(), MAX_COMMENTS);
                return Err(IoError::TooManyLines { path, line, what: "comment", limit });
            }
            self.comments.push(Comment { line, text: comment.to_owned() });
        } else if !text.trim().is_empty() || self.is_row_of_tabs(&text) {
            match &mut self.table {
                None if self.first.is_none() => {
                    let tabs = count_tabs(&text);
                    self.first = Some(FirstRow { line, text: text.into_owned(), tabs });
                }
                None => self.start(Some((line, &text)), size, path, options)?,
                Some(table) => table.push(line, &text, path)?,
            }
        }
        Ok(())
    }

    /// Returns whether a blank line is a row of empty cells: it has as many tabs as other rows.
    fn is_row_of_tabs(&self, text: &str) -> bool {
        let expected = match (&self.table, &self.first) {
            (Some(table), _) => table.tabs(),
            (None, first) => first.as_ref().map_or(0, |first| first.tabs),
        };
        expected > 0 && count_tabs(text) == expected
    }

    /// Starts the table with the stored first row, and the second.
    fn start(
        &mut self,
        second: Option<(u64, &str)>,
        size: Size,
        path: &Path,
        options: &CsvOptions,
    ) -> Result<(), IoError> {
        let Some(FirstRow { line, text: first, .. }) = self.first.take() else { return Ok(()) };
        let below = second.map(|(_, text)| text);
        let layout = Layout::detect(&first, below, options);
        let comments = self.comments.iter().map(|comment| comment.text.as_str());
        let mut table = match layout.names_above(comments, &first, options) {
            Some((k, names)) => {
                let at = self.comments[k].line;
                let layout = Layout { has_names: true, ..layout };
                let mut table = Table::start(layout, (at, &names), path, size, options)?;
                table.push(line, &first, path)?;
                table
            }
            None => Table::start(layout, (line, &first), path, size, options)?,
        };
        if let Some((line, text)) = second {
            table.push(line, text, path)?;
        }
        self.table = Some(table);
        Ok(())
    }

    fn finish(self, path: &Path, options: &ReadOptions) -> Result<Loaded, IoError> {
        let mut notes = Notes::new(path, options.strict);
        let no_samples = || IoError::NoSamples {
            path: path.to_owned(),
            at: None,
            found: "no sample rows".to_owned(),
            expected: "at least one",
        };
        let mut table = self.table.ok_or_else(no_samples)?;
        let clinical = Clinical::from_comments(&self.comments, &mut notes)?;
        let stated = stated(&self.comments, &mut notes)?;
        let times = std::mem::take(&mut table.times);
        if let Some(line) = table.take_ends() {
            let message = "trailing delimiter at the end of the row, ignored";
            notes.quirk(Some(line), "columns", message.to_owned())?;
        }
        note_names(&table, &options.csv, &mut notes);
        let default_mv = match (stated.mv, &options.csv.units) {
            (Some(mv), _) => mv,
            (None, Some(units)) => unit_of(units)
                .mv()
                .ok_or_else(|| IoError::CsvUnits { path: path.to_owned(), found: units.clone() })?,
            (None, None) => 1.0,
        };
        let assumed = stated.mv.is_none() && options.csv.units.is_none() && !table.states_units();
        let (leads, signal) =
            table.finish(default_mv, &options.csv, path)?.ok_or_else(no_samples)?;
        if assumed && let Some(span) = unusual_span(&signal) {
            let message = format!(
                "most leads span {span} mV, but no units are stated or given, so mV is assumed"
            );
            notes.remark(None, "units", message);
        }
        let given = options.csv.sampling_rate.map(SamplingRate::hz);
        let rate = sampling_rate(stated.rate, given, &times, &mut notes)?;
        let in_core = |source| IoError::Recording { path: path.to_owned(), line: None, source };
        let rate = SamplingRate::new(rate).map_err(in_core)?;
        let mut recording =
            Recording::new(recording_stem(path), rate, leads, signal).map_err(in_core)?;
        recording.diagnoses = clinical.diagnoses;
        recording.age_years = clinical.age_years;
        recording.sex = clinical.sex;
        recording.patient = clinical.patient;
        recording.comments = self.comments.into_iter().map(|comment| comment.text).collect();
        Ok(Loaded { recording, path: path.to_owned(), warnings: notes.warnings })
    }
}

/// Returns the sampling rate in Hz: `stated` by a comment, else that of the times, else `given` by the caller, which
/// also counts if the times give no rate or may lack their unit.
fn sampling_rate(
    stated: Option<(u64, f64)>,
    given: Option<f64>,
    times: &[(u64, f64)],
    notes: &mut Notes<'_>,
) -> Result<f64, IoError> {
    const FIELD: &str = "sampling rate";
    let differ = |a: f64, b: f64| (a / b - 1.0).abs() > 1e-3;
    let own = stated.map(|(_, hz)| hz).or(given);
    // A single time gives no rate, and is no error if there is another.
    let from_times = (times.len() > 1).then(|| rate_of(times, notes.path)).transpose();
    let from_times = match (from_times, own) {
        (Err(error), Some(hz)) => {
            let (line, why) = match error {
                IoError::Field { line, found, expected, .. } => {
                    (line, format!("found {found}, expected {expected}"))
                }
                IoError::UnevenTime { line, found, expected, .. } => {
                    (line, format!("found {found} s, expected {expected} s"))
                }
                other => return Err(other),
            };
            let source = if stated.is_some() { "the comment states" } else { "given" };
            let message = format!("{hz} Hz, as {source}; the times are not used: {why}");
            notes.quirk(Some(line), FIELD, message)?;
            None
        }
        (from_times, _) => from_times?,
    };
    let (line, hz, source) = match (stated, from_times) {
        (Some((line, hz)), _) => {
            if let Some(times) = from_times.filter(|times| differ(hz, *times)) {
                let message =
                    format!("{hz} Hz, but the times imply {times} Hz; the comment is used");
                notes.quirk(Some(line), FIELD, message)?;
            }
            (line, hz, "the comment states")
        }
        (None, Some(hz)) => {
            let (line, step) = (times[0].0, 1.0 / hz);
            match given.filter(|_| hz < LOWEST_USUAL_HZ) {
                Some(given) => {
                    if differ(given, hz) {
                        let message = format!(
                            "{given} Hz as given, although the times are {step} s apart; they may lack their unit"
                        );
                        notes.remark(Some(line), FIELD, message);
                    }
                    return Ok(given);
                }
                None if hz < LOWEST_USUAL_HZ => {
                    let message = format!(
                        "{hz} Hz, as the times are {step} s apart; times without a unit are read as seconds"
                    );
                    notes.remark(Some(line), FIELD, message);
                }
                None => {}
            }
            (line, hz, "the times imply")
        }
        (None, None) => {
            return own.ok_or_else(|| IoError::NoSamplingRate { path: notes.path.to_owned() });
        }
    };
    if let Some(given) = given.filter(|given| differ(*given, hz)) {
        let message = format!("{given} Hz given, but {source} {hz} Hz, which is used");
        notes.remark(Some(line), FIELD, message);
    }
    Ok(hz)
}

/// Says how far most leads are from an ECG in mV, by their peak-to-peak amplitudes. Flat leads do not count.
fn unusual_span(signal: &Array2<f64>) -> Option<String> {
    let spans = signal.rows().into_iter().map(|row| {
        let ends: (f64, f64) = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = row.iter().fold(ends, |(low, high), &v| (low.min(v), high.max(v)));
        high - low
    });
    let spans: Vec<f64> = spans.filter(|span| *span > 0.0).collect();
    // A single lead may be faulty.
    let most = |is_so: &dyn Fn(&f64) -> bool| {
        2 * spans.iter().filter(|span| is_so(span)).count() > spans.len()
    };
    let (low, high) = (USUAL_MV.start(), USUAL_MV.end());
    if most(&|span| span > high) {
        Some(format!("more than {high}"))
    } else if most(&|span| span < low) {
        Some(format!("less than {low}"))
    } else {
        None
    }
}

fn count_tabs(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\t').count()
}

/// Statements about the table in comments.
#[derive(Default)]
struct Stated {
    /// Line and rate in Hz.
    rate: Option<(u64, f64)>,
    /// Size in mV of the unit of columns that state none.
    mv: Option<f64>,
}

/// Notes repeated leads, and columns that may not be leads.
fn note_names(table: &Table, options: &CsvOptions, notes: &mut Notes<'_>) {
    let line = Some(table.first_line);
    if table.is_numbered() {
        let message = "the first row numbers the columns, not read as samples";
        notes.remark(line, "columns", message.to_owned());
    }
    let names: Vec<LeadName> = table.lead_names().collect();
    let mut known = HashSet::new();
    if let Some(twice) = names.iter().find(|name| !known.insert(name.standard_name()))
        && options.leads.is_none()
    {
        let message = format!("{:?} appears twice, the first is used", clip(twice.as_str()));
        notes.remark(line, "columns", message);
    }
    let odd: Vec<&str> =
        names.iter().filter(|name| name.lead().is_none()).map(LeadName::as_str).collect();
    if options.columns.is_none() && !odd.is_empty() && odd.len() < names.len() {
        let message = format!("{} read as leads like the other columns", clip(&odd.join(", ")));
        notes.remark(line, "columns", message);
    }
}

/// Returns the size in Hz of the unit in the key of a comment that states the sampling rate, such as `fs`,
/// `sampling_rate` or `fs (kHz)`; `None` for any other key.
pub(super) fn rate_key(key: &str) -> Option<f64> {
    const KEYS: [&str; 6] = [
        "fs",
        "samplingrate",
        "samplingfrequency",
        "samplerate",
        "samplefrequency",
        "samplingfreq",
    ];
    let is_letter = |c: &char| !matches!(c, ' ' | '_' | '-' | '(' | ')' | '[' | ']');
    let key: String = key.to_ascii_lowercase().chars().filter(is_letter).collect();
    let units = [("khz", 1000.0), ("hz", 1.0), ("", 1.0)];
    let known = |(unit, hz)| key.strip_suffix(unit).filter(|key| KEYS.contains(key)).map(|_| hz);
    units.into_iter().find_map(known)
}

fn stated(comments: &[Comment], notes: &mut Notes<'_>) -> Result<Stated, IoError> {
    let mut stated = Stated::default();
    for Comment { line, text } in comments {
        let Some((key, value)) = text.split_once([':', '=']) else { continue };
        let value = value.trim();
        let bad = |field, expected| IoError::Field {
            path: notes.path.to_owned(),
            line: *line,
            field,
            found: clip(value),
            expected,
        };
        if let Some(of_key) = rate_key(key) {
            let digits = value.trim_end_matches(|c: char| c.is_alphabetic());
            let factor = match value[digits.len()..].to_ascii_lowercase().as_str() {
                "" => of_key,
                "hz" | "sps" => 1.0,
                "khz" => 1000.0,
                _ => return Err(bad("sampling rate", "a positive number of Hz or kHz")),
            };
            match digits.trim().parse::<f64>().map(|rate| rate * factor) {
                Ok(hz) if hz.is_finite() && hz > 0.0 => {
                    if let Some((first, other)) = stated.rate.replace((*line, hz))
                        && other != hz
                    {
                        let message =
                            format!("{hz} Hz, but {other} Hz on line {first}; the last is used");
                        notes.quirk(Some(*line), "sampling rate", message)?;
                    }
                }
                _ => return Err(bad("sampling rate", "a positive number of Hz")),
            }
        } else if is_units_key(key) {
            let mv = unit_of(value).mv().ok_or_else(|| bad("units", "mV, uV or V"))?;
            if stated.mv.replace(mv).is_some_and(|other| other != mv) {
                let message = format!("{value}, but other units above; the last are used");
                notes.quirk(Some(*line), "units", message)?;
            }
        }
    }
    Ok(stated)
}

/// Returns whether a comment with this key states the units.
pub(super) fn is_units_key(key: &str) -> bool {
    ["unit", "units"].iter().any(|own| key.trim().eq_ignore_ascii_case(own))
}
