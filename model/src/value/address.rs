//! IP addresses, ranges of them, and what a stream route matches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::schema::{Check, Invalid, Record};

text! {
    /// An IPv4 or IPv6 address, or a range of them in CIDR notation.
    IpRange, admit
}

text! {
    /// An address a client connects from, and its port if that is known: `10.0.0.1`,
    /// `10.0.0.1:80`, `::1`, `[::1]:80`.
    ClientAddress, admit_client
}

impl ClientAddress {
    /// The address; port 0 if none is known.
    pub fn socket(&self) -> SocketAddr {
        client_address(&self.0).expect("only parsable text becomes a ClientAddress")
    }
}

impl IpRange {
    /// The address, and how many of its leading bits count. The bits after
    /// those are as written, not cleared.
    pub fn parts(&self) -> (IpAddr, u8) {
        parse(&self.0).expect("only parsable text becomes an IpRange")
    }

    /// Whether an address lies in the range. No IPv4 address is in an IPv6 range.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.parts(), address) {
            ((IpAddr::V4(net), bits), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                (u32::from(net) ^ u32::from(address)) & mask == 0
            }
            ((IpAddr::V6(net), bits), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                (u128::from(net) ^ u128::from(address)) & mask == 0
            }
            _ => false,
        }
    }
}

/// Where a connection comes from or goes to, in a stream route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Record)]
#[record(checks = &[Check::AtLeastOneOf(&["ip", "port"])])]
pub struct AddressMatch {
    /// The address, or the range it lies in.
    pub ip: Option<IpRange>,
    /// The port.
    pub port: Option<u16>,
}

fn admit_client(text: &str) -> Result<(), Invalid> {
    client_address(text).map(|_| ()).ok_or_else(|| {
        Invalid(format!("invalid address: '{text}' (expected an IP, and its port after a colon)"))
    })
}

/// Where a client is, as headers tell it: an address, in brackets or not, and its port, if any,
/// after a colon. The port is 0 where none is told; 0 itself is no port, as in nginx.
pub fn client_address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let without_port = |ip: IpAddr| SocketAddr::new(ip, 0);
    let with_port = || text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
    bare.parse().map(without_port).ok().or_else(with_port)
}

fn admit(text: &str) -> Result<(), Invalid> {
    let invalid = || Invalid(format!("invalid ip or cidr range: '{text}'"));
    parse(text).map(|_| ()).ok_or_else(invalid)
}

fn parse(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, bits)| (a, Some(bits)));
    let address = ipv4(address)
        .map(IpAddr::V4)
        .or_else(|| address.parse::<Ipv6Addr>().ok().map(IpAddr::V6))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) if !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) => {
            bits.parse().ok()?
        }
        Some(_) => return None,
    };
    (bits <= most).then_some((address, bits))
}

/// An IPv4 address as Kong takes it: leading zeros are decimal, not refused.
pub(super) fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_a_port_or_none() {
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1:0")),
            ("10.0.0.1:80", Some("10.0.0.1:80")),
            ("::1", Some("[::1]:0")),
            ("[::1]", Some("[::1]:0")),
            ("[::1]:80", Some("[::1]:80")),
            ("10.0.0.1:", None),
            ("10.0.0.1:0", None),
            ("10.0.0.1:65536", None),
            ("10.0.0.1:99999", None),
            ("10.0.0.1.", None),
            ("10.0.0", None),
            ("a.com", None),
            ("unknown", None),
            ("", None),
        ] {
            let found = text.parse::<ClientAddress>().ok().map(|client| client.socket());
            assert_eq!(found, expected.map(|text| text.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn ranges_contain_what_shares_their_leading_bits() {
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.7/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("0.0.0.0/0", "11.0.0.1", true);
        check("192.168.0.1", "192.168.0.1", true);
        check("192.168.0.1", "192.168.0.2", false);
        check("fd00::/8", "fd12::1", true);
        check("::/0", "10.0.0.1", false);
    }

    #[track_caller]
    fn check(range: &str, address: &str, expected: bool) {
        let range: IpRange = range.parse().expect("a range");
        assert_eq!(range.contains(address.parse().expect("an address")), expected);
    }
}
