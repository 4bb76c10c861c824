//! Files written whole or not at all, and their hashes.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use crate::ModelError;

/// Writes to a temporary name beside `path`, then renames; makes missing folders. A link stays, and what it leads to is written.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    // Two threads may write to one folder at once.
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let failed = |source| ModelError::Io { path: path.to_owned(), doing: "write", source };
    let real = path.canonicalize();
    let path = real.as_deref().unwrap_or(path);
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
        // The error that matters is the one at hand; the file may not even exist.
        let _ = std::fs::remove_file(&temporary);
        failed(source)
    })
}

/// Removes what a killed process left of a file that [`write_atomic`] was about to write.
pub(crate) fn remove_unfinished(path: &Path) {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return };
    let prefix = format!(".{}.", name.to_string_lossy());
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(".tmp") {
            // It only takes room; that it stays is no reason to stop.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// SHA-256 as people write it.
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
