//! Synthetic WFDB records over all formats, against the values that an independent encoder put in.

mod common;

use std::fs::File;
use std::path::Path;

use ecg_io::{Format, IoError, ReadOptions, read_header, read_wfdb};
use ndarray::Array1;
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
    let (mut equal, mut flac) = (0, 0);
    for name in records(&folder, ".truth.npz") {
        let record = match read_wfdb(folder.join(&name), &ReadOptions::default()) {
            Err(IoError::NotSupported { what: "a FLAC signal", line: 2, .. }) => {
                flac += 1;
                continue;
            }
            other => other.expect(&name),
        };
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
    println!("{equal} records equal, {flac} FLAC records refused");
    assert!(equal >= 120 && flac == 3, "{equal} equal, {flac} FLAC");
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
    let minimal = read_wfdb(folder.join("minimal"), &options).expect("a minimal header");
    assert_eq!(minimal.sampling_rate_hz(0), 250.0);
    let size = std::fs::metadata(folder.join("minimal.dat")).expect("its file").len();
    assert_eq!(minimal.n_frames as u64, size / 2);
    for (name, segments) in [("fixed", 4), ("variable", 6), ("variable2", 0)] {
        let (header, _) = read_header(folder.join(name), &options).expect(name);
        assert!(header.segments.len() >= segments && header.signals.is_empty(), "{name}");
        let refused = read_wfdb(folder.join(name), &options).expect_err(name);
        assert!(matches!(refused, IoError::NotSupported { .. }), "{name}: {refused}");
    }
    assert!(matches!(
        read_wfdb(folder.join("vl_layout"), &options),
        Err(IoError::NoSamples { .. })
    ));
    // Bits that carry nothing do not change the values.
    for name in ["f310_lowbits", "f311_topbits"] {
        let record = read_wfdb(folder.join(name), &options).expect(name);
        assert!(record.digital[0].iter().all(|v| (-512..512).contains(v)));
    }
}
