//! TLS in front: server name → certificate, then the handshake.
//!
//! One context serves all workers, so that a session begun with one resumes with any. The
//! certificate is looked up during each handshake in the worker's own snapshot: one that was
//! changed is shown from the next handshake on. Whoever stalls is dropped at a deadline.

mod default; // what is shown when no certificate is for a name
mod hello; // what a client says it takes

use super::pace::Pace;
use crate::door::Transport;
use crate::options::{Tls, TlsVersion};
use crate::snapshot::Reader;
use crate::snapshot::certificates::{Identity, KeyPair};
use boring::error::ErrorStack;
use boring::ex_data::Index;
use boring::ssl::{
    AlpnError, ClientHello, NameType, SelectCertError, Ssl, SslContext, SslContextBuilder,
    SslMethod, SslMode, SslOptions, SslRef, SslSessionCacheMode, SslVersion,
};
use default::Fallback;
use hello::Takes;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_boring::{SslStream, SslStreamBuilder};

/// A client's connection after its handshake.
pub(super) type TlsStream = SslStream<TcpStream>;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate shown by default cannot be used.
    #[error("the default certificate cannot be used: {0}")]
    Default(String),
    /// No cipher of the list is one we know.
    #[error("`{0}` names no cipher that can be used")]
    Ciphers(String),
    /// The library failed.
    #[error("the TLS library failed")]
    Library(#[from] ErrorStack),
}

/// What is begun with for every TLS connection.
pub(crate) struct Terminator {
    context: SslContext,
    offer: Index<Ssl, Offer>,
}

/// What one connection is offered.
pub(crate) struct Offer {
    /// Where its certificate comes from.
    pub(crate) snapshots: Arc<Reader>,
    /// What may be spoken inside.
    pub(crate) alpn: Alpn,
}

/// What is agreed on in a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpn {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, or else that.
    Http2,
    /// Nothing: what a stream carries is not our business.
    Any,
}

/// How a handshake ended without a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The client begins with something that is a request, not a handshake.
    #[error("plain HTTP on a TLS port")]
    Plain(TcpStream),
    /// The client left, or there is no agreement with it.
    #[error("{0}")]
    Refused(String),
    /// It took too long.
    #[error("the handshake took too long")]
    TooSlow,
}

impl Terminator {
    /// Prepares what all workers share.
    pub(crate) fn new(options: &Tls) -> Result<Terminator, TlsError> {
        let default = Fallback::new(&options.certificates)?;
        let offer = Ssl::new_ex_index()?;
        let mut context = SslContext::builder(SslMethod::tls())?;
        configure(&mut context, options)?;
        context
            .set_select_certificate_callback(move |hello| select(hello, offer, default.identity()));
        context.set_alpn_select_callback(move |ssl, offered| {
            let ours: &[u8] = match ssl.ex_data(offer).map(|offer| offer.alpn) {
                Some(Alpn::Http2) => b"\x02h2\x08http/1.1",
                Some(Alpn::Http1) => b"\x08http/1.1",
                Some(Alpn::Any) | None => return Err(AlpnError::NOACK),
            };
            boring::ssl::select_next_proto(ours, offered).ok_or(AlpnError::NOACK)
        });
        Ok(Terminator { context: context.build(), offer })
    }

    /// A handshake that is yet to be made.
    pub(crate) fn begin(&self, offer: Offer) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_ex_data(self.offer, offer);
        Ok(ssl)
    }

    /// Performs the handshake with a client that has just connected.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        offer: Offer,
        pace: &Pace,
        deadline: Instant,
    ) -> Result<TlsStream, Failed> {
        let handshake = async {
            if speaks_plainly(&stream).await.map_err(|e| Failed::Refused(e.to_string()))? {
                return Err(Failed::Plain(stream));
            }
            let library = |error: ErrorStack| Failed::Refused(error.to_string());
            let ssl = self.begin(offer).map_err(library)?;
            let shaken = pace.paced(SslStreamBuilder::new(ssl, stream).accept()).await;
            shaken.map_err(|error| Failed::Refused(error.to_string()))
        };
        timeout_at(deadline, handshake).await.unwrap_or(Err(Failed::TooSlow))
    }
}

/// Whether the first byte begins a method: those of TLS records are no letters.
async fn speaks_plainly(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0].is_ascii_uppercase()),
    }
}

fn configure(context: &mut SslContextBuilder, options: &Tls) -> Result<(), TlsError> {
    context.set_min_proto_version(Some(version(options.oldest)))?;
    context.set_max_proto_version(Some(version(options.newest)))?;
    if let Some(ciphers) = &options.ciphers {
        let known = context.set_cipher_list(ciphers);
        known.map_err(|_| TlsError::Ciphers(ciphers.clone()))?;
    }
    if options.prefer_server_ciphers {
        context.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
    }
    if !options.session_tickets {
        context.set_options(SslOptions::NO_TICKET);
    }
    // Sessions live in tickets: a cache would be shared by workers, and locked.
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_session_id_context(b"gateway")?;
    context.set_mode(
        SslMode::AUTO_RETRY
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::RELEASE_BUFFERS,
    );
    Ok(())
}

fn version(version: TlsVersion) -> SslVersion {
    match version {
        TlsVersion::V1_0 => SslVersion::TLS1,
        TlsVersion::V1_1 => SslVersion::TLS1_1,
        TlsVersion::V1_2 => SslVersion::TLS1_2,
        TlsVersion::V1_3 => SslVersion::TLS1_3,
    }
}

/// Chooses a certificate before anything else of the handshake is decided.
fn select(
    mut hello: ClientHello<'_>,
    offer: Index<Ssl, Offer>,
    default: &Identity,
) -> Result<(), SelectCertError> {
    let takes = Takes::of(&hello);
    let offer = hello.ssl().ex_data(offer).ok_or(SelectCertError::ERROR)?;
    let snapshot = offer.snapshots.pin();
    let named = hello.servername(NameType::HOST_NAME);
    let found = named.and_then(|name| snapshot.certificates.find(name));
    let identity = found.map_or(default, Arc::as_ref);
    let pair = identity.choose(|kind| takes.signed_by(kind));
    show(hello.ssl_mut(), pair).map_err(|_| SelectCertError::ERROR)
}

fn show(ssl: &mut SslRef, pair: &KeyPair) -> Result<(), ErrorStack> {
    ssl.set_certificate(pair.leaf())?;
    ssl.set_private_key(pair.key())?;
    pair.chain().iter().try_for_each(|certificate| ssl.add_chain_cert(certificate))
}

/// The name a client asked for, as it is compared: lower case.
pub(super) fn server_name(stream: &TlsStream) -> Option<Box<str>> {
    let name = stream.ssl().servername(NameType::HOST_NAME)?;
    Some(name.to_ascii_lowercase().into())
}

/// Whether HTTP/2 was agreed on.
pub(super) fn is_http2(stream: &TlsStream) -> bool {
    stream.ssl().selected_alpn_protocol() == Some(b"h2")
}

impl Transport for TlsStream {
    type Timer = tokio::time::Sleep;

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ssl().pending() > 0 {
            return Poll::Ready(Ok(())); // deciphered already, nothing more may come
        }
        self.get_ref().poll_read_ready(cx)
    }

    fn fd(&self) -> RawFd {
        self.get_ref().as_raw_fd()
    }
}
