use serde::Serialize;

use crate::MetricsError;
use crate::curve::{CalibrationError, check_pairs};

/// The largest number of bins of a curve. More would be finer than any plot, and take memory.
const MAX_BINS: usize = 10_000;

/// How probabilities are put into bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Binning {
    /// This many bins of equal width, closed on the left (the last on both sides). `ece10` and `ece15` use these.
    EqualWidth(usize),
    /// This many bins with about the same number of records, closed on the right, between quantiles of the
    /// probabilities (linear between records). Equal probabilities stay together, so bins may be larger or empty. Like
    /// scikit-learn's `calibration_curve` with the strategy `quantile`.
    EqualCount(usize),
}

/// A reliability curve: how often a label holds among records with about the same probability. Empty bins are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Reliability {
    /// Lower and upper limit of each bin.
    pub limits: Vec<[f64; 2]>,
    /// Mean probability of each bin.
    pub mean_probability: Vec<f64>,
    /// Share of records in the bin for which the label holds.
    pub positive_rate: Vec<f64>,
    /// Number of records in the bin for which the label holds.
    pub positives: Vec<u64>,
    /// Number of records in the bin.
    pub count: Vec<u64>,
}

impl Reliability {
    /// Returns the curve of one label over `bins` bins of equal width, closed on the right, like scikit-learn's
    /// `calibration_curve`.
    ///
    /// `bins` is from 1 to 10,000; a number outside is replaced by the nearest. [`Binning::EqualWidth`] closes bins on
    /// the left, which only makes a difference for probabilities such as 0.5.
    ///
    /// # Errors
    /// Returns an error if the slices have different lengths, or if a probability is NaN or outside 0 to 1.
    pub fn new(probabilities: &[f64], truth: &[bool], bins: usize) -> Result<Self, MetricsError> {
        check_pairs(probabilities, truth)?;
        let bins = bins.clamp(1, MAX_BINS);
        let width = 1.0 / bins as f64;
        let edges: Vec<f64> = (0..=bins).map(|k| k as f64 * width).collect();
        Ok(Self::closed_on_the_right(probabilities, truth, &edges))
    }

    /// Returns the curve of one label over bins of your choice.
    ///
    /// The number of bins is from 1 to 10,000; a number outside is replaced by the nearest.
    ///
    /// ```
    /// use ecg_metrics::{Binning, Reliability};
    ///
    /// let curve = Reliability::binned(&[0.1, 0.3, 0.6, 0.9], &[false, true, true, true], Binning::EqualCount(2))?;
    /// assert_eq!(curve.count, [2, 2]);
    /// assert_eq!(curve.positive_rate, [0.5, 1.0]);
    /// assert!((curve.max_error() - 0.3).abs() < 1e-15); // means of 0.2 and 0.75
    /// # Ok::<(), ecg_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`Reliability::new`].
    pub fn binned(
        probabilities: &[f64],
        truth: &[bool],
        binning: Binning,
    ) -> Result<Self, MetricsError> {
        check_pairs(probabilities, truth)?;
        Ok(Self::of_checked(probabilities, truth, binning))
    }

    /// Like [`Reliability::binned`], for pairs that have been checked.
    pub(crate) fn of_checked(probabilities: &[f64], truth: &[bool], binning: Binning) -> Self {
        match binning {
            Binning::EqualWidth(bins) => {
                let bins = bins.clamp(1, MAX_BINS);
                let edges: Vec<f64> = (0..=bins).map(|k| k as f64 / bins as f64).collect();
                let bin = |p: f64| CalibrationError::bin(p, bins);
                Self::over(probabilities, truth, &edges, bin)
            }
            Binning::EqualCount(bins) => {
                let edges = quantile_edges(probabilities, bins.clamp(1, MAX_BINS));
                Self::closed_on_the_right(probabilities, truth, &edges)
            }
        }
    }

    fn closed_on_the_right(probabilities: &[f64], truth: &[bool], edges: &[f64]) -> Self {
        let inner = &edges[1..edges.len() - 1];
        Self::over(probabilities, truth, edges, |p| inner.partition_point(|edge| *edge < p))
    }

    fn over(
        probabilities: &[f64],
        truth: &[bool],
        edges: &[f64],
        bin: impl Fn(f64) -> usize,
    ) -> Self {
        let mut sums = vec![(0.0, 0u64, 0u64); edges.len() - 1];
        for (&p, holds) in probabilities.iter().zip(truth) {
            let sum = &mut sums[bin(p)];
            *sum = (sum.0 + p, sum.1 + u64::from(*holds), sum.2 + 1);
        }
        let mut curve = Self {
            limits: Vec::new(),
            mean_probability: Vec::new(),
            positive_rate: Vec::new(),
            positives: Vec::new(),
            count: Vec::new(),
        };
        for (limits, (sum, positives, count)) in edges.windows(2).zip(sums) {
            if count > 0 {
                curve.limits.push([limits[0], limits[1]]);
                curve.mean_probability.push(sum / count as f64);
                curve.positive_rate.push(positives as f64 / count as f64);
                curve.positives.push(positives);
                curve.count.push(count);
            }
        }
        curve
    }

    fn gaps(&self) -> impl Iterator<Item = (f64, u64)> {
        let pairs = self.mean_probability.iter().zip(&self.positive_rate).zip(&self.count);
        pairs.map(|((mean, rate), count)| ((mean - rate).abs(), *count))
    }

    /// Expected calibration error: |mean probability - positive rate|, weighted by count. NaN if there are no records.
    ///
    /// Source: Naeini, Cooper and Hauskrecht, AAAI 2015. It depends on the bins, and with few records it is above zero
    /// even for a perfect model.
    pub fn expected_error(&self) -> f64 {
        let n: u64 = self.count.iter().sum();
        self.gaps().map(|(gap, count)| gap * count as f64).sum::<f64>() / n as f64
    }

    /// Maximum calibration error: the largest |mean probability - positive rate| of any bin. NaN if there are no
    /// records.
    ///
    /// A bin with few records may decide it, so look at [`Reliability::count`].
    pub fn max_error(&self) -> f64 {
        self.gaps().map(|own| own.0).fold(f64::NAN, f64::max)
    }
}

/// Returns the lowest and the highest probability and the quantiles between them, linear between neighbours (type 7 of
/// Hyndman and Fan).
fn quantile_edges(probabilities: &[f64], bins: usize) -> Vec<f64> {
    if probabilities.is_empty() {
        return vec![0.0, 1.0];
    }
    let mut sorted = probabilities.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let edge = |k: usize| {
        // In integers, so that an edge at a probability is exactly that number.
        let (at, bins) = (k as u64 * (sorted.len() as u64 - 1), bins as u64);
        let (below, rest) = ((at / bins) as usize, at % bins);
        let above = (below + 1).min(sorted.len() - 1);
        sorted[below] + (sorted[above] - sorted[below]) * (rest as f64 / bins as f64)
    };
    (0..=bins).map(edge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_close_on_the_side_they_state() {
        let (p, truth) = ([0.0, 0.5, 0.5, 1.0], [false, true, true, true]);
        let binned = |binning| Reliability::binned(&p, &truth, binning).expect("valid");
        let left = binned(Binning::EqualWidth(2));
        assert_eq!((left.count, left.limits), (vec![1, 3], vec![[0.0, 0.5], [0.5, 1.0]]));
        assert_eq!(Reliability::new(&p, &truth, 2).expect("valid").count, [3, 1]);
        // Equal probabilities stay together: the middle bin takes both, and one bin is empty.
        let counted = binned(Binning::EqualCount(4));
        assert_eq!(counted.count, [1, 2, 1]);
        assert_eq!(counted.positives, [0, 2, 1]);
    }

    #[test]
    fn no_records_and_no_bins() {
        for binning in [Binning::EqualWidth(0), Binning::EqualCount(0), Binning::EqualCount(3)] {
            let none = Reliability::binned(&[], &[], binning).expect("valid");
            assert!(none.count.is_empty() && none.expected_error().is_nan());
            assert!(none.max_error().is_nan());
        }
        let one = Reliability::binned(&[0.25], &[true], Binning::EqualCount(5)).expect("valid");
        assert_eq!((one.count.clone(), one.max_error()), (vec![1], 0.75));
    }

    #[test]
    fn bins_without_number_are_as_many_as_there_may_be() {
        let (p, truth) = ([0.1, 0.4, 0.8], [false, true, true]);
        let new = |bins| Reliability::new(&p, &truth, bins).expect("valid");
        assert_eq!(new(usize::MAX), new(MAX_BINS));
        for binning in [Binning::EqualWidth, Binning::EqualCount] {
            let binned = |bins| Reliability::binned(&p, &truth, binning(bins)).expect("valid");
            assert_eq!(binned(usize::MAX), binned(MAX_BINS));
            assert_eq!(binned(MAX_BINS).count, [1, 1, 1]);
        }
    }
}
