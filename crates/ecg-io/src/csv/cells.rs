//! The cells of a row and the meaning of columns.

use std::borrow::Cow;

use ecg_core::LeadName;

use crate::header::{Unit, unit_of};

/// Most columns that a table may have.
pub(super) const MAX_COLUMNS: usize = 4096;

/// What the first row says about the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Layout {
    pub delimiter: u8,
    /// Whether the first row names the columns.
    pub has_names: bool,
}

impl Layout {
    pub fn detect(first_row: &str) -> Self {
        // Every other part stands outside quotes.
        let has = |sign: char| first_row.split('"').step_by(2).any(|part| part.contains(sign));
        let delimiter = if has('\t') {
            b'\t'
        } else if has(';') {
            b';'
        } else {
            b','
        };
        let cells = split(first_row, delimiter);
        let has_names = cells.iter().any(|cell| number(cell, delimiter).is_none());
        Self { delimiter, has_names }
    }
}

pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The cells of a row without the blanks and quotes around them; at most one more than [`MAX_COLUMNS`].
pub(super) fn split(row: &str, delimiter: u8) -> Vec<Cow<'_, str>> {
    let delimiter = char::from(delimiter);
    if !row.contains('"') {
        let cells = row.split(delimiter).map(|cell| Cow::Borrowed(cell.trim()));
        return cells.take(MAX_COLUMNS + 1).collect();
    }
    let mut cells = Vec::new();
    let (mut cell, mut quoted) = (String::new(), false);
    let mut chars = row.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            c if c == delimiter && !quoted => {
                cells.push(Cow::Owned(std::mem::take(&mut cell).trim().to_owned()));
                if cells.len() > MAX_COLUMNS {
                    return cells;
                }
            }
            c => cell.push(c),
        }
    }
    cells.push(Cow::Owned(cell.trim().to_owned()));
    cells
}

/// A cell's number: NaN where it is empty or says so, `None` where it is no number. A comma is a decimal sign where it
/// does not part columns.
pub(super) fn number(cell: &str, delimiter: u8) -> Option<f64> {
    if let Ok(value) = cell.parse::<f64>() {
        return (!value.is_infinite()).then_some(value);
    }
    if ["", "na", "n/a", "null"].iter().any(|word| word.eq_ignore_ascii_case(cell)) {
        return Some(f64::NAN);
    }
    if delimiter != b',' && cell.contains(',') && !cell.contains('.') {
        return cell.replacen(',', ".", 1).parse().ok().filter(|value: &f64| value.is_finite());
    }
    None
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    /// Time, and the seconds of its unit.
    Time { seconds: f64 },
    /// A row number, or nothing.
    Ignored,
    /// A lead, and the mV of its unit where the name states one.
    Lead { name: LeadName, mv: Option<f64> },
}

impl Column {
    /// The column of a name such as `V1`, `V1 (uV)`, `time_ms` or `sample`.
    pub fn of(name: &str) -> Self {
        let (base, unit) = match name.rsplit_once(['(', '[']) {
            Some((base, unit)) if name.ends_with([')', ']']) => {
                (base.trim(), Some(unit[..unit.len() - 1].trim()))
            }
            _ => (name, None),
        };
        let lower = base.to_ascii_lowercase();
        match lower.as_str() {
            "time" | "t" | "timestamp" | "seconds" | "sec" | "time_s" => {
                return Self::Time { seconds: unit.and_then(seconds_of).unwrap_or(1.0) };
            }
            "time_ms" | "t_ms" | "ms" | "milliseconds" => return Self::Time { seconds: 1e-3 },
            "" | "sample" | "samples" | "index" | "n" | "row" => return Self::Ignored,
            _ => {}
        }
        match unit.map(unit_of) {
            Some(Unit::Voltage { mv, .. }) => Self::Lead { name: base.into(), mv: Some(mv) },
            _ => Self::Lead { name: name.into(), mv: None },
        }
    }

    pub fn is_standard_lead(&self) -> bool {
        matches!(self, Self::Lead { name, .. } if name.lead().is_some())
    }

    /// Takes the unit of a row of units; `false` where the cell is none.
    pub fn set_unit(&mut self, cell: &str) -> bool {
        let unit = cell.trim_matches(['(', ')', '[', ']']).trim();
        if unit.is_empty() || unit == "-" {
            return true;
        }
        match (self, unit_of(unit), seconds_of(unit)) {
            (Self::Lead { mv, .. }, Unit::Voltage { mv: unit, .. }, _) => *mv = Some(unit),
            (Self::Time { seconds }, _, Some(unit)) => *seconds = unit,
            (Self::Ignored, ..) => {}
            _ => return false,
        }
        true
    }
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit.to_lowercase().as_str() {
        "s" | "sec" | "seconds" => 1.0,
        "ms" => 1e-3,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_shows_the_layout() {
        let of = |row| {
            let layout = Layout::detect(row);
            (layout.delimiter, layout.has_names)
        };
        assert_eq!(of("I,II,III"), (b',', true));
        assert_eq!(of("0.1;0,2;-3"), (b';', false));
        assert_eq!(of("1e-3\tnan\t"), (b'\t', false));
        assert_eq!(of("1,inf"), (b',', true));
        assert_eq!(of("\"I;x\",\"a\"\"\tb\",II"), (b',', true));
        assert_eq!(of("\"I,x\";II"), (b';', true));
    }

    #[test]
    fn cells() {
        assert_eq!(split("a, \"b,\"\"c\" ,", b','), ["a", "b,\"c", ""]);
        for row in [",".repeat(9000), format!("\"a\"{}", ",".repeat(9000))] {
            assert_eq!(split(&row, b',').len(), MAX_COLUMNS + 1);
        }
        assert_eq!(number("-1.5e-3", b','), Some(-1.5e-3));
        assert_eq!(number("0,25", b';'), Some(0.25));
        assert!(number("", b',').is_some_and(f64::is_nan));
        assert!(number("NaN", b',').is_some_and(f64::is_nan));
        for bad in ["x", "inf", "1,2,3", "1e999"] {
            assert_eq!(number(bad, b';'), None, "{bad}");
        }
    }

    #[test]
    fn columns_by_name() {
        assert_eq!(Column::of("Time [ms]"), Column::Time { seconds: 1e-3 });
        assert_eq!(Column::of(""), Column::Ignored);
        assert_eq!(Column::of("v1 (uV)"), Column::Lead { name: "v1".into(), mv: Some(1e-3) });
        assert_eq!(Column::of("PLETH (x)"), Column::Lead { name: "PLETH (x)".into(), mv: None });
        let mut lead = Column::of("aVR");
        assert!(lead.is_standard_lead() && lead.set_unit("[\u{b5}V]") && !lead.set_unit("s"));
        assert_eq!(lead, Column::Lead { name: "aVR".into(), mv: Some(1e-3) });
    }
}
