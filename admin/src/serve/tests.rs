//! What clients may do to a connection, on a paused clock, and how paths are read.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;

#[test]
fn a_trailing_slash_goes() {
    check("/routes/", "/routes");
    check("/routes/?size=1", "/routes?size=1");
    check("/routes?x=/", "/routes?x=/");
    check("/", "/");
    check("/?unit=k", "/?unit=k");
    check("//", "/");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_for_nothing_is_let_go() {
    for said in [&b""[..], b"PRI * HTTP/2.0"] {
        let (mut client, io) = tokio::io::duplex(64);
        client.write_all(said).await.unwrap();
        assert_eq!(carried(io, Router::new()).await, HEAD_TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_answer_is_let_go() {
    let (mut client, io) = tokio::io::duplex(64);
    client.write_all(b"GET / HTTP/1.1\r\nHost: cp\r\n\r\n").await.unwrap();
    assert_eq!(carried(io, large()).await, wire::WRITE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_no_window_is_let_go() {
    let (client, io) = tokio::io::duplex(1024);
    let server = tokio::spawn(carried(io, large()));
    let mut http2 = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    http2.initial_stream_window_size(1024);
    let (mut client, connection) = http2.handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection); // it answers pings
    let answer = client.send_request(Request::new(Body::empty())).await.unwrap();
    assert_eq!(server.await.unwrap(), wire::WRITE_TIMEOUT);
    drop(answer);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_answers_pings_is_let_go() {
    let (mut client, server, goodbye) = http2(Router::new()).await;
    for _ in 0..3 {
        tokio::time::sleep(HEAD_TIMEOUT - Duration::from_secs(1)).await;
        client.ready().await.unwrap();
        client.send_request(Request::new(Body::empty())).await.unwrap();
    }
    let busy = 3 * (HEAD_TIMEOUT - Duration::from_secs(1));
    assert_eq!(server.await.unwrap(), busy + HEAD_TIMEOUT);
    goodbye.await.unwrap().expect("it is told, not cut off");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_heed_a_goodbye_is_cut_off() {
    let (mut client, io) = tokio::io::duplex(1024);
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0]; // an empty frame of them
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    client.write_all(&settings).await.unwrap();
    assert_eq!(carried(io, Router::new()).await, 2 * HEAD_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answer_is_not_idle() {
    const LONG: Duration = Duration::from_secs(500);
    let slow = async || tokio::time::sleep(LONG).await;
    let router = Router::new().route("/", axum::routing::get(slow));
    let (mut client, server, _) = http2(router).await;
    let answer = client.send_request(Request::new(Body::empty())).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(server.await.unwrap(), LONG + HEAD_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_ends_what_it_says_is_let_go() {
    let (mut client, io) = tokio::io::duplex(1024);
    let server = tokio::spawn(carried(io, heeding()));
    client.write_all(b"POST / HTTP/1.1\r\nHost: cp\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
    tokio::time::sleep(wire::BODY_TIMEOUT - Duration::from_secs(1)).await;
    client.write_all(b"x").await.unwrap();
    assert_eq!(server.await.unwrap(), wire::BODY_TIMEOUT + wire::LINGER_SILENCE);

    let (mut client, server, _) = http2(heeding()).await;
    let request = Request::post("/").header("content-length", "1000").body(endless()).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    drop(answer);
    assert_eq!(server.await.unwrap(), wire::BODY_TIMEOUT + HEAD_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_gets_its_answer() {
    let (mut client, io) = tokio::io::duplex(1024);
    client.write_all(b"GET / HTTP/1.1\r\nHost: cp\r\nConnection: close\r\n\r\n").await.unwrap();
    let server = tokio::spawn(carried(io, large()));
    let (mut taken, mut some) = (0, [0; 1024]);
    loop {
        tokio::time::sleep(wire::WRITE_TIMEOUT - Duration::from_secs(1)).await;
        match client.read(&mut some).await.unwrap() {
            0 => break,
            more => taken += more,
        }
    }
    assert!(taken > LARGE, "{taken}");
    assert!(server.await.unwrap() > 100 * wire::WRITE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_sending_is_waited_for_but_not_for_ever() {
    let ask = b"POST / HTTP/1.1\r\nHost: cp\r\nContent-Length: 1000000000\r\n\r\n";
    // It stops.
    let (mut client, io) = tokio::io::duplex(1024);
    let server = tokio::spawn(carried(io, refusing()));
    client.write_all(ask).await.unwrap();
    client.write_all(&[b'x'; 1 << 20]).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    drop(client);
    assert_eq!(server.await.unwrap(), Duration::ZERO);
    // It falls silent.
    let (mut client, io) = tokio::io::duplex(1024);
    client.write_all(ask).await.unwrap();
    assert_eq!(carried(io, refusing()).await, wire::LINGER_SILENCE);
    // It never ends.
    let (mut client, io) = tokio::io::duplex(1024);
    let server = tokio::spawn(carried(io, refusing()));
    client.write_all(ask).await.unwrap();
    while client.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(server.await.unwrap(), wire::LINGER);
}

const LARGE: usize = 200_000;

fn large() -> Router {
    Router::new().route("/", axum::routing::get(async || "x".repeat(LARGE)))
}

/// Answers when it has read the body.
fn heeding() -> Router {
    Router::new().route("/", axum::routing::post(async |_: bytes::Bytes| ()))
}

/// A body of which nothing ever comes.
fn endless() -> Body {
    struct Endless;
    impl hyper::body::Body for Endless {
        type Data = bytes::Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<bytes::Bytes>, Infallible>>> {
            Poll::Pending
        }
    }
    Body::new(Endless)
}

/// Answers without reading a body.
fn refusing() -> Router {
    Router::new().route("/", axum::routing::post(async || StatusCode::PAYLOAD_TOO_LARGE))
}

/// A client that answers pings, how long its connection lasts, and how it ends.
async fn http2(
    router: Router,
) -> (SendRequest<Body>, JoinHandle<Duration>, JoinHandle<hyper::Result<()>>) {
    let (client, io) = tokio::io::duplex(1024);
    let server = tokio::spawn(carried(io, router));
    let http2 = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (client, connection) = http2.handshake(TokioIo::new(client)).await.unwrap();
    (client, server, tokio::spawn(connection))
}

/// How long a connection lasts.
async fn carried(io: tokio::io::DuplexStream, router: Router) -> Duration {
    let front = Front {
        router,
        traffic: Arc::default(),
        server: None,
        latency_tokens: false,
        origins: Vec::new(),
        access_log: None,
    };
    let stop = watch::Sender::new(false);
    let start = tokio::time::Instant::now();
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    carry(io, peer, Arc::new(front), stop.subscribe()).await;
    start.elapsed()
}

#[track_caller]
fn check(uri: &str, expected: &str) {
    assert_eq!(without_trailing_slash(&uri.parse().unwrap()), expected, "{uri}");
}
