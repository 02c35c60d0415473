//! Bodies at random, made of the schemas of a description: all that these allow, in small.

use proptest::collection::vec;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any};
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Bodies that the component of this name allows.
pub(crate) fn bodies(document: &Value, name: &str) -> BoxedStrategy<Value> {
    values(&document["components"]["schemas"][name])
}

fn values(schema: &Value) -> BoxedStrategy<Value> {
    if let Some(choices) = schema["enum"].as_array() {
        return select(choices.clone()).boxed();
    }
    match schema["type"].as_str() {
        Some("string") => texts(schema),
        Some("integer") => {
            let (low, high) = bounds(schema, 1_000_000);
            (low..=high).prop_map(Value::from).boxed()
        }
        Some("number") => {
            let (low, high) = bounds(schema, 1000);
            (low * 4..=high * 4).prop_map(|quarters| json!(quarters as f64 / 4.0)).boxed()
        }
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("null") => Just(Value::Null).boxed(),
        Some("array") => lists(schema),
        Some("object") => objects(schema),
        _ => match schema["anyOf"].as_array() {
            Some(ways) => select(ways.clone()).prop_flat_map(|way| values(&way)).boxed(),
            None => Just(json!({ "any": ["thing"] })).boxed(),
        },
    }
}

fn bounds(schema: &Value, most: i64) -> (i64, i64) {
    let low = schema["minimum"].as_i64().or(schema["exclusiveMinimum"].as_i64().map(|low| low + 1));
    let low = low.unwrap_or(-most);
    (low, schema["maximum"].as_i64().unwrap_or(low.saturating_add(most)))
}

fn texts(schema: &Value) -> BoxedStrategy<Value> {
    if schema["format"] == "uuid" {
        return any::<u128>().prop_map(|n| uuid::Uuid::from_u128(n).to_string().into()).boxed();
    }
    let begins = schema["pattern"].as_str().map(|pattern| pattern.replace(['^', '\\'], ""));
    let least = schema["minLength"].as_u64().unwrap_or(0) as usize;
    let most = schema["maxLength"].as_u64().map_or(least + 8, |most| most as usize).min(least + 8);
    let forbidden = schema["not"].clone();
    let words = proptest::string::string_regex(&format!("[a-z0-9.]{{{least},{most}}}")).unwrap();
    let odd = proptest::string::string_regex(&format!("\\PC{{{least},{most}}}")).unwrap();
    proptest::prop_oneof![4 => words, 1 => odd]
        .prop_map(move |text| Value::from(begins.clone().unwrap_or_default() + &text))
        .prop_filter("it is forbidden", move |text| {
            let listed = forbidden["enum"].as_array().is_some_and(|words| words.contains(text));
            !listed && forbidden["const"] != *text
        })
        .boxed()
}

fn lists(schema: &Value) -> BoxedStrategy<Value> {
    let least = schema["minItems"].as_u64().unwrap_or(0) as usize;
    let most = schema["maxItems"].as_u64().map_or(least + 3, |most| most as usize).min(least + 3);
    let is_set = schema["uniqueItems"] == true;
    let lists = vec(values(&schema["items"]), least..=most).prop_map(move |items| {
        let mut kept: Vec<Value> = Vec::new();
        for item in items {
            if !is_set || !kept.contains(&item) {
                kept.push(item);
            }
        }
        kept
    });
    lists
        .prop_filter("there are too few", move |kept| kept.len() >= least)
        .prop_map(Value::Array)
        .boxed()
}

/// The members that must be there, by one of the ways there are; of the others some.
fn objects(schema: &Value) -> BoxedStrategy<Value> {
    let names = |value: &Value| -> Vec<String> {
        let names = value["required"].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let ways = schema["anyOf"].as_array().map(|ways| ways.iter().map(names).collect());
    let ways: Vec<Vec<String>> = ways.unwrap_or_else(|| vec![names(schema)]);
    let members: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
    let members: Vec<_> = members
        .into_iter()
        .map(|(name, schema)| (Just(name.clone()), values(schema), proptest::bool::weighted(0.3)))
        .collect();
    let others = match schema.get("additionalProperties") {
        Some(of) if of.is_object() => {
            vec((values(&schema["propertyNames"]), values(of)), 0..3).boxed()
        }
        _ => Just(Vec::new()).boxed(),
    };
    let least = schema["minProperties"].as_u64().unwrap_or(0) as usize;
    let conditions = schema["allOf"].as_array().cloned().unwrap_or_default();
    (select(ways), members, others)
        .prop_map(move |(required, members, others)| {
            let is_there = |name: &String, chosen: bool, at: usize| {
                chosen || required.contains(name) || at < least
            };
            let members = members.into_iter().enumerate();
            let members = members.filter(|(at, (name, _, chosen))| is_there(name, *chosen, *at));
            let mut object: Map<String, Value> =
                members.map(|(_, (name, value, _))| (name, value)).collect();
            object.extend(
                others
                    .into_iter()
                    .filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value))),
            );
            object
        })
        .prop_flat_map(move |object| further(&conditions, object))
        .boxed()
}

/// The object with those members made anew that are others under a condition it meets.
fn further(conditions: &[Value], object: Map<String, Value>) -> BoxedStrategy<Value> {
    let properties = |part: &Value| part["properties"].as_object().cloned().unwrap_or_default();
    let is_met = |condition: &&Value| {
        let demands = properties(&condition["if"]);
        demands.iter().all(|(name, demand)| object.get(name) == Some(&demand["const"]))
    };
    let others = conditions.iter().filter(is_met).flat_map(|met| properties(&met["then"]));
    let others: Vec<_> = others
        .filter(|(name, _)| object.contains_key(name))
        .map(|(name, schema)| (Just(name), values(&schema)))
        .collect();
    others
        .prop_map(move |others| {
            let mut object = object.clone();
            object.extend(others);
            Value::Object(object)
        })
        .boxed()
}
