//! What the best weights are worth on the validation records.

use std::path::Path;

use anyhow::Result;
use ecg_metrics::{Bootstrap, BootstrapOptions, Intervals, Patients, Report, ReportOptions};
use ecg3d_examples::{write_atomic, write_predictions};
use ecg3d_models::{Outcome, TrainData};
use ndarray::{Array2, Axis};
use serde_json::{Map, Value, json};

/// The figures that the card carries.
const FIGURES: [&str; 6] =
    ["roc_auc", "average_precision", "f1", "sensitivity", "specificity", "precision"];

/// Judges the best weights with intervals by patient (1000 resamples), where there are two patients.
pub fn judge(outcome: &Outcome, data: &TrainData, rows: &[usize]) -> Result<Report> {
    let labels = &outcome.card.labels;
    let truth = truth(data, rows);
    let (truth, p) = (truth.view(), outcome.validation.view());
    let thresholds = outcome.card.threshold_values();
    let options = match outcome.card.thresholds {
        Some(_) => ReportOptions::default().with_threshold_source("these records"),
        None => ReportOptions::default(),
    };
    let report = Report::new(labels, truth, p, &thresholds, &options)?;
    let patients: Vec<&str> = rows.iter().map(|&row| data.patients[row].as_str()).collect();
    let patients = Patients::from_ids(&patients);
    if patients.len() < 2 {
        return Ok(report);
    }
    let options = BootstrapOptions::default();
    let bootstrap = Bootstrap::new(labels, truth, p, &thresholds, &patients, &options)?;
    Ok(report.with_bootstrap(bootstrap)?)
}

/// The figures for the card: each with its interval, where there is one.
pub fn summary(report: &Report) -> Value {
    let figures = |intervals: &Intervals| -> Map<String, Value> {
        let of = |name: &str| Some((name.to_owned(), json!(intervals.get(name)?)));
        FIGURES.iter().filter_map(|name| of(name)).collect()
    };
    let mut out = json!({
        "records": report.n,
        "macro": { "roc_auc": report.macro_.roc_auc, "f1": report.macro_.f1 },
        "chosen_on_these": "the epoch, and the thresholds where they are not 0.5",
    });
    if let Some(bootstrap) = &report.bootstrap {
        out["patients"] = json!(bootstrap.patients);
        out["intervals"] = json!(bootstrap.method());
        out["macro"] = Value::Object(figures(&bootstrap.macro_));
        let labels = bootstrap.labels.iter();
        out["labels"] =
            labels.map(|(label, own)| (label.clone(), Value::Object(figures(own)))).collect();
    }
    json!({ "validation": out })
}

/// Writes `validation.csv`, the probabilities of the validation records, and `validation_labels.csv`, the truth, as
/// `evaluate` reads them.
pub fn write_tables(outcome: &Outcome, data: &TrainData, rows: &[usize], out: &Path) -> Result<()> {
    let labels = &outcome.card.labels;
    let names: Vec<&str> = rows.iter().map(|&row| data.names[row].as_str()).collect();
    write_predictions(&out.join("validation.csv"), labels, &names, outcome.validation.view())?;
    write_atomic(&out.join("validation_labels.csv"), |file| {
        let mut table = csv::Writer::from_writer(file);
        table.write_record(["record", "patient"].into_iter().chain(labels.iter()))?;
        for &row in rows {
            let own = [data.names[row].clone(), data.patients[row].clone()].into_iter();
            table.write_record(own.chain(data.labels.row(row).iter().map(u8::to_string)))?;
        }
        table.flush()
    })
}

fn truth(data: &TrainData, rows: &[usize]) -> Array2<bool> {
    data.labels.select(Axis(0), rows).mapv(|label| label != 0)
}
