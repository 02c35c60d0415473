//! Where bodies begin and end, and what HTTP/1 says around them.

use super::support::{Act, Gateway, Origin, Wire, config, one, within};
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;

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
    let mut client = Wire::new(read);
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
async fn interim_responses_without_end_are_no_answer() {
    let origin = Origin::start(|received| {
        let count = if received.line.contains("/few") { 1000 } else { 1001 };
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(count);
        Act::Say(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").into())
    })
    .await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    for (path, status) in [("few", 200), ("many", 502)] {
        let mut client = gateway.connect().await;
        client.send(format!("GET /r/{path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.response().await.status, status, "{path}");
    }
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
async fn a_connection_is_promised_only_if_it_is_kept() {
    let gateway = Gateway::start(config([], [])).await;
    for (framing, promise) in [
        ("Content-Length: 2\r\n\r\nhi", "keep-alive"),
        ("Content-Length: 0\r\nExpect: 100-continue\r\n\r\n", "keep-alive"),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "keep-alive"),
        // The body may follow, or the next request.
        ("Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", "close"),
        ("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n", "close"),
        // Too much to read away.
        ("Content-Length: 100000\r\n\r\n", "close"),
    ] {
        let mut client = gateway.connect().await;
        let request = format!("PUT /r HTTP/1.1\r\nHost: a\r\n{framing}");
        let response = client.ask(&request).await;
        assert_eq!(
            (response.status, response.one("Connection")),
            (404, Some(promise)),
            "{framing}"
        );
        match promise {
            "close" => assert!(client.is_closed().await, "{framing}"),
            _ => assert_eq!(client.ask(&request).await.status, 404, "{framing}"),
        }
    }
}

/// The same where an upstream comes to an end before the body has: what is left of it is read away
/// if it is little.
#[tokio::test]
async fn a_connection_is_promised_by_what_is_left_of_the_body() {
    const EARLY: &str = "HTTP/1.1 413 Much\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let much = "!".repeat(99_998);
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let services = [
        (deaf.local_addr().unwrap(), 502),
        (interrupting("").await, 502),
        (interrupting(EARLY).await, 413),
    ];
    for (upstream, status) in services {
        let streams =
            one(&format!("http://{upstream}"), |r| r.path("/").with("request_buffering", false));
        let gateway = Gateway::start(streams).await;
        for (framing, begun, rest, promise) in [
            ("Content-Length: 2", "hi", "", "keep-alive"),
            ("Content-Length: 9", "hi", "!234567", "keep-alive"),
            ("Transfer-Encoding: chunked", "2\r\nhi\r\n", "0\r\n\r\n", "keep-alive"),
            ("Content-Length: 100000", "hi", &much, "close"),
        ] {
            let mut client = gateway.connect().await;
            let head = format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
            let response = client.ask(&format!("{head}{begun}")).await;
            assert_eq!(
                (response.status, response.one("Connection")),
                (status, Some(promise)),
                "{framing}"
            );
            client.send(rest).await;
            match promise {
                "close" => assert!(client.is_closed().await, "{framing}"),
                _ => assert_eq!(client.ask(&format!("{head}{begun}")).await.status, status),
            }
        }
    }
}

/// An upstream that reads the head of a request and says this, or closes if it is nothing.
async fn interrupting(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut wire = Wire::new(stream);
                wire.head().await;
                if !answer.is_empty() {
                    wire.stream.write_all(answer.as_bytes()).await.unwrap_or_default();
                    // Closed with something unread, it would take the answer back.
                    tokio::io::copy(&mut wire.stream, &mut tokio::io::sink())
                        .await
                        .unwrap_or_default();
                }
            });
        }
    });
    addr
}

#[tokio::test]
async fn nothing_of_a_slow_response_waits_for_the_rest() {
    let unfinished = "POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
    for request in ["GET /r HTTP/1.1\r\nHost: a\r\n\r\n", unfinished] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (go, may) = mpsc::channel(1);
        tokio::spawn(say_in_parts(listener, may));
        let streaming = one(&url, |r| r.path("/r").with("request_buffering", false));
        let gateway = Gateway::start(streaming).await;
        let mut client = gateway.connect().await;
        client.send(request).await;
        go.send(()).await.unwrap();
        let (line, _) = within(client.0.head()).await.unwrap();
        assert_eq!(line, "HTTP/1.1 200 OK");
        for part in ["ab", "cd"] {
            go.send(()).await.unwrap();
            assert_eq!(within(client.0.take(2)).await.unwrap(), part.as_bytes(), "{request}");
        }
    }
}

/// An origin that answers in three parts, each when it may.
async fn say_in_parts(listener: TcpListener, mut may: mpsc::Receiver<()>) {
    let mut wire = Wire::new(listener.accept().await.unwrap().0);
    wire.head().await.unwrap();
    for part in ["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "ab", "cd"] {
        may.recv().await.unwrap();
        wire.stream.write_all(part.as_bytes()).await.unwrap();
    }
    may.recv().await; // stays until the client has seen it all
}
