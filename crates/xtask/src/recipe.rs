//! How a CPU-only libtorch for x86_64 Linux is laid out from the wheels of the package index.
//!
//! The only Linux build of torch 2.11.0 there is the one for CUDA 13. Its CPU half (libtorch_cpu, libc10, libgomp)
//! is complete but for two small CUDA libraries that its profiler links; they load without a GPU. So that half and
//! those two are taken, and `libtorch.so`, which is empty and only names its halves, is made anew to name the CPU
//! half alone.
//!
//! One run at a time works on a copy (a lock file beside it), in a temporary folder that becomes the copy by a
//! rename; an interrupted run leaves nothing but that folder, and the next one removes it.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::libtorch::{STAMP_FILE, VERSION, is_complete, stamp};
use crate::pip;
use crate::tools::{self, Python, Temporary, beside, last_line};

/// Most room that a set-up takes: the wheels twice while pip hands them over, or once beside what is unpacked.
const ROOM_MB: u64 = 1200;

/// A file of the package index.
#[derive(Debug)]
pub struct Wheel {
    /// File name.
    pub file: &'static str,
    /// SHA-256 in hexadecimal.
    pub sha256: &'static str,
    /// Name and version for pip.
    pub requirement: &'static str,
    /// Size in MB.
    pub mb: u64,
}

/// torch, CUPTI and the CUDA runtime, in the order that `unpack.py` wants.
const WHEELS: [Wheel; 3] = [
    Wheel {
        file: "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
        requirement: "torch==2.11.0",
        mb: 530,
    },
    Wheel {
        file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
        sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        requirement: "nvidia-cuda-cupti==13.0.85",
        mb: 11,
    },
    Wheel {
        file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        requirement: "nvidia-cuda-runtime==13.0.96",
        mb: 2,
    },
];

/// Lays the copy out, alone: a second run waits here and then finds it done.
pub fn build(home: &Path) -> Result<()> {
    let python = Python::find()?;
    let mut linker = tools::cc()?;
    let parent = home.parent().context("the cache has no parent folder")?;
    fs::create_dir_all(parent).with_context(|| {
        format!("cannot make {}; set LIBTORCH_CACHE to a folder you can write to", parent.display())
    })?;
    let _lock = lock(&beside(home, ".lock"))?;
    if is_complete(home) {
        return Ok(());
    }
    remove_leftovers(home);
    check_room(parent)?;

    let started = Instant::now();
    let temp = Temporary::new(beside(home, &format!(".tmp.{}", std::process::id())))?;
    let wheels = fetch(&python, temp.path())?;
    let tree = temp.path().join("libtorch");
    unpack(&python, &wheels, &tree)?;
    link_umbrella(&mut linker, &tree)?;
    let write = |name: &str, text: String| {
        fs::write(tree.join(name), text).with_context(|| disk_line(&tree.join(name)))
    };
    write("build-version", format!("{VERSION}+cpu\n"))?;
    try_loading(&python, &tree)?;
    write(STAMP_FILE, format!("{}\n", stamp()))?;

    if home.is_symlink() {
        fs::remove_file(home).with_context(|| format!("cannot remove {}", home.display()))?;
    } else if home.exists() {
        fs::remove_dir_all(home).with_context(|| format!("cannot remove {}", home.display()))?;
    }
    fs::rename(&tree, home).with_context(|| format!("cannot make {}", home.display()))?;
    println!("libtorch {VERSION} laid out in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Takes the lock; it is freed when the file is dropped, or the process ends in whatever way.
fn lock(path: &Path) -> Result<File> {
    let file =
        File::options().create(true).truncate(false).write(true).open(path).with_context(|| {
            format!(
                "cannot write {}; set LIBTORCH_CACHE to a folder you can write to",
                path.display()
            )
        })?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => println!("another set-up is at work; waiting for it"),
        Err(TryLockError::Error(_)) => {}
    }
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// Removes the temporary folders of runs that were interrupted. Only with the lock: then none is in use.
fn remove_leftovers(home: &Path) {
    let mut prefix = home.file_name().unwrap_or_default().to_owned();
    prefix.push(".tmp.");
    let Some(entries) = home.parent().and_then(|parent| fs::read_dir(parent).ok()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn check_room(folder: &Path) -> Result<()> {
    match tools::free_mb(folder) {
        Some(free) if free < ROOM_MB => bail!(
            "disk full: {} has {free} MB free, and setting libtorch up takes {ROOM_MB} MB; make room, or set \
             LIBTORCH_CACHE to a folder elsewhere",
            folder.display()
        ),
        _ => Ok(()),
    }
}

fn disk_line(path: &Path) -> String {
    format!(
        "cannot write {}; is the disk full? LIBTORCH_CACHE names a folder elsewhere",
        path.display()
    )
}

/// The wheels, each with its hash checked: from `LIBTORCH_WHEELS` where they are right, else from the index.
fn fetch(python: &Python, temp: &Path) -> Result<Vec<PathBuf>> {
    let given = std::env::var_os("LIBTORCH_WHEELS").map(PathBuf::from);
    let folder = temp.join("wheels");
    fs::create_dir_all(&folder).with_context(|| disk_line(&folder))?;
    let mut paths = Vec::new();
    let mut wanted = Vec::new();
    for wheel in &WHEELS {
        let local =
            given.as_ref().map(|given| given.join(wheel.file)).filter(|path| path.is_file());
        match local {
            Some(path) if verify(&path, wheel.sha256)? => paths.push(path),
            other => {
                if let Some(path) = other {
                    println!("{} has a wrong hash and is not used", path.display());
                }
                wanted.push(wheel);
                paths.push(folder.join(wheel.file));
            }
        }
    }
    if wanted.is_empty() {
        return Ok(paths);
    }
    pip::check(python)?;
    pip::download(python, &wanted, &folder, temp)?;
    for wheel in wanted {
        let path = folder.join(wheel.file);
        if !path.is_file() || !verify(&path, wheel.sha256)? {
            bail!("bad hash: {} is not the file that was checked; try again", wheel.file);
        }
    }
    Ok(paths)
}

/// Whether a file has the SHA-256 it should have.
fn verify(path: &Path, sha256: &str) -> Result<bool> {
    Ok(tools::sha256(path)? == sha256)
}

/// Takes the needed files out of the wheels.
fn unpack(python: &Python, wheels: &[PathBuf], tree: &Path) -> Result<()> {
    let output = python
        .command()
        .arg("-c")
        .arg(include_str!("unpack.py"))
        .arg(tree)
        .args(wheels)
        .output()
        .with_context(|| format!("cannot run {}", python.name()))?;
    if output.status.success() {
        return Ok(());
    }
    let reason = last_line(&output.stderr);
    if reason.contains("No space left") {
        bail!("disk full while unpacking; make room, or set LIBTORCH_CACHE to a folder elsewhere");
    }
    bail!("cannot unpack the wheels: {reason}")
}

/// Makes the empty `libtorch.so` that names the CPU half.
fn link_umbrella(linker: &mut Command, tree: &Path) -> Result<()> {
    let lib = tree.join("lib");
    let mut search = OsString::from("-L");
    search.push(&lib);
    let output = linker
        .args(["-shared", "-fPIC", "-nostdlib", "-x", "c", "/dev/null", "-x", "none", "-o"])
        .arg(lib.join("libtorch.so"))
        .args(["-Wl,-soname,libtorch.so", "-Wl,--no-as-needed"])
        .arg(search)
        .args(["-ltorch_cpu", "-lc10", "-Wl,--allow-shlib-undefined", "-Wl,-rpath,$ORIGIN"])
        .stdin(Stdio::null())
        .output()
        .context("cannot run the C compiler")?;
    if !output.status.success() {
        bail!(
            "the C compiler cannot link libtorch.so ({}); set CC to one that can",
            last_line(&output.stderr)
        );
    }
    Ok(())
}

/// Loads the result once: a C library that is too old, say, shows here and not in a build later.
fn try_loading(python: &Python, tree: &Path) -> Result<()> {
    let program = "import ctypes, os, sys; ctypes.CDLL(sys.argv[1], os.RTLD_NOW)";
    let output = python
        .command()
        .args(["-c", program])
        .arg(tree.join("lib/libtorch.so"))
        .output()
        .with_context(|| format!("cannot run {}", python.name()))?;
    if !output.status.success() {
        bail!(
            "libtorch does not load on this machine: {}; set LIBTORCH to a libtorch {VERSION} that does",
            last_line(&output.stderr)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::scratch::{put, scratch};

    #[test]
    fn a_tampered_file_is_told_by_its_hash() {
        let temp = scratch("hash");
        put(temp.path(), "wheel", "abc");
        let path = temp.path().join("wheel");
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(verify(&path, right).expect("sha256sum runs"));
        put(temp.path(), "wheel", "abd");
        assert!(!verify(&path, right).expect("sha256sum runs"));
        assert!(verify(&temp.path().join("absent"), right).is_err());
    }

    #[test]
    fn the_lock_keeps_a_second_run_out_until_the_first_is_done() {
        let temp = scratch("lock");
        let path = temp.path().join("copy.lock");
        let first = lock(&path).expect("nobody holds it");
        let second = File::options().write(true).open(&path).expect("the lock file stays");
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(first);
        assert!(second.try_lock().is_ok());
    }

    #[test]
    fn leftovers_go_and_everything_else_stays() {
        let temp = scratch("leftovers");
        let home = temp.path().join("2.11.0-cpu-r1");
        put(temp.path(), "2.11.0-cpu-r1.tmp.77/wheels/half", "");
        put(temp.path(), "2.11.0-cpu-r1/lib/kept", "");
        put(temp.path(), "2.10.0-cpu-r1.tmp.5/kept", "");
        remove_leftovers(&home);
        assert!(!temp.path().join("2.11.0-cpu-r1.tmp.77").exists());
        assert!(home.join("lib/kept").exists());
        assert!(temp.path().join("2.10.0-cpu-r1.tmp.5/kept").exists());
    }
}
