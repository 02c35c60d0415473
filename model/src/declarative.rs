//! The declarative file: a whole configuration as one YAML or JSON document.
//!
//! The format is Kong's 3.0: sections named after the entities, children inside
//! the parent they refer to, ids derived from names where none is given, so
//! that the same file is the same configuration on every node.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use uuid::{Uuid, uuid};

use crate::entities::Visit;
use crate::entity::{ForeignKey, foreign_keys};
use crate::id::parse_hyphenated;
use crate::schema::{self, Object};
use crate::value::Timestamp;
use crate::violation::{Violation, Violations};
use crate::{Config, Entity, EntityKind, references};

/// Under which Kong derives the ids of entities that have a name but no id.
const NAMESPACE: Uuid = uuid!("fd02801f-0957-4a15-a55a-c8d9606f30b5");

/// Keys that may stand in any entity and mean nothing to us.
const REMARKS: [&str; 2] = ["_comment", "_ignore"];

/// Keys that may stand beside the sections.
const HEADER: [&str; 4] = ["_format_version", "_transform", "_comment", "_ignore"];

/// Why a document is not a configuration.
#[derive(Debug, thiserror::Error)]
pub enum DeclarativeError {
    /// It is neither YAML nor JSON.
    #[error("the declarative configuration cannot be read: {0}")]
    Syntax(String),
    /// It says something that cannot be; every such thing, by section and place.
    #[error("the declarative configuration is invalid: {0}")]
    Invalid(Violations),
}

/// Reads a document. `now` is the time of creation of what does not say its own.
pub fn parse(text: &str, now: Timestamp) -> Result<Config, DeclarativeError> {
    let document: Value = serde_saphyr::from_str(text)
        .map_err(|error| DeclarativeError::Syntax(error.to_string()))?;
    load(document, now).map_err(DeclarativeError::Invalid)
}

/// Takes a document that has been read.
pub fn load(document: Value, now: Timestamp) -> Result<Config, Violations> {
    let Value::Object(mut document) = document else {
        return Err(Violations::entity("expected a declarative configuration"));
    };
    let mut found = header(&document);
    HEADER.iter().for_each(|key| drop(document.remove(*key)));

    let mut loader =
        Loader { now, ids: HashSet::new(), keys: HashMap::new(), config: Config::default() };
    for &kind in EntityKind::ALL {
        if let Some(section) = document.get_mut(kind.name()) {
            loader.identify_all(kind, section);
        }
    }
    for &kind in EntityKind::ALL {
        if let Some(section) = document.remove(kind.name())
            && let Some(violation) = loader.take_all(kind, section, None)
        {
            found.set(kind.name(), violation);
        }
    }
    for unknown in document.keys() {
        found.set(unknown, "unknown field");
    }
    found.or(loader.config)
}

fn header(document: &Object) -> Violations {
    let mut found = Violations::default();
    match document.get("_format_version") {
        None | Some(Value::Null) => found.set("_format_version", "required field missing"),
        Some(Value::String(version)) if version == "3.0" => {}
        Some(Value::String(version)) if version == "1.1" || version == "2.1" => found.set(
            "_format_version",
            format!("format {version} is not read by this version; convert the file to 3.0"),
        ),
        Some(_) => found.set("_format_version", "expected one of: 1.1, 2.1, 3.0"),
    }
    found
}

/// The parent an entity stands in: the field that points at it, and its id.
type Parent = (&'static str, Uuid);

struct Loader {
    now: Timestamp,
    ids: HashSet<(EntityKind, Uuid)>,
    keys: HashMap<(EntityKind, String), Uuid>,
    config: Config,
}

impl Loader {
    /// First pass: gives everything an id, so that the second can follow names
    /// to entities further down.
    fn identify_all(&mut self, kind: EntityKind, section: &mut Value) {
        for item in section.as_array_mut().into_iter().flatten() {
            if let Value::Object(item) = item {
                self.identify(kind, item);
            }
        }
    }

    fn identify(&mut self, kind: EntityKind, item: &mut Object) {
        let key = kind.visit(EndpointKey).and_then(|field| item.get(field));
        let key = key.and_then(Value::as_str).map(str::to_owned);
        let id = match item.get("id").and_then(Value::as_str) {
            Some(given) => parse_hyphenated(given), // a bad one is reported by the schema
            None => Some(key.as_deref().map_or_else(Uuid::new_v4, |key| derived(kind, key))),
        };
        if let Some(id) = id {
            item.insert("id".to_owned(), id.to_string().into());
            self.ids.insert((kind, id));
            self.keys.extend(key.map(|key| ((kind, key), id)));
        }
        for (child, _) in children(kind) {
            if let Some(section) = item.get_mut(child.name()) {
                self.identify_all(child, section);
            }
        }
    }

    /// Second pass: checks and keeps every entity of a section.
    fn take_all(
        &mut self,
        kind: EntityKind,
        section: Value,
        parent: Option<Parent>,
    ) -> Option<Violation> {
        let Value::Array(items) = section else {
            return Some("expected an array".into());
        };
        Violation::list(items.into_iter().map(|item| self.take(kind, item, parent)))
    }

    fn take(&mut self, kind: EntityKind, item: Value, parent: Option<Parent>) -> Option<Violation> {
        let Value::Object(mut item) = item else {
            return Some("expected a record".into());
        };
        REMARKS.iter().for_each(|key| drop(item.remove(*key)));
        let nested: Vec<_> = children(kind)
            .filter_map(|(child, key)| Some((child, key, item.remove(child.name())?)))
            .collect();
        let id = item.get("id").and_then(Value::as_str).and_then(parse_hyphenated);

        let mut found = self.point(kind, &mut item, parent);
        schema::stamp(kind.schema(), &mut item, self.now);
        if found.is_empty() {
            found = kind.visit(Take { config: &mut self.config, item }).err().unwrap_or_default();
        }
        for (child, key, section) in nested {
            let parent = id.map(|id| (key.field, id));
            if let Some(violation) = self.take_all(child, section, parent) {
                found.set(child.name(), violation);
            }
        }
        (!found.is_empty()).then_some(Violation::Record(found))
    }

    /// Turns every pointer into an id: that of the parent, or what a name stands for.
    fn point(&self, kind: EntityKind, item: &mut Object, parent: Option<Parent>) -> Violations {
        let mut found = Violations::default();
        for key in foreign_keys(kind.schema().fields) {
            if let Some((_, id)) = parent.filter(|(field, _)| *field == key.field) {
                item.insert(key.field.to_owned(), serde_json::json!({ "id": id }));
                continue;
            }
            match item.get(key.field).filter(|value| !value.is_null()) {
                None => {}
                Some(value) => match self.resolve(key.target, value) {
                    Ok(id) => {
                        item.insert(key.field.to_owned(), serde_json::json!({ "id": id }));
                    }
                    Err(text) => found.set(key.field, missing(&key, &text)),
                },
            }
        }
        found
    }

    /// The id a pointer means: a name or an id, alone or in a record.
    fn resolve(&self, target: EntityKind, pointer: &Value) -> Result<Uuid, String> {
        let text = match pointer {
            Value::Object(record) => record.values().next().and_then(Value::as_str),
            other => other.as_str(),
        };
        let text = text.ok_or_else(|| pointer.to_string())?;
        let by_key = || self.keys.get(&(target, text.to_owned())).copied();
        parse_hyphenated(text)
            .filter(|id| self.ids.contains(&(target, *id)))
            .or_else(by_key)
            .ok_or_else(|| text.to_owned())
    }
}

fn missing(key: &ForeignKey, text: &str) -> String {
    let ForeignKey { field, target, .. } = key;
    format!("invalid reference '{field}: {text}' (no such entry in '{target}')")
}

/// The kinds that may stand inside an entity of this kind, and by which pointer.
fn children(kind: EntityKind) -> impl Iterator<Item = (EntityKind, ForeignKey)> {
    EntityKind::ALL.iter().filter_map(move |&child| {
        let mut keys = foreign_keys(child.schema().fields);
        Some((child, keys.find(|key| key.target == kind)?))
    })
}

/// The id Kong would derive for an entity with this name.
fn derived(kind: EntityKind, key: &str) -> Uuid {
    let namespace = Uuid::new_v5(&NAMESPACE, kind.name().as_bytes());
    Uuid::new_v5(&namespace, key.as_bytes())
}

struct EndpointKey;

impl Visit for EndpointKey {
    type Output = Option<&'static str>;

    fn visit<E: Entity>(self) -> Self::Output {
        E::ENDPOINT_KEY
    }
}

/// Checks one entity and writes it down.
struct Take<'a> {
    config: &'a mut Config,
    item: Object,
}

impl Visit for Take<'_> {
    type Output = Result<(), Violations>;

    fn visit<E: Entity>(self) -> Self::Output {
        let entity = schema::check::<E>(Value::Object(self.item))?;
        let kind = E::KIND;
        if self.config.get::<E>(entity.id()).is_some() {
            let id = entity.id();
            return Err(Violations::entity(format!(
                "uniqueness violation: '{kind}' entity with primary key set to '{id}' already declared"
            )));
        }
        if let Some(taken) = references::taken(self.config, &entity) {
            let references::Taken { field, value, .. } = taken;
            return Err(Violations::entity(format!(
                "uniqueness violation: '{kind}' entity with {field} set to '{value}' already declared"
            )));
        }
        self.config.write(entity);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::{Route, Service};

    const NOW: Timestamp = Timestamp::from_seconds(1);

    #[test]
    fn names_give_kongs_ids() {
        assert_eq!(
            derived(EntityKind::Service, "my-service").to_string(),
            "0855b320-0dd2-547d-891d-601e9b38647f"
        );
        assert_eq!(
            derived(EntityKind::Route, "my-route").to_string(),
            "481a9539-f49c-51b6-b2e2-fe99ee68866c"
        );
    }

    #[test]
    fn children_and_names_lead_to_their_service() {
        let config = parse(
            r#"
_format_version: "3.0"
_transform: true
routes:
- name: above
  service: orders
  paths: [/above]
services:
- name: orders
  url: http://127.0.0.1:9000/base
  _comment: the one
  routes:
  - name: inside
    paths: [/inside]
"#,
            NOW,
        )
        .expect("a configuration");
        let service = config.all::<Service>().by_endpoint_key("orders").expect("there");
        for name in ["above", "inside"] {
            let route = config.all::<Route>().by_endpoint_key(name).expect("there");
            assert_eq!(route.service.expect("points").id, service.id);
        }
        assert_eq!(service.port, 9000);
    }

    #[test]
    fn the_same_document_is_the_same_configuration() {
        let text = r#"{"_format_version":"3.0","services":[{"name":"a","host":"h"}]}"#;
        let hash = || parse(text, NOW).expect("a configuration").hash();
        assert_eq!(hash(), hash());
    }

    #[test]
    fn everything_wrong_is_said_at_its_place() {
        check("services: []", "(_format_version: required field missing)");
        check("_format_version: '2.1'", "convert the file to 3.0");
        check("_format_version: '3.0'\nservises: []", "(servises: unknown field)");
        check(
            "_format_version: '3.0'\nroutes: [{name: a, paths: [/], service: nowhere}]",
            "invalid reference 'service: nowhere' (no such entry in 'services')",
        );
        check(
            "_format_version: '3.0'\nservices: [{name: a, host: h}, {name: a, host: h, id: 0855b320-0dd2-547d-891d-601e9b38647f}]",
            "'services' entity with name set to 'a' already declared",
        );
        check("_format_version: '3.0'\nservices: [{name: a}]", "required field missing");
        check("- 1", "expected a declarative configuration");
        check("a: [", "cannot be read");
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = parse(text, NOW).expect_err("nothing a node could serve").to_string();
        assert!(error.contains(expected), "{error}");
    }
}
