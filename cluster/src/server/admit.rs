//! Whether a data plane is taken on: it must introduce itself, prove who it is,
//! and be of a release and a protocol that go with ours.
//!
//! Identity comes first, since nothing else a peer says counts without it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tracing::{error, warn};
use uuid::Uuid;

use super::nodes::{AttachError, Link};
use super::session::Ended;
use super::{Hub, Peer};
use crate::identity;
use crate::log::printable;
use crate::protocol::bounds;
use crate::protocol::frame::FrameReader;
use crate::protocol::settings::{differing, told};
use crate::protocol::version::{self, Incompatible, PROTOCOL, ProtocolRange};
use crate::protocol::{Hello, Message, Reason, Refused};

/// How long a data plane may take to introduce itself.
pub(super) const INTRODUCTION: Duration = Duration::from_secs(10);

/// How long it may take to read why it was turned away.
const PARTING: Duration = Duration::from_secs(1);

/// Who this is about, in every log line.
pub(super) struct Who {
    hostname: String,
    ip: IpAddr,
    id: Uuid,
}

impl Who {
    pub(super) fn new(hello: &Hello, peer: &Peer) -> Self {
        Self { hostname: printable(&hello.hostname), ip: peer.address.ip(), id: hello.node }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[id: {}, host: {}, ip: {}]", self.id, self.hostname, self.ip)
    }
}

/// Why a data plane is turned away.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdmitError {
    #[error("the node id is not that of the key")]
    NotItsId,
    #[error("the node key is not proven for this connection")]
    NotProven,
    #[error("no common protocol: it speaks {} to {}, this control plane {} to {}", .0.oldest, .0.newest, PROTOCOL.oldest, PROTOCOL.newest)]
    Protocol(ProtocolRange),
    #[error(transparent)]
    Version(#[from] Incompatible),
    #[error(transparent)]
    Attach(#[from] AttachError),
}

impl AdmitError {
    pub(super) fn reason(&self) -> Reason {
        match self {
            AdmitError::NotItsId | AdmitError::NotProven => Reason::Identity,
            AdmitError::Protocol(_) => Reason::Protocol,
            AdmitError::Version(_) => Reason::Version,
            AdmitError::Attach(AttachError::OtherKey) => Reason::Identity,
            AdmitError::Attach(AttachError::Superseded) => Reason::Superseded,
            AdmitError::Attach(AttachError::Full(_)) => Reason::Full,
        }
    }

    pub(super) fn log(&self, who: &Who) {
        let text = printable(&self.to_string());
        if let AdmitError::Version(_) = self {
            // The wording Kong's operators look for.
            let Who { hostname, ip, .. } = who;
            warn!(
                "[clustering] unable to send updated configuration to DP node \
                 with hostname: {hostname} ip: {ip} reason: {text}"
            );
        } else {
            error!("[clustering] data plane turned away {who}: {text}");
        }
    }
}

/// Waits for the hello. What it says beyond all bounds is cut before anybody sees it.
pub(super) async fn introduction<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
) -> Result<Hello, Ended> {
    let raw = timeout(INTRODUCTION, reader.next()).await.map_err(|_| Ended::Mute)??;
    match Message::decode(&raw.ok_or(Ended::Closed)?)? {
        Some(Message::Hello(hello)) => Ok(bounds::hello(hello)),
        Some(other) => Err(Ended::OutOfPlace(other.name())),
        None => Err(Ended::OutOfPlace("an unknown message")),
    }
}

/// Takes a node on, or says why not.
pub(super) fn admit(hub: &Hub, hello: &Hello, peer: &Peer) -> Result<Link, AdmitError> {
    let key = hello.key.into();
    if identity::node_id(&key) != hello.node {
        return Err(AdmitError::NotItsId);
    }
    if !identity::proves(&key, &peer.binding, &hello.proof.0) {
        return Err(AdmitError::NotProven);
    }
    if PROTOCOL.common(hello.protocol).is_none() {
        return Err(AdmitError::Protocol(hello.protocol));
    }
    if let Err(incompatible) = version::check(&hub.version, &hello.version) {
        hub.nodes.note_incompatible(hello, peer)?;
        return Err(incompatible.into());
    }
    Ok(hub.nodes.attach(hello, peer, differing(&hello.settings, &hub.settings))?)
}

/// Warns of what a data plane that was taken on has set otherwise.
pub(super) fn compare(hub: &Hub, hello: &Hello, who: &Who) {
    let others = differing(&hello.settings, &hub.settings);
    if !others.is_empty() {
        warn!(
            "[clustering] data plane has other settings than this control plane {who}: {}; it does not do \
             what is checked and explained here",
            printable(&told(&others, &hub.settings))
        );
    }
}

/// Tells the data plane why, if it still listens.
pub(super) async fn refuse<W: AsyncWrite + Unpin>(writer: &mut W, reason: Reason, text: String) {
    let wire = Message::from(Refused { reason, text }).encode();
    let telling = async {
        writer.write_all(&wire).await?;
        writer.shutdown().await
    };
    let _ = timeout(PARTING, telling).await; // the link ends either way
}
