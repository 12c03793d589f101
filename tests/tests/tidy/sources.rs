//! The size of functions and files, and what a test may be.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::Visit;

use super::{all_rust_files, assert_none, read};

/// A function is read at a glance (TigerBeetle's rule of 70 lines).
const FUNCTION_LINES_MAX: usize = 70;
/// A file has one main type.
const FILE_LINES_MAX: usize = 800;

struct Functions {
    long: Vec<(String, usize, usize)>,
    ignored: Vec<(String, usize)>,
}

impl Functions {
    fn measure(&mut self, name: String, span: Span) {
        let lines = span.end().line + 1 - span.start().line;
        if lines > FUNCTION_LINES_MAX {
            self.long.push((name, span.start().line, lines));
        }
    }

    fn look_for_ignore(&mut self, name: String, attributes: &[syn::Attribute]) {
        let skips = |attribute: &&syn::Attribute| {
            attribute.path().is_ident("ignore") || attribute.path().is_ident("should_panic")
        };
        if let Some(attribute) = attributes.iter().find(skips) {
            self.ignored.push((name, attribute.span().start().line));
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let name = item.sig.ident.to_string();
        self.measure(
            name.clone(),
            item.sig
                .span()
                .join(item.block.span())
                .unwrap_or(item.block.span()),
        );
        self.look_for_ignore(name, &item.attrs);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(item.sig.ident.to_string(), item.block.span());
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.measure(item.sig.ident.to_string(), block.span());
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn functions_have_at_most_seventy_lines_and_no_test_is_skipped() {
    let (mut long, mut skipped) = (Vec::new(), Vec::new());
    for path in all_rust_files() {
        let file = syn::parse_file(&read(&path))
            .unwrap_or_else(|error| panic!("{} does not parse: {error}", path.display()));
        let mut functions = Functions {
            long: Vec::new(),
            ignored: Vec::new(),
        };
        functions.visit_file(&file);
        for (name, line, lines) in functions.long {
            long.push(format!(
                "{}:{line} {name} has {lines} lines",
                path.display()
            ));
        }
        for (name, line) in functions.ignored {
            skipped.push(format!("{}:{line} {name}", path.display()));
        }
    }
    assert_none("functions are too long", &long);
    assert_none("tests are skipped, or panic on purpose", &skipped);
}

#[test]
fn files_have_at_most_eight_hundred_lines() {
    let mut violations = Vec::new();
    for path in all_rust_files() {
        let lines = read(&path).lines().count();
        if lines > FILE_LINES_MAX {
            violations.push(format!("{} has {lines} lines", path.display()));
        }
    }
    assert_none("files are too long", &violations);
}
