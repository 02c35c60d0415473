//! Clients that take their time, so that others have none.

use super::frames::*;
use super::support::{Act, Client, Gateway, Origin, one, within};
use engine::Options;
use model::Config;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const SHORT: Duration = Duration::from_millis(300);

fn impatient(options: &mut Options) {
    options.listen[0].http2 = true;
    options.door.head_timeout = SHORT;
    options.door.send_timeout = SHORT;
}

async fn gateway(config: Config) -> Gateway {
    Gateway::with(config, 1, impatient).await
}

/// Sends a byte now and then, in time for any timeout between two of them.
async fn drip(client: &mut Client, bytes: &[u8]) {
    let mut every = tokio::time::interval(SHORT / 10);
    for byte in bytes {
        every.tick().await;
        if client.0.stream.write_all(&[*byte]).await.is_err() {
            return;
        }
    }
}

/// Waits until so many have come, and none of them is left.
async fn all_gone(gateway: &Gateway, came: u64) {
    let left = || {
        let stats = gateway.handle.stats();
        stats.accepted() < came || stats.open() > 0
    };
    within(async {
        while left() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Slowloris: what counts is when a head began, not when its last byte came.
#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let gateway = gateway(Config::default()).await;
    let mut client = gateway.connect().await;
    drip(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n".repeat(3).as_bytes()).await;
    assert_eq!(client.response().await.status, 408);
    drop(client);
    // One that says nothing at all is not even answered.
    let mut silent = gateway.connect().await;
    assert!(silent.is_closed().await);
    all_gone(&gateway, 2).await;
}

/// The same over HTTP/2, where other requests of the connection would keep it.
#[tokio::test]
async fn a_head_of_http2_that_does_not_end_is_cut_off() {
    let origin = Origin::start(|_| Act::Hang).await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/"))).await;
    let begun = frame(HEADERS, END_STREAM, 3, &get("/"));
    let half = &frame(HEADERS, WHOLE, 3, &get("/"))[..30];
    let more = [begun.clone(), frame(CONTINUATION, 0, 3, b"")].concat();
    for said in [begun.as_slice(), half, more.as_slice()] {
        let mut client = Frames::begin(&gateway, &[]).await;
        client.send(HEADERS, WHOLE, 1, &get("/")).await;
        let ending = client.pour(said.to_vec()).await;
        assert_eq!(ending.reason, Some(PROTOCOL_ERROR), "{ending:?}");
    }
    all_gone(&gateway, 3).await;
    assert_eq!(gateway.handle.stats().sent_away(), 3);
}

/// A client that opens no window waits with its answers in our memory: requests of its are cut
/// off, those we answer ourselves as well.
#[tokio::test]
async fn a_window_that_stays_closed_is_not_waited_for() {
    const INITIAL_WINDOW: u16 = 4;
    let origin = Origin::plain().await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/r"))).await;
    let mut client = Frames::begin(&gateway, &[(INITIAL_WINDOW, 0)]).await;
    for (stream, path) in [(1, "/nowhere"), (3, "/r")] {
        client.send(HEADERS, WHOLE, stream, &get(path)).await;
        assert_eq!(client.of(stream).await.unwrap().kind, HEADERS, "{path}");
        assert_eq!(client.of(stream).await.unwrap().kind, RESET, "{path}");
    }
    // Nothing of it is left, and the connection goes on.
    client.send(PING, 0, 0, &[9; 8]).await;
    loop {
        let frame = client.next().await.unwrap();
        if frame.kind == PING && frame.payload == [9; 8] {
            break;
        }
    }
}

/// A window that opens by a byte at a time is not waited for either.
#[tokio::test]
async fn a_window_that_opens_by_bytes_is_not_waited_for() {
    const INITIAL_WINDOW: u16 = 4;
    let origin = Origin::start(|_| Act::ok(&"x".repeat(10_000))).await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/r"))).await;
    let mut client = Frames::begin(&gateway, &[(INITIAL_WINDOW, 0)]).await;
    client.send(HEADERS, WHOLE, 1, &get("/r")).await;
    assert_eq!(client.of(1).await.unwrap().kind, HEADERS);
    let mut got = 0;
    loop {
        client.send(WINDOW, 0, 1, &[0, 0, 0, 1]).await;
        match client.of(1).await.unwrap() {
            frame if frame.kind == DATA => got += frame.payload.len(),
            frame => break assert_eq!(frame.kind, RESET),
        }
        tokio::time::sleep(SHORT / 20).await;
    }
    assert!(got < 1000, "{got}");
}

/// A client that opens its windows and then reads nothing of its socket is cut off, whatever it
/// goes on asking.
#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    const INITIAL_WINDOW: u16 = 4;
    let origin = Origin::start(|_| Act::ok(&"x".repeat(1 << 20))).await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/r"))).await;
    let mut client = Frames::begin(&gateway, &[(INITIAL_WINDOW, i32::MAX as u32)]).await;
    client.send(WINDOW, 0, 0, &0x7fff_0000_u32.to_be_bytes()).await;
    for stream in 0..16 {
        client.send(HEADERS, WHOLE, 1 + 2 * stream, &get("/r")).await;
    }
    all_gone(&gateway, 1).await;
    assert_eq!(gateway.handle.stats().sent_away(), 1);
}

/// An idle connection does not live on by asking whether we do.
#[tokio::test]
async fn pings_keep_no_idle_connection() {
    let gateway = Gateway::with(Config::default(), 1, |options| {
        impatient(options);
        options.door.idle_timeout = SHORT;
    })
    .await;
    let mut client = Frames::begin(&gateway, &[]).await;
    let told = async {
        loop {
            client.send(PING, 0, 0, &[1; 8]).await;
            match client.next().await {
                Some(frame) if frame.kind == GOAWAY => break frame.reason(),
                Some(_) => tokio::time::sleep(SHORT / 20).await,
                None => panic!("not told"),
            }
        }
    };
    assert_eq!(within(told).await, 0);
}

/// What follows HTTP/2's preface must be there in time, too.
#[tokio::test]
async fn half_a_preface_is_cut_off() {
    let gateway = gateway(Config::default()).await;
    for said in [&PREFACE[..10], &PREFACE[..23]] {
        let mut client = gateway.connect().await;
        client.send(said).await;
        let mut rest = Vec::new();
        let _reset_or_end = within(client.0.stream.read_to_end(&mut rest)).await;
    }
    all_gone(&gateway, 2).await;
}
