//! The one that writes: takes what has queued, decides each write against the
//! exact configuration before it, and commits them together.
//!
//! Nothing is published before it is on the disk, and nobody is answered before
//! it is published. A write that is refused, or that fails, harms no other.
//! Where there is no disk to write to ([`keeper`]), the rest is the same.

pub(crate) mod keeper; // the database, or nobody

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use model::causes::chain;
use model::declarative::{self, Document};
use model::judge::Judge;
use model::value::Timestamp;
use model::vitals::Problem;
use model::{Config, Flavor, Revision, RevisionId, delta, severity};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, warn};

use crate::clock::Clock;
use crate::signing::SigningKey;
use crate::store::{Appended, Author, StoreError};
use crate::write::Refusal;
use keeper::{Keeper, Keeping, Kept};

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
    /// The database did not take it. The log says why.
    NotKept,
}

enum Job {
    Write(Write),
    Probe(oneshot::Sender<bool>),
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

/// Tells the one who asked: what came out, or the engine's objection. Dropped, it tells that the write
/// was not kept.
type Answer = Box<dyn FnOnce(Option<Refusal>) + Send>;

impl Committer {
    /// Starts the committer on a thread of its own, since deciding takes time that no connection should
    /// wait for. The receiver resolves when it has ended.
    pub(crate) fn start(
        kept: Kept,
        judge: Arc<dyn Judge>,
        clock: Clock,
    ) -> std::io::Result<(Self, watch::Receiver<Arc<Revision>>, oneshot::Receiver<()>)> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (head, revisions) = watch::channel(kept.head);
        let (ended, end) = oneshot::channel();
        let work = Work { keeper: kept.keeper, key: kept.key, head, judge, clock };
        let runtime = Handle::current();
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
        let change = Box::new(|config: &mut Config, now| {
            let outcome = change(config, now);
            Decided {
                accepted: outcome.is_ok(),
                is_about_one: true,
                answer: Box::new(move |objection| {
                    let _ = tell.send(objection.map_or(outcome, Err)); // the client may have left
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
        flavor: Flavor,
        with: impl Send + 'static,
    ) -> Result<Config, Failure> {
        let (tell, told) = oneshot::channel();
        let change = Box::new(move |config: &mut Config, now| {
            let _with = with;
            let loaded = declarative::load(document, now, flavor).map_err(Refusal::Document);
            if let Ok(document) = &loaded {
                *config = document.config.clone();
            }
            Decided {
                accepted: loaded.is_ok(),
                is_about_one: false,
                answer: Box::new(move |objection| {
                    let outcome = loaded.and_then(|document| unless(objection, document));
                    let _ = tell.send(outcome); // the client may have left
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
        let change = Box::new(move |config: &mut Config, _| {
            let laid = lay(config, &document.config);
            Decided {
                accepted: laid.is_ok(),
                is_about_one: false,
                answer: Box::new(move |objection| {
                    let objection = laid.err().map(Refusal::Unservable).or(objection);
                    let _ = tell.send(unless(objection, document).map(drop)); // nobody may be waiting
                }),
            }
        });
        self.change(author, change, told).await
    }

    async fn change<T>(
        &self,
        author: Author,
        change: Change,
        told: oneshot::Receiver<Result<T, Refusal>>,
    ) -> Result<T, Failure> {
        let job = Job::Write(Write::Change { author, change });
        self.queue.send(job).await.map_err(|_| Failure::NotKept)?;
        told.await.map_err(|_| Failure::NotKept)?.map_err(Failure::Refused)
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

    /// Whether the database answers.
    pub(crate) async fn is_database_reachable(&self) -> bool {
        let (tell, told) = oneshot::channel();
        self.queue.send(Job::Probe(tell)).await.is_ok() && told.await.unwrap_or(false)
    }
}

/// What a document comes to; the engine's objections are at the places of what they are about.
fn unless(objection: Option<Refusal>, document: Document) -> Result<Config, Refusal> {
    match objection {
        None => Ok(document.config),
        Some(Refusal::Unservable(problems)) => Err(Refusal::Document(document.blame(&problems))),
        Some(refusal) => Err(refusal),
    }
}

struct Work {
    keeper: Keeper,
    key: SigningKey,
    head: watch::Sender<Arc<Revision>>,
    judge: Arc<dyn Judge>,
    clock: Clock,
}

/// What remains of a group until it is on the disk.
struct Pending {
    /// The revision the next write starts from.
    head: Arc<Revision>,
    answers: Vec<(Answer, Option<Refusal>)>,
}

impl Work {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(GROUP);
        while queue.recv_many(&mut jobs, GROUP).await > 0 {
            let mut writes = Vec::with_capacity(jobs.len());
            for job in jobs.drain(..) {
                match job {
                    Job::Probe(tell) => {
                        let _ = tell.send(self.keeper.is_reachable().await);
                    }
                    Job::Write(write) => writes.push(write),
                }
            }
            if !writes.is_empty() {
                self.commit(writes).await;
            }
        }
        self.keeper.close().await;
    }

    /// Writes a group, publishes where it leads, and answers everybody. If the group is lost, the
    /// answers are dropped, refusals too: they were decided on what is not there now.
    async fn commit(&mut self, writes: Vec<Write>) {
        let now = self.clock.now();
        let judge = Judgement { key: &self.key, judge: &*self.judge, now };
        let before = self.head.borrow().clone();
        match write_group(&mut self.keeper, &judge, Arc::clone(&before), writes).await {
            Ok((pending, Ok(()))) => self.publish(pending),
            Ok((pending, Err(failure))) => self.recover(&before, Some(pending), &failure).await,
            Err(failure) => self.recover(&before, None, &failure).await,
        }
    }

    fn publish(&self, pending: Pending) {
        self.head.send_if_modified(|head| {
            let is_new = head.id != pending.head.id;
            *head = pending.head;
            is_new
        });
        for (answer, objection) in pending.answers {
            answer(objection);
        }
    }

    /// Finds out where the database is after a failure: a commit that failed may have taken place. If
    /// not even that can be read, the next write fails, and this is asked again.
    async fn recover(&mut self, before: &Revision, pending: Option<Pending>, failure: &StoreError) {
        self.keeper.reset().await;
        let failure = chain(failure);
        let head = match self.keeper.head().await {
            Ok(head) => head,
            Err(error) => {
                let error = chain(&error);
                error!(
                    name: severity::CRIT,
                    "[admin] it is not known whether anything was written: {failure}; {error}"
                );
                return;
            }
        };
        match pending.filter(|pending| head == Some(pending.head.id)) {
            _ if head == Some(before.id) => {
                error!(name: severity::CRIT, "[admin] nothing was written: {failure}");
            }
            Some(pending) => {
                warn!("[admin] revision {} was written in spite of: {failure}", pending.head.id);
                self.publish(pending);
            }
            None => {
                error!(name: severity::CRIT, "[admin] nothing was written: {failure}");
                self.adopt(before).await;
            }
        }
    }

    /// Goes on from what the database has, unless it went back in time: data planes must then see a
    /// new epoch, which a start takes care of.
    async fn adopt(&mut self, before: &Revision) {
        match self.keeper.load(&self.key).await {
            Ok(Some(found)) if found.id.position() > before.id.position() => {
                warn!("[admin] going on from revision {}, which the database has", found.id);
                self.head.send_replace(Arc::new(found));
            }
            Ok(_) => error!(
                name: severity::CRIT,
                "[admin] the database no longer has revision {}: it was replaced; start again to use it",
                before.id
            ),
            Err(error) => {
                error!(name: severity::CRIT, "[admin] the database cannot be used: {}", chain(&error))
            }
        }
    }
}

/// Decides on a group and commits it; an error that comes with what was decided is that of the commit
/// itself, which may have taken place.
async fn write_group(
    keeper: &mut Keeper,
    judgement: &Judgement<'_>,
    head: Arc<Revision>,
    writes: Vec<Write>,
) -> Result<(Pending, Result<(), StoreError>), StoreError> {
    let mut group = keeper.begin().await?;
    let mut pending = Pending { head, answers: Vec::with_capacity(writes.len()) };
    for write in writes {
        match write {
            Write::Change { author, change } => {
                pending.write(&mut group, judgement, author, change).await?;
            }
            Write::Raise { above } => pending.raise(&mut group, judgement, above).await?,
        }
    }
    let committed = group.commit(judgement.now).await;
    Ok((pending, committed))
}

impl Pending {
    async fn write(
        &mut self,
        group: &mut Keeping<'_>,
        judgement: &Judgement<'_>,
        author: Author,
        change: Change,
    ) -> Result<(), StoreError> {
        // A bug in a schema or in the engine must not end all writing.
        let decide = || judgement.decide(&self.head, change);
        let Ok((answer, verdict)) = catch_unwind(AssertUnwindSafe(decide)) else {
            error!("[admin] `{}` was given up: deciding on it panicked", author.what);
            return Ok(());
        };
        match verdict {
            Verdict::Nothing => self.answers.push((answer, None)),
            Verdict::Refused(refusal) => self.answers.push((answer, Some(refusal))),
            Verdict::Next(config) => {
                let id = &self.head.id;
                let id = RevisionId { version: id.version + 1, hash: config.hash(), ..*id };
                if self.append(group, judgement, id, *config, &author).await? {
                    self.answers.push((answer, None));
                }
            }
        }
        Ok(())
    }

    /// The database was restored: what it will count from now on must not be taken for what it counted
    /// before.
    async fn raise(
        &mut self,
        group: &mut Keeping<'_>,
        judgement: &Judgement<'_>,
        above: RevisionId,
    ) -> Result<(), StoreError> {
        let here = self.head.id;
        if above.position() <= here.position() {
            return Ok(());
        }
        let id = RevisionId { epoch: here.epoch.max(above.epoch) + 1, version: 1, ..here };
        let what = format!("a data plane has revision {above}, which is ahead of {here}");
        let author = Author { who: "gateway".into(), what: what.as_str().into() };
        if self.append(group, judgement, id, self.head.config.clone(), &author).await? {
            warn!("[admin] {what}: the database was restored; revisions now count from {id}");
        }
        Ok(())
    }

    /// Makes the revision the new head, unless the database objects to it alone.
    async fn append(
        &mut self,
        group: &mut Keeping<'_>,
        judgement: &Judgement<'_>,
        id: RevisionId,
        config: Config,
        author: &Author,
    ) -> Result<bool, StoreError> {
        let signature = match judgement.key.sign(&id) {
            Ok(signature) => signature,
            Err(failure) => {
                error!("[admin] `{}` was given up: signing failed: {failure}", author.what);
                return Ok(false);
            }
        };
        let next = Revision { id, signature: Some(signature), config };
        match group.append(&self.head, &next, signature, author, judgement.now).await? {
            Appended::Yes => {
                debug!("[admin] revision {id}: {} by {}", author.what, author.who);
                self.head = Arc::new(next);
                Ok(true)
            }
            Appended::No(failure) => {
                error!("[admin] `{}` was not written: {}", author.what, chain(&failure));
                Ok(false)
            }
        }
    }
}

/// Who decides, and when.
struct Judgement<'a> {
    key: &'a SigningKey,
    judge: &'a dyn Judge,
    now: Timestamp,
}

enum Verdict {
    /// It changes nothing, or was refused already.
    Nothing,
    /// The engine objects.
    Refused(Refusal),
    /// What comes next.
    Next(Box<Config>),
}

impl Judgement<'_> {
    /// Applies a change. A write that leaves every byte as it was makes no revision; one that only
    /// renews `updated_at` does, since that is part of what clients read.
    fn decide(&self, head: &Revision, change: Change) -> (Answer, Verdict) {
        let mut config = head.config.clone();
        let Decided { accepted, is_about_one, answer } = change(&mut config, self.now);
        if !accepted {
            return (answer, Verdict::Nothing);
        }
        if config.hash() == head.id.hash {
            return (answer, Verdict::Nothing);
        }
        match self.judge.rehearse(&config) {
            Ok(()) => (answer, Verdict::Next(Box::new(config))),
            Err(mut problems) => {
                if is_about_one {
                    problems = as_seen_by_writer(problems, &head.config, &config);
                }
                (answer, Verdict::Refused(Refusal::Unservable(problems)))
            }
        }
    }
}

/// Whoever writes an entity need not be told which one a problem is about.
fn as_seen_by_writer(problems: Vec<Problem>, from: &Config, to: &Config) -> Vec<Problem> {
    let written = delta::changes(from, to);
    let is_written = |id| written.iter().any(|change| change.id == id);
    let told = |problem: Problem| match &problem.entity {
        Some((_, id)) if is_written(*id) => Problem { entity: None, ..problem },
        _ => Problem { field: None, ..problem },
    };
    problems.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests;
