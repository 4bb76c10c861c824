//! The annotation files next to a record.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Annotations, read_annotations};
use crate::signal::find_below;
use crate::{Header, IoError, ReadOptions};

/// Extensions of a record's other files.
const OTHERS: [&str; 18] = [
    "hea", "dat", "mat", "csv", "tsv", "txt", "gz", "npz", "npy", "json", "xws", "png", "jpg",
    "pdf", "svg", "xml", "edf", "tmp",
];

/// Names of common annotators. A file with such an extension is an annotation file, whatever it contains.
const ANNOTATORS: [&str; 12] =
    ["atr", "ari", "ann", "ecg", "qrs", "gqrs", "gqrsh", "gqrsl", "sqrs", "wqrs", "wabp", "pwave"];

/// The annotation files next to a record, sorted by name.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Siblings {
    /// The files that could be read.
    pub read: Vec<Annotations>,
    /// The errors of the files that have a common annotator's name but could not be read.
    pub failed: Vec<IoError>,
}

/// Reads every annotation file next to a record: `RECORD.atr` and the like.
///
/// A file counts if it has the record's name, is not one of its signal files, and is a valid MIT annotation file. A
/// file named after a common annotator (`atr`, `qrs`, `wabp` ...) also counts with faults, which become warnings.
/// Links are followed as those of signal files are: out of the record's folder only with
/// [`ReadOptions::allow_outside_links`].
pub fn sibling_annotations(header: &Header, options: &ReadOptions) -> Siblings {
    let mut out = Siblings::default();
    for path in candidates(header) {
        let known = is(&path, &ANNOTATORS);
        let read = || match read_annotations(&path, &options.clone().with_strict(true)) {
            Err(_) if known && !options.strict => read_annotations(&path, options),
            strict => strict,
        };
        match check_place(&path, header, options).and_then(|()| read()) {
            Ok(annotations) => out.read.push(annotations),
            Err(error) if known => out.failed.push(error),
            Err(_) => {}
        }
    }
    out
}

/// Rejects what is not a file, and links out of the record's folder unless they are allowed.
fn check_place(path: &Path, header: &Header, options: &ReadOptions) -> Result<(), IoError> {
    match find_below(&header.path, path, &header.path, 1, options) {
        Ok(_) => Ok(()),
        // The header does not name the file.
        Err(IoError::UnsafeName { .. }) => Err(IoError::OutsideLink { path: path.to_owned() }),
        Err(error) => Err(error),
    }
}

/// Files and links that have the record's name and may hold annotations.
fn candidates(header: &Header) -> Vec<PathBuf> {
    let folder = match header.path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let Some(stem) = header.path.file_stem() else { return Vec::new() };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_signal = |path: &Path| {
        let name = path.file_name();
        header.signals.iter().any(|signal| Some(OsStr::new(&signal.file)) == name)
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let path = header.path.with_file_name(entry.file_name());
            let candidate = path.file_stem() == Some(stem)
                && path.extension().is_some()
                && !is(&path, &OTHERS)
                && !is_signal(&path)
                && entry.file_type().is_ok_and(|kind| !kind.is_dir());
            candidate.then_some(path)
        })
        .collect();
    paths.sort();
    paths
}

fn is(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|own| extensions.iter().any(|e| own.eq_ignore_ascii_case(e)))
}
