//! Newest revision → compile → publish → verdict.
//!
//! Runs in the background, off the workers. The latest revision wins: what arrived
//! while another was being compiled is compiled next, and what it superseded never. A
//! refused revision changes nothing but the verdict.

use super::CompileOptions;
use super::judge::{INTERNAL, compile_or_say_why};
use super::overlaps::Watch;
use super::remarks::{News, Remarks};
use super::{Publisher, Snapshot};
use model::vitals::{Problem, Refusal, Verdict};
use model::{Revision, RevisionId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// How often replaced snapshots are looked after while requests hold some.
const FREE_EVERY: Duration = Duration::from_secs(1);

/// Follows `revisions` until their source is gone: compiles and publishes the newest,
/// and says in `verdicts` which one every worker serves, and which was refused. Ends when
/// no request holds a snapshot that was replaced.
pub async fn follow(
    mut revisions: watch::Receiver<Arc<Revision>>,
    publisher: Publisher,
    verdicts: watch::Sender<Verdict>,
) {
    let (watch, said) = (Watch::start(), Remarks::default());
    let mut follower = Follower { publisher, verdicts, watch, unseen: None, tried: None, said };
    // What is there already counts as news.
    revisions.mark_changed();
    loop {
        let holding = follower.publisher.free_retired() > 0;
        tokio::select! {
            biased;
            () = follower.publisher.effective(), if follower.unseen.is_some() => follower.announce(),
            news = revisions.changed() => {
                if news.is_err() {
                    break;
                }
                let revision = Arc::clone(&revisions.borrow_and_update());
                follower.take(revision).await;
            }
            () = sleep(FREE_EVERY), if holding => {}
        }
    }
    if follower.unseen.is_some() {
        follower.publisher.effective().await;
        follower.announce();
    }
    // Requests may go on for long after their gateway has begun to leave.
    while follower.publisher.free_retired() > 0 {
        sleep(FREE_EVERY).await;
    }
}

/// What workers begin with: a client that connects right after a restart must not be
/// told that nothing is configured. If this revision is refused, [`follow`], which begins
/// with the same one, says so. All that follow are compiled with these options.
pub(crate) fn first(revision: &Revision, options: CompileOptions) -> Arc<Snapshot> {
    let empty = Snapshot::empty_for(options);
    compile_or_say_why(revision, &empty).map_or(empty, Arc::new)
}

struct Follower {
    publisher: Publisher,
    verdicts: watch::Sender<Verdict>,
    watch: Watch,
    /// Published, but some worker has yet to see it.
    unseen: Option<RevisionId>,
    /// The last revision that was compiled, well or not.
    tried: Option<RevisionId>,
    /// What the operator has been told about what is served.
    said: Remarks,
}

impl Follower {
    async fn take(&mut self, revision: Arc<Revision>) {
        let id = revision.id;
        if self.tried.replace(id) == Some(id) {
            return;
        }
        let compiled = compile_aside(revision, Arc::clone(self.publisher.current())).await;
        // Workers may have seen the one before while this one was being compiled.
        if self.publisher.is_effective() {
            self.announce();
        }
        match compiled {
            Ok(snapshot) => {
                self.watch.look_at(&snapshot);
                for news in snapshot.news_since(&self.said) {
                    match news {
                        News::Warning(line) => tracing::warn!(revision = %id, "{line}"),
                        News::Hint(line) => tracing::info!(revision = %id, "{line}"),
                    }
                }
                let before = &self.publisher.current().certificates;
                if let Some(line) = snapshot.certificates.news(before) {
                    tracing::warn!(revision = %id, "{line}");
                }
                self.said = snapshot.remarks.clone();
                self.publisher.publish(Arc::new(snapshot));
                self.unseen = Some(id);
            }
            Err(problems) => self.refuse(id, problems),
        }
    }

    /// Every worker has seen what was published last.
    fn announce(&mut self) {
        if let Some(id) = self.unseen.take() {
            tracing::info!("every worker serves revision {id}");
            self.verdicts.send_modify(|verdict| verdict.effective = Some(id));
        }
    }

    fn refuse(&self, revision: RevisionId, problems: Vec<Problem>) {
        for problem in &problems {
            tracing::error!(%revision, code = problem.code, "revision refused: {problem}");
        }
        self.verdicts.send_modify(|verdict| verdict.refused = Some(Refusal { revision, problems }));
    }
}

async fn compile_aside(
    revision: Arc<Revision>,
    previous: Arc<Snapshot>,
) -> Result<Snapshot, Vec<Problem>> {
    let compiling = spawn_blocking(move || compile_or_say_why(&revision, &previous));
    compiling.await.unwrap_or_else(|error| {
        let message = format!("compiling was interrupted: {error}");
        Err(vec![Problem { code: INTERNAL.to_owned(), entity: None, field: None, message }])
    })
}
