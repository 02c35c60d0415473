//! The engine from outside: real sockets on both sides, everything between ours.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "proxy/framing.rs"]
mod framing;
#[path = "proxy/support.rs"]
mod support;
#[path = "proxy/tunnel.rs"]
mod tunnel;

use model::VERSION;
use model::testing::{route, service};
use std::time::Duration;
use support::{Act, Client, Gateway, Origin, config, one, within};
use tokio::io::AsyncWriteExt as _;

const GET: &str = "GET /r HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn ours() -> String {
    format!("gateway/{VERSION}")
}

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
async fn routes_decide_by_host_path_and_method() {
    let origin = Origin::plain().await;
    let to = |name: &str| service(name).url(&origin.url(&format!("/{name}"))).build();
    let (a, b, c) = (to("a"), to("b"), to("c"));
    let routes = [
        route("a").path("/x").to(&a).build(),
        route("b").path("/x").host("b.test").with("strip_path", false).to(&b).build(),
        route("c").path("/x/y").method("PUT").with("preserve_host", true).to(&c).build(),
    ];
    let gateway = Gateway::start(config([a, b, c], routes)).await;
    for (request, host, expected) in [
        ("GET /x/z", "a.test", "GET /a/z HTTP/1.1"),
        ("GET /x/z", "b.test", "GET /b/x/z HTTP/1.1"),
        ("PUT /x/y?", "q.test:8", "PUT /c? HTTP/1.1"),
        ("GET /a/../x//y", "a.test", "GET /a/y HTTP/1.1"),
    ] {
        let head = format!("{request} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(gateway.ask(&head).await.status, 200, "{request}");
        assert_eq!(origin.last().line, expected, "{request}");
    }
    let preserved = origin.seen().into_iter().find(|seen| seen.line.starts_with("PUT")).unwrap();
    assert_eq!(preserved.one("Host"), Some("q.test:8"));
}

#[tokio::test]
async fn without_a_route_the_answer_is_404() {
    let gateway = Gateway::start(config([], [])).await;
    let mut client = gateway.connect().await;
    let response = client.ask(GET).await;
    let id = response.id().to_owned();
    assert_eq!((response.status, response.line.as_str()), (404, "HTTP/1.1 404 Not Found"));
    assert_eq!(
        response.text(),
        format!(
            "{{\n  \"message\":\"no Route matched with those values\",\n  \"request_id\":\"{id}\"\n}}"
        )
    );
    assert_eq!(response.one("Content-Type"), Some("application/json; charset=utf-8"));
    assert_eq!(response.one("Server"), Some(ours().as_str()));
    assert!(response.one("X-Kong-Response-Latency").is_some() && response.one("Date").is_some());
    assert_eq!((response.one("Via"), response.one("X-Kong-Proxy-Latency")), (None, None));
    assert_eq!(id.len(), 32);

    // The connection is as good as before, also with a body nobody read.
    let head = client
        .ask("HEAD /r HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    assert_eq!((head.status, head.body.len()), (404, 0));
    assert_eq!(head.one("Content-Length"), Some("80"));
    let html = client.ask("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n").await;
    assert!(
        html.text().contains("<p>no Route matched with those values.</p>\n"),
        "{}",
        html.text()
    );
}

#[tokio::test]
async fn what_the_gateway_must_answer_itself_it_does() {
    let nothing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = nothing.local_addr().unwrap();
    drop(nothing);
    let origin = Origin::start(|received| match received.line.split(' ').nth(1).unwrap() {
        "/garbage" => Act::SayAndClose(b"not http at all\r\n\r\n".to_vec()),
        "/slow" => Act::Hang,
        _ => Act::SayAndClose(Vec::new()),
    })
    .await;
    let refused = service("refused").url(&format!("http://{refusing}/")).with("retries", 2).build();
    let bad =
        service("bad").url(&origin.url("/")).with("read_timeout", 200).with("retries", 0).build();
    let unnamed = service("unnamed").url("http://does-not-exist.invalid/").build();
    let routes = [
        route("refused").path("/refused").to(&refused).build(),
        route("bad").path("/bad").to(&bad).build(),
        route("unnamed").path("/unnamed").to(&unnamed).build(),
        route("alone").path("/alone").build(),
        route("tls").path("/tls").with("protocols", vec!["https"]).to(&bad).build(),
        route("moved")
            .path("/moved")
            .with("protocols", vec!["https"])
            .with("https_redirect_status_code", 301)
            .to(&bad)
            .build(),
    ];
    let gateway = Gateway::start(config([refused, bad, unnamed], routes)).await;
    let mut client = gateway.connect().await;
    const B: &str = "text/plain; charset=utf-8";
    const A: &str = "application/json; charset=utf-8";
    for (path, status, media, message) in [
        ("/refused", 502, B, "An invalid response was received from the upstream server"),
        ("/bad/garbage", 502, B, "An invalid response was received from the upstream server"),
        ("/bad/closes", 502, B, "An invalid response was received from the upstream server"),
        ("/bad/slow", 504, B, "The upstream server is timing out"),
        ("/unnamed", 503, A, "name resolution failed"),
        ("/alone", 503, A, "no Service found with those values"),
        ("/tls", 426, A, "Please use HTTPS protocol"),
    ] {
        let response = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        assert_eq!(response.status, status, "{path}");
        assert_eq!(response.one("Content-Type"), Some(media), "{path}");
        let id = response.id();
        let body = match media {
            A => format!("{{\n  \"message\":\"{message}\",\n  \"request_id\":\"{id}\"\n}}"),
            _ => format!("{message}\nrequest_id: {id}\n"),
        };
        assert_eq!(response.text(), body, "{path}");
        assert_eq!(response.one("Server"), Some(ours().as_str()), "{path}");
        assert!(response.one("X-Kong-Response-Latency").is_some(), "{path}");
        assert_eq!(response.one("Via"), None, "{path}");
        if status == 426 {
            assert_eq!(response.one("Upgrade"), Some("TLS/1.2, HTTP/1.1"));
        }
    }
    let moved = client.ask("GET /moved/x?y HTTP/1.1\r\nHost: A.test:80\r\n\r\n").await;
    assert_eq!((moved.status, moved.one("Location")), (301, Some("https://a.test/moved/x?y")));
    assert_eq!(moved.body, b"");
}

#[tokio::test]
async fn what_the_door_refuses_is_answered_as_kong_does() {
    let gateway = Gateway::start(config([], [])).await;
    for (request, status, text) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "Bad request"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "Method not allowed"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "Bad request"),
    ] {
        let mut client = gateway.connect().await;
        let response = client.ask(request).await;
        assert_eq!(response.status, status, "{request}");
        assert_eq!(response.text(), format!("{text}\nrequest_id: {}\n", response.id()));
        assert_eq!(response.one("Connection"), Some("close"));
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_on_one_upstream_connection() {
    let origin = Origin::start(|received| Act::ok(&received.line)).await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    let mut all = String::new();
    for number in 0..20 {
        all += &format!(
            "POST /r/{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        );
    }
    client.send(&all).await;
    for number in 0..20 {
        assert_eq!(client.response().await.text(), format!("POST /{number} HTTP/1.1"));
    }
    let seen = origin.seen();
    assert!(seen.iter().all(|seen| seen.body == b"abc" && seen.connection == 0));
    assert_eq!(gateway.handle.stats().requests(), 20);
}

#[tokio::test]
async fn large_bodies_pass_whole_in_both_directions() {
    let big: Vec<u8> =
        (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let origin = Origin::start(|received| {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in received.body.chunks(70_001) {
            answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
            answer.extend(chunk);
            answer.extend(b"\r\n");
        }
        answer.extend(b"0\r\n\r\n");
        Act::Say(answer)
    })
    .await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let (read, mut write) =
        tokio::net::TcpStream::connect(gateway.addr).await.unwrap().into_split();
    let mut chunked = b"PUT /r HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in big.chunks(33_333) {
        chunked.extend(format!("{:x};ext=1\r\n", chunk.len()).bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let length = format!("PUT /r HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", big.len());
    let lengthy = [length.as_bytes(), &big].concat();
    tokio::spawn(async move {
        write.write_all(&chunked).await.unwrap();
        write.write_all(&lengthy).await.unwrap();
        std::future::pending::<()>().await;
    });
    let mut client = support::Wire::new(read);
    for framing in ["chunked", "length"] {
        let response = within(client.response(false)).await.unwrap();
        assert_eq!(response.status, 200);
        assert!(response.body == big, "{framing}: {} bytes came back", response.body.len());
    }
    assert!(origin.seen().iter().all(|seen| seen.body == big));
}

#[tokio::test]
async fn an_http_1_0_client_is_spoken_to_in_its_way() {
    let origin = Origin::start(|_| {
        Act::Say(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                .to_vec(),
        )
    })
    .await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    let response = client.ask("GET /r HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    assert_eq!(response.text(), "hello");
    assert_eq!(
        (response.one("Transfer-Encoding"), response.one("Connection")),
        (None, Some("close"))
    );
    assert_eq!(origin.last().line, "GET / HTTP/1.1");
    assert_eq!(origin.last().one("X-Forwarded-Host"), None);
}

#[tokio::test]
async fn interim_responses_are_the_gateways_own() {
    let origin = Origin::start(|_| {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        Act::Say(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").into())
    })
    .await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    let head = "PUT /r HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    client.send(head).await;
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(within(client.0.take(interim.len())).await.unwrap(), interim.as_bytes());
    client.send("hi").await;
    assert_eq!(client.response().await.text(), "ok");
    assert_eq!((origin.last().one("Expect"), origin.last().body), (None, b"hi".to_vec()));
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_in_order() {
    let origin = Origin::start(|received| {
        let status = received.line.split('/').nth(1).unwrap().split(' ').next().unwrap();
        match status {
            "204" => Act::Say(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
            "304" => Act::Say(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n".to_vec()),
            "head" => Act::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_vec()),
            "end" => Act::SayAndClose(b"HTTP/1.0 200 OK\r\n\r\nto the end".to_vec()),
            _ => Act::ok("last"),
        }
    })
    .await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    for (method, path, status, length, body) in [
        ("GET", "204", 204, None, ""),
        ("GET", "304", 304, Some("9"), ""),
        ("HEAD", "head", 200, Some("9"), ""),
        ("GET", "end", 200, None, "to the end"),
        ("GET", "last", 200, Some("4"), "last"),
    ] {
        let response = client.ask(&format!("{method} /r/{path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!((response.status, response.text()), (status, body), "{path}");
        assert_eq!(response.one("Content-Length"), length, "{path}");
        assert!(response.line.starts_with("HTTP/1.1 "), "{}", response.line);
    }
}

#[tokio::test]
async fn a_malformed_chunk_is_the_clients_fault() {
    let origin = Origin::plain().await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let request = "POST /r HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    let response = gateway.ask(request).await;
    assert_eq!(response.status, 400);
    assert_eq!(response.text(), format!("Bad request\nrequest_id: {}\n", response.id()));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let origin = Origin::plain().await;
    let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 1, |options| {
        options.max_body = Some(4);
    })
    .await;
    let framings = [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    for framing in framings {
        let response = gateway.ask(&format!("POST /r HTTP/1.1\r\nHost: a\r\n{framing}")).await;
        assert_eq!(response.status, 413, "{framing}");
        assert_eq!(response.text(), format!("Payload too large\nrequest_id: {}\n", response.id()));
    }
    assert_eq!(
        gateway.ask("POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nhell").await.status,
        200
    );
}

#[tokio::test]
async fn only_what_is_safe_is_tried_again() {
    let origin = Origin::start(|received| match received.connection {
        0 | 1 => Act::SayAndClose(Vec::new()),
        _ => Act::ok("at last"),
    })
    .await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let post = gateway.ask("POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!((post.status, origin.seen().len()), (502, 1));
    let put = gateway.ask("PUT /r HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!((put.status, put.text(), origin.seen().len()), (200, "at last", 3));
    assert!(origin.seen().iter().all(|seen| seen.body == b"hi"));
}

#[tokio::test]
async fn as_often_as_the_service_says() {
    let origin = Origin::start(|_| Act::SayAndClose(Vec::new())).await;
    for retries in [0, 3] {
        let service = service("s").url(&origin.url("/")).with("retries", retries).build();
        let route = route("r").path("/r").to(&service).build();
        let gateway = Gateway::start(config([service], [route])).await;
        let before = origin.seen().len();
        assert_eq!(gateway.ask(GET).await.status, 502);
        assert_eq!(origin.seen().len() - before, retries + 1);
    }
}

#[tokio::test]
async fn every_request_has_its_line_in_the_access_log() {
    let (lines, mut logged) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::plain().await;
    let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 1, |options| {
        let take = move |line| lines.send(line).unwrap_or_default();
        options.access_log = Some(engine::options::LogSink::new(take));
    })
    .await;
    for (request, expected) in [
        (
            "GET /r?q HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\n\r\n",
            "\"GET /r?q HTTP/1.1\" 200 5 \"-\" \"x\"",
        ),
        (
            "HEAD /none HTTP/1.1\r\nHost: a\r\nReferer: y\r\n\r\n",
            "\"HEAD /none HTTP/1.1\" 404 0 \"y\" \"-\"",
        ),
        ("GET /r HTTP/1.1\r\n\r\n", "\"GET /r HTTP/1.1\" 400 57 \"-\" \"-\""),
    ] {
        let response = gateway.ask(request).await;
        let line = within(logged.recv()).await.unwrap();
        let expected = format!("{expected} kong_request_id: \"{}\"", response.id());
        assert!(line.starts_with("127.0.0.1 - - [") && line.ends_with(&expected), "{line}");
    }
    assert_eq!(gateway.handle.stats().access_log_dropped, 0);
}

#[tokio::test]
async fn workers_are_pinned_and_say_where() {
    let gateway = Gateway::with(config([], []), 2, |_| {}).await;
    let stats = gateway.handle.stats();
    assert_eq!(stats.workers.len(), 2);
    assert!(stats.workers.iter().all(|worker| worker.core.is_some()), "{stats:?}");
}

#[tokio::test]
async fn a_connection_gone_stale_costs_no_try() {
    let origin = Origin::start(|received| match received.line.as_str() {
        "GET /one HTTP/1.1" => Act::ok("one"),
        _ if received.connection == 0 => Act::SayAndClose(Vec::new()),
        _ => Act::ok("two"),
    })
    .await;
    let service = service("s").url(&origin.url("/")).with("retries", 0).build();
    let route = route("r").path("/r").to(&service).build();
    let gateway = Gateway::start(config([service], [route])).await;
    assert_eq!(gateway.ask("GET /r/one HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "one");
    assert_eq!(gateway.ask("GET /r/two HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "two");
}

#[tokio::test]
async fn names_are_resolved() {
    let origin = Origin::plain().await;
    let url = format!("http://localhost:{}", origin.addr.port());
    let gateway = Gateway::start(one(&url, |r| r.path("/r"))).await;
    assert_eq!(gateway.ask(GET).await.text(), "hello");
    let host = format!("localhost:{}", origin.addr.port());
    assert_eq!(origin.last().one("Host"), Some(host.as_str()));
}

#[tokio::test]
async fn an_upstream_may_want_tls() {
    let origin = Origin::secure(|received| Act::ok(&received.line)).await;
    let service = service("s").url(&format!("https://localhost:{}/", origin.addr.port())).build();
    let route = route("r").path("/r").to(&service).build();
    let gateway = Gateway::start(config([service], [route])).await;
    for path in ["a", "b"] {
        let response = gateway.ask(&format!("GET /r/{path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(response.text(), format!("GET /{path} HTTP/1.1"));
        assert_eq!(origin.last().connection, 0);
    }
    let host = format!("localhost:{}", origin.addr.port());
    assert_eq!(origin.last().one("Host"), Some(host.as_str()));
}

#[tokio::test]
async fn a_service_that_wants_more_of_tls_than_there_is_is_refused() {
    let service = service("s").url("https://a.test/").with("tls_verify", true).build();
    let refused = engine::judge().rehearse(&config([service], [])).unwrap_err();
    assert_eq!(refused.len(), 1, "{refused:?}");
}

#[tokio::test]
async fn a_client_that_leaves_costs_its_request_only() {
    let origin = Origin::start(|received| match received.line.contains("slow") {
        true => Act::Hang,
        false => Act::ok("hello"),
    })
    .await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    client.send("GET /r/slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    within(async {
        while origin.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        drop(client);
        while gateway.handle.stats().open() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(gateway.ask(GET).await.text(), "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_sees_one_revision() {
    let origin = Origin::start(|received| {
        let path = received.line.split(' ').nth(1).unwrap().to_owned();
        Act::ok(&format!("{path} {}", received.one("Host").unwrap()))
    })
    .await;
    // Path and service change together; the Host comes from the service, the path too.
    let pair = |version: u64| {
        let host = format!("127.0.0.{}", 1 + version % 2);
        let url = format!("http://{host}:{}/v{}", origin.addr.port(), version % 2);
        one(&url, |r| r.path("/r"))
    };
    let second = tokio::net::TcpListener::bind(("127.0.0.2", origin.addr.port())).await.unwrap();
    tokio::spawn(forward(second, origin.addr));
    let gateway = Gateway::with(pair(1), 2, |_| {}).await;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (addr, port) = (gateway.addr, origin.addr.port());
            tokio::spawn(async move {
                let mut client = Client::connect(addr).await;
                let mut seen = [0; 2];
                for _ in 0..100 {
                    let response = client.ask(GET).await;
                    let which = match response.text() {
                        text if text == format!("/v0 127.0.0.1:{port}") => 0,
                        text if text == format!("/v1 127.0.0.2:{port}") => 1,
                        mixed => panic!("{mixed}"),
                    };
                    seen[which] += 1;
                }
                seen
            })
        })
        .collect();
    for version in 2..60 {
        gateway.apply(version, pair(version)).await;
    }
    for client in clients {
        within(client).await.unwrap();
    }
}

/// Passes connections on: the same origin at another address.
async fn forward(listener: tokio::net::TcpListener, to: std::net::SocketAddr) {
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut to = tokio::net::TcpStream::connect(to).await.unwrap();
            tokio::io::copy_bidirectional(&mut from, &mut to).await.unwrap_or_default()
        });
    }
}

#[tokio::test]
async fn draining_makes_the_next_response_the_last() {
    let origin = Origin::plain().await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(GET).await.one("Connection"), Some("keep-alive"));
    gateway.handle.drain();
    assert_eq!(client.ask(GET).await.one("Connection"), Some("close"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn shutting_down_waits_for_answers_and_accepts_no_more() {
    let (answer, answered) = tokio::sync::watch::channel(false);
    let origin = support::held(answered).await;
    let gateway = Gateway::start(one(&format!("http://{}", origin.addr), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    client.send(GET).await;
    within(origin.asked.notified()).await;
    let (addr, handle) = (gateway.addr, gateway.handle);
    let leaving = tokio::spawn(handle.shutdown(Duration::from_secs(60)));
    within(async {
        while tokio::net::TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    answer.send_replace(true);
    let response = client.response().await;
    assert_eq!((response.text(), response.one("Connection")), ("held", Some("close")));
    within(leaving).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_stays_idle_is_cut_off_in_the_end() {
    let gateway = Gateway::start(config([], [])).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(GET).await.status, 404);
    within(gateway.handle.shutdown(Duration::from_millis(50))).await;
    assert!(client.is_closed().await);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_spread_evenly() {
    for connections in [64, 512] {
        let gateway = Gateway::with(config([], []), 8, |_| {}).await;
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(gateway.connect().await);
        }
        within(async {
            while gateway.handle.stats().open() < connections {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let stats = gateway.handle.stats();
        let busiest = stats.workers.iter().map(|worker| worker.open).max().unwrap();
        assert!(busiest * 8 * 4 <= connections * 5, "{connections}: {:?}", stats.workers);
        // Those that changed hands are served as well.
        for client in &mut clients {
            assert_eq!(client.ask(GET).await.status, 404);
        }
        assert_eq!(stats.accepted(), connections);
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let gateway = Gateway::start(config([], [])).await;
    let options = engine::Options {
        listen: vec![engine::options::Listen::plain(gateway.addr)],
        ..Default::default()
    };
    let (_revisions, followed) = tokio::sync::watch::channel(model::Revision::empty());
    let error = engine::Engine::start(options, followed).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", gateway.addr));
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
