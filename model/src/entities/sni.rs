//! A server name of TLS handshakes, and the certificate that is shown for it.

use crate::entities::Certificate;
use crate::schema::Record;
use crate::value::{Reference, SniPattern, Tags, Timestamp};
use crate::{Entity, Id};

/// A name that clients ask for in a TLS handshake (RFC 6066 §3).
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "snis")]
pub struct Sni {
    /// Identifies the name.
    #[field(auto)]
    pub id: Id<Sni>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// When it was last changed, in seconds since 1970.
    #[field(auto)]
    pub updated_at: Timestamp,
    /// The name; `*` as its first or last character stands for any label, alone for any name.
    #[field(unique)]
    pub name: SniPattern,
    /// The certificate shown for it.
    #[field(on_delete = "cascade")]
    pub certificate: Reference<Certificate>,
    /// Labels to list names by.
    pub tags: Option<Tags>,
}

impl Entity for Sni {
    const ENDPOINT_KEY: Option<&'static str> = Some("name");
}
