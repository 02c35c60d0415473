//! The next table: routes added, replaced and removed, all else shared.
//!
//! A route is placed once per host and path, unless that is too many times: then once
//! per host, and its paths are looked up when it is met. An expression is placed where its
//! anchors are. What a patch gives is what building the same routes from nothing gives;
//! `tests/router.rs` holds it to that over random histories.

use super::RouteTable;
use super::host::HostName;
use super::pattern::{Expressed, Matcher, Paths, Pattern};
use super::rank::Rank;
use super::shards::{Code, Hashed, Hashing};
use super::tree::{Demands, Entry, How, Keys};
use crate::snapshot::CompiledRoute;
use model::Id;
use model::entities::Route;
use std::cmp::Reverse;
use std::sync::Arc;
use uuid::Uuid;

/// More places than this, and a route goes by its pattern instead.
const MOST_PLACES: usize = 256;

/// What becomes of one route.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is new, or not what it was.
    Put(Arc<CompiledRoute>),
    /// It is gone.
    Remove(Id<Route>),
}

impl RouteTable {
    /// The table after these changes, of which no two are of one route. Costs what they
    /// touch, not what there is.
    pub fn patched(&self, changes: impl IntoIterator<Item = Change>) -> RouteTable {
        let mut next = self.clone();
        let mut moves = Moves::default();
        for change in changes {
            match change {
                Change::Put(route) => next.put(route, &mut moves),
                Change::Remove(id) => next.remove(id.uuid(), &mut moves),
            }
        }
        // Lists begin with the best. Taken away from the best on, and put back from the
        // worst on, each is at the start of its list, however long that is.
        moves.gone.sort_by_key(|part| Reverse(part.rank));
        moves.come.sort_by_key(|part| part.rank);
        moves.gone.iter().for_each(|part| next.displace(part));
        moves.free.iter().for_each(|slot| next.slots.free(*slot, 0));
        moves.come.iter().for_each(|part| next.place(part));
        next
    }

    fn put(&mut self, route: Arc<CompiledRoute>, moves: &mut Moves) {
        let id = route.id.uuid();
        let pattern = Arc::clone(&route.pattern);
        let Some(slot) = self.slot(id) else {
            let slot = self.slots.put(Some(route));
            let code = Code::of(self.hashing.of(&id));
            self.by_id.insert(Numbered { code, id, slot });
            self.len += 1;
            return moves.come.extend(Part::all(slot, &pattern));
        };
        let old = self.slots.get_mut(slot).replace(route);
        let old = old.map(|route| Arc::clone(&route.pattern));
        // Most changes are to what a route does, not to where it is found.
        if old.as_ref() != Some(&pattern) {
            moves.gone.extend(old.iter().flat_map(|old| Part::all(slot, old)));
            moves.come.extend(Part::all(slot, &pattern));
        }
    }

    fn remove(&mut self, id: Uuid, moves: &mut Moves) {
        let removed = self.by_id.remove(self.hashing.of(&id), |numbered| numbered.id == id);
        let Some(Numbered { slot, .. }) = removed else { return };
        if let Some(route) = self.slots.get_mut(slot).take() {
            moves.gone.extend(Part::all(slot, &route.pattern));
        }
        moves.free.push(slot);
        self.len -= 1;
    }

    pub(super) fn slot(&self, id: Uuid) -> Option<u32> {
        let found = self.by_id.get(self.hashing.of(&id), |numbered| numbered.id == id);
        found.map(|numbered| numbered.slot)
    }

    fn place(&mut self, part: &Part) {
        let RouteTable { hosts, trees, slots, hashing, .. } = self;
        let keys = |entry: &Entry| {
            let route = slots.checked(entry.slot).and_then(Option::as_ref);
            route.map_or_else(Keys::default, |route| keys(&route.pattern, entry, hashing))
        };
        part.each_place(|Place { host, prefix, entry }| {
            let root = hosts.root_or_plant(host, trees, hashing);
            trees.insert(root, prefix, entry, keys);
        });
    }

    fn displace(&mut self, part: &Part) {
        let RouteTable { hosts, trees, hashing, .. } = self;
        part.each_place(|Place { host, prefix, entry }| {
            let Some(root) = hosts.root(host, trees, hashing) else { return };
            let keys = keys(&part.pattern, &entry, hashing);
            let is_empty = trees.remove(root, prefix, &entry, &keys);
            if let Some(host) = host.filter(|_| is_empty) {
                hosts.forget(host, trees, hashing);
            }
        });
    }
}

/// Where the table keeps the route with this id.
#[derive(Clone, Debug)]
pub(super) struct Numbered {
    code: Code,
    id: Uuid,
    slot: u32,
}

impl Hashed for Numbered {
    fn code(&self) -> Code {
        self.code
    }
}

/// What is to be done to the trees.
#[derive(Default)]
struct Moves {
    gone: Vec<Part>,
    come: Vec<Part>,
    /// Slots without a route.
    free: Vec<u32>,
}

/// The part of a route that has one rank.
struct Part {
    rank: Rank,
    /// Which of the pattern's matchers it is, unless that is an expression.
    matcher: usize,
    slot: u32,
    pattern: Arc<Pattern>,
}

impl Part {
    fn all(slot: u32, pattern: &Arc<Pattern>) -> impl Iterator<Item = Part> {
        let expressed = pattern.expressed.iter().map(|expressed| expressed.rank);
        let ranks = expressed.chain(pattern.matchers.iter().map(|matcher| matcher.rank));
        let part =
            move |(matcher, rank)| Part { rank, matcher, slot, pattern: Arc::clone(pattern) };
        ranks.enumerate().map(part)
    }

    /// Visits every place of it.
    fn each_place<'p>(&'p self, mut visit: impl FnMut(Place<'p>)) {
        let Part { slot, pattern, matcher: number, .. } = self;
        if let Some(expressed) = &pattern.expressed {
            return each_spot(*slot, expressed, visit);
        }
        let Some(matcher) = pattern.matchers.get(*number) else { return };
        let places = pattern.hosts.len().max(1).saturating_mul(matcher.count());
        let anywhere = pattern.hosts.is_empty().then_some(None);
        for host in pattern.hosts.iter().map(Some).chain(anywhere) {
            let mut entry = Entry::new(matcher.rank, *slot, pattern.predicates.methods);
            entry.matcher = *number as u32;
            entry.demands = pattern.predicates.demands();
            entry.port = host.and_then(|host| host.port);
            each_path(matcher, places > MOST_PLACES, entry, |prefix, entry| {
                visit(Place { host: host.map(|host| &host.name), prefix, entry })
            });
        }
    }
}

/// Where an entry hangs.
struct Place<'p> {
    host: Option<&'p HostName>,
    prefix: &'p [u8],
    entry: Entry,
}

/// What a split list finds an entry of a pattern by.
fn keys(pattern: &Pattern, entry: &Entry, hashing: &Hashing) -> Keys {
    match &pattern.expressed {
        None => pattern.predicates.keys(hashing),
        Some(expressed) => {
            let spot = expressed.spots.get(entry.path as usize);
            spot.map_or_else(Keys::default, |spot| spot.keys(hashing))
        }
    }
}

/// Visits every place of an expression.
fn each_spot<'p>(slot: u32, expressed: &'p Expressed, mut visit: impl FnMut(Place<'p>)) {
    for (number, spot) in (0..).zip(&expressed.spots) {
        let mut entry = Entry::new(expressed.rank, slot, spot.methods);
        entry = entry.with_path(spot.how, number, spot.path.len());
        entry.demands = Demands::More;
        visit(Place { host: spot.host.as_ref(), prefix: spot.path.as_bytes(), entry });
    }
}

/// Visits every place of a matcher in the tree of one host.
fn each_path<'p>(
    matcher: &'p Matcher,
    is_listed: bool,
    entry: Entry,
    mut visit: impl FnMut(&'p [u8], Entry),
) {
    match &matcher.paths {
        Paths::Any => visit(b"", entry),
        Paths::Prefixes(..) if is_listed => visit(b"", entry.with_path(How::AnyPrefix, 0, 0)),
        Paths::Regexes(_) if is_listed => visit(b"", entry.with_path(How::AnyRegex, 0, 0)),
        Paths::Prefixes(length, prefixes) => {
            let entry = entry.with_path(How::Placed, 0, *length);
            prefixes.iter().for_each(|prefix| visit(prefix.as_bytes(), entry));
        }
        Paths::Regexes(regexes) => {
            for (path, regex) in (0..).zip(regexes) {
                let how = if regex.is_told_by_place() { How::PlacedRegex } else { How::Regex };
                visit(regex.skeleton(), entry.with_path(how, path, 0));
            }
        }
    }
}
