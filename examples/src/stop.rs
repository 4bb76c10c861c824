//! Ctrl-C as a request: work stops at the next suitable point, and what has been done is written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result};
use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// Exit status of a program that was stopped and wrote what it had: 128 plus the number of the signal.
pub const INTERRUPTED: u8 = 130;

static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Starts listening for Ctrl-C, see [`stopped`]. A second Ctrl-C ends the program at once, with status
/// [`INTERRUPTED`].
///
/// # Errors
/// Returns an error if the system refuses.
pub fn listen() -> Result<()> {
    // The order matters: the first Ctrl-C finds the flag unset, and sets it for the second.
    flag::register_conditional_shutdown(SIGINT, i32::from(INTERRUPTED), Arc::clone(&STOP))
        .and_then(|_| flag::register(SIGINT, Arc::clone(&STOP)))
        .context("cannot listen for Ctrl-C")?;
    Ok(())
}

/// Returns whether Ctrl-C was pressed since [`listen`].
pub fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}
