//! The gradient of a convolution's kernel.
//!
//! At each point it is the product of the input's values and the output's gradients there, summed over all tiles.

use super::axis::{self, POINTS, TILE};
use super::tiles::{Line, PLANE, ROW, Scratch, Values, vectors};
use super::{
    Element, Grid, LANES, Lanes, Vector, VectorTask, ZERO, add_product, matrices_mut, rows,
    rows_mut, with_groups,
};

/// The gradient by some slabs.
pub(super) struct Gradient<'a, T> {
    /// All images, and the gradients of the output.
    pub x: &'a [T],
    pub dy: &'a [T],
    pub grid: Grid,
    /// Sixteens of input and output channels.
    pub channels: [usize; 2],
    pub before: Option<&'a [Vec<Lanes>; 2]>,
    /// Image and slab of each.
    pub slabs: &'a [(usize, usize)],
    /// Added to: gradients of the factors, `[point, output / 16, input, 16]`; 25 or 125 points.
    pub factors: &'a mut [Lanes],
    /// Added to: sums of `dy`.
    pub bias: &'a mut [Lanes],
    pub scratch: &'a mut Scratch,
}

impl<T: Element> VectorTask for Gradient<'_, T> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let [input, output] = self.channels;
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
        for (image, slab) in self.slabs {
            self.slab::<V, ROWS, Z>(*image, *slab);
        }
    }

    #[inline(always)]
    fn slab<V: Vector, const ROWS: usize, const Z: usize>(&mut self, image: usize, slab: usize) {
        let Grid { height, width, .. } = self.grid;
        let [inputs, outputs] = self.channels;
        let positions = self.grid.positions();
        let x = &self.x[image * positions * inputs * LANES..][..positions * inputs * LANES];
        let dy = &self.dy[image * positions * outputs * LANES..][..positions * outputs * LANES];
        let Scratch { rows: kept, lines, points, products, wide, flat } = &mut *self.scratch;
        let length = ROW * TILE * outputs;
        points.resize((PLANE * ROW * inputs).max(points.len()), ZERO);
        products.resize((PLANE * ROW * outputs).max(products.len()), ZERO);
        wide.resize((POINTS * length).max(wide.len()), ZERO);
        flat.resize((POINTS * TILE * length).max(flat.len()), ZERO);
        let (points, products) =
            (&mut points[..PLANE * ROW * inputs], &mut products[..PLANE * ROW * outputs]);
        let (wide, flat) = (&mut wide[..POINTS * length], &mut flat[..Z * TILE * length]);
        let start = slab * TILE;
        let (z, tiles) = if Z == 1 { (0, start..start + 1) } else { (start, 0..height) };
        for first in (0..width).step_by(ROW * TILE) {
            let columns = (width - first).min(ROW * TILE);
            let place = [z, tiles.start, first];
            let memory = [&mut *kept, &mut *lines];
            let mut values = Values::<T, Z>::new(x, inputs, self.grid, place, self.before, memory);
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
                let per_plane = PLANE * outputs * inputs * LANES;
                let planes = flat.chunks_exact(TILE * length);
                for (point, (flat, factors)) in
                    planes.zip(self.factors.chunks_exact_mut(per_plane)).enumerate()
                {
                    values.plane::<V, ROWS>(y, point, points);
                    with_groups!(outputs, O => {
                        V::apart::<ROWS>(Unfold::<O> {
                            flat: &rows(flat).as_chunks().0[0],
                            wide: &mut rows_mut(wide).as_chunks_mut().0[0],
                            products: rows_mut(products).as_chunks_mut().0,
                        });
                        with_groups!(inputs, I => V::apart::<ROWS>(AddProducts::<I, O> {
                            values: rows(points),
                            gradients: rows(products),
                            factors: matrices_mut(factors),
                        }));
                    });
                }
            }
        }
    }
}

/// Rows of gradients of the planes of a slab, to the points of the depth.
struct Deepen<'a, T, const Z: usize, const O: usize> {
    /// From the first position on; empty behind the last plane.
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
                    // Where only one plane has points, the others are not this slab's.
                    for (value, dy) in taken.iter_mut().zip(&dy[..if Z == 1 { 1 } else { TILE }]) {
                        if let Some(dy) = dy.get(column) {
                            *value = V::get(&dy[o]);
                        }
                    }
                    let sum = taken[0].add(taken[1]).add(taken[2]);
                    V::load(&bias[o].0).add(sum).store(&mut bias[o].0);
                    let line = axis::output_back(taken);
                    for (flat, value) in flat.iter_mut().zip(line) {
                        let value = if Z == 1 { taken[0] } else { value };
                        value.store(&mut flat[row][column][o].0);
                    }
                }
            }
        }
    }
}

/// Adds the products at the points of a plane to the gradients of the matrices of these points.
struct AddProducts<'a, const I: usize, const O: usize> {
    values: &'a [[[Lanes; I]; ROW]],
    gradients: &'a [[[Lanes; O]; ROW]],
    factors: &'a mut [[[[Lanes; LANES]; I]; O]],
}

impl<const I: usize, const O: usize> VectorTask for AddProducts<'_, I, O> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { values, gradients, factors } = self;
        for ((values, gradients), factors) in values.iter().zip(gradients).zip(factors) {
            add_product::<V, ROWS, I, O>(values, gradients, factors);
        }
    }
}

/// Gradients of rows of the output to those of the products, `[height point, width point]`.
struct Unfold<'a, const O: usize> {
    flat: &'a [Line<O>; TILE],
    wide: &'a mut [Line<O>; POINTS],
    products: &'a mut [[[[Lanes; O]; ROW]; POINTS]],
}

impl<const O: usize> VectorTask for Unfold<'_, O> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { flat, wide, products } = self;
        for at in 0..ROW * TILE {
            for o in 0..O {
                let line = vectors!(TILE, k => V::load(&flat[k][at][o].0));
                for (to, value) in wide.iter_mut().zip(axis::output_back(line)) {
                    value.store(&mut to[at][o].0);
                }
            }
        }
        for (wide, products) in wide.iter().zip(products) {
            for tile in 0..ROW {
                for o in 0..O {
                    let line = vectors!(TILE, k => V::load(&wide[tile * TILE + k][o].0));
                    for (to, value) in products.iter_mut().zip(axis::output_back(line)) {
                        value.store(&mut to[tile][o].0);
                    }
                }
            }
        }
    }
}
