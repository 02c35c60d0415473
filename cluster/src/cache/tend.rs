//! What an open cache does in its own time, on a thread of its own: it reads the
//! generation beside the current one, and sees to it that there is one.
//!
//! Files are read and written without the lock, so that no revision waits for
//! them to be kept. What was found or written is taken over under the lock, if
//! the cache has not moved on; if it has, the task is drawn up anew.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use model::Revision;
use tracing::{error, warn};

use super::log::{self, Step};
use super::recover::{self, Damage, Found};
use super::store::{Generation, Held, Older, Store, write_draft};
use super::{CacheError, files, locked};
use crate::ed25519::PublicKey;
use crate::log::chain;

/// After this long a base that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// When to try again, whichever comes first: the log's growth costs, and so does the lack of a second
/// generation.
#[derive(Debug)]
pub(super) struct Postponed {
    until: Instant,
    frames: u64,
}

/// What is to be done next.
enum Task {
    /// Read this generation.
    Read { dir: PathBuf, number: u64 },
    /// Write the next one, and go on with that.
    Write(Next),
}

/// A generation to be written.
struct Next {
    number: u64,
    draft: PathBuf,
    revision: Arc<Revision>,
    trust: Option<PublicKey>,
    /// The one it is to follow.
    after: u64,
}

impl Store {
    /// Whether there is anything to do.
    pub(super) fn is_due(&self) -> bool {
        let Some(Held { current: Some(current), older, .. }) = &self.held else { return false };
        let (frames, bytes) = (current.log.frames(), current.log.bytes());
        let postponed = |p: &Postponed| frames < p.frames && Instant::now() < p.until;
        match older {
            Older::Unread(_) => true,
            _ if self.postponed.as_ref().is_some_and(postponed) => false,
            Older::Missing => true,
            Older::Following(_) => frames >= self.limits.frames || bytes >= self.limits.bytes,
        }
    }

    fn task(&mut self) -> Option<Task> {
        if !self.is_due() {
            return None;
        }
        let Held { revision, trust, current, older } = self.held.as_ref()?;
        if let Older::Unread(number) = older {
            return Some(Task::Read { dir: self.dir.clone(), number: *number });
        }
        let (number, after) = (self.next, current.as_ref()?.number);
        let draft = files::draft(&self.dir, number);
        self.next += 1;
        Some(Task::Write(Next {
            number,
            draft,
            revision: Arc::clone(revision),
            trust: *trust,
            after,
        }))
    }

    /// Takes over what was read of this generation.
    fn was_read(&mut self, number: u64, found: Option<Found>, damage: Option<&Damage>) {
        let Some(held) = self.held.as_mut() else { return };
        if !matches!(held.older, Older::Unread(unread) if unread == number) {
            return;
        }
        held.older = Older::Missing;
        if !files::generation(&self.dir, number).exists() {
            return; // somebody has removed it: there is nothing to look at
        }
        if let Some(damage) = damage {
            return self.condemn(number, damage);
        }
        let (trust, held_revision) = (held.trust, Arc::clone(&held.revision));
        let Some(Found { revision, end: Some(end), .. }) = found.filter(|f| f.trust == trust)
        else {
            return;
        };
        let Some(mut generation) = self.go_on(number, end) else { return };
        let caught_up = revision.id == held_revision.id || {
            let step = Step::between(&revision, &held_revision);
            step.is_some_and(|step| generation.log.append(&step).is_ok())
        };
        if let Some(held) = self.held.as_mut().filter(|_| caught_up) {
            held.older = Older::Following(generation);
        }
    }

    /// Takes over what was written. The steps since are made up for.
    fn was_written(&mut self, next: &Next, mut log: log::Writer) -> Result<(), CacheError> {
        let is_next =
            self.is_in_place() && self.held.as_ref().is_some_and(|held| next.follows(held));
        let Some(held) = self.held.as_mut().filter(|_| is_next) else {
            files::remove_draft(&next.draft);
            return Ok(());
        };
        if next.revision.id != held.revision.id
            || next.revision.signature != held.revision.signature
        {
            let Some(step) = Step::between(&next.revision, &held.revision) else {
                files::remove_draft(&next.draft);
                return Ok(());
            };
            let appended = log.append(&step).map_err(|failure| failure.source);
            appended.map_err(CacheError::io("append to", &next.draft))?;
        }
        files::publish(&self.dir, &next.draft, next.number)?;
        let before = held.current.replace(Generation { number: next.number, log });
        held.older = before.map_or(Older::Missing, Older::Following);
        self.postponed = None;
        self.retire_all_but(next.number, Some(next.after));
        Ok(())
    }

    fn was_not_written(&mut self, next: &Next, error: &CacheError) {
        files::remove_draft(&next.draft);
        let Some(Held { current: Some(current), .. }) = &self.held else { return };
        let frames = current.log.frames() + self.limits.frames.div_ceil(10);
        self.postponed = Some(Postponed { until: Instant::now() + RETRY, frames });
        warn!(
            "configuration cache {}: cannot write the next base: {}; the log grows on",
            self.dir.display(),
            chain(error)
        );
    }
}

impl Next {
    fn follows(&self, held: &Held) -> bool {
        let current = held.current.as_ref().map(|current| current.number);
        current == Some(self.after) && held.trust == self.trust
    }
}

/// Does what is due.
fn tend(store: &Mutex<Store>) {
    loop {
        let task = locked(store).task(); // and unlocked again
        match task {
            None => return,
            Some(Task::Read { dir, number }) => {
                let (found, damage) = recover::read(&dir, number, None);
                locked(store).was_read(number, found, damage.as_ref());
            }
            Some(Task::Write(next)) => {
                let log = write_draft(&next.draft, &next.revision, next.trust.as_ref());
                let mut store = locked(store);
                if let Err(error) = log.and_then(|log| store.was_written(&next, log)) {
                    store.was_not_written(&next, &error);
                }
            }
        }
    }
}

/// The thread that tends a cache. When this is dropped, it finishes what it was told.
#[derive(Debug)]
pub(super) struct Tender {
    tell: Option<Sender<Option<Sender<()>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Tender {
    /// Starts the thread, which does nothing before it is told to.
    pub(super) fn start(store: Arc<Mutex<Store>>) -> io::Result<Self> {
        let (tell, told) = mpsc::channel();
        let thread =
            thread::Builder::new().name("cache".to_owned()).spawn(move || run(&store, &told))?;
        Ok(Self { tell: Some(tell), thread: Some(thread) })
    }

    /// Says that something may be due.
    pub(super) fn wake(&self) {
        self.send(None);
    }

    /// Waits until nothing is due.
    pub(super) fn settle(&self) {
        let (done, settled) = mpsc::channel();
        self.send(Some(done));
        let _ = settled.recv(); // a thread that is gone does nothing any more
    }

    fn send(&self, done: Option<Sender<()>>) {
        if let Some(tell) = &self.tell {
            let _ = tell.send(done);
        }
    }
}

impl Drop for Tender {
    fn drop(&mut self) {
        drop(self.tell.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("configuration cache: its thread has panicked");
        }
    }
}

fn run(store: &Mutex<Store>, told: &Receiver<Option<Sender<()>>>) {
    loop {
        match told.recv_timeout(RETRY) {
            Ok(done) => {
                tend(store);
                drop(done);
            }
            // What was postponed may be due.
            Err(RecvTimeoutError::Timeout) if locked(store).postponed.is_some() => tend(store),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
