//! What the serde code of `#[derive(Record)]` calls. Not for use by hand.
//!
//! In readable formats every field is written, null included; in binary ones
//! null is left out. Both write keys in order. On reading, keys nobody declared
//! are skipped, so that an older version can read a newer one's entities.

use serde::de::{DeserializeOwned, Error};
use serde::ser::{Serialize, SerializeMap};

use super::{Field, Part, Schema, Typed};

#[doc(hidden)]
pub use serde;
#[doc(hidden)]
pub use uuid::Uuid;

/// The value of a field that is part of a key.
#[doc(hidden)]
pub fn part<T: Typed>(value: &T) -> Part<'_> {
    match (value.text(), value.target()) {
        (Some(text), _) => Part::Text(text),
        (None, Some(id)) => Part::Id(id),
        (None, None) => Part::Unset,
    }
}

/// Writes one field, unless it is null and the format leaves null out.
#[doc(hidden)]
pub fn write<M: SerializeMap, T: Typed + Serialize>(
    map: &mut M,
    nulls: bool,
    name: &'static str,
    value: &T,
) -> Result<(), M::Error> {
    if nulls || !value.is_null() { map.serialize_entry(name, value) } else { Ok(()) }
}

/// The value of a field that was read, or what its absence means: null where
/// that is a value, else the default.
#[doc(hidden)]
pub fn present<T: Typed + DeserializeOwned, E: Error>(
    read: Option<T>,
    schema: &'static Schema,
    name: &'static str,
) -> Result<T, E> {
    if let Some(value) = read.or_else(T::null) {
        return Ok(value);
    }
    let absent = schema.field(name).map(Field::absent).unwrap_or_default();
    if absent.is_null() {
        return Err(E::missing_field(name));
    }
    T::deserialize(absent).map_err(E::custom)
}
