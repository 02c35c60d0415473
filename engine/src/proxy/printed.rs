//! Numbers and addresses as text, without allocating.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

/// Room for one printed value.
pub(crate) struct Printed([u8; Printed::ROOM]);

impl Printed {
    /// The longest IPv6 address takes 45 bytes.
    const ROOM: usize = 48;

    pub(crate) fn new() -> Printed {
        Printed([0; Printed::ROOM])
    }

    /// A whole number, without the machinery of formatting: several go with every request.
    pub(crate) fn number(&mut self, value: impl Into<u64>) -> &[u8] {
        let mut rest: u64 = value.into();
        let mut len = 0;
        for digit in self.0.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            len += 1;
            if rest == 0 {
                break;
            }
        }
        self.0.get(Printed::ROOM - len..).unwrap_or_default()
    }

    /// So many whole milliseconds.
    pub(crate) fn millis(&mut self, time: Duration) -> &[u8] {
        self.number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
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
        for number in [0, 7, 10, 8080, u64::MAX] {
            assert_eq!(printed.number(number), number.to_string().as_bytes());
        }
        assert_eq!(printed.millis(Duration::from_micros(12_999)), b"12");
        let longest = "1111:2222:3333:4444:5555:6666:7777:8888".parse::<std::net::IpAddr>();
        assert_eq!(printed.print(longest.unwrap()).len(), 39);
    }
}
