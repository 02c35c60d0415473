//! Which requests a route serves, in the router's terms.
//!
//! A pattern is made once from a route and says where in the table it belongs:
//! [`super::patch`] places it under each of its hosts and paths. Two equal patterns
//! belong in the same places, so that a route whose pattern did not change leaves the
//! table alone.

use super::Captures;
use super::expression::{self, Expression, Traffic};
use super::host::HostRule;
use super::predicate::Predicates;
use super::rank::{Rank, Reach, RouterPriority, priority};
use super::regex::{self, Regex, RegexFault, Regexes};
use super::request::{Fields, RequestView};
use super::spot::Spot;
use crate::snapshot::RouterOptions;
use model::Flavor;
use model::entities::Route;
use model::value::{HostMatch, PathMatch, Protocol};
use std::sync::Arc;
use uuid::Uuid;

/// What a request must look like to be served by a route.
#[derive(Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Empty for any host.
    pub(super) hosts: Box<[HostRule]>,
    pub(super) predicates: Predicates,
    /// Empty if the route is an expression.
    pub(super) matchers: Box<[Matcher]>,
    /// What is asked instead if the route is an expression.
    pub(super) expressed: Option<Box<Expressed>>,
}

/// A route that is an expression.
#[derive(Debug)]
pub(super) struct Expressed {
    pub(super) expression: Expression,
    pub(super) rank: Rank,
    /// Where it is met.
    pub(super) spots: Box<[Spot]>,
}

/// Where it is met follows from the expression.
impl PartialEq for Expressed {
    fn eq(&self, other: &Expressed) -> bool {
        self.expression == other.expression && self.rank == other.rank
    }
}

impl Eq for Expressed {}

/// The part of a route that has one rank: Kong 3.10 splits a route by the length of its
/// prefixes, and leaves all its regular expressions together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Matcher {
    pub(super) rank: Rank,
    pub(super) paths: Paths,
}

/// The paths of a matcher, any of which a request's path must match.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Paths {
    /// The route has no paths.
    Any,
    /// All of this length, in order.
    Prefixes(usize, Box<[Box<str>]>),
    /// As they stand in the route: the first that matches says how much it matches.
    Regexes(Box<[Arc<Regex>]>),
}

/// A part of a route that cannot be served. Serving the rest of it would send requests
/// where the operator did not want them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unserved {
    /// A regular expression in this field.
    #[error("the regular expression `{pattern}` in `{field}` {fault}")]
    Regex {
        /// The field.
        field: &'static str,
        /// The expression, as written but for the mark before it.
        pattern: String,
        /// What is wrong with it.
        fault: RegexFault,
    },
    /// It is longer than any request head could be.
    #[error("no request can have a path of {0} bytes")]
    LongPath(usize),
    /// A wildcard host that is longer than any name.
    #[error("no host has a name of {0} bytes")]
    LongHost(usize),
    /// An expression that is none.
    #[error("Router Expression failed validation: {0}")]
    Expression(expression::Mistake),
    /// An expression, where routes are not written so.
    #[error("the route is an expression, which this node does not read: its router_flavor is {0}")]
    Flavor(Flavor),
}

impl Unserved {
    /// Whether all regular expressions of a revision are to blame, and this one was only the
    /// last.
    pub(crate) fn is_too_many(&self) -> bool {
        let fault = match self {
            Unserved::Regex { fault, .. } => fault,
            Unserved::Expression(expression::Mistake {
                problem: expression::Problem::Regex(fault),
                ..
            }) => fault,
            _ => return false,
        };
        matches!(fault, RegexFault::TooMany(_) | RegexFault::TooManyLarge(_))
    }

    /// The field that is to blame.
    pub fn field(&self) -> &'static str {
        match self {
            Unserved::Regex { field, .. } => field,
            Unserved::LongPath(_) => "paths",
            Unserved::LongHost(_) => "hosts",
            Unserved::Expression(_) | Unserved::Flavor(_) => "expression",
        }
    }
}

/// Kong's namespace for the ids of the parts of a route it has split.
const PARTS: Uuid = Uuid::from_u128(0x7f14_5bf9_0dce_4f91_98eb_debb_ce4b_9f6b);
/// Longer ones are refused: a path is walked once per byte when it is placed.
const LONGEST_PATH: usize = 65_535;
/// A name has at most 253 bytes (RFC 1035 §2.3.4); this leaves room for the dots around it.
pub(super) const LONGEST_HOST: usize = 255;

impl Pattern {
    /// Whether HTTP requests may be served by this route; all others are for streams.
    ///
    /// Which of the protocols it has does not matter here: Kong 3.10 finds a route that is
    /// only for `https` over cleartext as well, and then says that TLS is required.
    pub fn is_for_http(route: &Route) -> bool {
        route.protocols.iter().copied().any(Protocol::is_http)
    }

    /// The pattern of a route, or everything about it that cannot be served.
    ///
    /// # Errors
    /// What the router cannot compare requests with.
    pub fn of(
        route: &Route,
        options: RouterOptions,
        regexes: &Regexes,
    ) -> Result<Pattern, Vec<Unserved>> {
        let RouterOptions { router_priority: order, router_flavor: flavor } = options;
        if let Some(expression) = expression_of(route, flavor, regexes)? {
            return Ok(Pattern::of_expression(route, expression));
        }
        let mut unserved = too_long(route);
        let mut predicates = Predicates::of(route, regexes, &mut unserved);
        if flavor == Flavor::Expressions {
            predicates.only_over(&route.protocols);
        }
        let matchers = matchers(route, order, regexes, &mut unserved);
        if !unserved.is_empty() {
            return Err(unserved);
        }
        Ok(Pattern { hosts: HostRule::all(route), predicates, matchers, expressed: None })
    }

    fn of_expression(route: &Route, expression: Expression) -> Pattern {
        let priority = expression::rank(u64::try_from(route.priority).unwrap_or(0));
        let rank = Rank { priority, id: route.id.uuid() };
        let spots = Spot::all(&expression);
        Pattern {
            hosts: Box::default(),
            predicates: Predicates::default(),
            matchers: Box::default(),
            expressed: Some(Box::new(Expressed { expression, rank, spots })),
        }
    }

    /// Whether it is asked of every request, since it says nothing that it could be looked
    /// up by.
    pub fn is_unanchored(&self) -> bool {
        self.expressed
            .as_ref()
            .is_some_and(|expressed| expressed.spots.iter().any(Spot::is_everywhere))
    }

    /// Whether its expression has a field that Kong will know no longer.
    pub fn is_dated(&self) -> bool {
        self.expressed.as_ref().is_some_and(|expressed| expressed.expression.is_dated())
    }

    /// Says that its regular expressions are not used for it any more.
    pub(crate) fn give_back(&self, regexes: &Regexes) {
        let mut give_back = |regex: &Regex| regexes.give_back(regex);
        self.predicates.each_regex(&mut give_back);
        for matcher in &self.matchers {
            if let Paths::Regexes(regexes) = &matcher.paths {
                regexes.iter().for_each(|regex| give_back(regex));
            }
        }
        if let Some(expressed) = &self.expressed {
            expressed.expression.give_back(regexes);
        }
    }

    /// What the groups of its regular expressions match in a request that it serves; none
    /// if there are no groups. In the path of a route without an expression, it is those
    /// of the first that matches.
    pub(super) fn captures<'t, 'p, F: Fields>(
        &'t self,
        request: &RequestView<'p, F>,
    ) -> Option<Captures<'t, 'p>> {
        match &self.expressed {
            Some(expressed) => expressed.expression.captures(request).map(Captures::from),
            None => self.path_captures(request.path).map(Captures::from),
        }
    }

    fn path_captures<'t, 'p>(&'t self, path: &'p [u8]) -> Option<regex::Captures<'t, 'p>> {
        let regexes = self.matchers.iter().find_map(|matcher| match &matcher.paths {
            Paths::Regexes(regexes) => Some(regexes),
            _ => None,
        });
        regexes?.iter().find(|regex| regex.is_match(path))?.captures(path)
    }
}

impl Matcher {
    /// How many paths it has.
    pub(super) fn count(&self) -> usize {
        match &self.paths {
            Paths::Any => 1,
            Paths::Prefixes(_, prefixes) => prefixes.len(),
            Paths::Regexes(regexes) => regexes.len(),
        }
    }

    /// How much of a path it matches, if it does.
    pub(super) fn match_len(&self, path: &[u8]) -> Option<usize> {
        match &self.paths {
            Paths::Any => Some(0),
            Paths::Prefixes(length, prefixes) => {
                let start = path.get(..*length)?;
                let found = prefixes.binary_search_by(|prefix| prefix.as_bytes().cmp(start));
                found.is_ok().then_some(*length)
            }
            Paths::Regexes(regexes) => regexes.iter().find_map(|regex| regex.match_len(path)),
        }
    }
}

/// A regular expression, or none and what is wrong with it.
pub(super) fn checked(
    field: &'static str,
    pattern: &str,
    regex: Result<Arc<Regex>, RegexFault>,
    unserved: &mut Vec<Unserved>,
) -> Option<Arc<Regex>> {
    regex
        .map_err(|fault| {
            unserved.push(Unserved::Regex { field, pattern: pattern.to_owned(), fault })
        })
        .ok()
}

/// The expression of a route, if it is one.
pub(crate) fn expression_of(
    route: &Route,
    flavor: Flavor,
    regexes: &Regexes,
) -> Result<Option<Expression>, Vec<Unserved>> {
    let Some(text) = &route.expression else { return Ok(None) };
    if flavor != Flavor::Expressions {
        return Err(vec![Unserved::Flavor(flavor)]);
    }
    let is_http = Pattern::is_for_http(route);
    let traffic = if is_http { Traffic::Http } else { Traffic::Stream };
    match Expression::compile(text, traffic, regexes) {
        Ok(expression) => Ok(Some(expression.only_over(route.protocols.iter().copied()))),
        Err(mistakes) => Err(mistakes.into_iter().map(Unserved::Expression).collect()),
    }
}

fn too_long(route: &Route) -> Vec<Unserved> {
    let paths = route.paths.iter().flatten().filter_map(|path| match path.matches() {
        PathMatch::Prefix(prefix) => {
            (prefix.len() > LONGEST_PATH).then_some(Unserved::LongPath(prefix.len()))
        }
        PathMatch::Regex(_) => None,
    });
    let hosts = route.hosts.iter().flatten().filter_map(|pattern| match pattern.parts().0 {
        HostMatch::Suffix(part) | HostMatch::Prefix(part) => {
            (part.len() > LONGEST_HOST).then_some(Unserved::LongHost(part.len()))
        }
        HostMatch::Exact(_) => None,
    });
    paths.chain(hosts).collect()
}

/// Splits a route as Kong does: one matcher per length of prefix and one for regular
/// expressions, in the order the first of each appears, each with an id of its own unless
/// there is only one.
fn matchers(
    route: &Route,
    order: RouterPriority,
    regexes: &Regexes,
    unserved: &mut Vec<Unserved>,
) -> Box<[Matcher]> {
    let mut groups: Vec<(Reach, Vec<&str>)> = Vec::new();
    for path in route.paths.iter().flatten() {
        let (reach, text) = match path.matches() {
            PathMatch::Prefix(prefix) => (Reach::Prefix(prefix.len()), prefix),
            PathMatch::Regex(text) => (Reach::Regex, text),
        };
        match groups.iter_mut().find(|group| group.0 == reach) {
            Some((_, group)) => group.push(text),
            None => groups.push((reach, vec![text])),
        }
    }
    if groups.is_empty() {
        groups.push((Reach::Any, Vec::new()));
    }
    let is_split = groups.len() > 1;
    let matcher = |(at, (reach, texts)): (usize, (Reach, Vec<&str>))| {
        let id = if is_split { part_id(route, at + 1) } else { route.id.uuid() };
        let rank = Rank { priority: priority(route, reach, order), id };
        Matcher { rank, paths: Paths::of(reach, &texts, regexes, unserved) }
    };
    groups.into_iter().enumerate().map(matcher).collect()
}

impl Paths {
    fn of(reach: Reach, texts: &[&str], regexes: &Regexes, unserved: &mut Vec<Unserved>) -> Paths {
        match reach {
            Reach::Any => Paths::Any,
            Reach::Prefix(length) => {
                Paths::Prefixes(length, sorted(texts.iter().copied().map(Box::from).collect()))
            }
            Reach::Regex => {
                let mut regex = |text| checked("paths", text, regexes.for_paths(text), unserved);
                Paths::Regexes(texts.iter().filter_map(|text| regex(text)).collect())
            }
        }
    }
}

fn part_id(route: &Route, part: usize) -> Uuid {
    Uuid::new_v5(&PARTS, format!("{}#{part}", route.id).as_bytes())
}

/// In order, each once.
pub(super) fn sorted<T: Ord>(mut values: Vec<T>) -> Box<[T]> {
    values.sort_unstable();
    values.dedup();
    values.into()
}
