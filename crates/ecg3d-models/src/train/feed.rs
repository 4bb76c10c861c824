use ecg3d_convert::{ConvertConfig, Windows};
use ndarray::Axis;
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::random::{Purpose, Stream};
use super::{Augment, TrainConfig, TrainData};
use crate::error::Doing;
use crate::inputs::{Inputs, Window};
use crate::kernels::threads;
use crate::{InputKind, ModelError};

/// Makes a network's input from records: chooses windows, and in training changes them at random.
#[derive(Debug)]
pub(crate) struct Feed<'a> {
    data: &'a TrainData,
    inputs: Inputs,
    preprocessing: &'a ConvertConfig,
    augment: Augment,
    seed: u64,
}

impl<'a> Feed<'a> {
    pub(crate) fn new(
        input: InputKind,
        preprocessing: &'a ConvertConfig,
        data: &'a TrainData,
        config: &TrainConfig,
        device: Device,
    ) -> Result<Self, ModelError> {
        let inputs = Inputs::new(input, preprocessing, device)?;
        Ok(Self { data, inputs, preprocessing, augment: config.augment, seed: config.seed })
    }

    /// Returns the windows of a record, or `limit` of them, spread evenly.
    pub(crate) fn windows_of(&self, row: usize, limit: usize) -> Vec<Window> {
        let starts = self.preprocessing.window_starts(self.data.lengths[row]);
        let n = limit.min(starts.len());
        (0..n).map(|k| (row, starts[(2 * k + 1) * starts.len() / (2 * n)])).collect()
    }

    /// Draws a window of a record, which prediction need not use; if prediction uses only the first window, returns
    /// that.
    fn draw(&self, row: usize, random: &mut Stream) -> Window {
        let last = self.data.lengths[row].saturating_sub(self.preprocessing.window_samples());
        match self.preprocessing.windows {
            Windows::All => (row, random.below(last + 1)),
            _ => (row, 0),
        }
    }

    /// Returns the network's input for unchanged windows.
    pub(crate) fn plain(&self, windows: &[Window]) -> Result<Tensor, ModelError> {
        self.inputs.of(self.inputs.cut(self.data.prepared.view(), windows).view())
    }

    /// Returns the network's input for some records in an epoch: a random window of each, randomly changed.
    pub(crate) fn drawn(&self, rows: &[usize], epoch: usize) -> Result<Tensor, ModelError> {
        let mut streams: Vec<Stream> =
            rows.iter().map(|&row| Stream::new(self.seed, Purpose::Record, epoch, row)).collect();
        let windows: Vec<Window> =
            rows.iter().zip(&mut streams).map(|(&row, random)| self.draw(row, random)).collect();
        let mut signals = self.inputs.cut(self.data.prepared.view(), &windows);
        // Threads may share the settings, but not the data on the device.
        let augment = self.augment;
        let rate_hz = self.preprocessing.window_samples() as f64 / self.preprocessing.window_s;
        let each = signals.axis_iter_mut(Axis(0)).into_par_iter().zip(&mut streams);
        threads::install(|| {
            each.for_each(|(signal, random)| augment.apply(signal, rate_hz, random));
        })
        .doing("start threads")?;
        self.inputs.of(signals.view())
    }

    /// Returns the labels `[record, label]` as numbers.
    pub(crate) fn targets(&self, rows: &[usize], kind: Kind) -> Result<Tensor, ModelError> {
        let labels = self.data.labels.select(Axis(0), rows);
        let (n, k) = labels.dim();
        let values: Vec<f32> = labels.iter().map(|&label| f32::from(u8::from(label))).collect();
        Tensor::f_from_slice(&values)
            .and_then(|tensor| tensor.f_reshape([n as i64, k as i64])?.f_to_kind(kind))
            .doing("create the label tensor")
    }
}

#[cfg(test)]
mod tests {
    use ecg_core::LabelSet;
    use ndarray::{Array2, Array3};

    use super::*;

    #[test]
    fn some_windows_are_spread_over_the_record() {
        let data = TrainData {
            prepared: Array3::zeros((1, 12, 500)),
            lengths: vec![500],
            labels: Array2::from_elem((1, 7), false),
            label_set: LabelSet::seven(),
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
