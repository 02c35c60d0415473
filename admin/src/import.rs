//! The configuration as a file, into the database and out of it, with no server around.
//!
//! A document is laid over what there is: what it has is written, what it does not have stays. That makes
//! one revision, by way of the committer like any other write, or changes nothing.

use std::sync::Arc;

use model::declarative::{self, DeclarativeError, Document};
use model::encode::MAX_ENTITY_BYTES;
use model::entities::Visit;
use model::references::{self, Taken};
use model::schema::to_object;
use model::value::Timestamp;
use model::vitals::Problem;
use model::{Config, Entity, EntityKind, RevisionId, Terms};
use serde_json::Value;

use crate::commit::keeper::Kept;
use crate::commit::{Committer, Failure};
use crate::store::Author;
use crate::write::Refusal;
use crate::{Options, StartError, Storage, open};

/// What came of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The revision that has it.
    pub revision: RevisionId,
    /// How many entities it has.
    pub entities: usize,
    /// Whether it changed anything, so that the revision is a new one.
    pub is_new: bool,
}

/// Why a document does not get into the database, or out of it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The configuration is kept nowhere.
    #[error("there is no database")]
    NoDatabase,
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] StartError),
    /// The engine would not serve the result, or what must be an entity's own is another's already.
    #[error(transparent)]
    Document(#[from] DeclarativeError),
    /// The database did not take it.
    #[error("the database did not take it, and the log says why; nothing was written")]
    NotKept,
}

/// Lays a document over what is in the database that `options` name, as one revision or not at all.
/// `read_at` is the time it was read at, when all was created that does not say otherwise; `who`
/// is told to those who ask who did it.
pub async fn import(
    options: &Options,
    document: Document,
    read_at: Timestamp,
    who: &str,
) -> Result<Imported, FileError> {
    let kept = kept(options).await?;
    let (before, entities) = (kept.head.id, document.config.len());
    let (committer, revisions, closed) =
        Committer::start(kept, Arc::clone(&options.judge), options.clock.clone())
            .map_err(StartError::Thread)?;
    let author = Author { who: who.into(), what: "config db_import".into() };
    let terms = options.terms();
    let laid = committer.lay(author, document, move |config, document| {
        Over { terms, read_at }.lay(config, document)
    });
    let laid = laid.await;
    drop(committer); // with it goes the last of the queue
    let _ = closed.await;
    match laid {
        Ok(()) => {
            let revision = revisions.borrow().id;
            Ok(Imported { revision, entities, is_new: revision != before })
        }
        Err(Failure::Refused(Refusal::Document(violations))) => {
            Err(DeclarativeError::Invalid(violations).into())
        }
        Err(Failure::Refused(_) | Failure::NotKept | Failure::Unavailable) => {
            Err(FileError::NotKept)
        }
    }
}

/// What is in the database, as a document.
pub async fn export(options: &Options) -> Result<String, FileError> {
    let kept = kept(options).await?;
    let text = declarative::export(&kept.head.config, options.terms());
    kept.keeper.close().await;
    Ok(text)
}

async fn kept(options: &Options) -> Result<Kept, FileError> {
    match &options.storage {
        Storage::Nowhere(_) => Err(FileError::NoDatabase),
        Storage::Sqlite(_) | Storage::Postgres(_) => Ok(open(options).await?),
    }
}

/// How entities are laid over others.
#[derive(Clone, Copy)]
struct Over {
    terms: Terms,
    read_at: Timestamp,
}

impl Over {
    /// All of a document, or everything that is wrong with it here.
    fn lay(self, config: &mut Config, document: &Config) -> Result<(), Vec<Problem>> {
        let before = config.clone();
        // First what makes room: a name may go from one entity of the document to another.
        EntityKind::ALL.iter().for_each(|kind| kind.visit(Lift { config, document }));
        let mut problems = Vec::new();
        for kind in EntityKind::ALL {
            let found = Lay { over: self, before: &before, config, document };
            problems.extend(kind.visit(found));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Whether nothing but the time would change.
    fn is_the_same<E: Entity>(self, old: &E, new: &E) -> bool {
        let (mut old, new) = (to_object(old, self.terms), to_object(new, self.terms));
        for (name, value) in &new {
            let is_unsaid = match name.as_str() {
                "updated_at" => true,
                // Times of some kinds have fractions.
                "created_at" => seconds(value) == Some(self.read_at.seconds()),
                _ => false,
            };
            if is_unsaid {
                old.insert(name.clone(), value.clone());
            }
        }
        old == new
    }
}

fn seconds(value: &Value) -> Option<i64> {
    value.as_f64().map(|seconds| seconds as i64)
}

/// Takes away what a document has another version of.
struct Lift<'a> {
    config: &'a mut Config,
    document: &'a Config,
}

impl Visit for Lift<'_> {
    type Output = ();

    fn visit<E: Entity>(self) {
        for entity in self.document.all::<E>().iter() {
            self.config.remove(entity.id());
        }
    }
}

/// Writes the entities of one kind.
struct Lay<'a> {
    over: Over,
    before: &'a Config,
    config: &'a mut Config,
    document: &'a Config,
}

impl Visit for Lay<'_> {
    type Output = Vec<Problem>;

    fn visit<E: Entity>(self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for entity in self.document.all::<E>().iter() {
            let found = self.before.get(entity.id());
            let entity = found.filter(|old| self.over.is_the_same(*old, entity)).unwrap_or(entity);
            if let Some(Taken { fields, by }) = references::taken(self.config, entity) {
                let set = |(field, value): (&str, Value)| match value {
                    Value::String(text) => format!("{field} set to '{text}'"),
                    other => format!("{field} set to {other}"),
                };
                let set: Vec<_> = fields.into_iter().map(set).collect();
                let message = format!(
                    "uniqueness violation: '{}' entity with {} is in the database already, as {by}",
                    E::KIND,
                    set.join(", ")
                );
                problems.push(Problem::of(E::KIND, entity.id(), "taken", message));
                continue;
            }
            let length = self.config.write(entity.clone()).len();
            if length > MAX_ENTITY_BYTES {
                let message = format!(
                    "the entity takes {length} bytes; at most {MAX_ENTITY_BYTES} are possible"
                );
                problems.push(Problem::of(E::KIND, entity.id(), "size", message));
            }
        }
        problems
    }
}
