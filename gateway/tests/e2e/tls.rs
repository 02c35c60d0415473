//! TLS in front of a data plane, with certificates that come from the control plane.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::{DataPlane, Origin, PATIENCE, Pair, Site, free_port, within};

#[tokio::test]
async fn a_certificate_reaches_the_data_plane_and_is_shown_for_its_names() {
    let site = Site::new().await;
    let control_plane = site.control_plane().await;
    let mut data_plane = DataPlane::new(&site, control_plane.cluster);
    let secure = free_port();
    let listeners = format!("{}, {secure} http2 ssl", data_plane.proxy);
    data_plane.process.set("proxy_listen", listeners);
    data_plane.start().await;
    let origin = Origin::start("shop").await;
    control_plane.expose("shop", "/shop", &origin.url("")).await;

    let pair = Pair::generate(site.path(), "shown");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let (cert, key) = (read(&pair.cert), read(&pair.key));
    let body = json!({ "cert": cert, "key": key, "snis": ["*.shop.test"] });
    control_plane.post("/certificates", body).await;
    data_plane.answers("/shop", 200).await;

    let said = within(PATIENCE, async || {
        let said = ask(secure, "a.shop.test").await;
        if said.contains("CN = kong_clustering") { Ok(said) } else { Err(said) }
    })
    .await;
    assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
    assert!(said.contains("\"x-forwarded-proto\":\"https\""), "{said}");
    assert!(ask(secure, "shop.test").await.contains("CN = localhost"));

    // A key of another certificate never gets that far.
    let other = Pair::generate(site.path(), "other");
    let mixed = json!({ "cert": cert, "key": read(&other.key) });
    let refused = control_plane.send("POST", "/certificates", mixed).await;
    assert_eq!(refused.json()["fields"], json!({ "@entity": ["certificate does not match key"] }));

    // Deleted, it takes its names along.
    control_plane.send("DELETE", "/certificates/*.shop.test", Value::Null).await;
    within(PATIENCE, async || {
        let said = ask(secure, "a.shop.test").await;
        if said.contains("CN = localhost") { Ok(()) } else { Err(said) }
    })
    .await;
}

/// What openssl says of a handshake for this name, and what is answered to a request.
async fn ask(at: SocketAddr, name: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-ign_eof", "-servername", name, "-connect", &at.to_string()]);
    openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = openssl.spawn().expect("openssl, a client not of ours");
    let request = format!("GET /shop HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    client.stdin.take().unwrap().write_all(request.as_bytes()).await.unwrap();
    String::from_utf8_lossy(&client.wait_with_output().await.unwrap().stdout).into_owned()
}
