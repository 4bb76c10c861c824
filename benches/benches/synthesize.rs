//! The synthesizer: recordings with their truth, without writing them.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ecg_synth::{Condition, Rhythm, SynthOptions, Synthesizer};

fn synthesize(c: &mut Criterion) {
    let synthesizer = Synthesizer::new(SynthOptions::default()).expect("default options");
    let mut group = c.benchmark_group("synthesize");
    group.throughput(Throughput::Elements(1));
    // In fibrillation, the waves of the atria are computed at every sample as well.
    for rhythm in [Rhythm::NormalSinus, Rhythm::AtrialFibrillation] {
        let condition = Condition::new(rhythm);
        group.bench_function(
            BenchmarkId::new(format!("{rhythm:?}"), "[12, 5000] at 500 Hz"),
            |b| {
                b.iter(|| synthesizer.record_with(black_box(7), &condition).expect("possible"));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, synthesize);
criterion_main!(benches);
