//! A value, or the name of the place where it is kept.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::schema::{Invalid, Kind, Rule, Typed};
use crate::vault;

/// A text of type `T`, or a reference to a secret (`{vault://…}`). What it refers to is known only to the node
/// that uses it: it is shown, kept and sent as it was written, and nothing is asked of it here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Referable<T> {
    /// The value itself.
    Value(T),
    /// Where it is.
    Reference(Box<str>),
}

impl<T: AsRef<str>> Referable<T> {
    /// The text, as it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Value(value) => value.as_ref(),
            Self::Reference(text) => text,
        }
    }

    /// The value, unless it is kept elsewhere.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Reference(_) => None,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Referable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Reference(text) => text.fmt(f),
        }
    }
}

impl<T: FromStr> FromStr for Referable<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match vault::is_reference(text) {
            true => Ok(Self::Reference(text.into())),
            false => text.parse().map(Self::Value),
        }
    }
}

impl<T: AsRef<str>> Serialize for Referable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: FromStr<Err = Invalid>> Deserialize<'de> for Referable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<T: AsRef<str> + FromStr<Err = Invalid>> Typed for Referable<T> {
    const KIND: Kind = Kind::String;
    const RULES: &'static [Rule] = &[Rule::Referable, Rule::Parses(admit::<T>)];

    fn text(&self) -> Option<&str> {
        Some(self.as_str())
    }
}

fn admit<T: FromStr<Err = Invalid>>(text: &str) -> Result<(), Invalid> {
    text.parse::<Referable<T>>().map(drop)
}
