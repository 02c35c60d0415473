//! What one value must obey, and how its refusal is worded.
//!
//! Words and order are Kong's: of several rules that fail, the one that comes
//! first in [`Rule`] speaks. Null obeys every rule but one; whether it may be there at
//! all is for [`super::check()`] to say.

use std::fmt::Display;

use serde_json::Value;

use super::{Kind, Literal};
use crate::id::parse_hyphenated;
use crate::value::Timestamp;

/// Why a value was refused, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// A refusal in these words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Something a value must obey. Listed in the order in which they are tried.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// Null and nothing else.
    Null,
    /// Anything but null.
    Required,
    /// This and nothing else.
    Is(Literal),
    /// Anything but this.
    Not(Literal),
    /// None of these.
    NotOneOf(&'static [Literal]),
    /// One of these.
    OneOf(&'static [Literal]),
    /// A number above this one.
    Above(i64),
    /// A point in time after 1970 and up to [`Timestamp::MAX`].
    Timestamp,
    /// The same, at which something is over. Clients say how many seconds are left.
    Expiry,
    /// A UUID: 36 characters, any version.
    Uuid,
    /// A number in this range, both ends included.
    Between(i64, i64),
    /// Exactly this many characters or elements.
    LenEq(usize),
    /// At least this many. Strings without this rule need one character.
    LenMin(usize),
    /// At most this many.
    LenMax(usize),
    /// Text that starts so.
    StartsWith(&'static str),
    /// Every element obeys this.
    Each(&'static Rule),
    /// A list with this in it.
    Contains(Literal),
    /// Text that a type's own parser takes.
    Parses(fn(&str) -> Result<(), Invalid>),
    /// A list whose members all come from one of these groups (or from none).
    Subsets(&'static [&'static [&'static str]]),
    /// Anything: that a reference to a vault may stand here is said in passing.
    Referable,
}

impl Rule {
    /// Where the rule stands in the order; equal for rules of the same sort.
    pub fn order(&self) -> u8 {
        match self {
            Rule::Required => 0,
            Rule::Null => 1,
            Rule::Is(_) => 2,
            Rule::Not(_) => 3,
            Rule::NotOneOf(_) => 4,
            Rule::OneOf(_) => 5,
            Rule::Above(_) => 6,
            Rule::Timestamp | Rule::Expiry => 7,
            Rule::Uuid => 8,
            Rule::Between(..) => 9,
            Rule::LenEq(_) => 10,
            Rule::LenMin(_) => 11,
            Rule::LenMax(_) => 12,
            Rule::StartsWith(_) => 13,
            Rule::Each(_) => 14,
            Rule::Contains(_) => 15,
            Rule::Parses(_) => 16,
            Rule::Subsets(_) => 17,
            Rule::Referable => 18,
        }
    }

    /// Whether a value that has the right shape obeys the rule.
    pub fn test(&self, value: &Value) -> Result<(), Invalid> {
        if value.is_null() {
            return ensure(!matches!(self, Rule::Required), || "required field missing".into());
        }
        match self {
            Rule::Required | Rule::Referable => Ok(()),
            Rule::Null => Err(Invalid::new("value must be null")),
            Rule::Is(literal) => ensure(*literal == *value, || format!("value must be {literal}")),
            Rule::Not(literal) => {
                ensure(*literal != *value, || format!("value must not be {literal}"))
            }
            Rule::NotOneOf(words) => ensure(words.iter().all(|word| word != value), || {
                format!("must not be one of: {}", join(words))
            }),
            Rule::OneOf(words) => ensure(words.iter().any(|word| word == value), || {
                format!("expected one of: {}", join(words))
            }),
            Rule::Above(low) => {
                ensure(number(value) > *low as f64, || format!("value must be greater than {low}"))
            }
            Rule::Timestamp | Rule::Expiry => {
                let last = Timestamp::MAX.seconds() as f64;
                ensure(number(value) > 0.0 && number(value) <= last, || {
                    "expected a valid timestamp".into()
                })
            }
            Rule::Uuid => {
                ensure(value.as_str().is_some_and(|text| parse_hyphenated(text).is_some()), || {
                    "expected a valid UUID".into()
                })
            }
            Rule::Between(low, high) => {
                ensure((*low as f64..=*high as f64).contains(&number(value)), || {
                    format!("value should be between {low} and {high}")
                })
            }
            Rule::LenEq(n) => ensure(len(value) == *n, || format!("length must be {n}")),
            Rule::LenMin(n) => ensure(len(value) >= *n, || format!("length must be at least {n}")),
            Rule::LenMax(n) => ensure(len(value) <= *n, || format!("length must be at most {n}")),
            Rule::StartsWith(prefix) => {
                ensure(value.as_str().is_some_and(|text| text.starts_with(prefix)), || {
                    format!("should start with: {prefix}")
                })
            }
            Rule::Each(rule) => elements(value).iter().try_for_each(|element| rule.test(element)),
            Rule::Contains(literal) => ensure(elements(value).iter().any(|e| literal == e), || {
                format!("expected to contain: {literal}")
            }),
            Rule::Parses(parse) => value.as_str().map_or(Ok(()), parse),
            Rule::Subsets(groups) => one_group(groups, elements(value)),
        }
    }
}

/// The first refusal, in the order of the rules.
pub(super) fn first_refusal<'a>(
    kind: Kind,
    rules: impl Iterator<Item = &'a Rule>,
    value: &Value,
) -> Option<Invalid> {
    let mut rules: Vec<&Rule> = rules.collect();
    if matches!(kind, Kind::String) {
        rules.push(&Rule::Parses(without_nul));
        if !rules.iter().any(|rule| matches!(rule, Rule::LenMin(_))) {
            rules.push(&Rule::LenMin(1));
        }
    }
    rules.sort_by_key(|rule| rule.order());
    rules.into_iter().find_map(|rule| rule.test(value).err())
}

/// No text has a NUL in it: PostgreSQL keeps none, and no request can carry one.
pub(crate) fn without_nul(text: &str) -> Result<(), Invalid> {
    ensure(!text.contains('\0'), || "must not contain a NUL character".into())
}

/// Words in the way messages list them: `a, b, c`.
pub(super) fn join<T: Display>(words: &[T]) -> String {
    words.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// Names in the way messages list them: `'a', 'b'`.
pub(crate) fn quoted(names: &[impl Display]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

fn one_group(groups: &[&[&str]], members: &[Value]) -> Result<(), Invalid> {
    let mut present: Vec<&[&str]> = Vec::new();
    for member in members.iter().filter_map(Value::as_str) {
        let group = groups.iter().find(|group| group.contains(&member));
        if let Some(group) = group.filter(|group| !present.contains(group)) {
            present.push(group);
        }
    }
    ensure(present.len() <= 1, || {
        let sets: Vec<String> =
            present.iter().map(|group| format!("({})", quoted(group))).collect();
        format!("these sets are mutually exclusive: {}", sets.join(", "))
    })
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(Invalid(message())) }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Bytes of a string, as Kong counts them; members of anything else.
fn len(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.len(),
        Value::Object(entries) => entries.len(),
        _ => 0,
    }
}
