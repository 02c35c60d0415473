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
mod names; // of headers, by number
mod node; // some bytes of a path, and what follows them
mod text; // a path on the way down

pub(super) use board::{Key, Keys, ShortText};
pub(super) use list::{Demands, Entry, How};

use super::method::Methods;
use super::pages::Pages;
use super::regex::{END, after_marks, is_mark};
use super::shards::Shards;
use arrayvec::ArrayVec;
use board::{Board, Counts, Head};
use names::Names;
use node::{Directory, Node, WIDE};
use text::Text;

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
    names: Names,
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
    /// All names, spelled in any way, with their values.
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])>;
    /// The hash in boards of a value of the header with this name, spelled as routes have it.
    fn header_key(&self, name: &[u8], value: &[u8]) -> u64;
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

/// A search under way, for the best entry in some trees.
pub(super) struct Walk<'t, 'q, Q> {
    trees: &'t Trees,
    path: Text<'q>,
    query: &'q Q,
    best: Option<Found>,
    /// Nodes that have lists, and how much of the path they are behind.
    stops: ArrayVec<(&'t Node, u32), STOPS>,
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

    #[inline]
    fn kid(&self, node: &Node, key: u8) -> Option<u32> {
        if node.room == WIDE {
            let kid = self.directories.get(node.kids).of(key);
            return (kid != NONE).then_some(kid);
        }
        node.position(key).map(|position| node.kids + position)
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
}

/// None of this allocates.
impl<'t, 'q, Q: Query> Walk<'t, 'q, Q> {
    /// A walk down a path, which is UTF-8, that has found nothing yet.
    #[inline]
    pub(super) fn new(trees: &'t Trees, path: &'q [u8], query: &'q Q) -> Self {
        Walk { trees, path: Text::new(path), query, best: None, stops: ArrayVec::new() }
    }

    /// The best entry on the way down in all trees it went through that accepts the request.
    pub(super) fn best(&self) -> Option<Found> {
        self.best
    }

    /// Goes down one tree.
    #[inline]
    pub(super) fn go_through(&mut self, root: u32) {
        let root = self.trees.nodes.get(root);
        if !self.is_beaten(root.best) {
            self.go_on(root, 0);
            self.look_into_stops();
        }
    }

    /// Whether nothing with this priority could win.
    #[inline]
    fn is_beaten(&self, priority: u64) -> bool {
        self.best.is_some_and(|best| best.priority > priority)
    }

    /// Gathers the stops from this node on, if its prefix is next.
    #[inline]
    fn go_on(&mut self, mut node: &'t Node, mut at: usize) {
        while let Some(behind) = node.behind_prefix(&self.path, at) {
            at = behind;
            self.stop(node, at);
            let Some(kid) = self.next_kid(node, at) else { break };
            node = kid;
            if self.is_beaten(node.best) {
                break;
            }
        }
    }

    #[inline]
    fn next_kid(&self, node: &Node, at: usize) -> Option<&'t Node> {
        let kid = self.trees.kid(node, self.path.byte(at)?)?;
        Some(self.trees.nodes.get(kid))
    }

    /// Notes what there is right behind a node's prefix, but for its children.
    #[inline]
    fn stop(&mut self, node: &'t Node, at: usize) {
        if node.list != NONE {
            if self.stops.is_full() {
                self.look_into_stops();
            }
            self.stops.push((node, at as u32));
        }
        if node.forks() {
            self.fork(node, at);
        }
    }

    /// Gathers what is below a node behind a mark, which is another way beside that of the
    /// bytes. An expression has few marks, so this does not go deep.
    #[inline(never)]
    fn fork(&mut self, node: &'t Node, at: usize) {
        let trees = self.trees;
        let rest = self.path.after(at);
        for kid in trees.marked(node, |mark| (mark == END) == rest.is_empty()) {
            let kid = trees.nodes.get(kid);
            if self.is_beaten(kid.best) {
                continue;
            }
            let Some(after) = after_marks(kid.prefix(), rest) else { continue };
            let at = self.path.len() - after.len();
            self.stop(kid, at);
            if let Some(next) = self.next_kid(kid, at) {
                self.go_on(next, at);
            }
        }
    }

    /// Empties the stops, from the longest prefix on, which is often the best.
    #[inline]
    fn look_into_stops(&mut self) {
        while let Some((node, depth)) = self.stops.pop() {
            if self.is_beaten(node.first) {
                continue;
            }
            // The node alone decides for most, whose entry is then never fetched.
            let first = node.first();
            let is_better = self.best.is_none_or(|best| best.priority < first.priority);
            self.best = if is_better && first.accepts(self.query) {
                Some(first.found(node.list, depth))
            } else {
                self.trees.best_in_list(node.list, first, depth, self.best, self.query)
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::rank::Rank;
    use uuid::Uuid;

    /// The route number says what the keys of its entries are.
    fn keys(slot: u32) -> Keys {
        let (header, hashes): (Option<String>, &[u64]) = match slot % 5 {
            0 => (None, &[]),
            1 => (None, &[7, u64::from(slot)]),
            2 => (Some("a".to_owned()), &[u64::from(slot)]),
            3 => (Some("b".to_owned()), &[7, 8, u64::from(slot)]),
            // So many names that they are not told apart.
            _ => (Some(format!("c{}", slot / 10)), &[u64::from(slot)]),
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
                trees.names.used(),
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
