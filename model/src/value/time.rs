//! Points in time. Nothing here reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::schema::{Kind, Rule, Typed};

/// Whole seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last second there is, in the year 294276: Kong's database holds no later one.
    pub const MAX: Timestamp = Timestamp(9_224_318_015_999);

    /// This many seconds after 1970 began.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970 began.
    pub const fn seconds(self) -> i64 {
        self.0
    }
}

/// What a clock shows, its fraction of a second dropped. A clock that stands before 1970 is wrong, and
/// shows its first second.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}

impl Typed for Timestamp {
    const KIND: Kind = Kind::Integer;
    const RULES: &'static [Rule] = &[Rule::Timestamp];
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_shows_whole_seconds_since_1970() {
        for (time, seconds) in [
            (UNIX_EPOCH + Duration::from_millis(1_999), 1),
            (UNIX_EPOCH, 0),
            (UNIX_EPOCH - Duration::from_secs(5), 0),
        ] {
            assert_eq!(Timestamp::from(time).seconds(), seconds);
        }
    }
}
