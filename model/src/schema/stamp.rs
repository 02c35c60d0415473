//! What the server fills in before an entity is checked. The time is an
//! argument: `model` reads no clock.

use serde_json::Value;
use uuid::Uuid;

use super::{Field, Object, Rule, Schema};
use crate::value::Timestamp;

/// Fills in the `auto` fields: an id and a time of creation where there is none,
/// and always the time of this update. A client's own id and `created_at` stay.
pub fn stamp(schema: &Schema, input: &mut Object, now: Timestamp) {
    for field in schema.fields.iter().filter(|field| field.auto) {
        let given = input.get(field.name).is_some_and(|value| !value.is_null());
        if given && field.name != "updated_at" {
            continue;
        }
        if let Some(value) = generate(field, now) {
            input.insert(field.name.to_owned(), value);
        }
    }
}

fn generate(field: &Field, now: Timestamp) -> Option<Value> {
    field.all_rules().find_map(|rule| match rule {
        Rule::Uuid => Some(Uuid::new_v4().to_string().into()),
        Rule::Timestamp => Some(now.seconds().into()),
        _ => None,
    })
}
