//! What the derive writes.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{DeriveInput, LitStr, Type};

/// What `#[task(…)]` says.
#[derive(Default)]
struct Said {
    name: Option<LitStr>,
    executor: Option<LitStr>,
    output: Option<Type>,
}

/// The implementation of `Task`.
///
/// # Errors
/// An unknown or repeated word in `#[task(…)]`, an empty name, or no output.
pub(crate) fn task(input: &DeriveInput) -> syn::Result<TokenStream> {
    let said = Said::read(input)?;
    let kind = &input.ident;
    let Some(output) = said.output else {
        let message = "say what the handler returns: #[task(output = Type)]";
        return Err(syn::Error::new(kind.span(), message));
    };
    let name = match said.name {
        Some(name) => name,
        None => LitStr::new(&hyphened(&kind.to_string()), Span::call_site()),
    };
    let executor = said.executor.map(|executor| {
        quote! { const EXECUTOR: &'static str = #executor; }
    });
    let (generics, types, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::ringhold_client::Task for #kind #types #bounds {
            const NAME: &'static str = #name;
            #executor
            type Output = #output;
        }
    })
}

impl Said {
    fn read(input: &DeriveInput) -> syn::Result<Self> {
        let mut said = Self::default();
        let ours = input.attrs.iter().filter(|one| one.path().is_ident("task"));
        for attribute in ours {
            attribute.parse_nested_meta(|meta| {
                let twice = if meta.path.is_ident("name") {
                    said.name.replace(text(&meta)?).is_some()
                } else if meta.path.is_ident("executor") {
                    said.executor.replace(text(&meta)?).is_some()
                } else if meta.path.is_ident("output") {
                    said.output.replace(meta.value()?.parse()?).is_some()
                } else {
                    return Err(meta.error("expected `name`, `executor` or `output`"));
                };
                if twice {
                    return Err(meta.error("said twice"));
                }
                Ok(())
            })?;
        }
        Ok(said)
    }
}

/// A name, which is not empty.
fn text(meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<LitStr> {
    let text: LitStr = meta.value()?.parse()?;
    if text.value().is_empty() {
        return Err(syn::Error::new(
            text.span(),
            "a name has at least one character",
        ));
    }
    Ok(text)
}

/// `RenderPage` as `render-page`.
fn hyphened(name: &str) -> String {
    let mut text = String::new();
    for letter in name.trim_start_matches("r#").chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn written(input: &DeriveInput) -> String {
        let tokens = task(input).expect("it is complete").to_string();
        tokens.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn name_executor_and_output_are_what_the_attribute_says() {
        let text = written(&parse_quote! {
            #[task(name = "render", executor = "reports", output = Vec<u8>)]
            struct RenderPage { page: u64 }
        });
        assert!(
            text.contains("impl :: ringhold_client :: Task for RenderPage"),
            "{text}"
        );
        assert!(text.contains("NAME : & 'static str = \"render\""), "{text}");
        assert!(
            text.contains("EXECUTOR : & 'static str = \"reports\""),
            "{text}"
        );
        assert!(text.contains("type Output = Vec < u8 >"), "{text}");
    }

    #[test]
    fn without_names_the_types_name_and_the_default_executor_stand() {
        let text = written(&parse_quote! {
            #[task(output = ())]
            struct RenderPage<T: serde::Serialize>(T);
        });
        assert!(
            text.contains("NAME : & 'static str = \"render-page\""),
            "{text}"
        );
        assert!(!text.contains("EXECUTOR"), "{text}");
        assert!(text.contains("Task for RenderPage < T >"), "{text}");
    }

    #[test]
    fn what_is_missing_unknown_empty_or_said_twice_is_refused_by_name() {
        let refused = |input: DeriveInput| task(&input).expect_err("refused").to_string();
        let no_output = refused(parse_quote! { struct Render; });
        assert!(no_output.contains("#[task(output = Type)]"), "{no_output}");
        let unknown = refused(parse_quote! { #[task(colour = "a")] struct Render; });
        assert!(unknown.contains("expected `name`"), "{unknown}");
        let empty = refused(parse_quote! { #[task(name = "", output = ())] struct Render; });
        assert!(empty.contains("at least one character"), "{empty}");
        let twice = refused(parse_quote! { #[task(output = u8, output = u16)] struct Render; });
        assert!(twice.contains("said twice"), "{twice}");
    }
}
