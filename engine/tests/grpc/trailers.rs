//! Trailers, wherever they come from: only those of gRPC's responses go on, and none does harm.

use super::client::{Client, method, read, text};
use super::origin::{Origin, fields};
use super::support::{Act, Origin as Http1, Received, one, within};
use super::{gateway, grpc};
use bytes::Bytes;

/// Sends a body and trailers behind it.
async fn with_trailers(client: &Client) -> super::client::Answer {
    let mut call = client.begin(method("/p.S/M")).await;
    call.body.send_data(Bytes::from_static(b"hi"), false).unwrap();
    call.body.send_trailers(fields(&[("x-checksum", "1"), ("x-forged", "2")])).unwrap();
    read(within(call.response).await.unwrap()).await
}

#[tokio::test]
async fn of_a_request_they_end_its_body() {
    let origin = Origin::echo().await;
    let to_grpc = gateway(grpc(origin.addr)).await;
    let client = Client::in_clear(&to_grpc).await;
    for _ in 0..2 {
        let answer = with_trailers(&client).await;
        assert_eq!((answer.code(), &*answer.body), (Some("0"), &b"hi"[..]));
    }

    let origin = echo_over_http1().await;
    let to_http = gateway(one(&origin.url("/"), |r| r.path("/"))).await;
    let client = Client::in_clear(&to_http).await;
    for _ in 0..2 {
        let answer = with_trailers(&client).await;
        assert_eq!((answer.head.status.as_u16(), &*answer.body), (200, &b"hi"[..]));
    }
    let chunked = "POST /r HTTP/1.1\r\nHost: a\r\nTrailer: X-Checksum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Checksum: 1\r\nHost: forged\r\n\r\n";
    let mut client = to_http.connect().await;
    for _ in 0..2 {
        assert_eq!(client.ask(chunked).await.text(), "hi");
    }
    // One for each lane: HTTP/2 and HTTP/1 take two.
    assert!(origin.seen().iter().all(|seen| seen.connection < 2 && seen.body == b"hi"));
}

/// One that would take a trailer behind the last chunk for another request.
async fn echo_over_http1() -> Http1 {
    Http1::start(|rq: &Received| Act::ok(std::str::from_utf8(&rq.body).unwrap())).await
}

#[tokio::test]
async fn of_a_response_over_http1_they_end_its_body() {
    let origin = Http1::start(|_| {
        let head = "HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n";
        Act::Say(format!("{head}2\r\nhi\r\n0\r\nX-Checksum: 1\r\nContent-Length: 9\r\n\r\n").into())
    })
    .await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/"))).await;
    let mut client = gateway.connect().await;
    for (asked, announced) in [("TE: trailers\r\n", Some("X-Checksum")), ("", None)] {
        let response = client.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{asked}\r\n")).await;
        assert_eq!((response.text(), response.one("Trailer")), ("hi", announced));
    }
    let answer = Client::in_clear(&gateway).await.call(method("/"), b"").await;
    assert_eq!(&*answer.body, b"hi");
    assert_eq!(text(&answer.trailers.unwrap(), "x-checksum"), None);
    // One for each lane: HTTP/2 and HTTP/1 take two.
    assert!(origin.seen().iter().all(|seen| seen.connection < 2));
}
