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
use ecg_io::{Dataset, RecordTable, RowMatch, read_labels};
use ecg3d_convert::{ConvertConfig, ConvertError, ImagePlan};
use ndarray::{Array, Array2, Array3, Array4, Axis, RemoveAxis, Slice};
use serde::{Deserialize, Serialize};

use self::archive::load_npz;
use self::folder::load_folder;
pub use self::labels::{LabelArgs, label_map};
use crate::{check_inputs, say_err};

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

/// Returns the exit status of a program that went on with the other records: 0 if none failed, else
/// [`crate::SOME_FAILED`].
pub fn exit_code(failed: &[Failed]) -> ExitCode {
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(crate::SOME_FAILED) }
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
            left_out: Vec::new(),
            is_share: false,
        }
    }

    /// Returns an identifier of the patient of each record: the record's own name if the patient is unknown.
    pub fn patient_ids(&self) -> Vec<String> {
        let known = self.patients.iter().zip(&self.names);
        known.map(|(patient, name)| patient.as_ref().unwrap_or(name).clone()).collect()
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
        let mut out = Array2::from_elem((self.names.len(), wanted.len()), false);
        for ((mut row, own), name) in out.rows_mut().into_iter().zip(&self.labels).zip(&self.names)
        {
            let own = own.as_ref().with_context(|| {
                let advice = self.label_advice();
                format!("record {name} has no labels in {}; {advice}", self.label_source)
            })?;
            for (cell, &column) in row.iter_mut().zip(&columns) {
                *cell = own[column];
            }
        }
        Ok(out)
    }

    /// Takes labels, patients and folds from a table, which may cover only some of the records.
    ///
    /// Rows are matched to records as by [`RecordTable::match_records`], in a share of a data set by full names
    /// only. Returns a warning if some rows belong to no record.
    fn label_by(&mut self, path: &Path, table: RecordTable<bool>) -> Option<String> {
        // Rows of records that failed are known, too.
        let failed = self.failed.iter().map(|failed| &failed.record).chain(&self.left_out);
        let names: Vec<&String> = self.names.iter().chain(failed).collect();
        let mut found = table.match_records(&names);
        let mut unclear = false;
        for row in found.iter_mut().filter(|_| self.is_share) {
            // A record of another share may have the same base name.
            if matches!(row, RowMatch::BaseName(_)) {
                *row = RowMatch::Absent;
                unclear = true;
            }
        }
        for (record, row) in found.iter().take(self.names.len()).enumerate() {
            let row = row.row().map(|k| &table.rows[k]);
            self.labels[record] = row.map(|row| row.values.clone());
            self.folds[record] = row.and_then(|row| row.fold);
            if let Some(patient) = row.and_then(|row| row.patient.clone()) {
                self.patients[record] = Some(patient);
            }
        }
        let taken: HashSet<usize> = found.into_iter().filter_map(RowMatch::row).collect();
        let rest: Vec<_> = (0..table.rows.len()).filter(|k| !taken.contains(k)).collect();
        let warning = rest.first().map(|&first| {
            let mut names: Vec<&str> =
                rest.iter().take(3).map(|&k| table.rows[k].record.as_str()).collect();
            names.extend((rest.len() > names.len()).then_some("..."));
            format!(
                "{}:{}: record: {} rows match no record of {}: {}{}",
                path.display(),
                table.rows[first].line,
                rest.len(),
                self.label_source,
                names.join(", "),
                if unclear { "; in a share, a row needs the full name" } else { "" }
            )
        });
        self.label_set = table.labels;
        self.label_source = path.display().to_string();
        warning
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

    /// Says where labels may come from.
    fn label_advice(&self) -> &'static str {
        if self.is_share {
            "provide a table of full names with --labels, or join the shares first (convert --join)"
        } else {
            "provide a table with --labels, or put labels.csv into the folder"
        }
    }

    /// Adds the records without labels to `failed` and marks the others. All stay, as do their rows.
    ///
    /// # Errors
    /// Returns an error if no record has labels.
    pub fn fail_unlabelled(&mut self) -> Result<Vec<bool>> {
        let labelled: Vec<bool> = self.labels.iter().map(Option::is_some).collect();
        ensure!(
            labelled.contains(&true),
            "no record has labels in {}; {}",
            self.label_source,
            self.label_advice()
        );
        let reason = format!("no labels in {}", self.label_source);
        let unlabelled = self.names.iter().zip(&labelled).filter(|(_, labelled)| !**labelled);
        self.failed.extend(
            unlabelled.map(|(name, _)| Failed { record: name.clone(), reason: reason.clone() }),
        );
        Ok(labelled)
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

/// Loads a folder of recordings, prepared according to `config`, or an `.npz`.
///
/// # Errors
/// Returns an error in these cases:
/// - A folder has no recordings, or every record of it failed.
/// - An `.npz` was not made with `config`, or its manifest does not have a patient or a fold for each record.
/// - Flags are given that have no effect on an `.npz`.
/// - Labels that are not ignored are not 0 or 1.
pub fn load(data: &Path, config: &ConvertConfig, labels: &LabelArgs) -> Result<Source> {
    labels.check(data)?;
    if !is_npz(data) {
        return load_folder(data, config, labels);
    }
    let table = labels.labels.as_ref().filter(|_| !labels.ignore);
    let mut source = load_npz(data, config, table.is_none() && !labels.ignore)?;
    if let Some(table) = table {
        let options = labels.dataset_options()?;
        let rows = read_labels(table, &options.label_map, options.nsr_rule)?;
        if let Some(warning) = source.label_by(table, rows) {
            say_err!("warning: {warning}");
        }
    }
    Ok(source)
}

/// Makes sure that a table does not overwrite a file that `data` is read from: an archive or its sidecar, or a
/// recording's file or a label table of a folder.
///
/// # Errors
/// Returns an error if `out` is such a file, or if a folder cannot be opened.
pub fn check_not_read(out: &Path, data: &PathBuf, labels: &LabelArgs) -> Result<()> {
    if is_npz(data) {
        return check_inputs(out, [data, &data.with_extension("json")]);
    }
    if out.is_file() && data.is_dir() {
        check_not_of(out, &Dataset::open(data, &labels.dataset_options()?)?)?;
    }
    Ok(())
}

/// Makes the same check for a folder that is already open.
///
/// # Errors
/// Returns an error if the data set is read from `out`.
pub fn check_not_of(out: &Path, dataset: &Dataset) -> Result<()> {
    ensure!(
        !dataset.reads(out),
        "{} would be overwritten, but it is an input; choose another --out",
        out.display()
    );
    Ok(())
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

    #[test]
    fn an_unknown_patient_has_the_records_name_where_a_name_is_needed() {
        let rows = Rows::Images(Array4::zeros((2, 1, 1, 1)));
        let mut source = Source::unlabelled(["a", "b"].map(str::to_owned).to_vec(), rows);
        source.patients[1] = Some("a".to_owned());
        assert_eq!(source.patient_ids(), ["a", "a"]);
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
