//! A group of writes: each decided against exactly what is before it, then written together.
//!
//! Nothing here is published or answered: see [`super`] for what becomes of a group.

use std::sync::Arc;

use model::causes::chain;
use model::judge::Judge;
use model::value::Timestamp;
use model::vitals::Problem;
use model::{Config, Revision, RevisionId, delta};
use tracing::{debug, error, warn};

use super::keeper::{Keeper, Keeping};
use super::{Answer, Change, Decided, Failure, Write, guarded};
use crate::signing::SigningKey;
use crate::store::{Appended, Author, StoreError};
use crate::write::Refusal;

/// What remains of a group until it is on the disk.
pub(super) struct Pending {
    /// The revision the next write starts from.
    pub(super) head: Arc<Revision>,
    /// Whom to tell what.
    pub(super) answers: Vec<(Answer, Result<RevisionId, Failure>)>,
}
/// Decides on a group and commits it; an error that comes with what was decided is that of the commit
/// itself, which may have taken place.
pub(super) async fn write_group(
    keeper: &mut Keeper,
    judgement: &Judgement<'_>,
    head: Arc<Revision>,
    writes: Vec<Write>,
) -> Result<(Pending, Result<(), StoreError>), StoreError> {
    let mut group = keeper.begin().await?;
    let mut pending = Pending { head, answers: Vec::with_capacity(writes.len()) };
    pending.catch_up(&mut group, judgement).await?;
    for write in writes {
        match write {
            Write::Change { author, change } => {
                pending.write(&mut group, judgement, author, change).await?;
            }
            Write::Raise { above } => {
                pending.raise(&mut group, judgement, above, "a data plane has").await?;
            }
        }
    }
    let committed = group.commit(judgement.now).await;
    Ok((pending, committed))
}

impl Pending {
    async fn write(
        &mut self,
        group: &mut Keeping<'_>,
        judgement: &Judgement<'_>,
        author: Author,
        change: Change,
    ) -> Result<(), StoreError> {
        let (answer, verdict) = judgement.decide(&self.head, change, &author.what);
        let fate = match verdict {
            Verdict::Nothing => Ok(self.head.id),
            Verdict::Not(failure) => Err(failure),
            Verdict::Next(config) => {
                let id = &self.head.id;
                let id = RevisionId { version: id.version + 1, hash: config.hash(), ..*id };
                let is_kept = self.append(group, judgement, id, *config, &author).await?;
                if is_kept { Ok(id) } else { Err(Failure::NotKept) }
            }
        };
        self.answers.push((answer, fate));
        Ok(())
    }

    /// Goes on from what the database has: others may have written, or it may be an older copy of what
    /// it was.
    async fn catch_up(
        &mut self,
        group: &mut Keeping<'_>,
        judgement: &Judgement<'_>,
    ) -> Result<(), StoreError> {
        let Some(found) = group.found(&self.head, judgement.key).await? else { return Ok(()) };
        let had = std::mem::replace(&mut self.head, Arc::new(found)).id;
        self.raise(group, judgement, had, "this node has").await?;
        if self.head.id.position() > had.position() {
            Ok(())
        } else {
            Err(StoreError::Moved { expected: had })
        }
    }

    /// The database was restored: what it will count from now on must not be taken for what it counted
    /// before.
    async fn raise(
        &mut self,
        group: &mut Keeping<'_>,
        judgement: &Judgement<'_>,
        above: RevisionId,
        who: &str,
    ) -> Result<(), StoreError> {
        let here = self.head.id;
        if above.position() < here.position() || above == here {
            return Ok(());
        }
        let id = RevisionId { epoch: here.epoch.max(above.epoch) + 1, version: 1, ..here };
        let what = format!("{who} revision {above}, which is not before {here}");
        let author = Author { who: "gateway".into(), what: what.as_str().into() };
        if self.append(group, judgement, id, self.head.config.clone(), &author).await? {
            warn!("[admin] {what}: the database was restored; revisions now count from {id}");
        }
        Ok(())
    }

    /// Makes the revision the new head, unless the database objects to it alone.
    async fn append(
        &mut self,
        group: &mut Keeping<'_>,
        judgement: &Judgement<'_>,
        id: RevisionId,
        config: Config,
        author: &Author,
    ) -> Result<bool, StoreError> {
        let signature = match judgement.key.sign(&id) {
            Ok(signature) => signature,
            Err(failure) => {
                error!("[admin] `{}` was given up: signing failed: {failure}", author.what);
                return Ok(false);
            }
        };
        let next = Revision { id, signature: Some(signature), config };
        match group.append(&self.head, &next, signature, author, judgement.now).await? {
            Appended::Yes => {
                debug!("[admin] revision {id}: {} by {}", author.what, author.who);
                self.head = Arc::new(next);
                Ok(true)
            }
            Appended::No(failure) => {
                error!("[admin] `{}` was not written: {}", author.what, chain(&failure));
                Ok(false)
            }
        }
    }
}

/// Who decides, and when.
pub(super) struct Judgement<'a> {
    pub(super) key: &'a SigningKey,
    pub(super) judge: &'a dyn Judge,
    pub(super) now: Timestamp,
}

enum Verdict {
    /// It changes nothing, or was refused already.
    Nothing,
    /// It cannot be.
    Not(Failure),
    /// What comes next.
    Next(Box<Config>),
}

impl Judgement<'_> {
    /// Applies a change. A write that leaves every byte as it was makes no revision; one that only
    /// renews `updated_at` does, since that is part of what clients read.
    fn decide(&self, head: &Revision, change: Change, what: &str) -> (Answer, Verdict) {
        let mut config = head.config.clone();
        // What is gone by now stands in nobody's way, and does not come back.
        config.expire(self.now);
        let Decided { accepted, is_about_one, answer } = change(&mut config, self.now);
        config.expire(self.now);
        if !accepted || config.hash() == head.id.hash {
            return (answer, Verdict::Nothing);
        }
        let verdict = match guarded(what, || self.judge.rehearse(&config)) {
            Ok(Ok(())) => Verdict::Next(Box::new(config)),
            Ok(Err(mut problems)) => {
                if is_about_one {
                    problems = as_seen_by_writer(problems, &head.config, &config);
                }
                Verdict::Not(Failure::Refused(Refusal::Unservable(problems)))
            }
            Err(failure) => Verdict::Not(failure),
        };
        (answer, verdict)
    }
}

/// Whoever writes an entity need not be told which one a problem is about.
fn as_seen_by_writer(problems: Vec<Problem>, from: &Config, to: &Config) -> Vec<Problem> {
    let written = delta::changes(from, to);
    let is_written = |id| written.iter().any(|change| change.id == id);
    let told = |problem: Problem| match &problem.entity {
        Some((_, id)) if is_written(*id) => Problem { entity: None, ..problem },
        _ => Problem { field: None, ..problem },
    };
    problems.into_iter().map(told).collect()
}
