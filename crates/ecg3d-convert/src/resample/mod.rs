//! Changing the number of samples, or the sampling rate, of a signal.

mod fft;
mod poly;
mod ratio;

pub use fft::{FftResampler, FftScratch};
pub use poly::{Edges, FirMethod, PolyResampler};
pub use ratio::rate_ratio;
