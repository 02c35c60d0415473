//! A whole snapshot or every problem; what did not change is shared.

use super::get;
use engine::router::{RequestView, RouterPriority};
use engine::snapshot::{RouterOptions, Snapshot, compile, judge};
use model::entities::{Route, Service};
use model::testing::{RouteBuilder, ServiceBuilder, revision, route, service};
use model::vitals::Problem;
use model::{Config, Flavor, Id, Listed};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

#[test]
fn a_service_that_is_not_enabled_takes_its_routes_along() {
    let mut config = Config::default();
    let mut there = service("s").build();
    config.write(there.clone());
    config.write(route("r").path("/a").to(&there).build());
    let first = compiled(&config, &Snapshot::empty());
    assert!(get(&first, "/a").is_some());

    there.enabled = false;
    config.write(there.clone());
    let second = compiled(&config, &first);
    assert!(get(&second, "/a").is_none());
    assert!(second.service(there.id).is_none());

    there.enabled = true;
    config.write(there);
    assert!(get(&compiled(&config, &second), "/a").is_some());
}

#[test]
fn a_changed_service_changes_under_its_routes_only() {
    let mut config = Config::default();
    let [one, two] = ["one", "two"].map(|name| service(name).build());
    for service in [&one, &two] {
        let name = service.name.as_ref().expect("a name").as_str();
        config.write(service.clone());
        config.write(route(name).path(&format!("/{name}")).to(service).build());
    }
    let before = compiled(&config, &Snapshot::empty());
    config.write(Service { port: 8080, ..one });
    let after = compiled(&config, &before);

    let port =
        |path| get(&after, path).and_then(|found| found.route.service.clone()).map(|s| s.port);
    assert_eq!((port("/one"), port("/two")), (Some(8080), Some(80)));
    let route = |snapshot, path| std::ptr::from_ref(get(snapshot, path).expect("a route").route);
    assert_eq!(route(&before, "/two"), route(&after, "/two"));
    assert_ne!(route(&before, "/one"), route(&after, "/one"));
}

#[test]
fn an_index_finds_the_route_again() {
    let mut config = Config::default();
    config.write(route("r").path("/a").build());
    let snapshot = compiled(&config, &Snapshot::empty());
    let found = get(&snapshot, "/a").expect("a route");
    assert_eq!(snapshot.routes.get(found.index).expect("the same").id, found.route.id);
    assert!(Snapshot::empty().routes.get(found.index).is_none());
}

#[test]
fn what_is_null_has_kongs_values() {
    let nulls = ["retries", "connect_timeout", "read_timeout", "write_timeout"];
    let service = nulls.iter().fold(service("s"), |s, field| s.with(field, Value::Null));
    let compiled = compiled_service(service);
    assert_eq!(compiled.retries, 5);
    let minute = Duration::from_secs(60);
    let timeouts = [compiled.connect_timeout, compiled.read_timeout, compiled.write_timeout];
    assert_eq!(timeouts, [minute; 3]);
}

#[test]
fn hosts_that_are_addresses_are_not_resolved() {
    for (host, address) in [
        ("10.0.0.1", Some("10.0.0.1")),
        ("010.0.0.1", Some("10.0.0.1")),
        ("::1", Some("::1")),
        ("[::1]", Some("::1")),
        ("a.io", None),
    ] {
        let found = compiled_service(service("s").with("host", host)).address;
        assert_eq!(found, address.map(|text| text.parse().expect("an address")), "{host}");
    }
}

#[test]
fn only_a_route_for_https_alone_demands_tls() {
    let demand = |protocols: Value| {
        let mut config = Config::default();
        let route = route("r").path("/a").with("https_redirect_status_code", 301);
        config.write(route.with("protocols", protocols).build());
        get(&compiled(&config, &Snapshot::empty()), "/a").expect("a route").route.https_only
    };
    assert_eq!(demand(json!(["https"])), Some(301));
    assert_eq!(demand(json!(["http"])), None);
    assert_eq!(demand(json!(["http", "https"])), None);
}

#[test]
fn a_regex_that_is_none_is_refused_with_what_to_write_instead() {
    refused(route("r").path("~/(?!a)"), "paths", "/(?!a)", "instead of excluding paths");
    refused(route("r").path("~/(a)\\1"), "paths", "/(a)\\1", "write the alternatives out");
    refused(route("r").path("~/(?>a)"), "paths", "/(?>a)", "`(?:…)` does the same");
    refused(
        route("r").path("~/(a?b){200000}"),
        "paths",
        "/(a?b){200000}",
        "make counted repetitions smaller",
    );
    let header = |value: &str| route("r").with("headers", json!({ "x-a": ["b", value] }));
    refused(header("~*(?=a)"), "headers", "(?=a)", "instead of looking ahead");
    refused(header("~*(a"), "headers", "(a", "not well-formed: unclosed group");
}

#[test]
fn a_route_for_streams_serves_no_request() {
    let mut config = Config::default();
    let stream = route("r").with("protocols", json!(["tcp"]));
    config.write(stream.with("sources", json!([{ "port": 1 }])).build());
    let first = compiled(&config, &Snapshot::empty());
    assert_eq!((first.routes.len(), first.streams.len()), (0, 1));
    // It may change sides, and back.
    let changed = config.all::<Route>().iter().next().unwrap().id;
    let request = route("r").with("id", changed.to_string()).path("/").build();
    let mut other = Config::default();
    other.write(request);
    let second = compiled(&other, &first);
    assert_eq!((second.routes.len(), second.streams.len()), (1, 0));
    let third = compiled(&config, &second);
    assert_eq!((third.routes.len(), third.streams.len()), (0, 1));
    assert_eq!(compiled(&Config::default(), &third).streams.len(), 0);
}

#[test]
fn the_order_of_routes_may_be_the_documented_one() {
    let mut config = Config::default();
    config.write(route("by_host").host("a.io").build());
    config.write(route("by_path").path("/a").method("GET").build());
    let find = |order| {
        let options = RouterOptions { router_priority: order, ..RouterOptions::default() };
        let previous = Snapshot::empty_for(options);
        let first = compiled(&config, &previous);
        // What follows is compiled as the first was.
        let next = compiled(&config, &first);
        let view = RequestView::new(b"a.io", 80, b"/a", b"GET");
        let found = next.routes.find(&view).expect("a route");
        found.route.name.as_ref().map(ToString::to_string)
    };
    assert_eq!(find(RouterPriority::KongEffective).as_deref(), Some("by_host"));
    assert_eq!(find(RouterPriority::Documented).as_deref(), Some("by_path"));
}

#[test]
fn an_expression_that_is_none_is_refused_with_the_place() {
    let told = |protocols: Value, text: &str| {
        let mut config = Config::default();
        config.write(route("r").with("protocols", protocols).with("expression", text).build());
        let problems = compile(&revision(1, config), &with_expressions()).expect_err("problems");
        assert!(problems.iter().all(|problem| problem.field.as_deref() == Some("expression")));
        assert!(problems.iter().all(|problem| problem.code == "invalid_expression"));
        problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
    };
    assert_eq!(
        told(json!(["http"]), "http.pth == \"/\" &&\n net.src.port == \"1\""),
        [
            "Router Expression failed validation: line 1, column 1: `http.pth` is not a field of \
             HTTP requests",
            "Router Expression failed validation: line 2, column 18: `net.src.port` == takes a \
             number, found a string",
        ]
    );
    assert_eq!(
        told(json!(["tcp"]), "http.path == \"/\""),
        ["Router Expression failed validation: line 1, column 1: `http.path` is not a field of \
          streams"]
    );
}

#[test]
fn expressions_are_refused_where_routes_are_not_written_so() {
    let mut config = Config::default();
    let one = route("r").with("expression", "http.path == \"/\"").build();
    config.write(one.clone());
    config.write(route("classic").path("/a").build());
    let [problem] = problems(&config).try_into().expect("one problem");
    assert_eq!((&*problem.code, problem.field.as_deref()), ("router_flavor", Some("expression")));
    assert_eq!(problem.entity, Some(("routes".to_owned(), one.id.uuid())));
    assert!(problem.message.ends_with("its router_flavor is traditional_compatible"));
    assert_eq!(compiled(&config, &with_expressions()).routes.len(), 2);
    assert!(judge(RouterOptions::default()).rehearse(&config).is_err());
    let router_flavor = Flavor::Expressions;
    let options = RouterOptions { router_flavor, ..RouterOptions::default() };
    assert_eq!(judge(options).rehearse(&config), Ok(()));
}

fn with_expressions() -> Arc<Snapshot> {
    let router_flavor = Flavor::Expressions;
    Snapshot::empty_for(RouterOptions { router_flavor, ..RouterOptions::default() })
}

#[test]
fn requests_are_not_sent_to_a_service_of_streams() {
    let mut config = Config::default();
    let there = service("s").with("protocol", "tcp").build();
    let anywhere = json!([{ "ip": "0.0.0.0/0" }]);
    let stream = route("stream").with("protocols", json!(["tcp"])).with("sources", anywhere);
    config.write(stream.to(&there).build());
    config.write(there.clone());
    assert_eq!(compiled(&config, &Snapshot::empty()).streams.len(), 1);
    config.write(route("request").path("/a").to(&there).build());
    let [problem] = problems(&config).try_into().expect("one problem");
    assert_eq!((&*problem.code, problem.field.as_deref()), ("not_served", Some("service")));
    assert_eq!(problem.message, "it is for HTTP, and its service is spoken to over `tcp`");
}

#[test]
fn references_to_what_is_not_there_are_refused() {
    let mut config = Config::default();
    let there = service("s").with("protocol", "https");
    let there = there.with("ca_certificates", json!(["00000000-0000-4000-8000-000000000001"]));
    config.write(there.build());
    config.write(route("r").path("/a").to(&service("gone").build()).build());
    let problems = problems(&config);
    let about: Vec<_> = problems.iter().filter_map(|p| p.entity.as_ref()).map(|e| &*e.0).collect();
    assert_eq!(about, ["services", "routes"]);
    assert!(problems.iter().all(|problem| problem.code == "dangling_reference"));
}

#[test]
fn a_deleted_service_leaves_its_routes_dangling() {
    let mut config = Config::default();
    let there = service("s").build();
    config.write(there.clone());
    config.write(route("r").path("/a").to(&there).build());
    let before = compiled(&config, &Snapshot::empty());
    config.delete(Service::KIND, there.id.uuid());
    let problems = compile(&revision(2, config), &before).expect_err("a dangling route");
    assert_eq!(problems[0].code, "dangling_reference");
}

#[test]
fn all_problems_come_at_once() {
    let mut config = Config::default();
    config.write(route("r").path("~/(a").path("~/(b").build());
    config.write(route("q").path("~/(c").build());
    assert_eq!(problems(&config).len(), 3);
}

#[test]
fn a_judge_says_what_compiling_says_and_remembers_nothing_that_failed() {
    let judge = judge(RouterOptions::default());
    let mut config = Config::default();
    config.write(route("r").path("/a").build());
    assert_eq!(judge.rehearse(&config), Ok(()));

    let bad = route("bad").path("~/(a").build();
    config.write(bad.clone());
    let problems = judge.rehearse(&config).expect_err("a problem");
    assert_eq!(problems[0].entity, Some(("routes".to_owned(), bad.id.uuid())));
    assert_eq!(judge.rehearse(&config), Err(problems));

    config.delete(Route::KIND, bad.id.uuid());
    assert_eq!(judge.rehearse(&config), Ok(()));
}

/// Routes that nothing tells apart are one list, in the order of their priorities. In the
/// order of their ids, each would be put behind half of the others: a billion steps.
#[test]
fn a_list_that_cannot_be_split_takes_time_in_proportion() {
    let mut config = Config::default();
    let one = route("r").path("~/a.*b").build();
    let priority = |number: u128| number * 7919 % 1021;
    for number in 0..30_000u128 {
        let id = Id::from(Uuid::from_u128(number));
        let regex_priority = Some(priority(number) as i64);
        config.write(Route { id, name: None, regex_priority, ..one.clone() });
    }
    let begun = Instant::now();
    let full = compiled(&config, &Snapshot::empty());
    let best = (0..30_000u128).max_by_key(|number| (priority(*number), *number)).expect("some");
    let found = get(&full, "/a/b").expect("a route");
    assert_eq!(found.route.id.uuid(), Uuid::from_u128(best));
    assert!(get(&compiled(&Config::default(), &full), "/a/b").is_none());
    // Unoptimised it is a second.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[track_caller]
fn refused(route: RouteBuilder, field: &str, pattern: &str, expected: &str) {
    let mut config = Config::default();
    let route = route.build();
    config.write(route.clone());
    let [problem] = problems(&config).try_into().expect("one problem");
    assert_eq!(problem.code, "invalid_regex");
    assert_eq!(problem.entity, Some(("routes".to_owned(), route.id.uuid())));
    assert_eq!(problem.field.as_deref(), Some(field));
    let start = format!("the regular expression `{pattern}` in `{field}` ");
    assert!(problem.message.starts_with(&start), "{}", problem.message);
    assert!(problem.message.contains(expected), "{}", problem.message);
}

fn compiled(config: &Config, previous: &Snapshot) -> Arc<Snapshot> {
    let snapshot = compile(&revision(1, config.clone()), previous);
    Arc::new(snapshot.unwrap_or_else(|problems| panic!("{problems:?}")))
}

fn compiled_service(service: ServiceBuilder) -> Arc<engine::snapshot::CompiledService> {
    let mut config = Config::default();
    let service = service.build();
    config.write(service.clone());
    let snapshot = compiled(&config, &Snapshot::empty());
    Arc::clone(snapshot.service(service.id).expect("it is enabled"))
}

fn problems(config: &Config) -> Vec<Problem> {
    compile(&revision(1, config.clone()), &Snapshot::empty()).expect_err("problems")
}
