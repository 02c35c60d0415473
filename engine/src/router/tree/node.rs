//! A node: some bytes that all paths below have in common, and what follows them.

use super::text::Text;
use super::{Found, NONE, Query};
use crate::router::method::Methods;
use crate::router::regex::END;

/// In place of a size: the children are behind a [`Directory`].
pub(super) const WIDE: u8 = u8::MAX;
/// More children than this need a [`Directory`].
pub(super) const MOST_KEYS: usize = 16;
/// More bytes than this need another node.
pub(super) const MOST_PREFIX: usize = 15;
/// The bits of a node's `prefix_len` that are the length.
const LENGTH: u8 = 0x0f;
/// The bit that says that a child starts with a mark, as `regex/skeleton.rs` makes them.
const FORKS: u8 = 0x80;
/// The bit that says that the first entry is a regular expression of which the walk here has
/// matched all, if the path is ASCII.
const REGEX: u8 = 0x40;

/// The bits of the first so many bytes of 16.
static FIRST_BYTES: [u128; MOST_PREFIX + 1] = {
    let mut bits = [0; MOST_PREFIX + 1];
    let mut len = 1;
    while len < bits.len() {
        bits[len] = (bits[len - 1] << 8) | 0xff;
        len += 1;
    }
    bits
};

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Node {
    /// The highest priority in this node's list and below.
    pub(super) best: u64,
    /// The priority of the first of the list.
    pub(super) first: u64,
    /// The first entry, or a board of them.
    pub(super) list: u32,
    /// The route of the first entry, or the group of a board with the best.
    pub(super) slot: u32,
    /// The first child, of a run in the order of `keys`; or the directory.
    pub(super) kids: u32,
    /// The methods of the first entry if nothing else is to be asked about it; else none.
    pub(super) methods: Methods,
    pub(super) keys: [u8; MOST_KEYS],
    /// If it has marks, the first byte is one.
    pub(super) prefix: [u8; MOST_PREFIX],
    /// Its length, and two bits.
    pub(super) prefix_len: u8,
    pub(super) keys_len: u8,
    /// The size of the run of children, or `WIDE`.
    pub(super) room: u8,
}

const _: () = assert!(size_of::<Node>() == 64, "a node is a cache line");

/// What is known of the first entry in a list without fetching it.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) priority: u64,
    /// The route that has it; of a board, the group that alone has such good entries.
    pub(super) slot: u32,
    /// The methods that alone decide whether it accepts a request; none if there is more to
    /// ask.
    pub(super) methods: Methods,
    /// Whether it is a regular expression of which that holds if the path is ASCII.
    pub(super) is_regex: bool,
}

impl First {
    /// Of no entry that a node could speak for.
    pub(super) fn unknown(priority: u64) -> First {
        First { priority, slot: NONE, methods: Methods::NONE, is_regex: false }
    }

    /// Whether it accepts the request, whatever else that has.
    #[inline]
    pub(super) fn accepts(&self, query: &impl Query) -> bool {
        let method = query.methods();
        self.methods.meets(method)
            && !self.methods.is_vague_on(method)
            && (!self.is_regex || query.is_ascii())
    }

    /// What is found if it does: the entry, whose number the list has, this far down the path.
    #[inline]
    pub(super) fn found(&self, entry: u32, depth: u32) -> Found {
        let First { priority, slot, is_regex, .. } = *self;
        Found { priority, entry, slot, length: depth, by_regex: is_regex }
    }
}

/// The children of a node that has more than `MOST_KEYS`, by the byte they start with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directory([u32; 256]);

impl Default for Node {
    fn default() -> Self {
        Node {
            best: 0,
            first: 0,
            list: NONE,
            slot: NONE,
            kids: NONE,
            methods: Methods::NONE,
            keys: [0; MOST_KEYS],
            prefix: [0; MOST_PREFIX],
            prefix_len: 0,
            keys_len: 0,
            room: 0,
        }
    }
}

impl Node {
    #[inline]
    pub(super) fn prefix(&self) -> &[u8] {
        self.prefix.get(..usize::from(self.prefix_len & LENGTH)).unwrap_or_default()
    }

    /// How far down a path it is behind the prefix, if that is what comes next.
    #[inline]
    pub(super) fn behind_prefix(&self, path: &Text<'_>, at: usize) -> Option<usize> {
        let len = usize::from(self.prefix_len & LENGTH);
        let mut prefix = [0; MOST_PREFIX + 1];
        prefix[..MOST_PREFIX].copy_from_slice(&self.prefix);
        let apart = path.word(at) ^ u128::from_le_bytes(prefix);
        let counts = FIRST_BYTES.get(len)?;
        (apart & counts == 0 && at + len <= path.len()).then_some(at + len)
    }

    /// The byte its parent knows it by.
    pub(super) fn key(&self) -> u8 {
        self.prefix[0]
    }

    pub(super) fn set_prefix(&mut self, prefix: &[u8]) {
        self.prefix = [0; MOST_PREFIX];
        self.prefix[..prefix.len()].copy_from_slice(prefix);
        self.prefix_len = self.prefix_len & !LENGTH | prefix.len() as u8;
    }

    /// Whether a child stands for more than the byte it starts with.
    #[inline]
    pub(super) fn forks(&self) -> bool {
        self.prefix_len & FORKS != 0
    }

    pub(super) fn set_forks(&mut self, forks: bool) {
        self.prefix_len = self.prefix_len & !FORKS | if forks { FORKS } else { 0 };
    }

    /// What is first in its list.
    #[inline]
    pub(super) fn first(&self) -> First {
        let is_regex = self.prefix_len & REGEX != 0;
        First { priority: self.first, slot: self.slot, methods: self.methods, is_regex }
    }

    /// Takes over what is first in its list.
    pub(super) fn set_first(&mut self, first: First) {
        (self.first, self.slot, self.methods) = (first.priority, first.slot, first.methods);
        self.prefix_len = self.prefix_len & !REGEX | if first.is_regex { REGEX } else { 0 };
    }

    pub(super) fn keys(&self) -> &[u8] {
        self.keys.get(..usize::from(self.keys_len)).unwrap_or_default()
    }

    /// Which child starts with this byte. All keys are compared at once: a byte of
    /// `apart` is zero where they are equal, and the usual trick finds the first such. A
    /// branch between two halves would often be guessed wrong.
    #[inline]
    pub(super) fn position(&self, key: u8) -> Option<u32> {
        const LOWS: u128 = u128::from_le_bytes([0x01; MOST_KEYS]);
        const HIGHS: u128 = u128::from_le_bytes([0x80; MOST_KEYS]);
        let eight = u64::from_le_bytes([0x01; 8]) * u64::from(key);
        let all = (u128::from(eight) << 64) | u128::from(eight);
        let apart = u128::from_le_bytes(self.keys) ^ all;
        let equal = apart.wrapping_sub(LOWS) & !apart & HIGHS;
        let position = equal.trailing_zeros() / 8;
        (position < u32::from(self.keys_len)).then_some(position)
    }

    /// Nothing hangs here or below.
    pub(super) fn is_vacant(&self) -> bool {
        self.list == NONE && self.keys_len == 0 && self.room != WIDE
    }
}

impl Default for Directory {
    fn default() -> Self {
        Directory([NONE; 256])
    }
}

impl Directory {
    #[inline]
    pub(super) fn of(&self, key: u8) -> u32 {
        self.0[usize::from(key)]
    }

    /// What was there.
    pub(super) fn set(&mut self, key: u8, kid: u32) -> u32 {
        std::mem::replace(&mut self.0[usize::from(key)], kid)
    }

    /// The children that start with a mark, and which.
    pub(super) fn marked(&self) -> impl Iterator<Item = (u8, u32)> {
        (END..=u8::MAX).map(|mark| (mark, self.of(mark))).filter(|(_, kid)| *kid != NONE)
    }

    pub(super) fn kids(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied().filter(|kid| *kid != NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_by_its_byte_only() {
        let mut node = Node { keys_len: 3, ..Node::default() };
        node.keys[..4].copy_from_slice(&[1, 0x80, 0xff, 7]);
        let found = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, 7].map(|key| node.position(key));
        assert_eq!(found, [None, Some(0), None, None, Some(1), None, Some(2), None]);
    }
}
