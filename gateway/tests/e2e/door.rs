//! What clients may do to a node: come through a balancer, be slow, send and take a lot.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post};
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::{DbLess, Origin, PATIENCE, Site, free_port, within};

/// Passed on in each direction.
const LARGE: usize = 100 << 20;
/// What the process may grow by meanwhile, kB: a debug build, two workers, buffers on the way.
const GROWTH: u64 = 24 << 10;

/// A node with one route, `/r`.
async fn node(site: &Site, origin: &Origin, route: &str, set: impl FnOnce(&mut DbLess)) -> DbLess {
    let mut node = DbLess::new(site);
    set(&mut node);
    node.start().await;
    let yaml = format!(
        "_format_version: \"3.0\"\nservices:\n- name: s\n  url: {}\n  routes:\n  - name: r\n    paths: [/r]\n{route}",
        origin.url("/")
    );
    let loaded = node.load(&yaml).await;
    assert_eq!(loaded.status, 201, "{}", loaded.body);
    within(PATIENCE, async || node.get("/r").await?.with_status(200)).await;
    node
}

async fn connect(at: SocketAddr) -> TcpStream {
    TcpStream::connect(at).await.unwrap()
}

/// All that is said on a connection, to its end.
async fn answer(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap().unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn clients_come_through_a_balancer_that_speaks_the_proxy_protocol() {
    let site = Site::on(super::LANE).await;
    let origin = Origin::start("shop").await;
    let (relayed, secure) = (free_port(), free_port());
    let node = node(&site, &origin, "", |node| {
        let listeners = format!(
            "{}, {relayed} proxy_protocol reuseport backlog=64, {secure} ssl http2 proxy_protocol",
            node.proxy
        );
        node.process.set("proxy_listen", listeners);
        node.process.set("real_ip_header", "proxy_protocol");
        node.process.set("trusted_ips", "127.0.0.1");
        node.process.set("log_level", "info");
    })
    .await;

    let request = b"GET /r HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x09\x08\x07\x06\x0a\0\0\x01\0\x4d\0\x50";
    for header in [b"PROXY TCP4 9.8.7.6 10.0.0.1 77 80\r\n".as_slice(), binary] {
        let mut client = connect(relayed).await;
        client.write_all(&[header, request].concat()).await.unwrap();
        let said = answer(&mut client).await;
        assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
        assert!(said.contains("\"x-real-ip\":\"9.8.7.6\""), "{said}");
    }
    let mut stranger = connect(relayed).await;
    stranger.write_all(request).await.unwrap();
    assert_eq!(stranger.read(&mut [0; 64]).await.unwrap_or(0), 0);
    node.process.says(&["connection closed: there is no PROXY header"]).await;

    // And before a handshake, by a client that is not ours.
    let mut curl = Command::new("curl");
    curl.args(["-sk", "--http2", "--haproxy-protocol", "-w", " %{http_version}"]);
    curl.arg(format!("https://{secure}/r")).stderr(Stdio::null());
    let Ok(said) = curl.output().await else {
        return eprintln!("skipped: the PROXY protocol before a handshake, for want of curl");
    };
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("\"x-real-ip\":\"127.0.0.1\"") && said.ends_with(" 2"), "{said}");
}

/// Takes what it is sent, and sends as much as it is asked for.
async fn bulk() -> Origin {
    let take = async |request: Request| {
        let length = request.headers().get("content-length").cloned();
        let mut stream = request.into_body().into_data_stream();
        let mut taken = 0;
        while let Some(Ok(data)) = stream.next().await {
            taken += data.len();
        }
        format!(
            "{taken} of {}",
            length.map_or("unknown".into(), |l| l.to_str().unwrap().to_owned())
        )
    };
    let give = async || {
        let piece = axum::body::Bytes::from(vec![b'x'; 64 << 10]);
        let pieces = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
        Body::from_stream(pieces.take(LARGE / (64 << 10)))
    };
    Origin::serve(
        Router::new()
            .route("/", get(async || "here"))
            .route("/take", post(take))
            .route("/give", get(give)),
    )
    .await
}

/// The most memory the process has had, kB.
fn peak(node: &DbLess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn upload(node: &DbLess) -> String {
    let mut client = connect(node.proxy).await;
    let head = "POST /r/take HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    for _ in 0..LARGE >> 20 {
        client.write_all(&chunk).await.unwrap();
    }
    client.write_all(b"0\r\n\r\n").await.unwrap();
    let said = answer(&mut client).await;
    said.split("\r\n\r\n").last().unwrap().trim().to_owned()
}

async fn download(node: &DbLess) -> usize {
    let mut client = connect(node.proxy).await;
    let request = "GET /r/give HTTP/1.0\r\nHost: a\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut piece, mut taken) = (vec![0; 256 << 10], 0);
    loop {
        // A client that is slower than its origin.
        tokio::time::sleep(Duration::from_millis(1)).await;
        match client.read(&mut piece).await.unwrap() {
            0 => return taken,
            read => taken += read,
        }
    }
}

#[tokio::test]
async fn bodies_of_any_size_pass_in_the_same_memory() {
    let site = Site::on(super::LANE).await;
    let origin = bulk().await;
    for (buffering, expected) in [(true, LARGE.to_string()), (false, "unknown".to_owned())] {
        let route =
            format!("    request_buffering: {buffering}\n    response_buffering: {buffering}\n");
        let mut node = node(&site, &origin, &route, |_| {}).await;
        let before = peak(&node);
        assert!(upload(&node).await.contains(&format!("{LARGE} of {expected}")));
        assert!(download(&node).await > LARGE);
        let grown = peak(&node) - before;
        assert!(grown < GROWTH, "buffering {buffering}: by {grown} kB");
        let kept = std::fs::read_dir(node.process.prefix().join("client_body_temp"));
        assert_eq!(kept.map_or(0, Iterator::count), 0);
        node.process.kill();
    }
}
