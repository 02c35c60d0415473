//! From a TCP connection to a conversation: TLS first, and an answer for those
//! who came with another protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::{Hub, Peer};
use crate::log::chain;
use crate::tls::{self, Acceptor, Secure};

/// How long a peer may take until it is known who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many peers may be in that state at once.
const UNKNOWN: usize = 1024;

/// How many of them may be in the TLS handshake: each costs this node a signature. Those that have not
/// said a word do not count, so that silent connections keep nobody out.
const HANDSHAKES: usize = 64;

/// How long to wait when the kernel has no descriptor for us.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What a peer that speaks HTTP is told, in HTTP.
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 65\r\n\
    connection: close\r\n\
    \r\n\
    This port speaks gateway-cluster/1 over mutual TLS 1.3, not HTTP.";

/// Lets data planes in, on however many addresses.
pub(super) struct Gate {
    acceptor: Acceptor,
    hub: Arc<Hub>,
    unknown: Arc<Semaphore>,
    handshakes: Semaphore,
}

impl Gate {
    pub(super) fn new(acceptor: Acceptor, hub: Arc<Hub>) -> Arc<Self> {
        let unknown = Arc::new(Semaphore::new(UNKNOWN));
        Arc::new(Self { acceptor, hub, unknown, handshakes: Semaphore::new(HANDSHAKES) })
    }

    /// Accepts on one address until the hub stops.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener) {
        tokio::select! {
            () = self.accept(listener) => {}
            () = self.hub.stopped() => {}
        }
    }

    async fn accept(self: &Arc<Self>, listener: TcpListener) {
        while let Ok(slot) = Arc::clone(&self.unknown).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, address)) => {
                    let gate = Arc::clone(self);
                    // A dual-stack listener sees IPv4 peers as mapped; operators do not.
                    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                    tokio::spawn(async move { gate.receive(stream, address, slot).await });
                }
                Err(error) => {
                    error!("[clustering] cannot accept a data plane: {error}");
                    sleep(EXHAUSTED).await;
                }
            }
        }
    }

    async fn receive(&self, stream: TcpStream, address: SocketAddr, slot: OwnedSemaphorePermit) {
        match timeout(HANDSHAKE, self.handshake(stream, address)).await {
            Ok(Some((stream, peer))) => {
                drop(slot);
                Box::pin(self.hub.converse(stream, &peer)).await;
            }
            Ok(None) => {}
            Err(_) => {
                let seconds = HANDSHAKE.as_secs();
                warn!("[clustering] {address} did not finish the TLS handshake within {seconds} s");
            }
        }
    }

    /// Ends with a peer that may introduce itself, or with a log line.
    async fn handshake(
        &self,
        mut stream: TcpStream,
        address: SocketAddr,
    ) -> Option<(Secure<TcpStream>, Peer)> {
        let mut first = [0; 8];
        let count = stream.peek(&mut first).await.unwrap_or(0);
        if count == 0 {
            debug!("[clustering] {address} left without a word"); // as load balancers' probes do
            return None;
        }
        if looks_like_http(&first[..count]) {
            refuse_http(&mut stream, address, "HTTP without TLS").await;
            return None;
        }
        let _turn = self.handshakes.acquire().await.ok()?;
        let _ = stream.set_nodelay(true); // only latency depends on it
        let mut stream = match self.acceptor.accept(stream).await {
            Ok(stream) => stream,
            Err(error) => {
                error!("[clustering] data plane at {address} is not accepted: {}", chain(&error));
                return None;
            }
        };
        if !tls::speaks_our_protocol(stream.ssl()) {
            refuse_stranger(&mut stream, address).await;
            return None;
        }
        let binding = tls::channel_binding(stream.ssl())
            .inspect_err(|error| error!("[clustering] cannot bind the link of {address}: {error}"))
            .ok()?;
        let certificate_expires = tls::peer_facts(stream.ssl()).map(|facts| facts.expires);
        Some((stream, Peer { address, binding, certificate_expires }))
    }
}

/// The peer holds the cluster certificate but did not ask for our protocol: Kong's data planes do that.
async fn refuse_stranger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, address: SocketAddr) {
    let mut first = [0; 8];
    let count = stream.read(&mut first).await.unwrap_or(0);
    if looks_like_http(&first[..count]) {
        refuse_http(stream, address, "HTTP; a Kong data plane cannot join this cluster").await;
    } else {
        info!("[clustering] {address} did not ask for {} by ALPN; closed", tls::ALPN);
    }
}

async fn refuse_http<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    address: SocketAddr,
    what: &str,
) {
    warn!("[clustering] {address} speaks {what}; answered 400");
    if stream.write_all(BAD_REQUEST).await.is_ok() {
        tls::linger(stream).await;
    }
}

/// Whether these first bytes begin an HTTP/1 request line: `GET /`, `OPTIONS`, the HTTP/2 preface's `PRI`.
fn looks_like_http(first: &[u8]) -> bool {
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
    fn the_400_is_a_whole_response() {
        let text = std::str::from_utf8(BAD_REQUEST).expect("is text");
        let (head, body) = text.split_once("\r\n\r\n").expect("has a body");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
