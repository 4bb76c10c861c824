//! Evaluates predictions against the truth: `metrics.json`, `report.md`, `predictions.csv` and pictures.

mod choices;
mod judged;
mod pictures;
mod table;
#[allow(dead_code)] // Each program uses a part.
#[path = "../../with_model/mod.rs"]
mod with_model;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{ArgGroup, Parser};
use ecg_metrics::{BootstrapOptions, CalibrationMethod, ReportOptions, ZeroDivision};
use ecg3d_examples::source::{LabelArgs, check_outputs, exit_code};
use ecg3d_examples::{check_inputs, print_result, run, say};
use ecg3d_models::Precision;

use choices::{Choices, Rule};
use judged::{CALIBRATOR, Judged, OUTPUTS, Run, rules};
use table::Table;
use with_model::device_args::DeviceArgs;
use with_model::threads::ThreadsArgs;

/// Evaluate a model, or a file of predictions, on records whose labels are known.
///
/// Takes either --data, with or without --weights, or --predictions with --labels. Writes metrics.json,
/// metrics.csv, report.md, predictions.csv, calibration.csv and the pictures roc.svg, precision_recall.svg,
/// calibration.svg and confusion.svg. A label is predicted if its probability is above the threshold.
/// Thresholds and calibration may be chosen on other records, given with --validation; --across-folds chooses
/// the thresholds of a cross-validation.
///
/// With weights, finished probabilities are kept in predictions.csv.part. A run interrupted for any reason
/// continues from there when it is started again with the same weights, records and --precision on the same
/// device.
#[derive(Debug, Parser)]
#[command(name = "evaluate", version)]
#[command(group(ArgGroup::new("chosen_on").args(["validation", "across_folds"])))]
#[command(group(ArgGroup::new("run_on").args(["device"]).conflicts_with("predictions")))]
struct Args {
    /// Weights that `train` or `import-keras` wrote [default: the 3DECG-Net that ships]
    #[arg(long, value_name = "FILE", conflicts_with = "predictions")]
    weights: Option<PathBuf>,
    /// Folder of records, or .npz that `convert` wrote
    #[arg(long, value_name = "DIR|FILE.npz", required_unless_present = "predictions")]
    data: Option<PathBuf>,
    /// Arithmetic precision: f32, or bf16, which is about twice as fast on a GPU or a processor with bf16
    /// instructions (3decgnet: Intel AMX); on others it is as fast for 3decgnet and much slower for the rest
    #[arg(long, value_name = "TYPE", default_value_t = Precision::F32, conflicts_with = "predictions")]
    precision: Precision,
    /// Table of predictions: record, then one probability for each label
    #[arg(long, value_name = "FILE", requires = "labels", conflicts_with_all = ["data", "ReadingArgs"])]
    predictions: Option<PathBuf>,
    /// Another table of predictions of the same records and labels, to be compared with the first at the same
    /// thresholds (with --across-folds, at thresholds of its own); may be given several times
    #[arg(long, value_name = "FILE", requires = "predictions")]
    against: Vec<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    labels: LabelArgs,
    /// Folder for the results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Discards what an earlier run left in predictions.csv.part
    #[arg(long, conflicts_with = "predictions")]
    restart: bool,
    /// One threshold for all labels, one for each in order, or NAME=VALUE pairs, separated by commas [default,
    /// also for labels not named: those of the weights, else 0.5]
    #[arg(long, value_name = "LIST")]
    thresholds: Option<String>,
    /// Result of a division by zero: 0, 1 or nan
    #[arg(long, value_name = "VALUE", default_value = "0")]
    zero_division: ZeroDivision,
    /// Resamples of patients for the 95 % intervals, 40 to 100000; 0 omits those intervals (not with --against)
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = resamples)]
    bootstrap: usize,
    /// Seed of the resamples
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Predictions of validation records, on which thresholds and calibration are chosen
    #[arg(long, value_name = "FILE", requires = "validation_labels", conflicts_with = "against")]
    validation: Option<PathBuf>,
    /// Labels of the validation records
    #[arg(long, value_name = "FILE", requires = "validation", conflicts_with_all = ["against", "across_folds"])]
    validation_labels: Option<PathBuf>,
    /// Choose the thresholds for the records of each fold on those of all other folds, by the column `fold` of
    /// the label table, else of the predictions; also for the predictions of --against
    #[arg(long, requires = "choose_thresholds", conflicts_with_all = ["thresholds", "calibrate"])]
    across_folds: bool,
    /// Choose thresholds on the validation records, or across folds: youden, f1, gbeta, challenge, or sensitivity=VALUE
    #[arg(long, value_name = "RULE", requires = "chosen_on", conflicts_with = "thresholds")]
    choose_thresholds: Option<Rule>,
    /// Calibrate the probabilities on the validation records: temperature or platt. The fit is written to
    /// calibrator.json
    #[arg(long, value_name = "METHOD", requires = "validation", conflicts_with_all = ["calibrator", "against"])]
    calibrate: Option<CalibrationMethod>,
    /// Calibrate the probabilities with calibrator.json of another run
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    calibrator: Option<PathBuf>,
    /// Weights of the challenge score, with label names in the first line and column [default: the published
    /// ones, if the labels are among the seven and NSR is one of them]
    #[arg(long, value_name = "FILE")]
    challenge_weights: Option<PathBuf>,
    /// Normal label of the challenge score: the one that an inactive model always predicts
    #[arg(long, value_name = "NAME", default_value = "NSR", requires = "challenge_weights")]
    challenge_normal: String,
}

fn main() -> ExitCode {
    run(|args: Args| {
        ensure!(
            args.against.is_empty() || args.bootstrap > 0,
            "--against needs resamples: --bootstrap must not be 0"
        );
        args.threads.set_up_process()?;
        check(&args)?;
        let (mut judged, mut choices) = match &args.predictions {
            Some(predictions) => {
                let judged = from_table(predictions, &args)?;
                let choices = Choices::read(&args, &judged.labels)?;
                choices.check(&judged.records, &judged.patients, &judged.folds)?;
                (judged, choices)
            }
            None => {
                let run = Run {
                    weights: args.weights.as_deref(),
                    device: args.device.device()?,
                    precision: args.precision,
                    data: args.data.as_deref().context("--data DIR is missing")?,
                    labels: &args.labels,
                    out: &args.out,
                    restart: args.restart,
                };
                run.judged(|labels| Choices::read(&args, labels))?
            }
        };
        let chosen = choices.make(&mut judged)?;
        let mut options = ReportOptions::default()
            .with_zero_division(args.zero_division)
            .with_threshold_source(&chosen.source);
        let mut resampling = BootstrapOptions::default()
            .with_resamples(args.bootstrap)
            .with_seed(args.seed)
            .with_zero_division(args.zero_division);
        if let Some(weights) = choices.weights {
            options = options.with_challenge(weights.clone());
            resampling = resampling.with_challenge(weights);
        }
        if args.bootstrap > 0 {
            judged.resample(&chosen, &resampling)?;
        }
        let report = judged.write(&chosen, &options, &args.out)?;
        print_result(&report.to_string())?;
        say!("written to {}", args.out.display());
        Ok(exit_code(&judged.failed))
    })
}

/// Makes sure, before long work, that the results can be written, and that they do not overwrite an input.
fn check(args: &Args) -> Result<()> {
    let inputs = [
        &args.weights,
        &args.predictions,
        &args.validation,
        &args.validation_labels,
        &args.challenge_weights,
    ];
    let inputs = inputs.into_iter().flatten().chain(&args.against);
    check_outputs(&args.out, &OUTPUTS, inputs, args.data.as_ref(), &args.labels)?;
    // In its own place, the calibrator is written again as it was read.
    let others = OUTPUTS.into_iter().filter(|name| *name != CALIBRATOR);
    for name in others {
        check_inputs(&args.out.join(name), &args.calibrator)?;
    }
    Ok(())
}

fn resamples(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| matches!(n, 0 | 40..=100_000))
        .ok_or_else(|| "expected 0, or a number from 40 to 100000".to_owned())
}

fn from_table(predictions: &Path, args: &Args) -> Result<Judged> {
    let labels = args.labels.labels.as_deref().context("--predictions needs --labels FILE")?;
    let table = Table::predictions(predictions)?;
    let probabilities = table.values();
    let truth = table.truth_from(&Table::labels(labels, &args.labels)?)?;
    let against = args.against.iter().map(|path| {
        let other = table.aligned(&Table::predictions(path)?)?;
        Ok((path.display().to_string(), other))
    });
    let against = against.collect::<Result<Vec<_>>>()?;
    Ok(Judged {
        what: predictions.display().to_string(),
        patients: truth.patients,
        folds: truth.folds,
        against,
        calibrator: None,
        bootstrap: None,
        comparisons: Vec::new(),
        truth_source: labels.display().to_string(),
        rules: rules(&args.labels),
        labels: table.rows.labels,
        records: table.records,
        truth: truth.holds,
        probabilities,
        thresholds: None,
        failed: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_would_do_nothing_are_refused() {
        let parse = |more: &str| {
            let line = format!("evaluate --out o --labels l.csv {more}");
            Args::try_parse_from(line.split(' '))
        };
        for flag in ["--csv-rate 500", "--no-checksums", "--device cpu"] {
            let error = parse(&format!("--predictions p.csv {flag}")).expect_err("refused");
            assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict, "{flag}");
            assert!(parse(&format!("--data d {flag}")).is_ok(), "{flag}");
        }
        assert!(parse("--predictions p.csv --label-map published").is_ok());
    }
}
