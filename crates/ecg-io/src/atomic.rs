//! Files that are written completely or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::IoError;

/// Writes a file under a temporary name next to it and renames it once it is complete.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<(), IoError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(IoError::write(folder))?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_file_name(format!(".{name}.{}-{count}.tmp", std::process::id()));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        // Otherwise a power cut could leave an empty file under the new name.
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    written.map_err(|source| {
        // The first error is the one that matters.
        let _ = fs::remove_file(&temporary);
        IoError::write(path)(source)
    })
}
