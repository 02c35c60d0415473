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
        if let Err(error) = draft.apply(changes) {
            self.skip(more);
            return Outcome::Refused(refusal(draft.id(), "length", error.to_string()));
        }
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
    Refusal {
        revision,
        problems: vec![Problem { code: code.to_owned(), entity: None, field: None, message }],
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::encode::ContentHash;
    use uuid::Uuid;

    use super::*;
    use crate::ed25519::SigningKey;

    /// A control plane of a newer version: its entities cost this one nothing but their place.
    struct Newer {
        key: SigningKey,
        trust: Trust,
        entity: Change,
    }

    impl Newer {
        fn new() -> Self {
            let key = SigningKey::generate().expect("generates");
            let prefix = tempfile::tempdir().expect("has a place");
            let trust = Trust::load(prefix.path(), Some(key.public())).expect("loads");
            let kind = serde_json::from_value("quotas".into()).expect("is a name");
            let bytes = Some(Bytes::from(vec![0; 32 << 20]));
            Self { key, trust, entity: Change { kind, id: Uuid::nil(), bytes } }
        }

        fn signed(&self, version: u64) -> (RevisionId, Signature) {
            let id = RevisionId { epoch: 1, version, hash: ContentHash::from_bytes([9; 16]) };
            (id, Signature::from_bytes(self.key.sign(&id.signed_bytes()).expect("signs")))
        }

        /// The code of the refusal that ends a stream of parts, after how many.
        fn stream(&self, incoming: &mut Incoming) -> (usize, String) {
            let part = || Part { changes: vec![self.entity.clone()], more: true };
            (1..1000)
                .find_map(|count| match incoming.part(part()) {
                    Outcome::Pending => None,
                    Outcome::Refused(refusal) => Some((count, refusal.problems[0].code.clone())),
                    other => panic!("{other:?}"),
                })
                .expect("it ends")
        }
    }

    #[test]
    fn a_configuration_without_end_is_not_taken() {
        let (newer, mut incoming) = (Newer::new(), Incoming::default());
        let (id, signature) = newer.signed(1);
        let full = Full { id, signature, changes: Vec::new(), more: true };
        let begun = incoming.full(full.clone(), &Revision::empty(), &newer.trust);
        assert!(matches!(begun, Outcome::Pending), "{begun:?}");
        assert_eq!(newer.stream(&mut incoming), (128, "length".to_owned()));

        // The rest is thrown away, and another one may begin.
        let rest = Part { changes: vec![newer.entity.clone()], more: true };
        assert!(matches!(incoming.part(rest), Outcome::Known));
        let begun = incoming.full(full, &Revision::empty(), &newer.trust);
        assert!(matches!(begun, Outcome::Pending), "{begun:?}");
    }

    #[test]
    fn nor_one_without_end_in_steps() {
        let (newer, mut incoming) = (Newer::new(), Incoming::default());
        let (id, signature) = newer.signed(1);
        let changes = vec![newer.entity.clone(); 100];
        let first = Full { id, signature, changes, more: false };
        let first = incoming.full(first, &Revision::empty(), &newer.trust);
        assert!(matches!(first, Outcome::Foreign(_)), "{first:?}");

        let (parent, (id, signature)) = (id, newer.signed(2));
        let step = Step { parent, id, signature, changes: Vec::new(), more: true };
        let begun = incoming.step(step.clone(), &Revision::empty(), &newer.trust);
        assert!(matches!(begun, Outcome::Pending), "{begun:?}");
        assert_eq!(newer.stream(&mut incoming), (28, "length".to_owned()));

        // Nothing is left to go on from: what comes next is asked for as a whole, and counted anew.
        let again = incoming.step(step, &Revision::empty(), &newer.trust);
        assert!(matches!(again, Outcome::Resync(_)), "{again:?}");
    }
}
