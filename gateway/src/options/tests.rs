use std::fs;
use std::sync::LazyLock;

use ::cluster::{KeyPairPem, gen_cert};
use rustix::fs::{self as unix, mkfifoat};
use serde_json::json;

use super::*;
use crate::conf::Sources;
use crate::properties::Property;

/// A pair and another: made once, as making one takes its time.
static PAIRS: LazyLock<[KeyPairPem; 2]> =
    LazyLock::new(|| [60, 20].map(|days| gen_cert(days).unwrap()));

/// What a node with these lines as its file is told, or what it is told is wrong.
fn read(lines: &str) -> Result<Options, Vec<String>> {
    read_as(lines, Mode::Foreground)
}

fn read_as(lines: &str, mode: Mode) -> Result<Options, Vec<String>> {
    with(lines, |settings| Options::read(settings, mode)).map_err(|mistakes| {
        let place = |mistake: &Mistake| mistake.said.as_deref().map(directory).unwrap_or_default();
        let shorten = |mistake: &Mistake| mistake.to_string().replace(&place(mistake), "");
        mistakes.all.iter().map(shorten).collect()
    })
}

/// What comes of settings with these lines as their file, beside certificates in the same `DIR`.
fn with<T>(lines: &str, read: impl FnOnce(&Settings) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("g.conf");
    let [pair, soon] = &*PAIRS;
    for (name, text) in [
        ("c.crt", pair.certificate.as_str()),
        ("c.key", &pair.key),
        ("soon.crt", &soon.certificate),
        ("soon.key", &soon.key),
        ("broken.crt", "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    fs::write(&file, lines.replace("DIR", &dir.path().display().to_string())).unwrap();
    read(&Sources::of_file(file).settle().unwrap())
}

/// Where such a file was, of `"…" (DIR/g.conf:1)`.
fn directory(said: &str) -> String {
    let from = said.rsplit_once(" (").map_or("", |(_, from)| from);
    from.split_once("g.conf").map_or(String::new(), |(directory, _)| directory.to_owned())
}

/// The names of the properties that such a node reads.
fn asked(lines: &str, mode: Mode) -> BTreeSet<&'static str> {
    with(lines, |settings| {
        let mut reader = Reader::new(settings);
        assert!(reader.options(mode, Purpose::Look).is_some());
        reader.asked()
    })
}

#[track_caller]
fn good(lines: &str) -> Options {
    read(lines).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

#[track_caller]
fn bad(lines: &str, mistakes: &[&str]) {
    assert_eq!(read(lines).map(|_| ()).unwrap_err(), mistakes, "{lines}");
}

fn control_plane(lines: &str) -> String {
    format!("role = control_plane\ncluster_cert = DIR/c.crt\ncluster_cert_key = DIR/c.key\n{lines}")
}

fn data_plane(lines: &str) -> String {
    format!("role = data_plane\ncluster_cert = DIR/c.crt\ncluster_cert_key = DIR/c.key\n{lines}")
}

fn addrs(listeners: &[Listen]) -> Vec<String> {
    listeners.iter().map(|listen| listen.addr.to_string()).collect()
}

fn notices(options: &Options) -> Vec<String> {
    options.notices.iter().map(Notice::to_string).collect()
}

#[test]
fn nothing_said_is_a_traditional_node_with_kongs_ports() {
    let options = good("");
    let Role::Traditional { admin, proxy } = &options.role else { panic!("{:?}", options.role) };
    assert_eq!(options.prefix, PathBuf::from("/var/lib/gateway"));
    assert_eq!(addrs(&proxy.listen), ["0.0.0.0:8000", "0.0.0.0:8443"]);
    assert!(proxy.listen[1].tls && proxy.listen[1].http2);
    assert!(!proxy.listen[0].tls && !proxy.listen[0].http2);
    assert_eq!(addrs(&admin.listen), ["127.0.0.1:8001"]);
    assert_eq!(addrs(&options.status), ["127.0.0.1:8007"]);
    assert_eq!(proxy.listen[0].backlog, Some(16384));
    assert_eq!(admin.database, Database::Sqlite("/var/lib/gateway/gateway.db".into()));
    assert_eq!(admin.max_body, Some(10 << 20));
    assert_eq!(proxy.max_body, None);
    assert_eq!(proxy.workers, Workers::default());
    assert_eq!(options.daemon, None);
}

#[test]
fn a_suite_decides_about_versions_unless_it_is_custom() {
    let tls = |text: &str| {
        let Role::Traditional { proxy, .. } = good(text).role else { panic!() };
        proxy.tls
    };
    let range = |tls: &Tls| (tls.versions.oldest, tls.versions.newest);
    let intermediate = tls("ssl_protocols = TLSv1.3");
    assert_eq!(range(&intermediate), (Version::V1_2, Version::V1_3));
    assert_eq!(intermediate.ciphers, Ciphers::Intermediate);
    assert!(intermediate.session_tickets && intermediate.certificates.is_empty());
    assert_eq!(range(&tls("ssl_cipher_suite = modern")), (Version::V1_3, Version::V1_3));
    assert_eq!(range(&tls("ssl_cipher_suite = old")), (Version::V1_0, Version::V1_3));
    let custom = tls(
        "ssl_cipher_suite = custom\nssl_ciphers = A:B\nssl_protocols = TLSv1.1 TLSv1.2\nssl_session_tickets = off",
    );
    assert_eq!(range(&custom), (Version::V1_1, Version::V1_2));
    assert_eq!(custom.ciphers, Ciphers::Custom("A:B".to_owned()));
    assert!(custom.prefer_server_ciphers && !custom.session_tickets);
    bad(
        "ssl_cipher_suite = custom",
        &["ssl_ciphers: must be specified when ssl_cipher_suite = custom"],
    );
    let told = notices(&good("ssl_ciphers = A"));
    assert!(told.iter().any(|line| line.starts_with("ssl_ciphers has no effect")), "{told:?}");
}

#[test]
fn what_was_decided_is_told_with_its_reason() {
    let told = notices(&good(""));
    assert!(told.contains(&"database = sqlite (/var/lib/gateway/gateway.db): the default, as no pg_* property is set".to_owned()), "{told:?}");
    let unopened = "admin_listen: 127.0.0.1:8444, which would speak TLS, is not opened";
    assert!(told.iter().any(|line| line.starts_with(unopened)), "{told:?}");
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
fn a_database_that_is_not_there_is_refused() {
    bad(
        "database = postgres",
        &[
            r#"database = "postgres" (g.conf:1): PostgreSQL is not part of this version; use sqlite"#,
        ],
    );
    bad(
        "database = cassandra",
        &[r#"database = "cassandra" (g.conf:1): Cassandra is not supported; use sqlite"#],
    );
    bad(
        "pg_host = db",
        &[
            r#"pg_host = "db" (g.conf:1): it asks for PostgreSQL, which is not part of this version; remove it, or say database = sqlite"#,
        ],
    );
    good("pg_host = db\ndatabase = sqlite");
}

#[test]
fn without_a_database_the_configuration_is_a_document() {
    let lines =
        data_plane("database = off\ndeclarative_config_string = '_format_version: \"3.0\"'");
    let Role::DataPlane { fallback: Some(document), .. } = good(&lines).role else { panic!() };
    assert_eq!(document.name, "declarative_config_string");
    assert!(document.document.is_ok_and(|document| document.config().is_empty()));
    // Its cache may be better.
    let lines = data_plane("declarative_config = DIR/c.crt");
    let Role::DataPlane { fallback: Some(document), .. } = good(&lines).role else { panic!() };
    assert!(document.document.is_err());
    bad(
        &data_plane("declarative_config = DIR/none.yml"),
        &[
            r#"declarative_config = "none.yml" (g.conf:4): cannot read none.yml: No such file or directory (os error 2)"#,
        ],
    );
    bad(
        "database = off\ndeclarative_config = DIR/none.yml",
        &[
            r#"declarative_config = "none.yml" (g.conf:2): cannot read none.yml: No such file or directory (os error 2)"#,
        ],
    );
    let Role::Traditional { admin, .. } = good("database = off").role else { panic!() };
    assert_eq!(admin.database, Database::Off(None));
    let options = good("database = off\ndeclarative_config_string = '_format_version: \"3.0\"'");
    assert_eq!(options.effective["database"], "off");
    assert_eq!(options.effective["declarative_config_string"], "******");
    let Role::Traditional { admin, .. } = options.role else { panic!() };
    let Database::Off(Some(document)) = admin.database else { panic!() };
    assert!(document.config().is_empty());
}

#[test]
fn a_document_is_judged_before_a_node_begins_with_it() {
    let said = |document: &str, mistakes: &[&str]| {
        let lines = format!("declarative_config_string = '{document}'");
        let mistakes = format!(
            "declarative_config_string = \"******\" (g.conf:2): the declarative configuration is invalid:{}",
            mistakes.iter().map(|line| format!("\n  {line}")).collect::<String>()
        );
        bad(&format!("database = off\n{lines}"), &[&mistakes]);
        let Role::DataPlane { fallback: Some(document), .. } = good(&data_plane(&lines)).role
        else {
            panic!()
        };
        let error = document.document.unwrap_err();
        assert!(mistakes.ends_with(&error), "{error}");
    };
    said(
        r#"{"_format_version": "3.0", "services": [{"name": "a"}], "colour": "blue"}"#,
        &["colour: unknown field", "services.1.host: required field missing"],
    );
    said(
        r#"{"_format_version": "3.0", "services": [{"name": "a", "url": "https://a.test", "tls_verify": true}]}"#,
        &["services.1: this version does not verify certificates of upstreams yet"],
    );
}

#[test]
fn routing_is_the_same_for_every_part_of_a_node() {
    let routing = |lines: &str| good(lines).routing;
    assert_eq!(routing(""), engine::CompileOptions::default());
    assert_eq!(routing("router_flavor = traditional"), engine::CompileOptions::default());
    let other = routing("router_flavor = expressions\nrouter_priority = documented");
    assert_eq!(other.router_flavor, model::Flavor::Expressions);
    assert_eq!(other.router_priority, engine::router::RouterPriority::Documented);
    let told = |lines: &str| notices(&good(lines));
    let is_told = |told: Vec<String>| {
        told.iter().any(|line| {
            line.starts_with("router_flavor = traditional is served as traditional_compatible")
                && line.contains("path_handling = v1 has no effect")
        })
    };
    assert!(is_told(told("router_flavor = traditional")));
    assert!(!is_told(told("router_flavor = expressions")) && !is_told(told("")));
    let document = r#"{"_format_version": "3.0", "routes": [{"name": "r", "expression": "x"}]}"#;
    let lines = format!("database = off\ndeclarative_config_string = '{document}'");
    let [mistake] = read(&lines).map(drop).unwrap_err().try_into().expect("one mistake");
    assert!(mistake.contains("routes.1.expression: unknown field"), "{mistake}");
    let lines = format!("router_flavor = expressions\n{lines}");
    let [mistake] = read(&lines).map(drop).unwrap_err().try_into().expect("one mistake");
    assert!(mistake.contains("routes.1.expression: Router Expression failed validation: line 1"));
    bad(
        "router_priority = kong",
        &[r#"router_priority = "kong" (g.conf:1): expected one of: kong_effective, documented"#],
    );
}

#[test]
fn a_document_may_come_through_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    mkfifoat(unix::CWD, &pipe, unix::Mode::RUSR | unix::Mode::WUSR).unwrap();
    let lines = format!("database = off\ndeclarative_config = {}", pipe.display());
    let text = "_format_version: '3.0'\nservices: [{name: a, host: a.test}]";
    let writer = std::thread::spawn(move || fs::write(pipe, text));
    let Role::Traditional { admin, .. } = good(&lines).role else { panic!() };
    writer.join().unwrap().unwrap();
    let Database::Off(Some(document)) = admin.database else { panic!() };
    assert_eq!(document.config().len(), 1);
}

#[test]
fn what_would_be_unsafe_to_ignore_is_refused() {
    for line in [
        "cluster_mtls = pki",
        "cluster_ocsp = on",
        "cluster_use_proxy = on",
        "data_plane_config_cache_mode = encrypted",
        "client_ssl = on",
        "stream_listen = 0.0.0.0:9000",
        "enforce_rbac = on",
        "nginx_admin_deny = all",
        "cluster_cert = {vault://env/cert}",
        "admin_listen = 127.0.0.1:8001, 127.0.0.1:8444 ssl",
        "proxy_listen = 0.0.0.0:8000 proxy_protocol",
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
fn nginx_names_lead_to_ours() {
    let Role::Traditional { proxy, .. } =
        good("nginx_worker_processes = 3\nnginx_proxy_real_ip_recursive = on").role
    else {
        panic!()
    };
    assert_eq!(proxy.workers.count, Some(3));
    assert!(proxy.forwarding.recursive);
    assert_eq!(good("nginx_main_daemon = on").daemon, Some(true));
    bad(
        "nginx_main_worker_processes = 0",
        &[
            r#"nginx_main_worker_processes = "0" (g.conf:1): expected auto, or a number from 1 to 1024"#,
        ],
    );
}

#[test]
fn cores_are_numbers_and_ranges() {
    let Role::Traditional { proxy, .. } = good("worker_cores = 2-4, 9,3").role else { panic!() };
    assert_eq!(proxy.workers.cores, Some(vec![2, 3, 4, 9]));
    for text in ["4-2", "a", "1-", "5000"] {
        bad(
            &format!("worker_cores = {text}"),
            &[&format!(
                "worker_cores = \"{text}\" (g.conf:1): expected CPU numbers and ranges, such as 2-7,9"
            )],
        );
    }
}

#[test]
fn header_tokens_stand_for_headers() {
    let Role::Traditional { proxy, .. } =
        good("headers = Server_Tokens, x-kong-upstream-status\nheaders_upstream = off").role
    else {
        panic!()
    };
    assert_eq!(
        proxy.headers.into_iter().collect::<Vec<_>>(),
        [Header::Server, Header::Via, Header::UpstreamStatus]
    );
    assert!(proxy.headers_upstream.is_empty());
    bad("headers = x-other", &[r#"headers = "x-other" (g.conf:1): invalid entry 'x-other'"#]);
}

#[test]
fn limits_have_units_and_a_zero_that_means_none() {
    let lines = "nginx_http_client_max_body_size = 8K\nupstream_keepalive_idle_timeout = 0.5";
    let Role::Traditional { proxy, .. } = good(lines).role else { panic!() };
    assert_eq!(proxy.max_body, Some(8 << 10));
    assert_eq!(proxy.keepalive.idle_timeout, Some(Duration::from_millis(500)));
    bad(
        "nginx_http_client_max_body_size = big",
        &[
            r#"nginx_http_client_max_body_size = "big" (g.conf:1): expected bytes, such as 512k, 10m or 0"#,
        ],
    );
    bad(
        "cluster_data_plane_purge_delay = 59",
        &[r#"cluster_data_plane_purge_delay = "59" (g.conf:1): must be 60 or greater"#],
    );
}

#[test]
fn ports_are_mapped_from_the_outside() {
    let Role::Traditional { proxy, .. } = good("port_maps = 80:8000, 443:8443").role else {
        panic!()
    };
    assert_eq!(proxy.public_ports.into_iter().collect::<Vec<_>>(), [(8000, 80), (8443, 443)]);
    bad(
        "port_maps = 80",
        &[r#"port_maps = "80" (g.conf:1): invalid port mapping (`port_maps`): 80"#],
    );
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

/// The table against the code, both ways. What is read and then let go, the compiler reports: a field
/// of the options that nobody reads is dead code.
#[test]
fn exactly_what_is_marked_effective_is_read() {
    let mut read = BTreeSet::new();
    let other_cache = data_plane("data_plane_config_cache_path = /c");
    for lines in ["", &control_plane(""), &data_plane(""), &other_cache] {
        for mode in [Mode::Foreground, Mode::Detached] {
            read.extend(asked(lines, mode));
        }
    }
    assert_eq!(disagreements(&read), [""; 0]);

    read.remove("port_maps");
    read.insert("kic");
    assert_eq!(
        disagreements(&read),
        ["kic is read, so it has an effect", "port_maps: who reads it?"]
    );
}

/// Where what the table says of a property is not what the code does with it.
fn disagreements(read: &BTreeSet<&'static str>) -> Vec<String> {
    let disagrees = |property: &Property| {
        let name = property.name;
        match (property.standing, read.contains(name)) {
            (Standing::Effective, false) => Some(format!("{name}: who reads it?")),
            (Standing::Inert(_) | Standing::Mapped(_) | Standing::Refused(_), true) => {
                Some(format!("{name} is read, so it has an effect"))
            }
            // With one possible value left, there may be nothing to read for.
            (Standing::Effective, true) | (Standing::Only(..), _) | (_, false) => None,
        }
    };
    TABLE.iter().filter_map(disagrees).collect()
}

#[test]
fn what_nothing_reads_is_told() {
    let told = notices(&good("cluster_listen = off\nnginx_worker_processes = 2"));
    let unread: Vec<_> = told.iter().filter(|line| line.contains("is not used")).collect();
    assert_eq!(unread.len(), 1, "{told:?}");
    assert!(unread[0].starts_with("cluster_listen ("), "{unread:?}");
}
