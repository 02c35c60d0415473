//! TLS towards upstreams.

use super::*;

#[test]
fn upstreams_are_verified_as_nginx_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, label: &str| {
        let path = directory.path().join(name);
        let pem = format!("-----BEGIN {label}-----\n{name}\n-----END {label}-----\n");
        fs::write(&path, pem).unwrap();
        path.display().to_string()
    };
    let (one, two) = (file("one", "CERTIFICATE"), file("two", "CERTIFICATE"));
    let key = file("key", "PRIVATE KEY");
    let tls = |lines: &str| {
        let Role::Traditional { proxy, .. } = good(lines).role else { panic!() };
        let tls = proxy.upstream_tls;
        let named = tls.authorities.iter().map(|pem| pem.lines().nth(1).unwrap().to_owned());
        let named: Vec<String> = named.collect();
        (tls.verify, tls.verify_depth, named.join(" "), tls.system_authorities, tls.certificate)
    };
    assert_eq!(tls(""), (false, 1, String::new(), true, None));
    let lines = "nginx_proxy_proxy_ssl_verify = on\nnginx_proxy_proxy_ssl_verify_depth = 3\n";
    let trusted = format!("{lines}lua_ssl_trusted_certificate = {one},system,{two}");
    assert_eq!(tls(&trusted), (true, 3, "one two".to_owned(), true, None));
    let trusted = format!("{trusted}\nnginx_http_proxy_ssl_trusted_certificate = {two}");
    assert_eq!(tls(&trusted), (true, 3, "two".to_owned(), false, None));
    let pair = format!("client_ssl_cert = {one}\nclient_ssl_cert_key = {key}\n");
    assert_eq!(tls(&pair).4, None, "client_ssl is off");
    let (cert, private) = tls(&format!("{pair}client_ssl = on")).4.unwrap();
    assert!(cert.contains("one") && private.contains("key"));
    bad(
        "client_ssl = on",
        &[
            "client_ssl_cert: must be specified where client_ssl is on",
            "client_ssl_cert_key: must be specified where client_ssl is on",
        ],
    );
}
