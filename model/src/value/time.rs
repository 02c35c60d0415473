//! Points in time. Nothing here reads a clock.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::Decimal;
use crate::schema::{Kind, Rule, Typed};

/// Whole seconds since 1970. What a clock has just told also knows the milliseconds, for [`PreciseTime`].
#[derive(Clone, Copy)]
pub struct Timestamp {
    seconds: i64,
    millis: u16,
}

impl Timestamp {
    /// The last second there is, in the year 294276: Kong's database holds no later one.
    pub const MAX: Timestamp = Timestamp::from_seconds(9_224_318_015_999);

    /// This many seconds after 1970 began.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, millis: 0 }
    }

    /// Seconds since 1970 began.
    pub const fn seconds(self) -> i64 {
        self.seconds
    }
}

/// What a clock shows. One that stands before 1970 is wrong, and shows its first second.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Self { seconds, millis: u16::try_from(since.subsec_millis()).unwrap_or_default() }
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.seconds == other.seconds
    }
}

impl Eq for Timestamp {}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        self.seconds.cmp(&other.seconds)
    }
}

impl Hash for Timestamp {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.seconds.hash(state);
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({})", self.seconds)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.seconds)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self::from_seconds)
    }
}

impl Typed for Timestamp {
    const KIND: Kind = Kind::Integer;
    const RULES: &'static [Rule] = &[Rule::Timestamp];
}

/// Milliseconds since 1970, said as seconds with a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PreciseTime {
    millis: i64,
}

impl PreciseTime {
    /// Milliseconds since 1970 began.
    pub const fn millis(self) -> i64 {
        self.millis
    }

    /// As a number of seconds.
    pub fn to_json(self) -> Value {
        serde_json::to_value(self).unwrap_or_default() // a finite number
    }

    fn seconds(self) -> Decimal {
        // Exact to the millisecond until long after `Timestamp::MAX`.
        Decimal::new(self.millis as f64 / 1000.0).unwrap_or(Decimal::ZERO)
    }
}

impl From<Timestamp> for PreciseTime {
    fn from(time: Timestamp) -> Self {
        let millis = time.seconds.saturating_mul(1000).saturating_add(time.millis.into());
        Self { millis }
    }
}

impl Serialize for PreciseTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.seconds().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PreciseTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = Decimal::deserialize(deserializer)?.get();
        if seconds.abs() > Timestamp::MAX.seconds as f64 {
            return Err(de::Error::custom("expected a valid timestamp"));
        }
        Ok(Self { millis: (seconds * 1000.0).round() as i64 })
    }
}

impl Typed for PreciseTime {
    const KIND: Kind = Kind::Number;
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

    #[test]
    fn precise_times_are_seconds_with_a_fraction() {
        let time = UNIX_EPOCH + Duration::from_millis(1_500_000_000_123);
        let precise = PreciseTime::from(Timestamp::from(time));
        assert_eq!(precise.to_json(), serde_json::json!(1_500_000_000.123));
        let read: PreciseTime = serde_json::from_value(precise.to_json()).unwrap();
        assert_eq!((read, read.millis()), (precise, 1_500_000_000_123));
        let whole = PreciseTime::from(Timestamp::from_seconds(7));
        assert_eq!(whole.to_json(), serde_json::json!(7));
    }
}
