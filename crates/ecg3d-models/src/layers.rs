//! Layers with Keras's semantics in libtorch's layout: `[n, channel, axis..]`.
//!
//! Each layer knows its path, the prefix of its parameters' names. If activations are requested, it records its output
//! under this path.

use std::cell::RefCell;

use tch::{Device, Kind, TchError, Tensor, no_grad};

use crate::init::Init;
use crate::kernels;
use crate::params::Builder;
use crate::tape::Tape;
use crate::trace::{Channels, Op, Trace};

mod conv_lstm;
pub(crate) mod hand;

pub(crate) use conv_lstm::{ConvLstm2d, Kept, Steps};

pub(crate) type Result<T> = std::result::Result<T, TchError>;

/// How a batch goes through a network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a> {
    /// Whether normalisations use the statistics of the batch and update the running ones.
    pub train: bool,
    /// Whether dropout is active.
    pub dropout: bool,
    /// Share of the batch in the running statistics of the normalisations, 1 - Keras's momentum.
    pub statistics_rate: f64,
    /// Where each layer records what it took and made, if the layers are traced.
    pub taps: Option<&'a RefCell<Trace>>,
    /// Where layers leave backward passes of their own; without it, all backward passes are libtorch's.
    pub tape: Option<&'a Tape>,
}

impl Pass<'_> {
    /// Sets negative values to zero, in the memory of `x` unless the layers are traced.
    pub(crate) fn relu(&self, x: Tensor) -> Result<Tensor> {
        self.relu_shown(x, |y| Ok(y.shallow_clone()))
    }

    /// Does the same, and shows the output as `view` returns it: `[n, channel, axis..]`.
    fn relu_shown(
        &self,
        mut x: Tensor,
        view: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        if self.taps.is_none() {
            return x.f_relu_();
        }
        let y = x.f_relu()?;
        self.show("", Op::Relu, Channels::First, &[&x], &view(&y)?);
        Ok(y)
    }

    fn show(&self, path: &str, op: Op<'_>, channels: Channels, inputs: &[&Tensor], y: &Tensor) {
        if let Some(taps) = self.taps {
            taps.borrow_mut().push(path, op, channels, inputs, y);
        }
    }

    /// Shows an operation without parameters and returns its output, copied if the trace already holds its memory.
    pub(crate) fn step(
        &self,
        op: Op<'_>,
        channels: Channels,
        inputs: &[&Tensor],
        y: Tensor,
    ) -> Result<Tensor> {
        let Some(taps) = self.taps else { return Ok(y) };
        let y = if taps.borrow().holds(&y) { y.f_mul_scalar(1.0)? } else { y };
        self.show("", op, channels, inputs, &y);
        Ok(y)
    }

    /// Returns the sum of two tensors `[n, channel, axis..]`.
    pub(crate) fn add(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        self.step(Op::Add, Channels::First, &[x, y], x.f_add(y)?)
    }

    /// Joins tensors along the channels, which are axis `axis`.
    pub(crate) fn concatenate(&self, parts: &[Tensor], axis: i64) -> Result<Tensor> {
        let channels = if axis == 1 { Channels::First } else { Channels::Last };
        let inputs: Vec<&Tensor> = parts.iter().collect();
        self.step(Op::Concatenate, channels, &inputs, Tensor::f_cat(parts, axis)?)
    }

    /// `[n, axis..]` -> `[n, value]`.
    pub(crate) fn flatten(&self, x: &Tensor) -> Result<Tensor> {
        self.step(Op::Flatten, Channels::Last, &[x], x.f_flatten(1, -1)?)
    }
}

/// Returns the output of a layer that has a backward pass of its own, as a leaf.
///
/// Once the leaf has its gradient, `back` is called with the leaf, to go on from there.
pub(crate) fn hand_on(
    y: Tensor,
    tape: &Tape,
    back: impl FnOnce(&Tensor) -> Result<()> + 'static,
) -> Result<Tensor> {
    let leaf = y.f_detach()?.f_set_requires_grad(true)?;
    let out = leaf.shallow_clone();
    tape.push(move || back(&leaf));
    Ok(out)
}

/// How the ends of an axis are padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    Same,
    Valid,
}

/// Returns what Keras's `same` adds before and after an axis of length `n`; of an odd total, the smaller part comes
/// before.
pub(crate) fn same_padding(n: i64, kernel: i64, stride: i64) -> (i64, i64) {
    let total = (((n + stride - 1) / stride - 1) * stride + kernel - n).max(0);
    (total / 2, total - total / 2)
}

/// Pads the axes of `x` after the second like Keras's `same` does for `kernel` and `stride`.
fn pad_same(x: &Tensor, kernel: &[i64], stride: i64, value: f64) -> Result<Tensor> {
    // libtorch expects the last axis first.
    let sizes = x.size();
    let pads: Vec<i64> = sizes[2..]
        .iter()
        .zip(kernel)
        .rev()
        .flat_map(|(n, k)| {
            let (before, after) = same_padding(*n, *k, stride);
            [before, after]
        })
        .collect();
    if pads.iter().all(|p| *p == 0) {
        return Ok(x.shallow_clone());
    }
    x.f_pad(&pads, "constant", value)
}

/// A convolution over one or three axes.
#[derive(Debug)]
pub(crate) struct Conv {
    path: String,
    kernel: Tensor,
    bias: Option<Tensor>,
    sizes: Vec<i64>,
    stride: i64,
    padding: Padding,
}

/// Options of a [`Conv`]; [`ConvOptions::default`] has Keras's defaults, but `same` padding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvOptions {
    pub stride: i64,
    pub padding: Padding,
    pub bias: bool,
    pub init: Init,
}

impl Default for ConvOptions {
    fn default() -> Self {
        Self { stride: 1, padding: Padding::Same, bias: true, init: Init::GlorotUniform }
    }
}

impl Conv {
    pub(crate) fn new(
        b: &mut Builder,
        path: &str,
        sizes: &[usize],
        channels: [usize; 2],
        options: ConvOptions,
    ) -> Result<Self> {
        let shape = [sizes, &channels].concat();
        let kernel = b.weight(format!("{path}.kernel"), &shape, options.init)?;
        let bias = if options.bias {
            Some(b.weight(format!("{path}.bias"), &channels[1..], Init::Zeros)?)
        } else {
            None
        };
        let sizes = sizes.iter().map(|n| *n as i64).collect();
        let ConvOptions { stride, padding, .. } = options;
        Ok(Self { path: path.to_owned(), kernel, bias, sizes, stride, padding })
    }

    /// Returns a convolution over one axis without a bias and with He's initialiser, not Glorot's, as in the networks
    /// that read signals.
    pub(crate) fn he_1d(
        b: &mut Builder,
        path: &str,
        size: usize,
        channels: [usize; 2],
        stride: i64,
    ) -> Result<Self> {
        let (padding, init) = (Padding::Same, Init::HeNormal);
        let options = ConvOptions { stride, padding, bias: false, init };
        Self::new(b, path, &[size], channels, options)
    }

    /// `[n, input, axis..]` -> `[n, output, axis..]`.
    pub(crate) fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let y = self.convolve(x, &self.kernel, self.bias.as_ref())?;
        let op = Op::Conv { sizes: &self.sizes, stride: self.stride, padding: self.padding };
        pass.show(&self.path, op, Channels::First, &[x], &y);
        Ok(y)
    }

    /// Runs the convolution and a normalisation of its output.
    ///
    /// Unless the network trains or its layers are traced, this is a single convolution with another kernel and bias.
    /// The kernel is made anew each time. That costs nothing compared with a volume, but a network that reads signals
    /// has more values in its kernels than in its tensors.
    pub(crate) fn forward_normalised(
        &self,
        x: &Tensor,
        bn: &BatchNorm,
        pass: Pass<'_>,
    ) -> Result<Tensor> {
        if pass.train || pass.taps.is_some() {
            return bn.forward(&self.forward(x, pass)?, pass);
        }
        let (scale, shift) = bn.scale_and_shift()?;
        let bias = match &self.bias {
            Some(bias) => bias.f_mul(&scale)?.f_add(&shift)?,
            None => shift,
        };
        let mut shape = vec![1; self.kernel.dim()];
        shape[0] = -1;
        self.convolve(x, &self.kernel.f_mul(&scale.f_view(&shape[..])?)?, Some(&bias))
    }

    fn convolve(&self, x: &Tensor, kernel: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let rank = self.sizes.len();
        // If both ends are padded equally, libtorch can pad within the convolution.
        let mut padding = vec![0; rank];
        let mut padded = None;
        if self.padding == Padding::Same {
            let pads = || x.size().into_iter().skip(2).zip(&self.sizes);
            let pads = pads().map(|(n, k)| same_padding(n, *k, self.stride));
            if pads.clone().all(|(before, after)| before == after) {
                padding = pads.map(|(before, _)| before).collect();
            } else {
                padded = Some(pad_same(x, &self.sizes, self.stride, 0.0)?);
            }
        }
        let x = padded.as_ref().unwrap_or(x);
        let (stride, dilation) = (vec![self.stride; rank], vec![1; rank]);
        let given = x.f_kind()?;
        // On processors with AMX, libtorch 2.11's bf16 convolution of 12 channels (9 to 15, to be safe) gives wrong
        // sums.
        let broken = given == Kind::BFloat16
            && x.device() == Device::Cpu
            && (9..16).contains(&kernel.size()[1]);
        let kind = if broken { Kind::Float } else { given };
        let x = &x.f_to_kind(kind)?;
        let kernel = kernel.f_to_kind(kind)?;
        let bias = bias.map(|bias| bias.f_to_kind(kind)).transpose()?;
        let y = match rank {
            1 => x.f_conv1d(&kernel, bias.as_ref(), &stride, &padding, &dilation, 1)?,
            // A kernel of one position: a matrix product, which is faster with the channels last.
            3 if self.stride == 1 && self.sizes == [1; 3] => {
                let x = x.f_permute([0, 2, 3, 4, 1])?;
                x.f_linear(&kernel.f_flatten(1, -1)?, bias.as_ref())?.f_permute([0, 4, 1, 2, 3])?
            }
            _ => x.f_conv3d(&kernel, bias.as_ref(), &stride, &padding, &dilation, 1)?,
        };
        y.f_to_kind(given)
    }
}

/// Returns the maximum of each block of `size` along every axis after the second, with blocks `stride` apart.
pub(crate) fn max_pool(
    x: &Tensor,
    size: i64,
    stride: i64,
    padding: Padding,
    pass: Pass<'_>,
) -> Result<Tensor> {
    if size == 1 && stride == 1 {
        return Ok(x.shallow_clone());
    }
    let rank = x.dim() - 2;
    let sizes = vec![size; rank];
    let padded = match padding {
        Padding::Same => pad_same(x, &sizes, stride, f64::NEG_INFINITY)?,
        Padding::Valid => x.shallow_clone(),
    };
    let (none, one, strides) = (vec![0; rank], vec![1; rank], vec![stride; rank]);
    let y = match rank {
        1 => padded.f_max_pool1d(&sizes, &strides, &none, &one, false)?,
        _ => padded.f_max_pool3d(&sizes, &strides, &none, &one, false)?,
    };
    pass.step(Op::MaxPool { size, stride, padding }, Channels::First, &[x], y)
}

/// Returns volumes `[n, depth, height, width]` as `[n, 1, depth, height, width]`, so that convolutions keep their
/// channels last in memory.
pub(crate) fn channels_last(x: &Tensor) -> Result<Tensor> {
    x.f_contiguous()?.f_unsqueeze(-1)?.f_permute([0, 4, 1, 2, 3])
}

/// Batch normalisation over the second axis.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    path: String,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    variance: Tensor,
}

/// Keras's default for [`Pass::statistics_rate`].
pub(crate) const BN_UPDATE: f64 = 0.01;
const BN_EPSILON: f64 = 1e-3;

impl BatchNorm {
    pub(crate) fn new(b: &mut Builder, path: &str, channels: usize) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            gamma: b.weight(format!("{path}.gamma"), &[channels], Init::Ones)?,
            beta: b.weight(format!("{path}.beta"), &[channels], Init::Zeros)?,
            mean: b.buffer(format!("{path}.moving_mean"), &[channels], Init::Zeros)?,
            variance: b.buffer(format!("{path}.moving_variance"), &[channels], Init::Ones)?,
        })
    }

    /// Returns what the running statistics amount to for each channel: a factor and an addend, `[channel]`.
    pub(crate) fn scale_and_shift(&self) -> Result<(Tensor, Tensor)> {
        let scale = self.variance.f_add_scalar(BN_EPSILON)?.f_rsqrt()?.f_mul(&self.gamma)?;
        let shift = self.beta.f_sub(&self.mean.f_mul(&scale)?)?;
        Ok((scale, shift))
    }

    pub(crate) fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let n = x.numel() / self.gamma.numel();
        let refined = pass.train && n > 1 && is_refined(x)?;
        // libtorch updates the running variance with the unbiased batch variance, as Keras does for inputs of rank 4
        // and 5. For ranks 2 and 3, Keras uses the biased variance, and for a single value, which has no unbiased
        // variance, 0. The backward pass needs the tensor that was given to libtorch untouched, so that tensor is a
        // copy in these cases.
        let biased = pass.train && (x.dim() <= 3 || n == 1);
        let variance =
            if biased { self.variance.f_mul_scalar(1.0)? } else { self.variance.shallow_clone() };
        let (y, mean, deviation) = x.f_native_batch_norm(
            Some(&self.gamma),
            Some(&self.beta),
            Some(&self.mean),
            Some(&variance),
            pass.train,
            if refined { 0.0 } else { pass.statistics_rate },
            BN_EPSILON,
        )?;
        if biased {
            no_grad(|| -> Result<()> {
                let kept = self.variance.f_mul_scalar(1.0 - pass.statistics_rate)?;
                let share = (n as f64 - 1.0) / n as f64;
                let new = match n {
                    1 => kept,
                    _ => kept.f_add(&variance.f_sub(&kept)?.f_mul_scalar(share)?)?,
                };
                self.variance.shallow_clone().f_copy_(&new)
            })?;
        }
        if refined {
            no_grad(|| self.refine(x, &y, mean, deviation, pass.statistics_rate))?;
        }
        pass.show(&self.path, Op::BatchNorm, Channels::First, &[x], &y);
        Ok(y)
    }

    /// Repeats with exact sums what libtorch did in `f32` with the channels last.
    ///
    /// This covers the output, the mean and reciprocal deviation that libtorch keeps for the backward pass, and the
    /// running statistics.
    fn refine(
        &self,
        x: &Tensor,
        y: &Tensor,
        mut mean: Tensor,
        mut deviation: Tensor,
        share: f64,
    ) -> Result<()> {
        let (rows, mut out) = (as_rows(x)?, as_rows(y)?);
        let values = kernels::values::<f32>(&rows)?;
        let exact = kernels::moments(values, self.gamma.numel());
        let norm = self.of_moments(&exact, x.numel() / self.gamma.numel(), share)?;
        kernels::values_mut::<f32>(&mut mean)?.copy_from_slice(&norm.mean);
        kernels::values_mut::<f32>(&mut deviation)?.copy_from_slice(&norm.reciprocal);
        let out = kernels::values_mut::<f32>(&mut out)?;
        kernels::affine(values, &norm.by.scale, &norm.by.shift, out);
        Ok(())
    }
}

/// Returns `[n, channel, ..]` as `[n, .., channel]`, detached from the graph.
fn as_rows(x: &Tensor) -> Result<Tensor> {
    let axes: Vec<i64> = [0].into_iter().chain(2..x.dim() as i64).chain([1]).collect();
    x.f_detach()?.f_permute(&axes)
}

/// Returns whether libtorch would sum the channels of a batch one value after the other in `f32`.
fn is_refined(x: &Tensor) -> Result<bool> {
    let summed_so = x.dim() >= 4 && x.device() == Device::Cpu && x.f_kind()? == Kind::Float;
    Ok(summed_so && as_rows(x)?.is_contiguous())
}

impl BatchNorm {
    /// Normalises states `[n, step, channel, height, width]` and applies a ReLU, in the order that a convolutional LSTM
    /// has in memory: `[step, n, height, width, channel]`.
    pub(crate) fn forward_steps(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let size = x.f_transpose(0, 1)?.size();
        let merged = x.f_transpose(0, 1)?.f_flatten(0, 1)?;
        let y = self.forward(&merged, Pass { taps: None, ..pass })?;
        let apart = |y: &Tensor| y.f_reshape(&size)?.f_transpose(0, 1);
        let shown = |y: &Tensor| apart(y)?.f_transpose(1, 2);
        pass.show(&self.path, Op::BatchNorm, Channels::First, &[x], &shown(&y)?);
        apart(&pass.relu_shown(y, shown)?)
    }
}

/// A dense layer on the last axis.
#[derive(Debug)]
pub(crate) struct Dense {
    path: String,
    kernel: Tensor,
    bias: Option<Tensor>,
}

impl Dense {
    pub(crate) fn new(b: &mut Builder, path: &str, sizes: [usize; 2], init: Init) -> Result<Self> {
        let kernel = b.weight(format!("{path}.kernel"), &sizes, init)?;
        let bias = Some(b.weight(format!("{path}.bias"), &sizes[1..], Init::Zeros)?);
        Ok(Self { path: path.to_owned(), kernel, bias })
    }

    /// `[.., input]` -> `[.., output]`, without the bias.
    pub(crate) fn linear(&self, x: &Tensor) -> Result<Tensor> {
        x.f_to_kind(self.kernel.f_kind()?)?.f_linear::<&Tensor>(&self.kernel, None)
    }

    /// Adds the bias, if there is one, to an output of [`Dense::linear`].
    pub(crate) fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => y.f_add(bias),
            None => Ok(y.shallow_clone()),
        }
    }

    /// Multiplies each unit's kernel by `scale`, `[output]` or one number, and adds `change` to the bias, if it has
    /// one.
    pub(crate) fn rescale(&self, scale: &Tensor, change: &Tensor) -> Result<()> {
        no_grad(|| {
            let _ = self.kernel.shallow_clone().f_mul_(&scale.f_reshape([-1, 1])?)?;
            if let Some(bias) = &self.bias {
                let _ = bias.shallow_clone().f_add_(change)?;
            }
            Ok(())
        })
    }

    /// Scales and shifts the outputs so that those for `x` have the mean 0 and the given standard deviation, over all
    /// units together.
    ///
    /// Nothing happens if the outputs are practically equal. The layer must have a bias.
    pub(crate) fn standardise(&self, x: &Tensor, deviation: f64) -> Result<()> {
        self.standardise_columns(&self.linear(x)?.f_reshape([-1, 1])?, deviation)
    }

    /// Does the same for each unit separately: for `x` `[n, input]`.
    pub(crate) fn standardise_units(&self, x: &Tensor, deviation: f64) -> Result<()> {
        self.standardise_columns(&self.linear(x)?, deviation)
    }

    /// `y` holds the outputs without the bias, in one column for each unit or in a single one for all.
    fn standardise_columns(&self, y: &Tensor, deviation: f64) -> Result<()> {
        let (std, mean) = y.f_std_mean_dim([0i64].as_slice(), false, false)?;
        // Rounding alone gives a relative deviation of a ten-millionth.
        let usable = std.f_gt_tensor(&mean.f_abs()?.f_mul_scalar(1e-4)?)?;
        let scale = std.f_reciprocal()?.f_mul_scalar(deviation)?;
        let scale = scale.f_where_self(&usable, &scale.f_ones_like()?)?;
        let change = self.add_bias(&mean.f_mul(&scale)?)?.f_neg()?;
        self.rescale(&scale, &change.f_where_self(&usable, &change.f_zeros_like()?)?)
    }

    /// Shifts each unit so that the mean of its outputs for `x`, `[n, input]`, becomes the one in `means`, `[output]`.
    pub(crate) fn shift_means_to(&self, x: &Tensor, means: &Tensor) -> Result<()> {
        let found =
            self.add_bias(&self.linear(x)?.f_mean_dim([0i64].as_slice(), false, None)?)?;
        self.rescale(&found.f_ones_like()?, &means.f_sub(&found)?)
    }

    /// Returns the kernel `[output, input]`, and the bias if there is one.
    #[cfg(test)]
    pub(crate) fn parameters(&self) -> Vec<&Tensor> {
        std::iter::once(&self.kernel).chain(&self.bias).collect()
    }

    pub(crate) fn without_bias(b: &mut Builder, path: &str, sizes: [usize; 2]) -> Result<Self> {
        let kernel = b.weight(format!("{path}.kernel"), &sizes, Init::GlorotUniform)?;
        Ok(Self { path: path.to_owned(), kernel, bias: None })
    }

    /// `[.., input]` -> `[.., output]`, followed by `activation`.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        activation: Activation,
        pass: Pass<'_>,
    ) -> Result<Tensor> {
        let y = x.f_to_kind(self.kernel.f_kind()?)?.f_linear(&self.kernel, self.bias.as_ref())?;
        let (name, y) = match activation {
            Activation::Linear => ("linear", y),
            Activation::Relu => ("ReLU", y.f_relu()?),
            Activation::Sigmoid => ("sigmoid", y.f_sigmoid()?),
        };
        pass.show(&self.path, Op::Dense { activation: name }, Channels::Last, &[x], &y);
        Ok(y)
    }
}

/// The activation of a dense layer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Activation {
    Linear,
    Relu,
    Sigmoid,
}

/// Sets a fraction of the values to zero in training, and scales the others up.
pub(crate) fn dropout(x: &Tensor, share: f64, pass: Pass<'_>) -> Result<Tensor> {
    let y = if pass.dropout { x.f_dropout(share, true)? } else { x.shallow_clone() };
    pass.step(Op::Dropout { share }, Channels::First, &[x], y)
}

/// Squeeze and excitation (Hu et al., CVPR 2018): scales each channel by a gate computed from the means of all
/// channels.
#[derive(Debug)]
pub(crate) struct SqueezeExcite {
    squeeze: Dense,
    excite: Dense,
}

impl SqueezeExcite {
    pub(crate) fn new(
        b: &mut Builder,
        path: &str,
        channels: usize,
        squeezed: usize,
    ) -> Result<Self> {
        Ok(Self {
            squeeze: Dense::without_bias(b, &format!("{path}.squeeze"), [channels, squeezed])?,
            excite: Dense::without_bias(b, &format!("{path}.excite"), [squeezed, channels])?,
        })
    }

    /// Returns the kernels of the two dense layers.
    pub(crate) fn kernels(&self) -> [&Tensor; 2] {
        [&self.squeeze.kernel, &self.excite.kernel]
    }

    /// Returns the gates for channels with these means, `[n, channel]`.
    pub(crate) fn gates(&self, means: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let squeezed = self.squeeze.forward(means, Activation::Relu, pass)?;
        self.excite.forward(&squeezed, Activation::Sigmoid, pass)
    }

    /// Scales `x` `[n, channel, depth, height, width]` and adds `skip` of the same shape.
    pub(crate) fn forward(&self, x: &Tensor, skip: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let kind = self.squeeze.kernel.f_kind()?;
        let means = x.f_mean_dim([2i64, 3, 4].as_slice(), false, kind)?; // [n, channel]
        let means = pass.step(Op::GlobalAverage, Channels::First, &[x], means)?;
        let gate = self.gates(&means, pass)?;
        // The scaling is a product with a diagonal matrix. The gates' gradient is then such a product too, instead of a
        // tensor as large as `x` and its sum.
        let rows = |x: &Tensor| x.f_permute([0, 2, 3, 4, 1])?.f_flatten(1, 3);
        let scale = gate.f_to_kind(x.f_kind()?)?.f_diag_embed(0, -2, -1)?;
        let y = rows(skip)?.f_baddbmm(&rows(x)?, &scale, 1, 1)?;
        let size = x.size();
        let y = y.f_view([size[0], size[2], size[3], size[4], size[1]])?;
        let y = y.f_permute([0, 4, 1, 2, 3])?;
        pass.step(Op::ScaleAdd, Channels::First, &[x, &gate, skip], y)
    }
}

#[cfg(test)]
mod tests;
