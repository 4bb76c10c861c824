//! How well trained weights do on a data set.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use anyhow::Result;
use ecg_metrics::{Report, ReportOptions};
use ecg3d_examples::source::{self, LabelArgs, Source};
use ecg3d_models::Model;
use ndarray::Axis;
use serde::Serialize;

use crate::classify::classify;

/// Averages over the labels unless they say otherwise; `null` where undefined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// Records judged.
    pub records: usize,
    pub roc_auc: f64,
    pub average_precision: f64,
    pub f1: f64,
    /// Over all decisions taken together.
    pub micro_f1: f64,
    /// Share of records with every label right.
    pub subset_accuracy: f64,
}

/// A data set, prepared once for each preprocessing.
pub struct Judge<'a> {
    data: &'a Path,
    labels: &'a LabelArgs,
    sources: HashMap<String, Source>,
    /// Whether a record could not be used.
    pub some_failed: bool,
}

impl<'a> Judge<'a> {
    pub fn new(data: &'a Path, labels: &'a LabelArgs) -> Self {
        Self { data, labels, sources: HashMap::new(), some_failed: false }
    }

    /// The metrics of a model, at its own thresholds.
    ///
    /// # Errors
    /// Data that can't be read, that another preprocessing made, or that lacks labels.
    pub fn metrics(&mut self, model: &Model) -> Result<Metrics> {
        let preprocessing = &model.card().preprocessing;
        // All of it: the hash is of the volumes and leaves out which windows and records there are.
        let key = serde_json::to_string(preprocessing)?;
        let source = match self.sources.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let mut source = source::load(self.data, preprocessing, self.labels)?;
                source.drop_unlabelled()?;
                entry.insert(source)
            }
        };
        let truth = source.require_labels(model.labels())?;
        let (finite, probabilities) = classify(model, source, None)?;
        // They have been reported; with other weights of the same preprocessing they would be again.
        self.some_failed |= !std::mem::take(&mut source.failed).is_empty();
        let report = Report::new(
            model.labels(),
            truth.select(Axis(0), &finite).view(),
            probabilities.view(),
            &model.card().threshold_values(),
            &ReportOptions::default(),
        )?;
        Ok(Metrics {
            records: report.n,
            roc_auc: report.macro_.roc_auc,
            average_precision: report.macro_.average_precision,
            f1: report.macro_.f1,
            micro_f1: report.micro.f1,
            subset_accuracy: report.subset_accuracy,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg_synth::SynthOptions;
    use ecg3d_examples::synthetic::{Format, write_folder};
    use tch::Device;

    #[test]
    fn the_weights_that_ship_are_judged() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = SynthOptions::default().with_seconds(3.0).with_sampling_rate_hz(100.0);
        write_folder(dir.path(), 3, options, Format::Wfdb).expect("synthesises");
        let labels = LabelArgs::default();
        let mut judge = Judge::new(dir.path(), &labels);
        let model = Model::shipped(Device::Cpu).expect("loads");
        let metrics = judge.metrics(&model).expect("judges");
        assert_eq!((metrics.records, judge.some_failed), (3, false));
        assert!((0.0..=1.0).contains(&metrics.f1), "{metrics:?}");
    }
}
