//! Documents with all kinds of entities: what they are known by, and what becomes of secrets.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use model::entities::{
    Acl, BasicAuth, Consumer, Key, KeyAuth, Plugin, Route, Service, Target, Vault,
};
use model::value::Timestamp;
use model::{Config, Entity, declarative, testing};

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
    let parsed = declarative::parse(text, NOW, testing::terms());
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
    let exported = declarative::export(&config, testing::terms());
    let again = parse(&exported);
    assert_eq!(kept(&again), kept(&config));
    assert_eq!(again.hash(), config.hash(), "{exported}");
}

#[test]
fn twins_are_found_by_what_is_unique_together() {
    let twice = DOCUMENT.replace("{group: b}", "{group: c}");
    let error = declarative::parse(&twice, NOW, testing::terms()).unwrap_err().to_string();
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

const PLUGINS: &str = r#"
_format_version: "3.0"
plugins:
- name: cors
- {name: rate-limiting, service: s, consumer: c, config: {minute: 5, redis: {port: 7000}}}
services:
- name: s
  host: s.test
  plugins: [{name: key-auth, _comment: who is it}]
  routes:
  - {name: r, paths: [/], plugins: [{name: cors, instance_name: pages, config: {origins: [a.test]}}]}
consumers:
- username: c
  plugins: [{name: request-termination, enabled: false, service: s}]
"#;

#[test]
fn plugins_stand_alone_or_in_what_they_are_for() {
    let config = parse(PLUGINS);
    let of = |name: &str| -> Vec<&Plugin> {
        config.all::<Plugin>().iter().filter(|plugin| plugin.name == name).collect()
    };
    let id = |plugin: &Plugin| plugin.id.to_string();
    let service = config.all::<Service>().by_endpoint_key("s").unwrap().id;
    let consumer = config.all::<Consumer>().by_endpoint_key("c").unwrap().id;

    // As Kong's: v5 of `plugins:*:<name>:<route>:<service>:<consumer>`, each as it was written.
    assert_eq!(id(of("key-auth")[0]), "a9d11628-ce50-5f63-9767-909c411edf06");
    assert_eq!(of("key-auth")[0].service.unwrap().id, service);
    let limiting = of("rate-limiting")[0];
    assert_eq!(id(limiting), "a3a068db-2e70-53d7-a3ca-57b0b9d522b7");
    assert_eq!(limiting.service.unwrap().id, service);
    assert_eq!(limiting.consumer.unwrap().id, consumer);
    let global = of("cors").into_iter().find(|plugin| plugin.route.is_none()).unwrap();
    assert_eq!(id(global), "48ee727e-8b90-5faa-bda1-a3c6bc3c9daa");
    let terminating = of("request-termination")[0];
    assert!(
        !terminating.enabled && terminating.consumer.is_some() && terminating.service.is_some()
    );

    let read: testing::plugins::RateLimiting = limiting.config.read().unwrap();
    assert_eq!((read.redis.port, read.redis.timeout, read.second), (7000, 2000, None));
    assert!(limiting.config.contains_key("second"), "what is not set is null");
    let pages = config.all::<Plugin>().by_endpoint_key("pages").unwrap();
    assert_eq!(pages.config["origins"], serde_json::json!(["a.test"]));

    let exported = declarative::export(&config, testing::terms());
    assert_eq!(parse(&exported).hash(), config.hash(), "{exported}");
}

#[test]
fn what_is_wrong_with_plugins_is_told_of_each() {
    let text = r#"
_format_version: "3.0"
plugins: [{name: nope}, {name: cors}, {name: cors, enabled: false}]
services:
- name: s
  host: s.test
  plugins:
  - {name: key-auth, tags: [t], config: {hide_credentials: x, key_names: [a b]}}
  - {name: rate-limiting}
  - {name: key-auth, consumer: c}
consumers: [{username: c}]
"#;
    let document = declarative::read(text).unwrap();
    let found = declarative::load(document.clone(), NOW, testing::terms()).unwrap_err();
    let flattened = declarative::flatten(&document, &found);
    assert!(flattened.rest.is_empty(), "{:?}", flattened.rest);
    let told = |name: &str| -> Vec<String> {
        let of = flattened.entities.iter().filter(|entity| entity["entity"]["name"] == name);
        let errors = of.flat_map(|entity| entity["errors"].as_array().unwrap());
        errors.map(|error| format!("{}: {}", error["field"], error["message"])).collect()
    };
    assert_eq!(
        told("nope"),
        [r#""name": "plugin 'nope' not enabled; add it to the 'plugins' configuration property""#]
    );
    assert_eq!(
        told("cors"),
        [concat!(
            r#"null: "uniqueness violation: 'plugins' entity with primary key set to "#,
            r#"'48ee727e-8b90-5faa-bda1-a3c6bc3c9daa' already declared""#
        )]
    );
    let of_key_auth = told("key-auth");
    assert_eq!(of_key_auth.len(), 3, "{of_key_auth:?}");
    assert_eq!(of_key_auth[0], r#""config.hide_credentials": "expected a boolean""#);
    assert!(of_key_auth[1].starts_with(r#""config.key_names.1": "bad header name 'a b'"#));
    assert_eq!(of_key_auth[2], r#""consumer": "value must be null""#);
    assert_eq!(
        told("rate-limiting"),
        [
            r#"null: "at least one of these fields must be non-empty: 'config.second', 'config.minute'""#
        ]
    );
    let service = flattened.entities.iter().find(|entity| entity["entity"]["name"] == "key-auth");
    let service = &service.unwrap()["entity"]["service"]["id"];
    assert_eq!(service, "b268827a-8f7f-551f-8769-e6bceb2f3ec6");
}
