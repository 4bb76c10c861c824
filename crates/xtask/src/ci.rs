//! The gate: every check that a change must pass, in the order in which mistakes are cheapest to find.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::workspace::{self, Workspace};
use crate::{data, publish, setup, smoke};

/// One check of the gate.
struct Step {
    name: &'static str,
    what: &'static str,
    run: fn(&Workspace) -> Result<()>,
}

/// Everything is built in the dev profile with one set of flags, so that each crate is compiled once.
const STEPS: [Step; 15] = [
    Step { name: "setup", what: "libtorch and the compilers are installed", run: setup::run },
    Step { name: "fmt", what: "the sources are formatted", run: fmt },
    Step { name: "free", what: "the libtorch-free crates do not depend on libtorch", run: free },
    Step { name: "lock", what: "the lock file of the fuzz targets is up to date", run: lock },
    Step { name: "clippy", what: "clippy reports no warnings", run: clippy },
    Step { name: BUILD, what: "everything builds", run: build },
    Step { name: "test", what: "every test passes", run: test },
    Step {
        name: "features",
        what: "code behind optional features builds and passes its test",
        run: features,
    },
    Step { name: "bench", what: "the benchmarks build", run: bench },
    Step { name: "doc", what: "the documentation builds without warnings", run: doc },
    Step {
        name: "msrv",
        what: "crates that need no libtorch build with the stated Rust version",
        run: publish::msrv,
    },
    Step {
        name: "outside",
        what: "a crate outside the workspace uses the converter",
        run: publish::outside,
    },
    Step {
        name: "package",
        what: "each library crate is packaged; the converter and ecg-core build from their packages",
        run: publish::package,
    },
    Step { name: "linkage", what: "programs that need no libtorch do not load it", run: linkage },
    Step { name: "programs", what: "every program runs once on small data", run: smoke::run },
];

/// The step that builds the programs, and the steps that run what it has built.
const BUILD: &str = "build";
const ON_PROGRAMS: [&str; 2] = ["linkage", "programs"];

/// The manifest of the fuzz targets.
const FUZZ: &str = "crates/ecg-io/fuzz/Cargo.toml";

/// Programs that start in milliseconds because they load nothing of libtorch.
const LIGHT_PROGRAMS: [&str; 4] = ["inspect", "synthesize", "convert", "losses"];

/// Runs the gate, or the part of it that the arguments select, up to the first step that fails.
pub fn run(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    let names: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    if names == ["--list"] {
        for step in &STEPS {
            println!("{:9} {}", step.name, step.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let steps = select(&names)?;
    let started = Instant::now();
    let mut summary = Vec::new();
    for step in steps {
        println!("== {}: {}", step.name, step.what);
        let begun = Instant::now();
        (step.run)(workspace).with_context(|| {
            format!("{} failed (to continue from this step: cargo xtask ci --from {0})", step.name)
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        println!("== {}: ok, {seconds:.1} s\n", step.name);
        summary.push((step.name, seconds));
    }
    for (name, seconds) in &summary {
        println!("{name:9} {seconds:8.1} s");
    }
    println!(
        "ci: passed, {} of {} steps in {:.0} s",
        summary.len(),
        STEPS.len(),
        started.elapsed().as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}

/// Returns the steps that `--from STEP` or `--only STEP` selects, or all steps without either. If a step runs
/// programs, they are built before, so that they match the sources.
fn select(args: &[&str]) -> Result<Vec<&'static Step>> {
    let position = |name: &str| {
        STEPS.iter().position(|step| step.name == name).with_context(|| {
            let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
            format!("unknown step {name:?}, expected one of {}", names.join(", "))
        })
    };
    let asked = match args {
        [] => &STEPS[..],
        ["--from", name] => &STEPS[position(name)?..],
        ["--only", name] => position(name).map(|at| &STEPS[at..=at])?,
        _ => bail!("`cargo xtask ci` takes --from STEP, --only STEP or --list"),
    };
    let mut steps: Vec<&Step> = asked.iter().collect();
    let first = steps.iter().position(|step| ON_PROGRAMS.contains(&step.name));
    if let Some(first) = first
        && steps.iter().all(|step| step.name != BUILD)
    {
        steps.insert(first, &STEPS[position(BUILD)?]);
    }
    Ok(steps)
}

/// Returns a cargo command of the gate, which asks nothing. Its arguments must not change the lock file.
fn cargo(workspace: &Workspace, args: &[&str]) -> Command {
    let mut command = workspace.cargo();
    command.args(args).stdin(Stdio::null());
    command
}

fn fmt(workspace: &Workspace) -> Result<()> {
    workspace::run(&mut cargo(workspace, &["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    workspace::run(&mut cargo(
        workspace,
        &["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"],
    ))
}

fn build(workspace: &Workspace) -> Result<()> {
    workspace::run(&mut cargo(workspace, &["build", "--locked", "--workspace"]))
}

fn test(workspace: &Workspace) -> Result<()> {
    let mut command = cargo(workspace, &["test", "--locked", "--workspace"]);
    data::require(&mut command)?;
    workspace::run(&mut command)
}

/// Compiles what no other step does: the only unsafe code of `ecg-io`, and `ecg3d-models` as docs.rs documents
/// it, which needs no libtorch.
///
/// Both run for the whole workspace, so that nothing else is compiled with other features. The targets named
/// are those that use the feature, and one that needs the crate.
fn features(workspace: &Workspace) -> Result<()> {
    let mapped = ["--features", "ecg-io/mmap", "--test", "all_formats", "--example", "read_speed"];
    let documented = ["--features", "ecg3d-models/doc-only", "--example", "network_speed"];
    for (command, targets) in [("test", &mapped[..]), ("check", &documented[..])] {
        let mut command = cargo(workspace, &[command, "--locked", "--workspace"]);
        workspace::run(command.args(targets))?;
    }
    Ok(())
}

fn bench(workspace: &Workspace) -> Result<()> {
    workspace::run(&mut cargo(
        workspace,
        &["bench", "--locked", "--workspace", "--no-run", "--profile", "dev"],
    ))
}

fn doc(workspace: &Workspace) -> Result<()> {
    let mut command = cargo(workspace, &["doc", "--locked", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    workspace::run(&mut command)
}

/// Checks that every crate except `ecg3d-models` builds, tests and documents without libtorch: it must not be
/// among a crate's dependencies, not even those for tests.
fn free(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root().join("crates");
    let mut names = Vec::new();
    for entry in
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        if entry.path().join("Cargo.toml").is_file() && entry.file_name() != "ecg3d-models" {
            names.push(entry.file_name());
        }
    }
    names.sort();
    for name in &names {
        let mut command =
            cargo(workspace, &["tree", "--locked", "--edges", "all", "--prefix", "none"]);
        command.arg("--package").arg(name).stderr(Stdio::inherit());
        let output = command.output().context("cannot run cargo tree")?;
        if !output.status.success() {
            bail!("{} failed ({})", workspace::line(&command), output.status);
        }
        if let Some(found) = libtorch_package(&String::from_utf8_lossy(&output.stdout)) {
            bail!("{} depends on {found}", name.display());
        }
    }
    println!("{} crates do not depend on libtorch", names.len());
    Ok(())
}

/// Returns the first package of a `cargo tree` that links libtorch.
fn libtorch_package(tree: &str) -> Option<&str> {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .find(|name| ["tch", "torch-sys", "ecg3d-models"].contains(name))
}

/// Checks the lock file of the fuzz targets, which are a workspace of their own that no other step looks at.
fn lock(workspace: &Workspace) -> Result<()> {
    let args = ["metadata", "--locked", "--offline", "--format-version", "1", "--manifest-path"];
    let mut command = cargo(workspace, &args);
    let output = command.arg(FUZZ).output().context("cannot run cargo metadata")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(());
    }
    if is_stale(&stderr) {
        bail!(
            "the lock file beside {FUZZ} is stale; `cargo update --workspace --manifest-path {FUZZ}` updates it"
        );
    }
    if lacks_packages(&stderr) {
        // Cargo compares the lock file with the manifests first.
        println!("not stale; its packages are not on this machine");
        return Ok(());
    }
    bail!("{} failed: {}", workspace::line(&command), stderr.trim_end());
}

/// Whether cargo was kept from changing a lock file. It says so before it needs the packages themselves.
fn is_stale(stderr: &str) -> bool {
    stderr.contains("--locked was passed")
}

/// Whether cargo would have needed the network.
fn lacks_packages(stderr: &str) -> bool {
    stderr.contains("offline")
}

/// Checks what the light programs load, down to the libraries of their libraries.
fn linkage(workspace: &Workspace) -> Result<()> {
    if !cfg!(target_os = "linux") {
        println!("skipped: only checked on Linux");
        return Ok(());
    }
    for name in LIGHT_PROGRAMS {
        let path = workspace.program_path("debug", name);
        let output = Command::new("ldd").arg(&path).output().context("cannot run ldd")?;
        if !output.status.success() {
            bail!("ldd {}: {}", path.display(), crate::tools::last_line(&output.stderr));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let libraries = libtorch_libraries(&text);
        if !libraries.is_empty() {
            bail!("`{name}` loads {}", libraries.join(", "));
        }
    }
    println!("{} do not load libtorch", LIGHT_PROGRAMS.join(", "));
    // Flushes the lines before a child writes its own.
    std::io::stdout().flush().context("cannot write to standard output")
}

/// Returns the libraries of libtorch in the output of `ldd`.
fn libtorch_libraries(ldd: &str) -> Vec<&str> {
    ldd.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| {
            ["libtorch", "libc10", "libgomp", "libcudart", "libcupti"]
                .iter()
                .any(|library| name.starts_with(library))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(args: &[&str]) -> Vec<&'static str> {
        select(args).expect("steps").iter().map(|step| step.name).collect()
    }

    #[test]
    fn the_gate_can_start_later_or_run_one_step() {
        assert_eq!(names(&[]).len(), STEPS.len());
        assert_eq!(names(&["--only", "fmt"]), ["fmt"]);
        assert_eq!(names(&["--from", "doc"])[..2], ["doc", "msrv"]);
    }

    #[test]
    fn what_runs_programs_has_them_built_before() {
        assert_eq!(names(&["--from", "linkage"]), ["build", "linkage", "programs"]);
        assert_eq!(names(&["--only", "linkage"]), ["build", "linkage"]);
        assert_eq!(names(&["--only", "programs"]), ["build", "programs"]);
        assert_eq!(names(&["--from", "package"])[..3], ["package", "build", "linkage"]);
        let built = |args: &[&str]| names(args).iter().filter(|name| **name == "build").count();
        assert_eq!([built(&[]), built(&["--from", "build"])], [1, 1]);
    }

    #[test]
    fn a_wrong_step_is_told_with_the_right_ones() {
        let text = select(&["--from", "tset"]).err().expect("no such step").to_string();
        assert!(text.contains("tset") && text.contains("clippy, build, test"), "{text}");
        assert!(select(&["test"]).is_err());
    }

    #[test]
    fn libtorch_is_seen_in_a_tree_and_only_there() {
        let tree = "ecg-io v0.1.0 (/x/tch)\nndarray v0.17.2\nmatch v1.0.0\n";
        assert_eq!(libtorch_package(tree), None);
        assert_eq!(libtorch_package("a v1\ntorch-sys v0.24.0\n"), Some("torch-sys"));
    }

    #[test]
    fn a_stale_lock_file_is_told_from_missing_packages() {
        let stale = "error: cannot update the lock file /w/Cargo.lock because --locked was passed to prevent this\n";
        assert!(is_stale(stale));
        let missing = "error: failed to download `csv v1.3.1`\n\nCaused by:\n  attempting to make an HTTP request, but --offline was specified\n";
        assert!(lacks_packages(missing) && !is_stale(missing));
        assert!(!lacks_packages("error: failed to parse manifest at `/w/Cargo.toml`\n"));
    }

    #[test]
    fn libtorch_is_seen_among_libraries_and_only_there() {
        let light = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n";
        assert!(libtorch_libraries(light).is_empty());
        let heavy =
            "\tlibtorch_cpu.so => /x/lib/libtorch_cpu.so (0x1)\n\tlibgomp.so.1 => not found\n";
        assert_eq!(libtorch_libraries(heavy), ["libtorch_cpu.so", "libgomp.so.1"]);
    }
}
