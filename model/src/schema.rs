//! A schema is data: every entity and every plugin configuration says once
//! what its fields are, and checking, defaults, `GET /schemas`, foreign keys
//! and the encoding all read it from there.
//!
//! `#[derive(Record)]` writes the [`Schema`]; [`check()`] turns what a client sent
//! into the struct, or into everything that is wrong with it.

mod check; // JSON × schema → struct with defaults, or Violations
mod rules; // what one value must obey, and how it is said
mod cross; // what several fields must obey together
mod alias; // older names of fields
mod merge; // PATCH: what a partial body means
mod settle; // what follows from what a client said
mod stamp; // what the server fills in: ids and timestamps
mod ttl; // what is gone after a while
mod shown; // what a client sees of a record
mod describe; // what GET /schemas says
pub mod json_schema; // the same, for machines that know no Kong
mod typed; // which Rust types can be fields
pub mod codec; // what the derived serde code calls

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::violation::Violations;
use crate::{Flavor, Terms};

pub use check::{check, check_in, check_object};
pub use cross::Check;
pub(crate) use cross::is_set;
pub use merge::merge;
pub use model_derive::Record;
pub use rules::{Invalid, Rule};
pub(crate) use rules::{quoted, without_nul};
pub use settle::{Said, settle};
pub use shown::{Shown, to_object};
pub use stamp::stamp;
pub use typed::Typed;

/// A JSON object.
pub type Object = Map<String, Value>;

/// Something with a name in the schema: an entity's is its table and URL.
pub trait Named {
    /// The name, such as `services`.
    const NAME: &'static str;
}

/// A struct whose fields are declared once. Derived, never written by hand.
pub trait Record: Named {
    /// Its declaration.
    const SCHEMA: &'static Schema;

    /// Calls `visit` with the name and the text of each unique field that is set.
    fn visit_unique(&self, visit: &mut dyn FnMut(&'static str, &str));

    /// Calls `visit` with the name and the target of each foreign key that is set.
    fn visit_references(&self, visit: &mut dyn FnMut(&'static str, Uuid));

    /// Calls `visit` with each member of the field `tags`, where there is one.
    fn visit_tags(&self, visit: &mut dyn FnMut(&str));

    /// Calls `visit` with the name and the value of each field of [`Schema::key`].
    fn visit_key(&self, visit: &mut dyn FnMut(&'static str, Part<'_>));
}

/// The value of a field that is part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text.
    Text(&'a str),
    /// What a foreign key points at.
    Id(Uuid),
    /// It is not set, which is a value like others.
    Unset,
}

/// The declaration of a record.
#[derive(Debug)]
pub struct Schema {
    /// An entity's table name; for a nested record, its type in snake case.
    pub name: &'static str,
    /// What it is, for operators.
    pub doc: &'static str,
    /// Its fields, in the order of their declaration.
    pub fields: &'static [Field],
    /// Fields of which no two entities may have all the same values, and by which an entity is known
    /// that has no name; none if there are no such fields.
    pub key: &'static [&'static str],
    /// Write-only fields that stand for others.
    pub shorthands: &'static [Shorthand],
    /// Older names of fields.
    pub aliases: &'static [Alias],
    /// Writes what follows from what a client said, where that is not a default: see [`settle()`].
    pub settle: Option<Settle>,
    /// Writes a value in the form in which it is kept, such as the hash of a password.
    pub transform: Option<Settle>,
    /// Runs on the input before defaults are filled in, for the rare default
    /// that depends on another field. Refused here, it is looked at no further.
    pub prepare: Option<Prepare>,
    /// What its fields must obey together.
    pub checks: &'static [Check],
}

impl Schema {
    /// The field with this name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field that is another record in each type of this one, and what it is in a record that says
    /// this of its type; none if there is no such field, or no such type here.
    pub fn inner(
        &self,
        record: &Object,
        terms: Terms,
    ) -> Option<(&'static Field, &'static Schema)> {
        let (field, by) = self.of_type()?;
        let plugin = terms.catalog.get(record.get(by)?.as_str()?)?;
        Some((field, plugin.config))
    }

    /// The field that is another record in each type, and the name of the one that names the type.
    fn of_type(&self) -> Option<(&'static Field, &'static str)> {
        self.fields.iter().find_map(|field| match field.kind {
            Kind::OfType { by } => Some((field, by)),
            _ => None,
        })
    }
}

/// What is done to an input before its fields are looked at.
pub type Prepare = fn(&mut Object, Terms) -> Result<(), Violations>;

/// What is done to a record because of what a client said in this very request.
pub type Settle = fn(said: &Object, record: &mut Object) -> Result<(), Violations>;

/// One field of a record.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it means, for operators.
    pub doc: &'static str,
    /// The shape of its value.
    pub kind: Kind,
    /// Whether null is refused. A missing required field takes its default.
    pub required: bool,
    /// What a missing field becomes. Null is not missing.
    pub default: Option<Literal>,
    /// What this field demands. Such a rule stands in for the type's rule of the
    /// same sort, so `between` on a `u16` replaces 0 to 65535.
    pub rules: &'static [Rule],
    /// What its type demands.
    pub type_rules: &'static [Rule],
    /// Whether no two entities may have the same value.
    pub unique: bool,
    /// Whether the server fills it in: see [`stamp()`].
    pub auto: bool,
    /// Whether its value is not for everybody who may see that it was changed.
    pub secret: bool,
    /// Whether its value may be a reference to a vault, which no rule is for. Whoever uses it follows it
    /// first; a type that can hold one is [`crate::value::Referable`].
    pub referenceable: bool,
    /// What happens to this entity when the one it points at is deleted.
    pub on_delete: OnDelete,
    /// Our version that introduced it, for talking to older nodes.
    pub since: &'static str,
    /// The only flavor whose clients know of it; none if all do.
    pub flavor: Option<Flavor>,
}

impl Field {
    /// A field of type `T` that asks nothing its type does not.
    pub const fn of<T: Typed>(name: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            doc,
            kind: T::KIND,
            required: T::REQUIRED,
            default: None,
            rules: &[],
            type_rules: T::RULES,
            unique: false,
            auto: false,
            secret: false,
            referenceable: false,
            on_delete: OnDelete::Restrict,
            since: "0.1.0",
            flavor: None,
        }
    }

    /// What the field becomes when it is missing: its default; for a required
    /// record an empty one, whose own fields then take theirs; otherwise null.
    pub fn absent(&self) -> Value {
        match (self.default, self.kind) {
            (Some(literal), _) => literal.to_json(),
            (None, Kind::Record(_) | Kind::OfType { .. }) if self.required => {
                Value::Object(Object::new())
            }
            (None, _) => Value::Null,
        }
    }

    /// Whether clients know of it.
    pub fn is_of(&self, flavor: Flavor) -> bool {
        self.flavor.is_none_or(|only| only == flavor)
    }

    /// The rules in force: the field's, and those of its type it does not replace.
    pub fn all_rules(&self) -> impl Iterator<Item = &'static Rule> {
        let own = self.rules;
        let inherited = self.type_rules.iter();
        own.iter()
            .chain(inherited.filter(move |rule| own.iter().all(|o| o.order() != rule.order())))
    }
}

/// The shape of a value.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text; not empty unless a rule allows it.
    String,
    /// A number without a fraction.
    Integer,
    /// Any finite number.
    Number,
    /// True or false.
    Boolean,
    /// Anything, kept as it came.
    Json,
    /// A list; order and repetition matter.
    Array(&'static Element),
    /// A list without repetitions; the first of equals stays.
    Set(&'static Element),
    /// Keys and values.
    Map {
        /// What a key must be: a string with rules.
        keys: &'static Element,
        /// What a value must be.
        values: &'static Element,
    },
    /// A record inside this one.
    Record(&'static Schema),
    /// A record inside this one, which is another in each type of plugin: the catalog has its schema.
    OfType {
        /// The field beside it that names the type.
        by: &'static str,
    },
    /// Points at another entity: `{"id": "…"}`.
    Foreign {
        /// The name of what it points at.
        entity: &'static str,
    },
}

/// A value inside a list or a map. Never null.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// Its shape.
    pub kind: Kind,
    /// What it must obey.
    pub rules: &'static [Rule],
}

/// What happens to an entity when one it points at is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// The deletion is refused.
    Restrict,
    /// It is deleted too.
    Cascade,
}

/// A write-only field that stands for others, such as a service's `url`.
#[derive(Clone, Copy, Debug)]
pub struct Shorthand {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it means, for operators.
    pub doc: &'static str,
    /// Writes the fields it stands for, over what may be there.
    pub expand: fn(&str, &mut Object),
}

/// A name that a field had before, and by which clients may still call it.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// The name.
    pub name: &'static str,
    /// The field, or the path to it: `redis.host`.
    pub of: &'static str,
}

/// A constant in a declaration: a default, or a value a rule names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Number(f64),
    /// Text.
    Text(&'static str),
    /// A list.
    List(&'static [Literal]),
}

impl Literal {
    /// The same as a JSON value.
    pub fn to_json(self) -> Value {
        match self {
            Literal::Boolean(value) => value.into(),
            Literal::Integer(value) => value.into(),
            Literal::Number(value) => value.into(),
            Literal::Text(value) => value.into(),
            Literal::List(values) => values.iter().map(|value| value.to_json()).collect(),
        }
    }
}

impl PartialEq<Value> for Literal {
    fn eq(&self, other: &Value) -> bool {
        match self {
            Literal::Boolean(value) => other == value,
            Literal::Integer(value) => other == value,
            Literal::Number(value) => other == value,
            Literal::Text(value) => other == value,
            Literal::List(values) => other.as_array().is_some_and(|o| {
                values.len() == o.len() && values.iter().zip(o).all(|(a, b)| a == b)
            }),
        }
    }
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Literal::Boolean(value) => value.fmt(f),
            Literal::Integer(value) => value.fmt(f),
            Literal::Number(value) => value.fmt(f),
            Literal::Text(value) => f.write_str(value),
            Literal::List(values) => f.write_str(&rules::join(values)),
        }
    }
}
