//! The configuration cache: what a data plane serves after a restart, its
//! control plane dead or alive.
//!
//! A *generation* is a sealed LMDB base, written once, and a log of the steps
//! since. There are two, and every step goes into the logs of both, so that each
//! leads to the newest revision by itself. A file is believed only after its seal
//! has been checked, because a damaged LMDB file, once mapped, can kill the process.
//! Nothing is repaired in place: what is damaged is written anew and set aside.
//! [`Cache::open`] reads, [`Keep::keep`] appends, `recover` decides between
//! generations.
//!
//! What damage to one file loses, the control plane being dead:
//!
//! | damaged | lost |
//! |---|---|
//! | any file of the current generation | nothing: the older one leads to the same revision |
//! | any file of the older generation | nothing: it is not needed. Found out after the start |
//! | with one generation: base or seal, the log starting from the empty configuration | nothing: the log is enough |
//! | with one generation: base or seal, the log starting from anything else | everything |
//! | with one generation: the log | what came after the damage |
//!
//! What others remove or replace while it is in use is noticed within a second ([`Keep::still_keeps`]) and
//! written anew. What others write into it is found out by the next start.
//!
//! There is one generation only until the second has been written, in the background: for a moment after
//! the first revision, after the other one was set aside, and after a step too long for a log; for longer
//! if the disk is full.
//!
//! The current log is synced before a step counts, the older one when the kernel likes to. So a power cut
//! may leave the older log behind, which is made up for after the start, and either log with a last frame
//! that stops short. That is *ordinary*, and only cut off (its bytes are kept in the quarantine), unless
//! the other log goes further: then a step that counted is missing, and the generation is set aside as
//! damaged. With one generation nothing can tell a torn last append from a log that was cut in a frame, and
//! it is taken for the former.

mod store; // what is held, and what becomes of the next revision
mod tend; // what can wait: reading the older generation, writing the next one
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
use tend::Tender;

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
    /// What was damaged; already logged. What is found out later is in [`Aside`].
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

/// What was wrong with each generation that was condemned since the cache was opened, be it aside already
/// or not. Clones are of the same list.
#[derive(Clone, Debug, Default)]
pub struct Aside(Arc<Mutex<Vec<(u64, String)>>>);

impl Aside {
    /// The causes, in the order in which they were found.
    pub fn causes(&self) -> Vec<String> {
        locked(&self.0).iter().map(|(_, cause)| cause.clone()).collect()
    }

    fn add(&self, number: u64, cause: &str) {
        let (entry, mut list) = ((number, cause.to_owned()), locked(&self.0));
        if !list.contains(&entry) {
            list.push(entry);
        }
    }
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

/// A cache, held open by this process alone. When it is dropped, what was begun in the background is
/// finished first.
///
/// Open it after detaching from the terminal: the lock belongs to the process.
#[derive(Debug)]
pub struct Cache {
    // Before the store: its thread has a hold on that.
    tender: Tender,
    trust: Arc<Trust>,
    store: Arc<Mutex<Store>>,
    aside: Aside,
}

impl Cache {
    /// Opens the cache and reads what it holds. Damage is no error: what can be had is returned, the rest
    /// is set aside and logged.
    pub fn open(options: Options) -> Result<(Self, Loaded), CacheError> {
        let Options { dir, trust, limits } = options;
        let aside = Aside::default();
        let (store, loaded) = Store::open(dir.clone(), limits, aside.clone())?;
        let store = Arc::new(Mutex::new(store));
        let tender = Tender::start(Arc::clone(&store))
            .map_err(CacheError::io("start the thread that tends", &dir))?;
        Ok((Self { tender, trust, store, aside }, loaded))
    }

    /// Asks whether the trusted key vouches for what was loaded; if not, loads the newest revision it
    /// vouches for and sets the rest aside. A node that has met no control plane pins the key of the
    /// cache, provided that the cache's revision bears that key's signature.
    ///
    /// Afterwards, in the background, what was not needed for the start is read, too.
    pub fn verify(&self, mut loaded: Loaded) -> Result<Loaded, VerifyError> {
        if let Some(revision) = &loaded.revision
            && self.vouch(loaded.trust, revision).is_err()
        {
            let judge = |shown, revision: &Revision| self.vouch(shown, revision);
            let mut next = locked(&self.store).load(Some(&judge))?;
            next.set_aside.splice(0..0, loaded.set_aside);
            loaded = next;
        }
        if let (None, Some(shown), Some(_)) = (self.trust.key(), loaded.trust, &loaded.revision) {
            self.trust.meet_in_cache(shown)?;
            info!("configuration cache: trusting {shown}, the key of the cached revision");
        }
        self.tender.wake();
        Ok(loaded)
    }

    /// Whether this node would believe a revision of a generation that shows this key.
    fn vouch(&self, shown: Option<PublicKey>, revision: &Revision) -> Result<(), TrustError> {
        match (self.trust.key(), shown, &revision.signature) {
            (None, Some(shown), Some(signature)) if verify(&shown, &revision.id, signature) => {
                Ok(())
            }
            _ => self.trust.verify_revision(revision),
        }
    }

    fn tend(&self, store: &Store) {
        if store.is_due() {
            self.tender.wake();
        }
    }

    /// What has been condemned, now and later on.
    pub fn aside(&self) -> Aside {
        self.aside.clone()
    }

    /// Waits until there is nothing to do in the background: for whoever is about to look at the files.
    pub fn settle(&self) {
        self.tender.settle();
    }
}

/// A panic half-way leaves at worst a log whose end is checked before the next frame.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keep for Cache {
    fn keep(&self, revision: &Arc<Revision>) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut store = locked(&self.store);
        store.keep(revision, self.trust.key())?;
        self.tend(&store);
        Ok(())
    }

    fn still_keeps(&self) -> bool {
        let mut store = locked(&self.store);
        let is_in_place = store.is_in_place();
        self.tend(&store); // what is gone may be the older generation
        is_in_place
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
