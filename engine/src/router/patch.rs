//! The next table: routes added, replaced and removed, all else shared.
//!
//! A route is placed once per host and prefix, unless that is too many times: then
//! once per host, and its prefixes are looked up when it is met. What a patch gives
//! is what building the same routes from nothing gives; `tests/router.rs` holds it to
//! that over random histories.

use super::pattern::{HostPort, Matcher, Pattern};
use super::tree::Entry;
use super::{HostTree, RouteTable};
use crate::snapshot::CompiledRoute;
use model::Id;
use model::entities::Route;
use std::sync::Arc;
use uuid::Uuid;

/// More places than this, and a route goes by its pattern instead.
const MOST_PLACES: usize = 256;

/// What becomes of one route.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is new, or not what it was.
    Put(Arc<CompiledRoute>),
    /// It is gone.
    Remove(Id<Route>),
}

/// Where an entry of a matcher hangs.
struct Place<'p> {
    host: Option<&'p HostPort>,
    prefix: &'p str,
    by_pattern: bool,
}

/// Every place of a matcher.
fn places<'p>(pattern: &'p Pattern, matcher: &'p Matcher) -> impl Iterator<Item = Place<'p>> {
    let hosts = pattern.hosts.len().max(1);
    let by_pattern = hosts.saturating_mul(matcher.prefixes.len()) > MOST_PLACES;
    let of_host = move |host| {
        let prefixes = matcher.prefixes.iter().map(|prefix| &**prefix);
        let prefixes = prefixes.filter(move |_| !by_pattern).chain(by_pattern.then_some(""));
        prefixes.map(move |prefix| Place { host, prefix, by_pattern })
    };
    let anywhere = pattern.hosts.is_empty().then_some(None);
    pattern.hosts.iter().map(Some).chain(anywhere).flat_map(of_host)
}

impl RouteTable {
    /// The table after these changes. Costs what they touch, not what there is.
    pub fn patched(&self, changes: impl IntoIterator<Item = Change>) -> RouteTable {
        let mut next = self.clone();
        for change in changes {
            match change {
                Change::Put(route) => next.put(route),
                Change::Remove(id) => next.remove(id.uuid()),
            }
        }
        next
    }

    fn put(&mut self, route: Arc<CompiledRoute>) {
        let id = route.id.uuid();
        let Some(slot) = self.slot(id) else {
            let pattern = Arc::clone(&route.pattern);
            let slot = self.slots.put(Some(route));
            self.by_id.insert(self.hasher.hash_one(id), (id, slot));
            self.len += 1;
            return self.place(slot, &pattern);
        };
        let pattern = Arc::clone(&route.pattern);
        let old = self.slots.get_mut(slot).replace(route);
        let old = old.map(|route| Arc::clone(&route.pattern));
        // Most changes are to what a route does, not to where it is found.
        if old.as_ref() != Some(&pattern) {
            old.iter().for_each(|old| self.displace(old));
            self.place(slot, &pattern);
        }
    }

    fn remove(&mut self, id: Uuid) {
        let Some((_, slot)) = self.by_id.remove(self.hasher.hash_one(id), |entry| entry.0 == id)
        else {
            return;
        };
        if let Some(route) = self.slots.get_mut(slot).take() {
            self.displace(&route.pattern);
        }
        self.slots.free(slot, 0);
        self.len -= 1;
    }

    fn slot(&self, id: Uuid) -> Option<u32> {
        self.by_id.get(self.hasher.hash_one(id), |entry| entry.0 == id).map(|entry| entry.1)
    }

    fn place(&mut self, slot: u32, pattern: &Pattern) {
        for matcher in &pattern.matchers {
            let mut entry = Entry::new(matcher.rank, slot, matcher.length, pattern.methods);
            for place in places(pattern, matcher) {
                entry.port = place.host.and_then(|host| host.port);
                entry.by_pattern = place.by_pattern;
                let root = self.root_for(place.host);
                self.trees.insert(root, place.prefix.as_bytes(), entry);
            }
        }
    }

    fn displace(&mut self, pattern: &Pattern) {
        for matcher in &pattern.matchers {
            for place in places(pattern, matcher) {
                let root = match place.host {
                    None => Some(self.anywhere),
                    Some(host) => self.host_tree(host.host.as_bytes()),
                };
                let Some(root) = root else { continue };
                let port = place.host.and_then(|host| host.port);
                let is_empty = self.trees.remove(root, place.prefix.as_bytes(), matcher.rank, port);
                if let Some(host) = place.host.filter(|_| is_empty) {
                    self.forget(&host.host);
                }
            }
        }
    }

    /// The tree a host's prefixes belong in, planted if it is the first.
    fn root_for(&mut self, host: Option<&HostPort>) -> u32 {
        let Some(host) = host else { return self.anywhere };
        if let Some(root) = self.host_tree(host.host.as_bytes()) {
            return root;
        }
        let root = self.trees.plant();
        let hash = self.hash_host(host.host.as_bytes());
        self.hosts.insert(hash, HostTree { host: Arc::from(&*host.host), root });
        root
    }

    fn forget(&mut self, host: &str) {
        let hash = self.hash_host(host.as_bytes());
        if let Some(tree) = self.hosts.remove(hash, |tree| *tree.host == *host) {
            self.trees.fell(tree.root);
        }
    }
}
