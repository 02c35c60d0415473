//! Routes by where another route may meet them: their shape, hosts and paths.
//!
//! Two routes of one shape differ in nothing but the lengths of their paths and their ids,
//! on which both orders agree. So only shapes that the orders put differently are compared,
//! and in most configurations there are none. Where routes stand follows from what they say
//! alone, so that one that is gone is found again.

use super::Budget;
use crate::router::Pattern;
use crate::router::host::{HostName, HostRule};
use crate::router::rank::{Reach, RouterPriority, priority};
use model::Id;
use model::entities::Route;
use model::value::PathMatch;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// All routes that serve requests.
#[derive(Debug, Default)]
pub(super) struct Index {
    shelves: BTreeMap<Shape, Shelf>,
}

/// What a route's priorities are but for the length of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    effective: u64,
    documented: u64,
}

impl Shape {
    fn of(route: &Route, reach: Reach) -> Shape {
        Shape {
            effective: priority(route, reach, RouterPriority::KongEffective),
            documented: priority(route, reach, RouterPriority::Documented),
        }
    }

    /// Whether the orders may differ on routes of these shapes.
    fn conflicts(self, other: Shape) -> bool {
        self.effective.cmp(&other.effective) != self.documented.cmp(&other.documented)
    }
}

/// The routes of one shape, by their hosts.
#[derive(Debug, Default)]
struct Shelf {
    /// Names, read backwards, so that those under a `*.x` are neighbours.
    names: Buckets,
    /// What is behind the star of `*.x`, read backwards.
    suffixes: Buckets,
    /// What is before that of `x.*`.
    prefixes: Buckets,
    /// The routes that ask for no host: one bucket, if any.
    anywhere: Buckets,
}

type Buckets = BTreeMap<Box<[u8]>, Bucket>;

/// Routes by a prefix, or by what a regular expression seems to start with.
type Bucket = BTreeMap<Box<[u8]>, BTreeSet<Id<Route>>>;

/// The part of a route that has one shape.
struct Spread<'r> {
    shape: Shape,
    is_regex: bool,
    paths: Vec<&'r str>,
}

/// The kinds of parts of two routes that a path may match, of which one at least is a
/// regular expression, and whose place the orders do not agree on.
pub(super) fn kinds_in_conflict(one: &Route, other: &Route) -> Vec<(bool, bool)> {
    let (spreads, others) = (spreads(one), spreads(other));
    let pairs = spreads.iter().flat_map(|spread| others.iter().map(move |other| (spread, other)));
    let hidden = pairs.filter(|(spread, other)| {
        let is_related = |path: &&str| {
            let mut paths = other.paths.iter();
            paths.any(|other| other.starts_with(*path) || path.starts_with(other))
        };
        (spread.is_regex || other.is_regex)
            && spread.shape.conflicts(other.shape)
            && spread.paths.iter().any(is_related)
    });
    hidden.map(|(spread, other)| (spread.is_regex, other.is_regex)).collect()
}

impl Index {
    pub(super) fn place(&mut self, route: &Route) {
        for Spread { shape, paths, .. } in spreads(route) {
            let shelf = self.shelves.entry(shape).or_default();
            for host in hosts(route) {
                let (buckets, key) = shelf.buckets(host.as_ref());
                let bucket = buckets.entry(key).or_default();
                for path in &paths {
                    bucket.entry(path.as_bytes().into()).or_default().insert(route.id);
                }
            }
        }
    }

    pub(super) fn displace(&mut self, route: &Route) {
        for Spread { shape, paths, .. } in spreads(route) {
            let Some(shelf) = self.shelves.get_mut(&shape) else { continue };
            for host in hosts(route) {
                let (buckets, key) = shelf.buckets(host.as_ref());
                let Some(bucket) = buckets.get_mut(&key) else { continue };
                for path in &paths {
                    let Some(routes) = bucket.get_mut(path.as_bytes()) else { continue };
                    routes.remove(&route.id);
                    if routes.is_empty() {
                        bucket.remove(path.as_bytes());
                    }
                }
                if bucket.is_empty() {
                    buckets.remove(&key);
                }
            }
            if shelf.is_empty() {
                self.shelves.remove(&shape);
            }
        }
    }

    /// Visits the routes that may match what this one matches and whose place the orders do
    /// not agree on, until the budget is spent. Some more than once.
    pub(super) fn each_in_conflict(
        &self,
        route: &Route,
        budget: &mut Budget,
        mut visit: impl FnMut(Id<Route>),
    ) {
        for Spread { shape, paths, .. } in spreads(route) {
            let looked_at = self.shelves.iter().take_while(|_| budget.spend_shape());
            let in_conflict: Vec<_> =
                looked_at.filter(|(other, _)| shape.conflicts(**other)).collect();
            for (_, shelf) in in_conflict {
                for host in hosts(route) {
                    for bucket in shelf.meeting(host.as_ref(), budget) {
                        paths.iter().for_each(|path| {
                            each_related(bucket, path.as_bytes(), budget, &mut visit);
                        });
                    }
                }
            }
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.shelves.is_empty()
    }
}

impl Shelf {
    /// The buckets a host's is among, and its key there.
    fn buckets(&mut self, host: Option<&HostRule>) -> (&mut Buckets, Box<[u8]>) {
        match host.map(|host| &host.name) {
            None => (&mut self.anywhere, Box::default()),
            Some(HostName::Exact(name)) => (&mut self.names, backwards(name)),
            Some(HostName::Suffix(end)) => (&mut self.suffixes, backwards(end)),
            Some(HostName::Prefix(start)) => (&mut self.prefixes, start.as_bytes().into()),
        }
    }

    fn is_empty(&self) -> bool {
        [&self.names, &self.suffixes, &self.prefixes, &self.anywhere]
            .iter()
            .all(|buckets| buckets.is_empty())
    }

    /// The buckets of all hosts that a request can have at the same time as this one.
    fn meeting(&self, host: Option<&HostRule>, budget: &mut Budget) -> Vec<&Bucket> {
        let mut found: Vec<&Bucket> = self.anywhere.values().collect();
        match host.map(|host| &host.name) {
            None => {
                let all = [&self.names, &self.suffixes, &self.prefixes];
                let all = all.into_iter().flat_map(BTreeMap::values);
                found.extend(all.take_while(|_| budget.spend()));
            }
            Some(HostName::Exact(name)) => {
                found.extend(self.names.get(&backwards(name)));
                found.extend(on_the_way(&self.suffixes, &backwards(name)));
                found.extend(on_the_way(&self.prefixes, name.as_bytes()));
            }
            Some(HostName::Suffix(end)) => {
                let end = backwards(end);
                found.extend(on_the_way(&self.suffixes, &end));
                let below = below(&self.suffixes, &end).chain(below(&self.names, &end));
                let below = below.chain(self.prefixes.values());
                found.extend(below.take_while(|_| budget.spend()));
            }
            Some(HostName::Prefix(start)) => {
                found.extend(on_the_way(&self.prefixes, start.as_bytes()));
                let start_backwards = backwards(start);
                let names = self.names.iter().take_while(|_| budget.spend());
                let names = names.filter(|(name, _)| name.ends_with(&start_backwards));
                found.extend(names.map(|(_, bucket)| bucket));
                let below = below(&self.prefixes, start.as_bytes()).chain(self.suffixes.values());
                found.extend(below.take_while(|_| budget.spend()));
            }
        }
        found
    }
}

/// Visits the routes at all paths that start as this one does or that this one starts with.
fn each_related(
    bucket: &Bucket,
    path: &[u8],
    budget: &mut Budget,
    visit: &mut impl FnMut(Id<Route>),
) {
    let related = on_the_way(bucket, path).into_iter().chain(below(bucket, path));
    for id in related.flatten() {
        if !budget.spend() {
            return;
        }
        visit(*id);
    }
}

/// The values of all keys that a key starts with, itself among them. Takes as many look-ups
/// as there are such keys, and no more than twice.
fn on_the_way<'m, V>(map: &'m BTreeMap<Box<[u8]>, V>, key: &[u8]) -> Vec<&'m V> {
    let mut found = Vec::new();
    let mut rest = key;
    while let Some((last, value)) =
        map.range::<[u8], _>((Bound::Unbounded, Bound::Included(rest))).next_back()
    {
        let common = last.iter().zip(rest).take_while(|(one, other)| one == other).count();
        // Whatever is longer than what they have in common would come behind this one.
        let mut next = common;
        if common == last.len() {
            found.push(value);
            let Some(shorter) = common.checked_sub(1) else { break };
            next = shorter;
        }
        rest = rest.get(..next).unwrap_or_default();
    }
    found
}

/// The values of all keys that start with a key and are longer.
fn below<'m, V>(
    map: &'m BTreeMap<Box<[u8]>, V>,
    key: &[u8],
) -> impl Iterator<Item = &'m V> + use<'m, V> {
    let key: Box<[u8]> = key.into();
    let from = map.range::<[u8], _>((Bound::Excluded(&*key), Bound::Unbounded));
    from.take_while(move |(found, _)| found.starts_with(&key)).map(|(_, value)| value)
}

/// The hosts of a route, or none of them.
fn hosts(route: &Route) -> Vec<Option<HostRule>> {
    let hosts = HostRule::all(route).into_vec();
    if hosts.is_empty() { vec![None] } else { hosts.into_iter().map(Some).collect() }
}

/// What of a route has a shape of its own: its prefixes, and its regular expressions.
fn spreads(route: &Route) -> Vec<Spread<'_>> {
    if !Pattern::is_for_http(route) {
        return Vec::new();
    }
    let (mut prefixes, mut starts) = (Vec::new(), Vec::new());
    for path in route.paths.iter().flatten() {
        match path.matches() {
            PathMatch::Prefix(prefix) => prefixes.push(prefix),
            PathMatch::Regex(source) => starts.push(start_of(source)),
        }
    }
    if prefixes.is_empty() && starts.is_empty() {
        prefixes.push("");
    }
    let spread = |reach, mut paths: Vec<_>| {
        paths.sort_unstable();
        paths.dedup();
        Spread { shape: Shape::of(route, reach), is_regex: reach == Reach::Regex, paths }
    };
    let all = [spread(Reach::Any, prefixes), spread(Reach::Regex, starts)];
    all.into_iter().filter(|spread| !spread.paths.is_empty()).collect()
}

/// What all that a regular expression matches starts with, or some of it.
fn start_of(source: &str) -> &str {
    if source.contains('|') {
        return "";
    }
    let end = source.find(|c: char| "\\.+*?()[]{}^$#&-~".contains(c)).unwrap_or(source.len());
    let (start, rest) = source.split_at(end);
    // A character that may be missing is not of the start.
    let is_loose = rest.starts_with(['*', '?', '{']);
    let last = start.char_indices().next_back().map_or(0, |(at, _)| at);
    if is_loose { start.get(..last).unwrap_or_default() } else { start }
}

fn backwards(text: &str) -> Box<[u8]> {
    text.bytes().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::testing::route;

    #[test]
    fn what_is_displaced_leaves_nothing() {
        let routes = [
            route("a").host("a.io").host("*.a.io:81").path("/a").path("/a/b").build(),
            route("b").host("a.*").path("~/a?b").path("~/b+").path("/c").build(),
            route("c").method("GET").build(),
        ];
        let mut index = Index::default();
        routes.iter().for_each(|route| index.place(route));
        assert!(!index.is_empty());
        routes.iter().for_each(|route| index.displace(route));
        assert!(index.is_empty());
    }

    #[test]
    fn what_a_regex_seems_to_start_with_is_no_more_than_it_does() {
        for (source, start) in [
            ("/a/b", "/a/b"),
            (r"/a/\d+", "/a/"),
            ("/ab?c", "/a"),
            ("/ab*", "/a"),
            ("/ab{0,1}", "/a"),
            ("/ab+", "/ab"),
            ("/é*", "/"),
            ("/a|/b", ""),
            ("/(?i)a", "/"),
        ] {
            assert_eq!(start_of(source), start, "{source}");
        }
    }

    #[test]
    fn keys_are_found_up_and_down() {
        let keys = ["", "/", "/a", "/a/b", "/a/c", "/ab", "/b", "/a/b/c"];
        let map: BTreeMap<Box<[u8]>, &str> =
            keys.iter().map(|key| (key.as_bytes().into(), *key)).collect();
        let up =
            |key: &str| on_the_way(&map, key.as_bytes()).into_iter().copied().collect::<Vec<_>>();
        let down = |key: &str| below(&map, key.as_bytes()).copied().collect::<Vec<_>>();
        assert_eq!(up("/a/b/x"), ["/a/b", "/a", "/", ""]);
        assert_eq!(up("/aa"), ["/a", "/", ""]);
        assert_eq!(up("x"), [""]);
        assert_eq!(down("/a"), ["/a/b", "/a/b/c", "/a/c", "/ab"]);
        assert_eq!(down("/c"), [""; 0]);
    }
}
