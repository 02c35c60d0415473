//! What `#[record(…)]` and `#[field(…)]` may say. Every mistake is reported, at
//! its place.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, Fields, Ident, Lit, LitStr, Meta, Result, Type, UnOp,
};

/// A struct that derives `Record`.
pub(crate) struct Record {
    pub(crate) ident: Ident,
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) fields: Vec<Field>,
    /// `checks = …`: a constant slice of `Check`.
    pub(crate) checks: Option<Expr>,
    /// `shorthands = …`: a constant slice of `Shorthand`.
    pub(crate) shorthands: Option<Expr>,
    /// `aliases = …`: a constant slice of `Alias`.
    pub(crate) aliases: Option<Expr>,
    /// `key = […]`: the names of the fields that are unique together.
    pub(crate) key: Vec<LitStr>,
    /// `settle = …` and `transform = …`: functions on what was said and the record.
    pub(crate) settle: Option<Expr>,
    pub(crate) transform: Option<Expr>,
    /// `prepare = …`: a function on the input object.
    pub(crate) prepare: Option<Expr>,
}

/// One of its fields.
pub(crate) struct Field {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) name: String,
    pub(crate) doc: String,
    /// `unique`: no two entities share its value.
    pub(crate) unique: bool,
    /// What differs from a plain field of this type: `default: …`, `rules: …`.
    pub(crate) settings: Vec<TokenStream>,
}

impl Record {
    pub(crate) fn parse(input: &DeriveInput) -> Result<Self> {
        let fields = named_fields(input)?;
        let mut record = Record {
            ident: input.ident.clone(),
            name: snake_case(&input.ident.to_string()),
            doc: doc(&input.attrs),
            fields: Vec::new(),
            checks: None,
            shorthands: None,
            aliases: None,
            key: Vec::new(),
            settle: None,
            transform: None,
            prepare: None,
        };
        let mut errors = Errors::default();
        for attr in input.attrs.iter().filter(|attr| attr.path().is_ident("record")) {
            errors.note(attr.parse_nested_meta(|meta| record.option(&meta)));
        }
        for field in fields {
            match Field::parse(field) {
                Ok(field) => record.fields.push(field),
                Err(error) => errors.add(error),
            }
        }
        for name in &record.key {
            if record.fields.iter().all(|field| field.name != name.value()) {
                errors.add(Error::new(name.span(), "there is no such field"));
            }
        }
        errors.into_result(record)
    }

    fn option(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match word(meta)?.as_str() {
            "name" => self.name = meta.value()?.parse::<LitStr>()?.value(),
            "checks" => self.checks = Some(meta.value()?.parse()?),
            "shorthands" => self.shorthands = Some(meta.value()?.parse()?),
            "aliases" => self.aliases = Some(meta.value()?.parse()?),
            "prepare" => self.prepare = Some(meta.value()?.parse()?),
            "settle" => self.settle = Some(meta.value()?.parse()?),
            "transform" => self.transform = Some(meta.value()?.parse()?),
            "key" => self.key = names(&meta.value()?.parse()?)?,
            _ => {
                return Err(meta.error(
                    "expected one of: name, key, checks, shorthands, aliases, prepare, settle, \
                     transform",
                ));
            }
        }
        Ok(())
    }
}

impl Field {
    fn parse(field: &syn::Field) -> Result<Self> {
        let ident = field
            .ident
            .clone()
            .ok_or_else(|| Error::new(field.span(), "expected a named field"))?;
        let mut options = FieldOptions::default();
        let mut errors = Errors::default();
        for attr in field.attrs.iter().filter(|attr| attr.path().is_ident("field")) {
            errors.note(attr.parse_nested_meta(|meta| options.option(&meta)));
        }
        let doc = doc(&field.attrs);
        if doc.is_empty() {
            errors.add(Error::new(
                ident.span(),
                "a field needs a doc comment: operators read it in GET /schemas",
            ));
        }
        let name = options.name.take().unwrap_or_else(|| ident.unraw().to_string());
        let unique = options.unique;
        let settings = options.into_settings();
        errors.into_result(Field { ident, ty: field.ty.clone(), name, doc, unique, settings })
    }
}

#[derive(Default)]
struct FieldOptions {
    name: Option<String>,
    unique: bool,
    settings: Vec<TokenStream>,
    rules: Vec<TokenStream>,
}

impl FieldOptions {
    fn option(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match word(meta)?.as_str() {
            "name" => self.name = Some(meta.value()?.parse::<LitStr>()?.value()),
            "unique" => {
                self.unique = true;
                self.settings.push(quote!(unique: true));
            }
            "auto" => self.settings.push(quote!(auto: true)),
            "secret" => self.settings.push(quote!(secret: true)),
            "referenceable" => self.settings.push(quote!(referenceable: true)),
            "default" => {
                let default = literal(&meta.value()?.parse()?)?;
                self.settings.push(quote!(default: ::core::option::Option::Some(#default)));
            }
            "since" => {
                let version = meta.value()?.parse::<LitStr>()?;
                self.settings.push(quote!(since: #version));
            }
            "flavor" => {
                let flavor = flavor(&meta.value()?.parse()?)?;
                self.settings.push(quote!(flavor: ::core::option::Option::Some(#flavor)));
            }
            "on_delete" => {
                let action = on_delete(&meta.value()?.parse()?)?;
                self.settings.push(quote!(on_delete: #action));
            }
            rule => {
                let rule = field_rule(rule, meta)?;
                self.rules.push(rule);
            }
        }
        Ok(())
    }

    fn into_settings(mut self) -> Vec<TokenStream> {
        let rules = self.rules;
        if !rules.is_empty() {
            self.settings.push(quote!(rules: &[#(::model::schema::Rule::#rules),*]));
        }
        self.settings
    }
}

fn field_rule(rule: &str, meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let value = || meta.value()?.parse::<Expr>();
    let words = || value().and_then(|expr| list(&expr));
    Ok(match rule {
        "not" => {
            let literal = literal(&value()?)?;
            quote!(Not(#literal))
        }
        "one_of" => {
            let words = words()?;
            quote!(OneOf(&[#(#words),*]))
        }
        "not_one_of" => {
            let words = words()?;
            quote!(NotOneOf(&[#(#words),*]))
        }
        "above" => {
            let low = value()?;
            quote!(Above(#low))
        }
        "between" => match value()? {
            Expr::Tuple(ends) if ends.elems.len() == 2 => {
                let ends = ends.elems.iter();
                quote!(Between(#(#ends),*))
            }
            other => return Err(Error::new(other.span(), "expected (low, high)")),
        },
        "len_eq" => {
            let n = value()?;
            quote!(LenEq(#n))
        }
        "len_min" => {
            let n = value()?;
            quote!(LenMin(#n))
        }
        "len_max" => {
            let n = value()?;
            quote!(LenMax(#n))
        }
        "starts_with" => {
            let prefix = value()?;
            quote!(StartsWith(#prefix))
        }
        "subsets" => {
            let groups = value()?;
            quote!(Subsets(#groups))
        }
        _ => {
            return Err(meta.error(
                "expected one of: name, unique, auto, secret, referenceable, default, since, flavor, \
                 on_delete, not, one_of, not_one_of, above, between, len_eq, len_min, len_max, starts_with, subsets",
            ));
        }
    })
}

/// A constant as the schema keeps it.
fn literal(expr: &Expr) -> Result<TokenStream> {
    let literal = match expr {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Bool(value) => quote!(Boolean(#value)),
            Lit::Int(value) => quote!(Integer(#value)),
            Lit::Float(value) => quote!(Number(#value)),
            Lit::Str(value) => quote!(Text(#value)),
            other => return Err(Error::new(other.span(), "expected true, a number or text")),
        },
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => match &*unary.expr {
            Expr::Lit(lit) if matches!(lit.lit, Lit::Float(_)) => quote!(Number(#expr)),
            _ => quote!(Integer(#expr)),
        },
        Expr::Array(_) => {
            let elements = list(expr)?;
            quote!(List(&[#(#elements),*]))
        }
        other => return Err(Error::new(other.span(), "expected a constant or a [list] of them")),
    };
    Ok(quote!(::model::schema::Literal::#literal))
}

fn list(expr: &Expr) -> Result<Vec<TokenStream>> {
    match expr {
        Expr::Array(array) => array.elems.iter().map(literal).collect(),
        other => Err(Error::new(other.span(), "expected a [list]")),
    }
}

/// A list of field names.
fn names(expr: &Expr) -> Result<Vec<LitStr>> {
    let Expr::Array(array) = expr else {
        return Err(Error::new(expr.span(), "expected a [list] of field names"));
    };
    let name = |expr: &Expr| match expr {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Str(name) => Ok(name.clone()),
            other => Err(Error::new(other.span(), "expected the name of a field")),
        },
        other => Err(Error::new(other.span(), "expected the name of a field")),
    };
    array.elems.iter().map(name).collect()
}

fn flavor(flavor: &LitStr) -> Result<TokenStream> {
    match flavor.value().as_str() {
        "expressions" => Ok(quote!(::model::Flavor::Expressions)),
        _ => Err(Error::new(flavor.span(), "expected \"expressions\"")),
    }
}

fn on_delete(action: &LitStr) -> Result<TokenStream> {
    let action = match action.value().as_str() {
        "restrict" => quote!(Restrict),
        "cascade" => quote!(Cascade),
        _ => return Err(Error::new(action.span(), "expected \"restrict\" or \"cascade\"")),
    };
    Ok(quote!(::model::schema::OnDelete::#action))
}

fn named_fields(input: &DeriveInput) -> Result<impl Iterator<Item = &syn::Field>> {
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "a Record has no parameters"));
    }
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(fields.named.iter()),
            _ => Err(Error::new(input.ident.span(), "a Record has named fields")),
        },
        _ => Err(Error::new(input.ident.span(), "a Record is a struct")),
    }
}

/// The doc comment as one line of prose per paragraph.
fn doc(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter_map(|attr| match &attr.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(lit) => match &lit.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    let text = lines.map(|line| if line.is_empty() { "\n".to_owned() } else { line });
    text.collect::<Vec<_>>().join(" ").replace(" \n ", "\n").trim().to_owned()
}

fn word(meta: &ParseNestedMeta<'_>) -> Result<String> {
    meta.path.get_ident().map(Ident::to_string).ok_or_else(|| meta.error("expected a word"))
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[derive(Default)]
struct Errors(Option<Error>);

impl Errors {
    fn note(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.add(error);
        }
    }

    fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn into_result<T>(self, value: T) -> Result<T> {
        self.0.map_or_else(|| Ok(value), Err)
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn mistakes_are_reported_together() {
        let record = parse_quote! {
            struct Thing {
                #[field(default = 1 + 1)]
                /// Has a doc comment.
                a: u16,
                b: u16,
                #[field(betwen = (1, 2), unique)]
                /// Has a doc comment.
                c: u16,
                #[field(between = 7)]
                /// Has a doc comment.
                d: u16,
                #[field(on_delete = "ignore")]
                /// Has a doc comment.
                e: u16,
            }
        };
        let errors = mistakes(&record);
        assert_eq!(errors[0], "expected a constant or a [list] of them");
        assert_eq!(errors[1], "a field needs a doc comment: operators read it in GET /schemas");
        assert!(errors[2].starts_with("expected one of: name, unique, auto"), "{}", errors[2]);
        assert_eq!(errors[3], "expected (low, high)");
        assert_eq!(errors[4], "expected \"restrict\" or \"cascade\"");
        assert_eq!(errors.len(), 5);
    }

    #[test]
    fn only_structs_with_named_fields_are_records() {
        assert_eq!(
            mistakes(&parse_quote!(
                enum Thing {}
            )),
            ["a Record is a struct"]
        );
        assert_eq!(
            mistakes(&parse_quote!(
                struct Thing(u16);
            )),
            ["a Record has named fields"]
        );
        assert_eq!(
            mistakes(&parse_quote!(
                struct Thing<T> {
                    a: T,
                }
            )),
            ["a Record has no parameters"]
        );
    }

    #[test]
    fn names_are_snake_case_and_docs_are_prose() {
        let record = Record::parse(&parse_quote! {
            /// Two lines
            /// of one paragraph.
            ///
            /// And another.
            struct HealthCheck {
                /// Raw names lose their prefix.
                r#type: u16,
            }
        });
        let record = record.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(record.name, "health_check");
        assert_eq!(record.doc, "Two lines of one paragraph.\nAnd another.");
        assert_eq!(record.fields[0].name, "type");
    }

    fn mistakes(input: &DeriveInput) -> Vec<String> {
        let error = Record::parse(input).err().unwrap_or_else(|| panic!("no mistake found"));
        error.into_iter().map(|error| error.to_string()).collect()
    }
}
