//! What is said of requests when they are over.

use super::GET;
use super::support::{Act, Gateway, Origin, one, within};

#[tokio::test]
async fn every_request_has_its_line_in_the_access_log() {
    let (lines, mut logged) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::plain().await;
    let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 1, |options| {
        let take = move |line| lines.send(line).unwrap_or_default();
        options.access_log = Some(engine::options::LogSink::new(take));
    })
    .await;
    for (request, expected) in [
        (
            "GET /r?q HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\n\r\n",
            "\"GET /r?q HTTP/1.1\" 200 5 \"-\" \"x\"",
        ),
        (
            "HEAD /none HTTP/1.1\r\nHost: a\r\nReferer: y\r\n\r\n",
            "\"HEAD /none HTTP/1.1\" 404 0 \"y\" \"-\"",
        ),
        ("GET /r HTTP/1.1\r\n\r\n", "\"GET /r HTTP/1.1\" 400 57 \"-\" \"-\""),
        ("GET /\"a\\ \t\u{e9}\r\n", "\"GET /\\x22a\\x5C \\x09\\xC3\\xA9\" 400 57 \"-\" \"-\""),
        ("HEAD / HTTP/1.1\r\nA b\r\n", "\"HEAD / HTTP/1.1\" 400 0 \"-\" \"-\""),
    ] {
        let response = gateway.ask(request).await;
        let line = within(logged.recv()).await.unwrap();
        let expected = format!("{expected} kong_request_id: \"{}\"", response.id());
        assert!(line.starts_with("127.0.0.1 - - [") && line.ends_with(&expected), "{line}");
    }
    assert_eq!(gateway.handle.stats().access_log_dropped, 0);
}

#[tokio::test]
async fn failures_beyond_measure_are_counted_instead_of_logged() {
    let origin = Origin::start(|_| Act::SayAndClose(b"nonsense\r\n\r\n".to_vec())).await;
    for (measure, unlogged) in [(0, 3), (1000, 0)] {
        let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 1, |options| {
            options.error_log.failures_per_second = measure;
        })
        .await;
        let mut client = gateway.connect().await;
        for _ in 0..3 {
            assert_eq!(client.ask(GET).await.status, 502);
        }
        let stats = gateway.handle.stats();
        assert_eq!(stats.workers[0].failures_unlogged, unlogged, "{stats:?}");
    }
}
