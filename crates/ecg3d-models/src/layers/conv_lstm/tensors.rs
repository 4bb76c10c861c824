//! The steps as in-place operations of libtorch, for cases that this crate's loops do not cover.
//!
//! These are devices other than the CPU, other number types, and traced layers. The operations are half as many as
//! those of a recorded graph: on a GPU the steps are short, and starting an operation takes as long as running it. This
//! makes a network that only predicts a fifth faster; one that trains with large batches hardly gains anything.

use tch::{Tensor, no_grad};

use super::{Gates, Pass, Result, channels_last, conv, gradients, step_views};
use crate::layers::hand_on;

/// The gates of a step, `[n, height, width, gate]`: i and f together, c, o.
fn split(gates: &Tensor) -> Result<[Tensor; 3]> {
    let filters = gates.size()[3] / 4;
    let part = |from, to| gates.f_narrow(3, from * filters, (to - from) * filters);
    Ok([part(0, 2)?, part(2, 3)?, part(3, 4)?])
}

/// Returns i and f.
fn halves(i_f: &Tensor) -> Result<[Tensor; 2]> {
    let filters = i_f.size()[3] / 2;
    Ok([i_f.f_narrow(3, 0, filters)?, i_f.f_narrow(3, filters, filters)?])
}

/// Runs the steps with scaled gates: `[step * n, height, width, gate]` -> `[step, n, height, width, filter]`.
///
/// If there is a tape, the backward pass is left on it, unless nothing that it leads to needs a gradient. The values of
/// the gates replace their sums.
pub(super) fn forward(gates: Gates, shape: [i64; 4], pass: Pass<'_>) -> Result<Tensor> {
    let [steps, n, height, width] = shape;
    let options = (gates.of_input.f_kind()?, gates.of_input.device());
    let filters = gates.recurrent.size()[1];
    let states = Tensor::f_empty([steps, n, height, width, filters], options)?;
    let learns = gates.of_input.requires_grad() || gates.recurrent.requires_grad();
    let tape = pass.tape.filter(|_| learns);
    // Without a backward pass, a step needs only the cells of the step before.
    let keep = if tape.is_some() { steps } else { steps.min(2) };
    let cells = Tensor::f_empty([keep, n, height, width, filters], options)?;
    no_grad(|| -> Result<()> {
        let (views, kernel) = (step_views(&gates.of_input, shape)?, gates.recurrent.f_detach()?);
        for t in 0..steps {
            let mut gates = views.f_select(0, t)?;
            if t > 0 {
                let _ = gates.f_add_(&conv(&states.f_select(0, t - 1)?, &kernel, None)?)?;
            }
            let [mut i_f, mut c, mut o] = split(&gates)?;
            let _ = (i_f.f_clamp_(0.0, 1.0)?, c.f_tanh_()?, o.f_clamp_(0.0, 1.0)?);
            let [i, f] = halves(&i_f)?;
            let mut cell = cells.f_select(0, t % keep)?;
            let _ = i.f_mul_out(&cell, &c)?;
            if t > 0 {
                let _ = cell.f_addcmul_(&f, &cells.f_select(0, (t - 1) % keep)?)?;
            }
            let _ = o.f_mul_out(&states.f_select(0, t)?, &cell.f_tanh()?)?;
        }
        Ok(())
    })?;
    let Some(tape) = tape else { return Ok(states) };
    hand_on(states, tape, move |leaf| back(leaf, &gates, &cells, shape))
}

/// Backpropagation through time.
fn back(states: &Tensor, gates: &Gates, cells: &Tensor, shape: [i64; 4]) -> Result<()> {
    let [steps, n, height, width] = shape;
    let from_output = states.grad().f_contiguous()?;
    let inner = step_views(&gates.of_input, shape)?;
    no_grad(|| -> Result<()> {
        let turned = channels_last(&gates.turned()?)?;
        let filters = cells.size()[4];
        let options = (cells.f_kind()?, cells.device());
        let products = Tensor::f_empty([n, height, width, 2 * filters], options)?;
        let [for_i, for_f] = halves(&products)?;
        // For all steps in one operation.
        let all_squashed = cells.f_tanh()?;
        // The contributions of the next step: through its gates, and through its cell.
        let mut later: Option<(Tensor, Tensor)> = None;
        for t in (0..steps).rev() {
            let [i_f, c, o] = split(&inner.f_select(0, t)?)?;
            let [i, f] = halves(&i_f)?;
            let mut state = from_output.f_select(0, t)?;
            if let Some((from_gates, _)) = &later {
                state = state.f_add(from_gates)?;
            }
            let squashed = all_squashed.f_select(0, t)?;
            let mut cell = Tensor::f_tanh_backward(&state.f_mul(&o)?, &squashed)?;
            if let Some((_, from_cell)) = &later {
                let _ = cell.f_add_(from_cell)?;
            }
            let to_before = cell.f_mul(&f)?;
            // Products first, since the gradient of each gate overwrites its value.
            let (for_c, for_o) = (cell.f_mul(&i)?, state.f_mul(&squashed)?);
            let _ = cell.f_mul_out(&for_i, &c)?;
            let _ = match t {
                0 => for_f.shallow_clone().f_zero_()?,
                _ => cell.f_mul_out(&for_f, &cells.f_select(0, t - 1)?)?,
            };
            // The gradient passes through a hard sigmoid where the value is strictly between 0 and 1.
            let _ = i_f.f_hardtanh_backward_grad_input(&i_f, &products, 0.0, 1.0)?;
            let _ = Tensor::f_tanh_backward_grad_input(&c, &for_c, &c)?;
            let _ = o.f_hardtanh_backward_grad_input(&o, &for_o, 0.0, 1.0)?;
            if t > 0 {
                later = Some((conv(&inner.f_select(0, t)?, &turned, None)?, to_before));
            }
        }
        Ok(())
    })?;
    gradients(states, gates, &inner)
}
