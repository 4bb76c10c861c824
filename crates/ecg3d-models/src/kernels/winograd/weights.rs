//! The gradient of a convolution's kernel.
//!
//! At each point it is the product of the input's values and the output's gradients there, summed over all tiles.

use super::axis::{self, POINTS, TILE};
use super::tiles::{PLANE, ROW, Scratch, Values};
use super::{Element, Grid, LANES, Lanes, Vector, VectorTask, ZERO, add_product};

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
        let dy = &self.dy.as_chunks::<LANES>().0[image * positions * outputs..];
        let Scratch { rows, lines, points, products, wide, flat } = &mut *self.scratch;
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
            let mut values = Values::<T, Z>::new(
                x,
                inputs,
                self.grid,
                place,
                self.before,
                [&mut *rows, &mut *lines],
            );
            for y in tiles.clone().step_by(TILE) {
                // The gradients at the points of the depth.
                flat.fill(ZERO);
                for row in 0..TILE.min(height - y) {
                    for k in 0..columns * outputs {
                        let mut taken = [V::splat(0.0); TILE];
                        for (plane, value) in taken.iter_mut().enumerate() {
                            let inside =
                                if Z == 1 { plane == 0 } else { z + plane < self.grid.depth };
                            if inside {
                                let row = ((z + plane) * height + y + row) * width + first;
                                *value = V::get(&dy[row * outputs + k]);
                            }
                        }
                        let bias = &mut self.bias[k % outputs];
                        let sum = taken[0].add(taken[1]).add(taken[2]);
                        V::load(&bias.0).add(sum).store(&mut bias.0);
                        if Z == 1 {
                            taken[0].store(&mut flat[row * length + k].0);
                        } else {
                            for (point, value) in axis::output_back(taken).into_iter().enumerate() {
                                value.store(&mut flat[(point * TILE + row) * length + k].0);
                            }
                        }
                    }
                }
                let per_plane = PLANE * outputs * inputs * LANES;
                let planes = flat.chunks_exact(TILE * length);
                for (point, (flat, factors)) in
                    planes.zip(self.factors.chunks_exact_mut(per_plane)).enumerate()
                {
                    values.plane::<V, ROWS>(y, point, points);
                    V::apart::<ROWS>(Unfold { flat, outputs, wide, products });
                    V::apart::<ROWS>(AddProducts {
                        values: points,
                        gradients: products,
                        channels: self.channels,
                        factors: factors.as_chunks_mut::<LANES>().0,
                    });
                }
            }
        }
    }
}

/// Adds the products at the points of a plane to the gradients of the matrices of these points.
struct AddProducts<'a> {
    /// `[point, tile, input / 16]`.
    values: &'a [Lanes],
    /// `[point, tile, output / 16]`.
    gradients: &'a [Lanes],
    /// Sixteens of channels.
    channels: [usize; 2],
    factors: &'a mut [[Lanes; LANES]],
}

impl VectorTask for AddProducts<'_> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        match self.channels[0] {
            1 => self.of::<V, ROWS, 1>(),
            2 => self.of::<V, ROWS, 2>(),
            _ => self.of::<V, ROWS, 4>(),
        }
    }
}

impl AddProducts<'_> {
    #[inline(always)]
    fn of<V: Vector, const ROWS: usize, const I: usize>(self) {
        let Self { values, gradients, channels: [_, outputs], factors } = self;
        let values = values.as_chunks::<I>().0.chunks_exact(ROW);
        let pairs = values.zip(gradients.chunks_exact(ROW * outputs));
        let factors = factors.as_chunks_mut::<I>().0.chunks_exact_mut(outputs);
        for ((values, gradients), factors) in pairs.zip(factors) {
            add_product::<V, ROWS, I>(values, gradients, factors);
        }
    }
}

/// Gradients `[row, column, output / 16]` of a row of tiles -> those of the products, `[point, tile, output / 16]`.
struct Unfold<'a> {
    flat: &'a [Lanes],
    outputs: usize,
    wide: &'a mut [Lanes],
    products: &'a mut [Lanes],
}

impl VectorTask for Unfold<'_> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { flat, outputs, wide, products } = self;
        let (across, length) = (ROW * outputs, ROW * TILE * outputs);
        let mut to = wide.chunks_exact_mut(length);
        let mut to = [(); POINTS].map(|()| to.next().unwrap_or_default());
        let from = [0, 1, 2].map(|k| &flat[k * length..][..length]);
        for at in 0..length {
            let line = [V::load(&from[0][at].0), V::load(&from[1][at].0), V::load(&from[2][at].0)];
            for (to, value) in to.iter_mut().zip(axis::output_back(line)) {
                value.store(&mut to[at].0);
            }
        }
        for (wide, out) in wide.chunks_exact(length).zip(products.chunks_exact_mut(POINTS * across))
        {
            let mut to = out.chunks_exact_mut(across);
            let mut to = [(); POINTS].map(|()| to.next().unwrap_or_default());
            for tile in 0..ROW {
                for o in 0..outputs {
                    let column = &wide[tile * TILE * outputs + o..];
                    let line = [
                        V::load(&column[0].0),
                        V::load(&column[outputs].0),
                        V::load(&column[2 * outputs].0),
                    ];
                    for (to, value) in to.iter_mut().zip(axis::output_back(line)) {
                        value.store(&mut to[tile * outputs + o].0);
                    }
                }
            }
        }
    }
}
