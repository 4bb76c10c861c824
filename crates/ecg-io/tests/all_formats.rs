//! Random records covering all formats, signal counts, lengths, frames, skews and offsets, encoded here and read in
//! every way.
//!
//! `PROPTEST_CASES=18000 cargo test -p ecg-io --test all_formats` runs as many cases as the goal requires.

mod common;

use std::path::Path;

use common::encode::{Encoded, encode};
use ecg_io::{IoError, ReadOptions, Record, Scratch, Selection, read_wfdb};
use proptest::prelude::*;

/// A signal: samples per frame, skew, gain, baseline, and raw values that are cut to the format.
#[derive(Debug, Clone)]
struct Signal {
    per_frame: usize,
    skew: usize,
    gain: f64,
    baseline: i32,
    values: Vec<i32>,
}

/// The signals of one file, and what precedes the samples (bytes, or samples in FLAC).
#[derive(Debug, Clone)]
struct File {
    format: u32,
    offset: usize,
    signals: Vec<Signal>,
}

const FORMATS: [u32; 13] = [8, 16, 24, 32, 61, 80, 160, 212, 310, 311, 508, 516, 524];

fn signal(frames: usize, per_frame: usize) -> impl Strategy<Value = Signal> {
    let n = frames * per_frame;
    // Codes for invalid samples must occur too.
    let value = prop_oneof![6 => any::<i32>(), 1 => Just(i32::MIN), 3 => -100..100];
    (0..(n.min(5)), -300.0f64..300.0, -2000..2000, prop::collection::vec(value, n)).prop_map(
        move |(skew, gain, baseline, values)| {
            let gain = if gain.abs() < 1e-3 { 7.0 } else { gain };
            Signal { per_frame, skew, gain, baseline, values }
        },
    )
}

fn file(frames: usize) -> impl Strategy<Value = File> {
    let format = prop::sample::select(FORMATS.to_vec());
    (format, 0usize..9, prop::collection::vec(1usize..5, 1..5)).prop_flat_map(
        move |(format, offset, mut per_frame)| {
            if format > 500 {
                let first = per_frame[0];
                per_frame.fill(first);
            }
            let signals: Vec<_> = per_frame.into_iter().map(|n| signal(frames, n)).collect();
            signals.prop_map(move |signals| File { format, offset, signals })
        },
    )
}

fn record() -> impl Strategy<Value = (usize, Vec<File>)> {
    let frames = prop_oneof![4 => 1usize..40, 1 => 1usize..1500];
    frames.prop_flat_map(|n| (Just(n), prop::collection::vec(file(n), 1..4)))
}

/// Writes a record and returns the stored values of each signal.
fn write(dir: &Path, frames: usize, files: &[File]) -> Vec<Vec<i32>> {
    let n_signals: usize = files.iter().map(|file| file.signals.len()).sum();
    let mut header = format!("r {n_signals} 250 {frames}\n");
    let mut stored = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let per_frame: Vec<usize> = file.signals.iter().map(|s| s.per_frame).collect();
        let raw: Vec<&[i32]> = file.signals.iter().map(|s| &s.values[..]).collect();
        let Encoded { bytes, values, initial } = encode(file.format, file.offset, &per_frame, &raw);
        std::fs::write(dir.join(format!("f{number}.dat")), bytes).expect("writes");
        for (k, signal) in file.signals.iter().enumerate() {
            let sum = values[k].iter().fold(0_i32, |sum, v| sum.wrapping_add(*v)) as i16;
            let offset = match file.offset {
                0 => String::new(),
                n => format!("+{n}"),
            };
            header += &format!(
                "f{number}.dat {}x{}:{}{offset} {}({})/uV 0 0 {} {sum} 0 s{k} of {number}\n",
                file.format,
                signal.per_frame,
                signal.skew,
                signal.gain,
                signal.baseline,
                initial[k],
            );
        }
        stored.extend(values);
    }
    std::fs::write(dir.join("r.hea"), header).expect("writes");
    stored
}

fn invalid(format: u32) -> Option<i32> {
    Some(match format {
        8 => return None,
        80 | 508 => -128,
        212 => -2048,
        310 | 311 => -512,
        24 | 524 => -(1 << 23),
        32 => i32::MIN,
        _ => -32768,
    })
}

/// What a reader must return; `t` counts samples of the signal.
fn physical(format: u32, signal: &Signal, stored: &[i32]) -> Vec<f64> {
    (0..stored.len())
        .map(|t| match stored.get(t + signal.skew) {
            Some(d) if Some(*d) != invalid(format) => {
                (f64::from(*d) - f64::from(signal.baseline)) / signal.gain
            }
            _ => f64::NAN,
        })
        .collect()
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
}

fn mean(frame: &[f64]) -> f64 {
    let valid: Vec<f64> = frame.iter().copied().filter(|v| !v.is_nan()).collect();
    if valid.is_empty() { f64::NAN } else { valid.iter().sum::<f64>() / valid.len() as f64 }
}

/// Columns side by side, as `[sample, signal]`.
fn interleave<T: Copy>(columns: &[&[T]]) -> Vec<T> {
    (0..columns[0].len()).flat_map(|t| columns.iter().map(move |column| column[t])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_read(
        (frames, files) in record(),
        (a, b) in (0.0f64..1.0, 0.0f64..1.0),
        block in 1u64..200,
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let stored = write(dir.path(), frames, &files);
        let options = ReadOptions::default().with_strict(true);
        // Skewed signals would need later frames of the file, which are missing; this is not a departure from the
        // format.
        let record = Record::open(dir.path().join("r"), &options).expect("opens");
        let all = Selection::default();
        prop_assert_eq!(&record.read::<i32>(&all).expect("stored"), &stored);
        prop_assert_eq!(&read_wfdb(dir.path().join("r.hea"), &options).expect("reads").digital, &stored);

        let signals: Vec<(u32, &Signal)> =
            files.iter().flat_map(|f| f.signals.iter().map(|s| (f.format, s))).collect();
        let expected: Vec<Vec<f64>> =
            signals.iter().zip(&stored).map(|((f, s), d)| physical(*f, s, d)).collect();
        let read = record.read::<f64>(&all).expect("physical");
        for (k, row) in read.iter().enumerate() {
            prop_assert!(same(row, &expected[k]), "signal {}", k);
        }
        let single = record.read::<f32>(&all).expect("physical");
        for (row, wide) in single.iter().zip(&expected) {
            let wide: Vec<f64> = wide.iter().map(|v| f64::from(*v as f32)).collect();
            let row: Vec<f64> = row.iter().copied().map(f64::from).collect();
            prop_assert!(same(&row, &wide));
        }
        let narrow = record.read::<i16>(&all);
        let wide_format = files.iter().any(|f| [24, 32, 524].contains(&f.format));
        match narrow {
            Ok(narrow) => for (row, stored) in narrow.iter().zip(&stored) {
                prop_assert!(row.iter().map(|v| i32::from(*v)).eq(stored.iter().copied()));
            },
            Err(IoError::WideFormat { .. }) => prop_assert!(wide_format),
            Err(IoError::WideSample { found, .. }) => prop_assert!(i16::try_from(found).is_err()),
            Err(other) => prop_assert!(false, "{}", other),
        }

        #[cfg(feature = "mmap")]
        {
            let mapped = options.clone().with_memory_map(true);
            let mapped = Record::open(dir.path().join("r"), &mapped).expect("opens");
            prop_assert_eq!(&mapped.read::<i32>(&all).expect("mapped"), &stored);
        }

        // A range of some signals, in another order.
        let (from, to) = ((a.min(b) * frames as f64) as usize, (a.max(b) * frames as f64) as usize);
        let chosen: Vec<usize> = (0..signals.len()).rev().step_by(2).collect();
        let part = Selection::default().with_frames(from as u64..to as u64).with_signals(&chosen[..]);
        let physical = record.read::<f64>(&part).expect("a part");
        let digital = record.read::<i32>(&part).expect("a part");
        for ((k, physical), digital) in chosen.iter().zip(&physical).zip(&digital) {
            let samples = from * signals[*k].1.per_frame..to * signals[*k].1.per_frame;
            prop_assert!(same(physical, &expected[*k][samples.clone()]));
            prop_assert_eq!(&digital[..], &stored[*k][samples]);
        }

        // Averages, and blocks of them.
        let means: Vec<Vec<f64>> = signals
            .iter()
            .zip(&expected)
            .map(|((_, s), row)| row.chunks(s.per_frame).map(mean).collect())
            .collect();
        let columns: Vec<&[f64]> = means.iter().map(Vec::as_slice).collect();
        let averaged = Selection::default().with_average_frames(true);
        let (mut buffer, mut scratch) = (vec![1.0; 7], Scratch::default());
        let n = record.read_matrix_into(&averaged, &mut buffer, &mut scratch).expect("averages");
        prop_assert!(n == frames && same(&buffer, &interleave(&columns)));
        let mut blocks = record.blocks::<f64>(&averaged, block).expect("blocks");
        let mut joined = Vec::new();
        while blocks.next_into(&mut buffer).expect("a block").is_some() {
            joined.extend_from_slice(&buffer);
        }
        prop_assert!(same(&joined, &interleave(&columns)));

        // One matrix of the first signal and those of the same rate, whole and in blocks.
        let alike: Vec<usize> = (0..signals.len())
            .filter(|k| signals[*k].1.per_frame == signals[0].1.per_frame)
            .collect();
        let of_rate = Selection::default().with_signals(&alike[..]);
        let columns: Vec<&[f64]> = alike.iter().map(|k| &expected[*k][..]).collect();
        let matrix = record.read_matrix::<f64>(&of_rate).expect("a matrix");
        prop_assert!(same(matrix.as_slice().expect("contiguous"), &interleave(&columns)));
        let mut joined = Vec::new();
        let mut blocks = record.blocks::<f64>(&of_rate, block).expect("blocks");
        while blocks.next_into(&mut buffer).expect("a block").is_some() {
            joined.extend_from_slice(&buffer);
        }
        prop_assert!(same(&joined, &interleave(&columns)));
        let columns: Vec<&[i32]> = alike.iter().map(|k| &stored[*k][..]).collect();
        let mut digital = Vec::<i32>::new();
        record.read_matrix_into(&of_rate, &mut digital, &mut scratch).expect("a matrix");
        prop_assert_eq!(digital, interleave(&columns));
        if alike.len() < signals.len() {
            prop_assert!(matches!(
                record.read_matrix::<f64>(&Selection::default()),
                Err(IoError::DifferentRates { .. })
            ), "rates differ");
        }
    }
}
