//! From a TCP connection to a conversation: TLS first, and an answer for those
//! who came with another protocol.
//!
//! Anybody can connect, so nobody waits for a peer that is not known yet: there
//! is no queue for handshakes, in which those who do not go on would stand in
//! front. (Nor would one save work: a signature is made at a stroke, by one of
//! the runtime's threads.) What they hold is bounded by the room in `waiting`,
//! where newcomers replace the silent; what they log, by `Quiet`.

mod waiting; // who is not known yet

use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Chain, Join, join};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, error, info, warn};

use super::{Hub, Peer, session};
use crate::log::chain;
use crate::tls::{self, Acceptor, Secure};
use waiting::{Place, Room};

/// How long a peer may take until it is known who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long it may take for its first message of that, and for everything if others wait for its place.
const HELLO: Duration = Duration::from_secs(3);

/// How many peers may be in that state at once.
const UNKNOWN: usize = 1024;

/// How often a kind of line about peers that are not known is logged.
const LINE: Duration = Duration::from_secs(1);

/// The longest TLS record that is not encrypted (RFC 8446 §5.1).
const RECORD: usize = 1 << 14;

/// How long to wait when the kernel has no descriptor for us.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What a peer that speaks HTTP is told, in HTTP.
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 65\r\n\
    connection: close\r\n\
    \r\n\
    This port speaks gateway-cluster/1 over mutual TLS 1.3, not HTTP.";

/// A connection whose first bytes have been read already.
type Begun = Join<Chain<Cursor<Vec<u8>>, OwnedReadHalf>, OwnedWriteHalf>;

/// Lets data planes in, on however many addresses.
pub(super) struct Gate {
    acceptor: Acceptor,
    hub: Arc<Hub>,
    unknown: Arc<Room>,
    refused: Quiet,
    foreign: Quiet,
    late: Quiet,
    exhausted: Quiet,
}

impl Gate {
    pub(super) fn new(acceptor: Acceptor, hub: Arc<Hub>) -> Arc<Self> {
        let unknown = Room::new(UNKNOWN, HELLO);
        let quiet = Quiet::default;
        let (refused, foreign, late, exhausted) = (quiet(), quiet(), quiet(), quiet());
        Arc::new(Self { acceptor, hub, unknown, refused, foreign, late, exhausted })
    }

    /// Accepts on one address until the hub stops.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener) {
        tokio::select! {
            () = self.accept(listener) => {}
            () = self.hub.stopped() => {}
        }
    }

    async fn accept(self: &Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    let place = self.unknown.place().await;
                    let gate = Arc::clone(self);
                    // A dual-stack listener sees IPv4 peers as mapped; operators do not.
                    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                    tokio::spawn(async move { gate.receive(stream, address, place).await });
                }
                Err(error) => {
                    self.exhausted.line(|more| {
                        error!("[clustering] cannot accept a data plane: {error}{more}");
                    });
                    sleep(EXHAUSTED).await;
                }
            }
        }
    }

    async fn receive(&self, stream: TcpStream, address: SocketAddr, mut place: Place) {
        let Some((stream, peer)) = self.introduce(stream, address, &mut place).await else {
            return;
        };
        // A certificate that many hold does not tell who it is.
        let admitted = tokio::select! {
            admitted = session::introduce(&self.hub, stream, &peer) => admitted.ok(),
            () = place.wanted() => {
                self.late.line(|more| {
                    warn!("[clustering] {address} did not say hello in time{more}");
                });
                None
            }
        };
        drop(place);
        if let Some(admitted) = admitted {
            Box::pin(session::run(&self.hub, admitted)).await;
        }
    }

    /// Ends with a peer that may speak, or with a log line.
    async fn introduce(
        &self,
        mut stream: TcpStream,
        address: SocketAddr,
        place: &mut Place,
    ) -> Option<(Secure<Begun>, Peer)> {
        let hello = tokio::select! {
            hello = timeout(HELLO, read_hello(&mut stream)) => hello,
            () = place.wanted() => {
                self.late.line(|more| {
                    warn!("[clustering] {address} gave way to others before it said who it is{more}");
                });
                return None;
            }
        };
        let Ok(hello) = hello else {
            self.late.line(|more| {
                let seconds = HELLO.as_secs();
                warn!(
                    "[clustering] {address} did not begin a TLS handshake within {seconds} s{more}"
                );
            });
            return None;
        };
        place.spoke();
        tokio::select! {
            peer = timeout(HANDSHAKE, self.handshake(stream, hello.unwrap_or_default(), address)) => {
                if let Ok(peer) = peer {
                    return peer;
                }
            }
            () = place.wanted() => {}
        }
        self.late.line(|more| {
            warn!("[clustering] {address} did not finish the TLS handshake in time{more}");
        });
        None
    }

    async fn handshake(
        &self,
        mut stream: TcpStream,
        hello: Vec<u8>,
        address: SocketAddr,
    ) -> Option<(Secure<Begun>, Peer)> {
        if hello.is_empty() {
            debug!("[clustering] {address} left without a word"); // as load balancers' probes do
            return None;
        }
        if looks_like_http(&hello) {
            self.refuse_http(&mut stream, address, "HTTP without TLS").await;
            return None;
        }
        let _ = stream.set_nodelay(true); // only latency depends on it
        let (read, write) = stream.into_split();
        let stream = join(Cursor::new(hello).chain(read), write);
        let mut stream = match self.acceptor.accept(stream).await {
            Ok(stream) => stream,
            Err(error) => {
                self.refused.line(|more| {
                    let error = chain(&error);
                    error!("[clustering] data plane at {address} is not accepted: {error}{more}");
                });
                return None;
            }
        };
        if !tls::speaks_our_protocol(stream.ssl()) {
            self.refuse_stranger(&mut stream, address).await;
            return None;
        }
        let binding = tls::channel_binding(stream.ssl())
            .inspect_err(|error| error!("[clustering] cannot bind the link of {address}: {error}"))
            .ok()?;
        let certificate_expires = tls::peer_facts(stream.ssl()).map(|facts| facts.expires);
        Some((stream, Peer { address, binding, certificate_expires }))
    }
    /// The peer holds the cluster certificate but did not ask for our protocol: Kong's data planes do that.
    async fn refuse_stranger<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        address: SocketAddr,
    ) {
        let mut first = [0; 8];
        let count = stream.read(&mut first).await.unwrap_or(0);
        if looks_like_http(&first[..count]) {
            let what = "HTTP; a Kong data plane cannot join this cluster";
            self.refuse_http(stream, address, what).await;
        } else {
            info!("[clustering] {address} did not ask for {} by ALPN; closed", tls::ALPN);
        }
    }

    async fn refuse_http<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        address: SocketAddr,
        what: &str,
    ) {
        self.foreign.line(|more| warn!("[clustering] {address} speaks {what}; answered 400{more}"));
        if stream.write_all(BAD_REQUEST).await.is_ok() {
            tls::linger(stream).await;
        }
    }
}

/// Keeps peers that are not known from filling the log: a line a second, and how many there would have been.
#[derive(Debug, Default)]
struct Quiet(Mutex<(Option<Instant>, u64)>);

impl Quiet {
    /// Writes a line that ends with what it is given, or counts it.
    fn line(&self, write: impl FnOnce(&str)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, suppressed) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < LINE) {
            *suppressed += 1;
            return;
        }
        *last = Some(Instant::now());
        let more = match std::mem::take(suppressed) {
            0 => String::new(),
            count => format!(" (and {count} like it since the last such line)"),
        };
        drop(state);
        write(&more);
    }
}

/// The peer's first bytes: a whole TLS record, or what there is if it began otherwise or left.
async fn read_hello(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut hello = Vec::with_capacity(1024);
    while !is_whole(&hello) && stream.read_buf(&mut hello).await? > 0 {}
    Ok(hello)
}

/// Whether a TLS record is complete. What is none never will be, and need not be waited for.
fn is_whole(record: &[u8]) -> bool {
    match record {
        [22, 3, _, high, low, body @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            length > RECORD || body.len() >= length
        }
        [] | [22] | [22, 3] | [22, 3, _] | [22, 3, _, _] => false,
        _ => true,
    }
}

/// Whether these first bytes begin an HTTP/1 request line: `GET /`, `OPTIONS`, the HTTP/2 preface's `PRI`.
fn looks_like_http(first: &[u8]) -> bool {
    let first = first.get(..8).unwrap_or(first);
    let method = first.split(|byte| *byte == b' ').next().unwrap_or_default();
    (3..=8).contains(&method.len()) && method.iter().all(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_told_from_tls_and_from_frames() {
        for first in ["GET /clu", "POST / H", "OPTIONS ", "CONNECT ", "PRI * HT", "HEAD / "] {
            assert!(looks_like_http(first.as_bytes()), "{first}");
        }
        for first in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01"[..],
            b"\0\0\0\x10\x01\0\0\0",
            b"",
            b"GE",
            b"get / HT",
        ] {
            assert!(!looks_like_http(first), "{first:?}");
        }
    }

    #[test]
    fn a_record_is_whole_when_its_last_byte_is_there() {
        let record = b"\x16\x03\x01\x00\x03abc";
        assert!((0..record.len()).all(|end| !is_whole(&record[..end])));
        assert!(is_whole(record));
        for none in [&b"G"[..], b"\x16\x02", b"\x15\x03\x01", b"\x16\x03\x01\x40\x01"] {
            assert!(is_whole(none), "{none:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_a_second_is_enough() {
        let (quiet, mut lines) = (Quiet::default(), Vec::new());
        for _ in 0..2500 {
            quiet.line(|more| lines.push(more.to_owned()));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let counted = " (and 999 like it since the last such line)";
        assert_eq!(lines, ["", counted, counted]);
    }

    #[test]
    fn the_400_is_a_whole_response() {
        let text = std::str::from_utf8(BAD_REQUEST).expect("is text");
        let (head, body) = text.split_once("\r\n\r\n").expect("has a body");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
