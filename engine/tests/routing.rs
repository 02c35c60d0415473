//! `docs/routing.md` is true: every example in it is run.
//!
//! A block of routes (`yaml`), of the flavor `expressions` if it has one, is followed by a
//! block of requests, a line each:
//! `METHOD URL [with name: value, …] → route [(documented: route)] [→ what becomes of it]`,
//! where that is `URI for Host`, or a status, and where a redirect leads.

use engine::router::RouterPriority;
use engine::snapshot::explain::explain;
use engine::snapshot::{RouterOptions, Snapshot, compile};
use model::explain::{Explanation, Question};
use model::testing::revision;
use model::value::Timestamp;
use model::{Config, Flavor, declarative, schema};
use serde_json::{Map, Value, json};

const DOCUMENT: &str = include_str!("../../docs/routing.md");

#[test]
fn the_examples_of_the_document_are_true() {
    let (mut config, mut flavor) = (Config::default(), Flavor::default());
    let (mut blocks, mut requests) = (0, 0);
    for (kind, text) in fenced(DOCUMENT) {
        match kind {
            "yaml" => {
                let document = format!("_format_version: '3.0'\n{text}");
                let is_expressed = text.contains("expression:");
                flavor = if is_expressed { Flavor::Expressions } else { Flavor::default() };
                let document =
                    declarative::parse(&document, Timestamp::from_seconds(1), flavor.into());
                config = document.unwrap_or_else(|error| panic!("{error}\n{text}")).config;
                blocks += 1;
            }
            "requests" => {
                for line in text.lines() {
                    check(&config, flavor, line);
                    requests += 1;
                }
            }
            "sh" => {}
            other => panic!("a block of {other:?} is not run"),
        }
    }
    assert!(blocks >= 15 && requests >= 50, "{blocks} blocks, {requests} requests");
}

/// The kind and the text of every block.
fn fenced(document: &str) -> Vec<(&str, &str)> {
    let parts: Vec<_> = document.split("```").collect();
    assert_eq!(parts.len() % 2, 1, "a block does not end");
    let blocks = parts.into_iter().skip(1).step_by(2);
    blocks.map(|block| block.split_once('\n').expect("a kind of block")).collect()
}

#[track_caller]
fn check(config: &Config, flavor: Flavor, line: &str) {
    let mut columns = line.split(" → ");
    let question = question(columns.next().expect("a request"));
    let route = columns.next().expect("a route");
    let (effective, documented) = match route.split_once(" (documented: ") {
        Some((route, other)) => (route, other.trim_end_matches(')')),
        None => (route, route),
    };
    let told = asked(config, flavor, RouterPriority::KongEffective, &question);
    assert_eq!(name(&told), effective, "{line}");
    let other = asked(config, flavor, RouterPriority::Documented, &question);
    assert_eq!(name(&other), documented, "{line}, documented");
    if let Some(outcome) = columns.next() {
        assert_eq!(becomes(&told), outcome, "{line}");
    }
}

/// `METHOD URL [with name: value, …]`
fn question(text: &str) -> Question {
    let (request, with) = text.split_once(" with ").unwrap_or((text, ""));
    let (method, url) = request.split_once(' ').expect("a method");
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (host, path) = rest.split_at(rest.find('/').expect("a path"));
    let mut headers = Map::new();
    for header in with.split(", ").filter(|header| !header.is_empty()) {
        let (name, value) = header.split_once(": ").expect("a name and a value");
        headers.insert(name.to_owned(), json!([value]));
    }
    let fields = json!({
        "method": method, "scheme": scheme, "host": host, "path": path, "headers": headers,
    });
    schema::check::<Question>(fields).unwrap_or_else(|violations| panic!("{violations}"))
}

fn asked(
    config: &Config,
    router_flavor: Flavor,
    router_priority: RouterPriority,
    question: &Question,
) -> Explanation {
    let empty = Snapshot::empty_for(RouterOptions { router_priority, router_flavor });
    let snapshot = compile(&revision(1, config.clone()), &empty);
    explain(&snapshot.unwrap_or_else(|problems| panic!("{problems:?}")), question)
}

fn name(explanation: &Explanation) -> &str {
    let route = explanation.matched.as_ref().map(|matched| &matched.route);
    route.map_or("no route", |route| route.name.as_deref().unwrap_or_default())
}

fn becomes(explanation: &Explanation) -> String {
    let Some(matched) = &explanation.matched else { return "404".to_owned() };
    match (&matched.upstream, &matched.answer) {
        (Some(upstream), _) => format!("{} for {}", upstream.uri, upstream.host),
        (None, Some(answer)) => {
            let to = answer.location.iter().map(|location| format!(" to {location}"));
            format!("{}{}", answer.status, to.collect::<String>())
        }
        (None, None) => Value::Null.to_string(),
    }
}

/// The table of how paths are joined, row by row.
#[test]
fn paths_are_joined_as_the_table_says() {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `"));
    let mut count = 0;
    for row in rows {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, request, strips, bare, slash, _] = cells[..] else { panic!("{row}") };
        for (base, expected) in [("/base", bare), ("/base/", slash)] {
            let strip = strips != "nothing";
            let path = if strip { strips } else { "/" };
            let document = format!(
                "_format_version: '3.0'\nservices: [{{name: s, url: 'http://up.test{base}'}}]\n\
                 routes: [{{name: r, paths: [{path}], strip_path: {strip}, service: s}}]"
            );
            let flavor = Flavor::default();
            let config = declarative::parse(&document, Timestamp::from_seconds(1), flavor.into());
            let config = config.unwrap_or_else(|error| panic!("{error}")).config;
            let question = question(&format!("GET http://api.test{request}"));
            let told = asked(&config, flavor, RouterPriority::KongEffective, &question);
            assert_eq!(becomes(&told), format!("http://up.test{expected} for up.test"), "{row}");
            count += 1;
        }
    }
    assert_eq!(count, 12);
}
