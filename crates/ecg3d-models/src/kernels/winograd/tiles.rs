//! The way of rows of tiles through a convolution.
//!
//! Axis by axis, each loop goes along rows `[width, channel]` in memory. Of three axes, the points of the first are gone through
//! one after the other, so that what is in work is a plane of points.

use super::axis::{self, POINTS, TILE};
use super::{Element, Factors, Grid, LANES, Lanes, Vector, VectorTask, ZERO, product};

/// Tiles of a row that are worked on together.
pub(super) const ROW: usize = 15;
/// Columns that they take.
const COLUMNS: usize = ROW * TILE + 2;

/// Points of a plane.
pub(super) const PLANE: usize = POINTS * POINTS;

/// Five vectors. No closure: it would be compiled without the wide vectors.
macro_rules! five {
    ($k:ident, $value:expr) => {{
        let mut out = [V::splat(0.0); POINTS];
        for $k in 0..POINTS {
            out[$k] = $value;
        }
        out
    }};
}

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

    /// Brings a row, counted from the one of zeros before the image, to the points of the depth.
    #[inline(always)]
    fn next_row<V: Vector>(&mut self) {
        let Grid { depth, height, width, .. } = self.grid;
        let groups = self.groups;
        let mut planes = [None; Z];
        for (z, plane) in planes.iter_mut().enumerate() {
            let (z, y) = ((self.z + z).wrapping_sub(1), self.done.wrapping_sub(1));
            let z = if Z == 1 { 0 } else { z };
            if z < depth && y < height {
                let row = self.x.get((z * height + y) * width * groups..);
                *plane = row.and_then(|x| x.get(..width * groups));
            }
        }
        let length = COLUMNS * groups;
        let slot = &mut self.rows[self.done % POINTS * Z * length..][..Z * length];
        self.done += 1;
        // The columns that there are, from 1 where the first is one of zeros.
        let start = usize::from(self.first == 0);
        let end = COLUMNS.min(width + 1 - self.first);
        for k in start * groups..end * groups {
            let at = self.first * groups + k - groups;
            let mut taken = [V::splat(0.0); Z];
            for (value, plane) in taken.iter_mut().zip(&planes) {
                let Some(plane) = plane else { continue };
                *value = V::get(&plane[at]);
                if let Some([scale, shift]) = self.before {
                    let (scale, shift) = (&scale[k % groups], &shift[k % groups]);
                    *value = value.mul_add(V::load(&scale.0), V::load(&shift.0));
                    *value = value.max(V::splat(0.0));
                }
            }
            if Z == POINTS {
                let line = axis::input([taken[0], taken[1], taken[2], taken[3], taken[4]]);
                for (taken, value) in taken.iter_mut().zip(line) {
                    *taken = value;
                }
            }
            for (z, value) in taken.into_iter().enumerate() {
                value.store(&mut slot[z * length + k].0);
            }
        }
    }

    /// Values at all points of one of the depth, `[point, tile, group]`, of the row of tiles from row `y` on.
    #[inline(always)]
    pub(super) fn plane<V: Vector, const ROWS: usize>(
        &mut self,
        y: usize,
        z: usize,
        out: &mut [Lanes],
    ) {
        while self.done < y + POINTS {
            self.next_row::<V>();
        }
        let length = COLUMNS * self.groups;
        let from =
            [0, 1, 2, 3, 4].map(|k| &self.rows[((y + k) % POINTS * Z + z) * length..][..length]);
        V::apart::<ROWS>(Across { from, lines: self.lines, groups: self.groups, out });
    }
}

/// Rows at the points of the depth, `[column, group]`, to all points, `[point, tile, group]`.
struct Across<'a> {
    from: [&'a [Lanes]; POINTS],
    lines: &'a mut [Lanes],
    groups: usize,
    out: &'a mut [Lanes],
}

impl VectorTask for Across<'_> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { from, lines, groups, out } = self;
        let length = COLUMNS * groups;
        let mut to = lines.chunks_exact_mut(length);
        let mut to = [(); POINTS].map(|()| to.next().unwrap_or_default());
        for at in 0..length {
            let line = five!(k, V::load(&from[k][at].0));
            for (to, value) in to.iter_mut().zip(axis::input(line)) {
                value.store(&mut to[at].0);
            }
        }
        let size = ROW * groups;
        for (line, out) in lines.chunks_exact(length).zip(out.chunks_exact_mut(POINTS * size)) {
            let mut to = out.chunks_exact_mut(size);
            let mut to = [(); POINTS].map(|()| to.next().unwrap_or_default());
            for tile in 0..ROW {
                for group in 0..groups {
                    let line = five!(k, V::load(&line[(tile * TILE + k) * groups + group].0));
                    for (to, value) in to.iter_mut().zip(axis::input(line)) {
                        value.store(&mut to[tile * groups + group].0);
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
        let Scratch { rows, lines, points, products, wide, flat } = self.scratch;
        let size = PLANE * ROW;
        points.resize((size * inputs).max(points.len()), ZERO);
        products.resize((size * outputs).max(products.len()), ZERO);
        let length = ROW * TILE * outputs;
        wide.resize((POINTS * length).max(wide.len()), ZERO);
        flat.resize((Z * TILE * length).max(flat.len()), ZERO);
        let (points, products) = (&mut points[..size * inputs], &mut products[..size * outputs]);
        let start = self.slab * TILE;
        // A plane's slab is one row of tiles.
        let (z, tiles) = if Z == 1 { (0, start..start + 1) } else { (start, 0..height) };
        let matrices = self.factors.values().as_chunks::<LANES>().0;
        let out = self.out.as_chunks_mut::<LANES>().0;
        let planes = out.len().div_ceil(height * width * outputs);
        for first in (0..width).step_by(ROW * TILE) {
            let columns = (width - first).min(ROW * TILE);
            let place = [z, tiles.start, first];
            let mut values = Values::<T, Z>::new(
                self.x,
                inputs,
                self.grid,
                place,
                self.before,
                [&mut *rows, &mut *lines],
            );
            for y in tiles.clone().step_by(TILE) {
                for (point, matrices) in matrices.chunks_exact(PLANE * outputs * inputs).enumerate()
                {
                    values.plane::<V, ROWS>(y, point, points);
                    let out = &mut *products;
                    let channels = [inputs, outputs];
                    V::apart::<ROWS>(Products { values: points, matrices, channels, out });
                    let flat = &mut flat[point * TILE * length..][..TILE * length];
                    let wide = &mut wide[..POINTS * length];
                    V::apart::<ROWS>(Flatten { products, outputs, wide, flat });
                }
                let rows = TILE.min(height - y);
                for row in 0..rows {
                    // Where the row goes: in each plane of the slab.
                    let row_of_slab = if Z == 1 { row } else { y + row };
                    let at = (row_of_slab * width + first) * outputs;
                    for k in 0..columns * outputs {
                        let o = k % outputs;
                        let mut line = [V::splat(0.0); POINTS];
                        for (point, value) in line.iter_mut().take(Z).enumerate() {
                            *value = V::load(&flat[(point * TILE + row) * length + k].0);
                        }
                        let line =
                            if Z == 1 { [line[0], line[1], line[2]] } else { axis::output(line) };
                        let bias = V::load(&self.bias[o].0);
                        let mut sum = V::load(&self.sums[o].0);
                        for (plane, value) in line.into_iter().take(planes.min(TILE)).enumerate() {
                            let mut value = value.add(bias);
                            if self.relu {
                                value = value.max(V::splat(0.0));
                            }
                            sum = sum.add(value);
                            value.put(&mut out[plane * height * width * outputs + at + k]);
                        }
                        sum.store(&mut self.sums[o].0);
                    }
                }
            }
        }
    }
}

/// Values at the points of a plane, `[point, tile, input / 16]`, times the matrices of these points: `[point, tile, output / 16]`.
struct Products<'a> {
    values: &'a [Lanes],
    matrices: &'a [[Lanes; LANES]],
    /// Sixteens of channels.
    channels: [usize; 2],
    out: &'a mut [Lanes],
}

impl VectorTask for Products<'_> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        match self.channels[0] {
            1 => self.of::<V, ROWS, 1>(),
            2 => self.of::<V, ROWS, 2>(),
            _ => self.of::<V, ROWS, 4>(),
        }
    }
}

impl Products<'_> {
    #[inline(always)]
    fn of<V: Vector, const ROWS: usize, const I: usize>(self) {
        const { assert!(ROW.is_multiple_of(ROWS)) }
        let Self { values, matrices, channels: [_, outputs], out } = self;
        let values = values.as_chunks::<I>().0.chunks_exact(ROW);
        let factors = values.zip(matrices.as_chunks::<I>().0.chunks_exact(outputs));
        for ((values, matrix), out) in factors.zip(out.chunks_exact_mut(ROW * outputs)) {
            product::<V, ROWS, I>(values, matrix, out);
        }
    }
}

/// Products at the points of a plane `[height point, width point, tile, output / 16]` -> `[row, column, output / 16]`.
struct Flatten<'a> {
    products: &'a [Lanes],
    outputs: usize,
    wide: &'a mut [Lanes],
    flat: &'a mut [Lanes],
}

impl VectorTask for Flatten<'_> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Self { products, outputs, wide, flat } = self;
        let (across, length) = (ROW * outputs, ROW * TILE * outputs);
        for (line, wide) in
            products.chunks_exact(POINTS * across).zip(wide.chunks_exact_mut(length))
        {
            let from = [0, 1, 2, 3, 4].map(|k| &line[k * across..][..across]);
            for tile in 0..ROW {
                for o in 0..outputs {
                    let line = five!(k, V::load(&from[k][tile * outputs + o].0));
                    for (column, value) in axis::output(line).into_iter().enumerate() {
                        value.store(&mut wide[(tile * TILE + column) * outputs + o].0);
                    }
                }
            }
        }
        let from = [0, 1, 2, 3, 4].map(|k| &wide[k * length..][..length]);
        let mut to = flat.chunks_exact_mut(length);
        let mut to = [(); TILE].map(|()| to.next().unwrap_or_default());
        for at in 0..length {
            let line = five!(k, V::load(&from[k][at].0));
            for (to, value) in to.iter_mut().zip(axis::output(line)) {
                value.store(&mut to[at].0);
            }
        }
    }
}
