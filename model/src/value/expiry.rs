//! When something is over.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::schema::{Kind, Rule, Typed};

/// The second at which something is over, counted from 1970. A client says, and is shown, how many are left:
/// see [`crate::schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Expiry(Timestamp);

impl Expiry {
    /// That second.
    pub fn at(self) -> Timestamp {
        self.0
    }
}

impl Typed for Expiry {
    const KIND: Kind = Kind::Integer;
    const RULES: &'static [Rule] = &[Rule::Expiry];
}
