//! Whether a request fulfils a predicate, and what is recorded on the way.
//!
//! What Kong's engine records is the last thing that was found true, wherever in the
//! expression: also in a branch that failed afterwards, and under a `!`. So parts are
//! evaluated strictly from left to right, and no further than the answer needs.

use super::field::{AddressField, NumberField, TextField};
use super::predicate::{Predicate, TextPredicate, TextTest};
use super::tree::Tree;
use super::values::{lower, query_values, segments, segments_of};
use super::{Captures, Traffic, word};
use crate::router::regex::Regex;
use crate::router::request::{Fields, RequestView};
use std::net::IpAddr;

/// A value is not text, and was asked for: Kong's engine takes nothing but UTF-8 and
/// gives up on the request; here the route does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unreadable;

/// A request as an expression is evaluated.
pub(super) struct Reading<'r, F> {
    request: &'r RequestView<'r, F>,
    /// The length of what the path was last found to be, start with, end with or match.
    pub(super) recorded: usize,
    /// Filled if there, which takes more time.
    pub(super) captures: Option<Captures>,
}

impl<'r, F: Fields> Reading<'r, F> {
    pub(super) fn new(request: &'r RequestView<'r, F>, captures: Option<Captures>) -> Self {
        Reading { request, recorded: 0, captures }
    }

    pub(super) fn fulfils(&mut self, tree: &Tree<Predicate>) -> Result<bool, Unreadable> {
        match tree {
            Tree::All(parts) => {
                for part in parts {
                    if !self.fulfils(part)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Tree::Any(parts) => {
                for part in parts {
                    if self.fulfils(part)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Tree::Not(part) => Ok(!self.fulfils(part)?),
            Tree::Leaf(predicate) => self.passes(predicate),
        }
    }

    fn passes(&mut self, predicate: &Predicate) -> Result<bool, Unreadable> {
        match predicate {
            Predicate::Text(predicate) => self.passes_text(predicate),
            Predicate::Number(field, test) => {
                Ok(self.number(*field)?.is_some_and(|number| test.accepts(number)))
            }
            Predicate::Address(field, test) => Ok(test.accepts(self.address(*field))),
        }
    }

    fn number(&self, field: NumberField) -> Result<Option<i64>, Unreadable> {
        let request = self.request;
        Ok(match field {
            NumberField::SourcePort => Some(request.source.port().into()),
            NumberField::DestinationPort => match Traffic::of(request.scheme) {
                Traffic::Http => request.port.map(i64::from),
                Traffic::Stream => Some(request.destination.port().into()),
            },
            NumberField::SegmentCount => {
                let path = std::str::from_utf8(request.path).map_err(|_| Unreadable)?;
                i64::try_from(segments(path.as_bytes())).ok()
            }
        })
    }

    /// An IPv4 client of a socket for both families is what it is without the mapping.
    fn address(&self, field: AddressField) -> IpAddr {
        let address = match field {
            AddressField::Source => self.request.source,
            AddressField::Destination => self.request.destination,
        };
        address.ip().to_canonical()
    }

    fn passes_text(&mut self, predicate: &TextPredicate) -> Result<bool, Unreadable> {
        let request = self.request;
        let value = match &predicate.field {
            TextField::Header(name) => {
                return self.pass(predicate, request.fields.values(name.as_bytes()));
            }
            TextField::Query(name) => {
                return self.pass(predicate, query_values(request.query, name.as_bytes()));
            }
            TextField::Protocol => Some(word(request.scheme).as_bytes()),
            TextField::Sni => request.sni,
            TextField::Method => Some(request.method),
            TextField::Host if !request.host.is_ascii() => return Err(Unreadable),
            TextField::Host => Some(request.host).filter(|host| !host.is_empty()),
            TextField::Path => Some(request.path),
            TextField::Segments(first, last) => segments_of(request.path, *first, *last),
        };
        self.pass(predicate, value.into_iter())
    }

    /// Whether enough of the values pass: never if there are none.
    fn pass<V: AsRef<[u8]>>(
        &mut self,
        predicate: &TextPredicate,
        values: impl Iterator<Item = V>,
    ) -> Result<bool, Unreadable> {
        let mut has_values = false;
        for value in values {
            has_values = true;
            if self.accepts(predicate, value.as_ref())? == predicate.any {
                return Ok(predicate.any);
            }
        }
        Ok(has_values && !predicate.any)
    }

    fn accepts(&mut self, predicate: &TextPredicate, value: &[u8]) -> Result<bool, Unreadable> {
        let text = std::str::from_utf8(value).map_err(|_| Unreadable)?;
        let is_lower = || value.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        if !predicate.lower || is_lower() {
            return Ok(self.tests(predicate, text));
        }
        let lowered = lower(text);
        let text = std::str::from_utf8(&lowered).map_err(|_| Unreadable)?;
        Ok(self.tests(predicate, text))
    }

    fn tests(&mut self, predicate: &TextPredicate, text: &str) -> bool {
        let (found, length) = match &predicate.test {
            TextTest::IsNot(other) => return text != &**other,
            TextTest::Contains(finder) => return finder.find(text.as_bytes()).is_some(),
            TextTest::Is(other) => (text == &**other, other.len()),
            TextTest::StartsWith(other) => (text.starts_with(&**other), other.len()),
            TextTest::EndsWith(other) => (text.ends_with(&**other), other.len()),
            TextTest::Matches(regex) => {
                let length = self.searches(regex, text, predicate.field == TextField::Path);
                (length.is_some(), length.unwrap_or(0))
            }
        };
        if found && predicate.field == TextField::Path {
            self.recorded = length;
        }
        found
    }

    /// How long the match is; any number will do if it is not of the path.
    fn searches(&mut self, regex: &Regex, text: &str, is_path: bool) -> Option<usize> {
        let text = text.as_bytes();
        let Some(captures) = &mut self.captures else {
            return match is_path {
                true => regex.match_len(text),
                false => regex.is_match(text).then_some(0),
            };
        };
        let found = regex.search(text)?;
        captures.record(&found);
        found.get(0).map(<[u8]>::len)
    }
}
