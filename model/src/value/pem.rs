//! Certificates and private keys, as the PEM text operators paste.
//!
//! Certificates are read as far as data goes: do they parse, what kind of key do they carry, is
//! it a CA. Whether a key is one, and belongs to its certificate, takes cryptography, which is
//! the engine's to do: see [`crate::judge`].

use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::schema::Invalid;

text! {
    /// A certificate in PEM, and behind it those that lead to its root, if any.
    CertificatePem, admit_certificate
}

secret! {
    /// A private key in PEM, without a passphrase.
    KeyPem, admit_key
}

text! {
    /// A public key in PEM.
    PublicKeyPem, admit_public_key
}

/// What a CA certificate is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// How many certificates the text holds.
    pub(crate) count: usize,
    /// Whether the first may sign others (RFC 5280 §4.2.1.9).
    pub(crate) is_ca: bool,
    /// The last second at which the first is valid, since 1970.
    pub(crate) not_after: i64,
}

/// Facts of the first certificate in a text; none if it holds none.
pub(crate) fn facts(text: &str) -> Option<Facts> {
    let count = blocks(text).count();
    with_first(text, |certificate| Facts {
        count,
        is_ca: certificate.is_ca(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}

/// What sort of key the first certificate in a text carries: equal for keys of one algorithm.
pub(crate) fn key_type(text: &str) -> Option<String> {
    with_first(text, |certificate| certificate.public_key().algorithm.algorithm.to_id_string())
}

/// SHA-256 of the first certificate in a text, in lower-case hexadecimal digits.
pub(crate) fn digest(text: &str) -> Option<String> {
    let der = blocks(text).next()?.ok()?.contents;
    Some(Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn blocks(text: &str) -> impl Iterator<Item = Result<Pem, String>> {
    Pem::iter_from_buffer(text.as_bytes()).map(|block| block.map_err(|error| error.to_string()))
}

fn with_first<T>(text: &str, read: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
    let block = blocks(text).next()?.ok()?;
    X509Certificate::from_der(&block.contents).ok().map(|(_, certificate)| read(&certificate))
}

fn admit_certificate(text: &str) -> Result<(), Invalid> {
    let refuse = |why: &str| Err(Invalid(format!("invalid certificate: {why}")));
    let mut found = false;
    for block in blocks(text) {
        let block = match block {
            Ok(block) => block,
            Err(error) => return refuse(&error),
        };
        if !matches!(&*block.label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE") {
            return refuse(&format!("found a block of type {}", block.label));
        }
        match X509Certificate::from_der(&block.contents) {
            Ok(([], _)) => found = true,
            Ok(_) => return refuse("there is something behind its end"),
            Err(error) => return refuse(&error.to_string()),
        }
    }
    if found { Ok(()) } else { refuse("no PEM block of type CERTIFICATE") }
}

fn admit_public_key(text: &str) -> Result<(), Invalid> {
    let refuse = |why: &str| Err(Invalid(format!("invalid key: {why}")));
    match (blocks(text).next(), blocks(text).nth(1)) {
        (None, _) => refuse("no PEM block of type PUBLIC KEY"),
        (Some(Err(error)), _) => refuse(&error),
        (Some(_), Some(_)) => refuse("more than one PEM block"),
        (Some(Ok(key)), None) if key.label == "PUBLIC KEY" => {
            match SubjectPublicKeyInfo::from_der(&key.contents) {
                Ok(([], _)) => Ok(()),
                Ok(_) => refuse("there is something behind its end"),
                Err(error) => refuse(&error.to_string()),
            }
        }
        // PKCS #1, which the engine reads.
        (Some(Ok(key)), None) if key.label == "RSA PUBLIC KEY" => Ok(()),
        (Some(Ok(key)), None) => refuse(&format!("found a block of type {}", key.label)),
    }
}

fn admit_key(text: &str) -> Result<(), Invalid> {
    let refuse = |why: &str| Err(Invalid(format!("invalid key: {why}")));
    // `openssl ecparam -genkey` puts the curve before the key.
    let mut keys = blocks(text)
        .filter(|block| !block.as_ref().is_ok_and(|block| block.label == "EC PARAMETERS"));
    match (keys.next(), keys.next()) {
        (None, _) => refuse("no PEM block of type PRIVATE KEY"),
        (Some(Err(error)), _) => refuse(&error),
        (Some(Ok(key)), _) if key.label == "ENCRYPTED PRIVATE KEY" => {
            refuse("it is encrypted; keys with a passphrase are not taken")
        }
        (Some(Ok(key)), None) if key.label.ends_with("PRIVATE KEY") => Ok(()),
        (Some(Ok(key)), None) => refuse(&format!("found a block of type {}", key.label)),
        (Some(_), Some(_)) => refuse("more than one PEM block"),
    }
}
