//! Metrics for multi-label classifiers, equal to scikit-learn's, which say when a number is undefined.
//!
//! ```
//! use ecg_metrics::ecg_core::LabelSet;
//! use ecg_metrics::ndarray::array;
//! use ecg_metrics::{Report, ReportOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let labels = LabelSet::new(["NSR", "AF"])?;
//! let truth = array![[true, false], [false, true], [true, false], [false, false]]; // [record, label]
//! let probabilities = array![[0.9, 0.2], [0.3, 0.8], [0.4, 0.1], [0.2, 0.6]];
//! let report = Report::new(
//!     &labels,
//!     truth.view(),
//!     probabilities.view(),
//!     &[0.5, 0.5],
//!     &ReportOptions::default(),
//! )?;
//! assert_eq!(report.label("NSR")?.scores.sensitivity, 0.5);
//! assert_eq!(report.macro_.roc_auc, 1.0);
//! println!("{report}");                                   // a text table
//! let json = serde_json::to_string_pretty(&report)?;      // the layout of metrics.json
//! # assert!(json.contains("\"subset_accuracy\": 0.5"));
//! # Ok(())
//! # }
//! ```
//!
//! # Which type for which job
//!
//! | type | purpose |
//! |---|---|
//! | [`Report`] | everything: each label, micro, macro, weighted and samples averages; JSON, Markdown, CSV, text |
//! | [`LabelReport`], [`Confusion`], [`Scores`] | the counts and scores of one label |
//! | [`CrossTable`] | what is predicted on the records of each label |
//! | [`curves`], [`RocCurve`], [`PrCurve`], [`Reliability`] | points for plots |
//! | [`choose_thresholds`], [`ThresholdRule`], [`thresholds_or`] | thresholds from validation data |
//! | [`Thresholds`], [`thresholds_across_folds`] | thresholds per label, or per label and record, chosen on the other folds of a cross-validation |
//! | [`calibration()`], [`LabelCalibration`], [`Binning`] | whether probabilities can be believed |
//! | [`Calibrator`], [`CalibrationMethod`] | temperature and Platt scaling, fitted on validation data |
//! | [`ChallengeWeights`], [`ChallengeScore`] | the score of the PhysioNet/CinC challenges, and thresholds for it |
//! | [`wilson`] | the confidence interval of a proportion |
//! | [`Bootstrap`], [`Patients`] | intervals for every figure, by resampling patients |
//! | [`Comparison`], [`Predictions`] | two models on the same records: differences with intervals, tests, Holm's correction |
//! | [`mcnemar`], [`delong`], [`holm`] | the tests and the correction by themselves |
//! | [`ZeroDivision`] | the result of a division by zero |
//!
//! The [guide] has recipes ([cookbook](guide::cookbook): thresholds, intervals, two models, calibration, curves for
//! your own plotting tool) and a page on [how to report results](guide::reporting).
//!
//! # Conventions
//!
//! Arrays are `[record, label]`, with columns in the order of the [`LabelSet`](ecg_core::LabelSet). A label is
//! predicted if its probability is strictly above its threshold.
//!
//! Counts, averages and curves follow scikit-learn 1.9. Where scikit-learn returns a number for a division by zero,
//! this crate does too, and [`Report::undefined`] names it. Where scikit-learn returns NaN (the ROC-AUC of a label that
//! every record has), this crate does too, but averages are taken over the labels that have a value. A number that
//! takes the place of an undefined score counts as a value: with a [`ZeroDivision`] of 0, the F1 of a label that
//! neither occurs nor is predicted counts as 0 in averages. [`Report::defined`] says for how many labels a score is
//! truly defined. NaN is null in JSON.
//!
//! The 3DECG-Net study prints two figures under names that mean something else. Its "AUC" is the macro average of the
//! balanced accuracy ([`Scores::balanced_accuracy`]); its accuracy is [`Report::argmax_agreement`]. A report gives
//! both, along with the real ROC-AUC and the real (subset) accuracy.
//!
//! # What a report cannot say
//!
//! Wilson intervals treat records as independent. Several recordings of one patient are not, and the intervals are then
//! too narrow: add [`Bootstrap`] intervals by patient ([`Report::with_bootstrap`]). Thresholds that were chosen on the
//! records under evaluation make every thresholded figure too good, and so does a [`Calibrator`] that was fitted on
//! them.
//!
//! With fewer than [`FEW_POSITIVES`] positives or negatives, the Markdown says "too few" beside a label. It says the same
//! beside the label's bootstrap intervals if so few patients have or lack the label. Then read the interval, not the
//! number. Even ten are not enough for an interval to reach its nominal coverage: in simulations, 95 % BCa intervals of
//! an AUC of .96 contained it in 85 % of the cases with about ten positives, in 90 to 93 % with about 24, and in 94 to
//! 95 % with about 80.
//!
//! # Sibling crates
//!
//! `ecg-core` has the label sets, `ecg3d-models` gives the probabilities, and `ecg-lime` explains them.

mod bootstrap;
mod calibration;
mod calibrator;
mod challenge;
mod challenge_thresholds;
mod compare;
mod confusion;
mod cross_table;
mod curve;
mod error;
pub mod guide;
mod interval;
mod logistic;
mod options;
mod patients;
mod ranking;
mod reliability;
mod render;
mod render_calibration;
mod render_intervals;
mod report;
mod rows;
mod scores;
mod significance;
mod threshold;
mod truth;
mod weighted;

// The crates whose types appear in this crate's signatures.
pub use {ecg_core, ndarray};

pub use bootstrap::{
    Bootstrap, BootstrapInterval, BootstrapOptions, FEW_PATIENTS, Intervals, MAX_RESAMPLES,
};
pub use calibration::{LabelCalibration, calibration};
pub use calibrator::{CalibrationMethod, Calibrator, LabelScaling, Unfitted};
pub use challenge::{ChallengeScore, ChallengeWeights};
pub use compare::{Comparison, CorrectedOver, LabelTests, Predictions};
pub use confusion::Confusion;
pub use cross_table::CrossTable;
pub use curve::{PrCurve, RocCurve};
pub use error::MetricsError;
pub use interval::wilson;
pub use options::{ReportOptions, ZeroDivision};
pub use patients::Patients;
pub use reliability::{Binning, Reliability};
pub use report::{Curves, FEW_POSITIVES, LabelReport, Report, Undefined, curves};
pub use rows::SampleScores;
pub use scores::Scores;
pub use significance::{DeLong, McNemar, delong, holm, mcnemar};
pub use threshold::{
    ThresholdRule, Thresholds, choose_thresholds, thresholds_across_folds, thresholds_or,
};
pub use truth::Truth;
