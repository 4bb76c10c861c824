//! Reads tables of records by themselves, without a folder of recordings.

use std::path::Path;

use super::ptbxl::PtbXlTable;
use super::table::{RecordRow, RecordTable, Table};
use crate::{IoError, LabelMap, NsrRule};

/// Reads labels from a label file, or from a table like PTB-XL's (one with a column `scp_codes`).
///
/// A label file has the columns `record`, optionally `patient` and `fold`, and one 0/1 column per label. `map` and
/// `rule` apply only to PTB-XL's statements. Records of PTB-XL are named by `filename_hr`; the name in `filename_lr` is
/// given as [`RecordRow::other_name`]. Lines that start with `#` are comments.
///
/// # Errors
/// Fails if the file cannot be read, a column is missing, a cell cannot be read (the error states line and column), or
/// a record occurs twice.
pub fn read_labels(
    path: impl AsRef<Path>,
    map: &LabelMap,
    rule: NsrRule,
) -> Result<RecordTable<bool>, IoError> {
    let path = path.as_ref();
    let table = Table::read(path)?;
    if table.column("scp_codes").is_none() {
        return Ok(RecordTable::of_labels(&table)?.told_apart());
    }
    let rows = PtbXlTable::new(&table)?.rows.into_iter().map(|row| RecordRow {
        line: row.line,
        record: row.record,
        extension: row.extension,
        other_name: row.other_name,
        patient: row.patient,
        fold: row.fold,
        values: map.apply_scp(&row.statements, rule),
    });
    Ok(RecordTable {
        path: path.to_owned(),
        labels: map.labels().clone(),
        rows: rows.collect(),
        from_codes: true,
    })
}

/// Reads predictions: columns `record`, optionally `patient` and `fold`, and one column per label with a probability
/// from 0 to 1.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("predictions.csv");
/// std::fs::write(&path, "record,AF,SB\ngeorgia/E07503,0.93,1e-4\n")?;
/// let table = ecg_io::read_probabilities(&path)?;
/// assert_eq!((table.rows[0].line, table.rows[0].record.as_str()), (2, "georgia/E07503"));
/// assert_eq!(table.rows[0].values, [0.93, 1e-4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Like [`read_labels`].
pub fn read_probabilities(path: impl AsRef<Path>) -> Result<RecordTable<f64>, IoError> {
    let table = Table::read(path.as_ref())?;
    let table = RecordTable::new(&table, "a probability from 0 to 1", |text| {
        text.parse().ok().filter(|p| (0.0..=1.0).contains(p))
    })?;
    Ok(table.told_apart())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("table.csv");
        std::fs::write(&path, text).expect("writes");
        (dir, path)
    }

    #[test]
    fn labels_in_either_form() {
        let (_dir, path) = file(
            "patient_id,scp_codes,strat_fold,filename_lr,filename_hr\n\
             7.0,\"{'AFIB': 100.0}\",3,records100/00000/1_lr,records500/00000/1_hr\n",
        );
        let map = LabelMap::default();
        let table = read_labels(&path, &map, NsrRule::Challenge).expect("reads");
        let row = &table.rows[0];
        assert_eq!(row.record, "records500/00000/1_hr");
        assert_eq!(row.other_name.as_deref(), Some("records100/00000/1_lr"));
        assert_eq!((row.patient.as_deref(), row.fold), (Some("ptbxl-7"), Some(3)));
        let af = table.labels.index_of("AF").expect("a label");
        assert!(row.values[af] && row.values.iter().filter(|on| **on).count() == 1);

        let (_dir, path) = file("record,AF\nx.hea,1\n");
        let table = read_labels(&path, &map, NsrRule::Challenge).expect("reads");
        let row = &table.rows[0];
        assert_eq!(
            (row.record.as_str(), &*row.full_name(), &row.values[..]),
            ("x", "x.hea", &[true][..])
        );
    }

    #[test]
    fn names_keep_the_extension_that_tells_them_apart() {
        for (rows, names) in [
            (["x.mat", "y.hea"], ["x", "y"]),
            (["x.mat", "x"], ["x.mat", "x"]),
            (["a/x.mat", "a/x.csv.gz"], ["a/x.mat", "a/x.csv.gz"]),
        ] {
            let (_dir, path) = file(&format!("record,AF\n{},1\n{},0\n", rows[0], rows[1]));
            let labels = read_labels(&path, &LabelMap::default(), NsrRule::Challenge);
            let labels = labels.expect("reads").rows.into_iter().map(|row| row.record);
            assert_eq!(labels.collect::<Vec<_>>(), names);
            let table = read_probabilities(&path).expect("reads");
            assert_eq!(table.rows.iter().map(|row| &row.record).collect::<Vec<_>>(), names);
            assert!(table.rows.iter().zip(rows).all(|(row, full)| row.full_name() == full));
        }
    }

    #[test]
    fn probabilities_outside_their_range_name_the_place() {
        for bad in ["1.5", "-0.1", "nan", "", "x", "inf"] {
            let (_dir, path) = file(&format!("record,fold,AF\na,1,0.5\nb,1,{bad}\n"));
            let error = read_probabilities(&path).expect_err(bad);
            assert!(
                matches!(&error, IoError::Cell { line: 3, column: 3, found, .. } if found == bad),
                "{error}"
            );
        }
    }
}
