//! Several control planes on one PostgreSQL, and what they do when it is not there.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use admin::{Migrations, OpenError, Options, Postgres, PostgresTls, Server, StartError, Storage};
use model::judge::Lenient;
use model::{Revision, RevisionId};
use serde_json::{Value, json};
use support::postgres::Server as Database;
use support::{Plane, on, options_of};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;

/// Longer than anything takes, even where many tests share a processor.
const PATIENCE: Duration = Duration::from_secs(30);

/// A control plane on this database.
async fn plane(at: &Postgres) -> Plane {
    Plane::start_with(Arc::new(TempDir::new().unwrap()), options(at)).await
}

fn options(at: &Postgres) -> Options {
    options_of(Storage::Postgres(Box::new(at.clone())), Arc::new(Lenient))
}

/// A server of its own, with a database.
fn server() -> Option<(Database, Postgres)> {
    let server = Database::start()?;
    let at = on(&server, server.database());
    Some((server, Postgres { timeout: Duration::from_secs(2), ..at }))
}

async fn until(
    revisions: &mut watch::Receiver<Arc<Revision>>,
    is_it: impl Fn(&Revision) -> bool,
) -> RevisionId {
    let found = timeout(PATIENCE, revisions.wait_for(|revision| is_it(revision))).await;
    found.expect("it came").unwrap().id
}

fn service(name: &str) -> Value {
    json!({ "name": name, "host": "a.test" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_on_one_reaches_the_other_in_under_a_second() {
    let Some(server) = Database::shared() else { return };
    // Were it not for the server's word, it would take an hour.
    let at = Postgres { poll: Duration::from_secs(3600), ..on(server, server.database()) };
    let (one, two) = (plane(&at).await, plane(&at).await);
    let mut revisions = two.server.revisions();
    one.create("/services", service("warm")).await;
    until(&mut revisions, |revision| revision.id.version == 2).await;
    let begun = Instant::now();
    one.create("/services", service("orders")).await;
    let id = until(&mut revisions, |revision| revision.id.version == 3).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(id, one.server.revisions().borrow().id);
    assert_eq!(two.get("/services/orders").await.0, 200);
    assert_eq!(one.server.trust(), two.server.trust(), "one cluster, one key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_notified_of_is_found_all_the_same() {
    let Some(server) = Database::shared() else { return };
    let at = Postgres { poll: Duration::from_millis(50), ..on(server, server.database()) };
    let (one, two) = (plane(&at).await, plane(&at).await);
    let mut revisions = two.server.revisions();
    one.create("/services", service("orders")).await;
    until(&mut revisions, |revision| revision.id.version == 2).await;
    // The sessions are cut, and with them whoever listened.
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
        where datname = current_database() and pid <> pg_backend_pid()";
    server.sql(&at.database, cut);
    one.create("/services", service("users")).await; // on a new connection: nobody is told
    until(&mut revisions, |revision| revision.id.version == 3).await;
    assert_eq!(two.send("DELETE", "/services/orders", Value::Null).await.0, 204);
    until(&mut one.server.revisions(), |revision| revision.id.version == 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_get_one_order_and_none_is_lost() {
    const WRITES: usize = 40;
    let Some(server) = Database::shared() else { return };
    let at = on(server, server.database());
    let planes = [plane(&at).await, plane(&at).await, plane(&at).await];
    // Each name is wanted on every one of them, and one of them gets it.
    let wanted = |n: usize| format!("s{}", n % (WRITES / 2));
    let writers = planes.iter().enumerate().flat_map(|(at, plane)| {
        (0..WRITES).map(move |n| async move {
            let (status, body) = plane.send("POST", "/services", service(&wanted(n))).await;
            assert!(matches!(status, 201 | 409), "{at}: {status} {body}");
            usize::from(status == 201)
        })
    });
    let made: usize = futures::future::join_all(writers).await.into_iter().sum();
    assert_eq!(made, WRITES / 2, "a name is somebody's");
    let last = 1 + made as u64;
    let mut heads = BTreeSet::new();
    for plane in &planes {
        let id = until(&mut plane.server.revisions(), |head| head.id.version == last).await;
        heads.insert(id.to_string());
    }
    assert_eq!(heads.len(), 1, "{heads:?}");
    let gaps = "select count(*) from revisions a left join revisions b on a.parent_hash = b.hash \
        and a.parent_version = b.version where b.seq is null and a.version > 1";
    assert_eq!(server.sql(&at.database, gaps), "0");
    assert_eq!(server.sql(&at.database, "select count(*) from services"), made.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_it_goes_on_reading() {
    let Some((server, at)) = server() else { return };
    let mut plane = plane(&at).await;
    let mut reachable = plane.server.reachable().unwrap();
    plane.create("/services", service("orders")).await;
    let head = plane.server.revisions().borrow().id;

    server.tell("stop");
    timeout(PATIENCE, reachable.wait_for(|reachable| !reachable)).await.unwrap().unwrap();
    assert_eq!(plane.get("/services/orders").await.0, 200);
    let (status, body) = plane.send("POST", "/services", service("users")).await;
    assert_eq!(status, 503, "{body}");
    assert_eq!(plane.server.revisions().borrow().id, head);

    server.tell("start");
    timeout(PATIENCE, reachable.wait_for(|reachable| *reachable)).await.unwrap().unwrap();
    plane.create("/services", service("users")).await;
    assert_eq!(plane.server.revisions().borrow().id.version, head.version + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_keeps_nobody_waiting() {
    let Some((server, at)) = server() else { return };
    let plane = plane(&at).await;
    server.tell("freeze");
    let begun = Instant::now();
    let (status, _) = plane.send("POST", "/services", service("orders")).await;
    assert_eq!(status, 503);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(plane.get("/services").await.0, 200);
    server.tell("thaw");
    let kept = async {
        while plane.send("PUT", "/services/orders", service("orders")).await.0 != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, kept).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_server_that_is_killed() {
    let Some((server, at)) = server() else { return };
    let (one, two) = (Arc::new(plane(&at).await), plane(&at).await);
    let mut kept: Vec<String> = Vec::new();
    for round in 0..3 {
        let writers = (0..8).map(|writer| {
            let plane = Arc::clone(&one);
            tokio::spawn(async move {
                let mut kept = Vec::new();
                for n in 0.. {
                    let name = format!("s-{round}-{writer}-{n}");
                    match plane.send("POST", "/services", service(&name)).await {
                        (201, _) => kept.push(name),
                        (503, _) => break,
                        other => panic!("{other:?}"),
                    }
                }
                kept
            })
        });
        let writers: Vec<_> = writers.collect();
        let goal = one.server.revisions().borrow().id.version + 20;
        until(&mut one.server.revisions(), |revision| revision.id.version >= goal).await;
        server.tell("kill"); // with whatever is on its way
        for writer in writers {
            kept.extend(writer.await.unwrap());
        }
        server.tell("start");
        let again = async {
            let name = format!("again-{round}");
            while one.send("PUT", &format!("/services/{name}"), service(&name)).await.0 != 200 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, again).await.unwrap();
    }
    let head = one.server.revisions().borrow().id;
    assert_eq!(until(&mut two.server.revisions(), |revision| revision.id == head).await, head);
    for plane in [&*one, &two, &plane(&at).await] {
        for name in &kept {
            assert_eq!(plane.get(&format!("/services/{name}")).await.0, 200, "{name} was kept");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_gets_a_new_epoch_and_nobody_goes_back() {
    let Some(server) = Database::shared() else { return };
    let at = Postgres { poll: Duration::from_millis(50), ..on(server, server.database()) };
    let (one, two) = (plane(&at).await, plane(&at).await);
    one.create("/services", service("before")).await;
    let backup = server.dump(&at.database);
    one.create("/services", service("after")).await;
    until(&mut two.server.revisions(), |revision| revision.id.version == 3).await;

    let mut seen = two.server.revisions();
    server.restore(&at.database, &backup);
    for plane in [&one, &two] {
        let id = until(&mut plane.server.revisions(), |revision| revision.id.epoch > 1).await;
        assert_eq!(id.position(), (2, 1), "raised once, whoever saw it first");
        assert_eq!(plane.get("/services/before").await.0, 200);
        assert_eq!(plane.get("/services/after").await.0, 404);
    }
    assert!(seen.borrow_and_update().id.position() >= (2, 1));
    two.create("/services", service("anew")).await;
    until(&mut one.server.revisions(), |revision| revision.id.position() == (2, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_after_a_restore_is_decided_on_what_is_there() {
    let Some(server) = Database::shared() else { return };
    let at = Postgres { poll: Duration::from_secs(3600), ..on(server, server.database()) };
    let plane = plane(&at).await;
    let backup = server.dump(&at.database);
    plane.create("/services", service("orders")).await;
    server.restore(&at.database, &backup);
    plane.create("/services", service("orders")).await; // it is free again
    assert_eq!(plane.server.revisions().borrow().id.position(), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_clusters_database_is_not_written_to() {
    let Some(server) = Database::shared() else { return };
    let (at, other) = (on(server, server.database()), on(server, server.database()));
    let (plane, _other) = (plane(&at).await, plane(&other).await);
    plane.create("/services", service("orders")).await;
    server.restore(&at.database, &server.dump(&other.database));
    assert_eq!(plane.send("POST", "/services", service("users")).await.0, 503);
    assert_eq!(plane.get("/services/orders").await.0, 200, "what was there is still served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_read_from_the_replica_where_it_has_it() {
    let Some(server) = Database::shared() else { return };
    let (at, copy) = (on(server, server.database()), on(server, server.database()));
    let before = plane(&at).await;
    before.create("/services", service("orders")).await; // 1.2
    before.server.shutdown(Duration::MAX).await;
    server.restore(&copy.database, &server.dump(&at.database));

    let with =
        |replica: &Postgres| Postgres { replica: Some(Box::new(replica.clone())), ..at.clone() };
    let here = plane(&with(&copy)).await;
    here.create("/services", service("users")).await; // 1.3, which the replica never hears of
    let newest = async |plane: &Plane| {
        let (status, list) = plane.get("/audit/revisions").await;
        assert_eq!(status, 200, "{list}");
        list["data"][0]["revision"].clone()
    };
    assert_eq!(newest(&here).await, "1.2", "as the replica has it");
    assert_eq!(here.get("/audit").await.1["audit"]["rows"], 2);
    // What it does not have may be on its way, so the primary is asked.
    for (n, what) in [(2, "orders"), (3, "users")] {
        let (status, shown) = here.get(&format!("/audit/revisions/{n}")).await;
        assert_eq!((status, &shown["data"][0]["name"]), (200, &json!(what)), "{shown}");
    }
    let (status, body) = here.send("POST", "/audit/revisions/2/restore", Value::Null).await;
    assert_eq!(
        (status, &body["newest"]),
        (201, &json!("1.4")),
        "the way back starts at the primary"
    );

    // One that is away, or another cluster's, is done without.
    let elsewhere = on(server, server.database());
    drop(plane(&elsewhere).await);
    for replica in [on(server, "nowhere".to_owned()), elsewhere] {
        let there = plane(&with(&replica)).await;
        assert_eq!(newest(&there).await, "1.4");
        assert_eq!(there.get("/audit/revisions/4").await.0, 200);
        assert_eq!(there.get("/audit").await.1["audit"]["rows"], 4);
    }
}

#[tokio::test]
async fn what_a_killed_run_leaves_goes_with_the_next() {
    let Some(left) = Database::start() else { return };
    let (dir, port) = (left.socket().to_owned(), left.port());
    left.abandon();
    if !dir.join("lock").exists() {
        return; // there is no flock here, so nobody can tell what is left
    }
    let next = Database::prepare().unwrap();
    assert!(!dir.exists(), "{}", dir.display());
    let killed = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(killed.elapsed() < PATIENCE, "the server is gone, too");
        std::thread::yield_now();
    }
    assert!(next.socket().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_the_database_waits_for_it() {
    let Some(server) = Database::prepare() else { return };
    let at = Postgres { timeout: Duration::from_secs(2), ..on(&server, "postgres".to_owned()) };
    let starting = Server::start(options(&at));
    let later = std::thread::spawn(move || {
        server.tell("start");
        server
    });
    let started = timeout(PATIENCE, starting).await.unwrap().unwrap();
    assert_eq!(started.revisions().borrow().id.version, 1);
    drop((started, later.join()));
}

/// Why a control plane does not start.
async fn refusal(at: &Postgres) -> OpenError {
    match Server::start(Options { migrate: None, ..options(at) }).await {
        Ok(_) => panic!("it started"),
        Err(StartError::Database { source, .. }) => source,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_database_of_ours_is_started_on() {
    let Some(server) = Database::shared() else { return };
    let at = on(server, server.database());
    let error = refusal(&at).await;
    assert!(error.to_string().contains("gateway migrations bootstrap"), "{error}");

    server.sql(&at.database, "create table services (id uuid primary key)");
    assert!(matches!(refusal(&at).await, OpenError::NotOurs));
    let mut migrations = Migrations::connect(&at, PATIENCE).await.unwrap();
    assert!(matches!(migrations.up().await, Err(OpenError::NotOurs)));
    assert!(matches!(migrations.reset().await, Err(OpenError::NotOurs)));

    // Beside them there is room in a schema of our own.
    let beside = Postgres { schema: Some("Our \"own\"".to_owned()), ..at.clone() };
    assert!(matches!(refusal(&beside).await, OpenError::NotBootstrapped));
    let plane = plane(&beside).await;
    plane.create("/services", service("orders")).await;
    assert_eq!(server.sql(&at.database, "select count(*) from services"), "0");

    server.sql(&at.database, "create database latin encoding 'LATIN1' template template0");
    let mut migrations =
        Migrations::connect(&on(server, "latin".to_owned()), PATIENCE).await.unwrap();
    assert!(matches!(migrations.up().await, Err(OpenError::Encoding(_))));

    assert!(matches!(refusal(&on(server, "nowhere".to_owned())).await, OpenError::Database(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_never_migrate_at_once() {
    let Some(server) = Database::shared() else { return };
    let at = on(server, server.database());
    let mut first = Migrations::connect(&at, PATIENCE).await.unwrap();
    first.take_turn(Duration::ZERO).await.unwrap();
    let mut second = Migrations::connect(&at, PATIENCE).await.unwrap();
    let refused = second.take_turn(Duration::ZERO).await;
    assert!(matches!(refused, Err(OpenError::Migrating)));
    let both = tokio::spawn(async move {
        second.take_turn(PATIENCE).await.unwrap();
        second.up().await.unwrap()
    });
    assert_eq!(
        first.up().await.unwrap(),
        ["0001_core", "0002_certificates", "0003_audit", "0004_consumers", "0005_plugins"]
    );
    first.close().await;
    assert!(both.await.unwrap().is_empty(), "there was nothing left to do");
    // However many start on nothing, they find the same.
    let at = on(server, server.database());
    let planes = futures::future::join_all((0..3).map(|_| plane(&at))).await;
    let heads: BTreeSet<_> =
        planes.iter().map(|plane| plane.server.revisions().borrow().id.to_string()).collect();
    assert_eq!(heads.len(), 1, "{heads:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_goes_to_whoever_has_the_certificate() {
    let Some(server) = Database::prepare() else { return };
    let dir = TempDir::new().unwrap();
    let authority = support::pem::authority("ca", 365);
    let pair = support::pem::server("localhost");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let world = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), world).unwrap();
    // Whoever is not encrypted, or has no password, is not let in.
    let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
    server.tell(&format!("tls {} {}", write("crt", &pair.cert), write("key", &pair.key)));
    server.tell(&format!("trust {}", write("hba", rules)));
    server.tell("start");
    server.sql(
        "postgres",
        "set password_encryption = 'scram-sha-256'; alter user kong password 'secret'",
    );

    let plain = Postgres {
        host: "localhost".to_owned(),
        password: Some("secret".to_owned()),
        ..on(&server, "postgres".to_owned())
    };
    let with = |verify, trusted: &[&String]| {
        let trusted = trusted.iter().map(|text| text.to_string()).collect();
        Postgres { tls: Some(PostgresTls { verify, trusted, system: false }), ..plain.clone() }
    };
    let is_let_in = async |at: &Postgres| Migrations::connect(at, PATIENCE).await.map(drop);
    assert!(is_let_in(&plain).await.is_err(), "it is not encrypted");
    is_let_in(&with(false, &[])).await.unwrap();
    is_let_in(&with(true, &[&pair.cert])).await.unwrap();
    assert!(is_let_in(&with(true, &[&authority.cert])).await.is_err(), "nobody vouches for it");
    let elsewhere = Postgres { host: "127.0.0.1".to_owned(), ..with(true, &[&pair.cert]) };
    assert!(is_let_in(&elsewhere).await.is_err(), "it is for another name");
    let mistaken = Postgres { password: Some("wrong".to_owned()), ..with(false, &[]) };
    assert!(matches!(refusal(&mistaken).await, OpenError::Database(_)));
    let encrypted = plane(&with(true, &[&pair.cert])).await;
    encrypted.create("/services", service("orders")).await;
    let used = "select count(*) from pg_stat_ssl where ssl and version = 'TLSv1.3'";
    assert_ne!(server.sql("postgres", used), "0");
}
