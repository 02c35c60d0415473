//! Many calls on one connection, none at the cost of another.

use super::client::{Client, method};
use super::origin::{Call, Origin};
use super::support::within;
use super::{gateway, grpc, grpc_with};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test]
async fn calls_share_a_connection() {
    let origin = Origin::echo().await;
    let gateway = gateway(grpc(origin.addr)).await;
    let client = Client::in_clear(&gateway).await;
    client.call(method("/p.S/M"), b"first").await;
    let mut calls = JoinSet::new();
    for number in 0..100 {
        let client = client.clone();
        calls.spawn(async move {
            let message = format!("message {number}");
            let answer = client.call(method("/p.S/M"), message.as_bytes()).await;
            assert_eq!((answer.code(), &*answer.body), (Some("0"), message.as_bytes()));
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert!(origin.seen().iter().all(|(_, connection)| *connection == 0));
}

/// So much of it is ever on its way through the gateway: its own windows, those of either side's
/// connection in this test, and what sockets hold.
const UNDER_WAY: usize = 3 * 1024 * 1024;
const WHOLE: usize = 20 * 1024 * 1024;
const PIECE: usize = 64 * 1024;

/// Answers with 20 MB, counting what could be sent.
async fn flood(sent: Arc<AtomicUsize>) -> Origin {
    Origin::start(move |mut call: Call| {
        let sent = sent.clone();
        async move {
            if call.head.uri.path().ends_with("/Small") {
                call.respond.send_response(call.head(), true).unwrap();
                return;
            }
            let mut body = call.respond.send_response(call.head(), false).unwrap();
            while sent.load(SeqCst) < WHOLE {
                body.reserve_capacity(PIECE);
                let Some(Ok(room)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await else {
                    return;
                };
                let room = room.min(PIECE);
                sent.fetch_add(room, SeqCst);
                body.send_data(Bytes::from(vec![b'x'; room]), false).unwrap();
            }
            body.send_trailers(super::origin::fields(&[("grpc-status", "0")])).unwrap();
        }
    })
    .await
}

/// Waits until a number stops growing.
async fn settled(number: &AtomicUsize) -> usize {
    within(async {
        loop {
            let before = number.load(SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
            if before > 0 && number.load(SeqCst) == before {
                return before;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_client_that_reads_slowly_holds_up_its_own_call_only() {
    let sent = Arc::new(AtomicUsize::new(0));
    let origin = flood(sent.clone()).await;
    let gateway = gateway(grpc(origin.addr)).await;
    let slow = Client::in_clear(&gateway).await;
    let mut call = slow.begin(method("/p.S/Large")).await;
    call.say(b"hi", true);
    let answer = within(call.response).await.unwrap();
    let under_way = settled(&sent).await;
    assert!(under_way < UNDER_WAY, "{under_way}");

    let other = Client::in_clear(&gateway).await;
    let quick = other.call(method("/p.S/Small"), b"hi").await;
    assert_eq!(quick.head.status, 200);
    assert!(origin.seen().iter().all(|(_, connection)| *connection == 0));

    let answer = super::client::read(answer).await;
    assert_eq!((answer.code(), answer.body.len()), (Some("0"), WHOLE));
}

#[tokio::test]
async fn a_service_that_reads_slowly_holds_up_its_client() {
    let go = Arc::new(tokio::sync::Notify::new());
    let wait = go.clone();
    let origin = Origin::start(move |mut call: Call| {
        let go = wait.clone();
        async move {
            go.notified().await;
            let mut length = 0;
            while let Some(data) = call.next().await {
                length += data.len();
            }
            let mut head = call.head();
            head.headers_mut().insert("x-length", length.into());
            call.respond.send_response(head, true).unwrap();
        }
    })
    .await;
    let gateway = gateway(grpc(origin.addr)).await;
    let call = Client::in_clear(&gateway).await.begin(method("/p.S/Upload")).await;
    let (response, mut body) = (call.response, call.body);
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let sending = tokio::spawn(async move {
        while counted.load(SeqCst) < WHOLE {
            body.reserve_capacity(PIECE);
            let room = std::future::poll_fn(|cx| body.poll_capacity(cx)).await.unwrap().unwrap();
            let room = room.min(WHOLE - counted.load(SeqCst)).min(PIECE);
            counted.fetch_add(room, SeqCst);
            body.send_data(Bytes::from(vec![b'x'; room]), false).unwrap();
        }
        body.send_data(Bytes::new(), true).unwrap();
    });
    let under_way = settled(&sent).await;
    assert!(under_way < UNDER_WAY, "{under_way}");
    go.notify_one();
    let answer = within(response).await.unwrap();
    assert_eq!(answer.headers()["x-length"], WHOLE.to_string());
    sending.await.unwrap();
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_left() {
    let origin = Origin::start(async |mut call: Call| {
        if call.connection == 0 {
            return std::future::pending().await;
        }
        call.respond.send_response(call.head(), true).unwrap();
    })
    .await;
    let config = grpc_with(origin.addr, |s| s.with("read_timeout", 200).with("retries", 0), |r| r);
    let gateway = gateway(config).await;
    let client = Client::in_clear(&gateway).await;
    assert_eq!(client.call(method("/p.S/M"), b"hi").await.code(), Some("4"));
    assert_eq!(client.call(method("/p.S/M"), b"hi").await.head.status, 200);
}
