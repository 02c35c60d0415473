//! Reads a request's head strictly, and writes it back.
//!
//! A [`Parser`] is shown the buffer each time more has arrived. It looks at every
//! byte once, keeps only places in the buffer, and ends with a [`Head`] or a
//! [`Refusal`]: what RFC 9112 leaves to a recipient's leniency is refused, so no
//! reader behind us can understand the bytes differently. [`write()`] is its inverse, and
//! [`write_frame`] as much of it as frames a message: a head leaves the door in no other form.
//! What the fields mean for the message is [`hygiene`](crate::proxy::hygiene)'s to say.

use crate::proxy::head::{
    Fields, Head, Known, RequestLine, ResponseHead, Span, Version, is_field_value, is_token,
};
use crate::proxy::hygiene::{Framing, Refusal, Terms};
use crate::proxy::printed::Printed;
use bytes::{BufMut, BytesMut};
use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// What an HTTP/2 client with prior knowledge says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one line, its CRLF included.
    pub line: usize,
    /// Bytes of the whole head.
    pub head: usize,
    /// Number of fields. Pingora, which reads the head again, stops at 256.
    pub fields: usize,
}

impl Default for Limits {
    /// Kong's: nginx's four buffers of 8 KiB, none of which a line may exceed.
    fn default() -> Limits {
        Limits { line: 8 * 1024, head: 32 * 1024, fields: 200 }
    }
}

/// How far a [`Parser`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The head goes on.
    More,
    /// The first this many bytes are the head: give them to [`Parser::finish`].
    Complete(usize),
    /// The client speaks HTTP/2 from here on. Nothing was consumed.
    Preface,
}

/// A head being read.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    /// Where the line begins that is not complete yet.
    line: usize,
    /// Up to here the buffer holds no further line end.
    scanned: usize,
    start: Option<RequestLine>,
    fields: Fields,
}

impl Parser {
    /// One that has seen nothing yet.
    pub fn new(limits: Limits) -> Parser {
        Parser { limits, line: 0, scanned: 0, start: None, fields: Fields::new() }
    }

    /// Whether nothing of a request has been seen. The empty line that some clients
    /// send after a body does not count (RFC 9112 §2.2).
    pub fn is_untouched(&self, buffer: &[u8]) -> bool {
        self.start.is_none() && buffer.len() <= self.line
    }

    /// Reads on. `buffer` holds what it held the last time, and whatever came since.
    pub fn advance(&mut self, buffer: &[u8]) -> Result<Progress, Refusal> {
        if self.start.is_none() && is_preface(buffer) {
            let whole = buffer.len() >= PREFACE.len();
            return Ok(if whole { Progress::Preface } else { Progress::More });
        }
        // A TLS hello, say, has no lines: waiting for one to end would be waiting for nothing.
        let begins = |&byte: &u8| is_method_byte(byte) || matches!(byte, b'\r' | b'\n' | b' ');
        if self.start.is_none() && !buffer.get(self.line).is_none_or(begins) {
            return Err(Refusal::Method);
        }
        while let Some(end) = memchr(b'\n', buffer.get(self.scanned..).unwrap_or_default()) {
            let end = self.scanned + end + 1;
            self.check_size(end)?;
            let line = buffer.get(self.line..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r\n").ok_or(Refusal::BareLineFeed)?;
            let at = self.line;
            (self.line, self.scanned) = (end, end);
            match self.start {
                // One empty line before the request is tolerated, no more.
                None if line.is_empty() && at == 0 => {}
                None => self.start = Some(request_line(at, line)?),
                Some(_) if line.is_empty() => return Ok(Progress::Complete(end)),
                Some(_) => self.field(at, line)?,
            }
        }
        self.scanned = buffer.len();
        self.check_size(buffer.len())?;
        Ok(Progress::More)
    }

    /// The head that [`Parser::advance`] found complete; `text` is exactly its bytes.
    /// `None` if it was not complete. Boxed, because from here on it is handed from one
    /// to the next, and a connection should not keep room for one while it has none.
    pub fn finish(self, text: BytesMut) -> Option<Box<Head>> {
        self.start.map(|line| Box::new(Head::parsed(text, line, self.fields)))
    }

    /// The line that began at `self.line` goes up to `end`, or further.
    fn check_size(&self, end: usize) -> Result<(), Refusal> {
        if end - self.line > self.limits.line {
            return Err(match self.start {
                None => Refusal::LineTooLong,
                Some(_) => Refusal::HeadTooLarge,
            });
        }
        if end > self.limits.head { Err(Refusal::HeadTooLarge) } else { Ok(()) }
    }

    /// `name: value`, at `at` in the buffer.
    fn field(&mut self, at: usize, line: &[u8]) -> Result<(), Refusal> {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(Refusal::FoldedField);
        }
        let colon = memchr(b':', line).ok_or(Refusal::FieldName)?;
        let (name, value) = line.split_at(colon);
        if !is_token(name) {
            return Err(Refusal::FieldName);
        }
        if !is_field_value(value) {
            return Err(Refusal::FieldValue);
        }
        if self.fields.len() == self.limits.fields {
            return Err(Refusal::TooManyFields);
        }
        let value = value.get(1..).unwrap_or_default();
        let after = value.trim_ascii_start();
        let from = at + line.len() - after.len();
        let value = Span::new(from, from + after.trim_ascii_end().len());
        self.fields.push(Known::of(name), Span::new(at, at + colon), value);
        Ok(())
    }
}

/// What a buffer that begins with a head holds of its request line, the line's end
/// excluded: to be named when it cannot be read. At most `limit` bytes.
pub fn begun_line(buffer: &[u8], limit: usize) -> &[u8] {
    // The same empty line that the parser tolerates.
    let line = buffer.strip_prefix(b"\r\n").unwrap_or(buffer);
    let line = line.get(..limit).unwrap_or(line);
    let end = memchr2(b'\r', b'\n', line);
    end.and_then(|end| line.get(..end)).unwrap_or(line)
}

/// Whether what has come could be, or is, an HTTP/2 preface. `PRI` is no method of
/// HTTP/1.1, so waiting for the rest keeps nobody waiting.
fn is_preface(buffer: &[u8]) -> bool {
    let len = buffer.len().min(PREFACE.len());
    len > 0 && buffer.get(..len) == PREFACE.get(..len)
}

/// `method target version`, single spaces between, at `at` in the buffer.
fn request_line(at: usize, line: &[u8]) -> Result<RequestLine, Refusal> {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::RequestLine);
    };
    check_method(method)?;
    let version = version_of(version)?;
    check_target(target)?;
    let from = at + method.len() + 1;
    let target = Span::new(from, from + target.len());
    Ok(RequestLine {
        method: Span::new(at, at + method.len()),
        raw_target: target,
        target,
        version,
    })
}

/// nginx takes upper-case letters, `-` and `_`, and Kong with it.
fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')
}

pub(crate) fn check_method(method: &[u8]) -> Result<(), Refusal> {
    let fits = !method.is_empty() && method.iter().copied().all(is_method_byte);
    fits.then_some(()).ok_or(Refusal::Method)
}

fn version_of(text: &[u8]) -> Result<Version, Refusal> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Refusal::Version)
        }
        _ => Err(Refusal::RequestLine),
    }
}

/// Origin-form or absolute-form; which authority the latter may name is looked at
/// later. No fragment, which has no place in a target, and no `*`, which only asks
/// the gateway about itself.
pub(crate) fn check_target(target: &[u8]) -> Result<(), Refusal> {
    let bad = |&byte: &u8| byte <= b' ' || byte == 0x7f || byte == b'#';
    let begins = target.first().is_some_and(|&byte| byte == b'/' || byte.is_ascii_alphabetic());
    if !begins || target.iter().any(bad) { Err(Refusal::Target) } else { Ok(()) }
}

/// Writes a head in the one form that reads the same to everyone: single spaces,
/// CRLF, every live field once and in order, and the framing fields not as received
/// but as the terms say. Whoever reads this cannot come to other terms.
///
/// A target with bytes that are not UTF-8 has them percent-encoded: Pingora, which
/// reads this next, would refuse it.
pub fn write(head: &Head, terms: &Terms, out: &mut BytesMut) {
    out.reserve(head.wire().len() + 128);
    out.put_slice(head.method());
    out.put_u8(b' ');
    out.put_slice(&readable(head.target()));
    write_version(head, out);
    for (name, value) in head.iter() {
        if !name.known().is_some_and(Known::is_framing) {
            write_field(name.as_bytes(), value, out);
        }
    }
    write_terms(terms, out);
    out.put_slice(b"\r\n");
}

/// Writes a head that says no more than the method, the version and the terms: where the message
/// ends and how its connection goes on. For who reads heads to find just that, and has the rest
/// from `head` itself. Its target is `/`.
pub fn write_frame(head: &Head, terms: &Terms, out: &mut BytesMut) {
    out.reserve(128);
    out.put_slice(head.method());
    out.put_slice(b" /");
    write_version(head, out);
    write_terms(terms, out);
    out.put_slice(b"\r\n");
}

/// Writes the head of a request as it goes upstream over HTTP/1.1: as [`write()`] does, but for a
/// connection that stays unless it becomes a tunnel.
pub(crate) fn write_upstream(head: &Head, terms: &Terms, out: &mut BytesMut) {
    out.reserve(head.wire().len() + 512);
    out.put_slice(head.method());
    out.put_u8(b' ');
    out.put_slice(&readable(head.target()));
    out.put_slice(b" HTTP/1.1\r\n");
    for (name, value) in head.iter() {
        if !name.known().is_some_and(Known::is_framing) {
            write_field(name.as_bytes(), value, out);
        }
    }
    write_framing(terms, out);
    let connection: &[u8] = if terms.websocket { b"keep-alive, Upgrade" } else { b"keep-alive" };
    write_field(b"Connection", connection, out);
    write_wishes(terms, out);
    out.put_slice(b"\r\n");
}

/// Writes the head of a response as it goes to an HTTP/1 client, with every field it has: those of
/// framing and of the connection, too, must have been settled.
pub(crate) fn write_answer(head: &ResponseHead, out: &mut BytesMut) {
    out.reserve(head.wire().len() + 512);
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(Printed::new().number(head.status()));
    out.put_u8(b' ');
    out.put_slice(head.reason());
    out.put_slice(b"\r\n");
    for (name, value) in head.iter() {
        write_field(name.as_bytes(), value, out);
    }
    out.put_slice(b"\r\n");
}

fn write_version(head: &Head, out: &mut BytesMut) {
    out.put_u8(b' ');
    out.put_slice(head.version().as_str().as_bytes());
    out.put_slice(b"\r\n");
}

/// A target that is text: bytes that are not are percent-encoded.
pub(crate) fn readable(target: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(target).is_ok() {
        return Cow::Borrowed(target);
    }
    let encoded = target.iter().map(|&byte| match byte.is_ascii() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    Cow::Owned(encoded.collect::<String>().into_bytes())
}

fn write_terms(terms: &Terms, out: &mut BytesMut) {
    write_framing(terms, out);
    let connection: &[u8] = match terms {
        Terms { websocket: true, .. } => b"Upgrade",
        Terms { keep_alive: true, .. } => b"keep-alive",
        _ => b"close",
    };
    write_field(b"Connection", connection, out);
    write_wishes(terms, out);
}

fn write_framing(terms: &Terms, out: &mut BytesMut) {
    match terms.framing {
        Framing::Empty => {}
        Framing::Length(length) => {
            write_field(b"Content-Length", Printed::new().number(length), out);
        }
        Framing::Chunked => write_field(b"Transfer-Encoding", b"chunked", out),
    }
}

fn write_wishes(terms: &Terms, out: &mut BytesMut) {
    if terms.websocket {
        write_field(b"Upgrade", b"websocket", out);
    }
    if terms.te_trailers {
        write_field(b"TE", b"trailers", out);
    }
}

fn write_field(name: &[u8], value: &[u8], out: &mut BytesMut) {
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
