//! What the door needs of a connection beyond reading and writing.

use pingora::protocols::tls::SslDigest;
use std::fmt::Debug;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// The bytes to and from one client: a TCP stream, or TLS over one.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + Sync + Debug + 'static {
    /// Ready when a read may find something, end of stream and errors included. Being
    /// ready in vain is allowed; a transport that cannot tell costs a buffer while idle.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The descriptor underneath. Names the connection and is never read from.
    fn fd(&self) -> RawFd;

    /// What was agreed in the TLS handshake, if there was one.
    fn tls(&self) -> Option<Arc<SslDigest>> {
        None
    }
}

impl Transport for TcpStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn fd(&self) -> RawFd {
        self.as_raw_fd()
    }
}
