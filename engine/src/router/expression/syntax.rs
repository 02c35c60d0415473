//! What an expression says, before anyone asked whether it makes sense.

use super::tree::Tree;
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;

/// An expression as written.
pub(super) type Syntax<'t> = Tree<Comparison<'t>>;

/// A predicate as written: `lower(any(field)) operator value`.
#[derive(Clone, Debug)]
pub(super) struct Comparison<'t> {
    pub(super) field: At<&'t str>,
    /// Whether `lower` is among its functions, however often.
    pub(super) lower: bool,
    /// Whether `any` is among its functions, however often.
    pub(super) any: bool,
    pub(super) operator: At<Operator>,
    /// None if it was wrong in itself, which has been told.
    pub(super) value: At<Option<Literal>>,
}

impl Comparison<'_> {
    /// Whether the field has no function around it.
    pub(super) fn is_bare(&self) -> bool {
        !self.lower && !self.any
    }
}

/// Something, and the byte of the text where it starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<T> {
    pub(super) at: usize,
    pub(super) it: T,
}

/// A value in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    Text(String),
    Number(i64),
    Address(IpAddr),
    Network(IpNet),
}

/// What compares a field with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `~`: a regular expression matches somewhere.
    Matches,
    /// `^=`
    StartsWith,
    /// `=^`
    EndsWith,
    /// `contains`
    Contains,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
    /// `<=`
    AtMost,
    /// `<`
    Below,
    /// `in` a network.
    In,
    /// `not in` a network.
    NotIn,
}

impl Operator {
    /// How it is written. One that starts like another comes before it.
    pub(super) const WRITTEN: [(&'static str, Operator); 12] = [
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("~", Operator::Matches),
        ("^=", Operator::StartsWith),
        ("=^", Operator::EndsWith),
        (">=", Operator::AtLeast),
        (">", Operator::Above),
        ("<=", Operator::AtMost),
        ("<", Operator::Below),
        ("in", Operator::In),
        ("not in", Operator::NotIn),
        ("contains", Operator::Contains),
    ];

    /// The values it is for, in the plural.
    pub(super) fn applies_to(self) -> &'static str {
        match self {
            Operator::Equal | Operator::NotEqual => "all fields",
            Operator::Matches | Operator::StartsWith | Operator::EndsWith | Operator::Contains => {
                "strings"
            }
            Operator::AtLeast | Operator::Above | Operator::AtMost | Operator::Below => "numbers",
            Operator::In | Operator::NotIn => "IP addresses",
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = Self::WRITTEN.iter().find(|(_, operator)| operator == self);
        f.write_str(written.map_or("", |(text, _)| text))
    }
}
