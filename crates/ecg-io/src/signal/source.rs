//! Signal files: where they may lie, and reading at a position.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use crate::warning::Notes;
use crate::{IoError, ReadOptions, SignalSpec};

/// A signal file, opened when it is first read.
#[derive(Debug)]
pub(crate) struct Source {
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    file: OnceLock<File>,
    #[cfg(feature = "mmap")]
    map: Option<memmap2::Mmap>,
}

impl Source {
    /// Finds a signal's file and its size.
    pub fn find(
        spec: &SignalSpec,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<Self, IoError> {
        let header = notes.path;
        let mut path = beside(header, &spec.file, spec.line)?;
        let mut size = size_below(header, &path, spec.line, options);
        if let Err(IoError::Read { source, .. }) = &size
            && source.kind() == io::ErrorKind::NotFound
            && let Some(renamed) = renamed_file(header, &path)
        {
            let message =
                format!("{:?} is missing, the file of the header's own name is read", spec.file);
            notes.quirk(Some(spec.line), "file name", message)?;
            size = size_below(header, &renamed, spec.line, options);
            path = renamed;
        }
        let size = size?;
        Ok(Self {
            #[cfg(feature = "mmap")]
            // An empty file cannot be mapped.
            map: (options.memory_map && size > 0).then(|| super::map::map(&path)).transpose()?,
            size,
            path,
            file: OnceLock::new(),
        })
    }

    /// The open file.
    pub fn file(&self) -> Result<&File, IoError> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = open(&self.path)?;
        Ok(self.file.get_or_init(|| file))
    }

    /// The bytes from `start` to `end`, read into `buffer` unless the file is mapped.
    pub fn bytes<'a>(
        &'a self,
        start: u64,
        end: u64,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], IoError> {
        #[cfg(feature = "mmap")]
        if let Some(map) = &self.map {
            return map.get(start as usize..end as usize).ok_or_else(|| IoError::Truncated {
                path: self.path.clone(),
                expected: end,
                found: map.len() as u64,
            });
        }
        // The caller compared this with the file's size.
        let len = (end - start) as usize;
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let bytes = &mut buffer[..len];
        let mut done = 0;
        while done < len {
            match read_at(self.file()?, &mut bytes[done..], start + done as u64) {
                // The file became shorter since it was looked at.
                Ok(0) => {
                    let path = self.path.clone();
                    return Err(IoError::Truncated {
                        path,
                        expected: end,
                        found: start + done as u64,
                    });
                }
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(IoError::read(&self.path)(error)),
            }
        }
        Ok(bytes)
    }
}

/// Opens a file that was seen to be a regular one, so that this does not block.
pub(super) fn open(path: &Path) -> Result<File, IoError> {
    File::open(path).map_err(IoError::read(path))
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, position)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, position)
}

/// A file beside the header or below it; never elsewhere.
pub(crate) fn beside(header: &Path, file: &str, line: u64) -> Result<PathBuf, IoError> {
    let below = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
    let path = header.with_file_name(file);
    if file.is_empty() || file == "-" || file.contains('\\') || !below || path == header {
        let name = crate::error::clip(file);
        return Err(IoError::UnsafeName { path: header.to_owned(), line, name });
    }
    Ok(path)
}

/// The size of a regular file at or below the header's folder, refused where a link leads elsewhere.
fn size_below(
    header: &Path,
    path: &Path,
    line: u64,
    options: &ReadOptions,
) -> Result<u64, IoError> {
    let folder = header.parent().unwrap_or(Path::new(""));
    let mut metadata = fs::symlink_metadata(path).map_err(IoError::read(path))?;
    let mut linked = metadata.is_symlink();
    // Only in the rare case of a file in a folder below.
    for part in path.ancestors().skip(1).take_while(|part| *part != folder) {
        linked |= fs::symlink_metadata(part).map_err(IoError::read(part))?.is_symlink();
    }
    if linked {
        if !options.allow_outside_links {
            check_inside(header, path, line)?;
        }
        metadata = fs::metadata(path).map_err(IoError::read(path))?;
    }
    if !metadata.is_file() {
        return Err(IoError::NotAFile { path: path.to_owned() });
    }
    Ok(metadata.len())
}

/// Refuses a link that leads out of the header's folder. Where the header is a link too, the folder that it leads to is
/// as good.
pub(crate) fn check_inside(header: &Path, path: &Path, line: u64) -> Result<(), IoError> {
    let real = |path: &Path| fs::canonicalize(path).map_err(IoError::read(path));
    let folder = match header.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let file = real(path)?;
    if file.starts_with(real(folder)?)
        || real(header)?.parent().is_some_and(|folder| file.starts_with(folder))
    {
        return Ok(());
    }
    let name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy();
    let name = crate::error::clip(&name);
    Err(IoError::UnsafeName { path: header.to_owned(), line, name })
}

/// The file of the header's own name with the extension of the one that is missing, where there is one.
fn renamed_file(header: &Path, missing: &Path) -> Option<PathBuf> {
    let path = header.with_extension(missing.extension()?);
    (path != header && path != missing && path.is_file()).then_some(path)
}
