//! Forms: dots and brackets make a tree, the schema makes its leaves numbers,
//! lists and nulls. What fits nowhere stays text, for the schema to refuse.
//!
//! `service.name=a`, `hosts=a&hosts=b`, `hosts[]=a`, `hosts[1]=a` (counted from
//! 1), `headers.x-a=v`, `headers[x.a]=v`; an empty value is null.

use std::collections::BTreeMap;

use model::Terms;
use model::schema::{Element, Kind, Object, Schema};
use serde_json::Value;

/// Deeper keys are not split further: no schema is that deep.
const DEPTH: usize = 16;

/// What stands behind a part of a key.
#[derive(Debug)]
enum Node {
    /// Values, in order.
    Texts(Vec<String>),
    /// What follows the next part.
    Tree(BTreeMap<String, Node>),
}

/// The object that the pairs of a form describe. Of what type it is, where that makes a difference, is
/// one of them, or as in `over`.
pub(super) fn decode(
    schema: &Schema,
    terms: Terms,
    over: &Object,
    pairs: Vec<(String, String)>,
) -> Object {
    let mut root = BTreeMap::new();
    for (key, value) in pairs {
        insert(&mut root, &parts(&key), value);
    }
    let inner = schema.inner(&texts(&root), terms).or_else(|| schema.inner(over, terms));
    let within =
        inner.and_then(|(field, schema)| Some((field.name, schema, root.remove(field.name)?)));
    let mut object = record(schema, root);
    object.extend(
        within.map(|(name, schema, node)| (name.to_owned(), typed(Kind::Record(schema), node))),
    );
    object
}

/// What is text as it stands.
fn texts(tree: &BTreeMap<String, Node>) -> Object {
    let text = |(name, node): (&String, &Node)| match node {
        Node::Texts(texts) => Some((name.clone(), texts.last()?.as_str().into())),
        Node::Tree(_) => None,
    };
    tree.iter().filter_map(text).collect()
}

/// `a.b[c.d][]` → a, b, c.d: brackets keep their dots, and empty ones only say that there is a list.
fn parts(key: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = key;
    while parts.len() < DEPTH && !rest.is_empty() {
        let bracketed = rest.strip_prefix('[').and_then(|inside| inside.split_once(']'));
        let part = match bracketed {
            Some((part, after)) => {
                rest = after.strip_prefix('.').unwrap_or(after);
                part
            }
            None => {
                let end = rest.char_indices().skip(1).find(|(_, c)| matches!(c, '.' | '['));
                let (part, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
                rest = after.strip_prefix('.').unwrap_or(after);
                part
            }
        };
        if !part.is_empty() {
            parts.push(part);
        }
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

fn insert(tree: &mut BTreeMap<String, Node>, parts: &[&str], value: String) {
    let Some((first, deeper)) = parts.split_first() else { return };
    let node = tree.entry((*first).to_owned()).or_insert_with(|| match deeper {
        [] => Node::Texts(Vec::new()),
        _ => Node::Tree(BTreeMap::new()),
    });
    match (node, deeper) {
        (Node::Texts(texts), []) => texts.push(value),
        (Node::Tree(tree), [_, ..]) => insert(tree, deeper, value),
        // `a=1&a.b=2`: the last one is meant.
        (node, []) => *node = Node::Texts(vec![value]),
        (node, _) => {
            let mut tree = BTreeMap::new();
            insert(&mut tree, deeper, value);
            *node = Node::Tree(tree);
        }
    }
}

fn record(schema: &Schema, tree: BTreeMap<String, Node>) -> Object {
    let field = |(name, node): (String, Node)| {
        let kind = schema.field_called(&name).map_or(Kind::String, |field| field.kind);
        (name, typed(kind, node))
    };
    tree.into_iter().map(field).collect()
}

fn typed(kind: Kind, node: Node) -> Value {
    match (kind, node) {
        (Kind::Array(element) | Kind::Set(element), node) => list(element, node),
        (kind, Node::Texts(mut texts)) => match texts.pop() {
            Some(text) if texts.is_empty() => scalar(kind, text),
            last => texts.into_iter().chain(last).map(|text| scalar(kind, text)).collect(),
        },
        (Kind::Record(schema), Node::Tree(tree)) => Value::Object(record(schema, tree)),
        (Kind::Map { values, .. }, Node::Tree(tree)) => object(values.kind, tree),
        (_, Node::Tree(tree)) => object(Kind::String, tree),
    }
}

fn object(kind: Kind, tree: BTreeMap<String, Node>) -> Value {
    Value::Object(tree.into_iter().map(|(name, node)| (name, typed(kind, node))).collect())
}

/// Values, or members by number; a lone empty value is no list.
fn list(element: &Element, node: Node) -> Value {
    let tree = match node {
        Node::Texts(texts) if texts.iter().eq([""]) => return Value::Null,
        Node::Texts(texts) => {
            return texts.into_iter().map(|text| scalar(element.kind, text)).collect();
        }
        Node::Tree(tree) => tree,
    };
    let number = |name: &String| name.parse::<u32>().ok().filter(|number| *number > 0);
    if !tree.keys().all(|name| number(name).is_some()) {
        return object(element.kind, tree);
    }
    let mut members: Vec<_> = tree.into_iter().map(|(name, node)| (number(&name), node)).collect();
    members.sort_by_key(|(number, _)| *number);
    members.into_iter().map(|(_, node)| typed(element.kind, node)).collect()
}

fn scalar(kind: Kind, text: String) -> Value {
    let parsed = match kind {
        _ if text.is_empty() => Some(Value::Null),
        Kind::Integer | Kind::Number => match text.parse::<i64>() {
            Ok(whole) => Some(whole.into()),
            Err(_) => {
                text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number)
            }
        },
        Kind::Boolean => text.parse::<bool>().ok().map(Value::Bool),
        _ => None,
    };
    parsed.unwrap_or(Value::String(text))
}

#[cfg(test)]
mod tests {
    use model::{EntityKind, testing};
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_the_schemas_types() {
        check(
            "port=80&retries=&enabled=false&name=80",
            json!({
                "port": 80, "retries": null, "enabled": false, "name": "80",
            }),
            EntityKind::Service,
        );
        check("port=eighty&nope=1", json!({ "port": "eighty", "nope": "1" }), EntityKind::Service);
    }

    #[test]
    fn lists_come_in_four_forms() {
        let both = json!({ "hosts": ["a", "b"] });
        check("hosts=a&hosts=b", both.clone(), EntityKind::Route);
        check("hosts[]=a&hosts[]=b", both.clone(), EntityKind::Route);
        check("hosts[2]=b&hosts[1]=a", both, EntityKind::Route);
        check("hosts=a", json!({ "hosts": ["a"] }), EntityKind::Route);
        check("hosts=", json!({ "hosts": null }), EntityKind::Route);
    }

    #[test]
    fn dots_and_brackets_nest() {
        check("service.name=a", json!({ "service": { "name": "a" } }), EntityKind::Route);
        check("headers.x-a=v", json!({ "headers": { "x-a": ["v"] } }), EntityKind::Route);
        check("headers[x.a]=v", json!({ "headers": { "x.a": ["v"] } }), EntityKind::Route);
        check(
            "sources[1].ip=10.0.0.0/8&sources[1].port=80",
            json!({ "sources": [{ "ip": "10.0.0.0/8", "port": 80 }] }),
            EntityKind::Route,
        );
        check("name=a&name.b=c", json!({ "name": { "b": "c" } }), EntityKind::Route);
    }

    #[test]
    fn what_is_configured_has_the_types_of_its_type() {
        let plugin = EntityKind::Plugin;
        let config =
            json!({ "minute": 5, "redis": { "port": 1, "host": null }, "policy": "redis" });
        let form = "config.minute=5&config.redis.port=1&config.redis.host=&config.policy=redis";
        check(
            &format!("{form}&name=rate-limiting"),
            json!({ "name": "rate-limiting", "config": config }),
            plugin,
        );
        let over = Object::from_iter([("name".to_owned(), "rate-limiting".into())]);
        check_over(form, json!({ "config": config }), plugin, &over);
        check(
            "name=rate-limiting&config.redis_port=1",
            json!({ "name": "rate-limiting", "config": { "redis_port": 1 } }),
            plugin,
        );
        let untyped = json!({ "config": { "minute": "5" }, "enabled": true });
        check("config.minute=5&enabled=true", untyped, plugin);
        check(
            "name=key-auth&config.key_names[]=a&config.hide_credentials=true",
            json!({ "name": "key-auth", "config": { "key_names": ["a"], "hide_credentials": true } }),
            plugin,
        );
    }

    #[test]
    fn depth_is_bounded() {
        let pairs = vec![("a.".repeat(100_000), "x".to_owned())];
        let route = EntityKind::Route.schema();
        let mut object = decode(route, Terms::default(), &Object::new(), pairs);
        let mut depth = 0;
        while let Some(Value::Object(inner)) = object.remove("a") {
            object = inner;
            depth += 1;
        }
        assert_eq!(depth, DEPTH);
    }

    #[track_caller]
    fn check(form: &str, expected: Value, kind: EntityKind) {
        check_over(form, expected, kind, &Object::new());
    }

    #[track_caller]
    fn check_over(form: &str, expected: Value, kind: EntityKind, over: &Object) {
        let pairs = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        let decoded = decode(kind.schema(), testing::terms(), over, pairs);
        assert_eq!(Value::Object(decoded), expected, "{form}");
    }
}
