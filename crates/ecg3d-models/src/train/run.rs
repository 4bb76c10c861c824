use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use tch::{Kind, Tensor};

use super::checkpoint::{self, RunDir};
use super::data::row_facts;
use super::engine::{Clock, Engine, Score};
use super::feed::Feed;
use super::loss::positive_weights;
use super::{BestBy, EpochLog, Event, KerasAdam, Observer, TrainConfig, TrainData, Warning};
use crate::card::SOFTWARE;
use crate::error::Doing;
use crate::weights::{check_pair, load, write_weights};
use crate::{ModelCard, ModelError, Network};

/// The result of a training run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The card of the best weights: the given card, with the training and its validation metrics added.
    pub card: ModelCard,
    /// All finished epochs, in order.
    pub history: Vec<EpochLog>,
    /// The epoch with the best weights, from 1.
    pub best_epoch: usize,
    /// Probabilities `[record, label]` of the validation records under the best weights, in the order of the given
    /// rows.
    pub validation: Array2<f64>,
    /// Whether [`TrainConfig::patience`] or the observer ended the run.
    pub stopped_early: bool,
}

/// Trains a network on some rows of `data`, and chooses the best epoch on others.
///
/// At the end, the network holds the best weights. After an error, it holds the best weights of the finished epochs, if
/// there were any. It keeps the recipe's precision and rate of the running statistics.
///
/// If [`TrainConfig::run_dir`] is set, each epoch writes these files to it, each of them completely or not at all:
///
/// - `best.safetensors` and `last.safetensors` with their cards,
/// - `log.csv`,
/// - `model.json` (the readable card of the best weights), and
/// - `checkpoint.safetensors`, from which [`TrainConfig::resume`] continues.
///
/// The observer receives an event for each step and each batch of validation windows. It can end the run with
/// [`ControlFlow::Break`], after which it receives no more events. The run then ends with the finished epochs,
/// including those of an earlier part of the run, as if no more had been planned; [`TrainConfig::resume`] continues
/// after them. An unfinished epoch, or one whose validation is unfinished, is lost. The best weights are always
/// evaluated to the end.
///
/// For a record with several windows, training draws one window in each epoch, and validation pools the logits of all
/// windows (in an epoch, at most [`TrainConfig::validation_windows`]) as [`TrainConfig::window_pooling`] says, whatever
/// the given card says. Everything random is drawn from the seed, the epoch and the record; a training row that is
/// given several times is drawn anew each time. A run therefore gives the same weights every time, bit for bit on the
/// CPU with a fixed number of threads, and a run that was killed and resumed gives the same as one that was not.
/// Dropout uses libtorch's only generator, so a second training run in the same process at the same time would disturb
/// it.
///
/// The card that describes the result keeps the origin of the given one. If that is the card of weights to start from,
/// give it an origin of its own first, by [`ModelCard::with_origin`].
///
/// ```
/// use std::ops::ControlFlow;
///
/// use ecg3d_models::ecg_core::{LabelSet, Predict};
/// use ecg3d_models::ndarray::{Array2, Array3};
/// use ecg3d_models::{Architecture, Model, ModelCard, Network, Preset, TrainConfig, TrainData, tch, train};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Ten prepared signals [record, lead, sample] of 2 s at 50 Hz, in mV, each of another patient.
/// // Odd records have a higher frequency and the label AF.
/// let labels = LabelSet::new(["AF"])?;
/// let names: Vec<String> = (0..10).map(|record| format!("record{record}")).collect();
/// let data = TrainData {
///     prepared: Array3::from_shape_fn((10, 12, 100), |(record, lead, t)| {
///         ((0.1 + 0.1 * (record % 2) as f32) * t as f32 + lead as f32).sin()
///     }),
///     lengths: vec![100; 10],
///     labels: Array2::from_shape_fn((10, 1), |(record, _)| record % 2 == 1),
///     label_set: labels.clone(),
///     patients: names.clone(),
///     names,
/// };
/// let (architecture, mode) = (Architecture::Ribeiro, Preset::Corrected);
/// let mut network = Network::new(architecture, mode, labels.len(), tch::Device::Cpu, 1)?;
/// let card = ModelCard::new(architecture, mode, labels, architecture.preprocessing(mode));
/// let card = card.with_origin("ten sines");
///
/// // In memory; with `run_dir`, each epoch is saved.
/// let recipe = TrainConfig::of(architecture, mode).with_epochs(2);
/// let (learnt, held_back) = ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9]);
/// let outcome = train(&mut network, &card, &data, &learnt, &held_back, &recipe, &mut |_| {
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!((outcome.history.len(), outcome.validation.dim()), (2, (2, 1)));
///
/// // The card contains the thresholds and metrics; `save` writes weights and card.
/// let model = Model::new(network, outcome.card)?;
/// assert_eq!(model.predict_proba(data.prepared.view())?.dim(), (10, 1));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// - There is no training record.
/// - A setting is out of range, or a run without a folder was to be resumed (see [`TrainConfig::check`]).
/// - The observer ended the run before an epoch was finished ([`ModelError::Stopped`]).
/// - The network is not `f32`, or was loaded or trained before although the recipe fits fresh parameters or does not
///   say what the parameters are ([`TrainConfig::with_start`]; [`ModelError::NotFresh`]).
/// - The parts of the data do not fit together, the network or the card, or the labels of the data are not those of the
///   card, in the same order ([`ModelError::TrainLabels`]).
/// - Values are not finite, or too large to make volumes of if the network reads those ([`ModelError::NoVolumes`]).
/// - The loss or the network is not finite ([`ModelError::NotFinite`], [`ModelError::NetworkNotFinite`]); all earlier
///   epochs are kept.
/// - The run folder holds another run, another training run is at work in it ([`ModelError::RunInUse`]), it can't be
///   written, or its checkpoint is of another run.
/// - libtorch fails.
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
    // An observer that has ended the run receives no more events, and its decision stands.
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
    // The observer of an earlier training run may have panicked in between.
    network.release_heads();
    let _frozen = (config.body_rate == 0.0).then(|| Frozen::new(body(network))).transpose()?;
    let mut behind_body = false;
    let adam = KerasAdam::of(network, config.weight_decay)?.with_rates(|name| {
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
            "train_rows": row_facts(train_rows),
            "validation_rows": row_facts(val_rows),
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
    engine.validate(None, observer)?;
    let best_epoch = best_epoch(&run.history, config.best_by);
    // Once more, because a resumed run may use other thresholds than the part that wrote these weights.
    let card = run.write_best(&engine, best_epoch)?;
    Ok(Outcome {
        card,
        best_epoch,
        validation: engine.val_probabilities(),
        stopped_early: run.history.len() < config.epochs,
        history: run.history,
    })
}

/// The results of a run so far, and the place where they are kept.
struct Run<'a> {
    /// The card with which the run starts.
    card: &'a ModelCard,
    /// What a checkpoint must agree with.
    identity: serde_json::Value,
    dir: Option<RunDir>,
    history: Vec<EpochLog>,
    /// The values of the best epoch's network.
    best: Option<Vec<Tensor>>,
}

impl Run<'_> {
    /// Opens the run folder, if there is one, and runs the remaining epochs.
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
        engine.network.set_used();
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

    /// Opens a folder, and restores what an earlier part of the run left in it.
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
            let path = dir.best();
            let found = load(&path, engine.network.device());
            self.dir = Some(dir);
            let found = match found {
                Ok((network, card)) => self.check_best(&path, &card, best).map(|()| network),
                Err(error) => Err(error),
            };
            self.best = Some(match found {
                Ok(network) => checkpoint::values_of(&network)?,
                // The process ended before it saved the last epoch's weights as the best.
                Err(_) if best == last => {
                    engine.validate(engine.config.validation_windows, observer)?;
                    self.write_best(engine, last)?;
                    checkpoint::values_of(engine.network)?
                }
                Err(error) => return Err(error),
            });
            return Ok(());
        }
        if engine.config.resume {
            let _ = observer(&Event::Warning(Warning::NoCheckpoint { run_dir: path.to_owned() }));
        }
        self.dir = Some(dir);
        Ok(())
    }

    /// Checks that the best weights in a folder are those of this run's best epoch.
    fn check_best(&self, path: &Path, card: &ModelCard, epoch: usize) -> Result<(), ModelError> {
        let network =
            |card: &ModelCard| format!("{} ({}), {}", card.architecture, card.mode, card.labels);
        let hash = &self.identity["data"];
        let facts = [
            ("network", network(card), network(self.card)),
            ("data_sha256", checkpoint::told(card, "data_sha256"), hash.to_string()),
            ("epoch", checkpoint::told(card, "epoch"), epoch.to_string()),
        ];
        checkpoint::check_facts(path, "the run's best epoch", facts)
    }

    /// Adds an epoch, saves it, and returns whether it is the best so far.
    ///
    /// The best weights are written after the checkpoint, so that they never belong to an epoch missing from the
    /// history. If the process is killed in between, the resumed run writes them first.
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

    /// Writes the present weights, which are those of `epoch`, as the best, and returns their card.
    fn write_best(&self, engine: &Engine<'_>, epoch: usize) -> Result<ModelCard, ModelError> {
        let card = self.describe(engine, epoch)?;
        if let Some(dir) = &self.dir {
            dir.write_best(engine.network, &card)?;
        }
        Ok(card)
    }

    /// Returns the card of the present weights, which are those of `epoch`.
    fn describe(&self, engine: &Engine<'_>, epoch: usize) -> Result<ModelCard, ModelError> {
        let mut card = self.card.clone();
        SOFTWARE.clone_into(&mut card.software);
        card.window_pooling = engine.config.window_pooling;
        // The thresholds of other weights do not apply here.
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
        // From as many windows as the thresholds.
        card.metrics = engine.val_score().map(|Score { loss, auroc, .. }| {
            let f1 = engine.val_f1(&card.threshold_values());
            let mut metrics = serde_json::json!({
                "validation": { "loss": loss, "macro_f1": f1, "macro_roc_auc": auroc }
            });
            if card.thresholds.is_some() {
                metrics["validation"]["chosen_on_these"] = "the thresholds".into();
            }
            metrics
        });
        Ok(card)
    }

    fn out_of_patience(&self, config: &TrainConfig) -> bool {
        config.patience.is_some_and(|patience| {
            self.history.len() - best_epoch(&self.history, config.best_by) >= patience
        })
    }

    /// Returns the folder that keeps the finished epochs, if there are any.
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

/// Counts the patients with records in both lists of rows.
fn shared_patients(patients: &[String], a: &[usize], b: &[usize]) -> usize {
    let of = |rows: &[usize]| -> BTreeSet<&str> {
        rows.iter().map(|&row| patients[row].as_str()).collect()
    };
    of(a).intersection(&of(b)).count()
}

/// Returns the best epoch, from 1: the earliest among equals, the last without validation, 0 before the first.
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

/// Parameters that are frozen until this value is dropped, whatever ends the run.
struct Frozen(Vec<Tensor>);

impl Frozen {
    fn new(parameters: Vec<Tensor>) -> Result<Self, ModelError> {
        let frozen = Self(parameters);
        for parameter in &frozen.0 {
            let _ = parameter.f_set_requires_grad(false).doing("freeze a parameter")?;
        }
        Ok(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for parameter in &self.0 {
            // There is nobody to tell, and libtorch refuses this only for results of operations.
            let _ = parameter.f_set_requires_grad(true);
        }
    }
}

/// Returns the parameters before the first attention head or dense layer, except those that are frozen.
fn body(network: &Network) -> Vec<Tensor> {
    let body = network.trainable().take_while(|(name, _)| !is_head(name));
    let learns = body.filter(|(_, parameter)| parameter.requires_grad());
    learns.map(|(_, parameter)| parameter.shallow_clone()).collect()
}

/// Returns whether a parameter belongs to an attention head or to a dense layer at the end of a network.
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
        .doing("create the tensor of label weights")
}

/// Returns what deserves attention before a run begins.
fn warnings(card: &ModelCard, data: &TrainData, train: &[usize], val: &[usize]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (label, column) in card.labels.iter().zip(data.labels.columns()) {
        let label = label.to_owned();
        match train.iter().filter(|&&row| column[row]).count() {
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
    use ecg_core::LabelSet;
    use ndarray::Array3;
    use tch::Device;

    use super::*;
    use crate::{Architecture, Preset};

    #[test]
    fn the_f1_in_a_card_is_that_of_its_thresholds() {
        let (architecture, mode) = (Architecture::Ribeiro, Preset::Corrected);
        let labels = LabelSet::new(["AF"]).expect("a label");
        let names: Vec<String> = (0..40).map(|row| row.to_string()).collect();
        let data = TrainData {
            prepared: Array3::zeros((40, 12, 100)),
            lengths: vec![100; 40],
            labels: Array2::from_shape_fn((40, 1), |(row, _)| row < 20),
            label_set: labels.clone(),
            patients: names.clone(),
            names,
        };
        let card = ModelCard::new(architecture, mode, labels, architecture.preprocessing(mode));
        let mut network = Network::new(architecture, mode, 1, Device::Cpu, 1).expect("builds");
        let config = TrainConfig::corrected();
        let input = architecture.input();
        let feed = Feed::new(input, &card.preprocessing, &data, &config, Device::Cpu);
        let rows: Vec<usize> = (0..40).collect();
        let engine = Engine {
            network: &mut network,
            adam: KerasAdam::new([], 0.0).expect("moments"),
            feed: feed.expect("a feed"),
            data: &data,
            train_rows: &[0],
            val_rows: &rows,
            config: &config,
            label_weights: None,
            // All probabilities are below one half, and those of the positives the largest.
            val_logits: data.labels.mapv(|on| if on { -1.0 } else { -2.0 }),
        };
        let identity = serde_json::json!({ "data": "" });
        let run = Run { card: &card, identity, dir: None, history: Vec::new(), best: None };
        let described = run.describe(&engine, 1).expect("describes");
        assert!(described.threshold_values()[0] < 0.3);
        let metrics = described.metrics.expect("metrics");
        assert_eq!(metrics["validation"]["macro_f1"], 1.0);
        assert_eq!(engine.val_score().expect("a score").f1, 0.0);
    }

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
        // The area is equal, so the loss decides.
        assert_eq!(best_epoch(&history, BestBy::Auroc), 3);
        let blind = [log(1, None, None), log(2, None, None)];
        assert_eq!(best_epoch(&blind, BestBy::Loss), 2);
        assert_eq!(best_epoch(&blind, BestBy::Auroc), 2);
        assert_eq!(best_epoch(&[], BestBy::Loss), 0);
    }
}
