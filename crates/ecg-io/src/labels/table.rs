//! Label files: one row for each record.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ecg_core::LabelSet;

use crate::IoError;
use crate::error::clip;
use crate::text::{decode_text, read_file};

/// Largest label table that is read.
const MAX_TABLE_BYTES: u64 = 1 << 30;

/// The bytes of a table.
pub(crate) fn read_table(path: &Path) -> Result<Vec<u8>, IoError> {
    read_file(path, MAX_TABLE_BYTES)
}

/// A comma-separated table with a row of names. Lines that start with `#` are comments.
pub(crate) struct Table {
    path: PathBuf,
    names: Vec<String>,
    names_line: u64,
    /// The cells of each row, as many as names, with its line.
    pub rows: Vec<(u64, Vec<String>)>,
}

impl Table {
    pub fn read(path: &Path) -> Result<Self, IoError> {
        Self::parse(&read_table(path)?, path)
    }

    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, IoError> {
        let content = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
        let mut reader = ::csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .trim(::csv::Trim::All)
            .from_reader(content);
        let path = path.to_owned();
        let mut table = Self { path, names: Vec::new(), names_line: 1, rows: Vec::new() };
        for record in reader.byte_records() {
            let record =
                record.map_err(|source| IoError::Table { path: table.path.clone(), source })?;
            let line = record.position().map_or(0, ::csv::Position::line);
            let cells: Vec<String> = record.iter().map(|c| decode_text(c).into_owned()).collect();
            if table.names.is_empty() {
                (table.names, table.names_line) = (cells, line);
            } else if table.names.len() == cells.len() {
                table.rows.push((line, cells));
            } else {
                let (expected, found) = (table.names.len(), cells.len());
                return Err(IoError::Columns { path: table.path, line, expected, found });
            }
        }
        Ok(table)
    }

    /// Number of the column of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|own| own.eq_ignore_ascii_case(name))
    }

    /// Number of the column of this name, which must be there.
    pub fn required(&self, column: &'static str) -> Result<usize, IoError> {
        self.column(column).ok_or_else(|| {
            let found = match self.names.is_empty() {
                true => "nothing".to_owned(),
                false => clip(&self.names.join(", ")),
            };
            IoError::MissingColumn { path: self.path.clone(), line: self.names_line, column, found }
        })
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

/// One record of a label file.
#[derive(Debug, PartialEq)]
pub(crate) struct LabelRow {
    pub line: u64,
    pub record: String,
    pub patient: Option<String>,
    pub fold: Option<u32>,
    pub labels: Vec<bool>,
}

/// A label file: columns `record`, optional `patient` and `fold`, then one 0/1 column for each label.
#[derive(Debug)]
pub(crate) struct LabelTable {
    pub labels: LabelSet,
    pub rows: Vec<LabelRow>,
}

impl LabelTable {
    pub fn new(table: &Table) -> Result<Self, IoError> {
        let path = || table.path.clone();
        let record = table.required("record")?;
        let (patient, fold) = (table.column("patient"), table.column("fold"));
        let label_columns: Vec<usize> = (0..table.names.len())
            .filter(|&k| k != record && Some(k) != patient && Some(k) != fold)
            .collect();
        if label_columns.is_empty() {
            return Err(IoError::MissingColumn {
                path: path(),
                line: table.names_line,
                column: "(one for each label)",
                found: clip(&table.names.join(", ")),
            });
        }
        let labels = LabelSet::new(label_columns.iter().map(|&k| table.names[k].clone()))
            .map_err(|source| IoError::Recording { path: path(), source })?;
        let mut first_line: HashMap<String, u64> = HashMap::new();
        let mut out = Vec::with_capacity(table.rows.len());
        for (line, cells) in &table.rows {
            let line = *line;
            let name = record_key(&cells[record]);
            if name.is_empty() {
                return Err(table.cell(line, record, &cells[record], "a record name"));
            }
            if let Some(&first) = first_line.get(&name) {
                return Err(IoError::DuplicateRow { path: path(), line, record: name, first });
            }
            first_line.insert(name.clone(), line);
            let text = |column: Option<usize>| {
                column.map(|k| cells[k].as_str()).filter(|text| !text.is_empty())
            };
            let fold = match (fold, text(fold)) {
                (Some(k), Some(text)) => Some(
                    integer(text)
                        .ok_or_else(|| table.cell(line, k, text, "an integer of at least 0"))?,
                ),
                _ => None,
            };
            let labels = label_columns
                .iter()
                .map(|&k| match cells[k].as_str() {
                    "0" | "0.0" => Ok(false),
                    "1" | "1.0" => Ok(true),
                    other => Err(table.cell(line, k, other, "0 or 1")),
                })
                .collect::<Result<_, _>>()?;
            let patient = text(patient).map(str::to_owned);
            out.push(LabelRow { line, record: name, patient, fold, labels });
        }
        Ok(Self { labels, rows: out })
    }
}

/// A whole number, also as spreadsheets write it (`7.0`).
pub(super) fn integer(text: &str) -> Option<u32> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

/// A record's name as the data set spells it: `/` between folders, no extension.
fn record_key(text: &str) -> String {
    let text = text.replace('\\', "/");
    let text = text.strip_prefix("./").unwrap_or(&text);
    let known = [".hea", ".dat", ".mat", ".csv"];
    let stem = known.iter().find_map(|extension| text.strip_suffix(extension));
    stem.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LabelTable, IoError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("labels.csv");
        std::fs::write(&path, text).expect("writes");
        LabelTable::new(&Table::read(&path)?)
    }

    #[test]
    fn a_whole_table() {
        let table =
            read("record,patient,fold,AF,SB\na/x.hea,p1,8,1,0\n./y,,,0.0,1.0\n").expect("ok");
        assert_eq!(table.labels.to_string(), "AF,SB");
        let row = |line, record: &str, patient: Option<&str>, fold, labels: [bool; 2]| LabelRow {
            line,
            record: record.into(),
            patient: patient.map(Into::into),
            fold,
            labels: labels.into(),
        };
        assert_eq!(table.rows[0], row(2, "a/x", Some("p1"), Some(8), [true, false]));
        assert_eq!(table.rows[1], row(3, "y", None, None, [false, true]));
    }

    #[test]
    fn broken_tables_name_the_place() {
        let error = |text| read(text).expect_err(text);
        assert!(matches!(
            error("record,AF\nx,1\ny,2\n"),
            IoError::Cell { line: 3, column: 2, name, found, .. } if name == "AF" && found == "2"
        ));
        assert!(matches!(error("record,AF\nx,\n"), IoError::Cell { line: 2, column: 2, .. }));
        assert!(matches!(error("record,fold,AF\nx,a,1\n"), IoError::Cell { column: 2, .. }));
        assert!(matches!(error("record,AF\n,1\n"), IoError::Cell { column: 1, .. }));
        assert!(matches!(error("record,AF\nx,1,0\n"), IoError::Columns { line: 2, found: 3, .. }));
        assert!(matches!(error("name,AF\nx,1\n"), IoError::MissingColumn { column: "record", .. }));
        assert!(matches!(error(""), IoError::MissingColumn { .. }));
        assert!(matches!(error("record\nx\n"), IoError::MissingColumn { .. }));
        assert!(matches!(error("record,AF,AF\nx,1,1\n"), IoError::Recording { .. }));
        assert!(matches!(
            error("record,AF\nx,1\nx.hea,0\n"),
            IoError::DuplicateRow { line: 3, first: 2, .. }
        ));
    }
}
