//! How many threads a program runs on; a file of the programs that link libtorch, which the library must not.

use anyhow::Result;

/// Sets the threads of libtorch and of the conversion; `None` leaves one for each core.
///
/// # Errors
/// Rayon's threads are there already.
pub fn use_threads(threads: Option<u32>) -> Result<()> {
    if let Some(threads) = threads {
        tch::set_num_threads(i32::try_from(threads)?);
        rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global()?;
    }
    Ok(())
}
