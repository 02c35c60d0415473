//! Stands between a client and the library that speaks HTTP/2 with it.
//!
//! The library bounds memory; it knows neither time nor patience. A [`Guarded`] stream passes
//! everything on unchanged, sees what the client does, and its [`Guard`] says when that is no
//! longer to be borne. What becomes of the connection then is the [lane](super)'s to say.

use super::meter::Meter;
use crate::door::{Alarm, BoundedStream, Portable};
use async_trait::async_trait;
use h2::Reason;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Why a client is sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Frames that carry nothing, in masses.
    Flood,
    /// A head that does not end.
    SlowHead,
    /// It reads nothing of what it is sent.
    Stalled,
}

impl Trouble {
    /// What the client is told; nothing if it does not listen.
    pub(super) fn reason(self) -> Option<Reason> {
        match self {
            Trouble::Flood => Some(Reason::ENHANCE_YOUR_CALM),
            Trouble::SlowHead => Some(Reason::PROTOCOL_ERROR),
            Trouble::Stalled => None,
        }
    }

    /// What the log is told.
    pub(super) const fn says(self) -> &'static str {
        match self {
            Trouble::Flood => "a flood of frames that carry nothing",
            Trouble::SlowHead => "a head took too long",
            Trouble::Stalled => "nothing of what was sent is read",
        }
    }
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// For a head, from its first byte to its last.
    pub(super) head: Duration,
    /// To read something of what it was sent.
    pub(super) send: Duration,
}

/// What is seen of a client. Never contended: a connection is one task.
#[derive(Debug)]
pub(super) struct Guard {
    seen: Arc<Mutex<Seen>>,
    patience: Deadlines,
    alarm: Alarm,
}

#[derive(Debug)]
struct Seen {
    meter: Meter,
    /// The head, and when it was found not to have ended.
    head: Option<(u64, Instant)>,
    /// Since when nothing can be sent.
    stalled: Option<Instant>,
    /// It is a write that waits, not only what is buffered: when it goes on, something was read.
    in_write: bool,
    flooded: bool,
    /// The lane knows what is wrong.
    told: bool,
}

impl Guard {
    /// Stands before `stream` from now on.
    pub(super) fn before<T: Portable>(
        stream: BoundedStream<T>,
        patience: Deadlines,
    ) -> (Guard, Guarded<T>) {
        let seen = Seen {
            meter: Meter::new(),
            head: None,
            stalled: None,
            in_write: false,
            flooded: false,
            told: false,
        };
        let seen = Arc::new(Mutex::new(seen));
        let guard = Guard { seen: seen.clone(), patience, alarm: Alarm::default() };
        (guard, Guarded { stream, seen })
    }

    /// Ready when the client has gone too far. To be polled after the connection, in the same task.
    pub(super) fn poll_trouble(&mut self, cx: &mut Context<'_>) -> Poll<Trouble> {
        let mut seen = lock(&self.seen);
        if seen.flooded && !seen.told {
            seen.told = true;
            return Poll::Ready(Trouble::Flood);
        }
        let head = seen.head.filter(|_| !seen.told);
        let head = head.map(|(_, since)| (since + self.patience.head, Trouble::SlowHead));
        let stalled = seen.stalled.map(|since| (since + self.patience.send, Trouble::Stalled));
        let first = head.into_iter().chain(stalled).min_by_key(|(deadline, _)| *deadline);
        let Some((deadline, trouble)) = first else { return Poll::Pending };
        self.alarm.poll(deadline, cx).map(|()| {
            seen.told = true;
            trouble
        })
    }

    /// How many of its requests were cut off.
    pub(super) fn resets(&self) -> u64 {
        lock(&self.seen).meter.resets()
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    fn received(&mut self, bytes: &[u8]) {
        self.flooded |= self.meter.received(bytes).is_err();
        let number = self.meter.heads();
        match self.head {
            _ if !self.meter.is_in_head() => self.head = None,
            Some((begun, _)) if begun == number => {}
            // Most heads come whole: the clock is read for those that do not.
            _ => self.head = Some((number, Instant::now())),
        }
    }

    /// Notes whether a write went on. One that did not wait tells nothing: it went to a buffer.
    fn wrote(&mut self, went_on: bool) {
        if !went_on {
            self.in_write = true;
            self.wait();
        } else if self.in_write {
            self.read_something();
        }
    }

    /// Notes whether all that was buffered is gone.
    fn flushed(&mut self, gone: bool) {
        if gone { self.read_something() } else { self.wait() }
    }

    fn wait(&mut self) {
        self.stalled.get_or_insert_with(Instant::now);
    }

    fn read_something(&mut self) {
        (self.stalled, self.in_write) = (None, false);
    }
}

/// A client's connection, seen through.
#[derive(Debug)]
pub(super) struct Guarded<T: Portable> {
    stream: BoundedStream<T>,
    seen: Arc<Mutex<Seen>>,
}

impl<T: Portable> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if lock(&self.seen).flooded {
            return Poll::Pending; // nothing it says is listened to any more
        }
        let before = out.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, out);
        if read.is_ready() {
            lock(&self.seen).received(out.filled().get(before..).unwrap_or_default());
        }
        read
    }
}

impl<T: Portable> AsyncWrite for Guarded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        let mut seen = lock(&self.seen);
        seen.wrote(written.is_ready());
        if let Poll::Ready(Ok(count)) = written {
            seen.meter.sent(bytes.get(..count).unwrap_or_default());
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        let mut seen = lock(&self.seen);
        seen.wrote(written.is_ready());
        if let Poll::Ready(Ok(mut count)) = written {
            for slice in slices {
                let sent = count.min(slice.len());
                seen.meter.sent(slice.get(..sent).unwrap_or_default());
                count -= sent;
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        lock(&self.seen).flushed(flushed.is_ready());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        lock(&self.seen).flushed(shut.is_ready());
        shut
    }
}

#[async_trait]
impl<T: Portable> Shutdown for Guarded<T> {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl<T: Portable> UniqueID for Guarded<T> {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl<T: Portable> Ssl for Guarded<T> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

#[async_trait]
impl<T: Portable> Peek for Guarded<T> {}

impl<T: Portable> GetTimingDigest for Guarded<T> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl<T: Portable> GetProxyDigest for Guarded<T> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl<T: Portable> GetSocketDigest for Guarded<T> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}
