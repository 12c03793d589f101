//! Keeps the beginning and the end of a program's output while reading all of it.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::execution::limits::READ_BYTES;

/// Head and tail of a stream, of bounded size. The program never waits: what is not kept is read all the same.
#[derive(Debug)]
pub(super) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_limit: usize,
    tail_limit: usize,
    left_out: u64,
}

impl Capture {
    /// Keeps at most `limit` bytes: the first half and the last.
    pub(super) fn new(limit: usize) -> Self {
        let head_limit = limit / 2;
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            head_limit,
            tail_limit: limit - head_limit,
            left_out: 0,
        }
    }

    /// Takes what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = self.head_limit - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        // Of a piece longer than the tail only its own end can stay.
        let skipped = rest.len().saturating_sub(self.tail_limit);
        let rest = &rest[skipped..];
        let overflow = (self.tail.len() + rest.len()).saturating_sub(self.tail_limit);
        self.tail.drain(..overflow);
        self.tail.extend(rest);
        self.left_out += (skipped + overflow) as u64;
    }

    /// Whether something was left out.
    pub(super) fn truncated(&self) -> bool {
        self.left_out > 0
    }

    /// What was kept: all of it, or head and tail without the middle.
    pub(super) fn into_bytes(self) -> Bytes {
        let mut all = self.head;
        let (front, back) = self.tail.as_slices();
        all.extend_from_slice(front);
        all.extend_from_slice(back);
        all.into()
    }

    /// Reads `stream` to its end, or to its first error, which ends it just as well.
    pub(super) async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) => return,
                Ok(count) => self.push(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::debug!(%error, "a program's output ended with an error");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn head_and_tail_are_kept_however_the_output_is_cut_into_pieces(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
            limit in 0_usize..60,
        ) {
            let mut capture = Capture::new(limit);
            for piece in &pieces {
                capture.push(piece);
            }
            let all: Vec<u8> = pieces.concat();
            prop_assert_eq!(capture.truncated(), all.len() > limit);
            let expected = if all.len() <= limit {
                all
            } else {
                let tail = limit - limit / 2;
                [&all[..limit / 2], &all[all.len() - tail..]].concat()
            };
            prop_assert_eq!(capture.into_bytes().to_vec(), expected);
        }
    }
}
