//! Convolutions with kernels of 3 x 3 x 3 and 3 x 3 by Winograd's method.
//!
//! Sums and products are in `f32`, whatever the type of the tensors. A value of the output takes 125 / 27 = 4.6
//! multiplications instead of 27, or 25 / 9 = 2.8 instead of 9. The side of a volume, 45, is exactly 15 tiles of 3. A
//! row of 15 tiles goes through everything while it is in the cache: its values at the points, a product with a matrix
//! `[input, output]` at each point, and back.

mod axis;
mod factors;
mod tiles;
mod weights;

pub(super) use axis::{POINTS, TILE};
pub(super) use factors::{Factors, kernel_back};
pub(super) use tiles::{Forth, Scratch};
pub(super) use weights::Gradient;

use super::Element;
use super::convolution::Grid;
use super::lanes::{
    LANES, Lanes, ZERO, add_product, matrices, matrices_mut, product, rows, rows_mut, with_groups,
};
use super::vector::{Vector, VectorTask, run_vectors};

#[cfg(test)]
mod tests;
