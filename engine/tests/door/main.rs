//! The door, from the client's side: what one connection may say and is answered.
//!
//! The connection is a pipe in memory and the clock stands still, so nothing here
//! waits. The carrier stands in for the pipeline and its lanes; what it does with a
//! request is named by the target.

mod support;
mod slow; // over what they are sent

use engine::door::{self, Ending, Options, Transport as _};
use pingora::protocols::SocketDigest;
use std::sync::Arc;
use std::time::Duration;
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

const GET: &str = "GET /next HTTP/1.1\nHost: a\n\n";

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_turn() {
    let said = "GET /1 HTTP/1.1\nHost: a\n\nGET /2 HTTP/1.1\nHost: a\n\nGET /3 HTTP/1.0\n\n";
    check(said, "/1|/2|Connection: close|/3|EOF", "1 /1 \"\"; 2 /2 \"\"; 3 /3 \"\"").await;
}

#[tokio::test(start_paused = true)]
async fn a_body_with_a_length_ends_where_the_next_request_begins() {
    let said = format!("POST /p HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello{GET}");
    check(&said, "/p hello|/next", "1 /p \"hello\"; 2 /next \"\"").await;
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_with_trailers_ends_where_the_next_request_begins() {
    let head = "POST /c HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n";
    let said = format!("{head}5;x=y\nhello\n1\n!\n0\nX-T: 1\n\n{GET}");
    let body = "5;x=y\\r\\nhello\\r\\n1\\r\\n!\\r\\n0\\r\\nX-T: 1\\r\\n\\r\\n";
    let heard = "/c 5;x=y|hello|1|!|0|X-T: 1|/next";
    check(&said, heard, &format!("1 /c \"{body}\"; 2 /next \"\"")).await;
}

#[tokio::test(start_paused = true)]
async fn malformed_chunks_end_the_connection() {
    let head = "POST /c HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n";
    let said = format!("{head}5\nhello!\n{GET}");
    let why = "chunk data does not end with CRLF";
    check(&said, &format!("/c {why}|EOF"), &format!("1 /c \"{why}\"")).await;
}

#[tokio::test(start_paused = true)]
async fn a_small_body_that_nobody_read_is_skipped() {
    let said = format!("POST /unread HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello{GET}");
    check(&said, "unread|/next", "2 /next \"\"").await;
}

#[tokio::test(start_paused = true)]
async fn a_large_body_that_nobody_read_ends_the_connection() {
    let mut client = Client::connect(Options::default());
    client.send("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").await;
    for _ in 0..20 {
        client.send(&"x".repeat(10_000)).await;
    }
    assert_eq!(client.hear().await, "unread|EOF");
}

#[tokio::test(start_paused = true)]
async fn what_a_head_means_is_refused_with_the_head() {
    let said = "POST / HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n";
    let notes = "both Transfer-Encoding and Content-Length, with head";
    check(said, "HTTP/1.1 400 Bad request|EOF", notes).await;
    let (said, notes) = ("TRACE / HTTP/1.1\nHost: a\n\n", "method is not served, with head");
    check(said, "HTTP/1.1 405 Method not allowed|EOF", notes).await;
}

#[tokio::test(start_paused = true)]
async fn a_malformed_head_is_refused_by_its_request_line() {
    const BAD: &str = "HTTP/1.1 400 Bad request|EOF";
    for (said, heard, notes) in [
        ("GET /a b HTTP/1.1\n", BAD, "malformed request line: GET /a b HTTP/1.1"),
        ("\nGET /a\n", BAD, "malformed request line: GET /a"),
        ("GET / HTTP/1.1\nA b\n\n", BAD, "malformed header name: GET / HTTP/1.1"),
        ("\u{1}", BAD, "malformed method: \\x01"),
    ] {
        check(said, heard, notes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_line_that_is_too_long_a_line_is_told() {
    let mut client = Client::connect(Options::default());
    client.send(&format!("GET /{}", "x".repeat(50_000))).await;
    assert_eq!(client.hear().await, "HTTP/1.1 414 URI too long|EOF");
    let told = format!("request line too long: GET /{}", "x".repeat(8 * 1024 - 5));
    assert_eq!(client.carrier.notes(), told);
}

#[tokio::test(start_paused = true)]
async fn a_huge_head_is_refused_and_listened_to() {
    let mut client = Client::connect(Options::default());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    // More than the pipe holds: it goes through only if the door goes on reading.
    client.send(&"x".repeat(200_000)).await;
    let heard = client.hear().await;
    assert_eq!(heard, "HTTP/1.1 400 Request header or cookie too large|EOF");
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_has_a_minute_in_all() {
    let (mut client, start) = (Client::connect(Options::default()), Instant::now());
    tokio::time::sleep(Duration::from_secs(50)).await;
    for byte in "GET / HTTP/1.1".chars() {
        client.send(&byte.to_string()).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    assert_eq!(client.hear().await, "HTTP/1.1 408 Request timeout|EOF");
    // 50 s before the first byte, 60 s after it.
    assert_eq!(start.elapsed().as_secs(), 110);
    assert_eq!(client.carrier.notes(), "head took too long: GET / HTTP/1.1");
}

#[tokio::test(start_paused = true)]
async fn half_a_head_behind_a_request_has_its_minute_too() {
    let (mut client, start) = (Client::connect(Options::default()), Instant::now());
    client.send(&format!("{GET}GET /").replace('\n', "\r\n")).await;
    let mut rest = String::new();
    client.pipe.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("408 Request timeout"), "{rest}");
    assert_eq!(start.elapsed().as_secs(), 60);
    assert_eq!(client.carrier.notes(), "1 /next \"\"; head took too long: GET /");
}

#[tokio::test(start_paused = true)]
async fn an_empty_line_behind_a_body_is_no_request() {
    let (mut client, start) = (Client::connect(Options::default()), Instant::now());
    client.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\n").await;
    assert_eq!(client.hear().await, "/p x");
    assert_eq!(client.hear().await, "");
    let mut rest = Vec::new();
    client.pipe.read_to_end(&mut rest).await.unwrap();
    assert_eq!((rest.len(), start.elapsed().as_secs()), (0, 75));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_in_silence() {
    let mut client = Client::connect(Options::default());
    let start = Instant::now();
    client.send(&GET.replace('\n', "\r\n")).await;
    assert_eq!(client.hear().await, "/next");
    let mut rest = Vec::new();
    client.pipe.read_to_end(&mut rest).await.unwrap();
    assert_eq!((rest.len(), start.elapsed().as_secs()), (0, 75));

    let mut client = Client::connect(Options::default());
    let start = Instant::now();
    client.pipe.read_to_end(&mut rest).await.unwrap();
    assert_eq!((rest.len(), start.elapsed().as_secs()), (0, 60), "before the first request");
}

#[tokio::test(start_paused = true)]
async fn the_last_of_the_allowed_requests_closes() {
    let mut client = Client::connect(Options { requests: 2, ..Options::default() });
    client.send(&GET.replace('\n', "\r\n").repeat(3)).await;
    assert_eq!(client.hear().await, "/next|Connection: close|/next|EOF");
}

#[tokio::test(start_paused = true)]
async fn draining_lets_the_next_request_close() {
    let mut client = Client::connect(Options::default());
    let get = GET.replace('\n', "\r\n");
    client.send(&get).await;
    assert_eq!(client.hear().await, "/next");
    client.draining.send(true).unwrap();
    assert_eq!(client.hear().await, "", "an idle connection is left alone");
    client.send(&get).await;
    assert_eq!(client.hear().await, "Connection: close|/next|EOF");
}

#[tokio::test(start_paused = true)]
async fn a_head_can_be_read_again_as_it_stands() {
    let said = "POST /again HTTP/1.1\nhOST: a\nCookie:  c \nconnection: x-y\nX-Y: 1\n\
                Transfer-Encoding: CHUNKED\n\n1\nz\n0\n\n";
    let notes = "POST /again HTTP/1.1|hOST: a|Cookie: c|X-Edited: yes|\
                 Transfer-Encoding: chunked|Connection: keep-alive||";
    check(said, "1|z|0", notes).await;
}

const UPGRADE: &str = "HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\n\n";

#[tokio::test(start_paused = true)]
async fn after_101_everything_passes() {
    let mut client = Client::connect(Options::default());
    // Sent before the answer is known: it belongs to the new protocol.
    client.send(&format!("GET /ws {UPGRADE}").replace('\n', "\r\n")).await;
    client.send("early").await;
    let heard = client.hear().await;
    assert_eq!(heard, "HTTP/1.1 100 Continue|HTTP/1.1 101 Switching Protocols|<early>");
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.hear().await, "<GET / HTTP/1.1|>");
    client.pipe.shutdown().await.unwrap();
    assert_eq!(client.hear().await, "EOF");
    assert_eq!(client.carrier.notes(), "the tunnel has ended");
}

#[tokio::test(start_paused = true)]
async fn a_refused_upgrade_is_a_request_like_any_other() {
    let said = format!("GET /no {UPGRADE}{GET}");
    check(&said, "/no|/next", "1 /no \"\"; 2 /next \"\"").await;
}

#[tokio::test(start_paused = true)]
async fn a_101_nobody_asked_for_opens_nothing() {
    let mut client = Client::connect(Options::default());
    client.send(&format!("GET /ws HTTP/1.1\nHost: a\n\n{GET}").replace('\n', "\r\n")).await;
    let heard = client.hear().await;
    assert_eq!(heard, "HTTP/1.1 100 Continue|HTTP/1.1 101 Switching Protocols");
}

#[tokio::test(start_paused = true)]
async fn the_client_is_told_to_continue_when_its_body_is_wanted() {
    let mut client = Client::connect(Options::default());
    let head = "PUT /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    client.send(head).await;
    assert_eq!(client.hear().await, "HTTP/1.1 100 Continue");
    client.send("hi").await;
    assert_eq!(client.hear().await, "/p hi");

    // Not told if it did not wait, nor if nobody wants the body.
    client.send(&format!("{head}hi")).await;
    assert_eq!(client.hear().await, "/p hi");
    client.send(&head.replace("/p", "/unread")).await;
    assert_eq!(client.hear().await, "unread|EOF");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_lane_hears_that_the_client_left() {
    let mut client = Client::connect(Options::default());
    client.send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n").await;
    drop(client.pipe);
    client.door.await.unwrap();
    assert_eq!(client.carrier.notes.lock().unwrap().join("; "), "the client has gone");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_asking_is_there() {
    let mut client = Client::connect(Options::default());
    client.send(&format!("GET /silent HTTP/1.1\nHost: a\n\n{GET}").replace('\n', "\r\n")).await;
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(client.hear().await, "late|/next");
    assert_eq!(client.carrier.notes(), "the client is there; 2 /next \"\"");
}

#[tokio::test(start_paused = true)]
async fn a_body_cut_short_is_not_taken_for_whole() {
    for body in ["Content-Length: 5\r\n\r\nhel", "Transfer-Encoding: chunked\r\n\r\n5\r\nhel"] {
        let mut client = Client::connect(Options::default());
        client.send(&format!("POST /p HTTP/1.1\r\nHost: a\r\n{body}")).await;
        client.pipe.shutdown().await.unwrap();
        assert_eq!(client.hear().await, "/p cut short|EOF");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_larger_than_the_buffers_arrives_whole() {
    let (mut client, mut heard) = (Client::connect(Options::default()), Vec::new());
    client.send("GET /large HTTP/1.0\r\n\r\n").await;
    client.pipe.read_to_end(&mut heard).await.unwrap();
    assert!(heard.ends_with(&[&[b'x'; 100_000][..], b"\n"].concat()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_given_up() {
    let mut client = Client::connect_over(1000, Options::default());
    let start = Instant::now();
    client.send("GET /medium HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.door.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_lane_may_let_go_at_any_time() {
    let said = format!("GET /gone-lane HTTP/1.1\nHost: a\n\n{GET}");
    check(&said, "EOF", "").await;
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_is_handed_on_with_all_it_said() {
    let said = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes";
    let mut client = Client::connect(Options { http2: true, ..Options::default() });
    client.send(said).await;
    let Ending::Http2(mut stream) = client.door.await.unwrap() else { panic!("closed") };
    let mut heard = vec![0; said.len()];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, said.as_bytes());
    stream.write_all(b"settings").await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = [0; 8];
    client.pipe.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"settings");

    let mut client = Client::connect(Options::default());
    client.send(said).await;
    assert_eq!(client.hear().await, "HTTP/1.1 505 HTTP version not supported|EOF");
}

#[tokio::test(start_paused = true)]
async fn http2_is_for_the_beginning_only() {
    let mut client = Client::connect(Options { http2: true, ..Options::default() });
    client.send(&GET.replace('\n', "\r\n")).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(client.hear().await, "/next|HTTP/1.1 505 HTTP version not supported|EOF");
}

#[tokio::test]
async fn over_tcp_a_refused_client_reads_its_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (io, _) = listener.accept().await.unwrap();
    let (_draining, drain) = watch::channel(false);
    let door = tokio::spawn(async move {
        let digest = Arc::new(SocketDigest::from_raw_fd(io.fd()));
        door::serve(io, digest, &Options::default(), &drain, &Carrier::default()).await
    });
    client.write_all(GET.replace('\n', "\r\n").as_bytes()).await.unwrap();
    let mut heard = vec![0; "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n/next \n".len()];
    client.read_exact(&mut heard).await.unwrap();
    assert!(heard.ends_with(b"/next \n"));

    // Far more than socket buffers hold, all of it unread when the answer is written.
    let huge = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(8 << 20));
    client.write_all(huge.as_bytes()).await.unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.unwrap();
    assert!(heard.starts_with("HTTP/1.1 400 Request header or cookie too large"), "{heard}");
    drop(client);
    door.await.unwrap();
}
