//! Writing files atomically, and hashes in hexadecimal.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use crate::ModelError;

/// Number of the next temporary name: two threads may write to one folder at the same time.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Most temporary names that are tried for a file.
const TRIES: usize = 100;

/// Writes to a temporary name beside `path`, then renames; makes missing folders. If `path` is a link, its target is
/// written.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let failed = |source| ModelError::Io { path: path.to_owned(), doing: "write", source };
    let path = &real(path);
    let prefix = prefix(path).ok_or(io::ErrorKind::InvalidFilename.into()).map_err(failed)?;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    let (temporary, mut file) = create_beside(path, &prefix).map_err(failed)?;
    let mut write = || {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // The error to report is the original one.
        let _ = std::fs::remove_file(&temporary);
        failed(source)
    })
}

/// Returns how the temporary names of a file start. It is short, because the file's own name may be as long as the
/// system allows.
fn prefix(path: &Path) -> Option<String> {
    let name = path.file_name()?.as_encoded_bytes();
    Some(format!(".{}.", &hex(Sha256::new_with_prefix(name))[..16]))
}

/// Creates a temporary file in the folder of `path`, under a name that does not exist yet, even as a link.
fn create_beside(path: &Path, prefix: &str) -> io::Result<(PathBuf, File)> {
    let mut tries = 1;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_file_name(format!("{prefix}{}-{number}.tmp", std::process::id()));
        match File::options().write(true).create_new(true).open(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => {
                tries += 1;
            }
            created => return created.map(|file| (temporary, file)),
        }
    }
}

/// Follows the links of a path to the actual file, which may not exist yet.
fn real(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // Linux follows as many links.
    for _ in 0..40 {
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path.canonicalize().unwrap_or(path)
}

/// Removes temporary files that a killed process left behind while [`write_atomic`] wrote this file.
pub(crate) fn remove_unfinished(path: &Path) {
    let path = real(path);
    let (Some(dir), Some(prefix)) = (path.parent(), prefix(&path)) else { return };
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(".tmp") {
            // The file only takes up space, so failing to remove it is no reason to stop.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Formats a SHA-256 as lower-case hexadecimal.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|source| ModelError::Io {
        path: path.to_owned(),
        doing: "read",
        source,
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_whether_its_file_is_there_or_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let (run, disk) = (dir.path().join("run"), dir.path().join("disk"));
        for folder in [&run, &disk] {
            std::fs::create_dir(folder).expect("makes");
        }
        let link = run.join("checkpoint");
        std::os::unix::fs::symlink("../disk/file", &link).expect("links");
        for text in ["first", "second"] {
            write_atomic(&link, text.as_bytes()).expect("writes");
            assert!(link.is_symlink());
            assert_eq!(std::fs::read_to_string(disk.join("file")).expect("reads"), text);
        }
        let left = format!("{}1-0.tmp", prefix(Path::new("file")).expect("a name"));
        std::fs::write(disk.join(left), "half").expect("writes");
        remove_unfinished(&link);
        assert_eq!(std::fs::read_dir(&disk).expect("lists").count(), 1);
        // A circle of links leads nowhere, but following it ends.
        std::os::unix::fs::symlink("b", run.join("a")).expect("links");
        std::os::unix::fs::symlink("a", run.join("b")).expect("links");
        remove_unfinished(&run.join("a"));
    }

    #[test]
    fn a_planted_temporary_name_is_not_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let (victim, data) = (dir.path().join("victim"), dir.path().join("data"));
        std::fs::write(&victim, "kept").expect("writes");
        std::fs::create_dir(&data).expect("makes");
        // As long a name as the system allows.
        let path = data.join("n".repeat(255));
        let prefix = prefix(&path).expect("a name");
        let next = NEXT.load(Ordering::Relaxed);
        for number in next..next + 30 {
            let planted = data.join(format!("{prefix}{}-{number}.tmp", std::process::id()));
            std::os::unix::fs::symlink(&victim, planted).expect("links");
        }
        write_atomic(&path, b"new").expect("writes");
        assert_eq!(std::fs::read(&victim).expect("reads"), b"kept");
        assert_eq!(std::fs::read(&path).expect("reads"), b"new");
    }
}
