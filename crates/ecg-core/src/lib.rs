//! Shared types of the 3DECG toolkit: leads, recordings, diagnosis codes, label sets and the predictor traits.
//!
//! ```
//! use ecg_core::{LabelSet, Lead, Recording, SamplingRate, ndarray::Array2};
//!
//! # fn main() -> Result<(), ecg_core::CoreError> {
//! // A ten-second flat line on the twelve standard leads, [lead, sample] in mV.
//! let signal = Array2::<f64>::zeros((12, 5000));
//! let recording = Recording::new("demo", SamplingRate::new(500.0)?, Lead::STANDARD_12, signal)?;
//! assert_eq!(recording.duration_s(), 10.0);
//! assert_eq!(recording.row_of(Lead::AVR), Some(3));
//! assert_eq!(LabelSet::seven().index_of("RBBB"), Some(4));
//! # Ok(())
//! # }
//! ```
//!
//! # Which type for which job
//!
//! | type | purpose |
//! |---|---|
//! | [`Recording`] | a signal `[lead, sample]` in mV with its lead names, sampling rate and any known patient data |
//! | [`SamplingRate`] | samples per second: a positive, finite number |
//! | [`Adc`] | the integers as the recorder stored them, with gain and baseline |
//! | [`Lead`], [`LeadName`] | one of the twelve standard leads; any lead name as spelt in a file |
//! | [`SnomedCode`] | a diagnosis code |
//! | [`LabelSet`] | the label order that accompanies every probability array |
//! | [`Predict`] | a classifier that turns a batch of inputs into probabilities `[n, label]` |
//! | [`PredictSubsets`] | the same for one input with only subsets of its leads kept, for explanations |
//! | [`LeadMask`] | one such subset: a bit for each lead |
//!
//! # Conventions
//!
//! Axes are named in brackets, in C order: `[lead, sample]`, `[record, lead, sample]`. Signals are `f64` in mV unless a
//! name says otherwise; rates are in Hz. The standard lead order is I, II, III, aVR, aVL, aVF, V1 to V6.
//!
//! # Sibling crates
//!
//! - `ecg-io` reads recordings.
//! - `ecg3d-convert` converts them to volumes.
//! - `ecg3d-models` classifies them.
//! - `ecg-lime` explains predictions.
//! - `ecg-metrics` evaluates them.
//! - `ecg-synth` synthesises recordings.

mod error;
// Not part of the API: the crates and programs of the workspace write their files with it.
#[cfg(feature = "files")]
#[doc(hidden)]
pub mod files;
mod label;
mod lead;
mod predict;
mod recording;

/// The arrays of the arguments and results, in the version used here.
pub use ndarray;

pub use error::{CoreError, with_causes};
pub use label::{LabelSet, SnomedCode};
pub use lead::{Lead, LeadName};
pub use predict::{LeadMask, Predict, PredictError, PredictSubsets};
pub use recording::{Adc, Recording, SamplingRate, Sex};
