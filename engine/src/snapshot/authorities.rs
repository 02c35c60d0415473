//! The CA certificates a configuration has, read once, for the services that trust them.

use super::certificates::{UNUSABLE, reason};
use super::trust::Fingerprint;
use boring::hash::MessageDigest;
use boring::x509::X509;
use imbl::OrdMap;
use model::config::Difference;
use model::entities::CaCertificate;
use model::vitals::Problem;
use model::{Config, EntityKind, Id};

/// All of them. Immutable, cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Authorities(OrdMap<Id<CaCertificate>, Authority>);

/// One, and what tells it from others.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    pub(super) certificate: X509,
    pub(super) fingerprint: Fingerprint,
}

impl Authorities {
    pub(super) fn get(&self, id: Id<CaCertificate>) -> Option<&Authority> {
        self.0.get(&id)
    }

    /// Those of `config`, where these are those of `before`. Adds to `problems` what is wrong
    /// with those that changed.
    pub(super) fn patched(
        &self,
        config: &Config,
        before: &Config,
        problems: &mut Vec<Problem>,
    ) -> Authorities {
        let mut next = self.clone();
        for difference in config.all::<CaCertificate>().since(before.all()) {
            match difference {
                Difference::Deleted(old) => drop(next.0.remove(&old.entity.id)),
                Difference::Put(new) => match Authority::read(new.entity.cert.as_str()) {
                    Ok(authority) => drop(next.0.insert(new.entity.id, authority)),
                    Err(why) => problems.push(
                        Problem::of(EntityKind::CaCertificate, new.entity.id, UNUSABLE, why)
                            .at("cert"),
                    ),
                },
            }
        }
        next
    }
}

impl Authority {
    fn read(pem: &str) -> Result<Authority, String> {
        let certificate = X509::from_pem(pem.as_bytes());
        let invalid = |error| format!("invalid certificate: {}", reason(&error));
        Authority::new(certificate.map_err(invalid)?).map_err(invalid)
    }

    pub(super) fn new(certificate: X509) -> Result<Authority, boring::error::ErrorStack> {
        let mut fingerprint = Fingerprint::default();
        let digest = certificate.digest(MessageDigest::sha256())?;
        fingerprint.copy_from_slice(&digest);
        Ok(Authority { certificate, fingerprint })
    }
}
