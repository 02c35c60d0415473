//! One suite that every entity passes, over HTTP.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;

use admin::Options;
use axum::body::Body;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use model::entity::foreign_keys;
use model::judge::Judge;
use model::schema::{Field, Kind};
use model::testing::Knowing;
use model::vitals::{NodeReport, NodeStatus, Problem, SyncStatus, Vitals};
use model::{Config, EntityKind, RevisionId};
use serde_json::{Value, json};
use support::pem::{Pair, authority, pair};
use support::{Plane, options, read};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use uuid::Uuid;

/// A body that the schema of this kind accepts; with another number, another entity.
fn sample(kind: EntityKind, number: usize) -> Value {
    match kind {
        EntityKind::Service => json!({ "name": format!("s{number}"), "host": "a.test" }),
        EntityKind::Route => {
            json!({ "name": format!("r{number}"), "paths": [format!("/{number}")] })
        }
        EntityKind::Certificate => {
            let Pair { cert, key } = pair(&format!("c{number}"));
            json!({ "cert": cert, "key": key })
        }
        EntityKind::CaCertificate => json!({ "cert": authority(&format!("a{number}"), 365).cert }),
        EntityKind::Sni => json!({ "name": format!("n{number}.test") }),
        EntityKind::Consumer => json!({ "username": format!("c{number}") }),
        EntityKind::Upstream => json!({ "name": format!("u{number}.test") }),
        EntityKind::Target => json!({ "target": format!("10.0.0.{number}:80") }),
        EntityKind::Vault => json!({ "name": "env", "prefix": format!("v{number}") }),
        EntityKind::KeySet => json!({ "name": format!("ks{number}") }),
        EntityKind::Key => json!({
            "name": format!("k{number}"),
            "kid": format!("k{number}"),
            "jwk": format!(r#"{{"kty":"oct","k":"AA","kid":"k{number}"}}"#),
        }),
        EntityKind::KeyAuth => json!({ "key": format!("key{number}") }),
        EntityKind::BasicAuth => json!({ "username": format!("b{number}"), "password": "p" }),
        EntityKind::HmacAuth => json!({ "username": format!("h{number}") }),
        EntityKind::JwtSecret => json!({ "key": format!("j{number}") }),
        EntityKind::Acl => json!({ "group": format!("g{number}") }),
        EntityKind::OAuth2 => json!({ "name": "app", "client_id": format!("o{number}") }),
        EntityKind::Plugin => {
            json!({ "name": "request-termination", "instance_name": format!("p{number}") })
        }
    }
}

/// Fields that must refer to something. For all services there is one plugin of a type only.
fn needs(kind: EntityKind, field: &Field) -> bool {
    field.required || kind == EntityKind::Plugin && field.name == "service"
}

/// The same, with everything it must refer to.
async fn complete(plane: &Plane, kind: EntityKind, number: usize) -> Value {
    let mut body = sample(kind, number);
    for field in kind.schema().fields.iter().filter(|field| needs(kind, field)) {
        if let Kind::Foreign { entity } = field.kind {
            let target = EntityKind::from_name(entity).unwrap();
            // Nobody else is called so.
            let parent = sample(target, 1000 * (1 + kind as usize) + number);
            let parent = plane.create(&format!("/{}", target.path()), parent).await;
            body[field.name] = json!({ "id": parent["id"] });
        }
    }
    body
}

/// What a URL may call an entity by.
fn key(kind: EntityKind, entity: &Value) -> &str {
    let names = match kind {
        EntityKind::Plugin => &["instance_name"][..],
        EntityKind::Target => &["target"],
        EntityKind::Vault => &["prefix"],
        EntityKind::KeyAuth | EntityKind::JwtSecret => &["key"],
        EntityKind::OAuth2 => &["client_id"],
        _ => &["name", "username"],
    };
    let name = names.iter().find_map(|name| entity[*name].as_str());
    name.unwrap_or_else(|| text(&entity["id"]))
}

/// Where all entities of this kind are, or those that this body's are among.
fn all_of(kind: EntityKind, body: &Value) -> String {
    match kind {
        EntityKind::Target => format!("/upstreams/{}/targets", text(&body["upstream"]["id"])),
        kind => format!("/{}", kind.path()),
    }
}

#[tokio::test]
async fn every_entity_can_be_created_read_changed_and_deleted() {
    let plane = Plane::start().await;
    for &kind in EntityKind::ALL {
        live(&plane, kind).await;
    }
}

async fn live(plane: &Plane, kind: EntityKind) {
    let body = complete(plane, kind, 1).await;
    let all = all_of(kind, &body);
    let created = plane.create(&all, body.clone()).await;
    let id = created["id"].as_str().unwrap().to_owned();
    let (by_id, by_name) = (format!("{all}/{id}"), format!("{all}/{}", key(kind, &created)));

    for field in kind.schema().fields {
        let is_shown = created.get(field.name).is_some();
        let is_known = field.is_of(model::Flavor::default());
        assert_eq!(is_shown, is_known, "{kind} shows {}", field.name);
    }
    assert_eq!(plane.get(&by_id).await, (200, created.clone()));
    assert_eq!(plane.get(&by_name).await, (200, created.clone()));
    assert_eq!(plane.get(&all).await, (200, json!({ "data": [created], "next": null })));

    let schema = kind.schema();
    if !schema.key.is_empty() || schema.fields.iter().any(|field| field.unique) {
        let (status, refused) = plane.send("POST", &all, body).await;
        assert_eq!((status, &refused["code"]), (409, &json!(5)));
    }

    let (status, merged) = plane.send("PATCH", &by_name, json!({ "tags": ["t"] })).await;
    assert_eq!((status, &merged["tags"]), (200, &json!(["t"])));
    assert_eq!(merged["created_at"], created["created_at"]);
    if schema.field("updated_at").is_some() {
        assert_ne!(merged["updated_at"], created["updated_at"]);
    }

    let mut body = complete(plane, kind, 2).await;
    if kind == EntityKind::Target {
        (body["tags"], body["upstream"]) = (Value::Null, created["upstream"].clone()); // as a PATCH
    }
    let (status, replaced) = plane.send("PUT", &by_id, body).await;
    assert_eq!((status, &replaced["tags"]), (200, &Value::Null), "{replaced}");
    assert_eq!(replaced["id"], id.as_str());
    if by_name != by_id {
        assert_eq!(plane.get(&by_name).await.0, 404, "its name is free again");
    }

    assert_eq!(plane.send("DELETE", &by_id, Value::Null).await, (204, Value::Null));
    assert_eq!(plane.get(&by_id).await.0, 404);
    assert_eq!(plane.get(&all).await, (200, json!({ "data": [], "next": null })));
}

#[tokio::test]
async fn every_reference_nests() {
    let plane = Plane::start().await;
    for &kind in EntityKind::ALL {
        for key in foreign_keys(kind.schema().fields) {
            let target = key.target;
            let parent = plane.create(&format!("/{}", target.path()), sample(target, 1)).await;
            let of = self::key(target, &parent);
            let under = format!("/{}/{of}/{}", target.path(), kind.nested());
            let mut body = sample(kind, 1);
            if key.target == EntityKind::Certificate && kind == EntityKind::Service {
                body["protocol"] = "https".into(); // certificates are for TLS
            }
            let child = plane.create(&under, body).await;
            assert_eq!(child[key.field], json!({ "id": parent["id"] }));
            assert_eq!(plane.get(&under).await.1["data"], json!([child]));

            let name = if kind == EntityKind::Acl { "g1" } else { self::key(kind, &child) };
            assert_eq!(plane.get(&format!("{under}/{name}")).await, (200, child.clone()));
            if kind != EntityKind::Sni && kind.is_top_level() {
                let back = format!("/{}/{}/{}", kind.path(), text(&child["id"]), key.field);
                assert_eq!(plane.get(&back).await.1["id"], parent["id"]);
            }
            let (status, _) = plane.send("DELETE", &format!("{under}/{name}"), Value::Null).await;
            assert_eq!(status, 204);
            let (status, _) = plane.send("DELETE", &format!("{under}/{name}"), Value::Null).await;
            assert_eq!(status, 404);
            let parent = format!("/{}/{}", target.path(), text(&parent["id"]));
            plane.send("DELETE", &parent, Value::Null).await;
        }
    }
}

#[tokio::test]
async fn a_list_goes_on_until_its_end() {
    let plane = Plane::start().await;
    for &kind in EntityKind::ALL {
        let mut made = Vec::new();
        let (mut all, mut first) = (String::new(), Value::Null);
        for number in 0..25 {
            let mut body = complete(&plane, kind, number).await;
            if kind == EntityKind::Target {
                first = if first.is_null() { body["upstream"].clone() } else { first };
                body["upstream"] = first.clone();
            }
            all = all_of(kind, &body);
            let created = plane.create(&all, body).await;
            made.push(text(&created["id"]).to_owned());
        }
        if kind == EntityKind::Target {
            made.reverse(); // the newest first
        } else {
            made.sort();
        }

        let (mut found, mut next) = (Vec::new(), json!(format!("{all}?size=10")));
        while let Some(path) = next.as_str() {
            let (status, page) = plane.get(path).await;
            assert_eq!(status, 200);
            assert_eq!(page.get("offset").is_some(), !page["next"].is_null());
            assert!(page["data"].as_array().unwrap().len() <= 100);
            found
                .extend(page["data"].as_array().unwrap().iter().map(|e| text(&e["id"]).to_owned()));
            next = page["next"].clone();
        }
        assert_eq!(found, made, "{kind}");
    }
}

#[tokio::test]
async fn a_restart_loses_nothing_and_changes_nothing() {
    let plane = Plane::start().await;
    for &kind in EntityKind::ALL {
        let body = complete(&plane, kind, 1).await;
        plane.create(&all_of(kind, &body), body).await;
    }
    let (trust, node) = (plane.server.trust(), plane.server.node_id());
    let before = plane.server.revisions().borrow().clone();
    let plane = plane.restart().await;
    let after = plane.server.revisions().borrow().clone();
    assert_eq!(after.id, before.id);
    assert_eq!(after.config.hash(), before.config.hash());
    assert_eq!(after.signature, before.signature);
    assert_eq!((plane.server.trust(), plane.server.node_id()), (trust, node));
}

#[tokio::test]
async fn every_response_says_who_answers() {
    let plane = Plane::start().await;
    for path in ["/", "/services", "/services/nobody", "/nowhere"] {
        let response = plane.request("GET", path).header("Origin", "http://gui.test").send().await;
        let response = response.unwrap();
        let header =
            |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header("server"), format!("kong/{}", model::COMPAT));
        assert_eq!(header("access-control-allow-origin"), "http://gui.test");
        assert_eq!(header("access-control-allow-credentials"), "true");
        assert_eq!(header("content-type"), "application/json; charset=utf-8");
        assert!(header("x-kong-admin-latency").parse::<u64>().is_ok());
        assert!(header("content-length").parse::<u64>().is_ok());
    }
    let response = plane.request("GET", "/").send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn a_browser_with_another_page_than_ours_is_told_so() {
    let dir = Arc::new(TempDir::new().unwrap());
    let origins = admin::Origins::of(["https://gui.test", "http://gui.test:8002"]).unwrap();
    let options = Options { origins, ..options(&dir, Arc::new(Knowing)) };
    let plane = Plane::start_with(dir, options).await;
    for (origin, allowed) in [
        (Some("http://gui.test:8002"), "http://gui.test:8002"),
        (Some("https://gui.test"), "https://gui.test"),
        (Some("http://evil.test"), "https://gui.test"),
        (None, "https://gui.test"),
    ] {
        let request = plane.request("GET", "/services");
        let request = origin.into_iter().fold(request, |request, o| request.header("Origin", o));
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["access-control-allow-origin"], allowed, "{origin:?}");
    }
}

#[tokio::test]
async fn head_says_what_get_would() {
    let plane = Plane::start().await;
    for path in ["/", "/services", "/services/nobody", "/nowhere"] {
        let get = plane.request("GET", path).send().await.unwrap();
        let head = plane.request("HEAD", path).send().await.unwrap();
        assert_eq!(head.status(), get.status(), "{path}");
        assert_eq!(head.headers()["content-type"], get.headers()["content-type"], "{path}");
        assert_eq!(head.bytes().await.unwrap(), "", "{path}");
    }
}

#[tokio::test]
async fn a_body_has_a_largest_size() {
    let dir = Arc::new(tempfile::TempDir::new().unwrap());
    let mut options = options(&dir, Arc::new(Knowing));
    options.max_body = Some(100);
    let plane = Plane::start_with(dir, options).await;
    let long = json!({ "host": "a".repeat(100) });
    assert_eq!(
        plane.send("POST", "/services", long).await,
        (413, json!({ "message": "Payload too large" }))
    );
    // Far above it, announced or not: whoever sends it all before reading gets the answer, too.
    let head = "POST /services HTTP/1.1\r\nHost: cp\r\nContent-Type: application/json\r\n";
    let body = "a".repeat(8 << 20);
    let announced = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let chunk = format!("{:x}\r\n{body}\r\n", body.len());
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
    for request in [announced, chunked] {
        let mut stream = TcpStream::connect(plane.server.addresses()[0]).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.ends_with(r#"{"message":"Payload too large"}"#), "{answer}");
    }
}

#[tokio::test]
async fn an_entity_has_a_largest_size() {
    let dir = Arc::new(tempfile::TempDir::new().unwrap());
    let mut options = options(&dir, Arc::new(Knowing));
    options.max_body = None;
    let plane = Plane::start_with(dir, options).await;
    let route = |bytes| json!({ "name": "r", "headers": { "x": ["v".repeat(bytes)] } });
    plane.create("/routes", route(model::encode::MAX_ENTITY_BYTES - 1024)).await;
    // A little more, in pieces that are all right by themselves.
    let (status, refused) = plane
        .send("PATCH", "/routes/r", json!({ "paths": [format!("/{}", "p".repeat(1024))] }))
        .await;
    assert_eq!((status, &refused["code"]), (400, &json!(2)));
    let message = text(&refused["fields"]["@entity"][0]);
    assert!(message.ends_with("at most 16777216 are possible"), "{message}");
    assert_eq!(plane.get("/routes/r").await.1["paths"], Value::Null);
}

#[tokio::test]
async fn a_list_by_tags_goes_on_until_its_end() {
    let plane = Plane::start().await;
    for (number, tags) in [["a", "b"], ["b", "c"], ["a", "c"], ["b", "a"]].iter().enumerate() {
        let mut service = sample(EntityKind::Service, number);
        service["tags"] = json!(tags);
        plane.create("/services", service).await;
    }
    for (tags, expected) in [("a,b", 2), ("b/c", 4), ("a", 3), ("c,c", 2), ("a,b,c", 0), ("d/c", 2)]
    {
        let (mut found, mut next) = (0, json!(format!("/services?size=1&tags={tags}")));
        while let Some(path) = next.as_str() {
            let (status, page) = plane.get(path).await;
            assert_eq!(status, 200);
            found += page["data"].as_array().unwrap().len();
            next = page["next"].clone();
        }
        assert_eq!(found, expected, "{tags}");
    }
}

#[tokio::test]
async fn what_the_engine_would_not_serve_is_refused() {
    struct NoRegex;
    impl Judge for NoRegex {
        fn rehearse(&self, config: &Config) -> Result<(), Vec<Problem>> {
            let routes = config.all::<model::entities::Route>();
            let bad = routes.iter().find(|route| {
                route.paths.iter().flatten().any(|path| path.as_str().starts_with('~'))
            });
            bad.map_or(Ok(()), |route| {
                Err(vec![Problem::of(EntityKind::Route, route.id, "route_pattern", "no regexes")])
            })
        }
    }
    let dir = Arc::new(tempfile::TempDir::new().unwrap());
    let plane = Plane::start_in(dir, Arc::new(NoRegex)).await;
    let before = plane.server.revisions().borrow().id;
    let (status, refused) = plane.send("POST", "/routes", json!({ "paths": ["~/x"] })).await;
    assert_eq!(status, 400);
    assert_eq!(
        refused,
        json!({
            "code": 2, "name": "schema violation", "message": "schema violation (no regexes)",
            "fields": { "@entity": ["no regexes"] },
        })
    );
    assert_eq!(plane.server.revisions().borrow().id, before);
    plane.create("/routes", json!({ "paths": ["/x"] })).await;
}

#[tokio::test]
async fn routes_are_written_as_the_flavor_has_it() {
    let fields = |schema: &Value| -> Vec<String> {
        let fields = schema["fields"].as_array().unwrap().iter();
        fields.flat_map(|field| field.as_object().unwrap().keys().cloned()).collect()
    };
    let expression = json!({ "name": "e", "expression": "http.path == \"/\"", "priority": 7 });

    let plane = Plane::start().await;
    let (_, schema) = plane.get("/schemas/routes").await;
    assert!(!fields(&schema).iter().any(|field| field == "expression" || field == "priority"));
    for path in ["/routes", "/schemas/routes/validate"] {
        let (status, refused) = plane.send("POST", path, expression.clone()).await;
        assert_eq!(status, 400);
        assert!(text(&refused["fields"]["expression"]).starts_with("unknown field"));
    }
    let shown = plane.create("/routes", json!({ "name": "c", "paths": ["/"] })).await;
    assert_eq!((shown.get("expression"), shown.get("priority")), (None, None));
    let (_, page) = plane.get("/routes").await;
    assert_eq!(page["data"], json!([shown]));

    let dir = Arc::new(tempfile::TempDir::new().unwrap());
    let mut options = options(&dir, Arc::new(Knowing));
    options.flavor = model::Flavor::Expressions;
    let plane = Plane::start_with(dir, options).await;
    let (_, schema) = plane.get("/schemas/routes").await;
    assert!(fields(&schema).ends_with(&["expression".to_owned(), "priority".to_owned()]));
    let priority = &schema["fields"].as_array().unwrap().last().unwrap()["priority"];
    assert_eq!(priority["between"], json!([0, 70_368_744_177_663_u64]));
    assert_eq!(priority["default"], 0);
    let (status, _) = plane.send("POST", "/schemas/routes/validate", expression.clone()).await;
    assert_eq!(status, 200);
    let shown = plane.create("/routes", expression).await;
    assert_eq!((&shown["priority"], &shown["strip_path"]), (&json!(7), &json!(true)));
    let (status, refused) = plane.send("PATCH", "/routes/e", json!({ "hosts": ["a.io"] })).await;
    assert_eq!(status, 400);
    assert!(text(&refused["message"]).contains("cannot set 'expression' with 'methods', 'hosts'"));
    let shown = plane.create("/routes", json!({ "name": "c", "paths": ["/"] })).await;
    assert_eq!((&shown["expression"], &shown["priority"]), (&Value::Null, &json!(0)));
}

#[tokio::test]
async fn an_answer_does_not_grow_with_what_is_wrong() {
    let plane = Plane::start().await;
    let mut body = sample(EntityKind::Service, 1);
    for n in 0..100_000 {
        body[format!("x{n}")] = 0.into();
    }
    body["port"] = "wrong".into();
    for path in ["/services", "/schemas/services/validate"] {
        let (status, refused) = plane.send("POST", path, body.clone()).await;
        assert_eq!(status, 400);
        assert_eq!(refused["fields"]["port"], "expected an integer", "the schema's come first");
        assert_eq!(refused["fields"]["@entity"], json!(["and 99901 more violations"]));
        assert_eq!(refused["fields"].as_object().unwrap().len(), 101);
        assert!(text(&refused["message"]).starts_with("100001 schema violations ("));
        assert!(refused.to_string().len() < 10_000);
    }
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
        .map(|n| {
            tokio::spawn(
                plane.request("POST", "/services").json(&sample(EntityKind::Service, n)).send(),
            )
        })
        .collect();
    let created = plane.create("/services", sample(EntityKind::Service, 100)).await;
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
    plane.create("/services", sample(EntityKind::Service, 1)).await;
    let mut revisions = plane.server.revisions();
    let here = revisions.borrow_and_update().id;
    let ahead = watch::Sender::new(None);
    plane.server.heed(ahead.subscribe());
    ahead.send_replace(Some(RevisionId { version: 99, ..here }));
    revisions.changed().await.unwrap();
    let raised = revisions.borrow_and_update().id;
    assert_eq!(raised, RevisionId { epoch: 2, version: 1, ..here });
    plane.create("/services", sample(EntityKind::Service, 2)).await;
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
