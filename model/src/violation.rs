//! Everything wrong with an input, at once: a tree shaped like the input.
//!
//! Its JSON form is the `fields` of an error body, its text the `message`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// The key under which a record's own violations stand beside its fields'.
pub const ENTITY: &str = "@entity";

/// What is wrong with a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    entity: Vec<String>,
    fields: BTreeMap<String, Violation>,
}

/// What is wrong with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The value itself.
    Message(String),
    /// Something inside the record that it is.
    Record(Violations),
    /// Some of its elements; `None` stands for a good one.
    List(Vec<Option<Violation>>),
}

impl Violations {
    /// One field is wrong.
    pub fn field(name: impl Into<String>, violation: impl Into<Violation>) -> Self {
        let mut violations = Self::default();
        violations.set(name, violation);
        violations
    }

    /// The record as a whole is wrong.
    pub fn entity(message: impl Into<String>) -> Self {
        Self { entity: vec![message.into()], fields: BTreeMap::new() }
    }

    /// True if nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.entity.is_empty() && self.fields.is_empty()
    }

    /// Whether something is wrong with this field.
    pub fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Says what is wrong with a field, in place of what was said before.
    pub fn set(&mut self, name: impl Into<String>, violation: impl Into<Violation>) {
        self.fields.insert(name.into(), violation.into());
    }

    /// Says what is wrong with the record as a whole, after what was said before.
    pub fn add_entity(&mut self, message: impl Into<String>) {
        self.entity.push(message.into());
    }

    /// `Ok(value)` if nothing is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }

    /// The `fields` of an error body.
    pub fn to_json(&self) -> Value {
        let entity =
            (!self.entity.is_empty()).then(|| (ENTITY.to_owned(), self.entity.clone().into()));
        let fields =
            self.fields.iter().map(|(name, violation)| (name.clone(), violation.to_json()));
        Value::Object(entity.into_iter().chain(fields).collect::<Map<_, _>>())
    }

    /// What a summary counts: one line per message of the first two levels.
    fn lines(&self) -> Vec<String> {
        let mut lines = self.entity.clone();
        for (name, violation) in &self.fields {
            match violation {
                Violation::Message(message) => lines.push(format!("{name}: {message}")),
                deeper => lines.extend(
                    deeper.children().iter().map(|(key, v)| format!("{name}.{key}: {}", v.text())),
                ),
            }
        }
        lines
    }
}

impl Violation {
    fn to_json(&self) -> Value {
        match self {
            Violation::Message(message) => message.as_str().into(),
            Violation::Record(violations) => violations.to_json(),
            Violation::List(elements) => elements
                .iter()
                .map(|element| element.as_ref().map_or(Value::Null, Violation::to_json))
                .collect(),
        }
    }

    /// What is inside, each with its key (counted from 1 in a list).
    fn children(&self) -> Vec<(String, Cow<'_, Violation>)> {
        match self {
            Violation::Message(_) => Vec::new(),
            Violation::Record(violations) => {
                let messages = violations.entity.iter().map(|text| Some(text.as_str().into()));
                let entity = (!violations.entity.is_empty())
                    .then(|| (ENTITY.to_owned(), Cow::Owned(Violation::List(messages.collect()))));
                let fields =
                    violations.fields.iter().map(|(name, v)| (name.clone(), Cow::Borrowed(v)));
                entity.into_iter().chain(fields).collect()
            }
            Violation::List(elements) => (1..)
                .zip(elements)
                .filter_map(|(n, element): (u32, _)| {
                    Some((n.to_string(), Cow::Borrowed(element.as_ref()?)))
                })
                .collect(),
        }
    }

    fn text(&self) -> String {
        match self {
            Violation::Message(message) => message.clone(),
            deeper => deeper.to_table(),
        }
    }

    /// What Kong prints from the third level on: a Lua table.
    fn to_table(&self) -> String {
        let lines = self.children().into_iter().zip(1..).map(|((key, child), n): (_, u32)| {
            let value = match &*child {
                Violation::Message(message) => literal(message),
                deeper => deeper.to_table().replace('\n', "\n  "),
            };
            match self {
                Violation::List(_) if key == n.to_string() => value,
                Violation::List(_) => format!("[{key}] = {value}"),
                _ if is_identifier(&key) => format!("{key} = {value}"),
                _ => format!("[{}] = {value}", literal(&key)),
            }
        });
        format!("{{\n  {}\n}}", lines.collect::<Vec<_>>().join(",\n  "))
    }
}

fn literal(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn is_identifier(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The message that goes with the tree: `schema violation (host: required field missing)`.
impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        match lines.len() {
            1 => f.write_str("schema violation (")?,
            n => write!(f, "{n} schema violations (")?,
        }
        f.write_str(&lines.join("; "))?;
        f.write_char(')')
    }
}

impl std::error::Error for Violations {}

impl Serialize for Violations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl From<&str> for Violation {
    fn from(message: &str) -> Self {
        Violation::Message(message.to_owned())
    }
}

impl From<String> for Violation {
    fn from(message: String) -> Self {
        Violation::Message(message)
    }
}

impl From<Violations> for Violation {
    fn from(violations: Violations) -> Self {
        Violation::Record(violations)
    }
}
