//! Writes the probabilities of each label for recordings.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ecg3d_examples::source::{Failed, LabelArgs, Rows, load};
use ecg3d_examples::{Progress, write_atomic};
use ecg3d_models::Model;
use ndarray::{Array2, Axis, s};
use tch::Device;

/// Writes FILE.csv with a line for each record: its name, and the probability of each label in full precision.
///
/// Network, labels and preprocessing are what the weights say. Labels of the recordings are not needed. A record that can't
/// be used is reported, left out, and the status is 2.
#[derive(Parser)]
struct Arguments {
    /// Weights file (.safetensors), made by train or import-keras
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
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
}

fn main() -> ExitCode {
    ecg3d_examples::run(run)
}

fn run() -> Result<ExitCode> {
    let Arguments { weights, data, out, batch, threads } = Arguments::parse();
    let weights = weights.context(
        "no weights come with this version yet; give a file with --weights (train and import-keras make one)",
    )?;
    if let Some(threads) = threads {
        tch::set_num_threads(i32::try_from(threads)?);
        rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global()?;
    }
    let mut model = Model::load(&weights, Device::Cpu)?;
    if let Some(batch) = batch {
        model = model.with_batch(batch as usize);
    }
    let mut source = load(&data, &model.card().preprocessing, &LabelArgs::default())?;
    let probabilities = predict(&model, &source.rows)?;

    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(std::iter::once("record").chain(model.labels().iter()))?;
    let mut written = 0;
    for (name, row) in source.names.iter().zip(probabilities.rows()) {
        if row.iter().all(|p| p.is_finite()) {
            // Debug is the shortest decimal that reads back the same.
            let cells = row.iter().map(|p| format!("{p:?}"));
            table.write_record(std::iter::once(name.clone()).chain(cells))?;
            written += 1;
        } else {
            let reason = "its probabilities are not finite: look for NaN or extreme values";
            source.failed.push(Failed { record: name.clone(), reason: reason.to_owned() });
        }
    }
    source.report_failures();
    ensure!(written > 0, "{}: no record could be used", data.display());
    let table = table.into_inner().context("cannot make the table")?;
    write_atomic(&out, |file| file.write_all(&table))?;
    println!("{}: {written} records, {model}", out.display());
    Ok(source.exit_code())
}

/// Probabilities `[record, label]`, with progress shown.
fn predict(model: &Model, rows: &Rows) -> Result<Array2<f64>> {
    let n = rows.len();
    let progress = Progress::new(n as u64, "records predicted");
    let mut out = Array2::zeros((n, model.labels().len()));
    for start in (0..n).step_by(model.batch()) {
        let end = n.min(start + model.batch());
        let part = match rows {
            Rows::Prepared { signals, lengths } => model.predict_prepared(
                signals.slice(s![start..end, .., ..]),
                Some(&lengths[start..end]),
            )?,
            Rows::Images(images) => {
                model.predict_images(images.slice(s![start..end, .., .., ..]))?
            }
            Rows::Volumes(volumes) => {
                model.predict_volumes(volumes.slice(s![start..end, .., .., ..]))?
            }
        };
        out.slice_axis_mut(Axis(0), (start..end).into()).assign(&part);
        progress.inc((end - start) as u64);
    }
    progress.finish();
    Ok(out)
}
