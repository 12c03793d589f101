//! The table of rows as a document.

use std::fmt::Write as _;

use super::row::Row;

/// Ids of all rows that must have a test, in order, and which are open.
const REQUIRED: &str = include_str!("required.txt");

/// `docs/parity.md`; tidy compares it with the rows.
pub(crate) fn document(rows: &[&'static Row]) -> String {
    let mut text = String::from(
        "# What the executors of others do, and Ringhold\n\
        \n\
        Written by `cargo test -p ringhold-tests --test executor_rows -- --parity docs/parity.md`; not edited by hand. Each row is a\n\
        feature (C) or a weakness (P-W of ppacer, D-W of Drakkar) of the reference on executors, with the test that shows it on a real\n\
        cluster: `cargo test -p ringhold-tests --test executor_rows` runs all of them, or those whose id contains a word.\n\
        \n\
        | row | what holds | test |\n\
        | --- | --- | --- |\n",
    );
    let with_a_test = rows.iter().map(|row| {
        format!(
            "| {} | {} | `{}::{}` |",
            row.id, row.says, row.file, row.name
        )
    });
    let open = REQUIRED
        .lines()
        .filter_map(|line| line.strip_suffix(" open"));
    let open = open.map(|id| format!("| {id} | open | |"));
    let mut lines: Vec<String> = with_a_test.chain(open).collect();
    lines.sort_by_key(|line| place_of(line));
    for line in lines {
        let _infallible = writeln!(text, "{line}");
    }
    text
}

/// Where a line's id stands among all.
fn place_of(line: &str) -> Option<usize> {
    let id = line.split_whitespace().nth(1)?;
    REQUIRED
        .lines()
        .position(|required| required.split_whitespace().next() == Some(id))
}
