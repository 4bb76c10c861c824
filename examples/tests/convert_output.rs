//! Messages of a conversion must not end it, even if standard output and error are closed or full.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::process::{Command, Stdio};

use ecg_synth::SynthOptions;
use ecg3d_examples::synthetic::{Format, write_folder};

/// A folder with ten records, one of which fails and causes a line on standard error.
fn data() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let options = SynthOptions::default().with_seconds(2.0).with_sampling_rate_hz(500.0);
    write_folder(&data, 10, options, Format::Wfdb).expect("synthesises");
    std::fs::write(data.join("synth00007.dat"), [0; 7]).expect("cuts a record short");
    dir
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").expect("a full device").into()
}

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

#[test]
fn a_conversion_outlives_its_messages() {
    let dir = data();
    for (place, name) in [(full as fn() -> Stdio, "full.npz"), (closed, "closed.npz")] {
        let out = dir.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_convert"));
        command.arg("--data").arg(dir.path().join("data")).arg("--out").arg(&out);
        let status = command.stdout(place()).stderr(place()).status().expect("convert starts");
        assert_eq!((status.code(), out.is_file()), (Some(2), true), "{name}");
    }
}

#[test]
fn a_table_that_cannot_be_printed_is_an_error() {
    let dir = data();
    let mut command = Command::new(env!("CARGO_BIN_EXE_losses"));
    command.arg("--data").arg(dir.path().join("data")).stdout(full());
    let output = command.output().expect("losses starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: cannot write to standard output"), "{text}");
}
