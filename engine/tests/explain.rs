//! Why a route serves a request: rules one by one in `tests/explain/*.case`, and on random
//! routes the same answer as the table's.

#[path = "router/world.rs"]
#[allow(dead_code, reason = "this needs less of it than other tests")]
mod world; // routes and requests made up

use engine::router::{RequestView, RouterPriority};
use engine::snapshot::explain::explain;
use engine::snapshot::{RouterOptions, Snapshot, compile, judge};
use model::entities::{Route, Service};
use model::explain::{Component, Explanation, Question};
use model::testing::{cases, revision, route, service};
use model::value::path::normal_form;
use model::{Config, Flavor, Terms, declarative, schema};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use uuid::Uuid;
use world::{Ask, Headers, LISTENER, Random, Variety, some_route};

const ORDERS: [RouterPriority; 2] = [RouterPriority::KongEffective, RouterPriority::Documented];

/// A case is a configuration, of the flavor `expressions` if it has one, and after an empty line questions, one a line: a target, and
/// other fields as JSON.
#[test]
fn cases() {
    cases::check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/explain"), |input| {
        let (document, questions) = input.split_once("\n\n").expect("routes and questions");
        let document = format!("_format_version: '3.0'\n{document}");
        let is_expressed = document.contains("expression:");
        let flavor = if is_expressed { Flavor::Expressions } else { Flavor::default() };
        let now = model::value::Timestamp::from_seconds(1);
        let terms = Terms::of(flavor, &*judge(RouterOptions::default()));
        let config = declarative::parse(&document, now, terms).expect("a configuration").config;
        let options = RouterOptions { router_flavor: flavor, ..RouterOptions::default() };
        let snapshot = compiled_for(&config, options);
        questions.lines().map(|line| told(&explain(&snapshot, &question(line)))).collect()
    });
}

fn question(line: &str) -> Question {
    let (path, more) = line.split_once(' ').unwrap_or((line, "{}"));
    let mut fields: Value = serde_json::from_str(more).expect("fields");
    fields["path"] = path.into();
    schema::check(fields).unwrap_or_else(|violations| panic!("{violations}"))
}

/// An explanation, in few words.
fn told(explanation: &Explanation) -> String {
    let name = |named: &model::explain::Named| named.name.clone().unwrap_or_default();
    let mut text = match &explanation.matched {
        None => "no route\n".to_owned(),
        Some(matched) => {
            let mut text = name(&matched.route);
            for by in &matched.by {
                let _ = write!(text, ", {} {}", by.attribute, by.value);
            }
            if let Some(path) = &matched.path {
                let kept = if path.stripped { "without" } else { "with" };
                let _ = write!(text, ", paths {} {kept} {}", path.pattern, path.matched);
            }
            text.push('\n');
            for plugin in &matched.plugins {
                let _ = writeln!(text, "  seen by {}", name(plugin));
            }
            if let Some(upstream) = &matched.upstream {
                let _ = writeln!(text, "  -> {} for {}", upstream.uri, upstream.host);
            }
            if let Some(answer) = &matched.answer {
                let to = answer.location.as_deref().unwrap_or_default();
                let _ = writeln!(text, "  -> {} {} {to}", answer.status, answer.message);
            }
            text
        }
    };
    if let Some(other) = &explanation.other_order {
        let _ = writeln!(
            text,
            "  {}: {}, {}",
            other.router_priority,
            name(&other.route),
            other.because
        );
    }
    for lost in &explanation.outranked {
        let mark = if lost.first_in_other_order { " (not in the other order)" } else { "" };
        let _ = writeln!(text, "  before {}: {}{mark}", name(&lost.route), lost.because);
    }
    for miss in &explanation.near_misses {
        let wanted = miss.wanted.join(" | ");
        let _ = writeln!(
            text,
            "  but for {} {}: {wanted} is not {}",
            name(&miss.route),
            miss.attribute,
            miss.found
        );
    }
    for note in &explanation.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    text
}

#[test]
fn what_is_explained_is_what_the_table_finds() {
    let mut random = Random(7);
    let mut decided = Vec::new();
    for _ in 0..60 {
        let routes = some_routes(&mut random);
        let mut config = Config::default();
        routes.iter().for_each(|route| drop(config.write(route.clone())));
        let snapshots = ORDERS.map(|order| compiled(&config, order));
        for _ in 0..40 {
            let ask = Ask::any(&mut random);
            let explanations = snapshots.each_ref().map(|snapshot| {
                let explanation = explain(snapshot, &as_question(&ask));
                assert_eq!(winner(&explanation), found(snapshot, &ask), "{ask:?} on {routes:#?}");
                explanation
            });
            let [effective, documented] = &explanations;
            agrees(effective, documented);
            agrees(documented, effective);
            decided.extend(effective.outranked.iter().map(|lost| lost.decided_by));
        }
    }
    use Component::{
        AttributeCount, HeaderCount, Id, PathLength, PlainHost, RegexPath, RegexPriority,
    };
    for component in
        [AttributeCount, PlainHost, RegexPath, HeaderCount, RegexPriority, PathLength, Id]
    {
        assert!(decided.contains(&component), "{component:?} never decided");
    }
}

/// What one order says of the other is what the other says.
#[track_caller]
fn agrees(one: &Explanation, other: &Explanation) {
    let foretold = one.other_order.as_ref().map(|other| other.route.id).or(winner(one));
    assert_eq!(foretold, winner(other));
    let matching = |explanation: &Explanation| {
        let lost = explanation.outranked.iter().map(|lost| lost.route.id);
        let mut all: Vec<_> = lost.chain(winner(explanation)).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(matching(one), matching(other));
    let reversed = one.outranked.iter().any(|lost| lost.first_in_other_order);
    assert_eq!(reversed, one.other_order.is_some());
}

#[test]
fn a_near_miss_would_match_without_what_it_misses() {
    let mut random = Random(11);
    let mut seen = 0;
    for _ in 0..30 {
        let routes = some_routes(&mut random);
        let mut config = Config::default();
        routes.iter().for_each(|route| drop(config.write(route.clone())));
        let snapshot = compiled(&config, RouterPriority::KongEffective);
        for _ in 0..8 {
            let ask = Ask::any(&mut random);
            for miss in explain(&snapshot, &as_question(&ask)).near_misses {
                let route = routes.iter().find(|route| route.id.uuid() == miss.route.id);
                let before = route.expect("one of them").clone();
                let alone = |route: Route| {
                    let mut config = Config::default();
                    config.write(route);
                    found(&compiled(&config, RouterPriority::KongEffective), &ask)
                };
                assert_eq!(alone(before.clone()), None);
                assert!(alone(without(before, &miss.attribute)).is_some(), "{miss:?}");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen} near misses say little");
}

fn without(mut route: Route, attribute: &str) -> Route {
    match attribute {
        "hosts" => route.hosts = None,
        "paths" => route.paths = None,
        "methods" => route.methods = None,
        "headers" => route.headers = None,
        "snis" => route.snis = None,
        other => panic!("{other}"),
    }
    route
}

#[test]
fn no_more_is_told_than_was_asked_for() {
    let mut config = Config::default();
    for number in 0..20 {
        config.write(route(&format!("a{number}")).path("/a").build());
        config.write(route(&format!("b{number}")).path("/a").method("PUT").build());
    }
    let snapshot = compiled(&config, RouterPriority::KongEffective);
    let told = |limit: u16| {
        let explanation = explain(&snapshot, &question(&format!("/a {{\"limit\": {limit}}}")));
        assert_eq!((explanation.outranked_total, explanation.near_misses_total), (19, 20));
        (explanation.outranked.len(), explanation.near_misses.len())
    };
    assert_eq!((told(0), told(5), told(1000)), ((0, 0), (5, 5), (19, 20)));
}

#[test]
fn the_routes_of_a_service_that_is_not_enabled_are_near() {
    let mut config = Config::default();
    let off: Service = service("off").with("enabled", false).build();
    config.write(off.clone());
    config.write(route("r").path("/a").to(&off).build());
    let explanation = explain(&compiled(&config, RouterPriority::KongEffective), &question("/a"));
    assert_eq!(explanation.matched, None);
    assert_eq!(explanation.near_misses[0].attribute, "service");
}

/// However often it is asked, the snapshot takes no more for it.
#[test]
fn what_is_compiled_only_to_be_asked_is_no_part_of_the_snapshot() {
    let mut config = Config::default();
    let off: Service = service("off").with("enabled", false).build();
    config.write(off.clone());
    config.write(route("r").path("~/(a|bc)x").to(&off).build());
    let snapshot = compiled(&config, RouterPriority::KongEffective);
    for _ in 0..2 {
        assert_eq!(explain(&snapshot, &question("/ax")).near_misses_total, 1);
        assert_eq!(snapshot.regex_weight(), 0);
    }
}

#[test]
fn a_judge_explains_a_configuration_it_has_not_seen() {
    let judge = engine::judge(RouterOptions::default());
    let mut config = Config::default();
    config.write(route("r").path("/a").build());
    let explain = |config: &Config| judge.explain(config, &question("/a")).expect("an answer");
    assert!(explain(&config).matched.is_some());
    assert_eq!(explain(&config).configuration_hash, config.hash().to_string());
    assert!(explain(&Config::default()).matched.is_none());
    config.write(route("bad").path("~/(?=a)").build());
    let problems = judge.explain(&config, &question("/a")).expect_err("a problem");
    assert_eq!(problems[0].field.as_deref(), Some("paths"));
}

fn some_routes(random: &mut Random) -> Vec<Route> {
    let variety = if random.one_in(4) { Variety::Lists } else { Variety::All };
    let some = |_| {
        let id = random.uuid();
        some_route(random, id, variety)
    };
    (0..12).map(some).collect()
}

fn compiled(config: &Config, order: RouterPriority) -> Arc<Snapshot> {
    compiled_for(config, RouterOptions { router_priority: order, ..RouterOptions::default() })
}

fn compiled_for(config: &Config, options: RouterOptions) -> Arc<Snapshot> {
    let empty = Snapshot::empty_for(options);
    let snapshot = compile(&revision(1, config.clone()), &empty);
    Arc::new(snapshot.unwrap_or_else(|problems| panic!("{problems:?}")))
}

fn winner(explanation: &Explanation) -> Option<Uuid> {
    explanation.matched.as_ref().map(|matched| matched.route.id)
}

fn found(snapshot: &Snapshot, ask: &Ask) -> Option<Uuid> {
    let path = normal_form(ask.path.as_bytes());
    let view: RequestView<'_, Headers> = RequestView { path: &path, ..ask.view() };
    snapshot.routes.find(&view).map(|found| found.route.id.uuid())
}

fn as_question(ask: &Ask) -> Question {
    let mut headers = serde_json::Map::new();
    for (name, value) in &ask.headers.0 {
        let values = headers.entry(name).or_insert_with(|| json!([])).as_array_mut();
        values.expect("a list").push(json!(value));
    }
    let host = Some(ask.host).filter(|host| !host.is_empty());
    schema::check(json!({
        "method": ask.method,
        "host": host,
        "path": ask.path,
        "scheme": if ask.is_https { "https" } else { "http" },
        "port": LISTENER,
        "sni": ask.sni.unwrap_or_default(),
        "headers": headers,
        "limit": 1000,
    }))
    .unwrap_or_else(|violations| panic!("{violations}"))
}
