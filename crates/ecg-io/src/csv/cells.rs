//! The cells of a row and the meaning of columns.

use std::borrow::Cow;

use ecg_core::LeadName;

use super::{CsvOptions, CsvOrientation};
use crate::header::{Unit, unit_of};

/// Most columns that a table may have.
pub(super) const MAX_COLUMNS: usize = 4096;

/// What the first row says about the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Layout {
    pub delimiter: u8,
    /// Whether the first row names the columns, or holds the times of the samples in rows of leads.
    pub has_names: bool,
    pub orientation: CsvOrientation,
}

impl Layout {
    pub fn detect(first_row: &str, options: &CsvOptions) -> Self {
        let delimiter = options.delimiter.unwrap_or_else(|| delimiter_of(first_row));
        let mut layout =
            Self { delimiter, has_names: false, orientation: CsvOrientation::SamplesInRows };
        let cells = layout.split(first_row);
        let is_text = |cell: &Cow<'_, str>| number(cell, delimiter).is_none();
        let texts = cells.iter().filter(|cell| is_text(cell)).count();
        // A name before numbers, or more numbers than a recording has leads.
        let lead_first = texts == 1
            && cells.len() > 2
            && is_text(&cells[0])
            && match Column::of(&cells[0]) {
                Column::Time { .. } => true,
                column => column.is_standard_lead(),
            };
        let leads_in_rows = lead_first || texts == 0 && cells.len() > MAX_COLUMNS;
        if let Some(orientation) = options.orientation {
            layout.orientation = orientation;
        } else if leads_in_rows {
            layout.orientation = CsvOrientation::LeadsInRows;
        }
        layout.has_names = options.has_names.unwrap_or(match layout.orientation {
            CsvOrientation::SamplesInRows => texts > 0,
            CsvOrientation::LeadsInRows => {
                texts > 1 || cells.first().is_some_and(|cell| !Column::of(cell).is_lead())
            }
        });
        layout
    }

    /// The cells of a row without the blanks and quotes around them; at most one more than a row of columns may have.
    pub fn split<'a>(&self, row: &'a str) -> Vec<Cow<'a, str>> {
        split(row, self.delimiter, MAX_COLUMNS + 1)
    }

    /// All cells of a row, one by one, for they may be millions; only [`MAX_COLUMNS`] and one of a row with quotes.
    pub fn each<'a>(&self, row: &'a str) -> Box<dyn Iterator<Item = Cow<'a, str>> + 'a> {
        if row.contains('"') {
            Box::new(self.split(row).into_iter())
        } else if self.delimiter == b' ' {
            Box::new(row.split_ascii_whitespace().map(Cow::Borrowed))
        } else {
            let delimiter = char::from(self.delimiter);
            Box::new(row.split(delimiter).map(|cell| Cow::Borrowed(cell.trim())))
        }
    }
}

/// The sign that parts the cells of a row: a tab, else a semicolon, a comma or a bar, else blanks.
fn delimiter_of(row: &str) -> u8 {
    // Every other part stands outside quotes.
    let has = |sign: char| row.split('"').step_by(2).any(|part| part.contains(sign));
    let known = ['\t', ';', ',', '|'].into_iter().find(|sign| has(*sign));
    match known {
        Some(sign) => sign as u8,
        // `V1 (uV)` is one name.
        None if has(' ') && !row.contains(['(', '[', '"']) && row.trim().contains(' ') => b' ',
        None => b',',
    }
}

pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// At most so many cells of a row. Blanks part cells in any number.
pub(super) fn split(row: &str, delimiter: u8, most: usize) -> Vec<Cow<'_, str>> {
    if delimiter == b' ' {
        return row.split_ascii_whitespace().take(most).map(Cow::Borrowed).collect();
    }
    let delimiter = char::from(delimiter);
    if !row.contains('"') {
        let cells = row.split(delimiter).map(|cell| Cow::Borrowed(cell.trim()));
        return cells.take(most).collect();
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
                if cells.len() >= most {
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

    pub fn is_lead(&self) -> bool {
        matches!(self, Self::Lead { .. })
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
            let layout = Layout::detect(row, &CsvOptions::default());
            (layout.delimiter, layout.has_names)
        };
        assert_eq!(of("I,II,III"), (b',', true));
        assert_eq!(of("0.1;0,2;-3"), (b';', false));
        assert_eq!(of("1e-3\tnan\t"), (b'\t', false));
        assert_eq!(of("1,inf"), (b',', true));
        assert_eq!(of("\"I;x\",\"a\"\"\tb\",II"), (b',', true));
        assert_eq!(of("\"I,x\";II"), (b';', true));
        assert_eq!(of("I|II"), (b'|', true));
        assert_eq!(of(" 1  2 3"), (b' ', false));
        assert_eq!(of("V1 (uV)"), (b',', true));
    }

    #[test]
    fn the_first_row_shows_what_rows_are() {
        use CsvOrientation::{LeadsInRows, SamplesInRows};
        let of = |row: &str| {
            let layout = Layout::detect(row, &CsvOptions::default());
            (layout.orientation, layout.has_names)
        };
        assert_eq!(of("I,0.1,0.2"), (LeadsInRows, false));
        assert_eq!(of("time,0,0.002"), (LeadsInRows, true));
        assert_eq!(of(&"1,".repeat(MAX_COLUMNS + 1)), (LeadsInRows, false));
        assert_eq!(of("I,0.1,x"), (SamplesInRows, true));
        assert_eq!(of("I,1"), (SamplesInRows, true));
        let wish = CsvOptions::default().with_orientation(Some(LeadsInRows));
        assert!(Layout::detect("lead,0,1", &wish).orientation == LeadsInRows);
    }

    #[test]
    fn cells() {
        assert_eq!(split("a, \"b,\"\"c\" ,", b',', 9), ["a", "b,\"c", ""]);
        for row in [",".repeat(9000), format!("\"a\"{}", ",".repeat(9000))] {
            assert_eq!(split(&row, b',', 4097).len(), 4097);
        }
        assert_eq!(split(" 1  2\t3 ", b' ', 9), ["1", "2", "3"]);
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
