//! The only module with `unsafe` code: runs the same code with the widest vectors that the processor has.
//!
//! The build's baseline for x86-64 is SSE2, with four `f32` at a time. Work is compiled again for AVX2 and AVX-512.
//! Which version to run is chosen once, on first use; set `ECG3D_SIMD` to `portable`, `avx2` or `avx512` in the
//! environment to use less than the processor has. Images and volumes are made with explicit vector types, because
//! compilers keep arrays of this size in memory half of the time. Fused multiply-add instructions are not used, so that
//! every processor gives the same bits.

use std::ops::{Add, Mul, Sub};

use crate::{ConvertError, Real};

/// Number of values processed side by side: one AVX-512 register in `f32`, several registers of narrower vectors.
pub(crate) const LANES: usize = 16;

/// `LANES` values. Must not be exported: safe code could use it to make vectors that the processor does not have.
pub trait Vector<T>: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// Returns a vector with the same value in every lane.
    fn splat(value: T) -> Self;
    /// Returns a vector of the values of an array.
    fn load(values: &[T; LANES]) -> Self;
    /// Writes the values to an array.
    fn store(self, out: &mut [T; LANES]);
    /// Returns the square root of each value.
    fn sqrt(self) -> Self;
}

/// The vector type that every processor supports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable<T>([T; LANES]);

impl<T: Real> Portable<T> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(T, T) -> T) -> Self {
        Self(std::array::from_fn(|k| f(self.0[k], other.0[k])))
    }
}

impl<T: Real> Add for Portable<T> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
}

impl<T: Real> Sub for Portable<T> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
}

impl<T: Real> Mul for Portable<T> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
}

impl<T: Real> Vector<T> for Portable<T> {
    #[inline(always)]
    fn splat(value: T) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn load(values: &[T; LANES]) -> Self {
        Self(*values)
    }

    #[inline(always)]
    fn store(self, out: &mut [T; LANES]) {
        *out = self.0;
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.map(T::sqrt))
    }
}

/// Work that is compiled once for each instruction set.
///
/// Implementations mark `run` as `#[inline(always)]`, and everything it calls that should be compiled again.
pub(crate) trait Task {
    /// The result of the work.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;
}

/// Work with explicit vector types.
///
/// As with [`Task`], everything down to the vectors is marked `#[inline(always)]`.
pub(crate) trait VectorTask<T> {
    /// Does the work.
    fn run<V: Vector<T>>(self);
}

/// The vectors of x86-64 processors, from narrow to wide.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every processor has.
    Portable,
    /// AVX2.
    Avx2,
    /// AVX-512.
    Avx512,
}

/// Returns the widest vectors that the environment variable `ECG3D_SIMD` allows; `None` if it is unset or empty.
///
/// # Panics
/// Panics if the value is none of `portable`, `avx2` and `avx512`, in upper or lower case. Programs call [`check_simd`]
/// first.
#[cfg(target_arch = "x86_64")]
pub fn limit() -> Option<Level> {
    asked().unwrap_or_else(|error| panic!("{error}"))
}

/// Checks the environment variable `ECG3D_SIMD`, on which the first conversion panics if its value is wrong.
///
/// Call this at the start of a program, so that it ends with an error instead. Except on x86-64, the variable has no
/// effect, and every value passes.
///
/// ```
/// # fn main() -> Result<(), ecg3d_convert::ConvertError> {
/// ecg3d_convert::check_simd()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The value is none of `portable`, `avx2` and `avx512`, in upper or lower case ([`ConvertError::Config`]).
pub fn check_simd() -> Result<(), ConvertError> {
    #[cfg(target_arch = "x86_64")]
    asked()?;
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn asked() -> Result<Option<Level>, ConvertError> {
    let value = std::env::var_os("ECG3D_SIMD").unwrap_or_default();
    parsed(&value.to_string_lossy())
}

#[cfg(target_arch = "x86_64")]
fn parsed(value: &str) -> Result<Option<Level>, ConvertError> {
    Ok(Some(match value.to_ascii_lowercase().as_str() {
        "" => return Ok(None),
        "portable" => Level::Portable,
        "avx2" => Level::Avx2,
        "avx512" => Level::Avx512,
        _ => {
            let expected = "portable, avx2 or avx512";
            return Err(ConvertError::config("ECG3D_SIMD", format_args!("{value:?}"), expected));
        }
    }))
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
pub(crate) mod wide {
    use std::arch::x86_64::*;
    use std::ops::{Add, Mul, Sub};

    use super::{LANES, Level, Task, Vector, VectorTask};
    use crate::Real;

    /// `LANES` values in `N` registers. Only code that runs under [`super::run_vectors`] can make one: this crate names
    /// the type nowhere else. Another crate can reach it as an associated type of [`Real`], but cannot name [`Vector`],
    /// and so has neither `splat` nor `load`.
    #[derive(Debug, Clone, Copy)]
    pub struct Registers<R, const N: usize>([R; N]);

    /// Makes a vector by evaluating an expression for each register. This is not a closure, because a closure would be
    /// compiled without the wide vectors.
    macro_rules! each {
        ($like:expr, $n:ident, $value:expr) => {{
            let mut out = $like;
            for $n in 0..out.0.len() {
                out.0[$n] = $value;
            }
            out
        }};
    }

    macro_rules! registers {
        ($register:ty, $count:literal, $real:ty, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $sqrt:ident) => {
            impl Add for Registers<$register, $count> {
                type Output = Self;
                #[inline(always)]
                fn add(self, other: Self) -> Self {
                    // SAFETY: the processor has this instruction, since it has those that `self` was made with.
                    each!(self, n, unsafe { $add(self.0[n], other.0[n]) })
                }
            }

            impl Sub for Registers<$register, $count> {
                type Output = Self;
                #[inline(always)]
                fn sub(self, other: Self) -> Self {
                    // SAFETY: as in `add`.
                    each!(self, n, unsafe { $sub(self.0[n], other.0[n]) })
                }
            }

            impl Mul for Registers<$register, $count> {
                type Output = Self;
                #[inline(always)]
                fn mul(self, other: Self) -> Self {
                    // SAFETY: as in `add`.
                    each!(self, n, unsafe { $mul(self.0[n], other.0[n]) })
                }
            }

            impl Vector<$real> for Registers<$register, $count> {
                #[inline(always)]
                fn splat(value: $real) -> Self {
                    // SAFETY: only code that runs after `level` has checked the processor can name this type.
                    Self([unsafe { $splat(value) }; $count])
                }

                #[inline(always)]
                fn load(values: &[$real; LANES]) -> Self {
                    // SAFETY: as in `splat`; `count` registers hold `LANES` values, which may be read from any
                    // alignment.
                    let zero = Self::splat(0.0);
                    each!(zero, n, unsafe { $load(values.as_ptr().add(n * (LANES / $count))) })
                }

                #[inline(always)]
                fn store(self, out: &mut [$real; LANES]) {
                    for (n, register) in self.0.into_iter().enumerate() {
                        // SAFETY: as in `load`.
                        unsafe { $store(out.as_mut_ptr().add(n * (LANES / $count)), register) }
                    }
                }

                #[inline(always)]
                fn sqrt(self) -> Self {
                    // SAFETY: as in `add`.
                    each!(self, n, unsafe { $sqrt(self.0[n]) })
                }
            }
        };
    }

    registers!(
        __m256,
        2,
        f32,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_sqrt_ps
    );
    registers!(
        __m256d,
        4,
        f64,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_add_pd,
        _mm256_sub_pd,
        _mm256_mul_pd,
        _mm256_sqrt_pd
    );
    registers!(
        __m512,
        1,
        f32,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_sqrt_ps
    );
    registers!(
        __m512d,
        2,
        f64,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_add_pd,
        _mm512_sub_pd,
        _mm512_mul_pd,
        _mm512_sqrt_pd
    );

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2<T: Task>(task: T) -> T::Output {
        task.run()
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    pub(super) fn avx512<T: Task>(task: T) -> T::Output {
        task.run()
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2_vectors<T: Real, K: VectorTask<T>>(task: K) {
        task.run::<T::Avx2>();
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    pub(super) fn avx512_vectors<T: Real, K: VectorTask<T>>(task: K) {
        task.run::<T::Avx512>();
    }

    /// The widest vectors that the processor has.
    pub(super) fn widest() -> Level {
        let narrow = std::is_x86_feature_detected!("avx2");
        let wide = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq");
        match (narrow, wide) {
            (true, true) => Level::Avx512,
            (true, false) => Level::Avx2,
            (false, _) => Level::Portable,
        }
    }

    /// The widest vectors that the processor has, unless the environment asks for narrower ones. Looked up once.
    ///
    /// # Panics
    /// Panics if the value of the environment variable is wrong, as `limit` does.
    pub fn level() -> Level {
        static LEVEL: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
        *LEVEL.get_or_init(|| super::limit().unwrap_or(Level::Avx512).min(widest()))
    }
}

/// Runs a task with the widest vectors that the processor has.
#[allow(unsafe_code)]
pub(crate) fn run<T: Task>(task: T) -> T::Output {
    #[cfg(target_arch = "x86_64")]
    match wide::level() {
        Level::Portable => {}
        // SAFETY: `level` has checked that the processor has these features.
        Level::Avx2 => return unsafe { wide::avx2(task) },
        // SAFETY: likewise.
        Level::Avx512 => return unsafe { wide::avx512(task) },
    }
    task.run()
}

/// Like [`run`], for tasks with explicit vector types.
#[allow(unsafe_code)]
pub(crate) fn run_vectors<T: Real, K: VectorTask<T>>(task: K) {
    #[cfg(target_arch = "x86_64")]
    match wide::level() {
        Level::Portable => {}
        // SAFETY: `level` has checked that the processor has these features.
        Level::Avx2 => return unsafe { wide::avx2_vectors(task) },
        // SAFETY: likewise.
        Level::Avx512 => return unsafe { wide::avx512_vectors(task) },
    }
    task.run::<Portable<T>>();
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
