use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{EpochLog, KerasAdam, TrainConfig};
use crate::error::Doing;
use crate::files::{read, remove_unfinished, write_atomic};
use crate::weights::{load as load_weights, serialize, values_as_bytes, write_card, write_weights};
use crate::{ModelCard, ModelError, Network};

/// Version of the checkpoint's layout.
const FORMAT: u32 = 1;
/// Name of the file of the best weights.
const BEST: &str = "best.safetensors";
/// Name of the file with their card.
const CARD: &str = "model.json";
/// Name of the tensor with the state of held heads, see [`Network::held_heads`].
const HELD: &str = "held";
/// Name of the tensor with the parameters' shares of the learning rate.
const RATES: &str = "rates";
/// Key of the state in the file's header.
const KEY: &str = "training";

/// What a run needs, besides its tensors, to go on. Everything else is drawn from the seed and the epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    format: u32,
    /// Number of steps that the optimizer took.
    steps: u64,
    /// The recipe, for comparison.
    config: serde_json::Value,
    /// Architecture, mode, labels, preprocessing, rows and SHA-256 of the data, for comparison.
    run: serde_json::Value,
    /// The finished epochs.
    pub(crate) history: Vec<EpochLog>,
}

/// The folder of a run and the names in it. It is locked during the lifetime of this value.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Takes a folder for a run, creating it if necessary. Returns whether it has a checkpoint to go on from.
    pub(crate) fn open(path: &Path, resume: bool) -> Result<(Self, bool), ModelError> {
        std::fs::create_dir_all(path).map_err(|source| ModelError::Io {
            path: path.to_owned(),
            doing: "create",
            source,
        })?;
        let dir = Self { path: path.to_owned(), _lock: lock(path)? };
        // Only now, because before the folder was locked, another training run could have started or resumed a run in
        // it.
        let goes_on = check_run_dir(path, resume)?;
        for file in [dir.best(), dir.last(), dir.card(), dir.checkpoint(), dir.log()] {
            remove_unfinished(&file);
        }
        Ok((dir, goes_on))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn best(&self) -> PathBuf {
        self.path.join(BEST)
    }

    pub(crate) fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    /// The readable card of the best weights.
    pub(crate) fn card(&self) -> PathBuf {
        self.path.join(CARD)
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint.safetensors")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log.csv")
    }

    /// Writes the best weights and, beside them, their card.
    pub(crate) fn write_best(&self, network: &Network, card: &ModelCard) -> Result<(), ModelError> {
        write_weights(network, card, &self.best())?;
        write_card(card, &self.card())
    }

    /// Rewrites `log.csv` from all epochs, so that it agrees with the checkpoint whatever happened before.
    pub(crate) fn write_log(&self, history: &[EpochLog]) -> Result<(), ModelError> {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let mut text =
            String::from("epoch,lr,train_loss,val_loss,val_macro_f1,val_macro_auroc,seconds\n");
        for log in history {
            text += &format!(
                "{},{},{},{},{},{},{:.3}\n",
                log.epoch,
                log.lr,
                log.train_loss,
                number(log.val_loss),
                number(log.val_f1),
                number(log.val_auroc),
                log.seconds
            );
        }
        write_atomic(&self.log(), text.as_bytes())
    }
}

/// Locks a run's folder.
///
/// The system releases the lock when the file is closed, so a killed run leaves no lock. The file stays.
fn lock(dir: &Path) -> Result<File, ModelError> {
    let path = dir.join("run.lock");
    let failed = |doing, source| ModelError::Io { path: path.clone(), doing, source };
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| failed("create", source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ModelError::RunInUse { path: dir.to_owned() }),
        // Some network file systems have no locks. It is better to train without one than not at all.
        Err(TryLockError::Error(error)) if has_no_locks(&error) => Ok(file),
        Err(TryLockError::Error(source)) => Err(failed("lock", source)),
    }
}

/// Returns whether an error says that a file system has no locks, or can't provide one.
///
/// `ENOLCK` is what NFS reports without its lock service.
fn has_no_locks(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ENOLCK) {
        return true;
    }
    error.kind() == ErrorKind::Unsupported
}

/// Rewrites the best weights of a run with another card, for instance one with more metrics.
///
/// # Errors
/// - A training run is at work in the folder ([`ModelError::RunInUse`]).
/// - The best weights there can't be read.
/// - They are of another epoch or other data than the card says, because the run went on.
/// - The errors of [`save`](crate::save()).
pub fn replace_best(
    run_dir: impl AsRef<Path>,
    network: &Network,
    card: &ModelCard,
) -> Result<(), ModelError> {
    let run_dir = run_dir.as_ref();
    let dir = RunDir { path: run_dir.to_owned(), _lock: lock(run_dir)? };
    let (_, present) = load_weights(&dir.best(), Device::Cpu)?;
    let facts = ["data_sha256", "epoch"].map(|what| (what, told(&present, what), told(card, what)));
    check_facts(&dir.best(), "the card", facts)?;
    dir.write_best(network, card)
}

/// Refuses a file of best weights if a fact about it, `(what, found, expected)`, is not that of `whose`.
pub(crate) fn check_facts(
    path: &Path,
    whose: &str,
    facts: impl IntoIterator<Item = (&'static str, String, String)>,
) -> Result<(), ModelError> {
    match facts.into_iter().find(|(_, found, expected)| found != expected) {
        Some((what, found, expected)) => Err(ModelError::Checkpoint {
            path: path.to_owned(),
            reason: format!("its {what} is {found}, expected {expected} (from {whose})"),
        }),
        None => Ok(()),
    }
}

/// Returns what a card says about its training under a key.
pub(crate) fn told(card: &ModelCard, key: &str) -> String {
    card.training.as_ref().map_or(String::new(), |training| training[key].to_string())
}

/// Checks that a folder is free for a run or, with `resume`, that its run can go on.
///
/// Returns whether there is a checkpoint to go on from. [`train`](super::train) checks this too, but with this function
/// a program can find out before it loads any data.
///
/// # Errors
/// - Without `resume`, the folder already holds a run.
/// - With `resume`, the checkpoint of the run is missing, unless the run was killed in its first epoch.
/// - The folder has a `model.json` that does not belong to a run.
pub fn check_run_dir(path: impl AsRef<Path>, resume: bool) -> Result<bool, ModelError> {
    const FILES: [&str; 4] = ["checkpoint.safetensors", "last.safetensors", "log.csv", BEST];
    let path = path.as_ref();
    match FILES.into_iter().find(|name| path.join(name).exists()) {
        None if path.join(CARD).exists() => Err(ModelError::NotOfARun { path: path.join(CARD) }),
        None => Ok(false),
        Some(found) if !resume => Err(ModelError::RunExists { path: path.to_owned(), found }),
        Some("checkpoint.safetensors") => Ok(true),
        // The run was killed in its first epoch, before the checkpoint: nothing is lost by starting over.
        Some(last @ "last.safetensors")
            if !path.join("log.csv").exists()
                && !path.join(BEST).exists()
                && is_of_first_epoch(&path.join(last)) =>
        {
            Ok(false)
        }
        Some(_) => Err(ModelError::NoCheckpoint { path: path.join(FILES[0]) }),
    }
}

/// Returns whether a file holds the weights of a first epoch; a file that can't be read does not.
fn is_of_first_epoch(path: &Path) -> bool {
    load_weights(path, Device::Cpu).is_ok_and(|(_, card)| told(&card, "epoch") == "1")
}

/// Returns the recipe for comparison: without the settings that may change between the parts of a run.
fn comparable(config: &TrainConfig) -> serde_json::Value {
    let mut value = serde_json::to_value(config).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        for name in ["patience", "thresholds", "validation_windows"] {
            fields.remove(name);
        }
        if !config.schedule.depends_on_epochs() {
            fields.remove("epochs");
        }
    }
    value
}

/// Saves the whole state of a run after the epochs in `history`.
pub(crate) fn save(
    path: &Path,
    network: &Network,
    adam: &KerasAdam,
    config: &TrainConfig,
    run: &serde_json::Value,
    history: &[EpochLog],
) -> Result<(), ModelError> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut add = |name: String, tensor: &Tensor| {
        let shape = tensor.size().into_iter().map(|n| n as usize).collect();
        values_as_bytes(tensor).map(|bytes| tensors.push((name, shape, bytes)))
    };
    for (name, tensor) in network.tensors() {
        add(format!("network/{name}"), tensor)?;
    }
    if let Some(held) = network.held_heads()? {
        add(HELD.to_owned(), &held)?;
    }
    if config.rates_by_size {
        let rates: Vec<f32> = adam.rates().into_iter().map(|rate| rate as f32).collect();
        add(RATES.to_owned(), &Tensor::f_from_slice(&rates).doing("create a tensor")?)?;
    }
    for (name, first, second) in adam.moments() {
        add(format!("m/{name}"), first)?;
        add(format!("v/{name}"), second)?;
    }
    let state = State {
        format: FORMAT,
        steps: adam.steps(),
        config: comparable(config),
        run: run.clone(),
        history: history.to_vec(),
    };
    let wrong = |reason: String| ModelError::Checkpoint { path: path.to_owned(), reason };
    let header = serde_json::to_string(&state).map_err(|error| wrong(error.to_string()))?;
    let bytes = serialize(&tensors, KEY, header).map_err(|error| wrong(error.to_string()))?;
    write_atomic(path, &bytes)
}

/// Restores the state saved by [`save`], and returns the finished epochs.
pub(crate) fn load(
    path: &Path,
    network: &mut Network,
    adam: &mut KerasAdam,
    config: &TrainConfig,
    run: &serde_json::Value,
) -> Result<Vec<EpochLog>, ModelError> {
    let file = TensorFile::read(path)?;
    let state: State =
        serde_json::from_str(&file.header(KEY)?).map_err(|error| file.wrong(error))?;
    if state.format != FORMAT {
        return Err(file.wrong(format!("its format is {}, expected {FORMAT}", state.format)));
    }
    let run = as_known_to(&state.run, run);
    for (now, then) in [(&comparable(config), &state.config), (&run, &state.run)] {
        if let Some((what, now, then)) = difference(now, then) {
            return Err(ModelError::ResumeDiffers { path: path.to_owned(), what, then, now });
        }
    }
    let own = network.tensors();
    let values = own
        .map(|(name, own)| file.tensor(&format!("network/{name}"), &own.size(), own.device()))
        .collect::<Result<Vec<_>, _>>()?;
    let moments = adam
        .moments()
        .map(|(name, first, second)| {
            let read = |slot: &str, own: &Tensor| {
                file.tensor(&format!("{slot}/{name}"), &own.size(), own.device())
            };
            Ok((name.to_owned(), read("m", first)?, read("v", second)?))
        })
        .collect::<Result<Vec<_>, ModelError>>()?;
    adam.restore(state.steps, moments.iter().map(|(name, m, v)| (name.as_str(), m, v)))?;
    assign(network, &values)?;
    if config.rates_by_size {
        let mut rates = vec![0.0_f32; adam.rates().len()];
        let n = rates.len();
        let tensor = file.tensor(RATES, &[n as i64], Device::Cpu)?;
        tensor.f_copy_data(&mut rates, n).doing("read a checkpoint")?;
        let rates: Vec<f64> = rates.into_iter().map(f64::from).collect();
        adam.restore_rates(&rates).map_err(|error| file.wrong(error))?;
    }
    if let (true, Some(shape)) = (config.hold_heads, network.held_shape()) {
        network.restore_heads(&file.tensor(HELD, &shape, network.device())?)?;
    }
    Ok(state.history)
}

/// Returns the entries of a run that a checkpoint of it has; older ones do not have all.
fn as_known_to(then: &serde_json::Value, run: &serde_json::Value) -> serde_json::Value {
    let mut run = run.clone();
    for name in ["windows", "train_rows", "validation_rows"] {
        if let (Some(own), None) = (run.as_object_mut(), then.get(name)) {
            own.remove(name);
        }
    }
    run
}

/// Copies values into a network, in the network's order.
pub(crate) fn assign(network: &Network, values: &[Tensor]) -> Result<(), ModelError> {
    tch::no_grad(|| {
        network
            .tensors()
            .zip(values)
            .try_for_each(|((_, own), value)| own.shallow_clone().f_copy_(value))
    })
    .doing("copy the values of a network")
}

/// Returns copies of the values of a network, in the network's order.
pub(crate) fn values_of(network: &Network) -> Result<Vec<Tensor>, ModelError> {
    network
        .tensors()
        .map(|(_, own)| {
            let own = own.f_detach()?;
            let mut copy = own.f_empty_like()?;
            copy.f_copy_(&own)?;
            Ok(copy)
        })
        .collect::<Result<_, tch::TchError>>()
        .doing("copy the values of a network")
}

/// A file of named tensors in memory.
struct TensorFile<'a> {
    path: &'a Path,
    bytes: Vec<u8>,
}

impl<'a> TensorFile<'a> {
    fn read(path: &'a Path) -> Result<Self, ModelError> {
        Ok(Self { path, bytes: read(path)? })
    }

    fn wrong(&self, reason: impl ToString) -> ModelError {
        ModelError::Checkpoint { path: self.path.to_owned(), reason: reason.to_string() }
    }

    fn header(&self, key: &str) -> Result<String, ModelError> {
        let (_, metadata) =
            SafeTensors::read_metadata(&self.bytes).map_err(|error| self.wrong(error))?;
        let entries = metadata.metadata().as_ref();
        entries
            .and_then(|entries| entries.get(key).cloned())
            .ok_or_else(|| self.wrong(format_args!("its header has no entry {key:?}")))
    }

    /// Returns the tensor of a key on a device, and checks its shape.
    fn tensor(&self, key: &str, expected: &[i64], device: Device) -> Result<Tensor, ModelError> {
        let file = SafeTensors::deserialize(&self.bytes).map_err(|error| self.wrong(error))?;
        let view = file.tensor(key).map_err(|error| self.wrong(error))?;
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        if view.dtype() != Dtype::F32 || shape != expected {
            return Err(self.wrong(format_args!(
                "tensor {key} is {:?} of shape {shape:?}, expected F32 of shape {expected:?}",
                view.dtype(),
            )));
        }
        Tensor::f_from_data_size(view.data(), &shape, Kind::Float)
            .and_then(|tensor| tensor.f_to_device(device))
            .doing("read a checkpoint")
    }
}

/// Returns the first field that differs between two JSON objects, with both values; `data` is looked at last, because
/// it differs whenever the rows do.
fn difference(
    now: &serde_json::Value,
    then: &serde_json::Value,
) -> Option<(String, String, String)> {
    let (now, then) = (now.as_object()?, then.as_object()?);
    let shown = |value: Option<&serde_json::Value>| {
        // What has its default value may be left out.
        value.map_or_else(|| "the default".to_owned(), ToString::to_string)
    };
    let mut keys: Vec<&String> = now.keys().chain(then.keys()).collect();
    keys.sort_by_key(|key| *key == "data");
    keys.into_iter().find_map(|key| {
        let (a, b) = (now.get(key), then.get(key));
        (a.filter(|a| !a.is_null()) != b.filter(|b| !b.is_null()))
            .then(|| (key.clone(), shown(a), shown(b)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn other_rows_are_named_before_the_data_and_are_unknown_to_older_checkpoints() {
        let of = |rows: u32, data: &str| {
            let mut run = json!({ "data": data, "mode": "corrected", "windows": {} });
            run["train_rows"] = rows.into();
            run["validation_rows"] = 3.into();
            run
        };
        let what = |then: &serde_json::Value| {
            difference(&as_known_to(then, &of(1, "a")), then).map(|(what, _, _)| what)
        };
        assert_eq!(what(&of(1, "a")), None);
        assert_eq!(what(&of(2, "b")).as_deref(), Some("train_rows"));
        assert_eq!(what(&of(1, "b")).as_deref(), Some("data"));
        assert_eq!(what(&json!({ "data": "a", "mode": "corrected" })), None);
        let older = json!({ "data": "b", "mode": "corrected" });
        assert_eq!(what(&older).as_deref(), Some("data"));
    }
}
