//! The code that is generated: a schema, its visits, and serde both ways.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use crate::options::{Field, Record};

/// All impls of one record.
pub(crate) fn record(record: &Record) -> TokenStream {
    let names = names(record);
    let schema = schema(record);
    let serialize = serialize(record);
    let deserialize = deserialize(record);
    quote! {
        #names
        #schema
        #serialize
        #deserialize
    }
}

/// What it is called, and how it stands as a field of another.
fn names(Record { ident, name, .. }: &Record) -> TokenStream {
    quote! {
        impl ::model::schema::Named for #ident {
            const NAME: &'static str = #name;
        }

        impl ::model::schema::Typed for #ident {
            const KIND: ::model::schema::Kind =
                ::model::schema::Kind::Record(<#ident as ::model::schema::Record>::SCHEMA);
        }
    }
}

fn schema(record: &Record) -> TokenStream {
    let Record { ident, name, doc, .. } = record;
    let fields = record.fields.iter().map(field);
    let unique = record.fields.iter().filter(|field| field.unique).map(|f| visit(f, quote!(text)));
    let references = record.fields.iter().map(|f| visit(f, quote!(target)));
    let tags = record.fields.iter().filter(|field| field.name == "tags").map(|field| &field.ident);
    let checks = or_empty(record.checks.as_ref());
    let shorthands = or_empty(record.shorthands.as_ref());
    let aliases = or_empty(record.aliases.as_ref());
    let [prepare, settle, transform] =
        [&record.prepare, &record.settle, &record.transform].map(optional);
    let key = &record.key;
    let parts = key.iter().filter_map(|name| {
        let field = record.fields.iter().find(|field| field.name == name.value())?;
        let ident = &field.ident;
        Some(quote!(visit(#name, ::model::schema::codec::part(&self.#ident));))
    });
    quote! {
        impl ::model::schema::Record for #ident {
            const SCHEMA: &'static ::model::schema::Schema = &::model::schema::Schema {
                name: #name,
                doc: #doc,
                fields: &[#(#fields),*],
                key: &[#(#key),*],
                shorthands: #shorthands,
                aliases: #aliases,
                settle: #settle,
                transform: #transform,
                prepare: #prepare,
                checks: #checks,
            };

            #[allow(unused_variables)]
            fn visit_unique(&self, visit: &mut dyn ::core::ops::FnMut(&'static str, &str)) {
                #(#unique)*
            }

            fn visit_references(
                &self,
                visit: &mut dyn ::core::ops::FnMut(&'static str, ::model::schema::codec::Uuid),
            ) {
                #(#references)*
            }

            #[allow(unused_variables)]
            fn visit_tags(&self, visit: &mut dyn ::core::ops::FnMut(&str)) {
                #(::model::schema::Typed::visit_members(&self.#tags, visit);)*
            }

            #[allow(unused_variables)]
            fn visit_key(
                &self,
                visit: &mut dyn ::core::ops::FnMut(&'static str, ::model::schema::Part<'_>),
            ) {
                #(#parts)*
            }
        }
    }
}

/// Visits a field if the method of `Typed` has something to show.
fn visit(Field { ident, name, .. }: &Field, method: TokenStream) -> TokenStream {
    quote! {
        if let ::core::option::Option::Some(found) = ::model::schema::Typed::#method(&self.#ident) {
            visit(#name, found);
        }
    }
}

fn field(field: &Field) -> TokenStream {
    let Field { ty, name, doc, settings, .. } = field;
    quote! {
        ::model::schema::Field {
            #(#settings,)*
            ..::model::schema::Field::of::<#ty>(#name, #doc)
        }
    }
}

/// Fields by name, so that equal records have equal bytes in every version.
fn serialize(record: &Record) -> TokenStream {
    let ident = &record.ident;
    let mut sorted: Vec<&Field> = record.fields.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let fields: Vec<_> = sorted.iter().map(|field| &field.ident).collect();
    let names = sorted.iter().map(|field| &field.name);
    quote! {
        impl ::model::schema::codec::serde::Serialize for #ident {
            fn serialize<S: ::model::schema::codec::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                use ::model::schema::codec::{serde::ser::SerializeMap as _, write};
                let nulls = serializer.is_human_readable();
                let len = 0 #(+ usize::from(nulls || !::model::schema::Typed::is_null(&self.#fields)))*;
                let mut map = serializer.serialize_map(::core::option::Option::Some(len))?;
                #(write(&mut map, nulls, #names, &self.#fields)?;)*
                map.end()
            }
        }
    }
}

/// Reads into a shadow in which every field may be missing, then fills those in.
fn deserialize(record: &Record) -> TokenStream {
    let ident = &record.ident;
    let fields: Vec<_> = record.fields.iter().map(|field| &field.ident).collect();
    let names: Vec<_> = record.fields.iter().map(|field| &field.name).collect();
    let types = record.fields.iter().map(|field| &field.ty);
    let shadow = format_ident!("{ident}AsRead");
    quote! {
        impl<'de> ::model::schema::codec::serde::Deserialize<'de> for #ident {
            fn deserialize<D: ::model::schema::codec::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                use ::model::schema::codec::present;

                #[derive(::model::schema::codec::serde::Deserialize)]
                #[serde(crate = "::model::schema::codec::serde")]
                struct #shadow {
                    #(
                        #[serde(rename = #names, default)]
                        #fields: ::core::option::Option<#types>,
                    )*
                }

                let read = <#shadow as ::model::schema::codec::serde::Deserialize>::deserialize(deserializer)?;
                ::core::result::Result::Ok(Self {
                    #(#fields: present(read.#fields, <Self as ::model::schema::Record>::SCHEMA, #names)?,)*
                })
            }
        }
    }
}

fn optional(function: &Option<syn::Expr>) -> TokenStream {
    match function {
        Some(function) => quote!(::core::option::Option::Some(#function)),
        None => quote!(::core::option::Option::None),
    }
}

fn or_empty(slice: Option<&syn::Expr>) -> TokenStream {
    slice.map_or_else(|| quote!(&[]), |expr| quote!(#expr))
}
