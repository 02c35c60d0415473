//! What the router looks at of a request.

use memchr::memchr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The header fields of a request, as far as the router asks for them.
pub trait Fields {
    /// The values of all fields of this name, in order. `name` is in lower case, with `_` for `-`;
    /// fields whose names differ in nothing but case and those two match it.
    fn values<'f>(&'f self, name: &'f [u8]) -> impl Iterator<Item = &'f [u8]>;

    /// All names, spelled in any way, with their values, in order: for whoever would have to ask
    /// for more names than a request has.
    fn each(&self) -> impl Iterator<Item = (&[u8], &[u8])>;
}

/// A byte of a field's name as routes have it.
#[inline]
pub(crate) fn folded_byte(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() }
}

/// No fields at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFields;

impl Fields for NoFields {
    fn values<'f>(&'f self, _name: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
        std::iter::empty()
    }

    fn each(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        std::iter::empty()
    }
}

/// How a request came in, in the words of the expression language's `net.protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// Over TLS.
    Https,
    /// A stream without TLS.
    Tcp,
    /// A stream over TLS.
    Tls,
    /// Datagrams.
    Udp,
}

/// A request in the router's eyes.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a, F = NoFields> {
    /// How it came in.
    pub scheme: Scheme,
    /// The method, whose case counts.
    pub method: &'a [u8],
    /// The host, without a port, in any case; empty if the request named none.
    pub host: &'a [u8],
    /// The port it was sent to, as the client says, or as it came in.
    pub port: Option<u16>,
    /// The path in normal form, without the query.
    pub path: &'a [u8],
    /// What is behind the `?`, as sent; empty if there is nothing.
    pub query: &'a [u8],
    /// The server name of the TLS handshake; none without TLS, or if the client sent none.
    pub sni: Option<&'a [u8]>,
    /// The client, behind proxies that are trusted.
    pub source: SocketAddr,
    /// Where the connection was accepted.
    pub destination: SocketAddr,
    /// The header fields.
    pub fields: &'a F,
}

impl<'a> RequestView<'a> {
    /// A request over cleartext HTTP of which no more is known than this. `host` is the
    /// `Host` header, empty where there was none; `port` is that of the listener and
    /// holds unless the client named another.
    pub fn new(host: &'a [u8], port: u16, path: &'a [u8], method: &'a [u8]) -> Self {
        let (host, port) = split_host(host, port);
        RequestView {
            scheme: Scheme::Http,
            method,
            host,
            port,
            path,
            query: b"",
            sni: None,
            source: NOWHERE,
            destination: NOWHERE,
            fields: &NoFields,
        }
    }
}

impl<'a, F> RequestView<'a, F> {
    /// The same with other header fields.
    pub fn with_fields<G>(self, fields: &'a G) -> RequestView<'a, G> {
        let RequestView {
            scheme, method, host, port, path, query, sni, source, destination, ..
        } = self;
        RequestView { scheme, method, host, port, path, query, sni, source, destination, fields }
    }
}

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Takes a `Host` apart: the host, and the port the client named or else that of the
/// listener. There is no such port if the digits are too many to be one.
///
/// Nothing is split off unless all that follows the colon is digits. Colons in the
/// brackets of an IPv6 address do not count (RFC 3986 §3.2.2), though to Kong they do.
pub fn split_host(host: &[u8], listener: u16) -> (&[u8], Option<u16>) {
    // Most have no port, and end with a letter.
    if !host.last().is_some_and(u8::is_ascii_digit) || memchr(b':', host).is_none() {
        return (host, Some(listener));
    }
    let brackets = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = host.iter().skip(brackets).position(|byte| *byte == b':');
    let Some((name, [_, digits @ ..])) = colon.map(|at| host.split_at(brackets + at)) else {
        return (host, Some(listener));
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return (host, Some(listener));
    }
    let port = digits.iter().try_fold(0u16, |number, digit| {
        number.checked_mul(10)?.checked_add(u16::from(digit.wrapping_sub(b'0')))
    });
    (name, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_come_apart_at_a_port() {
        check("a.com", "a.com", Some(80));
        check("a.com:81", "a.com", Some(81));
        check("a.com:", "a.com:", Some(80));
        check("a.com:x", "a.com:x", Some(80));
        check("a.com:65536", "a.com", None);
        check("[::1]", "[::1]", Some(80));
        check("[::1]:81", "[::1]", Some(81));
        check("", "", Some(80));
        check("]:1", "]", Some(1));
    }

    #[track_caller]
    fn check(header: &str, host: &str, port: Option<u16>) {
        assert_eq!(split_host(header.as_bytes(), 80), (host.as_bytes(), port));
    }
}
