//! Flags that say which model runs and how; a file of the programs that link libtorch, which the library must not.

use std::path::PathBuf;

use anyhow::Result;
use ecg3d_models::{Model, Precision};

use crate::precision::warn_of_imitation;
use crate::threads::ThreadsArgs;
use crate::weights::model;

#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// Weights (.safetensors) that `train` or `import-keras` wrote [default: the 3DECG-Net that ships]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Windows that go through the network at once [default: 64 signals or 4 volumes, 32 on a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Number type of the arithmetic: f32, or bf16: twice as quick or more where the GPU or the processor multiplies it
    #[arg(long, value_name = "TYPE", default_value_t = Precision::F32)]
    precision: Precision,
    #[command(flatten)]
    threads: ThreadsArgs,
}

impl ModelArgs {
    /// Sets the threads, and loads the model.
    pub fn model(&self) -> Result<Model> {
        self.threads.set_up_process()?;
        let model = model(self.weights.as_deref())?.with_precision(self.precision);
        let network = model.network();
        warn_of_imitation(self.precision, network.architecture(), network.device());
        Ok(match self.batch {
            Some(batch) => model.with_batch(batch as usize),
            None => model,
        })
    }
}
