//! As many threads as libtorch takes for an operation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};
use tch::TchError;

use crate::layers::Result;

/// Does work that is spread over the threads of rayon, on as many as [`tch::get_num_threads`] says.
pub(crate) fn install<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R> {
    static POOLS: Mutex<Option<HashMap<usize, Arc<ThreadPool>>>> = Mutex::new(None);
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1);
    let pool = {
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        let pools = pools.get_or_insert_default();
        match pools.get(&threads) {
            Some(pool) => Arc::clone(pool),
            None => {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build();
                let pool = pool.map_err(|error| TchError::Torch(error.to_string()))?;
                Arc::clone(pools.entry(threads).or_insert(Arc::new(pool)))
            }
        }
    };
    Ok(pool.install(work))
}
