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

/// An origin's first connection is answered so, and never used again; the second is answered well.
async fn asked_elsewhere(listener: &TcpListener, answer: &str) {
    let mut first = Wire::new(within(listener.accept()).await.unwrap().0);
    within(first.head()).await.unwrap();
    first.stream.write_all(answer.as_bytes()).await.unwrap();
    let mut second = Wire::new(within(listener.accept()).await.unwrap().0);
    within(second.head()).await.unwrap();
    second.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood").await.unwrap();
    assert!(within(first.head()).await.is_none(), "something came on it behind {answer:?}");
}

/// An answer's rest would be taken for the next one.
#[tokio::test]
async fn a_connection_on_which_more_was_said_than_asked_for_is_not_used_again() {
    const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    for (method, answer) in [
        ("GET", format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{EVIL}")),
        ("GET", format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{EVIL}")),
        ("GET", format!("HTTP/1.1 204 No\r\n\r\n{EVIL}")),
        ("HEAD", format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{EVIL}", EVIL.len())),
        ("GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".to_owned()),
        ("GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned()),
    ] {
        let gateway = Gateway::start(one(&url, |r| r.path("/r"))).await;
        let asks = async {
            let mut client = gateway.connect().await;
            let request = format!("{method} /r HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(client.ask(&request).await.status < 300, "{answer:?}");
            assert_eq!(client.ask(GET).await.text(), "good", "{answer:?}");
        };
        tokio::join!(asks, asked_elsewhere(&listener, &answer));
    }
}

/// The next request's head would be taken for the rest of this one's body.
#[tokio::test]
async fn a_connection_that_was_answered_within_the_body_is_not_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let route = one(&url, |r| r.path("/r").with("request_buffering", false));
    let gateway = Gateway::start(route).await;
    for framing in ["Content-Length: 8\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n8\r\nhalf"]
    {
        let asks = async {
            let mut client = gateway.connect().await;
            client.send(format!("PUT /r HTTP/1.1\r\nHost: a\r\n{framing}")).await;
            assert_eq!(client.response().await.text(), "early");
            assert_eq!(gateway.ask(GET).await.text(), "good");
        };
        let early = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly";
        tokio::join!(asks, asked_elsewhere(&listener, early));
    }
}

/// It has been idle since the end of its answer, however long that took.
#[tokio::test]
async fn a_connection_with_a_slow_answer_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = one(&format!("http://{}", listener.local_addr().unwrap()), |r| r.path("/r"));
    let gateway = Gateway::with(config, 1, |options| {
        options.keepalive.idle_timeout = Some(Duration::from_secs(3));
    })
    .await;
    let origin = async {
        let mut wire = Wire::new(within(listener.accept()).await.unwrap().0);
        for pause in [3200, 0] {
            within(wire.head()).await.unwrap();
            wire.stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(pause)).await;
            wire.stream.write_all(b"half").await.unwrap();
        }
    };
    let asks = async {
        let mut client = gateway.connect().await;
        assert_eq!(client.ask(GET).await.text(), "halfhalf");
        // The pool has been looked through meanwhile.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(client.ask(GET).await.text(), "halfhalf");
    };
    tokio::join!(origin, asks);
}
