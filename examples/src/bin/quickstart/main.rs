//! The main job, end to end: recordings, volumes, labels, explanations, metrics and a report.

mod example;
mod page;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ecg_core::Recording;
use ecg_io::Dataset;
use ecg_metrics::{Report, ReportOptions};
use ecg_synth::SynthOptions;
use ecg3d_convert::{ConvertConfig, ImagePlan, RecurrencePlot, Scratch};
use ecg3d_examples::source::{LabelArgs, Plans, Rows, Source, load};
use ecg3d_examples::stages::Stages;
use ecg3d_examples::synthetic::{Format, write_folder};
use ecg3d_examples::{Progress, write_atomic};
use ecg3d_models::{
    Architecture, Event, Model, ModelCard, Network, Preset, TrainConfig, TrainData,
    folds_by_patient, train,
};
use ndarray::{Array2, Array3, Axis, s, stack};
use tch::Device;

use crate::example::{choose, explain};
use crate::page::{Cube, Page};

/// Synthetic recordings that are made where no data is given.
const RECORDS: u64 = 600;
/// Records that training passes over, all epochs together: a minute or two on two cores.
const RECORD_PASSES: usize = 4_200;
/// Patients are dealt into this many folds: two are for tests, one for validation, the rest for training.
const FOLDS: usize = 10;
/// Records in a step of training: small, so that a minute holds many steps.
const BATCH: usize = 16;

/// Runs the main job, end to end, and writes OUT/report.html: one page that needs nothing else.
///
/// Recordings are prepared with the corrected preset; Ribeiro's network is trained on seven tenths of the patients (a minute
/// or two on two cores; longer for thousands of recordings) and judged on two tenths that it has not seen, at a threshold
/// of 0.5. One recording for each label that was recognised is explained.
#[derive(Parser)]
struct Arguments {
    /// Folder of WFDB and CSV recordings with labels [default: synthetic recordings, written to OUT/recordings-seed-N]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder for the report, the weights and the pictures
    #[arg(long, value_name = "DIR", default_value = "target/quickstart")]
    out: PathBuf,
    /// Equal seeds give equal numbers, with the same number of threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    labels: LabelArgs,
}

fn main() -> ExitCode {
    ecg3d_examples::run(quickstart)
}

/// What was done, how much of it, and the seconds it took.
struct Steps(Vec<(String, String, f64)>);

impl Steps {
    fn done(&mut self, start: Instant, what: &str, amount: impl Into<String>) {
        let (amount, seconds) = (amount.into(), start.elapsed().as_secs_f64());
        eprintln!("{what}: {amount} ({seconds:.1} s)");
        self.0.push((what.to_owned(), amount, seconds));
    }
}

fn quickstart(arguments: Arguments) -> Result<ExitCode> {
    let out = &arguments.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut steps = Steps(Vec::new());

    let (data, about) = match &arguments.data {
        Some(dir) => {
            ensure!(
                dir.is_dir(),
                "{} is no folder; quickstart shows recordings, which an archive of arrays does not hold",
                dir.display()
            );
            (dir.clone(), format!("Recordings of {}.", dir.display()))
        }
        None => (synthesise(out, arguments.seed, &mut steps)?, synthetic_about(arguments.seed)),
    };

    let start = Instant::now();
    let config = ConvertConfig::corrected();
    let mut source = load(&data, &config, &arguments.labels)?;
    source.drop_unlabelled()?;
    source.report_failures();
    steps.done(start, "read and prepared", format!("{} recordings", source.names.len()));

    let start = Instant::now();
    volumes(&source, &config)?;
    steps.done(start, "converted", format!("{} volumes of 45x45x45", source.names.len()));

    let split = Split::new(&source, arguments.seed)?;
    let start = Instant::now();
    let (model, epochs) = learn(&source, &split, &config, out, arguments.seed)?;
    steps.done(start, "trained", format!("{epochs} epochs of {} recordings", split.rows[0].len()));

    let start = Instant::now();
    let truth = source.require_labels(model.labels())?;
    let test = &split.rows[2];
    let probabilities = predict(&model, &source, test)?;
    let test_truth = truth.select(Axis(0), test);
    let thresholds = model.card().threshold_values();
    let report = Report::new(
        model.labels(),
        test_truth.view(),
        probabilities.view(),
        &thresholds,
        &ReportOptions::default(),
    )?;
    steps.done(start, "evaluated", format!("{} unseen recordings", test.len()));

    let start = Instant::now();
    let dataset = Dataset::open(&data, &arguments.labels.dataset_options()?)?;
    let chosen = choose(&test_truth, &probabilities, &thresholds);
    let examples = explain(&model, &source, &dataset, test, &chosen)?;
    steps.done(start, "explained", format!("{} decisions", examples.len()));

    // A recording to show the conversion on: the first that is explained, else the first unseen.
    let shown = examples.first().map_or(test[0], |example| example.row);
    let (recording, window) = first_window(&source, &dataset, &config, shown)?;
    let plan = ImagePlan::new(&config)?;
    let recurrence = recurrence_plots(&window, &config)?;
    let volume = plan.volume_of_window(window.view())?;
    let row = test.iter().position(|&row| row == shown).unwrap_or(0);
    let stages = Stages {
        recording: &recording,
        window: window.view(),
        window_s: config.window_s,
        recurrence: &recurrence,
        volume: &volume,
        labels: model.labels(),
        probabilities: &probabilities.row(row).to_vec(),
    }
    .svg()?;
    let method = [
        format!(
            "Preparation: the {} preset, {}. Network: {model}, {} trainable parameters, seed {}.",
            Preset::Corrected,
            "the whole recording denoised at 0.5 Hz and resampled to 50 Hz, windows of 2 s every 1 s",
            model.network().parameter_count().1,
            arguments.seed
        ),
        format!("Labels: {}.", source.label_source),
    ];
    let page = Page {
        source: &about,
        steps: &steps.0,
        counts: &split.counts(&truth),
        split: [split.rows[0].len(), split.rows[1].len(), test.len()],
        failed: &source.failed,
        labels: model.labels(),
        stages: &stages,
        cube: Cube { name: &recording.name, recurrence: &recurrence, volume: &volume },
        examples: &examples,
        report: &report,
        method: &method,
    }
    .html()?;
    write_atomic(&out.join("stages.svg"), |file| file.write_all(stages.as_bytes()))?;
    write_atomic(&out.join("metrics.json"), |file| {
        Ok(serde_json::to_writer_pretty(file, &report)?)
    })?;
    write_atomic(&out.join("report.html"), |file| file.write_all(page.as_bytes()))?;
    println!("{report}");
    println!("report: {}", out.join("report.html").display());
    Ok(source.exit_code())
}

fn synthetic_about(seed: u64) -> String {
    format!(
        "{RECORDS} synthetic recordings, seed {seed}: made by a formula, with known labels. A score on them says that the \
         parts work together, and nothing about a clinic."
    )
}

/// Writes the synthetic recordings and returns their folder.
fn synthesise(out: &Path, seed: u64, steps: &mut Steps) -> Result<PathBuf> {
    let start = Instant::now();
    let dir = out.join(format!("recordings-seed-{seed}"));
    write_folder(&dir, RECORDS, SynthOptions::default().with_seed(seed), Format::Wfdb)?;
    steps.done(start, "synthesised", format!("{RECORDS} recordings of 12 leads and 10 s"));
    Ok(dir)
}

/// Converts the first window of every record, one volume at a time.
fn volumes(source: &Source, config: &ConvertConfig) -> Result<()> {
    let Rows::Prepared { signals, .. } = &source.rows else { return Ok(()) };
    let plan = ImagePlan::new(config)?;
    let [depth, height, width] = plan.volume_shape();
    let mut volume = Array3::<f32>::zeros((depth, height, width));
    let mut scratch = Scratch::new();
    let window = config.window_samples();
    for signal in signals.outer_iter() {
        plan.volume_of_window_into(
            signal.slice(s![.., ..window]),
            volume.view_mut(),
            &mut scratch,
        )?;
        ensure!(
            volume.iter().all(|value| value.is_finite()),
            "a volume holds values that are not finite"
        );
    }
    Ok(())
}

/// Rows for training, for validation and unseen; no patient is in two of them.
struct Split {
    rows: [Vec<usize>; 3],
}

impl Split {
    fn new(source: &Source, seed: u64) -> Result<Self> {
        let labels = source.require_labels(&source.label_set)?.mapv(u8::from);
        let folds = folds_by_patient(labels.view(), &source.patients, FOLDS, seed)
            .context("too few recordings to train on and to be judged on")?;
        let of = |wanted: &dyn Fn(usize) -> bool| {
            (0..folds.len()).filter(|&row| wanted(folds[row])).collect::<Vec<_>>()
        };
        let rows = [of(&|fold| fold > 2), of(&|fold| fold == 2), of(&|fold| fold < 2)];
        ensure!(
            rows.iter().all(|rows| !rows.is_empty()),
            "{} recordings are too few to train on and to be judged on",
            folds.len()
        );
        Ok(Self { rows })
    }

    /// Recordings of each label among the three.
    fn counts(&self, truth: &Array2<bool>) -> Vec<[usize; 3]> {
        truth
            .columns()
            .into_iter()
            .map(|column| {
                [0, 1, 2].map(|k| self.rows[k].iter().filter(|&&row| column[row]).count())
            })
            .collect()
    }
}

/// Trains Ribeiro's network and saves it; also returns the number of epochs.
fn learn(
    source: &Source,
    split: &Split,
    config: &ConvertConfig,
    out: &Path,
    seed: u64,
) -> Result<(Model, usize)> {
    let Rows::Prepared { signals, lengths } = &source.rows else {
        anyhow::bail!("recordings are needed, not volumes");
    };
    let data = TrainData {
        prepared: signals.clone(),
        lengths: lengths.clone(),
        labels: source.require_labels(&source.label_set)?.mapv(u8::from),
        patients: source.patients.clone(),
        names: source.names.clone(),
    };
    let [train_rows, val_rows, _] = &split.rows;
    let epochs = (RECORD_PASSES / train_rows.len()).clamp(2, 40);
    let mode = Preset::Corrected;
    let architecture = Architecture::Ribeiro;
    let mut network = Network::new(architecture, mode, source.label_set.len(), Device::Cpu, seed)?;
    let card = ModelCard::new(architecture, mode, source.label_set.clone(), config.clone())
        .with_origin("trained by quickstart");
    let recipe = TrainConfig::corrected().with_epochs(epochs).with_batch(BATCH).with_seed(seed);
    let progress = Progress::new((epochs * train_rows.len()) as u64, "record passes");
    let outcome =
        train(
            &mut network,
            &card,
            &data,
            train_rows,
            val_rows,
            &recipe,
            &mut |event| match event {
                Event::Batch { loss, .. } => {
                    progress.message(format!("loss {loss:.3}"));
                    progress.inc((recipe.batch as u64).min(train_rows.len() as u64));
                }
                Event::Epoch { log, .. } => progress.line(&format!(
                    "epoch {}/{epochs}: loss {:.4}, validation AUROC {}",
                    log.epoch,
                    log.train_loss,
                    log.val_auroc.map_or("undefined".to_owned(), |auroc| format!("{auroc:.3}"))
                )),
                Event::Warning(warning) => progress.line(&format!("warning: {warning}")),
                _ => {}
            },
        )?;
    progress.finish();
    ecg3d_models::save(&network, &outcome.card, &out.join("ribeiro.safetensors"))?;
    Ok((Model::new(network, outcome.card)?, epochs))
}

/// Probabilities `[record, label]` of some rows.
fn predict(model: &Model, source: &Source, rows: &[usize]) -> Result<Array2<f64>> {
    let Rows::Prepared { signals, lengths } = &source.rows else {
        anyhow::bail!("recordings are needed, not volumes");
    };
    let lengths: Vec<usize> = rows.iter().map(|&row| lengths[row]).collect();
    Ok(model.predict_prepared(signals.select(Axis(0), rows).view(), Some(&lengths))?)
}

/// The recording behind a row, and the first window of its prepared signal.
fn first_window(
    source: &Source,
    dataset: &Dataset,
    config: &ConvertConfig,
    row: usize,
) -> Result<(Recording, Array2<f32>)> {
    let recording = example::recording(source, dataset, row)?;
    let prepared = Plans::new(config).at(recording.sampling_rate)?.prepare(&recording)?;
    let window = prepared.signal.slice(s![.., ..config.window_samples()]).to_owned();
    Ok((recording, window))
}

/// The recurrence plots `[lead, time, time]` of a window `[lead, sample]`.
fn recurrence_plots(window: &Array2<f32>, config: &ConvertConfig) -> Result<Array3<f32>> {
    let recurrence = RecurrencePlot::new(config.embedding_dimension, config.embedding_delay)?;
    let plots = window
        .rows()
        .into_iter()
        .map(|row| recurrence.of(&row.to_vec()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(stack(Axis(0), &plots.iter().map(|plot| plot.view()).collect::<Vec<_>>())?)
}
