//! Writes the probabilities of each label for recordings.

#[path = "../with_model/classify.rs"]
mod classify;
#[path = "../with_model/weights.rs"]
mod weights;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use ecg3d_examples::source::{LabelArgs, load};
use ecg3d_examples::write_predictions;
use ecg3d_models::Precision;

use crate::classify::classify;
use crate::weights::model;

/// Writes FILE.csv with a line for each record: its name, and the probability of each label in full precision.
///
/// Network, labels and preprocessing are what the weights say. Labels of the recordings are not needed. A record that can't
/// be used is reported, left out, and the status is 2.
#[derive(Parser)]
struct Arguments {
    /// Weights file (.safetensors), made by train or import-keras [default: the 3DECG-Net that ships]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Folder of WFDB and CSV recordings, or an .npz that convert wrote
    #[arg(long, value_name = "DIR|FILE.npz")]
    data: PathBuf,
    /// Table to write
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
    /// Windows that go through the network at once [default: 64 signals or 4 volumes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Number type of the arithmetic: f32, or bf16 where the processor or GPU has it, several times as quick
    #[arg(long, value_name = "TYPE", default_value_t = Precision::F32)]
    precision: Precision,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
}

fn main() -> ExitCode {
    ecg3d_examples::run(predict)
}

fn predict(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { weights, data, out, batch, precision, threads } = arguments;
    if let Some(threads) = threads {
        tch::set_num_threads(i32::try_from(threads)?);
        rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global()?;
    }
    let mut model = model(weights.as_deref())?.with_precision(precision);
    if let Some(batch) = batch {
        model = model.with_batch(batch as usize);
    }
    let mut source = load(&data, &model.card().preprocessing, &LabelArgs::default())?;
    let (records, probabilities) = classify(&model, &mut source)?;

    let names: Vec<&str> = records.iter().map(|&record| source.names[record].as_str()).collect();
    write_predictions(&out, model.labels(), &names, probabilities.view())?;
    println!("{}: {} records, {model}", out.display(), records.len());
    Ok(source.exit_code())
}
