//! Fields that say more than they should.

use super::frames::*;
use super::http2::gateway;
use super::support::{Act, Gateway, Origin, one};

/// Whatever a head of HTTP/2 holds, it stays in its place in the head that the origin reads.
#[tokio::test]
async fn what_ends_a_line_never_leaves_http2() {
    let origin = Origin::plain().await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/"))).await;
    type Case<'a> = (&'a str, Vec<u8>);
    let with = |name: &[u8], value: &[u8]| request(b"GET", b"/", b"a.test", &[(name, value)]);
    let cases: Vec<Case> = vec![
        ("CRLF in a value", with(b"x", b"a\r\nGET /smuggled HTTP/1.1")),
        ("LF in a value", with(b"x", b"a\nTransfer-Encoding: chunked")),
        ("CR in a value", with(b"x", b"a\rb")),
        ("NUL in a value", with(b"x", b"a\0b")),
        ("CRLF in a name", with(b"x\r\ny", b"a")),
        ("a colon in a name", with(b"x: y\r\nz", b"a")),
        ("a space in a name", with(b"x y", b"a")),
        ("no name", with(b"", b"a")),
        ("capitals in a name", with(b"X-Y", b"a")),
        (
            "CRLF in the path",
            request(b"GET", b"/ HTTP/1.1\r\nX: y\r\n\r\nGET /smuggled", b"a.test", &[]),
        ),
        ("a space in the path", request(b"GET", b"/ /smuggled", b"a.test", &[])),
        ("an empty path", request(b"GET", b"", b"a.test", &[])),
        ("an absolute path", request(b"GET", b"http://b.test/", b"a.test", &[])),
        ("a space in the method", request(b"GET /smuggled HTTP/1.1\r\nX:", b"/", b"a.test", &[])),
        ("CRLF in the authority", request(b"GET", b"/", b"a\r\nX: y", &[])),
        ("a user in the authority", request(b"GET", b"/", b"u@a.test", &[])),
        ("chunks", with(b"transfer-encoding", b"chunked")),
        ("a connection", with(b"connection", b"x-forwarded-for")),
        ("an upgrade", with(b"upgrade", b"websocket")),
        ("a host that is another", with(b"host", b"b.test")),
        (
            "a pseudo-field behind a field",
            [get("/"), field(b"x", b"y"), field(b":path", b"/smuggled")].concat(),
        ),
        ("a path twice", [get("/"), field(b":path", b"/smuggled")].concat()),
        ("an unknown pseudo-field", [get("/"), field(b":smuggled", b"y")].concat()),
        ("CONNECT", request(b"CONNECT", b"/", b"a.test", &[])),
    ];
    for (name, block) in cases {
        let mut client = Frames::begin(&gateway, &[]).await;
        client.send(HEADERS, WHOLE, 1, &block).await;
        let refused = client.of(1).await;
        let refused = refused.is_none_or(|frame| match frame.kind {
            HEADERS => frame.status() != Some(200),
            _ => matches!(frame.kind, RESET | GOAWAY),
        });
        assert!(refused, "{name}");
    }
    assert_eq!(origin.seen().len(), 0, "{:?}", origin.seen());
}

/// The length an HTTP/2 client states is the length of its body, or there is no request: the
/// origin would take what is left over for another one.
#[tokio::test]
async fn a_length_that_is_not_true_never_leaves_http2() {
    let origin = Origin::plain().await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/"))).await;
    let hidden = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for length in ["0", "1", "5", "1000", "+5", "5, 5", "5\0"] {
        let mut client = Frames::begin(&gateway, &[]).await;
        let fields = [(&b"content-length"[..], length.as_bytes())];
        client.send(HEADERS, END_HEADERS, 1, &request(b"POST", b"/", b"a.test", &fields)).await;
        client.send(DATA, END_STREAM, 1, hidden).await;
        let answer = client.of(1).await;
        let served = answer.is_some_and(|frame| frame.status() == Some(200));
        assert!(!served, "{length}");
    }
    // What is stated twice is stated once at most.
    let mut client = Frames::begin(&gateway, &[]).await;
    let fields = [(&b"content-length"[..], &b"3"[..]), (b"content-length", b"4")];
    client.send(HEADERS, END_HEADERS, 1, &request(b"POST", b"/", b"a.test", &fields)).await;
    client.send(DATA, END_STREAM, 1, b"abc").await;
    assert_ne!(client.of(1).await.and_then(|frame| frame.status()), Some(200));
    assert!(!origin.seen().iter().any(|seen| seen.line.contains("smuggled")));
    let mut client = Frames::begin(&gateway, &[]).await;
    client.send(HEADERS, WHOLE, 1, &get("/after")).await;
    assert_eq!(client.of(1).await.unwrap().status(), Some(200));
    assert_eq!(origin.last().line, "GET /after HTTP/1.1");
}

/// Fields that a client names in `Connection` go no further, those that say who it is, whom it
/// asks and where its message ends excepted (CVE-2026-105299).
#[tokio::test]
async fn a_client_cannot_have_our_fields_taken_away() {
    let origin = Origin::plain().await;
    let gateway = Gateway::start(one(&origin.url("/"), |r| r.path("/r"))).await;
    let named = "X-Forwarded-For, X-Real-IP, X-Forwarded-Proto, X-Kong-Request-Id, Host, Content-Length, Authorization, x-acl";
    let request = format!(
        "POST /r HTTP/1.1\r\nHost: a\r\nConnection: close, {named}\r\nX-Acl: open\r\nContent-Length: 2\r\nProxy: p\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: gzip\r\n\r\nhi"
    );
    assert_eq!(gateway.ask(&request).await.status, 200);
    let seen = origin.last();
    assert_eq!(seen.body, b"hi");
    for ours in ["X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto", "X-Kong-Request-Id", "Host"] {
        assert!(seen.one(ours).is_some(), "{ours}");
    }
    for theirs in ["X-Acl", "Proxy", "Keep-Alive", "Proxy-Connection", "TE", "Authorization"] {
        assert_eq!(seen.one(theirs), None, "{theirs}");
    }
    assert_eq!(seen.one("Connection"), Some("keep-alive"));
    // More names than anyone honest sends, each of which would cost a walk over the head.
    let many: Vec<_> = (0..40).map(|n| format!("x-{n}")).collect();
    let request = format!("GET /r HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n", many.join(","));
    assert_eq!(gateway.ask(&request).await.status, 400);
}

/// Everything that can be too large about a head (CVE-2026-49975), in Kong's words.
#[tokio::test]
async fn heads_have_bounds_in_bytes_and_in_fields() {
    let origin = Origin::plain().await;
    let config = one(&origin.url("/"), |r| r.path("/r"));
    let gateway = Gateway::start(config.clone()).await;
    let strict = Gateway::with(config, 1, |options| options.strict_status = true).await;
    let with = |fields: &str| format!("GET /r HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let large = "Request header or cookie too large";
    for (request, status, stricter, says) in [
        (
            format!("GET /r?{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8200)),
            414,
            414,
            "URI too long",
        ),
        (with(&format!("X: {}\r\n", "x".repeat(8200))), 400, 431, large),
        (with(&format!("Cookie: {}\r\n", "x".repeat(8200))), 400, 431, large),
        (with(&format!("X: {}\r\n", "x".repeat(8000)).repeat(5)), 400, 431, large),
        (with(&"x:\r\n".repeat(200)), 400, 431, large),
        (format!("GET /r HTTP/1.1\r\n{}", "x".repeat(40_000)), 400, 431, large),
        ("G".repeat(10_000), 414, 414, "URI too long"),
    ] {
        for (gateway, status) in [(&gateway, status), (&strict, stricter)] {
            let mut client = gateway.connect().await;
            client.send(&request).await;
            let response = client.response().await;
            assert_eq!(response.status, status, "{}", &request[..60]);
            assert!(response.text().starts_with(says), "{}", response.text());
            assert!(client.is_closed().await);
        }
    }
    assert!(origin.seen().is_empty());
    assert_eq!(gateway.ask(&with(&"x:\r\n".repeat(198))).await.status, 200);
}

/// A body is passed on as it is: what it unpacks to is nobody's business here.
#[tokio::test]
async fn packed_bodies_are_not_unpacked() {
    let origin = Origin::plain().await;
    let gateway = Gateway::start(one(&origin.url("/"), |r| r.path("/r"))).await;
    // The head of a gzip stream that claims to be anything, and is not even one.
    let bomb = "\x1f\u{8}\0\0";
    let request = format!(
        "POST /r HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{bomb}",
        bomb.len()
    );
    assert_eq!(gateway.ask(&request).await.status, 200);
    assert_eq!(origin.last().body, bomb.as_bytes());
    assert_eq!(origin.last().one("Content-Encoding"), Some("gzip"));
}

/// Nothing is cached: an answer is for who asked, whatever it says of itself (CVE-2026-2836).
#[tokio::test]
async fn no_answer_is_kept_for_another() {
    let origin = Origin::start(|rq| {
        let host = rq.one("X-Forwarded-Host").unwrap_or_default();
        Act::say(200, &[("Cache-Control", "public, max-age=3600"), ("Age", "0")], host)
    })
    .await;
    let gateway = Gateway::start(one(&origin.url("/"), |r| r.path("/r"))).await;
    for host in ["a.test", "b.test", "a.test"] {
        let response = gateway.ask(&format!("GET /r HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!((response.status, response.text()), (200, host));
    }
    assert_eq!(origin.seen().len(), 3);
}
