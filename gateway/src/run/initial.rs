//! What a data plane starts from: its cache, else its declarative file, else nothing.
//!
//! A revision from the cache is verified like one from the link. One that its signer's key does not
//! vouch for is set aside, and the node goes on as if there were none.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use cluster::cache::{self, Cache};
use cluster::client::Keep;
use cluster::trust::Trust;
use model::{Revision, RevisionId, declarative};

use crate::bounded;
use crate::options::{Admin, ClusterClient, Database, Declarative, Options, Role};

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
        (None, Some(fallback)) => read(fallback)?,
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

/// The text of a document.
pub(super) fn text(document: &Declarative) -> anyhow::Result<String> {
    match document {
        Declarative::File(path) => bounded::read(path, bounded::DOCUMENT)
            .with_context(|| format!("declarative_config: {}", path.display())),
        Declarative::Text(text) => Ok(text.clone()),
    }
}

/// Whether a node with these options could start with its document, where it has one.
pub(super) fn check(options: &Options) -> anyhow::Result<()> {
    let document = match &options.role {
        Role::Traditional { admin: Admin { database: Database::Off(document), .. }, .. } => {
            document
        }
        Role::DataPlane { fallback, .. } => fallback,
        _ => return Ok(()),
    };
    let Some(document) = document else { return Ok(()) };
    declarative::parse(&text(document)?, SystemTime::now().into())
        .and_then(|document| document.judged(&*engine::judge()))
        .with_context(|| document.to_string())?;
    Ok(())
}

/// A revision that any control plane's replaces: it is of no epoch.
fn read(document: &Declarative) -> anyhow::Result<Arc<Revision>> {
    let (text, name) = (text(document)?, document.to_string());
    let document = declarative::parse(&text, SystemTime::now().into());
    let config = document.with_context(|| name.clone())?.config;
    tracing::info!("starting from {name}: {} entities", config.len());
    let id = RevisionId { epoch: 0, version: 1, hash: config.hash() };
    Ok(Arc::new(Revision { id, signature: None, config }))
}
