//! The networks on the CPU: from prepared signals to probabilities, and a training step.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ecg_core::LabelSet;
use ecg3d_models::{
    Architecture, KerasAdam, Model, ModelCard, Network, Precision, Preset, bce_from_logits,
    keep_freed_memory,
};
use ndarray::Array3;
use tch::{Device, Kind, Tensor};

const MODE: Preset = Preset::Corrected;

fn network(architecture: Architecture, precision: Precision) -> Network {
    let network = Network::new(architecture, MODE, 7, Device::Cpu, 1);
    let mut network = network.expect("a network");
    network.set_precision(precision);
    network
}

/// Waves with a different frequency in each lead, `[record, lead, sample]`.
fn signals(records: usize, [leads, samples]: [usize; 2]) -> Array3<f32> {
    Array3::from_shape_fn((records, leads, samples), |(n, lead, t)| {
        ((t * (lead + 2) + 31 * n) as f32 * 0.05).sin()
    })
}

/// Returns whether the processor has what a network needs for a number type; otherwise says that it is skipped, because
/// emulation takes many times as long and shows nothing.
fn is_native(architecture: Architecture, precision: Precision) -> bool {
    let native = precision.is_native(architecture, Device::Cpu);
    if !native {
        eprintln!("skipped: {architecture} in {precision}, which this processor would emulate");
    }
    native
}

/// `3decgnet/[1, 12, 100], 1 threads`.
fn id(architecture: Architecture, shape: &[usize], threads: i32) -> BenchmarkId {
    BenchmarkId::new(architecture.name(), format!("{shape:?}, {threads} threads"))
}

/// Measures what `predict` and all users of the library call, volumes included.
fn predict(c: &mut Criterion) {
    keep_freed_memory();
    for precision in [Precision::F32, Precision::Bf16] {
        let mut group = c.benchmark_group(format!("predict, {precision}"));
        group.sample_size(10);
        for (architecture, records) in [
            (Architecture::ThreeDEcgNet, 1),
            (Architecture::Zhang, 1),
            (Architecture::Sobahi, 1),
            (Architecture::Ribeiro, 1),
            (Architecture::Ribeiro, 32),
            (Architecture::ResNet1d, 32),
        ] {
            if !is_native(architecture, precision) {
                continue;
            }
            let card = ModelCard::new(
                architecture,
                MODE,
                LabelSet::seven(),
                architecture.preprocessing(MODE),
            );
            let model = Model::new(network(architecture, precision), card).expect("a model");
            let x = signals(records, architecture.window_shape());
            group.throughput(Throughput::Elements(records as u64));
            for threads in [1, 2] {
                tch::set_num_threads(threads);
                group.bench_function(id(architecture, x.shape(), threads), |b| {
                    b.iter(|| model.predict_prepared(black_box(x.view()), None).expect("predicts"));
                });
            }
        }
        group.finish();
    }
}

/// Measures forward, backward and Adam on inputs that are ready. The training engine also makes the inputs,
/// reads the loss, and clips gradients if told to.
fn training_step(c: &mut Criterion) {
    for precision in [Precision::F32, Precision::Bf16] {
        let mut group = c.benchmark_group(format!("training step, {precision}"));
        group.sample_size(10);
        for (architecture, records) in [
            (Architecture::ThreeDEcgNet, 4),
            (Architecture::Ribeiro, 32),
            (Architecture::ResNet1d, 32),
        ] {
            if !is_native(architecture, precision) {
                continue;
            }
            let network = network(architecture, precision);
            let mut adam = KerasAdam::of(&network, 0.0).expect("an optimizer");
            let shape = [&[records], architecture.input_shape()].concat();
            let sizes: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
            tch::manual_seed(1);
            let x = Tensor::rand(&sizes, (Kind::Float, Device::Cpu));
            let y = Tensor::zeros([records as i64, 7], (Kind::Float, Device::Cpu));
            group.throughput(Throughput::Elements(records as u64));
            for threads in [1, 2] {
                tch::set_num_threads(threads);
                group.bench_function(id(architecture, &shape, threads), |b| {
                    b.iter(|| {
                        adam.zero_grad();
                        let forward = network.forward_train(black_box(&x)).expect("predicts");
                        let loss = bce_from_logits(forward.logits(), &y, None).expect("a loss");
                        forward.backward(&loss).expect("goes back");
                        adam.step(1e-3).expect("a step");
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, predict, training_step);
criterion_main!(benches);
