//! Measures how long all metrics of a table take: `speed TRUTH.npy PROBABILITIES.npy`, both `[record, label]`.
//!
//! Also measured are the calibration, and 1000 resamples of the first 1,126 records, each of a patient of its own.
//!
//! Prints seconds as JSON: wall-clock time, and the time of all processors together. `scripts/compare_speed.py` runs
//! it.

use std::time::Instant;

use ecg_core::LabelSet;
use ecg_metrics::{Bootstrap, BootstrapOptions, Patients, Report, ReportOptions, calibration};
use ndarray::{Array2, s};

/// Number of records that are resampled: as many as a fold of a data set has.
const RESAMPLED: usize = 1126;

/// Returns the seconds that all threads have computed, in steps of 10 ms.
fn processor_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [truth, proba] = [1, 2].map(|k| std::env::args().nth(k));
    let usage = "speed TRUTH.npy PROBABILITIES.npy";
    let truth: Array2<u8> = ndarray_npy::read_npy(truth.ok_or(usage)?)?;
    let proba: Array2<f64> = ndarray_npy::read_npy(proba.ok_or(usage)?)?;
    let labels = LabelSet::new((0..truth.ncols()).map(|k| format!("l{k}")))?;
    let thresholds = vec![0.5; labels.len()];
    let mut times = serde_json::Map::new();
    let mut timed = |name: &str, work: &dyn Fn() -> Result<f64, ecg_metrics::MetricsError>| {
        let (clock, processors) = (Instant::now(), processor_seconds()?);
        let figure = work()?;
        let seconds = [clock.elapsed().as_secs_f64(), processor_seconds()? - processors];
        times.insert(name.to_owned(), serde_json::json!({ "seconds": seconds, "figure": figure }));
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    timed("report", &|| {
        let options = ReportOptions::default();
        Report::new(&labels, truth.view(), proba.view(), &thresholds, &options)
            .map(|report| report.macro_.roc_auc)
    })?;
    timed("calibration", &|| {
        calibration(&labels, truth.view(), proba.view()).map(|all| all[0].slope)
    })?;
    timed("bootstrap", &|| {
        let n = truth.nrows().min(RESAMPLED);
        let (truth, proba) = (truth.slice(s![..n, ..]), proba.slice(s![..n, ..]));
        let (patients, options) = (Patients::each_record(n), BootstrapOptions::default());
        Bootstrap::new(&labels, truth, proba, &thresholds, &patients, &options)
            .map(|all| all.macro_.get("roc_auc").map_or(f64::NAN, |own| own.value))
    })?;
    println!("{}", serde_json::Value::Object(times));
    Ok(())
}
