//! Messages that two readers would end in different places.

use super::support::{Act, Client, Gateway, Origin, one, within};
use tokio::io::AsyncReadExt as _;

/// What a smuggler hides: it must never be seen to have arrived.
const HIDDEN: &str = "GET /r/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

async fn gateway() -> (Origin, Gateway) {
    let origin = Origin::start(|rq| Act::ok(&format!("{} bytes", rq.body.len()))).await;
    let gateway = Gateway::start(one(&origin.url("/"), |r| r.path("/r"))).await;
    (origin, gateway)
}

/// All statuses that a connection is answered until it ends.
async fn statuses(mut client: Client) -> Vec<u16> {
    let mut all = Vec::new();
    let _reset_or_end = within(client.0.stream.read_to_end(&mut client.0.buffer)).await;
    while let Some(response) = within(client.0.response(false)).await {
        all.push(response.status);
    }
    all
}

/// An origin that counts, and a gateway before it.
struct Place {
    origin: Origin,
    gateway: Gateway,
}

impl Place {
    async fn new() -> Place {
        let (origin, gateway) = gateway().await;
        Place { origin, gateway }
    }

    /// What the request comes to, with a hidden one in it, on a connection that is its last.
    async fn check(&self, request: &str, expected: &[u16], bodies: &[&str]) {
        let before = self.origin.seen().len();
        let mut client = self.gateway.connect().await;
        client.send(request).await;
        assert_eq!(statuses(client).await, expected, "{request:?}");
        let seen = self.origin.seen().split_off(before);
        let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
        assert!(!lines.iter().any(|line| line.contains("smuggled")), "{request:?}: {lines:?}");
        let received: Vec<_> = seen.iter().map(|s| String::from_utf8_lossy(&s.body)).collect();
        assert_eq!(received, bodies, "{request:?}");
        for received in &seen {
            let (lengths, codings) =
                (received.all("Content-Length"), received.all("Transfer-Encoding"));
            assert!(lengths.len() + codings.len() <= 1, "{received:?}");
        }
    }
}

fn post(fields: &str, rest: &str) -> String {
    format!("POST /r HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n{rest}")
}

#[tokio::test]
async fn a_length_beside_chunks_is_refused() {
    let place = Place::new().await;
    let both = "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n";
    let swapped = "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n";
    for fields in [both, swapped] {
        place.check(&post(fields, &format!("0\r\n\r\n{HIDDEN}")), &[400], &[]).await;
        place
            .check(
                &post(fields, &format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len())),
                &[400],
                &[],
            )
            .await;
    }
}

#[tokio::test]
async fn codings_that_only_some_understand_are_refused() {
    let place = Place::new().await;
    for (coding, status) in [
        ("Transfer-Encoding: xchunked", 501),
        ("Transfer-Encoding: chunked, identity", 501),
        ("Transfer-Encoding: identity", 501),
        ("Transfer-Encoding: \"chunked\"", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", 400),
        ("Transfer-Encoding: x\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer-Encoding:\x0bchunked", 400),
        ("Transfer-Encoding\t: chunked", 400),
        (" Transfer-Encoding: chunked", 400),
        ("X: y\r\n Transfer-Encoding: chunked", 400),
        ("X: y\nTransfer-Encoding: chunked", 400),
        ("X: y\rTransfer-Encoding: chunked", 400),
    ] {
        place
            .check(&post(&format!("{coding}\r\n"), &format!("0\r\n\r\n{HIDDEN}")), &[status], &[])
            .await;
    }
    // One that means the same to everyone, and one that HTTP has no meaning for.
    place.check(&post("transfer-encoding: Chunked\r\n", "0\r\n\r\n"), &[200], &[""]).await;
    place
        .check(&post("Transfer_Encoding: chunked\r\nContent-Length: 2\r\n", "hi"), &[200], &["hi"])
        .await;
}

/// The old version does not know chunks (CVE-2026-2835), and is not taken for the new one.
#[tokio::test]
async fn chunks_in_the_old_version_are_refused() {
    let place = Place::new().await;
    let old = "POST /r HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
    place.check(&format!("{old}\r\n0\r\n\r\n{HIDDEN}"), &[400], &[]).await;
    place
        .check(&format!("{old}Connection: keep-alive\r\n\r\n0\r\n\r\n{HIDDEN}"), &[400], &[])
        .await;
    place.check(&format!("{old}Content-Length: 5\r\n\r\n0\r\n\r\n{HIDDEN}"), &[400], &[]).await;
}

#[tokio::test]
async fn lengths_that_are_not_one_number_are_refused() {
    let place = Place::new().await;
    for length in [
        "5\r\nContent-Length: 5",
        "5\r\nContent-Length: 0",
        "5, 5",
        "+5",
        "-0",
        "5 ,",
        "0x5",
        "5.0",
        "",
    ] {
        place.check(&post(&format!("Content-Length: {length}\r\n"), HIDDEN), &[400], &[]).await;
    }
    place
        .check(&post(&format!("Content-Length: {}\r\n", "9".repeat(30)), HIDDEN), &[400], &[])
        .await;
}

#[tokio::test]
async fn lines_that_only_some_end_are_refused() {
    let place = Place::new().await;
    for request in [
        format!("GET /r HTTP/1.1\nHost: a\n\n{HIDDEN}"),
        format!("GET /r HTTP/1.1\r\nHost: a\nX: y\r\n\r\n{HIDDEN}"),
        format!("GET /r HTTP/1.1\r\nHost: a\r\n\n{HIDDEN}"),
        format!("GET /r HTTP/1.1\r\nHost: a\r\n\r{HIDDEN}"),
        format!("GET /r HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n{HIDDEN}"),
        format!("GET /r HTTP/1.1\r\nHost: a\r\nX: y\r\n\tContent-Length: 9\r\n\r\n{HIDDEN}"),
        format!("GET /r HTTP/1.1\r\nHost: a\r\nX: y\0\r\n\r\n{HIDDEN}"),
    ] {
        place.check(&request, &[400], &[]).await;
    }
}

/// The request is on its way to its origin when its body turns out to be none: that connection is
/// given up, and nothing behind the mistake is a request.
#[tokio::test]
async fn chunks_that_only_some_understand_are_refused() {
    let place = Place::new().await;
    let long = "x".repeat(5000);
    for chunks in [
        "2\nhi\r\n0\r\n\r\n",
        "2\r\nhi\n0\r\n\r\n",
        "2\r\nhi0\r\n\r\n",
        "2 \r\nhi\r\n0\r\n\r\n",
        "+2\r\nhi\r\n0\r\n\r\n",
        "0x2\r\nhi\r\n0\r\n\r\n",
        "2_\r\nhi\r\n0\r\n\r\n",
        "2;a\nb\r\nhi\r\n0\r\n\r\n",
        "2;a\rb\r\nhi\r\n0\r\n\r\n",
        "10000000000000002\r\nhi\r\n0\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nGET / HTTP/1.1\r\n\r\n",
        &format!("2;{long}\r\nhi\r\n0\r\n\r\n"),
    ] {
        let request = post("Transfer-Encoding: chunked\r\n", &format!("{chunks}{HIDDEN}"));
        place.check(&request, &[400], &[]).await;
    }
    // Extensions within bounds mean nothing and go no further.
    let request = post("Transfer-Encoding: chunked\r\n", "2;a=\"b\"\r\nhi\r\n0;x\r\n\r\n");
    place.check(&request, &[200], &["hi"]).await;
}

/// Neither a length nor chunks: there is no body, whatever the method (TE.0, CL.0).
#[tokio::test]
async fn what_follows_a_head_without_a_body_is_the_next_request() {
    let place = Place::new().await;
    let Place { origin, gateway } = &place;
    for method in ["GET", "POST", "OPTIONS", "HEAD"] {
        let mut client = gateway.connect().await;
        let first = format!("{method} /r/one HTTP/1.1\r\nHost: a\r\n\r\n");
        client
            .send(&format!("{first}GET /r/two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
            .await;
        within(client.0.response(method == "HEAD")).await.unwrap();
        client.response().await;
        let lines: Vec<_> = origin.seen().iter().map(|seen| seen.line.clone()).collect();
        let [.., one, two] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(one, &format!("{method} /one HTTP/1.1"));
        assert_eq!(two, "GET /two HTTP/1.1");
    }
    // A body that nobody asked for belongs to its request all the same.
    place.check(
        &format!("GET /r HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{HIDDEN}", HIDDEN.len()),
        &[200],
        &[HIDDEN],
    )
    .await;
}

/// A body that is left unread is not the next request (CVE-2025-4366).
#[tokio::test]
async fn a_body_nobody_read_is_no_request() {
    let (origin, gateway) = gateway().await;
    for path in ["/nowhere", "/r"] {
        let mut client = gateway.connect().await;
        let first = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{HIDDEN}",
            HIDDEN.len()
        );
        client.send(&format!("{first}GET /r/after HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        client.response().await;
        client.response().await;
        assert_eq!(origin.last().line, "GET /after HTTP/1.1");
    }
    assert!(!origin.seen().iter().any(|seen| seen.line.contains("smuggled")));
}

/// An upgrade is believed only when the origin agreed to it: what is sent early waits, and is a
/// request like any other if it did not (CVE-2026-2833).
#[tokio::test]
async fn requests_behind_an_upgrade_wait_for_its_answer() {
    let upgrade = "GET /r HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (origin, gateway) = gateway().await;
    let mut client = gateway.connect().await;
    client.send(&format!("{upgrade}GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(client.response().await.status, 404, "routed like any other");
    assert_eq!(origin.seen().len(), 1);

    // What is no upgrade opens nothing, whatever the origin says.
    let origin = Origin::start(|_| {
        Act::Echo(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
                .into(),
        )
    })
    .await;
    let gateway = Gateway::start(one(&origin.url("/"), |r| r.path("/r"))).await;
    for upgrade in [
        "GET /r HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
        "GET /r HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let mut client = gateway.connect().await;
        client.send(&format!("{upgrade}GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.response().await.status, 502, "{upgrade:?}");
        assert_eq!(origin.last().one("Upgrade"), None, "{upgrade:?}");
    }
    assert!(!origin.seen().iter().any(|seen| seen.line.contains("elsewhere")));
}
