//! Operations of 3DECG-Net on single positions, forward and backward.
//!
//! These are normalisations, gates and products with small matrices; convolutions are elsewhere. Slices are
//! `[row, channel]`, with a multiple of 16 channels, or 16, 32 or 64 if there is a matrix.

use rayon::prelude::*;

use super::lanes::{
    LANES, Lanes, ZERO, add_lanes, add_product, as_lanes, matrices, matrices_mut, product,
    with_groups,
};
use super::vector::{Vector, VectorTask, run_vectors};
use super::{Element, not_below_zero, threads};
use crate::layers::Result;

/// Number of rows in a chunk, which is summed separately in `f32`, and is what a thread takes at a time.
///
/// It is a multiple of all numbers of rows that are multiplied at once.
const CHUNK: usize = 240;

/// A factor and an addend for each channel.
#[derive(Debug, Clone)]
pub(crate) struct ScaleShift {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

/// A matrix `[output / 16, input, 16]`.
#[derive(Debug)]
pub(crate) struct Matrix {
    input: usize,
    values: Vec<Lanes>,
}

impl Matrix {
    /// Makes a matrix from `[output, input]`, both multiples of 16.
    pub(crate) fn new(values: &[f32], input: usize) -> Self {
        Self::from_fn(input, values.len() / input, |o, i| values[o * input + i])
    }

    /// Makes the transpose of `[output, input]`.
    pub(crate) fn transposed(values: &[f32], input: usize) -> Self {
        Self::from_fn(values.len() / input, input, |o, i| values[i * input + o])
    }

    fn from_fn(input: usize, output: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let mut values = vec![ZERO; input * output / LANES];
        for o in 0..output {
            for i in 0..input {
                values[o / LANES * input + i].0[o % LANES] = value(o, i);
            }
        }
        Self { input, values }
    }
}

/// Returns the mean and biased variance of each channel.
///
/// They are sums of differences from the first row, which keeps the variance exact if the mean is large.
pub(crate) fn moments<T: Element>(x: &[T], channels: usize) -> Result<Vec<(f64, f64)>> {
    let first: Vec<f32> = x[..channels].iter().map(|x| x.get()).collect();
    let pivot = as_lanes(&first);
    let [sums, squares] = two_sums(Sums { a: x, b: None, positive: None, pivot: &pivot })?;
    let n = (x.len() / channels) as f64;
    Ok(sums
        .into_iter()
        .zip(squares)
        .zip(first)
        .map(|((sum, square), first)| {
            let mean = sum / n;
            (f64::from(first) + mean, not_below_zero(square / n - mean * mean))
        })
        .collect())
}

/// Returns, for each channel, sums over the rows of `a` and of `a * b`.
pub(crate) fn sums_with<T: Element>(a: &[T], b: &[T], channels: usize) -> Result<[Vec<f64>; 2]> {
    two_sums(Sums { a, b: Some(b), positive: None, pivot: &vec![ZERO; channels / LANES] })
}

/// Returns, for each channel, sums of `dz` and of `dz * (y - mean)` over the rows where `y * scale + shift` is
/// positive.
pub(crate) fn sums_where_positive<T: Element>(
    dz: &[T],
    y: &[T],
    norm: &ScaleShift,
    mean: &[f32],
) -> Result<[Vec<f64>; 2]> {
    let positive = [as_lanes(&norm.scale), as_lanes(&norm.shift)];
    two_sums(Sums { a: dz, b: Some(y), positive: Some(&positive), pivot: &as_lanes(mean) })
}

#[derive(Clone, Copy)]
struct Sums<'a, T> {
    a: &'a [T],
    /// The other factor of `a`, from which the pivot is subtracted.
    ///
    /// Without it, the sums are those of `a` minus the pivot, and of the square of this difference.
    b: Option<&'a [T]>,
    positive: Option<&'a [Vec<Lanes>; 2]>,
    pivot: &'a [Lanes],
}

fn two_sums<T: Element>(all: Sums<'_, T>) -> Result<[Vec<f64>; 2]> {
    let groups = all.pivot.len();
    let size = CHUNK * groups * LANES;
    let parts: Vec<[Vec<Lanes>; 2]> = threads::install(|| {
        all.a
            .par_chunks(size)
            .enumerate()
            .map(|(k, a)| {
                let mut out = [vec![ZERO; groups], vec![ZERO; groups]];
                let b = all.b.map(|b| &b[k * size..][..a.len()]);
                run_vectors(SumsOf { sums: Sums { a, b, ..all }, out: &mut out });
                out
            })
            .collect()
    })?;
    let mut out = [(); 2].map(|()| vec![0.0; groups * LANES]);
    for part in &parts {
        for (out, part) in out.iter_mut().zip(part) {
            add_lanes(out, part);
        }
    }
    Ok(out)
}

struct SumsOf<'a, 'b, T> {
    sums: Sums<'a, T>,
    out: &'b mut [Vec<Lanes>; 2],
}

impl<T: Element> VectorTask for SumsOf<'_, '_, T> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let Sums { a, b, positive, pivot } = self.sums;
        let groups = pivot.len();
        let a = a.as_chunks::<LANES>().0;
        let [out_a, out_b] = self.out;
        for g in 0..groups {
            let (mut sum, mut sum_with) = (V::splat(0.0), V::splat(0.0));
            let pivot = V::load(&pivot[g].0);
            match b {
                None => {
                    for a in a.iter().skip(g).step_by(groups) {
                        let x = V::get(a).sub(pivot);
                        sum = sum.add(x);
                        sum_with = x.mul_add(x, sum_with);
                    }
                }
                Some(b) => {
                    let b = b.as_chunks::<LANES>().0;
                    for (a, b) in
                        a.iter().skip(g).step_by(groups).zip(b.iter().skip(g).step_by(groups))
                    {
                        let (mut a, b) = (V::get(a), V::get(b));
                        if let Some([scale, shift]) = positive {
                            a = a.where_positive(
                                b.mul_add(V::load(&scale[g].0), V::load(&shift[g].0)),
                            );
                        }
                        sum = sum.add(a);
                        sum_with = a.mul_add(b.sub(pivot), sum_with);
                    }
                }
            }
            sum.store(&mut out_a[g].0);
            sum_with.store(&mut out_b[g].0);
        }
    }
}

/// Computes `out = x * scale + shift`, followed by a ReLU if `relu` is set.
pub(crate) fn affine<T: Element>(
    x: &[T],
    by: &ScaleShift,
    relu: bool,
    out: &mut [T],
) -> Result<()> {
    let (scale, shift) = (&as_lanes(&by.scale), &as_lanes(&by.shift));
    let size = CHUNK * scale.len() * LANES;
    threads::install(|| {
        out.par_chunks_mut(size)
            .zip(x.par_chunks(size))
            .for_each(|(out, x)| run_vectors(Affine { x, scale, shift, relu, out }));
    })
}

/// Places `x * scale + shift`, followed by a ReLU, and `y` one after the other, both of 16 channels, on this thread.
pub(crate) fn beside<T: Element>(x: &[T], by: &ScaleShift, y: &[T], out: &mut [T]) {
    let (scale, shift) = (&as_lanes(&by.scale), &as_lanes(&by.shift));
    run_vectors(Beside { x, scale, shift, y, out });
}

struct Beside<'a, T> {
    x: &'a [T],
    scale: &'a [Lanes],
    shift: &'a [Lanes],
    y: &'a [T],
    out: &'a mut [T],
}

impl<T: Element> VectorTask for Beside<'_, T> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let (scale, shift) = (V::load(&self.scale[0].0), V::load(&self.shift[0].0));
        let pairs = self.x.as_chunks::<LANES>().0.iter().zip(self.y.as_chunks::<LANES>().0);
        let out = self.out.as_chunks_mut::<LANES>().0.as_chunks_mut::<2>().0;
        for ([first, second], (x, y)) in out.iter_mut().zip(pairs) {
            V::get(x).mul_add(scale, shift).max(V::splat(0.0)).put(first);
            *second = *y;
        }
    }
}

struct Affine<'a, T> {
    x: &'a [T],
    scale: &'a [Lanes],
    shift: &'a [Lanes],
    relu: bool,
    out: &'a mut [T],
}

impl<T: Element> VectorTask for Affine<'_, T> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let groups = self.scale.len();
        let x = self.x.as_chunks::<LANES>().0;
        let out = self.out.as_chunks_mut::<LANES>().0;
        for g in 0..groups {
            let (scale, shift) = (V::load(&self.scale[g].0), V::load(&self.shift[g].0));
            let out = out.iter_mut().skip(g).step_by(groups);
            for (out, x) in out.zip(x.iter().skip(g).step_by(groups)) {
                let value = V::get(x).mul_add(scale, shift);
                let value = if self.relu { value.max(V::splat(0.0)) } else { value };
                value.put(out);
            }
        }
    }
}

/// What is added to a product with a matrix.
#[derive(Clone, Copy)]
enum More<'a, T> {
    /// The content of `out`, times a factor for each channel.
    Own(&'a [Lanes]),
    /// Another tensor, times a factor for each channel.
    Scaled(&'a [T], &'a [Lanes]),
    /// See [`norm_back`].
    Norm(&'a [T], &'a NormBack),
}

/// Computes `out = x · matrix + bias + y * gate` for one image; without `y`, the content of `out` takes its place.
pub(crate) fn residual<T: Element>(
    x: &[T],
    matrix: &Matrix,
    bias: &[f32],
    y: Option<&[T]>,
    gate: &[f32],
    out: &mut [T],
) -> Result<()> {
    let gate = as_lanes(gate);
    let more = match y {
        Some(y) => More::Scaled(y, &gate),
        None => More::Own(&gate),
    };
    products(Some((x, matrix)), &as_lanes(bias), more, out)
}

/// Adds `x · matrix` to `out`, on this thread.
pub(crate) fn add_product_here<T: Element>(x: &[T], matrix: &Matrix, out: &mut [T]) {
    let groups = matrix.values.len() / matrix.input;
    let (bias, one) = (vec![ZERO; groups], vec![Lanes([1.0; LANES]); groups]);
    let parts = out.chunks_mut(CHUNK * groups * LANES).zip(x.chunks(CHUNK * matrix.input));
    for (out, x) in parts {
        run_vectors(Products { x: Some((x, matrix)), bias: &bias, more: More::Own(&one), out });
    }
}

/// The backward pass through a ReLU and a normalisation by a batch's own statistics.
#[derive(Debug)]
pub(crate) struct NormBack {
    positive: [Vec<Lanes>; 2],
    of_gradient: Vec<Lanes>,
    of_value: Vec<Lanes>,
    addend: Vec<f32>,
}

impl NormBack {
    /// Prepares the backward pass from the normalisation, the mean and reciprocal deviation, and the sums of
    /// [`sums_where_positive`] over `n` rows.
    pub(crate) fn new(
        norm: &ScaleShift,
        mean: &[f32],
        reciprocal: &[f32],
        [sums, sums_with]: &[Vec<f64>; 2],
        n: usize,
    ) -> Self {
        let n = n as f64;
        let of_value: Vec<f64> = (0..mean.len())
            .map(|c| {
                let reciprocal = f64::from(reciprocal[c]);
                -f64::from(norm.scale[c]) * reciprocal * reciprocal * sums_with[c] / n
            })
            .collect();
        let addend = (0..mean.len())
            .map(|c| {
                let of_sum = f64::from(norm.scale[c]) * sums[c] / n;
                (-of_sum - of_value[c] * f64::from(mean[c])) as f32
            })
            .collect();
        let of_value: Vec<f32> = of_value.into_iter().map(|x| x as f32).collect();
        Self {
            positive: [as_lanes(&norm.scale), as_lanes(&norm.shift)],
            of_gradient: as_lanes(&norm.scale),
            of_value: as_lanes(&of_value),
            addend,
        }
    }
}

/// Turns gradients `dz` of the output of a ReLU that follows a normalisation of `y` into gradients of `y`.
///
/// Also adds a product with a matrix to them, if there is one.
pub(crate) fn norm_back<T: Element>(
    y: &[T],
    back: &NormBack,
    more: Option<(&[T], &Matrix)>,
    dz: &mut [T],
) -> Result<()> {
    products(more, &as_lanes(&back.addend), More::Norm(y, back), dz)
}

fn products<T: Element>(
    x: Option<(&[T], &Matrix)>,
    bias: &[Lanes],
    more: More<'_, T>,
    out: &mut [T],
) -> Result<()> {
    let size = CHUNK * bias.len() * LANES;
    threads::install(|| {
        out.par_chunks_mut(size).enumerate().for_each(|(k, out)| {
            let rows = out.len() / (bias.len() * LANES);
            let x = x
                .map(|(x, matrix)| (&x[k * CHUNK * matrix.input..][..rows * matrix.input], matrix));
            let part = |y: &'_ [T]| k * size..(k * size + out.len()).min(y.len());
            let more = match more {
                More::Own(gate) => More::Own(gate),
                More::Scaled(y, gate) => More::Scaled(&y[part(y)], gate),
                More::Norm(y, back) => More::Norm(&y[part(y)], back),
            };
            run_vectors(Products { x, bias, more, out });
        });
    })
}

struct Products<'a, T> {
    x: Option<(&'a [T], &'a Matrix)>,
    bias: &'a [Lanes],
    more: More<'a, T>,
    out: &'a mut [T],
}

impl<T: Element> VectorTask for Products<'_, T> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        with_groups!(self.bias.len(), O => self.of::<V, ROWS, O>());
    }
}

impl<T: Element> Products<'_, T> {
    #[inline(always)]
    fn of<V: Vector, const ROWS: usize, const O: usize>(self) {
        let mut products = [[ZERO; O]; CHUNK];
        if let Some((x, matrix)) = self.x {
            let x = x.as_chunks::<LANES>().0;
            with_groups!(matrix.input / LANES, I => {
                let mut rows = [[ZERO; I]; CHUNK];
                for (row, x) in rows.as_flattened_mut().iter_mut().zip(x) {
                    V::get(x).store(&mut row.0);
                }
                V::apart::<ROWS>(Product::<I, O> {
                    values: &rows[..(x.len() / I).next_multiple_of(ROWS)],
                    matrix: &matrices(&matrix.values)[0],
                    out: &mut products,
                });
            });
        }
        let out = self.out.as_chunks_mut::<LANES>().0.as_chunks_mut::<O>().0;
        for g in 0..O {
            let bias = V::load(&self.bias[g].0);
            let rows = out.iter_mut().zip(&products);
            match self.more {
                More::Own(gate) => {
                    let gate = V::load(&gate[g].0);
                    for (out, sum) in rows {
                        V::get(&out[g])
                            .mul_add(gate, V::load(&sum[g].0).add(bias))
                            .put(&mut out[g]);
                    }
                }
                More::Scaled(y, gate) => {
                    let gate = V::load(&gate[g].0);
                    for ((out, sum), y) in rows.zip(y.as_chunks::<LANES>().0.as_chunks::<O>().0) {
                        V::get(&y[g]).mul_add(gate, V::load(&sum[g].0).add(bias)).put(&mut out[g]);
                    }
                }
                More::Norm(y, back) => {
                    let [scale, shift] = &back.positive;
                    let (scale, shift) = (V::load(&scale[g].0), V::load(&shift[g].0));
                    let of_gradient = V::load(&back.of_gradient[g].0);
                    let of_value = V::load(&back.of_value[g].0);
                    for ((out, sum), y) in rows.zip(y.as_chunks::<LANES>().0.as_chunks::<O>().0) {
                        let y = V::get(&y[g]);
                        let dz = V::get(&out[g]).where_positive(y.mul_add(scale, shift));
                        let rest = y.mul_add(of_value, V::load(&sum[g].0).add(bias));
                        dz.mul_add(of_gradient, rest).put(&mut out[g]);
                    }
                }
            }
        }
    }
}

/// The task of [`product`], compiled once for all types of tensors.
struct Product<'a, const I: usize, const O: usize> {
    values: &'a [[Lanes; I]],
    matrix: &'a [[[Lanes; LANES]; I]; O],
    out: &'a mut [[Lanes; O]],
}

impl<const I: usize, const O: usize> VectorTask for Product<'_, I, O> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        const { assert!(CHUNK.is_multiple_of(ROWS)) }
        product::<V, ROWS, I, O>(self.values, self.matrix, self.out);
    }
}

/// Returns the nine neighbours of each position in planes `[plane, height, width]` of one channel.
///
/// The result is `[plane * height * width, 16]`: the neighbours row by row, with zeros outside, then a 1, then zeros. A
/// convolution is its product with a matrix that has the bias in its tenth column.
pub(crate) fn neighbours<T: Element>(x: &[T], height: usize, width: usize) -> Result<Vec<T>> {
    let zero = T::put(0.0);
    let mut out = vec![zero; x.len() * LANES];
    threads::install(|| {
        let planes = x.par_chunks(height * width);
        out.par_chunks_mut(height * width * LANES).zip(planes).for_each(|(out, x)| {
            for (at, out) in out.chunks_exact_mut(LANES).enumerate() {
                let (row, column) = (at / width, at % width);
                out[9] = T::put(1.0);
                for (tap, out) in out.iter_mut().enumerate().take(9) {
                    // Indices before the first wrap around to large numbers.
                    let y = (row + tap / 3).wrapping_sub(1);
                    let left = (column + tap % 3).wrapping_sub(1);
                    if y < height && left < width {
                        *out = x[y * width + left];
                    }
                }
            }
        });
    })?;
    Ok(out)
}

/// Returns the gradient of a matrix `[output, input]` from what it was multiplied by and the gradients of the products.
pub(crate) fn matrix_gradient<T: Element>(
    x: &[T],
    dy: &[T],
    [input, output]: [usize; 2],
) -> Result<Vec<f32>> {
    /// Number of chunks that are summed together in `f32`.
    const TOGETHER: usize = 64;
    let parts: Vec<Vec<Lanes>> = threads::install(|| {
        x.par_chunks(TOGETHER * CHUNK * input)
            .zip(dy.par_chunks(TOGETHER * CHUNK * output))
            .map(|(x, dy)| {
                let mut sums = vec![ZERO; input * output / LANES];
                run_vectors(MatrixGradient { x, dy, channels: [input, output], sums: &mut sums });
                sums
            })
            .collect()
    })?;
    let mut sums = vec![0.0; input * output];
    for part in &parts {
        add_lanes(&mut sums, part);
    }
    let at = |o: usize, i: usize| (o / LANES * input + i) * LANES + o % LANES;
    Ok((0..output * input).map(|k| sums[at(k / input, k % input)] as f32).collect())
}

struct MatrixGradient<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    channels: [usize; 2],
    sums: &'a mut [Lanes],
}

impl<T: Element> VectorTask for MatrixGradient<'_, T> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let [input, output] = self.channels;
        with_groups!(input / LANES, I => with_groups!(output / LANES, O => {
            let mut values = [[ZERO; I]; CHUNK];
            let mut gradients = [[ZERO; O]; CHUNK];
            let factors = &mut matrices_mut(self.sums)[0];
            for (x, dy) in self.x.chunks(CHUNK * input).zip(self.dy.chunks(CHUNK * output)) {
                for (value, x) in values.as_flattened_mut().iter_mut().zip(x.as_chunks().0) {
                    V::get(x).store(&mut value.0);
                }
                for (gradient, dy) in gradients.as_flattened_mut().iter_mut().zip(dy.as_chunks().0)
                {
                    V::get(dy).store(&mut gradient.0);
                }
                let rows = x.len() / input;
                V::apart::<ROWS>(AddProduct::<I, O> {
                    values: &values[..rows],
                    gradients: &gradients[..rows],
                    factors: &mut *factors,
                });
            }
        }));
    }
}

/// The task of [`add_product`], compiled once for all types of tensors.
struct AddProduct<'a, const I: usize, const O: usize> {
    values: &'a [[Lanes; I]],
    gradients: &'a [[Lanes; O]],
    factors: &'a mut [[[Lanes; LANES]; I]; O],
}

impl<const I: usize, const O: usize> VectorTask for AddProduct<'_, I, O> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        add_product::<V, ROWS, I, O>(self.values, self.gradients, self.factors);
    }
}

#[cfg(test)]
mod tests;
