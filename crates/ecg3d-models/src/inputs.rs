//! Network inputs, made from windows of prepared signals.

use ecg3d_convert::{ConvertConfig, ConvertError, ImagePlan, Scratch};
use ndarray::{
    Array3, Array4, ArrayView, ArrayView2, ArrayView3, ArrayViewMut3, Axis, Dimension, s,
};
use rayon::prelude::*;
use tch::{Device, Tensor};

use crate::error::Doing;
use crate::kernels::threads;
use crate::{FrontEnd, InputKind, ModelError};

/// The place of a window: its record's row and its first sample.
pub(crate) type Window = (usize, usize);

/// Makes a network's input: windows as they are, or the volumes made from them.
#[derive(Debug)]
pub(crate) struct Inputs {
    kind: InputKind,
    pub(crate) plan: ImagePlan,
    /// Makes the volumes if the network is not on the CPU, so that only windows have to be moved to its device.
    pub(crate) front_end: Option<FrontEnd>,
}

impl Inputs {
    /// Prepares inputs for a network that reads `kind`, on a device.
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

    /// Returns the network's input for windows `[window, lead, sample]`.
    ///
    /// Samples too large to compute with give a volume of NaN, whichever device makes it.
    pub(crate) fn of(&self, windows: ArrayView3<'_, f32>) -> Result<Tensor, ModelError> {
        match (self.kind, &self.front_end) {
            (InputKind::Signal, _) => tensor(windows),
            (InputKind::Volume, Some(front_end)) => {
                let volumes = front_end.volumes(&tensor(windows)?)?;
                for (k, window) in windows.axis_iter(Axis(0)).enumerate() {
                    // Samples that the CPU refuses may give finite values there, and a threshold may hide them.
                    if let Err(ConvertError::Overflow { .. }) = self.plan.check_samples(window) {
                        let fill = || volumes.f_get(k as i64)?.f_fill_(f64::NAN).map(drop);
                        fill().doing("fill a volume")?;
                    }
                }
                Ok(volumes)
            }
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

    /// Returns volumes `[window, depth, height, width]`, made on the CPU by `make`.
    ///
    /// `make` receives its work space, the window's index, the window, and the place for its volume. A volume of
    /// samples too large to compute with is NaN.
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
        // Not on the caller's threads, since one of them may hold a lock on the model.
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

/// Returns a tensor with an array's values.
pub(crate) fn tensor<D: Dimension>(array: ArrayView<'_, f32, D>) -> Result<Tensor, ModelError> {
    let shape: Vec<i64> = array.shape().iter().map(|&n| n as i64).collect();
    let array = array.as_standard_layout();
    let values = array.as_slice().unwrap_or_default();
    Tensor::f_from_slice(values).and_then(|x| x.f_reshape(&shape)).doing("create an input")
}

#[cfg(test)]
mod tests {
    use ecg3d_convert::Threshold;

    use super::*;

    #[test]
    fn what_is_too_large_is_nan_wherever_volumes_are_made() {
        // Its square is still finite, but the converter's sum of two is not; behind a threshold nothing of it shows.
        let config = ConvertConfig::corrected();
        let near = Threshold::Distance { distance: 0.5 };
        for config in [config.clone(), config.with_threshold(near)] {
            let mut windows = Array3::from_shape_fn((3, 12, 100), |(_, lead, t)| {
                ((lead + 1) as f32 * t as f32 / 30.0).sin()
            });
            windows[[1, 4, 50]] = 5e18;
            let cpu = Inputs::new(InputKind::Volume, &config, Device::Cpu).expect("plans");
            let front_end = Some(FrontEnd::new(&config, Device::Cpu).expect("plans"));
            let there = Inputs {
                front_end,
                ..Inputs::new(InputKind::Volume, &config, Device::Cpu).expect("plans")
            };
            for inputs in [cpu, there] {
                let volumes = inputs.of(windows.view()).expect("volumes");
                let nan = volumes.isnan().flatten(1, -1);
                let [all, any] = [nan.all_dim(1, false), nan.any_dim(1, false)];
                assert_eq!(Vec::<bool>::try_from(all).expect("three"), [false, true, false]);
                assert_eq!(Vec::<bool>::try_from(any).expect("three"), [false, true, false]);
            }
        }
    }
}
