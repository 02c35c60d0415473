//! Clients that take their time over what they are sent.

use crate::support::*;
use engine::door::{self, BoundedStream, Ending, Options};
use engine::proxy::hygiene::Refusal;
use pingora::protocols::SocketDigest;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

/// Lets whatever can happen without time passing happen.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_need_not_wait_for_a_slow_client_where_responses_are_held() {
    for (target, before) in [("held", "let go"), ("unheld", "")] {
        let mut client = Client::connect_over(1000, Options::default());
        client.send(&format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        settle().await;
        assert_eq!(client.carrier.notes(), before, "{target}");
        let heard = client.hear().await;
        assert_eq!((heard.len(), client.carrier.notes().as_str()), (60_000, "let go"));
        // The connection goes on as ever.
        client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.hear().await, "/next");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_may_take_its_time_as_long_as_it_takes_something() {
    let mut client = Client::connect_over(1000, Options::default());
    client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut left = 60_000;
    // Ten minutes for the whole, which is more than it may be silent.
    while left > 2_000 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let mut some = [0; 1000];
        left -= client.pipe.read(&mut some).await.expect("more");
    }
    // Then it stops reading.
    let stopped = Instant::now();
    assert!(matches!(client.door.await, Ok(Ending::Closed)));
    assert_eq!(stopped.elapsed(), Options::default().send_timeout);
}

#[tokio::test(start_paused = true)]
async fn who_is_turned_away_or_seen_off_is_waited_for_as_long_as_is_set() {
    let patience = Duration::from_secs(7);
    let digest = || Arc::new(SocketDigest::from_raw_fd(-1));

    let (_client, io) = pipe(10);
    let begun = Instant::now();
    let refusal = Refusal::PlainOnTls;
    door::turn_away(io, digest(), refusal, patience, &Carrier::default()).await;
    assert_eq!(begun.elapsed(), patience);

    let (_client, io) = pipe(10);
    let mut stream = BoundedStream::http2(io, digest());
    stream.write_all(b"more than it takes").await.unwrap();
    let homecoming = stream.homecoming();
    drop(stream);
    let begun = Instant::now();
    door::see_off(homecoming, patience).await;
    assert_eq!(begun.elapsed(), patience);
}
