//! Tables with one row per record: labels or probabilities.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use ecg_core::{CoreError, LabelSet};

use super::matching::RowNames;
use crate::IoError;
use crate::error::clip;
use crate::header::is_unknown;
use crate::text::{check_text, decode_text, read_file};

/// Largest label table that is read.
const MAX_TABLE_BYTES: u64 = 1 << 30;

/// Most columns that a table may have.
const MAX_COLUMNS: usize = 4096;

/// Reads the bytes of a table.
pub(crate) fn read_table(path: &Path) -> Result<Vec<u8>, IoError> {
    read_file(path, MAX_TABLE_BYTES)
}

/// A comma-separated table with a row of column names. Lines that start with `#` are comments.
pub(crate) struct Table {
    path: PathBuf,
    names: Vec<String>,
    names_line: u64,
    /// Line of each row.
    lines: Vec<u64>,
    /// The cells of all rows, one after the other, and the end of each: tables may have a million rows.
    text: String,
    ends: Vec<usize>,
}

/// The cells of a row, as many as the table has names.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'a> {
    text: &'a str,
    /// Start of the first cell, and the end of each.
    start: usize,
    ends: &'a [usize],
}

impl<'a> Cells<'a> {
    /// Returns the cell in a column.
    ///
    /// # Panics
    /// Panics if `column` is not below the number of names.
    pub fn get(self, column: usize) -> &'a str {
        let start = if column == 0 { self.start } else { self.ends[column - 1] };
        &self.text[start..self.ends[column]]
    }
}

impl Table {
    pub fn read(path: &Path) -> Result<Self, IoError> {
        Self::parse(&read_table(path)?, path)
    }

    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, IoError> {
        let content = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
        check_text(content, path)?;
        let mut reader = ::csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .trim(::csv::Trim::All)
            .from_reader(content);
        if let Some(line) = too_wide(content) {
            return Err(IoError::TooManyColumns {
                path: path.to_owned(),
                line,
                limit: MAX_COLUMNS,
            });
        }
        let mut table = Self {
            path: path.to_owned(),
            names: Vec::new(),
            names_line: 1,
            lines: Vec::new(),
            text: String::new(),
            ends: Vec::new(),
        };
        let mut lines = Lines { content, at: 0, line: 1 };
        for record in reader.byte_records() {
            let record = record.expect("memory is read, and rows may have any length and bytes");
            let line = lines.of_record(record.position().map_or(0, ::csv::Position::byte));
            if table.names.is_empty() {
                table.names = record.iter().map(|c| decode_text(c).into_owned()).collect();
                table.names_line = line;
            } else if table.names.len() == record.len() {
                table.lines.push(line);
                for cell in &record {
                    table.text += &decode_text(cell);
                    table.ends.push(table.text.len());
                }
            } else {
                let (expected, found) = (table.names.len(), record.len());
                return Err(IoError::Columns { path: table.path, line, expected, found });
            }
        }
        Ok(table)
    }

    /// Iterates over the rows in order, with their line numbers.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (u64, Cells<'_>)> {
        self.lines.iter().enumerate().map(|(row, &line)| {
            let first = row * self.names.len();
            let start = if first == 0 { 0 } else { self.ends[first - 1] };
            let ends = &self.ends[first..first + self.names.len()];
            (line, Cells { text: &self.text, start, ends })
        })
    }

    /// Returns the number of the column with this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|own| own.eq_ignore_ascii_case(name))
    }

    /// Returns the number of the column with this name, or an error if it is missing.
    pub fn required(&self, column: &'static str) -> Result<usize, IoError> {
        self.column(column).ok_or_else(|| {
            let found = match self.names.is_empty() {
                true => "nothing".to_owned(),
                false => clip(&self.names.join(", ")),
            };
            IoError::MissingColumn { path: self.path.clone(), line: self.names_line, column, found }
        })
    }

    /// Returns the fold in a row, if the table has a fold column and the cell does not say that it is unknown.
    pub fn fold(
        &self,
        line: u64,
        cells: Cells<'_>,
        column: Option<usize>,
    ) -> Result<Option<u32>, IoError> {
        const EXPECTED: &str = "an integer from 0 to 4294967295, or an empty cell";
        let cell = column.map(|k| (k, cells.get(k))).filter(|(_, text)| !is_unknown(text));
        let fold = |(k, text)| integer(text).ok_or_else(|| self.cell(line, k, text, EXPECTED));
        cell.map(fold).transpose()
    }

    /// Creates the error for a second row of a record.
    pub fn duplicate(&self, line: u64, record: String, first: u64) -> IoError {
        IoError::DuplicateRow { path: self.path.clone(), line, record, first }
    }

    /// Creates the error for labels that do not form a valid set.
    pub fn not_labels(&self, source: CoreError) -> IoError {
        IoError::Recording { path: self.path.clone(), line: Some(self.names_line), source }
    }

    pub fn cell(&self, line: u64, column: usize, found: &str, expected: &'static str) -> IoError {
        IoError::Cell {
            path: self.path.clone(),
            line,
            column: column + 1,
            name: self.names[column].clone(),
            found: clip(found),
            expected,
        }
    }
}

/// The position of a byte, as the CSV reader sees it.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// At the start of a row, or of a cell.
    Row,
    Cell,
    /// Within a cell, within quotes, or after a quote that may end them.
    Plain,
    Quoted,
    Quote,
    Comment,
}

/// Returns the line of the first row with too many columns.
///
/// This is checked before the table is parsed, because parsing stores a number for each cell: for a row of nothing but
/// commas, many times its size.
fn too_wide(content: &[u8]) -> Option<u64> {
    let (mut place, mut columns, mut line, mut first_line) = (Place::Row, 1, 1, 1);
    for &byte in content {
        if place == Place::Row {
            (columns, first_line) = (1, line);
        }
        line += u64::from(byte == b'\n');
        place = match (place, byte) {
            (Place::Comment, b'\n') => Place::Row,
            (Place::Comment, _) | (Place::Row, b'#') => Place::Comment,
            (Place::Row | Place::Cell | Place::Quote, b'"') => Place::Quoted,
            (Place::Quoted, b'"') => Place::Quote,
            (Place::Quoted, _) => Place::Quoted,
            (_, b'\n' | b'\r') => Place::Row,
            (_, b',') => {
                columns += 1;
                if columns > MAX_COLUMNS {
                    return Some(first_line);
                }
                Place::Cell
            }
            _ => Place::Plain,
        };
    }
    None
}

/// Counts lines while a table is read.
struct Lines<'a> {
    content: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// Returns the line of the record that the reader started to look for at byte `start`, after skipping line ends,
    /// empty lines and comments.
    fn of_record(&mut self, start: u64) -> u64 {
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(self.content.len());
        self.advance(start.max(self.at));
        loop {
            let rest = &self.content[self.at..];
            let skipped = match rest.first() {
                Some(b'\r' | b'\n') => 1,
                Some(b'#') => rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
                _ => return self.line,
            };
            self.advance(self.at + skipped);
        }
    }

    fn advance(&mut self, to: usize) {
        let ends = self.content[self.at..to].iter().filter(|byte| **byte == b'\n');
        self.line += ends.count() as u64;
        self.at = to;
    }
}

/// One row of a [`RecordTable`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecordRow<T> {
    /// Line of the file, from 1.
    pub line: u64,
    /// Name of the record, with `/` between folders and without extension.
    pub record: String,
    /// The extension after the name in the table, as it is written there, with its dot; empty if there is none.
    pub extension: String,
    /// In PTB-XL's table, the name of the same record at the other sampling rate.
    pub other_name: Option<String>,
    /// The record's patient; `None` if the cell is empty or says `unknown`, `nan`, `n/a`, `na`, `null` or `none`, in
    /// any case.
    pub patient: Option<String>,
    /// The record's fold; `None` under the same conditions.
    pub fold: Option<u32>,
    /// One value for each label.
    pub values: Vec<T>,
}

impl<T> RecordRow<T> {
    /// Returns the name with its extension, which may be part of the record's own name: the file `x.mat.csv` is the
    /// record `x.mat`.
    pub fn full_name(&self) -> Cow<'_, str> {
        full_name(&self.record, &self.extension)
    }

    /// Returns its names.
    pub(super) fn names(&self) -> RowNames<'_> {
        let Self { line, record, extension, other_name, .. } = self;
        RowNames { line: *line, record, extension, other: other_name.as_deref() }
    }
}

/// Returns a name with its extension.
pub(super) fn full_name<'a>(record: &'a str, extension: &str) -> Cow<'a, str> {
    match extension {
        "" => Cow::Borrowed(record),
        extension => Cow::Owned(format!("{record}{extension}")),
    }
}

/// A table with one row per record: its name, optionally patient and fold, and a value for each label.
///
/// Returned by [`read_labels`](crate::read_labels) and [`read_probabilities`](crate::read_probabilities).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecordTable<T> {
    /// The file.
    pub path: PathBuf,
    /// The labels, in the order of their columns.
    pub labels: LabelSet,
    /// The rows in the order of the file; no record occurs twice. Names that differ only in their extensions keep them.
    pub rows: Vec<RecordRow<T>>,
    /// Whether the values were derived from diagnosis codes, as those of a table like PTB-XL's are.
    pub from_codes: bool,
}

impl RecordTable<bool> {
    /// Reads a label file: columns `record`, optionally `patient` and `fold`, then one 0/1 column per label.
    pub(crate) fn of_labels(table: &Table) -> Result<Self, IoError> {
        Self::new(table, "0 or 1", |text| match text {
            "0" | "0.0" => Some(false),
            "1" | "1.0" => Some(true),
            _ => None,
        })
    }

    /// Reads the records, patients and folds of a label file, whatever its other columns are.
    pub(crate) fn without_labels(table: &Table) -> Result<Self, IoError> {
        let none = LabelSet::default();
        let values = vec![false; none.len()];
        Self::of_rows(table, none, |_, _| Ok(values.clone()))
    }
}

impl<T> RecordTable<T> {
    /// Reads a table with the columns of a label file, whose values are parsed with `parse`.
    pub(crate) fn new(
        table: &Table,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Self, IoError> {
        let record = table.required("record")?;
        let (patient, fold) = (table.column("patient"), table.column("fold"));
        let label_columns: Vec<usize> = (0..table.names.len())
            .filter(|&k| k != record && Some(k) != patient && Some(k) != fold)
            .collect();
        if label_columns.is_empty() {
            return Err(IoError::MissingColumn {
                path: table.path.clone(),
                line: table.names_line,
                column: "(one for each label)",
                found: clip(&table.names.join(", ")),
            });
        }
        let labels = LabelSet::new(label_columns.iter().map(|&k| table.names[k].clone()))
            .map_err(|source| table.not_labels(source))?;
        Self::of_rows(table, labels, |line, cells| {
            let value =
                |k| parse(cells.get(k)).ok_or_else(|| table.cell(line, k, cells.get(k), expected));
            label_columns.iter().map(|&k| value(k)).collect()
        })
    }

    /// Reads names, patients and folds, and the other values of each row with `values`.
    fn of_rows(
        table: &Table,
        labels: LabelSet,
        values: impl Fn(u64, Cells<'_>) -> Result<Vec<T>, IoError>,
    ) -> Result<Self, IoError> {
        let record = table.required("record")?;
        let (patient, fold) = (table.column("patient"), table.column("fold"));
        let mut out = Vec::with_capacity(table.rows().len());
        for (line, cells) in table.rows() {
            let (name, extension) = record_key(cells.get(record));
            if name.is_empty() {
                return Err(table.cell(line, record, cells.get(record), "a record name"));
            }
            let fold = table.fold(line, cells, fold)?;
            let values = values(line, cells)?;
            let patient = patient.map(|k| cells.get(k)).filter(|id| !is_unknown(id));
            out.push(RecordRow {
                line,
                record: name,
                extension,
                other_name: None,
                patient: patient.map(str::to_owned),
                fold,
                values,
            });
        }
        match first_double(&out) {
            Some((first, double)) => {
                Err(table.duplicate(double.line, double.full_name().into_owned(), first.line))
            }
            None => Ok(Self { path: table.path.clone(), labels, rows: out, from_codes: false }),
        }
    }

    /// Restores the extensions of names that differ only in their extensions, for callers who do not know the records.
    pub(super) fn told_apart(mut self) -> Self {
        let mut sorted: Vec<&mut RecordRow<T>> = self.rows.iter_mut().collect();
        sorted.sort_by(|a, b| a.record.cmp(&b.record));
        let equal = sorted.chunk_by_mut(|a, b| a.record == b.record);
        for row in equal.filter(|rows| rows.len() > 1).flatten() {
            row.record.push_str(&std::mem::take(&mut row.extension));
        }
        self
    }
}

/// Returns the first row whose record already has a row, preceded by that earlier row.
fn first_double<T>(rows: &[RecordRow<T>]) -> Option<(&RecordRow<T>, &RecordRow<T>)> {
    fn key<T>(row: &RecordRow<T>) -> (&str, &str) {
        (&row.record, &row.extension)
    }
    let mut sorted: Vec<&RecordRow<T>> = rows.iter().collect();
    sorted.sort_by(|a, b| (key(a), a.line).cmp(&(key(b), b.line)));
    let pairs = sorted.windows(2).map(|pair| (pair[0], pair[1]));
    pairs.filter(|(a, b)| key(a) == key(b)).min_by_key(|(_, double)| double.line)
}

/// Parses a whole number, including the form that spreadsheets write (`7.0`).
fn integer(text: &str) -> Option<u32> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

/// Returns a record's name as the data set spells it, with `/` between folders, and the extension that follows it, in
/// any case.
pub(super) fn record_key(text: &str) -> (String, String) {
    let text = text.replace('\\', "/");
    let text = text.strip_prefix("./").unwrap_or(&text);
    let extension = extension_of(text);
    let name = &text[..text.len() - extension.len()];
    (name.to_owned(), extension.to_owned())
}

/// Returns the end of a name that is the extension of a recording's file, with its dot and in any case; empty if there
/// is none.
pub(super) fn extension_of(name: &str) -> &str {
    const KNOWN: [&str; 7] = [".hea", ".dat", ".mat", ".csv", ".tsv", ".csv.gz", ".tsv.gz"];
    let end = KNOWN.into_iter().find_map(|known| {
        let (_, end) = name.split_at_checked(name.len().checked_sub(known.len())?)?;
        end.eq_ignore_ascii_case(known).then_some(end)
    });
    end.unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RecordTable<bool>, IoError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("labels.csv");
        std::fs::write(&path, text).expect("writes");
        RecordTable::of_labels(&Table::read(&path)?)
    }

    #[test]
    fn a_whole_table() {
        let table =
            read("record,patient,fold,AF,SB\na/x.hea,p1,8,1,0\n./y,,,0.0,1.0\n").expect("ok");
        assert_eq!(table.labels.to_string(), "AF,SB");
        let row =
            |line, record: &str, extension, patient: Option<&str>, fold, values: [bool; 2]| {
                let (record, patient) = (record.into(), patient.map(Into::into));
                let (other_name, values) = (None, values.into());
                let extension = String::from(extension);
                RecordRow { line, record, extension, other_name, patient, fold, values }
            };
        assert_eq!(table.rows[0], row(2, "a/x", ".hea", Some("p1"), Some(8), [true, false]));
        assert_eq!(table.rows[1], row(3, "y", "", None, None, [false, true]));
        let unknown = read("record,patient,AF\na,nan,1\nb,Unknown,0\nc,N/A,0\n").expect("ok");
        assert!(unknown.rows.iter().all(|row| row.patient.is_none()), "{unknown:?}");
        // As R and Python write what is missing.
        let missing = read("record,patient,fold,AF\na,NA,NA,1\nb,None,nan,0\nc,null,NULL,0\n");
        let missing = missing.expect("ok").rows;
        assert!(missing.iter().all(|row| (&row.patient, row.fold) == (&None, None)), "{missing:?}");
    }

    #[test]
    fn extensions_in_any_case() {
        for (text, name, extension) in [
            ("a\\b.CSV", "a/b", ".CSV"),
            ("b.Tsv.gz", "b", ".Tsv.gz"),
            ("x.mat.CSV", "x.mat", ".CSV"),
            ("\u{e9}.hea", "\u{e9}", ".hea"),
            ("\u{1f600}a", "\u{1f600}a", ""),
        ] {
            assert_eq!(record_key(text), (name.to_owned(), extension.to_owned()));
        }
    }

    #[test]
    fn what_is_not_plain_text_is_refused() {
        let utf16: String = "record,AF\nx,1\n".chars().flat_map(|c| [c, '\0']).collect();
        for (text, line) in [(&*utf16, 1), ("record,AF\rx,1\r", 1), ("record,AF\n\u{1b}x,1\n", 2)] {
            let error = read(text).expect_err("is refused");
            assert!(matches!(error, IoError::NotText { line: at, .. } if at == line), "{error}");
        }
    }

    #[test]
    fn lines_are_those_of_the_file() {
        for text in [
            "\u{feff}# by hand\r\nrecord,AF\r\n\r\n# bad:\r\nx,2\r\n",
            "# by hand\nrecord,AF\n\n# bad:\nx,2\n",
        ] {
            let error = read(text).expect_err("is bad");
            assert!(matches!(error, IoError::Cell { line: 5, .. }), "{error}");
        }
        let table = read("record,AF\n\"a\nb\",1\nc,1").expect("ok");
        assert_eq!(table.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn rows_of_very_many_cells_are_refused() {
        let names: Vec<String> = (1..MAX_COLUMNS).map(|k| format!("L{k}")).collect();
        let names = names.join(",");
        let wide = read(&format!("record,{names}\nx{}\n", ",0".repeat(4095))).expect("reads");
        assert_eq!(wide.labels.len(), 4095);
        let quoted = format!("# {}\n\"re\"\"c{}\nord\",AF\n", ",".repeat(9999), ",".repeat(9999));
        assert!(matches!(read(&quoted), Err(IoError::MissingColumn { line: 2, .. })));
        for text in [
            format!("# \"\n\nrecord,{names},AF\n"),
            format!("record,AF\n\"a\"{}\n", ",".repeat(1 << 20)),
            format!("record,AF\na\"b{}\r\n", ",".repeat(5000)),
        ] {
            let line = if text.starts_with('#') { 3 } else { 2 };
            let error = read(&text).expect_err("too many");
            assert!(
                matches!(error, IoError::TooManyColumns { line: at, limit: 4096, .. } if at == line),
                "{error}"
            );
        }
    }

    #[test]
    fn broken_tables_name_the_place() {
        let error = |text| read(text).expect_err(text);
        assert!(matches!(
            error("record,AF\nx,1\ny,2\n"),
            IoError::Cell { line: 3, column: 2, name, found, .. } if name == "AF" && found == "2"
        ));
        assert!(matches!(error("record,AF\nx,\n"), IoError::Cell { line: 2, column: 2, .. }));
        for fold in ["a", "-1", "4294967296"] {
            let error = read(&format!("record,fold,AF\nx,{fold},1\n")).expect_err(fold);
            assert!(matches!(error, IoError::Cell { column: 2, .. }), "{error}");
            let expected = "expected an integer from 0 to 4294967295, or an empty cell";
            assert!(error.to_string().ends_with(expected), "{error}");
        }
        assert!(matches!(error("record,AF\n,1\n"), IoError::Cell { column: 1, .. }));
        assert!(matches!(error("record,AF\nx,1,0\n"), IoError::Columns { line: 2, found: 3, .. }));
        assert!(matches!(error("name,AF\nx,1\n"), IoError::MissingColumn { column: "record", .. }));
        assert!(matches!(error(""), IoError::MissingColumn { .. }));
        assert!(matches!(error("record\nx\n"), IoError::MissingColumn { .. }));
        let error = error("# by hand\nrecord,AF,AF\nx,1,1\n");
        assert!(matches!(error, IoError::Recording { line: Some(2), .. }));
        assert!(error.to_string().ends_with("labels.csv:2"), "{error}");
        let error = |text| read(text).expect_err(text);
        assert!(matches!(
            error("record,AF\na\\x.hea,1\n./a/x.hea,0\n"),
            IoError::DuplicateRow { line: 3, first: 2, record, .. } if record == "a/x.hea"
        ));
    }
}
