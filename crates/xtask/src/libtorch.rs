//! A CPU-only libtorch 2.11.0 for x86_64 Linux, laid out from the wheels of the package index.
//!
//! The only Linux build of torch 2.11.0 there is the one for CUDA 13. Its CPU half (libtorch_cpu, libc10, libgomp)
//! is complete but for two small CUDA libraries that its profiler links; they load without a GPU. So that half and
//! those two are taken, and `libtorch.so`, which is empty and only names its halves, is made anew to name the CPU
//! half alone.
//!
//! A finished copy is kept once per machine and linked into each checkout. One run at a time works on it (a lock
//! file beside it), in a temporary folder that becomes the copy by a rename; an interrupted run leaves nothing but
//! that folder, and the next one removes it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::pip;
use crate::tools::{self, Python, last_line};

/// The libtorch that this workspace's tch is made for.
pub const VERSION: &str = "2.11.0";

/// Raised when the layout below changes; part of the name of a copy and of its stamp.
const RECIPE: u32 = 1;

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
    pub mb: u32,
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

/// What must be there for tch to build and for a program to load.
const HEADER: &str = "include/torch/csrc/api/include/torch/torch.h";
const CPU_LIBRARIES: [&str; 3] = ["libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.lib"];

/// What our own layout has in `lib`.
const OUR_LIBRARIES: [&str; 6] = [
    "libtorch.so",
    "libtorch_cpu.so",
    "libc10.so",
    "libgomp.so.1",
    "libcupti.so.13",
    "libcudart.so.13",
];

/// Written last into a finished copy.
const STAMP_FILE: &str = ".recipe";

fn stamp() -> String {
    format!("{VERSION}+cpu-from-pypi recipe {RECIPE}")
}

/// Makes sure that `link` leads to a complete libtorch, fetching it where need be.
pub fn provide(link: &Path) -> Result<()> {
    let stamped = link.join(STAMP_FILE).exists();
    if is_complete(link) || (!stamped && check(link).is_ok()) {
        return Ok(());
    }
    let home = home(link)?;
    let in_place = home == link;
    let is_folder = link.symlink_metadata().is_ok_and(|data| !data.is_symlink());
    if is_folder && !(in_place && stamped) {
        bail!(
            "{} is neither a libtorch {VERSION} nor a link of ours; move it away and try again",
            link.display()
        );
    }
    if !is_complete(&home) {
        build(&home)?;
    }
    if !in_place {
        relink(link, &home)?;
    }
    println!("libtorch {VERSION} is in {}", home.display());
    Ok(())
}

/// Checks that a folder is a libtorch that tch can use.
pub fn check(folder: &Path) -> Result<()> {
    if !folder.is_dir() {
        bail!("{} is not there", folder.display());
    }
    let lib = folder_or("LIBTORCH_LIB", folder).join("lib");
    if !CPU_LIBRARIES.iter().any(|name| lib.join(name).is_file()) {
        bail!("{} holds no libtorch_cpu", lib.display());
    }
    let header = folder_or("LIBTORCH_INCLUDE", folder).join(HEADER);
    if !header.is_file() {
        bail!("{} is not there", header.display());
    }
    match version_of(folder) {
        Some(found) if !is_version(&found) && !bypassed() => {
            bail!("{} is libtorch {found}, not {VERSION}", folder.display())
        }
        _ => Ok(()),
    }
}

/// Whether a version like `2.11.0+cpu` is the one that tch wants, whatever it was built for.
pub fn is_version(text: &str) -> bool {
    text.trim().split('+').next() == Some(VERSION)
}

/// Whether the user told torch-sys to take any version.
pub fn bypassed() -> bool {
    std::env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_some()
}

/// torch-sys lets a variable of its own name another parent for `lib` and for `include`.
fn folder_or(variable: &str, folder: &Path) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| folder.to_path_buf(), PathBuf::from)
}

/// The version that a libtorch (`build-version`) or Python's torch (`version.py`) gives, if any.
fn version_of(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let text = fs::read_to_string(folder.join("version.py")).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    line.split(['\'', '"']).nth(1).map(str::to_owned)
}

/// Whether a folder is a finished copy of this recipe with nothing taken away.
fn is_complete(folder: &Path) -> bool {
    let stamped =
        fs::read_to_string(folder.join(STAMP_FILE)).is_ok_and(|text| text.trim() == stamp());
    let lib = folder.join("lib");
    stamped
        && version_of(folder).is_some_and(|found| is_version(&found))
        && folder.join(HEADER).is_file()
        && OUR_LIBRARIES.iter().all(|name| lib.join(name).is_file())
}

/// Where the finished copy belongs: in the user's cache, or, with an empty `LIBTORCH_CACHE`, in the checkout.
fn home(link: &Path) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = match std::env::var_os("LIBTORCH_CACHE") {
        Some(value) if value.is_empty() => return Ok(link.to_path_buf()),
        Some(value) => PathBuf::from(value),
        None => match (set("XDG_CACHE_HOME"), set("HOME")) {
            (Some(cache), _) => PathBuf::from(cache).join("libtorch"),
            (None, Some(home)) => PathBuf::from(home).join(".cache/libtorch"),
            (None, None) => {
                bail!("neither HOME nor XDG_CACHE_HOME is set; set LIBTORCH_CACHE to a folder")
            }
        },
    };
    let cache = std::path::absolute(&cache)
        .with_context(|| format!("LIBTORCH_CACHE={} is no path", cache.display()))?;
    Ok(cache.join(format!("{VERSION}-cpu-r{RECIPE}")))
}

/// Lays the copy out, alone: a second run waits here and then finds it done.
fn build(home: &Path) -> Result<()> {
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
    let wheels = fetch(&python, &temp.0)?;
    let tree = temp.0.join("libtorch");
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

/// `home` with a suffix to its name: its lock and its temporary folders.
fn beside(home: &Path, suffix: &str) -> PathBuf {
    let mut name = home.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
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

/// A folder that goes when the value does.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Temporary {
    fn new(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| disk_line(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Left over at worst, and then the next run's to remove.
        let _ = fs::remove_dir_all(&self.0);
    }
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
    let mb: u32 = wanted.iter().map(|wheel| wheel.mb).sum();
    println!("libtorch {VERSION} (CPU): {mb} MB to download");
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
fn link_umbrella(linker: &mut std::process::Command, tree: &Path) -> Result<()> {
    let lib = tree.join("lib");
    let mut search = std::ffi::OsString::from("-L");
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

/// Points the link of the checkout to the copy, in one step for whoever looks.
#[cfg(unix)]
fn relink(link: &Path, home: &Path) -> Result<()> {
    let new = beside(link, &format!(".{}.tmp", std::process::id()));
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink(home, &new)
        .and_then(|()| fs::rename(&new, link))
        .with_context(|| format!("cannot link {} to {}", link.display(), home.display()))
}

/// Never reached: set-up stops before at a platform that has no copy of ours.
#[cfg(not(unix))]
fn relink(link: &Path, _home: &Path) -> Result<()> {
    bail!("cannot link {} on this platform", link.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for a test.
    fn scratch(name: &str) -> Temporary {
        let path = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        Temporary::new(path).expect("the temporary folder can be written")
    }

    fn put(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a new folder");
        fs::write(path, text).expect("a new file");
    }

    fn complete_copy(folder: &Path) {
        for name in OUR_LIBRARIES {
            put(folder, &format!("lib/{name}"), "");
        }
        put(folder, HEADER, "");
        put(folder, "build-version", "2.11.0+cpu\n");
        put(folder, STAMP_FILE, "2.11.0+cpu-from-pypi recipe 1\n");
    }

    #[test]
    fn the_version_counts_and_not_what_it_was_built_for() {
        for good in ["2.11.0", "2.11.0+cpu\n", "2.11.0+cu130"] {
            assert!(is_version(good), "{good:?}");
        }
        for bad in ["2.11.1", "2.1.0", "", "12.11.0"] {
            assert!(!is_version(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_copy_is_complete_with_its_stamp_and_every_file() {
        let temp = scratch("complete");
        complete_copy(&temp.0);
        assert!(is_complete(&temp.0));

        put(&temp.0, STAMP_FILE, "2.11.0+cpu-from-pypi recipe 0\n");
        assert!(!is_complete(&temp.0), "an older recipe");
        put(&temp.0, STAMP_FILE, &stamp());
        fs::remove_file(temp.0.join("lib/libc10.so")).expect("it was there");
        assert!(!is_complete(&temp.0), "a library was taken away");
    }

    #[test]
    fn a_libtorch_of_the_users_own_is_judged_by_what_is_in_it() {
        let temp = scratch("own");
        let message = |folder: &Path| check(folder).expect_err("not usable").to_string();
        assert!(message(&temp.0.join("absent")).contains("is not there"));
        assert!(message(&temp.0).contains("holds no libtorch_cpu"));
        put(&temp.0, "lib/libtorch_cpu.so", "");
        assert!(message(&temp.0).contains("torch.h"));
        put(&temp.0, HEADER, "");
        assert!(check(&temp.0).is_ok(), "without a version, torch-sys builds it too");
        put(&temp.0, "version.py", "__all__ = []\n__version__ = '2.9.0+cu128'\n");
        assert!(message(&temp.0).contains("is libtorch 2.9.0+cu128, not 2.11.0"));
        put(&temp.0, "build-version", "2.11.0+cu130");
        assert!(check(&temp.0).is_ok());
    }

    #[test]
    fn a_tampered_file_is_told_by_its_hash() {
        let temp = scratch("hash");
        put(&temp.0, "wheel", "abc");
        let path = temp.0.join("wheel");
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(verify(&path, right).expect("sha256sum runs"));
        put(&temp.0, "wheel", "abd");
        assert!(!verify(&path, right).expect("sha256sum runs"));
        assert!(verify(&temp.0.join("absent"), right).is_err());
    }

    #[test]
    fn the_lock_keeps_a_second_run_out_until_the_first_is_done() {
        let temp = scratch("lock");
        let path = temp.0.join("copy.lock");
        let first = lock(&path).expect("nobody holds it");
        let second = File::options().write(true).open(&path).expect("the lock file stays");
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(first);
        assert!(second.try_lock().is_ok());
    }

    #[test]
    fn leftovers_go_and_everything_else_stays() {
        let temp = scratch("leftovers");
        let home = temp.0.join("2.11.0-cpu-r1");
        put(&temp.0, "2.11.0-cpu-r1.tmp.77/wheels/half", "");
        put(&temp.0, "2.11.0-cpu-r1/lib/kept", "");
        put(&temp.0, "2.10.0-cpu-r1.tmp.5/kept", "");
        remove_leftovers(&home);
        assert!(!temp.0.join("2.11.0-cpu-r1.tmp.77").exists());
        assert!(home.join("lib/kept").exists());
        assert!(temp.0.join("2.10.0-cpu-r1.tmp.5/kept").exists());
    }

    #[cfg(unix)]
    #[test]
    fn the_link_follows_to_a_new_copy_but_never_replaces_a_folder() {
        let temp = scratch("link");
        let (old, new) = (temp.0.join("old"), temp.0.join("new"));
        complete_copy(&new);
        let link = temp.0.join("link");
        relink(&link, &old).expect("a dangling link is made");
        relink(&link, &new).expect("and replaced");
        assert!(is_complete(&link));
        assert!(provide(&link).is_ok(), "a complete copy is all that is wanted");

        let folder = temp.0.join("folder");
        put(&folder, "notes.txt", "mine");
        let error = provide(&folder).expect_err("not ours to replace").to_string();
        assert!(error.contains("move it away"), "{error}");
        assert!(folder.join("notes.txt").exists());
    }
}
