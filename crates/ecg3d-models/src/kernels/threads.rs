//! As many threads as libtorch uses for an operation.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};
use tch::TchError;

use crate::layers::Result;

thread_local! {
    /// Whether this thread belongs to one of these pools.
    static OWN: Cell<bool> = const { Cell::new(false) };
}

/// Runs work that rayon spreads over threads, on as many threads as [`tch::get_num_threads`] says.
///
/// Within such work, it uses the same threads.
pub(crate) fn install<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R> {
    static POOLS: Mutex<Option<HashMap<usize, Arc<ThreadPool>>>> = Mutex::new(None);
    if OWN.get() {
        return Ok(work());
    }
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1);
    let pool = {
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        let pools = pools.get_or_insert_default();
        match pools.get(&threads) {
            Some(pool) => Arc::clone(pool),
            None => {
                let pool = ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .start_handler(|_| OWN.set(true))
                    .build();
                let pool = pool.map_err(|error| TchError::Torch(error.to_string()))?;
                Arc::clone(pools.entry(threads).or_insert(Arc::new(pool)))
            }
        }
    };
    if rayon::current_thread_index().is_none() {
        return Ok(pool.install(work));
    }
    // A thread of another pool would take up other work while it waits, and that work may need a lock that this thread
    // holds.
    std::thread::scope(|scope| scope.spawn(|| pool.install(work)).join())
        .map_err(|panic| std::panic::resume_unwind(panic))
}
