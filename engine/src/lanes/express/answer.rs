//! An upstream's answer: its head as it is read, and where its body ends.
//!
//! The parser and what it forgives are those of the other lane, so that both take the same answers for
//! one. What the head means for the client is the pipeline's to say.

use super::upload;
use crate::door::framing::{Body, ChunkError, Chunks};
use crate::proxy::head::{Fields, Known, ResponseHead, Span, StatusLine, Version};
use crate::proxy::hygiene;
use bytes::{Buf as _, BytesMut};
use httparse::{ParserConfig, Response, Status};
use memchr::{memchr, memchr_iter};
use std::mem::MaybeUninit;

/// Largest head of an answer.
const HEAD: usize = 1024 * 1024;
/// Most fields of one.
const FIELDS: usize = 256;
/// Room behind a head for what the pipeline adds.
const EDITS: usize = 512;

/// It is no HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Garbage {
    /// It cannot be read.
    #[error("a malformed head: {0}")]
    Malformed(httparse::Error),
    /// It goes on and on.
    #[error("a head of more than {HEAD} bytes")]
    TooLarge,
    /// There is no such status.
    #[error("status {0}")]
    Status(u16),
}

/// Finds heads in what is read.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    /// Up to here no head ends.
    scanned: usize,
    /// Bytes of empty lines before the head.
    skipped: usize,
}

impl HeadReader {
    /// Takes the head that `rd` begins with, once all of it is there. Boxed: it is large, and handed on
    /// a few times.
    pub(super) fn take(&mut self, rd: &mut BytesMut) -> Result<Option<Box<ResponseHead>>, Garbage> {
        if self.scanned == 0 && self.skip_empty_lines(rd) > HEAD {
            return Err(Garbage::TooLarge);
        }
        if self.scanned > 0 && !self.may_end(rd) {
            self.scanned = rd.len();
            return if rd.len() > HEAD { Err(Garbage::TooLarge) } else { Ok(None) };
        }
        let begins = rd.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
        self.scanned = if begins { rd.len() } else { 0 };
        let mut room = [const { MaybeUninit::uninit() }; FIELDS];
        let mut parsed = Response::new(&mut []);
        let read = config().parse_response_with_uninit_headers(&mut parsed, rd, &mut room);
        match read.map_err(Garbage::Malformed)? {
            Status::Partial if rd.len() > HEAD => Err(Garbage::TooLarge),
            Status::Partial => Ok(None),
            Status::Complete(len) if len > HEAD => Err(Garbage::TooLarge),
            Status::Complete(len) => {
                let head = copied(rd, len, &parsed)?;
                rd.advance(len);
                (self.scanned, self.skipped) = (0, 0);
                Ok(Some(head))
            }
        }
    }

    /// Takes away what the parser would skip before a head, and says how much of that there has been: each
    /// line would have it look at all of them again.
    fn skip_empty_lines(&mut self, rd: &mut BytesMut) -> usize {
        while let Some(line) = [&b"\r\n"[..], b"\n"].into_iter().find(|end| rd.starts_with(end)) {
            rd.advance(line.len());
            self.skipped += line.len();
        }
        self.skipped
    }

    /// Whether what was read since the last time may end a head: with an empty line, of which a part may have
    /// come before. So that a head that comes byte by byte is not read as often.
    fn may_end(&self, rd: &[u8]) -> bool {
        let from = self.scanned.saturating_sub(3);
        let new = rd.get(from..).unwrap_or_default();
        memchr_iter(b'\n', new).any(|at| {
            let after = new.get(at + 1..).unwrap_or_default();
            after.starts_with(b"\n") || after.starts_with(b"\r\n")
        })
    }
}

fn config() -> ParserConfig {
    let mut config = ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    config.allow_obsolete_multiline_headers_in_responses(true);
    config
}

/// A head of its own: what is behind it in the buffer stays there.
fn copied(rd: &[u8], len: usize, parsed: &Response<'_, '_>) -> Result<Box<ResponseHead>, Garbage> {
    let status = parsed.code.unwrap_or_default();
    if !(100..1000).contains(&status) {
        return Err(Garbage::Status(status));
    }
    let version = if parsed.version == Some(1) { Version::Http11 } else { Version::Http10 };
    let base = rd.as_ptr() as usize;
    let span = |text: &[u8]| {
        let at = (text.as_ptr() as usize).wrapping_sub(base);
        Span::new(at, at.saturating_add(text.len()))
    };
    let mut text = BytesMut::with_capacity(len + EDITS);
    text.extend_from_slice(rd.get(..len).unwrap_or_default());
    let mut fields = Fields::new();
    for field in parsed.headers.iter() {
        let name = field.name.as_bytes();
        let value = unfold(&mut text, span(field.value));
        fields.push(Known::of(name), span(name), value);
    }
    let reason = match parsed.reason.unwrap_or_default() {
        "" => Span::default(),
        reason => span(reason.as_bytes()),
    };
    let line = StatusLine::new(version, status, reason);
    Ok(Box::new(ResponseHead::received(text, line, fields)))
}

/// Makes one line of a value that was folded, in its place: a space for each fold, with the space around it
/// (RFC 9112 §5.2). The value is shorter then.
fn unfold(text: &mut BytesMut, span: Span) -> Span {
    let value = span.of_mut(text);
    if memchr(b'\n', value).is_none() {
        return span;
    }
    let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let line = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(&b' ');
    value.iter_mut().zip(&line).for_each(|(old, new)| *old = *new);
    span.cut(line.len())
}

/// Where an answer's body ends.
#[derive(Debug)]
pub(super) enum End {
    /// Where its framing says.
    Framed(Body),
    /// With the connection.
    Connection,
}

impl End {
    /// There is no body.
    pub(super) const NOTHING: End = End::Framed(Body::Length(0));
}

/// Whether a final answer does not say where it ends.
pub(super) fn is_open(head: &ResponseHead, is_head: bool) -> bool {
    let is_framed = |known| head.get(known).is_some();
    let may_have_body = !is_head && head.status() >= 200 && !matches!(head.status(), 204 | 304);
    may_have_body && !is_framed(Known::TransferEncoding) && !is_framed(Known::ContentLength)
}

/// Of the final answer to a request, `is_head` if that was a `HEAD` (RFC 9112 §6.3). Its fields must be of one
/// meaning already.
pub(super) fn end_of(head: &ResponseHead, is_head: bool) -> End {
    if is_head || matches!(head.status(), 204 | 304) {
        return End::NOTHING;
    }
    if head.get(Known::TransferEncoding).is_some() {
        return End::Framed(Body::Chunked(Chunks::of_answer()));
    }
    let length = head.get(Known::ContentLength).and_then(|length| hygiene::length_of(length).ok());
    length.map_or(End::Connection, |length| End::Framed(Body::Length(length)))
}

/// An answer's body on its way to the client.
#[derive(Debug)]
pub(super) struct Download {
    end: End,
    /// Its chunks are written anew; what ends with the connection is put into some.
    chunked: bool,
    /// Written anew, and not taken by the client yet.
    out: BytesMut,
    /// Bytes of body so far, without their framing.
    pub(super) sent: u64,
    /// Everything has been read and is in `out`, or gone.
    done: bool,
}

impl Download {
    /// `chunked`: the client is sent chunks, where the body's length is not known.
    pub(super) fn new(end: End, chunked: bool) -> Download {
        let done = matches!(&end, End::Framed(Body::Length(0)));
        Download { end, chunked, out: BytesMut::new(), sent: 0, done }
    }

    /// Whether there is nothing more to read.
    pub(super) fn is_read(&self) -> bool {
        self.done
    }

    /// Whether the upstream may say the end with its connection's.
    pub(super) fn ends_with_connection(&self) -> bool {
        matches!(self.end, End::Connection)
    }

    /// How much is to come at least, where that is known.
    pub(super) fn expected(&self) -> usize {
        match self.end {
            End::Framed(Body::Length(left)) => usize::try_from(left).unwrap_or(usize::MAX),
            End::Framed(Body::Chunked(_)) | End::Connection => 16 * 1024,
        }
    }

    /// What of `rd` is the client's as it is; otherwise it is in [`Download::written`].
    pub(super) fn look_at(&mut self, rd: &mut BytesMut) -> Result<(), ChunkError> {
        if self.done || !self.out.is_empty() || rd.is_empty() || self.is_plain() {
            return Ok(());
        }
        let Download { end, chunked, out, sent, .. } = self;
        let mut write = |data: &[u8]| {
            *sent += data.len() as u64;
            upload::write(*chunked, data, out);
        };
        match end {
            End::Framed(body) => {
                let ours = body.decode(rd, &mut write)?;
                rd.advance(ours);
                if body.is_done() {
                    self.finish();
                }
            }
            End::Connection => {
                write(rd);
                rd.clear();
            }
        }
        Ok(())
    }

    /// The body passes as it comes.
    fn is_plain(&self) -> bool {
        matches!(self.end, End::Framed(Body::Length(_)))
    }

    /// What the client is to be sent next.
    pub(super) fn pending<'a>(&'a self, rd: &'a [u8]) -> &'a [u8] {
        match self.end {
            End::Framed(Body::Length(left)) => {
                rd.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(rd)
            }
            _ => &self.out,
        }
    }

    /// The client has taken so much of it.
    pub(super) fn took(&mut self, count: usize, rd: &mut BytesMut) {
        match &mut self.end {
            End::Framed(Body::Length(left)) => {
                rd.advance(count.min(rd.len()));
                *left = left.saturating_sub(count as u64);
                self.sent += count as u64;
                self.done = *left == 0;
            }
            _ => self.out.advance(count.min(self.out.len())),
        }
    }

    /// The last byte has been read.
    pub(super) fn finish(&mut self) {
        self.done = true;
        if self.chunked {
            self.out.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

#[cfg(test)]
mod tests;
