//! What a data plane starts from: its cache, else its declarative file, else nothing.
//!
//! A revision from the cache is verified like one from the link. One that its signer's key does not
//! vouch for is set aside, and the node goes on as if there were none.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use cluster::cache::{self, Aside, Cache, CacheError};
use cluster::client::Keep;
use cluster::trust::Trust;
use model::{Revision, RevisionId, severity};

use crate::options::{ClusterClient, Declarative, Options};

/// Where a data plane stands before it has met its control plane.
pub(super) struct Initial {
    /// Whom it believes.
    pub(super) trust: Arc<Trust>,
    /// What it serves.
    pub(super) revision: Arc<Revision>,
    /// Where it keeps what it is sent.
    pub(super) keep: Arc<dyn Keep>,
    /// What was wrong with each damaged generation of the cache, and will be.
    pub(super) set_aside: Aside,
}

/// Decides what to start from.
pub(super) fn initial(
    options: &Options,
    cluster: &ClusterClient,
    fallback: Option<&Declarative>,
) -> anyhow::Result<Initial> {
    let trust = Arc::new(Trust::load(&options.prefix, cluster.trust)?);
    let (keep, loaded, set_aside): (Arc<dyn Keep>, _, _) = match &cluster.cache {
        Some(dir) => cached(cache::Options {
            dir: dir.clone(),
            trust: Arc::clone(&trust),
            limits: cache::Limits::default(),
        })?,
        None => (Arc::new(cache::Off), cache::Loaded::default(), Aside::default()),
    };
    let revision = match (loaded.revision, fallback) {
        (Some(revision), _) => {
            tracing::info!("starting from the configuration cache: revision {}", revision.id);
            revision
        }
        (None, Some(fallback)) => revision_of(fallback)?,
        (None, None) => {
            tracing::info!(
                "starting without a configuration: nothing is cached and declarative_config is not set"
            );
            Revision::empty()
        }
    };
    Ok(Initial { trust, revision, keep, set_aside })
}

/// The cache and what it holds. One that a full disk keeps from being made keeps no node from starting.
fn cached(options: cache::Options) -> anyhow::Result<(Arc<dyn Keep>, cache::Loaded, Aside)> {
    match Cache::open(options.clone()) {
        Ok((cache, loaded)) => {
            let loaded = cache.verify(loaded)?;
            let set_aside = cache.aside();
            Ok((Arc::new(cache), loaded, set_aside))
        }
        Err(CacheError::Io { source, path, action }) if is_full(&source) => {
            tracing::error!(
                name: severity::CRIT,
                "configuration cache: cannot {action} {}: {source}; it is tried again with the next revision",
                path.display()
            );
            Ok((Arc::new(Unmade::of(options)), cache::Loaded::default(), Aside::default()))
        }
        Err(error) => Err(error.into()),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A cache for which there was no room yet.
struct Unmade {
    options: cache::Options,
    made: Mutex<Option<Cache>>,
}

impl Unmade {
    fn of(options: cache::Options) -> Self {
        Self { options, made: Mutex::default() }
    }
}

impl Keep for Unmade {
    fn keep(&self, revision: &Arc<Revision>) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cache) = &*made {
            return cache.keep(revision);
        }
        let (cache, loaded) = Cache::open(self.options.clone())?;
        cache.verify(loaded)?;
        made.insert(cache).keep(revision)
    }

    fn still_keeps(&self) -> bool {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.as_ref().is_none_or(Cache::still_keeps)
    }
}

/// A revision that any control plane's replaces: it is of no epoch.
fn revision_of(document: &Declarative) -> anyhow::Result<Arc<Revision>> {
    let Declarative { name, document } = document;
    let document = document.as_ref().map_err(|error| anyhow::anyhow!("{error}"));
    let config = document.with_context(|| name.clone())?.config().clone();
    tracing::info!("starting from {name}: {} entities", config.len());
    let id = RevisionId { epoch: 0, version: 1, hash: config.hash() };
    Ok(Arc::new(Revision { id, signature: None, config }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_had_no_room_is_made_once_there_is_some() {
        let dir = tempfile::tempdir().unwrap();
        let trust = Arc::new(Trust::load(dir.path(), None).unwrap());
        let path = dir.path().join("cache");
        let options = cache::Options { dir: path.clone(), trust, limits: cache::Limits::default() };
        let unmade = Unmade::of(options);
        std::fs::write(&path, "in its place").unwrap();
        unmade.keep(&Revision::empty()).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        unmade.keep(&Revision::empty()).unwrap();
        assert!(path.is_dir());
        unmade.keep(&Revision::empty()).unwrap();
    }
}
