//! Which lane a request takes.

use super::GET;
use super::support::{Gateway, Origin, config, one};
use engine::options::Lanes;
use model::testing::{route, service};

async fn express(gateway: &Gateway, requests: &[&str]) -> u64 {
    let mut client = gateway.connect().await;
    for request in requests {
        client.ask(request).await;
    }
    gateway.handle.stats().express()
}

#[tokio::test]
async fn what_can_takes_the_express_lane_unless_it_is_closed() {
    let origin = Origin::plain().await;
    for (open, expected) in [(true, 2), (false, 0)] {
        let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 1, |options| {
            options.lanes = Lanes { express: open };
        })
        .await;
        let none = "GET /none HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(express(&gateway, &[GET, none, GET]).await, expected, "{open}");
    }
}

/// There, and back, on one connection.
#[tokio::test]
async fn a_lane_is_chosen_for_each_request() {
    let origin = Origin::plain().await;
    let services = [
        service("plain").url(&origin.url("")).build(),
        service("tls").url("https://127.0.0.1:1").with("retries", 0).build(),
    ];
    let routes = [
        route("plain").path("/r").to(&services[0]).build(),
        route("tls").path("/tls").to(&services[1]).build(),
    ];
    let gateway = Gateway::start(config(services, routes)).await;
    let tls = "GET /tls HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(express(&gateway, &[GET, tls, GET, tls, tls]).await, 2);
    assert_eq!(gateway.handle.stats().accepted(), 1);
}
