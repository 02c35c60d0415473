//! Who gets in over real sockets, and what the others are told.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use boring::pkey::PKey;
use boring::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use boring::x509::X509;
use cluster::client::{self, Client};
use cluster::protocol::{Message, Pong};
use cluster::server::{self, Server};
use cluster::tls::{Acceptor, Alert, Connector, Credentials, CredentialsError, Secure, TlsError};
use cluster::{KeyPairPem, gen_cert};
use model::Revision;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_boring::SslStreamBuilder;

fn pair() -> KeyPairPem {
    gen_cert(1095).unwrap()
}

fn credentials(pair: &KeyPairPem) -> Credentials {
    Credentials::from_pem(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap()
}

/// A control plane on a loopback port.
fn serve(pair: &KeyPairPem, source: &Source) -> (Server, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = server::Options {
        listeners: vec![listener],
        credentials: credentials(pair),
        hub: hub_options(source),
    };
    let server = Server::start(options, source.revisions.subscribe()).unwrap();
    let address = server.addresses()[0];
    (server, address)
}

fn dial(pair: &KeyPairPem, control_planes: &[SocketAddr], prefix: &std::path::Path) -> Client {
    Client::start(client::Options {
        control_planes: control_planes.iter().map(ToString::to_string).collect(),
        credentials: credentials(pair),
        node: node_options(prefix, Revision::empty(), Arc::default()),
    })
    .unwrap()
}

/// A TLS client that is not ours: it checks nothing and shows what it is given.
fn stranger(shows: Option<&KeyPairPem>, alpn: Option<&[u8]>) -> SslContextBuilder {
    let mut builder = SslContextBuilder::new(SslMethod::tls()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    if let Some(pair) = shows {
        builder.set_certificate(&X509::from_pem(pair.certificate.as_bytes()).unwrap()).unwrap();
        builder.set_private_key(&PKey::private_key_from_pem(pair.key.as_bytes()).unwrap()).unwrap();
    }
    if let Some(alpn) = alpn {
        builder.set_alpn_protos(alpn).unwrap();
    }
    builder
}

const OURS: &[u8] = b"\x11gateway-cluster/1";

async fn connect(context: &SslContext, address: SocketAddr) -> std::io::Result<Secure<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let ssl = Ssl::new(context).unwrap();
    SslStreamBuilder::new(ssl, stream)
        .connect()
        .await
        .map_err(|e| std::io::Error::other(e.to_string()))
}

/// Both ends of a handshake.
async fn shake(cp: &KeyPairPem, dp: &KeyPairPem) -> (Result<(), TlsError>, Result<(), TlsError>) {
    let (acceptor, connector) =
        (Acceptor::shared(&credentials(cp)).unwrap(), Connector::shared(&credentials(dp)).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) };
    let client =
        async { connector.connect(TcpStream::connect(address).await.unwrap()).await.map(drop) };
    tokio::join!(server, client)
}

#[tokio::test]
async fn the_right_pair_is_accepted() {
    let (pair, source) = (pair(), Source::new());
    let (server, address) = serve(&pair, &source);
    let prefix = tempfile::tempdir().unwrap();
    let node = dial(&pair, &[address], prefix.path());
    let head = source.put(1, "one.test");
    let mut revisions = node.revisions();
    timeout(Duration::from_secs(20), revisions.wait_for(|revision| revision.id == head.id))
        .await
        .unwrap()
        .unwrap();

    let row = server.vitals().data_planes().remove(0);
    assert_eq!((row.id, row.ip.to_string().as_str()), (node.id(), "127.0.0.1"));
    assert_eq!(row.cert_details.expiry_timestamp, Some(credentials(&pair).facts().expires));
    assert_eq!(node.link().borrow().as_deref(), Some(address.to_string().as_str()));

    node.shutdown().await;
    server.shutdown().await;
}

#[tokio::test]
async fn another_pair_is_refused_and_both_ends_know_why() {
    let (cp, dp) = (pair(), pair());
    let (cp_digest, dp_digest) = (credentials(&cp).facts().sha256, credentials(&dp).facts().sha256);
    let (server, client) = shake(&cp, &dp).await;
    let server = server.expect_err("the control plane refuses");
    assert!(
        matches!(server, TlsError::OtherCertificate { shown, pinned } if shown == dp_digest && pinned == cp_digest)
    );
    assert!(
        server.to_string().contains(&dp_digest.to_string())
            && server.to_string().contains(&cp_digest.to_string())
    );
    let client = client.expect_err("the data plane refuses");
    assert!(
        matches!(client, TlsError::OtherCertificate { shown, pinned } if shown == cp_digest && pinned == dp_digest)
    );
}

#[tokio::test]
async fn both_logs_say_why() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber); // this thread's: the test runs on one

    let (cp, dp, source) = (pair(), pair(), Source::new());
    let (_server, address) = serve(&cp, &source);
    let prefix = tempfile::tempdir().unwrap();
    let _node = dial(&dp, &[address], prefix.path());
    let digests = [&cp, &dp].map(|pair| credentials(pair).facts().sha256.to_string());
    let says = |who: &str| {
        log.lines().into_iter().any(|line| {
            line.contains("ERROR")
                && line.contains(who)
                && digests.iter().all(|digest| line.contains(digest))
        })
    };
    until("the control plane says why", || says("data plane at 127.0.0.1:")).await;
    until("the data plane says why", || says(&format!("control plane {address}"))).await;
}

/// Lines logged by this test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.0.lock().unwrap()).lines().map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}

#[tokio::test]
async fn a_client_that_checks_nothing_is_told_when_it_reads() {
    let (cp, dp) = (pair(), pair());
    let acceptor = Acceptor::shared(&credentials(&cp)).unwrap();
    let ours = Connector::shared(&credentials(&dp)).unwrap();
    for (shows, alert) in [(Some(&dp), 42), (None, 116)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let context = stranger(shows, Some(OURS)).build();
        let server = async {
            acceptor
                .accept(listener.accept().await.unwrap().0)
                .await
                .map(drop)
                .expect_err("refuses")
        };
        let client = async {
            let mut stream = connect(&context, address).await.expect("the handshake looks fine");
            stream.write_all(b"hello").await.unwrap();
            stream.read_u8().await.expect_err("is refused")
        };
        let (server, client) = tokio::join!(server, client);
        match shows {
            Some(_) => assert!(matches!(server, TlsError::OtherCertificate { .. }), "{server}"),
            None => assert!(matches!(server, TlsError::NoCertificate { .. }), "{server}"),
        }
        let refusal = ours.refusal_in(&client).expect("is understood");
        assert!(
            matches!(refusal, TlsError::RefusedUs { alert: Alert(a), .. } if a == alert),
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn older_tls_is_refused() {
    let (pair, source) = (pair(), Source::new());
    let (_server, address) = serve(&pair, &source);
    let mut builder = stranger(Some(&pair), Some(OURS));
    builder.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
    connect(&builder.build(), address).await.expect_err("TLS 1.2 is too old");
}

#[tokio::test]
async fn http_is_answered_400() {
    let (pair, source) = (pair(), Source::new());
    let (_server, address) = serve(&pair, &source);
    let request = b"GET /v1/outlet?node_id=1 HTTP/1.1\r\nhost: cp\r\n\r\n";

    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(request).await.unwrap();
    check_400(&mut plain).await;

    for alpn in [None, Some(&b"\x08http/1.1"[..])] {
        let mut kong = connect(&stranger(Some(&pair), alpn).build(), address).await.unwrap();
        kong.write_all(request).await.unwrap();
        check_400(&mut kong).await;
    }
}

async fn check_400(stream: &mut (impl AsyncReadExt + Unpin)) {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await; // TLS may end without close_notify
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    assert!(answer.ends_with("not HTTP."), "{answer:?}");
}

#[tokio::test]
async fn no_session_can_be_resumed() {
    let (pair, source) = (pair(), Source::new());
    let (_server, address) = serve(&pair, &source);
    let tickets = Arc::new(AtomicUsize::new(0));
    let mut builder = stranger(Some(&pair), Some(OURS));
    builder.set_session_cache_mode(SslSessionCacheMode::CLIENT);
    let counted = Arc::clone(&tickets);
    builder.set_new_session_callback(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let mut stream = connect(&builder.build(), address).await.unwrap();
    // Tickets would come ahead of whatever the control plane says first.
    stream.write_all(&Message::from(Pong {}).encode()).await.unwrap();
    assert!(stream.read_u8().await.is_ok());
    assert_eq!(tickets.load(Ordering::Relaxed), 0);
    assert!(!stream.ssl().session_reused());
}

#[tokio::test]
async fn a_key_of_another_certificate_is_found_at_start() {
    let (one, two) = (pair(), pair());
    let error = Credentials::from_pem(one.certificate.as_bytes(), two.key.as_bytes())
        .expect_err("is no pair");
    assert!(matches!(error, CredentialsError::NotAPair { .. }));
    let error = Credentials::from_pem(one.key.as_bytes(), one.key.as_bytes())
        .expect_err("is no certificate");
    assert!(matches!(error, CredentialsError::Certificate(_)));
    let error = Credentials::from_pem(one.certificate.as_bytes(), one.certificate.as_bytes())
        .expect_err("is no key");
    assert!(matches!(error, CredentialsError::Key(_)));
}

#[tokio::test]
async fn silent_connections_hold_nobody_up_and_another_control_plane_is_tried_at_once() {
    let (pair, source) = (pair(), Source::new());
    let (server, address) = serve(&pair, &source);
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // A port that was free a moment ago and answers with a reset.
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let prefix = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let node = dial(&pair, &[dead, address], prefix.path());
    let mut link = node.link();
    timeout(Duration::from_secs(20), link.wait_for(Option::is_some)).await.unwrap().unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "the pause is for the same control plane only"
    );
    drop(server);
    timeout(Duration::from_secs(20), link.wait_for(Option::is_none)).await.unwrap().unwrap();
}

#[tokio::test]
async fn who_stops_halfway_through_a_handshake_holds_nobody_up() {
    let (pair, source) = (pair(), Source::new());
    let (_server, address) = serve(&pair, &source);
    let hello = client_hello().await;
    for sent in [&hello[..1], &hello[..5], &hello[..hello.len() - 1], &hello] {
        let mut halfway = Vec::new();
        for _ in 0..200 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent).await.unwrap();
            halfway.push(stream);
        }
        check_is_let_in(&pair, address).await;
    }
}

#[tokio::test]
async fn silent_connections_make_way_when_there_are_too_many() {
    let (pair, source) = (pair(), Source::new());
    let (_server, address) = serve(&pair, &source);
    allow_many_sockets();
    let mut silent = Vec::new();
    for _ in 0..1100 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    check_is_let_in(&pair, address).await;
    let mut end = [0];
    let gone = timeout(Duration::from_secs(1), silent[0].read(&mut end)).await;
    assert!(gone.is_ok(), "the first to come is the first to go");
}

/// Shells commonly start processes with 1,024 descriptors, though more may be had.
fn allow_many_sockets() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// What a TLS client says first.
async fn client_hello() -> Vec<u8> {
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let ssl = Ssl::new(&stranger(None, Some(OURS)).build()).unwrap();
    let client =
        tokio::spawn(
            async move { SslStreamBuilder::new(ssl, ours).connect().await.map(drop).is_ok() },
        );
    let mut hello = vec![0; 5];
    theirs.read_exact(&mut hello).await.unwrap();
    let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    hello.resize(5 + length, 0);
    theirs.read_exact(&mut hello[5..]).await.unwrap();
    client.abort();
    hello
}

/// A data plane of this cluster has its link before anybody else runs out of time.
async fn check_is_let_in(pair: &KeyPairPem, address: SocketAddr) {
    let prefix = tempfile::tempdir().unwrap();
    let node = dial(pair, &[address], prefix.path());
    let mut link = node.link();
    let up = timeout(Duration::from_secs(2), link.wait_for(Option::is_some)).await;
    up.expect("nothing is in its way").unwrap();
}
