//! Whole records as stored.

use std::path::Path;

use super::{Body, Record, Selection};
use crate::signal::{Calibration, Value};
use crate::{Format, Header, IoError, ReadOptions, Warning};

/// A WFDB record as stored: its header and the integers of each signal.
///
/// Signals may have different lengths and physical units. For 12-lead ECGs, [`crate::read_recording`] gives a
/// [`ecg_core::Recording`] in mV; [`Record`] reads parts, other types and multi-segment records.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WfdbRecord {
    /// Contents of the header.
    pub header: Header,
    /// Length in frames.
    pub n_frames: usize,
    /// Stored values of each signal, with all samples of each frame: codes of invalid samples are kept, and skew is not
    /// corrected.
    pub digital: Vec<Vec<i32>>,
    /// Departures from the format that were read leniently.
    pub warnings: Vec<Warning>,
}

impl WfdbRecord {
    /// Returns the samples of a signal in its own physical units: (stored value - baseline) / gain, with skew corrected
    /// and NaN where there is no valid sample.
    ///
    /// # Panics
    /// Panics if there is no such signal.
    pub fn physical(&self, signal: usize) -> Vec<f64> {
        let (spec, stored) = (&self.header.signals[signal], &self.digital[signal]);
        let missing = match spec.format {
            Format::Null => stored.len(),
            _ => stored.len().min(spec.skew as usize),
        };
        let calibration = Calibration::new(spec, spec.gain);
        let mut values = Vec::with_capacity(stored.len());
        values.extend(stored[missing..].iter().map(|value| f64::convert(*value, &calibration)));
        values.resize(stored.len(), f64::NAN);
        values
    }

    /// Returns the sampling rate of a signal in Hz: frame rate times samples per frame.
    ///
    /// # Panics
    /// Panics if there is no such signal.
    pub fn sampling_rate_hz(&self, signal: usize) -> f64 {
        self.header.frame_rate.hz() * f64::from(self.header.signals[signal].samples_per_frame)
    }
}

/// Reads a WFDB record as stored; `path` may lack the `.hea`.
///
/// # Errors
/// Those of [`Record::open`] and [`Record::read`]. Multi-segment records are rejected, because their segments may
/// differ in gain and format.
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
