//! How things fare: what the engine says of a revision, and what a control
//! plane knows of its data planes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EntityKind, RevisionId};

/// What the engine says of the revisions it was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The revision every worker serves: none until the first is published.
    pub effective: Option<RevisionId>,
    /// The last revision it would not serve. Kept beside `effective`, since a
    /// watcher may see only the newest of several verdicts.
    pub refused: Option<Refusal>,
}

/// A revision the engine would not serve, with every reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which one.
    pub revision: RevisionId,
    /// Why: at least one reason.
    pub problems: Vec<Problem>,
}

/// One thing wrong with a configuration, seen by the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable word for programs, such as `route_pattern`.
    pub code: String,
    /// The entity to blame, as table name and id, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entity: Option<(String, Uuid)>,
    /// The field of it, where one is to blame, or the path to one inside of it: `config.host`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// A sentence for people.
    pub message: String,
}

impl Problem {
    /// A problem of one entity.
    pub fn of(
        kind: EntityKind,
        id: impl Into<Uuid>,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: code.into(),
            entity: Some((kind.name().to_owned(), id.into())),
            field: None,
            message: message.into(),
        }
    }

    /// The same, in this field.
    #[must_use]
    pub fn at(self, field: &str) -> Self {
        Self { field: Some(field.to_owned()), ..self }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.entity {
            Some((kind, id)) => write!(f, "{kind} {id}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// What a control plane knows of its data planes.
pub trait Vitals: Send + Sync {
    /// Of the data planes seen within the purge delay, ordered by id, those after this one: as many
    /// as `most`. It takes time for those alone.
    fn page(&self, after: Option<Uuid>, most: usize) -> Vec<NodeReport>;

    /// How many data planes were seen within the purge delay.
    fn count(&self) -> usize;

    /// Every data plane seen within the purge delay, ordered by id: page by page, so that whoever
    /// keeps them is not held up. One that comes or goes meanwhile may or may not be among them.
    fn data_planes(&self) -> Vec<NodeReport> {
        let mut all: Vec<NodeReport> = Vec::new();
        loop {
            let page = self.page(all.last().map(|node| node.id), PAGE);
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return all;
            }
        }
    }
}

/// How many data planes are asked for at once when all are wanted.
const PAGE: usize = 100;

/// A control plane without data planes, or a node that is not one.
#[derive(Debug, Default)]
pub struct NoVitals;

impl Vitals for NoVitals {
    fn page(&self, _after: Option<Uuid>, _most: usize) -> Vec<NodeReport> {
        Vec::new()
    }

    fn count(&self) -> usize {
        0
    }
}

/// One data plane, as `GET /clustering/data-planes` shows it. Times are Unix
/// seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeReport {
    /// Derived from the node's key.
    pub id: Uuid,
    /// As the node calls itself.
    pub hostname: String,
    /// Where its link comes from.
    pub ip: IpAddr,
    /// Its own version (not the compatibility version).
    pub version: String,
    /// When anything was last heard from it.
    pub last_seen: u64,
    /// When this row last changed.
    pub updated_at: u64,
    /// Seconds until the row is purged unless the node is heard from.
    pub ttl: u64,
    /// The hash of the configuration it serves.
    pub config_hash: String,
    /// Whether its link is open and alive.
    pub status: NodeStatus,
    /// Whether it may be sent, and took, the configuration.
    pub sync_status: SyncStatus,
    /// The operator's labels for it.
    pub labels: BTreeMap<String, String>,
    /// Properties that it has set otherwise than the control plane, which should be alike.
    pub differing_settings: BTreeMap<String, String>,
    /// About the certificate its link uses.
    pub cert_details: CertDetails,
    /// The newest revision sent to it.
    pub received: Option<RevisionId>,
    /// The revision its workers serve.
    pub effective: Option<RevisionId>,
    /// Whether that revision is in its cache, so that it survives a restart.
    pub cached: bool,
    /// The last revision it refused, unless it serves a newer one since.
    pub refused: Option<Refusal>,
}

/// About a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CertDetails {
    /// When it expires, in Unix seconds.
    pub expiry_timestamp: Option<i64>,
}

/// Whether a data plane's link is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// A link is open and was heard from within 45 s.
    Connected,
    /// A link is open but silent for 45 to 90 s.
    Stale,
    /// No link, or silent for longer.
    Disconnected,
}

/// Whether a data plane has what the control plane would have it serve. The
/// first five are Kong's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncStatus {
    /// Nothing known yet.
    Unknown,
    /// Configuration is sent and taken.
    Normal,
    /// Its version does not go with ours; nothing is sent.
    KongVersionIncompatible,
    /// It lacks a configured plugin.
    PluginSetIncompatible,
    /// It has a configured plugin in another version.
    PluginVersionIncompatible,
    /// It refused the newest revision and serves an older one.
    Refused,
}
