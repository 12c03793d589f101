//! Threads for blocking handlers: as many as run at this moment, made at need. The slots bound them (`pool-size` of each
//! executor), nothing else does: no handler ever waits for another one's thread. A handler that is given up keeps its slot
//! until it returns, so the bound holds then too.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::spawn;

/// How long a thread without work waits for the next: longer than the gaps of a steady load, short enough that a burst's
/// threads, a few tens of KiB each, are soon gone.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(10);
/// Pause before a thread is asked for again when the operating system had none to give.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// One handler's run.
type Work = Box<dyn FnOnce() + Send>;
/// What a run returned, or what it panicked with.
pub(super) type Ended<T> = Result<T, Box<dyn Any + Send>>;

/// A run that has its thread.
pub(super) struct Started<T>(oneshot::Receiver<Ended<T>>);

/// The thread of a run that was given up, until it is free again.
pub(super) type Busy = BoxFuture<'static, ()>;

impl<T: Send + 'static> Started<T> {
    /// What comes of it.
    pub(super) async fn end(&mut self) -> Ended<T> {
        let ended = (&mut self.0).await;
        ended.expect("work that was handed over runs, and sends")
    }

    /// What comes of it does not matter any more, only that it ends.
    pub(super) fn given_up(mut self) -> Busy {
        Box::pin(async move { drop(self.end().await) })
    }
}

/// The threads. Those without work end when this is dropped; one that runs a handler ends after it.
pub(super) struct Threads {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    idle_max: Duration,
    /// What `tokio::runtime::Handle::current` is inside a handler.
    runtime: Handle,
}

#[derive(Default)]
struct State {
    /// Never more than threads are idle, so each is taken at once.
    waiting: VecDeque<Work>,
    /// Threads without work, those that are just being started included.
    idle: usize,
    /// All threads.
    threads: usize,
    ended: bool,
}

impl Threads {
    /// No threads yet; handlers will find themselves in `runtime`.
    pub(super) fn new(runtime: Handle, idle_max: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Condvar::new(),
                idle_max,
                runtime,
            }),
        }
    }

    /// Starts `body` on a thread of its own. While the operating system has no thread to give, it waits and asks again.
    /// Dropped before it returns, the body never runs; from then on it runs to its end.
    pub(super) async fn start<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Started<T> {
        let (sender, receiver) = oneshot::channel();
        let mut work: Work = Box::new(move || {
            let ended = catch_unwind(AssertUnwindSafe(body));
            // Whoever waited for it may have gone away.
            let _ = sender.send(ended);
        });
        while let Err((back, error)) = self.hand_over(work) {
            tracing::warn!(%error, "no thread for a blocking handler; it waits for one");
            work = back;
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        Started(receiver)
    }

    /// Gives the work to an idle thread or to a new one; back if there is none.
    fn hand_over(&self, work: Work) -> Result<(), (Work, std::io::Error)> {
        let mut state = self.shared.state();
        if state.idle > state.waiting.len() {
            state.waiting.push_back(work);
            self.shared.changed.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        if let Err(error) = spawn::thread("ringhold-handler", move || shared.work()) {
            return Err((work, error));
        }
        state.threads += 1;
        state.idle += 1;
        state.waiting.push_back(work);
        Ok(())
    }

    /// All threads there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.shared.state().threads
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// What a thread does, from its start, as which it counts as idle, to its end.
    fn work(&self) {
        let _inside = self.runtime.enter();
        let mut state = self.state();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                state.idle -= 1;
                drop(state);
                work();
                state = self.state();
                state.idle += 1;
                continue;
            }
            if state.ended {
                break;
            }
            let (woken, waited) = self
                .changed
                .wait_timeout(state, self.idle_max)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if waited.timed_out() && state.waiting.is_empty() {
                break;
            }
        }
        state.idle -= 1;
        state.threads -= 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of others runs under the lock, so a poisoned one still holds true numbers.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Threads {
        async fn run<T: Send + 'static>(
            &self,
            body: impl FnOnce() -> T + Send + 'static,
        ) -> Ended<T> {
            self.start(body).await.end().await
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    }

    #[test]
    fn one_thread_serves_one_run_after_another() {
        let runtime = runtime();
        let threads = Threads::new(runtime.handle().clone(), IDLE_MAX);
        let id = || std::thread::current().id();
        let first = runtime.block_on(threads.run(id)).expect("no panic");
        // The run's end is known a moment before its thread is idle again.
        while threads.shared.state().idle == 0 {
            std::thread::yield_now();
        }
        let second = runtime.block_on(threads.run(id)).expect("no panic");
        assert_eq!(first, second);
        assert_eq!(threads.count(), 1);
    }

    #[test]
    fn a_thread_without_work_ends_and_a_later_run_gets_a_new_one() {
        let runtime = runtime();
        let threads = Threads::new(runtime.handle().clone(), Duration::from_millis(1));
        runtime.block_on(threads.run(|| ())).expect("no panic");
        while threads.count() > 0 {
            std::thread::yield_now();
        }
        assert_eq!(runtime.block_on(threads.run(|| 7)).expect("no panic"), 7);
    }

    #[test]
    fn idle_threads_end_with_their_owner() {
        let runtime = runtime();
        let threads = Threads::new(runtime.handle().clone(), Duration::from_secs(3600));
        runtime.block_on(threads.run(|| ())).expect("no panic");
        let shared = Arc::clone(&threads.shared);
        drop(threads);
        while shared.state().threads > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_panic_is_the_end_of_its_run_and_not_of_the_thread() {
        let runtime = runtime();
        let threads = Threads::new(runtime.handle().clone(), IDLE_MAX);
        let ended = runtime.block_on(threads.run(|| panic!("as asked")));
        let panic = ended.expect_err("it panicked");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"as asked"));
        assert_eq!(threads.count(), 1);
    }
}
