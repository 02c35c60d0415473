//! Routes that can match the same request, and on which the two orders differ.
//!
//! Whoever comes from the other order, or goes by the manual, expects another route there;
//! so it is said when a revision brings such a pair. A pair is certain if there is a request
//! that both match, a [`Witness`], which is asked of both orders. Where a regular expression
//! keeps us from making one up, the pair is possible. What is looked at follows from what
//! changed, and is bounded: see [`Overlaps::since`].

mod index; // routes, by where another may meet them
mod witness; // a request that two routes match
mod sample; // a text that a regular expression matches

pub use witness::Witness;

use super::RouteTable;
use index::Index;
use model::config::Difference;
use model::entities::{Route, Service};
use model::{Config, Id};
use std::collections::BTreeSet;
use witness::Meeting;

/// How many places are visited for one revision, to find pairs of routes to compare.
const MOST_VISITED: usize = 200_000;
/// How many shapes are looked at for that: so many routes of shapes of their own, such as
/// each with another `regex_priority`, would cost the square of their number.
const MOST_SHAPES: usize = 5_000_000;
/// How many pairs are compared: a second's work.
const MOST_COMPARED: usize = 50_000;

/// Follows revisions from one to the next.
#[derive(Debug, Default)]
pub struct Overlaps {
    /// What has been looked at.
    config: Config,
    index: Index,
}

/// What a revision brought.
#[derive(Debug, Default)]
pub struct Found {
    /// Pairs that have a witness.
    pub certain: Vec<Overlap>,
    /// Pairs of which it is not known whether a request can match both.
    pub possible: Vec<(Id<Route>, Id<Route>)>,
    /// Whether there was more to look at than is looked at for one revision.
    pub is_cut_short: bool,
}

/// Two routes, a request that both match, and who serves it.
#[derive(Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Who does in Kong's effective order.
    pub effective: Id<Route>,
    /// Who does in the documented one.
    pub documented: Id<Route>,
    /// The request.
    pub witness: Witness,
}

impl Overlaps {
    /// The pairs of which a route, or whether its service is enabled, is not what it was
    /// when this was last asked. `table` has the routes of `config`.
    pub fn since(&mut self, config: &Config, table: &RouteTable) -> Found {
        let changed = self.take(config);
        let mut budget = Budget { places: MOST_VISITED, shapes: MOST_SHAPES };
        let mut pairs = BTreeSet::new();
        for id in changed {
            let Some(route) = config.get(id).filter(|route| table.by_id(route.id).is_some()) else {
                continue;
            };
            self.index.each_in_conflict(route, &mut budget, |other| {
                if other != id {
                    pairs.insert((id.min(other), id.max(other)));
                }
            });
        }
        let is_cut_short = budget.is_spent() || pairs.len() > MOST_COMPARED;
        let mut found = Found { is_cut_short, ..Found::default() };
        for (one, other) in pairs.into_iter().take(MOST_COMPARED) {
            match Meeting::of(one, other, config, table) {
                Meeting::Decided(overlap) => found.certain.push(overlap),
                Meeting::Unknown => found.possible.push((one, other)),
                Meeting::Agreed => {}
            }
        }
        found
    }

    /// Brings the index up to this configuration; the routes that changed.
    fn take(&mut self, config: &Config) -> BTreeSet<Id<Route>> {
        let mut changed = BTreeSet::new();
        for difference in config.all::<Route>().since(self.config.all()) {
            let (Difference::Put(stored) | Difference::Deleted(stored)) = &difference;
            let id = stored.entity.id;
            let was = self.config.get(id);
            if let Some(old) = was {
                self.index.displace(old);
            }
            if let Difference::Put(stored) = difference {
                self.index.place(&stored.entity);
                if was.is_none_or(|old| !serve_alike(old, &stored.entity)) {
                    changed.insert(id);
                }
            }
        }
        for difference in config.all::<Service>().since(self.config.all()) {
            let Difference::Put(stored) = difference else { continue };
            let service = &stored.entity;
            let was = self.config.get(service.id).map(|old| old.enabled);
            if was != Some(service.enabled) {
                let routes = config.all::<Route>().pointing_at("service", service.id.uuid(), None);
                changed.extend(routes.map(|route| route.id));
            }
        }
        self.config = config.clone();
        changed
    }
}

/// Whether no request can tell these versions of a route apart. A document that is loaded again
/// renews the dates of all that it does not date itself.
fn serve_alike(old: &Route, new: &Route) -> bool {
    let Route { created_at, updated_at, ref tags, .. } = *new;
    *new == Route { created_at, updated_at, tags: tags.clone(), ..old.clone() }
}

/// How much more may be looked at.
#[derive(Debug)]
struct Budget {
    places: usize,
    shapes: usize,
}

impl Budget {
    /// Pays for a look at one place; false if there is nothing left.
    fn spend(&mut self) -> bool {
        self.places = self.places.saturating_sub(1);
        self.places > 0
    }

    /// The same for a shape.
    fn spend_shape(&mut self) -> bool {
        self.shapes = self.shapes.saturating_sub(1);
        self.shapes > 0
    }

    fn is_spent(&self) -> bool {
        self.places == 0 || self.shapes == 0
    }
}
