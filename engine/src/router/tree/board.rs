//! A list that has been split: a chain of entries for each value of a header and for each
//! method, and one for those that demand neither. A request looks only at those that have a
//! chance.
//!
//! A look-up waits for memory, so it touches little. A board is a cache line: beside a header's
//! name it has the best priority found by it, and so passes over what could not win. The head
//! of a chain is another, found by a hash. It has the value itself and what there is to know of
//! the first entry, which is then accepted without being fetched.

use super::node::First;
use super::{At, Entry, Found, NONE, Query, Trees};
use crate::router::shards::{Code, Hashed, is_without_case};
use imbl::OrdMap;
use smallvec::SmallVec;

/// In place of a header's number: entries found by their methods.
const METHODS: u32 = u32::MAX;
/// The same for those found by nothing.
const REST: u32 = u32::MAX - 1;

/// A name, value or method; in place if it is short, as nearly all are.
pub(in crate::router) type ShortText = SmallVec<[u8; 16]>;

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

/// What a look-up needs to know of a list. Priorities are the best of a group, 0 if it has
/// no entry: no route has that one.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Board {
    /// Headers that entries have keys of, by number; one that no entry has any more keeps
    /// its number until another takes it.
    headers: SmallVec<[Header; 1]>,
    of_methods: u64,
    of_rest: u64,
    /// The chain of entries without keys.
    rest: u32,
    /// Its [`Counts`].
    counts: u32,
}

#[derive(Clone, Debug)]
struct Header {
    name: ShortText,
    best: u64,
}

/// How many entries of each group have each priority.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    headers: SmallVec<[Priorities; 1]>,
    of_methods: Priorities,
    of_rest: Priorities,
}

type Priorities = OrdMap<u64, u32>;

/// Where the chain of a text starts.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Head {
    code: Code,
    text: ShortText,
    first: First,
    entry: u32,
    board: u32,
    /// The number of the header, or `METHODS`.
    group: u32,
}

const _: () = assert!(size_of::<Board>() == 64 && size_of::<Option<Head>>() == 64);

impl Hashed for Head {
    fn code(&self) -> Code {
        self.code
    }
}

impl Default for Board {
    fn default() -> Self {
        Board { headers: SmallVec::new(), of_methods: 0, of_rest: 0, rest: NONE, counts: NONE }
    }
}

impl Board {
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
        let header = Header { name: keys.header.clone().unwrap_or_default(), best: 0 };
        let is_free = |header: &Header| header.best == 0;
        if let Some(number) = self.headers.iter().position(is_free) {
            self.headers[number] = header;
            return number as u32;
        }
        self.headers.push(header);
        self.headers.len() as u32 - 1
    }

    fn best_mut(&mut self, group: u32) -> &mut u64 {
        match group {
            REST => &mut self.of_rest,
            METHODS => &mut self.of_methods,
            number => &mut self.headers[number as usize].best,
        }
    }

    /// The best priority of all; 0 if there is no entry.
    fn best(&self) -> u64 {
        let of_headers = self.headers.iter().map(|header| header.best);
        of_headers.fold(self.of_methods.max(self.of_rest), u64::max)
    }
}

impl Counts {
    fn group_mut(&mut self, group: u32) -> &mut Priorities {
        match group {
            REST => &mut self.of_rest,
            METHODS => &mut self.of_methods,
            number => {
                let least = number as usize + 1;
                if self.headers.len() < least {
                    self.headers.resize(least, Priorities::default());
                }
                &mut self.headers[number as usize]
            }
        }
    }
}

/// Looking.
impl Trees {
    /// The best of a board that accepts the request, or `best` if that ranks before it.
    pub(super) fn best_on_board(
        &self,
        number: u32,
        at: At,
        mut best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        let board = self.boards.get(number);
        for (group, header) in (0..).zip(&board.headers) {
            if !may_win(header.best, best) {
                continue;
            }
            for (hash, value) in query.header_keys(&header.name) {
                let head = self.head(number, group, hash, |text| is_without_case(text, value));
                best = self.best_below(head, At { has_value: true, ..at }, best, query);
            }
        }
        if may_win(board.of_methods, best) {
            let (hash, method) = query.method_key();
            let head = self.head(number, METHODS, hash, |text| text == method);
            best = self.best_below(head, at, best, query);
        }
        if may_win(board.of_rest, best) {
            best = self.best_in_chain(board.rest, at, best, query);
        }
        best
    }

    /// The same of a chain with a head.
    #[inline]
    fn best_below(
        &self,
        head: Option<&Head>,
        at: At,
        best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        let Some(Head { first, entry, .. }) = head else { return best };
        if best.is_none_or(|best| best.priority < first.priority) && first.accepts(query) {
            return Some(first.found(*entry, at.depth));
        }
        self.best_in_chain(*entry, at, best, query)
    }

    /// The head of a text.
    #[inline]
    fn head(
        &self,
        board: u32,
        group: u32,
        hash: u64,
        is_text: impl Fn(&[u8]) -> bool,
    ) -> Option<&Head> {
        let is = |head: &Head| head.board == board && head.group == group && is_text(&head.text);
        self.heads.get(hash_of(board, hash), is)
    }

    pub(super) fn best_priority(&self, board: u32) -> u64 {
        self.boards.get(board).best()
    }
}

/// Whether one of the entries of which this is the best priority may rank before `best`.
#[inline]
fn may_win(priority: u64, best: Option<Found>) -> bool {
    priority != 0 && best.is_none_or(|best| best.priority <= priority)
}

/// Adding and removing.
impl Trees {
    /// A board with nothing on it.
    pub(super) fn put_up(&mut self) -> u32 {
        let counts = self.counts.put(Counts::default());
        self.boards.put(Board { counts, ..Board::default() })
    }

    pub(super) fn post(&mut self, number: u32, entry: Entry, keys: &Keys) {
        let board = self.boards.get_mut(number);
        let group = board.group(keys).unwrap_or_else(|| board.add_header(keys));
        let best = board.best_mut(group);
        *best = entry.rank.priority.max(*best);
        let counts = self.counts.get_mut(board.counts).group_mut(group);
        *counts.entry(entry.rank.priority).or_default() += 1;
        if group == REST {
            let rest = self.chain_in(self.boards.get(number).rest, entry);
            self.boards.get_mut(number).rest = rest;
        }
        for key in &keys.keys {
            let head = self.chain_in(self.head_of(number, group, key), entry);
            self.set_head(number, group, key, head);
        }
    }

    /// The opposite of [`Trees::post`]; true if the board is empty, and gone.
    pub(super) fn unpost(&mut self, number: u32, entry: &Entry, keys: &Keys) -> bool {
        let Some(group) = self.boards.get(number).group(keys) else { return false };
        self.uncount(number, group, entry.rank.priority);
        if group == REST {
            let rest = self.chain_out(self.boards.get(number).rest, entry);
            self.boards.get_mut(number).rest = rest;
        }
        for key in &keys.keys {
            let head = self.chain_out(self.head_of(number, group, key), entry);
            self.set_head(number, group, key, head);
        }
        let Board { counts, .. } = *self.boards.get(number);
        let is_empty = self.best_priority(number) == 0;
        if is_empty {
            *self.counts.get_mut(counts) = Counts::default();
            self.counts.free(counts, 0);
            self.boards.free(number, 0);
        }
        is_empty
    }

    fn uncount(&mut self, number: u32, group: u32, priority: u64) {
        let board = self.boards.get_mut(number);
        let counts = self.counts.get_mut(board.counts).group_mut(group);
        match counts.get(&priority).copied() {
            Some(count) if count > 1 => drop(counts.insert(priority, count - 1)),
            _ => drop(counts.remove(&priority)),
        }
        *board.best_mut(group) = counts.get_max().map_or(0, |(priority, _)| *priority);
    }

    fn head_of(&self, board: u32, group: u32, key: &Key) -> u32 {
        let head = self.head(board, group, key.hash, |text| *text == *key.text);
        head.map_or(NONE, |head| head.entry)
    }

    fn set_head(&mut self, board: u32, group: u32, key: &Key, entry: u32) {
        let hash = hash_of(board, key.hash);
        let first = self.first_of_chain(entry, group != METHODS);
        let is = |head: &Head| head.board == board && head.group == group && head.text == key.text;
        if entry == NONE {
            self.heads.remove(hash, is);
        } else if let Some(head) = self.heads.get_mut(hash, is) {
            (head.entry, head.first) = (entry, first);
        } else {
            let (code, text) = (Code::of(hash), key.text.clone());
            self.heads.insert(Head { code, text, first, entry, board, group });
        }
    }
}

/// Keys are hashes already; boards are small numbers, which this spreads.
fn hash_of(board: u32, key: u64) -> u64 {
    key ^ u64::from(board).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
