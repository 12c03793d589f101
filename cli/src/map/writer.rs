//! Writes what a run prints, in a thread of its own: a reader that pauses (`map … | less`) holds up the printing, and neither
//! the watch for signals nor the end of the program.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use indicatif::ProgressBar;
use ringhold_client::ErrorCode;
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;
use crate::output;

/// Pieces that wait for the thread. Each is the output of one line at most, so a reader that pauses costs little memory, and
/// one that does not is never waited for.
const PIECES_MAX: usize = 16;

/// Something to be written.
#[derive(Debug)]
enum Piece {
    /// What a program printed.
    Output {
        standard_output: Bytes,
        standard_error: Bytes,
    },
    /// For people, on standard error.
    Words(String),
    /// Nothing; the bar moves on.
    Moved,
}

/// Takes what is to be written.
#[derive(Debug)]
pub(crate) struct Writer {
    pieces: mpsc::Sender<Piece>,
    ended: Arc<AtomicU64>,
}

/// Resolves when everything that the [`Writer`] took is written, once that is dropped.
#[derive(Debug)]
pub(crate) struct Written(oneshot::Receiver<Result<(), Failure>>);

impl Writer {
    /// Starts the thread. The bar is its own, since whoever holds up the printing to a terminal holds up the bar as well.
    pub(crate) fn start(bar: ProgressBar) -> (Self, Written) {
        let (pieces, waiting) = mpsc::channel(PIECES_MAX);
        let (sender, written) = oneshot::channel();
        let ended = Arc::new(AtomicU64::new(0));
        let count = ended.clone();
        std::thread::spawn(move || {
            let done = write_all(waiting, &bar, &count);
            bar.finish_and_clear();
            // Nobody waits for it after an interruption.
            let _ = sender.send(done);
        });
        (Self { pieces, ended }, Written(written))
    }

    /// Writes what a program printed, when the reader has room for it.
    ///
    /// # Errors
    /// [`Failure`] when the thread has ended; why is in [`Written`].
    pub(crate) async fn output(
        &self,
        standard_output: Bytes,
        standard_error: Bytes,
    ) -> Result<(), Failure> {
        let piece = Piece::Output {
            standard_output,
            standard_error,
        };
        let sent = self.pieces.send(piece).await;
        sent.map_err(|_| Failure::new(ErrorCode::Internal, "standard output cannot be written"))
    }

    /// Says something to people.
    pub(crate) async fn say(&self, text: String) {
        // A thread that has ended has a failure to tell, which is told at the end.
        let _ = self.pieces.send(Piece::Words(text)).await;
    }

    /// A line ended: the bar moves on.
    pub(crate) fn line_ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        // A thread that is busy looks at the count after each piece anyway.
        let _ = self.pieces.try_send(Piece::Moved);
    }
}

impl Written {
    /// Waits until everything is written.
    ///
    /// # Errors
    /// [`Failure`] when standard output could not be written.
    pub(crate) async fn wait(&mut self) -> Result<(), Failure> {
        let gone = |_| Failure::new(ErrorCode::Internal, "the thread that prints has ended");
        (&mut self.0).await.map_err(gone)?
    }
}

fn write_all(
    mut waiting: mpsc::Receiver<Piece>,
    bar: &ProgressBar,
    ended: &AtomicU64,
) -> Result<(), Failure> {
    // Only what goes to the bar's own terminal has to make room for itself.
    let shares_terminal = std::io::stdout().is_terminal();
    while let Some(piece) = waiting.blocking_recv() {
        match piece {
            Piece::Output {
                standard_output,
                standard_error,
            } => {
                if !standard_error.is_empty() {
                    // As if the program had run here.
                    bar.suspend(|| {
                        let _ = std::io::stderr().write_all(&standard_error);
                    });
                }
                if shares_terminal {
                    bar.suspend(|| output::write(&standard_output))?;
                } else {
                    output::write(&standard_output)?;
                }
            }
            Piece::Words(text) => bar.suspend(|| output::say(text)),
            Piece::Moved => {}
        }
        bar.set_position(ended.load(Ordering::Relaxed));
    }
    Ok(())
}
