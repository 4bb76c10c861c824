//! Joins the shares of a data set that `--shard` left into the file that a single run would have written.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use ecg_core::LabelSet;
use ecg3d_convert::ConvertConfig;
use ecg3d_examples::source::Failed;
use ecg3d_examples::{check_inputs, check_place, say, say_err, sha256, status};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zip::{CompressionMethod, ZipArchive};

use crate::store::{Array, Dtype, Format, Kind, npy_header, target_of};
use crate::{Stage, about, has_labels, parse_shard};

/// The array that a share lacks if none of its records has labels.
const LABELS: &str = "labels";

/// `FILE.json`, read into memory as a whole. The fields are those of [`crate::manifest::Manifest`].
#[derive(Clone, Serialize, Deserialize)]
struct Manifest {
    program: String,
    stage: Stage,
    shape: Vec<usize>,
    dtype: Dtype,
    config: ConvertConfig,
    config_hash: String,
    shard: String,
    labels: LabelSet,
    label_source: String,
    label_map: String,
    /// Empty in manifests of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    label_map_sha256: String,
    nsr_rule: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    reading: Value,
    sha256: Map<String, Value>,
    records: Vec<String>,
    record_sha256: Vec<String>,
    patients: Vec<Option<String>>,
    folds: Vec<Option<u32>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unlabelled: Vec<String>,
    failed: Vec<Failed>,
    warnings: Vec<Warned>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Warned {
    record: String,
    warning: String,
}

/// An archive and its manifest.
struct Share {
    path: PathBuf,
    manifest: Manifest,
    /// First row of each record, followed by the end of the last.
    rows: Vec<usize>,
}

/// A record of a share.
#[derive(Clone, Copy)]
struct Place {
    share: usize,
    record: usize,
}

/// Writes one file from many. The status tells whether records or shares are missing.
pub fn join(paths: &[PathBuf], out: &Path) -> Result<ExitCode> {
    let format = Format::of(out)?;
    let manifests: Vec<PathBuf> = paths.iter().map(|path| path.with_extension("json")).collect();
    let manifest = format.manifest(out);
    for place in [out, &manifest] {
        check_place(place)?;
        check_inputs(place, paths.iter().chain(&manifests))?;
    }
    format.check_earlier(out)?;
    let target = target_of(out)?;
    let shares: Vec<Share> = paths.iter().map(|path| Share::open(path)).collect::<Result<_>>()?;
    let first = shares.first().context("nothing to join")?;
    for share in &shares {
        share.check_against(first)?;
        let [own, expected] = [share, first].map(|share| &share.manifest.label_source);
        if own != expected {
            let [path, other] = [share, first].map(|share| share.path.display());
            say_err!(
                "warning: the labels of {path} come from {own}, those of {other} from {expected}"
            );
        }
    }
    let order = order(&shares)?;
    let (shard, missing) = shards(&shares)?;
    let all = Joined { shares: &shares, order: &order };
    let mut manifest = all.manifest(shard);
    let (records, failed) = (order.len(), manifest.failed.len());
    ensure!(
        records > 0 || failed == 0 || missing.is_some(),
        "none of {failed} records of these shares could be converted"
    );

    let mut arrays = vec![all.main(&manifest)];
    let unlabelled = manifest.unlabelled.len();
    if has_labels(unlabelled, records, &manifest.label_source, &format.manifest(out)) {
        arrays.push(all.further(LABELS, Kind::U8, vec![manifest.labels.len()]));
    }
    if first.has("length") {
        arrays.push(all.further("length", Kind::I64, Vec::new()));
    }
    if first.has("row_record") {
        arrays.push(all.row_record());
    }
    let about = about(&manifest.config, &manifest.labels)?;
    // A folder of its own, because several files may be written. It is removed after an error, too.
    let beside = target.parent().unwrap_or(Path::new(""));
    let folder =
        tempfile::Builder::new().prefix(&prefix(&target)).suffix(".tmp").tempdir_in(beside);
    let folder = folder.with_context(|| format!("cannot write beside {}", target.display()))?;
    let staging = folder.path().join("result.tmp");
    manifest.sha256 = format.write(&staging, out, arrays, &about)?;
    format.place(&staging, out, &target, &manifest, &manifest.sha256)?;
    folder.close().with_context(|| format!("cannot clean up beside {}", target.display()))?;

    let mut text = format!("{} rows of {records} records in {}", manifest.shape[0], out.display());
    if failed > 0 {
        text.push_str(&format!(", {failed} records failed"));
    }
    say!("{text}");
    if let Some(missing) = &missing {
        say_err!("warning: {missing}");
    }
    Ok(status(failed > 0 || missing.is_some()))
}

impl Share {
    fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        ensure!(
            matches!(Format::of(path), Ok(Format::Npz)),
            "--join: found {shown}, expected a name that ends in .npz"
        );
        let beside = path.with_extension("json");
        let text =
            fs::read(&beside).with_context(|| format!("cannot read {}", beside.display()))?;
        let manifest: Manifest = serde_json::from_slice(&text).with_context(|| {
            format!("{} is not a manifest written by convert", beside.display())
        })?;
        let records = manifest.records.len();
        let columns = [manifest.record_sha256.len(), manifest.patients.len(), manifest.folds.len()];
        ensure!(
            columns == [records; 3] && !manifest.shape.is_empty(),
            "{}: expected a shape, and one checksum, patient and fold for each record",
            beside.display()
        );
        ensure!(
            manifest.sha256.contains_key(LABELS) || manifest.unlabelled.len() == records,
            "{shown} was written by an earlier version of convert, which left out all labels if one record had none; convert it again"
        );
        let mut share = Self { path: path.to_owned(), manifest, rows: Vec::new() };
        share.rows = share.first_rows()?;
        ensure!(
            share.rows.len() == records + 1 && share.rows[records] == share.manifest.shape[0],
            "{shown} has {} rows of {} records, but its manifest has {} of {records}",
            share.rows.last().copied().unwrap_or(0),
            share.rows.len() - 1,
            share.manifest.shape[0]
        );
        Ok(share)
    }

    fn first_rows(&self) -> Result<Vec<usize>> {
        if !self.has("row_record") {
            return Ok((0..=self.manifest.records.len()).collect());
        }
        let n = self.manifest.shape[0];
        let start = self.start("row_record", Kind::I64, &[n])?;
        let bytes = self.read(start, 8 * n)?;
        // The record of each row, from 0, without gaps.
        let mut rows = Vec::new();
        for (row, bytes) in bytes.chunks_exact(8).enumerate() {
            let record = bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
            if record == rows.len() as u64 {
                rows.push(row);
            }
            ensure!(
                Some(rows.len() as u64) == record.checked_add(1),
                "{}: row {row} belongs to record {record}, out of order",
                self.path.display()
            );
        }
        rows.push(n);
        Ok(rows)
    }

    /// Returns the offset in the file at which the values of an array start.
    fn start(&self, name: &str, kind: Kind, shape: &[usize]) -> Result<u64> {
        let shown = self.path.display();
        let file = File::open(&self.path).with_context(|| format!("cannot read {shown}"))?;
        let mut archive =
            ZipArchive::new(file).with_context(|| format!("{shown} is not an .npz archive"))?;
        let mut member = archive
            .by_name(&format!("{name}.npy"))
            .with_context(|| format!("{shown} has no array {name}"))?;
        let expected = npy_header(kind.numpy(), shape);
        let mut header = Vec::new();
        if member.compression() == CompressionMethod::Stored {
            let length = expected.len() as u64;
            (&mut member)
                .take(length)
                .read_to_end(&mut header)
                .with_context(|| format!("cannot read {shown}"))?;
        }
        ensure!(
            header == expected,
            "{shown}: array {name} is not in the form that convert writes, expected {} {shape:?}, uncompressed",
            kind.numpy()
        );
        Ok(member.data_start() + expected.len() as u64)
    }

    fn read(&self, start: u64, bytes: usize) -> Result<Vec<u8>> {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(start))?;
            let mut values = Vec::new();
            file.take(bytes as u64).read_to_end(&mut values)?;
            Ok(values)
        };
        let values = read().with_context(|| format!("cannot read {}", self.path.display()))?;
        ensure!(values.len() == bytes, "{} is truncated", self.path.display());
        Ok(values)
    }

    fn has(&self, array: &str) -> bool {
        self.manifest.sha256.contains_key(array)
    }

    /// Returns everything in which shares must agree.
    fn facts(&self) -> Result<Vec<(String, String)>> {
        let own = &self.manifest;
        let fact = |what: &str, value: &str| (what.to_owned(), value.to_owned());
        let arrays: Vec<&str> =
            own.sha256.keys().map(String::as_str).filter(|name| *name != LABELS).collect();
        let mut facts = vec![
            fact("program", &own.program),
            fact("stage", own.stage.name()),
            fact("dtype", &format!("{:?}", own.dtype)),
        ];
        // Its hash leaves out settings that decide which windows there are.
        if let Value::Object(config) = serde_json::to_value(&own.config)? {
            for (key, value) in config {
                facts.push(fact(&format!("configuration ({key})"), &value.to_string()));
            }
        }
        let label_map = match own.label_map_sha256.as_str() {
            "" => format!("unknown (map {})", own.label_map),
            hash => hash.to_owned(),
        };
        facts.extend([
            fact("row shape", &format!("{:?}", &own.shape[1..])),
            fact("arrays", &arrays.join(", ")),
            fact("labels", &own.labels.to_string()),
            fact("label map content (SHA-256)", &label_map),
            fact("reading options", &own.reading.to_string()),
            fact("NSR rule", &own.nsr_rule),
        ]);
        Ok(facts)
    }

    fn check_against(&self, first: &Self) -> Result<()> {
        for ((what, found), (_, expected)) in self.facts()?.into_iter().zip(first.facts()?) {
            ensure!(
                found == expected,
                "{} differs from {} in its {what}: found {found}, expected {expected}",
                self.path.display(),
                first.path.display()
            );
        }
        Ok(())
    }
}

/// Returns how the name of the folder in which a result is put together starts: with the result's name, unless that
/// leaves no room for the rest.
fn prefix(target: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    if let Some(name) = target.file_name().filter(|name| name.len() <= 200) {
        prefix.push(name);
        prefix.push(".");
    }
    prefix
}

/// All records in the order of their names. None may be in two shares.
fn order(shares: &[Share]) -> Result<Vec<Place>> {
    let mut named = Vec::new();
    for (share, own) in shares.iter().enumerate() {
        for (record, name) in own.manifest.records.iter().enumerate() {
            named.push((name, share, Some(record)));
        }
        named.extend(own.manifest.failed.iter().map(|failed| (&failed.record, share, None)));
    }
    named.sort_unstable();
    for pair in named.windows(2) {
        if pair[0].0 == pair[1].0 {
            let [one, other] = [0, 1].map(|k| shares[pair[k].1].path.display());
            bail!("record {} is in {one} and in {other}", pair[0].0);
        }
    }
    let place = |(_, share, record): (_, usize, Option<usize>)| {
        record.map(|record| Place { share, record })
    };
    Ok(named.into_iter().filter_map(place).collect())
}

/// Names the share that these make up together, and describes those that are missing.
fn shards(shares: &[Share]) -> Result<(String, Option<String>)> {
    let mut there = BTreeSet::new();
    let mut of = None;
    for share in shares {
        for text in share.manifest.shard.split(',') {
            let (own, all) = parse_shard(text)
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("{}: invalid shard", share.path.display()))?;
            let expected = *of.get_or_insert(all);
            ensure!(
                all == expected,
                "{} is one of {all} shares, expected one of {expected}",
                share.path.display()
            );
            there.insert(own);
        }
    }
    let of = of.unwrap_or(1);
    if there.len() as u64 == of {
        return Ok(("0/1".to_owned(), None));
    }
    let text = |own: &u64| format!("{own}/{of}");
    let shard = there.iter().map(text).collect::<Vec<_>>().join(",");
    Ok((shard, Some(missing(&there, of))))
}

/// Tells how many shares are missing and names the first few, since there may be any number.
fn missing(there: &BTreeSet<u64>, of: u64) -> String {
    const NAMED: usize = 8;
    let count = of - there.len() as u64;
    let first = (0..of).filter(|own| !there.contains(own)).take(NAMED);
    let mut names: Vec<String> = first.map(|own| format!("{own}/{of}")).collect();
    if count > NAMED as u64 {
        names.push("...".to_owned());
    }
    format!("{count} of {of} shares are missing: {}", names.join(", "))
}

/// All shares, record after record.
#[derive(Clone, Copy)]
struct Joined<'a> {
    shares: &'a [Share],
    order: &'a [Place],
}

impl<'a> Joined<'a> {
    fn each(self) -> impl Iterator<Item = (&'a Share, usize)> + 'a {
        self.order.iter().map(move |place| (&self.shares[place.share], place.record))
    }

    fn rows(self) -> usize {
        self.shares.iter().map(|share| share.manifest.shape[0]).sum()
    }

    fn manifest(self, shard: String) -> Manifest {
        let mut all = self.shares[0].manifest.clone();
        all.shape[0] = self.rows();
        all.shard = shard;
        all.records = self.each().map(|(own, k)| own.manifest.records[k].clone()).collect();
        all.record_sha256 =
            self.each().map(|(own, k)| own.manifest.record_sha256[k].clone()).collect();
        all.patients = self.each().map(|(own, k)| own.manifest.patients[k].clone()).collect();
        all.folds = self.each().map(|(own, k)| own.manifest.folds[k]).collect();
        all.unlabelled = self.unlabelled();
        all.failed =
            self.shares.iter().flat_map(|share| share.manifest.failed.iter().cloned()).collect();
        all.failed.sort_by(|a, b| a.record.cmp(&b.record));
        // Each share repeats the warnings about the whole data set.
        let mut seen = HashSet::new();
        let warnings = self.shares.iter().flat_map(|share| &share.manifest.warnings);
        all.warnings = warnings
            .filter(|warned| !warned.record.is_empty() || seen.insert(&warned.warning))
            .cloned()
            .collect();
        all.warnings.sort_by(|a, b| a.record.cmp(&b.record));
        all
    }

    /// The records without labels.
    fn unlabelled(self) -> Vec<String> {
        let lists = self.shares.iter().flat_map(|share| &share.manifest.unlabelled);
        let listed: BTreeSet<&String> = lists.collect();
        let names = self.each().map(|(own, k)| &own.manifest.records[k]);
        names.filter(|name| listed.contains(name)).cloned().collect()
    }

    /// The main array, for which the rows of each record are checked.
    fn main(self, manifest: &Manifest) -> Array<'a> {
        let row = manifest.shape[1..].to_vec();
        self.array(manifest.stage.name(), Kind::Float(manifest.dtype), row, true)
    }

    /// An array whose rows have the shape `row`.
    fn further(self, name: &'static str, kind: Kind, row: Vec<usize>) -> Array<'a> {
        self.array(name, kind, row, false)
    }

    fn array(self, name: &'static str, kind: Kind, row: Vec<usize>, checked: bool) -> Array<'a> {
        let shape = iter::once(self.rows()).chain(row.iter().copied()).collect();
        let starts = vec![None; self.shares.len()];
        let mut values = Values { joined: self, name, kind, row, checked, starts };
        let data = self.order.iter().map(move |place| values.record(*place));
        Array { name, kind, shape, data: Box::new(data) }
    }

    fn row_record(self) -> Array<'a> {
        let mut bytes = Vec::new();
        for (record, (share, k)) in self.each().enumerate() {
            for _ in share.rows[k]..share.rows[k + 1] {
                bytes.extend((record as i64).to_le_bytes());
            }
        }
        let data = Box::new(iter::once(Ok(bytes)));
        Array { name: "row_record", kind: Kind::I64, shape: vec![self.rows()], data }
    }
}

/// Reads the values of an array, record after record.
struct Values<'a> {
    joined: Joined<'a>,
    name: &'static str,
    kind: Kind,
    row: Vec<usize>,
    /// Whether the values are checked against the manifest.
    checked: bool,
    /// Start of the array in each share, once it has been looked up.
    starts: Vec<Option<u64>>,
}

impl Values<'_> {
    fn record(&mut self, place: Place) -> Result<Vec<u8>> {
        let Place { share, record } = place;
        let own = &self.joined.shares[share];
        let row_bytes = self.row.iter().product::<usize>() * self.kind.size();
        let (from, to) = (own.rows[record], own.rows[record + 1]);
        if self.name == LABELS && !own.has(LABELS) {
            return Ok(vec![0; (to - from) * row_bytes]);
        }
        let start = match self.starts[share] {
            Some(start) => start,
            None => {
                let rows = own.manifest.shape[0];
                let shape: Vec<usize> = iter::once(rows).chain(self.row.iter().copied()).collect();
                own.start(self.name, self.kind, &shape)?
            }
        };
        self.starts[share] = Some(start);
        let values = own.read(start + (from * row_bytes) as u64, (to - from) * row_bytes)?;
        ensure!(
            !self.checked || sha256(&values) == own.manifest.record_sha256[record],
            "{}: the rows of record {} do not match their checksum",
            own.path.display(),
            own.manifest.records[record]
        );
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_join_leaves_has_the_name_of_the_result() {
        assert_eq!(prefix(Path::new("a/all.npz")), ".all.npz.");
        assert_eq!(prefix(Path::new(&"n".repeat(250))), ".");
    }

    #[test]
    fn the_first_of_many_missing_shares_are_named() {
        let there = BTreeSet::from([0, 2]);
        assert_eq!(missing(&there, 4), "2 of 4 shares are missing: 1/4, 3/4");
        let text = missing(&there, 100_000_000_000);
        assert!(text.starts_with("99999999998 of 100000000000 shares are missing: "), "{text}");
        assert!(text.ends_with(" 8/100000000000, 9/100000000000, ..."), "{text}");
    }
}
