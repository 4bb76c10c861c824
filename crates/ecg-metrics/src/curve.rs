use serde::Serialize;

use crate::MetricsError;
use crate::ranking::Ranking;
use crate::report::check_probability;

/// A receiver operating characteristic, in order of falling thresholds. The first is infinity (null in JSON).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RocCurve {
    /// 1 - specificity at each threshold; NaN if there is no negative.
    pub false_positive_rate: Vec<f64>,
    /// Sensitivity at each threshold; NaN if there is no positive.
    pub true_positive_rate: Vec<f64>,
    /// Records with at least this probability count as positive.
    pub thresholds: Vec<f64>,
}

/// A precision-recall curve, in order of rising thresholds, with the point (recall 0, precision 1) at the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PrCurve {
    /// Precision at each threshold, then 1.
    pub precision: Vec<f64>,
    /// Sensitivity at each threshold, then 0. If there is no positive, it is 1 at each threshold.
    pub recall: Vec<f64>,
    /// Records with at least this probability count as positive. One entry fewer than the others have.
    pub thresholds: Vec<f64>,
}

/// Checks that there is a truth for each probability, and that each probability is from 0 to 1.
pub(crate) fn check_pairs(probabilities: &[f64], truth: &[bool]) -> Result<(), MetricsError> {
    let (found, truth) = (probabilities.len(), truth.len());
    if found != truth {
        return Err(MetricsError::RowCount { what: "probabilities", truth, found });
    }
    let mut rows = probabilities.iter().enumerate();
    rows.try_for_each(|(row, &found)| check_probability(row, None, found))
}

/// Ranks the pairs `(probability, truth)` of one label.
fn ranking(probabilities: &[f64], truth: &[bool]) -> Result<Ranking, MetricsError> {
    check_pairs(probabilities, truth)?;
    Ok(Ranking::new(probabilities.iter().copied().zip(truth.iter().copied())))
}

impl RocCurve {
    /// Returns the curve of one label, without the points that are in line with their neighbours.
    ///
    /// # Errors
    /// Returns an error if the slices have different lengths, or if a probability is NaN or outside 0 to 1.
    pub fn new(probabilities: &[f64], truth: &[bool]) -> Result<Self, MetricsError> {
        Ok(ranking(probabilities, truth)?.roc(false))
    }

    /// Returns the curve with a point for every distinct probability.
    ///
    /// # Errors
    /// Returns the errors of [`RocCurve::new`].
    pub fn with_every_point(probabilities: &[f64], truth: &[bool]) -> Result<Self, MetricsError> {
        Ok(ranking(probabilities, truth)?.roc(true))
    }

    /// Returns the area under the curve up to a false positive rate, scaled so that guessing gives 0.5 and perfection 1
    /// (McClish 1989).
    ///
    /// NaN if the curve is not defined, or if the rate is not above 0 and at most 1.
    pub fn partial_auc(&self, max_false_positive_rate: f64) -> f64 {
        let max = max_false_positive_rate;
        let (x, y) = (&self.false_positive_rate, &self.true_positive_rate);
        if !(max > 0.0 && max <= 1.0) || x.iter().chain(y).any(|v| v.is_nan()) {
            return f64::NAN;
        }
        let mut area = 0.0;
        for (x, y) in x.windows(2).zip(y.windows(2)) {
            if x[0] >= max {
                break;
            }
            let right = x[1].min(max);
            let at_right =
                if x[1] > max { y[0] + (y[1] - y[0]) * (max - x[0]) / (x[1] - x[0]) } else { y[1] };
            area += (right - x[0]) * (y[0] + at_right) / 2.0;
        }
        let least = max * max / 2.0;
        0.5 * (1.0 + (area - least) / (max - least))
    }
}

impl PrCurve {
    /// Returns the curve of one label.
    ///
    /// # Errors
    /// Returns the errors of [`RocCurve::new`].
    pub fn new(probabilities: &[f64], truth: &[bool]) -> Result<Self, MetricsError> {
        Ok(ranking(probabilities, truth)?.precision_recall())
    }
}

/// Expected calibration error over bins of equal width, closed on the left: |mean probability - positive rate|,
/// weighted by count.
#[derive(Debug, Clone)]
pub(crate) struct CalibrationError {
    sums: Vec<(f64, u64, u64)>,
}

impl CalibrationError {
    pub fn new(bins: usize) -> Self {
        Self { sums: vec![(0.0, 0, 0); bins] }
    }

    /// Returns the bin of a probability, from 0. Bin k begins at k / bins.
    pub fn bin(probability: f64, bins: usize) -> usize {
        let limit = |k: usize| k as f64 / bins as f64;
        let bin = ((probability * bins as f64) as usize).min(bins - 1);
        // The product is rounded: 0.29 of 100 bins is 28.999999999999996.
        if probability < limit(bin) {
            bin.saturating_sub(1)
        } else if bin + 1 < bins && probability >= limit(bin + 1) {
            bin + 1
        } else {
            bin
        }
    }

    pub fn count(&mut self, probability: f64, holds: bool) {
        let bin = Self::bin(probability, self.sums.len());
        let sum = &mut self.sums[bin];
        *sum = (sum.0 + probability, sum.1 + u64::from(holds), sum.2 + 1);
    }

    pub fn add(&mut self, other: &Self) {
        for (own, sum) in self.sums.iter_mut().zip(&other.sums) {
            *own = (own.0 + sum.0, own.1 + sum.1, own.2 + sum.2);
        }
    }

    pub fn value(&self) -> f64 {
        let n: u64 = self.sums.iter().map(|s| s.2).sum();
        self.sums.iter().map(|s| (s.0 - s.1 as f64).abs()).sum::<f64>() / n as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Binning, Reliability};

    #[test]
    fn every_curve_refuses_what_is_not_a_probability() {
        let all = |p: &[f64], truth: &[bool]| -> Vec<MetricsError> {
            let found = [
                RocCurve::new(p, truth).map(|_| ()),
                RocCurve::with_every_point(p, truth).map(|_| ()),
                PrCurve::new(p, truth).map(|_| ()),
                Reliability::new(p, truth, 10).map(|_| ()),
                Reliability::binned(p, truth, Binning::EqualWidth(10)).map(|_| ()),
                Reliability::binned(p, truth, Binning::EqualCount(10)).map(|_| ()),
            ];
            found.into_iter().map(|own| own.expect_err("is refused")).collect()
        };
        for bad in [f64::NAN, -0.1, 1.7, f64::INFINITY] {
            for error in all(&[0.5, bad], &[true, false]) {
                let expected = format!("row 1 (from 0): {bad} is not a probability from 0 to 1");
                assert_eq!(error.to_string(), expected);
            }
        }
        for (p, truth) in [(&[0.1, 0.2][..], &[true][..]), (&[0.1][..], &[true, false][..])] {
            let what = "probabilities";
            let expected = MetricsError::RowCount { what, truth: truth.len(), found: p.len() };
            assert!(all(p, truth).iter().all(|error| *error == expected));
        }
    }

    #[test]
    fn a_bin_begins_at_its_limit() {
        for bins in (1..=300).chain([1000, 10_000]) {
            for k in 1..bins {
                let limit = k as f64 / bins as f64;
                assert_eq!(CalibrationError::bin(limit, bins), k, "{limit} of {bins}");
                assert_eq!(
                    CalibrationError::bin(limit.next_down(), bins),
                    k - 1,
                    "{limit} of {bins}"
                );
            }
            assert_eq!(CalibrationError::bin(1.0, bins), bins - 1);
        }
        for odd in [-0.5, f64::NEG_INFINITY, f64::NAN] {
            assert_eq!(CalibrationError::bin(odd, 10), 0);
        }
    }
}
