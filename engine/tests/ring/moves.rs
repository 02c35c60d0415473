//! Requests that only the other lane can carry, among those that io_uring does.

use super::support::{Act, Client, Gateway, Origin, config, within};
use engine::options::LogSink;
use model::testing::{route, service};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

const EXPRESS: &str = "GET /r HTTP/1.1\r\nHost: a\r\n\r\n";
const OTHER: &str = "GET /t HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED: &str =
    "POST /r HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";

/// A gateway with a service in cleartext on `/r`, one in TLS on `/t`, and what it logs.
async fn both_lanes() -> (Gateway, Arc<Mutex<Vec<String>>>) {
    both_lanes_with(|_| {}).await
}

async fn both_lanes_with(
    change: impl FnOnce(&mut engine::Options),
) -> (Gateway, Arc<Mutex<Vec<String>>>) {
    let (plain, secure) =
        (Origin::plain().await, Origin::secure(|_| Act::ok("by the other lane")).await);
    let (r, t) = (
        service("r").url(&plain.url("")).build(),
        service("t").url(&format!("https://{}", secure.addr)).build(),
    );
    let routes = [route("r").to(&r).path("/r").build(), route("t").to(&t).path("/t").build()];
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = lines.clone();
    let gateway = Gateway::with(config([r, t], routes), 1, |options| {
        options.listen[0].http2 = true;
        options.access_log = Some(LogSink::new(move |line| log.lock().unwrap().push(line)));
        change(options);
    })
    .await;
    (gateway, lines)
}

async fn hear(client: &mut Client, expected: &str) {
    let response = client.response().await;
    assert_eq!((response.status, response.text()), (200, expected));
}

#[tokio::test]
async fn a_connection_goes_along_with_a_request_for_another_lane() {
    let (gateway, lines) = both_lanes().await;
    let mut client = gateway.connect().await;
    let mut ids = Vec::new();
    for request in [EXPRESS, EXPRESS, OTHER, EXPRESS, CHUNKED, OTHER, EXPRESS] {
        let response = client.ask(request).await;
        assert_eq!(response.status, 200);
        ids.push(response.id().to_owned());
    }
    assert_eq!(gateway.handle.stats().requests(), 7, "each is counted once");
    within(async {
        while lines.lock().unwrap().len() < 7 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(lines.lock().unwrap().len(), 7, "each is logged once");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7);
    assert_eq!((gateway.handle.stats().open(), gateway.handle.stats().accepted()), (1, 1));
    drop(client);
    within(async {
        while gateway.handle.stats().open() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_is_lost_of_what_was_sent_at_once() {
    let (gateway, _lines) = both_lanes().await;
    for round in 0..50 {
        let mut client = gateway.connect().await;
        // While the first is answered a read is under way already: it is called off for the second.
        client.send([EXPRESS, OTHER, EXPRESS, CHUNKED, EXPRESS].concat()).await;
        hear(&mut client, "hello").await;
        hear(&mut client, "by the other lane").await;
        let late = [OTHER, EXPRESS].concat();
        let (now, then) = late.split_at(round);
        client.send(now).await;
        for _ in 0..3 {
            hear(&mut client, "hello").await;
        }
        client.send(then).await;
        hear(&mut client, "by the other lane").await;
        hear(&mut client, "hello").await;
    }
}

/// A read is under way when the second request is found, and may yet have read what comes just then.
#[tokio::test]
async fn nothing_is_lost_of_what_arrives_on_the_way() {
    let (gateway, _lines) = both_lanes().await;
    for round in 0..200 {
        let mut client = gateway.connect().await;
        client.send([EXPRESS, OTHER].concat()).await;
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        client.send([CHUNKED, OTHER, EXPRESS].concat()).await;
        for text in ["hello", "by the other lane", "hello", "by the other lane", "hello"] {
            hear(&mut client, text).await;
        }
    }
}

#[tokio::test]
async fn the_end_of_a_connection_goes_along() {
    let (gateway, _lines) = both_lanes_with(|options| options.door.requests = 3).await;
    let mut client = gateway.connect().await;
    for (request, connection) in [(EXPRESS, "keep-alive"), (OTHER, "keep-alive"), (OTHER, "close")]
    {
        assert_eq!(client.ask(request).await.one("Connection"), Some(connection));
    }
    assert!(client.is_closed().await);
    let mut client = gateway.connect().await;
    client.send(OTHER.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
    hear(&mut client, "by the other lane").await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_first_request_may_be_the_other_lanes() {
    let (gateway, _lines) = both_lanes().await;
    for request in [OTHER, CHUNKED] {
        let mut client = gateway.connect().await;
        assert_eq!(client.ask(request).await.status, 200);
        assert_eq!(client.ask(EXPRESS).await.text(), "hello");
    }
}

#[tokio::test]
async fn who_waits_to_be_told_is_told_by_the_other_lane() {
    let (gateway, _lines) = both_lanes().await;
    let mut client = gateway.connect().await;
    client
        .send(
            "PUT /r HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 200000\r\n\r\n",
        )
        .await;
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(within(client.0.take(interim.len())).await.unwrap(), interim.as_bytes());
    client.send("b".repeat(200_000)).await;
    hear(&mut client, "hello").await;
}

#[tokio::test]
async fn http2_begun_unasked_is_spoken() {
    let (gateway, _lines) = both_lanes().await;
    let mut client = gateway.connect().await;
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let mut frame = [0; 9];
    within(client.0.stream.read_exact(&mut frame)).await.unwrap();
    assert_eq!(frame[3], 4, "settings: {frame:?}");
}

#[tokio::test]
async fn it_is_said_what_carries_requests() {
    let (gateway, _lines) = both_lanes().await;
    let io = gateway.handle.stats().io;
    assert!(io.name.starts_with("io_uring") || io.why.is_some(), "{io:?}");
    assert_eq!(gateway.connect().await.ask(EXPRESS).await.text(), "hello");
}
