//! Certificates, names and authorities: what is accepted, kept, and never shown.
//!
//! The PEM files are our own, made with openssl, valid for a hundred years and used nowhere else.

use model::Terms;
use model::entities::{CaCertificate, Certificate, Sni};
use model::schema;
use model::value::Timestamp;
use model::{Config, Delta, EntityKind, Revision, declarative, references};
use serde_json::{Value, json};

const LEAF: &str = include_str!("pem/leaf.pem");
const LEAF_KEY: &str = include_str!("pem/leaf.key");
const RSA: &str = include_str!("pem/rsa.pem");
const RSA_KEY: &str = include_str!("pem/rsa.key");
const AUTHORITY: &str = include_str!("pem/authority.pem");
/// As `openssl x509 -fingerprint -sha256` prints it.
const DIGEST: &str = "71be5399eae7f8910d221bcbf840d30591081724080fd04522d14e5af523704a";
/// Long before the certificates end. When they begin is nobody's business here.
const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn stamped(mut body: Value, now: Timestamp) -> Value {
    body["id"] = "00000000-0000-4000-8000-000000000001".into();
    body["created_at"] = now.seconds().into();
    body["updated_at"] = now.seconds().into();
    body
}

fn certificate(body: Value) -> Result<Certificate, String> {
    schema::check(stamped(body, NOW)).map_err(|violations| violations.to_string())
}

fn authority(cert: &str, now: Timestamp) -> Result<CaCertificate, String> {
    schema::check(stamped(json!({ "cert": cert }), now)).map_err(|v| v.to_string())
}

#[test]
fn a_key_is_never_printed() {
    let made = certificate(json!({ "cert": LEAF, "key": LEAF_KEY })).expect("a certificate");
    let printed = format!("{made:?}");
    assert!(printed.contains("KeyPem(…)") && !printed.contains("PRIVATE"), "{printed}");
    assert_eq!(made.key.as_str(), LEAF_KEY, "but kept as it was written");
}

#[test]
fn chains_and_odd_but_usual_files_are_taken() {
    let chain = format!("{LEAF}{AUTHORITY}");
    let with_text = format!("subject=CN = a.test\n{LEAF}");
    let with_curve = format!(
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{LEAF_KEY}"
    );
    for (cert, key) in
        [(chain.as_str(), LEAF_KEY), (&with_text, LEAF_KEY), (LEAF, &with_curve), (RSA, RSA_KEY)]
    {
        certificate(json!({ "cert": cert, "key": key })).expect("a certificate");
    }
}

#[test]
fn what_is_not_pem_of_the_right_kind_is_refused() {
    let cut = &LEAF[..LEAF.len() / 2];
    let empty = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
    let locked = LEAF_KEY.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (cert, key, says) in [
        ("x", LEAF_KEY, "(cert: invalid certificate: no PEM block of type CERTIFICATE)"),
        (cut, LEAF_KEY, "(cert: invalid certificate: "),
        (empty, LEAF_KEY, "(cert: invalid certificate: "),
        (LEAF_KEY, LEAF_KEY, "(cert: invalid certificate: found a block of type PRIVATE KEY)"),
        (LEAF, "x", "(key: invalid key: no PEM block of type PRIVATE KEY)"),
        (LEAF, LEAF, "(key: invalid key: found a block of type CERTIFICATE)"),
        (LEAF, &locked, "(key: invalid key: it is encrypted"),
        (LEAF, &format!("{LEAF_KEY}{RSA_KEY}"), "(key: invalid key: more than one PEM block)"),
        (LEAF, "{vault://env/key", "(key: invalid key: "),
    ] {
        let refused = certificate(json!({ "cert": cert, "key": key })).expect_err("refused");
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn what_a_vault_has_is_not_looked_at() {
    let body = |cert: &str, key: &str| json!({ "cert": cert, "key": key });
    for (cert, key) in [(LEAF, "{vault://env/key}"), ("{vault://my-env/tls/cert}", LEAF_KEY)] {
        let taken = certificate(body(cert, key)).expect("a certificate");
        assert_eq!((taken.cert.as_str(), taken.key.as_str()), (cert, key), "as it was written");
        assert!(taken.cert.value().is_none() || taken.key.value().is_none());
    }
    let mut both = body("{vault://env/cert}", "{vault://env/key}");
    (both["cert_alt"], both["key_alt"]) = (LEAF.into(), LEAF_KEY.into());
    certificate(both).expect("nobody knows of which type the first is");
}

#[test]
fn the_alternative_is_whole_and_of_another_type() {
    let with = |alternative: Value| {
        let mut body = json!({ "cert": LEAF, "key": LEAF_KEY });
        for (name, value) in alternative.as_object().expect("fields") {
            body[name] = value.clone();
        }
        certificate(body)
    };
    with(json!({ "cert_alt": RSA, "key_alt": RSA_KEY })).expect("a certificate");
    let same = with(json!({ "cert_alt": LEAF, "key_alt": LEAF_KEY })).expect_err("of one type");
    assert!(same.contains("need keys of different types"), "{same}");
    let half = with(json!({ "cert_alt": RSA })).expect_err("half");
    assert!(
        half.contains("all or none of these fields must be set: 'cert_alt', 'key_alt'"),
        "{half}"
    );
}

#[test]
fn an_authority_is_known_by_its_digest() {
    let made = authority(AUTHORITY, NOW).expect("an authority");
    assert_eq!(made.cert_digest, DIGEST);
    let claimed = schema::check::<CaCertificate>(stamped(
        json!({ "cert": AUTHORITY, "cert_digest": "of the client's choice" }),
        NOW,
    ));
    assert_eq!(claimed.expect("an authority").cert_digest, DIGEST);
}

#[test]
fn an_authority_may_sign_and_is_valid_when_it_is_written() {
    let later = Timestamp::from_seconds(NOW.seconds() + 200 * 366 * 86_400);
    for (cert, now, says) in [
        (LEAF, NOW, "missing the \"CA\" basic constraint"),
        (AUTHORITY, later, "certificate expired"),
        (&format!("{AUTHORITY}{AUTHORITY}"), NOW, "only one certificate at a time"),
        (
            "x",
            NOW,
            "schema violation (cert: invalid certificate: no PEM block of type CERTIFICATE)",
        ),
    ] {
        let refused = authority(cert, now).expect_err("refused");
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn a_document_holds_certificates_with_their_names() {
    let document = json!({
        "_format_version": "3.0",
        "certificates": [{
            "id": "00000000-0000-4000-8000-000000000007",
            "cert": LEAF, "key": LEAF_KEY,
            "snis": [{ "name": "a.test" }, { "name": "*.a.test" }],
        }],
        "ca_certificates": [{ "cert": AUTHORITY }],
        "snis": [{ "name": "b.test", "certificate": "00000000-0000-4000-8000-000000000007" }],
        "services": [{
            "name": "s", "url": "https://up.test",
            "client_certificate": "00000000-0000-4000-8000-000000000007",
        }],
    });
    let config =
        declarative::load(document, NOW, Terms::default()).expect("a configuration").config;
    for name in ["a.test", "*.a.test", "b.test"] {
        let sni = config.all::<Sni>().by_endpoint_key(name).expect("there");
        assert_eq!(references::dangling(&config, sni), []);
    }
    // Found by its names, and not to be deleted while a service shows it.
    let found = <Certificate as model::Entity>::by_key(&config, "*.a.test").expect("there");
    let refused = references::deletion(&config, EntityKind::Certificate, found.id.uuid());
    assert_eq!(refused.expect_err("in use").by, EntityKind::Service);

    let orphan = json!({ "_format_version": "3.0", "snis": [{ "name": "a.test" }] });
    let refused = declarative::load(orphan, NOW, Terms::default());
    let refused = refused.expect_err("an orphan").to_string();
    assert!(refused.contains("certificate = \"required field missing\""), "{refused}");
}

#[test]
fn names_go_with_their_certificate() {
    let mut config = Config::default();
    let made = certificate(json!({ "cert": LEAF, "key": LEAF_KEY })).expect("a certificate");
    let id = made.id;
    config.write(made);
    let sni: Sni =
        schema::check(stamped(json!({ "name": "a.test", "certificate": { "id": id } }), NOW))
            .expect("a name");
    config.write(sni.clone());
    let doomed = references::deletion(&config, EntityKind::Certificate, id.uuid());
    let expected = vec![(EntityKind::Sni, sni.id.uuid()), (EntityKind::Certificate, id.uuid())];
    assert_eq!(doomed, Ok(expected));
}

#[test]
fn they_travel_as_any_entity_does() {
    let before = Revision::empty();
    let mut config = Config::default();
    config.write(certificate(json!({ "cert": LEAF, "key": LEAF_KEY })).expect("a certificate"));
    config.write(authority(AUTHORITY, NOW).expect("an authority"));
    let after = model::testing::revision(2, config);
    let delta = Delta::between(&before, &after);
    assert_eq!(delta.changes.len(), 2);
    let applied = delta.apply(&before).expect("it fits");
    assert_eq!(applied.config.hash(), after.config.hash());
    let kept = applied.config.all::<Certificate>().iter().next().expect("there");
    assert_eq!(kept.cert.as_str(), LEAF);
}
