use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One line of `log.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochLog {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Learning rate of its last step.
    pub lr: f64,
    /// Mean over its records of the loss that was minimised, label weights included.
    pub train_loss: f64,
    /// Unweighted cross-entropy of the validation records; none without such records.
    pub val_loss: Option<f64>,
    /// Mean over the labels of F1 at one half.
    pub val_f1: Option<f64>,
    /// Mean ROC-AUC over the labels for which it is defined; none where it is for no label.
    pub val_auroc: Option<f64>,
    /// Wall-clock time of the epoch, validation included.
    pub seconds: f64,
}

/// Hears of a run while it goes on, and ends it with [`ControlFlow::Break`].
pub type Observer<'a> = dyn FnMut(&Event) -> ControlFlow<()> + 'a;

/// What a training run reports while it goes on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Training begins, or goes on behind `done` epochs.
    Start {
        /// Epochs of the whole run.
        epochs: usize,
        /// Epochs that an earlier run did.
        done: usize,
        /// Steps in an epoch.
        batches: usize,
        /// Records to learn from.
        train: usize,
        /// Records to validate on.
        val: usize,
    },
    /// A step is done.
    Batch {
        /// The epoch, from 1.
        epoch: usize,
        /// The step in its epoch, from 1.
        batch: usize,
        /// Steps in an epoch.
        batches: usize,
        /// Loss of this step.
        loss: f64,
        /// Learning rate of this step.
        lr: f64,
        /// Training records a second, in this epoch.
        records_per_s: f64,
        /// About how long the rest of the run takes.
        remaining: Duration,
    },
    /// An epoch is done and, where there is a run folder, saved.
    Epoch {
        /// What `log.csv` says of it.
        log: EpochLog,
        /// Whether it is the best so far.
        best: bool,
        /// About how long the rest of the run takes.
        remaining: Duration,
    },
    /// Something that deserves a look, in words.
    Warning(Warning),
}

/// What deserves a look, but stops nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// No training record has this label: the network can't learn it.
    NeverPositive {
        /// The label.
        label: String,
    },
    /// Every training record has this label.
    AlwaysPositive {
        /// The label.
        label: String,
    },
    /// Patients with records on both sides make validation look better than it is.
    SharedPatients {
        /// How many.
        patients: usize,
    },
    /// There are no validation records: the last epoch counts as the best.
    NoValidation,
    /// `resume` was asked for, but the folder has no checkpoint: the run starts at the beginning.
    NoCheckpoint {
        /// The run folder.
        run_dir: PathBuf,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverPositive { label } => {
                write!(f, "no training record has label {label}, so it can't be learned")
            }
            Self::AlwaysPositive { label } => {
                write!(f, "every training record has label {label}, so it can't be told apart")
            }
            Self::SharedPatients { patients } => write!(
                f,
                "{patients} patients have records in both training and validation; the validation \
                 figures are too good for new patients"
            ),
            Self::NoValidation => f.write_str("no validation records: the last epoch is the best"),
            Self::NoCheckpoint { run_dir } => write!(
                f,
                "no checkpoint to resume from in {}: starting at the beginning",
                run_dir.display()
            ),
        }
    }
}
