//! A node without a database: the configuration is a document.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use admin::{Options, StartError, Storage};
use model::Config;
use model::EntityKind;
use model::entities::Service;
use model::judge::Judge;
use model::vitals::{Problem, Verdict};
use serde_json::{Value, json};
use support::conversation::converse;
use support::{Plane, options_of, read};
use tempfile::TempDir;
use tokio::sync::watch;

const ONE: &str = "_format_version: '3.0'\nservices: [{name: one, host: a.test}]";
const TWO: &str = "_format_version: '3.0'\nservices: [{name: two, host: a.test}]";

/// An engine that serves no service of this name.
struct Picky;

impl Judge for Picky {
    fn rehearse(&self, config: &Config) -> Result<(), Vec<Problem>> {
        let refused = config.all::<Service>().by_endpoint_key("unservable");
        let problem = |service: &Service| {
            vec![Problem::of(EntityKind::Service, service.id, "name", "cannot be served")]
        };
        refused.map(problem).map_or(Ok(()), Err)
    }
}

fn options(document: Option<&str>) -> Options {
    let document = document.map(str::to_owned);
    let configuration = json!({ "role": "traditional", "database": "off" });
    let options = options_of(Storage::Nowhere { document }, Arc::new(Picky));
    Options { configuration, control_plane: false, ..options }
}

async fn start(document: Option<&str>) -> Plane {
    Plane::start_with(Arc::new(TempDir::new().unwrap()), options(document)).await
}

async fn post(plane: &Plane, path: &str, of: &str, body: impl Into<String>) -> (u16, Value) {
    let request = plane.request("POST", path).header("content-type", of).body(body.into());
    read(request.send().await.unwrap()).await
}

async fn names(plane: &Plane) -> Vec<Value> {
    let (_, page) = plane.get("/services").await;
    page["data"].as_array().unwrap().iter().map(|service| service["name"].clone()).collect()
}

#[test]
fn exchanges() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config");
    model::testing::cases::check(dir, |input| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let plane = start(None).await;
            let output = converse(&plane, input).await;
            plane.server.shutdown(Duration::MAX).await;
            output
        })
    });
}

#[tokio::test]
async fn a_document_comes_in_every_form_kongs_clients_send() {
    let plane = start(None).await;
    let form: String =
        form_urlencoded::Serializer::new(String::new()).append_pair("config", ONE).finish();
    let parts = format!(
        "--x\r\ncontent-disposition: form-data; name=\"config\"; filename=\"kong.yml\"\r\n\
         content-type: application/octet-stream\r\n\r\n{ONE}\r\n--x--\r\n"
    );
    for (of, body) in [
        ("text/yaml", ONE.to_owned()),
        ("application/yaml; charset=utf-8", ONE.to_owned()),
        ("application/json", json!({ "config": ONE }).to_string()),
        ("application/x-www-form-urlencoded", form),
        ("multipart/form-data; boundary=x", parts),
        (
            "application/json",
            json!({ "_format_version": "3.0", "services": [{ "name": "one", "host": "a.test" }] })
                .to_string(),
        ),
    ] {
        assert_eq!(post(&plane, "/config", "text/yaml", TWO).await.0, 201);
        let (status, loaded) = post(&plane, "/config", of, body).await;
        assert_eq!(status, 201, "{of}: {loaded}");
        let services = loaded["services"].as_object().unwrap();
        assert_eq!(services.values().map(|service| &service["name"]).collect::<Vec<_>>(), ["one"]);
        assert_eq!(names(&plane).await, ["one"], "{of}");
    }
}

#[tokio::test]
async fn the_text_that_is_served_need_not_be_loaded_again() {
    let plane = start(Some(ONE)).await;
    let checked = "/config?check_hash=1";
    assert_eq!(post(&plane, checked, "text/yaml", ONE).await.0, 304, "it began with it");
    assert_eq!(post(&plane, "/config?check_hash=true", "text/yaml", ONE).await.0, 201);
    assert_eq!(
        post(&plane, checked, "application/json", json!({ "config": ONE }).to_string()).await.0,
        304
    );
    assert_eq!(post(&plane, checked, "text/yaml", TWO).await.0, 201);
    assert_eq!(post(&plane, checked, "text/yaml", ONE).await.0, 201, "another came between");
    assert_eq!(post(&plane, checked, "text/yaml", format!("{ONE}\n")).await.0, 201, "another text");
    let object = json!({ "_format_version": "3.0" }).to_string();
    assert_eq!(post(&plane, checked, "application/json", object.clone()).await.0, 201);
    assert_eq!(post(&plane, checked, "application/json", object).await.0, 201, "it has no text");
}

#[tokio::test]
async fn what_is_exported_can_be_loaded() {
    let plane = start(Some(ONE)).await;
    let (_, exported) = plane.get("/config").await;
    assert_eq!(post(&plane, "/config", "text/yaml", TWO).await.0, 201);
    let text = exported["config"].as_str().unwrap();
    assert_eq!(post(&plane, "/config", "text/yaml", text).await.0, 201);
    assert_eq!(names(&plane).await, ["one"]);
}

#[tokio::test]
async fn it_says_that_it_has_no_database() {
    let plane = start(None).await;
    let (_, root) = plane.get("/").await;
    assert_eq!(root["configuration"]["database"], "off");
    let (status, shown) = plane.get("/status").await;
    assert_eq!((status, shown.get("database")), (200, None));
    assert_eq!(shown["configuration_hash"], "0".repeat(32));
    assert_eq!(post(&plane, "/config", "text/yaml", ONE).await.0, 201);
    assert_ne!(plane.get("/status").await.1["configuration_hash"], "0".repeat(32));
}

#[tokio::test]
async fn a_load_is_answered_when_every_worker_serves_it() {
    let plane = start(None).await;
    let (tell, verdicts) = watch::channel(Verdict::default());
    plane.server.follow(verdicts);
    let mut revisions = plane.server.revisions();
    let first = post(&plane, "/config", "text/yaml", ONE);
    let serving = async {
        revisions.changed().await.unwrap();
        // The second comes while the first is waited for.
        let (status, busy) = post(&plane, "/config", "text/yaml", TWO).await;
        assert_eq!(
            (status, &busy["message"]),
            (429, &json!("Currently loading previous configuration"))
        );
        let effective = Some(revisions.borrow().id);
        tell.send_replace(Verdict { effective, ..Verdict::default() });
    };
    let ((status, _), ()) = tokio::join!(first, serving);
    assert_eq!(status, 201);
    assert_eq!(names(&plane).await, ["one"]);
}

#[tokio::test]
async fn a_document_that_cannot_be_served_is_no_start() {
    for (document, expected) in [
        (
            "_format_version: '3.0'\nservices: [{name: a}, {name: b, host: h, port: x}]",
            &["services.1.host: required field missing", "services.2.port: expected an integer"][..],
        ),
        (
            "_format_version: '3.0'\nservices: [{name: unservable, host: h}]",
            &["services.1: cannot be served"],
        ),
        ("a: [", &["cannot be read"]),
    ] {
        let Err(StartError::Document(error)) = admin::Server::start(options(Some(document))).await
        else {
            panic!("it starts with {document}");
        };
        for line in expected {
            assert!(error.to_string().contains(line), "{error}");
        }
    }
}

#[tokio::test]
async fn with_a_database_there_is_no_such_document() {
    let plane = Plane::start().await;
    let message = "this endpoint is only available when Kong is configured to not use a database";
    let expected = (400, json!({ "message": message }));
    assert_eq!(plane.get("/config").await, expected);
    assert_eq!(post(&plane, "/config", "text/yaml", ONE).await, expected);
}
