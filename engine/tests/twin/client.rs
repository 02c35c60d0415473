//! Says a stream to an engine, and reads all that comes of it.

use super::said::{CLEAR, Step, Stream, TAG};
use super::wire::{Kind, Message};
use socket2::SockRef;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

/// Whatever takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Asked last, for which a connection that is kept has an answer.
const LAST: &[u8] = b"GET /nowhere HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// What a client got.
#[derive(Debug, Default)]
pub(crate) struct Got {
    /// Each with the number of the request it was to.
    pub(crate) answers: Vec<(usize, Message)>,
    pub(crate) end: End,
    answered: usize,
    /// How much has come of another protocol, if that is spoken.
    other: Option<usize>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum End {
    /// By the client.
    #[default]
    Ours,
    Closed,
    Reset,
    Hung,
}

/// Has a connection of its own.
pub(crate) async fn play(addr: SocketAddr, stream: &Stream, slot: &str, run: u64) -> Got {
    let connection = TcpStream::connect(addr).await.unwrap();
    connection.set_nodelay(true).unwrap();
    let (read, write) = connection.into_split();
    let (got, heard) = watch::channel(Got::default());
    let to_head = |number: usize| stream.requests.get(number).is_some_and(|r| r.method == "HEAD");
    tokio::select! {
        () = hear(read, to_head, &got) => {}
        () = say(write, addr, stream, slot, run, heard) => {}
    }
    got.send_replace(Got::default())
}

/// Says all there is to say, as long as it is answered. It ends if the client is to leave.
async fn say(
    mut write: OwnedWriteHalf,
    addr: SocketAddr,
    stream: &Stream,
    slot: &str,
    run: u64,
    mut heard: watch::Receiver<Got>,
) {
    for step in stream.steps(slot, run) {
        match step {
            Step::Say(burst) => {
                for piece in stream.pieces(&burst) {
                    // Who is gone does not hear it.
                    write.write_all(piece).await.unwrap_or_default();
                    // Whoever reads may read this piece before the next one comes.
                    tokio::task::yield_now().await;
                }
            }
            Step::Await(answers) => {
                drop(heard.wait_for(|got| got.answered >= answers).await);
            }
            Step::AwaitWord(number) => {
                drop(heard.wait_for(|got| got.answers.iter().any(|(to, _)| *to == number)).await);
            }
            Step::AwaitOther(least) => {
                let is_there = |got: &Got| got.other.is_some_and(|other| other >= least);
                let last = stream.requests.len();
                let heard = heard.wait_for(|got| is_there(got) || got.answered == last).await;
                if heard.is_ok_and(|got| got.other.is_none()) {
                    break;
                }
            }
            Step::Clear => clear(addr, slot).await,
            Step::Stop => {
                write.shutdown().await.unwrap_or_default();
                return std::future::pending().await;
            }
            Step::Reset => {
                SockRef::from(write.as_ref()).set_linger(Some(Duration::ZERO)).unwrap_or_default();
                return;
            }
        }
    }
    write.write_all(LAST).await.unwrap_or_default();
    std::future::pending().await
}

/// Asks for something that may be asked again: where a connection to the origin has just ended, this
/// finds out, and not somebody who may not ask again.
pub(crate) async fn clear(addr: SocketAddr, slot: &str) {
    let mut connection = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "GET {slot}/b HTTP/1.1\r\nHost: a.test\r\n{TAG}: {CLEAR}\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer)).await;
    if read.is_ok() && answer.starts_with(b"HTTP/1.1 200 ") {
        return;
    }
    let answer = String::from_utf8_lossy(&answer);
    let id = answer.lines().find_map(|line| line.strip_prefix("X-Kong-Request-Id: "));
    panic!("{answer}\n{}", super::journal::with(&[id.unwrap_or("request_id"), slot]));
}

/// Reads to the end, telling what comes.
async fn hear(mut read: OwnedReadHalf, to_head: impl Fn(usize) -> bool, got: &watch::Sender<Got>) {
    let mut buffer = Vec::new();
    loop {
        let more = tokio::time::timeout(PATIENCE, read.read_buf(&mut buffer)).await;
        let end = match more {
            Ok(Ok(1..)) => None,
            Ok(Ok(0)) => Some(End::Closed),
            Ok(Err(_)) => Some(End::Reset),
            Err(_) => Some(End::Hung),
        };
        while !buffer.is_empty() {
            let number = got.borrow().answered;
            if let Some(other) = Message::other(&buffer) {
                got.send_modify(|got| got.other = Some(other));
            }
            let kind = Kind::Response { to_head: to_head(number) };
            let Some((answer, length)) = Message::read(&buffer, kind, end.is_some()) else { break };
            buffer.drain(..length);
            got.send_modify(|got| {
                got.answered += usize::from(!answer.is_interim());
                got.answers.push((number, answer));
            });
        }
        if let Some(end) = end {
            return got.send_modify(|got| got.end = end);
        }
    }
}
