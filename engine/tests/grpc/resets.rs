//! Calls that are taken back in masses, on the connection that others share.

use super::client::{Client, method};
use super::origin::{Call, Origin, echo};
use super::support::within;
use super::{gateway, grpc};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Calls of `Hang` at the origin.
#[derive(Default)]
struct Hanging {
    came: AtomicUsize,
    gone: AtomicUsize,
}

impl Hanging {
    fn are_gone(&self) -> bool {
        self.came.load(SeqCst) == self.gone.load(SeqCst)
    }
}

/// Echoes, and never answers what is called `Hang`.
async fn patient() -> (Origin, Arc<Hanging>) {
    let hanging = Arc::new(Hanging::default());
    let counted = hanging.clone();
    let origin = Origin::start(move |mut call: Call| {
        let hanging = counted.clone();
        async move {
            if !call.head.uri.path().ends_with("/Hang") {
                return echo(call).await;
            }
            hanging.came.fetch_add(1, SeqCst);
            // Until it is taken back.
            let _reset = std::future::poll_fn(|cx| call.respond.poll_reset(cx)).await;
            hanging.gone.fetch_add(1, SeqCst);
        }
    })
    .await;
    (origin, hanging)
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::support::PATIENCE, waiting).await.expect(what);
}

/// Begins calls and takes each back when the origin has it. Says how many it may.
async fn take_back(client: &Client, most: usize, hanging: &Hanging) -> usize {
    for number in 0..most {
        let before = hanging.came.load(SeqCst);
        let Ok(mut call) = client.try_begin(method("/p.S/Hang")).await else { return number };
        if call.body.send_data(Bytes::from_static(b"hi"), false).is_err() {
            return number;
        }
        let has_it = async {
            while hanging.came.load(SeqCst) == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = has_it => {}
            ended = call.response => return if ended.is_err() { number } else { most },
        }
    }
    most
}

#[tokio::test]
async fn calls_taken_back_free_their_place_on_the_shared_connection() {
    let (origin, hanging) = patient().await;
    let gateway = gateway(grpc(origin.addr)).await;
    let bystander = Client::in_clear(&gateway).await;
    let mut long = bystander.begin(method("/p.S/Long")).await;
    long.say(b"begun", false);
    // Six times as many as there may be on a connection at a time, and for none of these clients
    // enough to be sent away.
    for _ in 0..8 {
        let client = Client::in_clear(&gateway).await;
        assert_eq!(take_back(&client, 96, &hanging).await, 96);
        assert_eq!(bystander.call(method("/p.S/M"), b"hi").await.code(), Some("0"));
    }
    until("all places are free", || hanging.are_gone()).await;
    long.say(b", ended", true);
    let answer = long.answer().await;
    assert_eq!((answer.code(), &*answer.body), (Some("0"), &b"begun, ended"[..]));
    // A second is opened where calls come before the place of the last is free.
    let connections: BTreeSet<_> = origin.seen().iter().map(|(_, number)| *number).collect();
    assert!(connections.len() <= 2, "{connections:?}");
}

#[tokio::test]
async fn who_takes_back_all_its_calls_is_sent_away_and_nobody_else() {
    let (origin, hanging) = patient().await;
    let gateway = gateway(grpc(origin.addr)).await;
    let bystander = Client::in_clear(&gateway).await;
    assert_eq!(bystander.call(method("/p.S/M"), b"hi").await.code(), Some("0"));
    let client = Client::in_clear(&gateway).await;
    let begun = take_back(&client, 1000, &hanging).await;
    assert!((100..120).contains(&begun), "{begun}");
    assert_eq!(gateway.handle.stats().sent_away(), 1);
    assert_eq!(bystander.call(method("/p.S/M"), b"hi").await.code(), Some("0"));
    until("nothing is left at the origin", || hanging.are_gone()).await;
    assert!(origin.seen().iter().all(|(_, connection)| *connection == 0));
}

/// What a client takes back before its service has looked at it must not look to the service like
/// an attack of ours: it would end the connection that others share.
#[tokio::test]
async fn calls_taken_back_at_once_by_many_cost_nobody_else_a_call() {
    let (origin, _) = patient().await;
    let gateway = gateway(grpc(origin.addr)).await;
    let bystander = Client::in_clear(&gateway).await;
    let mut long = bystander.begin(method("/p.S/Long")).await;
    long.say(b"begun", false);
    for _ in 0..20 {
        let client = Client::in_clear(&gateway).await;
        for _ in 0..90 {
            // Who is faster than the gateway looks is sent away.
            let Ok(call) = client.try_begin(method("/p.S/Hang")).await else { break };
            drop(call);
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
        }
        let answer = within(bystander.call(method("/p.S/M"), b"hi")).await;
        assert_eq!(answer.code(), Some("0"), "{answer:?}");
    }
    long.say(b", ended", true);
    let answer = long.answer().await;
    assert_eq!((answer.code(), &*answer.body), (Some("0"), &b"begun, ended"[..]));
}
