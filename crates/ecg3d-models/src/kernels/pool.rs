//! Maxima of blocks of a volume.

use rayon::prelude::*;

use super::lanes::LANES;
use super::vector::{Vector, VectorTask, run_vectors};
use super::{Element, threads};
use crate::layers::Result;

/// Blocks of a volume `[side, side, side, channel]`, with `size` positions along each axis.
///
/// The first block begins `before` positions outside the volume.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    pub side: usize,
    pub size: usize,
    pub before: usize,
    /// Number of blocks along an axis.
    pub count: usize,
}

impl Blocks {
    /// Returns the positions of a block along an axis.
    fn range(self, block: usize) -> std::ops::Range<usize> {
        let start = (block * self.size).saturating_sub(self.before);
        start..(block * self.size + self.size - self.before).min(self.side)
    }
}

/// Computes the maximum of each channel in each block, `[block, block, block, channel]`.
pub(crate) fn max_pool<T: Element>(
    x: &[T],
    blocks: Blocks,
    channels: usize,
    out: &mut [T],
) -> Result<()> {
    let plane = blocks.count * blocks.count * channels;
    threads::install(|| {
        out.par_chunks_mut(plane)
            .enumerate()
            .for_each(|(z, out)| run_vectors(Pool { x, blocks, groups: channels / LANES, z, out }));
    })
}

struct Pool<'a, T> {
    x: &'a [T],
    blocks: Blocks,
    groups: usize,
    z: usize,
    out: &'a mut [T],
}

impl<T: Element> VectorTask for Pool<'_, T> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { x, blocks, groups, z, out } = self;
        let x = x.as_chunks::<LANES>().0;
        for (at, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let (column, group) = (at / groups, at % groups);
            let (row, column) = (column / blocks.count, column % blocks.count);
            let columns = blocks.range(column);
            let mut largest = V::splat(f32::NEG_INFINITY);
            for z in blocks.range(z) {
                for y in blocks.range(row) {
                    let line = (z * blocks.side + y) * blocks.side;
                    for x in x[(line + columns.start) * groups..(line + columns.end) * groups]
                        .iter()
                        .skip(group)
                        .step_by(groups)
                    {
                        largest = largest.max(V::get(x));
                    }
                }
            }
            largest.put(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn blocks_with_and_without_padding() {
        let x = Tensor::arange(45 * 45 * 45 * 16, (Kind::Float, Device::Cpu));
        let x = (x * 12.9898).sin().view([1, 45, 45, 45, 16]);
        let first = x.permute([0, 4, 1, 2, 3]);
        for (before, count) in [(0, 6), (2, 7)] {
            let [pad, end] = [before as i64, count as i64 * 7 - 45 - before as i64];
            let padded = match before {
                0 => first.shallow_clone(),
                _ => first.pad([pad, end, pad, end, pad, end], "constant", -9.0),
            };
            let expected = padded.max_pool3d([7, 7, 7], [7, 7, 7], [0, 0, 0], [1, 1, 1], false);
            let expected = expected.permute([0, 2, 3, 4, 1]).contiguous();
            let mut out = vec![0f32; count * count * count * 16];
            let blocks = Blocks { side: 45, size: 7, before, count };
            max_pool(crate::kernels::values(&x).expect("x"), blocks, 16, &mut out).expect("runs");
            assert_eq!(Tensor::from_slice(&out), expected.view(-1));
        }
    }
}
