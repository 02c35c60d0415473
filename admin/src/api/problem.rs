//! What goes wrong, as clients are told: code, status and body. The only file
//! that knows error codes and their status.
//!
//! Codes, names and messages are Kong's; programs compare them.

use axum::body::Body;
use axum::response::IntoResponse;
use http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use model::references::{Dangling, Taken};
use model::violation::Violations;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::log_level::LevelProblem;
use crate::commit::Failure;
use crate::guard::Denied;
use crate::write::{Named, Operation, Refusal, Unresolved};

/// Why a request does not get what it asked for.
#[derive(Debug)]
pub(super) enum Problem {
    /// Nothing is at this URL.
    NotFound,
    /// Something is, but not for this method. Carries those it has.
    NotAllowed(&'static str),
    /// The request cannot be understood.
    Malformed(&'static str),
    /// The body is of no type that is read.
    Unsupported,
    /// The body is too large.
    TooLarge,
    /// The body did not come in time, or there was no room for it.
    TooSlow,
    /// Only nodes with WebAssembly have this.
    NoWasm,
    /// Only control planes have this.
    NotAControlPlane,
    /// Only nodes without a database have this.
    HasADatabase,
    /// Another document is being loaded.
    Loading,
    /// The workers did not take up a document in time.
    NotServed,
    /// A document is not a configuration, or not one the engine would serve.
    Document {
        violations: Violations,
        /// The same by entity, where it was asked for so.
        flattened: Option<Vec<Value>>,
    },
    /// There is no such schema of this sort.
    NoSuchSchema { sort: &'static str, name: String },
    /// No certificate is shown for this name.
    NoSuchSni,
    /// A URL segment must be a UUID here.
    NotAnId,
    /// A URL segment cannot be a value of the endpoint key.
    NotAKey { field: &'static str, message: String },
    /// `offset` is not one that was given out.
    Offset { given: String, why: &'static str },
    /// `size` is out of range.
    Size(&'static str),
    /// Another option is wrong.
    Option { name: &'static str, why: &'static str },
    /// The body is not what the schema wants.
    Invalid(Violations),
    /// The write may not be.
    Refused(Refusal),
    /// It cannot be kept, whenever it is tried.
    NotKept,
    /// The database did not confirm it.
    Unavailable,
    /// Nothing can be said about the newest configuration, as the engine would not serve it.
    Unservable(Vec<model::vitals::Problem>),
    /// Whoever asks is not let in, or may not do that.
    Denied(Denied),
    /// Only nodes with a database have this.
    NoDatabase,
    /// The steps to this revision are no longer kept.
    Folded { revision: String, oldest: Option<String> },
    /// The log's level is not changed.
    Level(LevelProblem),
    /// It is a mistake of ours.
    Internal,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Problem::Refused(refusal)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => Problem::Refused(refusal),
            Failure::NotKept => Problem::NotKept,
            Failure::Unavailable => Problem::Unavailable,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let Told { status, body } = self.told();
        let mut response = match body {
            Some(body) => super::json(status, &body),
            None => Response::new(Body::empty()),
        };
        *response.status_mut() = status;
        match self {
            Problem::NotAllowed(allow) => {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            }
            Problem::Denied(Denied::Unauthorized { shown }) => {
                let asks = match shown {
                    true => r#"Bearer realm="Admin API", error="invalid_token""#,
                    false => r#"Bearer realm="Admin API""#,
                };
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(asks));
            }
            Problem::Loading | Problem::Unavailable => {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

/// What a client is told.
struct Told {
    status: StatusCode,
    body: Option<Value>,
}

impl Problem {
    fn told(&self) -> Told {
        match self {
            Problem::NotFound => plain(StatusCode::NOT_FOUND, "Not found"),
            Problem::NotAllowed(_) => plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
            Problem::Malformed(why) => plain(StatusCode::BAD_REQUEST, why),
            Problem::Unsupported => Told { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, body: None },
            Problem::TooLarge => plain(StatusCode::PAYLOAD_TOO_LARGE, "Payload too large"),
            Problem::TooSlow => plain(StatusCode::REQUEST_TIMEOUT, "Request timeout"),
            Problem::NoWasm => plain(
                StatusCode::BAD_REQUEST,
                "this endpoint is only available when wasm is enabled",
            ),
            Problem::NotAControlPlane => plain(
                StatusCode::BAD_REQUEST,
                "this endpoint is only available when Kong is configured to run as Control Plane for the cluster",
            ),
            Problem::HasADatabase => plain(
                StatusCode::BAD_REQUEST,
                "this endpoint is only available when Kong is configured to not use a database",
            ),
            Problem::NoDatabase => plain(
                StatusCode::BAD_REQUEST,
                "this endpoint is only available when Kong is configured to use a database",
            ),
            Problem::Denied(denied) => refused_entry(denied),
            Problem::Folded { revision, oldest } => folded(revision, oldest.as_deref()),
            Problem::Level(problem) => level(problem),
            Problem::Loading => {
                plain(StatusCode::TOO_MANY_REQUESTS, "Currently loading previous configuration")
            }
            Problem::NotServed => plain(
                StatusCode::GATEWAY_TIMEOUT,
                "the configuration was taken, but is not served by every worker yet",
            ),
            Problem::Document { violations, flattened } => {
                document(violations, flattened.as_deref())
            }
            Problem::NoSuchSchema { sort, name } => {
                plain(StatusCode::NOT_FOUND, &format!("No {sort} named '{name}'"))
            }
            Problem::NoSuchSni => plain(StatusCode::NOT_FOUND, "SNI not found"),
            Problem::NotAnId => {
                let fields = [("id", "expected a valid UUID")];
                let message = format!("invalid primary key: '{}'", table(&fields));
                coded(1, "invalid primary key", message, object(&fields))
            }
            Problem::NotAKey { field, message } => {
                coded(10, &format!("invalid unique {field}"), message.clone(), Value::Null)
            }
            Problem::Offset { given, why } => coded(
                7,
                "invalid offset",
                format!("'{given}' is not a valid offset: {why}"),
                Value::Null,
            ),
            Problem::Size(why) => coded(9, "invalid size", (*why).to_owned(), Value::Null),
            Problem::Option { name, why } => wrong_option(name, why),
            Problem::Invalid(violations) => invalid(violations),
            Problem::Refused(refusal) => refused(refusal),
            Problem::Unservable(problems) => unservable(problems),
            Problem::Unavailable => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "the database did not confirm the change; it can be tried again",
            ),
            Problem::NotKept | Problem::Internal => {
                plain(StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred")
            }
        }
    }
}

fn refused(refusal: &Refusal) -> Told {
    match refusal {
        Refusal::Invalid(violations) => invalid(violations),
        Refusal::IdInUse(id) => {
            let id = id.to_string();
            let fields = [("id", id.as_str())];
            let message = format!("primary key violation on key '{}'", table(&fields));
            coded(3, "primary key violation", message, object(&fields))
        }
        Refusal::NotATtl(why) => wrong_option("ttl", why),
        Refusal::Taken(Taken { fields, .. }) => {
            let message = format!("UNIQUE violation detected on '{}'", lua(fields));
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            coded(5, "unique constraint violation", message, fields.collect())
        }
        Refusal::Dangling(Dangling { field, table, id }) => dangling(field, table, *id),
        Refusal::Unresolved(unresolved) => not_resolved(unresolved),
        Refusal::Referenced { kind, by } => coded(
            4,
            "foreign key violation",
            format!("an existing '{by}' entity references this '{kind}' entity"),
            json!({ "@referenced_by": by.name() }),
        ),
        Refusal::InUse { authority, service } => coded(
            19,
            "referenced by others",
            format!("ca certificate {authority} is still referenced by services (id = {service})"),
            Value::Null,
        ),
        Refusal::Missing(named) => missing(named),
        Refusal::NotFound => Problem::NotFound.told(),
        Refusal::Unservable(problems) => {
            let mut violations = Violations::default();
            for problem in problems {
                match &problem.field {
                    Some(field) => violations.add(field, &problem.message),
                    None => violations.add_entity(problem.to_string()),
                }
            }
            invalid(&violations)
        }
        Refusal::Unsupported(Operation { verb, kind, by }) => {
            let by = by.map_or(String::new(), |by| format!(" by '{by}'"));
            let message = format!("cannot {verb} '{kind}' entities{by} when not using a database");
            coded(12, "operation unsupported", message, Value::Null)
        }
        Refusal::Document(violations) => document(violations, None),
    }
}

/// The first two are nginx's words.
fn refused_entry(denied: &Denied) -> Told {
    match denied {
        Denied::NoCertificate => {
            plain(StatusCode::BAD_REQUEST, "No required SSL certificate was sent")
        }
        Denied::BadCertificate(why) => {
            plain(StatusCode::BAD_REQUEST, &format!("The SSL certificate error: {why}"))
        }
        Denied::Unauthorized { .. } => plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
        Denied::ReadOnly => plain(StatusCode::FORBIDDEN, "this token is read-only"),
        Denied::ForeignPage => plain(
            StatusCode::FORBIDDEN,
            "requests of this origin are not taken with a client certificate; see admin_gui_url",
        ),
    }
}

fn folded(revision: &str, oldest: Option<&str>) -> Told {
    let body = match oldest {
        Some(oldest) => json!({
            "message": format!("revision {revision} is no longer kept; the oldest is {oldest}"),
            "oldest": oldest,
        }),
        None => json!({ "message": format!("revision {revision} is not kept") }),
    };
    Told { status: StatusCode::GONE, body: Some(body) }
}

fn level(problem: &LevelProblem) -> Told {
    match problem {
        LevelProblem::Unknown(word) => {
            plain(StatusCode::BAD_REQUEST, &format!("unknown log level: {word}"))
        }
        LevelProblem::Timeout => {
            plain(StatusCode::BAD_REQUEST, "timeout must be greater than or equal to 0")
        }
        LevelProblem::NoDatabase => plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "cannot change log level when not using a database",
        ),
    }
}

/// What a client is told that speaks HTTP to a listener for TLS, in nginx's words.
pub(crate) fn misdirected() -> Response<Body> {
    let told = plain(StatusCode::BAD_REQUEST, "The plain HTTP request was sent to HTTPS port");
    super::json(told.status, &told.body)
}

fn document(violations: &Violations, flattened: Option<&[Value]>) -> Told {
    let message = format!("declarative config is invalid: {}", violations.to_line());
    let name = "invalid declarative configuration";
    let mut told = coded(14, name, message, violations.to_json());
    if let (Some(flattened), Some(body)) = (flattened, &mut told.body) {
        body["flattened_errors"] = flattened.into();
    }
    told
}

fn invalid(violations: &Violations) -> Told {
    coded(2, "schema violation", violations.to_string(), violations.to_json())
}

fn dangling(field: &str, kind: &str, id: Uuid) -> Told {
    let id = id.to_string();
    let key = [("id", id.as_str())];
    let message = format!(
        "the foreign key '{}' does not reference an existing '{kind}' entity.",
        table(&key)
    );
    coded(4, "foreign key violation", message, json!({ field: object(&key) }))
}

fn missing(named: &Named) -> Told {
    let (field, value, which) = match named {
        Named::Id(id) => ("id", id.to_string(), "primary key "),
        Named::Key(field, value) => (*field, value.clone(), ""),
    };
    let fields = [(field, value.as_str())];
    let message = format!("could not find the entity with {which}'{}'", table(&fields));
    coded(6, "not found", message, object(&fields))
}

fn not_resolved(unresolved: &[Unresolved]) -> Told {
    let mut fields = Map::new();
    let mut messages = Vec::new();
    for Unresolved { field, by, value, kind } in unresolved {
        let key = table(&[(by, value)]);
        let message = format!(
            "the foreign key cannot be resolved with '{key}' for an existing '{kind}' entity"
        );
        messages.push(format!("{field}.{by}: {message}"));
        fields.insert((*field).to_owned(), json!({ *by: message }));
    }
    let messages = messages.join("; ");
    let message = match unresolved.len() {
        1 => format!("foreign key unresolved ({messages})"),
        n => format!("{n} foreign keys unresolved ({messages})"),
    };
    coded(13, "foreign keys unresolved", message, Value::Object(fields))
}

fn unservable(problems: &[model::vitals::Problem]) -> Told {
    let body = json!({
        "message": "the newest configuration is not served, so no request has a route by it",
        "problems": problems,
    });
    Told { status: StatusCode::CONFLICT, body: Some(body) }
}

/// Options have a member of their own in place of `fields`.
fn wrong_option(name: &str, why: &str) -> Told {
    let body = json!({
        "code": 11,
        "name": "invalid options",
        "message": format!("invalid option ({name}: {why})"),
        "options": { name: why },
    });
    Told { status: StatusCode::BAD_REQUEST, body: Some(body) }
}

/// A message without a code.
fn plain(status: StatusCode, message: &str) -> Told {
    Told { status, body: Some(json!({ "message": message })) }
}

/// One of Kong's numbered errors. Its status follows from the number.
fn coded(code: u8, name: &str, message: String, fields: Value) -> Told {
    let status = match code {
        5 => StatusCode::CONFLICT,
        6 => StatusCode::NOT_FOUND,
        12 => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut body = json!({ "code": code, "name": name, "message": message });
    if let (false, Some(body)) = (fields.is_null(), body.as_object_mut()) {
        body.insert("fields".to_owned(), fields);
    }
    Told { status, body: Some(body) }
}

fn object(fields: &[(&str, &str)]) -> Value {
    fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
}

/// How messages show a key: a Lua table on one line, `{id="…"}`.
fn table(fields: &[(&str, &str)]) -> String {
    lua(&fields.iter().map(|(name, value)| (*name, Value::from(*value))).collect::<Vec<_>>())
}

/// The same, of values that may be references or null: `{consumer={id="…"},route=null}`.
fn lua(fields: &[(&str, Value)]) -> String {
    let cells: Vec<String> = fields
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => {
                format!("{name}=\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
            Value::Object(inner) => {
                let inner: Vec<_> =
                    inner.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                format!("{name}={}", lua(&inner))
            }
            other => format!("{name}={other}"),
        })
        .collect();
    format!("{{{}}}", cells.join(","))
}
