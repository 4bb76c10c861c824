//! What a run that goes on does again: records whose files are others now, and records that failed.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Result;
use ecg_io::{ReadOptions, read_header};
use rayon::ThreadPool;
use serde::{Deserialize, Serialize, Serializer};

use crate::parts::Parts;
use crate::work::Converter;

/// A file as it was when its record was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// Relative to the data folder. A name that is no text is kept as near as text comes: no file has it, so its record is
    /// done again.
    #[serde(serialize_with = "as_text")]
    file: PathBuf,
    /// `None` where it was not there.
    bytes: Option<u64>,
    /// When it was last written, after 1970.
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

/// The files of a record, by its WFDB header or CSV file.
pub fn stamps(data: &Path, path: &Path) -> Vec<Stamp> {
    let mut files = vec![path.to_owned()];
    let mut known = HashSet::from([path.to_owned()]);
    let mut read = 0;
    // The headers of segments come behind that of the record.
    while read < files.len() {
        let path = files[read].clone();
        read += 1;
        if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("hea")) {
            continue;
        }
        // One that cannot be read is all that there is to know.
        let Ok((header, _)) = read_header(&path, &ReadOptions::default()) else { continue };
        let signals = header.signals.iter().map(|signal| signal.file.clone());
        let segments = header.segments.iter().map(|segment| match segment.name.as_str() {
            "~" => "~".to_owned(),
            name => format!("{name}.hea"),
        });
        for name in signals.chain(segments).filter(|name| is_below(name)) {
            let file = path.with_file_name(&name);
            // A renamed record names its signal file as it was before; that of its own name is read then.
            let renamed = Path::new(&name).extension().map(|end| path.with_extension(end));
            let renamed = renamed.filter(|own| *own != path && !file.exists());
            files.extend(
                [Some(file), renamed]
                    .into_iter()
                    .flatten()
                    .filter(|file| known.insert(file.clone())),
            );
        }
    }
    let relative = |file: PathBuf| file.strip_prefix(data).map(Path::to_owned).unwrap_or(file);
    files.into_iter().map(|file| Stamp::of(data, relative(file))).collect()
}

/// Whether a name in a header is that of a file beside it or below, as no other is read.
fn is_below(name: &str) -> bool {
    let normal = |part| matches!(part, Component::Normal(_));
    name != "~" && !name.is_empty() && Path::new(name).components().all(normal)
}

/// Whether the files are still those.
fn unchanged(data: &Path, stamps: &[Stamp]) -> bool {
    stamps.iter().all(|stamp| Stamp::of(data, stamp.file.clone()) == *stamp)
}

/// Converts again what is in the journal and would be another now; gives how many records that are. `chosen` are the
/// records of the journal and those to come.
pub fn renew(
    parts: &mut Parts,
    pool: &ThreadPool,
    converter: &Converter<'_>,
    chosen: &[usize],
) -> Result<usize> {
    let mut others: Vec<usize> = Vec::new();
    let mut failed = BTreeMap::new();
    let mut place = 0;
    for part in parts.read()? {
        for item in part?.items {
            if !unchanged(converter.data, &item.files) {
                others.push(place);
            } else if item.failed.is_some() {
                failed.insert(chosen[place], (place, item.failed));
            }
            place += 1;
        }
    }
    // Most fail again, for the same reason, and then their part stays as it is.
    let records: Vec<usize> = failed.keys().copied().collect();
    let mut before = failed.into_values();
    converter.each(pool, &records, |item, _| {
        if let Some((place, reason)) = before.next()
            && item.failed != reason
        {
            others.push(place);
        }
        Ok(())
    })?;
    others.sort_unstable();
    if !others.is_empty() {
        parts.renew(&others, |places, deliver| {
            let records: Vec<usize> = places.iter().map(|&place| chosen[place]).collect();
            converter.each(pool, &records, deliver)
        })?;
    }
    Ok(others.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(data: &Path, header: &str) -> Vec<String> {
        let stamps = stamps(data, &data.join(header));
        stamps.iter().map(|stamp| stamp.file.display().to_string()).collect()
    }

    #[test]
    fn the_files_of_a_record_are_those_that_are_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path();
        let write = |name: &str, text: &str| fs::write(data.join(name), text).expect("writes");
        // A record that was renamed, with its signal file.
        write("S7.hea", "JS7 1 500 2\nJS7.dat 16\n");
        write("S7.dat", "four");
        assert_eq!(files(data, "S7.hea"), ["S7.hea", "JS7.dat", "S7.dat"]);
        let before = stamps(data, &data.join("S7.hea"));
        assert!(unchanged(data, &before));
        write("S7.dat", "longer");
        assert!(!unchanged(data, &before));
        // Segments, one twice, and names that are refused.
        write("m.hea", "m/5 1 500 10\na 2\na 2\n~ 2\n../x 2\n/y 2\n");
        write("a.hea", "a 1 500 2\na.dat 16\n");
        write("a.dat", "four");
        assert_eq!(files(data, "m.hea"), ["m.hea", "a.hea", "a.dat"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_text_stops_nothing() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().expect("a folder");
        let name = std::ffi::OsStr::from_bytes(b"Bj\xf6rn.csv");
        fs::write(dir.path().join(name), "I\n1\n").expect("writes");
        let own = stamps(dir.path(), &dir.path().join(name));
        assert!(own[0].bytes == Some(4) && unchanged(dir.path(), &own));
        let kept = serde_json::to_string(&own).expect("text");
        let read: Vec<Stamp> = serde_json::from_str(&kept).expect("reads back");
        assert!(!unchanged(dir.path(), &read), "done again");
    }
}
