//! The converter on one core: prepared signals, images, volumes, and the volumes of subsets of leads.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ecg_core::{Adc, Lead, LeadMask, Recording, SamplingRate};
use ecg_lime::published_masks;
use ecg3d_convert::{ConvertConfig, ConvertPlan, FirMethod, Resample, Scratch};
use ndarray::{Array2, Array3, Array4};

/// A recording of ten seconds, the same each time, of integers without any particular pattern.
fn recording(rate_hz: f64) -> Recording {
    let samples = (10.0 * rate_hz) as usize;
    let values = Array2::from_shape_fn((12, samples), |(lead, t)| {
        ((t * t * (lead + 3) + 37 * t) % 2003) as i32 - 1001
    });
    let rate = SamplingRate::new(rate_hz).expect("a rate");
    let signal = values.mapv(|value| f64::from(value) / 1000.0);
    Recording::new("bench", rate, Lead::STANDARD_12, signal)
        .and_then(|recording| {
            recording.with_adc(Adc { values, gain_per_mv: vec![1000.0; 12], baseline: vec![0; 12] })
        })
        .expect("a recording")
}

fn plan(config: ConvertConfig, recording: &Recording) -> ConvertPlan {
    ConvertPlan::new(config, recording.sampling_rate).expect("a plan")
}

fn prepare(c: &mut Criterion) {
    let mut group = c.benchmark_group("prepare");
    group.throughput(Throughput::Elements(1));
    let convolution = Resample::Polyphase { rate_hz: 50.0, fir: FirMethod::Convolution };
    for (name, config, rate_hz) in [
        ("published", ConvertConfig::published(), 500.0),
        ("corrected, polyphase", ConvertConfig::corrected(), 500.0),
        ("corrected, polyphase", ConvertConfig::corrected(), 257.0),
        ("corrected, convolution", ConvertConfig::corrected().with_resample(convolution), 500.0),
    ] {
        let recording = recording(rate_hz);
        let plan = plan(config, &recording);
        let mut out = Array2::<f32>::zeros(plan.prepared_shape());
        let mut scratch = Scratch::new();
        let shape = format!("[12, {}] at {rate_hz} Hz", recording.n_samples());
        group.bench_function(BenchmarkId::new(name, shape), |b| {
            b.iter(|| {
                plan.prepare_into(black_box(&recording), out.view_mut(), &mut scratch)
                    .expect("prepares")
            });
        });
    }
    group.finish();
}

fn volume(c: &mut Criterion) {
    let mut group = c.benchmark_group("volume");
    group.throughput(Throughput::Elements(1));
    let recording = recording(500.0);
    let plan = plan(ConvertConfig::published(), &recording);
    let images = plan.image_plan();
    let window = plan.prepare(&recording).expect("prepares").signal;
    let mut scratch = Scratch::new();
    let mut made = Array3::<f32>::zeros(images.images_shape());
    group.bench_function("window [12, 100] to images [12, 45, 45], f32", |b| {
        b.iter(|| {
            images
                .images_into(black_box(window.view()), made.view_mut(), &mut scratch)
                .expect("makes images");
        });
    });
    let mut out = Array3::<f32>::zeros((45, 45, 45));
    group.bench_function("images [12, 45, 45] to volume [45, 45, 45], f32", |b| {
        b.iter(|| {
            images
                .volume_into(black_box(made.view()), out.view_mut(), &mut scratch)
                .expect("makes a volume");
        });
    });
    group.bench_function("window [12, 100] to volume [45, 45, 45], f32", |b| {
        b.iter(|| {
            images
                .volume_of_window_into(black_box(window.view()), out.view_mut(), &mut scratch)
                .expect("makes a volume");
        });
    });
    group.bench_function("record [12, 5000] to volume [45, 45, 45], f32", |b| {
        b.iter(|| {
            plan.convert_into(black_box(&recording), out.view_mut(), &mut scratch)
                .expect("converts")
        });
    });
    let window = window.mapv(f64::from);
    let mut out = Array3::<f64>::zeros((45, 45, 45));
    group.bench_function("window [12, 100] to volume [45, 45, 45], f64", |b| {
        b.iter(|| {
            images
                .volume_of_window_into(black_box(window.view()), out.view_mut(), &mut scratch)
                .expect("makes a volume");
        });
    });
    group.finish();
}

fn subsets(c: &mut Criterion) {
    let mut group = c.benchmark_group("subsets");
    group.sample_size(10);
    let recording = recording(500.0);
    let plan = plan(ConvertConfig::published(), &recording);
    let images = plan.image_plan();
    let window = plan.prepare(&recording).expect("prepares").signal;
    let made = images.images(window.view()).expect("images");
    let mut buffer = Array4::<f32>::zeros((8, 45, 45, 45));
    let mut scratch = Scratch::new();
    for masks in [published_masks(), (0..4096).map(LeadMask).collect()] {
        group.throughput(Throughput::Elements(masks.len() as u64));
        group.bench_function(BenchmarkId::new("volumes, f32", masks.len()), |b| {
            b.iter(|| {
                let use_volumes = |_, volumes: ndarray::ArrayView4<'_, f32>| {
                    black_box(volumes.as_ptr());
                    Ok::<(), ecg3d_convert::ConvertError>(())
                };
                images
                    .volumes_of_subsets(
                        black_box(made.view()),
                        &masks,
                        buffer.view_mut(),
                        &mut scratch,
                        use_volumes,
                    )
                    .expect("makes volumes");
            });
        });
    }
    group.finish();
}

/// Measures the same recordings on one thread and on two; the ratio is what counts.
fn threads(c: &mut Criterion) {
    const RECORDINGS: usize = 256;
    let mut group = c.benchmark_group("records [12, 5000] to volumes [45, 45, 45], f32");
    group.sample_size(30).throughput(Throughput::Elements(RECORDINGS as u64));
    let recordings: Vec<Recording> = (0..RECORDINGS).map(|_| recording(500.0)).collect();
    let plan = plan(ConvertConfig::published(), &recordings[0]);
    let mut out = Array4::<f32>::zeros((RECORDINGS, 45, 45, 45));
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        group.bench_function(BenchmarkId::new("threads", threads), |b| {
            b.iter(|| {
                let outcomes = pool
                    .install(|| plan.convert_all_into(black_box(&recordings), out.view_mut()))
                    .expect("an array that fits");
                assert!(outcomes.iter().all(Result::is_ok));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, prepare, volume, subsets, threads);
criterion_main!(benches);
