//! Whole records as they are stored.

use std::path::Path;

use super::recording::append_physical;
use super::{Body, Record, Selection};
use crate::{Header, IoError, ReadOptions, Warning};

/// A WFDB record as it is stored: its header, and the integers of each signal.
///
/// Signals may have different lengths and physical units. For 12-lead ECGs, [`crate::read_recording`] gives a
/// [`ecg_core::Recording`] in mV; [`Record`] reads parts, other types and records of several segments.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WfdbRecord {
    /// What the header says.
    pub header: Header,
    /// Length in frames.
    pub n_frames: usize,
    /// Values of each signal as stored, all samples of each frame: codes of invalid samples kept, skew not corrected.
    pub digital: Vec<Vec<i32>>,
    /// What was read otherwise than it stands there.
    pub warnings: Vec<Warning>,
}

impl WfdbRecord {
    /// Samples of a signal in its own physical units: (stored value - baseline) / gain, skew corrected, NaN where there
    /// is no valid sample.
    ///
    /// # Panics
    /// There is no such signal.
    pub fn physical(&self, signal: usize) -> Vec<f64> {
        let (spec, stored) = (&self.header.signals[signal], &self.digital[signal]);
        let mut values = Vec::with_capacity(stored.len());
        append_physical(spec, stored, spec.gain, &mut values);
        values
    }

    /// Sampling rate of a signal: frame rate times samples per frame.
    ///
    /// # Panics
    /// There is no such signal.
    pub fn sampling_rate_hz(&self, signal: usize) -> f64 {
        self.header.frame_rate.hz() * f64::from(self.header.signals[signal].samples_per_frame)
    }
}

/// Reads a WFDB record as it is stored; `path` may lack the `.hea`.
///
/// # Errors
/// Those of [`Record::open`] and [`Record::read`]. A multi-segment record is refused: its segments may differ in gain and
/// format.
pub fn read_wfdb(path: impl AsRef<Path>, options: &ReadOptions) -> Result<WfdbRecord, IoError> {
    let record = Record::open(path, options)?;
    let digital = record.read(&Selection::default())?;
    let warnings = record.warnings();
    let n_frames = match &record.body {
        Body::Whole(plan) => plan.n_frames as usize,
        Body::Segments(_) => return Err(IoError::PhysicalOnly { path: record.header.path }),
    };
    Ok(WfdbRecord { header: record.header, n_frames, digital, warnings })
}
