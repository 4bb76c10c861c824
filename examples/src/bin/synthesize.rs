//! Writes labelled synthetic 12-lead recordings.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use ecg_io::{WriteOptions, write_csv, write_wfdb};
use ecg_synth::{SynthOptions, Synthesizer};
use ecg3d_examples::{Progress, write_atomic};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Writes labelled synthetic 12-lead recordings: DIR/synth00000 ..., and DIR/labels.csv at the end.
///
/// labels.csv has the columns record, patient, fold (0 to 9, by patient) and one 0/1 column for each of the seven labels. Equal
/// arguments give equal files on every machine. DIR has to be new or empty, or to hold what a run with the same arguments
/// left (DIR/synthesize.json says which); such a run is done again from its start.
#[derive(Parser)]
struct Arguments {
    /// Folder to write to; made if missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many recordings
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    records: i64,
    /// Equal seeds give equal recordings
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Sampling rate in Hz, 100 to 5000
    #[arg(long, value_name = "HZ", default_value_t = 500.0, allow_negative_numbers = true)]
    fs: f64,
    /// Length of each recording in seconds, 1 to 3600
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, allow_negative_numbers = true)]
    seconds: f64,
    /// Kind of file
    #[arg(long, value_enum, default_value_t = Format::Wfdb)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// NAME.hea and NAME.dat: format 16, 1000 steps per mV, checksums
    Wfdb,
    /// NAME.csv: mV, a column for each lead
    Csv,
}

/// What tells a folder of one run from that of another.
#[derive(PartialEq, Serialize, Deserialize)]
struct Manifest {
    program: String,
    records: u64,
    format: Format,
    options: SynthOptions,
}

/// Name of the [`Manifest`] within the folder.
const MANIFEST: &str = "synthesize.json";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    ecg3d_examples::run(|| synthesize(&arguments))
}

fn synthesize(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(arguments.records > 0, "--records must be at least 1, found {}", arguments.records);
    let records = arguments.records.unsigned_abs();
    let options = SynthOptions::default()
        .with_seed(arguments.seed)
        .with_sampling_rate_hz(arguments.fs)
        .with_seconds(arguments.seconds);
    let synthesizer = Synthesizer::new(options.clone())?;
    let manifest = Manifest {
        program: format!("synthesize {}", env!("CARGO_PKG_VERSION")),
        records,
        format: arguments.format,
        options,
    };
    claim(&arguments.out, &manifest)?;

    let progress = Progress::new(records, "records");
    let rows: Vec<String> = (0..records)
        .into_par_iter()
        .map(|index| {
            let row = write_record(&synthesizer, index, arguments)?;
            progress.inc(1);
            Ok(row)
        })
        .collect::<Result<_>>()?;
    progress.finish();

    let labels = synthesizer.label_set();
    write_atomic(&arguments.out.join("labels.csv"), |file| {
        writeln!(file, "record,patient,fold,{labels}")?;
        rows.iter().try_for_each(|row| writeln!(file, "{row}"))
    })?;
    println!("{records} records and labels.csv in {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Makes the folder and writes the manifest, unless the folder belongs to something else.
fn claim(dir: &Path, manifest: &Manifest) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let path = dir.join(MANIFEST);
    if path.exists() {
        let text =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if serde_json::from_slice::<Manifest>(&text).is_ok_and(|found| found == *manifest) {
            return Ok(());
        }
        bail!(
            "{} holds the recordings of other arguments (see {MANIFEST}); give another --out, or empty it",
            dir.display()
        );
    }
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let name = entry.with_context(|| format!("cannot read {}", dir.display()))?.file_name();
        // A hidden file may be the beginning of a manifest.
        ensure!(
            name.as_encoded_bytes().starts_with(b"."),
            "{} holds {} and no {MANIFEST} of a run with these arguments; give another --out",
            dir.display(),
            name.display()
        );
    }
    write_atomic(&path, |file| {
        serde_json::to_writer_pretty(&mut *file, manifest)?;
        writeln!(file)
    })
}

/// Writes one record and returns its row of labels.csv.
fn write_record(synthesizer: &Synthesizer, index: u64, arguments: &Arguments) -> Result<String> {
    let record = synthesizer.record(index);
    let recording = &record.recording;
    match arguments.format {
        Format::Wfdb => write_wfdb(&arguments.out, recording, &WriteOptions::default())?,
        Format::Csv => {
            write_csv(arguments.out.join(format!("{}.csv", recording.name)), recording)?;
        }
    }
    let patient = recording.patient.as_deref().unwrap_or_default();
    let mut row = format!("{},{patient},{}", recording.name, Synthesizer::patient(index) % 10);
    for held in &record.labels {
        // Writing to a string cannot fail.
        let _ = write!(row, ",{}", u8::from(*held));
    }
    Ok(row)
}
