//! Where a request really comes from, and what the upstream is told about it.
//!
//! A peer in `trusted_ips` is believed; anyone else is taken for the client, and
//! what it says of itself is overwritten. `X-Forwarded-For` alone is continued
//! whoever speaks, since it names every hop.

use super::exchange::{Client, Exchange};
use super::head::{Head, Known};
use super::printed::Printed;
use super::{Text, path};
use std::net::{IpAddr, SocketAddr};

/// The client's address: the peer's, or the one a trusted peer tells.
pub(crate) fn client_ip(client: &Client, head: &Head) -> IpAddr {
    let peer = client.peer.ip();
    if !client.trusted {
        return peer;
    }
    let forwarding = &client.station.options.forwarding;
    let told: Vec<IpAddr> = head
        .get_all_named(&forwarding.real_ip_header)
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map_while(|text| address(text.trim_ascii()))
        .collect();
    if !forwarding.recursive {
        return told.last().copied().unwrap_or(peer);
    }
    // The nearest address that is not one of ours, else the farthest of ours.
    let stranger = told.iter().rev().copied().find(|ip| !forwarding.trusts(*ip));
    stranger.or_else(|| told.first().copied()).unwrap_or(peer)
}

/// With or without a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().map(|addr| addr.ip());
    bare.parse().or_else(|_| with_port()).ok()
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
    let client_ip = exchange.client_ip();
    let head = exchange.head_mut();

    let mut printed = Printed::new();
    match head.get(Known::XForwardedFor).filter(|before| !before.is_empty()) {
        Some(before) => {
            let mut hops = Text::from_slice(before);
            hops.extend_from_slice(b", ");
            hops.extend_from_slice(printed.print(client.peer.ip()));
            head.set(Known::XForwardedFor, &hops);
        }
        None => head.set(Known::XForwardedFor, printed.print(client_ip)),
    }
    head.set(Known::XRealIp, printed.print(client_ip));

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
        head.set(Known::XForwardedPort, printed.print(client.port));
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

    #[test]
    fn addresses_come_with_and_without_ports() {
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("10.0.0.1:80", Some("10.0.0.1")),
            ("::1", Some("::1")),
            ("[::1]", Some("::1")),
            ("[::1]:80", Some("::1")),
            ("unknown", None),
        ] {
            let expected = expected.map(|ip| ip.parse().unwrap());
            assert_eq!(address(text.as_bytes()), expected, "{text}");
        }
    }
}
