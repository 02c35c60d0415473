//! Keys that are gone after a while: what clients see of them, what is kept, and when they go.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use admin::{Clock, Options, Storage};
use model::Entity as _;
use model::Revision;
use model::entities::KeyAuth;
use model::judge::Lenient;
use model::value::Timestamp;
use serde_json::{Value, json};
use support::{Plane, options, options_of, read};
use tempfile::TempDir;

/// A time that only the test changes.
#[derive(Clone)]
struct Time(Arc<AtomicI64>);

impl Time {
    fn at(seconds: i64) -> Self {
        Self(Arc::new(AtomicI64::new(seconds)))
    }

    fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let time = self.clone();
        Clock::new(move || Timestamp::from_seconds(time.0.load(Ordering::SeqCst)))
    }
}

async fn start(dir: &Arc<TempDir>, clock: Clock) -> Plane {
    let options = Options { clock, ..options(dir, Arc::new(Lenient)) };
    Plane::start_with(Arc::clone(dir), options).await
}

/// Waits until there is no key any more.
async fn gone(plane: &Plane) {
    let mut revisions = plane.server.revisions();
    let none = |revision: &Arc<Revision>| revision.config.all::<KeyAuth>().is_empty();
    tokio::time::timeout(Duration::from_secs(60), revisions.wait_for(none)).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_left_is_shown_and_can_be_changed() {
    let (time, dir) = (Time::at(1000), Arc::new(TempDir::new().unwrap()));
    let plane = start(&dir, time.clock()).await;
    plane.create("/consumers", json!({ "username": "alice" })).await;
    let made = plane.create("/consumers/alice/key-auth", json!({ "key": "k", "ttl": 60 })).await;
    assert_eq!(made["ttl"], 60);
    let revision = plane.server.revisions().borrow().clone();
    let kept = revision.config.all::<KeyAuth>().by_endpoint_key("k").unwrap();
    assert_eq!(kept.expiry(), Some(Timestamp::from_seconds(1060)), "data planes know when");

    time.set(1030);
    for path in ["/key-auths/k", "/consumers/alice/key-auth/k"] {
        assert_eq!(plane.get(path).await.1["ttl"], 30, "{path}");
    }
    for path in ["/key-auths", "/consumers/alice/key-auth"] {
        assert_eq!(plane.get(path).await.1["data"][0]["ttl"], 30, "{path}");
    }
    let patch =
        async |body: Value| plane.send("PATCH", "/key-auths/k", body).await.1["ttl"].clone();
    assert_eq!(patch(json!({ "tags": ["t"] })).await, 30, "it is not said again");
    assert_eq!(patch(json!({ "ttl": 10 })).await, 10);
    assert_eq!(patch(json!({ "ttl": 0 })).await, Value::Null);
    assert_eq!(patch(json!({ "ttl": 100_000_000 })).await, 100_000_000);
    assert_eq!(patch(json!({ "ttl": null })).await, Value::Null);
    let (_, put) = plane.send("PUT", "/consumers/alice/key-auth/k", json!({ "ttl": 5.0 })).await;
    assert_eq!(put["ttl"], 5);
    let (_, put) = plane.send("PUT", "/consumers/alice/key-auth/k", json!({})).await;
    assert_eq!(put["ttl"], Value::Null);

    for wrong in [json!(-1), json!(1.5), json!("60"), json!(100_000_001), json!([])] {
        let (status, said) = plane.send("PATCH", "/key-auths/k", json!({ "ttl": wrong })).await;
        let why = "must be an integer between 0 and 100000000";
        assert_eq!(
            (status, &said["code"], &said["options"]),
            (400, &json!(11), &json!({ "ttl": why }))
        );
        assert_eq!(said["message"], format!("invalid option (ttl: {why})"));
    }
    let form = plane.request("PATCH", "/key-auths/k").body("ttl=7");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(read(form.send().await.unwrap()).await.1["ttl"], 7);
}

#[tokio::test]
async fn what_is_over_is_not_there_and_in_nobodys_way() {
    let (time, dir) = (Time::at(1000), Arc::new(TempDir::new().unwrap()));
    let plane = start(&dir, time.clock()).await;
    plane.create("/consumers", json!({ "username": "alice" })).await;
    let old = plane.create("/consumers/alice/key-auth", json!({ "key": "k", "ttl": 60 })).await;
    time.set(1059);
    assert_eq!(plane.get("/key-auths/k").await.1["ttl"], 1);
    time.set(1060);
    assert_eq!(plane.get("/key-auths/k").await.0, 404);
    for path in ["/key-auths", "/consumers/alice/key-auth"] {
        assert_eq!(plane.get(path).await.1["data"], json!([]), "{path}");
    }
    assert_eq!(plane.send("PATCH", "/key-auths/k", json!({ "tags": [] })).await.0, 404);
    // Its name is free, and so is its id.
    let new = json!({ "key": "k", "id": old["id"] });
    plane.create("/consumers/alice/key-auth", new).await;
    let revision = plane.server.revisions().borrow().clone();
    assert_eq!(revision.config.all::<KeyAuth>().len(), 1);
    assert_eq!(revision.config.next_expiry(), None);
}

#[tokio::test]
async fn what_was_over_while_nobody_was_there_goes_at_once() {
    let (time, dir) = (Time::at(1000), Arc::new(TempDir::new().unwrap()));
    let plane = start(&dir, time.clock()).await;
    plane.create("/consumers", json!({ "username": "alice" })).await;
    plane.create("/consumers/alice/key-auth", json!({ "key": "k", "ttl": 60 })).await;
    plane.server.shutdown(Duration::MAX).await;
    time.set(2000);
    let plane = start(&dir, time.clock()).await;
    gone(&plane).await;
    let (_, log) = plane.get("/audit/revisions").await;
    assert_eq!(log["data"][0]["what"], "what was over");
    // From the database, too.
    plane.server.shutdown(Duration::MAX).await;
    time.set(0);
    let plane = start(&dir, time.clock()).await;
    assert_eq!(plane.get("/key-auths").await.1["data"], json!([]));
}

#[tokio::test]
async fn it_goes_when_it_is_over_though_nobody_asks() {
    let dir = Arc::new(TempDir::new().unwrap());
    let plane = start(&dir, Clock::default()).await;
    plane.create("/consumers", json!({ "username": "alice" })).await;
    plane.create("/consumers/alice/key-auth", json!({ "key": "k", "ttl": 1 })).await;
    gone(&plane).await;
}

#[tokio::test]
async fn a_document_says_when_it_is_over() {
    let time = Time::at(1000);
    let without = options_of(Storage::Nowhere(None), Arc::new(Lenient));
    let without = Options { clock: time.clock(), ..without };
    let plane = Plane::start_with(Arc::new(TempDir::new().unwrap()), without).await;
    let keys = json!([{ "key": "new", "ttl": 1060 }, { "key": "old", "ttl": 60 }]);
    let document = json!({
        "_format_version": "3.0",
        "consumers": [{ "username": "alice", "keyauth_credentials": keys }],
    });
    assert_eq!(plane.send("POST", "/config", document).await.0, 201);
    assert_eq!(plane.get("/key-auths/new").await.1["ttl"], 60);
    assert_eq!(plane.get("/key-auths/old").await.0, 404);
    let (_, exported) = plane.get("/config").await;
    assert!(exported["config"].as_str().unwrap().contains("ttl: 1060"), "{exported}");
}
