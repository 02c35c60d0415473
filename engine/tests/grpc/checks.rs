//! What a route for gRPC does not serve, and how that is told.

use super::client::{Client, method};
use super::origin::Origin;
use super::{gateway, grpc, grpc_with};
use model::Config;

#[tokio::test]
async fn over_http1_there_is_no_grpc() {
    let origin = Origin::echo().await;
    let gateway = gateway(grpc(origin.addr)).await;
    let asked = "POST /p.S/M HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
    let response = gateway.ask(asked).await;
    assert_eq!((response.status, response.one("Upgrade")), (426, Some("HTTP/2")));
    assert_eq!(response.one("Connection"), Some("keep-alive, Upgrade"));
    assert!(response.text().contains("\"message\":\"Please use HTTP2 protocol\""));
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn what_is_not_grpc_is_of_the_wrong_type() {
    let origin = Origin::echo().await;
    let gateway = gateway(grpc(origin.addr)).await;
    let asked = "POST /p.S/M HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(gateway.ask(asked).await.status, 415);
    let client = Client::in_clear(&gateway).await;
    for media in [None, Some("application/json"), Some("Application/grpc")] {
        let mut request = method("/p.S/M");
        let fields = request.headers_mut().unwrap();
        fields.remove("content-type");
        media.map(|media| fields.insert("content-type", media.parse().unwrap()));
        let answer = client.call(request, b"").await;
        assert_eq!(answer.head.status, 415, "{media:?}");
        let body = String::from_utf8(answer.body).unwrap();
        assert!(body.contains("\"message\":\"Non-gRPC request matched gRPC route\""), "{body}");
    }
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn a_route_for_grpcs_is_not_for_cleartext() {
    let origin = Origin::echo().await;
    let config = grpc_with(origin.addr, |s| s, |r| r.with("protocols", ["grpcs"]));
    let gateway = gateway(config).await;
    let answer = Client::in_clear(&gateway).await.call(method("/p.S/M"), b"hi").await;
    assert_eq!((answer.head.status.as_u16(), answer.code()), (200, Some("1")));
    assert_eq!(answer.message(), Some("gRPC request matched gRPCs route"));
    assert_eq!(
        (answer.field("content-type"), answer.is_head_only),
        (Some("application/grpc"), true)
    );
    let answer = Client::over_tls(&gateway).await.call(method("/p.S/M"), b"hi").await;
    assert_eq!((answer.code(), &*answer.body), (Some("0"), &b"hi"[..]));
}

#[tokio::test]
async fn what_the_gateway_answers_is_a_status_of_grpcs() {
    let gateway = gateway(Config::default()).await;
    let answer = Client::in_clear(&gateway).await.call(method("/p.S/M"), b"hi").await;
    assert_eq!((answer.head.status.as_u16(), answer.code()), (404, Some("5")));
    assert_eq!((answer.message(), answer.is_head_only), (Some("NotFound"), true));
    for (name, value) in [("content-type", "application/grpc"), ("content-length", "0")] {
        assert_eq!(answer.field(name), Some(value));
    }
    assert!(answer.field("x-kong-request-id").is_some());
}
