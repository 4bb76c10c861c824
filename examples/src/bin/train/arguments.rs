//! The arguments of a training run.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use ecg_io::PUBLISHED_FOLDS;
use ecg3d_examples::source::LabelArgs;
use ecg3d_models::{Architecture, Loss, Precision, Preset, Thresholds, TrainConfig, WindowPooling};

use crate::with_model::threads::ThreadsArgs;

/// Trains a network. Leaves RUN/last.safetensors and RUN/log.csv, updated after each epoch, and
/// RUN/best.safetensors with its card RUN/model.json, updated after each improvement.
///
/// At the end, RUN/validation.csv has the best weights' probabilities for the validation records, and
/// RUN/validation_labels.csv the truth, patient and fold, in the form that evaluate reads. RUN/test.csv and
/// RUN/test_labels.csv have the same, except the fold, for the records that --split published or --test-fold
/// keeps for testing. The card has the metrics of both with intervals by patient.
///
/// With --fold all, each fold has such a folder in RUN, and RUN has the two validation tables of all folds. If
/// training diverges in a fold, the others are trained all the same, but RUN gets no tables.
///
/// RUN/run.lock keeps two training runs from using the same folder. --resume continues from
/// RUN/checkpoint.safetensors: a run that was killed at any moment ends with the same weights as one that was
/// not, bit for bit on the CPU with the same --threads. The published preset trains with the study's recipe
/// (100 epochs), the corrected one with warm-up, augmentation and a random window of each record in each epoch
/// (30 epochs).
#[derive(Parser)]
#[command(name = "train", version)]
pub struct Arguments {
    /// Folder of WFDB and CSV recordings, or an .npz that convert --stage prepared wrote
    #[arg(long, value_name = "DIR|FILE.npz")]
    pub data: PathBuf,
    /// Network: 3decgnet, zhang, sobahi, ribeiro or resnet1d
    #[arg(long, value_name = "NAME")]
    pub model: String,
    /// Folder for the run; created if missing
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Preprocessing, network and recipe: those of the study's programs, or as its text intends
    #[arg(long, value_name = "P", default_value_t = Preset::Published)]
    pub preset: Preset,
    /// Which records are used for validation [default: published; kfold with --preset corrected]
    #[arg(long, value_name = "SPLIT")]
    pub split: Option<SplitBy>,
    /// Number of folds of --split kfold [default: 5]; has no effect with --no-validation
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..))]
    pub folds: Option<u32>,
    /// The validation fold, from 0, for --split published and kfold [default: 0]; or all, one after the other,
    /// with any split (for labels, each number in the table's column): each fold is trained in RUN/fold-I, and
    /// RUN/validation.csv and RUN/validation_labels.csv have the records of all folds
    #[arg(long, value_name = "I|all")]
    pub fold: Option<Fold>,
    /// The validation fold for --split labels: a value of the label table's column fold [default: the largest
    /// except that of --test-fold]
    #[arg(long, value_name = "F")]
    pub val_fold: Option<u32>,
    /// The fold whose records --split labels keeps for testing: a value of the label table's column fold; no
    /// run trains or validates on them [default: none]
    #[arg(long, value_name = "F")]
    pub test_fold: Option<u32>,
    /// Passes over the training records [default: 100; corrected 30]
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Records per step [default: 32; 3decgnet corrected 8]
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Base learning rate [default: 0.001; 3decgnet corrected 0.0003]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// Factor on the learning rate for the layers before the attention heads and dense layers; at 0 they are
    /// frozen, and their gradients are not computed [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = share)]
    pub body_rate: Option<f64>,
    /// Loss to minimise: cross-entropy, or the asymmetric loss of Ridnik et al. (2021)
    #[arg(long, value_name = "LOSS", default_value = "bce")]
    pub loss: LossName,
    /// Upper limit of the weight of a rare label's positives in the loss, which is sqrt(negatives / positives);
    /// 1 for equal weights [default: 1; corrected 3]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = largest_weight)]
    pub label_weights: Option<f64>,
    /// Number of windows of each validation record on which an epoch is evaluated; at the end, the best weights
    /// are evaluated on all. Not for networks that read one window of each record: all with --preset published,
    /// and resnet1d [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub val_windows: Option<u32>,
    /// Probability of a record from the logits of its windows: mean, or max, the largest for each label. Stays in the
    /// card, by which the weights then predict. max is not for networks that read one window of each record
    /// [default: mean]
    #[arg(long, value_name = "HOW")]
    pub window_pooling: Option<WindowPooling>,
    /// Ends the run after N epochs without improvement [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: Option<u32>,
    /// Thresholds in the card: 0.5, or those with the largest F1 on the validation records, shrunk towards 0.5
    /// for labels with fewer than 20 positives [default: 0.5; corrected validation]
    #[arg(long, value_name = "FROM")]
    pub thresholds: Option<ThresholdsFrom>,
    /// Seed of the network's initialisation, the folds, the order, the windows, the augmentation and dropout
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// cpu, cuda or cuda:N
    #[arg(long, value_name = "D", default_value = "cpu")]
    pub device: String,
    /// Arithmetic precision: f32, or bf16, which is about twice as fast on a GPU or a processor with bf16
    /// instructions (3decgnet: Intel AMX); on others it is as fast for 3decgnet and much slower for the rest. Training
    /// 3decgnet then takes half the memory
    #[arg(long, value_name = "TYPE", default_value_t = Precision::F32)]
    pub precision: Precision,
    /// Source of the recordings, for the card: origin, licence, citation [default: the path and the source of
    /// the labels]
    #[arg(long, value_name = "TEXT")]
    pub origin: Option<String>,
    /// Also trains on the validation records, that is, on all except those that the split keeps for testing. The
    /// last epoch then counts as the best, and the thresholds are 0.5
    #[arg(long, conflicts_with_all = ["fold", "val_fold", "patience", "val_windows"])]
    pub no_validation: bool,
    /// Starts from trained weights of the same network and preprocessing instead of fresh ones: a file, the
    /// weights that ship, or those of 3decgnet, corrected, that were trained on synthetic recordings only. If the
    /// labels of the data are not those of the weights, in any order, the last layer starts fresh. Records that the
    /// weights were trained on should not be used for validation
    #[arg(long, value_name = "FILE|shipped|synthetic")]
    pub init: Option<PathBuf>,
    /// Continues the run in RUN, which must have the same data and settings
    #[arg(long)]
    pub resume: bool,
    #[command(flatten)]
    pub threads: ThreadsArgs,
    #[command(flatten)]
    pub labels: LabelArgs,
}

fn share(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

fn largest_weight(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|weight| weight.is_finite() && *weight >= 1.0)
        .ok_or_else(|| "expected a number of at least 1".to_owned())
}

/// Which folds validate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    One(u32),
    All,
}

impl FromStr for Fold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.parse().map(Self::One).map_err(|_| "expected the number of a fold, or all".to_owned())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitBy {
    /// The study's split: records with a label, shuffled as in the study; some are kept for testing, the rest is
    /// divided into five folds
    Published,
    /// Folds of whole patients with even shares of the labels
    Kfold,
    /// The folds that the label table gives, of which --test-fold may keep one for testing; records without a fold
    /// are left out
    Labels,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum LossName {
    Bce,
    Asymmetric,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ThresholdsFrom {
    #[value(name = "0.5")]
    Half,
    Validation,
}

impl Arguments {
    /// Returns the split that was asked for, or that goes with a preset.
    pub fn split_by(&self, preset: Preset) -> SplitBy {
        self.split.unwrap_or(match preset {
            Preset::Published => SplitBy::Published,
            Preset::Corrected => SplitBy::Kfold,
        })
    }

    /// Refuses flags that have no effect on the split, rather than ignoring them.
    pub fn check_split(&self, split_by: SplitBy) -> Result<()> {
        let (name, folds, fold, by_table) = match split_by {
            SplitBy::Published => ("published", false, true, false),
            SplitBy::Kfold => ("kfold", true, true, false),
            SplitBy::Labels => ("labels", false, true, true),
        };
        for (flag, given, of_use) in [
            ("--folds", self.folds.is_some(), folds),
            ("--fold", self.fold.is_some(), fold),
            ("--val-fold", self.val_fold.is_some(), by_table),
            ("--test-fold", self.test_fold.is_some(), by_table),
        ] {
            ensure!(!given || of_use, "{flag} has no effect with --split {name}");
        }
        ensure!(
            !(split_by == SplitBy::Labels && matches!(self.fold, Some(Fold::One(_)))),
            "--split labels allows only --fold all; use --val-fold F for one fold of the table"
        );
        ensure!(
            !(self.no_validation && matches!(self.thresholds, Some(ThresholdsFrom::Validation))),
            "--thresholds validation needs validation records, which --no-validation trains on"
        );
        ensure!(
            !(self.all_folds() && self.val_fold.is_some()),
            "--fold all cannot be used with --val-fold"
        );
        if let (Some(val), Some(test)) = (self.val_fold, self.test_fold) {
            ensure!(val != test, "--test-fold {test} is also the fold of --val-fold");
        }
        if let Some(Fold::One(fold)) = self.fold {
            let folds = self.n_folds();
            ensure!(fold < folds, "--fold {fold} is not one of the folds 0 to {}", folds - 1);
        }
        Ok(())
    }

    /// Returns whether all records are trained on, with none kept for validation or testing.
    pub fn trains_on_all(&self, split_by: SplitBy) -> bool {
        self.no_validation && split_by != SplitBy::Published && self.test_fold.is_none()
    }

    /// Returns whether all folds are trained, one after the other.
    pub fn all_folds(&self) -> bool {
        self.fold == Some(Fold::All)
    }

    /// Returns the fold that validates, if one does.
    pub fn one_fold(&self) -> u32 {
        match self.fold {
            Some(Fold::One(fold)) => fold,
            _ => 0,
        }
    }

    /// Returns the number of folds, for a split that makes them.
    pub fn n_folds(&self) -> u32 {
        self.folds.unwrap_or(PUBLISHED_FOLDS)
    }

    /// Returns the preset's recipe, with the changes that were asked for, for a run in a folder.
    pub fn recipe(
        &self,
        architecture: Architecture,
        preset: Preset,
        run_dir: &Path,
    ) -> TrainConfig {
        let config = TrainConfig::of(architecture, preset)
            .with_seed(self.seed)
            .with_precision(self.precision)
            .with_run_dir(run_dir)
            .with_resume(self.resume)
            .with_loss(match self.loss {
                LossName::Bce => Loss::Bce,
                LossName::Asymmetric => Loss::ASYMMETRIC,
            })
            .with_validation_windows(self.val_windows.map(|windows| windows as usize))
            .with_window_pooling(self.window_pooling.unwrap_or_default())
            .with_patience(self.patience.map(|epochs| epochs as usize));
        let (epochs, batch, lr, body) = (config.epochs, config.batch, config.lr, config.body_rate);
        let limit = config.positive_weight_limit;
        let thresholds = if self.no_validation { Thresholds::Half } else { config.thresholds };
        config
            .with_positive_weight_limit(match self.label_weights {
                Some(limit) => (limit != 1.0).then_some(limit),
                None => limit,
            })
            .with_thresholds(match self.thresholds {
                Some(ThresholdsFrom::Half) => Thresholds::Half,
                Some(ThresholdsFrom::Validation) => Thresholds::Validation,
                None => thresholds,
            })
            .with_epochs(self.epochs.unwrap_or(epochs))
            .with_batch(self.batch.unwrap_or(batch))
            .with_lr(self.lr.unwrap_or(lr))
            .with_body_rate(self.body_rate.unwrap_or(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused_by_the_name_of_their_flag() {
        let parse = |flag: &str, value: &str| {
            let line = ["train", "--data", "d", "--model", "resnet1d", "--out", "o", flag, value];
            Arguments::try_parse_from(line)
        };
        for (flag, good, bad) in [
            ("--body-rate", ["0", "0.3", "1"], ["-0.1", "2", "NaN"]),
            ("--label-weights", ["1", "1.5", "1e9"], ["0.5", "-3", "inf"]),
        ] {
            assert!(good.iter().all(|value| parse(flag, value).is_ok()), "{flag}");
            for value in bad {
                let text = parse(flag, value).err().expect("refused").to_string();
                assert!(text.contains(&format!("'{value}' for '{flag} <X>': expected")), "{text}");
            }
        }
    }
}
