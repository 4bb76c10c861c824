//! The inner loops: what [`crate::simd::run`] compiles for each instruction set.
//!
//! With P the spline's prefilter and S its four-tap interpolation, a lead's image is S P R P' S' of the recurrence plot R,
//! and the volume S P over the images. Each product runs along rows, so that all columns go side by side: P and S down
//! the rows of R, then a transposition, then the same again.

use std::ops::Range;

use ecg_core::LeadMask;
use ndarray::ArrayView2;

use crate::simd::Task;
use crate::zoom::{CubicZoom, Tap, coefficients_of_rows};
use crate::{Real, Recurrence};

/// Rows start at whole vectors of the widest kind.
const STRIDE: usize = 16;

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
        self.states().next_multiple_of(STRIDE)
    }

    fn height_stride(&self) -> usize {
        self.height.lengths().1.next_multiple_of(STRIDE)
    }

    fn plane_stride(&self) -> usize {
        self.plane().next_multiple_of(STRIDE)
    }

    /// A lead's samples, so far padded that every row of its plot has a full stride.
    fn signal_len(&self, window: usize) -> usize {
        (window - self.states() + self.states_stride()).next_multiple_of(STRIDE)
    }

    /// Values that [`ImageTask`] works in, for any window that gives this number of states.
    pub(crate) fn image_buffer(&self) -> usize {
        let window = self.recurrence.window(self.states());
        let row = self.states_stride().max(self.height_stride());
        self.signal_len(window)
            + self.states() * (self.states_stride() + self.height_stride())
            + row
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
        let (turned, row) = work.split_at_mut(states * height_stride);
        let [_, height, width] = layout.volume_shape();
        signal.fill(T::zero());
        for (samples, image) in window.rows().into_iter().zip(out.chunks_exact_mut(layout.plane()))
        {
            signal.iter_mut().zip(samples).for_each(|(own, &sample)| *own = sample);
            layout.recurrence.fill(signal, states_stride, plot);
            coefficients_of_rows(plot, states, states_stride);
            for (o, tap) in layout.height.taps().iter().enumerate() {
                interpolate(plot, states_stride, tap, &mut row[..states_stride]);
                for (cells, &value) in turned.chunks_exact_mut(height_stride).zip(row.iter()) {
                    cells[o] = value;
                }
            }
            coefficients_of_rows(turned, states, height_stride);
            if height == width {
                for (p, tap) in layout.width.taps().iter().enumerate() {
                    // Row p of the transposed image; only what lies left of the diagonal is kept.
                    interpolate(turned, height_stride, tap, &mut image[p * width..(p + 1) * width]);
                }
                for p in 0..width {
                    for o in p + 1..width {
                        image[p * width + o] = image[o * width + p];
                    }
                }
            } else {
                for (p, tap) in layout.width.taps().iter().enumerate() {
                    interpolate(turned, height_stride, tap, &mut row[..height]);
                    for (cells, &value) in image.chunks_exact_mut(width).zip(row.iter()) {
                        cells[p] = value;
                    }
                }
            }
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
    for (k, cell) in out.iter_mut().enumerate() {
        *cell = (wa * a[k] + wb * b[k]) + (wc * c[k] + wd * d[k]);
    }
}
