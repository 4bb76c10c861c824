//! Loops over the values of CPU tensors, where libtorch would go over memory many times.
//!
//! The one place of this crate with `unsafe`: reaching a tensor's memory, and compiling the loops again for wide vectors.
//! The gates of a convolutional LSTM are some twenty passes over memory as libtorch's operations, forth and back, and two
//! here; a training step of 3DECG-Net in bf16 takes two thirds of the time (`benches/models.rs`).

mod gates;
mod moments;

pub(crate) use gates::{Backward, FILTERS, Forward};
pub(crate) use moments::{affine, moments};

use tch::{Device, Kind, TchError, Tensor};

use crate::layers::Result;

/// A number type of tensors.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    const KIND: Kind;
    fn get(self) -> f32;
    fn put(value: f32) -> Self;
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
}

/// The upper half of an `f32`.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Bf16(u16);

impl Element for Bf16 {
    const KIND: Kind = Kind::BFloat16;

    #[inline(always)]
    fn get(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// Rounds to nearest, ties to even; infinities stay, and what is not a number may become an infinity.
    #[inline(always)]
    fn put(value: f32) -> Self {
        let bits = value.to_bits();
        Self((bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16)
    }
}

fn check<T: Element>(tensor: &Tensor) -> Result<usize> {
    let fits =
        tensor.device() == Device::Cpu && tensor.is_contiguous() && tensor.f_kind()? == T::KIND;
    if fits {
        Ok(tensor.numel())
    } else {
        Err(TchError::Kind(format!("expected {:?} in order on the CPU", T::KIND)))
    }
}

/// The values of a tensor whose memory nobody writes meanwhile.
#[allow(unsafe_code)]
pub(crate) fn values<T: Element>(tensor: &Tensor) -> Result<&[T]> {
    let n = check::<T>(tensor)?;
    if n == 0 {
        // Without values there may be no memory.
        return Ok(&[]);
    }
    // SAFETY: the tensor is contiguous, so that `n` values of its type, which `check` compared, lie behind the pointer, and
    // it keeps them alive. All users of this module own their tensors, and none writes one while it reads it.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr() as *const T, n) })
}

/// The values of a tensor whose memory nobody else reads or writes meanwhile.
#[allow(unsafe_code)]
pub(crate) fn values_mut<T: Element>(tensor: &mut Tensor) -> Result<&mut [T]> {
    let n = check::<T>(tensor)?;
    if n == 0 {
        return Ok(&mut []);
    }
    // SAFETY: as above; nobody else uses the memory of a tensor while it is lent out here.
    Ok(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr() as *mut T, n) })
}

/// Work that is compiled once for each instruction set; implementations and what they call are `#[inline(always)]`.
trait Task {
    fn run(self);
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use super::Task;

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2<T: Task>(task: T) {
        task.run();
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    pub(super) fn avx512<T: Task>(task: T) {
        task.run();
    }
}

/// Runs a task with the widest vectors that the processor has.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn run(task: impl Task) {
    let wide = std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512vl")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512dq");
    if wide {
        // SAFETY: the processor has just said that it has these features.
        unsafe { wide::avx512(task) }
    } else if std::is_x86_feature_detected!("avx2") {
        // SAFETY: likewise.
        unsafe { wide::avx2(task) }
    } else {
        task.run();
    }
}

/// Runs a task.
#[cfg(not(target_arch = "x86_64"))]
fn run(task: impl Task) {
    task.run();
}
