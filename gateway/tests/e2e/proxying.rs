//! A request through the whole cluster: configured on the control plane, served by the data plane.

use std::net::TcpStream;

use serde_json::json;

use crate::support::{DbLess, Origin, Site, closing, free_port, raw};

#[tokio::test]
async fn a_request_reaches_the_service_of_its_route() {
    let site = Site::on(super::LANE).await;
    let (control_plane, data_plane) = site.cluster().await;
    let origin = Origin::start("shop").await;
    control_plane.expose("shop", "/shop", &origin.url("/base")).await;

    let reply = data_plane.answers("/shop/cart?item=7", 200).await;
    let seen = reply.json();
    assert_eq!(seen["origin"], "shop");
    assert_eq!(seen["target"], "/base/cart?item=7", "the prefix is off, the service's path is on");
    let sent = &seen["headers"];
    assert_eq!(sent["host"], origin.address.to_string());
    assert_eq!(sent["x-forwarded-for"], "127.0.0.1");
    assert_eq!(sent["x-real-ip"], "127.0.0.1");
    assert_eq!(sent["x-forwarded-proto"], "http");
    assert_eq!(sent["x-forwarded-host"], "127.0.0.1");
    assert_eq!(sent["x-forwarded-port"], data_plane.proxy.port().to_string());
    assert_eq!(sent["x-forwarded-path"], "/shop/cart");
    assert_eq!(sent["x-forwarded-prefix"], "/shop");

    let id = reply.header("x-kong-request-id").unwrap();
    assert_eq!(sent["x-kong-request-id"], id, "one id, for the origin and for the client");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(reply.header("via"), Some(format!("1.1 gateway/{}", model::VERSION).as_str()));
    for latency in ["x-kong-upstream-latency", "x-kong-proxy-latency"] {
        assert!(reply.header(latency).unwrap().parse::<u32>().is_ok(), "{latency}: {reply:?}");
    }
    assert_ne!(reply.header("server"), Some("Pingora"));
}

#[tokio::test]
async fn a_body_arrives_whole_and_in_order() {
    let site = Site::on(super::LANE).await;
    let (control_plane, data_plane) = site.cluster().await;
    let origin = Origin::start("files").await;
    control_plane.expose("files", "/files", &origin.url("/")).await;
    data_plane.answers("/files", 200).await;

    let body: String = (0..200_000).map(|number| format!("{number:06}")).collect();
    let reply = data_plane.send("PUT", "/files/one", &[], Some(body.clone())).await;
    let seen = reply.json();
    assert_eq!((reply.status, &seen["method"]), (200, &json!("PUT")));
    assert!(seen["body"] == body.as_str(), "the body has changed on its way");
}

#[tokio::test]
async fn the_most_specific_route_counts() {
    let site = Site::on(super::LANE).await;
    let (control_plane, data_plane) = site.cluster().await;
    let origin = Origin::start("any").await;
    for service in ["path", "longer", "host", "method"] {
        let url = origin.url(&format!("/{service}"));
        control_plane.post("/services", json!({ "name": service, "url": url })).await;
    }
    for (service, route) in [
        ("path", json!({ "paths": ["/a"] })),
        ("longer", json!({ "paths": ["/a/b"], "strip_path": false })),
        ("host", json!({ "hosts": ["api.test"], "paths": ["/a"], "preserve_host": true })),
        ("method", json!({ "methods": ["DELETE"], "paths": ["/a"] })),
    ] {
        control_plane.post(&format!("/services/{service}/routes"), route).await;
    }
    within_reach(&data_plane).await;

    let at_host = [("host", "api.test")];
    for (method, path, headers, target) in [
        ("GET", "/a/x", &[][..], "/path/x"),
        ("GET", "/a/b/x", &[], "/longer/a/b/x"),
        ("GET", "/a/b/x", &at_host, "/host/b/x"),
        ("DELETE", "/a/b/x", &[], "/method/b/x"),
    ] {
        let seen = data_plane.send(method, path, headers, None).await.json();
        assert_eq!(seen["target"], target, "{method} {path} {headers:?}");
        let host = if headers.is_empty() { origin.address.to_string() } else { "api.test".into() };
        assert_eq!(seen["headers"]["host"], host, "{method} {path} {headers:?}");
    }

    /// The last route is there, so all are.
    async fn within_reach(data_plane: &crate::support::DataPlane) {
        crate::support::within(crate::support::PATIENCE, async || {
            data_plane.send("DELETE", "/a", &[], None).await.with_status(200)
        })
        .await;
    }
}

#[tokio::test]
async fn what_has_no_route_is_told_so() {
    let site = Site::on(super::LANE).await;
    let (control_plane, data_plane) = site.cluster().await;
    control_plane.expose("shop", "/shop", "http://127.0.0.1:1").await;
    let reply = data_plane.get("/elsewhere").await.unwrap();
    assert_eq!(reply.status, 404);
    let id = reply.header("x-kong-request-id").unwrap();
    assert_eq!(
        reply.body,
        format!(
            "{{\n  \"message\":\"no Route matched with those values\",\n  \"request_id\":\"{id}\"\n}}"
        )
    );
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(reply.header("server"), Some(format!("gateway/{}", model::VERSION).as_str()));
}

#[tokio::test]
async fn an_origin_that_fails_is_not_the_clients_fault() {
    let site = Site::on(super::LANE).await;
    let (control_plane, data_plane) = site.cluster().await;
    let origin = Origin::start("slow").await;
    let nowhere = free_port();
    let closing = closing().await;
    let service = |name: &str, url: String| json!({ "name": name, "url": url, "retries": 1 });
    for (name, url) in [
        ("refused", format!("http://{nowhere}")),
        ("closed", format!("http://{closing}")),
        ("unknown", "http://no-such-host.invalid".to_owned()),
        ("slow", origin.url("/")),
    ] {
        control_plane.post("/services", service(name, url)).await;
        let route = json!({ "name": name, "paths": [format!("/{name}")] });
        control_plane.post(&format!("/services/{name}/routes"), route).await;
    }
    control_plane.patch("/services/slow", json!({ "read_timeout": 200, "retries": 0 })).await;
    data_plane.answers("/slow", 200).await;

    let invalid = "An invalid response was received from the upstream server";
    for (path, headers, status, message) in [
        ("/refused", &[][..], 502, invalid),
        ("/closed", &[], 502, invalid),
        ("/unknown", &[], 503, "name resolution failed"),
        ("/slow", &[("x-delay", "5000")], 504, "The upstream server is timing out"),
        ("/slow", &[("x-status", "503")], 503, "\"origin\":\"slow\""),
    ] {
        let reply = data_plane.send("GET", path, headers, None).await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        assert!(reply.body.contains(message), "{path}: {reply:?}");
    }
}

#[tokio::test]
async fn errors_and_headers_are_as_the_properties_say() {
    let site = Site::on(super::LANE).await;
    let template = site.path().join("error.html");
    std::fs::write(&template, "<p>%s</p>\n").unwrap();
    let origin = Origin::start("shop").await;
    let mut node = DbLess::new(&site);
    node.process.set("error_default_type", "text/html");
    node.process.set("error_template_html", template.display());
    node.process.set("headers", "X-Kong-Upstream-Status");
    node.process.set("headers_upstream", "off");
    node.process.set("trusted_ips", "127.0.0.1");
    node.process.set("port_maps", format!("443:{}", node.proxy.port()));
    node.start().await;
    let document = json!({ "_format_version": "3.0", "services": [
        { "name": "shop", "url": origin.url("/"), "routes": [{ "paths": ["/shop"] }] },
        { "name": "dead", "url": "http://127.0.0.1:1", "routes": [{ "paths": ["/dead"] }] },
    ] });
    assert_eq!(node.load(&document.to_string()).await.status, 201);

    let ask = async |path: &str| {
        let fields = "Host: a.test\r\nX-Real-IP: 1.2.3.4\r\nConnection: close\r\n\r\n";
        let answer = raw(node.proxy, &format!("GET {path} HTTP/1.1\r\n{fields}")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    };
    let (head, body) = ask("/dead").await;
    assert_eq!(body, "<p>An invalid response was received from the upstream server</p>\n");
    assert!(head.contains("\r\nContent-Type: text/html; charset=utf-8"), "{head}");
    let (head, body) = ask("/shop").await;
    assert!(head.contains("\r\nX-Kong-Upstream-Status: 200"), "{head}");
    assert!(!head.contains("Via:") && !head.contains("X-Kong-Request-Id:"), "{head}");
    let seen: serde_json::Value = serde_json::from_str(&body).unwrap();
    let sent = &seen["headers"];
    assert_eq!((&sent["x-real-ip"], &sent["x-forwarded-port"]), (&json!("1.2.3.4"), &json!("443")));
    assert_eq!(sent.get("x-kong-request-id"), None);
}

#[tokio::test]
async fn pipelined_requests_are_answered_one_by_one() {
    let site = Site::on(super::LANE).await;
    let (control_plane, data_plane) = site.cluster().await;
    let origin = Origin::start("echo").await;
    control_plane.expose("echo", "/echo", &origin.url("/")).await;
    data_plane.answers("/echo", 200).await;

    let answers = raw(
        data_plane.proxy,
        "POST /echo/1 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\none\
         GET /elsewhere HTTP/1.1\r\nhost: a\r\n\r\n\
         POST /echo/2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n\
         GET /echo/3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    let statuses: Vec<_> =
        answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "404", "200", "200"], "{answers}");
    let order: Vec<_> = ["\"/1\"", "no Route matched", "\"/2\"", "\"/3\""]
        .map(|mark| answers.find(mark).unwrap_or_else(|| panic!("{mark}: {answers}")))
        .into();
    assert!(order.is_sorted(), "{answers}");
    assert!(answers.contains("\"one\"") && answers.contains("\"two\""), "{answers}");
}

#[tokio::test]
async fn each_plane_keeps_to_its_part() {
    let site = Site::on(super::LANE).await;
    let mut control_plane = crate::support::ControlPlane::new(&site);
    let (proxy, admin) = (free_port(), free_port());
    control_plane.process.set("proxy_listen", proxy);
    control_plane.start().await;
    let mut data_plane = crate::support::DataPlane::new(&site, control_plane.cluster);
    data_plane.process.set("admin_listen", admin);
    data_plane.start().await;
    assert!(TcpStream::connect(proxy).is_err(), "a control plane does not proxy");
    assert!(TcpStream::connect(admin).is_err(), "a data plane has no Admin API");
}
