//! A control plane in the test's own process, fed by hand: it says whatever the test wants said.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use cluster::cache::{Cache, Limits, Options};
use cluster::client::Keep;
use cluster::ed25519::{PublicKey, SigningKey};
use cluster::server::{DEFAULT_PURGE_DELAY, HubOptions, MOST_DATA_PLANES};
use cluster::tls::Credentials;
use cluster::trust::Trust;
use cluster::{Server, server};
use model::revision::Signature;
use model::testing::{route, service};
use model::{Config, Revision, RevisionId};
use tokio::sync::watch;

use super::{Site, free_port};

/// The real link, with revisions from the test.
pub struct ByHand {
    pub cluster: SocketAddr,
    key: SigningKey,
    history: Vec<Arc<Revision>>,
    revisions: watch::Sender<Arc<Revision>>,
    server: Option<Server>,
}

impl ByHand {
    /// Nothing is configured, and nobody listens yet.
    pub fn new() -> Self {
        let key = SigningKey::generate().unwrap();
        let first = Arc::new(Revision { signature: None, ..Revision::default() });
        let revisions = watch::Sender::new(first);
        Self { cluster: free_port(), key, history: Vec::new(), revisions, server: None }
    }

    /// Listens for data planes.
    pub fn listen(&mut self, site: &Site) {
        let (trust, revisions) = (self.key.public(), self.revisions.subscribe());
        self.server = Some(link(site, self.cluster, trust, revisions));
    }

    /// A next revision, with one more route; it leads from this path to this URL.
    pub fn expose(&mut self, path: &str, url: &str) {
        let mut config = self.newest().config.clone();
        let name = format!("at{}", path.replace('/', "-"));
        let service = service(&name).url(url).build();
        config.write(route(&name).path(path).to(&service).build());
        config.write(service);
        self.publish(config);
    }

    /// A next revision, with this content.
    pub fn publish(&mut self, config: Config) {
        let id =
            RevisionId { epoch: 1, version: self.newest().id.version + 1, hash: config.hash() };
        let signature = Signature::from_bytes(self.key.sign(&id.signed_bytes()).unwrap());
        let next = Arc::new(Revision { id, signature: Some(signature), config });
        self.history.push(Arc::clone(&next));
        self.revisions.send_replace(next);
    }

    pub fn newest(&self) -> Arc<Revision> {
        self.revisions.borrow().clone()
    }

    /// All hashes there have been, oldest first.
    pub fn hashes(&self) -> Vec<String> {
        self.history.iter().map(|revision| revision.id.hash.to_string()).collect()
    }

    /// How the data planes fare.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it listens")
    }

    /// Makes the prefix of a data plane that has been told everything so far, one revision after the
    /// other, and begins a generation of its cache after this many.
    pub fn tell(&self, prefix: &Path, per_generation: u64) {
        self.keep(prefix, per_generation, &self.history);
    }

    /// Makes the prefix of a data plane that was told everything at once.
    pub fn tell_at_once(&self, prefix: &Path) {
        self.keep(prefix, Limits::default().frames, &[self.newest()]);
    }

    fn keep(&self, prefix: &Path, per_generation: u64, revisions: &[Arc<Revision>]) {
        std::fs::create_dir_all(prefix).unwrap();
        let trust = Arc::new(Trust::load(prefix, None).unwrap());
        trust.meet(self.key.public()).unwrap();
        let limits = Limits { frames: per_generation, ..Limits::default() };
        let dir = prefix.join("dbless.lmdb");
        let (cache, _) = Cache::open(Options { dir, trust, limits }).unwrap();
        for revision in revisions {
            cache.keep(revision).unwrap();
            cache.settle();
        }
    }
}

/// The control plane's end of the link, as a control plane of this site starts it.
pub fn link(
    site: &Site,
    at: SocketAddr,
    trust: PublicKey,
    revisions: watch::Receiver<Arc<Revision>>,
) -> Server {
    let read = |path: &Path| std::fs::read(path).unwrap();
    let (cert, key) = (read(&site.pair.cert), read(&site.pair.key));
    let options = server::Options {
        listeners: vec![TcpListener::bind(at).unwrap()],
        credentials: Credentials::from_pem(&cert, &key).unwrap(),
        hub: HubOptions {
            trust,
            version: model::VERSION.to_owned(),
            purge_delay: DEFAULT_PURGE_DELAY,
            most_data_planes: MOST_DATA_PLANES,
            steps: Vec::new(),
            settings: Default::default(),
        },
    };
    Server::start(options, revisions).unwrap()
}
