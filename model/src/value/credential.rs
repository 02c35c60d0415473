//! What credentials, keys and vaults are made of.

use serde_json::Value;

use super::url;
use crate::schema::{Invalid, Rule};

words! {
    /// How a token is signed (RFC 7518 §3.1, RFC 8037 §3.1).
    JwtAlgorithm {
        /// HMAC with SHA-256.
        Hs256 = "HS256",
        /// HMAC with SHA-384.
        Hs384 = "HS384",
        /// HMAC with SHA-512.
        Hs512 = "HS512",
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 = "RS256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        Rs384 = "RS384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        Rs512 = "RS512",
        /// ECDSA with P-256 and SHA-256.
        Es256 = "ES256",
        /// ECDSA with P-384 and SHA-384.
        Es384 = "ES384",
        /// ECDSA with P-521 and SHA-512.
        Es512 = "ES512",
        /// RSASSA-PSS with SHA-256.
        Ps256 = "PS256",
        /// RSASSA-PSS with SHA-384.
        Ps384 = "PS384",
        /// RSASSA-PSS with SHA-512.
        Ps512 = "PS512",
        /// An Edwards curve.
        EdDsa = "EdDSA",
    }
}

words! {
    /// Whether an OAuth 2.0 client can keep a secret (RFC 6749 §2.1).
    ClientType {
        /// It can.
        Confidential = "confidential",
        /// It cannot: it runs at its user's.
        Public = "public",
    }
}

words! {
    /// What sort of vault there can be.
    VaultType {
        /// The environment of each node.
        Env = "env",
    }
}

text! {
    /// Where a user may be sent back to: an absolute URI without a fragment (RFC 6749 §3.1.2).
    RedirectUri, admit_redirect
}

text! {
    /// What references call a vault: a small letter, then small letters, digits and `-`.
    VaultPrefix, admit_vault_prefix, Rule::LenMax(2048)
}

text! {
    /// What the names of a vault's variables begin with.
    EnvPrefix, admit_env_prefix
}

secret! {
    /// A key as JSON text (RFC 7517 §4).
    Jwk, admit_jwk
}

fn admit_redirect(text: &str) -> Result<(), Invalid> {
    let parts = url::split(text);
    if parts.scheme.is_none() || parts.host.is_none_or(str::is_empty) {
        return Err(Invalid(format!("cannot parse '{text}'")));
    }
    if text.contains('#') {
        return Err(Invalid(format!("fragment not allowed in '{text}'")));
    }
    Ok(())
}

fn admit_vault_prefix(text: &str) -> Result<(), Invalid> {
    if VaultType::ALL.iter().any(|vault| vault.as_str() == text) {
        let names: Vec<_> = VaultType::ALL.iter().map(|vault| vault.as_str()).collect();
        return Err(Invalid(format!("must not be one of: {}", names.join(", "))));
    }
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let holds = match text.as_bytes() {
        [first, middle @ .., last] => {
            let all = |b: &u8| is_word(*b) || *b == b'-';
            first.is_ascii_lowercase() && middle.iter().all(all) && is_word(*last)
        }
        _ => false,
    };
    if holds { Ok(()) } else { Err(Invalid(format!("invalid value: {text}"))) }
}

fn admit_env_prefix(text: &str) -> Result<(), Invalid> {
    let is_first = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-');
    let holds = text.bytes().enumerate().all(|(at, b)| is_first(b) || at > 0 && b.is_ascii_digit());
    if holds { Ok(()) } else { Err(Invalid(format!("invalid value: {text}"))) }
}

/// The members without which a key of a sort is none (RFC 7518 §6, RFC 8037 §2).
const JWK_MEMBERS: &[(&str, &[&str])] =
    &[("RSA", &["n", "e"]), ("EC", &["crv", "x", "y"]), ("oct", &["k"]), ("OKP", &["crv", "x"])];

fn admit_jwk(text: &str) -> Result<(), Invalid> {
    let refuse = |why: String| Err(Invalid(format!("could not load JWK: {why}")));
    let key = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(key)) => key,
        Ok(_) => return refuse("it is no JSON object".to_owned()),
        Err(error) => return refuse(error.to_string()),
    };
    let sort = key.get("kty").and_then(Value::as_str).unwrap_or_default();
    let Some((_, members)) = JWK_MEMBERS.iter().find(|(name, _)| *name == sort) else {
        return refuse("`kty` is not one of RSA, EC, oct and OKP".to_owned());
    };
    match members.iter().find(|member| !key.get(**member).is_some_and(Value::is_string)) {
        Some(member) => refuse(format!("`{member}` is missing")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vaults_are_called_by_small_words() {
        for (text, holds) in [
            ("my-env", true),
            ("a1", true),
            ("a", false),
            ("env", false),
            ("1a", false),
            ("a-", false),
            ("My", false),
        ] {
            assert_eq!(text.parse::<VaultPrefix>().is_ok(), holds, "{text}");
        }
    }

    #[test]
    fn keys_have_the_members_of_their_sort() {
        for (text, holds) in [
            (r#"{"kty":"oct","k":"AA"}"#, true),
            (r#"{"kty":"RSA","n":"AA","e":"AQAB"}"#, true),
            (r#"{"kty":"RSA","n":"AA"}"#, false),
            (r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, true),
            (r#"{"kty":"none"}"#, false),
            ("[]", false),
            ("{", false),
        ] {
            assert_eq!(text.parse::<Jwk>().is_ok(), holds, "{text}");
        }
    }

    #[test]
    fn users_are_sent_back_to_whole_uris() {
        for (text, holds) in [
            ("https://a.test/back", true),
            ("https://a.test/back?x=1", true),
            ("https://a.test/#top", false),
            ("/back", false),
        ] {
            assert_eq!(text.parse::<RedirectUri>().is_ok(), holds, "{text}");
        }
    }
}
