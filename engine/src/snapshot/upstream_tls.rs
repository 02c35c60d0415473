//! How TLS is spoken with the upstream of a service: what is shown to it, and what it must show.
//!
//! Compiled with the snapshot, so that a connection only looks things up. Two services whose
//! demands differ in anything have different marks: a connection that was
//! made for one is never used for the other, nor one of an old revision for a new one.

use super::authorities::{Authorities, Authority};
use super::certificates::{Certificates, KeyPair};
use super::trust::{ServerName, Trust, Trusts, Untrusted};
use crate::options;
use boring::error::ErrorStack;
use boring::sha::sha256;
use boring::ssl::{NameType, SslRef};
use boring::x509::X509;
use model::Id;
use model::entities::{CaCertificate, Service};
use pingora::utils::tls::CertKey;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// What a TLS connection to a service is made with.
pub struct UpstreamTls {
    /// What is shown to an upstream that asks, as the lane wants it: no other speaks TLS.
    client: Option<Arc<CertKey>>,
    demand: Arc<Demand>,
    inspection: Inspection,
}

/// Looks at an upstream's certificate once the handshake is over, as nginx does: before anything
/// of a request is sent. What it finds stays with the connection, as a [`Finding`].
pub(crate) type Inspection =
    Arc<dyn Fn(&SslRef) -> Option<Arc<dyn Any + Send + Sync>> + Send + Sync>;

/// What an upstream must show.
struct Demand {
    /// Nothing, unless certificates are verified.
    verification: Option<(Arc<Trust>, u16)>,
    mark: u64,
}

/// What an inspection found.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Which demands were made, as [`UpstreamTls::mark`] says it.
    pub(crate) mark: u64,
    /// The server name that was sent.
    pub(crate) sent: Option<Box<str>>,
    /// Whether they were met.
    pub(crate) verdict: Result<(), Untrusted>,
}

impl UpstreamTls {
    fn new(
        client: Option<&KeyPair>,
        verification: Option<(Arc<Trust>, u16)>,
    ) -> Result<UpstreamTls, ErrorStack> {
        let mark = mark(client, verification.as_ref())?;
        let demand = Arc::new(Demand { mark, verification });
        let held = demand.clone();
        Ok(UpstreamTls {
            client: client.map(|pair| Arc::new(cert_key(pair))),
            inspection: Arc::new(move |ssl| Some(Arc::new(held.inspect(ssl, None)))),
            demand,
        })
    }

    /// What is shown to an upstream that asks for a certificate.
    pub(crate) fn client(&self) -> Option<&Arc<CertKey>> {
        self.client.as_ref()
    }

    /// Stands for all that a connection depends on, besides the address it goes to and the name
    /// that is sent: `address` is what the upstream is asked for as, where that is no name.
    pub(crate) fn mark(&self, address: Option<IpAddr>) -> u64 {
        self.demand.mark_for(address)
    }

    /// How a connection is looked at that is made for a name, or for an address.
    pub(crate) fn inspection(&self, address: Option<IpAddr>) -> Inspection {
        let Some(_) = address else { return self.inspection.clone() };
        let demand = self.demand.clone();
        Arc::new(move |ssl| Some(Arc::new(demand.inspect(ssl, address))))
    }
}

/// Never shows a key.
impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls")
            .field("client", &self.client.is_some())
            .field("verification", &self.demand.verification)
            .finish_non_exhaustive()
    }
}

impl Demand {
    fn mark_for(&self, address: Option<IpAddr>) -> u64 {
        let Some(address) = address else { return self.mark };
        let mut all = self.mark.to_le_bytes().to_vec();
        match address {
            IpAddr::V4(address) => all.extend(address.octets()),
            IpAddr::V6(address) => all.extend(address.octets()),
        }
        folded(&all)
    }

    fn inspect(&self, ssl: &SslRef, address: Option<IpAddr>) -> Finding {
        let sent = ssl.servername(NameType::HOST_NAME);
        Finding {
            mark: self.mark_for(address),
            sent: sent.map(Box::from),
            verdict: self.verify(ssl, sent, address),
        }
    }

    fn verify(
        &self,
        ssl: &SslRef,
        sent: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<(), Untrusted> {
        let Some((trust, depth)) = &self.verification else { return Ok(()) };
        let name = match (sent, address) {
            (Some(name), _) => ServerName::Dns(name.to_owned()),
            (None, Some(address)) => ServerName::Address(address),
            (None, None) => return Err(Untrusted::Nameless),
        };
        trust.check(ssl.peer_cert_chain().ok_or(Untrusted::Absent)?, &name, *depth)
    }
}

fn mark(
    client: Option<&KeyPair>,
    verification: Option<&(Arc<Trust>, u16)>,
) -> Result<u64, ErrorStack> {
    let mut all = Vec::new();
    if let Some((trust, depth)) = verification {
        all.push(b'v');
        all.extend(trust.fingerprint());
        all.extend(depth.to_le_bytes());
    }
    if let Some(pair) = client {
        all.push(b'c');
        all.extend(pair.fingerprint()?);
    }
    Ok(folded(&all))
}

/// As many bits as Pingora's pool has room for.
fn folded(all: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sha256(all);
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn cert_key(pair: &KeyPair) -> CertKey {
    let certificates = [pair.leaf().to_owned()].into_iter().chain(pair.chain().iter().cloned());
    CertKey::new(certificates.collect(), pair.key().to_owned())
}

/// What counts where a service does not say: fixed when the engine starts.
#[derive(Debug)]
pub struct UpstreamDefaults {
    verify: bool,
    depth: u16,
    client: Option<KeyPair>,
    trusted: Trusted,
}

impl Default for UpstreamDefaults {
    /// That of the options, but for the system's authorities: nobody is trusted.
    fn default() -> Self {
        let options::UpstreamTls { verify, verify_depth: depth, .. } = Default::default();
        Self { verify, depth, client: None, trusted: Trusted::default() }
    }
}

impl UpstreamDefaults {
    /// Reads what the options name, but for the system's authorities: see [`Trusted`].
    ///
    /// # Errors
    /// What cannot be read, in operators' words.
    pub(crate) fn new(options: &options::UpstreamTls) -> Result<UpstreamDefaults, String> {
        let pair = options.certificate.as_ref();
        let client = pair.map(|pair| KeyPair::from_pem(&pair.cert, &pair.key)).transpose()?;
        let mut named = Vec::new();
        for pem in &options.authorities {
            let read = X509::stack_from_pem(pem.as_bytes());
            named.extend(read.map_err(|error| format!("an authority cannot be read: {error}"))?);
        }
        let system = options.system_authorities;
        let trusted = Trusted { named, system, trust: OnceLock::new() };
        Ok(UpstreamDefaults {
            verify: options.verify,
            depth: options.verify_depth,
            client,
            trusted,
        })
    }
}

/// Whom services trust that name no authorities. The system's are read when the first service
/// needs them: 30 ms and 2 MiB, once in a process.
#[derive(Debug, Default)]
struct Trusted {
    named: Vec<X509>,
    system: bool,
    trust: OnceLock<Arc<Trust>>,
}

impl Trusted {
    fn get(&self, trusts: &Trusts) -> Result<Arc<Trust>, ErrorStack> {
        if let Some(trust) = self.trust.get() {
            return Ok(trust.clone());
        }
        let mut all = self.named.clone();
        if self.system {
            all.extend(system());
        }
        let trust = trusts.of(&fingerprinted(all)?)?;
        Ok(self.trust.get_or_init(|| trust).clone())
    }
}

/// The system's authorities. Without them nothing is trusted, and every verification fails.
fn system() -> Vec<X509> {
    let Some(file) = openssl_probe::probe().cert_file else {
        tracing::warn!("this system has no bundle of CA certificates to verify upstreams with");
        return Vec::new();
    };
    let read = std::fs::read(&file).map_err(|error| error.to_string());
    let parsed = read.and_then(|pem| X509::stack_from_pem(&pem).map_err(|e| e.to_string()));
    parsed.unwrap_or_else(|error| {
        let file = file.display();
        tracing::warn!(%file, error, "the system's CA certificates cannot be read");
        Vec::new()
    })
}

fn fingerprinted(all: Vec<X509>) -> Result<BTreeMap<[u8; 32], X509>, ErrorStack> {
    let authorities = all.into_iter().map(Authority::new);
    authorities.map(|authority| authority.map(|a| (a.fingerprint, a.certificate))).collect()
}

/// What a service's connections are compiled from, besides the service.
pub(super) struct Sources<'a> {
    pub(super) certificates: &'a Certificates,
    pub(super) authorities: &'a Authorities,
    pub(super) trusts: &'a Trusts,
    pub(super) defaults: &'a UpstreamDefaults,
}

impl Sources<'_> {
    /// How TLS is spoken with this service. What it names and is not there has been told, so
    /// that nobody serves what comes of it.
    pub(super) fn compile(&self, service: &Service) -> Result<UpstreamTls, ErrorStack> {
        let named = service.client_certificate.as_ref().map(|reference| reference.id);
        let client = match named {
            Some(id) => self.certificates.get(id).map(|identity| identity.primary()),
            None => self.defaults.client.as_ref(),
        };
        let verifies = service.tls_verify.unwrap_or(self.defaults.verify);
        let verification = verifies.then(|| {
            let depth = service.tls_verify_depth.unwrap_or(self.defaults.depth);
            Ok((self.trust(service)?, depth))
        });
        UpstreamTls::new(client, verification.transpose()?)
    }

    /// A list, though it be empty, is what counts.
    fn trust(&self, service: &Service) -> Result<Arc<Trust>, ErrorStack> {
        let Some(ids) = &service.ca_certificates else {
            return self.defaults.trusted.get(self.trusts);
        };
        let named =
            ids.iter().filter_map(|id| self.authorities.get(Id::<CaCertificate>::from(*id)));
        let all = named.map(|authority| (authority.fingerprint, authority.certificate.clone()));
        self.trusts.of(&all.collect())
    }
}
