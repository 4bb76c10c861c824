use std::fs::{File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{CommandFactory, Parser};
use ecg_core::files;
use serde::Serialize;

use crate::{SOME_FAILED, print_json, say_err};

/// Runs a program on its arguments. An error is printed to standard error as one line, cause after cause, and
/// ends the program with status 1.
///
/// So do bad arguments, because clap's own status for them, 2, means here that some records failed. If a program with a
/// flag `--json` was given it, an error before `main` is printed to standard output, too, as JSON; errors of `main` are
/// left to it.
pub fn run<A: Parser>(main: impl FnOnce(A) -> Result<ExitCode>) -> ExitCode {
    let arguments = match A::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing can be done about output that is closed.
            let _ = error.print();
            if !error.use_stderr() {
                return ExitCode::SUCCESS;
            }
            let text = error.render().to_string();
            let text = text.trim();
            print_if_json::<A>(text.strip_prefix("error: ").unwrap_or(text));
            return ExitCode::FAILURE;
        }
    };
    let checked = ecg3d_convert::check_simd().map_err(anyhow::Error::from);
    let checked = checked.inspect_err(|error| print_if_json::<A>(&format!("{error:#}")));
    checked.and_then(|()| main(arguments)).unwrap_or_else(|error| {
        say_err!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Prints an error as JSON if the program has a flag `--json` and was given it.
fn print_if_json<A: CommandFactory>(error: &str) {
    let given = std::env::args_os().any(|argument| argument == "--json");
    if given && A::command().get_arguments().any(|own| own.get_long() == Some("json")) {
        // The error is on standard error, too, if nothing can be printed here.
        let _ = print_json(&serde_json::json!({ "error": error }));
    }
}

/// Returns the exit status of a program that went on with the other records: 0, or [`SOME_FAILED`].
pub fn status(some_failed: bool) -> ExitCode {
    if some_failed { ExitCode::from(SOME_FAILED) } else { ExitCode::SUCCESS }
}

/// Writes a file whole or not at all, with [`files::write_whole`]. Anything that is not a file, such as a pipe or
/// `/dev/stdout`, is written to directly.
///
/// # Errors
/// Returns the error of the file system or of `write`, with the path.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let write_all = || -> io::Result<()> {
        if !is_stream(path) {
            return files::write_whole(path, ".", write);
        }
        let mut file = BufWriter::new(File::options().write(true).open(path)?);
        write(&mut file)?;
        file.flush()
    };
    write_all().with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a text in the way of [`write_atomic`].
///
/// # Errors
/// The errors of [`write_atomic`].
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    write_atomic(path, |file| file.write_all(text.as_bytes()))
}

/// Writes indented JSON and a line break in the way of [`write_atomic`].
///
/// # Errors
/// The errors of [`write_atomic`], or that of a value that JSON cannot hold, with the path.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write_atomic(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        writeln!(file)
    })
}

/// Locks a file of a run, because two runs that write the same results would damage each other's. `used` is what
/// the message names. Where a file system has no locks, there is only a warning.
///
/// The lock ends with the process, or when the file is closed.
///
/// # Errors
/// Returns an error if another process holds the lock.
pub fn lock(file: &File, used: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!("another process is using {}", used.display()),
        Err(TryLockError::Error(error)) => {
            say_err!("warning: cannot lock {}: {error}", used.display());
        }
    }
    Ok(())
}

/// Removes a file, such as one of an earlier run. Returns whether there was one.
///
/// # Errors
/// Returns the error of the file system, with the path.
pub fn remove_if_there(path: &Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// Whether something exists there that is neither a file nor a folder.
fn is_stream(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Returns the file behind a path and its links, whether or not it exists yet; `None` if something exists there
/// that is not a file.
pub fn real(path: &Path) -> Option<PathBuf> {
    // Links that lead nowhere become an error as soon as the path is used.
    (!is_stream(path)).then(|| files::real_path(path).unwrap_or_else(|_| path.to_owned()))
}

/// Whether the path is a named pipe, or something that standard output may be.
fn is_pipe(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// Makes sure that the output does not overwrite an input.
///
/// # Errors
/// Returns an error if `output` names the same file as one of `inputs`.
pub fn check_inputs<'a>(
    output: &Path,
    inputs: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<()> {
    let Ok(output) = output.canonicalize() else { return Ok(()) };
    for input in inputs {
        ensure!(
            input.canonicalize().map_or(true, |input| input != output),
            "{} would be overwritten, but it is an input; choose another --out",
            input.display()
        );
    }
    Ok(())
}

/// Makes sure, before long work, that a file can be written there afterwards in the way of [`write_atomic`].
///
/// Missing folders are created. Whatever exists already stays as it is.
///
/// # Errors
/// Returns an error if there is a folder of that name, or the error of the file system on writing a file in its
/// place.
pub fn check_place(path: &Path) -> Result<()> {
    let shown = path.display();
    ensure!(!path.is_dir(), "cannot write {shown}: found a folder, expected the name of a file");
    let checked = if is_pipe(path) {
        // Its reader would take a writer that opens and closes it for the end of the data.
        Ok(())
    } else if is_stream(path) {
        File::options().write(true).open(path).map(drop)
    } else {
        files::check_place(path)
    };
    checked.with_context(|| format!("cannot write {shown}"))
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
    fn texts_and_json_are_written_and_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("new/file.json");
        write_text(&path, "first").expect("writes");
        assert_eq!(std::fs::read(&path).expect("reads"), b"first");
        write_json(&path, &[1, 2]).expect("writes");
        assert_eq!(std::fs::read(&path).expect("reads"), b"[\n  1,\n  2\n]\n");
        assert!(remove_if_there(&path).expect("removes"));
        assert!(!remove_if_there(&path).expect("is gone"));
        let error = remove_if_there(&dir.path().join("new")).expect_err("a folder").to_string();
        assert!(error.starts_with("cannot remove ") && error.ends_with("new"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_a_device_is_written_to() {
        use std::os::unix::fs::FileTypeExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let (real, link) = (dir.path().join("real.txt"), dir.path().join("link.txt"));
        std::os::unix::fs::symlink(&real, &link).expect("links");
        // The file does not exist yet.
        write_atomic(&link, |w| w.write_all(b"first")).expect("writes");
        write_atomic(&link, |w| w.write_all(b"second")).expect("writes");
        assert!(link.symlink_metadata().expect("is there").is_symlink());
        assert_eq!(std::fs::read(&real).expect("reads"), b"second");
        let null = dir.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &null).expect("links");
        check_place(&null).expect("a place");
        write_atomic(&null, |w| w.write_all(b"nothing")).expect("writes");
        assert!(null.metadata().expect("is there").file_type().is_char_device());
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_left_to_its_reader() {
        let dir = tempfile::tempdir().expect("a folder");
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).expect("reads")
        });
        check_place(&pipe).expect("a place");
        write_atomic(&pipe, |w| w.write_all(b"all")).expect("writes");
        assert_eq!(reader.join().expect("ends"), b"all");
    }

    #[test]
    fn what_is_read_is_not_written_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let [a, b] = ["a.csv", "b.csv"].map(|name| dir.path().join(name));
        std::fs::write(&a, "x").expect("writes");
        check_inputs(&b, [&a, &b]).expect("is not there yet");
        check_inputs(&a, [&b]).expect("another");
        let other_way = dir.path().join(".").join("a.csv");
        let error = check_inputs(&a, [&b, &other_way]).expect_err("the same file").to_string();
        assert!(error.contains("a.csv would be overwritten"), "{error}");
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
        assert_eq!(error.to_string(), format!("cannot write {}", path.join("x").display()));
    }
}
