//! A conversion that is killed and started again gives files that are identical byte for byte.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::killed_when;
use ecg_synth::SynthOptions;
use ecg3d_examples::synthetic::{Format, write_folder};

const RECORDS: usize = 1500;

fn convert(data: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convert"));
    // A minute of zeros after each second of signal makes parts that fill quickly.
    command.args(["--stage", "prepared", "--preset", "corrected", "--seconds", "60"]);
    command.arg("--data").arg(data).arg("--out").arg(out).args(more);
    command.stdin(Stdio::null());
    command
}

fn run(mut command: Command) -> (Output, String) {
    let output = command.output().expect("convert starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, text)
}

fn parts(out: &Path) -> PathBuf {
    out.with_extension("npz.parts")
}

/// Starts a conversion and kills it once a part is in the journal; false if it finished before that was seen.
fn killed(data: &Path, out: &Path) -> bool {
    let journal = parts(out).join("journal.jsonl");
    // A line without its end may be torn by the kill.
    killed_when(convert(data, out, &["--threads", "1"]), || {
        std::fs::read(&journal).is_ok_and(|text| text.contains(&b'\n'))
    })
}

#[test]
fn a_killed_run_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let options = SynthOptions::default().with_seconds(2.0).with_sampling_rate_hz(100.0);
    write_folder(&data, RECORDS as u64, options, Format::Wfdb).expect("synthesises");
    // One record fails, in every run.
    std::fs::write(data.join("synth00007.dat"), [0; 7]).expect("cuts a record short");

    let whole = dir.path().join("whole.npz");
    let (output, text) = run(convert(&data, &whole, &["--threads", "2"]));
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(!parts(&whole).exists());

    let out = dir.path().join("killed.npz");
    // On a busy machine, the first part may not be seen in time.
    let kept = (0..10).any(|_| killed(&data, &out));
    assert!(kept, "every run was done before it was killed");
    assert!(!out.exists() && parts(&out).join("run.json").is_file());

    let mut other = Command::new(env!("CARGO_BIN_EXE_convert"));
    other.arg("--data").arg(&data).arg("--out").arg(&out);
    let (output, text) = run(other);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("configuration") && text.contains("--restart"), "{text}");

    let (output, text) = run(convert(&data, &out, &["--threads", "3"]));
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("resuming from"), "{text}");
    assert!(text.contains(&format!("of {RECORDS} records are done")), "{text}");
    assert!(!parts(&out).exists());

    let bytes = |path: &Path| std::fs::read(path).expect("reads");
    assert!(bytes(&whole) == bytes(&out), "the archives differ");
    assert!(
        bytes(&whole.with_extension("json")) == bytes(&out.with_extension("json")),
        "the manifests differ"
    );
}
