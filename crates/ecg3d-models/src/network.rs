use std::cell::{Cell, RefCell};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use crate::error::Doing;
use crate::kernels;
use crate::layers::{BN_UPDATE, Pass};
use crate::nets::{ResNet1d, Ribeiro, Sobahi, ThreeDEcgNet, Zhang};
use crate::params::{Builder, Parameter, Start};
use crate::tape::Tape;
use crate::trace::{Channels, Op, Seen, Trace};
use crate::{Architecture, InputKind, ModelError, Preset, Summary};

/// A network with its parameters.
///
/// Parameters have names like `block_1.conv_1.kernel`, which are the keys of the weights file, and libtorch's layout,
/// `[output, input, kernel..]`. A network is `Send` but, like [`Tensor`], not `Sync`.
#[derive(Debug)]
pub struct Network {
    architecture: Architecture,
    mode: Preset,
    n_labels: usize,
    device: Device,
    kind: Kind,
    precision: Precision,
    dropout: bool,
    statistics_rate: f64,
    net: Net,
    parameters: Vec<Parameter>,
    /// Whether the parameters are still as they were initialised, and nothing has begun to train them.
    fresh: Cell<bool>,
}

/// The number type of the arithmetic on batches.
///
/// Written `f32`, `bf16` on command lines and in files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// The number type of the parameters, which is `f32` unless they were converted. This is the default.
    ///
    /// On a GPU, cuDNN rounds the factors of `f32` convolutions to TF32 (10 bits), unless the variable
    /// `NVIDIA_TF32_OVERRIDE` is 0.
    #[default]
    F32,
    /// `bf16` in convolutions and in the values passed from one to the next.
    ///
    /// Parameters, statistics of normalisations, attention, dense layers and the loss keep their type, and so do cell
    /// states when 3DECG-Net predicts on the CPU. About twice as fast if the processor or GPU has instructions for it
    /// ([`Precision::is_native`]), and many times slower otherwise. 3DECG-Net on the CPU multiplies in `bf16` if the
    /// processor has Intel's AMX, and otherwise only stores it: then it is as fast as `f32` or a little faster, and
    /// trains in half the memory.
    Bf16,
}

impl Precision {
    /// Returns the name on command lines and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Returns whether a network can use this type on a device without emulation.
    ///
    /// Either it needs no special instructions, or the device has them, to predict and to train
    /// ([`Network::forward_train`]). Otherwise libtorch emulates the type, which takes many times as long as `f32`.
    /// GPUs are assumed to have the instructions. Operations that look into a network ([`Network::activations`],
    /// gradients of the input) go through libtorch for all networks.
    pub fn is_native(self, architecture: Architecture, device: Device) -> bool {
        match (self, device) {
            (Self::F32, _) => true,
            (Self::Bf16, Device::Cpu) if architecture == Architecture::ThreeDEcgNet => true,
            #[cfg(target_arch = "x86_64")]
            (Self::Bf16, Device::Cpu) => std::arch::is_x86_feature_detected!("avx512bf16"),
            #[cfg(target_arch = "aarch64")]
            (Self::Bf16, Device::Cpu) => std::arch::is_aarch64_feature_detected!("bf16"),
            (Self::Bf16, device) => device.is_cuda(),
        }
    }

    /// Returns `bf16` if a network is faster with it on a device, and `f32` otherwise.
    pub fn quickest(architecture: Architecture, device: Device) -> Self {
        let only_stored = architecture == Architecture::ThreeDEcgNet
            && device == Device::Cpu
            && !kernels::convolution::multiplies_bf16();
        if Self::Bf16.is_native(architecture, device) && !only_stored {
            Self::Bf16
        } else {
            Self::F32
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Precision {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(ModelError::UnknownPrecision { found: text.to_owned() }),
        }
    }
}

/// The logits of a batch in training, together with the way back from them to the gradients.
#[derive(Debug)]
pub struct Forward {
    logits: Tensor,
    tape: Tape,
}

impl Forward {
    /// Returns the logits `[n, label]`.
    pub fn logits(&self) -> &Tensor {
        &self.logits
    }

    /// Adds the gradients of `loss`, a number computed from the logits, to those of the parameters.
    ///
    /// # Errors
    /// libtorch fails, for instance because memory runs out.
    pub fn backward(self, loss: &Tensor) -> Result<(), ModelError> {
        self.tape.backward(loss).doing("compute the gradients")
    }
}

#[derive(Debug)]
enum Net {
    ThreeDEcgNet(ThreeDEcgNet),
    Zhang(Zhang),
    Sobahi(Sobahi),
    Ribeiro(Ribeiro),
    ResNet1d(ResNet1d),
}

impl Network {
    /// Returns a network with fresh parameters in `f32`, by Keras's initialisers.
    ///
    /// They depend only on the architecture, the mode, the number of labels and the seed, so they are the same on every
    /// machine.
    ///
    /// # Errors
    /// libtorch can't use the device.
    pub fn new(
        architecture: Architecture,
        mode: Preset,
        n_labels: usize,
        device: Device,
        seed: u64,
    ) -> Result<Self, ModelError> {
        Self::start(architecture, mode, n_labels, device, Kind::Float, Start::Seed(seed))
    }

    pub(crate) fn start(
        architecture: Architecture,
        mode: Preset,
        n_labels: usize,
        device: Device,
        kind: Kind,
        start: Start,
    ) -> Result<Self, ModelError> {
        let mut b = Builder::new(start, device, kind);
        let net = no_grad(|| match architecture {
            Architecture::ThreeDEcgNet => {
                ThreeDEcgNet::new(&mut b, mode, n_labels).map(Net::ThreeDEcgNet)
            }
            Architecture::Zhang => Zhang::new(&mut b, mode, n_labels).map(Net::Zhang),
            Architecture::Sobahi => Sobahi::new(&mut b, n_labels).map(Net::Sobahi),
            Architecture::Ribeiro => Ribeiro::new(&mut b, mode, n_labels).map(Net::Ribeiro),
            Architecture::ResNet1d => ResNet1d::new(&mut b, n_labels).map(Net::ResNet1d),
        })
        .doing("create the parameters of a network")?;
        let parameters = b.finish();
        Ok(Self {
            architecture,
            mode,
            n_labels,
            device,
            kind,
            precision: Precision::F32,
            dropout: true,
            statistics_rate: BN_UPDATE,
            net,
            parameters,
            fresh: Cell::new(true),
        })
    }

    /// Returns whether the parameters are still as they were initialised.
    ///
    /// They no longer are once they were loaded, copied from a network whose parameters are not fresh, or trained by
    /// [`train`](crate::train()). [`Network::forward_train`] and [`Network::forward_logits`] with `train` are taken for
    /// the start of a training loop, so after them the parameters are not fresh either. [`Network::fit_start`] leaves
    /// them fresh.
    pub fn is_fresh(&self) -> bool {
        self.fresh.get()
    }

    pub(crate) fn set_used(&self) {
        self.fresh.set(false);
    }

    /// Returns which network this is.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Returns whether the network is that of the study's program or of its text.
    pub fn mode(&self) -> Preset {
        self.mode
    }

    /// Returns the number of labels.
    pub fn n_labels(&self) -> usize {
        self.n_labels
    }

    /// Returns the device of the parameters.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Returns the number type of the parameters.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the logits `[n, label]` of a batch.
    ///
    /// The batch contains volumes `[n, 45, 45, 45]` or prepared signals `[n, 12, 100]`, see
    /// [`Architecture::input_shape`], in any float type and on any device.
    ///
    /// With `train`, normalisations use the batch's own statistics and update the running statistics, dropout is active
    /// (see [`Network::set_dropout`]), gradients are recorded, and the parameters are no longer
    /// [fresh](Network::is_fresh). Without `train`, call this inside [`tch::no_grad`].
    ///
    /// # Errors
    /// The batch is empty or has another shape, or libtorch fails, for instance because memory runs out.
    pub fn forward_logits(&self, x: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        let x = self.input(x)?;
        if train {
            self.set_used();
        }
        self.run(x, self.pass(train, None))
    }

    /// Runs a batch through the network like [`Network::forward_logits`] with `train`, ready for the backward pass.
    ///
    /// Afterwards the parameters are no longer [fresh](Network::is_fresh); call [`Network::fit_start`] before.
    ///
    /// On the CPU, 3DECG-Net runs forward and backward in loops of its own, which take a fraction of the time and
    /// memory; on a GPU, only the backward passes of its convolutional LSTMs are its own. If the gradient of the batch
    /// itself is wanted, everything except those LSTMs goes through libtorch.
    ///
    /// ```
    /// use ecg3d_models::tch::{Device, Kind, Tensor};
    /// use ecg3d_models::{Architecture, Network, Preset, bce_from_logits};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let network = Network::new(Architecture::Ribeiro, Preset::Corrected, 7, Device::Cpu, 42)?;
    /// let (x, y) = ([4, 12, 100], [4, 7]);
    /// let [x, y] = [&x[..], &y].map(|shape| Tensor::ones(shape, (Kind::Float, Device::Cpu)));
    /// let forward = network.forward_train(&x)?;
    /// let loss = bce_from_logits(forward.logits(), &y, None)?;
    /// forward.backward(&loss)?;
    /// assert!(network.trainable().all(|(_, parameter)| parameter.grad().defined()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The same as those of [`Network::forward_logits`].
    pub fn forward_train(&self, x: &Tensor) -> Result<Forward, ModelError> {
        let x = self.input(x)?;
        self.set_used();
        let tape = Tape::default();
        let pass = Pass { tape: Some(&tape), ..self.pass(true, None) };
        let logits = self.run(x, pass)?;
        Ok(Forward { logits, tape })
    }

    /// Fits fresh parameters of the corrected 3DECG-Net to a batch.
    ///
    /// - The keys, queries and values of each attention head are scaled and shifted to the mean 0 and the standard
    ///   deviations 0.7, 0.7 and 1.
    /// - Each unit of the hidden dense layers is scaled and shifted to the mean 0 and the standard deviation 1, before
    ///   its activation.
    /// - The last layer is shifted so that the mean of each label's logits is that of `logits`, `[label]`.
    ///
    /// Other networks don't need this and stay as they are. After Mishkin and Matas, "All you need is a good init",
    /// ICLR 2016, and, for single units, Salimans and Kingma, "Weight normalization", NIPS 2016.
    ///
    /// # Errors
    /// The same as those of [`Network::forward_logits`]. For the corrected 3DECG-Net, also if its parameters are not
    /// [fresh](Network::is_fresh), because they would lose what they have learned ([`ModelError::NotFresh`]), or if
    /// there are not as many logits as labels.
    pub fn fit_start(&mut self, x: &Tensor, logits: &[f64]) -> Result<(), ModelError> {
        self.begin(x, Some(logits), false)
    }

    /// Prepares for training: [`Network::fit_start`] if there are logits, then holds the heads if `hold` says so.
    ///
    /// The heads are held in the state that they have for the batch. Until they are released,
    /// [`Network::forward_train`] treats them as described at
    /// [`TrainConfig::hold_heads`](crate::TrainConfig::hold_heads).
    pub(crate) fn begin(
        &mut self,
        x: &Tensor,
        logits: Option<&[f64]>,
        hold: bool,
    ) -> Result<(), ModelError> {
        if logits.is_some() && self.holdable().is_some() && !self.is_fresh() {
            return Err(ModelError::NotFresh);
        }
        let mut x = self.input(x)?;
        if self.device == Device::Cpu {
            // This goes through libtorch, which may have to emulate `bf16`.
            x = x.f_to_kind(self.kind).doing("convert a batch")?;
        }
        let Some(net) = self.holdable() else { return Ok(()) };
        let on_device = |logits: &[f64]| {
            let logits = Tensor::f_from_slice(logits)?.f_view([self.n_labels as i64])?;
            logits.f_to_kind(self.kind)?.f_to_device(self.device)
        };
        let begin = || {
            let logits = logits.map(on_device).transpose()?;
            net.begin(&x, logits.as_ref(), hold, self.pass(false, None))
        };
        no_grad(begin).doing("fit parameters to data")
    }

    /// Returns the network if its heads can be held, which is the corrected 3DECG-Net.
    fn holdable(&self) -> Option<&ThreeDEcgNet> {
        match &self.net {
            Net::ThreeDEcgNet(net) if self.mode == Preset::Corrected => Some(net),
            _ => None,
        }
    }

    /// Updates held heads by the statistics of the last batch, after the step.
    pub(crate) fn settle_heads(&mut self) -> Result<(), ModelError> {
        let settle = |net: &ThreeDEcgNet| no_grad(|| net.settle_heads(self.statistics_rate));
        self.holdable().map_or(Ok(()), settle).doing("update the held heads")
    }

    /// Releases held heads.
    pub(crate) fn release_heads(&mut self) {
        if let Some(net) = self.holdable() {
            net.release_heads();
        }
    }

    /// Returns the state of held heads, `[layer, 2]`, with which another process can go on; `None` if none are held.
    pub(crate) fn held_heads(&self) -> Result<Option<Tensor>, ModelError> {
        self.holdable().map_or(Ok(None), ThreeDEcgNet::held).doing("read the held heads")
    }

    /// Returns the shape of [`Network::held_heads`] for a network whose heads can be held.
    pub(crate) fn held_shape(&self) -> Option<[i64; 2]> {
        self.holdable().map(|net| [net.held_count() as i64, 2])
    }

    /// Holds the heads in a state returned by [`Network::held_heads`].
    pub(crate) fn restore_heads(&mut self, held: &Tensor) -> Result<(), ModelError> {
        let restore = |net: &ThreeDEcgNet| net.restore_held(held);
        self.holdable().map_or(Ok(()), restore).doing("hold the heads")
    }

    /// Returns how many windows go through at a time by default.
    ///
    /// A volume takes about 150 MB on its way through 3DECG-Net on a GPU, and 40 MB on the CPU, where larger batches
    /// gain nothing.
    pub(crate) fn windows_at_a_time(&self) -> usize {
        match (self.architecture.input(), self.device) {
            (InputKind::Volume, Device::Cpu) => 4,
            (InputKind::Volume, _) => 32,
            (InputKind::Signal, _) => 64,
        }
    }

    /// Returns the output of each layer with parameters for a batch, with the layer's path, in order, without training.
    ///
    /// The output of a dense layer is the one after its activation. Axes are those of libtorch, `[n, channel, axis..]`,
    /// except for the convolutional LSTMs, `[n, depth, channel, height, width]`, and the dense layers,
    /// `[n, axis.., channel]`.
    ///
    /// # Errors
    /// The same as those of [`Network::forward_logits`].
    pub fn activations(&self, x: &Tensor) -> Result<Vec<(String, Tensor)>, ModelError> {
        let layers = self.trace(self.input(x)?)?.into_iter().filter(|layer| !layer.path.is_empty());
        Ok(layers.map(|layer| (layer.path, layer.output)).collect())
    }

    /// Returns the layers with their shapes, parameters and operations, as seen while a record of zeros goes through
    /// them.
    ///
    /// # Errors
    /// libtorch fails, for instance because memory runs out.
    pub fn summary(&self) -> Result<Summary, ModelError> {
        Ok(Summary::new(self, self.trace_of_zeros()?))
    }

    /// Traces all layers that a record of zeros goes through, in the parameters' number type.
    ///
    /// The trace is the same in any type, and libtorch may have to emulate `bf16`.
    fn trace_of_zeros(&self) -> Result<Vec<Seen>, ModelError> {
        let shape = self.architecture.input_shape().iter().map(|&n| n as i64);
        let shape: Vec<i64> = [1].into_iter().chain(shape).collect();
        let x = Tensor::f_zeros(&shape, (self.kind, self.device)).doing("create an input")?;
        self.trace(x)
    }

    /// Traces all layers that a batch from [`Network::input`] goes through, without training.
    fn trace(&self, x: Tensor) -> Result<Vec<Seen>, ModelError> {
        let taps = RefCell::default();
        let _logits = no_grad(|| self.run(x, self.pass(false, Some(&taps))))?;
        Ok(taps.into_inner().into_layers())
    }

    fn pass<'a>(&self, train: bool, taps: Option<&'a RefCell<Trace>>) -> Pass<'a> {
        let statistics_rate = self.statistics_rate;
        Pass { train, dropout: train && self.dropout, statistics_rate, taps, tape: None }
    }

    /// Checks the shape of a batch, and moves it to the device and number type that the network takes.
    fn input(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let expected = self.architecture.input_shape();
        let found: Vec<usize> = x.size().into_iter().map(|n| n as usize).collect();
        if found.len() != expected.len() + 1 || found[1..] != *expected {
            return Err(ModelError::Input {
                model: self.architecture.name(),
                expected: expected.to_vec(),
                found,
            });
        }
        if found[0] == 0 {
            return Err(ModelError::RowCount { what: "or more records", expected: 1, found: 0 });
        }
        let kind = match self.precision() {
            Precision::F32 => self.kind,
            Precision::Bf16 => Kind::BFloat16,
        };
        x.f_to_device(self.device)
            .and_then(|x| x.f_to_kind(kind))
            .doing("move a batch to the device")
    }

    fn run(&self, x: Tensor, pass: Pass<'_>) -> Result<Tensor, ModelError> {
        let forward = || {
            if let Some(taps) = pass.taps {
                taps.borrow_mut().push("", Op::Input, Channels::Last, &[], &x);
            }
            match &self.net {
                Net::ThreeDEcgNet(net) => net.forward(&x, pass),
                Net::Zhang(net) => net.forward(&x, pass),
                Net::Sobahi(net) => net.forward(&x, pass),
                Net::Ribeiro(net) => net.forward(&x, pass),
                Net::ResNet1d(net) => net.forward(&x, pass),
            }?
            .f_to_kind(self.kind)
        };
        forward().doing("run a network")
    }

    /// Returns the parameters that training changes, by name, in the order in which they were created.
    pub fn trainable(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.iter().filter(|p| p.trainable).map(|p| (p.name.as_str(), &p.tensor))
    }

    /// Returns the running statistics of the normalisations, by name, in the order in which they were created.
    pub fn buffers(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.iter().filter(|p| !p.trainable).map(|p| (p.name.as_str(), &p.tensor))
    }

    /// Returns everything that a weights file holds: parameters and running statistics, in the order in which they were
    /// created.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.iter().map(|p| (p.name.as_str(), &p.tensor))
    }

    /// Returns the number of values in [`Network::tensors`], and how many of them are trained.
    pub fn parameter_count(&self) -> (usize, usize) {
        let count = |(_, tensor): (&str, &Tensor)| tensor.numel();
        (self.tensors().map(count).sum(), self.trainable().map(count).sum())
    }

    /// Sets whether dropout is active in training. Default: true.
    pub fn set_dropout(&mut self, on: bool) {
        self.dropout = on;
    }

    /// Returns the number type of the arithmetic: what was set, or [`Precision::F32`] if the parameters are not `f32`.
    pub fn precision(&self) -> Precision {
        if self.kind == Kind::Float { self.precision } else { Precision::F32 }
    }

    /// Sets the number type of the arithmetic. Default: [`Precision::F32`].
    ///
    /// A network whose parameters are not `f32` computes in their type, whatever is set here; it takes effect in a copy
    /// with `f32` parameters ([`Network::to_kind`]).
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// Sets the share of each training batch in the running statistics of the normalisations. Default: 0.01, as in
    /// Keras.
    ///
    /// If training has few batches, the running statistics keep up better with a larger share.
    pub fn set_statistics_rate(&mut self, share: f64) {
        self.statistics_rate = share;
    }

    /// Copies the values of another network of the same architecture, mode and labels into this one.
    ///
    /// Number types and devices may differ.
    ///
    /// # Errors
    /// The architecture, the mode or the number of labels differs; then nothing is copied.
    pub fn copy_from(&mut self, other: &Network) -> Result<(), ModelError> {
        self.check_same(other, |net| {
            format!("{} ({}), {} labels", net.architecture, net.mode, net.n_labels)
        })?;
        self.fresh.set(other.is_fresh());
        self.copy_parameters(other, |_| true)
    }

    /// Copies the values of another network of the same architecture and mode into this one, except those of the last
    /// layer, and returns the names of the tensors that were left as they were.
    ///
    /// The last layer is the only one whose shapes depend on the number of labels, which may differ. It is left as it
    /// is even if the number is the same. Number types and devices may differ. Afterwards the parameters are no longer
    /// [fresh](Network::is_fresh).
    ///
    /// To train the network further, state where the body comes from: `TrainConfig::of(architecture,
    /// mode).with_start("...")`. [`TrainConfig::with_start`](crate::TrainConfig::with_start) also turns off fitting the
    /// start, which the recipe of the corrected 3DECG-Net does: it would discard what was copied, and is refused
    /// ([`ModelError::NotFresh`]). The new last layer then starts from random values, not from the frequencies of the
    /// labels.
    ///
    /// ```
    /// use ecg3d_models::tch::Device;
    /// use ecg3d_models::{Architecture, Network, Preset, TrainConfig};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (architecture, mode) = (Architecture::ResNet1d, Preset::Corrected);
    /// let trained = Network::new(architecture, mode, 7, Device::Cpu, 1)?; // or read from a file
    /// let mut network = Network::new(architecture, mode, 3, Device::Cpu, 2)?;
    /// assert_eq!(network.copy_body_from(&trained)?, ["dense.kernel", "dense.bias"]);
    /// let recipe = TrainConfig::of(architecture, mode).with_start("all layers but the last of FILE, SHA-256 ...");
    /// # assert!(!recipe.fit_start);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The architecture or the mode differs ([`ModelError::OtherNetwork`]); then nothing is copied.
    pub fn copy_body_from(&mut self, other: &Network) -> Result<Vec<String>, ModelError> {
        self.check_same(other, |net| format!("{} ({})", net.architecture, net.mode))?;
        let layer = |name: &str| name.rsplit_once('.').map(|(layer, _)| layer.to_owned());
        let last = self.last_kernel().and_then(|(name, _)| layer(name));
        let is_left = |name: &str| layer(name) == last;
        self.set_used();
        self.copy_parameters(other, |name| !is_left(name))?;
        let left = self.tensors().map(|(name, _)| name).filter(|&name| is_left(name));
        Ok(left.map(str::to_owned).collect())
    }

    /// Returns the name and the kernel `[label, input]` of the last layer, the only one whose shapes depend on the
    /// number of labels.
    pub(crate) fn last_kernel(&self) -> Option<(&str, &Tensor)> {
        self.trainable().filter(|(_, tensor)| tensor.dim() == 2).last()
    }

    /// Refuses another network if its description differs from this one's.
    fn check_same(
        &self,
        other: &Network,
        describe: impl Fn(&Network) -> String,
    ) -> Result<(), ModelError> {
        let (found, expected) = (describe(other), describe(self));
        if found == expected {
            return Ok(());
        }
        Err(ModelError::OtherNetwork { found, expected })
    }

    /// Copies the tensors whose names `is_copied` accepts from a network with the same names.
    fn copy_parameters(
        &mut self,
        other: &Network,
        is_copied: impl Fn(&str) -> bool,
    ) -> Result<(), ModelError> {
        no_grad(|| {
            let pairs = self.parameters.iter_mut().zip(&other.parameters);
            for (own, theirs) in pairs.filter(|(own, _)| is_copied(&own.name)) {
                own.tensor.f_copy_(&theirs.tensor)?;
            }
            Ok(())
        })
        .doing("copy the parameters of a network")
    }

    /// Fills every parameter and running statistic with what `value` returns for its name and present tensor.
    pub(crate) fn fill(
        &mut self,
        mut value: impl FnMut(&str, &Tensor) -> Result<Tensor, ModelError>,
    ) -> Result<(), ModelError> {
        self.set_used();
        for own in &mut self.parameters {
            let new = value(&own.name, &own.tensor)?;
            no_grad(|| own.tensor.f_copy_(&new)).doing("set a parameter")?;
        }
        Ok(())
    }

    /// Returns a copy with its own parameters in another number type, for instance `f64` for comparisons.
    ///
    /// To gain speed, use [`Network::set_precision`], which leaves the parameters as they are. The copy has the same
    /// setting, which takes effect only if its parameters are `f32`: otherwise it computes in their type.
    ///
    /// # Errors
    /// libtorch refuses the conversion.
    pub fn to_kind(&self, kind: Kind) -> Result<Self, ModelError> {
        self.copied(self.device, kind)
    }

    /// Returns a copy with its own parameters on another device.
    ///
    /// # Errors
    /// libtorch can't use the device.
    pub fn to_device(&self, device: Device) -> Result<Self, ModelError> {
        self.copied(device, self.kind)
    }

    fn copied(&self, device: Device, kind: Kind) -> Result<Self, ModelError> {
        let Self { architecture, mode, n_labels, .. } = *self;
        let mut copy = Self::start(architecture, mode, n_labels, device, kind, Start::Blank)?;
        copy.copy_from(self)?;
        for (copy, own) in copy.parameters.iter().zip(&self.parameters) {
            let _ = copy.tensor.set_requires_grad(own.tensor.requires_grad());
        }
        copy.precision = self.precision;
        copy.dropout = self.dropout;
        copy.statistics_rate = self.statistics_rate;
        Ok(copy)
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::kernels;

    fn network(architecture: Architecture, mode: Preset) -> Network {
        Network::new(architecture, mode, 7, Device::Cpu, 1).expect("builds")
    }

    #[test]
    fn parameter_counts_are_kerass() {
        let count = |arch| network(arch, Preset::Published).parameter_count();
        assert_eq!(count(Architecture::ThreeDEcgNet), (270_416, 270_000));
        assert_eq!(count(Architecture::Sobahi).0, 7_000_383);
        assert_eq!(count(Architecture::Zhang).0, 2_582_823);
        let (all, trained) = count(Architecture::Ribeiro);
        assert_eq!(all, 6_432_999);
        assert!(trained < all);
    }

    #[test]
    fn both_modes_of_ribeiro_run_and_differ() {
        let x = Tensor::arange(2 * 1200, (Kind::Float, Device::Cpu)).sin().reshape([2, 12, 100]);
        let logits =
            |mode| network(Architecture::Ribeiro, mode).forward_logits(&x, false).expect("runs");
        let (published, corrected) = (logits(Preset::Published), logits(Preset::Corrected));
        assert_eq!(published.size(), [2, 7]);
        assert!((published - corrected).abs().max().double_value(&[]) > 1e-3);
    }

    #[test]
    fn wrong_shapes_are_errors() {
        let net = network(Architecture::Ribeiro, Preset::Corrected);
        let refused = |shape: &[i64]| {
            let x = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
            net.forward_logits(&x, false).expect_err("a wrong shape").to_string()
        };
        for shape in [&[2i64, 12, 99][..], &[12, 100], &[0, 12, 99], &[1, 45, 45, 45]] {
            assert!(refused(shape).contains("ribeiro takes a batch of shape [n, 12, 100]"));
        }
        assert_eq!(refused(&[0, 12, 100]), "expected 1 or more records, found 0");
    }

    #[test]
    fn every_network_trains_in_both_modes_and_precisions() {
        for architecture in Architecture::ALL {
            let shape: Vec<i64> = [2]
                .into_iter()
                .chain(architecture.input_shape().iter().map(|&n| n as i64))
                .collect();
            let count: i64 = shape.iter().product();
            let x = Tensor::arange(count, (Kind::Float, Device::Cpu)).sin().reshape(&shape);
            // If libtorch emulates bf16, networks that read volumes would take minutes.
            let precision = match Precision::Bf16.is_native(architecture, Device::Cpu) {
                false if architecture.input() == InputKind::Volume => Precision::F32,
                _ => Precision::Bf16,
            };
            for mode in [Preset::Published, Preset::Corrected] {
                let mut net = network(architecture, mode);
                let logits =
                    |net: &Network| tch::no_grad(|| net.forward_logits(&x, false)).expect("runs");
                let exact = logits(&net);
                net.set_precision(precision);
                let difference = (logits(&net) - &exact).abs().max().double_value(&[]);
                let peak = exact.abs().max().double_value(&[]);
                // With fresh running statistics, numbers grow beyond what a probability shows.
                assert!(
                    difference < 5e-2 * (1.0 + peak),
                    "{architecture} {mode}: {difference} of {peak}"
                );
                let forward = net.forward_train(&x).expect("runs");
                let loss = forward.logits().square().mean(Kind::Float);
                forward.backward(&loss).expect("goes back");
                for (name, parameter) in net.trainable() {
                    let norm = parameter.grad().abs().max().double_value(&[]);
                    assert!(norm.is_finite(), "{architecture} {mode}: {name}");
                    // The keys and queries of the published heads learn nothing, nor do parameters whose effect a
                    // normalisation removes.
                    let idle = mode == Preset::Published
                        && (name.contains(".key.") || name.contains(".query."));
                    let offset = name.ends_with("bias") || name.ends_with("beta");
                    assert!(idle || offset || norm > 0.0, "{architecture} {mode}: {name}");
                }
            }
        }
    }

    #[test]
    fn normalisations_in_the_kernels_are_the_same() {
        for (architecture, mode) in [
            (Architecture::ThreeDEcgNet, Preset::Corrected),
            (Architecture::ThreeDEcgNet, Preset::Published),
            (Architecture::Sobahi, Preset::Corrected),
        ] {
            let mut net = network(architecture, mode);
            net.set_statistics_rate(0.5);
            let options = (Kind::Float, Device::Cpu);
            let x = Tensor::arange(2 * 91_125, options).sin().reshape([2, 45, 45, 45]);
            // Running statistics that differ from the initial ones.
            for _ in 0..3 {
                let _logits = tch::no_grad(|| net.forward_logits(&x, true)).expect("runs");
            }
            let folded = tch::no_grad(|| net.forward_logits(&x, false)).expect("runs");
            // Looking at the layers gets every one of them separately.
            let apart = net.activations(&x).expect("runs").pop().expect("layers").1;
            let difference = (folded.sigmoid() - apart.sigmoid()).abs().max().double_value(&[]);
            assert!(difference < 1e-5, "{architecture} {mode}: {difference}");
            assert!(
                difference > 0.0,
                "{architecture} {mode}: the same arithmetic, nothing was folded"
            );
        }
    }

    #[test]
    fn what_is_not_a_number_comes_out_of_3decg_net() {
        let mut net = network(Architecture::ThreeDEcgNet, Preset::Corrected);
        let x = Tensor::arange(91_125, (Kind::Float, Device::Cpu)).sin().reshape([1, 45, 45, 45]);
        let lost = |net: &Network, x: &Tensor| -> Vec<&'static str> {
            let logits = tch::no_grad(|| net.forward_logits(x, false)).expect("runs");
            let trained = net.forward_train(x).expect("runs");
            [("predicting", &logits), ("training", trained.logits())]
                .into_iter()
                .filter(|(_, logits)| !bool::try_from(logits.isnan().all()).expect("one value"))
                .map(|(pass, _)| pass)
                .collect()
        };
        let poisoned = x.copy();
        let _ = poisoned.view(-1).get(50_000).fill_(f64::NAN);
        for precision in [Precision::F32, Precision::Bf16] {
            net.set_precision(precision);
            assert_eq!(lost(&net, &poisoned), [""; 0], "a sample of the input, {precision}");
        }
        net.set_precision(Precision::F32);
        for (name, parameter) in net.trainable() {
            let value = tch::no_grad(|| parameter.view(-1).get(0));
            let own = value.double_value(&[]);
            let _ = tch::no_grad(|| value.shallow_clone().fill_(f64::NAN));
            // A parameter of one label affects only that label, and training sets running statistics anew.
            let own_label = name.starts_with("dense_3");
            assert!(own_label || lost(&net, &x).is_empty(), "{name}: {:?}", lost(&net, &x));
            let _ = tch::no_grad(|| value.shallow_clone().fill_(own));
            for (_, buffer) in net.buffers() {
                let _ = tch::no_grad(|| buffer.shallow_clone().fill_(1.0));
            }
        }
    }

    #[test]
    fn what_a_network_is_made_of_is_seen_without_imitation() {
        let mut net = network(Architecture::Ribeiro, Preset::Corrected);
        net.set_precision(Precision::Bf16);
        let seen = net.trace_of_zeros().expect("runs");
        assert!(seen.iter().all(|layer| layer.output.kind() == Kind::Float));
        let x = Tensor::zeros([1, 12, 100], (Kind::Float, Device::Cpu));
        let (_, first) = net.activations(&x).expect("runs").remove(0);
        assert_eq!(first.kind(), Kind::BFloat16, "who looks into a network sees it as it is");
    }

    #[test]
    fn many_threads_predict_at_once_with_a_network_under_lock() {
        let net = network(Architecture::ThreeDEcgNet, Preset::Corrected);
        let logits = |net: &Network, k: i64| -> Vec<f32> {
            let x = Tensor::arange(91_125, (Kind::Float, Device::Cpu)) + k;
            let x = x.sin().reshape([1, 45, 45, 45]);
            let logits = tch::no_grad(|| net.forward_logits(&x, false)).expect("runs");
            kernels::values::<f32>(&logits).expect("f32").to_vec()
        };
        let expected: Vec<_> = (0..6).map(|k| logits(&net, k)).collect();
        let locked = std::sync::Mutex::new(net);
        // A thread of a pool that holds the lock must not start another of these calls while it waits for its own.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("a pool");
        let found: Vec<_> = pool.install(|| {
            let of = |k: i64| logits(&locked.lock().expect("a network"), k);
            (0..6).into_par_iter().map(of).collect()
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn gradients_are_recorded_whatever_is_frozen() {
        let net = network(Architecture::ThreeDEcgNet, Preset::Corrected);
        let x = Tensor::arange(91_125, (Kind::Float, Device::Cpu)).sin().reshape([1, 45, 45, 45]);
        let parameter = |name: &str| {
            let mut all = net.trainable();
            all.find(|(found, _)| *found == name).expect("a parameter").1.shallow_clone()
        };
        let (first, later) = (parameter("conv_lstm_1.kernel"), parameter("block_1.conv_1.kernel"));
        let _ = first.set_requires_grad(false);
        net.forward_logits(&x, false).expect("runs").sum(Kind::Float).backward();
        assert!(later.grad().abs().max().double_value(&[]) > 0.0, "without training");
        let x = x.set_requires_grad(true);
        let forward = net.forward_train(&x).expect("runs");
        let loss = forward.logits().sum(Kind::Float);
        forward.backward(&loss).expect("goes back");
        assert!(x.grad().abs().max().double_value(&[]) > 0.0, "of the input");
        assert!(!first.grad().defined(), "of what is frozen");
        // The biases, which libtorch asks about first; then all parameters of a convolutional LSTM.
        let _ = first.set_requires_grad(true);
        let x = x.detach();
        let _ = parameter("conv_lstm_1.bias").set_requires_grad(false);
        net.forward_logits(&x, true).expect("runs").sum(Kind::Float).backward();
        assert!(first.grad().abs().max().double_value(&[]) > 0.0, "of a kernel without bias");
        let double = net.to_kind(Kind::Double).expect("copies");
        let frozen = |name: &str| name.starts_with("conv_lstm_1.");
        for (_, own) in double.trainable().filter(|(name, _)| frozen(name)) {
            let _ = own.shallow_clone().set_requires_grad(false);
        }
        let forward = double.forward_train(&x).expect("runs");
        let loss = forward.logits().sum(Kind::Double);
        forward.backward(&loss).expect("goes back");
        let learned = double.trainable().filter(|(_, own)| own.grad().defined());
        assert!(learned.map(|(name, _)| name).all(|name| !frozen(name)));
    }

    #[test]
    fn only_a_network_of_the_same_labels_is_copied() {
        let architecture = Architecture::ResNet1d;
        let mut seven = network(architecture, Preset::Corrected);
        let of = |labels, seed| {
            Network::new(architecture, Preset::Corrected, labels, Device::Cpu, seed)
                .expect("builds")
        };
        let error = seven.copy_from(&of(1, 2)).expect_err("one label").to_string();
        assert!(error.contains("1 labels, expected resnet1d (corrected), 7 labels"), "{error}");
        let same = |a: &Network, b: &Network| {
            a.tensors().zip(b.tensors()).all(|((_, a), (_, b))| a.equal(b))
        };
        assert!(same(&seven, &network(architecture, Preset::Corrected)), "nothing is copied");
        let other = of(7, 2);
        seven.copy_from(&other).expect("copies");
        assert!(same(&seven, &other));
        // Their parameters have the same names and shapes.
        let mut corrected = network(Architecture::Ribeiro, Preset::Corrected);
        let published = network(Architecture::Ribeiro, Preset::Published);
        let error = corrected.copy_from(&published).expect_err("another mode").to_string();
        assert!(error.contains("found ribeiro (published), 7 labels"), "{error}");
    }

    #[test]
    fn all_layers_but_the_last_are_copied_from_a_network_of_other_labels() {
        for architecture in Architecture::ALL {
            for mode in [Preset::Published, Preset::Corrected] {
                let [other, mut net] = [1, 7].map(|labels| {
                    let (device, kind) = (Device::Cpu, Kind::Float);
                    Network::start(architecture, mode, labels, device, kind, Start::Blank)
                        .expect("builds")
                });
                let left = net.copy_body_from(&other).expect("copies");
                let pairs = net.tensors().zip(other.tensors());
                let differ = pairs.filter(|((_, own), (_, theirs))| own.size() != theirs.size());
                let differ: Vec<&str> = differ.map(|((name, _), _)| name).collect();
                assert_eq!(left, differ, "{architecture} {mode}");
                assert_eq!(left.len(), 2, "a kernel and a bias: {left:?}");
            }
        }
        let of = |labels, seed| {
            Network::new(Architecture::ResNet1d, Preset::Corrected, labels, Device::Cpu, seed)
                .expect("builds")
        };
        let other = of(3, 2);
        for labels in [3, 7] {
            let (mut net, before) = (of(labels, 1), of(labels, 1));
            let left = net.copy_body_from(&other).expect("copies");
            assert_eq!(left, ["dense.kernel", "dense.bias"]);
            assert!(!net.is_fresh());
            let all = net.tensors().zip(before.tensors()).zip(other.tensors());
            for (((name, own), (_, old)), (_, theirs)) in all {
                let expected = if name.starts_with("dense.") { old } else { theirs };
                assert!(own.equal(expected), "{name}");
            }
        }
        let mut net = network(Architecture::Ribeiro, Preset::Corrected);
        let published = network(Architecture::Ribeiro, Preset::Published);
        let error = net.copy_body_from(&published).expect_err("another mode").to_string();
        let said = "found ribeiro (published), expected ribeiro (corrected)";
        assert!(error.contains(said), "{error}");
        assert!(net.is_fresh(), "nothing is copied");
    }

    #[test]
    fn a_loop_by_hand_uses_parameters_up() {
        let x = Tensor::ones([2, 12, 100], (Kind::Float, Device::Cpu));
        let net = network(Architecture::Ribeiro, Preset::Corrected);
        let _logits = no_grad(|| net.forward_logits(&x, false)).expect("runs");
        assert!(net.forward_train(&x.narrow(2, 0, 99)).is_err());
        assert!(net.is_fresh());
        let _forward = net.forward_train(&x).expect("runs");
        assert!(!net.is_fresh());
        let net = network(Architecture::Ribeiro, Preset::Corrected);
        let _logits = net.forward_logits(&x, true).expect("runs");
        assert!(!net.is_fresh());
    }

    #[test]
    fn fresh_parameters_are_fitted_to_a_batch() {
        let mut net = network(Architecture::ThreeDEcgNet, Preset::Corrected);
        net.set_dropout(false);
        net.set_statistics_rate(0.0);
        let x = Tensor::arange(3 * 91_125, (Kind::Float, Device::Cpu)).sin();
        let x = x.reshape([3, 45, 45, 45]);
        let wanted = [-2.0, -1.0, 0.0, 0.5, 1.0, -3.0, -0.25];
        assert!(net.fit_start(&x, &wanted[..6]).is_err(), "a logit is missing");
        net.fit_start(&x, &wanted).expect("fits");
        assert!(net.is_fresh());
        let logits = no_grad(|| net.forward_logits(&x, true)).expect("runs");
        let means = Vec::<f32>::try_from(logits.mean_dim([0i64].as_slice(), false, None));
        for (found, wanted) in means.expect("a vector").into_iter().zip(wanted) {
            // Our loops and libtorch's differ by rounding, which standardising the units magnifies.
            assert!((f64::from(found) - wanted).abs() < 1e-2, "{found}, expected {wanted}");
        }
        let spread = logits.std_dim([0i64].as_slice(), false, false);
        assert!(spread.min().double_value(&[]) > 0.01, "it tells no records apart");
    }

    #[test]
    fn parameters_that_are_not_fresh_are_not_fitted() {
        let mut net = network(Architecture::ThreeDEcgNet, Preset::Corrected);
        let x = Tensor::zeros([1, 45, 45, 45], (Kind::Float, Device::Cpu));
        let before: Vec<Tensor> = net.tensors().map(|(_, own)| own.detach().copy()).collect();
        net.set_used();
        assert!(matches!(net.fit_start(&x, &[0.0; 7]), Err(ModelError::NotFresh)));
        assert!(net.tensors().zip(&before).all(|((_, own), old)| own.equal(old)));
        // Networks that are not fitted stay as they are.
        let mut other = network(Architecture::Ribeiro, Preset::Corrected);
        other.set_used();
        let x = Tensor::zeros([1, 12, 100], (Kind::Float, Device::Cpu));
        other.fit_start(&x, &[0.0; 7]).expect("does nothing");
    }

    #[test]
    fn gradients_by_hand_are_as_good_as_libtorchs() {
        let mut net = network(Architecture::ThreeDEcgNet, Preset::Corrected);
        net.set_dropout(false);
        let x =
            Tensor::arange(2 * 91_125, (Kind::Float, Device::Cpu)).sin().reshape([2, 45, 45, 45]);
        net.fit_start(&x, &[0.0; 7]).expect("fits");
        let x = x.narrow(0, 0, 1);
        let gradients = |net: &Network| -> Vec<Tensor> {
            net.trainable()
                .map(|(_, parameter)| {
                    // A copy, because a gradient that is `f64` already would be zeroed with the parameter's own.
                    let gradient = parameter.grad().to_kind(Kind::Double).copy();
                    parameter.shallow_clone().zero_grad();
                    gradient
                })
                .collect()
        };
        let by_libtorch = |net: &Network| {
            net.forward_logits(&x, true).expect("runs").sum(net.kind()).backward();
            gradients(net)
        };
        let by_hand = |net: &Network| {
            let forward = net.forward_train(&x).expect("runs");
            let loss = forward.logits().sum(net.kind());
            forward.backward(&loss).expect("goes back");
            gradients(net)
        };
        let double = net.to_kind(Kind::Double).expect("copies");
        let exact = by_libtorch(&double);
        // For this number type there are no kernels of our own, as on a GPU; the units at zero are the same.
        for (((name, _), ours), exact) in double.trainable().zip(by_hand(&double)).zip(&exact) {
            let (off, norm) = ((ours - exact).norm(), exact.norm());
            let (off, norm) = (off.double_value(&[]), norm.double_value(&[]));
            assert!(off <= 1e-9 * (norm + 1.0), "{name}: off by {off} of {norm}");
        }
        let theirs = by_libtorch(&net);
        for (((name, _), ours), (theirs, exact)) in
            net.trainable().zip(by_hand(&net)).zip(theirs.iter().zip(&exact))
        {
            let off = |gradient: &Tensor| (gradient - exact).norm().double_value(&[]);
            let (ours, theirs, norm) = (off(&ours), off(theirs), exact.norm().double_value(&[]));
            // Rounding flips a few of the units that are at zero and of the maxima among equals, and not the same ones
            // in both. A bias right before a normalisation has no gradient except rounding noise.
            assert!(
                ours <= 3.0 * theirs + 1e-4 * (norm + 1.0),
                "{name}: off by {ours}, libtorch by {theirs}, of {norm}"
            );
        }
    }

    #[test]
    fn f64_copies_agree_and_do_not_share() {
        let mut net = network(Architecture::Ribeiro, Preset::Corrected);
        net.set_precision(Precision::Bf16);
        let mut copy = net.to_kind(Kind::Double).expect("copies");
        assert_eq!(copy.precision(), Precision::F32);
        // It computes in its parameters' type, whatever is set.
        copy.set_precision(Precision::Bf16);
        assert_eq!(copy.precision(), Precision::F32);
        assert_eq!(net.to_kind(Kind::Float).expect("copies").precision(), Precision::Bf16);
        net.set_precision(Precision::F32);
        let x = Tensor::ones([1, 12, 100], (Kind::Float, Device::Cpu));
        let (a, b) = (net.forward_logits(&x, false), copy.forward_logits(&x, false));
        let (a, b) = (a.expect("runs"), b.expect("runs"));
        assert_eq!(b.kind(), Kind::Double);
        // f32 rounding through 10 layers whose sums have thousands of terms.
        assert!((a - b).abs().max().double_value(&[]) < 1e-4);
    }
}
