//! What a connection buffers, and when it stops being HTTP.

use super::*;
use std::future::poll_fn;
use std::os::fd::RawFd;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

/// As good as a TCP stream but for readiness, which it cannot tell.
impl Transport for DuplexStream {
    type Timer = tokio::time::Sleep;

    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn fd(&self) -> RawFd {
        -1
    }
}

fn conn(capacity: usize) -> (DuplexStream, Conn<DuplexStream>) {
    let (client, ours) = duplex(capacity);
    (client, Conn::new(ours, Arc::new(SocketDigest::from_raw_fd(-1))))
}

fn terms(framing: Framing, websocket: bool) -> Terms {
    Terms { framing, keep_alive: true, websocket, expects_continue: false, te_trailers: false }
}

/// Reads into a buffer of `room` bytes; `None` while there is nothing.
async fn read(conn: &mut Conn<DuplexStream>, room: usize) -> Option<Vec<u8>> {
    let mut buffer = vec![0; room];
    let mut out = ReadBuf::new(&mut buffer);
    let read = poll_fn(|cx| Poll::Ready(conn.poll_read(cx, &mut out))).await;
    read.is_ready().then(|| out.filled().to_vec())
}

async fn write(conn: &mut Conn<DuplexStream>, bytes: &[u8]) -> Option<usize> {
    match poll_fn(|cx| Poll::Ready(conn.poll_write(cx, bytes))).await {
        Poll::Ready(written) => Some(written.expect("the client is there")),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn what_follows_a_body_is_kept_for_the_door() {
    let (mut client, mut conn) = conn(1024);
    conn.begin(&terms(Framing::Length(5), false));
    client.write_all(b"helloGET /").await.unwrap();
    assert_eq!(read(&mut conn, 100).await.unwrap(), b"hello");
    assert_eq!(&conn.rd[..], b"GET /");
    assert_eq!(read(&mut conn, 100).await, None);
    client.write_all(b"next").await.unwrap();
    assert_eq!(read(&mut conn, 100).await, None);
    assert_eq!(&conn.rd[..], b"GET /next");
}

#[tokio::test]
async fn a_body_that_came_with_the_head_is_given_first() {
    let (mut client, mut conn) = conn(1024);
    conn.rd.extend_from_slice(b"4\r\nab");
    conn.begin(&terms(Framing::Chunked, false));
    client.write_all(b"cd\r\n0\r\n\r\nGET").await.unwrap();
    assert_eq!(read(&mut conn, 4).await.unwrap(), b"4\r\na");
    assert_eq!(read(&mut conn, 100).await.unwrap(), b"b");
    assert_eq!(read(&mut conn, 100).await.unwrap(), b"cd\r\n0\r\n\r\n");
    assert!(conn.passage.body.is_done());
    assert_eq!(&conn.rd[..], b"GET");
}

#[tokio::test]
async fn reading_ahead_is_bounded() {
    let (mut client, mut conn) = conn(10 * READ_AHEAD);
    conn.begin(&terms(Framing::Empty, false));
    client.write_all(&vec![b'x'; 5 * READ_AHEAD]).await.unwrap();
    assert_eq!(read(&mut conn, 1).await, None);
    assert!((READ_AHEAD..2 * READ_AHEAD).contains(&conn.rd.len()), "{}", conn.rd.len());
}

#[tokio::test]
async fn poison_is_reported_again_and_again() {
    let (_client, mut conn) = conn(1024);
    conn.begin(&terms(Framing::Chunked, false));
    conn.rd.extend_from_slice(b"nonsense");
    for _ in 0..2 {
        let mut buffer = [0; 9];
        let mut out = ReadBuf::new(&mut buffer);
        let error = poll_fn(|cx| conn.poll_read(cx, &mut out)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(out.filled().is_empty());
    }
}

#[tokio::test]
async fn small_writes_are_gathered_and_large_ones_are_not_held() {
    let (mut client, mut conn) = conn(1024 * 1024);
    for _ in 0..8 {
        assert_eq!(write(&mut conn, &[b'a'; 1024]).await, Some(1024));
    }
    assert_eq!(conn.wr.len(), WRITE);
    let large = vec![b'b'; 100_000];
    let mut written = 0;
    while written < large.len() {
        written += write(&mut conn, &large[written..]).await.unwrap();
        assert!(conn.wr.len() <= WRITE);
    }
    poll_fn(|cx| conn.poll_drain(cx)).await.unwrap();
    let mut heard = vec![0; WRITE + large.len()];
    client.read_exact(&mut heard).await.unwrap();
    assert!(heard[..WRITE].iter().all(|&byte| byte == b'a'));
    assert_eq!(heard[WRITE..], large);
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_writer() {
    let (mut client, mut conn) = conn(1000);
    let mut taken = 0;
    while let Some(count) = write(&mut conn, &[b'a'; 500]).await {
        taken += count;
    }
    assert!(taken <= 1000 + WRITE, "{taken}");
    client.read_exact(&mut [0; 1000]).await.unwrap();
    assert!(write(&mut conn, b"more").await.is_some());
}

#[tokio::test]
async fn buffers_go_when_they_are_empty() {
    let (mut client, mut conn) = conn(1024);
    client.write_all(b"GET").await.unwrap();
    poll_fn(|cx| conn.poll_fill(cx)).await.unwrap();
    write(&mut conn, b"HTTP/1.1 200 OK\r\n\r\n").await;
    poll_fn(|cx| conn.poll_drain(cx)).await.unwrap();
    conn.release();
    assert_eq!((&conn.rd[..], conn.wr.capacity()), (&b"GET"[..], 0));
    conn.rd.clear();
    conn.release();
    assert_eq!(conn.rd.capacity(), 0);
}

#[tokio::test]
async fn only_a_101_that_was_asked_for_opens_the_stream() {
    for (websocket, status, open) in [(true, 101, true), (false, 101, false), (true, 200, false)] {
        let (_client, mut conn) = conn(1024);
        conn.begin(&terms(Framing::Empty, websocket));
        conn.rd.extend_from_slice(b"early");
        write(&mut conn, format!("HTTP/1.1 {status} X\r\n\r\n").as_bytes()).await;
        assert_eq!(conn.passage.transparent, open);
        assert_eq!(read(&mut conn, 9).await, open.then(|| b"early".to_vec()));
    }
}
