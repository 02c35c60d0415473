//! An upstream that says any frame of HTTP/2, so that it can break off as real ones do.

use super::support::within;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// `END_STREAM`, or `ACK`.
const LAST: u8 = 1;
const END_HEADERS: u8 = 4;
const PREFACE: usize = 24;

/// What is done with a request, when its head has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Do {
    /// 204.
    Answer,
    /// Says that its stream is over, with this code.
    Reset(u32),
    /// Says that nothing behind this stream will be looked at, with this code, and closes.
    GoAway(u32, u32),
    /// Closes without a word.
    Close,
}

/// Does so with each request in turn, and the last with all others. Its list grows with what
/// has been asked: method and the number of the connection.
pub(crate) async fn start(script: &[Do]) -> (SocketAddr, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let (script, asked) = (script.to_vec(), seen.clone());
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, connection, script.clone(), asked.clone()));
        }
    });
    (addr, seen)
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    script: Vec<Do>,
    seen: Arc<Mutex<Vec<usize>>>,
) -> Option<()> {
    stream.read_exact(&mut [0; PREFACE]).await.ok()?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.ok()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await.ok()?;
        let id = u32::from_be_bytes(id);
        if kind == SETTINGS && flags & LAST == 0 {
            stream.write_all(&frame(SETTINGS, LAST, 0, &[])).await.ok()?;
        }
        if kind != HEADERS {
            continue;
        }
        let turn = {
            let mut seen = seen.lock().unwrap();
            seen.push(connection);
            seen.len() - 1
        };
        let act = script.get(turn).or(script.last()).copied()?;
        let answer = match act {
            // Indexed in HPACK's static table: `:status: 204`.
            Do::Answer => frame(HEADERS, LAST | END_HEADERS, id, &[0x89]),
            Do::Reset(code) => frame(RST_STREAM, 0, id, &code.to_be_bytes()),
            Do::GoAway(last, code) => {
                frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
            }
            Do::Close => Vec::new(),
        };
        stream.write_all(&answer).await.ok()?;
        if matches!(act, Do::GoAway(..) | Do::Close) {
            stream.shutdown().await.ok()?;
            // Its client has everything, so that no reset overtakes it.
            let mut rest = Vec::new();
            within(stream.read_to_end(&mut rest)).await.ok()?;
            return None;
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
