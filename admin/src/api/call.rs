//! A request, as handlers see it: parsed as far as it can be without knowing
//! which entity it is about.

use std::sync::Arc;

use axum::extract::{FromRequest, RawPathParams};
use http::{Method, Request};
use model::entities::{Plugin, Visit};
use model::id::Key;
use model::schema::{Field, Object, Rule, Schema, Shown};
use model::value::Timestamp;
use model::{Config, Entity, EntityKind, Revision, Terms};
use serde_json::Value;
use uuid::Uuid;

use super::Api;
use super::body::{Body, Reads, Room};
use super::problem::Problem;
use super::query::Query;
use crate::commit::Failure;
use crate::guard::Caller;
use crate::store::{Author, Who};
use crate::write::{Draft, Refusal, find};

/// One request.
pub(super) struct Call {
    api: Arc<Api>,
    /// The path as the client typed it, but for a trailing slash.
    pub(super) path: String,
    /// What follows the question mark.
    pub(super) query: Query,
    segments: Vec<(String, String)>,
    body: Body,
    room: Option<Room>,
    author: Author,
}

impl FromRequest<Arc<Api>> for Call {
    type Rejection = Problem;

    async fn from_request(
        request: Request<axum::body::Body>,
        api: &Arc<Api>,
    ) -> Result<Self, Problem> {
        Self::read(request, api, Reads::Entity).await
    }
}

impl Call {
    /// Takes a request whose body is to be read as this.
    pub(super) async fn read(
        request: Request<axum::body::Body>,
        api: &Arc<Api>,
        reads: Reads,
    ) -> Result<Self, Problem> {
        use axum::extract::FromRequestParts;
        let (mut parts, body) = request.into_parts();
        // A segment that is not UTF-8 names nothing.
        let params = RawPathParams::from_request_parts(&mut parts, api).await;
        let params = params.map_err(|_| Problem::Malformed("Bad request"))?;
        let segments = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let caller = parts.extensions.get::<Caller>();
        let path = parts.uri.path().to_owned();
        let who = caller.map_or_else(|| "unknown".into(), Who::from);
        let author = Author { who, what: what(&parts.method, &path).into() };
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        let has_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
        // What a GET or DELETE carries says nothing.
        let (body, room) = if has_body {
            Body::read(&parts.headers, body, api.max_body, &api.rooms, reads).await?
        } else {
            (Body::None, None)
        };
        Ok(Self {
            segments: segments.collect(),
            query,
            body,
            room,
            api: Arc::clone(api),
            path,
            author,
        })
    }

    pub(super) fn api(&self) -> &Api {
        &self.api
    }

    /// What entities are taken by here.
    pub(super) fn terms(&self) -> Terms {
        self.api.about.terms
    }

    /// An entity, or anything else that is declared, as clients see it here.
    pub(super) fn shown<'a, R>(&'a self, record: &'a R) -> Shown<'a, R> {
        Shown { record, terms: self.terms(), now: self.api.clock.hand() }
    }

    /// Who asks, and for what.
    pub(super) fn author(&self) -> &Author {
        &self.author
    }

    /// The newest revision.
    pub(super) fn revision(&self) -> Arc<Revision> {
        self.api.revision()
    }

    /// The path segment that stands for this.
    pub(super) fn segment(&self, name: &str) -> &str {
        self.segments.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The path segment that names an entity: its id, or a possible value of its endpoint key.
    pub(super) fn key<E: Entity>(&self) -> Result<Key, Problem> {
        self.key_by::<E>(E::key_field())
    }

    /// The same of an entity whose kind is told at run time.
    pub(super) fn key_of(&self, kind: EntityKind) -> Result<Key, Problem> {
        struct KeyOf<'a>(&'a Call);
        impl Visit for KeyOf<'_> {
            type Output = Result<Key, Problem>;
            fn visit<E: Entity>(self) -> Self::Output {
                self.0.key::<E>()
            }
        }
        kind.visit(KeyOf(self))
    }

    /// The same of an entity below its parent.
    pub(super) fn nested_key<E: Entity>(&self) -> Result<Key, Problem> {
        self.key_by::<E>(E::nested_key_field())
    }

    fn key_by<E: Entity>(&self, field: Option<&'static Field>) -> Result<Key, Problem> {
        let key = Key::from(self.segment(E::KIND.name()));
        let Key::Name(name) = &key else { return Ok(key) };
        let field = field.ok_or(Problem::NotAnId)?;
        match refusal(field, name) {
            Some(message) => Err(Problem::NotAKey { field: field.name, message }),
            None => Ok(key),
        }
    }

    /// The body as an object, its values typed by the schema where it was a form.
    pub(super) fn object(&mut self, schema: &Schema) -> Object {
        let terms = self.terms();
        self.take_body().into_object(schema, terms, &Object::new())
    }

    /// The same of what is laid over an entity: of what type a plugin is, need not be said again.
    pub(super) fn object_over<E: Entity>(&mut self, key: &Key) -> Object {
        let terms = self.terms();
        let mut over = Object::new();
        if E::KIND == EntityKind::Plugin
            && let Some(plugin) = find::<Plugin>(&self.revision().config, key)
        {
            over.insert("name".to_owned(), plugin.name.as_str().into());
        }
        self.take_body().into_object(E::SCHEMA, terms, &over)
    }

    /// The body as it is.
    pub(super) fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    /// The room that the body takes, for whoever goes on with it.
    pub(super) fn room(&self) -> Option<Room> {
        self.room.clone()
    }

    /// Has a write applied and committed.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Draft<'_>, Timestamp) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Problem> {
        let (room, is_kept, terms) = (self.room(), self.api.has_database(), self.terms());
        let change = move |config: &mut Config, now| {
            let _room = room; // the body stays in memory until then, though its sender may leave
            change(&mut Draft::new(config, is_kept, terms), now)
        };
        Ok(self.api.committer.write(self.author.clone(), change).await?)
    }

    /// Has a document put in the place of everything there is.
    pub(super) async fn load(&self, document: Value) -> Result<Config, Failure> {
        self.api.committer.load(self.author.clone(), document, self.terms(), self.room()).await
    }
}

/// Parts of paths behind which a credential may be named by what it is.
const SECRET_NAMES: [&str; 3] = ["key-auth", "key-auths", "oauth2_tokens"];

/// The most bytes of a path that are noted.
const NOTED: usize = 512;

/// What a request asks for, as it is noted for as long as the audit log is kept.
fn what(method: &Method, path: &str) -> String {
    let mut told = method.to_string();
    told.push(' ');
    let mut is_secret = false;
    for part in path.split_inclusive('/') {
        let name = part.trim_end_matches('/');
        match is_secret && Uuid::try_parse(name).is_err() && !name.is_empty() {
            true => told.push_str(&part.replace(name, "******")),
            false => told.push_str(part),
        }
        is_secret = SECRET_NAMES.contains(&name);
    }
    if told.len() > NOTED {
        let end = told.floor_char_boundary(NOTED);
        told.truncate(end);
        told.push('…');
    }
    told
}

/// What the rules of a field have against this text, the first of them speaking.
fn refusal(field: &Field, text: &str) -> Option<String> {
    let mut rules: Vec<&Rule> = field.all_rules().collect();
    rules.sort_by_key(|rule| rule.order());
    rules.into_iter().find_map(|rule| rule.test(&text.into()).err()).map(|invalid| invalid.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_short_and_no_secret() {
        let id = "0855b320-0dd2-547d-891d-601e9b38647f";
        let with_id = format!("/consumers/c/key-auth/{id}");
        for (path, noted) in [
            ("/services/users", "/services/users"),
            ("/", "/"),
            ("/key-auths", "/key-auths"),
            ("/key-auths/s3cret", "/key-auths/******"),
            ("/key-auths/s3cret/consumer", "/key-auths/******/consumer"),
            ("/consumers/c/key-auth/s3cret", "/consumers/c/key-auth/******"),
            ("/oauth2_tokens/s3cret", "/oauth2_tokens/******"),
            (&with_id, &with_id),
        ] {
            assert_eq!(what(&Method::PUT, path), format!("PUT {noted}"), "{path}");
        }
        let long = what(&Method::PUT, &format!("/services/{}é", "a".repeat(10_000)));
        assert!(long.len() < NOTED + 5 && long.ends_with('…'), "{long}");
    }
}
