//! What the fuzz targets do with their input. `tests/fuzz_corpus.rs` replays the corpus and all former crashes with the
//! same functions.
//!
//! Every reader gets every input in lenient and in strict mode. No reader may panic, or produce more from an input than
//! its size justifies.

use std::fs;
use std::path::Path;

use ecg_core::SamplingRate;
use ecg_io::{
    Annotations, CsvOptions, CsvOrientation, Dataset, DatasetOptions, Header, LabelMap,
    ReadOptions, parse_csv, read_recording, read_wfdb, write_annotations,
};

/// The most samples that signals without a file may have in addition to those of the files.
const NULL_SAMPLES: usize = 1 << 18;

/// The most samples to which FLAC files may be decompressed, whatever their size.
const PACKED_SAMPLES: usize = 1 << 18;

/// Formats, selected by the first byte of [`signal`]'s input.
const FORMATS: [u32; 14] = [16, 8, 24, 32, 61, 80, 160, 212, 310, 311, 508, 516, 524, 0];

fn options(strict: bool) -> ReadOptions {
    ReadOptions::default()
        .with_strict(strict)
        .with_verify_checksums(false)
        .with_max_null_samples(NULL_SAMPLES as u64)
        .with_max_packed_samples(PACKED_SAMPLES as u64)
}

/// Parses a header by itself.
pub fn header(data: &[u8]) {
    let lenient = Header::parse(data, Path::new("r.hea"), &options(false));
    if Header::parse(data, Path::new("r.hea"), &options(true)).is_ok() {
        assert!(lenient.is_ok(), "strict mode reads what lenient mode refuses");
    }
}

/// Reads a record with one signal file: six bytes determine the header, the others are the file.
pub fn signal(data: &[u8]) {
    let Some((&[format, signals, frame, skew, offset, length], data)) = data.split_first_chunk()
    else {
        return;
    };
    let format = FORMATS[usize::from(format) % FORMATS.len()];
    let signals = 1 + u32::from(signals % 5);
    // Two bits per signal; FLAC has frames of one sample in all channels.
    let per_frame = |k: u32| 1 + (u32::from(frame) >> (2 * (k % 4)) & 3);
    let frames = match length {
        0 => String::new(),
        n => format!(" {}", n - 1),
    };
    let mut header = format!("r {signals} 500{frames}\n");
    for k in 0..signals {
        let (per_frame, skew) = (per_frame(k), u32::from(skew) >> (2 * (k % 4)) & 3);
        header.push_str(&format!(
            "r.dat {format}x{per_frame}:{skew}+{} 200/mV 12 0 {k}\n",
            offset % 64
        ));
    }
    record(&[("r.hea", header.as_bytes()), ("r.dat", data)], data.len());
}

/// Reads a multi-segment record: its texts and signals are separated by lines of `===`, in the order below.
pub fn segments(data: &[u8]) {
    const NAMES: [&str; 6] = ["r.hea", "a.hea", "b.hea", "r_layout.hea", "a.dat", "b.dat"];
    let mut parts = Vec::new();
    let mut rest = data;
    while parts.len() + 1 < NAMES.len()
        && let Some(at) = rest.windows(5).position(|window| window == b"\n===\n")
    {
        parts.push(&rest[..=at]);
        rest = &rest[at + 5..];
    }
    parts.push(rest);
    let files: Vec<(&str, &[u8])> = NAMES.into_iter().zip(parts).collect();
    record(&files, data.len());
}

/// Reads a record of the given files, `bytes` in total: as stored, unless it has segments, and in mV.
fn record(files: &[(&str, &[u8])], bytes: usize) {
    // Format 8 produces one sample per byte. Each of a few files may be compressed FLAC with a hundred samples per
    // byte.
    let packed = files.iter().any(|(_, content)| content.starts_with(b"fLaC"));
    let in_files = if packed { 100 * bytes + files.len() * PACKED_SAMPLES } else { bytes };
    // Null signals, gaps and repeated segments may have as many samples as the files.
    let most = in_files + in_files.max(NULL_SAMPLES);
    with_files(files, |folder| {
        for strict in [false, true] {
            let path = folder.join("r");
            if let Ok(record) = read_wfdb(&path, &options(strict)) {
                let samples: usize = record.digital.iter().map(Vec::len).sum();
                assert!(samples <= most, "{samples} samples of {bytes} bytes");
                for k in 0..record.digital.len() {
                    assert_eq!(record.physical(k).len(), record.digital[k].len());
                }
            }
            if let Ok(loaded) = read_recording(&path, &options(strict)) {
                let samples = loaded.recording.signal.len();
                assert!(samples <= most, "{samples} samples of {bytes} bytes");
            }
        }
    });
}

/// Parses an annotation file; whatever can be read is written and read again.
pub fn annotations(data: &[u8]) {
    let path = Path::new("r.atr");
    let lenient =
        Annotations::parse(data, path, &options(false)).expect("lenient mode reads anything");
    assert!(lenient.annotations.len() <= data.len() / 2);
    let strict = Annotations::parse(data, path, &options(true));
    assert_eq!(strict.is_ok(), lenient.warnings.is_empty());
    with_files(&[], |folder| {
        let path = folder.join("r.atr");
        // Codes beyond 49 and long texts cannot be written.
        if write_annotations(&path, &lenient).is_ok() {
            let again =
                ecg_io::read_annotations(&path, &options(true)).expect("what we write is sound");
            assert_eq!(again.annotations, lenient.annotations);
            assert_eq!(again.definitions, lenient.definitions);
            fs::remove_file(path).expect("the file goes");
        }
    });
}

/// Reads a table as a recording: as it is and in the other orientation or, after a byte of 1, with options chosen by
/// the following byte.
pub fn csv(data: &[u8]) {
    let sideways = CsvOptions::default().with_orientation(Some(CsvOrientation::LeadsInRows));
    let (choices, data) = match data {
        [1, choice, data @ ..] => (vec![csv_options(*choice)], data),
        _ => (vec![CsvOptions::default(), sideways], data),
    };
    for csv in choices {
        let read = |strict| {
            let options = options(strict).with_csv(csv.clone());
            parse_csv(data, Path::new("r.csv"), &options)
        };
        let lenient = read(false);
        if let Ok(loaded) = &lenient {
            // A cell before each delimiter or line end, and one more.
            assert!(loaded.recording.signal.len() <= data.len() + 1);
        }
        if let Ok(strict) = read(true) {
            let lenient = lenient.expect("strict mode reads what lenient mode refuses");
            assert!(lenient.recording.leads == strict.recording.leads);
            let signals = [strict, lenient].map(|loaded| loaded.recording.signal);
            assert!(
                signals[0].iter().map(|v| v.to_bits()).eq(signals[1].iter().map(|v| v.to_bits()))
            );
        }
    }
    // Compressed files are written to disk.
    if data.starts_with(&[0x1f, 0x8b]) {
        with_files(&[("r.csv.gz", data)], |folder| {
            let _ = read_recording(folder.join("r.csv.gz"), &options(false));
        });
    }
}

/// Returns the options that a byte selects.
fn csv_options(choice: u8) -> CsvOptions {
    const DELIMITERS: &[u8; 8] = b"\0\t;,| :/";
    let orientations =
        [None, Some(CsvOrientation::SamplesInRows), Some(CsvOrientation::LeadsInRows)];
    let delimiter = DELIMITERS[usize::from(choice) % 8];
    let names = usize::from(choice) / 24;
    let options = CsvOptions::default()
        .with_delimiter((delimiter != 0).then_some(delimiter))
        .with_orientation(orientations[usize::from(choice) / 8 % 3])
        .with_has_names([None, Some(true), Some(false)][names % 3])
        .with_sampling_rate(SamplingRate::new(500.0).ok());
    if names / 3 % 2 == 1 { options.with_leads(["I", "t"]).with_units("uV") } else { options }
}

/// Reads label maps and label tables: a generic one and PTB-XL's.
pub fn labels(data: &[u8]) {
    if let Ok(map) = LabelMap::parse(data, Path::new("own.csv")) {
        let again = LabelMap::parse(map.to_csv().as_bytes(), Path::new("own.csv"));
        assert_eq!(again.expect("what we write is sound").to_csv(), map.to_csv());
    }
    let record = ("r.hea", &b"r 1 500 1\nr.dat 16\n"[..]);
    for name in ["labels.csv", "ptbxl_database.csv"] {
        with_files(&[record, (name, data)], |folder| {
            let _ = Dataset::open(folder, &DatasetOptions::default());
        });
    }
}

/// Calls `read` with a folder that holds exactly these files.
fn with_files(files: &[(&str, &[u8])], read: impl FnOnce(&Path)) {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder");
    }
    FOLDER.with(|folder| {
        for (name, content) in files {
            fs::write(folder.path().join(name), content).expect("writes");
        }
        read(folder.path());
        for (name, _) in files {
            fs::remove_file(folder.path().join(name)).expect("the file goes");
        }
    });
}
