//! Convolutions in `bf16` by Intel's AMX.
//!
//! AMX has eight tiles, registers of sixteen rows of 64 bytes, and an instruction that multiplies two tiles and adds
//! the products to a third in `f32`. It computes 8192 products in the time of sixteen instructions of AVX-512.
//!
//! Positions are the rows of the first factor, so the neighbours of all positions are the same memory, read from
//! another offset. Rows are read directly from a copy of the image with zeros around it, as 64 bytes at an address that
//! is a multiple of 64; other addresses take six times as long.

mod forth;
mod gradient;
mod tiles;

pub(super) use forth::Kernel;
pub(super) use gradient::{gradient, kernel_back};
pub(super) use tiles::is_here;

use super::lanes::{LANES, Lanes, ZERO, with_groups};
use super::vector::{Vector, VectorTask, run_vectors};
use super::{Bf16, Element, convolution};

/// Number of taps of a kernel along an axis.
const TAPS: usize = 3;

/// A piece of memory at an address that is a multiple of 64 bytes.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([Bf16; 2 * LANES]);

const EMPTY: Line = Line([Bf16::ZERO; 2 * LANES]);

/// Fills memory with a value, reusing its allocation.
fn filled<T: Copy>(memory: &mut Vec<T>, n: usize, value: T) -> &mut [T] {
    memory.clear();
    memory.resize(n, value);
    memory
}
