//! A request that two routes match, made up from what they ask for.
//!
//! What is made up is asked of both routes before it is believed, so that a witness is one.

use super::Overlap;
use super::index::kinds_in_conflict;
use super::sample::sample;
use crate::router::explain::{Fare, Standing, fare};
use crate::router::host::{HostName, HostRule};
use crate::router::request::{Fields, RequestView, Scheme};
use crate::router::{Pattern, RouteTable, RouterPriority};
use model::entities::Route;
use model::value::{HostMatch, PathMatch, Protocol};
use model::{Config, Id};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

/// How many paths are made up for two routes.
const MOST_PATHS: usize = 64;
/// Of how many of a route's own paths.
const MOST_OWN: usize = 16;

/// A request that two routes match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// Whether it comes over TLS.
    pub is_tls: bool,
    /// Its method.
    pub method: String,
    /// Its host, without a port; empty for none.
    pub host: String,
    /// The port it is sent to.
    pub port: u16,
    /// Its path, in normal form.
    pub path: String,
    /// The server name of its handshake.
    pub sni: Option<String>,
    /// Its fields: names in lower case with `_` for `-`, and values.
    pub fields: Vec<(String, String)>,
}

impl Fields for Witness {
    fn values<'f>(&'f self, name: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
        let fields = self.fields.iter().filter(move |field| field.0.as_bytes() == name);
        fields.map(|field| field.1.as_bytes())
    }

    fn each(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}

impl Witness {
    /// The request, as a router sees it.
    pub fn view(&self) -> RequestView<'_, Witness> {
        let local = Ipv4Addr::LOCALHOST;
        RequestView {
            scheme: if self.is_tls { Scheme::Https } else { Scheme::Http },
            method: self.method.as_bytes(),
            host: self.host.as_bytes(),
            port: Some(self.port),
            path: self.path.as_bytes(),
            query: b"",
            sni: self.sni.as_deref().map(str::as_bytes),
            source: SocketAddr::from((local, 0)),
            destination: SocketAddr::from((local, self.port)),
            fields: self,
        }
    }
}

/// `GET http://a.io/v1 with x-a: 1`, or `GET /v1` for any host.
impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        let usual = if self.is_tls { 443 } else { 80 };
        write!(f, "{} ", self.method)?;
        if self.is_tls || !self.host.is_empty() {
            write!(f, "{scheme}://{}", self.host)?;
        }
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)?;
        for (at, (name, value)) in self.fields.iter().enumerate() {
            let before = if at == 0 { " with" } else { "," };
            write!(f, "{before} {}: {value}", name.replace('_', "-"))?;
        }
        Ok(())
    }
}

/// What two routes are to each other.
#[derive(Debug)]
pub(super) enum Meeting {
    /// There is a request that each order gives to another of them.
    Decided(Overlap),
    /// They may have requests in common, but a regular expression hides which.
    Unknown,
    /// They have none, or the orders agree on those they have.
    Agreed,
}

/// A route as it was said, and as it is served.
#[derive(Clone, Copy)]
struct Side<'a> {
    route: &'a Route,
    pattern: &'a Pattern,
}

impl Meeting {
    /// What two routes of a table are to each other.
    pub(super) fn of(
        one: Id<Route>,
        other: Id<Route>,
        config: &Config,
        table: &RouteTable,
    ) -> Meeting {
        let side = |id| {
            let (route, compiled) = (config.get(id)?, table.by_id(id)?);
            Some(Side { route, pattern: &compiled.pattern })
        };
        let (Some(one), Some(other)) = (side(one), side(other)) else { return Meeting::Agreed };
        let Some(mut witness) = without_path(one.route, other.route) else {
            return Meeting::Agreed;
        };
        // Regular expressions hide which paths they match: what kinds of parts have met?
        let mut hidden = kinds_in_conflict(one.route, other.route);
        let mut have_met = false;
        for path in paths(one.route, other.route).into_iter().take(MOST_PATHS) {
            witness.path = path;
            let request = witness.view();
            let matches = |side: Side<'_>| fare(side.pattern, &request) == Fare::Serves;
            if !matches(one) || !matches(other) {
                continue;
            }
            have_met = true;
            let [effective, documented] = ORDERS.map(|order| Meet::of(one, other, &request, order));
            let (Some(effective), Some(documented)) = (effective, documented) else { continue };
            if effective.first != documented.first {
                let (effective, documented) = (effective.first, documented.first);
                return Meeting::Decided(Overlap { effective, documented, witness });
            }
            hidden.retain(|kinds| *kinds != effective.kinds);
        }
        let is_hidden = !hidden.is_empty() || (!have_met && has_header_regex(one, other));
        if is_hidden { Meeting::Unknown } else { Meeting::Agreed }
    }
}

const ORDERS: [RouterPriority; 2] = [RouterPriority::KongEffective, RouterPriority::Documented];

/// Two routes at a path that both match.
struct Meet {
    /// Which goes first.
    first: Id<Route>,
    /// Whether each goes by a regular expression.
    kinds: (bool, bool),
}

impl Meet {
    fn of(
        one: Side<'_>,
        other: Side<'_>,
        request: &RequestView<'_, Witness>,
        order: RouterPriority,
    ) -> Option<Meet> {
        let a = Standing::of(one.route, one.pattern, request, order)?;
        let b = Standing::of(other.route, other.pattern, request, order)?;
        let first = if a.place > b.place { one.route.id } else { other.route.id };
        Some(Meet { first, kinds: (a.part.is_regex(), b.part.is_regex()) })
    }
}

fn has_header_regex(one: Side<'_>, other: Side<'_>) -> bool {
    let headers = [one, other].into_iter().flat_map(|side| side.route.headers.iter().flatten());
    headers
        .into_iter()
        .any(|(_, values)| values.first().is_some_and(|value| value.starts_with("~*")))
}

/// A request that has all but the path that two routes ask for; none if there cannot be one.
fn without_path(one: &Route, other: &Route) -> Option<Witness> {
    let (host, port) = common_host(one, other)?;
    let (is_tls, sni) = common_sni(one, other)?;
    let usual = if is_tls { 443 } else { 80 };
    Some(Witness {
        is_tls,
        method: common_method(one, other)?,
        host,
        port: port.unwrap_or(usual),
        path: String::new(),
        sni,
        fields: fields(one).chain(fields(other)).collect(),
    })
}

fn common_method(one: &Route, other: &Route) -> Option<String> {
    let set = |route: &Route| route.methods.clone().filter(|methods| !methods.is_empty());
    let method = match (set(one), set(other)) {
        (None, None) => return Some("GET".to_owned()),
        (Some(methods), None) | (None, Some(methods)) => methods.iter().next().cloned(),
        (Some(methods), Some(others)) => {
            methods.iter().find(|method| others.contains(method)).cloned()
        }
    };
    method.map(|method| method.to_string())
}

fn common_host(one: &Route, other: &Route) -> Option<(String, Option<u16>)> {
    let (hosts, others) = (HostRule::all(one), HostRule::all(other));
    let alone = |rules: &[HostRule]| rules.first().map(|rule| (example(&rule.name), rule.port));
    if hosts.is_empty() || others.is_empty() {
        let any = (String::new(), None);
        return Some(alone(&hosts).or_else(|| alone(&others)).unwrap_or(any));
    }
    let pairs = hosts.iter().flat_map(|host| others.iter().map(move |other| (host, other)));
    pairs.into_iter().find_map(|(host, other)| {
        let port = match (host.port, other.port) {
            (Some(port), Some(other)) if port != other => return None,
            (port, other) => port.or(other),
        };
        Some((common_name(&host.name, &other.name)?, port))
    })
}

/// A name under a host.
fn example(name: &HostName) -> String {
    match name {
        HostName::Exact(name) => name.to_string(),
        HostName::Suffix(end) => format!("x{end}"),
        HostName::Prefix(start) => format!("{start}x"),
    }
}

/// A name under both, if there is one.
fn common_name(one: &HostName, other: &HostName) -> Option<String> {
    let name = match (one, other) {
        (HostName::Prefix(start), HostName::Suffix(end))
        | (HostName::Suffix(end), HostName::Prefix(start)) => format!("{start}x{end}"),
        (HostName::Exact(_), _) => example(one),
        (_, HostName::Exact(_)) => example(other),
        // Of two that go the same way, the longer is under the shorter or they never meet.
        _ if example(one).len() > example(other).len() => example(one),
        _ => example(other),
    };
    (one.is_of(name.as_bytes()) && other.is_of(name.as_bytes())).then_some(name)
}

/// Whether over TLS, and the name there. Without TLS no name is asked for, but a route that
/// is for https alone only says so then.
fn common_sni(one: &Route, other: &Route) -> Option<(bool, Option<String>)> {
    let names = |route: &Route| -> Vec<HostName> {
        let snis = route.snis.iter().flatten();
        snis.map(|sni| match sni.matches() {
            HostMatch::Exact(name) => HostName::Exact(bare(name)),
            HostMatch::Suffix(end) => HostName::Suffix(bare(end)),
            HostMatch::Prefix(start) => HostName::Prefix(start.to_ascii_lowercase().into()),
        })
        .collect()
    };
    let serves = |protocols: [Protocol; 2], route: &Route| {
        protocols.iter().any(|protocol| route.protocols.contains(protocol))
    };
    let both = |protocols| serves(protocols, one) && serves(protocols, other);
    let is_served_without = both([Protocol::Http, Protocol::Grpc]);
    // One that is for http alone may not be found over TLS.
    let is_tls = !is_served_without && both([Protocol::Https, Protocol::Grpcs]);
    let (mine, others) = (names(one), names(other));
    match (mine.first(), others.first()) {
        (None, None) => Some((is_tls, None)),
        (Some(name), None) | (None, Some(name)) => Some((true, Some(example(name)))),
        (Some(_), Some(_)) => {
            let pairs = mine.iter().flat_map(|name| others.iter().map(move |other| (name, other)));
            let common = pairs.into_iter().find_map(|(name, other)| common_name(name, other));
            match common {
                Some(name) => Some((true, Some(name))),
                None => is_served_without.then_some((false, None)),
            }
        }
    }
}

fn bare(name: &str) -> Box<str> {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into()
}

/// The fields a route asks for. A request may have several values for one name.
fn fields(route: &Route) -> impl Iterator<Item = (String, String)> {
    route.headers.iter().flatten().filter_map(|(name, values)| {
        let value = values.first()?;
        let value = match value.strip_prefix("~*") {
            Some(regex) => sample(regex).unwrap_or_default(),
            None => value.clone(),
        };
        Some((name.as_str().to_ascii_lowercase().replace('-', "_"), value))
    })
}

/// Paths that both routes may match: all there are if they have prefixes only.
fn paths(one: &Route, other: &Route) -> Vec<String> {
    let (starts, others) = (starts(one), starts(other));
    let mut found = Vec::new();
    for start in &starts {
        for other in &others {
            // The longer of two prefixes is a path of both, or nothing is.
            let longer = if start.text.len() > other.text.len() { start } else { other };
            found.push(longer.text.clone());
            found.extend([&start.text, &other.text].map(String::clone));
            for (prefix, regex) in [(start, other), (other, start)] {
                if !prefix.is_regex && regex.is_regex {
                    let ends =
                        regex.text.match_indices('/').filter_map(|(at, _)| regex.text.get(at..));
                    found.extend(
                        ends.map(|end| format!("{}{end}", prefix.text.trim_end_matches('/'))),
                    );
                }
            }
        }
    }
    found.sort_unstable_by_key(|path| (path.len(), path.clone()));
    found.dedup();
    found
}

/// A path that a route matches.
struct Start {
    text: String,
    is_regex: bool,
}

fn starts(route: &Route) -> Vec<Start> {
    let start = |path: &model::value::RoutePath| match path.matches() {
        PathMatch::Prefix(prefix) => Some(Start { text: prefix.to_owned(), is_regex: false }),
        PathMatch::Regex(source) => sample(source).map(|text| Start { text, is_regex: true }),
    };
    let found: Vec<_> = route.paths.iter().flatten().filter_map(start).take(MOST_OWN).collect();
    if route.paths.as_ref().is_none_or(Vec::is_empty) {
        return vec![Start { text: "/".to_owned(), is_regex: false }];
    }
    found
}
