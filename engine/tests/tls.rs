//! TLS in front, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "tls/hello.rs"]
mod hello;
#[path = "tls/http2.rs"]
mod http2;
#[path = "tls/pem.rs"]
mod pem;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "proxy/support.rs"]
mod support;

use engine::Options;
use engine::options::{Lanes, Listen, PemPair, TlsVersion};
use hello::Hello;
use model::Config;
use model::entities::{Certificate, Sni};
use pem::{Pair, certificate, ec, rsa, sni, weak};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use support::{Act, Client, Gateway, Origin, one, within};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// Those that engines have which nobody tells otherwise.
const LANES: Lanes = Lanes { express: true };
const GET: &str = "GET /r HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Listens for TLS with and without HTTP/2.
fn secure(options: &mut Options) {
    options.listen = vec![Listen::tls(([127, 0, 0, 1], 0).into())];
}

/// Adds certificates and the names they are shown for.
fn shown(mut config: Config, certificates: &[(&Pair, &[&str])]) -> Config {
    for (pair, names) in certificates {
        let certificate: Certificate = certificate(pair, None);
        let snis: Vec<Sni> = names.iter().map(|name| sni(name, &certificate)).collect();
        config.write(certificate);
        snis.into_iter().for_each(|sni| drop(config.write(sni)));
    }
    config
}

/// Who a client that asks for this name is shown.
async fn who(gateway: &Gateway, name: &str) -> String {
    Hello::to(name).with(gateway.addr).await.unwrap().subject()
}

#[tokio::test]
async fn the_closest_name_is_shown() {
    let (exact, left, right, any) = (ec("exact"), ec("left"), ec("right"), ec("any"));
    let config = shown(
        Config::default(),
        &[
            (&exact, &["a.b.c", "UPPER.test"]),
            (&left, &["*.b.c", "*.c"]),
            (&right, &["a.b.*"]),
            (&any, &["*"]),
        ],
    );
    let gateway = Gateway::with(config, 1, secure).await;
    for (name, expected) in [
        ("a.b.c", "exact"),
        ("A.B.C", "exact"),
        ("upper.TEST", "exact"),
        ("x.b.c", "left"),
        ("b.c", "left"),
        ("x.y.b.c", "any"),
        ("a.b.x", "right"),
        ("other.test", "any"),
        ("single", "any"),
    ] {
        assert_eq!(who(&gateway, name).await, expected, "{name}");
    }
    let nameless = Hello::default().with(gateway.addr).await.unwrap();
    assert_eq!(nameless.subject(), "localhost", "the default, not `*`");
}

#[tokio::test]
async fn a_changed_certificate_is_shown_from_the_next_handshake_on() {
    let origin = Origin::plain().await;
    let base = one(&origin.url("/"), |r| r.path("/r"));
    let config = shown(base.clone(), &[(&ec("old"), &["a.test"])]);
    let gateway = Gateway::with(config, 2, secure).await;
    let mut before = Hello::to("a.test").with(gateway.addr).await.unwrap();
    assert_eq!(before.subject(), "old");

    gateway.apply(2, shown(base.clone(), &[(&ec("new"), &["a.test"])])).await;
    for _ in 0..8 {
        assert_eq!(who(&gateway, "a.test").await, "new");
    }
    assert_eq!(before.ask(GET).await.status, 200, "connections go on");

    gateway.apply(3, base).await;
    assert_eq!(who(&gateway, "a.test").await, "localhost");
}

#[tokio::test]
async fn names_and_certificates_change_apart() {
    let (mut one, two) = (certificate(&ec("one"), None), certificate(&ec("two"), None));
    let mut name = sni("a.test", &one);
    let mut config = Config::default();
    config.write(one.clone());
    config.write(two.clone());
    config.write(name.clone());
    let gateway = Gateway::with(config.clone(), 1, secure).await;
    assert_eq!(who(&gateway, "a.test").await, "one");

    name.certificate = two.id.into();
    config.write(name.clone());
    gateway.apply(2, config.clone()).await;
    assert_eq!(who(&gateway, "a.test").await, "two", "given to another");

    name.certificate = one.id.into();
    name.name = "*.b.test".parse().unwrap();
    config.write(name.clone());
    gateway.apply(3, config.clone()).await;
    assert_eq!(who(&gateway, "a.test").await, "localhost", "renamed");
    assert_eq!(who(&gateway, "a.b.test").await, "one");

    let Pair { cert, key } = ec("three");
    (one.cert, one.key) = (cert.parse().unwrap(), key.parse().unwrap());
    config.write(one);
    gateway.apply(4, config.clone()).await;
    assert_eq!(who(&gateway, "a.b.test").await, "three", "renewed under its id");

    // Names that differ in case only are two; that with the lowest id counts, however they came.
    let shouted = sni("*.B.TEST", &two);
    let expected = if shouted.id < name.id { "two" } else { "three" };
    let shouted_id = shouted.id;
    config.write(shouted);
    gateway.apply(5, config.clone()).await;
    assert_eq!(who(&gateway, "a.b.test").await, expected);
    config.remove::<Sni>(name.id);
    gateway.apply(6, config.clone()).await;
    assert_eq!(who(&gateway, "a.b.test").await, "two");
    config.remove::<Sni>(shouted_id);
    gateway.apply(7, config).await;
    assert_eq!(who(&gateway, "a.b.test").await, "localhost");
}

#[tokio::test]
async fn clients_are_shown_the_key_they_understand() {
    let mut config = Config::default();
    let both = certificate(&rsa("rsa"), Some(&ec("curve")));
    let name = sni("a.test", &both);
    config.write(both);
    config.write(name);
    let gateway = Gateway::with(config, 1, secure).await;
    for (signs, newest, expected) in [
        (None, TlsVersion::V1_3, "curve"),
        (None, TlsVersion::V1_2, "curve"),
        (Some("rsa_pss_rsae_sha256:rsa_pkcs1_sha256"), TlsVersion::V1_3, "rsa"),
        (Some("rsa_pss_rsae_sha256:rsa_pkcs1_sha256"), TlsVersion::V1_2, "rsa"),
        (Some("ecdsa_secp256r1_sha256"), TlsVersion::V1_3, "curve"),
    ] {
        let hello = Hello { signs, newest: Some(newest), ..Hello::to("a.test") };
        let shown = hello.with(gateway.addr).await.unwrap().subject();
        assert_eq!(shown, expected, "{signs:?} {newest:?}");
    }
}

#[tokio::test]
async fn the_operators_default_is_shown_where_nothing_else_is() {
    let Pair { cert, key } = ec("ours");
    let gateway = Gateway::with(Config::default(), 1, |options| {
        secure(options);
        options.tls.certificates = vec![PemPair { cert, key }];
    })
    .await;
    assert_eq!(who(&gateway, "a.test").await, "ours");

    let mut broken = Options::default();
    secure(&mut broken);
    broken.tls.certificates = vec![PemPair { cert: ec("a").cert, key: ec("b").key }];
    let (_revisions, followed) = tokio::sync::watch::channel(model::Revision::empty());
    let refused = engine::Engine::start(broken, followed).map(drop).unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("certificate does not match key"), "{why}");
}

#[tokio::test]
async fn a_certificate_in_a_vault_is_shown_to_nobody() {
    let mut inside = certificate(&ec("inside"), None);
    let sni = sni("a.test", &inside);
    let mut config = shown(Config::default(), &[(&ec("any"), &["*"])]);
    config.write(inside.clone());
    config.write(sni);
    let judge = engine::judge(engine::RouterOptions::default());
    judge.rehearse(&config).unwrap();

    inside.key = "{vault://env/key}".parse().unwrap();
    config.write(inside.clone());
    judge.rehearse(&config).unwrap();
    let gateway = Gateway::with(config.clone(), 1, secure).await;
    assert_eq!(who(&gateway, "a.test").await, "any");

    // Whoever would have to show it cannot be served.
    let service = json!({ "id": inside.id });
    let service =
        model::testing::service("s").url("https://up.test/").with("client_certificate", service);
    config.write(service.build());
    let problems = judge.rehearse(&config).unwrap_err();
    assert_eq!(problems[0].field.as_deref(), Some("client_certificate"));
}

#[test]
fn both_halves_of_a_key_belong_together() {
    let [one, other] = ["one", "other"].map(ec);
    let public = |pair: &Pair| {
        let key = boring::pkey::PKey::private_key_from_pem(pair.key.as_bytes()).unwrap();
        String::from_utf8(key.public_key_to_pem().unwrap()).unwrap()
    };
    let judge = engine::judge(engine::RouterOptions::default());
    let judged = |pem: Value| {
        let key = json!({
            "id": uuid::Uuid::new_v4(), "kid": "k", "pem": pem, "created_at": 1, "updated_at": 1,
        });
        let mut config = Config::default();
        config.write(model::schema::check::<model::entities::Key>(key).unwrap());
        judge.rehearse(&config).map_err(|problems| {
            assert_eq!(problems[0].field.as_deref(), Some("pem"));
            problems[0].message.clone()
        })
    };
    let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (pem, expected) in [
        (json!({ "private_key": one.key, "public_key": public(&one) }), None),
        (json!({ "private_key": one.key }), None),
        (json!({ "private_key": "{vault://env/k}", "public_key": public(&one) }), None),
        (json!({ "private_key": garbage }), Some("could not load private key")),
        (
            json!({ "private_key": one.key, "public_key": public(&other) }),
            Some("public key does not match private key"),
        ),
    ] {
        assert_eq!(judged(pem).err().as_deref(), expected);
    }
}

#[tokio::test]
async fn a_key_that_does_not_match_is_refused_with_its_revision() {
    let mixed = Pair { cert: ec("a").cert, key: ec("b").key };
    let judge = engine::judge(engine::RouterOptions::default());
    let problems = judge.rehearse(&shown(Config::default(), &[(&mixed, &[])])).unwrap_err();
    assert_eq!(problems[0].message, "certificate does not match key");
    assert_eq!(problems[0].field, None);
    let garbage = Pair {
        key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned(),
        ..ec("a")
    };
    let problems = judge.rehearse(&shown(Config::default(), &[(&garbage, &[])])).unwrap_err();
    assert_eq!(problems[0].field.as_deref(), Some("key"));
    assert!(problems[0].message.starts_with("invalid key: "), "{}", problems[0].message);
    // One that fits and still could not be shown to anyone.
    let problems = judge.rehearse(&shown(Config::default(), &[(&weak("a"), &[])])).unwrap_err();
    let says = "an RSA key of 512 bits cannot sign a handshake; take one of 2048 or more";
    assert_eq!(problems[0].message, says);
}

#[tokio::test]
async fn requests_are_served_as_without_tls() {
    let origin = Origin::plain().await;
    let config = one(&origin.url("/base"), |r| r.path("/r"));
    let gateway = Gateway::with(config, 1, |options| {
        secure(options);
        options.listen.push(Listen::plain(([127, 0, 0, 1], 0).into()));
    })
    .await;
    let request = "POST /r/x?a=1 HTTP/1.1\r\nHost: A.test:81\r\nContent-Length: 2\r\n\r\nhi";
    let mut tls = Hello::to("a.test").with(gateway.addr).await.unwrap();
    let mut plain = Client::connect(gateway.handle.addresses()[1]).await;
    for _ in 0..3 {
        let (over_tls, over_plain) = (tls.ask(request).await, plain.ask(request).await);
        assert_eq!(names(&over_tls.fields), names(&over_plain.fields));
        assert_eq!((over_tls.status, over_tls.text()), (200, "hello"));
        let [secure, clear] = [origin.seen().len() - 2, origin.seen().len() - 1];
        let (secure, clear) = (&origin.seen()[secure], &origin.seen()[clear]);
        assert_eq!((&secure.line, &secure.body), (&clear.line, &clear.body));
        assert_eq!(names(&secure.fields), names(&clear.fields));
        assert_eq!(secure.one("X-Forwarded-Proto"), Some("https"));
        assert_eq!(clear.one("X-Forwarded-Proto"), Some("http"));
    }
    // Pipelined, refused, and closed properly.
    tls.send(&format!("{GET}{GET}GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
        .await;
    for status in [200, 200, 404] {
        assert_eq!(tls.response().await.status, status);
    }
    assert!(tls.is_closed().await);
    let mut bad = Hello::to("a.test").with(gateway.addr).await.unwrap();
    assert_eq!(bad.ask("GET /r HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await.status, 400);
}

fn names(fields: &[(String, String)]) -> Vec<String> {
    fields.iter().map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn routes_match_the_scheme_and_the_server_name() {
    let origin = Origin::plain().await;
    let config = one(&origin.url("/"), |r| {
        r.path("/r").with("protocols", json!(["https"])).with("snis", json!(["a.test"]))
    });
    let gateway = Gateway::with(config, 1, |options| {
        secure(options);
        options.listen.push(Listen::plain(([127, 0, 0, 1], 0).into()));
    })
    .await;
    let asked =
        async |name: &str| Hello::to(name).with(gateway.addr).await.unwrap().ask(GET).await.status;
    assert_eq!(asked("a.test").await, 200);
    assert_eq!(asked("A.Test").await, 200);
    assert_eq!(asked("b.test").await, 404);
    let mut plain = Client::connect(gateway.handle.addresses()[1]).await;
    assert_eq!(plain.ask(GET).await.status, 426);
}

#[tokio::test]
async fn a_request_without_tls_is_told_so() {
    let gateway = Gateway::with(Config::default(), 1, secure).await;
    let mut client = gateway.connect().await;
    let response = client.ask(GET).await;
    assert_eq!(response.status, 400);
    assert_eq!(response.one("Connection"), Some("close"));
    assert!(response.text().starts_with("Bad request\nrequest_id: "), "{}", response.text());
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_stalled_handshake_is_given_up_and_counted() {
    let gateway = Gateway::with(Config::default(), 1, |options| {
        secure(options);
        options.door.head_timeout = Duration::from_millis(300);
    })
    .await;
    // Nothing at all, half a record, and no TLS.
    for said in [&b""[..], &[22, 3, 1, 0, 200, 1, 0], &[0xff; 300]] {
        let mut client = gateway.connect().await;
        client.send(said).await;
        let mut rest = Vec::new();
        let _reset_or_end = within(client.0.stream.read_to_end(&mut rest)).await;
    }
    within(async {
        while gateway.handle.stats().handshakes_failed() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(who(&gateway, "a.test").await, "localhost", "others are served");
}

#[tokio::test]
async fn many_stalled_handshakes_keep_nobody_waiting() {
    let origin = Origin::plain().await;
    let gateway = Gateway::with(one(&origin.url("/"), |r| r.path("/r")), 1, secure).await;
    let mut stalled = Vec::new();
    for _ in 0..200 {
        let mut client = gateway.connect().await;
        client.send([22, 3, 1, 0, 200, 1, 0]).await;
        stalled.push(client);
    }
    let mut client = Hello::to("a.test").with(gateway.addr).await.unwrap();
    assert_eq!(client.ask(GET).await.status, 200);
    drop(stalled);
}

#[tokio::test]
async fn versions_are_those_of_the_options() {
    let gateway = Gateway::with(Config::default(), 1, |options| {
        secure(options);
        options.tls.oldest = TlsVersion::V1_3;
    })
    .await;
    let old = Hello { newest: Some(TlsVersion::V1_2), ..Hello::to("a.test") };
    assert!(old.with(gateway.addr).await.is_err());
    assert!(Hello::to("a.test").with(gateway.addr).await.is_ok());
}

#[tokio::test]
async fn an_upgrade_goes_through() {
    let origin = Origin::start(|_| {
        Act::Echo(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec())
    })
    .await;
    let gateway = Gateway::with(one(&origin.url("/"), |r| r.path("/r")), 1, secure).await;
    let mut client = Hello::to("a.test").with(gateway.addr).await.unwrap();
    let response = client
        .ask("GET /r HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(response.status, 101);
    client.send("ping").await;
    assert_eq!(within(client.0.take(4)).await.unwrap(), b"ping");
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let origin = Origin::start(|rq| Act::ok(&"b".repeat(rq.body.len()))).await;
    let gateway = Gateway::with(one(&origin.url("/"), |r| r.path("/r")), 1, secure).await;
    let mut client = Hello::to("a.test").with(gateway.addr).await.unwrap();
    let size = 3 << 20;
    let head = format!("POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
    client.send(&format!("{head}{}", "x".repeat(size))).await;
    assert_eq!(client.response().await.body.len(), size);
}

/// A thousand handshakes of an independent client, five of six of them resumed.
#[tokio::test]
async fn sessions_resume_with_any_worker() {
    let gateway = Gateway::with(Config::default(), 2, secure).await;
    const CLIENTS: usize = 167;
    let mut clients = tokio::task::JoinSet::new();
    let (mut new, mut reused) = (0, 0);
    for client in 0..CLIENTS {
        let address = gateway.addr.to_string();
        clients.spawn(async move {
            let mut openssl = Command::new("openssl");
            openssl.args(["s_client", "-tls1_2", "-reconnect", "-connect", &address]);
            openssl.stdin(Stdio::null()).stderr(Stdio::null());
            within(openssl.output()).await.expect("openssl, a client not of ours").stdout
        });
        if clients.len() == 8 || client + 1 == CLIENTS {
            while clients.len() > if client + 1 == CLIENTS { 0 } else { 7 } {
                let said = clients.join_next().await.unwrap().unwrap();
                let said = String::from_utf8_lossy(&said).into_owned();
                new += said.matches("New, TLSv1.2").count();
                reused += said.matches("Reused, TLSv1.2").count();
            }
        }
    }
    assert_eq!((new, reused), (CLIENTS, 5 * CLIENTS));
    let workers = gateway.handle.stats().workers;
    assert!(workers.iter().all(|worker| worker.handshakes > 100), "{workers:?}");
    assert_eq!(workers.iter().map(|worker| worker.handshakes).sum::<u64>(), 6 * CLIENTS as u64);
}
