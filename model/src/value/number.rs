//! Numbers and durations.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::schema::{Kind, Rule, Typed};

/// A timeout in whole milliseconds, 1 to 2³¹ - 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Millis(u32);

impl Millis {
    /// The longest there is.
    pub const MAX: Millis = Millis(2_147_483_646);

    /// This many milliseconds, if that is a timeout.
    pub const fn new(millis: u32) -> Option<Self> {
        if millis >= 1 && millis <= Self::MAX.0 { Some(Self(millis)) } else { None }
    }

    /// The same as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let millis = u32::deserialize(deserializer)?;
        Self::new(millis)
            .ok_or_else(|| de::Error::custom("value should be between 1 and 2147483646"))
    }
}

impl Typed for Millis {
    const KIND: Kind = Kind::Integer;
    const RULES: &'static [Rule] = &[Rule::Between(1, Self::MAX.0 as i64)];
}

/// A finite number that may have a fraction. Whole ones are written without one.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Decimal(f64);

impl Decimal {
    /// Nothing.
    pub const ZERO: Decimal = Decimal(0.0);

    /// The number, if it is finite.
    pub fn new(number: f64) -> Option<Self> {
        number.is_finite().then_some(Self(number))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // 2^53: the largest float that still names one integer.
        if self.0.fract() == 0.0 && self.0.abs() <= 9_007_199_254_740_992.0 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::new(number).ok_or_else(|| de::Error::custom("expected a number"))
    }
}

impl Typed for Decimal {
    const KIND: Kind = Kind::Number;
}
