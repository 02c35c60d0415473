//! Who a data plane is: a key it made itself, and an id derived from that key.
//!
//! The key never leaves `<prefix>/node.key`, outside the cache directory, so a
//! copied cache does not copy an identity. Each hello proves the key by signing
//! bytes that only the two ends of that TLS connection know; a proof cannot be
//! replayed on another connection, nor an id taken over by another node.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use boring::error::ErrorStack;
use uuid::Uuid;

use crate::ed25519::{PublicKey, SigningKey};
use crate::plain;

/// Separates these hashes and signatures from every other use of the key.
const DOMAIN: &[u8; 14] = b"gateway-node-1";

const FILE: &str = "node.key";

/// More than a key has, so that a file of another length is told from one that cannot be read.
const MOST: u64 = 4096;

/// This node's key and id.
#[derive(Debug)]
pub struct Identity {
    key: SigningKey,
    id: Uuid,
}

/// Why this node has no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The key file cannot be read or made.
    #[error("cannot use the node key {path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },

    /// The file holds something else. It is not replaced: that would change the node's id.
    #[error("{path} is not a node key; remove it to let this node take a new identity", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },

    /// BoringSSL could not make or use the key.
    #[error("the node key cannot be used")]
    Key(#[from] ErrorStack),
}

impl Identity {
    /// The identity kept under `prefix`; made at the first call.
    pub fn load_or_create(prefix: &Path) -> Result<Self, IdentityError> {
        let path = prefix.join(FILE);
        let at = |source| IdentityError::Io { path: path.clone(), source };
        match plain::read(&path, MOST) {
            Ok(bytes) => {
                warn_if_readable(&path);
                let seed = bytes
                    .try_into()
                    .map_err(|_| IdentityError::Malformed { path: path.clone() })?;
                Ok(Self::of(SigningKey::from_seed(&seed)?))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = SigningKey::generate()?;
                match create_once(&path, &key.seed()?, 0o600) {
                    Ok(()) => Ok(Self::of(key)),
                    // Another process of this node was faster; its key is the node's.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        Self::load_or_create(prefix)
                    }
                    Err(error) => Err(at(error)),
                }
            }
            Err(error) => Err(at(error)),
        }
    }

    /// The identity of this key.
    pub fn of(key: SigningKey) -> Self {
        let id = node_id(&key.public());
        Self { key, id }
    }

    /// The node's id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The public half, as shown in the hello.
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Proves the key on the connection with this binding (see [`crate::tls::channel_binding`]).
    pub fn prove(&self, binding: &[u8; 32]) -> Result<[u8; 64], ErrorStack> {
        self.key.sign(&proof_message(binding))
    }
}

/// The id of the node that holds this key: a version 8 UUID of the first 16 bytes of
/// BLAKE3(`gateway-node-1` ‖ key).
pub fn node_id(key: &PublicKey) -> Uuid {
    let hash = blake3::Hasher::new().update(DOMAIN).update(key.as_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    Uuid::new_v8(bytes)
}

/// Whether `proof` shows that the peer of the connection with this binding holds `key`.
pub fn proves(key: &PublicKey, binding: &[u8; 32], proof: &[u8; 64]) -> bool {
    key.verifies(&proof_message(binding), proof)
}

fn proof_message(binding: &[u8; 32]) -> Vec<u8> {
    [&DOMAIN[..], binding].concat()
}

fn warn_if_readable(path: &Path) {
    if let Ok(meta) = fs::metadata(path)
        && meta.mode() & 0o077 != 0
    {
        tracing::warn!(
            "{} can be read by others (mode {:o}); it should be 600",
            path.display(),
            meta.mode() & 0o777
        );
    }
}

/// Writes a file that appears whole or not at all, and never replaces one.
pub(crate) fn create_once(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", Uuid::new_v4().simple()));
    let draft = PathBuf::from(draft);

    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // Unlike rename, a link fails if the name is taken.
        fs::hard_link(&draft, path)
    };
    let written = write();
    let _ = fs::remove_file(&draft); // absent if it could not be created
    written?;
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_kept_private() {
        let prefix = tempfile::tempdir().expect("has a place");
        let made = Identity::load_or_create(prefix.path()).expect("is made");
        let read = Identity::load_or_create(prefix.path()).expect("is read");
        assert_eq!(made.id(), read.id());
        assert_eq!(made.id().get_version_num(), 8);

        let names: Vec<_> =
            fs::read_dir(prefix.path()).expect("lists").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, ["node.key"], "no draft is left behind");
        let mode = fs::metadata(prefix.path().join(FILE)).expect("exists").mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_broken_key_file_is_reported_not_replaced() {
        let prefix = tempfile::tempdir().expect("has a place");
        fs::write(prefix.path().join(FILE), b"short").expect("writes");
        assert!(matches!(
            Identity::load_or_create(prefix.path()),
            Err(IdentityError::Malformed { .. })
        ));
        assert_eq!(fs::read(prefix.path().join(FILE)).expect("reads"), b"short");
    }

    #[test]
    fn a_proof_holds_on_one_connection_for_one_key() {
        let node = Identity::of(SigningKey::generate().expect("generates"));
        let other = Identity::of(SigningKey::generate().expect("generates"));
        let proof = node.prove(&[1; 32]).expect("signs");
        assert!(proves(&node.public(), &[1; 32], &proof));
        assert!(!proves(&node.public(), &[2; 32], &proof));
        assert!(!proves(&other.public(), &[1; 32], &proof));
    }

    /// Pinned: ids in dashboards and databases depend on it.
    #[test]
    fn id_of_a_known_key() {
        let key = SigningKey::from_seed(&[7; 32]).expect("is a seed");
        assert_eq!(node_id(&key.public()).to_string(), "e2186abe-16e1-8f0a-8c7e-5b9c19fcdde8");
    }

    #[test]
    fn what_is_no_plain_file_is_an_error_at_once() {
        let prefix = tempfile::tempdir().expect("has a place");
        std::os::unix::fs::symlink("/dev/zero", prefix.path().join(FILE)).expect("links");
        let error = Identity::load_or_create(prefix.path()).expect_err("is not read");
        let IdentityError::Io { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.to_string(), "it is not a plain file");
    }
}
