//! Synthetic WFDB records in all formats, compared with the values that an independent encoder put in.

mod common;

use std::fs::File;
use std::path::Path;

use ecg_io::{Format, IoError, ReadOptions, Record, Selection, read_header, read_wfdb};
use ndarray::{Array1, Array2};
use ndarray_npy::NpzReader;

fn truth(path: &Path) -> Vec<Vec<i32>> {
    let mut npz = NpzReader::new(File::open(path).expect("a truth")).expect("an npz");
    (0..npz.len())
        .map(|k| {
            let array: Array1<i32> = npz.by_name(&format!("s{k}")).expect("a signal");
            array.to_vec()
        })
        .collect()
}

fn records(folder: &Path, suffix: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder")
        .filter_map(|entry| {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            name.strip_suffix(suffix).map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

#[test]
fn every_stored_value_and_checksum() {
    let Some(folder) = common::goldens("wfdb") else { return };
    let mut equal = 0;
    for name in records(&folder, ".truth.npz") {
        let record = read_wfdb(folder.join(&name), &ReadOptions::default()).expect(&name);
        let expected = truth(&folder.join(format!("{name}.truth.npz")));
        assert_eq!(record.digital, expected, "{name}");
        for (k, signal) in record.header.signals.iter().enumerate() {
            let physical = record.physical(k);
            let skew = signal.skew as usize;
            assert_eq!(physical.len(), expected[k].len(), "{name}");
            for (t, value) in physical.iter().enumerate() {
                match expected[k].get(t + skew) {
                    Some(&d) if Some(d) != signal.format.invalid_code() => {
                        let calibrated = (f64::from(d) - f64::from(signal.baseline)) / signal.gain;
                        assert_eq!(*value, calibrated, "{name} {k} {t}");
                    }
                    _ => assert!(value.is_nan(), "{name} {k} {t}"),
                }
            }
        }
        equal += 1;
    }
    assert_eq!(equal, 127);
}

#[test]
fn records_without_a_truth() {
    let Some(folder) = common::goldens("wfdb") else { return };
    let options = ReadOptions::default();
    // Its four files have checksums of 0.
    let unchecked = ReadOptions::default().with_verify_checksums(false);
    let mixed = read_wfdb(folder.join("mix"), &unchecked).expect("four files");
    let (header, _) = read_header(folder.join("mix"), &options).expect("a header");
    let formats: Vec<Format> = header.signals.iter().map(|signal| signal.format).collect();
    assert_eq!(formats, [Format::I16, Format::Packed212, Format::Offset8, Format::I24]);
    assert_eq!(header.base_time.map(|time| time.to_string()).as_deref(), Some("12:34:56.789"));
    assert!(mixed.digital.len() == 4 && mixed.digital.iter().all(|row| row.len() == 150));
    // By hand from the bytes of its files.
    let first = [
        [-5699, -32768, -32767, 32767, 0, -1],
        [-339, -2048, -2047, 2047, 0, -1],
        [102, -128, -127, 127, 0, -1],
        [-7421882, -8388608, -8388607, 8388607, 0, -1],
    ];
    let last =
        [[-18022, 14143, -8582], [-1932, -723, 531], [-72, 50, 41], [-166303, -687177, -4825978]];
    for ((row, first), last) in mixed.digital.iter().zip(first).zip(last) {
        assert_eq!((&row[..6], &row[147..]), (&first[..], &last[..]));
    }
    let minimal = read_wfdb(folder.join("minimal"), &options).expect("a minimal header");
    assert_eq!(minimal.sampling_rate_hz(0), 250.0);
    let size = std::fs::metadata(folder.join("minimal.dat")).expect("its file").len();
    assert_eq!(minimal.n_frames as u64, size / 2);
    assert!(matches!(
        read_wfdb(folder.join("vl_layout"), &options),
        Err(IoError::NoSamples { .. })
    ));
}

#[test]
fn unused_bits_do_not_change_the_values() {
    let Some(folder) = common::goldens("wfdb") else { return };
    let options = ReadOptions::default();
    let dir = tempfile::tempdir().expect("a folder");
    // The bytes of a word that are used, and the first values, by hand from the bytes.
    for (name, used, first) in [
        (
            "f310_lowbits",
            [0xfe_u8, 0xff, 0xfe, 0xff],
            [60, -512, -511, 511, 0, -1, 375, -427, -451],
        ),
        ("f311_topbits", [0xff, 0xff, 0xff, 0x3f], [-367, -512, -511, 511, 0, -1, -213, -199, 194]),
    ] {
        let found = read_wfdb(folder.join(name), &options).expect(name).digital;
        assert_eq!((found.len(), found[0].len(), &found[0][..9]), (1, 99, &first[..]), "{name}");
        let copy = |file: &str| std::fs::read(folder.join(file)).expect("reads");
        let data = copy(&format!("{name}.dat"));
        let cleared: Vec<u8> =
            data.iter().zip(used.iter().cycle()).map(|(byte, used)| byte & used).collect();
        assert_ne!(cleared, data, "{name}");
        for (file, bytes) in [("hea", copy(&format!("{name}.hea"))), ("dat", cleared)] {
            std::fs::write(dir.path().join(format!("{name}.{file}")), bytes).expect("writes");
        }
        let cleared = read_wfdb(dir.path().join(name), &options).expect(name).digital;
        assert_eq!(cleared, found, "{name}");
    }
}

#[test]
fn flac_files_are_read_from_an_offset_in_samples() {
    let Some(folder) = common::goldens("wfdb") else { return };
    for name in ["f508", "f516", "f524"] {
        let found = read_wfdb(folder.join(format!("{name}off")), &ReadOptions::default());
        let found = found.expect(name).digital;
        let expected = truth(&folder.join(format!("{name}.truth.npz")));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found[..], expected[100..], "{name}");
        }
    }
}

/// Physical values of the truth, calibrated by its header.
fn physical_truth(folder: &Path, name: &str, signal: usize) -> Vec<f64> {
    let (header, _) = read_header(folder.join(name), &ReadOptions::default()).expect(name);
    let spec = &header.signals[signal];
    let stored = &truth(&folder.join(format!("{name}.truth.npz")))[signal];
    let value = |d: i32| match Some(d) == spec.format.invalid_code() {
        true => f64::NAN,
        false => (f64::from(d) - f64::from(spec.baseline)) / spec.gain,
    };
    stored.iter().map(|d| value(*d)).collect()
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
}

#[test]
fn segments_are_joined_each_with_its_own_gain() {
    let Some(folder) = common::goldens("wfdb") else { return };
    // The segments of each signal: the record and signal they come from, or a gap, and their length.
    type Part = (Option<(&'static str, usize)>, usize);
    let cases: [(&str, Vec<Vec<Part>>); 3] = [
        (
            "fixed",
            (0..2)
                .map(|k| {
                    ["fxa", "fxb", "fxc", "fxa"]
                        .into_iter()
                        .zip([100, 57, 33, 100])
                        .map(|(name, n)| (Some((name, k)), n))
                        .collect()
                })
                .collect(),
        ),
        (
            "variable",
            vec![
                vec![(None, 30), (Some(("vl1", 0)), 100), (None, 90), (Some(("vl3", 0)), 40)],
                vec![
                    (None, 30),
                    (Some(("vl1", 1)), 100),
                    (None, 30),
                    (Some(("vl2", 1)), 60),
                    (None, 40),
                ],
                vec![(None, 160), (Some(("vl2", 0)), 60), (None, 40)],
            ],
        ),
        (
            "variable2",
            vec![
                vec![(Some(("vs1", 0)), 100), (None, 100)],
                vec![(Some(("vs1", 1)), 100), (None, 40), (Some(("vs2", 1)), 60)],
                vec![(None, 140), (Some(("vs2", 0)), 60)],
            ],
        ),
    ];
    for (name, signals) in cases {
        let record = Record::open(folder.join(name), &ReadOptions::default()).expect(name);
        assert!(record.is_multi_segment());
        let read: Vec<Vec<f64>> = record.read(&Selection::default()).expect(name);
        assert_eq!(read.len(), signals.len(), "{name}");
        for (k, parts) in signals.iter().enumerate() {
            let expected: Vec<f64> = parts
                .iter()
                .flat_map(|(from, n)| match from {
                    Some((record, signal)) => physical_truth(&folder, record, *signal),
                    None => vec![f64::NAN; *n],
                })
                .collect();
            assert!(same(&read[k], &expected), "{name} {k}");
        }
        // Blocks across the segments, and ranges that begin and end within them.
        let n = record.n_frames() as usize;
        let whole: Array2<f64> = record.read_matrix(&Selection::default()).expect(name);
        for block in [1, 7, 64, 1000] {
            let mut blocks = record.blocks::<f64>(&Selection::default(), block).expect(name);
            let (mut buffer, mut joined) = (Vec::new(), Vec::new());
            while blocks.next_into(&mut buffer).expect(name).is_some() {
                joined.extend_from_slice(&buffer);
            }
            assert!(same(&joined, whole.as_slice().expect("contiguous")), "{name} {block}");
        }
        for (from, to) in [(0, n), (25, 170), (99, 101), (n - 1, n), (50, 50)] {
            let part =
                Selection::default().with_frames(from as u64..to as u64).with_signals([1, 0]);
            let rows: Vec<Vec<f64>> = record.read(&part).expect(name);
            assert!(same(&rows[0], &read[1][from..to]) && same(&rows[1], &read[0][from..to]));
        }
        assert!(matches!(
            record.read::<i32>(&Selection::default()),
            Err(IoError::PhysicalOnly { .. })
        ));
    }
}
