//! What each role says of itself on the status listener, in Kong's shape.

use std::sync::{Arc, OnceLock};

use cluster::cache::Aside;
use engine::snapshot::Held;
use engine::{Meter, Stats, StreamStats};
use model::Revision;
use model::encode::ContentHash;
use model::vitals::{Verdict, Vitals};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::status;

/// What Kong says of a node without its database.
const UNREACHABLE: &str = "failed to connect to database";

/// A node that is not there yet: it waits for its database, or compiles what it found there.
#[derive(Default)]
pub(super) struct Rising(OnceLock<Box<dyn status::Node>>);

impl Rising {
    /// From now on it is this one.
    pub(super) fn become_node(&self, node: impl status::Node + 'static) {
        let _ = self.0.set(Box::new(node)); // it becomes one but once
    }
}

impl status::Node for Rising {
    fn status(&self) -> Value {
        match self.0.get() {
            Some(node) => node.status(),
            None => json!({ "database": { "reachable": false } }),
        }
    }

    fn ready(&self) -> Result<(), String> {
        match self.0.get() {
            Some(node) => node.ready(),
            None => Err(UNREACHABLE.to_owned()),
        }
    }
}

/// A data plane.
pub(super) struct DataPlane {
    id: Uuid,
    meter: Meter,
    verdicts: watch::Receiver<Verdict>,
    link: watch::Receiver<Option<String>>,
    sync: watch::Receiver<cluster::client::Status>,
    set_aside: Aside,
}

impl DataPlane {
    /// The node whose engine and link these are; `set_aside` says what was wrong with its cache.
    pub(super) fn new(client: &cluster::Client, engine: &engine::Handle, set_aside: Aside) -> Self {
        let (link, sync) = (client.link(), client.status());
        let (meter, verdicts) = (engine.meter(), engine.verdicts());
        Self { id: client.id(), meter, verdicts, link, sync, set_aside }
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
            "caches_set_aside": self.set_aside.causes(),
        });
        status["control_plane"] = json!(*self.link.borrow());
        status
    }

    fn ready(&self) -> Result<(), String> {
        configured(&self.verdicts)
    }
}

/// What operators should be told about the Admin API.
type Warnings = Box<dyn Fn() -> Vec<String> + Send + Sync>;

/// Both planes in one process.
pub(super) struct Traditional {
    meter: Meter,
    verdicts: watch::Receiver<Verdict>,
    reachable: Option<watch::Receiver<bool>>,
    warnings: Warnings,
}

impl Traditional {
    /// The node whose engine and Admin API these are.
    pub(super) fn new(admin: &mut admin::Server, engine: &engine::Handle) -> Self {
        let (meter, verdicts) = (engine.meter(), engine.verdicts());
        let warnings = Box::new(admin.warnings());
        Self { meter, verdicts, reachable: admin.reachable(), warnings }
    }
}

impl status::Node for Traditional {
    fn status(&self) -> Value {
        let mut status = traffic(&self.meter.stats());
        status["configuration_hash"] = served(&self.verdicts).to_string().into();
        status["warnings"] = (self.warnings)().into();
        show_database(&mut status, self.reachable.as_ref());
        status
    }

    /// An empty configuration is one where a database has it; without a database somebody has yet to
    /// bring one.
    fn ready(&self) -> Result<(), String> {
        if self.reachable.is_none() {
            return configured(&self.verdicts);
        }
        reachable(self.reachable.as_ref())?;
        match &*self.verdicts.borrow() {
            Verdict { effective: Some(_), .. } => Ok(()),
            _ => Err("no configuration available (the first is not being served yet)".to_owned()),
        }
    }
}

/// A control plane.
pub(super) struct ControlPlane {
    revisions: watch::Receiver<Arc<Revision>>,
    reachable: Option<watch::Receiver<bool>>,
    vitals: Arc<dyn Vitals>,
    warnings: Warnings,
}

impl ControlPlane {
    /// The node whose store and data planes these are.
    pub(super) fn new(admin: &mut admin::Server, vitals: Arc<dyn Vitals>) -> Self {
        let warnings = Box::new(admin.warnings());
        Self { revisions: admin.revisions(), reachable: admin.reachable(), vitals, warnings }
    }
}

impl status::Node for ControlPlane {
    fn status(&self) -> Value {
        let mut status = json!({
            "configuration_hash": self.revisions.borrow().id.hash,
            "data_planes": self.vitals.count(),
            "warnings": (self.warnings)(),
            "server": server(&Stats::default()),
            "memory": memory(),
        });
        show_database(&mut status, self.reachable.as_ref());
        status
    }

    fn ready(&self) -> Result<(), String> {
        reachable(self.reachable.as_ref())
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

/// What is not there need not be reached.
fn reachable(database: Option<&watch::Receiver<bool>>) -> Result<(), String> {
    let reachable = database.is_none_or(|reachable| *reachable.borrow());
    reachable.then_some(()).ok_or_else(|| UNREACHABLE.to_owned())
}

fn show_database(status: &mut Value, database: Option<&watch::Receiver<bool>>) {
    if let Some(reachable) = database {
        status["database"] = json!({ "reachable": *reachable.borrow() });
    }
}

/// What the workers did.
fn traffic(stats: &Stats) -> Value {
    let workers = stats.workers.iter().enumerate().map(|(worker, stats)| {
        json!({
            "worker": worker,
            "core": stats.core,
            "connections_accepted": stats.accepted,
            "connections_active": stats.open,
            "connections_given": stats.given,
            "accepting_paused": stats.pauses,
            "proxy_headers_failed": stats.proxy_headers_failed,
            "total_requests": stats.requests,
            "requests_express": stats.express,
            "failures_unlogged": stats.failures_unlogged,
            "panics": stats.panics,
        })
    });
    json!({
        "server": server(stats),
        "memory": memory(),
        "io_backend": { "name": stats.io.name, "why": stats.io.why },
        "workers": workers.collect::<Vec<_>>(),
        "streams": stats.streams.iter().enumerate().map(streams).collect::<Vec<_>>(),
        "snapshots": snapshots(&stats.snapshots),
    })
}

/// What a thread of streams did.
fn streams((worker, stats): (usize, &StreamStats)) -> Value {
    json!({
        "worker": worker,
        "core": stats.core,
        "backend": stats.backend,
        "stuck": stats.stuck,
        "connections_accepted": stats.accepted,
        "connections_active": stats.open,
        "connections_given": stats.given,
        "accepting_paused": stats.pauses,
        "proxy_headers_failed": stats.proxy_headers_failed,
        "handshakes": stats.handshakes,
        "handshakes_failed": stats.handshakes_failed,
        "ended": stats.ended,
        "failed": stats.failed,
        "failures_unlogged": stats.failures_unlogged,
        "panics": stats.panics,
        "bytes_sent": stats.sent,
        "bytes_received": stats.received,
        "datagram_sessions": stats.sessions,
        "datagrams_dropped": stats.dropped,
    })
}

/// Configurations in memory: a request that goes on for long, such as a WebSocket, keeps the one it
/// began with.
fn snapshots(held: &Held) -> Value {
    let oldest = held.oldest.map(|oldest| {
        let seconds = oldest.since.elapsed().as_secs();
        json!({ "revision": oldest.revision, "replaced_seconds_ago": seconds })
    });
    json!({ "alive": held.count, "oldest_replaced": oldest })
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use engine::snapshot::Superseded;

    use super::*;

    #[test]
    fn what_old_requests_hold_is_shown() {
        let revision = Revision::empty();
        let since = Instant::now().checked_sub(Duration::from_secs(90)).unwrap();
        let oldest = Some(Superseded { revision: revision.id, since });
        let shown = snapshots(&Held { count: 3, oldest });
        assert_eq!(shown["alive"], 3);
        assert_eq!(shown["oldest_replaced"]["revision"]["version"], 0);
        assert_eq!(shown["oldest_replaced"]["replaced_seconds_ago"], 90);
        assert_eq!(snapshots(&Held::default())["oldest_replaced"], Value::Null);
    }
}
