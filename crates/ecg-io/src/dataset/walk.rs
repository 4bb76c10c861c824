//! Finds the recordings and tables of a folder.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Entry, PtbXlRecords};
use crate::csv::{CsvOptions, is_table, looks_like_recording};
use crate::header::names_segments;
use crate::read::{has_extension, recording_file, recording_stem};
use crate::warning::Notes;
use crate::{DatasetOptions, IoError, Warning};

/// Name of the table that comes with PTB-XL.
pub(super) const PTBXL_TABLE: &str = "ptbxl_database.csv";

/// Name of the label table of a folder.
pub(super) const LABELS_TABLE: &str = "labels.csv";

/// Tables that accompany data sets and are not recordings.
pub(super) const KNOWN_TABLES: [&str; 3] = [LABELS_TABLE, PTBXL_TABLE, "scp_statements.csv"];

/// The contents of a folder.
pub(super) struct Found {
    /// Recordings, sorted by name.
    pub entries: Vec<Entry>,
    /// PTB-XL tables, by folder.
    pub ptbxl: BTreeMap<PathBuf, PathBuf>,
    pub warnings: Vec<Warning>,
}

/// Searches a folder and its subfolders for recordings.
///
/// Links to files out of the folder are followed only if outside links are allowed, and links to folders never are (they
/// could form a cycle). Names that start with a dot are skipped.
pub(super) fn walk(root: &Path, options: &DatasetOptions) -> Result<Found, IoError> {
    if let Some(error) = not_a_folder(root, &options.read.csv) {
        return Err(error);
    }
    let real_root = fs::canonicalize(root).map_err(IoError::read(root))?;
    // It may be a link to a table in the folder.
    let labels_file = options.labels_file.clone().unwrap_or_else(|| root.join(LABELS_TABLE));
    let labels_file = fs::canonicalize(labels_file).ok();
    let outside = options.read.allow_outside_links;
    let mut found = Found { entries: Vec::new(), ptbxl: BTreeMap::new(), warnings: Vec::new() };
    let (mut tables, mut segments) = (Vec::new(), HashSet::new());
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let items = match fs::read_dir(&folder) {
            Ok(items) => items,
            Err(source) if folder == root => return Err(IoError::read(root)(source)),
            Err(source) => {
                found.warn(&folder, "folder", format!("cannot be read, skipped: {source}"));
                continue;
            }
        };
        for item in items {
            let item = match item {
                Ok(item) => item,
                Err(source) if folder == root => return Err(IoError::read(root)(source)),
                Err(source) => {
                    found.warn(&folder, "folder", format!("cannot be read completely: {source}"));
                    break;
                }
            };
            let path = item.path();
            if item.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let Ok(kind) = item.file_type() else { continue };
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            // Whether the label table is followed is decided where it is read.
            let is_labels = folder == root && item.file_name() == LABELS_TABLE;
            if kind.is_symlink()
                && !is_labels
                && !is_followed(&path, &real_root, outside, &mut found)
            {
                continue;
            }
            if has_extension(&path, "hea") {
                segments.extend(names_segments(&path));
                found.add(root, path);
            } else if is_table(&path) {
                tables.push(path);
            }
        }
    }
    for path in tables {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == PTBXL_TABLE
            && let Some(folder) = path.parent()
        {
            found.ptbxl.insert(folder.to_owned(), path.clone());
        }
        let is_labels = labels_file.is_some() && fs::canonicalize(&path).ok() == labels_file;
        if is_labels || KNOWN_TABLES.contains(&name.as_ref()) {
            if name == LABELS_TABLE && !is_labels && path.parent() != Some(root) {
                let message = "label table in a subfolder, not used unless it is given explicitly";
                found.warn(&path, "record", message.to_owned());
            }
            continue;
        }
        if looks_like_recording(&path, &options.read.csv) {
            found.add(root, path);
        } else {
            found.warn(&path, "columns", "not a recording (no lead columns), skipped".to_owned());
        }
    }
    found.leave_out(segments);
    found.choose_ptbxl(options.ptbxl_records);
    // A WFDB header takes precedence over tables with the same name.
    found.entries.sort_by_cached_key(|entry| {
        let place = if has_extension(&entry.path, "hea") { 0 } else { 1 };
        (entry.name.clone(), place, entry.path.clone())
    });
    let mut doubles = Vec::new();
    found.entries.dedup_by(|later, first| {
        let double = later.name == first.name;
        if double {
            doubles.push((later.path.clone(), first.path.clone()));
        }
        double
    });
    for (later, first) in doubles {
        let message = format!("same name as {}, skipped", first.display());
        found.warn(&later, "record", message);
    }
    found.warnings.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

impl Found {
    fn add(&mut self, root: &Path, path: PathBuf) {
        let relative = path.with_file_name(recording_stem(&path));
        let relative = relative.strip_prefix(root).unwrap_or(&relative);
        let parts: Vec<_> =
            relative.components().map(|c| c.as_os_str().to_string_lossy()).collect();
        self.entries.push(Entry { name: parts.join("/"), path });
    }

    /// Removes the segments of records. A segment that itself has segments stays, so that the error is reported.
    fn leave_out(&mut self, segments: HashSet<PathBuf>) {
        if !segments.is_empty() {
            self.entries.retain(|entry| {
                !segments.contains(&entry.path) || !names_segments(&entry.path).is_empty()
            });
        }
    }

    /// Removes the recordings of PTB-XL that are also present at the rate that was requested.
    fn choose_ptbxl(&mut self, wish: PtbXlRecords) {
        const HZ_100: (&str, &str) = ("records100", "_lr");
        const HZ_500: (&str, &str) = ("records500", "_hr");
        let (keep, other) = match wish {
            PtbXlRecords::Hz100 => (HZ_100, HZ_500),
            _ => (HZ_500, HZ_100),
        };
        let kept: HashSet<(PathBuf, PathBuf)> =
            self.entries.iter().filter_map(|entry| ptbxl_key(&entry.path, keep)).collect();
        let mut twice: BTreeMap<PathBuf, usize> = BTreeMap::new();
        self.entries.retain(|entry| match ptbxl_key(&entry.path, other) {
            Some(key) if kept.contains(&key) => {
                *twice.entry(key.0.join(other.0)).or_default() += 1;
                wish == PtbXlRecords::Both
            }
            _ => true,
        });
        let keep = keep.0;
        let what = match wish {
            PtbXlRecords::Both => "appear twice",
            _ => "are left out",
        };
        for (folder, n) in twice {
            let message = format!("{n} recordings {what}: {keep} has them at another rate");
            self.warn(&folder, "sampling rate", message);
        }
    }

    fn warn(&mut self, path: &Path, field: &'static str, message: String) {
        let mut notes = Notes::new(path, false);
        notes.remark(None, field, message);
        self.warnings.append(&mut notes.warnings);
    }
}

/// Returns what a recording of PTB-XL has in common with the same one at the other rate: the folder above that of the
/// rate, and its path below the latter without extension and the ending of the rate.
fn ptbxl_key(path: &Path, (rate, ending): (&str, &str)) -> Option<(PathBuf, PathBuf)> {
    let folder = path.ancestors().find(|folder| folder.ends_with(rate))?;
    let stem = recording_stem(path);
    let below = path.strip_prefix(folder).ok()?;
    let below = below.with_file_name(stem.strip_suffix(ending).unwrap_or(&stem));
    Some((folder.parent()?.to_owned(), below))
}

/// Returns the error for a path that is a file or the name of a recording.
fn not_a_folder(path: &Path, csv: &CsvOptions) -> Option<IoError> {
    if path.is_dir() {
        return None;
    }
    let recording =
        recording_file(path).filter(|file| !is_table(file) || looks_like_recording(file, csv));
    let path = path.to_owned();
    (recording.is_some() || path.is_file()).then_some(IoError::NotAFolder { path, recording })
}

/// Returns whether a link is followed: it leads to a file in the folder, or anywhere if `outside` is set.
fn is_followed(path: &Path, real_root: &Path, outside: bool, found: &mut Found) -> bool {
    let reason = match fs::canonicalize(path) {
        Ok(target) if target.is_dir() => "points to a folder, not followed",
        Ok(target) if outside || target.starts_with(real_root) => return true,
        Ok(_) => "points outside the data folder, not followed",
        Err(_) => "target does not exist",
    };
    found.warn(path, "link", reason.to_owned());
    false
}
