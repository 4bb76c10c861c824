//! The steps in this crate's own loops, on the CPU.
//!
//! The output of a step's convolution goes through the gates slab by slab while it is in the cache. If the input has
//! many channels, it is placed beside the state of the step before, so that one convolution takes both. If it has a
//! single channel, its contribution is a product with the neighbours of each position.

use rayon::prelude::*;
use tch::{TchError, Tensor};

use super::{ConvLstm2d, Result};
use crate::kernels::convolution::{self, Around, Grid, Kernel};
use crate::kernels::rows::{self, Matrix, ScaleShift};
use crate::kernels::{Backward, Element, FILTERS, Forward, threads};
use crate::layers::hand::{Gradients, parameter, ready_back};

const GATES: usize = 4 * FILTERS;
/// Columns of [`rows::neighbours`].
const TAPS: usize = 16;

/// The weights of a convolutional LSTM with 16 filters, in the form that the loops take.
#[derive(Debug)]
pub(crate) struct Steps {
    input: Input,
    /// Kernel of the state, or of the input and the state side by side.
    kernel: Kernel,
}

#[derive(Debug)]
enum Input {
    /// One channel: a matrix for the neighbours of a position.
    Taps(Matrix),
    /// Sixteen channels: the bias.
    Channels(Vec<f32>),
}

/// What the backward pass needs, `[step, n, height, width, channel]`.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    /// The neighbours of the input, if it has one channel.
    taps: Vec<T>,
    /// The inputs of the convolutions, if they are not only the states.
    taken: Vec<T>,
    /// Values of the gates.
    gates: Vec<T>,
    cells: Vec<T>,
}

impl Steps {
    pub(crate) fn new<T: Element>(layer: &ConvLstm2d) -> Result<Self> {
        let size = layer.kernel.size();
        let (kernel, bias) = (parameter(&layer.kernel)?, parameter(&layer.bias)?);
        let recurrent = parameter(&layer.recurrent)?;
        match size[..] {
            [64, 1, 3, 3] => {
                let mut matrix = vec![0.0; GATES * TAPS];
                let rows = matrix.chunks_exact_mut(TAPS).zip(kernel.chunks_exact(9)).zip(bias);
                for ((row, kernel), bias) in rows {
                    row[..9].copy_from_slice(kernel);
                    row[9] = bias;
                }
                let input = Input::Taps(Matrix::new(&matrix, TAPS));
                Ok(Self { input, kernel: Kernel::new::<T>(&recurrent, 2, [FILTERS, GATES])? })
            }
            [64, 16, 3, 3] => {
                let gates = kernel.chunks_exact(9 * FILTERS);
                let both: Vec<f32> = gates
                    .zip(recurrent.chunks_exact(9 * FILTERS))
                    .flat_map(|(input, state)| [input, state].concat())
                    .collect();
                let kernel = Kernel::new::<T>(&both, 2, [2 * FILTERS, GATES])?;
                Ok(Self { input: Input::Channels(bias), kernel })
            }
            _ => Err(TchError::Shape(format!("no implementation for a kernel of shape {size:?}"))),
        }
    }

    /// `[step, n, height, width, input]` -> the states after each step, `[step, n, height, width, filter]`.
    ///
    /// An input of many channels first goes through `before` and a ReLU. `grid` is the grid of a step.
    pub(crate) fn forth<T: Element>(
        &self,
        x: &[T],
        before: &ScaleShift,
        grid: Grid,
        states: &mut [T],
        keep: bool,
    ) -> Result<Option<Kept<T>>> {
        let cut = Cut::new(grid);
        let n = cut.positions();
        let (size, channels) = (n * FILTERS, self.kernel.channels()[0]);
        let steps = states.len() / size;
        let zero = T::put(0.0);
        let (taps, bias) = match &self.input {
            Input::Taps(_) => (rows::neighbours(x, grid.height, grid.width)?, None),
            Input::Channels(bias) => (Vec::new(), Some(&bias[..])),
        };
        let around = Around { bias, ..Around::default() };
        // Without a backward pass, each step's gates overwrite those of the step before, and the inputs of the
        // convolutions alternate between two buffers.
        let gate_places = if keep { steps } else { 1 };
        let places = if keep { steps.max(2) } else { 2 };
        let mut gates = vec![zero; gate_places * n * GATES];
        let mut cells = vec![zero; if keep { steps * size } else { 0 }];
        let mut cell = vec![0.0; size];
        let start = vec![zero; size];
        let mut taken = Vec::new();
        if bias.is_some() {
            taken.resize(places * n * channels, zero);
            rows::beside(&x[..size], before, &start, &mut taken[..n * channels]);
        }
        for t in 0..steps {
            let (earlier, later) = states.split_at_mut(t * size);
            let gates = &mut gates[t % gate_places * n * GATES..][..n * GATES];
            let mut all_taken: Vec<&mut [T]> = taken.chunks_exact_mut(n * channels).collect();
            let (from, next): (&[T], &mut [T]) =
                match all_taken.get_disjoint_mut([t % places, (t + 1) % places]) {
                    Ok([own, next]) => (own, next),
                    Err(_) => (earlier.rchunks_exact(size).next().unwrap_or(&start), &mut []),
                };
            let mut cell = cut.of_mut(&mut cell, FILTERS);
            let mut state = cut.of_mut(&mut later[..size], FILTERS);
            let mut cells = cut.of_mut(step_mut(&mut cells, t, size), FILTERS);
            let mut next = cut.of_mut(next, channels);
            let mut taps = cut.of(step(&taps, t, n * TAPS), TAPS);
            let mut x = cut.of(step(x, t + 1, size), FILTERS);
            let with = (0..cut.slabs())
                .map(|_| SlabForth {
                    cell: cell.next().unwrap_or_default(),
                    state: state.next().unwrap_or_default(),
                    cells: cells.next().unwrap_or_default(),
                    next: next.next().unwrap_or_default(),
                    taps: taps.next().unwrap_or_default(),
                    x: x.next().unwrap_or_default(),
                })
                .collect();
            let then = |slab: SlabForth<'_, T>, gates: &mut [T]| {
                let SlabForth { cell, state, cells, next, taps, x } = slab;
                if let Input::Taps(matrix) = &self.input {
                    rows::add_product_here(taps, matrix, gates);
                }
                Forward { gates, cell, state: &mut *state, cells }.run();
                if bias.is_some() && !x.is_empty() {
                    rows::beside(x, before, state, next);
                }
            };
            convolution::convolve_then(from, &self.kernel, grid, &around, gates, with, then)?;
        }
        Ok(keep.then_some(Kept { taps, taken, gates, cells }))
    }
}

/// What a slab of a step needs and makes; slices that do not apply are empty.
struct SlabForth<'a, T> {
    cell: &'a mut [f32],
    state: &'a mut [T],
    cells: &'a mut [T],
    /// Receives the input of the next step's convolution.
    next: &'a mut [T],
    taps: &'a [T],
    /// The input of the next step.
    x: &'a [T],
}

/// The same for the backward pass.
struct SlabBack<'a, T> {
    gates: &'a mut [T],
    cells: &'a [T],
    before: &'a [T],
    from_output: &'a [T],
    cell: &'a mut [f32],
    dx: &'a mut [T],
}

impl<T: Element> Kept<T> {
    /// Backpropagation through time, from the gradient of the states to that of the input after `before` and its ReLU.
    ///
    /// An input of one channel is that of the network; its gradient is not needed, and the result is empty.
    pub(crate) fn back(
        mut self,
        layer: &ConvLstm2d,
        states: &[T],
        from_output: &[T],
        grid: Grid,
        gradients: &mut Gradients,
    ) -> Result<Vec<T>> {
        let dx = self.steps_back(layer, from_output, grid)?;
        if self.taps.is_empty() {
            self.gradients_of_both(layer, grid, gradients)?;
        } else {
            self.gradients_apart(layer, states, grid, gradients)?;
        }
        Ok(dx)
    }

    /// Replaces the values of the gates by the gradients of their sums.
    fn steps_back(&mut self, layer: &ConvLstm2d, from_output: &[T], grid: Grid) -> Result<Vec<T>> {
        let cut = Cut::new(grid);
        let n = cut.positions();
        let size = n * FILTERS;
        let steps = from_output.len() / size;
        let both = self.taps.is_empty();
        let channels = if both { 2 * FILTERS } else { FILTERS };
        let turned = turned::<T>(layer, both)?;
        let mut cell = vec![0.0; size];
        let mut dx = vec![T::put(0.0); if both { from_output.len() } else { 0 }];
        let mut of_taken = vec![T::put(0.0); n * channels];
        let then = |slab: SlabBack<'_, T>, from_next: &[T]| {
            let SlabBack { gates, cells, before, from_output, cell, dx } = slab;
            let inputs = from_next.chunks_exact(channels).map(|both| &both[..FILTERS]);
            for (dx, input) in dx.chunks_exact_mut(FILTERS).zip(inputs) {
                dx.copy_from_slice(input);
            }
            let next_channels = channels;
            Backward { gates, cells, before, from_output, from_next, next_channels, cell }.run();
        };
        // The convolution of step `t` gives the slabs of the step before what they need, and step `t`'s own input its
        // gradient. After the last step there is none, and before the first there is only that input.
        for t in (0..=steps).rev() {
            let (earlier, later) = self.gates.split_at_mut(t * n * GATES);
            let gates = earlier.rchunks_exact_mut(n * GATES).next().unwrap_or_default();
            let this = t.wrapping_sub(1);
            let mut gates = cut.of_mut(gates, GATES);
            let mut cells = cut.of(step(&self.cells, this, size), FILTERS);
            let mut before = cut.of(step(&self.cells, this.wrapping_sub(1), size), FILTERS);
            let mut from_output = cut.of(step(from_output, this, size), FILTERS);
            let mut cell = cut.of_mut(&mut cell, FILTERS);
            let mut dx = cut.of_mut(step_mut(&mut dx, t, size), FILTERS);
            let with: Vec<SlabBack<'_, T>> = (0..cut.slabs())
                .map(|_| SlabBack {
                    gates: gates.next().unwrap_or_default(),
                    cells: cells.next().unwrap_or_default(),
                    before: before.next().unwrap_or_default(),
                    from_output: from_output.next().unwrap_or_default(),
                    cell: cell.next().unwrap_or_default(),
                    dx: dx.next().unwrap_or_default(),
                })
                .collect();
            if t == steps {
                threads::install(|| with.into_par_iter().for_each(|slab| then(slab, &[])))?;
            } else if t > 0 || both {
                let (own, around) = (&later[..n * GATES], Around::default());
                let then = |slab: SlabBack<'_, T>, out: &mut [T]| then(slab, out);
                convolution::convolve_then(own, &turned, grid, &around, &mut of_taken, with, then)?;
            }
        }
        Ok(dx)
    }

    /// Gradients for an input beside the states.
    fn gradients_of_both(
        &self,
        layer: &ConvLstm2d,
        grid: Grid,
        gradients: &mut Gradients,
    ) -> Result<()> {
        let channels = [2 * FILTERS, GATES];
        let all = Grid { images: self.gates.len() / (grid.height * grid.width * GATES), ..grid };
        let taken = &self.taken[..self.gates.len() / 2];
        let (kernel, bias) =
            convolution::kernel_gradient(taken, &self.gates, 2, channels, all, None)?;
        let halves = kernel.as_chunks::<{ 9 * FILTERS }>().0.as_chunks::<2>().0;
        gradients.add(&layer.kernel, &halves.iter().flat_map(|[x, _]| *x).collect::<Vec<_>>())?;
        gradients
            .add(&layer.recurrent, &halves.iter().flat_map(|[_, h]| *h).collect::<Vec<_>>())?;
        gradients.add(&layer.bias, &bias)
    }

    /// Gradients for an input of one channel.
    fn gradients_apart(
        &self,
        layer: &ConvLstm2d,
        states: &[T],
        grid: Grid,
        gradients: &mut Gradients,
    ) -> Result<()> {
        let n = grid.images * grid.height * grid.width;
        let steps = states.len() / (n * FILTERS);
        if steps > 1 {
            let later = Grid { images: (steps - 1) * grid.images, ..grid };
            let (states, gates) = (&states[..states.len() - n * FILTERS], &self.gates[n * GATES..]);
            let channels = [FILTERS, GATES];
            let (kernel, _) =
                convolution::kernel_gradient(states, gates, 2, channels, later, None)?;
            gradients.add(&layer.recurrent, &kernel)?;
        }
        let matrix = rows::matrix_gradient(&self.taps, &self.gates, [TAPS, GATES])?;
        let matrix = matrix.chunks_exact(TAPS);
        let kernel: Vec<f32> = matrix.clone().flat_map(|row| &row[..9]).copied().collect();
        gradients.add(&layer.kernel, &kernel)?;
        gradients.add(&layer.bias, &matrix.map(|row| row[9]).collect::<Vec<_>>())
    }
}

/// Returns the kernel that takes gradients of the gates back to the state, or to the input and the state.
fn turned<T: Element>(layer: &ConvLstm2d, both: bool) -> Result<Kernel> {
    let recurrent = layer.recurrent.f_detach()?;
    let kernel = match both {
        true => Tensor::f_cat(&[layer.kernel.f_detach()?, recurrent], 1)?,
        false => recurrent,
    };
    ready_back::<T>(&kernel)
}

/// Returns the values of one step; empty if there is no such step.
fn step<T>(x: &[T], t: usize, size: usize) -> &[T] {
    x.chunks_exact(size).nth(t).unwrap_or_default()
}

fn step_mut<T>(x: &mut [T], t: usize, size: usize) -> &mut [T] {
    x.chunks_exact_mut(size).nth(t).unwrap_or_default()
}

/// How the convolution of a step cuts its images into slabs.
#[derive(Clone, Copy)]
struct Cut {
    images: usize,
    /// Positions of an image, and of a slab.
    image: usize,
    slab: usize,
}

impl Cut {
    fn new(grid: Grid) -> Self {
        let image = grid.height * grid.width;
        Self { images: grid.images, image, slab: convolution::slab_of_plane(grid) }
    }

    fn positions(self) -> usize {
        self.images * self.image
    }

    fn slabs(self) -> usize {
        self.images * self.image.div_ceil(self.slab)
    }

    /// Returns the slabs of `[n, height, width, channel]`.
    fn of<T>(self, x: &[T], channels: usize) -> impl Iterator<Item = &[T]> {
        x.chunks(self.image * channels).flat_map(move |x| x.chunks(self.slab * channels))
    }

    fn of_mut<T>(self, x: &mut [T], channels: usize) -> impl Iterator<Item = &mut [T]> {
        x.chunks_mut(self.image * channels).flat_map(move |x| x.chunks_mut(self.slab * channels))
    }
}
