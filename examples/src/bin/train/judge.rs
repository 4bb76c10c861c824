//! Evaluation of the best weights on records that they were not trained on.

use std::path::Path;

use anyhow::Result;
use ecg_core::LabelSet;
use ecg_metrics::{Bootstrap, BootstrapOptions, Intervals, Patients, Report, ReportOptions};
use ecg3d_examples::{say, table_writer, write_atomic, write_predictions};
use ecg3d_models::{ModelCard, TrainData};
use ndarray::{ArrayView2, Axis};
use serde_json::{Map, Value, json};

/// The metrics in the card.
const FIGURES: [&str; 6] =
    ["roc_auc", "average_precision", "f1", "sensitivity", "specificity", "precision"];

/// Some records, and the best weights' predictions for them.
pub struct Judged<'a> {
    pub data: &'a TrainData,
    /// The patient of each record of the data, if known.
    pub patients: &'a [Option<String>],
    /// Prefix of the names of their tables.
    pub name: &'static str,
    /// Rows of the records in the data.
    pub rows: &'a [usize],
    /// The fold of each record, if they belong to folds.
    pub folds: Option<&'a [u32]>,
    /// `[record, label]`, in the order of `rows`.
    pub probabilities: ArrayView2<'a, f64>,
    /// Source of the thresholds that are not 0.5.
    pub threshold_source: &'static str,
}

impl Judged<'_> {
    /// Prints the evaluation under a title and writes the tables. Returns the metrics for the card and the
    /// tables' names.
    pub fn show(&self, card: &ModelCard, title: &str, out: &Path) -> Result<(Value, [String; 2])> {
        let report = self.report(card)?;
        say!("\n{title}:\n\n{report}");
        Ok((summary(&report), self.write(&card.labels, out)?))
    }

    /// Computes the metrics, with confidence intervals by patient (1000 resamples) if there are two patients.
    fn report(&self, card: &ModelCard) -> Result<Report> {
        let Self { data, patients, rows, probabilities, threshold_source, .. } = *self;
        let truth = data.labels.select(Axis(0), rows);
        let thresholds = card.threshold_values();
        let options = match card.thresholds {
            Some(_) => ReportOptions::default().with_threshold_source(threshold_source),
            None => ReportOptions::default(),
        };
        let labels = &card.labels;
        let report = Report::new(labels, truth.view(), probabilities, &thresholds, &options)?;
        let patients = Patients::from_ids(rows.iter().map(|&row| patients[row].as_deref()));
        if patients.len() < 2 {
            return Ok(report);
        }
        let options = BootstrapOptions::default();
        let truth = truth.view();
        let bootstrap =
            Bootstrap::new(labels, truth, probabilities, &thresholds, &patients, &options)?;
        Ok(report.with_bootstrap(bootstrap)?)
    }

    /// Writes `NAME.csv`, the probabilities, and `NAME_labels.csv`, the truth, in the form that `evaluate`
    /// reads: the cell of an unknown patient is empty. Returns their names.
    fn write(&self, labels: &LabelSet, out: &Path) -> Result<[String; 2]> {
        let Self { data, patients, name, rows, folds, probabilities, .. } = *self;
        let files = files(name);
        let names: Vec<&str> = rows.iter().map(|&row| data.names[row].as_str()).collect();
        write_predictions(&out.join(&files[0]), labels, &names, probabilities)?;
        write_atomic(&out.join(&files[1]), |file| {
            let mut table = table_writer(file);
            let names = ["record", "patient"].into_iter().chain(folds.map(|_| "fold"));
            table.write_record(names.chain(labels.iter()))?;
            for (k, &row) in rows.iter().enumerate() {
                let patient = patients[row].clone().unwrap_or_default();
                let own = [data.names[row].clone(), patient].into_iter();
                let own = own.chain(folds.map(|folds| folds[k].to_string()));
                let truth = data.labels.row(row);
                let truth = truth.iter().map(|&on| u8::from(on).to_string());
                table.write_record(own.chain(truth))?;
            }
            table.flush()
        })?;
        Ok(files)
    }
}

/// Returns the names of the tables of some records: probabilities and truth.
pub fn files(name: &str) -> [String; 2] {
    [format!("{name}.csv"), format!("{name}_labels.csv")]
}

/// Returns the metrics for the card, each with its interval if there is one.
fn summary(report: &Report) -> Value {
    let figures = |intervals: &Intervals| -> Map<String, Value> {
        let of = |name: &str| Some((name.to_owned(), json!(intervals.get(name)?)));
        FIGURES.iter().filter_map(|name| of(name)).collect()
    };
    let mut out = json!({
        "records": report.n,
        "macro": { "roc_auc": report.macro_.roc_auc, "f1": report.macro_.f1 },
    });
    if let Some(bootstrap) = &report.bootstrap {
        out["patients"] = json!(bootstrap.patients);
        out["intervals"] = json!(bootstrap.method());
        out["macro"] = Value::Object(figures(&bootstrap.macro_));
        let labels = bootstrap.labels.iter();
        out["labels"] =
            labels.map(|(label, own)| (label.clone(), Value::Object(figures(own)))).collect();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg3d_models::{Architecture, Preset};
    use ndarray::{Array3, array};

    #[test]
    fn a_record_of_an_unknown_patient_belongs_to_nobody_else() {
        // The patient of the second record is called like the first record.
        let patients = [None, Some("a".to_owned()), None, Some("a".to_owned())];
        let labels = LabelSet::new(["AF"]).expect("a label");
        let data = TrainData {
            prepared: Array3::zeros((4, 12, 100)),
            lengths: vec![100; 4],
            labels: array![[true], [false], [false], [true]],
            label_set: labels.clone(),
            patients: vec!["only for folds".to_owned(); 4],
            names: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
        };
        let probabilities = array![[0.9], [0.2], [0.4], [0.6]];
        let judged = Judged {
            data: &data,
            patients: &patients,
            name: "validation",
            rows: &[0, 1, 2, 3],
            folds: None,
            probabilities: probabilities.view(),
            threshold_source: "default",
        };
        let (architecture, preset) = (Architecture::Ribeiro, Preset::Corrected);
        let card = ModelCard::new(architecture, preset, labels, architecture.preprocessing(preset));
        let report = judged.report(&card).expect("a report");
        assert_eq!(report.bootstrap.expect("patients").patients, 3);
        let dir = tempfile::tempdir().expect("a folder");
        judged.write(&card.labels, dir.path()).expect("writes");
        let table = std::fs::read_to_string(dir.path().join("validation_labels.csv"));
        let expected = "record,patient,AF\na,,1\nb,a,0\nc,,0\nd,a,1\n";
        assert_eq!(table.expect("reads"), expected);
    }
}
