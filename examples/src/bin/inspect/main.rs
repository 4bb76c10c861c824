//! Shows the contents of a recording, or of a folder of recordings.

mod annotations;
mod npz;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use ecg_io::{
    Dataset, Loaded, NsrRule, ReadOptions, Record, Selection, WfdbRecord, read_header,
    read_recording, read_wfdb,
};
use ecg3d_examples::reading::ReadingArgs;
use ecg3d_examples::source::label_map;
use ecg3d_examples::{Progress, print_json, print_result, run, status};
use serde::Serialize;

use annotations::{AnnotationFile, AnnotationReport};
use report::Report;

/// Shows a recording: header, segments, signals, annotations, patient, diagnoses, labels, and anything that was
/// not read exactly as it is. For a folder, shows how many recordings have which labels, rates, lengths and
/// leads, which of them cannot be read and why, and anything else unusual.
///
/// The exit status is 2 if some recordings of a folder cannot be read.
#[derive(Parser)]
#[command(name = "inspect", version)]
struct Arguments {
    /// A WFDB record, with or without .hea, a .csv or .tsv recording (also .gz), or a folder (ending in / if
    /// there is a record of the same name)
    record: PathBuf,
    /// Print JSON instead of text, even if the record cannot be read
    #[arg(long)]
    json: bool,
    /// Write arrays `digital` (i32 as stored; not for tables or multi-segment records) and `physical` (f64)
    /// [signal, sample], or one array per signal, `digital_0` and so on, if lengths differ; and for each
    /// annotation file EXT `annotations_EXT_time_s` (f64, seconds from the start of the record), `_sample` (i64, the
    /// time in the ticks of that file, which need not be the samples of the signals), `_code`, `_subtype`, `_channel`
    /// and `_number`
    #[arg(long, value_name = "FILE")]
    npz: Option<PathBuf>,
    /// Reject deviations from the format instead of reading them with a warning
    #[arg(long)]
    strict: bool,
    /// Codes of the labels: default, published, or a file with columns label, system, code
    #[arg(long, value_name = "MAP", default_value = "default")]
    label_map: String,
    /// When a recording counts as normal sinus rhythm: challenge or rhythm
    #[arg(long, value_name = "RULE", default_value = "challenge")]
    nsr_rule: NsrRule,
    #[command(flatten)]
    reading: ReadingArgs,
}

impl Arguments {
    fn options(&self) -> ReadOptions {
        self.reading.read_options().with_strict(self.strict)
    }
}

fn main() -> ExitCode {
    run(|arguments: Arguments| {
        let result = match is_folder(&arguments.record) {
            true => folder(&arguments),
            false => record(&arguments),
        };
        if let (true, Err(error)) = (arguments.json, &result) {
            print_json(&Unread::new(&arguments, error))?;
        }
        result
    })
}

/// Whether a path means a folder. If there is a record of that name beside it, only a final `/` does.
fn is_folder(path: &Path) -> bool {
    let mut header = path.as_os_str().to_owned();
    header.push(".hea");
    let is_marked = path.to_string_lossy().ends_with(std::path::is_separator);
    path.is_dir() && (is_marked || !Path::new(&header).is_file())
}

fn folder(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(
        arguments.npz.is_none(),
        "--npz is for one recording, but {} is a folder",
        arguments.record.display()
    );
    let options = arguments
        .reading
        .dataset_options()
        .with_read(arguments.options())
        .with_label_map(label_map(&arguments.label_map)?)
        .with_nsr_rule(arguments.nsr_rule);
    let dataset = Dataset::open(&arguments.record, &options)?;
    let progress = Progress::new(dataset.len() as u64, "records read");
    let report = dataset.report_with(0, |_| progress.inc(1));
    progress.finish();
    let folder = arguments.record.display().to_string();
    if arguments.json {
        let mut value = serde_json::to_value(&report)?;
        value["folder"] = folder.into();
        print_json(&value)?;
    } else {
        print_result(&format!("# {folder}\n\n{report}"))?;
    }
    Ok(match (report.readable, report.failed.len()) {
        (0, 1..) => ExitCode::FAILURE,
        (_, failed) => status(failed > 0),
    })
}

/// A recording with everything that is shown of it.
struct Shown {
    loaded: Loaded,
    /// The underlying record; none for a table.
    wfdb: Option<Record>,
    /// The stored values; none for a table or for several segments.
    stored: Option<WfdbRecord>,
    /// Samples of each signal in its own units.
    signals: Vec<Vec<f64>>,
    annotations: AnnotationReport,
}

impl Shown {
    fn read(path: &Path, options: &ReadOptions) -> Result<Self> {
        let loaded = read_recording(path, options)?;
        if loaded.path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("hea")) {
            let signals =
                loaded.recording.signal.rows().into_iter().map(|row| row.to_vec()).collect();
            let annotations = AnnotationReport::default();
            return Ok(Self { loaded, wfdb: None, stored: None, signals, annotations });
        }
        let record = Record::open(&loaded.path, options)?;
        let annotations = AnnotationReport::of(record.header(), options);
        let stored = match record.is_multi_segment() {
            true => None,
            false => Some(read_wfdb(&loaded.path, options)?),
        };
        let signals = match &stored {
            Some(stored) => (0..stored.digital.len()).map(|k| stored.physical(k)).collect(),
            None => record.read(&Selection::default())?,
        };
        Ok(Self { loaded, wfdb: Some(record), stored, signals, annotations })
    }
}

fn record(arguments: &Arguments) -> Result<ExitCode> {
    let map = label_map(&arguments.label_map)?;
    if let Some(path) = &arguments.npz {
        npz::check(path)?;
    }
    let shown = Shown::read(&arguments.record, &arguments.options())?;
    if let Some(path) = &arguments.npz {
        npz::write(path, &shown)?;
    }
    let report = Report::new(&shown, &map, arguments.nsr_rule);
    match arguments.json {
        true => print_json(&report)?,
        false => print_result(&report.text(&shown)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A recording that cannot be read: the reason, and its annotations if its header can be read.
#[derive(Serialize)]
struct Unread {
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Vec<AnnotationFile>>,
    error: String,
    record: String,
}

impl Unread {
    fn new(arguments: &Arguments, error: &anyhow::Error) -> Self {
        let (record, options) = (&arguments.record, arguments.options());
        let header = (!is_folder(record)).then(|| read_header(record, &options).ok()).flatten();
        Self {
            annotations: header.map(|(header, _)| AnnotationReport::of(&header, &options).files),
            error: format!("{error:#}"),
            record: record.display().to_string(),
        }
    }
}
