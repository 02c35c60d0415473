//! What requests are called: names that never repeat within a worker, made without asking anyone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Names a request: 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RequestId([u8; 32]);

impl RequestId {
    fn new(high: u64, low: u64) -> RequestId {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let bytes = u128::from(high) << 64 | u128::from(low);
        RequestId(std::array::from_fn(|at| HEX[(bytes >> (124 - 4 * at)) as usize & 0xf]))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Makes request ids. They never repeat within a worker and start anywhere; they
/// are names, not secrets.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: (u64, u64),
    count: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Ids {
        let seed = uuid::Uuid::new_v4().as_u64_pair();
        Ids { seed, count: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Relaxed);
        RequestId::new(scatter(self.seed.0 ^ count), scatter(self.seed.1.wrapping_add(count)))
    }

    /// A number that goes up with every request: whose turn it is.
    pub(crate) fn turn(&self) -> usize {
        self.count.load(Relaxed) as usize
    }
}

/// The finalizer of SplitMix64: different for different numbers.
fn scatter(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_32_hex_digits_and_differ() {
        let ids = Ids::new();
        let seen: HashSet<String> = (0..1000).map(|_| ids.next().as_str().to_owned()).collect();
        assert_eq!(seen.len(), 1000);
        let fits = |id: &String| {
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        assert!(seen.iter().all(fits));
    }

    #[test]
    fn digits_are_in_order() {
        let id = RequestId::new(0x0011_2233_4455_6677, 0x8899_aabb_ccdd_eeff);
        assert_eq!(id.as_str(), "00112233445566778899aabbccddeeff");
    }
}
