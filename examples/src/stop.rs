//! Ctrl-C as a request: work stops at its next good place, and what is done is written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result};
use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// Exit status of a program that was stopped and wrote what it had: 128 and the number of the signal.
pub const INTERRUPTED: u8 = 130;

static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on Ctrl-C is noted, see [`stopped`]; a second one ends the program at once, with status [`INTERRUPTED`].
///
/// # Errors
/// The system refuses.
pub fn listen() -> Result<()> {
    // In this order: the first Ctrl-C finds the flag down, and puts it up for the second.
    flag::register_conditional_shutdown(SIGINT, i32::from(INTERRUPTED), Arc::clone(&STOP))
        .and_then(|_| flag::register(SIGINT, Arc::clone(&STOP)))
        .context("cannot listen for Ctrl-C")?;
    Ok(())
}

/// Whether Ctrl-C was pressed since [`listen`].
pub fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}
