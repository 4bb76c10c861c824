//! Signal files: where they may be located, and positioned reads.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Place;
use crate::warning::Notes;
use crate::{Header, IoError, ReadOptions, SignalSpec};

/// A signal file, opened on the first read.
#[derive(Debug)]
pub(crate) struct Source {
    pub path: PathBuf,
    /// The place where the header names it.
    pub named: Place,
    /// Its size in bytes.
    pub size: u64,
    /// Equal for the same file, even through links.
    pub identity: (u64, u64),
    file: Mutex<Option<Arc<File>>>,
    #[cfg(feature = "mmap")]
    map: Option<memmap2::Mmap>,
}

impl Source {
    /// Finds the file of a signal and its size. It may lie in the folder of the header `record`, or below.
    pub fn find(
        spec: &SignalSpec,
        header: &Header,
        record: &Path,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<Self, IoError> {
        let named_by = header.path.as_path();
        let mut path = beside(named_by, &spec.file, spec.line)?;
        let mut found = find_below(record, &path, named_by, spec.line, options);
        // If the header names several files, the one with its name may hold other signals.
        if let Err(IoError::Read { source, .. }) = &found
            && source.kind() == io::ErrorKind::NotFound
            && header.has_one_file()
            && let Some(renamed) = renamed_file(named_by, &path)
        {
            let message =
                format!("{:?} is missing, reading the file with the header's name", spec.file);
            notes.quirk(Some(spec.line), "file name", message)?;
            found = find_below(record, &renamed, named_by, spec.line, options);
            path = renamed;
        }
        let named = Place::new(named_by, spec.line, "file name");
        let metadata = found.map_err(|error| error.named(|| named.clone()))?;
        Ok(Self {
            #[cfg(feature = "mmap")]
            // An empty file cannot be mapped.
            map: (options.memory_map && metadata.len() > 0)
                .then(|| super::map::map(&path))
                .transpose()
                .map_err(|error| error.named(|| named.clone()))?,
            size: metadata.len(),
            identity: identity(&metadata, &path),
            named,
            path,
            file: Mutex::default(),
        })
    }

    /// Returns the open file, opening it if needed.
    fn file(&self) -> Result<Arc<File>, IoError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        match &*file {
            Some(file) => Ok(file.clone()),
            None => Ok(file.insert(Arc::new(self.open()?)).clone()),
        }
    }

    /// Closes the file; reading opens it again.
    pub fn close(&self) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Opens the file a second time, for independent reading.
    pub fn open(&self) -> Result<File, IoError> {
        open(&self.path).map_err(|error| error.named(|| self.named.clone()))
    }

    /// Returns the bytes from `start` to `end`, read into `buffer` unless the file is mapped.
    pub fn bytes<'a>(
        &'a self,
        start: u64,
        end: u64,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], IoError> {
        #[cfg(feature = "mmap")]
        if let Some(map) = &self.map {
            let bytes = map.get(start as usize..end as usize);
            return bytes.ok_or_else(|| self.truncated(end, map.len() as u64));
        }
        // The caller has compared this with the size of the file.
        let len = (end - start) as usize;
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let bytes = &mut buffer[..len];
        let file = self.file()?;
        let mut done = 0;
        while done < len {
            match read_at(&file, &mut bytes[done..], start + done as u64) {
                // The file was truncated after its size was taken.
                Ok(0) => return Err(self.truncated(end, start + done as u64)),
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(IoError::read(&self.path)(error).named(|| self.named.clone()));
                }
            }
        }
        Ok(bytes)
    }

    fn truncated(&self, expected: u64, found: u64) -> IoError {
        IoError::Truncated { path: self.path.clone(), at: self.named.clone(), expected, found }
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata, _: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata, path: &Path) -> (u64, u64) {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).hash(&mut hasher);
    (0, hasher.finish())
}

/// Opens a file that is known to be a regular one, so that this does not block.
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

/// Returns the path of a file next to the header or below it; never elsewhere.
pub(crate) fn beside(header: &Path, file: &str, line: u64) -> Result<PathBuf, IoError> {
    // `./r.dat` is `r.dat`.
    let mut parts =
        Path::new(file).components().filter(|part| *part != Component::CurDir).peekable();
    let is_name = parts.peek().is_some() && file != "-" && !file.contains('\\');
    let below = parts.clone().all(|part| matches!(part, Component::Normal(_)));
    let path = header.with_file_name(parts.collect::<PathBuf>());
    if !is_name || !below || path == header {
        let name = crate::error::clip(file);
        return Err(IoError::UnsafeName { path: header.to_owned(), line, name });
    }
    Ok(path)
}

/// Inspects a regular file in the record's folder or below, and rejects links that lead elsewhere. `header` is the
/// header that names the file, that of the record or of a segment.
pub(crate) fn find_below(
    record: &Path,
    path: &Path,
    header: &Path,
    line: u64,
    options: &ReadOptions,
) -> Result<fs::Metadata, IoError> {
    let folder = record.parent().unwrap_or(Path::new(""));
    let mut metadata = fs::symlink_metadata(path).map_err(IoError::read(path))?;
    let mut linked = metadata.is_symlink();
    // Only needed in the rare case of a file in a subfolder.
    for part in path.ancestors().skip(1).take_while(|part| *part != folder) {
        linked |= fs::symlink_metadata(part).map_err(IoError::read(part))?.is_symlink();
    }
    if linked {
        if !options.allow_outside_links {
            check_inside(record, path, header, line)?;
        }
        metadata = fs::metadata(path).map_err(IoError::read(path))?;
    }
    if !metadata.is_file() {
        return Err(IoError::NotAFile { path: path.to_owned(), at: None });
    }
    Ok(metadata)
}

/// Rejects a link that leads out of the record's folder. If the record's header is itself a link, the folder that it
/// leads to is accepted as well.
fn check_inside(record: &Path, path: &Path, header: &Path, line: u64) -> Result<(), IoError> {
    let real = |path: &Path| fs::canonicalize(path).map_err(IoError::read(path));
    let folder = match record.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let file = real(path)?;
    if file.starts_with(real(folder)?)
        || real(record)?.parent().is_some_and(|folder| file.starts_with(folder))
    {
        return Ok(());
    }
    let name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy();
    let name = crate::error::clip(&name);
    Err(IoError::UnsafeName { path: header.to_owned(), line, name })
}

/// Returns the file with the header's own name and the extension of the missing file, if it exists. It is read in place
/// of the missing file if the header names no other file.
pub(crate) fn renamed_file(header: &Path, missing: &Path) -> Option<PathBuf> {
    let path = header.with_extension(missing.extension()?);
    (path != header && path != missing && path.is_file()).then_some(path)
}
