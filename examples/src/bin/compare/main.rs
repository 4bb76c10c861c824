//! Compares networks: their layers, speed, memory and metrics.

#[path = "../../with_model/classify.rs"]
mod classify;
#[path = "../../with_model/device.rs"]
mod device;
mod diagram;
mod layout;
mod measure;
mod metrics;
mod picture;
#[path = "../../with_model/precision.rs"]
mod precision;
mod report;
mod subject;
#[path = "../../with_model/threads.rs"]
mod threads;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use ecg3d_examples::source::LabelArgs;
use ecg3d_examples::{Progress, print_result, say, say_err, write_atomic};
use ecg3d_models::{Architecture, Precision, Summary};
use tch::Device;

use crate::device::device;
use crate::metrics::Judge;
use crate::precision::warn_of_imitation;
use crate::report::{Report, Row, Settings};
use crate::subject::{Presets, Subject};
use crate::threads::ThreadsArgs;

/// Compares networks: parameters, operations, time, memory, and the metrics of trained weights.
///
/// Writes compare.md, compare.csv, compare.json and compare.svg into DIR. Time and memory are measured in a
/// separate process for each network, on windows of synthetic recordings, from the prepared signal to the
/// probabilities. They do not depend on the parameters, so untrained networks are used. Metrics need --data,
/// and are those of the weights that --weights names, or else of the 3DECG-Net that ships.
#[derive(Debug, Parser)]
#[command(name = "compare", version)]
pub struct Arguments {
    /// Networks: 3decgnet, zhang, sobahi, ribeiro, resnet1d [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    models: Vec<Architecture>,
    /// Modes of the networks: published, corrected or both
    #[arg(long, value_name = "P", default_value = "both")]
    preset: Presets,
    /// Trained weights (.safetensors) to compare instead of an untrained network of the same kind [default: with
    /// --data, the 3DECG-Net that ships]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    weights: Vec<PathBuf>,
    /// Folder of recordings, or an .npz that convert wrote, on which the trained weights are evaluated
    #[arg(long, value_name = "DIR|FILE.npz")]
    data: Option<PathBuf>,
    #[command(flatten)]
    labels: LabelArgs,
    /// Folder for the results
    #[arg(long, value_name = "DIR", required_unless_present_any = ["summary", "diagrams", "measure"])]
    out: Option<PathBuf>,
    /// Prints the layers of each network with shapes, parameters and operations, and measures nothing; with
    /// --out, also writes them to summary.json
    #[arg(long)]
    summary: bool,
    /// Draws each network into this folder, as MODEL_PRESET.svg, and measures nothing
    #[arg(long, value_name = "DIR")]
    diagrams: Option<PathBuf>,
    /// cpu, cuda or cuda:N
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: String,
    /// Arithmetic precision: f32, or bf16 if the processor or GPU supports it
    #[arg(long, value_name = "TYPE", default_value_t = Precision::F32)]
    precision: Precision,
    #[command(flatten)]
    threads: ThreadsArgs,
    /// Number of timed passes of one window; a fifth as many for batches of 32
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    repeats: u32,
    /// Measures the one network that the other flags name, in this process, and prints the results as JSON
    #[arg(long, hide = true)]
    measure: bool,
}

impl Arguments {
    fn subjects(&self) -> Result<Vec<Subject>> {
        subject::subjects(&self.models, self.preset, &self.weights, self.data.is_some())
    }
}

fn main() -> ExitCode {
    ecg3d_examples::run(|arguments| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let device = device(Some(arguments.device.as_str()))?;
    arguments.threads.set_up_process()?;
    let subjects = arguments.subjects()?;
    let imitates =
        |subject: &&Subject| !arguments.precision.is_native(subject.architecture, device);
    if let Some(subject) = subjects.iter().find(imitates).filter(|_| !arguments.measure) {
        warn_of_imitation(arguments.precision, subject.architecture, device);
    }
    if arguments.measure {
        let subject = subjects.first().context("nothing to measure")?;
        let model = subject.model(device)?.with_precision(arguments.precision);
        let measured = serde_json::to_string(&measure::here(model, arguments.repeats)?)?;
        print_result(&format!("{measured}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.summary || arguments.diagrams.is_some() {
        return describe(arguments, &subjects);
    }
    let out = arguments.out.as_deref().context("--out DIR is missing")?;
    if let Some(data) = &arguments.data {
        arguments.labels.check(data)?;
    }
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    if arguments.data.is_some() && !subjects.iter().any(Subject::is_trained) {
        say_err!(
            "warning: --data has no effect: metrics need trained weights, and none of these networks is trained"
        );
    }
    if arguments.data.is_none() && !arguments.weights.is_empty() {
        say_err!("warning: without --data there are no metrics");
    }

    let progress = Progress::new(subjects.len() as u64, "networks measured");
    let mut costs = Vec::with_capacity(subjects.len());
    for subject in &subjects {
        progress.message(subject.to_string());
        let model = subject.model(Device::Cpu)?;
        let summary = model.network().summary()?;
        let windows = measure::windows_of_ten_seconds(&model);
        drop(model);
        let measured = measure::apart(subject, arguments);
        if let Err(error) = &measured {
            progress.line(&format!("failed: {subject}: {error:#}"));
        }
        costs.push((summary, windows, measured));
        progress.inc(1);
    }
    progress.finish();
    // Only now, because a GPU would be shared with the processes that measure, and its memory is not given back.
    let mut judge = arguments.data.as_deref().map(|data| Judge::new(data, &arguments.labels));
    let mut rows = Vec::with_capacity(subjects.len());
    for (subject, (summary, windows, measured)) in subjects.iter().zip(costs) {
        let metrics = match &mut judge {
            Some(judge) if subject.is_trained() => subject
                .model(device)
                .and_then(|model| judge.metrics(&model.with_precision(arguments.precision)))
                .map(Some),
            _ => Ok(None),
        };
        if let Err(error) = &metrics {
            say_err!("failed: {subject}: {error:#}");
        }
        rows.push(Row::new(subject, &summary, windows, measured, metrics));
    }
    let records_failed = judge.is_some_and(|judge| judge.some_failed);
    let report = Report { settings: Settings::new(arguments), networks: rows };
    report.write(out)?;
    print_result(&report.table())?;
    say!("written to {}", out.display());
    report.exit_code(records_failed)
}

/// Prints and draws the structure of the networks.
fn describe(arguments: &Arguments, subjects: &[Subject]) -> Result<ExitCode> {
    let mut summaries: Vec<Summary> = Vec::new();
    for subject in subjects {
        let summary = subject.model(Device::Cpu)?.network().summary()?;
        if arguments.summary {
            print_result(&format!("{summary}\n"))?;
        }
        if let Some(dir) = &arguments.diagrams {
            let path = dir.join(format!("{}_{}.svg", subject.architecture, subject.mode));
            write_atomic(&path, |file| file.write_all(diagram::svg(&summary).as_bytes()))?;
            say!("written to {}", path.display());
        }
        summaries.push(summary);
    }
    if let (true, Some(out)) = (arguments.summary, &arguments.out) {
        let path = out.join("summary.json");
        let json = serde_json::to_string_pretty(&summaries)?;
        write_atomic(&path, |file| writeln!(file, "{json}"))?;
        say!("written to {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_without_effect_are_refused_before_anything_is_measured() {
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("out");
        let words =
            ["compare", "--models", "ribeiro", "--preset", "corrected", "--csv-rate", "500"];
        let place = out.to_str().expect("a name");
        let words = words.into_iter().chain(["--data", "x.npz", "--out", place]);
        let error = run(&Arguments::parse_from(words)).expect_err("nothing to read").to_string();
        assert!(error.starts_with("x.npz is already converted: "), "{error}");
    }
}
