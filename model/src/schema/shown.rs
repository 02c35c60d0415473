//! What a client sees of a record: all its fields but those its flavor has not.
//!
//! A field of another flavor is shown nevertheless if something is in it, so that
//! what was written before the flavor was changed does not go unseen. And of a record that is another
//! in each type, fields are shown that its type has got since it was written.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Field, Kind, Object, Record, Schema, alias};
use crate::Terms;
use crate::value::Timestamp;

/// A record as clients of a node see it.
#[derive(Clone, Copy)]
pub struct Shown<'a, R> {
    /// The record.
    pub record: &'a R,
    /// What the node takes entities by.
    pub terms: Terms,
    /// Tells the time, of which is shown how much is left.
    pub now: &'a dyn Fn() -> Timestamp,
}

impl<R: Record + Serialize> Serialize for Shown<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_whole = |field: &Field| {
            field.is_of(self.terms.flavor)
                && !matches!(field.kind, Kind::OfType { .. })
                && !field.is_ttl()
        };
        if R::SCHEMA.fields.iter().all(is_whole) {
            return self.record.serialize(serializer);
        }
        let mut object = to_object(self.record, self.terms);
        if let Some((field, schema)) = R::SCHEMA.inner(&object, self.terms)
            && let Some(Value::Object(inner)) = object.get_mut(field.name)
        {
            alias::add(schema, inner);
        }
        R::SCHEMA.show_ttl(&mut object, self.now);
        object.serialize(serializer)
    }
}

/// The record as an object without older names of fields, in which what lasts for a while says when it
/// is over.
pub fn to_object<R: Record + Serialize>(record: &R, terms: Terms) -> Object {
    let Ok(Value::Object(mut object)) = serde_json::to_value(record) else {
        unreachable!("a record is an object of plain values");
    };
    for field in R::SCHEMA.fields.iter().filter(|field| !field.is_of(terms.flavor)) {
        if object.get(field.name).is_some_and(|value| is_absent(field, value)) {
            object.remove(field.name);
        }
    }
    if let Some((field, schema)) = R::SCHEMA.inner(&object, terms)
        && let Some(Value::Object(inner)) = object.get_mut(field.name)
    {
        complete(schema, inner);
    }
    object
}

fn is_absent(field: &Field, value: &Value) -> bool {
    *value == field.absent()
}

/// Adds fields that were not there yet when the record was written.
fn complete(schema: &Schema, record: &mut Object) {
    for field in schema.fields {
        if !record.contains_key(field.name) {
            record.insert(field.name.to_owned(), field.absent());
        }
        if let (Kind::Record(schema), Some(Value::Object(inner))) =
            (field.kind, record.get_mut(field.name))
        {
            complete(schema, inner);
        }
    }
}
