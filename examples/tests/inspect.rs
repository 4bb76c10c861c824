//! Tests of what `inspect` prints and writes for many kinds of records, and of its exit status.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use ecg_core::SamplingRate;
use ecg_io::{Annotation, AnnotationCode, Annotations, write_annotations};
use ndarray::{Array1, Array2, array};
use ndarray_npy::NpzReader;
use serde_json::Value;

/// Returns standard output, standard error and exit status.
fn inspect(arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_inspect"))
        .args(arguments)
        .output()
        .expect("inspect starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

fn json(path: &str) -> (Value, Option<i32>) {
    let (out, _, status) = inspect(&[path, "--json"]);
    (serde_json::from_str(&out).expect("JSON"), status)
}

fn npz(folder: &Path, record: &str) -> NpzReader<File> {
    let out = folder.join("out.npz");
    let record = folder.join(record).display().to_string();
    let (_, error, status) = inspect(&[&record, "--npz", &out.display().to_string()]);
    assert_eq!(status, Some(0), "{error}");
    NpzReader::new(File::open(out).expect("the file")).expect("an archive")
}

fn names(archive: &mut NpzReader<File>) -> Vec<String> {
    let mut names = archive.names().expect("names");
    names.sort();
    names
}

/// A record of two signals with an invalid code and an annotation, one with two rates, one of two segments, and
/// a broken one.
fn records(folder: &Path) {
    let write = |name: &str, content: &[u8]| fs::write(folder.join(name), content).expect("writes");
    let words = |values: &[i16]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    write(
        "a.hea",
        b"a 2 500 2\na.dat 16 1000/mV 16 0 0 0 0 I\na.dat 16 200(10)/uV 16 0 0 0 0 V1\n#Dx: 164889003,\n",
    );
    write("a.dat", &words(&[5, 10, -32768, 30]));
    write("b.hea", b"b 2 500 2\nb.dat 16x2 1000/mV\nb.dat 16 1000/mV\n");
    write("b.dat", &words(&[1, 2, 3, 4, 5, 6]));
    write("m.hea", b"m/3 2 500 5\na 2\n~ 1\na 2\n");
    write("broken.hea", b"broken 1 500 100\na.dat 16 1000/mV 16 0 0 0 0 I\n");
    // A beat (code 1) at sample 1, and the end.
    write("a.atr", &words(&[1 << 10 | 1, 0]));
}

#[test]
fn records_of_many_kinds() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path();
    records(folder);
    fs::write(folder.join("a.hea"), {
        // The checksums that belong to the samples.
        let text = fs::read_to_string(folder.join("a.hea")).expect("the header");
        text.replace("16 0 0 0 0 I", "16 0 5 -32763 0 I")
            .replace("16 0 0 0 0 V1", "16 0 10 40 0 V1")
    })
    .expect("writes");
    let path = |name: &str| folder.join(name).display().to_string();

    let (report, status) = json(&path("a"));
    assert_eq!(status, Some(0));
    assert_eq!(report["signals"][1]["lead"], "V1");
    assert_eq!(report["signals"][0]["nan"], 1);
    assert_eq!(report["labels"]["AF"], true);
    assert_eq!(report["annotations"].as_array().map(Vec::len), Some(1));
    assert_eq!(report["warnings"][0]["field"], "Dx");
    assert_eq!(json(&path("a.hea")).0["signals"], report["signals"]);
    let (text, _, status) = inspect(&[&path("a")]);
    assert!(status == Some(0) && text.contains("V1"), "{text}");
    assert!(text.contains("\nlabels     AF\n"), "{text}");

    let mut archive = npz(folder, "a");
    let digital: Array2<i32> = archive.by_name("digital").expect("stored values");
    assert_eq!(digital, array![[5, -32768], [10, 30]]);
    let physical: Array2<f64> = archive.by_name("physical").expect("values");
    assert!(physical[[0, 0]] == 0.005 && physical[[0, 1]].is_nan());
    // In the record's own units.
    assert_eq!(physical.row(1).to_vec(), [0.0, 0.1]);
    let sample: Array1<i64> = archive.by_name("annotations_atr_sample").expect("ticks");
    let time_s: Array1<f64> = archive.by_name("annotations_atr_time_s").expect("times");
    assert_eq!((sample, time_s), (array![1], array![0.002]));

    // Twice as many ticks as samples.
    let marks = Annotations::new(vec![Annotation::new(1, AnnotationCode::NORMAL)])
        .with_time_resolution(SamplingRate::new(1000.0).expect("a rate"));
    write_annotations(folder.join("a.atr"), &marks).expect("writes");
    let mut archive = npz(folder, "a");
    let sample: Array1<i64> = archive.by_name("annotations_atr_sample").expect("ticks");
    let time_s: Array1<f64> = archive.by_name("annotations_atr_time_s").expect("times");
    assert_eq!((sample, time_s), (array![1], array![0.001]));

    let mut archive = npz(folder, "b");
    assert_eq!(names(&mut archive), ["digital_0", "digital_1", "physical_0", "physical_1"]);
    let digital: Array1<i32> = archive.by_name("digital_0").expect("stored values");
    assert_eq!(digital, array![1, 2, 4, 5]);
    let physical: Array1<f64> = archive.by_name("physical_1").expect("values");
    assert_eq!(physical, array![0.003, 0.006]);

    let mut archive = npz(folder, "m");
    assert_eq!(names(&mut archive), ["physical"]);
    let physical: Array2<f64> = archive.by_name("physical").expect("values");
    assert_eq!(physical.dim(), (2, 5));
    assert!(physical[[1, 2]].is_nan() && physical[[0, 3]] == 0.005);
    assert_eq!(json(&path("m")).0["segments"][1]["name"], "~");
}

#[test]
fn what_cannot_be_read_is_said_in_json_too() {
    let dir = tempfile::tempdir().expect("a folder");
    records(dir.path());
    let path = |name: &str| dir.path().join(name).display().to_string();
    // The file that is too short, and the one that is not there.
    for (name, named) in [("broken", "a.dat"), ("absent", "absent")] {
        let (report, status) = json(&path(name));
        assert_eq!(status, Some(1), "{name}");
        assert!(report["error"].as_str().is_some_and(|error| error.contains(named)), "{report}");
        let (out, error, status) = inspect(&[&path(name)]);
        assert!(out.is_empty() && error.contains(named), "{error}");
        assert_eq!(status, Some(1));
    }
    // A quirk that is accepted, but not with --strict. The checksums of this copy are wrong in either mode.
    fs::write(dir.path().join("q.hea"), "q.mat 1 500 2\nb.dat 16 1000/mV\n").expect("writes");
    fs::write(dir.path().join("b.dat"), [1, 0, 2, 0]).expect("writes");
    assert_eq!(json(&path("q")).1, Some(0));
    let (out, _, status) = inspect(&[&path("q"), "--strict", "--json"]);
    assert_eq!(status, Some(1));
    assert!(serde_json::from_str::<Value>(&out).is_ok_and(|report| report["error"].is_string()));
    // Nothing except an archive is overwritten, either.
    let header = fs::read(path("a.hea")).expect("the header");
    let (_, error, status) = inspect(&[&path("a"), "--npz", &path("a.hea")]);
    assert!(status == Some(1) && error.contains("is not an .npz archive"), "{error}");
    assert_eq!(fs::read(path("a.hea")).expect("the header"), header);
    // An archive is written whole or not at all.
    let out = path("no.npz");
    assert_eq!(inspect(&[&path("broken"), "--npz", &out]).2, Some(1));
    assert!(!Path::new(&out).exists());
    // A folder: some records cannot be read, or none.
    let (report, status) = json(&dir.path().display().to_string());
    assert_eq!(status, Some(2));
    assert!(report["failed"].as_array().is_some_and(|failed| !failed.is_empty()), "{report}");
    assert_eq!(json(&path("nowhere/")).1, Some(1));
    // A record beside a folder of its name, and that folder, which holds nothing.
    fs::create_dir(path("q")).expect("makes");
    assert_eq!(json(&path("q")).1, Some(0));
    let (report, status) = json(&path("q/"));
    assert!(status == Some(1) && report["error"].is_string(), "{report}");
}

#[test]
fn what_is_wrong_before_anything_is_read_is_said_in_json_too() {
    let rate = ["x", "--csv-rate", "abc"];
    let (out, error, status) = inspect(&[&rate[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&out).expect("JSON");
    let said = report["error"].as_str().expect("an error");
    assert!(said.starts_with("invalid value 'abc' for '--csv-rate"), "{said}");
    assert!(status == Some(1) && error.contains(said), "{error}");
    let (out, error, status) = inspect(&rate);
    assert!(out.is_empty() && error.contains("--csv-rate") && status == Some(1), "{out}{error}");
    // What was asked for, in words.
    let (out, _, status) = inspect(&["--json", "--help"]);
    assert!(out.contains("Usage: ") && status == Some(0), "{out}");
    // A program without this flag.
    let output = Command::new(env!("CARGO_BIN_EXE_losses")).arg("--json").output();
    assert!(output.expect("losses starts").stdout.is_empty());
    if cfg!(target_arch = "x86_64") {
        let output = Command::new(env!("CARGO_BIN_EXE_inspect"))
            .args(["x", "--json"])
            .env("ECG3D_SIMD", "none")
            .output()
            .expect("inspect starts");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let said = report["error"].as_str().expect("an error");
        assert!(said.contains("ECG3D_SIMD") && output.status.code() == Some(1), "{said}");
    }
}

#[test]
fn labels_by_a_map_of_ones_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("r.dat"), [1, 0]).expect("writes");
    fs::write(path("r.hea"), "r 1 500 1\nr.dat 16 1000/mV\n#Dx: 427172004\n").expect("writes");
    fs::write(path("map.csv"), "label,system,code\n,extends,default\nPVC,snomed,427172004\n")
        .expect("writes");
    let (out, _, status) = inspect(&[&path("r"), "--json", "--label-map", &path("map.csv")]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&report["labels"]["PVC"], status), (&Value::Bool(true), Some(0)));
    // In words, as a folder's labels are.
    fs::write(path("r.hea"), "r 1 500 1\nr.dat 16 1000/mV\n#Dx: premature ventricular beats\n")
        .expect("writes");
    fs::write(
        path("map.csv"),
        "label,system,code\nPVC,text,premature ventricular\nAF,text,flutter\n",
    )
    .expect("writes");
    let (out, _, _) = inspect(&[&path("r"), "--json", "--label-map", &path("map.csv")]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["labels"], serde_json::json!({"PVC": true, "AF": false}));
    let (out, _, status) = inspect(&[&path("r"), "--json", "--label-map", "unknown"]);
    assert!(out.contains("unknown label map") && status == Some(1), "{out}");
}

#[test]
fn flags_say_what_a_recording_does_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("r.csv"), "n:a:b\n0:1000:x\n1:2000:y\n").expect("writes");
    let table = path("r.csv");
    assert_eq!(inspect(&[&table]).2, Some(1));
    let flags =
        ["--csv-rate", "360", "--csv-units", "uV", "--csv-columns", "2", "--csv-leads", "I"];
    let (out, error, status) =
        inspect(&[&[&table, "--json", "--csv-delimiter", ":"], &flags[..]].concat());
    assert_eq!(status, Some(0), "{error}");
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["frame_rate_hz"], 360.0);
    assert_eq!(report["signals"].as_array().map(Vec::len), Some(1));
    let signal = &report["signals"][0];
    assert_eq!((&signal["lead"], &signal["max"]), (&"I".into(), &2.0.into()));
    // A checksum of 0 that is not correct.
    fs::write(path("c.hea"), "c 1 500 1\nc.dat 16 200 16 0 0 0 0 I\n").expect("writes");
    fs::write(path("c.dat"), [7, 0]).expect("writes");
    let (_, error, status) = inspect(&[&path("c")]);
    assert!(status == Some(1) && error.contains("checksum"), "{error}");
    assert_eq!(inspect(&[&path("c"), "--no-checksums"]).2, Some(0));
    // Also for a folder.
    let folder = dir.path().display().to_string();
    assert_eq!(inspect(&[&folder, "--no-checksums"]).2, Some(0));
}
