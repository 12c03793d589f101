//! What a function of a test target reaches, by name: good enough to tell a test that records and checks from one that only
//! lies beside it. A method counts for the types that are named on the way, so that a client's `submit` is no recorder's.

use std::collections::{BTreeMap, BTreeSet};

use syn::Token;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit::Visit;

/// A function or method.
#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) file: String,
    /// The type whose method it is.
    pub(super) owner: Option<String>,
    pub(super) name: String,
    /// Paths in it, by what stands before the last name.
    pub(super) paths: BTreeSet<(Option<String>, String)>,
    /// Methods that it calls.
    pub(super) methods: BTreeSet<String>,
    /// All names in its paths, types among them.
    names: BTreeSet<String>,
}

impl Function {
    fn of(file: &str, owner: Option<&str>, signature: &syn::Signature, block: &syn::Block) -> Self {
        let mut function = Self {
            file: file.to_owned(),
            owner: owner.map(str::to_owned),
            name: signature.ident.to_string(),
            ..Self::default()
        };
        function.visit_signature(signature);
        function.visit_block(block);
        function
    }
}

impl<'ast> Visit<'ast> for Function {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        if let Some((last, before)) = names.split_last() {
            self.paths.insert((before.last().cloned(), last.clone()));
        }
        self.names.extend(names);
        syn::visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.methods.insert(call.method.to_string());
        syn::visit::visit_expr_method_call(self, call);
    }

    /// A pattern looks at what somebody else made.
    fn visit_pat(&mut self, _pattern: &'ast syn::Pat) {}

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        let arguments = Punctuated::<syn::Expr, Token![,]>::parse_terminated;
        let Ok(arguments) = arguments.parse2(called.tokens.clone()) else {
            return;
        };
        let mut inside = Self {
            owner: self.owner.clone(),
            ..Self::default()
        };
        for argument in &arguments {
            inside.visit_expr(argument);
        }
        self.paths.extend(inside.paths);
        self.methods.extend(inside.methods);
        self.names.extend(inside.names);
    }
}

/// All functions of these files.
pub(super) fn functions(files: &BTreeMap<String, syn::File>) -> Vec<Function> {
    let mut found = Vec::new();
    for (path, file) in files {
        for item in &file.items {
            match item {
                syn::Item::Fn(item) => {
                    found.push(Function::of(path, None, &item.sig, &item.block));
                }
                syn::Item::Impl(block) => found.extend(methods(path, block)),
                _ => {}
            }
        }
    }
    found
}

fn methods(path: &str, block: &syn::ItemImpl) -> Vec<Function> {
    let syn::Type::Path(owner) = &*block.self_ty else {
        return Vec::new();
    };
    let owner = owner.path.segments.last().map(|it| it.ident.to_string());
    let methods = block.items.iter().filter_map(|item| match item {
        syn::ImplItem::Fn(item) => {
            Some(Function::of(path, owner.as_deref(), &item.sig, &item.block))
        }
        _ => None,
    });
    methods.collect()
}

/// The functions that one of them reaches, itself among them.
pub(super) fn reached<'a>(functions: &'a [Function], start: &'a Function) -> Vec<&'a Function> {
    let mut reached = vec![start];
    let mut named: BTreeSet<&str> = BTreeSet::new();
    loop {
        named.extend(reached.iter().flat_map(|it| &it.names).map(String::as_str));
        named.extend(reached.iter().filter_map(|it| it.owner.as_deref()));
        let further: Vec<&Function> = functions
            .iter()
            .filter(|it| !reached.iter().any(|known| std::ptr::eq(*known, *it)))
            .filter(|it| {
                reached
                    .iter()
                    .any(|from| calls(functions, from, it, &named))
            })
            .collect();
        if further.is_empty() {
            return reached;
        }
        reached.extend(further);
    }
}

/// Whether one function may call the other.
fn calls(functions: &[Function], from: &Function, to: &Function, named: &BTreeSet<&str>) -> bool {
    let Some(owner) = to.owner.as_deref() else {
        let by_name = from.paths.iter().any(|(_, name)| *name == to.name);
        let nearer = functions
            .iter()
            .any(|it| it.owner.is_none() && it.name == to.name && it.file == from.file);
        return by_name && (to.file == from.file || !nearer);
    };
    let by_path = from.paths.iter().any(|(before, name)| {
        let before = match before.as_deref() {
            Some("Self") => from.owner.as_deref(),
            before => before,
        };
        *name == to.name && before == Some(owner)
    });
    by_path || (from.methods.contains(&to.name) && named.contains(owner))
}
