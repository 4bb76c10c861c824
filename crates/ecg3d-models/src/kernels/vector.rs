//! Sixteen `f32` side by side, as one register of AVX-512, two of AVX2, or an array elsewhere.

use super::{Bf16, Element};

/// Number of values that are processed side by side.
pub(super) const LANES: usize = 16;

/// The bits of 1.
const ONE: u32 = 0x3f80_0000;

/// A vector of `LANES` values.
pub(crate) trait Vector: Copy {
    /// Returns a vector with the same value everywhere.
    fn splat(value: f32) -> Self;
    /// Reads the values from an array.
    fn load(values: &[f32; LANES]) -> Self;
    /// Writes the values to an array.
    fn store(self, out: &mut [f32; LANES]);
    /// Reads the values from an array of `bf16`.
    fn load_bf16(values: &[Bf16; LANES]) -> Self;
    /// Writes the values to an array of `bf16`, rounded as by [`Bf16::put`].
    fn store_bf16(self, out: &mut [Bf16; LANES]);
    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self * other`.
    fn mul(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once on aarch64 and with AVX2 or AVX-512, and after each operation elsewhere.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `self / other`.
    fn div(self, other: Self) -> Self;
    /// The larger of both values, or NaN if one is NaN.
    fn max(self, other: Self) -> Self;
    /// Limits the values to a range; NaN stays NaN.
    fn clamp(self, low: f32, high: f32) -> Self;
    /// 2 to the power of the integer in the lowest bits, which is between -126 and 127.
    fn power_of_two(self) -> Self;
    /// Keeps the values where `condition` is above 0, and sets the others to 0.
    fn where_positive(self, condition: Self) -> Self;
    /// Runs a part of a task as a separate function, which is compiled once and not inlined wherever it is used.
    fn apart<const ROWS: usize>(part: impl VectorTask);

    /// Reads the values from an array of either number type.
    #[inline(always)]
    fn get<T: Element>(values: &[T; LANES]) -> Self {
        T::load(values)
    }

    /// Writes the values to an array of either number type.
    #[inline(always)]
    fn put<T: Element>(self, out: &mut [T; LANES]) {
        T::store(self, out);
    }
}

/// Work with vectors of a generic type, and with `ROWS` of them available for sums in a product of matrices.
///
/// Implementations mark `run`, and everything that it calls down to the vectors, `#[inline(always)]`.
pub(crate) trait VectorTask {
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
    fn load_bf16(values: &[Bf16; LANES]) -> Self {
        Self(values.map(Bf16::get))
    }

    #[inline(always)]
    fn store_bf16(self, out: &mut [Bf16; LANES]) {
        *out = self.0.map(Bf16::put);
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
        // Every such processor has the instruction. Elsewhere, this would be a call of a function.
        if cfg!(target_arch = "aarch64") {
            let mut out = addend;
            for ((out, a), b) in out.0.iter_mut().zip(self.0).zip(factor.0) {
                *out = a.mul_add(b, *out);
            }
            out
        } else {
            self.mul(factor).add(addend)
        }
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    #[inline(always)]
    fn clamp(self, low: f32, high: f32) -> Self {
        Self(self.0.map(|x| x.clamp(low, high)))
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        Self(self.0.map(|x| f32::from_bits((x.to_bits() << 23).wrapping_add(ONE))))
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

    use super::{Bf16, LANES, ONE, Vector, VectorTask};

    /// `LANES` values in `N` registers. Created only by code that runs under [`super::run_vectors`].
    #[derive(Clone, Copy)]
    pub(super) struct Registers<R, const N: usize>([R; N]);

    /// A vector with the value of an expression for each register. A closure would be compiled without the wide
    /// vectors.
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
        ($register:ty, $count:literal, $splat:ident, $load:ident, $store:ident, $widen:ident, $narrow:ident, $add:ident, $sub:ident, $mul:ident, $fma:ident, $div:ident, $larger:ident, $clamped:ident, $power:ident, $select:ident, $apart:ident) => {
            impl Vector for Registers<$register, $count> {
                #[inline(always)]
                fn splat(value: f32) -> Self {
                    // SAFETY: only code that runs after `level` has checked the processor can use this type. The same
                    // applies below.
                    Self([unsafe { $splat(value) }; $count])
                }

                #[inline(always)]
                fn load(values: &[f32; LANES]) -> Self {
                    // SAFETY: `count` registers hold `LANES` values; they may be read from any address.
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
                fn load_bf16(values: &[Bf16; LANES]) -> Self {
                    // SAFETY: as in `load`; a `Bf16` is a `u16`.
                    let first = unsafe { $widen(values.as_ptr().cast()) };
                    each!(Self([first; $count]), n, unsafe {
                        $widen(values.as_ptr().add(n * (LANES / $count)).cast())
                    })
                }

                #[inline(always)]
                fn store_bf16(self, out: &mut [Bf16; LANES]) {
                    for (n, register) in self.0.into_iter().enumerate() {
                        // SAFETY: as in `load_bf16`.
                        unsafe {
                            $narrow(out.as_mut_ptr().add(n * (LANES / $count)).cast(), register)
                        }
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
                fn div(self, other: Self) -> Self {
                    // SAFETY: as in `splat`.
                    each!(self, n, unsafe { $div(self.0[n], other.0[n]) })
                }

                #[inline(always)]
                fn clamp(self, low: f32, high: f32) -> Self {
                    // SAFETY: as in `splat`.
                    each!(self, n, unsafe { $clamped(self.0[n], low, high) })
                }

                #[inline(always)]
                fn power_of_two(self) -> Self {
                    // SAFETY: as in `splat`.
                    each!(self, n, unsafe { $power(self.0[n]) })
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

    /// Widens eight upper halves at the pointer to `f32`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn widen_256(halves: *const u16) -> __m256 {
        // SAFETY: guaranteed by the caller.
        let halves = unsafe { _mm_loadu_si128(halves.cast()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
    }

    /// Does the same as [`widen_256`] for sixteen values.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn widen_512(halves: *const u16) -> __m512 {
        // SAFETY: guaranteed by the caller.
        let halves = unsafe { _mm256_loadu_si256(halves.cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
    }

    /// Writes the upper halves of `f32`, rounded to nearest, ties to even, to memory with room for eight.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn narrow_256(out: *mut u16, values: __m256) {
        let bits = _mm256_castps_si256(values);
        let last = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(last, _mm256_set1_epi32(0x7fff)));
        let none = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(values, values));
        let rounded = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0_0000), none);
        let halves = _mm256_srli_epi32::<16>(rounded);
        let (low, high) = (_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
        // SAFETY: guaranteed by the caller.
        unsafe { _mm_storeu_si128(out.cast(), _mm_packus_epi32(low, high)) }
    }

    /// Does the same as [`narrow_256`] for sixteen values.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn narrow_512(out: *mut u16, values: __m512) {
        let bits = _mm512_castps_si512(values);
        let last = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(last, _mm512_set1_epi32(0x7fff)));
        let none = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(values, values);
        let rounded = _mm512_mask_mov_epi32(rounded, none, _mm512_set1_epi32(0x7fc0_0000));
        let halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
        // SAFETY: guaranteed by the caller.
        unsafe { _mm256_storeu_si256(out.cast(), halves) }
    }

    // The instruction returns its second operand if either is NaN.
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

    // Both instructions return their second operand if either is NaN.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn clamped_256(x: __m256, low: f32, high: f32) -> __m256 {
        _mm256_max_ps(_mm256_set1_ps(low), _mm256_min_ps(_mm256_set1_ps(high), x))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn power_256(x: __m256) -> __m256 {
        let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(x));
        _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(ONE as i32)))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn select_256(values: __m256, condition: __m256) -> __m256 {
        _mm256_and_ps(values, _mm256_cmp_ps::<_CMP_GT_OQ>(condition, _mm256_setzero_ps()))
    }

    // Both instructions return their second operand if either is NaN.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    fn clamped_512(x: __m512, low: f32, high: f32) -> __m512 {
        _mm512_max_ps(_mm512_set1_ps(low), _mm512_min_ps(_mm512_set1_ps(high), x))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    fn power_512(x: __m512) -> __m512 {
        let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(x));
        _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(ONE as i32)))
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
        widen_256,
        narrow_256,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_fmadd_ps,
        _mm256_div_ps,
        larger_256,
        clamped_256,
        power_256,
        select_256,
        apart_256
    );
    registers!(
        __m512,
        1,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        widen_512,
        narrow_512,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_fmadd_ps,
        _mm512_div_ps,
        larger_512,
        clamped_512,
        power_512,
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
        // Of 16 registers, the sums take 10, and a row of the other factor takes 2.
        apart_256::<5>(task);
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    pub(super) fn avx512(task: impl VectorTask) {
        // Of 32 registers, the sums take as many as a row has tiles.
        apart_512::<15>(task);
    }
}

/// Runs a task with the widest vectors that the processor has.
#[allow(unsafe_code)]
pub(super) fn run_vectors(task: impl VectorTask) {
    #[cfg(target_arch = "x86_64")]
    match super::level() {
        super::Level::Portable => {}
        // SAFETY: `level` has checked that the processor has these features.
        super::Level::Avx2 => return unsafe { wide::avx2(task) },
        // SAFETY: as above.
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

    struct MulAdd<'a>([&'a [f32; LANES]; 3], &'a mut [f32; LANES]);

    impl VectorTask for MulAdd<'_> {
        #[inline(always)]
        fn run<V: Vector, const ROWS: usize>(self) {
            let [a, b, c] = self.0.map(V::load);
            a.mul_add(b, c).store(self.1);
        }
    }

    struct Rounded<'a>(&'a [f32; LANES], &'a mut [Bf16; LANES], &'a mut [f32; LANES]);

    impl VectorTask for Rounded<'_> {
        #[inline(always)]
        fn run<V: Vector, const ROWS: usize>(self) {
            V::load(self.0).put(self.1);
            V::get(self.1).store(self.2);
        }
    }

    /// Tests each upper half with lower halves around a tie; infinities and NaN are among them.
    #[test]
    fn bf16_is_rounded_and_read_as_one_by_one() {
        const LOW: [u16; LANES] = [
            0, 1, 2, 0x100, 0x1234, 0x4000, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0x8002, 0xa000, 0xc000,
            0xedcb, 0xfffe, 0xffff,
        ];
        for high in 0..=u16::MAX {
            let values = LOW.map(|low| f32::from_bits(u32::from(high) << 16 | u32::from(low)));
            for portable in [false, true] {
                let (mut rounded, mut read) = ([Bf16(0); LANES], [0.0; LANES]);
                let task = Rounded(&values, &mut rounded, &mut read);
                if portable {
                    task.run::<Portable, 5>();
                } else {
                    run_vectors(task);
                }
                for ((value, rounded), read) in values.iter().zip(rounded).zip(read) {
                    let expected = Bf16::put(*value);
                    assert_eq!(rounded.0, expected.0, "{:x}", value.to_bits());
                    assert_eq!(read.to_bits(), expected.get().to_bits(), "{:x}", value.to_bits());
                }
            }
        }
    }

    /// The last binary digit of the product is lost if the product is rounded.
    #[test]
    fn a_product_and_a_sum_are_rounded_once_where_that_is_quick() {
        let tiny = 2f32.powi(-12);
        let (a, c) = ([1.0 + tiny; LANES], [-1.0 - 2.0 * tiny; LANES]);
        let check = |found: [f32; LANES], once: bool| {
            assert_eq!(found, [if once { tiny * tiny } else { 0.0 }; LANES]);
        };
        let mut found = [[f32::NAN; LANES]; 2];
        MulAdd([&a, &a, &c], &mut found[0]).run::<Portable, 5>();
        check(found[0], cfg!(target_arch = "aarch64"));
        run_vectors(MulAdd([&a, &a, &c], &mut found[1]));
        #[cfg(target_arch = "x86_64")]
        check(found[1], crate::kernels::level() != crate::kernels::Level::Portable);
        #[cfg(not(target_arch = "x86_64"))]
        check(found[1], cfg!(target_arch = "aarch64"));
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
