//! Two connections joined, once HTTP has given way to another protocol.
//!
//! What either side sends reaches the other, a little at a time, until one of them has said everything,
//! or neither says anything for too long.

use super::upstream::Upstream;
use crate::door::{BoundedStream, Transport};
use crate::proxy::upstream::Failure;
use bytes::{Buf as _, BytesMut};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::time::Instant;

/// Read at a time, either way.
const PIECE: usize = 16 * 1024;

/// A tunnel, and how it has fared.
pub(super) struct Tunnel<'a, T: Transport, S> {
    stream: &'a mut BoundedStream<T>,
    up: &'a mut Upstream<S>,
    /// Bytes the client was sent.
    pub(super) sent: u64,
    moved: bool,
}

/// How a side of it goes on.
enum Side {
    /// It has been passed on.
    Moved,
    /// It has said everything.
    Over,
}

impl<'a, T: Transport, S: Transport> Tunnel<'a, T, S> {
    pub(super) fn new(stream: &'a mut BoundedStream<T>, up: &'a mut Upstream<S>) -> Self {
        Tunnel { stream, up, sent: 0, moved: false }
    }

    /// Until it ends. Neither side may be silent for longer than `patience` while the other is, too.
    pub(super) async fn carry(&mut self, patience: Duration) -> Result<(), Failure> {
        let mut deadline = Instant::now() + patience;
        poll_fn(|cx| {
            let over = self.poll_client(cx)? | self.poll_upstream(cx)?;
            if over {
                return Poll::Ready(Ok(()));
            }
            if std::mem::take(&mut self.moved) {
                deadline = Instant::now() + patience;
            }
            self.stream.poll_alarm(deadline, cx).map(|()| Err(Failure::TunnelSilent))
        })
        .await
    }

    /// From the client to the upstream; true when that is over.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        loop {
            match self.poll_up(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(Side::Moved)) => self.moved = true,
                Poll::Ready(Ok(Side::Over)) => return Ok(true),
                Poll::Ready(Err(_)) => return Err(Failure::ClientGone),
            }
        }
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Side>> {
        ready!(self.up.poll_send(cx));
        if !self.up.listens() {
            return Poll::Ready(Ok(Side::Over));
        }
        make_room(&mut self.up.wr);
        let read = ready!(pin!(self.stream.read_buf(&mut self.up.wr)).poll(cx))?;
        Poll::Ready(Ok(if read == 0 { Side::Over } else { Side::Moved }))
    }

    /// The other way round.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        loop {
            match self.poll_down(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(Side::Moved)) => self.moved = true,
                Poll::Ready(Ok(Side::Over)) => return Ok(true),
                Poll::Ready(Err(failure)) => return Err(failure),
            }
        }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<Side, Failure>> {
        let gone = |_| Failure::ClientGone;
        while !self.up.rd.is_empty() {
            let sent = ready!(Pin::new(&mut *self.stream).poll_write(cx, &self.up.rd));
            let sent = sent.map_err(gone)?;
            self.up.rd.advance(sent);
            self.sent += sent as u64;
            self.moved = true;
        }
        ready!(Pin::new(&mut *self.stream).poll_flush(cx)).map_err(gone)?;
        let read = ready!(self.up.poll_fill(cx, PIECE));
        let reused = self.up.is_reused();
        match read.map_err(|_| Failure::Broken { reused })? {
            0 => Poll::Ready(Ok(Side::Over)),
            _ => Poll::Ready(Ok(Side::Moved)),
        }
    }
}

fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() < PIECE / 4 {
        *buffer = BytesMut::with_capacity(PIECE);
    }
}
