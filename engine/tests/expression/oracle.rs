//! What Kong's own engine says, given what Kong gives it.

use crate::random::Arguments;
use crate::request::Request;
use atc_router::ast::{Type, Value};
use atc_router::context::Context;
use atc_router::router::Router;
use atc_router::schema::Schema;
use regex::Regex;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What the engine found.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) recorded: usize,
    /// None unless a group took part.
    pub(crate) captures: Option<BTreeMap<String, String>>,
}

/// The fields of HTTP requests.
pub(crate) fn schema() -> Schema {
    let mut schema = Schema::default();
    for (name, kind) in [
        ("net.protocol", Type::String),
        ("tls.sni", Type::String),
        ("http.method", Type::String),
        ("http.host", Type::String),
        ("http.path", Type::String),
        ("http.path.segments.*", Type::String),
        ("http.headers.*", Type::String),
        ("http.queries.*", Type::String),
        ("net.src.port", Type::Int),
        ("net.dst.port", Type::Int),
        ("http.path.segments.len", Type::Int),
        ("net.src.ip", Type::IpAddr),
        ("net.dst.ip", Type::IpAddr),
    ] {
        schema.add_field(name, kind);
    }
    schema
}

/// The expression as Kong's engine has it; none if Kong refuses it.
pub(crate) fn accepted<'s>(schema: &'s Schema, text: &str) -> Option<Router<'s>> {
    thread_local! {
        static OLD_PORT: Regex = Regex::new(r"(net\.port)(\s*)([=><!])").expect("well-formed");
        static SEGMENTS: Regex = Regex::new(r"^(0|[1-9]\d*)(?:_([1-9]\d*))?$").expect("well-formed");
    }
    let text = OLD_PORT.with(|old| old.replace_all(text, "net.dst.port$2$3").into_owned());
    let mut router = Router::new(schema);
    router.add_matcher(1, Uuid::nil(), &text).ok()?;
    let is_well_formed = |segments: &str| {
        let Some(parts) = SEGMENTS.with(|regex| regex.captures(segments)) else {
            return segments == "len";
        };
        let number =
            |at: usize| parts.get(at).map(|part| part.as_str().parse().unwrap_or(u64::MAX));
        number(2).is_none_or(|last| number(1).is_some_and(|first| first < last))
    };
    let segments = router.fields.keys().filter_map(|name| name.strip_prefix("http.path.segments."));
    let is_accepted = segments.into_iter().all(is_well_formed);
    is_accepted.then_some(router)
}

/// What it finds in a request.
pub(crate) fn find(
    schema: &Schema,
    router: &Router<'_>,
    request: &Request,
    arguments: &Arguments,
) -> Option<Found> {
    let mut context = Context::new(schema);
    for name in router.fields.keys() {
        for value in values(name, request, arguments) {
            context.add_value(name, value);
        }
    }
    if !router.execute(&mut context) {
        return None;
    }
    let found = context.result?;
    let recorded = match found.matches.get("http.path") {
        Some(Value::String(text)) => text.len().min(request.path.len()),
        _ => 0,
    };
    let captures: BTreeMap<_, _> = found.captures.into_iter().collect();
    Some(Found { recorded, captures: Some(captures).filter(|captures| captures.len() > 1) })
}

fn values(name: &str, request: &Request, arguments: &Arguments) -> Vec<Value> {
    let text = |text: &str| vec![Value::String(text.to_owned())];
    if let Some(name) = name.strip_prefix("http.headers.") {
        let values = request.headers.0.iter().filter(|(known, _)| known == name);
        let value = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).expect("text");
        return values.map(|(_, bytes)| Value::String(value(bytes))).collect();
    }
    if let Some(name) = name.strip_prefix("http.queries.") {
        let values = arguments.iter().filter(|(known, _)| known == name);
        return values.map(|(_, value)| Value::String(value.clone().unwrap_or_default())).collect();
    }
    if let Some(range) = name.strip_prefix("http.path.segments.") {
        return segments(range, &request.path).into_iter().collect();
    }
    match name {
        "net.protocol" => text(&format!("{:?}", request.scheme).to_lowercase()),
        "tls.sni" => request.sni.as_deref().map(text).unwrap_or_default(),
        "http.method" => text(&request.method),
        "http.host" if request.host.is_empty() => vec![],
        "http.host" => text(&request.host),
        "http.path" => text(&request.path),
        "net.src.port" => vec![Value::Int(request.source.port().into())],
        "net.dst.port" => request.port.map(|port| Value::Int(port.into())).into_iter().collect(),
        "net.src.ip" => vec![Value::IpAddr(request.source.ip())],
        "net.dst.ip" => vec![Value::IpAddr(request.destination.ip())],
        _ => unreachable!("the schema has no field {name}"),
    }
}

fn segments(range: &str, path: &str) -> Option<Value> {
    let mut parts: Vec<&str> = path[1..].split('/').collect();
    while parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    if range == "len" {
        return Some(Value::Int(parts.len() as i64));
    }
    let (first, last) = range.split_once('_').unwrap_or((range, range));
    let found = parts.get(first.parse().ok()?..=last.parse().ok()?)?;
    Some(Value::String(found.join("/")))
}
