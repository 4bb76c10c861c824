/// What can be wrong with what metrics are asked of.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// No records at all.
    #[error("there are no records to judge")]
    Empty,
    /// Truth and probabilities have different numbers of records.
    #[error("{truth} rows of truth but {probabilities} rows of probabilities")]
    RowCount {
        /// Rows of the truth.
        truth: usize,
        /// Rows of the probabilities.
        probabilities: usize,
    },
    /// An array with another number of columns (or a list of another length) than there are labels.
    #[error("{found} columns of {what}, but the label set has {expected} labels")]
    LabelCount {
        /// What has the wrong length: `truth`, `probabilities`, `thresholds`, `intervals`, `calibration` or `weights`.
        what: &'static str,
        /// Labels of the set.
        expected: usize,
        /// Columns found.
        found: usize,
    },
    /// A probability that is NaN or outside 0 to 1.
    #[error("row {row} (from 0), label {label}: {found} is not a probability from 0 to 1")]
    Probability {
        /// Row, from 0.
        row: usize,
        /// The label.
        label: String,
        /// The value.
        found: f64,
    },
    /// A truth that is neither 0 nor 1.
    #[error("row {row} (from 0), label {label}: the truth must be 0 or 1")]
    Truth {
        /// Row, from 0.
        row: usize,
        /// The label.
        label: String,
    },
    /// A threshold that is NaN or outside 0 to 1.
    #[error("the threshold of {label} must be from 0 to 1, found {found}")]
    Threshold {
        /// The label.
        label: String,
        /// The value.
        found: f64,
    },
    /// Thresholds of another number of records than there are.
    #[error("{records} records but the thresholds of {thresholds}")]
    ThresholdRows {
        /// Records.
        records: usize,
        /// Rows of the thresholds.
        thresholds: usize,
    },
    /// A list of folds of another length than there are records.
    #[error("{records} records but the folds of {folds}")]
    FoldCount {
        /// Records.
        records: usize,
        /// Entries of the list of folds.
        folds: usize,
    },
    /// No second fold to choose on.
    #[error("all records are of one fold; choosing on the other folds needs at least two")]
    OneFold,
    /// A sensitivity asked of a threshold that is NaN or outside 0 to 1.
    #[error("the sensitivity asked of thresholds must be from 0 to 1, found {found}")]
    Sensitivity {
        /// The value.
        found: f64,
    },
    /// A confidence of intervals that is NaN or not between 0 and 1.
    #[error("the confidence of intervals must be more than 0 and less than 1, found {found}")]
    Confidence {
        /// The value.
        found: f64,
    },
    /// A confidence for which even [`MAX_RESAMPLES`](crate::MAX_RESAMPLES) are too few.
    #[error("a confidence of {found} needs {least} resamples, but {most} are the most")]
    BootstrapConfidence {
        /// The confidence.
        found: f64,
        /// The smallest number that leaves a resample beyond each end of the interval.
        least: usize,
        /// The largest number allowed.
        most: usize,
    },
    /// A label that is not in the set.
    #[error("unknown label {found:?}; the labels are {known}")]
    UnknownLabel {
        /// The name given.
        found: String,
        /// The labels of the set, joined by commas.
        known: String,
    },
    /// Intervals or calibration of other labels than the report's, or of the same in another order.
    #[error("{what} of the labels {found}, but the report is of {expected}")]
    OtherLabels {
        /// What has other labels: `intervals` or `calibration`.
        what: &'static str,
        /// The labels of the report, joined by commas.
        expected: String,
        /// Those found.
        found: String,
    },
    /// Another word than `0`, `1` or `nan` for what a division by zero gives.
    #[error("a division by zero gives 0, 1 or nan, not {found:?}")]
    ZeroDivision {
        /// The text given.
        found: String,
    },
    /// A list of patients of another length than there are records.
    #[error("{records} records but the patients of {patients}")]
    PatientCount {
        /// Records.
        records: usize,
        /// Entries of the list of patients.
        patients: usize,
    },
    /// Too few resamples for the confidence, or more than [`MAX_RESAMPLES`](crate::MAX_RESAMPLES).
    #[error("{found} resamples; an interval at this confidence needs from {least} to {most}")]
    Resamples {
        /// The number asked for.
        found: usize,
        /// The smallest that leaves a resample beyond each end of the interval.
        least: usize,
        /// The largest.
        most: usize,
    },
    /// A single patient, from whom no spread can be told.
    #[error("all records are of one patient; intervals by patient need at least two")]
    OnePatient,
    /// A score that is NaN.
    #[error("row {row} (from 0): the score is not a number")]
    NotANumber {
        /// Row, from 0.
        row: usize,
    },
    /// A logit that is NaN or infinite.
    #[error("row {row} (from 0), label {label}: the logit {found} is not finite")]
    Logit {
        /// Row, from 0.
        row: usize,
        /// The label.
        label: String,
        /// The value.
        found: f64,
    },
    /// Another word than `temperature` or `platt` for how probabilities are calibrated.
    #[error("probabilities are calibrated by temperature or platt, not {found:?}")]
    CalibrationMethod {
        /// The text given.
        found: String,
    },
    /// A stored [`Calibrator`](crate::Calibrator) that no fit could have given.
    #[error("calibrator of label {label}: {why}")]
    Calibrator {
        /// The label.
        label: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A weight of the challenge score that is NaN or infinite.
    #[error("the weight of {column} where {row} is true must be finite, found {found}")]
    Weight {
        /// The true label.
        row: String,
        /// The answered label.
        column: String,
        /// The value.
        found: f64,
    },
    /// A label that two names of the weights for the challenge score hold.
    #[error("the weights have the label {label} twice")]
    LabelTwice {
        /// The label.
        label: String,
    },
    /// A table of weights for the challenge score that can't be read.
    #[error("line {line} of the weights: found {found:?}, expected {expected}")]
    WeightTable {
        /// Line, from 1.
        line: usize,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
}

impl MetricsError {
    /// That a label is none of those known.
    pub(crate) fn unknown_label<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.collect();
        Self::UnknownLabel { found: found.to_owned(), known: known.join(",") }
    }
}
