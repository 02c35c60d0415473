//! What a client sends: JSON as it is, or a form typed by the schema.

mod form; // key=value pairs → an object

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, LengthLimitError, Limited};
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
}

enum Type {
    Json,
    Form,
}

impl Body {
    /// Reads a body of at most `limit` bytes.
    pub(super) async fn read(
        headers: &HeaderMap,
        body: axum::body::Body,
        limit: Option<u64>,
    ) -> Result<Self, Problem> {
        let of = type_of(headers)?;
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
        Self::parse(of, &bytes)
    }

    fn parse(of: Option<Type>, bytes: &Bytes) -> Result<Self, Problem> {
        match of {
            None if bytes.is_empty() => Ok(Body::None),
            None => Err(Problem::Unsupported),
            Some(Type::Json) => match serde_json::from_slice(bytes) {
                Ok(Value::Object(object)) => Ok(Body::Json(object)),
                _ => Err(Problem::Malformed("Cannot parse JSON body")),
            },
            Some(Type::Form) => {
                let pairs = form_urlencoded::parse(bytes).into_owned().take(ARGUMENTS + 1);
                let pairs: Vec<_> = pairs.collect();
                match pairs.len() {
                    0..=ARGUMENTS => Ok(Body::Form(pairs)),
                    _ => Err(Problem::Malformed("Too many arguments")),
                }
            }
        }
    }

    /// The body as one object.
    pub(super) fn into_object(self, schema: &Schema) -> Object {
        match self {
            Body::None => Object::new(),
            Body::Json(object) => object,
            Body::Form(pairs) => form::decode(schema, pairs),
        }
    }
}

/// What the body is said to be. Case matters, as in Kong.
fn type_of(headers: &HeaderMap) -> Result<Option<Type>, Problem> {
    let mut types = headers.get_all(CONTENT_TYPE).iter().map(HeaderValue::as_bytes);
    let first = types.next();
    if types.next().is_some() {
        return Err(Problem::Malformed("Multiple Content-Type headers not allowed"));
    }
    match first {
        None => Ok(None),
        Some(of) if of.starts_with(b"application/json") => Ok(Some(Type::Json)),
        Some(of) if of.starts_with(b"application/x-www-form-urlencoded") => Ok(Some(Type::Form)),
        Some(_) => Err(Problem::Unsupported),
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
