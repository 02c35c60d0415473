//! Routes that are expressions, made up from what requests are made up from.

use super::world::Random;
use model::entities::Route;
use model::testing::route;
use serde_json::json;
use uuid::Uuid;

const HOSTS: &[&str] =
    &["== \"a.io\"", "== \"x.a.io\"", "=^ \".a.io\"", "=^ \"a.io\"", "^= \"x.\"", "!= \"b.io\""];
const PATHS: &[&str] = &[
    "== \"/a\"",
    "== \"/a/b\"",
    "== \"/\"",
    "^= \"/a\"",
    "^= \"/a/b\"",
    "^= \"/b\"",
    "^= \"/a/path/longer/than/any/node\"",
    "^= \"/é\"",
    "=^ \"/c\"",
    "contains \"b\"",
    "!= \"/a\"",
    "~ \"^/a\"",
    r##"~ r#"^/(a|b)/(?<rest>\w+)"#"##,
    r##"~ r#"/(\d+)"#"##,
    "~ \"^/é|b\"",
];
const OTHERS: &[&str] = &[
    "http.method == \"GET\"",
    "http.method == \"PURGE\"",
    "http.method != \"GET\"",
    "any(lower(http.headers.x_a)) == \"v1\"",
    "any(http.headers.x_a) == \"1\"",
    "http.headers.c == \"2\"",
    "any(http.headers.x_b) ~ \"^(a|V)(.*)\"",
    "net.protocol == \"https\"",
    "tls.sni =^ \".io\"",
    "net.dst.port == 81",
    "http.queries.q == \"1\"",
    "any(http.queries.q) == \"1\"",
    "http.path.segments.0 == \"a\"",
    "http.path.segments.0_1 ^= \"a/\"",
    "http.path.segments.len > 2",
    "lower(http.path) ^= \"/a/B\"",
];
const PROTOCOLS: &[&[&str]] = &[&["http", "https"], &["http", "https"], &["http"], &["https"]];

/// A route with an expression that a control plane would admit.
pub(crate) fn some_expression(random: &mut Random, id: Uuid) -> Route {
    let mut text = String::new();
    for part in 0..1 + random.below(3) {
        text.push_str(if part == 0 { "" } else { " && " });
        group(random, &mut text);
    }
    let route = route(&format!("r{id}")).with("id", id.to_string()).with("expression", text);
    let route = route.with("priority", random.pick(&[0, 0, 1, 1, 100, (1i64 << 46) - 1]));
    route.with("protocols", json!(random.pick(PROTOCOLS))).build()
}

/// Predicates joined by `||`, in parentheses that may be negated.
fn group(random: &mut Random, text: &mut String) {
    text.push_str(if random.one_in(8) { "!(" } else { "(" });
    for part in 0..1 + random.below(3) {
        text.push_str(if part == 0 { "" } else { " || " });
        let predicate = match random.below(4) {
            0 => format!("http.host {}", random.pick(HOSTS)),
            1 | 2 => format!("http.path {}", random.pick(PATHS)),
            _ => random.pick(OTHERS).to_owned(),
        };
        text.push_str(&predicate);
    }
    text.push(')');
}
