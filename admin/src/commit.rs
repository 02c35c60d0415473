//! The one that writes: takes what has queued, decides each write against the
//! exact configuration before it, and commits them together.
//!
//! Nothing is published before it is on the disk, and nobody is answered before
//! it is published. A write that is refused, or that fails, harms no other.
//! Where there is no disk to write to ([`keeper`]), the rest is the same.

pub(crate) mod keeper; // the database, or nobody
mod group; // several writes, decided and written together

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use model::causes::chain;
use model::declarative::{self, Document};
use model::judge::Judge;
use model::value::Timestamp;
use model::vitals::Problem;
use model::{Config, Revision, RevisionId, Terms, severity};
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, warn};

use crate::clock::Clock;
use crate::signing::SigningKey;
use crate::store::{Author, News, StoreError};
use crate::write::Refusal;
use group::{Judgement, Pending, write_group};
use keeper::{Keeper, Kept};

/// How many writes share a transaction, at most.
const GROUP: usize = 64;

/// How many writes wait for one; whoever comes later waits to get in line.
const QUEUE: usize = 1024;

/// The queue of writes. It ends when the last of these is gone.
#[derive(Clone, Debug)]
pub(crate) struct Committer {
    queue: mpsc::Sender<Job>,
}

/// Why a write has no effect.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It may not be.
    Refused(Refusal),
    /// It cannot be decided on or kept, whenever it is tried. The log says why.
    NotKept,
    /// The database did not confirm it. It may be there: nobody could tell.
    Unavailable,
}

enum Job {
    Write(Write),
    Refresh,
    /// Told whether there is more to be done.
    Tidy(oneshot::Sender<bool>),
}

/// What makes a revision.
enum Write {
    Change { author: Author, change: Change },
    Raise { above: RevisionId },
}

type Change = Box<dyn FnOnce(&mut Config, Timestamp) -> Decided + Send>;

/// What a change came to, not told to anybody yet.
struct Decided {
    accepted: bool,
    /// Whether it was about an entity, which the one who asked then need not be told.
    is_about_one: bool,
    answer: Answer,
}

/// Tells the one who asked: the revision that has what came out, or why it came to nothing after all.
/// Dropped, it tells that the database was not available.
type Answer = Box<dyn FnOnce(Result<RevisionId, Failure>) + Send>;

impl Committer {
    /// Starts the committer on a thread of its own, since deciding takes time that no connection should
    /// wait for, and with a runtime of its own, since each word to a server and back would take two more
    /// switches of threads otherwise. The receiver resolves when it has ended.
    pub(crate) fn start(
        kept: Kept,
        judge: Arc<dyn Judge>,
        clock: Clock,
    ) -> std::io::Result<(Self, watch::Receiver<Arc<Revision>>, oneshot::Receiver<()>)> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (head, revisions) = watch::channel(kept.head);
        let (ended, end) = oneshot::channel();
        let work = Work { keeper: kept.keeper, key: kept.key, head, judge, clock };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("committer".to_owned()).spawn(move || {
            runtime.block_on(work.run(jobs));
            let _ = ended.send(()); // nobody may be waiting
        })?;
        Ok((Self { queue }, revisions, end))
    }

    /// Has `change` applied to the newest configuration. Returns when the revision it makes is
    /// published; one that changes nothing makes none.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        author: Author,
        change: impl FnOnce(&mut Config, Timestamp) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Failure> {
        let (tell, told) = oneshot::channel();
        let what = Arc::clone(&author.what);
        let change = Box::new(move |config: &mut Config, now| {
            let outcome = guarded(&what, || change(config, now));
            let accepted = matches!(outcome, Ok(Ok(_)));
            let outcome = outcome.and_then(|outcome| outcome.map_err(Failure::Refused));
            Decided {
                accepted,
                is_about_one: true,
                answer: Box::new(move |fate| {
                    let _ = tell.send(fate.and(outcome)); // the client may have left
                }),
            }
        });
        self.change(author, change, told).await
    }

    /// Puts a document in the place of the newest configuration: all of it, or nothing. Returns the
    /// configuration that it is. What comes with the document is dropped with it.
    pub(crate) async fn load(
        &self,
        author: Author,
        document: Value,
        terms: Terms,
        with: impl Send + 'static,
    ) -> Result<Config, Failure> {
        let (tell, told) = oneshot::channel();
        let what = Arc::clone(&author.what);
        let change = Box::new(move |config: &mut Config, now| {
            let _with = with;
            let loaded = guarded(&what, || declarative::load(document, now, terms));
            if let Ok(Ok(document)) = &loaded {
                *config = document.config.clone();
            }
            Decided {
                accepted: matches!(loaded, Ok(Ok(_))),
                is_about_one: false,
                answer: Box::new(move |fate| {
                    let outcome = loaded.and_then(|loaded| {
                        let refuse = |violations| Failure::Refused(Refusal::Document(violations));
                        became(fate, loaded.map_err(refuse)?)
                    });
                    let _ = tell.send(outcome); // the client may have left
                }),
            }
        });
        self.change(author, change, told).await
    }

    /// Puts an older configuration in the place of the newest. Returns the revision that has it.
    pub(crate) async fn restore(&self, author: Author, old: Config) -> Result<RevisionId, Failure> {
        let (tell, told) = oneshot::channel();
        let change = Box::new(move |config: &mut Config, _| {
            *config = old;
            Decided {
                accepted: true,
                is_about_one: false,
                answer: Box::new(move |fate| {
                    let _ = tell.send(fate); // the client may have left
                }),
            }
        });
        self.change(author, change, told).await
    }

    /// Has a document laid over the newest configuration, in the way that `lay` says: all of it, or
    /// nothing.
    pub(crate) async fn lay(
        &self,
        author: Author,
        document: Document,
        lay: impl FnOnce(&mut Config, &Config) -> Result<(), Vec<Problem>> + Send + 'static,
    ) -> Result<(), Failure> {
        let (tell, told) = oneshot::channel();
        let what = Arc::clone(&author.what);
        let change = Box::new(move |config: &mut Config, _| {
            let laid = guarded(&what, || lay(config, &document.config));
            Decided {
                accepted: matches!(laid, Ok(Ok(()))),
                is_about_one: false,
                answer: Box::new(move |fate| {
                    let object = |problems| Failure::Refused(Refusal::Unservable(problems));
                    let laid = laid.and_then(|laid| laid.map_err(object));
                    let fate = laid.and(fate);
                    let _ = tell.send(became(fate, document).map(drop)); // nobody may be waiting
                }),
            }
        });
        self.change(author, change, told).await
    }

    /// Lets go of what need not be kept any longer, though nobody may be writing.
    pub(crate) async fn tidy(&self) {
        loop {
            // Some of it at a time, so that writes come in between.
            let (tell, told) = oneshot::channel();
            let is_sent = self.queue.send(Job::Tidy(tell)).await.is_ok();
            if !is_sent || !told.await.unwrap_or(false) {
                return; // without a committer nothing grows
            }
        }
    }

    async fn change<T>(
        &self,
        author: Author,
        change: Change,
        told: oneshot::Receiver<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let job = Job::Write(Write::Change { author, change });
        self.queue.send(job).await.map_err(|_| Failure::Unavailable)?;
        told.await.unwrap_or(Err(Failure::Unavailable))
    }

    /// Looks for what others wrote.
    pub(crate) async fn refresh(&self) {
        let _ = self.queue.send(Job::Refresh).await; // without a committer nothing is published
    }

    /// Raises the epoch above that of a revision that is ahead of the head.
    pub(crate) async fn raise(&self, above: RevisionId) {
        let job = Job::Write(Write::Raise { above });
        let _ = self.queue.send(job).await; // without a committer there is nothing to raise
    }

    /// How many writes are in line.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        QUEUE - self.queue.capacity()
    }
}

/// What a document comes to; the engine's objections are at the places of what they are about.
fn became(fate: Result<RevisionId, Failure>, document: Document) -> Result<Config, Failure> {
    match fate {
        Ok(_) => Ok(document.config),
        Err(Failure::Refused(Refusal::Unservable(problems))) => {
            Err(Failure::Refused(Refusal::Document(document.blame(&problems))))
        }
        Err(failure) => Err(failure),
    }
}

/// A bug in a schema or in the engine must not end all writing.
fn guarded<T>(what: &str, decide: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(decide)).map_err(|_| {
        error!("[admin] `{what}` was given up: deciding on it panicked");
        Failure::NotKept
    })
}

struct Work {
    keeper: Keeper,
    key: SigningKey,
    head: watch::Sender<Arc<Revision>>,
    judge: Arc<dyn Judge>,
    clock: Clock,
}

impl Work {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        self.keeper.come_here().await;
        let mut jobs = Vec::with_capacity(GROUP);
        while queue.recv_many(&mut jobs, GROUP).await > 0 {
            let mut writes = Vec::with_capacity(jobs.len());
            let mut refreshes = false;
            for job in jobs.drain(..) {
                match job {
                    Job::Refresh => refreshes = true,
                    Job::Tidy(tell) => {
                        let _ = tell.send(self.tidy().await); // nobody may be waiting
                    }
                    Job::Write(write) => writes.push(write),
                }
            }
            if !writes.is_empty() {
                self.commit(writes).await; // which looks for what others wrote
            } else if refreshes {
                self.refresh().await;
            }
        }
        self.keeper.close().await;
    }

    /// Lets go of some of what is too old to be kept. Says whether there is more of it.
    async fn tidy(&mut self) -> bool {
        match self.keeper.tidy(self.clock.now()).await {
            Ok(has_more) => has_more,
            Err(failure) => {
                warn!("[admin] the audit log could not be shortened: {}", chain(&failure));
                self.keeper.reset().await;
                false
            }
        }
    }

    /// Writes a group, publishes where it leads, and answers everybody. If the group is lost, the
    /// answers are dropped, refusals too: they were decided on what is not there now.
    async fn commit(&mut self, writes: Vec<Write>) {
        let now = self.clock.now();
        let judge = Judgement { key: &self.key, judge: &*self.judge, now };
        let head = self.head.borrow().clone();
        match write_group(&mut self.keeper, &judge, head, writes).await {
            Ok((pending, Ok(()))) => self.publish(pending),
            Ok((pending, Err(failure))) => self.find_out(pending, &failure).await,
            Err(failure) => {
                self.keeper.reset().await;
                if failure.is_expected() {
                    debug!("[admin] nothing was written: {}", chain(&failure));
                } else {
                    error!(name: severity::CRIT, "[admin] nothing was written: {}", chain(&failure));
                }
            }
        }
    }

    fn publish(&self, pending: Pending) {
        self.head.send_if_modified(|head| {
            let is_new = head.id != pending.head.id;
            *head = pending.head;
            is_new
        });
        for (answer, fate) in pending.answers {
            answer(fate);
        }
    }

    /// Finds out where the database is after a commit that failed, and may have taken place all the
    /// same. If not even that can be read, whoever looks next finds it.
    async fn find_out(&mut self, pending: Pending, failure: &StoreError) {
        self.keeper.reset().await;
        let failure = chain(failure);
        match self.keeper.settled(self.clock.now()).await {
            Ok(head) if head == Some(pending.head.id) => {
                warn!("[admin] revision {} was written in spite of: {failure}", pending.head.id);
                self.publish(pending);
            }
            Ok(_) => {
                error!(name: severity::CRIT, "[admin] nothing was written: {failure}");
                self.look().await; // an older copy is found by whoever writes next
            }
            Err(error) => {
                let error = chain(&error);
                error!(
                    name: severity::CRIT,
                    "[admin] it is not known whether anything was written: {failure}; {error}"
                );
            }
        }
    }

    /// Goes on from what others wrote, if they did. A database that is an older copy of itself gets a
    /// new epoch.
    async fn refresh(&mut self) {
        if self.look().await {
            self.commit(Vec::new()).await;
        }
    }

    /// Goes on from what others wrote, if they did. Says whether what was there is gone.
    async fn look(&mut self) -> bool {
        let head = self.head.borrow().clone();
        match self.keeper.news(&head, &self.key).await {
            Ok(News::None) => {}
            Ok(News::Head(found)) => {
                debug!("[admin] going on from revision {}, which another node wrote", found.id);
                self.head.send_replace(Arc::new(*found));
            }
            Ok(News::Restored) => return true,
            Err(failure) => {
                self.keeper.reset().await;
                debug!("[admin] it is not known what others wrote: {}", chain(&failure));
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
