//! What becomes of a group whose commit failed, whether or not it took place.

use std::time::Duration;

use model::judge::Lenient;
use model::testing::service;
use tempfile::TempDir;

use super::*;
use crate::store::{DatabaseError, Keep, Place, Store};

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

async fn work(dir: &TempDir) -> Work {
    let keep = Keep { revisions: 10, audit: Duration::from_secs(60) };
    let opened = Store::open(Place::file(dir.path().join("gateway.db")), keep, NOW).await.unwrap();
    let Kept { keeper, head, key, .. } = opened.into();
    let head = watch::Sender::new(head);
    Work { keeper, key, head, judge: Arc::new(Lenient), clock: Clock::new(|| NOW) }
}

fn add(name: &'static str) -> (Write, oneshot::Receiver<Result<RevisionId, Failure>>) {
    let (tell, told) = oneshot::channel();
    let change = Box::new(move |config: &mut Config, _| {
        config.write(service(name).build());
        let answer = Box::new(move |fate| drop(tell.send(fate)));
        Decided { accepted: true, is_about_one: true, answer }
    });
    let author = Author { who: "test".into(), what: name.into() };
    (Write::Change { author, change }, told)
}

/// What the group came to, as if the commit had failed after it took place.
async fn lost_sight(work: &mut Work, write: Write) -> (Arc<Revision>, Pending) {
    let before = work.head.borrow().clone();
    let judge = Judgement { key: &work.key, judge: &*work.judge, now: NOW };
    let group = write_group(&mut work.keeper, &judge, Arc::clone(&before), vec![write]);
    let (pending, committed) = group.await.unwrap();
    committed.unwrap();
    (before, pending)
}

fn failure() -> StoreError {
    DatabaseError::Away.into()
}

#[tokio::test]
async fn a_commit_that_failed_but_took_place_is_answered() {
    let dir = TempDir::new().unwrap();
    let mut work = work(&dir).await;
    let (write, told) = add("orders");
    let (_, pending) = lost_sight(&mut work, write).await;
    work.find_out(pending, &failure()).await;
    assert!(told.await.unwrap().is_ok());
    assert_eq!(work.head.borrow().id.version, 2);

    let (write, told) = add("users");
    work.commit(vec![write]).await;
    assert!(told.await.unwrap().is_ok());
    assert_eq!(work.head.borrow().id.version, 3);
}

#[tokio::test]
async fn a_commit_whose_outcome_could_not_be_read_is_found_by_the_next_write() {
    let dir = TempDir::new().unwrap();
    let mut work = work(&dir).await;
    drop(lost_sight(&mut work, add("orders").0).await);
    assert_eq!(work.head.borrow().id.version, 1);

    let (write, told) = add("users");
    work.commit(vec![write]).await;
    assert!(told.await.unwrap().is_ok(), "decided on what was there after all");
    assert_eq!(work.head.borrow().id.version, 3);
    assert_eq!(work.head.borrow().config.len(), 2);
}

#[tokio::test]
async fn a_commit_that_did_not_take_place_is_not_published() {
    let dir = TempDir::new().unwrap();
    let mut work = work(&dir).await;
    let before = work.head.borrow().clone();
    let pending = Pending { head: Arc::clone(&before), answers: Vec::new() };
    let (write, told) = add("orders");
    let next = RevisionId { version: 2, ..before.id };
    let next = Arc::new(Revision { id: next, ..(*before).clone() });
    work.find_out(Pending { head: next, ..pending }, &failure()).await;
    assert_eq!(work.head.borrow().id, before.id);
    work.commit(vec![write]).await;
    assert!(told.await.unwrap().is_ok());
}

#[tokio::test]
async fn each_is_told_the_revision_that_is_its_own() {
    let dir = TempDir::new().unwrap();
    let mut work = work(&dir).await;
    let ((first, told_first), (second, told_second)) = (add("orders"), add("users"));
    work.commit(vec![first, second]).await;
    let versions =
        [told_first, told_second].map(|told| async { told.await.unwrap().unwrap().version });
    assert_eq!(
        futures::future::join_all(versions).await,
        [2, 3],
        "though both came with one commit"
    );
}
