//! The records that a continued run does again: those that failed, those whose files have changed, and those that are
//! now read from other files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Result;
use ecg3d_examples::Progress;
use rayon::ThreadPool;
use serde::{Deserialize, Serialize, Serializer};

use crate::parts::Parts;
use crate::work::Converter;

/// The state of a file when its record was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// Relative to the data folder. A name that is not valid text is kept as nearly as text allows; no file has
    /// that name, so its record is done again.
    #[serde(serialize_with = "as_text")]
    file: PathBuf,
    /// `None` if the file did not exist.
    bytes: Option<u64>,
    /// Time of the last change, in nanoseconds since 1970.
    modified_ns: Option<u64>,
}

fn as_text<S: Serializer>(file: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&file.to_string_lossy())
}

impl Stamp {
    fn of(data: &Path, file: PathBuf) -> Self {
        let found = fs::metadata(data.join(&file)).ok();
        let modified = found.as_ref().and_then(|found| found.modified().ok());
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            file,
            bytes: found.map(|found| found.len()),
            modified_ns: since.and_then(|since| u64::try_from(since.as_nanos()).ok()),
        }
    }
}

/// Returns the current state of a record's files; `data` is the folder of the data set.
pub fn stamps(data: &Path, files: Vec<PathBuf>) -> Vec<Stamp> {
    let relative = |file: PathBuf| file.strip_prefix(data).map(Path::to_owned).unwrap_or(file);
    files.into_iter().map(|file| Stamp::of(data, relative(file))).collect()
}

/// Converts records of the journal again whose result would differ now, and returns their number. `chosen` are
/// the records of the journal and those still to come.
pub fn renew(
    parts: &mut Parts,
    pool: &ThreadPool,
    converter: &Converter<'_>,
    chosen: &[usize],
) -> Result<usize> {
    let mut others: Vec<usize> = Vec::new();
    let mut failed = BTreeMap::new();
    let mut place = 0;
    let progress = Progress::new(parts.done() as u64, "records compared with their files");
    for part in parts.read()? {
        for item in part?.items {
            // A record may also be read from other files than before.
            if converter.stamps(chosen[place]) != item.files {
                others.push(place);
            } else if item.failed.is_some() {
                failed.insert(chosen[place], (place, item.failed));
            }
            place += 1;
            progress.inc(1);
        }
    }
    progress.finish();
    // Most fail again for the same reason. Their part then stays as it is.
    let records: Vec<usize> = failed.keys().copied().collect();
    let mut before = failed.into_values();
    let progress = Progress::new(records.len() as u64, "failed records converted again");
    converter.each(pool, &records, |item, _| {
        progress.inc(1);
        if let Some((place, reason)) = before.next()
            && item.failed != reason
        {
            others.push(place);
        }
        Ok(())
    })?;
    progress.finish();
    others.sort_unstable();
    if !others.is_empty() {
        let progress = Progress::new(others.len() as u64, "records converted again");
        parts.renew(&others, |places, deliver| {
            let records: Vec<usize> = places.iter().map(|&place| chosen[place]).collect();
            converter.each(pool, &records, |item, values| {
                progress.inc(1);
                deliver(item, values)
            })
        })?;
        progress.finish();
    }
    Ok(others.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_came_or_became_longer_is_another() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path();
        let write = |name: &str, text: &str| fs::write(data.join(name), text).expect("writes");
        write("S7.hea", "S7 1 500 2\nS7.dat 16\n");
        let now = || stamps(data, vec![data.join("S7.hea"), data.join("S7.dat")]);
        let before = now();
        assert_eq!(before[1].file, Path::new("S7.dat"));
        assert_eq!(now(), before);
        write("S7.dat", "four");
        assert_ne!(now(), before);
        let before = now();
        write("S7.dat", "longer");
        assert_ne!(now(), before);
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_text_stops_nothing() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().expect("a folder");
        let name = std::ffi::OsStr::from_bytes(b"Bj\xf6rn.csv");
        fs::write(dir.path().join(name), "I\n1\n").expect("writes");
        let own = stamps(dir.path(), vec![dir.path().join(name)]);
        assert_eq!(own[0].bytes, Some(4));
        let kept = serde_json::to_string(&own).expect("text");
        let read: Vec<Stamp> = serde_json::from_str(&kept).expect("reads back");
        assert_ne!(read, own, "done again");
    }
}
