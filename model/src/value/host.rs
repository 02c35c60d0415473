//! Host names: of services, in routes (with wildcards and ports), and in SNI.

use std::net::Ipv6Addr;

use super::address::ipv4;
use crate::schema::{Invalid, Rule};

/// The longest host name, without the dot that may end it (RFC 1035 §2.3.4: 255 bytes on the wire).
const MAX_NAME_BYTES: usize = 253;

text! {
    /// An IPv4 address, an IPv6 address (brackets allowed) or a host name; no port.
    Host, admit_host
}

text! {
    /// What a route's `hosts` matches: a name or address, `*.` and a name, or a
    /// name and `.*`; the first two may carry a port.
    HostPattern, admit_pattern
}

text! {
    /// What a route's `snis` or an SNI matches: a host name, or one with `*` as
    /// its first or last character.
    SniPattern, admit_sni
}

text! {
    /// What services call an upstream as their host: a host name, no address and no port.
    UpstreamName, admit_upstream, Rule::LenMax(MAX_NAME_BYTES + 1)
}

text! {
    /// A host name or an address, and a port if need be.
    HostAndPort, admit_with_port
}

/// A pattern taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostMatch<'a> {
    /// This name and no other.
    Exact(&'a str),
    /// Names that end so; starts with a dot for `*.example.com`.
    Suffix(&'a str),
    /// Names that start so; ends with a dot for `example.*`.
    Prefix(&'a str),
}

impl HostPattern {
    /// What it matches, and the port it demands.
    pub fn parts(&self) -> (HostMatch<'_>, Option<u16>) {
        let (name, port) = split_port(&self.0);
        (HostMatch::of(name), port.and_then(|port| port.parse().ok()))
    }
}

impl SniPattern {
    /// What it matches.
    pub fn matches(&self) -> HostMatch<'_> {
        HostMatch::of(&self.0)
    }
}

impl<'a> HostMatch<'a> {
    fn of(pattern: &'a str) -> Self {
        match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(suffix), _) => HostMatch::Suffix(suffix),
            (None, Some(prefix)) => HostMatch::Prefix(prefix),
            (None, None) => HostMatch::Exact(pattern),
        }
    }
}

/// What sort of host a text names, and the port behind it.
#[derive(Debug, PartialEq)]
struct Parsed<'a> {
    is_ip: bool,
    port: Option<&'a str>,
}

/// Why a text names no host.
#[derive(Debug, PartialEq)]
enum Refusal {
    Ipv4,
    Ipv6,
    Name,
    Port,
}

/// Kong's order of guesses: two colons make an IPv6 address, nothing but digits
/// and dots an IPv4 address, the rest is a name.
fn parse(text: &str) -> Result<Parsed<'_>, Refusal> {
    if text.bytes().filter(|b| *b == b':').count() > 1 {
        return parse_ipv6(text);
    }
    let (host, port) = split_port(text);
    let is_ip = text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b':');
    match is_ip {
        true if ipv4(host).is_none() => return Err(Refusal::Ipv4),
        false if !is_name(host) => return Err(Refusal::Name),
        _ => {}
    }
    checked_port(port)?;
    Ok(Parsed { is_ip, port })
}

fn parse_ipv6(text: &str) -> Result<Parsed<'_>, Refusal> {
    let (address, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, Some(rest.strip_prefix(':').ok_or(Refusal::Ipv6)?)),
        None => (text, None),
    };
    address.parse::<Ipv6Addr>().map_err(|_| Refusal::Ipv6)?;
    checked_port(port)?;
    Ok(Parsed { is_ip: true, port })
}

/// The text before and after a colon with nothing but digits behind it. The colons of
/// an IPv6 address count only behind its brackets.
pub(super) fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, None),
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            (host, Some(port))
        }
        _ => (text, None),
    }
}

fn checked_port(port: Option<&str>) -> Result<(), Refusal> {
    match port.map(str::parse::<u16>) {
        Some(Err(_)) => Err(Refusal::Port),
        _ => Ok(()),
    }
}

/// Letters, digits, `-`, `.` and `_`; no label is empty or ends in `-`, but a
/// dot may end the whole.
fn is_name(text: &str) -> bool {
    let labels = text.strip_suffix('.').unwrap_or(text);
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && labels.split('.').all(|label| !label.is_empty() && !label.ends_with('-'))
}

fn check_length(name: &str) -> Result<(), Invalid> {
    if name.strip_suffix('.').unwrap_or(name).len() > MAX_NAME_BYTES {
        return Err(Invalid(format!("length must be at most {MAX_NAME_BYTES}")));
    }
    Ok(())
}

fn admit_host(text: &str) -> Result<(), Invalid> {
    match parse(text) {
        Ok(Parsed { port: Some(_), .. }) | Err(Refusal::Port) => {
            Err(Invalid::new("must not have a port"))
        }
        Ok(_) => check_length(text),
        Err(_) => Err(Invalid(format!("invalid value: {text}"))),
    }
}

fn admit_pattern(text: &str) -> Result<(), Invalid> {
    let stars = text.matches('*').count();
    if stars > 1 {
        return Err(Invalid::new("invalid wildcard: must have at most one wildcard"));
    }
    if stars == 1 && !text.starts_with("*.") && !text.ends_with(".*") {
        return Err(Invalid::new(
            "invalid wildcard: must be placed at leftmost or rightmost label",
        ));
    }
    // Any label stands in for the wildcard.
    parse(&text.replace('*', "abc")).map_err(|refusal| {
        Invalid(match refusal {
            Refusal::Port => "invalid port number".to_owned(),
            Refusal::Ipv4 => format!("invalid ipv4 address: {text}"),
            Refusal::Ipv6 => format!("invalid ipv6 address: {text}"),
            Refusal::Name => format!("invalid hostname: {text}"),
        })
    })?;
    check_length(split_port(text).0)
}

fn admit_sni(text: &str) -> Result<(), Invalid> {
    let stars = text.matches('*').count();
    if stars > 0 && !text.starts_with('*') && !text.ends_with('*') {
        return Err(Invalid::new("wildcard must be leftmost or rightmost character"));
    }
    if stars > 1 {
        return Err(Invalid::new("only one wildcard must be specified"));
    }
    match parse(&text.replace('*', "wildcard")) {
        Ok(Parsed { is_ip: true, .. }) => Err(Invalid::new("must not be an IP")),
        Ok(Parsed { port: Some(_), .. }) | Err(Refusal::Port) => {
            Err(Invalid::new("must not have a port"))
        }
        Ok(_) => check_length(text),
        Err(_) => Err(Invalid(format!("invalid value: {text}"))),
    }
}

fn admit_upstream(text: &str) -> Result<(), Invalid> {
    let refuse = |why| Err(Invalid(format!("Invalid name ('{text}'); {why}")));
    match parse(text) {
        Ok(Parsed { is_ip: true, .. }) => refuse("no ip addresses allowed"),
        Ok(Parsed { port: Some(_), .. }) | Err(Refusal::Port) => refuse("no port allowed"),
        Ok(_) => check_length(text),
        Err(_) => refuse("must be a valid hostname"),
    }
}

fn admit_with_port(text: &str) -> Result<(), Invalid> {
    match parse(text) {
        Ok(_) => check_length(split_port(text).0),
        Err(Refusal::Port) => Err(Invalid::new("invalid port number")),
        Err(_) => Err(Invalid(format!("invalid value: {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_come_apart() {
        check("a.com", HostMatch::Exact("a.com"), None);
        check("a.com:81", HostMatch::Exact("a.com"), Some(81));
        check("*.a.com", HostMatch::Suffix(".a.com"), None);
        check("*.a.com:81", HostMatch::Suffix(".a.com"), Some(81));
        check("a.*", HostMatch::Prefix("a."), None);
        check("[::1]:81", HostMatch::Exact("[::1]"), Some(81));
        check("::1", HostMatch::Exact("::1"), None);
    }

    #[track_caller]
    fn check(pattern: &str, host: HostMatch<'_>, port: Option<u16>) {
        let pattern: HostPattern = pattern.parse().expect("a pattern");
        assert_eq!(pattern.parts(), (host, port));
    }
}
