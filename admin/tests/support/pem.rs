//! Certificates of our own making, in PEM.

use boring::asn1::Asn1Time;
use boring::bn::BigNum;
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::rsa::Rsa;
use boring::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use boring::x509::{X509, X509Builder, X509Name};

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// One with an elliptic-curve key, for this name.
pub(crate) fn pair(name: &str) -> Pair {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    signed(name, &PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap(), false, 1)
}

/// One with an RSA key.
pub(crate) fn rsa(name: &str) -> Pair {
    signed(name, &PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(), false, 1)
}

/// That of a server with this name, which vouches for itself until 2109.
pub(crate) fn server(name: &str) -> Pair {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut certificate = draft(name, &key, 51_000);
    let context = certificate.x509v3_context(None, None);
    let name = SubjectAlternativeName::new().dns(name).build(&context).unwrap();
    certificate.append_extension(&name).unwrap();
    finish(certificate, &key)
}

/// That of an authority, which is valid from 1970 on for so many days.
pub(crate) fn authority(name: &str, days: u32) -> Pair {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    signed(name, &PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap(), true, days)
}

fn signed(name: &str, key: &PKey<Private>, is_ca: bool, days: u32) -> Pair {
    let mut certificate = draft(name, key, days);
    if is_ca {
        let constraints = BasicConstraints::new().critical().ca().build().unwrap();
        certificate.append_extension(&constraints).unwrap();
    }
    finish(certificate, key)
}

fn draft(name: &str, key: &PKey<Private>, days: u32) -> X509Builder {
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate
        .set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap())
        .unwrap();
    certificate.set_subject_name(&subject).unwrap();
    certificate.set_issuer_name(&subject).unwrap();
    certificate.set_pubkey(key).unwrap();
    certificate.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::from_unix(i64::from(days) * 86_400).unwrap()).unwrap();
    certificate
}

fn finish(mut certificate: X509Builder, key: &PKey<Private>) -> Pair {
    certificate.sign(key, MessageDigest::sha256()).unwrap();
    let pem = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Pair {
        cert: pem(certificate.build().to_pem().unwrap()),
        key: pem(key.private_key_to_pem_pkcs8().unwrap()),
    }
}

/// Somebody who vouches for others.
pub(crate) struct Issuer {
    pub(crate) cert: String,
    name: String,
    key: PKey<Private>,
}

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Client,
    Server,
}

impl Issuer {
    /// One that is valid for long.
    pub(crate) fn new(name: &str) -> Self {
        let Pair { cert, key } = authority(name, 100_000);
        let key = PKey::private_key_from_pem(key.as_bytes()).unwrap();
        Self { cert, name: name.to_owned(), key }
    }

    /// A certificate for this name, which is valid for so many days from 1970 on.
    pub(crate) fn issue(&self, name: &str, purpose: Purpose, days: u32) -> Pair {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let named = |name: &str| {
            let mut built = X509Name::builder().unwrap();
            if !name.is_empty() {
                built.append_entry_by_text("CN", name).unwrap();
            }
            built.build()
        };
        let mut certificate = X509::builder().unwrap();
        certificate.set_version(2).unwrap();
        certificate
            .set_serial_number(&BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap())
            .unwrap();
        certificate.set_subject_name(&named(name)).unwrap();
        certificate.set_issuer_name(&named(&self.name)).unwrap();
        certificate.set_pubkey(&key).unwrap();
        certificate.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
        certificate.set_not_after(&Asn1Time::from_unix(i64::from(days) * 86_400).unwrap()).unwrap();
        let mut usage = ExtendedKeyUsage::new();
        match purpose {
            Purpose::Client => usage.client_auth(),
            Purpose::Server => usage.server_auth(),
        };
        certificate.append_extension(&usage.build().unwrap()).unwrap();
        certificate.sign(&self.key, MessageDigest::sha256()).unwrap();
        let pem = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Pair {
            cert: pem(certificate.build().to_pem().unwrap()),
            key: pem(key.private_key_to_pem_pkcs8().unwrap()),
        }
    }
}
