//! The data plane's end of the link: a source of revisions that outlives every
//! connection.
//!
//! [`Client`] dials; a [`Node`] holds a conversation over any stream, so that
//! tests and simulated fleets need no sockets. What arrives goes down
//! [`Node::revisions`] to the engine; what the engine makes of it comes back
//! through [`Node::report`], into the cache, and only then to the control plane.

mod dial; // which control plane, when
mod session; // the conversation with it
mod incoming; // from messages to a revision
mod keeper; // from the engine's verdict to the acknowledgement

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use model::Revision;
use model::vitals::{Refusal, Verdict};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;
use tracing::error;
use uuid::Uuid;

use crate::identity::Identity;
use crate::log::chain;
use crate::protocol::frame::{FrameError, WriteError};
use crate::protocol::settings::Settings;
use crate::protocol::{Ack, bounds};
use crate::tls::{Connector, Credentials, TlsError};
use crate::trust::Trust;
use dial::ControlPlanes;
use keeper::{Keeper, Pending};
pub use session::Ended;

/// Where a revision is kept for the next start, once the engine serves it.
pub trait Keep: Send + Sync + 'static {
    /// Whether anything is kept here at all. Where not, revisions are reported as not cached, which is no failure.
    fn keeps(&self) -> bool {
        true
    }

    /// Writes the revision durably. Called off the async threads, one revision at a time, in order.
    fn keep(&self, revision: &Arc<Revision>) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Whether the next start would find what was kept last: files can be removed by others. Asked again
    /// and again, off the async threads; where the answer is no, the revision is given to [`Keep::keep`] once more.
    fn still_keeps(&self) -> bool {
        true
    }
}

/// What a data plane's end needs.
pub struct Options {
    /// Control planes to dial, as `host:port`; one at a time is connected.
    pub control_planes: Vec<String>,
    /// `cluster_cert` and `cluster_cert_key`.
    pub credentials: Credentials,
    /// Who this node is and what it starts with.
    pub node: NodeOptions,
}

/// What a conversation needs.
pub struct NodeOptions {
    /// The node's key.
    pub identity: Identity,
    /// Whom the node believes.
    pub trust: Arc<Trust>,
    /// What the node calls itself.
    pub hostname: String,
    /// The release it is: [`model::VERSION`].
    pub version: String,
    /// `cluster_dp_labels`.
    pub labels: BTreeMap<String, String>,
    /// Those of its settings that a control plane should have alike.
    pub settings: Settings,
    /// What it serves until a control plane says more. A signed revision is taken to come from the cache,
    /// and to have been verified; one without a signature came from a file, and any control plane's replaces it.
    pub initial: Arc<Revision>,
    /// The cache.
    pub keep: Arc<dyn Keep>,
}

/// What this node makes of what it was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// What its workers serve.
    pub serving: Ack,
    /// What it refused last, and why.
    pub refused: Option<Refusal>,
}

/// One data plane, whatever carries its conversations.
pub struct Node {
    identity: Identity,
    trust: Arc<Trust>,
    hostname: String,
    version: String,
    labels: BTreeMap<String, String>,
    settings: Settings,
    instance: u64,
    revisions: watch::Sender<Arc<Revision>>,
    status: Arc<watch::Sender<Status>>,
    pending: Arc<Pending>,
    keep: Arc<dyn Keep>,
}

impl Node {
    /// A node that serves `options.initial` for now.
    pub fn new(options: NodeOptions) -> Self {
        let pending = Arc::new(Pending::default());
        pending.push(Arc::clone(&options.initial));
        Self {
            identity: options.identity,
            trust: options.trust,
            hostname: options.hostname,
            version: options.version,
            labels: options.labels,
            settings: options.settings,
            instance: started(),
            revisions: watch::Sender::new(options.initial),
            status: Arc::new(watch::Sender::new(Status::default())),
            pending,
            keep: options.keep,
        }
    }

    /// The node's id.
    pub fn id(&self) -> Uuid {
        self.identity.id()
    }

    /// What the engine should serve: the initial revision, then whatever control planes send.
    pub fn revisions(&self) -> watch::Receiver<Arc<Revision>> {
        self.revisions.subscribe()
    }

    /// What this node makes of it.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Follows the engine's verdicts: caches what became effective, then acknowledges it. Ends with the
    /// engine.
    pub fn report(
        &self,
        verdicts: watch::Receiver<Verdict>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let initial = self.revisions.borrow();
        let keeper = Keeper {
            pending: Arc::clone(&self.pending),
            keep: Arc::clone(&self.keep),
            status: Arc::clone(&self.status),
            cached: initial.signature.map(|_| Arc::clone(&initial)),
        };
        keeper.run(verdicts)
    }

    /// Holds one conversation with the control plane called `control_plane`, to its end or until
    /// `stopped` resolves.
    pub async fn converse<IO>(
        &self,
        io: IO,
        binding: &[u8; 32],
        control_plane: &str,
        stopped: impl Future<Output = ()>,
    ) -> Ended
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        session::run(self, io, binding, control_plane, stopped).await
    }

    fn publish(&self, revision: Arc<Revision>) {
        self.pending.push(Arc::clone(&revision));
        self.revisions.send_replace(revision);
    }
}

/// Records a refusal, if it is news, as far as it is told to anybody. The engine has logged each of its
/// problems.
fn refuse(status: &watch::Sender<Status>, refusal: Refusal) {
    let refusal = bounds::refusal(refusal);
    status.send_if_modified(|status| {
        let news = status.refused.as_ref() != Some(&refusal);
        if news {
            let problems: Vec<_> = refusal.problems.iter().map(ToString::to_string).collect();
            error!(
                "[clustering] revision {} is refused: {}",
                refusal.revision,
                problems.join("; ")
            );
            status.refused = Some(refusal);
        }
        news
    });
}

/// When this process started: the instance nonce, by which a newer process of a node replaces an older.
fn started() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A data plane that keeps itself connected.
pub struct Client {
    node: Arc<Node>,
    link: watch::Receiver<Option<String>>,
    stop: watch::Sender<bool>,
    dialing: JoinHandle<()>,
}

impl Client {
    /// Starts to dial. Must be called within a tokio runtime, on which everything then runs.
    pub fn start(options: Options) -> Result<Self, TlsError> {
        let connector = Connector::shared(&options.credentials)?;
        let node = Arc::new(Node::new(options.node));
        let (stop, stopped) = watch::channel(false);
        let (up, link) = watch::channel(None);
        let planes = ControlPlanes::new(options.control_planes);
        let dialing =
            tokio::spawn(stay_connected(Arc::clone(&node), connector, planes, up, stopped));
        Ok(Self { node, link, stop, dialing })
    }

    /// The node's id.
    pub fn id(&self) -> Uuid {
        self.node.id()
    }

    /// See [`Node::revisions`].
    pub fn revisions(&self) -> watch::Receiver<Arc<Revision>> {
        self.node.revisions()
    }

    /// See [`Node::status`].
    pub fn status(&self) -> watch::Receiver<Status> {
        self.node.status()
    }

    /// The control plane this node is connected to, if it is.
    pub fn link(&self) -> watch::Receiver<Option<String>> {
        self.link.clone()
    }

    /// Starts to follow the engine's verdicts (see [`Node::report`]).
    pub fn report(&self, verdicts: watch::Receiver<Verdict>) {
        tokio::spawn(self.node.report(verdicts));
    }

    /// Says goodbye to the control plane.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        let _ = self.dialing.await; // a panic in there has been reported by its task
    }
}

/// Dials and converses until stopped.
async fn stay_connected(
    node: Arc<Node>,
    connector: Connector,
    mut planes: ControlPlanes,
    link: watch::Sender<Option<String>>,
    stop: watch::Receiver<bool>,
) {
    let stopped = || {
        let mut stop = stop.clone();
        async move {
            let _ = stop.wait_for(|stop| *stop).await; // a dropped client is stopped, too
        }
    };
    while let Some((at, name, due)) = planes.next() {
        let name = name.to_owned();
        let dialing = async {
            sleep_until(due).await;
            dial::dial(&connector, &name).await
        };
        let dialed = tokio::select! {
            dialed = dialing => dialed,
            () = stopped() => return,
        };
        match dialed {
            Ok(dialed) => {
                let called = if name == dialed.address.to_string() {
                    name
                } else {
                    format!("{name} ({})", dialed.address)
                };
                link.send_replace(Some(called.clone()));
                let ended =
                    Box::pin(node.converse(dialed.stream, &dialed.binding, &called, stopped()))
                        .await;
                link.send_replace(None);
                session::log(&ended, &called, &why(&connector, &ended));
                if matches!(ended, Ended::Stopped) {
                    return;
                }
            }
            Err(error) => error.log(&name),
        }
        planes.ended(at);
    }
}

/// The reason in words: a TLS alert is the control plane's way to say that it refused our certificate.
fn why(connector: &Connector, ended: &Ended) -> String {
    match ended {
        Ended::Frame(FrameError::Io(error)) | Ended::Write(WriteError::Io(error)) => {
            connector.refusal_in(error).map_or_else(|| chain(ended), |refusal| refusal.to_string())
        }
        _ => chain(ended),
    }
}
