//! What a client sends: JSON as it is, a form typed by the schema, or the text
//! of a document.

mod form; // key=value pairs → an object

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyDataStream, BodyExt, Full, LengthLimitError, Limited};
use model::schema::{Object, Schema};
use serde_json::Value;
use tokio::time::timeout;

use super::problem::Problem;
use super::query::ARGUMENTS;

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The body of a request, not typed yet.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Body {
    /// There is none.
    #[default]
    None,
    /// A JSON object. Its values are never coerced.
    Json(Object),
    /// The pairs of a form, whose values are text.
    Form(Vec<(String, String)>),
    /// A YAML document, not read yet.
    Text(String),
}

/// What a body is read as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reads {
    /// An entity.
    Entity,
    /// A whole configuration: it may be a file, sent as it is or in a form.
    Document,
}

enum Type {
    Json,
    Form,
    /// Parts, with what is between them.
    Multipart(String),
    Yaml,
}

impl Body {
    /// Reads a body of at most `limit` bytes.
    pub(super) async fn read(
        headers: &HeaderMap,
        body: axum::body::Body,
        limit: Option<u64>,
        reads: Reads,
    ) -> Result<Self, Problem> {
        let of = type_of(headers, reads)?;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        if announced(headers).is_some_and(|length| length > limit as u64) {
            return Err(Problem::TooLarge);
        }
        let collected = timeout(TIMEOUT, Limited::new(body, limit).collect()).await;
        let bytes = match collected.map_err(|_| Problem::TooSlow)? {
            Ok(collected) => collected.to_bytes(),
            Err(failure) if failure.is::<LengthLimitError>() => return Err(Problem::TooLarge),
            Err(_) => return Err(Problem::Malformed("Bad request")),
        };
        Self::parse(of, bytes).await
    }

    async fn parse(of: Option<Type>, bytes: Bytes) -> Result<Self, Problem> {
        match of {
            None if bytes.is_empty() => Ok(Body::None),
            None => Err(Problem::Unsupported),
            Some(Type::Json) => match serde_json::from_slice(&bytes) {
                Ok(Value::Object(object)) => Ok(Body::Json(object)),
                _ => Err(Problem::Malformed("Cannot parse JSON body")),
            },
            Some(Type::Form) => {
                let pairs = form_urlencoded::parse(&bytes).into_owned().take(ARGUMENTS + 1);
                Self::of_pairs(pairs.collect())
            }
            Some(Type::Multipart(boundary)) => {
                let pairs = parts(bytes, boundary).await;
                Self::of_pairs(pairs.map_err(|_| Problem::Malformed("Bad request"))?)
            }
            Some(Type::Yaml) => match String::from_utf8(bytes.into()) {
                Ok(text) => Ok(Body::Text(text)),
                Err(_) => Err(Problem::Malformed("expected a declarative configuration")),
            },
        }
    }

    fn of_pairs(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        match pairs.len() {
            0..=ARGUMENTS => Ok(Body::Form(pairs)),
            _ => Err(Problem::Malformed("Too many arguments")),
        }
    }

    /// The body as one object.
    pub(super) fn into_object(self, schema: &Schema) -> Object {
        match self {
            Body::None | Body::Text(_) => Object::new(),
            Body::Json(object) => object,
            Body::Form(pairs) => form::decode(schema, pairs),
        }
    }
}

/// What the body is said to be. Case matters, as in Kong.
fn type_of(headers: &HeaderMap, reads: Reads) -> Result<Option<Type>, Problem> {
    let mut types = headers.get_all(CONTENT_TYPE).iter().map(HeaderValue::as_bytes);
    let first = types.next();
    if types.next().is_some() {
        return Err(Problem::Malformed("Multiple Content-Type headers not allowed"));
    }
    match first {
        None => Ok(None),
        Some(of) if of.starts_with(b"application/json") => Ok(Some(Type::Json)),
        Some(of) if of.starts_with(b"application/x-www-form-urlencoded") => Ok(Some(Type::Form)),
        Some(of) if reads == Reads::Document => document_type(of).map(Some),
        Some(_) => Err(Problem::Unsupported),
    }
}

/// What only a whole configuration may come as.
fn document_type(of: &[u8]) -> Result<Type, Problem> {
    if [&b"application/yaml"[..], b"text/yaml"].iter().any(|yaml| of.starts_with(yaml)) {
        return Ok(Type::Yaml);
    }
    let of = std::str::from_utf8(of).map_err(|_| Problem::Unsupported)?;
    multer::parse_boundary(of).map(Type::Multipart).map_err(|_| Problem::Unsupported)
}

/// The named parts of a multipart body.
async fn parts(bytes: Bytes, boundary: String) -> multer::Result<Vec<(String, String)>> {
    let whole = BodyDataStream::new(Full::new(bytes));
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut pairs = Vec::new();
    while let Some(part) = parts.next_field().await? {
        if let Some(name) = part.name().map(str::to_owned) {
            pairs.push((name, part.text().await?));
        }
    }
    Ok(pairs)
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
