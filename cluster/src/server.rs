//! The control plane's end of the link: takes data planes on, keeps each at the
//! newest revision, and knows how they fare.
//!
//! [`Server`] listens; a [`Hub`] holds a conversation over any stream, so that
//! tests and simulated fleets need no sockets. Modules are listed
//! in the order a data plane meets them.

mod accept; // TCP and TLS
mod admit; // is it taken on?
mod session; // its conversation
mod history; // what it must be sent
mod nodes; // what is known of it

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::delta::Touched;
use model::vitals::Vitals;
use model::{Revision, RevisionId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::info;

use crate::ed25519::PublicKey;
use crate::protocol::settings::Settings;
use crate::tls::{Acceptor, Credentials, TlsError};
use accept::Gate;
use history::History;
pub use nodes::Nodes;
pub use session::Ended;

/// How long a node's row outlives its last word (`cluster_data_plane_purge_delay`).
pub const DEFAULT_PURGE_DELAY: Duration = Duration::from_secs(1_209_600);

/// How many data planes one control plane knows, connected or not. A link needs a place among them, so
/// this bounds those as well.
pub const MOST_DATA_PLANES: usize = 16_384;

/// How many links may have worked out at once what to send them. Most need the same, which is encoded once.
const PLANNING: usize = 4;

/// What a control plane's end needs.
#[derive(Debug)]
pub struct Options {
    /// Where to listen (`cluster_listen`), already bound.
    pub listeners: Vec<std::net::TcpListener>,
    /// `cluster_cert` and `cluster_cert_key`.
    pub credentials: Credentials,
    /// What data planes are told.
    pub hub: HubOptions,
}

/// What a conversation needs.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// The public half of the key that signs revisions.
    pub trust: PublicKey,
    /// The release data planes are compared with: [`model::VERSION`].
    pub version: String,
    /// How long a node's row outlives its last word.
    pub purge_delay: Duration,
    /// How many nodes have a row: [`MOST_DATA_PLANES`]. A new one takes the place of the one that has been
    /// disconnected for longest, and is turned away where all are connected.
    pub most_data_planes: usize,
    /// The steps that led to the first revision, oldest first: who has where one of them starts is sent
    /// a delta. May be empty.
    pub steps: Vec<Touched>,
    /// Those of its settings that data planes should have alike.
    pub settings: Settings,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The certificate cannot be used.
    #[error("cluster_cert and cluster_cert_key cannot be used for cluster_listen")]
    Tls(#[from] TlsError),
    /// A listener cannot be used.
    #[error("cluster_listen cannot be used")]
    Listen(#[from] std::io::Error),
}

/// Where a link comes from.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address of the data plane.
    pub address: SocketAddr,
    /// What its proof must cover (see [`crate::tls::channel_binding`]).
    pub binding: [u8; 32],
    /// When its certificate expires, Unix seconds.
    pub certificate_expires: Option<i64>,
}

/// The conversations of one control plane, whatever carries them.
#[derive(Debug)]
pub struct Hub {
    nodes: Arc<Nodes>,
    history: Arc<History>,
    heads: watch::Receiver<Arc<Revision>>,
    planning: Arc<Semaphore>,
    ahead: watch::Sender<Option<RevisionId>>,
    stop: watch::Receiver<bool>,
    trust: PublicKey,
    version: String,
    settings: Settings,
}

/// Ends all conversations when told, or when dropped.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// Says goodbye to every data plane and stops listening.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Hub {
    /// A hub that brings data planes to the newest of `revisions`. Must be called within a tokio runtime.
    pub fn new(
        options: HubOptions,
        revisions: watch::Receiver<Arc<Revision>>,
    ) -> (Arc<Self>, Stop) {
        let (stop, stopped) = watch::channel(false);
        let history = Arc::new(History::since(options.steps));
        let hub = Self {
            nodes: Nodes::new(options.purge_delay, options.most_data_planes),
            heads: remember(revisions, Arc::clone(&history)),
            history,
            planning: Arc::new(Semaphore::new(PLANNING)),
            ahead: watch::Sender::new(None),
            stop: stopped,
            trust: options.trust,
            version: options.version,
            settings: options.settings,
        };
        (Arc::new(hub), Stop(stop))
    }

    /// Holds one conversation, from the hello to the end.
    pub async fn converse<IO>(&self, io: IO, peer: &Peer) -> Ended
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        match session::introduce(self, io, peer).await {
            Ok(admitted) => session::run(self, admitted).await,
            Err(ended) => ended,
        }
    }

    /// How the data planes fare.
    pub fn vitals(&self) -> Arc<dyn Vitals> {
        Arc::clone(&self.nodes) as Arc<dyn Vitals>
    }

    /// The latest revision that a data plane proved to have, by our own signature, while this control
    /// plane is behind it. Whoever keeps the revisions must look whether its database was restored.
    pub fn ahead(&self) -> watch::Receiver<Option<RevisionId>> {
        self.ahead.subscribe()
    }

    fn note_ahead(&self, id: RevisionId) {
        self.ahead.send_if_modified(|latest| {
            let news = latest.is_none_or(|latest| latest.position() < id.position());
            if news {
                *latest = Some(id);
            }
            news
        });
    }

    /// Resolves when the hub is stopped; a dropped [`Stop`] stops it, too.
    async fn stopped(&self) {
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }
}

/// Passes revisions on once the history knows them.
fn remember(
    mut revisions: watch::Receiver<Arc<Revision>>,
    history: Arc<History>,
) -> watch::Receiver<Arc<Revision>> {
    let first = revisions.borrow_and_update().clone();
    history.note(&first);
    let (heads, receiver) = watch::channel(first);
    tokio::spawn(async move {
        while revisions.changed().await.is_ok() {
            let head = revisions.borrow_and_update().clone();
            history.note(&head);
            if heads.send(head).is_err() {
                return;
            }
        }
        // Links stay up for a source that has ended: `heads` lives until the last of them is gone.
        heads.closed().await;
    });
    receiver
}

/// A listening control plane.
#[derive(Debug)]
pub struct Server {
    hub: Arc<Hub>,
    stop: Stop,
    addresses: Vec<SocketAddr>,
    accepting: JoinSet<()>,
}

impl Server {
    /// Starts to listen. Must be called within a tokio runtime, on which everything then runs.
    pub fn start(
        options: Options,
        revisions: watch::Receiver<Arc<Revision>>,
    ) -> Result<Self, StartError> {
        let acceptor = Acceptor::shared(&options.credentials)?;
        let (hub, stop) = Hub::new(options.hub, revisions);
        let gate = Gate::new(acceptor, Arc::clone(&hub));
        let sha256 = options.credentials.facts().sha256;
        let (mut addresses, mut accepting) = (Vec::new(), JoinSet::new());
        for listener in options.listeners {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            let address = listener.local_addr()?;
            info!(
                "[clustering] waiting for data planes on {address}; cluster_cert sha256 {sha256}"
            );
            addresses.push(address);
            accepting.spawn(Arc::clone(&gate).run(listener));
        }
        Ok(Self { hub, stop, addresses, accepting })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How the data planes fare.
    pub fn vitals(&self) -> Arc<dyn Vitals> {
        self.hub.vitals()
    }

    /// See [`Hub::ahead`].
    pub fn ahead(&self) -> watch::Receiver<Option<RevisionId>> {
        self.hub.ahead()
    }

    /// Says goodbye to every data plane and stops listening.
    pub async fn shutdown(mut self) {
        self.stop.stop();
        while self.accepting.join_next().await.is_some() {}
        let _ = tokio::time::timeout(Duration::from_secs(2), self.hub.nodes.all_gone()).await; // they are told either way
    }
}
