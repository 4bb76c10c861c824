//! Checks what users of the crates meet: the converter in a workspace of their own, the packages, the stated
//! Rust version.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{self, Workspace};

/// The library crates. They are packaged together, because none of them is on a registry where the others would
/// find it.
const CRATES: [&str; 7] =
    ["ecg-core", "ecg-io", "ecg3d-convert", "ecg-lime", "ecg-metrics", "ecg-synth", "ecg3d-models"];
/// The crates that are also built from their packages alone: the converter, which others import, and its
/// dependency. To build all would take minutes, and libtorch for the last one.
const BUILT: [&str; 2] = ["ecg-core", "ecg3d-convert"];

/// The manifest of an outside crate that uses the converter. `@` stands for this checkout, `#` for whether all
/// features are enabled.
const OUTSIDE_MANIFEST: &str = r#"[package]
name = "outside"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
ecg3d-convert = { path = "@/crates/ecg3d-convert", default-features = # }

[profile.dev.package."*"]
opt-level = 2
debug = false
"#;

/// A recording of twelve sines, and the volume of its first window.
const OUTSIDE_PROGRAM: &str = r#"use ecg3d_convert::ecg_core::{Lead, Recording, SamplingRate};
use ecg3d_convert::{ConvertConfig, ConvertPlan, ndarray};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rate = SamplingRate::new(500.0)?;
    let signal = ndarray::Array2::from_shape_fn((12, 5000), |(lead, t)| {
        (lead + 1) as f64 / 12.0 * (std::f64::consts::TAU * 2.0 * t as f64 / 500.0).sin()
    });
    let recording = Recording::new("outside", rate, Lead::STANDARD_12, signal)?;
    let volume = ConvertPlan::new(ConvertConfig::corrected(), rate)?.convert(&recording)?;
    let peak = volume.iter().fold(0.0_f32, |a, b| a.max(*b));
    println!("{:?} {peak:.3}", volume.dim());
    Ok(())
}
"#;

/// Two states of a sine of height 1 are at most 2 sqrt(2) = 2.83 apart. The high-pass and the zoom reduce this
/// slightly.
const OUTSIDE_PEAK: std::ops::Range<f64> = 2.5..2.9;

/// Builds and runs a crate in a workspace of its own that depends on the converter alone, by its path, with its
/// features and without.
pub fn outside(workspace: &Workspace) -> Result<()> {
    let folder = workspace.scratch("outside");
    let root = workspace.root();
    let source = folder.join("src");
    fs::create_dir_all(&source).with_context(|| format!("cannot create {}", source.display()))?;
    let path = root.to_str().with_context(|| format!("{} is not valid UTF-8", root.display()))?;
    write(&source.join("main.rs"), OUTSIDE_PROGRAM)?;
    // With the versions of this workspace, nothing has to be fetched.
    let lock = folder.join("Cargo.lock");
    fs::copy(root.join("Cargo.lock"), &lock)
        .with_context(|| format!("cannot write {}", lock.display()))?;

    for features in ["true", "false"] {
        let manifest = OUTSIDE_MANIFEST.replace('#', features).replace('@', path);
        write(&folder.join("Cargo.toml"), &manifest)?;
        let mut command = workspace.cargo();
        command.args(["run", "--quiet", "--manifest-path"]).arg(folder.join("Cargo.toml"));
        // Shared, so that what was built for this workspace need not be built again.
        command.arg("--target-dir").arg(workspace.target());
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().context("cannot run cargo")?;
        ensure!(
            output.status.success(),
            "{} failed ({})",
            workspace::line(&command),
            output.status
        );
        let text = String::from_utf8_lossy(&output.stdout);
        check_outside(&text)?;
        println!(
            "a crate outside the workspace, default-features = {features}, made a volume: {}",
            text.trim()
        );
    }
    Ok(())
}

/// Checks that the program printed the shape of a volume and a peak that its sines can have.
fn check_outside(text: &str) -> Result<()> {
    let peak = text.trim().strip_prefix("(45, 45, 45) ").and_then(|peak| peak.parse::<f64>().ok());
    match peak {
        Some(peak) if OUTSIDE_PEAK.contains(&peak) => Ok(()),
        _ => bail!("found {:?}, expected (45, 45, 45) and a peak of {OUTSIDE_PEAK:?}", text.trim()),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Makes the package of each library crate, and builds the crates of [`BUILT`] from their packages.
pub fn package(workspace: &Workspace) -> Result<()> {
    let make = |crates: &[&str], verify: bool| {
        let mut command = workspace.cargo();
        // Changes that are not committed yet are checked, too.
        command.args(["package", "--quiet", "--locked", "--allow-dirty"]);
        if !verify {
            command.arg("--no-verify");
        }
        for name in crates {
            command.args(["--package", name]);
        }
        workspace::run(command.stdin(Stdio::null()))
    };
    make(&CRATES, false)?;
    make(&BUILT, true)?;
    println!("packaged {}; built from their packages: {}", CRATES.join(", "), BUILT.join(", "));
    Ok(())
}

/// Checks the default members with the Rust version that `Cargo.toml` states, if it is installed.
pub fn msrv(workspace: &Workspace) -> Result<()> {
    let manifest = workspace.root().join("Cargo.toml");
    let text = fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let stated = stated_version(&text)
        .with_context(|| format!("{} has no rust-version", manifest.display()))?;
    let running = running_version()?;
    if same_minor(stated, &running) {
        println!("rust-version {stated}: tested by every step of this run (rustc {running})");
        return Ok(());
    }
    let Some(toolchain) = installed(stated) else {
        println!(
            "not tested: rust-version {stated} (this is rustc {running}, and rustup has no toolchain {stated})"
        );
        return Ok(());
    };
    let mut command = Command::new("rustup");
    command.args(["run", &toolchain, "cargo", "check", "--locked"]).arg("--target-dir");
    command.arg(workspace.scratch("msrv")).current_dir(workspace.root());
    // The variables of the running cargo name its own compiler.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    workspace::run(command.stdin(Stdio::null()))?;
    println!("rust-version {stated}: the default members build ({toolchain})");
    Ok(())
}

/// The value of `rust-version` in a manifest.
fn stated_version(manifest: &str) -> Option<&str> {
    let line = manifest.lines().find(|line| line.trim_start().starts_with("rust-version"))?;
    line.split('"').nth(1)
}

/// Returns the version of the compiler that cargo runs, `$RUSTC` or else `rustc`.
fn running_version() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").filter(|value| !value.is_empty());
    let rustc = rustc.unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .arg("--version")
        .output()
        .with_context(|| format!("cannot run {}", rustc.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    rustc_version(&text)
        .map(str::to_owned)
        .with_context(|| format!("unexpected output of {} --version: {text:?}", rustc.display()))
}

/// The version in `rustc 1.95.0 (59807616e 2026-04-14)`.
fn rustc_version(text: &str) -> Option<&str> {
    text.strip_prefix("rustc ")?.split_whitespace().next()
}

/// Whether two versions have the same first two numbers.
fn same_minor(a: &str, b: &str) -> bool {
    a.split('.').take(2).eq(b.split('.').take(2))
}

/// Returns the installed rustup toolchain of that version.
fn installed(version: &str) -> Option<String> {
    let output = Command::new("rustup").args(["toolchain", "list"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut names = text.lines().filter_map(|line| line.split_whitespace().next());
    names.find(|name| same_minor(version, name.split('-').next().unwrap_or(""))).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let manifest = "[workspace.package]\nedition = \"2024\"\nrust-version = \"1.95\"\n";
        assert_eq!(stated_version(manifest), Some("1.95"));
        assert_eq!(stated_version("[package]\n"), None);
        assert_eq!(rustc_version("rustc 1.95.0 (59807616e 2026-04-14)\n"), Some("1.95.0"));
        assert_eq!(rustc_version("cargo 1.95.0 (f2d3ce0bd 2026-03-21)\n"), None);
        assert!(same_minor("1.95", "1.95.0") && same_minor("1.95.1", "1.95.0"));
        assert!(!same_minor("1.95", "1.96.0") && !same_minor("1.95", "nightly"));
    }

    #[test]
    fn the_number_of_the_outside_crate_is_looked_at() {
        assert!(check_outside("(45, 45, 45) 2.828\n").is_ok());
        for wrong in ["(45, 45, 45) 3.000", "(45, 45, 44) 2.828", "(45, 45, 45) NaN", ""] {
            assert!(check_outside(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_citation_states_the_version() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let version = env!("CARGO_PKG_VERSION");
        for (file, line) in [
            ("CITATION.cff", format!("version: {version}")),
            (
                "README.md",
                format!("- The 3DECG authors, *3DECG*, version {version}, MIT OR Apache-2.0."),
            ),
        ] {
            let text = fs::read_to_string(root.join(file)).expect("the file");
            assert!(text.lines().any(|own| own == line), "{file} has no line {line:?}");
        }
    }

    #[test]
    fn every_library_crate_is_packaged() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for entry in fs::read_dir(folder).expect("the crates").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let unpublished = ["xtask", "ecg-test-data"].contains(&name.as_str());
            assert!(unpublished || CRATES.contains(&name.as_str()), "{name} is not packaged");
        }
    }
}
