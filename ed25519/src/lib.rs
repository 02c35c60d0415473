//! Ed25519 over BoringSSL, in the raw 32-byte forms that files, frames and the
//! database carry.
//!
//! A crate of its own because `admin` signs what `cluster` verifies, and neither
//! may know the other. It knows keys and bytes, not what is signed.

#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use boring::error::ErrorStack;
use boring::pkey::{Id, PKey, Private};
use boring::sign::{Signer, Verifier};

/// What precedes the 32 key bytes in a SubjectPublicKeyInfo (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What precedes the 32 seed bytes in a PKCS#8 private key (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A private key.
pub struct SigningKey {
    key: PKey<Private>,
    public: PublicKey,
}

/// A public key. Text form: base64 of the 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

/// The text is not base64 of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public key: base64 of 32 bytes is expected")]
pub struct NotAKey;

impl SigningKey {
    /// A new random key.
    pub fn generate() -> Result<Self, ErrorStack> {
        Self::of(PKey::generate(Id::ED25519)?)
    }

    /// The key with this 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, ErrorStack> {
        Self::of(PKey::private_key_from_pkcs8(&[&PKCS8_PREFIX[..], seed].concat())?)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The 32 bytes to keep secret.
    pub fn seed(&self) -> Result<[u8; 32], ErrorStack> {
        let mut seed = [0; 32];
        self.key.raw_private_key(&mut seed)?;
        Ok(seed)
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], ErrorStack> {
        let mut signature = [0; 64];
        Signer::new_without_digest(&self.key)?.sign_oneshot(&mut signature, message)?;
        Ok(signature)
    }

    fn of(key: PKey<Private>) -> Result<Self, ErrorStack> {
        let mut public = [0; 32];
        key.raw_public_key(&mut public)?;
        Ok(Self { key, public: PublicKey(public) })
    }
}

impl PublicKey {
    /// Takes the 32 raw bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this key's owner signed the message. False for a key that is no point of the curve.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let verify = || -> Result<bool, ErrorStack> {
            let key = PKey::public_key_from_der(&[&SPKI_PREFIX[..], &self.0].concat())?;
            Verifier::new_without_digest(&key)?.verify_oneshot(signature, message)
        };
        verify().unwrap_or(false)
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let bytes = boring::base64::decode_block(text.trim()).map_err(|_| NotAKey)?;
        bytes.try_into().map(Self).map_err(|_| NotAKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&boring::base64::encode_block(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first test vector of RFC 8032 §7.1.
    #[test]
    fn rfc_8032_vector() {
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let key = SigningKey::from_seed(&seed).expect("is a seed");
        assert_eq!(
            *key.public().as_bytes(),
            hex::<32>("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
        );
        let signature = key.sign(b"").expect("signs");
        assert_eq!(signature[..4], [0xe5, 0x56, 0x43, 0x00]);
        assert!(key.public().verifies(b"", &signature));
        assert!(!key.public().verifies(b"x", &signature));
        assert_eq!(key.seed().expect("has a seed"), seed);
    }

    #[test]
    fn text_form_goes_round_and_junk_is_refused() {
        let key = SigningKey::generate().expect("generates").public();
        assert_eq!(format!(" {key}\n").parse(), Ok(key));
        for junk in ["", "AAAA", "not base64!", "é", "=", "==", "===="] {
            assert_eq!(junk.parse::<PublicKey>(), Err(NotAKey), "{junk:?}");
        }
    }

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("is hex"))
    }
}
