use ecg_core::{LeadMask, PredictError};
use ndarray::{
    Array3, ArrayView1, ArrayView2, ArrayView3, ArrayView4, ArrayViewMut3, ArrayViewMut4, Axis, s,
};

use crate::kernel::{ImageTask, Layout, VolumeTask};
use crate::real::sealed::Token;
use crate::zoom::CubicZoom;
use crate::{ConvertConfig, ConvertError, Real, RecurrencePlot, Scratch};

/// The second half of the conversion, which needs no sampling rate: turns a window of a prepared signal into the images
/// of its leads, and these into the volume.
///
/// A plan is immutable and can be shared freely between threads. All methods are generic over `f32` and `f64`.
///
/// ```
/// use ecg3d_convert::{ConvertConfig, ImagePlan, Scratch};
/// use ndarray::{Array2, Array3};
///
/// let plan = ImagePlan::new(&ConvertConfig::published())?;
/// let window = Array2::from_shape_fn((12, 100), |(lead, t)| ((lead + 1) * t % 17) as f32);
/// let mut volume = Array3::zeros((45, 45, 45));
/// plan.volume_of_window_into(window.view(), volume.view_mut(), &mut Scratch::new())?;
/// assert_eq!(volume[[7, 3, 20]], volume[[7, 20, 3]]); // each slice is symmetric
/// # Ok::<(), ecg3d_convert::ConvertError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ImagePlan {
    window: usize,
    layout: Layout,
}

impl ImagePlan {
    /// Plans the images and volumes that a configuration asks for.
    ///
    /// # Errors
    /// Returns an error if the configuration is invalid.
    pub fn new(config: &ConvertConfig) -> Result<Self, ConvertError> {
        config.check()?;
        let window = config.window_samples();
        let recurrence = RecurrencePlot::new(config.embedding_dimension, config.embedding_delay)?
            .with_metric(config.metric)
            .with_threshold(config.threshold)?;
        let states = recurrence.states(window);
        let [depth, height, width] = config.volume_size;
        let zoom = CubicZoom::new;
        let layout = Layout::new(
            recurrence,
            zoom(config.leads.count(), depth)?,
            zoom(states, height)?,
            zoom(states, width)?,
        );
        Ok(Self { window, layout })
    }

    /// Shape of a window, `[lead, sample]`: `[12, 100]` in both presets.
    pub fn window_shape(&self) -> [usize; 2] {
        [self.layout.leads(), self.window]
    }

    /// Shape of the images, `[lead, height, width]`: `[12, 45, 45]` in both presets.
    pub fn images_shape(&self) -> [usize; 3] {
        let [_, height, width] = self.volume_shape();
        [self.layout.leads(), height, width]
    }

    /// Shape of the volume, `[depth, height, width]`: `[45, 45, 45]` in both presets.
    pub fn volume_shape(&self) -> [usize; 3] {
        self.layout.volume_shape()
    }

    /// Returns the recurrence images `[lead, height, width]` of a window `[lead, sample]`, resized along both time
    /// axes.
    ///
    /// # Errors
    /// Returns an error if the window does not have the shape of [`ImagePlan::window_shape`], or if samples are so
    /// large that distances, or values computed from them, overflow.
    pub fn images<T: Real>(&self, window: ArrayView2<'_, T>) -> Result<Array3<T>, ConvertError> {
        let mut out = Array3::zeros(self.images_shape());
        self.images_into(window, out.view_mut(), &mut Scratch::new())?;
        Ok(out)
    }

    /// Like [`ImagePlan::images`], but does not allocate.
    ///
    /// # Errors
    /// Returns an error if an array does not have the planned shape, or if samples overflow.
    pub fn images_into<T: Real>(
        &self,
        window: ArrayView2<'_, T>,
        mut out: ArrayViewMut3<'_, T>,
        scratch: &mut Scratch,
    ) -> Result<(), ConvertError> {
        self.check_window(window)?;
        ConvertError::check_shape("the array of images", out.shape(), &self.images_shape())?;
        let need = [self.layout.image_buffer(), self.layout.images_len()];
        with_buffers(scratch, need, |[work, spare]| match out.as_slice_mut() {
            Some(out) => T::make_images(ImageTask { layout: &self.layout, window, work, out }),
            None => {
                let spare = &mut spare[..self.layout.images_len()];
                T::make_images(ImageTask { layout: &self.layout, window, work, out: spare });
                out.iter_mut().zip(spare).for_each(|(cell, value)| *cell = *value);
            }
        });
        Ok(())
    }

    /// Returns the volume `[depth, height, width]`: the images of the leads, interpolated along the leads.
    ///
    /// # Errors
    /// Returns an error if the images do not have the shape of [`ImagePlan::images_shape`].
    pub fn volume<T: Real>(&self, images: ArrayView3<'_, T>) -> Result<Array3<T>, ConvertError> {
        let mut out = Array3::zeros(self.volume_shape());
        self.volume_into(images, out.view_mut(), &mut Scratch::new())?;
        Ok(out)
    }

    /// Like [`ImagePlan::volume`], but does not allocate.
    ///
    /// # Errors
    /// Returns an error if an array does not have the planned shape.
    pub fn volume_into<T: Real>(
        &self,
        images: ArrayView3<'_, T>,
        out: ArrayViewMut3<'_, T>,
        scratch: &mut Scratch,
    ) -> Result<(), ConvertError> {
        self.masked_volume_into(images, None, out, scratch)
    }

    /// Returns the volume of a window `[lead, sample]`.
    ///
    /// # Errors
    /// Returns the errors of [`ImagePlan::images`].
    pub fn volume_of_window<T: Real>(
        &self,
        window: ArrayView2<'_, T>,
    ) -> Result<Array3<T>, ConvertError> {
        let mut out = Array3::zeros(self.volume_shape());
        self.volume_of_window_into(window, out.view_mut(), &mut Scratch::new())?;
        Ok(out)
    }

    /// Like [`ImagePlan::volume_of_window`], but does not allocate.
    ///
    /// # Errors
    /// Returns an error if an array does not have the planned shape, or if samples overflow.
    pub fn volume_of_window_into<T: Real>(
        &self,
        window: ArrayView2<'_, T>,
        mut out: ArrayViewMut3<'_, T>,
        scratch: &mut Scratch,
    ) -> Result<(), ConvertError> {
        self.check_window(window)?;
        ConvertError::check_shape("the volume", out.shape(), &self.volume_shape())?;
        let work = self.layout.image_buffer().max(self.layout.volume_buffer());
        with_buffers(scratch, [work, self.layout.images_len()], |[work, images]| {
            let images = &mut images[..self.layout.images_len()];
            T::make_images(ImageTask { layout: &self.layout, window, work, out: images });
            self.run_volume(images, None, &mut out, work);
        });
        Ok(())
    }

    /// Makes the volumes of subsets of the leads, streamed through the caller's buffer
    /// `[volume, depth, height, width]`.
    ///
    /// A lead that a mask leaves out counts as zero in the prepared signal. Its image is that of a flat lead: zero or,
    /// with a [`Threshold`](crate::Threshold), one throughout. No image is computed again, and the volumes have the
    /// same bits as [`ImagePlan::volume_into`] gives for images with that value in those leads. `use_volumes` is called
    /// with the index of the first mask and the volumes of as many masks as the buffer holds (fewer at the end).
    ///
    /// # Errors
    /// Returns an error if arrays do not have the planned shape, the buffer has no room for a volume, a mask keeps a
    /// lead beyond the last, or there are more than 32 leads. Errors of `use_volumes` are returned at once.
    pub fn volumes_of_subsets<T: Real, E: From<ConvertError>>(
        &self,
        images: ArrayView3<'_, T>,
        masks: &[LeadMask],
        mut buffer: ArrayViewMut4<'_, T>,
        scratch: &mut Scratch,
        mut use_volumes: impl FnMut(usize, ArrayView4<'_, T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let leads = self.layout.leads();
        const MOST: usize = u32::BITS as usize;
        if leads > MOST {
            return Err(ConvertError::MaskLeads { leads, most: MOST }.into());
        }
        if let Err(PredictError::Mask { mask, lead, leads }) = LeadMask::check(masks, leads) {
            return Err(ConvertError::Mask { mask, lead, leads }.into());
        }
        let [depth, height, width] = self.volume_shape();
        let room = buffer.len_of(Axis(0));
        let expected = [room.max(1), depth, height, width];
        ConvertError::check_shape("the buffer of volumes", buffer.shape(), &expected)?;
        for (chunk, part) in masks.chunks(room).enumerate() {
            for (&mask, volume) in part.iter().zip(buffer.outer_iter_mut()) {
                self.masked_volume_into(images, Some(mask), volume, scratch)?;
            }
            use_volumes(chunk * room, buffer.slice(s![..part.len(), .., .., ..]))?;
        }
        Ok(())
    }

    /// Refuses a prepared signal `[lead, sample]`, of any length, if it has samples too large to make images of. NaN
    /// passes.
    ///
    /// ```
    /// use ecg3d_convert::{ConvertConfig, ImagePlan, ndarray::Array2};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let plan = ImagePlan::new(&ConvertConfig::corrected())?;
    /// let mut signal = Array2::from_elem((12, 500), 0.5_f64); // [lead, sample], mV
    /// plan.check_samples(signal.view())?;
    /// signal[[3, 499]] = -1e200;
    /// let error = plan.check_samples(signal.view()).expect_err("too large");
    /// assert_eq!(error.to_string(), "lead 3 (from 0) has a magnitude of 1.00e200, which is too large to compute with");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`ConvertError::Overflow`] with the first such lead, or an error if the number of leads is not the
    /// planned one.
    pub fn check_samples<T: Real>(&self, signal: ArrayView2<'_, T>) -> Result<(), ConvertError> {
        let expected = [self.window_shape()[0], signal.ncols()];
        ConvertError::check_shape("the signal", signal.shape(), &expected)?;
        let largest = self.layout.largest_sample::<T>();
        // Looks at every sample, several at a time, which is faster than stopping at the first one that is too large.
        let overflows = |row: ArrayView1<'_, T>| {
            row.iter().fold(false, |large, value| large | (value.abs() > largest))
        };
        match signal.rows().into_iter().enumerate().find(|(_, row)| overflows(row.view())) {
            Some((lead, row)) => {
                let values = row.iter().map(|value| value.to_f64().unwrap_or(f64::NAN).abs());
                Err(ConvertError::Overflow { lead, value: values.fold(0.0, f64::max) })
            }
            None => Ok(()),
        }
    }

    /// Refuses a window of another shape, or with samples too large to compute with. NaN passes.
    fn check_window<T: Real>(&self, window: ArrayView2<'_, T>) -> Result<(), ConvertError> {
        ConvertError::check_shape("the window", window.shape(), &self.window_shape())?;
        self.check_samples(window)
    }

    fn masked_volume_into<T: Real>(
        &self,
        images: ArrayView3<'_, T>,
        mask: Option<LeadMask>,
        mut out: ArrayViewMut3<'_, T>,
        scratch: &mut Scratch,
    ) -> Result<(), ConvertError> {
        ConvertError::check_shape("the array of images", images.shape(), &self.images_shape())?;
        ConvertError::check_shape("the volume", out.shape(), &self.volume_shape())?;
        let need = [self.layout.volume_buffer(), self.layout.images_len()];
        with_buffers(scratch, need, |[work, spare]| match images.as_slice() {
            Some(images) => self.run_volume(images, mask, &mut out, work),
            None => {
                let spare = &mut spare[..self.layout.images_len()];
                spare.iter_mut().zip(images).for_each(|(own, value)| *own = *value);
                self.run_volume(spare, mask, &mut out, work);
            }
        });
        Ok(())
    }

    /// Makes the volume plane by plane if necessary, so that the output may have any layout.
    fn run_volume<T: Real>(
        &self,
        images: &[T],
        mask: Option<LeadMask>,
        out: &mut ArrayViewMut3<'_, T>,
        work: &mut [T],
    ) {
        let layout = &self.layout;
        if let Some(out) = out.as_slice_mut() {
            T::make_volume(VolumeTask {
                layout,
                images,
                mask,
                work,
                planes: 0..layout.depth(),
                out,
            });
            return;
        }
        for (plane, mut rows) in out.outer_iter_mut().enumerate() {
            let (work, spare) = work.split_at_mut(layout.strip_len());
            let spare = &mut spare[..layout.plane()];
            let planes = plane..plane + 1;
            T::make_volume(VolumeTask { layout, images, mask, work, planes, out: spare });
            rows.iter_mut().zip(spare).for_each(|(cell, value)| *cell = *value);
        }
    }
}

/// Lends two parts of the scratch, each aligned to a cache line.
fn with_buffers<T: Real, R>(
    scratch: &mut Scratch,
    need: [usize; 2],
    work: impl FnOnce([&mut [T]; 2]) -> R,
) -> R {
    const LINE: usize = 64;
    let slack = LINE / size_of::<T>();
    let first = need[0].next_multiple_of(slack);
    let buffer = T::buffer(scratch, Token);
    let whole = first + need[1] + slack;
    if buffer.len() < whole {
        buffer.resize(whole, T::zero());
    }
    // If no aligned address is found, which does not happen in practice, all of the slack is skipped.
    let start = buffer.as_ptr().align_offset(LINE).min(slack);
    let (a, b) = buffer[start..].split_at_mut(first);
    work([a, b])
}
