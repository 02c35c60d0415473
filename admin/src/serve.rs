//! Connections to the Admin API, and what every response says whatever made it.
//!
//! Clients are bounded: how many, how long a head may take, how large it is, how
//! long an answer may wait to be taken, how long nothing may be asked for. A
//! connection here is any stream of bytes.

mod wire; // the bytes of one connection
mod pace; // whether answers are being taken
mod idle; // whether anything is asked for

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION, HeaderName, ORIGIN,
    SERVER, USER_AGENT,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use idle::Idle;
use pace::Pace;
use wire::{Unread, Watched, Wire};

/// Connections at a time; more wait in the kernel.
const CONNECTIONS: usize = 4096;

/// How long a head may take, and how long a connection may be idle: nginx's default.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest head; nginx stops at 4 × 8 KiB.
const HEAD_BYTES: usize = 32 * 1024;

const ADMIN_LATENCY: HeaderName = HeaderName::from_static("x-kong-admin-latency");

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Takes note of a request that was answered. Must not wait.
pub type AccessLog = Box<dyn Fn(&Access<'_>) + Send + Sync>;

/// One answered request, for the access log.
#[derive(Debug)]
pub struct Access<'a> {
    /// Who asked.
    pub peer: IpAddr,
    /// The method.
    pub method: &'a Method,
    /// Path and query, as sent.
    pub target: &'a str,
    /// The protocol.
    pub version: Version,
    /// The answer.
    pub status: StatusCode,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// The client's name for itself.
    pub user_agent: Option<&'a str>,
}

/// How much has been served.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Connections ever accepted.
    pub(crate) accepted: AtomicU64,
    /// Connections open.
    pub(crate) active: AtomicU64,
    /// Requests ever begun.
    pub(crate) requests: AtomicU64,
    /// Requests not answered yet.
    pub(crate) in_flight: AtomicU64,
}

/// Serves any router as the Admin API is served: clients are bounded, and responses look the same.
/// It goes on until what is returned is dropped. Must be called within a tokio runtime.
pub fn serve(listeners: Vec<std::net::TcpListener>, router: Router) -> io::Result<Serving> {
    let traffic = Arc::default();
    let front = Front {
        router,
        traffic,
        server: Some(server()),
        latency_tokens: false,
        origins: Vec::new(),
        access_log: None,
    };
    Listening::start(listeners, front).map(Serving)
}

/// Listeners that are served for as long as this lives.
#[must_use = "dropped, it stops"]
pub struct Serving(#[expect(dead_code, reason = "held for its drop")] Listening);

/// What stands before the router.
pub(crate) struct Front {
    pub(crate) router: Router,
    pub(crate) traffic: Arc<Traffic>,
    /// What responses call this server, if anything.
    pub(crate) server: Option<HeaderValue>,
    pub(crate) latency_tokens: bool,
    /// Those that browsers may have pages from that ask; none for all.
    pub(crate) origins: Vec<HeaderValue>,
    pub(crate) access_log: Option<AccessLog>,
}

/// The open listeners.
pub(crate) struct Listening {
    addresses: Vec<SocketAddr>,
    accepting: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Listening {
    /// Serves every listener. Must be called within a tokio runtime.
    pub(crate) fn start(listeners: Vec<std::net::TcpListener>, front: Front) -> io::Result<Self> {
        let (front, places) = (Arc::new(front), Arc::new(Semaphore::new(CONNECTIONS)));
        let mut listening = Self {
            addresses: Vec::new(),
            accepting: JoinSet::new(),
            stop: watch::Sender::new(false),
        };
        for listener in listeners {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            let address = listener.local_addr()?;
            debug!("[admin] listening on {address}");
            listening.addresses.push(address);
            let gate = Gate {
                front: Arc::clone(&front),
                places: Arc::clone(&places),
                stop: listening.stop.subscribe(),
            };
            listening.accepting.spawn(gate.accept(listener));
        }
        Ok(listening)
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Accepts no more, and waits for what is in flight, for as long as `patience`.
    pub(crate) async fn shutdown(mut self, patience: Duration) {
        self.stop.send_replace(true);
        let all = async { while self.accepting.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            warn!("[admin] requests still in flight after {patience:?} were cut off");
        }
        self.accepting.shutdown().await;
    }
}

struct Gate {
    front: Arc<Front>,
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Gate {
    async fn accept(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        let mut stop = self.stop.clone();
        // A place first: whoever cannot have one waits unaccepted.
        while let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
            let next = self.next(&listener, &mut stop, &mut connections).await;
            let Some((stream, peer)) = next else { break };
            let (front, stop) = (Arc::clone(&self.front), self.stop.clone());
            connections.spawn(async move {
                let _place = place; // held as long as the connection
                let _ = stream.set_nodelay(true); // answers leave at once, or a little later
                carry(stream, peer, front, stop).await;
            });
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// The next connection; none once told to stop.
    async fn next(
        &self,
        listener: &TcpListener,
        stop: &mut watch::Receiver<bool>,
        connections: &mut JoinSet<()>,
    ) -> Option<(TcpStream, SocketAddr)> {
        loop {
            tokio::select! {
                () = stopped(stop) => return None,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => return Some(accepted),
                    Err(failure) => {
                        warn!("[admin] accepting failed: {failure}");
                        // Out of descriptors, most likely: closing one takes a moment.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }
}

/// What clients take this server for: they read the compatible version here.
pub(crate) fn server() -> HeaderValue {
    HeaderValue::try_from(format!("kong/{}", model::COMPAT)).expect("a version is plain text")
}

/// Resolves when told to stop; whoever could tell being gone counts, too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One connection, from the first byte to the last.
async fn carry<IO>(io: IO, peer: SocketAddr, front: Arc<Front>, mut stop: watch::Receiver<bool>)
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let _open = Gauge::up(&front.traffic, |traffic| &traffic.active);
    front.traffic.accepted.fetch_add(1, Ordering::Relaxed);
    let (unread, pace, idle) = (Unread::default(), Pace::default(), Idle::new());
    let serial = OnceLock::new(); // open from the first request of HTTP/1 on
    let service = service_fn(|request: Request<Incoming>| {
        let front = Arc::clone(&front);
        let request = request.map(|body| unread.watch(body));
        let stream = (request.version() == Version::HTTP_2).then(|| (idle.open(), pace.clone()));
        if stream.is_none() {
            serial.get_or_init(|| idle.open());
        }
        async move {
            let response = front.answer(request, peer.ip()).await;
            let response = match stream {
                Some((stream, pace)) => response.map(|body| pace.keep(body, stream)),
                None => response,
            };
            Ok::<_, Infallible>(response)
        }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES as u32)
        .max_concurrent_streams(64)
        .keep_alive_interval(HEAD_TIMEOUT)
        .keep_alive_timeout(HEAD_TIMEOUT);
    let io = TokioIo::new(Wire::new(io, unread.clone()));
    let mut connection = std::pin::pin!(server.serve_connection(io, service));
    let until_it_ends = async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stopped(&mut stop) => {}
            () = idle.too_long() => debug!("[admin] {peer} asked for nothing within {HEAD_TIMEOUT:?}"),
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection => ended,
            () = idle.too_long() => Ok(()), // it does not go by itself
        }
    };
    tokio::select! {
        ended = until_it_ends => if let Err(failure) = ended {
            debug!("[admin] the connection from {peer} ended: {failure}");
        },
        () = pace.lost() => debug!("[admin] {peer} does not take what it asked for"),
    }
}

impl Front {
    async fn answer(&self, mut request: Request<Watched>, peer: IpAddr) -> Response<Body> {
        let start = Instant::now();
        let _in_flight = Gauge::up(&self.traffic, |traffic| &traffic.in_flight);
        self.traffic.requests.fetch_add(1, Ordering::Relaxed);
        let asked = Asked::of(&request);
        request.extensions_mut().insert(Peer(peer));
        *request.uri_mut() = without_trailing_slash(request.uri());
        let answered = TowerToHyperService::new(self.router.clone()).call(request).await;
        let mut response = match answered {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let took = start.elapsed();
        self.sign(response.headers_mut(), &asked, took);
        if is_body_given_up(response.status()) && asked.version < Version::HTTP_2 {
            // Whoever reads this stops sending.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.log(&asked, peer, &response, took);
        response
    }

    /// The headers that every response has.
    fn sign(&self, headers: &mut HeaderMap, asked: &Asked, took: Duration) {
        let origin = self.origin_for(asked.origin.as_ref());
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if let Some(server) = &self.server {
            headers.insert(SERVER, server.clone());
        }
        if self.latency_tokens {
            headers.insert(ADMIN_LATENCY, (took.as_millis() as u64).into());
        }
    }

    /// The origin that may read the answer: the one that asks if it is one of ours, else the first of
    /// ours; anyone, where we have none.
    fn origin_for(&self, asked: Option<&HeaderValue>) -> HeaderValue {
        match (asked, self.origins.first()) {
            (Some(asked), None) => asked.clone(),
            (None, None) => HeaderValue::from_static("*"),
            (Some(asked), _) if self.origins.contains(asked) => asked.clone(),
            (_, Some(first)) => first.clone(),
        }
    }

    fn log(&self, asked: &Asked, peer: IpAddr, response: &Response<Body>, took: Duration) {
        let Some(log) = &self.access_log else { return };
        log(&Access {
            peer,
            method: &asked.method,
            target: asked.uri.path_and_query().map_or("", PathAndQuery::as_str),
            version: asked.version,
            status: response.status(),
            bytes: response.body().size_hint().exact().unwrap_or(0),
            took,
            user_agent: asked.user_agent.as_ref().and_then(|name| name.to_str().ok()),
        });
    }
}

/// Whether this says that the rest of the request's body will not be read.
fn is_body_given_up(status: StatusCode) -> bool {
    matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT)
}

/// What is known of a request after it was given away.
struct Asked {
    method: Method,
    uri: Uri,
    version: Version,
    origin: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

impl Asked {
    fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            origin: request.headers().get(ORIGIN).cloned(),
            user_agent: request.headers().get(USER_AGENT).cloned(),
        }
    }
}

/// Whether a path ends in a slash makes no difference.
fn without_trailing_slash(uri: &Uri) -> Uri {
    let path = uri.path();
    let Some(shorter) = path.strip_suffix('/').filter(|shorter| !shorter.is_empty()) else {
        return uri.clone();
    };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(format!("{shorter}{query}")).ok();
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// A count that goes down again when this is dropped, however that comes about.
struct Gauge {
    traffic: Arc<Traffic>,
    of: fn(&Traffic) -> &AtomicU64,
}

impl Gauge {
    fn up(traffic: &Arc<Traffic>, of: fn(&Traffic) -> &AtomicU64) -> Self {
        of(traffic).fetch_add(1, Ordering::Relaxed);
        Self { traffic: Arc::clone(traffic), of }
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        (self.of)(&self.traffic).fetch_sub(1, Ordering::Relaxed);
    }
}

/// As Kong's log has it, without who and when: `"GET /routes HTTP/1.1" 200 23`.
impl fmt::Display for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, target, version, status, bytes, .. } = self;
        write!(f, "\"{method} {target} {version:?}\" {} {bytes}", status.as_u16())
    }
}

#[cfg(test)]
mod tests;
