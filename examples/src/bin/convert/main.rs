//! Converts a folder of recordings to one `.npz` of prepared signals, images or volumes.

mod rows;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use ecg_core::LabelSet;
use ecg_io::Dataset;
use ecg3d_convert::{ConvertConfig, ConvertPlan, Preset, Scratch, Windows};
use ecg3d_examples::source::{Failed, LabelArgs, Plans, exit_code};
use ecg3d_examples::{Progress, write_atomic};
use ndarray::{Array2, ArrayViewMut3, s};
use rayon::prelude::*;
use serde::Serialize;

use rows::{Npz, RowFile};

/// Records that are in memory at a time, for each thread.
const CHUNK: usize = 16;
/// Warnings that are printed; all are in the sidecar.
const SHOWN: usize = 20;

/// Converts a folder of recordings to one .npz that numpy reads, with a .json of the same name beside it.
///
/// Arrays: prepared [n, 12, samples], images [n, 12, 45, 45] or volume [n, 45, 45, 45] (f32), labels [n, 7] (u8, where
/// every record has some), length (real samples of each prepared signal, corrected preset), row_record (with --windows all:
/// which of the sidecar's records a row belongs to, from 0). The sidecar holds the records in order, the configuration
/// with its hash, what failed and what was warned of. Exit status: 0 all well, 2 some records failed, 1 nothing done.
#[derive(Parser)]
struct Arguments {
    /// Folder of WFDB and CSV records, searched with all below it
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE.npz")]
    out: PathBuf,
    /// How far to convert; prepared signals are small, and volumes are quickly made from them
    #[arg(long, value_enum, default_value_t = Stage::Prepared)]
    stage: Stage,
    /// published: as the study's programs did; corrected: as its text intends
    #[arg(long, value_name = "PRESET", default_value_t = Preset::Published)]
    preset: Preset,
    /// Only the I-th (from 0) of N shares of the records; which share a record falls to depends on its name alone
    #[arg(long, value_name = "I/N", default_value = "0/1", value_parser = parse_shard)]
    shard: (u64, u64),
    /// Threads; 0: one for each processor
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Windows of images and volumes: the first of each record, or all of them
    #[arg(long, value_enum, default_value_t = WindowArg::First)]
    windows: WindowArg,
    /// Seconds of a prepared signal, corrected preset: longer records are cut, shorter ones padded with zeros
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    seconds: f64,
    /// Draw pictures of the records (not available yet)
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    labels: LabelArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
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
    let wrong = || format!("{text:?} is no share; expected I/N with I from 0 to N - 1, as 0/4");
    let (share, of) = text.split_once('/').ok_or_else(wrong)?;
    match (share.parse::<u64>(), of.parse::<u64>()) {
        (Ok(share), Ok(of)) if share < of => Ok((share, of)),
        _ => Err(wrong()),
    }
}

/// The share of a record: FNV-1a of its name, so that no list of the others is needed.
fn share_of(name: &str, of: u64) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of a product know little of the high ones.
    (hash ^ hash >> 32) % of
}

/// What a record gave.
struct Converted {
    /// One or more rows, one after the other.
    values: Vec<f32>,
    rows: usize,
    /// Real samples of the prepared signal.
    length: usize,
    labels: Option<Vec<bool>>,
    patient: Option<String>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Warned {
    record: String,
    warning: String,
}

/// What stands beside the `.npz`.
#[derive(Serialize)]
struct Sidecar<'a> {
    program: String,
    stage: &'a str,
    shape: Vec<usize>,
    records: Vec<String>,
    patients: Vec<String>,
    folds: Vec<Option<u32>>,
    labels: &'a LabelSet,
    label_source: String,
    label_map: &'a str,
    nsr_rule: &'a str,
    shard: String,
    config: &'a ConvertConfig,
    config_hash: String,
    failed: Vec<Failed>,
    warnings: Vec<Warned>,
}

fn main() -> ExitCode {
    ecg3d_examples::run(|arguments| convert(&arguments))
}

fn convert(arguments: &Arguments) -> Result<ExitCode> {
    let out = &arguments.out;
    ensure!(arguments.plot.is_none(), "--plot is not available yet");
    ensure!(
        out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz")),
        "--out is {}, expected a name that ends in .npz",
        out.display()
    );
    let config = configuration(arguments)?;
    let dataset = Dataset::open(&arguments.data, &arguments.labels.dataset_options())?;
    if let Some(dir) = out.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let (share, of) = arguments.shard;
    let chosen: Vec<usize> =
        (0..dataset.len()).filter(|&i| share_of(&dataset.names()[i], of) == share).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    let mut run = Run::new(arguments, &config, &dataset)?;
    for warning in dataset.warnings() {
        run.warn("", warning.to_string());
    }
    let progress = Progress::new(chosen.len() as u64, "records");
    for chunk in chosen.chunks(CHUNK * pool.current_num_threads()) {
        let results: Vec<_> = pool.install(|| {
            let work = chunk.par_iter().map_init(Scratch::new, |scratch, &index| {
                let result = run.record(index, scratch);
                progress.inc(1);
                result
            });
            work.collect()
        });
        for (&index, result) in chunk.iter().zip(results) {
            run.take(index, result, &progress)?;
        }
    }
    progress.finish();
    run.finish(chosen.len())
}

fn configuration(arguments: &Arguments) -> Result<ConvertConfig> {
    let windows = match (arguments.stage, arguments.windows) {
        (Stage::Prepared, _) => ConvertConfig::preset(arguments.preset).windows,
        (_, WindowArg::First) => Windows::First,
        (_, WindowArg::All) => Windows::All,
    };
    let config = ConvertConfig::preset(arguments.preset)
        .with_windows(windows)
        .with_max_seconds(arguments.seconds);
    config.check()?;
    Ok(config)
}

/// One run, from the first record to the files.
struct Run<'a> {
    arguments: &'a Arguments,
    config: &'a ConvertConfig,
    dataset: &'a Dataset,
    plans: Plans,
    /// Shape of a row.
    shape: Vec<usize>,
    file: RowFile,
    records: Vec<String>,
    patients: Vec<String>,
    folds: Vec<Option<u32>>,
    lengths: Vec<i64>,
    row_record: Vec<i64>,
    /// One byte for each row and label; `None` once a record has no labels.
    labels: Option<Vec<u8>>,
    failed: Vec<Failed>,
    warnings: Vec<Warned>,
}

impl<'a> Run<'a> {
    fn new(
        arguments: &'a Arguments,
        config: &'a ConvertConfig,
        dataset: &'a Dataset,
    ) -> Result<Self> {
        let [leads, samples] = config.prepared_shape();
        let [depth, height, width] = config.volume_size;
        let shape = match arguments.stage {
            Stage::Prepared => vec![leads, samples],
            Stage::Images => vec![leads, height, width],
            Stage::Volume => vec![depth, height, width],
        };
        Ok(Self {
            arguments,
            config,
            dataset,
            plans: Plans::new(config),
            file: RowFile::create(&arguments.out, &shape)?,
            shape,
            records: Vec::new(),
            patients: Vec::new(),
            folds: Vec::new(),
            lengths: Vec::new(),
            row_record: Vec::new(),
            labels: Some(Vec::new()),
            failed: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// Reads and converts a record; runs on any thread.
    fn record(&self, index: usize, scratch: &mut Scratch) -> Result<Converted> {
        let loaded = self.dataset.load(index)?;
        let recording = loaded.recording;
        let plan = self.plans.at(recording.sampling_rate)?;
        let mut prepared = Array2::<f32>::zeros(plan.prepared_shape());
        let outcome = plan.prepare_into(&recording, prepared.view_mut(), scratch)?;
        let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        warnings.extend(outcome.warnings.iter().map(ToString::to_string));
        let (values, rows) = match self.arguments.stage {
            Stage::Prepared => (prepared.into_raw_vec_and_offset().0, 1),
            _ => self.windows(&plan, &prepared, outcome.length, scratch)?,
        };
        Ok(Converted {
            values,
            rows,
            length: outcome.length,
            labels: self.dataset.labels_of(index, &recording),
            patient: recording.patient,
            warnings,
        })
    }

    /// Images or volumes of the windows.
    fn windows(
        &self,
        plan: &ConvertPlan,
        prepared: &Array2<f32>,
        length: usize,
        scratch: &mut Scratch,
    ) -> Result<(Vec<f32>, usize)> {
        let starts = plan.windows(length);
        let size: usize = self.shape.iter().product();
        let mut values = vec![0.0; starts.len() * size];
        let images = plan.image_plan();
        for (start, row) in starts.iter().zip(values.chunks_exact_mut(size)) {
            let window = prepared.slice(s![.., *start..start + self.config.window_samples()]);
            let out =
                ArrayViewMut3::from_shape((self.shape[0], self.shape[1], self.shape[2]), row)?;
            match self.arguments.stage {
                Stage::Images => images.images_into(window, out, scratch)?,
                _ => images.volume_of_window_into(window, out, scratch)?,
            }
        }
        Ok((values, starts.len()))
    }

    /// Takes up what a record gave, in order.
    fn take(&mut self, index: usize, result: Result<Converted>, progress: &Progress) -> Result<()> {
        let name = &self.dataset.names()[index];
        let converted = match result {
            Ok(converted) => converted,
            Err(error) => {
                let reason = format!("{error:#}");
                progress.line(&format!("failed: {name}: {reason}"));
                self.failed.push(Failed { record: name.clone(), reason });
                return Ok(());
            }
        };
        for warning in converted.warnings {
            self.warn(name, warning);
        }
        self.file.push(&converted.values)?;
        let record = self.records.len() as i64;
        self.row_record.extend(std::iter::repeat_n(record, converted.rows));
        self.lengths.push(converted.length as i64);
        match (&mut self.labels, converted.labels) {
            (Some(all), Some(labels)) => {
                for _ in 0..converted.rows {
                    all.extend(labels.iter().map(|&label| u8::from(label)));
                }
            }
            (known, None) => {
                if known.take().is_some() {
                    progress.line(&format!(
                        "note: {name} has no labels in {}, so no array labels is written",
                        self.dataset.label_source()
                    ));
                }
            }
            (None, Some(_)) => {}
        }
        self.patients.push(converted.patient.unwrap_or_else(|| name.clone()));
        self.folds.push(self.dataset.fold(index));
        self.records.push(name.clone());
        Ok(())
    }

    /// Notes a warning, and prints it while they are few.
    fn warn(&mut self, record: &str, warning: String) {
        if self.warnings.len() < SHOWN {
            let colon = if record.is_empty() { "" } else { ": " };
            eprintln!("warning: {record}{colon}{warning}");
        }
        self.warnings.push(Warned { record: record.to_owned(), warning });
    }

    /// Writes the files and says how it went.
    fn finish(self, chosen: usize) -> Result<ExitCode> {
        let Arguments { out, data, stage, shard, labels: flags, .. } = self.arguments;
        if self.records.is_empty() && chosen > 0 {
            bail!("{}: none of {chosen} records could be converted", data.display());
        }
        if self.warnings.len() > SHOWN {
            eprintln!("{} more warnings in the .json", self.warnings.len() - SHOWN);
        }
        let rows = self.file.rows();
        let mut npz = Npz::create(out)?;
        self.file.store(&mut npz, stage.name())?;
        if let Some(labels) = &self.labels {
            let columns = self.dataset.label_set().len();
            npz.array("labels", "|u1", &[rows, columns], labels.as_slice())?;
        }
        if *stage == Stage::Prepared && self.config.preset == Preset::Corrected {
            npz.array("length", "<i8", &[rows], little_endian(&self.lengths).as_slice())?;
        }
        if *stage != Stage::Prepared && self.arguments.windows == WindowArg::All {
            npz.array("row_record", "<i8", &[rows], little_endian(&self.row_record).as_slice())?;
        }
        let failed = self.failed.len();
        let sidecar = Sidecar {
            program: format!("convert {}", env!("CARGO_PKG_VERSION")),
            stage: stage.name(),
            shape: std::iter::once(rows).chain(self.shape).collect(),
            records: self.records,
            patients: self.patients,
            folds: self.folds,
            labels: self.dataset.label_set(),
            label_source: self.dataset.label_source().to_string(),
            label_map: &flags.label_map,
            nsr_rule: &flags.nsr_rule,
            shard: format!("{}/{}", shard.0, shard.1),
            config: self.config,
            config_hash: self.config.hash(),
            failed: self.failed,
            warnings: self.warnings,
        };
        let text = serde_json::to_vec_pretty(&sidecar)?;
        let beside: &Path = &out.with_extension("json");
        npz.finish(|| write_atomic(beside, |file| file.write_all(&text)))?;
        println!(
            "{rows} rows of {} records in {}{}",
            sidecar.records.len(),
            out.display(),
            if failed > 0 { format!(", {failed} records failed") } else { String::new() }
        );
        Ok(exit_code(&sidecar.failed))
    }
}

fn little_endian(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
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
        // What a record's share is must not change from one version to the next.
        assert_eq!(share_of("georgia/E07500", 1000), 959);
    }
}
