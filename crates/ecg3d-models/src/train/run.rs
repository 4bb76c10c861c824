use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use tch::{Kind, Tensor};

use super::checkpoint::{self, RunDir};
use super::engine::{Clock, Engine, Score};
use super::feed::Feed;
use super::loss::positive_weights;
use super::{BestBy, EpochLog, Event, KerasAdam, Observer, TrainConfig, TrainData, Warning};
use crate::error::Doing;
use crate::weights::{check_pair, load, write_weights};
use crate::{ModelCard, ModelError, Network};

/// What a training run came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The card of the best weights: the one given, with the training and its validation figures.
    pub card: ModelCard,
    /// Every epoch done, in order.
    pub history: Vec<EpochLog>,
    /// The epoch whose weights are the best, from 1.
    pub best_epoch: usize,
    /// Probabilities `[record, label]` of the validation records, by the best weights, in the order of the rows given.
    pub validation: Array2<f64>,
    /// Whether [`TrainConfig::patience`] or the observer ended the run.
    pub stopped_early: bool,
}

/// Trains a network on rows of `data`, and chooses its best epoch on others.
///
/// At the end the network holds the best weights, after an error those of the epochs that were done, if any were; it stays in the
/// recipe's precision and at its rate of the running statistics. Where [`TrainConfig::run_dir`] is given, each epoch leaves there,
/// every file whole or not at all: `best.safetensors` and `last.safetensors` with their cards, `log.csv`, `model.json`
/// (the card of the best weights, to read) and `checkpoint.safetensors`, from which [`TrainConfig::resume`] goes on.
///
/// The observer hears of each step, and ends the run with [`ControlFlow::Break`], after which it hears no more: with the epochs that were
/// done, by an earlier part of the run too, as if there were to be no more; [`TrainConfig::resume`] goes on from them. An epoch that was
/// not done to its end is lost.
///
/// A record with several windows is learned from through one that is drawn anew in each epoch, and validated by the mean
/// of the logits over all of them. Everything random is drawn from the seed, the epoch and the record, so that a run gives
/// the same weights every time, bit for bit on the CPU with a fixed number of threads, and a run that was killed and
/// resumed gives those of one that was not. Dropout draws from libtorch's one generator: a second training in the same
/// process at the same time would disturb it.
///
/// # Errors
/// No training record; an observer that ends the run before an epoch is done ([`ModelError::Stopped`]); a network that is not `f32`; data
/// whose parts do not fit together, the network or the card; values that are not finite, or too large to make volumes of where the network
/// reads those ([`ModelError::NoVolumes`]); a loss, or a network, that is not finite ([`ModelError::NotFinite`],
/// [`ModelError::NetworkNotFinite`]), with all earlier epochs kept; a run folder with another run, one that another training is at work in
/// ([`ModelError::RunInUse`]), one that can't be written, or whose checkpoint is of another run; a failure of libtorch.
pub fn train(
    network: &mut Network,
    card: &ModelCard,
    data: &TrainData,
    train_rows: &[usize],
    val_rows: &[usize],
    config: &TrainConfig,
    observer: &mut Observer<'_>,
) -> Result<Outcome, ModelError> {
    config.check()?;
    check_pair(network, card)?;
    if network.kind() != Kind::Float {
        return Err(ModelError::TrainKind { found: format!("{:?}", network.kind()) });
    }
    if train_rows.is_empty() {
        return Err(ModelError::NothingToTrainOn { records: data.len() });
    }
    let rows = train_rows.iter().chain(val_rows).copied();
    data.check(card, rows)?;
    let input = network.architecture().input();
    let feed = Feed::new(input, &card.preprocessing, data, config, network.device())?;
    // Who has ended the run hears no more of it, and stays with that.
    let mut told = ControlFlow::Continue(());
    let observer: &mut Observer<'_> = &mut |event| {
        if told.is_continue() {
            told = observer(event);
        }
        told
    };
    for warning in warnings(card, data, train_rows, val_rows) {
        let _ = observer(&Event::Warning(warning));
    }
    network.set_statistics_rate(config.statistics_rate);
    network.set_precision(config.precision);
    // The observer of an earlier training may have panicked in between.
    network.release_heads();
    let named = network.trainable().map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
    let mut behind_body = false;
    let adam = KerasAdam::new(named, config.weight_decay)?.with_rates(|name| {
        behind_body |= is_head(name);
        if behind_body { 1.0 } else { config.body_rate }
    });
    let label_weights = match config.positive_weight_limit {
        Some(limit) => Some(label_weights(network, data, train_rows, limit)?),
        None => None,
    };
    let val_logits = Array2::zeros((val_rows.len(), network.n_labels()));
    let mut engine = Engine {
        network,
        adam,
        feed,
        data,
        train_rows,
        val_rows,
        config,
        label_weights,
        val_logits,
    };
    let mut run = Run {
        identity: serde_json::json!({
            "architecture": card.architecture,
            "mode": card.mode,
            "labels": card.labels,
            "preprocessing": card.preprocessing_hash,
            "windows": {
                "which": card.preprocessing.windows,
                "hop_s": card.preprocessing.hop_s,
                "max_seconds": card.preprocessing.max_seconds,
            },
            "data": data.hash(train_rows, val_rows),
        }),
        card,
        dir: None,
        history: Vec::new(),
        best: None,
    };
    let ran = run.epochs(&mut engine, observer);
    engine.network.release_heads();
    if let Some(best) = &run.best {
        checkpoint::assign(engine.network, best)?;
    }
    ran?;
    engine.validate(None)?;
    let best_epoch = best_epoch(&run.history, config.best_by);
    // Again, since a resumed run may ask for other thresholds than the part that wrote these weights.
    let card = run.write_best(&engine, best_epoch)?;
    Ok(Outcome {
        card,
        best_epoch,
        validation: engine.val_probabilities(),
        stopped_early: run.history.len() < config.epochs,
        history: run.history,
    })
}

/// What a run has to show so far, and where it is kept.
struct Run<'a> {
    /// The card that the weights start from.
    card: &'a ModelCard,
    /// What a checkpoint must agree with.
    identity: serde_json::Value,
    dir: Option<RunDir>,
    history: Vec<EpochLog>,
    /// Values of the best epoch's network.
    best: Option<Vec<Tensor>>,
}

impl Run<'_> {
    /// Takes the folder, and does the epochs that are left.
    fn epochs(
        &mut self,
        engine: &mut Engine<'_>,
        observer: &mut Observer<'_>,
    ) -> Result<(), ModelError> {
        let config = engine.config;
        if let Some(path) = &config.run_dir {
            self.open(path, engine, observer)?;
        }
        let (done, batches) = (self.history.len(), engine.batches());
        if done == 0 {
            engine.begin()?;
        }
        let mut told = observer(&Event::Start {
            epochs: config.epochs,
            done,
            batches,
            train: engine.train_rows.len(),
            val: engine.val_rows.len(),
        });
        let mut clock = Clock::start(config.epochs.saturating_sub(done).saturating_mul(batches));
        let more = |run: &Self| run.history.len() < config.epochs && !run.out_of_patience(config);
        while told.is_continue() && more(self) {
            let log = engine
                .epoch(self.history.len(), &mut clock, observer)
                .map_err(|error| self.name_what_is_kept(error))?;
            let Some(log) = log else { break };
            let best = self.keep(log, engine)?;
            told = observer(&Event::Epoch { log, best, remaining: clock.remaining() });
        }
        if self.history.is_empty() { Err(ModelError::Stopped) } else { Ok(()) }
    }

    /// Takes a folder, and what an earlier part of the run left in it.
    fn open(
        &mut self,
        path: &Path,
        engine: &mut Engine<'_>,
        observer: &mut Observer<'_>,
    ) -> Result<(), ModelError> {
        let (dir, found) = RunDir::open(path, engine.config.resume)?;
        if found {
            self.history = checkpoint::load(
                &dir.checkpoint(),
                engine.network,
                &mut engine.adam,
                engine.config,
                &self.identity,
            )?;
            let (last, best) =
                (self.history.len(), best_epoch(&self.history, engine.config.best_by));
            dir.write_log(&self.history)?;
            let found = load(&dir.best(), engine.network.device());
            self.dir = Some(dir);
            let is_of = |card: &ModelCard| {
                card.training.as_ref().is_some_and(|training| training["epoch"] == best)
            };
            if best == last && !found.as_ref().is_ok_and(|(_, card)| is_of(card)) {
                // The run ended before the last epoch's weights became the best.
                engine.validate(engine.config.validation_windows)?;
                self.write_best(engine, last)?;
                self.best = Some(checkpoint::values_of(engine.network)?);
            } else {
                self.best = Some(checkpoint::values_of(&found?.0)?);
            }
            return Ok(());
        }
        if engine.config.resume {
            let _ = observer(&Event::Warning(Warning::NoCheckpoint { run_dir: path.to_owned() }));
        }
        self.dir = Some(dir);
        Ok(())
    }

    /// Takes up one more epoch, saves it, and says whether it is the best so far.
    ///
    /// The best weights come after the checkpoint, so that they are never of an epoch that the history does not have; killed in
    /// between, a resumed run writes them first.
    fn keep(&mut self, log: EpochLog, engine: &Engine<'_>) -> Result<bool, ModelError> {
        self.history.push(log);
        let epoch = self.history.len();
        let is_best = best_epoch(&self.history, engine.config.best_by) == epoch;
        if is_best {
            self.best = Some(checkpoint::values_of(engine.network)?);
        }
        if let Some(dir) = &self.dir {
            write_weights(engine.network, &self.describe(engine, epoch)?, &dir.last())?;
            checkpoint::save(
                &dir.checkpoint(),
                engine.network,
                &engine.adam,
                engine.config,
                &self.identity,
                &self.history,
            )?;
            dir.write_log(&self.history)?;
        }
        if is_best {
            self.write_best(engine, epoch)?;
        }
        Ok(is_best)
    }

    /// Writes the present weights, those of an epoch, as the best, and returns their card.
    fn write_best(&self, engine: &Engine<'_>, epoch: usize) -> Result<ModelCard, ModelError> {
        let card = self.describe(engine, epoch)?;
        if let Some(dir) = &self.dir {
            checkpoint::replace_best(dir.path(), engine.network, &card)?;
        }
        Ok(card)
    }

    /// The card of the present weights, those of an epoch.
    fn describe(&self, engine: &Engine<'_>, epoch: usize) -> Result<ModelCard, ModelError> {
        let mut card = self.card.clone();
        // Those of other weights decide nothing here.
        card.thresholds = None;
        if let Some(thresholds) = engine.thresholds()? {
            card = card.with_thresholds(&thresholds)?;
        }
        card.training = Some(serde_json::json!({
            "recipe": engine.config,
            "epoch": epoch,
            "train_records": engine.train_rows.len(),
            "validation_records": engine.val_rows.len(),
            "train_positives": engine.positives(engine.train_rows),
            "validation_positives": engine.positives(engine.val_rows),
            "data_sha256": self.identity["data"],
        }));
        // By as many windows as the thresholds.
        card.metrics = engine.val_score().map(|Score { loss, f1, auroc }| {
            serde_json::json!({
                "validation": { "loss": loss, "macro_f1": f1, "macro_roc_auc": auroc }
            })
        });
        Ok(card)
    }

    fn out_of_patience(&self, config: &TrainConfig) -> bool {
        config.patience.is_some_and(|patience| {
            self.history.len() - best_epoch(&self.history, config.best_by) >= patience.max(1)
        })
    }

    /// The folder that keeps the epochs done, if there are any.
    fn kept(&self) -> Option<PathBuf> {
        let dir = self.dir.as_ref().filter(|_| !self.history.is_empty());
        dir.map(|dir| dir.path().to_owned())
    }

    fn name_what_is_kept(&self, error: ModelError) -> ModelError {
        match error {
            ModelError::NotFinite { epoch, batch, loss, .. } => {
                ModelError::NotFinite { epoch, batch, loss, kept: self.kept() }
            }
            ModelError::NetworkNotFinite { what, epoch, .. } => {
                ModelError::NetworkNotFinite { what, epoch, kept: self.kept() }
            }
            other => other,
        }
    }
}

/// Patients who are in both lists of rows.
fn shared_patients(patients: &[String], a: &[usize], b: &[usize]) -> usize {
    let of = |rows: &[usize]| -> BTreeSet<&str> {
        rows.iter().map(|&row| patients[row].as_str()).collect()
    };
    of(a).intersection(&of(b)).count()
}

/// The best epoch, from 1, the earliest of equals; the last without validation; 0 before the first.
fn best_epoch(history: &[EpochLog], by: BestBy) -> usize {
    let score = |log: &EpochLog| {
        let loss = log.val_loss.map_or(log.epoch as f64, |loss| -loss);
        match by {
            BestBy::Loss => (0.0, loss),
            BestBy::Auroc => (log.val_auroc.unwrap_or(0.0), loss),
        }
    };
    let mut best: Option<&EpochLog> = None;
    for log in history {
        if best.is_none_or(|best| score(log) > score(best)) {
            best = Some(log);
        }
    }
    best.map_or(0, |log| log.epoch)
}

/// Whether a parameter belongs to an attention head or a dense layer at a network's end.
fn is_head(name: &str) -> bool {
    name.starts_with("head_") || name.starts_with("dense")
}

fn label_weights(
    network: &Network,
    data: &TrainData,
    rows: &[usize],
    limit: f64,
) -> Result<Tensor, ModelError> {
    Tensor::f_from_slice(&positive_weights(data.labels.view(), rows, limit))
        .and_then(|weights| weights.f_to_kind(network.kind())?.f_to_device(network.device()))
        .doing("make the label weights' tensor")
}

/// What deserves a look before a run begins.
fn warnings(card: &ModelCard, data: &TrainData, train: &[usize], val: &[usize]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (label, column) in card.labels.iter().zip(data.labels.columns()) {
        let label = label.to_owned();
        match train.iter().filter(|&&row| column[row] != 0).count() {
            0 => warnings.push(Warning::NeverPositive { label }),
            all if all == train.len() => warnings.push(Warning::AlwaysPositive { label }),
            _ => {}
        }
    }
    if val.is_empty() {
        warnings.push(Warning::NoValidation);
    }
    match shared_patients(&data.patients, train, val) {
        0 => {}
        patients => warnings.push(Warning::SharedPatients { patients }),
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(epoch: usize, val_loss: Option<f64>, val_auroc: Option<f64>) -> EpochLog {
        let (lr, train_loss, seconds) = (1e-3, 0.5, 1.0);
        EpochLog { epoch, lr, train_loss, val_loss, val_f1: None, val_auroc, seconds }
    }

    #[test]
    fn the_best_epoch_is_the_earliest_of_equals() {
        let history = [
            log(1, Some(0.5), Some(0.8)),
            log(2, Some(0.4), Some(0.7)),
            log(3, Some(0.4), Some(0.8)),
            log(4, Some(0.6), None),
        ];
        assert_eq!(best_epoch(&history, BestBy::Loss), 2);
        // Equal by the area: the loss decides.
        assert_eq!(best_epoch(&history, BestBy::Auroc), 3);
        let blind = [log(1, None, None), log(2, None, None)];
        assert_eq!(best_epoch(&blind, BestBy::Loss), 2);
        assert_eq!(best_epoch(&blind, BestBy::Auroc), 2);
        assert_eq!(best_epoch(&[], BestBy::Loss), 0);
    }
}
