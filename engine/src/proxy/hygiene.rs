//! What is refused or stripped before anyone looks at a request.
//!
//! [`inspect`] decides, once and for every lane, where the body ends, whether the
//! connection goes on and whom the request is for; whatever two readers could
//! understand differently is a [`Refusal`]. Afterwards the framing fields are
//! never consulted again: lanes write them from the [`Terms`].

use super::head::{Head, Known, Version};
use super::path::split_target;
use crate::door::head::{Limits, check_method, check_target};
use model::value::path::is_well_escaped;
use smallvec::SmallVec;

/// Where a request's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After this many bytes; zero when the client said so.
    Length(u64),
    /// Where the last chunk says.
    Chunked,
}

/// What was agreed by a request's head about its message and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the connection may carry another request. The door clears it when
    /// the connection's time is up; a lane that reads it as false answers
    /// `Connection: close`.
    pub keep_alive: bool,
    /// The client asks to switch to the WebSocket protocol. Nothing else is ever
    /// switched to, and only a `101` to such a request makes the stream transparent.
    pub websocket: bool,
    /// The client waits for `100 Continue` before it sends the body. The stream
    /// sends it when a lane first asks for the body.
    pub expects_continue: bool,
    /// The client understands trailers; forwarded as `TE: trailers`.
    pub te_trailers: bool,
}

impl Terms {
    /// So many bytes of a body that nobody read are read away to keep the connection.
    pub const WASTE: u64 = 64 * 1024;

    /// Whether the connection outlives a request whose body nobody reads: the door
    /// reads a little away, but a client that waits to be told to send its body may
    /// send it or its next request.
    pub fn survives_unread(&self) -> bool {
        match self.framing {
            Framing::Empty | Framing::Length(0) => true,
            _ if self.expects_continue => false,
            _ => self.survives_from(0),
        }
    }

    /// The same where so many bytes of the body have been read, and nobody reads the rest.
    pub fn survives_from(&self, read: u64) -> bool {
        match self.framing {
            Framing::Empty => true,
            Framing::Length(length) => length.saturating_sub(read) <= Terms::WASTE,
            Framing::Chunked => true, // most are short; a long one costs the connection
        }
    }
}

/// Why a request gets no further than the door. Every one closes the connection:
/// after it nobody knows where the next request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not `METHOD target HTTP/x.y`.
    #[error("malformed request line")]
    RequestLine,
    /// Upper-case letters, `-` and `_`, as nginx has it.
    #[error("malformed method")]
    Method,
    /// `TRACE` and `CONNECT`.
    #[error("method is not served")]
    MethodNotAllowed,
    /// Neither a path nor an absolute `http` or `https` URI, or with bytes no target has.
    #[error("malformed request target")]
    Target,
    /// Well formed, but neither HTTP/1.0 nor HTTP/1.1.
    #[error("HTTP version is not served")]
    Version,
    /// The request line is longer than one line may be.
    #[error("request line too long")]
    LineTooLong,
    /// One field line, or the head as a whole, is too long.
    #[error("head too large")]
    HeadTooLarge,
    /// More fields than are accepted.
    #[error("too many header fields")]
    TooManyFields,
    /// A line that ends in LF without CR.
    #[error("line ends without CR")]
    BareLineFeed,
    /// A line that continues the one above (obs-fold, RFC 9112 §5.2).
    #[error("folded header field")]
    FoldedField,
    /// A name that is no token, or is not followed at once by its colon.
    #[error("malformed header name")]
    FieldName,
    /// A control character in a value.
    #[error("malformed header value")]
    FieldValue,
    /// HTTP/1.1 wants to know whom the request is for (RFC 9112 §3.2).
    #[error("no Host")]
    HostMissing,
    /// More than one `Host`.
    #[error("more than one Host")]
    HostRepeated,
    /// A `Host`, or an authority in the target, that names no host.
    #[error("malformed Host")]
    HostMalformed,
    /// `Transfer-Encoding` beside `Content-Length` (RFC 9112 §6.1).
    #[error("both Transfer-Encoding and Content-Length")]
    LengthAndEncoding,
    /// More than one `Content-Length`, equal or not.
    #[error("more than one Content-Length")]
    LengthRepeated,
    /// A `Content-Length` that is not a number of bytes.
    #[error("malformed Content-Length")]
    LengthMalformed,
    /// More than one `Transfer-Encoding`.
    #[error("more than one Transfer-Encoding")]
    EncodingRepeated,
    /// `Transfer-Encoding` in HTTP/1.0, which does not know it (RFC 9112 §6.1).
    #[error("Transfer-Encoding in HTTP/1.0")]
    EncodingTooNew,
    /// Any coding but exactly `chunked`. nginx answers 501, so do we.
    #[error("unknown Transfer-Encoding")]
    EncodingUnknown,
    /// More connection options than anyone honest sends.
    #[error("too many connection options")]
    ConnectionOptions,
    /// A request without TLS where TLS is spoken.
    #[error("plain HTTP on a TLS port")]
    PlainOnTls,
    /// The head did not arrive in time.
    #[error("head took too long")]
    HeadTimeout,
}

impl Refusal {
    /// The status the client is told. A head that is too large is told as 400, as
    /// Kong does with nginx's internal 494.
    pub const fn status(self) -> u16 {
        match self {
            Refusal::MethodNotAllowed => 405,
            Refusal::HeadTimeout => 408,
            Refusal::LineTooLong => 414,
            Refusal::EncodingUnknown => 501,
            Refusal::Version => 505,
            _ => 400,
        }
    }

    /// What the client is told. Why exactly it was refused goes to the log only.
    pub const fn message(self) -> &'static str {
        match self {
            Refusal::MethodNotAllowed => "Method not allowed",
            Refusal::HeadTimeout => "Request timeout",
            Refusal::LineTooLong => "URI too long",
            Refusal::HeadTooLarge | Refusal::TooManyFields => "Request header or cookie too large",
            Refusal::EncodingUnknown => "Transfer encoding not implemented",
            Refusal::Version => "HTTP version not supported",
            _ => "Bad request",
        }
    }
}

/// What came of a request that is refused.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// All of its head: what is wrong is what it means.
    Head(&'a Head),
    /// No head, but this much of its request line; not more than a line may have.
    Line(&'a [u8]),
}

impl<'a> Said<'a> {
    /// The head, if it could be read.
    pub fn head(self) -> Option<&'a Head> {
        match self {
            Said::Head(head) => Some(head),
            Said::Line(_) => None,
        }
    }

    /// Whether the answer must have no body.
    pub fn is_head(self) -> bool {
        match self {
            Said::Head(head) => head.method() == b"HEAD",
            Said::Line(line) => line.starts_with(b"HEAD "),
        }
    }
}

/// Decides the terms of an HTTP/1 request and leaves in `head` only what may be
/// believed and forwarded: one `Host`, a target in origin-form, no hop-by-hop
/// fields but the framing ones, which lanes do not copy.
pub fn inspect(head: &mut Head) -> Result<Terms, Refusal> {
    refuse_method(head.method())?;
    whom_for(head)?;
    // nginx refuses these, too: whoever decodes such a path next may read another one.
    if !is_well_escaped(split_target(head.target()).0) {
        return Err(Refusal::Target);
    }
    let framing = framing(head)?;
    let options = Options::of(head)?;
    let old = head.version() == Version::Http10;
    let terms = Terms {
        framing,
        keep_alive: !options.close && (options.keep_alive || !old),
        websocket: !old && options.upgrade && asks_websocket(head, framing),
        expects_continue: !old && is(head.get(Known::Expect), b"100-continue"),
        te_trailers: head.get_all(Known::Te).flat_map(list).any(accepts_trailers),
    };
    strip(head, &options);
    Ok(terms)
}

/// The same for an HTTP/2 request, whose head was read by a library: what that is more lenient
/// in than we are is refused here. `empty`: no body follows.
pub(crate) fn inspect_http2(
    head: &mut Head,
    limits: Limits,
    empty: bool,
) -> Result<Terms, Refusal> {
    check_method(head.method())?;
    refuse_method(head.method())?;
    check_size(head, limits)?;
    check_target(head.target())?;
    whom_for(head)?;
    if !is_well_escaped(split_target(head.target()).0) {
        return Err(Refusal::Target);
    }
    let framing = match framing(head)? {
        Framing::Empty if !empty => Framing::Chunked, // it ends where its stream does
        framing => framing,
    };
    let te_trailers = head.get_all(Known::Te).flat_map(list).any(accepts_trailers);
    let terms =
        Terms { framing, keep_alive: true, websocket: false, expects_continue: false, te_trailers };
    strip_hop_by_hop(head);
    Ok(terms)
}

/// The same as far as a method, a target and a host tell it by themselves, for who explains what
/// becomes of a request. An empty host is none, which is not refused here.
pub(crate) fn inspect_parts(method: &[u8], target: &[u8], host: &[u8]) -> Result<(), Refusal> {
    refuse_method(method)?;
    if !host.is_empty() && !is_authority(host) {
        return Err(Refusal::HostMalformed);
    }
    if is_well_escaped(split_target(target).0) { Ok(()) } else { Err(Refusal::Target) }
}

/// What asks the gateway itself for something that it does not do.
fn refuse_method(method: &[u8]) -> Result<(), Refusal> {
    match method {
        b"TRACE" | b"CONNECT" => Err(Refusal::MethodNotAllowed),
        _ => Ok(()),
    }
}

/// As large as it would be over HTTP/1.
fn check_size(head: &Head, limits: Limits) -> Result<(), Refusal> {
    let line = head.method().len() + head.target().len() + " HTTP/1.1\r\n".len() + 1;
    if line > limits.line {
        return Err(Refusal::LineTooLong);
    }
    let (mut whole, mut count) = (line, 0);
    for (name, value) in head.iter() {
        let line = name.as_bytes().len() + value.len() + ": \r\n".len();
        whole += line;
        count += 1;
        if line > limits.line || whole > limits.head {
            return Err(Refusal::HeadTooLarge);
        }
    }
    if count > limits.fields { Err(Refusal::TooManyFields) } else { Ok(()) }
}

/// Removes the hop-by-hop fields of a message that has no framing of ours: a
/// response from an upstream, an HTTP/2 request. `Connection` itself and the
/// framing fields stay for the lane, which does not copy them.
pub fn strip_hop_by_hop<L>(head: &mut Head<L>) {
    match Options::of(head) {
        Ok(options) => strip(head, &options),
        // More names than anyone honest sends: none of them is taken at its word.
        Err(_) => strip(head, &Options::default()),
    }
}

/// One `Host`, from the target if that names one (RFC 9112 §3.2.2).
fn whom_for(head: &mut Head) -> Result<(), Refusal> {
    let mut hosts = head.get_all(Known::Host);
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return Err(Refusal::HostRepeated);
    }
    match host {
        None if head.version() == Version::Http10 => {}
        None => return Err(Refusal::HostMissing),
        Some(host) if !is_authority(host) => return Err(Refusal::HostMalformed),
        Some(_) => {}
    }
    drop(hosts);
    if head.target().starts_with(b"/") {
        return Ok(());
    }
    let (authority, target) = absolute(head.target())?;
    head.set_target(&target);
    head.set(Known::Host, &authority);
    Ok(())
}

type Bytes = SmallVec<[u8; 256]>;

/// Splits an absolute-form target into its authority and its origin-form.
fn absolute(target: &[u8]) -> Result<(Bytes, Bytes), Refusal> {
    let rest = [&b"http://"[..], b"https://"]
        .iter()
        .find_map(|scheme| {
            let (found, rest) = target.split_at_checked(scheme.len())?;
            found.eq_ignore_ascii_case(scheme).then_some(rest)
        })
        .ok_or(Refusal::Target)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if !is_authority(authority) {
        return Err(Refusal::HostMalformed);
    }
    let mut target = Bytes::new();
    if !tail.starts_with(b"/") {
        target.push(b'/');
    }
    target.extend_from_slice(tail);
    Ok((Bytes::from_slice(authority), target))
}

/// A host with or without a port: what RFC 3986 §3.2.2 allows and nothing else, so
/// no user information, no white space and no slash of either kind.
fn is_authority(text: &[u8]) -> bool {
    let fits = |&byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b':' | b'[' | b']')
            || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=')
    };
    !text.is_empty() && !text.starts_with(b":") && text.iter().all(fits)
}

fn framing(head: &Head) -> Result<Framing, Refusal> {
    let one = |known, repeated| {
        let mut values = head.get_all(known);
        let value = values.next();
        if values.next().is_some() { Err(repeated) } else { Ok(value) }
    };
    let length = one(Known::ContentLength, Refusal::LengthRepeated)?;
    let encoding = one(Known::TransferEncoding, Refusal::EncodingRepeated)?;
    match (length, encoding) {
        (None, None) => Ok(Framing::Empty),
        (Some(_), Some(_)) => Err(Refusal::LengthAndEncoding),
        (Some(length), None) => length_of(length).map(Framing::Length),
        (None, Some(_)) if head.version() == Version::Http10 => Err(Refusal::EncodingTooNew),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, Some(_)) => Err(Refusal::EncodingUnknown),
    }
}

/// Digits only (RFC 9110 §8.6): no sign, no list, no white space inside.
pub(crate) fn length_of(text: &[u8]) -> Result<u64, Refusal> {
    // 18 digits cannot overflow and are more than any body.
    if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::LengthMalformed);
    }
    Ok(text.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

/// RFC 6455 §4.1: a GET that says so in `Upgrade`; `Connection` was looked at
/// already. With a body it would be unclear which bytes are of the new protocol.
fn asks_websocket(head: &Head, framing: Framing) -> bool {
    matches!(framing, Framing::Empty | Framing::Length(0))
        && head.method() == b"GET"
        && is(head.get(Known::Upgrade), b"websocket")
}

/// One element of `TE`, weighted or not (RFC 9110 §10.1.4).
fn accepts_trailers(coding: &[u8]) -> bool {
    is(coding.split(|&byte| byte == b';').next().map(<[u8]>::trim_ascii), b"trailers")
}

/// What `Connection` lists.
#[derive(Debug, Default)]
struct Options {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    /// Names of fields that are for this hop only.
    nominated: SmallVec<[Bytes; 0]>,
}

impl Options {
    /// Each name costs a walk over the fields, so their number is bounded.
    const MOST_NOMINATED: usize = 32;

    fn of<L>(head: &Head<L>) -> Result<Options, Refusal> {
        let mut options = Options::default();
        for option in head.get_all(Known::Connection).flat_map(list) {
            match Known::of(option) {
                Some(Known::Upgrade) => options.upgrade = true,
                Some(Known::KeepAlive) => options.keep_alive = true,
                // Not for a peer to take away: whom a message is for and where it ends.
                Some(Known::Host) => {}
                Some(known) if known.is_framing() => {}
                _ if option.eq_ignore_ascii_case(b"close") => options.close = true,
                _ if options.nominated.len() == Options::MOST_NOMINATED => {
                    return Err(Refusal::ConnectionOptions);
                }
                _ => options.nominated.push(Bytes::from_slice(option)),
            }
        }
        Ok(options)
    }
}

/// Removed before anything reads the head, so that plugins and the upstream see
/// the same fields (RFC 9110 §7.6.1). `Proxy` is no field of HTTP: programs that
/// turn fields into environment variables take it for `HTTP_PROXY`.
fn strip<L>(head: &mut Head<L>, options: &Options) {
    head.remove(Known::Proxy);
    head.remove(Known::ProxyConnection);
    head.remove(Known::KeepAlive);
    for name in &options.nominated {
        head.remove(name.as_slice());
    }
}

/// The elements of a comma-separated value, trimmed, empty ones left out.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

fn is(value: Option<&[u8]>, expected: &[u8]) -> bool {
    value.is_some_and(|value| value.eq_ignore_ascii_case(expected))
}
