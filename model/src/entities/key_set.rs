//! A set of keys that are used together.

use crate::schema::Record;
use crate::value::{Name, Tags, Timestamp};
use crate::{Entity, Id};

/// A set of keys (RFC 7517 §5).
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "key_sets")]
pub struct KeySet {
    /// Identifies the set.
    #[field(auto)]
    pub id: Id<KeySet>,
    /// What it is called; stands for the id in URLs.
    #[field(unique)]
    pub name: Option<Name>,
    /// Labels to list sets by.
    pub tags: Option<Tags>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// When it was last changed, in seconds since 1970.
    #[field(auto)]
    pub updated_at: Timestamp,
}

impl Entity for KeySet {
    const ENDPOINT_KEY: Option<&'static str> = Some("name");
    const PATH: &'static str = "key-sets";
}
