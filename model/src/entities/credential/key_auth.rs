//! A key that stands for its consumer.

use crate::entities::Consumer;
use crate::schema::Record;
use crate::value::{Expiry, Reference, Tags, Timestamp};
use crate::{Entity, Id};

/// A key that stands for its consumer.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "keyauth_credentials")]
pub struct KeyAuth {
    /// Identifies the credential.
    #[field(auto)]
    pub id: Id<KeyAuth>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// Whom it stands for.
    #[field(on_delete = "cascade")]
    pub consumer: Reference<Consumer>,
    /// The key; made up where none is given.
    #[field(auto, unique, secret, len_max = 2048)]
    pub key: String,
    /// How many seconds it still lasts; in files, the second since 1970 at which it is over.
    pub ttl: Option<Expiry>,
    /// Labels to list credentials by.
    pub tags: Option<Tags>,
}

impl Entity for KeyAuth {
    const ENDPOINT_KEY: Option<&'static str> = Some("key");
    const PATH: &'static str = "key-auths";
    const NESTED: &'static str = "key-auth";

    fn expiry(&self) -> Option<Timestamp> {
        self.ttl.map(Expiry::at)
    }
}
