use std::fmt;
use std::str::FromStr;

use ndarray::Array2;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::recurrence::Recurrence;
use crate::simd::{LANES, Vector};
use crate::{ConvertError, Real};

/// The largest number of states of a plot, which then takes 1 GiB in `f32`.
pub(crate) const MOST_STATES: usize = 16_384;

/// How the distance between two states is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Metric {
    /// The square root of the sum of squared differences.
    #[default]
    Euclidean,
    /// The largest absolute difference.
    Maximum,
    /// The sum of the absolute differences.
    Manhattan,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Euclidean => "euclidean",
            Self::Maximum => "maximum",
            Self::Manhattan => "manhattan",
        })
    }
}

impl FromStr for Metric {
    type Err = ConvertError;

    fn from_str(text: &str) -> Result<Self, ConvertError> {
        match text {
            "euclidean" => Ok(Self::Euclidean),
            "maximum" => Ok(Self::Maximum),
            "manhattan" => Ok(Self::Manhattan),
            _ => Err(ConvertError::config("the metric", text, "euclidean, maximum or manhattan")),
        }
    }
}

/// Which states count as recurrent. In the plot, those are 1 and the others 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(Serialize, Deserialize),
    serde(rename_all = "snake_case", tag = "rule", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Threshold {
    /// No threshold: the plot holds the distances themselves.
    #[default]
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::config::nothing"))]
    None,
    /// States at most this far apart.
    Distance {
        /// The largest distance that counts, in the unit of the signal.
        distance: f64,
    },
    /// A fixed share of the pairs of states, the closest ones. The threshold distance is found for each plot
    /// separately.
    ///
    /// The threshold is the k-th smallest of the n (n - 1) / 2 distances between different states. k is `rate` times
    /// their number, rounded up. The diagonal, which is always 1, does not count. All distances equal to the threshold
    /// are recurrent, so the share is at least `rate`, and exceeds it only by rounding to whole pairs and by ties. A
    /// flat signal is recurrent throughout.
    Rate {
        /// Above 0, at most 1.
        rate: f64,
    },
}

impl Threshold {
    /// Returns how many of `pairs` distances a [`Threshold::Rate`] makes recurrent, not counting ties.
    ///
    /// This is `rate` of them, rounded up, and at least 1 if there are any.
    pub fn share(rate: f64, pairs: usize) -> usize {
        // 0.07 of 300 is 21, although the product is rounded up.
        let count = rate * pairs as f64 * (1.0 - 1e-12);
        (count.ceil() as usize).max(1).min(pairs)
    }

    /// Checks that the value makes sense.
    pub(crate) fn check(self) -> Result<(), ConvertError> {
        match self {
            Self::Distance { distance } if !(0.0..f64::INFINITY).contains(&distance) => {
                let expected = "a non-negative number";
                Err(ConvertError::config("the recurrence threshold", distance, expected))
            }
            Self::Rate { rate } if !(rate > 0.0 && rate <= 1.0) => {
                Err(ConvertError::config("the recurrence rate", rate, "above 0 and at most 1"))
            }
            _ => Ok(()),
        }
    }
}

/// A recurrence plot of any embedding, metric and threshold.
///
/// State `i` of a signal x is (x\[i\], x\[i + delay\], ..., x\[i + (dimension - 1) delay\]). Row `i`, column `j` holds
/// the distance between states `i` and `j`, in the unit of the signal. With a [`Threshold`], it holds 1 if the states
/// are recurrent and 0 otherwise. Every plot is its own transpose. Sources: Eckmann, Kamphorst and Ruelle, Europhys.
/// Lett. 4 (1987) 973; Marwan, Romano, Thiel and Kurths, Phys. Rep. 438 (2007) 237.
///
/// ```
/// use ecg3d_convert::{Metric, RecurrencePlot, Threshold};
///
/// let signal = [0.0_f64, 3.0, 3.0, 7.0]; // states (0, 3), (3, 3), (3, 7)
/// let plot = RecurrencePlot::new(2, 1)?;
/// assert_eq!(plot.of(&signal)?, ndarray::array![[0.0, 3.0, 5.0], [3.0, 0.0, 4.0], [5.0, 4.0, 0.0]]);
///
/// let plot = plot.with_metric(Metric::Manhattan);
/// assert_eq!(plot.of(&signal)?, ndarray::array![[0.0, 3.0, 7.0], [3.0, 0.0, 4.0], [7.0, 4.0, 0.0]]);
///
/// let near = plot.with_threshold(Threshold::Distance { distance: 4.0 })?;
/// assert_eq!(near.of(&signal)?, ndarray::array![[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]);
///
/// let third = plot.with_threshold(Threshold::Rate { rate: 1.0 / 3.0 })?; // one pair of three
/// assert_eq!(third.of(&signal)?, ndarray::array![[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
/// # Ok::<(), ecg3d_convert::ConvertError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecurrencePlot {
    states: Recurrence,
    metric: Metric,
    threshold: Threshold,
}

impl RecurrencePlot {
    /// Creates a plot of states of `dimension` samples, `delay` samples apart, with Euclidean distances and no
    /// threshold.
    ///
    /// # Errors
    /// Returns an error if either is zero.
    pub fn new(dimension: usize, delay: usize) -> Result<Self, ConvertError> {
        let states = Recurrence::new(dimension, delay)?;
        let (metric, threshold) = (Metric::default(), Threshold::default());
        Ok(Self { states, metric, threshold })
    }

    /// Sets how the distance between two states is measured. Default: [`Metric::Euclidean`].
    #[must_use]
    pub fn with_metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// Sets which states count as recurrent. Default: [`Threshold::None`].
    ///
    /// # Errors
    /// Returns an error if a distance is below 0, a rate is not above 0 and at most 1, or either is NaN.
    pub fn with_threshold(mut self, threshold: Threshold) -> Result<Self, ConvertError> {
        threshold.check()?;
        self.threshold = threshold;
        Ok(self)
    }

    /// Returns the number of states of a signal of `n` samples: `n - (dimension - 1) delay`, or 0.
    pub fn states(&self, n: usize) -> usize {
        self.states.states(n)
    }

    /// Returns the plot `[state, state]` of a signal.
    ///
    /// If a sample of a state is NaN, the distances to that state are NaN, and never recurrent.
    ///
    /// # Errors
    /// Returns an error if the signal is too short for one state, or has more than 16,384 states.
    pub fn of<T: Real>(&self, signal: &[T]) -> Result<Array2<T>, ConvertError> {
        let n = self.states(signal.len());
        if n == 0 {
            let expected = self.states.window(1);
            let what = "a recurrence plot";
            return Err(ConvertError::Length { what, expected, found: signal.len() });
        }
        if n > MOST_STATES {
            let field = "the number of states of a recurrence plot";
            return Err(ConvertError::config(field, n, "at most 16,384"));
        }
        let mut plot = Array2::from_shape_fn((n, n), |(i, j)| self.distance(signal, i, j));
        let mut pairs = vec![T::zero(); self.pairs(signal.len())];
        if let Some(limit) = self.limit(signal, &mut pairs) {
            plot.mapv_inplace(|distance| recurrent(distance, limit));
        }
        Ok(plot)
    }

    /// Returns the distance between two states.
    #[inline(always)]
    fn distance<T: Real>(&self, signal: &[T], i: usize, j: usize) -> T {
        let samples = (0..self.states.dimension).map(|k| k * self.states.delay);
        let apart = samples.map(|k| (signal[i + k] - signal[j + k]).abs());
        match self.metric {
            // Summed in the same order as in `Recurrence::fill`, so that the bits are the same.
            Metric::Euclidean => apart.fold(T::zero(), |sum, d| sum + d * d).sqrt(),
            Metric::Maximum => apart.fold(T::zero(), farther),
            Metric::Manhattan => apart.fold(T::zero(), |sum, d| sum + d),
        }
    }

    /// Returns the value that the plot of a flat signal holds throughout.
    pub(crate) fn of_flat<T: Real>(&self) -> T {
        match self.threshold {
            Threshold::None => T::zero(),
            // No threshold is below a distance of 0.
            Threshold::Distance { .. } | Threshold::Rate { .. } => T::one(),
        }
    }

    /// The largest magnitude of samples for which all distances, and the volumes made from them, are finite numbers.
    pub(crate) fn largest_sample<T: Real>(&self) -> T {
        /// Each of the three interpolations on the way to a volume makes values at most three times as large.
        const GROWTH: f64 = 27.0;
        let terms = T::from_f64(self.states.dimension as f64);
        let difference = match self.metric {
            // The squares are what overflows; their root leaves room for the interpolations.
            Metric::Euclidean => (T::max_value() / terms).sqrt(),
            Metric::Maximum | Metric::Manhattan => T::max_value() / (terms * T::from_f64(GROWTH)),
        };
        // Two samples differ by up to twice their magnitude. Another factor of two is left for rounding.
        difference / T::from_f64(4.0)
    }

    /// Number of samples of a signal that has `states` states.
    pub(crate) fn window(&self, states: usize) -> usize {
        self.states.window(states)
    }

    /// Fills `M` groups of columns of a plot, as [`Recurrence::fill`] does. `limit` is the threshold distance for the
    /// signal.
    #[inline(always)]
    pub(crate) fn fill<T: Real, V: Vector<T>, const M: usize>(
        &self,
        signal: &[T],
        limit: Option<T>,
        first: usize,
        columns: &mut [[T; LANES]],
    ) {
        match self.metric {
            Metric::Euclidean => self.states.fill::<T, V, M>(signal, first, columns),
            Metric::Maximum => self.fill_by(signal, first, columns, M * LANES, farther),
            Metric::Manhattan => self.fill_by(signal, first, columns, M * LANES, |sum, d| sum + d),
        }
        if let Some(limit) = limit {
            let cells = columns.as_flattened_mut().iter_mut();
            cells.for_each(|cell| *cell = recurrent(*cell, limit));
        }
    }

    /// Fills rows of `width` columns.
    #[inline(always)]
    fn fill_by<T: Real>(
        &self,
        signal: &[T],
        first: usize,
        columns: &mut [[T; LANES]],
        width: usize,
        join: impl Fn(T, T) -> T,
    ) {
        let cells = columns.as_flattened_mut();
        cells.fill(T::zero());
        for shifted in (0..self.states.dimension).map(|k| &signal[k * self.states.delay..]) {
            for (row, &x0) in cells.chunks_exact_mut(width).zip(shifted) {
                let xs = shifted[first..].iter();
                row.iter_mut().zip(xs).for_each(|(cell, &x)| *cell = join(*cell, (x - x0).abs()));
            }
        }
    }

    /// Number of values that [`RecurrencePlot::limit`] works in for a signal of `n` samples.
    pub(crate) fn pairs(&self, n: usize) -> usize {
        let states = self.states(n);
        match self.threshold {
            Threshold::Rate { .. } => states * states.saturating_sub(1) / 2,
            _ => 0,
        }
    }

    /// Returns the largest distance that is recurrent in the plot of a signal, or `None` if the plot holds the
    /// distances.
    pub(crate) fn limit<T: Real>(&self, signal: &[T], pairs: &mut [T]) -> Option<T> {
        let rate = match self.threshold {
            Threshold::None => return None,
            Threshold::Distance { distance } => return Some(T::from_f64(distance)),
            Threshold::Rate { rate } => rate,
        };
        let states = self.states(signal.len());
        let pairs = &mut pairs[..self.pairs(signal.len())];
        let each = (0..states).flat_map(|i| (0..i).map(move |j| (i, j)));
        for (pair, (i, j)) in pairs.iter_mut().zip(each) {
            *pair = self.distance(signal, i, j);
        }
        let Some(rank) = Threshold::share(rate, pairs.len()).checked_sub(1) else {
            return Some(T::zero());
        };
        // Distances that are NaN come last.
        let by_size = |a: &T, b: &T| a.partial_cmp(b).unwrap_or(a.is_nan().cmp(&b.is_nan()));
        Some(*pairs.select_nth_unstable_by(rank, by_size).1)
    }
}

/// The larger of two values; NaN counts as larger than any number.
#[inline(always)]
fn farther<T: Real>(a: T, b: T) -> T {
    if b > a || b.is_nan() { b } else { a }
}

/// The value that a plot with a threshold holds for a distance.
#[inline(always)]
fn recurrent<T: Real>(distance: T, limit: T) -> T {
    if distance <= limit { T::one() } else { T::zero() }
}
