use ndarray::Array2;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::render::Map;

/// What is predicted on the records of each label: the confusion matrix of a multi-label classifier.
///
/// Rows are the true labels in order, then the records that have none of them. A record with several labels counts in
/// the row of each. Columns are the predicted labels in order, then "nothing predicted". The diagonal counts the
/// records whose label was found. The other cells count the records on which another label was predicted that they do
/// not have: a correct second label is not a confusion.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrossTable {
    /// The labels, without the name of the last row and column.
    pub labels: Vec<String>,
    /// Number of records in each row.
    pub records: Vec<u64>,
    /// `[row, column]`, one more of each than there are labels.
    pub counts: Array2<u64>,
    /// Name of the last row and column.
    rest: String,
}

impl CrossTable {
    pub(crate) fn new(labels: Vec<String>) -> Self {
        let n = labels.len() + 1;
        let mut rest = "none".to_owned();
        while labels.contains(&rest) {
            rest.push('_');
        }
        Self { labels, records: vec![0; n], counts: Array2::zeros((n, n)), rest }
    }

    /// Counts one record, given for each label whether it holds and whether it is predicted.
    pub(crate) fn count(&mut self, decisions: &[(bool, bool)]) {
        let none = decisions.len();
        let unlabelled = !decisions.iter().any(|own| own.0);
        let silent = !decisions.iter().any(|own| own.1);
        let rows = (0..none).filter(|&row| decisions[row].0).chain(unlabelled.then_some(none));
        for row in rows {
            self.records[row] += 1;
            for (column, &(holds, predicted)) in decisions.iter().enumerate() {
                if predicted && (row == column || !holds) {
                    self.counts[[row, column]] += 1;
                }
            }
            self.counts[[row, none]] += u64::from(silent);
        }
    }

    /// Returns the share of the records of a row that are counted in a column, or NaN for a row without records.
    pub fn share(&self, row: usize, column: usize) -> f64 {
        self.counts[[row, column]] as f64 / self.records[row] as f64
    }

    /// Returns the names of the rows, which are also those of the columns: the labels, then `none`.
    ///
    /// If a label is called `none`, the last name is `none_` instead (and so on).
    pub fn rows(&self) -> impl Iterator<Item = &str> + Clone {
        self.labels.iter().map(String::as_str).chain([self.rest.as_str()])
    }
}

/// A map by row: `n` is its number of records, and `predicted` has the counts by column. Both are named as in
/// [`CrossTable::rows`].
impl Serialize for CrossTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<P> {
            n: u64,
            predicted: P,
        }
        let mut map = serializer.serialize_map(None)?;
        for ((name, n), counts) in self.rows().zip(&self.records).zip(self.counts.rows()) {
            let predicted = Map(self.rows().zip(counts));
            map.serialize_entry(name, &Row { n: *n, predicted })?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correct_second_label_is_no_confusion() {
        let mut table = CrossTable::new(["a", "b"].map(String::from).to_vec());
        table.count(&[(true, true), (true, true)]);
        table.count(&[(true, true), (false, true)]);
        table.count(&[(false, false), (true, false)]);
        table.count(&[(false, true), (false, false)]);
        assert_eq!(table.records, [2, 2, 1]);
        assert_eq!(table.counts, ndarray::array![[2, 1, 0], [0, 1, 1], [1, 0, 0]]);
        assert_eq!(table.share(0, 1), 0.5);
        let json = serde_json::to_value(&table).expect("serialises");
        assert_eq!(json["b"]["predicted"]["none"], 1);
        assert_eq!(json["none"]["n"], 1);
        assert!(CrossTable::new(vec!["a".to_owned()]).share(0, 0).is_nan());
    }

    #[test]
    fn a_label_called_none() {
        let rows = |labels: &[&str]| -> Vec<String> {
            let table = CrossTable::new(labels.iter().map(|own| (*own).to_owned()).collect());
            table.rows().map(str::to_owned).collect()
        };
        assert_eq!(rows(&["a", "None"]), ["a", "None", "none"]);
        assert_eq!(rows(&["none_", "none"]), ["none_", "none", "none__"]);
        let mut table = CrossTable::new(vec!["none".to_owned()]);
        table.count(&[(true, false)]);
        let json = serde_json::to_string(&table).expect("serialises");
        assert_eq!(
            json,
            r#"{"none":{"n":1,"predicted":{"none":0,"none_":1}},"none_":{"n":0,"predicted":{"none":0,"none_":0}}}"#
        );
    }
}
