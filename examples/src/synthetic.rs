//! Writes a folder of synthetic recordings with their labels.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use ecg_io::{WriteOptions, write_csv, write_wfdb};
use ecg_synth::{SynthOptions, Synthesizer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Progress, write_atomic, write_json};

/// The format of recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// NAME.hea and NAME.dat: format 16, 1000 steps per mV, checksums
    Wfdb,
    /// NAME.csv: mV, a column for each lead
    Csv,
}

/// Identifies the run that a folder belongs to.
#[derive(PartialEq, Serialize, Deserialize)]
struct Manifest {
    program: String,
    records: u64,
    format: Format,
    options: SynthOptions,
}

/// Name of the [`Manifest`] in the folder.
const MANIFEST: &str = "synthesize.json";

/// Writes `records` recordings and finally `labels.csv` into a folder. The folder is new or empty, or holds
/// what a run with the same arguments left.
///
/// # Errors
/// Returns an error if the synthesizer refuses the options, if the folder holds something else, or if a file
/// cannot be written.
pub fn write_folder(dir: &Path, records: u64, options: SynthOptions, format: Format) -> Result<()> {
    let synthesizer = Synthesizer::new(options.clone())?;
    let program = format!("synthesize {}", env!("CARGO_PKG_VERSION"));
    claim(dir, &Manifest { program, records, format, options })?;

    let progress = Progress::new(records, "records");
    let rows: Vec<String> = (0..records)
        .into_par_iter()
        .map(|index| {
            let row = write_record(&synthesizer, index, dir, format)?;
            progress.inc(1);
            Ok(row)
        })
        .collect::<Result<_>>()?;
    progress.finish();

    let labels = synthesizer.label_set();
    write_atomic(&dir.join("labels.csv"), |file| {
        writeln!(file, "record,patient,fold,{labels}")?;
        rows.iter().try_for_each(|row| writeln!(file, "{row}"))
    })
}

/// Creates the folder and writes the manifest, unless the folder belongs to something else.
fn claim(dir: &Path, manifest: &Manifest) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join(MANIFEST);
    if path.exists() {
        let text =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if serde_json::from_slice::<Manifest>(&text).is_ok_and(|found| found == *manifest) {
            return Ok(());
        }
        bail!(
            "{} holds recordings made with different arguments (see {MANIFEST}); choose another --out, or empty the folder",
            dir.display()
        );
    }
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let name = entry.with_context(|| format!("cannot read {}", dir.display()))?.file_name();
        // A hidden file may be the beginning of a manifest.
        ensure!(
            name.as_encoded_bytes().starts_with(b"."),
            "{} holds {}, but no {MANIFEST} of a run with these arguments; choose another --out",
            dir.display(),
            name.display()
        );
    }
    write_json(&path, manifest)
}

/// Writes one record and returns its row of labels.csv.
fn write_record(
    synthesizer: &Synthesizer,
    index: u64,
    dir: &Path,
    format: Format,
) -> Result<String> {
    let record = synthesizer.record(index);
    let recording = &record.recording;
    match format {
        Format::Wfdb => write_wfdb(dir, recording, &WriteOptions::default())?,
        Format::Csv => {
            write_csv(dir.join(format!("{}.csv", recording.name)), recording)?;
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
