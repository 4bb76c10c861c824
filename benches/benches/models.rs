//! The networks: inference, and a step of training, in f32 on the CPU.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ecg3d_models::{Architecture, InputKind, KerasAdam, Network, Preset, bce_from_logits};
use tch::{Device, Kind, Tensor};

fn input(architecture: Architecture, batch: i64) -> Tensor {
    tch::manual_seed(1);
    let mut shape = vec![batch];
    shape.extend(architecture.input_shape().iter().map(|&n| n as i64));
    match architecture.input() {
        InputKind::Volume => Tensor::rand(&shape, (Kind::Float, Device::Cpu)),
        InputKind::Signal => Tensor::randn(&shape, (Kind::Float, Device::Cpu)),
    }
}

fn network(architecture: Architecture) -> Network {
    Network::new(architecture, Preset::Corrected, 7, Device::Cpu, 1).expect("a network")
}

fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("forward, f32");
    group.sample_size(10);
    for (architecture, batch) in
        [(Architecture::ThreeDEcgNet, 1), (Architecture::Ribeiro, 1), (Architecture::Ribeiro, 32)]
    {
        let network = network(architecture);
        let x = input(architecture, batch);
        group.throughput(Throughput::Elements(batch as u64));
        for threads in [1, 2] {
            tch::set_num_threads(threads);
            let id = format!("batch {batch}, {threads} threads");
            group.bench_function(BenchmarkId::new(architecture.name(), id), |b| {
                b.iter(|| {
                    let out = tch::no_grad(|| network.forward_logits(black_box(&x), false));
                    f64::try_from(out.expect("predicts").sum(Kind::Float)).expect("a number")
                });
            });
        }
    }
    group.finish();
}

fn training_step(c: &mut Criterion) {
    let mut group = c.benchmark_group("training step, f32");
    group.sample_size(10);
    for (architecture, batch) in [(Architecture::ThreeDEcgNet, 4), (Architecture::Ribeiro, 32)] {
        let network = network(architecture);
        let named =
            network.trainable().map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
        let mut adam = KerasAdam::new(named, 0.0).expect("an optimizer");
        let x = input(architecture, batch);
        let y = Tensor::zeros([batch, 7], (Kind::Float, Device::Cpu));
        group.throughput(Throughput::Elements(batch as u64));
        for threads in [1, 2] {
            tch::set_num_threads(threads);
            let id = format!("batch {batch}, {threads} threads");
            group.bench_function(BenchmarkId::new(architecture.name(), id), |b| {
                b.iter(|| {
                    adam.zero_grad();
                    let logits = network.forward_logits(black_box(&x), true).expect("predicts");
                    let loss = bce_from_logits(&logits, &y, None).expect("a loss");
                    loss.backward();
                    adam.step(1e-3).expect("a step");
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, forward, training_step);
criterion_main!(benches);
