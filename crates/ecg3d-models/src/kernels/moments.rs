//! Means and variances of channels, for batch normalisation.
//!
//! If the channels are last in memory, libtorch adds the values of a channel one after the other in `f32`, and loses
//! five digits over a few hundred thousand of them. Here, short blocks are summed, and the sums of blocks are added in
//! `f64`. This is for networks that otherwise go through libtorch, with any number of channels. `rows` has the same for
//! multiples of sixteen channels, on all threads.

use super::not_below_zero;
use super::vector::{Vector, VectorTask, run_vectors};

/// Number of rows in a block.
const BLOCK: usize = 256;

/// Returns the mean and biased variance of each channel of `values` `[row, channel]`.
pub(crate) fn moments(values: &[f32], channels: usize) -> Vec<(f64, f64)> {
    let Some(first) = values.get(..channels) else { return vec![(0.0, 0.0); channels] };
    let blocks: Vec<Sums<'_>> = values
        .chunks(BLOCK * channels)
        .map(|rows| {
            let (sums, squares) = (vec![0.0; channels], vec![0.0; channels]);
            let mut block = Sums { rows, pivot: first, sums, squares };
            run_vectors(&mut block);
            block
        })
        .collect();
    let n = (values.len() / channels) as f64;
    (0..channels)
        .map(|c| {
            let sum: f64 = blocks.iter().map(|block| f64::from(block.sums[c])).sum();
            let squares: f64 = blocks.iter().map(|block| f64::from(block.squares[c])).sum();
            let mean = sum / n;
            (f64::from(first[c]) + mean, not_below_zero(squares / n - mean * mean))
        })
        .collect()
}

/// Sums of a block's differences from the first row, and of their squares.
///
/// Taking the differences keeps the variance exact if the mean is large.
struct Sums<'a> {
    rows: &'a [f32],
    pivot: &'a [f32],
    sums: Vec<f32>,
    squares: Vec<f32>,
}

impl VectorTask for &mut Sums<'_> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        for row in self.rows.chunks_exact(self.pivot.len()) {
            let sums = self.sums.iter_mut().zip(&mut self.squares);
            for ((value, pivot), (sum, square)) in row.iter().zip(self.pivot).zip(sums) {
                let x = value - pivot;
                *sum += x;
                *square += x * x;
            }
        }
    }
}

/// Computes `out = values * scale + shift` for each channel.
pub(crate) fn affine(values: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
    let channels = scale.len();
    out.chunks_mut(BLOCK * channels)
        .zip(values.chunks(BLOCK * channels))
        .for_each(|(out, values)| run_vectors(Affine { values, scale, shift, out }));
}

struct Affine<'a> {
    values: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    out: &'a mut [f32],
}

impl VectorTask for Affine<'_> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let channels = self.scale.len();
        let rows = self.values.chunks_exact(channels);
        for (out, row) in self.out.chunks_exact_mut(channels).zip(rows) {
            let constants = self.scale.iter().zip(self.shift);
            for ((out, value), (scale, shift)) in out.iter_mut().zip(row).zip(constants) {
                *out = value * scale + shift;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_many_values_with_a_large_mean() {
        let values: Vec<f32> = (0..600_000)
            .map(|k| if k % 2 == 0 { 100.0 + (k % 7) as f32 } else { ((k / 2) % 3) as f32 })
            .collect();
        let found = moments(&values, 2);
        for (c, (mean, variance)) in found.into_iter().enumerate() {
            let column = || values.iter().skip(c).step_by(2).map(|&v| f64::from(v));
            let n = 300_000.0;
            let expected = column().sum::<f64>() / n;
            let spread = column().map(|v| (v - expected).powi(2)).sum::<f64>() / n;
            assert!((mean - expected).abs() < 1e-6, "{mean}, expected {expected}");
            assert!((variance - spread).abs() < 1e-6 * spread, "{variance}, expected {spread}");
        }
    }
}
