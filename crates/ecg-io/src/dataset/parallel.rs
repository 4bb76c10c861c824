//! Work on many items at once, with the results in order.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Results that wait for their turn, for each thread.
const WAITING_PER_THREAD: usize = 4;

/// What the threads share.
struct State<T> {
    /// Next item to be taken up.
    next: usize,
    /// Items delivered so far.
    delivered: usize,
    /// Results that wait for their turn.
    done: BTreeMap<usize, T>,
    /// Threads that wait until enough results are delivered.
    idle: usize,
    /// No more items are to be taken up: the receiver had enough, or a thread panicked.
    stop: bool,
}

impl<T> State<T> {
    /// Whether it is worth waking the receiver, which costs as much as reading a header: its next result is there, and
    /// half of what may wait with it, or no more to come.
    fn enough(&self, n: usize, waiting: usize) -> bool {
        self.done.contains_key(&self.delivered)
            && (self.done.len() >= waiting / 2 || self.next >= n)
    }
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// The result whose turn it is has come.
    ready: Condvar,
    /// There is room for more results.
    room: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code of others runs under the lock, so the state is whole whatever happened.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.ready.notify_all();
        self.room.notify_all();
    }
}

fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Ends the work when it goes out of scope, so that a panic on one side does not leave the other waiting.
struct StopOnDrop<'a, T>(&'a Shared<T>);

impl<T> Drop for StopOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Threads for a wish of `threads`, where 0 means one for each processor.
pub(super) fn thread_count(threads: usize) -> usize {
    match threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

/// Calls `work` for 0 to `n`, on several threads, and `deliver` with the results in order, on this one.
///
/// No more than a few results for each thread exist at a time. The first error of `deliver` ends the work.
pub(super) fn in_order<T: Send, E>(
    n: usize,
    threads: usize,
    work: impl Fn(usize) -> T + Sync,
    mut deliver: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = thread_count(threads).min(n);
    if threads <= 1 {
        return (0..n).try_for_each(|item| deliver(item, work(item)));
    }
    let waiting = threads * WAITING_PER_THREAD;
    let state = State { next: 0, delivered: 0, done: BTreeMap::new(), idle: 0, stop: false };
    let shared = Shared { state: Mutex::new(state), ready: Condvar::new(), room: Condvar::new() };
    let worker = || {
        let mut panicked = Some(StopOnDrop(&shared));
        loop {
            let mut state = shared.lock();
            while !state.stop && state.next < n && state.next >= state.delivered + waiting {
                state.idle += 1;
                state = wait(&shared.room, state);
                state.idle -= 1;
            }
            if state.stop || state.next >= n {
                break;
            }
            let item = state.next;
            state.next += 1;
            drop(state);
            let result = work(item);
            let mut state = shared.lock();
            state.done.insert(item, result);
            let enough = state.enough(n, waiting);
            drop(state);
            if enough {
                shared.ready.notify_one();
            }
        }
        // A regular end is none for the others.
        std::mem::forget(panicked.take());
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(worker);
        }
        let _stop = StopOnDrop(&shared);
        for item in 0..n {
            let mut state = shared.lock();
            if !state.done.contains_key(&item) {
                while !state.stop && !state.enough(n, waiting) {
                    state = wait(&shared.ready, state);
                }
            }
            let Some(result) = state.done.remove(&item) else {
                // A worker panicked; the scope passes that on.
                return Ok(());
            };
            state.delivered = item + 1;
            let wake = state.idle > 0;
            drop(state);
            if wake {
                shared.room.notify_all();
            }
            deliver(item, result)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_order_and_few_at_a_time() {
        let alive = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let mut seen = Vec::new();
        let all: Result<(), ()> = in_order(
            500,
            4,
            |item| {
                most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                item * item
            },
            |item, result| {
                alive.fetch_sub(1, Ordering::SeqCst);
                seen.push((item, result));
                Ok(())
            },
        );
        assert_eq!(all, Ok(()));
        assert_eq!(seen, (0..500).map(|k| (k, k * k)).collect::<Vec<_>>());
        assert!(most.into_inner() <= 4 * WAITING_PER_THREAD + 1);
    }

    #[test]
    fn an_error_ends_the_work() {
        for threads in [1, 3] {
            let started = AtomicUsize::new(0);
            let end = in_order(
                10_000,
                threads,
                |_| started.fetch_add(1, Ordering::SeqCst),
                |item, _| if item == 5 { Err("enough") } else { Ok(()) },
            );
            assert_eq!(end, Err("enough"));
            assert!(started.into_inner() < 100);
        }
    }

    #[test]
    fn a_panic_is_passed_on() {
        let caught = std::panic::catch_unwind(|| {
            in_order(100, 3, |item| assert_ne!(item, 7, "on purpose"), |_, ()| Ok::<(), ()>(()))
        });
        assert!(caught.is_err());
    }

    #[test]
    fn nothing_to_do() {
        assert_eq!(in_order(0, 0, |_| (), |_, ()| Err(())), Ok(()));
    }
}
