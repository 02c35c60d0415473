//! The newest revision that can be had from the generations there are.
//!
//! A log ends where the next generation's base begins, so a damaged base is
//! made again from the one before it and both logs. Reading changes nothing on
//! disk; what is to become of the damaged ones is decided in [`super`].

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
}

impl Damage {
    pub(super) fn unreadable(file: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::NotFound => Self::Missing(file),
            _ => Self::Unreadable { file, source },
        }
    }
}

/// What the generations hold.
pub(super) struct Recovered {
    pub(super) found: Option<Found>,
    /// Each generation that is of no further use, with the first thing that was wrong with it.
    pub(super) damaged: Vec<(u64, Damage)>,
}

/// A revision that was read whole.
pub(super) struct Found {
    pub(super) revision: Arc<Revision>,
    pub(super) trust: Option<PublicKey>,
    /// The generations it was made from, newest first; the base is the last one's.
    pub(super) used: Vec<u64>,
    /// The newest base is not among those that could be read.
    pub(super) fell_back: bool,
    /// Where the newest generation's log goes on; none if anything was damaged.
    pub(super) end: Option<log::End>,
}

/// Reads the newest revision that can be had from these generations.
pub(super) fn recover(dir: &Path, numbers: &[u64]) -> Recovered {
    let mut damaged = Vec::new();
    let order = newest_first(dir, numbers, &mut damaged);
    for (at, number) in order.iter().enumerate() {
        match base::read(&files::generation(dir, *number)) {
            Ok(base) => {
                let found = replay(dir, base, order[..=at].to_vec(), &mut damaged);
                return Recovered { found: Some(found), damaged };
            }
            Err(damage) => damaged.push((*number, damage)),
        }
    }
    Recovered { found: None, damaged }
}

/// The generations by the place of their bases in history. Their numbers would not do: a cache that was
/// copied over another has the generations of both.
fn newest_first(dir: &Path, numbers: &[u64], damaged: &mut Vec<(u64, Damage)>) -> Vec<u64> {
    let mut order = Vec::new();
    for number in numbers {
        let generation = files::generation(dir, *number);
        match Seal::read(&generation) {
            Ok(seal) => order.push((seal.id.position(), *number)),
            Err(damage) => match log::base(&generation) {
                Some(id) => order.push((id.position(), *number)),
                None => damaged.push((*number, damage)),
            },
        }
    }
    order.sort_unstable_by(|a, b| b.cmp(a));
    order.into_iter().map(|(_, number)| number).collect()
}

/// Takes the steps of these generations' logs, as far as they go.
fn replay(
    dir: &Path,
    Base { mut revision, trust }: Base,
    used: Vec<u64>,
    damaged: &mut Vec<(u64, Damage)>,
) -> Found {
    let fell_back = !damaged.is_empty();
    let mut end = None;
    for number in used.iter().rev() {
        match log::replay(&files::generation(dir, *number), &mut revision) {
            Ok(reached) => end = Some(reached),
            Err(damage) => {
                if damaged.iter().all(|(known, _)| known != number) {
                    damaged.push((*number, damage));
                }
                break;
            }
        }
    }
    Found { revision, trust, used, fell_back, end: end.filter(|_| damaged.is_empty()) }
}
