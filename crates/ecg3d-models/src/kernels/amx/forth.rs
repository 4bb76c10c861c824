//! The forward pass of a slab through a convolution.

use std::cell::RefCell;

use tch::TchError;

use super::convolution::{Grid, SLAB, Slab, normalised};
use super::tiles::{HEIGHT, ROW, TOGETHER, Tiles};
use super::{
    Bf16, EMPTY, Element, LANES, Lanes, Line, TAPS, Vector, VectorTask, ZERO, filled, run_vectors,
    with_groups,
};
use crate::layers::Result;

/// The columns that a row of 45 needs, and one more, which an image of 16 channels reads and multiplies by zeros.
const COLUMNS: usize = ROW + TAPS;

thread_local! {
    /// Memory that each thread keeps.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    /// Rows of the image with zeros around them, `[plane, row % 3, column, line]`.
    lines: Vec<Line>,
    /// Where each step begins in `lines`, for the first plane of the output.
    offsets: Vec<usize>,
    sums: Vec<[[Lanes; ROW]; 2]>,
}

/// A kernel in the form of tiles.
#[derive(Debug)]
pub(crate) struct Kernel {
    axes: u32,
    channels: [usize; 2],
    steps: Vec<Step>,
    /// `[32 outputs, step, 16 outputs, pair of inputs, output, 2]`; zeros stand for missing outputs.
    matrices: Vec<Line>,
}

/// What is multiplied at a time: 32 channels of one tap, or 16 channels each of two adjacent taps.
#[derive(Debug, Clone, Copy)]
struct Step {
    depth: usize,
    height: usize,
    /// Column of the first tap.
    column: usize,
    /// Which 32 channels.
    line: usize,
}

impl Step {
    /// Returns the tap and input channel of a factor; `None` if the second tap is beyond the kernel.
    fn source(self, factor: usize, inputs: usize) -> Option<[usize; 2]> {
        let column = self.column + if inputs < TOGETHER { factor / inputs } else { 0 };
        let channel = self.line * TOGETHER + factor % inputs;
        (column < TAPS).then(|| [(self.depth * TAPS + self.height) * TAPS + column, channel])
    }
}

impl Kernel {
    /// Makes the tiles of a kernel `[output, input, axis..]`, with rounded values.
    pub(crate) fn new(kernel: &[f32], axes: u32, [input, output]: [usize; 2]) -> Self {
        let mut steps = Vec::new();
        for rows in 0..TAPS.pow(axes - 1) {
            for column in (0..TAPS).step_by(if input < TOGETHER { 2 } else { 1 }) {
                for line in 0..input.div_ceil(TOGETHER) {
                    steps.push(Step { depth: rows / TAPS, height: rows % TAPS, column, line });
                }
            }
        }
        let (taps, pairs) = (TAPS.pow(axes), output.div_ceil(TOGETHER));
        let mut matrices = vec![EMPTY; pairs * steps.len() * 2 * HEIGHT];
        for (at, tile) in matrices.chunks_exact_mut(HEIGHT).enumerate() {
            let (step, first) = (steps[at / 2 % steps.len()], at / 2 / steps.len() * 2 + at % 2);
            for (row, line) in tile.iter_mut().enumerate() {
                for (k, value) in line.0.iter_mut().enumerate() {
                    let (o, factor) = (first * LANES + k / 2, 2 * row + k % 2);
                    let source = step.source(factor, input).filter(|_| o < output);
                    if let Some([tap, i]) = source {
                        *value = Bf16::put(kernel[(o * input + i) * taps + tap]);
                    }
                }
            }
        }
        Self { axes, channels: [input, output], steps, matrices }
    }

    pub(crate) fn channels(&self) -> [usize; 2] {
        self.channels
    }

    /// Returns whether the kernel has three axes.
    pub(crate) fn is_deep(&self) -> bool {
        self.axes == 3
    }

    /// Runs the convolution of one slab.
    pub(crate) fn convolve<T: Element>(&self, slab: Slab<'_, T>) -> Result<()> {
        let Slab { x, slab, out, grid, before, bias, relu, sums } = slab;
        let (Some(x), Some(out)) = (T::as_bf16(x), T::as_bf16_mut(out)) else {
            return Err(TchError::Kind(format!("kernel is for bf16 images, found {:?}", T::KIND)));
        };
        let slab = Slab { x, slab, out, grid, before, bias, relu, sums };
        SCRATCH.with_borrow_mut(|scratch| match self.channels[0] {
            64 => self.rows::<2>(slab, scratch),
            _ => self.rows::<1>(slab, scratch),
        });
        Ok(())
    }

    /// Does this with `STRIDE` lines per position.
    fn rows<const STRIDE: usize>(&self, slab: Slab<'_, Bf16>, scratch: &mut Scratch) {
        let Slab { x, slab, out, grid, before, bias, relu, sums } = slab;
        let Grid { depth, height, width, .. } = grid;
        let groups = self.channels.map(|n| n / LANES);
        let start = slab * SLAB;
        // The number of planes of the output and of the image, the first plane of the image, counted from the plane of
        // zeros before it, and the rows of the output.
        let (planes, taken, z, rows) = if self.is_deep() {
            let planes = SLAB.min(depth - start);
            (planes, planes + TAPS - 1, start, 0..height)
        } else {
            (1, 1, 1, start..height.min(start + SLAB))
        };
        let (x, out) = (x.as_chunks::<LANES>().0, out.as_chunks_mut::<LANES>().0);
        let Scratch { lines, offsets, sums: products } = scratch;
        products.resize(groups[1].div_ceil(2), [[ZERO; ROW]; 2]);
        let mut tiles = Tiles::forth();
        for first in (0..width).step_by(ROW) {
            let lines = filled(lines, taken * TAPS * COLUMNS * STRIDE, EMPTY);
            let place = [z, rows.start, first];
            let mut taken = Taken::<STRIDE> { x, groups: groups[0], grid, place, before, lines };
            for y in rows.clone() {
                taken.go_on(y);
                offsets.clear();
                offsets.extend(self.steps.iter().map(|step| {
                    let row = step.depth * TAPS + (y + step.height) % TAPS;
                    (row * COLUMNS + step.column) * STRIDE + step.line
                }));
                for plane in 0..planes {
                    let lines = &taken.lines[plane * TAPS * COLUMNS * STRIDE..];
                    let matrices = self.matrices.chunks_exact(self.steps.len() * 2 * HEIGHT);
                    for (matrices, products) in matrices.zip(products.iter_mut()) {
                        tiles.convolve_row::<STRIDE>(lines, offsets, matrices, products);
                    }
                    let at = (plane * height + y - rows.start) * width;
                    let columns = ROW.min(width - first);
                    run_vectors(Finish {
                        products,
                        bias,
                        relu,
                        sums: &mut *sums,
                        out: &mut out[(at + first) * groups[1]..][..columns * groups[1]],
                    });
                }
            }
        }
    }
}

/// The last three rows of each plane that a slab needs, with zeros around them.
struct Taken<'a, const STRIDE: usize> {
    x: &'a [[Bf16; LANES]],
    /// Number of groups of sixteen channels.
    groups: usize,
    grid: Grid,
    /// The first plane, the next row and the first column, each counted from the zeros before the image.
    place: [usize; 3],
    before: Option<&'a [Vec<Lanes>; 2]>,
    lines: &'a mut [Line],
}

impl<const STRIDE: usize> Taken<'_, STRIDE> {
    /// Fetches the rows needed for row `y` of the output.
    fn go_on(&mut self, y: usize) {
        let Grid { depth, height, width, .. } = self.grid;
        let (groups, before) = (self.groups, self.before);
        let [first_plane, next, first] = &mut self.place;
        // The image's columns begin here among the fetched ones, the first of which may be a column of zeros.
        let left = usize::from(*first == 0);
        let columns = COLUMNS.min(width + 1 - *first) - left;
        while *next < y + TAPS {
            let slots = self.lines.chunks_exact_mut(COLUMNS * STRIDE);
            for (plane, out) in slots.skip(*next % TAPS).step_by(TAPS).enumerate() {
                // Indices before the first wrap around to large numbers.
                let (z, y) = ((*first_plane + plane).wrapping_sub(1), next.wrapping_sub(1));
                if z >= depth || y >= height {
                    out.fill(EMPTY);
                    continue;
                }
                let at = (z * height + y) * width + *first + left - 1;
                let x = &self.x[at * groups..][..columns * groups];
                match groups {
                    1 => run_vectors(Doubled { x, before, left, out }),
                    _ => run_vectors(Copied { x, before, groups, left, out }),
                }
            }
            *next += 1;
        }
    }
}

/// A row of an image of 16 channels, in which each position is followed by the next one.
struct Doubled<'a> {
    x: &'a [[Bf16; LANES]],
    before: Option<&'a [Vec<Lanes>; 2]>,
    /// Where the first position is written.
    left: usize,
    out: &'a mut [Line],
}

impl VectorTask for Doubled<'_> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { x, before, left, out } = self;
        for (at, x) in x.iter().enumerate() {
            let mut value = [Bf16::ZERO; LANES];
            normalised(V::get(x), before, 0).put(&mut value);
            let at = at + left;
            out[at].0[..LANES].copy_from_slice(&value);
            if at > 0 {
                out[at - 1].0[LANES..].copy_from_slice(&value);
            }
        }
    }
}

/// A row of an image with more than 16 channels.
struct Copied<'a> {
    x: &'a [[Bf16; LANES]],
    before: Option<&'a [Vec<Lanes>; 2]>,
    /// Number of groups of sixteen channels.
    groups: usize,
    left: usize,
    out: &'a mut [Line],
}

impl VectorTask for Copied<'_> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { x, before, groups, left, out } = self;
        let out = &mut out[left * groups / 2..];
        let halves = out.iter_mut().flat_map(|line| line.0.as_chunks_mut::<LANES>().0);
        for ((at, x), out) in x.iter().enumerate().zip(halves) {
            normalised(V::get(x), before, at % groups).put(out);
        }
    }
}

/// Sums of products on their way to a row of the output.
struct Finish<'a> {
    products: &'a [[[Lanes; ROW]; 2]],
    bias: &'a [Lanes],
    relu: bool,
    sums: &'a mut [Lanes],
    out: &'a mut [[Bf16; LANES]],
}

impl VectorTask for Finish<'_> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        with_groups!(self.bias.len(), O => self.of::<V, O>());
    }
}

impl Finish<'_> {
    /// Handles all channels of a position at once, so that each cache line is written once.
    #[inline(always)]
    fn of<V: Vector, const O: usize>(self) {
        let Self { products, bias, relu, sums, out } = self;
        let products = products.as_flattened();
        let mut all = [V::splat(0.0); O];
        let mut addends = [V::splat(0.0); O];
        for o in 0..O {
            (all[o], addends[o]) = (V::load(&sums[o].0), V::load(&bias[o].0));
        }
        for (at, out) in out.as_chunks_mut::<O>().0.iter_mut().enumerate().take(ROW) {
            for o in 0..O {
                let mut value = V::load(&products[o][at].0).add(addends[o]);
                if relu {
                    value = value.max(V::splat(0.0));
                }
                all[o] = all[o].add(value);
                value.put(&mut out[o]);
            }
        }
        for (sum, all) in sums.iter_mut().zip(all) {
            all.store(&mut sum.0);
        }
    }
}
