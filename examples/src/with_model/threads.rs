//! Threads and memory of a program; a file of the programs that link libtorch, which the library must not.

use anyhow::Result;

/// Sets the threads of libtorch and of the conversion, `None` leaving one for each core, and keeps freed memory for the process.
///
/// # Errors
/// Rayon's threads are there already.
pub fn set_up_process(threads: Option<u32>) -> Result<()> {
    ecg3d_models::keep_freed_memory();
    if let Some(threads) = threads {
        tch::set_num_threads(i32::try_from(threads)?);
        rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global()?;
    }
    Ok(())
}
