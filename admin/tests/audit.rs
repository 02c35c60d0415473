//! Who changed what, what that changed, and the way back.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use admin::{Clock, Options};
use futures::{StreamExt, stream};
use model::Config;
use model::entities::Service;
use model::judge::{Judge, Lenient};
use model::value::Timestamp;
use model::vitals::Problem;
use serde_json::{Value, json};
use support::pem::pair;
use support::{ON_POSTGRES, Plane, options};
use tempfile::TempDir;

/// One whose log keeps so many steps.
async fn keeping(revisions: u64) -> Plane {
    let dir = Arc::new(TempDir::new().unwrap());
    let options = Options { revision_log_keep: revisions, ..options(&dir, Arc::new(Lenient)) };
    Plane::start_with(dir, options).await
}

async fn services(plane: &Plane) -> Vec<(String, String)> {
    let (_, list) = plane.get("/services?size=1000").await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| (text(&service["name"]), text(&service["host"])))
        .collect();
    all.sort();
    all
}

async fn put(plane: &Plane, name: &str, host: &str) -> Value {
    let (status, body) =
        plane.send("PUT", &format!("/services/{name}"), json!({ "host": host })).await;
    assert_eq!(status, 200, "{body}");
    body
}

#[tokio::test]
async fn every_write_is_noted_newest_first_and_paged() {
    let plane = keeping(1000).await;
    for n in 0..25 {
        put(&plane, &format!("s{n}"), "a.test").await;
    }
    let (_, unchanged) = plane.send("DELETE", "/services/nobody", Value::Null).await;
    assert_eq!(unchanged, Value::Null);
    let (mut path, mut versions, mut pages) =
        ("/audit/revisions?size=10".to_owned(), Vec::new(), 0);
    loop {
        let (status, page) = plane.get(&path).await;
        assert_eq!(status, 200, "{page}");
        pages += 1;
        for row in page["data"].as_array().unwrap() {
            versions.push(row["version"].as_u64().unwrap());
            assert_eq!(row["revision"], format!("1.{}", row["version"]));
            assert_eq!(row["kept"], true);
        }
        // What is written meanwhile is newer: nothing is shown twice or left out.
        put(&plane, &format!("meanwhile-{pages}"), "a.test").await;
        let Some(next) = page["next"].as_str() else { break };
        assert!(page["offset"].is_string());
        path = next.to_owned();
    }
    assert_eq!(versions, (1..=26).rev().collect::<Vec<_>>());
    assert_eq!(pages, 3);
    let (_, page) = plane.get("/audit/revisions?size=1").await;
    let row = &page["data"][0];
    assert_eq!(row["who"], "127.0.0.1");
    assert_eq!(row["from"], "127.0.0.1");
    assert_eq!(row["what"], "PUT /services/meanwhile-3");
    assert!(row["at"].is_number());
    let (_, page) = plane.get("/audit/revisions?size=1000").await;
    let first = page["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&first["who"], &first["from"]), (&json!("gateway"), &Value::Null));
    for (query, status) in [("size=0", 400), ("size=1001", 400), ("size=x", 400), ("offset=x", 400)]
    {
        assert_eq!(plane.get(&format!("/audit/revisions?{query}")).await.0, status, "{query}");
    }
}

#[tokio::test]
async fn a_revision_tells_what_it_changed() {
    let plane = keeping(1000).await;
    let made = put(&plane, "users", "a.test").await; // 1.2
    put(&plane, "users", "b.test").await; // 1.3
    plane.send("DELETE", "/services/users", Value::Null).await; // 1.4
    let shown = async |n: &str| {
        let (status, body) = plane.get(&format!("/audit/revisions/{n}")).await;
        assert_eq!(status, 200, "{body}");
        body
    };
    let created = shown("2").await;
    assert_eq!(created["revision"]["what"], "PUT /services/users");
    assert_eq!(created["revision"]["hash"].as_str().unwrap().len(), 32);
    assert_eq!(created["revision"]["changes"], 1);
    let change = &created["data"][0];
    assert_eq!((&change["entity"], &change["name"]), (&json!("services"), &json!("users")));
    assert_eq!((&change["change"], &change["before"]), (&json!("created"), &Value::Null));
    assert_eq!(change["after"], made, "as the Admin API shows it");

    let change = &shown("1.3").await["data"][0];
    assert_eq!(change["change"], "updated");
    assert_eq!(change["id"], made["id"]);
    assert_eq!(
        (&change["before"]["host"], &change["after"]["host"]),
        (&json!("a.test"), &json!("b.test"))
    );
    let fields = change["fields"].as_array().unwrap();
    assert!(fields.contains(&json!("host")) && !fields.contains(&json!("name")), "{fields:?}");

    let change = &shown("4").await["data"][0];
    assert_eq!((&change["change"], &change["after"]), (&json!("deleted"), &Value::Null));
    assert_eq!(change["before"]["host"], "b.test");

    for n in ["5", "0", "-1", "x", "1.5", "2.1", "1.2.3", "", "99999999999999999999"] {
        let (status, _) = plane.get(&format!("/audit/revisions/{n}")).await;
        // An empty segment is the list.
        assert_eq!(status, if n.is_empty() { 200 } else { 404 }, "{n}");
    }
}

#[tokio::test]
async fn keys_are_not_in_the_log_for_people() {
    let plane = keeping(1000).await;
    let (first, second) = (pair("first"), pair("second"));
    let made = plane.create("/certificates", json!({ "cert": first.cert, "key": first.key })).await;
    let path = format!("/certificates/{}", made["id"].as_str().unwrap());
    plane.send("PATCH", &path, json!({ "cert": second.cert, "key": second.key })).await;
    for n in [2, 3] {
        let (_, body) = plane.get(&format!("/audit/revisions/{n}")).await;
        assert!(!body.to_string().contains("PRIVATE KEY"), "{body}");
        assert_eq!(body["data"][0]["after"]["key"], "******");
        assert!(body["data"][0]["after"]["cert"].as_str().unwrap().contains("CERTIFICATE"));
    }
    let (_, body) = plane.get("/audit/revisions/3").await;
    assert!(body["data"][0]["fields"].as_array().unwrap().contains(&json!("key")));
    // What is restored is whole.
    let (status, _) = plane.send("POST", "/audit/revisions/2/restore", Value::Null).await;
    assert_eq!(status, 201);
    assert_eq!(plane.get(&path).await.1["key"], first.key);
}

#[tokio::test]
async fn going_back_is_a_step_forward() {
    let plane = keeping(1000).await;
    put(&plane, "a", "1.test").await; // 1.2
    put(&plane, "b", "1.test").await; // 1.3
    let then = services(&plane).await;
    let (_, status) = plane.get("/status").await;
    let hash = status["configuration_hash"].clone();
    put(&plane, "a", "2.test").await; // 1.4
    plane.send("DELETE", "/services/b", Value::Null).await; // 1.5
    put(&plane, "c", "1.test").await; // 1.6

    let (status, body) = plane.send("POST", "/audit/revisions/3/restore", Value::Null).await;
    assert_eq!(status, 201, "{body}");
    assert_eq!((&body["restored"], &body["newest"]), (&json!("1.3"), &json!("1.7")));
    assert_eq!((&body["configuration_hash"], &body["entities"]), (&hash, &json!(2)));
    assert_eq!(services(&plane).await, then);
    let (_, undone) = plane.get("/audit/revisions/7").await;
    assert_eq!(undone["revision"]["what"], "POST /audit/revisions/3/restore");
    assert_eq!(undone["revision"]["hash"], hash);
    let changes: Vec<_> =
        undone["data"].as_array().unwrap().iter().map(|change| change["change"].clone()).collect();
    assert_eq!(changes.len(), 3, "{undone}");

    // What it is already makes no revision; a way back from the way back; and to nothing at all.
    let (_, again) = plane.send("POST", "/audit/revisions/3/restore", Value::Null).await;
    assert_eq!(again["newest"], "1.7");
    let (_, forth) = plane.send("POST", "/audit/revisions/6/restore", Value::Null).await;
    assert_eq!(forth["newest"], "1.8");
    assert_eq!(services(&plane).await.len(), 2);
    let (_, nothing) = plane.send("POST", "/audit/revisions/1/restore", Value::Null).await;
    assert_eq!(nothing["entities"], 0);
    assert_eq!(services(&plane).await, []);
    assert_eq!(plane.send("POST", "/audit/revisions/99/restore", Value::Null).await.0, 404);
    // It outlives the process, as any other revision.
    let plane = plane.restart().await;
    let (_, back) = plane.send("POST", "/audit/revisions/3/restore", Value::Null).await;
    assert_eq!(back["configuration_hash"], hash);
    assert_eq!(services(&plane).await, then);
}

/// An engine that no longer serves what it once did.
struct Choosy;

impl Judge for Choosy {
    fn rehearse(&self, config: &Config) -> Result<(), Vec<Problem>> {
        let services = config.all::<Service>();
        let bad = services.iter().find(|service| service.host.as_str() == "bad.test");
        bad.map_or(Ok(()), |bad| {
            Err(vec![Problem::of(model::EntityKind::Service, bad.id, "bad", "it is bad")])
        })
    }
}

#[tokio::test]
async fn what_is_not_served_any_more_is_not_restored() {
    let dir = Arc::new(TempDir::new().unwrap());
    let plane = Plane::start_in(Arc::clone(&dir), Arc::new(Lenient)).await;
    put(&plane, "a", "bad.test").await;
    put(&plane, "a", "good.test").await;
    plane.server.shutdown(Duration::MAX).await;
    let plane = Plane::start_in(dir, Arc::new(Choosy)).await;
    let (status, body) = plane.send("POST", "/audit/revisions/2/restore", Value::Null).await;
    assert_eq!(status, 400, "{body}");
    assert!(body["message"].as_str().unwrap().contains("it is bad"), "{body}");
    assert_eq!(services(&plane).await, [("a".to_owned(), "good.test".to_owned())]);
}

#[tokio::test]
async fn what_was_folded_away_is_gone_and_says_so() {
    let plane = keeping(5).await;
    for n in 0..10 {
        put(&plane, "a", &format!("{n}.test")).await; // 1.2 to 1.11
    }
    for n in 1..=11 {
        let (status, body) = plane.get(&format!("/audit/revisions/{n}")).await;
        if n < 7 {
            assert_eq!((status, &body["oldest"]), (410, &json!("1.7")), "{n} {body}");
            let restore = format!("/audit/revisions/{n}/restore");
            assert_eq!(plane.send("POST", &restore, Value::Null).await, (410, body));
        } else {
            assert_eq!(status, 200, "{n} {body}");
        }
    }
    let (_, list) = plane.get("/audit/revisions").await;
    let kept = list["data"].as_array().unwrap().iter().filter(|row| row["kept"] == true).count();
    assert_eq!((list["data"].as_array().unwrap().len(), kept), (11, 5));
    let (status, body) = plane.send("POST", "/audit/revisions/7/restore", Value::Null).await;
    assert_eq!(status, 201, "{body}");
    assert_eq!(services(&plane).await, [("a".to_owned(), "5.test".to_owned())]);
}

#[tokio::test]
async fn a_change_of_many_entities_is_shown_a_page_at_a_time() {
    let plane = keeping(1000).await;
    for n in 0..30 {
        put(&plane, &format!("s{n}"), "a.test").await;
    }
    plane.send("POST", "/audit/revisions/1/restore", Value::Null).await; // deletes all 30
    let (mut path, mut ids) = ("/audit/revisions/32?size=7".to_owned(), Vec::new());
    loop {
        let (status, page) = plane.get(&path).await;
        assert_eq!((status, &page["revision"]["changes"]), (200, &json!(30)), "{page}");
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= 7);
        ids.extend(data.iter().map(|change| change["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = next.to_owned();
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((all, ids.len()), (30, 30));
}

/// The log holds so many steps however many were written, and the notes of who wrote them have no
/// bodies and go when they are old.
#[tokio::test]
async fn the_past_takes_so_much_room_and_no_more() {
    const MANY: usize = 2500;
    let day = 86_400;
    let now = Arc::new(AtomicI64::new(1_000_000_000));
    let dir = Arc::new(TempDir::new().unwrap());
    let clock = Arc::clone(&now);
    let options = Options {
        revision_log_keep: 20,
        audit_keep: Duration::from_secs(2 * day),
        clock: Clock::new(move || Timestamp::from_seconds(clock.load(Ordering::Relaxed))),
        ..options(&dir, Arc::new(Lenient))
    };
    let plane = Arc::new(Plane::start_with(dir, options).await);
    let large = "t".repeat(2000);
    let tags = json!([large]);
    let write = async |n: usize| {
        let body = json!({ "host": format!("h{n}.test"), "tags": tags });
        let (status, body) = plane.send("PUT", "/services/a", body).await;
        assert_eq!(status, 200, "{body}");
    };
    let sizes = async || plane.get("/audit").await.1;
    for n in 0..200 {
        write(n).await;
    }
    let first = sizes().await;
    assert_eq!(first["revisions"]["kept"], 20);
    assert_eq!(first["revisions"]["revision_log_keep"], 20);
    assert_eq!(first["revisions"]["newest"], "1.201");
    assert_eq!(first["revisions"]["oldest_kept"], "1.182");
    assert_eq!(
        (&first["audit"]["rows"], &first["audit"]["audit_keep_days"]),
        (&json!(201), &json!(2))
    );
    for n in 200..300 {
        write(n).await;
    }
    let second = sizes().await;
    let bytes = |sizes: &Value| sizes["revisions"]["bytes"].as_u64().unwrap();
    assert!(bytes(&second) < bytes(&first) + 200, "{first} {second}");
    let grown =
        second["database_bytes"].as_u64().unwrap() - first["database_bytes"].as_u64().unwrap();
    // PostgreSQL keeps the room of what is gone until it is vacuumed.
    if !ON_POSTGRES {
        assert!(grown < 100 * 400, "a note has no body: {grown} bytes for 100 of them");
    }

    stream::iter(300..MANY).for_each_concurrent(32, write).await;
    let third = sizes().await;
    assert_eq!(
        (&third["revisions"]["kept"], &third["audit"]["rows"]),
        (&json!(20), &json!(MANY + 1))
    );
    assert!(bytes(&third) < bytes(&first) + 200, "{first} {third}");

    now.fetch_add(2 * day as i64 + 1, Ordering::Relaxed);
    // With each commit so much goes, and no more, so that none takes long.
    for n in 0..3 {
        write(MANY + n).await;
    }
    let fourth = sizes().await;
    assert_eq!(fourth["audit"]["rows"], 3, "{fourth}");
    let (_, list) = plane.get("/audit/revisions").await;
    assert_eq!(list["data"].as_array().unwrap().len(), 3);
    // A step is kept though it is not known any more who made it.
    let (status, body) = plane.get(&format!("/audit/revisions/{MANY}")).await;
    assert_eq!((status, &body["revision"]["who"]), (200, &Value::Null), "{body}");
    assert_eq!(plane.get("/audit/revisions/100").await.0, 410);
}
