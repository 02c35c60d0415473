//! An upstream that speaks TLS and says what it saw.

use super::authority::Issued;
use super::support::Wire;
use boring::ssl::{NameType, SslAcceptor, SslMethod, SslRef, SslVerifyMode};
use boring::x509::X509;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

/// On a port of its own. Answers each request with a [`Seen`].
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    pub(crate) accepted: Arc<AtomicUsize>,
    /// Requests it was sent, answered or not.
    pub(crate) asked: Arc<AtomicUsize>,
}

/// What it says: the how many-th connection, what the client is called in its certificate, how
/// many certificates it showed, the server name, and the protocol agreed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    pub(crate) client: String,
    pub(crate) shown: usize,
    pub(crate) name: String,
    pub(crate) alpn: String,
}

impl Seen {
    pub(crate) fn of(text: &str) -> Seen {
        let mut words = text.split(' ').map(str::to_owned);
        let mut word = || words.next().expect("a word");
        Seen {
            connection: word().parse().expect("a number"),
            client: word(),
            shown: word().parse().expect("a number"),
            name: word(),
            alpn: word(),
        }
    }
}

impl Origin {
    /// Shows this certificate and asks for one, whoever it comes from.
    pub(crate) async fn start(shown: &Issued) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let acceptor = Arc::new(acceptor(shown));
        let origin = Origin { addr, accepted: Arc::default(), asked: Arc::default() };
        let (accepted, asked) = (origin.accepted.clone(), origin.asked.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, acceptor.clone(), connection, asked.clone()));
            }
        });
        origin
    }

    pub(crate) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.addr.port())
    }
}

fn acceptor(shown: &Issued) -> SslAcceptor {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_certificate(&shown.certificate).unwrap();
    acceptor.set_private_key(&shown.key).unwrap();
    shown.above.iter().for_each(|one| acceptor.add_extra_chain_cert(one.clone()).unwrap());
    acceptor.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    acceptor.set_alpn_select_callback(|_, offered| {
        boring::ssl::select_next_proto(b"\x02h2\x08http/1.1", offered)
            .ok_or(boring::ssl::AlpnError::NOACK)
    });
    acceptor.build()
}

async fn serve(
    stream: TcpStream,
    acceptor: Arc<SslAcceptor>,
    connection: usize,
    asked: Arc<AtomicUsize>,
) {
    let Ok(stream) = tokio_boring::accept(&acceptor, stream).await else { return };
    let body = format!("{connection} {}", described(stream.ssl()));
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut wire = Wire::new(stream);
    while wire.head().await.is_some() {
        asked.fetch_add(1, Ordering::SeqCst);
        if wire.stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn described(ssl: &SslRef) -> String {
    let client = ssl.peer_certificate();
    let above = ssl.peer_cert_chain().map_or(0, |chain| chain.len());
    let shown = above + usize::from(client.is_some());
    let name = ssl.servername(NameType::HOST_NAME).unwrap_or("-");
    let alpn = ssl.selected_alpn_protocol().map_or("-".into(), String::from_utf8_lossy);
    let client = client.map_or("-".to_owned(), |certificate| common_name(&certificate));
    format!("{client} {shown} {name} {alpn}")
}

fn common_name(certificate: &X509) -> String {
    let mut names = certificate.subject_name().entries_by_nid(boring::nid::Nid::COMMONNAME);
    names.next().unwrap().data().as_utf8().unwrap().to_string()
}
