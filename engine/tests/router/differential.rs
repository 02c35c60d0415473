//! Our router against Kong's matcher, the `atc-router` crate, on random routes and requests:
//! the same route, the same part of the path, the same groups of its regular expression.
//! Every other table is of the flavor `expressions`, where most routes are expressions.
//!
//! What we do otherwise on purpose cannot occur: names are asked for in lower case, no header
//! value is an expression that means something else in lower case, hosts are no IPv6
//! addresses. Groups are not compared where a header has a regular expression, since Kong
//! mixes up the groups of both.
//!
//! 100,000 comparisons; `ROUTER_COMPARISONS=10000000` for as many as are wanted, and
//! `ROUTER_SEED` for others.

use super::expressions::some_expression;
use super::kong::{Part, parts};
use super::world::{Ask, LISTENER, Random, Variety, some_route};
use atc_router::ast::{Type, Value};
use atc_router::context::Context;
use atc_router::router::Router;
use atc_router::schema::Schema;
use engine::router::{Match, RouteTable, split_host};
use engine::snapshot::{RouterOptions, Snapshot, compile};
use model::entities::Route;
use model::testing::revision;
use model::{Config, Flavor};
use std::collections::{BTreeMap, HashMap};
use std::thread;
use uuid::Uuid;

/// How many requests a table is asked. Making one takes longer than asking it.
const ASKS: usize = 500;

#[test]
#[expect(clippy::print_stdout, reason = "how many of them say something is worth knowing")]
fn as_kongs_matcher() {
    let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    let comparisons = number("ROUTER_COMPARISONS").unwrap_or(100_000);
    let seed = number("ROUTER_SEED").unwrap_or(1);
    let tables = comparisons.div_ceil(ASKS as u64);
    let found: u64 = thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            scope.spawn(move || {
                (half..tables)
                    .step_by(2)
                    .map(|table| compare_table(seed << 32 | table))
                    .sum::<u64>()
            })
        });
        halves.map(|half| half.join().expect("no disagreement")).into_iter().sum()
    });
    println!("{} requests compared, {found} of them had a route", tables * ASKS as u64);
    assert!(found * 2 > comparisons, "most requests should have a route");
}

/// Compares one table on many requests; how many of them had a route.
fn compare_table(seed: u64) -> u64 {
    let mut random = Random(seed);
    let flavor =
        if seed.is_multiple_of(2) { Flavor::TraditionalCompatible } else { Flavor::Expressions };
    let routes = some_routes(&mut random, flavor);
    let table = table(&routes, flavor);
    let schema = schema();
    let kong = Kong::new(&schema, &routes, flavor);
    let mut count = 0;
    for _ in 0..ASKS {
        let ask = Ask::any(&mut random);
        let expected = kong.find(&schema, &ask);
        let found = table.find(&ask.view()).map(|found| Found::of(found, &ask));
        let expected_captures = expected.as_ref().is_some_and(|found| found.captures.is_some());
        let found = found
            .map(|found| Found { captures: found.captures.filter(|_| expected_captures), ..found });
        assert_eq!(found, expected, "seed {seed}: {ask:?} on {:#?}", kong.parts);
        count += u64::from(found.is_some());
    }
    count
}

fn some_routes(random: &mut Random, flavor: Flavor) -> Vec<Route> {
    let variety = if random.one_in(4) { Variety::Lists } else { Variety::All };
    // Enough for lists to be split, at times; Kong's matcher looks at each.
    let count =
        if variety == Variety::Lists { 20 + random.below(20) } else { 1 + random.below(12) };
    (0..count)
        .map(|_| {
            let id = random.uuid();
            match flavor == Flavor::Expressions && !random.one_in(3) {
                true => some_expression(random, id),
                false => some_route(random, id, variety),
            }
        })
        .collect()
}

fn table(routes: &[Route], router_flavor: Flavor) -> RouteTable {
    let mut config = Config::default();
    for route in routes {
        config.write(route.clone());
    }
    let options = RouterOptions { router_flavor, ..RouterOptions::default() };
    let snapshot = compile(&revision(1, config), &Snapshot::empty_for(options));
    snapshot.unwrap_or_else(|problems| panic!("{problems:?}")).routes
}

/// What both must say.
#[derive(Debug, PartialEq)]
struct Found {
    route: Uuid,
    prefix_len: usize,
    captures: Option<BTreeMap<String, String>>,
}

impl Found {
    fn of(found: Match<'_>, ask: &Ask) -> Found {
        let text = |part: &[u8]| String::from_utf8(part.to_vec()).expect("UTF-8");
        let captures = found.captures(&ask.view()).map(|captures| {
            let numbered = captures.numbered().map(|(group, part)| (group.to_string(), text(part)));
            let named = captures.named().map(|(name, part)| (name.to_owned(), text(part)));
            numbered.chain(named).collect()
        });
        Found { route: found.route.id.uuid(), prefix_len: found.prefix_len, captures }
    }
}

struct Kong<'s> {
    router: Router<'s>,
    routes: HashMap<Uuid, Route>,
    parts: Vec<Part>,
}

impl<'s> Kong<'s> {
    fn new(schema: &'s Schema, routes: &[Route], flavor: Flavor) -> Kong<'s> {
        let mut kong =
            Kong { router: Router::new(schema), routes: HashMap::new(), parts: Vec::new() };
        for route in routes {
            for part in parts(route, flavor) {
                let added =
                    kong.router.add_matcher(part.priority as usize, part.id, &part.expression);
                added.unwrap_or_else(|error| panic!("{error}: {}", part.expression));
                kong.routes.insert(part.id, route.clone());
                kong.parts.push(part);
            }
        }
        kong
    }

    fn find(&self, schema: &Schema, ask: &Ask) -> Option<Found> {
        let mut context = context(schema, ask);
        self.router.execute(&mut context);
        let found = context.result?;
        let route = &self.routes[&found.uuid];
        let prefix_len = match found.matches.get("http.path") {
            Some(Value::String(text)) => text.len(),
            _ => 0,
        };
        let values = route.headers.iter().flatten().flat_map(|(_, values)| values);
        let is_mixed = values.into_iter().any(|value| value.starts_with('~'));
        // Kong tells plugins of no groups if there is but the whole.
        let has_groups = found.captures.len() > 1 && !is_mixed;
        let captures = has_groups.then(|| found.captures.into_iter().collect());
        Some(Found { route: route.id.uuid(), prefix_len, captures })
    }
}

fn schema() -> Schema {
    let mut schema = Schema::default();
    for field in [
        "net.protocol",
        "tls.sni",
        "http.method",
        "http.host",
        "http.path",
        "http.path.segments.*",
        "http.headers.*",
        "http.queries.*",
    ] {
        schema.add_field(field, Type::String);
    }
    schema.add_field("net.dst.port", Type::Int);
    schema.add_field("http.path.segments.len", Type::Int);
    schema
}

fn context<'s>(schema: &'s Schema, ask: &Ask) -> Context<'s> {
    let mut context = Context::new(schema);
    let mut add = |field: &str, text: &str| context.add_value(field, text.to_owned().into());
    add("net.protocol", if ask.is_https { "https" } else { "http" });
    add("http.method", ask.method);
    add("http.path", &ask.path);
    let (host, port) = split_host(ask.host.as_bytes(), LISTENER);
    if !ask.host.is_empty() {
        add("http.host", std::str::from_utf8(host).expect("UTF-8"));
    }
    ask.sni.iter().for_each(|sni| add("tls.sni", sni));
    for (name, value) in &ask.headers.0 {
        add(&format!("http.headers.{name}"), value);
    }
    for argument in ask.query.split('&').filter(|argument| argument.starts_with('q')) {
        add("http.queries.q", argument.split_once('=').map_or("", |(_, value)| value));
    }
    let segments: Vec<&str> = ask.path[1..].trim_end_matches('/').split('/').collect();
    let segments = if segments == [""] { vec![] } else { segments };
    if let Some(first) = segments.first() {
        add("http.path.segments.0", first);
    }
    if let Some(both) = segments.get(..2) {
        add("http.path.segments.0_1", &both.join("/"));
    }
    context.add_value("http.path.segments.len", Value::Int(segments.len() as i64));
    // A number that is no port is none of the routes'.
    context.add_value("net.dst.port", Value::Int(port.map_or(99_999, i64::from)));
    context
}
