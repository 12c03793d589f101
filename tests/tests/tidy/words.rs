//! What the text of a file says, comments and tests apart.

use super::{all_rust_files, assert_none, read};

/// The lines that are not comments, with their numbers.
pub(crate) fn code_lines(text: &str) -> Vec<(usize, &str)> {
    let numbered = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    numbered
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .collect()
}

/// The lines before the file's test module.
pub(crate) fn production_lines(text: &str) -> Vec<(usize, &str)> {
    let mut lines = code_lines(text);
    if let Some(end) = lines
        .iter()
        .position(|(_, line)| line.trim() == "#[cfg(test)]")
    {
        lines.truncate(end);
    }
    lines
}

/// Phrases that mean unfinished work.
const UNFINISHED: [&str; 6] = [
    "todo!(",
    "unimplemented!(",
    "FIXME",
    "XXX",
    "not yet implemented",
    "in a real system",
];

#[test]
fn no_file_admits_to_be_unfinished() {
    let mut violations = Vec::new();
    for path in all_rust_files() {
        if path.starts_with("tests/tests/tidy") {
            continue;
        }
        for (index, line) in read(&path).lines().enumerate() {
            if let Some(phrase) = UNFINISHED.iter().find(|phrase| line.contains(**phrase)) {
                violations.push(format!("{}:{} says {phrase}", path.display(), index + 1));
            }
        }
    }
    assert_none("unfinished work", &violations);
}

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    let mut violations = Vec::new();
    for path in all_rust_files() {
        if path.starts_with("tests/tests/tidy") {
            continue;
        }
        for (index, line) in read(&path).lines().enumerate() {
            if line.contains("/work/") || line.contains("/root/") {
                violations.push(format!("{}:{}", path.display(), index + 1));
            }
        }
    }
    assert_none("a path of one machine", &violations);
}
