//! Points in time. Nothing here reads a clock.

use serde::{Deserialize, Serialize};

use crate::schema::{Kind, Rule, Typed};

/// Whole seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// This many seconds after 1970 began.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970 began.
    pub const fn seconds(self) -> i64 {
        self.0
    }
}

impl Typed for Timestamp {
    const KIND: Kind = Kind::Integer;
    const RULES: &'static [Rule] = &[Rule::Timestamp];
}
