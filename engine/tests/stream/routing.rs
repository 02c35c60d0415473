//! Which route a stream takes.

use crate::setting::{BACKENDS, Peer, Setting, at, config, loopback, over, rest};
use engine::Options;
use engine::options::StreamListen;
use model::testing::route;
use model::{Config, Flavor};
use serde_json::json;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

/// Who answers a client that connects from here.
async fn from(setting: &Setting, source: SocketAddr) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(source).unwrap();
    let mut client = socket.connect(setting.addr).await.unwrap();
    client.shutdown().await.unwrap();
    rest(&mut client).await
}

#[tokio::test]
async fn by_where_it_comes_from_and_where_it_goes() {
    for backend in BACKENDS {
        let [a, b, c] = [Peer::echo("a").await, Peer::echo("b").await, Peer::echo("c").await];
        let setting = Setting::new(backend, StreamListen::tcp(loopback()), Config::default()).await;
        let port = setting.addr.port();
        let [to_a, to_b, to_c] = [a, b, c].map(|addr| at("tcp", addr).build());
        let tcp = |name: &str| route(name).with("protocols", json!(["tcp"]));
        let routes = [
            tcp("a").with("sources", json!([{ "ip": "127.0.0.2" }])).to(&to_a).build(),
            tcp("b").with("sources", json!([{ "ip": "127.0.0.3" }])).to(&to_b).build(),
            tcp("c")
                .with("sources", json!([{ "ip": "127.0.0.3" }]))
                .with("destinations", json!([{ "port": port }]))
                .to(&to_c)
                .build(),
            tcp("d").with("destinations", json!([{ "port": port ^ 1 }])).to(&to_c).build(),
        ];
        setting.gateway.apply(2, config([to_a, to_b, to_c], routes)).await;
        assert_eq!(from(&setting, ([127, 0, 0, 2], 0).into()).await, "a");
        assert_eq!(from(&setting, ([127, 0, 0, 3], 0).into()).await, "c", "both ends say more");
        assert_eq!(from(&setting, ([127, 0, 0, 4], 0).into()).await, "");
    }
}

#[tokio::test]
async fn behind_a_port_mapping_by_the_port_that_clients_know() {
    for backend in BACKENDS {
        let addr = Peer::echo("a").await;
        let service = at("tcp", addr).build();
        let public = route("r").with("protocols", json!(["tcp"]));
        let public = public.with("destinations", json!([{ "port": 443 }])).to(&service).build();
        // A free port, which whoever binds to it next may get.
        let free = std::net::TcpListener::bind(loopback()).unwrap().local_addr().unwrap();
        let mapped = |options: &mut Options| options.public_ports = [(free.port(), 443)].into();
        let config = config([service], [public]);
        let setting = Setting::with(backend, StreamListen::tcp(free), config, 1, mapped).await;
        assert_eq!(from(&setting, loopback()).await, "a");
    }
}

#[tokio::test]
async fn by_expression() {
    for backend in BACKENDS {
        let [a, b] = [Peer::echo("a").await, Peer::echo("b").await];
        let [to_a, to_b] = [a, b].map(|addr| at("tcp", addr).build());
        let expressed = |name: &str, text: &str, priority: i64| {
            let route = route(name).with("protocols", json!(["tcp"]));
            route.with("expression", text).with("priority", priority)
        };
        let routes = [
            expressed("a", "net.src.ip == 127.0.0.2 && net.src.port > 0", 2).to(&to_a).build(),
            expressed("b", r#"net.protocol == "tcp""#, 1).to(&to_b).build(),
            expressed("none", r#"net.protocol == "udp""#, 9).to(&to_a).build(),
        ];
        let config = config([to_a, to_b], routes);
        let flavor = |options: &mut Options| options.router.router_flavor = Flavor::Expressions;
        let listen = StreamListen::tcp(loopback());
        let setting = Setting::with(backend, listen, config, 1, flavor).await;
        assert_eq!(from(&setting, ([127, 0, 0, 2], 0).into()).await, "a");
        assert_eq!(from(&setting, ([127, 0, 0, 3], 0).into()).await, "b");
    }
}

/// A stream keeps its route, the next one takes the new.
#[tokio::test]
async fn a_change_is_for_those_that_come_then() {
    for backend in BACKENDS {
        let [a, b] = [Peer::echo("a").await, Peer::echo("b").await];
        let to = |addr| {
            let service = at("tcp", addr).build();
            config([service.clone()], [over("tcp").to(&service).build()])
        };
        let setting = Setting::new(backend, StreamListen::tcp(loopback()), to(a)).await;
        let mut before = setting.connect().await;
        before.write_all(b"!").await.unwrap();
        crate::setting::read(&mut before, "!").await;
        setting.gateway.apply(2, to(b)).await;
        let mut after = setting.connect().await;
        for (client, expected) in [(&mut before, "a"), (&mut after, "b")] {
            client.shutdown().await.unwrap();
            assert_eq!(rest(client).await, expected);
        }
        let held = setting.gateway.handle.stats().snapshots;
        assert_eq!(held.oldest, None, "no stream holds a snapshot");
    }
}

#[tokio::test]
async fn a_disabled_service_takes_its_routes_away() {
    for backend in BACKENDS {
        let addr = Peer::echo("a").await;
        let service = at("tcp", addr).with("enabled", false).build();
        let routes = [over("tcp").to(&service).build()];
        let config = config([service], routes);
        let setting = Setting::new(backend, StreamListen::tcp(loopback()), config).await;
        assert_eq!(rest(&mut setting.connect().await).await, "");
        assert_eq!(setting.outcomes(1).await, ["TCP 500 0 0"]);
    }
}
