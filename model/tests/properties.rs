//! What holds for any input: paths have one normal form, and what the schema
//! accepts survives JSON and msgpack unchanged.

use std::borrow::Cow;

use model::entities::{Plugin, Route, Service};
use model::schema::{self, Object, Record};
use model::value::Timestamp;
use model::value::path::normal_form;
use model::{Config, EntityKind, Flavor, Terms, declarative, testing};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn normal_forms() {
    for (path, expected) in [
        ("/h%65llo", "/hello"),
        ("/a/%2e%2E/b", "/b"),
        ("/foo//bar///", "/foo/bar/"),
        ("/endel%2fst", "/endel%2Fst"),
        ("/a%20b", "/a b"),
        ("/x%25", "/x%25"),
        ("/", "/"),
        ("/.", "/"),
        ("/..", "/"),
        ("/../a", "/a"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a//../b", "/a/b"),
        ("/a/./b/.c/..d", "/a/b/.c/..d"),
        ("/%zz%4", "/%25zz%254"),
        ("/%%32%65%%32%65/a", "/%252e%252e/a"),
        ("/%2%65%2%65/a", "/%252e%252e/a"),
        ("/%2525", "/%2525"),
        ("*", "*"),
    ] {
        assert_eq!(String::from_utf8_lossy(&normal_form(path.as_bytes())), expected, "{path}");
    }
    assert_eq!(normal_form(b"/%ff").as_ref(), b"/\xff");
}

/// Paths made of the pieces that matter.
fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/".to_owned()),
        Just(".".to_owned()),
        Just("..".to_owned()),
        any::<u8>().prop_map(|byte| format!("%{byte:02x}")),
        any::<u8>().prop_map(|byte| format!("%{byte:02X}")),
        Just("%".to_owned()),
        "[a-z:@~é]{1,3}",
    ];
    vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn service() -> impl Strategy<Value = Value> {
    (
        "[a-z][a-z0-9-]{0,8}[a-z0-9]\\.io",
        of("[A-Za-z0-9._~-]{1,12}"),
        of(0..=32767u16),
        any::<u16>(),
        of(1..=2147483646u32),
        of(vec("[a-z é]{1,5}", 0..4)),
        any::<bool>(),
        prop_oneof![Just("http"), Just("https"), Just("tls_passthrough")],
    )
        .prop_map(|(host, name, retries, port, timeout, tags, enabled, protocol)| {
            json!({
                "host": host, "name": name, "retries": retries, "port": port, "enabled": enabled,
                "read_timeout": timeout, "tags": tags, "protocol": protocol,
            })
        })
}

fn route() -> impl Strategy<Value = Value> {
    (
        vec(path().prop_map(|path| normal_text(&path)), 1..4),
        of(vec("[A-Z]{1,7}", 0..4)),
        of(vec("(\\*\\.)?[a-z]{1,5}\\.io(:[1-9][0-9]{0,3})?", 0..3)),
        of(btree_map("x-[a-z]{1,3}", vec("[ -~]{1,5}", 0..3), 0..3)),
        any::<i32>(),
        of(any::<u128>().prop_map(|id| json!({ "id": uuid::Uuid::from_u128(id) }))),
    )
        .prop_map(|(paths, methods, hosts, headers, priority, service)| {
            json!({
                "paths": paths, "methods": methods, "hosts": hosts, "headers": headers,
                "regex_priority": priority, "service": service,
            })
        })
}

/// Configurations of the types there are to test with.
fn plugin() -> impl Strategy<Value = Value> {
    let key_auth = (of(vec("[A-Za-z-]{1,8}", 0..4)), any::<bool>(), of("[ -~é]{1,9}")).prop_map(
        |(names, hides, realm)| {
            let names = names.map_or(json!({}), |names| json!({ "key_names": names }));
            with("key-auth", &names, json!({ "hide_credentials": hides, "realm": realm }))
        },
    );
    let limiting = (1..1000i32, of(1..1000i32), of("[a-z.]{1,9}"), any::<u16>(), any::<bool>())
        .prop_map(|(second, minute, host, port, is_vague)| {
            let redis = json!({ "redis": { "host": host, "port": port } });
            let limits = json!({ "second": f64::from(second) / 4.0, "minute": minute });
            with("rate-limiting", if is_vague { &Value::Null } else { &redis }, limits)
        });
    let log = ("[a-z/]{1,9}", anything()).prop_map(|(path, fields)| {
        with("file-log", &json!({ "custom_fields": fields }), json!({ "path": path }))
    });
    prop_oneof![key_auth, limiting, log]
}

fn with(name: &str, some: &Value, more: Value) -> Value {
    let mut config = more;
    if let (Some(config), Some(some)) = (config.as_object_mut(), some.as_object()) {
        config.extend(some.clone());
    }
    json!({ "name": name, "config": config })
}

/// JSON of any shape, in small.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        ".{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("[a-z ]{0,3}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The normal form as a route may have it: UTF-8 that starts like a prefix, without NUL.
fn normal_text(path: &str) -> String {
    let text = String::from_utf8_lossy(&normal_form(path.as_bytes())).replace('\0', "0");
    String::from_utf8_lossy(&normal_form(text.as_bytes())).into_owned()
}

proptest! {
    #[test]
    fn a_normal_form_is_its_own(path in path()) {
        let normal = normal_form(path.as_bytes()).into_owned();
        prop_assert!(matches!(normal_form(&normal), Cow::Borrowed(_)), "{path}");
        prop_assert!(normal.starts_with(b"/"));
        prop_assert!(!normal.windows(2).any(|pair| pair == b"//"));
    }

    #[test]
    fn nothing_is_allocated_for_what_is_normal(path in ".{0,20}") {
        if let Cow::Owned(normal) = normal_form(format!("/{path}").as_bytes()) {
            prop_assert_ne!(normal, format!("/{path}").into_bytes());
        }
    }

    #[test]
    fn any_bytes_have_a_normal_form(path in vec(any::<u8>(), 0..40)) {
        let path = [b"/", &path[..]].concat();
        let normal = normal_form(&path);
        prop_assert_eq!(normal_form(&normal), normal.clone());
    }

    #[test]
    fn a_listing_by_tags_is_that_of_a_scan(
        writes in vec((0..12u128, of(vec("[a-d]", 0..4))), 0..40),
        tags in vec("[a-e]", 1..4),
        after in of(0..12u128),
    ) {
        let mut config = Config::default();
        for (id, tags) in writes {
            match tags {
                Some(tags) => {
                    let tags = tags.iter().map(|tag| tag.parse().expect("a tag")).collect();
                    let service = testing::service("s").build();
                    let id = Uuid::from_u128(id).into();
                    config.write(Service { id, tags: Some(tags), ..service });
                }
                None => drop(config.delete(EntityKind::Service, Uuid::from_u128(id))),
            }
        }
        let table = config.all::<Service>();
        let after = after.map(|id| Uuid::from_u128(id).into());
        let has = |service: &Service, tag: &String| {
            service.tags.iter().flatten().any(|found| found.as_str() == tag)
        };
        let scan = |wanted: &dyn Fn(&Service) -> bool| {
            table.after(after).filter(|service| wanted(service)).collect::<Vec<_>>()
        };
        let all = scan(&|service| tags.iter().all(|tag| has(service, tag)));
        prop_assert_eq!(table.with_all_tags(&tags, after).collect::<Vec<_>>(), all);
        let any = scan(&|service| tags.iter().any(|tag| has(service, tag)));
        prop_assert_eq!(table.with_any_tag(&tags, after).collect::<Vec<_>>(), any);
    }

    #[test]
    fn services_survive(input in service()) {
        survives::<Service>(&input)?;
    }

    #[test]
    fn routes_survive(input in route()) {
        survives::<Route>(&input)?;
    }

    #[test]
    fn plugins_survive(input in plugin()) {
        survives::<Plugin>(&input)?;
        let mut body = object(&input);
        schema::stamp(Plugin::SCHEMA, testing::terms(), &mut body, Timestamp::from_seconds(1));
        let plugin = schema::check_in::<Plugin>(testing::terms(), Value::Object(body)).expect("accepted");
        let mut config = Config::default();
        config.write(plugin);
        let text = declarative::export(&config, testing::terms());
        let again = declarative::parse(&text, Timestamp::from_seconds(1), testing::terms());
        prop_assert_eq!(again.expect("a configuration").config.hash(), config.hash(), "{}", text);
    }

    #[test]
    fn no_input_panics(host in ".*", path in ".*", tag in ".*", url in ".*", header in ".*") {
        let service = json!({ "host": host, "path": path, "tags": [tag], "url": url });
        let route = json!({ "paths": [path], "hosts": [host], "snis": [host], "headers": { header: [] },
            "sources": [{ "ip": host }] });
        let _ = schema::check_object(Service::SCHEMA, Terms::default(), object(&service));
        for flavor in [Flavor::TraditionalCompatible, Flavor::Expressions] {
            let _ = schema::check_object(Route::SCHEMA, flavor.into(), object(&route));
        }
    }
}

/// Accepted, it comes back from either format as it was, and checks again to itself.
fn survives<E>(input: &Value) -> Result<(), TestCaseError>
where
    E: Record + Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let mut body = object(input);
    let terms = testing::terms();
    schema::stamp(E::SCHEMA, terms, &mut body, Timestamp::from_seconds(1_700_000_000));
    let entity = schema::check_in::<E>(terms, Value::Object(body))
        .map_err(|violations| TestCaseError::fail(violations.to_string()))?;

    let json = Value::Object(schema::to_object(&entity, terms));
    for (name, value) in object(input) {
        // Sets lose repetitions, and records take defaults; everything else is as it was sent.
        prop_assert!(
            json[&name] == value || value.is_array() || value.is_object() && name == "config",
            "{name}: {value} became {}",
            json[&name]
        );
    }
    prop_assert_eq!(&schema::check_in::<E>(terms, json).expect("accepted again"), &entity);

    let bytes = rmp_serde::to_vec_named(&entity).expect("msgpack");
    let back: E = rmp_serde::from_slice(&bytes).expect("readable");
    prop_assert_eq!(&back, &entity);
    prop_assert_eq!(rmp_serde::to_vec_named(&back).expect("msgpack"), bytes);
    Ok(())
}

fn object(value: &Value) -> Object {
    value.as_object().cloned().expect("an object")
}
