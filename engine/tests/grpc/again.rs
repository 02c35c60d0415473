//! What is tried again when an upstream breaks off, and what is not.

use super::client::{Client, method};
use super::frames::{self, Do};
use super::{gateway, grpc_with};
use http::Method;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED: u32 = 7;
const CANCEL: u32 = 8;
const CALM: u32 = 11;

/// Whether a request is answered in the end, and how often it is asked.
async fn check(script: &[Do], method_: Method, answered: bool, asked: usize) {
    let (addr, seen) = frames::start(script).await;
    let gateway = gateway(grpc_with(addr, |s| s.with("retries", 2), |r| r)).await;
    let request = method("/p.S/M").method(&method_);
    let answer = Client::in_clear(&gateway).await.call(request, b"hi").await;
    let expected = if answered { (204, None) } else { (502, Some("14")) };
    let what = format!("{method_} {script:?}: {:?}", seen.lock().unwrap());
    assert_eq!((answer.head.status.as_u16(), answer.code()), expected, "{what}");
    assert_eq!(seen.lock().unwrap().len(), asked, "{what}");
}

#[tokio::test]
async fn what_the_upstream_has_not_begun_with_is_tried_again() {
    for begun in [Do::Reset(REFUSED), Do::GoAway(0, NO_ERROR), Do::GoAway(0, CALM)] {
        check(&[begun, Do::Answer], Method::POST, true, 2).await;
    }
    // As often as any other try.
    check(&[Do::Reset(REFUSED)], Method::POST, false, 3).await;
}

#[tokio::test]
async fn what_it_may_have_begun_with_is_not_unless_that_does_no_harm() {
    for broken in [
        Do::Reset(INTERNAL_ERROR),
        Do::Reset(CANCEL),
        Do::GoAway(1, NO_ERROR),
        Do::GoAway(1, INTERNAL_ERROR),
        Do::Close,
    ] {
        check(&[broken, Do::Answer], Method::POST, false, 1).await;
        check(&[broken, Do::Answer], Method::PUT, true, 2).await;
    }
}

#[tokio::test]
async fn a_connection_that_ends_between_calls_costs_none() {
    let (addr, seen) = frames::start(&[Do::Answer, Do::GoAway(1, NO_ERROR), Do::Answer]).await;
    let gateway = gateway(grpc_with(addr, |s| s.with("retries", 0), |r| r)).await;
    let client = Client::in_clear(&gateway).await;
    for _ in 0..3 {
        assert_eq!(client.call(method("/p.S/M"), b"hi").await.head.status, 204);
    }
    // The second was asked on the first's connection, and again on another.
    assert_eq!(*seen.lock().unwrap(), [0, 0, 1, 1]);
}
