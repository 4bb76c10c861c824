//! Reading recordings from disk: header, signals, calibration and checksums.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ecg_io::{
    Dataset, DatasetOptions, Format, ReadOptions, WriteOptions, read_recording, write_wfdb,
};
use ecg_synth::{SynthOptions, Synthesizer};

/// Records of the folder that is read whole.
const RECORDS: u64 = 100;

fn read(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let synthesizer = Synthesizer::new(SynthOptions::default()).expect("default options");
    let mut group = c.benchmark_group("read one record, [12, 5000], into f64 mV");
    group.throughput(Throughput::Elements(1));
    for format in [Format::I16, Format::I32, Format::Packed212] {
        let folder = dir.path().join(format.code().to_string());
        std::fs::create_dir(&folder).expect("a folder");
        let recording = synthesizer.record(0).recording;
        write_wfdb(&folder, &recording, &WriteOptions::default().with_format(format))
            .expect("writes");
        let path = folder.join(&recording.name);
        let options = ReadOptions::default();
        group.bench_function(BenchmarkId::new("format", format.code()), |b| {
            b.iter(|| read_recording(black_box(&path), &options).expect("reads"));
        });
    }
    group.finish();

    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).expect("a folder");
    for index in 0..RECORDS {
        let recording = synthesizer.record(index).recording;
        write_wfdb(&folder, &recording, &WriteOptions::default()).expect("writes");
    }
    let mut group = c.benchmark_group("read a folder, records of [12, 5000] in format 16");
    group.throughput(Throughput::Elements(RECORDS));
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("threads", threads), |b| {
            b.iter(|| {
                let dataset = Dataset::open(&folder, &DatasetOptions::default()).expect("opens");
                dataset.load_all(threads).into_iter().filter(Result::is_ok).count()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
