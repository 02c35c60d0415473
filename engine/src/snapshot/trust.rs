//! Which authorities the certificate of an upstream may come from, and whether it does.
//!
//! A [`Trust`] is made once, off the workers, and shared by whatever trusts the same
//! authorities; checking a certificate reads it and changes nothing. The rules are OpenSSL's,
//! as with nginx: a chain ends in a certificate that signed itself, and an intermediate one
//! helps to get there but is no end.

use boring::error::ErrorStack;
use boring::sha::sha256;
use boring::stack::StackRef;
use boring::x509::store::{X509Store, X509StoreBuilder};
use boring::x509::{X509, X509NameRef, X509Ref, X509StoreContext, X509StoreContextRef};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// SHA-256 of a certificate, or of those of several in order.
pub(crate) type Fingerprint = [u8; 32];

/// A set of authorities.
pub(crate) struct Trust {
    store: X509Store,
    fingerprint: Fingerprint,
}

/// Who an upstream must prove to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerName {
    /// It is asked for by this name.
    Dns(String),
    /// An address is no server name (RFC 6066 §3), but may be in a certificate.
    Address(IpAddr),
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerName::Dns(name) => f.write_str(name),
            ServerName::Address(address) => address.fmt(f),
        }
    }
}

/// Why a certificate is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Untrusted {
    /// There is none, or none that can be read.
    #[error("it showed no certificate")]
    Absent,
    /// One on the way from it to an authority is no good.
    #[error("certificate `{subject}` at depth {depth}: {why}")]
    Chain { subject: String, depth: u32, why: &'static str },
    /// It belongs to somebody else.
    #[error("certificate `{subject}` is not for `{name}`")]
    Name { subject: String, name: String },
    /// The request names nobody.
    #[error("the request has no Host that a certificate could be for")]
    Nameless,
    /// There are more intermediate certificates than allowed.
    #[error("{found} intermediate certificates lead to `{subject}`, tls_verify_depth is {most}")]
    TooDeep { subject: String, found: usize, most: u16 },
    /// It, or one that signed it, is for something else than TLS servers.
    #[error("certificate `{subject}` is not for TLS servers")]
    Purpose { subject: String },
    /// The library gave up.
    #[error("the certificate could not be checked: {0}")]
    Library(String),
}

impl From<ErrorStack> for Untrusted {
    fn from(error: ErrorStack) -> Untrusted {
        Untrusted::Library(error.to_string())
    }
}

impl Trust {
    fn of(authorities: &BTreeMap<Fingerprint, X509>) -> Result<Trust, ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        authorities.values().try_for_each(|authority| store.add_cert(authority))?;
        Ok(Trust { store: store.build(), fingerprint: combined(authorities) })
    }

    /// Equal for equal sets.
    pub(crate) fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Whether an upstream that shows these certificates, its own first, is who it is asked
    /// for as. `depth`: how many of them, or of the authorities, may stand between its own and
    /// the one that signed itself.
    pub(crate) fn check(
        &self,
        shown: &StackRef<X509>,
        name: &ServerName,
        depth: u16,
    ) -> Result<(), Untrusted> {
        let leaf = shown.get(0).ok_or(Untrusted::Absent)?;
        let mut context = X509StoreContext::new()?;
        context.init(&self.store, leaf, shown, |context| {
            let wanted = context.verify_param_mut();
            match name {
                ServerName::Dns(name) => wanted.set_host(name)?,
                ServerName::Address(address) => wanted.set_ip(*address)?,
            }
            let passed = context.verify_cert()?;
            Ok(if passed { fits(context, depth) } else { Err(objection(context, name)) })
        })?
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

/// What the library has against a chain.
fn objection(context: &X509StoreContextRef, name: &ServerName) -> Untrusted {
    let subject = context.current_cert().map(subject).unwrap_or_default();
    let Err(error) = context.verify_result() else { return Untrusted::Absent };
    use boring::x509::X509VerifyError as E;
    match error {
        E::HOSTNAME_MISMATCH | E::IP_ADDRESS_MISMATCH => {
            Untrusted::Name { subject, name: name.to_string() }
        }
        _ => Untrusted::Chain { subject, depth: context.error_depth(), why: error.error_string() },
    }
}

/// What the library does not ask of a chain that it has found to hold.
fn fits(context: &X509StoreContextRef, depth: u16) -> Result<(), Untrusted> {
    let chain = context.chain().ok_or(Untrusted::Absent)?;
    let found = chain.len().saturating_sub(2);
    if found > usize::from(depth) {
        let root = chain.get(chain.len() - 1).map(subject).unwrap_or_default();
        return Err(Untrusted::TooDeep { subject: root, found, most: depth });
    }
    // What an authority may be used for was for those to ask who trust it.
    let asked = chain.len().saturating_sub(1).max(1);
    for (depth, certificate) in chain.iter().take(asked).enumerate() {
        if !serves_tls(&certificate.to_der()?, depth == 0) {
            return Err(Untrusted::Purpose { subject: subject(certificate) });
        }
    }
    Ok(())
}

/// Whether a certificate that says what it is for says TLS servers (RFC 5280 §4.2.1.12), and,
/// for the upstream's own, that its key does what TLS needs (§4.2.1.3).
fn serves_tls(der: &[u8], is_leaf: bool) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    let (Ok(extended), Ok(usage)) = (certificate.extended_key_usage(), certificate.key_usage())
    else {
        return false;
    };
    let for_servers = extended.is_none_or(|extended| extended.value.server_auth);
    let for_keys = usage.is_none_or(|usage| {
        let usage = usage.value;
        usage.digital_signature() || usage.key_encipherment() || usage.key_agreement()
    });
    for_servers && (!is_leaf || for_keys)
}

/// So much of whom a certificate is about is told: who shows it decides how long it is.
const SUBJECT: usize = 200;

/// Whom a certificate is about, such as `CN=a.test,O=Shop`.
fn subject(certificate: &X509Ref) -> String {
    spelled(certificate.subject_name())
}

fn spelled(name: &X509NameRef) -> String {
    let entry = |entry: &boring::x509::X509NameEntryRef| {
        let kind = entry.object().nid().short_name().unwrap_or("?");
        format!("{kind}={}", String::from_utf8_lossy(entry.data().as_slice()))
    };
    let whole = name.entries().map(entry).collect::<Vec<_>>().join(",");
    match whole.char_indices().nth(SUBJECT) {
        Some((end, _)) => format!("{}…", whole.get(..end).unwrap_or_default()),
        None => whole,
    }
}

fn combined(authorities: &BTreeMap<Fingerprint, X509>) -> Fingerprint {
    let all: Vec<u8> = authorities.keys().flatten().copied().collect();
    sha256(&all)
}

/// The sets in use by a snapshot and those it came from: equal ones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusts(Arc<Mutex<HashMap<Fingerprint, Weak<Trust>>>>);

impl Trusts {
    /// The set of these authorities.
    pub(crate) fn of(
        &self,
        authorities: &BTreeMap<Fingerprint, X509>,
    ) -> Result<Arc<Trust>, ErrorStack> {
        let fingerprint = combined(authorities);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trust) = known.get(&fingerprint).and_then(Weak::upgrade) {
            return Ok(trust);
        }
        known.retain(|_, trust| trust.strong_count() > 0);
        let trust = Arc::new(Trust::of(authorities)?);
        known.insert(fingerprint, Arc::downgrade(&trust));
        Ok(trust)
    }
}
