//! What is tried again when an upstream misbehaves, how often, and what the client is told.

use super::support::{Client, Gateway, PATIENCE, Wire, config, within};
use model::testing::{ServiceBuilder, route, service};
use socket2::{Domain, SockRef, Socket, Type};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What an upstream does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// Closes it at once.
    Close,
    /// Resets it at once.
    Reset,
    /// Reads the head, and closes.
    ReadHeadAndClose,
    /// Reads the whole request first, then closes.
    ReadAndClose,
    /// Reads the whole request first, then resets.
    ReadAndReset,
    /// Begins a head, and closes.
    Begin,
    /// Says something that is no HTTP.
    Babble,
    /// Reads and says nothing.
    Hang,
    /// Answers, but breaks off in the body.
    BreakOff,
    /// Answers with this status.
    Answer(u16),
}

/// An upstream that does one deed after the other, the last of them for ever.
struct Origin {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Origin {
    async fn start(deeds: &[Deed]) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let origin = Origin { addr, connections: Arc::default(), bodies: Arc::default() };
        let (connections, bodies) = (origin.connections.clone(), origin.bodies.clone());
        let deeds = deeds.to_vec();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let count = connections.fetch_add(1, SeqCst);
                let deed = deeds[count.min(deeds.len() - 1)];
                tokio::spawn(done(deed, stream, bodies.clone()));
            }
        });
        origin
    }

    fn tries(&self) -> usize {
        self.connections.load(SeqCst)
    }

    fn service(&self) -> ServiceBuilder {
        service("s").url(&format!("http://{}", self.addr)).with("retries", 2)
    }
}

async fn done(deed: Deed, mut stream: TcpStream, bodies: Arc<Mutex<Vec<Vec<u8>>>>) {
    if deed == Deed::Reset {
        return reset(stream);
    }
    if deed == Deed::Close {
        return;
    }
    if deed == Deed::ReadHeadAndClose {
        return drop(Wire::new(stream).head().await);
    }
    let Some(body) = request(&mut stream).await else { return };
    bodies.lock().unwrap().push(body);
    match deed {
        Deed::Close | Deed::Reset | Deed::ReadHeadAndClose | Deed::ReadAndClose => {}
        Deed::ReadAndReset => reset(stream),
        Deed::Begin => say(stream, "HTTP/1.1 200 OK\r\nConte").await,
        Deed::Babble => say(stream, "what?\r\n\r\n").await,
        Deed::BreakOff => say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal").await,
        Deed::Answer(status) => {
            say(stream, &format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n")).await;
        }
        Deed::Hang => std::future::pending().await,
    }
}

async fn say(mut stream: TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap_or_default();
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// A request to its end: the body of one that says how long it is.
async fn request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let head = all.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&all[..head]).to_ascii_lowercase();
            let length = text.split("content-length: ").nth(1).and_then(|v| v.lines().next());
            let length = length.map_or(0, |length| length.parse().unwrap());
            if all.len() >= head + length {
                return Some(all.split_off(head));
            }
        }
        if stream.read_buf(&mut all).await.ok()? == 0 {
            return None;
        }
    }
}

async fn gateway(service: ServiceBuilder) -> Gateway {
    let service = service.build();
    let route = route("r").path("/r").to(&service).build();
    Gateway::start(config([service], [route])).await
}

fn with_body(method: &str, body: &str) -> String {
    format!("{method} /r HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn what_went_wrong_decides_what_is_tried_again() {
    use Deed::{Answer, Babble, Begin, BreakOff, Close, Hang, ReadAndClose, ReadAndReset};
    // Status and tries of methods that may be repeated, and of those that may not.
    for (deeds, safe, unsafe_) in [
        (&[Close, Answer(200)][..], (200, 2), (502, 1)),
        (&[ReadAndClose, ReadAndReset, Answer(200)], (200, 3), (502, 1)),
        (&[Begin, Answer(200)], (200, 2), (502, 1)),
        (&[Hang, Answer(200)], (200, 2), (504, 1)),
        (&[ReadAndClose], (502, 3), (502, 1)),
        (&[ReadAndClose, ReadAndReset, Hang], (504, 3), (502, 1)),
        (&[Hang, Hang, ReadAndClose], (502, 3), (504, 1)),
        (&[Babble, Answer(200)], (502, 1), (502, 1)),
        (&[BreakOff, Answer(200)], (200, 1), (200, 1)),
        (&[Answer(503), Answer(200)], (503, 1), (503, 1)),
        (&[Answer(429), Answer(200)], (429, 1), (429, 1)),
    ] {
        let methods = [
            ("GET", safe),
            ("PUT", safe),
            ("DELETE", safe),
            ("POST", unsafe_),
            ("PATCH", unsafe_),
            ("LOCK", unsafe_),
            ("BREW", unsafe_),
        ];
        for (method, expected) in methods {
            let origin = Origin::start(deeds).await;
            let patience = if deeds.contains(&Hang) { 300 } else { 60_000 };
            let gateway = gateway(origin.service().with("read_timeout", patience)).await;
            let mut client = gateway.connect().await;
            client.send(with_body(method, "body")).await;
            let (line, _) = within(client.0.head()).await.unwrap();
            let status: u16 = line.split(' ').nth(1).unwrap().parse().unwrap();
            assert_eq!((status, origin.tries()), expected, "{method} {deeds:?}");
            assert!(origin.bodies.lock().unwrap().iter().all(|body| body == b"body"));
        }
    }
}

#[tokio::test]
async fn a_head_is_enough_to_have_had_an_effect() {
    for (method, expected) in [("PUT", (200, 2)), ("POST", (502, 1))] {
        let origin = Origin::start(&[Deed::ReadHeadAndClose, Deed::Answer(200)]).await;
        let service = origin.service().build();
        // What is waited for is sent at once, or not at all.
        let route = route("r").path("/r").with("request_buffering", false).to(&service).build();
        let gateway = Gateway::start(config([service], [route])).await;
        let mut client = gateway.connect().await;
        let (head, body) = (with_body(method, "body"), "body");
        client.send(head.strip_suffix(body).unwrap()).await;
        if method == "PUT" {
            within(async {
                while origin.tries() < 2 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            client.send(body).await;
        }
        assert_eq!((client.response().await.status, origin.tries()), expected, "{method}");
    }
}

#[tokio::test]
async fn a_handshake_that_fails_is_as_good_as_no_connection() {
    for deed in [Deed::Close, Deed::Reset] {
        let origin = Origin::start(&[deed]).await;
        let url = format!("https://{}", origin.addr);
        let gateway = gateway(service("s").url(&url).with("retries", 2)).await;
        let response = gateway.ask(&with_body("POST", "body")).await;
        assert_eq!((response.status, origin.tries()), (502, 3), "{deed:?}");
    }
}

#[tokio::test]
async fn the_same_holds_for_requests_that_come_by_http2() {
    use Deed::{Answer, Hang, ReadAndClose};
    for (deeds, safe, unsafe_) in [
        (&[ReadAndClose, Answer(200)][..], (200, 2), (502, 1)),
        (&[Hang, Answer(200)], (200, 2), (504, 1)),
        (&[ReadAndClose], (502, 3), (502, 1)),
    ] {
        for (method, expected) in [("GET", safe), ("PUT", safe), ("POST", unsafe_)] {
            let origin = Origin::start(deeds).await;
            let patience = if deeds.contains(&Hang) { 300 } else { 60_000 };
            let service = origin.service().with("read_timeout", patience).build();
            let route = route("r").path("/r").to(&service).build();
            let gateway = Gateway::with(config([service], [route]), 1, |options| {
                options.listen.iter_mut().for_each(|listen| listen.http2 = true);
            })
            .await;
            let status = within(by_http2(gateway.addr, method)).await;
            assert_eq!((status, origin.tries()), expected, "{method} {deeds:?}");
            let bodies = origin.bodies.lock().unwrap();
            assert!(bodies.iter().all(|body| body.is_empty() || body == b"body"), "{bodies:?}");
        }
    }
}

async fn by_http2(addr: SocketAddr, method: &str) -> u16 {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::builder().method(method).uri("http://a.test/r");
    let body = if method == "GET" { "" } else { "body" };
    let request = request.header("content-length", body.len()).body(()).unwrap();
    let (response, mut stream) = requests.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        stream.send_data(body.into(), true).unwrap();
    }
    response.await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_connection_that_is_reset_at_once_is_as_good_as_none() {
    // Whether anything had been sent by then is a race, so only what may be repeated is asked.
    let origin = Origin::start(&[Deed::Reset, Deed::Reset, Deed::Answer(200)]).await;
    let gateway = gateway(origin.service()).await;
    assert_eq!(gateway.ask(&with_body("PUT", "body")).await.status, 200);
    assert_eq!(origin.tries(), 3);
}

#[tokio::test]
async fn where_nobody_listens_all_tries_are_made_of_every_method() {
    let origin = Origin::start(&[Deed::Answer(200)]).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let retries = 3;
    let url = format!("http://{closed}");
    let gateway = gateway(service("s").url(&url).with("retries", retries)).await;
    for method in ["GET", "POST"] {
        assert_eq!(gateway.ask(&with_body(method, "body")).await.status, 502);
    }
    assert_eq!(origin.tries(), 0);
}

#[tokio::test]
async fn a_body_counts_once_however_often_it_is_sent() {
    let origin = Origin::start(&[Deed::ReadAndClose, Deed::ReadAndClose, Deed::Answer(200)]).await;
    let service = origin.service().build();
    let route = route("r").path("/r").to(&service).build();
    let change = |options: &mut engine::Options| options.max_body = Some(10);
    let gateway = Gateway::with(config([service], [route]), 1, change).await;
    assert_eq!(gateway.ask(&with_body("PUT", "12345678")).await.status, 200);
    assert_eq!(origin.tries(), 3);
    assert_eq!(gateway.ask(&with_body("PUT", "12345678901")).await.status, 413);
}

#[tokio::test]
async fn a_body_that_is_no_longer_there_is_not_sent_again() {
    for (length, expected) in [(60_000, (200, 2)), (200_000, (502, 1))] {
        let origin = Origin::start(&[Deed::ReadAndClose, Deed::Answer(200)]).await;
        let gateway = gateway(origin.service()).await;
        let body = "x".repeat(length);
        let response = gateway.ask(&with_body("PUT", &body)).await;
        assert_eq!((response.status, origin.tries()), expected, "{length}");
        assert!(origin.bodies.lock().unwrap().iter().all(|sent| sent == body.as_bytes()));
    }
}

#[tokio::test]
async fn an_upstream_that_reads_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let slow = service("s").url(&url).with("write_timeout", 150).with("read_timeout", 150);
    let gateway = gateway(slow.with("retries", 0)).await;
    let stream = TcpStream::connect(gateway.addr).await.unwrap();
    let (read, mut write) = stream.into_split();
    let sending = tokio::spawn(async move {
        let head = b"PUT /r HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
        write.write_all(head).await.unwrap();
        while write.write_all(&[b'x'; 65536]).await.is_ok() {}
    });
    let (line, _) = within(Wire::new(read).head()).await.unwrap();
    assert!(line.starts_with("HTTP/1.1 504 "), "{line}");
    sending.abort();
}

/// One whose queue of connections is full: the kernel ignores who would join.
fn full() -> (Socket, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let join = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.connect_timeout(&addr, Duration::from_millis(100)).ok().map(|()| socket)
    };
    let joined = (0..16).map_while(join).collect();
    (listener, joined)
}

#[tokio::test]
async fn connecting_takes_so_long_and_no_longer() {
    let (listener, _joined) = full();
    let addr = listener.local_addr().unwrap().as_socket().unwrap();
    // The same with one that accepts, but never shakes hands.
    let silent = Origin::start(&[Deed::Hang]).await;
    for (scheme, addr) in [("http", addr), ("https", silent.addr)] {
        let url = format!("{scheme}://{addr}");
        let service = service("s").url(&url).with("retries", 1).with("connect_timeout", 200);
        let gateway = gateway(service).await;
        let begun = std::time::Instant::now();
        for method in ["GET", "POST"] {
            assert_eq!(gateway.ask(&with_body(method, "")).await.status, 504, "{scheme}");
        }
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(800) && took < PATIENCE, "{took:?}");
    }
    assert_eq!(silent.tries(), 4);
}

#[tokio::test]
async fn nobody_connects_for_a_client_that_has_left() {
    // Pingora hears of the client once it has connected.
    if !super::LANES.express {
        return;
    }
    let (listener, _joined) = full();
    let url = format!("http://{}", listener.local_addr().unwrap().as_socket().unwrap());
    let service = service("s").url(&url).with("connect_timeout", 600_000);
    let gateway = gateway(service).await;
    for request in [with_body("GET", ""), with_body("POST", "hello")] {
        let before = gateway.handle.stats().requests();
        let mut client = gateway.connect().await;
        client.send(request).await;
        let until = async |is_so: &dyn Fn() -> bool| {
            within(async {
                while !is_so() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        };
        until(&|| gateway.handle.stats().requests() > before).await;
        drop(client);
        until(&|| gateway.handle.stats().open() == 0).await;
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_not_asked_for_again_on_a_connection_gone_stale() {
    for (method, expected) in [("GET", (200, 2)), ("PUT", (200, 2)), ("POST", (502, 1))] {
        let stale = Stale::start().await;
        let service = service("s").url(&format!("http://{}", stale.addr)).with("retries", 0);
        let gateway = gateway(service).await;
        let mut client: Client = gateway.connect().await;
        assert_eq!(client.ask(&with_body("GET", "")).await.status, 200);
        let response = client.ask(&with_body(method, "hi")).await;
        let after = stale.requests.load(SeqCst) - 1;
        assert_eq!((response.status, after), expected, "{method}");
    }
}

/// However long one has taken to show that it is stale, the next has its time.
#[tokio::test]
async fn each_try_has_all_of_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway =
        gateway(service("s").url(&url).with("retries", 0).with("read_timeout", 3000)).await;
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let origin = async {
        let (mut first, mut second) = (
            within(listener.accept()).await.unwrap().0,
            within(listener.accept()).await.unwrap().0,
        );
        for stream in [&mut first, &mut second] {
            request(stream).await.unwrap();
        }
        // Both are idle then, and either may be asked first.
        first.write_all(ok).await.unwrap();
        second.write_all(ok).await.unwrap();
        let (stale, mut other) = tokio::select! {
            asked = request(&mut first) => asked.map(|_| (first, second)),
            asked = request(&mut second) => asked.map(|_| (second, first)),
        }
        .unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(stale);
        request(&mut other).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        other.write_all(ok).await.unwrap();
    };
    let asks = async {
        let get = with_body("GET", "");
        let (one, other) = tokio::join!(gateway.ask(&get), gateway.ask(&get));
        assert_eq!((one.status, other.status), (200, 200));
        assert_eq!(gateway.ask(&get).await.status, 200);
    };
    tokio::join!(asks, origin);
}

/// One that answers the first request of a connection; of the first connection, it reads a
/// second and closes, as one does that has just decided to.
struct Stale {
    addr: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Stale {
    async fn start() -> Stale {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stale = Stale { addr: listener.local_addr().unwrap(), requests: Arc::default() };
        let requests = stale.requests.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                if request(&mut stream).await.is_some() {
                    requests.fetch_add(1, SeqCst);
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                }
                if requests.load(SeqCst) == 1 && request(&mut stream).await.is_some() {
                    requests.fetch_add(1, SeqCst);
                }
            }
        });
        stale
    }
}
