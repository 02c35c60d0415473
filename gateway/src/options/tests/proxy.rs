//! What the data plane is told about traffic.

use engine::options::Media;

use super::*;

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
        "ssl_cipher_suite = custom\nssl_ciphers = AES128-SHA:AES256-SHA\nssl_protocols = TLSv1.1 TLSv1.2\nssl_session_tickets = off",
    );
    assert_eq!(range(&custom), (Version::V1_1, Version::V1_2));
    assert_eq!(custom.ciphers, Ciphers::Custom("AES128-SHA:AES256-SHA".to_owned()));
    assert!(custom.prefer_server_ciphers && !custom.session_tickets);
    bad(
        "ssl_cipher_suite = custom",
        &["ssl_ciphers: must be specified when ssl_cipher_suite = custom"],
    );
    let told = notices(&good("ssl_ciphers = A"));
    assert!(told.iter().any(|line| line.starts_with("ssl_ciphers has no effect")), "{told:?}");
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
    assert_eq!(proxy.keepalive.max_requests, Some(10_000));
    let Role::Traditional { proxy, .. } = good("upstream_keepalive_max_requests = 0").role else {
        panic!()
    };
    assert_eq!(proxy.keepalive.max_requests, None);
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
fn off_counts_where_it_comes_first() {
    let headers = |lines: &str| {
        let Role::Traditional { proxy, .. } = good(lines).role else { panic!() };
        (proxy.headers.into_iter().collect::<Vec<_>>(), proxy.headers_upstream.len())
    };
    assert_eq!(headers("headers = off, via\nheaders_upstream = OFF, X-Kong-Request-Id").0, []);
    assert_eq!(headers("headers = via, off"), (vec![Header::Via], 1));
    assert_eq!(headers("headers = off\nheaders_upstream = off, x-kong-request-id"), (vec![], 0));
    bad(
        "headers = off, x-other",
        &[r#"headers = "off, x-other" (g.conf:1): invalid entry 'x-other'"#],
    );
}

#[test]
fn errors_have_a_type_and_words_of_the_operators_choice() {
    let errors = |lines: &str| {
        let Role::Traditional { proxy, .. } = good(lines).role else { panic!() };
        proxy.errors
    };
    assert_eq!(errors("").default_type, Media::Plain);
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).display().to_string();
    fs::write(place("e.html"), "<b>%s</b> %s, 100%%\n").unwrap();
    fs::write(place("e.txt"), "one %s\ntwo %s %s\n").unwrap();
    let set = errors(&format!(
        "error_default_type = text/html\nerror_template_html = {}",
        place("e.html")
    ));
    assert_eq!(set.default_type, Media::Html);
    assert_eq!(set.html.unwrap().fill("M", "R"), "<b>M</b> R, 100%\n");
    assert_eq!((set.json, set.xml, set.plain), (None, None, None));

    let (plain, none) = (place("e.txt"), place("none"));
    bad(
        &format!(
            "error_default_type = text/csv\nerror_template_plain = {plain}\nerror_template_xml = {none}"
        ),
        &[
            r#"error_default_type = "text/csv" (g.conf:1): expected one of: application/json, application/xml, text/html, text/plain"#,
            &format!(
                r#"error_template_plain = "{plain}" (g.conf:2): failed reading the template: it has more than two %s: one is for the message, one for the request's id"#
            ),
            &format!(
                r#"error_template_xml = "{none}" (g.conf:3): failed reading the template: No such file or directory (os error 2)"#
            ),
        ],
    );
}

#[test]
fn http2_and_strictness_are_the_operators_to_say() {
    let Role::Traditional { proxy, .. } = good("").role else { panic!() };
    assert_eq!((proxy.http2_streams, proxy.strict_status), (128, false));
    let lines = "nginx_proxy_http2_max_concurrent_streams = 10\nstrict_status = on";
    let Role::Traditional { proxy, .. } = good(lines).role else { panic!() };
    assert_eq!((proxy.http2_streams, proxy.strict_status), (10, true));
    bad(
        "nginx_http_http2_max_concurrent_streams = 0",
        &[
            r#"nginx_http_http2_max_concurrent_streams = "0" (g.conf:1): must be 1 or greater and 10000 or less"#,
        ],
    );
}
