//! Long bodies, and ends that are slow or gone.

use super::support::{Act, Gateway, Origin, Wire, one, within};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const MIB: usize = 1 << 20;

/// So that cut in the wrong place it is not the same.
fn long() -> Vec<u8> {
    (0..MIB as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[tokio::test]
async fn long_bodies_pass_either_way_unchanged() {
    let body = long();
    let answer =
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {MIB}\r\n\r\n").as_bytes(), &body].concat();
    let origin = Origin::start(move |_| Act::Say(answer.clone())).await;
    let route = one(&origin.url(""), |r| r.path("/r").with("request_buffering", false));
    let gateway = Gateway::start(route).await;
    let mut client = gateway.connect().await;
    for framing in ["length", "chunks", "length"] {
        let request = match framing {
            "length" => {
                let head = format!("POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: {MIB}\r\n\r\n");
                [head.as_bytes(), &body].concat()
            }
            _ => {
                let head = "POST /r HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
                let mut text = head.as_bytes().to_vec();
                for chunk in body.chunks(33_333) {
                    text.extend(format!("{:x}\r\n", chunk.len()).bytes());
                    text.extend(chunk);
                    text.extend(b"\r\n");
                }
                text.extend(b"0\r\n\r\n");
                text
            }
        };
        client.send(request).await;
        let response = client.response().await;
        assert!(response.body == body, "{framing}");
        assert!(origin.last().body == body, "{framing}");
    }
}

#[tokio::test]
async fn a_client_may_take_its_time_as_long_as_it_takes_something() {
    let body = long();
    let answer =
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {MIB}\r\n\r\n").as_bytes(), &body].concat();
    let origin = Origin::start(move |_| Act::Say(answer.clone())).await;
    let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 1, |options| {
        options.door.send_timeout = Duration::from_millis(600);
    })
    .await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    let mut client = within(socket.connect(gateway.addr)).await.unwrap();
    client.write_all(super::GET.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    let mut piece = vec![0; 128 * 1024];
    let started = tokio::time::Instant::now();
    while got.len() < MIB {
        let read = within(client.read(&mut piece)).await.unwrap();
        assert!(read > 0, "cut off after {} bytes", got.len());
        got.extend_from_slice(&piece[..read]);
        if started.elapsed() < Duration::from_secs(2) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert!(got.ends_with(&body[MIB - 4096..]) || got.len() > MIB);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let piece = "x".repeat(MIB);
    let origin = Origin::start(move |_| Act::ok(&piece.repeat(16))).await;
    let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 1, |options| {
        options.door.send_timeout = Duration::from_millis(200);
    })
    .await;
    let mut client = gateway.connect().await;
    client.send(super::GET).await;
    within(async {
        while gateway.handle.stats().accepted() == 0 || gateway.handle.stats().open() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_upstream_may_write_byte_by_byte_or_leave() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for round in 0.. {
            let mut wire = Wire::new(listener.accept().await.unwrap().0);
            wire.head().await.unwrap();
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
            let said = if round % 2 == 0 { answer.len() } else { answer.len() - 2 };
            for byte in &answer.as_bytes()[..said] {
                wire.stream.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let gateway = Gateway::start(one(&url, |r| r.path("/r"))).await;
    for round in 0..6 {
        let mut client = gateway.connect().await;
        client.send(super::GET).await;
        if round % 2 == 0 {
            assert_eq!(client.response().await.text(), "hello");
        } else {
            let mut all = Vec::new();
            within(client.0.stream.read_to_end(&mut all)).await.unwrap();
            assert!(all.ends_with(b"hel"), "what there was of it came through");
        }
    }
}
