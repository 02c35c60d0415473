//! Which certificate a TLS client is shown.
//!
//! [`Certificates`] is compiled with the snapshot: keys are read and held against their
//! certificates there, so a handshake only looks one up. A name is looked for as it is, then
//! with its first label replaced by `*`, then with its last, then as `*` alone.

use super::trust::Fingerprint;
use boring::error::ErrorStack;
use boring::pkey::{Id as KeyType, PKey, PKeyRef, Private};
use boring::sha::Sha256;
use boring::x509::{X509, X509Ref};
use imbl::{OrdMap, OrdSet};
use model::config::Difference;
use model::entities::{Certificate, Sni};
use model::value::Referable;
use model::vitals::Problem;
use model::{Config, EntityKind, Id};
use std::sync::Arc;

/// The code of a certificate or key that cannot be used.
pub const UNUSABLE: &str = "certificate";

/// Bits of an RSA key below which no handshake comes to an end: refused with its revision rather
/// than one client at a time.
const WEAKEST: u32 = 1024;

/// Bytes of a certificate and its chain that some client still takes: Go's does, others stop at
/// 100 KiB or less. All of it would be held for each handshake.
const MOST: usize = 256 * 1024;

/// How many certificates are named in a line.
const NAMED: usize = 5;

/// All certificates, and the names they are shown for. Immutable, cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    by_id: OrdMap<Id<Certificate>, Arc<Identity>>,
    /// By name in lower case. Of names that differ in case only, that with the lowest id counts.
    names: OrdMap<(Arc<str>, Id<Sni>), Id<Certificate>>,
    /// Those that a vault has.
    elsewhere: OrdSet<Id<Certificate>>,
}

impl Certificates {
    /// What a client that asks for this name is shown; none if no certificate is for it.
    pub fn find(&self, name: &str) -> Option<&Arc<Identity>> {
        let name = name.rsplit_once(':').map_or(name, |(name, _port)| name).to_ascii_lowercase();
        let first = || name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let last = || name.rsplit_once('.').map(|(rest, _)| format!("{rest}.*"));
        self.exactly(&name)
            .or_else(|| self.exactly(&first()?))
            .or_else(|| self.exactly(&last()?))
            .or_else(|| self.exactly("*"))
    }

    /// The certificate with this id.
    pub(super) fn get(&self, id: Id<Certificate>) -> Option<&Arc<Identity>> {
        self.by_id.get(&id)
    }

    /// A line for the operator, if there are more than `before` that nobody is shown.
    pub(super) fn news(&self, before: &Certificates) -> Option<String> {
        if self.elsewhere.is_subset(&before.elsewhere) {
            return None;
        }
        let ids: Vec<_> = self.elsewhere.iter().take(NAMED).map(ToString::to_string).collect();
        let more = if self.elsewhere.len() > NAMED { ", …" } else { "" };
        Some(format!(
            "certificates that are kept in a vault are shown to nobody, vaults are not followed \
             for them: {} ({}{more})",
            self.elsewhere.len(),
            ids.join(", ")
        ))
    }

    fn exactly(&self, name: &str) -> Option<&Arc<Identity>> {
        let name: Arc<str> = name.into();
        let ((found, _), certificate) = self.names.range((name.clone(), Id::lowest())..).next()?;
        self.by_id.get(certificate).filter(|_| *found == name)
    }

    /// The certificates of `config`, where these are those of `before`. Adds to `problems` what
    /// is wrong with those that changed.
    pub(super) fn patched(
        &self,
        config: &Config,
        before: &Config,
        problems: &mut Vec<Problem>,
    ) -> Certificates {
        let mut next = self.clone();
        for difference in config.all::<Certificate>().since(before.all()) {
            let (Difference::Put(stored) | Difference::Deleted(stored)) = &difference;
            next.elsewhere.remove(&stored.entity.id);
            match difference {
                Difference::Deleted(old) => drop(next.by_id.remove(&old.entity.id)),
                Difference::Put(new) => match Identity::of(&new.entity) {
                    Ok(Some(identity)) => {
                        next.by_id.insert(new.entity.id, Arc::new(identity));
                    }
                    Ok(None) => {
                        next.by_id.remove(&new.entity.id);
                        next.elsewhere.insert(new.entity.id);
                    }
                    Err(flaws) => problems.extend(flaws.iter().map(|f| f.of(new.entity.id))),
                },
            }
        }
        for difference in config.all::<Sni>().since(before.all()) {
            let (Difference::Put(stored) | Difference::Deleted(stored)) = difference;
            let id = stored.entity.id;
            if let Some(old) = before.get(id) {
                next.names.remove(&key(old));
            }
            if let Some(new) = config.get(id) {
                next.names.insert(key(new), new.certificate.id);
            }
        }
        next
    }
}

fn key(sni: &Sni) -> (Arc<str>, Id<Sni>) {
    (sni.name.as_str().to_ascii_lowercase().into(), sni.id)
}

/// What a client is shown: one certificate, or two with keys of different types.
#[derive(Debug)]
pub struct Identity {
    primary: KeyPair,
    alternate: Option<KeyPair>,
}

/// A certificate, the way to its root, and its key. A clone shares them.
#[derive(Clone)]
pub struct KeyPair {
    leaf: X509,
    chain: Vec<X509>,
    key: PKey<Private>,
    kind: KeyKind,
}

/// What sort of signature a key makes, as far as clients care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA.
    Rsa,
    /// On an elliptic curve: its size in bits.
    Ec(u32),
    /// Any other, such as Ed25519.
    Other,
}

/// Something wrong with a certificate or its key, in operators' words.
#[derive(Debug, PartialEq)]
pub(crate) struct Flaw {
    /// The field; none if it is two that do not fit.
    field: Option<&'static str>,
    message: String,
}

impl Flaw {
    fn of(&self, certificate: Id<Certificate>) -> Problem {
        let problem =
            Problem::of(EntityKind::Certificate, certificate, UNUSABLE, self.message.as_str());
        self.field.map_or(problem.clone(), |field| problem.at(field))
    }
}

impl Identity {
    /// One that has a single certificate, or a second one for other clients.
    pub(crate) fn new(primary: KeyPair, alternate: Option<KeyPair>) -> Identity {
        Identity { primary, alternate }
    }

    /// What is known of it; nothing where a vault has it.
    fn of(certificate: &Certificate) -> Result<Option<Identity>, Vec<Flaw>> {
        let Certificate { cert, key, cert_alt, key_alt, .. } = certificate;
        let Some((cert, key)) = cert.value().zip(key.value()) else { return Ok(None) };
        let primary = KeyPair::named(cert.as_str(), key.as_str(), ["cert", "key"]);
        let alternate = cert_alt.as_ref().and_then(Referable::value);
        let alternate = alternate.zip(key_alt.as_ref().and_then(Referable::value));
        let alternate = alternate.map(|(cert, key)| {
            KeyPair::named(cert.as_str(), key.as_str(), ["cert_alt", "key_alt"])
        });
        match (primary, alternate.transpose()) {
            (Ok(primary), Ok(alternate)) => Ok(Some(Identity { primary, alternate })),
            (primary, alternate) => {
                Err(primary.err().into_iter().chain(alternate.err()).flatten().collect())
            }
        }
    }

    /// The one that every entity has.
    pub(super) fn primary(&self) -> &KeyPair {
        &self.primary
    }

    /// The certificate for a client that takes signatures of these kinds. An elliptic-curve key
    /// signs for a fraction of the cost, so it goes first.
    pub(crate) fn choose(&self, takes: impl Fn(KeyKind) -> bool) -> &KeyPair {
        let Some(alternate) = &self.alternate else { return &self.primary };
        let mut pairs = [&self.primary, alternate];
        pairs.sort_by_key(|pair| pair.kind == KeyKind::Rsa);
        pairs.into_iter().find(|pair| takes(pair.kind)).unwrap_or(&self.primary)
    }
}

impl KeyPair {
    /// Reads both from PEM.
    ///
    /// # Errors
    /// What is wrong with either, or that they do not belong together.
    pub(crate) fn from_pem(cert: &str, key: &str) -> Result<KeyPair, String> {
        let words = |flaws: Vec<Flaw>| {
            flaws.into_iter().map(|flaw| flaw.message).collect::<Vec<_>>().join("; ")
        };
        KeyPair::named(cert, key, ["cert", "key"]).map_err(words)
    }

    fn named(cert: &str, key: &str, fields: [&'static str; 2]) -> Result<KeyPair, Vec<Flaw>> {
        let [cert_field, key_field] = fields;
        let invalid = |field, what, error: ErrorStack| Flaw {
            field: Some(field),
            message: format!("invalid {what}: {}", reason(&error)),
        };
        let chain = X509::stack_from_pem(cert.as_bytes())
            .map_err(|error| invalid(cert_field, "certificate", error));
        let key = private_key(key.as_bytes()).map_err(|error| invalid(key_field, "key", error));
        let (chain, key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
        };
        let mut chain = chain.into_iter();
        let leaf = chain.next().ok_or_else(|| vec![no_certificate(cert_field)])?;
        KeyPair::new(leaf, chain.collect(), key).map_err(|flaw| vec![flaw])
    }

    fn new(leaf: X509, chain: Vec<X509>, key: PKey<Private>) -> Result<KeyPair, Flaw> {
        let belongs = leaf.public_key().is_ok_and(|public| key.public_eq(&public));
        if !belongs {
            let message = "certificate does not match key".to_owned();
            return Err(Flaw { field: None, message });
        }
        if key.id() == KeyType::RSA && key.bits() < WEAKEST {
            let message = format!(
                "an RSA key of {} bits cannot sign a handshake; take one of 2048 or more",
                key.bits()
            );
            return Err(Flaw { field: None, message });
        }
        let size = |certificate: &X509| certificate.to_der().map_or(0, |der| der.len());
        let size = size(&leaf) + chain.iter().map(size).sum::<usize>();
        if size > MOST {
            let message = format!(
                "certificate and chain take {size} bytes; no client takes more than {MOST}"
            );
            return Err(Flaw { field: None, message });
        }
        Ok(KeyPair { chain, ..KeyPair::sure(leaf, key) })
    }

    /// A certificate that was just made for this key.
    pub(crate) fn sure(leaf: X509, key: PKey<Private>) -> KeyPair {
        let kind = KeyKind::of(&key);
        KeyPair { leaf, chain: Vec::new(), key, kind }
    }

    /// Tells it from others. The key needs no mention: a certificate has only one.
    pub(super) fn fingerprint(&self) -> Result<Fingerprint, ErrorStack> {
        let mut all = Sha256::new();
        for certificate in [&self.leaf].into_iter().chain(&self.chain) {
            all.update(&certificate.to_der()?);
        }
        Ok(all.finish())
    }

    pub(crate) fn leaf(&self) -> &X509Ref {
        &self.leaf
    }

    pub(crate) fn chain(&self) -> &[X509] {
        &self.chain
    }

    pub(crate) fn key(&self) -> &PKeyRef<Private> {
        &self.key
    }
}

/// Never shows the key.
impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl KeyKind {
    fn of(key: &PKeyRef<Private>) -> KeyKind {
        match key.id() {
            KeyType::RSA => KeyKind::Rsa,
            KeyType::EC => KeyKind::Ec(key.bits()),
            _ => KeyKind::Other,
        }
    }
}

/// A key with a passphrase is none: nobody is there to be asked for it.
pub(super) fn private_key(pem: &[u8]) -> Result<PKey<Private>, ErrorStack> {
    PKey::private_key_from_pem_callback(pem, |_| Ok(0))
}

fn no_certificate(field: &'static str) -> Flaw {
    let message = "invalid certificate: no PEM block of type CERTIFICATE".to_owned();
    Flaw { field: Some(field), message }
}

/// What the library says, without where in its source it says so.
pub(super) fn reason(error: &ErrorStack) -> String {
    let first = error.errors().first().and_then(|error| error.reason());
    first.map_or_else(|| "unreadable".to_owned(), |text| text.to_lowercase().replace('_', " "))
}
