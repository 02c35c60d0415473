//! What each role says of itself on the status listener, in Kong's shape.

use std::sync::Arc;

use engine::{Meter, Stats};
use model::Revision;
use model::encode::ContentHash;
use model::vitals::{Verdict, Vitals};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::status;

/// A data plane.
pub(super) struct DataPlane {
    id: Uuid,
    meter: Meter,
    verdicts: watch::Receiver<Verdict>,
    link: watch::Receiver<Option<String>>,
    sync: watch::Receiver<cluster::client::Status>,
}

impl DataPlane {
    /// The node whose engine and link these are.
    pub(super) fn new(client: &cluster::Client, engine: &engine::Handle) -> Self {
        let (link, sync) = (client.link(), client.status());
        Self { id: client.id(), meter: engine.meter(), verdicts: engine.verdicts(), link, sync }
    }
}

impl status::Node for DataPlane {
    fn status(&self) -> Value {
        let sync = self.sync.borrow();
        let mut status = traffic(&self.meter.stats());
        status["node_id"] = self.id.to_string().into();
        status["configuration_hash"] = served(&self.verdicts).to_string().into();
        status["configuration"] = json!({
            "effective": self.verdicts.borrow().effective,
            "cached": sync.serving.cached,
            "refused": sync.refused,
        });
        status["control_plane"] = json!(*self.link.borrow());
        status
    }

    fn ready(&self) -> Result<(), String> {
        configured(&self.verdicts)
    }
}

/// Both planes in one process.
pub(super) struct Traditional {
    meter: Meter,
    verdicts: watch::Receiver<Verdict>,
    revisions: watch::Receiver<Arc<Revision>>,
}

impl Traditional {
    /// The node whose store and engine these are.
    pub(super) fn new(revisions: watch::Receiver<Arc<Revision>>, engine: &engine::Handle) -> Self {
        Self { meter: engine.meter(), verdicts: engine.verdicts(), revisions }
    }
}

impl status::Node for Traditional {
    fn status(&self) -> Value {
        let mut status = traffic(&self.meter.stats());
        status["configuration_hash"] = served(&self.verdicts).to_string().into();
        status["database"] = database(&self.revisions);
        status
    }

    /// An empty configuration is one, where its owner is in the same process.
    fn ready(&self) -> Result<(), String> {
        reachable(&self.revisions)?;
        match &*self.verdicts.borrow() {
            Verdict { effective: Some(_), .. } => Ok(()),
            _ => Err("no configuration available (the first is not being served yet)".to_owned()),
        }
    }
}

/// A control plane.
pub(super) struct ControlPlane {
    revisions: watch::Receiver<Arc<Revision>>,
    vitals: Arc<dyn Vitals>,
}

impl ControlPlane {
    /// The node whose store and data planes these are.
    pub(super) fn new(revisions: watch::Receiver<Arc<Revision>>, vitals: Arc<dyn Vitals>) -> Self {
        Self { revisions, vitals }
    }
}

impl status::Node for ControlPlane {
    fn status(&self) -> Value {
        json!({
            "database": database(&self.revisions),
            "configuration_hash": self.revisions.borrow().id.hash,
            "data_planes": self.vitals.data_planes().len(),
            "server": server(&Stats::default()),
            "memory": memory(),
        })
    }

    fn ready(&self) -> Result<(), String> {
        reachable(&self.revisions)
    }
}

/// The hash of what the workers serve; zeros before the first revision.
fn served(verdicts: &watch::Receiver<Verdict>) -> ContentHash {
    verdicts.borrow().effective.map_or(ContentHash::EMPTY, |id| id.hash)
}

/// Ready once something is configured: an empty data plane would answer every request with 404.
fn configured(verdicts: &watch::Receiver<Verdict>) -> Result<(), String> {
    let reason = match verdicts.borrow().effective {
        None => "configuration hash is not initialized",
        Some(id) if id.hash == ContentHash::EMPTY => "empty configuration present",
        Some(_) => return Ok(()),
    };
    Err(format!("no configuration available ({reason})"))
}

/// The store publishes for as long as it lives.
fn reachable(revisions: &watch::Receiver<Arc<Revision>>) -> Result<(), String> {
    match revisions.has_changed() {
        Ok(_) => Ok(()),
        Err(_) => Err("failed to connect to database".to_owned()),
    }
}

fn database(revisions: &watch::Receiver<Arc<Revision>>) -> Value {
    json!({ "reachable": reachable(revisions).is_ok() })
}

fn traffic(stats: &Stats) -> Value {
    let workers = stats.workers.iter().enumerate().map(|(worker, stats)| {
        json!({
            "worker": worker,
            "core": stats.core,
            "connections_accepted": stats.accepted,
            "connections_active": stats.open,
            "connections_given": stats.given,
            "total_requests": stats.requests,
            "panics": stats.panics,
        })
    });
    json!({
        "server": server(stats),
        "memory": memory(),
        "workers": workers.collect::<Vec<_>>(),
        "access_log_dropped": stats.access_log_dropped,
    })
}

/// nginx's counters. A connection that is open is counted as waiting: what it is doing is its
/// worker's business.
fn server(stats: &Stats) -> Value {
    json!({
        "connections_accepted": stats.accepted(),
        "connections_handled": stats.accepted(),
        "connections_active": stats.open(),
        "connections_reading": 0,
        "connections_writing": 0,
        "connections_waiting": stats.open(),
        "total_requests": stats.requests(),
    })
}

/// Kong's shape; there is no Lua here, and no memory shared between processes.
fn memory() -> Value {
    json!({ "workers_lua_vms": [], "lua_shared_dicts": {} })
}
