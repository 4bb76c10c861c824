//! The evaluated predictions, and the files that report the results.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ecg_core::LabelSet;
use ecg_metrics::{
    Bootstrap, BootstrapOptions, Calibrator, Comparison, LabelCalibration, Patients, Predictions,
    Report, ReportOptions, calibration, curves, wilson,
};
use ecg3d_examples::metric_charts::{cross_table_svg, reliability_svg};
use ecg3d_examples::source::{self, Failed, LabelArgs, Needs};
use ecg3d_examples::{
    contradictory, remove_if_there, say_err, table_writer, write_atomic, write_json,
    write_predictions, write_text,
};
use ecg3d_models::Precision;
use ndarray::{Array2, Axis};
use serde::Serialize;
use tch::Device;

use crate::choices::{Choices, Chosen, Cutoffs};
use crate::pictures::{precision_recall, roc};
use crate::with_model::classify::classify;
use crate::with_model::keeping::kept;
use crate::with_model::precision::warn_of_imitation;
use crate::with_model::weights::model;

/// The table of probabilities.
const PREDICTIONS: &str = "predictions.csv";
/// What calibrated the probabilities, if anything did.
pub const CALIBRATOR: &str = "calibrator.json";
const REPORT: &str = "report.md";
/// The metrics for programs, and as a table.
const METRICS: &str = "metrics.json";
const METRICS_TABLE: &str = "metrics.csv";
/// The bins of the calibration picture.
const BINS: &str = "calibration.csv";
const ROC: &str = "roc.svg";
const PRECISION_RECALL: &str = "precision_recall.svg";
const CALIBRATION: &str = "calibration.svg";
const CONFUSION: &str = "confusion.svg";
/// The files that are written into the folder for the results.
pub const OUTPUTS: [&str; 10] = [
    PREDICTIONS,
    CALIBRATOR,
    REPORT,
    METRICS,
    METRICS_TABLE,
    BINS,
    ROC,
    PRECISION_RECALL,
    CALIBRATION,
    CONFUSION,
];

/// Predictions with their truth, row by row.
pub struct Judged {
    /// Description of what was evaluated.
    pub what: String,
    /// Description of where the truth comes from.
    pub truth_source: String,
    /// Description of the rules by which labels were read.
    pub rules: String,
    /// Columns of the arrays.
    pub labels: LabelSet,
    /// Rows of the arrays.
    pub records: Vec<String>,
    /// The patient of each record, if known.
    pub patients: Vec<Option<String>>,
    /// The fold of each record, if known.
    pub folds: Vec<Option<u32>>,
    /// `[record, label]`.
    pub truth: Array2<bool>,
    /// `[record, label]`.
    pub probabilities: Array2<f64>,
    /// Other predictions of the same records and labels, by the name of their file.
    pub against: Vec<(String, Array2<f64>)>,
    /// What calibrated the probabilities, and a description of where that comes from.
    pub calibrator: Option<(Calibrator, String)>,
    /// Confidence intervals by patient.
    pub bootstrap: Option<Bootstrap>,
    /// Comparisons with the other predictions, in their order.
    pub comparisons: Vec<Comparison>,
    /// The weights' own thresholds, on the scale of the probabilities.
    pub thresholds: Option<Vec<f64>>,
    /// Records that could not be evaluated.
    pub failed: Vec<Failed>,
}

/// Weights to be evaluated, and the data.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// `None` stands for the weights that ship.
    pub weights: Option<&'a Path>,
    pub device: Device,
    pub precision: Precision,
    pub data: &'a Path,
    pub labels: &'a LabelArgs,
    /// Folder for the results.
    pub out: &'a Path,
    /// Whether to discard what an earlier run left there.
    pub restart: bool,
}

impl Run<'_> {
    /// Predicts the records with the weights' own preprocessing, and writes the probabilities. `choices` are
    /// read for the labels before the records are read, and checked before the records are classified. A label table
    /// that lacks records or labels is noticed before all records are read.
    pub fn judged(
        self,
        choices: impl FnOnce(&LabelSet) -> Result<Choices>,
    ) -> Result<(Judged, Choices)> {
        let Self { weights, device, precision, data, labels, out, restart } = self;
        let model = model(weights, device)?.with_precision(precision);
        warn_of_imitation(precision, model.network().architecture(), device);
        let choices = choices(model.labels())?;
        let needs = Needs { labels: Some(model.labels()), every_record: true, ..Needs::default() };
        let mut source = source::load(data, &model.card().preprocessing, labels, needs)?;
        let truth = source.require_labels(model.labels())?;
        choices.check(&source.names, &source.patients, &source.folds)?;
        let mut kept = kept(&model, &source, &out.join(PREDICTIONS), restart)?;
        let (finite, probabilities) = classify(&model, &mut source, Some(&mut kept))?;
        let judged = Judged {
            what: match weights {
                Some(path) => format!("{model} from {} on {}", path.display(), data.display()),
                None => format!("{model} as it ships on {}", data.display()),
            },
            truth_source: source.label_source.clone(),
            rules: rules(labels),
            labels: model.labels().clone(),
            probabilities,
            thresholds: Some(model.card().threshold_values()),
            patients: finite.iter().map(|&row| source.patients[row].clone()).collect(),
            folds: finite.iter().map(|&row| source.folds[row]).collect(),
            against: Vec::new(),
            calibrator: None,
            bootstrap: None,
            comparisons: Vec::new(),
            records: finite.iter().map(|&row| source.names[row].clone()).collect(),
            truth: truth.select(Axis(0), &finite),
            failed: source.failed,
        };
        judged.write_predictions(out)?;
        kept.remove()?;
        Ok((judged, choices))
    }
}

/// Describes the rules by which labels are read.
pub fn rules(labels: &LabelArgs) -> String {
    format!(
        "Diagnoses count by the label map {} and NSR by the rule {}; a table of 0 and 1, and an archive, stand as they are.",
        labels.label_map, labels.nsr_rule
    )
}

/// The layout of `metrics.json`: the report, followed by the failures.
#[derive(Serialize)]
struct Metrics<'a> {
    #[serde(flatten)]
    report: &'a Report,
    failed: &'a [Failed],
    #[serde(skip_serializing_if = "Option::is_none")]
    calibrator: Option<&'a Calibrator>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thresholds_by_fold: Option<ByFold<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    against: &'a [Against<'a>],
}

/// Thresholds by label.
type ByLabel<'a> = BTreeMap<&'a str, f64>;

/// Thresholds by fold and label, if each fold has its own.
type ByFold<'a> = BTreeMap<u32, ByLabel<'a>>;

/// A comparison with other predictions, with the name of their file and the thresholds at which they are judged.
#[derive(Serialize)]
struct Against<'a> {
    file: &'a str,
    threshold_source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thresholds: Option<ByLabel<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thresholds_by_fold: Option<ByFold<'a>>,
    #[serde(flatten)]
    comparison: &'a Comparison,
}

impl Judged {
    /// Calibrates the probabilities. The weights' thresholds are transformed as well, so that they decide as
    /// before (except for values that become 0 or 1).
    pub fn calibrate(&mut self, calibrator: Calibrator, source: String) -> Result<()> {
        self.probabilities = calibrator.apply(&self.labels, self.probabilities.view())?;
        if let Some(thresholds) = &mut self.thresholds {
            for (label, threshold) in self.labels.iter().zip(thresholds) {
                *threshold = calibrator.label(label)?.apply(*threshold);
            }
        }
        self.calibrator = Some((calibrator, source));
        Ok(())
    }

    /// Computes confidence intervals by patient, and comparisons with the other predictions.
    pub fn resample(&mut self, chosen: &Chosen, options: &BootstrapOptions) -> Result<()> {
        let patients = Patients::from_ids(self.patients.iter().map(Option::as_deref));
        if patients.len() < 2 {
            ensure!(
                self.against.is_empty(),
                "all records are from one patient; --against needs at least two to tell a difference from chance"
            );
            say_err!(
                "warning: all records are from one patient, so there are no intervals by patient"
            );
            return Ok(());
        }
        let (truth, proba) = (self.truth.view(), self.probabilities.view());
        let bootstrap =
            Bootstrap::new(&self.labels, truth, proba, chosen.own.view(), &patients, options);
        self.bootstrap = Some(bootstrap.context("--bootstrap")?);
        let mut comparisons = Vec::with_capacity(self.against.len());
        for ((file, other), (cutoffs, _)) in self.against.iter().zip(&chosen.against) {
            let first = Predictions::new(proba, chosen.own.view());
            let second = Predictions::new(other.view(), cutoffs.view());
            let pair = Comparison::new(&self.labels, truth, first, second, &patients, options);
            comparisons.push(pair.with_context(|| format!("--against {file}"))?);
        }
        Comparison::correct(&mut comparisons);
        self.comparisons = comparisons;
        Ok(())
    }

    /// Writes the probabilities into `out`, before any further step that may fail.
    fn write_predictions(&self, out: &Path) -> Result<()> {
        let names: Vec<&str> = self.records.iter().map(String::as_str).collect();
        write_predictions(&out.join(PREDICTIONS), &self.labels, &names, self.probabilities.view())
    }

    /// Writes all files into `out`, including the probabilities again, since they may have been calibrated.
    pub fn write(&self, chosen: &Chosen, options: &ReportOptions, out: &Path) -> Result<Report> {
        let (truth, p) = (self.truth.view(), self.probabilities.view());
        let mut report = Report::new(&self.labels, truth, p, chosen.own.view(), options)?;
        if let Some(bootstrap) = &self.bootstrap {
            report = report.with_bootstrap(bootstrap.clone())?;
        }
        let measured = calibration(&self.labels, truth, p)?;
        let curves = curves(&self.labels, truth, p)?;
        self.write_predictions(out)?;
        for (name, svg) in [
            (ROC, roc(&report, &curves).svg()),
            (PRECISION_RECALL, precision_recall(&report, &curves).svg()),
            (CALIBRATION, reliability_svg("Calibration over ten bins", &measured)),
            (
                CONFUSION,
                cross_table_svg("Predictions on the records of each label", &report.cross_table),
            ),
        ] {
            write_text(&out.join(name), &svg)?;
        }
        write_bins(&out.join(BINS), &measured)?;
        report = report.with_calibration(measured)?;
        write_text(&out.join(METRICS_TABLE), &report.to_csv())?;
        let path = out.join(CALIBRATOR);
        match &self.calibrator {
            Some((calibrator, _)) => write_json(&path, calibrator)?,
            // The calibrator of an earlier run has nothing to do with these probabilities.
            None if remove_if_there(&path)? => {
                say_err!("removed {}, which an earlier run left", path.display());
            }
            None => {}
        }
        write_text(&out.join(REPORT), &self.markdown(&report, chosen))?;
        let others = self.against.iter().zip(&chosen.against).zip(&self.comparisons);
        let against: Vec<Against> = others
            .map(|(((file, _), (cutoffs, source)), comparison)| Against {
                file,
                threshold_source: source,
                thresholds: match cutoffs {
                    Cutoffs::Labels(own) => Some(self.by_label(own)),
                    Cutoffs::Folds { .. } => None,
                },
                thresholds_by_fold: self.by_fold(cutoffs),
                comparison,
            })
            .collect();
        let metrics = Metrics {
            report: &report,
            failed: &self.failed,
            calibrator: self.calibrator.as_ref().map(|own| &own.0),
            thresholds_by_fold: self.by_fold(&chosen.own),
            against: &against,
        };
        write_json(&out.join(METRICS), &metrics)?;
        Ok(report)
    }

    fn by_label(&self, own: &[f64]) -> ByLabel<'_> {
        self.labels.iter().zip(own.iter().copied()).collect()
    }

    fn by_fold(&self, cutoffs: &Cutoffs) -> Option<ByFold<'_>> {
        match cutoffs {
            Cutoffs::Labels(_) => None,
            Cutoffs::Folds { by_fold, .. } => {
                Some(by_fold.iter().map(|(fold, own)| (*fold, self.by_label(own))).collect())
            }
        }
    }

    fn markdown(&self, report: &Report, chosen: &Chosen) -> String {
        let mut text = format!(
            "# Evaluation\n\nOf {}, against the labels of {}. {}\n\n{}",
            self.what,
            self.truth_source,
            self.rules,
            report.to_markdown()
        );
        let unknown = self.patients.iter().filter(|own| own.is_none()).count();
        if unknown > 0 && self.bootstrap.is_some() {
            text.push_str(&format!(
                "\nThe patients of {unknown} records are unknown, and each of these counts as one of a patient of its own.\n"
            ));
        }
        if self.labels.index_of("NSR").is_some() {
            text.push_str(&format!(
                "\nLabelled NSR together with AF, SB or STach: {} of {} records.\n",
                contradictory(&self.labels, self.truth.view()),
                self.records.len()
            ));
        }
        if let Cutoffs::Folds { by_fold, .. } = &chosen.own {
            text.push_str(&folds_markdown(&self.labels, by_fold));
        }
        if let Some((calibrator, source)) = &self.calibrator {
            text.push_str(&calibrator_markdown(calibrator, source));
        }
        text.push_str(
            "\nWilson's intervals take the records as independent; where one patient has several, they are too narrow. \"Macro \
             balanced accuracy\" and \"argmax agreement\" are what the 3DECG-Net study prints as AUC and accuracy.\n\n\
             ![ROC curves](roc.svg)\n\n![Precision against sensitivity](precision_recall.svg)\n\n\
             ![Calibration](calibration.svg)\n\n![Confusion](confusion.svg)\n",
        );
        let others = self.against.iter().zip(&chosen.against).zip(&self.comparisons);
        for (((file, _), (cutoffs, source)), comparison) in others {
            text.push_str(&format!(
                "\n## Against {file}\n\nFirst is {}, second {file}. {}\n\n{}",
                self.what,
                match cutoffs {
                    Cutoffs::Labels(_) => "Both are judged at the thresholds above.".to_owned(),
                    Cutoffs::Folds { by_fold, .. } => format!(
                        "The first is judged at the thresholds above, the second at thresholds of its own ({source}).\n{}",
                        folds_markdown(&self.labels, by_fold).trim_end()
                    ),
                },
                comparison.to_markdown()
            ));
        }
        if !self.failed.is_empty() {
            text.push_str(&format!("\n{} records could not be judged:\n\n", self.failed.len()));
            for failed in &self.failed {
                text.push_str(&format!("- `{}`: {}\n", failed.record, failed.reason));
            }
        }
        text
    }
}

/// Formats the thresholds of each fold.
fn folds_markdown(labels: &LabelSet, by_fold: &BTreeMap<u32, Vec<f64>>) -> String {
    let row = |cells: &mut dyn Iterator<Item = String>| {
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let names = labels.iter().map(|label| label.replace('|', "\\|"));
    let mut text = String::from("\nThresholds of each fold, chosen on the others:\n\n");
    text.push_str(&row(&mut ["Fold".to_owned()].into_iter().chain(names)));
    text.push_str(&row(&mut (0..=labels.len()).map(|_| "---:".to_owned())));
    for (fold, own) in by_fold {
        let own = own.iter().map(|threshold| format!("{threshold:.4}"));
        text.push_str(&row(&mut [fold.to_string()].into_iter().chain(own)));
    }
    text
}

/// Describes the calibration of the probabilities.
fn calibrator_markdown(calibrator: &Calibrator, source: &str) -> String {
    let mut text = format!(
        "\nThe probabilities were calibrated ({}, {source}): logits times slope, plus intercept.\n\n\
         | Label | Slope | Intercept | Records | With the label | Log loss before | after |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
        calibrator.method()
    );
    for own in calibrator.labels() {
        let [before, after] = own.log_loss;
        let label = own.label.replace('|', "\\|");
        let line = match own.unfitted {
            Some(why) => format!(
                "| {label} | not fitted: {why} | | {} | {} | {before:.4} | |\n",
                own.n, own.positives
            ),
            None => format!(
                "| {label} | {:.4} | {:.4} | {} | {} | {before:.4} | {after:.4} |\n",
                own.slope, own.intercept, own.n, own.positives
            ),
        };
        text.push_str(&line);
    }
    text
}

/// Writes every bin of every label, for both binnings.
fn write_bins(path: &Path, all: &[LabelCalibration]) -> Result<()> {
    write_atomic(path, |file| {
        let mut table = table_writer(file);
        table.write_record([
            "label",
            "binning",
            "low",
            "high",
            "n",
            "positives",
            "mean_probability",
            "positive_rate",
            "wilson_low",
            "wilson_high",
        ])?;
        for own in all {
            for (binning, curve) in
                [("equal_width", &own.equal_width), ("equal_count", &own.equal_count)]
            {
                for (k, [low, high]) in curve.limits.iter().enumerate() {
                    let (positives, n) = (curve.positives[k], curve.count[k]);
                    let [from, to] = wilson(positives, n, 0.95);
                    let cells = [*low, *high].map(|v| v.to_string()).into_iter();
                    let cells = cells.chain([n, positives].map(|v| v.to_string())).chain(
                        [curve.mean_probability[k], curve.positive_rate[k], from, to]
                            .map(|v| v.to_string()),
                    );
                    let names = [own.label.clone(), binning.to_owned()];
                    table.write_record(names.into_iter().chain(cells))?;
                }
            }
        }
        table.flush()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use ecg_metrics::CalibrationMethod;
    use ecg_synth::SynthOptions;
    use ecg3d_examples::synthetic::{Format, write_folder};
    use ecg3d_models::{Architecture, Model, ModelCard, Network, Preset};
    use ndarray::{Array3, array};
    use ndarray_npy::NpzWriter;
    use std::fs::File;

    #[test]
    fn a_label_of_any_name_has_its_bins() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("calibration.csv");
        let labels = LabelSet::new(["#1"]).expect("a label");
        let truth = array![[true], [false]];
        let measured = calibration(&labels, truth.view(), array![[0.9], [0.1]].view());
        write_bins(&path, &measured.expect("measures")).expect("writes");
        let text = std::fs::read_to_string(&path).expect("reads");
        // Without quotes, its rows would be taken for comments.
        assert!(text.lines().skip(1).all(|line| line.starts_with("\"#1\",equal_")), "{text}");
    }

    #[test]
    fn weights_without_thresholds_decide_as_before_once_calibrated() {
        let [data, out] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let options = SynthOptions::default().with_seconds(3.0).with_sampling_rate_hz(100.0);
        write_folder(data.path(), 3, options, Format::Wfdb).expect("synthesises");
        // All records are of one patient, who is called like the first.
        let table = data.path().join("labels.csv");
        let text = std::fs::read_to_string(&table).expect("reads");
        let rows = text.lines().enumerate().map(|(line, row)| {
            let mut cells: Vec<&str> = row.split(',').collect();
            cells[1] = if line == 0 { "patient" } else { "synth00000" };
            format!("{}\n", cells.join(","))
        });
        std::fs::write(&table, rows.collect::<String>()).expect("writes");
        let (network, mut card) = Model::synthetic(Device::Cpu).expect("loads").into_parts();
        card.thresholds = None;
        let weights = out.path().join("half.safetensors");
        Model::new(network, card).expect("fits").save(&weights).expect("writes");
        let run = Run {
            weights: Some(&weights),
            device: Device::Cpu,
            precision: Precision::F32,
            data: data.path(),
            labels: &LabelArgs::default(),
            out: out.path(),
            restart: false,
        };
        let args = crate::Args::parse_from(["evaluate", "--data", "data", "--out", "out"]);
        let (mut judged, _) = run.judged(|labels| Choices::read(&args, labels)).expect("judges");
        assert_eq!(judged.patients, vec![Some("synth00000".to_owned()); 3]);
        let n = judged.labels.len();
        assert_eq!(judged.thresholds, Some(vec![0.5; n]));

        let decisions = |judged: &Judged| {
            let thresholds = judged.thresholds.clone().expect("the weights'");
            Array2::from_shape_fn(judged.probabilities.dim(), |(row, k)| {
                judged.probabilities[[row, k]] > thresholds[k]
            })
        };
        let before = decisions(&judged);
        let truth = Array2::from_shape_fn((40, n), |(row, _)| row % 4 == 0);
        let p = Array2::from_shape_fn((40, n), |(row, k)| {
            0.1 + 0.2 * f64::from(u8::from(truth[[row, k]])) + 0.3 * (row * 7 % 40) as f64 / 40.0
        });
        let method = CalibrationMethod::Platt;
        let fit = Calibrator::fit(&judged.labels, truth.view(), p.view(), method).expect("fits");
        judged.calibrate(fit, "fitted".to_owned()).expect("calibrates");
        assert_ne!(judged.thresholds, Some(vec![0.5; n]));
        assert_eq!(decisions(&judged), before);
    }

    /// Evaluates weights, or those that ship, with the usual arguments.
    fn judged(weights: Option<&Path>, data: &Path, out: &Path) -> Result<Judged> {
        let run = Run {
            weights,
            device: Device::Cpu,
            precision: Precision::F32,
            data,
            labels: &LabelArgs::default(),
            out,
            restart: false,
        };
        let args = crate::Args::parse_from(["evaluate", "--data", "data", "--out", "out"]);
        Ok(run.judged(|labels| Choices::read(&args, labels))?.0)
    }

    #[test]
    fn an_archive_without_a_sidecar_has_the_columns_of_the_weights() {
        let dir = tempfile::tempdir().expect("a folder");
        let labels = LabelSet::new(["STach", "SB", "RBBB", "LBBB", "IAVB", "AF", "NSR"]);
        let labels = labels.expect("labels");
        let (architecture, mode) = (Architecture::Ribeiro, Preset::Corrected);
        let network =
            Network::new(architecture, mode, labels.len(), Device::Cpu, 1).expect("builds");
        let config = architecture.preprocessing(mode);
        let card = ModelCard::new(architecture, mode, labels.clone(), config);
        let weights = dir.path().join("w.safetensors");
        Model::new(network, card).expect("fits").save(&weights).expect("writes");
        let data = dir.path().join("x.npz");
        let mut archive = NpzWriter::new(File::create(&data).expect("creates"));
        archive.add_array("prepared", &Array3::<f32>::zeros((7, 12, 500))).expect("adds");
        archive.add_array("labels", &Array2::<u8>::eye(7)).expect("adds");
        archive.finish().expect("finishes");
        let judged = judged(Some(&weights), &data, dir.path()).expect("judges");
        assert_eq!(judged.labels, labels);
        assert_eq!(judged.truth, Array2::from_shape_fn((7, 7), |(row, label)| row == label));
    }

    #[test]
    fn a_table_that_lacks_records_is_refused_before_all_is_read() {
        let [data, out] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let options = SynthOptions::default().with_seconds(3.0).with_sampling_rate_hz(100.0);
        write_folder(data.path(), 3, options, Format::Wfdb).expect("synthesises");
        let table = data.path().join("labels.csv");
        let text = std::fs::read_to_string(&table).expect("reads");
        let kept: Vec<&str> = text.lines().take(2).collect();
        std::fs::write(&table, kept.join("\n")).expect("writes");
        // It cannot be read, which is not noticed.
        std::fs::write(data.path().join("synth00002.dat"), [0; 7]).expect("writes");
        let error = judged(None, data.path(), out.path()).err().expect("refused").to_string();
        assert!(error.starts_with("record synth00001 and 1 more have no labels in "), "{error}");
    }

    /// Three records of two patients, with other predictions to compare with.
    fn small() -> Judged {
        Judged {
            patients: ["p", "p", "q"].map(|own| Some(own.to_owned())).to_vec(),
            folds: vec![None; 3],
            against: vec![(
                "o.csv".into(),
                array![[0.2, 0.1, 0.2], [0.7, 0.5, 0.0], [0.6, 0.7, 1.0]],
            )],
            calibrator: None,
            bootstrap: None,
            comparisons: Vec::new(),
            what: "p.csv".into(),
            truth_source: "t.csv".into(),
            rules: rules(&LabelArgs::default()),
            labels: LabelSet::new(["NSR", "AF", "never"]).expect("labels"),
            records: ["a", "b, c", "d"].map(String::from).to_vec(),
            truth: array![[true, true, false], [false, true, false], [true, false, false]],
            probabilities: array![[0.9, 0.1, 0.2], [0.123456789012345, 0.5, 0.0], [0.6, 0.7, 1.0]],
            thresholds: None,
            failed: vec![Failed { record: "e".into(), reason: "is short".into() }],
        }
    }

    #[test]
    fn other_predictions_are_shown_with_thresholds_of_their_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut judged = small();
        let folds = |low: f64, high: f64| {
            let by_fold = BTreeMap::from([(0, vec![low; 3]), (7, vec![high; 3])]);
            let all = Array2::from_shape_fn((3, 3), |(row, _)| if row < 2 { low } else { high });
            Cutoffs::Folds { all, by_fold }
        };
        let source = "largest F1 on the other folds, but not in every fold for never";
        let chosen = Chosen {
            own: folds(0.5, 0.25),
            source: "largest F1 on the other folds".into(),
            against: vec![(folds(0.125, 0.375), source.into())],
        };
        let options = BootstrapOptions::default().with_resamples(40);
        judged.resample(&chosen, &options).expect("two patients");
        judged.write(&chosen, &ReportOptions::default(), dir.path()).expect("writes");
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect(name);
        let json: serde_json::Value = serde_json::from_str(&read(METRICS)).expect("JSON");
        let against = &json["against"][0];
        assert_eq!(json["thresholds_by_fold"]["7"]["AF"], 0.25);
        assert_eq!(against["thresholds_by_fold"]["7"]["AF"], 0.375);
        assert_eq!(against["threshold_source"], source);
        assert!(against.get("thresholds").is_none());
        let text = read(REPORT);
        let (_, section) = text.split_once("## Against o.csv\n").expect("a section");
        assert!(section.contains(&format!("the second at thresholds of its own ({source}).\n\n")));
        assert!(
            section.contains("\n| 7 | 0.3750 | 0.3750 | 0.3750 |\n\nDifferences are"),
            "{section}"
        );
    }

    #[test]
    fn all_files_are_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut judged = small();
        let options = ReportOptions::default();
        let half = || Cutoffs::Labels(vec![0.5; 3]);
        let source = || "default".to_owned();
        let against = vec![(half(), source())];
        let chosen = Chosen { own: half(), source: source(), against };
        judged.resample(&chosen, &BootstrapOptions::default()).expect("two patients");
        let calibrator = dir.path().join("calibrator.json");
        std::fs::write(&calibrator, "{}").expect("writes");
        judged.write(&chosen, &options, dir.path()).expect("writes");
        assert!(!calibrator.exists());
        let written = std::fs::read_dir(dir.path())
            .expect("lists")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
        let mut written: Vec<String> = written.collect();
        written.sort();
        let mut expected: Vec<&str> =
            OUTPUTS.into_iter().filter(|name| *name != CALIBRATOR).collect();
        expected.sort_unstable();
        assert_eq!(written, expected);
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect(name);
        let json: serde_json::Value = serde_json::from_str(&read("metrics.json")).expect("JSON");
        assert_eq!((&json["n"], &json["failed"][0]["record"]), (&3.into(), &"e".into()));
        assert!(json["labels"]["never"]["roc_auc"].is_null());
        assert_eq!(json["labels"]["AF"]["tp"], 0);
        assert_eq!(json["bootstrap"]["patients"], 2);
        let against = &json["against"][0];
        assert_eq!(
            (&against["file"], &against["corrected_over"]["mcnemar"]),
            (&"o.csv".into(), &3.into())
        );
        assert_eq!(against["tests"]["NSR"]["mcnemar"]["first_only"], 2);
        assert_eq!(against["thresholds"], serde_json::json!({"NSR": 0.5, "AF": 0.5, "never": 0.5}));
        assert_eq!(against["threshold_source"], "default");
        assert!(against.get("thresholds_by_fold").is_none());
        let section = "\n## Against o.csv\n\nFirst is p.csv, second o.csv. Both are judged at the thresholds above.\n\n";
        assert!(read("report.md").contains(section));
        assert!(read("report.md").contains("Some patients have several records"));
        let table = read("predictions.csv");
        assert!(table.starts_with(
            "record,NSR,AF,never\na,0.9,0.1,0.2\n\"b, c\",0.123456789012345,0.5,0.0\n"
        ));
        assert!(read("report.md").contains("together with AF, SB or STach: 1 of 3 records"));
        for name in ["roc.svg", "precision_recall.svg"] {
            assert!(read(name).contains("never (undefined)") && !read(name).contains("NaN"));
        }
        for name in ["calibration.svg", "confusion.svg"] {
            assert!(read(name).contains(">never") && !read(name).contains("NaN"));
        }
        assert_eq!(json["calibration"]["AF"]["positives"], 2);
        assert_eq!(json["cross_table"]["NSR"]["predicted"]["none"], 0);
        assert!(read("metrics.csv").starts_with("label,threshold,support,tp"));
        assert!(read("calibration.csv").contains("AF,equal_width,0.1,0.2,1,1,0.1,1,"));
    }
}
