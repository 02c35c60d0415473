//! A list without repetitions that keeps its order.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::slice;

use serde::{Deserialize, Deserializer, Serialize};

use crate::schema::{Kind, Typed};

/// Values in the order they were given; of equal ones, the first.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Set<T>(Vec<T>);

impl<T> Set<T> {
    /// The members, in order.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The members, in order.
    pub fn iter(&self) -> slice::Iter<'_, T> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: PartialEq> Set<T> {
    /// Whether this is a member.
    pub fn contains(&self, value: &T) -> bool {
        self.0.contains(value)
    }
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Eq + Hash> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self(unrepeated(values.into_iter().collect()))
    }
}

/// The values without those that came before. Takes no time to speak of for
/// the usual handful, nor a square of it for a hostile million.
pub(crate) fn unrepeated<T: Eq + Hash>(values: Vec<T>) -> Vec<T> {
    const FEW: usize = 16;
    let is_new: Vec<bool> = if values.len() <= FEW {
        (0..).zip(&values).map(|(at, value)| !values.iter().take(at).any(|v| v == value)).collect()
    } else {
        let mut seen = HashSet::with_capacity(values.len());
        values.iter().map(|value| seen.insert(value)).collect()
    };
    values.into_iter().zip(is_new).filter_map(|(value, is_new)| is_new.then_some(value)).collect()
}

impl<'a, T> IntoIterator for &'a Set<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: fmt::Debug> fmt::Debug for Set<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de, T: Deserialize<'de> + Eq + Hash> Deserialize<'de> for Set<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from_iter)
    }
}

impl<T: Typed> Typed for Set<T> {
    const KIND: Kind = Kind::Set(T::ELEMENT);

    fn visit_members(&self, visit: &mut dyn FnMut(&str)) {
        self.iter().filter_map(T::text).for_each(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_stays_in_short_and_long_lists() {
        for repeats in [2, 20] {
            let values = (0..3).cycle().take(3 * repeats);
            assert_eq!(values.collect::<Set<i64>>().as_slice(), [0, 1, 2]);
        }
    }
}
