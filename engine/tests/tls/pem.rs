//! Certificates of our own making, and entities of them.

use boring::asn1::Asn1Time;
use boring::bn::BigNum;
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::rsa::Rsa;
use boring::x509::{X509, X509Name};
use model::entities::{Certificate, Sni};
use model::schema;
use serde_json::{Value, json};

/// A certificate and its key in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// One with an elliptic-curve key, for this name.
pub(crate) fn ec(name: &str) -> Pair {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    signed(name, &PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap())
}

/// One with an RSA key.
pub(crate) fn rsa(name: &str) -> Pair {
    signed(name, &PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap())
}

/// One with a key that is too short for TLS to be spoken with it.
pub(crate) fn weak(name: &str) -> Pair {
    signed(name, &PKey::from_rsa(Rsa::generate(512).unwrap()).unwrap())
}

fn signed(name: &str, key: &PKey<Private>) -> Pair {
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    let serial = BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap();
    certificate.set_serial_number(&serial).unwrap();
    certificate.set_subject_name(&subject).unwrap();
    certificate.set_issuer_name(&subject).unwrap();
    certificate.set_pubkey(key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.sign(key, MessageDigest::sha256()).unwrap();
    let pem = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Pair {
        cert: pem(certificate.build().to_pem().unwrap()),
        key: pem(key.private_key_to_pem_pkcs8().unwrap()),
    }
}

/// The entity, as a control plane would make it.
pub(crate) fn certificate(pair: &Pair, alternate: Option<&Pair>) -> Certificate {
    let mut body = entity(json!({ "cert": pair.cert, "key": pair.key }));
    if let Some(alternate) = alternate {
        body["cert_alt"] = alternate.cert.as_str().into();
        body["key_alt"] = alternate.key.as_str().into();
    }
    schema::check(body).unwrap()
}

/// A name it is shown for.
pub(crate) fn sni(name: &str, certificate: &Certificate) -> Sni {
    schema::check(entity(json!({ "name": name, "certificate": { "id": certificate.id } }))).unwrap()
}

fn entity(mut body: Value) -> Value {
    body["id"] = uuid::Uuid::new_v4().to_string().into();
    body["created_at"] = 1.into();
    body["updated_at"] = 1.into();
    body
}
