use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor, no_grad};

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
/// `[output, input, kernel..]`. A network is `Send` but, as [`Tensor`], not `Sync`.
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
}

/// Number type of the arithmetic on batches.
///
/// Written `f32`, `bf16` on command lines and in files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// That of the parameters, `f32` unless they were converted. The default. (On a GPU, cuDNN rounds the factors of convolutions in
    /// `f32` to TF32, 10 bits, unless the variable `NVIDIA_TF32_OVERRIDE` is 0.)
    #[default]
    F32,
    /// `bf16` in convolutions and what goes from one to the next; parameters, statistics of normalisations,
    /// attention, dense layers and the loss stay as they are, and so do cell states where 3DECG-Net predicts on the CPU. Twice as quick or more where
    /// the processor or GPU has it ([`Precision::is_native`]), many times as slow elsewhere. 3DECG-Net on the CPU multiplies it where the
    /// processor has Intel's AMX, and only stores it elsewhere: as quick as `f32` then or a little quicker, training in half the memory.
    Bf16,
}

impl Precision {
    /// The name on command lines and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Whether a network on a device needs no instructions for this type, or has them, to predict and to train
    /// ([`Network::forward_train`]); elsewhere libtorch imitates them, which takes many times as long as `f32`. GPUs are taken to have
    /// them. What looks into a network ([`Network::activations`], gradients of the input) goes through libtorch with any.
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

    /// `bf16` where a network gains by it on a device, else `f32`.
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

/// A batch on its way through a network in training: the logits, and what leads back from them.
#[derive(Debug)]
pub struct Forward {
    logits: Tensor,
    tape: Tape,
}

impl Forward {
    /// Logits `[n, label]`.
    pub fn logits(&self) -> &Tensor {
        &self.logits
    }

    /// Adds the gradients of `loss`, a number computed from the logits, to those of the parameters.
    ///
    /// # Errors
    /// A failure of libtorch, such as too little memory.
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
    /// A network with fresh parameters in `f32`, by Keras's initialisers.
    ///
    /// They depend on the architecture, the mode, the number of labels and the seed alone: every machine gets the same.
    ///
    /// # Errors
    /// libtorch cannot use the device.
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
        .doing("make the parameters of a network")?;
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
        })
    }

    /// Which network this is.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Whether the network is the study's program or its text.
    pub fn mode(&self) -> Preset {
        self.mode
    }

    /// Number of labels.
    pub fn n_labels(&self) -> usize {
        self.n_labels
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The parameters' number type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Logits `[n, label]` of a batch: volumes `[n, 45, 45, 45]` or prepared signals `[n, 12, 100]`, see
    /// [`Architecture::input_shape`], of any float type and on any device.
    ///
    /// With `train`, the batch's own statistics normalise and update the running ones, dropout acts (see
    /// [`Network::set_dropout`]), and gradients are recorded. Without, call it inside [`tch::no_grad`].
    ///
    /// # Errors
    /// A batch of another shape, or empty; a failure of libtorch, such as too little memory.
    pub fn forward_logits(&self, x: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        self.run(self.input(x)?, self.pass(train, None))
    }

    /// As [`Network::forward_logits`] with `train`, for gradients: 3DECG-Net on the CPU goes forth and back in loops of its own,
    /// which take a fraction of the time and memory, and on a GPU its convolutional LSTMs go back by hand. A batch that wants its own
    /// gradient goes through libtorch but for those.
    ///
    /// ```
    /// use ecg3d_models::{Architecture, Network, Preset, bce_from_logits};
    /// use tch::{Device, Kind, Tensor};
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
    /// As [`Network::forward_logits`].
    pub fn forward_train(&self, x: &Tensor) -> Result<Forward, ModelError> {
        let tape = Tape::default();
        let pass = Pass { tape: Some(&tape), ..self.pass(true, None) };
        let logits = self.run(self.input(x)?, pass)?;
        Ok(Forward { logits, tape })
    }

    /// Fits fresh parameters of 3DECG-Net, corrected, to a batch: scales and shifts the attention heads, so that their outputs have
    /// the mean 0 and a fixed standard deviation, and the hidden dense layers, so that the same holds for each unit before its
    /// activation; and shifts the last layer, so that the mean of each label's logits is that of `logits`, `[label]`. Other networks need
    /// nothing of the kind and stay as they are. After Mishkin and Matas, "All you need is a good init", ICLR 2016, and, by unit,
    /// Salimans and Kingma, "Weight normalization", NIPS 2016.
    ///
    /// # Errors
    /// As [`Network::forward_logits`]; for 3DECG-Net, corrected, another number of logits than of labels.
    pub fn fit_start(&mut self, x: &Tensor, logits: &[f64]) -> Result<(), ModelError> {
        self.begin(x, Some(logits), false)
    }

    /// [`Network::fit_start`] if there are logits, and the heads are held where they are for the batch if that is wanted: until they are
    /// released, [`Network::forward_train`] has them as [`TrainConfig::hold_heads`](crate::TrainConfig::hold_heads) says.
    pub(crate) fn begin(
        &mut self,
        x: &Tensor,
        logits: Option<&[f64]>,
        hold: bool,
    ) -> Result<(), ModelError> {
        let mut x = self.input(x)?;
        if self.device == Device::Cpu {
            // This goes through libtorch, which may have to imitate `bf16`.
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

    /// The network whose heads can be held: 3DECG-Net, corrected.
    fn holdable(&self) -> Option<&ThreeDEcgNet> {
        match &self.net {
            Net::ThreeDEcgNet(net) if self.mode == Preset::Corrected => Some(net),
            _ => None,
        }
    }

    /// Brings held heads up to date with the last batch, after the step.
    pub(crate) fn settle_heads(&mut self) -> Result<(), ModelError> {
        let settle = |net: &ThreeDEcgNet| no_grad(|| net.settle_heads(self.statistics_rate));
        self.holdable().map_or(Ok(()), settle).doing("settle the heads")
    }

    /// Lets held heads go.
    pub(crate) fn release_heads(&mut self) {
        if let Some(net) = self.holdable() {
            net.release_heads();
        }
    }

    /// What held heads go on with in another process, `[layer, 2]`; `None` if none are held.
    pub(crate) fn held_heads(&self) -> Result<Option<Tensor>, ModelError> {
        self.holdable().map_or(Ok(None), ThreeDEcgNet::held).doing("read what is held")
    }

    /// The shape of [`Network::held_heads`], for a network with heads to hold.
    pub(crate) fn held_shape(&self) -> Option<[i64; 2]> {
        self.holdable().map(|net| [net.held_count() as i64, 2])
    }

    /// Holds the heads as [`Network::held_heads`] has it.
    pub(crate) fn restore_heads(&mut self, held: &Tensor) -> Result<(), ModelError> {
        let restore = |net: &ThreeDEcgNet| net.restore_held(held);
        self.holdable().map_or(Ok(()), restore).doing("hold the heads")
    }

    /// How many windows go through at a time where nobody says how many.
    ///
    /// A volume takes about 150 MB on its way through 3DECG-Net on a GPU; on the CPU 40, and larger batches gain nothing.
    pub(crate) fn windows_at_a_time(&self) -> usize {
        match (self.architecture.input(), self.device) {
            (InputKind::Volume, Device::Cpu) => 4,
            (InputKind::Volume, _) => 32,
            (InputKind::Signal, _) => 64,
        }
    }

    /// What each layer with parameters makes of a batch, by the layer's path, in order, without training.
    ///
    /// A dense layer's output is taken after its activation. Axes are libtorch's, `[n, channel, axis..]`, but for the
    /// convolutional LSTMs, `[n, depth, channel, height, width]`, and dense layers, `[n, axis.., channel]`.
    ///
    /// # Errors
    /// As [`Network::forward_logits`].
    pub fn activations(&self, x: &Tensor) -> Result<Vec<(String, Tensor)>, ModelError> {
        let layers = self.trace(self.input(x)?)?.into_iter().filter(|layer| !layer.path.is_empty());
        Ok(layers.map(|layer| (layer.path, layer.output)).collect())
    }

    /// The layers with their shapes, parameters and operations, as seen while a record of zeros goes through them.
    ///
    /// # Errors
    /// A failure of libtorch, such as too little memory.
    pub fn summary(&self) -> Result<Summary, ModelError> {
        Ok(Summary::new(self, self.trace_of_zeros()?))
    }

    /// All layers that a record of zeros goes through, in the parameters' number type: what is seen is the same in any, and libtorch may
    /// have to imitate `bf16`.
    fn trace_of_zeros(&self) -> Result<Vec<Seen>, ModelError> {
        let shape = self.architecture.input_shape().iter().map(|&n| n as i64);
        let shape: Vec<i64> = [1].into_iter().chain(shape).collect();
        let x = Tensor::f_zeros(&shape, (self.kind, self.device)).doing("make an input")?;
        self.trace(x)
    }

    /// All layers that a batch, as [`Network::input`] has it, goes through, without training.
    fn trace(&self, x: Tensor) -> Result<Vec<Seen>, ModelError> {
        let taps = RefCell::default();
        let _logits = no_grad(|| self.run(x, self.pass(false, Some(&taps))))?;
        Ok(taps.into_inner().into_layers())
    }

    fn pass<'a>(&self, train: bool, taps: Option<&'a RefCell<Trace>>) -> Pass<'a> {
        let statistics_rate = self.statistics_rate;
        Pass { train, dropout: train && self.dropout, statistics_rate, taps, tape: None }
    }

    /// A batch of the right shape, where and as the network takes it.
    fn input(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let expected = self.architecture.input_shape();
        let found: Vec<usize> = x.size().into_iter().map(|n| n as usize).collect();
        if found.len() != expected.len() + 1 || found[1..] != *expected || found[0] == 0 {
            return Err(ModelError::Input {
                model: self.architecture.name(),
                expected: expected.to_vec(),
                found,
            });
        }
        let kind = match self.precision {
            Precision::F32 => self.kind,
            Precision::Bf16 => Kind::BFloat16,
        };
        x.f_to_device(self.device).and_then(|x| x.f_to_kind(kind)).doing("move a batch")
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

    /// The parameters that training changes, by name, in the order of their making.
    pub fn trainable(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.iter().filter(|p| p.trainable).map(|p| (p.name.as_str(), &p.tensor))
    }

    /// The running statistics of the normalisations, by name, in the order of their making.
    pub fn buffers(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.iter().filter(|p| !p.trainable).map(|p| (p.name.as_str(), &p.tensor))
    }

    /// All that a weights file holds: parameters and running statistics, in the order of their making.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.iter().map(|p| (p.name.as_str(), &p.tensor))
    }

    /// Number of values in [`Network::tensors`], and how many of them are trained.
    pub fn parameter_count(&self) -> (usize, usize) {
        let count = |(_, tensor): (&str, &Tensor)| tensor.numel();
        (self.tensors().map(count).sum(), self.trainable().map(count).sum())
    }

    /// Whether dropout acts while training. Default: true.
    pub fn set_dropout(&mut self, on: bool) {
        self.dropout = on;
    }

    /// Number type of the arithmetic.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Sets the number type of the arithmetic. Default: [`Precision::F32`].
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// Sets the share of each training batch in the running statistics of the normalisations. Default: 0.01, Keras's; with
    /// few batches to learn from, more keeps up better.
    pub fn set_statistics_rate(&mut self, share: f64) {
        self.statistics_rate = share;
    }

    /// Copies the values of another network of the same architecture, mode and labels into this one, whatever their
    /// number types and devices.
    ///
    /// # Errors
    /// A parameter's name or shape differs; then nothing is copied.
    pub fn copy_from(&mut self, other: &Network) -> Result<(), ModelError> {
        let same = |(own, theirs): (&Parameter, &Parameter)| {
            own.name == theirs.name && own.tensor.size() == theirs.tensor.size()
        };
        let fits = self.parameters.len() == other.parameters.len()
            && self.parameters.iter().zip(&other.parameters).all(same);
        no_grad(|| {
            if !fits {
                let [own, theirs] = [&*self, other].map(|net| {
                    format!("{} ({}), {} labels", net.architecture, net.mode, net.n_labels)
                });
                return Err(TchError::Shape(format!("{theirs}, into {own}")));
            }
            for (own, theirs) in self.parameters.iter_mut().zip(&other.parameters) {
                own.tensor.f_copy_(&theirs.tensor)?;
            }
            Ok(())
        })
        .doing("copy the parameters of a network")
    }

    /// Fills in every parameter and running statistic with what `value` has for its name and present tensor.
    pub(crate) fn fill(
        &mut self,
        mut value: impl FnMut(&str, &Tensor) -> Result<Tensor, ModelError>,
    ) -> Result<(), ModelError> {
        for own in &mut self.parameters {
            let new = value(&own.name, &own.tensor)?;
            no_grad(|| own.tensor.f_copy_(&new)).doing("fill in a parameter")?;
        }
        Ok(())
    }

    /// A copy with its own parameters of another number type: `f64` for comparisons. For speed see [`Network::set_precision`], which
    /// leaves parameters as they are.
    ///
    /// # Errors
    /// libtorch refuses.
    pub fn to_kind(&self, kind: Kind) -> Result<Self, ModelError> {
        self.copied(self.device, kind)
    }

    /// A copy with its own parameters on another device.
    ///
    /// # Errors
    /// libtorch cannot use the device.
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
        for shape in [&[2i64, 12, 99][..], &[12, 100], &[0, 12, 100], &[1, 45, 45, 45]] {
            let x = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
            let error = net.forward_logits(&x, false).expect_err("a wrong shape");
            assert!(error.to_string().contains("ribeiro takes a batch of shape [n, 12, 100]"));
        }
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
            // Where libtorch imitates it, networks of volumes would take minutes.
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
                // Fresh running statistics let numbers grow beyond what a probability shows.
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
                    // The published heads' keys and queries learn nothing, nor does what a normalisation takes away.
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
            // Running statistics that are not those of the start.
            for _ in 0..3 {
                let _logits = tch::no_grad(|| net.forward_logits(&x, true)).expect("runs");
            }
            let folded = tch::no_grad(|| net.forward_logits(&x, false)).expect("runs");
            // Whoever looks at the layers gets every one of them.
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
            // One label's own, and running statistics, which training sets anew.
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
        // A thread of a pool must not begin another of these while it waits for one, and holds the lock.
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
        // The biases, of which libtorch asks first; then all that a convolutional LSTM has.
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
        assert!(error.contains("copy the parameters"), "{error}");
        let same = |a: &Network, b: &Network| {
            a.tensors().zip(b.tensors()).all(|((_, a), (_, b))| a.equal(b))
        };
        assert!(same(&seven, &network(architecture, Preset::Corrected)), "nothing is copied");
        let other = of(7, 2);
        seven.copy_from(&other).expect("copies");
        assert!(same(&seven, &other));
    }

    #[test]
    fn fresh_parameters_are_fitted_to_a_batch() {
        let mut net = network(Architecture::ThreeDEcgNet, Preset::Corrected);
        net.set_dropout(false);
        net.set_statistics_rate(0.0);
        let x = Tensor::arange(3 * 91_125, (Kind::Float, Device::Cpu)).sin();
        let x = x.reshape([3, 45, 45, 45]);
        let wanted = [-2.0, -1.0, 0.0, 0.5, 1.0, -3.0, -0.25];
        net.fit_start(&x, &wanted).expect("fits");
        let logits = no_grad(|| net.forward_logits(&x, true)).expect("runs");
        let means = Vec::<f32>::try_from(logits.mean_dim([0i64].as_slice(), false, None));
        for (found, wanted) in means.expect("a vector").into_iter().zip(wanted) {
            // Our loops and libtorch's differ by rounding, which the standardised units magnify.
            assert!((f64::from(found) - wanted).abs() < 1e-2, "{found}, expected {wanted}");
        }
        let spread = logits.std_dim([0i64].as_slice(), false, false);
        assert!(spread.min().double_value(&[]) > 0.01, "it tells no records apart");
        assert!(net.fit_start(&x, &wanted[..6]).is_err(), "a logit is missing");
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
                    // A copy, since what is `f64` already would be zeroed with the parameter's own.
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
        // Without kernels of our own for this number type, as on a GPU; the units that stand at zero are the same.
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
            // Rounding flips a few of the units that stand at zero and of the largest of equals, in either another few; a bias
            // straight before a normalisation has no gradient but rounding noise.
            assert!(
                ours <= 3.0 * theirs + 1e-4 * (norm + 1.0),
                "{name}: off by {ours}, libtorch by {theirs}, of {norm}"
            );
        }
    }

    #[test]
    fn f64_copies_agree_and_do_not_share() {
        let net = network(Architecture::Ribeiro, Preset::Corrected);
        let copy = net.to_kind(Kind::Double).expect("copies");
        let x = Tensor::ones([1, 12, 100], (Kind::Float, Device::Cpu));
        let (a, b) = (net.forward_logits(&x, false), copy.forward_logits(&x, false));
        let (a, b) = (a.expect("runs"), b.expect("runs"));
        assert_eq!(b.kind(), Kind::Double);
        // f32 rounding through 10 layers of sums of thousands.
        assert!((a - b).abs().max().double_value(&[]) < 1e-4);
    }
}
