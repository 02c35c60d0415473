//! Connections by io_uring: polled like any other, while operations are under way in the kernel.
//!
//! An operation owns its buffer until it has completed. Of reads there is at most one, begun when someone
//! asks and kept under way until something has come; what is written is copied, taken at once, and sent
//! behind what is being sent already, so that an error comes with the next call. A connection may leave its
//! ring only when nothing of it is under way: [`RingStream::into_std`] sees to that, and converts the
//! descriptor, which is the one place in this crate that the compiler does not check.

#![allow(unsafe_code)]

use super::io::Io;
use crate::door::{Timer, Transport};
use crate::worker::ring;
use bytes::{Buf as _, BytesMut};
use futures::FutureExt as _;
use futures::future::{Either, select};
use monoio::io::{
    AsyncReadRent as _, AsyncWriteRent as _, CancelableAsyncReadRent as _, Canceller,
    OwnedReadHalf, OwnedWriteHalf, Splitable as _,
};
use monoio::net::TcpStream;
use monoio::time::{Sleep, sleep, sleep_until};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Room for what may come while nobody knows how much, which a client's connection holds while it is idle:
/// most heads fit.
const CLIENT_IDLE: usize = 1024;
/// The same of an upstream's connection, of which fewer are idle and more is expected.
const UPSTREAM_IDLE: usize = 4 * 1024;
/// Read at a time, of what is long.
const MOST_READ: usize = 64 * 1024;
/// So much of what was written may be on its way.
const MOST_UNSENT: usize = 64 * 1024;

/// How long what was taken to be sent is still sent after its connection has been let go of.
const AFTERLIFE: Duration = Duration::from_secs(10);
/// How often that is reconsidered.
const ROUND: Duration = Duration::from_millis(50);

thread_local! {
    /// Whether this thread has a runtime that goes on, and how many sockets it is sending the rest of.
    static AFTER: (Cell<bool>, Cell<usize>) = const { (Cell::new(false), Cell::new(0)) };
}

/// Says whether what was taken is sent although its connection is let go of, as a kernel does it. To be taken
/// back, and waited for, before the runtime ends.
pub(crate) async fn lingers(does: bool) {
    AFTER.with(|(lingers, _)| lingers.set(does));
    while !does && AFTER.with(|(_, left)| left.get()) > 0 {
        sleep(ROUND).await;
    }
}

/// The runtime of a ring.
pub(crate) struct Ring;

impl Io for Ring {
    type Stream = RingStream;

    async fn connect(&self, address: SocketAddr) -> io::Result<RingStream> {
        let stream = TcpStream::connect_addr(address).await?;
        stream.set_nodelay(true)?;
        Ok(RingStream::new(stream, UPSTREAM_IDLE, None))
    }
}

/// A TCP connection whose operations a ring carries out.
pub(crate) struct RingStream {
    fd: RawFd,
    inward: Inward,
    outward: Outward,
}

/// What a ring gives back of a connection.
#[derive(Debug)]
pub(crate) struct Released {
    /// As other runtimes want it: it does not block, and no child inherits it.
    pub(crate) socket: std::net::TcpStream,
    /// Read, and not asked for yet.
    pub(crate) read: BytesMut,
    /// Nothing more follows.
    pub(crate) is_over: bool,
}

impl RingStream {
    /// Takes a connection on that may leave again.
    ///
    /// # Errors
    /// The socket cannot be made to block, which is how a ring wants it.
    pub(crate) fn from_std(socket: std::net::TcpStream) -> io::Result<RingStream> {
        socket.set_nonblocking(false)?;
        let stream = TcpStream::from_std(socket)?;
        Ok(RingStream::new(stream, CLIENT_IDLE, Some(Canceller::new())))
    }

    fn new(stream: TcpStream, idle: usize, canceller: Option<Canceller>) -> RingStream {
        let fd = stream.as_raw_fd();
        let (read, write) = stream.into_split();
        RingStream { fd, inward: Inward::new(read, idle, canceller), outward: Outward::new(write) }
    }

    /// What is being sent goes on whenever anyone asks for anything: its completion wakes who asked last.
    fn send_on(&mut self, cx: &mut Context<'_>) {
        let _whenever = self.outward.poll_sending(cx);
    }

    /// Waits until nothing is under way, and takes the connection off its ring. A read that has begun is
    /// called off and waited for: what it has read nevertheless is not lost.
    ///
    /// # Errors
    /// The connection is of no further use, or was not meant to leave.
    pub(crate) async fn into_std(self) -> io::Result<Released> {
        let RingStream { mut inward, mut outward, .. } = self;
        poll_fn(|cx| outward.poll_sent(cx)).await?;
        let is_over = inward.call_off().await?;
        let halves = inward.half.take().zip(outward.half.take());
        let (read, write) = halves.ok_or(io::ErrorKind::NotConnected)?;
        let stream = read.reunite(write).map_err(|_| io::ErrorKind::NotConnected)?;
        // SAFETY: `into_raw_fd` gives up the only owner there is, and makes sure of that: operations own
        // the descriptor, too, and none is left.
        let fd = unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) };
        fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
        let socket = std::net::TcpStream::from(fd);
        socket.set_nonblocking(true)?;
        Ok(Released { socket, read: inward.came, is_over })
    }
}

type Operation<H> = Pin<Box<dyn Future<Output = (H, io::Result<usize>, BytesMut)>>>;
type ReadHalf = OwnedReadHalf<TcpStream>;
type WriteHalf = OwnedWriteHalf<TcpStream>;

/// What comes.
struct Inward {
    /// Not there while a read is under way.
    half: Option<ReadHalf>,
    reading: Option<Operation<ReadHalf>>,
    /// Read, and not asked for yet.
    came: BytesMut,
    /// How it ended, to be told next.
    over: Option<io::Result<()>>,
    /// Room for what may come while it is idle.
    idle: usize,
    /// There if a read may be called off.
    canceller: Option<Canceller>,
}

impl Inward {
    fn new(half: ReadHalf, idle: usize, canceller: Option<Canceller>) -> Inward {
        let (half, came) = (Some(half), BytesMut::new());
        Inward { half, reading: None, came, over: None, idle, canceller }
    }

    /// Ready when something has come, the end included; otherwise a read is under way, into `room` if it is
    /// begun here.
    fn poll_came(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<()> {
        while self.came.is_empty() && self.over.is_none() {
            match self.half.take() {
                Some(half) => self.reading = Some(read(half, room, self.canceller.as_ref())),
                None if self.reading.is_none() => break,
                None => {}
            }
            ready!(self.poll_reading(cx));
        }
        Poll::Ready(())
    }

    /// Ready when no read is under way.
    fn poll_reading(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(reading) = &mut self.reading else { return Poll::Ready(()) };
        let (half, read, came) = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        self.half = Some(half);
        self.came = came;
        match read {
            Ok(1..) => {}
            Ok(_) => self.over = Some(Ok(())),
            // Nothing has come of it: whoever wants something begins another.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.over = Some(Err(error)),
        }
        Poll::Ready(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_came(cx, out.remaining().clamp(self.idle, MOST_READ)));
        if let Some(over) = self.over.take() {
            return Poll::Ready(over);
        }
        let count = self.came.len().min(out.remaining());
        out.put_slice(self.came.get(..count).unwrap_or_default());
        self.came.advance(count);
        if self.came.is_empty() {
            self.came = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Sees to it that nothing is under way. Says whether anything more can follow what has come.
    async fn call_off(&mut self) -> io::Result<bool> {
        let canceller = self.canceller.take().ok_or(io::ErrorKind::Unsupported)?;
        if self.reading.is_some() {
            let _for_what_follows = canceller.cancel();
            poll_fn(|cx| self.poll_reading(cx)).await;
        }
        Ok(match self.over.take() {
            Some(Err(error)) => Errno::from_io_error(&error) != Some(Errno::CANCELED),
            over => over.is_some(),
        })
    }
}

fn read(mut half: ReadHalf, room: usize, canceller: Option<&Canceller>) -> Operation<ReadHalf> {
    let room = BytesMut::with_capacity(room);
    match canceller.map(Canceller::handle) {
        Some(handle) => Box::pin(async move {
            let (read, came) = half.cancelable_read(room, handle).await;
            (half, read, came)
        }),
        None => Box::pin(async move {
            let (read, came) = half.read(room).await;
            (half, read, came)
        }),
    }
}

/// What goes.
struct Outward {
    /// Not there while something is being sent.
    half: Option<WriteHalf>,
    sending: Option<Operation<WriteHalf>>,
    /// How much of that is not known to be sent.
    under_way: usize,
    /// To be sent next.
    next: BytesMut,
    /// Why sending failed, to be told with the next call.
    failed: Option<io::Error>,
}

impl Outward {
    fn new(half: WriteHalf) -> Outward {
        let (half, next) = (Some(half), BytesMut::new());
        Outward { half, sending: None, under_way: 0, next, failed: None }
    }

    fn unsent(&self) -> usize {
        self.under_way + self.next.len()
    }

    /// Begins with what is next, unless something is being sent.
    fn begin(&mut self, piece: BytesMut) {
        let Some(mut half) = self.half.take() else { return };
        self.under_way = piece.len();
        self.sending = Some(Box::pin(async move {
            let (sent, piece) = half.write(piece).await;
            (half, sent, piece)
        }));
    }

    /// Ready when nothing is being sent, whether or not that went well.
    fn poll_sending(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(sending) = &mut self.sending {
            let (half, sent, mut rest) = ready!(sending.as_mut().poll(cx));
            self.sending = None;
            self.half = Some(half);
            match sent {
                Ok(count @ 1..) => rest.advance(count.min(rest.len())),
                Ok(_) => self.fail(io::ErrorKind::WriteZero.into(), &mut rest),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.fail(error, &mut rest),
            }
            self.under_way = 0;
            let piece = if rest.is_empty() { std::mem::take(&mut self.next) } else { rest };
            if !piece.is_empty() {
                self.begin(piece);
            }
        }
        Poll::Ready(())
    }

    fn fail(&mut self, error: io::Error, rest: &mut BytesMut) {
        self.failed = Some(error);
        rest.clear();
        self.next = BytesMut::new();
    }

    /// Ready when everything has been sent.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sending(cx));
        Poll::Ready(self.failed.take().map_or(Ok(()), Err))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let _idle = self.poll_sending(cx);
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        let room = MOST_UNSENT.saturating_sub(self.unsent());
        if room == 0 {
            return Poll::Pending; // what is being sent wakes
        }
        let mut left = room;
        for piece in pieces {
            let taken = piece.get(..left).unwrap_or(piece);
            self.next.extend_from_slice(taken);
            left -= taken.len();
        }
        if self.sending.is_none() && !self.next.is_empty() {
            let piece = std::mem::take(&mut self.next);
            self.begin(piece);
            // An operation is begun when it is first asked about.
            let _under_way = self.poll_sending(cx);
        }
        Poll::Ready(Ok(room - left))
    }
}

impl Drop for Outward {
    fn drop(&mut self) {
        let lingers = AFTER.with(|(lingers, _)| lingers.get()) && !std::thread::panicking();
        if self.sending.is_none() || !lingers {
            return;
        }
        let (half, sending, under_way) = (self.half.take(), self.sending.take(), self.under_way);
        let next = std::mem::take(&mut self.next);
        ring::spawn(Outward { half, sending, under_way, next, failed: None }.linger());
    }
}

impl Outward {
    /// Sends the rest, if that does not take long.
    async fn linger(mut self) {
        AFTER.with(|(_, left)| left.set(left.get() + 1));
        let end = Instant::now() + AFTERLIFE;
        while Instant::now() < end && AFTER.with(|(lingers, _)| lingers.get()) {
            let sent = pin!(poll_fn(|cx| self.poll_sent(cx)));
            if let Either::Left(_) = select(sent, pin!(sleep(ROUND))).await {
                break;
            }
        }
        self.sending = None;
        AFTER.with(|(_, left)| left.set(left.get() - 1));
    }
}

impl fmt::Debug for RingStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingStream").field("fd", &self.fd).finish_non_exhaustive()
    }
}

impl AsyncRead for RingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.send_on(cx);
        self.inward.poll_read(cx, out)
    }
}

impl AsyncWrite for RingStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.outward.poll_write(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outward.poll_sent(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.outward.poll_sent(cx))?;
        let Some(half) = &mut self.outward.half else { return Poll::Ready(Ok(())) };
        // No operation: it asks the system and is done.
        Poll::Ready(half.shutdown().now_or_never().unwrap_or(Ok(())))
    }
}

impl Transport for RingStream {
    type Timer = Sleep;

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send_on(cx);
        let room = self.inward.idle;
        self.inward.poll_came(cx, room).map(Ok)
    }

    fn fd(&self) -> RawFd {
        self.fd
    }

    fn unsent(&self) -> usize {
        self.outward.unsent()
    }

    fn rest(&mut self) {
        // A read that is under way notices how the connection ends.
        let _whenever = self.poll_readable(&mut Context::from_waker(Waker::noop()));
    }
}

impl Timer for Sleep {
    fn until(deadline: Instant) -> Sleep {
        sleep_until(deadline.into_std().into())
    }

    fn deadline(&self) -> Instant {
        Sleep::deadline(self).into_std().into()
    }

    fn is_over(&self) -> bool {
        self.is_elapsed()
    }

    fn move_to(self: Pin<&mut Self>, deadline: Instant) {
        self.reset(deadline.into_std().into());
    }
}

#[cfg(test)]
mod tests;
