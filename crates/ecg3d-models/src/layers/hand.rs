//! Forward and backward passes in this crate's own loops, on the CPU.
//!
//! libtorch would go over memory many times, and multiply more. Tensors have the channels last here, in memory too. A
//! pass in training keeps what the backward pass needs; libtorch records nothing.

use tch::{Device, Kind, Tensor};

use super::{BN_EPSILON, BatchNorm, Conv, Pass, Result};
use crate::kernels::convolution::{self, Around, Grid, Kernel};
use crate::kernels::rows::{self, Matrix, NormBack, ScaleShift};
use crate::kernels::{Element, values, values_mut};

/// Returns an uninitialised tensor of this type.
pub(crate) fn empty<T: Element>(shape: &[i64]) -> Result<Tensor> {
    Tensor::f_empty(shape, (T::KIND, Device::Cpu))
}

/// Returns the values of a parameter, whether it is trained or not.
pub(crate) fn parameter(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(values::<f32>(&tensor.f_detach()?.f_contiguous()?)?.to_vec())
}

/// Parameters together with their gradients.
#[derive(Debug, Default)]
pub(crate) struct Gradients(Vec<(Tensor, Tensor)>);

impl Gradients {
    /// Adds the gradient of a parameter, in the parameter's order of values.
    pub(crate) fn add(&mut self, parameter: &Tensor, gradient: &[f32]) -> Result<()> {
        let gradient = Tensor::f_from_slice(gradient)?.f_view_as(parameter)?;
        self.0.push((parameter.shallow_clone(), gradient));
        Ok(())
    }

    /// Adds the gradients to those that the parameters have.
    pub(crate) fn hand_over(self) -> Result<()> {
        // The gradient of the sum of a parameter's product with a constant is the constant.
        let mut sum = Tensor::f_zeros([0i64; 0], (Kind::Float, Device::Cpu))?;
        for (parameter, gradient) in self.0.iter().filter(|(p, _)| p.requires_grad()) {
            sum = sum.f_add(&parameter.f_mul(gradient)?.f_sum(None::<Kind>)?)?;
        }
        if sum.requires_grad() { sum.f_backward() } else { Ok(()) }
    }
}

/// Returns a convolution of images `[image, axis.., channel]`, and the sums of each image's channels,
/// `[image, channel]`.
pub(crate) fn convolve<T: Element>(
    x: &Tensor,
    kernel: &Kernel,
    around: &Around<'_>,
) -> Result<(Tensor, Vec<f64>)> {
    let mut shape = x.size();
    let [_, output] = kernel.channels();
    let grid = grid(&shape);
    let channel = shape.len() - 1;
    shape[channel] = output as i64;
    let mut y = empty::<T>(&shape)?;
    let sums = convolution::convolve::<T>(values(x)?, kernel, grid, around, values_mut(&mut y)?)?;
    Ok((y, sums))
}

/// Returns the grid of `[image, depth, height, width, channel]` or `[image, height, width, channel]`.
pub(crate) fn grid(shape: &[i64]) -> Grid {
    let at = |from_end: usize| shape[shape.len() - from_end] as usize;
    let depth = if shape.len() == 5 { at(4) } else { 1 };
    Grid { images: shape[0] as usize, depth, height: at(3), width: at(2) }
}

/// Returns a kernel `[output, input, axis..]` in the form that the loops take.
pub(crate) fn ready<T: Element>(kernel: &Tensor) -> Result<Kernel> {
    let size = kernel.size();
    let channels = [size[1], size[0]].map(|n| n as usize);
    Kernel::new::<T>(&parameter(kernel)?, size.len() as u32 - 2, channels)
}

/// Returns the kernel of the convolution that takes gradients back: flipped, and with its channels exchanged.
pub(crate) fn ready_back<T: Element>(kernel: &Tensor) -> Result<Kernel> {
    let axes: Vec<i64> = (2..kernel.dim() as i64).collect();
    ready::<T>(&kernel.f_detach()?.f_transpose(0, 1)?.f_flip(&axes)?)
}

/// Returns whether a network with this parameter can use the loops.
///
/// The parameters must be `f32`, the batch `f32` or `bf16`, and all of it on the CPU. The layers must not be traced,
/// the gradient of the input must not be needed, and libtorch must not have to record anything.
pub(crate) fn fits(parameter: &Tensor, x: &Tensor, pass: Pass<'_>) -> Result<bool> {
    let known = parameter.f_kind()? == Kind::Float
        && matches!(x.f_kind()?, Kind::Float | Kind::BFloat16)
        && x.device() == Device::Cpu;
    let way_back = if pass.train { pass.tape.is_some() } else { !records()? };
    Ok(known && way_back && pass.taps.is_none() && !x.requires_grad())
}

/// Returns whether libtorch records operations of this thread for gradients.
fn records() -> Result<bool> {
    let leaf = Tensor::f_zeros([0i64; 0], (Kind::Float, Device::Cpu))?.f_set_requires_grad(true)?;
    Ok(leaf.f_mul_scalar(1.0)?.requires_grad())
}

impl Conv {
    /// Returns a layer that shares these parameters.
    pub(crate) fn share(&self) -> Self {
        Self {
            path: self.path.clone(),
            kernel: self.kernel.shallow_clone(),
            bias: self.bias.as_ref().map(Tensor::shallow_clone),
            sizes: self.sizes.clone(),
            ..*self
        }
    }

    /// Goes back through this convolution, whose input was `x` transformed by `before`, and returns the gradient of
    /// that input.
    pub(crate) fn back_by_hand<T: Element>(
        &self,
        x: &Tensor,
        before: &ScaleShift,
        dy: &Tensor,
        gradients: &mut Gradients,
    ) -> Result<Tensor> {
        let before = Some([&before.scale[..], &before.shift]);
        let (kernel, bias) = kernel_gradient::<T>(x, &self.kernel, before, dy)?;
        gradients.add(&self.kernel, &kernel)?;
        if let Some(own) = &self.bias {
            gradients.add(own, &bias)?;
        }
        Ok(convolve::<T>(dy, &ready_back::<T>(&self.kernel)?, &Around::default())?.0)
    }

    /// Returns the kernel, and the bias or zeros.
    pub(crate) fn parameters(&self) -> Result<(&Tensor, Vec<f32>)> {
        let bias = match &self.bias {
            Some(bias) => parameter(bias)?,
            None => vec![0.0; self.kernel.size()[0] as usize],
        };
        Ok((&self.kernel, bias))
    }

    /// Adds the gradients of a kernel that is a matrix, and of the bias.
    pub(crate) fn take(
        &self,
        kernel: &[f32],
        bias: &[f32],
        gradients: &mut Gradients,
    ) -> Result<()> {
        gradients.add(&self.kernel, kernel)?;
        match &self.bias {
            Some(own) => gradients.add(own, bias),
            None => Ok(()),
        }
    }
}

/// Returns the gradients of a kernel and of a bias.
pub(crate) fn kernel_gradient<T: Element>(
    x: &Tensor,
    kernel: &Tensor,
    before: Option<[&[f32]; 2]>,
    dy: &Tensor,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let size = kernel.size();
    let channels = [size[1], size[0]].map(|n| n as usize);
    let axes = size.len() as u32 - 2;
    convolution::kernel_gradient::<T>(
        values(x)?,
        values(dy)?,
        axes,
        channels,
        grid(&x.size()),
        before,
    )
}

/// A normalisation by the statistics of a batch, kept for the backward pass.
#[derive(Debug)]
pub(crate) struct Norm {
    pub by: ScaleShift,
    pub(super) mean: Vec<f32>,
    pub(super) reciprocal: Vec<f32>,
    gamma: Tensor,
    beta: Tensor,
}

impl BatchNorm {
    /// Returns the normalisation by the running statistics.
    pub(crate) fn running(&self) -> Result<ScaleShift> {
        let (scale, shift) = self.scale_and_shift()?;
        Ok(ScaleShift { scale: parameter(&scale)?, shift: parameter(&shift)? })
    }

    /// Returns the normalisation by the statistics of `x`, `[.., channel]`, and updates the running ones with weight
    /// `share`.
    pub(crate) fn of_batch<T: Element>(&self, x: &[T], share: f64) -> Result<Norm> {
        let channels = self.gamma.numel();
        self.of_moments(&rows::moments(x, channels)?, x.len() / channels, share)
    }

    /// Returns the normalisation by the mean and biased variance of each channel over `n` values.
    ///
    /// Updates the running statistics with weight `share`, using the unbiased variance.
    pub(super) fn of_moments(&self, moments: &[(f64, f64)], n: usize, share: f64) -> Result<Norm> {
        let n = n as f64;
        let (gamma, beta) = (parameter(&self.gamma)?, parameter(&self.beta)?);
        let (mut means, mut variances) = (self.mean.shallow_clone(), self.variance.shallow_clone());
        let running = values_mut::<f32>(&mut means)?.iter_mut();
        let running = running.zip(values_mut::<f32>(&mut variances)?);
        let mix = |old: &mut f32, new: f64| {
            *old = (f64::from(*old) * (1.0 - share) + new * share) as f32;
        };
        for ((mean, variance), (own_mean, own_variance)) in moments.iter().zip(running) {
            mix(own_mean, *mean);
            mix(own_variance, variance * n / (n - 1.0));
        }
        let reciprocal: Vec<f64> =
            moments.iter().map(|(_, variance)| (variance + BN_EPSILON).sqrt().recip()).collect();
        let scale: Vec<f64> =
            gamma.iter().zip(&reciprocal).map(|(gamma, r)| f64::from(*gamma) * r).collect();
        let shift = beta.iter().zip(&scale).zip(moments);
        let shift = shift.map(|((beta, scale), (mean, _))| f64::from(*beta) - mean * scale);
        let single = |values: &[f64]| values.iter().map(|x| *x as f32).collect::<Vec<_>>();
        Ok(Norm {
            by: ScaleShift { shift: shift.map(|x| x as f32).collect(), scale: single(&scale) },
            mean: moments.iter().map(|(mean, _)| *mean as f32).collect(),
            reciprocal: single(&reciprocal),
            gamma: self.gamma.shallow_clone(),
            beta: self.beta.shallow_clone(),
        })
    }
}

impl Norm {
    /// Turns gradients `dz` of the output of a ReLU, which follows this normalisation of `y`, into gradients of `y`.
    ///
    /// Also adds the product of another tensor and a matrix to them, if there is one.
    pub(crate) fn back<T: Element>(
        &self,
        y: &[T],
        dz: &mut [T],
        more: Option<(&[T], &Matrix)>,
        gradients: &mut Gradients,
    ) -> Result<()> {
        let sums = rows::sums_where_positive(dz, y, &self.by, &self.mean)?;
        let n = y.len() / self.mean.len();
        let back = NormBack::new(&self.by, &self.mean, &self.reciprocal, &sums, n);
        rows::norm_back(y, &back, more, dz)?;
        let [of_beta, with] = sums;
        let of_gamma = with.iter().zip(&self.reciprocal).map(|(sum, r)| *sum as f32 * r);
        gradients.add(&self.gamma, &of_gamma.collect::<Vec<_>>())?;
        gradients.add(&self.beta, &of_beta.iter().map(|sum| *sum as f32).collect::<Vec<_>>())
    }
}
