use std::fmt;
use std::path::Path;

use ecg_core::{LabelSet, Predict, PredictError, Recording};
use ecg3d_convert::{Plans, Prepared, Resample, Scratch};
use ndarray::{Array2, Array4, ArrayView3, ArrayView4, Axis, Ix3};
use tch::{Device, Kind, Tensor, no_grad};

use crate::error::Doing;
use crate::files::read;
use crate::inputs::{Inputs, Window, tensor};
use crate::pooling::Pooled;
use crate::train::check_probabilities;
use crate::weights::{check_pair, parse, save};
use crate::{InputKind, ModelCard, ModelError, Network, Precision};

/// A network with its card, ready to predict.
///
/// A model predicts from prepared signals `[record, lead, sample]`, whatever its network reads: it cuts windows and
/// makes volumes if they are needed. The probability of a record is the sigmoid of the mean of its windows' logits, or
/// of their maximum if the card says so ([`ModelCard::window_pooling`]). Memory is bounded by [`Model::batch`],
/// whatever the number of records.
#[derive(Debug)]
pub struct Model {
    network: Network,
    card: ModelCard,
    inputs: Inputs,
    /// From recordings to prepared signals, as the card says.
    plans: Plans,
    batch: usize,
}

/// See `weights/README.md`.
const SHIPPED: &[u8] = include_bytes!("../weights/3decgnet.safetensors");

/// See `weights/README.md`.
const SYNTHETIC: &[u8] = include_bytes!("../weights/3decgnet_synthetic.safetensors");

/// Returns the probabilities that belong to logits.
fn sigmoid(logits: Array2<f64>) -> Array2<f64> {
    logits.mapv_into(|logit| 1.0 / (1.0 + (-logit).exp()))
}

impl Model {
    /// Combines a network in memory, for instance one that was just trained, with its card.
    ///
    /// # Errors
    /// The card belongs to another network or contradicts itself.
    pub fn new(network: Network, card: ModelCard) -> Result<Self, ModelError> {
        check_pair(&network, &card)?;
        let input = network.architecture().input();
        let inputs = Inputs::new(input, &card.preprocessing, network.device())?;
        let plans = Plans::new(card.preprocessing.clone());
        let batch = network.windows_at_a_time();
        Ok(Self { network, card, inputs, plans, batch })
    }

    /// Loads a weights file.
    ///
    /// # Errors
    /// - The file can't be read, was cut short, or is not a weights file.
    /// - It has no card, or a card that this version can't use.
    /// - Its tensors are not those of the card's network.
    ///
    /// Each error names the file, what was found and what was expected.
    pub fn load(path: impl AsRef<Path>, device: Device) -> Result<Self, ModelError> {
        let path = path.as_ref();
        Self::from_bytes(&read(path)?, path, device)
    }

    /// Loads a weights file that is already in memory, for instance by [`include_bytes!`].
    ///
    /// Errors refer to the file as `name`.
    ///
    /// # Errors
    /// The same as those of [`Model::load`], except for errors of reading.
    pub fn from_bytes(
        file: &[u8],
        name: impl AsRef<Path>,
        device: Device,
    ) -> Result<Self, ModelError> {
        let (network, card) = parse(file, name.as_ref(), device)?;
        Self::new(network, card)
    }

    /// Loads the weights that come with this crate: 3DECG-Net in corrected mode.
    ///
    /// They were trained on 975 recordings of PTB-XL and the PhysioNet/CinC Challenges, and on 120 synthetic ones. What
    /// they reached, on which recordings, and how to cite these is stated in `weights/README.md` and in the card.
    ///
    /// ```
    /// use ecg3d_models::tch::Device;
    /// use ecg3d_models::{Architecture, Model};
    ///
    /// # fn main() -> Result<(), ecg3d_models::ModelError> {
    /// let model = Model::shipped(Device::Cpu)?;
    /// assert_eq!(model.card().architecture, Architecture::ThreeDEcgNet);
    /// assert_eq!(model.labels().to_string(), "NSR,AF,IAVB,LBBB,RBBB,SB,STach");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// libtorch can't use the device.
    pub fn shipped(device: Device) -> Result<Self, ModelError> {
        Self::from_bytes(SHIPPED, "shipped/3decgnet.safetensors", device)
    }

    /// Returns the bytes of the file that [`Model::shipped`] reads, in the format of [`save`](crate::save()).
    ///
    /// Write them elsewhere, or name the weights by their hash.
    pub const fn shipped_file() -> &'static [u8] {
        SHIPPED
    }

    /// Loads weights of 3DECG-Net in corrected mode that were trained on synthetic recordings alone.
    ///
    /// Nobody's recordings are in them, in particular none of validation or test patients, so training on any
    /// recordings can start from them. They are not meant for predictions. A network trained from them should say so by
    /// [`TrainConfig::with_start`](crate::TrainConfig::with_start), and its card should state its own
    /// [origin](ModelCard::with_origin).
    ///
    /// # Errors
    /// libtorch can't use the device.
    pub fn synthetic(device: Device) -> Result<Self, ModelError> {
        Self::from_bytes(SYNTHETIC, "shipped/3decgnet_synthetic.safetensors", device)
    }

    /// Returns the bytes of the file that [`Model::synthetic`] reads.
    pub const fn synthetic_file() -> &'static [u8] {
        SYNTHETIC
    }

    /// Returns the card: what the weights say about themselves.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Returns the labels, in the order of the columns of all predictions.
    pub fn labels(&self) -> &LabelSet {
        &self.card.labels
    }

    /// Returns the network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the network and the card, for further training with
    /// [`TrainConfig::with_start`](crate::TrainConfig::with_start).
    ///
    /// Give the card its own [origin](ModelCard::with_origin) before training on. Otherwise the new weights keep the
    /// old one, such as "trained on 975 recordings of PTB-XL".
    pub fn into_parts(self) -> (Network, ModelCard) {
        (self.network, self.card)
    }

    /// Sets the number type of the arithmetic. Default: [`Precision::F32`].
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.network.set_precision(precision);
        self
    }

    /// Sets the probability above which each label is predicted, in the order of the labels.
    ///
    /// ```
    /// use ecg3d_models::{Model, tch::Device};
    ///
    /// # fn main() -> Result<(), ecg3d_models::ModelError> {
    /// let model = Model::shipped(Device::Cpu)?.with_thresholds(&[0.3; 7])?;
    /// assert_eq!(model.card().threshold_values(), [0.3; 7]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The same as those of [`ModelCard::with_thresholds`].
    pub fn with_thresholds(mut self, thresholds: &[f64]) -> Result<Self, ModelError> {
        self.card = self.card.with_thresholds(thresholds)?;
        Ok(self)
    }

    /// Returns a copy with its own parameters on another device, with the same card, precision and batch.
    ///
    /// The batch stays even where another one is the default: see [`Model::with_batch`].
    ///
    /// # Errors
    /// libtorch can't use the device.
    pub fn to_device(&self, device: Device) -> Result<Self, ModelError> {
        let network = self.network.to_device(device)?;
        Ok(Self::new(network, self.card.clone())?.with_batch(self.batch))
    }

    /// Returns how many windows go through the network at once. Default: 64 signals; 4 volumes on the CPU, 32 on a GPU.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Sets how many windows go through the network at once; 0 counts as 1.
    #[must_use]
    pub fn with_batch(mut self, windows: usize) -> Self {
        self.batch = windows.max(1);
        self
    }

    /// Writes the weights and their card, like [`save`](crate::save()).
    ///
    /// # Errors
    /// The same as those of [`save`](crate::save()).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ModelError> {
        save(&self.network, &self.card, path)
    }

    /// Prepares a recording as it was read, at any sampling rate, as the card says.
    ///
    /// Print the [`warnings`](Prepared::warnings): a prediction does not show that a lead was flat, or that the
    /// integers are in other units than the network knows. `ecg_io::read_recording` has warnings too, in
    /// `Loaded::warnings`. The filters for the last eight sampling rates that were new are kept; those of an odd rate may
    /// take 30 MB.
    ///
    /// ```
    /// use ecg3d_models::{Model, ecg_core, ndarray, tch};
    /// use ecg_core::{Lead, Recording, SamplingRate};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // A slow sine, 2 s at 250 Hz, in all leads: [lead, sample], in mV.
    /// let signal = ndarray::Array2::from_shape_fn((12, 500), |(_, t)| (t as f64 / 40.0).sin());
    /// let leads = Lead::STANDARD_12.map(Lead::name);
    /// let recording = Recording::new("sine", SamplingRate::new(250.0)?, leads, signal)?;
    ///
    /// let model = Model::shipped(tch::Device::Cpu)?;
    /// let prepared = model.prepare(&recording)?;
    /// prepared.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    /// let probabilities = model.predict_one(&prepared)?;
    /// assert_eq!(probabilities.len(), model.labels().len());
    /// println!("{:?}", model.labels_of(&probabilities)?); // those above their thresholds
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The converter refuses the recording: a lead is missing, for instance, or there are too few samples
    /// ([`ModelError::Prepare`]).
    pub fn prepare(&self, recording: &Recording) -> Result<Prepared, ModelError> {
        let plan = self.plans.at(recording.sampling_rate);
        plan.and_then(|plan| plan.prepare(recording))
            .map_err(|source| ModelError::Prepare { record: recording.name.clone(), source })
    }

    /// Returns the probabilities `[label]` of a recording that [`Model::prepare`] prepared.
    ///
    /// They come from its windows' logits, pooled as the card says. A signal that was prepared in another way has no
    /// meaning for the network; only its shape is checked. For many recordings it is faster to pass many at a time to
    /// [`Model::predict_prepared`].
    ///
    /// # Errors
    /// - The network reads volumes, and the samples are too large to make them ([`ModelError::Convert`]).
    /// - The signal has another shape than the preprocessing gives, or libtorch fails.
    pub fn predict_one(&self, prepared: &Prepared) -> Result<Vec<f64>, ModelError> {
        let signals = prepared.signal.view().insert_axis(Axis(0));
        self.check_prepared(signals.shape())?;
        if self.card.architecture.input() == InputKind::Volume {
            self.inputs.plan.check_samples(prepared.signal.view())?;
        }
        Ok(self.predict_prepared(signals, Some(&[prepared.length]))?.into_iter().collect())
    }

    /// Does [`Model::prepare`] and [`Model::predict_one`], and drops the converter's warnings.
    ///
    /// # Errors
    /// The same as those of the two, except that [`ModelError::NoVolumes`] names a recording from whose samples no
    /// volumes can be made.
    pub fn predict_recording(&self, recording: &Recording) -> Result<Vec<f64>, ModelError> {
        self.predict_one(&self.prepare(recording)?).map_err(|error| match error {
            ModelError::Convert(source) => {
                ModelError::NoVolumes { record: recording.name.clone(), source }
            }
            other => other,
        })
    }

    /// Returns the labels whose probabilities are above the card's thresholds.
    ///
    /// `probabilities` has one value for each of [`Model::labels`], in their order.
    ///
    /// # Errors
    /// - There are not as many probabilities as labels ([`ModelError::RowCount`]).
    /// - A probability is not from 0 to 1 ([`ModelError::Setting`]). [`Model::predict_prepared`] returns NaN for a
    ///   record of which it can make no volumes: nothing is known about such a record, so it does not count as one
    ///   without labels.
    pub fn labels_of(&self, probabilities: &[f64]) -> Result<Vec<&str>, ModelError> {
        let (what, expected, found) = ("probabilities", self.labels().len(), probabilities.len());
        if found != expected {
            return Err(ModelError::RowCount { what, expected, found });
        }
        check_probabilities(probabilities)?;
        let own = self.labels().iter().zip(probabilities).zip(self.card.threshold_values());
        let held = own.filter(|((_, p), threshold)| *p > threshold);
        Ok(held.map(|((label, _), _)| label).collect())
    }

    /// Returns the probabilities `[record, label]` of prepared signals `[record, lead, sample]`.
    ///
    /// `lengths` says how many samples of each record are real; `None` means all. If the preprocessing resamples to a
    /// rate (corrected), rows may have any number of samples from one window upwards, and windows are cut from the real
    /// samples. Otherwise a row is one window. If the network reads volumes, a record whose samples are too large to
    /// make them gets probabilities that are NaN; other records are not affected.
    ///
    /// # Errors
    /// The signals have another shape, a record has no window of real samples, or libtorch fails.
    pub fn predict_prepared(
        &self,
        signals: ArrayView3<'_, f32>,
        lengths: Option<&[usize]>,
    ) -> Result<Array2<f64>, ModelError> {
        self.logits_prepared(signals, lengths).map(sigmoid)
    }

    /// Returns the logits `[record, label]` of prepared signals `[record, lead, sample]`: those of each record's
    /// windows, pooled as the card says ([`ModelCard::window_pooling`]), whose sigmoid [`Model::predict_prepared`]
    /// returns.
    ///
    /// A probability close to 0 or 1 is rounded, its logit is not: fit a calibration on logits
    /// (`ecg_metrics::Calibrator::fit_logits`).
    ///
    /// # Errors
    /// The same as those of [`Model::predict_prepared`], which also explains `lengths`.
    pub fn logits_prepared(
        &self,
        signals: ArrayView3<'_, f32>,
        lengths: Option<&[usize]>,
    ) -> Result<Array2<f64>, ModelError> {
        self.each_window(signals, lengths, |windows| {
            self.run(&self.inputs.of(self.inputs.cut(signals, windows).view())?)
        })
    }

    /// Cuts windows and pools each record's logits, which `logits` returns for a batch of windows.
    fn each_window(
        &self,
        signals: ArrayView3<'_, f32>,
        lengths: Option<&[usize]>,
        logits: impl Fn(&[Window]) -> Result<Array2<f64>, ModelError>,
    ) -> Result<Array2<f64>, ModelError> {
        let n = signals.len_of(Axis(0));
        let windows = self.windows(signals, lengths)?;
        let mut pooled = self.pooled(n);
        for chunk in windows.chunks(self.batch) {
            let logits = logits(chunk)?;
            for (k, (row, _)) in chunk.iter().enumerate() {
                pooled.add(*row, logits.row(k));
            }
        }
        Ok(pooled.logits())
    }

    /// Returns the logits of records before their first window.
    fn pooled(&self, records: usize) -> Pooled {
        Pooled::new(self.card.window_pooling, records, self.labels().len())
    }

    /// Returns the windows of all records, in order.
    fn windows(
        &self,
        signals: ArrayView3<'_, f32>,
        lengths: Option<&[usize]>,
    ) -> Result<Vec<Window>, ModelError> {
        let (n, _, samples) = signals.dim();
        self.check_prepared(signals.shape())?;
        if let Some(lengths) = lengths.filter(|lengths| lengths.len() != n) {
            let (what, found) = ("lengths", lengths.len());
            return Err(ModelError::RowCount { what, expected: n, found });
        }
        let mut windows = Vec::new();
        for row in 0..n {
            let length = lengths.map_or(samples, |lengths| lengths[row]);
            if length > samples {
                return Err(ModelError::TooLong { row, expected: samples, found: length });
            }
            let starts = self.starts(row, length)?;
            windows.extend(starts.into_iter().map(|start| (row, start)));
        }
        Ok(windows)
    }

    /// Returns the probabilities `[record, label]` of volumes `[record, depth, height, width]`, one for each record.
    ///
    /// # Errors
    /// The network reads signals, the volumes have another shape, or libtorch fails.
    pub fn predict_volumes(&self, volumes: ArrayView4<'_, f32>) -> Result<Array2<f64>, ModelError> {
        self.check_volume_input("volumes")?;
        self.check_shape(volumes.shape(), &self.inputs.plan.volume_shape())?;
        self.each_chunk(volumes, |chunk| self.logits(chunk))
    }

    /// Returns the probabilities `[record, label]` of lead images `[record, lead, height, width]`.
    ///
    /// The images of a record are those of one window.
    ///
    /// # Errors
    /// The network reads signals, the images have another shape, or libtorch fails.
    pub fn predict_images(&self, images: ArrayView4<'_, f32>) -> Result<Array2<f64>, ModelError> {
        self.check_volume_input("lead images")?;
        self.check_shape(images.shape(), &self.inputs.plan.images_shape())?;
        let [depth, height, width] = self.inputs.plan.volume_shape();
        self.each_chunk(images, |chunk| {
            let mut volumes = Array4::zeros((chunk.len_of(Axis(0)), depth, height, width));
            let mut scratch = Scratch::new();
            for (images, volume) in chunk.outer_iter().zip(volumes.outer_iter_mut()) {
                self.inputs.plan.volume_into(images, volume, &mut scratch)?;
            }
            self.logits(volumes.view())
        })
    }

    fn each_chunk(
        &self,
        rows: ArrayView4<'_, f32>,
        logits: impl Fn(ArrayView4<'_, f32>) -> Result<Array2<f64>, ModelError>,
    ) -> Result<Array2<f64>, ModelError> {
        let mut out = Array2::zeros((rows.len_of(Axis(0)), self.labels().len()));
        let parts = out.axis_chunks_iter_mut(Axis(0), self.batch);
        for (chunk, mut part) in rows.axis_chunks_iter(Axis(0), self.batch).zip(parts) {
            part.assign(&logits(chunk)?);
        }
        Ok(sigmoid(out))
    }

    /// Returns the logits `[n, label]` of a batch of volumes.
    fn logits(&self, volumes: ArrayView4<'_, f32>) -> Result<Array2<f64>, ModelError> {
        self.run(&tensor(volumes)?)
    }

    fn run(&self, x: &Tensor) -> Result<Array2<f64>, ModelError> {
        let logits = no_grad(|| self.network.forward_logits(x, false))?;
        let mut out = Array2::zeros((x.size()[0] as usize, self.labels().len()));
        let cpu = logits.f_to_device(Device::Cpu).and_then(|y| y.f_to_kind(Kind::Double));
        let cpu = cpu.and_then(|y| y.f_contiguous()).doing("read logits")?;
        if let Some(values) = out.as_slice_mut() {
            let n = values.len();
            cpu.f_copy_data(values, n).doing("read logits")?;
        }
        Ok(out)
    }

    /// Returns the first samples of the windows of a record with `length` real samples.
    fn starts(&self, row: usize, length: usize) -> Result<Vec<usize>, ModelError> {
        let starts = self.card.preprocessing.window_starts(length);
        if starts.is_empty() {
            let [_, expected] = self.inputs.plan.window_shape();
            return Err(ModelError::TooShort { row, expected, found: length });
        }
        Ok(starts)
    }

    fn check_prepared(&self, found: &[usize]) -> Result<(), ModelError> {
        let expected = self.inputs.plan.window_shape();
        let longer = matches!(self.card.preprocessing.resample, Resample::Polyphase { .. });
        let fits = found[1] == expected[0]
            && (found[2] == expected[1] || longer && found[2] > expected[1]);
        if fits {
            return Ok(());
        }
        Err(ModelError::Prepared { expected, longer, found: found.to_vec() })
    }

    fn check_volume_input(&self, found: &'static str) -> Result<(), ModelError> {
        let architecture = self.network.architecture();
        match architecture.input() {
            InputKind::Volume => Ok(()),
            InputKind::Signal => Err(ModelError::InputKind {
                model: architecture.name(),
                takes: "prepared signals",
                found,
            }),
        }
    }

    fn check_shape(&self, found: &[usize], expected: &[usize]) -> Result<(), ModelError> {
        if found[1..] == *expected {
            return Ok(());
        }
        Err(ModelError::Input {
            model: self.network.architecture().name(),
            expected: expected.to_vec(),
            found: found.to_vec(),
        })
    }
}

/// Formats the name of the model: `3decgnet (published)`.
impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.card.architecture, self.card.mode)
    }
}

/// Converts an error into one of the trait: a wrong shape, if only one is right, becomes `Shape`, and anything else the
/// cause of `Backend`.
fn predict_error(error: ModelError, prepared: &[usize]) -> PredictError {
    match error {
        ModelError::Prepared { expected, longer: false, .. } => {
            PredictError::Shape { expected: expected.to_vec(), found: prepared.to_vec() }
        }
        other => PredictError::Backend(Box::new(other)),
    }
}

/// Every sample counts as real. If the preprocessing resamples to a rate (corrected), a batch may have any number of
/// samples from one window upwards; see [`Model::predict_prepared`].
impl Predict<Ix3> for Model {
    fn input_shape(&self) -> Vec<usize> {
        self.card.preprocessing.prepared_shape().to_vec()
    }

    fn labels(&self) -> &LabelSet {
        &self.card.labels
    }

    fn predict_proba(&self, batch: ArrayView3<'_, f32>) -> Result<Array2<f64>, PredictError> {
        let prepared = batch.shape()[1..].to_vec();
        self.predict_prepared(batch, None).map_err(|error| predict_error(error, &prepared))
    }
}

mod subsets;
#[cfg(test)]
mod tests;
