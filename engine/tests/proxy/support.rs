//! A running engine, an origin that remembers what it was sent, and a client that
//! says exactly what it is told to.

use boring::asn1::Asn1Time;
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::PKey;
use boring::ssl::{SslAcceptor, SslAcceptorBuilder, SslMethod};
use boring::x509::X509;
use engine::options::{Backend, Listen};
use engine::{Engine, Handle, Options};
use model::entities::{Route, Service};
use model::testing::{revision, route, service};
use model::{Config, Revision};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// Nothing here should take long; what does is a failure, not a reason to wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An engine on a port of its own.
pub(crate) struct Gateway {
    pub(crate) handle: Handle,
    pub(crate) addr: SocketAddr,
    revisions: watch::Sender<Arc<Revision>>,
}

impl Gateway {
    /// One worker, Kong's defaults.
    pub(crate) async fn start(config: Config) -> Gateway {
        Gateway::with(config, 1, |_| {}).await
    }

    /// Starts with this configuration and waits until it is served.
    pub(crate) async fn with(
        config: Config,
        workers: usize,
        change: impl FnOnce(&mut Options),
    ) -> Gateway {
        let mut options = Options {
            listen: vec![Listen::plain(([127, 0, 0, 1], 0).into())],
            // What the module says that these tests are in.
            lanes: super::LANES,
            ..Options::default()
        };
        options.workers.count = Some(workers);
        options.io_backend = backend();
        change(&mut options);
        let (revisions, followed) = watch::channel(Revision::empty());
        let handle = Engine::start(options, followed).unwrap();
        let gateway = Gateway { addr: handle.addresses()[0], handle, revisions };
        gateway.apply(1, config).await;
        gateway
    }

    /// Publishes a configuration and waits until every worker serves it.
    pub(crate) async fn apply(&self, version: u64, config: Config) {
        let revision = revision(version, config);
        let id = revision.id;
        self.revisions.send_replace(revision);
        let mut verdicts = self.handle.verdicts();
        let verdict = verdicts.wait_for(|verdict| {
            verdict.effective == Some(id)
                || verdict.refused.as_ref().is_some_and(|refusal| refusal.revision == id)
        });
        let verdict = within(verdict).await.unwrap().clone();
        assert_eq!(verdict.effective, Some(id), "{:?}", verdict.refused);
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.addr).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Response {
        self.connect().await.ask(request).await
    }
}

/// The same is true of either backend: the tests called `ring` are of io_uring, and so are all with
/// `GATEWAY_TEST_BACKEND=io_uring`.
fn backend() -> Backend {
    let told = std::env::var("GATEWAY_TEST_BACKEND");
    match env!("CARGO_CRATE_NAME") == "ring" || told.as_deref() == Ok("io_uring") {
        true => Backend::IoUring,
        false => Backend::Tokio,
    }
}

/// Whether all of a worker's requests share their upstream connections: each of its threads has its own.
pub(crate) fn has_one_pool() -> bool {
    backend() == Backend::Tokio
}

/// Fails the test when it takes too long.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// A configuration of one service and one route to it.
pub(crate) fn one(
    url: &str,
    change: impl FnOnce(model::testing::RouteBuilder) -> model::testing::RouteBuilder,
) -> Config {
    let service = service("s").url(url).build();
    let route = change(route("r").to(&service)).build();
    config([service], [route])
}

pub(crate) fn config(
    services: impl IntoIterator<Item = Service>,
    routes: impl IntoIterator<Item = Route>,
) -> Config {
    let mut config = Config::default();
    for service in services {
        config.write(service);
    }
    for route in routes {
        config.write(route);
    }
    config
}

/// What the origin was sent.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The how many-th connection it came on, from 0.
    pub(crate) connection: usize,
}

impl Received {
    /// The values of a field, spelled exactly so.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} twice: {all:?}");
        all.first().copied()
    }
}

fn values<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let same = fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
    same.map(|(_, value)| value.as_str()).collect()
}

/// What the origin does with a request.
pub(crate) enum Act {
    /// Answers, and keeps the connection.
    Say(Vec<u8>),
    /// Answers and closes.
    SayAndClose(Vec<u8>),
    /// Answers and echoes from then on.
    Echo(Vec<u8>),
    /// Never answers.
    Hang,
}

impl Act {
    pub(crate) fn ok(body: &str) -> Act {
        Act::say(200, &[], body)
    }

    pub(crate) fn say(status: u16, fields: &[(&str, &str)], body: &str) -> Act {
        let fields: String = fields.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        let length = body.len();
        Act::Say(
            format!("HTTP/1.1 {status} Fine\r\nContent-Length: {length}\r\n{fields}\r\n{body}")
                .into(),
        )
    }
}

/// An upstream on a port of its own.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Received>>>,
}

impl Origin {
    pub(crate) async fn start(act: impl Fn(&Received) -> Act + Send + Sync + 'static) -> Origin {
        Origin::listening(act, async |stream| Some(stream)).await
    }

    /// One that speaks TLS, with a certificate of its own making.
    pub(crate) async fn secure(act: impl Fn(&Received) -> Act + Send + Sync + 'static) -> Origin {
        let acceptor = Arc::new(acceptor().build());
        let handshake = move |stream| {
            let acceptor = acceptor.clone();
            async move { tokio_boring::accept(&acceptor, stream).await.ok() }
        };
        Origin::listening(act, handshake).await
    }

    async fn listening<S, F>(
        act: impl Fn(&Received) -> Act + Send + Sync + 'static,
        begin: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Origin
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
        F: Future<Output = Option<S>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin =
            Origin { addr: listener.local_addr().unwrap(), seen: Arc::new(Mutex::new(Vec::new())) };
        let (act, begin, seen) = (Arc::new(act), Arc::new(begin), origin.seen.clone());
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (act, begin, seen) = (act.clone(), begin.clone(), seen.clone());
                tokio::spawn(async move {
                    if let Some(stream) = begin(stream).await {
                        serve(stream, connection, &*act, &seen).await;
                    }
                });
            }
        });
        origin
    }

    /// One that answers `hello`.
    pub(crate) async fn plain() -> Origin {
        Origin::start(|_| Act::ok("hello")).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn seen(&self) -> Vec<Received> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Received {
        self.seen().pop().expect("a request")
    }
}

/// With a certificate of its own making.
pub(crate) fn acceptor() -> SslAcceptorBuilder {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_certificate(&certificate.build()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    act: &(impl Fn(&Received) -> Act + Send + Sync),
    seen: &Mutex<Vec<Received>>,
) {
    let mut wire = Wire::new(stream);
    while let Some((line, fields)) = wire.head().await {
        let Some(body) = wire.body(&fields, false).await else { return };
        let received = Received { line, fields, body, connection };
        let act = act(&received);
        seen.lock().unwrap().push(received);
        match act {
            Act::Say(bytes) => wire.stream.write_all(&bytes).await.unwrap_or_default(),
            Act::SayAndClose(bytes) => {
                return wire.stream.write_all(&bytes).await.unwrap_or_default();
            }
            Act::Hang => return std::future::pending().await,
            Act::Echo(bytes) => {
                wire.stream.write_all(&bytes).await.unwrap();
                wire.stream.write_all(&wire.buffer).await.unwrap();
                let (mut read, mut write) = tokio::io::split(wire.stream);
                tokio::io::copy(&mut read, &mut write).await.unwrap_or_default();
                return;
            }
        }
    }
}

/// What the client was answered.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} twice: {all:?}");
        all.first().copied()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.one("X-Kong-Request-Id").expect("an id")
    }
}

/// An origin that answers `held` when it may.
pub(crate) struct Held {
    pub(crate) addr: SocketAddr,
    pub(crate) asked: Arc<Notify>,
}

pub(crate) async fn held(mut may: watch::Receiver<bool>) -> Held {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let held = Held { addr: listener.local_addr().unwrap(), asked: Arc::default() };
    let asked = held.asked.clone();
    tokio::spawn(async move {
        let mut wire = Wire::new(listener.accept().await.unwrap().0);
        wire.head().await.unwrap();
        asked.notify_one();
        may.wait_for(|may| *may).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nheld";
        wire.stream.write_all(answer).await.unwrap();
        wire.head().await
    });
    held
}

/// A client's connection.
pub(crate) struct Client(pub(crate) Wire<TcpStream>);

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Client {
        Client(Wire::new(within(TcpStream::connect(addr)).await.unwrap()))
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.0.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// The next response, to a request that was not HEAD.
    pub(crate) async fn response(&mut self) -> Response {
        within(self.0.response(false)).await.expect("a response")
    }

    pub(crate) async fn ask(&mut self, request: &str) -> Response {
        self.send(request).await;
        let is_head = request.starts_with("HEAD ");
        within(self.0.response(is_head))
            .await
            .unwrap_or_else(|| panic!("no response to {request:?}"))
    }

    /// Whether the gateway has closed, with nothing more to say.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        self.0.buffer.is_empty() && matches!(within(self.0.stream.read(&mut byte)).await, Ok(0))
    }
}

/// Reads HTTP/1, without asking whether it makes sense.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    pub(crate) buffer: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Wire<S> {
        Wire { stream, buffer: Vec::new() }
    }

    pub(crate) async fn response(&mut self, is_head: bool) -> Option<Response> {
        let (line, fields) = self.head().await?;
        let status: u16 = line.split(' ').nth(1)?.parse().ok()?;
        let bodyless = is_head || status == 101 || status == 204 || status == 304;
        let body = if bodyless { Vec::new() } else { self.body(&fields, true).await? };
        assert_eq!(
            values(&fields, "Server").iter().find(|server| server.contains("Pingora")),
            None
        );
        Some(Response { status, line, fields, body })
    }

    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    pub(crate) async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.more().await {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self.buffer.windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                return self.take(at + end.len()).await;
            }
            if !self.more().await {
                return None;
            }
        }
    }

    pub(crate) async fn head(&mut self) -> Option<(String, Vec<(String, String)>)> {
        let head = String::from_utf8_lossy(&self.until(b"\r\n\r\n").await?).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next()?.to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a field");
            (name.to_owned(), value.to_owned())
        };
        Some((line, lines.map(field).collect()))
    }

    /// `to_end`: without framing it goes on until the stream ends.
    async fn body(&mut self, fields: &[(String, String)], to_end: bool) -> Option<Vec<u8>> {
        if let Some(length) = values(fields, "Content-Length").first() {
            return self.take(length.parse().unwrap()).await;
        }
        let mut body = Vec::new();
        if values(fields, "Transfer-Encoding") == ["chunked"] {
            loop {
                let size = String::from_utf8(self.until(b"\r\n").await?).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                body.extend(self.take(size).await?);
                self.until(b"\r\n").await?;
                if size == 0 {
                    return Some(body);
                }
            }
        }
        if to_end {
            while self.more().await {}
            body.append(&mut self.buffer);
        }
        Some(body)
    }
}
