//! Who sees what, when, and who frees it.

use super::get;
use engine::snapshot::{Held, Publisher, Reader, Snapshot, compile, follow::follow};
use model::testing::{revision, route};
use model::vitals::Verdict;
use model::{Config, Revision};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::watch;

#[test]
fn a_snapshot_is_effective_once_every_worker_has_seen_it() {
    let (mut publisher, [one, two]) = publisher();
    publisher.publish(snapshot(1));
    assert!(!publisher.is_effective());
    assert_eq!(one.pin().id.version, 1);
    assert!(!publisher.is_effective());
    two.pin();
    assert!(publisher.is_effective());
    publisher.publish(snapshot(2));
    assert!(!publisher.is_effective());
}

#[test]
fn a_worker_that_is_gone_is_not_waited_for() {
    let (mut publisher, [one, two]) = publisher();
    publisher.publish(snapshot(1));
    one.pin();
    drop(two);
    assert!(publisher.is_effective());
}

#[test]
fn what_requests_hold_is_kept_and_then_freed_by_the_publisher() {
    let (mut publisher, [one, _two]) = publisher();
    let first = snapshot(1);
    let alive = Arc::downgrade(&first);
    publisher.publish(first);
    let held = one.pin();
    publisher.publish(snapshot(2));
    publisher.publish(snapshot(3));
    assert_eq!(held.id.version, 1, "a request ends on the snapshot it began with");
    assert_eq!(publisher.free_retired(), 1);
    let told = publisher.held();
    let oldest = told.borrow().oldest.map(|oldest| oldest.revision.version);
    assert_eq!((told.borrow().count, oldest), (2, Some(1)));
    drop(held);
    assert!(alive.upgrade().is_some(), "the worker must not be the one to free it");
    assert_eq!(publisher.free_retired(), 0);
    assert!(alive.upgrade().is_none());
    assert_eq!(*told.borrow(), Held { count: 1, oldest: None });
}

#[test]
fn no_request_sees_a_mix() {
    const LAST: u64 = 300;
    let (mut publisher, readers) = publisher::<2>();
    thread::scope(|scope| {
        for reader in readers {
            scope.spawn(move || {
                let mut last = 0;
                while last < LAST {
                    let pinned = reader.pin();
                    assert!(pinned.id.version >= last, "history does not go back");
                    last = pinned.id.version;
                    for path in ["/a", "/b"] {
                        let found = get(&pinned, path).map(|found| found.route.name.clone());
                        let name = found.flatten().map(|name| name.to_string());
                        assert_eq!(name, (last > 0).then(|| format!("{last}{}", &path[1..])));
                    }
                }
            });
        }
        for version in 1..=LAST {
            publisher.publish(snapshot(version));
        }
    });
    assert!(publisher.is_effective());
    assert_eq!(publisher.free_retired(), 0);
}

#[tokio::test]
async fn the_verdict_names_what_every_worker_serves() {
    let mut engine = Engine::start(revision_of(1));
    engine.effective(1).await;
    engine.revisions.send_replace(revision_of(2));
    engine.effective(2).await;
    assert_eq!(engine.reader.pin().id.version, 2);
}

#[tokio::test]
async fn a_refused_revision_changes_nothing_but_the_verdict() {
    let mut engine = Engine::start(revision_of(1));
    engine.effective(1).await;
    let mut config = revision_of(1).config.clone();
    config.write(route("bad").path("~/(x").build());
    engine.revisions.send_replace(revision(2, config));
    let verdict = engine.verdict(|verdict| verdict.refused.is_some()).await;
    assert_eq!(verdict.effective.map(|id| id.version), Some(1));
    let refusal = verdict.refused.expect("a refusal");
    assert_eq!((refusal.revision.version, refusal.problems.len()), (2, 1));
    assert_eq!(engine.reader.pin().id.version, 1);

    engine.revisions.send_replace(revision_of(3));
    engine.effective(3).await;
}

#[tokio::test]
async fn the_latest_revision_wins() {
    let mut engine = Engine::start(revision_of(1));
    // Nothing has run yet: the test has not waited.
    engine.revisions.send_replace(revision_of(2));
    engine.revisions.send_replace(revision_of(3));
    let verdict = engine.verdict(|verdict| verdict.effective.is_some()).await;
    assert_eq!(verdict.effective.map(|id| id.version), Some(3));
}

#[tokio::test]
async fn following_ends_with_the_source_of_revisions() {
    let engine = Engine::start(revision_of(1));
    drop(engine.revisions);
    engine.following.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn following_goes_on_for_as_long_as_a_request_holds_what_was_replaced() {
    let mut engine = Engine::start(revision_of(1));
    engine.effective(1).await;
    let held = engine.reader.pin();
    engine.revisions.send_replace(revision_of(2));
    engine.effective(2).await;
    drop(engine.revisions);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!engine.following.is_finished());
    drop(held);
    engine.following.await.expect("no panic");
}

/// All of it but for the workers, of which one is played by a task and one by the test.
struct Engine {
    revisions: watch::Sender<Arc<Revision>>,
    verdicts: watch::Receiver<Verdict>,
    following: tokio::task::JoinHandle<()>,
    reader: Arc<Reader>,
}

impl Engine {
    fn start(first: Arc<Revision>) -> Engine {
        let (publisher, readers) = publisher::<2>();
        let readers = readers.map(Arc::new);
        for reader in readers.clone() {
            tokio::spawn(async move {
                loop {
                    reader.changed().await;
                }
            });
        }
        let [reader, _] = readers;
        let (revisions, incoming) = watch::channel(first);
        let (outgoing, verdicts) = watch::channel(Verdict::default());
        let following = tokio::spawn(follow(incoming, publisher, outgoing));
        Engine { revisions, verdicts, following, reader }
    }

    async fn verdict(&mut self, is: impl FnMut(&Verdict) -> bool) -> Verdict {
        self.verdicts.wait_for(is).await.expect("it follows on").clone()
    }

    async fn effective(&mut self, version: u64) {
        self.verdict(|verdict| verdict.effective.is_some_and(|id| id.version == version)).await;
    }
}

fn publisher<const WORKERS: usize>() -> (Publisher, [Reader; WORKERS]) {
    let (publisher, readers) = Publisher::new(Snapshot::empty(), WORKERS);
    (publisher, readers.try_into().expect("one for each"))
}

/// Routes for `/a` and `/b`, named after the version.
fn revision_of(version: u64) -> Arc<Revision> {
    let mut config = Config::default();
    for name in ["a", "b"] {
        config.write(route(&format!("{version}{name}")).path(&format!("/{name}")).build());
    }
    revision(version, config)
}

fn snapshot(version: u64) -> Arc<Snapshot> {
    Arc::new(compile(&revision_of(version), &Snapshot::empty()).expect("it can be served"))
}
