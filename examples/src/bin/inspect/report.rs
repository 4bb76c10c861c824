//! The report on a recording.

use anyhow::Result;
use ecg_core::{LabelSet, Recording, Sex};
use ecg_io::{LabelMap, NsrRule, Record, SignalSpec, Warning};
use serde::Serialize;

use super::Shown;
use super::annotations::AnnotationFile;

/// The report on a recording.
#[derive(Serialize)]
pub struct Report<'a> {
    record: String,
    path: String,
    kind: &'static str,
    /// Name in the header.
    header_name: Option<String>,
    frame_rate_hz: f64,
    counter_frequency_hz: Option<f64>,
    base_counter: Option<f64>,
    n_frames: u64,
    duration_s: f64,
    base_time: Option<String>,
    base_date: Option<String>,
    patient: Option<String>,
    age_years: Option<f64>,
    sex: Option<Sex>,
    diagnoses: Vec<Diagnosis>,
    /// The labels that hold, if the recording states diagnoses.
    labels: Option<serde_json::Map<String, serde_json::Value>>,
    /// Segments of a multi-segment record.
    segments: Vec<Segment>,
    signals: Vec<SignalReport>,
    annotations: &'a [AnnotationFile],
    /// Why files with an annotator's name could not be read.
    annotations_failed: &'a [String],
    comments: Vec<String>,
    warnings: Vec<WarningReport>,
}

#[derive(Serialize)]
struct Segment {
    /// Name of its record; `~` for a gap.
    name: String,
    /// Length of its record; 0 for the layout.
    n_frames: u64,
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

impl<'a> Report<'a> {
    pub fn new(shown: &'a Shown, map: &LabelMap, rule: NsrRule) -> Self {
        let (loaded, wfdb) = (&shown.loaded, shown.wfdb.as_ref());
        let recording = &loaded.recording;
        let header = wfdb.map(Record::header);
        let frame_rate_hz =
            header.map_or(recording.sampling_rate.hz(), |header| header.frame_rate.hz());
        let n_frames = wfdb.map_or(recording.n_samples() as u64, Record::n_frames);
        Self {
            record: recording.name.clone(),
            path: loaded.path.display().to_string(),
            kind: if wfdb.is_some() { "WFDB" } else { "CSV" },
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
            diagnoses: diagnoses(recording, map),
            labels: labels(recording, map, rule),
            segments: header
                .map_or(&[][..], |header| &header.segments)
                .iter()
                .map(|segment| Segment { name: segment.name.clone(), n_frames: segment.n_frames })
                .collect(),
            signals: (0..shown.signals.len())
                .map(|k| SignalReport::new(recording, wfdb, k, &shown.signals[k]))
                .collect(),
            annotations: &shown.annotations.files,
            annotations_failed: &shown.annotations.failed,
            comments: recording.comments.clone(),
            warnings: warnings(shown)
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

    pub fn text(&self, shown: &Shown) -> Result<String> {
        use std::fmt::Write as _;
        let mut out = String::new();
        writeln!(out, "{}", self.path)?;
        let (signals, count) = (&shown.signals, shown.signals.len());
        let (rate, frames) = (self.frame_rate_hz, self.n_frames);
        let (kind, duration) = (self.kind, self.duration_s);
        writeln!(out, "{kind}, {count} signals, {rate} Hz, {frames} frames, {duration:.3} s")?;
        if !self.segments.is_empty() {
            writeln!(out, "segments   {}", self.segments.len())?;
            let shown = self.segments.iter().filter(|segment| segment.n_frames > 0).take(12);
            for segment in shown {
                let name = if segment.name == "~" { "(gap)" } else { &segment.name };
                writeln!(out, "  {name:24} {:>12} frames", segment.n_frames)?;
            }
        }
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
                (Some(label), None) => writeln!(out, "  {label}")?,
                (None, _) => writeln!(out)?,
            }
        }
        if let Some(labels) = &self.labels {
            let holding = labels.iter().filter(|(_, holds)| **holds == true);
            let names: Vec<&str> = holding.map(|(label, _)| label.as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            writeln!(out, "labels     {names}")?;
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
        if !self.annotations.is_empty() {
            writeln!(out, "\nannotations")?;
            self.annotations.iter().for_each(|file| out.push_str(&file.text()));
        }
        let mut warnings = warnings(shown).peekable();
        if warnings.peek().is_some() || !self.annotations_failed.is_empty() {
            writeln!(out, "\nwarnings")?;
            for warning in warnings {
                writeln!(out, "  {warning}")?;
            }
            for failed in self.annotations_failed {
                writeln!(out, "  {failed}")?;
            }
        }
        Ok(out)
    }
}

impl SignalReport {
    fn new(recording: &Recording, wfdb: Option<&Record>, index: usize, values: &[f64]) -> Self {
        let valid = || values.iter().copied().filter(|value| !value.is_nan());
        let n = valid().count();
        let (min, max) = valid()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let some = |value: f64| (n > 0).then_some(value);
        let spec: Option<&SignalSpec> = wfdb.and_then(|record| record.signals().get(index));
        let lead = &recording.leads[index];
        Self {
            lead: lead.as_str().to_owned(),
            standard_lead: lead.lead().map(|lead| lead.name().to_owned()),
            file: spec.map(|spec| spec.file.clone()),
            format: spec.map(|spec| spec.format.code()),
            sampling_rate_hz: wfdb
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

/// Warnings about the record and its annotation files.
fn warnings(shown: &Shown) -> impl Iterator<Item = &Warning> {
    shown.loaded.warnings.iter().chain(&shown.annotations.warnings)
}

fn diagnoses(recording: &Recording, map: &LabelMap) -> Vec<Diagnosis> {
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

fn labels(
    recording: &Recording,
    map: &LabelMap,
    rule: NsrRule,
) -> Option<serde_json::Map<String, serde_json::Value>> {
    let row = map.labels_of(recording, rule)?;
    Some(map.labels().iter().zip(row).map(|(label, on)| (label.to_owned(), on.into())).collect())
}

/// Draws a line of block characters, each of which shows the value in its column farthest from the overall
/// median.
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
    // In this order, because 7 / (high - low) is infinite for the smallest signals.
    let level = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        (7.0 * share).round().clamp(0.0, 7.0) as usize
    };
    values
        .chunks(values.len().div_ceil(COLUMNS).max(1))
        .map(|chunk| {
            let valid = chunk.iter().copied().filter(|value| !value.is_nan());
            let far = valid.max_by(|a, b| (a - middle).abs().total_cmp(&(b - middle).abs()));
            far.map_or(' ', |value| BLOCKS[level(value)])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_of_any_size_have_a_line() {
        assert_eq!(sparkline(&[0.0, 1e-310]), "\u{2581}\u{2588}");
        assert_eq!(sparkline(&[-1.0, 0.0, 6.0]), "\u{2581}\u{2582}\u{2588}");
        assert_eq!(sparkline(&[3.0, 3.0]), "\u{2581}\u{2581}");
        assert_eq!(sparkline(&[f64::MIN, f64::MAX]).chars().count(), 2);
    }
}
