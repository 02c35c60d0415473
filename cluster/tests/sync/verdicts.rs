//! What the engine makes of a revision, and what the control plane hears of it.

use std::time::Duration;

use model::Revision;
use model::vitals::{NodeStatus, SyncStatus};

use crate::script::*;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_the_engine_serves_it() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    let revision = cp.source.put(1, "one.test");
    join(&dp, &cp);
    until("it arrived", || dp.revision() == revision.id).await;
    tokio::time::sleep(Duration::from_secs(40)).await; // a heartbeat passes
    let row = cp.row(dp.node.id()).unwrap();
    assert_eq!((row.received, row.effective), (Some(revision.id), None));
    assert_eq!(row.sync_status, SyncStatus::Unknown);
    assert!(dp.kept.revisions.lock().unwrap().is_empty());

    dp.serve(revision.id);
    until("it is acknowledged", || cp.rows()[0].effective == Some(revision.id)).await;
    assert_eq!(*dp.kept.revisions.lock().unwrap(), [revision.id]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_shows_and_a_later_revision_clears_it() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    let good = cp.source.put(1, "good.test");
    join(&dp, &cp);
    dp.serve(Revision::empty().id);
    until("the good one arrived", || dp.revision() == good.id).await;
    dp.serve(good.id);
    until("the good one is served", || cp.rows()[0].effective == Some(good.id)).await;

    let bad = cp.source.put(2, "bad.test");
    until("the bad one arrived", || dp.revision() == bad.id).await;
    dp.refuse(bad.id, "regex does not compile");
    until("the refusal shows", || cp.rows()[0].refused.is_some()).await;
    let row = cp.row(dp.node.id()).unwrap();
    assert_eq!((row.effective, row.sync_status), (Some(good.id), SyncStatus::Refused));
    let refused = row.refused.unwrap();
    assert_eq!((refused.revision, refused.problems[0].code.as_str()), (bad.id, "route_pattern"));

    let fixed = cp.source.put(2, "fixed.test");
    until("the fixed one arrived", || dp.revision() == fixed.id).await;
    dp.serve(fixed.id);
    until("the refusal is gone", || cp.rows()[0].sync_status == SyncStatus::Normal).await;
    assert_eq!(*dp.kept.revisions.lock().unwrap(), [good.id, fixed.id]);
    assert_eq!(dp.node.status().borrow().refused, None);

    // Nor does it come back with the next link, or with the next verdict that still carries it.
    let last = cp.source.put(3, "three.test");
    until("the last one arrived", || dp.revision() == last.id).await;
    dp.serve(last.id);
    until("the last one is served", || cp.rows()[0].effective == Some(last.id)).await;
    join(&dp, &cp);
    until("it is connected again", || cp.rows()[0].status == NodeStatus::Connected).await;
    assert_eq!(cp.rows()[0].sync_status, SyncStatus::Normal);
    assert_eq!(dp.node.status().borrow().refused, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_from_the_cache_is_kept_once_more() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    let revision = cp.source.put(1, "one.test");
    dp.serve_all();
    join(&dp, &cp);
    until("it is cached", || cp.rows().iter().any(|row| row.cached)).await;

    *dp.kept.lost.lock().unwrap() = true;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(*dp.kept.revisions.lock().unwrap(), [revision.id, revision.id]);
    assert!(cp.rows()[0].cached);

    // Where that fails, it is told and tried again.
    *dp.kept.failures.lock().unwrap() = 1;
    *dp.kept.lost.lock().unwrap() = true;
    until("it is not cached any more", || !cp.rows()[0].cached).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    until("it is cached again", || cp.rows()[0].cached).await;
    assert_eq!(*dp.kept.revisions.lock().unwrap(), [revision.id; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_and_tried_again() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    *dp.kept.failures.lock().unwrap() = 1;
    let revision = cp.source.put(1, "one.test");
    dp.serve_all();
    join(&dp, &cp);
    until("it is served", || cp.rows().iter().any(|row| row.effective == Some(revision.id))).await;
    assert!(!cp.rows()[0].cached);
    tokio::time::sleep(Duration::from_secs(31)).await;
    until("it is cached", || cp.rows()[0].cached).await;
}
