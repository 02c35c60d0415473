//! Calls, carried both ways.

use super::client::{Client, method, read, text};
use super::origin::{Call, Origin, echo, fields};
use super::support::{Gateway, within};
use super::{gateway, grpc, grpc_with, http2};
use bytes::Bytes;
use engine::options::LogSink;
use h2::Reason;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test]
async fn a_call_reaches_its_service_as_it_was_made() {
    let origin = Origin::echo().await;
    let gateway = gateway(grpc(origin.addr)).await;
    let (clear, tls) = (Client::in_clear(&gateway).await, Client::over_tls(&gateway).await);
    for (client, scheme) in [(clear, "http"), (tls, "https")] {
        let path = "/p.S//M%65thod/../x?q=%20&r";
        let call = method(path).header("x-bin", "AAA=").header("grpc-timeout", "5S");
        let answer = client.call(call, b"hello").await;
        assert_eq!((answer.head.status.as_u16(), &*answer.body), (200, &b"hello"[..]));
        assert_eq!(answer.field("content-type"), Some("application/grpc"));
        let ours = format!("2 gateway/{}", model::VERSION);
        assert_eq!(answer.field("via"), Some(&*ours));
        for name in ["x-kong-upstream-latency", "x-kong-proxy-latency", "x-kong-request-id"] {
            assert!(answer.field(name).is_some(), "{name}");
        }
        let trailers = answer.trailers.unwrap();
        assert_eq!(
            (text(&trailers, "grpc-status"), text(&trailers, "x-own")),
            (Some("0"), Some("yes"))
        );
        assert_eq!(text(&trailers, "content-length"), None);

        let (head, _) = origin.seen().pop().unwrap();
        let sent = |name| text(&head.headers, name);
        assert_eq!(head.uri.to_string(), format!("http://{}{path}", origin.addr));
        assert_eq!((sent("te"), sent("via")), (Some("trailers"), Some(&*ours)));
        assert_eq!((sent("x-bin"), sent("grpc-timeout")), (Some("AAA="), Some("5S")));
        assert_eq!(sent("x-forwarded-proto"), Some(scheme));
        assert_eq!(sent("x-forwarded-host"), Some("a.test"));
        assert_eq!(
            (sent("host"), sent("connection"), sent("x-forwarded-prefix")),
            (None, None, None)
        );
        assert_eq!(
            sent("x-kong-request-id"),
            answer.head.headers["x-kong-request-id"].to_str().ok()
        );
    }
}

#[tokio::test]
async fn the_authority_may_be_the_clients() {
    let origin = Origin::echo().await;
    let gateway = gateway(grpc_with(origin.addr, |s| s, |r| r.with("preserve_host", true))).await;
    Client::in_clear(&gateway).await.call(method("/p.S/M"), b"").await;
    assert_eq!(origin.seen()[0].0.uri.authority().unwrap(), "a.test");
}

#[tokio::test]
async fn a_service_may_want_tls() {
    let origin = Origin::secure(echo).await;
    let secure = |s: model::testing::ServiceBuilder| s.with("protocol", "grpcs");
    let gateway = gateway(grpc_with(origin.addr, secure, |r| r)).await;
    let answer = Client::in_clear(&gateway).await.call(method("/p.S/M"), b"hi").await;
    assert_eq!((answer.code(), &*answer.body), (Some("0"), &b"hi"[..]));
    assert_eq!(origin.seen()[0].0.uri.scheme_str(), Some("https"));
}

#[tokio::test]
async fn both_sides_talk_at_the_same_time() {
    let origin = Origin::echo().await;
    let gateway = gateway(grpc(origin.addr)).await;
    let mut call = Client::in_clear(&gateway).await.begin(method("/p.S/Chat")).await;
    let mut answer = within(call.response).await.unwrap().into_body();
    for message in [&b"one"[..], b"two", b"three"] {
        call.body.send_data(Bytes::copy_from_slice(message), false).unwrap();
        assert_eq!(within(answer.data()).await.unwrap().unwrap(), message);
    }
    call.body.send_data(Bytes::new(), true).unwrap();
    assert!(within(answer.data()).await.is_none());
    let trailers = within(answer.trailers()).await.unwrap().unwrap();
    assert_eq!(text(&trailers, "grpc-status"), Some("0"));
}

#[tokio::test]
async fn a_call_may_fail_in_its_head_or_behind_its_messages() {
    let origin = Origin::start(async |mut call: Call| {
        let failed = fields(&[("grpc-status", "9"), ("grpc-message", "not%20yet")]);
        let at_once = call.head.uri.path().ends_with("/Head");
        let mut head = call.head();
        if at_once {
            head.headers_mut().extend(failed.clone());
        }
        let mut body = call.respond.send_response(head, at_once).unwrap();
        if !at_once {
            body.send_data(Bytes::from_static(b"some"), false).unwrap();
            body.send_trailers(failed).unwrap();
        }
    })
    .await;
    let gateway = gateway(grpc(origin.addr)).await;
    let client = Client::in_clear(&gateway).await;
    for (path, body) in [("/p.S/Head", &b""[..]), ("/p.S/Trailers", b"some")] {
        let answer = client.call(method(path), b"hi").await;
        assert_eq!((answer.head.status.as_u16(), &*answer.body), (200, body), "{path}");
        assert_eq!((answer.code(), answer.message()), (Some("9"), Some("not%20yet")), "{path}");
    }
}

/// A service that says so much and then nothing.
async fn stuck(after: usize) -> Origin {
    Origin::start(move |mut call: Call| async move {
        if after > 0 {
            let mut body = call.respond.send_response(call.head(), false).unwrap();
            body.send_data(Bytes::from(vec![b'x'; after]), false).unwrap();
            std::future::pending::<()>().await;
        }
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn a_service_that_says_nothing_runs_out_of_time() {
    for after in [0, 5] {
        let origin = stuck(after).await;
        let hurried =
            |s: model::testing::ServiceBuilder| s.with("read_timeout", 200).with("retries", 0);
        let gateway = gateway(grpc_with(origin.addr, hurried, |r| r)).await;
        let answer = Client::in_clear(&gateway).await.call(method("/p.S/M"), b"hi").await;
        let status = if after == 0 { 504 } else { 200 };
        assert_eq!((answer.head.status.as_u16(), answer.body.len()), (status, after));
        assert_eq!(answer.is_head_only, after == 0);
        assert_eq!(
            (answer.code(), answer.message()),
            (Some("4"), Some("The upstream server is timing out"))
        );
    }
}

#[tokio::test]
async fn a_call_that_streams_may_take_as_long_as_something_moves() {
    let origin = Origin::start(async |mut call: Call| {
        let mut count = 0;
        while let Some(data) = call.next().await {
            count += data.len();
        }
        let mut body = call.respond.send_response(call.head(), false).unwrap();
        body.send_data(Bytes::from(count.to_string()), false).unwrap();
        body.send_trailers(fields(&[("grpc-status", "0")])).unwrap();
    })
    .await;
    let hurried =
        |s: model::testing::ServiceBuilder| s.with("read_timeout", 2000).with("retries", 0);
    let gateway = gateway(grpc_with(origin.addr, hurried, |r| r)).await;
    let client = Client::in_clear(&gateway).await;
    let mut call = client.begin(method("/p.S/Upload")).await;
    for _ in 0..12 {
        call.say(b"some", false);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    call.say(b"", true);
    let answer = call.answer().await;
    assert_eq!((answer.code(), &*answer.body), (Some("0"), &b"48"[..]));

    // When nothing moves any more, it is broken off.
    let mut call = client.begin(method("/p.S/Upload")).await;
    call.say(b"some", false);
    let broken = within(call.response).await.unwrap_err();
    assert_eq!(broken.reason(), Some(Reason::CANCEL));
}

#[tokio::test]
async fn a_service_that_goes_away_is_unavailable() {
    let origin = Origin::start(async |mut call: Call| {
        if call.head.uri.path().ends_with("/Midway") {
            let mut body = call.respond.send_response(call.head(), false).unwrap();
            body.send_data(Bytes::from_static(b"some"), false).unwrap();
            within(call.body.data()).await; // the client has it
        }
        call.cut.send_replace(true);
    })
    .await;
    let gateway = gateway(grpc(origin.addr)).await;
    let client = Client::in_clear(&gateway).await;
    let answer = client.call(method("/p.S/AtOnce"), b"hi").await;
    assert_eq!((answer.head.status.as_u16(), answer.code()), (502, Some("14")));
    assert!(answer.is_head_only);

    let mut call = client.begin(method("/p.S/Midway")).await;
    let mut answer = within(call.response).await.unwrap();
    assert_eq!(within(answer.body_mut().data()).await.unwrap().unwrap(), "some");
    call.body.send_data(Bytes::from_static(b"go"), false).unwrap();
    let answer = read(answer).await;
    assert_eq!((answer.head.status.as_u16(), answer.code()), (200, Some("14")));

    let nobody = gateway_to_nobody().await;
    let answer = Client::in_clear(&nobody).await.call(method("/p.S/M"), b"hi").await;
    assert_eq!((answer.head.status.as_u16(), answer.code()), (502, Some("14")));
    assert_eq!(answer.message(), Some("An invalid response was received from the upstream server"));
}

async fn gateway_to_nobody() -> Gateway {
    gateway(grpc(([127, 0, 0, 1], 1).into())).await
}

#[tokio::test]
async fn a_client_that_gives_up_ends_the_call_at_its_service() {
    let (tell, mut told) = watch::channel(None);
    let tell = Arc::new(tell);
    let origin = Origin::start(move |mut call: Call| {
        let tell = tell.clone();
        async move {
            let reason = poll_fn(|cx| call.respond.poll_reset(cx)).await;
            tell.send_replace(reason.ok());
        }
    })
    .await;
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    let gateway = Gateway::with(grpc(origin.addr), 1, |options| {
        http2(options);
        options.access_log = Some(LogSink::new(move |line| sink.lock().unwrap().push(line)));
    })
    .await;
    let mut call = Client::in_clear(&gateway).await.begin(method("/p.S/M")).await;
    call.say(b"hi", false);
    within(async {
        while origin.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    call.body.send_reset(Reason::CANCEL);
    let reason = *within(told.wait_for(Option::is_some)).await.unwrap();
    assert_eq!(reason, Some(Reason::CANCEL));
    within(async {
        while lines.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let line = lines.lock().unwrap()[0].clone();
    assert!(line.contains("\"POST /p.S/M HTTP/2.0\" 499 0"), "{line}");
}
