//! Documents with all kinds of entities: what they are known by, and what becomes of secrets.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use model::entities::{Acl, BasicAuth, Consumer, Key, KeyAuth, Route, Target, Vault};
use model::value::Timestamp;
use model::{Config, Entity, Terms, declarative};

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

const DOCUMENT: &str = r#"
_format_version: "3.0"
_transform: true
consumers:
- username: my-user
  acls: [{group: a}, {group: b}]
  basicauth_credentials: [{username: bob, password: secret}]
  keyauth_credentials: [{}, {key: mine}]
acls:
- {consumer: my-user, group: c}
upstreams:
- name: u.test
  targets: [{target: "10.0.0.1"}, {target: "a.test:81", weight: 5}]
targets:
- {upstream: u.test, target: "b.test:80"}
key_sets:
- name: ks
  keys: [{kid: k, jwk: '{"kty":"oct","k":"AA","kid":"k"}'}]
vaults:
- {name: env, prefix: my-env, config: {prefix: MY_}}
"#;

fn parse(text: &str) -> Config {
    let parsed = declarative::parse(text, NOW, Terms::default());
    parsed.unwrap_or_else(|error| panic!("{error}")).config
}

fn ids<E: Entity>(config: &Config) -> Vec<String> {
    config.all::<E>().iter().map(|entity| entity.id().to_string()).collect()
}

#[test]
fn what_has_no_name_is_known_by_its_key() {
    let (config, again) = (parse(DOCUMENT), parse(DOCUMENT));
    assert_eq!(ids::<Consumer>(&config), ["4b1b701d-de2b-5588-9aa2-3b97061d9f52"], "as Kong's");
    assert_eq!((ids::<Acl>(&config).len(), ids::<Target>(&config).len()), (3, 3));
    assert_eq!(ids::<Acl>(&config), ids::<Acl>(&again));
    assert_eq!(ids::<Target>(&config), ids::<Target>(&again));
    assert_eq!(ids::<Key>(&config), ids::<Key>(&again));
    assert_eq!(ids::<Vault>(&config), ids::<Vault>(&again));
    assert_eq!(ids::<BasicAuth>(&config), ids::<BasicAuth>(&again));
    assert_ne!(ids::<KeyAuth>(&config), ids::<KeyAuth>(&again), "its key may be made up");
}

#[test]
fn passwords_are_hashed_once() {
    let config = parse(DOCUMENT);
    let kept = |config: &Config| config.all::<BasicAuth>().iter().next().unwrap().password.clone();
    // echo -n secret4b1b701d-de2b-5588-9aa2-3b97061d9f52 | sha1sum
    assert_eq!(kept(&config), "5b6fa7495e0470557f4e20541cf187b707000e71");
    let exported = declarative::export(&config, Terms::default());
    let again = parse(&exported);
    assert_eq!(kept(&again), kept(&config));
    assert_eq!(again.hash(), config.hash(), "{exported}");
}

#[test]
fn twins_are_found_by_what_is_unique_together() {
    let twice = DOCUMENT.replace("{group: b}", "{group: c}");
    let error = declarative::parse(&twice, NOW, Terms::default()).unwrap_err().to_string();
    assert!(error.contains("uniqueness violation: 'acls' entity with"), "{error}");
}

#[test]
fn old_documents_are_read() {
    let text = r#"
_format_version: "1.1"
services:
- name: s
  host: s.test
  routes: [{name: r, paths: ["/a/../b", "/\\d+"]}]
"#;
    let config = parse(text);
    let route = config.all::<Route>().iter().next().unwrap();
    let paths: Vec<_> = route.paths.iter().flatten().map(|path| path.as_str()).collect();
    assert_eq!(paths, ["/b", r"~/\d+"]);
}
