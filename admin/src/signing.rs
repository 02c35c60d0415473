//! The key that signs this cluster's revisions: Ed25519, made by the first
//! control plane and kept in the database. Data planes believe no other.

use boring::error::ErrorStack;
use boring::pkey::{PKey, Private};
use boring::rand::rand_bytes;
use boring::sign::Signer;
use model::RevisionId;
use model::revision::Signature;

/// What precedes the 32 seed bytes in a PKCS#8 private key (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The private key.
pub(crate) struct SigningKey {
    key: PKey<Private>,
    public: [u8; 32],
}

impl SigningKey {
    /// The 32 secret bytes of a new key.
    pub(crate) fn new_seed() -> Result<[u8; 32], ErrorStack> {
        let mut seed = [0; 32];
        rand_bytes(&mut seed)?;
        Ok(seed)
    }

    /// The key with these secret bytes.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Result<Self, ErrorStack> {
        let key = PKey::private_key_from_pkcs8(&[&PKCS8_PREFIX[..], seed].concat())?;
        let mut public = [0; 32];
        key.raw_public_key(&mut public)?;
        Ok(Self { key, public })
    }

    /// The public half.
    pub(crate) fn public(&self) -> [u8; 32] {
        self.public
    }

    /// Vouches for a revision.
    pub(crate) fn sign(&self, id: &RevisionId) -> Result<Signature, ErrorStack> {
        let mut signature = [0; 64];
        Signer::new_without_digest(&self.key)?.sign_oneshot(&mut signature, &id.signed_bytes())?;
        Ok(Signature::from_bytes(signature))
    }
}
