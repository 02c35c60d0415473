//! The newest revision that can be had from the generations there are.
//!
//! Each generation leads there by itself: its base, then its log. A node starts
//! from the first that is whole; how far the others' logs go is looked at before
//! that, what else is in them afterwards (see [`read`]). Reading changes nothing
//! on disk; what is to become of the damaged ones is decided by the caller.

use std::io;
use std::path::Path;
use std::sync::Arc;

use model::delta::ApplyError;
use model::encode::{ContentHash, DecodeError};
use model::{Revision, RevisionId};

use super::base::{self, Base};
use super::files::{self, DATA, LOG, SEAL};
use super::log;
use super::seal::Seal;
use crate::ed25519::PublicKey;
use crate::trust::TrustError;

/// What is wrong with a generation.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{file}` cannot be read")]
    Unreadable {
        file: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("`{SEAL}` is damaged")]
    Seal,
    #[error("`{SEAL}` has format {found}, this version reads {ours}")]
    Format { found: u32, ours: u32 },
    #[error("`{DATA}` has {found} bytes, {sealed} were sealed")]
    Size { sealed: u64, found: u64 },
    #[error("`{DATA}` is not what was sealed")]
    Content,
    #[error("LMDB cannot read `{DATA}`")]
    Lmdb(#[from] lmdb::Error),
    #[error("`{DATA}` has the key `{0}`, which this version does not know")]
    Unknown(String),
    #[error("`{DATA}` has an entity that cannot be read")]
    Entity(#[from] DecodeError),
    #[error("`{DATA}` has content {found} for revision {id}")]
    OtherHash { id: RevisionId, found: ContentHash },
    #[error("`{LOG}` is damaged at byte {at}")]
    Frame { at: u64 },
    #[error("`{LOG}` does not start from revision {0}")]
    OtherBase(RevisionId),
    #[error("`{LOG}` has a step at byte {at} that cannot be taken")]
    Step {
        at: u64,
        #[source]
        source: ApplyError,
    },
    #[error("`{LOG}` ends at revision {ends}, but revision {reached} was in it")]
    Short { ends: RevisionId, reached: RevisionId },
    #[error(transparent)]
    Disbelieved(#[from] TrustError),
}

impl Damage {
    pub(super) fn unreadable(file: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::NotFound => Self::Missing(file),
            _ => Self::Unreadable { file, source },
        }
    }
}

/// Whether a revision is to be believed, of a generation that shows this key.
pub(super) type Judge<'a> = &'a dyn Fn(Option<PublicKey>, &Revision) -> Result<(), TrustError>;

/// What the generations hold.
pub(super) struct Recovered {
    pub(super) found: Option<Found>,
    /// Each generation that is of no further use, with the first thing that was wrong with it.
    pub(super) damaged: Vec<(u64, Damage)>,
    /// The newest of those that seem to be whole and were not needed.
    pub(super) other: Option<u64>,
}

/// A revision that was read whole.
pub(super) struct Found {
    pub(super) revision: Arc<Revision>,
    pub(super) trust: Option<PublicKey>,
    /// The generation it is from.
    pub(super) number: u64,
    /// Where that generation's log goes on; none if anything in it is damaged.
    pub(super) end: Option<log::End>,
}

/// What a generation seems to hold, going by its log, or by its seal if that says nothing.
struct Outline {
    number: u64,
    from: RevisionId,
    to: RevisionId,
    damage: Option<Damage>,
}

/// Reads the newest revision that can be had from these generations and that the judge, if there is one,
/// believes.
pub(super) fn recover(dir: &Path, numbers: &[u64], judge: Option<Judge<'_>>) -> Recovered {
    let (mut damaged, mut outlines) = (Vec::new(), Vec::new());
    let mut best: Option<Found> = None;
    for mut outline in furthest_first(dir, numbers, &mut damaged) {
        if !best.as_ref().is_some_and(|best| best.is_enough(&outline)) {
            let (found, damage) = read(dir, outline.number, judge);
            outline.damage = damage;
            best = match (best, found) {
                (Some(best), Some(found)) if !found.is_better_than(&best) => Some(best),
                (best, found) => found.or(best),
            };
        }
        outlines.push(outline);
    }
    let other = sort_out(outlines, best.as_ref(), &mut damaged);
    Recovered { found: best, damaged, other }
}

/// Which generation stays, besides the one that was found.
fn sort_out(
    outlines: Vec<Outline>,
    found: Option<&Found>,
    damaged: &mut Vec<(u64, Damage)>,
) -> Option<u64> {
    let is_found = |outline: &Outline| found.is_some_and(|found| found.number == outline.number);
    let born = outlines.iter().find(|outline| is_found(outline)).map(Outline::born);
    let mut other = None;
    for outline in outlines {
        let (number, kept) = (outline.number, is_found(&outline));
        let lost = outline.lost(born, found.map(|found| found.revision.id));
        match outline.damage.or(lost) {
            Some(damage) => damaged.push((number, damage)),
            None if kept => {}
            None => other = other.or(Some(number)),
        }
    }
    other
}

/// Reads one generation: how far it leads, and the first thing that is wrong with it.
pub(super) fn read(
    dir: &Path,
    number: u64,
    judge: Option<Judge<'_>>,
) -> (Option<Found>, Option<Damage>) {
    let generation = files::generation(dir, number);
    let (Base { mut revision, trust }, damage) = match base::read(&generation) {
        Ok(base) => (base, None),
        Err(damage) => match base::empty(&generation) {
            Some(base) => (base, Some(damage)),
            None => return (None, Some(damage)),
        },
    };
    let believe = |revision: &Revision| {
        judge.map_or(Ok(()), |judge| judge(trust, revision)).map_err(Damage::from)
    };
    if damage.is_none()
        && let Err(disbelieved) = believe(&revision)
    {
        return (None, Some(disbelieved));
    }
    let replayed = log::replay(&generation, &mut revision, believe);
    let (end, damage) = match (replayed, damage) {
        (Ok(end), None) => (Some(end), None),
        (Ok(_), damage @ Some(_)) => (None, damage),
        (Err(further), damage) => (None, damage.or(Some(further))),
    };
    // Without its seal, an empty configuration that nothing follows is nothing.
    let found = (end.is_some() || revision.signature.is_some()).then_some(Found {
        revision,
        trust,
        number,
        end,
    });
    (found, damage)
}

/// By how far they lead, then by age: all lead to the same revision unless something happened to them. Their
/// numbers would not do, as a cache that was copied over another has the generations of both.
fn furthest_first(dir: &Path, numbers: &[u64], damaged: &mut Vec<(u64, Damage)>) -> Vec<Outline> {
    let mut order = Vec::new();
    for number in numbers {
        match Outline::of(&files::generation(dir, *number), *number) {
            Ok(outline) => order.push(outline),
            Err(damage) => damaged.push((*number, damage)),
        }
    }
    order.sort_by_key(|outline| std::cmp::Reverse((outline.to.position(), outline.born())));
    order
}

impl Outline {
    fn of(generation: &Path, number: u64) -> Result<Self, Damage> {
        match log::span(generation) {
            Ok(log::Span { from, to, damage }) => Ok(Self { number, from, to, damage }),
            Err(damage) => {
                let id = Seal::read(generation)?.id;
                Ok(Self { number, from: id, to: id, damage: Some(damage) })
            }
        }
    }

    /// Later for a generation that was begun later.
    fn born(&self) -> ((u64, u64), u64) {
        (self.from.position(), self.number)
    }

    /// A step is written to the newest generation first: if that ends before another one does, its end is
    /// gone. An older one that ends early was not written in time, which is no damage.
    fn lost(&self, than: Option<((u64, u64), u64)>, reached: Option<RevisionId>) -> Option<Damage> {
        let reached = reached.filter(|id| id.position() > self.to.position())?;
        (Some(self.born()) > than).then_some(Damage::Short { ends: self.to, reached })
    }
}

impl Found {
    /// Whether a generation can be left unread: it leads no further, or to the same if this is whole.
    fn is_enough(&self, outline: &Outline) -> bool {
        let (ours, theirs) = (self.revision.id.position(), outline.to.position());
        ours > theirs || ours == theirs && self.end.is_some()
    }

    fn is_better_than(&self, other: &Self) -> bool {
        let rank = |found: &Self| (found.revision.id.position(), found.end.is_some());
        rank(self) > rank(other)
    }
}
