//! Loops over the values of CPU tensors, where libtorch would go over memory many times.
//!
//! The one place of this crate with `unsafe`: reaching a tensor's memory, and compiling the loops again for wide vectors.
//! The gates of a convolutional LSTM are some twenty passes over memory as libtorch's operations, forth and back, and two
//! here; a training step of 3DECG-Net in bf16 takes two thirds of the time (`benches/models.rs`).

mod gates;
mod lanes;
mod moments;
pub(crate) mod pool;
pub(crate) mod rows;
pub(crate) mod threads;
mod vector;
pub(crate) mod winograd;

pub(crate) use gates::{Backward, FILTERS, Forward};
pub(crate) use moments::{affine, moments};

use std::cell::RefCell;
use std::thread::LocalKey;

use tch::{Device, Kind, TchError, Tensor};

use crate::layers::Result;

/// A number type of tensors.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    const KIND: Kind;
    fn get(self) -> f32;
    fn put(value: f32) -> Self;
    /// [`Element::get`] of each.
    fn widen<const N: usize>(values: &[Self; N]) -> [f32; N];
    /// [`Element::put`] of each.
    fn narrow<const N: usize>(values: [f32; N]) -> [Self; N];
    /// Memory that this thread keeps.
    fn spare() -> &'static LocalKey<Spare<Self>>;

    /// Values to be written over. The system hands out fresh memory page by page, which takes as long as filling it does.
    fn take(n: usize) -> Vec<Self> {
        let spare = Self::spare().with_borrow_mut(|spare| {
            let at = spare.iter().position(|values| values.capacity() >= n)?;
            Some(spare.swap_remove(at))
        });
        let mut values = spare.unwrap_or_default();
        values.resize(n, Self::put(0.0));
        values
    }

    /// Keeps memory for [`Element::take`], of up to four tensors.
    fn give(values: Vec<Self>) {
        Self::spare().with_borrow_mut(|spare| {
            if spare.len() < 4 {
                spare.push(values);
            }
        });
    }
}

type Spare<T> = RefCell<Vec<Vec<T>>>;

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
    fn widen<const N: usize>(values: &[Self; N]) -> [f32; N] {
        *values
    }

    #[inline(always)]
    fn narrow<const N: usize>(values: [f32; N]) -> [Self; N] {
        values
    }

    fn spare() -> &'static LocalKey<Spare<Self>> {
        thread_local!(static SPARE: Spare<f32> = RefCell::default());
        &SPARE
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

    #[inline(always)]
    fn widen<const N: usize>(values: &[Self; N]) -> [f32; N] {
        let mut out = [0.0; N];
        for (out, value) in out.iter_mut().zip(values) {
            *out = value.get();
        }
        out
    }

    #[inline(always)]
    fn narrow<const N: usize>(values: [f32; N]) -> [Self; N] {
        let mut out = [Self(0); N];
        for (out, value) in out.iter_mut().zip(values) {
            *out = Self::put(value);
        }
        out
    }

    fn spare() -> &'static LocalKey<Spare<Self>> {
        thread_local!(static SPARE: Spare<Bf16> = RefCell::default());
        &SPARE
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

/// Vectors that a processor has.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
enum Level {
    Portable,
    Avx2,
    Avx512,
}

/// What the processor has, looked up once.
#[cfg(target_arch = "x86_64")]
fn level() -> Level {
    static LEVEL: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
    *LEVEL.get_or_init(|| {
        let narrow = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
        let wide = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq");
        match (narrow, wide) {
            (_, true) => Level::Avx512,
            (true, _) => Level::Avx2,
            _ => Level::Portable,
        }
    })
}

/// Runs a task with the widest vectors that the processor has.
#[allow(unsafe_code)]
fn run(task: impl Task) {
    #[cfg(target_arch = "x86_64")]
    match level() {
        Level::Portable => {}
        // SAFETY: `level` has asked the processor for these features.
        Level::Avx2 => return unsafe { wide::avx2(task) },
        // SAFETY: likewise.
        Level::Avx512 => return unsafe { wide::avx512(task) },
    }
    task.run();
}
