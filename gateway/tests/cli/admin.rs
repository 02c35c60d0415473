//! Who is let in to the Admin API of a real node: tokens, certificates, and what a reload changes.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::*;

/// A token for this name: what a client shows, and the line for the file.
fn token(args: &[&str]) -> (String, String) {
    let said = gateway(&[&["admin", "token"], args].concat()).well();
    let value = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    assert_eq!(said.lines().count(), 2, "{said}");
    (value("token: "), value("line: "))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Status and body; none where there is no curl.
fn curl(args: &[&str]) -> Option<(String, String)> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]);
    let output = match curl.args(["--write-out", "\n%{http_code}"]).args(args).output() {
        Ok(output) => output,
        Err(_) => {
            eprintln!("skipped: there is no curl");
            return None;
        }
    };
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let (body, status) = said.rsplit_once('\n').unwrap_or(("", &said));
    Some((status.to_owned(), format!("{body}{errors}")))
}

/// Writes the file of tokens, for nobody else to write.
fn keep(node: &Node, lines: &[&str]) {
    fs::write(node.path("tokens"), lines.join("\n")).unwrap();
    fs::set_permissions(node.path("tokens"), Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_token_is_printed_once_and_its_digest_goes_into_the_file() {
    let (secret, line) = token(&["ci"]);
    assert!(secret.starts_with("gat_") && line.starts_with("ci admin sha256:"), "{line}");
    assert!(!line.contains(&secret));
    let (other, line) = token(&["eyes", "--read-only"]);
    assert!(other != secret && line.starts_with("eyes read-only sha256:"), "{line}");
    let error = gateway(&["admin", "token", "10.0.0.1"]).badly();
    assert!(error.contains("`10.0.0.1` is no name"), "{error}");
    assert!(gateway(&["admin", "tokens"]).badly().contains("No such command for admin: tokens"));
}

#[test]
fn tokens_and_certificates_are_taken_up_by_a_reload() {
    let node = Node::new();
    let (clear, secure) = (free_port(), free_port());
    let (ci, ci_line) = token(&["ci"]);
    let (eyes, eyes_line) = token(&["eyes", "--read-only"]);
    keep(&node, &[&ci_line]);
    let configured = |more: &str| {
        node.configure(&format!(
            "admin_listen = 127.0.0.1:{clear}, 127.0.0.1:{secure} ssl http2\n\
             admin_auth = required\nadmin_api_tokens_file = {}\n{more}",
            node.at("tokens")
        ));
    };
    configured("");
    node.run(&["start", "--daemon"]).well();
    let own = node.at("prefix/ssl/admin-kong-default-ecdsa.crt");
    let ask = |token: &str, more: &[&str]| {
        let bearer = format!("Authorization: Bearer {token}");
        let url = format!("https://localhost:{secure}/debug/node/log-level");
        let resolve = format!("localhost:{secure}:127.0.0.1");
        let args = ["--cacert", &own, "--resolve", &resolve, "-H", &bearer, &url];
        curl(&[&args, more].concat()).map(|(status, _)| status)
    };
    let Some(status) = ask(&ci, &[]) else { return };
    assert_eq!(status, "200");
    assert_eq!(ask(&ci, &["--http1.1"]).unwrap(), "200");
    assert_eq!(ask(&eyes, &[]).unwrap(), "401");
    let url = format!("http://127.0.0.1:{clear}/");
    assert_eq!(curl(&[&url]).unwrap().0, "401");

    // Commands of our own show a token, too.
    let explain = |more: &[&str]| node.run(&[&["explain", "http://a.test/"], more].concat());
    assert!(explain(&[]).badly().contains("--token-file"));
    fs::write(node.path("secret"), format!("{ci}\n")).unwrap();
    let said = explain(&["--token-file", &node.at("secret")]);
    assert!(said.out.contains("No route matches"), "{said:?}");

    // A mistake, and nothing changes; then another file of tokens.
    keep(&node, &[&ci_line, "eyes", "nobody at all sha256:0"]);
    let error = node.run(&["reload"]).badly();
    assert!(error.contains("line 2: ") && error.contains("line 3: "), "{error}");
    assert_eq!(ask(&ci, &[]).unwrap(), "200");
    keep(&node, &[&eyes_line]);
    let said = node.run(&["reload"]);
    assert!(!said.err.contains("next restart"), "{said:?}");
    until(|| ask(&ci, &[]).unwrap() == "401");
    assert_eq!(ask(&eyes, &[]).unwrap(), "200");
    assert_eq!(ask(&eyes, &["-X", "PUT"]).unwrap(), "403");

    // Another certificate, in the same place.
    gateway(&["hybrid", "gen_cert", &node.at("a.crt"), &node.at("a.key")]).well();
    configured(&format!(
        "admin_ssl_cert = {}\nadmin_ssl_cert_key = {}",
        node.at("a.crt"),
        node.at("a.key")
    ));
    assert!(!node.run(&["reload"]).err.contains("next restart"));
    until(|| ask(&eyes, &[]).unwrap() == "000"); // it is not the one that is believed
    assert_eq!(ask(&eyes, &["--insecure"]).unwrap(), "200");

    // While the listeners wait for a restart, so does who is let in.
    node.configure("admin_listen = 127.0.0.1:0");
    let said = node.run(&["reload"]);
    assert!(said.err.contains("admin_api_tokens_file has changed"), "{said:?}");
    assert_eq!(ask("", &["--insecure"]).unwrap(), "401");
    node.run(&["stop"]).well();
}

#[test]
fn a_door_that_is_open_is_said_before_a_start_or_forbids_it() {
    let node = Node::new();
    node.configure("admin_listen = 0.0.0.0:8001");
    let said = gateway(&["check", &node.at("g.conf")]);
    assert!(
        said.err.contains("[warn] admin_listen: everybody who reaches 0.0.0.0:8001"),
        "{said:?}"
    );
    said.well();
    node.configure("admin_auth = required");
    let error = node.run(&["start"]).badly();
    assert!(error.contains("of admin_listen lets in everybody who reaches it"), "{error}");
    keep(&node, &[&token(&["ci"]).1]);
    fs::set_permissions(node.path("tokens"), Permissions::from_mode(0o666)).unwrap();
    node.configure(&format!("admin_api_tokens_file = {}", node.at("tokens")));
    let error = gateway(&["check", &node.at("g.conf")]).badly();
    assert!(error.contains("its mode is 0666; `chmod go-w` it"), "{error}");
}

#[test]
fn the_log_level_is_turned_for_a_while() {
    let node = Node::new();
    let port = free_port();
    node.configure(&format!("admin_listen = 127.0.0.1:{port}"));
    node.run(&["start", "--daemon"]).well();
    let level = format!("http://127.0.0.1:{port}/debug/node/log-level");
    let Some((_, now)) = curl(&[&level]) else { return };
    assert_eq!(now, r#"{"message":"log level: notice"}"#);
    let (status, _) = curl(&["-X", "PUT", &format!("{level}/debug?timeout=1")]).unwrap();
    assert_eq!(status, "200");
    until(|| curl(&[&level]).unwrap().1.contains("notice"));
    let log = fs::read_to_string(node.path("prefix/logs/error.log")).unwrap();
    assert!(log.contains("127.0.0.1 set the log level to debug for 1s"), "{log}");
    assert!(log.contains("the log level is notice again"), "{log}");
    node.run(&["stop"]).well();
}

#[test]
fn status_is_served_behind_tls_too() {
    let node = Node::new();
    let port = free_port();
    node.configure(&format!("status_listen = 127.0.0.1:{port} ssl"));
    node.run(&["start", "--daemon"]).well();
    let url = format!("https://127.0.0.1:{port}/status");
    let own = node.at("prefix/ssl/status-kong-default-ecdsa.crt");
    let Some((status, body)) = curl(&["--cacert", &own, &url]) else { return };
    assert_eq!(status, "200", "{body}");
    assert!(body.contains("\"warnings\":[]"), "{body}");
    let (status, body) = curl(&[&url.replace("https", "http")]).unwrap();
    assert_eq!(status, "400", "{body}");
    let error = node.run(&["drain"]).badly();
    assert!(error.contains("no status listener without TLS"), "{error}");
    node.run(&["stop"]).well();
}

/// Waits for what a node does a moment after it was told.
#[track_caller]
fn until(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "it never came to that");
        std::thread::yield_now(); // asking takes a process, and its time
    }
}
