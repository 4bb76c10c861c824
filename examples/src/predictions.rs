//! The table of probabilities that `predict` and `evaluate` write.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use ecg_core::LabelSet;
use ndarray::ArrayView2;

use crate::write_atomic;

/// Returns a writer of tables that [`ecg_io`] reads. A cell with a `#` is quoted, so that its row is not taken
/// for a comment.
pub fn table_writer<W: Write>(file: W) -> csv::Writer<W> {
    csv::WriterBuilder::new().comment(Some(b'#')).from_writer(file)
}

/// Writes a header line `record,LABEL,...` and a line for each record: its name and its probabilities
/// `[record, label]`.
///
/// Each number is the shortest decimal that reads back as the same value, with a point or an exponent.
///
/// # Errors
/// Returns the error of the file system, with the path.
pub fn write_predictions(
    path: &Path,
    labels: &LabelSet,
    records: &[&str],
    probabilities: ArrayView2<'_, f64>,
) -> Result<()> {
    write_atomic(path, |file| {
        let mut table = table_writer(file);
        table.write_record(std::iter::once("record").chain(labels.iter()))?;
        for (record, row) in records.iter().zip(probabilities.rows()) {
            let cells = row.iter().map(|p| format!("{p:?}"));
            table.write_record(std::iter::once((*record).to_owned()).chain(cells))?;
        }
        table.flush()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_the_same() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("p.csv");
        let labels = LabelSet::new(["AF", "SB"]).expect("labels");
        let p = ndarray::array![[1.0, 0.1 + 0.2], [1e-300, 0.0], [0.5, 0.25]];
        write_predictions(&path, &labels, &["a", "b, c", "#12"], p.view()).expect("writes");
        let text = std::fs::read_to_string(&path).expect("reads");
        let lines = ["record,AF,SB", "a,1.0,0.30000000000000004", "\"b, c\",1e-300,0.0"];
        assert_eq!(text, format!("{}\n\"#12\",0.5,0.25\n", lines.join("\n")));
        let again = ecg_io::read_probabilities(&path).expect("reads");
        assert_eq!(again.rows[0].values, [1.0, 0.1 + 0.2]);
        assert_eq!(again.rows[1].values, [1e-300, 0.0]);
        assert_eq!((again.rows[2].record.as_str(), again.rows.len()), ("#12", 3));
    }
}
