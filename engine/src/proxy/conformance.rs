//! What Kong 3.10 answers, case by case: which route a request takes, what it takes off
//! the path, what the upstream is asked for. `tests/router/kong.json` has the cases, most
//! of them from Kong's own tests.

use super::{Text, path};
use crate::router::{
    Fields, Match, Over, RequestView, RouterPriority, Scheme, StreamView, split_host,
};
use crate::snapshot::{RouterOptions, Snapshot, compile};
use model::entities::{Route, Service};
use model::testing::revision;
use model::value::path::normal_form;
use model::{Config, Flavor, schema};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use uuid::Uuid;

const CASES: &str = include_str!("../../tests/router/kong.json");

#[test]
fn kongs_cases() {
    in_flavor(Flavor::TraditionalCompatible, 215);
}

#[test]
fn kongs_cases_with_expressions() {
    in_flavor(Flavor::Expressions, 238);
}

/// How many there are to pass is said, so that a change to the skipping does not go unnoticed.
#[expect(clippy::print_stdout, reason = "how many cases were skipped is worth knowing")]
fn in_flavor(flavor: Flavor, passing: u32) {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let mut counts = BTreeMap::<_, u32>::new();
    let mut failures = Vec::new();
    for case in &cases {
        let outcome = run(case, flavor);
        if let Outcome::Failed(why) = &outcome {
            failures.push(format!("{}: {why}", text(&case["id"])));
        }
        *counts.entry(outcome.word()).or_default() += 1;
    }
    println!("{} cases: {counts:?}", cases.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(counts.get("as in Kong"), Some(&passing));
}

enum Outcome {
    AsInKong,
    OfOtherFlavors,
    Deviation,
    /// A route of it cannot be written, here or in Kong: only its unit tests have it.
    Unwritable,
    Failed(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Outcome::AsInKong => "as in Kong",
            Outcome::OfOtherFlavors => "of other flavors",
            Outcome::Deviation => "deviations",
            Outcome::Unwritable => "with routes that are refused",
            Outcome::Failed(_) => "not as in Kong",
        }
    }
}

fn run(case: &Value, flavor: Flavor) -> Outcome {
    let flavors = case["flavors"].as_array().into_iter().flatten();
    if !flavors.into_iter().any(|other| *other == flavor.to_string()) {
        return Outcome::OfOtherFlavors;
    }
    // Where Kong is careless: see docs/compatibility.md.
    if case.get("deviation").is_some() {
        return Outcome::Deviation;
    }
    let Some(config) = config(case, flavor) else { return Outcome::Unwritable };
    let orders = [
        (RouterPriority::KongEffective, "route"),
        (RouterPriority::Documented, "route_documented_layout"),
    ];
    for (order, key) in orders {
        let Some(expected) = case["expect"].get(key) else { continue };
        let asked = Asked::of(case);
        let options = RouterOptions { router_priority: order, router_flavor: flavor };
        let previous = Snapshot::empty_for(options);
        let snapshot = match compile(&revision(1, config.clone()), &previous) {
            Ok(snapshot) => snapshot,
            Err(problems) => return Outcome::Failed(format!("{problems:?}")),
        };
        if let Some(over) = over(case) {
            let found = snapshot.streams.find(&asked.stream(over));
            let id = json!(found.map(|found| found.id.to_string()));
            if let Err(why) = same("route", &id, expected) {
                return Outcome::Failed(why);
            }
            continue;
        }
        let found = snapshot.routes.find(&asked.view());
        let id = json!(found.map(|found| found.route.id.to_string()));
        let checked = same("route", &id, expected).and_then(|()| {
            let found = found.filter(|_| order == RouterPriority::KongEffective);
            found.map_or(Ok(()), |found| check_match(case, &asked, found))
        });
        if let Err(why) = checked {
            return Outcome::Failed(why);
        }
    }
    Outcome::AsInKong
}

/// What a stream comes over. Kong takes one with a server name for TLS.
fn over(case: &Value) -> Option<Over> {
    let request = &case["request"];
    match text(&request["scheme"]) {
        "tcp" if request.get("sni").is_none() => Some(Over::Tcp),
        "tcp" | "tls" => Some(Over::Tls),
        "udp" => Some(Over::Udp),
        _ => None,
    }
}

fn check_match(case: &Value, asked: &Asked, found: Match<'_>) -> Result<(), String> {
    let expected = &case["expect"];
    let prefix = Some(found.prefix_len).filter(|len| found.route.strip_path && *len > 0);
    if let Some(matched) = expected.get("prefix") {
        same("prefix", &json!(prefix.map(|len| string(&asked.path[..len]))), matched)?;
    }
    if let Some(captures) = expected.get("uri_captures") {
        same("captures", &captures_of(&found, asked), captures)?;
    }
    if let (Some(service), Some(target)) = (&found.route.service, expected.get("upstream_target")) {
        let mut text = Text::new();
        let base = service.path.as_ref().map(|path| path.as_str());
        path::upstream(base, &asked.path, prefix, &mut text);
        path::append_query(&asked.query, &mut text);
        same("upstream target", &json!(string(&text)), target)?;
    }
    let host =
        found.route.preserve_host.then(|| asked.host.clone()).filter(|host| !host.is_empty());
    same("upstream Host", &json!(host), &expected["upstream_host"])
}

fn captures_of(found: &Match<'_>, asked: &Asked) -> Value {
    let Some(captures) = found.captures(&asked.view()) else { return Value::Null };
    let numbered = captures.numbered().map(|(group, part)| (group.to_string(), part));
    let named = captures.named().map(|(name, part)| (name.to_owned(), part));
    numbered.chain(named).map(|(key, part)| (key, json!(string(part)))).collect()
}

fn same(what: &str, found: &Value, expected: &Value) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found}, not {expected}")) }
}

/// What is configured in a case, if the schema admits it.
fn config(case: &Value, flavor: Flavor) -> Option<Config> {
    let mut config = Config::default();
    for (number, route) in (0..).zip(case["routes"].as_array().into_iter().flatten()) {
        let mut route = route.clone();
        for path in route["paths"].as_array_mut().into_iter().flatten() {
            *path = json!(string(&bytes(path)));
        }
        let stamp = json!({ "created_at": 1, "updated_at": 1, "name": format!("r{number}") });
        merge(&mut route, &stamp);
        if route.get("service").is_some() {
            let mut target = json!({ "host": "upstream", "id": Uuid::new_v4() });
            merge(&mut target, &route["service"]);
            merge(&mut target, &stamp);
            let target: Service = schema::check(target).ok()?;
            route["service"] = json!({ "id": target.id });
            config.write(target);
        }
        config.write(schema::check_in::<Route>(flavor.into(), route).ok()?);
    }
    Some(config)
}

fn merge(to: &mut Value, from: &Value) {
    for (field, value) in from.as_object().into_iter().flatten() {
        to[field] = value.clone();
    }
}

/// The request of a case.
struct Asked {
    scheme: Scheme,
    method: String,
    host: String,
    path: Vec<u8>,
    query: Vec<u8>,
    /// What routes find in the query, which some cases do not pass on.
    arguments: Vec<u8>,
    sni: Option<String>,
    source: SocketAddr,
    destination: SocketAddr,
    /// The listener's, where the host says no other.
    port: u16,
    fields: Headers,
}

impl Asked {
    fn of(case: &Value) -> Asked {
        let request = &case["request"];
        let target = bytes(&request["path"]);
        let (path, query) = match text(&case["via"]) {
            "select" => (target, Vec::new()),
            _ => {
                let (path, query) = path::split_target(&target);
                (normal_form(path).into_owned(), query.to_vec())
            }
        };
        let is_https = request["scheme"] == "https";
        let port = |key: &str| request[key].as_u64().and_then(|port| u16::try_from(port).ok());
        let address = |ip: &str, default: u16, key: &str| {
            let ip = request[ip].as_str().unwrap_or("127.0.0.1");
            SocketAddr::new(ip.parse().expect("an address"), port(key).unwrap_or(default))
        };
        let listener = if is_https { 443 } else { 80 };
        Asked {
            source: address("src_ip", 1, "src_port"),
            destination: address("dst_ip", listener, "dst_port"),
            port: port("dst_port").unwrap_or(listener),
            scheme: if is_https { Scheme::Https } else { Scheme::Http },
            method: text(&request["method"]).to_owned(),
            host: text(&request["host"]).to_owned(),
            path,
            arguments: match query.strip_prefix(b"?") {
                Some(query) => query.to_vec(),
                None => arguments(&request["query_args"]),
            },
            query,
            sni: request["sni"].as_str().map(str::to_owned),
            fields: Headers::of(&request["headers"]),
        }
    }

    fn stream(&self, over: Over) -> StreamView<'_> {
        let sni = self.sni.as_deref().map(str::as_bytes);
        StreamView { over, sni, source: self.source, destination: self.destination }
    }

    fn view(&self) -> RequestView<'_, Headers> {
        let (host, port) = split_host(self.host.as_bytes(), self.port);
        RequestView {
            scheme: self.scheme,
            method: self.method.as_bytes(),
            host,
            port,
            path: &self.path,
            query: &self.arguments,
            sni: self.sni.as_deref().map(str::as_bytes),
            source: self.source,
            destination: self.destination,
            fields: &self.fields,
        }
    }
}

/// A query that says what a case has as a table, in which `true` is no value.
fn arguments(table: &Value) -> Vec<u8> {
    let pairs = table.as_object().into_iter().flatten().flat_map(|(name, value)| {
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        values.into_iter().map(move |value| match value.as_str() {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        })
    });
    pairs.collect::<Vec<_>>().join("&").into_bytes()
}

/// Names as the router asks for them, and values.
struct Headers(Vec<(String, String)>);

impl Headers {
    fn of(headers: &Value) -> Headers {
        let fold = |name: &str| name.to_ascii_lowercase().replace('-', "_");
        let fields = headers.as_object().into_iter().flatten().flat_map(|(name, value)| {
            let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            values.into_iter().map(move |value| (fold(name), text(&value).to_owned()))
        });
        Headers(fields.collect())
    }
}

impl Fields for Headers {
    fn values<'f>(&'f self, name: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
        let fields = self.0.iter().filter(move |field| field.0.as_bytes() == name);
        fields.map(|field| field.1.as_bytes())
    }

    fn each(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}

/// Text in which every character stands for a byte.
fn bytes(value: &Value) -> Vec<u8> {
    text(value).chars().map(|c| c as u8).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
