//! Loads an `.npz` that `convert` wrote, or one of the same form.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use ecg_core::LabelSet;
use ecg3d_convert::{ConvertConfig, Preset, Windows};
use ndarray::{Array2, Axis, Ix3, Ix4};
use ndarray_npy::NpzReader;
use serde::Deserialize;
use serde_json::Value;

use super::numpy::{Number, read_array, read_floats, read_integers};
use super::{Failed, Needs, Rows, Source, manifest};
use crate::say_err;

/// The manifest that `convert` writes beside an `.npz`.
#[derive(Debug, Default, Deserialize)]
struct Sidecar {
    records: Vec<String>,
    config_hash: String,
    #[serde(default)]
    config: Value,
    /// The share of the records, `0/1` for all.
    #[serde(default)]
    shard: Option<String>,
    #[serde(default)]
    labels: Option<LabelSet>,
    /// An unknown patient is null; in archives of earlier versions, it has the record's name.
    #[serde(default)]
    patients: Option<Vec<Option<String>>>,
    #[serde(default)]
    folds: Option<Vec<Option<u32>>>,
    /// Records without labels; their rows in the archive are zero.
    #[serde(default)]
    unlabelled: HashSet<String>,
    /// Records that are not in the archive.
    #[serde(default)]
    failed: Vec<Failed>,
}

/// Loads an archive, with its labels only if `labelled`.
pub fn load_npz(
    path: &Path,
    config: &ConvertConfig,
    labelled: bool,
    needs: Needs<'_>,
) -> Result<Source> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let mut npz =
        NpzReader::new(file).with_context(|| format!("{shown} is not an .npz archive"))?;
    // First of all, because archives of other rows or of another preprocessing are not worth reading.
    let held = npz.names().with_context(|| format!("cannot list {shown}"))?;
    if let Some(user) = needs.prepared {
        check_prepared(&held, path, user)?;
    }
    let sidecar = read_sidecar(path, config)?;
    if sidecar.is_none() {
        let read = labelled && held.iter().any(|name| name == "labels");
        let columns = read.then(|| needs.labels.cloned().unwrap_or_default());
        say_err!("warning: {}", assumed(path, columns.as_ref()));
    }
    let rows = read_rows(&mut npz, path)?;
    let n = rows.len();
    ensure!(n > 0, "{shown} holds no records");
    let row_record = read_row_record(&mut npz, path, n)?;
    let records =
        row_record.as_ref().map_or(n, |records| records.iter().max().map_or(0, |last| last + 1));
    let named = sidecar.as_ref().map_or(records, |sidecar| sidecar.records.len());
    ensure!(
        named == records,
        "{} names {named} records, but {shown} holds {records}",
        manifest(path).display()
    );
    let sidecar = sidecar.unwrap_or_else(|| Sidecar {
        records: (0..records).map(|record| record.to_string()).collect(),
        labels: needs.labels.cloned(),
        ..Sidecar::default()
    });
    let patients = of_each(sidecar.patients, "patients", path, records)?;
    let folds = of_each(sidecar.folds, "folds", path, records)?;

    let mut other_windows = differences(&sidecar.config, config, Some(windows_by(&rows, config)))?;
    if let Rows::Prepared { signals, lengths } = &rows {
        // Only records that are longer than wanted, or may have been cut, have other windows.
        let (stored, wanted) = (signals.len_of(Axis(2)), config.prepared_shape()[1]);
        let is_other = |&length: &usize| length > wanted || stored < wanted && length == stored;
        other_windows = other_windows.filter(|_| lengths.iter().any(is_other));
    }
    let mut source = Source::unlabelled(sidecar.records, rows);
    source.other_windows = other_windows;
    source.row_record = row_record;
    source.label_source = shown.to_string();
    source.label_set = sidecar.labels.unwrap_or_default();
    source.left_out = sidecar.failed.into_iter().map(|failed| failed.record).collect();
    source.is_share = sidecar.shard.is_some_and(|shard| shard != "0/1");
    if let Some(patients) = patients {
        source.patients = known_patients(patients, &source.names);
    }
    if let Some(folds) = folds {
        source.folds = folds;
    }
    if labelled {
        read_labels_of(&mut source, &mut npz, path, &sidecar.unlabelled)?;
    }
    let without = source.records_without_rows();
    source.set_aside(because(&without, "has no rows in array row_record"));
    if let Rows::Prepared { lengths, .. } = &source.rows {
        let short = lengths.iter().map(|&length| config.window_starts(length).is_empty());
        let short = source.records_of(&short.collect::<Vec<_>>());
        let window = config.window_samples();
        source.set_aside(because(&short, &format!("shorter than a window of {window} samples")));
    }
    let (rows, what) = source.rows_not_finite();
    let reason = format!("its {what} values that are not finite");
    source.set_aside(because(&source.records_of(&rows), &reason));
    if source.names.is_empty() {
        source.report_failures();
        bail!("{shown}: none of {records} records could be used");
    }
    Ok(source)
}

/// Returns the reason for each marked record.
fn because(marked: &[bool], reason: &str) -> Vec<Option<String>> {
    marked.iter().map(|marked| marked.then(|| reason.to_owned())).collect()
}

/// Refuses an archive whose arrays, which it holds by these names, are not prepared signals with one row for each
/// record. `user` says who takes only those.
fn check_prepared(held: &[String], path: &Path, user: &str) -> Result<()> {
    let has = |name: &str| held.iter().any(|own| own == name);
    let found = match (has("prepared"), has("row_record")) {
        (true, false) => return Ok(()),
        (true, true) => "several rows per record (row_record)".to_owned(),
        (false, _) if held.is_empty() => "no arrays".to_owned(),
        (false, _) => held.join(", "),
    };
    bail!("{} holds {found}; {user}; make them with convert --stage prepared", path.display())
}

/// Reads the main array, with the lengths of prepared signals.
fn read_rows(npz: &mut NpzReader<File>, path: &Path) -> Result<Rows> {
    let shown = path.display();
    if let Some(signals) = read_floats::<Ix3>(npz, path, "prepared")? {
        let (n, full) = (signals.len_of(Axis(0)), signals.len_of(Axis(2)));
        let Some(lengths) = read_integers(npz, path, "length")? else {
            return Ok(Rows::Prepared { signals, lengths: vec![full; n] });
        };
        ensure!(
            lengths.len() == n,
            "{shown}: array length has {} rows, prepared has {n}",
            lengths.len()
        );
        let lengths = lengths.iter().map(|&length| {
            usize::try_from(length).ok().filter(|length| *length <= full).with_context(|| {
                format!("{shown}: array length holds {length}, expected 0 to {full}")
            })
        });
        return Ok(Rows::Prepared { lengths: lengths.collect::<Result<_>>()?, signals });
    }
    if let Some(images) = read_floats::<Ix4>(npz, path, "images")? {
        return Ok(Rows::Images(images));
    }
    if let Some(volumes) = read_floats::<Ix4>(npz, path, "volume")? {
        return Ok(Rows::Volumes(volumes));
    }
    let held = npz.names().with_context(|| format!("cannot list {shown}"))?;
    bail!("{shown} holds {}, expected an array named prepared, images or volume", held.join(", "))
}

/// Reads the record of each of `n` rows, if the archive holds them.
fn read_row_record(npz: &mut NpzReader<File>, path: &Path, n: usize) -> Result<Option<Vec<usize>>> {
    let Some(records) = read_integers(npz, path, "row_record")? else { return Ok(None) };
    let records = records
        .iter()
        .map(|&record| usize::try_from(record).ok().filter(|record| *record < n))
        .collect::<Option<Vec<_>>>()
        .filter(|records| records.len() == n);
    let records = records.with_context(|| {
        let shown = path.display();
        format!("{shown}: array row_record does not name a record for each of {n} rows")
    })?;
    Ok(Some(records))
}

/// Reads the labels of the records, each 0 or 1, if the archive holds labels.
fn read_labels_of(
    source: &mut Source,
    npz: &mut NpzReader<File>,
    path: &Path,
    unlabelled: &HashSet<String>,
) -> Result<()> {
    let Some(labels) = read_array::<Number>(npz, path, "labels")? else { return Ok(()) };
    let (shown, found) = (path.display(), labels.shape());
    let shape = [source.rows.len(), source.label_set.len()];
    ensure!(found == shape, "{shown}: array labels has shape {found:?}, expected {shape:?}");
    if let Some(Number(found)) = labels.iter().find(|label| ![0.0, 1.0].contains(&label.0)) {
        bail!("{shown}: array labels holds {found}, expected 0 or 1");
    }
    let labels: Array2<bool> = labels.map(|label| label.0 == 1.0).into_dimensionality()?;
    for (row, own) in labels.outer_iter().enumerate() {
        let record = source.row_record.as_ref().map_or(row, |records| records[row]);
        let known = !unlabelled.contains(&source.names[record]);
        source.labels[record] = known.then(|| own.to_vec());
    }
    Ok(())
}

/// Returns the patients that are known, of those in a sidecar.
///
/// Earlier versions of `convert` wrote the record's own name for an unknown patient. So in a list without null, a
/// patient called like its record is unknown if no other record has that patient.
fn known_patients(mut patients: Vec<Option<String>>, names: &[String]) -> Vec<Option<String>> {
    if patients.contains(&None) {
        return patients;
    }
    let mut records: HashMap<String, usize> = HashMap::new();
    for patient in patients.iter().flatten() {
        *records.entry(patient.clone()).or_default() += 1;
    }
    for (patient, name) in patients.iter_mut().zip(names) {
        if patient.as_ref() == Some(name) && records.get(name) == Some(&1) {
            *patient = None;
        }
    }
    patients
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
        manifest(npz).display()
    );
    Ok(list)
}

/// Says what is assumed of an archive without a sidecar, of whose labels these columns are read.
fn assumed(npz: &Path, columns: Option<&LabelSet>) -> String {
    let labels = columns.map_or(String::new(), |columns| {
        let columns = columns.iter().collect::<Vec<_>>().join(", ");
        format!(
            ", that the labels of every row are known, and that the columns of `labels` are {columns}"
        )
    });
    format!(
        "{} has no {} beside it; assuming the same preprocessing{labels}",
        npz.display(),
        manifest(npz).display()
    )
}

/// Reads the sidecar, if there is one, and refuses an archive that was made with another preprocessing.
fn read_sidecar(npz: &Path, config: &ConvertConfig) -> Result<Option<Sidecar>> {
    let path = manifest(npz);
    if !path.exists() {
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
            differences(&sidecar.config, config, None)?
                .map_or(String::new(), |fields| format!(": {fields}")),
            match preset_of(&wanted) {
                Some(preset) => format!("convert --preset {preset}"),
                None => "convert --config and the card's `preprocessing`".to_owned(),
            }
        );
    }
    Ok(Some(sidecar))
}

/// Names the fields that decide which windows the networks get of a recording, apart from those in the hash: for
/// prepared signals, windows are cut as `wanted` says.
fn windows_by(rows: &Rows, wanted: &ConvertConfig) -> &'static [&'static str] {
    let prepared = matches!(rows, Rows::Prepared { .. });
    match (prepared, wanted.windows == Windows::First) {
        (true, true) => &[],
        (true, false) => &["max_seconds"],
        (false, true) => &["windows"],
        (false, false) => &["windows", "hop_s", "max_seconds"],
    }
}

/// Describes how the configuration of an archive differs from the one wanted, as far as it states these fields, or
/// any: `FIELD is VALUE, not VALUE, ..`.
fn differences(
    found: &Value,
    wanted: &ConvertConfig,
    fields: Option<&[&str]>,
) -> Result<Option<String>> {
    // 10 and 10.0 are the same.
    let same = |a: &Value, b: &Value| a == b || a.is_number() && a.as_f64() == b.as_f64();
    let wanted = serde_json::to_value(wanted)?;
    let of_all = wanted.as_object().into_iter().flatten();
    let own =
        of_all.filter(|(name, _)| fields.is_none_or(|fields| fields.contains(&name.as_str())));
    let own = own.filter_map(|(name, wanted)| {
        let found = found.get(name)?;
        (!same(found, wanted)).then(|| format!("{name} is {found}, not {wanted}"))
    });
    let own: Vec<String> = own.collect();
    Ok((!own.is_empty()).then(|| own.join(", ")))
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use ecg_io::{Dataset, LabelMap, NsrRule, read_labels};
    use ecg3d_convert::ShortRecords;
    use ndarray::{Array3, Array4, Array5};
    use ndarray_npy::NpzWriter;
    use tempfile::TempDir;

    use super::super::{LabelArgs, load};
    use super::*;
    use crate::reading::ReadingArgs;

    fn npz(write: impl FnOnce(&mut NpzWriter<File>)) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rows.npz");
        let mut archive = NpzWriter::new(File::create(&path).expect("a file"));
        write(&mut archive);
        archive.finish().expect("finishes");
        (dir, path)
    }

    fn open(path: &Path, config: &ConvertConfig) -> Result<Source> {
        load(path, config, &LabelArgs::default(), Needs::default())
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
        assert!(error.to_string().starts_with("no record has labels in "), "{error}");
    }

    #[test]
    fn labels_of_an_archive_may_be_numbers_of_any_kind_but_are_0_or_1() {
        fn labelled(labels: &Array2<impl ndarray_npy::WritableElement>) -> Result<Source> {
            let (_dir, path) = npz(|archive| {
                archive.add_array("prepared", &Array3::<f32>::zeros((2, 12, 100))).expect("adds");
                archive.add_array("labels", labels).expect("adds");
            });
            let config = ConvertConfig::published();
            let ignored = LabelArgs::ignored(ReadingArgs::default());
            let ignored = load(&path, &config, &ignored, Needs::default());
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

    #[test]
    fn records_without_rows_fail() {
        let (dir, path) = npz(|archive| {
            let rows = Array3::<f32>::zeros((2, 12, 100));
            archive.add_array("prepared", &rows).expect("adds");
            archive.add_array("row_record", &ndarray::array![1_i64, 1]).expect("adds");
            archive.add_array("labels", &Array2::<u8>::ones((2, 7))).expect("adds");
        });
        let published = ConvertConfig::published();
        let failed = |source: &Source| -> Vec<String> {
            source.failed.iter().map(|own| format!("{} {}", own.record, own.reason)).collect()
        };
        let source = open(&path, &published).expect("loads");
        assert_eq!((source.names.join(" "), source.rows.len()), ("1".to_owned(), 2));
        assert_eq!(source.row_record.as_deref(), Some(&[0, 0][..]));
        assert_eq!(source.labels, [Some(vec![true; 7])]);
        assert_eq!(failed(&source), ["0 has no rows in array row_record"]);
        let open_with = |names: &[&str]| {
            let sidecar = serde_json::json!({"records": names, "config_hash": published.hash()});
            std::fs::write(dir.path().join("rows.json"), sidecar.to_string()).expect("writes");
            open(&path, &published)
        };
        let source = open_with(&["a", "b"]).expect("loads");
        assert_eq!(source.names, ["b"]);
        assert_eq!(failed(&source), ["a has no rows in array row_record"]);
        // A list of another length is that of another run.
        for names in [&["a"][..], &["a", "b", "c"]] {
            let error = open_with(names).expect_err("another number").to_string();
            let expected = format!("rows.json names {} records, but ", names.len());
            assert!(error.contains(&expected) && error.ends_with("rows.npz holds 2"), "{error}");
        }
    }

    #[test]
    fn tables_and_manifests_are_read_before_the_arrays() {
        // An array that cannot be read.
        let (dir, path) = npz(|archive| {
            archive.add_array("prepared", &Array3::<i64>::zeros((1, 12, 100))).expect("adds");
        });
        let published = ConvertConfig::published();
        let said = |config: &ConvertConfig, labels: &LabelArgs| {
            load(&path, config, labels, Needs::default()).expect_err("refused").to_string()
        };
        let table = LabelArgs { labels: Some(dir.path().join("no.csv")), ..LabelArgs::default() };
        let text = said(&published, &table);
        assert!(text.contains("no.csv"), "{text}");
        let sidecar = serde_json::json!({"records": ["a"], "config_hash": published.hash()});
        std::fs::write(dir.path().join("rows.json"), sidecar.to_string()).expect("writes");
        let text = said(&ConvertConfig::corrected(), &LabelArgs::default());
        assert!(text.contains("was made with different preprocessing"), "{text}");
        let text = said(&published, &LabelArgs::default());
        assert!(text.contains("array prepared cannot be read"), "{text}");
    }

    #[test]
    fn columns_that_no_sidecar_names_are_the_labels_of_the_weights() {
        let (dir, path) = npz(|archive| {
            archive.add_array("prepared", &Array3::<f32>::zeros((1, 12, 100))).expect("adds");
            archive.add_array("labels", &ndarray::array![[1_u8, 0]]).expect("adds");
        });
        let published = ConvertConfig::published();
        let set = LabelSet::new(["STach", "AF"]).expect("labels");
        let needs = Needs { labels: Some(&set), ..Needs::default() };
        let open = |needs| load(&path, &published, &LabelArgs::default(), needs);
        let source = open(needs).expect("loads");
        assert_eq!((source.label_set, source.labels), (set.clone(), vec![Some(vec![true, false])]));
        let error = open(Needs::default()).expect_err("not the seven").to_string();
        assert!(error.ends_with("array labels has shape [1, 2], expected [1, 7]"), "{error}");
        // A sidecar decides, whatever the weights are for.
        let sidecar = serde_json::json!({"records": ["a"], "config_hash": published.hash(),
            "labels": ["SB", "AF"]});
        std::fs::write(dir.path().join("rows.json"), sidecar.to_string()).expect("writes");
        let named = LabelSet::new(["SB", "AF"]).expect("labels");
        assert_eq!(open(needs).expect("loads").label_set, named);

        let said = |columns| assumed(Path::new("x.npz"), columns);
        let expected = "x.npz has no x.json beside it; assuming the same preprocessing";
        assert_eq!(said(None), expected);
        let labels = ", that the labels of every row are known, and that the columns of `labels` are STach, AF";
        assert_eq!(said(Some(&set)), format!("{expected}{labels}"));
    }

    #[test]
    fn rows_that_are_of_no_use_are_refused_before_they_are_read() {
        let needs = Needs { prepared: Some("training takes signals"), ..Needs::default() };
        let refused = |arrays: &str| {
            let (_dir, path) = npz(|archive| {
                // Arrays that cannot be read.
                for name in arrays.split_whitespace() {
                    archive.add_array(name, &Array3::<i64>::zeros((1, 1, 1))).expect("adds");
                }
            });
            let (config, labels) = (ConvertConfig::published(), LabelArgs::default());
            let error = load(&path, &config, &labels, needs).expect_err("refused").to_string();
            error.replace(&path.display().to_string(), "x.npz")
        };
        for (arrays, found) in [
            ("volume labels", "volume, labels"),
            ("images row_record", "images, row_record"),
            ("prepared row_record", "several rows per record (row_record)"),
            ("", "no arrays"),
        ] {
            let expected = format!(
                "x.npz holds {found}; training takes signals; make them with convert --stage prepared"
            );
            assert_eq!(refused(arrays), expected);
        }
        let read = refused("prepared volume");
        assert!(read.contains("array prepared cannot be read"), "{read}");
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
    fn flags_for_recordings_are_refused_with_an_archive() {
        let published = ConvertConfig::published();
        let (_dir, path) = npz_of(["a", "b", "c"], &published);
        let reading = ReadingArgs { allow_links: true, ..ReadingArgs::default() };
        let labels = LabelArgs::ignored(reading);
        let error = load(&path, &published, &labels, Needs::default()).expect_err("refused");
        assert!(error.to_string().contains("rows.npz is already converted"), "{error}");
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
    fn other_windows_than_the_weights_use_are_noticed() {
        let corrected = ConvertConfig::corrected();
        let noticed = |array: &str, config: &Value, wanted: &ConvertConfig| {
            let (dir, path) = npz(|archive| {
                let added = match array {
                    "prepared" => archive.add_array(array, &Array3::<f32>::zeros((1, 12, 500))),
                    "short" => archive.add_array("prepared", &Array3::<f32>::zeros((1, 12, 150))),
                    "images" => archive.add_array(array, &Array4::<f32>::zeros((1, 12, 45, 45))),
                    _ => archive.add_array(array, &Array4::<f32>::zeros((1, 45, 45, 45))),
                };
                added.expect("adds");
            });
            let sidecar = serde_json::json!({"records": ["a"], "config": config,
                "config_hash": wanted.hash()});
            std::fs::write(dir.path().join("rows.json"), sidecar.to_string()).expect("writes");
            open(&path, wanted).expect("loads").other_windows
        };
        let json = |config: ConvertConfig| serde_json::to_value(config).expect("JSON");
        let first = corrected.clone().with_windows(Windows::First);
        let expected = Some("windows is \"first\", not \"all\"".to_owned());
        for array in ["images", "volume"] {
            assert_eq!(noticed(array, &json(first.clone()), &corrected), expected);
            assert_eq!(noticed(array, &json(corrected.clone()), &corrected), None);
            // Only first windows are wanted, whatever follows them.
            let other = json(first.clone().with_max_seconds(3.0).with_hop_s(0.5));
            assert_eq!(noticed(array, &other, &first), None);
        }
        let denser = json(corrected.clone().with_max_seconds(3.0).with_hop_s(0.5));
        let expected = "hop_s is 0.5, not 1.0, max_seconds is 3.0, not 10.0".to_owned();
        assert_eq!(noticed("volume", &denser, &corrected), Some(expected));
        // Windows of prepared signals are cut when they are used.
        assert_eq!(noticed("prepared", &json(first), &corrected), None);
        let expected = Some("max_seconds is 3.0, not 10.0".to_owned());
        assert_eq!(noticed("short", &denser, &corrected), expected);
        // Whole recordings have the same windows, however long they might have been.
        assert_eq!(noticed("prepared", &denser, &corrected), None);
        for own in [serde_json::json!({}), serde_json::json!({"max_seconds": 10})] {
            assert_eq!(noticed("prepared", &own, &corrected), None);
        }
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
        let same = Some("p".to_owned());
        assert_eq!((source.patients, source.folds), (vec![same; 2], vec![None; 2]));
        for (key, value) in [("patients", "p".into()), ("folds", Value::Null)] {
            let source = open_with(key, Value::Null).expect("knows none");
            assert_eq!((source.patients, source.folds), (vec![None; 2], vec![None; 2]));
            let error = open_with(key, vec![value; 3].into()).expect_err("one too many");
            let expected =
                format!("rows.json: {key} has 3 values, expected one for each of 2 records");
            assert!(error.to_string().ends_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_patient_called_like_its_record_may_be_known() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let known = |patients: [Option<&str>; 3]| {
            known_patients(patients.map(|own| own.map(str::to_owned)).to_vec(), &names)
        };
        let owned = |patients: [Option<&str>; 3]| patients.map(|own| own.map(str::to_owned));
        let with_null = [Some("a"), None, Some("p")];
        assert_eq!(known(with_null), owned(with_null));
        // As earlier versions wrote them.
        assert_eq!(known([Some("a"), Some("b"), Some("p")]), owned([None, None, Some("p")]));
        let shared = [Some("a"), Some("a"), Some("p")];
        assert_eq!(known(shared), owned(shared));
    }

    /// Writes an archive of records with these names, and its sidecar with further keys.
    fn npz_with(names: &[&str], config: &ConvertConfig, more: Value) -> (TempDir, PathBuf) {
        let (dir, path) = npz(|archive| {
            let signals = Array3::<f32>::zeros((names.len(), 12, 100));
            archive.add_array("prepared", &signals).expect("adds");
        });
        let mut sidecar = serde_json::json!({"records": names, "config": config,
            "config_hash": config.hash(), "failed": []});
        for (key, value) in more.as_object().into_iter().flatten() {
            sidecar[key] = value.clone();
        }
        std::fs::write(dir.path().join("rows.json"), sidecar.to_string()).expect("writes");
        (dir, path)
    }

    /// Writes such an archive of three records.
    fn npz_of(names: [&str; 3], config: &ConvertConfig) -> (TempDir, PathBuf) {
        npz_with(&names, config, Value::Null)
    }

    #[test]
    fn a_table_labels_the_records_of_an_archive() {
        let published = ConvertConfig::published();
        let (dir, path) = npz_of(["a/1", "a/2", "b/1"], &published);
        let table = dir.path().join("mine.csv");
        // By base name if that is unique.
        std::fs::write(&table, "record,AF,SB\n1,1,0\nx/2,0,1\n").expect("writes");
        let labels = LabelArgs { labels: Some(table.clone()), ..LabelArgs::default() };
        let source = load(&path, &published, &labels, Needs::default()).expect("loads");
        assert_eq!(source.labels, [None, Some(vec![false, true]), None]);
        let warning = |text: &str| {
            std::fs::write(&table, text).expect("writes");
            let rows = read_labels(&table, &LabelMap::default(), NsrRule::Challenge);
            let warnings = source.clone().label_by(rows.expect("reads")).expect("labels");
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(warning("record,AF,SB\na/1,1,0\n2,0,1\n").is_empty());
        let strangers = "record,AF,SB\na/2,1,0\n2,0,1\n1,0,1\nc,0,1\nd,0,1\ne,0,1\nold/b/1,0,1\n";
        let [absent, several] = &warning(strangers)[..] else { panic!("two warnings") };
        let expected = "mine.csv:3: record: 4 rows match no record in the archive: 2, c, d, ...";
        assert!(absent.ends_with(expected), "{absent}");
        let expected =
            "mine.csv:4: record: 2 rows match several records in the archive: 1, old/b/1";
        assert!(several.ends_with(expected), "{several}");
        let [elsewhere] = &warning("record,AF,SB\nold/2,0,1\n")[..] else { panic!("one warning") };
        let expected =
            "mine.csv:2: record: 1 rows name other folders and are matched by base name: old/2";
        assert!(elsewhere.ends_with(expected), "{elsewhere}");
        std::fs::write(&table, "record,AF,SB\ny/2,1,0\nx/2,0,1\n").expect("writes");
        let source = load(&path, &published, &labels, Needs::default()).expect("loads");
        assert_eq!(source.labels, [None, None, None]);
        let rows = "record,patient,fold,AF,SB\nb/1,p,3,1,0\na/1,q,2,0,1\nc,r,1,1,1\n";
        std::fs::write(&table, rows).expect("writes");
        let labels = LabelArgs { labels: Some(table), ..LabelArgs::default() };
        let source = load(&path, &published, &labels, Needs::default()).expect("loads");
        assert_eq!(source.labels, [Some(vec![false, true]), None, Some(vec![true, false])]);
        let [q, p] = ["q", "p"].map(|own| Some(own.to_owned()));
        assert_eq!(source.patients, [q, None, p]);
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
        let source = load(&path, &published, &labels, Needs::default()).expect("loads");
        assert_eq!(source.labels, of_folder);
        assert_eq!(source.labels.iter().filter(|own| own.is_some()).count(), 1);
        let rows = read_labels(&table, &LabelMap::default(), NsrRule::Challenge);
        let warnings = source.clone().label_by(rows.expect("reads")).expect("labels");
        let [elsewhere, several] = &warnings[..] else { panic!("two warnings: {warnings:?}") };
        assert!(elsewhere.message.ends_with("are matched by base name: a/2"), "{elsewhere}");
        assert!(several.message.ends_with(" in the archive: a/1"), "{several}");
        let expected = [elsewhere, several]
            .map(|own| own.to_string().replace(" in the archive: ", " in the folder: "));
        let told: Vec<String> = dataset.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);

        // Of a record that is not in the archive, the name is known.
        let failed = serde_json::json!({"failed": [{"record": "x/1", "reason": "is short"}]});
        let (_archive, path) = npz_with(&["y/1", "z/2"], &published, failed);
        let source = load(&path, &published, &labels, Needs::default()).expect("loads");
        assert_eq!(source.labels, of_folder[1..]);

        // Of the records of another share, it is not.
        let share = serde_json::json!({"shard": "1/2"});
        let (_archive, path) = npz_with(&["y/1", "z/2"], &published, share);
        let mut source = load(&path, &published, &labels, Needs::default()).expect("loads");
        assert_eq!(source.labels, [None, None]);
        let error = source.drop_unlabelled().expect_err("none has labels").to_string();
        assert!(error.contains("pt.csv; provide a table of full names"), "{error}");
        std::fs::write(&table, "record,AF\nz/2,1\n1,1\n").expect("writes");
        let mut source = load(&path, &published, &labels, Needs::default()).expect("loads");
        assert_eq!(source.labels, [None, Some(vec![true])]);
        let rows = read_labels(&table, &LabelMap::default(), NsrRule::Challenge);
        let warnings = source.label_by(rows.expect("reads")).expect("labels");
        let [warning] = &warnings[..] else { panic!("1 is unclear: {warnings:?}") };
        let message = &warning.message;
        assert!(message.ends_with(": 1; in a share, a row needs the full name"), "{message}");
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
}
