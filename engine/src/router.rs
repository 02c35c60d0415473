//! Which route serves a request.
//!
//! A [`RouteTable`] is immutable and answers with the route that Kong 3.10 would
//! choose. It keeps paths in one tree per host and one for routes without hosts, so that
//! a request walks its path once or twice, however many routes there are. The next table
//! is patched from this one and shares what did not change; see `patch.rs` for how,
//! `rank.rs` for who comes first.

mod request; // what is looked at
mod pattern; // which requests a route serves
mod rank; // precedence between two routes
mod patch; // add, replace, remove routes
mod host; // hosts, to trees of paths
mod tree; // paths, to lists of routes
mod predicate; // methods, headers, server names, addresses
mod method; // methods as bits
mod regex; // regular expressions, shared by routes
pub mod expression; // the flavor `expressions`, compiled to predicates
mod spot; // where expressions hang
mod captures; // what groups of regular expressions matched
pub mod explain; // how each route fares with one request, and why
pub mod overlap; // routes that one order puts before each other, and the other behind
mod shards; // hosts and ids by hash
mod pages; // the memory under it
mod streams; // which route serves a stream

pub use captures::Captures;
pub use patch::Change;
pub(crate) use pattern::expression_of;
pub use pattern::{Pattern, Unserved};
pub use rank::RouterPriority;
#[cfg(test)]
pub(crate) use regex::Limits;
pub use regex::{RegexFault, Regexes};
pub(crate) use request::folded_byte;
pub use request::{Fields, NoFields, RequestView, Scheme, split_host};
pub(crate) use streams::Pattern as StreamPattern;
pub use streams::{CompiledStream, Over, StreamChange, StreamTable, StreamView};

use crate::snapshot::CompiledRoute;
use host::Hosts;
use method::Methods;
use model::Id;
use model::entities::Route;
use pages::Pages;
use patch::Numbered;
use pattern::Paths;
use predicate::{header_key, method_key};
use shards::{Hashing, Shards};
use std::sync::Arc;
use tree::{At, Demands, Entry, How, Query, Trees, Walk};

/// All routes, ready to be asked. A clone shares everything.
#[derive(Clone, Debug)]
pub struct RouteTable {
    hosts: Hosts,
    trees: Trees,
    slots: Pages<Option<Arc<CompiledRoute>>, 256>,
    by_id: Shards<Numbered>,
    hashing: Hashing,
    len: usize,
}

/// Where a table keeps a route. Means nothing to another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteIndex(u32);

/// The route that serves a request.
#[derive(Clone, Copy, Debug)]
pub struct Match<'t> {
    /// Where [`RouteTable::get`] finds it again.
    pub index: RouteIndex,
    /// The route.
    pub route: &'t CompiledRoute,
    /// How many bytes of the path it matched: the length of its prefix or of what its
    /// regular expression matches; zero if it has no paths. What an expression matched is
    /// told by [`expression::Outcome`].
    pub prefix_len: usize,
    /// Whether it matched by a regular expression of its paths, or may have by one of its
    /// expression: then [`Match::captures`] has its groups.
    pub by_regex: bool,
}

impl<'t> Match<'t> {
    /// What the groups of its regular expressions matched in this request, the one it was
    /// found for; none if it matched otherwise, or there are no groups. Computed when asked
    /// for.
    pub fn captures<'p, F: Fields>(
        &self,
        request: &RequestView<'p, F>,
    ) -> Option<Captures<'t, 'p>> {
        if self.by_regex { self.route.pattern.captures(request) } else { None }
    }
}

impl Default for RouteTable {
    fn default() -> Self {
        let mut trees = Trees::default();
        RouteTable {
            hosts: Hosts::new(&mut trees),
            trees,
            slots: Pages::default(),
            by_id: Shards::default(),
            hashing: Hashing::default(),
            len: 0,
        }
    }
}

impl RouteTable {
    /// The route that serves this request, if any does. Does not allocate, but for what a
    /// regular expression needs on its first searches in a thread, and for long texts that
    /// are not ASCII.
    ///
    /// A path that is not UTF-8 has no route, as in Kong.
    #[inline]
    pub fn find<F: Fields>(&self, request: &RequestView<'_, F>) -> Option<Match<'_>> {
        let is_ascii = request.path.is_ascii();
        if !is_ascii && std::str::from_utf8(request.path).is_err() {
            return None;
        }
        let methods = Methods::of(request.method);
        let asking = Asking { table: self, request, methods, is_ascii };
        let mut walk = Walk::new(&self.trees, request.path, &asking);
        // Nothing without a host ranks before a plain host, so what follows the first tree
        // mostly ends at the root.
        self.hosts.each(request.host, &self.trees, &self.hashing, |root| walk.go_through(root));
        let best = walk.best()?;
        let index = RouteIndex(best.slot);
        let route = self.get(index)?;
        Some(Match { index, route, prefix_len: best.length as usize, by_regex: best.by_regex })
    }

    /// The route at an index that this table gave out.
    #[inline]
    pub fn get(&self, index: RouteIndex) -> Option<&CompiledRoute> {
        self.slots.checked(index.0)?.as_deref()
    }

    /// The route with this id, if the table has it.
    pub fn by_id(&self, id: Id<Route>) -> Option<&CompiledRoute> {
        self.get(RouteIndex(self.slot(id.uuid())?))
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A request that looks for its route.
struct Asking<'a, F> {
    table: &'a RouteTable,
    request: &'a RequestView<'a, F>,
    methods: Methods,
    /// Whether its path is.
    is_ascii: bool,
}

impl<F: Fields> Asking<'_, F> {
    /// How much of the path an expression matches, if it does.
    fn evaluate(&self, entry: &Entry) -> Option<u32> {
        let path = self.request.path;
        if entry.how == How::EvaluatedWhole && path.len() != entry.length as usize {
            return None;
        }
        let pattern = &self.table.get(RouteIndex(entry.slot))?.pattern;
        let outcome = pattern.expressed.as_ref()?.expression.find(self.request)?;
        u32::try_from(outcome.prefix_len).ok()
    }
}

impl<F: Fields> Query for Asking<'_, F> {
    #[inline]
    fn methods(&self) -> Methods {
        self.methods
    }

    #[inline]
    fn is_ascii(&self) -> bool {
        self.is_ascii
    }

    #[inline]
    fn accepts(&self, entry: &Entry, at: At) -> Option<u32> {
        if !entry.methods.meets(self.methods)
            || entry.port.is_some_and(|port| self.request.port != Some(port))
        {
            return None;
        }
        if matches!(entry.how, How::Evaluated | How::EvaluatedWhole) {
            return self.evaluate(entry);
        }
        let is_settled = match entry.demands {
            Demands::Nothing => true,
            Demands::Value => at.has_value,
            Demands::More => false,
        } && !entry.methods.is_vague_on(self.methods);
        let is_matched = match entry.how {
            How::Placed => true,
            How::PlacedRegex => self.is_ascii,
            _ => false,
        };
        if is_matched && is_settled {
            return Some(at.depth);
        }
        let pattern = &self.table.get(RouteIndex(entry.slot))?.pattern;
        if !is_settled && !pattern.predicates.accepts(self.request) {
            return None;
        }
        if is_matched {
            return Some(at.depth);
        }
        let matcher = pattern.matchers.get(entry.matcher as usize)?;
        let length = match (entry.how, &matcher.paths) {
            (How::Regex | How::PlacedRegex, Paths::Regexes(regexes)) => {
                regexes.get(entry.path as usize)?.match_len(self.request.path)?
            }
            _ => matcher.match_len(self.request.path)?,
        };
        u32::try_from(length).ok()
    }

    fn method_key(&self) -> (u64, &[u8]) {
        (method_key(&self.table.hashing, self.request.method), self.request.method)
    }

    fn header_keys<'k>(&'k self, name: &'k [u8]) -> impl Iterator<Item = (u64, &'k [u8])> {
        let values = self.request.fields.values(name);
        values.map(move |value| (self.header_key(name, value), value))
    }

    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.request.fields.each()
    }

    #[inline]
    fn header_key(&self, name: &[u8], value: &[u8]) -> u64 {
        header_key(&self.table.hashing, name, value)
    }
}
