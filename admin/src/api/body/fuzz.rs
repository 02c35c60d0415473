//! Bodies made up at random: each is read or refused, and what is read is taken or refused, for a
//! reason that can be told.

use axum::response::IntoResponse as _;
use futures::FutureExt as _;
use model::entities::Visit;
use model::value::Timestamp;
use model::{Config, Entity, EntityKind, testing};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::write::{self, Draft, Refusal};

const NOW: Timestamp = Timestamp::from_seconds(1);

/// Has one created of what a body says.
struct Create(Body);

impl Visit for Create {
    type Output = Result<(), Refusal>;

    fn visit<E: Entity>(self) -> Self::Output {
        let mut config = Config::default();
        config.write(testing::service("s").build());
        let object = self.0.into_object(E::SCHEMA, testing::terms(), &Object::new());
        let mut draft = Draft::new(&mut config, true, testing::terms());
        write::create::<E>(&mut draft, NOW, object).map(drop)
    }
}

/// Reads a body and creates of it what it may be.
fn check(kind: EntityKind, of: &str, bytes: &[u8]) {
    let header = HeaderValue::from_str(of).unwrap();
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, header)]);
    let read = type_of(&headers, Reads::Entity)
        .and_then(|of| Body::parse(of, bytes.to_vec(), Reads::Entity).now_or_never().unwrap());
    let problem = match read {
        Err(problem) => problem,
        Ok(body) => match kind.visit(Create(body)) {
            Ok(()) => return,
            Err(refusal) => refusal.into(),
        },
    };
    let told = format!("{problem:?}");
    let status = problem.into_response().status();
    assert!(status.is_client_error(), "{kind}: {status}, {told}");
}

fn kinds() -> impl Strategy<Value = EntityKind> {
    prop::sample::select(EntityKind::ALL)
}

/// Names that mean something, with what may stand around them, and some that mean nothing.
fn names(kind: EntityKind) -> impl Strategy<Value = String> {
    let known: Vec<_> = kind.schema().fields.iter().map(|field| field.name.to_owned()).collect();
    let known = || prop::sample::select(known.clone());
    let suffix =
        prop::sample::select(&["", "[]", "[1]", "[0]", "[99]", ".id", "[a.b]", ".x.y", "["][..]);
    prop_oneof![
        6 => (known(), suffix.clone(), suffix).prop_map(|(name, one, two)| name + one + two),
        1 => "[a-z.\\[\\]]{0,40}",
        1 => any::<String>(),
    ]
}

fn texts() -> impl Strategy<Value = String> {
    const TELLING: &[&str] = &[
        "",
        "1",
        "-1",
        "1.5",
        "1e400",
        "true",
        "null",
        "s",
        "http",
        "/a",
        "~/(",
        "a.test",
        "[::1]:80",
        "9223372036854775808",
        "redirect",
        "key-auth",
        "{vault://env/a}",
        "\u{0}",
        "{\"a\":[]}",
    ];
    prop_oneof![prop::sample::select(TELLING).prop_map(str::to_owned), any::<String>()]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((texts(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A body in parts, as a client that knows how writes it, and what is left of it.
fn in_parts(parts: Vec<(String, String)>, kept: prop::sample::Index) -> Vec<u8> {
    let part = |(name, text): (String, String)| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    };
    let whole = parts.into_iter().map(part).collect::<String>() + "--x--\r\n";
    let end = if kept.index(4) == 0 { kept.index(whole.len()) } else { whole.len() };
    whole.as_bytes()[..end].to_vec()
}

fn pairs() -> impl Strategy<Value = (EntityKind, Vec<(String, String)>)> {
    kinds().prop_flat_map(|kind| {
        let pairs = prop::collection::vec((names(kind), texts()), 0..8);
        pairs.prop_map(move |pairs| (kind, pairs))
    })
}

proptest! {
    #[test]
    fn any_bytes(
        kind in kinds(),
        of in prop::sample::select(&[
            "application/json", "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x", "multipart/form-data", "text/yaml", "a",
        ][..]),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        check(kind, of, &bytes);
    }

    #[test]
    fn any_form((kind, pairs) in pairs()) {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        check(kind, "application/x-www-form-urlencoded", form.as_bytes());
    }

    #[test]
    fn any_parts((kind, pairs) in pairs(), kept in any::<prop::sample::Index>()) {
        check(kind, "multipart/form-data; boundary=x", &in_parts(pairs, kept));
    }

    #[test]
    fn any_object(
        (kind, members) in kinds().prop_flat_map(|kind| {
            let members = prop::collection::vec((names(kind), values()), 0..8);
            members.prop_map(move |members| (kind, members))
        }),
    ) {
        let object: Object = members.into_iter().collect();
        check(kind, "application/json", json!(object).to_string().as_bytes());
    }
}
