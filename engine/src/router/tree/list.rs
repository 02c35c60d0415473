//! The entries that hang at one node: a chain, best first, or a board of chains.
//!
//! A chain that grows long becomes a board, which has a chain for each value of a header
//! and for each method, and one for entries that demand neither; so a request looks only
//! at entries that have a chance. What was a board stays one until it is empty.
//!
//! A look-up waits for memory, so it touches little. A board keeps beside a header's name
//! the best priority found by it, and so passes over what could not win; the head of a
//! chain has the value itself, so that an entry that demands no other header is accepted
//! without a look at its route.

use super::node::First;
use super::{At, Found, NONE, Query, Trees};
use crate::router::method::Methods;
use crate::router::rank::Rank;
use crate::router::shards::is_without_case;
use imbl::OrdMap;
use smallvec::SmallVec;
use std::cmp::Reverse;

/// The most entries in a chain that is not a board's. Each that demands a header costs some
/// fetches from memory to be asked, a board about as many as three of them.
const LONGEST: usize = 8;
/// Marks a list that is a board.
const BOARD: u32 = 1 << 31;
/// In place of a header's number: entries found by their methods.
const METHODS: u32 = u32::MAX;
/// The same for those found by nothing.
const REST: u32 = u32::MAX - 1;

/// A name, value or method; in place if it is short, as nearly all are.
pub(in crate::router) type ShortText = SmallVec<[u8; 16]>;

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
    Spelled,
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

/// Under which heads of a board an entry hangs; with none, with those that demand
/// neither a header nor a method.
#[derive(Clone, Debug, Default)]
pub(in crate::router) struct Keys {
    /// The header they are values of; if none, they are methods.
    pub(in crate::router) header: Option<ShortText>,
    pub(in crate::router) keys: SmallVec<[Key; 1]>,
}

/// The value of a header, in lower case, or a method.
#[derive(Clone, Debug)]
pub(in crate::router) struct Key {
    pub(in crate::router) hash: u64,
    pub(in crate::router) text: ShortText,
}

/// A list that has been split.
#[derive(Clone, Debug)]
pub(super) struct Board {
    /// The chain of entries without keys.
    rest: u32,
    /// Headers that entries have keys of, by number; one that no entry has any more keeps
    /// its number until another takes it.
    headers: SmallVec<[Header; 1]>,
    of_methods: Priorities,
    of_rest: Priorities,
}

#[derive(Clone, Debug)]
struct Header {
    name: ShortText,
    priorities: Priorities,
}

/// How many entries have each priority.
#[derive(Clone, Debug, Default)]
struct Priorities {
    best: u64,
    counts: OrdMap<u64, u32>,
}

/// The first entry of a chain of a board.
#[derive(Clone, Debug)]
pub(super) struct Head {
    board: u32,
    /// The number of the header, or `METHODS`.
    group: u32,
    entry: u32,
    text: ShortText,
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

    /// What a node says of it where it is first.
    fn as_first(&self) -> First {
        let is_plain = self.demands == Demands::Nothing && self.port.is_none();
        match self.how {
            How::Placed | How::Spelled if is_plain => First {
                priority: self.rank.priority,
                slot: self.slot,
                methods: self.methods,
                is_spelled: self.how == How::Spelled,
            },
            _ => First::unknown(self.rank.priority),
        }
    }
}

impl Default for Board {
    fn default() -> Self {
        Board {
            rest: NONE,
            headers: SmallVec::new(),
            of_methods: Priorities::default(),
            of_rest: Priorities::default(),
        }
    }
}

impl Board {
    /// Counts an entry; says in which group.
    fn note(&mut self, entry: &Entry, keys: &Keys) -> u32 {
        let group = self.group(keys).unwrap_or_else(|| self.add_header(keys));
        self.priorities_mut(group).note(entry.rank.priority);
        group
    }

    /// The opposite of [`Board::note`].
    fn forget(&mut self, entry: &Entry, keys: &Keys) -> Option<u32> {
        let group = self.group(keys)?;
        self.priorities_mut(group).forget(entry.rank.priority);
        Some(group)
    }

    /// The group of entries with these keys, but for a header that is new.
    fn group(&self, keys: &Keys) -> Option<u32> {
        match &keys.header {
            _ if keys.keys.is_empty() => Some(REST),
            None => Some(METHODS),
            Some(name) => {
                let is = |header: &Header| header.name == *name;
                self.headers.iter().position(is).map(|number| number as u32)
            }
        }
    }

    fn add_header(&mut self, keys: &Keys) -> u32 {
        let name = keys.header.clone().unwrap_or_default();
        let header = Header { name, priorities: Priorities::default() };
        let is_free = |header: &Header| header.priorities.is_empty();
        if let Some(number) = self.headers.iter().position(is_free) {
            self.headers[number] = header;
            return number as u32;
        }
        self.headers.push(header);
        self.headers.len() as u32 - 1
    }

    fn priorities_mut(&mut self, group: u32) -> &mut Priorities {
        match group {
            REST => &mut self.of_rest,
            METHODS => &mut self.of_methods,
            number => &mut self.headers[number as usize].priorities,
        }
    }

    fn groups(&self) -> impl Iterator<Item = &Priorities> {
        let of_headers = self.headers.iter().map(|header| &header.priorities);
        of_headers.chain([&self.of_methods, &self.of_rest])
    }
}

impl Priorities {
    fn note(&mut self, priority: u64) {
        *self.counts.entry(priority).or_default() += 1;
        self.best = self.best.max(priority);
    }

    /// The opposite of [`Priorities::note`].
    fn forget(&mut self, priority: u64) {
        match self.counts.get(&priority).copied() {
            Some(count) if count > 1 => drop(self.counts.insert(priority, count - 1)),
            _ => drop(self.counts.remove(&priority)),
        }
        self.best = self.counts.get_max().map_or(0, |(priority, _)| *priority);
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Whether one of the entries may rank before `best`.
    #[inline]
    fn may_win(&self, best: Option<Found>) -> bool {
        !self.is_empty() && best.is_none_or(|best| best.priority <= self.best)
    }
}

/// Looking.
impl Trees {
    pub(super) fn chain(&self, first: u32) -> impl Iterator<Item = &Entry> {
        let entry = |at| (at != NONE).then(|| self.entries.get(at));
        std::iter::successors(entry(first), move |last| entry(last.next))
    }

    /// The best of a list, this far down the path, that accepts the request, or `best` if
    /// that ranks before it.
    pub(super) fn best_in_list(
        &self,
        list: u32,
        depth: u32,
        mut best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        let Some(number) = board_of(list) else {
            return self.best_in_chain(list, best, query, At { depth, has_value: false });
        };
        let board = self.boards.get(number);
        for (group, header) in (0..).zip(&board.headers) {
            if !header.priorities.may_win(best) {
                continue;
            }
            for (hash, value) in query.header_keys(&header.name) {
                let head = self.head(number, group, hash, |text| is_without_case(text, value));
                best = self.best_in_chain(head, best, query, At { depth, has_value: true });
            }
        }
        let at = At { depth, has_value: false };
        if board.of_methods.may_win(best) {
            let (hash, method) = query.method_key();
            let head = self.head(number, METHODS, hash, |text| text == method);
            best = self.best_in_chain(head, best, query, at);
        }
        if board.of_rest.may_win(best) {
            best = self.best_in_chain(board.rest, best, query, at);
        }
        best
    }

    /// The same of a chain.
    #[inline]
    fn best_in_chain(
        &self,
        first: u32,
        best: Option<Found>,
        query: &impl Query,
        at: At,
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

    /// The first of the chain of a text, or none.
    #[inline]
    fn head(&self, board: u32, group: u32, hash: u64, is_text: impl Fn(&[u8]) -> bool) -> u32 {
        let is = |head: &Head| head.board == board && head.group == group && is_text(&head.text);
        self.heads.get(hash_of(board, hash), is).map_or(NONE, |head| head.entry)
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
        let Some(group) = self.boards.get_mut(board).forget(entry, keys) else { return list };
        if group == REST {
            let rest = self.chain_out(self.boards.get(board).rest, entry);
            self.boards.get_mut(board).rest = rest;
        }
        for key in &keys.keys {
            let head = self.chain_out(self.head_of(board, group, key), entry);
            self.set_head(board, group, key, head);
        }
        if !self.boards.get(board).groups().all(Priorities::is_empty) {
            return list;
        }
        self.boards.free(board, 0);
        NONE
    }

    /// What is first in a list.
    pub(super) fn first_of(&self, list: u32) -> First {
        let Some(board) = board_of(list) else {
            return self.chain(list).next().map_or(First::unknown(0), Entry::as_first);
        };
        let best = self.boards.get(board).groups().map(|group| group.best).max();
        First::unknown(best.unwrap_or_default())
    }

    fn post(&mut self, board: u32, entry: Entry, keys: &Keys) {
        let group = self.boards.get_mut(board).note(&entry, keys);
        if group == REST {
            let rest = self.chain_in(self.boards.get(board).rest, entry);
            self.boards.get_mut(board).rest = rest;
        }
        for key in &keys.keys {
            let head = self.chain_in(self.head_of(board, group, key), entry);
            self.set_head(board, group, key, head);
        }
    }

    fn head_of(&self, board: u32, group: u32, key: &Key) -> u32 {
        self.head(board, group, key.hash, |text| *text == *key.text)
    }

    fn set_head(&mut self, board: u32, group: u32, key: &Key, entry: u32) {
        let hash = hash_of(board, key.hash);
        let is = |head: &Head| head.board == board && head.group == group && head.text == key.text;
        if entry == NONE {
            self.heads.remove(hash, is);
        } else if let Some(head) = self.heads.get_mut(hash, is) {
            head.entry = entry;
        } else {
            let text = key.text.clone();
            self.heads.insert(hash, Head { board, group, entry, text });
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
