//! What a client sends: JSON as it is, a form (in parts or not) typed by the schema, or the
//! text of a document.

mod room; // how much of it there may be at once
mod form; // key=value pairs → an object

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyDataStream, BodyExt, Full};
use model::Terms;
use model::schema::{Object, Schema};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Problem;
use super::query::ARGUMENTS;

use room::SMALL;
pub(crate) use room::{Room, Rooms};

/// How long a body may take to arrive, and how long it waits for room.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a large body may pause, and how far it may be behind one that comes at [`PACE`].
const PAUSE: Duration = Duration::from_secs(10);

/// Bytes per second at which a large body must come: one of the largest by default cannot be as slow as that.
const PACE: usize = 64 * 1024;

/// Objects in an entity, at most: one takes some hundred times the memory of its two braces. A document
/// may have more.
const OBJECTS: usize = 100_000;

/// The body of a request, not typed yet.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Body {
    /// There is none.
    #[default]
    None,
    /// A JSON object. Its values are never coerced.
    Json(Object),
    /// The pairs of a form, in parts or not; the values are text.
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
    /// Reads a body of at most `limit` bytes, and says what room it takes.
    pub(super) async fn read(
        headers: &HeaderMap,
        body: axum::body::Body,
        limit: Option<u64>,
        rooms: &Rooms,
        reads: Reads,
    ) -> Result<(Self, Option<Room>), Problem> {
        let of = type_of(headers, reads)?;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let most = match announced(headers) {
            Some(length) => usize::try_from(length).unwrap_or(usize::MAX),
            None => limit,
        };
        if most > limit {
            return Err(Problem::TooLarge);
        }
        let (bytes, room) = collect(body, most, rooms).await?;
        Ok((Self::parse(of, bytes, reads).await?, room))
    }

    async fn parse(of: Option<Type>, bytes: Vec<u8>, reads: Reads) -> Result<Self, Problem> {
        match of {
            None if bytes.is_empty() => Ok(Body::None),
            None => Err(Problem::Unsupported),
            Some(Type::Json) if reads == Reads::Entity && objects(&bytes) > OBJECTS => {
                Err(Problem::TooLarge)
            }
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
            Some(Type::Yaml) => match String::from_utf8(bytes) {
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

    /// The body as one object, which is laid over another.
    pub(super) fn into_object(self, schema: &Schema, terms: Terms, over: &Object) -> Object {
        match self {
            Body::None | Body::Text(_) => Object::new(),
            Body::Json(object) => object,
            Body::Form(pairs) => form::decode(schema, terms, over, pairs),
        }
    }
}

/// All of a body, and the room to deal with it. On its way a small one has that already; a large one
/// has room for `most` bytes, which is what was announced or else the limit. It must go on coming, since
/// others wait for that.
async fn collect(
    mut body: axum::body::Body,
    most: usize,
    rooms: &Rooms,
) -> Result<(Vec<u8>, Option<Room>), Problem> {
    let mut deadline = Instant::now() + TIMEOUT;
    let (mut bytes, mut room, mut large_since) = (Vec::new(), None, None);
    loop {
        let patience_ends = large_since.map(|since| patience_ends(since, bytes.len()));
        let by = patience_ends.map_or(deadline, |ends| deadline.min(ends));
        let frame = timeout_at(by, body.frame()).await.map_err(|_| Problem::TooSlow)?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| Problem::Malformed("Bad request"))?;
        let Ok(data) = frame.into_data() else { continue }; // trailers
        let length = bytes.len() + data.len();
        if length > most {
            return Err(Problem::TooLarge);
        }
        let asked = Instant::now();
        if length > SMALL && large_since.is_none() {
            drop(room.take()); // a small one's, before more is asked for
            room = Some(in_time(rooms.expect(most)).await?);
            large_since = Some(Instant::now());
        } else if room.is_none() {
            room = Some(in_time(rooms.take(most.min(SMALL))).await?);
        }
        deadline += asked.elapsed();
        bytes.extend_from_slice(&data);
    }
    if large_since.is_some() {
        let to_deal_with = in_time(rooms.take(bytes.len())).await?; // and only then that of the way is given back
        room = Some(to_deal_with);
    }
    Ok((bytes, room))
}

/// When a large body of which this much has come must have gone on.
fn patience_ends(since: Instant, come: usize) -> Instant {
    let at_pace = Duration::from_millis((come.saturating_sub(SMALL) * 1000 / PACE) as u64);
    (Instant::now() + PAUSE).min(since + PAUSE + at_pace)
}

async fn in_time(room: impl Future<Output = Room>) -> Result<Room, Problem> {
    timeout(TIMEOUT, room).await.map_err(|_| Problem::TooSlow)
}

/// How many objects a JSON text has.
fn objects(json: &[u8]) -> usize {
    let (mut objects, mut in_text, mut escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b'{' => objects += usize::from(!in_text),
            _ => {}
        }
    }
    objects
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
        Some(of) if of.starts_with(b"multipart/form-data") => multipart(of).map(Some),
        Some(of) if reads == Reads::Document && is_yaml(of) => Ok(Some(Type::Yaml)),
        Some(_) => Err(Problem::Unsupported),
    }
}

/// What a file with a whole configuration may be sent as.
fn is_yaml(of: &[u8]) -> bool {
    [&b"application/yaml"[..], b"text/yaml"].iter().any(|yaml| of.starts_with(yaml))
}

/// Parts, if it is said what is between them.
fn multipart(of: &[u8]) -> Result<Type, Problem> {
    let of = std::str::from_utf8(of).map_err(|_| Problem::Unsupported)?;
    multer::parse_boundary(of).map(Type::Multipart).map_err(|_| Problem::Unsupported)
}

/// The named parts of a multipart body.
async fn parts(bytes: Vec<u8>, boundary: String) -> multer::Result<Vec<(String, String)>> {
    let whole = BodyDataStream::new(Full::new(Bytes::from(bytes)));
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut pairs = Vec::new();
    // One more than may be: there are too many then.
    while let Some(part) = parts.next_field().await?.filter(|_| pairs.len() <= ARGUMENTS) {
        if let Some(name) = part.name().map(str::to_owned) {
            pairs.push((name, part.text().await?));
        }
    }
    Ok(pairs)
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::iter;
    use std::sync::Arc;

    use futures::{StreamExt, stream};
    use http_body_util::Full;
    use tokio::time::sleep;

    use super::*;

    const LARGE: usize = 10 << 20;

    #[tokio::test(start_paused = true)]
    async fn large_bodies_wait_for_room_and_small_ones_do_not() {
        let rooms = Rooms::default();
        let (_, first) = read(LARGE, &rooms).await.unwrap();
        assert!(first.is_some());

        let mut second = std::pin::pin!(read(LARGE, &rooms));
        let early = timeout(TIMEOUT / 2, second.as_mut()).await;
        assert!(early.is_err(), "both do not fit");
        let asked = Instant::now();
        read(SMALL, &rooms).await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO, "a small one waits for nobody");
        drop(first);
        assert!(second.await.unwrap().1.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_waits_for_room_only_so_long() {
        let rooms = Rooms::default();
        let all = read(32 << 20, &rooms).await.unwrap();
        let start = Instant::now();
        assert!(matches!(read(LARGE, &rooms).await, Err(Problem::TooSlow)));
        assert_eq!(start.elapsed(), TIMEOUT);
        drop(all);
        read(LARGE, &rooms).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_must_go_on_coming() {
        let pausing = |begun: usize, pause: Duration| {
            let parts = [(begun, Duration::ZERO), (1, pause)];
            let parts = stream::iter(parts).then(async |(length, pause)| {
                sleep(pause).await;
                Ok::<_, Infallible>(vec![b' '; length])
            });
            axum::body::Body::from_stream(Box::pin(parts))
        };
        let rooms = Rooms::default();
        let short = Duration::from_millis(1);
        for (begun, pause, arrives) in [
            (SMALL - 1, TIMEOUT - short, true),
            (SMALL + 1, PAUSE - short, true),
            (SMALL + 1, PAUSE + short, false),
        ] {
            let collected = collect(pausing(begun, pause), LARGE, &rooms).await;
            assert_eq!(collected.is_ok(), arrives, "{begun} bytes, then {pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_clients_hold_up_others_for_seconds_at_most() {
        let rooms = Arc::new(Rooms::default());
        let drip = || {
            let parts = stream::iter(iter::once(SMALL + 1).chain(iter::repeat(1)));
            let parts = parts.then(async |length| {
                sleep(PAUSE - Duration::from_secs(1)).await;
                Ok::<_, Infallible>(vec![b' '; length])
            });
            let (body, rooms) = (axum::body::Body::from_stream(Box::pin(parts)), rooms.clone());
            tokio::spawn(async move { collect(body, LARGE, &rooms).await })
        };
        for (slow, waits) in [(2, false), (12, true)] {
            let clients: Vec<_> = (0..slow).map(|_| drip()).collect();
            sleep(PAUSE).await; // all have begun
            let asked = Instant::now();
            read(LARGE, &rooms).await.unwrap();
            let waited = asked.elapsed();
            assert_eq!(waited > Duration::ZERO, waits, "for {slow} slow clients: {waited:?}");
            assert!(waited <= PAUSE, "for {slow} slow clients: {waited:?}");
            for client in clients {
                assert!(matches!(client.await.unwrap(), Err(Problem::TooSlow)));
            }
        }
    }

    #[tokio::test]
    async fn objects_are_counted_but_not_what_looks_like_them() {
        let rooms = Rooms::default();
        let bodies = [
            (format!(r#"{{"a":[{}0]}}"#, r#"{"":0},"#.repeat(OBJECTS - 1)), true),
            (format!(r#"{{"a":[{}0]}}"#, r#"{"":0},"#.repeat(OBJECTS)), false),
            (format!(r#"{{"a":"\"{}"}}"#, "{".repeat(OBJECTS)), true),
        ];
        for (text, is_taken) in bodies {
            let read = read_text(text, &rooms).await;
            assert_eq!(read.is_ok(), is_taken, "{:?}", read.err());
        }
    }

    async fn read(length: usize, rooms: &Rooms) -> Result<(Body, Option<Room>), Problem> {
        read_text(format!("{{{}}}", " ".repeat(length - 2)), rooms).await
    }

    async fn read_text(text: String, rooms: &Rooms) -> Result<(Body, Option<Room>), Problem> {
        let limit = Some(text.len() as u64);
        let headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let body = axum::body::Body::new(Full::from(text));
        Body::read(&headers, body, limit, rooms, Reads::Entity).await
    }
}
