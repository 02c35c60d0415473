//! TLS towards an upstream that is not of our making: openssl, which asks for a certificate.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::support::{Site, free_port};

#[tokio::test]
async fn an_upstream_is_verified_and_sees_who_asks() {
    let site = Site::new().await;
    let (control_plane, data_plane) = site.cluster().await;
    for name in ["authority", "stranger"] {
        certify(site.path(), name, None).await;
    }
    for name in ["server", "client"] {
        certify(site.path(), name, Some("authority")).await;
    }
    let at = free_port();
    let _server = serve(site.path(), at);

    let read = |name: &str| std::fs::read_to_string(site.path().join(name)).unwrap();
    let trusted = control_plane.post("/ca_certificates", json!({ "cert": read("authority.pem") }));
    let trusted = trusted.await["id"].clone();
    let other = control_plane.post("/ca_certificates", json!({ "cert": read("stranger.pem") }));
    let other = other.await["id"].clone();
    let shown = json!({ "cert": read("client.pem"), "key": read("client.key") });
    let shown = control_plane.post("/certificates", shown).await["id"].clone();
    let url = format!("https://localhost:{}/", at.port());
    control_plane.expose("secure", "/secure", &url).await;

    let change = async |change: Value| drop(control_plane.patch("/services/secure", change).await);
    let asked = json!({ "tls_verify": true, "ca_certificates": [trusted] });
    change(asked).await;
    // It wants a certificate, and there is none yet.
    data_plane.answers("/secure", 502).await;
    change(json!({ "client_certificate": { "id": shown } })).await;
    data_plane.answers("/secure", 200).await;
    let page = data_plane.get("/secure").await.unwrap().body;
    assert!(page.contains("CN = client") || page.contains("CN=client"), "{page}");

    change(json!({ "ca_certificates": [other] })).await;
    data_plane.answers("/secure", 502).await;
    change(json!({ "ca_certificates": [other, trusted] })).await;
    data_plane.answers("/secure", 200).await;

    // Changed where it is, and nowhere else.
    let replaced = json!({ "cert": read("authority.pem") });
    let refused = control_plane.send("PATCH", &path_of(&other), replaced).await;
    assert_eq!(refused.json()["code"], 5, "there is one with this certificate: {refused:?}");
    let refused = control_plane.send("DELETE", &path_of(&trusted), Value::Null).await;
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!(19)), "{refused:?}");
    let missing = uuid::Uuid::new_v4();
    let dangling = json!({ "ca_certificates": [missing] });
    let refused = control_plane.send("PATCH", "/services/secure", dangling).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body.contains(&missing.to_string()), "{refused:?}");
    data_plane.answers("/secure", 200).await;

    let patched = json!({ "ca_certificates": null, "tls_verify": false });
    change(patched).await;
    control_plane.delete(&path_of(&trusted)).await;
    data_plane.answers("/secure", 200).await;
}

fn path_of(authority: &Value) -> String {
    format!("/ca_certificates/{}", authority.as_str().unwrap())
}

/// Makes `name.pem` and `name.key`: an authority, or what comes from one and is `localhost`.
async fn certify(place: &Path, name: &str, from: Option<&str>) {
    let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
    let subject = format!("/CN={name}");
    let mut openssl = openssl(place);
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    openssl.args(["-nodes", "-days", "2", "-subj", &subject, "-keyout", &key, "-out", &cert]);
    if let Some(from) = from {
        let (cert, key) = (format!("{from}.pem"), format!("{from}.key"));
        openssl.args(["-CA", &cert, "-CAkey", &key, "-addext", "subjectAltName=DNS:localhost"]);
    }
    let output = openssl.output().await.expect("openssl, an upstream not of ours");
    assert!(output.status.success(), "{output:?}");
}

/// An upstream that lets nobody in without a certificate of the authority, and shows what it was
/// shown.
fn serve(place: &Path, at: SocketAddr) -> Child {
    let mut openssl = openssl(place);
    openssl.args(["s_server", "-accept", &at.to_string(), "-www", "-Verify", "1"]);
    openssl.args(["-verify_return_error", "-CAfile", "authority.pem"]);
    openssl.args(["-cert", "server.pem", "-key", "server.key"]);
    openssl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    openssl.spawn().expect("openssl, an upstream not of ours")
}

fn openssl(place: &Path) -> Command {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(place);
    openssl
}
