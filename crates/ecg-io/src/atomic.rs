//! Files that are written completely or not at all.

use std::fs;
use std::path::Path;

use ecg_core::files;

use crate::IoError;

/// Writes a file with [`files::write_whole`].
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<(), IoError> {
    check_file(path)?;
    files::write_whole(path, ".", |file| file.write_all(content)).map_err(IoError::write(path))
}

/// Checks that [`write_file`] can write there.
pub(crate) fn check_place(path: &Path) -> Result<(), IoError> {
    check_file(path)?;
    files::check_place(path).map_err(IoError::write(path))
}

fn check_file(path: &Path) -> Result<(), IoError> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(IoError::NotAFile { path: path.to_owned(), at: None });
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_are_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let null = dir.path().join("null");
        symlink("/dev/null", &null).expect("links");
        for not_a_file in [null.as_path(), dir.path()] {
            let error = write_file(not_a_file, b"new").expect_err("is no file");
            assert!(matches!(error, IoError::NotAFile { .. }), "{error}");
        }
        let path = dir.path().join("new/file");
        write_file(&path, b"new").expect("writes");
        assert_eq!(fs::read(path).expect("reads"), b"new");
    }
}
