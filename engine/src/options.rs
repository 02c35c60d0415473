//! What is fixed when the engine starts: listeners, workers, limits, header rules.
//!
//! Plain values, filled in by whoever reads the properties. What an operator may
//! change while running is configuration and arrives as a revision instead.

mod errors; // how errors look
mod http2; // how many requests at a time, and how patient
mod streams; // where streams and datagrams are served

pub use errors::{Errors, Media, Template, TemplateError};
pub use http2::Http2;
pub use streams::{StreamBackend, StreamListen, Streams};

use crate::door;
use crate::snapshot::RouterOptions;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Settings of the engine. The defaults are Kong's, with no listener.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where clients are served. Port 0 takes a free one, the same for every worker.
    pub listen: Vec<Listen>,
    /// Where streams and datagrams are served.
    pub streams: Streams,
    /// How many threads serve them, and where.
    pub workers: Workers,
    /// How routes are written, and which goes first.
    pub router: RouterOptions,
    /// How TLS is spoken with clients, where a listener says so.
    pub tls: Tls,
    /// How clients are treated at the door.
    pub door: door::Options,
    /// How clients are treated that speak HTTP/2, beyond that.
    pub http2: Http2,
    /// Whether a head that is too large is answered 431 (RFC 6585 §5) rather than 400, as Kong does.
    pub strict_status: bool,
    /// What is added to responses and to upstream requests.
    pub headers: Headers,
    /// How errors are told to clients.
    pub errors: Errors,
    /// Whom to believe about where a request came from.
    pub forwarding: Forwarding,
    /// How many clients each worker may be connected with; `None` for as many as there are
    /// descriptors. Beyond it, they wait where the kernel has them wait to be accepted, but for
    /// one that a listener was about to accept when the last place was taken.
    pub connections: Option<u64>,
    /// What carries requests.
    pub lanes: Lanes,
    /// What the express lane waits with for clients in cleartext and their upstreams. TLS, and what Pingora
    /// carries, are not concerned.
    pub io_backend: Backend,
    /// Idle connections to upstreams.
    pub keepalive: Keepalive,
    /// How TLS is spoken with upstreams whose service does not say.
    pub upstream_tls: UpstreamTls,
    /// Where request bodies are kept until all of them has come.
    pub buffering: door::Buffering,
    /// Largest request body in bytes; `None` for any.
    pub max_body: Option<u64>,
    /// The port clients know, by the port listened on, behind a port mapping.
    pub public_ports: BTreeMap<u16, u16>,
    /// Where each request is logged; nowhere if there is none.
    pub access_log: Option<LogSink>,
    /// How much is said of requests that fail.
    pub error_log: ErrorLog,
}

/// What goes to the error log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorLog {
    /// Failed requests that each worker logs in a second: so many that failed by their
    /// upstream, and as many by their client. The rest are only counted.
    pub failures_per_second: u32,
}

impl Default for ErrorLog {
    /// Enough to see what is wrong with several services at once.
    fn default() -> ErrorLog {
        ErrorLog { failures_per_second: 50 }
    }
}

/// Takes the lines of the access log, on a thread that may wait: meanwhile they gather,
/// within bounds, where the engine counts those that do not fit.
#[derive(Clone)]
pub struct LogSink(Arc<dyn Fn(String) + Send + Sync>);

impl LogSink {
    /// Every line goes to `take`.
    pub fn new(take: impl Fn(String) + Send + Sync + 'static) -> LogSink {
        LogSink(Arc::new(take))
    }

    pub(crate) fn line(&self, line: String) {
        (self.0)(line);
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}

/// One address clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where to bind.
    pub addr: SocketAddr,
    /// How many connections the kernel holds until they are accepted.
    pub backlog: u32,
    /// Clients speak TLS.
    pub tls: bool,
    /// Clients may speak HTTP/2: agreed on in the TLS handshake, or begun without asking.
    pub http2: bool,
    /// Whether an IPv6 address is for IPv6 alone.
    pub ipv6_only: bool,
    /// Whether the kernel asks silent clients if they are still there.
    pub keepalive: Option<Probes>,
    /// Every connection begins with a header of the PROXY protocol, and is closed without one.
    pub proxy_protocol: bool,
}

/// How the kernel asks a silent peer; `None` for its own way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// After how long a silence it begins.
    pub idle: Option<Duration>,
    /// How long it waits between two questions.
    pub interval: Option<Duration>,
    /// How many go unanswered before the connection is given up.
    pub count: Option<u32>,
}

impl Listen {
    /// A listener with Kong's defaults.
    pub fn plain(addr: SocketAddr) -> Listen {
        Listen {
            addr,
            backlog: 16_384,
            tls: false,
            http2: false,
            ipv6_only: true,
            keepalive: None,
            proxy_protocol: false,
        }
    }

    /// The same for TLS.
    pub fn tls(addr: SocketAddr) -> Listen {
        Listen { tls: true, ..Listen::plain(addr) }
    }
}

/// How TLS is spoken with clients. The default is Mozilla's `intermediate`, as Kong's.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The oldest version that is spoken.
    pub oldest: TlsVersion,
    /// The newest.
    pub newest: TlsVersion,
    /// Ciphers of TLS 1.2 and before, in OpenSSL's words; `None` for the library's own. Those of
    /// TLS 1.3 are not a matter of choice.
    pub ciphers: Option<String>,
    /// Whether our order of ciphers counts rather than the client's.
    pub prefer_server_ciphers: bool,
    /// Whether sessions are resumed. The keys are made at start and shared by workers.
    pub session_tickets: bool,
    /// What is shown where no certificate is for a name: one, or two with keys of different
    /// types. Without any, some are made that nobody trusts.
    pub certificates: Vec<PemPair>,
}

impl Tls {
    /// The ciphers Mozilla calls `intermediate`.
    pub const INTERMEDIATE: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
        ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
        ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
    /// Those it calls `old`, without the ones that are no longer in the library.
    pub const OLD: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
        ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
        ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
        ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:\
        AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA:AES256-SHA";
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            oldest: TlsVersion::V1_2,
            newest: TlsVersion::V1_3,
            ciphers: Some(Tls::INTERMEDIATE.to_owned()),
            prefer_server_ciphers: false,
            session_tickets: true,
            certificates: Vec::new(),
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // each is the version it spells
pub enum TlsVersion {
    V1_0,
    V1_1,
    V1_2,
    V1_3,
}

/// A certificate chain and its key, in PEM.
#[derive(Clone)]
pub struct PemPair {
    /// The certificate, and those that lead to its root.
    pub cert: String,
    /// Its key.
    pub key: String,
}

/// Never shows the key.
impl fmt::Debug for PemPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemPair").field("cert", &self.cert).finish_non_exhaustive()
    }
}

/// Worker threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workers {
    /// How many; `None` for as many as the CPUs and the quota allow.
    pub count: Option<usize>,
    /// The CPUs they are pinned to; `None` for those the process may use.
    pub cores: Option<Vec<usize>>,
}

/// Which headers are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// `Server`, where the gateway answers itself or the upstream named none.
    pub server: bool,
    /// `Via`, where an upstream answered.
    pub via: bool,
    /// `X-Kong-Proxy-Latency`.
    pub proxy_latency: bool,
    /// `X-Kong-Upstream-Latency`.
    pub upstream_latency: bool,
    /// `X-Kong-Response-Latency`.
    pub response_latency: bool,
    /// `X-Kong-Upstream-Status`.
    pub upstream_status: bool,
    /// `X-Kong-Request-Id`.
    pub request_id: bool,
    /// `X-Kong-Request-Id` towards the upstream, over whatever the client sent.
    pub upstream_request_id: bool,
    /// `Kong-Route-Id`, `Kong-Service-Id` and the names beside them, for clients that
    /// send `Kong-Debug`.
    pub debug: bool,
}

impl Headers {
    /// None of them.
    pub const OFF: Headers = Headers {
        server: false,
        via: false,
        proxy_latency: false,
        upstream_latency: false,
        response_latency: false,
        upstream_status: false,
        request_id: false,
        upstream_request_id: false,
        debug: false,
    };
}

impl Default for Headers {
    fn default() -> Headers {
        Headers {
            server: true,
            via: true,
            proxy_latency: true,
            upstream_latency: true,
            response_latency: true,
            upstream_status: false,
            request_id: true,
            upstream_request_id: true,
            debug: false,
        }
    }
}

/// Whom to believe about where a request came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// Peers whose `X-Forwarded-*` headers are believed.
    pub trusted: Vec<IpNet>,
    /// Where a trusted peer says the client's address.
    pub real_ip: RealIp,
    /// Whether trusted addresses in it are skipped, from the right.
    pub recursive: bool,
}

/// Where a trusted peer says the client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RealIp {
    /// In this header.
    Header(String),
    /// Before the first byte, by the PROXY protocol.
    ProxyProtocol,
}

impl Default for Forwarding {
    fn default() -> Forwarding {
        let real_ip = RealIp::Header("X-Real-IP".to_owned());
        Forwarding { trusted: Vec::new(), real_ip, recursive: false }
    }
}

impl Forwarding {
    /// Whether this peer's word is taken.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|net| net.contains(&peer))
    }
}

/// What carries requests to their upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// Whether HTTP/1.1 in cleartext to an upstream takes the express lane. Without it Pingora carries
    /// everything; answers are the same.
    pub express: bool,
}

impl Default for Lanes {
    fn default() -> Lanes {
        Lanes { express: true }
    }
}

/// How the kernel is asked for bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// By epoll, on each worker's own thread.
    #[default]
    Tokio,
    /// By io_uring, on a thread beside each worker; where it does not work, as `Tokio`.
    IoUring,
}

/// Idle connections to upstreams, per worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// How many are kept; 0 for none.
    pub pool_size: usize,
    /// How long one may be idle; `None` for as long as it likes.
    pub idle_timeout: Option<Duration>,
    /// How many requests one carries before it is closed; `None` for any number.
    pub max_requests: Option<u32>,
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive {
            pool_size: 512,
            idle_timeout: Some(Duration::from_secs(60)),
            max_requests: Some(10_000),
        }
    }
}

/// How TLS is spoken with upstreams whose service does not say.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// Whether their certificates are verified.
    pub verify: bool,
    /// How many intermediate certificates may lead from one to its authority; 1 by default, as with nginx.
    pub verify_depth: u16,
    /// Authorities that are trusted, in PEM.
    pub authorities: Vec<String>,
    /// Whether the system's are trusted as well.
    pub system_authorities: bool,
    /// What an upstream that asks for a certificate is shown.
    pub certificate: Option<PemPair>,
}

impl Default for UpstreamTls {
    fn default() -> UpstreamTls {
        UpstreamTls {
            verify: false,
            verify_depth: 1,
            authorities: Vec::new(),
            system_authorities: true,
            certificate: None,
        }
    }
}
