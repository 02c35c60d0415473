//! A configuration with its place in history.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Config;
use crate::encode::ContentHash;

/// Which revision: the triple that names it in the log, on the link, in the
/// cache and under a signature.
///
/// Position in history is (epoch, version). An epoch is raised when a control
/// plane finds its database behind what it has already published (a restored
/// backup), so that version numbers used twice cannot be confused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct RevisionId {
    /// How often history was rewound.
    pub epoch: u64,
    /// Counts from 1, without gaps, within an epoch.
    pub version: u64,
    /// The hash of the content.
    pub hash: ContentHash,
}

impl RevisionId {
    /// Where in history: compare these, not the hash.
    pub const fn position(&self) -> (u64, u64) {
        (self.epoch, self.version)
    }

    /// What the signature of a revision covers.
    pub fn signed_bytes(&self) -> [u8; 50] {
        let mut bytes = [0; 50];
        bytes[..18].copy_from_slice(b"gateway-revision-1");
        bytes[18..26].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[26..34].copy_from_slice(&self.version.to_be_bytes());
        bytes[34..].copy_from_slice(self.hash.as_bytes());
        bytes
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} ({})", self.epoch, self.version, self.hash)
    }
}

/// An Ed25519 signature over [`RevisionId::signed_bytes`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes the 64 bytes a signer made.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        let bytes = <[u8; 64]>::try_from(&*bytes)
            .map_err(|_| serde::de::Error::custom("a signature is 64 bytes"))?;
        Ok(Self(bytes))
    }
}

/// A configuration at a point in history. Immutable; passed as `Arc`.
#[derive(Clone, Debug, Default)]
pub struct Revision {
    /// Which one.
    pub id: RevisionId,
    /// Who vouches for it: absent where configuration comes from a file.
    pub signature: Option<Signature>,
    /// The content.
    pub config: Config,
}

impl Revision {
    /// The revision before the first: nothing is configured.
    pub fn empty() -> Arc<Self> {
        Arc::default()
    }
}
