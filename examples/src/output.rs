use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::say_err;

/// Runs a program on its arguments: an error is printed to standard error as one line, cause after cause, and ends it with
/// status 1.
///
/// So do bad arguments: clap's own status for them, 2, means here that some records failed.
pub fn run<A: Parser>(main: impl FnOnce(A) -> Result<ExitCode>) -> ExitCode {
    let arguments = match A::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing can be done about output that is closed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    main(arguments).unwrap_or_else(|error| {
        say_err!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Writes a file whole or not at all: to a temporary name beside it, then renamed.
///
/// Folders that are missing are made.
///
/// # Errors
/// What the file system or `write` says, with the path.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let temporary = temporary(path)?;
    let result = (|| {
        let mut file = BufWriter::new(File::create(&temporary)?);
        write(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&temporary, path)
    })();
    if result.is_err() {
        // The error that matters is the one above; the file may not even exist.
        let _ = std::fs::remove_file(&temporary);
    }
    result.with_context(|| format!("cannot write {}", path.display()))
}

/// The name under which a file is written, in its folder, which is made.
fn temporary(path: &Path) -> Result<PathBuf> {
    let name = path
        .file_name()
        .with_context(|| format!("{} names no file to write", path.display()))?
        .to_string_lossy();
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir.join(format!(".{name}.{}.tmp", std::process::id())))
}

/// Makes sure, before long work, that a file can be written there afterwards, as [`write_atomic`] writes it.
///
/// Folders that are missing are made; what is there stays as it is.
///
/// # Errors
/// A folder of that name; what the file system says to a file in its place.
pub fn check_place(path: &Path) -> Result<()> {
    let shown = path.display();
    ensure!(!path.is_dir(), "cannot write {shown}: found a folder, expected the name of a file");
    let temporary = temporary(path)?;
    File::create(&temporary)
        .and_then(|_| std::fs::remove_file(&temporary))
        .with_context(|| format!("cannot write {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("new/file.txt");
        write_atomic(&path, |w| w.write_all(b"first")).expect("writes");
        let error = write_atomic(&path, |w| {
            w.write_all(b"second")?;
            Err(io::Error::other("the disk is full"))
        })
        .expect_err("the closure failed");
        assert_eq!(
            format!("{error:#}"),
            format!("cannot write {}: the disk is full", path.display())
        );
        assert_eq!(std::fs::read(&path).expect("still there"), b"first");
        assert_eq!(std::fs::read_dir(dir.path().join("new")).expect("lists").count(), 1);
    }

    #[test]
    fn places_are_checked_and_left_as_they_are() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("new/file.txt");
        check_place(&path).expect("a place");
        assert_eq!(std::fs::read_dir(dir.path().join("new")).expect("lists").count(), 0);
        std::fs::write(&path, "first").expect("writes");
        check_place(&path).expect("a file to replace");
        assert_eq!(std::fs::read(&path).expect("still there"), b"first");
        let error = check_place(&dir.path().join("new")).expect_err("a folder");
        assert!(error.to_string().ends_with("found a folder, expected the name of a file"));
        let error = check_place(&path.join("x")).expect_err("in a file");
        assert_eq!(error.to_string(), format!("cannot make {}", path.display()));
    }
}
