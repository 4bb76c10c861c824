//! As many threads as libtorch takes for an operation.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};
use tch::TchError;

use crate::layers::Result;

thread_local! {
    /// Whether this thread is one of a pool here.
    static OWN: Cell<bool> = const { Cell::new(false) };
}

/// Does work that is spread over the threads of rayon, on as many as [`tch::get_num_threads`] says; within such work, on the same.
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
    // A thread of somebody else's pool would take up other work while it waits, which may need a lock that this one holds.
    std::thread::scope(|scope| scope.spawn(|| pool.install(work)).join())
        .map_err(|panic| std::panic::resume_unwind(panic))
}
