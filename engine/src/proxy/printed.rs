//! Numbers and addresses as text, without allocating.

use std::fmt::Display;
use std::io::Write as _;

/// Room for one printed value.
pub(crate) struct Printed([u8; Printed::ROOM]);

impl Printed {
    /// The longest IPv6 address takes 45 bytes.
    const ROOM: usize = 48;

    pub(crate) fn new() -> Printed {
        Printed([0; Printed::ROOM])
    }

    /// The value as text; cut off where there is no more room.
    pub(crate) fn print(&mut self, value: impl Display) -> &[u8] {
        let mut rest = self.0.as_mut_slice();
        // Fails only for want of room.
        let _printed = write!(rest, "{value}");
        let len = Printed::ROOM - rest.len();
        self.0.get(..len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_whole() {
        let mut printed = Printed::new();
        assert_eq!(printed.print(u64::MAX), b"18446744073709551615");
        assert_eq!(printed.print(0), b"0");
        let longest = "1111:2222:3333:4444:5555:6666:7777:8888".parse::<std::net::IpAddr>();
        assert_eq!(printed.print(longest.unwrap()).len(), 39);
    }
}
