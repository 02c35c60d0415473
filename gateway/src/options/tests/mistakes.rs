//! Mistakes and warnings: all of them, each with its place.

use super::*;

#[test]
fn all_mistakes_are_told_together() {
    bad(
        "role = x\nlog_level = loud\nproxy_listen = 8000\nworkers = many\ntrusted_ips = 10.0.0.0/8, nowhere\n",
        &[
            r#"role = "x" (g.conf:1): expected one of: traditional, control_plane, data_plane"#,
            r#"log_level = "loud" (g.conf:2): expected one of: debug, info, notice, warn, error, crit, alert, emerg"#,
            r#"proxy_listen = "8000" (g.conf:3): proxy_listen must be of form: [off] | <ip>:<port> [ssl] [http2] [proxy_protocol] [deferred] [bind] [reuseport] [backlog=N] [ipv6only=on|off] [so_keepalive=on|off|idle:interval:count], [... next entry ...]; `8000` is not <ip>:<port>"#,
            r#"workers = "many" (g.conf:4): expected auto, or a number from 1 to 1024"#,
            r#"trusted_ips = "10.0.0.0/8, nowhere" (g.conf:5): `nowhere` is not an IPv4 or IPv6 address, a CIDR block or unix:"#,
        ],
    );
}

#[test]
fn warnings_are_told_beside_mistakes() {
    let lines =
        "nonsense\nrole = x\ncluster_oscp = off\nmem_cache_size = 1g\nworkers = 1\nworkers = 2";
    let mistakes = with(lines, |settings| Options::read(settings, Mode::Foreground)).unwrap_err();
    assert_eq!(mistakes.all.len(), 2);
    let told: Vec<_> = mistakes.notices.iter().map(Notice::to_string).collect();
    for name in ["cluster_oscp (", "mem_cache_size (", "workers ("] {
        assert!(told.iter().any(|line| line.starts_with(name)), "{name} {told:?}");
    }
}

#[test]
fn what_would_be_unsafe_to_ignore_is_refused() {
    for line in [
        "cluster_mtls = pki",
        "cluster_ocsp = on",
        "cluster_use_proxy = on",
        "data_plane_config_cache_mode = encrypted",
        "stream_listen = 0.0.0.0:9000 udp ssl",
        "enforce_rbac = on",
        "nginx_admin_deny = all",
        "nginx_admin_ssl_crl = revoked.pem",
        "admin_listen = 127.0.0.1:8001 proxy_protocol",
        "ssl_cipher_suite = fips",
    ] {
        let mistakes = read(line).map(|_| ()).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].starts_with(line.split_once(" =").unwrap().0), "{mistakes:?}");
    }
}

#[test]
fn an_unknown_name_is_a_warning_with_the_real_one() {
    let told = notices(&good("cluster_oscp = off\nmem_cache_size = 1g\nnginx_http_gzip = on\n"));
    let about = |name: &str| {
        told.iter().find(|line| line.starts_with(name)).map(String::as_str).unwrap_or_default()
    };
    assert!(
        about("cluster_oscp (")
            .ends_with("g.conf:1) is not a property; did you mean cluster_ocsp?"),
        "{told:?}"
    );
    assert!(
        about("mem_cache_size (").contains("has no effect: the whole configuration is in memory"),
        "{told:?}"
    );
    assert!(about("nginx_http_gzip (").contains("has no effect: there is no nginx"), "{told:?}");
}

#[test]
fn what_nothing_reads_is_told() {
    let told = notices(&good("cluster_listen = off\nnginx_worker_processes = 2"));
    let unread: Vec<_> = told.iter().filter(|line| line.contains("is not used")).collect();
    assert_eq!(unread.len(), 1, "{told:?}");
    assert!(unread[0].starts_with("cluster_listen ("), "{unread:?}");
    assert!(unread[0].ends_with("not used: it is for control_plane, and this is a traditional"));

    let lines = "ssl_protocols = TLSv1.3\nproxy_listen = 127.0.0.1:0\nadmin_listen = off";
    let told = notices(&good(lines));
    let unread = "not used: a traditional set up like this does not read it";
    assert!(told.iter().any(|line| line.ends_with(unread)), "{told:?}");
}
