//! Older names of fields, which may lead into records inside: clients may still use them.
//!
//! An input is told by the newer names before anything else is done with it, and only what clients are
//! shown has the older ones beside them.

use serde_json::Value;

use super::cross::at;
use super::{Alias, Field, Kind, Object, Schema};
use crate::violation::Violations;

impl Schema {
    /// The field that clients call so, by whichever name.
    pub fn field_called(&self, name: &str) -> Option<&'static Field> {
        let alias = || self.aliases.iter().find(|alias| alias.name == name);
        self.field(name).or_else(|| alias()?.field(self))
    }
}

impl Alias {
    /// The field whose name it is, in a record of this schema.
    pub(super) fn field(&self, schema: &Schema) -> Option<&'static Field> {
        let mut steps = self.of.split('.');
        let first = schema.field(steps.next()?)?;
        steps.try_fold(first, |field, step| match field.kind {
            Kind::Record(inner) => inner.field(step),
            _ => None,
        })
    }
}

/// Says by newer names what an input says by older ones. What it says by both, and not the same, stays.
pub(super) fn rename(schema: &Schema, input: &mut Object) {
    for alias in schema.aliases {
        let Some(value) = input.get(alias.name) else { continue };
        let is_said = match at(input, alias.of) {
            Some(said) if !said.is_null() => {
                if !value.is_null() && said != value {
                    continue;
                }
                true
            }
            _ => false,
        };
        if let Some(value) = input.remove(alias.name).filter(|_| !is_said) {
            put(input, alias.of, value);
        }
    }
}

/// Takes out what was left, and says why.
pub(super) fn contradictions(schema: &Schema, input: &mut Object, found: &mut Violations) {
    for Alias { name, of } in schema.aliases {
        if let Some(older) = input.remove(*name) {
            let newer = at(input, of).unwrap_or(&Value::Null);
            let message = format!(
                "both deprecated and new field are used but their values mismatch: \
                 {name} = {} vs {of} = {}",
                shown(&older),
                shown(newer)
            );
            found.set(*name, message);
        }
    }
}

/// Adds the older names to what clients are shown.
pub(super) fn add(schema: &Schema, record: &mut Object) {
    for alias in schema.aliases {
        let value = at(record, alias.of).cloned().unwrap_or_default();
        record.insert(alias.name.to_owned(), value);
    }
}

/// Writes at the end of a path, and makes the way there. What is in the way is no record, and is
/// refused as such.
fn put(record: &mut Object, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        record.insert(path.to_owned(), value);
        return;
    };
    let inner = record.entry(first).or_insert(Value::Null);
    if inner.is_null() {
        *inner = Value::Object(Object::new());
    }
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
