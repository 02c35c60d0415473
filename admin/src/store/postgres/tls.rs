//! TLS to PostgreSQL by the library that speaks it everywhere else in this program.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::ssl::{ConnectConfiguration, SslConnector, SslMethod, SslVerifyMode, SslVersion};
use boring::x509::X509;
use boring::x509::store::X509StoreBuilder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_boring::{HandshakeError, SslStream};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

use super::options::PostgresTls;

/// What makes a TLS stream of a socket.
#[derive(Clone)]
pub(super) struct BoringTls {
    connector: SslConnector,
    verify: bool,
}

impl BoringTls {
    pub(super) fn new(options: &PostgresTls) -> Result<Self, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        if !options.system {
            builder.set_cert_store_builder(X509StoreBuilder::new()?); // in the place of the system's
        }
        for text in &options.trusted {
            for authority in X509::stack_from_pem(text.as_bytes())? {
                builder.cert_store_mut().add_cert(authority)?;
            }
        }
        let mode = if options.verify { SslVerifyMode::PEER } else { SslVerifyMode::NONE };
        builder.set_verify(mode);
        Ok(Self { connector: builder.build(), verify: options.verify })
    }
}

impl<S> MakeTlsConnect<S> for BoringTls
where
    S: AsyncRead + AsyncWrite + Unpin + Debug + Send + Sync + 'static,
{
    type Stream = Encrypted<S>;
    type TlsConnect = Handshake;
    type Error = ErrorStack;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, ErrorStack> {
        let mut configuration = self.connector.configure()?;
        configuration.set_verify_hostname(self.verify);
        Ok(Handshake { configuration, host: host.to_owned() })
    }
}

/// A handshake to come.
pub(super) struct Handshake {
    configuration: ConnectConfiguration,
    host: String,
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Debug + Send + Sync + 'static,
{
    type Stream = Encrypted<S>;
    type Error = HandshakeError<S>;
    type Future = Pin<Box<dyn Future<Output = Result<Encrypted<S>, HandshakeError<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let Self { configuration, host } = self;
            tokio_boring::connect(configuration, &host, stream).await.map(Encrypted)
        })
    }
}

/// A TLS stream.
pub(super) struct Encrypted<S>(SslStream<S>);

impl<S> TlsStream for Encrypted<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// The hash of the server's certificate (RFC 5929, §4.1), which SCRAM then vouches for: whoever
    /// sits in between has another, even if certificates are not verified.
    fn channel_binding(&self) -> ChannelBinding {
        let certificate = self.0.ssl().peer_certificate();
        let digest = certificate.and_then(|certificate| {
            let algorithm = certificate.signature_algorithm().object().nid();
            certificate.digest(hash_of(algorithm)?).ok()
        });
        digest.map_or_else(ChannelBinding::none, |digest| {
            ChannelBinding::tls_server_end_point(digest.to_vec())
        })
    }
}

/// The hash that goes with a signature: SHA-256 in the place of those that are weaker, none for those
/// that have none of their own, such as Ed25519.
fn hash_of(signature: Nid) -> Option<MessageDigest> {
    match signature.signature_algorithms()?.digest {
        Nid::MD5 | Nid::SHA1 => Some(MessageDigest::sha256()),
        digest => MessageDigest::from_nid(digest),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
