//! The identity of an entity. An `Id<Route>` is not an `Id<Service>`.
//!
//! In JSON an id is the usual 36 characters, in binary formats its 16 bytes.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The id of an entity of type `E`.
pub struct Id<E> {
    uuid: Uuid,
    of: PhantomData<fn() -> E>,
}

impl<E> Id<E> {
    /// A fresh random (version 4) id.
    pub fn random() -> Self {
        Self::from(Uuid::new_v4())
    }

    /// The untyped id, for where kinds are mixed: the log, the wire, the hash.
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }

    /// The lowest id there is: where a listing starts.
    pub const fn lowest() -> Self {
        Self { uuid: Uuid::nil(), of: PhantomData }
    }
}

/// How a URL names an entity: `/services/{id or name}`. A segment shaped like
/// a UUID is only ever an id, as in Kong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The segment is a UUID.
    Id(Uuid),
    /// Anything else: a value of the entity's endpoint key.
    Name(String),
}

impl From<&str> for Key {
    fn from(segment: &str) -> Self {
        match parse_hyphenated(segment) {
            Some(uuid) => Key::Id(uuid),
            None => Key::Name(segment.to_owned()),
        }
    }
}

/// A UUID in the one form Kong takes: 36 characters, any case, hyphens in place.
pub fn parse_hyphenated(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

impl<E> From<Uuid> for Id<E> {
    fn from(uuid: Uuid) -> Self {
        Self { uuid, of: PhantomData }
    }
}

impl<E> From<Id<E>> for Uuid {
    fn from(id: Id<E>) -> Self {
        id.uuid
    }
}

impl<E> FromStr for Id<E> {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self::from)
    }
}

impl<E> Clone for Id<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Id<E> {}

impl<E> PartialEq for Id<E> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}

impl<E> Eq for Id<E> {}

impl<E> PartialOrd for Id<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Id<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.uuid.cmp(&other.uuid)
    }
}

impl<E> Hash for Id<E> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

impl<E> fmt::Debug for Id<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uuid, f)
    }
}

impl<E> fmt::Display for Id<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uuid, f)
    }
}

impl<E> Serialize for Id<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.uuid.serialize(serializer)
    }
}

impl<'de, E> Deserialize<'de> for Id<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_shaped_segment_is_only_an_id() {
        let text = "0855B320-0dd2-547d-891d-601e9b38647f";
        assert_eq!(Key::from(text), Key::Id(text.parse().expect("a uuid")));
        assert_eq!(Key::from("users"), Key::Name("users".into()));
        assert_eq!(Key::from("0855b3200dd2547d891d601e9b38647f"), {
            Key::Name("0855b3200dd2547d891d601e9b38647f".into())
        });
    }
}
