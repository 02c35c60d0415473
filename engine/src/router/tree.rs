//! What routes match at which path: radix trees, one per host, all in one arena.
//!
//! A node is a cache line, its children are neighbours, and an [`Entry`] hangs where its
//! prefix ends, a regular expression where the text ends that all its matches start with.
//! The entries of a node are a list that starts with the best. Each node knows the best
//! priority below it, so that a walk stops when nothing further down, or in a whole other
//! tree, can win. Pages are shared with older tables until written to.

mod edit; // adding and removing
mod list; // the entries of one node
mod node; // some bytes of a path, and what follows them

pub(super) use list::{Entry, How, Keys};

use super::method::Methods;
use super::pages::Pages;
use super::shards::Shards;
use list::{Board, Head};
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
    boards: Pages<Board, 16>,
    /// Where the lists of boards start.
    heads: Shards<Head>,
}

/// What a walk looks for.
pub(super) trait Query {
    /// The request's method.
    fn methods(&self) -> Methods;
    /// How much of the path an entry matches, if it accepts the request.
    fn accepts(&self, entry: &Entry) -> Option<u32>;
    /// Where boards have the routes for the request's method.
    fn method_key(&self) -> u64;
    /// Where they have those for the values of a header.
    fn header_keys<'k>(&'k self, name: &'k str) -> impl Iterator<Item = u64>;
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

impl Trees {
    /// A new tree, with nothing in it.
    pub(super) fn plant(&mut self) -> u32 {
        self.nodes.put(Node::default())
    }

    /// Gives up a tree that [`Trees::remove`] has emptied.
    pub(super) fn fell(&mut self, root: u32) {
        self.nodes.free(root, 0);
    }

    /// The best entry on the way down `path` that accepts the request, or `best` if that
    /// ranks before it. Does not allocate.
    #[inline]
    pub(super) fn find(
        &self,
        root: u32,
        path: &[u8],
        mut best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        let mut stops = SmallVec::<[(&Node, u32); STOPS]>::new();
        let mut node = self.nodes.get(root);
        let mut rest = path;
        while best.is_none_or(|best| best.priority <= node.best) {
            let Some(after) = rest.strip_prefix(node.prefix()) else { break };
            rest = after;
            if node.list != NONE {
                if stops.len() == STOPS {
                    best = self.best_of(&mut stops, best, query);
                }
                stops.push((node, (path.len() - rest.len()) as u32));
            }
            let Some(kid) = rest.first().and_then(|key| self.kid(node, *key)) else { break };
            node = self.nodes.get(kid);
        }
        self.best_of(&mut stops, best, query)
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
    fn best_of(
        &self,
        stops: &mut SmallVec<[(&Node, u32); STOPS]>,
        mut best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        while let Some((node, depth)) = stops.pop() {
            if best.is_some_and(|best| best.priority > node.first) {
                continue;
            }
            // The node alone decides for most, whose entry is then never fetched.
            let is_better = best.is_none_or(|best| best.priority < node.first);
            best = if is_better && node.surely_accepts(query.methods()) {
                let Node { first: priority, list: entry, slot, .. } = *node;
                Some(Found { priority, entry, slot, length: depth, by_regex: false })
            } else {
                self.best_in_list(node.list, best, query)
            };
        }
        best
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
        let (header, hashes): (_, &[u64]) = match slot % 4 {
            0 => (None, &[]),
            1 => (None, &[7, u64::from(slot)]),
            2 => (Some("a".into()), &[u64::from(slot)]),
            _ => (Some("b".into()), &[7, 8, u64::from(slot)]),
        };
        Keys { header, hashes: hashes.into() }
    }

    #[test]
    fn what_is_removed_is_used_again() {
        let mut trees = Trees::default();
        let root = trees.plant();
        // Lone paths, a wide node, a long path, one on the way to another, a long list.
        let mut paths: Vec<String> =
            (b'0'..b'z').map(|byte| format!("/{}", byte as char)).collect();
        paths.extend(["/a/b", "/a/bc", "/a/b/c"].map(str::to_owned));
        paths.push("/long".repeat(50));
        paths.extend(vec!["/list".to_owned(); 100]);
        let entry = |slot: u32| {
            let rank = Rank { priority: u64::from(slot % 3), id: Uuid::from_u128(slot.into()) };
            Entry::new(rank, slot, Methods::ANY)
        };
        let mut used = None;
        for _ in 0..3 {
            for (slot, path) in (0..).zip(&paths) {
                trees.insert(root, path.as_bytes(), entry(slot), |entry| keys(entry.slot));
            }
            let now = [
                trees.nodes.used(),
                trees.entries.used(),
                trees.directories.used(),
                trees.boards.used(),
            ];
            assert_eq!(*used.get_or_insert(now), now);
            for (slot, path) in (0..).zip(&paths) {
                let is_last = slot as usize + 1 == paths.len();
                let is_empty = trees.remove(root, path.as_bytes(), &entry(slot), &keys(slot));
                assert_eq!(is_empty, is_last);
            }
            assert_eq!(format!("{:?}", trees.heads), "Shards(0 entries)");
        }
    }
}
