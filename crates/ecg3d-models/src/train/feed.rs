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

/// A row of the data in the list of rows to train on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occurrence {
    row: usize,
    /// How often the list has the row before.
    earlier: usize,
}

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

    /// Tells apart the rows of a list that has some of them more than once.
    pub(crate) fn occurrences(&self, rows: &[usize]) -> Vec<Occurrence> {
        let mut seen = vec![0; self.data.len()];
        let next = |&row: &usize| {
            let earlier = seen[row];
            seen[row] += 1;
            Occurrence { row, earlier }
        };
        rows.iter().map(next).collect()
    }

    /// Returns the network's input for some records in an epoch: a random window of each, randomly changed.
    ///
    /// A row that occurs more than once gets another window and other changes each time.
    pub(crate) fn drawn(&self, rows: &[Occurrence], epoch: usize) -> Result<Tensor, ModelError> {
        let stream = |&Occurrence { row, earlier }: &Occurrence| {
            Stream::new(self.seed, Purpose::Record, epoch, row + earlier * self.data.len())
        };
        let mut streams: Vec<Stream> = rows.iter().map(stream).collect();
        let windows: Vec<Window> = rows
            .iter()
            .zip(&mut streams)
            .map(|(occurrence, random)| self.draw(occurrence.row, random))
            .collect();
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
    pub(crate) fn targets(&self, rows: &[Occurrence], kind: Kind) -> Result<Tensor, ModelError> {
        let rows: Vec<usize> = rows.iter().map(|occurrence| occurrence.row).collect();
        let labels = self.data.labels.select(Axis(0), &rows);
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

    /// Two records of 10 s at 50 Hz, the second with the first label.
    fn data() -> TrainData {
        let names = ["a", "b"].map(str::to_owned).to_vec();
        TrainData {
            prepared: Array3::from_shape_fn((2, 12, 500), |(row, lead, t)| {
                (0.1 * t as f32 + lead as f32 + row as f32).sin()
            }),
            lengths: vec![500; 2],
            labels: Array2::from_shape_fn((2, 7), |(row, label)| row == 1 && label == 0),
            label_set: LabelSet::seven(),
            patients: names.clone(),
            names,
        }
    }

    #[test]
    fn some_windows_are_spread_over_the_record() {
        let data = data();
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

    #[test]
    fn a_row_given_again_is_drawn_anew() {
        let data = data();
        let (preprocessing, config) = (ConvertConfig::corrected(), TrainConfig::corrected());
        let feed = Feed::new(InputKind::Signal, &preprocessing, &data, &config, Device::Cpu);
        let feed = feed.expect("a feed");
        let drawn = |rows: &[Occurrence]| feed.drawn(rows, 0).expect("draws");
        let once = feed.occurrences(&[0, 1]);
        let twice = feed.occurrences(&[1, 0, 1]);
        let (x, y) = (drawn(&once), drawn(&twice));
        assert!(y.get(0).equal(&x.get(1)) && y.get(1).equal(&x.get(0)));
        assert!(!y.get(2).equal(&y.get(0)));
        // In whichever step it comes.
        assert!(drawn(&twice[2..]).get(0).equal(&y.get(2)));
        let targets = feed.targets(&twice, Kind::Float).expect("labels").sum(Kind::Float);
        assert_eq!(targets.double_value(&[]), 2.0);
    }
}
