//! Threads and memory of a program.

use anyhow::Result;

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ThreadsArgs {
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
}

impl ThreadsArgs {
    /// Sets the threads of libtorch and of the conversion, and keeps freed memory for the process.
    ///
    /// # Errors
    /// Returns an error if rayon's threads have already been started.
    pub fn set_up_process(self) -> Result<()> {
        ecg3d_models::keep_freed_memory();
        if let Some(threads) = self.threads {
            tch::set_num_threads(i32::try_from(threads)?);
            rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global()?;
        }
        Ok(())
    }
}
