//! A route: which requests and connections go to a service.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::entities::Service;
use crate::schema::{Check, Literal, Object, Record, Rule, is_set, quoted};
use crate::value::{
    AddressMatch, HostPattern, Method, Name, PathHandling, Protocol, Reference, RouteHeaderName,
    RoutePath, Set, SniPattern, Tags, Timestamp,
};
use crate::violation::Violations;
use crate::{Entity, Flavor, Id, Terms};

/// What a request or connection must look like to be served, and by what.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "routes", checks = CHECKS, prepare = prepare)]
pub struct Route {
    /// Identifies the route.
    #[field(auto)]
    pub id: Id<Route>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// When it was last changed, in seconds since 1970.
    #[field(auto)]
    pub updated_at: Timestamp,
    /// What it is called; stands for the id in URLs.
    #[field(unique)]
    pub name: Option<Name>,
    /// The protocols it accepts, all of one group.
    #[field(default = ["http", "https"], len_min = 1, subsets = Protocol::GROUPS)]
    pub protocols: Set<Protocol>,
    /// The status of the answer to a request that matches but for TLS.
    #[field(default = 426, one_of = [426, 301, 302, 307, 308])]
    pub https_redirect_status_code: u16,
    /// Whether the matched path prefix is taken off before the request goes upstream.
    #[field(default = true)]
    pub strip_path: bool,
    /// Whether the upstream sees the client's Host header.
    #[field(default = false)]
    pub preserve_host: bool,
    /// Whether a request body is read whole before it goes upstream.
    #[field(default = true)]
    pub request_buffering: bool,
    /// Whether a response body is read ahead of a slow client.
    #[field(default = true)]
    pub response_buffering: bool,
    /// Labels to list routes by.
    pub tags: Option<Tags>,
    /// Where matching requests go; without one, a plugin must answer.
    pub service: Option<Reference<Service>>,
    /// Server names of the TLS handshake it matches, any of them.
    pub snis: Option<Set<SniPattern>>,
    /// Where a matching stream comes from, any of them.
    pub sources: Option<Set<AddressMatch>>,
    /// Where a matching stream was sent, any of them.
    pub destinations: Option<Set<AddressMatch>>,
    /// HTTP methods it matches, any of them.
    pub methods: Option<Set<Method>>,
    /// Hosts it matches, any of them; `*.` before or `.*` behind a name matches any label.
    pub hosts: Option<Vec<HostPattern>>,
    /// Path prefixes, or regular expressions after `~`, any of which it matches.
    pub paths: Option<Vec<RoutePath>>,
    /// Headers that must all be there, each with any of its values.
    pub headers: Option<BTreeMap<RouteHeaderName, Vec<String>>>,
    /// Puts one regular expression before another: higher goes first.
    #[field(default = 0)]
    pub regex_priority: Option<i64>,
    /// How the service's path and the request's are joined.
    #[field(default = "v0")]
    pub path_handling: Option<PathHandling>,
    /// What a request or connection must be like, in place of all other fields that match.
    #[field(flavor = "expressions")]
    pub expression: Option<String>,
    /// Puts one expression before another: higher goes first.
    #[field(flavor = "expressions", default = 0, between = (0, HIGHEST_PRIORITY))]
    pub priority: i64,
}

/// The highest priority an expression can be given.
pub const HIGHEST_PRIORITY: i64 = (1 << 46) - 1;

const CHECKS: &[Check] = &[
    Check::When {
        field: "protocols",
        is: Rule::Each(&Rule::NotOneOf(&[
            Literal::Text("grpcs"),
            Literal::Text("https"),
            Literal::Text("tls"),
            Literal::Text("tls_passthrough"),
        ])),
        then: "snis",
        must: Rule::LenEq(0),
        message: Some(
            "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'",
        ),
    },
    Check::InTerms(check_group),
    Check::InTerms(check_expression),
];

/// A group of protocols and what a route for it can match on.
struct Group {
    /// The words that choose it.
    protocols: &'static [&'static str],
    /// How messages call it.
    called: &'static str,
    /// Fields that mean nothing to it.
    forbidden: &'static [&'static str],
}

const GROUPS: &[Group] = &[
    Group {
        protocols: &["http", "https"],
        called: "'http' or 'https'",
        forbidden: &["sources", "destinations"],
    },
    Group {
        protocols: &["tcp", "tls", "udp", "tls_passthrough"],
        called: "'tcp', 'tls', 'tls_passthrough' or 'udp'",
        forbidden: &["methods", "hosts", "paths", "headers"],
    },
    Group {
        protocols: &["grpc", "grpcs"],
        called: "'grpc' or 'grpcs'",
        forbidden: &["methods", "sources", "destinations"],
    },
];

/// The first protocol with a meaning decides which group's rules hold.
fn group_of(route: &Object) -> Option<&'static Group> {
    words(route).find_map(|word| GROUPS.iter().find(|group| group.protocols.contains(&word)))
}

/// What a route must be follows from its protocols. gRPC methods are paths, so by default a gRPC
/// route keeps them whole.
fn prepare(route: &mut Object, _: Terms) -> Result<(), Violations> {
    let group = group_of(route);
    match route.get("protocols") {
        Some(Value::Null) => return Err(Violations::field("protocols", "required field missing")),
        Some(Value::Array(words)) if group.is_none() => {
            if let Some(word) = words.first().and_then(Value::as_str) {
                return Err(Violations::field("protocols", format!("unknown type: {word}")));
            }
        }
        _ => {}
    }
    if group.is_some_and(|group| group.protocols.contains(&"grpc")) {
        route.entry("strip_path").or_insert(false.into());
    }
    Ok(())
}

fn check_group(route: &Object, Terms { flavor, .. }: Terms, found: &mut Violations) {
    let Some(group) = group_of(route) else { return };
    let is_grpc = group.protocols.contains(&"grpc");
    let strips = is_grpc && route.get("strip_path") == Some(&true.into());
    let set = |field: &str| route.get(field).is_some_and(|value| !value.is_null());
    // Kong 3.10 lets requests be told apart by addresses where expressions can.
    let is_open =
        |field: &str| flavor == Flavor::Expressions && ["sources", "destinations"].contains(&field);
    let forbidden = group.forbidden.iter().filter(|field| set(field) && !is_open(field));
    for field in forbidden.chain(strips.then_some(&"strip_path")) {
        found.set(*field, format!("cannot set '{field}' when 'protocols' is {}", group.called));
    }
    if !found.has("protocols") {
        check_matchers(route, flavor, found);
    }
}

/// A route that matches everything is a mistake; which fields may narrow it
/// depends on the protocol.
fn check_matchers(route: &Object, flavor: Flavor, found: &mut Violations) {
    let has = |protocol: &str| words(route).any(|word| word == protocol);
    let expression = (flavor == Flavor::Expressions).then_some("expression");
    if expression.is_some_and(|field| is_set(route, field)) {
        return;
    }
    let (fields, called): (&[&str], _) = if has("https") {
        (&["methods", "hosts", "headers", "paths", "snis"], "'https'")
    } else if has("http") {
        (&["methods", "hosts", "headers", "paths"], "'http'")
    } else if has("grpcs") {
        (&["hosts", "headers", "paths", "snis"], "'grpcs'")
    } else if has("grpc") {
        (&["hosts", "headers", "paths"], "'grpc'")
    } else if has("tls_passthrough") {
        if !is_set(route, "snis") {
            found.add_entity("must set snis when 'protocols' is 'tls_passthrough'");
        }
        return;
    } else {
        (&["sources", "destinations", "snis"], "'tcp', 'tls' or 'udp'")
    };
    if !fields.iter().any(|field| is_set(route, field)) {
        let fields: Vec<_> = fields.iter().copied().chain(expression).collect();
        let fields = quoted(&fields);
        found.add_entity(format!("must set one of {fields} when 'protocols' is {called}"));
    }
}

/// All that match but expressions.
const MATCHERS: &[&str] =
    &["methods", "hosts", "paths", "headers", "snis", "sources", "destinations"];

/// An expression stands for itself: nothing beside it narrows it or ranks it otherwise.
fn check_expression(route: &Object, Terms { flavor, .. }: Terms, found: &mut Violations) {
    if flavor != Flavor::Expressions {
        return;
    }
    let is_not_zero =
        |field: &str| route.get(field).is_some_and(|value| !value.is_null() && *value != 0);
    let has_matchers = MATCHERS.iter().any(|field| is_set(route, field));
    let others = "'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations'";
    let (field, others) = match is_set(route, "expression") {
        true if has_matchers => ("expression", others),
        true if is_not_zero("regex_priority") => ("regex_priority", "'expression'"),
        false if has_matchers && is_not_zero("priority") => ("priority", others),
        _ => return,
    };
    found.add_entity(format!(
        "Router Expression failed validation: cannot set '{field}' with {others} simultaneously"
    ));
}

fn words(route: &Object) -> impl Iterator<Item = &str> {
    route.get("protocols").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

impl Entity for Route {
    const ENDPOINT_KEY: Option<&'static str> = Some("name");
}
