//! Time and memory of one network, measured in a separate process so that no other network's memory counts.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use ecg_core::SamplingRate;
use ecg_synth::{SynthOptions, Synthesizer};
use ecg3d_convert::{ConvertConfig, ConvertPlan};
use ecg3d_examples::chart::quantile;
use ecg3d_examples::usage::processor_seconds;
use ecg3d_models::Model;
use ndarray::{Array3, ArrayView3, Axis, s};
use serde::{Deserialize, Serialize};

use crate::Arguments;
use crate::subject::Subject;

/// Number of windows in the large batch.
pub const BATCH: usize = 32;

/// The cost of a pass. Times are wall-clock times unless stated otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Milliseconds for one window.
    pub latency_ms: Spread,
    /// Milliseconds of all processors together for one window, the mean of the timed passes, threads that wait
    /// included; `null` if the system does not report it.
    pub latency_processor_ms: Option<f64>,
    /// Windows per second in batches of [`BATCH`], at the median pass.
    pub throughput: f64,
    /// Windows per second of one processor in batches of [`BATCH`], from the mean of the timed passes, threads that
    /// wait included; `null` if the system does not report it.
    pub throughput_processor: Option<f64>,
    /// Peak memory of the process in MB, including libtorch and its code, after one window.
    pub peak_memory_batch_1_mb: Option<f64>,
    /// Peak memory after a batch of [`BATCH`]. On a GPU, the GPU's memory is not included.
    pub peak_memory_batch_32_mb: Option<f64>,
}

/// The spread of repeated passes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub smallest: f64,
    pub largest: f64,
}

/// Measures a model in this process.
pub fn here(model: Model, repeats: u32) -> Result<Measured> {
    let model = model.with_batch(BATCH);
    let signals = windows(&model.card().preprocessing)?;
    let one = signals.slice(s![..1, .., ..]);
    let (latency, latency_processor) = time(&model, one, 2, repeats)?;
    let peak_memory_batch_1_mb = peak_memory_mb();
    let (seconds, processor) = time(&model, signals.view(), 1, repeats.div_ceil(5))?;
    let per_second = |seconds: f64| BATCH as f64 / seconds;
    Ok(Measured {
        latency_ms: Spread {
            median: 1e3 * latency.median,
            smallest: 1e3 * latency.smallest,
            largest: 1e3 * latency.largest,
        },
        latency_processor_ms: latency_processor.map(|seconds| 1e3 * seconds),
        throughput: per_second(seconds.median),
        throughput_processor: processor.map(per_second),
        peak_memory_batch_1_mb,
        peak_memory_batch_32_mb: peak_memory_mb(),
    })
}

/// Seconds per pass, and mean seconds of all processors together.
fn time(
    model: &Model,
    signals: ArrayView3<'_, f32>,
    unmeasured: u32,
    repeats: u32,
) -> Result<(Spread, Option<f64>)> {
    let pass = || -> Result<()> {
        let p = model.predict_prepared(signals, None)?;
        ensure!(p.iter().all(|p| p.is_finite()), "the probabilities are not finite");
        Ok(())
    };
    (0..unmeasured).try_for_each(|_| pass())?;
    let before = processor_seconds();
    let mut seconds = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        pass()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let processor = before.zip(processor_seconds()).map(|(a, b)| (b - a) / f64::from(repeats));
    seconds.sort_by(f64::total_cmp);
    let spread = Spread {
        median: quantile(&seconds, 0.5),
        smallest: quantile(&seconds, 0.0),
        largest: quantile(&seconds, 1.0),
    };
    Ok((spread, processor))
}

/// Returns the first window of each of [`BATCH`] synthetic recordings, `[window, lead, sample]`.
fn windows(preprocessing: &ConvertConfig) -> Result<Array3<f32>> {
    let options = SynthOptions::default().with_seed(1);
    let plan = ConvertPlan::new(preprocessing.clone(), SamplingRate::new(500.0)?)?;
    let synthesizer = Synthesizer::new(options)?;
    let samples = preprocessing.window_samples();
    let mut windows = Array3::zeros((BATCH, preprocessing.leads.count(), samples));
    for (k, mut window) in windows.axis_iter_mut(Axis(0)).enumerate() {
        let prepared = plan.prepare(&synthesizer.record(k as u64).recording)?;
        window.assign(&prepared.signal.slice(s![.., ..samples]));
    }
    Ok(windows)
}

/// Returns the number of windows that a recording of ten seconds is cut into.
pub fn windows_of_ten_seconds(model: &Model) -> usize {
    let preprocessing = &model.card().preprocessing;
    let ten = preprocessing.clone().with_max_seconds(preprocessing.max_seconds.min(10.0));
    let [_, samples] = ten.prepared_shape();
    ten.window_starts(samples).len()
}

/// The process that measures a network: this program, with flags that select only the untrained network of that
/// architecture and mode.
fn command(subject: &Subject, arguments: &Arguments) -> Result<Command> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let mut command = Command::new(program);
    command.args(["--measure", "--models", subject.architecture.name()]);
    command.args(["--preset", &subject.mode.to_string(), "--device", &arguments.device]);
    command.args(["--precision", arguments.precision.name()]);
    command.args(["--repeats", &arguments.repeats.to_string()]);
    if let Some(threads) = arguments.threads.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// Measures a network in a separate process, untrained, because time and memory do not depend on training.
pub fn apart(subject: &Subject, arguments: &Arguments) -> Result<Measured> {
    let output = command(subject, arguments)?.output();
    let output = output.context("cannot start the measuring process")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        match said.lines().rev().find_map(|line| line.strip_prefix("error: ")) {
            Some(error) => bail!("{error}"),
            None => bail!(
                "the measuring process ended with {}; if that is a signal, it may have run out of memory",
                output.status
            ),
        }
    }
    serde_json::from_slice(&output.stdout).context("cannot read the measurements")
}

/// Returns the peak memory of this process.
fn peak_memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    use clap::Parser;
    use ecg3d_models::{Architecture, Preset};
    use tch::Device;

    use crate::subject::Weights;

    #[test]
    fn a_small_network_is_measured() {
        let subject = Subject {
            architecture: Architecture::Ribeiro,
            mode: Preset::Corrected,
            weights: Weights::Untrained,
        };
        let model = subject.model(Device::Cpu).expect("builds");
        assert_eq!(windows_of_ten_seconds(&model), 9);
        let measured = here(model, 2).expect("measures");
        let latency = measured.latency_ms;
        assert!(0.0 < latency.smallest && latency.smallest <= latency.median);
        assert!(latency.median <= latency.largest && measured.throughput > 0.0);
        let memory = (measured.peak_memory_batch_1_mb, measured.peak_memory_batch_32_mb);
        assert!(memory.0 <= memory.1, "{memory:?}");
        let text = serde_json::to_string(&measured).expect("serialises");
        assert_eq!(serde_json::from_str::<Measured>(&text).expect("parses"), measured);
    }

    #[test]
    fn the_process_of_a_network_measures_that_one_untrained() {
        for data in ["", "--data folder"] {
            let line = format!("compare --models ribeiro,3decgnet --out results {data}");
            let arguments = Arguments::try_parse_from(line.split_whitespace()).expect("parses");
            let subjects = arguments.subjects().expect("subjects");
            assert_eq!(subjects.len(), 4);
            let trained = subjects.iter().filter(|subject| subject.is_trained()).count();
            assert_eq!(trained, usize::from(!data.is_empty()));
            let of_a_file = Subject {
                architecture: Architecture::Ribeiro,
                mode: Preset::Published,
                weights: Weights::File("w.safetensors".into()),
            };
            for subject in subjects.into_iter().chain([of_a_file]) {
                let command = command(&subject, &arguments).expect("finds this program");
                let flags = std::iter::once(OsStr::new("compare")).chain(command.get_args());
                let own = Arguments::try_parse_from(flags).expect("parses");
                assert!(own.measure);
                let untrained = Subject { weights: Weights::Untrained, ..subject };
                assert_eq!(own.subjects().expect("one"), [untrained]);
            }
        }
    }
}
