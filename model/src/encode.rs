//! An entity's bytes, and the hash of a whole configuration.
//!
//! Bytes are written once, by the control plane that accepts a change, and are
//! hashed, sent and cached as they are: never encoded again, so two versions
//! of this program cannot disagree about what a configuration is.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::{Entity, EntityKind};

/// How deep an entity may nest. Deeper input is refused before it is built.
const MAX_DEPTH: usize = 32;

/// The longest entity that is taken from a client, in bytes: as much as Kong sends a data plane at all
/// by default. A message on the link may be four times as long.
pub const MAX_ENTITY_BYTES: usize = 16 << 20;

/// Why bytes are not an entity.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not the encoding of such an entity.
    #[error("{kind} {id}: the encoded entity cannot be read: {source}")]
    Malformed {
        /// Its kind.
        kind: EntityKind,
        /// The id it was announced with.
        id: Uuid,
        /// What the decoder found.
        #[source]
        source: rmp_serde::decode::Error,
    },
    /// The id inside the bytes is not the one outside.
    #[error("{kind} {id}: the encoded entity carries the id {inside}")]
    OtherId {
        /// Its kind.
        kind: EntityKind,
        /// The id it was announced with.
        id: Uuid,
        /// The id it carries.
        inside: Uuid,
    },
}

/// Writes an entity's bytes: named msgpack, keys sorted, null omitted.
pub fn encode<E: Entity>(entity: &E) -> Bytes {
    let bytes = rmp_serde::to_vec_named(entity).expect("records are maps of plain values");
    Bytes::from(bytes)
}

/// Reads an entity from its bytes.
pub fn decode<E: Entity>(id: Uuid, bytes: &[u8]) -> Result<E, DecodeError> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
    decoder.set_max_depth(MAX_DEPTH);
    let entity = E::deserialize(&mut decoder).map_err(|source| DecodeError::Malformed {
        kind: E::KIND,
        id,
        source,
    })?;
    if entity.id().uuid() != id {
        return Err(DecodeError::OtherId { kind: E::KIND, id, inside: entity.id().uuid() });
    }
    Ok(entity)
}

/// The hash of a configuration's content: 32 hex digits, all zeros when empty.
///
/// It depends on the set of (kind, id, bytes) alone, so it can be kept up to
/// date by change, in any order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ContentHash([u8; 16]);

impl ContentHash {
    /// The hash of the empty configuration.
    pub const EMPTY: ContentHash = ContentHash([0; 16]);

    /// Takes 16 bytes from the wire or the disk.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ContentHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        let bytes = <[u8; 16]>::try_from(&*bytes)
            .map_err(|_| serde::de::Error::custom("a content hash is 16 bytes"))?;
        Ok(Self(bytes))
    }
}

const LANES: usize = 1024;

/// The running sum behind a [`ContentHash`]: LtHash16 over 1,024 lanes, a
/// homomorphic hash whose collisions are a lattice problem, so it needs no key
/// (a plain 128-bit sum would fall to a generalised birthday attack).
#[derive(Clone)]
pub struct Digest {
    count: u64,
    lanes: Arc<[u16; LANES]>,
}

impl Default for Digest {
    fn default() -> Self {
        Self { count: 0, lanes: Arc::new([0; LANES]) }
    }
}

impl Digest {
    /// Adds an entity.
    pub fn add(&mut self, kind: EntityKind, id: Uuid, bytes: &[u8]) {
        self.count += 1;
        self.mix(kind, id, bytes, u16::wrapping_add);
    }

    /// Takes an entity out again; `bytes` are those it was added with.
    pub fn remove(&mut self, kind: EntityKind, id: Uuid, bytes: &[u8]) {
        self.count -= 1;
        self.mix(kind, id, bytes, u16::wrapping_sub);
    }

    /// The hash of what has been added and not removed.
    pub fn hash(&self) -> ContentHash {
        if self.count == 0 {
            return ContentHash::EMPTY;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"gateway-config-1");
        hasher.update(&self.count.to_le_bytes());
        self.lanes.iter().for_each(|lane| {
            hasher.update(&lane.to_le_bytes());
        });
        let mut hash = [0; 16];
        hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        ContentHash(hash)
    }

    fn mix(&mut self, kind: EntityKind, id: Uuid, bytes: &[u8], with: fn(u16, u16) -> u16) {
        let element = element(kind, id, bytes);
        let lanes = Arc::make_mut(&mut self.lanes);
        for (lane, pair) in lanes.iter_mut().zip(element.chunks_exact(2)) {
            *lane = with(*lane, u16::from_le_bytes([pair[0], pair[1]]));
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({} entities, {})", self.count, self.hash())
    }
}

/// 2,048 bytes of BLAKE3 output over the kind (length-prefixed), id and bytes.
fn element(kind: EntityKind, id: Uuid, bytes: &[u8]) -> [u8; 2 * LANES] {
    let name = kind.name().as_bytes();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[name.len() as u8]);
    hasher.update(name);
    hasher.update(id.as_bytes());
    hasher.update(bytes);
    let mut element = [0; 2 * LANES];
    hasher.finalize_xof().fill(&mut element);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(0xa);
    const B: Uuid = Uuid::from_u128(0xb);

    fn digest(entities: &[(EntityKind, Uuid, &[u8])]) -> Digest {
        let mut digest = Digest::default();
        entities.iter().for_each(|(kind, id, bytes)| digest.add(*kind, *id, bytes));
        digest
    }

    #[test]
    fn empty_is_zeros() {
        assert_eq!(Digest::default().hash().to_string(), "0".repeat(32));
    }

    #[test]
    fn order_does_not_matter_and_removal_undoes() {
        let ab = digest(&[(EntityKind::Service, A, b"a"), (EntityKind::Route, B, b"b")]);
        let ba = digest(&[(EntityKind::Route, B, b"b"), (EntityKind::Service, A, b"a")]);
        assert_eq!(ab.hash(), ba.hash());

        let mut gone = ab;
        gone.remove(EntityKind::Service, A, b"a");
        assert_eq!(gone.hash(), digest(&[(EntityKind::Route, B, b"b")]).hash());
        gone.remove(EntityKind::Route, B, b"b");
        assert_eq!(gone.hash(), ContentHash::EMPTY);
    }

    #[test]
    fn kind_id_and_bytes_all_count() {
        let base = digest(&[(EntityKind::Service, A, b"a")]).hash();
        assert_ne!(base, digest(&[(EntityKind::Route, A, b"a")]).hash());
        assert_ne!(base, digest(&[(EntityKind::Service, B, b"a")]).hash());
        assert_ne!(base, digest(&[(EntityKind::Service, A, b"b")]).hash());
    }

    /// Pinned: a change here breaks every cache, log and peer in the field.
    #[test]
    fn vectors() {
        check(&[(EntityKind::Service, A, b"")], "b686094ef9b13860cfd9d3e7a8d522cf");
        check(
            &[(EntityKind::Service, A, b"x"), (EntityKind::Route, B, b"y")],
            "ad42c246282afcab64270655f4b9b9a5",
        );
    }

    #[track_caller]
    fn check(entities: &[(EntityKind, Uuid, &[u8])], expected: &str) {
        assert_eq!(digest(entities).hash().to_string(), expected);
    }
}
