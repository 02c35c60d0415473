//! The bytes of one connection, with an end to every wait that depends on the
//! client alone: for it to take what it is sent, to send what it announced, and
//! to stop sending.
//!
//! A body nobody reads any more (it was too large, say) is read and thrown away
//! after the answer: closing at once would reset the connection, and the reset
//! may overtake the answer.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long a client may take none of what it is sent: nginx's default.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long what is still being sent is thrown away, and how much of it. The time is nginx's.
pub(super) const LINGER: Duration = Duration::from_secs(30);
const LINGER_BYTES: usize = 64 << 20;

/// How long a client that is being waited for may be silent; nginx's, too.
pub(super) const LINGER_SILENCE: Duration = Duration::from_secs(5);

/// How long whoever reads a body may wait for its end. The Admin API itself waits for less.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(180);

/// Whether a client may still be sending a body that is not read any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

/// A connection whose client cannot stall it.
pub(super) struct Wire<IO> {
    io: IO,
    unread: Unread,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// There once this side has said all it has to say.
    linger: Option<Linger>,
}

/// Waiting for a client to notice that it was answered.
struct Linger {
    end: Pin<Box<Sleep>>,
    silence: Pin<Box<Sleep>>,
    left: usize,
}

/// The body of a request. It takes note if it is dropped before its end, which does not take for ever.
pub(super) struct Watched {
    body: Incoming,
    unread: Unread,
    is_read: bool,
    /// Runs from the first time that it was waited for.
    end: Option<Pin<Box<Sleep>>>,
}

impl<IO> Wire<IO> {
    pub(super) fn new(io: IO, unread: Unread) -> Self {
        Self { io, unread, stalled: None, linger: None }
    }

    /// What came of an attempt to send, unless nothing has for too long.
    fn sent<T>(
        &mut self,
        attempt: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if attempt.is_ready() {
            self.stalled = None;
            return attempt;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no more")))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Wire<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.sent(attempt, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.sent(attempt, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.io).poll_flush(cx);
        self.sent(attempt, cx)
    }

    /// Says that nothing follows, then waits for a client that may still be sending to stop.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let attempt = Pin::new(&mut self.io).poll_shutdown(cx);
            ready!(self.sent(attempt, cx))?;
            if !self.unread.take() {
                return Poll::Ready(Ok(()));
            }
        }
        let Self { io, linger, .. } = &mut *self;
        linger.get_or_insert_with(Linger::new).poll(Pin::new(io), cx).map(Ok)
    }
}

impl Linger {
    fn new() -> Self {
        let (end, silence) = (Box::pin(sleep(LINGER)), Box::pin(sleep(LINGER_SILENCE)));
        Self { end, silence, left: LINGER_BYTES }
    }

    /// Reads until the client stops, or has been waited for long enough.
    fn poll<IO: AsyncRead>(&mut self, mut io: Pin<&mut IO>, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [MaybeUninit::uninit(); 8 * 1024];
        while self.left > 0 && self.end.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::uninit(&mut scratch);
            match io.as_mut().poll_read(cx, &mut buffer) {
                Poll::Pending => return self.silence.as_mut().poll(cx),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buffer.filled().len());
                    self.silence.as_mut().reset(Instant::now() + LINGER_SILENCE);
                }
                Poll::Ready(_) => break, // it has said all, or is gone
            }
        }
        Poll::Ready(())
    }
}

impl Unread {
    /// The body of the next request.
    pub(super) fn watch(&self, body: Incoming) -> Watched {
        self.0.store(false, Ordering::Relaxed);
        Watched { body, unread: self.clone(), is_read: false, end: None }
    }

    /// Whether there is one, not to be told again.
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.is_read |= frame.is_none();
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(BODY_TIMEOUT)));
        ready!(end.as_mut().poll(cx));
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.is_read && !self.body.is_end_stream() {
            self.unread.0.store(true, Ordering::Relaxed);
        }
    }
}
