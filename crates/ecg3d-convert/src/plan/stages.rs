use ecg_core::LeadMask;
use ndarray::{ArrayView2, ArrayView3, ArrayView4, ArrayViewMut3, ArrayViewMut4};

use super::ConvertPlan;
use crate::{ConvertError, Real, Scratch};

/// The stages after [`ConvertPlan::prepare_into`], which are those of [`ConvertPlan::image_plan`].
///
/// ```
/// use ecg_core::{Lead, Recording, SamplingRate};
/// use ecg3d_convert::{ConvertConfig, ConvertPlan, Scratch};
/// use ndarray::{Array2, Array3};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let signal = Array2::from_shape_fn((12, 1000), |(lead, t)| (t as f64 / 40.0).sin() * (lead + 1) as f64);
/// let recording = Recording::new("demo", SamplingRate::new(500.0)?, Lead::STANDARD_12, signal)?;
/// let plan = ConvertPlan::new(ConvertConfig::published(), recording.sampling_rate)?;
///
/// let mut scratch = Scratch::new();
/// let mut prepared = Array2::<f32>::zeros((12, 100));
/// plan.prepare_into(&recording, prepared.view_mut(), &mut scratch)?;
/// let mut images = Array3::zeros((12, 45, 45));
/// plan.images_into(prepared.view(), images.view_mut(), &mut scratch)?;
/// let mut volume = Array3::zeros((45, 45, 45));
/// plan.volume_into(images.view(), volume.view_mut(), &mut scratch)?;
/// assert_eq!(volume, plan.convert(&recording)?);
/// # Ok(())
/// # }
/// ```
impl ConvertPlan {
    /// Makes the recurrence images `[lead, height, width]` of a window `[lead, sample]` of a prepared signal, without
    /// allocating; see [`ImagePlan::images_into`](crate::ImagePlan::images_into).
    ///
    /// # Errors
    /// Returns an error if an array does not have the planned shape, or if samples overflow.
    pub fn images_into<T: Real>(
        &self,
        window: ArrayView2<'_, T>,
        out: ArrayViewMut3<'_, T>,
        scratch: &mut Scratch,
    ) -> Result<(), ConvertError> {
        self.images.images_into(window, out, scratch)
    }

    /// Makes the volume `[depth, height, width]` from the images of the leads, without allocating; see
    /// [`ImagePlan::volume_into`](crate::ImagePlan::volume_into).
    ///
    /// # Errors
    /// Returns an error if an array does not have the planned shape.
    pub fn volume_into<T: Real>(
        &self,
        images: ArrayView3<'_, T>,
        out: ArrayViewMut3<'_, T>,
        scratch: &mut Scratch,
    ) -> Result<(), ConvertError> {
        self.images.volume_into(images, out, scratch)
    }

    /// Makes the volumes of subsets of the leads, streamed through the caller's buffer
    /// `[volume, depth, height, width]`; see [`ImagePlan::volumes_of_subsets`](crate::ImagePlan::volumes_of_subsets).
    ///
    /// # Errors
    /// Returns an error if arrays do not have the planned shape, the buffer has no room for a volume, a mask keeps a
    /// lead beyond the last, or there are more than 32 leads. Errors of `use_volumes` are returned at once.
    pub fn volumes_of_subsets<T: Real, E: From<ConvertError>>(
        &self,
        images: ArrayView3<'_, T>,
        masks: &[LeadMask],
        buffer: ArrayViewMut4<'_, T>,
        scratch: &mut Scratch,
        use_volumes: impl FnMut(usize, ArrayView4<'_, T>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.images.volumes_of_subsets(images, masks, buffer, scratch, use_volumes)
    }
}

#[cfg(test)]
mod tests {
    use ecg_core::SamplingRate;
    use ndarray::{Array2, Array3, Array4};

    use super::*;
    use crate::ConvertConfig;

    fn keep_in(
        kept: &mut Vec<(usize, Array4<f32>)>,
    ) -> impl FnMut(usize, ArrayView4<'_, f32>) -> Result<(), ConvertError> {
        move |first, volumes| {
            kept.push((first, volumes.to_owned()));
            Ok(())
        }
    }

    #[test]
    fn stages_are_those_of_the_image_plan() {
        let rate = SamplingRate::new(500.0).expect("a rate");
        let plan = ConvertPlan::new(ConvertConfig::published(), rate).expect("a plan");
        let own = plan.image_plan();
        let window = Array2::from_shape_fn((12, 100), |(lead, t)| ((lead + 1) * t % 17) as f32);
        let mut scratch = Scratch::new();
        let mut images = Array3::zeros(own.images_shape());
        plan.images_into(window.view(), images.view_mut(), &mut scratch).expect("images");
        assert_eq!(images, own.images(window.view()).expect("images"));
        let mut volume = Array3::zeros(own.volume_shape());
        plan.volume_into(images.view(), volume.view_mut(), &mut scratch).expect("a volume");
        assert_eq!(volume, own.volume(images.view()).expect("a volume"));

        let masks = [LeadMask::all(12), LeadMask(77), LeadMask(0)];
        let mut buffer = Array4::zeros((2, 45, 45, 45));
        let (mut made, mut expected) = (Vec::new(), Vec::new());
        plan.volumes_of_subsets(
            images.view(),
            &masks,
            buffer.view_mut(),
            &mut scratch,
            keep_in(&mut made),
        )
        .expect("volumes");
        own.volumes_of_subsets(
            images.view(),
            &masks,
            buffer.view_mut(),
            &mut scratch,
            keep_in(&mut expected),
        )
        .expect("volumes");
        assert_eq!(made.len(), 2);
        assert!(made == expected, "the volumes differ");
    }
}
