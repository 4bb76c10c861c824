//! Files that are written completely or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::IoError;

/// Number of the next temporary name.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Most temporary names that are tried for a file.
const TRIES: usize = 100;

/// Writes a file under a temporary name next to it and renames it once it is complete. If `path` is a link, it stays,
/// and its target is written.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<(), IoError> {
    let failed = IoError::write(path);
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(IoError::NotAFile { path: path.to_owned(), at: None });
    }
    let path = &real(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(IoError::write(folder))?;
    }
    let (temporary, mut file) = match create_beside(path) {
        Ok(created) => created,
        Err(source) => return Err(failed(source)),
    };
    let mut write = || {
        file.write_all(content)?;
        // Otherwise a power cut could leave an empty file under the new name.
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // The first error is the one that matters.
        let _ = fs::remove_file(&temporary);
        failed(source)
    })
}

/// Creates a temporary file in the folder of `path`, under a name that does not exist yet, even as a link.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut tries = 1;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Short, so that it is not too long where the file's own name is not.
        let temporary = path.with_file_name(format!(".{}-{number}.tmp", std::process::id()));
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
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_planted_temporary_name_is_not_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let victim = dir.path().join("victim");
        fs::write(&victim, "kept").expect("writes");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("makes");
        let next = NEXT.load(Ordering::Relaxed);
        for number in next..next + 30 {
            let name = format!(".{}-{number}.tmp", std::process::id());
            symlink(&victim, data.join(name)).expect("links");
        }
        write_file(&data.join("file"), b"new").expect("writes");
        assert_eq!(fs::read(&victim).expect("reads"), b"kept");
        assert_eq!(fs::read(data.join("file")).expect("reads"), b"new");
        assert_eq!(fs::read_dir(&data).expect("lists").count(), 31);
    }

    #[test]
    fn names_may_be_as_long_as_the_system_allows() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("n".repeat(255));
        write_file(&path, b"new").expect("writes");
        assert_eq!(fs::read(path).expect("reads"), b"new");
    }

    #[test]
    fn a_link_stays_and_its_target_is_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let (link, target) = (dir.path().join("link"), dir.path().join("below/target"));
        symlink("below/target", &link).expect("links");
        for content in ["first", "second"] {
            write_file(&link, content.as_bytes()).expect("writes");
            assert!(link.is_symlink());
            assert_eq!(fs::read_to_string(&target).expect("reads"), content);
        }
        let null = dir.path().join("null");
        symlink("/dev/null", &null).expect("links");
        for not_a_file in [null.as_path(), dir.path()] {
            let error = write_file(not_a_file, b"new").expect_err("is no file");
            assert!(matches!(error, IoError::NotAFile { .. }), "{error}");
        }
    }
}
