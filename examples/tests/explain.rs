//! Tests of what `explain` writes, and of what it leaves when it is stopped.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use ecg_core::LabelSet;
use ecg_synth::SynthOptions;
use ecg3d_convert::ConvertConfig;
use ecg3d_examples::synthetic::{Format, write_folder};
use ecg3d_models::{Architecture, ModelCard, Network, Preset, save};
use serde_json::Value;
use tch::Device;

/// An untrained network that predicts every label for every record, and `records` recordings of one window.
struct Set {
    dir: tempfile::TempDir,
}

impl Set {
    fn new(records: u64) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (architecture, mode) = (Architecture::Ribeiro, Preset::Corrected);
        let network = Network::new(architecture, mode, 7, Device::Cpu, 1).expect("builds");
        let config = ConvertConfig::preset(mode);
        let card = ModelCard::new(architecture, mode, LabelSet::seven(), config)
            .with_thresholds(&[0.0; 7])
            .expect("thresholds");
        save(&network, &card, dir.path().join("weights.safetensors")).expect("saves");
        let options = SynthOptions::default().with_seconds(2.0).with_sampling_rate_hz(100.0);
        write_folder(&dir.path().join("data"), records, options, Format::Wfdb)
            .expect("synthesises");
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn explain(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_explain"));
        command.arg("--weights").arg(self.path("weights.safetensors"));
        command.args(["--threads", "1", "--background", "1"]);
        command.arg("--out").arg(self.path("out")).args(arguments.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn of_record(&self, arguments: &str) -> Command {
        let mut command = self.explain(arguments);
        command.arg("--record").arg(self.path("data/synth00000"));
        command
    }

    fn of_data(&self, arguments: &str) -> Command {
        let mut command = self.explain(arguments);
        command.arg("--data").arg(self.path("data"));
        command
    }

    fn json(&self) -> Value {
        let text = std::fs::read(self.path("out/explanation.json")).expect("explanation.json");
        serde_json::from_slice(&text).expect("JSON")
    }

    fn pictures(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("out")).expect("lists").flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().expect("a name"))
            .filter(|name| name.ends_with(".png"))
            .collect();
        names.sort();
        // Each also exists as SVG.
        for name in &names {
            assert!(self.path("out").join(name).with_extension("svg").is_file(), "{name}");
        }
        names
    }
}

#[track_caller]
fn succeeds(mut command: Command) {
    let output = command.output().expect("explain starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn refused(mut command: Command, why: &str) {
    let output = command.output().expect("explain starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains(why), "{text}");
}

#[test]
fn a_record_and_all_that_is_said_about_it() {
    let set = Set::new(2);
    succeeds(set.of_record("--label LBBB --random-models 1 --target logit"));
    let json = set.json();
    let lead = |value: &Value| value["lead"].as_str().map(str::to_owned);
    let values = json["values"].as_array().expect("values");
    assert_eq!((values.len(), lead(&values[2]).as_deref()), (8, Some("V1")));
    assert!(json["efficiency_residual"].as_f64().is_some_and(|own| own.abs() < 1e-6));
    assert_eq!(json["baseline"], "zero");
    assert_eq!(json["other_baselines"][0]["baseline"], "background of 1");
    assert_eq!(json["agreement"]["methods"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["agreement"]["baselines"][0]["between"][1], "background of 1");
    assert!(json["faithfulness"]["chance_auc"].is_number());
    assert_eq!(json["random_weights"]["models"], 1);
    assert_eq!(set.pictures(), ["bars.png", "ecg.png", "interactions.png"]);

    // Other pictures, with none left of the first run, nor lines of a run over a data set.
    let stale = ["explanations.jsonl", "boxes.png"];
    let stale = stale.map(|name| set.path("out").join(name));
    for path in &stale {
        std::fs::write(path, "stale").expect("writes");
    }
    let partial = set.path("out/explanations.jsonl.partial");
    std::fs::write(&partial, "kept").expect("writes");
    succeeds(set.of_record("--label AF,SB --method owen --segments 4 --permutations 2"));
    let json = set.json();
    assert_eq!(json["labels"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["labels"][1]["label"], "SB");
    assert_eq!(json["labels"][0]["values"].as_array().map(Vec::len), Some(32));
    let expected = ["bars-AF", "bars-SB", "ecg-AF", "ecg-SB", "segments-AF", "segments-SB"];
    assert_eq!(set.pictures(), expected.map(|name| format!("{name}.png")));
    assert!(stale.iter().all(|path| !path.exists()));
    // What a run over a data set can continue from stays.
    assert_eq!(std::fs::read(&partial).expect("is there"), b"kept");
}

#[test]
fn a_single_patient_has_no_baseline_of_others() {
    let set = Set::new(1);
    succeeds(set.of_data("--label all"));
    let text = std::fs::read_to_string(set.path("out/explanations.jsonl")).expect("lines");
    assert!(text.contains(r#""baseline":"zero""#), "{text}");
    refused(set.of_data("--label all --baseline background"), "is from another patient");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let set = Set::new(1);
    refused(set.of_record("--label LBBC"), "unknown label LBBC");
    refused(set.of_record("--label AF --segments 2"), "--segments needs --method permutation");
    refused(set.of_record("--label AF --baseline mean-image"), "ribeiro reads signals");
    refused(set.of_record("--label AF --baseline zero,zero"), "twice");
    refused(set.of_record("--label AF --unions leads"), "--unions needs --method owen");
    refused(set.of_record("--label AF --method published --players 8"), "twelve players");
    let few = "--label AF --method lime-sampled --samples 2 --baseline zero";
    refused(set.of_record(few), "2 of 4096 subsets do not determine the values of 12 players");
    // A reference that no baseline is made of is not read.
    succeeds(set.of_record("--label AF --baseline zero --reference absent"));
}

/// Sends the signal that Ctrl-C sends.
fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(status.expect("kill starts").success());
}

/// Starts a command and reads its messages until it listens for Ctrl-C. The rest must be read as well, or the
/// program would wait.
fn listening(mut command: Command) -> (Child, BufReader<impl Read>) {
    let mut child = command.stderr(Stdio::piped()).spawn().expect("explain starts");
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("Ctrl-C") {
        line.clear();
        assert!(said.read_line(&mut line).expect("reads") > 0, "it ended before it listened");
    }
    (child, said)
}

fn wait(mut child: Child, mut said: impl Read) -> (Option<i32>, String) {
    let mut text = String::new();
    said.read_to_string(&mut text).expect("reads");
    (child.wait().expect("waits").code(), text)
}

#[cfg(unix)]
#[test]
fn a_stopped_record_leaves_an_estimate() {
    let set = Set::new(1);
    // Work for days.
    let arguments = "--label AF,SB --method permutation --segments 10 --permutations 100000000";
    let (child, said) = listening(set.of_record(arguments));
    interrupt(&child);
    let (code, text) = wait(child, said);
    assert_eq!(code, Some(130), "{text}");
    let json = set.json();
    assert_eq!(json["stopped"], true);
    for own in json["labels"].as_array().expect("two labels") {
        let partial = &own["partial"];
        assert_eq!(partial["total"], 100_000_000);
        let done = partial["done"].as_u64().expect("a number");
        assert!((2..100_000_000).contains(&done));
        assert!(own["efficiency_residual"].as_f64().is_some_and(|own| own.abs() < 1e-6));
        assert!(own["faithfulness"].is_null());
    }
    assert!(set.pictures().contains(&"ecg-SB.png".to_owned()));
}

#[test]
fn each_record_draws_for_itself_and_names_its_background() {
    let set = Set::new(3);
    // A table of only the label that is explained is enough.
    let table = "record,AF\nsynth00000,1\nsynth00001,1\nsynth00002,1\n";
    std::fs::write(set.path("data/labels.csv"), table).expect("writes");
    let arguments = "--label AF --method lime-sampled --samples 40 --baseline background";
    succeeds(set.of_data(arguments));
    let text = std::fs::read_to_string(set.path("out/explanations.jsonl")).expect("lines");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("whole lines")).collect();
    assert_eq!(lines.len(), 3);
    let seeds: BTreeSet<u64> = lines.iter().filter_map(|line| line["seed"].as_u64()).collect();
    assert_eq!(seeds.len(), 3);
    for line in &lines {
        let made_of = line["baselines"][0]["made_of"].as_str().expect("words");
        let own = line["record"].as_str().expect("a name");
        assert!(made_of.starts_with("synth0000") && !made_of.contains(own), "{own}: {made_of}");
    }
}

#[cfg(unix)]
#[test]
fn a_stopped_data_set_leaves_its_finished_records() {
    let set = Set::new(6);
    let (mut child, said) = listening(set.of_data("--label all --method shapley"));
    let lines = set.path("out/explanations.jsonl.partial");
    // The key of the run, and something more.
    while std::fs::metadata(&lines).map_or(0, |file| file.len()) < 100 {
        assert_eq!(child.try_wait().expect("waits"), None, "it ended before it was stopped");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    interrupt(&child);
    let (code, text) = wait(child, said);
    assert_eq!(code, Some(130), "{text}");
    assert_finished(&set, true);

    // What is left belongs to this run alone.
    let other = set.of_data("--label all --target logit");
    refused(other, "explanations.jsonl.partial holds results for different weights");
    // As if the run had been killed within a line.
    let mut kept = std::fs::read(&lines).expect("what can be continued");
    kept.extend(b"{\"record\":\"synth0000");
    std::fs::write(&lines, kept).expect("writes");
    let output = set.of_data("--label all --method shapley").output().expect("explain starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("resuming after "), "{text}");
    assert_finished(&set, false);
    let results = || {
        ["explanations.jsonl", "explanation.json", "boxes-NSR.svg"]
            .map(|name| std::fs::read(set.path("out").join(name)).ok())
    };
    let continued = results();
    // A run that nothing interrupts, since nothing is left of the first.
    succeeds(set.of_data("--label all"));
    assert!(continued[0].is_some() && continued == results(), "the results differ");

    // Results of another run are refused until they are discarded.
    std::fs::write(&lines, "results of another run\n").expect("writes");
    refused(set.of_data("--label all --limit 3"), "--restart");
    succeeds(set.of_data("--label all --limit 3 --restart"));
    assert_finished(&set, false);
    let json = set.json();
    let held = json["labels"].as_array().expect("labels").iter();
    assert!(held.map(|own| own["explained"].as_u64().expect("a number")).sum::<u64>() >= 3);
}

/// Checks that the summary counts the lines.
#[track_caller]
fn assert_finished(set: &Set, stopped: bool) {
    let json = set.json();
    assert_eq!(json["stopped"], stopped);
    let text = std::fs::read_to_string(set.path("out/explanations.jsonl")).expect("lines");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("whole lines")).collect();
    let partial = set.path("out/explanations.jsonl.partial");
    assert!(!lines.is_empty() && partial.exists() == stopped);
    assert!(lines.iter().all(|line| line["partial"].is_null() && line["record"].is_string()));
    for own in json["labels"].as_array().expect("labels") {
        let of_label = lines.iter().filter(|line| line["label"] == own["label"]).count() as u64;
        assert_eq!(own["explained"].as_u64(), Some(of_label), "{}", own["label"]);
        if of_label > 0 {
            assert_eq!(own["leads"].as_array().map(Vec::len), Some(8));
        }
    }
}
