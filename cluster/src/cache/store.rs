//! What an open cache holds, and what becomes of the next revision: a frame of
//! both logs, or a generation of its own.
//!
//! Whatever fails, what was kept before stays readable: a generation is removed
//! or set aside only after the one that replaces it is on disk. A step counts as
//! kept only if its log is still under its name: files can be removed under us.
//! What can wait, [`super::tend`] does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Revision, severity};
use tracing::{error, warn};

use super::log::{self, Step};
use super::recover::{self, Found, Judge};
use super::tend::Postponed;
use super::{Aside, CacheError, Limits, Loaded, SetAside, base, files, quarantine, seal};
use crate::ed25519::PublicKey;
use crate::log::chain;

/// What an open cache holds, and where.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) dir: PathBuf,
    lock: files::Lock,
    pub(super) limits: Limits,
    pub(super) held: Option<Held>,
    /// The number of the next generation: above any ever seen here.
    pub(super) next: u64,
    /// After a failure, when the next base is tried again.
    pub(super) postponed: Option<Postponed>,
    /// Damaged generations that are still in place, because nothing has replaced them yet.
    condemned: Vec<Condemned>,
    /// What this node continues with instead of them, for the log line.
    instead: String,
    /// All that has been condemned since the start.
    aside: Aside,
}

/// What the cache would give after a restart.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) revision: Arc<Revision>,
    pub(super) trust: Option<PublicKey>,
    /// Where each step is written before it counts; none if there is no log that may be continued.
    pub(super) current: Option<Generation>,
    /// What would do in its place.
    pub(super) older: Older,
}

/// A generation whose log goes on.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) log: log::Writer,
}

/// The generation beside the current one.
#[derive(Debug)]
pub(super) enum Older {
    /// There is none that leads to what is held.
    Missing,
    /// There may be one.
    Unread(u64),
    /// It is given each step that the current one has.
    Following(Generation),
}

/// A generation that must not be read again.
#[derive(Debug)]
struct Condemned {
    number: u64,
    cause: String,
}

impl Store {
    /// Takes the directory for this process and reads what is there.
    pub(super) fn open(
        dir: PathBuf,
        limits: Limits,
        aside: Aside,
    ) -> Result<(Self, Loaded), CacheError> {
        files::make_private(&dir)?;
        let lock = files::lock(&dir)?;
        files::remove_drafts(&dir)?;
        let mut store = Self {
            dir,
            lock,
            limits,
            held: None,
            next: 1,
            postponed: None,
            condemned: Vec::new(),
            instead: String::new(),
            aside,
        };
        let loaded = store.load(None)?;
        Ok((store, loaded))
    }

    /// Makes this revision the one that the next start finds.
    pub(super) fn keep(
        &mut self,
        revision: &Arc<Revision>,
        trust: Option<PublicKey>,
    ) -> Result<(), CacheError> {
        if !self.append(revision, trust)? {
            self.start_generation(revision, trust)?;
        }
        Ok(())
    }

    /// Reads what the generations hold, as far as the judge believes it, and sets aside those that cannot
    /// be used.
    pub(super) fn load(&mut self, judge: Option<Judge<'_>>) -> Result<Loaded, CacheError> {
        let numbers = files::generations(&self.dir)?;
        self.next = numbers.first().map_or(1, |newest| newest + 1).max(self.next);
        let recovered = recover::recover(&self.dir, &numbers, judge);
        let damaged = recovered.damaged.into_iter();
        self.condemned = damaged.map(|(number, damage)| Condemned::by(number, &damage)).collect();
        self.condemned.iter().for_each(|c| self.aside.add(c.number, &c.cause));
        self.instead = instead(recovered.found.as_ref(), &self.condemned);
        self.held = recovered.found.map(|found| self.resume(found, recovered.other));
        let set_aside = self.replace_condemned();
        Ok(Loaded {
            revision: self.held.as_ref().map(|held| Arc::clone(&held.revision)),
            trust: self.held.as_ref().and_then(|held| held.trust),
            set_aside,
        })
    }

    fn resume(&self, found: Found, other: Option<u64>) -> Held {
        let Found { revision, trust, number, end } = found;
        let current = end.and_then(|end| self.go_on(number, end));
        Held { revision, trust, current, older: other.map_or(Older::Missing, Older::Unread) }
    }

    /// Goes on with a generation. What its log ends with, if that stops short, is cut off and kept apart.
    pub(super) fn go_on(&self, number: u64, end: log::End) -> Option<Generation> {
        let path = files::generation(&self.dir, number);
        if let Ok(Some((bytes, torn))) = end.torn() {
            let kept = quarantine::keep_end(&self.dir, number, torn).map_or_else(
                |error| format!("it cannot be kept: {error}"),
                |path| format!("it is kept in {}", path.display()),
            );
            warn!(
                "configuration cache {}: its last {bytes} bytes are a step that was cut short, as when a \
                 node dies while writing; {kept}; going on with the revision before it",
                path.display()
            );
        }
        let log = end.resume().inspect_err(|error| {
            warn!("configuration cache {}: cannot continue the log: {error}", path.display());
        });
        Some(Generation { number, log: log.ok()? })
    }

    /// Sets condemned generations aside, but not before what was read from them is written elsewhere.
    fn replace_condemned(&mut self) -> Vec<SetAside> {
        if let Some(Held { revision, trust, current: None, .. }) = &self.held {
            let (revision, trust) = (Arc::clone(revision), *trust);
            return match self.start_generation(&revision, trust) {
                Ok(set_aside) => set_aside,
                Err(error) => {
                    error!(
                        name: severity::CRIT,
                        "configuration cache {} is corrupt ({}) and cannot be replaced yet: {}; continuing with {}",
                        self.dir.display(),
                        causes(&self.condemned),
                        chain(&error),
                        self.instead
                    );
                    let still = self.condemned.iter();
                    still.map(|c| SetAside { cause: c.cause.clone(), path: None }).collect()
                }
            };
        }
        self.set_aside()
    }

    /// Adds the step to this revision to the log. False if the log cannot be continued with it, or is no
    /// longer where the next start looks.
    fn append(
        &mut self,
        revision: &Arc<Revision>,
        trust: Option<PublicKey>,
    ) -> Result<bool, CacheError> {
        if !self.is_in_place() {
            return Ok(false);
        }
        let Some(held) = self.held.as_mut().filter(|held| held.trust == trust) else {
            return Ok(false);
        };
        let Some(current) = &mut held.current else { return Ok(false) };
        if held.revision.id == revision.id && held.revision.signature == revision.signature {
            return Ok(true);
        }
        let Some(step) = Step::between(&held.revision, revision) else { return Ok(false) };
        if let Err(failure) = current.log.append(&step) {
            if failure.unsynced {
                held.current = None; // what the disk holds is anybody's guess: write it elsewhere
            }
            return Err(CacheError::io("append to", &self.dir)(failure.source));
        }
        held.revision = Arc::clone(revision);
        held.follow(&self.dir, &step);
        Ok(self.is_in_place()) // once more: whoever removes files does not wait for us
    }

    /// Whether the next start would find what is held. If not, it must be written anew, elsewhere.
    pub(super) fn is_in_place(&mut self) -> bool {
        let Some(held) = &mut self.held else { return false };
        let Some(current) = &held.current else { return false };
        let ours = self.lock.is_in(&self.dir);
        if ours && current.is_in_place(&self.dir) {
            held.older.forget_if_gone(&self.dir);
            return true;
        }
        let generation = files::generation(&self.dir, current.number);
        warn!(
            "configuration cache {}: {} was removed or replaced while in use; writing it anew",
            self.dir.display(),
            if ours { generation.display() } else { self.dir.display() }
        );
        held.current = None;
        if !ours {
            held.older = Older::Missing; // there is nothing to fall back on in a directory we did not fill
        }
        false
    }

    /// Takes the directory once more if it, or the lock in it, is not there any more. Somebody may have put
    /// generations there in the meantime.
    fn retake(&mut self) -> Result<(), CacheError> {
        if self.lock.is_in(&self.dir) {
            return Ok(());
        }
        files::make_private(&self.dir)?;
        self.lock = files::lock(&self.dir)?;
        files::remove_drafts(&self.dir)?;
        let newest = files::generations(&self.dir)?.first().copied();
        self.next = newest.map_or(1, |newest| newest + 1).max(self.next);
        Ok(())
    }

    /// Writes this revision as the next generation, which from then on is the current one.
    fn start_generation(
        &mut self,
        revision: &Arc<Revision>,
        trust: Option<PublicKey>,
    ) -> Result<Vec<SetAside>, CacheError> {
        self.retake()?;
        let number = self.next;
        let draft = files::draft(&self.dir, number);
        let log = write_draft(&draft, revision, trust.as_ref())
            .and_then(|log| files::publish(&self.dir, &draft, number).map(|()| log))
            .inspect_err(|_| files::remove_draft(&draft))?;
        let held = Held {
            revision: Arc::clone(revision),
            trust,
            current: Some(Generation { number, log }),
            older: Older::Missing,
        };
        let before = self.held.replace(held);
        self.next = number + 1;
        self.postponed = None;
        let set_aside = self.set_aside();
        // What another cluster's control plane said is nothing to fall back on.
        let before = before.filter(|before| before.trust == trust);
        self.retire_all_but(number, before.and_then(|before| before.fallback()));
        Ok(set_aside)
    }

    /// Sets a generation aside that nothing depends on any more.
    pub(super) fn condemn(&mut self, number: u64, damage: &recover::Damage) {
        if let Some(held) = &self.held {
            self.instead = format!("the newer generation at version {}", held.revision.id.version);
        }
        let condemned = Condemned::by(number, damage);
        self.aside.add(number, &condemned.cause);
        self.condemned.push(condemned);
        self.set_aside();
    }

    fn set_aside(&mut self) -> Vec<SetAside> {
        let condemned = std::mem::take(&mut self.condemned);
        condemned.into_iter().map(|c| self.set_aside_one(c)).collect()
    }

    fn set_aside_one(&self, Condemned { number, cause }: Condemned) -> SetAside {
        let (dir, instead) = (self.dir.display(), &self.instead);
        match quarantine::take(&self.dir, number) {
            Ok(path) => {
                error!(
                    name: severity::CRIT,
                    "configuration cache {dir} is corrupt ({cause}); set aside in {}; continuing with {instead}",
                    path.display()
                );
                SetAside { cause, path: Some(path) }
            }
            Err(error) => {
                error!(
                    name: severity::CRIT,
                    "configuration cache {dir} is corrupt ({cause}) and cannot be set aside: {error}; continuing with {instead}"
                );
                SetAside { cause, path: None }
            }
        }
    }

    /// Removes every generation but the current one and the one it follows.
    pub(super) fn retire_all_but(&self, current: u64, before: Option<u64>) {
        let mut numbers = files::generations(&self.dir).unwrap_or_default();
        numbers.retain(|number| *number != current && Some(*number) != before);
        for number in numbers {
            if let Err(error) = files::remove_generation(&self.dir, number) {
                warn!(
                    "configuration cache {}: cannot remove generation {number}: {error}",
                    self.dir.display()
                );
            }
        }
    }
}

impl Held {
    /// Gives the older generation a step that the current one has.
    fn follow(&mut self, dir: &Path, step: &Step) {
        let Older::Following(older) = &mut self.older else { return };
        let followed = older.log.follow(step);
        if let Err(error) = &followed {
            let path = files::generation(dir, older.number);
            warn!("configuration cache {}: cannot append to it: {error}", path.display());
        }
        if followed.is_err() {
            self.older = Older::Missing;
        }
    }

    /// The generation to fall back on should the next one be damaged.
    fn fallback(&self) -> Option<u64> {
        match (&self.current, &self.older) {
            (Some(generation), _) | (None, Older::Following(generation)) => Some(generation.number),
            (None, Older::Unread(number)) => Some(*number),
            (None, Older::Missing) => None,
        }
    }
}

impl Older {
    /// The next one is written in its place.
    fn forget_if_gone(&mut self, dir: &Path) {
        if let Self::Following(older) = self
            && !older.is_in_place(dir)
        {
            let path = files::generation(dir, older.number);
            warn!("configuration cache: {} was removed or replaced while in use", path.display());
            *self = Self::Missing;
        }
    }
}

impl Generation {
    /// Whether the next start would find it.
    fn is_in_place(&self, dir: &Path) -> bool {
        let path = files::generation(dir, self.number);
        self.log.is_in(&path) && files::has_base(&path)
    }
}

impl Condemned {
    fn by(number: u64, damage: &recover::Damage) -> Self {
        Self { number, cause: chain(damage) }
    }
}

/// Writes all files of a generation, under a name by which no start finds it.
pub(super) fn write_draft(
    draft: &Path,
    revision: &Revision,
    trust: Option<&PublicKey>,
) -> Result<log::Writer, CacheError> {
    files::make_draft(draft)?;
    let data = base::write(draft, revision)?;
    seal::write(draft, data, revision, trust)?;
    log::Writer::create(draft, revision.id)
}

/// What the node continues with, in the words of the log line.
fn instead(found: Option<&Found>, condemned: &[Condemned]) -> String {
    let Some(found) = found else { return "the control plane's answer".to_owned() };
    let version = found.revision.id.version;
    if condemned.iter().any(|c| c.number == found.number) {
        return format!("its intact part at version {version}");
    }
    let newer = condemned.iter().any(|c| c.number > found.number);
    format!("the {} generation at version {version}", if newer { "previous" } else { "newer" })
}

fn causes(condemned: &[Condemned]) -> String {
    if condemned.is_empty() {
        return "its log cannot be continued".to_owned();
    }
    let causes: Vec<_> = condemned.iter().map(|c| c.cause.as_str()).collect();
    causes.join("; ")
}
