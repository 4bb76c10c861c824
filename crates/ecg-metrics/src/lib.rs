//! Metrics for multi-label classifiers, equal to scikit-learn's, that say where a number is undefined.
//!
//! ```
//! use ecg_core::LabelSet;
//! use ecg_metrics::{Report, ReportOptions};
//! use ndarray::array;
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
//! | type | what |
//! |---|---|
//! | [`Report`] | everything: each label, micro, macro, weighted and samples averages; JSON, Markdown, CSV, text |
//! | [`LabelReport`], [`Confusion`], [`Scores`] | the counts and scores of one label |
//! | [`CrossTable`] | what is predicted on the records of each label |
//! | [`curves`], [`RocCurve`], [`PrCurve`], [`Reliability`] | points for pictures |
//! | [`choose_thresholds`], [`ThresholdRule`] | thresholds from validation data |
//! | [`Thresholds`], [`thresholds_across_folds`] | thresholds for each label, or for each label of each record, chosen on the other folds of a cross-validation |
//! | [`calibration()`], [`LabelCalibration`], [`Binning`] | whether probabilities can be believed |
//! | [`Calibrator`], [`CalibrationMethod`] | temperature and Platt scaling, fitted on validation data |
//! | [`ChallengeWeights`], [`ChallengeScore`] | the score of the PhysioNet/CinC challenges, and thresholds for it |
//! | [`wilson`] | the interval of a proportion |
//! | [`Bootstrap`], [`Patients`] | intervals of every figure, by resampling patients |
//! | [`Comparison`], [`Predictions`] | two models on the same records: differences with intervals, tests, Holm's correction |
//! | [`mcnemar`], [`delong`], [`holm`] | the tests and the correction by themselves |
//! | [`ZeroDivision`] | what a division by zero gives |
//!
//! The [guide] has recipes ([cookbook](guide::cookbook): thresholds, intervals, two models, calibration, curves for a plotting tool
//! of one's own) and a page on [how to report results](guide::reporting).
//!
//! # Conventions
//!
//! Arrays are `[record, label]`, columns in the order of the [`LabelSet`](ecg_core::LabelSet). A label is predicted where its
//! probability is above its threshold, strictly. Counts, averages and curves follow scikit-learn 1.9. Where it returns a number
//! for a division by zero, so do we, and [`Report::undefined`] names it; where it returns NaN (the ROC-AUC of a label that
//! every record has), so do we, but an average is taken over the labels that have a value. A number in the place of an undefined
//! score is a value: with a [`ZeroDivision`] of 0 the F1 of a label that neither occurs nor is predicted counts as 0 in averages.
//! [`Report::defined`] says for how many labels a score is truly defined. NaN is null in JSON.
//!
//! The 3DECG-Net study prints two figures under names that mean something else. Its "AUC" is the macro average of the balanced
//! accuracy ([`Scores::balanced_accuracy`]), its accuracy is [`Report::argmax_agreement`]. Both stand here beside the real
//! ROC-AUC and the real (subset) accuracy.
//!
//! # What a report cannot say
//!
//! Wilson's intervals treat records as independent. Several recordings of one patient are not, and those intervals are then too
//! narrow: add [`Bootstrap`] intervals by patient ([`Report::with_bootstrap`]). Thresholds that were chosen on the records that
//! are judged make every thresholded figure too good, and so does a [`Calibrator`] that was fitted on them. With fewer than
//! [`FEW_POSITIVES`] positives or negatives the report says "too few" beside a label, and beside its bootstrap intervals with so few
//! patients who have or lack it: read its interval, not its number. More are not safe by that alone: simulated 95 % BCa intervals of
//! an AUC of .96 held it in 85 % of the cases with about ten positives, 90 to 93 % with about 24, and 94 to 95 % with about 80.
//!
//! # Sibling crates
//!
//! `ecg-core` has the label sets, `ecg3d-models` the probabilities, `ecg-lime` the reasons.

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
pub use threshold::{ThresholdRule, Thresholds, choose_thresholds, thresholds_across_folds};
pub use truth::Truth;
