//! `cargo xtask`: sets the workspace up, runs the demo, the tests and the gate.
//!
//! Plain Rust with one small dependency from outside, so that it builds in seconds on a machine that has nothing yet.

mod ci;
mod data;
mod libtorch;
mod pip;
mod publish;
mod recipe;
mod setup;
mod smoke;
mod tools;
mod workspace;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

const HELP: &str = "\
cargo xtask <command>

  setup             fetch what is missing (a CPU libtorch, 543 MB once per machine);
                    returns at once if nothing is missing
  demo [ARGS]       set up, build the programs and run the main job on synthetic recordings;
                    ARGS go to `quickstart` (--data DIR [--restart], --out DIR, --seed N)
  test [ARGS]       set up and run `cargo test --workspace ARGS`; with `-p CRATE` or
                    `--manifest-path FILE` among them, without `--workspace`
  ci [--from STEP | --only STEP | --list]
                    run the gate: every check that a change must pass
  help              print this text

Environment: LIBTORCH or LIBTORCH_USE_PYTORCH (your own libtorch; nothing is fetched),
LIBTORCH_CACHE (where fetched copies are kept), LIBTORCH_WHEELS (a folder that already contains
the wheels, for machines without a network; docs/CONTRIBUTING.md lists them), PYTHON (a python3
with pip), CC and CXX.";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    match dispatch(&command, &rest) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &OsStr, rest: &[OsString]) -> Result<ExitCode> {
    match command.to_str() {
        Some("setup") if rest.is_empty() => {
            setup::run(&Workspace::locate()?)?;
            Ok(ExitCode::SUCCESS)
        }
        Some("setup") => bail!("`cargo xtask setup` takes no arguments"),
        Some("demo") => demo(&Workspace::locate()?, rest),
        Some("test") => test(&Workspace::locate()?, rest),
        Some("ci") => ci::run(&Workspace::locate()?, rest),
        Some("help" | "--help" | "-h" | "") => {
            // It is not an error if the reader stops early (`| head`).
            let _ = writeln!(std::io::stdout(), "{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("unknown command {command:?}\n\n{HELP}"),
    }
}

/// Sets up, builds every program in release mode and runs the main job, which reports where its page is. Unless the
/// arguments name a folder, that is in the target folder: the checkout may be read-only.
fn demo(workspace: &Workspace, rest: &[OsString]) -> Result<ExitCode> {
    setup::run(workspace)?;
    workspace::run(workspace.cargo().args([
        "build",
        "--release",
        "-p",
        "ecg3d-examples",
        "--bins",
    ]))?;

    let mut quickstart = workspace.program("release", "quickstart");
    quickstart.args(rest);
    if !names(rest, "--out") {
        quickstart.arg("--out").arg(workspace.target().join("quickstart"));
    }
    workspace::status(&mut quickstart)
}

/// Sets up and runs all tests, or those of the packages named, with cargo's own output.
fn test(workspace: &Workspace, rest: &[OsString]) -> Result<ExitCode> {
    setup::run(workspace)?;
    let mut command = workspace.cargo();
    command.arg("test");
    if !names_package(rest) {
        command.arg("--workspace");
    }
    let here = std::env::current_dir().context("cannot find the current folder")?;
    command.current_dir(test_folder(rest, workspace.root(), &here));
    data::require(&mut command)?;
    workspace::status(command.args(rest))
}

/// Returns the folder in which cargo tests: that of the caller, from which a manifest path starts, or the root.
fn test_folder<'a>(args: &[OsString], root: &'a Path, here: &'a Path) -> &'a Path {
    if names(args, "--manifest-path") { here } else { root }
}

/// Whether arguments of `cargo test` choose packages.
fn names_package(args: &[OsString]) -> bool {
    let short = args.iter().take_while(|arg| *arg != "--");
    short.map(|arg| arg.as_encoded_bytes()).any(|arg| arg.starts_with(b"-p"))
        || names(args, "--package")
        || names(args, "--manifest-path")
}

/// Whether `OPTION VALUE` or `OPTION=VALUE` is among the arguments. Those after `--` are no options.
fn names(args: &[OsString], option: &str) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| {
        let rest = arg.as_encoded_bytes().strip_prefix(option.as_bytes());
        matches!(rest, Some([] | [b'=', ..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_out_folder_is_seen_in_either_form() {
        let args = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(names(&args(&["--seed", "1", "--out", "a b"]), "--out"));
        assert!(names(&args(&["--out=x/y"]), "--out"));
        assert!(!names(&args(&["--outer", "x"]), "--out"));
    }

    #[test]
    fn a_manifest_is_taken_from_the_folder_of_the_caller() {
        let root = Path::new("/checkout");
        let here = Path::new("/checkout/crates/ecg-io");
        let folder = |line: &str| {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            test_folder(&args, root, here)
        };
        for line in ["--manifest-path Cargo.toml", "--lib --manifest-path=Cargo.toml -- some_test"]
        {
            assert_eq!(folder(line), here, "{line}");
        }
        for line in ["", "-p ecg-io", "-p ecg-io -- --manifest-path x"] {
            assert_eq!(folder(line), root, "{line}");
        }
    }

    #[test]
    fn a_package_is_seen_in_any_form_before_the_arguments_of_the_tests() {
        let names = |line: &str| {
            names_package(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
        };
        for line in [
            "-p ecg-io",
            "-pecg-io",
            "--release --package ecg-io",
            "--package=ecg-io --lib",
            "--manifest-path crates/ecg-io/Cargo.toml",
            "--manifest-path=x",
            "-p ecg-io -- some_test",
        ] {
            assert!(names(line), "{line}");
        }
        for line in
            ["", "some_test", "--packages", "--profile dev", "--lib -- -p", "-- --package x"]
        {
            assert!(!names(line), "{line}");
        }
    }

    #[test]
    fn an_unknown_command_is_an_error_that_shows_the_help() {
        let error = dispatch(OsStr::new("tset"), &[]).expect_err("no such command");
        assert!(error.to_string().contains("tset"));
        assert!(error.to_string().contains("cargo xtask <command>"));
    }
}
