//! `/openapi.json`: what can be asked of this API, for machines. OpenAPI 3.1.
//!
//! It is made of what the API itself is made of: the table of URLs with their methods, and the schemas of
//! entities. What a URL is about is read off its shape, so that one that is added is described as well.

use axum::body::Body;
use http::{Response, StatusCode};
use model::entity::foreign_keys;
use model::schema::Object;
use model::schema::json_schema::Role;
use model::{EntityKind, Terms};
use serde_json::{Value, json};

use super::call::Call;
use super::json as answer;
use super::problem::Problem;

mod special; // what is not about entities

/// A path with its parameters in braces, and the methods it has, as `Allow` lists them.
pub(super) type Place = (String, &'static str);

/// `GET /openapi.json`
pub(super) async fn show(call: Call) -> Result<Response<Body>, Problem> {
    let (api, terms) = (call.api(), call.terms());
    let places = api.places.get().map_or(&[][..], Vec::as_slice);
    let description = api.description.get_or_init(|| describe(places, terms));
    Ok(answer(StatusCode::OK, description))
}

/// The description of an API with these places.
fn describe(places: &[Place], terms: Terms) -> Value {
    let paths: Object = places
        .iter()
        .map(|(path, allow)| (path.clone(), item(places, path, allow).into()))
        .collect();
    let mut schemas = special::schemas();
    for kind in EntityKind::ALL {
        for (role, suffix) in [(Role::Shown, ""), (Role::Whole, ".body"), (Role::Part, ".part")] {
            schemas.insert(format!("{kind}{suffix}"), entity(*kind, terms, role).into());
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Admin API",
            "version": model::VERSION,
            "description": format!(
                "Compatible with Kong {}. HEAD answers as GET, and OPTIONS says what methods a path has.",
                model::COMPAT
            ),
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": special::responses(),
            "parameters": special::parameters(),
        },
    })
}

/// Objects of a kind, with what is shown beside its own fields.
fn entity(kind: EntityKind, terms: Terms, role: Role) -> Object {
    let mut schema = kind.schema().json_schema(terms, role);
    if let (EntityKind::Certificate, Some(Value::Object(properties))) =
        (kind, schema.get_mut("properties"))
    {
        let names = json!({ "type": "array", "items": { "type": "string", "minLength": 1 } });
        properties.insert("snis".to_owned(), names);
    }
    schema
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    /// All entities of a kind, or those below a parent. Tags select only at the top.
    List { kind: EntityKind, is_top: bool },
    /// One of them.
    One { kind: EntityKind, is_top: bool },
    /// What an entity points at.
    Parent(EntityKind),
    /// Something else.
    Special,
}

fn shape(places: &[Place], path: &str) -> Shape {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let is_top = segments.len() <= 2;
    let named = |segment: &str| EntityKind::from_name(parameter(segment)?);
    let Some((last, before)) = segments.split_last() else { return Shape::Special };
    if let Some(kind) = named(last) {
        return Shape::One { kind, is_top };
    }
    // One entity of a list is a step below it, and goes by the name of its kind.
    let below = format!("{path}/{{");
    let mut below = places.iter().filter_map(|(other, _)| other.strip_prefix(&below));
    if let Some(kind) = below.find_map(|rest| EntityKind::from_name(rest.strip_suffix('}')?)) {
        return Shape::List { kind, is_top };
    }
    let holder = before.last().and_then(|segment| named(segment));
    let key = holder
        .and_then(|holder| foreign_keys(holder.schema().fields).find(|key| key.field == *last));
    key.map_or(Shape::Special, |key| Shape::Parent(key.target))
}

/// The name in a segment like `{name}`.
fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// Every operation at a path.
fn item(places: &[Place], path: &str, allow: &str) -> Object {
    let shape = shape(places, path);
    let parameters: Vec<Value> = path.split('/').filter_map(parameter).map(segment).collect();
    let methods = allow.split(", ").map(str::to_ascii_lowercase);
    // What every path has goes without saying.
    let methods = methods.filter(|method| !matches!(method.as_str(), "head" | "options"));
    let mut item: Object = methods
        .filter_map(|method| {
            let operation = operation(shape, path, &method)?;
            Some((method.clone(), complete(operation, path, &method).into()))
        })
        .collect();
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), parameters.into());
    }
    item
}

fn segment(name: &str) -> Value {
    let what = match EntityKind::from_name(name) {
        Some(_) => "its id, or the unique field that stands for it",
        None => "which",
    };
    json!({
        "name": name, "in": "path", "required": true, "description": what,
        "schema": { "type": "string", "minLength": 1 },
    })
}

/// What one method does; none where it is there only to be refused.
fn operation(shape: Shape, path: &str, method: &str) -> Option<Operation> {
    Some(match (shape, method) {
        (Shape::List { kind, is_top }, "get") => Operation::gives(200, page(kind))
            .called(format!("List {kind}"))
            .with(if is_top { &["size", "offset", "tags"] } else { &["size", "offset"] }),
        (Shape::List { kind, .. }, "post") => Operation::gives(201, shown(kind))
            .takes(kind, ".body")
            .called(format!("Create one of {kind}")),
        (Shape::One { kind, .. } | Shape::Parent(kind), "get") => {
            Operation::gives(200, shown(kind)).called(format!("Show one of {kind}"))
        }
        (Shape::One { kind, .. } | Shape::Parent(kind), "put") => {
            Operation::gives(200, shown(kind))
                .takes(kind, ".body")
                .called(format!("Create or replace one of {kind}"))
        }
        (Shape::One { kind, .. } | Shape::Parent(kind), "patch") => {
            Operation::gives(200, shown(kind))
                .takes(kind, ".part")
                .called(format!("Change one of {kind}"))
        }
        (Shape::One { kind, .. }, "delete") => {
            Operation::gives_nothing(204).called(format!("Delete one of {kind}"))
        }
        (Shape::Parent(_), _) => return None,
        _ => special::operation(path, method),
    })
}

/// What a method takes and gives, where that goes well.
#[derive(Debug)]
struct Operation {
    status: u16,
    gives: Option<Value>,
    takes: Option<Value>,
    query: &'static [&'static str],
    summary: String,
}

impl Operation {
    fn gives(status: u16, schema: Value) -> Self {
        Self { gives: Some(schema), ..Self::gives_nothing(status) }
    }

    fn gives_nothing(status: u16) -> Self {
        Self { status, gives: None, takes: None, query: &[], summary: String::new() }
    }

    fn takes(self, kind: EntityKind, suffix: &str) -> Self {
        self.takes_schema(json!({ "$ref": format!("#/components/schemas/{kind}{suffix}") }))
    }

    fn takes_schema(self, schema: Value) -> Self {
        Self { takes: Some(schema), ..self }
    }

    fn with(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    fn called(self, summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), ..self }
    }
}

fn shown(kind: EntityKind) -> Value {
    json!({ "$ref": format!("#/components/schemas/{kind}") })
}

fn page(kind: EntityKind) -> Value {
    json!({ "allOf": [
        { "$ref": "#/components/schemas/page" },
        { "properties": { "data": { "items": shown(kind) } } },
    ] })
}

/// What programs call an operation: `get_services_services_routes`.
fn name(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(method.to_owned(), |name, word| name + "_" + word)
}

/// The operation with how it may fail.
fn complete(operation: Operation, path: &str, method: &str) -> Object {
    let Operation { status, gives, takes, query, summary } = operation;
    let content = |schema: &Value, types: &[&str]| -> Value {
        let each = types.iter().map(|name| ((*name).to_owned(), json!({ "schema": schema })));
        Value::Object(each.collect())
    };
    let mut good = json!({ "description": summary });
    if let Some(schema) = gives {
        good["content"] = content(&schema, &["application/json"]);
    }
    let mut responses = Object::from_iter([(status.to_string(), good)]);
    for name in ["4XX", "5XX"] {
        responses.insert(name.to_owned(), json!({ "$ref": "#/components/responses/failure" }));
    }
    let group = path.split('/').nth(1).filter(|group| !group.is_empty()).unwrap_or("node");
    let mut described = Object::from_iter([
        ("operationId".to_owned(), name(method, path).into()),
        ("summary".to_owned(), summary.into()),
        ("tags".to_owned(), json!([group])),
    ]);
    if let Some(schema) = takes {
        const TYPES: [&str; 3] =
            ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"];
        described.insert("requestBody".to_owned(), json!({ "content": content(&schema, &TYPES) }));
        responses.insert("415".to_owned(), json!({ "description": "The body is of no such type" }));
    }
    if !query.is_empty() {
        let reference = |name: &&str| json!({ "$ref": format!("#/components/parameters/{name}") });
        described.insert("parameters".to_owned(), query.iter().map(reference).collect());
    }
    described.insert("responses".to_owned(), responses.into());
    described
}
