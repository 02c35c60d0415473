//! What each role is told by default, and what it must be told.

use serde_json::json;

use super::*;

#[test]
fn nothing_said_is_a_traditional_node_with_kongs_ports() {
    let options = good("");
    let Role::Traditional { admin, proxy } = &options.role else { panic!("{:?}", options.role) };
    assert_eq!(options.prefix, PathBuf::from("/var/lib/gateway"));
    assert_eq!(addrs(&proxy.listen), ["0.0.0.0:8000", "0.0.0.0:8443"]);
    assert!(proxy.listen[1].tls && proxy.listen[1].http2);
    assert!(!proxy.listen[0].tls && !proxy.listen[0].http2);
    assert_eq!(addrs(&admin.listen), ["127.0.0.1:8001", "127.0.0.1:8444"]);
    assert!(!admin.listen[0].tls && admin.listen[1].tls && admin.listen[1].http2);
    assert_eq!(addrs(&options.status.listen), ["127.0.0.1:8007"]);
    assert_eq!(proxy.listen[0].backlog, Some(16384));
    assert_eq!(admin.database, Database::Sqlite("/var/lib/gateway/gateway.db".into()));
    assert_eq!(admin.max_body, Some(10 << 20));
    assert_eq!(proxy.max_body, None);
    assert_eq!(proxy.workers, Workers::default());
    assert_eq!(options.daemon, None);
}

#[test]
fn what_was_decided_is_told_with_its_reason() {
    let told = notices(&good(""));
    assert!(told.contains(&"database = sqlite (/var/lib/gateway/gateway.db): the default, as no pg_* property is set".to_owned()), "{told:?}");
    assert!(
        notices(&good(&data_plane("")))
            .contains(&"database = off: a data plane has none".to_owned())
    );
}

#[test]
fn a_control_plane_expects_its_data_planes() {
    let options =
        good(&control_plane("cluster_listen = 0.0.0.0:8005, [::1]:9005\nproxy_listen = off\n"));
    let Role::ControlPlane { cluster, admin } = options.role else { panic!("{:?}", options.role) };
    assert_eq!(addrs(&cluster.listen), ["0.0.0.0:8005", "[::1]:9005"]);
    assert_eq!(cluster.credentials.facts().subject, "CN=kong_clustering");
    assert_eq!(admin.purge_delay, Duration::from_secs(1_209_600));
}

#[test]
fn a_data_plane_knows_its_control_plane_labels_and_cache() {
    let lines = "cluster_control_plane = cp.internal:8005\ncluster_dp_labels = region:eu, tier:1\nprefix = /p\n";
    let Role::DataPlane { cluster, fallback, .. } = good(&data_plane(lines)).role else { panic!() };
    assert_eq!(cluster.control_planes, [Endpoint { host: "cp.internal".to_owned(), port: 8005 }]);
    assert_eq!(
        cluster.labels.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
        ["region=eu", "tier=1"]
    );
    assert_eq!(cluster.cache, Some("/p/dbless.lmdb".into()));
    assert_eq!(fallback, None);
}

#[test]
fn the_configuration_in_force_has_kongs_shapes() {
    let lines =
        "cluster_control_plane = a:1, b:2\ntrusted_ips = 10.0.0.0/8\nreal_ip_recursive = on";
    let shown = good(&data_plane(lines)).effective;
    for (name, value) in [
        ("cluster_control_plane", "a:1, b:2".into()),
        ("trusted_ips", json!(["10.0.0.0/8"])),
        ("cluster_listen", json!(["0.0.0.0:8005"])),
        ("real_ip_recursive", true.into()),
        ("cluster_cert_key", "******".into()),
        ("database", "off".into()),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
}

#[test]
fn the_cache_has_a_place_or_none() {
    for (lines, place) in [
        ("data_plane_config_cache_path = /c", Some("/c/dbless.lmdb")),
        ("data_plane_config_cache_path = /c\nlmdb_environment_path = x", Some("/c/dbless.lmdb")),
        ("lmdb_environment_path = x\nprefix = /p", Some("/p/x")),
        ("data_plane_config_cache_mode = off", None),
    ] {
        let Role::DataPlane { cluster, .. } = good(&data_plane(lines)).role else { panic!() };
        assert_eq!(cluster.cache, place.map(PathBuf::from), "{lines}");
    }
}

#[test]
fn each_role_has_its_rules() {
    bad(
        &control_plane("admin_listen = off"),
        &[
            r#"admin_listen = "off" (g.conf:4): admin_listen must be specified when role = "control_plane""#,
        ],
    );
    bad(
        &control_plane("cluster_listen = off"),
        &[
            r#"cluster_listen = "off" (g.conf:4): cluster_listen must be specified when role = "control_plane""#,
        ],
    );
    bad(
        &control_plane("database = off"),
        &[
            r#"database = "off" (g.conf:4): in-memory storage can not be used when role = "control_plane""#,
        ],
    );
    bad(
        &control_plane("cluster_dp_labels = a:b"),
        &[
            r#"cluster_dp_labels = "a:b" (g.conf:4): cluster_dp_labels can not be used when role = "control_plane""#,
        ],
    );
    bad(
        "cluster_dp_labels = a:b",
        &[
            r#"cluster_dp_labels = "a:b" (g.conf:1): cluster_dp_labels can only be used when role = "data_plane""#,
        ],
    );
    bad(
        &data_plane("proxy_listen = off"),
        &[
            r#"proxy_listen = "off" (g.conf:4): proxy_listen must be specified when role = "data_plane""#,
        ],
    );
    bad(
        &data_plane("database = postgres"),
        &[
            r#"database = "postgres" (g.conf:4): only in-memory storage can be used when role = "data_plane"; use off"#,
        ],
    );
}

#[test]
fn settings_of_another_role_do_no_harm() {
    good(&control_plane(
        "proxy_listen = 0.0.0.0:8000, 0.0.0.0:8443 ssl\ncluster_control_plane = cp:8005",
    ));
    good(&data_plane(
        "pg_host = db\ncluster_listen = 0.0.0.0:8005\nadmin_listen = 0.0.0.0:8001 ssl",
    ));
}

#[test]
fn one_address_for_two_listeners_is_a_mistake() {
    bad(
        "admin_listen = 127.0.0.1:8000",
        &[
            r#"admin_listen = "127.0.0.1:8000" (g.conf:1): 127.0.0.1:8000 is taken by 0.0.0.0:8000 of proxy_listen"#,
        ],
    );
}

#[test]
fn logs_go_to_the_terminal_if_there_is_one() {
    let lines = "prefix = /p\nadmin_access_log = off\nproxy_access_log = a.log basic";
    let foreground = good(lines).logs;
    let detached = read_as(lines, Mode::Detached).unwrap().logs;
    assert_eq!(foreground.error, Destination::Stderr);
    assert_eq!(detached.error, Destination::File("/p/logs/error.log".into()));
    for logs in [foreground, detached] {
        assert_eq!(logs.access, Destination::File("/p/a.log".into()));
        assert_eq!(logs.admin_access, Destination::Off);
        assert_eq!(logs.level, Level::Notice);
    }
}

#[test]
fn defaults_are_free_of_mistakes() {
    good("");
    good(&control_plane(""));
    good(&data_plane(""));
}
