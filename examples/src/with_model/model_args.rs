//! Flags for which model runs, and how.

use std::path::PathBuf;

use anyhow::Result;
use ecg3d_models::{Model, Precision};

use super::device_args::DeviceArgs;
use super::precision::warn_of_imitation;
use super::threads::ThreadsArgs;
use super::weights::model;

#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// Weights (.safetensors) written by `train` or `import-keras` [default: the 3DECG-Net that ships]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Number of windows per batch [default: 64 signals or 4 volumes, 32 on a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Arithmetic precision: f32, or bf16, which is about twice as fast on a GPU or a processor with bf16
    /// instructions (3decgnet: Intel AMX); on others it is as fast for 3decgnet and much slower for the rest
    #[arg(long, value_name = "TYPE", default_value_t = Precision::F32)]
    precision: Precision,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArgs,
}

impl ModelArgs {
    /// Sets the threads and loads the model on its device.
    pub fn model(&self) -> Result<Model> {
        self.threads.set_up_process()?;
        let device = self.device.device()?;
        let model = model(self.weights.as_deref(), device)?.with_precision(self.precision);
        warn_of_imitation(self.precision, model.network().architecture(), device);
        Ok(match self.batch {
            Some(batch) => model.with_batch(batch as usize),
            None => model,
        })
    }
}
