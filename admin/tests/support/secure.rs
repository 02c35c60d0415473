//! A client that speaks TLS, with all that a test may want to be different.

use std::net::SocketAddr;

use boring::pkey::PKey;
use boring::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use boring::x509::X509;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_boring::SslStream;

use super::pem::Pair;

/// How a client connects.
#[derive(Default)]
pub(crate) struct Client<'a> {
    /// Who it is.
    pub(crate) pair: Option<&'a Pair>,
    /// What it would speak inside.
    pub(crate) alpn: &'a [u8],
    /// The newest version of TLS it knows.
    pub(crate) newest: Option<SslVersion>,
    /// The signatures it can check.
    pub(crate) signatures: Option<&'a str>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Client<'_> {
    /// Connects; believes whatever it is shown.
    pub(crate) async fn connect(&self, to: SocketAddr) -> Result<SslStream<TcpStream>, String> {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.set_verify(SslVerifyMode::NONE);
        connector.set_max_proto_version(self.newest).unwrap();
        if let Some(Pair { cert, key }) = self.pair {
            connector.set_certificate(&X509::from_pem(cert.as_bytes()).unwrap()).unwrap();
            let key = PKey::private_key_from_pem(key.as_bytes()).unwrap();
            connector.set_private_key(&key).unwrap();
        }
        if !self.alpn.is_empty() {
            connector.set_alpn_protos(self.alpn).unwrap();
        }
        if let Some(signatures) = self.signatures {
            connector.set_sigalgs_list(signatures).unwrap();
        }
        let config = connector.build().configure().unwrap();
        let stream = TcpStream::connect(to).await.unwrap();
        tokio_boring::connect(config, "localhost", stream).await.map_err(|e| e.to_string())
    }

    /// Asks once.
    pub(crate) async fn ask(&self, to: SocketAddr, request: &str) -> Answer {
        let mut stream = self.connect(to).await.unwrap();
        let request = request.replacen("\r\n", "\r\nHost: localhost\r\nConnection: close\r\n", 1);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        Answer::read(&said)
    }

    /// Asks to see something.
    pub(crate) async fn get(&self, to: SocketAddr, path: &str) -> Answer {
        self.ask(to, &format!("GET {path} HTTP/1.1\r\n\r\n")).await
    }
}

impl Answer {
    pub(crate) fn read(said: &[u8]) -> Self {
        let said = String::from_utf8_lossy(said);
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{said:?}"));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }
}

/// What a server shows, as PEM.
pub(crate) fn shown(stream: &SslStream<TcpStream>) -> String {
    let certificate = stream.ssl().peer_certificate().unwrap();
    String::from_utf8(certificate.to_pem().unwrap()).unwrap()
}
