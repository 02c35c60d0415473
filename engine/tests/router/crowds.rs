//! Very many routes at one path, told apart by headers and methods, added and removed in any
//! order: patched ≡ built from nothing ≡ a linear scan. Names and values are about as long as
//! what is kept in place, and so are paths as a node or a word.

use super::histories::{Scanner, find};
use super::world::{Ask, Headers, Random};
use engine::snapshot::{RouterOptions, Snapshot, compile};
use model::entities::Route;
use model::testing::{revision, route};
use model::{Config, Flavor, Listed};
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

const METHODS: &[&str] = &["GET", "PURGE", "LINK"];
const HOSTS: &[&str] = &["", "a.io", "x.a.io"];
const ENDS: &[&str] = &["", "/", "x", "\0", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "\u{10ffff}"];

/// A text of so many bytes at least.
fn long(number: usize, len: usize) -> String {
    format!("v{number}{}", "abcdefgh".repeat(4).get(..len.saturating_sub(3)).unwrap_or_default())
}

fn some_path(random: &mut Random) -> String {
    match random.below(3) {
        0 => format!("/{}", long(0, random.pick(&[13, 14, 15, 16, 30, 31]))),
        _ => "/".to_owned(),
    }
}

fn some_name(random: &mut Random) -> String {
    long(random.below(60), random.pick(&[1, 1, 16, 17]))
}

fn some_value(random: &mut Random) -> String {
    long(random.below(3), random.pick(&[1, 8, 16, 17]))
}

fn some_route(random: &mut Random, id: Uuid) -> Route {
    let mut built = route(&format!("r{id}")).with("id", id.to_string());
    built = built.with("paths", json!([some_path(random)]));
    if random.one_in(4) {
        built = built.with("methods", json!([random.pick(METHODS)]));
    }
    if random.one_in(6) {
        built = built.with("hosts", json!([random.pick(&["a.io", "*.io"])]));
    }
    if !random.one_in(5) {
        let headers = (0..=random.below(2)).map(|_| {
            let values: Vec<_> = (0..=random.below(2)).map(|_| some_value(random)).collect();
            (some_name(random), json!(values))
        });
        built = built.with("headers", serde_json::Value::Object(headers.collect()));
    }
    built.build()
}

fn some_ask(random: &mut Random) -> Ask {
    let headers = (0..random.below(12)).map(|_| {
        let value = some_value(random);
        (some_name(random), if random.one_in(2) { value.to_uppercase() } else { value })
    });
    Ask {
        headers: Headers(headers.collect()),
        is_https: false,
        method: random.pick(METHODS),
        host: random.pick(HOSTS),
        path: some_path(random) + random.pick(ENDS),
        query: "",
        sni: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patched_is_rebuilt_is_scanned_among_very_many(seed in any::<u64>()) {
        let mut random = Random(seed);
        let options = RouterOptions::default();
        let mut config = Config::default();
        let mut patched = Snapshot::empty_for(options);
        let mut scanner = Scanner::of(Flavor::default());
        for number in 1..=12 {
            // It grows, and then it shrinks until next to nothing is left.
            for id in 1..=250 {
                let id = Uuid::from_u128(id);
                match random.below(16) + if number > 6 { number as usize } else { 0 } {
                    0..4 => drop(config.write(some_route(&mut random, id))),
                    4..8 => {}
                    8..12 if number <= 6 => {}
                    _ => drop(config.delete(Route::KIND, id)),
                }
            }
            let revision = revision(number, config.clone());
            patched = Arc::new(compile(&revision, &patched).expect("a config that can be served"));
            let rebuilt = compile(&revision, &Snapshot::empty_for(options)).expect("the same config");
            for _ in 0..12 {
                let ask = some_ask(&mut random);
                let expected = scanner.find(&config, &ask);
                prop_assert_eq!(find(&patched.routes, &ask), expected, "patched: {:?}", ask);
                prop_assert_eq!(find(&rebuilt.routes, &ask), expected, "rebuilt: {:?}", ask);
            }
        }
    }
}
