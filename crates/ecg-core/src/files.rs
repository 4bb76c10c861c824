//! Files that are written completely or not at all (feature `files`).

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// How the names of all temporary files end.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// Writes a file completely or not at all: under a temporary name beside it, which is renamed at the end.
///
/// The temporary name starts with `prefix`, which should be short, and ends with [`TEMPORARY_SUFFIX`]. Missing
/// folders are created. If `path` is a link, it stays, and its target is written. A file that is replaced passes on
/// its permissions.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("new/table.csv");
/// use std::io::Write as _;
/// ecg_core::files::write_whole(&path, ".", |file| writeln!(file, "record,AF"))?;
/// assert_eq!(std::fs::read_to_string(&path)?, "record,AF\n");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns the error of `write` or of the file system, or one if `path` is read-only or not a file. Whatever `path`
/// was before, it then still is.
pub fn write_whole(
    path: impl AsRef<Path>,
    prefix: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let path = real_path(path)?;
    let mut file = BufWriter::new(create_beside(&path, prefix)?);
    write(&mut file)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    // Otherwise a power cut could leave an empty file under the new name.
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Checks, before long work, that [`write_whole`] can write `path` afterwards.
///
/// Missing folders are created. Whatever `path` is, it stays as it is.
///
/// # Errors
/// As for [`write_whole`].
pub fn check_place(path: impl AsRef<Path>) -> io::Result<()> {
    create_beside(&real_path(path)?, ".")?.close()
}

/// Follows the links of a path to the actual file, which may not exist yet.
///
/// # Errors
/// Returns the error of the file system, such as for links that form a circle.
pub fn real_path(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let mut path = path.as_ref().to_owned();
    // The file system itself refuses longer chains.
    for _ in 0..40 {
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    Ok(path)
}

/// Creates a temporary file beside `path`. It is removed when it is dropped, unless it is persisted.
fn create_beside(path: &Path, prefix: &str) -> io::Result<NamedTempFile<File>> {
    let before = match fs::metadata(path) {
        Ok(before) if before.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(before) if !before.is_file() => return Err(io::Error::other("it is not a file")),
        // A rename would not ask for the permission to write it.
        Ok(before) if before.permissions().readonly() => {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"));
        }
        before => before.ok(),
    };
    // A path that ends in a slash names a folder.
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).map_err(|error| {
        let what = format!("cannot create the folder {}: {error}", folder.display());
        io::Error::new(error.kind(), what)
    })?;
    let temporary = tempfile::Builder::new()
        .prefix(prefix)
        .suffix(TEMPORARY_SUFFIX)
        .make_in(folder, |name| File::create_new(name))?;
    if let Some(before) = before {
        temporary.as_file().set_permissions(before.permissions())?;
    }
    Ok(temporary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, text: &str) {
        write_whole(path, ".", |file| file.write_all(text.as_bytes())).expect("writes");
        assert_eq!(fs::read_to_string(path).expect("reads"), text);
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).expect("lists").count()
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("new/file.txt");
        put(&path, "first");
        let error = write_whole(&path, ".", |file| {
            file.write_all(b"second")?;
            Err(io::Error::other("the disk is full"))
        })
        .expect_err("the closure failed");
        assert_eq!(error.to_string(), "the disk is full");
        assert_eq!(fs::read_to_string(&path).expect("still there"), "first");
        assert_eq!(entries(&dir.path().join("new")), 1);
    }

    #[test]
    fn places_are_checked_and_left_as_they_are() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("new/file.txt");
        check_place(&path).expect("a place");
        assert_eq!(entries(&dir.path().join("new")), 0);
        put(&path, "first");
        check_place(&path).expect("a file to replace");
        assert_eq!(fs::read_to_string(&path).expect("still there"), "first");
        let error = check_place(dir.path().join("new")).expect_err("a folder");
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        check_place(path.join("x")).expect_err("in a file");
        check_place("").expect_err("no name");
        check_place(dir.path().join("other/")).expect_err("the name of a folder");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_its_target_is_written() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("a folder");
        let [link, circle, null] = ["link", "circle", "null"].map(|name| dir.path().join(name));
        symlink("below/target", &link).expect("links");
        for text in ["first", "second"] {
            put(&link, text);
            assert!(link.is_symlink());
            assert_eq!(fs::read_to_string(dir.path().join("below/target")).expect("reads"), text);
        }
        symlink("circle", &circle).expect("links");
        check_place(&circle).expect_err("leads nowhere");
        assert!(circle.is_symlink());
        symlink("/dev/null", &null).expect("links");
        let error = check_place(&null).expect_err("a device");
        assert_eq!(error.to_string(), "it is not a file");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_kept_and_usual_for_new_files() {
        use std::fs::Permissions;
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let [ours, usual] = ["ours", "usual"].map(|name| dir.path().join(name));
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        put(&ours, "first");
        fs::write(&usual, "first").expect("writes");
        assert_eq!(mode(&ours), mode(&usual));
        fs::set_permissions(&ours, Permissions::from_mode(0o600)).expect("sets");
        put(&ours, "second");
        assert_eq!(mode(&ours), 0o600);
        fs::set_permissions(&ours, Permissions::from_mode(0o444)).expect("sets");
        let error = write_whole(&ours, ".", |_| Ok(())).expect_err("must not be replaced");
        assert_eq!(error.to_string(), "the file is read-only");
        assert_eq!(fs::read_to_string(&ours).expect("reads"), "second");
    }

    #[cfg(unix)]
    #[test]
    fn names_may_be_as_long_as_the_system_allows() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("n".repeat(255));
        check_place(&path).expect("a place");
        put(&path, "new");
        assert_eq!(entries(dir.path()), 1);
    }
}
