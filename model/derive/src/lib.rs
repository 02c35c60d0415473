//! `#[derive(Record)]`: a struct declared once becomes a schema, its JSON and
//! its bytes.
//!
//! Each field needs a doc comment (operators read it in `GET /schemas`) and may
//! have `#[field(…)]` with: `default`, `unique`, `auto`, `since`, `flavor`,
//! `on_delete`, `name`, and the rules `not`, `one_of`, `not_one_of`, `above`, `between`,
//! `len_eq`, `len_min`, `len_max`, `starts_with`, `subsets`. The struct may have
//! `#[record(name = "…", checks = …, shorthands = …, prepare = …)]`.

#![forbid(unsafe_code)]

mod expand; // the code that is generated
mod options; // what #[record(…)] and #[field(…)] may say

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `Record`, `Named`, `Typed`, `Serialize` and `Deserialize` for a
/// struct with named fields.
#[proc_macro_derive(Record, attributes(record, field))]
pub fn derive_record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    options::Record::parse(&input)
        .map(|record| expand::record(&record))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
