//! Whom a data plane believes: the one key that signs its cluster's revisions.
//!
//! The key is given (`cluster_trust_key`) or pinned at the first contact in
//! `<prefix>/cluster_trust.pub`; from then on no other is accepted, so a stolen
//! cluster certificate is not enough to pose as the control plane. Removing the
//! file is how a node is moved to another cluster.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use model::revision::Signature;
use model::{Revision, RevisionId};
use tracing::warn;

use crate::ed25519::PublicKey;
use crate::identity::create_once;
use crate::log::chain;
use crate::plain;

const FILE: &str = "cluster_trust.pub";

/// More than a key has, so that a file of another length is told from one that cannot be read.
const MOST: u64 = 4096;

/// The key this node believes, if it has met one.
#[derive(Debug)]
pub struct Trust {
    path: PathBuf,
    key: Mutex<Option<PublicKey>>,
}

/// Why a key or a revision is not believed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The pin file cannot be read or written.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },

    /// The pin file holds no key.
    #[error("{path} holds no key; remove it to let this node trust the next control plane it meets", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },

    /// The control plane signs with a key other than the trusted one.
    #[error("the control plane signs with {shown}, but this node trusts {trusted}; to move the node to another cluster, remove {path}", path = path.display())]
    OtherKey {
        /// The key the control plane shows.
        shown: PublicKey,
        /// The key this node trusts.
        trusted: PublicKey,
        /// Where the trusted key is pinned.
        path: PathBuf,
    },

    /// No key is known yet, so nothing can be verified.
    #[error("no control plane has been met yet, so revision {0} cannot be verified")]
    NoKey(RevisionId),

    /// The revision carries no signature.
    #[error("revision {0} is not signed")]
    Unsigned(RevisionId),

    /// The signature is not the trusted key's.
    #[error("the signature of revision {id} is not by the trusted key {trusted}")]
    BadSignature {
        /// Which revision.
        id: RevisionId,
        /// The key this node trusts.
        trusted: PublicKey,
    },
}

impl Trust {
    /// What this node trusts at start: `given` (`cluster_trust_key`), else the pin under `prefix`.
    pub fn load(prefix: &Path, given: Option<PublicKey>) -> Result<Self, TrustError> {
        let path = prefix.join(FILE);
        let key = match given {
            Some(key) => Some(key),
            None => read_pin(&path)?,
        };
        Ok(Self { path, key: Mutex::new(key) })
    }

    /// The trusted key, once there is one.
    pub fn key(&self) -> Option<PublicKey> {
        *self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Meets a key: that of a control plane, or the one in a copied cache. The first is pinned on disk
    /// before it is believed; any other is refused. True if it was pinned just now.
    pub fn meet(&self, shown: PublicKey) -> Result<bool, TrustError> {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if key.is_none() {
            match create_once(&self.path, format!("{shown}\n").as_bytes(), 0o644) {
                Ok(()) => {
                    *key = Some(shown);
                    return Ok(true);
                }
                // Another process of this node pinned one in the meantime.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    *key = read_pin(&self.path)?
                }
                Err(source) => return Err(TrustError::Io { path: self.path.clone(), source }),
            }
        }
        match *key {
            Some(trusted) if trusted != shown => {
                Err(TrustError::OtherKey { shown, trusted, path: self.path.clone() })
            }
            _ => Ok(false),
        }
    }

    /// Meets the key of the cache this node boots from. It is as good as pinned where it is, so a disk that
    /// does not take the pin is no reason not to serve: it is tried again at the next start.
    pub fn meet_in_cache(&self, shown: PublicKey) -> Result<(), TrustError> {
        match self.meet(shown) {
            Err(error @ TrustError::Io { .. }) => {
                warn!("the key of the cached revision cannot be pinned: {}", chain(&error));
                self.key.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(shown);
                Ok(())
            }
            met => met.map(drop),
        }
    }

    /// Whether the trusted key vouches for the revision with this id.
    pub fn verify(&self, id: &RevisionId, signature: Option<&Signature>) -> Result<(), TrustError> {
        let trusted = self.key().ok_or(TrustError::NoKey(*id))?;
        let signature = signature.ok_or(TrustError::Unsigned(*id))?;
        if !verify(&trusted, id, signature) {
            return Err(TrustError::BadSignature { id: *id, trusted });
        }
        Ok(())
    }

    /// [`Self::verify`] for a revision at hand, such as the one a cache held at boot.
    pub fn verify_revision(&self, revision: &Revision) -> Result<(), TrustError> {
        self.verify(&revision.id, revision.signature.as_ref())
    }
}

/// Whether `key` signed the revision with this id.
pub fn verify(key: &PublicKey, id: &RevisionId, signature: &Signature) -> bool {
    key.verifies(&id.signed_bytes(), signature.as_bytes())
}

fn read_pin(path: &Path) -> Result<Option<PublicKey>, TrustError> {
    match plain::read(path, MOST) {
        Ok(bytes) => {
            let key = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
            key.map(Some).ok_or_else(|| TrustError::Malformed { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TrustError::Io { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use model::encode::ContentHash;

    use super::*;
    use crate::ed25519::SigningKey;

    fn key() -> SigningKey {
        SigningKey::generate().expect("generates")
    }

    fn id(version: u64) -> RevisionId {
        RevisionId { epoch: 1, version, hash: ContentHash::from_bytes([9; 16]) }
    }

    #[test]
    fn the_first_key_is_pinned_and_no_other_believed() {
        let prefix = tempfile::tempdir().expect("has a place");
        let (first, second) = (key().public(), key().public());

        let trust = Trust::load(prefix.path(), None).expect("loads");
        assert_eq!(trust.key(), None);
        assert!(trust.meet(first).expect("is pinned"));
        assert!(!trust.meet(first).expect("is known"));
        assert!(matches!(trust.meet(second), Err(TrustError::OtherKey { .. })));

        let again = Trust::load(prefix.path(), None).expect("loads");
        assert_eq!(again.key(), Some(first));
        assert!(matches!(again.meet(second), Err(TrustError::OtherKey { .. })));
    }

    #[test]
    fn a_disk_that_takes_no_pin_keeps_no_node_from_its_cache() {
        let prefix = tempfile::tempdir().expect("has a place");
        let (cached, other) = (key().public(), key().public());
        let trust = Trust::load(&prefix.path().join("gone"), None).expect("loads");
        fs::write(prefix.path().join("gone"), "no directory").expect("writes");
        assert!(matches!(trust.meet(cached), Err(TrustError::Io { .. })));
        assert_eq!(trust.key(), None, "what a link shows is pinned first");
        trust.meet_in_cache(cached).expect("is believed");
        assert_eq!(trust.key(), Some(cached));
        assert!(matches!(trust.meet(other), Err(TrustError::OtherKey { .. })));
    }

    #[test]
    fn a_pin_that_is_no_plain_file_is_an_error_at_once() {
        let prefix = tempfile::tempdir().expect("has a place");
        std::os::unix::fs::symlink("/dev/zero", prefix.path().join(FILE)).expect("links");
        let error = Trust::load(prefix.path(), None).expect_err("is not read");
        assert!(matches!(error, TrustError::Io { .. }), "{error}");
    }

    #[test]
    fn a_given_key_needs_no_pin() {
        let prefix = tempfile::tempdir().expect("has a place");
        let (given, other) = (key().public(), key().public());
        let trust = Trust::load(prefix.path(), Some(given)).expect("loads");
        assert_eq!(trust.key(), Some(given));
        assert!(matches!(trust.meet(other), Err(TrustError::OtherKey { .. })));
    }

    #[test]
    fn only_the_trusted_keys_signature_counts() {
        let prefix = tempfile::tempdir().expect("has a place");
        let (ours, theirs) = (key(), key());
        let sign = |key: &SigningKey| {
            Signature::from_bytes(key.sign(&id(5).signed_bytes()).expect("signs"))
        };

        let trust = Trust::load(prefix.path(), None).expect("loads");
        assert!(matches!(trust.verify(&id(5), Some(&sign(&ours))), Err(TrustError::NoKey(_))));
        trust.meet(ours.public()).expect("is pinned");
        trust.verify(&id(5), Some(&sign(&ours))).expect("is believed");
        assert!(matches!(
            trust.verify(&id(6), Some(&sign(&ours))),
            Err(TrustError::BadSignature { .. })
        ));
        assert!(matches!(
            trust.verify(&id(5), Some(&sign(&theirs))),
            Err(TrustError::BadSignature { .. })
        ));
        assert!(matches!(trust.verify(&id(5), None), Err(TrustError::Unsigned(_))));
    }
}
