//! What a partial body (PATCH) means.

use serde_json::Value;

use super::{Kind, Object, Schema, alias};
use crate::Terms;

/// Lays `patch` over `current`: records are merged at any depth; arrays, sets,
/// maps and references are replaced whole; null clears. Older names of fields are for the newer ones.
/// Check the result: keys
/// nobody declared are still in it.
pub fn merge(schema: &Schema, terms: Terms, current: Object, mut patch: Object) -> Object {
    let inner = schema.inner(&patch, terms).or_else(|| schema.inner(&current, terms));
    alias::rename(schema, &mut patch);
    let mut merged = current;
    for (name, value) in patch {
        let kind = match inner {
            Some((field, schema)) if field.name == name => Some(Kind::Record(schema)),
            _ => schema.field(&name).map(|field| field.kind),
        };
        let value = match (kind, merged.remove(&name), value) {
            (Some(Kind::Record(inner)), Some(Value::Object(old)), Value::Object(new)) => {
                Value::Object(merge(inner, terms, old, new))
            }
            (_, _, value) => value,
        };
        merged.insert(name, value);
    }
    merged
}
