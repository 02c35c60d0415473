//! What `GET /schemas/{entity}` says: declarations in Kong's own vocabulary.
//! decK reads defaults here, so they must be exactly those [`super::check()`] uses.

use serde_json::{Value, json};

use super::{
    Alias, Check, Element, Field, Kind, Literal, Object, OnDelete, Rule, Schema, Shorthand,
};
use crate::catalog::PluginType;
use crate::{EntityKind, Flavor};

impl Schema {
    /// The description in a flavor: `fields` and `entity_checks`, and `shorthand_fields`
    /// where there are any. What only code can say is left out.
    pub fn describe(&self, flavor: Flavor) -> Value {
        let mut description = self.describe_record(flavor);
        description.entry("entity_checks").or_insert_with(|| json!([]));
        Value::Object(description)
    }

    /// The same of one field alone.
    pub fn describe_field(&self, name: &str) -> Option<Value> {
        let field = self.field(name)?.describe();
        Some(json!({ "fields": [single(name, field)] }))
    }

    fn describe_record(&self, flavor: Flavor) -> Object {
        // Kong does not count how long something lasts among its fields.
        let fields = self.fields.iter().filter(|field| field.is_of(flavor) && !field.is_ttl());
        let fields: Vec<Value> = fields.map(|field| single(field.name, field.describe())).collect();
        let shorthand =
            |s: &Shorthand| single(s.name, json!({ "type": "string", "description": s.doc }));
        let aliases = self.aliases.iter().filter_map(|alias| alias.describe(self));
        let shorthands: Vec<Value> = self.shorthands.iter().map(shorthand).chain(aliases).collect();
        let checks: Vec<Value> =
            self.checks.iter().filter_map(|check| check.describe("")).collect();
        let mut description = Object::from_iter([("fields".to_owned(), fields.into())]);
        if !shorthands.is_empty() {
            description.insert("shorthand_fields".to_owned(), shorthands.into());
        }
        if !checks.is_empty() {
            description.insert("entity_checks".to_owned(), checks.into());
        }
        description
    }
}

impl PluginType {
    /// What is particular to plugins of this type.
    pub fn describe(&self) -> Value {
        let plugin = EntityKind::Plugin.schema();
        let forbidden = self.forbids.iter().filter_map(|name| plugin.field(name)).map(|field| {
            let mut attributes = describe_kind(field.kind);
            Rule::Null.describe(&mut attributes);
            single(field.name, attributes.into())
        });
        let words: Vec<&str> = self.protocols.iter().map(|protocol| protocol.as_str()).collect();
        let elements = json!({ "type": "string", "one_of": words });
        let protocols =
            json!({ "type": "set", "required": true, "default": words, "elements": elements });
        let checks = self.config.checks.iter().filter_map(|check| check.describe("config."));
        let checks: Vec<Value> = checks.collect();
        let fields = forbidden
            .chain([single("protocols", protocols), single("config", self.describe_config())])
            .collect::<Vec<_>>();
        let mut description = Object::from_iter([("fields".to_owned(), fields.into())]);
        if !checks.is_empty() {
            description.insert("entity_checks".to_owned(), checks.into());
        }
        description.into()
    }

    /// What the `config` of its plugins is.
    pub fn describe_config(&self) -> Value {
        let mut config = self.config.describe_record(Flavor::default());
        config.insert("type".to_owned(), "record".into());
        config.insert("required".to_owned(), true.into());
        config.remove("entity_checks"); // they are said of the plugin
        config.into()
    }
}

impl Field {
    fn describe(&self) -> Value {
        let mut attributes = describe_kind(self.kind);
        let mut set = |name: &str, value: Value| attributes.insert(name.to_owned(), value);
        set("description", self.doc.into());
        // Kong calls a field required if a client may have to send it; what the
        // server fills in is not.
        if self.required && !self.auto {
            set("required", true.into());
        }
        if let Some(default) = self.default {
            set("default", default.to_json());
        }
        if self.unique {
            set("unique", true.into());
        }
        if self.auto {
            set("auto", true.into());
        }
        if self.referenceable {
            set("referenceable", true.into());
        }
        if let (Kind::Foreign { .. }, OnDelete::Cascade) = (self.kind, self.on_delete) {
            set("on_delete", "cascade".into());
        }
        self.all_rules().for_each(|rule| rule.describe(&mut attributes));
        Value::Object(attributes)
    }
}

impl Alias {
    fn describe(&self, schema: &Schema) -> Option<Value> {
        let mut attributes = describe_kind(self.field(schema)?.kind);
        let path: Vec<&str> = self.of.split('.').collect();
        let message = format!("{} is deprecated, please use {} instead", self.name, self.of);
        attributes.insert("translate_backwards".to_owned(), json!(path));
        let deprecation = json!({
            "message": message, "removal_in_version": "4.0", "replaced_with": [{ "path": path }],
        });
        attributes.insert("deprecation".to_owned(), deprecation);
        Some(single(self.name, attributes.into()))
    }
}

impl Element {
    fn describe(&self) -> Value {
        let mut attributes = describe_kind(self.kind);
        attributes.insert("required".to_owned(), true.into());
        self.rules.iter().for_each(|rule| rule.describe(&mut attributes));
        Value::Object(attributes)
    }
}

fn describe_kind(kind: Kind) -> Object {
    let description = match kind {
        Kind::String => json!({ "type": "string" }),
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Json => json!({ "type": "json" }),
        Kind::Array(element) => json!({ "type": "array", "elements": element.describe() }),
        Kind::Set(element) => json!({ "type": "set", "elements": element.describe() }),
        Kind::Map { keys, values } => {
            json!({ "type": "map", "keys": keys.describe(), "values": values.describe() })
        }
        Kind::Foreign { entity } => json!({ "type": "foreign", "reference": entity }),
        Kind::OfType { .. } => json!({ "type": "record", "abstract": true }),
        Kind::Record(schema) => {
            let mut description = schema.describe_record(Flavor::default());
            description.insert("type".to_owned(), "record".into());
            return description;
        }
    };
    match description {
        Value::Object(attributes) => attributes,
        _ => Object::new(),
    }
}

impl Rule {
    fn describe(&self, attributes: &mut Object) {
        let (name, value) = match self {
            Rule::Required => ("required", true.into()),
            Rule::Null => ("eq", Value::Null),
            Rule::Is(literal) => ("eq", literal.to_json()),
            Rule::Not(literal) => ("ne", literal.to_json()),
            Rule::NotOneOf(words) => ("not_one_of", Literal::List(words).to_json()),
            Rule::OneOf(words) => ("one_of", Literal::List(words).to_json()),
            Rule::Above(low) => ("gt", (*low).into()),
            Rule::Timestamp => ("timestamp", true.into()),
            Rule::Uuid => ("uuid", true.into()),
            Rule::Between(low, high) => ("between", json!([low, high])),
            Rule::LenEq(n) => ("len_eq", (*n).into()),
            Rule::LenMin(n) => ("len_min", (*n).into()),
            Rule::LenMax(n) => ("len_max", (*n).into()),
            Rule::StartsWith(prefix) => ("starts_with", (*prefix).into()),
            Rule::Each(rule) => ("elements", rule.described()),
            Rule::Contains(literal) => ("contains", literal.to_json()),
            Rule::Subsets(groups) => ("mutually_exclusive_subsets", json!(groups)),
            Rule::Referable => ("referenceable", true.into()),
            Rule::Parses(_) | Rule::Expiry => return,
        };
        attributes.insert(name.to_owned(), value);
    }

    fn described(&self) -> Value {
        let mut attributes = Object::new();
        self.describe(&mut attributes);
        Value::Object(attributes)
    }
}

impl Check {
    /// With this before the names of fields.
    fn describe(&self, before: &str) -> Option<Value> {
        let path = |name: &str| format!("{before}{name}");
        let paths = |names: &[&str]| names.iter().map(|name| path(name)).collect::<Value>();
        Some(match self {
            Check::When { field, is, then, must, message } => {
                let mut condition = json!({
                    "if_field": path(field), "if_match": is.described(),
                    "then_field": path(then), "then_match": must.described(),
                });
                if let (Some(message), Some(condition)) = (message, condition.as_object_mut()) {
                    condition.insert("then_err".to_owned(), (*message).into());
                }
                single("conditional", condition)
            }
            Check::AtLeastOneOf(names) => single("at_least_one_of", paths(names)),
            Check::ExactlyOneOf(names) => single("only_one_of", paths(names)),
            Check::AtMostOneOf(names) => single("mutually_exclusive", paths(names)),
            Check::AllOrNone(names) => single("mutually_required", paths(names)),
            Check::Distinct(names) => single("distinct", paths(names)),
            Check::Custom(_) | Check::InTerms(_) => return None,
        })
    }
}

fn single(name: &str, value: Value) -> Value {
    Value::Object(Object::from_iter([(name.to_owned(), value)]))
}
