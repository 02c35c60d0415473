//! Clients that are not gRPC's, at services that are: routes for http lead to them, too.

use super::client::{Client, method};
use super::origin::Origin;
use super::support::{Act, Origin as Http1};
use super::{gateway, grpc_with};
use model::testing::{RouteBuilder, ServiceBuilder};

fn for_http(route: RouteBuilder) -> RouteBuilder {
    route.with("protocols", ["http", "https"])
}

#[tokio::test]
async fn a_route_for_http_may_lead_to_grpc() {
    let origin = Origin::echo().await;
    let gateway = gateway(grpc_with(origin.addr, |s| s, for_http)).await;
    for asked in [
        "POST /x/../y HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "POST /x/../y HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "POST /x/../y HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let response = gateway.ask(asked).await;
        assert_eq!((response.status, response.text()), (200, "hi"), "{asked}");
        assert_eq!(response.one("Transfer-Encoding"), Some("chunked"));
        assert_eq!(response.one("Via"), Some(&*format!("2 gateway/{}", model::VERSION)));
        let (head, _) = origin.seen().pop().unwrap();
        assert_eq!(head.uri.path(), "/x/../y");
        let absent = ["connection", "x-hop", "transfer-encoding", "host"];
        assert!(absent.iter().all(|name| !head.headers.contains_key(*name)), "{:?}", head.headers);
    }
    let request = method("/y");
    let answer = Client::in_clear(&gateway).await.call(request, b"hi").await;
    assert_eq!((answer.code(), &*answer.body), (Some("0"), &b"hi"[..]));
}

#[tokio::test]
async fn one_connection_carries_several_such_requests() {
    let origin = Origin::echo().await;
    let gateway = gateway(grpc_with(origin.addr, |s| s, for_http)).await;
    let mut client = gateway.connect().await;
    for body in ["one", "two"] {
        let asked = format!("POST /y HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{body}");
        assert_eq!(client.ask(&asked).await.text(), body);
    }
}

#[tokio::test]
async fn there_is_no_websocket_and_no_http_1_0_to_grpc() {
    let origin = Origin::echo().await;
    let gateway = gateway(grpc_with(origin.addr, |s| s, for_http)).await;
    let upgrade = "GET /y HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(gateway.ask(upgrade).await.status, 200, "a request like any other");
    assert_eq!(gateway.ask("GET /y HTTP/1.0\r\nHost: a\r\n\r\n").await.status, 426);
}

#[tokio::test]
async fn a_service_that_does_not_speak_http2_is_a_bad_gateway() {
    let (clear, tls) = (Http1::plain().await, Http1::secure(|_| Act::ok("hello")).await);
    for (origin, protocol) in [(&clear, "grpc"), (&tls, "grpcs")] {
        let service = |s: ServiceBuilder| s.with("protocol", protocol);
        let gateway = gateway(grpc_with(origin.addr, service, |r| r)).await;
        let answer = Client::in_clear(&gateway).await.call(method("/p.S/M"), b"hi").await;
        assert_eq!((answer.head.status.as_u16(), answer.code()), (502, Some("14")), "{protocol}");
    }
    assert!(tls.seen().is_empty(), "what has not agreed on HTTP/2 is asked nothing");
}

#[tokio::test]
async fn services_of_http_are_spoken_to_over_http1_whatever_they_could() {
    let origin = Http1::secure(|_| Act::ok("hello")).await;
    let service = |s: ServiceBuilder| s.with("protocol", "https");
    let gateway = gateway(grpc_with(origin.addr, service, for_http)).await;
    let answer = Client::over_tls(&gateway).await.call(method("/y"), b"hi").await;
    assert_eq!(answer.head.status, 200);
    assert_eq!(origin.last().line, "POST /y HTTP/1.1");
}
