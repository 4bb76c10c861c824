use ndarray::Array2;

use crate::spline::{self, NEGLIGIBLE, POLE};
use crate::{ConvertError, Real};

/// The gain of the cubic B-spline's inverse filter, (1 - pole)(1 - 1/pole).
const GAIN: f64 = 6.0;

/// Cubic B-spline interpolation of `n` samples at `m` places, evenly spread from the first sample to the last.
///
/// Beyond its ends, the signal is extended by reflection about its end samples, as in `scipy.ndimage.zoom(order=3)`
/// within the range of the samples. Unlike SciPy's, the last value never becomes zero because of a rounding error. The
/// conversion itself uses this type; [`crate::SplineZoom`] applies this spline and all others to arrays. Source: Unser,
/// IEEE Signal Process. Mag. 16(6) (1999) 22.
///
/// ```
/// use ecg3d_convert::CubicZoom;
///
/// let zoom = CubicZoom::new(3, 5)?;
/// let values = zoom.matrix().dot(&ndarray::arr1(&[0.0, 1.0, 0.0]));
/// assert!((values[2] - 1.0).abs() < 1e-15); // at the middle sample
/// assert!((values[1] - 0.5).abs() < 1e-15); // half-way
/// # Ok::<(), ecg3d_convert::ConvertError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CubicZoom {
    from: usize,
    /// For each value, the four coefficients it is made of and their weights, which include the filter's gain.
    taps: Vec<Tap<f64>>,
    /// The same, rounded to `f32`.
    taps_f32: Vec<Tap<f32>>,
}

/// Four coefficients and their weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tap<T> {
    pub(crate) index: [usize; 4],
    pub(crate) weight: [T; 4],
}

impl CubicZoom {
    /// Plans the interpolation of `from` samples at `to` places. A single place is at the first sample.
    ///
    /// # Errors
    /// Returns an error if either is zero.
    pub fn new(from: usize, to: usize) -> Result<Self, ConvertError> {
        for found in [from, to] {
            if found == 0 {
                return Err(ConvertError::Length { what: "a zoom", expected: 1, found });
            }
        }
        let step = if to > 1 { (from - 1) as f64 / (to - 1) as f64 } else { 0.0 };
        let tap = |o: usize| {
            if from == 1 {
                return Tap { index: [0; 4], weight: [1.0, 0.0, 0.0, 0.0] };
            }
            // Rounding may put the last place beyond the last sample.
            let place = (o as f64 * step).min((from - 1) as f64);
            let base = place.floor();
            let weight = weights(place - base).map(|w| w * GAIN);
            let index = std::array::from_fn(|k| spline::mirror(base as i64 + k as i64 - 1, from));
            Tap { index, weight }
        };
        let taps: Vec<_> = (0..to).map(tap).collect();
        let rounded =
            |tap: &Tap<f64>| Tap { index: tap.index, weight: tap.weight.map(|w| w as f32) };
        let taps_f32 = taps.iter().map(rounded).collect();
        Ok(Self { from, taps, taps_f32 })
    }

    /// Returns the number of samples and the number of interpolated values.
    pub fn lengths(&self) -> (usize, usize) {
        (self.from, self.taps.len())
    }

    pub(crate) fn taps_f64(&self) -> &[Tap<f64>] {
        &self.taps
    }

    pub(crate) fn taps_f32(&self) -> &[Tap<f32>] {
        &self.taps_f32
    }

    /// Returns the interpolation as a matrix `[value, sample]`.
    pub fn matrix(&self) -> Array2<f64> {
        let mut matrix = Array2::zeros((self.taps.len(), self.from));
        let mut line = vec![0.0; self.from];
        // The weights include the gain, and so do these coefficients. A single sample has no gain.
        let gain = if self.from == 1 { 1.0 } else { GAIN };
        for (sample, mut column) in matrix.columns_mut().into_iter().enumerate() {
            line.fill(0.0);
            line[sample] = 1.0;
            spline::cubic_coefficients(&mut line);
            for (cell, tap) in column.iter_mut().zip(&self.taps) {
                *cell = (0..4).map(|k| tap.weight[k] * line[tap.index[k]]).sum::<f64>() / gain;
            }
        }
        matrix
    }
}

/// Values of the cubic B-spline at the four nodes around a place that lies `y` after the second node.
fn weights(y: f64) -> [f64; 4] {
    let z = 1.0 - y;
    let outer = z * z * z / 6.0;
    let near = (y * y * (y - 2.0) * 3.0 + 4.0) / 6.0;
    let far = (z * z * (z - 2.0) * 3.0 + 4.0) / 6.0;
    [outer, near, far, 1.0 - outer - near - far]
}

/// Returns the first causal coefficient of `n` samples: a weighted sum over the reflected signal. The sum starts with
/// `first`, the first sample.
///
/// `add(sum, k, weight)` adds sample `k` times a weight. If the far end still counts, the sum is taken over a whole
/// period, including the samples reflected there, and the further periods are added as a geometric series by `times`.
#[inline(always)]
pub(crate) fn start<T: Real, S>(
    n: usize,
    mut add: impl FnMut(S, usize, T) -> S,
    first: S,
    times: impl FnOnce(S, T) -> S,
) -> S {
    let pole = T::from_f64(POLE);
    let negligible = T::from_f64(NEGLIGIBLE).max(T::epsilon() * T::from_f64(1e-3));
    let (mut sum, mut power) = (first, pole);
    for k in 1..n {
        if power.abs() <= negligible {
            return sum;
        }
        sum = add(sum, k, power);
        power *= pole;
    }
    if power.abs() <= negligible {
        return sum;
    }
    for k in (1..n - 1).rev() {
        sum = add(sum, k, power);
        power *= pole;
    }
    times(sum, T::one() / (T::one() - power))
}
