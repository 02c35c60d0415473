//! One suite that every entity passes, over HTTP.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;

use admin::Options;
use model::entity::foreign_keys;
use model::judge::Judge;
use model::schema::{Field, Kind};
use model::testing::Knowing;
use model::vitals::Problem;
use model::{Config, EntityKind};
use serde_json::{Value, json};
use support::pem::{Pair, authority, pair};
use support::{Plane, options};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}
