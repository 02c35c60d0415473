//! What reaches the upstream of a request's head, and the client of the answer's.

use super::support::{Act, Gateway, Origin, one};
use super::{GET, ours};

#[tokio::test]
async fn a_request_goes_to_its_service_and_the_answer_comes_back() {
    let origin = Origin::start(|_| Act::say(201, &[("X-From", "origin")], "hello")).await;
    let gateway = Gateway::start(one(&origin.url("/base"), |r| r.path("/r"))).await;
    let response = gateway
        .ask("POST /r/x%20y?a=1&b=|2 HTTP/1.1\r\nHost: A.test:81\r\nContent-Length: 2\r\nX-Own: v\r\n\r\nhi")
        .await;
    assert_eq!((response.status, response.text()), (201, "hello"));
    assert_eq!(response.line, "HTTP/1.1 201 Fine");
    assert_eq!(response.one("X-From"), Some("origin"));
    assert_eq!(response.one("Via"), Some(format!("1.1 {}", ours()).as_str()));
    assert_eq!(response.one("Server"), Some(ours().as_str()));
    assert_eq!(response.one("Connection"), Some("keep-alive"));
    for latency in ["X-Kong-Upstream-Latency", "X-Kong-Proxy-Latency"] {
        assert!(response.one(latency).unwrap().parse::<u64>().is_ok(), "{latency}");
    }
    assert_eq!(response.one("X-Kong-Response-Latency"), None);

    let received = origin.last();
    assert_eq!(received.line, "POST /base/x%20y?a=1&b=|2 HTTP/1.1");
    assert_eq!(received.body, b"hi");
    let port = gateway.addr.port().to_string();
    for (name, expected) in [
        ("Host", origin.addr.to_string().as_str()),
        ("X-Own", "v"),
        ("Connection", "keep-alive"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "a.test"),
        ("X-Forwarded-Port", &port),
        ("X-Forwarded-Path", "/r/x%20y"),
        ("X-Forwarded-Prefix", "/r"),
        ("X-Real-IP", "127.0.0.1"),
        ("Via", format!("1.1 {}", ours()).as_str()),
        ("X-Kong-Request-Id", response.id()),
        ("Content-Length", "2"),
    ] {
        assert_eq!(received.one(name), Some(expected), "{name}");
    }
    assert_eq!(received.fields.len(), 13, "{:?}", received.fields);
}

#[tokio::test]
async fn hop_by_hop_fields_stop_here_in_both_directions() {
    let origin = Origin::start(|_| {
        let fields = [
            ("Connection", "X-Secret"),
            ("X-Secret", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Server", "theirs"),
            ("Via", "1.1 theirs"),
            ("X-Accel-Buffering", "no"),
            ("Content-Type", "text/html"),
            ("Upgrade", "h2c"),
            ("Trailer", "X-T"),
            ("X-Kong-Request-Id", "forged"),
        ];
        Act::say(200, &fields, "x")
    })
    .await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let response = gateway
        .ask("GET /r HTTP/1.1\r\nHost: a.test\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nTE: trailers, gzip\r\nProxy: x\r\nProxy-Authorization: mine\r\nUpgrade: h2c\r\nX-Kong-Request-Id: forged\r\nVia: 1.0 them\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: forged\r\nX-Real-IP: 6.6.6.6\r\n\r\n")
        .await;
    for name in ["X-Secret", "Keep-Alive", "X-Accel-Buffering", "Upgrade"] {
        assert_eq!(response.one(name), None, "{name}");
    }
    assert_eq!(response.one("Server"), Some("theirs"));
    assert_eq!(response.one("Via"), Some(format!("1.1 theirs, 1.1 {}", ours()).as_str()));
    assert_eq!(response.one("Content-Type"), Some("text/html; charset=UTF-8"));
    assert_eq!(response.one("Connection"), Some("close"));
    assert_ne!(response.id(), "forged");

    let received = origin.last();
    for name in ["X-Hop", "Keep-Alive", "Proxy", "Upgrade"] {
        assert_eq!(received.one(name), None, "{name}");
    }
    for (name, expected) in [
        ("Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Proxy-Authorization", "mine"),
        ("Via", format!("1.0 them, 1.1 {}", ours()).as_str()),
        ("X-Forwarded-For", "1.2.3.4, 127.0.0.1"),
        ("X-Forwarded-Host", "a.test"),
        ("X-Real-IP", "127.0.0.1"),
        ("X-Kong-Request-Id", response.id()),
    ] {
        assert_eq!(received.one(name), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn a_trusted_peer_is_believed() {
    let origin = Origin::plain().await;
    let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 1, |options| {
        options.forwarding.trusted = vec!["127.0.0.0/8".parse().unwrap()];
        options.public_ports.insert(9, 9);
    })
    .await;
    gateway.ask("GET /r HTTP/1.1\r\nHost: a.test\r\nX-Real-IP: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h.test\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Path: /p\r\nX-Forwarded-Prefix: /q\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n").await;
    let received = origin.last();
    for (name, expected) in [
        ("X-Real-IP", "9.9.9.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "h.test"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Path", "/p"),
        ("X-Forwarded-Prefix", "/q"),
        ("X-Forwarded-For", "9.9.9.9, 127.0.0.1"),
    ] {
        assert_eq!(received.one(name), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn headers_can_be_turned_off() {
    let origin = Origin::plain().await;
    let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 1, |options| {
        options.headers = engine::options::Headers::OFF;
    })
    .await;
    for request in [GET, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let response = gateway.ask(request).await;
        let ours = ["Via", "Server", "X-Kong-Request-Id", "X-Kong-Response-Latency"];
        assert!(ours.iter().all(|name| response.one(name).is_none()), "{:?}", response.fields);
    }
    assert_eq!(origin.last().one("X-Kong-Request-Id"), None);
}

#[tokio::test]
async fn whatever_the_door_lets_in_the_lane_carries() {
    let origin = Origin::plain().await;
    let url = origin.url("");
    let gateway = Gateway::start(one(&url, |r| r.path("/").with("preserve_host", true))).await;
    for host in
        ["a", "a:", "a:b", "a:99999", "a:1:2", "[::1]:1", "[::1", "%zz", "a,b", "~!$&'()*+;="]
    {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let response = gateway.ask(&request).await;
        match response.status {
            200 => assert_eq!(origin.last().one("Host"), Some(host)),
            // The door's own, not the lane's.
            status => assert_eq!((status, host), (400, "a,b")),
        }
    }
    for (target, expected) in [
        (&b"/\"<>\\^`{|}"[..], "/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        (b"/?\"<>\\^`{|}[]'", "/?%22%3C%3E\\^`{|}[]'"),
        (b"/?%zz%", "/?%zz%"),
        (b"/\xc3\xa9?\xff", "/%C3%A9?%FF"),
        (b"http://a.test/x?y", "/x?y"),
        (b"/a//b/./c/../%2e%2E/d%2fe", "/a/d%2Fe"),
        (b"/?a?b#".strip_suffix(b"#").unwrap(), "/?a?b"),
    ] {
        let mut client = gateway.connect().await;
        client
            .send(
                [b"FOO-B_R ", target, b" HTTP/1.1\r\nHost: a.test\r\nX-Odd!#$: \xff\tx\r\n\r\n"]
                    .concat(),
            )
            .await;
        assert_eq!(client.response().await.status, 200, "{}", target.escape_ascii());
        assert_eq!(origin.last().line, format!("FOO-B_R {expected} HTTP/1.1"));
    }
    let fields: String = (0..190).map(|n| format!("X-{n}: {}\r\n", "v".repeat(100))).collect();
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    assert_eq!(gateway.ask(&many).await.status, 200);
    assert_eq!(origin.last().one("X-189"), Some("v".repeat(100).as_str()));
}
