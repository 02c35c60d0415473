//! A request's body on its way upstream.
//!
//! It is read from the client only as fast as the upstream takes it. Chunks are written anew, without
//! extensions and trailers, which end here as they do at nginx. A body that may have to be sent again is
//! kept, up to a bound.

use super::trouble::{Cause, Trouble};
use crate::door::framing::{Body, ChunkError};
use crate::door::{BoundedStream, Lost, Transport};
use crate::proxy::exchange::Exchange;
use crate::proxy::hygiene::Framing;
use crate::proxy::upstream::{self, Failure};
use bytes::{BufMut as _, BytesMut};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt as _;

/// So much of a body waits to be sent.
const PENDING: usize = 32 * 1024;
/// First room for what is read of one.
const READ: usize = 8 * 1024;
/// So much of one is kept to be sent again. As much as Pingora keeps.
const KEPT: usize = 64 * 1024;

/// One request's body, over all its tries.
pub(super) struct Upload {
    body: Body,
    coding: Coding,
    kept: Kept,
}

/// How the body is framed, and so how it is sent.
enum Coding {
    Plain,
    /// What was read and not decoded yet.
    Chunked(BytesMut),
}

/// What there is of it to be sent once more.
enum Kept {
    /// It is never sent again once it has been read.
    Not,
    Whole(BytesMut),
    /// There was too much.
    Lost,
}

impl Upload {
    pub(super) fn new(exchange: &Exchange) -> Upload {
        let framing = exchange.terms().framing;
        let coding = match framing {
            Framing::Chunked => Coding::Chunked(BytesMut::new()),
            Framing::Empty | Framing::Length(_) => Coding::Plain,
        };
        let again = upstream::is_repeatable(exchange);
        let kept = if again { Kept::Whole(BytesMut::new()) } else { Kept::Not };
        Upload { body: Body::new(framing), coding, kept }
    }

    /// Whether all of it has been read.
    pub(super) fn is_read(&self) -> bool {
        self.body.is_done()
    }

    /// Whether it can be sent from its beginning.
    pub(super) fn is_replayable(&self) -> bool {
        match &self.kept {
            Kept::Whole(_) => true,
            // Its request is not sent again after any of it was, whatever became of it.
            Kept::Not => true,
            Kept::Lost => false,
        }
    }

    /// Puts what was read in an earlier try behind the head in `out`.
    pub(super) fn begin(&mut self, exchange: &mut Exchange, out: &mut BytesMut) {
        let Kept::Whole(kept) = &self.kept else { return };
        if !kept.is_empty() {
            exchange.receive(kept.len());
            write(matches!(self.coding, Coding::Chunked(_)), kept, out);
        }
        self.end(out);
    }

    /// Whether there is more to read, and room for it behind what waits in `out`.
    pub(super) fn wants(&self, out: &BytesMut) -> bool {
        !self.is_read() && out.len() < PENDING
    }

    /// Reads more of it into `out`, which it must [want](Upload::wants).
    pub(super) fn poll_read<T: Transport>(
        &mut self,
        stream: &mut BoundedStream<T>,
        exchange: &mut Exchange,
        out: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Trouble>> {
        let came = match &mut self.coding {
            Coding::Plain => {
                let before = out.len();
                let room = self.body.left().min(PENDING.saturating_sub(before) as u64) as usize;
                ready!(fill(stream, out, room, cx))?;
                let came = out.get(before..).unwrap_or_default();
                // The stream ends where the body does: all that came is the body's.
                self.body.feed(came).map_err(malformed)?;
                self.kept.add(came);
                came.len()
            }
            Coding::Chunked(raw) => {
                ready!(fill(stream, raw, READ, cx))?;
                let mut came = 0;
                let kept = &mut self.kept;
                let decoded = self.body.decode(raw, |data| {
                    came += data.len();
                    kept.add(data);
                    write(true, data, out);
                });
                raw.clear();
                decoded.map_err(malformed)?;
                came
            }
        };
        if !exchange.receive(came) {
            let cause = Cause::Plain("more came of it than is allowed");
            return Poll::Ready(Err(Trouble::of(Failure::BodyTooLarge, cause)));
        }
        self.end(out);
        Poll::Ready(Ok(()))
    }

    /// The last chunk, once everything has been read.
    fn end(&self, out: &mut BytesMut) {
        if self.is_read() && matches!(self.coding, Coding::Chunked(_)) {
            out.put_slice(b"0\r\n\r\n");
        }
    }
}

impl Kept {
    fn add(&mut self, data: &[u8]) {
        let Kept::Whole(kept) = self else { return };
        if kept.len() + data.len() <= KEPT {
            kept.extend_from_slice(data);
        } else {
            *self = Kept::Lost;
        }
    }
}

/// Reads something; the end of what can be read is an error, since the body goes on.
fn fill<T: Transport>(
    stream: &mut BoundedStream<T>,
    into: &mut BytesMut,
    room: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Trouble>> {
    into.reserve(room);
    let read = ready!(pin!(stream.read_buf(into)).poll(cx));
    Poll::Ready(match read {
        Ok(1..) => Ok(()),
        Ok(_) => Err(Trouble::of(Failure::ClientGone, Cause::Plain("it left within the body"))),
        Err(error) => Err(Trouble::of(failure_of(&error), Cause::Io(error))),
    })
}

fn malformed(error: ChunkError) -> Trouble {
    Trouble::of(Failure::BodyMalformed, Cause::Io(error.into()))
}

/// What the door means by an error within a body.
fn failure_of(error: &io::Error) -> Failure {
    match error.get_ref() {
        Some(inner) if inner.is::<ChunkError>() => Failure::BodyMalformed,
        Some(inner) if inner.is::<Lost>() => Failure::BodyLost,
        _ => Failure::ClientGone,
    }
}

/// Data as it is sent: as it is, or as a chunk.
pub(super) fn write(chunked: bool, data: &[u8], out: &mut BytesMut) {
    if !chunked {
        return out.extend_from_slice(data);
    }
    if data.is_empty() {
        return; // would be the last chunk
    }
    out.reserve(data.len() + 16);
    write_size(data.len(), out);
    out.put_slice(data);
    out.put_slice(b"\r\n");
}

/// The line before a chunk.
fn write_size(size: usize, out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.put_u8(HEX[size >> (4 * digit) & 0xf]);
    }
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_says_how_long_it_is() {
        for size in [1, 9, 10, 15, 16, 255, 256, 4095, 4096, 65_536] {
            let mut out = BytesMut::new();
            write(true, &vec![b'x'; size], &mut out);
            let expected = format!("{size:X}\r\n{}\r\n", "x".repeat(size));
            assert!(out == expected.as_bytes(), "{size}");
        }
        let mut out = BytesMut::new();
        write(true, b"", &mut out);
        assert!(out.is_empty());
    }
}
