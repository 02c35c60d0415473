//! What a data plane starts from: its cache, else its declarative file, else nothing.
//!
//! A revision from the cache is verified like one from the link. One that its signer's key does not
//! vouch for is set aside, and the node goes on as if there were none.

use std::sync::Arc;

use anyhow::Context;
use cluster::cache::{self, Cache};
use cluster::client::Keep;
use cluster::trust::Trust;
use model::{Config, Revision, RevisionId};

use crate::options::{ClusterClient, Declarative, Options};

/// Where a data plane stands before it has met its control plane.
pub(super) struct Initial {
    /// Whom it believes.
    pub(super) trust: Arc<Trust>,
    /// What it serves.
    pub(super) revision: Arc<Revision>,
    /// Where it keeps what it is sent.
    pub(super) keep: Arc<dyn Keep>,
    /// What was wrong with each generation of the cache that is in quarantine now.
    pub(super) set_aside: Vec<String>,
}

/// Decides what to start from.
pub(super) fn initial(
    options: &Options,
    cluster: &ClusterClient,
    fallback: Option<&Declarative>,
) -> anyhow::Result<Initial> {
    let trust = Arc::new(Trust::load(&options.prefix, cluster.trust)?);
    let (keep, loaded): (Arc<dyn Keep>, _) = match &cluster.cache {
        Some(dir) => {
            let options = cache::Options {
                dir: dir.clone(),
                trust: Arc::clone(&trust),
                limits: cache::Limits::default(),
            };
            let (cache, loaded) = Cache::open(options)?;
            let loaded = cache.verify(loaded)?;
            (Arc::new(cache), loaded)
        }
        None => (Arc::new(cache::Off), cache::Loaded::default()),
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
    let set_aside = loaded.set_aside.into_iter().map(|damage| damage.cause).collect();
    Ok(Initial { trust, revision, keep, set_aside })
}

/// A revision that any control plane's replaces: it is of no epoch.
fn revision_of(document: &Declarative) -> anyhow::Result<Arc<Revision>> {
    let Declarative { name, config } = document;
    let config = config.clone().map_err(anyhow::Error::msg).with_context(|| name.clone())?;
    tracing::info!("starting from {name}: {} entities", config.len());
    let id = RevisionId { epoch: 0, version: 1, hash: config.hash() };
    Ok(Arc::new(Revision { id, signature: None, config: Config::clone(&config) }))
}
