//! Clients that show a certificate. As with nginx, a handshake goes on whatever is shown, so that who
//! is refused is told why in an answer; what was shown is part of what is known of the connection.

use std::sync::{Arc, OnceLock};

use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::ssl::{SslContextBuilder, SslRef, SslVerifyMode};
use boring::x509::store::X509StoreBuilder;
use boring::x509::{X509, X509Ref};

use super::{Clients, TlsError};

/// The most bytes of a name that are used: those a common name may have (RFC 5280, ub-common-name).
const NAME: usize = 64;

/// What is known of who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// Nothing was asked for.
    NotAsked,
    /// No certificate was shown.
    Missing {
        /// Although one is needed.
        required: bool,
    },
    /// One was shown that is not believed, for this reason.
    Untrusted(Arc<str>),
    /// One was shown that an authority vouches for, and this is its name.
    Trusted(Arc<str>),
    /// It speaks cleartext where TLS is to be spoken.
    Misdirected,
}

/// Who is believed about clients.
#[derive(Clone)]
pub(super) struct Authorities {
    certificates: Vec<X509>,
    required: bool,
    depth: u32,
}

/// A handshake in which a certificate is asked for.
pub(super) struct Asking {
    required: bool,
    /// The first thing that is wrong with what was shown.
    wrong: Arc<OnceLock<String>>,
}

impl Authorities {
    pub(super) fn of(clients: &Clients) -> Result<Self, TlsError> {
        let wrong = |why: &str| TlsError::Authorities(why.to_owned());
        let certificates = X509::stack_from_pem(clients.authorities.as_bytes())
            .map_err(|_| wrong("a certificate of an authority cannot be read"))?;
        if certificates.is_empty() {
            return Err(wrong("it holds no certificate"));
        }
        Ok(Self { certificates, required: clients.required, depth: clients.depth })
    }

    /// Has them believed. Clients are not told their names: they show what they have.
    pub(super) fn trust_in(&self, context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        self.certificates.iter().try_for_each(|certificate| store.add_cert(certificate))?;
        context.set_cert_store_builder(store);
        context.set_verify_depth(self.depth);
        Ok(())
    }

    /// Has the client of this handshake asked.
    pub(super) fn ask(&self, ssl: &mut SslRef) -> Asking {
        let wrong = Arc::new(OnceLock::new());
        let asking = Asking { required: self.required, wrong: Arc::clone(&wrong) };
        ssl.set_verify_callback(SslVerifyMode::PEER, move |is_fine, chain| {
            if !is_fine {
                let why = chain.verify_result().err();
                let why = why.map_or("it is not valid", |error| error.error_string());
                let _ = wrong.set(why.to_owned()); // the first counts
            }
            true
        });
        asking
    }
}

impl Asking {
    /// What the client answered, after the handshake.
    pub(super) fn answer(self, ssl: &SslRef) -> Credential {
        let Some(certificate) = ssl.peer_certificate() else {
            return Credential::Missing { required: self.required };
        };
        // Either alone should say it: neither is left out.
        let wrong = self.wrong.get().cloned();
        let verified = ssl.verify_result().map_err(|error| error.error_string().to_owned());
        match wrong.or(verified.err()) {
            Some(why) => Credential::Untrusted(why.into()),
            None => Credential::Trusted(name(&certificate)),
        }
    }
}

/// Its common name; without one, its fingerprint.
fn name(certificate: &X509Ref) -> Arc<str> {
    let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
    let common = common.and_then(|entry| entry.data().as_utf8().ok().map(|text| text.to_string()));
    let common = common.map(|text| printable(&text)).filter(|text| !text.is_empty());
    common.unwrap_or_else(|| fingerprint(certificate)).into()
}

fn printable(text: &str) -> String {
    let shown = text.trim().chars().map(|c| if c.is_control() { '?' } else { c });
    shown
        .scan(0, |length, c| {
            *length += c.len_utf8();
            (*length <= NAME).then_some(c)
        })
        .collect()
}

fn fingerprint(certificate: &X509Ref) -> String {
    let digest = certificate.digest(MessageDigest::sha256());
    let digits: String =
        digest.iter().flat_map(|bytes| bytes.iter()).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}
