//! Convolutions with kernels of 3 x 3 x 3 and 3 x 3, with stride 1, the size preserved, and the channels last.
//!
//! Operations that would otherwise be passes over memory of their own are done within the convolution: a normalisation
//! and a ReLU before it, and a bias, a ReLU and the channels' sums after it. Numbers are multiplied by Winograd's
//! method in `f32`, or in `bf16` by the tiles of a processor that has them.

use std::cell::RefCell;

use rayon::prelude::*;
use tch::TchError;

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::lanes::{LANES, Lanes, ZERO, add_lanes, as_lanes};
use super::vector::{Vector, run_vectors};
use super::winograd::{self, Factors, POINTS};
use super::{Element, threads};
use crate::layers::Result;

/// Number of planes of a volume, or of rows of a plane, that are processed together.
pub(super) const SLAB: usize = winograd::TILE;

thread_local! {
    /// Memory for a row of tiles, which each thread keeps.
    static SCRATCH: RefCell<winograd::Scratch> = RefCell::default();
}

/// Returns whether convolutions here support this number of channels.
pub(crate) const fn fits(channels: usize) -> bool {
    matches!(channels, 16 | 32 | 64)
}

/// Returns whether images of `bf16` are multiplied as such; otherwise their numbers are converted to `f32`.
pub(crate) fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return amx::is_here();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The shape of images `[image, depth, height, width, channel]`; for kernels of 3 x 3, the depth is 1.
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

/// What is done before and after a convolution; nothing by default.
#[derive(Debug, Default)]
pub(crate) struct Around<'a> {
    /// Factor and addend for each channel of the input, followed by a ReLU.
    pub before: Option<[&'a [f32]; 2]>,
    /// Bias for each channel of the output.
    pub bias: Option<&'a [f32]>,
    /// Whether a ReLU follows.
    pub relu: bool,
}

/// A kernel, prepared for images of one number type.
#[derive(Debug)]
pub(crate) enum Kernel {
    Points(Factors),
    #[cfg(target_arch = "x86_64")]
    Tiles(amx::Kernel),
}

impl Kernel {
    /// Prepares a kernel `[output, input, axis..]` for images of `T`.
    ///
    /// The kernel has two or three axes of 3, and numbers of channels that [`fits`] accepts.
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
        if T::KIND == tch::Kind::BFloat16 && multiplies_bf16() {
            return Ok(Self::Tiles(amx::Kernel::new(kernel, axes, [input, output])));
        }
        Ok(Self::Points(Factors::new(kernel, axes, [input, output])))
    }

    /// Returns the number of channels of the input and of the output.
    pub(crate) fn channels(&self) -> [usize; 2] {
        match self {
            Self::Points(factors) => factors.channels(),
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(kernel) => kernel.channels(),
        }
    }

    /// Returns whether the kernel has three axes.
    fn is_deep(&self) -> bool {
        match self {
            Self::Points(factors) => factors.is_deep(),
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(kernel) => kernel.is_deep(),
        }
    }
}

/// Convolves images, and returns sums over the positions of each image, `[image, channel]`.
///
/// The sums are those of what is written to `out`, before it is rounded.
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

/// Returns the number of slabs of an image.
const fn slabs(grid: Grid, deep: bool) -> usize {
    if deep { grid.depth.div_ceil(SLAB) } else { grid.height.div_ceil(SLAB) }
}

/// Returns the number of positions in a slab of a plane; the last slab may have fewer.
pub(crate) const fn slab_of_plane(grid: Grid) -> usize {
    SLAB * grid.width
}

/// A slab on its way through a convolution.
pub(crate) struct Slab<'a, T> {
    /// The image.
    pub x: &'a [T],
    /// Index of the slab within the image.
    pub slab: usize,
    pub out: &'a mut [T],
    pub grid: Grid,
    pub before: Option<&'a [Vec<Lanes>; 2]>,
    pub bias: &'a [Lanes],
    pub relu: bool,
    /// Receives the sums of the slab's output.
    pub sums: &'a mut [Lanes],
}

/// Returns `x` after a normalisation and a ReLU, if there is a normalisation.
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

/// Like [`convolve`], but passes each slab of the output to `then` while it is in the cache.
///
/// `with` has one value for each slab of each image, which is passed along.
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

/// Number of parts in which a gradient is summed; independent of the number of threads.
const PARTS: usize = 8;

/// The data from which the gradient of a kernel is computed.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a, T> {
    /// All images, and the gradients of the output.
    pub x: &'a [T],
    pub dy: &'a [T],
    pub grid: Grid,
    /// Numbers of groups of sixteen input and output channels.
    pub groups: [usize; 2],
    pub before: Option<&'a [Vec<Lanes>; 2]>,
}

/// Returns the gradients of a kernel `[output, input, axis..]` with `axes` axes, and of a bias, from those of the
/// output.
///
/// `before` is what [`Around::before`] was in the forward pass.
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

/// Sums the gradients of the kernel and the bias that `part` returns for ranges of the `count` slabs or planes.
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
