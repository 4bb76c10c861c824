use crate::scratch::Scratch;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The numbers that images and volumes are made of: `f32` and `f64`.
pub trait Real: ndarray::NdFloat + sealed::Sealed + Default {
    /// The nearest number of this type.
    fn from_f64(value: f64) -> Self;

    /// The buffer of this type.
    #[doc(hidden)]
    fn buffer(scratch: &mut Scratch) -> &mut Vec<Self>;

    /// The room for a prepared signal of this type.
    #[doc(hidden)]
    fn prepared(scratch: &mut Scratch) -> &mut Vec<Self>;
}

impl Real for f32 {
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }

    fn buffer(scratch: &mut Scratch) -> &mut Vec<Self> {
        &mut scratch.f32s
    }

    fn prepared(scratch: &mut Scratch) -> &mut Vec<Self> {
        &mut scratch.prepared_f32
    }
}

impl Real for f64 {
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }

    fn buffer(scratch: &mut Scratch) -> &mut Vec<Self> {
        &mut scratch.f64s
    }

    fn prepared(scratch: &mut Scratch) -> &mut Vec<Self> {
        &mut scratch.prepared_f64
    }
}
