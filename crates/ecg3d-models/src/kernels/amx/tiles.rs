//! The AMX instructions. Only the assembly names the tile registers; the compiler itself uses none of them.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::super::lanes::Lanes;
use super::Line;

/// Number of rows of a tile.
pub(super) const HEIGHT: usize = 16;
/// Number of products that each value in a tile of sums receives at a time.
pub(super) const TOGETHER: usize = 32;
/// Number of rows of a tile of positions; three such tiles make a row of a volume.
pub(super) const POSITIONS: usize = 15;
/// Number of positions of a row that are processed together.
pub(super) const ROW: usize = 3 * POSITIONS;

/// The layout of the tiles, whose rows have 64 bytes each.
#[repr(C, align(64))]
struct Layout {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Layout {
    const fn new(rows: [u8; 8]) -> Self {
        let (mut bytes, mut all) = ([0; 16], [0; 16]);
        let mut tile = 0;
        while tile < rows.len() {
            bytes[tile] = 64;
            all[tile] = rows[tile];
            tile += 1;
        }
        Self { palette: 1, start_row: 0, reserved: [0; 14], bytes, rows: all }
    }
}

/// Six tiles of sums, then one tile of each factor.
static FORTH: Layout = Layout::new([15, 15, 15, 15, 15, 15, 16, 15]);
static GRADIENT: Layout = Layout::new([16; 8]);

/// Returns whether the processor multiplies tiles of `bf16`, and the system and the environment variable `ECG3D_SIMD`
/// let this process do so; determined once.
pub(crate) fn is_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| ecg3d_convert::simd_limit().is_none() && has_tiles() && is_permitted())
}

/// Returns whether the processor has AMX-BF16 and AMX-TILE.
fn has_tiles() -> bool {
    let has = |bit: u32| __cpuid_count(7, 0).edx >> bit & 1 == 1;
    __cpuid(0).eax >= 7 && has(22) && has(24)
}

/// Asks Linux for permission; it saves the tiles only of processes that asked.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: this call accesses no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

thread_local! {
    /// Whether a [`Tiles`] exists on this thread.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// The tiles of this thread, configured for one kind of product, [`Forth`] or [`Gradient`], until this value is
/// dropped. Only one such value exists on a thread at a time.
pub(super) struct Tiles<L>(PhantomData<(*const (), L)>);

/// Tiles in the layout [`FORTH`].
pub(super) enum Forth {}

/// Tiles in the layout [`GRADIENT`].
pub(super) enum Gradient {}

impl<L> Tiles<L> {
    #[allow(unsafe_code)]
    fn new(layout: &'static Layout) -> Self {
        assert!(is_here(), "requires a processor with AMX");
        assert!(!BUSY.replace(true), "the tiles of this thread are in use");
        // SAFETY: the processor has this instruction, which reads 64 bytes, and the layout is valid.
        unsafe { asm!("ldtilecfg [{}]", in(reg) layout, options(nostack, readonly)) };
        Self(PhantomData)
    }
}

impl Tiles<Forth> {
    /// Configures the tiles for [`Tiles::convolve_row`].
    pub(super) fn forth() -> Self {
        Self::new(&FORTH)
    }

    /// Sums, over all steps, products of 45 positions with 32 columns of a matrix: `out` is `[column / 16, position]`.
    ///
    /// A step reads `x` from its offset, with `STRIDE` lines from one position to the next, and two tiles of `matrices`
    /// of sixteen lines each: `[pair of channels, output, 2]`. The number of steps must be a multiple of three.
    #[allow(unsafe_code)]
    pub(super) fn convolve_row<const STRIDE: usize>(
        &mut self,
        x: &[Line],
        offsets: &[usize],
        matrices: &[Line],
        out: &mut [[Lanes; ROW]; 2],
    ) {
        let last = (ROW - 1) * STRIDE;
        assert!(matrices.len() == offsets.len() * 2 * HEIGHT);
        assert!(!offsets.is_empty() && offsets.len().is_multiple_of(3));
        assert!(offsets.iter().all(|at| at + last < x.len()));
        /// One of three steps.
        macro_rules! step {
            ($k:literal) => {
                concat!(
                    "mov {at}, [{offsets} + 8 * ",
                    $k,
                    "]\n",
                    "shl {at}, 6\n",
                    "add {at}, {x}\n",
                    "tileloadd tmm6, [{matrices} + {line} + 2048 * ",
                    $k,
                    "]\n",
                    "tileloadd tmm7, [{at} + {stride}]\n",
                    "tdpbf16ps tmm0, tmm7, tmm6\n",
                    "tileloadd tmm7, [{at} + {stride} + {second}]\n",
                    "tdpbf16ps tmm1, tmm7, tmm6\n",
                    "tileloadd tmm7, [{at} + {stride} + {third}]\n",
                    "tdpbf16ps tmm2, tmm7, tmm6\n",
                    "tileloadd tmm6, [{matrices} + {line} + 2048 * ",
                    $k,
                    " + 1024]\n",
                    "tileloadd tmm7, [{at} + {stride}]\n",
                    "tdpbf16ps tmm3, tmm7, tmm6\n",
                    "tileloadd tmm7, [{at} + {stride} + {second}]\n",
                    "tdpbf16ps tmm4, tmm7, tmm6\n",
                    "tileloadd tmm7, [{at} + {stride} + {third}]\n",
                    "tdpbf16ps tmm5, tmm7, tmm6",
                )
            };
        }
        // SAFETY: the layout is `FORTH`, as the type says. All reads lie within `x` and `matrices`, as asserted above.
        // The writes are as large as `out`: six tiles of 15 rows.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "tilezero tmm4",
                "tilezero tmm5",
                "2:",
                step!(0),
                step!(1),
                step!(2),
                // Only for speed: without a store for more than twenty steps, everything takes a third longer.
                "tilestored [{out} + {line}], tmm0",
                "add {offsets}, 3 * 8",
                "add {matrices}, 3 * 2048",
                "sub {steps}, 3",
                "jnz 2b",
                "tilestored [{out} + {line}], tmm0",
                "tilestored [{out} + {line} + 960], tmm1",
                "tilestored [{out} + {line} + 1920], tmm2",
                "tilestored [{out} + {line} + 2880], tmm3",
                "tilestored [{out} + {line} + 3840], tmm4",
                "tilestored [{out} + {line} + 4800], tmm5",
                at = out(reg) _,
                x = in(reg) x.as_ptr(),
                offsets = inout(reg) offsets.as_ptr() => _,
                matrices = inout(reg) matrices.as_ptr() => _,
                steps = inout(reg) offsets.len() => _,
                out = in(reg) out.as_mut_ptr(),
                line = in(reg) 64usize,
                stride = in(reg) STRIDE * 64,
                second = const POSITIONS * STRIDE * 64,
                third = const 2 * POSITIONS * STRIDE * 64,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl Tiles<Gradient> {
    /// Configures the tiles for [`Tiles::add_products`].
    pub(super) fn gradient() -> Self {
        Self::new(&GRADIENT)
    }

    /// Adds products over `steps` times 32 positions to `sums`, `[output / 16, tap, output, input]`, which are two
    /// times three tiles.
    ///
    /// A step takes two tiles of `dy`, `[output, position]`, and lines of `x` that hold two positions each,
    /// `[input, 2]`. Its first line of `x` is at the number of positions in the steps before, plus one for each tap.
    #[allow(unsafe_code)]
    pub(super) fn add_products(
        &mut self,
        dy: &[Line],
        x: &[Line],
        steps: usize,
        sums: &mut [[Lanes; HEIGHT]; 6],
    ) {
        assert!(steps > 0 && dy.len() >= steps * 2 * HEIGHT);
        assert!(x.len() > steps * 2 * HEIGHT);
        // SAFETY: the layout is `GRADIENT`, as the type says. The last line of `x` that a step reads, at the last tap,
        // is 32 after the step's first line. So all reads lie within `dy` and `x`, as asserted above, and the tiles of
        // sums are as large as `sums`.
        unsafe {
            asm!(
                "tileloadd tmm0, [{sums} + {line}]",
                "tileloadd tmm1, [{sums} + {line} + 1024]",
                "tileloadd tmm2, [{sums} + {line} + 2048]",
                "tileloadd tmm3, [{sums} + {line} + 3072]",
                "tileloadd tmm4, [{sums} + {line} + 4096]",
                "tileloadd tmm5, [{sums} + {line} + 5120]",
                "2:",
                "tileloadd tmm6, [{dy} + {line}]",
                "tileloadd tmm7, [{x} + {two}]",
                "tdpbf16ps tmm0, tmm6, tmm7",
                "tileloadd tmm7, [{x} + {two} + 64]",
                "tdpbf16ps tmm1, tmm6, tmm7",
                "tileloadd tmm7, [{x} + {two} + 128]",
                "tdpbf16ps tmm2, tmm6, tmm7",
                "tileloadd tmm6, [{dy} + {line} + 1024]",
                "tileloadd tmm7, [{x} + {two}]",
                "tdpbf16ps tmm3, tmm6, tmm7",
                "tileloadd tmm7, [{x} + {two} + 64]",
                "tdpbf16ps tmm4, tmm6, tmm7",
                "tileloadd tmm7, [{x} + {two} + 128]",
                "tdpbf16ps tmm5, tmm6, tmm7",
                // Only for speed, as above.
                "tilestored [{sums} + {line}], tmm0",
                "add {dy}, 2048",
                "add {x}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {line}], tmm0",
                "tilestored [{sums} + {line} + 1024], tmm1",
                "tilestored [{sums} + {line} + 2048], tmm2",
                "tilestored [{sums} + {line} + 3072], tmm3",
                "tilestored [{sums} + {line} + 4096], tmm4",
                "tilestored [{sums} + {line} + 5120], tmm5",
                dy = inout(reg) dy.as_ptr() => _,
                x = inout(reg) x.as_ptr() => _,
                steps = inout(reg) steps => _,
                sums = in(reg) sums.as_mut_ptr(),
                line = in(reg) 64usize,
                two = in(reg) 128usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl<L> Drop for Tiles<L> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the processor has this instruction, and the values in the tiles are no longer needed.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
        BUSY.set(false);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn a_thread_has_one_set_of_tiles() {
        if !is_here() {
            println!("skipped: no AMX");
            return;
        }
        let tiles = Tiles::forth();
        assert!(catch_unwind(|| drop(Tiles::gradient())).is_err(), "a second set");
        assert!(catch_unwind(|| drop(Tiles::forth())).is_err(), "still in use");
        drop(tiles);
        drop(Tiles::gradient());
    }
}
