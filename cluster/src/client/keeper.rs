//! From the engine's verdict to what is acknowledged: a revision counts when
//! every worker serves it, and only then goes into the cache.
//!
//! Independent of any link: what became effective while the control plane was
//! away is cached all the same, and reported with the next hello.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::vitals::{Refusal, Verdict};
use model::{Revision, RevisionId, severity};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, error};

use super::{Keep, Status};
use crate::log::chain;
use crate::protocol::Ack;

/// After this long a failed write to the cache is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// How often it is looked whether the cache still has what it was given: a few calls to the system.
const LOOK: Duration = Duration::from_secs(1);

/// How many published revisions wait for a verdict; of more, the oldest are not cached one by one.
const PENDING: usize = 1024;

/// Revisions the engine has been shown and not judged yet.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<VecDeque<Arc<Revision>>>);

impl Pending {
    pub(super) fn push(&self, revision: Arc<Revision>) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() == PENDING {
            queue.pop_front();
        }
        queue.push_back(revision);
    }

    /// The revision with this id. Those before it are forgotten: the engine has passed them by.
    fn take(&self, id: RevisionId) -> Option<Arc<Revision>> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = queue.iter().position(|revision| revision.id == id)?;
        queue.drain(..=at).next_back()
    }
}

/// Follows verdicts until the engine or the client is gone.
pub(super) struct Keeper {
    pub(super) pending: Arc<Pending>,
    pub(super) keep: Arc<dyn Keep>,
    pub(super) status: Arc<watch::Sender<Status>>,
    /// What the cache holds.
    pub(super) cached: Option<Arc<Revision>>,
}

impl Keeper {
    pub(super) async fn run(mut self, mut verdicts: watch::Receiver<Verdict>) {
        let mut unkept = None;
        loop {
            let verdict = verdicts.borrow_and_update().clone();
            self.refused(verdict.refused);
            if let Some(id) = verdict.effective
                && self.status.borrow().serving.effective != Some(id)
            {
                unkept = self.pending.take(id);
                unkept = self.effective(id, unkept).await;
            }
            tokio::select! {
                changed = verdicts.changed() => if changed.is_err() { return },
                () = sleep(RETRY), if unkept.is_some() => if let Some(revision) = unkept.take() {
                    unkept = self.effective(revision.id, Some(revision)).await;
                },
                () = sleep(LOOK), if self.status.borrow().serving.cached => {
                    unkept = self.look().await;
                }
            }
        }
    }

    /// Caches what became effective, then reports it. Returns the revision if that has to be tried again.
    async fn effective(
        &mut self,
        id: RevisionId,
        revision: Option<Arc<Revision>>,
    ) -> Option<Arc<Revision>> {
        let unkept =
            match revision.filter(|revision| self.keep.keeps() && revision.signature.is_some()) {
                Some(revision) if self.store(&revision).await => {
                    self.cached = Some(revision);
                    None
                }
                unkept => unkept,
            };
        let cached = self.cached.as_ref().is_some_and(|cached| cached.id == id);
        let serving = Ack { effective: Some(id), cached };
        self.status.send_if_modified(|status| {
            status.refused.take_if(|refusal| refusal.revision.position() <= id.position());
            std::mem::replace(&mut status.serving, serving) != serving
        });
        debug!("[clustering] serving revision {id}, cached: {}", serving.cached);
        unkept
    }

    /// Caches what is served once more if it has been removed. Returns it if that has to be tried again.
    async fn look(&mut self) -> Option<Arc<Revision>> {
        let keep = Arc::clone(&self.keep);
        let looking = tokio::task::spawn_blocking(move || keep.still_keeps());
        if looking.await.unwrap_or(true) {
            return None; // a panic has been reported by its thread
        }
        let lost = self.cached.take()?;
        self.effective(lost.id, Some(lost)).await
    }

    async fn store(&self, revision: &Arc<Revision>) -> bool {
        let (keep, kept) = (Arc::clone(&self.keep), Arc::clone(revision));
        match tokio::task::spawn_blocking(move || keep.keep(&kept)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                let again = RETRY.as_secs();
                error!(
                    name: severity::CRIT,
                    "[clustering] revision {} is served but not cached: {}; trying again in {again} s",
                    revision.id,
                    chain(&*error)
                );
                false
            }
            Err(panicked) => {
                error!(
                    name: severity::CRIT,
                    "[clustering] revision {} is served but not cached: {panicked}",
                    revision.id
                );
                false
            }
        }
    }

    /// Records a refusal, unless it is the one before what is served now.
    fn refused(&self, refusal: Option<Refusal>) {
        let served = self.status.borrow().serving.effective.map(|id| id.position());
        if let Some(refusal) = refusal.filter(|r| Some(r.revision.position()) > served) {
            super::refuse(&self.status, refusal);
        }
    }
}
