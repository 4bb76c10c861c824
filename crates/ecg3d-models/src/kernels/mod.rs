//! Loops over the values of CPU tensors, where libtorch would go over memory many times.
//!
//! A training step of 3DECG-Net in `f32` takes a third of the time that it takes with libtorch's operations, and less
//! than half of the memory (`docs/benchmarks.md`).
//!
//! `unsafe` is used here for three things: accessing a tensor's memory, compiling the loops again for wide vectors, and
//! the instructions of `amx`, for which Rust has no functions yet.

#[cfg(target_arch = "x86_64")]
mod amx;
pub(crate) mod convolution;
mod gates;
mod lanes;
mod moments;
pub(crate) mod pool;
pub(crate) mod rows;
pub(crate) mod threads;
mod vector;
mod winograd;

pub(crate) use gates::{Backward, FILTERS, Forward};
pub(crate) use moments::{affine, moments};

use std::sync::{Mutex, PoisonError};

#[cfg(target_arch = "x86_64")]
use ecg3d_convert::SimdLevel as Level;
use tch::{Device, Kind, TchError, Tensor};

use crate::layers::Result;
use vector::{LANES, Vector};

/// A number type of tensors.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    const KIND: Kind;
    fn get(self) -> f32;
    fn put(value: f32) -> Self;
    /// Applies [`Element::get`] to each value.
    fn load<V: Vector>(values: &[Self; LANES]) -> V;
    /// Applies [`Element::put`] to each value.
    fn store<V: Vector>(values: V, out: &mut [Self; LANES]);
    /// Returns the values if this type is `bf16`.
    #[cfg(target_arch = "x86_64")]
    fn as_bf16(values: &[Self]) -> Option<&[Bf16]>;
    /// Does the same for mutable values.
    #[cfg(target_arch = "x86_64")]
    fn as_bf16_mut(values: &mut [Self]) -> Option<&mut [Bf16]>;
    /// Returns the memory that is kept for later.
    fn spare() -> &'static Spare<Self>;

    /// Returns memory whose values are to be overwritten.
    ///
    /// The system hands out fresh memory page by page, which takes as long as filling it.
    fn take(n: usize) -> Vec<Self> {
        let mut spare = Self::spare().lock().unwrap_or_else(PoisonError::into_inner);
        let fits = spare.iter().position(|values| values.capacity() >= n);
        let found = fits.map(|at| spare.swap_remove(at));
        drop(spare);
        let mut values = found.unwrap_or_default();
        values.resize(n, Self::put(0.0));
        values
    }

    /// Keeps memory for [`Element::take`], at most as much as was ever in use at once.
    fn give(values: Vec<Self>) {
        Self::spare().lock().unwrap_or_else(PoisonError::into_inner).push(values);
    }
}

type Spare<T> = Mutex<Vec<Vec<T>>>;

/// Returns the larger of this number and 0; NaN stays NaN, whereas `f64::max` would drop it.
fn not_below_zero(value: f64) -> f64 {
    if value < 0.0 { 0.0 } else { value }
}

impl Element for f32 {
    const KIND: Kind = Kind::Float;

    #[inline(always)]
    fn get(self) -> f32 {
        self
    }

    #[inline(always)]
    fn put(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn load<V: Vector>(values: &[Self; LANES]) -> V {
        V::load(values)
    }

    #[inline(always)]
    fn store<V: Vector>(values: V, out: &mut [Self; LANES]) {
        values.store(out);
    }

    #[cfg(target_arch = "x86_64")]
    fn as_bf16(_: &[Self]) -> Option<&[Bf16]> {
        None
    }

    #[cfg(target_arch = "x86_64")]
    fn as_bf16_mut(_: &mut [Self]) -> Option<&mut [Bf16]> {
        None
    }

    fn spare() -> &'static Spare<Self> {
        static SPARE: Spare<f32> = Mutex::new(Vec::new());
        &SPARE
    }
}

/// A `bf16` number, which is the upper half of an `f32`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(transparent)]
pub(crate) struct Bf16(u16);

#[cfg(target_arch = "x86_64")]
impl Bf16 {
    pub(crate) const ZERO: Self = Self(0);
}

impl Element for Bf16 {
    const KIND: Kind = Kind::BFloat16;

    #[inline(always)]
    fn get(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// Rounds to nearest, ties to even; infinities and NaN are kept.
    #[inline(always)]
    fn put(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        Self(if value.is_nan() { 0x7fc0 } else { rounded as u16 })
    }

    #[inline(always)]
    fn load<V: Vector>(values: &[Self; LANES]) -> V {
        V::load_bf16(values)
    }

    #[inline(always)]
    fn store<V: Vector>(values: V, out: &mut [Self; LANES]) {
        values.store_bf16(out);
    }

    #[cfg(target_arch = "x86_64")]
    fn as_bf16(values: &[Self]) -> Option<&[Bf16]> {
        Some(values)
    }

    #[cfg(target_arch = "x86_64")]
    fn as_bf16_mut(values: &mut [Self]) -> Option<&mut [Bf16]> {
        Some(values)
    }

    fn spare() -> &'static Spare<Self> {
        static SPARE: Spare<Bf16> = Mutex::new(Vec::new());
        &SPARE
    }
}

fn check<T: Element>(tensor: &Tensor) -> Result<usize> {
    let fits =
        tensor.device() == Device::Cpu && tensor.is_contiguous() && tensor.f_kind()? == T::KIND;
    if fits {
        Ok(tensor.numel())
    } else {
        Err(TchError::Kind(format!("expected a contiguous {:?} tensor on the CPU", T::KIND)))
    }
}

/// Returns the values of a tensor whose memory nobody writes to at the same time.
#[allow(unsafe_code)]
pub(crate) fn values<T: Element>(tensor: &Tensor) -> Result<&[T]> {
    let n = check::<T>(tensor)?;
    if n == 0 {
        // Without values there may be no memory.
        return Ok(&[]);
    }
    // SAFETY: the tensor is contiguous, so `n` values of its type, which `check` has compared, lie at the pointer, and
    // the tensor keeps them alive. Only the user of this module owns memory that is written here, and nobody writes to
    // a batch or a parameter during a pass.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr() as *const T, n) })
}

/// Returns the values of a tensor whose memory nobody else reads or writes at the same time.
#[allow(unsafe_code)]
pub(crate) fn values_mut<T: Element>(tensor: &mut Tensor) -> Result<&mut [T]> {
    let n = check::<T>(tensor)?;
    if n == 0 {
        return Ok(&mut []);
    }
    // SAFETY: as above; nobody else uses the memory of a tensor while it is borrowed here.
    Ok(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr() as *mut T, n) })
}

/// Returns which vectors to use: the widest ones that the processor has, unless the environment variable `ECG3D_SIMD`
/// asks for narrower ones. The wide ones here multiply and add in one instruction, which a processor may lack.
#[cfg(target_arch = "x86_64")]
fn level() -> Level {
    let level = ecg3d_convert::simd_level();
    if std::is_x86_feature_detected!("fma") { level } else { Level::Portable }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set for the runs that a test starts, to the level that they are to have.
    pub(super) const INNER: &str = "ECG3D_TEST_LEVEL";

    /// The level is chosen once per process, so the tests of this module are run again for each.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_level_passes_these_tests() {
        if let Ok(expected) = std::env::var(INNER) {
            assert_eq!(format!("{:?}", level()), expected);
            assert!(!amx::is_here(), "AMX is wider than {expected}");
            return;
        }
        let levels = [Level::Portable, Level::Avx2, Level::Avx512];
        for level in levels.into_iter().filter(|wanted| *wanted <= level()) {
            let level = format!("{level:?}");
            let program = std::env::current_exe().expect("this program");
            let output = std::process::Command::new(program)
                // The other test has vectors of its own choice.
                .args(["kernels::", "--skip", "other_vectors_give_the_same"])
                .env(INNER, &level)
                .env("ECG3D_SIMD", &level)
                .output()
                .expect("runs");
            let [text, errors] =
                [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
            assert!(output.status.success(), "{level}: {text}{errors}");
            assert!(text.contains("convolutions_equal_libtorchs ... ok"), "{level}: {text}");
        }
    }

    #[test]
    fn bf16_is_rounded_as_libtorch_does() {
        let mut values = vec![0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN];
        values.extend((0..100_000u32).map(|k| f32::from_bits(k.wrapping_mul(2_654_435_761))));
        let expected = Tensor::from_slice(&values).to_kind(Kind::BFloat16).to_kind(Kind::Float);
        for (value, expected) in values.iter().zip(self::values::<f32>(&expected).expect("f32")) {
            let found = Bf16::put(*value).get();
            let same = found.to_bits() == expected.to_bits();
            assert!(same || found.is_nan() && expected.is_nan(), "{value}: {found}, {expected}");
        }
        for bits in [0x7f80_0001, 0x7fff_8000, 0x7fff_ffff, 0xffff_ffff] {
            assert!(Bf16::put(f32::from_bits(bits)).get().is_nan(), "{bits:x}");
        }
    }
}
