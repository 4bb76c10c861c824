use crate::kernel::{ImageTask, VolumeTask};
use crate::scratch::Scratch;
use crate::simd::run_vectors;
#[cfg(target_arch = "x86_64")]
use crate::simd::wide;
use crate::zoom::{CubicZoom, Tap};
use sealed::Token;

pub(crate) mod sealed {
    use super::{CubicZoom, ImageTask, Scratch, Tap, VolumeTask};

    /// What the getters of [`Sealed`] take, so that only this crate, which can name it, can call them.
    #[derive(Debug, Clone, Copy)]
    pub struct Token;

    /// Items that no other crate can implement or call: none can name the trait, a [`Token`] or a task.
    pub trait Sealed: Sized {
        /// Vectors for AVX2.
        #[cfg(target_arch = "x86_64")]
        type Avx2: crate::simd::Vector<Self>;

        /// Vectors for AVX-512.
        #[cfg(target_arch = "x86_64")]
        type Avx512: crate::simd::Vector<Self>;

        /// The places and weights of an interpolation.
        fn taps(zoom: &CubicZoom, token: Token) -> &[Tap<Self>];

        /// The buffer of this type.
        fn buffer(scratch: &mut Scratch, token: Token) -> &mut Vec<Self>;

        /// The memory for a prepared signal of this type.
        fn prepared(scratch: &mut Scratch, token: Token) -> &mut Vec<Self>;

        /// Runs the task. Each implementation is for one concrete type, so it is compiled only in this crate; a generic
        /// function would be compiled again in every crate that calls it.
        fn make_images(task: ImageTask<'_, Self>);

        /// Like [`Sealed::make_images`], for volumes.
        fn make_volume(task: VolumeTask<'_, Self>);
    }
}

/// The floating-point types that images and volumes are made in: `f32` and `f64`.
pub trait Real: ndarray::NdFloat + sealed::Sealed + Default {
    /// Returns the nearest number of this type.
    fn from_f64(value: f64) -> Self;
}

impl Real for f32 {
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl Real for f64 {
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
}

impl sealed::Sealed for f32 {
    #[cfg(target_arch = "x86_64")]
    type Avx2 = wide::Registers<std::arch::x86_64::__m256, 2>;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = wide::Registers<std::arch::x86_64::__m512, 1>;

    fn taps(zoom: &CubicZoom, _: Token) -> &[Tap<Self>] {
        zoom.taps_f32()
    }

    fn buffer(scratch: &mut Scratch, _: Token) -> &mut Vec<Self> {
        &mut scratch.f32s
    }

    fn prepared(scratch: &mut Scratch, _: Token) -> &mut Vec<Self> {
        &mut scratch.prepared_f32
    }

    #[inline(never)]
    fn make_images(task: ImageTask<'_, Self>) {
        run_vectors(task);
    }

    #[inline(never)]
    fn make_volume(task: VolumeTask<'_, Self>) {
        run_vectors(task);
    }
}

impl sealed::Sealed for f64 {
    #[cfg(target_arch = "x86_64")]
    type Avx2 = wide::Registers<std::arch::x86_64::__m256d, 4>;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = wide::Registers<std::arch::x86_64::__m512d, 2>;

    fn taps(zoom: &CubicZoom, _: Token) -> &[Tap<Self>] {
        zoom.taps_f64()
    }

    fn buffer(scratch: &mut Scratch, _: Token) -> &mut Vec<Self> {
        &mut scratch.f64s
    }

    fn prepared(scratch: &mut Scratch, _: Token) -> &mut Vec<Self> {
        &mut scratch.prepared_f64
    }

    #[inline(never)]
    fn make_images(task: ImageTask<'_, Self>) {
        run_vectors(task);
    }

    #[inline(never)]
    fn make_volume(task: VolumeTask<'_, Self>) {
        run_vectors(task);
    }
}

/// Other crates do not reach the working memory.
///
/// ```compile_fail
/// fn buffer<T: ecg3d_convert::Real>(scratch: &mut ecg3d_convert::Scratch) -> &mut Vec<T> {
///     T::buffer(scratch)
/// }
/// ```
#[cfg(doctest)]
struct Sealed;
