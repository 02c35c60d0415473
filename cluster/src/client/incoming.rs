//! From messages to a revision: nothing leaves here that was not vouched for.
//!
//! The signature is checked before the first entity is read, the content hash
//! after the last. Entities are applied as they arrive, so a large
//! configuration is never held twice.

use std::sync::Arc;

use model::delta::{self, Change};
use model::revision::Signature;
use model::vitals::{Problem, Refusal};
use model::{Config, Revision, RevisionId};

use crate::log::chain;
use crate::protocol::{Full, Part, Step};
use crate::trust::{Trust, TrustError};

/// What has arrived so far.
#[derive(Debug, Default)]
pub(super) enum Incoming {
    /// Nothing.
    #[default]
    Idle,
    /// A revision, in part.
    Unfinished(Box<Draft>),
    /// The rest of something that is of no use.
    Skipping,
}

/// A revision being put together.
#[derive(Debug)]
pub(super) struct Draft {
    id: RevisionId,
    signature: Signature,
    whole: bool,
    config: Config,
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
        self.extend(Draft { id, signature, whole: true, config: Config::default() }, &changes, more)
    }

    /// A step begins.
    pub(super) fn step(&mut self, step: Step, have: &Revision, trust: &Trust) -> Outcome {
        let Step { parent, id, signature, changes, more } = step;
        if let Some(refused) = self.check(id, &signature, have, trust, more) {
            return refused;
        }
        if parent != have.id {
            self.skip(more);
            return Outcome::Resync(format!(
                "the step starts from {parent}, this node has {}",
                have.id
            ));
        }
        self.extend(
            Draft { id, signature, whole: false, config: have.config.clone() },
            &changes,
            more,
        )
    }

    /// More of what has begun.
    pub(super) fn part(&mut self, part: Part) -> Outcome {
        match std::mem::take(self) {
            Incoming::Idle => Outcome::OutOfPlace,
            Incoming::Unfinished(draft) => self.extend(*draft, &part.changes, part.more),
            Incoming::Skipping => {
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
            return Some(Outcome::Refused(untrusted(id, &error)));
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
        *self = if more { Incoming::Skipping } else { Incoming::Idle };
    }

    fn extend(&mut self, mut draft: Draft, changes: &[Change], more: bool) -> Outcome {
        if let Err(error) = delta::apply(&mut draft.config, changes) {
            self.skip(more);
            return Outcome::Refused(refusal(draft.id, "entity", chain(&error)));
        }
        if more {
            *self = Incoming::Unfinished(Box::new(draft));
            return Outcome::Pending;
        }
        *self = Incoming::Idle;
        draft.finish()
    }
}

impl Draft {
    fn finish(self) -> Outcome {
        let found = self.config.hash();
        if found != self.id.hash {
            let what =
                format!("revision {} was announced, but its content has the hash {found}", self.id);
            return if self.whole {
                Outcome::Refused(refusal(self.id, "content_hash", what))
            } else {
                Outcome::Resync(what)
            };
        }
        Outcome::Ready(Arc::new(Revision {
            id: self.id,
            signature: Some(self.signature),
            config: self.config,
        }))
    }
}

fn untrusted(id: RevisionId, error: &TrustError) -> Refusal {
    refusal(id, "signature", error.to_string())
}

fn refusal(revision: RevisionId, code: &str, message: String) -> Refusal {
    Refusal { revision, problems: vec![Problem { code: code.to_owned(), entity: None, field: None, message }] }
}
