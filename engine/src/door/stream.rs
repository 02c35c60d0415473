//! The bounded, buffered stream that a lane is given for one request.
//!
//! A read yields the head if it was asked for with [`BoundedStream::replay`] or
//! [`BoundedStream::replay_frame`], then the body, and after the body's last byte it stays
//! pending: it reports the end of the stream only when the client has really closed, which
//! Pingora takes for an abort. After a `101` to a WebSocket request it is transparent. However
//! the lane lets go of it, dropping it is enough: the connection comes home to the
//! [door](super), which alone decides whether another request follows.

use super::conn::Conn;
use super::gather::{Patience, Ungathered};
use super::head;
use super::parcel::Moved;
use super::transport::{Portable, Transport};
use crate::proxy::head::Head;
use crate::proxy::hygiene::Terms;
use async_trait::async_trait;
use bytes::BytesMut;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Where a connection goes when nobody holds it any more.
#[derive(Debug)]
pub(super) struct Home<T: Transport>(Mutex<Option<Box<Conn<T>>>>);

impl<T: Transport> Home<T> {
    pub(super) fn new() -> Arc<Home<T>> {
        Arc::new(Home(Mutex::new(None)))
    }

    /// The connection, if it has come back.
    pub(super) fn take(&self) -> Option<Box<Conn<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, conn: Box<Conn<T>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(conn);
    }
}

/// A way back to a connection that was given away whole: see [`super::see_off`].
#[derive(Debug)]
pub struct Homecoming<T: Transport>(Arc<Home<T>>);

impl<T: Transport> Homecoming<T> {
    pub(super) fn take(self) -> Option<Box<Conn<T>>> {
        self.0.take()
    }
}

/// One request's share of a connection.
#[derive(Debug)]
pub struct BoundedStream<T: Transport> {
    /// Present until it is dropped.
    conn: Option<Box<Conn<T>>>,
    home: Arc<Home<T>>,
    http2: bool,
}

impl<T: Transport> BoundedStream<T> {
    pub(super) fn lend(conn: Box<Conn<T>>, home: &Arc<Home<T>>) -> BoundedStream<T> {
        BoundedStream { conn: Some(conn), home: home.clone(), http2: false }
    }

    /// An HTTP/2 connection, for Pingora's `process_new`: everything read and written
    /// passes as it is. `io` agreed on it by ALPN, or see [`super::Ending::Http2`].
    pub fn http2(io: T, digest: Arc<SocketDigest>) -> BoundedStream<T> {
        BoundedStream::transparent(Box::new(Conn::new(io, digest)))
    }

    pub(super) fn transparent(mut conn: Box<Conn<T>>) -> BoundedStream<T> {
        conn.passage.transparent = true;
        BoundedStream { conn: Some(conn), home: Home::new(), http2: true }
    }

    /// Takes it elsewhere before anything was read of it but what it began with.
    pub fn moved(mut self) -> Option<Moved<T>> {
        self.conn.take().map(|conn| Moved::new(conn, 1))
    }

    /// Where the connection is to be found once everyone has let go of it.
    pub fn homecoming(&self) -> Homecoming<T> {
        Homecoming(self.home.clone())
    }

    /// Puts `head` before the body, in its canonical form (see
    /// [`door::head::write`](super::head::write)), for a reader that parses heads
    /// itself. Edits made so far are in it; framing and connection fields say what
    /// `terms` say, whatever `head` says.
    pub fn replay(&mut self, head: &Head, terms: &Terms) {
        self.replay_as(head, terms, head::write);
    }

    /// Puts before the body only as much of `head` as frames it (see
    /// [`door::head::write_frame`](super::head::write_frame)), for a reader that is told the rest
    /// otherwise.
    pub fn replay_frame(&mut self, head: &Head, terms: &Terms) {
        self.replay_as(head, terms, head::write_frame);
    }

    fn replay_as(&mut self, head: &Head, terms: &Terms, write: fn(&Head, &Terms, &mut BytesMut)) {
        let Some(conn) = &mut self.conn else { return };
        let mut text = BytesMut::new();
        write(head, terms, &mut text);
        conn.passage.replay = text;
    }

    /// Whether the response may be taken faster than the client reads it, within bounds.
    pub fn hold_response(&mut self, holds: bool) {
        if let Some(conn) = &mut self.conn {
            conn.passage.holds = holds;
        }
    }

    /// Whether all of the body is here, so that nobody has to wait for the client.
    pub fn has_body(&self) -> bool {
        self.conn.as_ref().is_some_and(|conn| conn.has_body())
    }

    /// Whether all of it fits where nobody has to wait for a disk.
    pub fn fits_memory(&self, patience: Patience<'_>) -> bool {
        self.conn.as_ref().is_some_and(|conn| conn.fits_memory(patience).is_some())
    }

    /// Waits until all of the body has come and says how long it is: what its framing is from
    /// then on. Before [`replay`](Self::replay). After an error the connection is of no
    /// further use than to answer.
    pub async fn gather(&mut self, patience: Patience<'_>) -> Result<u64, Ungathered> {
        self.conn().map_err(|_| Ungathered::Gone)?.gather(patience).await
    }

    /// Whether the body's last byte has been read.
    pub fn is_body_read(&self) -> bool {
        self.conn.as_ref().is_some_and(|conn| conn.passage.body.is_done())
    }

    /// Whether all of the body is here or has been read: then [`poll_gone`](Self::poll_gone) tells
    /// whether the client stays to read the answer.
    pub fn has_said_all(&self) -> bool {
        self.is_body_read() || self.has_body()
    }

    /// Begins the answer with a final head, which waits for what comes with it: `write` writes it behind what
    /// is to be sent already. Its bytes are not looked at to learn the status.
    pub fn begin_answer(&mut self, status: u16, write: impl FnOnce(&mut BytesMut)) {
        if let Some(conn) = &mut self.conn {
            conn.begin_answer(status, write);
        }
    }

    /// Ready when a client that has said everything leaves: it would not read the answer. A client that
    /// sends further requests meanwhile stays.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Ok(conn) = self.conn() else { return Poll::Ready(()) };
        conn.poll_gone(cx).map(|_gone_or_error| ())
    }

    /// Ready once `deadline` has passed: the connection's one timer, for whoever has it.
    pub fn poll_alarm(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        match self.conn() {
            Ok(conn) => conn.alarm.poll(deadline, cx),
            Err(_) => Poll::Ready(()),
        }
    }

    fn conn(&mut self) -> io::Result<&mut Conn<T>> {
        self.conn.as_deref_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<T: Transport> Drop for BoundedStream<T> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.home.put(conn);
        }
    }
}

impl<T: Transport> AsyncRead for BoundedStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.conn()?.poll_read(cx, out)
    }
}

impl<T: Transport> AsyncWrite for BoundedStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.conn()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conn()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conn()?.poll_shutdown(cx)
    }
}

#[async_trait]
impl<T: Portable> Shutdown for BoundedStream<T> {
    async fn shutdown(&mut self) {
        let whole = self.http2;
        let Ok(conn) = self.conn() else { return };
        // What a slow client has yet to take of a response is the door's to wait for.
        let shut = poll_fn(|cx| match conn.poll_shutdown(cx) {
            Poll::Pending if !whole => Poll::Ready(Ok(())),
            shut => shut,
        });
        if let Err(error) = shut.await {
            tracing::debug!(%error, "client left before the connection was shut down");
        }
    }
}

impl<T: Transport> UniqueID for BoundedStream<T> {
    fn id(&self) -> UniqueIDType {
        self.conn.as_ref().map_or(-1, |conn| conn.io.fd())
    }
}

impl<T: Transport> Ssl for BoundedStream<T> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.conn.as_ref()?.io.tls()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.http2.then_some(ALPN::H2)
    }
}

#[async_trait]
impl<T: Portable> Peek for BoundedStream<T> {}

impl<T: Transport> GetTimingDigest for BoundedStream<T> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<T: Transport> GetProxyDigest for BoundedStream<T> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl<T: Transport> GetSocketDigest for BoundedStream<T> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.conn.as_ref().map(|conn| conn.digest.clone())
    }
}
