//! A folder of recordings with their labels.

mod files;
mod labels;
mod parallel;
mod walk;

use std::path::{Path, PathBuf};

use ecg_core::{LabelSet, Recording};

pub use labels::LabelSource;
use labels::{Facts, Labelled};

use crate::{
    IoError, LabelMap, Loaded, NsrRule, ReadOptions, Scratch, Warning, read_recording_with,
};

/// How a data set is opened.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct DatasetOptions {
    /// How its recordings are read. Default: [`ReadOptions::default`].
    pub read: ReadOptions,
    /// Which diagnosis codes count for which label. Default: [`LabelMap::default`].
    pub label_map: LabelMap,
    /// When a recording counts as normal sinus rhythm. Default: [`NsrRule::Challenge`].
    pub nsr_rule: NsrRule,
    /// Which recordings of PTB-XL are taken where it is there at both rates. Default: [`PtbXlRecords::Both`],
    /// with a warning.
    pub ptbxl_records: PtbXlRecords,
    /// A label file, or a `ptbxl_database.csv`, that takes the place of those in the folder. Default: none.
    pub labels_file: Option<PathBuf>,
    /// Whether labels are left alone, for work that needs none: of tables only patients, folds, ages and sexes count, and a
    /// broken table is a warning. Default: no.
    pub ignore_labels: bool,
}

impl DatasetOptions {
    /// Sets [`DatasetOptions::read`].
    pub fn with_read(mut self, read: ReadOptions) -> Self {
        self.read = read;
        self
    }

    /// Sets [`DatasetOptions::label_map`].
    pub fn with_label_map(mut self, map: LabelMap) -> Self {
        self.label_map = map;
        self
    }

    /// Sets [`DatasetOptions::nsr_rule`].
    pub fn with_nsr_rule(mut self, rule: NsrRule) -> Self {
        self.nsr_rule = rule;
        self
    }

    /// Sets [`DatasetOptions::ptbxl_records`].
    pub fn with_ptbxl_records(mut self, records: PtbXlRecords) -> Self {
        self.ptbxl_records = records;
        self
    }

    /// Sets [`DatasetOptions::labels_file`].
    pub fn with_labels_file(mut self, file: Option<PathBuf>) -> Self {
        self.labels_file = file;
        self
    }

    /// Sets [`DatasetOptions::ignore_labels`].
    pub fn with_ignore_labels(mut self, ignore: bool) -> Self {
        self.ignore_labels = ignore;
        self
    }
}

/// Which recordings of PTB-XL are taken: it has each at 500 Hz in `records500` and once more at 100 Hz in `records100`.
///
/// Where only one of these folders is there, its recordings are taken in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PtbXlRecords {
    /// All, so that every recording is there twice.
    #[default]
    Both,
    /// Those at 500 Hz.
    Hz500,
    /// Those at 100 Hz.
    Hz100,
}

/// One recording of a [`Dataset`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Path relative to the data set's folder, `/` between folders, without extension.
    pub name: String,
    /// The WFDB header or CSV file.
    pub path: PathBuf,
}

/// A folder of WFDB and CSV recordings, and what label tables say about them.
///
/// Opening a data set reads its tables, and of the headers whether they have segments. Recordings are read one at a time
/// with [`Dataset::load`] or many at once with [`Dataset::for_each_parallel`]; one that cannot be read does not keep the
/// others from it.
#[derive(Debug, Clone)]
pub struct Dataset {
    root: PathBuf,
    entries: Vec<Entry>,
    names: Vec<String>,
    facts: Vec<Facts>,
    labels: LabelSet,
    source: LabelSource,
    warnings: Vec<Warning>,
    options: DatasetOptions,
}

impl Dataset {
    /// Finds the recordings of a folder and below, sorted by name, and their labels.
    ///
    /// Labels come from [`DatasetOptions::labels_file`], else from `labels.csv` in the folder (columns `record`, optional
    /// `patient` and `fold`, then one 0/1 column for each label), else from the nearest `ptbxl_database.csv` above a
    /// record, else from the record's `#Dx:` comment. A row's `record` is a record's name, else a base name that only one
    /// record has: one that no row names, and that no other row matches by base name. Rows that are of no record, and
    /// records without a row, are [`Dataset::warnings`].
    ///
    /// Headers that a multi-segment header names are its segments and no recordings of their own.
    ///
    /// Links out of the folder and links to folders are not followed, names that start with a dot passed over.
    ///
    /// # Errors
    /// A folder that cannot be read or has no recording, and a broken label table (with line and column), such as one that
    /// names a record twice; not with [`DatasetOptions::ignore_labels`].
    pub fn open(dir: impl AsRef<Path>, options: &DatasetOptions) -> Result<Self, IoError> {
        let dir = dir.as_ref();
        let found = walk::walk(dir, options)?;
        if found.entries.is_empty() {
            return Err(IoError::EmptyDataset { path: dir.to_owned(), warnings: found.warnings });
        }
        let labelled = Labelled::new(dir, &found, options)?;
        let mut warnings = found.warnings;
        warnings.extend(labelled.warnings);
        Ok(Self {
            root: dir.to_owned(),
            names: found.entries.iter().map(|entry| entry.name.clone()).collect(),
            entries: found.entries,
            facts: labelled.facts,
            labels: labelled.labels,
            source: labelled.source,
            warnings,
            options: options.clone(),
        })
    }

    /// Number of recordings; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The recordings in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The names of the recordings in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of the recording of this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|own| own.as_str().cmp(name)).ok()
    }

    /// The labels, in the order of label rows.
    pub fn label_set(&self) -> &LabelSet {
        &self.labels
    }

    /// Where the labels come from.
    pub fn label_source(&self) -> &LabelSource {
        &self.source
    }

    /// Which diagnoses count for which label, where no table states labels.
    pub fn label_map(&self) -> &LabelMap {
        &self.options.label_map
    }

    /// When a recording counts as normal sinus rhythm.
    pub fn nsr_rule(&self) -> NsrRule {
        self.options.nsr_rule
    }

    /// What was found otherwise than expected when the data set was opened.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Labels of recording `i` that a table states; see [`Dataset::labels_of`] for those of comments.
    ///
    /// # Panics
    /// `i` is not below [`Dataset::len`]; so for all methods that take a number.
    pub fn labels(&self, i: usize) -> Option<&[bool]> {
        self.facts[i].labels.as_deref()
    }

    /// Labels of recording `i`, which was loaded; `None` where neither a table nor a `#Dx:` comment states any, and with
    /// [`DatasetOptions::ignore_labels`].
    pub fn labels_of(&self, i: usize, recording: &Recording) -> Option<Vec<bool>> {
        if let Some(labels) = self.labels(i) {
            return Some(labels.to_vec());
        }
        if matches!(self.source, LabelSource::File(_) | LabelSource::Ignored) {
            return None;
        }
        self.options.label_map.labels_of(recording, self.options.nsr_rule)
    }

    /// Patient of recording `i` that a table states: equal for recordings of one person.
    pub fn patient(&self, i: usize) -> Option<&str> {
        self.facts[i].patient.as_deref()
    }

    /// Fold of recording `i` that a table states.
    pub fn fold(&self, i: usize) -> Option<u32> {
        self.facts[i].fold
    }

    /// Reads recording `i`, with its name in the data set and the patient, age and sex that tables state.
    ///
    /// # Errors
    /// Those of [`crate::read_recording`].
    pub fn load(&self, i: usize) -> Result<Loaded, IoError> {
        self.load_with(i, &mut Scratch::default())
    }

    /// [`Dataset::load`] with buffers of the last recording.
    ///
    /// # Errors
    /// Those of [`read_recording_with`].
    pub fn load_with(&self, i: usize, scratch: &mut Scratch) -> Result<Loaded, IoError> {
        let entry = &self.entries[i];
        let mut loaded = read_recording_with(&entry.path, &self.options.read, scratch)?;
        let facts = &self.facts[i];
        let recording = &mut loaded.recording;
        recording.name.clone_from(&entry.name);
        if facts.patient.is_some() {
            recording.patient = facts.patient.as_deref().map(str::to_owned);
        }
        recording.age_years = recording.age_years.or(facts.age_years);
        recording.sex = recording.sex.or(facts.sex);
        Ok(loaded)
    }

    /// Reads every recording, several at once; each has its own result, in order.
    ///
    /// `threads` of 0 means one for each processor. All recordings are in memory at the end; where that is too much, use
    /// [`Dataset::for_each_parallel`].
    pub fn load_all(&self, threads: usize) -> Vec<Result<Loaded, IoError>> {
        let mut all = Vec::with_capacity(self.len());
        let done: Result<(), std::convert::Infallible> = self.for_each_parallel(
            threads,
            |_, loaded| loaded,
            |_, loaded| {
                all.push(loaded);
                Ok(())
            },
        );
        match done {
            Ok(()) => all,
        }
    }

    /// Reads every recording and works on it, several at once, and delivers what the work gives in order.
    ///
    /// `work` runs on `threads` threads (0: one for each processor), the caller's among them, on which `deliver` runs too.
    /// Only a few results for each thread exist at a time, however many recordings there are. The first error of `deliver`
    /// ends the work.
    ///
    /// # Errors
    /// That of `deliver`.
    ///
    /// # Panics
    /// Passes on a panic of `work` or `deliver`.
    pub fn for_each_parallel<T: Send, E>(
        &self,
        threads: usize,
        work: impl Fn(usize, Result<Loaded, IoError>) -> T + Sync,
        deliver: impl FnMut(usize, T) -> Result<(), E>,
    ) -> Result<(), E> {
        let work = |scratch: &mut Scratch, i| work(i, self.load_with(i, scratch));
        parallel::in_order(self.len(), threads, Scratch::default, work, deliver)
    }
}
