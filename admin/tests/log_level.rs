//! How much the node says, changed while it runs.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use admin::{Options, Storage};
use model::judge::Lenient;
use serde_json::{Value, json};
use support::{Log, Plane, options_of};
use tempfile::TempDir;

async fn plane(storage: Option<Storage>, control_plane: bool) -> (Plane, Arc<Log>) {
    let dir = Arc::new(TempDir::new().unwrap());
    let log = Arc::new(Log::default());
    let storage = storage.unwrap_or_else(|| Storage::Sqlite(dir.path().join("gateway.db")));
    let log_level = Some(Arc::clone(&log) as _);
    let options = Options { log_level, control_plane, ..options_of(storage, Arc::new(Lenient)) };
    (Plane::start_with(dir, options).await, log)
}

#[tokio::test]
async fn it_is_shown_and_changed_as_in_kong() {
    let (plane, log) = plane(None, true).await;
    let everywhere = "/debug/cluster/control-planes-nodes/log-level";
    for (method, path, status, message) in [
        ("GET", "/debug/node/log-level", 200, "log level: notice"),
        ("PUT", "/debug/node/log-level/notice", 200, "log level is already notice"),
        ("PUT", "/debug/node/log-level/debug?timeout=5", 200, "log level changed"),
        ("GET", "/debug/node/log-level", 200, "log level: debug"),
        ("PUT", "/debug/node/log-level/loud", 400, "unknown log level: loud"),
        (
            "PUT",
            "/debug/node/log-level/notice?timeout=-1",
            400,
            "timeout must be greater than or equal to 0",
        ),
        ("PUT", &format!("{everywhere}/notice"), 200, "log level changed"),
        ("PUT", "/debug/cluster/log-level/debug", 404, "Not found"),
        ("GET", "/debug/node/log-level/debug", 405, "Method not allowed"),
        ("PUT", "/debug/node/log-level", 405, "Method not allowed"),
    ] {
        let (found, body) = plane.send(method, path, Value::Null).await;
        assert_eq!((found, &body["message"]), (status, &json!(message)), "{method} {path}");
    }
    assert_eq!(*log.0.lock().unwrap(), ("notice", Some(Duration::from_secs(60))));
}

#[tokio::test]
async fn a_node_by_itself_is_its_whole_cluster() {
    let (plane, log) = plane(None, false).await;
    let path = "/debug/cluster/log-level/debug?timeout=0";
    let (status, body) = plane.send("PUT", path, Value::Null).await;
    assert_eq!((status, &body["message"]), (200, &json!("log level changed")));
    assert_eq!(*log.0.lock().unwrap(), ("debug", None));
}

#[tokio::test]
async fn without_a_database_it_can_only_be_looked_at() {
    let (plane, _) = plane(Some(Storage::Nowhere(None)), false).await;
    assert_eq!(plane.get("/debug/node/log-level").await.0, 200);
    let (status, body) = plane.send("PUT", "/debug/node/log-level/debug", Value::Null).await;
    let message = "cannot change log level when not using a database";
    assert_eq!((status, &body["message"]), (405, &json!(message)));
}
