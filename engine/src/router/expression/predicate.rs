//! A predicate that makes sense: a field and a test of its type.

use super::field::{AddressField, NumberField, TextField};
use crate::router::regex::Regex;
use ipnet::IpNet;
use memchr::memmem::Finder;
use std::net::IpAddr;
use std::sync::Arc;

/// A predicate as it is evaluated.
#[derive(Clone, Debug)]
pub(super) enum Predicate {
    Text(TextPredicate),
    Number(NumberField, NumberTest),
    Address(AddressField, AddressTest),
}

impl Predicate {
    /// Its regular expression, if it has one.
    pub(super) fn regex(&self) -> Option<&Regex> {
        match self {
            Predicate::Text(TextPredicate { test: TextTest::Matches(regex), .. }) => Some(regex),
            _ => None,
        }
    }
}

/// What is asked of the values of a field, which may be several.
#[derive(Clone, Debug)]
pub(super) struct TextPredicate {
    pub(super) field: TextField,
    /// Values are put in lower case first, as Unicode has it.
    pub(super) lower: bool,
    /// One value is enough; otherwise all must pass, and there must be one.
    pub(super) any: bool,
    pub(super) test: TextTest,
}

#[derive(Clone, Debug)]
pub(super) enum TextTest {
    Is(Box<str>),
    IsNot(Box<str>),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<Finder<'static>>),
    Matches(Arc<Regex>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum NumberTest {
    Is(i64),
    IsNot(i64),
    AtLeast(i64),
    Above(i64),
    AtMost(i64),
    Below(i64),
}

impl NumberTest {
    pub(super) fn accepts(self, number: i64) -> bool {
        match self {
            NumberTest::Is(other) => number == other,
            NumberTest::IsNot(other) => number != other,
            NumberTest::AtLeast(other) => number >= other,
            NumberTest::Above(other) => number > other,
            NumberTest::AtMost(other) => number <= other,
            NumberTest::Below(other) => number < other,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum AddressTest {
    Is(IpAddr),
    IsNot(IpAddr),
    In(IpNet),
    NotIn(IpNet),
}

impl AddressTest {
    pub(super) fn accepts(&self, address: IpAddr) -> bool {
        match self {
            AddressTest::Is(other) => address == *other,
            AddressTest::IsNot(other) => address != *other,
            AddressTest::In(network) => network.contains(&address),
            AddressTest::NotIn(network) => !network.contains(&address),
        }
    }
}
