//! Shows what a recording holds.

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use ecg_core::{LabelSet, Recording, Sex};
use ecg_io::{LabelMap, Loaded, NsrRule, ReadOptions, WfdbRecord, read_recording, read_wfdb};
use ecg3d_examples::{run, write_atomic};
use ndarray::{Array1, Array2};
use ndarray_npy::NpzWriter;
use serde::Serialize;

/// Shows a recording: header, signals, patient, diagnoses, labels and what was read otherwise than it stands there.
///
/// Annotation files and multi-segment records are not read yet.
#[derive(Parser)]
struct Arguments {
    /// A WFDB record, with or without .hea, or a .csv recording
    record: PathBuf,
    /// Print JSON instead of text, also where the record cannot be read
    #[arg(long)]
    json: bool,
    /// Write arrays `digital` (i32 as stored; not for CSV) and `physical` (f64) [signal, sample]; one array a signal,
    /// `digital_0` and so on, where lengths differ
    #[arg(long, value_name = "FILE")]
    npz: Option<PathBuf>,
    /// Refuse what departs from the format instead of reading it with a warning
    #[arg(long)]
    strict: bool,
}

fn main() -> ExitCode {
    run(|arguments: Arguments| {
        let result = inspect(&arguments);
        if let (true, Err(error)) = (arguments.json, &result) {
            let record = arguments.record.display().to_string();
            let report = serde_json::json!({ "record": record, "error": format!("{error:#}") });
            print(&format!("{report:#}\n"))?;
        }
        result.map(|()| ExitCode::SUCCESS)
    })
}

fn inspect(arguments: &Arguments) -> Result<()> {
    let options = ReadOptions::default().with_strict(arguments.strict);
    let loaded = read_recording(&arguments.record, &options)?;
    let is_csv = loaded.path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    let stored = match is_csv {
        true => None,
        false => Some(read_wfdb(&loaded.path, &options)?),
    };
    let signals = signals(&loaded, stored.as_ref());
    if let Some(path) = &arguments.npz {
        write_npz(path, &signals, stored.as_ref())?;
    }
    let report = Report::new(&loaded, stored.as_ref(), &signals);
    match arguments.json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&report)?)),
        false => print(&report.text(&loaded, &signals)?),
    }
}

/// Prints to standard output; a reader that has seen enough is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot print")
        }
        _ => Ok(()),
    }
}

/// Physical values of each signal in its own units.
fn signals(loaded: &Loaded, stored: Option<&WfdbRecord>) -> Vec<Vec<f64>> {
    match stored {
        Some(record) => (0..record.digital.len()).map(|k| record.physical(k)).collect(),
        None => loaded.recording.signal.rows().into_iter().map(|row| row.to_vec()).collect(),
    }
}

fn write_npz(path: &Path, physical: &[Vec<f64>], stored: Option<&WfdbRecord>) -> Result<()> {
    let mut npz = NpzWriter::new(Cursor::new(Vec::new()));
    if let Some(record) = stored {
        add_rows(&mut npz, "digital", &record.digital)?;
    }
    add_rows(&mut npz, "physical", physical)?;
    let bytes = npz.finish()?.into_inner();
    write_atomic(path, |file| file.write_all(&bytes))
}

/// Adds rows as one array `[signal, sample]`, or as one array each where their lengths differ.
fn add_rows<T: Copy + ndarray_npy::WritableElement>(
    npz: &mut NpzWriter<Cursor<Vec<u8>>>,
    name: &str,
    rows: &[Vec<T>],
) -> Result<()> {
    let length = rows.first().map_or(0, Vec::len);
    if rows.iter().all(|row| row.len() == length) {
        let all = Array2::from_shape_vec((rows.len(), length), rows.concat())?;
        npz.add_array(name, &all)?;
    } else {
        for (k, row) in rows.iter().enumerate() {
            npz.add_array(format!("{name}_{k}"), &Array1::from_vec(row.clone()))?;
        }
    }
    Ok(())
}

/// What there is to say about a recording.
#[derive(Serialize)]
struct Report {
    record: String,
    path: String,
    kind: &'static str,
    /// Name in the header.
    header_name: Option<String>,
    frame_rate_hz: f64,
    counter_frequency_hz: Option<f64>,
    base_counter: Option<f64>,
    n_frames: usize,
    duration_s: f64,
    base_time: Option<String>,
    base_date: Option<String>,
    patient: Option<String>,
    age_years: Option<f64>,
    sex: Option<Sex>,
    diagnoses: Vec<Diagnosis>,
    /// The seven labels, where the recording states diagnoses.
    labels: Option<serde_json::Map<String, serde_json::Value>>,
    signals: Vec<SignalReport>,
    comments: Vec<String>,
    warnings: Vec<WarningReport>,
}

#[derive(Serialize)]
struct Diagnosis {
    snomed: u64,
    label: Option<String>,
    name: Option<&'static str>,
}

#[derive(Serialize)]
struct SignalReport {
    lead: String,
    standard_lead: Option<String>,
    file: Option<String>,
    format: Option<u32>,
    sampling_rate_hz: f64,
    samples: usize,
    units: String,
    gain: Option<f64>,
    baseline: Option<i32>,
    adc_resolution: Option<u32>,
    skew: Option<u32>,
    min: Option<f64>,
    max: Option<f64>,
    mean: Option<f64>,
    nan: usize,
    flat: bool,
}

#[derive(Serialize)]
struct WarningReport {
    path: String,
    line: Option<u64>,
    field: &'static str,
    message: String,
    count: u64,
}

impl Report {
    fn new(loaded: &Loaded, stored: Option<&WfdbRecord>, signals: &[Vec<f64>]) -> Self {
        let recording = &loaded.recording;
        let header = stored.map(|record| &record.header);
        let frame_rate_hz =
            header.map_or(recording.sampling_rate.hz(), |header| header.frame_rate.hz());
        let n_frames = stored.map_or(recording.n_samples(), |record| record.n_frames);
        Self {
            record: recording.name.clone(),
            path: loaded.path.display().to_string(),
            kind: if stored.is_some() { "WFDB" } else { "CSV" },
            header_name: header.map(|header| header.name.clone()),
            frame_rate_hz,
            counter_frequency_hz: header.map(|header| header.counter_frequency),
            base_counter: header.map(|header| header.base_counter),
            n_frames,
            duration_s: n_frames as f64 / frame_rate_hz,
            base_time: header.and_then(|h| h.base_time).map(|time| time.to_string()),
            base_date: header.and_then(|h| h.base_date).map(|date| date.to_string()),
            patient: recording.patient.clone(),
            age_years: recording.age_years,
            sex: recording.sex,
            diagnoses: diagnoses(recording),
            labels: labels(recording),
            signals: (0..signals.len())
                .map(|k| SignalReport::new(recording, stored, k, &signals[k]))
                .collect(),
            comments: recording.comments.clone(),
            warnings: loaded
                .warnings
                .iter()
                .map(|warning| WarningReport {
                    path: warning.path.display().to_string(),
                    line: warning.line,
                    field: warning.field,
                    message: warning.message.clone(),
                    count: warning.count,
                })
                .collect(),
        }
    }

    fn text(&self, loaded: &Loaded, signals: &[Vec<f64>]) -> Result<String> {
        use std::fmt::Write as _;
        let mut out = String::new();
        writeln!(out, "{}", self.path)?;
        let count = signals.len();
        let (rate, frames) = (self.frame_rate_hz, self.n_frames);
        let (kind, duration) = (self.kind, self.duration_s);
        writeln!(out, "{kind}, {count} signals, {rate} Hz, {frames} frames, {duration:.3} s")?;
        let start: Vec<&str> =
            [&self.base_date, &self.base_time].into_iter().flatten().map(String::as_str).collect();
        if !start.is_empty() {
            writeln!(out, "recorded   {}", start.join(" "))?;
        }
        let patient: Vec<String> = [
            self.patient.clone(),
            self.age_years.map(|age| format!("{age} years")),
            self.sex.map(|sex| format!("{sex:?}").to_lowercase()),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !patient.is_empty() {
            writeln!(out, "patient    {}", patient.join(", "))?;
        }
        for diagnosis in &self.diagnoses {
            write!(out, "diagnosis  {}", diagnosis.snomed)?;
            match (&diagnosis.label, diagnosis.name) {
                (Some(label), Some(name)) => writeln!(out, "  {name} ({label})")?,
                _ => writeln!(out)?,
            }
        }
        let width =
            self.signals.iter().map(|s| s.lead.chars().count()).max().unwrap_or(0).clamp(4, 24);
        let head = ["format", "units", "gain", "baseline", "min", "max", "mean"];
        write!(out, "\n{:width$}", "lead")?;
        for name in head {
            write!(out, " {name:>10}")?;
        }
        writeln!(out)?;
        for signal in &self.signals {
            let lead: String = signal.lead.chars().take(24).collect();
            let whole = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            let number = |value: Option<f64>| whole(value.map(|v| format!("{v:.4}")));
            writeln!(
                out,
                "{lead:width$} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}{}",
                whole(signal.format.map(|format| format.to_string())),
                signal.units,
                whole(signal.gain.map(|gain| gain.to_string())),
                whole(signal.baseline.map(|baseline| baseline.to_string())),
                number(signal.min),
                number(signal.max),
                number(signal.mean),
                signal.remarks(),
            )?;
        }
        writeln!(out, "\nfirst two seconds")?;
        for (signal, values) in self.signals.iter().zip(signals) {
            let lead: String = signal.lead.chars().take(24).collect();
            let end = values.len().min((2.0 * signal.sampling_rate_hz).ceil() as usize);
            writeln!(out, "{lead:width$} {}", sparkline(&values[..end]))?;
        }
        if !self.comments.is_empty() {
            writeln!(out, "\ncomments")?;
            for comment in &self.comments {
                writeln!(out, "  {comment}")?;
            }
        }
        if !loaded.warnings.is_empty() {
            writeln!(out, "\nwarnings")?;
            for warning in &loaded.warnings {
                writeln!(out, "  {warning}")?;
            }
        }
        Ok(out)
    }
}

impl SignalReport {
    fn new(
        recording: &Recording,
        stored: Option<&WfdbRecord>,
        index: usize,
        values: &[f64],
    ) -> Self {
        let valid = || values.iter().copied().filter(|value| !value.is_nan());
        let n = valid().count();
        let (min, max) = valid()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let some = |value: f64| (n > 0).then_some(value);
        let spec = stored.map(|record| &record.header.signals[index]);
        let lead = &recording.leads[index];
        Self {
            lead: lead.as_str().to_owned(),
            standard_lead: lead.lead().map(|lead| lead.name().to_owned()),
            file: spec.map(|spec| spec.file.clone()),
            format: spec.map(|spec| spec.format.code()),
            sampling_rate_hz: stored
                .map_or(recording.sampling_rate.hz(), |record| record.sampling_rate_hz(index)),
            samples: values.len(),
            units: spec.map_or("mV".to_owned(), |spec| spec.units.clone()),
            gain: spec.map(|spec| spec.gain),
            baseline: spec.map(|spec| spec.baseline),
            adc_resolution: spec.map(|spec| spec.adc_resolution),
            skew: spec.map(|spec| spec.skew),
            min: some(min),
            max: some(max),
            mean: some(valid().sum::<f64>() / n as f64),
            nan: values.len() - n,
            flat: n > 0 && min == max,
        }
    }

    fn remarks(&self) -> String {
        let mut remarks = String::new();
        if self.flat {
            remarks.push_str("  flat");
        }
        if self.nan > 0 {
            remarks.push_str(&format!("  {} of {} samples missing", self.nan, self.samples));
        }
        remarks
    }
}

fn diagnoses(recording: &Recording) -> Vec<Diagnosis> {
    let map = LabelMap::default();
    recording
        .diagnoses
        .iter()
        .map(|code| {
            let row = map.apply(&[*code], NsrRule::Challenge);
            let label = map.labels().iter().zip(row).find(|(_, on)| *on).map(|(label, _)| label);
            Diagnosis {
                snomed: code.0,
                label: label.map(str::to_owned),
                name: label.and_then(LabelSet::description),
            }
        })
        .collect()
}

fn labels(recording: &Recording) -> Option<serde_json::Map<String, serde_json::Value>> {
    if recording.diagnoses.is_empty() {
        return None;
    }
    let map = LabelMap::default();
    let row = map.apply(&recording.diagnoses, NsrRule::Challenge);
    Some(map.labels().iter().zip(row).map(|(label, on)| (label.to_owned(), on.into())).collect())
}

/// A line of block characters: in each column the value that is farthest from the middle of all.
fn sparkline(values: &[f64]) -> String {
    const BLOCKS: [char; 8] = [
        '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}',
        '\u{2588}',
    ];
    const COLUMNS: usize = 80;
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let [low, .., high] = sorted[..] else { return String::new() };
    let middle = sorted[sorted.len() / 2];
    let scale = if high > low { 7.0 / (high - low) } else { 0.0 };
    values
        .chunks(values.len().div_ceil(COLUMNS).max(1))
        .map(|chunk| {
            let valid = chunk.iter().copied().filter(|value| !value.is_nan());
            let far = valid.max_by(|a, b| (a - middle).abs().total_cmp(&(b - middle).abs()));
            far.map_or(' ', |value| BLOCKS[((value - low) * scale).round() as usize])
        })
        .collect()
}
