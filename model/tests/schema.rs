//! What the schema says to clients, word for word: `tests/schema/*.case`.
//!
//! A case starts with a command: `check <entity>` and a body, `patch <entity>`
//! with the current body and the patch, or `describe <entity>`. A route of the
//! flavor `expressions` is called `expressions`. What is accepted
//! is shown as the fields in which it differs from the least there can be.

use model::Flavor;
use model::entities::{Route, Service};
use model::schema::{self, Object, Record};
use model::testing::cases;
use model::value::Timestamp;
use model::violation::Violations;
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
        "service" => run_on::<Service>(Flavor::default(), verb, body, json!({ "host": "h" })),
        "route" => run_on::<Route>(Flavor::default(), verb, body, json!({ "paths": ["/"] })),
        "expressions" => {
            run_on::<Route>(Flavor::Expressions, verb, body, json!({ "paths": ["/"] }))
        }
        _ => panic!("no entity {entity}"),
    }
}

fn run_on<E>(flavor: Flavor, verb: &str, body: &str, least: Value) -> String
where
    E: Record + Serialize + DeserializeOwned,
{
    let mut bodies = serde_json::Deserializer::from_str(body)
        .into_iter::<Object>()
        .map(|body| body.expect("a body is a JSON object"));
    let least = object(written::<E>(flavor, object(least)).expect("the least there can be"));
    match verb {
        "describe" => pretty(&E::SCHEMA.describe(flavor)),
        "check" => show(written::<E>(flavor, bodies.next().expect("a body")), &least),
        "patch" => {
            let current = written::<E>(flavor, bodies.next().expect("what is there"));
            let current = current.expect("it is valid");
            let patch = bodies.next().expect("a patch");
            show(written::<E>(flavor, schema::merge(E::SCHEMA, object(current), patch)), &least)
        }
        _ => panic!("no command {verb}"),
    }
}

/// The whole write path, at a fixed time and with a fixed id, and back to JSON.
fn written<E>(flavor: Flavor, mut body: Object) -> Result<Value, Violations>
where
    E: Record + Serialize + DeserializeOwned,
{
    if body.get("id").is_none_or(Value::is_null) {
        body.insert("id".into(), "00000000-0000-4000-8000-000000000001".into());
    }
    schema::stamp(E::SCHEMA, &mut body, Timestamp::from_seconds(1_700_000_000));
    let entity = schema::check_in::<E>(flavor, Value::Object(body))?;
    Ok(Value::Object(schema::to_object(&entity, flavor)))
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
