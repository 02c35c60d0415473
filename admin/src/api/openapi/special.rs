//! What operations have in common, and those that are not about entities.

use model::schema::Object;
use serde_json::{Value, json};

use super::Operation;

/// Schemas that belong to no kind of entity.
pub(super) fn schemas() -> Object {
    let text = json!({ "type": "string" });
    let Value::Object(schemas) = json!({
        "page": {
            "type": "object",
            "required": ["data", "next"],
            "properties": {
                "data": { "type": "array" },
                "next": { "type": ["string", "null"], "description": "Where the next page is." },
                "offset": { "type": "string", "description": "There only if another page is." },
            },
        },
        "failure": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": text,
                "code": { "type": "integer", "minimum": 1, "maximum": 21 },
                "name": text,
                "fields": { "type": "object", "description": "What is wrong, in the shape of the body." },
                "options": { "type": "object" },
                "flattened_errors": { "type": "array", "items": { "type": "object" } },
            },
        },
        "message": { "type": "object", "required": ["message"], "properties": { "message": text } },
        "node": {
            "type": "object",
            "required": ["version", "tagline", "hostname", "node_id", "configuration", "plugins"],
            "properties": {
                "version": { "type": "string", "description": "The release of Kong that clients may expect." },
                "gateway_version": text,
                "tagline": text,
                "hostname": text,
                "node_id": { "type": "string", "format": "uuid" },
                "configuration": { "type": "object" },
                "plugins": { "type": "object" },
            },
        },
        "status": {
            "type": "object",
            "required": ["server", "memory"],
            "properties": {
                "server": { "type": "object", "additionalProperties": { "type": "integer" } },
                "memory": { "type": "object" },
                "configuration_hash": { "type": "string", "minLength": 32, "maxLength": 32 },
                "database": {
                    "type": "object",
                    "required": ["reachable"],
                    "properties": { "reachable": { "type": "boolean" } },
                },
            },
        },
    }) else {
        return Object::new();
    };
    schemas
}

/// How any operation may fail.
pub(super) fn responses() -> Value {
    json!({ "failure": {
        "description": "Why not. `code`, `name` and `fields` are there where the request was understood.",
        "content": { "application/json": { "schema": reference("failure") } },
    } })
}

/// What lists are asked for.
pub(super) fn parameters() -> Value {
    json!({
        "size": {
            "name": "size", "in": "query", "description": "How many there are on a page.",
            "schema": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 },
        },
        "offset": {
            "name": "offset", "in": "query", "description": "What the page before said.",
            "schema": { "type": "string" },
        },
        "tags": {
            "name": "tags", "in": "query",
            "description": "Only those with all of these (`a,b`), or with any (`a/b`); five at most.",
            "schema": { "type": "string", "minLength": 1 },
        },
    })
}

/// An operation at a path that is not one of an entity. Of one that is not listed here, all there is to
/// say is that it is there.
pub(super) fn operation(path: &str, method: &str) -> Operation {
    let anything = || json!({ "type": "object" });
    match (method, path) {
        ("get", "/") => Operation::gives(200, reference("node")).called("What this node is"),
        ("get", "/status") => {
            Operation::gives(200, reference("status")).called("How this node fares")
        }
        ("get", "/status/dns") => {
            Operation::gives(501, reference("message")).called("What Kong's newer resolver does")
        }
        ("get", "/openapi.json") => Operation::gives(200, anything()).called("This description"),
        ("get", "/endpoints") => {
            let data = json!({ "type": "array", "items": { "type": "string" } });
            Operation::gives(200, members(&[("data", data)])).called("Every path there is")
        }
        ("get", "/config") => {
            let yaml = json!({ "type": "string", "description": "YAML" });
            Operation::gives(200, members(&[("config", yaml)])).called("The whole configuration")
        }
        ("post", "/config") => Operation::gives(201, anything())
            .takes_schema(anything())
            .called("Replace the whole configuration"),
        ("get", "/clustering/data-planes") => Operation::gives(200, reference("page"))
            .with(&["size", "offset"])
            .called("The data planes of this control plane"),
        ("get", "/schemas/{name}") => {
            let fields = json!({ "type": "array", "items": { "type": "object" } });
            Operation::gives(200, members(&[("fields", fields)])).called("What entities look like")
        }
        ("post", "/schemas/{name}/validate") => Operation::gives(200, reference("message"))
            .takes_schema(anything())
            .called("Whether this looks like an entity"),
        ("get", "/schemas/plugins/{name}" | "/schemas/vaults/{name}") => {
            let fields = json!({ "type": "array", "items": { "type": "object" } });
            let fields = members(&[("fields", fields)]);
            Operation::gives(200, fields).called("What is particular to a type")
        }
        ("post", "/schemas/plugins/validate" | "/schemas/vaults/validate") => {
            Operation::gives(200, reference("message"))
                .takes_schema(anything())
                .called("Whether this looks like an entity")
        }
        ("get", "/plugins/enabled") => {
            let names = json!({ "type": "array", "items": { "type": "string" } });
            let names = members(&[("enabled_plugins", names)]);
            Operation::gives(200, names).called("The types of plugins that may be used")
        }
        ("get", "/plugins/schema/{name}") => {
            Operation::gives(200, anything()).called("What plugins of a type are configured with")
        }
        ("post", "/debug/route") => Operation::gives(200, anything())
            .takes_schema(anything())
            .called("Which route serves a request, and why no other"),
        ("get", "/audit") => {
            Operation::gives(200, anything()).called("How much of the past there is")
        }
        ("get", "/audit/revisions") => Operation::gives(200, reference("page"))
            .with(&["size", "offset"])
            .called("Who made which revision, newest first"),
        ("get", "/audit/revisions/{revision}") => Operation::gives(200, reference("page"))
            .with(&["size", "offset"])
            .called("What a revision changed"),
        ("post", "/audit/revisions/{revision}/restore") => {
            Operation::gives(201, reference("message"))
                .called("Append a revision equal to an old one")
        }
        ("get", _) => Operation::gives(200, json!({})).called(path),
        ("delete", _) => Operation::gives_nothing(204).called(path),
        _ => Operation::gives(200, json!({})).takes_schema(anything()).called(path),
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn members(members: &[(&str, Value)]) -> Value {
    let properties: Object =
        members.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}
