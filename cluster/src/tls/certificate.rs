//! Certificates and keys as the operator gave them: read once, checked at start.
//!
//! BoringSSL holds what is shown to peers; what a person or a status row wants
//! to know about a certificate is read from its DER with `x509-parser`.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use boring::error::ErrorStack;
use boring::pkey::{PKey, PKeyRef, Private};
use boring::x509::{X509, X509Ref};
use x509_parser::prelude::{FromDer, X509Certificate};

/// From how many seconds before its end a certificate is worth a warning: 30 days.
const EXPIRING: i64 = 30 * 86_400;

/// `cluster_cert` and `cluster_cert_key`: known to belong together.
#[derive(Clone)]
pub struct Credentials {
    certificate: X509,
    key: PKey<Private>,
    facts: Arc<CertificateFacts>,
}

/// What is worth knowing about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// SHA-256 of the DER.
    pub sha256: Fingerprint,
    /// The subject, as in `CN=kong_clustering`.
    pub subject: String,
    /// When it stops being valid, Unix seconds.
    pub expires: i64,
}

/// A SHA-256 digest, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// `cluster_cert` is not a certificate.
    #[error("cluster_cert is not a PEM certificate")]
    Certificate(#[source] ErrorStack),

    /// `cluster_cert_key` is not an unencrypted private key.
    #[error("cluster_cert_key is not an unencrypted PEM private key")]
    Key(#[source] ErrorStack),

    /// Each is fine, but they are not a pair.
    #[error(
        "cluster_cert_key is not the private key of cluster_cert (subject {subject}, sha256 {sha256})"
    )]
    NotAPair {
        /// The certificate's subject.
        subject: String,
        /// The certificate's digest.
        sha256: Fingerprint,
    },

    /// The certificate's DER does not follow X.509.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
}

impl Credentials {
    /// Reads a pair from PEM. The first certificate counts; shared mode sends no chain.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, CredentialsError> {
        let certificate = X509::from_pem(certificate).map_err(CredentialsError::Certificate)?;
        let key = PKey::private_key_from_pem(key).map_err(CredentialsError::Key)?;
        let facts = CertificateFacts::from_der(
            &certificate.to_der().map_err(CredentialsError::Certificate)?,
        )?;
        let public = certificate.public_key().map_err(CredentialsError::Certificate)?;
        if !public.public_eq(&key) {
            return Err(CredentialsError::NotAPair {
                subject: facts.subject,
                sha256: facts.sha256,
            });
        }
        Ok(Self { certificate, key, facts: Arc::new(facts) })
    }

    /// What peers will see.
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// What the operator should know about the certificate's end, if it is near. Pinned peers accept it
    /// all the same.
    pub fn warning(&self) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let left = self.facts.expires.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX));
        match left {
            ..=0 => Some(format!("cluster_cert expired {} days ago", -left / 86_400)),
            1..EXPIRING => Some(format!("cluster_cert expires in {} days", left / 86_400)),
            _ => None,
        }
    }

    pub(super) fn facts_shared(&self) -> Arc<CertificateFacts> {
        Arc::clone(&self.facts)
    }

    pub(super) fn certificate(&self) -> &X509Ref {
        &self.certificate
    }

    pub(super) fn key(&self) -> &PKeyRef<Private> {
        &self.key
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl CertificateFacts {
    /// Reads the facts from DER.
    pub fn from_der(der: &[u8]) -> Result<Self, CredentialsError> {
        let (_, parsed) = X509Certificate::from_der(der)
            .map_err(|e| CredentialsError::Unreadable(e.to_string()))?;
        Ok(Self {
            sha256: Fingerprint::of(der),
            subject: parsed.subject().to_string(),
            expires: parsed.validity().not_after.timestamp(),
        })
    }
}

impl Fingerprint {
    /// The digest of a certificate's DER.
    pub fn of(der: &[u8]) -> Self {
        Self(boring::sha::sha256(der))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
