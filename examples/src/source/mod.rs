//! Loads the data that `--data` names: a folder of recordings, or an `.npz` that `convert` wrote.

mod archive;
mod folder;
mod labels;
mod numpy;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use ecg_core::{LabelSet, LeadName};
use ecg_io::{Dataset, RecordTable, Warning};
use ecg3d_convert::{ConvertConfig, ConvertError, ImagePlan};
use ndarray::{Array, Array2, Array3, Array4, Axis, RemoveAxis, Slice};
use serde::{Deserialize, Serialize};

use self::archive::load_npz;
use self::folder::load_folder;
pub use self::labels::{LabelArgs, label_map};
use crate::{check_inputs, check_place, say_err, status};

/// A record that could not be used, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The record's name.
    pub record: String,
    /// The error, cause after cause.
    pub reason: String,
}

impl Failed {
    /// Returns a record for which a network gave probabilities that are not finite.
    pub fn not_finite(record: &str) -> Self {
        let reason = "its probabilities are not finite; check it for NaN or extreme values";
        Self { record: record.to_owned(), reason: reason.to_owned() }
    }
}

/// Returns the exit status of a program that went on with the other records, see [`status`].
pub fn exit_code(failed: &[Failed]) -> ExitCode {
    status(!failed.is_empty())
}

/// What a program needs of its data, beyond the preprocessing. By default, an `.npz` may hold any rows, and nothing
/// needs labels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs<'a> {
    /// The labels of the weights. They name the columns of `labels` in an `.npz` without a manifest, which are the
    /// seven otherwise.
    pub labels: Option<&'a LabelSet>,
    /// Whether every record needs these labels, as in [`Source::require_labels`]. A folder whose label table lacks
    /// some is then refused before all of it is read.
    pub every_record: bool,
    /// Who takes only prepared signals with one row for each record, for the message that refuses an `.npz` of other
    /// rows before they are read.
    pub prepared: Option<&'static str>,
}

/// The rows of a source, by kind.
#[derive(Debug, Clone)]
pub enum Rows {
    /// Prepared signals `[record, lead, sample]` and the number of real samples in each.
    Prepared {
        /// `[record, lead, sample]`, padded with zeros after the end of a record.
        signals: Array3<f32>,
        /// Number of real samples of each record.
        lengths: Vec<usize>,
    },
    /// Lead images `[record, lead, height, width]`.
    Images(Array4<f32>),
    /// Volumes `[record, depth, height, width]`.
    Volumes(Array4<f32>),
}

impl Rows {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Prepared { signals, .. } => signals.len_of(Axis(0)),
            Self::Images(rows) | Self::Volumes(rows) => rows.len_of(Axis(0)),
        }
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A data set in memory.
#[derive(Debug, Clone)]
pub struct Source {
    /// The input of the networks: one row per record, unless `row_record` says otherwise.
    pub rows: Rows,
    /// The record of each row, as an index of `names`, if a record has a row for each window.
    pub row_record: Option<Vec<usize>>,
    /// Record names in order.
    pub names: Vec<String>,
    /// The leads of each record's prepared signal, in the order of its rows; empty for an archive, which does not
    /// name them.
    pub leads: Vec<Vec<LeadName>>,
    /// Labels in the order of the columns of `labels`.
    pub label_set: LabelSet,
    /// The labels of each record, if known.
    pub labels: Vec<Option<Vec<bool>>>,
    /// The patient of each record, if known.
    pub patients: Vec<Option<String>>,
    /// The fold in which a label table puts the record.
    pub folds: Vec<Option<u32>>,
    /// The records that could not be used.
    pub failed: Vec<Failed>,
    /// Description of where the labels come from.
    pub label_source: String,
    /// How an archive has other windows than the configuration that it was loaded for.
    other_windows: Option<String>,
    /// Names of the records that an archive leaves out.
    left_out: Vec<String>,
    /// Whether an archive is a share of a data set, the names of whose other records are unknown.
    is_share: bool,
}

impl Source {
    /// Returns records, each with a row, of which nothing else is known.
    pub fn unlabelled(names: Vec<String>, rows: Rows) -> Self {
        let records = names.len();
        Self {
            rows,
            row_record: None,
            names,
            leads: Vec::new(),
            label_set: LabelSet::default(),
            labels: vec![None; records],
            patients: vec![None; records],
            folds: vec![None; records],
            failed: Vec::new(),
            label_source: "nowhere".to_owned(),
            other_windows: None,
            left_out: Vec::new(),
            is_share: false,
        }
    }

    /// Returns an identifier of the patient of each record. If the patient is unknown, this is the record's own name,
    /// with something added if a known patient is called the same.
    pub fn patient_ids(&self) -> Vec<String> {
        let known: HashSet<&str> = self.patients.iter().flatten().map(String::as_str).collect();
        let names: HashSet<&str> = self.names.iter().map(String::as_str).collect();
        let id = |(record, (patient, name)): (usize, (&Option<String>, &String))| {
            let mut id = patient.as_ref().unwrap_or(name).clone();
            if patient.is_none() && known.contains(name.as_str()) {
                while known.contains(id.as_str()) || names.contains(id.as_str()) {
                    id = format!("{id}#{record}");
                }
            }
            id
        };
        self.patients.iter().zip(&self.names).enumerate().map(id).collect()
    }

    /// Returns the columns of the labels `wanted` in `labels`.
    ///
    /// # Errors
    /// Returns an error if the source does not have one of the labels.
    pub fn columns_of(&self, wanted: &LabelSet) -> Result<Vec<usize>> {
        let column = |label| {
            self.label_set.index_of(label).with_context(|| {
                format!(
                    "label {label} is not among the labels of {}: {}",
                    self.label_source, self.label_set
                )
            })
        };
        wanted.iter().map(column).collect()
    }

    /// Returns the labels `[record, label]` in the order of `wanted`.
    ///
    /// # Errors
    /// Returns an error if a record has no labels, or if the source does not have one of the labels.
    pub fn require_labels(&self, wanted: &LabelSet) -> Result<Array2<bool>> {
        let columns = self.columns_of(wanted)?;
        let own: Vec<&Vec<bool>> = self.labels.iter().flatten().collect();
        let records = self.names.iter().zip(&self.labels);
        let lacking = records.filter(|(_, own)| own.is_none()).map(|(name, _)| name.as_str());
        let lacking: Vec<&str> = lacking.collect();
        ensure!(lacking.is_empty() || !own.is_empty(), self.no_labels());
        if let [first, others @ ..] = &lacking[..] {
            bail!(self.some_without_labels(first, others.len()));
        }
        let label = |(record, label): (usize, usize)| own[record][columns[label]];
        Ok(Array2::from_shape_fn((own.len(), columns.len()), label))
    }

    /// Takes labels, patients and folds from a table, which may cover only some of the records.
    ///
    /// Rows are matched to records as by [`RecordTable::matches`], in a share of a data set by full names only.
    /// Returns warnings about rows that belong to no record, or that name another folder than their record's.
    ///
    /// # Errors
    /// Returns an error if two rows name the same record.
    fn label_by(&mut self, table: RecordTable<bool>) -> Result<Vec<Warning>> {
        // Rows of records that failed are known, too.
        let failed = self.failed.iter().map(|failed| &failed.record).chain(&self.left_out);
        let names: Vec<&String> = self.names.iter().chain(failed).collect();
        let mut found = table.matches(&names);
        // A record of another share may have the same base name.
        let unclear = self.is_share && found.drop_base_names();
        let mut warnings = table.row_warnings(&found, &names, "in the archive")?;
        if let Some(absent) = warnings.first_mut().filter(|_| unclear) {
            absent.message.push_str("; in a share, a row needs the full name");
        }
        for (record, row) in found.records.iter().take(self.names.len()).enumerate() {
            let row = row.row().map(|k| &table.rows[k]);
            self.labels[record] = row.map(|row| row.values.clone());
            self.folds[record] = row.and_then(|row| row.fold);
            if let Some(patient) = row.and_then(|row| row.patient.clone()) {
                self.patients[record] = Some(patient);
            }
        }
        self.label_set = table.labels;
        self.label_source = table.path.display().to_string();
        Ok(warnings)
    }

    /// Moves records without labels to `failed`: they cannot be used for training or evaluation.
    ///
    /// # Errors
    /// Returns an error if no record has labels.
    pub fn drop_unlabelled(&mut self) -> Result<()> {
        let labelled = self.fail_unlabelled()?;
        if labelled.contains(&false) {
            self.keep_records(&labelled);
        }
        Ok(())
    }

    /// Says that no record has labels, and where they may come from.
    fn no_labels(&self) -> String {
        let advice = if self.is_share {
            "provide a table of full names with --labels, or join the shares first (convert --join)"
        } else {
            "provide a table with --labels, or put labels.csv into the folder"
        };
        format!("no record has labels in {}; {advice}", self.label_source)
    }

    /// Says that a record and some more have no labels.
    fn some_without_labels(&self, first: &str, more: usize) -> String {
        let source = &self.label_source;
        match more {
            0 => format!(
                "record {first} has no labels in {source}; add labels for it, or leave this recording out"
            ),
            _ => format!(
                "record {first} and {more} more have no labels in {source}; add labels for them, or leave these recordings out"
            ),
        }
    }

    /// Adds the records without labels to `failed` and marks the others. All stay, as do their rows.
    ///
    /// # Errors
    /// Returns an error if no record has labels.
    pub fn fail_unlabelled(&mut self) -> Result<Vec<bool>> {
        let labelled: Vec<bool> = self.labels.iter().map(Option::is_some).collect();
        ensure!(labelled.contains(&true), self.no_labels());
        let reason = format!("no labels in {}", self.label_source);
        let unlabelled = self.names.iter().zip(&labelled).filter(|(_, labelled)| !**labelled);
        self.failed.extend(
            unlabelled.map(|(name, _)| Failed { record: name.clone(), reason: reason.clone() }),
        );
        Ok(labelled)
    }

    /// Moves records without a fold to `failed`: they cannot be divided by the folds of a label table.
    ///
    /// # Errors
    /// Returns an error if no record has a fold.
    pub fn drop_without_fold(&mut self) -> Result<()> {
        let source = &self.label_source;
        ensure!(
            self.folds.iter().any(Option::is_some),
            "no record has a fold in {source}; --split labels needs a label table with a column fold"
        );
        let reason = format!("no fold in {source}");
        let reasons = self.folds.iter().map(|fold| fold.is_none().then(|| reason.clone()));
        let reasons = reasons.collect();
        self.set_aside(reasons);
        Ok(())
    }

    /// Moves records to `failed` whose signals have samples too large for volumes. Signals whose shape is not
    /// the plan's are left to their user to refuse.
    ///
    /// # Errors
    /// Returns an error if no record is left.
    pub fn drop_without_volumes(&mut self, plan: &ImagePlan) -> Result<()> {
        let (Rows::Prepared { signals, .. }, None) = (&self.rows, &self.row_record) else {
            return Ok(());
        };
        let reason = |signal| match plan.check_samples(signal) {
            Err(error @ ConvertError::Overflow { .. }) => Some(error.to_string()),
            _ => None,
        };
        let reasons = signals.outer_iter().map(reason).collect();
        self.set_aside(reasons);
        if self.names.is_empty() {
            self.report_failures();
            bail!("cannot make volumes from any record");
        }
        Ok(())
    }

    /// Moves the records for which there is a reason, and their rows, to `failed`.
    fn set_aside(&mut self, reasons: Vec<Option<String>>) {
        let kept: Vec<bool> = reasons.iter().map(Option::is_none).collect();
        if !kept.contains(&false) {
            return;
        }
        for (name, reason) in self.names.iter().zip(reasons) {
            self.failed.extend(reason.map(|reason| Failed { record: name.clone(), reason }));
        }
        self.keep_records(&kept);
    }

    /// Marks the rows that contain NaN or an infinity, which networks may turn into probabilities that look sound,
    /// and returns the beginning of a description.
    fn rows_not_finite(&self) -> (Vec<bool>, &'static str) {
        match &self.rows {
            Rows::Prepared { signals, .. } => (not_finite(signals), "prepared signal holds"),
            Rows::Images(images) => (not_finite(images), "images hold"),
            Rows::Volumes(volumes) => (not_finite(volumes), "volume holds"),
        }
    }

    /// Marks the records that have no row.
    fn records_without_rows(&self) -> Vec<bool> {
        let with = self.records_of(&vec![true; self.rows.len()]);
        with.into_iter().map(|with| !with).collect()
    }

    /// Marks the records that have a marked row.
    fn records_of(&self, rows: &[bool]) -> Vec<bool> {
        let Some(records) = &self.row_record else { return rows.to_vec() };
        let mut marked = vec![false; self.names.len()];
        for (&record, _) in records.iter().zip(rows).filter(|(_, marked)| **marked) {
            marked[record] = true;
        }
        marked
    }

    /// Removes all records except the marked ones, and their rows.
    fn keep_records(&mut self, marked: &[bool]) {
        let record_of = |row: usize| self.row_record.as_ref().map_or(row, |records| records[row]);
        let rows: Vec<usize> = (0..self.rows.len()).filter(|&row| marked[record_of(row)]).collect();
        let kept: Vec<usize> = (0..marked.len()).filter(|&record| marked[record]).collect();
        let new_place = |old: usize| kept.partition_point(|&record| record < old);
        let row_record = self
            .row_record
            .as_ref()
            .map(|records| rows.iter().map(|&row| new_place(records[row])).collect());
        match &mut self.rows {
            Rows::Prepared { signals, lengths } => {
                keep_rows(signals, &rows);
                *lengths = rows.iter().map(|&row| lengths[row]).collect();
            }
            Rows::Images(array) | Rows::Volumes(array) => keep_rows(array, &rows),
        }
        self.row_record = row_record;
        fn keep<T>(values: &mut Vec<T>, marked: &[bool]) {
            let mut marked = marked.iter();
            values.retain(|_| marked.next() == Some(&true));
        }
        keep(&mut self.names, marked);
        keep(&mut self.leads, marked);
        keep(&mut self.labels, marked);
        keep(&mut self.patients, marked);
        keep(&mut self.folds, marked);
    }

    /// Reports on standard error which records failed, and how many.
    pub fn report_failures(&self) {
        self.report_failures_beside(self.names.len());
    }

    /// Reports the same if some of the remaining records are among those that failed; `used` is the number of
    /// records used.
    pub fn report_failures_beside(&self, used: usize) {
        for failed in &self.failed {
            say_err!("failed: {}: {}", failed.record, failed.reason);
        }
        if !self.failed.is_empty() {
            say_err!("{used} records used, {} failed", self.failed.len());
        }
    }

    /// Returns the exit status of the program, see [`exit_code`].
    pub fn exit_code(&self) -> ExitCode {
        exit_code(&self.failed)
    }
}

/// Keeps rows of an array, whose numbers are in ascending order: in place if the array is in the usual order,
/// because it may be all that fits into memory.
fn keep_rows<D: RemoveAxis>(array: &mut Array<f32, D>, rows: &[usize]) {
    let size = array.len() / array.len_of(Axis(0)).max(1);
    let Some(values) = array.as_slice_mut() else {
        *array = array.select(Axis(0), rows);
        return;
    };
    for (new, &old) in rows.iter().enumerate() {
        values.copy_within(old * size..(old + 1) * size, new * size);
    }
    array.slice_axis_inplace(Axis(0), Slice::from(..rows.len()));
}

/// Marks the rows that contain NaN or an infinity.
fn not_finite<D: RemoveAxis>(rows: &Array<f32, D>) -> Vec<bool> {
    rows.outer_iter().map(|row| row.iter().any(|value| !value.is_finite())).collect()
}

/// Returns whether a path is taken for an archive that `convert` wrote.
pub fn is_npz(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz"))
}

/// Returns the path of the manifest of an `.npz`.
fn manifest(npz: &Path) -> PathBuf {
    npz.with_extension("json")
}

/// Returns whether the labels of [`Needs::labels`] name the columns of `data`: those of an `.npz` without a manifest, if
/// no table is given in their place.
pub fn has_unnamed_labels(data: &Path, labels: &LabelArgs) -> bool {
    is_npz(data) && labels.labels.is_none() && !manifest(data).exists()
}

/// Loads a folder of recordings, prepared according to `config`, or an `.npz`, of which a warning says if it has other
/// windows than a network of this `config` would get of the recordings.
///
/// # Errors
/// The errors of [`load_of_any_length`].
pub fn load(
    data: &Path,
    config: &ConvertConfig,
    labels: &LabelArgs,
    needs: Needs<'_>,
) -> Result<Source> {
    let source = load_of_any_length(data, config, labels, needs)?;
    if let Some(difference) = &source.other_windows {
        say_err!(
            "warning: {} has other windows than the weights use ({difference}); probabilities may differ from those of the recordings",
            data.display()
        );
    }
    Ok(source)
}

/// Loads the same without that warning, for training and for baselines, which use signals of whatever length.
///
/// # Errors
/// Returns an error in these cases:
/// - A folder has no recordings, or every record of it failed.
/// - An `.npz` was not made with `config`, or its manifest does not have a patient or a fold for each record.
/// - Flags are given that have no effect on an `.npz`.
/// - Labels that are not ignored are not 0 or 1, or a table of them names a record twice.
/// - The data cannot meet `needs`, as far as that is known before all of it is read.
pub fn load_of_any_length(
    data: &Path,
    config: &ConvertConfig,
    labels: &LabelArgs,
    needs: Needs<'_>,
) -> Result<Source> {
    labels.check(data)?;
    if !is_npz(data) {
        return load_folder(data, config, labels, needs);
    }
    // Before the arrays of the archive, which take longest to read.
    let table = label_table(labels)?;
    let mut source = load_npz(data, config, table.is_none() && !labels.ignore, needs)?;
    if let Some((table, mut warnings)) = table {
        warnings.append(&mut source.label_by(table)?);
        warnings.iter().for_each(|warning| say_err!("warning: {warning}"));
    }
    Ok(source)
}

/// Reads the table that `--labels` names, unless labels are ignored, with warnings about flags that have no effect on
/// it.
fn label_table(labels: &LabelArgs) -> Result<Option<(RecordTable<bool>, Vec<Warning>)>> {
    let path = labels.labels.as_ref().filter(|_| !labels.ignore);
    path.map(|path| labels.read(path)).transpose()
}

/// Makes sure that no output overwrites a file that `data` is read from: an archive or its sidecar, or a
/// recording's file or a label table of a folder. A table that `labels` names is left to [`check_inputs`].
///
/// The folder is opened only if one of `outs` exists and may be one of its files: it lies in the folder, or links
/// may lead out of it.
///
/// # Errors
/// Returns an error if one of `outs` is such a file, or if a folder cannot be opened.
pub fn check_not_read(outs: &[impl AsRef<Path>], data: &PathBuf, labels: &LabelArgs) -> Result<()> {
    if is_npz(data) {
        let inputs = [data, &manifest(data)];
        return outs.iter().try_for_each(|out| check_inputs(out.as_ref(), inputs));
    }
    let folder = data.canonicalize();
    let is_in_folder = |out: &Path| {
        folder.as_ref().is_ok_and(|own| out.canonicalize().is_ok_and(|out| out.starts_with(own)))
    };
    let may_be_read =
        |out: &Path| out.is_file() && (labels.reading.allow_links || is_in_folder(out));
    if data.is_dir() && outs.iter().any(|out| may_be_read(out.as_ref())) {
        check_not_of(outs, &Dataset::open(data, &labels.dataset_options()?)?)?;
    }
    Ok(())
}

/// Makes the same check for a folder that is already open.
///
/// # Errors
/// Returns an error if the data set is read from one of `outs`.
pub fn check_not_of(outs: &[impl AsRef<Path>], dataset: &Dataset) -> Result<()> {
    if let Some(out) = dataset.reads_one_of(outs) {
        bail!("{} would be overwritten, but it is an input; choose another --out", out.display());
    }
    Ok(())
}

/// Makes sure, before long work, that the files `names` can be written into the folder `out`, and that they do
/// not overwrite one of `inputs`, a table that `labels` names, or a file that `data` is read from.
///
/// # Errors
/// The errors of [`check_place`], [`check_inputs`] and [`check_not_read`].
pub fn check_outputs<'a>(
    out: &Path,
    names: &[&str],
    inputs: impl IntoIterator<Item = &'a PathBuf>,
    data: Option<&PathBuf>,
    labels: &LabelArgs,
) -> Result<()> {
    let map = PathBuf::from(&labels.label_map);
    let mut inputs: Vec<&PathBuf> = inputs.into_iter().collect();
    inputs.extend(&labels.labels);
    inputs.push(&map);
    let places: Vec<PathBuf> = names.iter().map(|name| out.join(name)).collect();
    for place in &places {
        check_place(place)?;
        check_inputs(place, inputs.iter().copied())?;
    }
    data.map_or(Ok(()), |data| check_not_read(&places, data, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_without_volumes_fail() {
        let mut signals = Array3::zeros((3, 12, 500));
        signals[[1, 2, 450]] = 1e20;
        let rows = Rows::Prepared { signals, lengths: vec![500, 400, 300] };
        let mut source = Source::unlabelled(["a", "b", "c"].map(str::to_owned).to_vec(), rows);
        source.leads = ["I", "II", "V1"].map(|lead| vec![LeadName::from(lead)]).to_vec();
        let plan = ImagePlan::new(&ConvertConfig::corrected()).expect("a plan");
        source.drop_without_volumes(&plan).expect("two are left");
        assert_eq!((source.names.join(" "), source.rows.len()), ("a c".to_owned(), 2));
        assert_eq!(source.leads, ["I", "V1"].map(|lead| vec![LeadName::from(lead)]));
        let expected =
            "lead 2 (from 0) has a magnitude of 1.00e20, which is too large to compute with";
        let failed = source.failed.iter().map(|own| (own.record.as_str(), own.reason.as_str()));
        assert_eq!(failed.collect::<Vec<_>>(), [("b", expected)]);
        let Rows::Prepared { signals, .. } = &mut source.rows else { panic!("prepared signals") };
        signals.fill(1e20);
        assert!(source.drop_without_volumes(&plan).is_err());
    }

    /// Returns records with these names, of which nothing else is known.
    fn named<const N: usize>(names: [&str; N]) -> Source {
        let rows = Rows::Images(Array4::zeros((N, 1, 1, 1)));
        Source::unlabelled(names.map(str::to_owned).to_vec(), rows)
    }

    #[test]
    fn an_unknown_patient_has_a_name_of_its_own() {
        let mut source = named(["a", "b", "c"]);
        source.patients[1] = Some("p".to_owned());
        assert_eq!(source.patient_ids(), ["a", "p", "c"]);
        // A known patient is called like the first record.
        source.patients[1] = Some("a".to_owned());
        assert_eq!(source.patient_ids(), ["a#0", "a", "c"]);
        source.names[2] = "a#0".to_owned();
        assert_eq!(source.patient_ids(), ["a#0#0", "a", "a#0"]);
    }

    #[test]
    fn records_without_labels_are_counted() {
        let mut source = named(["a", "b", "c"]);
        source.label_set = LabelSet::new(["AF"]).expect("a label");
        source.label_source = "l11.csv".to_owned();
        let refused = |source: &Source| {
            source.require_labels(&source.label_set).expect_err("refused").to_string()
        };
        let expected = "no record has labels in l11.csv; provide a table with --labels, or put labels.csv into the folder";
        assert_eq!(refused(&source), expected);
        source.labels[0] = Some(vec![true]);
        let expected = "record b and 1 more have no labels in l11.csv; add labels for them, or leave these recordings out";
        assert_eq!(refused(&source), expected);
        source.labels[2] = Some(vec![false]);
        let expected =
            "record b has no labels in l11.csv; add labels for it, or leave this recording out";
        assert_eq!(refused(&source), expected);
        source.labels[1] = Some(vec![true]);
        let labels = source.require_labels(&source.label_set).expect("all have labels");
        assert_eq!(labels, ndarray::array![[true], [true], [false]]);
    }

    #[test]
    fn records_without_a_fold_fail_where_others_have_one() {
        let mut source = named(["a", "b", "c"]);
        source.label_source = "t.csv".to_owned();
        let error = source.drop_without_fold().expect_err("none has one").to_string();
        assert!(error.starts_with("no record has a fold in t.csv; --split labels"), "{error}");
        source.folds = vec![Some(4), None, Some(1)];
        source.drop_without_fold().expect("two are left");
        assert_eq!((source.names.join(" "), source.rows.len()), ("a c".to_owned(), 2));
        let expected = Failed { record: "b".to_owned(), reason: "no fold in t.csv".to_owned() };
        assert_eq!((source.folds, source.failed), (vec![Some(4), Some(1)], vec![expected]));
    }

    #[test]
    fn a_folder_is_opened_only_for_outputs_that_may_be_in_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(at(name), text).expect("writes");
        std::fs::create_dir(at("data")).expect("makes");
        write("data/a.csv", "I,II\n1,2\n");
        write("data/other.txt", "");
        write("metrics.csv", "");
        let usual = LabelArgs::default();
        let mut linked = LabelArgs::default();
        linked.reading.allow_links = true;
        let check = |out: &str, labels: &LabelArgs| check_not_read(&[at(out)], &at("data"), labels);
        // With this table, the folder cannot be opened.
        write("data/labels.csv", "record,AF\na,maybe\n");
        check("metrics.csv", &usual).expect("elsewhere");
        check("data/new.csv", &usual).expect("not there yet");
        for (out, labels) in [("data/other.txt", &usual), ("metrics.csv", &linked)] {
            assert!(check(out, labels).is_err(), "{out}");
        }
        write("data/labels.csv", "record,AF\na,1\n");
        check("data/other.txt", &usual).expect("not read");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("data/a.csv"), at("link.csv")).expect("links");
            let error = check("link.csv", &usual).expect_err("is read").to_string();
            assert!(error.contains("link.csv would be overwritten, but it is an input"), "{error}");
        }
    }

    #[test]
    fn flags_without_effect_on_a_table_have_warnings() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("l.csv");
        std::fs::write(&path, "record,AF\na,1\n").expect("writes");
        let warnings = |labels: &LabelArgs| {
            label_table(labels).expect("reads").map_or(0, |(_, warnings)| warnings.len())
        };
        let usual = LabelArgs { labels: Some(path), ..LabelArgs::default() };
        assert_eq!(warnings(&usual), 0);
        let (label_map, nsr_rule) = ("published".to_owned(), ecg_io::NsrRule::Rhythm);
        let other = LabelArgs { label_map, nsr_rule, ..usual };
        assert_eq!(warnings(&other), 2);
        assert_eq!(warnings(&LabelArgs { ignore: true, ..other }), 0);
    }

    #[test]
    fn rows_are_kept_in_place() {
        let all = Array3::from_shape_fn((5, 2, 3), |(row, y, x)| (100 * row + 10 * y + x) as f32);
        let expected = all.select(Axis(0), &[1, 4]);
        let mut rows = all.clone();
        let before = rows.as_ptr();
        keep_rows(&mut rows, &[1, 4]);
        assert_eq!((&rows, rows.as_ptr()), (&expected, before));
        // In another order of the axes.
        let mut turned = all.permuted_axes([0, 2, 1]);
        keep_rows(&mut turned, &[1, 4]);
        assert_eq!(turned, expected.permuted_axes([0, 2, 1]));
        keep_rows(&mut rows, &[]);
        assert!(rows.is_empty());
    }
}
