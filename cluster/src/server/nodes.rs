//! What the control plane knows of its data planes.
//!
//! A row outlives its link until the purge delay has passed without a word from
//! the node, or its place is needed. While it lives, the id belongs to the key it
//! was first shown with, and only the newest link of a node may change its row.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::RevisionId;
use model::encode::ContentHash;
use model::vitals::{CertDetails, NodeReport, NodeStatus, Refusal, SyncStatus, Vitals};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::info;
use uuid::Uuid;

use crate::ed25519::PublicKey;
use crate::log::printable;
use crate::protocol::settings::Settings;
use crate::protocol::{Ack, Hello, SILENCE};
use crate::server::Peer;

/// After this long without a word a node is not stale any more, but gone.
const GONE: Duration = Duration::from_secs(90);

/// How often rows are looked through for those that outlived the purge delay, which is a minute or more.
const PURGE: Duration = Duration::from_secs(1);

/// Every data plane heard from within the purge delay, as far as there is room.
#[derive(Debug)]
pub struct Nodes {
    rows: Mutex<Rows>,
    purge_delay: Duration,
    most: usize,
    gone: Notify,
}

#[derive(Debug, Default)]
struct Rows {
    by_id: BTreeMap<Uuid, Row>,
    purged: Option<Instant>,
    links: u64,
}

/// Why a node does not get a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AttachError {
    /// The id is known with another key.
    #[error("the node id is in use with another key")]
    OtherKey,
    /// A process of the same node that started later is connected.
    #[error("a newer process of the same node is connected")]
    Superseded,
    /// There is no place for another.
    #[error("this control plane is full: {0} data planes are connected")]
    Full(usize),
}

#[derive(Debug)]
struct Row {
    key: PublicKey,
    hostname: String,
    ip: IpAddr,
    version: String,
    labels: BTreeMap<String, String>,
    /// Its settings that are not ours.
    differing: Settings,
    certificate_expires: Option<i64>,
    link: Option<OpenLink>,
    /// The last link ended by silence: the node may still live, just out of reach.
    fell_silent: bool,
    seen: Moment,
    updated: Moment,
    received: Option<RevisionId>,
    serving: Ack,
    refused: Option<Refusal>,
    incompatible: bool,
}

#[derive(Debug)]
struct OpenLink {
    number: u64,
    instance: u64,
    evict: Arc<Notify>,
}

/// One moment on both clocks: the one that only goes forward, and the one people read.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    unix: u64,
}

impl Moment {
    fn now() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { at: Instant::now(), unix }
    }
}

impl Nodes {
    /// An empty registry of up to `most` nodes, that forgets one after `purge_delay` without a word.
    pub fn new(purge_delay: Duration, most: usize) -> Arc<Self> {
        Arc::new(Self { rows: Mutex::default(), purge_delay, most, gone: Notify::new() })
    }

    /// Opens the row of a node whose identity is proven, with its settings that are not ours. An older link
    /// of the same node is evicted.
    pub(super) fn attach(
        self: &Arc<Self>,
        hello: &Hello,
        peer: &Peer,
        differing: Settings,
    ) -> Result<Link, AttachError> {
        let mut rows = self.lock();
        rows.purge(self.purge_delay);
        let known = rows.admit(hello)?;
        if let Some(link) = known.and_then(|row| row.link.as_ref()) {
            if link.instance > hello.instance {
                return Err(AttachError::Superseded);
            }
            link.evict.notify_one();
        }
        let displaced = rows.make_room(hello.node, self.most)?;
        rows.links += 1;
        let (number, evict) = (rows.links, Arc::new(Notify::new()));
        let row = rows.introduce(hello, peer);
        row.link = Some(OpenLink { number, instance: hello.instance, evict: Arc::clone(&evict) });
        row.fell_silent = false;
        row.differing = differing;
        drop(rows);
        self.forgot(displaced);
        Ok(Link { nodes: Arc::clone(self), node: hello.node, number, evict })
    }

    /// Shows a node that was turned away because its release does not go with ours, if there is a place.
    pub(super) fn note_incompatible(&self, hello: &Hello, peer: &Peer) -> Result<(), AttachError> {
        let mut rows = self.lock();
        rows.purge(self.purge_delay);
        // A process that may not connect must not hide one of the same node that does.
        let alone = rows.admit(hello)?.is_none_or(|row| row.link.is_none());
        if alone && let Ok(displaced) = rows.make_room(hello.node, self.most) {
            rows.introduce(hello, peer).incompatible = true;
            drop(rows);
            self.forgot(displaced);
        }
        Ok(())
    }

    fn forgot(&self, displaced: Option<Row>) {
        if let Some(Row { hostname, ip, seen, .. }) = displaced {
            let (hostname, seconds) = (printable(&hostname), seen.at.elapsed().as_secs());
            info!(
                "[clustering] forgot data plane [host: {hostname}, ip: {ip}], not heard of for {seconds} s: \
                 a new one needs its place among {}",
                self.most
            );
        }
    }

    /// Resolves when no link is open.
    pub(super) async fn all_gone(&self) {
        loop {
            let gone = self.gone.notified();
            if self.lock().by_id.values().all(|row| row.link.is_none()) {
                return;
            }
            gone.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vitals for Nodes {
    fn page(&self, after: Option<Uuid>, most: usize) -> Vec<NodeReport> {
        let mut rows = self.lock();
        rows.purge(self.purge_delay);
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = rows.by_id.range((after, Bound::Unbounded));
        rest.take(most).map(|(id, row)| row.report(*id, self.purge_delay)).collect()
    }

    fn count(&self) -> usize {
        let mut rows = self.lock();
        rows.purge(self.purge_delay);
        rows.by_id.len()
    }
}

impl Rows {
    /// Forgets who has not been heard of for longer than this. Looks at every row, so not at every turn.
    fn purge(&mut self, delay: Duration) {
        let now = Instant::now();
        if self.purged.is_some_and(|purged| now - purged < PURGE) {
            return;
        }
        self.purged = Some(now);
        self.by_id.retain(|_, row| row.link.is_some() || now - row.seen.at < delay);
    }

    /// Makes sure that there is a place for this node, if need be that of whom nothing was heard for
    /// longest, which is returned. Who is connected keeps its place.
    fn make_room(&mut self, node: Uuid, most: usize) -> Result<Option<Row>, AttachError> {
        if self.by_id.len() < most || self.by_id.contains_key(&node) {
            return Ok(None);
        }
        let away = self.by_id.iter().filter(|(_, row)| row.link.is_none());
        let longest = away.min_by_key(|(_, row)| row.seen.at).map(|(id, _)| *id);
        let displaced = longest.and_then(|id| self.by_id.remove(&id));
        displaced.map(Some).ok_or(AttachError::Full(most))
    }

    fn admit(&self, hello: &Hello) -> Result<Option<&Row>, AttachError> {
        let row = self.by_id.get(&hello.node);
        if row.is_some_and(|row| row.key != hello.key.into()) {
            return Err(AttachError::OtherKey);
        }
        Ok(row)
    }

    fn introduce(&mut self, hello: &Hello, peer: &Peer) -> &mut Row {
        let now = Moment::now();
        let mut row = Row {
            key: hello.key.into(),
            hostname: hello.hostname.clone(),
            ip: peer.address.ip(),
            version: hello.version.clone(),
            labels: hello.labels.clone(),
            differing: Settings::new(),
            certificate_expires: peer.certificate_expires,
            link: None,
            fell_silent: false,
            seen: now,
            updated: now,
            received: hello.have.as_ref().map(|have| have.id),
            serving: hello.serving,
            refused: hello.refused.clone(),
            incompatible: false,
        };
        row.settle();
        self.by_id.entry(hello.node).insert_entry(row).into_mut()
    }
}

impl Row {
    /// Forgets a refusal once something newer is served.
    fn settle(&mut self) {
        let served = self.serving.effective.map(|id| id.position());
        let outdated = |refusal: &mut Refusal| served >= Some(refusal.revision.position());
        self.refused.take_if(outdated);
    }

    fn report(&self, id: Uuid, purge_delay: Duration) -> NodeReport {
        let silent = self.seen.at.elapsed();
        NodeReport {
            id,
            hostname: self.hostname.clone(),
            ip: self.ip,
            version: self.version.clone(),
            last_seen: self.seen.unix,
            updated_at: self.updated.unix,
            ttl: purge_delay.as_secs().saturating_sub(silent.as_secs()),
            config_hash: self
                .serving
                .effective
                .map_or(ContentHash::EMPTY, |id| id.hash)
                .to_string(),
            status: self.status(silent),
            sync_status: self.sync_status(),
            labels: self.labels.clone(),
            differing_settings: self.differing.clone(),
            cert_details: CertDetails { expiry_timestamp: self.certificate_expires },
            received: self.received,
            effective: self.serving.effective,
            cached: self.serving.cached,
            refused: self.refused.clone(),
        }
    }

    fn status(&self, silent: Duration) -> NodeStatus {
        let reachable = self.link.is_some() || self.fell_silent;
        match reachable {
            true if silent < SILENCE => NodeStatus::Connected,
            true if silent < GONE => NodeStatus::Stale,
            _ => NodeStatus::Disconnected,
        }
    }

    fn sync_status(&self) -> SyncStatus {
        if self.incompatible {
            SyncStatus::KongVersionIncompatible
        } else if self.refused.is_some() {
            SyncStatus::Refused
        } else if self.serving.effective.is_some() {
            SyncStatus::Normal
        } else {
            SyncStatus::Unknown
        }
    }
}

/// A node's open link: the right to change its row until a newer link takes over.
#[derive(Debug)]
pub(super) struct Link {
    nodes: Arc<Nodes>,
    node: Uuid,
    number: u64,
    evict: Arc<Notify>,
}

impl Link {
    /// Resolves when a newer link of the same node has taken over.
    pub(super) async fn evicted(&self) {
        self.evict.notified().await;
    }

    /// Something arrived.
    pub(super) fn heard(&self) {
        self.update(|row| row.seen = Moment::now());
    }

    /// A revision has been written to the link.
    pub(super) fn sent(&self, id: RevisionId) {
        self.update(|row| {
            row.received = Some(id);
            row.updated = Moment::now();
        });
    }

    /// The node says what it serves. True if that is news.
    pub(super) fn serves(&self, ack: Ack) -> bool {
        self.update(|row| {
            let news = row.serving != ack;
            row.serving = ack;
            row.settle();
            if news {
                row.updated = Moment::now();
            }
            news
        })
        .unwrap_or(false)
    }

    /// The node says what it does not serve.
    pub(super) fn refuses(&self, refusal: Refusal) {
        self.update(|row| {
            row.refused = Some(refusal);
            row.updated = Moment::now();
        });
    }

    /// The link ended because nothing was heard.
    pub(super) fn fell_silent(&self) {
        self.update(|row| row.fell_silent = true);
    }

    fn update<T>(&self, change: impl FnOnce(&mut Row) -> T) -> Option<T> {
        let mut rows = self.nodes.lock();
        let row = rows.by_id.get_mut(&self.node)?;
        let ours = row.link.as_ref().is_some_and(|link| link.number == self.number);
        ours.then(|| change(row))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.update(|row| {
            row.link = None;
            row.updated = Moment::now();
        });
        self.nodes.gone.notify_waiters();
    }
}
