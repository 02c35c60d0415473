//! Limits and patience, and who is believed to be whom.

use super::*;

#[test]
fn patience_is_said_in_nginx_s_words() {
    let door = |lines: &str| match good(lines).role {
        Role::Traditional { proxy, .. } => proxy.door,
        _ => panic!(),
    };
    let seconds = Duration::from_secs;
    let usual = door("prefix = /p");
    assert_eq!((usual.line, usual.head, usual.body_memory), (8 << 10, 32 << 10, 64 << 10));
    assert_eq!((usual.body_timeout, usual.idle_timeout), (seconds(60), seconds(75)));
    assert_eq!((usual.requests, usual.connections), (10_000, None));
    assert_eq!(usual.body_directory, Path::new("/p/client_body_temp"));

    let said = door(
        "nginx_http_client_header_timeout = 5\nnginx_proxy_client_body_timeout = 1m30s\n\
         nginx_http_send_timeout = 500ms\nnginx_http_keepalive_timeout = 1h 60s\n\
         nginx_http_keepalive_requests = 7\nclient_body_buffer_size = 1m\n\
         nginx_http_client_body_temp_path = /spool 1 2\nnginx_events_worker_connections = 512\n\
         nginx_http_large_client_header_buffers = 8 16k",
    );
    let expected = Door {
        line: 16 << 10,
        head: 128 << 10,
        head_timeout: seconds(5),
        body_timeout: seconds(90),
        send_timeout: Duration::from_millis(500),
        idle_timeout: seconds(3600),
        requests: 7,
        body_memory: 1 << 20,
        body_directory: "/spool".into(),
        connections: Some(512),
    };
    assert_eq!(said, expected);
    assert_eq!(door("nginx_http_keepalive_timeout = 0").requests, 1);
    for (name, text) in [
        ("nginx_http_send_timeout", "soon"),
        ("nginx_http_send_timeout", "1m 30s"),
        ("nginx_http_keepalive_timeout", "1 2 3"),
        ("nginx_http_client_body_timeout", "0"),
        ("nginx_http_large_client_header_buffers", "8k"),
        ("nginx_http_large_client_header_buffers", "0 8k"),
        ("nginx_http_large_client_header_buffers", "64 64k"),
        ("nginx_http_client_body_buffer_size", "1g"),
        ("nginx_events_worker_connections", "0"),
    ] {
        let mistakes = read(&format!("{name} = {text}")).map(|_| ()).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].starts_with(&format!("{name} = \"{text}\"")), "{mistakes:?}");
    }
}

#[test]
fn the_client_is_named_by_a_header_or_by_the_proxy_protocol() {
    let proxy = |lines| match good(lines).role {
        Role::Traditional { proxy, .. } => proxy,
        _ => panic!(),
    };
    let header = RealIp::Header("cf-connecting-ip".to_owned());
    assert_eq!(proxy("real_ip_header = CF-Connecting-IP").forwarding.real_ip, header);
    let relayed = "proxy_listen = 0.0.0.0:8000 proxy_protocol\nreal_ip_header = proxy_protocol\n";
    let trusting = format!("{relayed}trusted_ips = 10.0.0.0/8, unix:");
    let told = proxy(&trusting);
    assert!(told.listen.iter().all(|listen| listen.proxy_protocol));
    assert_eq!(told.forwarding.real_ip, RealIp::ProxyProtocol);
    assert_eq!(told.forwarding.trusted.len(), 1);
    for (lines, why) in [
        ("real_ip_header = proxy_protocol", Some("no listener of proxy_listen")),
        (relayed, Some("trusted_ips is empty")),
        (&trusting, None),
    ] {
        let told = notices(&good(lines));
        let about =
            told.iter().find(|line| line.contains("real_ip_header = proxy_protocol has no"));
        let said = about.map(|line| why.is_some_and(|why| line.contains(why)));
        assert_eq!(said, why.map(|_| true), "{told:?}");
    }
    let what = "expected proxy_protocol, or the name of a header";
    bad("real_ip_header = a b", &[&format!("real_ip_header = \"a b\" (g.conf:1): {what}")]);
}
