//! Writes the probabilities of each label for recordings.

#[path = "../with_model/classify.rs"]
mod classify;
#[path = "../with_model/keeping.rs"]
mod keeping;
#[path = "../with_model/model_args.rs"]
mod model_args;
#[path = "../with_model/precision.rs"]
mod precision;
#[path = "../with_model/threads.rs"]
mod threads;
#[path = "../with_model/weights.rs"]
mod weights;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use ecg3d_examples::reading::ReadingArgs;
use ecg3d_examples::source::{LabelArgs, load};
use ecg3d_examples::{check_place, say_err, write_predictions};

use crate::classify::classify;
use crate::keeping::kept;
use crate::model_args::ModelArgs;

/// Writes FILE.csv with a line for each record: its name, and the probability of each label in full precision.
///
/// Network, labels and preprocessing are what the weights say. Labels of the recordings are not needed. A record that can't
/// be used is reported, left out, and the status is 2.
///
/// What is done waits in FILE.csv.part. A run that was ended, however, goes on from there when it is started again with the
/// same weights, records, --precision and --batch on the same device.
#[derive(Parser)]
#[command(name = "predict", version)]
struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// Folder of WFDB and CSV recordings, or an .npz that convert wrote
    #[arg(long, value_name = "DIR|FILE.npz")]
    data: PathBuf,
    /// Table to write
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
    /// Discards what an earlier run left in FILE.csv.part
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    reading: ReadingArgs,
}

fn main() -> ExitCode {
    ecg3d_examples::run(predict)
}

fn predict(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { model, data, out, restart, reading } = arguments;
    check_place(&out)?;
    let model = model.model()?;
    let labels = LabelArgs::ignored(reading);
    let mut source = load(&data, &model.card().preprocessing, &labels)?;
    let mut kept = kept(&model, &source, &out, restart)?;
    let (records, probabilities) = classify(&model, &mut source, Some(&mut kept))?;

    let names: Vec<&str> = records.iter().map(|&record| source.names[record].as_str()).collect();
    write_predictions(&out, model.labels(), &names, probabilities.view())?;
    kept.remove()?;
    // The table itself may go to standard output.
    say_err!("{}: {} records, {model}", out.display(), records.len());
    Ok(source.exit_code())
}
