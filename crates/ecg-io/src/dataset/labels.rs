//! Assigns labels, patients and folds to records.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ecg_core::{LabelSet, Sex};

use super::Entry;
use super::walk::{Found, LABELS_TABLE};
use crate::labels::{Matches, PtbXlTable, RecordTable, RowName, RowUse, Table};
use crate::warning::Notes;
use crate::{DatasetOptions, IoError, Warning};

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
                notes.remark(None, "labels", format!("{why}; label tables are ignored"));
                (vec![Facts::default(); found.entries.len()], notes.warnings)
            }
        };
        facts.iter_mut().for_each(|facts| facts.labels = None);
        Ok(Self { source, labels, facts, warnings })
    }

    fn from_tables(root: &Path, found: &Found, options: &DatasetOptions) -> Result<Self, IoError> {
        let file = match &options.labels_file {
            Some(file) => Some(file.clone()),
            None => label_table(root, options)?,
        };
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
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let matches = table.matches(&names);
        let mut notes = Notes::new(&path, false);
        notes.warnings = table.row_warnings(&matches, &names, "in the folder")?;
        let mut label_rows = HashSet::new();
        let mut facts = vec![Facts::default(); entries.len()];
        for (facts, found) in facts.iter_mut().zip(&matches.records) {
            let Some(row) = found.row().map(|k| &table.rows[k]) else { continue };
            let labels = Some(shared(&mut label_rows, &row.values));
            let (patient, fold) = (row.patient.as_deref().map(Into::into), row.fold);
            *facts = Facts { labels, patient, fold, ..Facts::default() };
        }
        let unlabelled: Vec<(u64, String)> = entries
            .iter()
            .zip(&facts)
            .filter(|(_, facts)| facts.labels.is_none())
            .map(|(entry, _)| (0, entry.name.clone()))
            .collect();
        notes.rows(&unlabelled, "records in the folder have no row");
        let mut warnings = notes.warnings;
        if !options.ignore_labels {
            warnings.append(&mut table.rule_warnings(&options.label_map, options.nsr_rule));
        }
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
        // The nearest table above a record applies.
        let mut records_of: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
        for (k, entry) in entries.iter().enumerate() {
            let nearest = entry.path.ancestors().skip(1).find(|own| tables.contains_key(*own));
            if let Some(folder) = nearest {
                records_of.entry(folder).or_default().push(k);
            }
        }
        for (folder, path) in tables {
            let table = PtbXlTable::read(path)?;
            let below = records_of.remove(folder.as_path()).unwrap_or_default();
            // Names as they are in the table's folder.
            let depth = folder.strip_prefix(root).map_or(0, |folder| folder.components().count());
            let name = |k: &usize| entries[*k].name.splitn(depth + 1, '/').last().unwrap_or("");
            let names: Vec<&str> = below.iter().map(name).collect();
            let rows = table.rows.iter().enumerate();
            let row_names = rows.flat_map(|(k, row)| RowName::all(k, row.names()));
            let matches = Matches::new(row_names, table.rows.len(), &names);
            for (&k, found) in below.iter().zip(&matches.records) {
                let Some(row) = found.row().map(|row| &table.rows[row]) else { continue };
                facts[k] = Facts {
                    labels: Some(shared(&mut label_rows, &map.apply_scp(&row.statements, rule))),
                    patient: row.patient.as_deref().map(Into::into),
                    fold: row.fold,
                    age_years: row.age_years,
                    sex: row.sex,
                };
            }
            let place = match tables.len() {
                1 => "in the folder",
                _ => "for which this is the nearest ptbxl_database.csv",
            };
            let row_names = |row: usize| table.rows[row].names();
            warnings.append(&mut matches.row_warnings(path, row_names, &names, place)?);
            if matches.rows.contains(&RowUse::Used) {
                used.push(path.clone());
            }
        }
        let source = if used.is_empty() { LabelSource::Comments } else { LabelSource::PtbXl(used) };
        Ok(Self { source, labels: map.labels().clone(), facts, warnings })
    }
}

/// Returns the path of `labels.csv` if the folder has anything of that name, even if it cannot be read.
fn label_table(root: &Path, options: &DatasetOptions) -> Result<Option<PathBuf>, IoError> {
    let path = root.join(LABELS_TABLE);
    let Ok(found) = fs::symlink_metadata(&path) else { return Ok(None) };
    if found.is_symlink() && !options.read.allow_outside_links {
        let real = |path: &Path| fs::canonicalize(path).map_err(IoError::read(path));
        if !real(&path)?.starts_with(real(root)?) {
            return Err(IoError::OutsideLink { path });
        }
    }
    Ok(Some(path))
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
