//! What a node says of itself and of others, and how it speaks and ends.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;

use axum::body::Body;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use model::RevisionId;
use model::testing::Knowing;
use model::vitals::{NodeReport, NodeStatus, SyncStatus, Vitals};
use serde_json::{Value, json};
use support::{Plane, options, read};
use tokio::sync::watch;
use uuid::Uuid;

fn service(number: usize) -> Value {
    json!({ "name": format!("s{number}"), "host": "a.test" })
}

#[tokio::test]
async fn the_node_tells_of_itself() {
    let plane = Plane::start().await;
    let (status, root) = plane.get("/").await;
    assert_eq!(status, 200);
    assert_eq!(root["version"], model::COMPAT);
    assert_eq!(root["gateway_version"], model::VERSION);
    assert_eq!(root["hostname"], "cp.test");
    assert_eq!(root["configuration"]["role"], "control_plane");
    let available = &root["plugins"]["available_on_server"];
    assert_eq!(available["key-auth"], json!({ "version": "3.10.0", "priority": 1250 }));
    assert_eq!(root["plugins"]["enabled_in_cluster"], json!([]));
    assert!(root["pids"]["workers"].is_array());
    assert_eq!(text(&root["node_id"]).parse::<Uuid>().unwrap(), plane.server.node_id());

    let (status, found) = plane.get("/status?unit=k&scale=0").await;
    assert_eq!(status, 200);
    assert_eq!(found["database"], json!({ "reachable": true }));
    assert_eq!(found["configuration_hash"], "0".repeat(32));
    assert!(text(&found["memory"]["workers_lua_vms"][0]["http_allocated_gc"]).ends_with(" KiB"));
    assert!(found["server"]["total_requests"].as_u64().unwrap() >= 2);
    assert_eq!(found["server"]["connections_writing"], 1, "this very request");
}

#[tokio::test]
async fn a_node_without_a_cluster_has_no_data_planes() {
    let dir = Arc::new(tempfile::TempDir::new().unwrap());
    let mut options = options(&dir, Arc::new(Knowing));
    options.control_plane = false;
    let plane = Plane::start_with(dir, options).await;
    for path in ["/clustering/data-planes", "/clustering/status"] {
        let (status, refused) = plane.get(path).await;
        assert_eq!(status, 400);
        assert!(text(&refused["message"]).contains("Control Plane"), "{refused}");
    }
}

#[tokio::test]
async fn shutting_down_answers_what_was_asked() {
    let plane = Plane::start().await;
    let pending: Vec<_> = (0..20)
        .map(|n| tokio::spawn(plane.request("POST", "/services").json(&service(n)).send()))
        .collect();
    let created = plane.create("/services", service(100)).await;
    let dir = Arc::clone(&plane.dir);
    plane.server.shutdown(std::time::Duration::MAX).await;
    let mut kept = vec![text(&created["id"]).to_owned()];
    for answer in pending {
        // One that came too late was refused a connection, and has no effect.
        let Ok(response) = answer.await.unwrap() else { continue };
        let (status, created) = read(response).await;
        assert_eq!(status, 201);
        kept.push(text(&created["id"]).to_owned());
    }
    let plane = Plane::start_in(dir, Arc::new(Knowing)).await;
    for id in kept {
        assert_eq!(plane.get(&format!("/services/{id}")).await.0, 200);
    }
}

#[tokio::test]
async fn http_2_is_spoken_without_tls() {
    let plane = Plane::start().await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
    let uri = format!("http://{}/services", plane.server.addresses()[0]);
    let response = client.get(uri.parse().unwrap()).await.unwrap();
    assert_eq!(
        (response.version(), response.status()),
        (http::Version::HTTP_2, http::StatusCode::OK)
    );
}

#[tokio::test]
async fn data_planes_are_shown_as_they_are_seen() {
    struct Two;
    impl Vitals for Two {
        fn page(&self, after: Option<Uuid>, most: usize) -> Vec<NodeReport> {
            let all = [1, 2].map(|n| node(Uuid::from_u128(n)));
            all.into_iter().filter(|node| Some(node.id) > after).take(most).collect()
        }

        fn count(&self) -> usize {
            2
        }
    }
    let plane = Plane::start().await;
    plane.server.observe(Arc::new(Two));
    let (status, page) = plane.get("/clustering/data-planes?size=1").await;
    assert_eq!((status, text(&page["data"][0]["hostname"])), (200, "dp.test"));
    let (_, rest) = plane.get(text(&page["next"])).await;
    assert_eq!(rest["data"][0]["id"], Uuid::from_u128(2).to_string());
    assert_eq!(rest["next"], Value::Null);
    let (_, by_id) = plane.get("/clustering/status").await;
    let expected = json!({
        "hostname": "dp.test", "ip": "127.0.0.1", "last_seen": 7, "config_hash": "0".repeat(32),
    });
    assert_eq!(by_id[Uuid::from_u128(1).to_string()], expected);
}

fn node(id: Uuid) -> NodeReport {
    NodeReport {
        id,
        hostname: "dp.test".to_owned(),
        ip: [127, 0, 0, 1].into(),
        version: model::VERSION.to_owned(),
        last_seen: 7,
        updated_at: 7,
        ttl: 1,
        config_hash: "0".repeat(32),
        status: NodeStatus::Connected,
        sync_status: SyncStatus::Normal,
        labels: Default::default(),
        differing_settings: Default::default(),
        cert_details: Default::default(),
        received: None,
        effective: None,
        cached: false,
        refused: None,
    }
}

#[tokio::test]
async fn a_restored_database_gets_a_new_epoch() {
    let mut plane = Plane::start().await;
    plane.create("/services", service(1)).await;
    let mut revisions = plane.server.revisions();
    let here = revisions.borrow_and_update().id;
    let ahead = watch::Sender::new(None);
    plane.server.heed(ahead.subscribe());
    ahead.send_replace(Some(RevisionId { version: 99, ..here }));
    revisions.changed().await.unwrap();
    let raised = revisions.borrow_and_update().id;
    assert_eq!(raised, RevisionId { epoch: 2, version: 1, ..here });
    plane.create("/services", service(2)).await;
    assert_eq!(plane.server.revisions().borrow().id.position(), (2, 2));
}

#[tokio::test]
async fn every_request_is_logged() {
    let dir = Arc::new(tempfile::TempDir::new().unwrap());
    let mut options = options(&dir, Arc::new(Knowing));
    let (log, lines) = std::sync::mpsc::channel();
    options.access_log = Some(Box::new(move |access| {
        let _ = log.send(format!("{} {access}", access.peer));
    }));
    let plane = Plane::start_with(dir, options).await;
    plane.get("/nowhere?x=1").await;
    assert_eq!(lines.recv().unwrap(), r#"127.0.0.1 "GET /nowhere?x=1 HTTP/1.1" 404 23"#);
    plane.get("/services/").await;
    assert_eq!(lines.recv().unwrap(), r#"127.0.0.1 "GET /services/ HTTP/1.1" 200 23"#);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}
