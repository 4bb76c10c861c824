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
    /// Mean training loss over the records of the epoch, label weights included.
    pub train_loss: f64,
    /// Unweighted cross-entropy on the validation records; `None` without such records.
    pub val_loss: Option<f64>,
    /// Mean over the labels of F1 at a threshold of one half.
    pub val_f1: Option<f64>,
    /// Mean ROC-AUC over the labels for which it is defined; `None` if it is defined for none.
    pub val_auroc: Option<f64>,
    /// Wall-clock time of the epoch in seconds, validation included.
    pub seconds: f64,
}

/// Receives the events of a run, and ends the run by returning [`ControlFlow::Break`].
pub type Observer<'a> = dyn FnMut(&Event) -> ControlFlow<()> + 'a;

/// What a training run reports while it is running.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Training begins, or is resumed after `done` epochs.
    Start {
        /// Number of epochs of the whole run.
        epochs: usize,
        /// Number of epochs that an earlier part of the run did.
        done: usize,
        /// Number of steps in an epoch.
        batches: usize,
        /// Number of training records.
        train: usize,
        /// Number of validation records.
        val: usize,
    },
    /// A step is done.
    Batch {
        /// The epoch, from 1.
        epoch: usize,
        /// The step within its epoch, from 1.
        batch: usize,
        /// Number of steps in an epoch.
        batches: usize,
        /// Loss of this step.
        loss: f64,
        /// Learning rate of this step.
        lr: f64,
        /// Training records per second in this epoch.
        records_per_s: f64,
        /// Estimated time until the end of the run.
        remaining: Duration,
    },
    /// Validation begins, or some of its windows are done: after the steps of each epoch, and at the end for the best
    /// weights. Also before [`Event::Start`] if a resumed run still has to write its best weights.
    Validated {
        /// Number of windows that are done; 0 at the beginning.
        done: usize,
        /// Number of windows of the validation records, at least 1.
        total: usize,
    },
    /// An epoch is done and, if there is a run folder, saved.
    Epoch {
        /// The epoch's line of `log.csv`.
        log: EpochLog,
        /// Whether this epoch is the best so far.
        best: bool,
        /// Estimated time until the end of the run.
        remaining: Duration,
    },
    /// Something that deserves attention, in words.
    Warning(Warning),
}

/// Conditions that deserve attention but do not stop a run.
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
    /// Some patients have both training and validation records, which makes validation look better than it is.
    SharedPatients {
        /// Number of such patients.
        patients: usize,
    },
    /// There are no validation records, so the last epoch counts as the best.
    NoValidation,
    /// `resume` was requested, but the folder has no checkpoint, so the run starts from the beginning.
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
                write!(
                    f,
                    "every training record has label {label}, so there are no negatives to learn from"
                )
            }
            Self::SharedPatients { patients } => {
                let who = if *patients == 1 { "patient has" } else { "patients have" };
                write!(
                    f,
                    "{patients} {who} records in both training and validation; the validation metrics \
                     are too optimistic for new patients"
                )
            }
            Self::NoValidation => {
                f.write_str("no validation records: the last epoch counts as the best")
            }
            Self::NoCheckpoint { run_dir } => write!(
                f,
                "no checkpoint to resume from in {}: starting from the beginning",
                run_dir.display()
            ),
        }
    }
}
