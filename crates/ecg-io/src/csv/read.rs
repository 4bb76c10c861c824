use std::borrow::Cow;
use std::path::Path;

use ecg_core::{Lead, LeadName, Recording, SamplingRate};
use ndarray::Array2;

use super::cells::{Column, Layout, MAX_COLUMNS, is_comment, number, split};
use super::time::rate_of;
use crate::header::{Clinical, Comment, Unit, unit_of};
use crate::text::{check_text, lines, read_file};
use crate::warning::Notes;
use crate::{IoError, Loaded, ReadOptions};

/// Largest table that is read as a recording.
const MAX_CSV_BYTES: u64 = 1 << 30;

/// Reads a CSV recording: one column for each lead, one row for each sample, in mV unless it says otherwise.
///
/// - The delimiter is a tab, a semicolon or a comma, found in the first row; a decimal comma is read where commas do not
///   part columns. Empty cells and `nan` are NaN.
/// - The first row may name the columns: leads in any case, with units as in `V1 (uV)`; `time`, in seconds, or
///   `time_ms`; `sample` and unnamed columns are ignored. Without names there are twelve columns in the standard order.
/// - A second row may hold units.
/// - Lines that start with `#` are comments: `# fs: 500`, `# units: uV`, `# Age: 61`, `# Sex: Female`, `# Dx: 426783006`,
///   `# Patient: 7`.
/// - The sampling rate comes from the comment, else from the times, else from [`ReadOptions::csv_sampling_rate`].
///
/// # Errors
/// An unreadable file, a cell that is no number and a row of another length (with line and column), times that are not
/// evenly spaced, more than 4096 columns, and a file that states no sampling rate where the options give none.
pub fn read_csv(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Loaded, IoError> {
    read_csv_recording(path.as_ref(), options)
}

pub(crate) fn read_csv_recording(path: &Path, options: &ReadOptions) -> Result<Loaded, IoError> {
    let bytes = read_file(path, MAX_CSV_BYTES)?;
    let content = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(&bytes);
    check_text(content, path)?;
    let mut notes = Notes::new(path, options.strict);

    let mut comments = Vec::new();
    let mut table: Option<Table> = None;
    for (line, text) in lines(content) {
        if is_comment(&text) {
            let text = text.trim().trim_start_matches('#').trim().to_owned();
            comments.push(Comment { line, text });
        } else if !text.trim().is_empty() {
            match &mut table {
                None => table = Some(Table::start(line, &text, path, content.len())?),
                Some(table) => table.push(line, &text, path)?,
            }
        }
    }
    let no_samples = || IoError::NoSamples { path: path.to_owned() };
    let mut table = table.ok_or_else(no_samples)?;
    let clinical = Clinical::from_comments(&comments, &mut notes)?;
    let stated = table.take_comments(&comments, &mut notes)?;
    let leads: Vec<LeadName> = table.leads().map(|(_, name, _)| name.clone()).collect();
    if table.rows == 0 || leads.is_empty() {
        return Err(no_samples());
    }
    let from_times = match table.times.is_empty() {
        true => None,
        false => Some(rate_of(&table.times, path)?),
    };
    if let (Some((line, stated)), Some(times)) = (stated, from_times)
        && (stated / times - 1.0).abs() > 1e-3
    {
        let message =
            format!("{stated} Hz, but the times are those of {times} Hz; the comment counts");
        notes.quirk(Some(line), "sampling rate", message)?;
    }
    let rate = stated.map(|(_, rate)| rate).or(from_times);
    let rate = rate.or(options.csv_sampling_rate.map(SamplingRate::hz));
    let rate = rate.ok_or_else(|| IoError::NoSamplingRate { path: path.to_owned() })?;

    let in_core = |source| IoError::Recording { path: path.to_owned(), source };
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let rate = SamplingRate::new(rate).map_err(in_core)?;
    let mut recording = Recording::new(name, rate, leads, table.signal()).map_err(in_core)?;
    recording.diagnoses = clinical.diagnoses;
    recording.age_years = clinical.age_years;
    recording.sex = clinical.sex;
    recording.patient = clinical.patient;
    recording.comments = comments.into_iter().map(|comment| comment.text).collect();
    Ok(Loaded { recording, path: path.to_owned(), warnings: notes.warnings })
}

/// The rows of a file as they come.
struct Table {
    layout: Layout,
    columns: Vec<Column>,
    names: Vec<String>,
    /// mV of columns that state no unit.
    default_mv: f64,
    /// Values of the leads, `[sample, lead]`.
    values: Vec<f64>,
    times: Vec<(u64, f64)>,
    rows: usize,
}

impl Table {
    fn start(line: u64, text: &str, path: &Path, size: usize) -> Result<Self, IoError> {
        let layout = Layout::detect(text);
        let cells = split(text, layout.delimiter);
        if cells.len() > MAX_COLUMNS {
            return Err(IoError::TooManyColumns {
                path: path.to_owned(),
                line,
                limit: MAX_COLUMNS,
            });
        }
        let names: Vec<String> = if layout.has_names {
            cells.iter().map(Cow::to_string).collect()
        } else if cells.len() == 12 {
            Lead::STANDARD_12.map(|lead| lead.name().to_owned()).into()
        } else {
            let (path, found) = (path.to_owned(), cells.len());
            return Err(IoError::Columns { path, line, expected: 12, found });
        };
        let columns = names.iter().map(|name| Column::of(name)).collect();
        let values = Vec::with_capacity(size / 8);
        let mut table =
            Self { layout, columns, names, default_mv: 1.0, values, times: Vec::new(), rows: 0 };
        if !layout.has_names {
            table.push(line, text, path)?;
        }
        Ok(table)
    }

    fn push(&mut self, line: u64, text: &str, path: &Path) -> Result<(), IoError> {
        let cells = split(text, self.layout.delimiter);
        if cells.len() > MAX_COLUMNS {
            return Err(IoError::TooManyColumns {
                path: path.to_owned(),
                line,
                limit: MAX_COLUMNS,
            });
        }
        if cells.len() != self.columns.len() {
            let (path, expected) = (path.to_owned(), self.columns.len());
            return Err(IoError::Columns { path, line, expected, found: cells.len() });
        }
        if self.rows == 0 && self.layout.has_names && self.take_units(&cells) {
            return Ok(());
        }
        for (index, (cell, column)) in cells.iter().zip(&self.columns).enumerate() {
            if matches!(column, Column::Ignored) {
                continue;
            }
            let is_time = matches!(column, Column::Time { .. });
            let value = number(cell, self.layout.delimiter).filter(|v| !(is_time && v.is_nan()));
            let value = value.ok_or_else(|| IoError::Cell {
                path: path.to_owned(),
                line,
                column: index + 1,
                name: self.names[index].clone(),
                found: crate::error::clip(cell),
                expected: if is_time { "a time" } else { "a number" },
            })?;
            match column {
                Column::Time { seconds } => self.times.push((line, value * seconds)),
                _ => self.values.push(value),
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Reads a row of units; `false`, with nothing changed, where it is none.
    fn take_units(&mut self, cells: &[Cow<'_, str>]) -> bool {
        let mut columns = self.columns.clone();
        let voltage = cells.iter().any(|cell| {
            matches!(unit_of(cell.trim_matches(['(', ')', '[', ']'])), Unit::Voltage { .. })
        });
        let units = voltage && columns.iter_mut().zip(cells).all(|(c, cell)| c.set_unit(cell));
        if units {
            self.columns = columns;
        }
        units
    }

    /// The sampling rate that a comment states, with its line; a unit for all columns is taken too.
    fn take_comments(
        &mut self,
        comments: &[Comment],
        notes: &mut Notes<'_>,
    ) -> Result<Option<(u64, f64)>, IoError> {
        const RATE: [&str; 5] =
            ["fs", "sampling rate", "sampling frequency", "sample rate", "sampling_rate"];
        let mut rate = None;
        for Comment { line, text } in comments {
            let Some((key, value)) = text.split_once([':', '=']) else { continue };
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            let bad = |field, expected| IoError::Field {
                path: notes.path.to_owned(),
                line: *line,
                field,
                found: crate::error::clip(value),
                expected,
            };
            if RATE.contains(&key.as_str()) {
                let digits = value.trim_end_matches(|c: char| c.is_alphabetic()).trim();
                match digits.parse::<f64>() {
                    Ok(hz) if hz.is_finite() && hz > 0.0 => rate = Some((*line, hz)),
                    _ => return Err(bad("sampling rate", "a positive number of Hz")),
                }
            } else if key == "units" || key == "unit" {
                match unit_of(value) {
                    Unit::Voltage { mv, .. } => self.default_mv = mv,
                    Unit::Other => return Err(bad("units", "mV, uV or V")),
                }
            }
        }
        Ok(rate)
    }

    fn leads(&self) -> impl Iterator<Item = (usize, &LeadName, f64)> {
        let leads = self.columns.iter().filter_map(|column| match column {
            Column::Lead { name, mv } => Some((name, mv.unwrap_or(self.default_mv))),
            _ => None,
        });
        leads.enumerate().map(|(index, (name, mv))| (index, name, mv))
    }

    /// The signal in mV, `[lead, sample]`.
    fn signal(&self) -> Array2<f64> {
        let scale: Vec<f64> = self.leads().map(|(_, _, mv)| mv).collect();
        let mut signal = Array2::zeros((scale.len(), self.rows));
        for ((lead, sample), value) in signal.indexed_iter_mut() {
            *value = self.values[sample * scale.len() + lead] * scale[lead];
        }
        signal
    }
}
