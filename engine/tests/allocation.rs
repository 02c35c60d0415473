//! Finding a route allocates nothing, and a table takes no more memory than is said here.
//! In a file of its own, since what counts allocations is the allocator of all tests
//! beside it.

#[path = "router/world.rs"]
mod world;

use allocation_counter::measure;
use engine::router::RequestView;
use engine::snapshot::{Snapshot, compile};
use model::Config;
use model::entities::Route;
use model::testing::{RouteBuilder, revision, route};
use serde_json::json;
use world::{Ask, Headers, Random, Variety, some_route};

#[test]
fn finding_a_route_allocates_nothing() {
    for variety in [Variety::All, Variety::Lists] {
        let mut random = Random(1);
        let routes: Vec<_> = (0..100)
            .map(|_| {
                let id = random.uuid();
                some_route(&mut random, id, variety)
            })
            .collect();
        let snapshot = compiled(routes);
        let asks: Vec<_> = (0..1000).map(|_| Ask::any(&mut random)).collect();
        let find_all =
            || asks.iter().filter(|ask| snapshot.routes.find(&ask.view()).is_some()).count();
        // Regular expressions get their scratch space when a thread first searches with them.
        assert!(find_all() > 500);
        let counted = measure(|| {
            find_all();
        });
        assert_eq!(counted.count_total, 0, "{variety:?}");
    }
}

/// Gives a numbered route what it is found by.
type Shape<'s> = &'s dyn Fn(RouteBuilder, usize) -> RouteBuilder;

/// What the benchmarks measure, in small.
#[test]
fn finding_a_route_of_any_shape_allocates_nothing() {
    const COUNT: usize = 120;
    let path = |number| format!("/api/v1/svc-{number:05}");
    let host = |number: usize| format!("h{}.example.com", number % 10);
    let shapes: [(&str, Shape<'_>); 5] = [
        ("hosts and paths", &|route, number| route.host(&host(number)).path(&path(number))),
        ("paths", &|route, number| route.path(&path(number))),
        ("regular expressions", &|route, number| {
            route.host(&host(number)).path(&format!("~{}/(?<kind>[^/]+)/[0-9]+$", path(number)))
        }),
        ("headers and methods", &|route, number| match number % 3 {
            0 => route.path(&path(number)).method("GET"),
            1 => route.path(&path(number - 1)).with("headers", json!({ "x-tenant": ["7"] })),
            _ => route.path(&path(number - 2)).method("PURGE"),
        }),
        ("templates", &|route, number| {
            route.path(&format!("~/(?<owner>[^/]+){}/(?<id>[^/]+)/\\w+$", path(number)))
        }),
    ];
    for (name, shape) in shapes {
        let routes =
            (0..COUNT).map(|number| shape(route(&format!("r{number}")), number).build()).collect();
        let snapshot = compiled(routes);
        let fields = Headers(vec![("x_tenant".to_owned(), "7".to_owned())]);
        let asks: Vec<_> = (0..COUNT)
            .flat_map(|number| {
                let path = path(number);
                [
                    (host(number), format!("{path}/users/7")),
                    (host(number), format!("/o{path}/a/b")),
                    (String::new(), "/none".to_owned()),
                ]
            })
            .collect();
        let find_all = || {
            let found = asks.iter().filter(|(host, path)| {
                let request = RequestView::new(host.as_bytes(), 80, path.as_bytes(), b"GET");
                snapshot.routes.find(&request.with_fields(&fields)).is_some()
            });
            found.count()
        };
        assert!(find_all() >= COUNT / 3, "{name}");
        let counted = measure(|| {
            find_all();
        });
        assert_eq!(counted.count_total, 0, "{name}");
    }
}

/// 64 bytes in a tree, 64 in a list, and what the route says: under a kilobyte, when
/// there are enough of them that pages and shards do not count.
#[test]
fn a_route_takes_less_than_a_kilobyte() {
    const COUNT: usize = 20_000;
    let plain = route("r").path("/").build();
    let numbered = |number: usize| Route {
        id: uuid::Uuid::from_u128(number as u128).into(),
        name: None,
        hosts: Some(vec![format!("h{}.example.com", number % 200).parse().expect("a host")]),
        paths: Some(vec![format!("/api/v1/svc-{:05}", number / 200).parse().expect("a path")]),
        ..plain.clone()
    };
    let mut config = Config::default();
    (0..COUNT).for_each(|number| drop(config.write(numbered(number))));
    let revision = revision(1, config);
    let mut snapshot = None;
    let counted = measure(|| {
        snapshot = Some(compile(&revision, &Snapshot::empty()).expect("it can be served"));
    });
    let each = counted.bytes_current as usize / COUNT;
    assert!(each < 1024, "{each} bytes");
}

fn compiled(routes: Vec<Route>) -> Snapshot {
    let mut config = Config::default();
    for route in routes {
        config.write(route);
    }
    compile(&revision(1, config), &Snapshot::empty()).expect("it can be served")
}
