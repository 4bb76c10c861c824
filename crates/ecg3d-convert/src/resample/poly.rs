use ndarray::{ArrayView2, ArrayViewMut2};
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::ratio::lowest_terms;
use crate::ConvertError;
use crate::fir::{convolve_rows, kaiser_low_pass};
use crate::simd::{Task, run};

/// Lobes of the filter on each side, and the shape of its window: SciPy's defaults.
const LOBES: usize = 10;
const KAISER_BETA: f64 = 5.0;

/// How the filter of a [`PolyResampler`] is computed. Both ways give the same values up to rounding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum FirMethod {
    /// Only the values that are kept are computed, each from the taps that meet a sample: about 20 products for each
    /// sample at the higher of the two rates. This is faster, and allocates nothing.
    #[default]
    Polyphase,
    /// The signal is convolved with the filter by FFT (`ndarray-conv`), as far as values are kept, and every `down`-th
    /// value is taken. An independent computation of the same values. If the rate is also raised (`up` above 1), nearly
    /// all of the products would be with zeros, so the other way is used instead.
    Convolution,
}

/// How a signal continues beyond its ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Edges {
    /// Along the line through its first and last sample (SciPy's `padtype="line"`).
    #[default]
    Line,
    /// With zeros (`padtype="constant"`).
    Zero,
}

/// Resamples by the ratio of two whole numbers, with a linear-phase low-pass.
///
/// The result equals that of SciPy's `resample_poly(x, up, down, padtype="line")` with its default Kaiser(5.0) window:
/// 20 max(up, down) + 1 taps, with the corner at half the lower rate. `n` samples become `n up / down`, rounded up.
///
/// ```
/// use ecg3d_convert::{PolyResampler, rate_ratio};
///
/// let (up, down) = rate_ratio(360.0, 50.0)?;
/// assert_eq!((up, down), (5, 36));
/// let resampler = PolyResampler::new(up, down)?;
/// let line: Vec<f64> = (0..3600).map(|t| t as f64 / 360.0).collect();
/// let slow = resampler.resample(&line)?;
/// assert_eq!(slow.len(), 500);
/// assert!((slow[250] - 5.0).abs() < 1e-3); // a line stays a line, except for the ripple of the filter
/// # Ok::<(), ecg3d_convert::ConvertError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PolyResampler {
    up: usize,
    down: usize,
    /// Number of taps on each side of the middle one.
    half: usize,
    /// Number of samples by which a signal is extended on both sides.
    padding: usize,
    /// The taps of each phase, in reverse order: those that meet samples when tap 0 lies `phase` steps after a sample.
    phases: Vec<Vec<f64>>,
    method: FirMethod,
    edges: Edges,
}

impl PolyResampler {
    /// Plans resampling by `up / down`, which need not be in lowest terms.
    ///
    /// # Errors
    /// Returns an error if a factor is zero, or above 100,000 in lowest terms.
    pub fn new(up: usize, down: usize) -> Result<Self, ConvertError> {
        if up == 0 || down == 0 {
            let expected = "two positive whole numbers";
            return Err(ConvertError::config("up/down", format_args!("{up}/{down}"), expected));
        }
        let (up, down) = lowest_terms(up, down)?;
        let longest = up.max(down);
        let half = LOBES * longest;
        let mut taps = kaiser_low_pass(half, 1.0 / longest as f64, KAISER_BETA);
        taps.iter_mut().for_each(|tap| *tap *= up as f64);
        let phase = |r: usize| {
            let mut own: Vec<f64> = taps.iter().skip(r).step_by(up).copied().collect();
            own.reverse();
            own
        };
        let phases = (0..up).map(phase).collect();
        let padding = half.div_ceil(up) + 1;
        Ok(Self {
            up,
            down,
            half,
            padding,
            phases,
            method: FirMethod::default(),
            edges: Edges::default(),
        })
    }

    /// Sets how the filter is computed. Default: [`FirMethod::Polyphase`].
    #[must_use]
    pub fn with_method(mut self, method: FirMethod) -> Self {
        self.method = method;
        self
    }

    /// Sets how a signal continues beyond its ends. Default: [`Edges::Line`].
    #[must_use]
    pub fn with_edges(mut self, edges: Edges) -> Self {
        self.edges = edges;
        self
    }

    /// Returns the factors `(up, down)` in lowest terms.
    pub fn ratio(&self) -> (usize, usize) {
        (self.up, self.down)
    }

    /// Returns the number of samples that `n` samples become.
    pub fn output_len(&self, n: usize) -> usize {
        (n * self.up).div_ceil(self.down)
    }

    /// Resamples one signal.
    ///
    /// # Errors
    /// Returns an error if the signal is empty, or if the convolution fails.
    pub fn resample(&self, signal: &[f64]) -> Result<Vec<f64>, ConvertError> {
        let mut out = vec![0.0; self.output_len(signal.len())];
        self.resample_into(signal, &mut out, &mut Vec::new())?;
        Ok(out)
    }

    /// Resamples one signal into `out`.
    ///
    /// `extended` is working memory: what it holds does not matter. If it has been used with a signal of this length
    /// before, nothing is allocated, except by [`FirMethod::Convolution`].
    ///
    /// # Errors
    /// Returns an error if the signal is empty, if the output does not have [`PolyResampler::output_len`] values, or if
    /// the convolution fails.
    pub fn resample_into(
        &self,
        signal: &[f64],
        out: &mut [f64],
        extended: &mut Vec<f64>,
    ) -> Result<(), ConvertError> {
        let expected = self.output_len(signal.len());
        ConvertError::check_shape("the resampled signal", &[out.len()], &[expected])?;
        self.resample_rows(signal, signal.len(), out, extended)
    }

    /// Resamples rows of `n` samples. `out` has as many rows, each of `output_len(n)` values or only the first of
    /// these.
    ///
    /// Does not allocate if `extended` has been used with rows of this length before, except in the convolution.
    pub(crate) fn resample_rows(
        &self,
        rows: &[f64],
        n: usize,
        out: &mut [f64],
        extended: &mut Vec<f64>,
    ) -> Result<(), ConvertError> {
        if n == 0 {
            let what = "polyphase resampling";
            return Err(ConvertError::Length { what, expected: 1, found: n });
        }
        let kept = out.len() / (rows.len() / n);
        if self.up == self.down {
            for (row, out) in rows.chunks_exact(n).zip(out.chunks_exact_mut(kept)) {
                out.copy_from_slice(&row[..kept]);
            }
            return Ok(());
        }
        let width = n + 2 * self.padding;
        extended.clear();
        extended.resize(rows.len() / n * width, 0.0);
        for (row, out) in rows.chunks_exact(n).zip(extended.chunks_exact_mut(width)) {
            let out_row = &mut out[self.padding..][..n];
            out_row.copy_from_slice(row);
            if self.edges == Edges::Line {
                extend_line(self.padding, out);
            }
        }
        if self.method == FirMethod::Convolution && self.up == 1 {
            let shape = (rows.len() / n, width);
            let view = ArrayView2::from_shape(shape, extended.as_slice());
            let out = ArrayViewMut2::from_shape((shape.0, kept), out);
            let (Ok(view), Ok(out)) = (view, out) else {
                unreachable!("both were cut to these shapes above")
            };
            return convolve_rows(view, &self.phases[0], self.padding - self.half, self.down, out);
        }
        run(Polyphase { plan: self, extended, width, out, kept });
        Ok(())
    }
}

/// Fills the first and last `padding` values along the line through the first and last of the values between.
fn extend_line(padding: usize, out: &mut [f64]) {
    let n = out.len() - 2 * padding;
    let (first, last) = (out[padding], out[padding + n - 1]);
    let slope = if n > 1 { (last - first) / (n - 1) as f64 } else { 0.0 };
    for k in 0..padding {
        out[k] = first - (padding - k) as f64 * slope;
        out[padding + n + k] = last + (k + 1) as f64 * slope;
    }
}

struct Polyphase<'a> {
    plan: &'a PolyResampler,
    extended: &'a [f64],
    width: usize,
    out: &'a mut [f64],
    kept: usize,
}

impl Task for Polyphase<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { plan, extended, width, out, kept } = self;
        for (row, out) in extended.chunks_exact(width).zip(out.chunks_exact_mut(kept)) {
            for (m, value) in out.iter_mut().enumerate() {
                // `position` counts in the signal made `up` times longer by zeros. The last tap of the phase meets
                // sample `last`.
                let position = m * plan.down + plan.half;
                let taps = &plan.phases[position % plan.up];
                let last = position / plan.up + plan.padding;
                *value = dot(taps, &row[last + 1 - taps.len()..=last]);
            }
        }
    }
}

/// Returns the scalar product, accumulated in eight sums that a processor can add side by side.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const SUMS: usize = 8;
    let mut sums = [0.0; SUMS];
    let (a, a_rest) = a.as_chunks::<SUMS>();
    let (b, b_rest) = b.as_chunks::<SUMS>();
    for (a, b) in a.iter().zip(b) {
        for k in 0..SUMS {
            sums[k] += a[k] * b[k];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_filtering_agree() {
        let x: Vec<f64> = (0..1234).map(|t| ((t * t * 7 + 13 * t) % 401) as f64 - 200.0).collect();
        for (up, down) in [(1, 10), (1, 2), (1, 20), (5, 36)] {
            let plan = PolyResampler::new(up, down).expect("a plan");
            let direct = plan.resample(&x).expect("resamples");
            let by_fft = plan.with_method(FirMethod::Convolution).resample(&x).expect("resamples");
            assert_eq!(direct.len(), by_fft.len());
            for (a, b) in direct.iter().zip(&by_fft) {
                // Relative to the peak of 200; the FFT rounds differently.
                approx::assert_abs_diff_eq!(a, b, epsilon = 200.0 * 1e-14);
            }
        }
    }

    #[test]
    fn fewer_values_are_the_first_of_all() {
        let rows: Vec<f64> = (0..3 * 777).map(|t| ((t * t * 7 + 13 * t) % 401) as f64).collect();
        for (up, down) in [(1, 10), (5, 36), (9, 2), (1, 1)] {
            for method in [FirMethod::Convolution, FirMethod::Polyphase] {
                let plan = PolyResampler::new(up, down).expect("a plan").with_method(method);
                let mut out = vec![0.0; 3 * 50];
                plan.resample_rows(&rows, 777, &mut out, &mut Vec::new()).expect("resamples");
                for (row, out) in rows.chunks_exact(777).zip(out.chunks_exact(50)) {
                    let whole = plan.resample(row).expect("resamples");
                    for (a, b) in out.iter().zip(&whole) {
                        // Relative to the peak of 400; an FFT of another length rounds differently.
                        let rounding = if method == FirMethod::Polyphase { 0.0 } else { 1e-11 };
                        approx::assert_abs_diff_eq!(a, b, epsilon = rounding);
                    }
                }
            }
        }
    }

    #[test]
    fn into_an_array_of_the_right_length() {
        let plan = PolyResampler::new(5, 36).expect("a plan");
        let x: Vec<f64> = (0..777).map(|t| f64::from(t % 41)).collect();
        let mut out = vec![0.0; plan.output_len(777)];
        let mut extended = vec![f64::NAN; 3];
        plan.resample_into(&x, &mut out, &mut extended).expect("resamples");
        assert_eq!(Ok(&out), plan.resample(&x).as_ref());
        let error = plan.resample_into(&x, &mut out[1..], &mut extended).expect_err("too small");
        assert_eq!(error.to_string(), "the resampled signal has shape [107], expected [108]");
        assert!(plan.resample_into(&[], &mut [], &mut extended).is_err());
    }

    #[test]
    fn equal_rates_change_nothing() {
        let plan = PolyResampler::new(7, 7).expect("a plan");
        assert_eq!(plan.resample(&[1.0, 5.0, 2.0]), Ok(vec![1.0, 5.0, 2.0]));
        assert!(plan.resample(&[]).is_err());
        assert!(PolyResampler::new(0, 1).is_err());
    }

    #[test]
    fn factors_are_taken_as_they_are() {
        let ratio = |up, down| PolyResampler::new(up, down).map(|plan| plan.ratio());
        assert_eq!(ratio(20, 200), Ok((1, 10)));
        // 769/7688 is within 2e-7, 2/39,999 within 1e-5.
        assert_eq!(ratio(5000, 49_987), Ok((5000, 49_987)));
        let limit = 100_000;
        let expected = ConvertError::RateRatio { from_hz: 999_983.0, to_hz: 50.0, limit };
        assert_eq!(ratio(50, 999_983), Err(expected));
        assert!(ratio(usize::MAX, 1).is_err());
    }
}
