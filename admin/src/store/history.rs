//! What the log tells of the past: who made what, what changed, and how to go back.

use model::causes::chain;
use model::delta::{Change, Delta, apply};
use model::value::Timestamp;
use model::{Config, Revision, RevisionId};
use tokio::task::spawn_blocking;
use tracing::debug;
use uuid::Uuid;

use super::reader::Reader;
use super::{StoreError, log};

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

/// What is known of a revision.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    /// Who made it.
    pub(crate) noted: Option<Noted>,
    /// What it changed.
    pub(crate) logged: Option<Logged>,
    /// The oldest revision of which that can be said.
    pub(crate) oldest: Option<(u64, u64)>,
}

/// What a revision was.
#[derive(Debug)]
pub(crate) enum Rebuilt {
    /// This.
    There(Box<Config>),
    /// Nobody knows any more. The oldest that is still known.
    Gone(Option<(u64, u64)>),
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

/// The past, over connections of its own: whoever reads it waits for nobody who writes.
pub(crate) struct Past {
    primary: Reader,
    /// Where what may be a moment old is read first.
    replica: Option<Reader>,
}

impl Past {
    pub(super) fn new(primary: Reader, replica: Option<Reader>) -> Self {
        Self { primary, replica }
    }

    /// Who made the newest revisions, or the newest before this place in the log; newest first.
    pub(crate) async fn noted(
        &self,
        before: Option<i64>,
        most: usize,
    ) -> Result<Vec<Noted>, StoreError> {
        if let Some(replica) = &self.replica {
            match noted(replica, before, most).await {
                Ok(found) => return Ok(found),
                Err(failure) => instead(&failure),
            }
        }
        noted(&self.primary, before, most).await
    }

    /// What is known of a revision.
    pub(crate) async fn look(&self, position: (u64, u64)) -> Result<Looked, StoreError> {
        if let Some(replica) = &self.replica {
            match look(replica, position).await {
                // What it does not have may not have come there yet.
                Ok(looked) if looked.logged.is_some() => return Ok(looked),
                Ok(_) => {}
                Err(failure) => instead(&failure),
            }
        }
        look(&self.primary, position).await
    }

    /// How much of the past there is, and the oldest revision that can be looked at.
    pub(crate) async fn sizes(&self) -> Result<(Option<(u64, u64)>, Sizes), StoreError> {
        if let Some(replica) = &self.replica {
            match sizes(replica).await {
                Ok(found) => return Ok(found),
                Err(failure) => instead(&failure),
            }
        }
        sizes(&self.primary).await
    }

    /// What the revision at `position` was, found by going back from `head` one step at a time; none
    /// where some of the steps that lead back are gone, with the oldest that is there.
    pub(crate) async fn rebuild(
        &self,
        head: &Revision,
        position: (u64, u64),
    ) -> Result<Rebuilt, StoreError> {
        let mut reading = self.primary.begin().await?;
        let (mut here, mut config) = (head.id, head.config.clone());
        // What it is to be must itself be kept, as its difference is.
        let is_kept = log::can_be_undone(&mut reading.link, position).await?;
        while is_kept && here.position() != position {
            let Some(row) = log::row_of_step(&mut reading.link, here.position()).await? else {
                break;
            };
            let after = config.clone(); // which shares what the step left alone
            let back = move || step_back(after, here, &log::logged(&row)?);
            let Some(before) = apart(here, back).await?? else { break };
            (config, here) = before;
        }
        let oldest = log::oldest(&mut reading.link).await?;
        reading.end().await?;
        let is_there = is_kept && here.position() == position;
        Ok(if is_there { Rebuilt::There(Box::new(config)) } else { Rebuilt::Gone(oldest) })
    }
}

/// The replica did not do, so the primary does.
fn instead(failure: &StoreError) {
    debug!("[admin] the past is read from the primary: {}", chain(failure));
}

async fn noted(
    reader: &Reader,
    before: Option<i64>,
    most: usize,
) -> Result<Vec<Noted>, StoreError> {
    let mut reading = reader.begin().await?;
    let found = log::noted(&mut reading.link, before, most).await?;
    reading.end().await?;
    Ok(found)
}

async fn look(reader: &Reader, position: (u64, u64)) -> Result<Looked, StoreError> {
    let mut reading = reader.begin().await?;
    let noted = log::noted_at(&mut reading.link, position).await?;
    let row = log::row_of_step(&mut reading.link, position).await?;
    let oldest = log::oldest(&mut reading.link).await?;
    reading.end().await?;
    let id = RevisionId { epoch: position.0, version: position.1, ..RevisionId::default() };
    let logged = match row {
        Some(row) => Some(apart(id, move || log::logged(&row)).await??),
        None => None,
    };
    Ok(Looked { noted, logged, oldest })
}

async fn sizes(reader: &Reader) -> Result<(Option<(u64, u64)>, Sizes), StoreError> {
    let mut reading = reader.begin().await?;
    let oldest = log::oldest(&mut reading.link).await?;
    let found = log::sizes(&mut reading.link).await?;
    reading.end().await?;
    Ok((oldest, found))
}

/// What was before the step to `here`, if that is known.
fn step_back(
    mut config: Config,
    here: RevisionId,
    Logged { step, undo }: &Logged,
) -> Result<Option<(Config, RevisionId)>, StoreError> {
    let unreadable = || StoreError::Unreadable { id: here };
    let Some(undo) = undo else { return Ok(None) };
    apply(&mut config, undo).map_err(|_| unreadable())?;
    if config.hash() != step.parent.hash || step.parent.position() >= here.position() {
        return Err(unreadable());
    }
    Ok(Some((config, step.parent)))
}

/// Has something done that may take a while, such as to decode a step with all there is, where no
/// connection waits for it.
async fn apart<T: Send + 'static>(
    id: RevisionId,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work).await.map_err(|_| StoreError::Unreadable { id })
}
