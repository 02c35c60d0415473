//! A name and a secret with which requests of its consumer are signed.

use crate::entities::Consumer;
use crate::schema::Record;
use crate::value::{Reference, Tags, Timestamp};
use crate::{Entity, Id};

/// A name and the secret behind it.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "hmacauth_credentials", key = ["username"])]
pub struct HmacAuth {
    /// Identifies the credential.
    #[field(auto)]
    pub id: Id<HmacAuth>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// Whom it stands for.
    #[field(on_delete = "cascade")]
    pub consumer: Reference<Consumer>,
    /// The name; stands for the id in URLs.
    #[field(unique, len_max = 2048)]
    pub username: String,
    /// The secret; made up where none is given.
    #[field(auto, secret)]
    pub secret: String,
    /// Labels to list credentials by.
    pub tags: Option<Tags>,
}

impl Entity for HmacAuth {
    const ENDPOINT_KEY: Option<&'static str> = Some("username");
    const PATH: &'static str = "hmac-auths";
    const NESTED: &'static str = "hmac-auth";
}
