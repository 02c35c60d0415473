//! How messages travel: u32 big-endian body length, u8 kind, u8 flags, body.
//!
//! A body is at most 1 MiB; a longer message goes on in further frames of its
//! kind, all but the last flagged [`MORE`] and none of those empty. Both ends bound what they hold, no
//! input can make the reader panic or allocate ahead of what has arrived, and
//! flags other than `MORE` are reserved for what two ends negotiate
//! (compression, say).

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::SILENCE;

/// The longest body of one frame.
pub const MAX_BODY: usize = 1 << 20;

/// Length, kind and flags.
pub const HEADER: usize = 6;

/// The message goes on in the next frame.
pub const MORE: u8 = 0x01;

/// How much is read from the transport at once.
const READ: usize = 16 * 1024;

/// How much is given to the transport at once: what a TLS record holds. Of more, TLS would not tell how much
/// has been taken before all of it has.
const WRITE: usize = 16 * 1024;

/// One whole message, not yet understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMessage {
    /// Which message; unknown ones are the caller's to skip.
    pub kind: u8,
    /// Its msgpack map.
    pub body: Bytes,
}

/// Why the stream of frames cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A frame announces more than [`MAX_BODY`]: the peer does not speak this protocol.
    #[error("a frame of {0} bytes was announced; the longest is {MAX_BODY}")]
    FrameTooLong(u32),

    /// A message outgrew what this end is ready to hold.
    #[error("a message of kind {kind} is longer than {limit} bytes")]
    MessageTooLong {
        /// Which message.
        kind: u8,
        /// What was allowed.
        limit: usize,
    },

    /// A flag nobody negotiated.
    #[error("a frame carries the unknown flags {0:#04x}")]
    UnknownFlags(u8),

    /// A frame that says the message goes on, but brings nothing: a message of those would never end.
    #[error("a frame of a message of kind {0} is empty and not its last")]
    Empty(u8),

    /// Another message began before the last one ended.
    #[error("a message of kind {expected} was interrupted by one of kind {found}")]
    Interrupted {
        /// The unfinished message.
        expected: u8,
        /// What came instead.
        found: u8,
    },

    /// The stream ended inside a message.
    #[error("the link ended in the middle of a message")]
    Truncated,

    /// Nothing arrived for [`SILENCE`].
    #[error("nothing was heard for {} s", SILENCE.as_secs())]
    Silence,

    /// The transport failed.
    #[error("the link broke")]
    Io(#[from] io::Error),
}

/// Writes a message as it goes on the wire: one frame, or several.
pub fn encode(kind: u8, body: &[u8]) -> Bytes {
    let frames = body.len().div_ceil(MAX_BODY).max(1);
    let mut wire = BytesMut::with_capacity(body.len() + frames * HEADER);
    let mut rest = body;
    loop {
        let (chunk, after) = rest.split_at(rest.len().min(MAX_BODY));
        wire.put_u32(chunk.len() as u32);
        wire.put_u8(kind);
        wire.put_u8(if after.is_empty() { 0 } else { MORE });
        wire.put_slice(chunk);
        if after.is_empty() {
            return wire.freeze();
        }
        rest = after;
    }
}

/// Why a message was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The peer does not read. What it does not take must not be held for it for ever.
    #[error("it has taken nothing of what it is sent for {} s", SILENCE.as_secs())]
    Stuck,

    /// The transport failed.
    #[error("the link broke")]
    Io(#[from] io::Error),
}

/// Writes what [`encode`] made. It may take as long as it takes, as long as it goes on: only a peer that
/// takes nothing for [`SILENCE`] is given up.
pub async fn write<W: AsyncWrite + Unpin>(io: &mut W, wire: &[u8]) -> Result<(), WriteError> {
    for piece in wire.chunks(WRITE) {
        let mut rest = piece;
        while rest.has_remaining() {
            if unless_stuck(io.write_buf(&mut rest)).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
        }
    }
    unless_stuck(io.flush()).await
}

async fn unless_stuck<T>(progress: impl Future<Output = io::Result<T>>) -> Result<T, WriteError> {
    Ok(timeout(SILENCE, progress).await.map_err(|_| WriteError::Stuck)??)
}

/// Reads messages from a transport.
pub struct FrameReader<R> {
    io: R,
    buffer: BytesMut,
    unfinished: Option<(u8, BytesMut)>,
    limit: usize,
    heard: Instant,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `io`; no message may be longer than `limit` bytes.
    pub fn new(io: R, limit: usize) -> Self {
        Self { io, buffer: BytesMut::new(), unfinished: None, limit, heard: Instant::now() }
    }

    /// The next message; none when the peer has closed between messages. Safe to cancel: what has
    /// arrived stays for the next call.
    pub async fn next(&mut self) -> Result<Option<RawMessage>, FrameError> {
        loop {
            while let Some(frame) = self.take_frame()? {
                if let Some(message) = self.join(frame)? {
                    return Ok(Some(message));
                }
            }
            self.buffer.reserve(READ);
            // Counted from the last byte, not from this call, which may have been cancelled many times.
            let read = timeout_at(self.heard + SILENCE, self.io.read_buf(&mut self.buffer));
            let count = read.await.map_err(|_| FrameError::Silence)??;
            self.heard = Instant::now();
            if count == 0 {
                let between = self.buffer.is_empty() && self.unfinished.is_none();
                return if between { Ok(None) } else { Err(FrameError::Truncated) };
            }
        }
    }

    /// Takes a complete frame off the buffer, if there is one. Headers are judged before their body arrives.
    fn take_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(mut header) = self.buffer.get(..HEADER) else { return Ok(None) };
        let (length, kind, flags) = (header.get_u32(), header.get_u8(), header.get_u8());
        if length as usize > MAX_BODY {
            return Err(FrameError::FrameTooLong(length));
        }
        if flags & !MORE != 0 {
            return Err(FrameError::UnknownFlags(flags));
        }
        if length == 0 && flags & MORE != 0 {
            return Err(FrameError::Empty(kind));
        }
        let begun = self.unfinished.as_ref().map_or(0, |(_, body)| body.len());
        if begun + length as usize > self.limit {
            return Err(FrameError::MessageTooLong { kind, limit: self.limit });
        }
        if self.buffer.len() < HEADER + length as usize {
            return Ok(None);
        }
        self.buffer.advance(HEADER);
        let body = self.buffer.split_to(length as usize);
        Ok(Some(Frame { kind, more: flags & MORE != 0, body }))
    }

    fn join(&mut self, frame: Frame) -> Result<Option<RawMessage>, FrameError> {
        let body = match self.unfinished.take() {
            None => frame.body,
            Some((expected, _)) if expected != frame.kind => {
                return Err(FrameError::Interrupted { expected, found: frame.kind });
            }
            Some((_, mut begun)) => {
                begun.unsplit(frame.body);
                begun
            }
        };
        if frame.more {
            self.unfinished = Some((frame.kind, body));
            return Ok(None);
        }
        Ok(Some(RawMessage { kind: frame.kind, body: body.freeze() }))
    }
}

struct Frame {
    kind: u8,
    more: bool,
    body: BytesMut,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn read_all(mut wire: &[u8], limit: usize) -> Result<Vec<RawMessage>, FrameError> {
        let mut reader = FrameReader::new(&mut wire, limit);
        let mut messages = Vec::new();
        while let Some(message) = reader.next().await? {
            messages.push(message);
        }
        Ok(messages)
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("builds")
            .block_on(future)
    }

    #[test]
    fn messages_of_any_length_arrive_whole() {
        for length in [0, 1, MAX_BODY - 1, MAX_BODY, MAX_BODY + 1, 3 * MAX_BODY] {
            let body = vec![7; length];
            let wire = [encode(3, &body), encode(4, b"after")].concat();
            let messages = block_on(read_all(&wire, usize::MAX)).expect("reads");
            assert_eq!(messages.len(), 2, "{length}");
            assert_eq!((messages[0].kind, messages[0].body.len()), (3, length));
            assert_eq!(messages[1], RawMessage { kind: 4, body: Bytes::from_static(b"after") });
        }
    }

    #[test]
    fn limits_hold_before_a_body_arrives() {
        let too_long = (MAX_BODY as u32 + 1).to_be_bytes();
        let wire = [&too_long[..], &[1, 0]].concat();
        assert!(matches!(block_on(read_all(&wire, usize::MAX)), Err(FrameError::FrameTooLong(_))));

        let wire = [0, 0, 0, 100, 1, 0];
        assert!(matches!(
            block_on(read_all(&wire, 99)),
            Err(FrameError::MessageTooLong { limit: 99, .. })
        ));

        let long = encode(1, &vec![0; 2 * MAX_BODY]);
        assert!(matches!(
            block_on(read_all(&long, MAX_BODY + 1)),
            Err(FrameError::MessageTooLong { .. })
        ));
    }

    #[test]
    fn broken_streams_are_named() {
        assert!(matches!(
            block_on(read_all(&[0, 0, 0, 1, 1, 0x80, 0], 9)),
            Err(FrameError::UnknownFlags(0x80))
        ));
        assert!(matches!(
            block_on(read_all(&[0, 0, 0, 2, 1, 0, 9], 9)),
            Err(FrameError::Truncated)
        ));
        assert!(matches!(block_on(read_all(&[0, 0, 0, 0, 1, MORE], 9)), Err(FrameError::Empty(1))));
        let interrupted = [0, 0, 0, 1, 1, MORE, 9, 0, 0, 0, 0, 2, 0];
        let error = block_on(read_all(&interrupted, 9));
        assert!(matches!(error, Err(FrameError::Interrupted { expected: 1, found: 2 })));
        assert!(matches!(block_on(read_all(&interrupted[..7], 9)), Err(FrameError::Truncated)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_overrun(wire in proptest::collection::vec(any::<u8>(), 0..2000)) {
            if let Ok(messages) = block_on(read_all(&wire, 500)) {
                prop_assert!(messages.iter().all(|m| m.body.len() <= 500));
            }
        }

        #[test]
        fn what_is_written_is_read(bodies in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..20)) {
            let wire: Vec<u8> = bodies.iter().flat_map(|(kind, body)| encode(*kind, body)).collect();
            let read = block_on(read_all(&wire, 300)).expect("reads");
            let read: Vec<_> = read.into_iter().map(|m| (m.kind, m.body.to_vec())).collect();
            prop_assert_eq!(read, bodies);
        }
    }
}
