//! Finds the recordings and tables of a folder.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Entry, PtbXlRecords};
use crate::csv::{is_table, looks_like_recording};
use crate::header::names_segments;
use crate::read::{has_extension, recording_stem};
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
/// Links that lead out of the folder are not followed, and links to folders never are (they could form a cycle). Names
/// that start with a dot are skipped.
pub(super) fn walk(root: &Path, options: &DatasetOptions) -> Result<Found, IoError> {
    let real_root = fs::canonicalize(root).map_err(IoError::read(root))?;
    let labels_file = options.labels_file.as_deref().and_then(|path| fs::canonicalize(path).ok());
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
            if kind.is_symlink() && !is_labels && !link_stays_inside(&path, &real_root, &mut found)
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

    /// Removes the recordings of PTB-XL at the rate that was not requested.
    fn choose_ptbxl(&mut self, wish: PtbXlRecords) {
        let folder_of = |entry: &Entry, name: &str| {
            entry.path.ancestors().find(|folder| folder.ends_with(name)).map(Path::to_owned)
        };
        let (keep, other) = match wish {
            PtbXlRecords::Hz100 => ("records100", "records500"),
            _ => ("records500", "records100"),
        };
        let kept: BTreeSet<PathBuf> =
            self.entries.iter().filter_map(|entry| folder_of(entry, keep)).collect();
        let mut twice: BTreeMap<PathBuf, usize> = BTreeMap::new();
        self.entries.retain(|entry| match folder_of(entry, other) {
            Some(folder) if kept.contains(&folder.with_file_name(keep)) => {
                *twice.entry(folder).or_default() += 1;
                wish == PtbXlRecords::Both
            }
            _ => true,
        });
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

fn link_stays_inside(path: &Path, real_root: &Path, found: &mut Found) -> bool {
    let reason = match fs::canonicalize(path) {
        Ok(target) if target.is_dir() => "points to a folder, not followed",
        Ok(target) if target.starts_with(real_root) => return true,
        Ok(_) => "points outside the data folder, not followed",
        Err(_) => "target does not exist",
    };
    found.warn(path, "link", reason.to_owned());
    false
}
