//! Values that are kept in vaults.

use super::*;
use crate::vault::Environment;

/// What comes of these lines where these variables are set.
fn read_where<const N: usize>(
    variables: [(&str, &str); N],
    lines: &str,
) -> Result<Options, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("g.conf");
    fs::write(&file, lines).unwrap();
    let settings = Sources::of_file(file).settle().unwrap();
    let settings = settings.looked_up_in(Environment::from(variables));
    let place = format!("{}/", dir.path().display());
    Options::read(&settings, Mode::Foreground).map_err(|mistakes| {
        mistakes.all.iter().map(|mistake| mistake.to_string().replace(&place, "")).collect()
    })
}

#[track_caller]
fn mistakes_where<const N: usize>(variables: [(&str, &str); N], lines: &str, expected: &[&str]) {
    let mistakes = read_where(variables, lines).map(|_| ()).unwrap_err();
    assert_eq!(mistakes, expected, "{lines}");
}

#[test]
fn a_value_or_an_item_of_a_list_may_be_kept_elsewhere() {
    let lines = "vault_env_prefix = app-\nlog_level = {vault://env/level}\nworkers = \"{vault://env/n#2}\"\n\
                 trusted_ips = 10.0.0.0/8, {vault://env/nets/inside?prefix=}, ::1\n";
    let variables = [
        ("APP_LEVEL", "warn"),
        ("APP_N_PREVIOUS", "3"),
        ("NETS", r#"{"inside":"192.168.0.0/16"}"#),
    ];
    let options = read_where(variables, lines).unwrap();
    assert_eq!(options.logs.level, Level::Warn);
    let Role::Traditional { proxy, .. } = &options.role else { panic!() };
    assert_eq!(proxy.workers.count, Some(3));
    assert_eq!(proxy.forwarding.trusted.len(), 3);
}

/// Not shown, not compared, not saved.
#[test]
fn a_secret_is_not_told() {
    let lines = "log_level = {vault://env/level}\nproxy_listen = {vault://env/listen}\n\
                 declarative_config_string = {vault://env/document}\ndatabase = off\n\
                 nginx_http_keepalive_requests = {vault://env/number}";
    let variables = [
        ("LEVEL", "warn"),
        ("LISTEN", "127.0.0.1:4567"),
        ("DOCUMENT", "_format_version: '3.0'"),
        ("NUMBER", "4567"),
    ];
    let options = read_where(variables, lines).unwrap();
    let told = format!("{:?} {:?} {:?}", options.effective, options.texts, options.notices);
    for secret in ["warn\"", "4567", "_format_version"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
    assert_eq!(options.effective["log_level"], "{vault://env/level}");
    assert_eq!(options.effective["nginx_http_keepalive_requests"], "{vault://env/number}");
    assert_eq!(options.effective["declarative_config_string"], "******");
    assert_eq!(options.effective["proxy_listeners"], serde_json::json!([]));
    assert_eq!(options.texts["log_level"], "{vault://env/level}");
}

#[test]
fn a_mistake_in_a_secret_names_the_reference_only() {
    mistakes_where(
        [("LEVEL", "shout"), ("LISTEN", "127.0.0.1:80 quickly")],
        "log_level = {vault://env/level}\nproxy_listen = {vault://env/listen}\n",
        &[
            r#"log_level = "{vault://env/level}" (g.conf:1): expected one of: debug, info, notice, warn, error, crit, alert, emerg"#,
            r#"proxy_listen = "{vault://env/listen}" (g.conf:2): what the vault has for it is not what it takes"#,
        ],
    );
}

#[test]
fn every_reference_that_leads_nowhere_is_named() {
    mistakes_where(
        [("EMPTY", ""), ("PLAIN", "text")],
        "workers = {vault://env/none}\nlog_level = {vault://env/empty}\nrole = {vault://env/plain/key}\n\
         ssl_cert = {vault://hcv/a}, {vault://env/b#2}\nadmin_listen = at {vault://env/c}\n\
         ssl_cert_key = {vault://env/k\nvault_env_prefix = {vault://env/p}\n",
        &[
            r#"admin_listen = "at {vault://env/c}" (g.conf:5): a reference is a whole value, or a whole item of a list"#,
            r#"log_level = "{vault://env/empty}" (g.conf:2): {vault://env/empty}: the secret is empty"#,
            r#"role = "{vault://env/plain/key}" (g.conf:3): {vault://env/plain/key}: the secret is not a JSON object, so it has no key `key`"#,
            r#"ssl_cert = "{vault://hcv/a}, {vault://env/b" (g.conf:4): {vault://hcv/a}: there is no vault `hcv`; {vault://env/b: a reference is {vault://<vault>/<resource>[/<key>]}, and `#` begins a comment unless it is written `\#`"#,
            r#"ssl_cert_key = "{vault://env/k" (g.conf:6): {vault://env/k: a reference is {vault://<vault>/<resource>[/<key>]}, and `#` begins a comment unless it is written `\#`"#,
            r#"vault_env_prefix = "{vault://env/p}" (g.conf:7): a vault is found by it, so that it cannot be in one"#,
            r#"workers = "{vault://env/none}" (g.conf:1): {vault://env/none}: NONE is not set"#,
        ],
    );
}

#[test]
fn without_vaults_a_reference_is_a_mistake() {
    mistakes_where(
        [("LEVEL", "info")],
        "vaults = off\nlog_level = {vault://env/level}",
        &[
            r#"log_level = "{vault://env/level}" (g.conf:2): {vault://env/level}: vaults are switched off"#,
        ],
    );
    bad(
        "vaults = bundled, hcv",
        &[r#"vaults = "bundled, hcv" (g.conf:1): vault `hcv` is not installed; there is `env`"#],
    );
    // What has no effect need not be known, nor what only looks like a reference.
    good("database = sqlite\nmem_cache_size = {vault://env/none}");
    good(
        "database = off\ndeclarative_config_string = \"{_format_version: '3.0', _comment: '{vault://env/none}'}\"",
    );
}
