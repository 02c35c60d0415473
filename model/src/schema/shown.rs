//! What a client sees of a record: all its fields but those its flavor has not.
//!
//! A field of another flavor is shown nevertheless if something is in it, so that
//! what was written before the flavor was changed does not go unseen.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Field, Object, Record};
use crate::Flavor;

/// A record as clients of a flavor see it.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a, R> {
    /// The record.
    pub record: &'a R,
    /// How routes are written where it is shown.
    pub flavor: Flavor,
}

impl<R: Record + Serialize> Serialize for Shown<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if R::SCHEMA.fields.iter().all(|field| field.is_of(self.flavor)) {
            return self.record.serialize(serializer);
        }
        to_object(self.record, self.flavor).serialize(serializer)
    }
}

/// The same as an object.
pub fn to_object<R: Record + Serialize>(record: &R, flavor: Flavor) -> Object {
    let Ok(Value::Object(mut object)) = serde_json::to_value(record) else {
        unreachable!("a record is an object of plain values");
    };
    for field in R::SCHEMA.fields.iter().filter(|field| !field.is_of(flavor)) {
        if object.get(field.name).is_some_and(|value| is_absent(field, value)) {
            object.remove(field.name);
        }
    }
    object
}

fn is_absent(field: &Field, value: &Value) -> bool {
    *value == field.absent()
}
