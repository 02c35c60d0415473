//! Whose certificates are believed.

use super::authority::{Issued, Leaf, Usage, entity};
use super::log::Log;
use super::origin::{Origin, Seen};
use super::support::Gateway;
use super::{at, get, serve};
use engine::options::UpstreamTls;
use engine::snapshot::{Snapshot, compile};
use model::Config;
use model::entities::{CaCertificate, Certificate, Service};
use model::testing::revision;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// An upstream, a service that asks something of it, and what comes of that.
struct Case {
    what: &'static str,
    shown: Issued,
    host: &'static str,
    depth: Option<u16>,
    trusted: Vec<CaCertificate>,
    /// None if it is believed.
    objection: Option<&'static str>,
}

fn case(
    what: &'static str,
    shown: Issued,
    trusted: &[&Issued],
    objection: Option<&'static str>,
) -> Case {
    let trusted = trusted.iter().map(|issued| issued.trusted()).collect();
    Case { what, shown, host: "localhost", depth: None, trusted, objection }
}

impl Case {
    fn host(self, host: &'static str) -> Case {
        Case { host, ..self }
    }

    fn depth(self, depth: u16) -> Case {
        Case { depth: Some(depth), ..self }
    }

    async fn check(self) {
        let log = Log::listen();
        let Case { what, shown, host, depth, trusted, objection } = self;
        let origin = Origin::start(&shown).await;
        let mut config = Config::default();
        let ids: Vec<Value> = trusted.iter().map(|ca| ca.id.to_string().into()).collect();
        trusted.into_iter().for_each(|authority| drop(config.write(authority)));
        let service = at("s", &origin.url(host)).with("tls_verify", true);
        let service = service.with("tls_verify_depth", depth).with("ca_certificates", ids).build();
        let id = service.id.to_string();
        serve(&mut config, service);
        let gateway = Gateway::start(config).await;
        let response = gateway.ask(&get("s")).await;
        let lines = log.with(&id);
        match objection {
            None => assert_eq!(response.status, 200, "{what}: {lines:?}"),
            Some(objection) => {
                assert_eq!(response.status, 502, "{what}");
                let expected = "An invalid response was received from the upstream server";
                assert!(response.text().contains(expected), "{what}: {}", response.text());
                assert!(lines.iter().any(|line| line.contains(objection)), "{what}: {lines:?}");
                assert_eq!(origin.asked.load(Ordering::SeqCst), 0, "{what}: it was sent something");
            }
        }
    }
}

#[tokio::test]
async fn a_chain_must_end_in_an_authority_and_hold() {
    let (root, other) = (Issued::root("root"), Issued::root("other"));
    let leaf = |leaf| root.leaf(&leaf);
    let good = || leaf(Leaf::default());
    let expired = leaf(Leaf { valid: (-3, -1), ..Leaf::default() });
    let early = leaf(Leaf { valid: (1, 3), ..Leaf::default() });
    let for_clients = leaf(Leaf { usage: Some(Usage::Client), ..Leaf::default() });
    let for_anything = leaf(Leaf { usage: None, ..Leaf::default() });
    let own = Issued::self_signed(&Leaf::default());
    for case in [
        case("good", good(), &[&root], None),
        case("one of several authorities", good(), &[&other, &root], None),
        case(
            "another authority",
            good(),
            &[&other],
            Some("`CN=leaf` at depth 0: unable to get local issuer certificate"),
        ),
        case("no authority at all", good(), &[], Some("unable to get local issuer certificate")),
        case("expired", expired, &[&root], Some("`CN=leaf` at depth 0: certificate has expired")),
        case("not yet valid", early, &[&root], Some("certificate is not yet valid")),
        case("for clients only", for_clients, &[&root], Some("`CN=leaf` is not for TLS servers")),
        case("for anything", for_anything, &[&root], None),
        case(
            "an authority of the same name",
            good(),
            &[&Issued::root("root")],
            Some("certificate signature failure"),
        ),
        case("self-signed", own.clone(), &[&root], Some("self signed certificate")),
        case("self-signed, and trusted", own.clone(), &[&own], None),
    ] {
        case.check().await;
    }
}

#[tokio::test]
async fn a_certificate_must_be_for_the_name_that_is_asked_for() {
    let root = Issued::root("root");
    let leaf = |names, addresses| root.leaf(&Leaf { names, addresses, ..Leaf::default() });
    let unnamed = root.leaf(&Leaf { common_name: "localhost", names: &[], ..Leaf::default() });
    let wrong = Some("`CN=leaf` is not for `localhost`");
    for case in [
        case("another name", leaf(&["other.test"], &[]), &[&root], wrong),
        case("an address for a name", leaf(&[], &["127.0.0.1"]), &[&root], wrong),
        case("one of several", leaf(&["a.test", "LOCALHOST"], &[]), &[&root], None),
        case("a common name, as there is no other", unnamed, &[&root], None),
        case("an address", leaf(&[], &["127.0.0.1"]), &[&root], None).host("127.0.0.1"),
        case(
            "another address",
            leaf(&[], &["127.0.0.2"]),
            &[&root],
            Some("is not for `127.0.0.1`"),
        )
        .host("127.0.0.1"),
        case(
            "a name for an address",
            leaf(&["127.0.0.1"], &[]),
            &[&root],
            Some("is not for `127.0.0.1`"),
        )
        .host("127.0.0.1"),
    ] {
        case.check().await;
    }
}

/// Names that another reader could take for the one that is asked for, and names that are just odd.
#[tokio::test]
async fn an_odd_name_is_no_way_in() {
    let root = Issued::root("root");
    let leaf = |names| root.leaf(&Leaf { names, ..Leaf::default() });
    let many: &[&str] = (0..2000).map(|n| &*format!("n{n}.test").leak()).collect::<Vec<_>>().leak();
    let with_ours = [many, &["localhost"]].concat().leak();
    let long = ["a-unit-with-a-name-that-goes-on-and-on"; 300].join(" ");
    let long = Leaf { common_name: long.leak(), names: &["other.test"], ..Leaf::default() };
    let altered = |common_name, names, from, to| {
        Issued::self_signed(&Leaf { common_name, names, ..Leaf::default() }).altered(from, to)
    };
    let ended = altered("leaf", &["localhost#.test"], "localhost#.test", b"localhost\0.test");
    let ended_common = altered("localhost#.test", &[], "localhost#.test", b"localhost\0.test");
    let other_script = altered("leaf", &["loc..host"], "loc..host", "loc\u{e4}host".as_bytes());
    let wrong = Some("is not for `localhost`");
    for case in [
        case("any name", leaf(&["*"]), &[&root], wrong),
        case("a part of a label", leaf(&["local*", "*host", "l*t"]), &[&root], wrong),
        case("a label in the middle", leaf(&["a.*.test"]), &[&root], wrong),
        case("a name that ends early for some", ended.clone(), &[&ended], wrong),
        case("a common name that does", ended_common.clone(), &[&ended_common], wrong),
        case("a name in another script", other_script.clone(), &[&other_script], wrong),
        case("no subject", root.leaf(&Leaf { common_name: "", ..Leaf::default() }), &[&root], None),
        case("one of very many names", leaf(with_ours), &[&root], None),
        case("none of very many names", leaf(many), &[&root], wrong),
        // What the log says of it does not grow with it.
        case("a very long subject", root.leaf(&long), &[&root], Some("…` is not for `localhost`")),
    ] {
        case.check().await;
    }
}

#[tokio::test]
async fn so_many_intermediate_certificates_may_lead_to_an_authority() {
    let root = Issued::root("root");
    let first = root.intermediate("first", None);
    let second = first.intermediate("second", None);
    let (zero, one, two) =
        (root.leaf(&Leaf::default()), first.leaf(&Leaf::default()), second.leaf(&Leaf::default()));
    let deep = |text| Some(text);
    for case in [
        case("none, none allowed", zero.clone(), &[&root], None).depth(0),
        case(
            "one, none allowed",
            one.clone(),
            &[&root],
            deep("1 intermediate certificates lead to `CN=root`, tls_verify_depth is 0"),
        )
        .depth(0),
        case("one, as is usual", one.clone(), &[&root], None),
        case(
            "two, one allowed",
            two.clone(),
            &[&root],
            deep("2 intermediate certificates lead to `CN=root`, tls_verify_depth is 1"),
        ),
        case("two, two allowed", two.clone(), &[&root], None).depth(2),
        case(
            "missing",
            one.clone().alone(),
            &[&root],
            deep("`CN=leaf` at depth 0: unable to get local issuer certificate"),
        ),
        case("missing, but known", one.clone().alone(), &[&root, &first], None),
        case(
            "an intermediate one is no authority",
            one.clone(),
            &[&first],
            deep("`CN=first` at depth 1: unable to get issuer certificate"),
        ),
        case(
            "one that is for clients",
            root.intermediate("sub", Some(Usage::Client)).leaf(&Leaf::default()),
            &[&root],
            deep("`CN=sub` is not for TLS servers"),
        ),
    ] {
        case.check().await;
    }
}

#[tokio::test]
async fn nothing_is_verified_unless_somebody_says_so() {
    let (root, other) = (Issued::root("root"), Issued::root("other"));
    let origin = Origin::start(&root.leaf(&Leaf::default())).await;
    let other = other.trusted();
    for (says, by_default, expected) in
        [(None, false, 200), (None, true, 502), (Some(false), true, 200), (Some(true), false, 502)]
    {
        let mut config = Config::default();
        config.write(other.clone());
        let service = at("s", &origin.url("localhost")).with("tls_verify", says);
        serve(&mut config, service.with("ca_certificates", json!([other.id])).build());
        let change = |options: &mut engine::Options| options.upstream_tls.verify = by_default;
        let gateway = Gateway::with(config, 1, change).await;
        assert_eq!(gateway.ask(&get("s")).await.status, expected, "{says:?}, {by_default}");
    }
}

#[tokio::test]
async fn a_service_that_names_no_authority_trusts_those_of_the_gateway() {
    let (root, other) = (Issued::root("root"), Issued::root("other"));
    let below = root.intermediate("below", None);
    let origin = Origin::start(&below.leaf(&Leaf::default())).await;
    let service = at("s", &origin.url("localhost")).with("tls_verify", true).build();
    for (authorities, verify_depth, expected) in [
        (vec![root.pem()], 1, 200),
        (vec![other.pem() + &root.pem()], 1, 200),
        (vec![other.pem(), root.pem()], 1, 200),
        (vec![root.pem()], 0, 502),
        (vec![other.pem()], 1, 502),
        (vec![], 1, 502),
    ] {
        for system_authorities in [false, true] {
            let mut config = Config::default();
            serve(&mut config, service.clone());
            let authorities = authorities.clone();
            let gateway = Gateway::with(config, 1, |options| {
                let unsaid = UpstreamTls::default();
                options.upstream_tls =
                    UpstreamTls { authorities, system_authorities, verify_depth, ..unsaid };
            })
            .await;
            assert_eq!(gateway.ask(&get("s")).await.status, expected);
        }
    }
}

#[tokio::test]
async fn it_is_the_host_sent_that_must_be_in_the_certificate() {
    let root = Issued::root("root");
    let shown =
        root.leaf(&Leaf { names: &["client.test"], addresses: &["10.1.2.3"], ..Leaf::default() });
    let origin = Origin::start(&shown).await;
    let authority = root.trusted();
    let mut config = Config::default();
    let service = at("s", &origin.url("127.0.0.1")).with("tls_verify", true);
    let service: Service = service.with("ca_certificates", json!([authority.id])).build();
    config.write(authority);
    let kept = model::testing::route("kept").path("/kept").with("preserve_host", true);
    config.write(kept.to(&service).build());
    serve(&mut config, service);
    let gateway = Gateway::start(config).await;
    assert_eq!(gateway.ask(&get("s")).await.status, 502, "the address is not in it");
    let mut connections = Vec::new();
    for (host, expected) in [
        ("client.test", Some("client.test")),
        ("client.test:99", Some("client.test")),
        ("CLIENT.test", None),
        ("10.1.2.3", Some("-")),
        ("10.1.2.4", None),
        ("other.test", None),
        ("client.test", Some("client.test")),
    ] {
        let request = format!("GET /kept HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let response = gateway.ask(&request).await;
        match expected {
            Some(expected) => {
                assert_eq!(response.status, 200, "{host}");
                let seen = Seen::of(response.text());
                assert_eq!(seen.name, expected, "{host}");
                connections.push(seen.connection);
            }
            None if host == "CLIENT.test" => assert_eq!(response.status, 200, "case is no matter"),
            None => assert_eq!(response.status, 502, "{host}"),
        }
    }
    assert_eq!(connections[0], connections[1], "the port is no part of the name");
    assert_eq!(connections[0], connections[3], "it is used again");
    assert_ne!(connections[0], connections[2], "but not for another");
}

#[tokio::test]
async fn an_upstream_nobody_trusts_is_tried_as_often_as_one_that_is_not_there() {
    let root = Issued::root("root");
    let origin = Origin::start(&root.leaf(&Leaf::default())).await;
    let service = model::testing::service("s").url(&origin.url("localhost")).with("retries", 2);
    let mut config = Config::default();
    serve(&mut config, service.with("tls_verify", true).with("ca_certificates", json!([])).build());
    let gateway = Gateway::start(config).await;
    for method in ["GET", "POST"] {
        let before = origin.accepted.load(Ordering::SeqCst);
        let request = format!("{method} /s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(gateway.ask(&request).await.status, 502);
        assert_eq!(origin.accepted.load(Ordering::SeqCst) - before, 3, "{method}");
    }
}

#[tokio::test]
async fn another_authority_counts_from_the_next_revision_on() {
    let (root, other) = (Issued::root("root"), Issued::root("other"));
    let origin = Origin::start(&root.leaf(&Leaf::default())).await;
    let mut authority = root.trusted();
    let mut config = Config::default();
    config.write(authority.clone());
    let service = at("s", &origin.url("localhost")).with("tls_verify", true);
    serve(&mut config, service.with("ca_certificates", json!([authority.id])).build());
    let gateway = Gateway::start(config.clone()).await;
    assert_eq!(gateway.ask(&get("s")).await.status, 200);

    // Only the authority changes: neither its id, nor the service that names it. The connection
    // in the pool was believed, but is not any more.
    authority.cert = other.pem().parse().unwrap();
    config.write(authority.clone());
    gateway.apply(2, config.clone()).await;
    assert_eq!(gateway.ask(&get("s")).await.status, 502);

    authority.cert = root.pem().parse().unwrap();
    config.write(authority);
    gateway.apply(3, config).await;
    assert_eq!(gateway.ask(&get("s")).await.status, 200);
}

#[test]
fn only_services_that_name_what_changed_are_compiled_anew() {
    let (one, two) = (Issued::root("one").trusted(), Issued::root("two").trusted());
    let shown = Issued::root("root").leaf(&Leaf::default()).shown();
    let secure = |name| at(name, "https://a.test/").with("tls_verify", true);
    let services = [
        secure("one").with("ca_certificates", json!([one.id])).build(),
        secure("both").with("ca_certificates", json!([one.id, two.id])).build(),
        secure("shown").with("client_certificate", json!({ "id": shown.id })).build(),
        at("plain", "http://a.test/").build(),
    ];
    let mut config = Config::default();
    config.write(one);
    config.write(two.clone());
    config.write(shown.clone());
    for service in services.clone() {
        serve(&mut config, service);
    }
    let compiled = |config: &Config, previous: &Snapshot| {
        compile(&revision(1, config.clone()), previous).expect("a snapshot")
    };
    let changed = |before: &Snapshot, after: &Snapshot| -> Vec<String> {
        let differs = |service: &&Service| {
            let [old, new] = [before, after].map(|s| s.service(service.id).unwrap());
            !std::ptr::eq(&**old, &**new)
        };
        let name = |service: &Service| service.name.as_ref().unwrap().as_str().to_owned();
        services.iter().filter(differs).map(name).collect()
    };
    let before = compiled(&config, &Snapshot::empty());
    let renewed = Issued::root("two");
    config.write(CaCertificate { cert: renewed.pem().parse().unwrap(), ..two });
    let after = compiled(&config, &before);
    assert_eq!(changed(&before, &after), ["both"]);
    let renewed = Issued::root("root").leaf(&Leaf::default());
    let (cert, key) = (renewed.pem().parse().unwrap(), renewed.key_pem().parse().unwrap());
    config.write(Certificate { cert, key, ..shown });
    assert_eq!(changed(&after, &compiled(&config, &after)), ["shown"]);
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_of_whom() {
    let root = Issued::root("root");
    let broken: CaCertificate = {
        let mut authority: CaCertificate = entity(json!({ "cert": root.pem() }));
        authority.cert = root.pem().parse().unwrap();
        authority
    };
    let stranger = Issued::root("stranger");
    let leaf = root.leaf(&Leaf::default());
    let unpaired = {
        let mut certificate = leaf.shown();
        certificate.key = stranger.key_pem().parse().unwrap();
        certificate
    };
    let missing = uuid::Uuid::new_v4();
    let service = at("s", "https://a.test/").with("tls_verify", true);
    let service = service.with("ca_certificates", json!([broken.id, missing]));
    let service = service.with("client_certificate", json!({ "id": unpaired.id })).build();
    let mut config = Config::default();
    let lost = at("lost", "https://a.test/");
    let lost = lost.with("client_certificate", json!({ "id": missing })).build();
    let expected = [
        format!("certificates {}: certificate does not match key", unpaired.id),
        format!("services {}: its CA certificate {missing} does not exist", service.id),
        format!("services {}: its client certificate {missing} does not exist", lost.id),
    ];
    config.write(broken);
    config.write(unpaired);
    config.write(service);
    config.write(lost);
    let problems = engine::judge(engine::RouterOptions::default()).rehearse(&config).unwrap_err();
    let mut said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let mut expected = expected.to_vec();
    said.sort();
    expected.sort();
    assert_eq!(said, expected);
}
