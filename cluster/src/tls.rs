//! Mutual TLS between planes: whom each end accepts, and why it refused.
//!
//! TLS 1.3 only, with our own ALPN, no session tickets and no session cache: a
//! resumed handshake would skip the check of the peer's certificate. A refusal
//! is a value naming both certificates, so that either log can be read alone.
//! `pinned` decides in shared mode; [`certificate`] reads PEM and DER.

pub mod certificate;
pub mod generate;
mod pinned;

use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use boring::error::ErrorStack;
use boring::ssl::{
    AlpnError, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef,
    SslSessionCacheMode, SslVersion, select_next_proto,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_boring::{SslStream, SslStreamBuilder};

pub use certificate::{CertificateFacts, Credentials, CredentialsError, Fingerprint};

/// The protocol both ends must agree on before the first frame.
pub const ALPN: &str = "gateway-cluster/1";
const ALPN_WIRE: &[u8] = b"\x11gateway-cluster/1";

/// The server name a data plane asks for in shared mode, as Kong's do.
pub const SHARED_SERVER_NAME: &str = "kong_clustering";

/// The exporter label that ties a node's proof to one TLS connection (RFC 8446 §7.5).
const EXPORTER: &str = "EXPORTER-gateway-node";

/// How long a refused peer may take to read why before we hang up.
const LINGER: Duration = Duration::from_secs(1);

/// A TLS stream over `S`, its peer already checked.
pub type Secure<S> = SslStream<S>;

/// The control plane's end.
#[derive(Clone)]
pub struct Acceptor {
    context: SslContext,
    ours: Arc<CertificateFacts>,
}

/// The data plane's end.
#[derive(Clone)]
pub struct Connector {
    context: SslContext,
    ours: Arc<CertificateFacts>,
}

/// Why there is no usable connection with a peer.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The peer is not who it must be. Shared mode: both nodes hold one pair.
    #[error(
        "its certificate (sha256 {shown}) is not the cluster certificate (sha256 {pinned}); cluster_cert must be the same on both nodes"
    )]
    OtherCertificate {
        /// What the peer showed.
        shown: Fingerprint,
        /// What this node was given as `cluster_cert`.
        pinned: Fingerprint,
    },

    /// The peer has no certificate at all.
    #[error("it showed no certificate; the cluster certificate is sha256 {pinned}")]
    NoCertificate {
        /// What this node was given as `cluster_cert`.
        pinned: Fingerprint,
    },

    /// The peer told us, by a TLS alert, that it does not accept us.
    #[error(
        "it refused our certificate (sha256 {ours}) with the TLS alert {alert}; cluster_cert must be the same on both nodes"
    )]
    RefusedUs {
        /// What this node showed.
        ours: Fingerprint,
        /// What the peer answered.
        alert: Alert,
    },

    /// The peer speaks TLS but not our protocol.
    #[error("it does not speak {ALPN}")]
    OtherProtocol,

    /// Anything else that ended the handshake: not TLS, an older version, no common cipher.
    #[error("TLS handshake failed: {0}")]
    Handshake(String),

    /// The connection broke during the handshake.
    #[error("connection lost during the TLS handshake")]
    Io(#[source] io::Error),

    /// This node's TLS settings could not be built.
    #[error("TLS setup failed")]
    Setup(#[from] ErrorStack),
}

/// A TLS alert by number (RFC 8446 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert(pub u8);

impl Acceptor {
    /// Accepts exactly the peers that hold our own certificate (`cluster_mtls = shared`).
    pub fn shared(credentials: &Credentials) -> Result<Self, TlsError> {
        let mut builder = base(credentials)?;
        builder.set_alpn_select_callback(|_, offered| {
            // Someone else's protocol is let through the handshake so that it can be told, in its own words.
            select_next_proto(ALPN_WIRE, offered).ok_or(AlpnError::NOACK)
        });
        pinned::refuse_in_handshake(&mut builder, credentials.facts().sha256);
        Ok(Self { context: builder.build(), ours: credentials.facts_shared() })
    }

    /// Runs the handshake. A refused peer has been told by an alert when this returns.
    ///
    /// The stream may still be that of a peer without our ALPN: ask [`speaks_our_protocol`].
    pub async fn accept<S>(&self, stream: S) -> Result<Secure<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Debug,
    {
        match SslStreamBuilder::new(Ssl::new(&self.context)?, stream).accept().await {
            Ok(stream) => Ok(stream),
            Err(failed) => {
                let error = explain(&failed, self.ours.sha256);
                if let Some(stream) = failed.into_source_stream() {
                    linger(stream).await;
                }
                Err(error)
            }
        }
    }
}

impl Connector {
    /// Accepts exactly the control plane that holds our own certificate (`cluster_mtls = shared`).
    pub fn shared(credentials: &Credentials) -> Result<Self, TlsError> {
        let mut builder = base(credentials)?;
        builder.set_alpn_protos(ALPN_WIRE)?;
        pinned::refuse_after_handshake(&mut builder);
        Ok(Self { context: builder.build(), ours: credentials.facts_shared() })
    }

    /// What this node shows.
    pub fn ours(&self) -> &CertificateFacts {
        &self.ours
    }

    /// Runs the handshake and checks the control plane before anything is sent to it.
    pub async fn connect<S>(&self, stream: S) -> Result<Secure<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Debug,
    {
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_hostname(SHARED_SERVER_NAME)?;
        let mut stream = match SslStreamBuilder::new(ssl, stream).connect().await {
            Ok(stream) => stream,
            Err(failed) => return Err(explain(&failed, self.ours.sha256)),
        };
        if let Err(error) = self.check(&stream) {
            let _ = stream.flush().await; // the peer needs our certificate to say what is wrong
            linger(stream).await;
            return Err(error);
        }
        Ok(stream)
    }

    fn check<S>(&self, stream: &Secure<S>) -> Result<(), TlsError> {
        pinned::check(stream.ssl(), self.ours.sha256)?;
        if speaks_our_protocol(stream.ssl()) { Ok(()) } else { Err(TlsError::OtherProtocol) }
    }

    /// What a broken link means: in TLS 1.3 a client learns only after a successful handshake, by an
    /// alert when it reads, that the server refused its certificate.
    pub fn refusal_in(&self, error: &io::Error) -> Option<TlsError> {
        let stack = error.get_ref()?.downcast_ref::<boring::ssl::Error>()?.ssl_error()?;
        let alert = alert_in(stack).filter(|alert| alert.is_about_certificates())?;
        Some(TlsError::RefusedUs { ours: self.ours.sha256, alert })
    }
}

/// Whether both ends agreed on [`ALPN`].
pub fn speaks_our_protocol(ssl: &SslRef) -> bool {
    ssl.selected_alpn_protocol() == Some(ALPN.as_bytes())
}

/// The peer's certificate, read. `None` if it showed none or one that cannot be read.
pub fn peer_facts(ssl: &SslRef) -> Option<CertificateFacts> {
    CertificateFacts::from_der(&ssl.peer_certificate()?.to_der().ok()?).ok()
}

/// 32 bytes that only the two ends of this connection know: what a node signs to prove its key.
pub fn channel_binding(ssl: &SslRef) -> Result<[u8; 32], ErrorStack> {
    let mut out = [0; 32];
    ssl.export_keying_material(&mut out, EXPORTER, None)?;
    Ok(out)
}

fn base(credentials: &Credentials) -> Result<SslContextBuilder, ErrorStack> {
    let mut builder = SslContextBuilder::new(SslMethod::tls())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    builder.set_max_proto_version(Some(SslVersion::TLS1_3))?;
    builder.set_options(SslOptions::NO_TICKET);
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_certificate(credentials.certificate())?;
    builder.set_private_key(credentials.key())?;
    Ok(builder)
}

fn explain<S: Debug>(failed: &tokio_boring::HandshakeError<S>, ours: Fingerprint) -> TlsError {
    if let Some(verdict) = failed.ssl().and_then(pinned::verdict) {
        return verdict;
    }
    if let Some(error) = failed.as_io_error() {
        return TlsError::Io(io::Error::new(error.kind(), error.to_string()));
    }
    let Some(stack) = stack_of(failed) else {
        return TlsError::Io(io::ErrorKind::UnexpectedEof.into());
    };
    if ssl_reasons(stack).any(|reason| reason == PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        return TlsError::NoCertificate { pinned: ours };
    }
    match alert_in(stack) {
        Some(alert) if alert.is_about_certificates() => TlsError::RefusedUs { ours, alert },
        _ => TlsError::Handshake(reasons(stack)),
    }
}

/// `ERR_LIB_SSL`, which the `boring` crate does not export.
const LIBRARY_SSL: i32 = 16;

/// BoringSSL's reason for a client without a certificate.
const PEER_DID_NOT_RETURN_A_CERTIFICATE: i32 = 192;

fn stack_of<S: Debug>(failed: &tokio_boring::HandshakeError<S>) -> Option<&ErrorStack> {
    failed.source()?.downcast_ref::<boring::ssl::Error>()?.ssl_error()
}

fn reasons(stack: &ErrorStack) -> String {
    let reasons: Vec<_> = stack.errors().iter().filter_map(|e| e.reason()).collect();
    if reasons.is_empty() {
        "unknown reason".to_owned()
    } else {
        reasons.join(", ").to_lowercase().replace('_', " ")
    }
}

/// BoringSSL reports an alert it received as reason 1000 + its number.
fn alert_in(stack: &ErrorStack) -> Option<Alert> {
    let reason = ssl_reasons(stack).find(|reason| *reason >= 1000)?;
    u8::try_from(reason - 1000).ok().map(Alert)
}

fn ssl_reasons(stack: &ErrorStack) -> impl Iterator<Item = i32> {
    stack.errors().iter().filter(|e| e.library_code() == LIBRARY_SSL).map(|e| e.reason_code())
}

/// Lets the peer read our alert: closing with its bytes unread would reset the connection under it.
pub(crate) async fn linger<S>(mut stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut scratch = [0; 4096];
    let drain = async {
        stream.shutdown().await?;
        for _ in 0..16 {
            if stream.read(&mut scratch).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, drain).await; // the link is lost either way
}

impl Alert {
    /// Whether the alert answers a certificate, rather than a broken handshake.
    fn is_about_certificates(self) -> bool {
        matches!(self.0, 41..=46 | 48 | 49 | 113 | 114 | 116)
    }
}

impl Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            48 => "unknown_ca",
            49 => "access_denied",
            116 => "certificate_required",
            other => return write!(f, "{other}"),
        };
        f.write_str(name)
    }
}
