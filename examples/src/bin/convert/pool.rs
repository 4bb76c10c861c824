//! The threads that convert.

use std::num::NonZero;

use anyhow::{Context, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Makes a pool of threads: as many as are asked for (0 stands for one per processor), but no more than there
/// are pieces of work.
///
/// # Errors
/// Returns an error if the system has no more threads.
pub fn pool(threads: u32, pieces: usize) -> Result<ThreadPool> {
    let threads = match threads as usize {
        0 => std::thread::available_parallelism().map_or(1, NonZero::get),
        threads => threads,
    };
    let threads = threads.min(pieces.max(1));
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.with_context(|| format!("cannot start {threads} threads"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_thread_is_without_work() {
        for (threads, pieces, expected) in [(1000, 3, 3), (2, 1000, 2), (7, 0, 1)] {
            let pool = pool(threads, pieces).expect("a few threads");
            assert_eq!(pool.current_num_threads(), expected);
        }
        assert!(pool(0, 1000).expect("threads").current_num_threads() >= 1);
    }
}
