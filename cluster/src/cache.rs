//! The configuration cache: what a data plane serves after a restart, its
//! control plane dead or alive.
//!
//! A *generation* is a sealed LMDB base, written once, and a log of the steps
//! since; the newest two are kept. A file is believed only after its seal has
//! been checked, because a damaged LMDB file, once mapped, can kill the process.
//! Nothing is repaired in place: what is damaged is written anew and set aside.
//! [`Cache::open`] reads, [`Keep::keep`] appends, `recover` decides between
//! generations.

mod store; // what is held, and what becomes of the next revision
mod recover; // the newest revision that can be had
mod base; // a whole revision, as an LMDB environment
mod seal; // by which a base is believed
mod log; // the steps since
mod files; // names, locks, directories made durable
mod quarantine; // where damaged generations go

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Revision;
use tracing::info;

use crate::client::Keep;
use crate::ed25519::PublicKey;
use crate::trust::{Trust, TrustError, verify};
use store::Store;

/// Where the cache is, and how it is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cache's directory, such as `<prefix>/dbless.lmdb`. Made, with its parents, if it is not there;
    /// closed to everybody else.
    pub dir: PathBuf,
    /// Whose key a base carries, so that a node that boots from a copy can pin it.
    pub trust: Arc<Trust>,
    /// When a log is long enough.
    pub limits: Limits,
}

/// How long a log may become before the next base is written.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Steps; 1,000 by default.
    pub frames: u64,
    /// Bytes; 16 MiB by default.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frames: 1000, bytes: 16 << 20 }
    }
}

/// What a cache held.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The newest revision that could be read whole. Its content has been checked against its hash, its
    /// signature has not: see [`Cache::verify`].
    pub revision: Option<Arc<Revision>>,
    /// The key of the control plane it came from.
    pub trust: Option<PublicKey>,
    /// What was damaged; already logged.
    pub set_aside: Vec<SetAside>,
}

/// A generation that could not be used.
#[derive(Clone, Debug)]
pub struct SetAside {
    /// What was wrong with it.
    pub cause: String,
    /// Where it is now; none if it could not be moved yet.
    pub path: Option<PathBuf>,
}

/// Why the cache cannot be opened, or a revision not be written.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Another process has it open.
    #[error(
        "the configuration cache {dir} is in use by {by}; data planes on one machine need a prefix each",
        dir = dir.display(),
        by = by.map_or("another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The cache's directory.
        dir: PathBuf,
        /// The process, if it could be told.
        by: Option<u32>,
    },

    /// A file or directory cannot be used.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried, such as `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },

    /// LMDB cannot write a base.
    #[error("cannot write {path}", path = path.display())]
    Lmdb {
        /// The base.
        path: PathBuf,
        /// Why.
        #[source]
        source: lmdb::Error,
    },
}

impl CacheError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// A cache, held open by this process alone.
///
/// Open it after detaching from the terminal: the lock belongs to the process.
#[derive(Debug)]
pub struct Cache {
    trust: Arc<Trust>,
    store: Mutex<Store>,
}

impl Cache {
    /// Opens the cache and reads what it holds. Damage is no error: what can be had is returned, the rest
    /// is set aside and logged.
    pub fn open(options: Options) -> Result<(Self, Loaded), CacheError> {
        let Options { dir, trust, limits } = options;
        let (store, loaded) = Store::open(dir, limits)?;
        Ok((Self { trust, store: Mutex::new(store) }, loaded))
    }

    /// Asks whether the trusted key vouches for what was loaded; if not, sets it aside and asks again of
    /// what remains. A node that has met no control plane pins the key of the cache, provided that the
    /// cache's revision bears that key's signature.
    pub fn verify(&self, mut loaded: Loaded) -> Result<Loaded, VerifyError> {
        while let Some(revision) = &loaded.revision {
            if let (None, Some(shown), Some(signature)) =
                (self.trust.key(), loaded.trust, &revision.signature)
                && verify(&shown, &revision.id, signature)
            {
                self.trust.meet(shown)?;
                info!("configuration cache: trusting {shown}, the key of the cached revision");
            }
            let Err(cause) = self.trust.verify_revision(revision) else { break };
            let mut next = self.reject(&cause)?;
            next.set_aside.splice(0..0, loaded.set_aside);
            loaded = next;
        }
        Ok(loaded)
    }

    /// Sets aside what was loaded last, for a reason only the caller could know, and loads what remains:
    /// an older generation or nothing.
    pub fn reject(&self, cause: &dyn Error) -> Result<Loaded, CacheError> {
        self.store().reject(cause)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // A panic half-way leaves at worst a log whose end is checked before the next frame.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keep for Cache {
    fn keep(&self, revision: &Arc<Revision>) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(self.store().keep(revision, self.trust.key())?)
    }
}

/// Why it is not known whether what was loaded can be believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The cache's key cannot be pinned.
    #[error(transparent)]
    Trust(#[from] TrustError),

    /// What is not believed cannot be told from what remains.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// No cache: `data_plane_config_cache_mode = off`. Nothing is read or written, and revisions are reported
/// as not cached.
#[derive(Clone, Copy, Debug)]
pub struct Off;

impl Keep for Off {
    fn keeps(&self) -> bool {
        false
    }

    fn keep(&self, _: &Arc<Revision>) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}
