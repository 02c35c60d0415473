//! `/openapi.json` against the API that it is about.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use model::EntityKind;
use model::entity::foreign_keys;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use support::Plane;
use support::pem::{authority, pair};

mod openapi {
    pub(crate) mod bodies; // what a schema allows, at random
}

use openapi::bodies::bodies;

/// An API, what it says of itself, and one entity of each kind in it.
struct World {
    plane: Plane,
    document: Value,
    bodies: BTreeMap<EntityKind, Value>,
    ids: BTreeMap<EntityKind, String>,
    places: Vec<String>,
}

/// What was made of the schemas of the description, which is the same each time: making it takes a while.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

impl World {
    async fn new() -> Self {
        let plane = Plane::start().await;
        let (status, document) = plane.get("/openapi.json").await;
        assert_eq!(status, 200);
        Self { plane, document, bodies: BTreeMap::new(), ids: BTreeMap::new(), places: Vec::new() }
    }

    async fn with_one_of_each() -> Self {
        let mut world = Self::new().await;
        for kind in EntityKind::ALL {
            world.create(*kind).await;
        }
        world
    }

    /// Tries what the description allows until it is taken.
    async fn create(&mut self, kind: EntityKind) {
        let (path, _) = self
            .paths()
            .find(|(path, item)| is_made_at(path, kind) && gives(item, "post", kind))
            .unwrap_or_else(|| panic!("there is a way to make one of {kind}"));
        let (path, mut runner) = (self.fill(path).0, TestRunner::deterministic());
        let strategy = bodies(&self.document, &format!("{kind}.body"));
        for _ in 0..1000 {
            let mut body = strategy.new_tree(&mut runner).unwrap().current();
            for key in foreign_keys(kind.schema().fields) {
                body[key.field] =
                    self.ids.get(&key.target).map_or(Value::Null, |id| json!({ "id": id }));
            }
            body.as_object_mut().unwrap().extend(by_hand(kind));
            let (status, made) = self.plane.send("POST", &path, body.clone()).await;
            if status == 201 {
                self.ids.insert(kind, made["id"].as_str().unwrap().to_owned());
                self.places.push(format!("{path}/{}", self.ids[&kind]));
                self.bodies.insert(kind, body);
                return;
            }
        }
        panic!("nothing that the description allows is taken for one of {kind}");
    }

    /// Whether all that was made is there.
    async fn is_whole(&self) -> bool {
        for place in &self.places {
            if self.plane.get(place).await.0 != 200 {
                return false;
            }
        }
        true
    }

    fn paths(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.document["paths"].as_object().unwrap().iter()
    }

    /// Every operation: its path, and its method in lower case.
    fn operations(&self) -> Vec<(String, String)> {
        let methods = |(path, item): (&String, &Value)| -> Vec<(String, String)> {
            let names = item.as_object().unwrap().keys().filter(|name| *name != "parameters");
            names.map(|name| (path.clone(), name.clone())).collect()
        };
        self.paths().flat_map(methods).collect()
    }

    /// The path with its parameters filled in, and whether what it names is known to be there.
    fn fill(&self, path: &str) -> (String, bool) {
        let mut known = true;
        let segments = path.split('/').map(|segment| {
            let Some(name) = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'))
            else {
                return segment.to_owned();
            };
            match EntityKind::from_name(name) {
                Some(kind) => self.ids[&kind].clone(),
                None if path.contains("/plugins/") => "cors".to_owned(),
                None if path.starts_with("/schemas/vaults/") => "env".to_owned(),
                None if path.starts_with("/schemas/") => "services".to_owned(),
                None => {
                    known = false;
                    "1".to_owned()
                }
            }
        });
        (segments.collect::<Vec<_>>().join("/"), known)
    }

    /// A body for an operation: that of what is there, where it is about entities.
    fn body(&self, path: &str, method: &str) -> Value {
        let schema = &self.document["paths"][path][method]["requestBody"];
        if schema.is_null() {
            return Value::Null;
        }
        let name = schema["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or("");
        let name = name.rsplit('/').next().unwrap_or_default();
        let kind = EntityKind::from_name(name.split('.').next().unwrap_or_default());
        kind.map_or_else(|| json!({}), |kind| self.bodies[&kind].clone())
    }

    /// Asks, and holds the answer against what is said of it.
    async fn ask(&self, path: &str, method: &str, body: Value) -> u16 {
        let (filled, known) = self.fill(path);
        let (status, answer) = self.plane.send(&method.to_uppercase(), &filled, body).await;
        let what = format!("{method} {filled}: {status} {answer}");
        assert_ne!(status, 405, "{what}");
        assert!(status != 404 || !known, "{what}");
        let responses = &self.document["paths"][path][method]["responses"];
        let exact = &responses[status.to_string()];
        assert!(status < 500 || exact.is_object(), "{what}");
        let said = if exact.is_null() { &responses[format!("{}XX", status / 100)] } else { exact };
        assert!(said.is_object(), "{what} is not described");
        let said = match said["$ref"].as_str() {
            Some(name) => self.document.pointer(name.trim_start_matches('#')).unwrap(),
            None => said,
        };
        match said["content"]["application/json"].get("schema") {
            None => assert_eq!(answer, Value::Null, "{what}"),
            Some(schema) => {
                let problems = self.problems(schema, &answer);
                assert!(problems.is_empty(), "{what}: {problems:#?}");
            }
        }
        status
    }

    /// What is wrong with a value by a schema of the description.
    fn problems(&self, schema: &Value, value: &Value) -> Vec<String> {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [schema],
            "components": self.document["components"],
        });
        let name = schema["allOf"].to_string();
        let made = VALIDATORS.lock().unwrap().get(&name).cloned();
        let validator = made.unwrap_or_else(|| {
            let made = Arc::new(jsonschema::validator_for(&schema).unwrap());
            VALIDATORS.lock().unwrap().insert(name, Arc::clone(&made));
            made
        });
        let told =
            |error: jsonschema::ValidationError<'_>| format!("{}: {error}", error.instance_path());
        validator.iter_errors(value).map(told).collect()
    }
}

/// What cannot be made up at random.
fn by_hand(kind: EntityKind) -> Map<String, Value> {
    let body = match kind {
        EntityKind::Certificate => {
            let pair = pair("a.test");
            json!({ "cert": pair.cert, "key": pair.key, "cert_alt": null, "key_alt": null })
        }
        EntityKind::CaCertificate => json!({ "cert": authority("Root", 100_000).cert }),
        EntityKind::Consumer => json!({ "username": "alice" }),
        EntityKind::Upstream => {
            json!({ "hash_on": "none", "hash_fallback": "none", "algorithm": "round-robin" })
        }
        EntityKind::Vault => json!({ "prefix": "my-env" }),
        EntityKind::Key => json!({
            "kid": "k", "pem": null, "jwk": r#"{"kty":"oct","k":"AA","kid":"k"}"#,
        }),
        EntityKind::JwtSecret => json!({ "algorithm": "HS256", "rsa_public_key": null }),
        EntityKind::OAuth2 => json!({ "redirect_uris": null }),
        EntityKind::Plugin => json!({ "name": "request-termination", "config": {} }),
        _ => json!({}),
    };
    let Value::Object(body) = body else { unreachable!() };
    body
}

/// At the top, or below the one parent it has.
fn is_made_at(path: &str, kind: EntityKind) -> bool {
    path.matches('/').count() == if kind.is_top_level() { 1 } else { 3 }
}

fn gives(item: &Value, method: &str, kind: EntityKind) -> bool {
    let taken = &item[method]["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    *taken == format!("#/components/schemas/{kind}.body")
}

#[tokio::test]
async fn the_description_is_whole() {
    let World { document, plane, .. } = World::new().await;
    assert_eq!(document["openapi"], "3.1.0");
    let (_, endpoints) = plane.get("/endpoints").await;
    let described: HashSet<_> = document["paths"].as_object().unwrap().keys().collect();
    for path in endpoints["data"].as_array().unwrap() {
        assert!(described.iter().any(|described| *path == ***described), "{path}");
    }
    let (mut names, mut references) = (HashSet::new(), Vec::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        let parameters = item["parameters"].as_array().map_or(0, Vec::len);
        assert_eq!(parameters, path.matches('{').count(), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            if method != "parameters" {
                let name = operation["operationId"].as_str().unwrap().to_owned();
                assert!(names.insert(name), "{method} {path}");
            }
        }
    }
    collect_references(&document, &mut references);
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect_references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

/// Whatever a component's schema allows is taken, or refused for what no schema can say.
#[tokio::test]
async fn what_the_schemas_allow_is_not_misunderstood() {
    let world = World::new().await;
    for kind in EntityKind::ALL {
        let mut runner = TestRunner::new_with_rng(
            Config::default(),
            proptest::test_runner::TestRng::deterministic_rng(Default::default()),
        );
        let name = format!("{kind}.body");
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        let strategy = bodies(&world.document, &name);
        for _ in 0..100 {
            let body = strategy.new_tree(&mut runner).unwrap().current();
            let problems = world.problems(&schema, &body);
            assert!(problems.is_empty(), "{body}: {problems:#?}");
            let path = format!("/schemas/{kind}/validate");
            let (status, answer) = world.plane.send("POST", &path, body.clone()).await;
            let refused = status == 400 && answer["code"] == 2;
            assert!(status == 200 || refused, "{kind} {body}: {status} {answer}");
        }
    }
}

#[tokio::test]
async fn every_operation_is_there_and_answers_as_described() {
    let mut world = World::with_one_of_each().await;
    let operations = world.operations();
    for (path, method) in operations.iter().filter(|(_, method)| method == "get") {
        world.ask(path, method, Value::Null).await;
    }
    let writes = operations.iter().filter(|(_, method)| !matches!(&**method, "get" | "delete"));
    for (path, method) in writes {
        for body in [json!({ "no_such_field": 1 }), json!({}), world.body(path, method)] {
            world.ask(path, method, body).await;
        }
        if !world.is_whole().await {
            world = World::with_one_of_each().await; // a certificate that is replaced loses its names
        }
    }
}

#[tokio::test]
async fn what_can_be_deleted_is_described_as_such() {
    for (path, method) in World::new().await.operations() {
        if method == "delete" {
            let world = World::with_one_of_each().await;
            world.ask(&path, &method, Value::Null).await;
        }
    }
}
