//! Kong's own routing cases (`tests/router/kong.json`): which route, and what the upstream
//! is asked for, as clients and upstreams see it.

use engine::options::Lanes;
use model::entities::{Route, Service};
use model::value::path::normal_form;
use model::{Config, Flavor, schema};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use uuid::Uuid;

use crate::BOTH;
use crate::calls;
use crate::client::{Ask, Connection, Version};
use crate::hello::Hello;
use crate::node::Node;
use crate::support::{Act, Origin, Response};

const CASES: &str = include_str!("../router/kong.json");

/// What became of all cases, of those that are tried each of four ways: a change to the
/// skipping must not go unnoticed.
const COUNTS: &[(&str, u32)] = &[
    ("not that way: HTTP/2 has no words for it", 16),
    ("not that way: it says nothing of that scheme", 56),
    ("not tried: a deviation of docs/compatibility.md", 1),
    ("not tried: of other flavors", 98),
    ("not tried: of streams", 11),
    ("not tried: with routes that the schema refuses, as Kong's does", 11),
    ("over HTTP/1", 193),
    ("over HTTP/1 and TLS", 179),
    ("over HTTP/2", 182),
    ("over HTTP/2 and TLS", 176),
    ("refused: a method that is not served", 12),
    ("refused: no path", 2),
];

/// The same where routes may be expressions.
const COUNTS_OF_EXPRESSIONS: &[(&str, u32)] = &[
    ("not that way: HTTP/2 has no words for it", 46),
    ("not that way: it says nothing of that scheme", 68),
    ("not tried: a deviation of docs/compatibility.md", 1),
    ("not tried: from an address that a client here has not", 1),
    ("not tried: of other flavors", 73),
    ("not tried: of streams", 12),
    ("not tried: with routes that the schema refuses, as Kong's does", 13),
    ("over HTTP/1", 214),
    ("over HTTP/1 and TLS", 194),
    ("over HTTP/2", 188),
    ("over HTTP/2 and TLS", 176),
    ("refused: a method that is not served", 12),
    ("refused: no path", 2),
];

#[tokio::test]
async fn kongs_cases_through_sockets() {
    check_all(Flavor::TraditionalCompatible, COUNTS).await;
}

#[tokio::test]
async fn kongs_cases_of_expressions_through_sockets() {
    check_all(Flavor::Expressions, COUNTS_OF_EXPRESSIONS).await;
}

async fn check_all(flavor: Flavor, expected: &[(&str, u32)]) {
    for lanes in BOTH {
        check_on(lanes, flavor, expected).await;
    }
}

async fn check_on(lanes: Lanes, flavor: Flavor, expected: &[(&str, u32)]) {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let world = World::start(lanes, flavor).await;
    let mut ways = Way::all();
    let mut counts = BTreeMap::<_, u32>::new();
    let mut failures = Vec::new();
    for (version, case) in (2..).zip(&cases) {
        let config = match world.config(case) {
            Ok(config) => config,
            Err(skipped) => {
                *counts.entry(skipped).or_default() += 1;
                continue;
            }
        };
        world.node.gateway.apply(version, config).await;
        for way in &mut ways {
            match world.check(case, way).await {
                Ok(word) => *counts.entry(word).or_default() += 1,
                Err(why) => failures.push(format!("{} {}: {why}", text(&case["id"]), way.name)),
            }
        }
    }
    assert!(failures.is_empty(), "{lanes:?}: {}", failures.join("\n"));
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected, "{lanes:?}");
}

/// How a case is tried.
struct Way {
    name: &'static str,
    version: Version,
    scheme: &'static str,
    /// What the last request was made on, if it can be used again.
    open: Option<Connection>,
}

impl Way {
    fn all() -> [Way; 4] {
        let way = |name, version, scheme| Way { name, version, scheme, open: None };
        [
            way("over HTTP/1", Version::Http1, "http"),
            way("over HTTP/1 and TLS", Version::Http1, "https"),
            way("over HTTP/2", Version::Http2, "http"),
            way("over HTTP/2 and TLS", Version::Http2, "https"),
        ]
    }

    /// Asks, naming the server to TLS if it has a name there; none if it cannot be said so.
    async fn ask(&mut self, node: &Node, ask: &Ask, sni: Option<&str>) -> Option<Response> {
        let hello = || Hello { name: sni.map(str::to_owned), ..Hello::default() };
        let hello = || (self.scheme == "https").then(hello);
        let mut connection = match self.open.take().filter(|_| sni.is_none()) {
            Some(connection) => connection,
            None => node.open(self.version, hello()).await,
        };
        let response = connection.ask(ask).await.ok();
        let parts = |response: &Response| response.one("Connection") == Some("close");
        if sni.is_none() && !response.as_ref().is_some_and(parts) {
            self.open = Some(connection);
        }
        response
    }

    /// Whether a case says what happens this way. Where neither names nor ports of TLS have a
    /// say, what holds without it holds with it.
    fn fits(&self, case: &Value, flavor: Flavor) -> bool {
        let routes = || case["routes"].as_array().into_iter().flatten();
        let says = |text: &str| ["net.", "tls."].iter().any(|start| text.contains(start));
        let is_of_one = |route: &Value| {
            let protocols = route["protocols"].as_array();
            flavor == Flavor::Expressions && protocols.is_some_and(|all| all.len() == 1)
                || says(text(&route["expression"]))
        };
        let hosts = routes().flat_map(|route| route["hosts"].as_array()).flatten();
        let is_indifferent = routes().all(|route| route.get("snis").is_none())
            && !routes().any(is_of_one)
            && !hosts.into_iter().any(|host| text(host).contains(':'));
        let scheme = text(&case["request"]["scheme"]);
        scheme == self.scheme || (scheme == "http" && is_indifferent)
    }
}

/// One engine. The services of all cases are at one origin of each kind.
struct World {
    node: Node,
    plain: Origin,
    secure: Origin,
    /// Speaks HTTP/2.
    calls: calls::Origin,
    flavor: Flavor,
}

impl World {
    async fn start(lanes: Lanes, flavor: Flavor) -> World {
        let node = Node::start(Config::default(), true, |options| {
            options.lanes = lanes;
            options.headers.debug = true;
            options.router.router_flavor = flavor;
        })
        .await;
        let plain = Origin::plain().await;
        let secure = Origin::secure(|_| Act::ok("hello")).await;
        let calls = calls::Origin::start(|mut call| async move {
            let _ = call.respond.send_response(call.head(), true); // who asked may be gone
        })
        .await;
        World { node, plain, secure, calls, flavor }
    }

    fn address(&self, scheme: &str) -> SocketAddr {
        match scheme {
            "grpc" => self.calls.addr,
            "https" => self.secure.addr,
            _ => self.plain.addr,
        }
    }

    /// How many requests have come to each origin.
    fn asked(&self) -> [usize; 3] {
        [self.plain.seen().len(), self.secure.seen().len(), self.calls.seen().len()]
    }

    /// What was asked last, and X-Forwarded-Path.
    fn last(&self, scheme: &str) -> [Option<String>; 3] {
        if scheme == "grpc" {
            let (head, _) = self.calls.seen().pop().unwrap();
            let path = head.headers.get("x-forwarded-path").map(|path| path.to_str().unwrap());
            let target = head.uri.path_and_query().map(ToString::to_string);
            let host = head.uri.authority().map(ToString::to_string);
            return [target, host, path.map(str::to_owned)];
        }
        let seen = if scheme == "https" { self.secure.last() } else { self.plain.last() };
        let target = seen.line.split(' ').nth(1);
        [target, seen.one("Host"), seen.one("X-Forwarded-Path")].map(|text| text.map(str::to_owned))
    }

    /// What is configured for a case, or why it is not tried.
    fn config(&self, case: &Value) -> Result<Config, &'static str> {
        let flavors = case["flavors"].as_array().into_iter().flatten();
        if !flavors.into_iter().any(|flavor| *flavor == self.flavor.to_string()) {
            return Err("not tried: of other flavors");
        }
        if case.get("deviation").is_some() {
            return Err("not tried: a deviation of docs/compatibility.md");
        }
        if !text(&case["request"]["scheme"]).starts_with("http") {
            return Err("not tried: of streams");
        }
        if case["request"].get("src_ip").is_some() {
            return Err("not tried: from an address that a client here has not");
        }
        let mut config = Config::default();
        for (number, route) in (0..).zip(case["routes"].as_array().into_iter().flatten()) {
            let mut route = route.clone();
            let stamp = json!({ "created_at": 1, "updated_at": 1, "name": format!("r{number}") });
            if let Some(service) = route.get("service").cloned() {
                let protocol = text(&service["protocol"]);
                let addr = self.address(protocol);
                let mut target = json!({ "id": Uuid::new_v4(), "protocol": protocol });
                merge(&mut target, &json!({ "host": addr.ip(), "port": addr.port() }));
                merge(&mut target, &json!({ "path": service.get("path") }));
                merge(&mut target, &stamp);
                let target: Service = schema::check(target).unwrap();
                route["service"] = json!({ "id": target.id });
                config.write(target);
            }
            for path in route["paths"].as_array_mut().into_iter().flatten() {
                *path = json!(String::from_utf8_lossy(&bytes(path)));
            }
            merge(&mut route, &stamp);
            let unwritable = "not tried: with routes that the schema refuses, as Kong's does";
            let route =
                schema::check_in::<Route>(self.flavor.into(), route).map_err(|_| unwritable)?;
            config.write(route);
        }
        Ok(config)
    }

    /// Asks as the case says and looks at what came of it, at both ends.
    async fn check(&self, case: &Value, way: &mut Way) -> Result<&'static str, String> {
        if !way.fits(case, self.flavor) {
            return Ok("not that way: it says nothing of that scheme");
        }
        let Some(ask) = ask(case) else {
            return Ok("not that way: no such path comes to a router");
        };
        let sni = case["request"]["sni"].as_str();
        let asked = self.asked();
        let Some(response) = way.ask(&self.node, &ask, sni).await else {
            return Ok("not that way: HTTP/2 has no words for it");
        };
        let refused = match (ask.method.as_str(), ask.target.first()) {
            ("TRACE", _) => Some((405, "refused: a method that is not served")),
            (_, Some(b'/')) => None,
            _ => Some((400, "refused: no path")),
        };
        if let Some((status, word)) = refused {
            return same("status", &response.status, &status).map(|()| word);
        }
        let expected = &case["expect"];
        same("route", &json!(response.one("Kong-Route-Id")), &expected["route"])?;
        let Some(scheme) = expected["upstream_scheme"].as_str().filter(|_| response.status == 200)
        else {
            same("asked", &self.asked(), &asked)?;
            return unserved(case, way, &response);
        };
        let [target, host, forwarded_path] = self.last(scheme);
        let mut wanted = text(&expected["upstream_target"]).to_owned();
        if case["via"] == "select" {
            wanted += &query(&case["request"]["query_args"]); // the router is given it apart
        }
        same("upstream target", &target, &Some(wanted))?;
        let derived = json!(self.address(scheme).to_string());
        let wanted = Some(&expected["upstream_host"]).filter(|host| !host.is_null());
        same("upstream Host", &json!(host), wanted.unwrap_or(&derived))?;
        if let Some(path) = expected.get("x_forwarded_path") {
            same("X-Forwarded-Path", &json!(forwarded_path), path)?;
        }
        Ok(way.name)
    }
}

/// Why nobody was asked.
fn unserved(case: &Value, way: &Way, response: &Response) -> Result<&'static str, String> {
    let routes = case["routes"].as_array().into_iter().flatten();
    let taken = routes.into_iter().find(|route| route["id"] == case["expect"]["route"]);
    let (status, message) = match taken {
        None => (404, "no Route matched with those values"),
        Some(route) if route.get("service").is_none() => {
            (503, "no Service found with those values")
        }
        Some(route) if way.scheme == "http" && route["protocols"] == json!(["https"]) => {
            (426, "Please use HTTPS protocol")
        }
        Some(_) => return Err(format!("status is {}", response.status)),
    };
    same("status", &response.status, &status)?;
    let says = response.text().contains(message);
    if says { Ok(way.name) } else { Err(response.text().to_owned()) }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?}, not {expected:?}")) }
}

/// The request of a case; none if what it asks the router for is nothing that a path becomes.
fn ask(case: &Value) -> Option<Ask> {
    let request = &case["request"];
    let mut target = bytes(&request["path"]);
    if case["via"] == "select" {
        let path = target;
        target = path.iter().flat_map(|&byte| escaped(byte)).collect();
        if *normal_form(&target) != *path {
            return None;
        }
        target.extend(query(&request["query_args"]).bytes());
    }
    let fields = request["headers"].as_object().into_iter().flatten();
    let fields = fields.flat_map(|(name, value)| {
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        values.into_iter().map(|value| (name.clone(), text(&value).to_owned()))
    });
    let fields = fields.chain([("Kong-Debug".to_owned(), "1".to_owned())]);
    Some(Ask {
        method: text(&request["method"]).to_owned(),
        target,
        host: request["host"].as_str().map(str::to_owned),
        fields: fields.collect(),
        body: Vec::new(),
    })
}

/// Arguments as a client writes them, behind a `?`; nothing if there are none.
fn query(arguments: &Value) -> String {
    let mut query = String::new();
    for (name, values) in arguments.as_object().into_iter().flatten() {
        let values = values.as_array().cloned().unwrap_or_else(|| vec![values.clone()]);
        for value in values {
            query.push(if query.is_empty() { '?' } else { '&' });
            query += name;
            if value != true {
                query += "=";
                query += text(&value);
            }
        }
    }
    query
}

/// What a client writes for a byte of a path in normal form.
fn escaped(byte: u8) -> Vec<u8> {
    match byte {
        b'!'..=b'~' if !b"\"<>\\^`{|}?#".contains(&byte) => vec![byte],
        _ => format!("%{byte:02X}").into(),
    }
}

fn merge(to: &mut Value, from: &Value) {
    for (field, value) in from.as_object().into_iter().flatten() {
        to[field] = value.clone();
    }
}

/// Text in which every character stands for a byte.
fn bytes(value: &Value) -> Vec<u8> {
    text(value).chars().map(|c| c as u8).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
