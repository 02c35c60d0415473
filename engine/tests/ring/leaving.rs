//! Stopping loses nobody, and keeps nobody for ever.

use super::GET;
use super::support::{Client, Gateway, Origin, one, within};
use std::time::Duration;

/// Together with the gateway's ends and the origin's, below the usual limit of 20,000.
const CROWD: usize = 2000;

#[tokio::test]
async fn who_has_connected_before_a_stop_is_answered() {
    let origin = Origin::plain().await;
    let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 2, |_| {}).await;
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..CROWD {
        let mut client = gateway.connect().await;
        // Some are on a ring and idle, some are on the way there, some wait to be accepted.
        if number % 3 == 0 {
            assert_eq!(client.ask(GET).await.text(), "hello");
        }
        clients.push(client);
    }
    let leaving = tokio::spawn(gateway.handle.shutdown(Duration::from_secs(60)));
    tokio::task::yield_now().await;
    for client in &mut clients {
        let response = client.ask(GET).await;
        assert_eq!(response.text(), "hello");
    }
    for client in &mut clients {
        // Of two that raced with the order to leave, the next response is the last.
        assert!(client.is_closed().await);
    }
    within(leaving).await.unwrap();
}

#[tokio::test]
async fn whoever_is_left_at_the_end_is_cut_off() {
    let origin = Origin::start(|_| super::support::Act::Hang).await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let (mut idle, mut asking) = (gateway.connect().await, gateway.connect().await);
    asking.send(GET).await;
    while origin.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    within(gateway.handle.shutdown(Duration::from_millis(50))).await;
    assert!(idle.is_closed().await);
    assert!(asking.is_closed().await);
}

#[tokio::test]
async fn a_handle_that_is_dropped_takes_everything_along() {
    let origin = Origin::plain().await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(GET).await.text(), "hello");
    drop(gateway);
    assert!(client.is_closed().await);
}
