//! Says a stream to an engine, and reads all that comes of it.

use super::said::Stream;
use super::wire::{Kind, Message};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

/// Whatever takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Asked last, for which a connection that is kept has an answer.
pub(crate) const LAST: &str = "GET /nowhere HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// What a client got.
#[derive(Debug, PartialEq)]
pub(crate) struct Got {
    pub(crate) answers: Vec<Message>,
    pub(crate) end: End,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Closed,
    Reset,
    Hung,
}

/// Has a connection of its own.
pub(crate) async fn play(addr: SocketAddr, stream: &Stream, route: &str, run: u64) -> Got {
    let connection = TcpStream::connect(addr).await.unwrap();
    connection.set_nodelay(true).unwrap();
    let (read, write) = connection.into_split();
    let (answered, answers) = watch::channel(0);
    let to_head = |number: usize| stream.requests.get(number).is_some_and(|r| r.method == "HEAD");
    let (got, ()) =
        tokio::join!(hear(read, to_head, answered), say(write, stream, route, run, answers));
    got
}

/// Says all there is to say, as long as it is answered.
async fn say(
    mut write: OwnedWriteHalf,
    stream: &Stream,
    route: &str,
    run: u64,
    mut answers: watch::Receiver<usize>,
) {
    for (burst, expected) in stream.bursts(route, run) {
        for piece in stream.pieces(&burst) {
            if write.write_all(piece).await.is_err() {
                break;
            }
            // Whoever reads may read this piece before the next one comes.
            tokio::task::yield_now().await;
        }
        if answers.wait_for(|answers| *answers >= expected).await.is_err() {
            break;
        }
    }
    // Who is gone does not hear it.
    write.write_all(LAST.as_bytes()).await.unwrap_or_default();
    drop(answers.wait_for(|_| false).await); // until all has been heard
}

/// Reads to the end, telling how many requests have been answered.
async fn hear(
    mut read: OwnedReadHalf,
    to_head: impl Fn(usize) -> bool,
    answered: watch::Sender<usize>,
) -> Got {
    let (mut buffer, mut answers) = (Vec::new(), Vec::new());
    loop {
        let more = tokio::time::timeout(PATIENCE, read.read_buf(&mut buffer)).await;
        let end = match more {
            Ok(Ok(1..)) => None,
            Ok(Ok(0)) => Some(End::Closed),
            Ok(Err(_)) => Some(End::Reset),
            Err(_) => Some(End::Hung),
        };
        while end.is_none() || !buffer.is_empty() {
            let kind = Kind::Response { to_head: to_head(*answered.borrow()) };
            let Some((answer, length)) = Message::read(&buffer, kind, end.is_some()) else { break };
            buffer.drain(..length);
            let is_final = !answer.is_interim();
            answers.push(answer);
            if is_final {
                answered.send_modify(|answered| *answered += 1);
            }
        }
        if let Some(end) = end {
            return Got { answers, end };
        }
    }
}
