//! A connection to an upstream while it carries a request.
//!
//! It buffers a little either way: what is written goes out in one piece where it can, and what was
//! read belongs to this request's answer. It knows bytes, not messages.

use super::pool::Pooled;
use crate::door::Transport;
use bytes::{Buf as _, BytesMut};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt as _;

/// First room for an answer: most heads fit, and a small body with them.
const READ: usize = 4 * 1024;

#[derive(Debug)]
pub(super) struct Upstream<S> {
    io: S,
    /// Read, and not yet looked at.
    pub(super) rd: BytesMut,
    /// To be sent.
    pub(super) wr: BytesMut,
    /// How many requests it has carried before this one.
    uses: u32,
    /// It takes no more. It may have answered nevertheless.
    deaf: Option<io::Error>,
}

impl<S: Transport> Upstream<S> {
    pub(super) fn new(Pooled { io, uses }: Pooled<S>) -> Upstream<S> {
        Upstream { io, rd: BytesMut::new(), wr: BytesMut::new(), uses, deaf: None }
    }

    /// Whether it has been idle before.
    pub(super) fn is_reused(&self) -> bool {
        self.uses > 0
    }

    /// Why nothing more can be sent, if that is so.
    pub(super) fn deafness(&mut self) -> Option<io::Error> {
        self.deaf.take()
    }

    /// Sends what there is to be sent. Where that is not possible it is as good as sent: what the upstream
    /// answers to the part it took tells more than the error.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.wr.is_empty() && self.deaf.is_none() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.wr)) {
                Ok(sent @ 1..) => self.wr.advance(sent),
                Ok(_) => self.deaf = Some(io::ErrorKind::WriteZero.into()),
                Err(error) => self.deaf = Some(error),
            }
        }
        Poll::Ready(())
    }

    /// Whether it still takes what is sent.
    pub(super) fn listens(&self) -> bool {
        self.deaf.is_none()
    }

    /// Reads more; 0 when it has said everything. `expected` bytes would be welcome, if that is known.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        expected: usize,
    ) -> Poll<io::Result<usize>> {
        /// As much at a time, of what is long.
        const MOST: usize = 64 * 1024;
        let room = expected.clamp(READ, MOST);
        if self.rd.capacity() - self.rd.len() < room / 4 {
            self.rd.reserve(room);
        }
        pin!(self.io.read_buf(&mut self.rd)).poll(cx)
    }

    /// What can be kept of it for another request: nothing, if there is something left over of this one.
    pub(super) fn rest(self) -> Option<Pooled<S>> {
        let clean = self.rd.is_empty() && self.wr.is_empty() && self.deaf.is_none();
        clean.then(|| Pooled { io: self.io, uses: self.uses.saturating_add(1) })
    }
}
