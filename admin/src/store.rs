//! What outlives the process: entities, the revision log, and the cluster's
//! identity, changed together or not at all.
//!
//! Only the bytes of an entity count; its other columns serve people and
//! constraints. What is read back must have the hash that was last written.

mod log; // the head, the steps to it, and who made them
mod sql; // statement text per entity
mod sqlite; // the file, the connection, migrations

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use boring::error::ErrorStack;
use bytes::Bytes;
use model::delta::{self, Delta, Touched};
use model::encode::{ContentHash, DecodeError};
use model::revision::Signature;
use model::value::Timestamp;
use model::{Config, EntityKind, Revision, RevisionId};
use sqlx::{AssertSqlSafe, Connection, Row, Sqlite, SqliteConnection, Transaction};
use uuid::Uuid;

use crate::signing::SigningKey;
use sql::{Cell, Statements};

/// How much of the past is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// How many steps between revisions, at least 1.
    pub(crate) revisions: u64,
    /// How long it is known who made a revision.
    pub(crate) audit: Duration,
}

/// Who makes a revision, and how.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    /// The client's address, or `gateway` itself.
    pub(crate) who: Arc<str>,
    /// The request, or the reason.
    pub(crate) what: Arc<str>,
}

/// The database. One of these writes; everything is read at start.
pub(crate) struct Store {
    path: PathBuf,
    keep: Keep,
    busy: Duration,
    statements: Vec<(EntityKind, Statements)>,
    /// None after an error: a connection that failed is not trusted again.
    db: Option<SqliteConnection>,
}

/// Where a history goes on: what its keeper has, and the keeper, by default the database.
pub(crate) struct Opened<K = Store> {
    pub(crate) keeper: K,
    /// The newest revision, signed.
    pub(crate) head: Arc<Revision>,
    /// The steps to it that are kept, oldest first.
    pub(crate) steps: Vec<Touched>,
    /// The cluster's key, which signs revisions.
    pub(crate) key: SigningKey,
    /// This control plane's id.
    pub(crate) node_id: Uuid,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or opened.
    #[error("the file cannot be opened for writing")]
    File(#[source] io::Error),
    /// Another program's file.
    #[error("it is a database of another program")]
    NotOurs,
    /// A later version of this program was here.
    #[error(
        "a newer version of this program wrote it: its schema is {found}, this one knows {known}"
    )]
    Newer {
        /// Migrations it has seen.
        found: i64,
        /// Migrations there are.
        known: usize,
    },
    /// SQLite refuses.
    #[error("it cannot be read")]
    Sqlite(#[from] sqlx::Error),
    /// The log cannot be read or written.
    #[error("its revision log cannot be used")]
    Log(#[from] StoreError),
    /// A row is not an entity.
    #[error("it is damaged; restore a backup")]
    Entity(#[from] DecodeError),
    /// Rows were lost or changed behind our back.
    #[error(
        "it is damaged: its content has hash {found}, but revision {head} was written; restore a backup"
    )]
    Content {
        /// What was written last.
        head: RevisionId,
        /// What is there.
        found: ContentHash,
    },
    /// The log ends elsewhere.
    #[error("it is damaged: its revision log does not end at revision {0}; restore a backup")]
    Ending(RevisionId),
    /// The cluster's key or the node's id has the wrong length.
    #[error("it is damaged: `{0}` in `identity` cannot be read; restore a backup")]
    Identity(&'static str),
    /// The cluster's key cannot be made or used.
    #[error("the key that signs revisions cannot be used")]
    Key(#[from] ErrorStack),
}

/// Why a write was not kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refuses: the disk is full, the file is locked or gone.
    #[error("the database did not take it")]
    Sqlite(#[from] sqlx::Error),
    /// Another process writes to the database.
    #[error("the head of the database is not {expected}: another process writes to it")]
    Moved {
        /// Where this process left it.
        expected: RevisionId,
    },
    /// A logged step is not what was written.
    #[error("the step to revision {id} in the log cannot be read")]
    Unreadable {
        /// Where it leads.
        id: RevisionId,
    },
}

impl StoreError {
    /// Whether the trouble is with this write alone, such as a broken constraint.
    fn is_about_one_write(&self) -> bool {
        use sqlx::error::ErrorKind::Other;
        matches!(self, StoreError::Sqlite(sqlx::Error::Database(error)) if !matches!(error.kind(), Other))
    }
}

impl Store {
    /// Opens the database, brings it up to date and reads it. A new one gets its identity, and the
    /// first revision: an empty one.
    pub(crate) async fn open(path: &Path, keep: Keep, now: Timestamp) -> Result<Opened, OpenError> {
        sqlite::create(path).map_err(OpenError::File)?;
        let busy = sqlite::BUSY_TIMEOUT;
        let mut db = sqlite::connect(path, busy).await?;
        sqlite::migrate(&mut db).await?;
        let (key, node_id) = identify(&mut db).await?;
        let statements =
            EntityKind::ALL.iter().map(|kind| (*kind, Statements::of(*kind))).collect();
        let mut store = Store { path: path.to_owned(), keep, busy, statements, db: Some(db) };
        let head = match store.load(&key).await? {
            Some(head) => head,
            None => store.found(&key, now).await?,
        };
        let steps = store.steps(head.id).await?;
        Ok(Opened { keeper: store, head: Arc::new(head), steps, key, node_id })
    }

    /// Begins to write a group of revisions.
    pub(crate) async fn begin(&mut self) -> Result<Group<'_>, StoreError> {
        let db = match self.db.take() {
            Some(db) => db,
            None => sqlite::connect(&self.path, self.busy).await?,
        };
        let tx = self.db.insert(db).begin_with("begin immediate").await?;
        Ok(Group { tx, statements: &self.statements, keep: self.keep })
    }

    /// Lets go of a connection that failed: the next group opens another.
    pub(crate) async fn reset(&mut self) {
        if let Some(db) = self.db.take() {
            let _ = db.close_hard().await; // whatever it says, it is not used again
        }
    }

    /// Which revision the database has.
    pub(crate) async fn head(&mut self) -> Result<Option<RevisionId>, StoreError> {
        let db = match self.db.take() {
            Some(db) => db,
            None => sqlite::connect(&self.path, self.busy).await?,
        };
        log::head(self.db.insert(db)).await
    }

    /// Whether the database answers.
    pub(crate) async fn is_reachable(&mut self) -> bool {
        self.head().await.is_ok()
    }

    /// Closes the database. Everything committed is already on the disk.
    pub(crate) async fn close(self) {
        if let Some(db) = self.db {
            let _ = db.close().await;
        }
    }

    /// The newest revision, if there ever was one.
    pub(crate) async fn load(&mut self, key: &SigningKey) -> Result<Option<Revision>, OpenError> {
        let Some(db) = &mut self.db else { return Ok(None) };
        // Within one transaction all tables are of one moment.
        let mut tx = db.begin().await?;
        let Some(id) = log::head(&mut tx).await? else { return Ok(None) };
        let mut config = Config::default();
        for (kind, statements) in &self.statements {
            let rows = sqlx::query(AssertSqlSafe(Arc::clone(&statements.load)));
            for row in rows.fetch_all(&mut *tx).await? {
                let id = Uuid::from_slice(row.try_get("id")?).unwrap_or_default();
                let bytes = Bytes::copy_from_slice(row.try_get("bytes")?);
                config.put(*kind, id, bytes)?;
            }
        }
        if config.hash() != id.hash {
            return Err(OpenError::Content { head: id, found: config.hash() });
        }
        if log::last(&mut tx).await?.is_none_or(|step| step.id != id) {
            return Err(OpenError::Ending(id));
        }
        Ok(Some(Revision { id, signature: Some(key.sign(&id)?), config }))
    }

    async fn steps(&mut self, head: RevisionId) -> Result<Vec<Touched>, StoreError> {
        match &mut self.db {
            Some(db) => log::touched(db, head, self.keep.revisions).await,
            None => Ok(Vec::new()),
        }
    }

    /// Writes the first revision of all.
    async fn found(&mut self, key: &SigningKey, now: Timestamp) -> Result<Revision, OpenError> {
        let nothing = Revision::default();
        let id = RevisionId { epoch: 1, version: 1, ..nothing.id };
        let signature = key.sign(&id)?;
        let first = Revision { id, signature: Some(signature), config: Config::default() };
        let by = Author { who: "gateway".into(), what: "a new database".into() };
        let mut group = self.begin().await?;
        group.append(&nothing, &first, signature, &by, now).await?;
        group.commit(now).await?;
        Ok(first)
    }
}

/// Revisions that are written in one transaction, each on top of the one before.
pub(crate) struct Group<'a> {
    tx: Transaction<'a, Sqlite>,
    statements: &'a [(EntityKind, Statements)],
    keep: Keep,
}

/// What became of one write of a group.
#[derive(Debug)]
pub(crate) enum Appended {
    /// It is part of the group.
    Yes,
    /// It left no trace; the group goes on without it.
    No(StoreError),
}

impl Group<'_> {
    /// Adds the step from `from` to `to`.
    ///
    /// # Errors
    /// If the whole group is lost.
    pub(crate) async fn append(
        &mut self,
        from: &Revision,
        to: &Revision,
        signature: Signature,
        by: &Author,
        at: Timestamp,
    ) -> Result<Appended, StoreError> {
        let step = Delta::between(from, to);
        let mut one = self.tx.begin().await?;
        let written = async {
            write(&mut one, self.statements, &step, &to.config).await?;
            log::advance(&mut one, &from.id, &to.id).await?;
            log::append(&mut one, &step, &signature).await?;
            log::audit(&mut one, &to.id, at, by).await
        };
        match written.await {
            Ok(()) => {
                one.commit().await?;
                Ok(Appended::Yes)
            }
            Err(error) if error.is_about_one_write() => {
                one.rollback().await?;
                Ok(Appended::No(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Puts the group on the disk.
    pub(crate) async fn commit(mut self, now: Timestamp) -> Result<(), StoreError> {
        let age = self.keep.audit.as_secs().try_into().unwrap_or(i64::MAX);
        let horizon = Timestamp::from_seconds(now.seconds().saturating_sub(age));
        log::fold(&mut self.tx, self.keep.revisions, horizon).await?;
        Ok(self.tx.commit().await?)
    }
}

/// Brings the entities' tables from one configuration to the next.
async fn write(
    db: &mut SqliteConnection,
    statements: &[(EntityKind, Statements)],
    step: &Delta,
    config: &Config,
) -> Result<(), StoreError> {
    // What goes may have the name of what comes, and what changes that of another that does.
    let goes = |change: &&delta::Change| change.bytes.is_none() || step.changes.len() > 1;
    for change in step.changes.iter().filter(goes) {
        if let Some((_, statements)) = of_kind(statements, change) {
            delete_row(db, statements, change.id).await?;
        }
    }
    for change in step.changes.iter().filter(|change| change.bytes.is_some()) {
        if let Some((kind, statements)) = of_kind(statements, change) {
            write_row(db, *kind, statements, change, config).await?;
        }
    }
    Ok(())
}

fn of_kind<'a>(
    statements: &'a [(EntityKind, Statements)],
    change: &delta::Change,
) -> Option<&'a (EntityKind, Statements)> {
    statements.iter().find(|(kind, _)| change.kind == (*kind).into())
}

async fn delete_row(
    db: &mut SqliteConnection,
    statements: &Statements,
    id: Uuid,
) -> Result<(), StoreError> {
    let delete = sqlx::query(AssertSqlSafe(Arc::clone(&statements.delete)));
    delete.bind(&id.as_bytes()[..]).execute(db).await?;
    Ok(())
}

async fn write_row(
    db: &mut SqliteConnection,
    kind: EntityKind,
    statements: &Statements,
    change: &delta::Change,
    config: &Config,
) -> Result<(), StoreError> {
    let id = &change.id.as_bytes()[..];
    let cells = statements.cells(config, kind, change.id);
    let (Some(bytes), Some(cells)) = (&change.bytes, cells) else { return Ok(()) };
    let mut put = sqlx::query(AssertSqlSafe(Arc::clone(&statements.put))).bind(id);
    for cell in cells {
        put = match cell {
            Cell::Text(text) => put.bind(text),
            Cell::Id(id) => put.bind(id.as_bytes().to_vec()),
            Cell::Null => put.bind(None::<String>),
        };
    }
    put.bind(&bytes[..]).execute(db).await?;
    Ok(())
}

/// Reads the cluster's key and this control plane's id, and makes them where there are none.
async fn identify(db: &mut SqliteConnection) -> Result<(SigningKey, Uuid), OpenError> {
    let seed = once(db, "signing_key", &SigningKey::new_seed()?).await?;
    let seed = seed.try_into().map_err(|_| OpenError::Identity("signing_key"))?;
    let node_id = once(db, "node_id", Uuid::new_v4().as_bytes()).await?;
    let node_id = Uuid::from_slice(&node_id).map_err(|_| OpenError::Identity("node_id"))?;
    Ok((SigningKey::from_seed(&seed)?, node_id))
}

/// The value of this name, which is `fresh` if there was none.
async fn once(
    db: &mut SqliteConnection,
    name: &'static str,
    fresh: &[u8],
) -> Result<Vec<u8>, sqlx::Error> {
    sqlx::query("insert or ignore into identity (name, value) values (?, ?)")
        .bind(name)
        .bind(fresh)
        .execute(&mut *db)
        .await?;
    sqlx::query_scalar("select value from identity where name = ?").bind(name).fetch_one(db).await
}

#[cfg(test)]
mod tests;
