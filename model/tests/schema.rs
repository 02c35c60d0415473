//! What the schema says to clients, word for word: `tests/schema/*.case`.
//!
//! A case starts with a command: `check <entity>` and a body, `patch <entity>`
//! with the current body and the patch, or `describe <entity>`. A route of the
//! flavor `expressions` is called `expressions`. What is accepted
//! is shown as the fields in which it differs from the least there can be.

use model::entities::{
    Acl, BasicAuth, Consumer, JwtSecret, Key, OAuth2, Plugin, Route, Service, Target, Upstream,
    Vault,
};
use model::schema::{self, Object, Record, Said};
use model::testing::cases;
use model::value::Timestamp;
use model::violation::Violations;
use model::{Flavor, Terms, testing};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[test]
fn cases() {
    cases::check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schema"), run);
}

fn run(input: &str) -> String {
    let (command, body) = input.split_once('\n').unwrap_or((input, ""));
    let (verb, entity) = command.split_once(' ').expect("a verb and an entity");
    match entity {
        "service" => run_on::<Service>(testing::terms(), verb, body, json!({ "host": "h" })),
        "route" => run_on::<Route>(testing::terms(), verb, body, json!({ "paths": ["/"] })),
        "expressions" => {
            run_on::<Route>(Flavor::Expressions.into(), verb, body, json!({ "paths": ["/"] }))
        }
        "consumer" => run_on::<Consumer>(testing::terms(), verb, body, json!({ "username": "u" })),
        "upstream" => run_on::<Upstream>(testing::terms(), verb, body, json!({ "name": "u.test" })),
        "target" => {
            let least = json!({ "target": "a.test:80", "upstream": { "id": ID } });
            run_on::<Target>(testing::terms(), verb, body, least)
        }
        "vault" => run_on::<Vault>(
            testing::terms(),
            verb,
            body,
            json!({ "name": "env", "prefix": "my-env" }),
        ),
        "key" => {
            let jwk = r#"{"kty":"oct","k":"AA","kid":"k"}"#;
            run_on::<Key>(testing::terms(), verb, body, json!({ "kid": "k", "jwk": jwk }))
        }
        "basicauth" => {
            let least = json!({ "username": "u", "password": "p", "consumer": { "id": ID } });
            run_on::<BasicAuth>(testing::terms(), verb, body, least)
        }
        "jwt" => {
            let least = json!({ "key": "k", "secret": "s", "consumer": { "id": ID } });
            run_on::<JwtSecret>(testing::terms(), verb, body, least)
        }
        "plugin" => run_on::<Plugin>(testing::terms(), verb, body, json!({ "name": "key-auth" })),
        "acl" => {
            let least = json!({ "group": "g", "consumer": { "id": ID } });
            run_on::<Acl>(testing::terms(), verb, body, least)
        }
        "oauth2" => {
            let least = json!({
                "name": "n", "client_id": "i", "client_secret": "s", "consumer": { "id": ID },
            });
            run_on::<OAuth2>(testing::terms(), verb, body, least)
        }
        _ => panic!("no entity {entity}"),
    }
}

const ID: &str = "00000000-0000-4000-8000-000000000002";

fn run_on<E>(terms: Terms, verb: &str, body: &str, least: Value) -> String
where
    E: Record + Serialize + DeserializeOwned,
{
    let mut bodies = serde_json::Deserializer::from_str(body)
        .into_iter::<Object>()
        .map(|body| body.expect("a body is a JSON object"));
    let least = object(written::<E>(terms, object(least)).expect("the least there can be"));
    match verb {
        "describe" => pretty(&E::SCHEMA.describe(terms.flavor)),
        "check" => show(written::<E>(terms, bodies.next().expect("a body")), &least),
        "patch" => {
            let current = written::<E>(terms, bodies.next().expect("what is there"));
            let current = current.expect("it is valid");
            let patch = bodies.next().expect("a patch");
            let merged = schema::merge(E::SCHEMA, terms, object(current), patch.clone());
            show(settled::<E>(terms, &patch, merged), &least)
        }
        _ => panic!("no command {verb}"),
    }
}

/// The whole write path, at a fixed time and with a fixed id, and back to JSON.
fn written<E>(terms: Terms, body: Object) -> Result<Value, Violations>
where
    E: Record + Serialize + DeserializeOwned,
{
    settled::<E>(terms, &body.clone(), body)
}

/// The same of a body with what was there before in it, of which so much was said.
fn settled<E>(terms: Terms, said: &Object, mut body: Object) -> Result<Value, Violations>
where
    E: Record + Serialize + DeserializeOwned,
{
    if body.get("id").is_none_or(Value::is_null) {
        body.insert("id".into(), "00000000-0000-4000-8000-000000000001".into());
    }
    schema::stamp(E::SCHEMA, terms, &mut body, Timestamp::from_seconds(1_700_000_000));
    schema::settle(E::SCHEMA, Said { fields: said, is_plain: true }, &mut body)?;
    let entity = schema::check_in::<E>(terms, Value::Object(body))?;
    Ok(Value::Object(schema::to_object(&entity, terms)))
}

fn show(result: Result<Value, Violations>, least: &Object) -> String {
    match result {
        Err(violations) => format!("{violations}\n{}", pretty(&violations.to_json())),
        Ok(accepted) => {
            let accepted = object(accepted);
            assert!(accepted.keys().eq(least.keys()), "every field is always written");
            let news = accepted.into_iter().filter(|(name, value)| least.get(name) != Some(value));
            pretty(&Value::Object(news.collect()))
        }
    }
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is not an object"),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}
