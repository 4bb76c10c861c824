//! A prediction that is killed and started again ends with a table that is identical byte for byte.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::killed_when;
use ecg_synth::SynthOptions;
use ecg3d_examples::synthetic::{Format, write_folder};

/// 3DECG-Net on the CPU classifies four records per step.
const RECORDS: u64 = 10;

fn data(dir: &Path, options: SynthOptions) {
    let options = options.with_seconds(3.0).with_sampling_rate_hz(100.0);
    write_folder(dir, RECORDS, options, Format::Wfdb).expect("synthesises");
}

/// `predict`, or another program with the same arguments.
fn program(path: &str, data: &Path, out: &Path) -> Command {
    let mut command = Command::new(path);
    command.arg("--data").arg(data).arg("--out").arg(out);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs a program to its end. Returns whether all went well, and its messages.
fn run(mut command: Command) -> (bool, String) {
    let output = command.output().expect("starts");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_killed_prediction_goes_on_to_the_same_bytes() {
    const PREDICT: &str = env!("CARGO_BIN_EXE_predict");
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    data(&at("data"), SynthOptions::default());
    data(&at("others"), SynthOptions::default().with_seed(1));
    let (whole, cut, part) = (at("whole.csv"), at("cut.csv"), at("cut.csv.part"));
    let (well, said) = run(program(PREDICT, &at("data"), &whole));
    assert!(well, "{said}");
    assert!(!at("whole.csv.part").exists());

    let killed = || killed_when(program(PREDICT, &at("data"), &cut), || part.exists());
    assert!(killed() && !cut.exists(), "all was done before it was killed");
    let (well, said) = run(program(PREDICT, &at("others"), &cut));
    assert!(!well && said.contains("cut.csv.part holds results for different"), "{said}");
    let (well, said) = run(program(PREDICT, &at("data"), &cut));
    assert!(well && said.contains("resuming after 4 of 10 records"), "{said}");
    let bytes = |path: &Path| std::fs::read(path).expect("reads");
    assert!(bytes(&whole) == bytes(&cut), "the tables differ");
    assert!(!part.exists());

    std::fs::remove_file(&cut).expect("removes");
    assert!(killed(), "all was done before it was killed");
    let mut command = program(PREDICT, &at("others"), &cut);
    command.arg("--restart");
    let (well, said) = run(command);
    assert!(well && !said.contains("resuming"), "{said}");
    assert!(bytes(&whole) != bytes(&cut) && !part.exists());
}

#[test]
fn nothing_is_kept_where_no_probability_is_finite() {
    const PREDICT: &str = env!("CARGO_BIN_EXE_predict");
    let dir = tempfile::tempdir().expect("a folder");
    let (records, out) = (dir.path().join("data"), dir.path().join("p.csv"));
    // Two steps.
    let options = SynthOptions::default().with_seconds(3.0).with_sampling_rate_hz(100.0);
    write_folder(&records, 8, options, Format::Wfdb).expect("synthesises");
    let part = dir.path().join("p.csv.part");
    let predict = || program(PREDICT, &records, &out);
    assert!(killed_when(predict(), || part.exists()), "all was done before it was killed");
    let mut bytes = std::fs::read(&part).expect("reads");
    let key = bytes.iter().position(|byte| *byte == b'\n').expect("ends");
    bytes.truncate(key + 1);
    bytes.extend(f64::NAN.to_le_bytes().repeat(8 * 7));
    std::fs::write(&part, bytes).expect("writes");
    let (well, said) = run(predict());
    assert!(!well && said.contains("resuming after 8 of 8 records"), "{said}");
    assert!(said.contains("no record has finite probabilities"), "{said}");
    assert!(!part.exists() && !out.exists());
}

#[test]
fn a_killed_evaluation_goes_on() {
    const EVALUATE: &str = env!("CARGO_BIN_EXE_evaluate");
    let dir = tempfile::tempdir().expect("a folder");
    let (records, out) = (dir.path().join("data"), dir.path().join("out"));
    data(&records, SynthOptions::default());
    let part = out.join("predictions.csv.part");
    let evaluate = || program(EVALUATE, &records, &out);
    assert!(killed_when(evaluate(), || part.exists()), "all was done before it was killed");
    let (well, said) = run(evaluate());
    assert!(well && said.contains("resuming after 4 of 10 records"), "{said}");
    assert!(out.join("metrics.json").exists() && !part.exists());
}
