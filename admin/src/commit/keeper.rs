//! Where revisions are kept before they are published: in the database, or
//! nowhere. Whoever decides does not know which.

use std::sync::Arc;

use boring::error::ErrorStack;
use model::revision::Signature;
use model::value::Timestamp;
use model::{Config, Revision, RevisionId};
use tokio::sync::watch;
use uuid::Uuid;

use crate::signing::SigningKey;
use crate::store::{Appended, Author, Group, News, Opened, Past, Reader, Store, StoreError, Tail};

/// What the committer hands its revisions to.
pub(crate) enum Keeper {
    /// The database.
    Store(Box<Store>),
    /// Nobody: a revision is gone with the process, and the next one begins with its document.
    Nobody,
}

/// What a committer starts from.
pub(crate) type Kept = Opened<Keeper>;

impl From<Opened> for Kept {
    fn from(Opened { keeper, head, steps, key, node_id }: Opened) -> Self {
        Self { keeper: Keeper::Store(Box::new(keeper)), head, steps, key, node_id }
    }
}

impl Kept {
    /// A history that begins here and now, with a key and a node id of its own.
    pub(crate) fn by_nobody(config: Config) -> Result<Self, ErrorStack> {
        let key = SigningKey::from_seed(&SigningKey::new_seed()?)?;
        let id = RevisionId { epoch: 1, version: 1, hash: config.hash() };
        let head = Revision { id, signature: Some(key.sign(&id)?), config };
        let (keeper, node_id) = (Keeper::Nobody, Uuid::new_v4());
        Ok(Self { keeper, head: Arc::new(head), steps: Vec::new(), key, node_id })
    }
}

/// A group of revisions on its way to the keeper.
pub(super) enum Keeping<'a> {
    Store(Group<'a>),
    Nobody,
}

impl Keeper {
    pub(super) async fn begin(&mut self) -> Result<Keeping<'_>, StoreError> {
        match self {
            Keeper::Store(store) => store.begin().await.map(Keeping::Store),
            Keeper::Nobody => Ok(Keeping::Nobody),
        }
    }

    /// What others tell when they write, where there are others.
    pub(crate) fn tail(&self) -> Option<(Tail, watch::Receiver<u64>)> {
        match self {
            Keeper::Store(store) => store.tail(),
            Keeper::Nobody => None,
        }
    }

    /// Has whatever carries what is said to a server be on this thread from now on.
    pub(super) async fn come_here(&mut self) {
        if let Keeper::Store(store) = self {
            store.come_here().await;
        }
    }

    /// Lets go of a connection that failed.
    pub(super) async fn reset(&mut self) {
        if let Keeper::Store(store) = self {
            store.reset().await;
        }
    }

    /// Which revision is kept, once nobody is writing any more.
    pub(super) async fn settled(
        &mut self,
        now: Timestamp,
    ) -> Result<Option<RevisionId>, StoreError> {
        let Keeper::Store(store) = self else { return Ok(None) };
        let group = store.begin().await?;
        let head = group.head();
        group.commit(now).await?;
        Ok(head)
    }

    /// What others wrote since `from`.
    pub(super) async fn news(
        &mut self,
        from: &Revision,
        key: &SigningKey,
    ) -> Result<News, StoreError> {
        match self {
            Keeper::Store(store) => store.news(from, key).await,
            Keeper::Nobody => Ok(News::None),
        }
    }

    /// Lets go of what is too old to be kept. Says whether there is more of it.
    pub(super) async fn tidy(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        match self {
            Keeper::Store(store) => store.begin().await?.tidy(now).await,
            Keeper::Nobody => Ok(false),
        }
    }

    /// What is asked whether the database, where there is one, answers.
    pub(crate) fn reader(&self) -> Option<Reader> {
        match self {
            Keeper::Store(store) => Some(store.reader()),
            Keeper::Nobody => None,
        }
    }

    /// The past, where it is kept.
    pub(crate) fn past(&self) -> Option<Past> {
        match self {
            Keeper::Store(store) => Some(store.past()),
            Keeper::Nobody => None,
        }
    }

    pub(crate) async fn close(self) {
        if let Keeper::Store(store) = self {
            store.close().await;
        }
    }
}

impl Keeping<'_> {
    /// What is kept, unless that is `here`.
    pub(super) async fn found(
        &mut self,
        here: &Revision,
        key: &SigningKey,
    ) -> Result<Option<Revision>, StoreError> {
        match self {
            Keeping::Store(group) if group.head() != Some(here.id) => {
                group.follow(here, key).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Adds the step from `from` to `to`.
    ///
    /// # Errors
    /// If the whole group is lost.
    pub(super) async fn append(
        &mut self,
        from: &Revision,
        to: &Revision,
        signature: Signature,
        by: &Author,
        at: Timestamp,
    ) -> Result<Appended, StoreError> {
        match self {
            Keeping::Store(group) => group.append(from, to, signature, by, at).await,
            Keeping::Nobody => Ok(Appended::Yes),
        }
    }

    /// Makes the group last.
    pub(super) async fn commit(self, now: Timestamp) -> Result<(), StoreError> {
        match self {
            Keeping::Store(group) => group.commit(now).await,
            Keeping::Nobody => Ok(()),
        }
    }
}
