//! Which plugins a request meets, and in which order.
//!
//! Of each type a request meets one plugin at most: the one that says most about which requests it is
//! for. Which one that is depends on the route and its service, so it is decided when they are
//! compiled. A consumer is known only while plugins run: those for one wait for a type that tells.

use super::Hooks;
use crate::proxy::access::Flow;
use crate::proxy::exchange::Exchange;
use crate::snapshot::Pinned;
use model::Id;
use model::entities::Plugin;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What one plugin does.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Which plugin.
    pub(super) id: Id<Plugin>,
    /// Its type.
    pub(super) name: &'static str,
    /// The priority of its type.
    pub(super) priority: i32,
    pub(super) hooks: Hooks,
}

/// Which requests a plugin is for: the later, the more it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// All.
    Global,
    /// Those to a service.
    Service,
    /// Those of a route.
    Route,
    /// Those of a route, for as long as it leads to this service.
    RouteAndService,
}

/// The plugins of a route, in the order in which they go.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    access: Vec<Step>,
}

impl Chain {
    /// Puts together what these plugins do.
    pub(crate) fn of(steps: impl IntoIterator<Item = (Scope, Step)>) -> Chain {
        let mut chosen: BTreeMap<(Reverse<i32>, &str), (Scope, Step)> = BTreeMap::new();
        for (scope, step) in steps {
            match chosen.entry((Reverse(step.priority), step.name)) {
                Entry::Vacant(place) => {
                    place.insert((scope, step));
                }
                Entry::Occupied(mut place) if place.get().0 < scope => {
                    place.insert((scope, step));
                }
                Entry::Occupied(_) => {}
            }
        }
        let steps = chosen.into_values().map(|(_, step)| step);
        Chain { access: steps.filter(|step| step.hooks.access.is_some()).collect() }
    }

    /// Which plugins they are, and of which types, in order.
    pub(crate) fn each(&self) -> impl Iterator<Item = (Id<Plugin>, &'static str)> {
        self.access.iter().map(|step| (step.id, step.name))
    }

    /// Which plugins they are, in order.
    #[cfg(test)]
    pub(crate) fn ids(&self) -> Vec<Id<Plugin>> {
        self.each().map(|(id, _)| id).collect()
    }
}

/// Has the plugins look at a request that has its route. The first that answers it is the last that
/// sees it.
pub(crate) fn access(exchange: &mut Exchange) -> Flow {
    if exchange.plugins().access.is_empty() {
        return Flow::Next;
    }
    // Held besides the exchange, which the hooks may change.
    let snapshot = Pinned::clone(exchange.snapshot());
    let chain = exchange.plugins_in(&snapshot);
    for step in &chain.access {
        let Some(hook) = &step.hooks.access else { continue };
        if let Flow::Reply(reply) = hook.access(exchange) {
            return Flow::Reply(reply);
        }
    }
    Flow::Next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::Access;
    use std::sync::Arc;
    use uuid::Uuid;

    struct Nothing;

    impl Access for Nothing {
        fn access(&self, _: &mut Exchange) -> Flow {
            Flow::Next
        }
    }

    fn step(id: u128, name: &'static str, priority: i32) -> Step {
        let hooks = Hooks { access: Some(Arc::new(Nothing)) };
        Step { id: Uuid::from_u128(id).into(), name, priority, hooks }
    }

    #[track_caller]
    fn check(steps: impl IntoIterator<Item = (Scope, Step)>, expected: &[u128]) {
        let expected: Vec<Id<Plugin>> =
            expected.iter().map(|id| Uuid::from_u128(*id).into()).collect();
        assert_eq!(Chain::of(steps).ids(), expected);
    }

    #[test]
    fn the_order_is_by_priority_and_then_by_name() {
        let steps = [(3, "b", 5), (1, "z", 9), (2, "a", 5), (4, "low", -1)];
        let steps = steps.map(|(id, name, priority)| (Scope::Global, step(id, name, priority)));
        check(steps, &[1, 2, 3, 4]);
    }

    #[test]
    fn of_each_type_the_most_particular_is_chosen() {
        use Scope::{Global, Route, RouteAndService, Service};
        for (given, expected) in [
            (&[Global, Service][..], 1),
            (&[Service, Global], 0),
            (&[Route, Service, Global], 0),
            (&[Global, Route, RouteAndService, Service], 2),
        ] {
            let steps = (0..).zip(given).map(|(id, scope)| (*scope, step(id, "a", 1)));
            check(steps, &[expected]);
        }
    }

    #[test]
    fn who_joins_no_phase_is_not_there() {
        let idle = Step { hooks: Hooks::default(), ..step(1, "a", 1) };
        check([(Scope::Global, idle)], &[]);
    }
}
