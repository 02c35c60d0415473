//! Certificates as nobody should make them, posted to a node, and names nobody should ask for.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{DbLess, Site, free_port};

/// A certificate and its key in PEM, made by openssl of this subject, in its own words, and these
/// names.
async fn made(place: &Path, subject: &str, names: &str) -> Option<(String, String)> {
    let file = |name: &str| place.join(name).display().to_string();
    let extension = if names.is_empty() {
        String::new()
    } else {
        format!("subjectAltName = critical, {names}\n")
    };
    let config = format!(
        "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = more\nutf8 = yes\n[name]\n{subject}\n[more]\nbasicConstraints = CA:false\n{extension}"
    );
    fs::write(place.join("conf"), config).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]);
    openssl.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-config", &file("conf")]);
    openssl.args(["-out", &file("cert"), "-keyout", &file("key")]);
    if subject.is_empty() {
        openssl.args(["-subj", "/"]);
    }
    let Ok(output) = openssl.stdin(Stdio::null()).output().await else {
        eprintln!("skipped: openssl is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name| fs::read_to_string(place.join(name)).unwrap();
    Some((read("cert"), read("key")))
}

/// What openssl says when it asks for this name.
async fn asked(at: SocketAddr, name: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &at.to_string(), "-servername", name]);
    let output = openssl.stdin(Stdio::null()).output().await.unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn many(count: usize) -> String {
    (0..count).map(|n| format!("DNS:name{n:06}.of.many.test")).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn odd_certificates_are_shown_as_they_are_or_refused_and_harm_no_other() {
    let site = Site::new().await;
    let mut node = DbLess::new(&site);
    let secure = free_port();
    node.process.set("proxy_listen", format!("{}, {secure} ssl http2", node.proxy));
    node.start().await;

    let long: String = (0..500).map(|n| format!("{n}.OU = {}\n", "u".repeat(60))).collect();
    let mut certificates: Vec<Value> = Vec::new();
    for (sni, subject, names) in [
        ("plain.test", "CN = plain", ""),
        ("wildcard.test", "CN = a.*.test", "DNS:a.*.test, DNS:*.*, DNS:*"),
        ("script.test", "CN = bücher.test", "DNS:xn--bcher-kva.test"),
        ("empty.test", "", "DNS:empty.test"),
        ("long.test", long.as_str(), ""),
        ("many.test", "CN = many", many(8000).as_str()),
    ] {
        let Some((cert, key)) = made(site.path(), subject, names).await else { return };
        certificates.push(json!({ "cert": cert, "key": key, "snis": [{ "name": sni }] }));
    }
    let document = |certificates: &[Value]| {
        json!({ "_format_version": "3.0", "certificates": certificates }).to_string()
    };
    assert_eq!(node.load(&document(&certificates)).await.status, 201);
    for certificate in &certificates {
        let (name, shown) =
            (&certificate["snis"][0]["name"], certificate["cert"].as_str().unwrap());
        let said = asked(secure, name.as_str().unwrap()).await;
        // More than openssl takes; another client may.
        match name.as_str() == Some("many.test") {
            true => assert!(said.contains("excessive message size"), "{said}"),
            false => assert!(said.contains(shown.trim()), "{name}: {said}"),
        }
    }

    // No client takes as much as this.
    let Some((cert, key)) = made(site.path(), "CN = most", &many(16_000)).await else { return };
    let most = json!({ "cert": cert, "key": key, "snis": [{ "name": "most.test" }] });
    let refused = node.load(&document(&[certificates[0].clone(), most])).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body.contains("no client takes more than 262144"), "{refused:?}");

    // A key that is not its own, and names that are none.
    let mut wrong = certificates[0].clone();
    wrong["key"] = certificates[1]["key"].clone();
    assert_eq!(node.load(&document(&[wrong])).await.status, 400);
    let long = format!("{}.test", "a.".repeat(200));
    for name in
        ["a.*.test", "a\0.test", "plain.test\0.evil.test", "", "**", "bücher.test", "a b", &long]
    {
        let mut named = certificates[0].clone();
        named["snis"] = json!([{ "name": name }]);
        let refused = node.load(&document(&[named])).await;
        assert_eq!(refused.status, 400, "{name:?}: {refused:?}");
    }

    // All that was refused has changed nothing, and names nobody has are shown what is for nobody.
    let plain = certificates[0]["cert"].as_str().unwrap().trim();
    for (name, is_ours) in [
        ("plain.test", true),
        ("PLAIN.test", true),
        ("plain.test.", false),
        ("*.test", false),
        ("bücher.test", false),
        ("plain", false),
        (&"a".repeat(255), false),
    ] {
        let said = asked(secure, name).await;
        assert_eq!(said.contains(plain), is_ours, "{name}: {said}");
        assert!(is_ours || said.contains("localhost"), "{name}: {said}");
    }
    node.process.assert_alive();
}
