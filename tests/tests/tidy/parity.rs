//! Every row of the reference on executors has a test, and docs/parity.md says which.

use std::collections::{BTreeMap, BTreeSet};

use syn::punctuated::Punctuated;
use syn::visit::Visit;
use syn::{Expr, ExprLit, Lit, Token};

use super::{root, rust_files};

/// Rows of C.1 to C.5 that the issue "Execution" calls core, and the weaknesses that it names.
const REQUIRED_COUNT: usize = 83;
const REQUIRED: &str = "tests/tests/executor_rows/required.txt";
const ROWS: &str = "tests/tests/executor_rows/rows";
const DOCUMENT: &str = "docs/parity.md";

/// A row as its file has it.
struct Row {
    id: String,
    says: String,
    test: String,
    file: String,
    /// The function exists in the same file and asserts something.
    decides: bool,
}

/// What a file of rows holds.
#[derive(Default)]
struct Found {
    rows: Vec<(String, String, String)>,
    /// Functions, and whether each asserts something.
    functions: BTreeMap<String, bool>,
    within: Option<String>,
}

fn text_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Some(text.value()),
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        _ => None,
    }
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let name = function.sig.ident.to_string();
        self.functions.insert(name.clone(), false);
        self.within = Some(name);
        syn::visit::visit_item_fn(self, function);
        self.within = None;
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        let name = called.path.segments.last().map(|it| it.ident.to_string());
        let name = name.unwrap_or_default();
        if name.starts_with("assert")
            && let Some(asserts) = self
                .within
                .as_ref()
                .and_then(|it| self.functions.get_mut(it))
        {
            *asserts = true;
        }
        if name != "row" {
            return;
        }
        let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
        let parts = called
            .parse_body_with(parser)
            .expect("a row reads like a call");
        let texts: Vec<String> = parts.iter().filter_map(text_of).collect();
        let [id, says, test] = <[String; 3]>::try_from(texts).expect("id, what holds, and test");
        self.rows.push((id, says, test));
    }
}

fn all_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for path in rust_files(ROWS) {
        let text = std::fs::read_to_string(root().join(&path)).expect("a readable file");
        let mut found = Found::default();
        found.visit_file(&syn::parse_file(&text).expect("it compiles"));
        for (id, says, test) in found.rows {
            rows.push(Row {
                decides: found.functions.get(&test) == Some(&true),
                file: path.display().to_string(),
                id,
                says,
                test,
            });
        }
    }
    rows
}

#[test]
fn every_required_row_has_one_test_that_decides_or_is_known_to_be_open() {
    let text = std::fs::read_to_string(root().join(REQUIRED)).expect("the list of rows");
    let rows = all_rows();
    let mut problems = Vec::new();
    let mut required = BTreeSet::new();
    for line in text.lines() {
        let (id, open) = match line.strip_suffix(" open") {
            Some(id) => (id, true),
            None => (line, false),
        };
        required.insert(id);
        let tests = rows.iter().filter(|row| row.id == id).count();
        if tests != usize::from(!open) {
            problems.push(format!("{id} has {tests} tests, and open is {open}"));
        }
    }
    for row in &rows {
        if !required.contains(row.id.as_str()) {
            problems.push(format!("{} is not a required row", row.id));
        }
        if !row.decides {
            problems.push(format!(
                "{}: {} is missing or asserts nothing",
                row.id, row.test
            ));
        }
    }
    assert_eq!(required.len(), REQUIRED_COUNT, "rows may not vanish");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_document_of_rows_is_what_the_rows_say() {
    let text = std::fs::read_to_string(root().join(DOCUMENT)).expect("the document");
    let told: BTreeSet<&str> = text
        .lines()
        .filter(|it| it.starts_with("| exec-"))
        .collect();
    let rows = all_rows();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                "| {} | {} | `{}::{}` |",
                row.id, row.says, row.file, row.test
            )
        })
        .collect();
    let again = "write it again: cargo test -p ringhold-tests --test executor_rows -- --parity docs/parity.md";
    for line in &lines {
        assert!(told.contains(line.as_str()), "it lacks {line}; {again}");
    }
    assert_eq!(told.len(), REQUIRED_COUNT, "{again}");
    let open = told
        .iter()
        .filter(|line| line.ends_with(" | open | |"))
        .count();
    assert_eq!(open + lines.len(), REQUIRED_COUNT, "{again}");
}
