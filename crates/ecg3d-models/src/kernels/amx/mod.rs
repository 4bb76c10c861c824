//! Convolutions in `bf16` by Intel's AMX, which has eight tiles, registers of sixteen rows of 64 bytes, and an instruction that
//! multiplies two and adds the products to a third in `f32`: 8192 products in the time of sixteen of AVX-512's.
//!
//! Positions are the rows of the first factor, so that a neighbour of all positions is the same memory, read from another place on.
//! Rows are read where they stand in a copy of the image with zeros around it: 64 bytes that begin at a multiple of 64, since
//! others take six times as long.

mod forth;
mod gradient;
mod tiles;

pub(super) use forth::Kernel;
pub(super) use gradient::{gradient, kernel_back};
pub(super) use tiles::is_here;

use super::lanes::{LANES, Lanes, ZERO, with_groups};
use super::vector::{Vector, VectorTask, run_vectors};
use super::{Bf16, Element, convolution};

/// Taps of a kernel along an axis.
const TAPS: usize = 3;

/// Memory in pieces that begin at a multiple of 64 bytes.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([Bf16; 2 * LANES]);

const EMPTY: Line = Line([Bf16::ZERO; 2 * LANES]);

/// The same value everywhere, in memory that was used before.
fn filled<T: Copy>(memory: &mut Vec<T>, n: usize, value: T) -> &mut [T] {
    memory.clear();
    memory.resize(n, value);
    memory
}
