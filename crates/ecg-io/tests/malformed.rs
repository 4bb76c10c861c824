//! Broken records: each ends in a typed error that names the place, or in a documented reading.

mod common;

use std::fmt::Write;

use common::bad::expectations;
use ecg_io::{IoError, Loaded, ReadOptions, read_recording};

#[test]
fn every_case_ends_as_documented() {
    let Some(folder) = common::goldens("wfdb-bad") else { return };
    let expectations = expectations();
    let mut wrong = String::new();
    for (case, expect) in &expectations {
        let result = read_recording(folder.join(case).join("r"), &ReadOptions::default());
        if !expect.accepts(&result) {
            let _ = writeln!(wrong, "{case}: {}", shown(result));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let cases = std::fs::read_dir(&folder)
        .expect("the folder")
        .filter(|entry| entry.as_ref().is_ok_and(|e| e.path().is_dir()))
        .count();
    assert_eq!(cases, expectations.len(), "a case without expectation");
}

#[test]
fn gains_with_which_samples_are_infinite_in_mv() {
    let dir = tempfile::tempdir().expect("a folder");
    let write =
        |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("writes");
    let read = |name: &str| read_recording(dir.path().join(name), &ReadOptions::default());
    for name in ["r.dat", "a.dat", "b.dat"] {
        std::fs::write(dir.path().join(name), [1, 0]).expect("writes");
    }
    let line_of = |error: &IoError| match error {
        IoError::Field { line, field: "gain", .. } => Some(*line),
        _ => None,
    };
    for gain in ["1e-298/V", "1e303/nV"] {
        write("r.hea", &format!("r 2 500 1\n~ 0\nr.dat 16 {gain}\n"));
        let error = read("r").expect_err(gain);
        assert_eq!(line_of(&error), Some(3), "{error}");
        assert!(error.to_string().contains(gain), "{error}");
    }
    write("r.hea", "r 1 500 1\nr.dat 16 1e-298/mV\n");
    assert!(read("r").expect("finite").recording.signal[[0, 0]].is_finite());
    // The gain of a segment other than the first.
    write("m.hea", "m/2 1 500 2\na 1\nb 1\n");
    write("a.hea", "a 1 500 1\na.dat 16 200/V\n");
    write("b.hea", "b 1 500 1\nb.dat 16 1e-298/V\n");
    let error = read("m").expect_err("a gain");
    let IoError::Segment { line: 3, source, .. } = &error else { panic!("{error}") };
    assert_eq!(line_of(source), Some(2), "{source}");
    write("a.hea", "a 1 500 1\na.dat 16 1e-298/V\n");
    let error = read("m").expect_err("a gain");
    let IoError::Segment { line: 2, source, .. } = &error else { panic!("{error}") };
    assert_eq!(line_of(source), Some(2), "{source}");
}

#[test]
fn signal_files_that_do_not_fit() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    let read = |header: &str, strict: bool| {
        std::fs::write(path("r.hea"), header).expect("writes");
        read_recording(path("r"), &ReadOptions::default().with_strict(strict))
    };
    let (two, none) = ("r 1 500 2\nr.dat 16 1000/mV\n", "r 1 500 0\nr.dat 16 1000/mV\n");
    assert!(matches!(read(two, false), Err(IoError::Read { .. })), "missing");
    for (bytes, expected) in [(0, 4), (2, 4), (3, 4)] {
        std::fs::write(path("r.dat"), vec![0; bytes]).expect("writes");
        let error = read(two, false).expect_err("too short");
        assert!(
            matches!(error, IoError::Truncated { expected: e, found, .. } if (e, found) == (expected, bytes as u64)),
            "{error:?}"
        );
    }
    assert!(matches!(read(none, false), Ok(loaded) if loaded.recording.n_samples() == 1));
    std::fs::write(path("r.dat"), [0; 6]).expect("writes");
    let longer = read(two, false).expect("lenient");
    assert_eq!((longer.recording.n_samples(), longer.warnings.len()), (2, 1));
    assert!(matches!(read(two, true), Err(IoError::Strict(_))), "too long");
    assert!(matches!(read(none, true), Ok(loaded) if loaded.recording.n_samples() == 3));
    // Uncalibrated: 200 units per mV.
    let gain = read("r 1 500 3\nr.dat 16 0/mV 16 0 0 0 0 I\n", false).expect("lenient");
    assert_eq!(gain.warnings.len(), 1);
    std::fs::write(path("s.dat"), [0; 6]).expect("writes");
    let error = read("r 3 500 3\nr.dat 16\ns.dat 16\nr.dat 16\n", false);
    assert!(matches!(error, Err(IoError::FileOrder { line: 4, .. })));
    // Segments that name each other.
    std::fs::write(path("m.hea"), "m/1 1 500 3\nr 3\n").expect("writes");
    let error = read("r/1 1 500 3\nm 3\n", false);
    assert!(matches!(error, Err(IoError::NestedSegment { line: 2, .. })));
}

#[test]
fn errors_name_the_place_in_the_header() {
    let Some(folder) = common::goldens("wfdb-bad") else { return };
    let cases = [
        ("02_dat_odd_byte", "r.hea:1: number of samples: ", "r.dat has 399 bytes, expected 400"),
        ("04_dat_missing", "r.hea:2: file name: cannot read ", "r.dat"),
        ("46_spf_huge", "r.hea:1: number of samples: ", "bytes, expected"),
        ("50_offset_past_end", "r.hea:2: byte offset: ", "r.dat has 400 bytes, expected"),
        ("AD_ms_seg_len_huge", "r.hea:2: segment length: ", "expected at most 2097152"),
    ];
    for (case, place, what) in cases {
        let error = read_recording(folder.join(case).join("r"), &ReadOptions::default());
        let error = error.expect_err(case).to_string();
        assert!(error.contains(place) && error.contains(what), "{case}: {error}");
    }
}

#[test]
fn lengths_that_do_not_fit_name_the_record_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let read = |header: &str, bytes: usize| {
        std::fs::write(dir.path().join("r.hea"), header).expect("writes");
        std::fs::write(dir.path().join("r.dat"), vec![0; bytes]).expect("writes");
        read_recording(dir.path().join("r"), &ReadOptions::default())
    };
    let errors = [
        (
            "#\nr 0 500 5\n",
            0,
            "r.hea:2: number of signals: ",
            "found 0 signals without a file, expected",
        ),
        ("#\nr 1 500\nr.dat 16\n", 1, "r.hea:3: file name: ", "found 1 bytes, expected"),
        ("#\nr 2 500 5\nr.dat 16\n~ 0x999999\n", 10, "r.hea:4: samples per frame: ", "4999995"),
        ("#\nr/2 1 500 5\n~ 2\n~ 3\n", 0, "r.hea:2: number of segments: ", "found 2 gaps"),
        ("#\nr/2 1 500 6\n~ 2\n~ 3\n", 0, "r.hea:2: number of samples: ", "segments add up to 5"),
    ];
    for (header, bytes, place, what) in errors {
        let error = read(header, bytes).expect_err(header).to_string();
        assert!(error.contains(place) && error.contains(what), "{error}");
    }
    for (header, bytes) in
        [("#\nr 1 500 5\nr.dat 16 1\n", 99), ("#\nr 2 500\nr.dat 16 1\nr.dat 16 1\n", 99)]
    {
        let warnings = read(header, bytes).expect(header).warnings;
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        assert_eq!((warning.line, warning.field), (Some(2), "number of samples"), "{warning}");
    }
}

fn shown(result: Result<Loaded, IoError>) -> String {
    match result {
        Ok(loaded) => {
            let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
            format!("read, {warnings:?}")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn readings_of_odd_but_sound_records() {
    let Some(folder) = common::goldens("wfdb-bad") else { return };
    let read = |case: &str| {
        let path = folder.join(case).join("r.hea");
        read_recording(path, &ReadOptions::default()).expect(case).recording
    };
    let good = read("00_good");
    for same in
        ["10_sig_len_zero", "22_crlf", "30_gain_zero", "77_name_digit_slash", "83_blocksize"]
    {
        assert_eq!(read(same).signal, good.signal, "{same}");
    }
    assert_eq!(read("67_fs_exp").sampling_rate.hz(), 500.0);
    assert_eq!(read("31_gain_negative").signal, -&good.signal);
    // Micro signs are not lost: 200 units per uV.
    let micro = read("28_utf8_units");
    assert!((micro.signal[[0, 1]] * 1000.0 - good.signal[[0, 1]]).abs() < 1e-15);
    assert_eq!(read("26_latin1_comment").comments, ["M\u{e9}decin: \u{b5}V"]);
    assert_eq!(read("87_line_64k").leads[0].as_str().len(), 65536);
}

#[test]
fn strict_mode_refuses_what_lenient_mode_warns_of() {
    let Some(folder) = common::goldens("wfdb-bad") else { return };
    let strict = ReadOptions::default().with_strict(true);
    for case in ["70_date_invalid", "71_time_25h", "75_name_with_path", "77_name_digit_slash"] {
        let refused = read_recording(folder.join(case).join("r"), &strict);
        assert!(matches!(refused, Err(IoError::Strict(w)) if w.line == Some(1)), "{case}");
    }
    assert!(read_recording(folder.join("00_good/r"), &strict).is_ok());
    // A checksum can be waived.
    let waived = ReadOptions::default().with_verify_checksums(false);
    let loaded = read_recording(folder.join("82_dup_names/r"), &waived).expect("waived");
    assert!(loaded.warnings.iter().any(|warning| warning.field == "checksum"));
}
