use std::path::PathBuf;

use tch::TchError;

/// What can go wrong with a network, its weights or its training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A name that belongs to no network.
    #[error("unknown model {found:?}; expected one of {expected}")]
    UnknownModel {
        /// The name given.
        found: String,
        /// The known names, joined by commas.
        expected: &'static str,
    },
    /// An input with another shape than the network takes.
    #[error("{model} takes a batch of shape [n, {}], found {found:?}", join(.expected))]
    Input {
        /// The network.
        model: &'static str,
        /// Shape of one input, without the batch axis.
        expected: Vec<usize>,
        /// Shape of the given batch.
        found: Vec<usize>,
    },
    /// Images to stand in for removed leads whose shape is not that of the model's images.
    #[error(
        "the stand-in images must have shape [lead, height, width] = [{}], found {found:?}",
        join(.expected)
    )]
    StandIns {
        /// The shape of the model's images.
        expected: [usize; 3],
        /// The shape of the given images.
        found: [usize; 3],
    },
    /// libtorch refused an operation.
    #[error("libtorch failed to {doing}")]
    Torch {
        /// What was being done.
        doing: &'static str,
        /// What libtorch says.
        #[source]
        source: TchError,
    },
    /// The converter refused a configuration or a signal.
    #[error("the conversion failed")]
    Convert(#[from] ecg3d_convert::ConvertError),
    /// A recording that the converter refused.
    #[error("cannot prepare record {record}")]
    Prepare {
        /// The record.
        record: String,
        /// Why.
        #[source]
        source: ecg3d_convert::ConvertError,
    },
    /// A setting of a training run, or a probability, that is out of range.
    #[error("{what} must be {expected}, found {found}")]
    Setting {
        /// The setting.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
        /// The value given.
        found: f64,
    },
    /// A run to be resumed, without the folder that it is in.
    #[error("cannot resume a training run without run_dir; set it to the folder of the run")]
    ResumeWithoutFolder,
    /// Data to train on whose labels are not those of the card, or are in another order.
    #[error(
        "the labels of the training data are {found}, expected {expected} (from the model card)"
    )]
    TrainLabels {
        /// The labels of the data.
        found: String,
        /// The labels of the card.
        expected: String,
    },
    /// A record that cannot be added to training data.
    #[error("cannot add record {record} to the training data")]
    TrainRecord {
        /// The record.
        record: String,
        /// Why.
        #[source]
        source: Box<ModelError>,
    },
    /// A step of an optimizer none of whose parameters has a gradient.
    #[error(
        "none of the optimizer's {parameters} parameters has a gradient: a backward pass must come before the step, \
         and the parameters must be the network's own, not copies (KerasAdam::of)"
    )]
    NoGradient {
        /// Number of parameters of the optimizer.
        parameters: usize,
    },
    /// A saved state that does not belong to an optimizer's parameters.
    #[error("the {what} in the state of the optimizer is {found}, expected {expected}")]
    OptimizerState {
        /// The part of the state.
        what: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// No record is left to train on.
    #[error("no training records selected (the data set has {records} records)")]
    NothingToTrainOn {
        /// Number of records in the data set.
        records: usize,
    },
    /// Windows of another shape than the preprocessing produces.
    #[error("windows must have shape [n, {}], found {found:?}", join(.expected))]
    Windows {
        /// Number of leads and samples of a window.
        expected: [usize; 2],
        /// Shape of the given tensor.
        found: Vec<usize>,
    },
    /// Signals to train on that are too short for a window.
    #[error(
        "training takes prepared signals of shape [n, 12, {expected} or more], found {found:?}"
    )]
    TrainShape {
        /// Number of samples of a window.
        expected: usize,
        /// Shape of the given signals.
        found: Vec<usize>,
    },
    /// Parts of a data set or a call that do not fit together, or a batch without records.
    #[error("expected {expected} {what}, found {found}")]
    RowCount {
        /// What was counted.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A row past the end of the data set.
    #[error("row {row} (from 0) is out of range: the data set has {records} records")]
    NoSuchRow {
        /// The row.
        row: usize,
        /// Number of records in the data set.
        records: usize,
    },
    /// A record with fewer real samples than a window, or more than its signal.
    #[error("record {record} has {found} samples, expected {} to {}", .expected[0], .expected[1])]
    RecordLength {
        /// The record.
        record: String,
        /// Number of samples of a window and of the signals.
        expected: [usize; 2],
        /// Number of real samples of the record.
        found: usize,
    },
    /// A prepared signal with values that are not finite.
    #[error("record {record} holds values that are not finite")]
    NotANumber {
        /// The record.
        record: String,
    },
    /// A training record from which no volumes can be made.
    #[error("cannot make volumes from record {record}")]
    NoVolumes {
        /// The record.
        record: String,
        /// Why.
        #[source]
        source: ecg3d_convert::ConvertError,
    },
    /// The loss became infinite or NaN.
    #[error(
        "the loss is {loss} in epoch {epoch}, batch {batch}{}; try a lower learning rate{}, or check the data for extreme values",
        and_kept(.kept), elsewhere(.kept)
    )]
    NotFinite {
        /// The epoch, from 1.
        epoch: usize,
        /// The step within its epoch, from 1.
        batch: usize,
        /// The loss.
        loss: f64,
        /// The run folder that keeps the earlier epochs, if any are kept.
        kept: Option<PathBuf>,
    },
    /// The weights, or the logits of the validation records, became infinite or NaN although the losses of all steps
    /// were finite.
    #[error(
        "the network's {what} are not finite after epoch {epoch}{}; try a lower learning rate{}",
        and_kept(.kept), elsewhere(.kept)
    )]
    NetworkNotFinite {
        /// What is not finite: `weights` or `logits of validation records`.
        what: &'static str,
        /// The epoch, from 1.
        epoch: usize,
        /// The run folder that keeps the earlier epochs, if any are kept.
        kept: Option<PathBuf>,
    },
    /// Parameters that were loaded, or that a training pass was made with, where fresh ones were expected: they were to
    /// be fitted to data, or the recipe does not say what they are.
    #[error(
        "the network's parameters are not fresh: they were loaded, or training has begun; fit_start would \
         discard them, and to train them, say what they are with TrainConfig::with_start(\"...\") and leave \
         fit_start off"
    )]
    NotFresh,
    /// A run folder that already holds a run.
    #[error(
        "{path} already contains a training run ({found}); resume it with TrainConfig::resume (train --resume), or choose another folder",
        path = .path.display()
    )]
    RunExists {
        /// The folder.
        path: PathBuf,
        /// A file of that run.
        found: &'static str,
    },
    /// A training run that its observer ended before the first epoch was done.
    #[error("training was stopped before the first epoch was finished")]
    Stopped,
    /// A file that a run would overwrite although it does not belong to a run.
    #[error("{path} would be overwritten, but it does not belong to a training run; choose another folder", path = .path.display())]
    NotOfARun {
        /// The file.
        path: PathBuf,
    },
    /// Weights that were to be saved under the name reserved for the readable copy of their card.
    #[error("cannot save weights as {path}, which is reserved for their card; expected a name that ends in .safetensors", path = .path.display())]
    SaveAsJson {
        /// The given name.
        path: PathBuf,
    },
    /// A network to train whose parameters are not `f32`.
    #[error(
        "the network's parameters are of type {found}, but training requires Float; set the precision instead"
    )]
    TrainKind {
        /// libtorch's name of the type.
        found: String,
    },
    /// A run folder in which another training is at work.
    #[error(
        "another training run is using {path}; wait for it to finish, or choose another folder",
        path = .path.display()
    )]
    RunInUse {
        /// The folder.
        path: PathBuf,
    },
    /// A run that can't be resumed because its checkpoint is missing.
    #[error("cannot resume the training run: {path} does not exist", path = .path.display())]
    NoCheckpoint {
        /// Where the checkpoint should be.
        path: PathBuf,
    },
    /// A checkpoint that is damaged or of another kind.
    #[error("{path} is not a usable checkpoint: {reason}", path = .path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A run that was to be resumed with other settings or data.
    #[error(
        "cannot resume from {path}: {what} has changed from {then} to {now}",
        path = .path.display()
    )]
    ResumeDiffers {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: String,
        /// Its value in the checkpoint.
        then: String,
        /// Its value now.
        now: String,
    },
    /// A file that could not be read or written.
    #[error("cannot {doing} {path}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done: `read`, `write`, `create`, `lock`.
        doing: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// An input of a kind that the network does not read.
    #[error("{model} takes {takes}, not {found}")]
    InputKind {
        /// The network.
        model: &'static str,
        /// What it reads.
        takes: &'static str,
        /// What it was given.
        found: &'static str,
    },
    /// Prepared signals of another shape than the preprocessing produces.
    #[error("prepared signals must have shape [n, {}, {}{}], found {found:?}", .expected[0], .expected[1], or_more(.longer))]
    Prepared {
        /// Shape of one signal, `[lead, sample]`.
        expected: [usize; 2],
        /// Whether longer signals are accepted too.
        longer: bool,
        /// Shape of the given signals.
        found: Vec<usize>,
    },
    /// A record that is too short for a window.
    #[error("row {row} has {found} samples, but a window needs {expected}")]
    TooShort {
        /// The row, from 0.
        row: usize,
        /// Number of samples of a window.
        expected: usize,
        /// Number of samples of the record.
        found: usize,
    },
    /// A record whose stated length exceeds its row.
    #[error("row {row} has a stated length of {found} samples, but rows have only {expected}")]
    TooLong {
        /// The row, from 0.
        row: usize,
        /// Number of samples of a row.
        expected: usize,
        /// The stated number of samples.
        found: usize,
    },
    /// A readable weights file whose content can't be used.
    #[error("cannot use {path}", path = .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<ModelError>,
    },
    /// A model card that contradicts itself or its network.
    #[error("the model card's {what} is {found}, expected {expected}")]
    CardValue {
        /// The entry.
        what: &'static str,
        /// What the card says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// A network that the study's programs do not have, so that no Keras file can hold it.
    #[error("{path} cannot contain {model}, which is not one of the study's networks", path = .path.display())]
    NotInKeras {
        /// The file.
        path: PathBuf,
        /// The network.
        model: &'static str,
    },
    /// A name that belongs to no [`WindowPooling`](crate::WindowPooling).
    #[error("unknown window pooling {found:?}, expected mean or max")]
    UnknownPooling {
        /// What was asked for.
        found: String,
    },
    /// A name that belongs to no number type.
    #[error("unknown precision {found:?}, expected f32 or bf16")]
    UnknownPrecision {
        /// What was asked for.
        found: String,
    },
    /// A weights file without a model card.
    #[error(
        "{path} has no model card (metadata entry \"card\"), so its network, labels and preprocessing are unknown",
        path = .path.display()
    )]
    CardMissing {
        /// The file.
        path: PathBuf,
    },
    /// A model card that can't be read.
    #[error("cannot read the model card of {path}", path = .path.display())]
    Card {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A file that is not a `.safetensors` file.
    #[error("{path} is not a .safetensors weights file", path = .path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A Keras file in place of weights of this toolkit.
    #[error("{path} is an HDF5 file, expected .safetensors; import it first with import_keras or the import-keras program", path = .path.display())]
    StillKeras {
        /// The file.
        path: PathBuf,
    },
    /// A weights file whose size contradicts its header: it was cut short or damaged.
    #[error("{path} has {found} bytes, which does not match its header: the file is truncated or damaged", path = .path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// Number of bytes in the file.
        found: usize,
    },
    /// A tensor with another number type than `f32`.
    #[error("{name} in {path} is of type {found}, expected F32", path = .path.display())]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its number type.
        found: String,
    },
    /// A tensor with a value that is not finite, or a variance below 0, which would make predictions NaN.
    #[error("cannot {doing} {path}: {name} contains {found} at index {at} (from 0), expected {expected}", path = .path.display())]
    TensorValue {
        /// The file.
        path: PathBuf,
        /// What was being done: `load`, `save`.
        doing: &'static str,
        /// The tensor.
        name: String,
        /// Index of the first such value, in C order.
        at: usize,
        /// That value.
        found: f32,
        /// The values allowed.
        expected: &'static str,
    },
    /// A weights file without one of the network's tensors.
    #[error("{path} has no {name}, which {model} needs", path = .path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The network.
        model: &'static str,
    },
    /// A weights file with a tensor that the network does not have.
    #[error("{path} holds {name}, which {model} does not have", path = .path.display())]
    UnexpectedTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The network.
        model: &'static str,
    },
    /// A tensor of a weights file whose shape differs from the network's.
    #[error("{name} in {path} has shape {found:?}, expected {expected:?}", path = .path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The network's shape, in the file's order of axes.
        expected: Vec<usize>,
        /// The file's shape.
        found: Vec<usize>,
    },
    /// A file that should be HDF5 but is not, is damaged, or was cut short.
    #[error("cannot read {path} as an HDF5 file", path = .path.display())]
    Hdf5 {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An HDF5 file that is not one of Keras's weight files.
    #[error(
        "{path} is an HDF5 file, but not a Keras 2 weights file: found {found}, expected {expected}",
        path = .path.display()
    )]
    KerasLayout {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What such files hold.
        expected: String,
    },
    /// A Keras file whose `model_config` is not JSON.
    #[error("the model_config of {path} is not valid JSON", path = .path.display())]
    KerasConfig {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A Keras file that holds another network.
    #[error("{path} is not {model}: found {found}, expected {expected}", path = .path.display())]
    KerasGraph {
        /// The file.
        path: PathBuf,
        /// The requested network.
        model: &'static str,
        /// What the file has.
        found: String,
        /// What the network has at that place.
        expected: String,
    },
    /// A network of another architecture, mode or number of labels, whose parameters cannot be copied.
    #[error("cannot copy the parameters: found {found}, expected {expected}")]
    OtherNetwork {
        /// The given network.
        found: String,
        /// The network that is copied to.
        expected: String,
    },
    /// A network whose corrected form has no counterpart in Keras files.
    #[error("cannot import the corrected {model} from {path}: its weights have different shapes; use the published preset instead", path = .path.display())]
    KerasPreset {
        /// The file.
        path: PathBuf,
        /// The network.
        model: &'static str,
    },
}

impl ModelError {
    /// Returns the message followed by those of its causes, for places that keep only text.
    pub fn with_causes(&self) -> String {
        ecg_core::with_causes(self)
    }
}

fn or_more(longer: &bool) -> &'static str {
    if *longer { " or more" } else { "" }
}

/// Formats the lengths of axes for a message: `45, 45, 45`.
fn join(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the end of a message about a run that broke off.
fn and_kept(run_dir: &Option<PathBuf>) -> String {
    run_dir
        .as_ref()
        .map_or(String::new(), |path| format!("; earlier epochs are saved in {}", path.display()))
}

/// A run that keeps epochs is only continued with the same learning rate.
fn elsewhere(run_dir: &Option<PathBuf>) -> &'static str {
    if run_dir.is_some() { " in another run folder" } else { "" }
}

/// Adds to an error of libtorch what was being done.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, ModelError>;
}

impl<T> Doing<T> for Result<T, TchError> {
    fn doing(self, doing: &'static str) -> Result<T, ModelError> {
        self.map_err(|source| ModelError::Torch { doing, source })
    }
}
