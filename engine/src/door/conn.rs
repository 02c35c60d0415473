//! A client's connection and what is buffered of it.
//!
//! The door owns a [`Conn`] between requests and lends it out for one at a time, as
//! a [`BoundedStream`](super::stream::BoundedStream). Reads go through here so that a
//! request ends where its framing says, writes so that small ones share a system
//! call. While nothing is happening it holds no buffer.

use super::alarm::Alarm;
use super::framing::{Body, ChunkError};
use super::spool::Spool;
use super::status::StatusWatch;
use super::transport::Transport;
use crate::proxy::hygiene::{Framing, Terms};
use bytes::{Buf as _, BytesMut};
use pingora::protocols::SocketDigest;
use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt as _, ReadBuf};

/// First room for a head; most fit.
const READ: usize = 4 * 1024;
/// First room for a response: most heads fit, and a small body with them.
const FIRST_WRITE: usize = 1024;
/// Writes are gathered up to this many bytes; what is larger goes out at once.
const WRITE: usize = 8 * 1024;
/// So much of a response may wait for a client that is slower than its upstream, where the route
/// buffers responses: nginx's eight buffers of 8 KiB.
const HOLD: usize = 64 * 1024;
/// Read ahead of the next requests while watching for the client to leave.
const READ_AHEAD: usize = 64 * 1024;
/// `101 Switching Protocols`.
const SWITCHING: u16 = 101;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

#[derive(Debug)]
pub(super) struct Conn<T: Transport> {
    pub(super) io: T,
    pub(super) digest: Arc<SocketDigest>,
    /// Whatever is waited for.
    pub(super) alarm: Alarm<T::Timer>,
    /// Read, and not yet anyone's.
    pub(super) rd: BytesMut,
    /// Written, and not yet sent.
    wr: BytesMut,
    /// The client will send no more.
    pub(super) eof: bool,
    /// Our side has been shut down.
    pub(super) shut: bool,
    pub(super) passage: Passage,
}

/// How one request passes through.
#[derive(Debug)]
pub(super) struct Passage {
    /// A `101` makes it transparent.
    may_switch: bool,
    /// A head for whoever wants to read it again.
    pub(super) replay: BytesMut,
    pub(super) body: Body,
    /// What has been gathered of the body, and not yet been read.
    pub(super) kept: Option<Box<Spool>>,
    /// The response may be taken faster than the client reads it.
    pub(super) holds: bool,
    /// Both directions as they are: another protocol, to which HTTP has given way.
    pub(super) transparent: bool,
    pub(super) poison: Option<ChunkError>,
    status: StatusWatch,
    interim: Interim,
}

#[derive(Debug, PartialEq)]
enum Interim {
    NotWanted,
    /// To be sent when the body is first asked for.
    Wanted,
    /// In the write buffer.
    Queued,
}

impl Passage {
    fn new(terms: &Terms) -> Passage {
        Passage {
            may_switch: terms.websocket,
            replay: BytesMut::new(),
            body: Body::new(terms.framing),
            kept: None,
            holds: false,
            transparent: false,
            poison: None,
            status: StatusWatch::default(),
            interim: if terms.expects_continue { Interim::Wanted } else { Interim::NotWanted },
        }
    }

    /// Whether the client still waits to be told to send its body.
    pub(super) fn awaits_continue(&self) -> bool {
        self.interim == Interim::Wanted
    }

    /// Whether a lane has read all of the body. From then on it watches for the client to leave,
    /// so that what waits to be sent goes on being sent.
    fn is_read(&self) -> bool {
        self.body.is_done() && self.kept.as_ref().is_none_or(|kept| kept.is_empty())
    }

    /// No request: nothing may be read.
    fn none() -> Passage {
        Passage::new(&Terms {
            framing: Framing::Empty,
            keep_alive: false,
            websocket: false,
            expects_continue: false,
            te_trailers: false,
        })
    }
}

impl<T: Transport> Conn<T> {
    pub(super) fn new(io: T, digest: Arc<SocketDigest>) -> Conn<T> {
        let (rd, wr) = (BytesMut::new(), BytesMut::new());
        let alarm = Alarm::default();
        Conn { io, digest, alarm, rd, wr, eof: false, shut: false, passage: Passage::none() }
    }

    /// Begins the request whose head was just taken from the read buffer.
    pub(super) fn begin(&mut self, terms: &Terms) {
        self.passage = Passage::new(terms);
    }

    /// Gives up buffers that hold nothing.
    pub(super) fn release(&mut self) {
        self.passage = Passage::none();
        if self.rd.is_empty() {
            self.rd = BytesMut::new();
        }
        if self.wr.is_empty() {
            self.wr = BytesMut::new();
        }
    }

    /// Reads more into the read buffer; 0 when the client will send no more.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        if self.rd.is_empty() && self.rd.capacity() < READ / 4 {
            self.rd = BytesMut::with_capacity(READ);
        } else if self.rd.capacity() - self.rd.len() < READ / 4 {
            self.rd.reserve(READ);
        }
        let read = ready!(pin!(self.io.read_buf(&mut self.rd)).poll(cx));
        // After an error there is nothing more to come either.
        self.eof = !matches!(read, Ok(1..));
        Poll::Ready(read)
    }

    /// Sends what is in the write buffer.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.wr.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.wr))?;
            self.sent(sent)?;
        }
        if self.passage.interim == Interim::Queued {
            self.passage.interim = Interim::NotWanted;
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Sends what is in the write buffer, or as much as the client takes now, if the rest may wait.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_drain(cx) {
            Poll::Pending if self.may_hold() => Poll::Ready(Ok(())),
            sent => sent,
        }
    }

    /// How much is in the write buffer and below.
    pub(super) fn unsent(&self) -> usize {
        self.wr.len() + self.io.unsent()
    }

    fn may_hold(&self) -> bool {
        let passage = &self.passage;
        passage.holds && !passage.transparent && passage.is_read()
    }

    fn sent(&mut self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.wr.advance(count);
        Ok(())
    }

    /// Takes what a lane writes: into the buffer while it fits, else both together
    /// to the client, so that what is held never exceeds the buffer.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(self.poll_take(cx, bytes))?;
        let status = self.passage.status.saw(bytes.get(..taken).unwrap_or_default());
        if status == Some(SWITCHING) && self.passage.may_switch {
            self.passage.transparent = true;
        }
        Poll::Ready(Ok(taken))
    }

    /// Takes a final head as a lane writes it.
    pub(super) fn begin_answer(&mut self, status: u16, write: impl FnOnce(&mut BytesMut)) {
        if self.wr.capacity() == 0 {
            self.wr = BytesMut::with_capacity(FIRST_WRITE);
        }
        write(&mut self.wr);
        self.passage.status.note_final();
        self.passage.transparent |= status == SWITCHING && self.passage.may_switch;
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.wr.len() + bytes.len() <= WRITE {
            if self.wr.capacity() == 0 {
                self.wr = BytesMut::with_capacity(bytes.len().max(FIRST_WRITE));
            }
            self.wr.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let sent = self.poll_send(cx, bytes);
        let room = if self.may_hold() { HOLD.saturating_sub(self.wr.len()) } else { 0 };
        if sent.is_ready() || room == 0 {
            return sent;
        }
        let held = bytes.get(..room).unwrap_or(bytes);
        self.wr.extend_from_slice(held);
        Poll::Ready(Ok(held.len()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        while !self.wr.is_empty() {
            let both = [IoSlice::new(&self.wr), IoSlice::new(bytes)];
            let sent = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, &both))?;
            let held = self.wr.len();
            self.sent(sent.min(held))?;
            if sent > held {
                return Poll::Ready(Ok(sent - held));
            }
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    /// Sends what is buffered and tells the client that nothing follows.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shut {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(cx))?;
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        self.shut = true;
        Poll::Ready(Ok(()))
    }

    /// What a lane reads: the replayed head, then the body and not a byte more.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if !self.passage.replay.is_empty() {
            pour(&mut self.passage.replay, out);
            return Poll::Ready(Ok(()));
        }
        if let Some(kept) = self.passage.kept.as_mut().filter(|kept| !kept.is_empty()) {
            return kept.poll_read(cx, out);
        }
        if let Some(error) = self.passage.poison {
            return Poll::Ready(Err(error.into()));
        }
        if self.passage.transparent {
            self.poll_open(cx, out)
        } else if self.passage.body.is_done() {
            self.poll_gone(cx)
        } else {
            self.poll_body(cx, out)
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.rd.is_empty() {
            pour(&mut self.rd, out);
            return Poll::Ready(Ok(()));
        }
        self.poll_direct(cx, out)
    }

    /// Reads past our buffer. A buffer the caller brings needs no copy.
    fn poll_direct(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.eof {
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, out));
        self.eof = read.is_err() || out.filled().len() == before;
        Poll::Ready(read)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        if self.rd.is_empty() {
            self.offer_continue(cx)?;
            self.send_what_waits(cx)?;
            ready!(self.poll_direct(cx, out))?;
        } else {
            pour(&mut self.rd, out);
        }
        let came = out.filled().get(before..).unwrap_or_default();
        match self.passage.body.feed(came) {
            Ok(ours) => {
                // The next request's beginning goes back to where the door will look.
                let next = came.get(ours..).unwrap_or_default();
                if !next.is_empty() {
                    self.unread(next.to_vec());
                }
                out.set_filled(before + ours);
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                out.set_filled(before);
                self.passage.poison = Some(error);
                Poll::Ready(Err(error.into()))
            }
        }
    }

    fn unread(&mut self, bytes: Vec<u8>) {
        let rest = std::mem::take(&mut self.rd);
        self.rd = BytesMut::with_capacity((bytes.len() + rest.len()).max(READ));
        self.rd.extend_from_slice(&bytes);
        self.rd.extend_from_slice(&rest);
    }

    /// Tells a client that waits for it to send its body (RFC 9110 §10.1.1), unless it
    /// has been answered already.
    pub(super) fn offer_continue(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.passage.interim == Interim::Wanted && self.passage.status.is_untouched() {
            self.wr.extend_from_slice(CONTINUE);
            self.passage.interim = Interim::Queued;
        }
        if self.passage.interim == Interim::Queued
            && let Poll::Ready(Err(error)) = self.poll_drain(cx)
        {
            return Err(error);
        }
        Ok(())
    }

    /// A lane that reads has nothing to write just now: what it wrote and did not flush, such as the
    /// head of a response whose body is slow, must not wait for what comes next.
    fn send_what_waits(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.wr.is_empty() {
            return Ok(());
        }
        match self.poll_drain(cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()), // it goes on when the client takes more
        }
    }

    /// After the last byte there is nothing to read; but whether the client is still
    /// there is of interest, and only the end of its stream tells. A client that sends
    /// further requests meanwhile is there.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send_what_waits(cx)?;
        while !self.eof && self.rd.len() < READ_AHEAD {
            // Asked before reading, so that watching needs no buffer.
            ready!(self.io.poll_readable(cx))?;
            ready!(self.poll_fill(cx))?;
        }
        // What is of this request's body is no further request.
        let asks_no_more = self.rd.len() as u64 <= self.passage.body.left();
        if self.eof && asks_no_more { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

/// Moves as much as fits.
fn pour(from: &mut BytesMut, out: &mut ReadBuf<'_>) {
    let count = from.len().min(out.remaining());
    out.put_slice(from.get(..count).unwrap_or_default());
    from.advance(count);
}

#[cfg(test)]
mod tests;
