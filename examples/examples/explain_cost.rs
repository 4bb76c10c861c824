//! Measures what explanations cost beyond the forward passes, in processor time, with an untrained network
//! (which costs the same as a trained one).
//!
//! `cargo run --release -p ecg3d-examples --example explain_cost -- --model 3decgnet --precision bf16`

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ecg_core::{LabelSet, Lead};
use ecg_lime::{EvaluateOptions, Players, SubsetEvaluations, Subsets, published_masks};
use ecg3d_convert::{ConvertConfig, ImagePlan};
use ecg3d_examples::usage::processor_seconds;
use ecg3d_models::{Architecture, InputKind, Model, ModelCard, Network, Precision, Preset};
use ndarray::{Array2, s};
use tch::{Device, Kind, Tensor, no_grad};

/// Compares the evaluation of subsets with bare forward passes of as many inputs, in turns, on one thread.
#[derive(Parser)]
struct Arguments {
    /// 3decgnet, zhang, sobahi or ribeiro
    #[arg(long, default_value = "3decgnet")]
    model: Architecture,
    /// f32 or bf16
    #[arg(long, default_value_t = Precision::F32)]
    precision: Precision,
    /// Inputs per round, 3 to 795: all and none of the leads, and some of the published 793 subsets; rounded to
    /// whole batches
    #[arg(long, default_value_t = 32)]
    inputs: usize,
    /// Rounds of each of the two
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Inputs that go through the network at once [default: the model's]
    #[arg(long)]
    batch: Option<usize>,
}

fn main() -> ExitCode {
    ecg3d_examples::run(cost)
}

fn cost(arguments: Arguments) -> Result<ExitCode> {
    ecg3d_models::keep_freed_memory();
    tch::set_num_threads(1);
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let (architecture, mode) = (arguments.model, Preset::Published);
    let network = Network::new(architecture, mode, 7, Device::Cpu, 1)?;
    let config = ConvertConfig::published();
    let card = ModelCard::new(architecture, mode, LabelSet::seven(), config.clone());
    let mut model = Model::new(network, card)?.with_precision(arguments.precision);
    if let Some(batch) = arguments.batch {
        model = model.with_batch(batch);
    }
    // One prepared signal, [lead, sample]; its contents do not matter.
    let signal = Array2::from_shape_fn((12, 100), |(lead, t)| {
        ((t * (lead + 2)) as f32 * 0.05).sin() * 100.0
    });
    let players = Players::leads(&Lead::STANDARD_12);
    let mut masks = published_masks();
    let batches = (arguments.inputs / model.batch()).max(1);
    let count = batches.saturating_mul(model.batch());
    // With any other number, the two sides would do unequal work.
    ensure!(
        (3..=masks.len() + 2).contains(&count),
        "found {count} inputs in whole batches, expected 3 to {}",
        masks.len() + 2
    );
    masks.truncate(count - 2);
    let options = EvaluateOptions::default().with_batch(model.batch());

    let inputs = inputs(&model, &config, &signal)?;
    let [mut bare, mut whole] = [0.0; 2];
    let mut evaluated = 0;
    let processor = || processor_seconds().context("the system does not tell processor times");
    // The first round only warms up.
    for round in 0..=arguments.rounds {
        let start = processor()?;
        let go_on = &mut |_, _| ControlFlow::Continue(());
        let given = Subsets::Given(masks.clone());
        let found =
            SubsetEvaluations::new(&model, signal.view(), &players, &given, &options, go_on)?;
        let middle = processor()?;
        for _ in 0..batches {
            let logits = no_grad(|| model.network().forward_logits(&inputs, false))?;
            std::hint::black_box(f64::try_from(logits.sum(Kind::Float))?);
        }
        if round > 0 {
            whole += middle - start;
            bare += processor()? - middle;
            evaluated += found.evaluations();
        }
    }
    let ms = |seconds: f64| 1e3 * seconds / evaluated as f64;
    println!(
        "{} {}, batch {}, {evaluated} of each: forward {:.2} ms, with explanation {:.2} ms ({:+.1} %); \
         795 inputs {:.1} s, 4096 inputs {:.1} s of processor time",
        architecture.name(),
        arguments.precision,
        model.batch(),
        ms(bare),
        ms(whole),
        100.0 * (whole / bare - 1.0),
        795.0 * whole / evaluated as f64,
        4096.0 * whole / evaluated as f64
    );
    Ok(ExitCode::SUCCESS)
}

/// Returns a batch of the network's input.
fn inputs(model: &Model, config: &ConvertConfig, signal: &Array2<f32>) -> Result<Tensor> {
    let one: Vec<f32> = match model.network().architecture().input() {
        InputKind::Signal => signal.iter().copied().collect(),
        InputKind::Volume => {
            let plan = ImagePlan::new(config)?;
            plan.volume_of_window(signal.slice(s![.., ..100]))?.into_iter().collect()
        }
    };
    let mut shape = vec![model.batch() as i64];
    shape.extend(model.network().architecture().input_shape().iter().map(|n| *n as i64));
    Ok(Tensor::from_slice(&one.repeat(model.batch())).reshape(&shape))
}
