//! What the door needs of a connection beyond reading and writing.

use pingora::protocols::tls::SslDigest;
use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// The bytes to and from one client: a TCP stream, or TLS over one.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Debug + 'static {
    /// What waits for a deadline, in the runtime that the stream is of.
    type Timer: Timer;

    /// Ready when a read may find something, end of stream and errors included. Being
    /// ready in vain is allowed; a transport that cannot tell costs a buffer while idle.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// How much of what was taken to be sent the system has not taken yet.
    fn unsent(&self) -> usize {
        0
    }

    /// It will be idle, and asked only now and then whether it still is: nothing wakes anybody meanwhile.
    fn rest(&mut self) {}

    /// The descriptor underneath. Names the connection and is never read from.
    fn fd(&self) -> RawFd;

    /// What was agreed in the TLS handshake, if there was one.
    fn tls(&self) -> Option<Arc<SslDigest>> {
        None
    }
}

/// One that Pingora can be given: its types are free to move between threads.
pub trait Portable: Transport<Timer: Send + Sync> + Send + Sync {}

impl<T: Transport<Timer: Send + Sync> + Send + Sync> Portable for T {}

/// A wait for a deadline that may be moved.
pub trait Timer: Future<Output = ()> + Debug {
    /// Over at `deadline`.
    fn until(deadline: Instant) -> Self;

    /// When it is over.
    fn deadline(&self) -> Instant;

    /// Whether it has been found to be over since it was last moved.
    fn is_over(&self) -> bool;

    /// Moves it, to be waited for again.
    fn move_to(self: Pin<&mut Self>, deadline: Instant);
}

impl Timer for Sleep {
    fn until(deadline: Instant) -> Sleep {
        sleep_until(deadline)
    }

    fn deadline(&self) -> Instant {
        Sleep::deadline(self)
    }

    fn is_over(&self) -> bool {
        self.is_elapsed()
    }

    fn move_to(self: Pin<&mut Self>, deadline: Instant) {
        self.reset(deadline);
    }
}

impl Transport for TcpStream {
    type Timer = Sleep;

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn fd(&self) -> RawFd {
        self.as_raw_fd()
    }
}
