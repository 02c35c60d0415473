//! Which route serves a request.
//!
//! A [`RouteTable`] is immutable and answers with the route that Kong 3.10 would
//! choose. It keeps prefixes in one tree per host and one for routes without hosts,
//! so that a request walks its path at most twice, however many routes there are.
//! The next table is patched from this one and shares what did not change; see
//! `patch.rs` for how, `rank.rs` for who comes first.

mod patch; // add, replace, remove routes
mod pattern; // what a route matches, and what is not served yet
mod rank; // precedence between two routes
mod tree; // prefixes of paths
mod shards; // hosts and ids
mod pages; // the memory under it

pub use patch::Change;
pub use pattern::{Pattern, Unserved};

use crate::snapshot::CompiledRoute;
use ahash::RandomState;
use pages::Pages;
use pattern::Methods;
use shards::Shards;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use tree::{Entry, Trees};
use uuid::Uuid;

/// What the router looks at.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The host, without a port, in any case; empty if the request named none.
    pub host: &'a [u8],
    /// The port it was sent to, as the client says, or as it came in.
    pub port: Option<u16>,
    /// The path in normal form, without the query.
    pub path: &'a [u8],
    /// The method, whose case counts.
    pub method: &'a [u8],
}

impl<'a> RequestView<'a> {
    /// Takes a `Host` apart, which is empty where there was none. `port` is that of
    /// the listener and holds unless the client named another.
    pub fn new(host: &'a [u8], port: u16, path: &'a [u8], method: &'a [u8]) -> Self {
        let (host, port) = match split_host(host) {
            (host, None) => (host, Some(port)),
            (host, Some(digits)) => (host, number(digits)),
        };
        RequestView { host, port, path, method }
    }
}

/// The text before and after the colon, if nothing but digits are behind it. Colons in
/// the brackets of an IPv6 address do not count.
fn split_host(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    let brackets = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = host.iter().skip(brackets).position(|byte| *byte == b':');
    let Some((name, [_, digits @ ..])) = colon.map(|at| host.split_at(brackets + at)) else {
        return (host, None);
    };
    let is_port = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if is_port { (name, Some(digits)) } else { (host, None) }
}

/// A port; none if the digits are too many to be one.
fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |number, digit| {
        number.checked_mul(10)?.checked_add(u16::from(digit.wrapping_sub(b'0')))
    })
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
    /// How many bytes of the path its prefix matched; zero if it has no paths.
    pub prefix_len: usize,
}

/// All routes, ready to be asked. A clone shares everything.
#[derive(Clone, Debug)]
pub struct RouteTable {
    hosts: Shards<HostTree>,
    /// The tree of routes that have no host.
    anywhere: u32,
    trees: Trees,
    slots: Pages<Option<Arc<CompiledRoute>>, 256>,
    by_id: Shards<(Uuid, u32)>,
    hasher: RandomState,
    len: usize,
}

/// The tree of routes that have this host.
#[derive(Clone, Debug)]
struct HostTree {
    /// In lower case.
    host: Arc<str>,
    root: u32,
}

impl Default for RouteTable {
    fn default() -> Self {
        let mut trees = Trees::default();
        RouteTable {
            hosts: Shards::default(),
            anywhere: trees.plant(),
            trees,
            slots: Pages::default(),
            by_id: Shards::default(),
            hasher: RandomState::new(),
            len: 0,
        }
    }
}

impl RouteTable {
    /// The route that serves this request, if any does. Does not allocate.
    ///
    /// A path that is not UTF-8 has no route, as in Kong.
    #[inline]
    pub fn find(&self, request: &RequestView<'_>) -> Option<Match<'_>> {
        if std::str::from_utf8(request.path).is_err() {
            return None;
        }
        let methods = Methods::of(request.method);
        let accepts = |entry: &Entry| self.accepts(entry, request, methods);
        // Nothing without a host ranks before a plain host, so the second walk mostly
        // ends at the root.
        let mut best = None;
        for root in self.host_tree(request.host).into_iter().chain([self.anywhere]) {
            best = self.trees.find(root, request.path, best, accepts);
        }
        let best = best?;
        let index = RouteIndex(best.slot);
        Some(Match { index, route: self.get(index)?, prefix_len: best.length as usize })
    }

    /// The route at an index that this table gave out.
    #[inline]
    pub fn get(&self, index: RouteIndex) -> Option<&CompiledRoute> {
        self.slots.checked(index.0)?.as_deref()
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn accepts(&self, entry: &Entry, request: &RequestView<'_>, methods: Methods) -> bool {
        if !entry.methods.meets(methods)
            || entry.port.is_some_and(|port| request.port != Some(port))
        {
            return false;
        }
        let is_rare = methods == Methods::RARE && entry.methods != Methods::ANY;
        if !is_rare && !entry.by_pattern {
            return true;
        }
        self.get(RouteIndex(entry.slot)).is_some_and(|route| {
            let pattern = &route.pattern;
            (!is_rare || pattern.accepts_rare(request.method))
                && (!entry.by_pattern || pattern.accepts_path(request.path, entry.length))
        })
    }

    #[inline]
    fn host_tree(&self, host: &[u8]) -> Option<u32> {
        let is = |tree: &HostTree| tree.host.as_bytes().eq_ignore_ascii_case(host);
        self.hosts.get(self.hash_host(host), is).map(|tree| tree.root)
    }

    /// Case does not count (RFC 9110 §4.2.3), though to Kong it does.
    #[inline]
    fn hash_host(&self, host: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for chunk in host.chunks(64) {
            let mut lower = [0; 64];
            let lower = &mut lower[..chunk.len()];
            lower.copy_from_slice(chunk);
            lower.make_ascii_lowercase();
            hasher.write(lower);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_come_apart_at_a_port() {
        check("a.com", "a.com", Some(80));
        check("a.com:81", "a.com", Some(81));
        check("a.com:", "a.com:", Some(80));
        check("a.com:x", "a.com:x", Some(80));
        check("a.com:65536", "a.com", None);
        check("[::1]", "[::1]", Some(80));
        check("[::1]:81", "[::1]", Some(81));
        check("", "", Some(80));
        check("]:1", "]", Some(1));
    }

    #[track_caller]
    fn check(header: &str, host: &str, port: Option<u16>) {
        let view = RequestView::new(header.as_bytes(), 80, b"/", b"GET");
        assert_eq!((view.host, view.port), (host.as_bytes(), port));
    }
}
