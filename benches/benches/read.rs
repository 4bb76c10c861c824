//! Reading recordings from disk: header, signals, calibration and checksums. All files are cached in memory by
//! the system.

use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use ecg_io::{
    Dataset, DatasetOptions, Format, ReadOptions, Record, Sample, Scratch, Selection, WriteOptions,
    read_header, read_recording, write_wfdb,
};
use ecg_synth::{SynthOptions, Synthesizer};

/// Number of records in the folder that is read as a whole.
const RECORDS: u64 = 100;

/// Number of frames of the long record: 24 h at 360 Hz.
const DAY_FRAMES: u64 = 24 * 3600 * 360;

fn recordings(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let synthesizer = Synthesizer::new(SynthOptions::default()).expect("default options");
    let options = ReadOptions::default();
    let mut group = c.benchmark_group("read one record, [12, 5000], into f64 mV");
    group.throughput(Throughput::Elements(1));
    for format in [Format::I16, Format::I32, Format::Packed212] {
        let folder = dir.path().join(format.code().to_string());
        std::fs::create_dir(&folder).expect("a folder");
        let recording = synthesizer.record(0).recording;
        write_wfdb(&folder, &recording, &WriteOptions::default().with_format(format))
            .expect("writes");
        let path = folder.join(&recording.name);
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
    let expected = RECORDS as usize * synthesizer.samples();
    let mut group = c.benchmark_group("read a folder, records of [12, 5000] in format 16");
    group.throughput(Throughput::Elements(RECORDS));
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("threads", threads), |b| {
            b.iter(|| {
                let dataset = Dataset::open(&folder, &DatasetOptions::default()).expect("opens");
                let mut samples = 0;
                let done: Result<(), ()> = dataset.for_each_parallel(
                    threads,
                    |_, loaded| loaded.expect("reads").recording.n_samples(),
                    |_, n| {
                        samples += n;
                        Ok(())
                    },
                );
                done.expect("no end before the last");
                assert_eq!(samples, expected);
            });
        });
    }
    group.finish();
}

/// Writes a record in the form of the CinC challenges: a MATLAB container of `[12, 5000]`, checksums, comments.
fn write_container(dir: &Path) {
    let at = |signal: usize, t: usize| ((t * (signal + 7)) % 1401) as i16 - 700;
    let mut bytes = Vec::new();
    [30_i32, 12, 5000, 0, 4].iter().for_each(|v| bytes.extend(v.to_le_bytes()));
    bytes.extend(b"val\0");
    for t in 0..5000 {
        (0..12).for_each(|signal| bytes.extend(at(signal, t).to_le_bytes()));
    }
    std::fs::write(dir.join("r.mat"), bytes).expect("writes");
    let mut header = "r 12 500 5000\n".to_owned();
    for (signal, lead) in ecg_core::Lead::STANDARD_12.into_iter().enumerate() {
        let sum = (0..5000).map(|t| at(signal, t)).fold(0, i16::wrapping_add);
        let first = at(signal, 0);
        writeln!(header, "r.mat 16+24 1000/mV 16 0 {first} {sum} 0 {lead}").expect("a string");
    }
    header += "# Age: 61\n# Sex: Male\n# Dx: 426783006,59118001\n";
    std::fs::write(dir.join("r.hea"), header).expect("writes");
}

fn into_buffer<T: Sample>(group: &mut BenchmarkGroup<'_, WallTime>, of: &str, path: &Path) {
    let (mut samples, mut scratch) = (Vec::<T>::new(), Scratch::default());
    let options = ReadOptions::default();
    group.bench_function(BenchmarkId::new("into", of), |b| {
        b.iter(|| {
            let record = Record::open(black_box(path), &options).expect("opens");
            record
                .read_matrix_into(&Selection::default(), &mut samples, &mut scratch)
                .expect("reads")
        });
    });
}

fn buffers(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    write_container(dir.path());
    let path = dir.path().join("r");
    let mut group =
        c.benchmark_group("read one .mat record, format 16, into a reused buffer [5000, 12]");
    group.throughput(Throughput::Elements(1));
    into_buffer::<i16>(&mut group, "i16", &path);
    into_buffer::<f32>(&mut group, "f32", &path);
    into_buffer::<f64>(&mut group, "f64", &path);
    group.bench_function("header alone", |b| {
        b.iter(|| read_header(black_box(&path), &ReadOptions::default()).expect("reads"));
    });
    group.finish();
}

fn long(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes: Vec<u8> =
        (0..3 * DAY_FRAMES).map(|k| (k.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(dir.path().join("day.dat"), bytes).expect("writes");
    let header = format!("day 2 360 {DAY_FRAMES}\nday.dat 212 200/mV\nday.dat 212 200/mV\n");
    std::fs::write(dir.path().join("day.hea"), header).expect("writes");
    let (path, options) = (dir.path().join("day"), ReadOptions::default());

    let mut group = c.benchmark_group("read 24 h of 2 signals at 360 Hz, format 212");
    group.sample_size(10).throughput(Throughput::Elements(2 * DAY_FRAMES));
    let mut block = Vec::new();
    group.bench_function("into i16, in blocks of 32768 frames", |b| {
        b.iter(|| {
            let record = Record::open(&path, &options).expect("opens");
            let mut blocks = record.blocks::<i16>(&Selection::default(), 1 << 15).expect("blocks");
            while blocks.next_into(&mut block).expect("reads").is_some() {
                black_box(&block);
            }
        });
    });
    group.finish();

    let mut group = c.benchmark_group("read 10 s at 12 h of 2 signals at 360 Hz, format 212");
    let (mut window, mut scratch) = (Vec::<f64>::new(), Scratch::default());
    group.bench_function("into f64, header included", |b| {
        b.iter(|| {
            let record = Record::open(&path, &options).expect("opens");
            let part = Selection::default().with_frames(record.frames_between(43200.0, 43210.0));
            record.read_matrix_into(&part, &mut window, &mut scratch).expect("reads")
        });
    });
    group.finish();
}

criterion_group!(benches, recordings, buffers, long);
criterion_main!(benches);
