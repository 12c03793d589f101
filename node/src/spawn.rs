//! The one file that spawns tokio tasks and threads, so that each has a name and is seen when it ends badly.

use std::future::Future;

use tokio::task::JoinHandle;

/// Spawns a named task on the current runtime. A panic in it is logged with the name; the caller decides what it means.
pub fn task<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tracing::trace!(task = name, "spawned");
    tokio::spawn(future)
}

/// Runs `body` on a thread of the current runtime's blocking pool.
pub fn blocking<F, T>(name: &'static str, body: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    tracing::trace!(task = name, "spawned on a blocking thread");
    tokio::task::spawn_blocking(body)
}

/// Starts a named operating-system thread.
///
/// # Errors
/// The operating system's, when it has no more threads to give.
pub fn thread<F>(name: &str, body: F) -> std::io::Result<std::thread::JoinHandle<()>>
where
    F: FnOnce() + Send + 'static,
{
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
}
