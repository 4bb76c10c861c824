//! The ECG 3D Converter: 12-lead recordings to 45x45x45 volumes of stacked recurrence plots.
//!
//! ```
//! use ecg_core::{Lead, Recording, SamplingRate};
//! use ecg3d_convert::{ConvertConfig, ConvertPlan};
//! use ndarray::Array2;
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
//! // Step by step: the prepared signal is what is worth storing.
//! let prepared = plan.prepare(&recording)?; // [12, 500] at 50 Hz
//! for start in plan.windows(prepared.length) {
//!     let window = prepared.signal.slice(ndarray::s![.., start..start + 100]);
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
//! The [guide] has a page for each stage, and a [cookbook](guide::cookbook): my own data, other sizes, one lead, streaming, saving,
//! plots with a threshold, volumes of some of the leads, configuration files.
//!
//! | stage | [`Preset::Published`]: what the study's programs do | [`Preset::Corrected`]: what its text intends |
//! |---|---|---|
//! | units | ADC integers as stored, whatever their gain | mV |
//! | leads | the file's order | I, II, III, aVR, aVL, aVF, V1 to V6 by name |
//! | cut | the first 1000 samples, whatever their rate | none: windows of 2 s, one every second, at the end |
//! | high-pass | Butterworth, order 1, 0.5 Hz designed for 50 Hz (so 5 Hz on 500 Hz data), causal | the same designed for the record's rate, forward and backward |
//! | resample | FFT, 1000 to 100 samples | polyphase FIR, any rate to 50 Hz (within 2e-7, at worst 1e-5) |
//! | recurrence plot | distances of states (x\[t\], x\[t + 1\]), no threshold | the same |
//! | zoom | cubic B-spline along time, time and leads | the same |
//!
//! Recordings become prepared signals in a [`ConvertPlan`]; from a window of these on, an [`ImagePlan`] makes images `[12, 45, 45]`
//! and volumes. Each stage equals scipy's on golden values within 1e-12 of its peak in `f64` (filters that start from a steady state
//! 5e-12, since scipy's own are 3e-12 off); in `f32` the volume stays within 3e-6. Only the zoom's last sample may differ,
//! where scipy's is a zero for want of a rounding (never for 12 or 99 to 45).
//!
//! # Which type for which job
//!
//! | type | job |
//! |---|---|
//! | [`ConvertConfig`] | everything that can be chosen; starts from a [`Preset`], goes through TOML and JSON, has a [hash](ConvertConfig::hash) |
//! | [`ConvertPlan`] | recordings of one sampling rate to prepared signals or volumes, one by one or in batches |
//! | [`ImagePlan`] | windows of prepared signals to images and volumes, and the volumes of subsets of leads |
//! | [`Scratch`] | what the `_into` calls work in, so that they allocate nothing; one for each thread |
//! | [`butterworth`], [`notch`], [`Sos`] | recursive filters, causal with state or forward and backward |
//! | [`Fir`], [`FftFir`] | filters of finite impulse response: direct, by FFT, in pieces |
//! | [`FftResampler`], [`PolyResampler`] | changing the number of samples, or the rate |
//! | [`RecurrencePlot`] | recurrence plots of any embedding, [`Metric`] and [`Threshold`] |
//! | [`SplineZoom`], [`CubicZoom`] | spline interpolation of any order and [`Boundary`]; the cubic one of the conversion as a matrix |
//!
//! # What the representation cannot see
//!
//! A recurrence plot holds distances, and does not change when a signal is turned upside down or moved by an offset: the
//! polarity of a QRS complex in V1, a T wave's inversion and the heart's axis never reach a network that reads volumes. Nor
//! does the order of time beyond symmetry: each slice is its own transpose. The zoom along the leads blends neighbours
//! that are none anatomically (aVF and V1). At 50 Hz nothing above 25 Hz is left, and a window of 2 s holds one RR interval or
//! none in most bradycardias; several windows help.
//!
//! # Conventions
//!
//! Axes are named in brackets, in C order: signals `[lead, sample]`, images `[lead, height, width]`, volumes `[depth, height,
//! width]`, where depth runs along the leads and height and width along time. Prepared signals are ADC units (published) or
//! mV (corrected), unless a [`Scale`] is chosen; images and volumes have the same unit. FFTs are not scaled on the way forth
//! and divided by the length on the way back. Signals are filtered and resampled in `f64`; images and volumes are made in
//! `f32` or `f64` ([`Real`]). Plans are `Send + Sync`; equal input gives equal bits on every thread, and from a
//! prepared signal on also with every instruction set (the FFTs of resampling differ in rounding between processors). The variable
//! `ECG3D_SIMD` asks for less than the processor has: `avx2` or `portable`.
//!
//! # Features
//!
//! Both are on by default, and neither changes a result. `rayon`: [`ConvertPlan::prepare_all`], [`ConvertPlan::convert_all`] and
//! [`ConvertPlan::convert_all_into`] use all threads of rayon's current pool, and one without it. `serde`: [`ConvertConfig`] and what it
//! is made of implement `Serialize` and `Deserialize`.
//!
//! # Sibling crates
//!
//! `ecg-io` reads recordings, `ecg3d-models` classifies volumes, `ecg-lime` asks which leads mattered.

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

/// Recordings and leads, as this version of the converter takes them.
pub use ecg_core;
/// The arrays of its arguments and results.
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
pub use plan::{ConvertPlan, ConvertWarning, Outcome, Prepared};
pub use plot::{Metric, RecurrencePlot, Threshold};
pub use real::Real;
pub use resample::{Edges, FftResampler, FftScratch, FirMethod, PolyResampler, rate_ratio};
pub use scratch::Scratch;
pub use spline::{Boundary, SplineZoom};
pub use zoom::CubicZoom;

/// The code on the package's front page is tested like any other.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
