//! What becomes of a write: all of it, in its turn, or nothing.

use model::delta::apply;
use model::entities::Route;
use model::id::Key;

use super::*;

async fn what_was_committed_is_there_even_if_nobody_was_told(home: Home) {
    let mut opened = home.open().await;
    let mut config = opened.head.config.clone();
    let orders = service("orders").build();
    config.write(orders.clone());
    config.write(route("users").path("/users").to(&orders).build());
    let id = RevisionId { version: 2, hash: config.hash(), ..opened.head.id };
    let next = Revision { id, signature: None, config };
    let signature = opened.key.sign(&id).unwrap();
    let by = Author { who: "test".into(), what: "all at once".into() };
    let mut group = opened.keeper.begin().await.unwrap();
    group.append(&opened.head, &next, signature, &by, NOW).await.unwrap();
    group.commit(NOW).await.unwrap();
    drop(opened); // the process is killed before it can publish

    let again = home.open().await;
    assert_eq!(again.head.id, id);
    assert_eq!(again.head.config.hash(), id.hash);
    assert_eq!(again.head.signature, Some(signature));
    assert_eq!(again.head.config.get(orders.id), Some(&orders));
}

async fn what_was_not_committed_is_not(home: Home) {
    let mut opened = home.open().await;
    let mut config = opened.head.config.clone();
    config.write(service("orders").build());
    let id = RevisionId { version: 2, hash: config.hash(), ..opened.head.id };
    let next = Revision { id, signature: None, config };
    let signature = opened.key.sign(&id).unwrap();
    let by = Author { who: "test".into(), what: "half".into() };
    let mut group = opened.keeper.begin().await.unwrap();
    group.append(&opened.head, &next, signature, &by, NOW).await.unwrap();
    drop(group);
    let head = Arc::clone(&opened.head);
    drop(opened);
    assert_eq!(home.open().await.head.id, head.id);
}

async fn the_log_has_no_gaps_however_many_write(home: Home) {
    const WRITERS: usize = 16;
    const WRITES: usize = 50;
    let running = Running::start(home.open().await);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let committer = running.committer.clone();
            tokio::spawn(async move {
                for write in 0..WRITES {
                    add(&committer, &format!("s-{writer}-{write}")).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let head = running.stop().await;
    assert_eq!(head.id.version, 1 + (WRITERS * WRITES) as u64);

    // Each step starts where the one before ended, and they add up to the head.
    let mut config = Config::default();
    let mut here = RevisionId::default();
    for step in home.steps().await {
        assert_eq!(step.parent, here);
        assert_eq!(step.id.version, here.version + 1);
        apply(&mut config, &step.changes).unwrap();
        assert_eq!(config.hash(), step.id.hash);
        here = step.id;
    }
    assert_eq!(here, head.id);
    assert_eq!(home.open().await.head.id, head.id);
}

async fn what_queues_while_one_is_decided_is_committed_together(home: Home) {
    let running = Running::start(home.open().await);
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (begun, began) = oneshot::channel();
    let first = running.committer.clone();
    let first = tokio::spawn(async move {
        let author = Author { who: "test".into(), what: "slow".into() };
        let change = move |config: &mut Config, _: Timestamp| {
            let _ = begun.send(());
            let _ = held.recv();
            config.write(service("slow").build());
            Ok(())
        };
        first.write(author, change).await
    });
    began.await.unwrap();
    let names = ["a", "b", "c", "b"];
    let others = names.map(|name| {
        let committer = running.committer.clone();
        tokio::spawn(async move { add(&committer, name).await })
    });
    while running.committer.waiting() < names.len() {
        tokio::task::yield_now().await;
    }
    let mut revisions = running.revisions.clone();
    hold.send(()).unwrap();
    first.await.unwrap().unwrap();
    let mut outcomes = Vec::new();
    for other in others {
        outcomes.push(other.await.unwrap().is_ok());
    }
    assert_eq!(outcomes, [true, true, true, false], "one bad write harms no other");
    let mut seen = Vec::new();
    while revisions.has_changed().unwrap() {
        seen.push(revisions.borrow_and_update().id.version);
    }
    assert_eq!(seen, [5], "published once, after the commit");
    let made: Vec<_> = home.audited().await.into_iter().map(|(what, _)| what).collect();
    assert_eq!(made, ["a new database", "slow", "add a", "add b", "add c"]);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_publishes_nothing() {
    let home = Home::file();
    let mut opened = home.open().await;
    let link = opened.keeper.link.as_mut().unwrap();
    let count = link.first("pragma page_count", &[]).await.unwrap().unwrap();
    let full = count.int("page_count").unwrap() + 2;
    link.script(&format!("pragma max_page_count = {full}")).await.unwrap();
    let running = Running::start(opened);
    let mut kept = 0;
    let failure = loop {
        match running.add(&format!("s{kept}")).await {
            Ok(_) => kept += 1,
            Err(failure) => break failure,
        }
        assert!(kept < 1000, "the disk never fills");
    };
    assert!(matches!(failure, Failure::Unavailable));
    assert_eq!(running.revisions.borrow().id.version, 1 + kept);
    // The connection that failed was replaced by one without the limit: there is room again.
    running.add("after").await.unwrap();
    let head = running.stop().await;
    assert_eq!(head.id.version, 2 + kept);
    assert_eq!(home.open().await.head.id, head.id);
}

#[tokio::test]
async fn a_locked_file_refuses_and_recovers() {
    let home = Home::file();
    let mut opened = home.open().await;
    opened.keeper.place.be_busy_for(Duration::from_millis(20));
    opened.keeper.reset().await;
    let reader = opened.keeper.reader();
    let running = Running::start(opened);
    let mut backup = home.intruder().await;
    backup.begin_writing().await.unwrap();
    assert!(matches!(running.add("refused").await, Err(Failure::Unavailable)));
    assert!(reader.is_reachable().await, "it can still be read");
    backup.script("rollback").await.unwrap();
    running.add("kept").await.unwrap();
    assert_eq!(running.stop().await.id.version, 2);
}

async fn a_write_the_database_objects_to_harms_no_other(home: Home) {
    let running = Running::start(home.open().await);
    let (id, bytes) = (home.bytes(&"00".repeat(16)), home.bytes("80"));
    let id = if matches!(home.at, At::Server(_)) { format!("'{}'", Uuid::nil()) } else { id };
    let ghost = format!("insert into services (id, name, bytes) values ({id}, 'ghost', {bytes})");
    home.damage(&ghost).await;
    assert!(matches!(running.add("ghost").await, Err(Failure::NotKept)));
    running.add("kept").await.unwrap();
    assert_eq!(running.stop().await.id.version, 2);
    // The ghost was not written by us: nothing that holds it is served.
    assert!(matches!(home.refusal().await, OpenError::Entity(_)));
}

async fn two_processes_take_turns(home: Home) {
    let (one, two) = (Running::start(home.open().await), Running::start(home.open().await));
    one.add("first").await.unwrap();
    two.add("second").await.unwrap();
    assert!(matches!(two.add("first").await, Err(Failure::Refused(_))), "it is there already");
    one.add("third").await.unwrap();
    two.committer.refresh().await;
    let mut revisions = two.revisions.clone();
    let head = revisions.wait_for(|head| head.id.version == 4).await.unwrap().clone();
    assert_eq!(head.id, one.revisions.borrow().id);
    assert_eq!(head.signature, one.revisions.borrow().signature);
    assert_eq!(home.open().await.head.id, head.id);
}

async fn deciding_may_panic(home: Home) {
    let running = Running::start(home.open().await);
    let author = Author { who: "test".into(), what: "a bug".into() };
    let outcome = running.committer.write(author, |_, _| -> Result<(), _> { panic!("on purpose") });
    assert!(matches!(outcome.await, Err(Failure::NotKept)));
    running.add("kept").await.unwrap();
}

async fn what_changes_nothing_makes_no_revision(home: Home) {
    let running = Running::start(home.open().await);
    let made = running.add("orders").await.unwrap();
    let author = Author { who: "test".into(), what: "the same again".into() };
    let id = Key::Id(made.id.uuid());
    let same = running
        .committer
        .write(author.clone(), move |config, now| {
            write::merge::<Service>(
                &mut Draft::new(config, true, Terms::default()),
                now,
                &id,
                Default::default(),
            )
        })
        .await
        .unwrap();
    assert_eq!(same, made, "the clock stands still");
    let gone = Key::Name("nobody".to_owned());
    let delete = move |config: &mut Config, _: Timestamp| {
        write::delete::<Route>(&mut Draft::new(config, true, Terms::default()), &gone)
    };
    running.committer.write(author, delete).await.unwrap();
    assert_eq!(running.stop().await.id.version, 2);
}

async fn the_epoch_is_raised_once_above_what_a_data_plane_has(home: Home) {
    let running = Running::start(home.open().await);
    running.add("orders").await.unwrap();
    let head = running.revisions.borrow().clone();
    let ahead = RevisionId { epoch: 3, version: 70, ..head.id };
    running.committer.raise(head.id).await;
    running.committer.raise(ahead).await;
    running.committer.raise(ahead).await;
    running.add("users").await.unwrap();
    let after = running.stop().await;
    assert_eq!(after.id.position(), (4, 2));
    let steps = home.steps().await;
    let raised = steps.iter().find(|step| step.id.position() == (4, 1)).unwrap();
    assert_eq!((raised.parent, raised.id.hash), (head.id, head.id.hash));
    assert!(raised.changes.is_empty());
    let again = home.open().await;
    assert_eq!(again.head.id, after.id);
    assert_eq!(again.head.signature, after.signature);
}

#[tokio::test]
async fn what_a_swap_of_names_leaves_is_what_was_written() {
    for home in [Some(Home::file()), Home::server().await].into_iter().flatten() {
        let running = Running::start(home.open().await);
        let made = [running.add("a").await.unwrap(), running.add("b").await.unwrap()];
        let author = Author { who: "test".into(), what: "swap".into() };
        let swap = move |config: &mut Config, _: Timestamp| {
            let [mut a, mut b] = made;
            std::mem::swap(&mut a.name, &mut b.name);
            config.write(route("r").path("/").to(&a).build());
            config.write(a);
            config.write(b);
            Ok(())
        };
        running.committer.write(author, swap).await.unwrap();
        let head = running.stop().await;
        assert_eq!(head.id.version, 4);
        assert_eq!(home.open().await.head.id, head.id);
    }
}

#[tokio::test]
async fn ten_thousand_entities_are_one_revision() {
    const ENTITIES: usize = 10_000;
    for home in [Some(Home::file()), Home::server().await].into_iter().flatten() {
        let running = Running::start(home.open().await);
        let author = Author { who: "test".into(), what: "import".into() };
        let import = move |config: &mut Config, _: Timestamp| {
            for n in 0..ENTITIES / 2 {
                let to = service(&format!("s{n}")).build();
                config.write(route(&format!("r{n}")).path(&format!("/{n}")).to(&to).build());
                config.write(to);
            }
            Ok(())
        };
        running.committer.write(author, import).await.unwrap();
        let head = running.stop().await;
        assert_eq!((head.id.version, head.config.len()), (2, ENTITIES));
        assert_eq!(home.open().await.head.id, head.id);
    }
}

on_both! {
    what_was_committed_is_there_even_if_nobody_was_told,
    what_was_not_committed_is_not,
    the_log_has_no_gaps_however_many_write,
    what_queues_while_one_is_decided_is_committed_together,
    a_write_the_database_objects_to_harms_no_other,
    two_processes_take_turns,
    deciding_may_panic,
    what_changes_nothing_makes_no_revision,
    the_epoch_is_raised_once_above_what_a_data_plane_has,
}
