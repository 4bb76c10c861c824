//! The gradient of a convolution's kernel.
//!
//! At each point, it is the product of the input's values and the output's gradients there, summed over all tiles.

use super::axis::{self, POINTS, TILE};
use super::tiles::{
    Columns, Line, PLANE, ROW, Scratch, Tiles, Values, to_lines, to_points, vectors,
};
use std::ops::Range;

use super::{
    Element, Grid, LANES, Lanes, Vector, VectorTask, add_product, matrices_mut, rows, rows_mut,
    with_groups,
};
use crate::kernels::convolution::Pair;

/// The contribution of some slabs to the gradient.
pub(crate) struct Gradient<'a, T> {
    pub pair: Pair<'a, T>,
    /// The slabs, counted over all images.
    pub slabs: Range<usize>,
    /// Receives, by addition, the gradients of the factors, `[point, output / 16, input, 16]`; 25 or 125 points.
    pub factors: &'a mut [Lanes],
    /// Receives, by addition, the sums of `dy`.
    pub bias: &'a mut [Lanes],
    pub scratch: &'a mut Scratch,
}

impl<T: Element> VectorTask for Gradient<'_, T> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let [input, output] = self.pair.groups;
        if self.factors.len() == POINTS * PLANE * output * input * LANES {
            self.slabs::<V, ROWS, POINTS>();
        } else {
            self.slabs::<V, ROWS, 1>();
        }
    }
}

impl<T: Element> Gradient<'_, T> {
    #[inline(always)]
    fn slabs<V: Vector, const ROWS: usize, const Z: usize>(mut self) {
        let Grid { depth, height, .. } = self.pair.grid;
        let side = if Z == 1 { height } else { depth };
        let of_image = side.div_ceil(TILE);
        for slab in self.slabs.clone() {
            self.slab::<V, ROWS, Z>(slab / of_image, slab % of_image);
        }
    }

    #[inline(always)]
    fn slab<V: Vector, const ROWS: usize, const Z: usize>(&mut self, image: usize, slab: usize) {
        let Pair { x, dy, grid, groups, before } = self.pair;
        let Grid { height, width, .. } = grid;
        let [inputs, outputs] = groups;
        let positions = grid.positions();
        let x = &x[image * positions * inputs * LANES..][..positions * inputs * LANES];
        let dy = &dy[image * positions * outputs * LANES..][..positions * outputs * LANES];
        let Scratch { rows: kept, lines, points, products, wide, flat } =
            self.scratch.with_room(groups);
        let start = slab * TILE;
        let (z, tiles) = if Z == 1 { (0, start..start + 1) } else { (start, 0..height) };
        for first in (0..width).step_by(ROW * TILE) {
            let columns = (width - first).min(ROW * TILE);
            let place = [z, tiles.start, first];
            let mut values = Values::<T, Z>::new(x, inputs, grid, place, before, kept);
            for y in tiles.clone().step_by(TILE) {
                let at = y * width + first;
                with_groups!(outputs, O => {
                    let dy = dy.as_chunks::<LANES>().0.as_chunks::<O>().0;
                    let mut planes = dy.chunks(height * width).skip(z);
                    V::apart::<ROWS>(Deepen::<T, Z, O> {
                        dy: [(); TILE].map(|()| {
                            planes.next().and_then(|dy| dy.get(at..)).unwrap_or_default()
                        }),
                        rows: TILE.min(height - y),
                        columns,
                        width,
                        bias: &mut self.bias.as_chunks_mut().0[0],
                        flat: &mut rows_mut(flat).as_chunks_mut().0.as_chunks_mut().0[0],
                    });
                });
                values.go_on::<V, ROWS>(y);
                let planes = self.factors.chunks_exact_mut(PLANE * outputs * inputs * LANES);
                for (point, factors) in planes.enumerate() {
                    with_groups!(inputs, I => with_groups!(outputs, O => {
                        V::apart::<ROWS>(PlaneGradient::<I, O> {
                            rows: values.rows(y, point),
                            flat: &rows(flat).as_chunks().0[point],
                            lines: &mut rows_mut(lines).as_chunks_mut().0[0],
                            points: &mut rows_mut(points).as_chunks_mut().0[0],
                            gradients: &mut rows_mut(products).as_chunks_mut().0[0],
                            wide: &mut rows_mut(wide).as_chunks_mut().0[0],
                            factors: matrices_mut(factors).as_chunks_mut().0,
                        });
                    }));
                }
            }
        }
    }
}

/// Transforms rows of gradients of the planes of a slab to the points of the depth.
struct Deepen<'a, T, const Z: usize, const O: usize> {
    /// The planes from the first position; empty past the last plane.
    dy: [&'a [[[T; LANES]; O]]; TILE],
    rows: usize,
    columns: usize,
    width: usize,
    bias: &'a mut [Lanes; O],
    flat: &'a mut [[Line<O>; TILE]; Z],
}

impl<T: Element, const Z: usize, const O: usize> VectorTask for Deepen<'_, T, Z, O> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { dy, rows, columns, width, bias, flat } = self;
        for row in 0..TILE {
            let dy = dy.map(|dy| {
                let row = if row < rows { row * width..row * width + columns } else { 0..0 };
                dy.get(row).unwrap_or_default()
            });
            for column in 0..ROW * TILE {
                for o in 0..O {
                    let mut taken = [V::splat(0.0); TILE];
                    for (value, dy) in taken.iter_mut().zip(&dy) {
                        if let Some(dy) = dy.get(column) {
                            *value = V::get(&dy[o]);
                        }
                    }
                    let sum = taken[0].add(taken[1]).add(taken[2]);
                    V::load(&bias[o].0).add(sum).store(&mut bias[o].0);
                    let line = if Z == 1 { [taken[0]; POINTS] } else { axis::output_back(taken) };
                    for (flat, value) in flat.iter_mut().zip(line) {
                        value.store(&mut flat[row][column][o].0);
                    }
                }
            }
        }
    }
}

/// The contribution of a row of tiles to the gradients of the matrices of a plane of points.
struct PlaneGradient<'a, const I: usize, const O: usize> {
    rows: [&'a Columns<I>; POINTS],
    /// Gradients of the rows of the output.
    flat: &'a [Line<O>; TILE],
    lines: &'a mut [Columns<I>; POINTS],
    points: &'a mut [Tiles<I>; POINTS],
    gradients: &'a mut [Tiles<O>; POINTS],
    wide: &'a mut [Line<O>; POINTS],
    /// Receives, by addition, `[point of the height, point of the width]`.
    factors: &'a mut [[[[[Lanes; LANES]; I]; O]; POINTS]],
}

impl<const I: usize, const O: usize> VectorTask for PlaneGradient<'_, I, O> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { rows, flat, lines, points, gradients, wide, factors } = self;
        to_lines::<V, I>(rows, lines);
        for at in 0..ROW * TILE {
            for o in 0..O {
                let line = vectors!(TILE, k => V::load(&flat[k][at][o].0));
                for (to, value) in wide.iter_mut().zip(axis::output_back(line)) {
                    value.store(&mut to[at][o].0);
                }
            }
        }
        for ((line, wide), factors) in lines.iter().zip(wide).zip(factors) {
            to_points::<V, I>(line, points);
            for tile in 0..ROW {
                for o in 0..O {
                    let line = vectors!(TILE, k => V::load(&wide[tile * TILE + k][o].0));
                    for (to, value) in gradients.iter_mut().zip(axis::output_back(line)) {
                        value.store(&mut to[tile][o].0);
                    }
                }
            }
            let pairs = points.iter().zip(gradients.iter());
            for ((values, gradients), factors) in pairs.zip(factors) {
                add_product::<V, ROWS, I, O>(values, gradients, factors);
            }
        }
    }
}
