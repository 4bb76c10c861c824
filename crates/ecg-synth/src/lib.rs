//! Seeded, labelled synthetic 12-lead ECG recordings.
//!
//! ```
//! use ecg_synth::ecg_core::Lead;
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
//! - [`Synthesizer`]: created once from [`SynthOptions`], then generates any number of records.
//! - [`Condition`]: what a record shows: [`Rhythm`], first-degree AV block, [`Conduction`], [`Ectopy`], hypertrophy and
//!   [`Quality`]. It covers all seven labels, their combinations, and findings that are easily mistaken for them.
//! - [`SynthRecord`]: the recording, its labels, the signal before noise, and the [`Truth`]: every [`Beat`] with its
//!   times.
//!
//! # How a recording is made
//! The heart is modelled as a dipole: a sum of Gaussians in time around each R wave (McSharry et al. 2003, IEEE TBME
//! 50:289; Sameni et al. 2007, doi 10.1155/2007/43407; abnormal rhythms after Clifford et al. 2010). The dipole is
//! rotated by the patient's axis and by respiration, and projected onto the leads with Dower's matrix. Only the T wave
//! stretches with the rate, by the cube root of RR. The P wave, the waves of the bundle branch blocks, and those of
//! paced and ectopic beats are fits made for this project, not published tables. Atrial fibrillation uses the RR
//! intervals of Corino's AV-node model and the f waves of Stridh and Sörnmo. Noise is added electrode by electrode.
//!
//! # Conventions
//! - Signals are `[lead, sample]` in mV, with leads in the order I, II, III, aVR, aVL, aVF, V1 to V6.
//! - Integers are in units of 1 uV. They satisfy III = II - I and aVR + aVL + aVF = 0 exactly, and the Goldberger leads
//!   to within half a unit.
//! - For a given seed, record `i` consists of the same integers on every machine, regardless of which records were
//!   generated before it. A different sampling rate or duration keeps its patient, beats and waves.
//! - Labels follow the rhythm. NSR is sinus rhythm at 60 to 100 per minute; it can accompany blocks, but never SB,
//!   STach or AF.
//!
//! # Limitations
//! Synthetic recordings are no substitute for recordings of patients. They are good for demonstrations, tests and
//! explanation checks where the truth must be known; a score on them says nothing about clinical performance.
//!
//! The axis of the P wave is about 85 degrees, where 0 to 75 are normal: the P wave is flat in lead I, and inverted
//! there in about a fifth of the beats.
//!
//! # Sibling crates
//! `ecg-io` writes the recordings as WFDB or CSV; `ecg3d-convert` turns them into volumes.

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

// The crates whose types appear in public signatures here.
pub use {ecg_core, ndarray};

pub use atrial::AtrialWave;
pub use condition::{Condition, Conduction, Ectopy, Quality, Rhythm};
pub use error::SynthError;
pub use noise::Electrode;
pub use record::{Beat, MOST_SAMPLES, SynthOptions, SynthRecord, Synthesizer, Truth};
pub use rhythm::BeatKind;
