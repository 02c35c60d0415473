//! TLS that ends here, that is passed on, and that is spoken with upstreams.

use crate::authority::{Issued, Leaf};
use crate::hello::Hello;
use crate::pem::{Pair, certificate, ec, sni};
use crate::setting::{BACKENDS, Peer, Setting, at, config, loopback, read, rest};
use crate::support::within;
use boring::pkey::PKey;
use boring::ssl::{NameType, SslAcceptor, SslMethod};
use boring::x509::X509;
use engine::options::{StreamBackend, StreamListen};
use model::Config;
use model::entities::{CaCertificate, Certificate, Route, Service, Sni};
use model::testing::{RouteBuilder, route};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn shown(config: &mut Config, pair: &Pair, names: &[&str]) {
    let certificate: Certificate = certificate(pair, None);
    let snis: Vec<Sni> = names.iter().map(|name| sni(name, &certificate)).collect();
    config.write(certificate);
    snis.into_iter().for_each(|sni| drop(config.write(sni)));
}

/// An upstream that speaks TLS, tells whom it was asked for, and then says what it hears.
async fn secure_echo(pair: &Pair) -> SocketAddr {
    let peer = Peer::listen().await;
    let addr = peer.addr;
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_certificate(&X509::from_pem(pair.cert.as_bytes()).unwrap()).unwrap();
    let key = PKey::private_key_from_pem(pair.key.as_bytes()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    let acceptor = Arc::new(acceptor.build());
    tokio::spawn(async move {
        loop {
            let (stream, acceptor) = (peer.accept().await, acceptor.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = tokio_boring::accept(&acceptor, stream).await else { return };
                let name = stream.ssl().servername(NameType::HOST_NAME).unwrap_or("nobody");
                let name = format!("{name}:");
                let _gone = stream.write_all(name.as_bytes()).await;
                let (mut from, mut to) = tokio::io::split(stream);
                let _gone = tokio::io::copy(&mut from, &mut to).await;
                let _gone = to.shutdown().await;
            });
        }
    });
    addr
}

fn for_name(protocol: &str, name: &str) -> RouteBuilder {
    route(name).with("protocols", json!([protocol])).with("snis", json!([name]))
}

async fn with(
    backend: StreamBackend,
    services: impl IntoIterator<Item = Service>,
    routes: impl IntoIterator<Item = Route>,
    certificates: &[(&Pair, &[&str])],
) -> Setting {
    let mut config = config(services, routes);
    certificates.iter().for_each(|(pair, names)| shown(&mut config, pair, names));
    Setting::new(backend, StreamListen::tls(loopback()), config).await
}

/// A handshake, some words both ways, and what is heard until the end.
async fn talk(setting: &Setting, name: &str) -> (String, String) {
    let mut client = Hello::to(name).with(setting.addr).await.unwrap();
    let shown = client.subject();
    let stream = &mut client.0.stream;
    within(stream.write_all(b"hello")).await.unwrap();
    within(stream.shutdown()).await.unwrap();
    let mut heard = String::new();
    within(stream.read_to_string(&mut heard)).await.unwrap();
    (shown, heard)
}

#[tokio::test]
async fn each_name_is_opened_or_passed_on_as_its_route_says() {
    for backend in BACKENDS {
        let (far, here) = (ec("far"), ec("here"));
        let plain = at("tcp", Peer::echo("bye").await).build();
        let inner = at("tls", secure_echo(&far).await).with("host", "localhost").build();
        let passed = at("tcp", inner_addr(&inner)).build();
        let routes = [
            for_name("tls", "open.test").to(&plain).build(),
            for_name("tls", "again.test").to(&inner).build(),
            for_name("tls", "named.test").with("preserve_host", true).to(&inner).build(),
            for_name("tls_passthrough", "passed.test").to(&passed).build(),
            for_name("tls_passthrough", "*.wild.test").with("name", "wild").to(&passed).build(),
        ];
        let names: &[&str] = &["open.test", "again.test", "named.test"];
        let setting =
            Box::pin(with(backend, [plain, inner, passed], routes, &[(&here, names)])).await;
        for (name, shown, heard) in [
            ("open.test", "here", "hellobye"),
            ("OPEN.test", "here", "hellobye"),
            ("again.test", "here", "localhost:hello"),
            ("named.test", "here", "named.test:hello"),
            ("passed.test", "far", "passed.test:hello"),
            ("a.b.wild.test", "far", "a.b.wild.test:hello"),
        ] {
            let told = talk(&setting, name).await;
            assert_eq!((&*told.0, &*told.1), (shown, heard), "{name}");
        }
        setting.logged(6).await;
        assert!(Hello::to("other.test").with(setting.addr).await.is_err());
        assert!(Hello::default().with(setting.addr).await.is_err(), "it names nobody");
        let outcomes = setting.outcomes(8).await;
        assert!(outcomes[..6].iter().all(|line| line.starts_with("TCP 200 ")), "{outcomes:?}");
        assert!(outcomes[6..].iter().all(|line| line.starts_with("TCP 500 0 ")), "{outcomes:?}");
        let stats = setting.gateway.handle.stats().streams[0].clone();
        assert_eq!((stats.handshakes, stats.handshakes_failed), (4, 0));
    }
}

fn inner_addr(service: &Service) -> SocketAddr {
    ([127, 0, 0, 1], service.port).into()
}

#[tokio::test]
async fn nothing_is_agreed_on_about_what_is_spoken_inside() {
    for backend in BACKENDS {
        let here = ec("here");
        let service = at("tcp", Peer::echo("").await).build();
        let routes = [for_name("tls", "a.test").to(&service).build()];
        let setting = with(backend, [service], routes, &[(&here, &["a.test"])]).await;
        let hello = Hello { alpn: b"\x02h2\x08http/1.1", ..Hello::to("a.test") };
        let client = hello.with(setting.addr).await.unwrap();
        assert_eq!(client.alpn(), None);
    }
}

/// Enough to fill every buffer on the way, opened and closed again.
#[tokio::test]
async fn much_arrives_whole_through_tls_on_both_sides() {
    const MUCH: usize = 6 * 1024 * 1024;
    for backend in BACKENDS {
        let (far, here) = (ec("far"), ec("here"));
        let service = at("tls", secure_echo(&far).await).build();
        let routes = [for_name("tls", "a.test").to(&service).build()];
        let setting = with(backend, [service], routes, &[(&here, &["a.test"])]).await;
        let client = Hello::to("a.test").with(setting.addr).await.unwrap();
        let (mut from, mut to) = tokio::io::split(client.0.stream);
        let sending = tokio::spawn(async move {
            let mut sent = 0_usize;
            while sent < MUCH {
                let chunk: Vec<u8> = (sent..sent + 65_536).map(|at| (at / 7) as u8).collect();
                to.write_all(&chunk).await.unwrap();
                sent += chunk.len();
            }
            to.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        within(from.read_to_end(&mut received)).await.unwrap();
        sending.await.unwrap();
        let received = received.strip_prefix(b"nobody:").expect("an address is not asked for");
        assert_eq!(received.len(), MUCH);
        assert!(received.iter().zip(0_usize..).all(|(byte, at)| *byte == (at / 7) as u8));
    }
}

#[tokio::test]
async fn an_upstream_must_show_what_its_service_asks_for() {
    for backend in BACKENDS {
        let (far, here) = (Issued::root("trusted"), ec("here"));
        let leaf = far.leaf(&Leaf::default());
        let addr = secure_echo(&Pair { cert: leaf.pem(), key: leaf.key_pem() }).await;
        let (right, other) = (far.trusted(), Issued::root("other").trusted());
        let verified = |host: &str, trusted: &CaCertificate| {
            let service = at("tls", addr).with("host", host).with("tls_verify", true);
            service.with("ca_certificates", json!([trusted.id])).with("retries", 1).build()
        };
        let services = [
            verified("localhost", &right),
            verified("127.0.0.1", &right),
            verified("localhost", &other),
        ];
        let names = ["right.test", "address.test", "stranger.test"];
        let routes = names.iter().zip(&services);
        let routes: Vec<_> =
            routes.map(|(name, service)| for_name("tls", name).to(service).build()).collect();
        let mut config = config(services, routes);
        shown(&mut config, &here, &names);
        config.write(right);
        config.write(other);
        let setting = Setting::new(backend, StreamListen::tls(loopback()), config).await;
        assert_eq!(talk(&setting, "right.test").await.1, "localhost:hello");
        assert_eq!(talk_whatever(&setting, "address.test").await, "");
        assert_eq!(talk_whatever(&setting, "stranger.test").await, "");
        let outcomes = setting.outcomes(3).await;
        assert!(outcomes[0].starts_with("TCP 200 "), "{outcomes:?}");
        assert!(outcomes[1..].iter().all(|line| line.starts_with("TCP 502 0 ")), "{outcomes:?}");
    }
}

async fn talk_whatever(setting: &Setting, name: &str) -> String {
    let mut client = Hello::to(name).with(setting.addr).await.unwrap();
    let stream = &mut client.0.stream;
    let _refused = within(stream.write_all(b"hello")).await;
    let mut heard = Vec::new();
    let _refused = within(stream.read_to_end(&mut heard)).await;
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn what_is_no_handshake_is_closed_without_a_word() {
    for backend in BACKENDS {
        let setting = with(backend, [], [], &[]).await;
        let many = [b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc".to_vec(), vec![0; 20_000]].concat();
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
            b"\x16\x03\x01\x00\x04\x01\x01\x00\x00",
            b"",
            &many,
        ] {
            let mut client = setting.connect().await;
            let _closed_already = client.write_all(bytes).await;
            let _closed_already = client.shutdown().await;
            assert_eq!(rest(&mut client).await, "");
        }
        let outcomes = setting.outcomes(5).await;
        assert!(outcomes.iter().all(|line| line.starts_with("TCP 400 0 ")), "{outcomes:?}");
    }
}

#[tokio::test]
async fn who_does_not_say_whom_it_wants_is_not_waited_for() {
    for backend in BACKENDS {
        let listen = StreamListen::tls(loopback());
        let hasty = |options: &mut engine::Options| {
            options.streams.preread_timeout = Duration::from_millis(100);
        };
        let setting = Setting::with(backend, listen, Config::default(), 1, hasty).await;
        let mut client = setting.connect().await;
        client.write_all(b"\x16\x03\x01").await.unwrap();
        assert_eq!(rest(&mut client).await, "");
        assert_eq!(setting.outcomes(1).await, ["TCP 400 0 0"]);
    }
}

/// A client that says whom it wants, and nothing more.
#[tokio::test]
async fn who_does_not_finish_its_handshake_is_not_waited_for() {
    let listener = Peer::listen().await;
    tokio::spawn(Hello::to("a.test").with(listener.addr));
    let mut hello = vec![0; 4096];
    let length = within(listener.accept().await.read(&mut hello)).await.unwrap();
    for backend in BACKENDS {
        let service = at("tcp", loopback()).build();
        let route = for_name("tls", "a.test").to(&service).build();
        let (mut config, here) = (config([service], [route]), ec("here"));
        shown(&mut config, &here, &["a.test"]);
        let hasty =
            |options: &mut engine::Options| options.door.head_timeout = Duration::from_millis(200);
        let setting = Setting::with(backend, StreamListen::tls(loopback()), config, 1, hasty).await;
        let mut client = setting.connect().await;
        client.write_all(&hello[..length]).await.unwrap();
        rest(&mut client).await;
        assert_eq!(setting.outcomes(1).await, [format!("TCP 500 0 {length}")]);
    }
}

/// The far side takes nothing, while the near side goes on talking through TLS.
#[tokio::test]
async fn who_takes_nothing_of_what_was_opened_is_closed() {
    for backend in BACKENDS {
        let (peer, here) = (Peer::listen().await, ec("here"));
        let service = at("tcp", peer.addr).with("write_timeout", 300).build();
        let route = for_name("tls", "a.test").to(&service).build();
        let setting = with(backend, [service], [route], &[(&here, &["a.test"])]).await;
        let mut client = Hello::to("a.test").with(setting.addr).await.unwrap();
        let _upstream = peer.accept().await;
        let chunk = vec![0; 1 << 20];
        within(async { while client.0.stream.write_all(&chunk).await.is_ok() {} }).await;
        let line = setting.outcomes(1).await.remove(0);
        assert!(line.starts_with("TCP 200 0 "), "{line}");
    }
}

/// A route for TLS is not for a listener without, nor the other way round.
#[tokio::test]
async fn listeners_have_their_routes() {
    for backend in BACKENDS {
        let addr = Peer::echo("").await;
        let service = at("tcp", addr).build();
        let anywhere = json!([{ "ip": "127.0.0.0/8" }]);
        let both = route("both").with("protocols", json!(["tcp", "tls"]));
        let routes = [
            both.with("sources", anywhere).to(&service).build(),
            for_name("tls_passthrough", "passed.test").to(&service).build(),
        ];
        let config = config([service], routes);
        let here = ec("here");
        let mut all = config.clone();
        shown(&mut all, &here, &["a.test"]);
        let plain = Setting::new(backend, StreamListen::tcp(loopback()), config).await;
        let mut client = plain.connect().await;
        client.write_all(b"hello").await.unwrap();
        read(&mut client, "hello").await;
        let secure = Setting::new(backend, StreamListen::tls(loopback()), all).await;
        assert_eq!(talk(&secure, "a.test").await, ("here".to_owned(), "hello".to_owned()));
    }
}
