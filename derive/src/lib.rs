//! `#[derive(Task)]` for the SDK: says which handler runs a type of task, and what comes back.
//!
//! Use it through `ringhold_client`, which re-exports it beside the trait that it implements.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod expand;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `ringhold_client::Task`: the type itself is the input, and has to be `serde::Serialize`.
///
/// `#[task(output = Type)]` says what the handler returns. `name = "…"` is the handler's name; without it that is the
/// type's name in lower case with hyphens (`RenderPage`: `render-page`). `executor = "…"` names the executor that
/// `Client::typed` takes; without it that is `default`.
#[proc_macro_derive(Task, attributes(task))]
pub fn derive_task(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::task(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
