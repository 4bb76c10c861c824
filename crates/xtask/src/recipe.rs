//! Lays out a CPU-only libtorch for x86_64 Linux from the wheels of the package index.
//!
//! The only Linux build of torch 2.11.0 is the one for CUDA 13. Its CPU half (libtorch_cpu, libc10, libgomp) is
//! complete except for two small CUDA libraries that its profiler links; these load without a GPU. So the CPU
//! half and these two are taken. `libtorch.so`, which is empty and only names its halves, is made anew to name
//! only the CPU half.
//!
//! One run at a time works on a copy (with a lock file beside it), in a temporary folder that is finally
//! renamed to become the copy. An interrupted run leaves that folder, which the next run removes, and the
//! wheels that it fetched, which the next run uses.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::libtorch::{LIBRARY_PATH, STAMP_FILE, VERSION, is_complete, is_lib, stamp};
use crate::pip;
use crate::tools::{self, Python, Temporary, beside, last_line};

/// The most room that set-up takes: the wheels twice while pip hands them over, or once beside the unpacked
/// files.
const ROOM_MB: u64 = 1200;

/// The Linux error for a file system whose locks are not available, such as NFS without its lock service.
const ENOLCK: i32 = 37;

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

/// torch, CUPTI and the CUDA runtime, in the order that `unpack.py` expects.
pub const WHEELS: [Wheel; 3] = [
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

/// Lays the copy out, one run at a time: a second run waits here and then finds it done.
pub fn build(home: &Path) -> Result<()> {
    let python = Python::find()?;
    let mut linker = tools::cc()?;
    let parent = home.parent().context("the cache has no parent folder")?;
    fs::create_dir_all(parent).with_context(|| {
        format!(
            "cannot create {}; set LIBTORCH_CACHE to a folder you can write to",
            parent.display()
        )
    })?;
    let lock = lock(&beside(home, ".lock"))?;
    if is_complete(home) {
        return Ok(());
    }
    let temp = beside(home, &format!(".tmp.{}", std::process::id()));
    let store = if lock.is_some() {
        remove_leftovers(home);
        beside(home, ".wheels")
    } else {
        // Without a lock another run may be at work, so nothing is shared with it.
        temp.join("wheels")
    };
    let given = std::env::var_os("LIBTORCH_WHEELS").filter(|value| !value.is_empty());
    let given = given.map(PathBuf::from);
    let folders: Vec<&Path> = given.as_deref().into_iter().chain([&*store]).collect();
    check_room(parent, &folders)?;

    let started = Instant::now();
    let temp = Temporary::new(temp)?;
    let wheels = fetch(&python, given.as_deref(), &store, temp.path())?;
    let tree = temp.path().join("libtorch");
    unpack(&python, &wheels, &tree)?;
    link_umbrella(&mut linker, &tree)?;
    let write = |name: &str, text: String| {
        fs::write(tree.join(name), text).with_context(|| disk_line(&tree.join(name)))
    };
    write("build-version", format!("{VERSION}+cpu\n"))?;
    try_loading(&python, &tree)?;
    write(STAMP_FILE, format!("{}\n", stamp()))?;

    if lock.is_none() && is_complete(home) {
        // Another run was faster.
        return Ok(());
    }
    if home.is_symlink() {
        fs::remove_file(home).with_context(|| format!("cannot remove {}", home.display()))?;
    } else if home.exists() {
        fs::remove_dir_all(home).with_context(|| format!("cannot remove {}", home.display()))?;
    }
    fs::rename(&tree, home).with_context(|| format!("cannot create {}", home.display()))?;
    // At worst, it is left over.
    let _ = fs::remove_dir_all(&store);
    println!("libtorch {VERSION} set up in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Takes the lock, which is released when the file is dropped or the process ends in any way. Returns `None` if
/// the file system has no locks: it is better to set up without one than not at all.
fn lock(path: &Path) -> Result<Option<File>> {
    let file =
        File::options().create(true).truncate(false).write(true).open(path).with_context(|| {
            format!(
                "cannot write {}; set LIBTORCH_CACHE to a folder you can write to",
                path.display()
            )
        })?;
    let locked = match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            println!("another set-up is running; waiting for it to finish");
            file.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
    };
    match locked {
        Ok(()) => Ok(Some(file)),
        Err(error) if has_no_locks(&error) => {
            println!("cannot lock {}: do not run another set-up at the same time", path.display());
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Whether an error means that a file system has no locks, or that they are not available.
fn has_no_locks(error: &Error) -> bool {
    error.kind() == ErrorKind::Unsupported || error.raw_os_error() == Some(ENOLCK)
}

/// Removes the temporary folders of interrupted runs. Called only with the lock, so that none of them is in
/// use.
fn remove_leftovers(home: &Path) {
    let mut prefix = home.file_name().unwrap_or_default().to_owned();
    prefix.push(".tmp.");
    let Some(entries) = home.parent().and_then(|parent| fs::read_dir(parent).ok()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            // A folder that cannot be removed does no harm.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn check_room(folder: &Path, of_wheels: &[&Path]) -> Result<()> {
    let needed = room_mb(of_wheels);
    match tools::free_mb(folder) {
        Some(free) if free < needed => bail!(
            "disk full: {} has {free} MB free, but setting up libtorch takes {needed} MB; free some space, or set \
             LIBTORCH_CACHE to a folder on another disk",
            folder.display()
        ),
        _ => Ok(()),
    }
}

/// Returns the room that set-up takes in addition to the wheels that are already in one of the folders.
fn room_mb(folders: &[&Path]) -> u64 {
    let kept = WHEELS
        .iter()
        .filter(|wheel| folders.iter().any(|folder| folder.join(wheel.file).is_file()));
    ROOM_MB - kept.map(|wheel| wheel.mb).sum::<u64>()
}

fn disk_line(path: &Path) -> String {
    format!(
        "cannot write {}; if the disk is full, set LIBTORCH_CACHE to a folder on another disk",
        path.display()
    )
}

/// Returns the wheels, each with its hash checked: those at hand, and the others from the index, by way of
/// `temp` into `store`.
fn fetch(python: &Python, given: Option<&Path>, store: &Path, temp: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let mut wanted = Vec::new();
    for wheel in &WHEELS {
        let path = at_hand(wheel, given, store)?;
        if path.is_none() {
            wanted.push(wheel);
        }
        paths.push(path.unwrap_or_else(|| store.join(wheel.file)));
    }
    if wanted.is_empty() {
        return Ok(paths);
    }
    pip::check(python)?;
    let folder = temp.join("fetched");
    fs::create_dir_all(&folder).with_context(|| disk_line(&folder))?;
    pip::download(python, &wanted, &folder, temp)?;
    keep(&wanted, &folder, store)?;
    Ok(paths)
}

/// Returns a wheel with the right hash that an earlier run kept in `store`, or that is in `given`, the folder
/// of `LIBTORCH_WHEELS`. Reports what that folder lacks.
fn at_hand(wheel: &Wheel, given: Option<&Path>, store: &Path) -> Result<Option<PathBuf>> {
    let kept = store.join(wheel.file);
    if kept.is_file() && verify(&kept, wheel.sha256)? {
        return Ok(Some(kept));
    }
    let Some(given) = given else { return Ok(None) };
    let path = given.join(wheel.file);
    let fault = fault(&path, wheel)?;
    if let Some(fault) = &fault {
        println!("LIBTORCH_WHEELS: {fault}; fetching it instead");
    }
    Ok(fault.is_none().then_some(path))
}

/// Returns why a file is not the expected wheel, if it is not.
fn fault(path: &Path, wheel: &Wheel) -> Result<Option<String>> {
    if !path.is_file() {
        return Ok(Some(format!("{} does not exist", path.display())));
    }
    let right = verify(path, wheel.sha256)?;
    Ok((!right).then(|| format!("{} has the wrong hash and is not used", path.display())))
}

/// Moves the wheels that pip fetched into `store`, each with its hash checked.
fn keep(wheels: &[&Wheel], fetched: &Path, store: &Path) -> Result<()> {
    fs::create_dir_all(store).with_context(|| disk_line(store))?;
    for wheel in wheels {
        let path = fetched.join(wheel.file);
        if fault(&path, wheel)?.is_some() {
            bail!("hash mismatch: {} is not the expected file; try again", wheel.file);
        }
        let kept = store.join(wheel.file);
        fs::rename(&path, &kept).with_context(|| disk_line(&kept))?;
    }
    println!("the wheels are kept in {} until libtorch is set up", store.display());
    Ok(())
}

/// Whether a file has the expected SHA-256.
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
        bail!(
            "disk full while unpacking; free some space, or set LIBTORCH_CACHE to a folder on another disk"
        );
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

/// Loads the result once, so that, for example, a C library that is too old shows here and not in a later
/// build. A libtorch in `LD_LIBRARY_PATH` would be loaded in place of the one to be tried.
fn try_loading(python: &Python, tree: &Path) -> Result<()> {
    let program = "import ctypes, os, sys; ctypes.CDLL(sys.argv[1], os.RTLD_NOW)";
    let mut command = python.command();
    if let Some(folders) = std::env::var_os(LIBRARY_PATH) {
        let folders = std::env::split_paths(&folders).filter(|folder| !is_lib(folder));
        command.env(LIBRARY_PATH, std::env::join_paths(folders)?);
    }
    let output = command
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

    /// The file contains "abc".
    #[cfg(target_os = "linux")]
    const SMALL: Wheel = Wheel {
        file: "small.whl",
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        requirement: "small==1",
        mb: 1,
    };

    // Only Linux is sure to have `sha256sum`, and only there does set-up need it.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_tampered_file_is_told_by_its_hash() {
        let temp = scratch("hash");
        put(temp.path(), "wheel", "abc");
        let path = temp.path().join("wheel");
        assert!(verify(&path, SMALL.sha256).expect("sha256sum runs"));
        put(temp.path(), "wheel", "abd");
        assert!(!verify(&path, SMALL.sha256).expect("sha256sum runs"));
        assert!(verify(&temp.path().join("absent"), SMALL.sha256).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_folder_of_wheels_lacks_is_told_by_name() {
        let temp = scratch("given");
        let path = temp.path().join(SMALL.file);
        let told = || fault(&path, &SMALL).expect("sha256sum runs");
        assert!(told().is_some_and(|told| told.ends_with("small.whl does not exist")));
        put(temp.path(), SMALL.file, "abd");
        assert!(
            told()
                .is_some_and(|told| told.ends_with("small.whl has the wrong hash and is not used"))
        );
        put(temp.path(), SMALL.file, "abc");
        assert_eq!(told(), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn fetched_wheels_are_kept_for_the_next_run_if_they_are_right() {
        let temp = scratch("kept");
        let (fetched, store) = (temp.path().join("fetched"), temp.path().join("store"));
        let given = temp.path().join("given");
        let found = |given| at_hand(&SMALL, given, &store).expect("sha256sum runs");
        assert_eq!(found(Some(&*given)), None);
        put(&given, SMALL.file, "abc");
        assert_eq!(found(Some(&*given)), Some(given.join(SMALL.file)));

        put(&fetched, SMALL.file, "abd");
        let error = keep(&[&SMALL], &fetched, &store).expect_err("another file");
        assert!(error.to_string().contains("hash mismatch: small.whl"), "{error}");
        put(&fetched, SMALL.file, "abc");
        keep(&[&SMALL], &fetched, &store).expect("the right file");
        assert_eq!(found(None), Some(store.join(SMALL.file)));
        put(&store, SMALL.file, "ab");
        assert_eq!(found(None), None, "cut short meanwhile");
        put(&fetched, SMALL.file, "abc");
        keep(&[&SMALL], &fetched, &store).expect("replaces it");
        assert_eq!(found(Some(&*given)), Some(store.join(SMALL.file)));
    }

    #[test]
    fn wheels_that_are_kept_take_no_more_room() {
        let temp = scratch("room");
        let (store, given) = (temp.path().join("store"), temp.path().join("given"));
        assert_eq!(room_mb(&[&given, &store]), ROOM_MB);
        put(&store, WHEELS[0].file, "");
        assert_eq!(room_mb(&[&given, &store]), ROOM_MB - WHEELS[0].mb);
        // A wheel that is in both folders counts once.
        put(&given, WHEELS[0].file, "");
        put(&given, WHEELS[1].file, "");
        assert_eq!(room_mb(&[&given, &store]), ROOM_MB - WHEELS[0].mb - WHEELS[1].mb);
    }

    #[test]
    fn a_file_system_without_locks_is_told_from_other_failures() {
        assert!(has_no_locks(&Error::from_raw_os_error(ENOLCK)));
        assert!(has_no_locks(&ErrorKind::Unsupported.into()));
        assert!(!has_no_locks(&ErrorKind::PermissionDenied.into()));
    }

    #[test]
    fn the_lock_keeps_a_second_run_out_until_the_first_is_done() {
        let temp = scratch("lock");
        let path = temp.path().join("copy.lock");
        let first = lock(&path).expect("nobody holds it");
        assert!(first.is_some());
        let second = File::options().write(true).open(&path).expect("the lock file stays");
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(first);
        // Waits, because a program that another test is starting may hold a copy of the file for a moment.
        second.lock().expect("nobody holds it any more");
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
