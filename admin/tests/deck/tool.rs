//! decK without its command line: reads everything there is, fills in defaults as the schemas say them,
//! and writes what differs, one kind after those it depends on.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use serde_json::{Map, Value};

use super::support::Plane;

type Object = Map<String, Value>;

/// Entities by id, those of each kind under the path of all of them.
pub(crate) type State = BTreeMap<&'static str, BTreeMap<String, Object>>;

/// A kind of entity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Where all of them are.
    pub(crate) path: &'static str,
    /// How `/schemas` calls it.
    schema: &'static str,
    /// Where one is written and deleted: below another.
    below: Option<Below>,
    /// Those of a lower level are created before, and deleted after it.
    level: u8,
    /// Whether defaults are filled in.
    has_defaults: bool,
}

/// The way to an entity that has none of its own.
#[derive(Clone, Copy, Debug)]
struct Below {
    parents: &'static str,
    field: &'static str,
    called: &'static str,
}

const fn kind(path: &'static str, schema: &'static str, level: u8) -> Kind {
    Kind { path, schema, below: None, level, has_defaults: false }
}

const fn credential(path: &'static str, schema: &'static str, called: &'static str) -> Kind {
    let below = Below { parents: "consumers", field: "consumer", called };
    Kind { below: Some(below), ..kind(path, schema, 2) }
}

const TARGETS: Below = Below { parents: "upstreams", field: "upstream", called: "targets" };

/// All that decK knows, but for what the enterprise edition has.
pub(crate) const KINDS: [Kind; 17] = [
    kind("certificates", "certificates", 1),
    kind("ca_certificates", "ca_certificates", 1),
    kind("consumers", "consumers", 1),
    kind("vaults", "vaults", 1),
    kind("key-sets", "key_sets", 1),
    kind("snis", "snis", 2),
    Kind { has_defaults: true, ..kind("services", "services", 2) },
    Kind { has_defaults: true, ..kind("upstreams", "upstreams", 2) },
    kind("keys", "keys", 2),
    credential("key-auths", "keyauth_credentials", "key-auth"),
    credential("hmac-auths", "hmacauth_credentials", "hmac-auth"),
    credential("jwts", "jwt_secrets", "jwt"),
    credential("basic-auths", "basicauth_credentials", "basic-auth"),
    credential("oauth2", "oauth2_credentials", "oauth2"),
    credential("acls", "acls", "acls"),
    Kind { has_defaults: true, ..kind("routes", "routes", 3) },
    kind("plugins", "plugins", 4),
];

/// Targets are listed upstream by upstream only.
const TARGET: Kind =
    Kind { below: Some(TARGETS), has_defaults: true, ..kind("targets", "targets", 3) };

/// What decK says that it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) created: usize,
    pub(crate) updated: usize,
    pub(crate) deleted: usize,
}

/// How decK was called.
#[derive(Clone, Copy)]
pub(crate) struct Deck<'a> {
    pub(crate) plane: &'a Plane,
    /// `--select-tag`, more of them with commas between.
    pub(crate) tags: &'static str,
    /// `--parallelism`
    pub(crate) at_once: usize,
}

impl<'a> Deck<'a> {
    pub(crate) fn of(plane: &'a Plane) -> Self {
        Self { plane, tags: "", at_once: 10 }
    }

    /// `deck gateway ping`: a version of which it reads two numbers.
    pub(crate) async fn ping(&self) {
        let (status, node) = self.plane.get("/").await;
        assert_eq!(status, 200);
        let version = node["version"].as_str().unwrap();
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap());
        assert!(numbers.next() >= Some(3) && numbers.next().is_some(), "{version}");
    }

    /// `deck gateway sync`
    pub(crate) async fn sync(&self, wanted: &State) -> Changes {
        let (current, wanted) = (self.read().await, self.completed(wanted).await);
        let mut changes = Changes::default();
        for level in 1..=4 {
            let calls = wanted.iter().flat_map(|(path, entities)| {
                let kind = of_path(path);
                let here = entities.values().filter(move |_| kind.level == level);
                here.map(move |entity| (kind, entity))
            });
            let calls = calls.map(|(kind, entity)| self.put(kind, entity, &current));
            let done: Vec<_> = stream::iter(calls).buffer_unordered(self.at_once).collect().await;
            changes.created += done.iter().filter(|done| **done == Done::Created).count();
            changes.updated += done.iter().filter(|done| **done == Done::Updated).count();
        }
        for level in (1..=4).rev() {
            let gone = current.iter().flat_map(|(path, entities)| {
                let kind = of_path(path);
                let left = wanted.get(path);
                entities
                    .values()
                    .filter(move |_| kind.level == level)
                    .filter(move |entity| left.is_none_or(|left| !left.contains_key(id(entity))))
                    .map(move |entity| (kind, entity))
            });
            let calls = gone.map(|(kind, entity)| self.delete(kind, entity));
            changes.deleted +=
                stream::iter(calls).buffer_unordered(self.at_once).collect::<Vec<_>>().await.len();
        }
        changes
    }

    /// `deck gateway diff`: what there would be to do.
    pub(crate) async fn diff(&self, wanted: &State) -> Vec<String> {
        let (current, wanted) = (self.read().await, self.completed(wanted).await);
        let mut found = Vec::new();
        for (path, entities) in &wanted {
            for (id, entity) in entities {
                match current.get(path).and_then(|there| there.get(id)) {
                    None => found.push(format!("create {path} {id}")),
                    Some(there) if !is_same(path, there, entity) => found.push(format!(
                        "update {path}\n  from {}\n  to   {}",
                        Value::from(said(there)),
                        Value::from(said(entity))
                    )),
                    Some(_) => {}
                }
            }
        }
        for (path, entities) in &current {
            let left = wanted.get(path);
            let gone = entities.keys().filter(|id| left.is_none_or(|left| !left.contains_key(*id)));
            found.extend(gone.map(|id| format!("delete {path} {id}")));
        }
        found
    }

    /// `deck gateway validate`
    pub(crate) async fn validate(&self, wanted: &State) {
        for (path, entities) in wanted {
            for entity in entities.values() {
                let path = format!("/schemas/{}/validate", of_path(path).schema);
                let (status, said) = self.plane.send("POST", &path, entity.clone().into()).await;
                assert_eq!(status, 200, "{path} {said}");
            }
        }
    }

    /// Everything there is, as far as it has the tags.
    async fn read(&self) -> State {
        // What only the enterprise edition has is missing, and what needs WebAssembly is a mistake.
        for (path, expected) in [
            ("mtls-auths", 404),
            ("consumer_groups", 404),
            ("partials", 404),
            ("degraphql_routes", 404),
            ("graphql-rate-limiting-advanced/costs", 404),
            ("ai-models", 404),
            ("filter-chains", 400),
        ] {
            let (status, said) = self.plane.get(&format!("/{path}?size=1000")).await;
            assert!(status == expected && said["message"].is_string(), "{path}: {status} {said}");
        }
        let mut state = State::new();
        for kind in KINDS {
            state.insert(kind.path, self.list(kind.path).await);
        }
        let mut targets = BTreeMap::new();
        for upstream in state["upstreams"].keys() {
            targets.extend(self.list(&format!("upstreams/{upstream}/targets")).await);
        }
        state.insert(TARGET.path, targets);
        for plugin in state.get_mut("plugins").unwrap().values_mut() {
            let schema = self.schema_of(plugin).await;
            forget_older_names(plugin, &schema);
        }
        state
    }

    /// decK goes on as long as there is an `offset`, and never looks at `next`.
    async fn list(&self, path: &str) -> BTreeMap<String, Object> {
        let tags =
            if self.tags.is_empty() { String::new() } else { format!("&tags={}", self.tags) };
        let (mut found, mut offset) = (BTreeMap::new(), String::new());
        loop {
            let (status, page) = self.plane.get(&format!("/{path}?size=1000{tags}{offset}")).await;
            assert_eq!(status, 200, "{path}: {page}");
            for entity in page["data"].as_array().unwrap() {
                let entity = entity.as_object().unwrap().clone();
                found.insert(id(&entity).to_owned(), entity);
            }
            match page.get("offset") {
                Some(next) => offset = format!("&offset={}", next.as_str().unwrap()),
                None => return found,
            }
        }
    }

    /// What is wanted, with what it does not say.
    async fn completed(&self, wanted: &State) -> State {
        let (status, _) = self.plane.get("/schemas/consumer_group_plugins").await;
        assert_eq!(status, 404);
        let mut wanted = wanted.clone();
        for (path, entities) in &mut wanted {
            let kind = of_path(path);
            if kind.has_defaults {
                let (status, schema) = self.plane.get(&format!("/schemas/{}", kind.schema)).await;
                assert_eq!(status, 200);
                let defaults = defaults(&schema);
                entities.values_mut().for_each(|entity| fill(entity, &defaults));
            }
            if kind.path == "plugins" {
                for plugin in entities.values_mut() {
                    let schema = self.schema_of(plugin).await;
                    fill_plugin(plugin, &schema);
                }
            }
        }
        wanted
    }

    async fn schema_of(&self, plugin: &Object) -> Value {
        let path = format!("/schemas/plugins/{}", plugin["name"].as_str().unwrap());
        let (status, schema) = self.plane.get(&path).await;
        assert_eq!(status, 200, "{path}");
        schema
    }

    async fn put(&self, kind: Kind, wanted: &Object, current: &State) -> Done {
        let there = current[kind.path].get(id(wanted));
        if there.is_some_and(|there| is_same(kind.path, there, wanted)) {
            return Done::Nothing;
        }
        let (path, mut body) = (place(kind, wanted), wanted.clone());
        match there {
            None if kind.path == "certificates" => {
                assert_eq!(self.plane.get(&path).await.0, 404);
            }
            // Those it has would go, if they were not said.
            Some(there) if kind.path == "certificates" => {
                body.insert("snis".to_owned(), there["snis"].clone());
            }
            _ => {}
        }
        let (status, put) = self.plane.send("PUT", &path, body.into()).await;
        let (status, put) = match (status, there) {
            // Kong's PUT makes no target.
            (404, None) if kind.path == TARGET.path => {
                let all = path.rsplit_once('/').unwrap().0;
                self.plane.send("POST", all, wanted.clone().into()).await
            }
            answer => (answer.0, put),
        };
        assert!((200..300).contains(&status), "{path}: {status} {put}\n{wanted:?}");
        assert_eq!(put["id"], wanted["id"]);
        if there.is_some() { Done::Updated } else { Done::Created }
    }

    async fn delete(&self, kind: Kind, entity: &Object) {
        let path = place(kind, entity);
        let (status, said) = self.plane.send("DELETE", &path, Value::Null).await;
        assert_eq!(status, 204, "{path}: {said}");
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Nothing,
    Created,
    Updated,
}

fn of_path(path: &str) -> Kind {
    KINDS.into_iter().find(|kind| kind.path == path).unwrap_or(TARGET)
}

fn id(entity: &Object) -> &str {
    entity["id"].as_str().unwrap()
}

/// Where one entity is written.
fn place(kind: Kind, entity: &Object) -> String {
    match kind.below {
        None => format!("/{}/{}", kind.path, id(entity)),
        Some(Below { parents, field, called }) => {
            let parent = entity[field]["id"].as_str().unwrap();
            format!("/{parents}/{parent}/{called}/{}", id(entity))
        }
    }
}

/// The defaults that a schema says; those of a record are in it.
fn defaults(schema: &Value) -> Object {
    let mut found = Object::new();
    for field in schema["fields"].as_array().unwrap() {
        let (name, field) = field.as_object().unwrap().iter().next().unwrap();
        match (field.get("default"), field["type"].as_str()) {
            (Some(default), _) => drop(found.insert(name.clone(), default.clone())),
            (None, Some("record")) => {
                let inner = defaults(field);
                if !inner.is_empty() {
                    found.insert(name.clone(), inner.into());
                }
            }
            (None, _) => {}
        }
    }
    found
}

fn fill(entity: &mut Object, defaults: &Object) {
    for (name, default) in defaults {
        match (entity.get_mut(name), default) {
            (None | Some(Value::Null), _) => drop(entity.insert(name.clone(), default.clone())),
            (Some(Value::Object(inner)), Value::Object(defaults)) => fill(inner, defaults),
            (Some(_), _) => {}
        }
    }
}

/// What is not said of a plugin: its type says where it counts and what it does then. A field of its
/// config for which nothing is said is null, and that is compared.
fn fill_plugin(plugin: &mut Object, schema: &Value) {
    let config = plugin.entry("config").or_insert_with(|| Object::new().into());
    complete(config.as_object_mut().unwrap(), field(schema, "config"));
    let protocols = field(schema, "protocols")["default"].clone();
    assert!(protocols.is_array());
    plugin.entry("protocols").or_insert(protocols);
    plugin.entry("enabled").or_insert(true.into());
}

/// Older names of fields are read beside the newer ones, and the files here do not use them.
fn forget_older_names(plugin: &mut Object, schema: &Value) {
    let config = plugin["config"].as_object_mut().unwrap();
    let older = field(schema, "config")["shorthand_fields"].as_array().into_iter().flatten();
    for name in older.flat_map(|field| field.as_object().unwrap().keys()) {
        assert!(config.remove(name).is_some(), "{name} is read, too");
    }
}

fn field<'a>(schema: &'a Value, name: &str) -> &'a Value {
    let mut fields = schema["fields"].as_array().unwrap().iter();
    fields.find_map(|field| field.get(name)).unwrap()
}

fn complete(config: &mut Object, schema: &Value) {
    for field in schema["fields"].as_array().unwrap() {
        let (name, field) = field.as_object().unwrap().iter().next().unwrap();
        let is_record = field["type"] == "record";
        match config.get_mut(name) {
            Some(Value::Object(inner)) if is_record => complete(inner, field),
            Some(_) => {}
            None if is_record && field["required"] == true => {
                let mut inner = Object::new();
                complete(&mut inner, field);
                config.insert(name.clone(), inner.into());
            }
            None => drop(config.insert(name.clone(), field["default"].clone())),
        }
    }
}

/// What decK compares: nothing that only the server knows, nor what it cannot know.
fn is_same(path: &str, one: &Object, other: &Object) -> bool {
    let compared = |entity: &Object| {
        let mut entity = said(entity);
        match path {
            "basic-auths" => drop(entity.remove("password")), // it reads a hash
            "certificates" => drop(entity.remove("snis")),    // which are beside it
            _ => {}
        }
        entity
    };
    compared(one) == compared(other) && one.get("config") == other.get("config")
}

/// What an entity says: null is as good as nothing.
fn said(entity: &Object) -> Object {
    let is_said = |(name, value): &(&String, &Value)| {
        !value.is_null() && !OF_THE_SERVER.contains(&name.as_str())
    };
    entity.iter().filter(is_said).map(|(name, value)| (name.clone(), said_by(value))).collect()
}

/// What only the server knows.
const OF_THE_SERVER: [&str; 3] = ["created_at", "updated_at", "cert_digest"];

fn said_by(value: &Value) -> Value {
    match value {
        Value::Object(inner) => said(inner).into(),
        Value::Array(elements) => elements.iter().map(said_by).collect(),
        other => other.clone(),
    }
}
