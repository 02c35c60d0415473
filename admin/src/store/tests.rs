//! What the database keeps, and what happens when it does not.

use model::delta::apply;
use model::entities::{Route, Service};
use model::id::Key;
use model::judge::Lenient;
use model::testing::{route, service};
use serde_json::json;
use sqlx::Executor;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

use super::*;
use crate::clock::Clock;
use crate::commit::{Committer, Failure};
use crate::write::{self, Draft};

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

/// A database in a directory of its own.
struct Place {
    dir: TempDir,
    keep: Keep,
}

impl Place {
    fn new() -> Self {
        let keep = Keep { revisions: 1000, audit: Duration::from_secs(3600) };
        Self { dir: TempDir::new().unwrap(), keep }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("gateway.db")
    }

    async fn open(&self) -> Opened {
        Store::open(&self.path(), self.keep, NOW).await.unwrap()
    }

    /// Why it does not open.
    async fn refusal(&self) -> OpenError {
        match Store::open(&self.path(), self.keep, NOW).await {
            Ok(_) => panic!("it opened"),
            Err(error) => error,
        }
    }

    /// Another program with its hands on the file.
    async fn intruder(&self) -> SqliteConnection {
        sqlite::connect(&self.path(), sqlite::BUSY_TIMEOUT).await.unwrap()
    }

    async fn steps(&self) -> Vec<Delta> {
        log::steps(&mut self.intruder().await).await.unwrap()
    }

    async fn audited(&self) -> Vec<(String, i64)> {
        let rows = sqlx::query_as("select what, version from audit order by seq");
        rows.fetch_all(&mut self.intruder().await).await.unwrap()
    }
}

/// A committer and what it publishes.
struct Running {
    committer: Committer,
    revisions: watch::Receiver<Arc<Revision>>,
    end: oneshot::Receiver<()>,
}

impl Running {
    fn start(opened: Opened) -> Self {
        let clock = Clock::new(|| NOW);
        let (committer, revisions, end) =
            Committer::start(opened.into(), Arc::new(Lenient), clock).unwrap();
        Self { committer, revisions, end }
    }

    async fn add(&self, name: &str) -> Result<Service, Failure> {
        add(&self.committer, name).await
    }

    async fn stop(self) -> Arc<Revision> {
        let head = self.revisions.borrow().clone();
        drop(self.committer);
        self.end.await.unwrap();
        head
    }
}

async fn add(committer: &Committer, name: &str) -> Result<Service, Failure> {
    let body = json!({ "name": name, "host": "a.test" });
    let author = Author { who: "test".into(), what: format!("add {name}").into() };
    committer
        .write(author, move |config, now| {
            write::create::<Service>(
                &mut Draft::new(config, true),
                now,
                body.as_object().cloned().unwrap_or_default(),
            )
        })
        .await
}

#[tokio::test]
async fn a_new_database_holds_an_empty_signed_revision() {
    let place = Place::new();
    let opened = place.open().await;
    assert_eq!(opened.head.id, RevisionId { epoch: 1, version: 1, hash: ContentHash::EMPTY });
    assert_eq!(opened.head.signature, Some(opened.key.sign(&opened.head.id).unwrap()));
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(place.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds a private key");
}

#[tokio::test]
async fn what_was_committed_is_there_even_if_nobody_was_told() {
    let place = Place::new();
    let mut opened = place.open().await;
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

    let again = place.open().await;
    assert_eq!(again.head.id, id);
    assert_eq!(again.head.config.hash(), id.hash);
    assert_eq!(again.head.signature, Some(signature));
    assert_eq!(again.head.config.get(orders.id), Some(&orders));
}

#[tokio::test]
async fn what_was_not_committed_is_not() {
    let place = Place::new();
    let mut opened = place.open().await;
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
    assert_eq!(place.open().await.head.id, head.id);
}

#[tokio::test]
async fn the_log_has_no_gaps_however_many_write() {
    const WRITERS: usize = 16;
    const WRITES: usize = 50;
    let place = Place::new();
    let running = Running::start(place.open().await);
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
    for step in place.steps().await {
        assert_eq!(step.parent, here);
        assert_eq!(step.id.version, here.version + 1);
        apply(&mut config, &step.changes).unwrap();
        assert_eq!(config.hash(), step.id.hash);
        here = step.id;
    }
    assert_eq!(here, head.id);
    assert_eq!(place.open().await.head.id, head.id);
}

#[tokio::test]
async fn what_queues_while_one_is_decided_is_committed_together() {
    let place = Place::new();
    let running = Running::start(place.open().await);
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
    let made: Vec<_> = place.audited().await.into_iter().map(|(what, _)| what).collect();
    assert_eq!(made, ["a new database", "slow", "add a", "add b", "add c"]);
}

#[tokio::test]
async fn old_steps_are_folded_away_and_old_notes_forgotten() {
    let mut place = Place::new();
    place.keep.revisions = 10;
    let running = Running::start(place.open().await);
    for n in 0..25 {
        running.add(&format!("s{n}")).await.unwrap();
    }
    let head = running.stop().await;
    let steps = place.steps().await;
    assert_eq!(steps.len(), 10);
    assert_eq!(steps.last().unwrap().id, head.id);
    assert_eq!(place.audited().await.len(), 26);

    let opened = Store::open(&place.path(), place.keep, NOW).await.unwrap();
    let later = Clock::new(|| Timestamp::from_seconds(NOW.seconds() + 3601));
    let (committer, _, end) = Committer::start(opened.into(), Arc::new(Lenient), later).unwrap();
    add(&committer, "late").await.unwrap();
    drop(committer);
    end.await.unwrap();
    assert_eq!(place.audited().await, [("add late".to_owned(), 27)]);
}

#[tokio::test]
async fn steps_outlive_the_process() {
    let mut place = Place::new();
    place.keep.revisions = 3;
    let opened = place.open().await;
    assert_eq!(opened.steps.len(), 1, "the one that made the first revision");
    let running = Running::start(opened);
    let mut made = Vec::new();
    for n in 0..5 {
        made.push((EntityKind::Service, running.add(&format!("s{n}")).await.unwrap().id.uuid()));
    }
    let head = running.stop().await;
    let steps = place.open().await.steps;
    let touched: Vec<_> = steps.iter().flat_map(|step| step.entities.clone()).collect();
    assert_eq!(touched, made[2..]);
    assert_eq!(steps.last().unwrap().id, head.id);
    assert!(steps.windows(2).all(|pair| pair[0].id == pair[1].parent));

    damage(&place, "update revisions set changes = x'c1' where version = 5").await;
    let steps = place.open().await.steps;
    assert_eq!(steps.len(), 1, "an old step that cannot be read only costs deltas");
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_publishes_nothing() {
    let place = Place::new();
    let mut opened = place.open().await;
    let db = opened.keeper.db.as_mut().unwrap();
    let pages: i64 = sqlx::query_scalar("pragma page_count").fetch_one(&mut *db).await.unwrap();
    let full = format!("pragma max_page_count = {}", pages + 2);
    db.execute(sqlx::raw_sql(AssertSqlSafe(full))).await.unwrap();
    let running = Running::start(opened);
    let mut kept = 0;
    while running.add(&format!("s{kept}")).await.is_ok() {
        kept += 1;
        assert!(kept < 1000, "the disk never fills");
    }
    assert_eq!(running.revisions.borrow().id.version, 1 + kept);
    // The connection that failed was replaced by one without the limit: there is room again.
    running.add("after").await.unwrap();
    let head = running.stop().await;
    assert_eq!(head.id.version, 2 + kept);
    assert_eq!(place.open().await.head.id, head.id);
}

#[tokio::test]
async fn a_locked_database_refuses_and_recovers() {
    let place = Place::new();
    let mut opened = place.open().await;
    opened.keeper.busy = Duration::from_millis(20);
    opened.keeper.reset().await;
    let running = Running::start(opened);
    let mut backup = place.intruder().await;
    backup.execute("begin immediate").await.unwrap();
    assert!(matches!(running.add("refused").await, Err(Failure::NotKept)));
    assert!(running.committer.is_database_reachable().await, "it can still be read");
    backup.execute("rollback").await.unwrap();
    running.add("kept").await.unwrap();
    assert_eq!(running.stop().await.id.version, 2);
}

#[tokio::test]
async fn a_write_the_database_objects_to_harms_no_other() {
    let place = Place::new();
    let running = Running::start(place.open().await);
    let ghost = "insert into services (id, name, bytes) values (zeroblob(16), 'ghost', x'80')";
    place.intruder().await.execute(ghost).await.unwrap();
    assert!(matches!(running.add("ghost").await, Err(Failure::NotKept)));
    running.add("kept").await.unwrap();
    assert_eq!(running.stop().await.id.version, 2);
    // The ghost was not written by us: nothing that holds it is served.
    assert!(matches!(place.refusal().await, OpenError::Entity(_)));
}

#[tokio::test]
async fn two_processes_cannot_both_write() {
    let place = Place::new();
    let (one, mut two) = (Running::start(place.open().await), Running::start(place.open().await));
    one.add("first").await.unwrap();
    assert!(matches!(two.add("second").await, Err(Failure::NotKept)));
    let adopted = two.revisions.wait_for(|head| head.id.version == 2).await.unwrap().id;
    assert_eq!(adopted, one.revisions.borrow().id, "it goes on from what the database has");
    one.add("third").await.unwrap();
    assert_eq!(place.open().await.head.id, one.stop().await.id);
}

#[tokio::test]
async fn deciding_may_panic() {
    let place = Place::new();
    let running = Running::start(place.open().await);
    let author = Author { who: "test".into(), what: "a bug".into() };
    let outcome = running.committer.write(author, |_, _| -> Result<(), _> { panic!("on purpose") });
    assert!(matches!(outcome.await, Err(Failure::NotKept)));
    running.add("kept").await.unwrap();
}

#[tokio::test]
async fn what_changes_nothing_makes_no_revision() {
    let place = Place::new();
    let running = Running::start(place.open().await);
    let made = running.add("orders").await.unwrap();
    let author = Author { who: "test".into(), what: "the same again".into() };
    let id = Key::Id(made.id.uuid());
    let same = running
        .committer
        .write(author.clone(), move |config, now| {
            write::merge::<Service>(&mut Draft::new(config, true), now, &id, Default::default())
        })
        .await
        .unwrap();
    assert_eq!(same, made, "the clock stands still");
    let gone = Key::Name("nobody".to_owned());
    let delete = move |config: &mut Config, _: Timestamp| {
        write::delete::<Route>(&mut Draft::new(config, true), &gone)
    };
    running.committer.write(author, delete).await.unwrap();
    assert_eq!(running.stop().await.id.version, 2);
}

#[tokio::test]
async fn the_epoch_is_raised_once_above_what_a_data_plane_has() {
    let place = Place::new();
    let running = Running::start(place.open().await);
    running.add("orders").await.unwrap();
    let head = running.revisions.borrow().clone();
    let ahead = RevisionId { epoch: 3, version: 70, ..head.id };
    running.committer.raise(head.id).await;
    running.committer.raise(ahead).await;
    running.committer.raise(ahead).await;
    running.add("users").await.unwrap();
    let after = running.stop().await;
    assert_eq!(after.id.position(), (4, 2));
    let steps = place.steps().await;
    let raised = steps.iter().find(|step| step.id.position() == (4, 1)).unwrap();
    assert_eq!((raised.parent, raised.id.hash), (head.id, head.id.hash));
    assert!(raised.changes.is_empty());
    let again = place.open().await;
    assert_eq!(again.head.id, after.id);
    assert_eq!(again.head.signature, after.signature);
}

#[tokio::test]
async fn a_damaged_database_is_not_served() {
    let place = Place::new();
    let running = Running::start(place.open().await);
    running.add("orders").await.unwrap();
    running.add("users").await.unwrap();
    running.stop().await;

    damage(&place, "delete from services where name = 'users'").await;
    assert!(matches!(place.refusal().await, OpenError::Content { .. }));

    let place = Place::new();
    drop(place.open().await);
    damage(&place, "delete from revisions").await;
    assert!(matches!(place.refusal().await, OpenError::Ending(_)));

    damage(&place, "update identity set value = x'00' where name = 'signing_key'").await;
    assert!(matches!(place.refusal().await, OpenError::Identity("signing_key")));

    damage(&place, "pragma user_version = 99").await;
    assert!(matches!(place.refusal().await, OpenError::Newer { found: 99, .. }));

    let place = Place::new();
    std::fs::write(place.path(), "not a database at all, but long enough to be looked at").unwrap();
    assert!(matches!(place.refusal().await, OpenError::Sqlite(_)));

    let place = Place::new();
    drop(place.open().await);
    damage(&place, "pragma user_version = 0").await;
    assert!(matches!(place.refusal().await, OpenError::NotOurs));
}

async fn damage(place: &Place, sql: &'static str) {
    let mut db = place.intruder().await;
    db.execute(sql).await.unwrap();
    db.close().await.unwrap();
}
