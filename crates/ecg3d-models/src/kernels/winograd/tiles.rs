//! The way of rows of tiles through a convolution.
//!
//! Each loop handles one axis and runs along rows `[width, channel]` in memory. The points of the depth, if there is
//! one, are handled one after the other, and for each of them the points of the height. So a line of points is
//! multiplied at once.

use std::ops::Range;

use super::axis::{self, POINTS, TILE};
use super::{
    Element, Factors, Grid, LANES, Lanes, Vector, VectorTask, ZERO, matrices, product, rows,
    rows_mut, with_groups,
};
use crate::kernels::convolution::{Slab, normalised};

/// Number of tiles of a row that are processed together.
pub(super) const ROW: usize = 15;
/// Number of columns that they need.
const COLUMNS: usize = ROW * TILE + 2;

/// Number of points of a plane.
pub(super) const PLANE: usize = POINTS * POINTS;

/// An array of vectors. A closure would be compiled without the wide vectors.
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

/// A row of the input at one point of the depth, and possibly at one of the height, `[column, group]`.
pub(super) type Columns<const G: usize> = [[Lanes; G]; COLUMNS];
/// The values of a row of tiles at a point, `[tile, group]`.
pub(super) type Tiles<const G: usize> = [[Lanes; G]; ROW];
/// A row of the output or its gradient, `[column, group]`.
pub(super) type Line<const G: usize> = [[Lanes; G]; ROW * TILE];

/// The rows of an image `[depth, height, width, channel]` that a row of tiles needs, at the points of the depth.
pub(super) struct Values<'a, T, const Z: usize> {
    x: &'a [[T; LANES]],
    /// Number of groups of sixteen channels.
    groups: usize,
    grid: Grid,
    /// The first plane that the tiles need, plus one: 0 is the plane of zeros before the image.
    z: usize,
    /// The first column of the tiles.
    first: usize,
    before: Option<&'a [Vec<Lanes>; 2]>,
    /// The last five rows, `[row % 5, point, column, group]`.
    rows: &'a mut Vec<Lanes>,
    /// The next row, counted from the row of zeros before the image.
    done: usize,
}

impl<'a, T: Element, const Z: usize> Values<'a, T, Z> {
    #[inline(always)]
    pub(super) fn new(
        x: &'a [T],
        groups: usize,
        grid: Grid,
        [z, y, first]: [usize; 3],
        before: Option<&'a [Vec<Lanes>; 2]>,
        rows: &'a mut Vec<Lanes>,
    ) -> Self {
        rows.clear();
        rows.resize(POINTS * Z * COLUMNS * groups, ZERO);
        let x = x.as_chunks::<LANES>().0;
        Self { x, groups, grid, z, first, before, rows, done: y }
    }

    /// Prepares the rows that are needed for the row of tiles starting at row `y`.
    #[inline(always)]
    pub(super) fn go_on<V: Vector, const ROWS: usize>(&mut self, y: usize) {
        while self.done < y + POINTS {
            with_groups!(self.groups, G => self.next_row::<V, ROWS, G>());
        }
    }

    /// Returns these rows at a point of the depth.
    pub(super) fn rows<const G: usize>(&self, y: usize, point: usize) -> [&Columns<G>; POINTS] {
        let all = rows::<COLUMNS, G>(self.rows);
        [0, 1, 2, 3, 4].map(|k| &all[(y + k) % POINTS * Z + point])
    }

    /// Transforms the next row to the points of the depth.
    #[inline(always)]
    fn next_row<V: Vector, const ROWS: usize, const G: usize>(&mut self) {
        let Grid { depth, height, width, .. } = self.grid;
        // The row's columns begin here among those of the tiles, the first of which may be a column of zeros.
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

/// Transforms a row of each plane that the tiles need to the points of the depth.
struct Deep<'a, T, const Z: usize, const G: usize> {
    /// The planes; `None` for planes of zeros.
    planes: [Option<&'a [[[T; LANES]; G]]>; Z],
    before: Option<&'a [Vec<Lanes>; 2]>,
    /// Where the columns of the planes are written.
    columns: Range<usize>,
    out: &'a mut [Columns<G>; Z],
}

impl<T: Element, const Z: usize, const G: usize> VectorTask for Deep<'_, T, Z, G> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { planes, before, columns, out } = self;
        for (k, at) in columns.enumerate() {
            for g in 0..G {
                let mut taken = [V::splat(0.0); POINTS];
                for (value, plane) in taken.iter_mut().zip(&planes) {
                    let Some(plane) = plane else { continue };
                    *value = normalised(V::get(&plane[k][g]), before, g);
                }
                if Z == POINTS {
                    taken = axis::input(taken);
                }
                for (out, value) in out.iter_mut().zip(taken) {
                    value.store(&mut out[at][g].0);
                }
            }
        }
    }
}

/// Transforms rows at a point of the depth to the points of the height.
#[inline(always)]
pub(super) fn to_lines<V: Vector, const G: usize>(
    rows: [&Columns<G>; POINTS],
    lines: &mut [Columns<G>; POINTS],
) {
    for at in 0..COLUMNS {
        for g in 0..G {
            let line = vectors!(POINTS, k => V::load(&rows[k][at][g].0));
            for (to, value) in lines.iter_mut().zip(axis::input(line)) {
                value.store(&mut to[at][g].0);
            }
        }
    }
}

/// Transforms a row at a point of the depth and one of the height to the points of the width.
#[inline(always)]
pub(super) fn to_points<V: Vector, const G: usize>(
    line: &Columns<G>,
    points: &mut [Tiles<G>; POINTS],
) {
    for tile in 0..ROW {
        for g in 0..G {
            let line = vectors!(POINTS, k => V::load(&line[tile * TILE + k][g].0));
            for (to, value) in points.iter_mut().zip(axis::input(line)) {
                value.store(&mut to[tile][g].0);
            }
        }
    }
}

/// The convolution of one slab.
pub(crate) struct Forth<'a, T> {
    pub slab: Slab<'a, T>,
    pub factors: &'a Factors,
    pub scratch: &'a mut Scratch,
}

/// Memory that each thread keeps for a row of tiles, `[.., group]`.
#[derive(Default)]
pub(crate) struct Scratch {
    /// See [`Values`].
    pub(super) rows: Vec<Lanes>,
    /// At a point of the depth: `[point of the height, column]`.
    pub(super) lines: Vec<Lanes>,
    /// At a point of the depth and one of the height: `[point of the width, tile]`. `products` holds the products with
    /// the kernel, or their gradients.
    pub(super) points: Vec<Lanes>,
    pub(super) products: Vec<Lanes>,
    /// Outputs along the width, or their gradients: `[point of the height, column]`.
    pub(super) wide: Vec<Lanes>,
    /// Outputs along height and width, or their gradients: `[point of the depth, row, column]`.
    pub(super) flat: Vec<Lanes>,
}

impl Scratch {
    /// Makes room for these numbers of groups of sixteen channels.
    pub(super) fn with_room(&mut self, [inputs, outputs]: [usize; 2]) -> &mut Self {
        let Self { rows: _, lines, points, products, wide, flat } = self;
        let grow = |x: &mut Vec<Lanes>, n: usize| x.resize(n.max(x.len()), ZERO);
        grow(lines, POINTS * COLUMNS * inputs);
        grow(points, POINTS * ROW * inputs);
        grow(products, POINTS * ROW * outputs);
        grow(wide, POINTS * ROW * TILE * outputs);
        grow(flat, POINTS * TILE * ROW * TILE * outputs);
        self
    }
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
        let Slab { x, slab, out, grid, before, bias, relu, sums } = self.slab;
        let Grid { height, width, .. } = grid;
        let [inputs, outputs] = self.factors.channels().map(|n| n / LANES);
        let channels = [inputs, outputs];
        let Scratch { rows: kept, lines, points, products, wide, flat } =
            self.scratch.with_room(channels);
        let start = slab * TILE;
        // A slab of a plane is one row of tiles.
        let (z, tiles) = if Z == 1 { (0, start..start + 1) } else { (start, 0..height) };
        let planes = self.factors.values().chunks_exact(PLANE * outputs * inputs * LANES);
        for first in (0..width).step_by(ROW * TILE) {
            let columns = (width - first).min(ROW * TILE);
            let place = [z, tiles.start, first];
            let mut values = Values::<T, Z>::new(x, inputs, grid, place, before, kept);
            for y in tiles.clone().step_by(TILE) {
                values.go_on::<V, ROWS>(y);
                for (point, factors) in planes.clone().enumerate() {
                    with_groups!(inputs, I => with_groups!(outputs, O => {
                        V::apart::<ROWS>(Plane::<I, O> {
                            rows: values.rows(y, point),
                            matrices: matrices(factors).as_chunks().0,
                            lines: &mut rows_mut(lines).as_chunks_mut().0[0],
                            points: &mut rows_mut(points).as_chunks_mut().0[0],
                            products: &mut rows_mut(products).as_chunks_mut().0[0],
                            wide: &mut rows_mut(wide).as_chunks_mut().0[0],
                            flat: &mut rows_mut(flat).as_chunks_mut().0[point],
                        });
                    }));
                }
                // Where the rows are written in each plane of the slab.
                let at = (if Z == 1 { 0 } else { y }) * width + first;
                with_groups!(outputs, O => {
                    let out = out.as_chunks_mut::<LANES>().0.as_chunks_mut::<O>().0;
                    let mut planes = out.chunks_mut(height * width);
                    V::apart::<ROWS>(Finish::<T, Z, O> {
                        flat: &rows(flat).as_chunks().0.as_chunks().0[0],
                        bias: &bias.as_chunks().0[0],
                        relu,
                        sums: &mut sums.as_chunks_mut().0[0],
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

/// Transforms a row of tiles at a point of the depth to its rows of the output there.
struct Plane<'a, const I: usize, const O: usize> {
    rows: [&'a Columns<I>; POINTS],
    /// `[point of the height, point of the width]`.
    matrices: &'a [[[[[Lanes; LANES]; I]; O]; POINTS]],
    lines: &'a mut [Columns<I>; POINTS],
    points: &'a mut [Tiles<I>; POINTS],
    products: &'a mut [Tiles<O>; POINTS],
    wide: &'a mut [Line<O>; POINTS],
    flat: &'a mut [Line<O>; TILE],
}

impl<const I: usize, const O: usize> VectorTask for Plane<'_, I, O> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        const { assert!(ROW.is_multiple_of(ROWS)) }
        let Self { rows, matrices, lines, points, products, wide, flat } = self;
        to_lines::<V, I>(rows, lines);
        // One point of the height after the other, so that values and products stay in the innermost cache.
        for ((line, matrices), wide) in lines.iter().zip(matrices).zip(wide.iter_mut()) {
            to_points::<V, I>(line, points);
            for ((values, matrix), out) in points.iter().zip(matrices).zip(products.iter_mut()) {
                product::<V, ROWS, I, O>(values, matrix, out);
            }
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

/// Transforms rows at the points of the depth to the planes of a slab.
struct Finish<'a, T, const Z: usize, const O: usize> {
    flat: &'a [[Line<O>; TILE]; Z],
    bias: &'a [Lanes; O],
    relu: bool,
    sums: &'a mut [Lanes; O],
    /// The planes from the first position that is written; empty past the last plane.
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
            for column in 0..columns {
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
