//! Measures how often each method points at the cause, on recordings whose cause is known because it was
//! planted.
//!
//! `cargo run --release -p ecg3d-examples --example known_cause`
//!
//! The recordings last two seconds and are in normal sinus rhythm, except that some leads are replaced by those
//! of another recording. In one half, that recording has left bundle branch block, which is then the only
//! reason for the label; in the other half, it is healthy. Ribeiro's network learns to tell the halves apart,
//! and unseen recordings with the label that it recognises are explained. A second network of the same kind
//! with fresh weights shows how high such a score is by chance.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ecg_core::{LabelSet, Lead, SamplingRate};
use ecg_lime::{
    Baseline, EvaluateOptions, ExplainOptions, Explanation, Method, Players, SampleOptions,
    SampledShapley, Segments, SubsetEvaluations, Subsets, Target,
};
use ecg_synth::{Condition, Conduction, Rhythm, SynthOptions, Synthesizer};
use ecg3d_convert::{ConvertConfig, ConvertPlan};
use ecg3d_examples::Progress;
use ecg3d_models::{
    Architecture, Model, ModelCard, Network, Preset, TrainConfig, TrainData, train,
};
use ndarray::{Array2, Array3, ArrayView2, Axis, s};
use tch::Device;

/// The one label.
const LABEL: &str = "planted";
/// The recordings that leads are taken from are this many records further on.
const FURTHER: u64 = 1_000_000;
/// Number of recordings for the background baseline.
const BACKGROUND: usize = 2;

/// Reports how often each method points at a planted cause.
#[derive(Parser)]
struct Arguments {
    /// Recordings for training and evaluation; a fifth is kept unseen
    #[arg(long, default_value_t = 600)]
    records: u64,
    /// Passes over the recordings
    #[arg(long, default_value_t = 10)]
    epochs: usize,
    /// Decisions to explain in each experiment
    #[arg(long, default_value_t = 20)]
    explain: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Recordings, and the leads planted in each.
struct Planted {
    /// `[record, lead, sample]`.
    signals: Array3<f32>,
    labels: Array2<bool>,
    /// The leads that were replaced.
    causes: Vec<Vec<Lead>>,
}

fn main() -> ExitCode {
    ecg3d_examples::run(known_cause)
}

fn known_cause(arguments: Arguments) -> Result<ExitCode> {
    let both = |_: u64| vec![Lead::V1, Lead::V6];
    const CHEST: [Lead; 6] = [Lead::V1, Lead::V2, Lead::V3, Lead::V4, Lead::V5, Lead::V6];
    // Each chest lead is equally often among the planted (odd) and among the others (even).
    let one = |index: u64| vec![CHEST[(index / 2 % 6) as usize]];
    experiment("in V1 and V6", &arguments, both)?;
    experiment("in one chest lead, another in each recording", &arguments, one)?;
    Ok(ExitCode::SUCCESS)
}

fn experiment(what: &str, arguments: &Arguments, cause: impl Fn(u64) -> Vec<Lead>) -> Result<()> {
    let planted = plant(arguments, cause)?;
    let n = planted.causes.len();
    let unseen = n - n / 5;
    let model = learn(&planted, unseen, arguments)?;
    let p = model.predict_prepared(planted.signals.slice(s![unseen.., .., ..]), None)?;
    let right = |row: usize| (p[[row - unseen, 0]] > 0.5) == planted.labels[[row, 0]];
    let accuracy = (unseen..n).filter(|row| right(*row)).count() as f64 / (n - unseen) as f64;
    let rows: Vec<usize> = (unseen..n)
        .filter(|row| planted.labels[[*row, 0]] && right(*row))
        .take(arguments.explain)
        .collect();
    ensure!(!rows.is_empty(), "{what}: the network recognised no unseen recording");
    let random = untrained(&model, arguments.seed + 1)?;
    println!(
        "\nplanted {what}: {:.1} % of {} unseen recordings right",
        100.0 * accuracy,
        n - unseen
    );
    println!("| method | top lead is a cause | all causes on top | share of the positive values |");
    println!("|---|---|---|---|");
    let progress = Progress::new(rows.len() as u64, "decisions explained");
    let mut scores: Vec<(String, [f64; 3])> = Vec::new();
    for &row in &rows {
        let signal = planted.signals.index_axis(Axis(0), row);
        // Healthy recordings from the training set.
        let others = (0..unseen).filter(|other| !planted.labels[[*other, 0]]).take(BACKGROUND);
        let others: Vec<Array2<f32>> =
            others.map(|row| planted.signals.index_axis(Axis(0), row).to_owned()).collect();
        let mut found = explanations(&model, signal, &others, arguments.seed)?;
        let zero = subsets(&random, signal, true, &Subsets::All, Baseline::Zero)?;
        let by_chance = of(&zero, Method::Shapley)?;
        found.push(("Shapley, a network with random weights".to_owned(), Some(by_chance)));
        for (k, (name, explanation)) in found.into_iter().enumerate() {
            if scores.len() == k {
                scores.push((name, [0.0; 3]));
            }
            let own = explanation.map_or([0.0; 3], |own| score(&own, &planted.causes[row]));
            scores[k].1.iter_mut().zip(own).for_each(|(sum, own)| *sum += own / rows.len() as f64);
        }
        progress.inc(1);
    }
    progress.finish();
    for (name, [top, all, share]) in scores {
        println!("| {name} | {:.0} % | {:.0} % | {share:.2} |", 100.0 * top, 100.0 * all);
    }
    println!("{} decisions", rows.len());
    Ok(())
}

/// Makes the recordings, of which every second one is planted.
fn plant(arguments: &Arguments, cause: impl Fn(u64) -> Vec<Lead>) -> Result<Planted> {
    let options = SynthOptions::default().with_seed(arguments.seed).with_seconds(2.0);
    let synthesizer = Synthesizer::new(options)?;
    let healthy = Condition::new(Rhythm::NormalSinus);
    let ill = healthy.with_conduction(Conduction::LeftBundleBranchBlock);
    let (mut signals, mut labels, mut causes) = (Vec::new(), Vec::new(), Vec::new());
    let rate = SamplingRate::new(SynthOptions::default().sampling_rate_hz)?;
    let plan = ConvertPlan::new(ConvertConfig::corrected(), rate)?;
    for index in 0..arguments.records {
        let is_ill = index % 2 == 1;
        let mut recording = synthesizer.record_with(index, &healthy)?.recording;
        let stranger = if is_ill { &ill } else { &healthy };
        let stranger = synthesizer.record_with(FURTHER + index, stranger)?.recording;
        for lead in cause(index) {
            let row = stranger.signal.row(lead.index());
            recording.signal.row_mut(lead.index()).assign(&row);
        }
        // In mV: the corrected preset does not use the stored integers.
        recording.adc = None;
        let prepared = plan.prepare(&recording)?;
        signals.push(prepared.real().to_owned());
        labels.push(is_ill);
        causes.push(cause(index));
    }
    let views: Vec<_> = signals.iter().map(|own| own.view()).collect();
    let labels = Array2::from_shape_vec((labels.len(), 1), labels)?;
    Ok(Planted { signals: ndarray::stack(Axis(0), &views)?, labels, causes })
}

fn learn(planted: &Planted, unseen: usize, arguments: &Arguments) -> Result<Model> {
    let names: Vec<String> = (0..planted.causes.len()).map(|row| row.to_string()).collect();
    let labels = LabelSet::new([LABEL])?;
    let data = TrainData {
        lengths: vec![planted.signals.len_of(Axis(2)); names.len()],
        prepared: planted.signals.clone(),
        labels: planted.labels.clone(),
        label_set: labels.clone(),
        patients: names.clone(),
        names,
    };
    let mut network =
        Network::new(Architecture::Ribeiro, Preset::Corrected, 1, Device::Cpu, arguments.seed)?;
    let config = ConvertConfig::corrected();
    let card = ModelCard::new(Architecture::Ribeiro, Preset::Corrected, labels, config);
    let recipe = TrainConfig::corrected()
        .with_epochs(arguments.epochs)
        .with_batch(16)
        .with_seed(arguments.seed);
    let (learnt, held_back): (Vec<usize>, Vec<usize>) = (0..unseen).partition(|row| row % 8 < 7);
    let outcome = train(&mut network, &card, &data, &learnt, &held_back, &recipe, &mut |_| {
        ControlFlow::Continue(())
    })?;
    Ok(Model::new(network, outcome.card)?)
}

fn untrained(model: &Model, seed: u64) -> Result<Model> {
    let network = Network::new(Architecture::Ribeiro, Preset::Corrected, 1, Device::Cpu, seed)?;
    Ok(Model::new(network, model.card().clone())?)
}

/// Returns one explanation by each method; `None` for the published LIME if all hard labels agree.
fn explanations(
    model: &Model,
    signal: ArrayView2<'_, f32>,
    others: &[Array2<f32>],
    seed: u64,
) -> Result<Vec<(String, Option<Explanation>)>> {
    let mut found = Vec::new();
    let mut add = |name: &str, own: Explanation| found.push((name.to_owned(), Some(own)));
    let zero = subsets(model, signal, true, &Subsets::All, Baseline::Zero)?;
    add("Shapley, 8 leads, zero", of(&zero, Method::Shapley)?);
    add("LIME on all subsets, 8 leads, zero", of(&zero, Method::Lime)?);
    let background = Baseline::Background(others.to_vec());
    let background = subsets(model, signal, true, &Subsets::All, background)?;
    add("Shapley, 8 leads, background", of(&background, Method::Shapley)?);
    let players = Players::independent(&Lead::STANDARD_12)?;
    let segments = Segments::equal(&players, signal.ncols(), 2)?;
    let options = SampleOptions::default().with_permutations(16).with_seed(seed);
    let walks = SampledShapley::new(model, signal, &segments, &options, &mut |_, _| {
        ControlFlow::Continue(())
    })?;
    let mut walked = walks.explain(LABEL, Target::Logit)?;
    walked.values = walked.by_lead();
    add("Shapley by permutation, 8 leads x 2 halves, zero", walked);
    let sampled = Subsets::Sampled { samples: 500, seed };
    let sampled = subsets(model, signal, false, &sampled, Baseline::Zero)?;
    add("LIME on 500 random subsets, 12 leads, zero", of(&sampled, Method::LimeSampled)?);
    let published = subsets(model, signal, false, &Subsets::Removed(4), Baseline::Zero)?;
    let options = ExplainOptions::default().with_method(Method::Published);
    let published = published.explain(LABEL, &options)?.explanation().cloned();
    found.push(("published LIME, 12 leads".to_owned(), published));
    Ok(found)
}

fn subsets(
    model: &Model,
    signal: ArrayView2<'_, f32>,
    eight: bool,
    subsets: &Subsets,
    baseline: Baseline,
) -> Result<SubsetEvaluations> {
    let players = match eight {
        true => Players::independent(&Lead::STANDARD_12)?,
        false => Players::leads(&Lead::STANDARD_12),
    };
    let options = EvaluateOptions::default().with_baseline(baseline).with_einthoven_tolerance(0.05);
    let go_on = &mut |_, _| ControlFlow::Continue(());
    Ok(SubsetEvaluations::new(model, signal, &players, subsets, &options, go_on)?)
}

fn of(evaluations: &SubsetEvaluations, method: Method) -> Result<Explanation> {
    let options = ExplainOptions::default().with_method(method).with_target(Target::Logit);
    let outcome = evaluations.explain(LABEL, &options)?;
    Ok(outcome.explanation().context("this method always has values")?.clone())
}

/// Returns whether the largest value belongs to a cause, whether the largest values are exactly those of the
/// causes, and the causes' share of the positive values.
fn score(own: &Explanation, causes: &[Lead]) -> [f64; 3] {
    let is_cause = |lead: &str| causes.iter().any(|cause| cause.name() == lead);
    let mut order: Vec<_> = own.values.iter().filter(|own| own.value > 0.0).collect();
    order.sort_by(|a, b| b.value.total_cmp(&a.value));
    let positive: f64 = order.iter().map(|own| own.value).sum();
    let causes_own = order.iter().filter(|own| is_cause(&own.lead)).map(|own| own.value);
    let share = if positive > 0.0 { causes_own.sum::<f64>() / positive } else { 0.0 };
    let top = order.first().is_some_and(|own| is_cause(&own.lead));
    let all =
        order.len() >= causes.len() && order[..causes.len()].iter().all(|own| is_cause(&own.lead));
    [f64::from(u8::from(top)), f64::from(u8::from(all)), share]
}
