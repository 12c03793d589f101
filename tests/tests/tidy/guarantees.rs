//! Every guarantee of docs/guarantees.md names tests, and each of them exists, runs, and decides by the checkers.
//!
//! The form: a sentence of a guarantee is an item below a heading with its number (`### G1`), or an item or a table row that
//! begins with the number (`- **G1**`, `| G1 |`). Before the next one it is followed by
//! `` Test: `tests/tests/<target>/<file>.rs::<function>` ``, several separated by commas, also over several lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

use super::calls::{Function, functions, reached};
use super::root;

/// Guarantees of DESIGN §2. One that vanishes from the document would otherwise take its tests along.
const GUARANTEES: std::ops::RangeInclusive<u32> = 1..=13;

/// Where tests lie.
const TESTS: &str = "tests/tests/";

/// The crate of the checkers, what gives a history to them, and what writes down that a client begins something.
const HISTORY: &str = "ringhold_history";
const CHECKERS: [&str; 2] = ["check", "check_with_window"];
const INVOCATION: (&str, &str) = ("Kind", "Invoke");

/// What a client is asked by for tasks and outcomes: a named test, and what it calls, does so through a recorder.
const ASKING: [&str; 5] = [
    "executor",
    "retrieve_result",
    "retrieve_and_dispose_result",
    "dispose_result",
    "cancel",
];

/// Functions whose requests no checker could judge, and why.
const UNRECORDED: [(&str, &str); 4] = [
    (
        "run_many",
        "tasks that dispose themselves leave nothing to read",
    ),
    ("of_another_cluster", "a history is of one cluster"),
    (
        "more_copies_than_members_are_refused",
        "the executor is never made",
    ),
    (
        "the_members_believe_it",
        "reads a time that is shown to people",
    ),
];

/// A sentence of a guarantee as the document has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Guarantee {
    number: u32,
    line: usize,
    is_heading: bool,
    tests: Vec<String>,
}

/// The number that a line begins a guarantee with.
fn number_of(line: &str) -> Option<u32> {
    let word = line
        .trim_start_matches(['|', '-', '*', '#', ' '])
        .strip_prefix('G')?;
    let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
    let rest = word[digits.len()..].chars().next();
    let opened = line.trim_start().starts_with(['|', '-', '*', '#']);
    let ends = rest.is_none_or(|next| !next.is_alphanumeric() && next != '-');
    digits.parse().ok().filter(|_| opened && ends)
}

/// The names in backticks of a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Reads the sentences of all guarantees with the tests that each names: the items below a heading with a number, or items
/// and rows that begin with one.
fn read_guarantees(text: &str) -> Vec<Guarantee> {
    let mut found: Vec<Guarantee> = Vec::new();
    let mut section = None;
    let mut naming = false;
    for (index, line) in text.lines().enumerate() {
        let own_number = number_of(line);
        if line.starts_with('#') {
            section = own_number;
        }
        let is_item = line.starts_with("- ") || line.starts_with("* ");
        if let Some(number) = own_number.or(section.filter(|_| is_item)) {
            naming = false;
            // A heading states nothing by itself where items follow.
            found.pop_if(|last| is_item && last.is_heading && last.tests.is_empty());
            found.push(Guarantee {
                number,
                line: index + 1,
                is_heading: line.starts_with('#'),
                tests: Vec::new(),
            });
        }
        let named = line.find("Test:").map(|at| &line[at..]);
        naming = named.is_some() || (naming && line.trim_start().starts_with('`'));
        if let Some(guarantee) = found.last_mut().filter(|_| naming) {
            let names = quoted(named.unwrap_or(line)).map(str::to_owned);
            guarantee.tests.extend(names);
        }
    }
    found
}

/// The tree of test files, so that the check itself can be tested on samples.
trait Tree {
    fn text(&self, path: &str) -> Option<String>;
}

struct Workspace;

impl Tree for Workspace {
    fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(root().join(path)).ok()
    }
}

impl Tree for BTreeMap<&str, &str> {
    fn text(&self, path: &str) -> Option<String> {
        self.get(path).map(|text| (*text).to_owned())
    }
}

/// The files that a file names by `mod`, itself left out.
fn modules_of(tree: &dyn Tree, path: &str, file: &syn::File) -> Vec<String> {
    let own = Path::new(path);
    let folder = own.parent().unwrap_or(Path::new(""));
    let name = own.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    let below = match name {
        "main" | "mod" => folder.to_owned(),
        _ => folder.join(name),
    };
    let named = file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if module.content.is_none() && runs_always(&module.attrs) => {
            Some(module.ident.to_string())
        }
        _ => None,
    });
    let places = |name: String| -> [PathBuf; 2] {
        [
            below.join(format!("{name}.rs")),
            below.join(&name).join("mod.rs"),
        ]
    };
    named
        .flat_map(places)
        .map(|path| path.display().to_string())
        .filter(|path| tree.text(path).is_some())
        .collect()
}

/// Whether nothing takes the item out of an ordinary test run.
fn runs_always(attributes: &[syn::Attribute]) -> bool {
    let skips = ["ignore", "cfg", "cfg_attr", "should_panic"];
    !attributes
        .iter()
        .any(|attribute| skips.iter().any(|skip| attribute.path().is_ident(skip)))
}

/// Whether the attributes make a function a test.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let last = attribute.path().segments.last();
        last.is_some_and(|segment| segment.ident == "test")
    })
}

/// All files of a test target: its main.rs and what that names by `mod`, and so on.
fn files_of(tree: &dyn Tree, target: &str) -> BTreeMap<String, syn::File> {
    let mut waiting = vec![format!("{TESTS}{target}/main.rs")];
    let mut files = BTreeMap::new();
    while let Some(path) = waiting.pop() {
        let parsed = tree
            .text(&path)
            .and_then(|text| syn::parse_file(&text).ok());
        let Some(file) = parsed.filter(|_| !files.contains_key(&path)) else {
            continue;
        };
        waiting.extend(modules_of(tree, &path, &file));
        files.insert(path, file);
    }
    files
}

/// The names that a file imports from the crate of the checkers.
#[derive(Default)]
struct Imports(BTreeSet<String>);

impl<'ast> Visit<'ast> for Imports {
    fn visit_use_path(&mut self, path: &'ast syn::UsePath) {
        if path.ident == HISTORY {
            let mut names = Names::default();
            names.visit_use_tree(&path.tree);
            self.0.extend(names.0);
        }
    }
}

/// The names of a use tree.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_use_name(&mut self, name: &'ast syn::UseName) {
        self.0.insert(name.ident.to_string());
    }
}

/// How the functions of a target stand to the checkers.
struct Judge<'a> {
    functions: &'a [Function],
    /// What each file imports from the crate of the checkers.
    imports: BTreeMap<&'a str, BTreeSet<String>>,
}

impl<'a> Judge<'a> {
    fn of(files: &'a BTreeMap<String, syn::File>, functions: &'a [Function]) -> Self {
        let imports = files.iter().map(|(path, file)| {
            let mut imports = Imports::default();
            imports.visit_file(file);
            (path.as_str(), imports.0)
        });
        let imports = imports.collect();
        Self { functions, imports }
    }

    fn is_of_history(&self, function: &Function, name: &str) -> bool {
        let imports = self.imports.get(function.file.as_str());
        imports.is_some_and(|names| names.contains(name))
    }

    /// Whether a function gives a history to the checkers.
    fn checks(&self, function: &Function) -> bool {
        function.paths.iter().any(|(before, name)| {
            let imported = before.is_none() && self.is_of_history(function, name);
            CHECKERS.contains(&name.as_str()) && (imported || before.as_deref() == Some(HISTORY))
        })
    }

    /// Whether a function writes down that a client begins something.
    fn records(&self, function: &Function) -> bool {
        let (before, name) = INVOCATION;
        let invokes = (Some(before.to_owned()), name.to_owned());
        function.paths.contains(&invokes) && self.is_of_history(function, before)
    }

    /// What keeps a test from deciding by what clients saw.
    fn fault(&self, path: &str, name: &str) -> Option<String> {
        let is_it = |it: &&Function| it.file == path && it.name == name && it.owner.is_none();
        let test = self.functions.iter().find(is_it)?;
        let reached = reached(self.functions, test);
        if !reached.iter().any(|it| self.checks(it)) {
            return Some("does not decide by ringhold_history's checkers".to_owned());
        }
        let recorders: BTreeSet<&str> = reached
            .iter()
            .filter(|it| self.records(it))
            .filter_map(|it| it.owner.as_deref())
            .collect();
        if recorders.is_empty() {
            return Some("records nothing of what its clients saw".to_owned());
        }
        let unrecorded = reached.iter().find(|it| {
            let is_recorder = it.owner.as_deref().is_some_and(|it| recorders.contains(it));
            let asks = ASKING.iter().any(|method| it.methods.contains(*method));
            let excepted = UNRECORDED.iter().any(|(name, _)| it.name == *name);
            asks && !is_recorder && !excepted
        });
        unrecorded.map(|it| format!("asks in `{}` what nobody records", it.name))
    }
}

/// What is wrong with a test that the document names.
fn fault_of(tree: &dyn Tree, name: &str) -> Option<String> {
    let Some((path, function)) = name.split_once("::") else {
        return Some("is not of the form path::function".to_owned());
    };
    let target = path
        .strip_prefix(TESTS)
        .and_then(|rest| rest.split_once('/'));
    let Some((target, _)) = target else {
        return Some(format!("does not lie in {TESTS}<target>/"));
    };
    if tree.text(path).is_none() {
        return Some("is in a file that does not exist".to_owned());
    }
    let files = files_of(tree, target);
    let Some(file) = files.get(path) else {
        return Some(format!(
            "is in a file that {TESTS}{target}/main.rs does not run"
        ));
    };
    let found = file.items.iter().find_map(|item| match item {
        syn::Item::Fn(item) if item.sig.ident == function => Some(item),
        _ => None,
    });
    let Some(found) = found else {
        return Some("does not exist".to_owned());
    };
    if !is_test(&found.attrs) {
        return Some("is no test".to_owned());
    }
    if !runs_always(&found.attrs) {
        return Some("does not run in every test run".to_owned());
    }
    let functions = functions(&files);
    Judge::of(&files, &functions).fault(path, function)
}

/// All that is wrong with the document.
fn faults(tree: &dyn Tree, text: &str) -> Vec<String> {
    let guarantees = read_guarantees(text);
    let mut faults = Vec::new();
    for number in GUARANTEES {
        let named = guarantees.iter().filter(|it| it.number == number).count();
        if named == 0 {
            faults.push(format!("G{number} is missing"));
        }
    }
    for guarantee in &guarantees {
        let place = format!("line {}: G{}", guarantee.line, guarantee.number);
        if guarantee.tests.is_empty() {
            faults.push(format!("{place} names no test"));
        }
        for test in &guarantee.tests {
            if let Some(fault) = fault_of(tree, test) {
                faults.push(format!("{place}: {test} {fault}"));
            }
        }
    }
    faults
}

const MAIN: &str = "mod deaths;\nmod ledger;\n";
const DEATHS: &str = "use super::ledger::{Ledger, audit, client};\n
    #[tokio::test]\nasync fn nothing_is_lost() { Ledger::new().submit(); audit(); }\n
    #[test]\nfn judges_nothing() { Ledger::new().submit(); }\n
    #[test]\nfn records_nothing() { client().submit(); audit(); }\n
    #[test]\nfn asks_beside() { Ledger::new().submit(); assert!(client().executor().is_ok()); audit(); }\n
    #[test]\n#[ignore]\nfn skipped() {}\n#[test]\n#[cfg(windows)]\nfn elsewhere() {}\nfn helper() {}\n";
const LEDGER: &str = "use ringhold_history::{Event, Kind, check};\n
    pub(crate) fn audit() { decide() }\nfn decide() { if let Kind::Invoke(_) = it() { check(); } }\n
    pub(crate) fn client() -> Client { Client }\n
    impl Ledger { fn new() -> Self { Self }\nfn submit(&self) { self.client.executor(); self.begin(Kind::Invoke(0)); } }\n";

fn sample() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("tests/tests/faults/main.rs", MAIN),
        ("tests/tests/faults/deaths.rs", DEATHS),
        ("tests/tests/faults/ledger.rs", LEDGER),
        ("tests/tests/faults/orphan.rs", DEATHS),
        (
            "tests/tests/other/main.rs",
            "// ringhold_history::check\n#[test]\nfn alone() {}\n",
        ),
    ])
}

/// A document in which every guarantee names the same test.
fn document(test: &str) -> String {
    let items =
        GUARANTEES.map(|number| format!("- **G{number}** A promise.\n\n  Test: `{test}`\n"));
    items.collect()
}

#[test]
fn a_document_whose_tests_exist_and_run_is_accepted() {
    let good = "tests/tests/faults/deaths.rs::nothing_is_lost";
    assert_eq!(faults(&sample(), &document(good)), [""; 0]);
}

#[test]
fn each_way_in_which_a_named_test_proves_nothing_is_noticed() {
    for (test, fault) in [
        ("deaths", "is not of the form"),
        ("storage/tests/crash.rs::it", "does not lie in"),
        ("tests/tests/faults/gone.rs::it", "does not exist"),
        (
            "tests/tests/faults/orphan.rs::nothing_is_lost",
            "does not run",
        ),
        ("tests/tests/faults/deaths.rs::it", "does not exist"),
        ("tests/tests/faults/deaths.rs::helper", "is no test"),
        ("tests/tests/faults/deaths.rs::skipped", "does not run"),
        ("tests/tests/faults/deaths.rs::elsewhere", "does not run"),
        ("tests/tests/other/main.rs::alone", "does not decide"),
        (
            "tests/tests/faults/deaths.rs::judges_nothing",
            "does not decide",
        ),
        (
            "tests/tests/faults/deaths.rs::records_nothing",
            "records nothing",
        ),
        (
            "tests/tests/faults/deaths.rs::asks_beside",
            "asks in `asks_beside`",
        ),
    ] {
        let found = faults(&sample(), &document(test));
        assert_eq!(found.len(), GUARANTEES.count(), "{test}: {found:?}");
        assert!(found.iter().all(|found| found.contains(fault)), "{found:?}");
    }
}

#[test]
fn a_guarantee_without_a_test_or_without_its_item_is_noticed() {
    let good = "tests/tests/faults/deaths.rs::nothing_is_lost";
    let text = document(good);
    let without = text.replace("- **G7** A promise.", "- Something else.");
    assert_eq!(faults(&sample(), &without), ["G7 is missing"]);
    let bare = format!("{text}\n| G4 | Once more, in other words. |\n\nTests are good.\n");
    let found = faults(&sample(), &bare);
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("G4 names no test"), "{found:?}");
}

#[test]
fn several_tests_of_a_guarantee_are_read_over_several_lines() {
    let text = "### G3\nOne outcome, see `Outcome`.\n\nTest: `a::b`, `c::d`,\n  `e::f`\n\nThen `more` words.\n";
    let found = read_guarantees(text);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].number, found[0].line), (3, 1));
    assert_eq!(found[0].tests, ["a::b", "c::d", "e::f"]);
    assert_eq!(
        read_guarantees("G3 in running text, and GET.\n- Generation G.\n"),
        []
    );
}

#[test]
fn each_sentence_below_a_heading_needs_a_test_of_its_own() {
    let text = "### G3, one outcome\n\n- It is one.\n  Test: `a::b`\n\n- It stays.\n\n### G4\n\nText.\n\nTest: `c::d`\n\n## Words\n\n- A word.\n";
    let found: Vec<(u32, usize, usize)> = read_guarantees(text)
        .iter()
        .map(|it| (it.number, it.line, it.tests.len()))
        .collect();
    assert_eq!(found, [(3, 3, 1), (3, 6, 0), (4, 8, 1)]);
}

#[test]
fn every_sentence_of_the_guarantees_names_tests_that_exist_run_and_decide() {
    let text = super::read("docs/guarantees.md".as_ref());
    super::assert_none("docs/guarantees.md", &faults(&Workspace, &text));
}

#[test]
fn every_exception_is_a_function_that_asks_without_a_recorder() {
    let files = files_of(&Workspace, "faults");
    let functions = functions(&files);
    for (name, reason) in UNRECORDED {
        let found = functions.iter().find(|it| it.name == name);
        let asks = |it: &Function| ASKING.iter().any(|method| it.methods.contains(*method));
        assert!(found.is_some_and(asks), "{name} ({reason}) asks nothing");
    }
}

#[test]
fn the_check_reads_the_real_tree() {
    let own = "tests/tests/tidy/guarantees.rs::the_check_reads_the_real_tree";
    let fault = fault_of(&Workspace, own).expect("it says nothing about what clients saw");
    assert!(fault.contains("does not decide"), "{fault}");
    let gone = format!("{own}_too");
    assert_eq!(
        fault_of(&Workspace, &gone).as_deref(),
        Some("does not exist")
    );
}
