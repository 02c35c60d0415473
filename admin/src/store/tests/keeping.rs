//! What is there when a database is opened, and what was let go of.

use model::encode::ContentHash;

use super::*;

async fn a_new_database_holds_an_empty_signed_revision(home: Home) {
    let opened = home.open().await;
    assert_eq!(opened.head.id, RevisionId { epoch: 1, version: 1, hash: ContentHash::EMPTY });
    assert_eq!(opened.head.signature, Some(opened.key.sign(&opened.head.id).unwrap()));
}

#[tokio::test]
async fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::file();
    drop(home.open().await);
    let mode = std::fs::metadata(home.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds a private key");
}

async fn old_steps_are_folded_away_and_old_notes_forgotten(mut home: Home) {
    home.keep.revisions = 10;
    let running = Running::start(home.open().await);
    for n in 0..25 {
        running.add(&format!("s{n}")).await.unwrap();
    }
    let head = running.stop().await;
    let steps = home.steps().await;
    assert_eq!(steps.len(), 10);
    assert_eq!(steps.last().unwrap().id, head.id);
    assert_eq!(home.audited().await.len(), 26);

    let opened = Store::open(home.place(), home.keep, NOW).await.unwrap();
    let later = Clock::new(|| Timestamp::from_seconds(NOW.seconds() + 3601));
    let (committer, _, end) = Committer::start(opened.into(), Arc::new(Lenient), later).unwrap();
    add(&committer, "late").await.unwrap();
    drop(committer);
    end.await.unwrap();
    assert_eq!(home.audited().await, [("add late".to_owned(), 27)]);
}

async fn what_is_too_old_goes_though_nobody_writes(home: Home) {
    const NOTES: u64 = 2 * log::FORGOTTEN + 10;
    let running = Running::start(home.open().await);
    let adding = (1..NOTES).map(|n| {
        let committer = running.committer.clone();
        async move { add(&committer, &format!("s{n}")).await.unwrap() }
    });
    futures::future::join_all(adding).await;
    running.committer.tidy().await;
    assert_eq!(home.audited().await.len() as u64, NOTES, "it is not old yet");
    running.stop().await;

    let opened = Store::open(home.place(), Keep { revisions: 5, ..home.keep }, NOW).await.unwrap();
    let later = Clock::new(|| Timestamp::from_seconds(NOW.seconds() + 3601));
    let (committer, revisions, _) =
        Committer::start(opened.into(), Arc::new(Lenient), later).unwrap();
    committer.tidy().await;
    assert_eq!(home.audited().await, []);
    assert_eq!(home.steps().await.len(), 5);
    assert_eq!(revisions.borrow().id.version, NOTES);
}

async fn whoever_reads_the_past_waits_for_nobody_who_writes(home: Home) {
    let opened = home.open().await;
    let (past, reader) = (opened.keeper.past(), opened.keeper.reader());
    let running = Running::start(opened);
    running.add("first").await.unwrap();
    let mut other = home.intruder().await;
    other.begin_writing().await.unwrap();
    log::lock(&mut other).await.unwrap();
    let second = tokio::spawn({
        let committer = running.committer.clone();
        async move { add(&committer, "second").await }
    });
    while running.committer.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(reader.is_reachable().await);
    assert_eq!(past.noted(None, 10).await.unwrap().len(), 2);
    assert!(past.look((1, 2)).await.unwrap().logged.is_some());
    assert!(!second.is_finished());
    other.script("rollback").await.unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(past.noted(None, 10).await.unwrap().len(), 3);
}

async fn steps_outlive_the_process(mut home: Home) {
    home.keep.revisions = 3;
    let opened = home.open().await;
    assert_eq!(opened.steps.len(), 1, "the one that made the first revision");
    let running = Running::start(opened);
    let mut made = Vec::new();
    for n in 0..5 {
        made.push((EntityKind::Service, running.add(&format!("s{n}")).await.unwrap().id.uuid()));
    }
    let head = running.stop().await;
    let steps = home.open().await.steps;
    let touched: Vec<_> = steps.iter().flat_map(|step| step.entities.clone()).collect();
    assert_eq!(touched, made[2..]);
    assert_eq!(steps.last().unwrap().id, head.id);
    assert!(steps.windows(2).all(|pair| pair[0].id == pair[1].parent));

    let c1 = home.bytes("c1");
    home.damage(&format!("update revisions set changes = {c1} where version = 5")).await;
    let steps = home.open().await.steps;
    assert_eq!(steps.len(), 1, "an old step that cannot be read only costs deltas");
}

async fn a_damaged_database_is_not_served(home: Home) {
    let running = Running::start(home.open().await);
    running.add("orders").await.unwrap();
    running.add("users").await.unwrap();
    running.stop().await;

    home.damage("update head set version = 4").await;
    assert!(matches!(home.refusal().await, OpenError::Ending(_)));
    home.damage("update head set version = 3").await;

    home.damage("delete from services where name = 'users'").await;
    assert!(matches!(home.refusal().await, OpenError::Content { .. }));

    let short = home.bytes("00");
    home.damage(&format!("update identity set value = {short} where name = 'signing_key'")).await;
    assert!(matches!(home.refusal().await, OpenError::Identity("signing_key")));
}

on_both! {
    a_new_database_holds_an_empty_signed_revision,
    old_steps_are_folded_away_and_old_notes_forgotten,
    what_is_too_old_goes_though_nobody_writes,
    whoever_reads_the_past_waits_for_nobody_who_writes,
    steps_outlive_the_process,
    a_damaged_database_is_not_served,
}
