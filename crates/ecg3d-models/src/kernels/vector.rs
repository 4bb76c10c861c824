//! Sixteen `f32` side by side, as one register of AVX-512, two of AVX2, or an array elsewhere.

use super::Element;

/// Values that are worked on side by side.
pub(super) const LANES: usize = 16;

/// `LANES` values.
pub(super) trait Vector: Copy {
    /// The same value everywhere.
    fn splat(value: f32) -> Self;
    /// The values of an array.
    fn load(values: &[f32; LANES]) -> Self;
    /// Writes the values to an array.
    fn store(self, out: &mut [f32; LANES]);
    /// The sum of both.
    fn add(self, other: Self) -> Self;
    /// What is left of `self`.
    fn sub(self, other: Self) -> Self;
    /// The product of both.
    fn mul(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once where the processor can.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// The larger of both, or what is not a number.
    fn max(self, other: Self) -> Self;
    /// What stands where `condition` is above 0; 0 elsewhere.
    fn where_positive(self, condition: Self) -> Self;
    /// Runs a part of a task as a function of its own, compiled once and not wherever it is used.
    fn apart<const ROWS: usize>(part: impl VectorTask);

    /// The values of an array of another number type.
    #[inline(always)]
    fn get<T: Element>(values: &[T; LANES]) -> Self {
        Self::load(&T::widen(values))
    }

    /// Writes the values to an array of another number type.
    #[inline(always)]
    fn put<T: Element>(self, out: &mut [T; LANES]) {
        let mut values = [0.0; LANES];
        self.store(&mut values);
        *out = T::narrow(values);
    }
}

/// Work with vectors that are named by type, and with `ROWS` of them kept for sums in a product of matrices.
///
/// Implementations mark `run`, and everything down to the vectors, `#[inline(always)]`.
pub(super) trait VectorTask {
    fn run<V: Vector, const ROWS: usize>(self);
}

/// The vector that every processor has.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn zip(mut self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        for (value, other) in self.0.iter_mut().zip(other.0) {
            *value = f(*value, other);
        }
        self
    }
}

impl Vector for Portable {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        Self(*values)
    }

    #[inline(always)]
    fn store(self, out: &mut [f32; LANES]) {
        *out = self.0;
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.mul(factor).add(addend)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if b > a || b.is_nan() { b } else { a })
    }

    #[inline(always)]
    fn where_positive(self, condition: Self) -> Self {
        self.zip(condition, |a, b| if b > 0.0 { a } else { 0.0 })
    }

    #[inline(never)]
    fn apart<const ROWS: usize>(part: impl VectorTask) {
        part.run::<Self, ROWS>();
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod wide {
    use std::arch::x86_64::*;

    use super::{LANES, Vector, VectorTask};

    /// `LANES` values in `N` registers. Made only by code that runs under [`super::run_vectors`].
    #[derive(Clone, Copy)]
    pub(super) struct Registers<R, const N: usize>([R; N]);

    /// A vector of what an expression gives for each register. No closure: it would be compiled without the wide vectors.
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
        ($register:ty, $count:literal, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $fma:ident, $larger:ident, $select:ident, $apart:ident) => {
            impl Vector for Registers<$register, $count> {
                #[inline(always)]
                fn splat(value: f32) -> Self {
                    // SAFETY: only code for which `level` has asked the processor gets to name this type; so below.
                    Self([unsafe { $splat(value) }; $count])
                }

                #[inline(always)]
                fn load(values: &[f32; LANES]) -> Self {
                    // SAFETY: `count` registers hold `LANES` values, read wherever they stand.
                    let first = unsafe { $load(values.as_ptr()) };
                    each!(Self([first; $count]), n, unsafe {
                        $load(values.as_ptr().add(n * (LANES / $count)))
                    })
                }

                #[inline(always)]
                fn store(self, out: &mut [f32; LANES]) {
                    for (n, register) in self.0.into_iter().enumerate() {
                        // SAFETY: as in `load`.
                        unsafe { $store(out.as_mut_ptr().add(n * (LANES / $count)), register) }
                    }
                }

                #[inline(always)]
                fn add(self, other: Self) -> Self {
                    // SAFETY: as in `splat`.
                    each!(self, n, unsafe { $add(self.0[n], other.0[n]) })
                }

                #[inline(always)]
                fn sub(self, other: Self) -> Self {
                    // SAFETY: as in `splat`.
                    each!(self, n, unsafe { $sub(self.0[n], other.0[n]) })
                }

                #[inline(always)]
                fn mul(self, other: Self) -> Self {
                    // SAFETY: as in `splat`.
                    each!(self, n, unsafe { $mul(self.0[n], other.0[n]) })
                }

                #[inline(always)]
                fn mul_add(self, factor: Self, addend: Self) -> Self {
                    // SAFETY: as in `splat`.
                    each!(self, n, unsafe { $fma(self.0[n], factor.0[n], addend.0[n]) })
                }

                #[inline(always)]
                fn max(self, other: Self) -> Self {
                    // SAFETY: as in `splat`.
                    each!(self, n, unsafe { $larger(self.0[n], other.0[n]) })
                }

                #[inline(always)]
                fn where_positive(self, condition: Self) -> Self {
                    // SAFETY: as in `splat`.
                    each!(self, n, unsafe { $select(self.0[n], condition.0[n]) })
                }

                #[inline(always)]
                fn apart<const ROWS: usize>(part: impl VectorTask) {
                    // SAFETY: as in `splat`.
                    unsafe { $apart::<ROWS>(part) }
                }
            }
        };
    }

    // The instruction gives its second operand where either is not a number.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn larger_256(a: __m256, b: __m256) -> __m256 {
        _mm256_blendv_ps(_mm256_max_ps(b, a), b, _mm256_cmp_ps::<_CMP_UNORD_Q>(b, b))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    fn larger_512(a: __m512, b: __m512) -> __m512 {
        _mm512_mask_mov_ps(_mm512_max_ps(b, a), _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(b, b), b)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn select_256(values: __m256, condition: __m256) -> __m256 {
        _mm256_and_ps(values, _mm256_cmp_ps::<_CMP_GT_OQ>(condition, _mm256_setzero_ps()))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    fn select_512(values: __m512, condition: __m512) -> __m512 {
        let mask = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(condition, _mm512_setzero_ps());
        _mm512_maskz_mov_ps(mask, values)
    }

    registers!(
        __m256,
        2,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_fmadd_ps,
        larger_256,
        select_256,
        apart_256
    );
    registers!(
        __m512,
        1,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_fmadd_ps,
        larger_512,
        select_512,
        apart_512
    );

    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    fn apart_256<const ROWS: usize>(task: impl VectorTask) {
        task.run::<Registers<__m256, 2>, ROWS>();
    }

    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    fn apart_512<const ROWS: usize>(task: impl VectorTask) {
        task.run::<Registers<__m512, 1>, ROWS>();
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(task: impl VectorTask) {
        // Of 16 registers, sums take 10, a row of the other factor 2.
        apart_256::<5>(task);
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    pub(super) fn avx512(task: impl VectorTask) {
        // Of 32 registers, as many as a row has tiles.
        apart_512::<15>(task);
    }
}

/// Runs a task with the widest vectors that the processor has.
#[allow(unsafe_code)]
pub(super) fn run_vectors(task: impl VectorTask) {
    #[cfg(target_arch = "x86_64")]
    match super::level() {
        super::Level::Portable => {}
        // SAFETY: `level` has asked the processor for these features.
        super::Level::Avx2 => return unsafe { wide::avx2(task) },
        // SAFETY: likewise.
        super::Level::Avx512 => return unsafe { wide::avx512(task) },
    }
    task.run::<Portable, 5>();
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Larger<'a>([&'a [f32; LANES]; 2], &'a mut [f32; LANES]);

    impl VectorTask for Larger<'_> {
        #[inline(always)]
        fn run<V: Vector, const ROWS: usize>(self) {
            let [a, b] = self.0.map(V::load);
            a.max(b).store(self.1);
        }
    }

    #[test]
    fn the_larger_of_a_number_and_none_is_none() {
        let mut a: [f32; LANES] = std::array::from_fn(|n| n as f32 - 8.0);
        let mut b = a.map(|x| -x);
        a[3] = f32::NAN;
        b[12] = f32::NAN;
        let expected: [f32; LANES] = std::array::from_fn(|n| (n as f32 - 8.0).abs());
        let mut found = [[0.0; LANES]; 2];
        run_vectors(Larger([&a, &b], &mut found[0]));
        Larger([&a, &b], &mut found[1]).run::<Portable, 5>();
        for found in found {
            for (n, (found, expected)) in found.into_iter().zip(expected).enumerate() {
                assert!(if n == 3 || n == 12 { found.is_nan() } else { found == expected }, "{n}");
            }
        }
    }
}
