//! The main job on recordings without labels.

use std::fs;
use std::process::Command;

use ecg_synth::SynthOptions;
use ecg3d_examples::synthetic::{Format, write_folder};

#[test]
fn recordings_need_no_labels() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    let options = SynthOptions::default().with_seconds(2.0).with_seed(3);
    write_folder(&data, 2, options, Format::Csv).expect("synthesises");
    // What a run with other recordings left.
    let part = out.join("predictions.csv.part");
    fs::create_dir(&out).expect("makes");
    fs::write(&part, "of others\n").expect("writes");
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
        command.arg("--data").arg(&data).arg("--out").arg(&out);
        command.args(["--explain", "0", "--seed", "9", "--restart"]);
        let output = command.output().expect("starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !part.exists(), "{said}");
        let read = |name| fs::read_to_string(out.join(name)).expect("is there");
        (said, read("report.html"), read("predictions.csv"))
    };
    let (said, page, with) = run();
    assert!(said.contains("warning: --seed has no effect"), "{said}");
    assert!(page.contains("How good it is") && out.join("metrics.json").exists());
    // The page needs no network.
    for start in ["src=\"", "href=\""] {
        for rest in page.split(start).skip(1) {
            let (value, _) = rest.split_once('"').expect("a closing quote");
            // In the letters of a picture, any four can follow each other.
            assert!(value.starts_with("data:") || !value.contains("http"), "{start}{value}");
        }
    }

    // Without the table and the diagnoses of the headers, the earlier metrics are removed.
    fs::remove_file(data.join("labels.csv")).expect("removes");
    for name in ["synth00000.csv", "synth00001.csv"] {
        let text = fs::read_to_string(data.join(name)).expect("reads");
        let lines = text.lines().filter(|line| !line.contains("Dx:"));
        fs::write(data.join(name), lines.map(|line| format!("{line}\n")).collect::<String>())
            .expect("writes");
    }
    let (said, page, without) = run();
    assert!(said.contains("the predictions are not evaluated"), "{said}");
    assert!(page.contains("What the network says") && !page.contains("How good it is"));
    assert!(!out.join("metrics.json").exists());
    assert_eq!(with, without);
}
