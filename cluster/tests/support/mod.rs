//! A control plane and data planes without their neighbours: no database, no engine, and where a
//! test does not want them, no sockets.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cluster::client::{Keep, Node, NodeOptions};
use cluster::ed25519::SigningKey;
use cluster::identity::Identity;
use cluster::protocol::settings::Settings;
use cluster::server::{DEFAULT_PURGE_DELAY, Hub, HubOptions, MOST_DATA_PLANES, Peer, Stop};
use cluster::trust::Trust;
use model::revision::Signature;
use model::vitals::{NodeReport, Problem, Refusal, Verdict};
use model::{Config, EntityKind, Revision, RevisionId};
use serde::Serialize;
use tempfile::TempDir;
use tokio::sync::watch;
use uuid::Uuid;

/// What both ends of a test's link know of it.
pub const BINDING: [u8; 32] = [42; 32];

/// The bytes of a service.
pub fn service(number: u128, host: &str) -> (Uuid, Bytes) {
    long_service(number, host, 0)
}

/// A service that takes so many bytes more: a newer version has a field for them.
fn long_service(number: u128, host: &str, length: usize) -> (Uuid, Bytes) {
    #[derive(Serialize)]
    struct Service<'a> {
        created_at: i64,
        host: &'a str,
        id: Uuid,
        #[serde(skip_serializing_if = "str::is_empty")]
        notes: &'a str,
        updated_at: i64,
    }
    let (id, notes) = (Uuid::from_u128(number), &*"x".repeat(length));
    let service = Service { created_at: 1, host, id, notes, updated_at: 1 };
    (id, rmp_serde::to_vec_named(&service).unwrap().into())
}

/// A source of signed revisions.
pub struct Source {
    pub key: SigningKey,
    pub revisions: watch::Sender<Arc<Revision>>,
}

impl Source {
    pub fn new() -> Self {
        let key = SigningKey::generate().unwrap();
        let first = signed(&key, 1, 0, Config::default());
        Self { key, revisions: watch::Sender::new(first) }
    }

    pub fn head(&self) -> Arc<Revision> {
        self.revisions.borrow().clone()
    }

    /// Publishes the next version, in which service `number` has this host.
    pub fn put(&self, number: u128, host: &str) -> Arc<Revision> {
        self.put_long(number, host, 0)
    }

    /// The same, and the service takes so many bytes more.
    pub fn put_long(&self, number: u128, host: &str, length: usize) -> Arc<Revision> {
        let next = self.next(|config| {
            let (id, bytes) = long_service(number, host, length);
            config.put(EntityKind::Service, id, bytes).unwrap();
        });
        self.revisions.send_replace(next.clone());
        next
    }

    /// The next version, not published.
    pub fn next(&self, change: impl FnOnce(&mut Config)) -> Arc<Revision> {
        let head = self.head();
        let mut config = head.config.clone();
        change(&mut config);
        signed(&self.key, head.id.epoch, head.id.version + 1, config)
    }
}

pub fn signed(key: &SigningKey, epoch: u64, version: u64, config: Config) -> Arc<Revision> {
    let id = RevisionId { epoch, version, hash: config.hash() };
    Arc::new(Revision { id, signature: Some(sign(key, &id)), config })
}

pub fn sign(key: &SigningKey, id: &RevisionId) -> Signature {
    Signature::from_bytes(key.sign(&id.signed_bytes()).unwrap())
}

/// A control plane.
pub struct ControlPlane {
    pub source: Source,
    pub hub: Arc<Hub>,
    pub stop: Stop,
}

impl ControlPlane {
    pub fn new() -> Self {
        Self::for_so_many(MOST_DATA_PLANES)
    }

    pub fn for_so_many(most_data_planes: usize) -> Self {
        let source = Source::new();
        let options = HubOptions { most_data_planes, ..hub_options(&source) };
        let (hub, stop) = Hub::new(options, source.revisions.subscribe());
        Self { source, hub, stop }
    }

    /// The rows of `GET /clustering/data-planes`.
    pub fn rows(&self) -> Vec<NodeReport> {
        self.hub.vitals().data_planes()
    }

    pub fn row(&self, id: Uuid) -> Option<NodeReport> {
        self.rows().into_iter().find(|row| row.id == id)
    }
}

/// What both ends should have alike.
pub fn settings(flavor: &str) -> Settings {
    [("router_flavor".to_owned(), flavor.to_owned())].into()
}

pub fn hub_options(source: &Source) -> HubOptions {
    HubOptions {
        trust: source.key.public(),
        version: "1.4.2".to_owned(),
        purge_delay: DEFAULT_PURGE_DELAY,
        most_data_planes: MOST_DATA_PLANES,
        steps: Vec::new(),
        settings: settings("expressions"),
    }
}

pub fn peer() -> Peer {
    Peer {
        address: SocketAddr::from(([10, 0, 0, 7], 40_000)),
        binding: BINDING,
        certificate_expires: Some(99),
    }
}

/// A cache that remembers what it was given, and fails as often as it is told to.
#[derive(Default)]
pub struct Kept {
    pub revisions: Mutex<Vec<RevisionId>>,
    pub failures: Mutex<usize>,
    /// Whether somebody has removed what it kept last.
    pub lost: Mutex<bool>,
}

impl Keep for Kept {
    fn keep(
        &self,
        revision: &Arc<Revision>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err("No space left on device".into());
        }
        self.revisions.lock().unwrap().push(revision.id);
        *self.lost.lock().unwrap() = false;
        Ok(())
    }

    fn still_keeps(&self) -> bool {
        !*self.lost.lock().unwrap()
    }
}

/// A data plane; its engine is the test.
pub struct DataPlane {
    pub node: Arc<Node>,
    pub kept: Arc<Kept>,
    pub verdicts: watch::Sender<Verdict>,
    pub prefix: TempDir,
}

impl DataPlane {
    pub fn new() -> Self {
        Self::with(Revision::empty(), |_| {})
    }

    pub fn with(initial: Arc<Revision>, prepare: impl FnOnce(&Trust)) -> Self {
        let prefix = tempfile::tempdir().unwrap();
        let kept = Arc::new(Kept::default());
        let options = node_options(prefix.path(), initial, kept.clone());
        prepare(&options.trust);
        let node = Arc::new(Node::new(options));
        let verdicts = watch::Sender::new(Verdict::default());
        tokio::spawn(node.report(verdicts.subscribe()));
        Self { node, kept, verdicts, prefix }
    }

    pub fn revision(&self) -> RevisionId {
        self.node.revisions().borrow().id
    }

    /// What the engine says.
    pub fn serve(&self, id: RevisionId) {
        self.verdicts.send_modify(|verdict| verdict.effective = Some(id));
    }

    pub fn refuse(&self, id: RevisionId, message: &str) {
        let problem = Problem {
            code: "route_pattern".to_owned(),
            entity: None,
            field: None,
            message: message.to_owned(),
        };
        let refusal = Refusal { revision: id, problems: vec![problem] };
        self.verdicts.send_modify(|verdict| verdict.refused = Some(refusal));
    }

    /// Lets an engine serve whatever arrives, at once.
    pub fn serve_all(&self) {
        let (mut revisions, verdicts) = (self.node.revisions(), self.verdicts.clone());
        tokio::spawn(async move {
            loop {
                let id = revisions.borrow_and_update().id;
                verdicts.send_modify(|verdict| verdict.effective = Some(id));
                if revisions.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

pub fn node_options(prefix: &Path, initial: Arc<Revision>, keep: Arc<Kept>) -> NodeOptions {
    NodeOptions {
        identity: Identity::load_or_create(prefix).unwrap(),
        trust: Arc::new(Trust::load(prefix, None).unwrap()),
        hostname: "dp-1".to_owned(),
        version: "1.4.0".to_owned(),
        labels: [("region".to_owned(), "eu".to_owned())].into(),
        settings: settings("expressions"),
        initial,
        keep,
    }
}

/// Waits, in the test's time, until something holds.
#[track_caller]
pub fn until(what: &str, holds: impl Fn() -> bool) -> impl Future<Output = ()> {
    let (what, at) = (what.to_owned(), std::panic::Location::caller());
    async move {
        for _ in 0..20_000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{at}: it never came about that {what}");
    }
}
