//! TLS, client certificates and tokens, by clients over real sockets, some of them hostile.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use admin::{
    Certificates, Clients, Listener, NewToken, Options, Origins, Role, Rules, Storage, Tls, Tokens,
    serve,
};
use axum::Router;
use axum::routing::get;
use boring::ssl::SslVersion;
use model::judge::Lenient;
use serde_json::{Value, json};
use support::pem::{Issuer, Pair, Purpose, pair, rsa};
use support::secure::{Answer, Client, shown};
use support::{Plane, options};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn listener(tls: bool) -> Listener {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Listener { socket, tls, http2: true }
}

/// A control plane with a listener for cleartext, and one that speaks TLS so.
async fn plane(tls: Tls, change: impl FnOnce(&mut Options)) -> (Plane, SocketAddr) {
    let dir = Arc::new(TempDir::new().unwrap());
    let mut options = options(&dir, Arc::new(Lenient));
    options.listeners.push(listener(true));
    options.tls = tls;
    change(&mut options);
    let plane = Plane::start_with(dir, options).await;
    let secure = plane.server.addresses()[1];
    (plane, secure)
}

fn given(pairs: &[&Pair]) -> Tls {
    let pairs = pairs.iter().map(|pair| (pair.cert.clone(), pair.key.clone()));
    Tls { certificates: Certificates::Given(pairs.collect()), ..Tls::default() }
}

fn rules(lines: &[&NewToken]) -> Rules {
    let lines: Vec<_> = lines.iter().map(|token| token.line.as_str()).collect();
    Rules { tokens: Some(Arc::new(Tokens::parse(&lines.join("\n")).unwrap())), ..Rules::default() }
}

#[tokio::test]
async fn a_pair_of_our_own_is_made_once_and_kept() {
    let dir = TempDir::new().unwrap();
    let place = dir.path().join("ssl/admin-kong-default-ecdsa");
    let own = || Tls { certificates: Certificates::Own(Some(place.clone())), ..Tls::default() };
    let seen = async || {
        let (_plane, at) = plane(own(), |_| {}).await;
        assert_eq!(Client::default().get(at, "/").await.status, 200);
        shown(&Client::default().connect(at).await.unwrap())
    };
    let first = seen().await;
    let mode =
        |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("ssl"), 0o700);
    assert_eq!(mode("ssl/admin-kong-default-ecdsa.key"), 0o600);
    assert_eq!(fs::read_to_string(place.with_extension("crt")).unwrap(), first);
    assert_eq!(seen().await, first, "a restart shows the same");

    for broken in ["crt", "key"] {
        fs::write(place.with_extension(broken), "half a file").unwrap();
        let next = seen().await;
        assert_ne!(next, first, "what cannot be used is made anew");
        assert_eq!(seen().await, next);
    }
    // Where nothing can be kept, it is made for this run.
    let tls =
        Tls { certificates: Certificates::Own(Some("/proc/1/ssl/admin".into())), ..Tls::default() };
    let (_plane, at) = plane(tls, |_| {}).await;
    assert_eq!(Client::default().get(at, "/").await.status, 200);
}

#[tokio::test]
async fn clients_get_the_version_and_the_certificate_they_can_take() {
    let (curve, older) = (pair("curve"), rsa("older"));
    let (_plane, at) = plane(given(&[&curve, &older]), |_| {}).await;
    let any = Client::default().connect(at).await.unwrap();
    assert_eq!((shown(&any), any.ssl().version_str()), (curve.cert.clone(), "TLSv1.3"));
    for (signatures, cert) in [("RSA-PSS+SHA256", &older.cert), ("ECDSA+SHA256", &curve.cert)] {
        let client = Client { signatures: Some(signatures), ..Client::default() };
        assert_eq!(&shown(&client.connect(at).await.unwrap()), cert, "{signatures}");
    }
    let client = Client { newest: Some(SslVersion::TLS1_2), ..Client::default() };
    assert_eq!(client.connect(at).await.unwrap().ssl().version_str(), "TLSv1.2");
    let client = Client { newest: Some(SslVersion::TLS1_1), ..Client::default() };
    assert!(client.connect(at).await.is_err(), "an older version is spoken");
    for (alpn, chosen) in [
        (&b"\x02h2\x08http/1.1"[..], Some(&b"h2"[..])),
        (b"\x08http/1.1", Some(b"http/1.1")),
        (b"\x04ftp/", None),
    ] {
        let client = Client { alpn, ..Client::default() };
        assert_eq!(client.connect(at).await.unwrap().ssl().selected_alpn_protocol(), chosen);
    }
    let no_resumption = Client::default().connect(at).await.unwrap();
    assert!(!no_resumption.ssl().session_reused());
}

#[tokio::test]
async fn http2_is_spoken_inside() {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let (_plane, at) = plane(Tls::default(), |_| {}).await;
    let client = Client { alpn: b"\x02h2", ..Client::default() };
    let stream = TokioIo::new(client.connect(at).await.unwrap());
    let http2 = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut client, connection) = http2.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = http::Request::get("https://localhost/status");
        let answer = client.send_request(request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(answer.unwrap().status(), 200);
    }
}

/// As nginx does it: the handshake goes on, and who is refused is told why.
#[tokio::test]
async fn clients_are_known_by_their_certificates() {
    let (ours, theirs) = (Issuer::new("ours"), Issuer::new("theirs"));
    let long = 100_000;
    let fine = ours.issue("ops@a.test", Purpose::Client, long);
    let nameless = ours.issue("", Purpose::Client, long);
    let expired = ours.issue("late", Purpose::Client, 1);
    let server = ours.issue("server", Purpose::Server, long);
    let foreign = theirs.issue("ops@a.test", Purpose::Client, long);
    let own = pair("myself");
    let ask = |required| Tls {
        clients: Some(Clients { authorities: ours.cert.clone(), required, depth: 1 }),
        ..Tls::default()
    };
    for (required, shows, status, says) in [
        (true, None, 400, "No required SSL certificate was sent"),
        (false, None, 200, ""),
        (true, Some(&fine), 200, ""),
        (false, Some(&fine), 200, ""),
        (true, Some(&nameless), 200, ""),
        (true, Some(&expired), 400, "The SSL certificate error: certificate has expired"),
        (false, Some(&expired), 400, "The SSL certificate error: certificate has expired"),
        (true, Some(&server), 400, "The SSL certificate error: "),
        (true, Some(&foreign), 400, "The SSL certificate error: "),
        (false, Some(&foreign), 400, "The SSL certificate error: "),
        (true, Some(&own), 400, "The SSL certificate error: "),
    ] {
        let (plane, at) = plane(ask(required), |_| {}).await;
        for newest in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            let client = Client { pair: shows, newest: Some(newest), ..Client::default() };
            let answer = client.get(at, "/status").await;
            assert_eq!(answer.status, status, "{}", answer.body);
            assert!(answer.body.contains(says), "{}", answer.body);
        }
        assert_eq!(plane.get("/").await.0, 200, "cleartext asks nobody, as with nginx");
    }

    let (plane, at) = plane(ask(true), |_| {}).await;
    let body = r#"{"host":"a.test"}"#;
    let post = format!(
        "POST /services HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for (shows, who) in [(&fine, "ops@a.test"), (&nameless, "sha256:")] {
        let client = Client { pair: Some(shows), ..Client::default() };
        assert_eq!(client.ask(at, &post).await.status, 201);
        let (_, log) = plane.get("/audit/revisions?size=1").await;
        assert!(log["data"][0]["who"].as_str().unwrap().starts_with(who), "{log}");
        assert_eq!(log["data"][0]["from"], "127.0.0.1");
    }
    let foreign_page = post.replacen("\r\n", "\r\nOrigin: https://evil.test\r\n", 1);
    let client = Client { pair: Some(&fine), ..Client::default() };
    assert_eq!(client.ask(at, &foreign_page).await.status, 403);
}

#[tokio::test]
async fn what_is_no_handshake_harms_nobody() {
    let (plane, at) = plane(Tls::default(), |_| {}).await;
    // Half a handshake, and one that never begins: each holds its place and nothing else.
    let mut half = TcpStream::connect(at).await.unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await.unwrap();
    let _silent = TcpStream::connect(at).await.unwrap();
    for garbage in [&[0u8; 64][..], &[0xff; 1000], b"\x16\x03\x01\xff\xff", b"SSH-2.0-x\r\n\r\n"] {
        let mut client = TcpStream::connect(at).await.unwrap();
        client.write_all(garbage).await.unwrap();
        client.shutdown().await.unwrap();
        let mut said = Vec::new();
        let _ = client.read_to_end(&mut said).await; // an alert, a reset, or nothing
        assert!(!said.starts_with(b"HTTP/1.1 200"), "{garbage:?}");
    }
    let mut plain = TcpStream::connect(at).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: cp\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    plain.read_to_end(&mut said).await.unwrap();
    let answer = Answer::read(&said);
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body, r#"{"message":"The plain HTTP request was sent to HTTPS port"}"#);
    assert!(answer.head.contains("server: kong/"), "{}", answer.head);

    assert_eq!(Client::default().get(at, "/").await.status, 200);
    let (_, status) = plane.get("/status").await;
    assert_eq!(status["server"]["connections_active"], 3, "{status}"); // those two, and who asks
}

#[tokio::test(start_paused = true)]
async fn slow_clients_are_let_go_behind_tls_too() {
    const LARGE: usize = 64 << 20;
    let router = Router::new().route("/", get(async || "x".repeat(LARGE)));
    let plain = listener(true);
    let at = plain.socket.local_addr().unwrap();
    let _serving = serve(vec![plain], &Tls::default(), router).unwrap();
    // It never ends its handshake.
    let start = tokio::time::Instant::now();
    let mut half = TcpStream::connect(at).await.unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    assert_eq!(half.read(&mut [0; 64]).await.unwrap_or(0), 0);
    assert_eq!(start.elapsed().as_secs(), 60);
    // It asks for nothing, a byte of a head at a time.
    let start = tokio::time::Instant::now();
    let mut slow = Client::default().connect(at).await.unwrap();
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX-A: aaaaaaaaaaaaaaaaaaaa" {
        tokio::time::sleep(Duration::from_secs(5)).await;
        if slow.write_all(&[*byte]).await.is_err() {
            break;
        }
    }
    let mut said = Vec::new();
    let _ = slow.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP/1.1 200"), "it was waited for");
    assert!(start.elapsed().as_secs() < 300, "{:?}", start.elapsed());
    // It takes none of its answer.
    let mut stalled = Client::default().connect(at).await.unwrap();
    stalled.write_all(b"GET / HTTP/1.1\r\nHost: cp\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(200)).await;
    let mut taken = 0;
    let mut some = vec![0; 1 << 16];
    while let Ok(more @ 1..) = stalled.read(&mut some).await {
        taken += more;
    }
    assert!(taken < LARGE, "all of it was kept for later");
}

#[tokio::test]
async fn tokens_let_in_and_say_who_it_was() {
    let (ci, eyes) = (
        NewToken::make("ci", Role::Admin).unwrap(),
        NewToken::make("eyes", Role::ReadOnly).unwrap(),
    );
    let (plane, at) = plane(Tls::default(), |options| options.rules = rules(&[&ci, &eyes])).await;
    let request = |method: &str, path: &str, token: &str| {
        let request = plane.request(method, path);
        if token.is_empty() { request } else { request.bearer_auth(token) }
    };
    for (token, method, path, status, asks) in [
        ("", "GET", "/", 401, Some(r#"Bearer realm="Admin API""#)),
        ("", "GET", "/nowhere", 401, Some(r#"Bearer realm="Admin API""#)),
        ("", "POST", "/services", 401, Some(r#"Bearer realm="Admin API""#)),
        ("gat_x", "GET", "/", 401, Some(r#"Bearer realm="Admin API", error="invalid_token""#)),
        ("", "OPTIONS", "/services", 204, None),
        (&eyes.secret, "GET", "/services", 200, None),
        (&eyes.secret, "GET", "/nowhere", 404, None),
        (&eyes.secret, "DELETE", "/services/a", 403, None),
        (&eyes.secret, "POST", "/audit/revisions/1/restore", 403, None),
        (&ci.secret, "DELETE", "/services/a", 204, None),
    ] {
        let answer = request(method, path, token).send().await.unwrap();
        let asked = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), asked), (status, asks), "{method} {path}");
    }
    let sent = request("POST", "/services", &eyes.secret).json(&json!({ "host": "a.test" }));
    assert_eq!(sent.send().await.unwrap().status(), 403);
    let sent = request("POST", "/services", &ci.secret).json(&json!({ "host": "a.test" }));
    assert_eq!(sent.send().await.unwrap().status(), 201);
    let log = request("GET", "/audit/revisions", &eyes.secret).send().await.unwrap();
    let log: Value = log.json().await.unwrap();
    assert_eq!(log["data"][0]["who"], "ci");
    assert_eq!(log["data"][0]["from"], "127.0.0.1");
    assert_eq!(log["data"][0]["what"], "POST /services");

    // Tokens change while connections are open.
    let open = Client::default();
    let other = NewToken::make("other", Role::Admin).unwrap();
    plane.server.renew(&Tls::default(), rules(&[&other])).unwrap();
    assert_eq!(request("GET", "/", &ci.secret).send().await.unwrap().status(), 401);
    assert_eq!(request("GET", "/", &other.secret).send().await.unwrap().status(), 200);
    assert_eq!(open.get(at, "/").await.status, 401);

    // None is needed any more, which is to be seen for as long as it is so.
    let warnings = vec!["everybody may do everything".to_owned()];
    plane
        .server
        .renew(&Tls::default(), Rules { tokens: None, warnings: warnings.clone() })
        .unwrap();
    let (status, told) = plane.get("/status").await;
    assert_eq!((status, &told["warnings"]), (200, &json!(warnings)));
}

#[tokio::test]
async fn ten_thousand_guesses_are_refused_and_counted() {
    const GUESSES: usize = 10_000;
    let ci = NewToken::make("ci", Role::Admin).unwrap();
    let (plane, at) = plane(Tls::default(), |options| options.rules = rules(&[&ci])).await;
    let mut guessing = Client::default().connect(at).await.unwrap();
    let mut said = Vec::new();
    for guess in 0..GUESSES {
        let request = format!(
            "GET /status HTTP/1.1\r\nHost: cp\r\nAuthorization: Bearer gat_{guess:043}\r\n\r\n"
        );
        guessing.write_all(request.as_bytes()).await.unwrap();
        said.clear();
        while !said.ends_with(b"{\"message\":\"Unauthorized\"}") {
            let mut some = [0; 2048];
            let more = guessing.read(&mut some).await.unwrap();
            assert!(more > 0, "the connection ended");
            said.extend_from_slice(&some[..more]);
        }
    }
    let status = plane.request("GET", "/status").bearer_auth(&ci.secret).send().await.unwrap();
    let status: Value = status.json().await.unwrap();
    assert_eq!(status["admin_api"]["requests_unauthorized"], GUESSES);
    assert_eq!(status["warnings"], json!([]));
    assert_eq!(status["admin_api"]["needs_token"], true);
}

/// What is sent along is thrown away, up to a bound; the answer arrives.
#[tokio::test]
async fn who_is_not_let_in_may_say_what_they_like() {
    let ci = NewToken::make("ci", Role::Admin).unwrap();
    let (plane, at) = plane(Tls::default(), |options| options.rules = rules(&[&ci])).await;
    let large = "x".repeat(8 << 20);
    let upload =
        format!("POST /services HTTP/1.1\r\nContent-Length: {}\r\n\r\n{large}", large.len());
    assert_eq!(Client::default().ask(at, &upload).await.status, 401);
    for (headers, status) in [
        (format!("Authorization: Bearer {}\r\n", "y".repeat(20_000)), 401),
        (format!("Authorization: Bearer {}\r\n", "y".repeat(200_000)), 431),
        ("X-A: 1\r\n".repeat(5_000), 431),
    ] {
        let answer = Client::default().ask(at, &format!("GET / HTTP/1.1\r\n{headers}\r\n")).await;
        assert_eq!(answer.status, status);
    }
    assert_eq!(
        plane.request("GET", "/").bearer_auth(&ci.secret).send().await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn certificates_change_while_connections_are_open() {
    let (first, second) = (pair("first"), pair("second"));
    let (plane, at) = plane(given(&[&first]), |_| {}).await;
    let mut open = Client::default().connect(at).await.unwrap();
    assert_eq!(shown(&open), first.cert);
    plane.server.renew(&given(&[&second]), Rules::default()).unwrap();
    assert_eq!(shown(&Client::default().connect(at).await.unwrap()), second.cert);
    open.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    open.read_to_end(&mut said).await.unwrap();
    assert_eq!(Answer::read(&said).status, 200, "what was open stays open");

    let mixed = Tls {
        certificates: Certificates::Given(vec![(first.cert.clone(), second.key.clone())]),
        ..Tls::default()
    };
    let error = plane.server.renew(&mixed, Rules::default()).unwrap_err();
    assert_eq!(error.to_string(), "the key is that of another certificate");
    assert_eq!(
        shown(&Client::default().connect(at).await.unwrap()),
        second.cert,
        "nothing changes"
    );
}

#[tokio::test]
async fn pages_of_the_web_interface_may_read_answers() {
    let dir = Arc::new(TempDir::new().unwrap());
    let origins = Origins::of(["https://manager.test", "http://10.0.0.1:8002"]).unwrap();
    let options = Options { origins, ..options(&dir, Arc::new(Lenient)) };
    let plane = Plane::start_with(dir, options).await;
    for (origin, answered) in [
        (None, "https://manager.test"),
        (Some("http://10.0.0.1:8002"), "http://10.0.0.1:8002"),
        (Some("https://evil.test"), "https://manager.test"),
    ] {
        for (method, path) in [("GET", "/"), ("OPTIONS", "/services"), ("GET", "/nowhere")] {
            let mut request = plane.request(method, path);
            if let Some(origin) = origin {
                request = request.header("Origin", origin);
            }
            let answer = request.send().await.unwrap();
            let said = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(said("access-control-allow-origin"), answered, "{method} {path}");
            assert_eq!(said("access-control-allow-credentials"), "true");
            assert_eq!(said("server"), format!("kong/{}", model::COMPAT));
            assert!(said("x-kong-admin-latency").parse::<u64>().is_ok());
        }
    }
}

#[tokio::test]
async fn the_past_needs_a_database() {
    let options = support::options_of(Storage::Nowhere(None), Arc::new(Lenient));
    let plane = Plane::start_with(Arc::new(TempDir::new().unwrap()), options).await;
    for (method, path) in [
        ("GET", "/audit"),
        ("GET", "/audit/revisions"),
        ("GET", "/audit/revisions/1"),
        ("POST", "/audit/revisions/1/restore"),
    ] {
        let (status, body) = plane.send(method, path, Value::Null).await;
        let message = "this endpoint is only available when Kong is configured to use a database";
        assert_eq!((status, &body["message"]), (400, &json!(message)), "{method} {path}");
    }
}
