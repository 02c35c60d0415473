//! What is wrong with a document, per entity: clients that made the document
//! from objects of their own look for the object, not for its place.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::load::{REMARKS, children, derived, key_of};
use crate::EntityKind;
use crate::id::parse_hyphenated;
use crate::schema::Object;
use crate::violation::{Elements, Violation, Violations};

/// Everything wrong with a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flattened {
    /// What no entity is to blame for.
    pub rest: Violations,
    /// Every entity that something is wrong with, in Kong's shape.
    pub entities: Vec<Value>,
}

/// Takes what is wrong with a document apart. Children stand beside their
/// parents, whom they then point at.
pub fn flatten(document: &Value, violations: &Violations) -> Flattened {
    let mut flattened = Flattened::default();
    violations.of_entity().iter().for_each(|message| flattened.rest.add_entity(message));
    flattened.rest.leave_untold(violations.untold());
    for (section, violation) in violations.of_fields() {
        match (EntityKind::from_name(section), violation) {
            (Some(kind), Violation::List(found)) => {
                let items = &document[section];
                flattened.section(kind, items, found, None);
                if let Some(strays) = strays(items, found) {
                    flattened.rest.set(section, strays);
                }
            }
            _ => flattened.rest.set(section, violation.clone()),
        }
    }
    flattened
}

impl Flattened {
    fn section(
        &mut self,
        kind: EntityKind,
        items: &Value,
        found: &Elements,
        parent: Option<(&str, Uuid)>,
    ) {
        for (index, violation) in found.told().iter().enumerate() {
            if let (Value::Object(item), Some(violation)) = (&items[index], violation) {
                self.entity(kind, item, violation, parent);
            }
        }
    }

    fn entity(
        &mut self,
        kind: EntityKind,
        item: &Object,
        violation: &Violation,
        parent: Option<(&str, Uuid)>,
    ) {
        let mut own = Violations::default();
        let mut inner = Vec::new();
        match violation {
            Violation::Record(violations) => {
                violations.of_entity().iter().for_each(|message| own.add_entity(message));
                own.leave_untold(violations.untold());
                for (field, violation) in violations.of_fields() {
                    let child = children(kind).find(|(child, _)| child.name() == field);
                    match (child, violation) {
                        (Some(child), Violation::List(found)) => {
                            if let Some(strays) = strays(&item[field], found) {
                                own.set(field, strays);
                            }
                            inner.push((child, found));
                        }
                        _ => own.set(field, violation.clone()),
                    }
                }
            }
            Violation::Message(message) => own.add_entity(message),
            Violation::List(_) => {} // an entity has fields, not elements
        }
        if !own.is_empty() {
            self.entities.push(shown(kind, item, &own, parent));
        }
        let id = item.get("id").and_then(Value::as_str).and_then(parse_hyphenated);
        let id = id.or_else(|| Some(derived(kind, key_of(kind, item)?)));
        for ((child, key), found) in inner {
            self.section(child, &item[child.name()], found, id.map(|id| (key.field, id)));
        }
    }
}

/// What is wrong with elements that are no entities at all, and how many bad ones nobody tells of.
fn strays(items: &Value, found: &Elements) -> Option<Violation> {
    let stray = |(index, found): (usize, &Option<Violation>)| {
        found.as_ref().filter(|_| !items[index].is_object()).cloned()
    };
    found.retold(found.told().iter().enumerate().map(stray))
}

/// An entity without its children, and what is wrong with it.
fn shown(
    kind: EntityKind,
    item: &Object,
    violations: &Violations,
    parent: Option<(&str, Uuid)>,
) -> Value {
    let is_own = |name: &str| {
        !REMARKS.contains(&name) && children(kind).all(|(child, _)| child.name() != name)
    };
    let own = item.iter().filter(|(name, _)| is_own(name));
    let mut entity: Map<_, _> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some((field, id)) = parent {
        entity.insert(field.to_owned(), json!({ "id": id }));
    }
    let error = |(place, message): (String, Cow<'_, str>)| match place.as_str() {
        "" => json!({ "type": "entity", "message": message }),
        field => json!({ "type": "field", "field": field, "message": message }),
    };
    let name = kind.name();
    let mut shown = json!({
        "entity_type": name.strip_suffix('s').unwrap_or(name),
        "errors": violations.messages().into_iter().map(error).collect::<Value>(),
    });
    for (said, field) in [("entity_id", "id"), ("entity_name", "name"), ("entity_tags", "tags")] {
        if let Some(value) = entity.get(field).filter(|value| identifies(field, value)) {
            shown[said] = value.clone();
        }
    }
    shown["entity"] = Value::Object(entity);
    shown
}

/// Whether a value can serve to find the entity, whatever else is wrong with it.
fn identifies(field: &str, value: &Value) -> bool {
    match field {
        "id" => value.as_str().and_then(parse_hyphenated).is_some(),
        "tags" => value.as_array().is_some_and(|tags| tags.iter().all(Value::is_string)),
        _ => value.is_string(),
    }
}
