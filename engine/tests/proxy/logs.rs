//! What is said of requests when they are over.

use super::GET;
use super::support::{Act, Gateway, Origin, PATIENCE, one, within};
use model::Config;

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
async fn half_an_answer_is_logged_as_far_as_it_came() {
    let (lines, mut logged) = tokio::sync::mpsc::unbounded_channel();
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let origin = Origin::start(|_| Act::SayAndClose(half.to_vec())).await;
    let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 1, |options| {
        let take = move |line| lines.send(line).unwrap_or_default();
        options.access_log = Some(engine::options::LogSink::new(take));
    })
    .await;
    let mut client = gateway.connect().await;
    client.send(GET).await;
    assert!(within(client.0.response(false)).await.is_none());
    let line = within(logged.recv()).await.unwrap();
    assert!(line.contains("\"GET /r HTTP/1.1\" 200 4 "), "{line}");
}

#[tokio::test]
async fn no_line_is_left_behind_when_the_engine_stops() {
    const REQUESTS: usize = 30;
    for in_order in [true, false] {
        let (lines, logged) = std::sync::mpsc::channel();
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        let may_go = std::sync::Mutex::new(may_go);
        let gateway = Gateway::with(Config::default(), 2, |options| {
            options.access_log = Some(engine::options::LogSink::new(move |line| {
                let _gone = may_go.lock().unwrap().recv();
                lines.send(line).unwrap_or_default();
            }));
        })
        .await;
        for _ in 0..REQUESTS {
            assert_eq!(gateway.ask(GET).await.status, 404);
        }
        assert_eq!(logged.try_iter().count(), 0);
        let (meter, handle) = (gateway.handle.meter(), gateway.handle);
        drop(go); // the log is slow, but it goes on
        if in_order {
            within(handle.shutdown(PATIENCE)).await;
        } else {
            drop(handle);
        }
        assert_eq!(logged.try_iter().count(), REQUESTS);
        assert_eq!(meter.access_log_dropped(), 0);
    }
}

#[tokio::test]
async fn who_is_still_waited_for_when_the_engine_stops_has_a_line_too() {
    let (lines, logged) = std::sync::mpsc::channel();
    let origin = Origin::plain().await;
    let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 1, |options| {
        let take = move |line| lines.send(line).unwrap_or_default();
        options.access_log = Some(engine::options::LogSink::new(take));
    })
    .await;
    let mut client = gateway.connect().await;
    client.send("POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe").await;
    within(async {
        while gateway.handle.stats().requests() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(gateway.handle.shutdown(std::time::Duration::ZERO)).await;
    let logged: Vec<String> = logged.try_iter().collect();
    assert!(
        matches!(&*logged, [line] if line.contains("\"POST /r HTTP/1.1\" 499 0")),
        "{logged:?}"
    );
}

#[tokio::test]
async fn what_a_stuck_log_never_takes_is_counted_when_the_engine_stops() {
    const REQUESTS: u64 = 5;
    let (_go, may_go) = std::sync::mpsc::channel::<()>();
    let may_go = std::sync::Mutex::new(may_go);
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let gateway = Gateway::with(Config::default(), 1, |options| {
        options.access_log = Some(engine::options::LogSink::new(move |_| {
            begun.send(()).unwrap_or_default();
            let _never = may_go.lock().unwrap().recv();
        }));
    })
    .await;
    for _ in 0..REQUESTS {
        assert_eq!(gateway.ask(GET).await.status, 404);
    }
    within(begins.recv()).await.unwrap();
    let meter = gateway.handle.meter();
    within(gateway.handle.shutdown(PATIENCE)).await;
    assert_eq!(meter.access_log_dropped(), REQUESTS - 1, "one was handed over");
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
