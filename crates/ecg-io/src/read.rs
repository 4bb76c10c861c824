use std::path::{Path, PathBuf};

use ecg_core::Recording;

use crate::csv::{is_table, read_csv};
use crate::header::header_path;
use crate::record::read_wfdb_recording;
use crate::{IoError, ReadOptions, Scratch, Warning};

/// A recording, and what was read otherwise than its files say.
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

/// Reads a recording in mV: a WFDB record (`path` with or without `.hea`), or a table
/// (`.csv` or `.tsv`, also with `.gz` after it).
///
/// Units of voltage become mV; a signal in other units keeps its values, with a warning. Where WFDB signals have
/// different numbers of samples in a frame, each is averaged over its frame, and [`Recording::adc`] is empty.
/// The recording is named after its file.
///
/// # Errors
/// No recording there; for WFDB the errors of [`crate::read_wfdb`], for CSV those of [`crate::read_csv`].
pub fn read_recording(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Loaded, IoError> {
    read_recording_with(path, options, &mut Scratch::default())
}

/// [`read_recording`] with buffers of the last recording, so that only what is returned is allocated for a WFDB record's
/// samples.
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

/// Which file a recording's path means.
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
    // A signal file stands for its record.
    let sibling = path.with_extension("hea");
    if ["dat", "mat"].iter().any(|e| has_extension(path, e)) && sibling.is_file() {
        return Ok(Source::Wfdb(sibling));
    }
    Err(IoError::NoSuchRecord { path: path.to_owned(), header })
}

/// The name of a recording by its file: without extension, and without `.gz` before that.
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
