//! Parallel work on many items, with the results in order.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Number of items per thread that may be started ahead of delivery: enough that one thread which the system holds up
/// for a moment does not stop the others.
const AHEAD_PER_THREAD: usize = 8;

/// State shared by the threads.
struct State<T> {
    /// Number of items to work on.
    n: usize,
    /// Number of items that may be started beyond those delivered.
    ahead: usize,
    /// Next item to start.
    next: usize,
    /// Number of items delivered so far.
    delivered: usize,
    /// Results waiting for their turn.
    done: BTreeMap<usize, T>,
    /// Number of threads waiting until results are delivered.
    idle: usize,
    /// Whether the caller waits for the next result in order.
    caller_waits: bool,
    /// No more items are to be started: the caller has had enough, or a thread panicked.
    stop: bool,
}

impl<T> State<T> {
    /// Takes the next item, unless there is none or earlier items must be delivered first.
    fn take(&mut self) -> Option<usize> {
        let item = self.next;
        let free = item < self.n && item < self.delivered + self.ahead;
        self.next += usize::from(free);
        free.then_some(item)
    }

    /// Returns whether waking the idle threads is worthwhile, because they would find a few items: waking costs as much
    /// as reading a header.
    fn room(&self) -> bool {
        self.idle > 0 && self.next + self.ahead / 2 <= self.delivered + self.ahead
    }
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// The result that the caller waits for is available.
    ready: Condvar,
    /// There is room for more results.
    room: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No foreign code runs under the lock, so the state is consistent whatever happened.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.ready.notify_all();
        self.room.notify_all();
    }

    /// Works until nothing is left, on a separate thread.
    fn help(&self, mut work: impl FnMut(usize) -> T) {
        let mut panicked = Some(StopOnDrop(self));
        let mut state = self.lock();
        while !state.stop && state.next < state.n {
            let Some(item) = state.take() else {
                state.idle += 1;
                state = wait(&self.room, state);
                state.idle -= 1;
                continue;
            };
            drop(state);
            let result = work(item);
            state = self.lock();
            state.done.insert(item, result);
            if state.caller_waits && item == state.delivered {
                self.ready.notify_one();
            }
        }
        // A regular end must not stop the others.
        std::mem::forget(panicked.take());
    }

    /// Delivers available results, and works while there are none.
    fn lead<E>(
        &self,
        mut work: impl FnMut(usize) -> T,
        mut deliver: impl FnMut(usize, T) -> Result<(), E>,
    ) -> Result<(), E> {
        let _stop = StopOnDrop(self);
        let mut state = self.lock();
        // A panicking thread stops everything; the scope passes the panic on.
        while !state.stop && state.delivered < state.n {
            let turn = state.delivered;
            if let Some(result) = state.done.remove(&turn) {
                state.delivered += 1;
                let room = state.room();
                drop(state);
                if room {
                    self.room.notify_all();
                }
                deliver(turn, result)?;
                state = self.lock();
            } else if let Some(item) = state.take() {
                drop(state);
                let result = work(item);
                state = self.lock();
                state.done.insert(item, result);
            } else {
                state.caller_waits = true;
                state = wait(&self.ready, state);
                state.caller_waits = false;
            }
        }
        Ok(())
    }
}

fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Stops the work when dropped, so that a panic on one side does not leave the other waiting.
struct StopOnDrop<'a, T>(&'a Shared<T>);

impl<T> Drop for StopOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Returns the number of threads for a request of `threads`, where 0 means one per processor.
pub(super) fn thread_count(threads: usize) -> usize {
    match threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

/// Calls `work` for 0 to `n` on several threads, including this one, and `deliver` with the results in order on this
/// one.
///
/// Each thread works with its own tools, which `tools` creates. This thread works too, because a thread that only
/// delivered would be woken for every few results and put to sleep again.
///
/// Only a few results per thread exist at a time. The first error of `deliver` ends the work.
pub(super) fn in_order<S, T: Send, E>(
    n: usize,
    threads: usize,
    tools: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> T + Sync,
    mut deliver: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = thread_count(threads).min(n);
    let mut own = tools();
    if threads <= 1 {
        return (0..n).try_for_each(|item| deliver(item, work(&mut own, item)));
    }
    let shared = Shared {
        state: Mutex::new(State {
            n,
            ahead: threads * AHEAD_PER_THREAD,
            next: 0,
            delivered: 0,
            done: BTreeMap::new(),
            idle: 0,
            caller_waits: false,
            stop: false,
        }),
        ready: Condvar::new(),
        room: Condvar::new(),
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            let help = || {
                let mut own = tools();
                shared.help(|item| work(&mut own, item));
            };
            // If the system has no more threads, the running ones are enough.
            if thread::Builder::new().spawn_scoped(scope, help).is_err() {
                break;
            }
        }
        shared.lead(|item| work(&mut own, item), deliver)
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
            || (),
            |(), item| {
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
        assert!(most.into_inner() <= 4 * AHEAD_PER_THREAD + 1);
    }

    #[test]
    fn an_error_ends_the_work() {
        for threads in [1, 3] {
            let started = AtomicUsize::new(0);
            let end = in_order(
                10_000,
                threads,
                || (),
                |(), _| started.fetch_add(1, Ordering::SeqCst),
                |item, _| if item == 5 { Err("enough") } else { Ok(()) },
            );
            assert_eq!(end, Err("enough"));
            assert!(started.into_inner() < 100);
        }
    }

    #[test]
    fn a_panic_is_passed_on() {
        let caught = std::panic::catch_unwind(|| {
            in_order(
                100,
                3,
                || (),
                |(), item| assert_ne!(item, 7, "on purpose"),
                |_, ()| Ok::<(), ()>(()),
            )
        });
        assert!(caught.is_err());
    }

    #[test]
    fn nothing_to_do() {
        assert_eq!(in_order(0, 0, || (), |(), _| (), |_, ()| Err(())), Ok(()));
    }
}
