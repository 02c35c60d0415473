//! An application of a consumer that asks for tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;
use sha2::Sha512;
use uuid::Uuid;

use crate::entities::Consumer;
use crate::schema::{Object, Record};
use crate::value::{ClientType, RedirectUri, Reference, Tags, Timestamp};
use crate::violation::Violations;
use crate::{Entity, Id};

/// An OAuth 2.0 client (RFC 6749 §2).
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "oauth2_credentials", transform = hash_secret)]
pub struct OAuth2 {
    /// Identifies the credential.
    #[field(auto)]
    pub id: Id<OAuth2>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// Whom it stands for.
    #[field(on_delete = "cascade")]
    pub consumer: Reference<Consumer>,
    /// What the application is called.
    pub name: String,
    /// What it calls itself; made up where none is given, and stands for the id in URLs.
    #[field(auto, unique, len_max = 2048)]
    pub client_id: String,
    /// Its secret; made up where none is given.
    #[field(auto, secret)]
    pub client_secret: String,
    /// Whether what is kept of the secret is a hash.
    #[field(default = false)]
    pub hash_secret: bool,
    /// Where its users may be sent back to.
    pub redirect_uris: Option<Vec<RedirectUri>>,
    /// Labels to list credentials by.
    pub tags: Option<Tags>,
    /// Whether it can keep a secret.
    #[field(default = "confidential")]
    pub client_type: ClientType,
}

/// How Kong writes a hash: the algorithm, its rounds and the bytes it makes; salt and hash follow.
const HASHED: &str = "$pbkdf2-sha512$i=10000,l=32$";
const ROUNDS: u32 = 10_000;

/// PBKDF2 (RFC 8018 §5.2), in the form that Kong keeps, so that what it kept can be brought along.
fn hash_secret(_said: &Object, credential: &mut Object) -> Result<(), Violations> {
    if credential.get("hash_secret") != Some(&Value::Bool(true)) {
        return Ok(());
    }
    let secret = credential.get("client_secret").and_then(Value::as_str);
    if let Some(secret) = secret.filter(|text| !text.is_empty() && !text.starts_with(HASHED)) {
        let salt = Uuid::new_v4();
        let hash: [u8; 32] =
            pbkdf2::pbkdf2_hmac_array::<Sha512, 32>(secret.as_bytes(), salt.as_bytes(), ROUNDS);
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        let kept = format!("{HASHED}{salt}${hash}");
        credential.insert("client_secret".to_owned(), kept.into());
    }
    Ok(())
}

impl Entity for OAuth2 {
    const ENDPOINT_KEY: Option<&'static str> = Some("client_id");
    const PATH: &'static str = "oauth2";
}
