//! The plugins that requests meet: each compiled once, and put together for the routes that have some of
//! their own.
//!
//! All other routes share the chain of those that are for all requests, so that a plugin for a route
//! costs that route, and one for a service its routes. One for all requests costs every route with
//! plugins of its own.

use super::compile::{BAD_PLUGIN, NOT_SERVED};
use crate::plugins;
use crate::plugins::chain::{Chain, Scope, Step};
use imbl::OrdMap;
use model::entities::{Plugin, Route, Service};
use model::vitals::Problem;
use model::{Config, Id, Listed as _};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The plugins of a snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plugins {
    /// Those that are enabled.
    compiled: OrdMap<Id<Plugin>, Arc<Step>>,
    /// Those of them that are for all requests.
    everywhere: OrdMap<Id<Plugin>, Arc<Step>>,
    global: Arc<Chain>,
}

impl Plugins {
    /// The plugins of requests whose route has none of its own.
    pub(crate) fn global(&self) -> &Chain {
        &self.global
    }

    /// Takes up what became of these plugins.
    pub(super) fn patch(
        &mut self,
        changed: &BTreeSet<Id<Plugin>>,
        config: &Config,
        problems: &mut Vec<Problem>,
    ) {
        if changed.is_empty() {
            return;
        }
        for id in changed {
            self.compiled.remove(id);
            self.everywhere.remove(id);
            let Some(plugin) = config.get(*id) else { continue };
            match compile(plugin) {
                Ok(step) if plugin.enabled => {
                    let step = Arc::new(step);
                    if scope_of(plugin) == Some(Scope::Global) {
                        self.everywhere.insert(*id, Arc::clone(&step));
                    }
                    self.compiled.insert(*id, step);
                }
                Ok(_) => {}
                Err(problem) => problems.push(problem),
            }
        }
        self.global = Arc::new(Chain::of(self.for_all()));
    }

    fn for_all(&self) -> impl Iterator<Item = (Scope, Step)> {
        self.everywhere.values().map(|step| (Scope::Global, Step::clone(step)))
    }

    /// The plugins of a route's requests, if it has some of its own, or its service has.
    pub(super) fn of_route(&self, route: &Route, config: &Config) -> Option<Arc<Chain>> {
        let service = route.service.map(|reference| reference.id);
        let mut own = of_route(route.id, config)
            .chain(service.into_iter().flat_map(|service| of_service(service, config)))
            .filter(|plugin| plugin.service.is_none_or(|wanted| Some(wanted.id) == service))
            .filter_map(|plugin| Some((scope_of(plugin)?, self.compiled.get(&plugin.id)?)))
            .map(|(scope, step)| (scope, Step::clone(step)))
            .peekable();
        own.peek()?;
        Some(Arc::new(Chain::of(own.chain(self.for_all()))))
    }
}

/// The routes whose requests may meet others, now that these plugins are not what they were.
pub(super) fn touched(
    changed: &BTreeSet<Id<Plugin>>,
    config: &Config,
    before: &Config,
) -> BTreeSet<Id<Route>> {
    let both = |id: &Id<Plugin>| [before.get(*id), config.get(*id)];
    let changed = || changed.iter().flat_map(both).flatten();
    let mut touched: BTreeSet<_> = changed().flat_map(|plugin| routes_of(plugin, config)).collect();
    if changed().any(|plugin| scope_of(plugin) == Some(Scope::Global)) {
        let all = config.all::<Plugin>().iter();
        touched.extend(all.flat_map(|plugin| routes_of(plugin, config)));
    }
    touched
}

/// The routes that have this plugin for their own; one for all requests is nobody's.
fn routes_of<'a>(plugin: &Plugin, config: &'a Config) -> impl Iterator<Item = Id<Route>> + 'a {
    let route = plugin.route.map(|route| route.id);
    let service = plugin.service.filter(|_| route.is_none()).map(|service| service.id);
    let routes = service.into_iter().flat_map(|service| {
        config.all::<Route>().pointing_at("service", service.uuid(), None).map(|route| route.id)
    });
    route.into_iter().chain(routes)
}

fn of_route(route: Id<Route>, config: &Config) -> impl Iterator<Item = &Plugin> {
    config.all().pointing_at("route", route.uuid(), None)
}

/// Those of the service itself, whichever route leads to it.
fn of_service(service: Id<Service>, config: &Config) -> impl Iterator<Item = &Plugin> {
    let plugins = config.all::<Plugin>().pointing_at("service", service.uuid(), None);
    plugins.filter(|plugin| plugin.route.is_none())
}

/// Which requests a plugin is for. None of those of one consumer: no type of plugins tells yet who that
/// is.
fn scope_of(plugin: &Plugin) -> Option<Scope> {
    match (&plugin.consumer, &plugin.route, &plugin.service) {
        (Some(_), ..) => None,
        (None, Some(_), Some(_)) => Some(Scope::RouteAndService),
        (None, Some(_), None) => Some(Scope::Route),
        (None, None, Some(_)) => Some(Scope::Service),
        (None, None, None) => Some(Scope::Global),
    }
}

fn compile(plugin: &Plugin) -> Result<Step, Problem> {
    let problem = |code, message: String| Problem::of(Plugin::KIND, plugin.id, code, message);
    match plugins::compile(plugin) {
        Some(Ok(step)) => Ok(step),
        Some(Err(error)) => Err(problem(BAD_PLUGIN, error.to_string()).at(error.field())),
        None => {
            let message = format!("there is no plugin `{}` in this version", plugin.name);
            Err(problem(NOT_SERVED, message).at("name"))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::plugins::catalog;
    use crate::snapshot::{Snapshot, compile};
    use model::entities::{Consumer, Plugin, Route, Service};
    use model::testing::{revision, route, service};
    use model::{Config, Id, Terms, schema};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use uuid::Uuid;

    const ROUTES: u128 = 6;
    const SERVICES: u128 = 3;
    const PLUGINS: u128 = 8;

    fn consumer() -> Consumer {
        let fields = json!({
            "id": Uuid::from_u128(900), "username": "alice", "created_at": 1, "updated_at": 1,
        });
        schema::check(fields).expect("a consumer")
    }

    /// A change of the configuration. Where there are numbers, they are modulo how many there are, and
    /// one more for none.
    #[derive(Clone, Debug)]
    enum Act {
        Plugin { id: u128, route: u128, service: u128, has_consumer: bool, enabled: bool },
        NoPlugin(u128),
        Route { id: u128, service: u128 },
        NoRoute(u128),
        Service { id: u128, enabled: bool },
    }

    fn acts() -> impl Strategy<Value = Act> {
        let route = 0..=ROUTES;
        let service = 0..=SERVICES;
        let plugin = (0..PLUGINS, route, service.clone(), prop::bool::weighted(0.1), any::<bool>());
        prop_oneof![
            4 => plugin.prop_map(|(id, route, service, has_consumer, enabled)| {
                Act::Plugin { id, route, service, has_consumer, enabled }
            }),
            1 => (0..PLUGINS).prop_map(Act::NoPlugin),
            2 => (0..ROUTES, service).prop_map(|(id, service)| Act::Route { id, service }),
            1 => (0..ROUTES).prop_map(Act::NoRoute),
            1 => (0..SERVICES, any::<bool>()).prop_map(|(id, enabled)| Act::Service { id, enabled }),
        ]
    }

    fn reference(base: u128, number: u128, count: u128) -> Value {
        (number < count).then(|| json!({ "id": Uuid::from_u128(base + number) })).into()
    }

    impl Act {
        fn apply(self, config: &mut Config) {
            match self {
                Act::Plugin { id, route, service, has_consumer, enabled } => {
                    let consumer = has_consumer.then(|| json!({ "id": consumer().id }));
                    let terms = Terms { catalog: catalog(), ..Terms::default() };
                    let fields = json!({
                        "id": Uuid::from_u128(300 + id), "name": "redirect",
                        "config": { "location": "http://b.test" }, "enabled": enabled,
                        "route": reference(100, route, ROUTES),
                        "service": reference(200, service, SERVICES), "consumer": consumer,
                        "created_at": 1, "updated_at": 1,
                    });
                    config.write(schema::check_in::<Plugin>(terms, fields).expect("a plugin"));
                }
                Act::NoPlugin(id) => {
                    config.delete(model::EntityKind::Plugin, Uuid::from_u128(300 + id));
                }
                Act::Route { id, service } => config.write_route(id, service),
                Act::NoRoute(id) => {
                    let id = Uuid::from_u128(100 + id);
                    config.delete(model::EntityKind::Route, id);
                }
                Act::Service { id, enabled } => config.write_service(id, enabled),
            }
        }
    }

    /// What is written here again and again.
    trait Written {
        fn write_route(&mut self, id: u128, service: u128);
        fn write_service(&mut self, id: u128, enabled: bool);
    }

    impl Written for Config {
        fn write_route(&mut self, id: u128, service: u128) {
            let built = route(&format!("r{id}")).path(&format!("/{id}"));
            let built = built.with("id", json!(Uuid::from_u128(100 + id)));
            let built = built.with("service", reference(200, service, SERVICES));
            self.write(built.build());
        }

        fn write_service(&mut self, id: u128, enabled: bool) {
            let built = service(&format!("s{id}")).with("id", json!(Uuid::from_u128(200 + id)));
            self.write(Service { enabled, ..built.build() });
        }
    }

    /// Which plugins the requests of each route meet, and those without a route.
    fn met(snapshot: &Snapshot) -> Vec<Vec<Id<Plugin>>> {
        let routes = (0..ROUTES).map(|id| Id::<Route>::from(Uuid::from_u128(100 + id)));
        let of = |id| {
            let route = snapshot.routes.by_id(id)?;
            Some(snapshot.plugins_of(route).ids())
        };
        let each = routes.map(|id| of(id).unwrap_or_default());
        each.chain([snapshot.plugins.global().ids()]).collect()
    }

    proptest! {
        /// What is patched is what is made from nothing.
        #[test]
        fn history_does_not_matter(acts in prop::collection::vec(acts(), 1..40)) {
            let mut config = Config::default();
            (0..SERVICES).for_each(|id| config.write_service(id, true));
            config.write(consumer());
            let mut patched = Snapshot::default();
            for (version, act) in (1..).zip(acts) {
                act.apply(&mut config);
                let revision = revision(version, config.clone());
                patched = compile(&revision, &patched).expect("served");
                let fresh = compile(&revision, &Snapshot::default()).expect("served");
                prop_assert_eq!(met(&patched), met(&fresh));
            }
        }
    }
}
