//! Writing files atomically, and hashes in hexadecimal.

use std::io;
use std::path::Path;

use ecg_core::files::{TEMPORARY_SUFFIX, real_path, write_whole};
use sha2::{Digest, Sha256};

use crate::ModelError;

/// Writes a file with [`write_whole`].
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let write = || -> io::Result<()> {
        let path = real_path(path)?;
        let prefix = prefix(&path).ok_or(io::ErrorKind::InvalidFilename)?;
        write_whole(&path, &prefix, |file| file.write_all(bytes))
    };
    write().map_err(|source| ModelError::Io { path: path.to_owned(), doing: "write", source })
}

/// Returns how the temporary names of a file start. It is short, because the file's own name may be as long as the
/// system allows.
fn prefix(path: &Path) -> Option<String> {
    let name = path.file_name()?.as_encoded_bytes();
    Some(format!(".{}.", &hex(Sha256::new_with_prefix(name))[..16]))
}

/// Removes temporary files that a killed process left behind while [`write_atomic`] wrote this file.
pub(crate) fn remove_unfinished(path: &Path) {
    let Ok(path) = real_path(path) else { return };
    let (Some(dir), Some(prefix)) = (path.parent(), prefix(&path)) else { return };
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(TEMPORARY_SUFFIX) {
            // The file only takes up space, so failing to remove it is no reason to stop.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Formats a SHA-256 as lower-case hexadecimal.
pub(crate) fn hex(hash: Sha256) -> String {
    format!("{:x}", hash.finalize())
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
    fn what_a_killed_process_left_is_removed_behind_links_too() {
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
}
