//! Recordings that one preset cannot use are still measured by the other.

use std::process::Command;

use ecg_synth::SynthOptions;
use ecg3d_examples::synthetic::{Format, write_folder};

#[test]
fn one_preset_is_enough() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = SynthOptions::default().with_seconds(4.0).with_sampling_rate_hz(100.0);
    // The published preset reads the first 1000 samples, whatever their rate.
    write_folder(dir.path(), 2, options, Format::Wfdb).expect("synthesises");
    let mut command = Command::new(env!("CARGO_BIN_EXE_losses"));
    let output = command.arg("--data").arg(dir.path()).output().expect("losses starts");
    let (text, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("published, 0 recordings\n\ncorrected, 2 recordings\n\n| |"), "{text}");
    assert_eq!(error.matches("failed: ").count(), 2, "{error}");
}
