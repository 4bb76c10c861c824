//! Tables of predictions and labels, matched by record.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use ecg_core::LabelSet;
use ecg_io::{RecordRow, RecordTable, RowMatch, base_name, read_probabilities};
use ecg3d_examples::say_err;
use ecg3d_examples::source::LabelArgs;
use ndarray::Array2;

/// A table with a row for each record and a column for each label: probabilities, or the truth.
#[derive(Debug)]
pub struct Table<T> {
    /// The rows in the order of the file.
    pub rows: RecordTable<T>,
    /// Their record names.
    pub records: Vec<String>,
}

/// The truth about some records, row by row.
#[derive(Debug)]
pub struct Truth {
    /// `[record, label]`.
    pub holds: Array2<bool>,
    /// The patient of each record, if known.
    pub patients: Vec<Option<String>>,
    /// The fold of each record, if known.
    pub folds: Vec<Option<u32>>,
}

impl Table<bool> {
    /// Reads a table of labels, each 0 or 1, or one like PTB-XL's.
    pub fn labels(path: &Path, how: &LabelArgs) -> Result<Self> {
        let (table, warnings) = how.read(path)?;
        warnings.iter().for_each(|warning| say_err!("warning: {warning}"));
        Self::new(table)
    }
}

impl Table<f64> {
    /// Reads a table of probabilities, each from 0 to 1.
    pub fn predictions(path: &Path) -> Result<Self> {
        Self::new(read_probabilities(path)?)
    }

    /// Returns the truth for these predictions, from a table of labels. Patients and folds that it does not
    /// state are taken from this table.
    ///
    /// Records are matched as by [`RecordTable::match_records`].
    ///
    /// # Errors
    /// Returns an error if only one side has a record, if several may be meant, or if the truth does not have a
    /// predicted label.
    pub fn truth_from(&self, truth: &Table<bool>) -> Result<Truth> {
        let (own, other) = (&self.rows, &truth.rows);
        let columns = truth.columns_of(&own.labels, own.path.display())?;
        for label in other.labels.iter().filter(|label| own.labels.index_of(label).is_none()) {
            say_err!(
                "warning: label {label} of {} has no predictions and is left out",
                other.path.display()
            );
        }
        let rows = self.match_rows(truth)?;
        let pairs: Vec<_> = own.rows.iter().zip(rows.iter().map(|&row| &other.rows[row])).collect();
        let patient = |(own, truth): &(&RecordRow<f64>, &RecordRow<bool>)| {
            truth.patient.as_ref().or(own.patient.as_ref()).cloned()
        };
        Ok(Truth {
            holds: truth.select(&rows, &columns),
            patients: pairs.iter().map(patient).collect(),
            folds: pairs.iter().map(|(own, truth)| truth.fold.or(own.fold)).collect(),
        })
    }

    /// Returns the values of another table in the order of this one's rows and columns.
    ///
    /// # Errors
    /// Returns an error if only one side has a record or a label.
    pub fn aligned(&self, other: &Self) -> Result<Array2<f64>> {
        let columns = other.columns_of(&self.rows.labels, self.rows.path.display())?;
        self.columns_of(&other.rows.labels, other.rows.path.display())?;
        Ok(other.select(&self.match_rows(other)?, &columns))
    }
}

impl<T> Table<T> {
    fn new(rows: RecordTable<T>) -> Result<Self> {
        ensure!(!rows.rows.is_empty(), "{} has no rows below its header", rows.path.display());
        let records = rows.rows.iter().map(|row| row.record.clone()).collect();
        Ok(Self { rows, records })
    }

    /// Returns the columns of the labels of `whose`, in their order.
    ///
    /// # Errors
    /// Returns an error if this table lacks a label.
    pub fn columns_of(&self, labels: &LabelSet, whose: impl fmt::Display) -> Result<Vec<usize>> {
        let find = |label: &str| {
            self.rows.labels.index_of(label).with_context(|| {
                format!(
                    "{}: no column {label}, a label of {whose}; the labels here are {}",
                    self.rows.path.display(),
                    self.rows.labels
                )
            })
        };
        labels.iter().map(find).collect()
    }

    fn match_rows<U>(&self, truth: &Table<U>) -> Result<Vec<usize>> {
        let (path, other) = (self.rows.path.display(), truth.rows.path.display());
        let found = truth.rows.match_records(&self.records);
        if let Some(row) = found.iter().position(|own| *own == RowMatch::Ambiguous) {
            bail!(
                "{path}:{}: record {} is ambiguous: several rows of {other} may be meant, or several records here by one of them; \
                 expected one row with the full name for each record",
                self.line(row),
                self.records[row]
            );
        }
        let rows: Vec<Option<usize>> = found.into_iter().map(RowMatch::row).collect();
        missing(self, &truth.rows.path, |row| rows[row].is_none())?;
        let rows: Vec<usize> = rows.into_iter().flatten().collect();
        let mut used: Vec<Option<usize>> = vec![None; truth.records.len()];
        for (own, &row) in rows.iter().enumerate() {
            if let Some(before) = used[row].replace(own) {
                bail!(
                    "{path}:{}: records {} and {} both match record {} of {other}",
                    self.line(own),
                    self.records[before],
                    self.records[own],
                    truth.records[row]
                );
            }
        }
        missing(truth, &self.rows.path, |row| used[row].is_none())?;
        Ok(rows)
    }

    /// Returns the first records that are, or may be, among others.
    pub fn shared_with(&self, others: &[String]) -> Shared<'_> {
        let found = self.rows.match_records(others);
        let first = |row_of: fn(&RowMatch) -> Option<usize>| {
            let row = found.iter().filter_map(row_of).min()?;
            Some((self.line(row), &*self.records[row]))
        };
        let by_base = || {
            let k = found.iter().position(|own| *own == RowMatch::Ambiguous)?;
            let has_base = |own: &String| base_name(own) == base_name(&others[k]);
            let row = self.records.iter().position(has_base)?;
            Some((self.line(row), &*self.records[row]))
        };
        Shared {
            by_name: first(|own| if let RowMatch::Name(row) = own { Some(*row) } else { None }),
            by_base: first(|own| if let RowMatch::BaseName(row) = own { Some(*row) } else { None })
                .or_else(by_base),
        }
    }

    /// Returns the line of a record in the file, from 1.
    fn line(&self, row: usize) -> u64 {
        self.rows.rows[row].line
    }
}

impl<T: Copy> Table<T> {
    /// Returns all values `[record, label]`.
    pub fn values(&self) -> Array2<T> {
        let shape = (self.rows.rows.len(), self.rows.labels.len());
        Array2::from_shape_fn(shape, |(row, column)| self.rows.rows[row].values[column])
    }

    /// Returns the values of these rows and columns, in their order.
    fn select(&self, rows: &[usize], columns: &[usize]) -> Array2<T> {
        Array2::from_shape_fn((rows.len(), columns.len()), |(n, k)| {
            self.rows.rows[rows[n]].values[columns[k]]
        })
    }
}

/// Records of a table that also exist elsewhere, each with its line.
#[derive(Debug, PartialEq)]
pub struct Shared<'a> {
    /// The first record with exactly the same name.
    pub by_name: Option<(u64, &'a str)>,
    /// A record that only its base name matches, if possible one that no other record on either side has.
    pub by_base: Option<(u64, &'a str)>,
}

/// Returns an error that names the first record that the other file lacks, and how many there are.
fn missing<T>(table: &Table<T>, other: &Path, is_missing: impl Fn(usize) -> bool) -> Result<()> {
    let rows: Vec<usize> = (0..table.records.len()).filter(|&row| is_missing(row)).collect();
    let Some(&first) = rows.first() else { return Ok(()) };
    let more = match rows.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    bail!(
        "{}:{}: record {} has no row in {}{more}",
        table.rows.path.display(),
        table.line(first),
        table.records[first],
        other.display()
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn table(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path
    }

    fn labels(path: &Path) -> Result<Table<bool>> {
        Table::labels(path, &LabelArgs::default())
    }

    #[test]
    fn rows_are_matched_by_record_or_unique_base_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let p =
            Table::predictions(&table(&dir, "p.csv", "record,AF,SB\nb/2,0.9,0.25\n1,0.1,1e-3\n"));
        let p = p.expect("reads");
        let t = "record,patient,fold,SB,AF\nx/1,p1,,1,0\nb/2,p2,3,0,1\n";
        let t = labels(&table(&dir, "t.csv", t)).expect("reads");
        let truth = p.truth_from(&t).expect("matches");
        assert_eq!(truth.patients, [Some("p2".to_owned()), Some("p1".to_owned())]);
        assert_eq!(truth.folds, [Some(3), None]);
        assert_eq!(truth.holds, ndarray::array![[true, false], [false, true]]);
        assert_eq!(p.values()[[1, 1]], 1e-3);
        let other = "record,SB,AF\n1,0.5,0.25\nb/2,0.75,1\n";
        let other = Table::predictions(&table(&dir, "o.csv", other)).expect("reads");
        assert_eq!(p.aligned(&other).expect("matches"), ndarray::array![[1.0, 0.75], [0.25, 0.5]]);
        let more = "record,SB,AF,NSR\n1,0.5,0.25,0\nb/2,0.75,1,0\n";
        let more = Table::predictions(&table(&dir, "m.csv", more)).expect("reads");
        let error = format!("{:#}", p.aligned(&more).expect_err("a label too many"));
        assert!(
            error.contains("p.csv: no column NSR, a label of ") && error.contains("m.csv; the")
        );
        let shared = |others: [&str; 2]| p.shared_with(&others.map(str::to_owned));
        let first = Some((3, "1"));
        assert_eq!(shared(["1", "3"]), Shared { by_name: first, by_base: None });
        assert_eq!(shared(["x/1", "3"]), Shared { by_name: None, by_base: first });
        assert_eq!(shared(["x/1", "y/1"]), Shared { by_name: None, by_base: first });
        assert_eq!(shared(["x/3", "y/4"]), Shared { by_name: None, by_base: None });
        let swapped = LabelSet::new(["SB", "AF"]).expect("labels");
        assert_eq!(p.columns_of(&swapped, "others").expect("has them"), [1, 0]);
    }

    #[test]
    fn the_table_of_ptb_xl_matches_at_either_rate() {
        let dir = tempfile::tempdir().expect("a folder");
        let text = "patient_id,scp_codes,filename_lr,filename_hr\n\
                    7.0,{'AFIB': 100.0},records100/00000/00001_lr,records500/00000/00001_hr\n\
                    8.0,{'SBRAD': 0.0},records100/00000/00002_lr,records500/00000/00002_hr\n";
        let t = labels(&table(&dir, "ptbxl.csv", text)).expect("reads");
        for names in ["00001_hr,00002_hr", "records100/00000/00001_lr,x/00002_lr"] {
            let (first, second) = names.split_once(',').expect("two");
            let text = format!("record,AF,SB\n{first},0.9,0.1\n{second},0.2,0.6\n");
            let p = Table::predictions(&table(&dir, "p.csv", &text)).expect("reads");
            let truth = p.truth_from(&t).expect("matches");
            assert_eq!(truth.holds, ndarray::array![[true, false], [false, true]]);
            assert_eq!(truth.patients[1].as_deref(), Some("ptbxl-8"));
        }
    }

    #[test]
    fn errors_name_file_line_and_record() {
        let dir = tempfile::tempdir().expect("a folder");
        let message = |result: Result<Table<f64>>| format!("{:#}", result.expect_err("is bad"));
        let p = |text: &str| Table::predictions(&table(&dir, "p.csv", text));
        let bad = message(p("record,AF\na,0.5\nb,1.5\n"));
        assert!(
            bad.ends_with(
                "p.csv:3: column 2 (AF): found \"1.5\", expected a probability from 0 to 1"
            ),
            "{bad}"
        );
        assert!(message(p("record,AF\n")).contains("has no rows"));
        let p = p("record,AF\r\na,0.5\r\nb,0.5\r\n").expect("reads");
        let t = |text: &str| labels(&table(&dir, "t.csv", text)).expect("reads");
        let message =
            |t: Table<bool>| format!("{:#}", p.truth_from(&t).expect_err("does not match"));
        let short = message(t("record,AF\na,1\n"));
        assert!(short.contains("p.csv:3: record b has no row in"), "{short}");
        let long = message(t("record,AF\na,1\nb,1\nc,0\nd,0\n"));
        assert!(long.contains("t.csv:4: record c has no row in"), "{long}");
        assert!(message(t("record,SB\na,1\nb,1\n")).contains("t.csv: no column AF, a label of "));
        let several = message(t("record,AF\na,1\nx/b,1\ny/b,0\n"));
        assert!(several.contains("p.csv:3: record b is ambiguous: "), "{several}");
        let two = labels(&table(&dir, "t.csv", "record,AF\na,2\n"));
        assert!(format!("{:#}", two.expect_err("is bad")).contains("expected 0 or 1"));
    }
}
