//! The main job, end to end: recordings, volumes, labels, explanations, metrics and a report.

mod example;
mod page;
#[allow(dead_code)] // Each program uses a part.
#[path = "../../with_model/mod.rs"]
mod with_model;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use clap::Parser;
use ecg_core::LabelSet;
use ecg_io::{Dataset, LabelSource, NsrRule};
use ecg_metrics::{Report, ReportOptions};
use ecg_synth::SynthOptions;
use ecg3d_convert::{ConvertConfig, ImagePlan, RecurrencePlot, Scratch};
use ecg3d_examples::source::{LabelArgs, Needs, Rows, Source, check_outputs, load};
use ecg3d_examples::stages::Stages;
use ecg3d_examples::synthetic::{Format, write_folder};
use ecg3d_examples::{
    Kept, contradictory, remove_if_there, say, say_err, write_json, write_predictions, write_text,
};
use ecg3d_models::{Model, ModelCard, Precision};
use ndarray::{Array2, Array3, ArrayView2, Axis, s, stack};

use crate::example::{choose, explain};
use crate::page::{Cube, Page};
use with_model::classify::{classify, taken_over};
use with_model::device_args::DeviceArgs;
use with_model::keeping::kept;
use with_model::precision::warn_of_imitation;
use with_model::threads::ThreadsArgs;

/// Number of synthetic recordings that are made if no data is given.
const RECORDS: u64 = 64;

/// The probabilities of all recordings.
const PREDICTIONS: &str = "predictions.csv";
/// One recording's way to its probabilities.
const STAGES: &str = "stages.svg";
const METRICS: &str = "metrics.json";
const PAGE: &str = "report.html";
/// The files that are written into the folder for the report.
const OUTPUTS: [&str; 4] = [PREDICTIONS, STAGES, METRICS, PAGE];

/// Runs the main job, end to end, and writes OUT/report.html: one self-contained page.
///
/// Recordings are prepared with the corrected preset and classified by the 3DECG-Net that ships, which takes a
/// second or two each on two cores. The predictions are evaluated against the labels, if there are any. For
/// each label that was recognised, one recording is explained.
///
/// With --data, finished probabilities are kept in OUT/predictions.csv.part until the report is written. A run
/// interrupted for any reason continues from there when it is started again with the same recordings and
/// --precision on the same device.
#[derive(Parser)]
#[command(name = "quickstart", version)]
struct Arguments {
    /// Folder of WFDB and CSV recordings, with or without labels [default: synthetic recordings, written to
    /// OUT/recordings-VERSION-seed-N]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder for the report and the pictures
    #[arg(long, value_name = "DIR", default_value = "target/quickstart")]
    out: PathBuf,
    /// Discards what an earlier run with --data left in predictions.csv.part
    #[arg(long, requires = "data")]
    restart: bool,
    /// Seed of the synthetic recordings; without effect if --data is given [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Largest number of decisions to explain, one per label; each takes 256 passes of a window through
    /// the network, or 4096 if its limb leads contradict each other
    #[arg(long, value_name = "N", default_value_t = 7)]
    explain: usize,
    /// Arithmetic precision [default: bf16 on a GPU or a processor with Intel AMX, else f32]
    #[arg(long, value_name = "TYPE")]
    precision: Option<Precision>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    labels: LabelArgs,
}

fn main() -> ExitCode {
    ecg3d_examples::run(quickstart)
}

/// What was done, how much of it, and how many seconds it took.
struct Steps(Vec<(String, String, f64)>);

impl Steps {
    fn done(&mut self, start: Instant, what: &str, amount: impl Into<String>) {
        let (amount, seconds) = (amount.into(), start.elapsed().as_secs_f64());
        say_err!("{what}: {amount} ({seconds:.1} s)");
        self.0.push((what.to_owned(), amount, seconds));
    }
}

fn quickstart(arguments: Arguments) -> Result<ExitCode> {
    let out = &arguments.out;
    arguments.threads.set_up_process()?;
    check_outputs(out, &OUTPUTS, None, arguments.data.as_ref(), &arguments.labels)?;
    let mut steps = Steps(Vec::new());

    let (data, about) = input(&arguments, &mut steps)?;
    let config = ConvertConfig::corrected();
    let plan = ImagePlan::new(&config)?;
    let mut source = converted(&data, &arguments.labels, &config, &plan, &mut steps)?;

    let model = model(&arguments)?;
    let named = arguments.labels.labels.is_some();
    let Truths { labels: truth, lacking } = truths(&source, model.labels(), named)?;
    let (rows, probabilities, kept) = classified(&model, &mut source, &arguments, &mut steps)?;

    let start = Instant::now();
    let truth: Vec<Option<Vec<bool>>> = rows.iter().map(|&row| truth[row].clone()).collect();
    let (known, report) = judged(&model, &truth, &probabilities)?;
    if report.is_some() {
        let (labels, of) = (model.labels().len(), known.nrows());
        steps.done(start, "evaluated", format!("{labels} labels of {of} recordings"));
    }

    let start = Instant::now();
    let dataset = Dataset::open(&data, &arguments.labels.dataset_options()?)?;
    let thresholds = model.card().threshold_values();
    let mut chosen = choose(&truth, &probabilities, &thresholds);
    for choice in chosen.iter_mut().filter(|choice| choice.is_some()).skip(arguments.explain) {
        *choice = None;
    }
    let examples = explain(&model, &source, &dataset, &rows, &truth, &probabilities, &chosen)?;
    steps.done(start, "explained", format!("{} decisions", examples.len()));

    // The recording on which the conversion is shown: the first that is explained, or else the first of all.
    let first;
    let (shown, recording) = match examples.first() {
        Some(example) => (example.place, &example.recording),
        None => {
            first = example::recording(&source, &dataset, rows[0])?;
            (0, &first)
        }
    };
    let window = first_window(&source, rows[shown], config.window_samples())?;
    let recurrence = recurrence_plots(window, &config)?;
    let volume = plan.volume_of_window(window)?;
    let stages = Stages {
        recording,
        window,
        window_s: config.window_s,
        recurrence: &recurrence,
        volume: &volume,
        labels: model.labels(),
        probabilities: &probabilities.row(shown).to_vec(),
    }
    .svg()?;
    let page = Page {
        source: &about,
        steps: &steps.0,
        names: &names(&source, &rows),
        probabilities: probabilities.view(),
        thresholds: &thresholds,
        failed: &source.failed,
        labels: model.labels(),
        stages: &stages,
        cube: Cube { name: &recording.name, recurrence: &recurrence, volume: &volume },
        examples: &examples,
        report: report.as_ref(),
        method: &method(&model, lacking.as_deref(), &dataset, &known, rows.len()),
    }
    .html()?;
    write(out, &stages, report.as_ref(), &page)?;
    if let Some(kept) = kept {
        kept.remove()?;
    }
    Ok(source.exit_code())
}

/// Returns the folder of the recordings, and a line on where they come from. Writes synthetic ones if no folder
/// is given.
fn input(arguments: &Arguments, steps: &mut Steps) -> Result<(PathBuf, String)> {
    let Some(dir) = &arguments.data else {
        let seed = arguments.seed.unwrap_or(1);
        return Ok((synthesise(&arguments.out, seed, steps)?, synthetic_about(seed)));
    };
    ensure!(
        dir.is_dir(),
        "{} is not a folder; quickstart shows recordings, which an archive of arrays does not contain: give it the folder of \
         the recordings",
        dir.display()
    );
    if arguments.seed.is_some() {
        say_err!("warning: --seed has no effect: the recordings of --data are used");
    }
    let about = format!(
        "Recordings of {}. If they are of PTB-XL, Georgia, Chapman-Shaoxing or Ningbo, the network may have been trained on \
         some of them, and scores too well.",
        dir.display()
    );
    Ok((dir.clone(), about))
}

/// Reads and prepares the recordings, and converts the first window of each.
fn converted(
    data: &Path,
    labels: &LabelArgs,
    config: &ConvertConfig,
    plan: &ImagePlan,
    steps: &mut Steps,
) -> Result<Source> {
    let start = Instant::now();
    let mut source = load(data, config, labels, Needs::default())?;
    source.drop_without_volumes(plan)?;
    steps.done(start, "read and prepared", format!("{} recordings", source.names.len()));

    let start = Instant::now();
    volumes(&source, plan, config.window_samples())?;
    steps.done(start, "converted", format!("{} volumes of 45x45x45", source.names.len()));
    Ok(source)
}

/// The model that ships, on the device and in the precision asked for.
fn model(arguments: &Arguments) -> Result<Model> {
    let device = arguments.device.device()?;
    let model = Model::shipped(device)?;
    let architecture = model.network().architecture();
    let quickest = || Precision::quickest(architecture, device);
    let precision = arguments.precision.unwrap_or_else(quickest);
    warn_of_imitation(precision, architecture, device);
    Ok(model.with_precision(precision))
}

/// Classifies the recordings and writes the table of probabilities. Returns the rows of the source, their
/// probabilities `[record, label]`, and, with `--data`, what is kept for a run that ends before its report is
/// written.
fn classified(
    model: &Model,
    source: &mut Source,
    arguments: &Arguments,
    steps: &mut Steps,
) -> Result<(Vec<usize>, Array2<f64>, Option<Kept>)> {
    let start = Instant::now();
    let table = arguments.out.join(PREDICTIONS);
    // The synthetic recordings are few, and runs with other seeds or another precision use the same folder.
    let data = arguments.data.as_ref();
    let mut kept = data.map(|_| kept(model, source, &table, arguments.restart)).transpose()?;
    let before = kept.as_ref().map_or(0, |kept| taken_over(model, kept));
    let (rows, probabilities) = classify(model, source, kept.as_mut())?;
    write_predictions(&table, model.labels(), &names(source, &rows), probabilities.view())?;
    let all = rows.len();
    let amount = match rows.iter().filter(|row| **row < before).count() {
        0 => format!("{all} recordings"),
        earlier => format!("{all} recordings, {earlier} of them by an earlier run"),
    };
    steps.done(start, "classified", amount);
    Ok((rows, probabilities, kept))
}

/// The names of some rows of the source.
fn names<'a>(source: &'a Source, rows: &[usize]) -> Vec<&'a str> {
    rows.iter().map(|&row| source.names[row].as_str()).collect()
}

/// The labels `[record, label]` of the recordings that have any, and the metrics on these; none if there are no
/// such recordings.
fn judged(
    model: &Model,
    truth: &[Option<Vec<bool>>],
    probabilities: &Array2<f64>,
) -> Result<(Array2<bool>, Option<Report>)> {
    let judged: Vec<usize> = (0..truth.len()).filter(|&place| truth[place].is_some()).collect();
    let known = Array2::from_shape_vec(
        (judged.len(), model.labels().len()),
        truth.iter().flatten().flatten().copied().collect(),
    )?;
    if judged.is_empty() {
        return Ok((known, None));
    }
    let own = probabilities.select(Axis(0), &judged);
    let thresholds = model.card().threshold_values();
    let options = report_options(model.card());
    let report = Report::new(model.labels(), known.view(), own.view(), &thresholds, &options)?;
    Ok((known, Some(report)))
}

/// Describes how the recordings were prepared, what the network is, and what the truth is based on. `known` are
/// the labels of the judged recordings, of `all`.
fn method(
    model: &Model,
    lacking: Option<&str>,
    dataset: &Dataset,
    known: &Array2<bool>,
    all: usize,
) -> [String; 3] {
    let network = model.network();
    [
        "Preparation: the corrected preset, the whole recording denoised at 0.5 Hz and resampled to 50 Hz, windows of 2 s every 1 s."
            .to_owned(),
        format!(
            "Network: {model}, {} trainable parameters, arithmetic in {}; the {} of the logits of a recording's windows. \
             Its weights: {}.",
            network.parameter_count().1,
            network.precision(),
            model.card().window_pooling,
            model.card().origin.as_deref().unwrap_or("of unknown origin")
        ),
        match lacking {
            Some(lacking) => format!("Nothing is judged: {lacking}."),
            None => about_labels(
                dataset.label_source(),
                dataset.nsr_rule(),
                [contradictory(model.labels(), known.view()), known.nrows(), all],
            ),
        },
    ]
}

/// Writes the results except the predictions, and says what they are.
fn write(out: &Path, stages: &str, report: Option<&Report>, page: &str) -> Result<()> {
    write_text(&out.join(STAGES), stages)?;
    let metrics = out.join(METRICS);
    match report {
        Some(report) => {
            write_json(&metrics, report)?;
            say!("{report}");
        }
        // Metrics of an earlier run would be taken for those of this one.
        None => {
            remove_if_there(&metrics)?;
        }
    }
    let place = out.join(PAGE);
    write_text(&place, page)?;
    say!("report: {}", place.display());
    Ok(())
}

fn synthetic_about(seed: u64) -> String {
    format!(
        "{RECORDS} synthetic recordings, seed {seed}: made by a formula, with known labels. A score on them says that the \
         parts work together, and nothing about a clinic; docs/results.md has the scores on real recordings."
    )
}

/// The truth about the records.
#[derive(Debug, PartialEq)]
struct Truths {
    /// The labels of each record, in the order of the network's; none if the source lacks one of those.
    labels: Vec<Option<Vec<bool>>>,
    /// Why no record has labels.
    lacking: Option<String>,
}

/// Collects the true labels. If no record has labels, the predictions cannot be evaluated, but everything else
/// is shown, unless a table of labels was `named`.
fn truths(source: &Source, labels: &LabelSet, named: bool) -> Result<Truths> {
    let lacking: Vec<&str> =
        labels.iter().filter(|label| source.label_set.index_of(label).is_none()).collect();
    let columns: Vec<usize> =
        labels.iter().filter_map(|label| source.label_set.index_of(label)).collect();
    let of = |own: &Option<Vec<bool>>| {
        let own = own.as_ref().filter(|_| lacking.is_empty())?;
        Some(columns.iter().map(|&column| own[column]).collect())
    };
    let truths: Vec<Option<Vec<bool>>> = source.labels.iter().map(of).collect();
    if truths.iter().any(Option::is_some) {
        return Ok(Truths { labels: truths, lacking: None });
    }
    let why = match lacking.is_empty() {
        true => format!("no labels in {}", source.label_source),
        false => format!("no column {} in {}", lacking.join(", "), source.label_source),
    };
    ensure!(!named, "{why}; expected each of {labels}");
    say_err!("{why}: the predictions are not evaluated");
    Ok(Truths { labels: truths, lacking: Some(why) })
}

/// Describes what the truth is based on, and how many of all recordings have labels that contradict one
/// another.
fn about_labels(
    source: &LabelSource,
    rule: NsrRule,
    [contradictory, judged, all]: [usize; 3],
) -> String {
    let means = match (source, rule) {
        (LabelSource::File(_), _) => "it leaves a table of labels as it stands",
        (_, NsrRule::Challenge) => "NSR counts whatever other rhythm is stated",
        (_, NsrRule::Rhythm) => "NSR counts only where it is the rhythm",
    };
    format!(
        "Labels: {source}; NSR rule: {rule} ({means}). Judged: {judged} of {all} recordings, those with labels. Labelled NSR \
         together with AF, SB or STach: {contradictory} of {judged}."
    )
}

/// Names the source of the thresholds as `evaluate` does.
fn report_options(card: &ModelCard) -> ReportOptions {
    let source = if card.thresholds.is_some() { "weights" } else { "default 0.5" };
    ReportOptions::default().with_threshold_source(source)
}

/// Writes the synthetic recordings and returns their folder.
fn synthesise(out: &Path, seed: u64, steps: &mut Steps) -> Result<PathBuf> {
    let start = Instant::now();
    // Another version may make other recordings.
    let dir = out.join(format!("recordings-{}-seed-{seed}", env!("CARGO_PKG_VERSION")));
    write_folder(&dir, RECORDS, SynthOptions::default().with_seed(seed), Format::Wfdb)?;
    steps.done(start, "synthesised", format!("{RECORDS} recordings of 12 leads and 10 s"));
    Ok(dir)
}

/// Converts the first window of every record, of `window` samples, one volume at a time.
fn volumes(source: &Source, plan: &ImagePlan, window: usize) -> Result<()> {
    let Rows::Prepared { signals, .. } = &source.rows else { return Ok(()) };
    let [depth, height, width] = plan.volume_shape();
    let mut volume = Array3::<f32>::zeros((depth, height, width));
    let mut scratch = Scratch::new();
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

/// The first window `[lead, sample]` of a row, of `samples` samples.
fn first_window(source: &Source, row: usize, samples: usize) -> Result<ArrayView2<'_, f32>> {
    let Rows::Prepared { signals, .. } = &source.rows else {
        bail!("found volumes, expected recordings");
    };
    Ok(signals.slice(s![row, .., ..samples]))
}

/// The recurrence plots `[lead, time, time]` of a window `[lead, sample]`.
fn recurrence_plots(window: ArrayView2<'_, f32>, config: &ConvertConfig) -> Result<Array3<f32>> {
    let recurrence = RecurrencePlot::new(config.embedding_dimension, config.embedding_delay)?;
    let plots = window
        .rows()
        .into_iter()
        .map(|row| recurrence.of(&row.to_vec()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(stack(Axis(0), &plots.iter().map(|plot| plot.view()).collect::<Vec<_>>())?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn thresholds_are_those_of_the_weights() {
        let model = Model::shipped(Device::Cpu).expect("loads");
        assert_eq!(report_options(model.card()).threshold_source, "weights");
    }

    #[test]
    fn an_archive_is_refused_with_advice() {
        let arguments = Arguments::parse_from(["quickstart", "--data", "x.npz"]);
        let error = input(&arguments, &mut Steps(Vec::new())).expect_err("no folder").to_string();
        assert!(error.starts_with("x.npz is not a folder; "), "{error}");
        assert!(error.ends_with(": give it the folder of the recordings"), "{error}");
    }

    #[test]
    fn labels_that_lack_one_of_the_networks_judge_nothing() {
        let rows = Rows::Prepared { signals: Array3::zeros((2, 12, 100)), lengths: vec![100; 2] };
        let mut source = Source::unlabelled(["a", "b"].map(str::to_owned).to_vec(), rows);
        source.label_set = LabelSet::new(["AF", "NSR"]).expect("two");
        source.labels[0] = Some(vec![true, false]);
        let of =
            |labels: [&str; 2], named| truths(&source, &LabelSet::new(labels).expect("two"), named);
        let known = of(["NSR", "AF"], true).expect("known");
        assert_eq!(known.labels, [Some(vec![false, true]), None]);
        assert_eq!(known.lacking, None);
        let nothing = of(["NSR", "SB"], false).expect("nothing to judge");
        assert_eq!(nothing.labels, [None, None]);
        assert_eq!(nothing.lacking.as_deref(), Some("no column SB in nowhere"));
        let error = of(["NSR", "SB"], true).expect_err("asked for").to_string();
        assert_eq!(error, "no column SB in nowhere; expected each of NSR,SB");
    }

    #[test]
    fn an_interrupted_classification_of_given_recordings_goes_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let model = Model::shipped(Device::Cpu).expect("loads").with_batch(1);
        let signals =
            Array3::from_shape_fn((2, 12, 100), |(n, lead, t)| ((n + lead) * t % 17) as f32);
        let rows = Rows::Prepared { signals, lengths: vec![100; 2] };
        let source = Source::unlabelled(["a", "b"].map(str::to_owned).to_vec(), rows);
        let mut before = kept(&model, &source, &dir.path().join(PREDICTIONS), false)
            .expect("nothing is there yet");
        let first = Array2::from_elem((1, 7), 0.125);
        before.keep(first.view()).expect("writes");
        let again = |flags: &[&str]| {
            let mut arguments = Arguments::parse_from(["quickstart"].iter().chain(flags));
            arguments.out = dir.path().to_owned();
            let mut steps = Steps(Vec::new());
            let (rows, probabilities, kept) =
                classified(&model, &mut source.clone(), &arguments, &mut steps)
                    .expect("classifies");
            assert_eq!((rows, steps.0.len()), (vec![0, 1], 1));
            (probabilities, kept, steps.0.remove(0).1)
        };
        let (probabilities, _, amount) = again(&["--data", "d"]);
        assert_eq!(probabilities.row(0), first.row(0));
        assert_eq!(amount, "2 recordings, 1 of them by an earlier run");
        // The report is still to be written.
        let part = dir.path().join("predictions.csv.part");
        assert!(part.exists());

        // A run with synthetic recordings keeps nothing, and leaves alone what others have kept.
        std::fs::write(&part, "of others\n").expect("writes");
        let (probabilities, kept, amount) = again(&[]);
        assert_ne!(probabilities.row(0), first.row(0));
        assert!(kept.is_none());
        assert_eq!(amount, "2 recordings");
        assert_eq!(std::fs::read_to_string(&part).expect("reads"), "of others\n");

        let (probabilities, kept, _) = again(&["--data", "d", "--restart"]);
        assert_ne!(probabilities.row(0), first.row(0));
        kept.expect("keeps").remove().expect("removes");
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1);
    }

    #[test]
    fn only_given_recordings_have_something_to_restart() {
        let parse = |words: &[&str]| Arguments::try_parse_from(["quickstart"].iter().chain(words));
        let error = parse(&["--restart"]).err().expect("nothing is kept");
        assert_eq!(error.kind(), clap::error::ErrorKind::MissingRequiredArgument);
        assert!(parse(&["--restart", "--data", "d"]).is_ok());
    }

    #[test]
    fn all_flags_of_the_main_job_may_be_given_at_once() {
        let words = ["quickstart", "--data", "d", "--out", "o", "--seed", "9"];
        assert_eq!(Arguments::parse_from(words).seed, Some(9));
    }

    #[test]
    fn the_rule_of_the_labels_is_named() {
        let comments = about_labels(&LabelSource::Comments, NsrRule::Rhythm, [2, 30, 31]);
        assert!(comments.starts_with("Labels: the #Dx: comments of the records; NSR rule: rhythm"));
        assert!(comments.contains("Judged: 30 of 31 recordings"));
        assert!(comments.ends_with("together with AF, SB or STach: 2 of 30."));
        let table = LabelSource::File("labels.csv".into());
        let table = about_labels(&table, NsrRule::Challenge, [0, 1, 1]);
        assert!(table.contains("NSR rule: challenge (it leaves a table"), "{table}");
    }

    #[test]
    fn the_place_of_the_report_comes_before_the_work() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("report.html")).expect("makes it");
        let mut arguments = Arguments::parse_from(["quickstart", "--data", "absent"]);
        arguments.out = dir.path().to_owned();
        let error = quickstart(arguments).expect_err("no place");
        assert!(
            error.to_string().ends_with("found a folder, expected the name of a file"),
            "{error}"
        );
    }
}
