//! The entries that hang at one node: a chain, best first, or a [board](super::board) of
//! chains, which is what a chain becomes that grows long. What was a board stays one until
//! it is empty.

use super::board::Keys;
use super::node::First;
use super::{At, Found, NONE, Query, Trees};
use crate::router::method::Methods;
use crate::router::rank::Rank;
use std::cmp::Reverse;

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
    pub(in crate::router) demands: Demands,
    pub(in crate::router) how: How,
}

/// How much of the path an entry's place in the tree has checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::router) enum How {
    /// All there is to it.
    Placed,
    /// All there is to a regular expression, if the path is ASCII.
    PlacedRegex,
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

/// What a route demands besides a host, a path and a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::router) enum Demands {
    Nothing,
    /// One of the values of a header that are its keys.
    Value,
    /// Its pattern is to be asked.
    More,
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
            demands: Demands::Nothing,
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

    /// What is said of it where it is first, and whoever gets there has the value by which
    /// it is found, or may not.
    pub(super) fn as_first(&self, has_value: bool) -> First {
        let is_settled = match self.demands {
            Demands::Nothing => true,
            Demands::Value => has_value,
            Demands::More => false,
        };
        match self.how {
            How::Placed | How::PlacedRegex if is_settled && self.port.is_none() => First {
                priority: self.rank.priority,
                slot: self.slot,
                methods: self.methods,
                is_regex: self.how == How::PlacedRegex,
            },
            _ => First::unknown(self.rank.priority),
        }
    }
}

/// Looking.
impl Trees {
    pub(super) fn chain(&self, first: u32) -> impl Iterator<Item = &Entry> {
        let entry = |at| (at != NONE).then(|| self.entries.get(at));
        std::iter::successors(entry(first), move |last| entry(last.next))
    }

    /// The best of a list, this far down the path, that accepts the request, or `best` if
    /// that ranks before it. `first` is what is known of it.
    pub(super) fn best_in_list(
        &self,
        list: u32,
        first: First,
        depth: u32,
        best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        let at = At { depth, has_value: false };
        match board_of(list) {
            Some(board) => self.best_on_board(board, first, at, best, query),
            None => self.best_in_chain(list, at, best, query),
        }
    }

    /// The same of a chain.
    #[inline]
    pub(super) fn best_in_chain(
        &self,
        first: u32,
        at: At,
        best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        let mut next = first;
        while next != NONE {
            let entry = self.entries.get(next);
            if best.is_some_and(|best| !self.precedes(entry, best)) {
                break;
            }
            if let Some(length) = query.accepts(entry, at) {
                let (priority, slot) = (entry.rank.priority, entry.slot);
                let by_regex = !matches!(entry.how, How::Placed | How::AnyPrefix);
                return Some(Found { priority, entry: next, slot, length, by_regex });
            }
            next = entry.next;
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
        let board = self.put_up();
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
        let is_empty = self.unpost(board, entry, keys);
        if is_empty { NONE } else { list }
    }

    /// What is first in a list.
    pub(super) fn first_of(&self, list: u32) -> First {
        match board_of(list) {
            Some(board) => self.first_of_board(board),
            None => self.first_of_chain(list, false),
        }
    }

    pub(super) fn first_of_chain(&self, first: u32, has_value: bool) -> First {
        let first = self.chain(first).next();
        first.map_or(First::unknown(0), |entry| entry.as_first(has_value))
    }

    /// Puts an entry behind those that rank before it; the chain's first is returned.
    pub(super) fn chain_in(&mut self, first: u32, mut entry: Entry) -> u32 {
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
    pub(super) fn chain_out(&mut self, first: u32, entry: &Entry) -> u32 {
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
