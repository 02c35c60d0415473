//! What the database keeps, and what happens when it does not.

#[path = "../../tests/support/postgres.rs"]
mod server;

use std::path::PathBuf;

use model::Terms;
use model::delta::{Delta, apply};
use model::encode::ContentHash;
use model::entities::{Route, Service};
use model::id::Key;
use model::judge::Lenient;
use model::testing::{route, service};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

use super::*;
use crate::clock::Clock;
use crate::commit::{Committer, Failure};
use crate::store::migrations::Migrations;
use crate::write::{self, Draft};

/// Longer than anything takes.
const NEVER: Duration = Duration::from_secs(60);

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

/// A database of one's own.
struct Home {
    at: At,
    keep: Keep,
}

enum At {
    Dir(TempDir),
    Server(Postgres),
}

impl Home {
    fn file() -> Self {
        Self::at(At::Dir(TempDir::new().unwrap()))
    }

    /// None where there is no PostgreSQL.
    async fn server() -> Option<Self> {
        let options = on(server::Server::shared()?);
        migrations::bring_up(&options, Duration::ZERO).await.unwrap();
        Some(Self::at(At::Server(options)))
    }

    fn at(at: At) -> Self {
        Self { at, keep: Keep { revisions: 1000, audit: Duration::from_secs(3600) } }
    }

    fn path(&self) -> PathBuf {
        match &self.at {
            At::Dir(dir) => dir.path().join("gateway.db"),
            At::Server(at) => panic!("{at} is no file"),
        }
    }

    fn place(&self) -> Place {
        match &self.at {
            At::Dir(_) => Place::file(self.path()),
            At::Server(options) => Place::server(options.clone(), None),
        }
    }

    async fn open(&self) -> Opened {
        Store::open(self.place(), self.keep, NOW).await.unwrap()
    }

    /// Why it does not open.
    async fn refusal(&self) -> OpenError {
        match Store::open(self.place(), self.keep, NOW).await {
            Ok(_) => panic!("it opened"),
            Err(error) => error,
        }
    }

    /// Another program with its hands on the tables.
    async fn intruder(&self) -> Link {
        match &self.at {
            At::Dir(_) => {
                Link::Sqlite(sqlite::connect(&self.path(), sqlite::BUSY_TIMEOUT).await.unwrap())
            }
            At::Server(options) => {
                Link::Postgres(Box::new(postgres::Session::open(options, None).await.unwrap()))
            }
        }
    }

    async fn steps(&self) -> Vec<Delta> {
        log::steps(&mut self.intruder().await).await.unwrap()
    }

    async fn audited(&self) -> Vec<(String, i64)> {
        let noted = "select what, version from audit order by seq";
        let rows = self.intruder().await.query(noted, &[]).await.unwrap();
        let noted = |row: &link::Row| (row.text("what").unwrap(), row.int("version").unwrap());
        rows.iter().map(noted).collect()
    }

    async fn damage(&self, sql: &str) {
        let mut link = self.intruder().await;
        link.script(sql).await.unwrap();
        link.close().await;
    }

    /// Bytes, as the database writes them.
    fn bytes(&self, hex: &str) -> String {
        match self.at {
            At::Dir(_) => format!("x'{hex}'"),
            At::Server(_) => format!("'\\x{hex}'"),
        }
    }
}

/// A new database of this server, without tables.
fn on(server: &server::Server) -> Postgres {
    Postgres {
        host: server.socket().to_str().unwrap().to_owned(),
        port: server.port(),
        database: server.database(),
        ..Postgres::default()
    }
}

/// Each is a test of both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite_ {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Home::file()).await;
            })+
        }

        mod postgres_ {
            $(#[tokio::test]
            async fn $name() {
                if let Some(home) = super::Home::server().await {
                    super::$name(home).await;
                }
            })+
        }
    };
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
                &mut Draft::new(config, true, Terms::default()),
                now,
                body.as_object().cloned().unwrap_or_default(),
            )
        })
        .await
}

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
    let running = Running::start(opened);
    let mut backup = home.intruder().await;
    backup.begin_writing().await.unwrap();
    assert!(matches!(running.add("refused").await, Err(Failure::Unavailable)));
    assert!(running.committer.is_database_reachable().await, "it can still be read");
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

#[tokio::test]
async fn a_file_of_others_is_left_alone() {
    let home = Home::file();
    drop(home.open().await);
    home.damage("pragma user_version = 99").await;
    assert!(matches!(home.refusal().await, OpenError::Newer { found, .. } if found == "99"));

    let home = Home::file();
    std::fs::write(home.path(), "not a database at all, but long enough to be looked at").unwrap();
    assert!(matches!(home.refusal().await, OpenError::Database(_)));

    let home = Home::file();
    drop(home.open().await);
    home.damage("pragma user_version = 0").await;
    assert!(matches!(home.refusal().await, OpenError::NotOurs));
}

#[tokio::test]
async fn an_upgrade_is_finished_when_the_old_version_is_gone() {
    static FIRST: &[migrations::Migration] = &[migrations::Migration {
        name: "0001_first",
        sqlite: "",
        postgres: "create table head (epoch bigint)",
        finish: None,
    }];
    static BOTH: &[migrations::Migration] = &[
        migrations::Migration { finish: None, ..FIRST[0] },
        migrations::Migration {
            name: "0002_second",
            sqlite: "",
            postgres: "alter table head add column age bigint; update head set age = epoch",
            finish: Some("alter table head drop column epoch"),
        },
    ];
    static FAULTY: &[migrations::Migration] = &[
        migrations::Migration { finish: None, ..FIRST[0] },
        migrations::Migration {
            name: "0002_second",
            sqlite: "",
            postgres: "create table audit (seq bigint); create table head (epoch bigint)",
            finish: None,
        },
    ];
    let Some(server) = server::Server::shared() else { return };
    let options = on(server);
    let connect = async |all| Migrations::connect(&options, NEVER).await.unwrap().of(all);
    let (mut old, mut new) = (connect(FIRST).await, connect(BOTH).await);
    assert_eq!(old.up().await.unwrap(), ["0001_first"]);
    assert_eq!(new.state().await.unwrap().new, ["0002_second"]);

    assert!(connect(FAULTY).await.up().await.is_err());
    assert_eq!(new.state().await.unwrap().new, ["0002_second"], "all of it, or nothing");

    assert_eq!(new.up().await.unwrap(), ["0002_second"]);
    let state = new.state().await.unwrap();
    assert_eq!((state.pending, state.new), (vec!["0002_second".to_owned()], vec![]));
    let state = old.state().await.unwrap();
    assert_eq!((state.unknown, state.beyond), (vec!["0002_second".to_owned()], vec![]));

    assert_eq!(new.finish().await.unwrap(), ["0002_second"]);
    assert_eq!(new.finish().await.unwrap(), [""; 0]);
    assert_eq!(old.state().await.unwrap().beyond, ["0002_second"]);
    assert_eq!(server.sql(&options.database, "select count(age) from head"), "0");
}

/// What has to be the same in both for the statements to be.
#[tokio::test]
async fn both_databases_have_the_same_tables() {
    let (file, Some(server)) = (Home::file(), Home::server().await) else { return };
    drop(file.open().await);
    let (mut file, mut server) = (file.intruder().await, server.intruder().await);
    for table in migrations::tables().filter(|table| *table != migrations::TABLE) {
        let of_file = format!("select name from pragma_table_info('{table}') order by cid");
        let of_server = format!(
            "select attname::text as name from pg_attribute \
             where attrelid = '{table}'::regclass and attnum > 0 order by attnum"
        );
        let mut names = Vec::new();
        for (link, columns) in [(&mut file, of_file), (&mut server, of_server)] {
            let rows = link.query(&columns, &[]).await.unwrap();
            names.push(rows.iter().map(|row| row.text("name").unwrap()).collect::<Vec<_>>());
        }
        assert!(!names[0].is_empty());
        assert_eq!(names[0], names[1], "{table}");
    }
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
    a_new_database_holds_an_empty_signed_revision,
    what_was_committed_is_there_even_if_nobody_was_told,
    what_was_not_committed_is_not,
    the_log_has_no_gaps_however_many_write,
    what_queues_while_one_is_decided_is_committed_together,
    old_steps_are_folded_away_and_old_notes_forgotten,
    steps_outlive_the_process,
    a_write_the_database_objects_to_harms_no_other,
    two_processes_take_turns,
    deciding_may_panic,
    what_changes_nothing_makes_no_revision,
    the_epoch_is_raised_once_above_what_a_data_plane_has,
    a_damaged_database_is_not_served,
}
