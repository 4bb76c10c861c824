//! WFDB records: the stored integers, and recordings made of them.

use std::path::Path;

use ecg_core::{Adc, LeadName, Recording, SamplingRate};
use ndarray::Array2;

use crate::header::{Clinical, Unit, header_bytes, header_path, unit_of};
use crate::signal::Plan;
use crate::warning::Notes;
use crate::{Header, IoError, Loaded, ReadOptions, SignalSpec, Warning};

/// A WFDB record as it is stored: its header, and the integers of each signal.
///
/// Signals may have different lengths and physical units. For 12-lead ECGs, [`crate::read_recording`] gives a
/// [`Recording`] in mV.
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
        let spec = &self.header.signals[signal];
        physical(spec, &self.digital[signal], spec.gain)
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
/// Files that are missing, unreadable or shorter than the header says, what departs from the header's grammar, names
/// that lead out of the record's folder, checksums that do not fit, and what this version cannot read (multi-segment
/// records, FLAC).
pub fn read_wfdb(path: impl AsRef<Path>, options: &ReadOptions) -> Result<WfdbRecord, IoError> {
    let path = header_path(path.as_ref());
    let mut notes = Notes::new(&path, options.strict);
    let header = Header::parse_with(&header_bytes(&path)?, &mut notes)?;
    let plan = Plan::new(&header, &mut notes)?;
    let digital = read_rows(&header, &plan, options, &mut notes)?;
    Ok(WfdbRecord { header, n_frames: plan.n_frames, digital, warnings: notes.warnings })
}

fn read_rows(
    header: &Header,
    plan: &Plan,
    options: &ReadOptions,
    notes: &mut Notes<'_>,
) -> Result<Vec<Vec<i32>>, IoError> {
    let mut digital: Vec<Vec<i32>> = header
        .signals
        .iter()
        .map(|signal| vec![0; plan.n_frames * signal.samples_per_frame as usize])
        .collect();
    let mut rows: Vec<&mut [i32]> = digital.iter_mut().map(Vec::as_mut_slice).collect();
    plan.read(header, &mut rows, options, notes)?;
    Ok(digital)
}

/// Reads a WFDB record into a recording in mV.
pub(crate) fn read_wfdb_recording(path: &Path, options: &ReadOptions) -> Result<Loaded, IoError> {
    let mut notes = Notes::new(path, options.strict);
    let header = Header::parse_with(&header_bytes(path)?, &mut notes)?;
    let plan = Plan::new(&header, &mut notes)?;
    let clinical = Clinical::from_comments(&header.comments, &mut notes)?;
    let gain_per_mv: Vec<f64> = header
        .signals
        .iter()
        .map(|spec| gain_per_mv(spec, &mut notes))
        .collect::<Result<_, _>>()?;
    note_repeated_leads(&header, &mut notes);

    let per_frame = header.signals[0].samples_per_frame;
    let uniform = header.signals.iter().all(|spec| spec.samples_per_frame == per_frame);
    let (signal, adc) = if uniform {
        let n = plan.n_frames * per_frame as usize;
        let mut values = Array2::<i32>::zeros((header.signals.len(), n));
        let mut rows: Vec<&mut [i32]> =
            values.as_slice_mut().into_iter().flat_map(|all| all.chunks_exact_mut(n)).collect();
        plan.read(&header, &mut rows, options, &mut notes)?;
        let mut signal = Vec::with_capacity(n * header.signals.len());
        for ((spec, gain), row) in header.signals.iter().zip(&gain_per_mv).zip(&mut rows) {
            append_physical(spec, row, *gain, &mut signal);
            shift(spec, row);
        }
        let baseline = header.signals.iter().map(|spec| spec.baseline).collect();
        (to_matrix(&header, signal), Some(Adc { values, gain_per_mv, baseline }))
    } else {
        notes.remark(None, "samples per frame", "differ: every signal is averaged over a frame");
        let digital = read_rows(&header, &plan, options, &mut notes)?;
        let mut signal = Vec::with_capacity(header.signals.len() * plan.n_frames);
        for ((spec, gain), row) in header.signals.iter().zip(&gain_per_mv).zip(&digital) {
            let samples = physical(spec, row, *gain);
            signal.extend(samples.chunks_exact(spec.samples_per_frame as usize).map(mean_of_valid));
        }
        (to_matrix(&header, signal), None)
    };
    let rate = header.frame_rate.hz() * if uniform { f64::from(per_frame) } else { 1.0 };
    let leads = (0..header.signals.len()).map(|k| LeadName::from(header.lead_name(k)));
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let in_core = |source| IoError::Recording { path: path.to_owned(), source };
    let mut recording =
        Recording::new(name, SamplingRate::new(rate).map_err(in_core)?, leads, signal)
            .map_err(in_core)?;
    if let Some(adc) = adc {
        recording = recording.with_adc(adc).map_err(in_core)?;
    }
    recording.diagnoses = clinical.diagnoses;
    recording.age_years = clinical.age_years;
    recording.sex = clinical.sex;
    recording.patient = clinical.patient;
    recording.comments = header.comments.into_iter().map(|comment| comment.text).collect();
    Ok(Loaded { recording, path: path.to_owned(), warnings: notes.warnings })
}

fn to_matrix(header: &Header, signal: Vec<f64>) -> Array2<f64> {
    let rows = header.signals.len();
    let columns = signal.len() / rows.max(1);
    Array2::from_shape_vec((rows, columns), signal).expect("rows of equal length")
}

/// ADC units for one mV, or for one of the signal's own units where that is no voltage.
fn gain_per_mv(spec: &SignalSpec, notes: &mut Notes<'_>) -> Result<f64, IoError> {
    match unit_of(&spec.units) {
        Unit::Voltage { mv, exact } => {
            if !exact {
                let message = format!("{:?} is misspelt, read as voltage", spec.units);
                notes.quirk(Some(spec.line), "units", message)?;
            }
            Ok(spec.gain / mv)
        }
        Unit::Other => {
            let message =
                format!("{:?} is no voltage, kept as it is", crate::error::clip(&spec.units));
            notes.remark(Some(spec.line), "units", message);
            Ok(spec.gain)
        }
    }
}

fn note_repeated_leads(header: &Header, notes: &mut Notes<'_>) {
    let mut seen = 0_u32;
    for spec in &header.signals {
        if let Ok(lead) = spec.description.parse::<ecg_core::Lead>() {
            let bit = 1 << lead.index();
            if seen & bit != 0 {
                let message = format!("two signals are lead {lead}, the first counts");
                notes.remark(Some(spec.line), "description", message);
            }
            seen |= bit;
        }
    }
}

fn physical(spec: &SignalSpec, digital: &[i32], gain: f64) -> Vec<f64> {
    let mut out = Vec::with_capacity(digital.len());
    append_physical(spec, digital, gain, &mut out);
    out
}

fn append_physical(spec: &SignalSpec, digital: &[i32], gain: f64, out: &mut Vec<f64>) {
    let baseline = f64::from(spec.baseline);
    let value = |d: i32| (f64::from(d) - baseline) / gain;
    let skew = (spec.skew as usize).min(digital.len());
    let valid = &digital[skew..];
    match spec.format.invalid_code() {
        Some(invalid) => {
            out.extend(valid.iter().map(|&d| if d == invalid { f64::NAN } else { value(d) }));
        }
        None => out.extend(valid.iter().map(|&d| value(d))),
    }
    out.extend(std::iter::repeat_n(f64::NAN, skew));
}

/// Corrects the skew of stored values, so that they stand where their physical values do.
fn shift(spec: &SignalSpec, row: &mut [i32]) {
    let skew = (spec.skew as usize).min(row.len());
    if skew > 0 {
        row.copy_within(skew.., 0);
        let invalid = spec.format.invalid_code().unwrap_or(i32::MIN);
        let end = row.len() - skew;
        row[end..].fill(invalid);
    }
}

fn mean_of_valid(frame: &[f64]) -> f64 {
    let (sum, n) =
        frame.iter().filter(|v| !v.is_nan()).fold((0.0, 0_u32), |(sum, n), v| (sum + v, n + 1));
    if n == 0 { f64::NAN } else { sum / f64::from(n) }
}
