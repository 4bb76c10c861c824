use tch::{Kind, TchError, Tensor};

use super::{Channels, Op, Pass, Result};
use crate::init::Init;
use crate::params::Builder;

mod fused;
mod tensors;

pub(crate) use fused::{Kept, Steps};

/// A convolutional LSTM (Shi et al., NeurIPS 2015) without peepholes, as in Keras.
///
/// The gates are i, f, c, o, with a hard sigmoid on the gates and tanh inside. The bias belongs to the input
/// convolution, and states start at zero.
#[derive(Debug)]
pub(crate) struct ConvLstm2d {
    path: String,
    kernel: Tensor,
    recurrent: Tensor,
    bias: Tensor,
}

impl ConvLstm2d {
    pub(crate) fn new(
        b: &mut Builder,
        path: &str,
        size: usize,
        [input, filters]: [usize; 2],
    ) -> Result<Self> {
        let gates = 4 * filters;
        Ok(Self {
            path: path.to_owned(),
            kernel: b.weight(
                format!("{path}.kernel"),
                &[size, size, input, gates],
                Init::GlorotUniform,
            )?,
            recurrent: b.weight(
                format!("{path}.recurrent_kernel"),
                &[size, size, filters, gates],
                Init::Orthogonal,
            )?,
            bias: b.weight(format!("{path}.bias"), &[gates], Init::ForgetGate)?,
        })
    }

    /// `[n, step, input, height, width]` -> the states after each step, `[n, step, filter, height, width]`.
    ///
    /// The output is `[step, n, height, width, filter]` in memory, which is also the fastest order for the input.
    pub(crate) fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let size = x.size();
        let [n, steps, input, height, width] = size[..] else {
            return Err(TchError::Shape(format!("expected 5 axes, found {size:?}")));
        };
        // The contribution of the input to all gates at all steps, in one convolution.
        let rows = x.f_permute([1, 0, 3, 4, 2])?.f_reshape([steps * n, height, width, input])?;
        let shape = [steps, n, height, width];
        // If gradients are recorded, libtorch runs the steps, unless there is a tape for our own backward pass.
        let y = if pass.tape.is_none() && self.is_recorded(&rows)? {
            plain(self.gates(&rows)?, shape)?
        } else {
            tensors::forward(self.scaled_gates(&rows)?, shape, pass)?
        };
        let y = y.f_permute([1, 0, 4, 2, 3])?;
        pass.show(&self.path, Op::ConvLstm2d { kernel: &self.kernel }, Channels::Third, &[x], &y);
        Ok(y)
    }

    /// Returns a layer that shares these parameters.
    pub(crate) fn share(&self) -> Self {
        Self {
            path: self.path.clone(),
            kernel: self.kernel.shallow_clone(),
            recurrent: self.recurrent.shallow_clone(),
            bias: self.bias.shallow_clone(),
        }
    }

    pub(crate) fn kernel(&self) -> &Tensor {
        &self.kernel
    }

    /// Returns whether libtorch would record gradients for something made of `rows` now.
    fn is_recorded(&self, rows: &Tensor) -> Result<bool> {
        // The result of an operation on a parameter requires a gradient only while gradients are enabled.
        let learns = |parameter: &Tensor| -> Result<bool> {
            Ok(parameter.f_narrow(0, 0, 1)?.f_mul_scalar(1.0)?.requires_grad())
        };
        Ok(rows.requires_grad()
            || learns(&self.kernel)?
            || learns(&self.recurrent)?
            || learns(&self.bias)?)
    }

    /// Returns the gates for `rows`, `[step * n, height, width, input]`.
    fn gates(&self, rows: &Tensor) -> Result<Gates> {
        Gates::new(rows, &self.kernel, &self.recurrent, &self.bias)
    }

    /// Does the same with the hard sigmoids of i, f and o folded in: their slope 0.2 into kernels and bias, their 0.5
    /// into the bias. Only the clipping to 0 and 1 remains.
    fn scaled_gates(&self, rows: &Tensor) -> Result<Gates> {
        let options = (self.kernel.f_kind()?, self.kernel.device());
        let filters = self.recurrent.size()[1];
        let per_gate = |sigmoids: f64, tanh: f64| -> Result<Tensor> {
            let values = Tensor::f_full([4 * filters], sigmoids, options)?;
            let _ = values.f_narrow(0, 2 * filters, filters)?.f_fill_(tanh)?;
            Ok(values)
        };
        let slope = per_gate(0.2, 1.0)?;
        let bias = self.bias.f_mul(&slope)?.f_add(&per_gate(0.5, 0.0)?)?;
        let slope = slope.f_view([-1, 1, 1, 1])?;
        let recurrent = channels_last(&self.recurrent.f_mul(&slope)?)?;
        Gates::new(rows, &self.kernel.f_mul(&slope)?, &recurrent, &bias)
    }
}

/// The data with which the steps start.
struct Gates {
    /// The contribution of the input, bias included, `[step * n, height, width, gate]`.
    of_input: Tensor,
    /// The kernel for the contribution of the states.
    recurrent: Tensor,
}

impl Gates {
    /// Computes in the number type of `rows`.
    fn new(rows: &Tensor, kernel: &Tensor, recurrent: &Tensor, bias: &Tensor) -> Result<Self> {
        let kind = rows.f_kind()?;
        let of_input = conv(rows, &kernel.f_to_kind(kind)?, Some(&bias.f_to_kind(kind)?))?;
        Ok(Self { of_input, recurrent: recurrent.f_to_kind(kind)? })
    }

    /// Returns the kernel that takes gradients of a step's gates back to the states before it.
    ///
    /// The transposed convolution is a convolution with the kernel flipped and its channels exchanged.
    fn turned(&self) -> Result<Tensor> {
        self.recurrent.f_detach()?.f_transpose(0, 1)?.f_flip([2, 3])
    }
}

/// Returns a kernel `[output, input, height, width]` with its channels last in memory, like those of the states.
fn channels_last(kernel: &Tensor) -> Result<Tensor> {
    kernel.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

/// Runs a convolution with the channels last: `[n, height, width, input]` -> `[n, height, width, output]`, in this
/// order in memory.
fn conv(x: &Tensor, kernel: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let padding = [kernel.size()[2] / 2, kernel.size()[3] / 2];
    let one = [1i64, 1];
    let y = x.f_permute([0, 3, 1, 2])?.f_conv2d(kernel, bias, one, padding, one, 1)?;
    y.f_permute([0, 2, 3, 1])?.f_contiguous()
}

/// Runs the steps as operations that libtorch records: `[step * n, height, width, gate]` ->
/// `[step, n, height, width, filter]`.
fn plain(gates: Gates, [steps, n, height, width]: [i64; 4]) -> Result<Tensor> {
    let Gates { of_input, recurrent } = gates;
    // `unbind` once, because each `select` at a step would cost a gradient tensor of the full size.
    let per_step = of_input.f_reshape([steps, n, height, width, -1])?.f_unbind(0)?;
    let mut states: Vec<Tensor> = Vec::with_capacity(per_step.len());
    let mut cell: Option<Tensor> = None;
    for from_input in per_step {
        let gates = match states.last() {
            Some(state) => conv(state, &recurrent, None)?.f_add(&from_input)?,
            None => from_input,
        };
        let [i, f, c, o] = &gates.f_chunk(4, -1)?[..] else {
            return Err(TchError::Shape("a convolutional LSTM needs four gates".to_owned()));
        };
        let fresh = hard_sigmoid(i)?.f_mul(&c.f_tanh()?)?;
        let new_cell = match &cell {
            Some(old) => hard_sigmoid(f)?.f_mul(old)?.f_add(&fresh)?,
            None => fresh,
        };
        states.push(hard_sigmoid(o)?.f_mul(&new_cell.f_tanh()?)?);
        cell = Some(new_cell);
    }
    Tensor::f_stack(&states, 0)
}

/// clip(0.2 x + 0.5, 0, 1); libtorch's own has slope 1/6.
fn hard_sigmoid(x: &Tensor) -> Result<Tensor> {
    x.f_mul_scalar(0.2)?.f_add_scalar(0.5)?.f_clamp(0.0, 1.0)
}

/// Returns `[step * n, height, width, gate]` as `[step, n, height, width, gate]`, detached from the graph.
fn step_views(gates: &Tensor, [steps, n, height, width]: [i64; 4]) -> Result<Tensor> {
    gates.f_detach()?.f_view([steps, n, height, width, -1])
}

/// Lets libtorch continue from the gradients of the gates' sums, `[step, n, height, width, gate]`, to the contribution
/// of the input and the recurrent kernel.
fn gradients(states: &Tensor, gates: &Gates, of_sums: &Tensor) -> Result<()> {
    // The gradient of the sum of a tensor's product with a constant is the constant. (`dot` would be slow in bf16.)
    let product = |x: &Tensor, dx: &Tensor| x.f_mul(&dx.f_view_as(x)?)?.f_sum(None::<Kind>);
    let mut sum = product(&gates.of_input, of_sums)?;
    let steps = of_sums.size()[0];
    if steps > 1 {
        let earlier = states.f_detach()?.f_narrow(0, 0, steps - 1)?.f_flatten(0, 1)?;
        let later = of_sums.f_narrow(0, 1, steps - 1)?;
        sum = sum.f_add(&product(&conv(&earlier, &gates.recurrent, None)?, &later)?)?;
    }
    if sum.requires_grad() { sum.f_backward() } else { Ok(()) }
}
