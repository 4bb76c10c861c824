//! Loads the data that `--data` names: a folder of recordings, or an `.npz` that `convert` wrote.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use ecg_core::LabelSet;
use ecg_io::{
    Dataset, DatasetOptions, IoError, LabelMap, Loaded, NsrRule, RecordTable, RowMatch, read_labels,
};
use ecg3d_convert::{ConvertConfig, ConvertError, ImagePlan, Plans, Preset};
use ndarray::{
    Array, Array2, Array3, Array4, ArrayD, Axis, Dimension, Ix3, Ix4, RemoveAxis, ShapeBuilder,
};
use ndarray_npy::{NpzReader, ReadDataError, ReadableElement};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::reading::ReadingArgs;
use crate::{Progress, check_inputs, say_err};

/// How labels and recordings are found and read; flags that several programs share.
#[derive(Debug, Clone, Default, Args)]
pub struct LabelArgs {
    /// Label table with a column `record` and a 0/1 column for each label [default: labels.csv in the data
    /// folder, else ptbxl_database.csv, else each header's #Dx; for an .npz, its own labels]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Diagnosis codes that count: `default` (with their equivalents), `published` (those of the study alone),
    /// or a table with columns label, system (snomed, scp, text or extends) and code
    #[arg(long, value_name = "MAP", default_value = "default")]
    pub label_map: String,
    /// When normal sinus rhythm counts: as in the PhysioNet challenges, or as a statement of rhythm
    #[arg(long, value_name = "RULE", default_value_t)]
    pub nsr_rule: NsrRule,
    /// Whether labels are ignored, as by [`LabelArgs::ignored`].
    #[arg(skip)]
    pub ignore: bool,
    /// How recordings are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

impl LabelArgs {
    /// Returns arguments for work that needs no labels and that labels must not stop. From the tables in a
    /// folder, only patients and folds are used, and the labels of an archive are not read.
    pub fn ignored(reading: ReadingArgs) -> Self {
        Self { ignore: true, reading, ..Self::default() }
    }

    /// Returns arguments for further recordings beside the labelled ones: read in the same way, with their own
    /// labels ignored.
    pub fn for_reference(&self) -> Self {
        Self::ignored(self.reading.clone())
    }

    /// Returns the options for opening a folder.
    ///
    /// # Errors
    /// Returns an error if the label map is neither a known name nor a table that can be read.
    pub fn dataset_options(&self) -> Result<DatasetOptions> {
        let map = match self.label_map.as_str() {
            // As in `LabelArgs::default`.
            "" => LabelMap::default(),
            name => label_map(name)?,
        };
        Ok(self
            .reading
            .dataset_options()
            .with_label_map(map)
            .with_nsr_rule(self.nsr_rule)
            .with_labels_file(self.labels.clone())
            .with_ignore_labels(self.ignore))
    }
}

/// Returns the label map that `--label-map` names.
///
/// # Errors
/// Returns an error if it is neither a known name nor a table that can be read.
pub fn label_map(name: &str) -> Result<LabelMap> {
    let path = Path::new(name);
    match name.parse() {
        Err(IoError::UnknownName { .. }) if path.is_file() => Ok(LabelMap::read(path)?),
        known => known.context("--label-map is neither a known name nor a file"),
    }
}

/// A record that could not be used, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The record's name.
    pub record: String,
    /// The error, cause after cause.
    pub reason: String,
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
    /// Labels in the order of the columns of `labels`.
    pub label_set: LabelSet,
    /// The labels of each record, if known.
    pub labels: Vec<Option<Vec<bool>>>,
    /// The patient of each record, or the record's own name if unknown.
    pub patients: Vec<String>,
    /// The fold in which a label table puts the record.
    pub folds: Vec<Option<u32>>,
    /// The records that could not be used.
    pub failed: Vec<Failed>,
    /// Description of where the labels come from.
    pub label_source: String,
}

impl Source {
    /// Returns the labels `[record, label]` in the order of `wanted`.
    ///
    /// # Errors
    /// Returns an error if a record has no labels, or if the source does not have one of the labels.
    pub fn require_labels(&self, wanted: &LabelSet) -> Result<Array2<bool>> {
        let columns = wanted
            .iter()
            .map(|label| {
                self.label_set.index_of(label).with_context(|| {
                    format!(
                        "label {label} is not among the labels of {}: {}",
                        self.label_source, self.label_set
                    )
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let mut out = Array2::from_elem((self.names.len(), wanted.len()), false);
        for ((mut row, own), name) in out.rows_mut().into_iter().zip(&self.labels).zip(&self.names)
        {
            let own = own.as_ref().with_context(|| {
                format!(
                    "record {name} has no labels in {}; provide a table with --labels",
                    self.label_source
                )
            })?;
            for (cell, &column) in row.iter_mut().zip(&columns) {
                *cell = own[column];
            }
        }
        Ok(out)
    }

    /// Takes labels, patients and folds from a table, which may cover only some of the records.
    ///
    /// Rows are matched to records as by [`RecordTable::match_records`]. Returns a warning if some rows belong to
    /// no record.
    fn label_by(&mut self, path: &Path, table: RecordTable<bool>) -> Option<String> {
        // Rows of records that failed are known, too.
        let names = self.names.iter().chain(self.failed.iter().map(|failed| &failed.record));
        let found = table.match_records(&names.collect::<Vec<_>>());
        for (record, row) in found.iter().take(self.names.len()).enumerate() {
            let row = row.row().map(|k| &table.rows[k]);
            self.labels[record] = row.map(|row| row.values.clone());
            self.folds[record] = row.and_then(|row| row.fold);
            if let Some(patient) = row.and_then(|row| row.patient.as_ref()) {
                self.patients[record].clone_from(patient);
            }
        }
        let taken: HashSet<usize> = found.into_iter().filter_map(RowMatch::row).collect();
        let rest: Vec<_> = (0..table.rows.len()).filter(|k| !taken.contains(k)).collect();
        let warning = rest.first().map(|&first| {
            let mut names: Vec<&str> =
                rest.iter().take(3).map(|&k| table.rows[k].record.as_str()).collect();
            names.extend((rest.len() > names.len()).then_some("..."));
            format!(
                "{}:{}: record: {} rows match no record of {}: {}",
                path.display(),
                table.rows[first].line,
                rest.len(),
                self.label_source,
                names.join(", ")
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
        let reason = format!("no labels in {}", self.label_source);
        let unlabelled: Vec<bool> = self.labels.iter().map(Option::is_none).collect();
        ensure!(
            unlabelled.contains(&false),
            "no record has labels in {}; provide a table with --labels, or put labels.csv into the folder",
            self.label_source
        );
        self.drop_records(&unlabelled, &reason);
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
        let mut kept = Vec::with_capacity(self.names.len());
        for (signal, name) in signals.outer_iter().zip(&self.names) {
            let reason = match plan.check_samples(signal) {
                Err(error @ ConvertError::Overflow { .. }) => Some(error.to_string()),
                _ => None,
            };
            kept.push(reason.is_none());
            self.failed.extend(reason.map(|reason| Failed { record: name.clone(), reason }));
        }
        if kept.contains(&false) {
            self.keep_records(&kept);
        }
        if self.names.is_empty() {
            self.report_failures();
            bail!("cannot make volumes from any record");
        }
        Ok(())
    }

    /// Moves the marked records and their rows to `failed`.
    fn drop_records(&mut self, dropped: &[bool], reason: &str) {
        if !dropped.contains(&true) {
            return;
        }
        let lost = self.names.iter().zip(dropped).filter(|(_, dropped)| **dropped);
        self.failed.extend(
            lost.map(|(name, _)| Failed { record: name.clone(), reason: reason.to_owned() }),
        );
        let kept: Vec<bool> = dropped.iter().map(|dropped| !dropped).collect();
        self.keep_records(&kept);
    }

    /// Moves records whose rows contain NaN or an infinity to `failed`: networks may turn them into
    /// probabilities that look sound.
    fn drop_not_finite(&mut self) {
        let (rows, what) = match &self.rows {
            Rows::Prepared { signals, .. } => (not_finite(signals), "prepared signal holds"),
            Rows::Images(images) => (not_finite(images), "images hold"),
            Rows::Volumes(volumes) => (not_finite(volumes), "volume holds"),
        };
        let reason = format!("its {what} values that are not finite");
        self.drop_records(&self.records_of(&rows), &reason);
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
    pub fn keep_records(&mut self, marked: &[bool]) {
        let record_of = |row: usize| self.row_record.as_ref().map_or(row, |records| records[row]);
        let rows: Vec<usize> = (0..self.rows.len()).filter(|&row| marked[record_of(row)]).collect();
        let kept: Vec<usize> = (0..marked.len()).filter(|&record| marked[record]).collect();
        let new_place = |old: usize| kept.partition_point(|&record| record < old);
        let row_record = self
            .row_record
            .as_ref()
            .map(|records| rows.iter().map(|&row| new_place(records[row])).collect());
        self.rows = match &self.rows {
            Rows::Prepared { signals, lengths } => Rows::Prepared {
                signals: signals.select(Axis(0), &rows),
                lengths: rows.iter().map(|&row| lengths[row]).collect(),
            },
            Rows::Images(images) => Rows::Images(images.select(Axis(0), &rows)),
            Rows::Volumes(volumes) => Rows::Volumes(volumes.select(Axis(0), &rows)),
        };
        self.row_record = row_record;
        fn keep<T>(values: &mut Vec<T>, marked: &[bool]) {
            let mut marked = marked.iter();
            values.retain(|_| marked.next() == Some(&true));
        }
        keep(&mut self.names, marked);
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
/// - Labels that are not ignored are not 0 or 1.
pub fn load(data: &Path, config: &ConvertConfig, labels: &LabelArgs) -> Result<Source> {
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

/// Largest number of warnings about recordings that are printed; a folder may have one for each recording.
const SHOWN: usize = 20;

fn load_folder(dir: &Path, config: &ConvertConfig, labels: &LabelArgs) -> Result<Source> {
    let dataset = Dataset::open(dir, &labels.dataset_options()?)?;
    for warning in dataset.warnings() {
        say_err!("warning: {warning}");
    }
    let plans = Plans::new(config.clone());
    let progress = Progress::new(dataset.len() as u64, "records read");
    let mut source = Source {
        rows: Rows::Prepared { signals: Array3::zeros((0, 0, 0)), lengths: Vec::new() },
        row_record: None,
        names: Vec::new(),
        label_set: dataset.label_set().clone(),
        labels: Vec::new(),
        patients: Vec::new(),
        folds: Vec::new(),
        failed: Vec::new(),
        label_source: dataset.label_source().to_string(),
    };
    let mut values = Vec::new();
    let mut lengths = Vec::new();
    let mut shape = [0; 2];
    let mut warned = 0;
    let prepare = |loaded: Result<Loaded, IoError>| -> Result<_> {
        let Loaded { recording, warnings, .. } = loaded?;
        let prepared = plans.at(recording.sampling_rate)?.prepare(&recording)?;
        Ok((recording, prepared, warnings))
    };
    dataset.for_each_parallel(
        rayon::current_num_threads(),
        |_, loaded| prepare(loaded),
        |index, result| -> Result<()> {
            progress.inc(1);
            let name = dataset.names()[index].clone();
            match result {
                Ok((recording, prepared, warnings)) => {
                    let own = prepared.warnings.iter().map(|warning| format!("{name}: {warning}"));
                    for warning in warnings.iter().map(ToString::to_string).chain(own) {
                        warned += 1;
                        if warned <= SHOWN {
                            progress.line(&format!("warning: {warning}"));
                        }
                    }
                    shape = [prepared.signal.nrows(), prepared.signal.ncols()];
                    values.extend(prepared.signal.iter());
                    lengths.push(prepared.length);
                    source.labels.push(dataset.labels_of(index, &recording));
                    source.patients.push(recording.patient.unwrap_or_else(|| name.clone()));
                    source.folds.push(dataset.fold(index));
                    source.names.push(name);
                }
                Err(error) => {
                    source.failed.push(Failed { record: name, reason: format!("{error:#}") });
                }
            }
            Ok(())
        },
    )?;
    progress.finish();
    if warned > SHOWN {
        say_err!("{} more warnings", warned - SHOWN);
    }
    if source.names.is_empty() {
        source.report_failures();
        bail!("{}: none of {} records could be used", dir.display(), dataset.len());
    }
    let signals = Array3::from_shape_vec((lengths.len(), shape[0], shape[1]), values)?;
    source.rows = Rows::Prepared { signals, lengths };
    Ok(source)
}

/// The manifest that `convert` writes beside an `.npz`.
#[derive(Debug, Deserialize)]
struct Sidecar {
    records: Vec<String>,
    config_hash: String,
    #[serde(default)]
    config: Value,
    #[serde(default)]
    labels: Option<LabelSet>,
    #[serde(default)]
    patients: Option<Vec<String>>,
    #[serde(default)]
    folds: Option<Vec<Option<u32>>>,
    /// Records without labels; their rows in the archive are zero.
    #[serde(default)]
    unlabelled: HashSet<String>,
}

/// Loads an archive, with its labels only if `labelled`.
fn load_npz(path: &Path, config: &ConvertConfig, labelled: bool) -> Result<Source> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let mut npz =
        NpzReader::new(file).with_context(|| format!("{shown} is not an .npz archive"))?;
    let held = npz.names().with_context(|| format!("cannot list {shown}"))?;
    let rows = if let Some(signals) = read_floats::<Ix3>(&mut npz, path, "prepared")? {
        let full = signals.len_of(Axis(2));
        let lengths = match read_integers(&mut npz, path, "length")? {
            Some(lengths) => lengths
                .iter()
                .map(|&length| {
                    usize::try_from(length).ok().filter(|length| *length <= full).with_context(
                        || format!("{shown}: array length holds {length}, expected 0 to {full}"),
                    )
                })
                .collect::<Result<Vec<_>>>()?,
            None => vec![full; signals.len_of(Axis(0))],
        };
        ensure!(
            lengths.len() == signals.len_of(Axis(0)),
            "{shown}: array length has {} rows, prepared has {}",
            lengths.len(),
            signals.len_of(Axis(0))
        );
        Rows::Prepared { signals, lengths }
    } else if let Some(images) = read_floats::<Ix4>(&mut npz, path, "images")? {
        Rows::Images(images)
    } else if let Some(volumes) = read_floats::<Ix4>(&mut npz, path, "volume")? {
        Rows::Volumes(volumes)
    } else {
        bail!(
            "{shown} holds {}, expected an array named prepared, images or volume",
            held.join(", ")
        );
    };
    let n = rows.len();
    ensure!(n > 0, "{shown} holds no records");
    let sidecar = read_sidecar(path, config)?;
    let row_record = match read_integers(&mut npz, path, "row_record")? {
        Some(records) => Some(
            records
                .iter()
                .map(|&record| usize::try_from(record).ok().filter(|record| *record < n))
                .collect::<Option<Vec<_>>>()
                .filter(|records| records.len() == n)
                .with_context(|| {
                    format!("{shown}: array row_record does not name a record for each of {n} rows")
                })?,
        ),
        None => None,
    };
    let records =
        row_record.as_ref().map_or(n, |records| records.iter().max().map_or(0, |last| last + 1));
    let names = match &sidecar {
        Some(sidecar) => {
            ensure!(
                sidecar.records.len() == records,
                "{} names {} records, but {shown} holds {records}",
                path.with_extension("json").display(),
                sidecar.records.len()
            );
            sidecar.records.clone()
        }
        None => (0..records).map(|record| record.to_string()).collect(),
    };
    let label_set = sidecar.as_ref().and_then(|sidecar| sidecar.labels.clone()).unwrap_or_default();
    let mut labels = vec![None; records];
    if labelled && let Some(all) = read_label_array(&mut npz, path, [n, label_set.len()])? {
        for (row, own) in all.outer_iter().enumerate() {
            let record = row_record.as_ref().map_or(row, |records| records[row]);
            let known = sidecar.as_ref().is_none_or(|own| !own.unlabelled.contains(&names[record]));
            labels[record] = known.then(|| own.to_vec());
        }
    }
    let (patients, folds) = sidecar.map_or((None, None), |own| (own.patients, own.folds));
    let patients = of_each(patients, "patients", path, records)?.unwrap_or_else(|| names.clone());
    let folds = of_each(folds, "folds", path, records)?.unwrap_or_else(|| vec![None; records]);
    let short: Vec<bool> = match &rows {
        Rows::Prepared { lengths, .. } => {
            lengths.iter().map(|&length| config.window_starts(length).is_empty()).collect()
        }
        _ => vec![false; records],
    };
    let mut source = Source {
        rows,
        row_record,
        names,
        label_set,
        labels,
        patients,
        folds,
        failed: Vec::new(),
        label_source: shown.to_string(),
    };
    let short = source.records_of(&short);
    let window = config.window_samples();
    source.drop_records(&short, &format!("shorter than a window of {window} samples"));
    source.drop_not_finite();
    if source.names.is_empty() {
        source.report_failures();
        bail!("{shown}: none of {records} records could be used");
    }
    Ok(source)
}

/// Returns a list of the sidecar, if it has it, after checking that it has a value for each record.
fn of_each<T>(
    list: Option<Vec<T>>,
    key: &str,
    npz: &Path,
    records: usize,
) -> Result<Option<Vec<T>>> {
    let found = list.as_ref().map_or(records, Vec::len);
    ensure!(
        found == records,
        "{}: {key} has {found} values, expected one for each of {records} records",
        npz.with_extension("json").display()
    );
    Ok(list)
}

/// Reads the sidecar, and refuses an archive that was made with another preprocessing.
fn read_sidecar(npz: &Path, config: &ConvertConfig) -> Result<Option<Sidecar>> {
    let path = npz.with_extension("json");
    if !path.exists() {
        say_err!(
            "warning: {} has no {} beside it; assuming the same preprocessing, and that the labels of every row are known",
            npz.display(),
            path.display()
        );
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let sidecar: Sidecar = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a manifest written by convert", path.display()))?;
    let wanted = config.hash();
    if sidecar.config_hash != wanted {
        bail!(
            "{} was made with different preprocessing (found {}, expected {}{}); make it again with {}, or use the folder of recordings",
            npz.display(),
            name_of(&sidecar.config_hash),
            name_of(&wanted),
            differences(&sidecar.config, config)?,
            match preset_of(&wanted) {
                Some(preset) => format!("convert --preset {preset}"),
                None => "convert --config and the card's `preprocessing`".to_owned(),
            }
        );
    }
    Ok(Some(sidecar))
}

/// Describes how the configuration of an archive differs from the one wanted:
/// `: FIELD is VALUE, not VALUE, ..`.
fn differences(found: &Value, wanted: &ConvertConfig) -> Result<String> {
    let wanted = serde_json::to_value(wanted)?;
    let fields = wanted.as_object().into_iter().flatten();
    let own = fields.filter_map(|(name, wanted)| {
        let found = found.get(name)?;
        (found != wanted).then(|| format!("{name} is {found}, not {wanted}"))
    });
    let own: Vec<String> = own.collect();
    Ok(if own.is_empty() { String::new() } else { format!(": {}", own.join(", ")) })
}

/// Returns the preset whose configuration has this hash.
fn preset_of(hash: &str) -> Option<Preset> {
    [Preset::Published, Preset::Corrected]
        .into_iter()
        .find(|preset| ConvertConfig::preset(*preset).hash() == hash)
}

/// Returns the name of the preset whose configuration has this hash, or else the hash.
fn name_of(hash: &str) -> String {
    preset_of(hash).map_or_else(|| format!("configuration {hash}"), |preset| preset.to_string())
}

/// Reads the array of that name, if the archive holds one.
fn read_array<T: ReadableElement>(
    npz: &mut NpzReader<File>,
    path: &Path,
    name: &str,
) -> Result<Option<ArrayD<T>>> {
    let held = npz.names().with_context(|| format!("cannot list {}", path.display()))?;
    if !held.iter().any(|own| own == name) {
        return Ok(None);
    }
    let array = npz
        .by_name(name)
        .with_context(|| format!("{}: array {name} cannot be read", path.display()))?;
    Ok(Some(array))
}

/// Reads `len` numbers of `N` bytes, and nothing else. Memory is reserved only for values that exist, whatever
/// a header claims.
fn read_numbers<const N: usize, T>(
    mut reader: impl Read,
    len: usize,
    number: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, ReadDataError> {
    let mut values = Vec::new();
    let mut block = [0; 1 << 14];
    while values.len() < len {
        let n = (block.len() / N).min(len - values.len());
        match reader.read_exact(&mut block[..n * N]) {
            Ok(()) => {
                let (numbers, _) = block[..n * N].as_chunks();
                values.extend(numbers.iter().map(|bytes| number(*bytes)));
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(ReadDataError::MissingData);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match std::io::copy(&mut reader, &mut std::io::sink())? {
        0 => Ok(values),
        extra => Err(ReadDataError::ExtraBytes(extra as usize)),
    }
}

/// Returns the type of numbers in an array's header, such as `<f4`.
fn type_of(descriptor: &py_literal::Value) -> &str {
    match descriptor {
        py_literal::Value::String(text) => text,
        _ => "",
    }
}

/// A number of half, single or double precision.
#[repr(transparent)]
struct Float(f32);

impl ReadableElement for Float {
    fn read_to_end_exact_vec<R: Read>(
        reader: R,
        descriptor: &py_literal::Value,
        len: usize,
    ) -> Result<Vec<Self>, ReadDataError> {
        match type_of(descriptor) {
            "<f2" => read_numbers(reader, len, |b| Self(half::f16::from_le_bytes(b).to_f32())),
            ">f2" => read_numbers(reader, len, |b| Self(half::f16::from_be_bytes(b).to_f32())),
            "<f4" => read_numbers(reader, len, |b| Self(f32::from_le_bytes(b))),
            ">f4" => read_numbers(reader, len, |b| Self(f32::from_be_bytes(b))),
            "<f8" => read_numbers(reader, len, |b| Self(f64::from_le_bytes(b) as f32)),
            ">f8" => read_numbers(reader, len, |b| Self(f64::from_be_bytes(b) as f32)),
            _ => Err(ReadDataError::WrongDescriptor(descriptor.clone())),
        }
    }
}

/// A whole number or a boolean.
struct Integer(i64);

impl ReadableElement for Integer {
    fn read_to_end_exact_vec<R: Read>(
        reader: R,
        descriptor: &py_literal::Value,
        len: usize,
    ) -> Result<Vec<Self>, ReadDataError> {
        match type_of(descriptor) {
            "|u1" | "|b1" => read_numbers(reader, len, |[b]| Self(b.into())),
            "|i1" => read_numbers(reader, len, |b| Self(i8::from_le_bytes(b).into())),
            "<i2" => read_numbers(reader, len, |b| Self(i16::from_le_bytes(b).into())),
            ">i2" => read_numbers(reader, len, |b| Self(i16::from_be_bytes(b).into())),
            "<i4" => read_numbers(reader, len, |b| Self(i32::from_le_bytes(b).into())),
            ">i4" => read_numbers(reader, len, |b| Self(i32::from_be_bytes(b).into())),
            "<u2" => read_numbers(reader, len, |b| Self(u16::from_le_bytes(b).into())),
            ">u2" => read_numbers(reader, len, |b| Self(u16::from_be_bytes(b).into())),
            "<u4" => read_numbers(reader, len, |b| Self(u32::from_le_bytes(b).into())),
            ">u4" => read_numbers(reader, len, |b| Self(u32::from_be_bytes(b).into())),
            "<i8" => read_numbers(reader, len, |b| Self(i64::from_le_bytes(b))),
            ">i8" => read_numbers(reader, len, |b| Self(i64::from_be_bytes(b))),
            _ => Err(ReadDataError::WrongDescriptor(descriptor.clone())),
        }
    }
}

/// A number of any of these kinds, as used for labels.
struct Number(f64);

impl ReadableElement for Number {
    fn read_to_end_exact_vec<R: Read>(
        reader: R,
        descriptor: &py_literal::Value,
        len: usize,
    ) -> Result<Vec<Self>, ReadDataError> {
        if type_of(descriptor).contains('f') {
            let floats = Float::read_to_end_exact_vec(reader, descriptor, len)?;
            return Ok(floats.into_iter().map(|number| Self(number.0.into())).collect());
        }
        let integers = Integer::read_to_end_exact_vec(reader, descriptor, len)?;
        Ok(integers.into_iter().map(|number| Self(number.0 as f64)).collect())
    }
}

/// Reads the array of labels, each 0 or 1, if the archive holds one.
fn read_label_array(
    npz: &mut NpzReader<File>,
    path: &Path,
    shape: [usize; 2],
) -> Result<Option<Array2<bool>>> {
    let Some(labels) = read_array::<Number>(npz, path, "labels")? else { return Ok(None) };
    let (shown, found) = (path.display(), labels.shape());
    ensure!(found == shape, "{shown}: array labels has shape {found:?}, expected {shape:?}");
    if let Some(Number(found)) = labels.iter().find(|label| ![0.0, 1.0].contains(&label.0)) {
        bail!("{shown}: array labels holds {found}, expected 0 or 1");
    }
    Ok(Some(labels.map(|label| label.0 == 1.0).into_dimensionality()?))
}

/// Reads the array of whole numbers or booleans of that name, if the archive holds one.
fn read_integers(
    npz: &mut NpzReader<File>,
    path: &Path,
    name: &str,
) -> Result<Option<ArrayD<i64>>> {
    let array: Option<ArrayD<Integer>> = read_array(npz, path, name)?;
    Ok(array.map(|array| array.map(|number| number.0)))
}

/// Reads the array of f16, f32 or f64 of that name, and drops a trailing axis of length 1.
fn read_floats<D: Dimension>(
    npz: &mut NpzReader<File>,
    path: &Path,
    name: &str,
) -> Result<Option<Array<f32, D>>> {
    let Some(array) = read_array::<Float>(npz, path, name)? else { return Ok(None) };
    let shape = array.raw_dim().set_f(!array.is_standard_layout());
    let (values, _) = array.into_raw_vec_and_offset();
    // Converted in place, because the array may be all that fits into memory.
    let values: Vec<f32> = values.into_iter().map(|number| number.0).collect();
    let mut array = ArrayD::from_shape_vec(shape, values)?;
    let axes = D::NDIM.unwrap_or(array.ndim());
    if array.ndim() == axes + 1 && array.shape().last() == Some(&1) {
        array.index_axis_inplace(Axis(axes), 0);
    }
    let shape = array.shape().to_vec();
    let array = array.into_dimensionality().with_context(|| {
        format!("{}: array {name} has shape {shape:?}, expected {axes} axes", path.display())
    })?;
    Ok(Some(array))
}

#[cfg(test)]
mod tests {
    use ecg_core::SamplingRate;

    use super::*;
    use std::io::Write;

    use ecg_synth::SynthOptions;
    use ecg3d_convert::ShortRecords;
    use ndarray::Array5;
    use ndarray_npy::NpzWriter;
    use tempfile::TempDir;

    use crate::synthetic::{Format, write_folder};

    fn npz(write: impl FnOnce(&mut NpzWriter<File>)) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rows.npz");
        let mut archive = NpzWriter::new(File::create(&path).expect("a file"));
        write(&mut archive);
        archive.finish().expect("finishes");
        (dir, path)
    }

    fn open(path: &Path, config: &ConvertConfig) -> Result<Source> {
        load(path, config, &LabelArgs::default())
    }

    #[test]
    fn volumes_of_f64_with_a_trailing_axis() {
        let (_dir, path) = npz(|archive| {
            let volumes = Array5::<f64>::from_elem((2, 45, 45, 45, 1), 0.5);
            archive.add_array("volume", &volumes).expect("adds");
        });
        let source = open(&path, &ConvertConfig::published()).expect("loads");
        assert_eq!(source.names, ["0", "1"]);
        assert_eq!(source.labels, [None, None]);
        let Rows::Volumes(volumes) = &source.rows else { panic!("volumes were written") };
        assert_eq!(volumes.dim(), (2, 45, 45, 45));
        let error = source.require_labels(&LabelSet::seven()).expect_err("no labels");
        assert!(error.to_string().starts_with("record 0 has no labels"), "{error}");
    }

    #[test]
    fn labels_of_an_archive_may_be_numbers_of_any_kind_but_are_0_or_1() {
        fn labelled(labels: &Array2<impl ndarray_npy::WritableElement>) -> Result<Source> {
            let (_dir, path) = npz(|archive| {
                archive.add_array("prepared", &Array3::<f32>::zeros((2, 12, 100))).expect("adds");
                archive.add_array("labels", labels).expect("adds");
            });
            let config = ConvertConfig::published();
            let ignored = load(&path, &config, &LabelArgs::ignored(ReadingArgs::default()));
            assert_eq!(ignored.expect("needs no labels").labels, [None, None]);
            open(&path, &config)
        }
        let second = Array2::from_shape_fn((2, 7), |(row, _)| row as f64);
        let expected = [Some(vec![false; 7]), Some(vec![true; 7])];
        assert_eq!(labelled(&second).expect("doubles").labels, expected);
        assert_eq!(labelled(&second.mapv(|v| v as f32)).expect("singles").labels, expected);
        assert_eq!(labelled(&second.mapv(|v| v as i16)).expect("integers").labels, expected);
        assert_eq!(labelled(&second.mapv(|v| v as u32)).expect("unsigned").labels, expected);
        assert_eq!(labelled(&second.mapv(|v| v > 0.0)).expect("booleans").labels, expected);
        let error = |labelled: Result<Source>| labelled.expect_err("refused").to_string();
        let text = error(labelled(&second.mapv(|v| v / 2.0)));
        assert!(text.ends_with("array labels holds 0.5, expected 0 or 1"), "{text}");
        let text = error(labelled(&second.mapv(|v| -v as i64)));
        assert!(text.ends_with("array labels holds -1, expected 0 or 1"), "{text}");
        assert!(error(labelled(&(second * f64::NAN))).contains("holds NaN"));
        let text = error(labelled(&Array2::<u8>::zeros((2, 5))));
        assert!(text.ends_with("array labels has shape [2, 5], expected [2, 7]"), "{text}");
    }

    #[test]
    fn a_folder_needs_no_sound_labels_where_none_are_wanted() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("data");
        write_folder(&folder, 2, SynthOptions::default().with_seconds(3.0), Format::Wfdb)
            .expect("synthesises");
        let config = ConvertConfig::corrected();
        for table in ["record,AF\nsynth00000,maybe\n", "record,AF\nsynth00000,1\nsynth00000,1\n"] {
            std::fs::write(folder.join("labels.csv"), table).expect("writes");
            assert!(open(&folder, &config).is_err(), "{table}");
            let labels = LabelArgs::default().for_reference();
            let source = load(&folder, &config, &labels).expect("needs no labels");
            assert_eq!((source.names.len(), source.labels), (2, vec![None, None]));
        }
    }

    #[test]
    fn infinities_take_their_record_out() {
        let config = ConvertConfig::published();
        for (name, shape, reason) in [
            ("images", (3, 12, 45, 45), "its images hold values that are not finite"),
            ("volume", (3, 45, 45, 45), "its volume holds values that are not finite"),
        ] {
            let mut rows = Array4::<f32>::zeros(shape);
            rows[[1, 3, 7, 9]] = f32::NEG_INFINITY;
            let (_dir, path) = npz(|archive| archive.add_array(name, &rows).expect("adds"));
            let source = open(&path, &config).expect("loads");
            assert_eq!((source.names.join(" "), source.rows.len()), ("0 2".to_owned(), 2));
            assert_eq!(source.failed[0].reason, reason);
        }
    }

    #[test]
    fn a_row_that_is_not_finite_takes_its_own_record_out() {
        let (_dir, path) = npz(|archive| {
            let mut rows = Array3::<f32>::zeros((4, 12, 100));
            rows[[1, 3, 7]] = f32::NAN;
            archive.add_array("prepared", &rows).expect("adds");
            archive.add_array("row_record", &ndarray::array![0_i64, 0, 1, 1]).expect("adds");
        });
        let source = open(&path, &ConvertConfig::published()).expect("loads");
        assert_eq!(source.names, ["1"]);
        assert_eq!((source.rows.len(), source.row_record), (2, Some(vec![0, 0])));
        assert_eq!(source.failed[0].record, "0");
    }

    /// An archive with an array `images` whose header makes these claims.
    fn images(descr: &str, fortran: bool, shape: &str, values: &[u8]) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rows.npz");
        let mut archive = zip::ZipWriter::new(File::create(&path).expect("a file"));
        let stored = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        let order = if fortran { "True" } else { "False" };
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
        archive.start_file("images.npy", stored).expect("a member");
        let mut member = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        member.extend_from_slice(format!("{header:<117}\n").as_bytes());
        member.extend_from_slice(values);
        archive.write_all(&member).expect("writes");
        archive.finish().expect("finishes");
        (dir, path)
    }

    #[test]
    fn arrays_that_are_not_what_they_claim() {
        let error = |descr: &str, shape: &str, values: &[u8]| {
            let (_dir, path) = images(descr, false, shape, values);
            let error = open(&path, &ConvertConfig::published()).expect_err("refused");
            let text = format!("{error:#}");
            assert!(text.contains("array images cannot be read"), "{text}");
            text
        };
        let huge = error("<f4", "(1000000000000, 12, 45, 45)", &[0; 64]);
        let short = error("<f4", "(1, 1, 2, 2)", &[0; 15]);
        assert_eq!(huge.split("rows.npz").nth(1), short.split("rows.npz").nth(1));
        assert_ne!(error("<f8", "(1, 1, 2, 2)", &[0; 33]), short);
        assert!(error("<c8", "(1, 1, 2, 2)", &[0; 32]).contains("<c8"));
    }

    #[test]
    fn single_precision_in_either_order() {
        let values: Vec<u8> = (0..6).flat_map(|v| (v as f32).to_be_bytes()).collect();
        for (fortran, expected) in [(false, [0.0, 1.0, 2.0]), (true, [0.0, 2.0, 4.0])] {
            let (_dir, path) = images(">f4", fortran, "(1, 1, 2, 3)", &values);
            let source = open(&path, &ConvertConfig::published()).expect("loads");
            let Rows::Images(images) = &source.rows else { panic!("images were written") };
            assert_eq!(images.slice(ndarray::s![0, 0, 0, ..]).to_vec(), expected);
        }
    }

    #[test]
    fn images_of_half_precision() {
        let values: Vec<u8> = std::iter::repeat_n([0x00, 0x3e], 12 * 45 * 45).flatten().collect();
        let (_dir, path) = images("<f2", false, "(1, 12, 45, 45)", &values);
        let source = open(&path, &ConvertConfig::published()).expect("loads");
        let Rows::Images(images) = &source.rows else { panic!("images were written") };
        assert!(images.iter().all(|value| *value == 1.5));
    }

    #[test]
    fn bad_rows_of_an_archive_are_left_out() {
        let written = |bad: &[usize]| {
            let mut signals = Array3::<f32>::zeros((3, 12, 100));
            bad.iter().for_each(|&row| signals[[row, 4, 99]] = f32::NAN);
            npz(|archive| {
                archive.add_array("prepared", &signals).expect("adds");
                archive.add_array("length", &ndarray::arr1(&[100_i64, 100, 99])).expect("adds");
            })
        };
        let (_dir, path) = written(&[0]);
        let source = open(&path, &ConvertConfig::published()).expect("loads");
        assert_eq!((&source.names[..], source.rows.len()), (&["1".to_owned()][..], 1));
        let failed: Vec<&str> = source.failed.iter().map(|failed| &failed.reason[..]).collect();
        let expected = "its prepared signal holds values that are not finite";
        assert_eq!(failed, ["shorter than a window of 100 samples", expected]);
        let (_dir, path) = written(&[0, 1]);
        let error = open(&path, &ConvertConfig::published()).expect_err("none is left");
        assert!(error.to_string().ends_with("none of 3 records could be used"), "{error}");
    }

    #[test]
    fn short_records_of_an_archive_stay_where_they_are_padded() {
        let (_dir, path) = npz(|archive| {
            archive.add_array("prepared", &Array3::<f32>::zeros((3, 12, 500))).expect("adds");
            archive.add_array("length", &ndarray::array![100_i64, 60, 0]).expect("adds");
        });
        let config = ConvertConfig::corrected();
        assert_eq!(open(&path, &config).expect("loads").names, ["0"]);
        let padded = config.with_short_records(ShortRecords::Pad);
        assert_eq!(open(&path, &padded).expect("loads").names, ["0", "1"]);
    }

    #[test]
    fn an_archive_of_another_preprocessing_is_refused() {
        let (dir, path) = npz(|archive| {
            archive.add_array("prepared", &Array3::<f32>::zeros((1, 12, 100))).expect("adds");
            archive.add_array("labels", &Array2::<u8>::ones((1, 7))).expect("adds");
        });
        let published = ConvertConfig::published();
        let sidecar = serde_json::json!({"records": ["a/b"], "config": published,
            "config_hash": published.hash(), "failed": []});
        std::fs::write(dir.path().join("rows.json"), sidecar.to_string()).expect("writes");
        let source = open(&path, &published).expect("loads");
        assert_eq!(source.names, ["a/b"]);
        assert!(source.require_labels(&LabelSet::seven()).expect("labels")[[0, 6]]);
        let error = open(&path, &ConvertConfig::corrected()).expect_err("another preset");
        let text = error.to_string();
        assert!(text.contains("found published, expected corrected: "), "{text}");
        assert!(text.contains("units is \"adc\", not \"millivolts\""), "{text}");
        assert!(text.contains("convert --preset corrected"), "{text}");
    }

    #[test]
    fn patients_and_folds_of_an_archive_are_of_each_record_or_of_none() {
        let (dir, path) = npz(|archive| {
            archive.add_array("prepared", &Array3::<f32>::zeros((2, 12, 100))).expect("adds");
        });
        let published = ConvertConfig::published();
        let open_with = |key: &str, list: Value| {
            let mut sidecar = serde_json::json!({"records": ["a", "b"],
                "config_hash": published.hash()});
            sidecar[key] = list;
            std::fs::write(dir.path().join("rows.json"), sidecar.to_string()).expect("writes");
            open(&path, &published)
        };
        let source = open_with("patients", vec!["p", "p"].into()).expect("loads");
        assert_eq!((source.patients.join(" "), source.folds), ("p p".to_owned(), vec![None; 2]));
        for (key, value) in [("patients", "p".into()), ("folds", Value::Null)] {
            let source = open_with(key, Value::Null).expect("knows none");
            assert_eq!((source.patients, source.folds), (source.names, vec![None; 2]));
            let error = open_with(key, vec![value; 3].into()).expect_err("one too many");
            let expected =
                format!("rows.json: {key} has 3 values, expected one for each of 2 records");
            assert!(error.to_string().ends_with(&expected), "{error}");
        }
    }

    /// Writes an archive of three records with these names, and its sidecar.
    fn npz_of(names: [&str; 3], config: &ConvertConfig) -> (tempfile::TempDir, PathBuf) {
        let (dir, path) = npz(|archive| {
            archive.add_array("prepared", &Array3::<f32>::zeros((3, 12, 100))).expect("adds");
        });
        let sidecar = serde_json::json!({"records": names, "config": config,
            "config_hash": config.hash(), "failed": []});
        std::fs::write(dir.path().join("rows.json"), sidecar.to_string()).expect("writes");
        (dir, path)
    }

    #[test]
    fn a_table_labels_the_records_of_an_archive() {
        let published = ConvertConfig::published();
        let (dir, path) = npz_of(["a/1", "a/2", "b/1"], &published);
        let table = dir.path().join("mine.csv");
        // By base name if that is unique.
        std::fs::write(&table, "record,AF,SB\n1,1,0\nx/2,0,1\n").expect("writes");
        let labels = LabelArgs { labels: Some(table.clone()), ..LabelArgs::default() };
        let source = load(&path, &published, &labels).expect("loads");
        assert_eq!(source.labels, [None, Some(vec![false, true]), None]);
        let warning = |text: &str| {
            std::fs::write(&table, text).expect("writes");
            let rows = read_labels(&table, &LabelMap::default(), NsrRule::Challenge);
            source.clone().label_by(&table, rows.expect("reads"))
        };
        assert_eq!(warning("record,AF,SB\na/1,1,0\n2,0,1\n"), None);
        let strangers = "record,AF,SB\na/2,1,0\n2,0,1\n1,0,1\nc,0,1\nd,0,1\n";
        let text = warning(strangers).expect("strangers");
        assert!(text.contains("mine.csv:3: record: 4 rows match no record of "), "{text}");
        assert!(text.ends_with(": 2, 1, c, ..."), "{text}");
        std::fs::write(&table, "record,AF,SB\ny/2,1,0\nx/2,0,1\n").expect("writes");
        let source = load(&path, &published, &labels).expect("loads");
        assert_eq!(source.labels, [None, None, None]);
        let rows = "record,patient,fold,AF,SB\nb/1,p,3,1,0\na/1,q,2,0,1\nc,r,1,1,1\n";
        std::fs::write(&table, rows).expect("writes");
        let labels = LabelArgs { labels: Some(table), ..LabelArgs::default() };
        let source = load(&path, &published, &labels).expect("loads");
        assert_eq!(source.labels, [Some(vec![false, true]), None, Some(vec![true, false])]);
        assert_eq!(source.patients, ["q", "a/2", "p"]);
        assert_eq!(source.folds, [Some(2), None, Some(3)]);
        let error = source.require_labels(&source.label_set).expect_err("one has none");
        assert!(error.to_string().contains("record a/2 has no labels in"), "{error}");
    }

    #[test]
    fn a_table_labels_a_folder_as_it_labels_its_archive() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("data");
        for name in ["x/1", "y/1", "z/2"] {
            let path = data.join(name).with_extension("csv");
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
            std::fs::write(path, "I,II\n1,2\n").expect("writes");
        }
        let table = dir.path().join("pt.csv");
        let rows = "scp_codes,filename_hr\n{'AFIB': 100.0},a/1\n{'AFIB': 100.0},a/2\n";
        std::fs::write(&table, rows).expect("writes");
        let labels = LabelArgs { labels: Some(table.clone()), ..LabelArgs::default() };
        let options = labels.dataset_options().expect("options");
        let dataset = Dataset::open(&data, &options).expect("opens");
        let of_folder: Vec<_> = (0..3).map(|i| dataset.labels(i).map(<[bool]>::to_vec)).collect();

        let published = ConvertConfig::published();
        let (_archive, path) = npz_of(["x/1", "y/1", "z/2"], &published);
        let source = load(&path, &published, &labels).expect("loads");
        assert_eq!(source.labels, of_folder);
        assert_eq!(source.labels.iter().filter(|own| own.is_some()).count(), 1);
    }

    #[test]
    fn windows_belong_to_their_record() {
        let (_dir, path) = npz(|archive| {
            archive.add_array("volume", &Array4::<f32>::zeros((3, 45, 45, 45))).expect("adds");
            archive.add_array("row_record", &ndarray::array![0_i64, 0, 1]).expect("adds");
            let labels = Array2::from_shape_fn((3, 7), |(row, _)| u8::from(row == 2));
            archive.add_array("labels", &labels).expect("adds");
        });
        let source = open(&path, &ConvertConfig::corrected()).expect("loads");
        assert_eq!(source.names, ["0", "1"]);
        assert_eq!(source.row_record.as_deref(), Some(&[0, 0, 1][..]));
        assert_eq!(source.labels, [Some(vec![false; 7]), Some(vec![true; 7])]);
    }

    #[test]
    fn records_without_labels_are_set_aside_with_all_their_rows() {
        let (_dir, path) = npz(|archive| {
            archive.add_array("volume", &Array4::<f32>::zeros((3, 45, 45, 45))).expect("adds");
            archive.add_array("row_record", &ndarray::array![0_i64, 1, 1]).expect("adds");
            archive.add_array("labels", &Array2::<u8>::ones((3, 7))).expect("adds");
        });
        let mut source = open(&path, &ConvertConfig::corrected()).expect("loads");
        source.labels[0] = None;
        source.drop_unlabelled().expect("one record has labels");
        assert_eq!((source.names.as_slice(), source.rows.len()), (&["1".to_owned()][..], 2));
        assert_eq!(source.row_record.as_deref(), Some(&[0, 0][..]));
        assert_eq!(source.failed[0].record, "0");
        source.labels[0] = None;
        assert!(source.drop_unlabelled().is_err());
    }

    #[test]
    fn rows_of_records_that_the_sidecar_lists_are_no_labels() {
        let (dir, path) = npz(|archive| {
            archive.add_array("prepared", &Array3::<f32>::zeros((2, 12, 100))).expect("adds");
            archive.add_array("labels", &Array2::<u8>::zeros((2, 7))).expect("adds");
        });
        let published = ConvertConfig::published();
        let sidecar = serde_json::json!({"records": ["a", "b"], "config": published,
            "config_hash": published.hash(), "unlabelled": ["b"], "failed": []});
        std::fs::write(dir.path().join("rows.json"), sidecar.to_string()).expect("writes");
        let mut source = open(&path, &published).expect("loads");
        assert_eq!(source.labels, [Some(vec![false; 7]), None]);
        let error = source.require_labels(&LabelSet::seven()).expect_err("b has none");
        assert!(error.to_string().starts_with("record b has no labels in "), "{error}");
        source.drop_unlabelled().expect("one record has labels");
        assert_eq!(source.names, ["a"]);
        assert_eq!(source.failed[0].record, "b");
    }

    #[test]
    fn lengths_beyond_the_row_are_refused() {
        let (_dir, path) = npz(|archive| {
            archive.add_array("prepared", &Array3::<f32>::zeros((1, 12, 500))).expect("adds");
            archive.add_array("length", &ndarray::array![501_i64]).expect("adds");
        });
        let error = open(&path, &ConvertConfig::corrected()).expect_err("too long");
        assert!(error.to_string().ends_with("array length holds 501, expected 0 to 500"));
    }

    #[test]
    fn archives_that_hold_nothing_of_use() {
        let (dir, path) = npz(|archive| {
            archive.add_array("other", &ndarray::array![1.0]).expect("adds");
        });
        let config = ConvertConfig::published();
        let error = open(&path, &config).expect_err("nothing to read");
        assert!(error.to_string().contains("expected an array named prepared, images or volume"));
        let text = dir.path().join("text.npz");
        std::fs::write(&text, "no archive").expect("writes");
        let error = open(&text, &config).expect_err("no archive");
        assert!(error.to_string().ends_with("text.npz is not an .npz archive"), "{error}");
        assert!(open(&dir.path().join("absent.npz"), &config).is_err());
    }

    #[test]
    fn tables_are_read_as_the_flags_say() {
        let dir = tempfile::tempdir().expect("a folder");
        let row = (1..=12).map(|k| k.to_string()).collect::<Vec<_>>().join(",");
        let text = format!("{row}\n").repeat(1500);
        std::fs::write(dir.path().join("r.csv"), text).expect("writes");
        let config = ConvertConfig::corrected();
        assert!(open(dir.path(), &config).is_err(), "no rate");
        let reading =
            ReadingArgs { csv_rate: SamplingRate::new(500.0).ok(), ..ReadingArgs::default() };
        let labels = LabelArgs { reading, ..LabelArgs::default() };
        assert_eq!(load(dir.path(), &config, &labels).expect("loads").names, ["r"]);
    }

    #[test]
    fn a_folder_with_a_bad_record_goes_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("data");
        write_folder(&folder, 5, SynthOptions::default().with_seconds(3.0), Format::Wfdb)
            .expect("synthesises");
        std::fs::write(folder.join("synth00002.dat"), [0; 7]).expect("cuts a record short");
        let source = open(&folder, &ConvertConfig::corrected()).expect("loads");
        assert_eq!(source.names, ["synth00000", "synth00001", "synth00003", "synth00004"]);
        assert_eq!(source.failed.len(), 1);
        assert_eq!(source.failed[0].record, "synth00002");
        assert!(source.failed[0].reason.contains("synth00002"), "{}", source.failed[0].reason);
        let Rows::Prepared { signals, lengths } = &source.rows else { panic!("a folder") };
        assert_eq!((signals.dim(), lengths.as_slice()), ((4, 12, 500), &[150; 4][..]));
    }

    #[test]
    fn records_without_volumes_fail() {
        let mut signals = Array3::zeros((3, 12, 500));
        signals[[1, 2, 450]] = 1e20;
        let mut source = Source {
            rows: Rows::Prepared { signals, lengths: vec![500, 400, 300] },
            row_record: None,
            names: ["a", "b", "c"].map(str::to_owned).to_vec(),
            label_set: LabelSet::seven(),
            labels: vec![None; 3],
            patients: ["p", "q", "r"].map(str::to_owned).to_vec(),
            folds: vec![None; 3],
            failed: Vec::new(),
            label_source: "nowhere".to_owned(),
        };
        let plan = ImagePlan::new(&ConvertConfig::corrected()).expect("a plan");
        source.drop_without_volumes(&plan).expect("two are left");
        assert_eq!((source.names.join(" "), source.rows.len()), ("a c".to_owned(), 2));
        let expected =
            "lead 2 (from 0) has a magnitude of 1.00e20, which is too large to compute with";
        let failed = source.failed.iter().map(|own| (own.record.as_str(), own.reason.as_str()));
        assert_eq!(failed.collect::<Vec<_>>(), [("b", expected)]);
        let Rows::Prepared { signals, .. } = &mut source.rows else { panic!("prepared signals") };
        signals.fill(1e20);
        assert!(source.drop_without_volumes(&plan).is_err());
    }
}
