//! Where a route table may place an expression: conditions it cannot hold without.
//!
//! From each predicate that says something about host, path, method or a header
//! follows a condition; `&&` joins them, `||` lists them. A list that would grow too
//! long says less instead. What is under a `!` says nothing but by De Morgan's laws.

use super::field::TextField;
use super::predicate::{Predicate, TextPredicate, TextTest};
use super::tree::Tree;
use crate::router::request::{Fields, RequestView};
use regex_syntax::hir::Look;
use regex_syntax::hir::literal::Extractor;
use std::cmp::Reverse;

/// The most anchors an expression has.
pub const MOST_ANCHORS: usize = 256;
/// The most bytes of a text in an anchor: more than it takes to tell routes apart, and
/// fewer than it takes to fill a memory with what is true of one expression.
pub(in crate::router) const LONGEST: usize = 250;
/// The most prefixes taken from one regular expression.
const MOST_PREFIXES: usize = 16;

/// What must be true of every request that an expression matches in one of its ways.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Anchor {
    /// Of the host.
    pub host: HostAnchor,
    /// Of the path, whose case counts.
    pub path: PathAnchor,
    /// The method, whose case counts.
    pub method: Option<Box<str>>,
    /// Of one of the headers.
    pub header: Option<HeaderAnchor>,
}

/// What must be true of the host, in lower case: the case of the host does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostAnchor {
    /// It is this.
    Exact(Box<str>),
    /// It ends with this, which is not empty and need not start at a dot.
    Suffix(Box<str>),
    /// It starts with this, which is not empty and need not end at a dot.
    Prefix(Box<str>),
    /// Nothing.
    #[default]
    Any,
}

/// What must be true of the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathAnchor {
    /// It is this.
    Exact(Box<str>),
    /// It starts with this, which is not empty.
    Prefix(Box<str>),
    /// Nothing.
    #[default]
    Any,
}

/// A header field one of whose values is this, but for the case of ASCII letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderAnchor {
    /// The name, in lower case and with `_` for `-`.
    pub name: Box<str>,
    /// The value, its ASCII letters in lower case.
    pub value: Box<str>,
}

impl Anchor {
    /// Whether a request has what it takes.
    pub fn admits<F: Fields>(&self, request: &RequestView<'_, F>) -> bool {
        let host = request.host.to_ascii_lowercase();
        let is_host = match &self.host {
            HostAnchor::Exact(name) => host == name.as_bytes(),
            HostAnchor::Suffix(end) => host.ends_with(end.as_bytes()),
            HostAnchor::Prefix(start) => host.starts_with(start.as_bytes()),
            HostAnchor::Any => true,
        };
        let is_path = match &self.path {
            PathAnchor::Exact(path) => request.path == path.as_bytes(),
            PathAnchor::Prefix(start) => request.path.starts_with(start.as_bytes()),
            PathAnchor::Any => true,
        };
        let is_method = |method: &str| request.method == method.as_bytes();
        let has_header = |header: &HeaderAnchor| {
            let mut values = request.fields.values(header.name.as_bytes());
            values.any(|value| value.eq_ignore_ascii_case(header.value.as_bytes()))
        };
        is_host
            && is_path
            && self.method.as_deref().is_none_or(is_method)
            && self.header.as_ref().is_none_or(has_header)
    }

    /// How much it helps to find a request, roughly.
    fn weight(&self) -> u32 {
        let host = match self.host {
            HostAnchor::Exact(_) => 5,
            HostAnchor::Suffix(_) | HostAnchor::Prefix(_) => 3,
            HostAnchor::Any => 0,
        };
        let path = if self.path == PathAnchor::Any { 0 } else { 4 };
        host + path + u32::from(self.method.is_some()) + 2 * u32::from(self.header.is_some())
    }

    /// What is true if both are; none if they cannot both be.
    fn and(&self, other: &Anchor) -> Option<Anchor> {
        let method = match (&self.method, &other.method) {
            (Some(one), Some(another)) if one != another => return None,
            (one, another) => one.as_ref().or(another.as_ref()).cloned(),
        };
        Some(Anchor {
            host: self.host.and(&other.host)?,
            path: self.path.and(&other.path)?,
            method,
            header: self.header.as_ref().or(other.header.as_ref()).cloned(),
        })
    }
}

impl HostAnchor {
    fn and(&self, other: &HostAnchor) -> Option<HostAnchor> {
        // The derived order puts the one that says more first.
        let (more, less) = if self <= other { (self, other) } else { (other, self) };
        match (more, less) {
            (HostAnchor::Exact(one), HostAnchor::Exact(other)) if one != other => None,
            (HostAnchor::Suffix(one), HostAnchor::Suffix(other))
            | (HostAnchor::Prefix(one), HostAnchor::Prefix(other))
                if one.len() < other.len() =>
            {
                Some(less.clone())
            }
            _ => Some(more.clone()),
        }
    }
}

impl PathAnchor {
    fn exact(path: &str) -> PathAnchor {
        if path.len() > LONGEST { PathAnchor::prefix(path) } else { PathAnchor::Exact(path.into()) }
    }

    fn prefix(start: &str) -> PathAnchor {
        let start = start.get(..start.floor_char_boundary(LONGEST)).unwrap_or_default();
        if start.is_empty() { PathAnchor::Any } else { PathAnchor::Prefix(start.into()) }
    }

    fn and(&self, other: &PathAnchor) -> Option<PathAnchor> {
        let (more, less) = if self <= other { (self, other) } else { (other, self) };
        match (more, less) {
            (PathAnchor::Exact(one), PathAnchor::Exact(other)) if one != other => None,
            (PathAnchor::Exact(path), PathAnchor::Prefix(start)) if !path.starts_with(&**start) => {
                None
            }
            (PathAnchor::Prefix(one), PathAnchor::Prefix(other)) => {
                let (short, long) =
                    if one.len() < other.len() { (one, other) } else { (other, one) };
                long.starts_with(&**short).then(|| PathAnchor::Prefix(long.clone()))
            }
            _ => Some(more.clone()),
        }
    }
}

/// The anchors of a tree: whenever it holds, one of them does. None at all if it never
/// holds; a single one without a condition if nothing can be said.
pub(super) fn anchors(tree: &Tree<Predicate>) -> Vec<Anchor> {
    of(tree, true)
}

/// The anchors of a tree that holds, or of one that does not.
fn of(tree: &Tree<Predicate>, holds: bool) -> Vec<Anchor> {
    match tree {
        Tree::Not(part) => of(part, !holds),
        Tree::Leaf(Predicate::Text(predicate)) if holds => of_text(predicate),
        Tree::Leaf(_) => unknown(),
        Tree::All(parts) if holds => all(parts, holds),
        Tree::Any(parts) if !holds => all(parts, holds),
        Tree::All(parts) | Tree::Any(parts) => any(parts, holds),
    }
}

fn unknown() -> Vec<Anchor> {
    vec![Anchor::default()]
}

fn all(parts: &[Tree<Predicate>], holds: bool) -> Vec<Anchor> {
    parts.iter().map(|part| of(part, holds)).fold(unknown(), both)
}

fn any(parts: &[Tree<Predicate>], holds: bool) -> Vec<Anchor> {
    let mut found = Vec::new();
    for part in parts {
        found.extend(of(part, holds));
        found = tidy(found);
        if found.len() > MOST_ANCHORS || found.iter().any(|anchor| anchor.weight() == 0) {
            return unknown();
        }
    }
    found
}

fn tidy(mut anchors: Vec<Anchor>) -> Vec<Anchor> {
    anchors.sort_unstable();
    anchors.dedup();
    anchors
}

/// Every one with every other, or the side that says more if those are too many.
fn both(one: Vec<Anchor>, other: Vec<Anchor>) -> Vec<Anchor> {
    if one.len() * other.len() > MOST_ANCHORS {
        let least = |side: &[Anchor]| side.iter().map(Anchor::weight).min();
        let worth = |side: &[Anchor]| (least(side), Reverse(side.len()));
        return if worth(&one) < worth(&other) { other } else { one };
    }
    let pairs = one.iter().flat_map(|one| other.iter().filter_map(|other| one.and(other)));
    tidy(pairs.collect())
}

/// What follows from a predicate that holds.
fn of_text(predicate: &TextPredicate) -> Vec<Anchor> {
    let TextPredicate { field, test, lower, .. } = predicate;
    match field {
        TextField::Host => host(test).map_or_else(unknown, |host| just(Anchor { host, ..none() })),
        TextField::Path if !lower => paths(test),
        TextField::Segments(0, _) if !lower => match test {
            TextTest::Is(start) | TextTest::StartsWith(start) => {
                just(Anchor { path: PathAnchor::prefix(&format!("/{start}")), ..none() })
            }
            _ => unknown(),
        },
        TextField::Method if !lower => match test {
            TextTest::Is(method) if method.len() <= LONGEST => {
                just(Anchor { method: Some(method.clone()), ..none() })
            }
            _ => unknown(),
        },
        TextField::Header(name) => match test {
            TextTest::Is(value) if name.len() + value.len() > LONGEST => unknown(),
            TextTest::Is(value) if !lower || is_lowered_from_ascii(value) => {
                let value = value.to_ascii_lowercase().into();
                just(Anchor { header: Some(HeaderAnchor { name: name.clone(), value }), ..none() })
            }
            _ => unknown(),
        },
        _ => unknown(),
    }
}

fn none() -> Anchor {
    Anchor::default()
}

fn just(anchor: Anchor) -> Vec<Anchor> {
    vec![anchor]
}

/// Whether nothing but ASCII has this for its lower case. The Kelvin sign's is a `k`.
fn is_lowered_from_ascii(text: &str) -> bool {
    text.is_ascii() && !text.contains('k')
}

/// Hosts that are not ASCII match nothing, so the case of ASCII is all there is to
/// `lower`.
fn host(test: &TextTest) -> Option<HostAnchor> {
    Some(match test {
        TextTest::Is(text) | TextTest::EndsWith(text) | TextTest::StartsWith(text)
            if text.is_empty() || text.len() > LONGEST =>
        {
            return None;
        }
        TextTest::Is(name) => HostAnchor::Exact(name.to_ascii_lowercase().into()),
        TextTest::EndsWith(end) => HostAnchor::Suffix(end.to_ascii_lowercase().into()),
        TextTest::StartsWith(start) => HostAnchor::Prefix(start.to_ascii_lowercase().into()),
        _ => return None,
    })
}

fn paths(test: &TextTest) -> Vec<Anchor> {
    let path = match test {
        TextTest::Is(path) => PathAnchor::exact(path),
        TextTest::StartsWith(start) => PathAnchor::prefix(start),
        TextTest::Matches(regex) => {
            let Some(starts) = starts(regex.source()) else { return unknown() };
            let anchor = |start: String| Anchor { path: PathAnchor::prefix(&start), ..none() };
            return tidy(starts.into_iter().map(anchor).collect());
        }
        _ => PathAnchor::Any,
    };
    just(Anchor { path, ..none() })
}

/// What texts start with that a regular expression matches, if they have something in
/// common: it must be tied to the start.
fn starts(pattern: &str) -> Option<Vec<String>> {
    let hir = regex_syntax::parse(pattern).ok()?;
    if !hir.properties().look_set_prefix().contains(Look::Start) {
        return None;
    }
    let literals = Extractor::new().limit_total(MOST_PREFIXES).extract(&hir);
    let literals = literals.literals()?.iter().map(|literal| literal.as_bytes());
    let text =
        |bytes: &[u8]| bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid()).to_owned();
    Some(literals.map(text).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kelvin_sign_is_all_that_becomes_ascii() {
        let becomes_ascii = |c: &char| c.to_lowercase().all(|lower| lower.is_ascii());
        let found: Vec<char> = ('\u{80}'..=char::MAX).filter(becomes_ascii).collect();
        assert_eq!(found, ['\u{212A}']);
    }
}
