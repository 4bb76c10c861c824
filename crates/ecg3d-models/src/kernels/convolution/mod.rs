//! Convolutions with kernels of 3 x 3 x 3 and 3 x 3, stride 1 and the size kept, with the channels last.
//!
//! What would be passes over memory of their own is done on the way: a normalisation and a ReLU in front, a bias, a ReLU and the
//! channels' sums behind. Numbers are multiplied by Winograd's method in `f32`, or in `bf16` by the tiles of a processor that has them.

use std::cell::RefCell;

use rayon::prelude::*;
use tch::{Kind, TchError};

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::lanes::{LANES, Lanes, ZERO, add_lanes, as_lanes};
use super::vector::{Vector, run_vectors};
use super::winograd::{self, Factors, POINTS};
use super::{Element, threads};
use crate::layers::Result;

/// Planes of a volume, or rows of a plane, that are worked on together.
pub(super) const SLAB: usize = winograd::TILE;

thread_local! {
    /// Memory for a row of tiles, which a thread keeps.
    static SCRATCH: RefCell<winograd::Scratch> = RefCell::default();
}

/// Whether there is a convolution here for so many channels.
pub(crate) const fn fits(channels: usize) -> bool {
    matches!(channels, 16 | 32 | 64)
}

/// Whether images of `bf16` are multiplied as such by this processor; elsewhere their numbers are `f32` in between.
pub(crate) fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return amx::is_here();
    #[cfg(not(target_arch = "x86_64"))]
    false
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
    pub(super) const fn positions(self) -> usize {
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

/// A kernel, made ready for images of one number type.
#[derive(Debug)]
pub(crate) enum Kernel {
    Points(Factors),
    #[cfg(target_arch = "x86_64")]
    Tiles(amx::Kernel),
}

impl Kernel {
    /// Of `[output, input, axis..]` with two or three axes of 3, and as many channels as [`fits`] knows, for images of `T`.
    pub(crate) fn new<T: Element>(
        kernel: &[f32],
        axes: u32,
        [input, output]: [usize; 2],
    ) -> Result<Self> {
        let known = (2..=3).contains(&axes) && fits(input) && fits(output);
        if !known || kernel.len() != input * output * 3usize.pow(axes) {
            return Err(TchError::Shape(format!("no kernel of {input}, {output} on {axes} axes")));
        }
        #[cfg(target_arch = "x86_64")]
        if T::KIND == Kind::BFloat16 && multiplies_bf16() {
            return Ok(Self::Tiles(amx::Kernel::new(kernel, axes, [input, output])));
        }
        Ok(Self::Points(Factors::new(kernel, axes, [input, output])))
    }

    /// Of the input and the output.
    pub(crate) fn channels(&self) -> [usize; 2] {
        match self {
            Self::Points(factors) => factors.channels(),
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(kernel) => kernel.channels(),
        }
    }

    /// Whether it has three axes.
    fn is_deep(&self) -> bool {
        match self {
            Self::Points(factors) => factors.is_deep(),
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(kernel) => kernel.is_deep(),
        }
    }
}

/// Sums over the positions of each image, `[image, channel]`, of what was written to `out`, before it was rounded.
pub(crate) fn convolve<T: Element>(
    x: &[T],
    kernel: &Kernel,
    grid: Grid,
    around: &Around<'_>,
    out: &mut [T],
) -> Result<Vec<f64>> {
    let slabs = grid.images * slabs(grid, kernel.is_deep());
    convolve_then(x, kernel, grid, around, out, vec![(); slabs], |(), _| {})
}

/// Slabs of an image.
const fn slabs(grid: Grid, deep: bool) -> usize {
    if deep { grid.depth.div_ceil(SLAB) } else { grid.height.div_ceil(SLAB) }
}

/// Positions of a slab of a plane; the last may have fewer.
pub(crate) const fn slab_of_plane(grid: Grid) -> usize {
    SLAB * grid.width
}

/// One slab on its way through a convolution.
pub(crate) struct Slab<'a, T> {
    /// One image.
    pub x: &'a [T],
    /// Which of its slabs.
    pub slab: usize,
    pub out: &'a mut [T],
    pub grid: Grid,
    pub before: Option<&'a [Vec<Lanes>; 2]>,
    pub bias: &'a [Lanes],
    pub relu: bool,
    /// Takes the sums of the slab's output.
    pub sums: &'a mut [Lanes],
}

/// `x`, after a normalisation and a ReLU if there are to be any.
#[inline(always)]
pub(super) fn normalised<V: Vector>(x: V, before: Option<&[Vec<Lanes>; 2]>, group: usize) -> V {
    match before {
        None => x,
        Some([scale, shift]) => {
            let value = x.mul_add(V::load(&scale[group].0), V::load(&shift[group].0));
            value.max(V::splat(0.0))
        }
    }
}

/// [`convolve`], with each slab of the output handed on while it is in the cache, together with its own of `with`, of which there is
/// one for each slab of each image.
pub(crate) fn convolve_then<T: Element, E: Send>(
    x: &[T],
    kernel: &Kernel,
    grid: Grid,
    around: &Around<'_>,
    out: &mut [T],
    with: Vec<E>,
    then: impl Fn(E, &mut [T]) + Sync,
) -> Result<Vec<f64>> {
    let Grid { images, height, width, .. } = grid;
    let [input, output] = kernel.channels();
    let slabs = slabs(grid, kernel.is_deep());
    let fits = x.len() == images * grid.positions() * input
        && out.len() == images * grid.positions() * output
        && with.len() == images * slabs
        && (kernel.is_deep() || grid.depth == 1);
    if !fits {
        return Err(TchError::Shape(format!("{} values for {grid:?} of {input}", x.len())));
    }
    let thick = if kernel.is_deep() { height * width } else { width };
    let before = around.before.map(|parts| parts.map(as_lanes));
    let bias = around.bias.map_or_else(|| vec![ZERO; output / LANES], as_lanes);
    let work = out
        .chunks_mut(grid.positions() * output)
        .zip(x.chunks(grid.positions() * input))
        .flat_map(|(out, x)| {
            out.chunks_mut(SLAB * thick * output).enumerate().map(move |(slab, out)| (slab, x, out))
        })
        .zip(with)
        .collect::<Vec<_>>();
    let sums: Result<Vec<Vec<Lanes>>> = threads::install(|| {
        work.into_par_iter()
            .map(|((slab, x, out), with)| {
                let mut sums = vec![ZERO; output / LANES];
                let slab = Slab {
                    x,
                    slab,
                    out: &mut *out,
                    grid,
                    before: before.as_ref(),
                    bias: &bias,
                    relu: around.relu,
                    sums: &mut sums,
                };
                match kernel {
                    Kernel::Points(factors) => SCRATCH.with_borrow_mut(|scratch| {
                        run_vectors(winograd::Forth { slab, factors, scratch });
                    }),
                    #[cfg(target_arch = "x86_64")]
                    Kernel::Tiles(kernel) => kernel.convolve(slab)?,
                }
                then(with, out);
                Ok(sums)
            })
            .collect()
    })?;
    let mut out = vec![0.0; images * output];
    for (image, sums) in out.chunks_mut(output).zip(sums?.chunks(slabs)) {
        for slab in sums {
            add_lanes(image, slab);
        }
    }
    Ok(out)
}

/// Parts of the sums of a gradient, which do not depend on the number of threads.
const PARTS: usize = 8;

/// What the gradient of a kernel is made of.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a, T> {
    /// All images, and the gradients of the output.
    pub x: &'a [T],
    pub dy: &'a [T],
    pub grid: Grid,
    /// Sixteens of input and output channels.
    pub groups: [usize; 2],
    pub before: Option<&'a [Vec<Lanes>; 2]>,
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
    let n = grid.images * grid.positions();
    let fits = self::fits(input) && self::fits(output);
    let known = fits && (axes == 3 || axes == 2 && grid.depth == 1);
    if !known || x.len() != n * input || dy.len() != n * output {
        return Err(TchError::Shape(format!("{} values for {grid:?} of {input}", x.len())));
    }
    let before = before.map(|parts| parts.map(as_lanes));
    let (groups, before) = ([input / LANES, output / LANES], before.as_ref());
    #[cfg(target_arch = "x86_64")]
    if let (Some(x), Some(dy)) = (T::as_bf16(x), T::as_bf16(dy))
        && multiplies_bf16()
    {
        let pair = Pair { x, dy, grid, groups, before };
        let planes = grid.images * grid.depth;
        let (sums, bias) = in_parts(planes, |planes| amx::gradient(pair, axes, planes))?;
        return Ok((amx::kernel_back(&sums, axes, [input, output]), bias));
    }
    let pair = Pair { x, dy, grid, groups, before };
    let size = POINTS.pow(axes) * input * output / LANES;
    let slabs = slabs(grid, axes == 3);
    let (sums, bias) = in_parts(grid.images * slabs, |slabs| {
        let (mut factors, mut bias) = (vec![ZERO; size], vec![ZERO; output / LANES]);
        SCRATCH.with_borrow_mut(|scratch| {
            let (factors, bias) = (&mut factors[..], &mut bias[..]);
            run_vectors(winograd::Gradient { pair, slabs, factors, bias, scratch });
        });
        (factors, bias)
    })?;
    Ok((winograd::kernel_back(sums, axes, [input, output]), bias))
}

/// Sums over a number of slabs or planes of what gradients of the kernel and the bias each run of them gives.
fn in_parts(
    count: usize,
    part: impl Fn(std::ops::Range<usize>) -> (Vec<Lanes>, Vec<Lanes>) + Sync,
) -> Result<(Vec<Lanes>, Vec<f32>)> {
    let each = count.div_ceil(PARTS).max(1);
    let parts: Vec<(Vec<Lanes>, Vec<Lanes>)> = threads::install(|| {
        (0..count.div_ceil(each).max(1))
            .into_par_iter()
            .map(|k| part(k * each..((k + 1) * each).min(count)))
            .collect()
    })?;
    let mut bias = vec![0.0; parts[0].1.len() * LANES];
    let mut sums = vec![ZERO; parts[0].0.len()];
    for (more, more_bias) in &parts {
        for (sum, more) in sums.iter_mut().zip(more) {
            for (sum, more) in sum.0.iter_mut().zip(more.0) {
                *sum += more;
            }
        }
        add_lanes(&mut bias, more_bias);
    }
    Ok((sums, bias.into_iter().map(|sum| sum as f32).collect()))
}

#[cfg(test)]
pub(super) mod tests;
