//! The steps with all that is done to a step's gates in one loop on one thread of the CPU: others would compete with
//! libtorch's own, which stay awake between operations.

use tch::{Device, Kind, Tensor, no_grad};

use super::{Gates, Pass, Result, conv, gradients, hand_on, step_views};
use crate::kernels::{self, Backward, Element, FILTERS, Forward};

/// `[step * n, height, width, gate]` -> `[step, n, height, width, filter]`. With a tape, the way back is left on it.
///
/// The gates' memory is written over: with their values on the way forth, and with their gradients on the way back. That
/// spares two tensors of their size, and libtorch does not need the output of a convolution again.
pub(super) fn forward<T: Element>(gates: Gates, shape: [i64; 4], pass: Pass<'_>) -> Result<Tensor> {
    let [steps, n, height, width] = shape;
    let options = (T::KIND, Device::Cpu);
    let filters = FILTERS as i64;
    let states = Tensor::f_empty([steps, n, height, width, filters], options)?;
    let keep = if pass.tape.is_some() { steps } else { 0 };
    let cells = Tensor::f_empty([keep, n, height, width, filters], options)?;
    no_grad(|| -> Result<()> {
        let (views, kernel) = (step_views(&gates.of_input, shape)?, gates.recurrent.f_detach()?);
        let mut cell = Tensor::f_zeros([n, height, width, filters], (Kind::Float, Device::Cpu))?;
        for t in 0..steps {
            let from_state = match t {
                0 => Tensor::f_empty([0], options)?,
                _ => conv(&states.f_select(0, t - 1)?, &kernel, None)?,
            };
            let (mut gates, mut state) = (views.f_select(0, t)?, states.f_select(0, t)?);
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
    hand_on(states, pass, move |leaf| back::<T>(leaf, &gates, &cells, shape))
}

/// Backpropagation through time from the gradient of the states, and through libtorch's graph of the gates and the recurrent
/// kernel.
fn back<T: Element>(states: &Tensor, gates: &Gates, cells: &Tensor, shape: [i64; 4]) -> Result<()> {
    let [steps, n, height, width] = shape;
    let options = (T::KIND, Device::Cpu);
    let from_output = states.grad().f_contiguous()?;
    let inner = step_views(&gates.of_input, shape)?;
    no_grad(|| -> Result<()> {
        let turned = gates.turned()?.f_contiguous()?;
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
    gradients(states, gates, &inner)
}
