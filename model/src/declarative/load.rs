//! A document as a configuration, in two passes: the first gives every entity
//! its id, the second follows pointers and checks.
//!
//! Nothing stops at the first mistake: what is wrong is found all at once, each
//! at its place, and a mistake in one entity is not held against those that
//! point at it.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use uuid::{Uuid, uuid};

use super::migrate::{OLD, migrate};
use super::{DeclarativeError, Document, Place};
use crate::entities::Visit;
use crate::entity::{ForeignKey, foreign_keys};
use crate::id::parse_hyphenated;
use crate::schema::{self, Object, Said};
use crate::value::Timestamp;
use crate::violation::{Violation, Violations};
use crate::{Config, Entity, EntityKind, Terms, references};

/// Under which Kong derives the ids of entities that have a name but no id.
const NAMESPACE: Uuid = uuid!("fd02801f-0957-4a15-a55a-c8d9606f30b5");

/// Keys that may stand in any entity and mean nothing to us.
pub(super) const REMARKS: [&str; 2] = ["_comment", "_ignore"];

/// Keys that may stand beside the sections.
const HEADER: [&str; 4] = ["_format_version", "_transform", "_comment", "_ignore"];

/// Where filters of WebAssembly stand, beside routes and services or in them.
const FILTERS: &str = "filter_chains";

/// In Kong's words.
const NO_WASM: &str = "wasm support is not enabled";

/// Takes a document that has been read, as a node with these terms does.
pub fn load(document: Value, now: Timestamp, terms: Terms) -> Result<Document, Violations> {
    let Value::Object(mut document) = document else {
        let syntax = DeclarativeError::Syntax("expected an object".to_owned());
        return Err(syntax.into_violations());
    };
    let mut found = header(&document);
    let version = document.get("_format_version").and_then(Value::as_str);
    if version.is_some_and(|version| OLD.contains(&version)) {
        migrate(&mut document);
    }
    let is_plain = document.get("_transform") != Some(&Value::Bool(false));
    HEADER.iter().for_each(|key| drop(document.remove(*key)));

    let mut loader = Loader {
        now,
        is_plain,
        terms,
        ids: HashSet::new(),
        keys: HashMap::new(),
        document: Document::default(),
    };
    found.extend(without_filters(&mut document));
    for &kind in EntityKind::ALL {
        if let Some(section) = document.get_mut(kind.name()) {
            loader.identify_all(kind, section, None);
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
    found.or(loader.document)
}

fn header(document: &Object) -> Violations {
    let mut found = Violations::default();
    match document.get("_format_version") {
        None | Some(Value::Null) => found.set("_format_version", "required field missing"),
        Some(Value::String(version)) if version == "3.0" => {}
        Some(Value::String(version)) if OLD.contains(&version.as_str()) => {}
        Some(Value::String(_)) => found.set("_format_version", "expected one of: 1.1, 2.1, 3.0"),
        Some(_) => found.set("_format_version", "expected a string"),
    }
    if document.get("_transform").is_some_and(|value| !value.is_boolean()) {
        found.set("_transform", "expected a boolean");
    }
    found.extend(remarks(document));
    found
}

/// Remarks mean nothing, but must be what Kong takes them for.
fn remarks(record: &Object) -> Violations {
    let mut found = Violations::default();
    if record.get("_comment").is_some_and(|value| !value.is_string()) {
        found.set("_comment", "expected a string");
    }
    if record.get("_ignore").is_some_and(|value| !value.is_array()) {
        found.set("_ignore", "expected an array");
    }
    found
}

/// Chains of filters are known, and may be none: they are for WebAssembly.
fn without_filters(record: &mut Object) -> Violations {
    let mut found = Violations::default();
    let violation = match record.remove(FILTERS) {
        None | Some(Value::Null) => None,
        Some(Value::Array(chains)) => Violation::list(chains.iter().map(|chain| {
            let is_one = chain.is_object();
            Some(if is_one {
                Violations::entity(NO_WASM).into()
            } else {
                "expected a record".into()
            })
        })),
        Some(_) => Some("expected an array".into()),
    };
    violation.into_iter().for_each(|violation| found.set(FILTERS, violation));
    found
}

/// The parent an entity stands in: the field that points at it, its id and its place.
#[derive(Clone, Copy)]
struct Parent<'a> {
    field: &'static str,
    id: Option<Uuid>,
    place: &'a [(EntityKind, usize)],
}

/// The same for the first pass: the field and the id.
type Above = Option<(&'static str, Uuid)>;

struct Loader {
    now: Timestamp,
    /// Whether values are as people write them, and not as a node keeps them.
    is_plain: bool,
    terms: Terms,
    ids: HashSet<(EntityKind, Uuid)>,
    keys: HashMap<(EntityKind, String), Uuid>,
    document: Document,
}

impl Loader {
    /// First pass: gives everything an id, so that the second can follow names
    /// to entities further down.
    fn identify_all(&mut self, kind: EntityKind, section: &mut Value, above: Above) {
        for item in section.as_array_mut().into_iter().flatten() {
            if let Value::Object(item) = item {
                self.identify(kind, item, above);
            }
        }
    }

    fn identify(&mut self, kind: EntityKind, item: &mut Object, above: Above) {
        let key = key_of(kind, item).map(str::to_owned);
        let id = match item.get("id") {
            // A bad one is reported by the schema.
            Some(given) if !given.is_null() => given.as_str().and_then(parse_hyphenated),
            _ => {
                let known_by = known_by(kind, item, above);
                Some(known_by.map_or_else(Uuid::new_v4, |known_by| derived(kind, &known_by)))
            }
        };
        if let Some(id) = id {
            item.insert("id".to_owned(), id.to_string().into());
            self.ids.insert((kind, id));
            self.keys.extend(key.map(|key| ((kind, key), id)));
        }
        for (child, key) in children(kind) {
            if let Some(section) = item.get_mut(child.name()) {
                self.identify_all(child, section, id.map(|id| (key.field, id)));
            }
        }
    }

    /// Second pass: checks and keeps every entity of a section.
    fn take_all(
        &mut self,
        kind: EntityKind,
        section: Value,
        parent: Option<Parent<'_>>,
    ) -> Option<Violation> {
        let Value::Array(items) = section else {
            return (!section.is_null()).then(|| "expected an array".into());
        };
        let items = items.into_iter().enumerate();
        Violation::list(items.map(|(index, item)| self.take(kind, index, item, parent)))
    }

    fn take(
        &mut self,
        kind: EntityKind,
        index: usize,
        item: Value,
        parent: Option<Parent<'_>>,
    ) -> Option<Violation> {
        let Value::Object(mut item) = item else {
            return Some("expected a record".into());
        };
        let mut found = remarks(&item);
        REMARKS.iter().for_each(|key| drop(item.remove(*key)));
        if matches!(kind, EntityKind::Service | EntityKind::Route) {
            found.extend(without_filters(&mut item));
        }
        let nested: Vec<_> = children(kind)
            .filter_map(|(child, key)| Some((child, key, item.remove(child.name())?)))
            .collect();
        let id = item.get("id").and_then(Value::as_str).and_then(parse_hyphenated);
        let mut place = parent.map_or_else(Vec::new, |parent| parent.place.to_vec());
        place.push((kind, index));

        let (mut found, twin) = self.take_one(kind, item, parent, &place, found);
        for (child, key, section) in nested {
            let parent = Parent { field: key.field, id, place: &place };
            if let Some(violation) = self.take_all(child, section, Some(parent)) {
                found.set(child.name(), violation);
            }
        }
        match twin {
            Some(message) if found.is_empty() => Some(message.into()),
            twin => {
                twin.into_iter().for_each(|message| found.add_entity(message));
                (!found.is_empty()).then_some(Violation::Record(found))
            }
        }
    }

    /// Takes an entity without its children. Adds what is wrong with it to what was found; or says what
    /// it has in common with another and may not.
    fn take_one(
        &mut self,
        kind: EntityKind,
        mut item: Object,
        parent: Option<Parent<'_>>,
        place: &Place,
        mut found: Violations,
    ) -> (Violations, Option<String>) {
        // A pointer to nowhere is left out, so that the schema can have its say about the rest.
        let astray = self.point(kind, &mut item, parent);
        let said = item.clone();
        schema::stamp(kind.schema(), self.terms, &mut item, self.now);
        let said = Said { fields: &said, is_plain: self.is_plain };
        if let Err(violations) = schema::settle(kind.schema(), said, &mut item) {
            found.extend(violations);
        }
        let is_sound = astray.is_empty() && found.is_empty();
        let (document, terms) = (&mut self.document, self.terms);
        let taken = kind.visit(Take { document, terms, item, place, is_sound });
        let twin = match taken {
            Ok(()) => None,
            Err(Unfit::Twin(message)) => Some(message),
            Err(Unfit::Invalid(violations)) => {
                found.extend(violations);
                None
            }
        };
        found.extend(astray);
        (found, twin)
    }

    /// Turns every pointer into an id: that of the parent, or what a name stands for.
    fn point(&self, kind: EntityKind, item: &mut Object, parent: Option<Parent<'_>>) -> Violations {
        let mut found = Violations::default();
        for key in foreign_keys(kind.schema().fields) {
            let above = parent.filter(|parent| parent.field == key.field);
            let target = match (above, item.get(key.field)) {
                (Some(Parent { id: Some(id), .. }), _) => Ok(id),
                // The parent's own id is reported as wrong.
                (Some(_), _) | (None, None | Some(Value::Null)) => continue,
                (None, Some(pointer)) => self.resolve(key.target, pointer),
            };
            match target {
                Ok(id) => {
                    item.insert(key.field.to_owned(), serde_json::json!({ "id": id }));
                }
                Err(text) => {
                    item.remove(key.field);
                    found.set(key.field, missing(&key, &text));
                }
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
pub(super) fn children(kind: EntityKind) -> impl Iterator<Item = (EntityKind, ForeignKey)> {
    EntityKind::ALL.iter().filter_map(move |&child| {
        let mut keys = foreign_keys(child.schema().fields);
        Some((child, keys.find(|key| key.target == kind)?))
    })
}

/// The value of an item's endpoint key, where it has one.
pub(super) fn key_of(kind: EntityKind, item: &Object) -> Option<&str> {
    item.get(kind.visit(EndpointKey)?)?.as_str()
}

/// What an entity without an id is known by, from which Kong derives one: the fields of its key or its
/// name; none if it has neither, or one that is made up.
fn known_by(kind: EntityKind, item: &Object, above: Above) -> Option<String> {
    let schema = kind.schema();
    if schema.key.is_empty() {
        let field = schema.field(kind.visit(EndpointKey)?).filter(|field| !field.auto)?;
        return item.get(field.name)?.as_str().map(str::to_owned);
    }
    let mut known_by = format!("{kind}:*");
    for name in schema.key {
        let field = schema.field(name).filter(|field| !field.auto)?;
        known_by.push(':');
        match (item.get(*name), above) {
            (Some(Value::String(text)), _) => known_by.push_str(text),
            (Some(Value::Object(pointer)), _) => {
                known_by.push_str(pointer.values().next().and_then(Value::as_str)?);
            }
            (None | Some(Value::Null), Some((parent, id))) if parent == *name => {
                known_by.push_str(&id.to_string());
            }
            (None | Some(Value::Null), _) if !field.required => {}
            _ => return None,
        }
    }
    Some(known_by)
}

/// The id Kong would derive for an entity that is known by this.
pub(super) fn derived(kind: EntityKind, key: &str) -> Uuid {
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

/// Why an entity does not join the others.
enum Unfit {
    /// The schema does not take it.
    Invalid(Violations),
    /// Another one has what must be its own.
    Twin(String),
}

/// Checks one entity and, if nothing else is wrong with it, writes it down.
struct Take<'a> {
    document: &'a mut Document,
    terms: Terms,
    item: Object,
    place: &'a Place,
    is_sound: bool,
}

impl Visit for Take<'_> {
    type Output = Result<(), Unfit>;

    fn visit<E: Entity>(self) -> Self::Output {
        let entity = schema::check_in::<E>(self.terms, Value::Object(self.item));
        let entity = entity.map_err(Unfit::Invalid)?;
        let config = &mut self.document.config;
        if let Some((field, value)) = shared(config, &entity) {
            let kind = E::KIND;
            return Err(Unfit::Twin(format!(
                "uniqueness violation: '{kind}' entity with {field} set to '{value}' already declared"
            )));
        }
        if self.is_sound {
            self.document.places.insert((E::KIND, entity.id().uuid()), self.place.clone());
            config.write(entity);
        }
        Ok(())
    }
}

/// What an entity that is declared already has in common with this one, and may not.
fn shared<E: Entity>(config: &Config, entity: &E) -> Option<(String, String)> {
    let (id, key) = (entity.id(), entity.endpoint_key());
    if config.get::<E>(id).is_none() {
        let references::Taken { fields, .. } = references::taken(config, entity)?;
        let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let values: Vec<_> = values.into_iter().map(text).collect();
        return Some((names.join(", "), values.join(", ")));
    }
    // An id that was made from the name is not what the author of the document repeated.
    match (E::ENDPOINT_KEY, key) {
        (Some(field), Some(key)) if derived(E::KIND, &key) == id.uuid() => {
            Some((field.to_owned(), key))
        }
        _ => Some(("primary key".to_owned(), id.to_string())),
    }
}
