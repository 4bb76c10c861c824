//! Measures how fast WFDB records are read, in seconds of one processor; prints one line of JSON per kind of work.
//!
//! `cargo run --release -p ecg-io --example read_speed -- DIR` creates the records in DIR if they are missing (150 MB);
//! `scripts/compare_read_speed.py` runs it and measures wfdb-python and `rdsamp` on the same files.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ecg_io::{
    Dataset, DatasetOptions, ReadOptions, Record, Sample, Scratch, Selection, read_header,
    read_recording,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Number of 12-lead records of ten seconds.
const RECORDS: usize = 200;
/// Number of records read in parallel: the same folder again and again.
const PARALLEL_RECORDS: usize = 10_000;
const LONG_FRAMES: u64 = 24 * 3600 * 360;

fn main() -> Result<()> {
    let dir: PathBuf = std::env::args_os().nth(1).ok_or("usage: read_speed DIR")?.into();
    make_short(&dir.join("short"))?;
    make_long(&dir.join("long"))?;
    let options = ReadOptions::default();
    let paths: Vec<PathBuf> =
        (0..RECORDS).map(|k| dir.join("short").join(format!("r{k:05}"))).collect();

    short::<i16>("12 x 5000, format 16, into i16", &paths, &options)?;
    short::<f32>("12 x 5000, format 16, into f32", &paths, &options)?;
    short::<f64>("12 x 5000, format 16, into f64", &paths, &options)?;
    measure("12 x 5000, format 16, read_recording", "records", RECORDS as f64, || {
        for path in &paths {
            black_box(read_recording(path, &options)?);
        }
        Ok(())
    })?;
    measure("header of 12 signals", "headers", RECORDS as f64, || {
        for path in &paths {
            black_box(read_header(path, &options)?);
        }
        Ok(())
    })?;

    let long_path = dir.join("long/day");
    long("24 h x 2, format 212, into i16", &long_path, &options)?;
    #[cfg(feature = "mmap")]
    long(
        "24 h x 2, format 212, mapped, into i16",
        &long_path,
        &options.clone().with_memory_map(true),
    )?;
    let (mut window, mut scratch) = (Vec::<f64>::new(), Scratch::default());
    measure("10 s at 12 h of format 212, into f64", "windows", 1000.0, || {
        for _ in 0..1000 {
            let record = Record::open(&long_path, &options)?;
            let part = Selection::default().with_frames(record.frames_between(43200.0, 43210.0));
            record.read_matrix_into(&part, &mut window, &mut scratch)?;
            black_box(&window);
        }
        Ok(())
    })?;

    parallel(&dir.join("short"))
}

/// Measures the speed of two threads as a multiple of that of one, for reading and for work in registers alone, which
/// shows what the machine can give. All four take turns, so that other load disturbs them equally.
fn parallel(dir: &Path) -> Result<()> {
    let dataset = Dataset::open(dir, &DatasetOptions::default())?;
    let (mut reading, mut control) = ([0.0; 2], [0.0; 2]);
    for _ in 0..PARALLEL_RECORDS / RECORDS {
        for (k, threads) in [1, 2].into_iter().enumerate() {
            let start = Instant::now();
            dataset.for_each_parallel(
                threads,
                |_, loaded| loaded.map(|loaded| loaded.recording.n_samples()),
                |_, samples| samples.map(drop),
            )?;
            reading[k] += start.elapsed().as_secs_f64();
            let start = Instant::now();
            std::thread::scope(|scope| {
                let share = || (0..RECORDS / threads).for_each(|_| spin());
                (1..threads).for_each(|_| drop(scope.spawn(share)));
                share();
            });
            control[k] += start.elapsed().as_secs_f64();
        }
    }
    for (work, [one, two]) in
        [("10,000 records in parallel", reading), ("work in registers alone", control)]
    {
        println!(
            "{{\"work\": \"{work}\", \"unit\": \"times one thread\", \"per_second\": {:.2}, \
             \"seconds_1\": {one:.3}, \"seconds_2\": {two:.3}}}",
            one / two
        );
    }
    Ok(())
}

/// About as much work as one record.
fn spin() {
    let step = |sum: u64, k: u64| (sum ^ k).wrapping_mul(6_364_136_223_846_793_005).rotate_left(7);
    black_box((0..100_000).fold(1, step));
}

fn long(work: &str, path: &Path, options: &ReadOptions) -> Result<()> {
    let (mut block, samples) = (Vec::new(), 2e-6 * LONG_FRAMES as f64);
    measure(work, "million samples", samples, || {
        let record = Record::open(path, options)?;
        let mut blocks = record.blocks::<i16>(&Selection::default(), 1 << 15)?;
        while blocks.next_into(&mut block)?.is_some() {
            black_box(&block);
        }
        Ok(())
    })
}

fn short<T: Sample>(work: &str, paths: &[PathBuf], options: &ReadOptions) -> Result<()> {
    let (mut samples, mut scratch) = (Vec::<T>::new(), Scratch::default());
    measure(work, "records", paths.len() as f64, || {
        for path in paths {
            let record = Record::open(path, options)?;
            record.read_matrix_into(&Selection::default(), &mut samples, &mut scratch)?;
            black_box(&samples);
        }
        Ok(())
    })
}

/// Repeats work for about a second, after a first run, and prints how much of it one second of the processor does; the
/// best of five.
fn measure(
    work: &str,
    unit: &str,
    amount: f64,
    mut once: impl FnMut() -> Result<()>,
) -> Result<()> {
    once()?;
    let mut best = f64::MAX;
    for _ in 0..5 {
        let (start, mut times) = (processor_seconds(), 0.0);
        loop {
            once()?;
            times += 1.0;
            let seconds = processor_seconds() - start;
            if seconds > 0.25 {
                best = best.min(seconds / times);
                break;
            }
        }
    }
    println!(
        "{{\"work\": \"{work}\", \"unit\": \"{unit}\", \"per_second\": {:.1}}}",
        amount / best
    );
    Ok(())
}

/// Returns the seconds that this thread has had a processor, user and system; elapsed seconds if the system does not
/// report them.
fn processor_seconds() -> f64 {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
        .map_or_else(|| START.elapsed().as_secs_f64(), |nanoseconds| nanoseconds * 1e-9)
}

/// Returns an invented sample of a signal: a slow wave and some noise.
fn sample(signal: usize, t: usize) -> i16 {
    let noise = (t.wrapping_mul(2_654_435_761).wrapping_add(signal * 977) >> 7) % 31;
    ((t as f64 / (40.0 + signal as f64)).sin() * 700.0) as i16 + noise as i16
}

fn sum(samples: impl Iterator<Item = i16>) -> i16 {
    samples.fold(0, i16::wrapping_add)
}

/// Creates records like those of the CinC challenges: a MATLAB container, checksums, comments.
fn make_short(dir: &Path) -> Result<()> {
    const LEADS: [&str; 12] =
        ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
    const N: usize = 5000;
    if dir.join(format!("r{:05}.hea", RECORDS - 1)).is_file() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    for k in 0..RECORDS {
        let at = |signal: usize, t: usize| sample(signal, t + 31 * k);
        let mut bytes = Vec::with_capacity(24 + 24 * N);
        [30_i32, 12, N as i32, 0, 4].iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        bytes.extend(b"val\0");
        for t in 0..N {
            (0..12).for_each(|signal| bytes.extend(at(signal, t).to_le_bytes()));
        }
        fs::write(dir.join(format!("r{k:05}.mat")), bytes)?;
        let mut text = format!("r{k:05} 12 500 {N}\n");
        for (signal, lead) in LEADS.into_iter().enumerate() {
            let checksum = sum((0..N).map(|t| at(signal, t)));
            let first = at(signal, 0);
            writeln!(text, "r{k:05}.mat 16+24 1000/mV 16 0 {first} {checksum} 0 {lead}")?;
        }
        text += "# Age: 61\n# Sex: Male\n# Dx: 426783006,59118001\n# Rx: Unknown\n# Hx: Unknown\n# Sx: Unknown\n";
        fs::write(dir.join(format!("r{k:05}.hea")), text)?;
    }
    Ok(())
}

/// Creates a day of two signals in format 212.
fn make_long(dir: &Path) -> Result<()> {
    if dir.join("day.hea").is_file() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    let n = LONG_FRAMES as usize;
    let mut bytes = Vec::with_capacity(3 * n);
    let mut sums = [0_i16; 2];
    for t in 0..n {
        let [a, b] = [sample(0, t), sample(1, t)];
        sums = [sums[0].wrapping_add(a), sums[1].wrapping_add(b)];
        bytes.extend([a as u8, (a >> 8 & 0x0f | b >> 4 & 0xf0) as u8, b as u8]);
    }
    fs::write(dir.join("day.dat"), bytes)?;
    let lines: String = (0..2)
        .map(|k| format!("day.dat 212 200/mV 11 0 {} {} 0 ch{k}\n", sample(k, 0), sums[k]))
        .collect();
    fs::write(dir.join("day.hea"), format!("day 2 360 {n}\n{lines}"))?;
    Ok(())
}
