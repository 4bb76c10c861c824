//! Fetches wheels with pip, which checks their hashes, and explains in one line why it could not.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::libtorch::VERSION;
use crate::recipe::{WHEELS, Wheel};
use crate::tools::{Python, last_line};

/// The first version of pip that accepts several `--platform` options.
const OLDEST_PIP: u32 = 21;

/// Makes pip choose the right files, whatever machine it runs on. `docs/CONTRIBUTING.md` has these options,
/// too.
const CHOICE: [&str; 18] = [
    "--no-deps",
    "--only-binary=:all:",
    "--implementation",
    "cp",
    "--python-version",
    "311",
    "--abi",
    "cp311",
    "--abi",
    "none",
    "--platform",
    "manylinux_2_28_x86_64",
    "--platform",
    "manylinux_2_25_x86_64",
    "--platform",
    "manylinux_2_17_x86_64",
    "--platform",
    "manylinux2014_x86_64",
];

/// How often a download reports its progress.
const REPORT_EVERY: Duration = Duration::from_secs(20);

/// Checks that the interpreter has a pip that is new enough.
pub fn check(python: &Python) -> Result<()> {
    let output = python
        .command()
        .args(["-m", "pip", "--version"])
        .output()
        .with_context(|| format!("cannot run {}", python.name()))?;
    if !output.status.success() {
        bail!(
            "{} has no pip ({}); install it (Debian, Ubuntu: apt install python3-pip; Fedora: dnf install \
             python3-pip; elsewhere: python3 -m ensurepip), or set PYTHON to a python3 that has it",
            python.name(),
            last_line(&output.stderr)
        );
    }
    let text = String::from_utf8_lossy(&output.stdout);
    match major_version(&text) {
        Some(major) if major < OLDEST_PIP => bail!(
            "the pip of {} is too old: {}; version {OLDEST_PIP} or newer is required: {0} -m pip install --upgrade pip",
            python.name(),
            text.trim()
        ),
        _ => Ok(()),
    }
}

/// Returns the major version in `pip 23.2.1 from ...`.
fn major_version(text: &str) -> Option<u32> {
    text.strip_prefix("pip ")?.split('.').next()?.parse().ok()
}

/// Downloads wheels into `folder`. Temporary files of pip go into `temp`.
pub fn download(python: &Python, wheels: &[&Wheel], folder: &Path, temp: &Path) -> Result<()> {
    let total_mb: u64 = wheels.iter().map(|wheel| wheel.mb).sum();
    println!("libtorch {VERSION} (CPU): {total_mb} MB to download");
    let requirements = temp.join("requirements.txt");
    let lines: String = wheels
        .iter()
        .map(|wheel| format!("{} --hash=sha256:{}\n", wheel.requirement, wheel.sha256))
        .collect();
    fs::write(&requirements, lines)
        .with_context(|| format!("cannot write {}", requirements.display()))?;

    let mut command = python.command();
    command.args(["-m", "pip", "download", "--quiet", "--progress-bar", "off"]);
    command.args(["--disable-pip-version-check", "--no-input", "--no-cache-dir"]);
    command.arg("--require-hashes").args(CHOICE);
    command.arg("-r").arg(&requirements).arg("-d").arg(folder);
    // pip unpacks beside its target, so that only one file system needs the room and one clean-up is enough.
    command.env("TMPDIR", temp);

    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", python.name()))?;
    let mut errors = child.stderr.take().context("pip has no standard error")?;
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        // Whatever was read before a failure is still informative.
        let _ = errors.read_to_end(&mut text);
        text
    });
    let mut reported = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for pip")? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(100));
        if reported.elapsed() >= REPORT_EVERY {
            // At the end, pip has some of it twice.
            println!("  {} of {total_mb} MB", folder_mb(temp).min(total_mb));
            reported = Instant::now();
        }
    };
    if !status.success() {
        let text = reader.join().unwrap_or_default();
        bail!(diagnose(&String::from_utf8_lossy(&text)));
    }
    Ok(())
}

/// Messages of pip and its HTTP library if the index cannot be reached or the connection is lost.
const NETWORK_ERRORS: [&str; 12] = [
    "NameResolutionError",
    "Temporary failure in name resolution",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Read timed out",
    "ProxyError",
    "SSLError",
    "IncompleteRead",
    "RemoteDisconnected",
    "NewConnectionError",
    "ConnectionError",
    "Connection broken",
];

/// Turns the output of a failed pip into one line with the remedy.
fn diagnose(output: &str) -> String {
    let has = |word: &&str| output.contains(*word);
    let own = "or set LIBTORCH to your own libtorch";
    let files = WHEELS.map(|wheel| wheel.file).join(", ");
    let offline = format!(
        "put the wheels into a folder and set LIBTORCH_WHEELS to it ({files}; docs/CONTRIBUTING.md has the command \
         to fetch them on another machine)"
    );
    if output.contains("DO NOT MATCH THE HASHES") {
        format!(
            "hash mismatch: the package index sent a different file than expected; try again, try another index \
             (PIP_INDEX_URL), {own}"
        )
    } else if ["No space left", "Errno 28", "Disk quota"].iter().any(has) {
        "disk full while downloading; free some space, or set LIBTORCH_CACHE to a folder on another disk"
            .to_owned()
    } else if let Some(cause) = NETWORK_ERRORS.into_iter().find(|word| has(word)) {
        format!(
            "no network: pip cannot reach the package index ({cause}); check the connection and try again (PIP_INDEX_URL \
             sets a mirror), {offline}, {own}"
        )
    } else {
        format!(
            "pip could not fetch libtorch ({}); try again, {offline}, {own}",
            last_line(output.as_bytes())
        )
    }
}

/// Returns the size of all files under a folder, in MB. Files that vanish meanwhile do not count.
fn folder_mb(folder: &Path) -> u64 {
    fn bytes(folder: &Path) -> u64 {
        let Ok(entries) = fs::read_dir(folder) else { return 0 };
        entries
            .flatten()
            .map(|entry| match entry.metadata() {
                Ok(data) if data.is_dir() => bytes(&entry.path()),
                Ok(data) => data.len(),
                Err(_) => 0,
            })
            .sum()
    }
    bytes(folder) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_pip_is_read() {
        assert_eq!(major_version("pip 23.2.1 from /usr/lib (python 3.11)\n"), Some(23));
        assert_eq!(major_version("pip 9.0.1 from /usr"), Some(9));
        assert_eq!(major_version("nothing"), None);
    }

    #[test]
    fn each_failure_of_pip_has_its_own_line() {
        let hash = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.";
        assert!(diagnose(hash).starts_with("hash mismatch"));
        let disk = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device";
        assert!(diagnose(disk).starts_with("disk full"));
        let network = "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)'\n\
                       ERROR: No matching distribution found for torch==2.11.0\n";
        let told = diagnose(network);
        assert!(told.contains("index (NewConnectionError)") && told.contains("LIBTORCH_WHEELS"));
        assert!(WHEELS.iter().all(|wheel| told.contains(wheel.file)), "{told}");
        let other = diagnose("ERROR: something new\n");
        assert!(other.contains("ERROR: something new") && other.contains("LIBTORCH"));
        for line in [diagnose(hash), diagnose(disk), told, other] {
            assert_eq!(line.lines().count(), 1);
        }
    }

    #[test]
    fn the_way_without_network_is_written_down() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/CONTRIBUTING.md");
        let text = fs::read_to_string(path).expect("the document");
        let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "\\").collect();
        let text = words.join(" ");
        for wheel in &WHEELS {
            assert!(text.contains(wheel.file), "{}", wheel.file);
        }
        let wanted = WHEELS.map(|wheel| wheel.requirement).join(" ");
        let command = format!("pip download {} -d wheels {wanted}", CHOICE.join(" "));
        assert!(text.contains(&command), "{command}");
    }
}
