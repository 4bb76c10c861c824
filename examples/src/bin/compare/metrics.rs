//! Evaluation of trained weights on a data set.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use anyhow::Result;
use ecg_metrics::{Report, ReportOptions};
use ecg3d_examples::source::{self, LabelArgs, Needs, Source};
use ecg3d_models::Model;
use ndarray::Axis;
use serde::Serialize;

use crate::with_model::classify::classify;

/// Averages over the labels unless stated otherwise; `null` if undefined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// Number of records evaluated.
    pub records: usize,
    pub roc_auc: f64,
    pub average_precision: f64,
    pub f1: f64,
    /// F1 over all decisions taken together.
    pub micro_f1: f64,
    /// Share of records with every label right.
    pub subset_accuracy: f64,
    /// Number of labels.
    pub labels: usize,
    /// Number of labels that some records have and some lack. The average of the ROC-AUC is over these.
    pub labels_with_roc_auc: usize,
}

/// A data set, prepared once for each preprocessing; an archive, whose columns may be named by the weights, also for
/// each set of labels.
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

    /// Returns the metrics of a model, at its own thresholds.
    ///
    /// # Errors
    /// Returns an error if the data cannot be read, was made with another preprocessing, or lacks labels.
    pub fn metrics(&mut self, model: &Model) -> Result<Metrics> {
        let preprocessing = &model.card().preprocessing;
        let labels = source::has_unnamed_labels(self.data, self.labels).then(|| model.labels());
        // The whole configuration, because its hash covers only the volumes, not which windows and records
        // there are.
        let key = serde_json::to_string(&(preprocessing, labels))?;
        let source = match self.sources.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let needs = Needs { labels, ..Needs::default() };
                let mut source = source::load(self.data, preprocessing, self.labels, needs)?;
                source.drop_unlabelled()?;
                entry.insert(source)
            }
        };
        let truth = source.require_labels(model.labels())?;
        let (finite, probabilities) = classify(model, source, None)?;
        // They have been reported, and would be again for other weights that use the same source.
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
            labels: report.labels.len(),
            labels_with_roc_auc: report
                .labels
                .iter()
                .filter(|own| !own.scores.roc_auc.is_nan())
                .count(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg_core::LabelSet;
    use ecg_metrics::Scores;
    use ecg_synth::SynthOptions;
    use ecg3d_examples::source::Rows;
    use ecg3d_examples::synthetic::{Format, write_folder};
    use ecg3d_models::{Architecture, ModelCard, Network, Preset};
    use ndarray::{Array2, Array3};
    use ndarray_npy::NpzWriter;
    use std::fs::File;
    use tch::Device;

    #[test]
    fn columns_that_no_sidecar_names_are_those_of_each_model() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.npz");
        let mut archive = NpzWriter::new(File::create(&path).expect("creates"));
        archive.add_array("prepared", &Array3::<f32>::zeros((2, 12, 500))).expect("adds");
        archive.add_array("labels", &Array2::<u8>::eye(2)).expect("adds");
        archive.finish().expect("finishes");
        let labels = LabelArgs::default();
        let mut judge = Judge::new(&path, &labels);
        let (architecture, mode) = (Architecture::Ribeiro, Preset::Corrected);
        for set in [["PVC", "AF"], ["AF", "PAC"]] {
            let set = LabelSet::new(set).expect("labels");
            let network = Network::new(architecture, mode, 2, Device::Cpu, 1).expect("builds");
            let card = ModelCard::new(architecture, mode, set, architecture.preprocessing(mode));
            let model = Model::new(network, card).expect("fits");
            assert_eq!(judge.metrics(&model).expect("judges").records, 2);
        }
    }

    #[test]
    fn the_weights_that_ship_are_judged() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = SynthOptions::default().with_seconds(3.0).with_sampling_rate_hz(100.0);
        write_folder(dir.path(), 4, options, Format::Wfdb).expect("synthesises");
        // The last record has no labels.
        let table = dir.path().join("labels.csv");
        let text = std::fs::read_to_string(&table).expect("reads");
        let (labelled, _) = text.trim_end().rsplit_once('\n').expect("lines");
        std::fs::write(&table, labelled).expect("writes");
        let labels = LabelArgs::default();
        let mut judge = Judge::new(dir.path(), &labels);
        let model = Model::shipped(Device::Cpu).expect("loads");
        let metrics = judge.metrics(&model).expect("judges");
        assert_eq!((metrics.records, judge.some_failed), (3, true));

        let card = model.card();
        let source = source::load(dir.path(), &card.preprocessing, &labels, Needs::default());
        let mut source = source.expect("loads");
        source.drop_unlabelled().expect("three have labels");
        let Rows::Prepared { signals, lengths } = &source.rows else { panic!("a folder") };
        let p = model.predict_prepared(signals.view(), Some(lengths)).expect("predicts");
        let truth = source.require_labels(&card.labels).expect("labels");
        let thresholds = card.threshold_values();
        let options = ReportOptions::default();
        let report = Report::new(&card.labels, truth.view(), p.view(), &thresholds, &options)
            .expect("a report");
        let place = Scores::NAMES.iter().position(|name| *name == "roc_auc").expect("a score");
        let expected = Metrics {
            records: 3,
            roc_auc: report.macro_.roc_auc,
            average_precision: report.macro_.average_precision,
            f1: report.macro_.f1,
            micro_f1: report.micro.f1,
            subset_accuracy: report.subset_accuracy,
            labels: 7,
            labels_with_roc_auc: report.defined[place],
        };
        // Compared as text, in which undefined values are equal.
        assert_eq!(format!("{metrics:?}"), format!("{expected:?}"));
    }
}
