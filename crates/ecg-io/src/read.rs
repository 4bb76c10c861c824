use std::path::{Path, PathBuf};

use ecg_core::Recording;

use crate::csv::{is_table, read_csv};
use crate::header::header_path;
use crate::record::read_wfdb_recording;
use crate::{IoError, ReadOptions, Scratch, Warning};

/// A recording with the warnings that arose while it was read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Loaded {
    /// The recording.
    pub recording: Recording,
    /// The WFDB header or CSV file that was read.
    pub path: PathBuf,
    /// Departures from the format that were read leniently, and assumptions that were made.
    pub warnings: Vec<Warning>,
}

/// Reads a recording in mV from a WFDB record (`path` with or without `.hea`) or a table (`.csv` or `.tsv`, optionally
/// followed by `.gz`).
///
/// Voltage units are converted to mV; a signal in other units keeps its values, with a warning. If the signals of a
/// WFDB record have different numbers of samples per frame, each is averaged over its frame. [`Recording::adc`] is then
/// empty, and also for a multi-segment record. The recording is named after its file.
///
/// [`Record::recording`](crate::Record::recording) reads a part of a WFDB record.
///
/// # Errors
/// Fails if there is no recording at `path`. WFDB records also fail with the errors of [`crate::read_wfdb`], tables
/// with those of [`crate::read_csv`].
pub fn read_recording(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Loaded, IoError> {
    read_recording_with(path, options, &mut Scratch::default())
}

/// Reads a recording like [`read_recording`], reusing the buffers of the previous call.
///
/// For the samples of a WFDB record, only the memory that is returned is allocated.
///
/// # Errors
/// Those of [`read_recording`].
pub fn read_recording_with(
    path: impl AsRef<Path>,
    options: &ReadOptions,
    scratch: &mut Scratch,
) -> Result<Loaded, IoError> {
    let path = path.as_ref();
    match locate(path)? {
        Source::Wfdb(header) => read_wfdb_recording(&header, options, scratch),
        Source::Csv(file) => read_csv(&file, options),
    }
}

/// The file that the path of a recording refers to.
enum Source {
    Wfdb(PathBuf),
    Csv(PathBuf),
}

fn locate(path: &Path) -> Result<Source, IoError> {
    if has_extension(path, "hea") {
        return Ok(Source::Wfdb(path.to_owned()));
    }
    if is_table(path) {
        return Ok(Source::Csv(path.to_owned()));
    }
    let header = header_path(path);
    if header.is_file() {
        return Ok(Source::Wfdb(header));
    }
    for extension in [".csv", ".tsv", ".csv.gz", ".tsv.gz"] {
        let mut table = path.as_os_str().to_owned();
        table.push(extension);
        let table = PathBuf::from(table);
        if table.is_file() {
            return Ok(Source::Csv(table));
        }
    }
    // The path of a signal file refers to its record.
    let sibling = path.with_extension("hea");
    if ["dat", "mat"].iter().any(|e| has_extension(path, e)) && sibling.is_file() {
        return Ok(Source::Wfdb(sibling));
    }
    Err(IoError::NoSuchRecord { path: path.to_owned(), header })
}

/// Returns the WFDB header or table of the recording at a path, if there is one.
pub(crate) fn recording_file(path: &Path) -> Option<PathBuf> {
    let (Source::Wfdb(file) | Source::Csv(file)) = locate(path).ok()?;
    file.is_file().then_some(file)
}

/// Returns the name of a recording from its file: without extension, and without a preceding `.gz`.
pub(crate) fn recording_stem(path: &Path) -> String {
    let path = if is_table(path) && has_extension(path, "gz") {
        path.with_extension("")
    } else {
        path.to_owned()
    };
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

pub(crate) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
}
