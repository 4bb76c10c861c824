//! Splits rows into cells and determines the meaning of columns.

use std::borrow::Cow;

use ecg_core::{Lead, LeadName};

use super::{CsvColumn, CsvOptions, CsvOrientation};
use crate::header::{Unit, unit_of};

/// Most columns that a table may have.
pub(super) const MAX_COLUMNS: usize = 4096;

/// The layout of the file, as shown by its first rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Layout {
    pub delimiter: u8,
    /// Whether the first row names the columns or, if rows are leads, holds the times of the samples.
    pub has_names: bool,
    /// Whether the names are only the numbers of the columns.
    pub numbered: bool,
    pub orientation: CsvOrientation,
}

impl Layout {
    /// Detects the layout from the first row, and from the second if it is known.
    pub fn detect(first_row: &str, second_row: Option<&str>, options: &CsvOptions) -> Self {
        let delimiter = options.delimiter.unwrap_or_else(|| delimiter_of(first_row));
        let orientation = CsvOrientation::SamplesInRows;
        let mut layout = Self { delimiter, has_names: false, numbered: false, orientation };
        let cells = layout.split(first_row);
        let is_text = |cell: &Cow<'_, str>| number(cell, delimiter).is_none();
        let texts = cells.iter().filter(|cell| is_text(cell)).count();
        let is_sample = |row: &str| {
            let (mut below, mut ends_empty) = (layout.each(row), false);
            let mut is_number = |cell: Cow<'_, str>| {
                ends_empty = cell.is_empty();
                number(&cell, delimiter).is_some()
            };
            (0..cells.len()).all(|_| below.next().is_some_and(&mut is_number))
                && below.next().is_none()
                && !ends_empty
        };
        // A name followed by numbers, or more numbers than a recording has leads. If the numbers after a time count
        // the columns, and the row below is as many numbers, it is a sample, and the numbers above are names.
        let lead_first = texts == 1
            && cells.len() > 2
            && is_text(&cells[0])
            && match Column::of(&cells[0]) {
                Column::Time { .. } => {
                    !(count_up(cells.iter().skip(1)).is_some() && second_row.is_some_and(is_sample))
                }
                column => column.is_standard_lead(),
            };
        let names_samples = options.has_names != Some(false)
            && second_row.is_some_and(|row| layout.names_samples(first_row, row));
        let leads_in_rows = lead_first || texts == 0 && cells.len() > MAX_COLUMNS || names_samples;
        if let Some(orientation) = options.orientation {
            layout.orientation = orientation;
        } else if leads_in_rows {
            layout.orientation = CsvOrientation::LeadsInRows;
        }
        layout.has_names = options.has_names.unwrap_or(match layout.orientation {
            CsvOrientation::SamplesInRows => texts > 0,
            CsvOrientation::LeadsInRows => {
                names_samples
                    || texts > 1
                    || cells.first().is_some_and(|cell| !Column::of(cell).is_lead())
            }
        });
        if options.has_names.is_none() {
            // After a named time or row number, other numbers of columns than there are leads are their names.
            let named_index = !cells[0].is_empty() && !Column::of(&cells[0]).is_lead();
            let usual = options.leads.as_ref().map_or(Lead::STANDARD_12.len(), Vec::len);
            layout.numbered = !names_samples
                && (!named_index
                    || layout.orientation == CsvOrientation::LeadsInRows
                    || cells.len() - 1 == usual)
                && second_row.is_some_and(|row| layout.numbers_columns(first_row, row));
            layout.has_names |= layout.numbered;
        }
        layout
    }

    /// Returns whether the first row names the samples of the leads in the rows below: no lead is among its names, it
    /// does not begin with a number, and the row below is a lead's name followed by numbers.
    fn names_samples(&self, first_row: &str, second_row: &str) -> bool {
        let (mut names, mut cells) = (self.each(first_row), self.each(second_row));
        let value = |cell: &str| number(cell, self.delimiter);
        let is_lead = |cell: &str| Column::of(cell).is_standard_lead();
        names.next().is_some_and(|name| !is_lead(&name) && value(&name).is_none_or(f64::is_nan))
            && cells.next().is_some_and(|cell| is_lead(&cell))
            && cells.all(|cell| {
                value(&cell).is_some() && names.next().is_some_and(|name| !is_lead(&name))
            })
            && names.next().is_none()
    }

    /// Returns whether the first row names the columns and does not only count them.
    pub fn names_columns(&self) -> bool {
        self.has_names && !self.numbered
    }

    /// Returns the last comment that names the columns: its position, and the names as a row of the table.
    pub fn names_above<'a>(
        &self,
        comments: impl ExactSizeIterator<Item = &'a str> + DoubleEndedIterator,
        first_row: &str,
        options: &CsvOptions,
    ) -> Option<(usize, String)> {
        let has_names = options.has_names.is_some() || self.has_names;
        if has_names || self.orientation == CsvOrientation::LeadsInRows {
            return None;
        }
        let n_columns = self.split(first_row).len();
        comments.enumerate().rev().find_map(|(k, text)| Some((k, self.names_in(text, n_columns)?)))
    }

    /// Returns the column names in a comment as a row of the table, if there is one for each column: a standard lead, a
    /// time or an ignored column.
    fn names_in(&self, comment: &str, n_columns: usize) -> Option<String> {
        let names = split(comment, delimiter_of(comment), MAX_COLUMNS + 1);
        let columns: Vec<Column> = names.iter().map(|name| Column::of(name)).collect();
        let is_name = |(column, name): (&Column, &Cow<'_, str>)| {
            column.is_standard_lead() || !column.is_lead() && !name.is_empty()
        };
        let delimiter = char::from(self.delimiter);
        let named = columns.iter().zip(&names).all(is_name)
            && columns.iter().any(Column::is_lead)
            && names.len() == n_columns
            && !names.iter().any(|name| name.contains(['"', delimiter]));
        named.then(|| names.join(delimiter.encode_utf8(&mut [0; 4])))
    }

    /// Returns whether the first row only counts the columns, from 0 or 1, with or without an empty cell before them
    /// (above samples, also the name of a time or ignored column).
    ///
    /// There must be more of them than a sample would have by chance. With fewer than twelve, the row below must have
    /// decimals or be empty; with twelve or more it may hold anything.
    fn numbers_columns(&self, first_row: &str, second_row: &str) -> bool {
        const LEAST: usize = 8;
        const SURE: usize = 12;
        let mut numbers = self.each(first_row).peekable();
        let above_samples = self.orientation == CsvOrientation::SamplesInRows;
        let is_index = |cell: &str| cell.is_empty() || above_samples && !Column::of(cell).is_lead();
        let index = numbers.next_if(|cell| is_index(cell)).is_some();
        let Some(count) = count_up(numbers) else { return false };
        let is_decimal = |cell: &str| {
            number(cell, self.delimiter).is_some_and(f64::is_finite)
                && cell.contains(['.', ',', 'e', 'E'])
        };
        let mut below = self.each(second_row).skip(usize::from(index)).peekable();
        count >= LEAST
            && below.peek().is_some()
            && (count >= SURE
                || self.each(second_row).any(|cell| is_decimal(&cell))
                || below.all(|cell| cell.is_empty()))
    }

    /// Returns whether a row has only numbers and times, or states units.
    pub fn holds_values(&self, row: &str) -> bool {
        let is_value = |cell: &str| {
            number(cell, self.delimiter).is_some() || time(cell, self.delimiter).is_some()
        };
        self.each(row).all(|cell| is_value(&cell)) || self.each(row).any(|cell| is_voltage(&cell))
    }

    /// Returns the cells of a row without surrounding whitespace and quotes; at most one more than the limit of
    /// columns.
    pub fn split<'a>(&self, row: &'a str) -> Vec<Cow<'a, str>> {
        split(row, self.delimiter, MAX_COLUMNS + 1)
    }

    /// Iterates over all cells of a row, of which there may be millions.
    pub fn each<'a>(&self, row: &'a str) -> Box<dyn Iterator<Item = Cow<'a, str>> + 'a> {
        each(row, self.delimiter)
    }
}

/// Returns the number of cells if they count up from 0 or 1.
fn count_up(cells: impl Iterator<Item = impl AsRef<str>>) -> Option<usize> {
    let mut cells = cells.peekable();
    let start = usize::from(cells.peek().is_some_and(|cell| cell.as_ref() == "1"));
    let mut count = 0;
    for cell in cells {
        if cell.as_ref() != (start + count).to_string() {
            return None;
        }
        count += 1;
    }
    Some(count)
}

/// Returns whether a cell in a row of units is a unit of voltage.
pub(super) fn is_voltage(cell: &str) -> bool {
    unit_of(cell.trim_matches(['(', ')', '[', ']'])).mv().is_some()
}

/// Returns the delimiter of a row: a tab, else a semicolon, a comma or a bar, else blanks.
fn delimiter_of(row: &str) -> u8 {
    // Every other part is outside quotes.
    let has = |sign: char| row.split('"').step_by(2).any(|part| part.contains(sign));
    let known = ['\t', ';', ',', '|'].into_iter().find(|sign| has(*sign));
    match known {
        Some(sign) => sign as u8,
        // `V1 (uV)` is one name.
        None if has(' ') && !row.contains(['(', '[', '"']) && row.trim().contains(' ') => b' ',
        None => b',',
    }
}

/// Returns the text of a line after its comment character, if it has one.
pub(super) fn comment(line: &str) -> Option<&str> {
    line.trim().strip_prefix('#').map(|text| text.trim_start_matches('#').trim_start())
}

/// Returns at most `most` cells of a row.
pub(super) fn split(row: &str, delimiter: u8, most: usize) -> Vec<Cow<'_, str>> {
    each(row, delimiter).take(most).collect()
}

/// Iterates over the cells of a row. Any number of blanks separates two cells.
fn each(row: &str, delimiter: u8) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
    if delimiter == b' ' {
        return Box::new(row.split_ascii_whitespace().map(Cow::Borrowed));
    }
    let delimiter = char::from(delimiter);
    if row.contains('"') {
        Box::new(Quoted { rest: Some(row), delimiter })
    } else {
        Box::new(row.split(delimiter).map(|cell| Cow::Borrowed(in_single_quotes(cell.trim()))))
    }
}

/// Returns the content of single quotes, in which `rdsamp` puts names and clock times, or else the cell itself.
fn in_single_quotes(cell: &str) -> &str {
    let inner = cell.strip_prefix('\'').and_then(|cell| cell.strip_suffix('\''));
    inner.map_or(cell, str::trim)
}

/// The cells of a row that has quoted cells.
struct Quoted<'a> {
    rest: Option<&'a str>,
    delimiter: char,
}

impl<'a> Iterator for Quoted<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rest?;
        // A doubled quote does not end the quoted text.
        let mut quoted = false;
        let end = row.find(|c| {
            quoted ^= c == '"';
            c == self.delimiter && !quoted
        });
        let cell = &row[..end.unwrap_or(row.len())];
        self.rest = end.map(|end| &row[end + self.delimiter.len_utf8()..]);
        Some(unquoted(cell))
    }
}

/// Returns a cell without surrounding whitespace and quotes.
fn unquoted(cell: &str) -> Cow<'_, str> {
    if !cell.contains('"') {
        return Cow::Borrowed(cell.trim());
    }
    let (mut text, mut quoted) = (String::with_capacity(cell.len()), false);
    let mut chars = cell.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                text.push('"');
            }
            '"' => quoted = !quoted,
            c => text.push(c),
        }
    }
    Cow::Owned(text.trim().to_owned())
}

/// Returns the number in a cell: NaN if the cell is empty or says so, `None` if it is not a number.
///
/// A comma is a decimal separator unless it is the delimiter.
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

/// Returns the time in a cell, in seconds: a number, or hours, minutes and seconds as in `0:01.500`.
pub(super) fn time(cell: &str, delimiter: u8) -> Option<f64> {
    let (whole, seconds) = match cell.rsplit_once(':') {
        Some(parts) => parts,
        None => return number(cell, delimiter).filter(|value| !value.is_nan()),
    };
    let part = |text: &str| match text.starts_with(|c: char| c.is_ascii_digit()) {
        true => number(text, delimiter).filter(|value| value.is_finite()),
        false => None,
    };
    let minutes = match whole.split_once(':') {
        Some((hours, minutes)) => 60.0 * part(hours)? + part(minutes)?,
        None => part(whole)?,
    };
    Some(60.0 * minutes + part(seconds)?)
}

/// Returns the number, from 0, of the requested column among those with these names.
pub(super) fn find<S: AsRef<str>>(column: &CsvColumn, names: &[S]) -> Option<usize> {
    match column {
        CsvColumn::Position(n) => n.checked_sub(1).filter(|n| *n < names.len()),
        CsvColumn::Name(wanted) => names.iter().position(|name| is_called(name.as_ref(), wanted)),
    }
}

/// Returns whether a column has this name, with or without its unit.
fn is_called(name: &str, wanted: &str) -> bool {
    let name = name.trim();
    name.eq_ignore_ascii_case(wanted) || name_and_unit(name).0.eq_ignore_ascii_case(wanted)
}

/// Splits a name such as `V1 (uV)` into name and unit.
fn name_and_unit(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(['(', '[']) {
        Some((base, unit)) if name.ends_with([')', ']']) => {
            (base.trim(), Some(unit[..unit.len() - 1].trim()))
        }
        _ => (name, None),
    }
}

/// The content of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    /// Time, with the size of its unit in seconds.
    Time { seconds: f64 },
    /// A row number, or nothing.
    Ignored,
    /// A lead, with the size of its unit in mV if the name states one.
    Lead { name: LeadName, mv: Option<f64> },
}

impl Column {
    /// Returns the kind of column for a name such as `V1`, `V1 (uV)`, `time_ms` or `sample`.
    pub fn of(name: &str) -> Self {
        let (base, unit) = name_and_unit(name);
        let lower = base.to_ascii_lowercase();
        if let Some(seconds) = time_of(&lower) {
            // Sample numbers and times in an unknown unit are not usable as times.
            let seconds = unit.map_or(Some(seconds), seconds_of);
            return seconds.map_or(Self::Ignored, |seconds| Self::Time { seconds });
        }
        match lower.as_str() {
            "" | "sample" | "samples" | "sample #" | "sample number" | "index" | "n" | "row" => {
                return Self::Ignored;
            }
            _ => {}
        }
        match unit.map(unit_of) {
            Some(Unit::Voltage { mv, .. }) => Self::Lead { name: base.into(), mv: Some(mv) },
            _ => Self::Lead { name: name.into(), mv: None },
        }
    }

    /// Returns a lead column for a name that is known to be a lead, whatever it is.
    pub fn lead_of(name: &str) -> Self {
        match Self::of(name) {
            lead @ Self::Lead { .. } => lead,
            _ => Self::Lead { name: name.into(), mv: None },
        }
    }

    pub fn is_lead(&self) -> bool {
        matches!(self, Self::Lead { .. })
    }

    pub fn is_standard_lead(&self) -> bool {
        matches!(self, Self::Lead { name, .. } if name.lead().is_some())
    }

    /// Takes the unit from a row of units; `false` if the cell is not a unit.
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

/// Returns the size in seconds of the unit in the lower-case name of a time column, such as `t`, `time_us` or
/// `seconds`.
fn time_of(name: &str) -> Option<f64> {
    let is_time = |name| matches!(name, "time" | "t" | "timestamp" | "elapsed time");
    match name.rsplit_once(['_', ' ']) {
        Some((base, unit)) if is_time(base) => seconds_of(unit),
        _ if is_time(name) => Some(1.0),
        // A single letter may be a lead.
        _ if name.len() > 1 && !matches!(name, "min" | "minute" | "second") => seconds_of(name),
        _ => None,
    }
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit.to_lowercase().as_str() {
        "s" | "sec" | "second" | "seconds" | "hh:mm:ss.mmm" => 1.0,
        "ms" | "msec" | "millisecond" | "milliseconds" => 1e-3,
        "us" | "\u{b5}s" | "\u{3bc}s" | "usec" | "microsecond" | "microseconds" => 1e-6,
        "ns" | "nsec" | "nanosecond" | "nanoseconds" => 1e-9,
        "min" | "minute" | "minutes" => 60.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_shows_the_layout() {
        let of = |row| {
            let layout = Layout::detect(row, None, &CsvOptions::default());
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
            let layout = Layout::detect(row, None, &CsvOptions::default());
            (layout.orientation, layout.has_names)
        };
        assert_eq!(of("I,0.1,0.2"), (LeadsInRows, false));
        assert_eq!(of("time,0,0.002"), (LeadsInRows, true));
        assert_eq!(of(&"1,".repeat(MAX_COLUMNS + 1)), (LeadsInRows, false));
        assert_eq!(of("I,0.1,x"), (SamplesInRows, true));
        assert_eq!(of("I,1"), (SamplesInRows, true));
        let wish = CsvOptions::default().with_orientation(Some(LeadsInRows));
        assert!(Layout::detect("lead,0,1", None, &wish).orientation == LeadsInRows);
        let with = |first, second| {
            let layout = Layout::detect(first, Some(second), &CsvOptions::default());
            (layout.orientation, layout.has_names)
        };
        assert_eq!(with(",0,1", "I,0.5,1"), (LeadsInRows, true));
        assert_eq!(with("lead,s0,s1", "v2,0.5,"), (LeadsInRows, true));
        assert_eq!(with("lead,0,1", "I,0.5,1"), (LeadsInRows, true));
        for second in ["I,0.5,1", "0.5,1", "0,0.5,1,2", "x,0.5,1"] {
            assert_eq!(with("time,0,1", second), (LeadsInRows, true), "{second}");
        }
        for (first, second) in [
            (",I,II", "I,1,0.5"),
            (",0,1", "I,1"),
            (",0", "I,1,2"),
            ("a,b", "I,x"),
            ("I,0,x", "II,1,2"),
            ("1,2,3", "II,1,2"),
            ("time,0,1", "0,0.5,1"),
        ] {
            assert_eq!(with(first, second).0, SamplesInRows, "{first}");
        }
    }

    #[test]
    fn a_row_that_counts_the_columns_is_no_sample() {
        let numbered = |first: &str, second: &str| {
            let layout = Layout::detect(first, Some(second), &CsvOptions::default());
            assert_eq!(layout.has_names, layout.numbered);
            layout.numbered
        };
        let floats = "0.5,-1,2,3,4,5,6,7";
        assert!(numbered("0,1,2,3,4,5,6,7", floats));
        assert!(numbered("1,2,3,4,5,6,7,8", floats));
        assert!(numbered(",0,1,2,3,4,5,6,7", &format!("0,{floats}")));
        assert!(numbered("0,1,2,3,4,5,6,7", ",,,,,,,"));
        assert!(numbered(",0,1,2,3,4,5,6,7", "0,,,,,,,,"));
        assert!(numbered("0;1;2;3;4;5;6;7", "0,5;1;2;3;4;5;6;7"));
        // Whole-number samples, one number out of order, decimals, too few.
        assert!(!numbered("0,1,2,3,4,5,6,7", "8,-9,10,11,12,13,14,15"));
        assert!(!numbered("0,1,2,3,4,5,6,7", "nan,NA,,+5,12,13,14,15"));
        let twelve = "0,1,2,3,4,5,6,7,8,9,10,11";
        assert!(numbered(twelve, "8,-9,10,11,12,13,14,15,16,17,18,19"));
        assert!(numbered(&format!("time,{twelve}"), &format!("0,{twelve}")));
        assert!(numbered(&format!("index,{twelve}"), &format!("0,{twelve}")));
        let eight = Layout::detect("index,0,1,2,3,4,5,6,7", Some(floats), &CsvOptions::default());
        assert!(eight.names_columns());
        assert!(!numbered("0,1,2,3,4,5,6,8", floats));
        assert!(!numbered("0,1,2,3,4,5,6,7.0", floats));
        assert!(!numbered("0,1,2,3,4,5,6", "0.5,1,2,3,4,5,6"));
        let said = CsvOptions::default().with_has_names(Some(false));
        assert!(!Layout::detect("0,1,2,3,4,5,6,7", Some(floats), &said).has_names);
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
    fn quoted_cells_have_no_limit() {
        let row = "\"a;b\";".to_owned() + &"\"1\"; 2 ;\"\"\"3\"\"\";".repeat(5000);
        let cells: Vec<_> = each(&row, b';').collect();
        assert_eq!(cells.len(), 15_002);
        assert_eq!(cells[..4], ["a;b", "1", "2", "\"3\""]);
        assert_eq!(cells[15_001], "");
    }

    #[test]
    fn columns_by_name() {
        assert_eq!(Column::of("Time [ms]"), Column::Time { seconds: 1e-3 });
        assert_eq!(Column::of("Time (samples)"), Column::Ignored);
        for (name, seconds) in
            [("t_us", 1e-6), ("time (\u{b5}s)", 1e-6), ("Time ns", 1e-9), ("min", 0.0)]
        {
            let lead = Column::Lead { name: name.into(), mv: None };
            let expected = if seconds > 0.0 { Column::Time { seconds } } else { lead };
            assert_eq!(Column::of(name), expected);
        }
        assert_eq!(Column::of(""), Column::Ignored);
        assert_eq!(Column::of("v1 (uV)"), Column::Lead { name: "v1".into(), mv: Some(1e-3) });
        assert_eq!(Column::of("PLETH (x)"), Column::Lead { name: "PLETH (x)".into(), mv: None });
        let mut lead = Column::of("aVR");
        assert!(lead.is_standard_lead() && lead.set_unit("[\u{b5}V]") && !lead.set_unit("s"));
        assert_eq!(lead, Column::Lead { name: "aVR".into(), mv: Some(1e-3) });
    }
}
