use ndarray::{Array2, ArrayD, ArrayViewD, Axis};

use crate::simd::update;
use crate::{ConvertError, Real};

/// The pole of the cubic B-spline's inverse filter, sqrt(3) - 2.
const POLE: f64 = -0.267_949_192_431_122_7;
/// The gain of that filter, (1 - pole)(1 - 1/pole).
const GAIN: f64 = 6.0;
/// Powers of the pole below this are left out of its start value: less than a rounding, even in `f64`.
const NEGLIGIBLE: f64 = 1e-19;

/// Cubic B-spline interpolation of `n` samples at `m` places, evenly spread from the first sample to the last.
///
/// The signal is continued beyond its ends by reflection about the end samples, as `scipy.ndimage.zoom(order=3)` does
/// within the range of the samples. Unlike scipy's, the last value is never a zero for want of a rounding. Source:
/// Unser, IEEE Signal Process. Mag. 16(6) (1999) 22.
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
    /// For each value: the four coefficients that it is made of and their weights, with the filter's gain in them.
    taps: Vec<Tap>,
}

/// Four coefficients and their weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tap {
    pub(crate) index: [usize; 4],
    pub(crate) weight: [f64; 4],
}

impl CubicZoom {
    /// Plans the interpolation of `from` samples at `to` places. A single place is that of the first sample.
    ///
    /// # Errors
    /// Either is zero.
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
            // The last place may come out a rounding beyond the last sample.
            let place = (o as f64 * step).min((from - 1) as f64);
            let base = place.floor();
            let weight = weights(place - base).map(|w| w * GAIN);
            let index = std::array::from_fn(|k| mirror(base as i64 + k as i64 - 1, from));
            Tap { index, weight }
        };
        Ok(Self { from, taps: (0..to).map(tap).collect() })
    }

    /// Samples that go in and values that come out.
    pub fn lengths(&self) -> (usize, usize) {
        (self.from, self.taps.len())
    }

    pub(crate) fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// The interpolation as a matrix `[value, sample]`.
    pub fn matrix(&self) -> Array2<f64> {
        let mut coefficients = Array2::<f64>::eye(self.from);
        if let Some(rows) = coefficients.as_slice_mut() {
            coefficients_of_rows(rows, self.from, self.from);
        }
        let mut matrix = Array2::zeros((self.taps.len(), self.from));
        for (mut row, tap) in matrix.rows_mut().into_iter().zip(&self.taps) {
            for (&index, &weight) in tap.index.iter().zip(&tap.weight) {
                row.scaled_add(weight, &coefficients.row(index));
            }
        }
        matrix
    }
}

/// Interpolates an array of any number of axes at `shape` places: the cubic zoom along each axis in turn.
///
/// # Errors
/// Not one size for each axis; an axis of length 0, or a size of 0.
pub fn zoom<T: Real>(array: ArrayViewD<'_, T>, shape: &[usize]) -> Result<ArrayD<T>, ConvertError> {
    if shape.len() != array.ndim() {
        return Err(ConvertError::Shape {
            what: "the list of sizes",
            expected: vec![array.ndim()],
            found: vec![shape.len()],
        });
    }
    let mut now = array.to_owned();
    for (axis, &to) in shape.iter().enumerate() {
        let plan = CubicZoom::new(now.len_of(Axis(axis)), to)?;
        let mut size = now.shape().to_vec();
        size[axis] = to;
        let mut next = ArrayD::zeros(size);
        let mut line = vec![T::zero(); plan.from];
        for (values, mut out) in now.lanes(Axis(axis)).into_iter().zip(next.lanes_mut(Axis(axis))) {
            line.iter_mut().zip(values).for_each(|(own, &value)| *own = value);
            coefficients_of_rows(&mut line, plan.from, 1);
            for (value, tap) in out.iter_mut().zip(&plan.taps) {
                *value = (0..4).fold(T::zero(), |sum, k| {
                    sum + T::from_f64(tap.weight[k]) * line[tap.index[k]]
                });
            }
        }
        now = next;
    }
    Ok(now)
}

/// Values of the cubic B-spline at the four nodes around a place, `y` behind the second.
fn weights(y: f64) -> [f64; 4] {
    let z = 1.0 - y;
    let outer = z * z * z / 6.0;
    let near = (y * y * (y - 2.0) * 3.0 + 4.0) / 6.0;
    let far = (z * z * (z - 2.0) * 3.0 + 4.0) / 6.0;
    [outer, near, far, 1.0 - outer - near - far]
}

/// Index of a sample of a signal that is reflected about its end samples.
fn mirror(index: i64, n: usize) -> usize {
    let period = 2 * (n as i64 - 1).max(1);
    let inside = index.rem_euclid(period);
    inside.min(period - inside) as usize
}

/// Turns `n` rows of `stride` samples into B-spline coefficients along the rows' axis, but for the gain of 6.
///
/// Every column is a signal of its own. A causal and an anti-causal recursion, each started from the sum over the
/// reflected signal; columns side by side, so that the recursion's latency does not count.
#[inline(always)]
pub(crate) fn coefficients_of_rows<T: Real>(rows: &mut [T], n: usize, stride: usize) {
    if n < 2 {
        return;
    }
    let rows = &mut rows[..n * stride];
    let pole = T::from_f64(POLE);
    let (first, others) = rows.split_at_mut(stride);
    let negligible = T::from_f64(NEGLIGIBLE).max(T::epsilon() * T::from_f64(1e-3));
    let mut power = pole;
    let mut k = 1;
    while k < n && power.abs() > negligible {
        let row = &others[(k - 1) * stride..k * stride];
        // Where the reflection at the far end still counts, it is summed in closed form below.
        update(first, row, |c, x| c + power * x);
        power *= pole;
        k += 1;
    }
    if k == n {
        // The sum over the whole period: what comes back from the far end, and a geometric series of periods.
        // `power` is pole^n here; sample n - 1 - j comes back with the weight pole^(n - 1 + j).
        for j in 1..n - 1 {
            let row = &others[(n - 2 - j) * stride..(n - 1 - j) * stride];
            update(first, row, |c, x| c + power * x);
            power *= pole;
        }
        let once = T::one() / (T::one() - power);
        first.iter_mut().for_each(|c| *c *= once);
    }
    for i in 1..n {
        let (before, now) = rows[(i - 1) * stride..(i + 1) * stride].split_at_mut(stride);
        update(now, before, |c, b| c + pole * b);
    }
    let end = pole / (pole * pole - T::one());
    let (before, last) = rows[(n - 2) * stride..].split_at_mut(stride);
    update(last, before, |c, b| (pole * b + c) * end);
    for i in (0..n - 1).rev() {
        let (now, after) = rows[i * stride..(i + 2) * stride].split_at_mut(stride);
        update(now, after, |c, a| pole * (a - c));
    }
}
