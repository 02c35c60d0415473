//! Path prefixes in radix trees, one per host, all in one arena.
//!
//! A node is a cache line, its children are neighbours, and an [`Entry`] hangs where
//! its prefix ends, in a list that starts with the best. Each node knows the best
//! priority below it, so that a walk stops when nothing further down, or in a whole
//! other tree, can win. Pages are shared with older tables until written to.

mod edit; // adding and removing

use super::pages::Pages;
use super::pattern::Methods;
use super::rank::Rank;
use smallvec::SmallVec;

/// Stands for no place.
const NONE: u32 = u32::MAX;
/// In place of a size: the children are behind a [`Directory`].
const WIDE: u8 = u8::MAX;
const MOST_KEYS: usize = 16;
const MOST_PREFIX: usize = 21;
/// How many lists a walk gathers before it looks into them.
const LISTS: usize = 32;

/// Some bytes that all paths below have in common, and what follows them.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Node {
    /// The highest priority in this node's list and below.
    best: u64,
    /// The priority of the first of the list.
    first: u64,
    list: u32,
    /// The first child, of a run in the order of `keys`; or the directory.
    kids: u32,
    keys: [u8; MOST_KEYS],
    prefix: [u8; MOST_PREFIX],
    prefix_len: u8,
    keys_len: u8,
    /// The size of the run of children, or `WIDE`.
    room: u8,
}

const _: () = assert!(size_of::<Node>() == 64, "a node is a cache line");

/// The children of a node that has more than `MOST_KEYS`, by the byte they start with.
#[derive(Clone, Copy, Debug)]
struct Directory([u32; 256]);

/// A matcher at one of its prefixes, for one of its ports.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Entry {
    pub(super) rank: Rank,
    /// The next worse in the list.
    next: u32,
    /// Where the table keeps the route.
    pub(super) slot: u32,
    /// The length of the matcher's prefixes.
    pub(super) length: u32,
    pub(super) port: Option<u16>,
    pub(super) methods: Methods,
    /// It hangs at the root, and its prefixes are looked up in the pattern.
    pub(super) by_pattern: bool,
}

impl Default for Node {
    fn default() -> Self {
        Node {
            best: 0,
            first: 0,
            list: NONE,
            kids: NONE,
            keys: [0; MOST_KEYS],
            prefix: [0; MOST_PREFIX],
            prefix_len: 0,
            keys_len: 0,
            room: 0,
        }
    }
}

impl Default for Directory {
    fn default() -> Self {
        Directory([NONE; 256])
    }
}

impl Default for Entry {
    fn default() -> Self {
        Entry::new(Rank::default(), 0, 0, Methods::ANY)
    }
}

impl Entry {
    pub(super) fn new(rank: Rank, slot: u32, length: u32, methods: Methods) -> Entry {
        Entry { rank, next: NONE, slot, length, port: None, methods, by_pattern: false }
    }
}

impl Node {
    #[inline]
    fn prefix(&self) -> &[u8] {
        self.prefix.get(..usize::from(self.prefix_len)).unwrap_or_default()
    }

    fn set_prefix(&mut self, prefix: &[u8]) {
        self.prefix = [0; MOST_PREFIX];
        self.prefix[..prefix.len()].copy_from_slice(prefix);
        self.prefix_len = prefix.len() as u8;
    }

    fn keys(&self) -> &[u8] {
        self.keys.get(..usize::from(self.keys_len)).unwrap_or_default()
    }

    /// Which child starts with this byte. All keys are compared at once: a byte of
    /// `apart` is zero where they are equal, and the usual trick finds the first such.
    #[inline]
    fn position(&self, key: u8) -> Option<u32> {
        const LOWS: u128 = u128::from_le_bytes([0x01; MOST_KEYS]);
        const HIGHS: u128 = u128::from_le_bytes([0x80; MOST_KEYS]);
        let apart = u128::from_le_bytes(self.keys) ^ u128::from_le_bytes([key; MOST_KEYS]);
        let equal = apart.wrapping_sub(LOWS) & !apart & HIGHS;
        let position = equal.trailing_zeros() / 8;
        (position < u32::from(self.keys_len)).then_some(position)
    }

    /// Nothing hangs here or below.
    fn is_vacant(&self) -> bool {
        self.list == NONE && self.keys_len == 0 && self.room != WIDE
    }
}

/// All trees of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Trees {
    nodes: Pages<Node, 512>,
    entries: Pages<Entry, 512>,
    directories: Pages<Directory, 8>,
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

    /// The best entry at any prefix of `path` that `accepts` lets through, or `best` if
    /// that ranks before it. Does not allocate.
    #[inline]
    pub(super) fn find<'t>(
        &'t self,
        root: u32,
        path: &[u8],
        mut best: Option<&'t Entry>,
        accepts: impl Fn(&Entry) -> bool,
    ) -> Option<&'t Entry> {
        let mut lists = SmallVec::<[(u64, u32); LISTS]>::new();
        let mut node = self.nodes.get(root);
        let mut rest = path;
        while best.is_none_or(|best| best.rank.priority <= node.best) {
            let Some(after) = rest.strip_prefix(node.prefix()) else { break };
            rest = after;
            if node.list != NONE {
                if lists.len() == LISTS {
                    best = self.best_of(&mut lists, best, &accepts);
                }
                lists.push((node.first, node.list));
            }
            let Some(kid) = rest.first().and_then(|key| self.kid(node, *key)) else { break };
            node = self.nodes.get(kid);
        }
        self.best_of(&mut lists, best, &accepts)
    }

    /// Empties the lists, from the longest prefix on, which is often the best.
    #[inline]
    fn best_of<'t>(
        &'t self,
        lists: &mut SmallVec<[(u64, u32); LISTS]>,
        mut best: Option<&'t Entry>,
        accepts: &impl Fn(&Entry) -> bool,
    ) -> Option<&'t Entry> {
        while let Some((first, mut at)) = lists.pop() {
            if best.is_some_and(|best| best.rank.priority > first) {
                continue;
            }
            while at != NONE {
                let entry = self.entries.get(at);
                if best.is_some_and(|best| best.rank >= entry.rank) {
                    break;
                }
                if accepts(entry) {
                    best = Some(entry);
                    break;
                }
                at = entry.next;
            }
        }
        best
    }

    #[inline]
    fn kid(&self, node: &Node, key: u8) -> Option<u32> {
        if node.room == WIDE {
            let kid = self.directories.get(node.kids).0[usize::from(key)];
            return (kid != NONE).then_some(kid);
        }
        node.position(key).map(|position| node.kids + position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn what_is_removed_is_used_again() {
        let mut trees = Trees::default();
        let root = trees.plant();
        // Lone paths, a wide node, a long path, and one on the way to another.
        let mut paths: Vec<String> =
            (b'0'..b'z').map(|byte| format!("/{}", byte as char)).collect();
        paths.extend(["/a/b", "/a/bc", "/a/b/c"].map(str::to_owned));
        paths.push("/long".repeat(50));
        let entry = |at: u128| {
            let rank = Rank { priority: 1, id: Uuid::from_u128(at) };
            Entry::new(rank, 0, 0, Methods::ANY)
        };
        let mut used = None;
        for _ in 0..3 {
            for (at, path) in (0..).zip(&paths) {
                trees.insert(root, path.as_bytes(), entry(at));
            }
            let now = (trees.nodes.used(), trees.entries.used(), trees.directories.used());
            assert_eq!(*used.get_or_insert(now), now);
            for (at, path) in (0..).zip(&paths) {
                let is_last = at as usize + 1 == paths.len();
                assert_eq!(trees.remove(root, path.as_bytes(), entry(at).rank, None), is_last);
            }
        }
    }

    #[test]
    fn a_child_is_found_by_its_byte_only() {
        let mut node = Node { keys_len: 3, ..Node::default() };
        node.keys[..4].copy_from_slice(&[1, 0x80, 0xff, 7]);
        let found = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, 7].map(|key| node.position(key));
        assert_eq!(found, [None, Some(0), None, None, Some(1), None, Some(2), None]);
    }
}
