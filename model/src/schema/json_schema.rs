//! Declarations as JSON Schema (draft 2020-12), for descriptions of the API that machines read.
//!
//! What a schema here allows may still be refused: by what only code can say, and by what fields must obey
//! together. What it does not allow is refused, or is not what an answer looks like.

use serde_json::{Value, json};

use super::ttl::LONGEST;
use super::{Element, Field, Kind, Literal, Object, Rule, Schema};
use crate::Terms;

/// What an object is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What a client is shown: every field is there.
    Shown,
    /// What makes one, or takes its place.
    Whole,
    /// What changes some of it.
    Part,
}

impl Schema {
    /// Objects of this schema, as a node with these terms takes and shows them.
    pub fn json_schema(&self, terms: Terms, role: Role) -> Object {
        let fields = || self.fields.iter().filter(|field| field.is_of(terms.flavor));
        let mut properties: Object =
            fields().map(|field| (field.name.to_owned(), field.json_schema(terms, role))).collect();
        let required: Vec<&str> = match role {
            Role::Shown => fields().map(|field| field.name).collect(),
            Role::Whole => fields().filter(|field| must_be_said(field)).map(|f| f.name).collect(),
            Role::Part => Vec::new(),
        };
        let mut schema = object(&[("type", "object".into()), ("description", self.doc.into())]);
        if role != Role::Shown {
            for shorthand in self.shorthands {
                let text = json!({ "type": "string", "description": shorthand.doc });
                properties.insert(shorthand.name.to_owned(), text);
            }
            for alias in self.aliases {
                let field = alias.field(self).map(|field| field.json_schema(terms, role));
                properties.extend(field.map(|field| (alias.name.to_owned(), field)));
            }
        }
        schema.insert("properties".to_owned(), properties.into());
        // What a shorthand stands for need not be said beside it.
        let ways: Vec<Value> = std::iter::once(json!({ "required": required }))
            .chain(self.shorthands.iter().map(|one| json!({ "required": [one.name] })))
            .collect();
        match role {
            Role::Whole if !self.shorthands.is_empty() && !required.is_empty() => {
                schema.insert("anyOf".to_owned(), ways.into());
            }
            _ if required.is_empty() => {}
            _ => drop(schema.insert("required".to_owned(), json!(required))),
        }
        self.add_types(terms, role, &mut schema);
        schema
    }

    /// Adds which types there are, and what the field that is another record in each is in theirs.
    fn add_types(&self, terms: Terms, role: Role, schema: &mut Object) {
        let names: Vec<_> = terms.catalog.iter().map(|plugin| plugin.name).collect();
        let Some((field, by)) = self.of_type().filter(|_| !names.is_empty()) else { return };
        let in_each = terms.catalog.iter().map(|plugin| {
            let inner = plugin.config.json_schema(Terms::default(), role);
            json!({
                "if": { "properties": { by: { "const": plugin.name } }, "required": [by] },
                "then": { "properties": { field.name: inner } },
            })
        });
        schema.insert("allOf".to_owned(), in_each.collect());
        // What is there may be of a type that may no longer be used.
        if let (Some(property), true) = (schema["properties"].get_mut(by), role != Role::Shown) {
            property["enum"] = json!(names);
        }
    }
}

/// Whether a body without it is refused.
fn must_be_said(field: &Field) -> bool {
    field.required && !field.auto && field.absent().is_null()
}

impl Field {
    fn json_schema(&self, terms: Terms, role: Role) -> Value {
        let mut schema = of_kind(self.kind, terms, role);
        self.all_rules().for_each(|rule| rule.constrain(self.kind, &mut schema));
        let reference = json!({ "type": "string", "pattern": r"^\{vault://" });
        let others = [
            self.referenceable.then_some(reference),
            (!self.required).then(|| json!({ "type": "null" })),
        ];
        let others: Vec<_> = others.into_iter().flatten().collect();
        if !others.is_empty() {
            let ways: Value = std::iter::once(schema.into()).chain(others).collect();
            schema = object(&[("anyOf", ways)]);
        }
        schema.insert("description".to_owned(), self.doc.into());
        if let (Some(default), true) = (self.default, role != Role::Shown) {
            schema.insert("default".to_owned(), default.to_json());
        }
        schema.into()
    }
}

impl Element {
    fn json_schema(&self, terms: Terms, role: Role) -> Value {
        let mut schema = of_kind(self.kind, terms, role);
        self.rules.iter().for_each(|rule| rule.constrain(self.kind, &mut schema));
        schema.into()
    }
}

fn of_kind(kind: Kind, terms: Terms, role: Role) -> Object {
    match kind {
        Kind::String => object(&[("type", "string".into()), ("minLength", 1.into())]),
        Kind::Integer => object(&[("type", "integer".into())]),
        Kind::Number => object(&[("type", "number".into())]),
        Kind::Boolean => object(&[("type", "boolean".into())]),
        Kind::Array(element) => {
            object(&[("type", "array".into()), ("items", element.json_schema(terms, role))])
        }
        Kind::Set(element) => object(&[
            ("type", "array".into()),
            ("items", element.json_schema(terms, role)),
            ("uniqueItems", true.into()),
        ]),
        Kind::Map { keys, values } => object(&[
            ("type", "object".into()),
            ("propertyNames", keys.json_schema(terms, role)),
            ("additionalProperties", values.json_schema(terms, role)),
        ]),
        Kind::Record(schema) => schema.json_schema(terms, role),
        Kind::OfType { .. } => object(&[("type", "object".into())]),
        Kind::Foreign { entity } => pointer(entity, role),
        _ => Object::new(),
    }
}

/// Shown, it is an id; a body may also name what is unique of the other.
fn pointer(entity: &str, role: Role) -> Object {
    let id = json!({ "type": "string", "format": "uuid" });
    let mut schema = object(&[
        ("type", "object".into()),
        ("properties", json!({ "id": id })),
        ("x-references", entity.into()),
    ]);
    match role {
        Role::Shown => schema.insert("required".to_owned(), json!(["id"])),
        Role::Whole | Role::Part => schema.insert("minProperties".to_owned(), 1.into()),
    };
    schema
}

impl Rule {
    fn constrain(&self, kind: Kind, schema: &mut Object) {
        let [least, most] = match kind {
            Kind::Array(_) | Kind::Set(_) => ["minItems", "maxItems"],
            Kind::Map { .. } | Kind::Record(_) | Kind::OfType { .. } => {
                ["minProperties", "maxProperties"]
            }
            _ => ["minLength", "maxLength"],
        };
        let mut say = |word: &str, value: Value| drop(schema.insert(word.to_owned(), value));
        match self {
            Rule::Null => say("type", "null".into()),
            Rule::Not(literal) => say("not", json!({ "const": literal.to_json() })),
            Rule::NotOneOf(words) => say("not", json!({ "enum": Literal::List(words).to_json() })),
            Rule::OneOf(words) => say("enum", Literal::List(words).to_json()),
            Rule::Above(low) => say("exclusiveMinimum", (*low).into()),
            Rule::Timestamp => say("exclusiveMinimum", 0.into()),
            Rule::Expiry => {
                say("minimum", 0.into());
                say("maximum", LONGEST.into());
            }
            Rule::Uuid => say("format", "uuid".into()),
            Rule::Between(low, high) => {
                say("minimum", (*low).into());
                say("maximum", (*high).into());
            }
            Rule::LenEq(n) => {
                say(least, (*n).into());
                say(most, (*n).into());
            }
            Rule::LenMin(n) => say(least, (*n).into()),
            Rule::LenMax(n) => say(most, (*n).into()),
            Rule::StartsWith(text) => say("pattern", format!("^{}", escaped(text)).into()),
            Rule::Contains(literal) => say("contains", json!({ "const": literal.to_json() })),
            Rule::Each(rule) => {
                if let (Some(Value::Object(items)), Kind::Array(element) | Kind::Set(element)) =
                    (schema.get_mut("items"), kind)
                {
                    rule.constrain(element.kind, items);
                }
            }
            _ => {} // what only code can say
        }
    }
}

/// The text, where a regular expression is expected.
fn escaped(text: &str) -> String {
    let escape = |c: char| if c.is_alphanumeric() || c == '/' { vec![c] } else { vec!['\\', c] };
    text.chars().flat_map(escape).collect()
}

fn object<const N: usize>(members: &[(&str, Value); N]) -> Object {
    members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EntityKind, Flavor, testing};

    fn service(role: Role) -> Value {
        EntityKind::Service.schema().json_schema(Terms::default(), role).into()
    }

    #[test]
    fn what_is_shown_has_every_field() {
        let shown = service(Role::Shown);
        let names = shown["properties"].as_object().unwrap().len();
        assert_eq!(shown["required"].as_array().unwrap().len(), names);
        assert_eq!(shown["properties"]["url"], Value::Null);
        assert_eq!(shown["properties"]["retries"]["anyOf"][1]["type"], "null");
    }

    #[test]
    fn a_body_says_what_has_no_default_or_what_stands_for_it() {
        let whole = service(Role::Whole);
        assert_eq!(whole["anyOf"], json!([{ "required": ["host"] }, { "required": ["url"] }]));
        let port = &whole["properties"]["port"];
        assert_eq!((&port["minimum"], &port["maximum"]), (&json!(0), &json!(65535)));
        assert_eq!(port["default"], 80);
        assert_eq!(service(Role::Part)["anyOf"], Value::Null);
    }

    #[test]
    fn what_is_another_record_in_each_type_is_said_of_each() {
        let plugin = |role| -> Value {
            EntityKind::Plugin.schema().json_schema(testing::terms(), role).into()
        };
        let (whole, shown) = (plugin(Role::Whole), plugin(Role::Shown));
        assert_eq!(whole["properties"]["name"]["enum"][1], "rate-limiting");
        assert_eq!(shown["properties"]["name"]["enum"], Value::Null);
        let limiting = &whole["allOf"][1];
        assert_eq!(limiting["if"]["properties"]["name"]["const"], "rate-limiting");
        let config = &limiting["then"]["properties"]["config"]["properties"];
        assert_eq!(config["redis"]["properties"]["port"]["default"], 6379);
        let password = &config["redis"]["properties"]["password"]["anyOf"];
        assert_eq!(password[1]["pattern"], r"^\{vault://");
        assert_eq!(password[2]["type"], "null");
    }

    #[test]
    fn fields_of_another_flavor_are_not_there() {
        let route = |flavor| -> Value {
            EntityKind::Route.schema().json_schema(Flavor::into(flavor), Role::Whole).into()
        };
        assert_eq!(route(Flavor::default())["properties"]["expression"], Value::Null);
        assert!(route(Flavor::Expressions)["properties"]["expression"].is_object());
    }
}
