//! Which requests find a route, and what the gateway answers itself.

use super::support::{Act, Gateway, Origin, config};
use super::{GET, ours};
use model::testing::{route, service};

#[tokio::test]
async fn routes_decide_by_host_path_and_method() {
    let origin = Origin::plain().await;
    let to = |name: &str| service(name).url(&origin.url(&format!("/{name}"))).build();
    let (a, b, c) = (to("a"), to("b"), to("c"));
    let routes = [
        route("a").path("/x").to(&a).build(),
        route("b").path("/x").host("b.test").with("strip_path", false).to(&b).build(),
        route("c").path("/x/y").method("PUT").with("preserve_host", true).to(&c).build(),
    ];
    let gateway = Gateway::start(config([a, b, c], routes)).await;
    for (request, host, expected) in [
        ("GET /x/z", "a.test", "GET /a/z HTTP/1.1"),
        ("GET /x/z", "b.test", "GET /b/x/z HTTP/1.1"),
        ("PUT /x/y?", "q.test:8", "PUT /c? HTTP/1.1"),
        ("GET /a/../x//y", "a.test", "GET /a/y HTTP/1.1"),
    ] {
        let head = format!("{request} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(gateway.ask(&head).await.status, 200, "{request}");
        assert_eq!(origin.last().line, expected, "{request}");
    }
    let preserved = origin.seen().into_iter().find(|seen| seen.line.starts_with("PUT")).unwrap();
    assert_eq!(preserved.one("Host"), Some("q.test:8"));
}

#[tokio::test]
async fn without_a_route_the_answer_is_404() {
    let gateway = Gateway::start(config([], [])).await;
    let mut client = gateway.connect().await;
    let response = client.ask(GET).await;
    let id = response.id().to_owned();
    assert_eq!((response.status, response.line.as_str()), (404, "HTTP/1.1 404 Not Found"));
    assert_eq!(
        response.text(),
        format!(
            "{{\n  \"message\":\"no Route matched with those values\",\n  \"request_id\":\"{id}\"\n}}"
        )
    );
    assert_eq!(response.one("Content-Type"), Some("application/json; charset=utf-8"));
    assert_eq!(response.one("Server"), Some(ours().as_str()));
    assert!(response.one("X-Kong-Response-Latency").is_some() && response.one("Date").is_some());
    assert_eq!((response.one("Via"), response.one("X-Kong-Proxy-Latency")), (None, None));
    assert_eq!(id.len(), 32);

    // The connection is as good as before, also with a body nobody read.
    let head = client
        .ask("HEAD /r HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    assert_eq!((head.status, head.body.len()), (404, 0));
    assert_eq!(head.one("Content-Length"), Some("80"));
    let html = client.ask("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n").await;
    assert!(
        html.text().contains("<p>no Route matched with those values.</p>\n"),
        "{}",
        html.text()
    );
}

#[tokio::test]
async fn what_the_gateway_must_answer_itself_it_does() {
    let nothing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = nothing.local_addr().unwrap();
    drop(nothing);
    let origin = Origin::start(|received| match received.line.split(' ').nth(1).unwrap() {
        "/garbage" => Act::SayAndClose(b"not http at all\r\n\r\n".to_vec()),
        "/slow" => Act::Hang,
        _ => Act::SayAndClose(Vec::new()),
    })
    .await;
    let refused = service("refused").url(&format!("http://{refusing}/")).with("retries", 2).build();
    let bad =
        service("bad").url(&origin.url("/")).with("read_timeout", 200).with("retries", 0).build();
    let unnamed = service("unnamed").url("http://does-not-exist.invalid/").build();
    let routes = [
        route("refused").path("/refused").to(&refused).build(),
        route("bad").path("/bad").to(&bad).build(),
        route("unnamed").path("/unnamed").to(&unnamed).build(),
        route("alone").path("/alone").build(),
        route("tls").path("/tls").with("protocols", vec!["https"]).to(&bad).build(),
        route("moved")
            .path("/moved")
            .with("protocols", vec!["https"])
            .with("https_redirect_status_code", 301)
            .to(&bad)
            .build(),
    ];
    let gateway = Gateway::start(config([refused, bad, unnamed], routes)).await;
    let mut client = gateway.connect().await;
    const B: &str = "text/plain; charset=utf-8";
    const A: &str = "application/json; charset=utf-8";
    for (path, status, media, message) in [
        ("/refused", 502, B, "An invalid response was received from the upstream server"),
        ("/bad/garbage", 502, B, "An invalid response was received from the upstream server"),
        ("/bad/closes", 502, B, "An invalid response was received from the upstream server"),
        ("/bad/slow", 504, B, "The upstream server is timing out"),
        ("/unnamed", 503, A, "name resolution failed"),
        ("/alone", 503, A, "no Service found with those values"),
        ("/tls", 426, A, "Please use HTTPS protocol"),
    ] {
        let response = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        assert_eq!(response.status, status, "{path}");
        assert_eq!(response.one("Content-Type"), Some(media), "{path}");
        let id = response.id();
        let body = match media {
            A => format!("{{\n  \"message\":\"{message}\",\n  \"request_id\":\"{id}\"\n}}"),
            _ => format!("{message}\nrequest_id: {id}\n"),
        };
        assert_eq!(response.text(), body, "{path}");
        assert_eq!(response.one("Server"), Some(ours().as_str()), "{path}");
        assert!(response.one("X-Kong-Response-Latency").is_some(), "{path}");
        assert_eq!(response.one("Via"), None, "{path}");
        if status == 426 {
            assert_eq!(response.one("Upgrade"), Some("TLS/1.2, HTTP/1.1"));
        }
    }
    let moved = client.ask("GET /moved/x?y HTTP/1.1\r\nHost: A.test:80\r\n\r\n").await;
    assert_eq!((moved.status, moved.one("Location")), (301, Some("https://a.test/moved/x?y")));
    assert_eq!(moved.body, b"");
}

#[tokio::test]
async fn what_the_door_refuses_is_answered_as_kong_does() {
    let gateway = Gateway::start(config([], [])).await;
    for (request, status, text) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "Bad request"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "Method not allowed"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "Bad request"),
    ] {
        let mut client = gateway.connect().await;
        let response = client.ask(request).await;
        assert_eq!(response.status, status, "{request}");
        assert_eq!(response.text(), format!("{text}\nrequest_id: {}\n", response.id()));
        assert_eq!(response.one("Connection"), Some("close"));
        assert!(client.is_closed().await);
    }
    let trace = "TRACE / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n";
    let media = gateway.ask(trace).await;
    assert_eq!(media.one("Content-Type"), Some("application/json; charset=utf-8"));
}
