//! What networks read, made of windows of prepared signals.

use ecg3d_convert::{ConvertConfig, ConvertError, ImagePlan, Scratch};
use ndarray::{
    Array3, Array4, ArrayView, ArrayView2, ArrayView3, ArrayViewMut3, Axis, Dimension, s,
};
use rayon::prelude::*;
use tch::{Device, Tensor};

use crate::error::Doing;
use crate::kernels::threads;
use crate::{FrontEnd, InputKind, ModelError};

/// Where a window is: its record's row and its first sample.
pub(crate) type Window = (usize, usize);

/// Makes a network's input: windows as they are, or volumes of them.
#[derive(Debug)]
pub(crate) struct Inputs {
    kind: InputKind,
    pub(crate) plan: ImagePlan,
    /// Makes the volumes where the network is not on the CPU, so that only windows travel there.
    pub(crate) front_end: Option<FrontEnd>,
}

impl Inputs {
    /// For a network that reads `kind`, on a device.
    pub(crate) fn new(
        kind: InputKind,
        preprocessing: &ConvertConfig,
        device: Device,
    ) -> Result<Self, ModelError> {
        let front_end = match (kind, device) {
            (InputKind::Signal, _) | (_, Device::Cpu) => None,
            (InputKind::Volume, device) => Some(FrontEnd::new(preprocessing, device)?),
        };
        Ok(Self { kind, plan: ImagePlan::new(preprocessing)?, front_end })
    }

    /// Copies windows `[window, lead, sample]` out of signals `[record, lead, sample]`.
    pub(crate) fn cut(&self, signals: ArrayView3<'_, f32>, windows: &[Window]) -> Array3<f32> {
        let [_, samples] = self.plan.window_shape();
        let mut out = Array3::zeros((windows.len(), signals.len_of(Axis(1)), samples));
        for (mut window, &(row, start)) in out.outer_iter_mut().zip(windows) {
            window.assign(&signals.slice(s![row, .., start..start + samples]));
        }
        out
    }

    /// What the network reads of windows `[window, lead, sample]`. Samples too large to compute with give a volume that is not finite,
    /// wherever it is made.
    pub(crate) fn of(&self, windows: ArrayView3<'_, f32>) -> Result<Tensor, ModelError> {
        match (self.kind, &self.front_end) {
            (InputKind::Signal, _) => tensor(windows),
            (InputKind::Volume, Some(front_end)) => front_end.volumes(&tensor(windows)?),
            (InputKind::Volume, None) => {
                let plan = &self.plan;
                let volumes =
                    self.volumes(windows, Scratch::new, |scratch, _, window, volume| {
                        plan.volume_of_window_into(window, volume, scratch)
                    })?;
                tensor(volumes.view())
            }
        }
    }

    /// Volumes `[window, depth, height, width]`, made on the CPU by `make`, which is given what it works in, each window's place,
    /// itself and where its volume goes. One of samples too large to compute with is NaN.
    pub(crate) fn volumes<W>(
        &self,
        windows: ArrayView3<'_, f32>,
        work_in: impl Fn() -> W + Send + Sync,
        make: impl Fn(
            &mut W,
            usize,
            ArrayView2<'_, f32>,
            ArrayViewMut3<'_, f32>,
        ) -> Result<(), ConvertError>
        + Send
        + Sync,
    ) -> Result<Array4<f32>, ModelError> {
        let [depth, height, width] = self.plan.volume_shape();
        let mut volumes = Array4::zeros((windows.len_of(Axis(0)), depth, height, width));
        let parts = volumes.axis_iter_mut(Axis(0)).into_par_iter().zip(windows.axis_iter(Axis(0)));
        // Apart from the caller's threads, one of which may hold a lock on the model.
        threads::install(|| {
            parts.enumerate().try_for_each_init(work_in, |work, (k, (mut volume, window))| {
                match make(work, k, window, volume.view_mut()) {
                    Err(ConvertError::Overflow { .. }) => volume.fill(f32::NAN),
                    made => made?,
                }
                Ok(())
            })
        })
        .doing("start threads")?
        .map_err(ModelError::Convert)?;
        Ok(volumes)
    }
}

/// A tensor with an array's values.
pub(crate) fn tensor<D: Dimension>(array: ArrayView<'_, f32, D>) -> Result<Tensor, ModelError> {
    let shape: Vec<i64> = array.shape().iter().map(|&n| n as i64).collect();
    let array = array.as_standard_layout();
    let values = array.as_slice().unwrap_or_default();
    Tensor::f_from_slice(values).and_then(|x| x.f_reshape(&shape)).doing("make an input")
}
