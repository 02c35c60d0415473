//! Bodies that were kept in a file, and the file is not what it was.

use super::support::{Gateway, Wire, one, within};
use bytes::Bytes;
use std::fs::{self, OpenOptions};
use std::path::Path;
use tokio::net::TcpListener;

/// More than the sockets on the way to an origin hold.
const LONG: usize = 16 << 20;

/// Takes away what is kept below this directory, in files without a name.
fn take_away(directory: &Path) {
    let mut taken = 0;
    for fd in fs::read_dir("/proc/self/fd").unwrap() {
        let fd = fd.unwrap().path();
        if fs::read_link(&fd).is_ok_and(|file| file.starts_with(directory)) {
            OpenOptions::new().write(true).open(fd).unwrap().set_len(0).unwrap();
            taken += 1;
        }
    }
    assert_eq!(taken, 1);
}

/// What a client is answered when the body is lost while it is on its way to the origin.
async fn answered<F: Future<Output = (u16, String)>>(
    upload: impl FnOnce(std::net::SocketAddr) -> F,
) -> (u16, String, bool) {
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().to_owned();
    let config = one(&format!("http://{}", origin.local_addr().unwrap()), |r| r.path("/r"));
    let gateway = Gateway::with(config, 1, |options| {
        options.buffering.directory = kept;
        options.listen[0].http2 = true;
    })
    .await;
    let ((status, body), hung_up) = tokio::join!(upload(gateway.addr), async {
        let mut wire = Wire::new(within(origin.accept()).await.unwrap().0);
        let (_, fields) = within(wire.head()).await.unwrap();
        assert!(fields.contains(&("Content-Length".to_owned(), LONG.to_string())));
        take_away(directory.path());
        within(wire.take(LONG)).await.is_none()
    });
    (status, body, hung_up)
}

fn check((status, body, hung_up): (u16, String, bool)) {
    assert_eq!(status, 500, "{body}");
    assert!(body.starts_with("An unexpected error occurred\nrequest_id: "), "{body}");
    assert!(hung_up, "the origin has been sent half a body");
}

#[tokio::test]
async fn a_body_that_is_lost_is_our_fault_over_http1() {
    let upload = async |addr| {
        let mut client = super::support::Client::connect(addr).await;
        client.send(format!("POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: {LONG}\r\n\r\n")).await;
        client.send(vec![b'x'; LONG]).await;
        let response = client.response().await;
        assert_eq!(response.one("Connection"), Some("close"));
        assert!(client.is_closed().await);
        (response.status, response.text().to_owned())
    };
    check(answered(upload).await);
}

#[tokio::test]
async fn a_body_that_is_lost_is_our_fault_over_http2() {
    let upload = async |addr| {
        let io = within(tokio::net::TcpStream::connect(addr)).await.unwrap();
        let (mut requests, connection) = within(h2::client::handshake(io)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::post("http://a/r").body(()).unwrap();
        let (response, mut body) = requests.send_request(request, false).unwrap();
        body.send_data(Bytes::from(vec![b'x'; LONG]), true).unwrap();
        let mut response = within(response).await.unwrap();
        let mut text = Vec::new();
        while let Some(data) = within(response.body_mut().data()).await {
            text.extend_from_slice(&data.unwrap());
        }
        (response.status().as_u16(), String::from_utf8(text).unwrap())
    };
    check(answered(upload).await);
}
