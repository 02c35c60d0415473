//! Which requests a route serves, in the router's terms.
//!
//! A pattern is made once from a route and says where in the table it belongs:
//! [`super::patch`] places it under each of its hosts and prefixes. Two equal
//! patterns belong in the same places, so that a route whose pattern did not change
//! leaves the table alone.

use super::rank::{Rank, priority};
use model::entities::Route;
use model::value::{HostMatch, PathMatch, Protocol};
use uuid::Uuid;

/// What a request must look like to be served by a route.
#[derive(Debug, PartialEq, Eq)]
pub struct Pattern {
    /// In lower case; empty for any host.
    pub(super) hosts: Box<[HostPort]>,
    pub(super) methods: Methods,
    /// Those of its methods that have no bit in [`Methods`].
    pub(super) rare_methods: Box<[Box<str>]>,
    pub(super) matchers: Box<[Matcher]>,
}

/// A host, and the port a request must have been sent to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostPort {
    pub(super) host: Box<str>,
    pub(super) port: Option<u16>,
}

/// The part of a route that has one rank: Kong splits a route by the length of its
/// prefixes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Matcher {
    pub(super) rank: Rank,
    /// All of this length, in order; only an empty one if the route has no paths.
    pub(super) prefixes: Box<[Box<str>]>,
    pub(super) length: u32,
}

/// A part of a route that this version does not serve. Serving the rest of it would
/// send requests where the operator did not want them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unserved {
    /// It is for a protocol the proxy does not speak.
    #[error("this version does not serve routes for protocol `{0}` yet")]
    Protocol(Protocol),
    /// A host has a wildcard.
    #[error("this version does not serve wildcard hosts such as `{0}` yet")]
    WildcardHost(String),
    /// A path is a regular expression.
    #[error("this version does not serve regular expressions in paths such as `{0}` yet")]
    RegexPath(String),
    /// It matches on something requests are not compared with.
    #[error("this version does not serve routes with `{0}` yet")]
    Field(&'static str),
    /// It is longer than any request head could be.
    #[error("no request can have a path of {0} bytes")]
    LongPath(usize),
}

/// Kong's namespace for the ids of the parts of a route it has split.
const PARTS: Uuid = Uuid::from_u128(0x7f14_5bf9_0dce_4f91_98eb_debb_ce4b_9f6b);
/// Longer ones are refused: a path is walked once per byte when it is placed.
const LONGEST_PATH: usize = 65_535;

impl Pattern {
    /// The pattern of a route, or everything about it that is not served.
    pub fn of(route: &Route) -> Result<Pattern, Vec<Unserved>> {
        let unserved = unserved(route);
        if !unserved.is_empty() {
            return Err(unserved);
        }
        let methods = route.methods.iter().flatten().map(|method| method.as_str());
        let rare = methods.clone().filter(|method| Methods::of(method.as_bytes()) == Methods::RARE);
        Ok(Pattern {
            hosts: hosts(route),
            methods: methods.clone().map(|m| Methods::of(m.as_bytes())).collect(),
            rare_methods: rare.map(Box::from).collect(),
            matchers: matchers(route),
        })
    }

    /// Whether a method without a bit of its own is one of those that are served.
    #[inline]
    pub(super) fn accepts_rare(&self, method: &[u8]) -> bool {
        self.rare_methods.iter().any(|rare| rare.as_bytes() == method)
    }

    /// Whether a path starts with one of the prefixes that have this length.
    pub(super) fn accepts_path(&self, path: &[u8], length: u32) -> bool {
        let Some(start) = path.get(..length as usize) else { return false };
        let matcher = self.matchers.iter().find(|matcher| matcher.length == length);
        matcher.is_some_and(|m| m.prefixes.binary_search_by(|p| p.as_bytes().cmp(start)).is_ok())
    }
}

fn unserved(route: &Route) -> Vec<Unserved> {
    let is_http = |protocol: &&Protocol| matches!(protocol, Protocol::Http | Protocol::Https);
    let protocols = route.protocols.iter().filter(|protocol| !is_http(protocol));
    let is_wild =
        |host: &&model::value::HostPattern| !matches!(host.parts().0, HostMatch::Exact(_));
    let hosts = route.hosts.iter().flatten().filter(is_wild);
    let paths = route.paths.iter().flatten().filter_map(|path| match path.matches() {
        PathMatch::Regex(_) => Some(Unserved::RegexPath(path.to_string())),
        PathMatch::Prefix(prefix) if prefix.len() > LONGEST_PATH => {
            Some(Unserved::LongPath(prefix.len()))
        }
        PathMatch::Prefix(_) => None,
    });
    let fields = [
        ("headers", route.headers.as_ref().is_some_and(|map| !map.is_empty())),
        ("snis", route.snis.as_ref().is_some_and(|set| !set.is_empty())),
        ("sources", route.sources.as_ref().is_some_and(|set| !set.is_empty())),
        ("destinations", route.destinations.as_ref().is_some_and(|set| !set.is_empty())),
    ];
    protocols
        .map(|protocol| Unserved::Protocol(*protocol))
        .chain(hosts.map(|host| Unserved::WildcardHost(host.to_string())))
        .chain(paths)
        .chain(fields.into_iter().filter(|(_, set)| *set).map(|(name, _)| Unserved::Field(name)))
        .collect()
}

fn hosts(route: &Route) -> Box<[HostPort]> {
    let hosts = route.hosts.iter().flatten().map(|pattern| {
        let (HostMatch::Exact(host) | HostMatch::Suffix(host) | HostMatch::Prefix(host), port) =
            pattern.parts();
        HostPort { host: as_requested(host).into(), port }
    });
    sorted(hosts.collect())
}

/// A host as requests name it: in lower case, an IPv6 address in brackets.
fn as_requested(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host }
}

/// Splits a route as Kong does: one matcher per length of prefix, in the order the
/// lengths appear, each with an id of its own unless there is only one.
fn matchers(route: &Route) -> Box<[Matcher]> {
    let mut lengths: Vec<(usize, Vec<Box<str>>)> = Vec::new();
    for path in route.paths.iter().flatten() {
        let PathMatch::Prefix(prefix) = path.matches() else { continue };
        match lengths.iter_mut().find(|(length, _)| *length == prefix.len()) {
            Some((_, group)) => group.push(prefix.into()),
            None => lengths.push((prefix.len(), vec![prefix.into()])),
        }
    }
    if lengths.is_empty() {
        lengths.push((0, vec!["".into()]));
    }
    let is_split = lengths.len() > 1;
    let matcher = |(at, (length, prefixes)): (usize, (usize, Vec<Box<str>>))| {
        let id = if is_split { part_id(route, at + 1) } else { route.id.uuid() };
        let rank = Rank { priority: priority(route, length), id };
        Matcher { rank, prefixes: sorted(prefixes), length: length as u32 }
    };
    lengths.into_iter().enumerate().map(matcher).collect()
}

fn part_id(route: &Route, part: usize) -> Uuid {
    Uuid::new_v5(&PARTS, format!("{}#{part}", route.id).as_bytes())
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Box<[T]> {
    values.sort_unstable();
    values.dedup();
    values.into()
}

/// A set of methods: a bit for each common one, and one for all others together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Methods(u16);

impl Methods {
    pub(super) const ANY: Methods = Methods(u16::MAX);
    /// None that has a bit of its own: the text decides.
    pub(super) const RARE: Methods = Methods(1 << 15);

    /// The set of this one method, whose case counts.
    #[inline]
    pub(super) fn of(method: &[u8]) -> Methods {
        Methods(match method {
            b"GET" => 1,
            b"POST" => 1 << 1,
            b"PUT" => 1 << 2,
            b"DELETE" => 1 << 3,
            b"HEAD" => 1 << 4,
            b"PATCH" => 1 << 5,
            b"OPTIONS" => 1 << 6,
            b"TRACE" => 1 << 7,
            b"CONNECT" => 1 << 8,
            _ => return Methods::RARE,
        })
    }

    #[inline]
    pub(super) fn meets(self, other: Methods) -> bool {
        self.0 & other.0 != 0
    }
}

/// A route without methods serves any.
impl FromIterator<Methods> for Methods {
    fn from_iter<I: IntoIterator<Item = Methods>>(methods: I) -> Methods {
        match methods.into_iter().fold(0, |all, one| all | one.0) {
            0 => Methods::ANY,
            bits => Methods(bits),
        }
    }
}
