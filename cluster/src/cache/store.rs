//! What an open cache holds, and what becomes of the next revision: a frame of
//! the log, or a generation of its own.
//!
//! Whatever fails, what was kept before stays readable: a generation is removed
//! or set aside only after the one that replaces it is on disk. A step counts as
//! kept only if its log is still under its name: files can be removed under us.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Delta, Revision, severity};
use tracing::{error, warn};

use super::recover::{self, Found};
use super::{CacheError, Limits, Loaded, SetAside, base, files, log, quarantine, seal};
use crate::ed25519::PublicKey;
use crate::log::chain;

/// What an open cache holds, and where.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    lock: files::Lock,
    limits: Limits,
    held: Option<Held>,
    /// The number of the next generation: above any ever seen here.
    next: u64,
    /// After a failure, no base is written before the log has this many frames.
    postponed: u64,
    /// Damaged generations that are still in place, because nothing has replaced them yet.
    condemned: Vec<Condemned>,
    /// What this node continues with instead of them, for the log line.
    instead: String,
}

/// What the cache would give after a restart.
#[derive(Debug)]
struct Held {
    revision: Arc<Revision>,
    trust: Option<PublicKey>,
    /// The generations it is made from, newest first: more than one if a base was damaged.
    used: Vec<u64>,
    /// The newest one's log; none if that must not be continued.
    log: Option<log::Writer>,
}

/// A generation that must not be read again.
#[derive(Debug)]
struct Condemned {
    number: u64,
    cause: String,
}

impl Store {
    /// Takes the directory for this process and reads what is there.
    pub(super) fn open(dir: PathBuf, limits: Limits) -> Result<(Self, Loaded), CacheError> {
        files::make_private(&dir)?;
        let lock = files::lock(&dir)?;
        files::remove_drafts(&dir)?;
        let mut store = Self {
            dir,
            lock,
            limits,
            held: None,
            next: 1,
            postponed: 0,
            condemned: Vec::new(),
            instead: String::new(),
        };
        let loaded = store.load(Vec::new())?;
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
        self.start_generation_if_due();
        Ok(())
    }

    /// Condemns what was loaded last, and loads what remains.
    pub(super) fn reject(&mut self, cause: &dyn Error) -> Result<Loaded, CacheError> {
        let mut condemned = std::mem::take(&mut self.condemned);
        let used = self.held.take().map(|held| held.used).unwrap_or_default();
        let cause = chain(cause);
        condemned.extend(used.into_iter().map(|number| Condemned { number, cause: cause.clone() }));
        self.load(condemned)
    }

    /// Reads what the generations that are not condemned hold, and sets aside those that cannot be used.
    fn load(&mut self, mut condemned: Vec<Condemned>) -> Result<Loaded, CacheError> {
        let mut numbers = files::generations(&self.dir)?;
        self.next = numbers.first().map_or(1, |newest| newest + 1).max(self.next);
        numbers.retain(|number| condemned.iter().all(|c| c.number != *number));

        let recovered = recover::recover(&self.dir, &numbers);
        self.instead = instead(recovered.found.as_ref(), !condemned.is_empty());
        condemned.extend(
            recovered
                .damaged
                .into_iter()
                .map(|(number, damage)| Condemned { number, cause: chain(&damage) }),
        );
        self.condemned = condemned;
        self.held = recovered.found.map(Held::resume);
        let set_aside = self.replace_condemned();
        Ok(Loaded {
            revision: self.held.as_ref().map(|held| Arc::clone(&held.revision)),
            trust: self.held.as_ref().and_then(|held| held.trust),
            set_aside,
        })
    }

    /// Sets condemned generations aside, but not before what was read from them is written elsewhere.
    fn replace_condemned(&mut self) -> Vec<SetAside> {
        if let Some(Held { revision, trust, log: None, .. }) = &self.held {
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
        let Some(log) = &mut held.log else { return Ok(false) };
        if held.revision.id == revision.id && held.revision.signature == revision.signature {
            return Ok(true);
        }
        let Some(frame) = log.frame(&Delta::between(&held.revision, revision)) else {
            return Ok(false);
        };
        if let Err(failure) = log.append(&frame) {
            if failure.unsynced {
                held.log = None; // what the disk holds is anybody's guess: write it elsewhere
            }
            return Err(CacheError::io("append to", &self.dir)(failure.source));
        }
        held.revision = Arc::clone(revision);
        Ok(self.is_in_place()) // once more: whoever removes files does not wait for us
    }

    /// Whether the next start would find what is held. If not, it must be written anew, elsewhere.
    fn is_in_place(&mut self) -> bool {
        let Some(Held { used, log: Some(log), .. }) = &self.held else { return false };
        let Some(number) = used.first().copied() else { return false };
        let generation = files::generation(&self.dir, number);
        let ours = self.lock.is_in(&self.dir);
        if ours && log.is_in(&generation) && files::has_base(&generation) {
            return true;
        }
        warn!(
            "configuration cache {}: {} was removed or replaced while in use; writing it anew",
            self.dir.display(),
            if ours { generation.display() } else { self.dir.display() }
        );
        // There is something to fall back on only if the directory is the one that we filled.
        let mut older = files::generations(&self.dir).unwrap_or_default();
        older.retain(|other| ours && *other < number);
        if let Some(held) = &mut self.held {
            held.log = None;
            held.used = older.into_iter().take(1).collect();
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

    /// A log that has become long is a reason for the next base, but a failure to write that is no failure
    /// to keep the revision: it is in the log.
    fn start_generation_if_due(&mut self) {
        let Some(Held { revision, trust, log: Some(log), .. }) = &self.held else { return };
        let long = log.frames() >= self.limits.frames || log.bytes() >= self.limits.bytes;
        if !long || log.frames() < self.postponed {
            return;
        }
        let (revision, trust, frames) = (Arc::clone(revision), *trust, log.frames());
        if let Err(error) = self.start_generation(&revision, trust) {
            self.postponed = frames + self.limits.frames.div_ceil(10);
            warn!(
                "configuration cache {}: cannot write the next base: {}; the log grows on",
                self.dir.display(),
                chain(&error)
            );
        }
    }

    /// Writes this revision as the next generation, which from then on is the current one.
    fn start_generation(
        &mut self,
        revision: &Arc<Revision>,
        trust: Option<PublicKey>,
    ) -> Result<Vec<SetAside>, CacheError> {
        self.retake()?;
        let number = self.next;
        let log = write_generation(&self.dir, number, revision, trust.as_ref())?;
        let used = vec![number];
        let before =
            self.held.replace(Held { revision: Arc::clone(revision), trust, used, log: Some(log) });
        self.next = number + 1;
        self.postponed = 0;
        let set_aside = self.set_aside();
        // What another cluster's control plane said is nothing to fall back on.
        let before = before.filter(|before| before.trust == trust);
        self.retire_all_but(number, before.and_then(|before| before.used.last().copied()));
        Ok(set_aside)
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
    fn retire_all_but(&self, current: u64, before: Option<u64>) {
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
    fn resume(found: Found) -> Self {
        let log = found.end.and_then(|end| {
            end.resume()
                .inspect_err(|error| warn!("configuration cache: cannot continue the log: {error}"))
                .ok()
        });
        Self { revision: found.revision, trust: found.trust, used: found.used, log }
    }
}

/// Makes a generation that appears whole or not at all.
fn write_generation(
    dir: &Path,
    number: u64,
    revision: &Revision,
    trust: Option<&PublicKey>,
) -> Result<log::Writer, CacheError> {
    let draft = files::draft(dir, number);
    let write = || {
        files::make_draft(&draft)?;
        let data = base::write(&draft, revision)?;
        seal::write(&draft, data, revision, trust)?;
        let log = log::Writer::create(&draft, revision.id)?;
        files::publish(dir, &draft, number)?;
        Ok(log)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_dir_all(&draft); // gives a full disk its room back; else done at the next start
    })
}

/// What the node continues with, in the words of the log line.
fn instead(found: Option<&Found>, rejected: bool) -> String {
    match found {
        None => "the control plane's answer".to_owned(),
        Some(found) if rejected || found.fell_back => {
            format!("the previous generation at version {}", found.revision.id.version)
        }
        Some(found) => format!("its intact part at version {}", found.revision.id.version),
    }
}

fn causes(condemned: &[Condemned]) -> String {
    if condemned.is_empty() {
        return "its log cannot be continued".to_owned();
    }
    let causes: Vec<_> = condemned.iter().map(|c| c.cause.as_str()).collect();
    causes.join("; ")
}
