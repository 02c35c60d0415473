//! Which trees of paths belong to a host: its own, those of the wildcards it is under,
//! and that of routes that ask for no host.
//!
//! Whole names are found by hash. Wildcards are in two trees of the same kind as paths,
//! `x.*` by what is before the star and `*.x` by what is behind it, read backwards, so
//! that one walk meets every wildcard a name is under, however many there are.

use super::method::Methods;
use super::pattern::{LONGEST_HOST, sorted};
use super::rank::Rank;
use super::request::RequestView;
use super::shards::{Code, Hashed, Hashing, Shards, is_without_case};
use super::tree::{Entry, Keys, Trees};
use model::entities::Route;
use model::value::{HostMatch, HostPattern};
use smallvec::SmallVec;

/// A host of a route, and the port a request must have been sent to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostRule {
    pub(super) name: HostName,
    pub(super) port: Option<u16>,
}

/// One name or many. In lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostName {
    /// This.
    Exact(Box<str>),
    /// All that end so, at any depth: `.x`, also `.x` itself, as in Kong 3.10.
    Suffix(Box<str>),
    /// All that start so: `x.`.
    Prefix(Box<str>),
}

impl HostRule {
    /// The hosts of a route, each once.
    pub(super) fn all(route: &Route) -> Box<[HostRule]> {
        sorted(route.hosts.iter().flatten().map(HostRule::of).collect())
    }

    /// What a host of a route means.
    pub(super) fn of(pattern: &HostPattern) -> HostRule {
        let (name, port) = pattern.parts();
        let name = match name {
            HostMatch::Exact(name) => HostName::Exact(as_requested(name).into()),
            HostMatch::Suffix(part) => HostName::Suffix(part.to_ascii_lowercase().into()),
            HostMatch::Prefix(part) => HostName::Prefix(part.to_ascii_lowercase().into()),
        };
        HostRule { name, port }
    }

    /// Whether a request is for it. Tables look hosts up instead; this is for whoever
    /// wants to know of one.
    pub(super) fn accepts<F>(&self, request: &RequestView<'_, F>) -> bool {
        self.port.is_none_or(|port| request.port == Some(port)) && self.name.is_of(request.host)
    }
}

impl HostName {
    /// Whether a host, in any case, is one of these.
    pub(super) fn is_of(&self, host: &[u8]) -> bool {
        let is = |name: &str, part: Option<&[u8]>| {
            part.is_some_and(|part| part.eq_ignore_ascii_case(name.as_bytes()))
        };
        match self {
            HostName::Exact(name) => is(name, Some(host)),
            HostName::Suffix(end) => {
                is(end, host.len().checked_sub(end.len()).and_then(|at| host.get(at..)))
            }
            HostName::Prefix(start) => is(start, host.get(..start.len())),
        }
    }
}

/// A host as requests name it: in lower case, an IPv6 address in brackets.
fn as_requested(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host }
}

/// Roots of trees, by host.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    exact: Shards<Named>,
    suffixes: u32,
    prefixes: u32,
    /// How many wildcards there are.
    wild: u32,
    /// The tree of routes that ask for no host.
    anywhere: u32,
}

/// A cache line, unless the name is long.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Named {
    code: Code,
    root: u32,
    host: SmallVec<[u8; 40]>,
}

const _: () = assert!(size_of::<Option<Named>>() == 64);

impl Hashed for Named {
    fn code(&self) -> Code {
        self.code
    }
}

impl Hosts {
    pub(super) fn new(trees: &mut Trees) -> Hosts {
        Hosts {
            exact: Shards::default(),
            suffixes: trees.plant(),
            prefixes: trees.plant(),
            wild: 0,
            anywhere: trees.plant(),
        }
    }

    /// Visits every tree that may have routes for this host, the likeliest first. Does not
    /// allocate. The host may be in any case (RFC 9110 §4.2.3), though to Kong it matters.
    #[inline]
    pub(super) fn each(
        &self,
        host: &[u8],
        trees: &Trees,
        hashing: &Hashing,
        mut visit: impl FnMut(u32),
    ) {
        if let Some(root) = self.exact(host, hashing) {
            visit(root);
        }
        if self.wild > 0 && !host.is_empty() {
            let mut key = [0; LONGEST_HOST];
            trees.each_on(self.suffixes, backwards(host, &mut key), |entry| visit(entry.slot));
            trees.each_on(self.prefixes, forwards(host, &mut key), |entry| visit(entry.slot));
        }
        visit(self.anywhere);
    }

    /// The tree of a host, if it has one.
    pub(super) fn root(
        &self,
        host: Option<&HostName>,
        trees: &Trees,
        hashing: &Hashing,
    ) -> Option<u32> {
        let Some(host) = host else { return Some(self.anywhere) };
        if let HostName::Exact(name) = host {
            return self.exact(name.as_bytes(), hashing);
        }
        let mut key = [0; LONGEST_HOST];
        let (tree, key) = self.place(host, &mut key)?;
        trees.at(tree, key).map(|entry| entry.slot)
    }

    /// The tree of a host, planted if there is none.
    pub(super) fn root_or_plant(
        &mut self,
        host: Option<&HostName>,
        trees: &mut Trees,
        hashing: &Hashing,
    ) -> u32 {
        if let Some(root) = self.root(host, trees, hashing) {
            return root;
        }
        let root = trees.plant();
        let mut key = [0; LONGEST_HOST];
        match host {
            Some(HostName::Exact(name)) => {
                let hash = hashing.without_case(b"", name.as_bytes());
                let host = SmallVec::from_slice(name.as_bytes());
                self.exact.insert(Named { code: Code::of(hash), root, host });
            }
            Some(wild) => {
                if let Some((tree, key)) = self.place(wild, &mut key) {
                    trees.insert(tree, key, signpost(root), |_| Keys::default());
                    self.wild += 1;
                }
            }
            None => {}
        }
        root
    }

    /// Gives up the tree of a host, in which nothing is left.
    pub(super) fn forget(&mut self, host: &HostName, trees: &mut Trees, hashing: &Hashing) {
        let mut key = [0; LONGEST_HOST];
        if let HostName::Exact(name) = host {
            let hash = hashing.without_case(b"", name.as_bytes());
            if let Some(named) = self.exact.remove(hash, |named| *named.host == *name.as_bytes()) {
                trees.fell(named.root);
            }
        } else if let Some((tree, key)) = self.place(host, &mut key)
            && let Some(root) = trees.at(tree, key).map(|entry| entry.slot)
        {
            trees.remove(tree, key, &signpost(root), &Keys::default());
            trees.fell(root);
            self.wild -= 1;
        }
    }

    #[inline]
    fn exact(&self, host: &[u8], hashing: &Hashing) -> Option<u32> {
        let is = |named: &Named| is_without_case(&named.host, host);
        self.exact.get(hashing.without_case(b"", host), is).map(|named| named.root)
    }

    /// The tree a wildcard is in, and where.
    fn place<'k>(
        &self,
        host: &HostName,
        key: &'k mut [u8; LONGEST_HOST],
    ) -> Option<(u32, &'k [u8])> {
        match host {
            HostName::Exact(_) => None,
            HostName::Suffix(part) => Some((self.suffixes, backwards(part.as_bytes(), key))),
            HostName::Prefix(part) => Some((self.prefixes, forwards(part.as_bytes(), key))),
        }
    }
}

/// An entry that leads to another tree rather than to a route.
fn signpost(root: u32) -> Entry {
    Entry::new(Rank::default(), root, Methods::ANY)
}

/// As much of a host as a wildcard may have, from its end, in lower case.
fn backwards<'k>(host: &[u8], key: &'k mut [u8; LONGEST_HOST]) -> &'k [u8] {
    fill(host.iter().rev(), key)
}

/// The same from its start.
fn forwards<'k>(host: &[u8], key: &'k mut [u8; LONGEST_HOST]) -> &'k [u8] {
    fill(host.iter(), key)
}

fn fill<'h, 'k>(
    bytes: impl ExactSizeIterator<Item = &'h u8>,
    key: &'k mut [u8; LONGEST_HOST],
) -> &'k [u8] {
    let len = bytes.len().min(LONGEST_HOST);
    for (to, byte) in key.iter_mut().zip(bytes) {
        *to = byte.to_ascii_lowercase();
    }
    key.get(..len).unwrap_or_default()
}
