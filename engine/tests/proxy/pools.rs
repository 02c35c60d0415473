//! Which connections to upstreams are used again.

use super::GET;
use super::support::{Act, Gateway, Origin, Wire, one, within};
use engine::options::Keepalive;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

/// The connections that so many requests came on, one request after the other.
async fn connections(origin: &Origin, keepalive: Keepalive, count: usize) -> Vec<usize> {
    let before = origin.seen().len();
    let config = one(&origin.url(""), |r| r.path("/r"));
    let gateway = Gateway::with(config, 1, |options| options.keepalive = keepalive).await;
    let mut client = gateway.connect().await;
    for _ in 0..count {
        // Not to be repeated: what makes room in the pool must cost no request.
        let post = "POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(client.ask(post).await.status, 200);
    }
    let seen = origin.seen().split_off(before);
    let first = seen.first().map_or(0, |seen| seen.connection);
    seen.iter().map(|seen| seen.connection - first).collect()
}

#[tokio::test]
async fn a_connection_carries_so_many_requests() {
    let origin = Origin::plain().await;
    for (max_requests, expected) in [
        (Some(1), [0, 1, 2, 3, 4]),
        (Some(2), [0, 0, 1, 1, 2]),
        (Some(4), [0, 0, 0, 0, 1]),
        (Some(5), [0, 0, 0, 0, 0]),
        (None, [0, 0, 0, 0, 0]),
    ] {
        let keepalive = Keepalive { max_requests, ..Keepalive::default() };
        assert_eq!(connections(&origin, keepalive, 5).await, expected, "{max_requests:?}");
    }
}

#[tokio::test]
async fn without_a_pool_no_connection_is_used_again() {
    let origin = Origin::plain().await;
    for max_requests in [None, Some(10_000)] {
        let keepalive = Keepalive { pool_size: 0, max_requests, ..Keepalive::default() };
        assert_eq!(connections(&origin, keepalive, 3).await, [0, 1, 2]);
    }
}

#[tokio::test]
async fn an_upstream_that_says_it_closes_is_believed_wherever_it_says_so() {
    for (version, fields, is_kept) in [
        ("1.1", "", true),
        ("1.1", "Connection: X-Hop\r\nConnection: keep-alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: X-Hop, Close\r\n", false),
        ("1.1", "Connection: X-Hop\r\nConnection: close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let answer = format!("HTTP/{version} 200 OK\r\nContent-Length: 2\r\n{fields}\r\nhi");
        let origin = Origin::start(move |_| Act::Say(answer.clone().into())).await;
        let expected = if is_kept { [0, 0, 0] } else { [0, 1, 2] };
        let connections = connections(&origin, Keepalive::default(), 3).await;
        assert_eq!(connections, expected, "{version} {fields:?}");
    }
}

#[tokio::test]
async fn a_connection_that_was_idle_for_long_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = one(&format!("http://{}", listener.local_addr().unwrap()), |r| r.path("/r"));
    let gateway = Gateway::with(config, 1, |options| {
        options.keepalive.idle_timeout = Some(Duration::from_millis(50));
    })
    .await;
    for _ in 0..2 {
        let served = async {
            let mut wire = Wire::new(within(listener.accept()).await.unwrap().0);
            wire.head().await.unwrap();
            wire.stream.write_all(b"HTTP/1.1 204 No\r\n\r\n").await.unwrap();
            assert!(within(wire.head()).await.is_none(), "nothing more comes on it");
        };
        let (response, ()) = tokio::join!(gateway.ask(GET), served);
        assert_eq!(response.status, 204);
    }
}
