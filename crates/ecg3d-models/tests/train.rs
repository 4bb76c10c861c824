//! Complete training runs on small, separable data.
//!
//! Dropout uses libtorch's only generator, so these tests take turns.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ecg_core::LabelSet;
use ecg3d_convert::{ShortRecords, Windows};
use ecg3d_models::{
    Architecture, Event, Loss, Model, ModelCard, ModelError, Network, Outcome, Preset, Thresholds,
    TrainConfig, TrainData, Warning, WindowPooling, replace_best, save, train,
    validation_thresholds,
};
use ndarray::{Array2, Array3};
use tch::{Device, Kind, Tensor};

/// The network with the fastest steps.
const SMALL: Architecture = Architecture::ResNet1d;

/// An observer that lets a run go on.
fn go_on(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // On such small batches, more threads would only wait for one another.
    tch::set_num_threads(1);
    turn
}

/// Sines at two frequencies, which determine the label. They are 16 tenths of a window long, and in every other record
/// the last two are padding.
fn data_of(architecture: Architecture, records: usize) -> TrainData {
    let tenth = card_of(architecture).preprocessing.window_samples() / 10;
    let label = |row: usize| (row * 7 / 3) % 2;
    let length = |row: usize| (16 - 2 * (row % 2)) * tenth;
    TrainData {
        prepared: Array3::from_shape_fn((records, 12, 16 * tenth), |(row, lead, t)| {
            let turns = if label(row) == 1 { 8.0 } else { 3.0 };
            let phase = row as f32 + 0.3 * lead as f32;
            let t = t as f32 / 16.0;
            if t * 16.0 < length(row) as f32 { (turns * t + phase).sin() } else { 0.0 }
        }),
        lengths: (0..records).map(length).collect(),
        labels: Array2::from_shape_fn((records, 2), |(row, column)| label(row) == column),
        label_set: card_of(architecture).labels,
        patients: (0..records).map(|row| row.to_string()).collect(),
        names: (0..records).map(|row| format!("r{row}")).collect(),
    }
}

fn data(records: usize) -> TrainData {
    data_of(SMALL, records)
}

fn card_of(architecture: Architecture) -> ModelCard {
    let labels = LabelSet::new(["slow", "fast"]).expect("two labels");
    let preprocessing = architecture.preprocessing(Preset::Corrected);
    let seconds = 1.6 * preprocessing.window_s;
    let preprocessing = preprocessing.with_windows(Windows::All).with_max_seconds(seconds);
    ModelCard::new(architecture, Preset::Corrected, labels, preprocessing)
}

fn network_of(architecture: Architecture, seed: u64) -> Network {
    Network::new(architecture, Preset::Corrected, 2, Device::Cpu, seed).expect("builds")
}

fn card() -> ModelCard {
    card_of(SMALL)
}

fn network() -> Network {
    network_of(SMALL, 1)
}

fn run(config: &TrainConfig, n_train: usize) -> Result<(Network, Outcome), ModelError> {
    let mut network = network();
    let outcome = run_on(&mut network, config, n_train, |_| {})?;
    Ok((network, outcome))
}

/// Trains a network on the first rows, and validates it on the last six of twenty.
fn run_on(
    network: &mut Network,
    config: &TrainConfig,
    n_train: usize,
    mut observer: impl FnMut(&Event),
) -> Result<Outcome, ModelError> {
    let train_rows: Vec<usize> = (0..n_train).collect();
    let val_rows: Vec<usize> = (14..20).collect();
    train(network, &card(), &data(20), &train_rows, &val_rows, config, &mut |event| {
        observer(event);
        ControlFlow::Continue(())
    })
}

fn config(epochs: usize) -> TrainConfig {
    TrainConfig::corrected().with_epochs(epochs).with_batch(6)
}

fn assert_same_bits(a: &Network, b: &Network) {
    for ((name, a), (_, b)) in a.tensors().zip(b.tensors()) {
        assert!(a.equal(b), "{name} differs");
    }
}

fn in_last(dir: &Path) -> Network {
    let model = Model::load(dir.join("last.safetensors"), Device::Cpu).expect("loads");
    model.into_parts().0
}

#[test]
fn the_loss_falls_and_equal_seeds_give_equal_bits() {
    let _turn = turn();
    let (a, outcome) = run(&config(4), 14).expect("trains");
    let losses: Vec<f64> = outcome.history.iter().map(|log| log.train_loss).collect();
    assert!(losses[3] < 0.7 * losses[0], "{losses:?}");
    assert_eq!(outcome.validation.dim(), (6, 2));
    let (b, _) = run(&config(4), 14).expect("trains");
    assert_same_bits(&a, &b);
    let (c, _) = run(&config(4).with_seed(1), 14).expect("trains");
    assert!(a.tensors().zip(c.tensors()).any(|((_, a), (_, c))| !a.equal(c)));
}

#[test]
fn a_run_that_was_cut_off_goes_on_to_the_same_bits() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let (whole, cut) = (dir.path().join("whole"), dir.path().join("cut"));
    let (best, outcome) = run(&config(3).with_run_dir(&whole), 14).expect("trains");
    // Interrupted in the second epoch: the observer panics between two steps, which has the effect of a kill.
    let broken = std::panic::catch_unwind(|| {
        run_on(&mut network(), &config(3).with_run_dir(&cut), 14, |event| {
            if let Event::Batch { epoch: 2, batch: 2, .. } = event {
                panic!("cut off");
            }
        })
    });
    assert!(broken.is_err());
    assert_eq!(std::fs::read_to_string(cut.join("log.csv")).expect("a log").lines().count(), 2);
    let again = config(3).with_run_dir(&cut);
    assert!(matches!(run(&again, 14), Err(ModelError::RunExists { .. })));
    let (resumed, _) = run(&again.with_resume(true), 14).expect("resumes");
    assert_same_bits(&best, &resumed);
    assert_same_bits(&in_last(&whole), &in_last(&cut));
    // Already finished: nothing is trained, and the best weights are returned.
    let (done, second) = run(&config(3).with_run_dir(&cut).with_resume(true), 14).expect("done");
    assert_same_bits(&best, &done);
    assert_eq!(second.best_epoch, outcome.best_epoch);
    assert_eq!(second.validation, outcome.validation);
    // With other data or another recipe, it is another run.
    let resume = |config: TrainConfig| config.with_run_dir(&cut).with_resume(true);
    let error = run(&resume(config(3)), 13).expect_err("other rows").to_string();
    assert!(error.contains("train_rows has changed from {\"count\":14,"), "{error}");
    let rows: [Vec<usize>; 2] = [(0..14).collect(), (14..20).collect()];
    let mut changed = data(20);
    changed.prepared[[3, 0, 0]] += 1.0;
    let again = resume(config(3));
    let error = train(&mut network(), &card(), &changed, &rows[0], &rows[1], &again, &mut go_on);
    let error = error.expect_err("other data").to_string();
    assert!(error.contains(": data has changed from "), "{error}");
    let error = run(&resume(config(3).with_lr(0.5)), 14).expect_err("other rate").to_string();
    assert!(error.contains("lr has changed from 0.001 to 0.5"), "{error}");
    let error = run(&resume(config(3).with_start("old weights")), 14).expect_err("other start");
    assert!(error.to_string().contains("start has changed from the default to "), "{error}");
    // The same goes for other windows, even if a network can mix them.
    let mut first = card();
    first.preprocessing = first.preprocessing.with_windows(Windows::First);
    let error = train(&mut network(), &first, &data(20), &rows[0], &rows[1], &again, &mut go_on);
    let error = error.expect_err("other windows").to_string();
    assert!(error.contains("windows has changed"), "{error}");
}

#[test]
fn a_run_that_the_observer_ends_has_the_epochs_done_and_goes_on() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let (whole, _) = run(&config(3), 14).expect("trains");
    let rows: [Vec<usize>; 2] = [(0..14).collect(), (14..20).collect()];
    let config = config(3).with_run_dir(dir.path()).with_resume(true);
    let ended_at = |last: fn(&Event) -> bool| {
        let mut network = network();
        let [learnt, judged] = &rows;
        let mut observer = |event: &Event| match last(event) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let outcome =
            train(&mut network, &card(), &data(20), learnt, judged, &config, &mut observer);
        outcome.map(|outcome| (network, outcome))
    };
    // Before an epoch is finished, there is nothing to return.
    for last in [(|event| matches!(event, Event::Start { .. })) as fn(&Event) -> bool, |event| {
        matches!(event, Event::Batch { batch: 2, .. })
    }] {
        assert!(matches!(ended_at(last), Err(ModelError::Stopped)));
    }
    let (network, outcome) =
        ended_at(|event| matches!(event, Event::Batch { epoch: 2, .. })).expect("one epoch");
    assert_eq!((outcome.history.len(), outcome.best_epoch), (1, 1));
    assert!(outcome.stopped_early);
    assert_same_bits(&network, &in_last(dir.path()));
    let (_, outcome) = ended_at(|event| matches!(event, Event::Epoch { .. })).expect("two epochs");
    assert_eq!(outcome.history.len(), 2);
    let (resumed, outcome) = ended_at(|_| false).expect("all");
    assert!(!outcome.stopped_early);
    assert_same_bits(&whole, &resumed);
}

#[test]
fn validation_reports_its_windows_and_a_run_that_ends_in_it_goes_on_to_the_same_bits() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let of = |name: &str| config(2).with_validation_windows(1).with_run_dir(dir.path().join(name));
    let log = |name: &str| {
        let text = std::fs::read_to_string(dir.path().join(name).join("log.csv")).expect("a log");
        let lines = text.lines().map(|line| line.rsplit_once(',').expect("seconds").0.to_owned());
        lines.collect::<Vec<_>>()
    };
    let mut told = Vec::new();
    let mut whole = network();
    run_on(&mut whole, &of("whole"), 14, |event| match event {
        Event::Validated { done, total } => told.push((*done, *total)),
        Event::Batch { .. } => told.push((0, 0)),
        Event::Epoch { .. } => told.push((1, 0)),
        _ => {}
    })
    .expect("trains");
    // A pass of less than a batch of windows has a beginning and an end. At the end, all windows are evaluated.
    let epoch = [(0, 0), (0, 0), (0, 0), (0, 6), (6, 6), (1, 0)];
    let all: usize = {
        let (data, card) = (data(20), card());
        (14..20).map(|row| card.preprocessing.window_starts(data.lengths[row]).len()).sum()
    };
    assert!(all > 6);
    assert_eq!(told, [&epoch[..], &epoch, &[(0, all), (all, all)]].concat());

    let rows: [Vec<usize>; 2] = [(0..14).collect(), (14..20).collect()];
    let ended_at = |name: &str, pass: usize, at_the_end: bool| {
        let (mut begun, mut ended, config) = (0, false, of(name).with_resume(true));
        let [learnt, judged] = &rows;
        let mut observer = |event: &Event| {
            assert!(!ended, "events behind the end");
            if let Event::Validated { done, total } = event {
                begun += usize::from(*done == 0);
                ended = begun == pass && (*done == *total) == at_the_end;
            }
            if ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut network = network();
        train(&mut network, &card(), &data(20), learnt, judged, &config, &mut observer)
            .map(|outcome| (network, outcome))
    };
    assert!(matches!(ended_at("none", 1, false), Err(ModelError::Stopped)));
    // An epoch whose validation was ended is lost, and one that was evaluated is kept.
    let (_, outcome) = ended_at("cut", 2, false).expect("one epoch");
    assert_eq!((outcome.history.len(), outcome.stopped_early), (1, true));
    let (_, outcome) = ended_at("kept", 1, true).expect("one epoch");
    assert_eq!((outcome.history.len(), outcome.stopped_early), (1, true));
    // The best weights are evaluated to the end.
    let (resumed, outcome) = ended_at("cut", 2, false).expect("both epochs");
    assert_eq!((outcome.history.len(), outcome.stopped_early), (2, false));
    assert_same_bits(&whole, &resumed);
    assert_eq!(log("cut"), log("whole"));
    let (again, second) = ended_at("cut", 0, false).expect("done already");
    assert_same_bits(&whole, &again);
    assert_eq!(second.validation, outcome.validation);
}

#[test]
fn a_run_that_a_warning_ends_has_the_epochs_done_before() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let config = config(3).with_run_dir(dir.path()).with_resume(true);
    let mut data = data(20);
    data.patients[0] = data.patients[14].clone();
    let rows: [Vec<usize>; 2] = [(0..14).collect(), (14..20).collect()];
    let ended_at = |last: fn(&Event) -> bool| {
        let mut after = 0;
        let mut ended = false;
        let mut observer = |event: &Event| {
            after += usize::from(ended);
            ended |= last(event);
            if ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let [learnt, judged] = &rows;
        let outcome = train(&mut network(), &card(), &data, learnt, judged, &config, &mut observer);
        assert_eq!(after, 0, "events behind the end");
        outcome
    };
    let warned = |event: &Event| matches!(event, Event::Warning(_));
    assert!(matches!(ended_at(warned), Err(ModelError::Stopped)), "nothing was done");
    let done = ended_at(|event| matches!(event, Event::Epoch { log, .. } if log.epoch == 2));
    let done = done.expect("two epochs");
    let outcome = ended_at(warned).expect("the epochs of before");
    assert_eq!((outcome.history, outcome.validation), (done.history, done.validation));
    assert!(outcome.stopped_early);
}

#[test]
fn a_folder_is_of_one_training_at_a_time() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let config = config(2).with_run_dir(dir.path()).with_resume(true);
    let mut network = network();
    let mut second = Vec::new();
    run_on(&mut network, &config, 14, |event| {
        // Once before the first checkpoint, and once after it.
        if let Event::Batch { batch: 1, .. } = event {
            second.push(run(&config, 14).expect_err("in use"));
        }
    })
    .expect("trains");
    assert_eq!(second.len(), 2);
    for error in second {
        assert!(matches!(&error, ModelError::RunInUse { path } if path == dir.path()), "{error}");
    }
    // The folder is free again, and the run is complete.
    let (resumed, _) = run(&config, 14).expect("done already");
    assert_same_bits(&network, &resumed);
}

#[test]
fn weights_without_a_checkpoint_are_no_run_to_begin_anew() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let config = config(1).with_run_dir(dir.path()).with_resume(true);
    run(&config, 14).expect("trains");
    let remove = |name: &str| std::fs::remove_file(dir.path().join(name)).expect("is there");
    let best = || std::fs::read(dir.path().join("best.safetensors")).expect("reads");
    let before = best();
    remove("checkpoint.safetensors");
    remove("log.csv");
    assert!(matches!(run(&config, 14), Err(ModelError::NoCheckpoint { .. })));
    remove("last.safetensors");
    assert!(matches!(run(&config, 14), Err(ModelError::NoCheckpoint { .. })));
    assert!(best() == before);
    // This is what a kill within the first epoch can leave.
    std::fs::rename(dir.path().join("best.safetensors"), dir.path().join("last.safetensors"))
        .expect("moves");
    run(&config, 14).expect("begins anew");
    // It can't leave weights of the second epoch.
    run(&config.clone().with_epochs(2).with_run_dir(dir.path().join("longer")), 14)
        .expect("trains");
    let last = dir.path().join("longer/last.safetensors");
    std::fs::rename(&last, dir.path().join("last.safetensors")).expect("moves");
    for name in ["checkpoint.safetensors", "log.csv", "best.safetensors"] {
        remove(name);
    }
    assert!(matches!(run(&config, 14), Err(ModelError::NoCheckpoint { .. })));
}

#[test]
fn a_run_killed_between_its_checkpoint_and_its_best_weights_writes_them_when_resumed() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let [best, readable, older] =
        ["best.safetensors", "model.json", "older"].map(|name| dir.path().join(name));
    let (card, rows) = (card(), (0..14).collect::<Vec<usize>>());
    let config = config(2).with_run_dir(dir.path());
    // Without validation records, the last epoch is the best.
    let run_of = |network: &mut Network, config: &TrainConfig, observer: &mut dyn FnMut(&Event)| {
        train(network, &card, &data(20), &rows, &[], config, &mut |event| {
            observer(event);
            ControlFlow::Continue(())
        })
        .expect("trains")
    };
    let mut whole = network();
    let outcome = run_of(&mut whole, &config, &mut |event: &Event| {
        if matches!(event, Event::Epoch { log, .. } if log.epoch == 1) {
            std::fs::copy(&best, &older).expect("copies");
        }
    });
    assert_eq!(outcome.best_epoch, 2);
    let files = || [&best, &readable].map(|path| std::fs::read(path).expect("reads"));
    let before = files();
    for put_back in [false, true] {
        // The same files as after a kill; the weights of the first epoch may still be there.
        std::fs::remove_file(&best).expect("is there");
        std::fs::remove_file(&readable).expect("is there");
        if put_back {
            std::fs::copy(&older, &best).expect("copies");
        }
        let mut resumed = network_of(SMALL, 2);
        let again = run_of(&mut resumed, &config.clone().with_resume(true), &mut |_: &Event| {});
        assert_same_bits(&whole, &resumed);
        assert_eq!(again.card, outcome.card);
        assert!(files() == before, "the files differ");
    }
}

#[test]
fn what_cannot_be_written_stops_a_run_that_then_goes_on_to_the_same_bits() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let (whole, cut) = (dir.path().join("whole"), dir.path().join("cut"));
    let (best, _) = run(&config(3).with_run_dir(&whole), 14).expect("trains");
    // Nothing can be renamed onto a folder, just as nothing can be written to a full disk.
    let in_the_way = cut.join("checkpoint.safetensors");
    let kept = cut.join("kept");
    let short = config(3).with_run_dir(&cut);
    let error = run_on(&mut network(), &short, 14, |event| {
        if let Event::Batch { epoch: 2, batch: 1, .. } = event {
            std::fs::rename(&in_the_way, &kept).expect("moves");
            std::fs::create_dir_all(in_the_way.join("full")).expect("makes");
        }
    })
    .expect_err("cannot be written");
    let text = error.to_string();
    assert!(text.contains("cannot write") && text.contains("checkpoint.safetensors"), "{text}");
    std::fs::remove_dir_all(&in_the_way).expect("removes");
    std::fs::rename(&kept, &in_the_way).expect("moves");
    let (resumed, _) = run(&short.with_resume(true), 14).expect("resumes");
    assert_same_bits(&best, &resumed);
}

#[test]
fn patience_ends_a_run_and_validation_may_look_at_fewer_windows() {
    let _turn = turn();
    // Nothing changes, so no epoch is better than the first.
    let mut still = config(50).with_lr(1e-30);
    still.statistics_rate = 0.0;
    let (_, outcome) = run(&still.clone().with_patience(2), 14).expect("trains");
    assert!(outcome.stopped_early);
    assert_eq!((outcome.best_epoch, outcome.history.len()), (1, 3));
    let (_, all) = run(&still.clone().with_epochs(1), 14).expect("trains");
    assert!(!all.stopped_early);
    let (_, one) = run(&still.with_epochs(1).with_validation_windows(1), 14).expect("trains");
    assert_ne!(one.history[0].val_loss, all.history[0].val_loss);
    assert_eq!(one.card.metrics, all.card.metrics);
    // The final weights are judged by all windows.
    assert_eq!(one.validation, all.validation);
}

#[test]
fn held_heads_and_rates_by_size_go_on_to_the_same_bits() {
    let _turn = turn();
    // Volumes are enough work for two threads.
    tch::set_num_threads(2);
    let dir = tempfile::tempdir().expect("a folder");
    let architecture = Architecture::ThreeDEcgNet;
    let card = card_of(architecture);
    let config = TrainConfig::of(architecture, Preset::Corrected).with_epochs(2).with_batch(2);
    assert!(config.hold_heads && config.fit_start && config.rates_by_size);
    let part = |name: &str, seed: u64, stop_at: usize| {
        let mut network = network_of(architecture, seed);
        let config = config.clone().with_run_dir(dir.path().join(name)).with_resume(true);
        let mut observer = |event: &Event| match event {
            Event::Batch { epoch, .. } if *epoch == stop_at => panic!("cut off"),
            _ => ControlFlow::Continue(()),
        };
        train(
            &mut network,
            &card,
            &data_of(architecture, 5),
            &[0, 1, 2, 3],
            &[4],
            &config,
            &mut observer,
        )
        .expect("trains");
        network
    };
    let trained = part("whole", 1, 0);
    let broken = std::panic::catch_unwind(|| part("cut", 1, 2));
    assert!(broken.is_err());
    // Any network can be passed in, because everything is in the checkpoint.
    part("cut", 2, 0);
    let of = |name: &str| in_last(&dir.path().join(name));
    assert_same_bits(&of("whole"), &of("cut"));
    // Nothing is held afterwards: the network is like one from the file.
    let best = Model::load(dir.path().join("whole/best.safetensors"), Device::Cpu).expect("loads");
    let x = Tensor::arange(2 * 91_125, (Kind::Float, Device::Cpu)).sin().reshape([2, 45, 45, 45]);
    let logits = |mut network: Network| {
        network.set_dropout(false);
        network.forward_train(&x).expect("runs").logits().copy()
    };
    assert!(logits(trained).equal(&logits(best.into_parts().0)));
}

#[test]
fn a_body_without_a_rate_stays_as_it_is() {
    let _turn = turn();
    let mut network = network();
    let before: Vec<Tensor> = network.trainable().map(|(_, own)| own.copy()).collect();
    let shared = network.trainable().map(|(name, own)| (name.to_owned(), own.shallow_clone()));
    let shared: Vec<(String, Tensor)> = shared.collect();
    // What the caller has frozen stays frozen.
    let _ = shared[0].1.set_requires_grad(false);
    let learning = || -> Vec<&str> {
        let learning = shared.iter().filter(|(_, own)| own.requires_grad());
        learning.map(|(name, _)| name.as_str()).collect()
    };
    let all = learning();
    assert_eq!(all.len(), shared.len() - 1);
    // Ends by patience, and no clock overflows.
    let config = config(usize::MAX).with_body_rate(0.0).with_patience(1).with_lr(0.1);
    run_on(&mut network, &config, 14, |event| {
        if let Event::Batch { .. } = event {
            assert!(learning().iter().all(|name| name.starts_with("dense")));
        }
    })
    .expect("trains");
    assert_eq!(learning(), all);
    let mut moved = false;
    for ((name, own), old) in shared.iter().zip(&before) {
        let is_head = name.starts_with("dense");
        assert_eq!(own.grad().defined(), is_head, "{name}");
        assert!(is_head || own.equal(old), "{name}");
        moved |= !own.equal(old);
    }
    assert!(moved);
    // After an error, nothing is left frozen either.
    let further = config.with_start("the weights of before");
    let stopped = train(&mut network, &card(), &data(20), &[0], &[15], &further, &mut |_| {
        ControlFlow::Break(())
    });
    assert!(matches!(stopped, Err(ModelError::Stopped)));
    assert_eq!(learning(), all);
}

#[test]
fn a_run_goes_on_from_trained_weights_and_says_so() {
    let _turn = turn();
    let (mut network, first) = run(&config(4), 14).expect("trains");
    let further = config(1).with_fit_start(true).with_start("the weights of before");
    assert!(!further.fit_start, "trained heads stay as they are");
    let outcome = run_on(&mut network, &further, 14, |_| {}).expect("trains on");
    let start = &outcome.card.training.expect("a recipe")["recipe"]["start"];
    assert_eq!(start, "the weights of before");
    assert!(outcome.history[0].train_loss < 0.8 * first.history[0].train_loss);
}

#[test]
fn parameters_that_know_something_are_neither_fitted_anew_nor_trained_without_a_word() {
    let _turn = turn();
    let fits = config(1).with_fit_start(true);
    let mut network = network();
    assert!(network.is_fresh());
    run_on(&mut network, &fits, 14, |_| {}).expect("trains");
    let copy = network.to_device(Device::Cpu).expect("copies");
    for mut used in [network, copy] {
        assert!(!used.is_fresh());
        let before: Vec<Tensor> = used.trainable().map(|(_, own)| own.copy()).collect();
        let started = config(1).with_start("the weights of before").with_fit_start(true);
        for recipe in [&fits, &config(1), &started] {
            let refused = run_on(&mut used, recipe, 14, |_| {});
            assert!(matches!(refused, Err(ModelError::NotFresh)), "{refused:?}");
            assert!(used.trainable().zip(&before).all(|((_, own), old)| own.equal(old)));
        }
    }
}

#[test]
fn best_weights_of_another_epoch_are_neither_taken_nor_replaced() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let config = config(3).with_run_dir(dir.path());
    // Nothing changes, so the first of three equal epochs is the best.
    let config = config.with_lr(1e-30).with_statistics_rate(0.0);
    let (best, outcome) = run(&config, 14).expect("trains");
    assert_eq!(outcome.best_epoch, 1);
    let mut other = outcome.card.clone();
    other.training.as_mut().expect("a training")["epoch"] = 7.into();

    let wrong = |found: Result<(), ModelError>| {
        let error = found.expect_err("another epoch").to_string();
        assert!(error.contains("best.safetensors") && error.contains("its epoch is"), "{error}");
    };
    replace_best(dir.path(), &best, &outcome.card).expect("the same epoch");
    wrong(replace_best(dir.path(), &best, &other));
    save(&best, &other, dir.path().join("best.safetensors")).expect("saves");
    wrong(replace_best(dir.path(), &best, &outcome.card));
    wrong(run(&config.with_resume(true), 14).map(|_| ()));
}

/// Checks that a model predicts for the validation records of `run` with 14 training records what the run did.
fn assert_validated(model: &Model, outcome: &Outcome) {
    let (data, rows) = (data(20), [14, 15, 16, 17, 18, 19]);
    let signals = data.prepared.select(ndarray::Axis(0), &rows);
    let lengths = rows.map(|row| data.lengths[row]);
    let found = model.predict_prepared(signals.view(), Some(&lengths)).expect("predicts");
    for (found, expected) in found.iter().zip(&outcome.validation) {
        // Another batch size sums in another order.
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn the_best_weights_predict_as_in_validation() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let (_, outcome) = run(&config(2).with_run_dir(dir.path()), 14).expect("trains");
    let model = Model::load(dir.path().join("best.safetensors"), Device::Cpu).expect("loads");
    assert_eq!(model.card(), &outcome.card);
    assert_validated(&model, &outcome);
    for file in ["last.safetensors", "log.csv", "model.json", "checkpoint.safetensors"] {
        assert!(dir.path().join(file).is_file(), "{file}");
    }
}

#[test]
fn the_pooling_of_windows_belongs_to_the_run_and_its_weights() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let config = config(1).with_window_pooling(WindowPooling::Max).with_run_dir(dir.path());
    let (mut network, outcome) = run(&config, 14).expect("trains");
    let (_, mean) = run(&self::config(1), 14).expect("trains");
    assert!(outcome.validation.iter().zip(&mean.validation).all(|(max, mean)| max > mean));
    assert_ne!(outcome.history[0].val_loss, mean.history[0].val_loss);
    let model = Model::load(dir.path().join("best.safetensors"), Device::Cpu).expect("loads");
    assert_eq!(model.card(), &outcome.card);
    assert_eq!(outcome.card.window_pooling, WindowPooling::Max);
    assert_validated(&model, &outcome);
    let data = data(20);
    // The epochs of a run are judged in one way.
    let other = config.with_window_pooling(WindowPooling::Mean).with_resume(true);
    let error = run(&other, 14).expect_err("another pooling").to_string();
    assert!(error.contains("window_pooling has changed from \"max\" to the default"), "{error}");
    // A card to start from does not decide.
    let (old, rows) = (outcome.card, (0..6).collect::<Vec<usize>>());
    let further = self::config(1).with_start("the weights of before");
    let outcome = train(&mut network, &old, &data, &rows, &[15], &further, &mut go_on);
    assert_eq!(outcome.expect("trains").card.window_pooling, WindowPooling::Mean);
}

#[test]
fn thresholds_travel_in_the_card() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let load = |name: &str| Model::load(dir.path().join(name), Device::Cpu).expect("loads");
    let config = config(2).with_run_dir(dir.path());
    let half = config.clone().with_thresholds(Thresholds::Half);
    let (_, outcome) = run(&half, 14).expect("trains");
    assert_eq!(outcome.card.thresholds, None);
    assert_eq!(load("best.safetensors").card().thresholds, None);
    // The thresholds of the weights that a run starts from are not kept either.
    let old = card().with_thresholds(&[0.1, 0.2]).expect("thresholds");
    let plain = self::config(1).with_thresholds(Thresholds::Half);
    let rows: Vec<usize> = (0..6).collect();
    let outcome = train(&mut network(), &old, &data(20), &rows, &[15], &plain, &mut go_on);
    assert_eq!(outcome.expect("trains").card.thresholds, None);
    // Other thresholds do not make it another run.
    let (_, outcome) = run(&config.with_resume(true), 14).expect("done already");
    let truth = data(20).labels.slice(ndarray::s![14.., ..]).to_owned();
    let expected = validation_thresholds(truth.view(), outcome.validation.view()).expect("fits");
    assert_ne!(expected, [0.5, 0.5]);
    assert_eq!(outcome.card.threshold_values(), expected);
    assert_eq!(load("best.safetensors").card(), &outcome.card);
}

#[test]
fn the_asymmetric_loss_falls_and_belongs_to_the_run() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let asymmetric = config(3).with_loss(Loss::ASYMMETRIC).with_run_dir(dir.path());
    let (_, outcome) = run(&asymmetric, 14).expect("trains");
    let losses: Vec<f64> = outcome.history.iter().map(|log| log.train_loss).collect();
    assert!(losses[2] < losses[0], "{losses:?}");
    let error = run(&asymmetric.with_loss(Loss::Bce).with_resume(true), 14).expect_err("another");
    assert!(error.to_string().contains("loss has changed"), "{error}");
}

#[test]
fn fewer_records_than_a_batch_no_validation_and_patients_on_both_sides() {
    let _turn = turn();
    let mut network = network();
    let mut warnings = Vec::new();
    let config = TrainConfig::published().with_epochs(1);
    let outcome = train(&mut network, &card(), &data(20), &[0], &[], &config, &mut |event| {
        if let Event::Warning(warning) = event {
            warnings.push(warning.clone());
        }
        ControlFlow::Continue(())
    })
    .expect("trains");
    assert_eq!(outcome.best_epoch, 1);
    assert_eq!(outcome.history[0].val_loss, None);
    let never = Warning::NeverPositive { label: "fast".into() };
    let always = Warning::AlwaysPositive { label: "slow".into() };
    assert_eq!(warnings, [always, never, Warning::NoValidation]);

    let mut data = data(20);
    data.patients[1] = data.patients[2].clone();
    warnings.clear();
    let further = config.with_start("the weights of before");
    train(&mut network, &card(), &data, &[0, 2], &[1], &further, &mut |event| {
        if let Event::Warning(warning) = event {
            warnings.push(warning.clone());
        }
        ControlFlow::Continue(())
    })
    .expect("trains");
    assert!(warnings.contains(&Warning::SharedPatients { patients: 1 }), "{warnings:?}");
}

#[test]
fn a_loss_that_is_not_finite_names_its_place_and_keeps_what_was_saved() {
    let _turn = turn();
    let dir = tempfile::tempdir().expect("a folder");
    let mut network = network();
    let poison = network.trainable().next().expect("a parameter").1.shallow_clone();
    let rows: Vec<usize> = (0..14).collect();
    let config = config(3).with_run_dir(dir.path());
    let error = train(&mut network, &card(), &data(20), &rows, &[15], &config, &mut |event| {
        if let Event::Batch { epoch: 2, batch: 1, .. } = event {
            tch::no_grad(|| poison.shallow_clone().copy_(&(&poison * f64::NAN)));
        }
        ControlFlow::Continue(())
    })
    .expect_err("NaN")
    .to_string();
    let expected = format!(
        "the loss is NaN in epoch 2, batch 2; earlier epochs are saved in {}",
        dir.path().display()
    );
    assert!(error.starts_with(&expected), "{error}");
    assert!(error.contains("; try a lower learning rate in another run folder"), "{error}");
    // The network also keeps the only epoch, which was the best.
    assert_same_bits(&network, &in_last(dir.path()));
    let finite = |tensor: &Tensor| tensor.isfinite().all().equal(&Tensor::from(true));
    assert!(network.tensors().all(|(_, tensor)| finite(tensor)));
}

#[test]
fn unfit_data_is_refused() {
    let _turn = turn();
    let mut network = network();
    let mut fit = |data: &TrainData, rows: &[usize], config: &TrainConfig| {
        train(&mut network, &card(), data, rows, &[1], config, &mut go_on)
            .expect_err("unfit")
            .to_string()
    };
    let (good, once) = (data(4), config(1));
    assert_eq!(fit(&good, &[], &once), "no training records selected (the data set has 4 records)");
    assert!(
        fit(&good, &[9], &once)
            .contains("row 9 (from 0) is out of range: the data set has 4 records")
    );
    assert!(fit(&good, &[0], &once.clone().with_lr(-1.0)).contains("lr must be a positive number"));
    let mut bad = data(4);
    bad.prepared[[2, 3, 4]] = f32::NAN;
    assert!(fit(&bad, &[0, 2], &once).contains("record r2 holds values that are not finite"));
    let volumes = Architecture::ThreeDEcgNet;
    let mut bad = data_of(volumes, 4);
    bad.prepared[[2, 3, 4]] = -1e19;
    let mut reader = network_of(volumes, 1);
    let error = train(&mut reader, &card_of(volumes), &bad, &[0], &[2], &once, &mut go_on)
        .expect_err("huge");
    assert_eq!(error.to_string(), "cannot make volumes from record r2");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert_eq!(
        cause,
        "lead 3 (from 0) has a magnitude of 1.00e19, which is too large to compute with"
    );
    let mut bad = data(4);
    bad.lengths[3] = 999;
    assert!(fit(&bad, &[3], &once).contains("record r3 has 999 samples, expected 1000 to 1600"));
    let flat = once.clone().with_positive_weight_limit(0.5);
    assert!(fit(&good, &[0], &flat).contains("positive_weight_limit must be 1 or more, found 0.5"));
    let error = fit(&good, &[0], &once.clone().with_patience(0));
    assert!(error.contains("patience must be a positive number, found 0"), "{error}");
    let mut bad = data(4);
    bad.patients.pop();
    assert!(fit(&bad, &[0], &once).contains("expected 4 patients, found 3"));
    // If a row is one window, it has no more samples than that, as for a model.
    let published = ModelCard::new(
        Architecture::Ribeiro,
        Preset::Published,
        card().labels,
        Architecture::Ribeiro.preprocessing(Preset::Published),
    );
    let mut ribeiro =
        Network::new(Architecture::Ribeiro, Preset::Published, 2, Device::Cpu, 1).expect("builds");
    let error = train(&mut ribeiro, &published, &good, &[0], &[1], &once, &mut go_on);
    let error = error.expect_err("too many samples").to_string();
    assert!(error.contains("[n, 12, 100], found [4, 12, 1600]"), "{error}");
    let mut bad = data(4);
    bad.labels = Array2::from_elem((4, 3), false);
    assert!(fit(&bad, &[0], &once).contains("expected 2 columns of labels, found 3"));
    let mut bad = data(4);
    bad.label_set = LabelSet::new(["fast", "slow"]).expect("two labels");
    let error = fit(&bad, &[0], &once);
    assert!(error.contains("are fast,slow, expected slow,fast"), "{error}");
    let error = fit(&good, &[0], &once.clone().with_resume(true));
    assert!(error.contains("cannot resume a training run without run_dir"), "{error}");
    let mut double = self::network().to_kind(Kind::Double).expect("converts");
    let error = train(&mut double, &card(), &good, &[0], &[1], &once, &mut go_on);
    assert!(matches!(error, Err(ModelError::TrainKind { .. })));
    // If the preprocessing pads, a short record is one window.
    let mut short = data(4);
    short.lengths[3] = 999;
    let mut padding = card();
    padding.preprocessing = padding.preprocessing.with_short_records(ShortRecords::Pad);
    train(&mut self::network(), &padding, &short, &[0, 3], &[1], &once, &mut go_on)
        .expect("trains");
}
