//! Locates libtorch: either our own copy, kept once per machine and linked into each checkout, or the user's.

use std::ffi::OsStr;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, bail};

use crate::recipe;
use crate::tools::beside;

/// The version of libtorch that this workspace's tch needs.
pub const VERSION: &str = "2.11.0";

/// Raised when the layout below changes. Part of the name of a copy and of its stamp.
const RECIPE: u32 = 1;

/// The files that must exist for tch to build and for a program to load.
const HEADER: &str = "include/torch/csrc/api/include/torch/torch.h";
const CPU_LIBRARIES: [&str; 3] = ["libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.lib"];

/// The libraries that our own layout has in `lib`.
const OUR_LIBRARIES: [&str; 6] = [
    "libtorch.so",
    "libtorch_cpu.so",
    "libc10.so",
    "libgomp.so.1",
    "libcupti.so.13",
    "libcudart.so.13",
];

/// The variable with the folders that Linux searches for libraries before those that a program names.
pub const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// Written last into a finished copy.
pub const STAMP_FILE: &str = ".recipe";

/// Returns the contents of a finished copy's stamp.
pub fn stamp() -> String {
    format!("{VERSION}+cpu-from-pypi recipe {RECIPE}")
}

/// Makes sure that `link` leads to a complete libtorch, and fetches it if necessary.
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
            "{} is neither libtorch {VERSION} nor a link made by xtask; move it away and try again",
            link.display()
        );
    }
    if !is_complete(&home) {
        if !in_place {
            check_linkable(link)?;
        }
        recipe::build(&home)?;
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
        bail!("{} does not exist", folder.display());
    }
    let lib = lib(folder);
    if !CPU_LIBRARIES.iter().any(|name| lib.join(name).is_file()) {
        bail!("{} does not contain libtorch_cpu", lib.display());
    }
    let header = folder_or("LIBTORCH_INCLUDE", folder).join(HEADER);
    if !header.is_file() {
        bail!("{} does not exist", header.display());
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

/// Returns the folder of the libraries of a libtorch, as torch-sys finds it.
pub fn lib(folder: &Path) -> PathBuf {
    folder_or("LIBTORCH_LIB", folder).join("lib")
}

/// Returns whether programs on Linux would load libtorch from a folder of a library path.
pub fn is_lib(folder: &Path) -> bool {
    folder.join("libtorch_cpu.so").is_file()
}

/// Returns the folder of a library path whose libtorch programs load, if that is not the folder `used`.
pub fn loaded_instead(library_path: &OsStr, used: &Path) -> Option<PathBuf> {
    let loaded = std::env::split_paths(library_path).find(|folder| is_lib(folder))?;
    let is_used = loaded.canonicalize().ok() == used.canonicalize().ok();
    (!is_used).then_some(loaded)
}

/// Returns the parent folder of `lib` or `include`, for which torch-sys has a variable each.
fn folder_or(variable: &str, folder: &Path) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| folder.to_path_buf(), PathBuf::from)
}

/// Returns the version stated by a libtorch (`build-version`) or by Python's torch (`version.py`), if any.
fn version_of(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let text = fs::read_to_string(folder.join("version.py")).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    line.split(['\'', '"']).nth(1).map(str::to_owned)
}

/// Whether a folder is a finished copy of this recipe with nothing removed.
pub fn is_complete(folder: &Path) -> bool {
    let stamped =
        fs::read_to_string(folder.join(STAMP_FILE)).is_ok_and(|text| text.trim() == stamp());
    let lib = folder.join("lib");
    stamped
        && version_of(folder).is_some_and(|found| is_version(&found))
        && folder.join(HEADER).is_file()
        && OUR_LIBRARIES.iter().all(|name| lib.join(name).is_file())
}

/// Returns where the finished copy belongs: in the user's cache or, with an empty `LIBTORCH_CACHE`, in the
/// checkout.
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
        .with_context(|| format!("LIBTORCH_CACHE={} is not a valid path", cache.display()))?;
    Ok(cache.join(format!("{VERSION}-cpu-r{RECIPE}")))
}

/// Points the link of the checkout to the copy, in one atomic step.
fn relink(link: &Path, home: &Path) -> Result<()> {
    new_link(link, home).and_then(|new| fs::rename(new, link)).with_context(|| {
        format!(
            "cannot link {} to {}; make its folder writable, or set LIBTORCH={1}",
            link.display(),
            home.display()
        )
    })
}

/// Checks that the link can be made, before anything is fetched.
fn check_linkable(link: &Path) -> Result<()> {
    new_link(link, link).and_then(fs::remove_file).with_context(|| {
        format!(
            "cannot make the link {}, so nothing is fetched; make its folder writable, or set LIBTORCH to a libtorch \
             {VERSION}",
            link.display()
        )
    })
}

/// Makes a link to `home` under a temporary name beside `link`, and returns its path.
fn new_link(link: &Path, home: &Path) -> io::Result<PathBuf> {
    let new = beside(link, &format!(".{}.tmp", std::process::id()));
    let _ = fs::remove_file(&new);
    symlink(home, &new)?;
    Ok(new)
}

/// Never reached: set-up stops earlier on a platform for which we have no copy.
#[cfg(not(unix))]
fn symlink(_home: &Path, _link: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::scratch::{put, scratch};

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
        complete_copy(temp.path());
        assert!(is_complete(temp.path()));

        put(temp.path(), STAMP_FILE, "2.11.0+cpu-from-pypi recipe 0\n");
        assert!(!is_complete(temp.path()), "an older recipe");
        put(temp.path(), STAMP_FILE, &stamp());
        fs::remove_file(temp.path().join("lib/libc10.so")).expect("it was there");
        assert!(!is_complete(temp.path()), "a library was taken away");
    }

    #[test]
    fn a_libtorch_of_the_users_own_is_judged_by_what_is_in_it() {
        let temp = scratch("own");
        let message = |folder: &Path| check(folder).expect_err("not usable").to_string();
        assert!(message(&temp.path().join("absent")).contains("does not exist"));
        assert!(message(temp.path()).contains("does not contain libtorch_cpu"));
        put(temp.path(), "lib/libtorch_cpu.so", "");
        assert!(message(temp.path()).contains("torch.h"));
        put(temp.path(), HEADER, "");
        assert!(check(temp.path()).is_ok(), "without a version, torch-sys builds it too");
        put(temp.path(), "version.py", "__all__ = []\n__version__ = '2.9.0+cu128'\n");
        assert!(message(temp.path()).contains("is libtorch 2.9.0+cu128, not 2.11.0"));
        put(temp.path(), "build-version", "2.11.0+cu130");
        assert!(check(temp.path()).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn the_link_follows_to_a_new_copy_but_never_replaces_a_folder() {
        let temp = scratch("link");
        let (old, new) = (temp.path().join("old"), temp.path().join("new"));
        complete_copy(&new);
        let link = temp.path().join("link");
        relink(&link, &old).expect("a dangling link is made");
        relink(&link, &new).expect("and replaced");
        assert!(is_complete(&link));
        assert!(provide(&link).is_ok(), "a complete copy is all that is wanted");
        check_linkable(&link).expect("it can be made anew");
        assert!(is_complete(&link), "the check leaves it as it is");
        assert_eq!(fs::read_dir(temp.path()).expect("a folder").count(), 2, "and leaves nothing");

        let folder = temp.path().join("folder");
        put(&folder, "notes.txt", "mine");
        let error = provide(&folder).expect_err("not ours to replace").to_string();
        assert!(error.contains("move it away"), "{error}");
        assert!(folder.join("notes.txt").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_cannot_be_made_is_told_with_the_way_without_it() {
        let temp = scratch("no-link");
        let link = temp.path().join("absent/.libtorch");
        let told = relink(&link, Path::new("/cache/copy")).expect_err("no folder").to_string();
        assert!(told.ends_with("or set LIBTORCH=/cache/copy"), "{told}");
        let told = check_linkable(&link).expect_err("no folder").to_string();
        assert!(told.contains("nothing is fetched") && told.contains("set LIBTORCH"), "{told}");
    }

    #[cfg(unix)]
    #[test]
    fn another_libtorch_on_the_library_path_is_found() {
        let temp = scratch("library-path");
        let folder = |name: &str| temp.path().join(name);
        put(&folder("used"), "libtorch_cpu.so", "");
        put(&folder("other"), "libtorch_cpu.so", "");
        put(&folder("cuda"), "libcudart.so", "");
        symlink(folder("used"), folder("link")).expect("a new link");
        let found = |names: &str| {
            let path = std::env::join_paths(names.split_whitespace().map(folder)).expect("a path");
            loaded_instead(&path, &folder("used"))
        };
        assert_eq!(found("cuda other used"), Some(folder("other")));
        // The first one is loaded.
        for same in ["", "cuda", "used other", "absent link"] {
            assert_eq!(found(same), None, "{same}");
        }
    }
}
