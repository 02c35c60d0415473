//! Clients behind a balancer that speaks the PROXY protocol.

use super::GET;
use super::support::{Client, Gateway, Origin, one, within};
use engine::options::RealIp;
use model::Config;

/// A listener that asks for the header, in a gateway that believes it from anyone local.
async fn believing(config: Config) -> Gateway {
    Gateway::with(config, 1, |options| {
        options.listen[0].proxy_protocol = true;
        options.forwarding.trusted = vec!["127.0.0.0/8".parse().unwrap()];
        options.forwarding.real_ip = RealIp::ProxyProtocol;
    })
    .await
}

fn binary() -> Vec<u8> {
    let fixed = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10";
    [fixed.as_slice(), &[9, 8, 7, 6, 10, 0, 0, 1, 0, 77, 0, 80], b"\x04\0\x01x"].concat()
}

#[tokio::test]
async fn a_believed_balancer_names_the_client() {
    let origin = Origin::plain().await;
    let gateway = believing(one(&origin.url(""), |r| r.path("/r"))).await;
    for header in [b"PROXY TCP4 9.8.7.6 10.0.0.1 77 80\r\n".to_vec(), binary()] {
        let mut client = gateway.connect().await;
        client.send(&header).await;
        for forwarded_for in ["", "X-Forwarded-For: 1.1.1.1\r\n"] {
            let request = format!("GET /r HTTP/1.1\r\nHost: a\r\n{forwarded_for}\r\n");
            assert_eq!(client.ask(&request).await.status, 200);
            let received = origin.last();
            assert_eq!(received.one("X-Real-IP"), Some("9.8.7.6"));
            // Hops are named by whom they came from, as `$realip_remote_addr` is.
            let hops = if forwarded_for.is_empty() { "9.8.7.6" } else { "1.1.1.1, 127.0.0.1" };
            assert_eq!(received.one("X-Forwarded-For"), Some(hops));
            assert_eq!(received.one("X-Forwarded-Port"), Some(&*gateway.addr.port().to_string()));
        }
    }
    assert_eq!(gateway.handle.stats().proxy_headers_failed(), 0);
}

#[tokio::test]
async fn who_speaks_for_nobody_is_the_client() {
    let origin = Origin::plain().await;
    let gateway = believing(one(&origin.url(""), |r| r.path("/r"))).await;
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".as_slice();
    for header in [b"PROXY UNKNOWN\r\n", local] {
        let mut client = gateway.connect().await;
        client.send(header).await;
        assert_eq!(client.ask(GET).await.status, 200);
        assert_eq!(origin.last().one("X-Real-IP"), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn the_header_counts_only_where_it_is_said_to() {
    let origin = Origin::plain().await;
    let config = || one(&origin.url(""), |r| r.path("/r"));
    let listening = |trusted: &'static str, real_ip: RealIp| {
        Gateway::with(config(), 1, move |options| {
            options.listen[0].proxy_protocol = true;
            options.forwarding.trusted = vec![trusted.parse().unwrap()];
            options.forwarding.real_ip = real_ip;
        })
    };
    let unbelieved = listening("10.0.0.0/8", RealIp::ProxyProtocol).await;
    let by_header = listening("127.0.0.0/8", RealIp::Header("X-Real-IP".to_owned())).await;
    for (gateway, told) in [(unbelieved, "127.0.0.1"), (by_header, "5.5.5.5")] {
        let mut client = gateway.connect().await;
        client.send("PROXY TCP4 9.8.7.6 10.0.0.1 77 80\r\n").await;
        let request = "GET /r HTTP/1.1\r\nHost: a\r\nX-Real-IP: 5.5.5.5\r\n\r\n";
        assert_eq!(client.ask(request).await.status, 200);
        assert_eq!(origin.last().one("X-Real-IP"), Some(told));
    }
}

#[tokio::test]
async fn a_connection_without_the_header_is_closed_and_counted() {
    let origin = Origin::plain().await;
    let gateway = believing(one(&origin.url(""), |r| r.path("/r"))).await;
    for nonsense in
        [GET, "PROXY TCP4 here there 1 2\r\n\r\n", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x01xxxx"]
    {
        let mut client = Client::connect(gateway.addr).await;
        client.send(nonsense).await;
        assert!(within(client.0.take(1)).await.is_none(), "an answer");
    }
    assert_eq!(gateway.handle.stats().proxy_headers_failed(), 3);
    assert_eq!(gateway.handle.stats().requests(), 0);
}

#[tokio::test]
async fn an_address_of_another_family_may_be_told() {
    let origin = Origin::plain().await;
    let gateway = believing(one(&origin.url(""), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    client.send("PROXY TCP6 2001:db8::9 2001:db8::1 77 80\r\n").await;
    assert_eq!(client.ask(GET).await.status, 200);
    assert_eq!(origin.last().one("X-Forwarded-For"), Some("2001:db8::9"));
}
