//! The address of a target, in the one form in which it is kept.
//!
//! A target that is given twice must be found to be the same: a port is always said, an IPv4 address has
//! no leading zeros, an IPv6 address all its digits and brackets. Names stay as they were written.

use std::net::Ipv6Addr;

use super::address::ipv4;
use super::host::{self, Host};
use crate::schema::Invalid;

/// Where a target listens that does not say.
pub const DEFAULT_PORT: u16 = 8000;

text! {
    /// A name or an address, and a port.
    TargetAddress, admit
}

impl TargetAddress {
    /// The name, or the address without its brackets; and the port.
    pub fn parts(&self) -> (&str, u16) {
        let (host, port) = host::split_port(&self.0);
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        (host, port.and_then(|port| port.parse().ok()).unwrap_or(DEFAULT_PORT))
    }
}

/// The form in which it is kept, if it is the address of a target.
pub fn normal_form(text: &str) -> Option<String> {
    let (host, port) = host::split_port(text);
    let port = port.map_or(Some(DEFAULT_PORT), |port| port.parse().ok())?;
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        let groups: Vec<_> = address.segments().iter().map(|part| format!("{part:04x}")).collect();
        return Some(format!("[{}]:{port}", groups.join(":")));
    }
    if let Some(address) = ipv4(host) {
        return Some(format!("{address}:{port}"));
    }
    host.parse::<Host>().ok().map(|host| format!("{host}:{port}"))
}

fn admit(text: &str) -> Result<(), Invalid> {
    let refusal = || Invalid::new("Invalid target; not a valid hostname or ip address");
    normal_form(text).map(drop).ok_or_else(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_target_is_written_in_one_way() {
        for (text, expected) in [
            ("a.test", Some("a.test:8000")),
            ("A.test:80", Some("A.test:80")),
            ("10.0.0.1", Some("10.0.0.1:8000")),
            ("010.000.0.01:080", Some("10.0.0.1:80")),
            ("::1", Some("[0000:0000:0000:0000:0000:0000:0000:0001]:8000")),
            ("[::1]", Some("[0000:0000:0000:0000:0000:0000:0000:0001]:8000")),
            ("[2001:db8::a]:81", Some("[2001:0db8:0000:0000:0000:0000:0000:000a]:81")),
            ("a.test:65536", None),
            ("a b", None),
            ("", None),
            ("256.0.0.1", None),
        ] {
            assert_eq!(normal_form(text).as_deref(), expected, "{text}");
            assert_eq!(text.parse::<TargetAddress>().is_ok(), expected.is_some(), "{text}");
        }
    }

    #[test]
    fn an_address_comes_apart() {
        for (text, host, port) in
            [("a.test:80", "a.test", 80), ("[::1]:81", "::1", 81), ("10.0.0.1", "10.0.0.1", 8000)]
        {
            let address: TargetAddress = text.parse().unwrap();
            assert_eq!(address.parts(), (host, port));
        }
    }
}
