//! Which pairs of routes the two orders put differently: what is reported is so, what shows
//! in a request is reported, and step by step the same is found as at once.

#[path = "router/world.rs"]
#[allow(dead_code, reason = "this needs less of it than other tests")]
mod world; // routes and requests made up

use engine::router::overlap::{Found, Overlaps};
use engine::router::{Fields, RequestView, RouteTable, RouterPriority};
use engine::snapshot::{RouterOptions, Snapshot, compile};
use model::entities::{Route, Service};
use model::testing::{RouteBuilder, revision, route, service};
use model::value::Timestamp;
use model::{Config, Flavor, Id};
use serde_json::json;
use std::collections::BTreeSet;
use world::{Ask, Random, Variety, some_route};

type Pair = (Id<Route>, Id<Route>);

const ORDERS: [RouterPriority; 2] = [RouterPriority::KongEffective, RouterPriority::Documented];

#[test]
fn every_reported_pair_differs_and_every_pair_that_shows_is_reported() {
    let mut random = Random(3);
    let (mut certain, mut shown, mut possible) = (0, 0, 0);
    for _ in 0..60 {
        let routes = some_routes(&mut random, 8);
        let config = config(&routes);
        let tables = ORDERS.map(|order| table(&config, order));
        let found = Overlaps::default().since(&config, &tables[0]);
        assert!(!found.is_cut_short);
        for overlap in &found.certain {
            let both = [overlap.effective, overlap.documented];
            let pair = routes.iter().filter(|route| both.contains(&route.id));
            let alone = config_of(pair);
            let winners =
                ORDERS.map(|order| winner(&table(&alone, order), &overlap.witness.view()));
            assert_eq!(winners, both.map(Some), "{overlap:?}");
        }
        let reported = pairs(&found);
        for _ in 0..60 {
            let ask = Ask::any(&mut random);
            let winners = tables.each_ref().map(|table| winner(table, &ask.view()));
            if let [Some(one), Some(other)] = winners
                && one != other
            {
                let pair = (one.min(other), one.max(other));
                assert!(reported.contains(&pair), "{ask:?} of {}", told(&routes, pair));
                shown += 1;
            }
        }
        certain += found.certain.len();
        possible += found.possible.len();
    }
    assert!(shown > 50, "{shown} requests say little");
    assert!(possible * 3 < certain, "{possible} are not certain, {certain} are");
}

#[test]
fn step_by_step_the_same_is_found() {
    let mut random = Random(5);
    for _ in 0..15 {
        let routes = some_routes(&mut random, 10);
        let whole = config(&routes);
        let at_once = pairs(&Overlaps::default().since(&whole, &table(&whole, ORDERS[0])));

        let mut overlaps = Overlaps::default();
        let mut so_far = Config::default();
        let mut found = BTreeSet::new();
        for route in &routes {
            // Something else was there before, and is not there any more.
            let id = route.id.uuid();
            for route in [some_route(&mut random, id, Variety::All), route.clone()] {
                so_far.write(route);
                let step = overlaps.since(&so_far, &table(&so_far, ORDERS[0]));
                found.retain(|pair: &Pair| pair.0.uuid() != id && pair.1.uuid() != id);
                found.extend(pairs(&step));
            }
        }
        assert_eq!(found, at_once);
        assert!(overlaps.since(&so_far, &table(&so_far, ORDERS[0])).certain.is_empty());
    }
}

#[test]
fn one_shape_of_routes_has_nothing_to_look_at() {
    let routes: Vec<_> = (0..3000)
        .map(|n| route(&format!("r{n}")).host(&format!("h{}.io", n % 7)).path("/").build())
        .collect();
    let config = config(&routes);
    let found = Overlaps::default().since(&config, &table(&config, ORDERS[0]));
    assert!(!found.is_cut_short && pairs(&found).is_empty());
}

#[test]
fn of_a_document_that_is_loaded_again_nothing_is_said_again() {
    let host = route("host").host("a.io");
    let path = route("path").path("/a").method("GET").build();
    let load = |host: RouteBuilder, at: i64| {
        let stamped = Route { updated_at: Timestamp::from_seconds(at), ..path.clone() };
        config(&[host.with("updated_at", at).build(), stamped])
    };
    let mut overlaps = Overlaps::default();
    let mut look =
        |config: &Config| pairs(&overlaps.since(config, &table(config, ORDERS[0]))).len();
    assert_eq!(look(&load(host.clone(), 1)), 1);
    assert_eq!(look(&load(host.clone().with("tags", json!(["seen"])), 2)), 0);
    assert_eq!(look(&load(host.with("strip_path", false), 3)), 1);
}

#[test]
fn a_service_that_is_enabled_brings_its_routes_along() {
    let off: Service = service("s").with("enabled", false).build();
    let mut config = Config::default();
    config.write(off.clone());
    config.write(route("host").host("a.io").to(&off).build());
    config.write(route("path").path("/a").method("GET").build());
    let mut overlaps = Overlaps::default();
    let mut look =
        |config: &Config| pairs(&overlaps.since(config, &table(config, ORDERS[0]))).len();
    assert_eq!(look(&config), 0);
    config.write(Service { enabled: true, ..off });
    assert_eq!(look(&config), 1);
}

#[test]
fn what_cannot_meet_does_not_overlap() {
    let host = || route("1").host("a.io");
    let path = || route("2").path("/a").method("GET");
    check(host(), path(), "GET http://a.io/a");
    check(host(), path().host("b.*"), "");
    check(host(), path().host("*.io"), "GET http://a.io/a");
    check(host().host("x.b.io"), path().host("*.b.io"), "GET http://x.b.io/a");
    check(route("1").host("a.io:81"), path(), "GET http://a.io:81/a");
    let headers = [json!({ "X-A": ["~*^v[0-9]"] }), json!({ "x-a": ["1"], "b": ["2"] })];
    let [some, others] =
        headers.map(|headers| move |route: RouteBuilder| route.with("headers", headers));
    check(some(host()), others(path()), "GET http://a.io/a with x-a: v0, b: 2, x-a: 1");
    check(route("1").path(r"~/a/(?<n>\d+)"), path(), "GET /a/0");
    check(
        route("1").path(r"~/users/[^/]+/orders"),
        route("2").path("/users/x").method("PUT"),
        "PUT /users/x/orders",
    );
    check(route("1").path(r"~/b"), path(), "");
    let https = |route: RouteBuilder, sni: &str| {
        route.with("snis", json!([sni])).with("protocols", json!(["https"]))
    };
    check(https(host(), "a.io"), https(path(), "b.io"), "");
    check(https(host(), "*.io"), https(path(), "b.io."), "GET https://a.io/a");
}

#[test]
fn four_attributes_overlap_with_expressions() {
    let four = || {
        let route = route("1").host("a.io").path("/v1/a").method("GET");
        route.with("headers", json!({ "x": ["1"] }))
    };
    let expression = |text: &str| route("2").with("expression", text);
    check(four(), expression(r#"http.path ^= "/v1""#), "GET http://a.io/v1/a with x: 1");
    check(four(), expression(r#"http.path ^= "/v2""#), "");
    check(route("1").path("/v1"), expression(r#"http.path ^= "/v1""#), "");
    let over = |route: RouteBuilder, protocol: &str| route.with("protocols", json!([protocol]));
    check(
        over(four(), "https"),
        over(expression(r#"http.path ^= "/v1""#), "http"),
        "GET http://a.io/v1/a with x: 1",
    );
}

#[test]
fn many_shapes_are_not_looked_at_for_ever() {
    let routes = |count: i64| -> Vec<Route> {
        let route = |n| route(&format!("r{n}")).path(&format!("~/x{n}/"));
        (0..count).map(|n| route(n).with("regex_priority", n).build()).collect()
    };
    for (count, is_cut_short) in [(1000, false), (2500, true)] {
        let config = config(&routes(count));
        let found = Overlaps::default().since(&config, &table(&config, ORDERS[0]));
        assert_eq!((found.is_cut_short, pairs(&found).len()), (is_cut_short, 0), "{count}");
    }
}

/// The witness against two routes; nothing if the orders agree on them.
#[track_caller]
fn check(one: RouteBuilder, other: RouteBuilder, expected: &str) {
    let id = |number: u128| uuid::Uuid::from_u128(number).to_string();
    let config = config(&[one.with("id", id(1)).build(), other.with("id", id(2)).build()]);
    let found = Overlaps::default().since(&config, &table(&config, ORDERS[0]));
    let witness = found.certain.first().map(|overlap| overlap.witness.to_string());
    assert_eq!(witness.unwrap_or_default(), expected);
    assert!(found.possible.is_empty());
}

fn some_routes(random: &mut Random, count: usize) -> Vec<Route> {
    let some = |_| {
        let id = random.uuid();
        some_route(random, id, Variety::All)
    };
    (0..count).map(some).collect()
}

fn config(routes: &[Route]) -> Config {
    config_of(routes.iter())
}

fn config_of<'r>(routes: impl Iterator<Item = &'r Route>) -> Config {
    let mut config = Config::default();
    routes.for_each(|route| drop(config.write(route.clone())));
    config
}

fn table(config: &Config, order: RouterPriority) -> RouteTable {
    let is_expressed = config.all::<Route>().iter().any(|route| route.expression.is_some());
    let router_flavor = if is_expressed { Flavor::Expressions } else { Flavor::default() };
    let empty = Snapshot::empty_for(RouterOptions { router_priority: order, router_flavor });
    let snapshot = compile(&revision(1, config.clone()), &empty);
    snapshot.unwrap_or_else(|problems| panic!("{problems:?}")).routes
}

fn winner<F: Fields>(table: &RouteTable, request: &RequestView<'_, F>) -> Option<Id<Route>> {
    table.find(request).map(|found| found.route.id)
}

/// What two routes ask for.
fn told(routes: &[Route], pair: Pair) -> String {
    let both = routes.iter().filter(|route| [pair.0, pair.1].contains(&route.id));
    let told = |route: &Route| serde_json::to_string(route).expect("JSON");
    both.map(told).collect::<Vec<_>>().join("\n")
}

fn pairs(found: &Found) -> BTreeSet<Pair> {
    let certain = found.certain.iter().map(|overlap| (overlap.effective, overlap.documented));
    let all = certain.chain(found.possible.iter().copied());
    all.map(|(one, other)| (one.min(other), one.max(other))).collect()
}
