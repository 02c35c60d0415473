//! The pair of the cluster link.

use super::*;

#[test]
fn hybrid_mode_needs_a_certificate_and_its_key() {
    let hybrid = "cluster certificate and key must be provided to use Hybrid mode";
    bad("role = control_plane", &[&format!("cluster_cert: {hybrid}")]);
    bad("role = data_plane\ncluster_cert = DIR/c.crt", &[&format!("cluster_cert_key: {hybrid}")]);
    bad(
        "role = data_plane\ncluster_cert = DIR/none.pem\ncluster_cert_key = DIR/none.pem",
        &[
            r#"cluster_cert = "none.pem" (g.conf:2): failed loading certificate: not PEM, not base64 of PEM, and as a file: No such file or directory (os error 2)"#,
            r#"cluster_cert_key = "******" (g.conf:3): failed loading key: not PEM, not base64 of PEM, and as a file: No such file or directory (os error 2)"#,
        ],
    );
}

#[test]
fn a_pair_is_checked_as_the_link_does() {
    let pair = |cert: &str, key: &str, more: &str| {
        format!(
            "role = data_plane\ncluster_cert = DIR/{cert}\ncluster_cert_key = DIR/{key}\n{more}"
        )
    };
    let mistakes = read(&pair("c.crt", "soon.key", "workers = many")).unwrap_err();
    let [workers, key] = mistakes.as_slice() else { panic!("{mistakes:?}") };
    assert!(workers.starts_with("workers = "), "{workers}");
    let expected = r#"cluster_cert_key = "******" (g.conf:3): cluster_cert_key is not the private key of cluster_cert (subject CN=kong_clustering, sha256 "#;
    assert!(key.starts_with(expected), "{key}");

    let mistakes = read(&pair("broken.crt", "c.key", "")).unwrap_err();
    let expected =
        r#"cluster_cert = "broken.crt" (g.conf:2): cluster_cert is not a PEM certificate: "#;
    assert!(mistakes.len() == 1 && mistakes[0].starts_with(expected), "{mistakes:?}");

    bad(
        &pair("c.key", "c.crt", ""),
        &[
            r#"cluster_cert = "c.key" (g.conf:2): failed loading certificate: this is PEM of something else"#,
            r#"cluster_cert_key = "******" (g.conf:3): failed loading key: this is PEM of something else"#,
        ],
    );
    let told = notices(&good(&pair("soon.crt", "soon.key", "")));
    assert!(told.iter().any(|line| line.starts_with("cluster_cert expires in ")), "{told:?}");
}

#[test]
fn what_never_ends_is_no_certificate() {
    bad(
        "role = control_plane\ncluster_cert = /dev/zero\ncluster_cert_key = DIR/c.key",
        &[
            r#"cluster_cert = "/dev/zero" (g.conf:2): failed loading certificate: not PEM, not base64 of PEM, and as a file: it does not end within 1 MiB"#,
        ],
    );
}
