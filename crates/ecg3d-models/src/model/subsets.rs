//! Subsets of the leads of an input, for explanations.

use ecg_core::{LeadMask, PredictError, PredictSubsets};
use ecg3d_convert::Scratch;
use ndarray::{Array2, Array3, Array4, ArrayView2, ArrayView3, Axis, s};

use super::{Model, predict_error, sigmoid, tensor};
use crate::pooling::Pooled;
use crate::{InputKind, ModelError};

impl Model {
    /// Returns the mean lead images `[lead, height, width]` of prepared signals `[record, lead, sample]`.
    ///
    /// The mean is taken over all windows. These images can stand in for removed leads of a network that reads volumes;
    /// see [`PredictSubsets::predict_with_images`]. `lengths` has the same meaning as in [`Model::predict_prepared`].
    ///
    /// # Errors
    /// - The network reads signals.
    /// - There is no signal, or the signals have another shape.
    /// - A record has no window of real samples.
    /// - Samples are too large to make images of.
    pub fn mean_images(
        &self,
        signals: ArrayView3<'_, f32>,
        lengths: Option<&[usize]>,
    ) -> Result<Array3<f32>, ModelError> {
        self.check_volume_input("lead images")?;
        let windows = self.windows(signals, lengths)?;
        if windows.is_empty() {
            return Err(ModelError::RowCount { what: "or more records", expected: 1, found: 0 });
        }
        let plan = &self.inputs.plan;
        let [_, samples] = plan.window_shape();
        let mut sum = Array3::<f64>::zeros(plan.images_shape());
        let (mut images, mut scratch) = (Array3::zeros(plan.images_shape()), Scratch::new());
        for (row, start) in &windows {
            let window = signals.slice(s![*row, .., *start..start + samples]);
            plan.images_into(window, images.view_mut(), &mut scratch).map_err(|source| {
                ModelError::NoVolumes { record: format!("{row} (from 0)"), source }
            })?;
            sum.zip_mut_with(&images, |sum, value| *sum += f64::from(*value));
        }
        Ok(sum.mapv(|sum| (sum / windows.len() as f64) as f32))
    }

    /// Returns the probabilities `[input, label]`, with the leads that an input's mask leaves out replaced by their
    /// stand-ins.
    fn with_images(
        &self,
        signals: ArrayView3<'_, f32>,
        kept: &[LeadMask],
        stand_ins: ArrayView3<'_, f32>,
    ) -> Result<Array2<f64>, ModelError> {
        let n = signals.len_of(Axis(0));
        if kept.len() != n {
            return Err(ModelError::RowCount { what: "masks", expected: n, found: kept.len() });
        }
        let plan = &self.inputs.plan;
        let expected = plan.images_shape();
        let (leads, height, width) = stand_ins.dim();
        let found = [leads, height, width];
        if found != expected {
            return Err(ModelError::StandIns { expected, found });
        }
        let logits = self.each_window(signals, None, |windows| {
            let cut = self.inputs.cut(signals, windows);
            let work_in = || (Scratch::new(), Array3::zeros(plan.images_shape()));
            let volumes = self.inputs.volumes(cut.view(), work_in, |work, k, window, volume| {
                let (scratch, images) = work;
                plan.images_into(window, images.view_mut(), scratch)?;
                let (row, _) = windows[k];
                for (lead, mut image) in images.outer_iter_mut().enumerate() {
                    if !kept[row].keeps(lead) {
                        image.assign(&stand_ins.index_axis(Axis(0), lead));
                    }
                }
                plan.volume_into(images.view(), volume, scratch)
            })?;
            self.logits(volumes.view())
        });
        logits.map(sigmoid)
    }

    /// Returns the probabilities `[mask, label]` of one prepared signal under masks.
    fn subsets(
        &self,
        prepared: ArrayView2<'_, f32>,
        masks: &[LeadMask],
    ) -> Result<Array2<f64>, ModelError> {
        self.check_prepared(&[1, prepared.nrows(), prepared.ncols()])?;
        let mut pooled = self.pooled(masks.len());
        for start in self.starts(0, prepared.ncols())? {
            let window = prepared.slice(s![.., start..start + self.inputs.plan.window_shape()[1]]);
            match self.network.architecture().input() {
                InputKind::Signal => self.signal_subsets(window, masks, &mut pooled)?,
                InputKind::Volume => self.volume_subsets(window, masks, &mut pooled)?,
            }
        }
        Ok(sigmoid(pooled.logits()))
    }

    fn signal_subsets(
        &self,
        window: ArrayView2<'_, f32>,
        masks: &[LeadMask],
        pooled: &mut Pooled,
    ) -> Result<(), ModelError> {
        for (c, chunk) in masks.chunks(self.batch).enumerate() {
            let shape = (chunk.len(), window.nrows(), window.ncols());
            let masked = Array3::from_shape_fn(shape, |(k, lead, t)| {
                if chunk[k].keeps(lead) { window[[lead, t]] } else { 0.0 }
            });
            let logits = self.run(&tensor(masked.view())?)?;
            for k in 0..chunk.len() {
                pooled.add(c * self.batch + k, logits.row(k));
            }
        }
        Ok(())
    }

    /// A lead that is left out gets the image of a flat lead, so that no recurrence plot has to be made again.
    fn volume_subsets(
        &self,
        window: ArrayView2<'_, f32>,
        masks: &[LeadMask],
        pooled: &mut Pooled,
    ) -> Result<(), ModelError> {
        let plan = &self.inputs.plan;
        let [depth, height, width] = plan.volume_shape();
        let images = plan.images(window)?;
        let mut buffer = Array4::zeros((self.batch.min(masks.len().max(1)), depth, height, width));
        let mut scratch = Scratch::new();
        plan.volumes_of_subsets(
            images.view(),
            masks,
            buffer.view_mut(),
            &mut scratch,
            |first, volumes| -> Result<(), ModelError> {
                let logits = self.logits(volumes)?;
                for k in 0..logits.nrows() {
                    pooled.add(first + k, logits.row(k));
                }
                Ok(())
            },
        )
    }
}

/// Every sample counts as real, so `prepared` should not contain a record's padding.
///
/// A subset of the leads applies to all windows. Subsets of a signal with samples too large to make images of are
/// refused; with stand-in images, the probabilities of such a signal are NaN.
impl PredictSubsets for Model {
    fn predict_subsets(
        &self,
        prepared: ArrayView2<'_, f32>,
        masks: &[LeadMask],
    ) -> Result<Array2<f64>, PredictError> {
        LeadMask::check(masks, prepared.nrows())?;
        self.subsets(prepared, masks).map_err(|error| predict_error(error, prepared.shape()))
    }

    fn predict_with_images(
        &self,
        batch: ArrayView3<'_, f32>,
        kept: &[LeadMask],
        stand_ins: ArrayView3<'_, f32>,
    ) -> Result<Array2<f64>, PredictError> {
        LeadMask::check(kept, batch.len_of(Axis(1)))?;
        if self.network.architecture().input() == InputKind::Signal {
            return Err(PredictError::NoImages);
        }
        let prepared = batch.shape()[1..].to_vec();
        self.with_images(batch, kept, stand_ins).map_err(|error| predict_error(error, &prepared))
    }
}
