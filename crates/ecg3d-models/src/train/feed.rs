use ecg3d_convert::{ConvertConfig, ImagePlan, Scratch, Windows};
use ndarray::{Array, Array3, Array4, Axis, Dimension, s};
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::random::{Purpose, Stream};
use super::{Augment, TrainConfig, TrainData};
use crate::error::Doing;
use crate::{FrontEnd, InputKind, ModelError};

/// Makes a network's input of records: cuts windows, changes them at random for training, and turns them into volumes
/// where the network reads those.
#[derive(Debug)]
pub(crate) struct Feed<'a> {
    data: &'a TrainData,
    /// For a network that reads volumes.
    volumes: Option<Volumes>,
    preprocessing: &'a ConvertConfig,
    augment: Augment,
    seed: u64,
}

/// What makes volumes.
#[derive(Debug)]
enum Volumes {
    /// On the CPU.
    Plan(ImagePlan),
    /// On the network's device, so that only windows travel there.
    Device(FrontEnd),
}

/// A window: the record's row and the first sample.
pub(crate) type Window = (usize, usize);

impl<'a> Feed<'a> {
    pub(crate) fn new(
        input: InputKind,
        preprocessing: &'a ConvertConfig,
        data: &'a TrainData,
        config: &TrainConfig,
        device: Device,
    ) -> Result<Self, ModelError> {
        let volumes = match (input, device) {
            (InputKind::Signal, _) => None,
            (InputKind::Volume, Device::Cpu) => Some(Volumes::Plan(ImagePlan::new(preprocessing)?)),
            (InputKind::Volume, _) => Some(Volumes::Device(FrontEnd::new(preprocessing, device)?)),
        };
        Ok(Self { data, volumes, preprocessing, augment: config.augment, seed: config.seed })
    }

    /// The windows of a record, or `limit` of them, spread evenly.
    pub(crate) fn windows_of(&self, row: usize, limit: usize) -> Vec<Window> {
        let starts = self.preprocessing.window_starts(self.data.lengths[row]);
        let n = limit.min(starts.len());
        (0..n).map(|k| (row, starts[(2 * k + 1) * starts.len() / (2 * n)])).collect()
    }

    /// Any window of a record, whether or not prediction would use it; the first where it uses only that.
    fn draw(&self, row: usize, random: &mut Stream) -> Window {
        let last = self.data.lengths[row].saturating_sub(self.preprocessing.window_samples());
        match self.preprocessing.windows {
            Windows::All => (row, random.below(last + 1)),
            _ => (row, 0),
        }
    }

    /// The network's input for windows as they are.
    pub(crate) fn plain(&self, windows: &[Window]) -> Result<Tensor, ModelError> {
        self.tensor(self.cut(windows))
    }

    /// The network's input for one epoch's look at some records: a window drawn at random of each, and changed.
    pub(crate) fn drawn(&self, rows: &[usize], epoch: usize) -> Result<Tensor, ModelError> {
        let mut streams: Vec<Stream> =
            rows.iter().map(|&row| Stream::new(self.seed, Purpose::Record, epoch, row)).collect();
        let windows: Vec<Window> =
            rows.iter().zip(&mut streams).map(|(&row, random)| self.draw(row, random)).collect();
        let mut signals = self.cut(&windows);
        // Threads may share the settings, not what is on the device.
        let augment = self.augment;
        let rate_hz = self.preprocessing.window_samples() as f64 / self.preprocessing.window_s;
        signals
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(&mut streams)
            .for_each(|(signal, random)| augment.apply(signal, rate_hz, random));
        self.tensor(signals)
    }

    /// Labels `[record, label]` as numbers.
    pub(crate) fn targets(&self, rows: &[usize], kind: Kind) -> Result<Tensor, ModelError> {
        let labels = self.data.labels.select(Axis(0), rows);
        let (n, k) = labels.dim();
        let values: Vec<f32> = labels.iter().map(|&label| f32::from(label)).collect();
        Tensor::f_from_slice(&values)
            .and_then(|tensor| tensor.f_reshape([n as i64, k as i64])?.f_to_kind(kind))
            .doing("make the labels' tensor")
    }

    /// Copies windows out of the records, `[window, lead, sample]`.
    fn cut(&self, windows: &[Window]) -> Array3<f32> {
        let length = self.preprocessing.window_samples();
        let mut out = Array3::zeros((windows.len(), 12, length));
        for (mut signal, &(row, start)) in out.outer_iter_mut().zip(windows) {
            signal.assign(&self.data.prepared.slice(s![row, .., start..start + length]));
        }
        out
    }

    /// Turns signals `[n, lead, sample]` into what the network reads.
    fn tensor(&self, signals: Array3<f32>) -> Result<Tensor, ModelError> {
        let plan = match &self.volumes {
            None => return tensor_of(&signals),
            Some(Volumes::Device(front_end)) => return front_end.volumes(&tensor_of(&signals)?),
            Some(Volumes::Plan(plan)) => plan,
        };
        let [depth, height, width] = plan.volume_shape();
        let mut volumes = Array4::zeros((signals.len_of(Axis(0)), depth, height, width));
        volumes
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(signals.axis_iter(Axis(0)))
            .try_for_each_init(Scratch::new, |scratch, (volume, signal)| {
                plan.volume_of_window_into(signal, volume, scratch)
            })?;
        tensor_of(&volumes)
    }
}

/// A tensor with an array's values.
fn tensor_of<D: Dimension>(array: &Array<f32, D>) -> Result<Tensor, ModelError> {
    let shape: Vec<i64> = array.shape().iter().map(|&n| n as i64).collect();
    let values = array.as_standard_layout();
    let values = values.as_slice().unwrap_or_default();
    Tensor::f_from_slice(values)
        .and_then(|tensor| tensor.f_reshape(&shape))
        .doing("make the input's tensor")
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn some_windows_are_spread_over_the_record() {
        let data = TrainData {
            prepared: Array3::zeros((1, 12, 500)),
            lengths: vec![500],
            labels: Array2::zeros((1, 7)),
            patients: vec!["p".to_owned()],
            names: vec!["r".to_owned()],
        };
        let (preprocessing, config) = (ConvertConfig::corrected(), TrainConfig::corrected());
        let feed = Feed::new(InputKind::Signal, &preprocessing, &data, &config, Device::Cpu);
        let feed = feed.expect("a feed");
        let starts = |limit| -> Vec<usize> {
            feed.windows_of(0, limit).into_iter().map(|(_, start)| start).collect()
        };
        assert_eq!(starts(1), [200]);
        assert_eq!(starts(3), [50, 200, 350]);
        assert_eq!(starts(9), (0..9).map(|k| 50 * k).collect::<Vec<_>>());
        assert_eq!(starts(usize::MAX), starts(9));
    }
}
