//! Sets of methods that are compared in one instruction.
//!
//! The common ones have a bit each. All others share one, so that a set may be vague:
//! whoever finds it so asks the route for the text.

/// A set of methods: a bit for each common one, and one for all others together. By
/// default any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Methods(u16);

impl Default for Methods {
    fn default() -> Methods {
        Methods::ANY
    }
}

/// In the order of their bits.
const COMMON: [&str; 9] =
    ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "CONNECT"];

impl Methods {
    pub(super) const NONE: Methods = Methods(0);
    pub(super) const ANY: Methods = Methods(u16::MAX);
    /// None that has a bit of its own: the text decides.
    pub(super) const RARE: Methods = Methods(1 << 15);

    /// The set of this one method, whose case counts.
    #[inline]
    pub(super) fn of(method: &[u8]) -> Methods {
        Methods(match method {
            b"GET" => 1,
            b"POST" => 1 << 1,
            b"PUT" => 1 << 2,
            b"DELETE" => 1 << 3,
            b"HEAD" => 1 << 4,
            b"PATCH" => 1 << 5,
            b"OPTIONS" => 1 << 6,
            b"TRACE" => 1 << 7,
            b"CONNECT" => 1 << 8,
            _ => return Methods::RARE,
        })
    }

    #[inline]
    pub(super) fn meets(self, other: Methods) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a request's method, if it is in the set at all, may be another than that
    /// which is asked for.
    #[inline]
    pub(super) fn is_vague_on(self, request: Methods) -> bool {
        request == Methods::RARE && self != Methods::ANY
    }

    /// The common ones in it; none if it is any.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        let bits = if self == Methods::ANY { 0 } else { self.0 };
        COMMON
            .into_iter()
            .enumerate()
            .filter_map(move |(bit, name)| (bits >> bit & 1 == 1).then_some(name))
    }
}

/// A route without methods serves any.
impl FromIterator<Methods> for Methods {
    fn from_iter<I: IntoIterator<Item = Methods>>(methods: I) -> Methods {
        match methods.into_iter().fold(0, |all, one| all | one.0) {
            0 => Methods::ANY,
            bits => Methods(bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_method_has_its_bit() {
        for name in COMMON {
            let names: Vec<_> = Methods::of(name.as_bytes()).names().collect();
            assert_eq!(names, [name]);
        }
        assert_eq!(Methods::ANY.names().count() + Methods::RARE.names().count(), 0);
    }
}
