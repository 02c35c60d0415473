//! What outlives the process: entities, the revision log, and the cluster's
//! identity, changed together or not at all.
//!
//! Only the bytes of an entity count; its other columns serve people and
//! constraints. What is read back must have the hash that was last written.

mod group; // what is written together
mod log; // the head, the steps to it, and who made them
mod history; // what the log tells of the past
mod sql; // statement text per entity
mod link; // a connection, whichever database it is to
mod reader; // one that reads beside the one that writes
mod sqlite; // the file
mod postgres; // the server
pub(crate) mod migrations; // what makes a database ours
mod place; // where it is, and what to do when it is not there
mod errors; // why it did not work

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::delta::Touched;
use model::value::Timestamp;
use model::{Config, EntityKind, Revision, RevisionId};
use tokio::sync::watch;
use uuid::Uuid;

use crate::guard::Caller;
use crate::signing::SigningKey;
pub(crate) use history::{Logged, Looked, Noted, Past, Rebuilt, Sizes};
use link::{Link, Value};
pub(crate) use place::Place;
use sql::Statements;

pub use errors::{OpenError, StoreError};
pub(crate) use group::{Appended, Group};
pub use link::DatabaseError;
pub(crate) use postgres::tail::Tail;
pub use postgres::{Postgres, PostgresTls};
pub(crate) use reader::Reader;

/// Under which name `identity` has the seed of the key that signs revisions.
const SIGNING_KEY: &str = "signing_key";

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
    /// A client, or `gateway` itself.
    pub(crate) who: Who,
    /// The request, or the reason.
    pub(crate) what: Arc<str>,
}

/// The name of who makes a revision, as which it is read, and where from.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    name: Arc<str>,
    from: Option<IpAddr>,
}

impl Who {
    /// The client's address; none for what the gateway does by itself.
    pub(crate) fn address(&self) -> Option<String> {
        self.from.map(|address| address.to_string())
    }
}

impl Deref for Who {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl From<&str> for Who {
    fn from(name: &str) -> Self {
        Self { name: name.into(), from: None }
    }
}

impl From<&Caller> for Who {
    fn from(caller: &Caller) -> Self {
        Self { name: Arc::clone(&caller.who), from: Some(caller.from) }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The database. One of these writes; everything is read at start, and the past by [`Past`].
pub(crate) struct Store {
    place: Place,
    keep: Keep,
    statements: Vec<(EntityKind, Statements)>,
    /// None after an error: a connection that failed is not trusted again.
    link: Option<Link>,
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

/// What others wrote.
pub(crate) enum News {
    /// Nothing.
    None,
    /// Where it led.
    Head(Box<Revision>),
    /// What was there is gone: the database is an older copy of itself.
    Restored,
}

impl Store {
    /// Opens the database, brings it up to date if that is for us to do, and reads it. A new one gets
    /// its identity, and the first revision: an empty one.
    pub(crate) async fn open(
        mut place: Place,
        keep: Keep,
        now: Timestamp,
    ) -> Result<Opened, OpenError> {
        let mut link = Box::pin(place.open()).await?;
        let (key, node_id) = identify(&mut link).await?;
        place.is_of(&key);
        let statements =
            EntityKind::ALL.iter().map(|kind| (*kind, Statements::of(*kind))).collect();
        let mut store = Store { place, keep, statements, link: Some(link) };
        let head = match Box::pin(store.load(&key)).await? {
            Some(head) => head,
            None => Box::pin(store.found(&key, now)).await?,
        };
        let mut link = store.link().await?;
        let steps = log::touched(&mut link, head.id, keep.revisions).await?;
        store.link = Some(link);
        Ok(Opened { keeper: store, head: Arc::new(head), steps, key, node_id })
    }

    /// Lets go of a connection that failed: whoever needs one next opens another.
    pub(crate) async fn reset(&mut self) {
        if let Some(link) = self.link.take() {
            link.abandon().await;
        }
    }

    /// Ends a session with a server that is carried by another runtime than this one: the next is not.
    pub(crate) async fn come_here(&mut self) {
        if let Some(link) = self.link.take_if(|link| matches!(link, Link::Postgres(_))) {
            link.close().await;
        }
    }

    /// Another connection, to be asked whether the database answers.
    pub(crate) fn reader(&self) -> Reader {
        Reader::new(self.place.again())
    }

    /// The past, over connections of its own.
    pub(crate) fn past(&self) -> Past {
        Past::new(self.reader(), self.place.replica().map(Reader::new))
    }

    /// Closes the database. Everything committed is already on the disk.
    pub(crate) async fn close(self) {
        if let Some(link) = self.link {
            link.close().await;
        }
    }

    /// What others tell when they write, where there are others.
    pub(crate) fn tail(&self) -> Option<(Tail, watch::Receiver<u64>)> {
        self.place.tail()
    }

    /// What others wrote since `from`, which is where we are.
    pub(crate) async fn news(
        &mut self,
        from: &Revision,
        key: &SigningKey,
    ) -> Result<News, StoreError> {
        let mut link = self.link().await?;
        if log::head(&mut link).await? == Some(from.id) {
            self.link = Some(link);
            return Ok(News::None);
        }
        link.begin_reading().await?;
        let news = match log::head(&mut link).await? {
            Some(head) if head.position() > from.id.position() => {
                News::Head(Box::new(follow(&mut link, &self.statements, from, key).await?))
            }
            Some(head) if head == from.id => News::None,
            _ => News::Restored,
        };
        link.commit().await?;
        self.link = Some(link);
        Ok(news)
    }

    /// The newest revision, if there ever was one.
    async fn load(&mut self, key: &SigningKey) -> Result<Option<Revision>, OpenError> {
        let mut link = self.link().await?;
        // Within one transaction all tables are of one moment.
        link.begin_reading().await?;
        let found = load(&mut link, &self.statements, key).await?;
        link.commit().await?;
        self.link = Some(link);
        Ok(found)
    }

    /// Writes the first revision of all, unless another node was faster.
    async fn found(&mut self, key: &SigningKey, now: Timestamp) -> Result<Revision, OpenError> {
        let nothing = Revision::default();
        let id = RevisionId { epoch: 1, version: 1, ..nothing.id };
        let signature = key.sign(&id)?;
        let first = Revision { id, signature: Some(signature), config: Config::default() };
        let by = Author { who: "gateway".into(), what: "a new database".into() };
        let mut group = self.begin().await?;
        match group.append(&nothing, &first, signature, &by, now).await {
            Ok(_) => group.commit(now).await?,
            Err(StoreError::Moved { .. }) => {
                drop(group);
                return self.load(key).await?.ok_or(OpenError::Ending(id));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(first)
    }

    /// The connection, which is ours until it is put back.
    async fn link(&mut self) -> Result<Link, StoreError> {
        match self.link.take().filter(|link| !link.is_closed()) {
            Some(link) => Ok(link),
            None => self.place.connect().await,
        }
    }
}

/// The newest revision, if there ever was one.
async fn load(
    link: &mut Link,
    statements: &[(EntityKind, Statements)],
    key: &SigningKey,
) -> Result<Option<Revision>, OpenError> {
    let Some(id) = log::head(link).await? else { return Ok(None) };
    if cluster(link).await? != Some(key.public()) {
        return Err(StoreError::Replaced.into());
    }
    let mut config = Config::default();
    for (kind, statements) in statements {
        for row in link.query(&statements.load, &[]).await? {
            config.put(*kind, row.id("id")?, Bytes::copy_from_slice(row.bytes("bytes")?))?;
        }
    }
    if config.hash() != id.hash {
        return Err(OpenError::Content { head: id, found: config.hash() });
    }
    if log::last(link).await?.is_none_or(|step| step.id != id) {
        return Err(OpenError::Ending(id));
    }
    Ok(Some(Revision { id, signature: Some(key.sign(&id)?), config }))
}

/// Where the steps since `from` lead; without them, what all the tables have.
async fn follow(
    link: &mut Link,
    statements: &[(EntityKind, Statements)],
    from: &Revision,
    key: &SigningKey,
) -> Result<Revision, OpenError> {
    let steps = log::since(link, &from.id).await?;
    let followed = steps.iter().try_fold(from.clone(), |here, step| step.apply(&here));
    match followed {
        Ok(head) if !steps.is_empty() => Ok(head),
        _ => load(link, statements, key).await?.ok_or(OpenError::Ending(from.id)),
    }
}

/// Reads the cluster's key and this control plane's id, and makes them where there are none.
async fn identify(link: &mut Link) -> Result<(SigningKey, Uuid), OpenError> {
    let seed = once(link, SIGNING_KEY, &SigningKey::new_seed()?).await?;
    let seed = seed.try_into().map_err(|_| OpenError::Identity(SIGNING_KEY))?;
    let node_id = once(link, "node_id", Uuid::new_v4().as_bytes()).await?;
    let node_id = Uuid::from_slice(&node_id).map_err(|_| OpenError::Identity("node_id"))?;
    Ok((SigningKey::from_seed(&seed)?, node_id))
}

/// The value of this name, which is `fresh` if there was none.
async fn once(link: &mut Link, name: &'static str, fresh: &[u8]) -> Result<Vec<u8>, OpenError> {
    let insert = "insert into identity (name, value) values ($1, $2) on conflict do nothing";
    link.execute(insert, &[Value::Text(name), Value::Bytes(fresh)]).await?;
    told(link, name).await?.ok_or(OpenError::Identity(name))
}

/// The public half of the key that is there.
async fn cluster(link: &mut Link) -> Result<Option<[u8; 32]>, DatabaseError> {
    let seed = told(link, SIGNING_KEY).await?.and_then(|seed| seed.try_into().ok());
    Ok(seed.and_then(|seed| SigningKey::from_seed(&seed).ok()).map(|key| key.public()))
}

/// The value of this name.
async fn told(link: &mut Link, name: &str) -> Result<Option<Vec<u8>>, DatabaseError> {
    let row =
        link.first("select value from identity where name = $1", &[Value::Text(name)]).await?;
    row.map(|row| row.bytes("value").map(<[u8]>::to_vec)).transpose()
}

#[cfg(test)]
mod tests;
