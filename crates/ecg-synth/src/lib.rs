//! Seeded, labelled synthetic 12-lead ECG recordings.
//!
//! ```
//! use ecg_core::Lead;
//! use ecg_synth::{Condition, Conduction, Rhythm, SynthOptions, Synthesizer};
//!
//! # fn main() -> Result<(), ecg_synth::SynthError> {
//! let synthesizer = Synthesizer::new(SynthOptions::default().with_seed(1))?;
//! let record = synthesizer.record(0);
//! assert_eq!(record.recording.signal.dim(), (12, 5000)); // [lead, sample], mV, 500 Hz
//! assert_eq!(record.labels.len(), 7); // NSR, AF, IAVB, LBBB, RBBB, SB, STach
//!
//! // The same patient with sinus tachycardia and left bundle branch block:
//! let condition = Condition::new(Rhythm::SinusTachycardia)
//!     .with_conduction(Conduction::LeftBundleBranchBlock);
//! let record = synthesizer.record_with(0, &condition)?;
//! assert_eq!(record.labels, [false, false, false, true, false, false, true]);
//! let v1 = record.clean.row(Lead::V1.index());
//! assert!(v1.iter().copied().fold(0.0, f64::min) < -0.4); // the deep S of left block
//! println!("{} beats", record.truth.beats.len());
//! # Ok(())
//! # }
//! ```
//!
//! # Which type for which job
//! - [`Synthesizer`]: plans once from [`SynthOptions`], makes record after record.
//! - [`Condition`]: what a record shows: [`Rhythm`], first-degree AV block, [`Conduction`], [`Ectopy`], hypertrophy, [`Quality`]. All
//!   seven labels, their combinations, and what is easily mistaken for them.
//! - [`SynthRecord`]: the recording, its labels, the signal before noise, and the [`Truth`]: every [`Beat`] with its times.
//!
//! # How a recording is made
//! The heart is a dipole that is a sum of Gaussians in time around each R (McSharry et al. 2003, IEEE TBME 50:289; Sameni et al. 2007,
//! doi 10.1155/2007/43407; abnormal rhythms after Clifford et al. 2010), turned by the patient's axis and by respiration, seen by
//! the leads through Dower's matrix. Only the T wave stretches with the rate, by the cube root of RR. The waves of the P, of the
//! bundle branch blocks, and of paced and ectopic beats are fits made for this project, not published tables. Atrial fibrillation has the
//! RR intervals of Corino's AV-node model and the f waves of Stridh and Sörnmo. Noise is added electrode by electrode.
//!
//! # Conventions
//! - Signals are `[lead, sample]` in mV, leads in the order I, II, III, aVR, aVL, aVF, V1 to V6.
//! - Integers are 1 uV. III = II - I and aVR + aVL + aVF = 0 hold exactly in them, the Goldberger leads within half a unit.
//! - Record `i` of a seed is the same integers on every machine, whatever was made before it. Another sampling rate or duration
//!   keeps its patient, beats and waves.
//! - Labels follow the rhythm: NSR is sinus rhythm at 60 to 100 a minute, and stays beside blocks; never beside SB, STach or AF.
//!
//! # What it is not
//! A stand-in for patients: good for demonstrations, tests and explanation checks where the truth must be known; a score on it says
//! nothing about a clinic.
//!
//! Sibling crates: `ecg-io` writes the recordings as WFDB or CSV, `ecg3d-convert` turns them into volumes.

mod atrial;
mod condition;
mod dipole;
mod error;
mod leads;
mod noise;
mod plan;
mod record;
mod rhythm;
mod rng;
mod shape;
mod waves;

pub use atrial::AtrialWave;
pub use condition::{Condition, Conduction, Ectopy, Quality, Rhythm};
pub use error::SynthError;
pub use noise::Electrode;
pub use record::{Beat, SynthOptions, SynthRecord, Synthesizer, Truth};
pub use rhythm::BeatKind;
