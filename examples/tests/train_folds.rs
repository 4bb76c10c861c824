//! Training all folds in one run equals the single folds put together, and `evaluate` chooses thresholds across
//! them; a fold of the label table is kept for testing.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use ecg_synth::SynthOptions;
use ecg3d_examples::sha256;
use ecg3d_examples::synthetic::{Format, write_folder};

fn train(data: &Path, out: &Path, fold: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args(["--model", "resnet1d", "--preset", "corrected", "--folds", "2", "--fold", fold]);
    command.args(["--batch", "8", "--threads", "1", "--epochs", "2", "--seed", "3"]).args(more);
    command.arg("--data").arg(data).arg("--out").arg(out);
    command.stdin(Stdio::null()).output().expect("train starts")
}

fn said(output: &Output, well: bool) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), well, "{said}");
    said
}

#[test]
fn a_fold_of_the_label_table_is_tested() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data, out) = (dir.path().join("data"), dir.path().join("run"));
    let options = SynthOptions::default().with_seconds(10.0).with_sampling_rate_hz(100.0);
    write_folder(&data, 16, options, Format::Wfdb).expect("synthesises");
    let table = data.join("labels.csv");
    let text = std::fs::read_to_string(&table).expect("reads");
    let mut lines = text.lines();
    let mut changed = format!("{}\n", lines.next().expect("a head"));
    for (k, line) in lines.enumerate() {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        // Four folds of four records; a patient of the tested fold is also in another.
        let patient = if k == 15 { 0 } else { k };
        (cells[1], cells[2]) = (format!("p{patient}"), (k / 4).to_string());
        changed += &format!("{}\n", cells.join(","));
    }
    std::fs::write(&table, &changed).expect("writes");

    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args(["--model", "resnet1d", "--preset", "corrected", "--split", "labels"]);
    command.args(["--test-fold", "3", "--batch", "4", "--threads", "1", "--epochs", "1"]);
    command.arg("--data").arg(&data).arg("--out").arg(&out);
    let output = command.stdin(Stdio::null()).output().expect("train starts");
    let warned = said(&output, true);
    assert!(warned.contains("warning: 1 patient has records both for testing and"), "{warned}");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("kept for testing: 4 records: "), "{printed}");
    let column = |name: &str, column: usize| -> Vec<String> {
        let text = std::fs::read_to_string(out.join(name)).expect("reads");
        let cell = |line: &str| line.split(',').nth(column).expect("a cell").to_owned();
        text.lines().skip(1).map(cell).collect()
    };
    let names = column("test.csv", 0);
    let all: Vec<&str> = changed.lines().filter_map(|line| line.split(',').next()).collect();
    assert_eq!(names, all[13..]);
    // The largest of the other folds validates.
    assert_eq!(column("validation_labels.csv", 2), ["2"; 4]);
    let card = std::fs::read_to_string(out.join("model.json")).expect("reads");
    let card: serde_json::Value = serde_json::from_str(&card).expect("JSON");
    let test = &card["metrics"]["test"];
    assert_eq!((&test["records"], &test["shared_patients"]), (&4.into(), &1.into()));
    let hash = sha256((names.join("\n") + "\n").as_bytes());
    assert_eq!(test["names_sha256"], hash);
    assert!(printed.contains(&format!("; SHA-256 of their sorted names: {hash}")), "{printed}");
}

#[test]
fn all_folds_and_thresholds_across_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let options = SynthOptions::default().with_seconds(10.0).with_sampling_rate_hz(100.0);
    write_folder(&data, 32, options, Format::Wfdb).expect("synthesises");
    let (all, one) = (dir.path().join("all"), dir.path().join("one"));
    said(&train(&data, &all, "all", &[]), true);
    said(&train(&data, &one, "1", &[]), true);
    let read = |path: &Path| std::fs::read_to_string(path).expect("reads");
    for name in ["validation.csv", "validation_labels.csv"] {
        let [first, second] = ["fold-0", "fold-1"].map(|fold| read(&all.join(fold).join(name)));
        assert_eq!(second, read(&one.join(name)), "{name}");
        let (head, rows) = second.split_once('\n').expect("lines");
        assert!(first.starts_with(head));
        assert_eq!(read(&all.join(name)), first + rows, "{name}");
    }
    let labels = read(&all.join("validation_labels.csv"));
    let folds: Vec<&str> = labels.lines().skip(1).filter_map(|l| l.split(',').nth(2)).collect();
    assert_eq!(folds, [["0"; 16], ["1"; 16]].concat());

    // A second run needs --resume, and ends with the same result. One fold is not trained in a folder of all
    // folds, nor all in a folder of one.
    assert!(said(&train(&data, &all, "all", &[]), false).contains("already exists"));
    let before = read(&all.join("validation.csv"));
    std::fs::remove_dir_all(all.join("fold-1")).expect("removes");
    said(&train(&data, &all, "all", &["--resume"]), true);
    assert_eq!(read(&all.join("validation.csv")), before);
    assert!(said(&train(&data, &all, "0", &[]), false).contains("validation.csv"));
    assert!(said(&train(&data, &one, "all", &["--resume"]), false).contains("a run of one fold"));
    for name in ["validation.csv", "validation_labels.csv"] {
        std::fs::remove_file(all.join(name)).expect("removes");
    }
    assert!(said(&train(&data, &all, "0", &["--resume"]), false).contains("runs of --fold all"));
    let gone = all.join("fold-0/checkpoint.safetensors");
    std::fs::rename(&gone, all.join("kept")).expect("moves");
    let resumed = || train(&data, &all, "all", &["--resume"]);
    assert!(said(&resumed(), false).contains("fold-0"));
    std::fs::rename(all.join("kept"), &gone).expect("moves");
    let again = said(&resumed(), true);
    assert!(!again.contains("no checkpoint"), "{again}");
    assert_eq!(read(&all.join("validation.csv")), before);

    let out = dir.path().join("judged");
    let evaluate = |labels: &Path, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evaluate"));
        command.arg("--predictions").arg(all.join("validation.csv")).arg("--labels").arg(labels);
        command.arg("--out").arg(&out).args(more).output().expect("evaluate starts")
    };
    let truth = all.join("validation_labels.csv");
    let predictions = all.join("validation.csv");
    let against = ["--against", predictions.to_str().expect("UTF-8"), "--bootstrap", "40"];
    let across = ["--choose-thresholds", "f1", "--across-folds"];
    said(&evaluate(&truth, &[&across[..], &against[..]].concat()), true);
    let metrics = read(&out.join("metrics.json"));
    let metrics: serde_json::Value = serde_json::from_str(&metrics).expect("JSON");
    assert_eq!(metrics["threshold_source"], "largest F1 on the other folds");
    let by_fold = &metrics["thresholds_by_fold"];
    assert!(by_fold["0"]["NSR"].is_number() && by_fold["1"]["AF"].is_number());
    let same = by_fold["0"]["NSR"] == by_fold["1"]["NSR"];
    assert_eq!(metrics["thresholds"]["NSR"].is_null(), !same);
    assert!(read(&out.join("report.md")).contains("Thresholds of each fold, chosen on the others"));
    // The same predictions with thresholds chosen in the same way: no record is decided differently.
    assert_eq!(metrics["against"][0]["subset_mcnemar"]["first_only"], 0);
    assert_eq!(metrics["against"][0]["subset_mcnemar"]["second_only"], 0);

    let without = dir.path().join("labels.csv");
    let cells = |line: &str| {
        let kept = line.split(',').enumerate().filter(|(k, _)| *k != 2).map(|(_, cell)| cell);
        kept.collect::<Vec<_>>().join(",")
    };
    let lines: Vec<String> = labels.lines().map(cells).collect();
    std::fs::write(&without, lines.join("\n") + "\n").expect("writes");
    assert!(said(&evaluate(&without, &across), false).contains("has no fold"));
    let refused = |more: &[&str], word: &str| {
        let said = said(&evaluate(&truth, more), false);
        assert!(said.contains(word), "{more:?}: {said}");
    };
    refused(&across[..2], "--validation");
    refused(&["--across-folds"], "--choose-thresholds");
    refused(&["--across-folds", "--thresholds", "0.3"], "cannot be used with");
    refused(&[&across[..], &["--calibrate", "platt"]].concat(), "cannot be used with");
    refused(&["--calibrate", "platt", "--against", "x.csv"], "cannot be used with");
}
