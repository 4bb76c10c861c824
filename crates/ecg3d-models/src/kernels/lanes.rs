//! Products of small matrices, with sixteen channels side by side.

pub(super) use super::vector::LANES;
use super::vector::Vector;

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

/// Returns rows of `N` positions, `[row, position, group]`.
pub(super) fn rows<const N: usize, const G: usize>(values: &[Lanes]) -> &[[[Lanes; G]; N]] {
    values.as_chunks().0.as_chunks().0
}

pub(super) fn rows_mut<const N: usize, const G: usize>(
    values: &mut [Lanes],
) -> &mut [[[Lanes; G]; N]] {
    values.as_chunks_mut().0.as_chunks_mut().0
}

/// Returns consecutive matrices `[output / 16, input / 16, 16]`.
pub(super) fn matrices<const I: usize, const O: usize>(
    values: &[Lanes],
) -> &[[[[Lanes; LANES]; I]; O]] {
    values.as_chunks().0.as_chunks().0.as_chunks().0
}

pub(super) fn matrices_mut<const I: usize, const O: usize>(
    values: &mut [Lanes],
) -> &mut [[[[Lanes; LANES]; I]; O]] {
    values.as_chunks_mut().0.as_chunks_mut().0.as_chunks_mut().0
}

/// Code in which the number of groups of sixteen channels is known at compile time: 1, 2 or 4.
macro_rules! with_groups {
    ($groups:expr, $n:ident => $code:expr) => {
        match $groups {
            1 => {
                const $n: usize = 1;
                $code
            }
            2 => {
                const $n: usize = 2;
                $code
            }
            4 => {
                const $n: usize = 4;
                $code
            }
            groups => unreachable!("{groups} groups of 16 channels"),
        }
    };
}
pub(super) use with_groups;

/// Multiplies rows `[row, input / 16]` by a matrix `[output / 16, input / 16, 16]`, giving `[row, output / 16]`.
///
/// The number of rows must be a multiple of `ROWS`.
#[inline(always)]
pub(super) fn product<V: Vector, const ROWS: usize, const I: usize, const O: usize>(
    values: &[[Lanes; I]],
    matrix: &[[[Lanes; LANES]; I]; O],
    out: &mut [[Lanes; O]],
) {
    debug_assert!(values.len().is_multiple_of(ROWS), "{} rows", values.len());
    let blocks = out.as_chunks_mut::<ROWS>().0;
    for (values, out) in values.as_chunks::<ROWS>().0.iter().zip(blocks) {
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
            for (out, sum) in out.iter_mut().zip(sums) {
                sum.store(&mut out[o].0);
            }
        }
    }
}

/// Adds the sum over all rows of `values` `[row, input / 16]` times `gradients` `[row, output / 16]` to `factors`.
///
/// `factors` is `[output / 16, input / 16, 16]`.
#[inline(always)]
pub(super) fn add_product<V: Vector, const ROWS: usize, const I: usize, const O: usize>(
    values: &[[Lanes; I]],
    gradients: &[[Lanes; O]],
    factors: &mut [[[Lanes; LANES]; I]; O],
) {
    // As many rows of sums as the registers can hold, among the divisors of 16.
    if ROWS < LANES / 2 {
        add_blocks::<V, 4, I, O>(values, gradients, factors);
    } else {
        add_blocks::<V, LANES, I, O>(values, gradients, factors);
    }
}

#[inline(always)]
fn add_blocks<V: Vector, const ROWS: usize, const I: usize, const O: usize>(
    values: &[[Lanes; I]],
    gradients: &[[Lanes; O]],
    factors: &mut [[[Lanes; LANES]; I]; O],
) {
    for (o, panel) in factors.iter_mut().enumerate() {
        for (i, panel) in panel.iter_mut().enumerate() {
            for (block, panel) in panel.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
                let mut sums = [V::splat(0.0); ROWS];
                for (sum, factor) in sums.iter_mut().zip(panel.iter()) {
                    *sum = V::load(&factor.0);
                }
                for (values, gradients) in values.iter().zip(gradients) {
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
