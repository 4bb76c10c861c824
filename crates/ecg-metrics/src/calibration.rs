use ecg_core::LabelSet;
use ndarray::ArrayView2;
use rayon::prelude::*;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::logistic::{Pair, fit_intercept, fit_line, logit};
use crate::report::checked_columns;
use crate::{Binning, MetricsError, Reliability, Truth};

/// How well the probabilities of one label agree with its frequency.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LabelCalibration {
    /// The label.
    pub label: String,
    /// Number of records.
    pub n: u64,
    /// Number of records that have the label.
    pub positives: u64,
    /// Mean probability. If it is above the share of positives, the model overstates the label overall.
    pub mean_probability: f64,
    /// What must be added to the logits so that the mean probability becomes the share of positives ("calibration in
    /// the large"). 0 is best; below 0, the model overstates. NaN if every record has the label, or none does.
    pub intercept: f64,
    /// Slope of the logistic regression of the truth on the logits. 1 is best; below 1, the probabilities are too
    /// extreme.
    ///
    /// NaN if a threshold separates the classes without error (probabilities closer than 2.2e-16 to 0 or 1 count as
    /// equal), if a class is absent, or if the fit finds no minimum.
    pub slope: f64,
    /// Reliability over ten bins of equal width. Its expected error is `ece10`.
    pub equal_width: Reliability,
    /// Reliability over ten bins with about the same number of records.
    pub equal_count: Reliability,
}

/// Returns the calibration of each label, in the order of the label set.
///
/// Intercept and slope are those of Cox (Biometrika 45 (1958) 562), used as in Van Calster et al. (J. Clin. Epidemiol.
/// 74 (2016) 167), with probabilities kept 2.2e-16 away from 0 and 1. Two or more labels are processed in parallel.
///
/// ```
/// use ecg_metrics::ecg_core::LabelSet;
/// use ecg_metrics::ndarray::array;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let labels = LabelSet::new(["AF"])?;
/// let truth = array![[true], [false], [true], [false], [false], [false]];
/// let p = array![[0.9], [0.8], [0.7], [0.6], [0.4], [0.2]];
/// let af = &ecg_metrics::calibration(&labels, truth.view(), p.view())?[0];
/// assert!(af.mean_probability > af.positives as f64 / af.n as f64 && af.intercept < 0.0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns the errors of [`Report::new`](crate::Report::new), except those about thresholds.
pub fn calibration<T: Truth>(
    labels: &LabelSet,
    truth: ArrayView2<'_, T>,
    proba: ArrayView2<'_, f64>,
) -> Result<Vec<LabelCalibration>, MetricsError> {
    let columns = checked_columns(labels, &truth, &proba)?;
    let measured = labels.as_slice().par_iter().zip(columns);
    Ok(measured.map(|(label, column)| LabelCalibration::of(label, column)).collect())
}

impl LabelCalibration {
    fn of(label: &str, column: Vec<(f64, bool)>) -> Self {
        let pairs: Vec<Pair> =
            column.iter().map(|&(p, holds)| (logit(p), f64::from(u8::from(holds)))).collect();
        let slope = if overlap(&pairs) { fit_line(&pairs).map(|line| line.slope) } else { None };
        let intercept = fit_intercept(&pairs);
        let (p, holds): (Vec<f64>, Vec<bool>) = column.into_iter().unzip();
        Self {
            label: label.to_owned(),
            n: p.len() as u64,
            positives: holds.iter().filter(|holds| **holds).count() as u64,
            mean_probability: p.iter().sum::<f64>() / p.len() as f64,
            intercept: intercept.unwrap_or(f64::NAN),
            slope: slope.unwrap_or(f64::NAN),
            equal_width: Reliability::of_checked(&p, &holds, Binning::EqualWidth(10)),
            equal_count: Reliability::of_checked(&p, &holds, Binning::EqualCount(10)),
        }
    }

    /// Returns the share of records that have the label.
    pub fn prevalence(&self) -> f64 {
        self.positives as f64 / self.n as f64
    }
}

/// Returns whether no threshold separates the classes, counting ties. Only then does a logistic regression have a
/// minimum.
///
/// Looks at the logits that the regression is fitted on, not at the probabilities: near 0 and 1, several probabilities
/// become the same logit.
fn overlap(pairs: &[Pair]) -> bool {
    let range = |target: f64| {
        let own = pairs.iter().filter(|pair| pair.1 == target).map(|pair| pair.0);
        own.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), u| (low.min(u), high.max(u)))
    };
    let (positive, negative) = (range(1.0), range(0.0));
    negative.1 > positive.0 && positive.1 > negative.0
}

impl Serialize for LabelCalibration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("n", &self.n)?;
        map.serialize_entry("positives", &self.positives)?;
        for (name, value) in [
            ("mean_probability", self.mean_probability),
            ("prevalence", self.prevalence()),
            ("intercept", self.intercept),
            ("slope", self.slope),
        ] {
            map.serialize_entry(name, &value)?;
        }
        for (name, curve) in
            [("equal_width", &self.equal_width), ("equal_count", &self.equal_count)]
        {
            map.serialize_entry(&format!("ece10_{name}"), &curve.expected_error())?;
            map.serialize_entry(&format!("mce10_{name}"), &curve.max_error())?;
            map.serialize_entry(name, curve)?;
        }
        map.end()
    }
}
