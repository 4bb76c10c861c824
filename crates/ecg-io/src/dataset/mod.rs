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

/// Options for opening a data set.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct DatasetOptions {
    /// Options for reading its recordings. Default: [`ReadOptions::default`].
    pub read: ReadOptions,
    /// The labels for which diagnosis codes count. Default: [`LabelMap::default`].
    pub label_map: LabelMap,
    /// The rule for normal sinus rhythm. Default: [`NsrRule::Challenge`].
    pub nsr_rule: NsrRule,
    /// The sampling rate of the recordings of PTB-XL that are present at both. Default: [`PtbXlRecords::Both`], with a
    /// warning.
    pub ptbxl_records: PtbXlRecords,
    /// A label file, or a `ptbxl_database.csv`, to use instead of those in the folder. Default: none.
    pub labels_file: Option<PathBuf>,
    /// Whether to ignore labels, for work that needs none. Only patients, folds, ages and sexes are then taken from
    /// tables, and a broken table is a warning. Default: no.
    pub ignore_labels: bool,
}

impl DatasetOptions {
    /// Sets [`DatasetOptions::read`].
    #[must_use]
    pub fn with_read(mut self, read: ReadOptions) -> Self {
        self.read = read;
        self
    }

    /// Sets [`DatasetOptions::label_map`].
    #[must_use]
    pub fn with_label_map(mut self, map: LabelMap) -> Self {
        self.label_map = map;
        self
    }

    /// Sets [`DatasetOptions::nsr_rule`].
    #[must_use]
    pub fn with_nsr_rule(mut self, rule: NsrRule) -> Self {
        self.nsr_rule = rule;
        self
    }

    /// Sets [`DatasetOptions::ptbxl_records`].
    #[must_use]
    pub fn with_ptbxl_records(mut self, records: PtbXlRecords) -> Self {
        self.ptbxl_records = records;
        self
    }

    /// Sets [`DatasetOptions::labels_file`].
    #[must_use]
    pub fn with_labels_file(mut self, file: impl Into<Option<PathBuf>>) -> Self {
        self.labels_file = file.into();
        self
    }

    /// Sets [`DatasetOptions::ignore_labels`].
    #[must_use]
    pub fn with_ignore_labels(mut self, ignore: bool) -> Self {
        self.ignore_labels = ignore;
        self
    }
}

/// The recordings of PTB-XL to use: each exists at 500 Hz in `records500` and again at 100 Hz in `records100`.
///
/// A recording that is present at only one rate is used in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PtbXlRecords {
    /// All recordings, so that each one occurs twice.
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
    /// Path relative to the data set's folder, with `/` between folders and without extension.
    pub name: String,
    /// Path of the WFDB header or CSV file.
    pub path: PathBuf,
}

/// A folder of WFDB and CSV recordings, with the data that label tables state about them.
///
/// Opening a data set reads its tables, and only as much of the headers as shows whether they have segments. Recordings
/// are read one at a time with [`Dataset::load`] or many at once with [`Dataset::for_each_parallel`]; a recording that
/// cannot be read does not affect the others.
#[derive(Debug, Clone)]
pub struct Dataset {
    root: PathBuf,
    entries: Vec<Entry>,
    names: Vec<String>,
    facts: Vec<Facts>,
    labels: LabelSet,
    source: LabelSource,
    warnings: Vec<Warning>,
    /// The tables of PTB-XL that were found, even if none of their rows is used.
    ptbxl: Vec<PathBuf>,
    options: DatasetOptions,
}

impl Dataset {
    /// Finds the recordings in a folder and its subfolders, sorted by name, and their labels.
    ///
    /// Labels come from the first of these sources that exists:
    ///
    /// 1. [`DatasetOptions::labels_file`];
    /// 2. `labels.csv` in the folder (`record`, optionally `patient` and `fold`, then one 0/1 column per label);
    /// 3. the nearest `ptbxl_database.csv` above a record;
    /// 4. the record's `#Dx:` comment.
    ///
    /// Rows are matched to records as by [`RecordTable::match_records`](crate::RecordTable::match_records). Rows that
    /// match no record, rows that name another folder than that of their record, and records without a row in
    /// `labels.csv` are reported in [`Dataset::warnings`]; so are a label map and an NSR rule that are not the default
    /// and have no effect, because labels come from a label file.
    ///
    /// Headers named by a multi-segment header are its segments and do not count as recordings.
    ///
    /// Links to files out of the folder are followed only with [`ReadOptions::allow_outside_links`], and links to
    /// folders never. Names that start with a dot are skipped.
    ///
    /// # Errors
    /// Fails if `dir` is a file or the name of a recording, or if it cannot be read or has no recordings. Also fails for
    /// a broken label table (with line and column), such as one that names a record twice, unless
    /// [`DatasetOptions::ignore_labels`] is on. So does a `labels.csv` that is not a readable file, or is a link out of
    /// the folder without [`ReadOptions::allow_outside_links`].
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
            ptbxl: found.ptbxl.into_values().collect(),
            options: options.clone(),
        })
    }

    /// Returns the number of recordings; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the recordings in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the names of the recordings in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the number of the recording with this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|own| own.as_str().cmp(name)).ok()
    }

    /// Returns the labels, in the order of label rows.
    pub fn label_set(&self) -> &LabelSet {
        &self.labels
    }

    /// Returns the source of the labels.
    pub fn label_source(&self) -> &LabelSource {
        &self.source
    }

    /// Returns the map from diagnoses to labels, which is used if no table states labels.
    pub fn label_map(&self) -> &LabelMap {
        &self.options.label_map
    }

    /// Returns the rule for normal sinus rhythm.
    pub fn nsr_rule(&self) -> NsrRule {
        self.options.nsr_rule
    }

    /// Returns the warnings that arose when the data set was opened.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Returns the labels of recording `i` as stated by a table; see [`Dataset::labels_of`] for those of comments.
    ///
    /// # Panics
    /// Panics if `i` is not below [`Dataset::len`], like all methods that take the number of a recording.
    pub fn labels(&self, i: usize) -> Option<&[bool]> {
        self.facts[i].labels.as_deref()
    }

    /// Returns the labels of recording `i`, which has been loaded as `recording`.
    ///
    /// Returns `None` if neither a table nor a `#Dx:` comment states any, or if [`DatasetOptions::ignore_labels`] is
    /// on.
    pub fn labels_of(&self, i: usize, recording: &Recording) -> Option<Vec<bool>> {
        if let Some(labels) = self.labels(i) {
            return Some(labels.to_vec());
        }
        if matches!(self.source, LabelSource::File(_) | LabelSource::Ignored) {
            return None;
        }
        self.options.label_map.labels_of(recording, self.options.nsr_rule)
    }

    /// Returns the patient of recording `i` as stated by a table; recordings of the same person share it.
    pub fn patient(&self, i: usize) -> Option<&str> {
        self.facts[i].patient.as_deref()
    }

    /// Returns the fold of recording `i` as stated by a table.
    pub fn fold(&self, i: usize) -> Option<u32> {
        self.facts[i].fold
    }

    /// Reads recording `i`, with its name in the data set. The patient is the one that a table states, if any; age and
    /// sex are taken from a table only if the recording states none.
    ///
    /// # Errors
    /// Those of [`crate::read_recording`].
    pub fn load(&self, i: usize) -> Result<Loaded, IoError> {
        self.load_with(i, &mut Scratch::default())
    }

    /// Reads recording `i` like [`Dataset::load`], reusing the buffers of the previous call.
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

    /// Reads every recording, several at a time; each has its own result, in order.
    ///
    /// `threads` of 0 means one per processor. All recordings are in memory at the end; if that is too much, use
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

    /// Reads every recording, processes several at a time, and delivers the results in order.
    ///
    /// `work` runs on `threads` threads (0: one per processor), including the caller's thread, on which `deliver` runs
    /// too. Only a few results per thread exist at a time, however many recordings there are. The first error of
    /// `deliver` ends the work.
    ///
    /// # Errors
    /// Returns the error of `deliver`.
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
