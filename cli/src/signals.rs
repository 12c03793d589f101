//! Ctrl-C, SIGTERM, and a standard input that somebody closed.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::failure::Failure;

/// Resolves at the first Ctrl-C, SIGTERM or SIGHUP.
///
/// # Errors
/// [`Failure`] when the operating system gives no signal handler.
pub(crate) async fn interrupted() -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::io("listen for signals", &error));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}

/// Resolves when standard input ends: the process that started this one is gone, however it died.
pub(crate) async fn standard_input_closed() {
    let (sender, closed) = oneshot::channel();
    // A thread of its own, since nothing can end a read that waits.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        // Nobody waits if the member ended before.
        let _ = sender.send(());
    });
    let _ = closed.await;
}
