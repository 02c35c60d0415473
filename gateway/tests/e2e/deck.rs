//! decK, Kong's own command-line tool, where it is on the path: what it is told is there then, and it
//! finds nothing to do, on either database. What it asks is a test of the Admin API, too.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::databases::postgres::Server;
use crate::databases::{bootstrap, control_plane};
use crate::support::{ControlPlane, Pair, Site};

/// What decK says to this; none if it is not here.
async fn deck(of: &ControlPlane, site: &Site, words: &[&str]) -> Option<String> {
    let mut command = Command::new("deck");
    command.args([
        "--analytics=false",
        "--no-color",
        "--kong-addr",
        &format!("http://{}", of.admin),
    ]);
    command.args(words).current_dir(site.path()).env("HOME", site.path()).stdin(Stdio::null());
    let Ok(output) = command.output().await else {
        eprintln!("skipped: deck is not installed");
        return None;
    };
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, errors) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "deck {}: {said}{errors}", words.join(" "));
    Some(said)
}

/// Something of every kind. Another port of the service is another version of it.
fn shop(pair: &Pair, port: u16) -> Value {
    let read = |path| fs::read_to_string(path).unwrap();
    let id = "5eed0000-0000-4000-8000-000000000001";
    json!({
        "_format_version": "3.0",
        "certificates": [{
            "id": id, "cert": read(&pair.cert), "key": read(&pair.key),
            "snis": [{ "name": "shop.test" }],
        }],
        "services": [{
            "name": "orders", "host": "orders.test", "protocol": "https", "port": port,
            "client_certificate": id,
            "routes": [{ "name": "orders", "paths": ["/orders", "~/o/\\d+$"], "tags": ["shop"] }],
            "plugins": [{ "name": "redirect", "config": { "location": "https://shop.test/" } }],
        }],
        "upstreams": [{
            "name": "orders.test", "hash_on": "ip", "algorithm": "consistent-hashing",
            "healthchecks": { "threshold": 12.5 },
            "targets": [{ "target": "10.0.0.1:80", "weight": 7 }, { "target": "[::1]:80" }],
        }],
        "consumers": [{
            "username": "alice", "custom_id": "a",
            "keyauth_credentials": [{ "key": "k" }],
            "hmacauth_credentials": [{ "username": "alice", "secret": "s" }],
            "jwt_secrets": [{ "key": "j", "secret": "s", "algorithm": "HS256" }],
            "basicauth_credentials": [{ "username": "alice", "password": "p" }],
            "acls": [{ "group": "g" }],
            "oauth2_credentials": [{
                "name": "app", "client_id": "c", "client_secret": "s", "hash_secret": false,
                "client_type": "confidential", "redirect_uris": ["https://shop.test/back"],
            }],
        }],
        "vaults": [{ "name": "env", "prefix": "my-env", "config": { "prefix": "GW_" } }],
        "key_sets": [{ "name": "ours" }],
        "keys": [{
            "name": "k", "kid": "k", "set": { "name": "ours" },
            "jwk": r#"{"kid":"k","kty":"oct","k":"AA"}"#,
        }],
    })
}

async fn is_synced(control_plane: &ControlPlane, site: &Site) {
    if deck(control_plane, site, &["gateway", "ping"]).await.is_none() {
        return;
    }
    let pair = Pair::generate(site.path(), "shown");
    let files = [("first.yaml", 443), ("second.yaml", 444)];
    for (name, port) in files {
        fs::write(site.path().join(name), shop(&pair, port).to_string()).unwrap();
    }
    let say = async |words: &[&str]| deck(control_plane, site, words).await.unwrap();
    say(&["gateway", "validate", "first.yaml"]).await;
    for (file, summary) in [("first.yaml", "Created: 18"), ("second.yaml", "Updated: 1")] {
        let said = say(&["gateway", "sync", file]).await;
        assert!(said.contains(summary), "{said}");
        say(&["gateway", "diff", "--non-zero-exit-code", file]).await;
    }
    say(&["gateway", "dump", "--output-file", "dump.yaml"]).await;
    say(&["gateway", "diff", "--non-zero-exit-code", "dump.yaml"]).await;
    let said = say(&["gateway", "reset", "--force"]).await;
    assert!(said.contains("Deleted: 18"), "{said}");
    assert_eq!(control_plane.get("/services").await["data"], json!([]));
}

#[tokio::test]
async fn deck_syncs_a_control_plane_on_sqlite() {
    let site = Site::new().await;
    let mut control_plane = ControlPlane::new(&site);
    control_plane.start().await;
    is_synced(&control_plane, &site).await;
}

#[tokio::test]
async fn deck_syncs_a_control_plane_on_postgres() {
    let Some(server) = Server::start() else { return };
    let site = Site::new().await;
    let mut control_plane = control_plane(&site, &server, &server.database());
    bootstrap(&control_plane);
    control_plane.start().await;
    is_synced(&control_plane, &site).await;
}
