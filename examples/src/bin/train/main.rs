//! Trains a network on labelled recordings.

mod arguments;
mod init;
mod judge;
mod shown;
mod splits;
#[allow(dead_code)] // Each program uses a part.
#[path = "../../with_model/mod.rs"]
mod with_model;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use ecg3d_convert::{Resample, Windows};
use ecg3d_examples::source::{Needs, Rows, Source, load_of_any_length};
use ecg3d_examples::{say, say_err};
use ecg3d_models::{
    Architecture, Model, ModelCard, ModelError, Network, TrainData, WindowPooling, check_run_dir,
    replace_best, train,
};
use ndarray::{Array2, Array3, Axis, concatenate};
use tch::Device;

use crate::arguments::{Arguments, SplitBy};
use crate::init::Init;
use crate::judge::Judged;
use crate::shown::Shown;
use crate::splits::{OneFold, names_sha256, splits, summarise, tested_patients_seen};
use with_model::classify::predict_rows;
use with_model::device::device;
use with_model::precision::warn_of_imitation;
use with_model::usable::drop_unusable;

fn main() -> ExitCode {
    ecg3d_examples::run(|arguments| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let architecture: Architecture = arguments.model.parse()?;
    let preset = arguments.preset;
    let split_by = arguments.split_by(preset);
    arguments.check_split(split_by)?;
    let device = device(Some(arguments.device.as_str()))?;
    warn_of_imitation(arguments.precision, architecture, device);
    arguments.threads.set_up_process()?;
    arguments.recipe(architecture, preset, &arguments.out).check()?;
    check_folder(arguments)?;

    let mut preprocessing = architecture.preprocessing(preset);
    for (flag, given) in [
        ("--val-windows", arguments.val_windows.is_some()),
        ("--window-pooling max", arguments.window_pooling == Some(WindowPooling::Max)),
    ] {
        ensure!(
            !given || preprocessing.windows == Windows::All,
            "{flag} has no effect: {architecture} ({preset}) reads only the first window of each record"
        );
    }
    let init = arguments.init.as_deref();
    let init = init
        .map(|from| Init::read(from, architecture, preset, &preprocessing, device))
        .transpose()?;
    let needs = Needs {
        labels: init.as_ref().map(Init::labels),
        prepared: Some(
            "training takes prepared signals, one row per record (it cuts windows and makes volumes itself)",
        ),
        ..Needs::default()
    };
    let mut source = load_of_any_length(&arguments.data, &preprocessing, &arguments.labels, needs)?;
    source.drop_unlabelled()?;
    drop_unusable(&mut source, architecture, &preprocessing)?;
    if split_by == SplitBy::Labels && !arguments.trains_on_all(split_by) {
        source.drop_without_fold()?;
    }
    source.report_failures();
    let data = train_data(&mut source, &arguments.data, init.as_ref())?;
    if let Resample::Polyphase { rate_hz, .. } = preprocessing.resample {
        // An archive may hold other lengths than that of the preset.
        let samples = data.prepared.len_of(Axis(2));
        if samples != preprocessing.prepared_shape()[1] {
            preprocessing = preprocessing.with_max_seconds(samples as f64 / rate_hz);
        }
    }
    let splits = splits(&source, &data, split_by, arguments)?;
    let labels = data.label_set.clone();
    if let Some(note) = init.as_ref().and_then(|init| init.note(&labels)) {
        say!("{note}");
    }
    let origin = arguments.origin.clone().unwrap_or_else(|| {
        format!("trained on {}, labels from {}", arguments.data.display(), source.label_source)
    });
    let card = ModelCard::new(architecture, preset, labels, preprocessing).with_origin(origin);
    let (init, patients) = (init.as_ref(), &source.patients[..]);
    let job = Job { arguments, device, init, data: &data, patients, card: &card };
    say!("labels from {}", source.label_source);
    if !arguments.all_folds() {
        for own in &splits {
            summarise(&data, &own.split);
            job.train(own, &arguments.out)?;
        }
        return Ok(source.exit_code());
    }
    let validation = each_fold(&splits, |own| {
        say!("\nFold {}:", own.fold);
        summarise(&data, &own.split);
        job.train(own, &arguments.out.join(format!("{FOLD}{}", own.fold)))
    })?;
    job.judge_folds(&splits, &validation)?;
    Ok(source.exit_code())
}

/// Trains all folds, those after one that diverged, too; any other error would concern all of them.
fn each_fold<T>(
    splits: &[OneFold],
    mut train: impl FnMut(&OneFold) -> Result<T>,
) -> Result<Vec<T>> {
    let mut done = Vec::with_capacity(splits.len());
    let mut failed = Vec::new();
    for own in splits {
        match train(own).with_context(|| format!("fold {}", own.fold)) {
            Ok(trained) => done.push(trained),
            Err(error) if has_diverged(&error) => {
                say_err!("failed: {error:#}");
                failed.push(own.fold.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    ensure!(
        failed.is_empty(),
        "training diverged in {} of {} folds ({}), so there are no tables of all folds",
        failed.len(),
        splits.len(),
        failed.join(", ")
    );
    Ok(done)
}

/// Returns whether a training run ended because its numbers did not stay finite.
fn has_diverged(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<ModelError>();
    matches!(error, Some(ModelError::NotFinite { .. } | ModelError::NetworkNotFinite { .. }))
}

/// Prefix of the folder of each fold's run, if all folds are trained.
const FOLD: &str = "fold-";

/// Makes sure that the folder is free, or holds the run to be continued.
fn check_folder(arguments: &Arguments) -> Result<()> {
    let (out, resume) = (&arguments.out, arguments.resume);
    let begun = fold_runs(out)?;
    if !arguments.all_folds() {
        if !check_run_dir(out, resume)? {
            check_tables(out)?;
            ensure!(
                begun.is_empty(),
                "{} holds runs of --fold all; continue them with --fold all --resume, or choose another folder with --out",
                out.display()
            );
        }
        return Ok(());
    }
    if let Err(error) = check_run_dir(out, false) {
        ensure!(
            !matches!(error, ModelError::RunExists { .. }),
            "{} already holds a run of one fold; choose another folder with --out",
            out.display()
        );
        return Err(error.into());
    }
    let Some(first) = begun.first() else { return check_tables(out) };
    ensure!(
        resume,
        "{} already exists; continue it with --resume, or choose another folder with --out",
        first.display()
    );
    for run in &begun {
        if !check_run_dir(run, true)? {
            check_tables(run)?;
        }
    }
    Ok(())
}

/// Returns the folders of folds in a folder.
fn fold_runs(out: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(out) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot list {}", out.display()))?,
    };
    let is_fold =
        |name: &str| name.strip_prefix(FOLD).is_some_and(|number| number.parse::<usize>().is_ok());
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", out.display()))?;
        if is_fold(&entry.file_name().to_string_lossy()) && entry.path().is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Refuses a folder with tables of another run than the one to be continued there.
fn check_tables(out: &Path) -> Result<()> {
    for name in ["validation", "test"].into_iter().flat_map(judge::files) {
        let path = out.join(name);
        ensure!(
            !path.exists(),
            "{} would be overwritten; choose another folder with --out",
            path.display()
        );
    }
    Ok(())
}

/// What all training runs have in common.
struct Job<'a> {
    arguments: &'a Arguments,
    device: Device,
    init: Option<&'a Init>,
    data: &'a TrainData,
    /// The patient of each record, if known.
    patients: &'a [Option<String>],
    /// Without thresholds and metrics.
    card: &'a ModelCard,
}

impl Job<'_> {
    /// Trains on one split and evaluates the best weights. Returns their probabilities for the validation
    /// records.
    fn train(&self, own: &OneFold, out: &Path) -> Result<Array2<f64>> {
        let Self { arguments, device, init, data, patients, card } = *self;
        let (architecture, preset) = (card.architecture, card.mode);
        let split = &own.split;
        let mut config = arguments.recipe(architecture, preset, out);
        // A fold that was not begun has nothing to continue from.
        if arguments.all_folds() && !out.exists() {
            config = config.with_resume(false);
        }
        let mut network = match init {
            Some(init) => {
                let (network, start) = init.network(&card.labels, arguments.seed)?;
                config = config.with_start(start);
                network
            }
            None => Network::new(architecture, preset, card.labels.len(), device, arguments.seed)?,
        };
        let mut shown = Shown::new(config.epochs);
        let outcome =
            train(&mut network, card, data, &split.train, &split.val, &config, &mut |event| {
                shown.event(event);
                ControlFlow::Continue(())
            });
        shown.finish();
        let outcome = outcome?;

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
            let folds = vec![own.fold; split.val.len()];
            let judged = Judged {
                data,
                patients,
                name: "validation",
                rows: &split.val,
                folds: Some(&folds),
                probabilities: outcome.validation.view(),
                threshold_source: "these records",
            };
            let chosen =
                if card.thresholds.is_some() { "them and their thresholds" } else { "them" };
            let title = format!(
                "Best weights on the validation records, which were used to choose {chosen}"
            );
            let (mut figures, tables) = judged.show(&card, &title, out)?;
            files.extend(tables);
            figures["chosen_on_these"] =
                "the epoch, and the thresholds where they are not 0.5".into();
            metrics.insert("validation".to_owned(), figures);
        }
        if !split.test.is_empty() {
            let signals = data.prepared.select(Axis(0), &split.test);
            let lengths: Vec<usize> = split.test.iter().map(|&row| data.lengths[row]).collect();
            let model = Model::new(network, card.clone())?;
            let rows = Rows::Prepared { signals, lengths };
            let probabilities = predict_rows(&model, &rows, "test records", None)?;
            (network, card) = model.into_parts();
            let judged = Judged {
                data,
                patients,
                name: "test",
                rows: &split.test,
                folds: None,
                probabilities: probabilities.view(),
                threshold_source: "the validation records",
            };
            let title = "Best weights on the records kept for testing";
            let (mut figures, tables) = judged.show(&card, title, out)?;
            files.extend(tables);
            figures["names_sha256"] = names_sha256(data, &split.test).into();
            figures["shared_patients"] = tested_patients_seen(data, split).into();
            metrics.insert("test".to_owned(), figures);
        }
        if !metrics.is_empty() {
            card.metrics = Some(metrics.into());
            replace_best(out, &network, &card)?;
        }
        for file in files {
            say!("{}", out.join(file).display());
        }
        Ok(outcome.validation)
    }

    /// Evaluates the validation records of all folds together, at 0.5, because the thresholds in the cards were
    /// chosen on these records.
    fn judge_folds(&self, splits: &[OneFold], validation: &[Array2<f64>]) -> Result<()> {
        let rows: Vec<usize> = splits.iter().flat_map(|own| own.split.val.clone()).collect();
        let folds = splits.iter().flat_map(|own| own.split.val.iter().map(|_| own.fold));
        let folds: Vec<u32> = folds.collect();
        let probabilities: Vec<_> = validation.iter().map(|own| own.view()).collect();
        let probabilities = concatenate(Axis(0), &probabilities)?;
        let judged = Judged {
            data: self.data,
            patients: self.patients,
            name: "validation",
            rows: &rows,
            folds: Some(&folds),
            probabilities: probabilities.view(),
            threshold_source: "default",
        };
        let title =
            "All folds, each record predicted by the weights whose epoch was chosen on its fold";
        let out = &self.arguments.out;
        let (_, tables) = judged.show(self.card, title, out)?;
        for file in tables {
            say!("{}", out.join(file).display());
        }
        Ok(())
    }
}

/// Takes the signals out of a source. If its labels are those of the weights to start from, they get their order.
fn train_data(source: &mut Source, path: &Path, init: Option<&Init>) -> Result<TrainData> {
    let label_set = init.and_then(|init| init.same_labels(&source.label_set));
    let label_set = label_set.unwrap_or_else(|| source.label_set.clone());
    let labels = source.require_labels(&label_set)?;
    let none = Rows::Prepared { signals: Array3::zeros((0, 0, 0)), lengths: Vec::new() };
    let Rows::Prepared { signals, lengths } = std::mem::replace(&mut source.rows, none) else {
        bail!("{}: no prepared signals", path.display());
    };
    Ok(TrainData {
        prepared: signals,
        lengths,
        labels,
        label_set,
        patients: source.patient_ids(),
        names: source.names.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use ecg_core::LabelSet;
    use ecg_io::Split;
    use ecg_synth::SynthOptions;
    use ecg3d_examples::synthetic::{Format, write_folder};
    use ecg3d_models::Preset;
    use ndarray_npy::NpzWriter;
    use std::fs::File;

    #[test]
    fn the_other_folds_are_trained_after_one_that_diverged() {
        let splits = [3, 4, 5].map(|fold| OneFold { fold, split: Split::default() });
        let run = |failing: fn(u32) -> Option<ModelError>| {
            let mut begun = Vec::new();
            let done = each_fold(&splits, |own| {
                begun.push(own.fold);
                failing(own.fold).map_or(Ok(own.fold), |error| Err(error.into()))
            });
            (begun, done.map_err(|error| format!("{error:#}")))
        };
        assert_eq!(run(|_| None), (vec![3, 4, 5], Ok(vec![3, 4, 5])));
        let (begun, done) = run(|fold| match fold {
            3 => Some(ModelError::NotFinite { epoch: 1, batch: 2, loss: f64::NAN, kept: None }),
            4 => Some(ModelError::NetworkNotFinite { what: "weights", epoch: 1, kept: None }),
            _ => None,
        });
        let text = "training diverged in 2 of 3 folds (3, 4), so there are no tables of all folds";
        assert_eq!((begun, done), (vec![3, 4, 5], Err(text.to_owned())));
        // What would fail in every fold stops at once.
        let (begun, done) = run(|_| Some(ModelError::RunInUse { path: "run".into() }));
        assert_eq!(begun, [3]);
        let error = done.expect_err("in use");
        assert!(error.starts_with("fold 3: another training run is using run"), "{error}");
    }

    #[test]
    fn a_number_of_windows_is_refused_where_only_the_first_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name).display().to_string();
        let (data, out) = (at("absent"), at("run"));
        let said = |[flag, value]: [&str; 2], model: &str, preset: &str| {
            let line = ["train", "--data", &data, "--out", &out, flag, value];
            let line = line.into_iter().chain(["--model", model, "--preset", preset]);
            format!("{:#}", run(&Arguments::parse_from(line)).expect_err("refused"))
        };
        for (own, name) in [
            (["--val-windows", "2"], "--val-windows"),
            (["--window-pooling", "max"], "--window-pooling max"),
        ] {
            for (model, preset) in [("ribeiro", "published"), ("resnet1d", "corrected")] {
                let text = said(own, model, preset);
                let expected = format!("{name} has no effect: {model} ({preset}) reads only");
                assert!(text.starts_with(&expected), "{text}");
            }
            let text = said(own, "ribeiro", "corrected");
            assert!(text.contains(&data), "now the data is missed: {text}");
        }
        let text = said(["--window-pooling", "mean"], "resnet1d", "corrected");
        assert!(text.contains(&data), "the mean of one window is harmless: {text}");
    }

    #[test]
    fn weights_that_do_not_fit_are_refused_before_data_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name).display().to_string();
        let (data, out) = (at("absent"), at("run"));
        let said = |init: &str, model: &str, preset: &str| {
            let line = ["train", "--data", &data, "--out", &out, "--init", init];
            let line = line.into_iter().chain(["--model", model, "--preset", preset]);
            let error = run(&Arguments::parse_from(line)).expect_err("refused");
            format!("{error:#}")
        };
        let text = said("shipped", "zhang", "corrected");
        assert!(
            text.starts_with("--init shipped: found weights with network 3decgnet, "),
            "{text}"
        );
        let text = said("shipped", "3decgnet", "published");
        assert!(text.starts_with("--init shipped: found weights with mode corrected, "), "{text}");
        let weights = at("none.safetensors");
        let text = said(&weights, "zhang", "corrected");
        assert!(text.starts_with(&format!("cannot read the weights {weights}: ")), "{text}");
        std::fs::write(&weights, "no weights").expect("writes");
        assert!(said(&weights, "zhang", "corrected").contains(&weights));
        let text = said("shipped", "3decgnet", "corrected");
        assert!(text.contains(&data), "now the data is missed: {text}");
    }

    #[test]
    fn archives_are_refused_before_their_rows_are_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name).display().to_string();
        let (data, out, weights) = (at("x.npz"), at("run"), at("w.safetensors"));
        let said = |more: &[&str]| {
            let line = ["train", "--data", &data, "--out", &out, "--model", "ribeiro"];
            let line = [&line[..], &["--preset", "corrected"], more].concat();
            run(&Arguments::parse_from(line)).expect_err("refused").to_string()
        };
        let write = |add: &dyn Fn(&mut NpzWriter<File>)| {
            let mut archive = NpzWriter::new(File::create(&data).expect("creates"));
            add(&mut archive);
            archive.finish().expect("finishes");
        };
        // An array that cannot be read.
        write(&|archive| {
            archive.add_array("volume", &Array3::<i64>::zeros((1, 1, 1))).expect("adds");
        });
        let expected = "x.npz holds volume; training takes prepared signals, one row per record (it cuts windows and makes \
                        volumes itself); make them with convert --stage prepared";
        let text = said(&[]);
        assert!(text.ends_with(expected), "{text}");

        // Without a sidecar, the columns are the labels of the weights to start from.
        let (architecture, mode) = (Architecture::Ribeiro, Preset::Corrected);
        let network = Network::new(architecture, mode, 2, Device::Cpu, 1).expect("builds");
        let labels = LabelSet::new(["PVC", "AF"]).expect("labels");
        let card = ModelCard::new(architecture, mode, labels, architecture.preprocessing(mode));
        Model::new(network, card).expect("fits").save(&weights).expect("writes");
        write(&|archive| {
            archive.add_array("prepared", &Array3::<f32>::zeros((1, 12, 500))).expect("adds");
            archive.add_array("labels", &Array2::<u8>::zeros((1, 7))).expect("adds");
        });
        let text = said(&["--init", &weights]);
        assert!(text.ends_with("array labels has shape [1, 7], expected [1, 2]"), "{text}");
    }

    #[test]
    fn each_training_starts_from_its_own_network() {
        let (architecture, preset) = (Architecture::ThreeDEcgNet, Preset::Corrected);
        let preprocessing = architecture.preprocessing(preset);
        let from = Path::new("synthetic");
        let init = Init::read(from, architecture, preset, &preprocessing, Device::Cpu);
        let (init, seven) = (init.expect("fits"), LabelSet::seven());
        assert_eq!(init.note(&seven), None);
        let (first, start) = init.network(&seven, 0).expect("copies");
        assert!(!start.contains("fresh"), "{start}");
        for (_, parameter) in first.tensors() {
            let _ = tch::no_grad(|| parameter.shallow_clone().fill_(0.0));
        }
        let model = Model::synthetic(Device::Cpu).expect("loads");
        let (second, _) = init.network(&seven, 0).expect("copies");
        assert!(second.tensors().zip(model.network().tensors()).all(|((_, a), (_, b))| a.equal(b)));
    }

    #[test]
    fn labels_in_another_order_get_that_of_the_weights() {
        let (architecture, preset) = (Architecture::ThreeDEcgNet, Preset::Corrected);
        let preprocessing = architecture.preprocessing(preset);
        let from = Path::new("synthetic");
        let init = Init::read(from, architecture, preset, &preprocessing, Device::Cpu);
        let init = init.expect("fits");
        let rows = Rows::Prepared { signals: Array3::zeros((1, 12, 500)), lengths: vec![500] };
        let mut source = Source::unlabelled(vec!["a".to_owned()], rows);
        let swapped = LabelSet::new(["AF", "NSR", "STach", "IAVB", "LBBB", "RBBB", "SB"]);
        source.label_set = swapped.expect("labels");
        source.labels = vec![Some(vec![true, false, true, false, false, false, false])];
        let of = |init| train_data(&mut source.clone(), Path::new("d"), init).expect("has labels");
        let data = of(Some(&init));
        assert_eq!(data.label_set, LabelSet::seven());
        let expected = [false, true, false, false, false, false, true];
        assert_eq!(data.labels.row(0).to_vec(), expected);
        assert_eq!(init.note(&data.label_set), None);
        let data = of(None);
        assert_eq!((&data.label_set, data.labels[[0, 0]]), (&source.label_set, true));
        let fewer = LabelSet::new(["AF", "NSR"]).expect("labels");
        assert_eq!(init.same_labels(&fewer), None);
    }

    #[test]
    fn with_other_labels_only_the_last_layer_is_fresh() {
        let (architecture, preset) = (Architecture::ThreeDEcgNet, Preset::Corrected);
        let preprocessing = architecture.preprocessing(preset);
        let from = Path::new("synthetic");
        let init = Init::read(from, architecture, preset, &preprocessing, Device::Cpu);
        let (init, labels) = (init.expect("fits"), LabelSet::new(["AF", "PVC"]).expect("labels"));
        let note = init.note(&labels).expect("differ");
        assert!(note.starts_with("labels differ: the last layer starts fresh ("), "{note}");
        assert!(note.ends_with(", the data has AF,PVC)"), "{note}");
        let (network, start) = init.network(&labels, 3).expect("copies");
        assert!(start.contains("SHA-256") && start.ends_with(", last layer fresh"), "{start}");
        let model = Model::synthetic(Device::Cpu).expect("loads");
        let fresh = Network::new(architecture, preset, 2, Device::Cpu, 3).expect("builds");
        let others = model.network().tensors().zip(fresh.tensors());
        let mut left = 0;
        for ((name, own), ((_, trained), (_, fresh))) in network.tensors().zip(others) {
            let differs = own.size() != trained.size();
            assert!(own.equal(if differs { fresh } else { trained }), "{name}");
            left += usize::from(differs);
        }
        assert_eq!((network.n_labels(), left), (2, 2));
    }

    #[test]
    fn a_record_without_a_fold_is_left_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let (data, out) = (dir.path().join("data"), dir.path().join("run"));
        let options = SynthOptions::default().with_seconds(3.0).with_sampling_rate_hz(100.0);
        write_folder(&data, 3, options, Format::Wfdb).expect("synthesises");
        let table = data.join("labels.csv");
        let text = std::fs::read_to_string(&table).expect("reads");
        let without_fold = |line: &str| {
            let mut cells: Vec<&str> = line.split(',').collect();
            cells[2] = "";
            cells.join(",")
        };
        let said = |from: usize| {
            let lines = text.lines().enumerate();
            let lines = lines.map(|(k, line)| match k >= from {
                true => without_fold(line),
                false => line.to_owned(),
            });
            std::fs::write(&table, lines.collect::<Vec<_>>().join("\n")).expect("writes");
            let [data, out] = [&data, &out].map(|path| path.display().to_string());
            let line = ["train", "--data", &data, "--out", &out, "--model", "ribeiro"];
            let more = ["--preset", "corrected", "--split", "labels", "--val-fold", "77"];
            let arguments = Arguments::parse_from([&line[..], &more].concat());
            run(&arguments).expect_err("refused").to_string()
        };
        // The last record has none, then none has.
        let text = said(3);
        assert!(text.contains("fold 77 has no records"), "{text}");
        let text = said(1);
        assert!(text.starts_with("no record has a fold in "), "{text}");
    }
}
