//! A list that has been split: a chain of entries for each value of a header and for each
//! method, and one for those that demand neither. A request looks only at those that have a
//! chance.
//!
//! A look-up waits for memory, so it touches little. A board is a cache line: beside a header's
//! name it has the best priority found by it, and so passes over what could not win. The head
//! of a chain is another, found by a hash. It has the value itself and what there is to know of
//! the first entry, which is then accepted without being fetched. Mostly the board is not
//! fetched either, since the node before it tells which group the best entries are in.

use super::node::First;
use super::{At, Entry, Found, NONE, Query, Trees};
use crate::router::request::folded_byte;
use crate::router::shards::{Code, Hashed, is_without_case};
use imbl::OrdMap;
use smallvec::SmallVec;

/// In place of the number of a header's name: entries found by their methods.
const METHODS: u32 = u32::MAX - 1;
/// The same for those found by nothing.
const REST: u32 = u32::MAX - 2;
/// The same for all that are found by headers, where they have many names.
const MANY: u32 = u32::MAX - 3;
/// A board with more names than this does not ask for each of them.
const MOST_NAMES: usize = 16;

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
    /// Headers that entries have keys of, or `MANY` alone.
    headers: SmallVec<[Header; 2]>,
    of_methods: u64,
    of_rest: u64,
    /// The chain of entries without keys.
    rest: u32,
    /// Its [`Counts`].
    counts: u32,
}

#[derive(Clone, Debug)]
struct Header {
    /// The number of its name, or `MANY`.
    name: u32,
    best: u64,
}

/// How many entries of each group have each priority.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    headers: SmallVec<[(u32, Priorities); 1]>,
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
    /// The number of the header's name, or `METHODS`.
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
    /// The best priority of a group, which is there from now on.
    fn best_mut(&mut self, group: u32) -> &mut u64 {
        match group {
            REST => &mut self.of_rest,
            METHODS => &mut self.of_methods,
            name => {
                let at = self.headers.iter().position(|header| header.name == name);
                let at = at.unwrap_or_else(|| {
                    self.headers.push(Header { name, best: 0 });
                    self.headers.len() - 1
                });
                &mut self.headers[at].best
            }
        }
    }

    /// Where the entries of a group are counted.
    fn counted_in(&self, group: u32) -> u32 {
        let has_many = self.headers.first().is_some_and(|header| header.name == MANY);
        if group < MANY && has_many { MANY } else { group }
    }

    /// Whether there would be too many names with this one.
    fn is_one_too_many(&self, group: u32) -> bool {
        group < MANY
            && self.headers.len() == MOST_NAMES
            && self.headers.iter().all(|header| header.name != group)
    }

    /// The groups and their best priorities.
    fn groups(&self) -> impl Iterator<Item = (u32, u64)> {
        let headers = self.headers.iter().map(|header| (header.name, header.best));
        headers.chain([(METHODS, self.of_methods), (REST, self.of_rest)])
    }

    /// The best priority of all, 0 if there is no entry; and the group that alone has it, if
    /// it can be looked into without the board.
    fn first(&self) -> First {
        let best = self.groups().map(|(_, best)| best).fold(0, u64::max);
        let mut groups = self.groups().filter(|(_, of_group)| *of_group == best);
        let is_direct = |group: u32| group < MANY || group == METHODS;
        let group = groups.next().filter(|(group, _)| is_direct(*group) && groups.next().is_none());
        First { slot: group.map_or(NONE, |(group, _)| group), ..First::unknown(best) }
    }
}

impl Counts {
    fn group_mut(&mut self, group: u32) -> &mut Priorities {
        match group {
            REST => &mut self.of_rest,
            METHODS => &mut self.of_methods,
            name => {
                let at = self.headers.iter().position(|(header, _)| *header == name);
                let at = at.unwrap_or_else(|| {
                    self.headers.push((name, Priorities::default()));
                    self.headers.len() - 1
                });
                &mut self.headers[at].1
            }
        }
    }

    /// Makes one group of all headers.
    fn gather(&mut self) {
        let mut all = Priorities::default();
        for (_, of_header) in self.headers.drain(..) {
            for (priority, count) in of_header {
                *all.entry(priority).or_default() += count;
            }
        }
        self.headers.push((MANY, all));
    }
}

/// Looking.
impl Trees {
    /// The best of a board that accepts the request, or `best` if that ranks before it.
    /// `first` is what the node says of it.
    pub(super) fn best_on_board(
        &self,
        number: u32,
        first: First,
        at: At,
        mut best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        let likely = first.slot;
        if likely < MANY {
            best = self.best_by_header(number, likely, at, best, query);
        } else if likely == METHODS {
            best = self.best_by_method(number, at, best, query);
        }
        // No other group has as good a one.
        if likely != NONE && best.is_some_and(|best| best.priority >= first.priority) {
            return best;
        }
        let board = self.boards.get(number);
        for header in &board.headers {
            if may_win(header.best, best) && header.name != likely {
                best = match header.name {
                    MANY => self.best_by_any_header(number, at, best, query),
                    name => self.best_by_header(number, name, at, best, query),
                };
            }
        }
        if may_win(board.of_methods, best) && likely != METHODS {
            best = self.best_by_method(number, at, best, query);
        }
        if may_win(board.of_rest, best) {
            best = self.best_in_chain(board.rest, at, best, query);
        }
        best
    }

    #[inline]
    fn best_by_header(
        &self,
        board: u32,
        name: u32,
        at: At,
        mut best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        for (hash, value) in query.header_keys(self.names.get(name)) {
            let head = self.head(board, name, hash, |text| is_without_case(text, value));
            best = self.best_below(head, At { has_value: true, ..at }, best, query);
        }
        best
    }

    /// The same for all headers of a board, by those that the request has.
    #[inline(never)]
    fn best_by_any_header(
        &self,
        board: u32,
        at: At,
        mut best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        for (spelled, value) in query.fields() {
            let name = folded(spelled);
            let Some(number) = self.names.number(&name) else { continue };
            let hash = query.header_key(&name, value);
            let head = self.head(board, number, hash, |text| is_without_case(text, value));
            best = self.best_below(head, At { has_value: true, ..at }, best, query);
        }
        best
    }

    #[inline]
    fn best_by_method(
        &self,
        board: u32,
        at: At,
        best: Option<Found>,
        query: &impl Query,
    ) -> Option<Found> {
        let (hash, method) = query.method_key();
        let head = self.head(board, METHODS, hash, |text| text == method);
        self.best_below(head, at, best, query)
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

    pub(super) fn first_of_board(&self, board: u32) -> First {
        self.boards.get(board).first()
    }
}

/// The name of a header as routes have it.
fn folded(name: &[u8]) -> SmallVec<[u8; 64]> {
    name.iter().copied().map(folded_byte).collect()
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
        let group = match &keys.header {
            _ if keys.keys.is_empty() => REST,
            None => METHODS,
            Some(name) => self.names.lend(name),
        };
        self.count(number, group, entry.rank.priority);
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
        let Some(group) = self.group(keys) else { return false };
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
        let is_empty = self.first_of_board(number).priority == 0;
        if is_empty {
            *self.counts.get_mut(counts) = Counts::default();
            self.counts.free(counts, 0);
            self.boards.free(number, 0);
        }
        is_empty
    }

    fn count(&mut self, number: u32, group: u32, priority: u64) {
        let board = self.boards.get_mut(number);
        let counts = self.counts.get_mut(board.counts);
        if board.is_one_too_many(group) {
            let best = board.headers.iter().map(|header| header.best).fold(0, u64::max);
            board.headers = SmallVec::from_iter([Header { name: MANY, best }]);
            counts.gather();
        }
        let group = board.counted_in(group);
        let best = board.best_mut(group);
        *best = priority.max(*best);
        *counts.group_mut(group).entry(priority).or_default() += 1;
    }

    fn uncount(&mut self, number: u32, name: u32, priority: u64) {
        let board = self.boards.get_mut(number);
        let counts = self.counts.get_mut(board.counts);
        let group = board.counted_in(name);
        let of_group = counts.group_mut(group);
        match of_group.get(&priority).copied() {
            Some(count) if count > 1 => drop(of_group.insert(priority, count - 1)),
            _ => drop(of_group.remove(&priority)),
        }
        let best = of_group.get_max().map_or(0, |(priority, _)| *priority);
        *board.best_mut(group) = best;
        if best == 0 && group < REST {
            board.headers.retain(|header| header.name != group);
            counts.headers.retain(|(name, _)| *name != group);
        }
        if name < MANY {
            self.names.give_back(name);
        }
    }

    /// The group of entries with these keys, if their header has a number.
    fn group(&self, keys: &Keys) -> Option<u32> {
        match &keys.header {
            _ if keys.keys.is_empty() => Some(REST),
            None => Some(METHODS),
            Some(name) => self.names.number(name),
        }
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
