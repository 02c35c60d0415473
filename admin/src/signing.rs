//! The key that signs this cluster's revisions: Ed25519, made by the first
//! control plane and kept in the database. Data planes believe no other.

use boring::error::ErrorStack;
use model::RevisionId;
use model::revision::Signature;

/// The private key.
pub(crate) struct SigningKey(ed25519::SigningKey);

impl SigningKey {
    /// The 32 secret bytes of a new key.
    pub(crate) fn new_seed() -> Result<[u8; 32], ErrorStack> {
        ed25519::SigningKey::generate()?.seed()
    }

    /// The key with these secret bytes.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Result<Self, ErrorStack> {
        ed25519::SigningKey::from_seed(seed).map(Self)
    }

    /// The public half.
    pub(crate) fn public(&self) -> [u8; 32] {
        *self.0.public().as_bytes()
    }

    /// Vouches for a revision.
    pub(crate) fn sign(&self, id: &RevisionId) -> Result<Signature, ErrorStack> {
        self.0.sign(&id.signed_bytes()).map(Signature::from_bytes)
    }
}
