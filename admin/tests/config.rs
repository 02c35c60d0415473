//! A node without a database: the configuration is a document.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use admin::{Beginning, Options, Storage};
use model::Config;
use model::EntityKind;
use model::declarative;
use model::entities::Service;
use model::judge::Judge;
use model::value::Timestamp;
use model::vitals::{Problem, Verdict};
use serde_json::{Map, Value, json};
use support::conversation::converse;
use support::{Plane, options_of, pem, read};
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

fn beginning(text: &str, at: i64) -> Beginning {
    let document =
        declarative::parse(text, Timestamp::from_seconds(at), model::Terms::default()).unwrap();
    Beginning::new(text, document.config)
}

fn options(document: Option<&str>) -> Options {
    let document = document.map(|text| beginning(text, 1000));
    let configuration = json!({ "role": "traditional", "database": "off" });
    let options = options_of(Storage::Nowhere(document), Arc::new(Picky));
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
async fn a_node_begins_again_with_its_document() {
    let plane = start(Some(ONE)).await;
    let again = async |text: &str| plane.server.begin_again(&beginning(text, 2000)).await;
    assert!(!again(ONE).await.unwrap(), "it is what there is");
    assert_eq!(post(&plane, "/config", "text/yaml", TWO).await.0, 201);
    assert!(again(ONE).await.unwrap());
    assert_eq!(names(&plane).await, ["one"]);
    assert_eq!(post(&plane, "/config?check_hash=1", "text/yaml", ONE).await.0, 304);

    let refused = again(&ONE.replace("one", "unservable")).await.unwrap_err();
    assert!(refused.to_string().contains("cannot be served"), "{refused}");
    assert_eq!(names(&plane).await, ["one"]);
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
async fn certificates_come_with_their_names_and_go_out_beside_them() {
    let plane = start(None).await;
    let pair = pem::pair("a.test");
    let names = [json!({ "name": "b.test" }), json!({ "name": "*.a.test" })];
    let certificate = json!({ "cert": pair.cert, "key": pair.key, "snis": names });
    let document = json!({ "_format_version": "3.0", "certificates": [certificate] }).to_string();
    let (status, loaded) = post(&plane, "/config", "application/json", document).await;
    assert_eq!(status, 201, "{loaded}");
    assert_eq!(loaded["snis"].as_object().map(Map::len), Some(2));
    for name in ["b.test", "*.a.test"] {
        let (status, found) = plane.get(&format!("/certificates/{name}")).await;
        assert_eq!((status, &found["snis"]), (200, &json!(["*.a.test", "b.test"])), "{name}");
    }
    let (_, exported) = plane.get("/config").await;
    let text = exported["config"].as_str().unwrap();
    let (status, again) = post(&plane, "/config", "text/yaml", text).await;
    assert_eq!((status, again["snis"].as_object().map(Map::len)), (201, Some(2)), "{again}");

    // The shorthand of the Admin API is a write, and so is not taken.
    let body = json!({ "cert": pair.cert, "key": pair.key, "snis": ["c.test"] }).to_string();
    let (status, refused) = post(&plane, "/certificates", "application/json", body).await;
    let message = "cannot create 'certificates' entities when not using a database";
    assert_eq!((status, &refused["code"], &refused["message"]), (405, &json!(12), &json!(message)));
}

#[tokio::test]
async fn what_is_wrong_with_a_name_is_said_of_the_name() {
    let plane = start(None).await;
    const ID: &str = "00000000-0000-4000-8000-000000000007";
    let names = json!([{ "name": "a.test" }, { "name": "a_*_b" }, 5]);
    let certificate = json!({ "id": ID, "cert": "none", "key": "none", "snis": names });
    let document = json!({ "_format_version": "3.0", "certificates": [certificate] }).to_string();
    let (status, refused) = post(&plane, "/config", "application/json", document.clone()).await;
    assert_eq!(status, 400);
    let names = &refused["fields"]["certificates"][0]["snis"];
    assert_eq!((&names[0], names[1]["name"].is_string()), (&Value::Null, true), "{refused}");
    assert_eq!(names[2], "expected a record");

    let (_, refused) = post(&plane, "/config?flatten_errors=1", "application/json", document).await;
    let blamed = refused["flattened_errors"].as_array().unwrap();
    let kinds: Vec<_> = blamed.iter().map(|entity| &entity["entity_type"]).collect();
    assert_eq!(kinds, ["certificate", "sni"], "{refused}");
    assert_eq!(blamed[1]["entity"]["certificate"]["id"], ID);
}

#[tokio::test]
async fn of_too_many_mistakes_the_first_are_told_and_the_rest_counted() {
    let plane = start(None).await;
    let services: Vec<_> = (0..103).map(|n| json!({ "name": format!("s{n}") })).collect();
    let document = json!({ "_format_version": "3.0", "services": services }).to_string();
    let (_, refused) = post(&plane, "/config", "application/json", document.clone()).await;
    assert_eq!(refused["fields"]["services"][100], "and 3 more violations");
    let (_, refused) = post(&plane, "/config?flatten_errors=1", "application/json", document).await;
    assert_eq!(refused["flattened_errors"].as_array().map(Vec::len), Some(100));
    assert_eq!(refused["fields"]["services"][100], "and 3 more violations");
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
async fn with_a_database_there_is_no_such_document() {
    let plane = Plane::start().await;
    let message = "this endpoint is only available when Kong is configured to not use a database";
    let expected = (400, json!({ "message": message }));
    assert_eq!(plane.get("/config").await, expected);
    assert_eq!(post(&plane, "/config", "text/yaml", ONE).await, expected);
}
