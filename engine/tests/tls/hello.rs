//! Clients that speak TLS.

use boring::nid::Nid;
use boring::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use engine::options::TlsVersion;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_boring::SslStream;

use super::support::{Response, Wire, within};

/// How a client begins.
#[derive(Clone, Default)]
pub(crate) struct Hello {
    pub(crate) name: Option<String>,
    pub(crate) alpn: &'static [u8],
    pub(crate) signs: Option<&'static str>,
    pub(crate) newest: Option<TlsVersion>,
}

impl Hello {
    pub(crate) fn to(name: &str) -> Hello {
        Hello { name: Some(name.to_owned()), ..Hello::default() }
    }

    /// The whole handshake, or why there was none.
    pub(crate) async fn with(self, addr: SocketAddr) -> Result<Secure, String> {
        self.over(within(TcpStream::connect(addr)).await.unwrap()).await
    }

    /// The same on a connection of which something may have been said.
    pub(crate) async fn over(self, stream: TcpStream) -> Result<Secure, String> {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.set_verify(SslVerifyMode::NONE);
        let newest = self.newest.map(|newest| match newest {
            TlsVersion::V1_3 => SslVersion::TLS1_3,
            _ => SslVersion::TLS1_2,
        });
        connector.set_max_proto_version(newest).unwrap();
        if !self.alpn.is_empty() {
            connector.set_alpn_protos(self.alpn).unwrap();
        }
        if let Some(schemes) = self.signs {
            connector.set_sigalgs_list(schemes).unwrap();
        }
        let mut config = connector.build().configure().unwrap();
        config.set_use_server_name_indication(self.name.is_some());
        config.set_verify_hostname(false);
        let name = self.name.as_deref().unwrap_or("localhost");
        let stream = within(tokio_boring::connect(config, name, stream)).await;
        stream.map(|stream| Secure(Wire::new(stream))).map_err(|error| error.to_string())
    }
}

/// A client's connection after its handshake.
pub(crate) struct Secure(pub(crate) Wire<SslStream<TcpStream>>);

impl Secure {
    /// The name in the certificate that was shown.
    pub(crate) fn subject(&self) -> String {
        let shown = self.0.stream.ssl().peer_certificate().unwrap();
        let name = shown.subject_name().entries_by_nid(Nid::COMMONNAME).next().unwrap();
        name.data().as_utf8().unwrap().to_string()
    }

    pub(crate) fn alpn(&self) -> Option<Vec<u8>> {
        self.0.stream.ssl().selected_alpn_protocol().map(<[u8]>::to_vec)
    }

    pub(crate) async fn send(&mut self, text: &str) {
        within(self.0.stream.write_all(text.as_bytes())).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, request: &str) -> Response {
        self.send(request).await;
        self.response().await
    }

    pub(crate) async fn response(&mut self) -> Response {
        within(self.0.response(false)).await.expect("a response")
    }

    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        self.0.buffer.is_empty() && matches!(within(self.0.stream.read(&mut byte)).await, Ok(0))
    }
}
