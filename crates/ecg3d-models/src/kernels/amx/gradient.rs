//! The gradient of a convolution's kernel.
//!
//! The sums run over positions. In planes with one column of zeros after each row, the neighbours of all positions are
//! the same memory, read from another offset. The gradients of the output are turned into rows of positions. In the
//! image, each position is placed beside the next one.

use std::cell::RefCell;
use std::ops::Range;

use super::convolution::{Grid, Pair, normalised};
use super::tiles::{HEIGHT, TOGETHER, Tiles};
use super::{Bf16, EMPTY, LANES, Lanes, Line, TAPS, Vector, VectorTask, ZERO, filled, run_vectors};

thread_local! {
    /// Memory that each thread keeps.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    /// Planes of the image, `[plane % 3, 16 channels, position, channel, 2]`.
    x: Vec<Line>,
    /// A plane of the gradients, `[32 outputs, step, 16 outputs, output, position]`.
    dy: Vec<Line>,
    /// The same as `[position, 16 outputs, output]`.
    flat: Vec<[Bf16; LANES]>,
}

/// Returns two sums over `planes`, which are counted over all images: of products, for [`kernel_back`], and of `dy`.
///
/// The products are those of the image and `dy` that make up the kernel's gradient.
pub(crate) fn gradient(
    pair: Pair<'_, Bf16>,
    axes: u32,
    planes: Range<usize>,
) -> (Vec<Lanes>, Vec<Lanes>) {
    let Pair { x, dy, grid, groups: [inputs, outputs], before } = pair;
    let Grid { depth, height, width, .. } = grid;
    let pairs = outputs.div_ceil(2);
    let deep = if axes == 3 { TAPS } else { 1 };
    let stride = width + 1;
    let steps = (height * stride).div_ceil(TOGETHER);
    // As far as the last step reads at the last tap.
    let length = steps * TOGETHER + (TAPS - 1) * stride + 1;
    let mut sums = vec![[[ZERO; HEIGHT]; 6]; deep * TAPS * inputs * pairs];
    let mut bias = vec![ZERO; outputs];
    let (x, dy) = (x.as_chunks::<LANES>().0, dy.as_chunks::<LANES>().0);
    SCRATCH.with_borrow_mut(|scratch| {
        let all = filled(&mut scratch.x, deep * inputs * length, EMPTY);
        let turned = filled(&mut scratch.dy, pairs * steps * 2 * HEIGHT, EMPTY);
        let flat = filled(&mut scratch.flat, steps * TOGETHER * outputs, [Bf16::ZERO; LANES]);
        let mut held = [None; TAPS];
        let mut tiles = Tiles::gradient();
        for plane in planes {
            let rows = plane_of(dy, plane, height * width * outputs).chunks_exact(width * outputs);
            for (out, row) in flat.chunks_exact_mut(stride * outputs).zip(rows) {
                out[..row.len()].copy_from_slice(row);
            }
            run_vectors(Turned { flat, outputs, steps, out: &mut *turned, bias: &mut bias });
            for (tap, sums) in sums.chunks_exact_mut(TAPS * inputs * pairs).enumerate() {
                let z = plane % depth + tap;
                let source = match deep {
                    1 => plane,
                    // Planes of zeros contribute nothing.
                    _ if z == 0 || z > depth => continue,
                    _ => plane + tap - 1,
                };
                let slot = source % deep;
                let x_of_slot = &mut all[slot * inputs * length..][..inputs * length];
                if held[slot] != Some(source) {
                    held[slot] = Some(source);
                    run_vectors(Paired {
                        x: plane_of(x, source, height * width * inputs),
                        before,
                        inputs,
                        width,
                        out: &mut *x_of_slot,
                    });
                }
                for (at, sums) in sums.iter_mut().enumerate() {
                    let (row, input, pair) = (at / pairs / inputs, at / pairs % inputs, at % pairs);
                    let x = &x_of_slot[input * length..][..length];
                    let dy = &turned[pair * steps * 2 * HEIGHT..][..steps * 2 * HEIGHT];
                    tiles.add_products(dy, &x[row * stride..], steps, sums);
                }
            }
        }
    });
    (sums.into_flattened().into_flattened(), bias)
}

fn plane_of(all: &[[Bf16; LANES]], plane: usize, size: usize) -> &[[Bf16; LANES]] {
    &all[plane * size..][..size]
}

/// Returns the sums of [`gradient`] as `[output, input, axis..]`.
pub(crate) fn kernel_back(sums: &[Lanes], axes: u32, [input, output]: [usize; 2]) -> Vec<f32> {
    let (inputs, pairs) = (input / LANES, (output / LANES).div_ceil(2));
    let tiles = sums.as_chunks::<HEIGHT>().0.as_chunks::<TAPS>().0.as_chunks::<2>().0;
    let taps = TAPS.pow(axes);
    let mut out = vec![0.0; output * input * taps];
    for (at, value) in out.iter_mut().enumerate() {
        let (tap, i, o) = (at % taps, at / taps % input, at / taps / input);
        let tile = (tap / TAPS * inputs + i / LANES) * pairs + o / (2 * LANES);
        let of_group = &tiles[tile][o / LANES % 2];
        *value = of_group[tap % TAPS][o % LANES].0[i % LANES];
    }
    out
}

/// A plane of the image in the form that [`Tiles::add_products`] takes, one group of 16 channels after the other.
struct Paired<'a> {
    x: &'a [[Bf16; LANES]],
    before: Option<&'a [Vec<Lanes>; 2]>,
    /// Number of groups of sixteen channels.
    inputs: usize,
    width: usize,
    /// Where there is no position, this already contains zeros.
    out: &'a mut [Line],
}

impl VectorTask for Paired<'_> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { x, before, inputs, width, out } = self;
        let length = out.len() / inputs;
        for (group, out) in out.chunks_exact_mut(length).enumerate() {
            for (y, row) in x.chunks_exact(width * inputs).enumerate() {
                let out = &mut out[(y + 1) * (width + 1)..][..width + 1];
                let mut earlier = [Bf16::ZERO; LANES];
                for (k, out) in out.iter_mut().enumerate() {
                    let mut value = [Bf16::ZERO; LANES];
                    if let Some(x) = row.get(k * inputs + group) {
                        normalised(V::get(x), before, group).put(&mut value);
                    }
                    for (pair, k) in out.0.as_chunks_mut().0.iter_mut().zip(0..) {
                        *pair = [earlier[k], value[k]];
                    }
                    earlier = value;
                }
            }
        }
    }
}

/// A plane of gradients in tiles with one row for each channel, and the sums of the gradients.
struct Turned<'a> {
    flat: &'a [[Bf16; LANES]],
    /// Number of groups of sixteen channels.
    outputs: usize,
    steps: usize,
    out: &'a mut [Line],
    bias: &'a mut [Lanes],
}

impl VectorTask for Turned<'_> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { flat, outputs, steps, out, bias } = self;
        for (group, bias) in bias.iter_mut().enumerate() {
            let mut sum = V::splat(0.0);
            let tiles = out[group / 2 * steps * 2 * HEIGHT..].chunks_exact_mut(HEIGHT);
            let tiles = tiles.skip(group % 2).step_by(2).take(steps);
            for (tile, flat) in tiles.zip(flat.chunks_exact(TOGETHER * outputs)) {
                for half in 0..2 {
                    let mut rows = [[Bf16::ZERO; LANES]; LANES];
                    for (k, row) in rows.iter_mut().enumerate() {
                        *row = flat[(half * LANES + k) * outputs + group];
                        sum = sum.add(V::get(row));
                    }
                    for (line, row) in tile.iter_mut().zip(transposed(rows)) {
                        line.0[half * LANES..][..LANES].copy_from_slice(&row);
                    }
                }
            }
            V::load(&bias.0).add(sum).store(&mut bias.0);
        }
    }
}

/// Exchanges rows and columns by interleaving the rows of both halves four times.
#[inline(always)]
fn transposed(mut rows: [[Bf16; LANES]; LANES]) -> [[Bf16; LANES]; LANES] {
    for _ in 0..4 {
        let mut out = [[Bf16::ZERO; LANES]; LANES];
        for k in 0..LANES / 2 {
            let (a, b) = (rows[k], rows[k + LANES / 2]);
            for at in 0..LANES {
                out[2 * k + at * 2 / LANES][at * 2 % LANES] = a[at];
                out[2 * k + at * 2 / LANES][at * 2 % LANES + 1] = b[at];
            }
        }
        rows = out;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Element;

    #[test]
    fn rows_and_columns_are_exchanged() {
        let rows =
            std::array::from_fn(|y| std::array::from_fn(|x| Bf16::put((y * LANES + x) as f32)));
        let found = transposed(rows);
        for (y, row) in found.iter().enumerate() {
            for (x, value) in row.iter().enumerate() {
                assert_eq!(value.get(), (x * LANES + y) as f32, "row {y}, column {x}");
            }
        }
    }
}
