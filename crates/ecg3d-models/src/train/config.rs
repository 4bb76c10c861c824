use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Augment, Loss, Schedule, Thresholds};
use crate::{Architecture, ModelError, Precision, Preset, WindowPooling};

/// Which epoch counts as the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BestBy {
    /// The lowest loss on the validation records.
    Loss,
    /// The highest macro ROC-AUC on the validation records, over the labels for which it is defined.
    ///
    /// If a network becomes overconfident, its loss rises long before its ranking gets worse.
    Auroc,
}

/// How a network is trained.
///
/// ```
/// use ecg3d_models::TrainConfig;
///
/// let config = TrainConfig::corrected().with_epochs(12).with_seed(7);
/// assert_eq!((config.epochs, config.batch), (12, 32));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainConfig {
    /// Number of passes over the training records. Default: 100; corrected: 30.
    pub epochs: usize,
    /// Number of records in a step; the last step of an epoch takes the rest. Default: 32; [`TrainConfig::of`]
    /// 3DECG-Net, corrected: 8.
    pub batch: usize,
    /// Base learning rate. Default: 1e-3; [`TrainConfig::of`] 3DECG-Net, corrected: 3e-4.
    pub lr: f64,
    /// How the learning rate changes during training. Default: [`Schedule::Decay`] with 100 epochs per decade;
    /// corrected: one epoch of warm-up, then a cosine down to a hundredth; [`TrainConfig::of`] 3DECG-Net, corrected: a
    /// fifth of an epoch of warm-up.
    pub schedule: Schedule,
    /// Decoupled weight decay of [`super::KerasAdam`]. Default: 0; corrected: 0.01.
    pub weight_decay: f64,
    /// Share of each batch in the running statistics of the normalisations, see
    /// [`crate::Network::set_statistics_rate`], and of the heads that [`TrainConfig::hold_heads`] holds.
    ///
    /// At 0 these statistics stay as they are at the start; held heads are then never settled. Default: 0.01, Keras's;
    /// corrected: 0.1, which keeps up in runs of a few hundred steps.
    pub statistics_rate: f64,
    /// Limit for the joint norm of the gradients. Default: none; corrected: 1.
    pub clip_norm: Option<f64>,
    /// The loss to minimise. Default: [`Loss::Bce`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub loss: Loss,
    /// Upper limit for the weight of a rare label's positives.
    ///
    /// The weight is sqrt(negatives / positives), from 1 to this limit. Default: none, all weights are 1; corrected: 3.
    pub positive_weight_limit: Option<f64>,
    /// Random changes to each record in each epoch. Default: none; corrected: see [`TrainConfig::corrected`].
    pub augment: Augment,
    /// Which epoch counts as the best. Default: [`BestBy::Loss`]; corrected: [`BestBy::Auroc`].
    pub best_by: BestBy,
    /// The thresholds in the card. Default: [`Thresholds::Half`]; corrected: [`Thresholds::Validation`].
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Share of the learning rate for all layers before the first attention head or dense layer, from 0 to 1.
    ///
    /// At 0 these layers are frozen during the run: they stay as they are, except for the running statistics of
    /// normalisations, and their gradients are neither computed nor part of [`TrainConfig::clip_norm`]. Above 0, weight
    /// decay uses the whole rate. Default: 1.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub body_rate: f64,
    /// Whether [`Network::fit_start`](crate::Network::fit_start) runs before the first step, with up to 32 training
    /// records.
    ///
    /// Parameters that are not [fresh](crate::Network::is_fresh) would lose what they have learned, so they are refused
    /// ([`ModelError::NotFresh`]); use [`TrainConfig::with_start`] for them. Default: no; [`TrainConfig::of`]
    /// 3DECG-Net, corrected: yes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fit_start: bool,
    /// Whether the keys, queries and values in the attention heads of the corrected 3DECG-Net are normalised in
    /// training.
    ///
    /// They are normalised by the batch's own mean and standard deviation, to the standard deviation that they had at
    /// the start and a mean that is learned. After each step, a running mean and standard deviation, in which a batch
    /// has the share [`TrainConfig::statistics_rate`], are folded into the heads' kernels and biases. Nothing else
    /// normalises the input of the heads: when the convolutions move, all of it moves with them, and the units of the
    /// dense layers die. Default: no; [`TrainConfig::of`] 3DECG-Net, corrected: yes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hold_heads: bool,
    /// Whether the learning rate of each kernel depends on the kernel's size before the first step, see
    /// [`super::KerasAdam::scale_rates_by_size`].
    ///
    /// A step of Adam is equally large for every value. At a rate that suits the small values of a dense layer with a
    /// thousand inputs, the heads, with 32 inputs, hardly change. With rates by size, a step changes about the same
    /// share of each. Default: no; [`TrainConfig::of`] 3DECG-Net, corrected: yes. Similar to Shazeer and Stern,
    /// "Adafactor", ICML 2018, and You et al., "Large batch optimization", ICLR 2020, which use the size at each step.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rates_by_size: bool,
    /// Where parameters that are not fresh come from, in words that identify them exactly, for instance a file's
    /// SHA-256.
    ///
    /// This is recorded in the card, and a resumed run has to start from the same. Default: none; then parameters that
    /// are not [fresh](crate::Network::is_fresh) are refused ([`ModelError::NotFresh`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Number of windows of each validation record by which an epoch is judged, spread evenly. At the end, the best
    /// epoch's weights are judged by all windows. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_windows: Option<usize>,
    /// How the logits of a validation record's windows become those of the record. The card of the result says so, and
    /// its model predicts in the same way. A resumed run must have the same. Default: [`WindowPooling::Mean`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub window_pooling: WindowPooling,
    /// Ends the run after this many epochs, at least one, without a better one.
    ///
    /// Without validation records, each epoch counts as better than the last, so this never ends the run. Default:
    /// never.
    pub patience: Option<usize>,
    /// Number type of the arithmetic; parameters and moments are always `f32`. Default: [`Precision::F32`].
    #[serde(default)]
    pub precision: Precision,
    /// Seed of the order of records, the windows, the augmentation and dropout. Default: 0.
    pub seed: u64,
    /// Folder for weights, log and checkpoint; without it, nothing is written. Default: none.
    #[serde(skip)]
    pub run_dir: Option<PathBuf>,
    /// Whether to resume the run in `run_dir` instead of refusing a folder that holds a run; needs `run_dir`.
    /// Default: false.
    #[serde(skip)]
    pub resume: bool,
}

/// The value for recipes that were written before this setting existed.
fn whole() -> f64 {
    1.0
}

fn is_whole(rate: &f64) -> bool {
    *rate == whole()
}

impl TrainConfig {
    /// Returns the study's recipe: Adam at 1e-3, falling to a tenth over 100 epochs, batches of 32, plain
    /// cross-entropy. For a network, use [`TrainConfig::of`].
    pub fn published() -> Self {
        Self {
            epochs: 100,
            batch: 32,
            lr: 1e-3,
            schedule: Schedule::Decay { epochs_per_decade: 100.0 },
            weight_decay: 0.0,
            statistics_rate: 0.01,
            clip_norm: None,
            loss: Loss::Bce,
            positive_weight_limit: None,
            augment: Augment::NONE,
            best_by: BestBy::Loss,
            thresholds: Thresholds::Half,
            body_rate: 1.0,
            fit_start: false,
            hold_heads: false,
            rates_by_size: false,
            start: None,
            validation_windows: None,
            window_pooling: WindowPooling::Mean,
            patience: None,
            precision: Precision::F32,
            seed: 0,
            run_dir: None,
            resume: false,
        }
    }

    /// Returns a recipe for a few hundred to a few thousand records. For a network, use [`TrainConfig::of`].
    ///
    /// It has decoupled weight decay, warm-up and cosine, clipped gradients, larger weights for rare labels,
    /// augmentation (scale .15, noise .05, wander .1, each lead but one dropped with probability .05), and thresholds
    /// from the validation records.
    ///
    /// With any recipe, the window of each record is drawn anew in each epoch if the preprocessing gives more than one.
    pub fn corrected() -> Self {
        Self {
            epochs: 30,
            schedule: Schedule::WarmupCosine { warmup_epochs: 1.0, floor: 0.01 },
            weight_decay: 0.01,
            statistics_rate: 0.1,
            clip_norm: Some(1.0),
            positive_weight_limit: Some(3.0),
            augment: Augment { scale: 0.15, noise: 0.05, wander: 0.1, lead_dropout: 0.05 },
            best_by: BestBy::Auroc,
            thresholds: Thresholds::Validation,
            ..Self::published()
        }
    }

    /// Returns the recipe for a network, which is that of its preset except for the corrected 3DECG-Net.
    ///
    /// The corrected 3DECG-Net takes more and smaller steps (batches of 8, a rate of 3e-4 that depends on each kernel's
    /// size, warm-up for a fifth of an epoch). Its parameters are fitted to data before the first step, and its heads
    /// are held.
    pub fn of(architecture: Architecture, preset: Preset) -> Self {
        match (architecture, preset) {
            (Architecture::ThreeDEcgNet, Preset::Corrected) => Self {
                batch: 8,
                lr: 3e-4,
                fit_start: true,
                hold_heads: true,
                rates_by_size: true,
                schedule: Schedule::WarmupCosine { warmup_epochs: 0.2, floor: 0.01 },
                ..Self::corrected()
            },
            _ => Self::preset(preset),
        }
    }

    /// Returns the recipe of a preset. For a network, use [`TrainConfig::of`].
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Published => Self::published(),
            Preset::Corrected => Self::corrected(),
        }
    }

    /// Checks that all settings are in range, and that a run to be resumed has a folder.
    ///
    /// [`train`](super::train()) checks this too, but with this function a program can find out before it loads any
    /// data.
    ///
    /// # Errors
    /// The first setting that is out of range, with what was expected, or [`TrainConfig::resume`] without
    /// [`TrainConfig::run_dir`].
    pub fn check(&self) -> Result<(), ModelError> {
        let positive = |what, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(ModelError::Setting { what, expected: "a positive number", found: value })
            }
        };
        positive("epochs", self.epochs as f64)?;
        positive("batch", self.batch as f64)?;
        positive("lr", self.lr)?;
        let not_negative = |what, value: f64| {
            if value.is_finite() && value >= 0.0 {
                Ok(())
            } else {
                let expected = "zero or a positive number";
                Err(ModelError::Setting { what, expected, found: value })
            }
        };
        let share = |what, value: f64| {
            if (0.0..=1.0).contains(&value) {
                Ok(())
            } else {
                Err(ModelError::Setting { what, expected: "from 0 to 1", found: value })
            }
        };
        share("statistics_rate", self.statistics_rate)?;
        not_negative("weight_decay", self.weight_decay)?;
        match self.schedule {
            Schedule::Decay { epochs_per_decade } => {
                positive("epochs_per_decade", epochs_per_decade)?;
            }
            Schedule::WarmupCosine { warmup_epochs, floor } => {
                not_negative("warmup_epochs", warmup_epochs)?;
                share("floor", floor)?;
            }
            _ => {}
        }
        if let Some(limit) = self.clip_norm {
            positive("clip_norm", limit)?;
        }
        share("body_rate", self.body_rate)?;
        self.loss.check()?;
        if let Some(limit) = self.positive_weight_limit
            && !(limit.is_finite() && limit >= 1.0)
        {
            let (what, expected) = ("positive_weight_limit", "1 or more");
            return Err(ModelError::Setting { what, expected, found: limit });
        }
        if let Some(windows) = self.validation_windows {
            positive("validation_windows", windows as f64)?;
        }
        if let Some(epochs) = self.patience {
            positive("patience", epochs as f64)?;
        }
        let Augment { scale, noise, wander, lead_dropout } = self.augment;
        for (what, value) in [("scale", scale), ("noise", noise), ("wander", wander)] {
            not_negative(what, value)?;
        }
        share("lead_dropout", lead_dropout)?;
        if self.resume && self.run_dir.is_none() {
            return Err(ModelError::ResumeWithoutFolder);
        }
        Ok(())
    }

    /// Sets [`TrainConfig::epochs`].
    #[must_use]
    pub fn with_epochs(self, epochs: usize) -> Self {
        Self { epochs, ..self }
    }

    /// Sets [`TrainConfig::batch`].
    #[must_use]
    pub fn with_batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// Sets [`TrainConfig::lr`].
    #[must_use]
    pub fn with_lr(self, lr: f64) -> Self {
        Self { lr, ..self }
    }

    /// Sets [`TrainConfig::schedule`].
    #[must_use]
    pub fn with_schedule(self, schedule: Schedule) -> Self {
        Self { schedule, ..self }
    }

    /// Sets [`TrainConfig::weight_decay`].
    #[must_use]
    pub fn with_weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// Sets [`TrainConfig::statistics_rate`].
    #[must_use]
    pub fn with_statistics_rate(self, statistics_rate: f64) -> Self {
        Self { statistics_rate, ..self }
    }

    /// Sets [`TrainConfig::clip_norm`].
    #[must_use]
    pub fn with_clip_norm(self, clip_norm: impl Into<Option<f64>>) -> Self {
        Self { clip_norm: clip_norm.into(), ..self }
    }

    /// Sets [`TrainConfig::loss`].
    #[must_use]
    pub fn with_loss(self, loss: Loss) -> Self {
        Self { loss, ..self }
    }

    /// Sets [`TrainConfig::positive_weight_limit`].
    #[must_use]
    pub fn with_positive_weight_limit(self, positive_weight_limit: impl Into<Option<f64>>) -> Self {
        Self { positive_weight_limit: positive_weight_limit.into(), ..self }
    }

    /// Sets [`TrainConfig::augment`].
    #[must_use]
    pub fn with_augment(self, augment: Augment) -> Self {
        Self { augment, ..self }
    }

    /// Sets [`TrainConfig::best_by`].
    #[must_use]
    pub fn with_best_by(self, best_by: BestBy) -> Self {
        Self { best_by, ..self }
    }

    /// Sets [`TrainConfig::thresholds`].
    #[must_use]
    pub fn with_thresholds(self, thresholds: Thresholds) -> Self {
        Self { thresholds, ..self }
    }

    /// Sets [`TrainConfig::body_rate`].
    #[must_use]
    pub fn with_body_rate(self, body_rate: f64) -> Self {
        Self { body_rate, ..self }
    }

    /// Sets [`TrainConfig::fit_start`].
    #[must_use]
    pub fn with_fit_start(self, fit_start: bool) -> Self {
        Self { fit_start, ..self }
    }

    /// Sets [`TrainConfig::hold_heads`].
    #[must_use]
    pub fn with_hold_heads(self, hold_heads: bool) -> Self {
        Self { hold_heads, ..self }
    }

    /// Sets [`TrainConfig::rates_by_size`].
    #[must_use]
    pub fn with_rates_by_size(self, rates_by_size: bool) -> Self {
        Self { rates_by_size, ..self }
    }

    /// Starts from parameters that were trained before: sets [`TrainConfig::start`] and turns
    /// [`TrainConfig::fit_start`] off.
    ///
    /// If heads are held or rates depend on size, both start from the trained parameters.
    #[must_use]
    pub fn with_start(self, start: impl Into<String>) -> Self {
        Self { start: Some(start.into()), fit_start: false, ..self }
    }

    /// Sets [`TrainConfig::validation_windows`].
    #[must_use]
    pub fn with_validation_windows(self, validation_windows: impl Into<Option<usize>>) -> Self {
        Self { validation_windows: validation_windows.into(), ..self }
    }

    /// Sets [`TrainConfig::window_pooling`].
    #[must_use]
    pub fn with_window_pooling(self, window_pooling: WindowPooling) -> Self {
        Self { window_pooling, ..self }
    }

    /// Sets [`TrainConfig::patience`].
    #[must_use]
    pub fn with_patience(self, patience: impl Into<Option<usize>>) -> Self {
        Self { patience: patience.into(), ..self }
    }

    /// Sets [`TrainConfig::precision`].
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Sets [`TrainConfig::seed`].
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets [`TrainConfig::run_dir`].
    #[must_use]
    pub fn with_run_dir(self, run_dir: impl Into<PathBuf>) -> Self {
        Self { run_dir: Some(run_dir.into()), ..self }
    }

    /// Sets [`TrainConfig::resume`].
    #[must_use]
    pub fn with_resume(self, resume: bool) -> Self {
        Self { resume, ..self }
    }
}

/// Returns whether a value is the default, which is left out of files, so that checkpoints from before the setting
/// existed can still be resumed.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Returns [`TrainConfig::published`].
impl Default for TrainConfig {
    fn default() -> Self {
        Self::published()
    }
}
