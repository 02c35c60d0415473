//! The entries that hang at one node: a chain, best first, or a board of chains.
//!
//! A chain that grows long becomes a board, which has a chain for each value of a header
//! and for each method, and one for entries that demand neither; so a request looks only
//! at entries that have a chance. What was a board stays one until it is empty.

use super::{Found, NONE, Query, Trees};
use crate::router::method::Methods;
use crate::router::rank::Rank;
use imbl::OrdMap;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::sync::Arc;

/// The most entries in a chain that is not a board's. Each that demands a header costs some
/// fetches from memory to be asked, a board about as many as three of them.
const LONGEST: usize = 8;
/// Marks a list that is a board.
const BOARD: u32 = 1 << 31;

/// A matcher at one of its paths, for one of its hosts.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(in crate::router) struct Entry {
    pub(in crate::router) rank: Rank,
    /// The next worse in the chain.
    next: u32,
    /// Where the table keeps the route.
    pub(in crate::router) slot: u32,
    /// Which of the route's matchers it is.
    pub(in crate::router) matcher: u32,
    /// Which of the matcher's paths, or of an expression's places. Of equals the first counts.
    pub(in crate::router) path: u32,
    /// The length of a prefix.
    pub(in crate::router) length: u32,
    pub(in crate::router) port: Option<u16>,
    pub(in crate::router) methods: Methods,
    /// The route demands more than a host, a path and a method.
    pub(in crate::router) demands: bool,
    pub(in crate::router) how: How,
}

/// How much of the path an entry's place in the tree has checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::router) enum How {
    /// All there is to it.
    Placed,
    /// Not more than what a regular expression starts with.
    Regex,
    /// Nothing: all prefixes of the matcher remain to be looked at.
    AnyPrefix,
    /// Nothing: all regular expressions of the matcher remain to be looked at.
    AnyRegex,
    /// Not more than what an expression cannot hold without.
    Evaluated,
    /// The same, but only for paths as long as its prefix.
    EvaluatedWhole,
}

/// Under which heads of a board an entry hangs; with none, with those that demand
/// neither a header nor a method.
#[derive(Clone, Debug, Default)]
pub(in crate::router) struct Keys {
    /// The header whose values the hashes are of; if none, they are of methods.
    pub(in crate::router) header: Option<Arc<str>>,
    pub(in crate::router) hashes: SmallVec<[u64; 4]>,
}

/// A list that has been split.
#[derive(Clone, Debug)]
pub(super) struct Board {
    /// The chain of entries without keys.
    rest: u32,
    /// Headers some entry has keys of, and how many have.
    headers: Vec<(Arc<str>, u32)>,
    /// How many entries have keys of methods.
    by_method: u32,
    /// How many entries have each priority.
    priorities: OrdMap<u64, u32>,
}

/// The first entry of a chain of a board.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    board: u32,
    key: u64,
    entry: u32,
}

impl Default for Entry {
    fn default() -> Self {
        Entry::new(Rank::default(), 0, Methods::ANY)
    }
}

impl Entry {
    pub(in crate::router) fn new(rank: Rank, slot: u32, methods: Methods) -> Entry {
        Entry {
            rank,
            next: NONE,
            slot,
            matcher: 0,
            path: 0,
            length: 0,
            port: None,
            methods,
            demands: false,
            how: How::Placed,
        }
    }

    /// The same, for a path of a matcher.
    pub(in crate::router) fn with_path(mut self, how: How, path: u32, length: usize) -> Entry {
        (self.how, self.path, self.length) = (how, path, length as u32);
        self
    }

    /// Entries of one list differ in this or in their ports.
    fn order(&self) -> (Rank, Reverse<u32>) {
        (self.rank, Reverse(self.path))
    }

    fn is(&self, other: &Entry) -> bool {
        self.order() == other.order() && self.port == other.port
    }

    /// The methods it accepts if it asks for nothing else.
    fn plain_methods(&self) -> Methods {
        let is_plain = !self.demands && self.port.is_none() && self.how == How::Placed;
        if is_plain { self.methods } else { Methods::NONE }
    }
}

impl Default for Board {
    fn default() -> Self {
        Board { rest: NONE, headers: Vec::new(), by_method: 0, priorities: OrdMap::new() }
    }
}

impl Board {
    fn note(&mut self, entry: &Entry, keys: &Keys) {
        *self.priorities.entry(entry.rank.priority).or_default() += 1;
        match &keys.header {
            Some(name) => match self.headers.iter_mut().find(|header| header.0 == *name) {
                Some((_, count)) => *count += 1,
                None => self.headers.push((Arc::clone(name), 1)),
            },
            None => self.by_method += u32::from(!keys.hashes.is_empty()),
        }
    }

    /// The opposite of [`Board::note`].
    fn forget(&mut self, entry: &Entry, keys: &Keys) {
        let priority = entry.rank.priority;
        match self.priorities.get(&priority).copied() {
            Some(count) if count > 1 => drop(self.priorities.insert(priority, count - 1)),
            _ => drop(self.priorities.remove(&priority)),
        }
        match &keys.header {
            Some(name) => {
                if let Some((_, count)) = self.headers.iter_mut().find(|header| header.0 == *name) {
                    *count -= 1;
                }
                self.headers.retain(|(_, count)| *count > 0);
            }
            None => self.by_method -= u32::from(!keys.hashes.is_empty()),
        }
    }
}

/// Looking.
impl Trees {
    pub(super) fn chain(&self, first: u32) -> impl Iterator<Item = &Entry> {
        let entry = |at| (at != NONE).then(|| self.entries.get(at));
        std::iter::successors(entry(first), move |last| entry(last.next))
    }

    /// The best of a list that accepts the request, or `best` if that ranks before it.
    pub(super) fn best_in_list(
        &self,
        list: u32,
        mut best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        let Some(board) = board_of(list) else { return self.best_in_chain(list, best, query) };
        let Board { rest, headers, by_method, .. } = self.boards.get(board);
        for (name, _) in headers {
            for key in query.header_keys(name) {
                best = self.best_in_chain(self.head(board, key), best, query);
            }
        }
        if *by_method > 0 {
            best = self.best_in_chain(self.head(board, query.method_key()), best, query);
        }
        self.best_in_chain(*rest, best, query)
    }

    #[inline]
    fn best_in_chain(&self, mut at: u32, best: Option<Found>, query: &impl Query) -> Option<Found> {
        while at != NONE {
            let entry = self.entries.get(at);
            if best.is_some_and(|best| !self.precedes(entry, best)) {
                break;
            }
            if let Some(length) = query.accepts(entry) {
                let (priority, slot) = (entry.rank.priority, entry.slot);
                let by_regex = !matches!(entry.how, How::Placed | How::AnyPrefix);
                return Some(Found { priority, entry: at, slot, length, by_regex });
            }
            at = entry.next;
        }
        best
    }

    #[inline]
    fn precedes(&self, entry: &Entry, best: Found) -> bool {
        if entry.rank.priority != best.priority {
            return entry.rank.priority > best.priority;
        }
        entry.order() > self.entries.get(best.entry).order()
    }

    #[inline]
    fn head(&self, board: u32, key: u64) -> u32 {
        let is = |head: &Head| head.board == board && head.key == key;
        self.heads.get(hash_of(board, key), is).map_or(NONE, |head| head.entry)
    }
}

/// Adding and removing.
impl Trees {
    /// Puts an entry into a list; gives the list back, which may be another now. `keys`
    /// tells those of any entry, also of one that is there already.
    pub(super) fn link(&mut self, list: u32, entry: Entry, keys: impl Fn(&Entry) -> Keys) -> u32 {
        if let Some(board) = board_of(list) {
            self.post(board, entry, &keys(&entry));
            return list;
        }
        if self.chain(list).nth(LONGEST - 1).is_none() {
            return self.chain_in(list, entry);
        }
        let board = self.boards.put(Board::default());
        let mut at = list;
        while at != NONE {
            let entry = *self.entries.get(at);
            self.entries.free(at, 0);
            self.post(board, entry, &keys(&entry));
            at = entry.next;
        }
        self.post(board, entry, &keys(&entry));
        board | BOARD
    }

    /// Takes an entry out of a list; gives the list back, which may be none now.
    pub(super) fn unlink(&mut self, list: u32, entry: &Entry, keys: &Keys) -> u32 {
        let Some(board) = board_of(list) else { return self.chain_out(list, entry) };
        self.boards.get_mut(board).forget(entry, keys);
        if keys.hashes.is_empty() {
            let rest = self.chain_out(self.boards.get(board).rest, entry);
            self.boards.get_mut(board).rest = rest;
        }
        for key in &keys.hashes {
            let head = self.chain_out(self.head(board, *key), entry);
            self.set_head(board, *key, head);
        }
        if !self.boards.get(board).priorities.is_empty() {
            return list;
        }
        self.boards.free(board, 0);
        NONE
    }

    /// The first priority of a list, the route that has it, and the methods that alone
    /// decide whether it accepts a request.
    pub(super) fn first_of(&self, list: u32) -> (u64, u32, Methods) {
        if let Some(board) = board_of(list) {
            let priorities = &self.boards.get(board).priorities;
            let first = priorities.get_max().map_or(0, |(priority, _)| *priority);
            return (first, NONE, Methods::NONE);
        }
        let first = self.chain(list).next();
        first.map_or((0, NONE, Methods::NONE), |entry| {
            (entry.rank.priority, entry.slot, entry.plain_methods())
        })
    }

    fn post(&mut self, board: u32, entry: Entry, keys: &Keys) {
        self.boards.get_mut(board).note(&entry, keys);
        if keys.hashes.is_empty() {
            let rest = self.chain_in(self.boards.get(board).rest, entry);
            self.boards.get_mut(board).rest = rest;
        }
        for key in &keys.hashes {
            let head = self.chain_in(self.head(board, *key), entry);
            self.set_head(board, *key, head);
        }
    }

    fn set_head(&mut self, board: u32, key: u64, entry: u32) {
        let hash = hash_of(board, key);
        let is = |head: &Head| head.board == board && head.key == key;
        if entry == NONE {
            self.heads.remove(hash, is);
        } else if let Some(head) = self.heads.get_mut(hash, is) {
            head.entry = entry;
        } else {
            self.heads.insert(hash, Head { board, key, entry });
        }
    }

    /// Puts an entry behind those that rank before it; the chain's first is returned.
    fn chain_in(&mut self, first: u32, mut entry: Entry) -> u32 {
        let mut before = NONE;
        let mut after = first;
        while after != NONE && self.entries.get(after).order() > entry.order() {
            before = after;
            after = self.entries.get(after).next;
        }
        entry.next = after;
        let entry = self.entries.put(entry);
        if before == NONE {
            return entry;
        }
        self.entries.get_mut(before).next = entry;
        first
    }

    /// Takes an entry out; the chain's first is returned.
    fn chain_out(&mut self, first: u32, entry: &Entry) -> u32 {
        let mut before = NONE;
        let mut at = first;
        while at != NONE {
            let found = *self.entries.get(at);
            if found.is(entry) {
                self.entries.free(at, 0);
                if before == NONE {
                    return found.next;
                }
                self.entries.get_mut(before).next = found.next;
                return first;
            }
            before = at;
            at = found.next;
        }
        first
    }
}

fn board_of(list: u32) -> Option<u32> {
    (list != NONE && list & BOARD != 0).then_some(list & !BOARD)
}

/// Keys are hashes already; boards are small numbers, which this spreads.
fn hash_of(board: u32, key: u64) -> u64 {
    key ^ u64::from(board).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
