//! An origin that does what requests tell it to, and remembers every one of them.

use super::act::Act;
use super::said::TAG;
use super::wire::{Kind, Message};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Listens at an address of its own, so that no two clients share its connections.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By the number of the run; each with its own number.
    runs: HashMap<u64, Vec<(usize, Message)>>,
    /// What says not what it is for.
    strays: Vec<Message>,
}

impl Origin {
    pub(crate) async fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Origin { addr: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = origin.seen.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream, seen.clone()));
            }
        });
        origin
    }

    /// What came of a run, and strays, which are not kept.
    pub(crate) fn take(&self, run: u64) -> Vec<(usize, Message)> {
        let mut seen = self.seen.lock().unwrap();
        let mut came = seen.runs.remove(&run).unwrap_or_default();
        came.extend(seen.strays.drain(..).map(|stray| (usize::MAX, stray)));
        came.sort_by_key(|(number, _)| *number);
        came
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let (mut buffer, mut ended) = (Vec::new(), false);
    loop {
        while let Some((message, length)) = Message::read(&buffer, Kind::Request, ended) {
            if length == 0 {
                return;
            }
            buffer.drain(..length);
            let Some(answer) = note(message, &seen) else { return };
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
        ended = !matches!(stream.read_buf(&mut buffer).await, Ok(1..));
    }
}

/// Remembers it; what is to be said to it, if anything.
fn note(message: Message, seen: &Mutex<Seen>) -> Option<Vec<u8>> {
    let mut seen = seen.lock().unwrap();
    let Some((run, number, act)) = tag(&message) else {
        seen.strays.push(message);
        return None;
    };
    let (whole, is_head) = (message.whole, message.line.starts_with(b"HEAD "));
    seen.runs.entry(run).or_default().push((number, message));
    whole.then(|| act.says(is_head))
}

fn tag(message: &Message) -> Option<(u64, usize, Act)> {
    let tag = std::str::from_utf8(message.all(TAG).next()?).ok()?;
    let (run, rest) = tag.split_once(' ')?;
    let (number, act) = rest.split_once(' ')?;
    Some((run.parse().ok()?, number.parse().ok()?, act.parse().ok()?))
}
