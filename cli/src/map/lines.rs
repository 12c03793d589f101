//! Lines of standard input, read by a thread of its own, no faster than they are used.

use std::io::BufRead;

use bytes::Bytes;
use tokio::sync::mpsc;

/// Lines read ahead.
const READ_AHEAD: usize = 256;
/// Longest line: a name or a small record, not the data itself. It has to fit a task with room to spare.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Number of a line, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LineNumber(pub(crate) u64);

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number.
    pub(crate) number: LineNumber,
    /// What it says; any bytes but a line's end.
    pub(crate) text: Bytes,
}

/// Reads lines in a thread until the input ends or nobody wants more.
pub(crate) fn read<R>(input: R) -> mpsc::Receiver<std::io::Result<Line>>
where
    R: BufRead + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || read_all(input, &sender));
    receiver
}

/// Lines that are known already.
pub(crate) fn known(texts: Vec<Bytes>) -> mpsc::Receiver<std::io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(texts.len().max(1));
    for (number, text) in (1..).zip(texts) {
        let line = Line {
            number: LineNumber(number),
            text,
        };
        sender
            .try_send(Ok(line))
            .expect("the channel has room for all of them");
    }
    receiver
}

fn read_all(mut input: impl BufRead, sender: &mpsc::Sender<std::io::Result<Line>>) {
    for number in 1.. {
        let line = match read_line(&mut input) {
            Ok(Some(text)) => Ok(Line {
                number: LineNumber(number),
                text,
            }),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let last = line.is_err();
        if sender.blocking_send(line).is_err() || last {
            return;
        }
    }
}

fn read_line(input: &mut impl BufRead) -> std::io::Result<Option<Bytes>> {
    let mut text = Vec::new();
    let most = u64::try_from(LINE_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let read = std::io::Read::take(&mut *input, most).read_until(b'\n', &mut text)?;
    if read == 0 {
        return Ok(None);
    }
    if text.last() == Some(&b'\n') {
        text.pop();
    } else if text.len() > LINE_BYTES_MAX {
        let message = format!("a line has more than {LINE_BYTES_MAX} bytes");
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            message,
        ));
    }
    Ok(Some(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &'static [u8]) -> Vec<std::io::Result<Line>> {
        let mut lines = read(input);
        std::iter::from_fn(|| lines.blocking_recv()).collect()
    }

    #[test]
    fn lines_are_numbered_from_one_and_keep_every_byte_but_their_end() {
        let lines: Vec<_> = all(b"a\n\n\xff b\r\nlast")
            .into_iter()
            .map(|line| line.expect("read"))
            .collect();
        let texts: Vec<&[u8]> = lines.iter().map(|line| &line.text[..]).collect();
        assert_eq!(texts, [b"a", &b""[..], b"\xff b\r", b"last"]);
        assert_eq!(
            lines.iter().map(|line| line.number.0).collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
        assert!(all(b"").is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_an_error_and_the_last_thing_read() {
        let long: &'static [u8] = vec![b'x'; LINE_BYTES_MAX + 2].leak();
        let lines = all(long);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].is_err());
    }
}
