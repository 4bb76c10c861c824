//! The one place with `unsafe`: running the same code with the widest vectors that the processor has.
//!
//! The build's baseline for x86-64 is SSE2, four `f32` at a time. Compiling the inner loops again for AVX2 and AVX-512, and
//! choosing at run time, makes the volume of a window 1.7 times as quick and those of all subsets of leads 1.35 times
//! (`benches/convert.rs`; `ECG3D_SIMD=portable` or `avx2` in the environment asks for less). No instruction that fuses
//! multiplication and addition is allowed, so that every processor gives the same bits.

/// Values that inner loops take at a time.
///
/// Loops over arrays of this length become vector code without remainders. It is so long that the compiler keeps them as
/// loops: shorter ones it unrolls first, and then makes a mess of the loop around them.
pub(crate) const LANES: usize = 64;

/// Sets each value of `out` to `f` of itself and its counterpart in `other`, which is at least as long.
#[inline(always)]
pub(crate) fn update<T: Copy>(out: &mut [T], other: &[T], f: impl Fn(T, T) -> T) {
    let (out, out_rest) = out.as_chunks_mut::<LANES>();
    let (other, other_rest) = other.as_chunks::<LANES>();
    for (out, other) in out.iter_mut().zip(other) {
        // By value, so that no store stands between the loads.
        let mut values = *out;
        for (value, &other) in values.iter_mut().zip(other) {
            *value = f(*value, other);
        }
        *out = values;
    }
    out_rest.iter_mut().zip(other_rest).for_each(|(out, other)| *out = f(*out, *other));
}

/// Work that is compiled once for each instruction set.
///
/// Implementations mark `run`, and everything that it calls and that should be compiled anew, `#[inline(always)]`.
pub(crate) trait Task {
    /// What the work gives.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use super::Task;

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2<T: Task>(task: T) -> T::Output {
        task.run()
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    pub(super) fn avx512<T: Task>(task: T) -> T::Output {
        task.run()
    }

    #[derive(Clone, Copy, PartialEq)]
    pub(super) enum Level {
        Portable,
        Avx2,
        Avx512,
    }

    /// What the processor has, unless the environment asks for less; looked up once.
    pub(super) fn level() -> Level {
        static LEVEL: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
        *LEVEL.get_or_init(|| {
            let asked = std::env::var("ECG3D_SIMD").unwrap_or_default();
            if asked == "portable" || !std::is_x86_feature_detected!("avx2") {
                Level::Portable
            } else if asked == "avx2"
                || !(std::is_x86_feature_detected!("avx512f")
                    && std::is_x86_feature_detected!("avx512vl")
                    && std::is_x86_feature_detected!("avx512bw")
                    && std::is_x86_feature_detected!("avx512dq"))
            {
                Level::Avx2
            } else {
                Level::Avx512
            }
        })
    }
}

/// Runs a task with the widest vectors that the processor has.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
pub(crate) fn run<T: Task>(task: T) -> T::Output {
    match wide::level() {
        wide::Level::Portable => task.run(),
        // SAFETY: `level` has asked the processor for these features.
        wide::Level::Avx2 => unsafe { wide::avx2(task) },
        // SAFETY: likewise.
        wide::Level::Avx512 => unsafe { wide::avx512(task) },
    }
}

/// Runs a task.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn run<T: Task>(task: T) -> T::Output {
    task.run()
}
