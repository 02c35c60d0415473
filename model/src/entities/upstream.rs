//! An upstream: addresses that requests are spread over, and how they are found to be well.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::entities::Certificate;
use crate::schema::{Check, Literal, Object, Record, Rule};
use crate::value::{
    Algorithm, CookieName, Decimal, HashOn, HeaderName, HostAndPort, HttpStatus, Path, ProbeType,
    Reference, SniPattern, Tags, Timestamp, UpstreamName,
};
use crate::violation::Violations;
use crate::{Entity, Id};

/// A rule that takes `none` and these words.
macro_rules! but {
    ($($word:literal)*) => { Rule::OneOf(&[Literal::Text("none"), $(Literal::Text($word)),*]) };
}

const NONE: Rule = Rule::Is(Literal::Text("none"));
const COOKIE: Rule = Rule::Is(Literal::Text("cookie"));
const CONSUMER: Rule = Rule::Is(Literal::Text("consumer"));
const IP: Rule = Rule::Is(Literal::Text("ip"));
const PATH: Rule = Rule::Is(Literal::Text("path"));
const ONLY_NONE: Rule = but!();

/// What requests are told apart by is found in what this other field names.
const fn needs(chosen: &'static str, word: &'static str, field: &'static str) -> Check {
    Check::When {
        field: chosen,
        is: Rule::Is(Literal::Text(word)),
        then: field,
        must: Rule::Required,
        message: None,
    }
}

/// What may be asked second depends on what was asked first.
const fn falls_back_on(first: Rule, second: Rule) -> Check {
    Check::When { field: "hash_on", is: first, then: "hash_fallback", must: second, message: None }
}

/// A name that services may have as their host, and what it stands for.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "upstreams", checks = CHECKS, settle = settle)]
pub struct Upstream {
    /// Identifies the upstream.
    #[field(auto)]
    pub id: Id<Upstream>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// When it was last changed, in seconds since 1970.
    #[field(auto)]
    pub updated_at: Timestamp,
    /// What services call it as their host; stands for the id in URLs.
    #[field(unique)]
    pub name: UpstreamName,
    /// How the next target is chosen.
    #[field(default = "round-robin")]
    pub algorithm: Option<Algorithm>,
    /// What requests are told apart by, so that the same go to the same target.
    #[field(default = "none")]
    pub hash_on: Option<HashOn>,
    /// The same, where a request does not have that.
    #[field(default = "none")]
    pub hash_fallback: Option<HashOn>,
    /// The header, for `hash_on = header`.
    pub hash_on_header: Option<HeaderName>,
    /// The header, for `hash_fallback = header`.
    pub hash_fallback_header: Option<HeaderName>,
    /// The cookie, for `hash_on` or `hash_fallback = cookie`. Who has none is given one.
    pub hash_on_cookie: Option<CookieName>,
    /// The path of the cookie that is given.
    #[field(default = "/")]
    pub hash_on_cookie_path: Option<Path>,
    /// The argument, for `hash_on = query_arg`.
    pub hash_on_query_arg: Option<String>,
    /// The argument, for `hash_fallback = query_arg`.
    pub hash_fallback_query_arg: Option<String>,
    /// The group of the route's regular expression, for `hash_on = uri_capture`.
    pub hash_on_uri_capture: Option<String>,
    /// The same, for `hash_fallback = uri_capture`.
    pub hash_fallback_uri_capture: Option<String>,
    /// How finely load is shared.
    #[field(default = 10000, between = (10, 65536))]
    pub slots: Option<u32>,
    /// How targets are found to be well.
    pub healthchecks: Healthchecks,
    /// Labels to list upstreams by.
    pub tags: Option<Tags>,
    /// What targets see as `Host`, where a route does not preserve the client's.
    pub host_header: Option<HostAndPort>,
    /// The certificate shown to targets, before that of the service.
    pub client_certificate: Option<Reference<Certificate>>,
    /// Whether targets see the name of their SRV record as `Host`.
    #[field(default = false)]
    pub use_srv_name: Option<bool>,
}

/// How targets are found to be well.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct Healthchecks {
    /// By asking them.
    pub active: Active,
    /// By what becomes of requests.
    pub passive: Passive,
    /// The least share of all weights that must be well, in hundredths, for the upstream to be.
    #[field(default = 0, between = (0, 100))]
    pub threshold: Decimal,
}

/// How targets are asked.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct Active {
    /// What is asked by.
    #[field(name = "type", default = "http")]
    pub kind: ProbeType,
    /// How long an answer may take, in seconds.
    #[field(default = 1, between = (0, 65535))]
    pub timeout: Decimal,
    /// How many targets are asked at once.
    #[field(default = 10, between = (1, 2147483648))]
    pub concurrency: i64,
    /// What is asked for.
    #[field(default = "/")]
    pub http_path: Path,
    /// The name that certificates are asked for as.
    pub https_sni: Option<SniPattern>,
    /// Whether certificates are verified.
    #[field(default = true)]
    pub https_verify_certificate: bool,
    /// Headers of the request.
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    /// What makes a target well again.
    pub healthy: ActiveHealthy,
    /// What makes it unwell.
    pub unhealthy: ActiveUnhealthy,
}

/// What makes a target that is asked well again.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct ActiveHealthy {
    /// Seconds between questions to targets that are well; 0 for none.
    #[field(default = 0, between = (0, 65535))]
    pub interval: Decimal,
    /// Statuses that say so.
    #[field(default = [200, 302])]
    pub http_statuses: Vec<HttpStatus>,
    /// How many in a row it takes; 0 for never.
    #[field(default = 0)]
    pub successes: u8,
}

/// What makes a target that is asked unwell.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct ActiveUnhealthy {
    /// Seconds between questions to targets that are unwell; 0 for none.
    #[field(default = 0, between = (0, 65535))]
    pub interval: Decimal,
    /// Statuses that say so.
    #[field(default = [429, 404, 500, 501, 502, 503, 504, 505])]
    pub http_statuses: Vec<HttpStatus>,
    /// How many connections must fail; 0 for never.
    #[field(default = 0)]
    pub tcp_failures: u8,
    /// How many answers must take too long; 0 for never.
    #[field(default = 0)]
    pub timeouts: u8,
    /// How many answers must have such a status; 0 for never.
    #[field(default = 0)]
    pub http_failures: u8,
}

/// What requests tell of targets.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct Passive {
    /// What is looked at.
    #[field(name = "type", default = "http")]
    pub kind: ProbeType,
    /// What makes a target well again.
    pub healthy: PassiveHealthy,
    /// What makes it unwell.
    pub unhealthy: PassiveUnhealthy,
}

/// What makes a target well again that requests go to.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct PassiveHealthy {
    /// Statuses that say so.
    #[field(default = [
        200, 201, 202, 203, 204, 205, 206, 207, 208, 226,
        300, 301, 302, 303, 304, 305, 306, 307, 308,
    ])]
    pub http_statuses: Vec<HttpStatus>,
    /// How many in a row it takes; 0 for never.
    #[field(default = 0)]
    pub successes: u8,
}

/// What makes a target unwell that requests go to.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct PassiveUnhealthy {
    /// Statuses that say so.
    #[field(default = [429, 500, 503])]
    pub http_statuses: Vec<HttpStatus>,
    /// How many connections must fail; 0 for never.
    #[field(default = 0)]
    pub tcp_failures: u8,
    /// How many answers must take too long; 0 for never.
    #[field(default = 0)]
    pub timeouts: u8,
    /// How many answers must have such a status; 0 for never.
    #[field(default = 0)]
    pub http_failures: u8,
}

const CHECKS: &[Check] = &[
    needs("hash_on", "header", "hash_on_header"),
    needs("hash_fallback", "header", "hash_fallback_header"),
    needs("hash_on", "cookie", "hash_on_cookie"),
    needs("hash_fallback", "cookie", "hash_on_cookie"),
    falls_back_on(NONE, ONLY_NONE),
    falls_back_on(COOKIE, ONLY_NONE),
    falls_back_on(CONSUMER, but!("ip" "header" "cookie" "path" "query_arg" "uri_capture")),
    falls_back_on(IP, but!("consumer" "header" "cookie" "path" "query_arg" "uri_capture")),
    falls_back_on(PATH, but!("consumer" "ip" "header" "cookie" "query_arg" "uri_capture")),
    Check::Distinct(&["hash_on_header", "hash_fallback_header"]),
    needs("hash_on", "query_arg", "hash_on_query_arg"),
    needs("hash_fallback", "query_arg", "hash_fallback_query_arg"),
    Check::Distinct(&["hash_on_query_arg", "hash_fallback_query_arg"]),
    needs("hash_on", "uri_capture", "hash_on_uri_capture"),
    needs("hash_fallback", "uri_capture", "hash_fallback_uri_capture"),
    Check::Distinct(&["hash_on_uri_capture", "hash_fallback_uri_capture"]),
];

/// Only one can be what counts: an algorithm that tells no requests apart goes before what they would be
/// told apart by, and that before any other algorithm.
fn settle(said: &Object, upstream: &mut Object) -> Result<(), Violations> {
    let word = |field: &str| said.get(field).and_then(Value::as_str);
    let mut set = |field: &str, word: &str| upstream.insert(field.to_owned(), word.into());
    if matches!(word("algorithm"), Some("least-connections" | "latency")) {
        set("hash_on", "none");
        return Ok(());
    }
    match (said.get("hash_on"), word("hash_on")) {
        (Some(Value::Null), _) => drop(set("hash_on", "none")),
        (_, Some("none")) => drop(set("algorithm", "round-robin")),
        (_, Some(_)) => drop(set("algorithm", "consistent-hashing")),
        _ => {}
    }
    Ok(())
}

impl Entity for Upstream {
    const ENDPOINT_KEY: Option<&'static str> = Some("name");
}
