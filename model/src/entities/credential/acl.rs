//! A group that a consumer belongs to.

use crate::entities::Consumer;
use crate::schema::Record;
use crate::value::{Reference, Tags, Timestamp};
use crate::{Entity, Id};

/// That a consumer is one of a group.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "acls", key = ["consumer", "group"])]
pub struct Acl {
    /// Identifies the membership.
    #[field(auto)]
    pub id: Id<Acl>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// Who belongs to the group.
    #[field(on_delete = "cascade")]
    pub consumer: Reference<Consumer>,
    /// The group.
    #[field(len_max = 2048)]
    pub group: String,
    /// Labels to list memberships by.
    pub tags: Option<Tags>,
}

impl Entity for Acl {
    const ENDPOINT_KEY: Option<&'static str> = None;
    const NESTED_KEY: Option<&'static str> = Some("group");
}
