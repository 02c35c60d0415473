//! From messages to a revision: nothing leaves here that was not vouched for.
//!
//! The signature is checked before the first entity is read, the content hash
//! after the last. Entities are applied as they arrive, so a large
//! configuration is never held twice. A revision with entities this version
//! cannot read is refused, but remembered: the next step starts from it.

mod draft; // a revision being put together

use std::sync::Arc;

use model::delta::Change;
use model::revision::Signature;
use model::vitals::{Problem, Refusal};
use model::{Revision, RevisionId};

use crate::protocol::{Full, Part, Step};
use crate::trust::Trust;
use draft::{Draft, Finished};

/// What has arrived so far.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    stage: Stage,
    /// The last revision, if it was complete but for what this version cannot read. The control plane
    /// goes on from there, and may come to one that can be served.
    foreign: Option<Box<Draft>>,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing.
    #[default]
    Idle,
    /// A revision, in part.
    Unfinished(Box<Draft>),
    /// The rest of something that is of no use.
    Skipping,
}

/// What a message led to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// More must come.
    Pending,
    /// A new revision, vouched for.
    Ready(Arc<Revision>),
    /// Nothing new: said again, or left over.
    Known,
    /// Older than what this node has: the control plane lags behind.
    Older(RevisionId),
    /// It does not go with what this node has: everything is needed.
    Resync(String),
    /// It cannot be used, and asking again would not help.
    Refused(Refusal),
    /// It has entities this version cannot read: a later revision may not.
    Foreign(Refusal),
    /// A part of nothing.
    OutOfPlace,
}

impl Incoming {
    /// A whole configuration begins.
    pub(super) fn full(&mut self, full: Full, have: &Revision, trust: &Trust) -> Outcome {
        let Full { id, signature, changes, more } = full;
        if let Some(refused) = self.check(id, &signature, have, trust, more) {
            return refused;
        }
        self.foreign = None;
        self.extend(Box::new(Draft::whole(id, signature)), &changes, more)
    }

    /// A step begins.
    pub(super) fn step(&mut self, step: Step, have: &Revision, trust: &Trust) -> Outcome {
        let Step { parent, id, signature, changes, more } = step;
        if let Some(refused) = self.check(id, &signature, have, trust, more) {
            return refused;
        }
        let draft = match self.foreign.take() {
            Some(foreign) if foreign.id() == parent => foreign.step(id, signature),
            _ if parent == have.id => Draft::step_from(&have.config, id, signature),
            _ => {
                self.skip(more);
                return Outcome::Resync(format!(
                    "the step starts from {parent}, this node has {}",
                    have.id
                ));
            }
        };
        self.extend(Box::new(draft), &changes, more)
    }

    /// More of what has begun.
    pub(super) fn part(&mut self, part: Part) -> Outcome {
        match std::mem::take(&mut self.stage) {
            Stage::Idle => Outcome::OutOfPlace,
            Stage::Unfinished(draft) => self.extend(draft, &part.changes, part.more),
            Stage::Skipping => {
                self.skip(part.more);
                Outcome::Known
            }
        }
    }

    fn check(
        &mut self,
        id: RevisionId,
        signature: &Signature,
        have: &Revision,
        trust: &Trust,
        more: bool,
    ) -> Option<Outcome> {
        self.skip(more);
        if let Err(error) = trust.verify(&id, Some(signature)) {
            return Some(Outcome::Refused(refusal(id, "signature", error.to_string())));
        }
        match have.signature {
            // What came from a file has no place in the control plane's history.
            None => None,
            Some(_) if id == have.id => Some(Outcome::Known),
            Some(_) if id.position() < have.id.position() => Some(Outcome::Older(id)),
            Some(_) => None,
        }
    }

    fn skip(&mut self, more: bool) {
        self.stage = if more { Stage::Skipping } else { Stage::Idle };
    }

    fn extend(&mut self, mut draft: Box<Draft>, changes: &[Change], more: bool) -> Outcome {
        draft.apply(changes);
        if more {
            self.stage = Stage::Unfinished(draft);
            return Outcome::Pending;
        }
        self.stage = Stage::Idle;
        match draft.finish() {
            Finished::Ready(revision) => Outcome::Ready(Arc::new(revision)),
            Finished::Foreign(draft) => {
                let refusal = Refusal { revision: draft.id(), problems: draft.problems() };
                self.foreign = Some(Box::new(draft));
                Outcome::Foreign(refusal)
            }
            Finished::OtherContent { id, found, whole } => {
                let what =
                    format!("revision {id} was announced, but its content has the hash {found}");
                if whole {
                    Outcome::Refused(refusal(id, "content_hash", what))
                } else {
                    Outcome::Resync(what)
                }
            }
        }
    }
}

fn refusal(revision: RevisionId, code: &str, message: String) -> Refusal {
    Refusal { revision, problems: vec![Problem { code: code.to_owned(), entity: None, message }] }
}
