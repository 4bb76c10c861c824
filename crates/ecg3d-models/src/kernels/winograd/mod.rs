//! Convolutions with kernels of 3 x 3 x 3 and 3 x 3, stride 1 and the size kept, with the channels last, by Winograd's method.
//!
//! In place of 27 multiplications a value of the output takes 125 / 27 = 4.6, or 25 / 9 = 2.8 in place of 9, and 45, the side of
//! a volume, is 15 tiles of 3 with nothing left over. A row of 15 tiles goes through all that is to be done while it lies in the cache:
//! its values at the points, at each point a product with a matrix `[input, output]`, and back. What would be passes over
//! memory of their own is done on the way: a normalisation and a ReLU in front, a bias, a ReLU and the channels' sums behind.
//!
//! Numbers are `f32` whatever the type of the tensors.

mod axis;
mod factors;
mod tiles;
mod weights;

pub(crate) use factors::Factors;

use std::cell::RefCell;

use rayon::prelude::*;
use tch::TchError;

use super::lanes::{
    LANES, Lanes, ZERO, add_lanes, add_product, as_lanes, matrices, matrices_mut, product, rows,
    rows_mut, with_groups,
};
use super::vector::{Vector, VectorTask, run_vectors};
use super::{Element, threads};
use crate::layers::Result;
use axis::{POINTS, TILE};

thread_local! {
    /// Memory for a row of tiles, which a thread keeps.
    static SCRATCH: RefCell<tiles::Scratch> = RefCell::default();
}

/// Whether there is a convolution here for so many channels.
pub(crate) const fn fits(channels: usize) -> bool {
    matches!(channels, 16 | 32 | 64)
}

/// Images `[image, depth, height, width, channel]`; of kernels 3 x 3, depth is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub images: usize,
    pub depth: usize,
    pub height: usize,
    pub width: usize,
}

impl Grid {
    const fn positions(self) -> usize {
        self.depth * self.height * self.width
    }
}

/// What is done on the way in and out; nothing by default.
#[derive(Debug, Default)]
pub(crate) struct Around<'a> {
    /// Factor and addend of each channel of the input, after which what is negative becomes 0.
    pub before: Option<[&'a [f32]; 2]>,
    /// Added to each channel of the output.
    pub bias: Option<&'a [f32]>,
    /// What is negative then becomes 0.
    pub relu: bool,
}

/// Sums over the positions of each image, `[image, channel]`, of what was written to `out`, before it was rounded.
pub(crate) fn convolve<T: Element>(
    x: &[T],
    factors: &Factors,
    grid: Grid,
    around: &Around<'_>,
    out: &mut [T],
) -> Result<Vec<f64>> {
    let slabs = grid.images * slabs(grid, factors.is_deep());
    convolve_then(x, factors, grid, around, out, vec![(); slabs], |(), _| {})
}

/// Slabs of an image, which are as thick as a tile: planes of a volume, or rows of a plane.
const fn slabs(grid: Grid, deep: bool) -> usize {
    if deep { grid.depth.div_ceil(TILE) } else { grid.height.div_ceil(TILE) }
}

/// Positions of a slab of a plane; the last may have fewer.
pub(crate) const fn slab_of_plane(grid: Grid) -> usize {
    TILE * grid.width
}

/// [`convolve`], with each slab of the output handed on while it is in the cache, together with its own of `with`, of which there is
/// one for each slab of each image.
pub(crate) fn convolve_then<T: Element, E: Send>(
    x: &[T],
    factors: &Factors,
    grid: Grid,
    around: &Around<'_>,
    out: &mut [T],
    with: Vec<E>,
    then: impl Fn(E, &mut [T]) + Sync,
) -> Result<Vec<f64>> {
    let Grid { images, height, width, .. } = grid;
    let [input, output] = factors.channels();
    let slabs = slabs(grid, factors.is_deep());
    let fits = x.len() == images * grid.positions() * input
        && out.len() == images * grid.positions() * output
        && with.len() == images * slabs
        && (factors.is_deep() || grid.depth == 1);
    if !fits {
        return Err(TchError::Shape(format!("{} values for {grid:?} of {input}", x.len())));
    }
    let thick = if factors.is_deep() { height * width } else { width };
    let before = around.before.map(|parts| parts.map(as_lanes));
    let bias = around.bias.map_or_else(|| vec![ZERO; output / LANES], as_lanes);
    let work = out
        .chunks_mut(grid.positions() * output)
        .zip(x.chunks(grid.positions() * input))
        .flat_map(|(out, x)| {
            out.chunks_mut(TILE * thick * output).enumerate().map(move |(slab, out)| (slab, x, out))
        })
        .zip(with)
        .collect::<Vec<_>>();
    let sums: Vec<Vec<Lanes>> = threads::install(|| {
        work.into_par_iter()
            .map(|((slab, x, out), with)| {
                let mut sums = vec![ZERO; output / LANES];
                SCRATCH.with_borrow_mut(|scratch| {
                    run_vectors(tiles::Forth {
                        x,
                        slab,
                        out: &mut *out,
                        factors,
                        grid,
                        before: before.as_ref(),
                        bias: &bias,
                        relu: around.relu,
                        sums: &mut sums,
                        scratch,
                    });
                });
                then(with, out);
                sums
            })
            .collect()
    })?;
    let mut out = vec![0.0; images * output];
    for (image, sums) in out.chunks_mut(output).zip(sums.chunks(slabs)) {
        for slab in sums {
            add_lanes(image, slab);
        }
    }
    Ok(out)
}

/// Gradients of a kernel `[output, input, axis..]` with as many axes as told, and of a bias, from those of the output.
///
/// `before` is what [`Around::before`] was on the way forth.
pub(crate) fn kernel_gradient<T: Element>(
    x: &[T],
    dy: &[T],
    axes: u32,
    [input, output]: [usize; 2],
    grid: Grid,
    before: Option<[&[f32]; 2]>,
) -> Result<(Vec<f32>, Vec<f32>)> {
    /// Parts that are summed apart, so that the sum does not depend on the number of threads.
    const PARTS: usize = 8;
    let n = grid.images * grid.positions();
    let fits = self::fits(input) && self::fits(output);
    let known = fits && (axes == 3 || axes == 2 && grid.depth == 1);
    if !known || x.len() != n * input || dy.len() != n * output {
        return Err(TchError::Shape(format!("{} values for {grid:?} of {input}", x.len())));
    }
    let side = if axes == 3 { grid.depth } else { grid.height };
    let slabs: Vec<(usize, usize)> = (0..grid.images)
        .flat_map(|image| (0..side.div_ceil(TILE)).map(move |slab| (image, slab)))
        .collect();
    let before = before.map(|parts| parts.map(as_lanes));
    let channels = [input / LANES, output / LANES];
    let size = POINTS.pow(axes) * input * output / LANES;
    let parts: Vec<(Vec<Lanes>, Vec<Lanes>)> = threads::install(|| {
        slabs
            .par_chunks(slabs.len().div_ceil(PARTS).max(1))
            .map(|slabs| {
                let (mut factors, mut bias) = (vec![ZERO; size], vec![ZERO; output / LANES]);
                SCRATCH.with_borrow_mut(|scratch| {
                    let before = before.as_ref();
                    let (factors, bias) = (&mut factors[..], &mut bias[..]);
                    run_vectors(weights::Gradient {
                        x,
                        dy,
                        grid,
                        channels,
                        before,
                        slabs,
                        factors,
                        bias,
                        scratch,
                    });
                });
                (factors, bias)
            })
            .collect()
    })?;
    let (mut factors, mut bias) = (vec![ZERO; size], vec![0.0; output]);
    for (more_factors, more_bias) in &parts {
        for (sum, more) in factors.iter_mut().zip(more_factors) {
            for (sum, more) in sum.0.iter_mut().zip(more.0) {
                *sum += more;
            }
        }
        add_lanes(&mut bias, more_bias);
    }
    let kernel = factors::kernel_back(factors, axes, [input, output]);
    Ok((kernel, bias.into_iter().map(|sum| sum as f32).collect()))
}

#[cfg(test)]
mod tests;
