//! What is made of a line: the program's arguments and the affinity key, with the line in place of `{}`.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use bytes::Bytes;
use ringhold_client::ProcessTask;

/// Stands for the line.
const LINE: &[u8] = b"{}";

/// A program and its arguments, where it runs, and perhaps an affinity key.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    arguments: Vec<Vec<u8>>,
    key: Option<Vec<u8>>,
    directory: Option<String>,
}

impl Template {
    /// A template of these words. Without a `directory` the program runs in the member's scratch directory.
    pub(crate) fn new(command: &[OsString], key: Option<&str>, directory: Option<String>) -> Self {
        Self {
            arguments: command
                .iter()
                .map(|word| word.as_bytes().to_vec())
                .collect(),
            key: key.map(|key| key.as_bytes().to_vec()),
            directory,
        }
    }

    /// The task of a line.
    pub(crate) fn task(&self, line: &[u8]) -> ProcessTask {
        let words = self
            .arguments
            .iter()
            .map(|word| OsString::from_vec(fill(word, line)));
        let task = ProcessTask::default().args(words);
        match &self.directory {
            Some(directory) => task.working_directory(directory),
            None => task,
        }
    }

    /// The affinity key of a line.
    pub(crate) fn key(&self, line: &[u8]) -> Option<Bytes> {
        self.key.as_ref().map(|key| fill(key, line).into())
    }
}

/// `template` with `line` in place of each `{}`.
fn fill(template: &[u8], line: &[u8]) -> Vec<u8> {
    let mut filled = Vec::with_capacity(template.len() + line.len());
    let mut rest = template;
    while let Some(place) = rest.windows(LINE.len()).position(|window| window == LINE) {
        filled.extend_from_slice(&rest[..place]);
        filled.extend_from_slice(line);
        rest = &rest[place + LINE.len()..];
    }
    filled.extend_from_slice(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_stands_wherever_the_braces_do_and_is_not_looked_into() {
        assert_eq!(fill(b"{}.png", b"a b"), b"a b.png");
        assert_eq!(fill(b"{}-{}", b"{}"), b"{}-{}");
        assert_eq!(fill(b"plain {", b"x"), b"plain {");
        let template = Template::new(
            &["sh".into(), "-c".into(), "echo {}".into()],
            Some("k/{}"),
            None,
        );
        assert_eq!(template.key(b"7"), Some("k/7".into()));
        assert_eq!(
            template.task(b"7"),
            ProcessTask::new("sh").args(["-c", "echo 7"])
        );
    }
}
