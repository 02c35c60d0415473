//! Whom an upstream over TLS is addressed as: in the handshake, and in the request.

use boring::pkey::PKey;
use boring::ssl::{NameType, SslAcceptor, SslMethod};
use boring::x509::X509;
use model::testing::{route, service};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::pem;
use crate::support::{Gateway, Wire, config};

/// The server name of a handshake and the Host of the request that came with it.
type Addressed = (Option<String>, String);

/// An origin that remembers whom it was asked as.
async fn origin() -> (SocketAddr, Arc<Mutex<Vec<Addressed>>>) {
    let pair = pem::ec("any");
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_certificate(&X509::from_pem(pair.cert.as_bytes()).unwrap()).unwrap();
    acceptor.set_private_key(&PKey::private_key_from_pem(pair.key.as_bytes()).unwrap()).unwrap();
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, seen) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Addressed>>>::default());
    let remembered = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = tokio_boring::accept(&acceptor, stream).await.unwrap();
            let name = stream.ssl().servername(NameType::HOST_NAME).map(str::to_owned);
            let mut wire = Wire::new(stream);
            let (_, fields) = wire.head().await.unwrap();
            let host = fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
            remembered.lock().unwrap().push((name, host.unwrap().1));
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            wire.stream.write_all(answer).await.unwrap();
        }
    });
    (addr, seen)
}

#[tokio::test]
async fn the_server_name_is_the_host_without_its_port() {
    let (addr, seen) = origin().await;
    let port = addr.port();
    let to = |name: &str, host: &str| {
        service(name).with("protocol", "https").with("host", host).with("port", port).build()
    };
    let (named, numbered) = (to("named", "localhost"), to("numbered", "127.0.0.1"));
    let kept = |name: &str| route(name).path(&format!("/{name}")).with("preserve_host", true);
    let routes = [
        route("named").path("/named").to(&named).build(),
        route("numbered").path("/numbered").to(&numbered).build(),
        kept("kept").to(&numbered).build(),
    ];
    let gateway = Gateway::start(config([named, numbered], routes)).await;
    for (path, host, name, sent) in [
        ("/named", "a.test", Some("localhost"), format!("localhost:{port}")),
        // An address is no server name (RFC 6066 §3).
        ("/numbered", "a.test", None, format!("127.0.0.1:{port}")),
        ("/kept", "A.test:81", Some("A.test"), "A.test:81".to_owned()),
        ("/kept", "[::1]:81", None, "[::1]:81".to_owned()),
    ] {
        let asked = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(gateway.ask(&asked).await.status, 200, "{path} {host}");
        let addressed = seen.lock().unwrap().pop().unwrap();
        assert_eq!(addressed, (name.map(str::to_owned), sent), "{path} {host}");
    }
}
