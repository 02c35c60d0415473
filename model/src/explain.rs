//! Why a request takes the route it takes: a question, and what the engine says to it.
//!
//! Pure data, so that the Admin API, the command line and the engine mean the same. A
//! [`Question`] has a schema as entities have: all that is wrong with one is told at
//! once. An [`Explanation`] goes over the wire as it is.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::schema::Record;
use crate::value::{ClientAddress, HeaderName, HttpVersion, Method, Protocol};

/// A request as a client would send it.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "debug_route")]
pub struct Question {
    /// Its method.
    #[field(default = "GET")]
    pub method: Method,
    /// Its `Host`, with the port if the client names one. Without it, the request has none.
    pub host: Option<String>,
    /// Its target: the path, escaped as a client would, and the query behind a `?`.
    #[field(default = "/", starts_with = "/")]
    pub path: String,
    /// Whether it comes over TLS.
    #[field(default = "http", one_of = ["http", "https"])]
    pub scheme: Protocol,
    /// The version of HTTP it comes by. By default one that serves it: gRPC comes by HTTP/2.
    pub http_version: Option<HttpVersion>,
    /// The port it arrives at, which counts where its Host names none. By default 80 or 443.
    #[field(between = (1, 65535))]
    pub port: Option<u16>,
    /// The server name of the handshake. By default the Host over `https`; empty for none.
    #[field(len_min = 0)]
    pub sni: Option<String>,
    /// Its header fields, each with its values.
    pub headers: Option<BTreeMap<HeaderName, Vec<String>>>,
    /// The client's address, and its port. By default 127.0.0.1.
    pub source: Option<ClientAddress>,
    /// How many of the routes that lost, and of those that nearly match, are told.
    #[field(default = 5, between = (0, 1000))]
    pub limit: u16,
}

/// Which route a request takes, and why no other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The content hash of the configuration that was asked, in hex.
    pub configuration_hash: String,
    /// How many routes of it serve requests.
    pub routes: usize,
    /// The order its routes are in.
    pub router_priority: Order,
    /// What the router saw of the request.
    pub request: Asked,
    /// The route that serves it; none if it is answered with 404.
    pub matched: Option<Matched>,
    /// What the other order would choose, if that is another route.
    pub other_order: Option<OtherOrder>,
    /// The routes that match as well, the first in line first, as many as were asked for.
    pub outranked: Vec<Outranked>,
    /// How many those are in all.
    pub outranked_total: usize,
    /// The routes that match but for one attribute, the nearest first, as many as were
    /// asked for.
    pub near_misses: Vec<NearMiss>,
    /// How many those are in all.
    pub near_misses_total: usize,
    /// What else there is to know.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
}

/// Which of two routes that match the same request goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As Kong 3.10 has it.
    KongEffective,
    /// As Kong's manual has it.
    Documented,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Order::KongEffective => "kong_effective",
            Order::Documented => "documented",
        })
    }
}

/// A request as the router sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The Host without its port; empty if there is none.
    pub host: String,
    /// The port that the Host names or the request arrived at; none if it named no port
    /// there is.
    pub port: Option<u16>,
    /// The path in normal form, which is what routes are compared with.
    pub path: String,
    /// The server name of the handshake.
    pub sni: Option<String>,
}

/// A route or a service, so that an operator knows which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its id.
    pub id: Uuid,
    /// Its name, if it has one.
    pub name: Option<String>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

/// The route that serves a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matched {
    /// Which.
    pub route: Named,
    /// Where it leads.
    pub service: Option<Named>,
    /// What of the route the request agrees with, attribute by attribute.
    pub by: Vec<Agreement>,
    /// What the router would tell apart from the rest of the path.
    pub path: Option<MatchedPath>,
    /// The plugins that see the request, by id and type, the first first; each may change it, or answer
    /// it in place of what follows.
    #[serde(default)]
    pub plugins: Vec<Named>,
    /// What goes upstream; none if the request is answered here.
    pub upstream: Option<Upstream>,
    /// What the client is answered, if nothing goes upstream.
    pub answer: Option<Answered>,
}

/// An attribute of a route that a request agrees with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// The field, such as `hosts`.
    pub attribute: String,
    /// The value of it that made it agree.
    pub value: String,
}

/// The part of a path that a route matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchedPath {
    /// The entry of `paths`.
    pub pattern: String,
    /// What it matched of the path.
    pub matched: String,
    /// Whether that is taken off, which is what `strip_path` says.
    pub stripped: bool,
}

/// A request on its way to its service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Where it goes and what for.
    pub uri: String,
    /// Its Host.
    pub host: String,
}

/// What a client is answered without its request going anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// Why.
    pub message: String,
    /// Where the client is sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub location: Option<String>,
}

/// A part of the precedence, by which one route goes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// That one is an expression, or the priorities of both.
    Expression,
    /// How many attributes they match on.
    AttributeCount,
    /// Hosts without wildcards.
    PlainHost,
    /// Whether the path is a regular expression.
    RegexPath,
    /// How many headers they match on.
    HeaderCount,
    /// Their `regex_priority`.
    RegexPriority,
    /// The length of the prefix that matched.
    PathLength,
    /// Nothing but their ids.
    Id,
}

/// A route that matches, and comes later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outranked {
    /// Which.
    pub route: Named,
    /// Where it leads.
    pub service: Option<Named>,
    /// What decides between it and the route that serves the request.
    pub decided_by: Component,
    /// The same in a sentence.
    pub because: String,
    /// Whether it would go first in the other order.
    pub first_in_other_order: bool,
}

/// What the other order would choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherOrder {
    /// Which order that is.
    pub router_priority: Order,
    /// The route.
    pub route: Named,
    /// What decides there between it and the route that serves the request now.
    pub decided_by: Component,
    /// The same in a sentence.
    pub because: String,
}

/// A route that would match but for one attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NearMiss {
    /// Which.
    pub route: Named,
    /// Where it leads.
    pub service: Option<Named>,
    /// The attribute.
    pub attribute: String,
    /// What the route wants.
    pub wanted: Vec<String>,
    /// What the request has.
    pub found: String,
}
