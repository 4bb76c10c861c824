//! B-spline interpolation in full generality: any order up to 5, any boundary, any axes. The conversion itself is cubic
//! and mirrored; it processes many lines at once, in [`crate::kernel`].

mod boundary;
mod filter;

use ndarray::{Array, ArrayD, ArrayView, ArrayViewD, Axis, Dimension};

pub use boundary::Boundary;
pub(crate) use filter::{NEGLIGIBLE, POLE};

use crate::{ConvertError, Real};
use boundary::Symmetry;

/// The largest array that is made: 32 GiB of `f64`.
const LARGEST: u64 = 1 << 32;
/// The largest size of an interpolated axis. Its taps take 18 GiB.
const LONGEST: usize = 1 << 27;

/// Resizes arrays by B-spline interpolation, like `scipy.ndimage.zoom`.
///
/// The values equal SciPy's within 1e-12 of the peak, for every order, [`Boundary`] and grid mode, with one exception.
/// Where `(to - 1) * ((from - 1) / (to - 1))` is rounded to more than `from - 1`, SciPy's modes `constant` and `wrap`
/// treat the last sample as outside (45 from 26, 51, 62, 90 or 101 are such cases). Here, the last sample is always the
/// last.
///
/// An error of SciPy's that is reproduced: the start value of `reflect` is slightly off on short axes (by 4e-7 of the
/// peak for 5 samples at order 3, by nothing from 25 samples on), and so is that of [`Boundary::Reflect`].
///
/// All arithmetic is done in `f64`. Source: Unser, IEEE Signal Process. Mag. 16(6) (1999) 22.
///
/// ```
/// use ecg3d_convert::{Boundary, SplineZoom};
/// use ndarray::array;
///
/// let zoom = SplineZoom::new(1)?; // linear
/// let image = array![[0.0, 1.0], [2.0, 3.0]];
/// assert_eq!(zoom.zoom(image.view(), &[3, 2])?, array![[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]);
///
/// // Pixels as areas instead of points: twice the size splits each in two.
/// let areas = SplineZoom::new(0)?.with_boundary(Boundary::Nearest).with_grid(true);
/// assert_eq!(areas.zoom(array![1.0, 7.0].view(), &[4])?, array![1.0, 1.0, 7.0, 7.0]);
/// # Ok::<(), ecg3d_convert::ConvertError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplineZoom {
    order: usize,
    boundary: Boundary,
    grid: bool,
}

impl SplineZoom {
    /// Creates an interpolation by splines of an order: 0 takes the nearest sample, 1 is linear, 3 cubic.
    ///
    /// # Errors
    /// Returns an error if the order is above 5.
    pub fn new(order: usize) -> Result<Self, ConvertError> {
        if order > 5 {
            return Err(ConvertError::config("the order of a spline", order, "0 to 5"));
        }
        Ok(Self { order, boundary: Boundary::default(), grid: false })
    }

    /// Sets how the array continues beyond its ends. Default: [`Boundary::Mirror`], which between the end samples gives
    /// the same as SciPy's default, `constant`.
    #[must_use]
    pub fn with_boundary(mut self, boundary: Boundary) -> Self {
        self.boundary = boundary;
        self
    }

    /// Sets whether the extent of an axis of `n` samples is `n` or `n - 1`; this is SciPy's `grid_mode`. Default:
    /// `false`.
    ///
    /// With `true`, samples are areas and the extent is `n`. With `false`, samples are points and the extent is
    /// `n - 1`; the first and last stay where they are.
    #[must_use]
    pub fn with_grid(mut self, grid: bool) -> Self {
        self.grid = grid;
        self
    }

    /// Interpolates along every axis. `shape` is the new size of each axis.
    ///
    /// # Errors
    /// Returns an error if there is not one size for each axis, an axis is empty, a size is 0 or above 2^27, or the
    /// result has more than 2^32 values.
    pub fn zoom<T: Real, D: Dimension>(
        &self,
        array: ArrayView<'_, T, D>,
        shape: &[usize],
    ) -> Result<Array<T, D>, ConvertError> {
        if shape.len() != array.ndim() {
            return Err(ConvertError::Shape {
                what: "the list of sizes",
                expected: vec![array.ndim()],
                found: vec![shape.len()],
            });
        }
        let sizes: Vec<_> = shape.iter().enumerate().map(|(axis, &to)| (Axis(axis), to)).collect();
        self.zoom_axes(array, &sizes)
    }

    /// Interpolates along some of the axes, in any order. The other axes are left unchanged.
    ///
    /// No intermediate array is larger than both the array and the result.
    ///
    /// # Errors
    /// Returns an error if an axis does not exist or is given twice, an axis is empty, a size is 0 or above 2^27, or
    /// the result has more than 2^32 values.
    pub fn zoom_axes<T: Real, D: Dimension>(
        &self,
        array: ArrayView<'_, T, D>,
        sizes: &[(Axis, usize)],
    ) -> Result<Array<T, D>, ConvertError> {
        check(array.shape(), sizes)?;
        // What shrinks most comes first, so that the arrays shrink before they grow.
        let growth = |&(axis, to): &(Axis, usize)| to as f64 / array.len_of(axis) as f64;
        let mut sizes = sizes.to_vec();
        sizes.sort_by(|a, b| growth(a).total_cmp(&growth(b)));
        let mut now = array.mapv(|value| value.to_f64().unwrap_or(f64::NAN)).into_dyn();
        let mut outside = Vec::new();
        for (axis, to) in sizes {
            let line = Line::new(self, now.len_of(axis), to);
            now = line.along(now.view(), axis, to);
            outside.push((axis, line.outside));
        }
        // A place that is outside along one axis is outside, whatever the other axes make of it.
        if let Boundary::Constant(value) = self.boundary {
            for (axis, places) in outside {
                places.into_iter().for_each(|at| now.index_axis_mut(axis, at).fill(value));
            }
        }
        let Ok(now) = now.into_dimensionality::<D>() else {
            unreachable!("interpolation keeps the number of axes")
        };
        Ok(now.mapv(T::from_f64))
    }

    /// Returns the spline's coefficients along every axis, in the array's own shape (`scipy.ndimage.spline_filter`).
    ///
    /// For [`Boundary::Nearest`] and [`Boundary::GridConstant`], the array is not extended here, so the coefficients
    /// near its ends differ from those that [`SplineZoom::zoom`] uses.
    pub fn coefficients<T: Real, D: Dimension>(&self, array: ArrayView<'_, T, D>) -> Array<T, D> {
        let mut out = array.mapv(|value| value.to_f64().unwrap_or(f64::NAN));
        let mut line = Vec::new();
        for axis in 0..out.ndim() {
            for mut lane in out.lanes_mut(Axis(axis)) {
                line.clear();
                line.extend(lane.iter());
                filter::coefficients(&mut line, self.order, self.boundary.symmetry());
                lane.iter_mut().zip(&line).for_each(|(cell, value)| *cell = *value);
            }
        }
        out.mapv(T::from_f64)
    }
}

/// Checks the new sizes of some axes of an array.
fn check(shape: &[usize], sizes: &[(Axis, usize)]) -> Result<(), ConvertError> {
    let mut zoomed = shape.to_vec();
    for (k, &(axis, to)) in sizes.iter().enumerate() {
        if axis.index() >= shape.len() || sizes[..k].iter().any(|size| size.0 == axis) {
            let expected = "an axis of the array, each at most once";
            return Err(ConvertError::config("the axis of a zoom", axis.index(), expected));
        }
        for found in [shape[axis.index()], to] {
            if found == 0 {
                return Err(ConvertError::Length { what: "a zoom", expected: 1, found });
            }
        }
        if to > LONGEST {
            return Err(ConvertError::config("the size of a zoomed axis", to, "at most 2^27"));
        }
        zoomed[axis.index()] = to;
    }
    // An axis without samples does not make room for the others.
    let values = zoomed.iter().try_fold(1_usize, |all, &size| all.checked_mul(size.max(1)));
    if values.is_none_or(|values| values as u64 > LARGEST) {
        let found = format!("{zoomed:?}");
        return Err(ConvertError::config("the zoomed shape", found, "at most 2^32 values"));
    }
    Ok(())
}

/// Computes the coefficients of a cubic spline that is mirrored about its end samples, in place.
pub(crate) fn cubic_coefficients(line: &mut [f64]) {
    filter::coefficients(line, 3, Symmetry::WholeSample);
}

/// Returns the sample at any index of `n` samples that are mirrored about their ends.
pub(crate) fn mirror(index: i64, n: usize) -> usize {
    Symmetry::WholeSample.index(index, n)
}

/// The interpolation along one axis.
struct Line {
    order: usize,
    /// Number of samples that are added on both sides.
    padding: usize,
    symmetry: Symmetry,
    boundary: Boundary,
    /// For each value, the coefficients it is made of (`None` for the constant) and their weights.
    taps: Vec<[(Option<usize>, f64); 6]>,
    /// The values that lie outside, if the boundary gives these a value of their own.
    outside: Vec<usize>,
}

impl Line {
    fn new(zoom: &SplineZoom, from: usize, to: usize) -> Self {
        let SplineZoom { order, boundary, grid } = *zoom;
        let padding = boundary.padding(order);
        let padded = from + 2 * padding;
        let extent = |n: usize| (if grid { n } else { n - 1 }) as f64;
        let step = if extent(to) > 0.0 { extent(from) / extent(to) } else { 1.0 };
        let mut outside = Vec::new();
        let tap = |o: usize| {
            let place = if grid {
                (o as f64 + 0.5) * step - 0.5
            } else {
                // Rounding may put the last place beyond the last sample.
                (o as f64 * step).min((from - 1) as f64)
            };
            let Some(place) = boundary.place(place + padding as f64, padded) else {
                outside.push(o);
                return [(None, 0.0); 6];
            };
            let (first, weights) = filter::weights(place, order);
            let mut tap = [(Some(0), 0.0); 6];
            for (k, (index, weight)) in tap[..=order].iter_mut().enumerate() {
                *index = boundary.index(first + k as i64, padded);
                *weight = weights[k];
            }
            tap
        };
        let taps = (0..to).map(tap).collect();
        Self { order, padding, symmetry: boundary.symmetry(), boundary, taps, outside }
    }

    fn along(&self, array: ArrayViewD<'_, f64>, axis: Axis, to: usize) -> ArrayD<f64> {
        let from = array.len_of(axis);
        let mut shape = array.shape().to_vec();
        shape[axis.index()] = to;
        let mut out = ArrayD::zeros(shape);
        let constant = match self.boundary {
            Boundary::Constant(value) | Boundary::GridConstant(value) => value,
            _ => 0.0,
        };
        let mut line = vec![constant; from + 2 * self.padding];
        for (lane, mut values) in array.lanes(axis).into_iter().zip(out.lanes_mut(axis)) {
            let (before, rest) = line.split_at_mut(self.padding);
            let (own, after) = rest.split_at_mut(from);
            own.iter_mut().zip(lane).for_each(|(own, &value)| *own = value);
            if let Boundary::Nearest = self.boundary {
                before.fill(own[0]);
                after.fill(own[from - 1]);
            } else {
                before.fill(constant);
                after.fill(constant);
            }
            filter::coefficients(&mut line, self.order, self.symmetry);
            for (value, tap) in values.iter_mut().zip(&self.taps) {
                *value = tap[..=self.order].iter().fold(0.0, |sum, &(index, weight)| {
                    sum + weight * index.map_or(constant, |index| line[index])
                });
            }
        }
        out
    }
}
