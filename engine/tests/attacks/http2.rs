//! Connections that cost more than they ask for.

use super::frames::*;
use super::support::{Act, Gateway, Origin, one, within};
use model::Config;
use std::time::Duration;

pub(crate) async fn gateway(config: Config) -> Gateway {
    Gateway::with(config, 1, |options| options.listen[0].http2 = true).await
}

/// An origin that never answers, and a gateway before it.
async fn hanging() -> (Origin, Gateway) {
    let origin = Origin::start(|_| Act::Hang).await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/"))).await;
    (origin, gateway)
}

/// What these frames come to, `times` over.
async fn flood(gateway: &Gateway, times: usize, frames: impl Fn(u32) -> Vec<u8>) -> Ending {
    let client = Frames::begin(gateway, &[]).await;
    let poured = (0..times).flat_map(|n| frames(1 + 2 * n as u32)).collect();
    client.pour(poured).await
}

async fn sent_away(gateway: &Gateway, count: u64) {
    within(async {
        while gateway.handle.stats().sent_away() < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn frames_that_carry_nothing_are_an_attack_in_masses() {
    let gateway = gateway(Config::default()).await;
    let floods: [(&str, usize, Vec<u8>); 6] = [
        ("PING", 1500, frame(PING, 0, 0, &[7; 8])),
        ("SETTINGS", 150, frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", 1500, frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9])),
        ("WINDOW_UPDATE", 1500, frame(WINDOW, 0, 0, &[0, 0, 0, 1])),
        ("unknown", 1500, frame(0xee, 0, 0, &[1; 20])),
        ("SETTINGS that say something", 150, frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
    ];
    for (number, (name, times, frame)) in floods.into_iter().enumerate() {
        let ending = flood(&gateway, times, |_| frame.clone()).await;
        assert_eq!(ending.reason, Some(ENHANCE_YOUR_CALM), "{name}");
        sent_away(&gateway, number as u64 + 1).await;
    }
    // As many as a busy client sends do no harm.
    let mut client = Frames::begin(&gateway, &[]).await;
    client.write(&frame(PING, 0, 0, &[7; 8]).repeat(500)).await;
    client.send(HEADERS, WHOLE, 1, &get("/")).await;
    assert_eq!(client.of(1).await.unwrap().status(), Some(404));
}

#[tokio::test]
async fn empty_frames_of_a_body_are_an_attack_in_masses() {
    let (origin, gateway) = hanging().await;
    let mut client = Frames::begin(&gateway, &[]).await;
    client.send(HEADERS, END_HEADERS, 1, &request(b"POST", b"/", b"a.test", &[])).await;
    let ending = client.pour(frame(DATA, 0, 1, b"").repeat(2000)).await;
    assert_eq!(ending.reason, Some(ENHANCE_YOUR_CALM));
    assert!(origin.seen().is_empty(), "its body has not ended");
}

/// A window full of messages of a few bytes is what streaming calls send.
#[tokio::test]
async fn short_messages_are_no_attack() {
    let origin = Origin::plain().await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/"))).await;
    let mut client = Frames::begin(&gateway, &[]).await;
    client.send(HEADERS, END_HEADERS, 1, &request(b"POST", b"/", b"a.test", &[])).await;
    let mut messages = frame(DATA, 0, 1, &[b'x'; 20]).repeat(3000);
    messages.extend(frame(DATA, END_STREAM, 1, b""));
    client.write(&messages).await;
    assert_eq!(client.of(1).await.unwrap().status(), Some(200));
    assert_eq!(origin.last().body.len(), 60_000);
}

#[tokio::test]
async fn requests_taken_back_at_once_reach_no_origin() {
    let (origin, gateway) = hanging().await;
    let reset = |stream| {
        [frame(HEADERS, WHOLE, stream, &get("/")), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat()
    };
    let ending = flood(&gateway, 5000, reset).await;
    assert_eq!(ending.reason, Some(ENHANCE_YOUR_CALM));
    assert!(origin.seen().len() < 300, "{}", origin.seen().len());
    assert!(gateway.handle.stats().requests() < 300);
}

/// A client that makes us take its requests back (CVE-2025-8671): each stream is broken by a
/// window that cannot grow by nothing, so that its request is over for the protocol, and not for
/// the origin.
#[tokio::test]
async fn requests_made_to_fail_count_as_taken_back() {
    let (origin, gateway) = hanging().await;
    let broken = |stream| {
        [frame(HEADERS, WHOLE, stream, &get("/")), frame(WINDOW, 0, stream, &[0; 4])].concat()
    };
    let ending = flood(&gateway, 5000, broken).await;
    assert!(ending.reason.is_some_and(|reason| reason != 0), "{ending:?}");
    assert!(origin.seen().len() < 300, "{}", origin.seen().len());
}

#[tokio::test]
async fn no_more_requests_at_a_time_than_are_allowed() {
    let origin = Origin::start(|_| Act::Hang).await;
    let gateway = Gateway::with(one(&origin.url("/"), |r| r.path("/")), 1, |options| {
        options.listen[0].http2 = true;
        options.http2.streams = 10;
    })
    .await;
    let mut client = Frames::begin(&gateway, &[]).await;
    for stream in 0..15 {
        client.send(HEADERS, WHOLE, 1 + 2 * stream, &get("/")).await;
    }
    const REFUSED: u32 = 7;
    for stream in 10..15 {
        let refused = client.of(1 + 2 * stream).await.unwrap();
        assert_eq!((refused.kind, refused.reason()), (RESET, REFUSED));
    }
    within(async {
        while origin.seen().len() < 10 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(gateway.handle.stats().requests(), 10);
}

#[tokio::test]
async fn a_head_of_endless_continuations_is_given_up() {
    let gateway = gateway(Config::default()).await;
    for piece in [&b""[..], &field(b"a", b"b"), &field(b"a", &[b'b'; 8000])] {
        let mut client = Frames::begin(&gateway, &[]).await;
        client.send(HEADERS, 0, 1, &get("/")).await;
        let ending = client.pour(frame(CONTINUATION, 0, 1, piece).repeat(2000)).await;
        assert_eq!(ending.reason, Some(ENHANCE_YOUR_CALM), "{} bytes", piece.len());
    }
    assert_eq!(gateway.handle.stats().requests(), 0);
}

/// One byte stands for a field that was sent once: 16 KiB of them for megabytes (CVE-2026-105297).
#[tokio::test]
async fn a_head_that_grows_when_it_is_unpacked_is_given_up() {
    let (origin, gateway) = hanging().await;
    // A field that is remembered, as the first in the table, and its number over and over.
    let remembered = [&[0x40][..], &text(b"x"), &text(&[b'y'; 3900])].concat();
    for (bytes, copies) in
        [(remembered, 16_000), ([&[0x40][..], &text(b"x"), &text(b"")].concat(), 16_000)]
    {
        let mut client = Frames::begin(&gateway, &[]).await;
        let mut block = get("/");
        block.extend(bytes);
        client.send(HEADERS, WHOLE, 1, &block).await;
        let bomb = [get("/"), vec![0xbe; copies]].concat();
        let ending = client.pour(frame(HEADERS, WHOLE, 3, &bomb)).await;
        assert_eq!(ending.reason, Some(ENHANCE_YOUR_CALM), "{ending:?}");
        assert_eq!(ending.answered, [], "{ending:?}");
    }
    assert!(origin.seen().len() <= 2);
}

/// A client that has not agreed to our settings is bound by them all the same.
#[tokio::test]
async fn settings_hold_before_they_are_acknowledged() {
    let gateway = gateway(Config::default()).await;
    let mut client = Frames::begin(&gateway, &[]).await;
    let large = field(b"x", &[b'y'; 8000]).repeat(60);
    let mut block = get("/");
    block.extend(large);
    let mut pieces = block.chunks(16_000);
    let mut poured = frame(HEADERS, END_STREAM, 1, pieces.next().unwrap());
    pieces.for_each(|piece| poured.extend(frame(CONTINUATION, 0, 1, piece)));
    client.send(PING, 0, 0, &[1; 8]).await;
    assert_eq!(client.pour(poured).await.reason, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn frames_that_make_no_sense_end_the_connection() {
    let gateway = gateway(Config::default()).await;
    const FLOW_CONTROL: u32 = 3;
    const FRAME_SIZE: u32 = 6;
    const COMPRESSION: u32 = 9;
    let most = (i32::MAX as u32).to_be_bytes();
    for (name, frames, reasons) in [
        ("a body of no request", frame(DATA, 0, 1, b"x"), &[PROTOCOL_ERROR][..]),
        ("an even stream", frame(HEADERS, WHOLE, 2, &get("/")), &[PROTOCOL_ERROR]),
        ("a continuation of nothing", frame(CONTINUATION, 4, 1, b""), &[PROTOCOL_ERROR]),
        ("a promise", frame(5, 4, 1, &[0, 0, 0, 2]), &[PROTOCOL_ERROR]),
        ("settings of a stream", frame(SETTINGS, 0, 1, b""), &[PROTOCOL_ERROR]),
        ("a ping of a stream", frame(PING, 0, 1, &[0; 8]), &[PROTOCOL_ERROR]),
        ("a window too large", frame(WINDOW, 0, 0, &most), &[FLOW_CONTROL]),
        ("half a setting", frame(SETTINGS, 0, 0, &[0; 5]), &[PROTOCOL_ERROR, FRAME_SIZE]),
        (
            "an unknown field",
            frame(HEADERS, WHOLE, 1, &[0xff, 0x7f]),
            &[PROTOCOL_ERROR, COMPRESSION],
        ),
        (
            "more than a frame",
            [&[0x00, 0x80, 0x00, 0, 0][..], &[0; 4]].concat(),
            &[PROTOCOL_ERROR, FRAME_SIZE],
        ),
        ("padding beyond its frame", frame(DATA, 8, 1, &[200, 1]), &[PROTOCOL_ERROR]),
    ] {
        let ending = Frames::begin(&gateway, &[]).await.pour(frames).await;
        let told = ending.reason.is_some_and(|reason| reasons.contains(&reason));
        assert!(told, "{name}: {ending:?}");
    }
}

/// The connection's windows come back as bodies are read or thrown away: none is lost to requests
/// that end early, which would starve those behind them.
#[tokio::test]
async fn abandoned_bodies_starve_nobody() {
    let origin = Origin::plain().await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/r"))).await;
    let mut client = Frames::begin(&gateway, &[]).await;
    // Three times the connection's window in bodies that nobody reads: their route does not exist.
    for number in 0..48 {
        let stream = 1 + 2 * number;
        let post = request(b"POST", b"/nowhere", b"a.test", &[]);
        client.send(HEADERS, END_HEADERS, stream, &post).await;
        for _ in 0..4 {
            client.send(DATA, 0, stream, &[b'x'; 16_000]).await;
        }
        assert_eq!(client.of(stream).await.unwrap().status(), Some(404), "{number}");
    }
    client.send(HEADERS, END_HEADERS, 301, &request(b"POST", b"/r", b"a.test", &[])).await;
    client.send(DATA, END_STREAM, 301, &[b'x'; 16_000]).await;
    assert_eq!(client.of(301).await.unwrap().status(), Some(200));
    assert_eq!(origin.last().body.len(), 16_000);
}

/// A client that is still sending has time to read why it need not.
#[tokio::test]
async fn an_early_answer_is_not_cut_off_with_the_body() {
    let gateway = gateway(Config::default()).await;
    let mut client = Frames::begin(&gateway, &[]).await;
    let post = request(b"POST", b"/nowhere", b"a.test", &[]);
    client.send(HEADERS, END_HEADERS, 1, &post).await;
    client.send(DATA, 0, 1, &[b'x'; 16_000]).await;
    assert_eq!(client.of(1).await.unwrap().status(), Some(404));
    let answer = client.of(1).await.unwrap();
    assert_eq!((answer.kind, answer.flags), (DATA, END_STREAM));
    // A body that ends now is not reset at all; one that never does is, and other requests go on.
    client.send(DATA, END_STREAM, 1, b"x").await;
    client.send(HEADERS, END_HEADERS, 3, &post).await;
    let reset = loop {
        let frame = client.next().await.unwrap();
        if frame.kind == RESET {
            break frame;
        }
    };
    assert_eq!((reset.stream, reset.reason()), (3, 0));
    client.send(HEADERS, WHOLE, 5, &get("/")).await;
    assert_eq!(client.of(5).await.unwrap().status(), Some(404));
}

#[tokio::test]
async fn a_connection_ends_after_its_last_request_and_says_so() {
    let gateway = Gateway::with(Config::default(), 1, |options| {
        options.listen[0].http2 = true;
        options.door.requests = 3;
        options.door.idle_timeout = Duration::from_secs(5);
    })
    .await;
    let mut client = Frames::begin(&gateway, &[]).await;
    let mut poured = Vec::new();
    for stream in [1, 3, 5] {
        poured.extend(frame(HEADERS, WHOLE, stream, &get("/")));
    }
    client.write(&poured).await;
    let (mut answered, mut reasons) = (0, Vec::new());
    while let Some(frame) = client.next().await {
        match frame.kind {
            HEADERS => answered += 1,
            GOAWAY => reasons.push(frame.reason()),
            PING => client.send(PING, 1, 0, &frame.payload).await,
            _ => {}
        }
    }
    assert_eq!((answered, reasons.first()), (3, Some(&0)));
}
