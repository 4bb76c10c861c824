//! The inner loops, which [`crate::simd::run_vectors`] compiles for each instruction set.
//!
//! Let P be the spline's prefilter, S its four-tap interpolation, and R the recurrence plot of a lead. The lead's image
//! is S P R P' S', and the volume is S P applied across the images. P and S run down the columns of R. Up to four
//! groups of `LANES` columns are processed side by side, in a *strip* `[row, group]`, so that the working set fits into
//! the first-level cache. Then the result is transposed and the same is done again.

use std::ops::Range;

use ecg_core::LeadMask;
use ndarray::ArrayView2;

use crate::real::sealed::Token;
use crate::simd::{LANES, Vector, VectorTask};
use crate::spline::POLE;
use crate::zoom::{CubicZoom, Tap, start};
use crate::{Real, RecurrencePlot};

/// Maximum number of lane groups in a strip: enough to hide the latency of the recursions.
const TOGETHER: usize = 4;

/// Calls a function that is generic over the number of groups in a strip.
macro_rules! with_groups {
    ($count:expr, $f:ident::<$vector:ty>($($argument:expr),* $(,)?)) => {
        match $count {
            1 => $f::<_, $vector, 1>($($argument),*),
            2 => $f::<_, $vector, 2>($($argument),*),
            3 => $f::<_, $vector, 3>($($argument),*),
            _ => $f::<_, $vector, TOGETHER>($($argument),*),
        }
    };
}

/// Sizes of everything between a window and its volume.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    plot: RecurrencePlot,
    /// Along the leads.
    depth: CubicZoom,
    /// Along the rows of a recurrence plot.
    height: CubicZoom,
    /// Along its columns.
    width: CubicZoom,
}

impl Layout {
    pub(crate) fn new(
        plot: RecurrencePlot,
        depth: CubicZoom,
        height: CubicZoom,
        width: CubicZoom,
    ) -> Self {
        Self { plot, depth, height, width }
    }

    pub(crate) fn leads(&self) -> usize {
        self.depth.lengths().0
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth.lengths().1
    }

    pub(crate) fn volume_shape(&self) -> [usize; 3] {
        [self.depth(), self.height.lengths().1, self.width.lengths().1]
    }

    /// The largest magnitude that a window's samples may have; see [`RecurrencePlot::largest_sample`].
    pub(crate) fn largest_sample<T: Real>(&self) -> T {
        self.plot.largest_sample()
    }

    /// Number of values in an image.
    pub(crate) fn plane(&self) -> usize {
        self.height.lengths().1 * self.width.lengths().1
    }

    /// Number of values in all images.
    pub(crate) fn images_len(&self) -> usize {
        self.leads() * self.plane()
    }

    /// Number of rows of a recurrence plot.
    fn states(&self) -> usize {
        self.height.lengths().0
    }

    /// Number of lane groups that a plot's columns take.
    fn state_groups(&self) -> usize {
        self.states().div_ceil(LANES)
    }

    /// Number of lane groups that an image's rows take, once they have become columns.
    fn height_groups(&self) -> usize {
        self.height.lengths().1.div_ceil(LANES)
    }

    /// Length of a lead's samples, padded so that the last group is whole.
    fn signal_len(&self) -> usize {
        self.plot.window(self.state_groups() * LANES).next_multiple_of(LANES)
    }

    /// Number of values that [`ImageTask`] works in.
    pub(crate) fn image_buffer(&self) -> usize {
        let plot = TOGETHER * self.states();
        let block = TOGETHER * self.height_groups() * LANES;
        let turned = self.height_groups() * self.states();
        let pairs = self.plot.pairs(self.plot.window(self.states()));
        self.signal_len() + (plot + block + turned) * LANES + pairs
    }

    /// Number of values in a strip of the images.
    pub(crate) fn strip_len(&self) -> usize {
        TOGETHER * self.leads() * LANES
    }

    /// Number of values that [`VolumeTask`] works in, plus one plane.
    pub(crate) fn volume_buffer(&self) -> usize {
        self.strip_len() + self.plane()
    }
}

/// Turns a window `[lead, sample]` into its images `[lead, height, width]`.
#[derive(Debug)]
pub struct ImageTask<'a, T> {
    pub(crate) layout: &'a Layout,
    pub(crate) window: ArrayView2<'a, T>,
    pub(crate) work: &'a mut [T],
    pub(crate) out: &'a mut [T],
}

impl<T: Real> VectorTask<T> for ImageTask<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self) {
        let Self { layout, window, work, out } = self;
        let states = layout.states();
        let (signal, work) = work.split_at_mut(layout.signal_len());
        let (work, pairs) = work.split_at_mut(work.len() - layout.plot.pairs(window.ncols()));
        let (work, _) = work.as_chunks_mut::<LANES>();
        let (plot, work) = work.split_at_mut(TOGETHER * states);
        let (turned, work) = work.split_at_mut(layout.height_groups() * states);
        let block = &mut work[..TOGETHER * layout.height_groups() * LANES];
        let [_, height, width] = layout.volume_shape();
        signal.fill(T::zero());
        for (samples, image) in window.rows().into_iter().zip(out.chunks_exact_mut(layout.plane()))
        {
            signal.iter_mut().zip(samples).for_each(|(own, &sample)| *own = sample);
            let limit = layout.plot.limit(&signal[..window.ncols()], pairs);
            for first in (0..layout.state_groups()).step_by(TOGETHER) {
                let count = TOGETHER.min(layout.state_groups() - first);
                with_groups!(
                    count,
                    columns_of_plot::<V>(layout, signal, limit, first, plot, block, turned)
                );
            }
            for (k, strip) in turned.chunks_mut(TOGETHER * states).enumerate() {
                let (count, first) = (strip.len() / states, k * TOGETHER * LANES);
                with_groups!(count, rows_of_image::<V>(layout, strip, first, image));
            }
            if height == width {
                // Only the part left of the diagonal was computed, so that the image is symmetric to the bit.
                for p in 0..width {
                    let (done, below) = image.split_at_mut((p + 1) * width);
                    let right = done[p * width + p + 1..].iter_mut();
                    right.zip(below.chunks_exact(width)).for_each(|(cell, row)| *cell = row[p]);
                }
            }
        }
    }
}

/// Makes a strip of a recurrence plot's columns and resizes it; the columns become rows of the strips in `turned`.
#[inline(always)]
fn columns_of_plot<T: Real, V: Vector<T>, const M: usize>(
    layout: &Layout,
    signal: &[T],
    limit: Option<T>,
    first: usize,
    plot: &mut [[T; LANES]],
    block: &mut [[T; LANES]],
    turned: &mut [[T; LANES]],
) {
    let (states, groups) = (layout.states(), layout.height_groups());
    let strip = &mut plot[..states * M];
    layout.plot.fill::<T, V, M>(signal, limit, first * LANES, strip);
    coefficients::<T, V, M>(strip);
    let block = &mut block[..groups * LANES * M];
    let taps = T::taps(&layout.height, Token);
    for (cells, tap) in block.as_chunks_mut::<M>().0.iter_mut().zip(taps) {
        let values: [V; M] = interpolate(strip, tap);
        for m in 0..M {
            values[m].store(&mut cells[m]);
        }
    }
    for (group, block) in block.chunks_exact(LANES * M).enumerate() {
        // Where the strip of `turned` that holds this group starts.
        let start = group / TOGETHER * TOGETHER;
        let step = TOGETHER.min(groups - start);
        let strip = &mut turned[start * states..][..step * states];
        let rows = strip.chunks_exact_mut(step).skip(first * LANES).take(M * LANES);
        let (block, _) = block.as_chunks::<M>();
        for (j, row) in rows.enumerate() {
            let (m, lane) = (j / LANES, j % LANES);
            // Collected by value, so that there is no store between the loads.
            let mut cells = [T::zero(); LANES];
            for (cell, row) in cells.iter_mut().zip(block) {
                *cell = row[m][lane];
            }
            row[group - start] = cells;
        }
    }
}

/// Makes the rows of an image from a strip of its columns. Of a square image, what lies right of the diagonal is left
/// out.
#[inline(always)]
fn rows_of_image<T: Real, V: Vector<T>, const M: usize>(
    layout: &Layout,
    strip: &mut [[T; LANES]],
    first: usize,
    image: &mut [T],
) {
    let [_, height, width] = layout.volume_shape();
    coefficients::<T, V, M>(strip);
    let mut cells = [[T::zero(); LANES]; M];
    for (p, tap) in T::taps(&layout.width, Token).iter().enumerate() {
        if height != width {
            let values: [V; M] = interpolate(strip, tap);
            for m in 0..M {
                values[m].store(&mut cells[m]);
            }
            let column = image[first * width + p..].iter_mut().step_by(width);
            column.zip(cells.as_flattened()).for_each(|(own, &cell)| *own = cell);
        } else if p >= first {
            // A row of the transposed image.
            let values: [V; M] = interpolate(strip, tap);
            let row = &mut image[p * width..][first..width.min(first + M * LANES)];
            store::<T, V, M>(values, row);
        }
    }
}

/// Turns images into some planes of their volume. A lead that the mask leaves out has the image of a flat lead.
#[derive(Debug)]
pub struct VolumeTask<'a, T> {
    pub(crate) layout: &'a Layout,
    pub(crate) images: &'a [T],
    pub(crate) mask: Option<LeadMask>,
    pub(crate) work: &'a mut [T],
    pub(crate) planes: Range<usize>,
    pub(crate) out: &'a mut [T],
}

impl<T: Real> VectorTask<T> for VolumeTask<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(mut self) {
        let groups = self.layout.plane().div_ceil(LANES);
        for first in (0..groups).step_by(TOGETHER) {
            with_groups!(groups - first, columns_of_volume::<V>(&mut self, first * LANES));
        }
    }
}

/// Makes a strip of a volume's columns.
#[inline(always)]
fn columns_of_volume<T: Real, V: Vector<T>, const M: usize>(
    task: &mut VolumeTask<'_, T>,
    first: usize,
) {
    let VolumeTask { layout, images, mask, work, planes, out } = task;
    let plane = layout.plane();
    let flat = layout.plot.of_flat();
    let (work, _) = work.as_chunks_mut::<LANES>();
    let strip = &mut work[..layout.leads() * M];
    let last = plane.min(first + M * LANES);
    for (lead, (cells, image)) in
        strip.chunks_exact_mut(M).zip(images.chunks_exact(plane)).enumerate()
    {
        let cells = cells.as_flattened_mut();
        let kept = if mask.is_none_or(|mask| mask.keeps(lead)) { last - first } else { 0 };
        cells[..kept].copy_from_slice(&image[first..first + kept]);
        cells[kept..].fill(flat);
    }
    coefficients::<T, V, M>(strip);
    let taps = &T::taps(&layout.depth, Token)[planes.clone()];
    for (tap, row) in taps.iter().zip(out.chunks_exact_mut(plane)) {
        let values: [V; M] = interpolate(strip, tap);
        store::<T, V, M>(values, &mut row[first..last]);
    }
}

/// Turns the columns of a strip into B-spline coefficients. The gain of 6 is missing here; it is in the taps.
#[inline(always)]
fn coefficients<T: Real, V: Vector<T>, const M: usize>(strip: &mut [[T; LANES]]) {
    let (rows, _) = strip.as_chunks_mut::<M>();
    let n = rows.len();
    if n < 2 {
        return;
    }
    let pole = T::from_f64(POLE);
    let end = V::splat(pole / (pole * pole - T::one()));
    let pole = V::splat(pole);
    let mut state = start(
        n,
        #[inline(always)]
        |mut sum: [V; M], k, weight| {
            let weight = V::splat(weight);
            for m in 0..M {
                sum[m] = sum[m] + weight * V::load(&rows[k][m]);
            }
            sum
        },
        load(&rows[0]),
        #[inline(always)]
        |mut sum, by| {
            for value in &mut sum {
                *value = *value * V::splat(by);
            }
            sum
        },
    );
    for m in 0..M {
        state[m].store(&mut rows[0][m]);
    }
    for row in &mut rows[1..] {
        for m in 0..M {
            state[m] = V::load(&row[m]) + pole * state[m];
            state[m].store(&mut row[m]);
        }
    }
    for m in 0..M {
        state[m] = (pole * V::load(&rows[n - 2][m]) + state[m]) * end;
        state[m].store(&mut rows[n - 1][m]);
    }
    for row in rows[..n - 1].iter_mut().rev() {
        for m in 0..M {
            state[m] = pole * (state[m] - V::load(&row[m]));
            state[m].store(&mut row[m]);
        }
    }
}

/// Loads a row of a strip.
#[inline(always)]
pub(crate) fn load<T: Real, V: Vector<T>, const M: usize>(row: &[[T; LANES]; M]) -> [V; M] {
    let mut values = [V::splat(T::zero()); M];
    for m in 0..M {
        values[m] = V::load(&row[m]);
    }
    values
}

/// Returns the weighted sum of four rows of a strip.
#[inline(always)]
fn interpolate<T: Real, V: Vector<T>, const M: usize>(
    strip: &[[T; LANES]],
    tap: &Tap<T>,
) -> [V; M] {
    let (rows, _) = strip.as_chunks::<M>();
    let [a, b, c, d] = tap.index;
    let (a, b, c, d) = (&rows[a], &rows[b], &rows[c], &rows[d]);
    let [wa, wb, wc, wd] = tap.weight;
    let (wa, wb, wc, wd) = (V::splat(wa), V::splat(wb), V::splat(wc), V::splat(wd));
    let mut sums = [wa; M];
    for m in 0..M {
        let near = wa * V::load(&a[m]) + wb * V::load(&b[m]);
        sums[m] = near + (wc * V::load(&c[m]) + wd * V::load(&d[m]));
    }
    sums
}

/// Writes as many of the values as `out` takes. `out` is not longer than the values.
#[inline(always)]
fn store<T: Real, V: Vector<T>, const M: usize>(values: [V; M], out: &mut [T]) {
    if out.len() == M * LANES {
        let (groups, _) = out.as_chunks_mut::<LANES>();
        for m in 0..M {
            values[m].store(&mut groups[m]);
        }
        return;
    }
    let mut cells = [[T::zero(); LANES]; M];
    for m in 0..M {
        values[m].store(&mut cells[m]);
    }
    out.copy_from_slice(&cells.as_flattened()[..out.len()]);
}
