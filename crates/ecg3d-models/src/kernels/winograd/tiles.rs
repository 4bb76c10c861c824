//! The way of rows of tiles through a convolution.
//!
//! Axis by axis, each loop goes along rows `[width, channel]` in memory. Of three axes, the points of the first are gone through
//! one after the other, so that what is in work is a plane of points.

use std::ops::Range;

use super::axis::{self, POINTS, TILE};
use super::{
    Element, Factors, Grid, LANES, Lanes, Vector, VectorTask, ZERO, matrices, product, rows,
    rows_mut, with_groups,
};

/// Tiles of a row that are worked on together.
pub(super) const ROW: usize = 15;
/// Columns that they take.
const COLUMNS: usize = ROW * TILE + 2;

/// Points of a plane.
pub(super) const PLANE: usize = POINTS * POINTS;

/// An array of vectors. No closure: it would be compiled without the wide vectors.
macro_rules! vectors {
    ($count:expr, $k:ident => $value:expr) => {{
        let mut out = [V::splat(0.0); $count];
        for $k in 0..$count {
            out[$k] = $value;
        }
        out
    }};
}
pub(super) use vectors;

/// A row at one point of the depth, `[column, group]`.
type Columns<const G: usize> = [[Lanes; G]; COLUMNS];
/// What a row of tiles has at one point, `[tile, group]`.
type Tiles<const G: usize> = [[Lanes; G]; ROW];
/// A row of the output or its gradient at one point of the depth, `[column, group]`.
pub(super) type Line<const G: usize> = [[Lanes; G]; ROW * TILE];

/// Values at the points of a row of tiles, made from the rows of an image, `[depth, height, width, channel]`.
pub(super) struct Values<'a, T, const Z: usize> {
    x: &'a [[T; LANES]],
    /// Sixteens of channels.
    groups: usize,
    grid: Grid,
    /// The first plane that the tiles take, one too high: 0 is the plane of zeros before the image.
    z: usize,
    /// The first column of the tiles.
    first: usize,
    before: Option<&'a [Vec<Lanes>; 2]>,
    /// The last five rows at the points of the depth, `[row % 5, point, column, group]`.
    rows: &'a mut Vec<Lanes>,
    /// How many are done.
    done: usize,
    /// A point's rows at the points of the height, `[point, column, group]`.
    lines: &'a mut Vec<Lanes>,
}

impl<'a, T: Element, const Z: usize> Values<'a, T, Z> {
    #[inline(always)]
    pub(super) fn new(
        x: &'a [T],
        groups: usize,
        grid: Grid,
        [z, y, first]: [usize; 3],
        before: Option<&'a [Vec<Lanes>; 2]>,
        [rows, lines]: [&'a mut Vec<Lanes>; 2],
    ) -> Self {
        rows.clear();
        rows.resize(POINTS * Z * COLUMNS * groups, ZERO);
        lines.resize(POINTS * COLUMNS * groups, ZERO);
        let x = x.as_chunks::<LANES>().0;
        Self { x, groups, grid, z, first, before, rows, done: y, lines }
    }

    /// Values at all points of one of the depth, `[point, tile, group]`, of the row of tiles from row `y` on.
    #[inline(always)]
    pub(super) fn plane<V: Vector, const ROWS: usize>(
        &mut self,
        y: usize,
        z: usize,
        out: &mut [Lanes],
    ) {
        with_groups!(self.groups, G => self.plane_of::<V, ROWS, G>(y, z, out));
    }

    #[inline(always)]
    fn plane_of<V: Vector, const ROWS: usize, const G: usize>(
        &mut self,
        y: usize,
        z: usize,
        out: &mut [Lanes],
    ) {
        while self.done < y + POINTS {
            self.next_row::<V, ROWS, G>();
        }
        let from = rows::<COLUMNS, G>(self.rows);
        V::apart::<ROWS>(Across {
            from: [0, 1, 2, 3, 4].map(|k| &from[(y + k) % POINTS * Z + z]),
            lines: &mut rows_mut(self.lines).as_chunks_mut().0[0],
            out: &mut rows_mut(out).as_chunks_mut().0.as_chunks_mut().0[0],
        });
    }

    /// Brings a row, counted from the one of zeros before the image, to the points of the depth.
    #[inline(always)]
    fn next_row<V: Vector, const ROWS: usize, const G: usize>(&mut self) {
        let Grid { depth, height, width, .. } = self.grid;
        // Where the row's columns stand among the tiles', of which the first may be one of zeros.
        let start = usize::from(self.first == 0);
        let columns = start..COLUMNS.min(width + 1 - self.first);
        let x = self.x.as_chunks::<G>().0;
        let mut planes = [None; Z];
        for (z, plane) in planes.iter_mut().enumerate() {
            let (z, y) = ((self.z + z).wrapping_sub(1), self.done.wrapping_sub(1));
            let z = if Z == 1 { 0 } else { z };
            if z < depth && y < height {
                let first = (z * height + y) * width + self.first + start - 1;
                *plane = x.get(first..first + columns.len());
            }
        }
        let out = &mut rows_mut(self.rows).as_chunks_mut().0[self.done % POINTS];
        self.done += 1;
        let before = self.before;
        V::apart::<ROWS>(Deep::<T, Z, G> { planes, before, columns, out });
    }
}

/// A row of each plane that tiles take, to the points of the depth.
struct Deep<'a, T, const Z: usize, const G: usize> {
    /// Without those of zeros.
    planes: [Option<&'a [[[T; LANES]; G]]>; Z],
    before: Option<&'a [Vec<Lanes>; 2]>,
    /// Where the planes' columns go.
    columns: Range<usize>,
    out: &'a mut [Columns<G>; Z],
}

impl<T: Element, const Z: usize, const G: usize> VectorTask for Deep<'_, T, Z, G> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { planes, before, columns, out } = self;
        for (k, at) in columns.enumerate() {
            for g in 0..G {
                let mut taken = [V::splat(0.0); Z];
                for (value, plane) in taken.iter_mut().zip(&planes) {
                    let Some(plane) = plane else { continue };
                    *value = V::get(&plane[k][g]);
                    if let Some([scale, shift]) = before {
                        *value = value.mul_add(V::load(&scale[g].0), V::load(&shift[g].0));
                        *value = value.max(V::splat(0.0));
                    }
                }
                if Z == POINTS {
                    let line = axis::input([taken[0], taken[1], taken[2], taken[3], taken[4]]);
                    for (taken, value) in taken.iter_mut().zip(line) {
                        *taken = value;
                    }
                }
                for (out, value) in out.iter_mut().zip(taken) {
                    value.store(&mut out[at][g].0);
                }
            }
        }
    }
}

/// Rows at a point of the depth to all points, `[height point, width point, tile, group]`.
struct Across<'a, const G: usize> {
    from: [&'a Columns<G>; POINTS],
    lines: &'a mut [Columns<G>; POINTS],
    out: &'a mut [[Tiles<G>; POINTS]; POINTS],
}

impl<const G: usize> VectorTask for Across<'_, G> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { from, lines, out } = self;
        for at in 0..COLUMNS {
            for g in 0..G {
                let line = vectors!(POINTS, k => V::load(&from[k][at][g].0));
                for (to, value) in lines.iter_mut().zip(axis::input(line)) {
                    value.store(&mut to[at][g].0);
                }
            }
        }
        for (line, out) in lines.iter().zip(out) {
            for tile in 0..ROW {
                for g in 0..G {
                    let line = vectors!(POINTS, k => V::load(&line[tile * TILE + k][g].0));
                    for (to, value) in out.iter_mut().zip(axis::input(line)) {
                        value.store(&mut to[tile][g].0);
                    }
                }
            }
        }
    }
}

/// The convolution of one slab.
pub(super) struct Forth<'a, T> {
    /// One image.
    pub x: &'a [T],
    pub slab: usize,
    pub out: &'a mut [T],
    pub factors: &'a Factors,
    pub grid: Grid,
    pub before: Option<&'a [Vec<Lanes>; 2]>,
    pub bias: &'a [Lanes],
    pub relu: bool,
    /// Takes the sums of the slab's output.
    pub sums: &'a mut [Lanes],
    pub scratch: &'a mut Scratch,
}

/// Memory that a thread keeps.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) rows: Vec<Lanes>,
    pub(super) lines: Vec<Lanes>,
    /// Values at the points of a plane, `[point, tile, input / 16]`, and their products with the kernel.
    pub(super) points: Vec<Lanes>,
    pub(super) products: Vec<Lanes>,
    /// Outputs along the width, `[point of the height, column, output / 16]`.
    pub(super) wide: Vec<Lanes>,
    /// Outputs along height and width, `[point of the depth, row, column, output / 16]`.
    pub(super) flat: Vec<Lanes>,
}

impl<T: Element> VectorTask for Forth<'_, T> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        if self.factors.is_deep() {
            self.slab::<V, ROWS, POINTS>();
        } else {
            self.slab::<V, ROWS, 1>();
        }
    }
}

impl<T: Element> Forth<'_, T> {
    #[inline(always)]
    fn slab<V: Vector, const ROWS: usize, const Z: usize>(self) {
        let Grid { height, width, .. } = self.grid;
        let [inputs, outputs] = self.factors.channels().map(|n| n / LANES);
        let Scratch { rows: kept, lines, points, products, wide, flat } = self.scratch;
        let size = PLANE * ROW;
        points.resize((size * inputs).max(points.len()), ZERO);
        products.resize((size * outputs).max(products.len()), ZERO);
        let length = ROW * TILE * outputs;
        wide.resize((POINTS * length).max(wide.len()), ZERO);
        flat.resize((Z * TILE * length).max(flat.len()), ZERO);
        let (points, products) = (&mut points[..size * inputs], &mut products[..size * outputs]);
        let (wide, flat) = (&mut wide[..POINTS * length], &mut flat[..Z * TILE * length]);
        let start = self.slab * TILE;
        // A plane's slab is one row of tiles.
        let (z, tiles) = if Z == 1 { (0, start..start + 1) } else { (start, 0..height) };
        let planes = self.factors.values().chunks_exact(PLANE * outputs * inputs * LANES);
        for first in (0..width).step_by(ROW * TILE) {
            let columns = (width - first).min(ROW * TILE);
            let place = [z, tiles.start, first];
            let memory = [&mut *kept, &mut *lines];
            let mut values =
                Values::<T, Z>::new(self.x, inputs, self.grid, place, self.before, memory);
            for y in tiles.clone().step_by(TILE) {
                let flat_planes = flat.chunks_exact_mut(TILE * length);
                for (point, (factors, flat)) in planes.clone().zip(flat_planes).enumerate() {
                    values.plane::<V, ROWS>(y, point, points);
                    with_groups!(outputs, O => {
                        with_groups!(inputs, I => V::apart::<ROWS>(Products::<I, O> {
                            values: rows(points),
                            matrices: matrices(factors),
                            out: rows_mut(products),
                        }));
                        V::apart::<ROWS>(Flatten::<O> {
                            products: rows(products).as_chunks().0,
                            wide: &mut rows_mut(wide).as_chunks_mut().0[0],
                            flat: &mut rows_mut(flat).as_chunks_mut().0[0],
                        });
                    });
                }
                // Where the rows go, in each plane of the slab.
                let at = (if Z == 1 { 0 } else { y }) * width + first;
                with_groups!(outputs, O => {
                    let out = self.out.as_chunks_mut::<LANES>().0.as_chunks_mut::<O>().0;
                    let mut planes = out.chunks_mut(height * width);
                    V::apart::<ROWS>(Finish::<T, Z, O> {
                        flat: &rows(flat).as_chunks().0.as_chunks().0[0],
                        bias: &self.bias.as_chunks().0[0],
                        relu: self.relu,
                        sums: &mut self.sums.as_chunks_mut().0[0],
                        out: [(); TILE].map(|()| {
                            planes.next().and_then(|x| x.get_mut(at..)).unwrap_or_default()
                        }),
                        rows: TILE.min(height - y),
                        columns,
                        width,
                    });
                });
            }
        }
    }
}

/// What a plane of points has, times the matrices of these points.
struct Products<'a, const I: usize, const O: usize> {
    values: &'a [Tiles<I>],
    matrices: &'a [[[[Lanes; LANES]; I]; O]],
    out: &'a mut [Tiles<O>],
}

impl<const I: usize, const O: usize> VectorTask for Products<'_, I, O> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        const { assert!(ROW.is_multiple_of(ROWS)) }
        let Self { values, matrices, out } = self;
        for ((values, matrix), out) in values.iter().zip(matrices).zip(out) {
            product::<V, ROWS, I, O>(values, matrix, out);
        }
    }
}

/// Products at the points of a plane, `[height point, width point]`, to rows of the output.
struct Flatten<'a, const O: usize> {
    products: &'a [[Tiles<O>; POINTS]],
    wide: &'a mut [Line<O>; POINTS],
    flat: &'a mut [Line<O>; TILE],
}

impl<const O: usize> VectorTask for Flatten<'_, O> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { products, wide, flat } = self;
        for (products, wide) in products.iter().zip(wide.iter_mut()) {
            for tile in 0..ROW {
                for o in 0..O {
                    let line = vectors!(POINTS, k => V::load(&products[k][tile][o].0));
                    for (column, value) in axis::output(line).into_iter().enumerate() {
                        value.store(&mut wide[tile * TILE + column][o].0);
                    }
                }
            }
        }
        for at in 0..ROW * TILE {
            for o in 0..O {
                let line = vectors!(POINTS, k => V::load(&wide[k][at][o].0));
                for (to, value) in flat.iter_mut().zip(axis::output(line)) {
                    value.store(&mut to[at][o].0);
                }
            }
        }
    }
}

/// Rows at the points of the depth, to the planes of a slab.
struct Finish<'a, T, const Z: usize, const O: usize> {
    flat: &'a [[Line<O>; TILE]; Z],
    bias: &'a [Lanes; O],
    relu: bool,
    sums: &'a mut [Lanes; O],
    /// From the first position on that is written; empty behind the last plane.
    out: [&'a mut [[[T; LANES]; O]]; TILE],
    rows: usize,
    columns: usize,
    width: usize,
}

impl<T: Element, const Z: usize, const O: usize> VectorTask for Finish<'_, T, Z, O> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { flat, bias, relu, sums, mut out, rows, columns, width } = self;
        for row in 0..rows {
            let mut out = out
                .each_mut()
                .map(|out| out.get_mut(row * width..row * width + columns).unwrap_or_default());
            for column in 0..columns.min(ROW * TILE) {
                for o in 0..O {
                    let mut line = [V::splat(0.0); POINTS];
                    for (value, flat) in line.iter_mut().zip(flat) {
                        *value = V::load(&flat[row][column][o].0);
                    }
                    let line =
                        if Z == 1 { [line[0], line[1], line[2]] } else { axis::output(line) };
                    let bias = V::load(&bias[o].0);
                    let mut sum = V::load(&sums[o].0);
                    for (out, value) in out.iter_mut().zip(line) {
                        let Some(out) = out.get_mut(column) else { continue };
                        let mut value = value.add(bias);
                        if relu {
                            value = value.max(V::splat(0.0));
                        }
                        sum = sum.add(value);
                        value.put(&mut out[o]);
                    }
                    sum.store(&mut sums[o].0);
                }
            }
        }
    }
}
