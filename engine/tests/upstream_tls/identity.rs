//! What upstreams are shown, and that no connection is used for another's sake.

use super::authority::{Issued, Leaf, Usage};
use super::origin::{Origin, Seen};
use super::support::Gateway;
use super::{at, get, serve};
use engine::options::PemPair;
use model::Config;
use model::entities::Certificate;
use serde_json::json;

fn client(authority: &Issued, common_name: &'static str) -> Issued {
    authority.leaf(&Leaf { common_name, usage: Some(Usage::Client), ..Leaf::default() })
}

async fn seen(gateway: &Gateway, name: &str) -> Seen {
    let response = gateway.ask(&get(name)).await;
    assert_eq!(response.status, 200, "{name}");
    Seen::of(response.text())
}

#[tokio::test]
async fn an_upstream_sees_the_certificate_of_the_service_that_asks() {
    let root = Issued::root("root");
    let origin = Origin::start(&root.leaf(&Leaf::default())).await;
    let below = root.intermediate("below", None);
    let (one, two) = (client(&root, "one"), client(&below, "two"));
    let mut config = Config::default();
    for issued in [&one, &two] {
        let shown = issued.shown();
        let name = if std::ptr::eq(issued, &one) { "one" } else { "two" };
        let service = at(name, &origin.url("localhost"));
        serve(&mut config, service.with("client_certificate", json!({ "id": shown.id })).build());
        config.write(shown);
    }
    serve(&mut config, at("none", &origin.url("localhost")).build());
    let gateway = Gateway::start(config).await;
    let mut connections = std::collections::BTreeMap::new();
    for _ in 0..3 {
        for (name, expected, shown) in [("one", "one", 1), ("two", "two", 2), ("none", "-", 0)] {
            let seen = seen(&gateway, name).await;
            assert_eq!((seen.client.as_str(), seen.shown), (expected, shown));
            assert_eq!((seen.name.as_str(), seen.alpn.as_str()), ("localhost", "http/1.1"));
            assert_eq!(*connections.entry(name).or_insert(seen.connection), seen.connection);
        }
    }
    assert_eq!(connections.len(), 3);
}

#[tokio::test]
async fn services_that_ask_for_the_same_share_connections() {
    let root = Issued::root("root");
    let origin = Origin::start(&root.leaf(&Leaf::default())).await;
    let shown = client(&root, "client").shown();
    let (mut config, authority) = (Config::default(), root.trusted());
    for name in ["one", "two"] {
        let service = at(name, &origin.url("localhost")).with("tls_verify", true);
        let service = service.with("ca_certificates", json!([authority.id]));
        serve(&mut config, service.with("client_certificate", json!({ "id": shown.id })).build());
    }
    let mut deeper = at("deeper", &origin.url("localhost")).with("tls_verify", true);
    deeper = deeper.with("ca_certificates", json!([authority.id])).with("tls_verify_depth", 3);
    serve(&mut config, deeper.with("client_certificate", json!({ "id": shown.id })).build());
    config.write(shown);
    config.write(authority);
    let gateway = Gateway::start(config).await;
    let (one, two) = (seen(&gateway, "one").await, seen(&gateway, "two").await);
    assert_eq!(one, two);
    assert_ne!(seen(&gateway, "deeper").await.connection, one.connection);
}

#[tokio::test]
async fn a_certificate_that_was_changed_is_shown_on_new_connections() {
    let root = Issued::root("root");
    let origin = Origin::start(&root.leaf(&Leaf::default())).await;
    let mut shown = client(&root, "old").shown();
    let mut config = Config::default();
    let service = at("s", &origin.url("localhost"));
    serve(&mut config, service.with("client_certificate", json!({ "id": shown.id })).build());
    config.write(shown.clone());
    let gateway = Gateway::start(config.clone()).await;
    let before = seen(&gateway, "s").await;
    assert_eq!(before.client, "old");

    // The service is the same, and so is the id it names.
    let new = client(&root, "new");
    (shown.cert, shown.key) = (new.pem().parse().unwrap(), new.key_pem().parse().unwrap());
    config.write(shown.clone());
    gateway.apply(2, config.clone()).await;
    let after = seen(&gateway, "s").await;
    assert_eq!(after.client, "new");
    assert_ne!(before.connection, after.connection);

    // What changes nothing of the connection leaves it be.
    config.write(Certificate { updated_at: model::value::Timestamp::from_seconds(9), ..shown });
    gateway.apply(3, config).await;
    assert_eq!(seen(&gateway, "s").await, after);
}

#[tokio::test]
async fn a_service_without_a_certificate_shows_that_of_the_gateway() {
    let root = Issued::root("root");
    let origin = Origin::start(&root.leaf(&Leaf::default())).await;
    let (own, common) = (client(&root, "own"), client(&root, "common"));
    let shown = own.shown();
    let mut config = Config::default();
    serve(&mut config, at("plain", &origin.url("localhost")).build());
    let service = at("own", &origin.url("localhost"));
    serve(&mut config, service.with("client_certificate", json!({ "id": shown.id })).build());
    config.write(shown);
    let gateway = Gateway::with(config, 1, |options| {
        let pair = PemPair { cert: common.pem(), key: common.key_pem() };
        options.upstream_tls.certificate = Some(pair);
    })
    .await;
    for (name, expected) in [("plain", "common"), ("own", "own"), ("plain", "common")] {
        assert_eq!(seen(&gateway, name).await.client, expected);
    }
}
