//! Ctrl-C, SIGTERM, SIGHUP, and a standard input that somebody closed.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::failure::Failure;

/// Resolves at the first Ctrl-C, SIGTERM or SIGHUP. SIGHUP and SIGINT stay ignored where whoever started the program had
/// them ignored: `nohup`, and a shell without job control for what it runs in the background.
///
/// # Errors
/// [`Failure`] when the operating system gives no signal handler.
pub(crate) async fn interrupted() -> Result<(), Failure> {
    // Before the first handler takes the place of what was inherited. What is ignored gets none, so it shows here for ever.
    let ignored = ignored();
    let listen = |kind| signal(kind).map_err(|error| Failure::io("listen for signals", &error));
    let inherit = |kind: SignalKind| {
        let wanted = !is_ignored(ignored, kind);
        wanted.then(|| listen(kind)).transpose()
    };
    let mut interrupt = inherit(SignalKind::interrupt())?;
    let mut hang_up = inherit(SignalKind::hangup())?;
    let mut terminate = listen(SignalKind::terminate())?;
    tokio::select! {
        () = next(&mut interrupt) => {}
        () = next(&mut hang_up) => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// The next signal of a kind; never, if nobody listens for it.
async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Signals that this process ignores, one bit each, as Linux tells them; none where it does not.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_of(&status)
}

fn ignored_of(status: &str) -> u64 {
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or_default()
}

fn is_ignored(set: u64, kind: SignalKind) -> bool {
    // The lowest bit is signal 1.
    let place = u32::try_from(kind.as_raw_value() - 1).ok();
    place.and_then(|place| set.checked_shr(place)).unwrap_or(0) & 1 == 1
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status_of_the_process() {
        let set = ignored_of("Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001003\n");
        assert!(is_ignored(set, SignalKind::hangup()));
        assert!(is_ignored(set, SignalKind::interrupt()));
        assert!(is_ignored(set, SignalKind::pipe()));
        assert!(!is_ignored(set, SignalKind::terminate()));
        assert_eq!(ignored_of("Name:\tx\n"), 0);
    }
}
