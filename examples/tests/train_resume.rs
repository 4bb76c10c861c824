//! A training run that is killed and resumed ends with files that are identical byte for byte.

mod common;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::killed_when;
use ecg_synth::SynthOptions;
use ecg3d_examples::synthetic::{Format, write_folder};

const EPOCHS: usize = 6;

/// 24 recordings in a folder.
fn data(dir: &Path) -> PathBuf {
    let data = dir.join("data");
    let options = SynthOptions::default().with_seconds(10.0).with_sampling_rate_hz(100.0);
    write_folder(&data, 24, options, Format::Wfdb).expect("synthesises");
    data
}

fn train(data: &Path, out: &Path, epochs: usize) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args(["--model", "resnet1d", "--preset", "corrected", "--split", "kfold"]);
    command.args(["--batch", "4", "--threads", "1", "--epochs", &epochs.to_string()]);
    command.arg("--data").arg(data).arg("--out").arg(out);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn epochs(run: &Path) -> usize {
    let log = std::fs::read_to_string(run.join("log.csv")).unwrap_or_default();
    log.lines().count().saturating_sub(1)
}

/// Starts or continues a run, and kills it once it has done more epochs; false if it finished before that was
/// seen.
fn killed(command: Command, run: &Path) -> bool {
    let before = epochs(run);
    killed_when(command, || epochs(run) > before)
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data(dir.path());
    let (whole, cut) = (dir.path().join("whole"), dir.path().join("cut"));
    let output = train(&data, &whole, EPOCHS).output().expect("train starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // In the first epoch, and after it.
    assert!(killed_when(train(&data, &cut, EPOCHS), || cut.join("run.lock").exists()));
    assert!(killed(train(&data, &cut, EPOCHS), &cut), "the run was done before it was killed");
    // What a killed write of the checkpoint leaves behind: its name starts with a hash of `checkpoint.safetensors`.
    std::fs::write(cut.join(".153451e6a9933ffc.1-1.tmp"), "half").expect("writes");
    let resumed = || {
        let mut command = train(&data, &cut, EPOCHS);
        command.arg("--resume");
        command
    };
    // Once more in the middle; on a busy machine, the run may end before that is seen.
    killed(resumed(), &cut);
    let output = resumed().output().expect("train starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(epochs(&cut), EPOCHS);

    for name in ["best.safetensors", "last.safetensors", "validation.csv"] {
        let bytes = |run: &Path| std::fs::read(run.join(name)).expect("reads");
        assert!(bytes(&whole) == bytes(&cut), "{name} differs");
    }
    let left = std::fs::read_dir(&cut).expect("lists").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{left:?}");
}

#[test]
fn two_trainings_in_one_folder_are_kept_apart() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data(dir.path());
    let run = dir.path().join("run");
    // Far more epochs than are done before the second run begins.
    let train = || train(&data, &run, 10_000);
    let said = OnceCell::new();
    let killed = killed_when(train(), || {
        run.join("run.lock").exists() && {
            let output = train().arg("--resume").output().expect("train starts");
            said.set(String::from_utf8_lossy(&output.stderr).into_owned()).is_ok()
        }
    });
    assert!(killed, "the run was done before the second began");
    let said = said.get().expect("said something");
    assert!(said.contains("another training run is using"), "{said}");
}
