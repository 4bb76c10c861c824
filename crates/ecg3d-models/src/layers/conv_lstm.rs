use tch::{Device, Kind, TchError, Tensor, no_grad};

use super::{Channels, Op, Pass, Result};
use crate::init::Init;
use crate::kernels::{self, Backward, Bf16, Element, FILTERS, Forward};
use crate::params::Builder;

/// A convolutional LSTM (Shi et al., NeurIPS 2015), without peepholes, as Keras has it: gates i, f, c, o; hard sigmoid
/// on the gates, tanh inside; the bias in the input convolution; states start at zero.
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
    /// The output's memory is `[step, n, height, width, filter]`, which is also the order that the input is quickest in.
    pub(crate) fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let size = x.size();
        let [n, steps, input, height, width] = size[..] else {
            return Err(TchError::Shape(format!("expected 5 axes, found {size:?}")));
        };
        let kind = x.f_kind()?;
        // The input's part of all gates at all steps in one convolution.
        let rows = x.f_permute([1, 0, 3, 4, 2])?.f_reshape([steps * n, height, width, input])?;
        let kernel = self.kernel.f_to_kind(kind)?;
        let bias = self.bias.f_to_kind(kind)?;
        let gates = conv(&rows, &kernel, Some(&bias))?;
        let recurrent = self.recurrent.f_to_kind(kind)?;
        let shape = [steps, n, height, width];
        // Recorded gradients are libtorch's, unless there is a tape for our own.
        let own = x.device() == Device::Cpu
            && recurrent.size()[1] as usize == FILTERS
            && (pass.tape.is_some() || !gates.requires_grad());
        let y = match kind {
            Kind::Float if own => fused::<f32>(gates, recurrent, shape, pass)?,
            Kind::BFloat16 if own => fused::<Bf16>(gates, recurrent, shape, pass)?,
            _ => plain(&gates, &recurrent, shape)?,
        };
        let y = y.f_permute([1, 0, 4, 2, 3])?;
        pass.show(&self.path, Op::ConvLstm2d { kernel: &self.kernel }, Channels::Third, &[x], &y);
        Ok(y)
    }
}

/// A convolution with the channels last: `[n, height, width, input]` -> `[n, height, width, output]`, in this order in
/// memory.
fn conv(x: &Tensor, kernel: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let padding = [kernel.size()[2] / 2, kernel.size()[3] / 2];
    let one = [1i64, 1];
    let y = x.f_permute([0, 3, 1, 2])?.f_conv2d(kernel, bias, one, padding, one, 1)?;
    y.f_permute([0, 2, 3, 1])?.f_contiguous()
}

/// The steps as libtorch's operations, on any device and in any number type: `[step * n, height, width, gate]` ->
/// `[step, n, height, width, filter]`.
fn plain(
    gates: &Tensor,
    recurrent: &Tensor,
    [steps, n, height, width]: [i64; 4],
) -> Result<Tensor> {
    // `unbind` once, because a `select` at each step would cost a whole gradient tensor each.
    let per_step = gates.f_reshape([steps, n, height, width, -1])?.f_unbind(0)?;
    let mut states: Vec<Tensor> = Vec::with_capacity(per_step.len());
    let mut cell: Option<Tensor> = None;
    for from_input in per_step {
        let gates = match states.last() {
            Some(state) => conv(state, recurrent, None)?.f_add(&from_input)?,
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

/// The same with the gates of a step in one loop on one thread of the CPU: others would compete with libtorch's own, which
/// stay awake between operations. With a tape, the way back is left on it.
///
/// The gates' memory is written over: with their values on the way forth, and with their gradients on the way back. That
/// spares two tensors of their size, and libtorch does not need the output of a convolution again.
fn fused<T: Element>(
    gates: Tensor,
    recurrent: Tensor,
    shape: [i64; 4],
    pass: Pass<'_>,
) -> Result<Tensor> {
    let [steps, n, height, width] = shape;
    let options = (T::KIND, Device::Cpu);
    let filters = FILTERS as i64;
    let states = Tensor::f_empty([steps, n, height, width, filters], options)?;
    let keep = if pass.tape.is_some() { steps } else { 0 };
    let cells = Tensor::f_empty([keep, n, height, width, filters], options)?;
    no_grad(|| -> Result<()> {
        let (gates, kernel) = (step_views(&gates, shape)?, recurrent.f_detach()?);
        let mut cell = Tensor::f_zeros([n, height, width, filters], (Kind::Float, Device::Cpu))?;
        for t in 0..steps {
            let from_state = match t {
                0 => Tensor::f_empty([0], options)?,
                _ => conv(&states.f_select(0, t - 1)?, &kernel, None)?,
            };
            let (mut gates, mut state) = (gates.f_select(0, t)?, states.f_select(0, t)?);
            let mut kept = match keep {
                0 => Tensor::f_empty([0], options)?,
                _ => cells.f_select(0, t)?,
            };
            let step = Forward::<T> {
                recurrent: kernels::values(&from_state)?,
                gates: kernels::values_mut(&mut gates)?,
                cell: kernels::values_mut(&mut cell)?,
                state: kernels::values_mut(&mut state)?,
                cells: kernels::values_mut(&mut kept)?,
            };
            step.run();
        }
        Ok(())
    })?;
    let Some(tape) = pass.tape else { return Ok(states) };
    let leaf = states.f_detach()?.f_set_requires_grad(true)?;
    let out = leaf.shallow_clone();
    tape.push(move || back::<T>(&leaf, &gates, &recurrent, &cells, shape));
    Ok(out)
}

/// `[step * n, height, width, gate]` as `[step, n, height, width, gate]`, without a graph.
fn step_views(gates: &Tensor, [steps, n, height, width]: [i64; 4]) -> Result<Tensor> {
    gates.f_detach()?.f_view([steps, n, height, width, 4 * FILTERS as i64])
}

/// Backpropagation through time from the gradient of the states, and through libtorch's graph of the gates and the recurrent
/// kernel.
fn back<T: Element>(
    states: &Tensor,
    gates: &Tensor,
    recurrent: &Tensor,
    cells: &Tensor,
    shape: [i64; 4],
) -> Result<()> {
    let [steps, n, height, width] = shape;
    let options = (T::KIND, Device::Cpu);
    let from_output = states.grad().f_contiguous()?;
    let inner = step_views(gates, shape)?;
    no_grad(|| -> Result<()> {
        // The transposed convolution is one with the kernel turned round and its channels exchanged.
        let turned = recurrent.f_detach()?.f_transpose(0, 1)?.f_flip([2, 3])?.f_contiguous()?;
        let filters = FILTERS as i64;
        let mut cell = Tensor::f_zeros([n, height, width, filters], (Kind::Float, Device::Cpu))?;
        let mut from_next = Tensor::f_empty([0], options)?;
        for t in (0..steps).rev() {
            let before = match t {
                0 => Tensor::f_empty([0], options)?,
                _ => cells.f_select(0, t - 1)?,
            };
            let at = |tensor: &Tensor| tensor.f_select(0, t);
            let (mut gates, cells, from_output) = (at(&inner)?, at(cells)?, at(&from_output)?);
            let step = Backward::<T> {
                gates: kernels::values_mut(&mut gates)?,
                cells: kernels::values(&cells)?,
                before: kernels::values(&before)?,
                from_output: kernels::values(&from_output)?,
                from_next: kernels::values(&from_next)?,
                cell: kernels::values_mut(&mut cell)?,
            };
            step.run();
            if t > 0 {
                from_next = conv(&gates, &turned, None)?;
            }
        }
        Ok(())
    })?;
    // The sum of a tensor's product with a constant has the constant for its gradient. (`dot` would be slow in bf16.)
    let product = |x: &Tensor, dx: &Tensor| x.f_mul(&dx.f_view_as(x)?)?.f_sum(None::<Kind>);
    let mut sum = product(gates, &inner)?;
    if steps > 1 {
        let earlier = states.f_detach()?.f_narrow(0, 0, steps - 1)?.f_flatten(0, 1)?;
        let later = inner.f_narrow(0, 1, steps - 1)?;
        sum = sum.f_add(&product(&conv(&earlier, recurrent, None)?, &later)?)?;
    }
    sum.f_backward()
}
