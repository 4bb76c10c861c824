/// What can be wrong with the input of a metric.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// There are no records.
    #[error("no records to evaluate")]
    Empty,
    /// Truth and values have different numbers of records.
    #[error("the truth has {truth} rows, but the {what} have {found}")]
    RowCount {
        /// What has another number of rows: `probabilities`, `logits`, `first scores` or `second scores`.
        what: &'static str,
        /// Number of rows of the truth.
        truth: usize,
        /// Number of rows of the values.
        found: usize,
    },
    /// An array has another number of columns (or a list another length) than there are labels.
    #[error("{what} for {found} labels, but the label set has {expected} labels")]
    LabelCount {
        /// What has the wrong length: `truth`, `probabilities`, `logits`, `thresholds`, `intervals`, `calibration` or
        /// `weights`.
        what: &'static str,
        /// Number of labels in the set.
        expected: usize,
        /// Number of columns found.
        found: usize,
    },
    /// A probability is NaN or outside 0 to 1.
    #[error("row {row} (from 0){}: {found} is not a probability from 0 to 1", of_label(.label))]
    Probability {
        /// Row, from 0.
        row: usize,
        /// The label; `None` if the probabilities are those of one label without a name.
        label: Option<String>,
        /// The value.
        found: f64,
    },
    /// A truth is neither 0 nor 1.
    #[error("row {row} (from 0), label {label}: the truth must be 0 or 1, found {found}")]
    Truth {
        /// Row, from 0.
        row: usize,
        /// The label.
        label: String,
        /// The value.
        found: String,
    },
    /// A threshold is NaN or outside 0 to 1.
    #[error("{}the threshold of {label} must be from 0 to 1, found {found}", in_row(.row))]
    Threshold {
        /// Row, from 0; `None` if the threshold is for all records.
        row: Option<usize>,
        /// The label.
        label: String,
        /// The value.
        found: f64,
    },
    /// The thresholds are for another number of records than there are.
    #[error("{records} records but thresholds for {thresholds}")]
    ThresholdRows {
        /// Number of records.
        records: usize,
        /// Number of rows of the thresholds.
        thresholds: usize,
    },
    /// The list of folds has another length than there are records.
    #[error("{records} records but folds for {folds}")]
    FoldCount {
        /// Number of records.
        records: usize,
        /// Number of entries in the list of folds.
        folds: usize,
    },
    /// There is no second fold to choose on.
    #[error("all records are in one fold; choosing on the other folds needs at least two")]
    OneFold,
    /// A text for the rule by which thresholds are chosen is none of those known.
    #[error(
        "unknown rule for thresholds {found:?}; expected youden, f1, gbeta, or sensitivity=VALUE from 0 to 1"
    )]
    ThresholdRule {
        /// The text given.
        found: String,
    },
    /// The sensitivity that thresholds should reach is NaN or outside 0 to 1.
    #[error("the target sensitivity of thresholds must be from 0 to 1, found {found}")]
    Sensitivity {
        /// The value.
        found: f64,
    },
    /// The confidence level of intervals is NaN or not between 0 and 1.
    #[error("the confidence level of intervals must be above 0 and below 1, found {found}")]
    Confidence {
        /// The value.
        found: f64,
    },
    /// Even [`MAX_RESAMPLES`](crate::MAX_RESAMPLES) are too few for the confidence level.
    #[error(
        "a confidence level of {found} needs {least} resamples, but at most {most} are allowed"
    )]
    BootstrapConfidence {
        /// The confidence level.
        found: f64,
        /// The smallest number that leaves a resample beyond each end of the interval.
        least: usize,
        /// The largest number allowed.
        most: usize,
    },
    /// A label is not in the set.
    #[error("unknown label {found:?}; the labels are {known}")]
    UnknownLabel {
        /// The name given.
        found: String,
        /// The labels of the set, joined by commas.
        known: String,
    },
    /// Intervals or calibration are for other labels than the report's, or for the same labels in another order.
    #[error("{what} for the labels {found}, but the report is for {expected}")]
    OtherLabels {
        /// What has other labels: `intervals` or `calibration`.
        what: &'static str,
        /// The labels of the report, joined by commas.
        expected: String,
        /// The labels found.
        found: String,
    },
    /// Intervals are for other probabilities, thresholds, divisions by zero or weights of the challenge score than the
    /// report.
    #[error(
        "the intervals are for a {score} of {found} over all labels, but the report has {expected}; use the same probabilities, thresholds, zero_division and challenge weights for both"
    )]
    OtherPredictions {
        /// Name of the score: one with a macro average, or `challenge_score`.
        score: &'static str,
        /// The macro average, or the challenge score, in the report. NaN if it is undefined.
        expected: f64,
        /// The figure that the intervals belong to. NaN if it is undefined.
        found: f64,
    },
    /// A text for the result of a division by zero is not `0`, `1` or `nan`.
    #[error("invalid value {found:?} for a division by zero; expected 0, 1 or nan")]
    ZeroDivision {
        /// The text given.
        found: String,
    },
    /// The list of patients has another length than there are records.
    #[error("{records} records but patients for {patients}")]
    PatientCount {
        /// Number of records.
        records: usize,
        /// Number of entries in the list of patients.
        patients: usize,
    },
    /// There are too few resamples for the confidence level, or more than [`MAX_RESAMPLES`](crate::MAX_RESAMPLES).
    #[error("{found} resamples; intervals at this confidence level need {least} to {most}")]
    Resamples {
        /// The number asked for.
        found: usize,
        /// The smallest number that leaves a resample beyond each end of the interval.
        least: usize,
        /// The largest number allowed.
        most: usize,
    },
    /// There is only one patient, which says nothing about the spread between patients.
    #[error("all records are from one patient; intervals by patient need at least two")]
    OnePatient,
    /// A score is NaN.
    #[error("row {row} (from 0) of the {what}: found NaN, expected a number")]
    NotANumber {
        /// The list with the score: `first scores` or `second scores`.
        what: &'static str,
        /// Row, from 0.
        row: usize,
    },
    /// A logit is NaN or infinite.
    #[error("row {row} (from 0), label {label}: the logit {found} is not finite")]
    Logit {
        /// Row, from 0.
        row: usize,
        /// The label.
        label: String,
        /// The value.
        found: f64,
    },
    /// A text for the calibration method is not `temperature` or `platt`.
    #[error("unknown calibration method {found:?}; expected temperature or platt")]
    CalibrationMethod {
        /// The text given.
        found: String,
    },
    /// A stored [`Calibrator`](crate::Calibrator) could not have come from a fit.
    #[error("calibrator of label {label}: {why}")]
    Calibrator {
        /// The label.
        label: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A weight of the challenge score is NaN or infinite.
    #[error("the weight of {column} where {row} is true must be finite, found {found}")]
    Weight {
        /// The true label.
        row: String,
        /// The answered label.
        column: String,
        /// The value.
        found: f64,
    },
    /// A label is part of two names in the weights for the challenge score.
    #[error("label {label} appears twice in the weights")]
    LabelTwice {
        /// The label.
        label: String,
    },
    /// A table of weights for the challenge score cannot be read.
    #[error("line {line} of the weights: found {found:?}, expected {expected}")]
    WeightTable {
        /// Line, from 1.
        line: usize,
        /// What was found there.
        found: String,
        /// What was expected.
        expected: String,
    },
}

/// Names a label after a position, if there is one.
fn of_label(label: &Option<String>) -> String {
    label.as_ref().map_or_else(String::new, |label| format!(", label {label}"))
}

/// Names a row before what is wrong there, if there is one.
fn in_row(row: &Option<usize>) -> String {
    row.map_or_else(String::new, |row| format!("row {row} (from 0): "))
}

impl MetricsError {
    /// Creates the error for a label that is none of those known.
    pub(crate) fn unknown_label<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.collect();
        Self::UnknownLabel { found: found.to_owned(), known: known.join(",") }
    }
}
