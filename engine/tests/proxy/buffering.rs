//! Bodies that are waited for, and bodies that pass as they come.

use super::support::{Gateway, Origin, Wire, config, has_one_pool, one, within};
use super::{GET, ours};
use model::Config;
use model::testing::service;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// More than all buffers on the way.
const MUCH: usize = 64_000_000;

const CHUNKED: &str = "POST /r HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn route(url: &str, field: &str, on: bool) -> Config {
    one(url, |r| r.path("/r").with(field, on))
}

/// A gateway that keeps long bodies in a directory of its own.
async fn keeping(
    url: &str,
    change: impl FnOnce(&mut engine::Options),
) -> (Gateway, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bodies");
    let gateway = Gateway::with(one(url, |r| r.path("/r")), 1, |options| {
        options.buffering.directory = path;
        change(options);
    });
    (gateway.await, directory)
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut text = CHUNKED.as_bytes().to_vec();
    for chunk in body.chunks(size) {
        text.extend(format!("{:x};e=1\r\n", chunk.len()).bytes());
        text.extend(chunk);
        text.extend(b"\r\n");
    }
    text.extend(b"0\r\nX-Trailer: 1\r\n\r\n");
    text
}

#[tokio::test]
async fn a_service_is_not_bothered_before_the_last_byte() {
    let origin = Origin::plain().await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let length = "POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe";
    let long = "POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhe";
    let rest_of_long = "l".repeat(99_998);
    for (begun, rest, body) in [
        (length.to_owned(), "llo", 5),
        (format!("{CHUNKED}2\r\nhe\r\n"), "3\r\nllo\r\n0\r\n\r\n", 5),
        (long.to_owned(), rest_of_long.as_str(), 100_000),
    ] {
        let mut slow = gateway.connect().await;
        slow.send(&begun).await;
        let before = origin.seen().len();
        // Whoever came later is served meanwhile, and on the only connection there is.
        assert_eq!(gateway.ask(GET).await.text(), "hello");
        slow.send(rest).await;
        assert_eq!(slow.response().await.text(), "hello");
        let seen = origin.seen();
        assert_eq!(seen.len(), before + 2);
        let last = seen.last().unwrap();
        assert_eq!(last.one("Content-Length"), Some(&*body.to_string()));
        assert_eq!(last.one("Transfer-Encoding"), None);
        assert_eq!(last.body.len(), body);
        assert!(last.connection == 0 || !has_one_pool());
    }
}

#[tokio::test]
async fn a_long_body_is_kept_and_comes_out_as_it_went_in() {
    let origin = Origin::plain().await;
    let (gateway, directory) = keeping(&origin.url(""), |_| {}).await;
    let body: Vec<u8> =
        (0..500_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let head = format!("POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut client = gateway.connect().await;
    // Two on one connection, the second right behind the first.
    let both = [chunked(&body, 33_333), [head.as_bytes(), &body].concat()].concat();
    client.send(&both).await;
    for _ in 0..2 {
        assert_eq!(client.response().await.text(), "hello");
        assert!(origin.last().body == body);
        assert_eq!(origin.last().one("Content-Length"), Some("500000"));
        // Trailers are not waited for to become fields, as in nginx.
        assert_eq!(origin.last().one("X-Trailer"), None);
    }
    let left = std::fs::read_dir(directory.path().join("bodies")).unwrap();
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn who_waits_to_be_told_is_told() {
    let origin = Origin::plain().await;
    let (gateway, _directory) = keeping(&origin.url(""), |_| {}).await;
    let mut client = gateway.connect().await;
    for framing in ["Content-Length: 200000", "Transfer-Encoding: chunked"] {
        client
            .send(format!(
                "PUT /r HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n"
            ))
            .await;
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(within(client.0.take(interim.len())).await.unwrap(), interim.as_bytes());
        let body = "b".repeat(200_000);
        let body =
            if framing.starts_with('C') { body } else { format!("30d40\r\n{body}\r\n0\r\n\r\n") };
        client.send(body).await;
        assert_eq!(client.response().await.text(), "hello");
        assert_eq!((origin.last().body.len(), origin.last().one("Expect")), (200_000, None));
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_right_is_answered_and_bothers_nobody() {
    let origin = Origin::plain().await;
    let (gateway, _directory) = keeping(&origin.url(""), |options| {
        options.max_body = Some(100_000);
        options.door.body_timeout = Duration::from_millis(50);
    })
    .await;
    let large = String::from_utf8(chunked(&vec![b'x'; 100_001], 9_000)).unwrap();
    for (request, status) in [
        (format!("{CHUNKED}2\r\nhe\r\nzz\r\n"), 400),
        (large, 413),
        (format!("{CHUNKED}2\r\nhe\r\n"), 408),
        ("POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe".to_owned(), 408),
        ("POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\nhe".to_owned(), 408),
    ] {
        let mut client = gateway.connect().await;
        let response = client.ask(&request).await;
        assert_eq!((response.status, response.one("Connection")), (status, Some("close")));
        assert_eq!(response.one("Server"), Some(ours().as_str()));
    }
    let mut gone = gateway.connect().await;
    gone.send(format!("{CHUNKED}2\r\nhe\r\n")).await;
    drop(gone);
    assert_eq!(gateway.ask(GET).await.status, 200);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn unbuffered_a_body_that_does_not_come_right_ends_its_connection_too() {
    let origin = Origin::plain().await;
    let config = route(&origin.url(""), "request_buffering", false);
    let gateway = Gateway::with(config, 1, |options| {
        options.max_body = Some(10);
        options.door.body_timeout = Duration::from_millis(50);
    })
    .await;
    for (begun, status) in
        [("2\r\nhe\r\nzz\r\n", 400), ("b\r\nhello", 408), ("b\r\nhello world\r\n", 413)]
    {
        let response = gateway.ask(&format!("{CHUNKED}{begun}")).await;
        assert_eq!((response.status, response.one("Connection")), (status, Some("close")));
    }
}

#[tokio::test]
async fn without_room_a_long_body_is_our_fault() {
    let origin = Origin::plain().await;
    let (gateway, _directory) = keeping(&origin.url(""), |options| {
        options.buffering.directory = "/dev/null/nowhere".into();
    })
    .await;
    let response =
        gateway.ask(std::str::from_utf8(&chunked(&[b'x'; 100_000], 9_000)).unwrap()).await;
    assert_eq!(response.status, 500);
    let short = gateway.ask(std::str::from_utf8(&chunked(&[b'x'; 10_000], 9_000)).unwrap()).await;
    assert_eq!((short.status, origin.seen().len()), (200, 1));
}

/// An origin that takes one request and tells what it reads as it comes.
async fn telling() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut wire = Wire::new(listener.accept().await.unwrap().0);
        let (_, fields) = wire.head().await.unwrap();
        tell.send(format!("{fields:?}")).unwrap();
        while let Some(byte) = wire.take(1).await {
            tell.send(String::from_utf8(byte).unwrap()).unwrap();
        }
    });
    (url, told)
}

async fn until(told: &mut mpsc::UnboundedReceiver<String>, expected: &str) {
    let mut seen = String::new();
    while !seen.contains(expected) {
        seen += &within(told.recv()).await.expect(expected);
    }
}

#[tokio::test]
async fn unbuffered_a_body_passes_as_it_comes_and_stays_chunked() {
    let (url, mut told) = telling().await;
    let gateway = Gateway::start(route(&url, "request_buffering", false)).await;
    let mut client = gateway.connect().await;
    client.send(format!("{CHUNKED}3\r\none\r\n")).await;
    until(&mut told, "(\"Transfer-Encoding\", \"chunked\")").await;
    until(&mut told, "3\r\none\r\n").await;
    client.send("3\r\ntwo\r\n").await;
    until(&mut told, "3\r\ntwo\r\n").await;
    client.send("0\r\n\r\n").await;
    until(&mut told, "0\r\n\r\n").await;
}

#[tokio::test]
async fn an_event_is_there_when_it_is_sent_buffered_or_not() {
    for (buffered, head) in [
        (true, "Transfer-Encoding: chunked"),
        (false, "Transfer-Encoding: chunked"),
        (true, "Content-Length: 12"),
        (false, "Content-Length: 12"),
        (true, "X-Until: the end"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gateway = Gateway::start(route(&url, "response_buffering", buffered)).await;
        let mut client = gateway.connect().await;
        client.send(GET).await;
        let mut origin = Wire::new(within(listener.accept()).await.unwrap().0);
        origin.head().await.unwrap();
        let is_chunked = head.starts_with('T');
        let event =
            |text: &str| if is_chunked { format!("6\r\n{text}\r\n") } else { text.to_owned() };
        // Each is sent only when the client has the one before.
        say(&mut origin, &format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n")).await;
        let (line, fields) = within(client.0.head()).await.unwrap();
        assert_eq!(line, "HTTP/1.1 200 OK");
        let rechunked = fields.contains(&("Transfer-Encoding".to_owned(), "chunked".to_owned()));
        for text in ["first\n", "second"] {
            say(&mut origin, &event(text)).await;
            let expected = if rechunked { format!("6\r\n{text}\r\n") } else { text.to_owned() };
            let came = within(client.0.take(expected.len())).await.unwrap();
            assert_eq!(String::from_utf8(came).unwrap(), expected, "{head}, {buffered}");
        }
    }
}

async fn say(origin: &mut Wire<TcpStream>, text: &str) {
    origin.stream.write_all(text.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up_and_holds_little() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (gateway, _directory) = keeping(&url, |options| {
        options.door.send_timeout = Duration::from_millis(100);
    })
    .await;
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let mut origin = Wire::new(within(listener.accept()).await.unwrap().0);
    origin.head().await.unwrap();
    say(&mut origin, &format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n")).await;
    assert!(within(origin.stream.write_all(&vec![b'x'; MUCH])).await.is_err(), "all of it is held");
    let ended = async {
        while gateway.handle.stats().open() > 0 {
            tokio::task::yield_now().await;
        }
    };
    within(ended).await;
}

#[tokio::test]
async fn unbuffered_an_upstream_that_reads_nothing_stops_its_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway = Gateway::start(route(&url, "request_buffering", false)).await;
    let mut client = gateway.connect().await;
    client.send(format!("PUT /r HTTP/1.1\r\nHost: a\r\nContent-Length: {MUCH}\r\n\r\n")).await;
    let _origin = within(listener.accept()).await.unwrap().0;
    let body = vec![b'x'; MUCH];
    let sent = client.0.stream.write_all(&body);
    let sent = tokio::time::timeout(Duration::from_secs(1), sent).await;
    assert!(sent.is_err(), "all of it is held");
}

#[tokio::test]
async fn unbuffered_an_upstream_that_answers_and_hangs_up_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway = Gateway::start(route(&url, "request_buffering", false)).await;
    let mut client = gateway.connect().await;
    client.send(format!("PUT /r HTTP/1.1\r\nHost: a\r\nContent-Length: {MUCH}\r\n\r\n")).await;
    let mut origin = Wire::new(within(listener.accept()).await.unwrap().0);
    let (mut hears, mut says) = client.0.stream.into_split();
    let sending = tokio::spawn(async move { says.write_all(&vec![b'x'; MUCH]).await });
    // Until the way is full; closed with something unread, it is reset.
    tokio::time::sleep(Duration::from_millis(300)).await;
    say(&mut origin, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno").await;
    drop(origin);
    let response = within(Wire::new(&mut hears).response(false)).await.unwrap();
    assert_eq!((response.status, response.text()), (413, "no"));
    sending.abort();
}

/// What counts is how long nothing moves, not how long it takes in all.
#[tokio::test]
async fn whoever_goes_on_is_waited_for() {
    const PATIENCE: Duration = Duration::from_secs(1);
    const PIECES: usize = 6;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = service("s").url(&url).with("read_timeout", 1000).with("retries", 0).build();
    let unbuffered = model::testing::route("r").path("/r").with("request_buffering", false);
    let config = config([service.clone()], [unbuffered.to(&service).build()]);
    let gateway = Gateway::with(config, 1, |options| options.door.body_timeout = PATIENCE).await;
    let pause = async || tokio::time::sleep(PATIENCE / 4).await;
    let origin = async {
        let mut wire = Wire::new(within(listener.accept()).await.unwrap().0);
        wire.head().await.unwrap();
        within(wire.take(PIECES)).await.unwrap();
        for _ in 0..PIECES {
            pause().await;
            say(&mut wire, "HTTP/1.1 103 Early\r\n\r\n").await;
        }
        say(&mut wire, &format!("HTTP/1.1 200 OK\r\nContent-Length: {PIECES}\r\n\r\n")).await;
        for _ in 0..PIECES {
            pause().await;
            say(&mut wire, "x").await;
        }
    };
    let asks = async {
        let mut client = gateway.connect().await;
        client
            .send(format!("PUT /r HTTP/1.1\r\nHost: a\r\nContent-Length: {PIECES}\r\n\r\n"))
            .await;
        for _ in 0..PIECES {
            pause().await;
            client.send("x").await;
        }
        assert_eq!(client.response().await.text(), "xxxxxx");
    };
    tokio::join!(origin, asks);
}
