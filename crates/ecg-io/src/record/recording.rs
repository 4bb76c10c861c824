//! Reads recordings in mV.

use std::path::Path;

use ecg_core::{Adc, LeadName, Recording, SamplingRate};
use ndarray::Array2;

use super::matrix::{Chosen, State};
use super::{Record, Scratch, Selection};
use crate::header::{Clinical, Unit, is_readable_gain, unit_of};
use crate::signal::{Calibration, Sample, Value};
use crate::warning::{Notes, keep};
use crate::{IoError, Loaded, ReadOptions, SignalSpec};

/// Reads a WFDB record as a recording in mV.
pub(crate) fn read_wfdb_recording(
    path: &Path,
    options: &ReadOptions,
    Scratch(state): &mut Scratch,
) -> Result<Loaded, IoError> {
    state.forget();
    let record = Record::open(path, options)?;
    let mut notes = Notes::new(path, options.strict);
    let clinical = Clinical::from_comments(&record.header.comments, &mut notes)?;
    let signals = record.signals();
    let gain_per_mv: Vec<f64> =
        signals.iter().map(|spec| gain_per_mv(spec, &mut notes)).collect::<Result<_, _>>()?;
    note_repeated_leads(signals, &mut notes);
    // The gains of segments are checked where they are read.
    let mut gains = signals.iter().zip(&gain_per_mv);
    if !record.is_multi_segment()
        && let Some((spec, _)) = gains.find(|(_, gain)| !is_readable_gain(**gain))
    {
        return Err(unusable_gain(path, spec));
    }

    let per_frame = signals.first().map_or(1, |spec| spec.samples_per_frame);
    let uniform = signals.iter().all(|spec| spec.samples_per_frame == per_frame);
    if !uniform {
        notes.remark(None, "samples per frame", "differs: every signal is averaged over a frame");
    }
    let selection = Selection::default().with_average_frames(!uniform);
    let (signal, adc) = if uniform && !record.is_multi_segment() {
        let chosen = record.choose::<i32>(&selection)?;
        let mut values = record.rows_of::<i32>(&chosen, per_frame as usize, &gain_per_mv, state)?;
        let mut signal = Vec::with_capacity(values.len());
        let columns = values.ncols();
        let rows = values.as_slice_mut().unwrap_or_default().chunks_exact_mut(columns.max(1));
        for ((spec, gain), row) in signals.iter().zip(&gain_per_mv).zip(rows) {
            append_physical(spec, row, *gain, &mut signal);
            shift(spec, row);
        }
        let signal = Array2::from_shape_vec(values.dim(), signal).expect("as many values");
        let baseline = signals.iter().map(|spec| spec.baseline).collect();
        (signal, Some(Adc { values, gain_per_mv, baseline }))
    } else {
        let chosen = record.choose::<f64>(&selection)?;
        let per_frame = if uniform { per_frame as usize } else { 1 };
        (record.rows_of::<f64>(&chosen, per_frame, &gain_per_mv, state)?, None)
    };
    let rate = record.header.frame_rate.hz() * if uniform { f64::from(per_frame) } else { 1.0 };
    let leads = signals.iter().enumerate().map(|(k, spec)| LeadName::from(spec.name(k)));
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    // The product of two header values may be infinite.
    let rate = SamplingRate::new(rate).map_err(|_| IoError::Field {
        path: path.to_owned(),
        line: signals.first().map_or(1, |spec| spec.line),
        field: "samples per frame",
        found: format!("{per_frame} at {:e} frames per second", record.header.frame_rate.hz()),
        expected: "a finite number of samples per second",
    })?;
    let in_core = |source| IoError::Recording { path: path.to_owned(), line: None, source };
    let mut recording = Recording::new(name, rate, leads, signal).map_err(in_core)?;
    if let Some(adc) = adc {
        recording = recording.with_adc(adc).map_err(in_core)?;
    }
    recording.diagnoses = clinical.diagnoses;
    recording.age_years = clinical.age_years;
    recording.sex = clinical.sex;
    recording.patient = clinical.patient;
    let mut warnings = record.warnings();
    notes.warnings.into_iter().for_each(|warning| keep(&mut warnings, warning, path));
    recording.comments = record.header.comments.into_iter().map(|comment| comment.text).collect();
    Ok(Loaded { recording, path: path.to_owned(), warnings })
}

impl Record {
    /// Reads all signals as `[signal, sample]`.
    fn rows_of<T: Sample>(
        &self,
        chosen: &Chosen,
        per_frame: usize,
        gains: &[f64],
        state: &mut State,
    ) -> Result<Array2<T>, IoError> {
        let mut values = Vec::new();
        self.set_aside(&mut values, &chosen.frames, per_frame.saturating_mul(gains.len()))?;
        let n = (chosen.frames.end - chosen.frames.start) as usize * per_frame;
        let mut rows: Vec<&mut [T]> = values.chunks_exact_mut(n).collect();
        self.fill(chosen, &self.rows(chosen, gains), &mut rows, state, u64::MAX)?;
        Ok(Array2::from_shape_vec((gains.len(), n), values).expect("rows of equal length"))
    }
}

/// Returns the ADC units per mV, or per unit of the signal itself if that is not a voltage.
fn gain_per_mv(spec: &SignalSpec, notes: &mut Notes<'_>) -> Result<f64, IoError> {
    match unit_of(&spec.units) {
        Unit::Voltage { mv, exact } => {
            if !exact {
                let message = format!("{:?} is misspelt, read as a voltage", spec.units);
                notes.quirk(Some(spec.line), "units", message)?;
            }
            Ok(spec.gain / mv)
        }
        Unit::Other => {
            let message =
                format!("{:?} is not a voltage, kept as is", crate::error::clip(&spec.units));
            notes.remark(Some(spec.line), "units", message);
            Ok(spec.gain)
        }
    }
}

/// Creates the error for a gain with which samples may not be finite in the requested unit.
pub(super) fn unusable_gain(header: &Path, spec: &SignalSpec) -> IoError {
    IoError::Field {
        path: header.to_owned(),
        line: spec.line,
        field: "gain",
        found: crate::error::clip(&format!("{:e}/{}", spec.gain, spec.units)),
        expected: "a gain with which samples are finite after conversion of their units",
    }
}

fn note_repeated_leads(signals: &[SignalSpec], notes: &mut Notes<'_>) {
    let mut seen = 0_u32;
    for spec in signals {
        if let Ok(lead) = spec.description.parse::<ecg_core::Lead>() {
            let bit = 1 << lead.index();
            if seen & bit != 0 {
                let message = format!("two signals are lead {lead}, the first is used");
                notes.remark(Some(spec.line), "description", message);
            }
            seen |= bit;
        }
    }
}

/// Appends the physical values of a row of stored values, with the skew corrected.
pub(super) fn append_physical(spec: &SignalSpec, stored: &[i32], gain: f64, out: &mut Vec<f64>) {
    let skew = (spec.skew as usize).min(stored.len());
    if spec.format == crate::Format::Null {
        out.extend(std::iter::repeat_n(f64::NAN, stored.len()));
        return;
    }
    let calibration = Calibration::new(spec, gain);
    out.extend(stored[skew..].iter().map(|v| f64::convert(*v, &calibration)));
    out.extend(std::iter::repeat_n(f64::NAN, skew));
}

/// Corrects the skew of stored values, so that they line up with their physical values.
fn shift(spec: &SignalSpec, row: &mut [i32]) {
    let skew = (spec.skew as usize).min(row.len());
    if skew > 0 {
        row.copy_within(skew.., 0);
        let invalid = spec.format.invalid_code().unwrap_or(i32::MIN);
        let end = row.len() - skew;
        row[end..].fill(invalid);
    }
}
