//! What `#[derive(Record)]` makes of a struct: its schema, its JSON, its bytes.

use std::collections::BTreeMap;

use model::schema::{self, Kind, Literal, Named, Object, OnDelete, Record, Rule, Typed};
use model::value::{Decimal, Name, Reference, Set, Tag};
use model::{EntityKind, Id, Terms};
use serde_json::{Value, json};
use uuid::Uuid;

/// A thing to test with.
#[derive(Clone, Debug, PartialEq, Record)]
struct Thing {
    /// A name.
    #[field(unique)]
    name: Option<Name>,
    /// A number with bounds of its own.
    #[field(default = 3, between = (1, 9), since = "0.2.0")]
    zeal: u8,
    /// A record inside, all defaults.
    inner: Inner,
    /// One that may be absent.
    other: Option<Inner>,
    /// A pointer.
    #[field(on_delete = "cascade")]
    owner: Option<Reference<Thing>>,
    /// A map.
    labels: Option<BTreeMap<String, Set<Tag>>>,
    /// Anything.
    extra: Value,
    /// A fraction.
    #[field(default = 0.5)]
    ratio: Decimal,
    /// A Rust keyword.
    #[field(default = "a", one_of = ["a", "b"])]
    r#type: String,
}

/// A record in a record.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "inside")]
struct Inner {
    /// Required, so it takes its default.
    #[field(default = 80)]
    port: u16,
    /// Not required: null is a value of its own.
    #[field(default = [1, 2])]
    list: Option<Vec<i64>>,
}

#[test]
fn a_struct_is_a_schema() {
    let schema = Thing::SCHEMA;
    assert_eq!((schema.name, Inner::NAME), ("thing", "inside"));
    assert_eq!(schema.doc, "A thing to test with.");
    let names: Vec<_> = schema.fields.iter().map(|field| field.name).collect();
    let expected = ["name", "zeal", "inner", "other", "owner", "labels", "extra", "ratio", "type"];
    assert_eq!(names, expected);

    let zeal = schema.field("zeal").expect("declared");
    assert_eq!(
        (zeal.required, zeal.default, zeal.since),
        (true, Some(Literal::Integer(3)), "0.2.0")
    );
    assert!(matches!(zeal.all_rules().collect::<Vec<_>>()[..], [Rule::Between(1, 9)]));
    let owner = schema.field("owner").expect("declared");
    assert_eq!(owner.on_delete, OnDelete::Cascade);
    assert!(matches!(owner.kind, Kind::Foreign { entity: "thing" }));
    assert!(matches!(<Thing as Typed>::KIND, Kind::Record(schema) if schema.name == "thing"));
}

#[test]
fn missing_records_take_their_fields_defaults() {
    let inner = Inner { port: 80, list: Some(vec![1, 2]) };
    assert_eq!(checked(json!({})).inner, inner);
    assert_eq!(checked(json!({})).other, None);
    assert_eq!(checked(json!({ "other": {} })).other, Some(inner));
    assert_eq!(checked(json!({ "inner": { "list": null } })).inner.list, None);
}

#[test]
fn violations_nest() {
    let input = json!({ "inner": { "port": null, "prt": 1 }, "other": { "list": [1, "x"] } });
    let violations = schema::check::<Thing>(input).expect_err("violations");
    assert_eq!(
        violations.to_string(),
        "3 schema violations (inner.port: required field missing; inner.prt: unknown field; \
         other.list: {\n  [2] = \"expected an integer\"\n})",
    );
}

#[test]
fn whole_numbers_are_written_whole() {
    let thing = checked(json!({ "ratio": 2.0, "extra": { "a": [1.0, 1.5, 1e300] } }));
    let json = serde_json::to_string(&thing).expect("JSON");
    assert!(json.contains(r#""ratio":2,"#), "{json}");
    assert!(json.contains(r#""extra":{"a":[1,1.5,1e+300]}"#), "{json}");
}

#[test]
fn json_has_every_field_and_binary_no_null_both_in_order() {
    let thing = checked(json!({}));
    assert_eq!(
        serde_json::to_string(&thing).expect("JSON"),
        concat!(
            r#"{"extra":null,"inner":{"list":[1,2],"port":80},"labels":null,"name":null,"#,
            r#""other":null,"owner":null,"ratio":0.5,"type":"a","zeal":3}"#,
        ),
    );
    let expected = [
        &[0x84][..],
        &[0xa5],
        b"inner",
        &[0x82, 0xa4],
        b"list",
        &[0x92, 1, 2, 0xa4],
        b"port",
        &[80, 0xa5],
        b"ratio",
        &[0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0, 0xa4],
        b"type",
        &[0xa1, b'a', 0xa4],
        b"zeal",
        &[3],
    ];
    assert_eq!(packed(&thing), expected.concat());
}

#[test]
fn a_reference_is_an_object_in_json_and_sixteen_bytes_in_binary() {
    let id = Uuid::from_u128(7);
    let thing = checked(json!({ "owner": { "id": id } }));
    assert_eq!(thing.owner, Some(Id::from(id).into()));
    let bytes = packed(&thing);
    let expected = [&b"owner\xc4\x10"[..], id.as_bytes()].concat();
    assert!(bytes.windows(expected.len()).any(|window| window == expected));
    assert_eq!(unpacked(&bytes), thing);
}

#[test]
fn what_another_version_wrote_can_be_read() {
    let newer = json!({ "zeal": null, "colour": "red", "inner": { "list": null, "depth": [7] } });
    let thing = unpacked(&rmp_serde::to_vec_named(&newer).expect("msgpack"));
    // Null or missing where the type has no null is the default; where it has, null.
    assert_eq!((thing.zeal, thing.inner.port), (3, 80));
    assert_eq!((thing.inner.list, thing.name), (None, None));

    let broken = rmp_serde::to_vec_named(&json!({ "name": "a b" })).expect("msgpack");
    let error = rmp_serde::from_slice::<Thing>(&broken).expect_err("not a name");
    assert!(error.to_string().contains("invalid value 'a b'"), "{error}");
}

#[test]
fn unique_values_and_references_are_visited() {
    let thing = checked(json!({ "name": "x", "owner": { "id": Uuid::from_u128(7) } }));
    let mut found = Vec::new();
    thing.visit_unique(&mut |field, text| found.push(format!("{field} = {text}")));
    thing.visit_references(&mut |field, id| found.push(format!("{field} → {}", id.as_u128())));
    assert_eq!(found, ["name = x", "owner → 7"]);
}

#[test]
fn patches_merge_records_and_replace_the_rest() {
    let merged = schema::merge(
        Thing::SCHEMA,
        Terms::default(),
        object(
            json!({ "inner": { "port": 1, "list": [1] }, "other": null, "labels": { "a": ["x"] }, "zeal": 4 }),
        ),
        object(
            json!({ "inner": { "list": [2] }, "other": { "port": 2 }, "labels": { "b": [] }, "zeal": null }),
        ),
    );
    let expected = json!({ "inner": { "port": 1, "list": [2] }, "other": { "port": 2 }, "labels": { "b": [] }, "zeal": null });
    assert_eq!(Value::Object(merged), expected);
}

/// Every declaration in the tree makes sense.
#[test]
fn the_entities_are_declared_soundly() {
    for kind in EntityKind::ALL {
        let schema = kind.schema();
        assert_eq!(schema.name, kind.name());
        for field in schema.fields {
            let name = format!("{}.{}", schema.name, field.name);
            let refusal = field.all_rules().find_map(|rule| rule.test(&field.absent()).err());
            assert_eq!(refusal, None, "the default of {name}");
            assert!(
                !field.unique || matches!(field.kind, Kind::String),
                "{name} is unique but no text"
            );
        }
    }
}

#[track_caller]
fn checked(input: Value) -> Thing {
    schema::check(input).unwrap_or_else(|violations| panic!("{violations}"))
}

fn packed(thing: &Thing) -> Vec<u8> {
    rmp_serde::to_vec_named(thing).expect("msgpack")
}

fn unpacked(bytes: &[u8]) -> Thing {
    rmp_serde::from_slice(bytes).expect("a thing")
}

fn object(value: Value) -> Object {
    value.as_object().cloned().expect("an object")
}
