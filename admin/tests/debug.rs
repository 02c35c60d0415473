//! `POST /debug/route`: what it takes, what it says, and whom it asks.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use admin::{Options, Storage};
use model::Config;
use model::entities::Route;
use model::explain::{Asked, Explanation, Order, Question};
use model::judge::Judge;
use model::vitals::Problem;
use serde_json::{Value, json};
use support::{Plane, options_of};
use tempfile::TempDir;

/// An engine that notes what it is asked, and of a configuration that has a route named `bad`
/// knows only that it cannot be served.
#[derive(Default)]
struct Engine {
    asked: Mutex<Vec<Question>>,
    at_work: AtomicUsize,
    most_at_work: AtomicUsize,
}

impl Judge for Engine {
    fn rehearse(&self, _: &Config) -> Result<(), Vec<Problem>> {
        Ok(())
    }

    fn explain(&self, config: &Config, question: &Question) -> Result<Explanation, Vec<Problem>> {
        let at_work = 1 + self.at_work.fetch_add(1, SeqCst);
        self.most_at_work.fetch_max(at_work, SeqCst);
        (0..1000).for_each(|_| std::thread::yield_now()); // as one who has much to look at
        self.at_work.fetch_sub(1, SeqCst);
        self.asked.lock().unwrap().push(question.clone());
        let routes = config.all::<Route>();
        if let Some(route) = routes.by_endpoint_key("bad") {
            return Err(vec![Problem::of(model::EntityKind::Route, route.id, "bad", "it is bad")]);
        }
        Ok(Explanation {
            configuration_hash: config.hash().to_string(),
            routes: routes.len(),
            router_priority: Order::KongEffective,
            request: Asked {
                method: question.method.to_string(),
                scheme: question.scheme.to_string(),
                host: question.host.clone().unwrap_or_default(),
                port: question.port,
                path: question.path.clone(),
                sni: None,
            },
            matched: None,
            other_order: None,
            outranked: Vec::new(),
            outranked_total: 0,
            near_misses: Vec::new(),
            near_misses_total: 0,
            notes: Vec::new(),
        })
    }
}

async fn plane(storage: Option<Storage>) -> (Plane, Arc<Engine>) {
    let dir = Arc::new(TempDir::new().unwrap());
    let engine = Arc::new(Engine::default());
    let storage = storage.unwrap_or_else(|| Storage::Sqlite(dir.path().join("gateway.db")));
    let judge: Arc<dyn Judge> = Arc::clone(&engine) as _;
    let options = Options { control_plane: false, ..options_of(storage, judge) };
    (Plane::start_with(dir, options).await, engine)
}

#[tokio::test]
async fn the_engine_is_asked_about_the_newest_revision() {
    let (plane, engine) = plane(None).await;
    plane.create("/routes", json!({ "name": "a", "paths": ["/a"] })).await;
    let body = json!({
        "method": "PUT", "host": "a.io:81", "path": "/a?b", "scheme": "https", "port": 8443,
        "sni": "", "headers": { "X-A": ["1", "2"] }, "source": "10.0.0.1:7", "limit": 0,
        "http_version": "2",
    });
    let (status, told) = plane.send("POST", "/debug/route", body.clone()).await;
    assert_eq!(
        (status, &told["routes"], &told["matched"]),
        (200, &json!(1), &Value::Null),
        "{told}"
    );
    let (_, shown) = plane.get("/status").await;
    assert_eq!(told["configuration_hash"], shown["configuration_hash"]);
    let asked = serde_json::to_value(engine.asked.lock().unwrap().pop().unwrap()).unwrap();
    assert_eq!(asked, body);

    let (status, _) = plane.send("POST", "/debug/route", json!({})).await;
    assert_eq!(status, 200);
    let asked = engine.asked.lock().unwrap().pop().unwrap();
    assert_eq!((asked.method.as_str(), &*asked.path, asked.limit), ("GET", "/", 5));
}

#[tokio::test]
async fn all_that_is_wrong_with_a_question_is_told_together() {
    let (plane, engine) = plane(None).await;
    let body = json!({
        "method": "get", "path": "a", "scheme": "gopher", "port": 0, "host": 1, "limit": 1001,
        "headers": { "a b": ["1"] }, "source": "here", "color": "blue",
        "http_version": 2,
    });
    let (status, told) = plane.send("POST", "/debug/route", body).await;
    assert_eq!(
        (status, &told["code"], &told["name"]),
        (400, &json!(2), &json!("schema violation"))
    );
    let fields = told["fields"].as_object().unwrap();
    let names: Vec<_> = fields.keys().map(String::as_str).collect();
    let expected = [
        "color",
        "headers",
        "host",
        "http_version",
        "limit",
        "method",
        "path",
        "port",
        "scheme",
        "source",
    ];
    assert_eq!(names, expected);
    assert!(engine.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_configuration_that_is_not_served_has_no_routes() {
    let (plane, _) = plane(None).await;
    let bad = plane.create("/routes", json!({ "name": "bad", "paths": ["/a"] })).await;
    let (status, told) = plane.send("POST", "/debug/route", json!({ "path": "/a" })).await;
    assert_eq!(status, 409, "{told}");
    assert_eq!(told["problems"][0]["message"], "it is bad");
    assert_eq!(told["problems"][0]["entity"], json!(["routes", bad["id"]]));
}

#[tokio::test]
async fn a_node_without_a_database_explains_its_document() {
    let (plane, _) = plane(Some(Storage::Nowhere(None))).await;
    let yaml = "_format_version: '3.0'\nroutes: [{name: a, paths: [/a]}]";
    assert_eq!(plane.send("POST", "/config", json!({ "config": yaml })).await.0, 201);
    let (status, told) = plane.send("POST", "/debug/route", json!({ "path": "/a" })).await;
    assert_eq!((status, &told["routes"]), (200, &json!(1)));
    assert_eq!(plane.get("/debug/route").await.0, 405);
}

#[tokio::test]
async fn questions_are_answered_one_at_a_time() {
    let (plane, engine) = plane(None).await;
    let asking = (0..30).map(|_| plane.send("POST", "/debug/route", json!({ "path": "/a" })));
    for (status, told) in futures::future::join_all(asking).await {
        assert_eq!(status, 200, "{told}");
    }
    let asked = engine.asked.lock().unwrap().len();
    assert_eq!((asked, engine.most_at_work.load(SeqCst)), (30, 1));
}
