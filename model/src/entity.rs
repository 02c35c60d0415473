//! What every entity has. An entity is declared once, as a [`Record`]; the
//! store, the API, sync and the cache are written for any `E: Entity`.
//!
//! To add one: a file under `entities/`, a line in `entities.rs`, and its table in the store.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Table;
use crate::schema::{Field, Kind, OnDelete, Part, Record};
use crate::value::Timestamp;
use crate::violation::Violations;
use crate::{Config, EntityKind, Id};

/// What an entity has by being in the list of `entities.rs`, which implements this.
///
/// `Record` (derived) carries what the schema knows: the fields, which of them
/// are unique and which point at other entities.
pub trait Listed:
    Record + Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync + 'static
{
    /// Which of the kinds this is.
    const KIND: EntityKind;

    /// Its identity.
    fn id(&self) -> Id<Self>;

    /// Where a [`Config`] keeps entities of this type.
    fn table(config: &Config) -> &Table<Self>;

    /// The same, to be changed.
    fn table_mut(config: &mut Config) -> &mut Table<Self>;
}

/// An entity of the configuration, and how it is named in URLs.
pub trait Entity: Listed {
    /// The field that may stand for the id in a URL, such as `name`.
    const ENDPOINT_KEY: Option<&'static str>;

    /// The field that may stand for the id in a URL below a parent.
    const NESTED_KEY: Option<&'static str> = Self::ENDPOINT_KEY;

    /// How URLs call all of them: `/key-auths`. Mostly as the table is called.
    const PATH: &'static str = Self::NAME;

    /// How URLs call those of a parent: `/consumers/{consumer}/key-auth`.
    const NESTED: &'static str = Self::PATH;

    /// Whether they have URLs of their own, beside those below a parent.
    const IS_TOP_LEVEL: bool = true;

    /// The value of the endpoint key, where it has one.
    fn endpoint_key(&self) -> Option<String> {
        let mut found = None;
        self.visit_unique(&mut |field, value| {
            if Some(field) == Self::ENDPOINT_KEY {
                found = Some(value.to_owned());
            }
        });
        found
    }

    /// The field whose values name an entity of this kind in a URL: that of its endpoint key,
    /// unless it goes by the name of something else.
    fn key_field() -> Option<&'static Field> {
        Self::SCHEMA.field(Self::ENDPOINT_KEY?)
    }

    /// The same of URLs below a parent.
    fn nested_key_field() -> Option<&'static Field> {
        match Self::NESTED_KEY == Self::ENDPOINT_KEY {
            true => Self::key_field(),
            false => Self::SCHEMA.field(Self::NESTED_KEY?),
        }
    }

    /// The one of these that goes by this name in a URL below the parent they have in common.
    fn named<'a>(mut siblings: impl Iterator<Item = &'a Self>, name: &str) -> Option<&'a Self> {
        siblings.find(|sibling| {
            let mut is_named = false;
            sibling.visit_key(&mut |field, part| {
                is_named |= Some(field) == Self::NESTED_KEY && part == Part::Text(name);
            });
            is_named
        })
    }

    /// What keeps it from joining this configuration, beyond what all entities have in common.
    fn misfit(&self, _config: &Config) -> Violations {
        Violations::default()
    }

    /// When it is gone, if that is known.
    fn expiry(&self) -> Option<Timestamp> {
        None
    }

    /// The entity that goes by this name in a URL.
    fn by_key<'a>(config: &'a Config, name: &str) -> Option<&'a Self> {
        Self::table(config).by_endpoint_key(name)
    }
}

/// A field that points at another entity.
#[derive(Clone, Copy, Debug)]
pub struct ForeignKey {
    /// The field's name, such as `service`.
    pub field: &'static str,
    /// What it points at.
    pub target: EntityKind,
    /// What becomes of the pointing entity when the target is deleted.
    pub on_delete: OnDelete,
}

/// The foreign keys a schema declares, in field order.
pub fn foreign_keys(fields: &'static [Field]) -> impl Iterator<Item = ForeignKey> {
    fields.iter().filter_map(|field| match field.kind {
        Kind::Foreign { entity } => EntityKind::from_name(entity).map(|target| ForeignKey {
            field: field.name,
            target,
            on_delete: field.on_delete,
        }),
        _ => None,
    })
}
