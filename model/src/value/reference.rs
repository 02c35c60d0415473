//! A pointer to another entity: `{"id": "…"}` in JSON, 16 bytes in binary.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::Id;
use crate::schema::{Kind, Named, Rule, Typed};

/// Points at an `E` by its id. Whether that exists is checked against the
/// configuration, not here.
pub struct Reference<E> {
    /// The id of what is pointed at.
    pub id: Id<E>,
}

impl<E> From<Id<E>> for Reference<E> {
    fn from(id: Id<E>) -> Self {
        Self { id }
    }
}

impl<E> Clone for Reference<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Reference<E> {}

impl<E> PartialEq for Reference<E> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<E> Eq for Reference<E> {}

impl<E> fmt::Debug for Reference<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "→ {}", self.id)
    }
}

#[derive(Serialize, Deserialize)]
struct Readable {
    id: Uuid,
}

impl<E> Serialize for Reference<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            Readable { id: self.id.uuid() }.serialize(serializer)
        } else {
            self.id.serialize(serializer)
        }
    }
}

impl<'de, E> Deserialize<'de> for Reference<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = if deserializer.is_human_readable() {
            Readable::deserialize(deserializer)?.id.into()
        } else {
            Id::deserialize(deserializer)?
        };
        Ok(Self { id })
    }
}

impl<E: Named> Typed for Reference<E> {
    const KIND: Kind = Kind::Foreign { entity: E::NAME };

    fn target(&self) -> Option<Uuid> {
        Some(self.id.uuid())
    }
}

impl<E> Typed for Id<E> {
    const KIND: Kind = Kind::String;
    const RULES: &'static [Rule] = &[Rule::Uuid];
}

impl Typed for Uuid {
    const KIND: Kind = Kind::String;
    const RULES: &'static [Rule] = &[Rule::Uuid];
}
