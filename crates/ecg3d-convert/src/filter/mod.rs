//! Recursive filters: Butterworth designs as second-order sections, run causally or forward and backward.

mod butterworth;
mod notch;
mod pairing;
mod rows;
mod sos;

pub use butterworth::{Band, butterworth};
pub use notch::notch;
pub use sos::{Continuation, Sos, SosState};
