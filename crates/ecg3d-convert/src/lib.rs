//! The ECG 3D Converter: 12-lead recordings to 45x45x45 volumes of recurrence plots.

mod config;
mod error;
mod filter;
mod fir;
mod hash;
mod image;
mod kernel;
mod plan;
mod real;
mod recurrence;
mod resample;
mod scratch;
mod simd;
mod zoom;

pub use config::{
    ConvertConfig, Denoise, InvalidSamples, LeadSelection, Preset, Resample, Scale, Units, Windows,
};
pub use error::ConvertError;
pub use filter::{Band, Sos, SosState, butterworth};
pub use fir::kaiser_low_pass;
pub use image::ImagePlan;
pub use plan::{ConvertPlan, ConvertWarning, Outcome, Prepared};
pub use real::Real;
pub use recurrence::Recurrence;
pub use resample::{Edges, FftResampler, FftScratch, FirMethod, PolyResampler, rate_ratio};
pub use scratch::Scratch;
pub use zoom::{CubicZoom, zoom};
