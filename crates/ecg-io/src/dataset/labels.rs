//! Assigns labels, patients and folds to records.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ecg_core::{LabelSet, Sex};

use super::Entry;
use super::walk::{Found, LABELS_TABLE};
use crate::labels::{PtbXlTable, RecordRow, RecordTable, Table};
use crate::warning::Notes;
use crate::{DatasetOptions, IoError, NsrRule, Warning};

/// Source of the labels of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelSource {
    /// A label file with 0/1 columns, used as it is.
    File(PathBuf),
    /// PTB-XL's own table; records missing from it are labelled by their `#Dx:` comments.
    PtbXl(Vec<PathBuf>),
    /// The `#Dx:` comment of each record.
    Comments,
    /// None: [`DatasetOptions::ignore_labels`] is on.
    Ignored,
}

impl fmt::Display for LabelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::PtbXl(tables) => {
                let tables: Vec<_> = tables.iter().map(|t| t.display().to_string()).collect();
                write!(f, "{}, otherwise the #Dx: comments", tables.join(", "))
            }
            Self::Comments => f.write_str("the #Dx: comments of the records"),
            Self::Ignored => f.write_str("no source, as labels are ignored"),
        }
    }
}

/// The data that tables state about one record.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Facts {
    /// Records with the same labels share one row.
    pub labels: Option<Arc<[bool]>>,
    pub patient: Option<Box<str>>,
    pub fold: Option<u32>,
    pub age_years: Option<f64>,
    pub sex: Option<Sex>,
}

pub(super) struct Labelled {
    pub source: LabelSource,
    pub labels: LabelSet,
    /// One entry per record, in order.
    pub facts: Vec<Facts>,
    pub warnings: Vec<Warning>,
}

impl Labelled {
    pub fn new(root: &Path, found: &Found, options: &DatasetOptions) -> Result<Self, IoError> {
        let labelled = Self::from_tables(root, found, options);
        if !options.ignore_labels {
            return labelled;
        }
        let (source, labels) = (LabelSource::Ignored, options.label_map.labels().clone());
        let (mut facts, warnings) = match labelled {
            Ok(own) => (own.facts, own.warnings),
            Err(error) => {
                let mut notes = Notes::new(root, false);
                let why = error.with_causes();
                notes.remark(None, "labels", format!("{why}; label tables are left out"));
                (vec![Facts::default(); found.entries.len()], notes.warnings)
            }
        };
        facts.iter_mut().for_each(|facts| facts.labels = None);
        Ok(Self { source, labels, facts, warnings })
    }

    fn from_tables(root: &Path, found: &Found, options: &DatasetOptions) -> Result<Self, IoError> {
        let beside = root.join(LABELS_TABLE);
        let file = options.labels_file.clone().or_else(|| beside.is_file().then_some(beside));
        let Some(path) = file else {
            return Self::from_ptbxl(root, &found.entries, &found.ptbxl, options);
        };
        let table = Table::read(&path)?;
        if table.column("scp_codes").is_some() {
            let everywhere = BTreeMap::from([(root.to_owned(), path)]);
            return Self::from_ptbxl(root, &found.entries, &everywhere, options);
        }
        let table = if options.ignore_labels {
            RecordTable::without_labels(&table)?
        } else {
            RecordTable::of_labels(&table)?
        };
        Self::from_file(path, table, &found.entries, options)
    }

    fn from_file(
        path: PathBuf,
        table: RecordTable<bool>,
        entries: &[Entry],
        options: &DatasetOptions,
    ) -> Result<Self, IoError> {
        let mut notes = Notes::new(&path, false);
        let matches = matches_of(&table.rows, entries);
        let mut by_base = vec![0_usize; entries.len()];
        for found in &matches {
            if let Match::Base(index) = found {
                by_base[*index] += 1;
            }
        }
        let mut facts = vec![Facts::default(); entries.len()];
        let mut label_rows = HashSet::new();
        let (mut absent, mut elsewhere) = (Vec::new(), Vec::new());
        let (mut ambiguous, mut rivals) = (Vec::new(), Vec::new());
        // The line of each record's row, from 1.
        let mut lines = vec![0; entries.len()];
        for (row, found) in table.rows.into_iter().zip(matches) {
            let named = || (row.line, row.full_name().into_owned());
            let index = match found {
                Match::Path(index) => index,
                Match::Base(index) if by_base[index] > 1 => {
                    rivals.push(named());
                    continue;
                }
                Match::Base(index) => {
                    // Neither a bare name nor a path from another root.
                    let same = |name: &str| may_be_the_same(name, &entries[index].name);
                    if !same(&row.record) && !same(&row.full_name()) {
                        elsewhere.push(named());
                    }
                    index
                }
                Match::Absent => {
                    absent.push(named());
                    continue;
                }
                Match::Several => {
                    ambiguous.push(named());
                    continue;
                }
            };
            // The same record is named with and without an extension.
            let first = std::mem::replace(&mut lines[index], row.line);
            if first > 0 {
                let (line, record) = named();
                return Err(IoError::DuplicateRow { path: path.clone(), line, record, first });
            }
            let labels = Some(shared(&mut label_rows, &row.values));
            let (patient, fold) = (row.patient.map(Into::into), row.fold);
            facts[index] = Facts { labels, patient, fold, ..Facts::default() };
        }
        note_rows(&mut notes, &absent, "rows name no record of the folder");
        note_rows(&mut notes, &elsewhere, "rows name other folders, and are taken by base name");
        note_rows(&mut notes, &ambiguous, "rows name several records of the folder");
        note_rows(&mut notes, &rivals, "rows match a record by a base name that others have too");
        let unlabelled: Vec<(u64, String)> = entries
            .iter()
            .zip(&facts)
            .filter(|(_, facts)| facts.labels.is_none())
            .map(|(entry, _)| (0, entry.name.clone()))
            .collect();
        note_rows(&mut notes, &unlabelled, "records of the folder have no row");
        if options.nsr_rule != NsrRule::Challenge {
            let message = format!("the NSR rule {} does not change a label file", options.nsr_rule);
            notes.remark(None, "NSR", message);
        }
        let warnings = notes.warnings;
        Ok(Self { source: LabelSource::File(path), labels: table.labels, facts, warnings })
    }

    fn from_ptbxl(
        root: &Path,
        entries: &[Entry],
        tables: &BTreeMap<PathBuf, PathBuf>,
        options: &DatasetOptions,
    ) -> Result<Self, IoError> {
        let (map, rule) = (&options.label_map, options.nsr_rule);
        let mut facts = vec![Facts::default(); entries.len()];
        let (mut used, mut label_rows) = (Vec::new(), HashSet::new());
        let mut warnings = Vec::new();
        for (folder, path) in tables {
            let table = PtbXlTable::read(path)?;
            let mut hit = vec![false; table.rows.len()];
            for (entry, facts) in entries.iter().zip(&mut facts) {
                // The nearest table above the record applies; deeper folders come later in the map.
                if !(folder == root || entry.path.starts_with(folder)) {
                    continue;
                }
                let Some(index) = table.find(base_name(&entry.name)) else { continue };
                let row = &table.rows[index];
                hit[index] = true;
                *facts = Facts {
                    labels: Some(shared(&mut label_rows, &map.apply_scp(&row.statements, rule))),
                    patient: row.patient.as_deref().map(Into::into),
                    fold: row.fold,
                    age_years: row.age_years,
                    sex: row.sex,
                };
            }
            let absent: Vec<(u64, String)> = table
                .rows
                .iter()
                .zip(&hit)
                .filter(|(_, hit)| !**hit)
                .map(|(row, _)| (row.line, format!("of line {}", row.line)))
                .collect();
            let mut notes = Notes::new(path, false);
            note_rows(&mut notes, &absent, "rows name no record of the folder");
            warnings.append(&mut notes.warnings);
            if hit.contains(&true) {
                used.push(path.clone());
            }
        }
        let source = if used.is_empty() { LabelSource::Comments } else { LabelSource::PtbXl(used) };
        Ok(Self { source, labels: map.labels().clone(), facts, warnings })
    }
}

/// How a row of a label file identifies a record.
enum Match {
    /// By the record's name.
    Path(usize),
    /// By a base name that no other record has, of a record that no row names in full.
    Base(usize),
    /// By a base name that several records have.
    Several,
    Absent,
}

/// Returns the record that each row identifies.
fn matches_of(rows: &[RecordRow<bool>], entries: &[Entry]) -> Vec<Match> {
    let mut by_base: Vec<usize> = (0..entries.len()).collect();
    by_base.sort_by_key(|&i| base_name(&entries[i].name));
    let place = |name: &str| entries.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok();
    // What looks like an extension may be the end of the record's own name.
    let by_name = |row: &RecordRow<bool>| place(&row.full_name()).or_else(|| place(&row.record));
    let by_path: HashSet<usize> = rows.iter().filter_map(by_name).collect();
    // Returns one record with this base name, or two if there are several.
    let of_base = |wish: &str| {
        let below = |i: &usize| base_name(&entries[*i].name) < wish;
        let base = &by_base[by_base.partition_point(below)..];
        let equal = base.iter().take(2).filter(|&&i| base_name(&entries[i].name) == wish);
        &base[..equal.count()]
    };
    let of_row = |row: &RecordRow<bool>| {
        if let Some(index) = by_name(row) {
            return Match::Path(index);
        }
        let base = match of_base(base_name(&row.full_name())) {
            [] => of_base(base_name(&row.record)),
            full => full,
        };
        match base {
            [] => Match::Absent,
            [index] if by_path.contains(index) => Match::Absent,
            [index] => Match::Base(*index),
            _ => Match::Several,
        }
    };
    rows.iter().map(of_row).collect()
}

/// Returns the shared row with these labels.
fn shared(rows: &mut HashSet<Arc<[bool]>>, labels: &[bool]) -> Arc<[bool]> {
    if let Some(known) = rows.get(labels) {
        return known.clone();
    }
    let new: Arc<[bool]> = labels.into();
    rows.insert(new.clone());
    new
}

/// Adds one warning for many rows, with the first few names.
fn note_rows(notes: &mut Notes<'_>, rows: &[(u64, String)], what: &str) {
    let Some((line, _)) = rows.first() else { return };
    let mut names: Vec<&str> = rows.iter().take(3).map(|(_, name)| name.as_str()).collect();
    if rows.len() > names.len() {
        names.push("...");
    }
    let message = format!("{} {what}: {}", rows.len(), names.join(", "));
    notes.remark((*line > 0).then_some(*line), "record", message);
}

/// Returns whether two paths with the same base name can refer to the same record: one must end with the other.
fn may_be_the_same(a: &str, b: &str) -> bool {
    let (long, short) = if a.len() > b.len() { (a, b) } else { (b, a) };
    long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

pub(super) fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
