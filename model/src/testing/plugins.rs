//! Types of plugins to test with, shaped like four of Kong's.

use crate::catalog::{Catalog, PluginType};
use crate::judge::Judge;
use crate::schema::{Alias, Check, Literal, Object, Record, Rule};
use crate::value::{Decimal, HeaderName, Method, Protocol, Set};
use crate::violation::Violations;
use crate::vitals::Problem;
use crate::{Config, Terms};

const HTTP: &[Protocol] = &[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https];

const TYPES: &[PluginType] = &[
    PluginType {
        name: "key-auth",
        version: "3.10.0",
        priority: 1250,
        config: KeyAuth::SCHEMA,
        protocols: HTTP,
        forbids: &["consumer"],
    },
    PluginType {
        name: "rate-limiting",
        version: "3.10.0",
        priority: 910,
        config: RateLimiting::SCHEMA,
        protocols: HTTP,
        forbids: &[],
    },
    PluginType {
        name: "cors",
        version: "3.10.0",
        priority: 2000,
        config: Cors::SCHEMA,
        protocols: HTTP,
        forbids: &["consumer"],
    },
    PluginType {
        name: "request-termination",
        version: "3.10.0",
        priority: 2,
        config: RequestTermination::SCHEMA,
        protocols: HTTP,
        forbids: &[],
    },
    PluginType {
        name: "file-log",
        version: "3.10.0",
        priority: 9,
        config: FileLog::SCHEMA,
        protocols: Protocol::ALL,
        forbids: &[],
    },
];

/// The types.
pub const fn catalog() -> Catalog {
    Catalog::of(TYPES)
}

/// What a node with these types takes entities by.
pub fn terms() -> Terms {
    Terms { catalog: catalog(), ..Terms::default() }
}

/// A judge that knows these types, and accepts any configuration.
#[derive(Debug, Default)]
pub struct Knowing;

impl Judge for Knowing {
    fn rehearse(&self, _config: &Config) -> Result<(), Vec<Problem>> {
        Ok(())
    }

    fn catalog(&self) -> Catalog {
        catalog()
    }
}

/// Asks for a key.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct KeyAuth {
    /// Where the key may be.
    #[field(default = ["apikey"])]
    pub key_names: Vec<HeaderName>,
    /// Whether the key is taken off.
    #[field(default = false)]
    pub hide_credentials: bool,
    /// Who somebody without a key is.
    pub anonymous: Option<String>,
    /// Whether headers are looked at.
    #[field(default = true)]
    pub key_in_header: bool,
    /// What the challenge says.
    pub realm: Option<String>,
}

/// Lets only so many requests through.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(checks = LIMITS, aliases = OLD_NAMES)]
pub struct RateLimiting {
    /// How many a second.
    #[field(above = 0)]
    pub second: Option<Decimal>,
    /// How many a minute.
    #[field(above = 0)]
    pub minute: Option<Decimal>,
    /// Whose requests are counted together.
    #[field(default = "consumer", one_of = ["consumer", "credential", "ip", "service", "header", "path"])]
    pub limit_by: Option<String>,
    /// The header of whose value that is.
    pub header_name: Option<HeaderName>,
    /// Where they are counted.
    #[field(default = "local", one_of = ["local", "cluster", "redis"])]
    pub policy: Option<String>,
    /// The status of the answer to one too many.
    #[field(default = 429, above = 0)]
    pub error_code: Option<Decimal>,
    /// How often counters are told, in seconds.
    #[field(default = -1)]
    pub sync_rate: Decimal,
    /// The server that counts.
    pub redis: Redis,
}

/// A server that counts.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct Redis {
    /// Where it is.
    pub host: Option<String>,
    /// Its port.
    #[field(default = 6379)]
    pub port: u16,
    /// Who asks.
    pub username: Option<String>,
    /// What proves it.
    #[field(secret, referenceable, len_max = 20)]
    pub password: Option<String>,
    /// How long it may take, in milliseconds.
    #[field(default = 2000, between = (0, 2147483646))]
    pub timeout: u32,
}

const OLD_NAMES: &[Alias] = &[
    Alias { name: "redis_host", of: "redis.host" },
    Alias { name: "redis_port", of: "redis.port" },
];

const LIMITS: &[Check] = &[
    Check::AtLeastOneOf(&["second", "minute"]),
    Check::When {
        field: "policy",
        is: Rule::Is(Literal::Text("redis")),
        then: "redis.host",
        must: Rule::Required,
        message: None,
    },
    Check::When {
        field: "limit_by",
        is: Rule::Is(Literal::Text("header")),
        then: "header_name",
        must: Rule::Required,
        message: None,
    },
];

/// Says which pages may read answers.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct Cors {
    /// Whose pages.
    pub origins: Option<Vec<String>>,
    /// By which methods.
    #[field(default = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"])]
    pub methods: Option<Set<Method>>,
    /// For how long that holds, in seconds.
    pub max_age: Option<Decimal>,
    /// Whether with credentials.
    #[field(default = false)]
    pub credentials: bool,
}

/// Answers in place of the upstream.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(checks = &[Check::Custom(says_one_thing)])]
pub struct RequestTermination {
    /// With which status.
    #[field(default = 503, between = (100, 599))]
    pub status_code: u16,
    /// In which words.
    pub message: Option<String>,
    /// Of what type the body is.
    pub content_type: Option<String>,
    /// With which body.
    pub body: Option<String>,
}

fn says_one_thing(config: &Object, found: &mut Violations) {
    let has = |name: &str| config.get(name).is_some_and(|value| !value.is_null());
    if has("message") && (has("content_type") || has("body")) {
        found.add_entity("message cannot be used with content_type or body");
    }
}

/// Writes a line for each request or stream.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct FileLog {
    /// Where to.
    pub path: String,
    /// Whether the file is opened anew for each.
    #[field(default = false)]
    pub reopen: bool,
    /// What else is in a line.
    pub custom_fields: serde_json::Value,
    /// What lines are signed with; made up where none is given.
    #[field(auto, secret)]
    pub signed_with: Option<String>,
}
