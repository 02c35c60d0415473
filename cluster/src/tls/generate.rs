//! `hybrid gen_cert`: the pair every node of a cluster shares.
//!
//! The key is BoringSSL's, the certificate is rcgen's, signed through
//! `ClusterKey`. Its form is Kong's: P-384, self-signed, `CN=kong_clustering`,
//! no extensions, so that a pair made by either gateway serves both.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boring::bn::BigNumContext;
use boring::ec::{EcGroup, EcKey, PointConversionForm};
use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::sign::Signer;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, PKCS_ECDSA_P384_SHA384, PublicKeyData,
    SerialNumber, SignatureAlgorithm, SigningKey,
};

use super::SHARED_SERVER_NAME;

/// How long a pair is valid unless said otherwise: three years.
pub const DEFAULT_DAYS: u32 = 1095;

/// The longest validity: a certificate's years have four digits (RFC 5280 §4.1.2.5).
const MAX_DAYS: u32 = 365_000;

/// A certificate and its private key, each as one PEM block.
#[derive(Clone)]
pub struct KeyPairPem {
    /// `CERTIFICATE`.
    pub certificate: String,
    /// `PRIVATE KEY`, PKCS#8, not encrypted.
    pub key: String,
}

/// Why no pair could be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The validity is out of range.
    #[error("a certificate can be valid for 1 to {MAX_DAYS} days, not {0}")]
    Days(u32),

    /// BoringSSL could not make or write the key.
    #[error("the key could not be generated")]
    Key(#[from] ErrorStack),

    /// rcgen could not write the certificate.
    #[error("the certificate could not be generated")]
    Certificate(#[from] rcgen::Error),
}

/// Makes a pair valid from now on for `days`.
pub fn gen_cert(days: u32) -> Result<KeyPairPem, GenerateError> {
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(GenerateError::Days(days));
    }
    let key = ClusterKey::generate()?;
    let certificate = params(days)?.self_signed(&key)?;
    let key = String::from_utf8_lossy(&key.private.private_key_to_pem_pkcs8()?).into_owned();
    Ok(KeyPairPem { certificate: certificate.pem(), key })
}

fn params(days: u32) -> Result<CertificateParams, GenerateError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now);

    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, SHARED_SERVER_NAME);

    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = not_before;
    params.not_after = not_before + Duration::from_secs(u64::from(days) * 86_400);
    params.serial_number = Some(serial()?);
    Ok(params)
}

/// 159 random bits, positive, as RFC 5280 §4.1.2.2 wants them.
fn serial() -> Result<SerialNumber, ErrorStack> {
    let mut bytes = [0; 20];
    boring::rand::rand_bytes(&mut bytes)?;
    bytes[0] = bytes[0] & 0x7f | 0x01;
    Ok(SerialNumber::from_slice(&bytes))
}

/// A P-384 key that signs for rcgen.
struct ClusterKey {
    private: PKey<Private>,
    point: Vec<u8>,
}

impl ClusterKey {
    fn generate() -> Result<Self, ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::SECP384R1)?;
        let ec = EcKey::generate(&group)?;
        let mut scratch = BigNumContext::new()?;
        let point =
            ec.public_key().to_bytes(&group, PointConversionForm::UNCOMPRESSED, &mut scratch)?;
        Ok(Self { private: PKey::from_ec_key(ec)?, point })
    }
}

impl PublicKeyData for ClusterKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P384_SHA384
    }
}

impl SigningKey for ClusterKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Signer::new(MessageDigest::sha384(), &self.private)
            .and_then(|mut signer| signer.sign_oneshot_to_vec(message))
            .map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;
    use crate::tls::Credentials;

    #[test]
    fn a_pair_belongs_together_and_signs_itself() {
        let pair = gen_cert(DEFAULT_DAYS).expect("generates");
        Credentials::from_pem(pair.certificate.as_bytes(), pair.key.as_bytes()).expect("is a pair");
        assert!(pair.key.starts_with("-----BEGIN PRIVATE KEY-----"));

        let x509 = boring::x509::X509::from_pem(pair.certificate.as_bytes()).expect("parses");
        let public = x509.public_key().expect("has a key");
        assert!(x509.verify(&public).expect("can be checked"));
        assert_eq!(public.ec_key().expect("is EC").group().curve_name(), Some(Nid::SECP384R1));
    }

    #[test]
    fn it_has_kongs_form() {
        let pair = gen_cert(10).expect("generates");
        let der = boring::x509::X509::from_pem(pair.certificate.as_bytes())
            .expect("parses")
            .to_der()
            .expect("has DER");
        let (_, parsed) = X509Certificate::from_der(&der).expect("parses");
        assert_eq!(parsed.subject().to_string(), "CN=kong_clustering");
        assert_eq!(parsed.issuer(), parsed.subject());
        assert!(parsed.extensions().is_empty());
        let validity = parsed.validity();
        assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 10 * 86_400);
    }

    #[test]
    fn absurd_validities_are_refused() {
        assert!(matches!(gen_cert(0), Err(GenerateError::Days(0))));
        assert!(matches!(gen_cert(u32::MAX), Err(GenerateError::Days(_))));
    }
}
