//! The control plane: owns the configuration, in a database, behind the Admin
//! API. Modules are listed in the order a change meets them.

#![forbid(unsafe_code)]

mod serve; // connections, and what every response says
mod guard; // who may ask for what
mod api; // every URL of the Admin API
mod write; // one write: parse, check, refer
mod import; // the configuration as a file, without a server
mod commit; // the one that writes
mod store; // the database
mod signing; // the key that signs revisions
mod clock; // the time
mod expiry; // what is gone after a while

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use boring::error::ErrorStack;
use model::causes::chain;
use model::delta::Touched;
use model::judge::Judge;
use model::vitals::{Verdict, Vitals};
use model::{Flavor, Revision, RevisionId, Terms};
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use api::{Api, Documents};
use commit::Committer;
use commit::keeper::Kept;
use guard::Guard;
use serve::Listening;
use store::{Keep, Place, Reader, Store, Tail};

pub use api::{BeginError, Beginning, LevelChange, LogLevel};
pub use clock::Clock;
pub use guard::{NewToken, NewTokenError, Role, Rules, TokenMistake, Tokens};
pub use import::{FileError, Imported, export, import};
pub use serve::{
    Access, AccessLog, Certificates, Clients, Listener, Origins, ServeError, Serving, Tls,
    TlsError, TlsVersion, serve,
};
pub use store::migrations::{Migrations, State};
pub use store::{DatabaseError, OpenError, Postgres, PostgresTls, StoreError};

/// How long requests in flight may take when the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How long the database may take to be closed. Nothing is lost when it is not.
const CLOSING: Duration = Duration::from_secs(2);

/// How long to wait before a database that is away is asked for again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How often the database is asked whether it is there, and how long it may take to say so.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often the log is shortened, where nobody writes.
const TIDY_EVERY: Duration = Duration::from_secs(3600);

/// What a control plane needs.
pub struct Options {
    /// Where the Admin API is served (`admin_listen`), already bound. May be empty.
    pub listeners: Vec<Listener>,
    /// How TLS is spoken on those that do.
    pub tls: Tls,
    /// Who is let in.
    pub rules: Rules,
    /// Whose pages browsers let read answers (`admin_gui_url`).
    pub origins: Origins,
    /// The level of the node's log, if it can be changed.
    pub log_level: Option<Arc<dyn LogLevel>>,
    /// Where the configuration is kept.
    pub storage: Storage,
    /// What `GET /` says of the machine.
    pub hostname: String,
    /// What `GET /` says of the properties, secrets already hidden.
    pub configuration: Value,
    /// Whether data planes connect here: otherwise `/clustering` answers 400.
    pub control_plane: bool,
    /// What the engine would accept.
    pub judge: Arc<dyn Judge>,
    /// How routes may be written (`router_flavor`).
    pub flavor: Flavor,
    /// Steps kept for deltas and rollback (`revision_log_keep`).
    pub revision_log_keep: u64,
    /// How long it is kept who changed what (`audit_keep_days`).
    pub audit_keep: Duration,
    /// Largest request body in bytes (`nginx_admin_client_max_body_size`); `None` for any.
    pub max_body: Option<u64>,
    /// Whether responses say `Server` (`server_tokens` of `headers`).
    pub server_tokens: bool,
    /// Whether responses say `X-Kong-Admin-Latency` (`latency_tokens` of `headers`).
    pub latency_tokens: bool,
    /// Called once per request, after it was answered.
    pub access_log: Option<AccessLog>,
    /// Whether a shared database is brought up to date first, and how long to wait for the turn to do
    /// so (`--run-migrations`, `--lock-timeout`).
    pub migrate: Option<Duration>,
    /// What `GET /` says this node's id is; where none is given, the database keeps one.
    pub node_id: Option<Uuid>,
    /// What time it is.
    pub clock: Clock,
}

/// Where the configuration is kept.
#[derive(Clone, Debug)]
pub enum Storage {
    /// A file, `<prefix>/gateway.db`; made if it is not there.
    Sqlite(PathBuf),
    /// A server, which other control planes may share.
    Postgres(Box<Postgres>),
    /// Nowhere: it is a document, until `POST /config` brings another.
    /// Without one to begin with, nothing is configured.
    Nowhere(Option<Beginning>),
}

impl Options {
    /// Kong's defaults for a control plane with this storage and judge: nobody listens.
    pub fn new(storage: Storage, judge: Arc<dyn Judge>) -> Self {
        Self {
            listeners: Vec::new(),
            tls: Tls::default(),
            rules: Rules::default(),
            origins: Origins::default(),
            log_level: None,
            storage,
            hostname: String::new(),
            configuration: Value::Object(serde_json::Map::new()),
            control_plane: true,
            judge,
            flavor: Flavor::default(),
            revision_log_keep: 1000,
            audit_keep: Duration::from_secs(90 * 86_400),
            max_body: Some(10 << 20),
            server_tokens: true,
            latency_tokens: true,
            access_log: None,
            migrate: None,
            node_id: None,
            clock: Clock::default(),
        }
    }

    /// What entities are taken by.
    pub(crate) fn terms(&self) -> Terms {
        Terms::of(self.flavor, &*self.judge)
    }

    fn keep(&self) -> Keep {
        Keep { revisions: self.revision_log_keep.max(1), audit: self.audit_keep }
    }
}

/// Why a control plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be used.
    #[error("the database {place} cannot be used")]
    Database {
        /// The file, or where the server is.
        place: String,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The key that signs revisions cannot be made.
    #[error("the key that signs revisions cannot be made")]
    Key(#[source] ErrorStack),
    /// A listener cannot be used, or not as told.
    #[error("admin_listen cannot be used")]
    Listen(#[source] ServeError),
    /// There is no thread to write with.
    #[error("the thread that writes to the database cannot be started")]
    Thread(#[source] io::Error),
}

/// A running control plane. Dropped, it stops listening, and ends what is in flight.
pub struct Server {
    api: Arc<Api>,
    guard: Arc<Guard>,
    revisions: watch::Receiver<Arc<Revision>>,
    trust: [u8; 32],
    steps: Vec<Touched>,
    node_id: Uuid,
    listening: Listening,
    heeding: JoinSet<()>,
    committer: Committer,
    committed: oneshot::Receiver<()>,
    database: Option<Arc<Reader>>,
}

impl Server {
    /// Opens the database and serves the Admin API, on the tokio runtime this is called on.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let keep = options.keep();
        let (mut kept, documents) = match &options.storage {
            Storage::Sqlite(_) | Storage::Postgres(_) => (open(&options).await?, None),
            Storage::Nowhere(document) => {
                let (kept, documents) = begin(document.as_ref())?;
                (kept, Some(documents))
            }
        };
        let terms = options.terms();
        let trust = kept.key.public();
        let node_id = options.node_id.unwrap_or(kept.node_id);
        let steps = std::mem::take(&mut kept.steps);

        let tail = kept.keeper.tail();
        let (database, past) = (kept.keeper.reader().map(Arc::new), kept.keeper.past());
        let (committer, revisions, committed) =
            Committer::start(kept, Arc::clone(&options.judge), options.clock.clone())
                .map_err(StartError::Thread)?;
        let origins = Arc::new(options.origins);
        let guard = Arc::new(Guard::new(options.rules, Arc::clone(&origins)));
        let api = Arc::new(Api::new(
            api::About {
                hostname: options.hostname,
                node_id,
                configuration: options.configuration,
                control_plane: options.control_plane,
                terms,
                keep,
                log_level: options.log_level,
            },
            options.max_body,
            api::History {
                revisions: revisions.clone(),
                committer: committer.clone(),
                database: database.clone(),
                past,
            },
            options.judge,
            options.clock.clone(),
            documents,
            Arc::clone(&guard),
        ));
        let front = serve::Front {
            router: api::router(&api),
            traffic: api.traffic(),
            origins,
            server: options.server_tokens.then(serve::server),
            latency_tokens: options.latency_tokens,
            access_log: options.access_log,
        };
        let listening = Listening::start(options.listeners, &options.tls, front);
        let listening = listening.map_err(StartError::Listen)?;
        let mut heeding = JoinSet::new();
        heeding.spawn(tidy(committer.clone()));
        heeding.spawn(expiry::sweep(committer.clone(), revisions.clone(), options.clock));
        if let Some((tail, told)) = tail {
            follow_others(&mut heeding, tail, told, &committer, &revisions);
        }
        Ok(Self {
            api,
            guard,
            revisions,
            trust,
            steps,
            node_id,
            listening,
            heeding,
            committer,
            committed,
            database,
        })
    }

    /// The newest revision, and every one after it that is not overtaken.
    pub fn revisions(&self) -> watch::Receiver<Arc<Revision>> {
        self.revisions.clone()
    }

    /// The public half of the key that signs revisions.
    pub fn trust(&self) -> [u8; 32] {
        self.trust
    }

    /// The steps the log kept of those that led to the revision the database was opened at, oldest
    /// first. Handed out once.
    pub fn take_steps(&mut self) -> Vec<Touched> {
        std::mem::take(&mut self.steps)
    }

    /// This control plane's id, which the database keeps.
    pub fn node_id(&self) -> Uuid {
        self.node_id
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.listening.addresses()
    }

    /// Has connections that begin from now on show and ask for this, and requests from now on judged by
    /// these rules.
    ///
    /// # Errors
    /// If TLS cannot be spoken so: then nothing changes.
    pub fn renew(&self, tls: &Tls, rules: Rules) -> Result<(), TlsError> {
        self.listening.renew(tls)?;
        self.guard.renew(rules);
        Ok(())
    }

    /// What operators should be told about who is let in.
    pub fn warnings(&self) -> impl Fn() -> Vec<String> + Send + Sync + 'static {
        let guard = Arc::clone(&self.guard);
        move || guard.rules().warnings.clone()
    }

    /// Shows these data planes from now on.
    pub fn observe(&self, vitals: Arc<dyn Vitals>) {
        self.api.observe(vitals);
    }

    /// Has `POST /config` answered when the workers whose verdicts these are serve what it brought.
    pub fn follow(&self, verdicts: watch::Receiver<Verdict>) {
        self.api.follow(verdicts);
    }

    /// Puts a document in the place of everything, as at start: where there is no database, and
    /// unless it is what there is. Says whether it did.
    ///
    /// # Errors
    /// If the engine would not serve it: nothing changes.
    pub async fn begin_again(&self, document: &Beginning) -> Result<bool, BeginError> {
        self.api.begin_again(document).await
    }

    /// Listens to what data planes prove to have. A revision ahead of the head means that the database
    /// was restored: the epoch is raised above it, so that all data planes take what is there now.
    pub fn heed(&mut self, mut ahead: watch::Receiver<Option<RevisionId>>) {
        let committer = self.committer.clone();
        self.heeding.spawn(async move {
            loop {
                let latest = *ahead.borrow_and_update();
                if let Some(latest) = latest {
                    committer.raise(latest).await;
                }
                if ahead.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// Whether the database answers, asked once a second. None where there is no database.
    pub fn reachable(&mut self) -> Option<watch::Receiver<bool>> {
        let database = self.database.clone()?;
        let (tell, told) = watch::channel(true); // it has just been opened
        self.heeding.spawn(async move {
            while !tell.is_closed() {
                sleep(ASK_EVERY).await;
                let answer = timeout(ASK_EVERY, database.is_reachable()).await;
                tell.send_replace(answer.unwrap_or(false));
            }
        });
        Some(told)
    }

    /// Stops listening, lets requests in flight finish (within `patience`, and ten seconds at most),
    /// and closes the database.
    pub async fn shutdown(self, patience: Duration) {
        let Self { api, listening, mut heeding, committer, committed, .. } = self;
        listening.shutdown(patience.min(GRACE)).await;
        heeding.shutdown().await;
        drop((api, committer)); // with them goes the last of the queue
        if timeout(CLOSING, committed).await.is_err() {
            warn!("[admin] the database is still busy after {CLOSING:?} and was not closed");
        }
    }
}

/// Has the log let go of what is too old, where nobody writes.
async fn tidy(committer: Committer) {
    loop {
        sleep(TIDY_EVERY).await;
        committer.tidy().await;
    }
}

/// What the database has. One that is away is waited for.
async fn open(options: &Options) -> Result<Kept, StartError> {
    let keep = options.keep();
    let mut pause = AGAIN.0;
    loop {
        let (place, name) = match &options.storage {
            Storage::Sqlite(path) => (Place::file(path.clone()), path.display().to_string()),
            Storage::Postgres(at) => {
                (Place::server(Postgres::clone(at), options.migrate), at.to_string())
            }
            Storage::Nowhere(_) => return begin(None).map(|(kept, _)| kept),
        };
        match Store::open(place, keep, options.clock.now()).await {
            Ok(opened) => {
                info!("[admin] {name} is at revision {}", opened.head.id);
                return Ok(opened.into());
            }
            Err(error) if error.is_transient() => {
                warn!("[admin] waiting for the database {name}: {}", chain(&error));
                sleep(pause).await;
                pause = (2 * pause).min(AGAIN.1);
            }
            Err(source) => return Err(StartError::Database { place: name, source }),
        }
    }
}

/// Has the committer look for what others wrote whenever that may be something.
fn follow_others(
    tasks: &mut JoinSet<()>,
    tail: Tail,
    mut told: watch::Receiver<u64>,
    committer: &Committer,
    revisions: &watch::Receiver<Arc<Revision>>,
) {
    let (committer, revisions) = (committer.clone(), revisions.clone());
    tasks.spawn(async move {
        let is_known = |position| position <= revisions.borrow().id.position();
        match tail.run(is_known).await {}
    });
    tasks.spawn(async move {
        while told.changed().await.is_ok() {
            committer.refresh().await;
        }
    });
}

/// What the document says; without one, nothing is configured.
fn begin(document: Option<&Beginning>) -> Result<(Kept, Documents), StartError> {
    let config = document.map(|document| document.config().clone()).unwrap_or_default();
    let kept = Kept::by_nobody(config).map_err(StartError::Key)?;
    let entities = kept.head.config.len();
    info!("[admin] without a database, at revision {}: {entities} entities", kept.head.id);
    Ok((kept, Documents::beginning_with(document)))
}
