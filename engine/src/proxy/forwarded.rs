//! Where a request really comes from, and what the upstream is told about it.
//!
//! A peer in `trusted_ips` is believed; anyone else is taken for the client, and
//! what it says of itself is overwritten. `X-Forwarded-For` alone is continued
//! whoever speaks, since it names every hop.

use super::exchange::{Client, Exchange};
use super::head::{Head, Known};
use super::printed::Printed;
use super::{Text, path};
use crate::options::{Forwarding, RealIp};
use model::value::client_address;
use smallvec::SmallVec;
use std::net::SocketAddr;

/// Where the client is: the peer, or what a trusted peer tells.
pub(crate) fn source(client: &Client, head: &Head) -> SocketAddr {
    let forwarding = &client.station.options.forwarding;
    if !client.trusted {
        return client.peer;
    }
    match &forwarding.real_ip {
        RealIp::ProxyProtocol => client.relayed_from.unwrap_or(client.peer),
        RealIp::Header(name) => told_in(forwarding, client.peer, name, head),
    }
}

/// As nginx reads it: the last of `X-Forwarded-For`, the first of another header; from its right
/// end, one address, or further as long as what was found is trusted; up to what is no address.
fn told_in(forwarding: &Forwarding, peer: SocketAddr, name: &str, head: &Head) -> SocketAddr {
    let fields: SmallVec<[&[u8]; 4]> = if name.eq_ignore_ascii_case("x-forwarded-for") {
        head.get_all_named(name).collect()
    } else {
        head.get_all_named(name).take(1).collect()
    };
    let mut found = peer;
    // Without recursion only the last field counts, even if it says nothing.
    let most = if forwarding.recursive { usize::MAX } else { 1 };
    for field in fields.iter().rev().take(most) {
        let entries = field.rsplit(|byte| matches!(byte, b',' | b' '));
        for entry in entries.filter(|entry| !entry.is_empty()).take(most) {
            match address(entry) {
                Some(address) if forwarding.trusts(found.ip()) => found = address,
                _ => return found,
            }
        }
    }
    found
}

/// An address, with or without a port; an IPv6 address with a port, or without, in brackets.
fn address(text: &[u8]) -> Option<SocketAddr> {
    std::str::from_utf8(text).ok().and_then(client_address)
}

/// The scheme the client uses, as far as known.
pub(crate) fn scheme(exchange: &Exchange) -> &[u8] {
    told(exchange, Known::XForwardedProto).unwrap_or(exchange.client().scheme().as_bytes())
}

/// The host the client asked for: lower case, without its port.
pub(crate) fn host(exchange: &Exchange) -> Text {
    let told = told(exchange, Known::XForwardedHost);
    told.map_or_else(|| own_host(exchange.head()), Text::from_slice)
}

/// What a trusted peer says in this field.
fn told(exchange: &Exchange, known: Known) -> Option<&[u8]> {
    exchange.client().trusted.then(|| exchange.head().get(known)).flatten()
}

fn own_host(head: &Head) -> Text {
    let host = host_name(head.get(Known::Host).unwrap_or_default());
    let mut host = Text::from_slice(host.strip_suffix(b".").unwrap_or(host));
    host.make_ascii_lowercase();
    host
}

/// A `Host` value without its port. An IPv6 literal keeps its brackets.
pub(crate) fn host_name(host: &[u8]) -> &[u8] {
    let end = if host.starts_with(b"[") {
        host.iter().position(|&byte| byte == b']').map(|at| at + 1)
    } else {
        host.iter().position(|&byte| byte == b':')
    };
    end.and_then(|end| host.get(..end)).unwrap_or(host)
}

/// Writes the `X-Forwarded-*` fields and `X-Real-IP`. `target` is what the client
/// asked for, `prefix` what its route takes off.
pub(crate) fn write(exchange: &mut Exchange, target: &[u8], prefix: Option<&[u8]>) {
    let client = exchange.client().clone();
    let mut printed = Printed::new();
    let client_ip = match exchange.client_ip() {
        told if told != client.peer.ip() => printed.print(told),
        _ => &client.address,
    };
    let head = exchange.head_mut();

    match head.get(Known::XForwardedFor).filter(|before| !before.is_empty()) {
        Some(before) => {
            let mut hops = Text::from_slice(before);
            hops.extend_from_slice(b", ");
            hops.extend_from_slice(&client.address);
            head.set(Known::XForwardedFor, &hops);
        }
        None => head.set(Known::XForwardedFor, client_ip),
    }
    head.set(Known::XRealIp, client_ip);

    if !stands(&client, head, Known::XForwardedProto) {
        head.set(Known::XForwardedProto, client.scheme().as_bytes());
    }
    if !stands(&client, head, Known::XForwardedHost) {
        match own_host(head) {
            host if host.is_empty() => head.remove(Known::XForwardedHost),
            host => head.set(Known::XForwardedHost, &host),
        }
    }
    if !stands(&client, head, Known::XForwardedPort) {
        head.set(Known::XForwardedPort, Printed::new().number(client.port));
    }
    if !stands(&client, head, Known::XForwardedPath) {
        head.set(Known::XForwardedPath, path::split_target(target).0);
    }
    if !stands(&client, head, Known::XForwardedPrefix) {
        match prefix.filter(|prefix| *prefix != b"/" && !prefix.is_empty()) {
            Some(prefix) => head.set(Known::XForwardedPrefix, prefix),
            None => head.remove(Known::XForwardedPrefix),
        }
    }
}

/// Whether a trusted peer says this itself. Of several words the first stands; an
/// empty one is not passed on.
fn stands(client: &Client, head: &mut Head, known: Known) -> bool {
    if !client.trusted {
        return false;
    }
    let mut told = head.get_all(known);
    let (Some(first), repeated) = (told.next(), told.next().is_some()) else { return false };
    if first.is_empty() {
        drop(told);
        head.remove(known);
    } else if repeated {
        let first = Text::from_slice(first);
        drop(told);
        head.set(known, &first);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::head::Version;

    #[test]
    fn a_host_comes_apart_at_its_port() {
        for (host, name) in [
            ("a.com", "a.com"),
            ("a.com:81", "a.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("[::1", "[::1"),
            ("", ""),
        ] {
            assert_eq!(host_name(host.as_bytes()), name.as_bytes(), "{host}");
        }
    }

    /// The peer is 10.0.0.9; 10.0.0.0/8 and ::1 are trusted.
    #[track_caller]
    fn told(header: &str, recursive: bool, fields: &[&str], expected: &str) {
        let forwarding = Forwarding {
            trusted: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            real_ip: RealIp::Header(header.to_owned()),
            recursive,
        };
        let fields = fields.iter().map(|value| (header.as_bytes(), value.as_bytes()));
        let head = Head::request(b"GET", b"/", Version::Http11, fields);
        let peer = "10.0.0.9:999".parse().unwrap();
        let found = told_in(&forwarding, peer, header, &head);
        assert_eq!(found, expected.parse().unwrap());
    }

    #[test]
    fn a_header_is_read_from_the_right() {
        let peer = "10.0.0.9:999";
        for (recursive, fields, expected) in [
            (false, &["1.1.1.1"][..], "1.1.1.1:0"),
            (false, &["1.1.1.1, 2.2.2.2"], "2.2.2.2:0"),
            (false, &["1.1.1.1,2.2.2.2:80"], "2.2.2.2:80"),
            (false, &["1.1.1.1 2.2.2.2 , "], "2.2.2.2:0"),
            (false, &["1.1.1.1, [2001:db8::1]:80"], "[2001:db8::1]:80"),
            (false, &["1.1.1.1, 10.0.0.1"], "10.0.0.1:0"),
            (false, &["garbage, 2.2.2.2"], "2.2.2.2:0"),
            (false, &["1.1.1.1, garbage"], peer),
            (false, &["1.1.1.1", "2.2.2.2"], "2.2.2.2:0"),
            (false, &["1.1.1.1", "garbage"], peer),
            (false, &["1.1.1.1", ""], peer),
            (false, &[""], peer),
            (false, &[], peer),
            (true, &["1.1.1.1, 2.2.2.2"], "2.2.2.2:0"),
            (true, &["1.1.1.1, 10.0.0.1"], "1.1.1.1:0"),
            (true, &["1.1.1.1, 10.0.0.1, ::1, 10.0.0.2:5"], "1.1.1.1:0"),
            (true, &["1.1.1.1, 2.2.2.2, 10.0.0.1"], "2.2.2.2:0"),
            (true, &["10.0.0.1, 10.0.0.2"], "10.0.0.1:0"),
            (true, &["1.1.1.1, garbage, 10.0.0.1"], "10.0.0.1:0"),
            (true, &["1.1.1.1, garbage"], peer),
            (true, &["1.1.1.1", "10.0.0.1"], "1.1.1.1:0"),
            (true, &["1.1.1.1, 10.0.0.3", "10.0.0.1, 10.0.0.2"], "1.1.1.1:0"),
            (true, &["1.1.1.1", "garbage, 10.0.0.2"], "10.0.0.2:0"),
        ] {
            told("X-Forwarded-For", recursive, fields, expected);
        }
    }

    #[test]
    fn of_any_other_header_the_first_counts() {
        for recursive in [false, true] {
            told("X-Real-IP", recursive, &["1.1.1.1", "2.2.2.2"], "1.1.1.1:0");
            told("CF-Connecting-IP", recursive, &["1.1.1.1"], "1.1.1.1:0");
            told("X-Client", recursive, &["nonsense", "2.2.2.2"], "10.0.0.9:999");
        }
        told("X-Client", true, &["1.1.1.1, 10.0.0.1"], "1.1.1.1:0");
        told("X-Client", true, &["10.0.0.1", "2.2.2.2"], "10.0.0.1:0");
    }
}
