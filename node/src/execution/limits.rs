//! Bounds of one attempt, each with its reason. Bounds shared with other modules are in `ringhold_types::limits`.

use std::time::Duration;

use ringhold_types::limits::RESULT_BYTES_MAX;

/// Bytes kept of standard error, head and tail: enough for a stack trace at either end.
pub(super) const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Bytes kept of standard output, whatever `output-bytes-max` says: with standard error it must fit into one result.
pub(super) const OUTPUT_BYTES_MAX: usize = RESULT_BYTES_MAX - 2 * ERROR_BYTES_MAX;
/// Bytes of a failure's message: it is kept with the outcome, and shown on one screen.
pub(super) const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// How long output may stay open once the program and its group have ended: only an escaped process can hold it.
pub(super) const OUTPUT_CLOSE_WAIT: Duration = Duration::from_secs(1);
/// Bytes read from a program at once; a pipe holds no more.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// Cuts a message to [`MESSAGE_BYTES_MAX`] at a character's edge.
pub(super) fn bounded_message(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let mut end = MESSAGE_BYTES_MAX;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}
