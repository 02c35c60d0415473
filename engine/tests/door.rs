//! The door, from the client's side: what one connection may say and is answered.
//!
//! The connection is a pipe in memory and the clock stands still, so nothing here
//! waits. The carrier stands in for the pipeline and its lanes; what it does with a
//! request is named by the target.

use bytes::BytesMut;
use engine::door::{self, BoundedStream, Carry, Ending, Next, Options, Request, Transport};
use engine::proxy::hygiene::{Refusal, Said};
use pingora::protocols::SocketDigest;
use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// A client's connection in memory. It cannot tell whether there is something to read.
#[derive(Debug)]
struct Pipe(DuplexStream);

impl Transport for Pipe {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn fd(&self) -> RawFd {
        -1
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Does with a request what its target says, and notes what it saw.
#[derive(Clone, Default)]
struct Carrier {
    notes: Arc<Mutex<Vec<String>>>,
}

type Stream<T> = BoundedStream<T>;

impl<T: Transport> Carry<T> for Carrier {
    async fn carry(&self, mut request: Request, mut stream: Stream<T>) -> Next {
        let target = String::from_utf8_lossy(request.head.target()).into_owned();
        match target.as_str() {
            "/silent" => {
                // A Pingora that has sent the request on and waits for the upstream.
                let read = timeout(Duration::from_secs(300), stream.read_u8()).await;
                self.note(match read {
                    Ok(Err(_)) => "the client has gone",
                    Ok(Ok(_)) => "read something",
                    Err(_) => "the client is there",
                });
                self.answer(&request, &mut stream, "late").await
            }
            "/unread" => self.answer(&request, &mut stream, "unread").await,
            "/again" => {
                request.head.set("X-Edited", b"yes");
                stream.replay(&request.head);
                let mut text = String::new();
                while !text.contains("\r\n\r\n") {
                    text.push(stream.read_u8().await.expect("the head").into());
                }
                self.note(&text.replace("\r\n", "|"));
                let body = self.body(&mut stream).await;
                self.answer(&request, &mut stream, &body).await
            }
            "/ws" => {
                self.write(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
                self.write(&mut stream, "HTTP/1.1 101 Switching Protocols\r\n\r\n").await;
                let mut buffer = [0; 64];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    let echo = format!("<{}>", String::from_utf8_lossy(&buffer[..count]));
                    self.write(&mut stream, &echo).await;
                }
                self.note("the tunnel has ended");
                Next::Keep
            }
            "/gone-lane" => {
                drop(stream);
                Next::Close
            }
            "/held" | "/unheld" => {
                stream.hold_response(target == "/held");
                let next = self.answer(&request, &mut stream, &"x".repeat(60_000)).await;
                self.note(if stream.flush().await.is_ok() { "let go" } else { "failed" });
                next
            }
            "/medium" | "/large" => {
                let body = "x".repeat(if target == "/large" { 100_000 } else { 5_000 });
                self.answer(&request, &mut stream, &body).await
            }
            _ => {
                let body = self.body(&mut stream).await;
                self.note(&format!("{} {target} {body:?}", request.number));
                self.answer(&request, &mut stream, &format!("{target} {body}")).await
            }
        }
    }

    fn refuse(&self, refusal: Refusal, said: Said<'_>, reply: &mut BytesMut) {
        self.note(&match said {
            Said::Head(_) => format!("{refusal}, with head"),
            Said::Line(line) => format!("{refusal}: {}", line.escape_ascii()),
        });
        let text = format!("HTTP/1.1 {} {}\r\n\r\n", refusal.status(), refusal.message());
        reply.extend_from_slice(text.as_bytes());
    }
}

impl Carrier {
    fn note(&self, text: &str) {
        self.notes.lock().expect("no test panicked").push(text.to_owned());
    }

    fn notes(&self) -> String {
        self.notes.lock().expect("no test panicked").join("; ")
    }

    async fn write<T: Transport>(&self, stream: &mut Stream<T>, text: &str) {
        if stream.write_all(text.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            self.note("could not write");
        }
    }

    async fn body<T: Transport>(&self, stream: &mut Stream<T>) -> String {
        let mut body = Vec::new();
        while !stream.is_body_read() {
            match stream.read_buf(&mut body).await {
                Ok(1..) => {}
                Ok(_) => return "cut short".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
        String::from_utf8_lossy(&body).into_owned()
    }

    /// Not flushed: that is the door's to do.
    async fn answer<T: Transport>(&self, rq: &Request, stream: &mut Stream<T>, body: &str) -> Next {
        let keep = if rq.terms.keep_alive { "" } else { "Connection: close\r\n" };
        let length = body.len();
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{keep}\r\n{body}\n");
        if stream.write_all(text.as_bytes()).await.is_err() {
            self.note("could not answer");
        }
        if rq.terms.keep_alive { Next::Keep } else { Next::Close }
    }
}

/// A client, and the door it talks to.
struct Client {
    pipe: DuplexStream,
    door: JoinHandle<Ending<Pipe>>,
    carrier: Carrier,
    draining: watch::Sender<bool>,
}

impl Client {
    fn connect(options: Options) -> Client {
        Client::connect_over(64 * 1024, options)
    }

    /// Over a pipe that holds that many bytes each way.
    fn connect_over(capacity: usize, options: Options) -> Client {
        let (pipe, theirs) = duplex(capacity);
        let carrier = Carrier::default();
        let (draining, drain) = watch::channel(false);
        let theirs_carrier = carrier.clone();
        let door = tokio::spawn(async move {
            let digest = Arc::new(SocketDigest::from_raw_fd(-1));
            door::serve(Pipe(theirs), digest, &options, &drain, &theirs_carrier).await
        });
        Client { pipe, door, carrier, draining }
    }

    async fn send(&mut self, text: &str) {
        self.pipe.write_all(text.as_bytes()).await.expect("the door listens");
    }

    /// What comes within ten seconds. Responses are told by their last line; `EOF`
    /// stands for the end of the stream.
    async fn hear(&mut self) -> String {
        let mut heard = Vec::new();
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match tokio::time::timeout_at(end, self.pipe.read_buf(&mut heard)).await {
                Ok(Ok(0)) => {
                    heard.extend_from_slice(b"EOF");
                    break;
                }
                Ok(read) => assert!(read.expect("a pipe does not fail") > 0),
                Err(_) => break,
            }
        }
        let heard = String::from_utf8_lossy(&heard).into_owned();
        let skipped = ["HTTP/1.1 200 OK\r", "\r"];
        let lines = heard.split('\n').filter(|line| !skipped.contains(line));
        let told = lines.filter(|line| !line.is_empty() && !line.starts_with("Content-Length"));
        told.map(|line| line.trim_end()).collect::<Vec<_>>().join("|")
    }
}

/// Says it all at once, and then byte by byte on another connection: both must be
/// answered like this.
#[track_caller]
fn check(said: &str, heard: &str, notes: &str) -> impl Future<Output = ()> {
    let (said, heard, notes) = (said.replace('\n', "\r\n"), heard.to_owned(), notes.to_owned());
    async move {
        let mut client = Client::connect(Options::default());
        client.send(&said).await;
        assert_eq!(client.hear().await, heard, "at once");
        assert_eq!(client.carrier.notes(), notes, "at once");

        let mut client = Client::connect(Options::default());
        for byte in said.chars() {
            // What is refused is not listened to.
            let _ = client.pipe.write_all(byte.to_string().as_bytes()).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.hear().await, heard, "byte by byte");
        assert_eq!(client.carrier.notes(), notes, "byte by byte");
    }
}

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

/// Lets whatever can happen without time passing happen.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_need_not_wait_for_a_slow_client_where_responses_are_held() {
    for (target, before) in [("held", "let go"), ("unheld", "")] {
        let mut client = Client::connect_over(1000, Options::default());
        client.send(&format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        settle().await;
        assert_eq!(client.carrier.notes(), before, "{target}");
        let heard = client.hear().await;
        assert_eq!((heard.len(), client.carrier.notes().as_str()), (60_000, "let go"));
        // The connection goes on as ever.
        client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.hear().await, "/next");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_may_take_its_time_as_long_as_it_takes_something() {
    let mut client = Client::connect_over(1000, Options::default());
    client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut left = 60_000;
    // Ten minutes for the whole, which is more than it may be silent.
    while left > 2_000 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let mut some = [0; 1000];
        left -= client.pipe.read(&mut some).await.expect("more");
    }
    // Then it stops reading.
    let stopped = Instant::now();
    assert!(matches!(client.door.await, Ok(Ending::Closed)));
    assert_eq!(stopped.elapsed(), Options::default().send_timeout);
}
