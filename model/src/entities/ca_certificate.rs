//! The certificate of an authority, which chains of upstreams may end in.

use serde_json::Value;

use crate::schema::{Check, Object, Record};
use crate::value::{CertificatePem, Tags, Timestamp, pem};
use crate::violation::Violations;
use crate::{Entity, Id, Terms};

/// A certificate authority that a service may trust.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "ca_certificates", checks = &[Check::Custom(check_authority)], prepare = write_digest)]
pub struct CaCertificate {
    /// Identifies the authority.
    #[field(auto)]
    pub id: Id<CaCertificate>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// When it was last changed, in seconds since 1970.
    #[field(auto)]
    pub updated_at: Timestamp,
    /// The one certificate of the authority, in PEM.
    pub cert: CertificatePem,
    /// SHA-256 of the certificate in hexadecimal digits, whatever a client says it is.
    #[field(unique)]
    pub cert_digest: String,
    /// Labels to list authorities by.
    pub tags: Option<Tags>,
}

/// Where there is no certificate to speak of, that is what is reported.
fn write_digest(authority: &mut Object, _: Terms) -> Result<(), Violations> {
    let cert = authority.get("cert").and_then(Value::as_str).unwrap_or_default();
    let digest = pem::digest(cert).unwrap_or_else(|| "none".to_owned());
    authority.insert("cert_digest".to_owned(), digest.into());
    Ok(())
}

/// `updated_at` is the time of writing. What expires later stays: its absence would break more.
fn check_authority(authority: &Object, found: &mut Violations) {
    let cert = authority.get("cert").and_then(Value::as_str);
    let Some(facts) = cert.and_then(pem::facts).filter(|_| !found.has("cert")) else { return };
    let now = authority.get("updated_at").and_then(Value::as_i64).unwrap_or_default();
    if facts.count > 1 {
        found.add_entity("please submit only one certificate at a time");
    } else if facts.not_after < now {
        found.add_entity("certificate expired, \"Not After\" time is in the past");
    } else if !facts.is_ca {
        found.add_entity(
            "certificate does not appear to be a CA because it is missing the \"CA\" basic constraint",
        );
    }
}

impl Entity for CaCertificate {
    const ENDPOINT_KEY: Option<&'static str> = None;
}
