//! A program that runs: feeds it, reads it, ends it in time, and leaves nothing of its group behind.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::{Pin, pin};
use std::process::ExitStatus;

use bytes::Bytes;
use ringhold_sys::{ExitDescriptor, ProcessGroup};
use ringhold_types::{Millis, ProcessExit, Tick};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::process::{Child, ChildStdin};

use super::capture::Capture;
use crate::clock::Clock;
use crate::execution::attempt::Run;
use crate::execution::limits::{ERROR_BYTES_MAX, OUTPUT_BYTES_MAX, OUTPUT_CLOSE_WAIT};
use crate::execution::slots::Stop;

/// A program that runs, with its whole group. Dropped, it is killed.
pub(super) struct Started {
    child: Child,
    group: ProcessGroup,
    ended: AsyncFd<ExitDescriptor>,
    process_id: u32,
    spawn: Millis,
    running_since: Tick,
}

/// A program that has ended and was reaped.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) exit: ProcessExit,
    /// Why it was told to end, if it was.
    pub(super) stop: Option<Stop>,
}

impl Started {
    /// Watches a program whose start began at `begun`.
    pub(super) fn watch(child: Child, group: ProcessGroup, begun: Tick) -> io::Result<Self> {
        // The successor of this function asks in `unsafe` for a descriptor that stays the same while it is watched. Ours
        // does: `ExitDescriptor` owns it and lends it out unchanged until it is dropped.
        #[expect(
            deprecated,
            reason = "the safe form is enough for a descriptor that never changes"
        )]
        let ended = AsyncFd::with_interest(group.exit_descriptor()?, Interest::READABLE)?;
        let running_since = Clock.now();
        Ok(Self {
            process_id: child.id().unwrap_or_default(),
            child,
            group,
            ended,
            spawn: running_since.since(begun),
            running_since,
        })
    }

    /// Follows the program to its end, or ends it when the attempt must stop.
    pub(super) async fn attend(mut self, input: Option<Bytes>, run: &Run) -> io::Result<Ended> {
        let limit = usize::try_from(run.config.output_bytes_max).unwrap_or(usize::MAX);
        let mut output = Capture::new(limit.min(OUTPUT_BYTES_MAX));
        let mut errors = Capture::new(ERROR_BYTES_MAX);
        let standard_input = self.child.stdin.take();
        let (standard_output, standard_error) =
            (self.child.stdout.take(), self.child.stderr.take());
        let (status, stop, ended_at) = {
            let mut flow = pin!(async {
                tokio::join!(
                    feed(standard_input, input),
                    output.read(standard_output),
                    errors.read(standard_error),
                );
            });
            let (stop, flow_ended) = beside(self.end_of_leader(run), flow.as_mut()).await;
            let stop = stop?;
            let ended_at = Clock.now();
            if let Err(error) = self.group.close() {
                tracing::debug!(%error, process_id = self.process_id, "could not end what is left of a group");
            }
            let status = self.child.wait().await?;
            if !flow_ended && tokio::time::timeout(OUTPUT_CLOSE_WAIT, flow).await.is_err() {
                tracing::warn!(
                    process_id = self.process_id,
                    "a process that left its group holds a program's output open; the rest of it is not read"
                );
            }
            (status, stop, ended_at)
        };
        let exit = ProcessExit {
            exit_code: status.code(),
            signal: status.signal(),
            process_id: self.process_id,
            spawn: self.spawn,
            run: ended_at.since(self.running_since),
            output_truncated: output.truncated(),
            error_truncated: errors.truncated(),
            standard_output: output.into_bytes(),
            standard_error: errors.into_bytes(),
            ..ProcessExit::default()
        };
        Ok(Ended { status, exit, stop })
    }

    /// Waits for the program's end without reaping it, so that its group's number stays its own. When the attempt must
    /// stop: TERM to the group, then KILL after the grace.
    async fn end_of_leader(&self, run: &Run) -> io::Result<Option<Stop>> {
        let stop = tokio::select! {
            biased;
            ended = self.ended.readable() => return ended.map(|_| None),
            stop = run.must_stop() => stop,
        };
        self.log_refusal("TERM", self.group.terminate());
        tokio::select! {
            biased;
            ended = self.ended.readable() => drop(ended?),
            () = run.stop.kill_time(run.config.kill_grace) => {
                self.log_refusal("KILL", self.group.kill());
                drop(self.ended.readable().await?);
            }
        }
        Ok(Some(stop))
    }

    /// A program that runs as another user cannot be signalled; its end is awaited all the same.
    fn log_refusal(&self, signal: &str, sent: io::Result<()>) {
        if let Err(error) = sent {
            tracing::warn!(%error, signal, process_id = self.process_id, "could not signal a program");
        }
    }
}

/// Runs `main` to its end and `background` beside it. Says whether the background ended too.
async fn beside<T>(
    main: impl Future<Output = T>,
    mut background: Pin<&mut impl Future<Output = ()>>,
) -> (T, bool) {
    let mut main = pin!(main);
    let mut background_ended = false;
    loop {
        tokio::select! {
            value = &mut main => return (value, background_ended),
            () = background.as_mut(), if !background_ended => background_ended = true,
        }
    }
}

/// Writes all of `input` and closes standard input. A program that does not want it all is no error.
async fn feed(standard_input: Option<ChildStdin>, input: Option<Bytes>) {
    if let (Some(mut pipe), Some(input)) = (standard_input, input)
        && let Err(error) = pipe.write_all(&input).await
    {
        tracing::debug!(%error, "a program did not read all of its input");
    }
}
