//! One entity before and after a step, as the Admin API shows it, but for its secrets: a log is read
//! by more people than those who may use a key.

use std::collections::HashMap;

use bytes::Bytes;
use model::delta::Change;
use model::entities::Visit;
use model::schema::{Kind, Object, Schema, to_object};
use model::{Entity, EntityKind, Terms, encode};
use serde_json::{Value, json as value};
use uuid::Uuid;

/// What stands for a secret.
const MASK: &str = "******";

/// How names of secrets end in what is configured of plugins and vaults, declared as such or not.
const SECRET_ENDINGS: &[&str] =
    &["password", "secret", "token", "private_key", "api_key", "credential", "credentials"];

/// What leads back from a step, by entity: there may be very many.
pub(super) struct Undo<'a>(HashMap<(&'a str, Uuid), &'a Bytes>);

impl<'a> Undo<'a> {
    pub(super) fn new(changes: &'a [Change]) -> Self {
        let bytes =
            |change: &'a Change| Some(((change.kind.as_str(), change.id), change.bytes.as_ref()?));
        Self(changes.iter().filter_map(bytes).collect())
    }
}

/// What a step did to one entity.
pub(super) fn change(change: &Change, undo: &Undo<'_>, terms: Terms) -> Value {
    let before = undo.0.get(&(change.kind.as_str(), change.id)).copied();
    let kind = change.kind.kind();
    let object =
        |bytes: Option<&Bytes>| kind?.visit(Decode { id: change.id, bytes: bytes?, terms });
    let (before, after) = (object(before), object(change.bytes.as_ref()));
    let name = after.as_ref().or(before.as_ref()).and_then(|shown| name(kind?, shown));
    value!({
        "entity": change.kind.as_str(),
        "id": change.id,
        "name": name,
        "change": match (&before, &after) {
            (None, _) => "created",
            (_, None) => "deleted",
            _ => "updated",
        },
        "fields": differing(before.as_ref(), after.as_ref()),
        "before": kind.zip(before).map(|(kind, shown)| masked(kind.schema(), terms, shown)),
        "after": kind.zip(after).map(|(kind, shown)| masked(kind.schema(), terms, shown)),
    })
}

/// What its endpoint key says.
fn name(kind: EntityKind, shown: &Object) -> Option<String> {
    struct Key;
    impl Visit for Key {
        type Output = Option<&'static str>;
        fn visit<E: Entity>(self) -> Self::Output {
            E::ENDPOINT_KEY
        }
    }
    let key = kind.schema().field(kind.visit(Key)?).filter(|key| !key.secret)?;
    shown.get(key.name)?.as_str().map(str::to_owned)
}

/// Names of the fields that are not what they were, secrets among them.
fn differing<'a>(before: Option<&'a Object>, after: Option<&'a Object>) -> Vec<&'a str> {
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let changed = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
    changed.map(|(name, _)| name).chain(gone).map(String::as_str).collect()
}

fn masked(schema: &Schema, terms: Terms, mut shown: Object) -> Object {
    hide(schema, terms, &mut shown);
    if let Some(config) = shown.get_mut("config") {
        mask_within(config);
    }
    shown
}

/// Masks what is declared a secret, at any depth.
fn hide(schema: &Schema, terms: Terms, record: &mut Object) {
    let inner = schema.inner(record, terms);
    for field in schema.fields {
        let schema = match (field.kind, inner) {
            (Kind::Record(schema), _) | (Kind::OfType { .. }, Some((_, schema))) => Some(schema),
            _ => None,
        };
        match (record.get_mut(field.name), schema) {
            (Some(value), _) if field.secret => mask(value),
            (Some(Value::Object(inner)), Some(schema)) => hide(schema, terms, inner),
            _ => {}
        }
    }
}

/// Nothing stands for itself, and so does a reference: it says where a secret is, and not what it is.
fn mask(value: &mut Value) {
    let is_reference = value.as_str().is_some_and(|text| text.starts_with("{vault://"));
    if !value.is_null() && !is_reference {
        *value = MASK.into();
    }
}

fn mask_within(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending))
                    && !member.is_boolean()
                {
                    true => mask(member),
                    false => mask_within(member),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(mask_within),
        _ => {}
    }
}

/// An entity from its bytes; none if this version cannot read them.
struct Decode<'a> {
    id: Uuid,
    bytes: &'a Bytes,
    terms: Terms,
}

impl Visit for Decode<'_> {
    type Output = Option<Object>;

    fn visit<E: Entity>(self) -> Self::Output {
        let entity = encode::decode::<E>(self.id, self.bytes).ok()?;
        Some(to_object(&entity, self.terms))
    }
}

#[cfg(test)]
mod tests {
    use model::testing;

    use super::*;

    #[test]
    fn secrets_are_not_shown_wherever_they_are() {
        let shown = value!({ "id": 1, "key": "PEM", "key_alt": null, "cert": "PEM" });
        let expected = value!({ "id": 1, "key": MASK, "key_alt": null, "cert": "PEM" });
        check(EntityKind::Certificate, shown, expected);

        let shown = value!({ "key": "{vault://env/key}" });
        check(EntityKind::Certificate, shown.clone(), shown);

        let config = value!({
            "limit": 5, "hide_credentials": true, "key_names": ["apikey"],
            "redis": { "password": "x", "host": "h" }, "hooks": [{ "bearer_token": "y" }],
        });
        let expected = value!({
            "limit": 5, "hide_credentials": true, "key_names": ["apikey"],
            "redis": { "password": MASK, "host": "h" }, "hooks": [{ "bearer_token": MASK }],
        });
        let plugin = |config| value!({ "name": "of no type that is known", "config": config });
        check(EntityKind::Plugin, plugin(config), plugin(expected));
    }

    #[test]
    fn what_a_type_declares_a_secret_is_not_shown() {
        let plugin = |signed_with| {
            let config = value!({ "path": "p", "signed_with": signed_with });
            value!({ "name": "file-log", "config": config })
        };
        check(EntityKind::Plugin, plugin("s3cret"), plugin(MASK));
    }

    #[track_caller]
    fn check(kind: EntityKind, shown: Value, expected: Value) {
        let shown = shown.as_object().cloned().unwrap();
        assert_eq!(Value::Object(masked(kind.schema(), testing::terms(), shown)), expected);
    }
}
