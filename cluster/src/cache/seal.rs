//! By which a base is believed: its size, its hash and what it is, under a tag.
//!
//! The key of the tags is no secret, so that a copied cache works anywhere: a
//! seal detects damage. Forgery is detected by the revision's signature.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use blake3::{Hash, Hasher};
use bytes::Bytes;
use model::revision::Signature;
use model::{Revision, RevisionId};
use serde::{Deserialize, Serialize};

use super::CacheError;
use super::files::{self, DATA, SEAL};
use super::recover::Damage;
use crate::ed25519::PublicKey;

/// What this version writes, and reads. Entities are not part of it: they are read as any version wrote them.
const FORMAT: u32 = 1;

const KEY: &[u8; 32] = b"gateway-cache-1 detects damage..";

/// No seal is longer: a few numbers, hashes and keys.
const MAX_SEAL_BYTES: u64 = 4096;

/// What a seal says of a base.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seal {
    format: u32,
    size: u64,
    content: Bytes,
    pub(super) id: RevisionId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) signature: Option<Signature>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    trust: Option<Bytes>,
}

/// The part that every format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A hash under the cache's key. `purpose` keeps one file from passing for another.
pub(super) fn tag(purpose: &[u8], parts: &[&[u8]]) -> Hash {
    let mut hasher = Hasher::new_keyed(KEY);
    hasher.update(purpose);
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    hasher.finalize()
}

/// The size and hash of a base's file.
pub(super) fn measure(mut data: impl Read) -> std::io::Result<(u64, Hash)> {
    let mut hasher = Hasher::new_keyed(KEY);
    hasher.update(b"data").update_reader(&mut data)?;
    Ok((hasher.count() - b"data".len() as u64, hasher.finalize()))
}

/// Seals the base that was written to this draft.
pub(super) fn write(
    draft: &Path,
    (size, content): (u64, Hash),
    revision: &Revision,
    trust: Option<&PublicKey>,
) -> Result<(), CacheError> {
    let seal = Seal {
        format: FORMAT,
        size,
        content: Bytes::copy_from_slice(content.as_bytes()),
        id: revision.id,
        signature: revision.signature,
        trust: trust.map(|key| Bytes::copy_from_slice(key.as_bytes())),
    };
    let path = draft.join(SEAL);
    let write = || {
        let mut file = files::create(&path)?;
        file.write_all(&seal.encode())?;
        file.sync_all()
    };
    write().map_err(CacheError::io("write", &path))
}

impl Seal {
    /// Reads a generation's seal.
    pub(super) fn read(generation: &Path) -> Result<Self, Damage> {
        let mut bytes = Vec::new();
        files::open(generation, SEAL)?
            .take(MAX_SEAL_BYTES)
            .read_to_end(&mut bytes)
            .map_err(Damage::unreadable(SEAL))?;
        Self::decode(&bytes)
    }

    /// Checks that the base is, byte for byte, the one that was sealed. Only then may it be mapped.
    pub(super) fn check(&self, generation: &Path) -> Result<(), Damage> {
        let file = files::open(generation, DATA)?;
        let found = file.metadata().map_err(Damage::unreadable(DATA))?.len();
        if found != self.size {
            return Err(Damage::Size { sealed: self.size, found });
        }
        // A file that grows while it is read is not read for ever.
        let (size, content) =
            measure(File::take(file, self.size)).map_err(Damage::unreadable(DATA))?;
        if size != self.size || content != self.content[..] {
            return Err(Damage::Content);
        }
        Ok(())
    }

    /// The key of the control plane that the base came from.
    pub(super) fn trust(&self) -> Option<PublicKey> {
        let bytes: [u8; 32] = self.trust.as_deref()?.try_into().ok()?;
        Some(PublicKey::from_bytes(bytes))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = rmp_serde::to_vec_named(self).expect("a seal is a map of plain values");
        let tag = tag(b"seal", &[&bytes]);
        bytes.extend_from_slice(tag.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let (body, end) = bytes.split_last_chunk::<32>().ok_or(Damage::Seal)?;
        if tag(b"seal", &[body]) != *end {
            return Err(Damage::Seal);
        }
        let Format { format } = rmp_serde::from_slice(body).map_err(|_| Damage::Seal)?;
        if format != FORMAT {
            return Err(Damage::Format { found: format, ours: FORMAT });
        }
        rmp_serde::from_slice(body).map_err(|_| Damage::Seal)
    }
}

#[cfg(test)]
mod tests {
    use model::encode::ContentHash;
    use proptest::prelude::*;

    use super::*;

    fn seal() -> Seal {
        Seal {
            format: FORMAT,
            size: 8192,
            content: Bytes::from_static(&[7; 32]),
            id: RevisionId { epoch: 1, version: 42, hash: ContentHash::from_bytes([9; 16]) },
            signature: Some(Signature::from_bytes([3; 64])),
            trust: Some(Bytes::from_static(&[5; 32])),
        }
    }

    #[test]
    fn a_seal_goes_round() {
        let read = Seal::decode(&seal().encode()).expect("is sealed");
        assert_eq!((read.size, &read.content, read.id), (8192, &seal().content, seal().id));
        assert_eq!(read.signature, seal().signature);
        assert_eq!(read.trust(), Some(PublicKey::from_bytes([5; 32])));
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_seen() {
        let good = seal().encode();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(matches!(Seal::decode(&bad), Err(Damage::Seal)), "byte {at}");
            assert!(matches!(Seal::decode(&good[..at]), Err(Damage::Seal)), "cut at {at}");
        }
    }

    #[test]
    fn a_later_format_is_named() {
        let later = Seal { format: 2, ..seal() }.encode();
        assert!(matches!(Seal::decode(&later), Err(Damage::Format { found: 2, ours: 1 })));
    }

    proptest! {
        /// With a right tag, too: a seal from elsewhere may say anything.
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), sealed: bool) {
            if sealed {
                bytes.extend_from_slice(tag(b"seal", &[&bytes.clone()]).as_bytes());
            }
            if let Ok(seal) = Seal::decode(&bytes) {
                let _ = seal.trust();
            }
        }
    }
}
