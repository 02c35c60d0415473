//! What to send to a data plane that has a certain revision: nothing, a step,
//! or everything.
//!
//! Of recent steps it is known what they touched, also of those taken before
//! this process began: a data plane that has where one of them starts is sent
//! what the newest revision has of all that was touched since. What is sent is
//! encoded once and shared by all links that send it, for as long as any does.
//! Whole configurations are large, so may steps be, and a slow link may take hours
//! for one: of either only so much is held, whatever the links do.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use model::delta::{self, Change, Delta, Touched};
use model::revision::Signature;
use model::{EntityKind, Revision, RevisionId};
use uuid::Uuid;

use crate::protocol::{Full, Message, Part, Step};

/// How many changes the known steps may add up to, where the configuration itself is smaller: past
/// that a delta is no shorter than everything.
const KEEP_CHANGES: usize = 4096;

/// What a change takes besides its bytes.
const CHANGE_OVERHEAD: usize = 48;

/// What one message carries of a configuration, roughly: links stay responsive between messages.
const PART_BYTES: usize = 256 * 1024;

/// How many whole configurations are held encoded at once. Only slow links can make it so many: others are
/// done with one before the next is asked for.
const MAX_FULLS: usize = 4;

/// How much of steps is held encoded at once, but for small ones. Who needs more shares a step that is held
/// already, or a whole configuration: it is the longer way, and there is an end to it.
const MAX_STEP_BYTES: usize = 64 << 20;

/// Messages ready for the wire.
pub(super) type Wire = Arc<Encoded>;

/// What is sent of one revision.
#[derive(Debug)]
pub(super) struct Encoded {
    /// What a data plane has that has read it all.
    pub(super) id: RevisionId,
    /// None once it is withdrawn.
    messages: Mutex<Option<Box<[Bytes]>>>,
}

/// What to write after so many messages.
#[derive(Debug)]
pub(super) enum Next {
    Message(Bytes),
    End,
    /// Nothing any more: too many others are held. What was written is of no use.
    Withdrawn,
}

impl Encoded {
    fn new(id: RevisionId, messages: Box<[Bytes]>) -> Arc<Self> {
        Arc::new(Self { id, messages: Mutex::new(Some(messages)) })
    }

    /// The message at this place. Who writes it holds that one only.
    pub(super) fn next(&self, at: usize) -> Next {
        match &*lock(&self.messages) {
            Some(messages) => messages.get(at).cloned().map_or(Next::End, Next::Message),
            None => Next::Withdrawn,
        }
    }

    fn withdraw(&self) {
        *lock(&self.messages) = None;
    }
}

/// What brings a data plane to the newest revision.
#[derive(Clone, Debug)]
pub(super) enum Update {
    /// It has it already.
    Nothing,
    /// It has a later one: this control plane lags behind, or its database was restored.
    Ahead,
    /// The newest revision is not signed, so no data plane would believe it.
    Unsigned,
    /// The changes since what it has.
    Step(Wire),
    /// Everything.
    Full(Wire),
}

/// Recent steps, and what has been encoded of them.
#[derive(Debug, Default)]
pub(super) struct History {
    recent: Mutex<Recent>,
    /// Those that are being sent, oldest first.
    fulls: Mutex<Vec<Weak<Encoded>>>,
    steps: Mutex<Steps>,
}

#[derive(Debug, Default)]
struct Recent {
    newest: Option<Arc<Revision>>,
    /// Each starts where the one before it ends; the last ends at the newest revision.
    steps: VecDeque<Touched>,
    /// What they weigh together.
    changes: usize,
}

/// Steps that are being sent.
#[derive(Debug)]
struct Steps {
    to: RevisionId,
    /// Those to that revision, by where they start.
    from: HashMap<RevisionId, Weak<Encoded>>,
    /// Those to any revision that are not small, oldest first.
    large: Vec<Large>,
    /// How many bytes these may add up to.
    most: usize,
}

impl Default for Steps {
    fn default() -> Self {
        let (to, from) = Default::default();
        Self { to, from, large: Vec::new(), most: MAX_STEP_BYTES }
    }
}

/// A step that is longer than what every link may hold of anything: one message.
#[derive(Debug)]
struct Large {
    from: RevisionId,
    bytes: usize,
    wire: Weak<Encoded>,
}

impl History {
    /// A history that goes back to before this process. The first revision that is noted must be where
    /// the last step ends: otherwise what happened between is not known, and the steps are forgotten.
    pub(super) fn since(steps: Vec<Touched>) -> Self {
        let changes = steps.iter().map(weight).sum();
        let recent = Recent { newest: None, steps: steps.into(), changes };
        Self { recent: Mutex::new(recent), ..Self::default() }
    }

    /// Remembers the newest revision.
    pub(super) fn note(&self, revision: &Arc<Revision>) {
        lock(&self.recent).push(Arc::clone(revision));
    }

    /// What brings a data plane that has `have` to `head`, or nearer to it: whoever takes `steps` may be
    /// given a whole configuration from which a step leads there. May encode one: not for an async thread.
    pub(super) fn update(
        &self,
        have: Option<RevisionId>,
        head: &Arc<Revision>,
        steps: bool,
    ) -> Update {
        let Some(signature) = head.signature else { return Update::Unsigned };
        if have == Some(head.id) {
            return Update::Nothing;
        }
        if have.is_some_and(|have| have.position() > head.id.position()) {
            return Update::Ahead;
        }
        match have.filter(|_| steps).and_then(|have| self.step(have, head, signature)) {
            Some(wire) => Update::Step(wire),
            None => Update::Full(self.full(have, head, signature, steps)),
        }
    }

    /// All that was touched since this revision; none if it is not known. That may include what was
    /// touched after the revision that is being sent, which is no harm: it is sent as it is there.
    fn touched_since(&self, have: RevisionId) -> Option<Vec<(EntityKind, Uuid)>> {
        let recent = lock(&self.recent);
        let first = recent.steps.iter().rposition(|step| step.parent == have)?;
        Some(recent.steps.range(first..).flat_map(|step| &step.entities).copied().collect())
    }

    // Both encode under their lock, so that many links that need the same wait for one.

    fn full(
        &self,
        have: Option<RevisionId>,
        head: &Revision,
        signature: Signature,
        steps: bool,
    ) -> Wire {
        let mut known = lock(&self.fulls);
        known.retain(|wire| wire.strong_count() > 0);
        let newest = known.last().and_then(Weak::upgrade);
        // Who asks may have waited, and not know of the newest.
        let is_current = |wire: &&Wire| wire.id.position() >= head.id.position();
        if let Some(wire) = newest.as_ref().filter(is_current) {
            return Arc::clone(wire);
        }
        if known.len() >= MAX_FULLS {
            let leads_on = |wire: &Wire| {
                steps
                    && have.is_none_or(|have| have.position() < wire.id.position())
                    && self.touched_since(wire.id).is_some()
            };
            if let Some(wire) = newest.filter(leads_on) {
                return wire;
            }
            // Its links begin again, all of them with the one that is made now.
            if let Some(oldest) = known.remove(0).upgrade() {
                oldest.withdraw();
            }
        }
        let mut changes = Vec::with_capacity(head.config.len());
        head.config.for_each(|kind, id, bytes| {
            changes.push(Change { kind: kind.into(), id, bytes: Some(bytes.clone()) });
        });
        let first = |changes, more| Full { id: head.id, signature, changes, more }.into();
        let wire = Encoded::new(head.id, in_parts(changes, first));
        known.push(Arc::downgrade(&wire));
        wire
    }

    fn step(&self, have: RevisionId, head: &Revision, signature: Signature) -> Option<Wire> {
        let mut known = lock(&self.steps);
        known.lead_to(head.id);
        if let Some(wire) = known.from.get(&have).and_then(Weak::upgrade) {
            return Some(wire);
        }
        let changes = delta::latest(&head.config, self.touched_since(have)?);
        let bytes = changes.iter().map(size).sum();
        if known.is_too_much(bytes) {
            let leads_on = |wire: &Wire| {
                wire.id.position() >= head.id.position() || self.touched_since(wire.id).is_some()
            };
            return known.held_from(have).filter(leads_on);
        }
        let (parent, id) = (have, head.id);
        let first = |changes, more| Step { parent, id, signature, changes, more }.into();
        let wire = Encoded::new(id, in_parts(changes, first));
        known.add(have, bytes, &wire);
        Some(wire)
    }
}

impl Steps {
    fn lead_to(&mut self, head: RevisionId) {
        if self.to != head {
            self.to = head;
            self.from.clear();
        }
        self.large.retain(|large| large.wire.strong_count() > 0);
    }

    /// Whether a step of this size is one too many. The first one is not, however large.
    fn is_too_much(&self, bytes: usize) -> bool {
        let held: usize = self.large.iter().map(|large| large.bytes).sum();
        held > 0 && bytes > PART_BYTES && held + bytes > self.most
    }

    /// The latest large step that starts here.
    fn held_from(&self, have: RevisionId) -> Option<Wire> {
        self.large.iter().rev().filter(|large| large.from == have).find_map(|l| l.wire.upgrade())
    }

    fn add(&mut self, from: RevisionId, bytes: usize, wire: &Wire) {
        let wire = Arc::downgrade(wire);
        if bytes > PART_BYTES {
            self.large.push(Large { from, bytes, wire: Weak::clone(&wire) });
        }
        self.from.insert(from, wire);
    }
}

impl Recent {
    fn push(&mut self, revision: Arc<Revision>) {
        let step = match &self.newest {
            Some(newest) if newest.id == revision.id => return,
            Some(newest) => Delta::between(newest, &revision).touched(),
            None => None,
        };
        if let Some(step) = step {
            self.changes += weight(&step);
            self.steps.push_back(step);
        } else if self.steps.back().is_some_and(|last| last.id != revision.id) {
            self.steps.clear();
            self.changes = 0;
        }
        let most = revision.config.len().max(KEEP_CHANGES);
        while self.changes > most
            && let Some(oldest) = self.steps.pop_front()
        {
            self.changes -= weight(&oldest);
        }
        self.newest = Some(revision);
    }
}

/// A step that touched nothing is remembered, too.
fn weight(step: &Touched) -> usize {
    step.entities.len().max(1)
}

/// Splits changes over a first message and as many [`Part`]s as they need.
fn in_parts(
    changes: Vec<Change>,
    first: impl FnOnce(Vec<Change>, bool) -> Message,
) -> Box<[Bytes]> {
    let mut parts = vec![Vec::new()];
    let mut filled = 0;
    for change in changes {
        let size = size(&change);
        if filled > 0 && filled + size > PART_BYTES {
            parts.push(Vec::new());
            filled = 0;
        }
        filled += size;
        if let Some(part) = parts.last_mut() {
            part.push(change);
        }
    }
    let last = parts.len() - 1;
    let mut parts = parts.into_iter().enumerate().map(|(at, changes)| (changes, at < last));
    let head = parts.next().map(|(changes, more)| first(changes, more).encode());
    head.into_iter()
        .chain(parts.map(|(changes, more)| Message::from(Part { changes, more }).encode()))
        .collect()
}

/// What a change takes in a message, roughly.
fn size(change: &Change) -> usize {
    CHANGE_OVERHEAD + change.bytes.as_ref().map_or(0, Bytes::len)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use model::encode::ContentHash;
    use model::{Config, EntityKind};
    use serde::Serialize;
    use uuid::Uuid;

    use super::*;
    use crate::protocol::frame::FrameReader;

    #[derive(Serialize)]
    struct Service {
        created_at: i64,
        host: String,
        id: Uuid,
        updated_at: i64,
    }

    /// A revision whose services `0..count` all have this host.
    fn revision(version: u64, count: u128, host: &str) -> Arc<Revision> {
        let mut config = Config::default();
        for id in (0..count).map(Uuid::from_u128) {
            let service = Service { created_at: 1, host: host.to_owned(), id, updated_at: 1 };
            let bytes = rmp_serde::to_vec_named(&service).unwrap();
            config.put(EntityKind::Service, id, bytes.into()).unwrap();
        }
        let id = RevisionId { epoch: 1, version, hash: config.hash() };
        Arc::new(Revision { id, signature: Some(Signature::from_bytes([0; 64])), config })
    }

    #[test]
    fn what_many_links_need_is_encoded_once() {
        let history = History::default();
        let (one, two) = (revision(1, 10, "one.test"), revision(2, 10, "two.test"));
        history.note(&one);
        history.note(&two);
        let step = |have: &Revision| match history.update(Some(have.id), &two, true) {
            Update::Step(wire) => wire,
            other => panic!("{other:?}"),
        };
        let first = step(&one);
        assert!(Arc::ptr_eq(&first, &step(&one)));

        let full = || match history.update(None, &two, true) {
            Update::Full(wire) => wire,
            other => panic!("{other:?}"),
        };
        let first = full();
        assert!(Arc::ptr_eq(&first, &full()));
        assert!(matches!(history.update(Some(two.id), &two, true), Update::Nothing));
    }

    fn full(history: &History, have: Option<RevisionId>, head: &Arc<Revision>) -> Wire {
        match history.update(have, head, true) {
            Update::Full(wire) => wire,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_so_many_whole_configurations_are_held() {
        let history = History::default();
        let heads: Vec<_> = (1..=9).map(|v| revision(v, 3, &format!("host-{v}.test"))).collect();
        let newest = &heads[8];
        heads[..4].iter().for_each(|head| history.note(head));
        let held: Vec<_> = heads[..4].iter().map(|head| full(&history, None, head)).collect();

        // Who comes now shares the last of them, if it gets on from there.
        history.note(newest);
        let shared = full(&history, None, newest);
        assert!(Arc::ptr_eq(&shared, &held[3]));
        assert!(matches!(history.update(Some(shared.id), newest, true), Update::Step(_)));

        // Who has something later does not: the oldest makes way, also for all who come after.
        let later = RevisionId { version: 5, ..heads[0].id };
        let made = full(&history, Some(later), newest);
        assert_eq!(made.id, newest.id);
        assert!(matches!(held[0].next(0), Next::Withdrawn));
        assert!(held[1..].iter().all(|wire| matches!(wire.next(0), Next::Message(_))));
        assert!(Arc::ptr_eq(&made, &full(&history, None, newest)));
        assert!(matches!(made.next(1), Next::End));

        // Nothing is withdrawn where there is room.
        drop(held);
        drop(shared);
        full(&history, None, &revision(10, 1, "ten.test"));
        assert!(matches!(made.next(0), Next::Message(_)));
    }

    #[test]
    fn only_so_much_of_steps_is_held() {
        let history = History::default();
        lock(&history.steps).most = 5 * PART_BYTES / 2;
        let host = |version| format!("{version}.{}", "h".repeat(250));
        let heads: Vec<_> = (1..=5).map(|v| revision(v, 800, &host(v))).collect();
        heads.iter().for_each(|head| history.note(head));
        let newest = &heads[4];
        let update = |at: usize, head| history.update(Some(heads[at].id), head, true);
        let step = |update| match update {
            Update::Step(wire) => wire,
            other => panic!("{other:?}"),
        };

        // There is room for two, and what is shared needs none.
        let held = [step(update(0, &heads[2])), step(update(1, newest))];
        assert!(Arc::ptr_eq(&held[1], &step(update(1, newest))));
        // Who starts where another does goes with it, if only a part of the way; who does not takes all.
        assert!(Arc::ptr_eq(&held[0], &step(update(0, newest))));
        assert!(matches!(update(2, newest), Update::Full(_)));
        // Nor do small ones need any.
        let emptied = revision(6, 0, "");
        history.note(&emptied);
        assert_eq!(step(update(2, &emptied)).id, emptied.id);

        drop(held);
        assert_eq!(step(update(2, newest)).id, newest.id, "there is room again");
    }

    #[test]
    fn what_was_replaced_long_ago_is_let_go() {
        let history = History::default();
        let count = KEEP_CHANGES as u128 / 2;
        let all: Vec<_> = (1..=4).map(|v| revision(v, count, &format!("host-{v}.test"))).collect();
        all.iter().for_each(|revision| history.note(revision));
        let newest = all.last().unwrap();
        let is_step = |have: &Arc<Revision>| {
            matches!(history.update(Some(have.id), newest, true), Update::Step(_))
        };
        assert_eq!(all[..3].iter().map(is_step).collect::<Vec<_>>(), [false, true, true]);

        assert!(matches!(history.update(Some(all[0].id), newest, true), Update::Full(_)));
        let unknown = RevisionId { hash: ContentHash::from_bytes([9; 16]), ..all[2].id };
        assert!(matches!(history.update(Some(unknown), newest, true), Update::Full(_)));
        let later = RevisionId { version: 9, ..newest.id };
        assert!(matches!(history.update(Some(later), newest, true), Update::Ahead));
    }

    #[tokio::test]
    async fn steps_from_before_this_process_make_a_delta() {
        let (one, two) = (revision(1, 3, "one.test"), revision(2, 2, "two.test"));
        let three = revision(3, 2, "three.test");
        let steps = || vec![Delta::between(&one, &two).touched().unwrap()];

        let history = History::since(steps());
        history.note(&two);
        history.note(&three);
        let Update::Step(wire) = history.update(Some(one.id), &three, true) else {
            panic!("the step is known")
        };
        let Next::Message(first) = wire.next(0) else { panic!("there is one") };
        let raw = FrameReader::new(&first[..], 1 << 20).next().await.unwrap().unwrap();
        let Ok(Some(Message::Step(Step { parent, id, changes, signature, .. }))) =
            Message::decode(&raw)
        else {
            panic!("it is a step")
        };
        let delta = Delta { parent, id, signature: Some(signature), changes };
        assert_eq!(delta.apply(&one).unwrap().id, three.id, "deletions included");

        let unknown = RevisionId { hash: ContentHash::from_bytes([9; 16]), ..one.id };
        assert!(matches!(history.update(Some(unknown), &three, true), Update::Full(_)));

        let history = History::since(steps());
        history.note(&three);
        let update = history.update(Some(one.id), &three, true);
        assert!(matches!(update, Update::Full(_)), "nobody knows how two became three");
    }

    #[test]
    fn an_unsigned_head_is_not_sent() {
        let head = Arc::new(Revision { signature: None, ..(*revision(1, 1, "one.test")).clone() });
        assert!(matches!(History::default().update(None, &head, true), Update::Unsigned));
    }
}
