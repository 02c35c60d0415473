//! Clients and servers that others have written, on both sides of the gateway: gRPC's own
//! implementation, and a WebSocket library. Skipped where there is no Python that has them.

use std::net::SocketAddr;

use crate::support::{DbLess, Pair, Python, Running, Site, free_port};

/// Every kind of call, as the client script names them.
const CALLS: &[&str] = &[
    "unary",
    "server_streaming",
    "client_streaming",
    "bidi",
    "status",
    "early_status",
    "unknown_method",
    "deadline",
    "large_messages",
];

/// What a message of 48 MiB may cost the gateway: windows and buffers of both sides, and what the
/// allocator makes of them; not half of it.
const MOST_KIB: usize = 24 * 1024;

/// A node that speaks HTTP/2 with its clients, with TLS and without.
async fn node(site: &Site, document: &str) -> (DbLess, SocketAddr, Pair) {
    let secure = free_port();
    let pair = Pair::generate(site.path(), "shown");
    let mut node = DbLess::new(site);
    let listeners = format!("{} http2, {secure} http2 ssl", node.proxy);
    node.process.set("proxy_listen", listeners);
    node.process.set("ssl_cert", pair.cert.display());
    node.process.set("ssl_cert_key", pair.key.display());
    node.start().await;
    let loaded = node.load(document).await;
    assert_eq!(loaded.status, 201, "{loaded:?}");
    (node, secure, pair)
}

/// Where it listens.
async fn port_of(server: &mut Running) -> String {
    server.says().await.expect("a port")
}

#[tokio::test]
async fn grpc_calls_of_every_kind() {
    let Some(python) = Python::with("grpc").await else { return };
    let site = Site::new().await;
    let mut server = python.run("grpc_server.py", &["0"]);
    let port = port_of(&mut server).await;
    let (node, secure, pair) = node(&site, &grpc_document(&port)).await;
    let (clear, secure) = (node.proxy.to_string(), secure.to_string());
    let pem = pair.cert.to_str().unwrap();
    let expected: Vec<_> = CALLS.iter().map(|name| format!("ok {name}")).collect();
    let before = node.process.most_memory_kib();
    for arguments in [&["calls", &clear][..], &["calls", &secure, pem]] {
        let said = python.run("grpc_client.py", arguments).ends_well().await;
        assert_eq!(said, expected, "{arguments:?}");
    }
    let more = node.process.most_memory_kib() - before;
    assert!(more < MOST_KIB, "{more} KiB more");
}

#[tokio::test]
async fn a_grpc_server_that_is_killed_is_unavailable_until_it_is_back() {
    let Some(python) = Python::with("grpc").await else { return };
    let site = Site::new().await;
    let mut server = python.run("grpc_server.py", &["0"]);
    let port = port_of(&mut server).await;
    let (node, ..) = node(&site, &grpc_document(&port)).await;
    let proxy = node.proxy.to_string();
    let call = async || python.run("grpc_client.py", &["fails", &proxy]).ends_well().await;
    assert_eq!(call().await, ["OK"]);

    let mut watching = python.run("grpc_client.py", &["watch", &proxy]);
    assert_eq!(watching.says().await.as_deref(), Some("tick"));
    server.kill().await;
    assert_eq!(watching.ends_well().await, ["UNAVAILABLE"]);
    assert_eq!(call().await, ["UNAVAILABLE"]);

    let mut server = python.run("grpc_server.py", &[&port]);
    port_of(&mut server).await;
    assert_eq!(call().await, ["OK"]);
}

fn grpc_document(port: &str) -> String {
    format!(
        "_format_version: '3.0'\nservices:\n- name: calls\n  url: grpc://127.0.0.1:{port}\n  routes:\n  - name: calls\n    protocols: [grpc, grpcs]\n    paths: [/e2e.Test/]\n"
    )
}

#[tokio::test]
async fn a_websocket_client_and_server_talk() {
    let Some(python) = Python::with("websockets").await else { return };
    let site = Site::new().await;
    let mut server = python.run("websocket_server.py", &[]);
    let port = port_of(&mut server).await;
    let document = format!(
        "_format_version: '3.0'\nservices:\n- name: talk\n  url: http://127.0.0.1:{port}\n  routes:\n  - name: talk\n    paths: [/talk]\n"
    );
    let (node, secure, pair) = node(&site, &document).await;
    let (clear, secure) = (format!("ws://{}/talk", node.proxy), format!("wss://{secure}/talk"));
    let pem = pair.cert.to_str().unwrap();
    let expected = ["text", "bytes", "empty", "large", "ping", "many", "close"];
    for arguments in [&[&*clear][..], &[&secure, pem]] {
        let said = python.run("websocket_client.py", arguments).ends_well().await;
        assert_eq!(said, expected.map(|name| format!("ok {name}")), "{arguments:?}");
    }
}
