use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ndarray::{Array2, ArrayView1, Axis};
use tch::{Device, Kind, Tensor};

use super::feed::{Feed, Occurrence};
use super::loss::{f1, positive_weights, roc_auc};
use super::random::{Purpose, Stream};
use super::{
    EpochLog, Event, KerasAdam, Observer, Thresholds, TrainConfig, TrainData, validation_thresholds,
};
use crate::error::Doing;
use crate::inputs::Window;
use crate::pooling::Pooled;
use crate::{ModelError, Network};

/// Runs epochs.
pub(crate) struct Engine<'a> {
    pub(crate) network: &'a mut Network,
    pub(crate) adam: KerasAdam,
    pub(crate) feed: Feed<'a>,
    pub(crate) data: &'a TrainData,
    pub(crate) train_rows: &'a [usize],
    pub(crate) val_rows: &'a [usize],
    pub(crate) config: &'a TrainConfig,
    /// Weight of each label's positives.
    pub(crate) label_weights: Option<Tensor>,
    /// Logits `[row, label]` of the validation records under the present weights.
    pub(crate) val_logits: Array2<f64>,
}

/// Number of records to which fresh parameters are fitted.
const START_BATCH: usize = 32;

impl Engine<'_> {
    /// Returns the number of steps in an epoch.
    pub(crate) fn batches(&self) -> usize {
        self.train_rows.len().div_ceil(self.config.batch)
    }

    /// Trains for one epoch (from 0) and validates; returns `None` if the observer ended it.
    pub(crate) fn epoch(
        &mut self,
        epoch: usize,
        clock: &mut Clock,
        observer: &mut Observer<'_>,
    ) -> Result<Option<EpochLog>, ModelError> {
        let began = Instant::now();
        let (config, batches) = (self.config, self.batches());
        tch::manual_seed(Stream::new(config.seed, Purpose::Torch, epoch, 0).bits() as i64);
        let mut order = self.train_rows.to_vec();
        Stream::new(config.seed, Purpose::Order, epoch, 0).shuffle(&mut order);
        let order = self.feed.occurrences(&order);
        let (mut sum, mut seen, mut lr) = (0.0, 0, 0.0);
        for (batch, rows) in order.chunks(config.batch).enumerate() {
            lr = config.lr * config.schedule.factor(epoch, batch, config.epochs, batches);
            let loss = self.step(rows, epoch, lr)?;
            if !loss.is_finite() {
                let (epoch, batch) = (epoch + 1, batch + 1);
                return Err(ModelError::NotFinite { epoch, batch, loss, kept: None });
            }
            sum += loss * rows.len() as f64;
            seen += rows.len();
            clock.step();
            let told = observer(&Event::Batch {
                epoch: epoch + 1,
                batch: batch + 1,
                batches,
                loss,
                lr,
                records_per_s: seen as f64 / began.elapsed().as_secs_f64(),
                remaining: clock.remaining(),
            });
            if told.is_break() {
                return Ok(None);
            }
        }
        let Some(logits) = self.logits(config.validation_windows, observer)? else {
            return Ok(None);
        };
        let finite = tch::no_grad(|| self.weights_are_finite()).doing("check the parameters")?;
        let looked_at = [
            ("weights", finite),
            ("logits of validation records", logits.iter().all(|logit| logit.is_finite())),
        ];
        if let Some((what, _)) = looked_at.into_iter().find(|(_, finite)| !finite) {
            return Err(ModelError::NetworkNotFinite { what, epoch: epoch + 1, kept: None });
        }
        let score = self.score(&logits);
        self.val_logits = logits;
        Ok(Some(EpochLog {
            epoch: epoch + 1,
            lr,
            train_loss: sum / seen as f64,
            val_loss: score.map(|score| score.loss),
            val_f1: score.map(|score| score.f1),
            val_auroc: score.and_then(|score| score.auroc),
            seconds: began.elapsed().as_secs_f64(),
        }))
    }

    /// Fits fresh parameters to some of the training records, holds the heads and scales the rates, as the recipe
    /// demands.
    pub(crate) fn begin(&mut self) -> Result<(), ModelError> {
        let wants_fresh = self.config.fit_start || self.config.start.is_none();
        if wants_fresh && !self.network.is_fresh() {
            return Err(ModelError::NotFresh);
        }
        if self.config.fit_start || self.config.hold_heads {
            self.fit_to_records()?;
        }
        if self.config.rates_by_size {
            self.adam.scale_rates_by_size()?;
        }
        Ok(())
    }

    fn fit_to_records(&mut self) -> Result<(), ModelError> {
        let mut rows = self.train_rows.to_vec();
        Stream::new(self.config.seed, Purpose::Start, 0, 0).shuffle(&mut rows);
        rows.truncate(START_BATCH);
        let x = self.feed.drawn(&self.feed.occurrences(&rows), 0)?;
        let logits = self.config.fit_start.then(|| self.constant_logits());
        self.network.begin(&x, logits.as_deref(), self.config.hold_heads)
    }

    /// Returns the logits that, used for all records, minimise the weighted cross-entropy on the training records.
    ///
    /// This is independent of the recipe's loss. For each label, half a record that has it and half a record that has
    /// not are added.
    fn constant_logits(&self) -> Vec<f64> {
        let (records, rows) = (self.train_rows.len() as f64, self.train_rows);
        let limit = self.config.positive_weight_limit.unwrap_or(1.0);
        let weights = positive_weights(self.data.labels.view(), rows, limit);
        self.positives(rows)
            .into_iter()
            .zip(weights)
            .map(|(count, weight)| {
                let count = count as f64;
                (weight * (count + 0.5) / (records - count + 0.5)).ln()
            })
            .collect()
    }

    /// Returns whether all parameters are finite after the last step; the loss of the next step would show this too
    /// late.
    fn weights_are_finite(&self) -> Result<bool, tch::TchError> {
        for (_, tensor) in self.network.tensors() {
            if !tensor.f_detach()?.f_abs()?.f_max()?.f_double_value(&[])?.is_finite() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes one step on some records and returns the loss; takes no step if the loss is not finite (the running
    /// statistics have moved by then).
    fn step(&mut self, rows: &[Occurrence], epoch: usize, lr: f64) -> Result<f64, ModelError> {
        let x = self.feed.drawn(rows, epoch)?;
        let targets = self.feed.targets(rows, self.network.kind())?;
        let targets = targets.f_to_device(self.network.device()).doing("move the labels")?;
        let forward = self.network.forward_train(&x)?;
        let weights = self.label_weights.as_ref();
        let loss = self.config.loss.of_logits(forward.logits(), &targets, weights)?;
        self.adam.zero_grad();
        forward.backward(&loss)?;
        // The loss is read only now, because a GPU need not wait for the next operation until then.
        let value = loss.f_double_value(&[]).doing("read the loss")?;
        if value.is_finite() {
            if let Some(limit) = self.config.clip_norm {
                self.adam.clip_norm(limit)?;
            }
            self.adam.step(lr)?;
            self.network.settle_heads()?;
        }
        Ok(value)
    }

    /// Returns the logits `[row, label]` of the validation records without training: those of all windows of each
    /// record, or at most `limit`, pooled as the recipe says. Returns `None` if the observer ended it.
    fn logits(
        &self,
        limit: Option<usize>,
        observer: &mut Observer<'_>,
    ) -> Result<Option<Array2<f64>>, ModelError> {
        let (rows, limit) = (self.val_rows, limit.unwrap_or(usize::MAX));
        let n_labels = self.network.n_labels();
        let mut pooled = Pooled::new(self.config.window_pooling, rows.len(), n_labels);
        let windows: Vec<(usize, Window)> = rows
            .iter()
            .enumerate()
            .flat_map(|(k, &row)| {
                let windows = self.feed.windows_of(row, limit);
                windows.into_iter().map(move |window| (k, window))
            })
            .collect();
        let (mut done, total) = (0, windows.len());
        if total > 0 && observer(&Event::Validated { done, total }).is_break() {
            return Ok(None);
        }
        for chunk in windows.chunks(self.network.windows_at_a_time()) {
            let inputs: Vec<Window> = chunk.iter().map(|&(_, window)| window).collect();
            let x = self.feed.plain(&inputs)?;
            let logits = tch::no_grad(|| self.network.forward_logits(&x, false))?;
            let values = logits
                .f_to_device(Device::Cpu)
                .and_then(|logits| logits.f_to_kind(Kind::Double)?.f_reshape([-1]))
                .and_then(Vec::<f64>::try_from)
                .doing("read the logits")?;
            for (&(k, _), values) in chunk.iter().zip(values.chunks_exact(n_labels)) {
                pooled.add(k, ArrayView1::from(values));
            }
            done += chunk.len();
            if observer(&Event::Validated { done, total }).is_break() && done < total {
                return Ok(None);
            }
        }
        Ok(Some(pooled.logits()))
    }

    /// Evaluates the validation records, at most `windows` of each, after the weights were changed from outside. The
    /// result is needed even if the observer ends the run.
    pub(crate) fn validate(
        &mut self,
        windows: Option<usize>,
        observer: &mut Observer<'_>,
    ) -> Result<(), ModelError> {
        let to_the_end: &mut Observer<'_> = &mut |event| {
            let _ = observer(event);
            ControlFlow::Continue(())
        };
        if let Some(logits) = self.logits(windows, to_the_end)? {
            self.val_logits = logits;
        }
        Ok(())
    }

    /// Returns the probabilities `[row, label]` of the validation records under the present weights.
    pub(crate) fn val_probabilities(&self) -> Array2<f64> {
        self.val_logits.mapv(|x| 1.0 / (1.0 + (-x).exp()))
    }

    /// Returns the score of the present weights on the validation records, as last evaluated.
    pub(crate) fn val_score(&self) -> Option<Score> {
        self.score(&self.val_logits)
    }

    /// Returns the mean over the labels of F1 of the present weights on the validation records at some thresholds, as
    /// last evaluated.
    pub(crate) fn val_f1(&self, thresholds: &[f64]) -> f64 {
        let truth = self.data.labels.select(Axis(0), self.val_rows);
        let probabilities = self.val_probabilities();
        let columns = truth.axis_iter(Axis(1)).zip(probabilities.axis_iter(Axis(1)));
        let f1s = columns.zip(thresholds).map(|((truth, p), &threshold)| f1(truth, p, threshold));
        f1s.sum::<f64>() / truth.ncols() as f64
    }

    /// Returns the thresholds of the present weights, if the recipe takes them from validation records and there are
    /// any.
    pub(crate) fn thresholds(&self) -> Result<Option<Vec<f64>>, ModelError> {
        match self.config.thresholds {
            Thresholds::Validation if !self.val_rows.is_empty() => {
                let truth = self.data.labels.select(Axis(0), self.val_rows);
                validation_thresholds(truth.view(), self.val_probabilities().view()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Counts how many of some records have each label.
    pub(crate) fn positives(&self, rows: &[usize]) -> Vec<usize> {
        let columns = self.data.labels.axis_iter(Axis(1));
        columns.map(|column| rows.iter().filter(|&&row| column[row]).count()).collect()
    }

    /// Scores logits `[row, label]` of the validation records; returns `None` if there are no such records.
    fn score(&self, logits: &Array2<f64>) -> Option<Score> {
        if self.val_rows.is_empty() {
            return None;
        }
        let truth = self.data.labels.select(Axis(0), self.val_rows);
        let loss = truth
            .iter()
            .zip(logits)
            .map(|(&z, &x)| x.max(0.0) - if z { x } else { 0.0 } + (-x.abs()).exp().ln_1p())
            .sum::<f64>()
            / logits.len() as f64;
        let columns = || truth.axis_iter(Axis(1)).zip(logits.axis_iter(Axis(1)));
        // A logit of 0 is a probability of one half.
        let f1s: f64 = columns().map(|(truth, logits)| f1(truth, logits, 0.0)).sum();
        let aurocs: Vec<f64> =
            columns().filter_map(|(truth, logits)| roc_auc(truth, logits)).collect();
        let auroc = aurocs.iter().sum::<f64>() / aurocs.len() as f64;
        Some(Score {
            loss,
            f1: f1s / truth.ncols() as f64,
            auroc: (!aurocs.is_empty()).then_some(auroc),
        })
    }
}

/// The metrics of one validation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Score {
    pub loss: f64,
    /// At a threshold of one half for every label.
    pub f1: f64,
    pub auroc: Option<f64>,
}

/// Estimates the remaining time from the steps done since the start.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    done: usize,
    left: usize,
}

impl Clock {
    pub(crate) fn start(steps: usize) -> Self {
        Self { began: Instant::now(), done: 0, left: steps }
    }

    fn step(&mut self) {
        self.done += 1;
        self.left = self.left.saturating_sub(1);
    }

    pub(crate) fn remaining(&self) -> Duration {
        let seconds =
            self.began.elapsed().as_secs_f64() * self.left as f64 / self.done.max(1) as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}
