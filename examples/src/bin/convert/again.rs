//! What a run that goes on does again: records whose files are others now, and records that failed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Result;
use ecg_io::{ReadOptions, read_header};
use rayon::ThreadPool;
use serde::{Deserialize, Serialize};

use crate::parts::Parts;
use crate::work::Converter;

/// A file as it was when its record was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// Relative to the data folder.
    file: PathBuf,
    /// `None` where it was not there.
    bytes: Option<u64>,
    /// When it was last written, after 1970.
    modified_ns: Option<u64>,
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
        for name in signals.chain(segments).filter(|name| name != "~") {
            let file = path.with_file_name(name);
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    let relative = |file: PathBuf| file.strip_prefix(data).map(Path::to_owned).unwrap_or(file);
    files.into_iter().map(|file| Stamp::of(data, relative(file))).collect()
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
