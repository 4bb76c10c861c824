//! Writing files atomically, and hashes in hexadecimal.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use crate::ModelError;

/// Writes to a temporary name beside `path`, then renames; makes missing folders. If `path` is a link, its target is
/// written.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    // Two threads may write to one folder at the same time.
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let failed = |source| ModelError::Io { path: path.to_owned(), doing: "write", source };
    let path = &real(path);
    let name =
        path.file_name().ok_or(std::io::ErrorKind::InvalidFilename.into()).map_err(failed)?;
    let count = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_file_name(format!(
        ".{}.{}-{count}.tmp",
        name.to_string_lossy(),
        std::process::id()
    ));
    let write = || {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // The error to report is the original one; the temporary file may not even exist.
        let _ = std::fs::remove_file(&temporary);
        failed(source)
    })
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
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return };
    let prefix = format!(".{}.", name.to_string_lossy());
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
        std::fs::write(disk.join(".file.1-0.tmp"), "half").expect("writes");
        remove_unfinished(&link);
        assert_eq!(std::fs::read_dir(&disk).expect("lists").count(), 1);
        // A circle of links leads nowhere, but following it ends.
        std::os::unix::fs::symlink("b", run.join("a")).expect("links");
        std::os::unix::fs::symlink("a", run.join("b")).expect("links");
        remove_unfinished(&run.join("a"));
    }
}
