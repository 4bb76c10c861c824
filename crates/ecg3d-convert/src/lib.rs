//! The ECG 3D Converter: turns 12-lead recordings into 45x45x45 volumes of stacked recurrence plots.
//!
//! ```
//! use ecg3d_convert::ecg_core::{Lead, Recording, SamplingRate};
//! use ecg3d_convert::ndarray::{Array2, s};
//! use ecg3d_convert::{ConvertConfig, ConvertPlan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Ten seconds at 500 Hz, [lead, sample] in mV.
//! let signal = Array2::from_shape_fn((12, 5000), |(lead, t)| (t as f64 / 40.0).sin() * (lead + 1) as f64 / 12.0);
//! let recording = Recording::new("demo", SamplingRate::new(500.0)?, Lead::STANDARD_12, signal)?;
//!
//! let plan = ConvertPlan::new(ConvertConfig::corrected(), recording.sampling_rate)?;
//! let volume = plan.convert(&recording)?; // [depth, height, width], f32
//! assert_eq!(volume.dim(), (45, 45, 45));
//!
//! // Step by step. The prepared signal is what to store.
//! let prepared = plan.prepare(&recording)?; // [12, 500] at 50 Hz
//! for start in plan.windows(prepared.length) {
//!     let window = prepared.signal.slice(s![.., start..start + 100]);
//!     let volume = plan.image_plan().volume_of_window(window)?;
//!     assert_eq!(volume.dim(), (45, 45, 45));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The stages
//!
#![doc = include_str!("../docs/stages.svg")]
//!
//! The [guide] has a page on each stage and a [cookbook](guide::cookbook) with recipes for: your own data, other sizes,
//! one lead, streaming, saving, plots with a threshold, volumes of some of the leads, configuration files.
//!
//! | stage | [`Preset::Published`]: what the study's programs do | [`Preset::Corrected`]: what its text intends |
//! |---|---|---|
//! | units | ADC integers as stored, whatever their gain | mV |
//! | leads | in the file's order | I, II, III, aVR, aVL, aVF, V1 to V6, found by name |
//! | cut | the first 1000 samples, at any sampling rate | none; windows of 2 s, one every second, at the end |
//! | high-pass | Butterworth, order 1, 0.5 Hz designed for 50 Hz (so 5 Hz on 500 Hz data), causal | the same, designed for the record's sampling rate, forward and backward |
//! | resample | FFT, 1000 to 100 samples | polyphase FIR, any rate to 50 Hz (within 2e-7, at worst 1e-5) |
//! | recurrence plot | distances between states (x\[t\], x\[t + 1\]), no threshold | the same |
//! | zoom | cubic B-spline along both time axes and the leads | the same |
//!
//! A [`ConvertPlan`] turns recordings into prepared signals. An [`ImagePlan`] turns a window of a prepared signal into
//! images `[12, 45, 45]` and volumes. On golden values, each stage equals SciPy's within 1e-12 of its peak in `f64`.
//! Filters that start from a steady state are within 5e-12, because SciPy's own are off by 3e-12. In `f32` the volume
//! stays within 3e-6. Only the last sample of the zoom may differ, where a rounding error makes SciPy's zero (never for
//! 12 or 99 to 45).
//!
//! # Which type for which job
//!
//! | type | job |
//! |---|---|
//! | [`ConvertConfig`] | all settings; starts from a [`Preset`], can be saved as TOML or JSON, has a [hash](ConvertConfig::hash) |
//! | [`ConvertPlan`] | turns recordings of one sampling rate into prepared signals or volumes, one by one or in batches |
//! | [`Plans`] | the plans for recordings of several sampling rates |
//! | [`ImagePlan`] | turns windows of prepared signals into images and volumes, and makes the volumes of subsets of leads |
//! | [`Scratch`] | working memory for the `_into` calls, so that they need not allocate; one per thread |
//! | [`butterworth`], [`notch`], [`Sos`] | recursive filters, causal with state or forward and backward |
//! | [`Fir`], [`FftFir`] | filters with a finite impulse response: direct, by FFT, in pieces |
//! | [`FftResampler`], [`PolyResampler`] | changing the number of samples, or the sampling rate |
//! | [`RecurrencePlot`] | recurrence plots of any embedding, [`Metric`] and [`Threshold`] |
//! | [`SplineZoom`], [`CubicZoom`] | spline interpolation of any order and [`Boundary`]; the cubic one of the conversion as a matrix |
//!
//! # What the representation cannot see
//!
//! A recurrence plot holds distances, so it does not change when a signal is inverted or shifted by an offset. The
//! polarity of a QRS complex in V1, the inversion of a T wave and the axis of the heart never reach a network that
//! reads volumes. The order of two states in time shows only up to symmetry: each slice is its own transpose. The zoom
//! along the leads blends neighbouring leads, even those that are not anatomical neighbours (aVF and V1). At 50 Hz
//! nothing above 25 Hz is left, and in most bradycardias a window of 2 s holds one RR interval or none; several windows
//! help.
//!
//! # Conventions
//!
//! - Axes are named in brackets, in C order: signals `[lead, sample]`, images `[lead, height, width]`, volumes
//!   `[depth, height, width]`. Depth runs along the leads, height and width along time.
//! - Prepared signals are in ADC units (published) or mV (corrected), unless a [`Scale`] is chosen. Images and volumes
//!   have the same unit.
//! - Forward FFTs are not scaled; inverse FFTs are divided by the length.
//! - Signals are filtered and resampled in `f64`. Images and volumes are made in `f32` or `f64` ([`Real`]).
//! - Plans are `Send + Sync`. Equal input gives the same bits on every thread and, from the prepared signal on, with
//!   every instruction set. (The FFTs used for resampling round differently on different processors.)
//! - On x86-64, the environment variable `ECG3D_SIMD` makes the loops of this crate, and those of `ecg3d-models`, use
//!   less than the processor has: `portable`, `avx2` or `avx512`, in upper or lower case. Other values panic on first
//!   use; [`check_simd`] at the start of a program makes an error of that. The variable is read once, and the FFTs
//!   ignore it.
//!
//! # Features
//!
//! Both are on by default, and neither changes a result.
//!
//! - `rayon`: [`ConvertPlan::prepare_all`], [`ConvertPlan::convert_all`] and their `_into` forms use all threads of
//!   rayon's current pool. Without it, they use one thread.
//! - `serde`: [`ConvertConfig`] and the types of its fields implement `Serialize` and `Deserialize`. The `serde` crate
//!   is compiled in any case, because `ecg-core` needs it.
//!
//! # Sibling crates
//!
//! `ecg-io` reads recordings, `ecg3d-models` classifies volumes, and `ecg-lime` finds out which leads mattered.

mod config;
mod convolve;
mod error;
mod filter;
mod fir;
pub mod guide;
mod hash;
mod image;
mod kernel;
mod plan;
mod plot;
mod real;
mod recurrence;
mod resample;
mod scratch;
mod simd;
mod spline;
mod zoom;

/// Recordings and leads, in the version that the converter uses.
pub use ecg_core;
/// The arrays of the arguments and results, in the version that the converter uses.
pub use ndarray;

pub use config::{
    ConvertConfig, Denoise, InvalidSamples, LeadSelection, Preset, Resample, Scale, ShortRecords,
    Units, Windows,
};
pub use convolve::{Extent, FftFir, Fir, FirState};
pub use error::ConvertError;
pub use filter::{Band, Continuation, Sos, SosState, butterworth, notch};
pub use fir::kaiser_low_pass;
pub use image::ImagePlan;
pub use plan::{ConvertPlan, ConvertWarning, Outcome, Plans, Prepared};
pub use plot::{Metric, RecurrencePlot, Threshold};
pub use real::Real;
pub use resample::{Edges, FftResampler, FftScratch, FirMethod, PolyResampler, rate_ratio};
pub use scratch::Scratch;
pub use simd::check_simd;
/// `ecg3d-models` obeys the same environment variable.
#[cfg(target_arch = "x86_64")]
#[doc(hidden)]
pub use simd::{Level as SimdLevel, limit as simd_limit, wide::level as simd_level};
pub use spline::{Boundary, SplineZoom};
pub use zoom::CubicZoom;

/// The code on the package's front page is tested like any other.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
