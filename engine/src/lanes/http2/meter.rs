//! What an HTTP/2 connection is made of, counted frame by frame.
//!
//! Frames that carry nothing cost their sender nine bytes and us an answer, a lookup or a walk
//! over all streams; HTTP/2 limits none of them. A [`Meter`] does: they spend an allowance that
//! grows with time and with what is really asked, sent and received. It reads frame heads only,
//! and what it says is independent of the library that reads the frames.

use tokio::time::Instant;

/// So many frames that carry nothing may come at once.
const BURST: u32 = 1000;
/// And so many in each second, on top of what requests and bodies bring.
const PER_SECOND: u32 = 100;
/// What a request brings: its priority, its windows, the end of its interest.
const PER_REQUEST: u32 = 4;
/// What a frame of a body brings, in either direction: some clients open two windows for each.
const PER_DATA: u32 = 4;
/// Settings may change the windows of all streams.
const SETTINGS_COST: u32 = 10;

const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// Types of frames (RFC 9113 §6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RESET: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const CONTINUATION: u8 = 9;
}

/// Flags of frames; the first is `ACK` in settings.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// More frames that carry nothing than anyone honest sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flood;

/// Counts what passes in both directions.
#[derive(Debug)]
pub(super) struct Meter {
    inbound: Frames,
    outbound: Frames,
    /// Frames that carry nothing which may still come.
    allowance: u32,
    /// When time was last counted in; the clock is read only when the rest is used up.
    counted: Instant,
    /// A head has begun that has not ended.
    open: bool,
    heads: u64,
    resets: u64,
}

impl Meter {
    /// For a connection whose preface is still to come.
    pub(super) fn new() -> Meter {
        Meter {
            inbound: Frames::behind(PREFACE),
            outbound: Frames::behind(0),
            allowance: BURST,
            counted: Instant::now(),
            open: false,
            heads: 0,
            resets: 0,
        }
    }

    /// Counts what the client sent.
    pub(super) fn received(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        while let Some(frame) = self.inbound.next(&mut bytes) {
            self.came(frame)?;
        }
        Ok(())
    }

    /// Counts what it was sent.
    pub(super) fn sent(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.outbound.next(&mut bytes) {
            match frame.kind {
                kind::DATA => self.earn(PER_DATA),
                kind::RESET => self.resets += 1,
                _ => {}
            }
        }
    }

    /// Whether the client is in the middle of a head.
    pub(super) fn is_in_head(&self) -> bool {
        self.open || self.inbound.is_within_head()
    }

    /// How many heads have begun.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// How many requests were cut off by us, by the library before anyone saw them or later.
    pub(super) fn resets(&self) -> u64 {
        self.resets
    }

    fn came(&mut self, frame: Frame) -> Result<(), Flood> {
        match frame.kind {
            kind::DATA if frame.length > 0 => self.earn(PER_DATA),
            kind::DATA if frame.flags & END_STREAM != 0 => {}
            kind::HEADERS => {
                self.heads += 1;
                self.open = frame.flags & END_HEADERS == 0;
                self.earn(PER_REQUEST);
            }
            // The library counts them.
            kind::CONTINUATION => self.open &= frame.flags & END_HEADERS == 0,
            kind::SETTINGS => return self.spend(SETTINGS_COST),
            _ => return self.spend(1),
        }
        Ok(())
    }

    fn earn(&mut self, frames: u32) {
        self.allowance = (self.allowance + frames).min(BURST);
    }

    fn spend(&mut self, frames: u32) -> Result<(), Flood> {
        if self.allowance < frames {
            let millis = self.counted.elapsed().as_millis().min(60_000) as u32;
            self.earn(millis * PER_SECOND / 1000);
            self.counted = Instant::now();
        }
        self.allowance = self.allowance.checked_sub(frames).ok_or(Flood)?;
        Ok(())
    }
}

/// Finds the heads of frames in a stream of bytes.
#[derive(Debug)]
struct Frames {
    /// So much of a frame's head has come.
    head: [u8; Frames::HEAD],
    filled: usize,
    /// So much passes before the next one.
    skip: usize,
    /// The frame that is passing.
    passing: u8,
}

/// The head of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    length: usize,
}

impl Frames {
    const HEAD: usize = 9;
    /// No type of frame that means anything here.
    const NONE: u8 = 0xff;

    fn behind(skip: usize) -> Frames {
        Frames { head: [0; Frames::HEAD], filled: 0, skip, passing: Frames::NONE }
    }

    /// The next head, if it is complete; `bytes` is left with what follows it.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let passed = self.skip.min(bytes.len());
        *bytes = bytes.get(passed..).unwrap_or_default();
        self.skip -= passed;
        let wanted = self.head.get_mut(self.filled..).unwrap_or_default();
        let count = wanted.len().min(bytes.len());
        let (head, rest) = bytes.split_at(count);
        wanted.get_mut(..count)?.copy_from_slice(head);
        *bytes = rest;
        self.filled += count;
        if self.filled < Frames::HEAD {
            return None;
        }
        let [a, b, c, kind, flags, ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        (self.filled, self.skip, self.passing) = (0, length, kind);
        Some(Frame { kind, flags, length })
    }

    /// Whether what is passing is a part of a message's head.
    fn is_within_head(&self) -> bool {
        self.skip > 0 && matches!(self.passing, kind::HEADERS | kind::CONTINUATION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [_, a, b, c] = (length as u32).to_be_bytes();
        let mut frame = vec![a, b, c, kind, flags, 0, 0, 0, 1];
        frame.resize(9 + length, 7);
        frame
    }

    fn begun() -> Meter {
        let mut meter = Meter::new();
        meter.received(&[b'x'; PREFACE]).unwrap();
        meter
    }

    /// How many of these pass, at most `most`.
    fn passing(meter: &mut Meter, frame: &[u8], most: usize) -> usize {
        (0..most).take_while(|_| meter.received(frame).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn what_carries_nothing_has_an_allowance_that_time_renews() {
        const PING: u8 = 6;
        for (kind, length, expected) in
            [(PING, 8, 1000), (2, 5, 1000), (8, 4, 1000), (kind::SETTINGS, 0, 100), (0xee, 3, 1000)]
        {
            let mut meter = begun();
            assert_eq!(passing(&mut meter, &frame(kind, 0, length), 2000), expected, "{kind}");
        }
        let mut meter = begun();
        assert_eq!(passing(&mut meter, &frame(kind::DATA, 0, 0), 2000), 1000, "empty");
        for _ in 0..100 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(passing(&mut meter, &frame(PING, 0, 8), 100), 100, "each second");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_and_bodies_bring_what_belongs_to_them() {
        let mut meter = begun();
        for _ in 0..10_000 {
            meter.received(&frame(kind::HEADERS, END_HEADERS, 20)).unwrap();
            meter.received(&frame(2, 0, 5)).unwrap();
            meter.received(&frame(kind::DATA, 0, 1)).unwrap();
            meter.sent(&frame(kind::DATA, 0, 1));
            for _ in 0..2 {
                meter.received(&frame(8, 0, 4)).unwrap();
            }
            meter.received(&frame(kind::DATA, END_STREAM, 0)).unwrap();
            meter.received(&frame(kind::RESET, 0, 4)).unwrap();
        }
        assert_eq!(meter.heads(), 10_000);
    }

    #[tokio::test]
    async fn heads_are_seen_however_the_bytes_come() {
        let mut said = vec![b'x'; PREFACE];
        said.extend(frame(kind::SETTINGS, 0, 12));
        said.extend(frame(kind::HEADERS, 0, 30));
        said.extend(frame(kind::CONTINUATION, 0, 3));
        said.extend(frame(kind::CONTINUATION, END_HEADERS, 300));
        let begins = PREFACE + 21 + 9;
        for step in [1, 2, 7, 64, 1000] {
            let (mut meter, mut seen) = (Meter::new(), 0);
            for piece in said.chunks(step) {
                meter.received(piece).unwrap();
                seen += piece.len();
                assert_eq!(meter.is_in_head(), seen >= begins && seen < said.len(), "{seen}");
            }
            assert_eq!(meter.heads(), 1);
            meter.sent(&frame(kind::RESET, 0, 4));
            assert_eq!(meter.resets(), 1);
        }
    }
}
