//! How upstreams say where their responses end, and what of it reaches a client.

use super::support::{Act, Gateway, Origin, one};

const BAD_GATEWAY: &str = "An invalid response was received from the upstream server";

/// An origin whose answers are found by the request's last path segment.
async fn saying(answers: &'static [(&'static str, &'static str)]) -> (Origin, Gateway) {
    let origin = Origin::start(move |received| {
        let path = received.line.split(' ').nth(1).unwrap();
        let name = path.rsplit('/').next().unwrap();
        match answers.iter().find(|(known, _)| *known == name) {
            Some((_, answer)) => Act::Say(answer.as_bytes().to_vec()),
            None => Act::ok("next"),
        }
    })
    .await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    (origin, gateway)
}

#[tokio::test]
async fn one_meaning_is_passed_on() {
    const ANSWERS: &[(&str, &str)] = &[
        ("204-length", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n"),
        ("204-zero", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
        ("204-coding", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("lines", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
        ("list", "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc"),
        ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ];
    let (_origin, gateway) = saying(ANSWERS).await;
    let mut client = gateway.connect().await;
    for (path, status, length, coding, body) in [
        ("204-length", 204, None, None, ""),
        ("204-zero", 204, None, None, ""),
        ("204-coding", 204, None, None, ""),
        ("lines", 200, Some("3"), None, "abc"),
        ("list", 200, Some("3"), None, "abc"),
        ("chunked", 200, None, Some("chunked"), "abc"),
        ("next", 200, Some("4"), None, "next"),
    ] {
        let response = client.ask(&format!("GET /r/{path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!((response.status, response.text()), (status, body), "{path}");
        assert_eq!(response.one("Content-Length"), length, "{path}");
        assert_eq!(response.one("Transfer-Encoding"), coding, "{path}");
    }
}

#[tokio::test]
async fn what_has_several_is_a_bad_gateway() {
    const ANSWERS: &[(&str, &str)] = &[
        ("lines", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        ("list", "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd"),
        ("sign", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc"),
        ("gzip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc"),
        (
            "identity",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
        ),
        ("both", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("last", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        (
            "twice",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("old", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ];
    let (origin, gateway) = saying(ANSWERS).await;
    let mut client = gateway.connect().await;
    for (asked, (path, _)) in ANSWERS.iter().enumerate() {
        let response = client.ask(&format!("GET /r/{path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(response.status, 502, "{path}");
        assert!(response.text().contains(BAD_GATEWAY), "{path}: {}", response.text());
        // Not asked again, and never on a connection whose end of message is unclear.
        let received = origin.seen();
        assert_eq!((received.len(), received[asked].connection), (asked + 1, asked), "{path}");
    }
    let response = client.ask("GET /r/next HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((response.status, response.text()), (200, "next"));
}
