//! What the log tells of the past: who made what, what changed, and how to go back.

use model::delta::{Change, Delta, apply};
use model::value::Timestamp;
use model::{Config, Revision};
use uuid::Uuid;

use super::{Store, StoreError, log};

/// Who made a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    /// Where in the log; rises with time.
    pub(crate) seq: i64,
    pub(crate) at: Timestamp,
    pub(crate) who: String,
    /// From which address.
    pub(crate) from: Option<String>,
    pub(crate) what: String,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    /// Whether the step to it is still there.
    pub(crate) is_kept: bool,
}

/// A step, and what leads back.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) step: Delta,
    /// None where an older version of this program wrote it.
    pub(crate) undo: Option<Vec<Change>>,
}

/// How much of the past there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Steps.
    pub(crate) revisions: u64,
    /// Bytes of what they changed.
    pub(crate) revision_bytes: u64,
    /// Revisions of which it is known who made them.
    pub(crate) notes: u64,
    /// Since when.
    pub(crate) notes_since: Option<Timestamp>,
    /// Bytes of the database.
    pub(crate) database_bytes: u64,
}

impl Noted {
    /// Where in history.
    pub(crate) fn position(&self) -> (u64, u64) {
        (self.epoch, self.version)
    }

    /// By which a list goes on.
    pub(crate) fn key(&self) -> Uuid {
        Uuid::from_u128(self.seq.unsigned_abs().into())
    }

    /// The place in the log that such a key stands for.
    pub(crate) fn place(key: Uuid) -> i64 {
        i64::try_from(key.as_u128()).unwrap_or(i64::MAX)
    }
}

impl Store {
    /// Who made the newest revisions, or the newest before this place in the log; newest first.
    pub(crate) async fn noted(
        &mut self,
        before: Option<i64>,
        most: usize,
    ) -> Result<Vec<Noted>, StoreError> {
        let mut link = self.link().await?;
        let found = log::noted(&mut link, before, most).await?;
        self.link = Some(link);
        Ok(found)
    }

    /// Who made this revision, if that is still known.
    pub(crate) async fn noted_at(
        &mut self,
        position: (u64, u64),
    ) -> Result<Option<Noted>, StoreError> {
        let mut link = self.link().await?;
        let found = log::noted_at(&mut link, position).await?;
        self.link = Some(link);
        Ok(found)
    }

    /// The step to this revision, if it is still kept.
    pub(crate) async fn step_to(
        &mut self,
        position: (u64, u64),
    ) -> Result<Option<Logged>, StoreError> {
        let mut link = self.link().await?;
        let found = log::step_to(&mut link, position).await?;
        self.link = Some(link);
        Ok(found)
    }

    /// The oldest revision that can be looked at.
    pub(crate) async fn oldest(&mut self) -> Result<Option<(u64, u64)>, StoreError> {
        let mut link = self.link().await?;
        let found = log::oldest(&mut link).await?;
        self.link = Some(link);
        Ok(found)
    }

    /// How much of the past there is.
    pub(crate) async fn sizes(&mut self) -> Result<Sizes, StoreError> {
        let mut link = self.link().await?;
        let found = log::sizes(&mut link).await?;
        self.link = Some(link);
        Ok(found)
    }

    /// What the revision at `position` was, found by going back from `head` one step at a time; none
    /// where some of the steps that lead back are gone.
    pub(crate) async fn rebuild(
        &mut self,
        head: &Revision,
        position: (u64, u64),
    ) -> Result<Option<Config>, StoreError> {
        let (mut here, mut config) = (head.id, head.config.clone());
        // What it is to be must itself be kept, as its difference is.
        if self.step_to(position).await?.is_none_or(|logged| logged.undo.is_none()) {
            return Ok(None);
        }
        while here.position() != position {
            let unreadable = || StoreError::Unreadable { id: here };
            let Some(Logged { step, undo: Some(undo) }) = self.step_to(here.position()).await?
            else {
                return Ok(None);
            };
            apply(&mut config, &undo).map_err(|_| unreadable())?;
            if config.hash() != step.parent.hash || step.parent.position() >= here.position() {
                return Err(unreadable());
            }
            here = step.parent;
        }
        Ok(Some(config))
    }
}
