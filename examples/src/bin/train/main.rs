//! Trains a network on labelled recordings.

#[path = "../../with_model/device.rs"]
mod device;
mod init;
mod judge;
#[path = "../../with_model/precision.rs"]
mod precision;
#[path = "../../with_model/threads.rs"]
mod threads;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use ecg_io::{PUBLISHED_FOLDS, Split, folds_by_patient, split_by_fold, split_published};
use ecg3d_convert::Resample;
use ecg3d_examples::source::{LabelArgs, Rows, Source, load};
use ecg3d_examples::{Progress, say, say_err};
use ecg3d_models::{
    Architecture, Event, Loss, Model, ModelCard, Network, Precision, Preset, Thresholds,
    TrainConfig, TrainData, check_run_dir, replace_best, train,
};
use ndarray::{Array2, Array3, Axis};

use crate::device::device;
use crate::judge::Judged;
use crate::precision::warn_of_imitation;
use crate::threads::ThreadsArgs;

/// Trains a network and leaves RUN/last.safetensors and RUN/log.csv, anew after each epoch, and RUN/best.safetensors and its card
/// RUN/model.json, anew after each better one.
///
/// At the end, RUN/validation.csv has the best weights' probabilities of the validation records and RUN/validation_labels.csv
/// the truth, as evaluate reads them, RUN/test.csv and RUN/test_labels.csv those of the records that --split published keeps for
/// testing, and the card has the figures of both with intervals by patient.
///
/// RUN/run.lock keeps two trainings apart. RUN/checkpoint.safetensors is what --resume goes on from: a run that was killed at any moment ends with the weights of
/// one that was not, bit for bit on the CPU with the same --threads. The published preset trains by the study's recipe (100
/// epochs), the corrected one with warm-up, augmentation and a random window of each record in each epoch (30 epochs).
#[derive(Parser)]
#[command(name = "train", version)]
struct Arguments {
    /// Folder of WFDB and CSV recordings, or an .npz that convert --stage prepared wrote
    #[arg(long, value_name = "DIR|FILE.npz")]
    data: PathBuf,
    /// Network: 3decgnet, zhang, sobahi, ribeiro or resnet1d
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Folder for the run; made if missing
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Preprocessing, network and recipe of the study's programs, or as its text intends
    #[arg(long, value_name = "P", default_value = "published", value_parser = ["published", "corrected"])]
    preset: String,
    /// Which records validate [default: published; kfold with --preset corrected]
    #[arg(long, value_name = "SPLIT")]
    split: Option<SplitBy>,
    /// Number of folds of --split kfold [default: 5]; of no matter with --no-validation
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..))]
    folds: Option<u32>,
    /// The fold, from 0, that validates, for --split published and kfold [default: 0]
    #[arg(long, value_name = "I")]
    fold: Option<usize>,
    /// The value of the label table's column fold that validates, for --split labels [default: the largest]
    #[arg(long, value_name = "F")]
    val_fold: Option<u32>,
    /// Passes over the training records [default: 100; corrected 30]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Records in a step [default: 32; 3decgnet corrected 8]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Base learning rate [default: 0.001; 3decgnet corrected 0.0003]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Share of the learning rate for the layers before the attention heads and dense layers [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    body_rate: Option<f64>,
    /// Loss to make small: cross-entropy, or the asymmetric loss of Ridnik et al. (2021)
    #[arg(long, value_name = "LOSS", default_value = "bce")]
    loss: LossName,
    /// Largest weight of a rare label's records in the loss, sqrt(without / with) else; 1 for equal weights [default: 1;
    /// corrected 3]
    #[arg(long, value_name = "X")]
    label_weights: Option<f64>,
    /// Windows of each validation record that an epoch is judged by; the weights that are kept are judged by all [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    val_windows: Option<u32>,
    /// Ends the run after N epochs without a better one [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    patience: Option<u32>,
    /// Thresholds in the card: 0.5, or those of the largest F1 on the validation records, drawn towards 0.5 where they have
    /// fewer than 20 positives [default: 0.5; corrected validation]
    #[arg(long, value_name = "FROM")]
    thresholds: Option<ThresholdsFrom>,
    /// Seed of the network's start, the folds, the order, the windows, the augmentation and dropout
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// cpu, cuda or cuda:N
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: String,
    /// Number type of the arithmetic: f32, or bf16: twice as quick or more where the GPU or the processor multiplies it; training 3DECG-Net takes half the memory
    #[arg(long, value_name = "TYPE", default_value_t = Precision::F32)]
    precision: Precision,
    /// Where the recordings come from, for the card: source, licence, citation [default: the path and the source of the labels]
    #[arg(long, value_name = "TEXT")]
    origin: Option<String>,
    /// Trains on the records that would validate as well: all but those that the split keeps for testing. The last epoch counts as the
    /// best then, and the thresholds are 0.5
    #[arg(long, conflicts_with_all = ["fold", "val_fold", "patience", "val_windows"])]
    no_validation: bool,
    /// Starts from trained weights of the same network and preprocessing instead of fresh ones: a file, those that ship, or those of
    /// 3decgnet, corrected, that were trained on synthetic recordings alone. Records that they were trained on should not validate
    #[arg(long, value_name = "FILE|shipped|synthetic")]
    init: Option<PathBuf>,
    /// Goes on with the run in RUN, which has to have the same data and settings
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    labels: LabelArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SplitBy {
    /// The study's: records with a label, shuffled as it did; some test, the rest is cut into five folds
    Published,
    /// Folds of whole patients with even shares of the labels
    Kfold,
    /// The folds that the label table gives
    Labels,
}

#[derive(Clone, Copy, ValueEnum)]
enum LossName {
    Bce,
    Asymmetric,
}

#[derive(Clone, Copy, ValueEnum)]
enum ThresholdsFrom {
    #[value(name = "0.5")]
    Half,
    Validation,
}

fn main() -> ExitCode {
    ecg3d_examples::run(|arguments| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let architecture: Architecture = arguments.model.parse()?;
    let preset: Preset = arguments.preset.parse()?;
    let split_by = arguments.split.unwrap_or(match preset {
        Preset::Published => SplitBy::Published,
        Preset::Corrected => SplitBy::Kfold,
    });
    check_split_flags(arguments, split_by)?;
    let device = device(&arguments.device)?;
    warn_of_imitation(arguments.precision, architecture, device);
    arguments.threads.set_up_process()?;
    let mut config = recipe(arguments, architecture, preset);
    config.check()?;
    if !check_run_dir(&arguments.out, arguments.resume)? {
        check_tables(&arguments.out)?;
    }

    let mut preprocessing = architecture.preprocessing(preset);
    let mut source = load(&arguments.data, &preprocessing, &arguments.labels)?;
    source.drop_unlabelled()?;
    source.report_failures();
    let data = train_data(&mut source, &arguments.data)?;
    if let Resample::Polyphase { rate_hz, .. } = preprocessing.resample {
        // An archive may hold other lengths than the preset's.
        let samples = data.prepared.len_of(Axis(2));
        if samples != preprocessing.prepared_shape()[1] {
            preprocessing = preprocessing.with_max_seconds(samples as f64 / rate_hz);
        }
    }
    let split = split(&source, &data, split_by, arguments)?;
    summarise(&source, &data, &split);

    let labels = source.label_set.clone();
    let origin = arguments.origin.clone().unwrap_or_else(|| {
        format!("trained on {}, labels from {}", arguments.data.display(), source.label_source)
    });
    let card =
        ModelCard::new(architecture, preset, labels.clone(), preprocessing).with_origin(origin);
    let mut network = match &arguments.init {
        Some(from) => {
            let (network, start) = init::network(from, &card, device)?;
            config = config.with_start(start);
            network
        }
        None => Network::new(architecture, preset, labels.len(), device, arguments.seed)?,
    };
    let mut shown = Shown { epochs: config.epochs, progress: None };
    let outcome =
        train(&mut network, &card, &data, &split.train, &split.val, &config, &mut |event| {
            shown.event(event);
            ControlFlow::Continue(())
        })?;
    if let Some(progress) = &shown.progress {
        progress.finish();
    }

    say!(
        "{} epochs done{}, best: epoch {}",
        outcome.history.len(),
        if outcome.stopped_early { " (stopped early)" } else { "" },
        outcome.best_epoch
    );
    let mut files = ["best.safetensors", "last.safetensors", "log.csv", "model.json"]
        .map(str::to_owned)
        .to_vec();
    let mut card = outcome.card;
    let mut metrics = serde_json::Map::new();
    if !split.val.is_empty() {
        let judged = Judged {
            data: &data,
            name: "validation",
            rows: &split.val,
            probabilities: outcome.validation.view(),
            threshold_source: "these records",
        };
        let chosen = if card.thresholds.is_some() { "them and their thresholds" } else { "them" };
        let title = format!("The best weights on the validation records, which chose {chosen}");
        let (mut own, tables) = judged.show(&card, &title, &arguments.out)?;
        files.extend(tables);
        own["chosen_on_these"] = "the epoch, and the thresholds where they are not 0.5".into();
        metrics.insert("validation".to_owned(), own);
    }
    if !split.test.is_empty() {
        let signals = data.prepared.select(Axis(0), &split.test);
        let lengths: Vec<usize> = split.test.iter().map(|&row| data.lengths[row]).collect();
        let model = Model::new(network, card.clone())?;
        let probabilities = model.predict_prepared(signals.view(), Some(&lengths))?;
        (network, card) = model.into_parts();
        let judged = Judged {
            data: &data,
            name: "test",
            rows: &split.test,
            probabilities: probabilities.view(),
            threshold_source: "the validation records",
        };
        let title = "The best weights on the records kept for testing";
        let (own, tables) = judged.show(&card, title, &arguments.out)?;
        files.extend(tables);
        metrics.insert("test".to_owned(), own);
    }
    if !metrics.is_empty() {
        card.metrics = Some(metrics.into());
        replace_best(&arguments.out, &network, &card)?;
    }
    for file in files {
        say!("{}", arguments.out.join(file).display());
    }
    Ok(source.exit_code())
}

/// Refuses flags that the split has no use for, rather than ignore them.
fn check_split_flags(arguments: &Arguments, split_by: SplitBy) -> Result<()> {
    let (name, folds, fold, val_fold) = match split_by {
        SplitBy::Published => ("published", false, true, false),
        SplitBy::Kfold => ("kfold", true, true, false),
        SplitBy::Labels => ("labels", false, false, true),
    };
    for (flag, given, of_use) in [
        ("--folds", arguments.folds.is_some(), folds),
        ("--fold", arguments.fold.is_some(), fold),
        ("--val-fold", arguments.val_fold.is_some(), val_fold),
    ] {
        ensure!(!given || of_use, "{flag} means nothing with --split {name}");
    }
    ensure!(
        !(arguments.no_validation
            && matches!(arguments.thresholds, Some(ThresholdsFrom::Validation))),
        "--thresholds validation needs validation records, which --no-validation trains on"
    );
    if let Some(fold) = arguments.fold {
        let folds = folds_of(arguments);
        ensure!(fold < folds, "--fold {fold} is not one of the folds 0 to {}", folds - 1);
    }
    Ok(())
}

/// Refuses a folder with tables of another run than is to go on there.
fn check_tables(out: &Path) -> Result<()> {
    for name in ["validation", "test"].into_iter().flat_map(judge::files) {
        let path = out.join(name);
        ensure!(
            !path.exists(),
            "{} would be written over; give another folder with --out",
            path.display()
        );
    }
    Ok(())
}

/// Folds of a split that makes them.
fn folds_of(arguments: &Arguments) -> usize {
    arguments.folds.map_or(PUBLISHED_FOLDS, |folds| folds as usize)
}

fn recipe(arguments: &Arguments, architecture: Architecture, preset: Preset) -> TrainConfig {
    let config = TrainConfig::of(architecture, preset)
        .with_seed(arguments.seed)
        .with_precision(arguments.precision)
        .with_run_dir(&arguments.out)
        .with_resume(arguments.resume)
        .with_loss(match arguments.loss {
            LossName::Bce => Loss::Bce,
            LossName::Asymmetric => Loss::ASYMMETRIC,
        })
        .with_validation_windows(arguments.val_windows.map(|windows| windows as usize))
        .with_patience(arguments.patience.map(|epochs| epochs as usize));
    let (epochs, batch, lr, body) = (config.epochs, config.batch, config.lr, config.body_rate);
    let limit = config.positive_weight_limit;
    let thresholds = if arguments.no_validation { Thresholds::Half } else { config.thresholds };
    config
        .with_positive_weight_limit(match arguments.label_weights {
            Some(limit) => (limit != 1.0).then_some(limit),
            None => limit,
        })
        .with_thresholds(match arguments.thresholds {
            Some(ThresholdsFrom::Half) => Thresholds::Half,
            Some(ThresholdsFrom::Validation) => Thresholds::Validation,
            None => thresholds,
        })
        .with_epochs(arguments.epochs.unwrap_or(epochs))
        .with_batch(arguments.batch.unwrap_or(batch))
        .with_lr(arguments.lr.unwrap_or(lr))
        .with_body_rate(arguments.body_rate.unwrap_or(body))
}

/// Takes the signals out of a source.
fn train_data(source: &mut Source, path: &Path) -> Result<TrainData> {
    let labels = source.require_labels(&source.label_set)?.mapv(u8::from);
    let none = Rows::Prepared { signals: Array3::zeros((0, 0, 0)), lengths: Vec::new() };
    ensure!(
        source.row_record.is_none(),
        "{} holds several rows of a record (row_record); training takes one row a record and cuts windows itself",
        path.display()
    );
    let Rows::Prepared { signals, lengths } = std::mem::replace(&mut source.rows, none) else {
        bail!(
            "{} holds images or volumes; training takes prepared signals, as convert --stage prepared writes them, \
             and makes the volumes itself",
            path.display()
        );
    };
    Ok(TrainData {
        prepared: signals,
        lengths,
        labels,
        patients: source.patients.clone(),
        names: source.names.clone(),
    })
}

fn split(source: &Source, data: &TrainData, by: SplitBy, arguments: &Arguments) -> Result<Split> {
    let fold = arguments.fold.unwrap_or(0);
    if arguments.no_validation && by != SplitBy::Published {
        // Only the published split keeps records for testing.
        let mut all = Split::default();
        all.train = (0..data.len()).collect();
        return Ok(all);
    }
    let mut split = match by {
        SplitBy::Published => {
            let labelled: Vec<usize> = (0..data.len())
                .filter(|&row| data.labels.row(row).iter().any(|&label| label != 0))
                .collect();
            split_published(&labelled, fold)?
        }
        SplitBy::Kfold => {
            let labels = data.labels.view();
            split_by_fold(
                &folds_by_patient(labels, &data.patients, folds_of(arguments), arguments.seed)?,
                fold,
            )?
        }
        SplitBy::Labels => {
            let folds = source
                .folds
                .iter()
                .zip(&source.names)
                .map(|(fold, name)| {
                    fold.map(|fold| fold as usize).with_context(|| {
                        format!(
                            "record {name} has no fold in {}; --split labels needs a label table with a column fold",
                            source.label_source
                        )
                    })
                })
                .collect::<Result<Vec<_>>>()?;
            let largest = folds.iter().copied().max().unwrap_or(0);
            split_by_fold(&folds, arguments.val_fold.map_or(largest, |fold| fold as usize))?
        }
    };
    if arguments.no_validation {
        split.train.append(&mut split.val);
        split.train.sort_unstable();
    }
    Ok(split)
}

/// Says what is trained on: how many records, and how many of them have each label.
fn summarise(source: &Source, data: &TrainData, split: &Split) {
    let count = |rows: &[usize]| {
        let labels: Array2<u8> = data.labels.select(Axis(0), rows);
        let counts: Vec<String> = source
            .label_set
            .iter()
            .zip(labels.columns())
            .map(|(label, column)| {
                format!("{label} {}", column.iter().filter(|&&label| label != 0).count())
            })
            .collect();
        format!("{} records: {}", rows.len(), counts.join(", "))
    };
    say!("labels from {}", source.label_source);
    say!("training on {}", count(&split.train));
    say!("validating on {}", count(&split.val));
    if !split.test.is_empty() {
        say!("kept for testing: {}", count(&split.test));
    }
}

/// Shows a run on the terminal.
struct Shown {
    epochs: usize,
    progress: Option<Progress>,
}

impl Shown {
    fn line(&self, line: &str) {
        match &self.progress {
            Some(progress) => progress.line(line),
            None => say_err!("{line}"),
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Start { epochs, done, batches, .. } => {
                if *done > 0 {
                    self.line(&format!("going on behind epoch {done}"));
                }
                let steps = epochs.saturating_sub(*done) * batches;
                self.progress = Some(Progress::new(steps as u64, "steps"));
            }
            Event::Batch { epoch, loss, lr, records_per_s, .. } => {
                if let Some(progress) = &self.progress {
                    progress.message(format!(
                        "epoch {epoch}/{}, loss {loss:.4}, rate {lr:.2e}, {records_per_s:.0} records/s",
                        self.epochs
                    ));
                    progress.inc(1);
                }
            }
            Event::Epoch { log, best, remaining } => {
                let shown = |value: Option<f64>| {
                    value.map_or("-".to_owned(), |value| format!("{value:.4}"))
                };
                self.line(&format!(
                    "epoch {}/{}: loss {:.4}, validation loss {}, macro F1 {}, macro AUROC {}, {:.1} s{}, {:.0} s left",
                    log.epoch,
                    self.epochs,
                    log.train_loss,
                    shown(log.val_loss),
                    shown(log.val_f1),
                    shown(log.val_auroc),
                    log.seconds,
                    if *best { ", best so far" } else { "" },
                    remaining.as_secs_f64()
                ));
            }
            Event::Warning(warning) => self.line(&format!("warning: {warning}")),
            _ => {}
        }
    }
}
