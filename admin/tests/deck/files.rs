//! Files for decK, as it has read them: every kind of entity, with ids.

use serde_json::{Map, Value, json};

use super::support::pem::{Pair, authority, pair, rsa};
use super::tool::{KINDS, State};

/// What takes a while to make.
pub(crate) struct Pairs {
    leaf: Pair,
    other: Pair,
    authority: Pair,
}

impl Pairs {
    pub(crate) fn new() -> Self {
        Self { leaf: pair("a.test"), other: rsa("a.test"), authority: authority("ours", 365) }
    }
}

/// A made-up id: the same for the same number.
fn id(number: u32) -> String {
    format!("5eed0000-0000-4000-8000-{number:012}")
}

fn to(number: u32) -> Value {
    json!({ "id": id(number) })
}

fn state(entities: Vec<(&'static str, u32, Value)>) -> State {
    let mut state: State = KINDS.iter().map(|kind| (kind.path, Default::default())).collect();
    for (path, number, mut entity) in entities {
        entity["id"] = id(number).into();
        let Value::Object(entity) = entity else { unreachable!("an entity is an object") };
        state.entry(path).or_default().insert(id(number), entity);
    }
    state
}

/// Something of every kind.
pub(crate) fn first(pairs: &Pairs) -> State {
    let mut all = traffic(pairs);
    all.extend(people());
    all.extend([
        ("vaults", 70, json!({ "name": "env", "prefix": "my-env", "description": "the environment", "config": { "prefix": "GW_" } })),
        ("key-sets", 80, json!({ "name": "ours" })),
        ("keys", 81, json!({ "name": "first", "kid": "first", "set": to(80), "jwk": r#"{"kty":"oct","kid":"first","k":"AA"}"# })),
        ("keys", 82, json!({ "name": "second", "kid": "second", "pem": { "private_key": pairs.other.key } })),
    ]);
    state(all)
}

fn traffic(pairs: &Pairs) -> Vec<(&'static str, u32, Value)> {
    let Pairs { leaf, other, authority } = pairs;
    vec![
        (
            "certificates",
            1,
            json!({
                "cert": leaf.cert, "key": leaf.key, "cert_alt": other.cert, "key_alt": other.key,
                "tags": ["shop"],
            }),
        ),
        ("snis", 2, json!({ "name": "a.test", "certificate": to(1) })),
        ("snis", 3, json!({ "name": "*.a.test", "certificate": to(1) })),
        ("ca_certificates", 4, json!({ "cert": authority.cert })),
        (
            "services",
            10,
            json!({
                "name": "orders", "protocol": "https", "host": "orders.test", "port": 8443,
                "path": "/base", "retries": 3, "tags": ["shop"], "client_certificate": to(1),
                "ca_certificates": [id(4)], "tls_verify": true, "tls_verify_depth": 2,
            }),
        ),
        ("services", 11, json!({ "name": "billing", "host": "billing" })),
        (
            "services",
            12,
            json!({ "name": "db", "host": "db.test", "port": 5432, "protocol": "tcp" }),
        ),
        (
            "routes",
            20,
            json!({
                "name": "orders", "service": to(10), "hosts": ["a.test", "*.a.test"],
                "paths": ["/orders", "~/o/(?<id>\\d+)$"], "methods": ["GET", "POST"],
                "headers": { "x-tenant": ["a", "b"] }, "tags": ["shop"],
            }),
        ),
        (
            "routes",
            21,
            json!({
                "name": "grpc", "service": to(11), "protocols": ["grpc", "grpcs"], "strip_path": false,
                "paths": ["/orders.Orders"], "snis": ["grpc.test"],
            }),
        ),
        (
            "routes",
            22,
            json!({
                "name": "db", "service": to(12), "protocols": ["tcp", "tls"], "snis": ["db.test"],
                "sources": [{ "ip": "10.0.0.0/8" }], "destinations": [{ "port": 5432 }],
            }),
        ),
        (
            "routes",
            23,
            json!({ "name": "alone", "paths": ["/alone"], "https_redirect_status_code": 308 }),
        ),
        (
            "upstreams",
            30,
            json!({
                "name": "billing", "algorithm": "consistent-hashing", "hash_on": "header",
                "hash_on_header": "x-user", "hash_fallback": "ip", "slots": 1000,
                "healthchecks": {
                    "active": {
                        "http_path": "/up",
                        "healthy": { "interval": 5, "successes": 2 },
                        "unhealthy": { "interval": 5, "http_failures": 3 },
                    },
                    "threshold": 12.5,
                },
            }),
        ),
        ("upstreams", 31, json!({ "name": "plain.test" })),
        ("targets", 40, json!({ "upstream": to(30), "target": "10.0.0.1:8080", "weight": 50 })),
        ("targets", 41, json!({ "upstream": to(30), "target": "billing.test:8000" })),
        (
            "targets",
            42,
            json!({
                "upstream": to(30), "target": "[0000:0000:0000:0000:0000:0000:0000:0001]:9000",
                "weight": 0, "tags": ["off"],
            }),
        ),
    ]
}

fn people() -> Vec<(&'static str, u32, Value)> {
    vec![
        ("consumers", 50, json!({ "username": "alice", "custom_id": "a-1", "tags": ["shop"] })),
        ("consumers", 51, json!({ "username": "bob" })),
        ("key-auths", 60, json!({ "consumer": to(50), "key": "alices-key", "tags": ["shop"] })),
        ("hmac-auths", 61, json!({ "consumer": to(50), "username": "alice", "secret": "shh" })),
        (
            "jwts",
            62,
            json!({ "consumer": to(50), "key": "alices", "secret": "shh", "algorithm": "HS256" }),
        ),
        (
            "basic-auths",
            63,
            json!({ "consumer": to(50), "username": "alice", "password": "secret" }),
        ),
        (
            "oauth2",
            64,
            json!({
                "consumer": to(50), "name": "shop", "client_id": "shop", "client_secret": "shh",
                "redirect_uris": ["https://shop.test/back"], "client_type": "confidential",
                "hash_secret": false,
            }),
        ),
        ("acls", 65, json!({ "consumer": to(50), "group": "admins" })),
        ("acls", 66, json!({ "consumer": to(51), "group": "admins" })),
    ]
}

/// The next version: of most kinds one is changed, some are gone and some new.
pub(crate) fn second(pairs: &Pairs) -> State {
    let mut state = first(pairs);
    let mut change = |path, number: u32, name: &str, value: Value| {
        let entities = state.get_mut(path).unwrap();
        entities.get_mut(&id(number)).unwrap().insert(name.to_owned(), value);
    };
    change("services", 10, "retries", 0.into());
    change("services", 10, "tls_verify_depth", Value::Null);
    change("routes", 20, "paths", json!(["/orders"]));
    change(
        "upstreams",
        31,
        "healthchecks",
        json!({ "passive": { "unhealthy": { "timeouts": 1 } } }),
    );
    change("targets", 40, "weight", 0.into());
    change("consumers", 51, "custom_id", "b-1".into());
    change("hmac-auths", 61, "secret", "new".into());
    change("acls", 66, "group", "guests".into());
    change("vaults", 70, "config", json!({ "prefix": "OTHER_" }));
    change("certificates", 1, "tags", json!(["shop", "new"]));
    for (path, number) in [
        ("snis", 2),
        ("routes", 22),
        ("services", 12),
        ("targets", 42),
        ("key-auths", 60),
        ("acls", 65),
        ("keys", 82),
        ("jwts", 62),
    ] {
        state.get_mut(path).unwrap().remove(&id(number)).unwrap();
    }
    for (path, number, mut entity) in [
        ("snis", 5, json!({ "name": "b.test", "certificate": to(1) })),
        ("targets", 43, json!({ "upstream": to(31), "target": "10.0.0.2:80" })),
        ("key-auths", 67, json!({ "consumer": to(51), "key": "bobs-key" })),
    ] {
        entity["id"] = id(number).into();
        let entity: Map<String, Value> = serde_json::from_value(entity).unwrap();
        state.get_mut(path).unwrap().insert(id(number), entity);
    }
    state
}

/// What a team with this tag has.
pub(crate) fn tagged(team: &str) -> State {
    let tags = json!([team, "team"]);
    let of_blue = team.len() == "blue".len();
    let number = |number: u32| number + if of_blue { 100 } else { 0 };
    state(vec![
        ("services", number(10), json!({ "name": team, "host": "a.test", "tags": tags })),
        (
            "routes",
            number(20),
            json!({
                "name": team, "paths": [format!("/{team}")], "service": to(number(10)), "tags": tags,
            }),
        ),
        ("consumers", number(50), json!({ "username": team, "tags": tags })),
        ("key-auths", number(60), json!({ "consumer": to(number(50)), "key": team, "tags": tags })),
        ("upstreams", number(30), json!({ "name": format!("{team}.test"), "tags": tags })),
        (
            "targets",
            number(40),
            json!({
                "upstream": to(number(30)), "target": "10.0.0.1:80", "tags": tags,
            }),
        ),
        ("key-sets", number(80), json!({ "name": team, "tags": tags })),
    ])
}
