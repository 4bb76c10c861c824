//! Convolutions with kernels of 3 x 3 x 3 and 3 x 3 by Winograd's method, with sums and products in `f32` whatever the type of the tensors.
//!
//! In place of 27 multiplications a value of the output takes 125 / 27 = 4.6, or 25 / 9 = 2.8 in place of 9, and 45, the side of
//! a volume, is 15 tiles of 3 with nothing left over. A row of 15 tiles goes through all that is to be done while it lies in the cache:
//! its values at the points, at each point a product with a matrix `[input, output]`, and back.

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
