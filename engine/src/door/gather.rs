//! Waiting for a whole body before anyone is bothered with it.
//!
//! The client's pace is then the door's business alone: an upstream is connected to when the
//! last byte is here, and a body of unknown length has a length. What fits the read buffer
//! stays there; a [`Spool`] takes the rest.

use super::conn::Conn;
use super::framing::{Body, ChunkError};
use super::spool::{Buffering, PIECE, Spool};
use super::transport::Transport;
use bytes::{Buf as _, BytesMut};
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Room made at a time for a body that is claimed to come: a claim costs nothing.
const ROOM: usize = 16 * 1024;

/// Why a body did not come, or was not kept.
#[derive(Debug, thiserror::Error)]
pub enum Ungathered {
    /// Its chunks make no sense.
    #[error(transparent)]
    Malformed(#[from] ChunkError),
    /// It is larger than is allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    /// Nothing came of it for too long.
    #[error("nothing came for {0:?}")]
    TooLate(Duration),
    /// The client left.
    #[error("the client left within the body")]
    Gone,
    /// There is no room for it.
    #[error("cannot keep the body: {0}")]
    Disk(#[source] io::Error),
}

/// On what conditions a body is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience<'a> {
    /// Where it is kept.
    pub buffering: &'a Buffering,
    /// How long the client may pause within it.
    pub pause: Duration,
    /// How large it may be.
    pub most: Option<u64>,
}

impl<T: Transport> Conn<T> {
    /// Whether nothing has to be waited for: the read buffer has all of the body.
    pub(super) fn has_body(&self) -> bool {
        match self.passage.body {
            Body::Length(length) => self.rd.len() as u64 >= length,
            Body::Chunked(_) => false,
        }
    }

    /// How long the body is, if the read buffer may hold all of it.
    pub(super) fn fits_memory(&self, patience: Patience<'_>) -> Option<u64> {
        match self.passage.body {
            Body::Length(length) if length <= patience.buffering.memory as u64 => Some(length),
            _ => None,
        }
    }

    /// Waits until all of the body has come, and says how long it is.
    pub(super) async fn gather(&mut self, patience: Patience<'_>) -> Result<u64, Ungathered> {
        let length = match self.fits_memory(patience) {
            Some(length) => {
                while !self.has_body() {
                    self.await_more(patience.pause, ROOM).await?;
                }
                length
            }
            None => {
                let spool = self.spool(patience).await?;
                let length = spool.len();
                self.passage.kept = Some(Box::new(spool));
                length
            }
        };
        Ok(length)
    }

    async fn spool(&mut self, patience: Patience<'_>) -> Result<Spool, Ungathered> {
        let mut spool = Spool::default();
        loop {
            let ours = self.passage.body.decode(&self.rd, |data| spool.push(data));
            let ours = ours.inspect_err(|error| self.passage.poison = Some(*error))?;
            self.rd.advance(ours);
            if let Some(most) = patience.most.filter(|most| spool.len() > *most) {
                return Err(Ungathered::TooLarge(most));
            }
            spool.relieve(patience.buffering).await.map_err(Ungathered::Disk)?;
            if self.passage.body.is_done() {
                break;
            }
            self.await_more(patience.pause, PIECE).await?;
        }
        spool.rewind().await.map_err(Ungathered::Disk)?;
        Ok(spool)
    }

    /// Reads something, after telling the client to send it if it wants to be told.
    async fn await_more(&mut self, pause: Duration, room: usize) -> Result<(), Ungathered> {
        let deadline = Instant::now() + pause;
        poll_fn(|cx| {
            let gone = |_| Ungathered::Gone;
            self.offer_continue(cx).map_err(gone)?;
            // Asked before making room, so that a slow client costs none.
            if self.io.poll_readable(cx).is_ready() {
                self.rd.reserve(room);
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(1..)) => return Poll::Ready(Ok(())),
                    Poll::Ready(_) => return Poll::Ready(Err(Ungathered::Gone)),
                    Poll::Pending => {}
                }
            }
            if self.rd.is_empty() {
                self.rd = BytesMut::new();
            }
            self.alarm.poll(deadline, cx).map(|()| Err(Ungathered::TooLate(pause)))
        })
        .await
    }
}
