//! Writes labelled synthetic 12-lead recordings.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use ecg_synth::SynthOptions;
use ecg3d_examples::say;
use ecg3d_examples::synthetic::{Format, write_folder};

/// Writes labelled synthetic 12-lead recordings: DIR/synth00000 ..., and DIR/labels.csv at the end.
///
/// labels.csv has the columns record, patient, fold (0 to 9, by patient) and one 0/1 column for each of the
/// seven labels. The same arguments give the same files on every machine. DIR must be new or empty, or hold the
/// files of a run with the same arguments (recorded in DIR/synthesize.json), which is then repeated from the
/// start.
#[derive(Parser)]
#[command(name = "synthesize", version)]
struct Arguments {
    /// Folder to write to; created if missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of recordings
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    records: i64,
    /// Seed; the same seed gives the same recordings
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Sampling rate in Hz, 100 to 5000
    #[arg(long, value_name = "HZ", default_value_t = 500.0, allow_negative_numbers = true)]
    fs: f64,
    /// Length of each recording in seconds, 1 to 3600; at most 3,600,000 samples, an hour at 1000 Hz
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, allow_negative_numbers = true)]
    seconds: f64,
    /// Format of the recordings
    #[arg(long, value_enum, default_value_t = Format::Wfdb)]
    format: Format,
}

fn main() -> ExitCode {
    ecg3d_examples::run(synthesize)
}

fn synthesize(arguments: Arguments) -> Result<ExitCode> {
    ensure!(arguments.records > 0, "--records must be at least 1, found {}", arguments.records);
    let records = arguments.records.unsigned_abs();
    let options = SynthOptions::default()
        .with_seed(arguments.seed)
        .with_sampling_rate_hz(arguments.fs)
        .with_seconds(arguments.seconds);
    write_folder(&arguments.out, records, options, arguments.format)?;
    say!("{records} records and labels.csv in {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}
