//! Reads recordings in mV.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use ecg_core::{Adc, LeadName, Recording, SamplingRate};
use ndarray::Array2;

use super::matrix::{Chosen, State};
use super::{Record, Scratch, Selection};
use crate::header::{Clinical, Unit, is_readable_gain, unit_of};
use crate::signal::{Calibration, Sample, Value};
use crate::warning::{Notes, keep};
use crate::{Format, IoError, Loaded, ReadOptions, SignalSpec};

/// Reads a WFDB record as a recording in mV.
pub(crate) fn read_wfdb_recording(
    path: &Path,
    options: &ReadOptions,
    Scratch(state): &mut Scratch,
) -> Result<Loaded, IoError> {
    state.forget();
    Record::open(path, options)?.recording_with(&Selection::default(), state)
}

impl Record {
    /// Reads a part of the record as a recording in mV, as [`crate::read_recording`] reads the whole.
    ///
    /// The recording has the selected signals in the order of the selection, and whole frames: of each signal, all
    /// samples of the selected frames. Its samples equal those of the whole record there, unless the record has signals
    /// of several rates and the selected ones have only one: they are not averaged then (see
    /// [`Selection::with_average_frames`]). Units are converted in the same way, skew is corrected, and name, comments, patient and diagnoses are those of the record.
    ///
    /// [`Recording::adc`] has the stored values of the same samples. It is empty for a multi-segment record, and if
    /// signals are averaged over each frame: on request, or because the selected signals have different numbers of
    /// samples per frame.
    ///
    /// A recording has neither a time nor annotations. [`Header::base_time`](crate::Header::base_time) and the sample
    /// numbers of annotations count from the start of the record, not of the part. Checksums are verified only if all
    /// frames are selected. [`Loaded::warnings`] are those about the selected signals, and all found in the record so
    /// far.
    ///
    /// ```
    /// # use ecg_io::ecg_core::{Lead, Recording, SamplingRate};
    /// # use ecg_io::ndarray::Array2;
    /// # use ecg_io::{ReadOptions, Record, Selection};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let signal = Array2::from_shape_fn((2, 1000), |(lead, t)| (lead * 1000 + t) as f64 / 1000.0);
    /// # let demo = Recording::new("r", SamplingRate::new(500.0)?, [Lead::I, Lead::II], signal)?;
    /// # ecg_io::write_wfdb(dir.path(), &demo, &Default::default())?;
    /// let record = Record::open(dir.path().join("r"), &ReadOptions::default())?;
    /// // Half a second of lead II, starting after the first second.
    /// let part = Selection::default()
    ///     .with_frames(record.frames_between(1.0, 1.5))
    ///     .with_signals(record.signals_named(&["II"])?);
    /// let recording = record.recording(&part)?.recording; // [lead, sample] in mV
    /// assert_eq!((recording.signal.dim(), recording.signal[[0, 0]]), ((1, 250), 1.5));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Fails if
    ///
    /// - the selection goes beyond the record,
    /// - a unit or comment departs from the format, in strict mode,
    /// - the samples or the sampling rate would not be finite,
    /// - a file cannot be read, or
    /// - a checksum does not match.
    pub fn recording(&self, selection: &Selection) -> Result<Loaded, IoError> {
        self.recording_with(selection, &mut State::default())
    }

    fn recording_with(&self, selection: &Selection, state: &mut State) -> Result<Loaded, IoError> {
        let path = self.header.path.as_path();
        let mut notes = Notes::new(path, self.options.strict);
        let clinical = Clinical::from_comments(&self.header.comments, &mut notes)?;
        let chosen = self.choose::<f64>(selection)?;
        let signals: Vec<&SignalSpec> =
            chosen.signals.iter().map(|signal| &self.signals()[*signal]).collect();
        // A signal may be selected twice, and is noted once.
        let distinct: BTreeSet<usize> = chosen.signals.iter().copied().collect();
        let gains_of = distinct
            .into_iter()
            .map(|signal| Ok((signal, gain_per_mv(&self.signals()[signal], &mut notes)?)))
            .collect::<Result<BTreeMap<usize, f64>, IoError>>()?;
        let gain_per_mv: Vec<f64> = chosen.signals.iter().map(|signal| gains_of[signal]).collect();
        note_repeated_leads(gains_of.keys().map(|signal| &self.signals()[*signal]), &mut notes);
        // The gains of segments are checked where they are read.
        let mut gains = signals.iter().zip(&gain_per_mv);
        if !self.is_multi_segment()
            && let Some((spec, _)) = gains.find(|(_, gain)| !is_readable_gain(**gain))
        {
            return Err(unusable_gain(path, spec));
        }

        let per_frame = signals.first().map_or(1, |spec| spec.samples_per_frame);
        let uniform = signals.iter().all(|spec| spec.samples_per_frame == per_frame);
        if !uniform && !chosen.average {
            let message = "differs: every signal is averaged over a frame";
            notes.remark(None, "samples per frame", message);
        }
        // The average of one sample is the sample itself.
        let average = !uniform || (chosen.average && per_frame > 1);
        let per_frame = if average { 1 } else { per_frame };
        let chosen = Chosen { average, ..chosen };
        let (signal, adc) = if average || self.is_multi_segment() {
            (self.rows_of::<f64>(&chosen, per_frame as usize, &gain_per_mv, state)?, None)
        } else {
            let mut values =
                self.rows_of::<i32>(&chosen, per_frame as usize, &gain_per_mv, state)?;
            let mut signal = Vec::with_capacity(values.len());
            let columns = values.ncols();
            let rows = values.as_slice_mut().unwrap_or_default().chunks_exact_mut(columns.max(1));
            for ((spec, gain), row) in signals.iter().zip(&gain_per_mv).zip(rows) {
                let (stored, missing) = row.split_at_mut(self.stored(spec, &chosen.frames));
                let calibration = Calibration::new(spec, *gain);
                signal.extend(stored.iter().map(|value| f64::convert(*value, &calibration)));
                signal.extend(std::iter::repeat_n(f64::NAN, missing.len()));
                missing.fill(spec.format.invalid_code().unwrap_or(i32::MIN));
            }
            let signal = Array2::from_shape_vec(values.dim(), signal).expect("as many values");
            let baseline = signals.iter().map(|spec| spec.baseline).collect();
            (signal, Some(Adc { values, gain_per_mv, baseline }))
        };
        let rate = self.header.frame_rate.hz() * f64::from(per_frame);
        let numbers = chosen.signals.iter().zip(&signals);
        let leads = numbers.map(|(number, spec)| LeadName::from(spec.name(*number)));
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        // The product of two header values may be infinite.
        let rate = SamplingRate::new(rate).map_err(|_| IoError::Field {
            path: path.to_owned(),
            line: signals.first().map_or(1, |spec| spec.line),
            field: "samples per frame",
            found: format!("{per_frame} at {:e} frames per second", self.header.frame_rate.hz()),
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
        let comments = self.header.comments.iter();
        recording.comments = comments.map(|comment| comment.text.clone()).collect();
        let mut warnings = self.warnings();
        notes.warnings.into_iter().for_each(|warning| keep(&mut warnings, warning, path));
        Ok(Loaded { recording, path: path.to_owned(), warnings })
    }

    /// Reads the chosen signals as `[signal, sample]`, with skew corrected.
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
        let mut rows: Vec<&mut [T]> = values.chunks_exact_mut(n.max(1)).collect();
        self.fill(chosen, &self.rows(chosen, gains, true), &mut rows, state, u64::MAX)?;
        Ok(Array2::from_shape_vec((gains.len(), n), values).expect("rows of equal length"))
    }

    /// Returns how many samples of a signal are stored for these frames of a plain record. The others are at their end,
    /// because the signal is delayed, or it has no file at all.
    fn stored(&self, spec: &SignalSpec, frames: &Range<u64>) -> usize {
        if spec.format == Format::Null {
            return 0;
        }
        let per_frame = u64::from(spec.samples_per_frame);
        let start = frames.start * per_frame;
        let end = (self.n_frames() * per_frame).saturating_sub(spec.skew.into());
        (end.min(frames.end * per_frame).saturating_sub(start)) as usize
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

fn note_repeated_leads<'a>(signals: impl Iterator<Item = &'a SignalSpec>, notes: &mut Notes<'_>) {
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
