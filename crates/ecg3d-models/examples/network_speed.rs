//! Time and memory of 3DECG-Net (corrected) on volumes, one line of JSON.
//!
//! `cargo run --release -p ecg3d-models --example network_speed -- WORK BATCH PRECISION THREADS REPEATS`, where WORK is
//! `forward` or `step` (a training step: forward, backward, Adam), or `-- save FILE.safetensors` for the parameters and the
//! logits of one volume. `scripts/compare_with_pytorch.py` runs it, and PyTorch on the same parameters.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use ecg_core::LabelSet;
use ecg3d_models::{
    Architecture, KerasAdam, ModelCard, Network, Precision, Preset, bce_from_logits,
    keep_freed_memory, save,
};
use tch::{Device, Kind, Tensor, no_grad};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["save", path] => reference(Path::new(path)),
        [work @ ("forward" | "step"), batch, precision, threads, repeats] => {
            keep_freed_memory();
            tch::set_num_threads(threads.parse()?);
            measure(work, batch.parse()?, precision.parse()?, repeats.parse()?)
        }
        _ => Err("usage: network_speed forward|step BATCH PRECISION THREADS REPEATS, or save FILE"
            .into()),
    }
}

fn network() -> Result<Network> {
    Ok(Network::new(Architecture::ThreeDEcgNet, Preset::Corrected, 7, Device::Cpu, 1)?)
}

/// Volumes that any language makes the same of.
fn volumes(batch: i64) -> Tensor {
    let n = batch * 45 * 45 * 45;
    let phase = Tensor::arange(n, (Kind::Double, Device::Cpu)) * 0.1;
    phase.sin().to_kind(Kind::Float).reshape([batch, 45, 45, 45])
}

fn reference(path: &Path) -> Result<()> {
    let network = network()?;
    let (architecture, mode) = (network.architecture(), network.mode());
    let card =
        ModelCard::new(architecture, mode, LabelSet::seven(), architecture.preprocessing(mode));
    save(&network, &card, path)?;
    let logits = no_grad(|| network.forward_logits(&volumes(1), false))?;
    let logits: Vec<f64> = Vec::try_from(logits.to_kind(Kind::Double).flatten(0, -1))?;
    println!("{{\"logits\": {logits:?}}}");
    Ok(())
}

fn measure(work: &str, batch: i64, precision: Precision, repeats: usize) -> Result<()> {
    let mut network = network()?;
    network.set_precision(precision);
    let x = volumes(batch);
    let y = Tensor::zeros([batch, 7], (Kind::Float, Device::Cpu));
    let mut adam = KerasAdam::of(&network, 0.0)?;
    let mut once = || -> Result<()> {
        if work == "forward" {
            let _logits = no_grad(|| network.forward_logits(&x, false))?;
            return Ok(());
        }
        adam.zero_grad();
        let forward = network.forward_train(&x)?;
        let loss = bce_from_logits(forward.logits(), &y, None)?;
        forward.backward(&loss)?;
        adam.step(1e-3)?;
        Ok(())
    };
    once()?;
    let before = processor_seconds()?;
    let mut seconds = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        once()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let processor = (processor_seconds()? - before) / repeats as f64;
    println!(
        "{{\"seconds\": {seconds:?}, \"processor_seconds\": {processor}, \"peak_mb\": {}}}",
        peak_mb()?
    );
    Ok(())
}

/// User and system time of this process so far, from Linux's count in hundredths of a second.
fn processor_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let behind_name = text.rsplit(')').next().ok_or("/proc/self/stat has no name")?;
    let ticks: Vec<f64> = behind_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// Most memory that this process has had at once.
fn peak_mb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? * 1024.0 / 1e6)
}
