//! A client's connection in memory, and a carrier that stands in for the pipeline and its lanes.

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
pub(crate) struct Pipe(DuplexStream);

/// Both ends of one that holds that many bytes each way: the client's, and the door's.
pub(crate) fn pipe(capacity: usize) -> (DuplexStream, Pipe) {
    let (client, ours) = duplex(capacity);
    (client, Pipe(ours))
}

impl Transport for Pipe {
    type Timer = tokio::time::Sleep;

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
pub(crate) struct Carrier {
    pub(crate) notes: Arc<Mutex<Vec<String>>>,
}

pub(crate) type Stream<T> = BoundedStream<T>;

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
                stream.replay(&request.head, &request.terms);
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
    pub(crate) fn note(&self, text: &str) {
        self.notes.lock().expect("no test panicked").push(text.to_owned());
    }

    pub(crate) fn notes(&self) -> String {
        self.notes.lock().expect("no test panicked").join("; ")
    }

    pub(crate) async fn write<T: Transport>(&self, stream: &mut Stream<T>, text: &str) {
        if stream.write_all(text.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            self.note("could not write");
        }
    }

    pub(crate) async fn body<T: Transport>(&self, stream: &mut Stream<T>) -> String {
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
    pub(crate) async fn answer<T: Transport>(
        &self,
        rq: &Request,
        stream: &mut Stream<T>,
        body: &str,
    ) -> Next {
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
pub(crate) struct Client {
    pub(crate) pipe: DuplexStream,
    pub(crate) door: JoinHandle<Ending<Pipe>>,
    pub(crate) carrier: Carrier,
    pub(crate) draining: watch::Sender<bool>,
}

impl Client {
    pub(crate) fn connect(options: Options) -> Client {
        Client::connect_over(64 * 1024, options)
    }

    /// Over a pipe that holds that many bytes each way.
    pub(crate) fn connect_over(capacity: usize, options: Options) -> Client {
        let (pipe, theirs) = pipe(capacity);
        let carrier = Carrier::default();
        let (draining, drain) = watch::channel(false);
        let theirs_carrier = carrier.clone();
        let door = tokio::spawn(async move {
            let digest = Arc::new(SocketDigest::from_raw_fd(-1));
            door::serve(theirs, digest, &options, &drain, &theirs_carrier).await
        });
        Client { pipe, door, carrier, draining }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.pipe.write_all(text.as_bytes()).await.expect("the door listens");
    }

    /// What comes within ten seconds. Responses are told by their last line; `EOF`
    /// stands for the end of the stream.
    pub(crate) async fn hear(&mut self) -> String {
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
pub(crate) fn check(said: &str, heard: &str, notes: &str) -> impl Future<Output = ()> {
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
