use std::fmt;
use std::str::FromStr;

use ecg_core::LabelSet;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::logistic::{Line, Pair, fit_line, fit_slope, logit, loss, sigmoid};
use crate::report::{check_probability, check_shapes, checked_columns, columns};
use crate::{MetricsError, Truth};

/// How a [`Calibrator`] changes the logits of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CalibrationMethod {
    /// Divides the logits by one number, the temperature (Guo et al., ICML 2017). Here each label has its own: the one
    /// with the smallest log loss. A probability of 0.5 does not change.
    Temperature,
    /// Applies a line with a slope and an intercept (Platt, in Advances in Large Margin Classifiers, 1999). Both are
    /// those with the smallest log loss against Platt's targets: (N1 + 1) / (N1 + 2) for the N1 records with the label,
    /// and 1 / (N0 + 2) for the others.
    Platt,
}

impl fmt::Display for CalibrationMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Temperature => "temperature",
            Self::Platt => "platt",
        })
    }
}

impl FromStr for CalibrationMethod {
    type Err = MetricsError;

    fn from_str(text: &str) -> Result<Self, MetricsError> {
        match text.trim() {
            "temperature" => Ok(Self::Temperature),
            "platt" => Ok(Self::Platt),
            _ => Err(MetricsError::CalibrationMethod { found: text.to_owned() }),
        }
    }
}

/// The reason why the probabilities of a label are left unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unfitted {
    /// No record has the label.
    NoPositive,
    /// Every record has the label.
    NoNegative,
    /// All probabilities are equal.
    Constant,
    /// Every record lies on the right side of 0.5, so that each lower temperature is better, without end.
    NoError,
    /// The fit would reverse the order of the records.
    Reversed,
    /// The search for the smallest log loss did not converge.
    NotFound,
}

impl fmt::Display for Unfitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPositive => "no record has the label",
            Self::NoNegative => "every record has the label",
            Self::Constant => "all probabilities are equal",
            Self::NoError => "every record is on the right side of 0.5",
            Self::Reversed => "the fit would reverse the order of the records",
            Self::NotFound => "the search for the smallest log loss did not converge",
        })
    }
}

/// What a [`Calibrator`] does to one label, and what it was fitted on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LabelScaling {
    /// The label.
    pub label: String,
    /// The factor that logits are multiplied by, above 0: one over the temperature.
    pub slope: f64,
    /// The number that is then added.
    pub intercept: f64,
    /// Number of records in the fit.
    pub n: u64,
    /// Number of records in the fit that have the label.
    pub positives: u64,
    /// Mean log loss on these records, before and after.
    pub log_loss: [f64; 2],
    /// Why the probabilities are left unchanged, with slope 1 and intercept 0. `None` if there was a fit.
    pub unfitted: Option<Unfitted>,
}

impl LabelScaling {
    /// Returns one over the slope.
    pub fn temperature(&self) -> f64 {
        1.0 / self.slope
    }

    /// Returns the calibrated probability for a probability.
    pub fn apply(&self, p: f64) -> f64 {
        if self.is_identity() { p } else { self.apply_logit(logit(p)) }
    }

    /// Returns the calibrated probability for a logit.
    pub fn apply_logit(&self, u: f64) -> f64 {
        sigmoid(self.slope * u + self.intercept)
    }

    fn is_identity(&self) -> bool {
        self.slope == 1.0 && self.intercept == 0.0
    }
}

/// Makes the probabilities of a model agree with the frequency of its labels.
///
/// The order of two records is never reversed. Probabilities closer than 2.2e-16 to 0 or 1, and those that become 0 or
/// 1, turn equal, so ROC-AUC and average precision may change a little.
///
/// Fit it on validation records: neither those that the model was trained on nor those under evaluation. It can be
/// serialised, so that the fit can be stored beside the weights.
///
/// ```
/// use ecg_metrics::ecg_core::LabelSet;
/// use ecg_metrics::{CalibrationMethod, Calibrator};
/// use ecg_metrics::ndarray::array;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let labels = LabelSet::new(["AF"])?;
/// // Validation records. The model is overconfident.
/// let truth = array![[true], [false], [true], [true], [false], [false]];
/// let p = array![[0.99], [0.97], [0.95], [0.2], [0.03], [0.01]];
/// let calibrator = Calibrator::fit(&labels, truth.view(), p.view(), CalibrationMethod::Temperature)?;
/// assert!(calibrator.labels()[0].temperature() > 2.0);
///
/// let test = array![[0.99], [0.5]];
/// let calibrated = calibrator.apply(&labels, test.view())?;
/// assert!(calibrated[[0, 0]] < 0.9 && calibrated[[1, 0]] == 0.5);
///
/// let kept = serde_json::to_string(&calibrator)?;
/// assert_eq!(serde_json::from_str::<Calibrator>(&kept)?, calibrator);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Calibrator {
    method: CalibrationMethod,
    labels: Vec<LabelScaling>,
}

/// A calibrator as it was read, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    method: CalibrationMethod,
    labels: Vec<LabelScaling>,
}

impl TryFrom<Stored> for Calibrator {
    type Error = MetricsError;

    fn try_from(Stored { method, labels }: Stored) -> Result<Self, MetricsError> {
        for (k, own) in labels.iter().enumerate() {
            let wrong = |why| MetricsError::Calibrator { label: own.label.clone(), why };
            if labels[..k].iter().any(|other| other.label == own.label) {
                return Err(wrong("the label appears twice"));
            }
            if !(own.slope > 0.0 && own.slope.is_finite() && own.intercept.is_finite()) {
                return Err(wrong("slope and intercept must be finite, and the slope positive"));
            }
            if method == CalibrationMethod::Temperature && own.intercept != 0.0 {
                return Err(wrong("the intercept must be 0 for temperature scaling"));
            }
        }
        Ok(Self { method, labels })
    }
}

impl Calibrator {
    /// Fits each label by itself, on probabilities `[record, label]` and their truth `[record, label]`.
    ///
    /// Probabilities are kept 2.2e-16 away from 0 and 1. The fit is the exact minimum of a convex loss, found by
    /// Newton's method. If a label has no such minimum, or if the fit would reverse the order of its records, the label
    /// is left unchanged, and [`LabelScaling::unfitted`] says why.
    ///
    /// # Errors
    /// Returns the errors of [`Report::new`](crate::Report::new), except those about thresholds.
    pub fn fit<T: Truth>(
        labels: &LabelSet,
        truth: ArrayView2<'_, T>,
        proba: ArrayView2<'_, f64>,
        method: CalibrationMethod,
    ) -> Result<Self, MetricsError> {
        let columns = checked_columns(labels, &truth, &proba)?;
        let pairs = columns
            .into_iter()
            .map(|column| column.into_iter().map(|(p, holds)| (logit(p), holds)).collect());
        Ok(Self::of(labels, pairs.collect(), method))
    }

    /// Like [`Calibrator::fit`], but on logits `[record, label]`, which must be finite.
    ///
    /// # Errors
    /// Returns the errors of [`Calibrator::fit`], and an error if a logit is not finite.
    pub fn fit_logits<T: Truth>(
        labels: &LabelSet,
        truth: ArrayView2<'_, T>,
        logits: ArrayView2<'_, f64>,
        method: CalibrationMethod,
    ) -> Result<Self, MetricsError> {
        check_shapes(labels, &truth, "logits", &logits)?;
        check_logits(labels, &logits)?;
        let columns = columns(labels, &truth, &logits, |_, _, _| Ok(()))?;
        Ok(Self::of(labels, columns, method))
    }

    fn of(labels: &LabelSet, columns: Vec<Vec<(f64, bool)>>, method: CalibrationMethod) -> Self {
        let fits = labels.as_slice().par_iter().zip(columns);
        let fits = fits.map(|(label, column)| scaling(label, &column, method)).collect();
        Self { method, labels: fits }
    }

    /// Returns how the calibrator was fitted.
    pub fn method(&self) -> CalibrationMethod {
        self.method
    }

    /// Returns what the calibrator does to each label.
    pub fn labels(&self) -> &[LabelScaling] {
        &self.labels
    }

    /// Returns the calibrated probabilities `[record, label]` for probabilities `[record, label]`. Columns are matched
    /// by label.
    ///
    /// # Errors
    /// Returns an error if the number of columns is not the number of labels, a label is unknown to the calibrator, or
    /// a probability is NaN or outside 0 to 1.
    pub fn apply(
        &self,
        labels: &LabelSet,
        proba: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>, MetricsError> {
        let columns = self.columns(labels, "probabilities", &proba)?;
        for ((row, k), &found) in proba.indexed_iter() {
            check_probability(row, Some(&labels.as_slice()[k]), found)?;
        }
        Ok(Array2::from_shape_fn(proba.dim(), |(row, k)| columns[k].apply(proba[[row, k]])))
    }

    /// Like [`Calibrator::apply`], but for logits `[record, label]`.
    ///
    /// # Errors
    /// Returns the errors of [`Calibrator::apply`], and an error if a logit is not finite.
    pub fn apply_logits(
        &self,
        labels: &LabelSet,
        logits: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>, MetricsError> {
        let columns = self.columns(labels, "logits", &logits)?;
        check_logits(labels, &logits)?;
        Ok(Array2::from_shape_fn(logits.dim(), |(row, k)| columns[k].apply_logit(logits[[row, k]])))
    }

    /// Returns what is done to each column. `what` names the values in errors.
    fn columns(
        &self,
        labels: &LabelSet,
        what: &'static str,
        values: &ArrayView2<'_, f64>,
    ) -> Result<Vec<&LabelScaling>, MetricsError> {
        let (expected, found) = (labels.len(), values.ncols());
        if found != expected {
            return Err(MetricsError::LabelCount { what, expected, found });
        }
        labels.iter().map(|label| self.label(label)).collect()
    }

    /// Returns what the calibrator does to one label.
    ///
    /// # Errors
    /// Returns an error if the calibrator was not fitted on the label.
    pub fn label(&self, label: &str) -> Result<&LabelScaling, MetricsError> {
        self.labels.iter().find(|own| own.label == label).ok_or_else(|| {
            MetricsError::unknown_label(label, self.labels.iter().map(|own| own.label.as_str()))
        })
    }
}

fn check_logits(labels: &LabelSet, logits: &ArrayView2<'_, f64>) -> Result<(), MetricsError> {
    match logits.indexed_iter().find(|(_, u)| !u.is_finite()) {
        Some(((row, k), &found)) => {
            Err(MetricsError::Logit { row, label: labels.as_slice()[k].clone(), found })
        }
        None => Ok(()),
    }
}

fn scaling(label: &str, column: &[(f64, bool)], method: CalibrationMethod) -> LabelScaling {
    let positives = column.iter().filter(|pair| pair.1).count();
    let fitted = fit(column, positives, method);
    let line = fitted.unwrap_or(Line { slope: 1.0, intercept: 0.0 });
    let mean_loss = |line: Line| {
        let target = |holds: bool| f64::from(u8::from(holds));
        let losses = column.iter().map(|&(u, h)| loss(line.slope * u + line.intercept, target(h)));
        losses.sum::<f64>() / column.len() as f64
    };
    LabelScaling {
        label: label.to_owned(),
        slope: line.slope,
        intercept: line.intercept,
        n: column.len() as u64,
        positives: positives as u64,
        log_loss: [mean_loss(Line { slope: 1.0, intercept: 0.0 }), mean_loss(line)],
        unfitted: fitted.err(),
    }
}

fn fit(
    column: &[(f64, bool)],
    positives: usize,
    method: CalibrationMethod,
) -> Result<Line, Unfitted> {
    let negatives = column.len() - positives;
    if positives == 0 {
        return Err(Unfitted::NoPositive);
    }
    if negatives == 0 {
        return Err(Unfitted::NoNegative);
    }
    if column.iter().all(|pair| pair.0 == column[0].0) {
        return Err(Unfitted::Constant);
    }
    let targets = match method {
        CalibrationMethod::Temperature => [0.0, 1.0],
        CalibrationMethod::Platt => {
            [1.0 / (negatives as f64 + 2.0), (positives as f64 + 1.0) / (positives as f64 + 2.0)]
        }
    };
    let pairs: Vec<Pair> =
        column.iter().map(|&(u, holds)| (u, targets[usize::from(holds)])).collect();
    match method {
        CalibrationMethod::Temperature => {
            if column.iter().all(|&(u, holds)| u == 0.0 || (u > 0.0) == holds) {
                return Err(Unfitted::NoError);
            }
            let slope = fit_slope(&pairs).ok_or(Unfitted::Reversed)?;
            Ok(Line { slope, intercept: 0.0 })
        }
        CalibrationMethod::Platt => {
            let line = fit_line(&pairs).ok_or(Unfitted::NotFound)?;
            if line.slope > 0.0 { Ok(line) } else { Err(Unfitted::Reversed) }
        }
    }
}
