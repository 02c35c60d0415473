//! A key: what signatures are checked with, or made.

use serde_json::Value;

use crate::entities::KeySet;
use crate::schema::{Check, Object, Record};
use crate::value::{Jwk, KeyPem, Name, PublicKeyPem, Referable, Reference, Tags, Timestamp};
use crate::violation::Violations;
use crate::{Entity, Id};

/// A key, as JSON or as PEM.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "keys", key = ["kid", "set"], checks = CHECKS)]
pub struct Key {
    /// Identifies the key.
    #[field(auto)]
    pub id: Id<Key>,
    /// The set it belongs to.
    #[field(on_delete = "cascade")]
    pub set: Option<Reference<KeySet>>,
    /// What it is called; stands for the id in URLs.
    #[field(unique)]
    pub name: Option<Name>,
    /// What it is called by whoever uses it (RFC 7517 §4.5).
    #[field(len_max = 2048)]
    pub kid: String,
    /// The key as JSON text (RFC 7517 §4).
    #[field(secret)]
    pub jwk: Option<Referable<Jwk>>,
    /// The key in PEM.
    #[field(secret)]
    pub pem: Option<Pem>,
    /// Labels to list keys by.
    pub tags: Option<Tags>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// When it was last changed, in seconds since 1970.
    #[field(auto)]
    pub updated_at: Timestamp,
}

/// A pair of keys, or one of them, in PEM.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(checks = &[Check::AtLeastOneOf(&["private_key", "public_key"])])]
pub struct Pem {
    /// The private key.
    pub private_key: Option<Referable<KeyPem>>,
    /// The public key.
    pub public_key: Option<Referable<PublicKeyPem>>,
}

const CHECKS: &[Check] = &[
    Check::AtMostOneOf(&["jwk", "pem"]),
    Check::AtLeastOneOf(&["jwk", "pem"]),
    Check::Custom(is_called_the_same),
];

/// Inside of it a key may be called by another name than outside: nobody would find it.
fn is_called_the_same(key: &Object, found: &mut Violations) {
    let jwk = key.get("jwk").and_then(Value::as_str).filter(|_| !found.has("jwk"));
    // A reference is no JSON.
    let Some(Ok(jwk)) = jwk.map(serde_json::from_str::<Value>) else { return };
    if jwk.get("kid") != key.get("kid") {
        found.add_entity("kid in jwk.kid must be equal to keys.kid");
    }
}

impl Entity for Key {
    const ENDPOINT_KEY: Option<&'static str> = Some("name");
}
