//! One admin write, decided against the configuration right before it: parse →
//! check → does everything it points at exist, is every name free.
//!
//! Without a database entities do not change one by one: [`Draft::open`] is where
//! that is said. Whether the engine would serve the result is asked afterwards,
//! by [`crate::commit`], of the whole configuration.

use std::ops::Deref;

use model::encode::MAX_ENTITY_BYTES;
use model::entities::Visit;
use model::entity::foreign_keys;
use model::id::{Key, parse_hyphenated};
use model::references::{self, Dangling, Taken};
use model::schema::{self, Object, Said, to_object};
use model::value::Timestamp;
use model::violation::Violations;
use model::vitals::Problem;
use model::{Config, Entity, EntityKind, Id, Terms};
use serde_json::Value;
use uuid::Uuid;

/// The configuration a write is decided against. It is read as it is, and opened to be changed.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    config: &'a mut Config,
    is_kept: bool,
    terms: Terms,
}

/// What is done to an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// In Kong's words, such as `create or update`.
    pub(crate) verb: &'static str,
    /// To what.
    pub(crate) kind: EntityKind,
    /// The unique field the URL calls it by, unless that is its id.
    pub(crate) by: Option<&'static str>,
}

impl Operation {
    fn by_id<E: Entity>(verb: &'static str) -> Self {
        Self { verb, kind: E::KIND, by: None }
    }

    fn by<E: Entity>(verb: &'static str, key: &Key) -> Self {
        let by = E::ENDPOINT_KEY.filter(|_| matches!(key, Key::Name(_)));
        Self { by, ..Self::by_id::<E>(verb) }
    }
}

impl<'a> Draft<'a> {
    /// A draft of this configuration, whose changes are kept if there is a database.
    pub(crate) fn new(config: &'a mut Config, is_kept: bool, terms: Terms) -> Self {
        Self { config, is_kept, terms }
    }

    /// What a write changes, once it is known to be well-formed. Without a database it comes to
    /// nothing, and Kong looks no further: not for a name that is taken, nor for who would be orphaned.
    fn open(&mut self, operation: Operation) -> Result<&mut Config, Refusal> {
        if self.is_kept { Ok(self.config) } else { Err(Refusal::Unsupported(operation)) }
    }
}

impl Deref for Draft<'_> {
    type Target = Config;

    fn deref(&self) -> &Config {
        self.config
    }
}

/// Why a write changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The schema does not take it.
    Invalid(Violations),
    /// It is to be created, but its id is in use.
    IdInUse(Uuid),
    /// How long it is to last is not what something can last.
    NotATtl(String),
    /// A unique value is in use.
    Taken(Taken),
    /// It points at nothing.
    Dangling(Dangling),
    /// It points at something by a name nobody has.
    Unresolved(Vec<Unresolved>),
    /// It is to be deleted, but something points at it.
    Referenced {
        /// What was to be deleted.
        kind: EntityKind,
        /// What points.
        by: EntityKind,
    },
    /// It is to be deleted, but services name it among others.
    InUse {
        /// The authority.
        authority: Uuid,
        /// A service that trusts it.
        service: Uuid,
    },
    /// It is to be updated, but is not there.
    Missing(Named),
    /// Something the URL names is not there.
    NotFound,
    /// The engine would not serve it.
    Unservable(Vec<Problem>),
    /// There is no database to keep it.
    Unsupported(Operation),
    /// The document is not a configuration, or not one the engine would serve.
    Document(Violations),
}

/// An entity as a client called it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// By id.
    Id(Uuid),
    /// By a unique field.
    Key(&'static str, String),
}

/// A reference by a unique field that nobody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    /// The referring field, such as `service`.
    pub(crate) field: &'static str,
    /// The unique field that was given, such as `name`.
    pub(crate) by: &'static str,
    /// Its value.
    pub(crate) value: String,
    /// What it should refer to.
    pub(crate) kind: EntityKind,
}

/// The entity a URL segment names.
pub(crate) fn find<'a, E: Entity>(config: &'a Config, key: &Key) -> Option<&'a E> {
    match key {
        Key::Id(id) => config.get(Id::from(*id)),
        Key::Name(name) => E::by_key(config, name),
    }
}

/// What a foreign key of this entity points at.
pub(crate) fn target_of<E: Entity>(entity: &E, field: &str) -> Option<Uuid> {
    let mut found = None;
    entity.visit_references(&mut |name, target| {
        if name == field {
            found = Some(target);
        }
    });
    found
}

/// POST: a new entity.
pub(crate) fn create<E: Entity>(
    draft: &mut Draft<'_>,
    now: Timestamp,
    body: Object,
) -> Result<E, Refusal> {
    add(draft, now, body, Operation::by_id::<E>("create"))
}

fn add<E: Entity>(
    draft: &mut Draft<'_>,
    now: Timestamp,
    mut body: Object,
    operation: Operation,
) -> Result<E, Refusal> {
    resolve::<E>(draft, &mut body)?;
    let entity = parse::<E>(draft, &body.clone(), body, now)?;
    let config = draft.open(operation)?;
    if config.get(entity.id()).is_some() {
        return Err(Refusal::IdInUse(entity.id().uuid()));
    }
    admit(config, entity)
}

/// PUT: what the URL names becomes what the body says, and nothing of what it was remains: absent
/// fields, `created_at` among them, start anew. The URL's id or key wins over the body's.
pub(crate) fn replace<E: Entity>(
    draft: &mut Draft<'_>,
    now: Timestamp,
    key: &Key,
    mut body: Object,
) -> Result<E, Refusal> {
    let operation = Operation::by::<E>("create or update", key);
    let existing = find::<E>(draft, key).map(E::id);
    if let (Key::Name(name), Some(field)) = (key, E::ENDPOINT_KEY) {
        body.insert(field.to_owned(), name.as_str().into());
    }
    let id = match key {
        Key::Id(id) => Some(*id),
        Key::Name(_) => existing.map(Id::uuid),
    };
    match id {
        Some(id) => {
            body.insert("id".to_owned(), id.to_string().into());
            resolve::<E>(draft, &mut body)?;
            let entity = parse::<E>(draft, &body.clone(), body, now)?;
            admit(draft.open(operation)?, entity)
        }
        None => add(draft, now, body, operation),
    }
}

/// PATCH: lays the body over the entity. Without one, says how it was called.
pub(crate) fn merge<E: Entity>(
    draft: &mut Draft<'_>,
    now: Timestamp,
    key: &Key,
    mut body: Object,
) -> Result<E, Refusal> {
    let current = find::<E>(draft, key).ok_or_else(|| Refusal::Missing(named::<E>(key)))?;
    keep_id(current, &mut body)?;
    resolve::<E>(draft, &mut body)?;
    let merged =
        schema::merge(E::SCHEMA, draft.terms, to_object(current, draft.terms), body.clone());
    let entity = parse::<E>(draft, &body, merged, now).map_err(when_updating)?;
    admit(draft.open(Operation::by::<E>("update", key))?, entity)
}

/// The same of an entity whose kind is told at run time.
pub(crate) fn link(
    draft: &mut Draft<'_>,
    now: Timestamp,
    kind: EntityKind,
    key: &Key,
    body: Object,
) -> Result<(), Refusal> {
    struct Link<'a, 'd>(&'a mut Draft<'d>, Timestamp, &'a Key, Object);
    impl Visit for Link<'_, '_> {
        type Output = Result<(), Refusal>;
        fn visit<E: Entity>(self) -> Self::Output {
            merge::<E>(self.0, self.1, self.2, self.3).map(drop)
        }
    }
    kind.visit(Link(draft, now, key, body))
}

/// DELETE: the entity and what cascades from it. One that is not there is gone already.
pub(crate) fn delete<E: Entity>(draft: &mut Draft<'_>, key: &Key) -> Result<(), Refusal> {
    let Some(id) = find::<E>(draft, key).map(E::id) else { return Ok(()) };
    let config = draft.open(Operation::by::<E>("remove", key))?;
    let doomed = references::deletion(config, E::KIND, id.uuid())
        .map_err(|restricted| Refusal::Referenced { kind: E::KIND, by: restricted.by })?;
    for (kind, id) in doomed {
        config.delete(kind, id);
    }
    Ok(())
}

/// What the server fills in, what follows from what the client `said`, then the schema.
fn parse<E: Entity>(
    draft: &Draft<'_>,
    said: &Object,
    mut body: Object,
    now: Timestamp,
) -> Result<E, Refusal> {
    schema::stamp(E::SCHEMA, draft.terms, &mut body, now);
    let ttl = E::SCHEMA.begin_ttl(said, &mut body, now);
    ttl.map_err(|invalid| Refusal::NotATtl(invalid.0))?;
    let said = Said { fields: said, is_plain: true };
    schema::settle(E::SCHEMA, said, &mut body).map_err(Refusal::Invalid)?;
    schema::check_in(draft.terms, Value::Object(body)).map_err(Refusal::Invalid)
}

fn when_updating(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Invalid(violations) => Refusal::Invalid(violations.when_updating()),
        other => other,
    }
}

/// The entity joins the configuration if it fits.
fn admit<E: Entity>(config: &mut Config, entity: E) -> Result<E, Refusal> {
    if let Some(taken) = references::taken(config, &entity) {
        return Err(Refusal::Taken(taken));
    }
    if let Some(dangling) = references::dangling(config, &entity).into_iter().next() {
        return Err(Refusal::Dangling(dangling));
    }
    entity.misfit(config).or(()).map_err(Refusal::Invalid)?;
    match config.write(entity.clone()).len() {
        0..=MAX_ENTITY_BYTES => Ok(entity),
        length => Err(Refusal::Invalid(Violations::entity(format!(
            "the entity takes {length} bytes; at most {MAX_ENTITY_BYTES} are possible"
        )))),
    }
}

/// An id is for ever: a PATCH may repeat it, but not change it.
fn keep_id<E: Entity>(current: &E, body: &mut Object) -> Result<(), Refusal> {
    let Some(given) = body.get("id") else { return Ok(()) };
    match given.as_str().and_then(parse_hyphenated) {
        Some(id) if id != current.id().uuid() => Err(Refusal::Missing(Named::Id(id))),
        None if given.is_null() => {
            Err(Refusal::Invalid(Violations::field("id", "required field missing")))
        }
        _ => Ok(()),
    }
}

fn named<E: Entity>(key: &Key) -> Named {
    match key {
        Key::Id(id) => Named::Id(*id),
        Key::Name(name) => {
            Named::Key(E::key_field().map_or("id", |field| field.name), name.clone())
        }
    }
}

/// Replaces references by a unique field (`{"name": "x"}`) with references by id.
fn resolve<E: Entity>(config: &Config, body: &mut Object) -> Result<(), Refusal> {
    let mut unresolved = Vec::new();
    for key in foreign_keys(E::SCHEMA.fields) {
        let Some(Value::Object(given)) = body.get_mut(key.field) else { continue };
        if given.get("id").and_then(Value::as_str).is_some_and(|id| parse_hyphenated(id).is_some())
        {
            continue;
        }
        match key.target.visit(Resolve { config, given }) {
            None => {}
            Some(Ok(id)) => {
                given.insert("id".to_owned(), id.to_string().into());
            }
            Some(Err((by, value))) => {
                unresolved.push(Unresolved { field: key.field, by, value, kind: key.target });
            }
        }
    }
    if unresolved.is_empty() { Ok(()) } else { Err(Refusal::Unresolved(unresolved)) }
}

struct Resolve<'a> {
    config: &'a Config,
    given: &'a Object,
}

impl Visit for Resolve<'_> {
    /// Nothing if no unique field is given.
    type Output = Option<Result<Uuid, (&'static str, String)>>;

    fn visit<E: Entity>(self) -> Self::Output {
        let unique = E::SCHEMA.fields.iter().filter(|field| field.unique);
        let mut given =
            unique.filter_map(|field| Some((field.name, self.given.get(field.name)?.as_str()?)));
        let (field, value) = given.next()?;
        let found = self.config.all::<E>().by_unique(field, value);
        Some(found.map(|entity| entity.id().uuid()).ok_or_else(|| (field, value.to_owned())))
    }
}
