//! What the tokens of a consumer are verified with.

use crate::entities::Consumer;
use crate::schema::{Check, Literal, Record, Rule};
use crate::value::{JwtAlgorithm, PublicKeyPem, Reference, Tags, Timestamp};
use crate::{Entity, Id};

/// The key of a consumer's tokens (RFC 7519), and what they are signed with.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "jwt_secrets", checks = CHECKS)]
pub struct JwtSecret {
    /// Identifies the credential.
    #[field(auto)]
    pub id: Id<JwtSecret>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// Whom it stands for.
    #[field(on_delete = "cascade")]
    pub consumer: Reference<Consumer>,
    /// What tokens call it; made up where none is given.
    #[field(auto, unique, len_max = 2048)]
    pub key: String,
    /// The secret of HS algorithms; made up where none is given.
    #[field(auto, secret)]
    pub secret: String,
    /// The public key of the other algorithms, in PEM.
    pub rsa_public_key: Option<PublicKeyPem>,
    /// How tokens are signed.
    #[field(default = "HS256")]
    pub algorithm: Option<JwtAlgorithm>,
    /// Labels to list credentials by.
    pub tags: Option<Tags>,
}

const CHECKS: &[Check] = &[
    needs_public_key("RS256"),
    needs_public_key("RS384"),
    needs_public_key("RS512"),
    needs_public_key("PS256"),
    needs_public_key("PS384"),
    needs_public_key("PS512"),
    needs_public_key("EdDSA"),
];

/// Kong does not ask for the key of ES algorithms, and so neither does this.
const fn needs_public_key(algorithm: &'static str) -> Check {
    Check::When {
        field: "algorithm",
        is: Rule::Is(Literal::Text(algorithm)),
        then: "rsa_public_key",
        must: Rule::Required,
        message: None,
    }
}

impl Entity for JwtSecret {
    const ENDPOINT_KEY: Option<&'static str> = Some("key");
    const PATH: &'static str = "jwts";
    const NESTED: &'static str = "jwt";
}
