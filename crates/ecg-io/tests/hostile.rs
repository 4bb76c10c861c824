//! No input makes a reader panic, hang or use unbounded memory.

use std::fs;

use ecg_io::{Dataset, DatasetOptions, Header, ReadOptions, read_recording};
use proptest::prelude::*;

/// Words that may occur in headers, valid ones and others.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "r",
        "r/2",
        "2",
        "0",
        "-1",
        "500",
        "5e2",
        "nan",
        "1e400",
        "100",
        "9999999999999999999",
        "r.dat",
        "q.dat",
        "~",
        "..",
        "/",
        "16",
        "8",
        "80",
        "212",
        "310x3",
        "311:1",
        "16+24",
        "16x",
        "0x99",
        "24+4294967295",
        "32:9",
        "61",
        "508",
        "200/mV",
        "0",
        "1(2)/uV",
        "1e-300",
        "-5(-5)",
        "/",
        "12:00:00",
        "05-May-2020",
        "1/1/2000",
        "# Dx: 1,,1",
        "\u{b5}V",
        "\"",
        "#",
        "500000/mV",
    ];
    prop_oneof![8 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

fn text() -> impl Strategy<Value = String> {
    let line = prop::collection::vec(word(), 0..10).prop_map(|words| words.join(" "));
    prop::collection::vec(line, 0..6).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn headers(mut text in text(), data in prop::collection::vec(any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().expect("a folder");
        for sound_start in [false, true] {
            if sound_start {
                text = format!("r 2 500 9\nr.dat 16 200/mV\n{text}");
            }
            fs::write(dir.path().join("r.hea"), &text).expect("writes");
            fs::write(dir.path().join("r.dat"), &data).expect("writes");
            for strict in [false, true] {
                let options = ReadOptions::default().with_strict(strict).with_verify_checksums(false);
                if let Ok(loaded) = read_recording(dir.path().join("r"), &options) {
                    // Format 8 produces one sample per byte; frames of one byte may hold several null samples.
                    prop_assert!(loaded.recording.n_samples() <= 3 * data.len());
                }
            }
        }
    }

    #[test]
    fn any_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        sound_start in any::<bool>(),
    ) {
        let _ = Header::parse(&bytes, "r.hea", &ReadOptions::default());
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("r.csv"), &bytes).expect("writes");
        let _ = read_recording(dir.path().join("r.csv"), &ReadOptions::default());
        // Where there are both, only the first is read.
        for (name, header) in
            [("labels.csv", "record,AF\n"), ("ptbxl_database.csv", "scp_codes,filename_hr\n")]
        {
            let start = if sound_start { header } else { "" };
            let table = dir.path().join(name);
            fs::write(&table, [start.as_bytes(), &bytes[..]].concat()).expect("writes");
            let _ = Dataset::open(dir.path(), &DatasetOptions::default());
            fs::remove_file(&table).expect("removes");
        }
    }

    #[test]
    fn tables(text in "([-0-9.eIV#\"; \t]{0,8}[,;\n]){0,40}") {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["r.csv", "labels.csv"] {
            fs::write(dir.path().join(name), &text).expect("writes");
        }
        let _ = read_recording(dir.path().join("r.csv"), &ReadOptions::default());
        let _ = Dataset::open(dir.path(), &DatasetOptions::default());
    }
}
