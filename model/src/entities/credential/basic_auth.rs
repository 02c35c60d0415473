//! A name and a password that stand for their consumer.

use serde_json::Value;
use sha1::{Digest as _, Sha1};

use crate::entities::Consumer;
use crate::schema::{Object, Record};
use crate::value::{Reference, Tags, Timestamp};
use crate::violation::Violations;
use crate::{Entity, Id};

/// A name and a password (RFC 7617).
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "basicauth_credentials", key = ["username"], transform = hash_password)]
pub struct BasicAuth {
    /// Identifies the credential.
    #[field(auto)]
    pub id: Id<BasicAuth>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// Whom it stands for.
    #[field(on_delete = "cascade")]
    pub consumer: Reference<Consumer>,
    /// The name; stands for the id in URLs.
    #[field(unique, len_max = 2048)]
    pub username: String,
    /// The password. What is kept is a hash of it.
    #[field(secret)]
    pub password: String,
    /// Labels to list credentials by.
    pub tags: Option<Tags>,
}

/// Kong's hash, so that what a Kong kept can be brought along: SHA-1 of the password and the id of the
/// consumer, in hexadecimal digits.
fn hash_password(said: &Object, credential: &mut Object) -> Result<(), Violations> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let consumer = credential.get("consumer").and_then(|consumer| consumer.get("id"));
    let (password, consumer) = (text(said.get("password")), text(consumer));
    if let (Some(password), Some(consumer)) = (password.filter(|text| !text.is_empty()), consumer) {
        let salted = Sha1::new().chain_update(password).chain_update(consumer.to_lowercase());
        let hash: String = salted.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        credential.insert("password".to_owned(), hash.into());
    } else if !said.contains_key("password")
        && said.contains_key("consumer")
        && credential.contains_key("password")
    {
        // The hash is that of another consumer.
        return Err(Violations::entity(
            "all or none of these fields must be set: 'password', 'consumer.id'",
        ));
    }
    Ok(())
}

impl Entity for BasicAuth {
    const ENDPOINT_KEY: Option<&'static str> = Some("username");
    const PATH: &'static str = "basic-auths";
    const NESTED: &'static str = "basic-auth";
}
