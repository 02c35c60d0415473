//! Patched ≡ built from nothing ≡ a linear scan, whatever happened before.

use super::expressions::some_expression;
use super::kong::{Part, parts};
use super::world::{Ask, LISTENER, Random, Variety, some_route};
use engine::router::expression::{Expression, Traffic};
use engine::router::{Regexes, RouteTable, split_host};
use engine::snapshot::{RouterOptions, Snapshot, compile};
use model::entities::{Route, Service};
use model::testing::{revision, service};
use model::value::{HostMatch, Reference, RoutePath};
use model::{Config, Flavor, Id, Listed};
use proptest::collection::vec;
use proptest::prelude::*;
use regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Something an operator does. Routes are made up from a seed.
#[derive(Clone, Debug)]
enum Step {
    PutRoute { id: u128, seed: u64, many: Many, service: Option<u128> },
    DeleteRoute(u128),
    PutService { id: u128, enabled: bool },
    DeleteService(u128),
}

/// Paths beside those a route has.
#[derive(Clone, Copy, Debug)]
enum Many {
    No,
    /// So many of one length that the route goes by its pattern.
    OfOneLength,
    /// Of many lengths, so that it has many parts.
    Lengths,
    /// So many regular expressions that the route goes by its pattern, if it has three hosts.
    Regexes,
    /// Different in one byte: a node of many children.
    Children,
}

fn step() -> impl Strategy<Value = Step> {
    use Many::*;
    let many = prop_oneof![
        40 => Just(No), 1 => Just(OfOneLength), 1 => Just(Lengths), 1 => Just(Regexes),
        2 => Just(Children),
    ];
    let put = (0..80u128, any::<u64>(), many, proptest::option::of(0..4u128));
    prop_oneof![
        6 => put.prop_map(|(id, seed, many, service)| Step::PutRoute { id, seed, many, service }),
        3 => (0..80u128).prop_map(Step::DeleteRoute),
        1 => (0..4u128, any::<bool>()).prop_map(|(id, enabled)| Step::PutService { id, enabled }),
        1 => (0..4u128).prop_map(Step::DeleteService),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patched_is_rebuilt_is_scanned(
        has_expressions in any::<bool>(),
        steps in vec((step(), any::<u64>()), 1..250),
    ) {
        let flavor = if has_expressions { Flavor::Expressions } else { Flavor::default() };
        let options = RouterOptions { router_flavor: flavor, ..RouterOptions::default() };
        let mut config = Config::default();
        let mut patched = Snapshot::empty_for(options);
        let mut scanner = Scanner::of(flavor);
        for (number, (step, seed)) in (1..).zip(steps) {
            apply(&mut config, step, flavor);
            let revision = revision(number, config.clone());
            patched = Arc::new(compile(&revision, &patched).expect("a config that can be served"));
            let rebuilt = (number % 50 == 0)
                .then(|| compile(&revision, &Snapshot::empty_for(options)).expect("the same config"));
            let mut random = Random(seed);
            for _ in 0..4 {
                let ask = Ask::any(&mut random);
                let expected = scanner.find(&config, &ask);
                prop_assert_eq!(find(&patched.routes, &ask), expected, "patched: {:?}", ask);
                if let Some(rebuilt) = &rebuilt {
                    prop_assert_eq!(find(&rebuilt.routes, &ask), expected, "rebuilt: {:?}", ask);
                    prop_assert_eq!(rebuilt.routes.len(), patched.routes.len());
                    prop_assert_eq!(rebuilt.regex_weight(), patched.regex_weight());
                }
            }
        }
    }
}

/// What is not possible, such as deleting a service that routes point at, is not done.
fn apply(config: &mut Config, step: Step, flavor: Flavor) {
    match step {
        Step::DeleteRoute(id) => {
            config.delete(Route::KIND, Uuid::from_u128(id));
        }
        Step::PutService { id, enabled } => {
            let id = Uuid::from_u128(id).to_string();
            config
                .write(service(&format!("s{id}")).with("id", id).with("enabled", enabled).build());
        }
        Step::DeleteService(id) => {
            let id = Uuid::from_u128(id);
            if config.all::<Route>().pointing_at("service", id, None).next().is_none() {
                config.delete(Service::KIND, id);
            }
        }
        Step::PutRoute { id, seed, many, service } => {
            // A quarter of them gather in the same lists.
            let variety = if id % 4 == 0 { Variety::Lists } else { Variety::All };
            let (random, id) = (&mut Random(seed), Uuid::from_u128(id));
            let mut route = if flavor == Flavor::Expressions && seed % 3 > 0 {
                some_expression(random, id)
            } else {
                let mut route = some_route(random, id, variety);
                let more = many.paths().map(|path| path.parse::<RoutePath>().expect("a path"));
                let paths: Vec<_> = route.paths.take().into_iter().flatten().chain(more).collect();
                route.paths = (!paths.is_empty()).then_some(paths);
                route
            };
            let service = service.map(|id| Id::<Service>::from(Uuid::from_u128(id)));
            let service = service.filter(|id| config.get(*id).is_some());
            route.service = service.map(|id| Reference { id });
            config.write(route);
        }
    }
}

impl Many {
    fn paths(self) -> impl Iterator<Item = String> {
        let of = |count: u32, path: fn(u32) -> String| (0..count).map(path);
        match self {
            Many::No => of(0, |_| String::new()),
            Many::OfOneLength => of(300, |number| format!("/a/{number:03}")),
            Many::Lengths => of(40, |number| "/a/b".repeat(1 + number as usize)),
            Many::Regexes => of(90, |number| format!("~/a/{number}$")),
            Many::Children => of(50, |number| format!("/{}", (b'A' + number as u8) as char)),
        }
    }
}

/// The route, and how much of the path it matched.
pub(crate) type Found = (Id<Route>, usize);

pub(crate) fn find(table: &RouteTable, ask: &Ask) -> Option<Found> {
    table.find(&ask.view()).map(|found| (found.route.id, found.prefix_len))
}

/// The rules, without any structure but what saves the test from doing things twice.
pub(crate) struct Scanner {
    flavor: Flavor,
    parts: HashMap<Uuid, (Route, Vec<Part>)>,
    regexes: HashMap<String, Regex>,
    expressions: HashMap<String, Expression>,
}

impl Scanner {
    pub(crate) fn of(flavor: Flavor) -> Scanner {
        Scanner {
            flavor,
            parts: HashMap::new(),
            regexes: HashMap::new(),
            expressions: HashMap::new(),
        }
    }

    pub(crate) fn find(&mut self, config: &Config, ask: &Ask) -> Option<Found> {
        let best = config.all::<Route>().iter().filter_map(|route| {
            let service = route.service.and_then(|service| config.get(service.id));
            let is_served = service.is_none_or(|service| service.enabled);
            let over = |word: &str| route.protocols.iter().any(|p| p.as_str() == word);
            let is_over = self.flavor != Flavor::Expressions
                || !over("http")
                || over("https")
                || !ask.is_https;
            match is_served && is_over {
                true if route.expression.is_some() => self.expressed(route, ask),
                true if accepts(route, ask) => self.best_part(route, ask),
                _ => None,
            }
        });
        best.max_by_key(|(rank, _)| *rank).map(|(_, found)| found)
    }

    /// A route that is an expression, if that holds.
    fn expressed(&mut self, route: &Route, ask: &Ask) -> Option<((u64, Uuid), Found)> {
        let [part] = parts(route, self.flavor).try_into().expect("it is not split");
        let expression = self.expressions.entry(part.expression.clone()).or_insert_with(|| {
            let expression =
                Expression::compile(&part.expression, Traffic::Http, &Regexes::default());
            expression.expect("an expression")
        });
        let found = expression.find(&ask.view())?;
        Some(((part.priority, part.id), (route.id, found.prefix_len)))
    }

    /// The best of a route's parts that match the path. Of equal paths the first counts.
    fn best_part(&mut self, route: &Route, ask: &Ask) -> Option<((u64, Uuid), Found)> {
        let known = self.parts.entry(route.id.uuid());
        let known = known.or_insert_with(|| (route.clone(), parts(route, self.flavor)));
        if known.0 != *route {
            *known = (route.clone(), parts(route, self.flavor));
        }
        let matching = known.1.iter().filter_map(|part| {
            let mut lengths = part.paths.iter().filter_map(|path| match path.strip_prefix('~') {
                None => ask.path.starts_with(path.as_str()).then_some(path.len()),
                Some(regex) => {
                    let regex = self.regexes.entry(regex.to_owned()).or_insert_with(|| {
                        Regex::new(&format!("^{regex}")).expect("a regular expression")
                    });
                    regex.find(&ask.path).map(|found| found.len())
                }
            });
            let length = if part.paths.is_empty() { Some(0) } else { lengths.next() };
            Some(((part.priority, part.id), (route.id, length?)))
        });
        matching.max_by_key(|(rank, _)| *rank)
    }
}

/// All but the path.
fn accepts(route: &Route, ask: &Ask) -> bool {
    let (host, port) = split_host(ask.host.as_bytes(), LISTENER);
    let host = std::str::from_utf8(host).expect("UTF-8");
    let accepts_host = route.hosts.as_ref().is_none_or(|hosts| {
        hosts.iter().map(|pattern| pattern.parts()).any(|(name, demanded)| {
            is_under(host, name) && (demanded.is_none() || demanded == port)
        })
    });
    let accepts_sni = route.snis.as_ref().is_none_or(|snis| {
        let is_one = |sni: &str| {
            snis.iter().any(|pattern| {
                let bare =
                    pattern.as_str().trim_end_matches('.').parse::<model::value::SniPattern>();
                is_under(sni, bare.expect("a pattern").matches())
            })
        };
        !ask.is_https || ask.sni.is_some_and(is_one)
    });
    let accepts_headers = route.headers.iter().flatten().all(|(name, values)| {
        let name = name.as_str().to_lowercase().replace('-', "_");
        let sent = ask.headers.0.iter().filter(|header| header.0 == name).map(|header| &header.1);
        sent.into_iter().any(|sent| values.iter().any(|value| is_value(value, sent)))
    });
    let accepts_method =
        route.methods.as_ref().is_none_or(|m| m.iter().any(|method| method.as_str() == ask.method));
    accepts_host && accepts_sni && accepts_headers && accepts_method
}

fn is_under(name: &str, pattern: HostMatch<'_>) -> bool {
    match pattern {
        HostMatch::Exact(exact) => name.eq_ignore_ascii_case(exact),
        HostMatch::Suffix(end) => name.ends_with(end),
        HostMatch::Prefix(start) => name.starts_with(start),
    }
}

fn is_value(value: &str, sent: &str) -> bool {
    match value.strip_prefix("~*") {
        None => value.eq_ignore_ascii_case(sent),
        Some(regex) => {
            let regex = RegexBuilder::new(regex).case_insensitive(true).build();
            regex.expect("a regular expression").is_match(sent)
        }
    }
}
