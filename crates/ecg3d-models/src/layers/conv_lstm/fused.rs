//! The steps by this crate's own loops, on the CPU.

use rayon::prelude::*;
use tch::Tensor;

use super::{ConvLstm2d, Result};
use crate::kernels::rows::{self, Matrix, ScaleShift};
use crate::kernels::winograd::{self, Around, Factors};
use crate::kernels::{Backward, Element, FILTERS, Forward, threads, values, values_mut};
use crate::layers::hand::{
    self, Gradients, convolve, empty, factors, factors_back, grid, kernel_gradient, parameter,
};

/// Positions that a thread takes at a time.
const CHUNK: usize = 225;

/// What the way back needs.
#[derive(Debug)]
pub(crate) struct Kept {
    layer: ConvLstm2d,
    rows: Tensor,
    before: Option<ScaleShift>,
    states: Tensor,
    cells: Tensor,
    /// The values of the gates.
    gates: Tensor,
}

impl ConvLstm2d {
    /// `[step, n, height, width, input]` -> the states after each step, `[step, n, height, width, filter]`; something may be done to the
    /// input before.
    pub(crate) fn by_hand<T: Element>(
        &self,
        rows: &Tensor,
        before: Option<ScaleShift>,
        keep: bool,
    ) -> Result<(Tensor, Option<Kept>)> {
        let mut gates = self.of_input::<T>(rows, before.as_ref())?;
        let mut shape = rows.size();
        shape[4] = FILTERS as i64;
        let mut states = empty::<T>(&shape)?;
        let recurrent = factors(&self.recurrent)?;
        // The values of a step.
        let size: usize = shape[1..].iter().product::<i64>() as usize;
        if !keep {
            shape[0] = 0;
        }
        let mut cells = empty::<T>(&shape)?;
        let grid = hand::grid(&shape[1..]);
        let mut cell = vec![0.0; size];
        let mut of_state = vec![T::put(0.0); 4 * size];
        let (all_gates, all_states) = (values_mut::<T>(&mut gates)?, values_mut(&mut states)?);
        let mut kept = values_mut(&mut cells)?.chunks_exact_mut(size);
        for (t, gates) in all_gates.chunks_exact_mut(4 * size).enumerate() {
            let (earlier, later) = all_states.split_at_mut(t * size);
            let recurrent: &[T] = match earlier.rchunks_exact(size).next() {
                Some(state) => {
                    let around = Around::default();
                    winograd::convolve(state, &recurrent, grid, &around, &mut of_state)?;
                    &of_state
                }
                None => &[],
            };
            forward_step(recurrent, gates, &mut cell, &mut later[..size], kept.next().unwrap_or_default())?;
        }
        let kept = keep.then(|| Kept {
            layer: self.share(),
            rows: rows.shallow_clone(),
            before,
            states: states.shallow_clone(),
            cells,
            gates,
        });
        Ok((states, kept))
    }

    /// The same parameters once more.
    fn share(&self) -> Self {
        Self {
            path: self.path.clone(),
            kernel: self.kernel.shallow_clone(),
            recurrent: self.recurrent.shallow_clone(),
            bias: self.bias.shallow_clone(),
        }
    }

    /// The input's part of all gates, bias included.
    fn of_input<T: Element>(&self, rows: &Tensor, before: Option<&ScaleShift>) -> Result<Tensor> {
        let mut shape = rows.size();
        let bias = parameter(&self.bias)?;
        if shape[4] > 1 {
            let around = Around {
                before: before.map(|by| [&by.scale[..], &by.shift]),
                bias: Some(&bias),
                relu: false,
            };
            let (gates, _) = convolve::<T>(&rows.f_flatten(0, 1)?, &factors(&self.kernel)?, &around)?;
            shape[4] = 4 * FILTERS as i64;
            return gates.f_view(&shape[..]);
        }
        shape[4] = 4 * FILTERS as i64;
        let mut gates = empty::<T>(&shape)?;
        let taps = neighbours::<T>(rows)?;
        let kernel = parameter(&self.kernel)?;
        let mut matrix = vec![0.0; bias.len() * 16];
        for ((row, kernel), bias) in matrix.chunks_exact_mut(16).zip(kernel.chunks_exact(9)).zip(bias) {
            row[..9].copy_from_slice(kernel);
            row[9] = bias;
        }
        rows::multiply::<T>(&taps, &Matrix::new(&matrix, 16), values_mut(&mut gates)?)?;
        Ok(gates)
    }

}

/// See [`rows::neighbours`].
fn neighbours<T: Element>(rows: &Tensor) -> Result<Vec<T>> {
    let size = rows.size();
    rows::neighbours::<T>(values(rows)?, size[2] as usize, size[3] as usize)
}

impl Kept {
    /// Backpropagation through time from the gradient of the states, to that of what the input's convolution took; the gradient of
    /// an input of one channel, which is the network's, is not asked for.
    pub(crate) fn back<T: Element>(
        self,
        from_output: &Tensor,
        gradients: &mut Gradients,
    ) -> Result<Option<Tensor>> {
        let Self { layer, rows, before, states, cells, mut gates } = self;
        let shape = states.size();
        let size: usize = shape[1..].iter().product::<i64>() as usize;
        let turned = factors_back(&layer.recurrent)?;
        steps_back::<T>(&turned, &cells, from_output, &mut gates, size)?;
        if shape[0] > 1 {
            let earlier = states.f_narrow(0, 0, shape[0] - 1)?.f_flatten(0, 1)?;
            let later = gates.f_narrow(0, 1, shape[0] - 1)?.f_flatten(0, 1)?;
            let (kernel, _) = kernel_gradient::<T>(&earlier, &layer.recurrent, None, &later)?;
            gradients.add(&layer.recurrent, &kernel)?;
        }
        let gates = gates.f_flatten(0, 1)?;
        if rows.size()[4] == 1 {
            let taps = neighbours::<T>(&rows)?;
            let gradient = rows::matrix_gradient::<T>(&taps, values(&gates)?, [16, 4 * FILTERS])?;
            let taps = gradient.chunks_exact(16);
            let kernel: Vec<f32> = taps.clone().flat_map(|row| &row[..9]).copied().collect();
            gradients.add(&layer.kernel, &kernel)?;
            gradients.add(&layer.bias, &taps.map(|row| row[9]).collect::<Vec<_>>())?;
            return Ok(None);
        }
        let rows = rows.f_flatten(0, 1)?;
        let before = before.as_ref().map(|by| [&by.scale[..], &by.shift]);
        let (kernel, bias) = kernel_gradient::<T>(&rows, &layer.kernel, before, &gates)?;
        gradients.add(&layer.kernel, &kernel)?;
        gradients.add(&layer.bias, &bias)?;
        let (dx, _) = convolve::<T>(&gates, &factors_back(&layer.kernel)?, &Around::default())?;
        Ok(Some(dx))
    }
}

/// Puts gradients of the gates' sums in the place of their values.
fn steps_back<T: Element>(
    turned: &Factors,
    cells: &Tensor,
    from_output: &Tensor,
    gates: &mut Tensor,
    size: usize,
) -> Result<()> {
    let grid = grid(&cells.size()[1..]);
    let mut cell = vec![0.0; size];
    let mut from_next = Vec::new();
    let (cells, from_output) = (values::<T>(cells)?, values::<T>(from_output)?);
    for (t, gates) in values_mut::<T>(gates)?.chunks_exact_mut(4 * size).enumerate().rev() {
        let at = t * size..(t + 1) * size;
        let before = &cells[at.start.saturating_sub(size)..at.start];
        backward_step(gates, &cells[at.clone()], before, &from_output[at], &from_next, &mut cell)?;
        if t > 0 {
            from_next.resize(size, T::put(0.0));
            winograd::convolve(gates, turned, grid, &Around::default(), &mut from_next)?;
        }
    }
    Ok(())
}

/// The part of `values` that belongs to chunk `k` of the positions; none where there are no values.
fn part<T>(values: &[T], k: usize, channels: usize) -> &[T] {
    let size = CHUNK * channels;
    values.chunks(size).nth(k).unwrap_or_default()
}

fn forward_step<T: Element>(
    recurrent: &[T],
    gates: &mut [T],
    cell: &mut [f32],
    state: &mut [T],
    cells: &mut [T],
) -> Result<()> {
    let size = CHUNK * FILTERS;
    // As many parts of what is kept as of the others, empty where nothing is.
    let mut kept: Vec<&mut [T]> = cells.chunks_mut(size).collect();
    kept.resize_with(cell.len().div_ceil(size), Default::default);
    threads::install(|| {
        gates
            .par_chunks_mut(4 * size)
            .zip(cell.par_chunks_mut(size))
            .zip(state.par_chunks_mut(size))
            .zip(kept)
            .enumerate()
            .for_each(|(k, (((gates, cell), state), cells))| {
                let recurrent = part(recurrent, k, 4 * FILTERS);
                Forward { recurrent, gates, cell, state, cells }.run();
            });
    })
}

fn backward_step<T: Element>(
    gates: &mut [T],
    cells: &[T],
    before: &[T],
    from_output: &[T],
    from_next: &[T],
    cell: &mut [f32],
) -> Result<()> {
    let size = CHUNK * FILTERS;
    threads::install(|| {
        gates.par_chunks_mut(4 * size).zip(cell.par_chunks_mut(size)).enumerate().for_each(
            |(k, (gates, cell))| {
                let [cells, before, from_output, from_next] =
                    [cells, before, from_output, from_next].map(|x| part(x, k, FILTERS));
                Backward { gates, cells, before, from_output, from_next, cell }.run();
            },
        );
    })
}
