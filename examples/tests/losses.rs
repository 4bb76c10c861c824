//! What `losses` measures, and what it says of the recordings.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use ecg_synth::SynthOptions;
use ecg3d_examples::synthetic::{Format, write_folder};

fn losses(folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_losses"));
    command.arg("--data").arg(folder).output().expect("losses starts")
}

#[test]
fn one_preset_is_enough() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = SynthOptions::default().with_seconds(4.0).with_sampling_rate_hz(100.0);
    // The published preset reads the first 1000 samples, whatever their rate.
    write_folder(dir.path(), 2, options, Format::Wfdb).expect("synthesises");
    let output = losses(dir.path());
    let (text, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("published, 0 recordings\n\ncorrected, 2 recordings\n\n| |"), "{text}");
    assert_eq!(error.matches("failed: ").count(), 2, "{error}");
}

#[test]
fn warnings_are_printed_once_and_labels_are_not_needed() {
    let dir = tempfile::tempdir().expect("a folder");
    // In uV, which the table does not say.
    let mut text = "# fs: 500\nI,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6\n".to_owned();
    for t in 0..1000 {
        let values = [(f64::from(t) / 20.0).sin() * 1000.0; 12];
        let _ = writeln!(text, "{}", values.map(|value| format!("{value:.0}")).join(","));
    }
    std::fs::write(dir.path().join("r.csv"), text).expect("writes");
    std::fs::write(dir.path().join("labels.csv"), "record,AF\nr,1\nr,1\n").expect("writes");
    let output = losses(dir.path());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    // About the folder, the recording, and its conversion by the published preset.
    for expected in ["label tables are ignored", "mV is assumed", "r: published: no ADC values"] {
        let lines = error.lines().filter(|line| line.contains(expected));
        let lines: Vec<&str> = lines.collect();
        assert!(matches!(lines[..], [line] if line.starts_with("warning: ")), "{error}");
    }
}
