//! One route and one request: does it match, and if not, how nearly?

use super::Attribute;
use crate::router::expression::{About, Expression};
use crate::router::pattern::{Matcher, Paths, Pattern};
use crate::router::rank::Reach;
use crate::router::request::{Fields, RequestView};
use uuid::Uuid;

/// How a route fares with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fare {
    /// It matches.
    Serves,
    /// It would, but for this.
    Misses(Attribute),
    /// There is more between them.
    Unrelated,
}

/// A part of a route that matches the path of a request. Each ranks by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(in crate::router) id: Uuid,
    /// What of the path it goes by.
    pub(in crate::router) reach: Reach,
    /// How many bytes of the path it matches.
    pub(crate) prefix_len: usize,
}

impl Part {
    /// Whether it goes by a regular expression.
    pub(crate) fn is_regex(&self) -> bool {
        self.reach == Reach::Regex
    }
}

/// How a route with this pattern fares with this request.
pub(crate) fn fare<F: Fields>(pattern: &Pattern, request: &RequestView<'_, F>) -> Fare {
    // No route is found for what is not text.
    if std::str::from_utf8(request.path).is_err() {
        return Fare::Unrelated;
    }
    if let Some(expressed) = &pattern.expressed {
        return fare_of_expression(&expressed.expression, request);
    }
    let own = [
        (Attribute::Hosts, accepts_host(pattern, request)),
        (Attribute::Paths, matching_parts(pattern, request).next().is_some()),
    ];
    let demands = own.into_iter().chain(pattern.predicates.each(request));
    let mut unmet = demands.filter(|(_, is_met)| !is_met).map(|(attribute, _)| attribute);
    match (unmet.next(), unmet.next()) {
        (None, _) => Fare::Serves,
        (Some(attribute), None) => Fare::Misses(attribute),
        _ => Fare::Unrelated,
    }
}

fn fare_of_expression<F: Fields>(expression: &Expression, request: &RequestView<'_, F>) -> Fare {
    if expression.find(request).is_some() {
        return Fare::Serves;
    }
    let clauses = expression.clauses(request);
    let mut failing = clauses.iter().filter(|clause| !clause.holds);
    let (Some(unmet), None) = (failing.next(), failing.next()) else { return Fare::Unrelated };
    // Most requests are made by GET, and over a protocol that the route is for.
    let says_little = |about| matches!(about, About::Protocols | About::Manner);
    if clauses.iter().all(|clause| !clause.holds || says_little(clause.about)) {
        return Fare::Unrelated;
    }
    Fare::Misses(match unmet.about {
        About::Protocols => Attribute::Protocols,
        _ => Attribute::Expression,
    })
}

fn accepts_host<F>(pattern: &Pattern, request: &RequestView<'_, F>) -> bool {
    pattern.hosts.is_empty() || pattern.hosts.iter().any(|host| host.accepts(request))
}

/// The parts of a route that match the path of a request; an expression is one part.
pub(crate) fn matching_parts<F: Fields>(
    pattern: &Pattern,
    request: &RequestView<'_, F>,
) -> impl Iterator<Item = Part> {
    let expressed = pattern.expressed.iter().filter_map(|expressed| {
        let prefix_len = expressed.expression.find(request)?.prefix_len;
        Some(Part { id: expressed.rank.id, reach: Reach::Any, prefix_len })
    });
    let matching = pattern.matchers.iter().filter_map(|matcher| {
        let prefix_len = matcher.match_len(request.path)?;
        Some(Part { id: matcher.rank.id, reach: reach(matcher), prefix_len })
    });
    expressed.chain(matching)
}

fn reach(matcher: &Matcher) -> Reach {
    match &matcher.paths {
        Paths::Any => Reach::Any,
        Paths::Prefixes(length, _) => Reach::Prefix(*length),
        Paths::Regexes(_) => Reach::Regex,
    }
}
