//! Tables of one row a record: predictions and labels.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use ecg_core::LabelSet;
use ndarray::Array2;

/// A CSV table with a column `record` and one column a label.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    /// Record names in the order of the file.
    pub records: Vec<String>,
    /// Line of each record in the file, from 1.
    lines: Vec<usize>,
    /// Whose record it is, where a column `patient` says so.
    patients: Vec<Option<String>>,
    /// The label columns.
    pub labels: LabelSet,
    /// Values `[record, label]`.
    pub values: Array2<f64>,
}

/// Columns of a label table that are no labels.
const NOT_LABELS: [&str; 2] = ["patient", "fold"];

impl Table {
    /// Reads a table of probabilities, each from 0 to 1.
    pub fn predictions(path: &Path) -> Result<Self> {
        Self::read(path, |text| {
            let value = text.parse().ok().filter(|p| (0.0..=1.0).contains(p));
            value.context("is not a probability from 0 to 1")
        })
    }

    /// Reads a table of labels, each 0 or 1.
    pub fn labels(path: &Path) -> Result<Self> {
        Self::read(path, |text| {
            let value = text.parse().ok().filter(|v| *v == 0.0 || *v == 1.0);
            value.context("is neither 0 nor 1")
        })
    }

    fn read(path: &Path, parse: impl Fn(&str) -> Result<f64>) -> Result<Self> {
        let shown = path.display();
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&bytes[..]);
        let head = reader.headers().with_context(|| format!("cannot read {shown}"))?.clone();
        let head: Vec<&str> = head.iter().map(|name| name.trim_start_matches('\u{feff}')).collect();
        let Some(record_column) = head.iter().position(|name| *name == "record") else {
            bail!("{shown}: no column record; the columns are {}", head.join(", "));
        };
        let patient_column = head.iter().position(|name| *name == "patient");
        let columns: Vec<usize> = (0..head.len())
            .filter(|&k| k != record_column && !NOT_LABELS.contains(&head[k]))
            .collect();
        let labels = LabelSet::new(columns.iter().map(|&k| head[k]))
            .with_context(|| format!("{shown}: the label columns"))?;

        let mut records = Vec::new();
        let mut lines = Vec::new();
        let mut patients = Vec::new();
        let mut values = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut counted = (0, 1);
        for row in reader.records() {
            let row = row.with_context(|| format!("cannot read {shown}"))?;
            // The reader's own line is one behind where lines end in CR LF.
            let start = row.position().map_or(0, |position| position.byte() as usize);
            let ends = |range: &[u8]| range.iter().filter(|byte| **byte == b'\n').count();
            counted = (start, counted.1 + ends(&bytes[counted.0..start]));
            let line = counted.1 + usize::from(bytes.get(start) == Some(&b'\n'));
            let record = row.get(record_column).unwrap_or_default();
            ensure!(!record.is_empty(), "{shown}:{line}: the record has no name");
            if let Some(first) = seen.insert(record.to_owned(), line) {
                bail!("{shown}:{line}: record {record} was already in line {first}");
            }
            for &k in &columns {
                let text = row.get(k).unwrap_or_default();
                values.push(parse(text).map_err(|why| {
                    anyhow::anyhow!(
                        "{shown}:{line}: record {record}, label {}: {text:?} {why}",
                        head[k]
                    )
                })?);
            }
            records.push(record.to_owned());
            let patient = patient_column.and_then(|k| row.get(k)).filter(|text| !text.is_empty());
            patients.push(patient.map(str::to_owned));
            lines.push(line);
        }
        ensure!(!records.is_empty(), "{shown} has no rows");
        let values = Array2::from_shape_vec((records.len(), labels.len()), values)?;
        Ok(Self { path: path.to_owned(), records, lines, patients, labels, values })
    }

    /// The truth `[record, label]` for these predictions, out of a table of labels, and whose each record is (`None` where
    /// the table does not say).
    ///
    /// A record matches by its name; else by its base name, where no other record has that.
    ///
    /// # Errors
    /// A record that only one side has; a predicted label that the truth does not know.
    pub fn truth_from(&self, truth: &Table) -> Result<(Array2<bool>, Vec<Option<String>>)> {
        let columns = self.match_columns(truth)?;
        for label in truth.labels.iter().filter(|label| self.labels.index_of(label).is_none()) {
            eprintln!(
                "warning: label {label} of {} has no predictions and is left out",
                truth.path.display()
            );
        }
        let rows = self.match_rows(truth)?;
        let holds = Array2::from_shape_fn(self.values.dim(), |(n, k)| {
            truth.values[[rows[n], columns[k]]] == 1.0
        });
        Ok((holds, rows.iter().map(|&row| truth.patients[row].clone()).collect()))
    }

    /// The values of another table in the order of this one, rows and columns.
    ///
    /// # Errors
    /// A record or a label that only one side has.
    pub fn aligned(&self, other: &Table) -> Result<Array2<f64>> {
        let columns = self.match_columns(other)?;
        other.match_columns(self)?;
        let rows = self.match_rows(other)?;
        Ok(Array2::from_shape_fn(self.values.dim(), |(n, k)| other.values[[rows[n], columns[k]]]))
    }

    /// The column of each label in another table.
    fn match_columns(&self, other: &Table) -> Result<Vec<usize>> {
        let find = |label: &str| {
            other.labels.index_of(label).with_context(|| {
                format!(
                    "{}: unknown label {label}; the labels of {} are {}",
                    self.path.display(),
                    other.path.display(),
                    other.labels
                )
            })
        };
        self.labels.iter().map(find).collect()
    }

    fn match_rows(&self, truth: &Table) -> Result<Vec<usize>> {
        let by_name: HashMap<&str, usize> =
            truth.records.iter().enumerate().map(|(row, name)| (name.as_str(), row)).collect();
        // None where several records share a base name.
        let mut by_base: HashMap<&str, Option<usize>> = HashMap::new();
        for (row, name) in truth.records.iter().enumerate() {
            by_base.entry(base(name)).and_modify(|own| *own = None).or_insert(Some(row));
        }
        let find = |name: &str| {
            by_name.get(name).copied().or_else(|| by_base.get(base(name)).copied().flatten())
        };
        let rows: Vec<Option<usize>> = self.records.iter().map(|name| find(name)).collect();
        missing(self, &truth.path, |row| rows[row].is_none())?;
        let rows: Vec<usize> = rows.into_iter().flatten().collect();
        let mut used: Vec<Option<usize>> = vec![None; truth.records.len()];
        for (own, &row) in rows.iter().enumerate() {
            if let Some(other) = used[row].replace(own) {
                bail!(
                    "{}:{}: records {} and {} both match record {} of {}",
                    self.path.display(),
                    self.lines[own],
                    self.records[other],
                    self.records[own],
                    truth.records[row],
                    truth.path.display()
                );
            }
        }
        missing(truth, &self.path, |row| used[row].is_none())?;
        Ok(rows)
    }
}

fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// An error that names the first record that the other file lacks, and how many there are.
fn missing(table: &Table, other: &Path, is_missing: impl Fn(usize) -> bool) -> Result<()> {
    let rows: Vec<usize> = (0..table.records.len()).filter(|&row| is_missing(row)).collect();
    let Some(&first) = rows.first() else { return Ok(()) };
    let more = match rows.len() {
        1 => String::new(),
        n => format!(" (nor have {} more)", n - 1),
    };
    bail!(
        "{}:{}: record {} has no row in {}{more}",
        table.path.display(),
        table.lines[first],
        table.records[first],
        other.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path
    }

    #[test]
    fn rows_are_matched_by_record_or_unique_base_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let p =
            Table::predictions(&table(&dir, "p.csv", "record,AF,SB\nb/2,0.9,0.25\n1,0.1,1e-3\n"));
        let p = p.expect("reads");
        let t = "record,patient,SB,AF\nx/1,p1,1,0\nb/2,p2,0,1\n";
        let t = Table::labels(&table(&dir, "t.csv", t)).expect("reads");
        let (truth, patients) = p.truth_from(&t).expect("matches");
        assert_eq!(patients, [Some("p2".to_owned()), Some("p1".to_owned())]);
        assert_eq!(truth, ndarray::array![[true, false], [false, true]]);
        assert_eq!(p.values[[1, 1]], 1e-3);
        let other = "record,SB,AF\n1,0.5,0.25\nb/2,0.75,1\n";
        let other = Table::predictions(&table(&dir, "o.csv", other)).expect("reads");
        assert_eq!(p.aligned(&other).expect("matches"), ndarray::array![[1.0, 0.75], [0.25, 0.5]]);
        let more = "record,SB,AF,NSR\n1,0.5,0.25,0\nb/2,0.75,1,0\n";
        let more = Table::predictions(&table(&dir, "m.csv", more)).expect("reads");
        let error = format!("{:#}", p.aligned(&more).expect_err("a label too many"));
        assert!(error.contains("m.csv: unknown label NSR"), "{error}");
    }

    #[test]
    fn errors_name_file_line_and_record() {
        let dir = tempfile::tempdir().expect("a folder");
        let message = |result: Result<Table>| format!("{:#}", result.expect_err("is bad"));
        let p = |text: &str| Table::predictions(&table(&dir, "p.csv", text));
        let bad = message(p("record,AF\na,0.5\nb,1.5\n"));
        assert!(
            bad.ends_with("p.csv:3: record b, label AF: \"1.5\" is not a probability from 0 to 1"),
            "{bad}"
        );
        assert!(message(p("record,AF\na,nan\n")).contains("p.csv:2"));
        assert!(message(p("record,AF\na,0.5\na,0.5\n")).contains("already in line 2"));
        assert!(message(p("name,AF\na,0.5\n")).contains("no column record"));
        assert!(message(p("record,AF\n")).contains("has no rows"));
        assert!(message(p("record,AF\na,0.5,3\n")).contains("line: 2"));

        let crlf = message(p("record,AF\r\na,0.5\r\nb,x\r\n"));
        assert!(crlf.contains("p.csv:3: record b"), "{crlf}");
        let p = p("record,AF\na,0.5\nb,0.5\n").expect("reads");
        let t = |text: &str| Table::labels(&table(&dir, "t.csv", text)).expect("reads");
        let message = |t: Table| format!("{:#}", p.truth_from(&t).expect_err("does not match"));
        let short = message(t("record,AF\na,1\n"));
        assert!(short.contains("p.csv:3: record b has no row in"), "{short}");
        let long = message(t("record,AF\na,1\nb,1\nc,0\nd,0\n"));
        assert!(long.contains("t.csv:4: record c has no row in"), "{long}");
        assert!(message(t("record,SB\na,1\nb,1\n")).contains("unknown label AF"));
        let two = Table::labels(&table(&dir, "t.csv", "record,AF\na,2\n"));
        assert!(format!("{:#}", two.expect_err("is bad")).contains("neither 0 nor 1"));
    }
}
