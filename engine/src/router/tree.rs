//! What routes match at which path: radix trees, one per host, all in one arena.
//!
//! A node is a cache line, its children are neighbours, and an [`Entry`] hangs where its
//! prefix ends, a regular expression as far down as its skeleton goes, in which marks stand
//! for what varies (`regex/skeleton.rs`).
//! The entries of a node are a list that starts with the best. Each node knows the best
//! priority below it, so that a walk stops when nothing further down, or in a whole other
//! tree, can win. Pages are shared with older tables until written to.

mod board; // many entries of one node, by what they demand
mod edit; // adding and removing
mod list; // the entries of one node
mod node; // some bytes of a path, and what follows them

pub(super) use board::{Key, Keys, ShortText};
pub(super) use list::{Demands, Entry, How};

use super::method::Methods;
use super::pages::Pages;
use super::regex::{END, after_marks, is_mark};
use super::shards::Shards;
use board::{Board, Counts, Head};
use node::{Directory, Node, WIDE};
use smallvec::SmallVec;

/// Stands for no place.
const NONE: u32 = u32::MAX;
/// How many lists a walk gathers before it looks into them.
const STOPS: usize = 32;

/// All trees of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Trees {
    nodes: Pages<Node, 512>,
    directories: Pages<Directory, 8>,
    entries: Pages<Entry, 512>,
    boards: Pages<Board, 64>,
    counts: Pages<Counts, 16>,
    /// Where the lists of boards start.
    heads: Shards<Head>,
}

/// What a walk looks for.
pub(super) trait Query {
    /// The request's method.
    fn methods(&self) -> Methods;
    /// Whether the path is.
    fn is_ascii(&self) -> bool;
    /// How much of the path an entry matches, if it accepts the request.
    fn accepts(&self, entry: &Entry, at: At) -> Option<u32>;
    /// The request's method, and its hash in boards.
    fn method_key(&self) -> (u64, &[u8]);
    /// The values of a header, and their hashes in boards.
    fn header_keys<'k>(&'k self, name: &'k [u8]) -> impl Iterator<Item = (u64, &'k [u8])>;
}

/// Where an entry was met.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// How much of the path is above.
    pub(super) depth: u32,
    /// Whether the request is known to have the header's value that the entry is found by.
    pub(super) has_value: bool,
}

/// The best so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    priority: u64,
    entry: u32,
    /// Where the table keeps the route.
    pub(super) slot: u32,
    /// How much of the path it matches.
    pub(super) length: u32,
    /// Whether a regular expression matches it.
    pub(super) by_regex: bool,
}

/// A search under way.
struct Walk<'t, 'q, Q> {
    path: &'q [u8],
    query: &'q Q,
    best: Option<Found>,
    /// Nodes that have lists, and how much of the path they are behind.
    stops: SmallVec<[(&'t Node, u32); STOPS]>,
}

impl Trees {
    /// A new tree, with nothing in it.
    pub(super) fn plant(&mut self) -> u32 {
        self.nodes.put(Node::default())
    }

    /// Gives up a tree that [`Trees::remove`] has emptied.
    pub(super) fn fell(&mut self, root: u32) {
        self.nodes.free(root, 0);
    }

    /// The best entry on the way down `path`, which is UTF-8, that accepts the request, or
    /// `best` if that ranks before it. Does not allocate.
    #[inline]
    pub(super) fn find(
        &self,
        root: u32,
        path: &[u8],
        best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        let root = self.nodes.get(root);
        if best.is_some_and(|best| best.priority > root.best) {
            return best;
        }
        let mut walk = Walk { path, query, best, stops: SmallVec::new() };
        self.walk_from(root, path, &mut walk);
        self.best_of(&mut walk);
        walk.best
    }

    /// Gathers the stops from this node on, if its prefix is next.
    #[inline]
    fn walk_from<'t, Q: Query>(
        &'t self,
        mut node: &'t Node,
        mut rest: &[u8],
        walk: &mut Walk<'t, '_, Q>,
    ) {
        while let Some(after) = node.after_prefix(rest) {
            rest = after;
            self.stop(node, rest, walk);
            let Some(kid) = rest.first().and_then(|key| self.kid(node, *key)) else { break };
            node = self.nodes.get(kid);
            if walk.best.is_some_and(|best| best.priority > node.best) {
                break;
            }
        }
    }

    /// Notes what there is right behind a node's prefix, but for its children.
    #[inline]
    fn stop<'t, Q: Query>(&'t self, node: &'t Node, rest: &[u8], walk: &mut Walk<'t, '_, Q>) {
        if node.list != NONE {
            if walk.stops.len() == STOPS {
                self.best_of(walk);
            }
            walk.stops.push((node, (walk.path.len() - rest.len()) as u32));
        }
        if node.forks() {
            self.fork(node, rest, walk);
        }
    }

    /// Gathers what is below a node behind a mark, which is another way beside that of the
    /// bytes. An expression has few marks, so this does not go deep.
    #[inline(never)]
    fn fork<'t, Q: Query>(&'t self, node: &'t Node, rest: &[u8], walk: &mut Walk<'t, '_, Q>) {
        let is_possible = |mark| (mark == END) == rest.is_empty();
        for kid in self.marked(node, is_possible) {
            let kid = self.nodes.get(kid);
            if walk.best.is_some_and(|best| best.priority > kid.best) {
                continue;
            }
            let Some(after) = after_marks(kid.prefix(), rest) else { continue };
            self.stop(kid, after, walk);
            let next = after.first().and_then(|key| self.kid(kid, *key));
            if let Some(next) = next {
                self.walk_from(self.nodes.get(next), after, walk);
            }
        }
    }

    /// The children that start with such a mark.
    fn marked(&self, node: &Node, is_such: impl Fn(u8) -> bool) -> impl Iterator<Item = u32> {
        // Marks are behind all other keys.
        let near = (0..u32::from(node.keys_len)).zip(node.keys()).rev();
        let near = near.take_while(|(_, key)| is_mark(**key));
        let near = near.map(|(position, key)| (*key, node.kids + position));
        let wide = (node.room == WIDE).then(|| self.directories.get(node.kids));
        let wide = wide.into_iter().flat_map(Directory::marked);
        near.chain(wide).filter_map(move |(mark, kid)| is_such(mark).then_some(kid))
    }

    /// Visits every entry on the way down `key`. For trees that have no boards.
    pub(super) fn each_on(&self, root: u32, key: &[u8], mut visit: impl FnMut(&Entry)) {
        let mut node = self.nodes.get(root);
        let mut rest = key;
        while let Some(after) = rest.strip_prefix(node.prefix()) {
            rest = after;
            self.chain(node.list).for_each(&mut visit);
            let Some(kid) = rest.first().and_then(|key| self.kid(node, *key)) else { break };
            node = self.nodes.get(kid);
        }
    }

    /// The best entry right there. For trees that have no boards.
    pub(super) fn at(&self, root: u32, key: &[u8]) -> Option<&Entry> {
        let mut node = self.nodes.get(root);
        let mut rest = key.strip_prefix(node.prefix())?;
        while let Some(first) = rest.first() {
            node = self.nodes.get(self.kid(node, *first)?);
            rest = rest.strip_prefix(node.prefix())?;
        }
        self.chain(node.list).next()
    }

    /// Empties the stops, from the longest prefix on, which is often the best.
    #[inline]
    fn best_of<Q: Query>(&self, walk: &mut Walk<'_, '_, Q>) {
        while let Some((node, depth)) = walk.stops.pop() {
            if walk.best.is_some_and(|best| best.priority > node.first) {
                continue;
            }
            // The node alone decides for most, whose entry is then never fetched.
            let first = node.first();
            let is_better = walk.best.is_none_or(|best| best.priority < first.priority);
            walk.best = if is_better && first.accepts(walk.query) {
                Some(first.found(node.list, depth))
            } else {
                self.best_in_list(node.list, depth, walk.best, walk.query)
            };
        }
    }

    #[inline]
    fn kid(&self, node: &Node, key: u8) -> Option<u32> {
        if node.room == WIDE {
            let kid = self.directories.get(node.kids).of(key);
            return (kid != NONE).then_some(kid);
        }
        node.position(key).map(|position| node.kids + position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::rank::Rank;
    use uuid::Uuid;

    /// The route number says what the keys of its entries are.
    fn keys(slot: u32) -> Keys {
        let (header, hashes): (Option<&str>, &[u64]) = match slot % 4 {
            0 => (None, &[]),
            1 => (None, &[7, u64::from(slot)]),
            2 => (Some("a"), &[u64::from(slot)]),
            _ => (Some("b"), &[7, 8, u64::from(slot)]),
        };
        let key = |hash: &u64| Key { hash: *hash, text: hash.to_string().as_bytes().into() };
        let header = header.map(|name| name.as_bytes().into());
        Keys { header, keys: hashes.iter().map(key).collect() }
    }

    #[test]
    fn what_is_removed_is_used_again() {
        let mut trees = Trees::default();
        let root = trees.plant();
        // Lone paths, a wide node, a long path, one on the way to another, a long list.
        let mut paths: Vec<Vec<u8>> = (b'0'..b'z').map(|byte| vec![b'/', byte]).collect();
        paths.extend(["/a/b", "/a/bc", "/a/b/c"].map(|path| path.as_bytes().to_vec()));
        paths.push("/long".repeat(50).into_bytes());
        paths.extend(vec![b"/list".to_vec(); 100]);
        // Marks in a row, which come apart in many places.
        for class in 1..=4 {
            paths.push([&b"/r/"[..], &[END + class], b"/x/\xf7/", &[END]].concat());
        }
        let ends = [&b"/r/\xf6/x/"[..], b"/r/\xf6/xy", b"/r/\xf6/", b"/r/\xf6/x/\xf7"];
        paths.extend(ends.map(Vec::from));
        let entry = |slot: u32| {
            let rank = Rank { priority: u64::from(1 + slot % 3), id: Uuid::from_u128(slot.into()) };
            Entry::new(rank, slot, Methods::ANY)
        };
        let mut used = None;
        for _ in 0..3 {
            for (slot, path) in (0..).zip(&paths) {
                trees.insert(root, path, entry(slot), |entry| keys(entry.slot));
            }
            let now = [
                trees.nodes.used(),
                trees.entries.used(),
                trees.directories.used(),
                trees.boards.used(),
                trees.counts.used(),
            ];
            assert_eq!(*used.get_or_insert(now), now);
            for (slot, path) in (0..).zip(&paths) {
                let is_last = slot as usize + 1 == paths.len();
                let is_empty = trees.remove(root, path, &entry(slot), &keys(slot));
                assert_eq!(is_empty, is_last);
            }
            assert_eq!(format!("{:?}", trees.heads), "Shards(0 entries)");
        }
    }
}
