//! The quirks of real databases that involve more than a header, reproduced on a small scale.

mod common;

use std::fs;
use std::path::Path;

use common::encode::encode;
use ecg_io::{IoError, Loaded, ReadOptions, Record, Selection, read_recording};

fn write(dir: &Path, header: &str, files: &[(&str, &[i16])]) {
    fs::write(dir.join("r.hea"), header).expect("writes");
    for (name, samples) in files {
        let bytes: Vec<u8> = samples.iter().flat_map(|v| v.to_le_bytes()).collect();
        fs::write(dir.join(name), bytes).expect("writes");
    }
}

fn read(dir: &Path, strict: bool) -> Result<Loaded, IoError> {
    read_recording(dir.join("r"), &ReadOptions::default().with_strict(strict))
}

fn both(header: &str, files: &[(&str, &[i16])]) -> (Loaded, Result<Loaded, IoError>) {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), header, files);
    (read(dir.path(), false).expect(header), read(dir.path(), true))
}

#[test]
fn a_matlab_container() {
    let mut file = vec![30_i16, 0, 12, 0, 2, 0, 0, 0, 4, 0];
    file.extend([i16::from_le_bytes(*b"va"), i16::from_le_bytes(*b"l\0")]);
    file.extend([1, 2, 3, 4]);
    let header =
        "r 2 500 2\nr.mat 16+24 1000/mV 16 0 1 4 0 I\nr.mat 16x1+24 1000/mV 16 0 2 6 0 II\n";
    let (loaded, strict) = both(header, &[("r.mat", &file)]);
    assert_eq!(loaded.recording.signal, ndarray::array![[0.001, 0.003], [0.002, 0.004]]);
    assert!(loaded.warnings.is_empty() && strict.is_ok());
}

#[test]
fn two_files_and_invalid_codes() {
    let header = "r 3 1000 2\nr.dat 16 2000 16 0 1 -32765 0 avr\nr.dat 16 2000 16 0 2 6 0 V1\nr.xyz 16 2000 16 0 9 18 0 vx\n";
    let files: [(&str, &[i16]); 2] = [("r.dat", &[3, 2, -32768, 4]), ("r.xyz", &[9, 9])];
    let (loaded, strict) = both(header, &files);
    let recording = loaded.recording;
    assert_eq!(recording.signal.row(1).to_vec(), [0.001, 0.002]);
    assert!(recording.signal[[0, 1]].is_nan());
    let adc = recording.adc.as_ref().expect("stored integers");
    assert_eq!(adc.values[[0, 1]], -32768);
    assert_eq!(recording.row_of(ecg_core::Lead::AVR), Some(0));
    assert!(strict.is_ok());
}

#[test]
fn checksums_are_compared_in_16_bits() {
    // 75436 is 9900 mod 2^16.
    for stated in ["75436", "-55636"] {
        let header = format!("r 1 500 2\nr.dat 16 200 16 0 0 {stated} 0 I\n");
        let (loaded, strict) = both(&header, &[("r.dat", &[9000, 900])]);
        let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
        assert_eq!((warning.line, warning.field), (Some(2), "checksum"));
        assert!(matches!(strict, Err(IoError::Strict(w)) if w.line == Some(2)));
    }
}

#[test]
fn units_become_mv() {
    let header = "r 4 500 1\nr.dat 16 2/uV 16 0 0 4 0 I\nr.dat 16 0.5(2)/V 16 0 0 4 0 II\n\
        r.dat 16 100/mmHg 16 0 0 4 0 ABP\nr.dat 16 4/mv 16 0 0 4 0 V1\n";
    let (loaded, strict) = both(header, &[("r.dat", &[4, 4, 4, 4])]);
    assert_eq!(loaded.recording.signal.column(0).to_vec(), [0.002, 4000.0, 0.04, 1.0]);
    let fields: Vec<_> = loaded.warnings.iter().map(|w| (w.line, w.field)).collect();
    assert_eq!(fields, [(Some(4), "units"), (Some(5), "units")]);
    assert!(matches!(strict, Err(IoError::Strict(w)) if w.line == Some(5)));
}

#[test]
fn a_renamed_signal_file() {
    let header = "S 1 500 2\nJS.mat 16 1000/mV 16 0 1 3 0 I\n";
    let (loaded, strict) = both(header, &[("r.mat", &[1, 2])]);
    assert_eq!(loaded.recording.n_samples(), 2);
    assert!(loaded.warnings.iter().any(|warning| warning.field == "file name"));
    assert!(matches!(strict, Err(IoError::Strict(_))));
    let (loaded, _) = both(header, &[("r.mat", &[9, 9]), ("JS.mat", &[1, 2])]);
    assert_eq!(loaded.recording.signal[[0, 1]], 0.002, "the file that is named comes first");
}

#[test]
fn one_of_several_signal_files_is_not_replaced() {
    let dir = tempfile::tempdir().expect("a folder");
    let header = "r 2 500 2\nr.dat 16 1000/mV 16 0 1 3 0 I\nr_2.dat 16 1000/mV 16 0 1 3 0 II\n";
    write(dir.path(), header, &[("r.dat", &[1, 2])]);
    for strict in [false, true] {
        let error = read(dir.path(), strict).expect_err("the second file is missing");
        let named = |error: &IoError| {
            matches!(error, IoError::Read { path, at: Some(at), .. }
                if path.ends_with("r_2.dat") && at.line == 3)
        };
        assert!(named(&error), "{error}");
    }
    // Nor is the first one, even if the second is there.
    let header = "r 2 500 2\nJ.dat 16 1000/mV 16 0 1 3 0 I\nr.dat 16 1000/mV 16 0 1 3 0 II\n";
    write(dir.path(), header, &[]);
    let error = read(dir.path(), false).expect_err("the first file is missing");
    assert!(matches!(&error, IoError::Read { path, .. } if path.ends_with("J.dat")), "{error}");
    // A signal without a file names none.
    let header = "r 2 500 2\nJ.dat 16 1000/mV 16 0 1 3 0 I\n~ 0 1000/mV 16 0 0 0 0 II\n";
    let (loaded, strict) = both(header, &[("r.dat", &[1, 2])]);
    assert_eq!(loaded.recording.signal.row(0).to_vec(), [0.001, 0.002]);
    assert!(matches!(strict, Err(IoError::Strict(warning)) if warning.field == "file name"));
}

#[test]
fn a_lost_line_end() {
    let header = "r 2 500 500000/mV 16 0 15 31255 0 I\nr.dat 16 1000/mV 16 0 5 5 0 II\n";
    let (loaded, strict) = both(header, &[("r.dat", &[15, 5, 16, 6, 17, 7])]);
    assert_eq!(loaded.recording.signal.row(0).to_vec(), [0.015, 0.016, 0.017]);
    assert!(matches!(strict, Err(IoError::Strict(_))));
}

#[test]
fn more_in_the_file_than_the_header_says() {
    let header = "r 1 500 2\nr.dat 16 1000/mV 16 0 1 3 0 I\n";
    let (loaded, strict) = both(header, &[("r.dat", &[1, 2, 3])]);
    assert_eq!((loaded.recording.n_samples(), loaded.warnings.len()), (2, 1));
    assert!(matches!(strict, Err(IoError::Strict(_))));
}

#[test]
fn more_in_a_flac_file_than_the_header_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let raw: Vec<i32> = (0..500).collect();
    fs::write(dir.path().join("r.dat"), encode(516, 0, &[1], &[&raw]).bytes).expect("writes");
    // 150 samples more, of which a skew may need some.
    for (format, warned) in [("516", true), ("516:149", true), ("516:150", false)] {
        write(dir.path(), &format!("r 1 500 350\nr.dat {format} 1000/mV\n"), &[]);
        let loaded = read(dir.path(), false).expect("reads");
        assert_eq!(loaded.recording.n_samples(), 350);
        let found: Vec<_> = loaded.warnings.iter().map(|w| (w.field, w.message.as_str())).collect();
        let message = "150 samples per channel follow the 350 frames that are stated, ignored";
        let expected = [("number of samples", message)];
        assert_eq!(found, expected[..usize::from(warned)], "{format}");
        assert_eq!(matches!(read(dir.path(), true), Err(IoError::Strict(_))), warned, "{format}");
    }
}

#[test]
fn only_requested_signals_must_fit_16_bits() {
    let dir = tempfile::tempdir().expect("a folder");
    // The second signal rises by 127 per frame and is beyond 16 bits from frame 258 on.
    let differences = [0_u8, 127].repeat(400);
    fs::write(dir.path().join("r.dat"), differences).expect("writes");
    let lines = "r.dat 8 1000/mV 16 0 0 0 0 I\nr.dat 8 1000/mV 16 0 0 27320 0 II\n";
    write(dir.path(), &format!("r 2 500 400\n{lines}"), &[]);
    let record = Record::open(dir.path().join("r"), &ReadOptions::default()).expect("opens");
    let first = Selection::default().with_signals([0]);
    assert_eq!(record.read::<i16>(&first).expect("the first alone"), [[0; 400]]);
    let error = record.read::<i16>(&Selection::default()).expect_err("both");
    let fits = matches!(
        &error,
        IoError::WideSample { signal: 1, lead, frame: 258, found: 32_893, .. } if lead == "II"
    );
    assert!(fits && error.to_string().contains("signal 1 (II)"), "{error}");
    assert_eq!(record.read::<i32>(&Selection::default()).expect("wide")[1][399], 50_800);
}

#[test]
fn frames_with_different_rates_are_averaged_and_skew_is_corrected() {
    let header = "r 2 250 3\nr.dat 16x2 1000/mV 16 0 0 0 0 I\nr.dat 16:1 1000/mV 16 0 0 60 0 II\n";
    let samples = [-32768, 2, 10, 4, 6, 20, -32768, -32768, 30];
    let header = header.replace(" 0 0 0 0 I", " 0 0 -32756 0 I");
    let (loaded, _) = both(&header, &[("r.dat", &samples)]);
    let rows = &loaded.recording.signal;
    assert_eq!((rows[[0, 0]], rows[[0, 1]]), (0.002, 0.005));
    assert!(rows[[0, 2]].is_nan() && rows[[1, 2]].is_nan());
    assert_eq!((rows[[1, 0]], rows[[1, 1]]), (0.02, 0.03));
    assert_eq!(loaded.recording.sampling_rate.hz(), 250.0);
    assert!(loaded.recording.adc.is_none());
}

#[test]
fn headers_as_the_databases_have_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let signals = "r.mat 16+24 1000/mV 16 0 7 7 0 avr\nr.mat 16+24 1000.0(0)/mV 16 0 0 0 0 V1\n";
    let mut file = vec![0; 24];
    file.extend([7, 0, 0, 0]);
    std::fs::write(dir.path().join("r.mat"), &file).expect("writes");
    let read = |record: &str, comments: &str, strict: bool| {
        let header = format!("{record}\n{signals}{comments}");
        // One case has the unit in small letters.
        let header = if comments == "#mv\n" { header.replace("/mV", "/mv") } else { header };
        std::fs::write(dir.path().join("r.hea"), header).expect("writes");
        self::read(dir.path(), strict)
    };
    let plain = "r 2 500 1 09:49:17 05/05/2020";
    // Unusual but valid: ids beyond 32 bits, either way to write a comment, a flat lead, a record of one sample.
    let comments = "#Age: 61\n# Sex: Female\n# Dx: 67741000119109,426783006\n";
    let loaded = read(plain, comments, true).expect("nothing to complain of");
    let recording = &loaded.recording;
    assert!(loaded.warnings.is_empty());
    assert_eq!((recording.age_years, recording.n_samples()), (Some(61.0), 1));
    assert_eq!(recording.diagnoses[0].0, 67_741_000_119_109);
    assert_eq!(recording.row_of(ecg_core::Lead::AVR), Some(0));
    assert_eq!(recording.signal.column(0).to_vec(), [0.007, 0.0]);
    // Read with a warning that names file, line and field, and rejected on request.
    for (record, comments, line, field) in [
        ("r 2 500 1 05-May-2020 09:49:17", "", 1, "base time"),
        ("r.mat 2 500 1", "", 1, "record name"),
        ("records500/r 2 500 1", "", 1, "record name"),
        (plain, "#Dx: 426783006,,164889003\n", 4, "Dx"),
        (plain, "#mv\n", 2, "units"),
        (plain, "#Dx: 426783006,\n", 4, "Dx"),
        (plain, "# a\n# Dx: 426783006,426783006\n", 5, "Dx"),
    ] {
        let loaded = read(record, comments, false).expect(record);
        assert_eq!(loaded.recording.signal[[0, 0]], 0.007);
        let place = |w: &ecg_io::Warning| {
            w.path == dir.path().join("r.hea") && w.line == Some(line) && w.field == field
        };
        assert!(loaded.warnings.iter().any(place), "{record} {comments}: {:?}", loaded.warnings);
        let strict = read(record, comments, true);
        assert!(matches!(&strict, Err(IoError::Strict(w)) if place(w)), "{record} {comments}");
    }
}

#[test]
fn a_signal_file_in_the_same_folder() {
    let (loaded, strict) =
        both("r 1 500 2\n./r.dat 16 1000/mV 0 0 1 3 0 I\n", &[("r.dat", &[1, 2])]);
    assert_eq!(loaded.recording.n_samples(), 2);
    assert!(loaded.warnings.is_empty() && strict.is_ok());
    // It is the same file as without the dot.
    let lines = "r.dat 16 1000/mV 0 0 1 4 0 I\n././r.dat 16 1000/mV 0 0 2 6 0 II\n";
    let (loaded, _) = both(&format!("r 2 500 2\n{lines}"), &[("r.dat", &[1, 2, 3, 4])]);
    assert_eq!(loaded.recording.signal, ndarray::array![[0.001, 0.003], [0.002, 0.004]]);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in
        ["../x", "./../x", "/etc/passwd", "a/../../x", "-", "a\\x", ".", "./r.hea", "r.hea", "~"]
    {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), &format!("r 1 500 1\n{name} 16\n"), &[]);
        let error = read(dir.path(), false).expect_err(name);
        let fits = match name {
            // A plain name, although an odd one.
            "~" => matches!(error, IoError::Read { .. } | IoError::UnsafeName { .. }),
            _ => matches!(error, IoError::UnsafeName { line: 2, .. }),
        };
        assert!(fits, "{name}: {error}");
    }
}

#[test]
fn a_header_cannot_ask_for_memory() {
    for header in [
        "r 1 500 9000000000000000000\nr.dat 16\n",
        "r 1 500 10000000000\nr.dat 16x4000000000\n",
        "r 2 500 2\nr.dat 16\n~ 0x4000000000\n",
        "r 2 500 1\nr.dat 16\n~ 0x3000000\n",
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), header, &[("r.dat", &[1, 2])]);
        let error = read(dir.path(), false).expect_err(header);
        assert!(
            matches!(error, IoError::Truncated { .. } | IoError::TooManyNullSamples { .. }),
            "{error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn links_to_signals_elsewhere_are_refused() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().expect("a folder");
    let (all, own) = (dir.path().join("all"), dir.path().join("own"));
    for folder in [&all, &own] {
        std::fs::create_dir(folder).expect("makes");
        write(folder, "r 1 500 1\nr.dat 16\n", &[]);
    }
    std::fs::write(all.join("r.dat"), [1, 0]).expect("writes");
    symlink(all.join("r.dat"), own.join("r.dat")).expect("links");
    assert!(matches!(read(&own, false), Err(IoError::UnsafeName { line: 2, .. })));
    // A record that is linked as a whole, and a link within the folder.
    std::fs::remove_file(own.join("r.hea")).expect("removes");
    symlink(all.join("r.hea"), own.join("r.hea")).expect("links");
    assert!(read(&own, false).is_ok());
    std::fs::rename(all.join("r.dat"), all.join("real.dat")).expect("renames");
    symlink("real.dat", all.join("r.dat")).expect("links");
    assert!(read(&all, false).is_ok());
}
