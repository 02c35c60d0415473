//! What a route wants and a request has, in words, and how near they are to each other.

use super::Attribute;
use super::fare::{Part, matching_parts};
use crate::router::expression::About;
use crate::router::host::{HostName, HostRule};
use crate::router::pattern::{Paths, Pattern};
use crate::router::rank::Reach;
use crate::router::request::{Fields, RequestView, Scheme};
use crate::router::tree::Demands;
use model::entities::Route;
use model::explain::Agreement;
use model::value::PathMatch;
use std::cmp::Reverse;

/// Stands for what a request does not have.
const NONE: &str = "none";

/// What a route wants of an attribute that a request does not meet.
pub(crate) fn wanted<F: Fields>(
    attribute: Attribute,
    route: &Route,
    pattern: Option<&Pattern>,
    request: &RequestView<'_, F>,
) -> Vec<String> {
    fn texts<T: ToString>(values: impl Iterator<Item = T>) -> Vec<String> {
        values.map(|value| value.to_string()).collect()
    }
    match attribute {
        Attribute::Expression => {
            let expressed = pattern.and_then(|pattern| pattern.expressed.as_ref());
            let clauses = expressed.map(|expressed| expressed.expression.clauses(request));
            let failing = clauses.into_iter().flatten().filter(|clause| !clause.holds);
            failing.map(|clause| clause.text.to_owned()).collect()
        }
        Attribute::Protocols => texts(route.protocols.iter()),
        Attribute::Hosts => texts(route.hosts.iter().flatten()),
        Attribute::Paths => texts(route.paths.iter().flatten()),
        Attribute::Methods => texts(route.methods.iter().flatten()),
        Attribute::Snis => texts(route.snis.iter().flatten()),
        Attribute::Headers => {
            let missing: Vec<_> = missing_headers(pattern, request).collect();
            let all = route.headers.iter().flatten();
            let missed = all.filter(|(name, _)| missing.contains(&&*folded(name.as_str())));
            missed.map(|(name, values)| format!("{name}: {}", values.join(" or "))).collect()
        }
        Attribute::Sources => route.sources.iter().flatten().map(address).collect(),
        Attribute::Destinations => route.destinations.iter().flatten().map(address).collect(),
        Attribute::Service => vec!["enabled".to_owned()],
    }
}

/// What a request has of an attribute.
pub(crate) fn found<F: Fields>(
    attribute: Attribute,
    pattern: Option<&Pattern>,
    request: &RequestView<'_, F>,
) -> String {
    match attribute {
        Attribute::Expression => "something else".to_owned(),
        Attribute::Protocols => {
            if request.scheme == Scheme::Https { "https" } else { "http" }.to_owned()
        }
        Attribute::Hosts => host_of(pattern, request),
        Attribute::Paths => text(request.path),
        Attribute::Methods => text(request.method),
        Attribute::Snis => request.sni.map_or_else(|| NONE.to_owned(), text),
        Attribute::Headers => {
            let missing = missing_headers(pattern, request);
            let sent = missing.map(|name| {
                let values: Vec<_> = request.fields.values(name.as_bytes()).map(text).collect();
                let values = if values.is_empty() { NONE.to_owned() } else { values.join(", ") };
                format!("{}: {values}", name.replace('_', "-"))
            });
            sent.collect::<Vec<_>>().join("; ")
        }
        Attribute::Sources => request.source.to_string(),
        Attribute::Destinations => request.destination.to_string(),
        Attribute::Service => "not enabled".to_owned(),
    }
}

/// The port as well, if it is asked for.
fn host_of<F>(pattern: Option<&Pattern>, request: &RequestView<'_, F>) -> String {
    let mut rules = pattern.into_iter().flat_map(|pattern| &pattern.hosts);
    let host = if request.host.is_empty() { NONE.to_owned() } else { text(request.host) };
    match request.port {
        Some(port) if rules.any(|rule| rule.port.is_some()) => format!("{host}, port {port}"),
        _ => host,
    }
}

/// What of a route made a request agree with it, attribute by attribute, but for its path.
pub(crate) fn agreements<F: Fields>(route: &Route, request: &RequestView<'_, F>) -> Vec<Agreement> {
    let mut all = Vec::new();
    let mut add = |attribute: Attribute, value: String| {
        all.push(Agreement { attribute: attribute.to_string(), value });
    };
    if let Some(expression) = &route.expression {
        add(Attribute::Expression, expression.clone());
    }
    let hosts = route.hosts.iter().flatten();
    if let Some(host) = hosts.clone().find(|host| HostRule::of(host).accepts(request)) {
        add(Attribute::Hosts, host.to_string());
    }
    if route.methods.as_ref().is_some_and(|methods| !methods.is_empty()) {
        add(Attribute::Methods, text(request.method));
    }
    for (name, _) in route.headers.iter().flatten() {
        let folded = folded(name.as_str());
        let values: Vec<_> = request.fields.values(folded.as_bytes()).map(text).collect();
        add(Attribute::Headers, format!("{name}: {}", values.join(", ")));
    }
    if route.snis.as_ref().is_some_and(|snis| !snis.is_empty()) {
        let is_tls = matches!(request.scheme, Scheme::Https | Scheme::Tls);
        let sni = request.sni.map(text).filter(|_| is_tls);
        add(Attribute::Snis, sni.unwrap_or_else(|| "not asked for without TLS".to_owned()));
    }
    for (attribute, is_set, address) in [
        (Attribute::Sources, route.sources.is_some(), request.source),
        (Attribute::Destinations, route.destinations.is_some(), request.destination),
    ] {
        if is_set {
            add(attribute, address.to_string());
        }
    }
    all
}

/// The entry of a route's paths by which this part of it matches a path; none if it has none.
pub(crate) fn matched_by<'r>(
    route: &'r Route,
    pattern: &Pattern,
    part: &Part,
    path: &[u8],
) -> Option<&'r str> {
    let mut entries = route.paths.iter().flatten();
    let found = match part.reach {
        Reach::Any => None,
        Reach::Prefix(length) => {
            let start = path.get(..length)?;
            entries.find(|entry| entry.as_str().as_bytes() == start)
        }
        Reach::Regex => {
            let regexes = pattern.matchers.iter().find_map(|matcher| match &matcher.paths {
                Paths::Regexes(regexes) => Some(regexes),
                _ => None,
            });
            let first = regexes?.iter().position(|regex| regex.is_match(path))?;
            entries.filter(|entry| matches!(entry.matches(), PathMatch::Regex(_))).nth(first)
        }
    };
    found.map(|entry| entry.as_str())
}

/// How near a route is that misses a request by one attribute: the lesser the nearer.
pub(crate) type Nearness = (u8, Reverse<usize>);

/// How near a route is that misses a request by this. None if they have little in common:
/// a path `/` or half a name says nothing.
pub(crate) fn nearness<F: Fields>(
    attribute: Attribute,
    pattern: &Pattern,
    request: &RequestView<'_, F>,
) -> Option<Nearness> {
    let near = |class| Some((class, Reverse(0)));
    let has_host = !pattern.hosts.is_empty();
    let mut parts = matching_parts(pattern, request);
    let mut has_path = || parts.any(|part| part.prefix_len > 1);
    match attribute {
        Attribute::Service => near(0),
        Attribute::Methods | Attribute::Protocols => near(1),
        Attribute::Expression => near(match unmet(pattern, request)? {
            About::Path => 4,
            About::Host => 5,
            _ => 1,
        }),
        Attribute::Headers => {
            let mut missing = pattern.predicates.missing_headers(request);
            let mut is_sent = |name: &str| request.fields.values(name.as_bytes()).next().is_some();
            (has_host || has_path() || missing.any(&mut is_sent)).then_some((2, Reverse(0)))
        }
        Attribute::Snis | Attribute::Sources | Attribute::Destinations => near(3),
        Attribute::Paths => {
            let (common, length) = common_path(pattern, request.path);
            let is_alone = pattern.predicates.demands() == Demands::Nothing;
            let is_near = common > 1 && (!is_alone || common * 2 >= length);
            (is_near || has_host).then_some((4, Reverse(common)))
        }
        Attribute::Hosts => {
            let (common, length) = common_host(pattern, request.host);
            (common * 2 > length || has_path()).then_some((5, Reverse(common)))
        }
    }
}

/// What the clause asks for that a request does not fulfil.
fn unmet<F: Fields>(pattern: &Pattern, request: &RequestView<'_, F>) -> Option<About> {
    let clauses = pattern.expressed.as_ref()?.expression.clauses(request);
    clauses.iter().find(|clause| !clause.holds).map(|clause| clause.about)
}

fn missing_headers<'p, F: Fields>(
    pattern: Option<&'p Pattern>,
    request: &RequestView<'_, F>,
) -> impl Iterator<Item = &'p str> {
    pattern.into_iter().flat_map(|pattern| pattern.predicates.missing_headers(request))
}

/// The most bytes that one of its paths starts with as the request does, and its length.
fn common_path(pattern: &Pattern, path: &[u8]) -> (usize, usize) {
    let starts = pattern.matchers.iter().flat_map(|matcher| -> Box<dyn Iterator<Item = &[u8]>> {
        match &matcher.paths {
            Paths::Any => Box::new(std::iter::empty()),
            Paths::Prefixes(_, prefixes) => Box::new(prefixes.iter().map(|text| text.as_bytes())),
            Paths::Regexes(regexes) => Box::new(regexes.iter().map(|regex| regex.literal())),
        }
    });
    let common = starts.map(|start| (common(start.iter(), path.iter()), start.len()));
    common.max().unwrap_or_default()
}

/// The most bytes that one of its hosts ends with as the request's does, and its length.
fn common_host(pattern: &Pattern, host: &[u8]) -> (usize, usize) {
    let lower = host.to_ascii_lowercase();
    let shared = pattern.hosts.iter().map(|rule| match &rule.name {
        HostName::Exact(name) | HostName::Suffix(name) => {
            (common(name.as_bytes().iter().rev(), lower.iter().rev()), name.len())
        }
        HostName::Prefix(name) => (common(name.as_bytes().iter(), lower.iter()), name.len()),
    });
    shared.max().unwrap_or_default()
}

fn common<'a>(one: impl Iterator<Item = &'a u8>, other: impl Iterator<Item = &'a u8>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).count()
}

/// A header's name as it is compared.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

fn address(address: &model::value::AddressMatch) -> String {
    match (&address.ip, address.port) {
        (Some(ip), Some(port)) => format!("{ip}, port {port}"),
        (Some(ip), None) => ip.to_string(),
        (None, port) => port.map_or_else(String::new, |port| format!("port {port}")),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
