use ecg3d_convert::{ConvertConfig, CubicZoom, ImagePlan, Metric, RecurrencePlot, Threshold};
use tch::{Device, Kind, TchError, Tensor, no_grad};

use crate::ModelError;
use crate::error::Doing;

/// The second half of the converter as tensor operations, on any device.
///
/// It makes lead images and volumes from windows of prepared signals. Recurrence plots are distances computed by
/// broadcasting, and each zoom is a product with the spline's matrix. The results equal those of [`ImagePlan`] within
/// 1e-5 of the largest value, except for a pair of states whose distance differs from a threshold only by rounding.
///
/// Samples are not checked: those too large to compute with, which [`ImagePlan`] refuses, give meaningless values,
/// finite or not. [`ImagePlan::check_samples`] finds them.
///
/// On the CPU, [`ImagePlan`] is faster. On a GPU, only `[n, 12, 100]` numbers have to be moved there instead of
/// `[n, 45, 45, 45]`.
///
/// ```
/// use ecg3d_models::FrontEnd;
/// use ecg3d_models::ecg3d_convert::ConvertConfig;
/// use ecg3d_models::tch::{Device, Kind, Tensor};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let front_end = FrontEnd::new(&ConvertConfig::corrected(), Device::cuda_if_available())?;
/// let windows = Tensor::f_rand([3, 12, 100], (Kind::Float, Device::Cpu))?; // [record, lead, sample]
/// assert_eq!(front_end.images(&windows)?.size(), [3, 12, 45, 45]); // [record, lead, height, width]
/// assert_eq!(front_end.volumes(&windows)?.size(), [3, 45, 45, 45]); // [record, depth, height, width]
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FrontEnd {
    device: Device,
    window_shape: [usize; 2],
    dimension: usize,
    delay: usize,
    metric: Metric,
    threshold: Threshold,
    /// `[height, state]`.
    height: Tensor,
    /// `[state, width]`.
    width: Tensor,
    /// `[depth, lead]`.
    depth: Tensor,
}

impl FrontEnd {
    /// Plans the images and volumes of a configuration, in `f32` on a device.
    ///
    /// # Errors
    /// The configuration makes no sense, or libtorch can't use the device.
    pub fn new(config: &ConvertConfig, device: Device) -> Result<Self, ModelError> {
        let plan = ImagePlan::new(config)?;
        let window_shape = plan.window_shape();
        let [leads, samples] = window_shape;
        let [depth, height, width] = plan.volume_shape();
        let (dimension, delay) = (config.embedding_dimension, config.embedding_delay);
        let states = RecurrencePlot::new(dimension, delay)?.states(samples);
        let matrix = |from, to| -> Result<Tensor, ModelError> {
            let values: Vec<f32> =
                CubicZoom::new(from, to)?.matrix().iter().map(|&value| value as f32).collect();
            Tensor::f_from_slice(&values)
                .and_then(|tensor| tensor.f_reshape([to as i64, from as i64])?.f_to_device(device))
                .doing("move the converter's matrices to the device")
        };
        Ok(Self {
            device,
            window_shape,
            dimension,
            delay,
            metric: config.metric,
            threshold: config.threshold,
            height: matrix(states, height)?,
            width: matrix(states, width)?.tr(),
            depth: matrix(leads, depth)?,
        })
    }

    /// Returns the device that does the work and holds the results.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Returns the shape of a window, `[lead, sample]`: `[12, 100]` in both presets.
    pub fn window_shape(&self) -> [usize; 2] {
        self.window_shape
    }

    /// Returns the lead images `[n, lead, height, width]` of windows `[n, lead, sample]`, which may be on any device.
    ///
    /// # Errors
    /// The windows have another shape, or libtorch fails, for instance because memory runs out.
    pub fn images(&self, windows: &Tensor) -> Result<Tensor, ModelError> {
        let [leads, samples] = self.window_shape;
        let found = windows.size();
        if found.len() != 3 || found[1..] != [leads as i64, samples as i64] {
            return Err(ModelError::Windows {
                expected: self.window_shape,
                found: found.into_iter().map(|n| n as usize).collect(),
            });
        }
        no_grad(|| {
            self.plots(windows)
                .and_then(|plots| self.height.f_matmul(&plots)?.f_matmul(&self.width))
                .doing("make lead images")
        })
    }

    /// Returns the volumes `[n, depth, height, width]` of windows `[n, lead, sample]`, which may be on any device.
    ///
    /// # Errors
    /// The same as those of [`FrontEnd::images`].
    pub fn volumes(&self, windows: &Tensor) -> Result<Tensor, ModelError> {
        let images = self.images(windows)?;
        let volumes = || {
            let sizes = images.size();
            let volumes = self.depth.f_matmul(&images.f_flatten(2, 3)?)?;
            volumes.f_reshape([sizes[0], self.depth.size()[0], sizes[2], sizes[3]])
        };
        no_grad(volumes).doing("make volumes")
    }

    /// Returns the recurrence plots `[n, lead, state, state]`.
    fn plots(&self, windows: &Tensor) -> Result<Tensor, TchError> {
        let windows = windows.f_to_device(self.device)?.f_to_kind(Kind::Float)?;
        let states = self.height.size()[1];
        let mut plots: Option<Tensor> = None;
        for k in 0..self.dimension {
            let samples = windows.f_narrow(2, (k * self.delay) as i64, states)?;
            let mut apart = samples.f_unsqueeze(3)?.f_sub(&samples.f_unsqueeze(2)?)?.f_abs_()?;
            let apart = match self.metric {
                Metric::Euclidean => apart.f_square_()?,
                _ => apart,
            };
            plots = Some(match plots {
                None => apart,
                Some(mut plots) if self.metric != Metric::Maximum => plots.f_add_(&apart)?,
                Some(plots) => plots.f_maximum(&apart)?,
            });
        }
        let mut plots = plots.expect("a plan has at least one dimension");
        if self.metric == Metric::Euclidean {
            plots = plots.f_sqrt_()?;
        }
        let limit = match self.threshold {
            Threshold::Distance { distance } => {
                return plots.f_le(distance)?.f_to_kind(Kind::Float);
            }
            Threshold::Rate { rate } => {
                let pairs = states * (states - 1) / 2;
                if pairs == 0 {
                    return plots.f_ones_like();
                }
                let rank = Threshold::share(rate, pairs as usize) as i64;
                let options = (Kind::Int64, self.device);
                let at = Tensor::f_tril_indices(states, states, -1, options)?;
                let at = at.f_get(0)?.f_mul_scalar(states)?.f_add(&at.f_get(1)?)?;
                plots.f_flatten(2, 3)?.f_index_select(2, &at)?.f_kthvalue(rank, 2, true)?.0
            }
            _ => return Ok(plots),
        };
        plots.f_le_tensor(&limit.f_unsqueeze(3)?)?.f_to_kind(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use ecg3d_convert::Scratch;
    use ndarray::{Array3, Array4, Axis};

    use super::*;

    /// Returns windows of signals with steep and flat parts; the last lead of each is flat.
    fn windows([leads, samples]: [usize; 2]) -> Array3<f32> {
        Array3::from_shape_fn((3, leads, samples), |(record, lead, t)| {
            let slow = (t as f32 / (9 + lead) as f32 + record as f32).sin();
            let steep = if (t + 7 * lead) % 31 == 0 { 3.0 } else { 0.0 };
            if lead + 1 == leads { 0.25 } else { slow + steep }
        })
    }

    fn compare(config: &ConvertConfig) {
        let plan = ImagePlan::new(config).expect("a plan");
        let windows = windows(plan.window_shape());
        let [depth, height, width] = plan.volume_shape();
        let mut expected = Array4::<f32>::zeros((3, depth, height, width));
        let mut scratch = Scratch::new();
        for (window, volume) in windows.outer_iter().zip(expected.axis_iter_mut(Axis(0))) {
            plan.volume_of_window_into(window, volume, &mut scratch).expect("a volume");
        }
        let tensor = |array: &[f32], shape: &[usize]| {
            let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
            Tensor::from_slice(array).reshape(shape)
        };
        let input = tensor(windows.as_slice().expect("standard layout"), windows.shape());
        let front_end = FrontEnd::new(config, Device::cuda_if_available()).expect("a front end");
        let found = front_end.volumes(&input).expect("volumes").to_device(Device::Cpu);
        let expected = tensor(expected.as_slice().expect("standard layout"), expected.shape());
        let peak = expected.abs().max().double_value(&[]);
        let error = (found - expected).abs().max().double_value(&[]);
        // Both sum in f32 but in different orders, which gives some roundings of 6e-8 each.
        assert!(error <= 1e-5 * peak, "{config:?}: {error:e} of {peak}");
    }

    #[test]
    fn volumes_are_the_converters() {
        compare(&ConvertConfig::published());
        compare(&ConvertConfig::corrected().with_volume_size([20, 33, 70]));
        for metric in [Metric::Euclidean, Metric::Maximum, Metric::Manhattan] {
            for threshold in [
                Threshold::None,
                Threshold::Distance { distance: 0.7 },
                Threshold::Rate { rate: 0.1 },
            ] {
                let config = ConvertConfig::corrected()
                    .with_metric(metric)
                    .with_threshold(threshold)
                    .with_embedding_dimension(3)
                    .with_embedding_delay(2);
                compare(&config);
            }
        }
        // 693 of 4950 pairs, although rounding puts the product above 693.
        let share = Threshold::Rate { rate: 0.14 };
        compare(&ConvertConfig::corrected().with_embedding_dimension(1).with_threshold(share));
    }

    #[test]
    fn no_windows_give_no_volumes() {
        let front_end = FrontEnd::new(&ConvertConfig::published(), Device::Cpu).expect("plans");
        let volumes = front_end.volumes(&Tensor::zeros([0, 12, 100], (Kind::Float, Device::Cpu)));
        assert_eq!(volumes.expect("volumes").size(), [0, 45, 45, 45]);
    }

    #[test]
    fn other_shapes_are_refused() {
        let front_end = FrontEnd::new(&ConvertConfig::published(), Device::Cpu).expect("plans");
        let error = front_end.volumes(&Tensor::zeros([2, 12, 99], (Kind::Float, Device::Cpu)));
        assert_eq!(
            error.expect_err("another shape").to_string(),
            "windows must have shape [n, 12, 100], found [2, 12, 99]"
        );
    }
}
