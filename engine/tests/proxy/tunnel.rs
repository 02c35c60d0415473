//! What becomes of a connection that switches to WebSocket.

use super::support::{Act, Gateway, Origin, Wire, config, one, within};
use engine::options::LogSink;
use model::testing::{route, service};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

const UPGRADE: &str = "GET /r HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const FRAME: &[u8] = b"\x81\x05hello";

/// How a tunnel ends that the upstream ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It resets the connection.
    Reset,
    /// It says nothing any more.
    Silence,
    /// It says that this was all.
    Finish,
}

/// An upstream that switches, sends a frame and, when it may, ends the tunnel so.
/// `may` is told when the frame has arrived: a reset could overtake it.
async fn ending(end: End, may: oneshot::Receiver<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut wire = Wire::new(listener.accept().await.unwrap().0);
        wire.head().await.unwrap();
        wire.stream.write_all(&[SWITCH.as_bytes(), FRAME].concat()).await.unwrap();
        may.await.unwrap();
        match end {
            End::Reset => wire.stream.set_zero_linger().unwrap(),
            End::Silence => drop(wire.stream.read(&mut [0]).await),
            End::Finish => wire.stream.shutdown().await.unwrap(),
        }
    });
    url
}

#[tokio::test]
async fn a_tunnel_that_an_upstream_ends_just_ends() {
    for end in [End::Reset, End::Silence, End::Finish] {
        let (arrived, may) = oneshot::channel();
        let url = ending(end, may).await;
        let patience = if matches!(end, End::Silence) { 300 } else { 60_000 };
        let service = service("s").url(&url).with("read_timeout", patience).build();
        let route = route("r").path("/r").to(&service).build();
        let (lines, mut logged) = mpsc::unbounded_channel();
        let gateway = Gateway::with(config([service], [route]), 1, |options| {
            options.access_log =
                Some(LogSink::new(move |line| lines.send(line).unwrap_or_default()));
        })
        .await;
        let mut client = gateway.connect().await;
        assert_eq!(client.ask(UPGRADE).await.status, 101, "{end:?}");
        assert_eq!(within(client.0.take(FRAME.len())).await.unwrap(), FRAME, "{end:?}");
        arrived.send(()).unwrap();
        assert!(client.is_closed().await, "{end:?}");
        let line = within(logged.recv()).await.unwrap();
        let expected = format!("\"GET /r HTTP/1.1\" 101 {} ", FRAME.len());
        assert!(line.contains(&expected), "{end:?}: {line}");
    }
}

#[tokio::test]
async fn a_switch_nobody_asked_for_is_a_bad_gateway() {
    const PLAIN: &str = "GET /r HTTP/1.1\r\nHost: a\r\n\r\n";
    const OTHER: &str = "GET /r HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    for (request, switched) in [
        (PLAIN, "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
        (OTHER, "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
        (UPGRADE, "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
        (UPGRADE, "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n"),
        (UPGRADE, "HTTP/1.1 101 x\r\nConnection: Upgrade\r\n\r\n"),
        (UPGRADE, "HTTP/1.0 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ] {
        let origin = Origin::start(|_| Act::Echo(switched.into())).await;
        let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
        let response = gateway.ask(request).await;
        assert_eq!(response.status, 502, "{request:?} {switched:?}");
        let message = "An invalid response was received from the upstream server";
        assert!(response.text().contains(message), "{}", response.text());
        assert_eq!(origin.seen().len(), 1, "{request:?} {switched:?}");
    }
}

#[tokio::test]
async fn a_switch_has_no_framing() {
    let switch = SWITCH.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n");
    let origin = Origin::start(move |_| Act::Echo(switch.clone().into())).await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    let response = client.ask(UPGRADE).await;
    assert_eq!((response.status, response.one("Content-Length")), (101, None));
    client.send(FRAME).await;
    assert_eq!(within(client.0.take(FRAME.len())).await.unwrap(), FRAME);
}

#[tokio::test]
async fn what_a_tunnel_holds_is_seen_and_freed_by_who_published_it() {
    let origin = Origin::start(|_| Act::Echo(SWITCH.into())).await;
    let config = |path: &str| one(&origin.url(path), |r| r.path("/r"));
    let gateway = Gateway::start(config("/1")).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(UPGRADE).await.status, 101);
    for version in 2..5 {
        gateway.apply(version, config(&format!("/{version}"))).await;
    }
    let held = || gateway.handle.stats().snapshots;
    // The worker may have been looking at another one when that was replaced.
    let only = async |count| {
        while held().count != count {
            tokio::task::yield_now().await;
        }
    };
    within(only(2)).await;
    assert_eq!(held().oldest.map(|oldest| oldest.revision.version), Some(1));
    client.send(FRAME).await;
    assert_eq!(within(client.0.take(FRAME.len())).await.unwrap(), FRAME);

    // It is counted until the publisher, having found itself its only owner, frees it.
    drop(client);
    within(only(1)).await;
    assert_eq!(held().oldest, None);
}

#[tokio::test]
async fn a_websocket_is_tunnelled() {
    let origin = Origin::start(|_| Act::Echo(SWITCH.into())).await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    let response = client.ask(UPGRADE).await;
    assert_eq!((response.status, response.one("Upgrade")), (101, Some("websocket")));
    for message in ["first", "GET / HTTP/1.1\r\n\r\n", "last"] {
        client.send(message).await;
        let echoed = within(client.0.take(message.len())).await.unwrap();
        assert_eq!(echoed, message.as_bytes());
    }
    let received = origin.last();
    assert_eq!(received.one("Connection"), Some("keep-alive, Upgrade"));
    assert_eq!(
        (received.one("Upgrade"), received.one("Sec-WebSocket-Key")),
        (Some("websocket"), Some("k"))
    );
}

#[tokio::test]
async fn a_tunnel_lives_for_as_long_as_something_is_said() {
    let origin = Origin::start(|_| Act::Echo(SWITCH.into())).await;
    let service = service("s").url(&origin.url("")).with("read_timeout", 1000).build();
    let route = route("r").path("/r").to(&service).build();
    let gateway = Gateway::start(config([service], [route])).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(UPGRADE).await.status, 101);
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        client.send(FRAME).await;
        assert_eq!(within(client.0.take(FRAME.len())).await.unwrap(), FRAME);
    }
}

#[tokio::test]
async fn what_is_said_in_a_tunnel_is_no_body() {
    let origin = Origin::start(|_| Act::Echo(SWITCH.into())).await;
    let config = one(&origin.url(""), |r| r.path("/r"));
    let gateway = Gateway::with(config, 1, |options| options.max_body = Some(8)).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(UPGRADE).await.status, 101);
    for _ in 0..3 {
        client.send(FRAME).await;
        assert_eq!(within(client.0.take(FRAME.len())).await.unwrap(), FRAME);
    }
}
