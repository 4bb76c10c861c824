//! The inner loops: what [`crate::simd::run`] compiles for each instruction set.
//!
//! With P the spline's prefilter and S its four-tap interpolation, a lead's image is S P R P' S' of the recurrence plot R,
//! and the volume S P over the images. Each product runs along rows, so that all columns go side by side: P and S down
//! the rows of R, then a transposition, then the same again.

use std::ops::Range;

use ecg_core::LeadMask;
use ndarray::ArrayView2;

use crate::simd::{LANES, Task};
use crate::zoom::{CubicZoom, Tap, coefficients_of_rows};
use crate::{Real, Recurrence};

/// Rows that are turned into columns at a time: a cache line of `f32`.
const TURNED: usize = 16;

/// Sizes of everything between a window and its volume.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    recurrence: Recurrence,
    /// Along the leads.
    depth: CubicZoom,
    /// Along the rows of a recurrence plot.
    height: CubicZoom,
    /// Along its columns.
    width: CubicZoom,
}

impl Layout {
    pub(crate) fn new(
        recurrence: Recurrence,
        depth: CubicZoom,
        height: CubicZoom,
        width: CubicZoom,
    ) -> Self {
        Self { recurrence, depth, height, width }
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

    /// Values of an image.
    pub(crate) fn plane(&self) -> usize {
        self.height.lengths().1 * self.width.lengths().1
    }

    /// Values of all images.
    pub(crate) fn images_len(&self) -> usize {
        self.leads() * self.plane()
    }

    fn states(&self) -> usize {
        self.height.lengths().0
    }

    fn states_stride(&self) -> usize {
        self.states().next_multiple_of(LANES)
    }

    fn height_stride(&self) -> usize {
        self.height.lengths().1.next_multiple_of(LANES)
    }

    fn plane_stride(&self) -> usize {
        self.plane().next_multiple_of(LANES)
    }

    /// A lead's samples, so far padded that every row of its plot has a full stride.
    fn signal_len(&self, window: usize) -> usize {
        (window - self.states() + self.states_stride()).next_multiple_of(LANES)
    }

    /// Values that [`ImageTask`] works in, for any window that gives this number of states.
    pub(crate) fn image_buffer(&self) -> usize {
        let window = self.recurrence.window(self.states());
        self.signal_len(window)
            + self.states() * (self.states_stride() + self.height_stride())
            + self.block_len()
    }

    /// Rows that are interpolated before they are turned into columns.
    fn block_len(&self) -> usize {
        TURNED * self.states_stride().max(self.height_stride())
    }

    /// Values of the images' spline coefficients.
    pub(crate) fn coefficients_len(&self) -> usize {
        self.leads() * self.plane_stride()
    }

    /// Values that [`VolumeTask`] works in, and one plane.
    pub(crate) fn volume_buffer(&self) -> usize {
        self.coefficients_len() + self.plane()
    }
}

/// A window `[lead, sample]` to its images `[lead, height, width]`.
pub(crate) struct ImageTask<'a, T> {
    pub(crate) layout: &'a Layout,
    pub(crate) window: ArrayView2<'a, T>,
    pub(crate) work: &'a mut [T],
    pub(crate) out: &'a mut [T],
}

impl<T: Real> Task for ImageTask<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { layout, window, work, out } = self;
        let states = layout.states();
        let (states_stride, height_stride) = (layout.states_stride(), layout.height_stride());
        let (signal, work) = work.split_at_mut(layout.signal_len(window.ncols()));
        let (plot, work) = work.split_at_mut(states * states_stride);
        let (turned, block) = work.split_at_mut(states * height_stride);
        let [_, height, width] = layout.volume_shape();
        signal.fill(T::zero());
        for (samples, image) in window.rows().into_iter().zip(out.chunks_exact_mut(layout.plane()))
        {
            signal.iter_mut().zip(samples).for_each(|(own, &sample)| *own = sample);
            layout.recurrence.fill(signal, states_stride, plot);
            coefficients_of_rows(plot, states, states_stride);
            let block = &mut block[..TURNED * states_stride];
            for (group, taps) in layout.height.taps().chunks(TURNED).enumerate() {
                for (tap, row) in taps.iter().zip(block.chunks_exact_mut(states_stride)) {
                    interpolate(plot, states_stride, tap, row);
                }
                turn(block, states_stride, turned, height_stride, group);
            }
            coefficients_of_rows(turned, states, height_stride);
            let row = &mut block[..height_stride];
            if height == width {
                // The transposed image; only what lies left of the diagonal is kept, so that it is symmetric to the bit.
                for (tap, cells) in layout.width.taps().iter().zip(image.chunks_exact_mut(width)) {
                    interpolate(turned, height_stride, tap, row);
                    cells.copy_from_slice(&row[..width]);
                }
                for p in 0..width {
                    let (done, below) = image.split_at_mut((p + 1) * width);
                    let right = done[p * width + p + 1..].iter_mut();
                    right.zip(below.chunks_exact(width)).for_each(|(cell, row)| *cell = row[p]);
                }
            } else {
                for (p, tap) in layout.width.taps().iter().enumerate() {
                    interpolate(turned, height_stride, tap, row);
                    for (cells, &value) in image.chunks_exact_mut(width).zip(row.iter()) {
                        cells[p] = value;
                    }
                }
            }
        }
    }
}

/// Writes a block of rows into the columns of group `group`; rows of the block that hold nothing new land in padding.
#[inline(always)]
fn turn<T: Real>(block: &[T], stride: usize, turned: &mut [T], turned_stride: usize, group: usize) {
    let (cells, _) = turned.as_chunks_mut::<TURNED>();
    for (j, cells) in cells.iter_mut().skip(group).step_by(turned_stride / TURNED).enumerate() {
        let column = &block[j..j + (TURNED - 1) * stride + 1];
        for (k, cell) in cells.iter_mut().enumerate() {
            *cell = column[k * stride];
        }
    }
}

/// Images to some planes of their volume; a lead that the mask does not keep counts as zero.
pub(crate) struct VolumeTask<'a, T> {
    pub(crate) layout: &'a Layout,
    pub(crate) images: &'a [T],
    pub(crate) mask: Option<LeadMask>,
    pub(crate) work: &'a mut [T],
    pub(crate) planes: Range<usize>,
    pub(crate) out: &'a mut [T],
}

impl<T: Real> Task for VolumeTask<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { layout, images, mask, work, planes, out } = self;
        let (plane, stride) = (layout.plane(), layout.plane_stride());
        let coefficients = &mut work[..layout.coefficients_len()];
        for (lead, (own, image)) in
            coefficients.chunks_exact_mut(stride).zip(images.chunks_exact(plane)).enumerate()
        {
            if mask.is_none_or(|mask| mask.keeps(lead)) {
                own[..plane].copy_from_slice(image);
                own[plane..].fill(T::zero());
            } else {
                own.fill(T::zero());
            }
        }
        coefficients_of_rows(coefficients, layout.leads(), stride);
        for (tap, cells) in layout.depth.taps()[planes].iter().zip(out.chunks_exact_mut(plane)) {
            interpolate(coefficients, stride, tap, cells);
        }
    }
}

/// The weighted sum of four rows.
#[inline(always)]
fn interpolate<T: Real>(rows: &[T], stride: usize, tap: &Tap, out: &mut [T]) {
    let n = out.len();
    let [a, b, c, d] = tap.index.map(|index| &rows[index * stride..][..n]);
    let [wa, wb, wc, wd] = tap.weight.map(T::from_f64);
    let sum = |a: T, b: T, c: T, d: T| (wa * a + wb * b) + (wc * c + wd * d);
    let (cells, rest) = out.as_chunks_mut::<LANES>();
    let start = cells.len() * LANES;
    let [va, vb, vc, vd] = [a, b, c, d].map(|row| row.as_chunks::<LANES>().0);
    for ((((cells, a), b), c), d) in cells.iter_mut().zip(va).zip(vb).zip(vc).zip(vd) {
        // By value, so that no store stands between the loads.
        let mut sums = *a;
        for (k, cell) in sums.iter_mut().enumerate() {
            *cell = sum(a[k], b[k], c[k], d[k]);
        }
        *cells = sums;
    }
    let [a, b, c, d] = [a, b, c, d].map(|row| &row[start..]);
    for (k, cell) in rest.iter_mut().enumerate() {
        *cell = sum(a[k], b[k], c[k], d[k]);
    }
}
