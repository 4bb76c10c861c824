//! Whole runs on a few synthetic records.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use ecg_io::{Dataset, LabelMap};
use ecg_synth::SynthOptions;
use ecg3d_examples::source::{LabelArgs, Needs, load};
use ecg3d_examples::synthetic::{Format as Recorded, write_folder};
use ecg3d_examples::{SOME_FAILED, sha256};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::parts::Parts;
use crate::work::Converter;
use crate::{Arguments, card, configuration, convert, fill, share_of};

/// A folder with `data`, twelve records of 4 s.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    write_folder(&dir.path().join("data"), 12, options(), Recorded::Wfdb).expect("synthesises");
    dir
}

fn options() -> SynthOptions {
    SynthOptions::default().with_seconds(4.0)
}

/// The arguments of a conversion to a file in the folder. A `@` in further arguments stands for the folder.
fn arguments(dir: &TempDir, out: &str, more: &str) -> Arguments {
    let line = format!("convert --data @/data --out @/{out} {more}");
    parse(dir, &line)
}

fn parse(dir: &TempDir, line: &str) -> Arguments {
    let root = dir.path().to_string_lossy();
    Arguments::parse_from(line.split_whitespace().map(|word| word.replace('@', &root)))
}

fn run(dir: &TempDir, out: &str, more: &str) -> Result<ExitCode> {
    convert(&arguments(dir, out, more))
}

fn some_failed(code: Result<ExitCode>) -> bool {
    let code = code.expect("a result");
    format!("{code:?}") == format!("{:?}", ExitCode::from(SOME_FAILED))
}

/// Converts all records, and ends before the result is put together.
fn unfinished(arguments: &Arguments) {
    let data = arguments.data.as_deref().expect("a folder");
    let config = configuration(arguments).expect("sound");
    let options = arguments.labels.dataset_options().expect("sound");
    let dataset = Dataset::open(data, &options).expect("opens");
    let chosen: Vec<usize> = (0..dataset.len()).collect();
    let names: Vec<&str> = dataset.names().iter().map(String::as_str).collect();
    let converter = Converter::new(arguments, data, &config, &dataset);
    let card = card(arguments, data, &config, &dataset, &chosen).expect("a card");
    let mut parts =
        Parts::open(&arguments.out, &card, &names, converter.row_bytes(), false).expect("new");
    fill(&mut parts, arguments.threads, &converter, &dataset, &chosen).expect("converts");
}

fn same_bytes(dir: &TempDir, one: &str, other: &str) {
    let bytes = |name: &str| fs::read(dir.path().join(name)).expect("reads");
    assert!(bytes(one) == bytes(other), "{one} and {other} differ");
}

fn manifest(dir: &TempDir, name: &str) -> Value {
    let text = fs::read(dir.path().join(name)).expect("reads");
    serde_json::from_slice(&text).expect("JSON")
}

fn cut_short(dir: &TempDir, record: &str) -> Vec<u8> {
    let path = dir.path().join("data").join(record).with_extension("dat");
    let whole = fs::read(&path).expect("reads");
    fs::write(&path, [0; 7]).expect("cuts a record short");
    whole
}

#[test]
fn what_has_changed_or_failed_is_done_again() {
    let dir = folder();
    let data = dir.path().join("data");
    let whole = cut_short(&dir, "synth00003");
    let volumes = "--stage volume --preset corrected --windows all --dtype f16";
    let run_on = arguments(&dir, "on.npz", volumes);
    unfinished(&run_on);
    // One record is repaired, another replaced, a third breaks.
    fs::write(data.join("synth00003.dat"), whole).expect("writes");
    let mut other = fs::read(data.join("synth00005.dat")).expect("reads");
    other.rotate_left(2400);
    fs::write(data.join("synth00005.dat"), other).expect("writes");
    cut_short(&dir, "synth00009");
    assert!(some_failed(convert(&run_on)));
    assert!(some_failed(run(&dir, "new.npz", volumes)));
    same_bytes(&dir, "on.npz", "new.npz");
    same_bytes(&dir, "on.json", "new.json");
}

#[test]
fn a_record_that_is_read_from_other_files_is_done_again() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    write_folder(&at("tables"), 5, options(), Recorded::Csv).expect("synthesises");
    // At first, the record is a table with the signal of another.
    fs::create_dir(at("aside")).expect("makes");
    let move_to = |from: &str, to: &str| {
        for name in ["synth00003.hea", "synth00003.dat"] {
            fs::rename(at(from).join(name), at(to).join(name)).expect("moves");
        }
    };
    move_to("data", "aside");
    fs::copy(at("tables/synth00004.csv"), at("data/synth00003.csv")).expect("copies");
    let run_on = arguments(&dir, "on.npz", "--preset corrected");
    unfinished(&run_on);
    move_to("aside", "data");
    convert(&run_on).expect("goes on");
    run(&dir, "new.npz", "--preset corrected").expect("converts");
    same_bytes(&dir, "on.npz", "new.npz");
    same_bytes(&dir, "on.json", "new.json");
}

#[test]
fn other_spellings_of_the_same_inputs_are_accepted() {
    let dir = folder();
    let map = LabelMap::default().to_csv();
    for name in ["map.csv", "other.csv"] {
        fs::write(dir.path().join(name), &map).expect("writes");
    }
    unfinished(&arguments(&dir, "x.npz", "--label-map @/map.csv"));
    let line = "convert --data @/./data --out @/x.npz --label-map @/other.csv";
    convert(&parse(&dir, line)).expect("goes on");
    assert_eq!(manifest(&dir, "x.json")["label_map_sha256"], sha256(map.as_bytes()));
    run(&dir, "x0.npz", "--shard 0/2").expect("converts");
    run(&dir, "x1.npz", "--shard 1/2 --label-map @/map.csv").expect("converts");
    convert(&parse(&dir, "convert --out @/all.npz --join @/x0.npz @/x1.npz")).expect("joins");
    same_bytes(&dir, "x.npz", "all.npz");
}

#[test]
fn another_content_of_the_label_map_is_refused() {
    let dir = folder();
    let map = dir.path().join("map.csv");
    let write = |code: &str| {
        fs::write(&map, format!("label,system,code\nA,snomed,{code}\n")).expect("writes");
    };
    write("426783006");
    let arguments = arguments(&dir, "x.npz", "--label-map @/map.csv");
    unfinished(&arguments);
    write("426177001");
    let error = convert(&arguments).expect_err("another map").to_string();
    assert!(error.contains("differs in label_map_sha256: found "), "{error}");
}

#[test]
fn bad_places_are_found_before_the_work() {
    let dir = folder();
    fs::write(dir.path().join("file"), "no folder").expect("writes");
    fs::create_dir(dir.path().join("dir.npz")).expect("makes");
    fs::create_dir(dir.path().join("y.json")).expect("makes");
    fs::write(dir.path().join("z.json"), "{\"records\": 3}").expect("writes");
    fs::write(dir.path().join("w.labels.npy"), "mine").expect("writes");
    for (out, more, expected) in [
        ("x.npz", "--plot @/file", "file/NAME.svg"),
        ("dir.npz", "", "dir.npz: found a folder"),
        ("y.npz", "", "y.json: found a folder"),
        ("z.npz", "", "z.json would be overwritten, but it is not a manifest written by convert"),
        ("w.npy", "", "w.labels.npy would be overwritten, but "),
        ("file/x.npz", "", "file/x.npz"),
    ] {
        let error = run(&dir, out, more).expect_err("a bad place").to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!dir.path().join(format!("{out}.parts")).exists(), "{out}");
    }
}

#[test]
fn arrays_beside_an_earlier_result_go_with_it() {
    let dir = folder();
    let there = |name: &str| dir.path().join(name).exists();
    run(&dir, "x.npy", "--preset corrected").expect("converts");
    assert!(there("x.labels.npy") && there("x.length.npy"));
    run(&dir, "x.npy", "--stage images").expect("converts again");
    assert!(there("x.labels.npy") && !there("x.length.npy"));

    let labels = dir.path().join("x.labels.npy");
    let mut permissions = fs::metadata(&labels).expect("is there").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&labels, permissions).expect("sets");
    let error = run(&dir, "x.npy", "").expect_err("before the work");
    assert!(format!("{error:#}").ends_with("x.labels.npy: the file is read-only"), "{error:#}");
    assert!(there("x.npy") && !there("x.npy.parts"));
}

#[test]
fn shares_are_joined_to_what_one_run_writes() {
    let dir = folder();
    cut_short(&dir, "synth00003");
    // There is a warning about a label table that is not used.
    let sub = dir.path().join("data/sub");
    fs::create_dir(&sub).expect("makes");
    fs::write(sub.join("labels.csv"), "record,AF\n").expect("writes");
    for (kind, more) in [
        ("v", "--stage volume --preset corrected --windows all --dtype f16"),
        ("p", "--preset corrected --seconds 6"),
        ("i", "--stage images"),
    ] {
        assert!(some_failed(run(&dir, &format!("{kind}.npz"), more)));
        let mut line = format!("convert --out @/{kind}-joined.npz --join");
        for share in 0..3 {
            let out = format!("{kind}{share}.npz");
            run(&dir, &out, &format!("{more} --shard {share}/3")).expect("converts");
            line.push_str(&format!(" @/{out}"));
        }
        assert!(some_failed(convert(&parse(&dir, &line))));
        same_bytes(&dir, &format!("{kind}.npz"), &format!("{kind}-joined.npz"));
        same_bytes(&dir, &format!("{kind}.json"), &format!("{kind}-joined.json"));
    }
    let joined =
        |line: &str| convert(&parse(&dir, &format!("convert --out @/all.npz --join {line}")));
    assert!(some_failed(joined("@/p2.npz @/p0.npz")));
    let all = manifest(&dir, "all.json");
    assert_eq!((&all["shard"], all.get("unlabelled")), (&Value::from("0/3,2/3"), None));
    let whole = fs::read(dir.path().join("all.npz")).expect("reads");
    for own in ["@/all.npz", "@/./all.npz"] {
        let error = joined(&format!("{own} @/p1.npz")).expect_err("written over").to_string();
        assert!(error.contains("all.npz would be overwritten, but it is an input"), "{error}");
    }
    assert_eq!(fs::read(dir.path().join("all.npz")).expect("reads"), whole);
    for (line, expected) in [
        ("@/p0.npz @/p1.npz @/p0.npz", "is in "),
        ("@/p0.npz @/i1.npz", "in its stage: found images, expected prepared"),
        ("@/absent.npz", "cannot read "),
    ] {
        let error = joined(line).expect_err("does not fit").to_string();
        assert!(error.contains(expected), "{error}");
    }
    run(&dir, "u1.npz", "--preset corrected --seconds 6 --shard 1/3 --no-checksums")
        .expect("converts");
    let error = joined("@/p0.npz @/u1.npz").expect_err("read in another way").to_string();
    assert!(error.contains("u1.npz differs from "), "{error}");
    assert!(error.contains(" in its reading options: found "), "{error}");
    // The hash of the configuration does not cover these.
    let more = "--stage volume --preset corrected --windows all --dtype f16 --seconds 3";
    run(&dir, "w1.npz", &format!("{more} --shard 1/3")).expect("converts");
    let error = joined("@/v0.npz @/w1.npz").expect_err("other windows").to_string();
    let expected = " in its configuration (max_seconds): found 3.0, expected 10.0";
    assert!(error.contains(expected), "{error}");
    // Damage done since is found.
    let share = dir.path().join("p1.npz");
    let mut bytes = fs::read(&share).expect("reads");
    bytes[400] ^= 1;
    fs::write(&share, bytes).expect("writes");
    let error = format!("{:#}", joined("@/p0.npz @/p1.npz @/p2.npz").expect_err("damaged"));
    assert!(error.contains("p1.npz: the rows of record "), "{error}");
    let left = fs::read_dir(dir.path()).expect("lists").flatten();
    assert!(left.into_iter().all(|entry| !is_temporary(&entry.path())));
}

#[test]
fn a_share_of_an_earlier_version_is_refused_with_the_reason() {
    let dir = folder();
    for share in 0..2 {
        run(&dir, &format!("x{share}.npz"), &format!("--shard {share}/2")).expect("converts");
    }
    let change = |change: fn(&mut Map<String, Value>)| {
        let mut own = manifest(&dir, "x1.json");
        change(own.as_object_mut().expect("an object"));
        fs::write(dir.path().join("x1.json"), own.to_string()).expect("writes");
    };
    let refused = || {
        let line = "convert --out @/all.npz --join @/x0.npz @/x1.npz";
        convert(&parse(&dir, line)).expect_err("refused").to_string()
    };
    change(|own| drop(own.remove("label_map_sha256")));
    let error = refused();
    let expected = " in its label map content (SHA-256): found unknown (map default), expected ";
    assert!(error.contains(expected), "{error}");
    change(|own| drop(own["sha256"].as_object_mut().expect("an object").remove("labels")));
    let error = refused();
    assert!(error.contains("x1.npz was written by an earlier version of convert, "), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_stays_and_its_target_is_written() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("elsewhere")).expect("makes");
    for name in ["x.npy", "all.npz"] {
        let target = at("elsewhere").join(name);
        std::os::unix::fs::symlink(target, at(name)).expect("links");
    }
    run(&dir, "s.npz", "").expect("converts");
    // The target is first new, then replaced.
    for _ in 0..2 {
        run(&dir, "x.npy", "").expect("converts");
        convert(&parse(&dir, "convert --out @/all.npz --join @/s.npz")).expect("joins");
        for name in ["x.npy", "all.npz"] {
            assert!(at(name).symlink_metadata().expect("is there").is_symlink(), "{name}");
            assert!(at(name).is_file(), "{name}");
        }
    }
    same_bytes(&dir, "s.npz", "all.npz");
    // Everything else is beside the link.
    assert_eq!(fs::read_dir(at("elsewhere")).expect("lists").count(), 2);
    for name in ["x.npy.json", "x.labels.npy", "all.json"] {
        assert!(at(name).is_file(), "{name}");
    }
}

#[test]
fn a_share_whose_records_all_fail_is_written_and_joined() {
    let dir = folder();
    let names = || (0..12).map(|k| format!("synth{k:05}"));
    names().filter(|name| share_of(name, 3) == 1).for_each(|name| drop(cut_short(&dir, &name)));
    let more = "--stage images --preset corrected --windows all --dtype f16";
    let shares = || {
        for share in 0..3 {
            run(&dir, &format!("x{share}.npz"), &format!("{more} --shard {share}/3"))
                .expect("runs");
        }
    };
    let joined =
        || convert(&parse(&dir, "convert --out @/joined.npz --join @/x0.npz @/x1.npz @/x2.npz"));
    shares();
    assert!(some_failed(run(&dir, "x1.npz", &format!("{more} --shard 1/3"))));
    assert_eq!(manifest(&dir, "x1.json")["shape"][0], 0);
    assert!(some_failed(run(&dir, "x.npz", more)));
    assert!(some_failed(joined()));
    same_bytes(&dir, "x.npz", "joined.npz");
    same_bytes(&dir, "x.json", "joined.json");

    names().for_each(|name| drop(cut_short(&dir, &name)));
    shares();
    for result in [run(&dir, "none.npz", more), joined()] {
        let error = result.expect_err("nothing is converted").to_string();
        assert!(error.contains("none of 12 records "), "{error}");
    }
}

#[test]
fn an_unknown_patient_is_null() {
    let dir = folder();
    let table = dir.path().join("data/labels.csv");
    fs::write(&table, "record,patient,AF\nsynth00001,synth00001,1\n").expect("writes");
    for hidden in ["synth00000", "synth00001"] {
        let header = dir.path().join("data").join(hidden).with_extension("hea");
        let text = fs::read_to_string(&header).expect("reads");
        let lines = text.lines().filter(|line| !line.to_lowercase().contains("patient"));
        fs::write(&header, lines.map(|line| format!("{line}\n")).collect::<String>())
            .expect("writes");
    }
    run(&dir, "x.npz", "").expect("converts");
    let patients = &manifest(&dir, "x.json")["patients"];
    assert_eq!((&patients[0], &patients[1]), (&Value::Null, &Value::from("synth00001")));
    let config = configuration(&arguments(&dir, "x.npz", "")).expect("sound");
    let (path, labels) = (dir.path().join("x.npz"), LabelArgs::default());
    let source = load(&path, &config, &labels, Needs::default()).expect("loads");
    assert_eq!(source.patients[..2], [None, Some("synth00001".to_owned())]);
}

#[test]
fn records_without_labels_are_listed_and_have_rows_of_zeros() {
    let dir = folder();
    let table = dir.path().join("data/labels.csv");
    fs::write(&table, "record,AF,SB\nsynth00002,0,1\nsynth00007,1,1\n").expect("writes");
    let more = "--stage images --preset corrected --windows all --dtype f16";
    let given = arguments(&dir, "x.npz", more);
    convert(&given).expect("converts");
    let listed = manifest(&dir, "x.json")["unlabelled"].as_array().expect("a list").clone();
    assert_eq!((listed.len(), &listed[2]), (10, &Value::from("synth00003")));
    let config = configuration(&given).expect("sound");
    let labels = LabelArgs::default();
    let read = |name: &str| load(&dir.path().join(name), &config, &labels, Needs::default());
    let mut source = read("x.npz").expect("loads");
    assert_eq!(source.labels[1..3], [None, Some(vec![false, true])]);
    source.drop_unlabelled().expect("two have labels");
    assert_eq!(source.names, ["synth00002", "synth00007"]);

    let run_on = arguments(&dir, "on.npz", more);
    unfinished(&run_on);
    convert(&run_on).expect("goes on");
    // No record of the second and third share has labels.
    let mut line = "convert --out @/joined.npz --join".to_owned();
    for share in 0..4 {
        let out = format!("x{share}.npz");
        run(&dir, &out, &format!("{more} --shard {share}/4")).expect("converts");
        let arrays = manifest(&dir, &format!("x{share}.json"))["sha256"].clone();
        assert_eq!(arrays.get("labels").is_some(), [0, 3].contains(&share));
        line.push_str(&format!(" @/{out}"));
    }
    convert(&parse(&dir, &line)).expect("joins");
    for name in ["on", "joined"] {
        same_bytes(&dir, "x.npz", &format!("{name}.npz"));
        same_bytes(&dir, "x.json", &format!("{name}.json"));
    }

    convert(&parse(&dir, "convert --out @/none.npz --join @/x1.npz @/x2.npz")).expect("joins");
    assert!(manifest(&dir, "none.json")["sha256"].get("labels").is_none());
    assert!(read("none.npz").expect("loads").labels.iter().all(Option::is_none));
}

#[test]
fn an_archive_is_not_converted_again() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("x.npz"), "rows").expect("writes");
    let line = "convert --data @/x.npz --out @/y.npz";
    let error = convert(&parse(&dir, line)).expect_err("no folder").to_string();
    let expected = "x.npz is already converted; --data takes the folder of recordings that it was made from, and --join \
                    the archives of shares";
    assert!(error.ends_with(expected), "{error}");
}

fn is_temporary(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tmp")
}
