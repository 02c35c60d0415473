//! One entity before and after a step, as the Admin API shows it, but for its secrets: a log is read
//! by more people than those who may use a key.

use std::collections::HashMap;

use bytes::Bytes;
use model::delta::Change;
use model::entities::Visit;
use model::schema::{Object, to_object};
use model::{Entity, EntityKind, Flavor, encode};
use serde_json::{Value, json as value};
use uuid::Uuid;

/// What stands for a secret.
const MASK: &str = "******";

/// Fields that are secrets, by kind of entity.
const SECRETS: &[(&str, &[&str])] = &[
    ("certificates", &["key", "key_alt"]),
    ("keyauth_credentials", &["key"]),
    ("basicauth_credentials", &["password"]),
    ("hmacauth_credentials", &["secret"]),
    ("jwt_secrets", &["secret"]),
    ("oauth2_credentials", &["client_secret"]),
    ("oauth2_tokens", &["access_token", "refresh_token"]),
    ("keys", &["jwk", "pem"]),
];

/// How names of secrets end in what is configured of plugins and vaults.
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
pub(super) fn change(change: &Change, undo: &Undo<'_>, flavor: Flavor) -> Value {
    let before = undo.0.get(&(change.kind.as_str(), change.id)).copied();
    let kind = change.kind.kind();
    let object =
        |bytes: Option<&Bytes>| kind?.visit(Decode { id: change.id, bytes: bytes?, flavor });
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
        "before": before.map(|shown| masked(change.kind.as_str(), shown)),
        "after": after.map(|shown| masked(change.kind.as_str(), shown)),
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
    let secrets = SECRETS.iter().find(|(table, _)| *table == kind.name()).map(|(_, names)| *names);
    let key = kind.visit(Key).filter(|key| !secrets.unwrap_or_default().contains(key))?;
    shown.get(key)?.as_str().map(str::to_owned)
}

/// Names of the fields that are not what they were, secrets among them.
fn differing<'a>(before: Option<&'a Object>, after: Option<&'a Object>) -> Vec<&'a str> {
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let changed = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
    changed.map(|(name, _)| name).chain(gone).map(String::as_str).collect()
}

fn masked(table: &str, mut shown: Object) -> Object {
    let secrets = SECRETS.iter().find(|(name, _)| *name == table).map(|(_, fields)| *fields);
    for field in secrets.unwrap_or_default() {
        if let Some(value) = shown.get_mut(*field) {
            mask(value);
        }
    }
    if let Some(config) = shown.get_mut("config") {
        mask_within(config);
    }
    shown
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
    flavor: Flavor,
}

impl Visit for Decode<'_> {
    type Output = Option<Object>;

    fn visit<E: Entity>(self) -> Self::Output {
        let entity = encode::decode::<E>(self.id, self.bytes).ok()?;
        Some(to_object(&entity, self.flavor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_wherever_they_are() {
        let shown = value!({ "id": 1, "key": "PEM", "key_alt": null, "cert": "PEM" });
        let expected = value!({ "id": 1, "key": MASK, "key_alt": null, "cert": "PEM" });
        assert_eq!(masked("certificates", object(shown)), object(expected));

        let shown = value!({ "key": "{vault://env/key}" });
        assert_eq!(masked("certificates", object(shown.clone())), object(shown));

        let config = value!({
            "limit": 5, "hide_credentials": true, "key_names": ["apikey"],
            "redis": { "password": "x", "host": "h" }, "hooks": [{ "bearer_token": "y" }],
        });
        let expected = value!({
            "limit": 5, "hide_credentials": true, "key_names": ["apikey"],
            "redis": { "password": MASK, "host": "h" }, "hooks": [{ "bearer_token": MASK }],
        });
        let shown = masked("plugins", object(value!({ "config": config })));
        assert_eq!(shown["config"], expected);
    }

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap()
    }
}
