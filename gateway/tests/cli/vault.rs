//! `gateway vault get`, and nodes whose settings are kept in a vault.

use std::fs;
use std::path::Path;

use crate::support::*;

fn get(reference: &str, variables: &[(&str, &str)], more: &[&str]) -> Said {
    let mut command = program(Path::new(GATEWAY));
    command.args(["vault", "get", reference]).args(more).envs(variables.iter().copied());
    said(&mut command)
}

#[test]
fn a_secret_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("g.conf").display().to_string();
    fs::write(&file, "vault_env_prefix = app_\n").unwrap();
    let variables =
        [("DB", r#"{"user":"u1"}"#), ("DB_PREVIOUS", r#"{"user":"u0"}"#), ("APP_DB", "prefixed")];
    for (reference, secret) in [
        ("{vault://env/db/user}", "u1"),
        ("env/db/user", "u1"),
        ("env/db/user#2", "u0"),
        ("env/db?prefix=app-", "prefixed"),
    ] {
        assert_eq!(get(reference, &variables, &[]).well(), format!("{secret}\n"), "{reference}");
    }
    assert_eq!(get("env/db", &variables, &["-c", &file]).well(), "prefixed\n");
    assert_eq!(get("env/empty", &[("EMPTY", "")], &[]).well(), "\n");
}

#[test]
fn a_reference_that_leads_nowhere_says_why() {
    for (reference, why) in [
        ("env/none", "{vault://env/none}: NONE is not set"),
        ("hcv/x", "{vault://hcv/x}: there is no vault `hcv`"),
        ("env", "{vault://env}: it names no resource: {vault://<vault>/<resource>[/<key>]}"),
        (
            "env/plain/key",
            "{vault://env/plain/key}: the secret is not a JSON object, so it has no key `key`",
        ),
    ] {
        let error = get(reference, &[("PLAIN", "tell nobody")], &[]).badly();
        assert!(error.starts_with(&format!("Error: {why}\n")), "{error}");
        assert!(!error.contains("tell nobody"), "{error}");
    }
    assert!(gateway(&["vault", "put"]).badly().contains("No such command for vault: put"));
    assert_eq!(gateway(&["vault"]).code, Some(1));
}

/// The secret is in the environment of the node alone: neither in its files, nor in that of the shell
/// that a reload is called from.
#[test]
fn a_node_finds_its_secrets_where_it_runs() {
    let node = Node::new();
    let key = fs::read_to_string(node.path("c.key")).unwrap();
    let pair = "cluster_cert_key = {vault://env/link-key}\nvault_env_prefix = app-";
    node.configure(&format!("{pair}\nlog_level = info"));
    let error = node.run(&["start"]).badly();
    let why = "{vault://env/link-key}: APP_LINK_KEY is not set";
    assert!(
        error.contains("cluster_cert_key = \"{vault://env/link-key}\"") && error.contains(why),
        "{error}"
    );

    let mut start = program(Path::new(GATEWAY));
    start.args(["start", "--daemon", "-c", &node.at("g.conf")]).env("APP_LINK_KEY", &key);
    said(&mut start).well();
    node.configure(&format!("{pair}\nlog_level = debug"));
    let reloaded = node.run(&["reload"]);
    assert!(!reloaded.err.contains("next restart"), "{reloaded:?}");
    reloaded.well();
    let middle = key.lines().nth(1).unwrap();
    for file in ["prefix/.gateway_env", "prefix/logs/error.log", "prefix/logs/admin_access.log"] {
        let text = fs::read_to_string(node.path(file)).unwrap();
        assert!(!text.contains(middle), "{file}: {text}");
    }
    node.run(&["stop"]).well();
}
