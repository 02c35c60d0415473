//! A thousand requests and a hundred WebSockets are under way when a node is told to do something else.
//!
//! None of them notices that it reloads, drains or leaves, on either lane, until the time that it was
//! given to leave in is over; then they are cut, all of them, and the node is gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{DbLess, PATIENCE, Site, within};

const REQUESTS: usize = 1000;
const WEBSOCKETS: usize = 100;
/// What every request is answered, in two halves.
const HALF: &str = "held";

#[tokio::test]
async fn what_is_under_way_outlives_reload_and_drain_and_is_finished_before_the_node_leaves() {
    let mut scene = Scene::start().await;
    let mut clients = scene.busy_clients().await;
    scene.told("reload", "reloaded").await;
    scene.node.process.says(&["reloaded"]).await;
    scene.told("drain", "draining").await;
    assert_eq!(scene.node.ready().await.status, 503);
    clients.are_whole("keep-alive", &scene.origin).await;

    clients.ask_again(&scene.origin).await;
    let leaving = scene.tell("quit --timeout 60");
    within(PATIENCE, async || match TcpStream::connect(scene.node.proxy).await {
        Ok(_) => Err("clients are still welcome".to_owned()),
        Err(_) => Ok(()),
    })
    .await;
    clients.are_whole("close", &scene.origin).await;
    assert!(!leaving.is_finished(), "the WebSockets are open");
    drop(clients);
    assert_eq!(leaving.await.unwrap(), "Gateway stopped (gracefully)\n");
    assert!(scene.node.process.exited(PATIENCE).await.success());
}

#[tokio::test]
async fn what_is_still_under_way_when_time_is_over_is_cut() {
    for (words, limit, says) in [
        ("quit --timeout 2", 2, "Timeout, Gateway stopped forcefully\n"),
        ("stop", 0, "Gateway stopped\n"),
    ] {
        let mut scene = Scene::start().await;
        let clients = scene.busy_clients().await;
        let (told, ends) = (Instant::now(), clients.ends());
        let leaving = scene.tell(words);
        let first = ends.await.into_iter().min().unwrap();
        let spared = first.duration_since(told);
        assert!(spared >= Duration::from_secs(limit), "{words}: after {spared:?}");
        assert_eq!(leaving.await.unwrap(), says);
        assert!(scene.node.process.exited(PATIENCE).await.success(), "{words}");
    }
}

/// A node and its origin.
struct Scene {
    node: DbLess,
    origin: Origin,
    _site: Site,
}

impl Scene {
    async fn start() -> Scene {
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
        let (site, origin) = (Site::on(super::LANE).await, Origin::start().await);
        let mut node = DbLess::new(&site);
        node.process.set("log_level", "info");
        node.start().await;
        let route = json!({ "paths": ["/r"], "request_buffering": false });
        let url = format!("http://{}/", origin.address);
        let service = json!({ "name": "s", "url": url, "routes": [route] });
        let document = json!({ "_format_version": "3.0", "services": [service] });
        assert_eq!(node.load(&document.to_string()).await.status, 201);
        within(PATIENCE, async || node.get("/r").await?.with_status(200)).await;
        Scene { node, origin, _site: site }
    }

    /// So many that all of them have reached the origin, and none is finished.
    async fn busy_clients(&self) -> Clients {
        let socket = || WebSocket::connect(self.node.proxy);
        let sockets = try_join_all((0..WEBSOCKETS).map(|_| socket())).await.unwrap();
        let connect = || TcpStream::connect(self.node.proxy);
        let streams = try_join_all((0..REQUESTS).map(|_| connect())).await.unwrap();
        let requests = streams.into_iter().zip(Kind::ALL.into_iter().cycle());
        let requests = requests.map(|(stream, kind)| Request { stream, kind }).collect();
        let mut clients = Clients { requests, sockets };
        clients.ask_again(&self.origin).await;
        clients
    }

    /// A command about the node, while this goes on; what it says.
    fn tell(&self, words: &str) -> JoinHandle<String> {
        let mut command = tokio::process::Command::from(self.node.process.command(words));
        tokio::spawn(async move {
            let output = command.output().await.unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        })
    }

    async fn told(&self, words: &str, says: &str) {
        let said = self.tell(words).await.unwrap();
        assert!(said.contains(says), "{said}");
    }
}

/// How far a request has come when something happens.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Its origin has all of it, and says nothing.
    Asked,
    /// Half of the answer is here.
    Answered,
    /// Half of the request is there.
    Sent,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Asked, Kind::Answered, Kind::Sent];
}

struct Clients {
    requests: Vec<Request>,
    sockets: Vec<WebSocket>,
}

impl Clients {
    /// Another request on every connection, which reaches the origin and is not finished there.
    async fn ask_again(&mut self, origin: &Origin) {
        origin.holds();
        join_all(self.requests.iter_mut().map(Request::ask)).await;
        let mut held = origin.held.subscribe();
        let all = held.wait_for(|held| *held == REQUESTS);
        timeout(PATIENCE, all).await.expect("all have come").unwrap();
    }

    /// All are answered once they may be, and told that their connections go on or not, where
    /// there was time to say so; WebSockets go on.
    async fn are_whole(&mut self, connection: &str, origin: &Origin) {
        join_all(self.sockets.iter_mut().map(WebSocket::talk)).await;
        origin.may.send_replace(true);
        let said = join_all(self.requests.iter_mut().map(Request::finish)).await;
        let cut = said.iter().filter(|said| !said.ends_with(&HALF.repeat(2))).count();
        assert_eq!(cut, 0, "of {REQUESTS} are cut");
        let wanted = format!("\r\nConnection: {connection}\r\n");
        for (said, request) in said.iter().zip(&self.requests) {
            let was_said = request.kind == Kind::Answered || said.contains(&wanted);
            assert!(was_said, "{:?}: {said}", request.kind);
        }
        join_all(self.sockets.iter_mut().map(WebSocket::talk)).await;
    }

    /// When each of them was cut.
    fn ends(self) -> impl Future<Output = Vec<Instant>> {
        let sockets = self.sockets.into_iter().map(|socket| socket.0);
        let streams = self.requests.into_iter().map(|request| request.stream).chain(sockets);
        let ends = streams.map(|mut stream| async move {
            let mut said = Vec::new();
            let end = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
            drop(end.expect("it is cut in the end"));
            let said = String::from_utf8_lossy(&said);
            assert!(!said.ends_with(&HALF.repeat(2)), "nobody has answered: {said}");
            Instant::now()
        });
        // From now on, not from when somebody waits for them.
        let ends: Vec<_> = ends.map(tokio::spawn).collect();
        async { try_join_all(ends).await.unwrap() }
    }
}

/// A request on a connection of its own.
struct Request {
    stream: TcpStream,
    kind: Kind,
}

impl Request {
    async fn ask(&mut self) {
        let kind = self.kind;
        let body = match kind {
            Kind::Asked | Kind::Answered => "\r\n".to_owned(),
            Kind::Sent => format!("Content-Length: {}\r\n\r\n{HALF}", 2 * HALF.len()),
        };
        let request = format!("POST /r/{kind:?} HTTP/1.1\r\nHost: a\r\n{body}");
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// What it is answered in the end.
    async fn finish(&mut self) -> String {
        if self.kind == Kind::Sent {
            self.stream.write_all(HALF.as_bytes()).await.unwrap();
        }
        let mut said = Vec::new();
        let reading = async {
            while !said.ends_with(HALF.repeat(2).as_bytes()) {
                if !matches!(self.stream.read_buf(&mut said).await, Ok(1..)) {
                    break;
                }
            }
        };
        timeout(PATIENCE, reading).await.expect("an answer, or an end");
        String::from_utf8(said).unwrap()
    }
}

/// As far as a proxy can tell.
struct WebSocket(TcpStream);

impl WebSocket {
    async fn connect(at: SocketAddr) -> std::io::Result<WebSocket> {
        let mut stream = TcpStream::connect(at).await?;
        let head = "GET /r/socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        let said = head_of(&mut stream, &mut Vec::new()).await.unwrap_or_default();
        assert!(said.starts_with("HTTP/1.1 101 "), "{said}");
        Ok(WebSocket(stream))
    }

    /// Says something, which comes back.
    async fn talk(&mut self) {
        const TEXT: &[u8] = b"\x81\x85abcd\x09\x07\x0f\x08\x0e";
        self.0.write_all(TEXT).await.unwrap();
        let mut said = [0; TEXT.len()];
        timeout(PATIENCE, self.0.read_exact(&mut said)).await.expect("an echo").unwrap();
        assert_eq!(said, TEXT);
    }
}

/// Takes the next head off a stream, and what came with it from `rest`. `None` at its end.
async fn head_of(stream: &mut TcpStream, rest: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = rest.drain(..at + 4).collect();
            return String::from_utf8(head).ok();
        }
        matches!(stream.read_buf(rest).await, Ok(1..)).then_some(())?;
    }
}

/// Holds every request until it may be answered.
struct Origin {
    address: SocketAddr,
    /// How many are held, and have not been let go since.
    held: Arc<watch::Sender<usize>>,
    may: Arc<watch::Sender<bool>>,
}

impl Origin {
    async fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let origin = Origin { address, held: Arc::default(), may: Arc::default() };
        let (held, may) = (origin.held.clone(), origin.may.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (held, may) = (held.clone(), may.clone());
                // The gateway may hang up at any time: then there is nobody to be told.
                tokio::spawn(async move { drop(serve(stream, &held, &may).await) });
            }
        });
        origin
    }

    /// It is to hold requests from now on.
    fn holds(&self) {
        self.may.send_replace(false);
        self.held.send_replace(0);
    }
}

async fn serve(
    mut stream: TcpStream,
    held: &watch::Sender<usize>,
    may: &watch::Sender<bool>,
) -> std::io::Result<()> {
    let (mut rest, length) = (Vec::new(), 2 * HALF.len());
    let begin = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{HALF}");
    while let Some(head) = head_of(&mut stream, &mut rest).await {
        let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        let kind = Kind::ALL.into_iter().find(|kind| path == format!("{kind:?}"));
        let hold = async || {
            held.send_modify(|held| *held += 1);
            drop(may.subscribe().wait_for(|may| *may).await);
        };
        match kind {
            None if path == "socket" => return echo(stream).await,
            None => stream.write_all(format!("{begin}{HALF}").as_bytes()).await?,
            Some(Kind::Asked) => {
                hold().await;
                stream.write_all(format!("{begin}{HALF}").as_bytes()).await?;
            }
            Some(Kind::Answered) => {
                stream.write_all(begin.as_bytes()).await?;
                hold().await;
                stream.write_all(HALF.as_bytes()).await?;
            }
            Some(Kind::Sent) => {
                while rest.len() < HALF.len() {
                    stream.read_buf(&mut rest).await?;
                }
                hold().await;
                while rest.len() < length {
                    stream.read_buf(&mut rest).await?;
                }
                rest.clear();
                stream.write_all(format!("{begin}{HALF}").as_bytes()).await?;
            }
        }
    }
    Ok(())
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let head =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let (mut read, mut write) = stream.split();
    tokio::io::copy(&mut read, &mut write).await.map(drop)
}
