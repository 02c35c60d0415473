//! How upstreams are found, spoken to and tried again.

use super::GET;
use super::support::{Act, Gateway, Origin, config, one, within};
use model::testing::{route, service};

#[tokio::test]
async fn only_what_is_safe_is_tried_again() {
    let origin = Origin::start(|received| match received.connection {
        0 | 1 => Act::SayAndClose(Vec::new()),
        _ => Act::ok("at last"),
    })
    .await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let post = gateway.ask("POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!((post.status, origin.seen().len()), (502, 1));
    let put = gateway.ask("PUT /r HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!((put.status, put.text(), origin.seen().len()), (200, "at last", 3));
    assert!(origin.seen().iter().all(|seen| seen.body == b"hi"));
}

#[tokio::test]
async fn as_often_as_the_service_says() {
    let origin = Origin::start(|_| Act::SayAndClose(Vec::new())).await;
    for retries in [0, 3] {
        let service = service("s").url(&origin.url("/")).with("retries", retries).build();
        let route = route("r").path("/r").to(&service).build();
        let gateway = Gateway::start(config([service], [route])).await;
        let before = origin.seen().len();
        assert_eq!(gateway.ask(GET).await.status, 502);
        assert_eq!(origin.seen().len() - before, retries + 1);
    }
}

#[tokio::test]
async fn a_connection_gone_stale_costs_no_try() {
    let origin = Origin::start(|received| match received.line.as_str() {
        "GET /one HTTP/1.1" => Act::ok("one"),
        _ if received.connection == 0 => Act::SayAndClose(Vec::new()),
        _ => Act::ok("two"),
    })
    .await;
    let service = service("s").url(&origin.url("/")).with("retries", 0).build();
    let route = route("r").path("/r").to(&service).build();
    let gateway = Gateway::start(config([service], [route])).await;
    assert_eq!(gateway.ask("GET /r/one HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "one");
    assert_eq!(gateway.ask("GET /r/two HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "two");
}

#[tokio::test]
async fn names_are_resolved() {
    let origin = Origin::plain().await;
    let url = format!("http://localhost:{}", origin.addr.port());
    let gateway = Gateway::start(one(&url, |r| r.path("/r"))).await;
    assert_eq!(gateway.ask(GET).await.text(), "hello");
    let host = format!("localhost:{}", origin.addr.port());
    assert_eq!(origin.last().one("Host"), Some(host.as_str()));
}

#[tokio::test]
async fn an_upstream_may_want_tls() {
    let origin = Origin::secure(|received| Act::ok(&received.line)).await;
    let service = service("s").url(&format!("https://localhost:{}/", origin.addr.port())).build();
    let route = route("r").path("/r").to(&service).build();
    let gateway = Gateway::start(config([service], [route])).await;
    for path in ["a", "b"] {
        let response = gateway.ask(&format!("GET /r/{path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(response.text(), format!("GET /{path} HTTP/1.1"));
        assert_eq!(origin.last().connection, 0);
    }
    let host = format!("localhost:{}", origin.addr.port());
    assert_eq!(origin.last().one("Host"), Some(host.as_str()));
}

#[tokio::test]
async fn a_service_that_wants_more_of_tls_than_there_is_is_refused() {
    let service = service("s").url("https://a.test/").with("tls_verify", true).build();
    let refused = engine::judge(Default::default()).rehearse(&config([service], [])).unwrap_err();
    assert_eq!(refused.len(), 1, "{refused:?}");
}

#[tokio::test]
async fn a_client_that_leaves_costs_its_request_only() {
    let origin = Origin::start(|received| match received.line.contains("slow") {
        true => Act::Hang,
        false => Act::ok("hello"),
    })
    .await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    client.send("GET /r/slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    within(async {
        while origin.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        drop(client);
        while gateway.handle.stats().open() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(gateway.ask(GET).await.text(), "hello");
}
