//! A program does not overwrite what it reads.

use std::path::Path;
use std::process::Command;

/// Runs a program that must refuse, and returns its messages.
fn refused(program: &str, dir: &Path, arguments: &str) -> String {
    let mut command = Command::new(program);
    command.current_dir(dir).args(arguments.split(' '));
    let output = command.output().expect("starts");
    assert_eq!(output.status.code(), Some(1), "{arguments}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn inputs_are_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let table = "record,AF\na,0.5\nb,0.25\n";
    let config = "{\"preset\": \"corrected\"}";
    std::fs::create_dir(dir.join("data")).expect("makes");
    for (name, text) in [
        ("predictions.csv", table),
        ("truth.csv", "record,AF\na,1\nb,0\n"),
        ("x.json", config),
        ("model.json", "{\"class_name\": \"Functional\"}"),
        ("model.h5", "not looked at"),
    ] {
        std::fs::write(dir.join(name), text).expect("writes");
    }
    let evaluate = env!("CARGO_BIN_EXE_evaluate");
    for arguments in [
        "--predictions predictions.csv --labels truth.csv --out .",
        "--data data --validation ./predictions.csv --validation-labels truth.csv --choose-thresholds f1 --out .",
    ] {
        let said = refused(evaluate, dir, arguments);
        assert!(
            said.contains("predictions.csv would be overwritten, but it is an input"),
            "{said}"
        );
    }
    std::fs::create_dir(dir.join("w")).expect("makes");
    // Read by name only, for they are refused before anything is read.
    let outputs = ["metrics.csv", "calibration.csv", "report.md", "metrics.json", "roc.svg"];
    for name in outputs.into_iter().chain(["calibrator.json"]) {
        std::fs::write(dir.join("w").join(name), name).expect("writes");
    }
    let recording = "I,II\n1,2\n";
    std::fs::create_dir(dir.join("rec")).expect("makes");
    std::fs::write(dir.join("rec/metrics.csv"), recording).expect("writes");
    for (arguments, name) in [
        ("--predictions predictions.csv --labels w/metrics.csv --out w", "w/metrics.csv"),
        (
            "--predictions predictions.csv --labels truth.csv --against w/calibration.csv --out w",
            "w/calibration.csv",
        ),
        (
            "--predictions predictions.csv --labels truth.csv --challenge-weights w/report.md --out w",
            "w/report.md",
        ),
        (
            "--predictions predictions.csv --labels truth.csv --calibrator w/roc.svg --out w",
            "w/roc.svg",
        ),
        ("--data w/metrics.npz --out w", "w/metrics.json"),
        ("--data rec --out rec", "rec/metrics.csv"),
    ] {
        let said = refused(evaluate, dir, arguments);
        let expected = format!("{name} would be overwritten, but it is an input");
        assert!(said.contains(&expected), "{arguments}: {said}");
    }
    // What is read as a calibrator is written again as one.
    let said = refused(
        evaluate,
        dir,
        "--predictions predictions.csv --labels truth.csv --calibrator w/calibrator.json --out w",
    );
    assert!(said.contains("calibrator.json is not a calibrator"), "{said}");
    for name in outputs {
        assert_eq!(std::fs::read_to_string(dir.join("w").join(name)).expect("is there"), name);
    }
    let kept = std::fs::read_to_string(dir.join("rec/metrics.csv")).expect("is there");
    assert_eq!(kept, recording);
    let quickstart = env!("CARGO_BIN_EXE_quickstart");
    let said = refused(quickstart, dir, "--data data --labels predictions.csv --out .");
    assert!(said.contains("predictions.csv would be overwritten, but it is an input"), "{said}");
    let explain = env!("CARGO_BIN_EXE_explain");
    std::fs::write(dir.join("w/explanation.json"), "a manifest").expect("writes");
    for arguments in [
        "--data w/explanation.npz --label AF --out w",
        "--record data/a --reference w/explanation.npz --label AF --out w",
        "--data data --labels w/explanation.json --label AF --out w",
    ] {
        let said = refused(explain, dir, arguments);
        let expected = "explanation.json would be overwritten, but it is an input";
        assert!(said.contains(expected), "{arguments}: {said}");
    }
    let convert = env!("CARGO_BIN_EXE_convert");
    let said = refused(convert, dir, "--data data --config x.json --out x.npz");
    assert!(said.contains("x.json would be overwritten, but it is an input"), "{said}");
    let import = env!("CARGO_BIN_EXE_import-keras");
    let said = refused(import, dir, "--h5 model.h5 --model zhang --out model.safetensors");
    assert!(said.contains("model.json would be overwritten, but it is not a model card"), "{said}");
    std::fs::rename(dir.join("model.h5"), dir.join("keras.safetensors")).expect("renames");
    let said =
        refused(import, dir, "--h5 keras.safetensors --model zhang --out ./keras.safetensors");
    assert!(said.contains("keras.safetensors would be overwritten, but it is an input"), "{said}");
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("is there");
    assert_eq!((read("predictions.csv"), read("x.json")), (table.to_owned(), config.to_owned()));
}
