//! Who is let in to the Admin API, and what they are shown.

use std::os::unix::fs::PermissionsExt as _;

use ::admin::{Certificates, TlsVersion};

use super::*;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A file of tokens with this text and mode.
fn tokens(text: &str, mode: u32) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
    file
}

fn admin_of(lines: &str) -> Admin {
    match good(lines).role {
        Role::Traditional { admin, .. } | Role::ControlPlane { admin, .. } => admin,
        Role::DataPlane { .. } => panic!("a data plane"),
    }
}

/// What is wrong, without the values.
fn whats(lines: &str) -> Vec<String> {
    let mistakes = with(lines, |settings| Options::read(settings, Mode::Foreground)).unwrap_err();
    mistakes
        .all
        .into_iter()
        .map(|mistake| format!("{}: {}", mistake.property, mistake.what))
        .collect()
}

#[test]
fn what_is_shown_is_said_or_made() {
    let admin = admin_of("prefix = /p");
    let own = Certificates::Own(Some("/p/ssl/admin-kong-default-ecdsa".into()));
    assert_eq!(admin.tls.certificates, own);
    assert_eq!((admin.tls.oldest, admin.tls.newest), (TlsVersion::V1_2, TlsVersion::V1_3));
    let status = good("prefix = /p\nstatus_listen = 127.0.0.1:1 ssl").status;
    let own = Certificates::Own(Some("/p/ssl/status-kong-default-ecdsa".into()));
    assert_eq!(status.tls.certificates, own);

    let pairs = "admin_ssl_cert = DIR/c.crt, DIR/soon.crt\nadmin_ssl_cert_key = DIR/c.key, DIR/soon.key\nssl_cipher_suite = modern";
    let admin = admin_of(pairs);
    assert!(matches!(&admin.tls.certificates, Certificates::Given(pairs) if pairs.len() == 2));
    assert_eq!(admin.tls.oldest, TlsVersion::V1_3);

    let wrong =
        "admin_ssl_cert = DIR/c.crt, DIR/soon.crt\nadmin_ssl_cert_key = DIR/c.key, DIR/c.key";
    assert_eq!(whats(wrong), ["admin_ssl_cert: number 2: the key is that of another certificate"]);
    let missing = "status_listen = 127.0.0.1:1 ssl\nstatus_ssl_cert = DIR/c.crt";
    assert_eq!(
        whats(missing),
        [
            "status_ssl_cert_key: there must be as many keys as there are certificates in status_ssl_cert"
        ]
    );
}

#[test]
fn clients_are_asked_as_nginx_asks_them() {
    let authorities = "nginx_admin_ssl_client_certificate = DIR/c.crt\n";
    let ask = |how: &str| format!("{authorities}nginx_admin_ssl_verify_client = {how}");
    for (how, required) in [("on", Some(true)), ("optional", Some(false)), ("off", None)] {
        let clients = admin_of(&ask(how)).tls.clients;
        assert_eq!(clients.map(|clients| clients.required), required, "{how}");
    }
    for (lines, what) in [
        (
            "nginx_admin_ssl_verify_client = on".to_owned(),
            "nginx_admin_ssl_client_certificate: must be specified when nginx_admin_ssl_verify_client = on",
        ),
        (
            format!("{}\nadmin_listen = 127.0.0.1:8001", ask("on")),
            "nginx_admin_ssl_verify_client: no listener of admin_listen speaks TLS; add ssl to one",
        ),
        (ask("optional_no_ca"), "nginx_admin_ssl_verify_client: expected one of: off, on, optional"),
        (
            "nginx_admin_ssl_client_certificate = DIR/broken.crt\nnginx_admin_ssl_verify_client = on"
                .to_owned(),
            "nginx_admin_ssl_client_certificate: a certificate of an authority cannot be read",
        ),
    ] {
        assert_eq!(whats(&lines), [what], "{lines}");
    }
}

#[test]
fn everything_wrong_with_tokens_is_told_with_its_line() {
    let file = tokens("ok admin\n\nx root sha256:0\n", 0o600);
    let lines = format!("admin_api_tokens_file = {}", file.path().display());
    assert_eq!(
        whats(&lines),
        [
            "admin_api_tokens_file: line 1: expected `name role sha256:<64 hexadecimal digits>`",
            "admin_api_tokens_file: line 3: `root` is no role: admin or read-only",
        ]
    );
    for (text, mode, what) in [
        (format!("ci admin {DIGEST}"), 0o620, "others may write to it"),
        (format!("ci admin {DIGEST}"), 0o602, "others may write to it"),
        ("# nobody".to_owned(), 0o600, "it holds no token"),
    ] {
        let file = tokens(&text, mode);
        let told = whats(&format!("admin_api_tokens_file = {}", file.path().display()));
        assert!(told.len() == 1 && told[0].contains(what), "{told:?}");
    }
    assert!(whats("admin_api_tokens_file = DIR/none")[0].contains("No such file"));
    let file = tokens(&format!("ci admin {DIGEST}"), 0o644);
    let admin = admin_of(&format!("admin_api_tokens_file = {}", file.path().display()));
    assert!(admin.rules.tokens.is_some());
}

/// Which listeners let in everybody, and what is said of them.
#[test]
fn a_door_that_is_open_is_pointed_out() {
    let file = tokens(&format!("ci admin {DIGEST}"), 0o600);
    let tokens = format!("admin_api_tokens_file = {}\n", file.path().display());
    let asks =
        "nginx_admin_ssl_client_certificate = DIR/c.crt\nnginx_admin_ssl_verify_client = on\n";
    for (lines, warnings, mistakes) in [
        ("admin_listen = 127.0.0.1:1, [::1]:1, 127.0.0.9:2 ssl".to_owned(), 0, 3),
        ("admin_listen = 0.0.0.0:1".to_owned(), 1, 1),
        ("admin_listen = 10.0.0.1:1 ssl, [::]:2, 127.0.0.1:3".to_owned(), 2, 3),
        (format!("{tokens}admin_listen = 0.0.0.0:1 ssl, 127.0.0.1:2"), 0, 0),
        (format!("{tokens}admin_listen = 0.0.0.0:1"), 1, 0), // in cleartext
        (format!("{asks}admin_listen = 0.0.0.0:1 ssl"), 0, 0),
        (format!("{asks}admin_listen = 0.0.0.0:1 ssl, 0.0.0.0:2"), 1, 1),
        (format!("{}admin_listen = 0.0.0.0:1 ssl", asks.replace("= on", "= optional")), 1, 1),
        ("admin_listen = off".to_owned(), 0, 0),
    ] {
        let options = good(&lines);
        let told = notices(&options);
        let told = told.iter().filter(|line| line.starts_with("admin_listen: ")).count();
        let Role::Traditional { admin, .. } = options.role else { panic!("another role") };
        assert_eq!((told, admin.rules.warnings.len()), (warnings, warnings), "{lines}");
        match read(&format!("{lines}\nadmin_auth = required")) {
            Ok(_) => assert_eq!(mistakes, 0, "{lines}"),
            Err(told) => assert_eq!(told.len(), mistakes, "{lines} {told:?}"),
        }
    }
}

#[test]
fn pages_are_named_by_their_address() {
    assert!(admin_of("").origins.is_empty());
    assert!(
        !admin_of("admin_gui_url = https://m.test, http://10.0.0.1:8002/gui").origins.is_empty()
    );
    let told = whats("admin_gui_url = m.test");
    assert!(
        told[0].starts_with("admin_gui_url: `m.test` is not the address of a page"),
        "{told:?}"
    );
}
