//! A certificate and its key, shown to clients that ask for one of its names, or to an upstream
//! whose service says so.

use serde_json::Value;

use crate::entities::Sni;
use crate::schema::{Check, Field, Object, Record};
use crate::value::{CertificatePem, KeyPem, Referable, Tags, Timestamp, pem};
use crate::violation::Violations;
use crate::{Config, Entity, Id};

/// A certificate, perhaps a second one with a key of another type, and their keys.
///
/// Which names it is shown for is said by the [`Sni`] entities that point at it.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "certificates", checks = CHECKS)]
pub struct Certificate {
    /// Identifies the certificate.
    #[field(auto)]
    pub id: Id<Certificate>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// When it was last changed, in seconds since 1970.
    #[field(auto)]
    pub updated_at: Timestamp,
    /// The certificate in PEM, followed by the intermediate ones that lead to its root.
    pub cert: Referable<CertificatePem>,
    /// Its private key in PEM.
    #[field(secret)]
    pub key: Referable<KeyPem>,
    /// Another certificate, whose key is of another type, for clients that prefer it.
    pub cert_alt: Option<Referable<CertificatePem>>,
    /// The private key of the other certificate.
    #[field(secret)]
    pub key_alt: Option<Referable<KeyPem>>,
    /// Labels to list certificates by.
    pub tags: Option<Tags>,
}

const CHECKS: &[Check] =
    &[Check::AllOrNone(&["cert_alt", "key_alt"]), Check::Custom(differ_in_type)];

/// Two certificates of one type would leave nothing to choose between.
fn differ_in_type(certificate: &Object, found: &mut Violations) {
    let key_type = |field| certificate.get(field).and_then(Value::as_str).and_then(pem::key_type);
    if let (Some(one), Some(other)) = (key_type("cert"), key_type("cert_alt"))
        && one == other
    {
        found.add_entity(
            "certificate and alternative certificate need keys of different types (such as RSA and ECDSA)",
        );
    }
}

impl Entity for Certificate {
    const ENDPOINT_KEY: Option<&'static str> = None;

    /// A certificate has no name of its own: it goes by those it is shown for.
    fn key_field() -> Option<&'static Field> {
        Sni::key_field()
    }

    fn by_key<'a>(config: &'a Config, name: &str) -> Option<&'a Self> {
        let sni = Sni::by_key(config, name)?;
        config.get(sni.certificate.id)
    }
}
