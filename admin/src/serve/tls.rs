//! TLS in front of the Admin API: what is shown, who is asked for a certificate, and the handshake.
//!
//! No session is ever resumed: a client's certificate is looked at anew each time. What is shown and
//! asked for can be replaced while connections are open; each keeps what it began with.

mod pairs; // what is shown
mod clients; // whom to believe

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use boring::error::ErrorStack;
use boring::ex_data::Index;
use boring::ssl::{
    AlpnError, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions,
    SslSessionCacheMode, SslVersion, select_next_proto,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_boring::{SslStream, SslStreamBuilder};

use super::HEAD_TIMEOUT;
use clients::Authorities;
pub(crate) use clients::Credential;
use pairs::Shown;

/// How long a handshake may take: as long as a head, as with nginx.
pub(super) const HANDSHAKE_TIMEOUT: Duration = HEAD_TIMEOUT;

/// How TLS is spoken on the listeners that do.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The oldest version that is spoken.
    pub oldest: TlsVersion,
    /// The newest.
    pub newest: TlsVersion,
    /// Ciphers of TLS 1.2 and before, in OpenSSL's words; `None` for the library's.
    pub ciphers: Option<String>,
    /// Whether our order of ciphers counts rather than the client's.
    pub prefer_server_ciphers: bool,
    /// What is shown.
    pub certificates: Certificates,
    /// Whether clients are asked for a certificate of theirs.
    pub clients: Option<Clients>,
}

/// Versions 1.2 and 1.3, and a certificate of our own.
impl Default for Tls {
    fn default() -> Self {
        Self {
            oldest: TlsVersion::V1_2,
            newest: TlsVersion::V1_3,
            ciphers: None,
            prefer_server_ciphers: false,
            certificates: Certificates::Own(None),
            clients: None,
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the version it spells")]
pub enum TlsVersion {
    V1_0,
    V1_1,
    V1_2,
    V1_3,
}

impl From<TlsVersion> for SslVersion {
    fn from(version: TlsVersion) -> Self {
        match version {
            TlsVersion::V1_0 => Self::TLS1,
            TlsVersion::V1_1 => Self::TLS1_1,
            TlsVersion::V1_2 => Self::TLS1_2,
            TlsVersion::V1_3 => Self::TLS1_3,
        }
    }
}

/// What a listener shows.
#[derive(Clone, PartialEq, Eq)]
pub enum Certificates {
    /// These pairs of PEM: a certificate with its chain, and its key. Of several, the first whose
    /// key the client can check.
    Given(Vec<(String, String)>),
    /// A self-signed one. It is kept in files that begin so, `.crt` and `.key`, and made where they
    /// are not there; without a place it lasts as long as the process.
    Own(Option<PathBuf>),
}

/// Never shows a key.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(pairs) => write!(f, "Given({} pairs)", pairs.len()),
            Self::Own(place) => f.debug_tuple("Own").field(place).finish(),
        }
    }
}

/// How clients are asked for a certificate (nginx's `ssl_verify_client` and what belongs to it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// PEM of the authorities that are believed.
    pub authorities: String,
    /// Whether who has none is refused.
    pub required: bool,
    /// Intermediate certificates allowed.
    pub depth: u32,
}

/// Why TLS cannot be spoken as told.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the pairs that are to be shown.
    #[error("{}{why}", nth(*.at))]
    Pair {
        /// Which, from 0.
        at: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The authorities of clients' certificates.
    #[error("{0}")]
    Authorities(String),
    /// No cipher of the list is one we know.
    #[error("`{0}` names no cipher that can be used")]
    Ciphers(String),
    /// The pair of our own cannot be made.
    #[error("no certificate could be made")]
    Own(#[source] ErrorStack),
    /// The library failed.
    #[error("the TLS library failed")]
    Library(#[from] ErrorStack),
}

fn nth(at: usize) -> String {
    if at == 0 { String::new() } else { format!("number {}: ", at + 1) }
}

impl Tls {
    /// Whether TLS could be spoken so. Makes and writes nothing.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), TlsError> {
        let shown = match &self.certificates {
            Certificates::Given(pairs) => Some(Shown::given(pairs)?),
            Certificates::Own(_) => None,
        };
        self.ready(Ssl::new_ex_index()?, shown).map(drop)
    }

    fn ready(&self, http2: Index<Ssl, bool>, shown: Option<Shown>) -> Result<Ready, TlsError> {
        let authorities = self.clients.as_ref().map(Authorities::of).transpose()?;
        let mut context = SslContext::builder(SslMethod::tls())?;
        self.configure(&mut context)?;
        context.set_alpn_select_callback(move |ssl, offered| {
            let ours: &[u8] = match ssl.ex_data(http2) {
                Some(true) => b"\x02h2\x08http/1.1",
                _ => b"\x08http/1.1",
            };
            select_next_proto(ours, offered).ok_or(AlpnError::NOACK)
        });
        if let Some(shown) = shown {
            shown.show_in(&mut context);
        }
        if let Some(authorities) = &authorities {
            authorities.trust_in(&mut context)?;
        }
        Ok(Ready { context: context.build(), authorities })
    }

    fn configure(&self, context: &mut SslContextBuilder) -> Result<(), TlsError> {
        context.set_min_proto_version(Some(self.oldest.into()))?;
        context.set_max_proto_version(Some(self.newest.into()))?;
        if let Some(ciphers) = &self.ciphers {
            let known = context.set_cipher_list(ciphers);
            known.map_err(|_| TlsError::Ciphers(ciphers.clone()))?;
        }
        if self.prefer_server_ciphers {
            context.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
        }
        context.set_options(SslOptions::NO_TICKET);
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_mode(
            SslMode::AUTO_RETRY
                | SslMode::ACCEPT_MOVING_WRITE_BUFFER
                | SslMode::ENABLE_PARTIAL_WRITE
                | SslMode::RELEASE_BUFFERS,
        );
        Ok(())
    }
}

/// What new connections begin with.
#[derive(Clone)]
struct Ready {
    context: SslContext,
    authorities: Option<Authorities>,
}

/// Makes TLS connections of others.
pub(crate) struct Terminator {
    http2: Index<Ssl, bool>,
    ready: RwLock<Ready>,
}

/// A connection after its handshake.
pub(super) struct Secured {
    pub(super) stream: SslStream<TcpStream>,
    /// What the client showed.
    pub(super) credential: Credential,
    /// Whether HTTP/2 was agreed on.
    pub(super) is_http2: bool,
}

/// How a handshake ended without a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The client begins with something that is a request, not a handshake.
    #[error("it speaks HTTP, and this listener TLS")]
    Plain(TcpStream),
    /// The client left, or there is no agreement with it.
    #[error("no handshake: {0}")]
    Refused(String),
    /// It took too long.
    #[error("no handshake within {HANDSHAKE_TIMEOUT:?}")]
    TooSlow,
}

impl Terminator {
    /// Prepares what every connection begins with; makes the pair of our own where one is to be shown.
    pub(crate) fn new(tls: &Tls) -> Result<Self, TlsError> {
        let http2 = Ssl::new_ex_index()?;
        let ready = tls.ready(http2, Some(shown(tls)?))?;
        Ok(Self { http2, ready: RwLock::new(ready) })
    }

    /// Has connections that begin from now on begin with this. Nothing changes if it is wrong.
    pub(crate) fn renew(&self, tls: &Tls) -> Result<(), TlsError> {
        let ready = tls.ready(self.http2, Some(shown(tls)?))?;
        *self.ready.write().unwrap_or_else(PoisonError::into_inner) = ready;
        Ok(())
    }

    /// Performs the handshake with a client that has just connected.
    pub(super) async fn accept(&self, stream: TcpStream, http2: bool) -> Result<Secured, Failed> {
        let handshake = timeout(HANDSHAKE_TIMEOUT, self.shake_hands(stream, http2));
        handshake.await.unwrap_or(Err(Failed::TooSlow))
    }

    async fn shake_hands(&self, stream: TcpStream, http2: bool) -> Result<Secured, Failed> {
        if speaks_plainly(&stream).await.map_err(|error| Failed::Refused(error.to_string()))? {
            return Err(Failed::Plain(stream));
        }
        let library = |error: ErrorStack| Failed::Refused(error.to_string());
        let Ready { context, authorities } =
            self.ready.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut ssl = Ssl::new(&context).map_err(library)?;
        ssl.set_ex_data(self.http2, http2);
        let asking = authorities.map(|authorities| authorities.ask(&mut ssl));
        let shaken = SslStreamBuilder::new(ssl, stream).accept().await;
        let stream = shaken.map_err(|error| Failed::Refused(error.to_string()))?;
        let credential = asking.map_or(Credential::NotAsked, |asking| asking.answer(stream.ssl()));
        let is_http2 = stream.ssl().selected_alpn_protocol() == Some(b"h2");
        Ok(Secured { stream, credential, is_http2 })
    }
}

fn shown(tls: &Tls) -> Result<Shown, TlsError> {
    match &tls.certificates {
        Certificates::Given(pairs) => Shown::given(pairs),
        Certificates::Own(place) => Shown::own(place.as_deref()),
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
