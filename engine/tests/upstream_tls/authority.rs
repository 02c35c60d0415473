//! Authorities, and certificates that come from them.

use boring::asn1::Asn1Time;
use boring::bn::{BigNum, MsbOption};
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use boring::x509::{X509, X509Builder, X509Name, X509NameRef};
use model::entities::{CaCertificate, Certificate};
use model::{Entity, schema};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 24 * 60 * 60;

/// A certificate, those above it but for the root, and its key.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: X509,
    pub(crate) above: Vec<X509>,
    pub(crate) key: PKey<Private>,
}

/// What a leaf is like. By default it is good for `localhost`.
pub(crate) struct Leaf {
    pub(crate) common_name: &'static str,
    pub(crate) names: &'static [&'static str],
    pub(crate) addresses: &'static [&'static str],
    pub(crate) usage: Option<Usage>,
    /// Days from now.
    pub(crate) valid: (i64, i64),
}

#[derive(Clone, Copy)]
pub(crate) enum Usage {
    Server,
    Client,
}

impl Default for Leaf {
    fn default() -> Leaf {
        Leaf {
            common_name: "leaf",
            names: &["localhost"],
            addresses: &[],
            usage: Some(Usage::Server),
            valid: (-1, 1),
        }
    }
}

impl Issued {
    pub(crate) fn root(name: &str) -> Issued {
        let key = key();
        let mut builder = builder(name, &named(name), &key, (-1, 1));
        builder
            .append_extension(&BasicConstraints::new().critical().ca().build().unwrap())
            .unwrap();
        Issued { certificate: signed(builder, &key), above: Vec::new(), key }
    }

    /// An authority below this one.
    pub(crate) fn intermediate(&self, name: &str, usage: Option<Usage>) -> Issued {
        let key = key();
        let mut builder = self.builder(name, &key, (-1, 1));
        builder
            .append_extension(&BasicConstraints::new().critical().ca().build().unwrap())
            .unwrap();
        extend(&mut builder, usage);
        self.issue(builder, key)
    }

    pub(crate) fn leaf(&self, leaf: &Leaf) -> Issued {
        let key = key();
        let mut builder = self.builder(leaf.common_name, &key, leaf.valid);
        describe(&mut builder, leaf);
        self.issue(builder, key)
    }

    /// Its own authority, as Kong wants those to be that are trusted.
    pub(crate) fn self_signed(leaf: &Leaf) -> Issued {
        let key = key();
        let mut builder = builder(leaf.common_name, &named(leaf.common_name), &key, leaf.valid);
        describe(&mut builder, leaf);
        builder.append_extension(&BasicConstraints::new().ca().build().unwrap()).unwrap();
        Issued { certificate: signed(builder, &key), above: Vec::new(), key }
    }

    /// The same with other bytes of the same length in it, which no authority would have signed: to be
    /// trusted as it is.
    pub(crate) fn altered(self, from: &str, to: &[u8]) -> Issued {
        let mut der = self.certificate.to_der().unwrap();
        let places = der.windows(from.len()).enumerate();
        let places = places.filter(|(_, window)| *window == from.as_bytes()).map(|(at, _)| at);
        for at in places.collect::<Vec<_>>() {
            der[at..at + from.len()].copy_from_slice(to);
        }
        Issued { certificate: X509::from_der(&der).unwrap(), ..self }
    }

    /// The same, shown without those above it.
    pub(crate) fn alone(self) -> Issued {
        Issued { above: Vec::new(), ..self }
    }

    pub(crate) fn pem(&self) -> String {
        let all = [&self.certificate].into_iter().chain(&self.above);
        all.map(|one| String::from_utf8(one.to_pem().unwrap()).unwrap()).collect()
    }

    pub(crate) fn key_pem(&self) -> String {
        String::from_utf8(self.key.private_key_to_pem_pkcs8().unwrap()).unwrap()
    }

    /// The entity that has services trust it.
    pub(crate) fn trusted(&self) -> CaCertificate {
        entity(json!({ "cert": self.clone().alone().pem() }))
    }

    /// The entity that has services show it.
    pub(crate) fn shown(&self) -> Certificate {
        entity(json!({ "cert": self.pem(), "key": self.key_pem() }))
    }

    fn builder(&self, name: &str, key: &PKey<Private>, valid: (i64, i64)) -> X509Builder {
        builder(name, self.certificate.subject_name(), key, valid)
    }

    fn issue(&self, builder: X509Builder, key: PKey<Private>) -> Issued {
        let is_root = self.above.is_empty() && is_self_issued(&self.certificate);
        let own = (!is_root).then(|| self.certificate.clone());
        let above = own.into_iter().chain(self.above.iter().cloned()).collect();
        Issued { certificate: signed(builder, &self.key), above, key }
    }
}

fn is_self_issued(certificate: &X509) -> bool {
    let der = |name: &X509NameRef| name.to_der().unwrap();
    der(certificate.subject_name()) == der(certificate.issuer_name())
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A word is a common name, several are units, none is nothing.
fn named(text: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    let words: Vec<_> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let kind = if words.len() > 1 { "OU" } else { "CN" };
    words.iter().for_each(|word| name.append_entry_by_text(kind, word).unwrap());
    name.build()
}

fn builder(
    subject: &str,
    issuer: &X509NameRef,
    key: &PKey<Private>,
    valid: (i64, i64),
) -> X509Builder {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let time = |days: i64| Asn1Time::from_unix((now + days * DAY) as _).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(127, MsbOption::MAYBE_ZERO, false).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&named(subject)).unwrap();
    builder.set_issuer_name(issuer).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&time(valid.0)).unwrap();
    builder.set_not_after(&time(valid.1)).unwrap();
    builder
}

fn describe(builder: &mut X509Builder, leaf: &Leaf) {
    let mut names = SubjectAlternativeName::new();
    for name in leaf.names {
        names.dns(name);
    }
    for address in leaf.addresses {
        names.ip(address);
    }
    if !leaf.names.is_empty() || !leaf.addresses.is_empty() {
        let names = names.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(&names).unwrap();
    }
    extend(builder, leaf.usage);
}

fn extend(builder: &mut X509Builder, usage: Option<Usage>) {
    let mut extension = ExtendedKeyUsage::new();
    let extension = match usage {
        Some(Usage::Server) => extension.server_auth(),
        Some(Usage::Client) => extension.client_auth(),
        None => return,
    };
    builder.append_extension(&extension.build().unwrap()).unwrap();
}

fn signed(mut builder: X509Builder, key: &PKey<Private>) -> X509 {
    builder.sign(key, MessageDigest::sha256()).unwrap();
    builder.build()
}

pub(crate) fn entity<E: Entity>(mut body: Value) -> E {
    body["id"] = uuid::Uuid::new_v4().to_string().into();
    body["created_at"] = 1.into();
    body["updated_at"] = 1.into();
    schema::check(body).unwrap()
}
