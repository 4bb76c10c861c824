//! Converts a folder of recordings to one file of prepared signals, images or volumes.

mod again;
mod join;
mod manifest;
mod parts;
mod plot;
mod pool;
#[cfg(test)]
mod runs;
mod store;
mod work;

use std::iter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use ecg_core::LabelSet;
use ecg_io::{Dataset, LabelSource};
use ecg3d_convert::{ConvertConfig, Preset, Resample, ShortRecords, Windows};
use ecg3d_examples::reading::ReadingArgs;
use ecg3d_examples::source::{LabelArgs, is_npz};
use ecg3d_examples::{Progress, Shown, check_inputs, check_place, say, say_err, sha256, status};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use manifest::{Manifest, Totals, Warnings};
use parts::{Item, Parts};
use pool::pool;
use store::{Array, Dtype, Format, Kind, target_of};
use work::Converter;

const PROGRAM: &str = concat!("convert ", env!("CARGO_PKG_VERSION"));

/// Converts a folder of recordings to arrays for numpy, with a manifest beside them: x.json for x.npz,
/// x.npy.json and x.safetensors.json for the others.
///
/// Arrays: prepared [n, 12, samples], images [n, 12, 45, 45] or volume [n, 45, 45, 45]; labels [n, 7] (u8, if
/// any record has labels; rows of records without labels are 0); length (real samples of each prepared signal,
/// if they may differ); row_record (with --windows all: the record of the manifest that a row belongs to, from
/// 0). The manifest holds the records in row order, the shape, the configuration with its hash, checksums, the
/// records without labels, failures and warnings.
///
/// Finished rows are kept in FILE.parts/. A run interrupted for any reason continues from there when it is
/// started again with the same arguments, and the result is identical byte for byte. Records that failed are
/// converted again, and so are those whose files have since changed in size or modification time, and those that
/// are now read from other files. Parts of another configuration, other records or other labels are rejected.
/// Joining the parts takes twice the disk space of the result.
///
/// Exit status: 0 if all went well, 2 if some records failed (of a share, all may have failed), 1 if nothing was
/// done.
#[derive(Parser)]
#[command(name = "convert", version)]
struct Arguments {
    /// Folder of WFDB and CSV records, searched recursively
    #[arg(long, value_name = "DIR", required_unless_present = "join")]
    data: Option<PathBuf>,
    /// Instead of converting, joins the .npz files of all shares (see --shard) into the file that a single run
    /// would have written; it has labels if any share has them
    #[arg(long, value_name = "SHARD.npz", num_args = 1.., conflicts_with_all = [
        "data", "stage", "dtype", "preset", "config", "shard", "threads", "windows", "seconds", "restart", "plot", "labels",
        "label_map", "nsr_rule", "ReadingArgs"
    ])]
    join: Vec<PathBuf>,
    /// File to write: .npz, .safetensors, or .npy (labels are then in FILE.labels.npy)
    #[arg(long, value_name = "FILE.npz")]
    out: PathBuf,
    /// How far to convert; prepared signals are small, and volumes are quickly made from them
    #[arg(long, value_enum, default_value_t = Stage::Prepared)]
    stage: Stage,
    /// Precision in the file; images lose nothing that matters in f16 and then take an eighth of the space of volumes
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// published: as the study's programs did; corrected: as its text intends
    #[arg(long, value_name = "PRESET", default_value_t = Preset::Published)]
    preset: Preset,
    /// Configuration in TOML or JSON to use instead of a preset, such as the one under config in a manifest;
    /// omitted fields are taken from the preset that it names
    #[arg(long, value_name = "FILE.toml|json", conflicts_with_all = ["preset", "windows", "seconds"])]
    config: Option<PathBuf>,
    /// Only the I-th (from 0) of N shares of the records; the share of a record depends on its name alone
    /// (64-bit FNV-1a of the name, h; the share is (h xor h >> 32) mod N)
    #[arg(long, value_name = "I/N", default_value = "0/1", value_parser = parse_shard)]
    shard: (u64, u64),
    /// Number of threads, at most 1024; 0 means one per processor. The result does not depend on it
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1024))]
    threads: u32,
    /// Windows of images and volumes: the first of each record, or all of them [default: first]
    #[arg(long, value_enum)]
    windows: Option<WindowArg>,
    /// Length of a prepared signal in seconds, for the corrected preset: longer records are cut, shorter ones
    /// padded with zeros [default: 10]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    seconds: Option<f64>,
    /// Discard what an unfinished run left in FILE.parts/
    #[arg(long)]
    restart: bool,
    /// Draw records on their way to a volume (leads, prepared window, recurrence images, cube), as DIR/NAME.svg
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Number of records to draw, starting with the first
    #[arg(long, value_name = "N", default_value_t = 8, requires = "plot")]
    plot_records: usize,
    /// Draw this record instead; may be given more than once
    #[arg(long, value_name = "NAME", requires = "plot", conflicts_with = "plot_records")]
    plot_record: Vec<String>,
    #[command(flatten)]
    labels: LabelArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    Prepared,
    Images,
    Volume,
}

impl Stage {
    /// Name of the array.
    fn name(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Images => "images",
            Self::Volume => "volume",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WindowArg {
    First,
    All,
}

fn parse_shard(text: &str) -> Result<(u64, u64), String> {
    let wrong =
        || format!("{text:?} is not a share, expected I/N with I from 0 to N - 1, such as 0/4");
    let (share, of) = text.split_once('/').ok_or_else(wrong)?;
    match (share.parse::<u64>(), of.parse::<u64>()) {
        (Ok(share), Ok(of)) if share < of => Ok((share, of)),
        _ => Err(wrong()),
    }
}

/// Returns the share of a record by the FNV-1a hash of its name, so that no list of the other records is
/// needed.
fn share_of(name: &str, of: u64) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of a product depend little on the high bits of its factors.
    (hash ^ hash >> 32) % of
}

fn main() -> ExitCode {
    ecg3d_examples::run(|arguments| convert(&arguments))
}

fn convert(arguments: &Arguments) -> Result<ExitCode> {
    let out = &arguments.out;
    let Some(data) = &arguments.data else {
        return join::join(&arguments.join, out);
    };
    ensure!(
        !(is_npz(data) && data.is_file()),
        "{} is already converted; --data takes the folder of recordings that it was made from, and --join the archives of \
         shares",
        data.display()
    );
    let format = Format::of(out)?;
    let config = configuration(arguments)?;
    check_places(arguments, format)?;
    let target = target_of(out)?;
    let dataset = Dataset::open(data, &arguments.labels.dataset_options()?)?;
    let (share, of) = arguments.shard;
    let chosen: Vec<usize> =
        (0..dataset.len()).filter(|&i| share_of(&dataset.names()[i], of) == share).collect();
    let names: Vec<&str> = chosen.iter().map(|&i| dataset.names()[i].as_str()).collect();
    let pictured = pictured(arguments, data, &dataset, &chosen)?;
    if let Some(note) = note_of_windows(arguments) {
        say_err!("{note}");
    }
    let converter = Converter::new(arguments, data, &config, &dataset);
    let card = card(arguments, data, &config, &dataset, &chosen)?;
    let mut parts = Parts::open(&target, &card, &names, converter.row_bytes(), arguments.restart)?;
    let shown = fill(&mut parts, arguments.threads, &converter, &dataset, &chosen)?;
    let totals = Totals::of(&parts)?;
    let warnings = dataset.warnings().len() + totals.warnings;
    if warnings > shown {
        say_err!("{} more warnings in {}", warnings - shown, format.manifest(out).display());
    }
    // A share without rows is written, because the other shares are joined with it.
    if totals.converted == 0 && !chosen.is_empty() && of == 1 {
        parts.remove()?;
        bail!("{}: none of {} records could be converted", data.display(), chosen.len());
    }
    store(arguments, format, &converter, &dataset, &parts, &totals)
        .inspect_err(|_| parts.remove_staging())?;
    if let Some(dir) = &arguments.plot {
        let drawn = plot::draw(dir, &dataset, &pictured, &config)?;
        let more = more_pictures(arguments, pictured.len(), chosen.len());
        say!("{drawn} pictures in {}{more}", dir.display());
    }
    // A run that ends while it draws can continue from its parts.
    parts.remove()?;
    say!(
        "{} rows of {} records in {}{}",
        totals.rows,
        totals.converted,
        out.display(),
        if totals.failed > 0 {
            format!(", {} records failed", totals.failed)
        } else {
            String::new()
        }
    );
    Ok(status(totals.failed > 0))
}

/// Checks before the work whether its results can be written.
fn check_places(arguments: &Arguments, format: Format) -> Result<()> {
    check_place(&arguments.out)?;
    let manifest = format.manifest(&arguments.out);
    check_place(&manifest)?;
    check_inputs(&manifest, &arguments.config)?;
    format.check_earlier(&arguments.out)?;
    match &arguments.plot {
        // The name of the picture does not matter.
        Some(dir) => check_place(&dir.join("NAME.svg")),
        None => Ok(()),
    }
}

/// Returns the records to draw.
fn pictured(
    arguments: &Arguments,
    data: &Path,
    dataset: &Dataset,
    chosen: &[usize],
) -> Result<Vec<usize>> {
    if arguments.plot_record.is_empty() {
        return Ok(chosen.iter().copied().take(arguments.plot_records).collect());
    }
    let find = |name: &String| {
        dataset
            .index_of(name)
            .with_context(|| format!("--plot-record {name}: no such record in {}", data.display()))
    };
    arguments.plot_record.iter().map(find).collect()
}

/// Says how more records are drawn, if a larger number would.
fn more_pictures(arguments: &Arguments, pictured: usize, records: usize) -> String {
    if arguments.plot_record.is_empty() && pictured < records {
        format!(" of {records} records; --plot-records N draws more")
    } else {
        String::new()
    }
}

fn configuration(arguments: &Arguments) -> Result<ConvertConfig> {
    if let Some(path) = &arguments.config {
        return read_config(path);
    }
    let mut config = ConvertConfig::preset(arguments.preset);
    config = match (arguments.stage, arguments.windows.unwrap_or(WindowArg::First)) {
        (Stage::Prepared, WindowArg::First) => config,
        (Stage::Prepared, WindowArg::All) => {
            bail!(
                "--windows all is for --stage images and volume; prepared signals are not cut into windows"
            )
        }
        (_, WindowArg::First) => config.with_windows(Windows::First),
        (_, WindowArg::All) => config.with_windows(Windows::All),
    };
    if let Some(seconds) = arguments.seconds {
        ensure!(
            matches!(config.resample, Resample::Polyphase { .. }),
            "--seconds is for --preset corrected; {} uses the same number of samples from every record",
            arguments.preset
        );
        config = config.with_max_seconds(seconds);
    }
    config.check()?;
    Ok(config)
}

/// Says that only the first window of each record is kept, unless that was asked for or the preset has no more.
fn note_of_windows(arguments: &Arguments) -> Option<&'static str> {
    let asked = arguments.windows.is_some() || arguments.config.is_some();
    let several = ConvertConfig::preset(arguments.preset).windows == Windows::All;
    (!asked && several && arguments.stage != Stage::Prepared)
        .then_some("note: only the first window of each record is kept; --windows all keeps all")
}

/// Reads a configuration from a file of its own, in the TOML or JSON form of [`ConvertConfig`].
fn read_config(path: &Path) -> Result<ConvertConfig> {
    let shown = path.display();
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    ensure!(
        ["toml", "json"].contains(&extension.as_str()),
        "--config is {shown}, expected a name that ends in .toml or .json"
    );
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let config: Result<ConvertConfig> = match extension.as_str() {
        "toml" => toml::from_str(&text).map_err(Into::into),
        _ => serde_json::from_str(&text).map_err(Into::into),
    };
    let config = config.with_context(|| format!("{shown} is not a valid configuration"))?;
    config.check().with_context(|| format!("{shown} is not a valid configuration"))?;
    Ok(config)
}

/// Describes everything that the rows depend on. Parts of a run that differs in any of it are of no use.
fn card(
    arguments: &Arguments,
    data: &Path,
    config: &ConvertConfig,
    dataset: &Dataset,
    chosen: &[usize],
) -> Result<Map<String, Value>> {
    let data = data.canonicalize().with_context(|| format!("cannot read {}", data.display()))?;
    let mut selection = Sha256::new();
    for &index in chosen {
        let (labels, patient) = (dataset.labels(index), dataset.patient(index));
        let facts = (&dataset.names()[index], labels, patient, dataset.fold(index));
        selection.update(serde_json::to_vec(&facts)?);
    }
    let (share, of) = arguments.shard;
    let mut card = Map::from_iter([
        ("program".to_owned(), json!(PROGRAM)),
        ("config_hash".to_owned(), json!(config.hash())),
        ("config".to_owned(), json!(config)),
        ("stage".to_owned(), json!(arguments.stage.name())),
        ("dtype".to_owned(), json!(arguments.dtype)),
        ("shard".to_owned(), json!(format!("{share}/{of}"))),
        ("data".to_owned(), json!(data.to_string_lossy())),
        ("labels".to_owned(), json!(dataset.label_set())),
        ("label_source".to_owned(), json!(real_source(dataset).to_string())),
        ("label_map_sha256".to_owned(), json!(label_map_sha256(dataset))),
        ("nsr_rule".to_owned(), json!(arguments.labels.nsr_rule.to_string())),
        ("records".to_owned(), json!(chosen.len())),
        ("selection".to_owned(), json!(format!("{:x}", selection.finalize()))),
    ]);
    if let Some(reading) = reading(arguments) {
        card.insert("reading".to_owned(), json!(reading));
    }
    Ok(card)
}

/// Returns where the labels come from, in whatever way the paths were given.
fn real_source(dataset: &Dataset) -> LabelSource {
    let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    match dataset.label_source() {
        LabelSource::File(path) => LabelSource::File(real(path)),
        LabelSource::PtbXl(tables) => LabelSource::PtbXl(tables.iter().map(real).collect()),
        other => other.clone(),
    }
}

/// Returns a hash of the label map's contents. Its name does not matter: a file of the same name may have other
/// contents another time, and a file of another name the same.
fn label_map_sha256(dataset: &Dataset) -> String {
    sha256(dataset.label_map().to_csv().as_bytes())
}

/// Returns how recordings are read, if not in the usual way.
fn reading(arguments: &Arguments) -> Option<&ReadingArgs> {
    Some(&arguments.labels.reading).filter(|reading| **reading != ReadingArgs::default())
}

/// Converts the records that are not done yet, in order, and does those again whose result would differ now.
/// Returns how many warnings were printed.
fn fill(
    parts: &mut Parts,
    threads: u32,
    converter: &Converter<'_>,
    dataset: &Dataset,
    chosen: &[usize],
) -> Result<usize> {
    let mut shown = Shown::default();
    for warning in dataset.warnings() {
        shown.print(None, &warning.to_string());
    }
    let done = parts.done();
    let pool = pool(threads, chosen.len())?;
    if done > 0 {
        say_err!(
            "resuming from {}: {done} of {} records are done",
            parts.folder().display(),
            chosen.len()
        );
        let again = again::renew(parts, &pool, converter, chosen)?;
        if again > 0 {
            say_err!(
                "{again} of these were converted again: they failed, their files have changed, or they are now read from other files"
            );
        }
    }
    let progress = Progress::new(chosen.len() as u64, "records");
    progress.skip(done as u64);
    converter.each(&pool, &chosen[done..], |item, values| {
        progress.inc(1);
        for warning in &item.warnings {
            shown.print(Some(&progress), &format!("{}: {warning}", item.record));
        }
        if let Some(reason) = &item.failed {
            progress.line(&format!("failed: {}: {reason}", item.record));
        }
        parts.push(item, values)
    })?;
    parts.close()?;
    progress.finish();
    Ok(shown.printed())
}

/// Joins the parts, writes the manifest, and gives both their names.
fn store(
    arguments: &Arguments,
    format: Format,
    converter: &Converter<'_>,
    dataset: &Dataset,
    parts: &Parts,
    totals: &Totals,
) -> Result<()> {
    let Arguments { out, stage, dtype, .. } = arguments;
    let label_source = dataset.label_source().to_string();
    let labelled =
        has_labels(totals.unlabelled, totals.converted, &label_source, &format.manifest(out));
    let columns = labelled.then(|| dataset.label_set().len());
    let arrays = arrays(arguments, converter, parts, totals.rows, columns)?;
    let shape = arrays[0].shape.clone();
    let config_hash = converter.config.hash();
    let about = about(converter.config, dataset.label_set())?;
    let staging = parts.staging();
    let sha256 = format.write(&staging, out, arrays, &about)?;
    let of_all: Vec<String> = dataset.warnings().iter().map(ToString::to_string).collect();
    let (share, of) = arguments.shard;
    let manifest = Manifest {
        program: PROGRAM,
        stage: stage.name(),
        shape: &shape,
        dtype: *dtype,
        config: converter.config,
        config_hash: &config_hash,
        shard: &format!("{share}/{of}"),
        labels: dataset.label_set(),
        label_source: &label_source,
        label_map: &arguments.labels.label_map,
        label_map_sha256: &label_map_sha256(dataset),
        nsr_rule: arguments.labels.nsr_rule.to_string(),
        reading: reading(arguments),
        sha256,
        records: Manifest::records(parts),
        record_sha256: Manifest::record_sha256(parts),
        patients: Manifest::patients(parts),
        folds: Manifest::folds(parts),
        unlabelled: (totals.unlabelled > 0).then(|| Manifest::unlabelled(parts)),
        failed: Manifest::failed(parts),
        warnings: Warnings { of_all: &of_all, parts },
    };
    format.place(&staging, out, parts.target(), &manifest, &manifest.sha256)
}

/// Returns the arrays of the result, the main one first, with `columns` labels if there are any. Their values are
/// read from the parts when they are written.
fn arrays<'a>(
    arguments: &Arguments,
    converter: &Converter<'_>,
    parts: &'a Parts,
    rows: usize,
    columns: Option<usize>,
) -> Result<Vec<Array<'a>>> {
    let Arguments { stage, dtype, .. } = arguments;
    let mut arrays = vec![Array {
        name: stage.name(),
        kind: Kind::Float(*dtype),
        shape: iter::once(rows).chain(converter.shape.iter().copied()).collect(),
        data: Box::new(parts.rows()?),
    }];
    if let Some(columns) = columns {
        let unknown = vec![0; columns];
        let data = manifest::bytes(parts, move |item, bytes| {
            for _ in 0..item.rows {
                bytes.extend(item.labels.as_ref().unwrap_or(&unknown));
            }
        })?;
        let (kind, shape) = (Kind::U8, vec![rows, columns]);
        arrays.push(Array { name: "labels", kind, shape, data: Box::new(data) });
    }
    let mut integers = |name, add: fn(usize, &Item, &mut Vec<u8>)| -> Result<()> {
        let mut record = 0;
        let data = manifest::bytes(parts, move |item, bytes| {
            add(record, item, bytes);
            record += 1;
        })?;
        arrays.push(Array { name, kind: Kind::I64, shape: vec![rows], data: Box::new(data) });
        Ok(())
    };
    // If recordings differ in length or were padded.
    let lengths = matches!(converter.config.resample, Resample::Polyphase { .. })
        || converter.config.short_records == ShortRecords::Pad;
    if *stage == Stage::Prepared && lengths {
        integers("length", |_, item, bytes| bytes.extend((item.length as i64).to_le_bytes()))?;
    }
    if *stage != Stage::Prepared && converter.config.windows == Windows::All {
        integers("row_record", |record, item, bytes| {
            for _ in 0..item.rows {
                bytes.extend((record as i64).to_le_bytes());
            }
        })?;
    }
    Ok(arrays)
}

/// Whether there is an array of labels, which is not the case if no record has any. Reports if some records
/// have none.
fn has_labels(unlabelled: usize, records: usize, source: &str, manifest: &Path) -> bool {
    if unlabelled == 0 {
        return true;
    }
    let some = unlabelled < records;
    if some {
        say_err!(
            "warning: {unlabelled} of {records} records have no labels in {source}: their label rows are 0, and {} lists them",
            manifest.display()
        );
    } else {
        say_err!("note: no record has labels in {source}, so the array labels is not written");
    }
    some
}

/// What tensor files say about themselves. Their metadata consist of strings.
fn about(config: &ConvertConfig, labels: &LabelSet) -> Result<Map<String, Value>> {
    Ok(Map::from_iter([
        ("program".to_owned(), json!(PROGRAM)),
        ("config".to_owned(), json!(serde_json::to_string(config)?)),
        ("config_hash".to_owned(), json!(config.hash())),
        ("labels".to_owned(), json!(labels.to_string())),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
        let parse = |flag: &str, value: &str| {
            Arguments::try_parse_from(["convert", "--data", "d", "--out", "o.npz", flag, value])
        };
        let text = parse("--threads", "1025").err().expect("too many").to_string();
        assert!(text.contains("1025 is not in 0..=1024"), "{text}");
    }

    /// The configuration that a command line with more flags results in.
    fn configured(more: &[&str]) -> Result<ConvertConfig> {
        let mut line = vec!["convert", "--data", "d", "--out", "o.npz"];
        line.extend(more);
        configuration(&Arguments::try_parse_from(line)?)
    }

    #[test]
    fn flags_that_would_do_nothing_are_refused() {
        let text = |more: &[&str]| format!("{:#}", configured(more).expect_err("refused"));
        let seconds = text(&["--preset", "corrected", "--seconds", "-1"]);
        assert!(seconds.contains("max_seconds is -1, expected"), "{seconds}");
        let seconds = text(&["--seconds", "20"]);
        assert!(seconds.starts_with("--seconds is for --preset corrected"), "{seconds}");
        let windows = text(&["--preset", "corrected", "--windows", "all"]);
        assert!(windows.starts_with("--windows all is for --stage images"), "{windows}");
        let other = text(&["--config", "c.toml", "--preset", "corrected"]);
        assert!(other.contains("cannot be used with"), "{other}");
        for flag in ["--csv-rate=500", "--no-checksums"] {
            let line = ["convert", "--join", "s.npz", "--out", "o.npz", flag];
            let error = Arguments::try_parse_from(line).err().expect("nothing is read");
            assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict, "{flag}");
        }
        let config = configured(&["--preset", "corrected", "--seconds", "20"]).expect("sound");
        assert_eq!(config, ConvertConfig::corrected().with_max_seconds(20.0));
    }

    #[test]
    fn a_note_says_that_only_first_windows_are_kept() {
        let noted = |more: &str| {
            let line = format!("convert --data d --out o.npz {more}");
            note_of_windows(&Arguments::parse_from(line.split_whitespace())).is_some()
        };
        for (more, expected) in [
            ("--preset corrected --stage volume", true),
            ("--preset corrected --stage images", true),
            ("--preset corrected --stage images --windows first", false),
            ("--preset corrected --stage images --windows all", false),
            ("--preset corrected", false),
            ("--stage volume", false),
            ("--config c.toml --stage volume", false),
        ] {
            assert_eq!(noted(more), expected, "{more}");
        }
        let volumes = ["--preset", "corrected", "--stage", "volume"];
        let config = configured(&volumes).expect("sound");
        assert_eq!(config, ConvertConfig::corrected().with_windows(Windows::First));
    }

    #[test]
    fn more_pictures_are_offered_only_if_there_are_more() {
        let line = ["convert", "--data", "d", "--out", "o.npz", "--plot", "p"];
        let arguments = Arguments::parse_from(line);
        let more = more_pictures(&arguments, 8, 12);
        assert_eq!(more, " of 12 records; --plot-records N draws more");
        // Even if some could not be drawn.
        assert_eq!(more_pictures(&arguments, 8, 8), "");
    }

    #[test]
    fn a_configuration_is_read_from_toml_and_json() {
        let dir = tempfile::tempdir().expect("a folder");
        let read = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("writes");
            configured(&["--config", &path.to_string_lossy()])
        };
        let config = read("c.toml", "preset = 'corrected'\nmax_seconds = 20").expect("reads");
        assert_eq!(config, ConvertConfig::corrected().with_max_seconds(20.0));
        let text = serde_json::to_string(&config).expect("JSON");
        assert_eq!(read("c.json", &text).expect("reads"), config);
        for (name, text, expected) in [
            ("c.yaml", "", "expected a name that ends in .toml or .json"),
            ("c.toml", "colour = 'red'", "unknown field `colour`"),
            ("c.json", r#"{"preset": "corrected", "max_seconds": -1}"#, "max_seconds is -1"),
        ] {
            let error = format!("{:#}", read(name, text).expect_err("refused"));
            assert!(error.contains(expected) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn shares_cover_all_once() {
        assert_eq!(parse_shard("2/5"), Ok((2, 5)));
        for bad in ["5/5", "1", "-1/2", "a/b", "0/0", "1/2/3"] {
            assert!(parse_shard(bad).is_err(), "{bad}");
        }
        let mut counts = [0; 4];
        for record in 0..4000 {
            counts[share_of(&format!("set/r{record:05}"), 4) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        // The share of a record must not change from one version to the next.
        assert_eq!(share_of("georgia/E07500", 1000), 959);
    }
}
