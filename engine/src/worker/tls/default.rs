//! What is shown to clients that ask for no name, or for one that has no certificate.

use super::TlsError;
use crate::options::PemPair;
use crate::snapshot::certificates::{Identity, KeyPair};
use boring::asn1::Asn1Time;
use boring::bn::{BigNum, MsbOption};
use boring::ec::{EcGroup, EcKey};
use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::rsa::Rsa;
use boring::x509::{X509, X509Name};
use std::sync::{Arc, OnceLock};
use std::thread;

/// How long ours is valid: as long as Kong's.
const DAYS: u32 = 20 * 365;

/// Shown where nothing else is.
#[derive(Debug)]
pub(super) struct Fallback {
    first: Identity,
    /// The same and one with an RSA key, once that has been made.
    complete: OnceLock<Identity>,
}

impl Fallback {
    /// The operator's certificates; where there are none, some that nobody trusts.
    pub(super) fn new(pairs: &[PemPair]) -> Result<Arc<Fallback>, TlsError> {
        let mut pairs = pairs.iter().map(|pair| KeyPair::from_pem(&pair.cert, &pair.key));
        let (first, second) = (pairs.next().transpose(), pairs.next().transpose());
        match (first.map_err(TlsError::Default)?, second.map_err(TlsError::Default)?) {
            (Some(primary), alternate) => {
                let first = Identity::new(primary, alternate);
                Ok(Arc::new(Fallback { first, complete: OnceLock::new() }))
            }
            (None, _) => Fallback::made(),
        }
    }

    pub(super) fn identity(&self) -> &Identity {
        self.complete.get().unwrap_or(&self.first)
    }

    /// A key on a curve is made at once. One of RSA, which few clients ask for, takes up to a
    /// second, for which no start should wait.
    fn made() -> Result<Arc<Fallback>, TlsError> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let curve = pair(PKey::from_ec_key(EcKey::generate(&group)?)?)?;
        let first = Identity::new(curve.clone(), None);
        let made = Arc::new(Fallback { first, complete: OnceLock::new() });
        let completed = made.clone();
        let rest = move || match rsa() {
            Ok(rsa) => drop(completed.complete.set(Identity::new(curve, Some(rsa)))),
            Err(error) => tracing::warn!(%error, "no RSA certificate to show by default"),
        };
        let started = thread::Builder::new().name("default-rsa".into()).spawn(rest);
        started.map_err(|error| TlsError::Default(error.to_string()))?;
        Ok(made)
    }
}

fn rsa() -> Result<KeyPair, ErrorStack> {
    pair(PKey::from_rsa(Rsa::generate(2048)?)?)
}

fn pair(key: PKey<Private>) -> Result<KeyPair, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_text("CN", "localhost")?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;

    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    certificate.set_serial_number(&*serial.to_asn1_integer()?)?;
    certificate.set_subject_name(&name)?;
    certificate.set_issuer_name(&name)?;
    certificate.set_pubkey(&key)?;
    certificate.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    certificate.set_not_after(&*Asn1Time::days_from_now(DAYS)?)?;
    certificate.sign(&key, MessageDigest::sha256())?;
    Ok(KeyPair::sure(certificate.build(), key))
}
