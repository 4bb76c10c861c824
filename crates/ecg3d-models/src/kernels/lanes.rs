//! Products of small matrices with sixteen channels side by side.

use super::vector::{LANES as WIDTH, Vector};

pub(super) const LANES: usize = WIDTH;

/// Sixteen channels.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub [f32; LANES]);

pub(super) const ZERO: Lanes = Lanes([0.0; LANES]);

pub(super) fn as_lanes(values: &[f32]) -> Vec<Lanes> {
    values.as_chunks().0.iter().map(|lanes| Lanes(*lanes)).collect()
}

pub(super) fn add_lanes(sums: &mut [f64], more: &[Lanes]) {
    for (sum, more) in sums.iter_mut().zip(more.iter().flat_map(|lanes| lanes.0)) {
        *sum += f64::from(more);
    }
}

/// Products of rows `[row, input / 16]` with a matrix `[output / 16, input / 16, 16]`: `[row, output / 16]`. Rows are a multiple of `ROWS`.
#[inline(always)]
pub(super) fn product<V: Vector, const ROWS: usize, const I: usize>(
    values: &[[Lanes; I]],
    matrix: &[[[Lanes; LANES]; I]],
    out: &mut [Lanes],
) {
    debug_assert!(values.len().is_multiple_of(ROWS), "{} rows", values.len());
    let outputs = matrix.len();
    for (values, out) in
        values.as_chunks::<ROWS>().0.iter().zip(out.chunks_exact_mut(ROWS * outputs))
    {
        for (o, panel) in matrix.iter().enumerate() {
            let mut sums = [V::splat(0.0); ROWS];
            for (i, panel) in panel.iter().enumerate() {
                for (k, factor) in panel.iter().enumerate() {
                    let factor = V::load(&factor.0);
                    for (sum, row) in sums.iter_mut().zip(values) {
                        *sum = V::splat(row[i].0[k]).mul_add(factor, *sum);
                    }
                }
            }
            for (row, sum) in sums.into_iter().enumerate() {
                sum.store(&mut out[row * outputs + o].0);
            }
        }
    }
}

/// Adds to `[output / 16, input / 16, 16]` the sum over the rows of `values` `[row, input / 16]` times `gradients` `[row, output / 16]`.
#[inline(always)]
pub(super) fn add_product<V: Vector, const ROWS: usize, const I: usize>(
    values: &[[Lanes; I]],
    gradients: &[Lanes],
    factors: &mut [[[Lanes; LANES]; I]],
) {
    // As many rows of sums as there are registers for, in divisors of 16.
    if ROWS < LANES / 2 {
        add_blocks::<V, 4, I>(values, gradients, factors);
    } else {
        add_blocks::<V, LANES, I>(values, gradients, factors);
    }
}

#[inline(always)]
fn add_blocks<V: Vector, const ROWS: usize, const I: usize>(
    values: &[[Lanes; I]],
    gradients: &[Lanes],
    factors: &mut [[[Lanes; LANES]; I]],
) {
    let outputs = factors.len();
    for (o, panel) in factors.iter_mut().enumerate() {
        for (i, panel) in panel.iter_mut().enumerate() {
            for (block, panel) in panel.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
                let mut sums = [V::splat(0.0); ROWS];
                for (sum, factor) in sums.iter_mut().zip(panel.iter()) {
                    *sum = V::load(&factor.0);
                }
                for (values, gradients) in values.iter().zip(gradients.chunks_exact(outputs)) {
                    let gradient = V::load(&gradients[o].0);
                    let values = &values[i].0.as_chunks::<ROWS>().0[block];
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = V::splat(*value).mul_add(gradient, *sum);
                    }
                }
                for (sum, factor) in sums.into_iter().zip(panel) {
                    sum.store(&mut factor.0);
                }
            }
        }
    }
}
