//! Patched ≡ built from nothing ≡ a linear scan, whatever happened before.

use engine::router::{RequestView, RouteTable};
use engine::snapshot::{Snapshot, compile};
use model::entities::{Route, Service};
use model::testing::route;
use model::testing::{revision, service};
use model::value::{HostMatch, PathMatch};
use model::{Config, Entity, Id};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

/// Something an operator does.
#[derive(Clone, Debug)]
enum Step {
    PutRoute {
        id: u128,
        hosts: Vec<&'static str>,
        paths: Vec<String>,
        methods: Vec<&'static str>,
        service: Option<u128>,
    },
    DeleteRoute(u128),
    PutService {
        id: u128,
        enabled: bool,
    },
    DeleteService(u128),
}

/// Something a client asks.
#[derive(Clone, Debug)]
struct Ask {
    host: &'static str,
    path: String,
    method: &'static str,
}

const HOSTS: &[&str] = &["a.io", "A.io:81", "b.io", "b.io:81", "b.io:82", "c.io"];
const ASKED_HOSTS: &[&str] = &["", "a.io", "A.IO:81", "b.io", "b.io:81", "c.io:99", "d.io"];
const METHODS: &[&str] = &["GET", "PUT", "PURGE", "LINK"];

/// Paths that share beginnings, branch widely, and outgrow nodes.
fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => select(&["a", "b", "/c"][..]).prop_map(str::to_owned),
        2 => "[0-9A-Za-z]",
        1 => Just("/a/path/longer/than/any/node/holds".to_owned()),
        1 => Just("/a/path/longer/than/other".to_owned()),
    ];
    vec(piece, 0..5).prop_map(|pieces| format!("/{}", pieces.concat()).replace("//", "/"))
}

/// So many that their route goes by its pattern.
fn of_one_length() -> impl Strategy<Value = Vec<String>> {
    let letters = || "abcAB01".chars();
    let all =
        letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
    let all: Vec<_> = all.map(|word| format!("/{}", String::from_iter(word))).collect();
    subsequence(all, 300)
}

fn step() -> impl Strategy<Value = Step> {
    let put = (
        0..60u128,
        vec(select(HOSTS), 0..3),
        prop_oneof![18 => vec(path(), 0..4), 1 => vec(path(), 150..200), 1 => of_one_length()],
        vec(select(METHODS), 0..2),
        proptest::option::of(0..4u128),
    );
    prop_oneof![
        6 => put.prop_map(|(id, hosts, paths, methods, service)| {
            Step::PutRoute { id, hosts, paths, methods, service }
        }),
        3 => (0..60u128).prop_map(Step::DeleteRoute),
        1 => (0..4u128, any::<bool>()).prop_map(|(id, enabled)| Step::PutService { id, enabled }),
        1 => (0..4u128).prop_map(Step::DeleteService),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let path = (path(), path()).prop_map(|(start, end)| format!("{start}{end}").replace("//", "/"));
    (select(ASKED_HOSTS), path, select(METHODS)).prop_map(|(host, path, method)| Ask {
        host,
        path,
        method,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patched_is_rebuilt_is_scanned(steps in vec((step(), vec(ask(), 4)), 1..400)) {
        let mut config = Config::default();
        let mut patched = Snapshot::empty();
        for (number, (step, asks)) in (1..).zip(steps) {
            apply(&mut config, step);
            let revision = revision(number, config.clone());
            patched = Arc::new(compile(&revision, &patched).expect("a config that can be served"));
            let rebuilt = (number % 20 == 0)
                .then(|| compile(&revision, &Snapshot::empty()).expect("the same config"));
            for ask in asks {
                let expected = scan(&config, &ask);
                prop_assert_eq!(find(&patched.routes, &ask), expected, "patched: {:?}", ask);
                if let Some(rebuilt) = &rebuilt {
                    prop_assert_eq!(find(&rebuilt.routes, &ask), expected, "rebuilt: {:?}", ask);
                    prop_assert_eq!(rebuilt.routes.len(), patched.routes.len());
                }
            }
        }
    }
}

/// What is not possible, such as deleting a service that routes point at, is not done.
fn apply(config: &mut Config, step: Step) {
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
        Step::PutRoute { id, hosts, mut paths, methods, service } => {
            if hosts.is_empty() && methods.is_empty() && paths.is_empty() {
                paths.push("/".to_owned());
            }
            let id = Uuid::from_u128(id).to_string();
            let mut route = route(&format!("r{id}")).with("id", id);
            for (field, values) in
                [("hosts", json!(hosts)), ("paths", json!(paths)), ("methods", json!(methods))]
            {
                if values != json!([]) {
                    route = route.with(field, values);
                }
            }
            let service = service.map(|id| Id::<Service>::from(Uuid::from_u128(id)));
            if let Some(service) = service.and_then(|id| config.get(id)) {
                route = route.to(service);
            }
            config.write(route.build());
        }
    }
}

/// The route, and how long the prefix is that it matched.
type Found = (Id<Route>, usize);

fn find(table: &RouteTable, ask: &Ask) -> Option<Found> {
    let view =
        RequestView::new(ask.host.as_bytes(), 80, ask.path.as_bytes(), ask.method.as_bytes());
    table.find(&view).map(|found| (found.route.id, found.prefix_len))
}

/// The rules, without any structure.
fn scan(config: &Config, ask: &Ask) -> Option<Found> {
    let best = config.all::<Route>().iter().filter_map(|route| {
        let service = route.service.and_then(|service| config.get(service.id));
        let is_served = service.is_none_or(|service| service.enabled);
        (is_served && accepts_host(route, ask) && accepts_method(route, ask))
            .then(|| best_part(route, ask))
            .flatten()
    });
    best.max_by_key(|(rank, _)| *rank).map(|(_, found)| found)
}

fn accepts_host(route: &Route, ask: &Ask) -> bool {
    let (host, port) = ask.host.split_once(':').unwrap_or((ask.host, "80"));
    route.hosts.as_ref().is_none_or(|hosts| {
        hosts.iter().any(|pattern| match pattern.parts() {
            (HostMatch::Exact(name), demanded) => {
                name.eq_ignore_ascii_case(host)
                    && demanded.is_none_or(|demanded| demanded.to_string() == port)
            }
            _ => false,
        })
    })
}

fn accepts_method(route: &Route, ask: &Ask) -> bool {
    route.methods.as_ref().is_none_or(|m| m.iter().any(|method| method.as_str() == ask.method))
}

/// The best of a route's parts that match the path. At most three attributes, so that
/// the number is simple.
fn best_part(route: &Route, ask: &Ask) -> Option<((u64, Uuid), Found)> {
    let attributes = u64::from(route.hosts.is_some())
        + u64::from(route.paths.is_some())
        + u64::from(route.methods.is_some());
    let priority = attributes << 29 | u64::from(route.hosts.is_some()) << 60;
    let Some(paths) = &route.paths else {
        return Some(((priority, route.id.uuid()), (route.id, 0)));
    };
    let mut lengths: Vec<usize> = Vec::new();
    for path in paths {
        let length = path.as_str().len();
        if !lengths.contains(&length) {
            lengths.push(length);
        }
    }
    let namespace = Uuid::parse_str("7f145bf9-0dce-4f91-98eb-debbce4b9f6b").expect("a uuid");
    let matching = paths.iter().filter_map(|path| match path.matches() {
        PathMatch::Prefix(prefix) if ask.path.starts_with(prefix) => {
            let part = 1 + lengths.iter().position(|length| *length == prefix.len())?;
            let id = match lengths.len() {
                1 => route.id.uuid(),
                _ => Uuid::new_v5(&namespace, format!("{}#{part}", route.id).as_bytes()),
            };
            Some(((priority | prefix.len() as u64, id), (route.id, prefix.len())))
        }
        _ => None,
    });
    matching.max_by_key(|(rank, _)| *rank)
}
