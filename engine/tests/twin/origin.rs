//! An origin that does what it was told to do with each request, and remembers every one.

use super::act::{Act, After, Answered};
use super::said::{CLEAR, TAG, filling};
use super::wire::{Kind, Message};
use socket2::SockRef;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Whatever takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Listens at an address of its own, so that no two clients share its connections.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    /// What to do with the requests of this run, by their numbers.
    acts: Vec<Act>,
    /// What came, each with its number.
    came: Vec<(usize, Message)>,
    run: u64,
    /// Of this run, so many conversations in another protocol have not ended.
    open: usize,
}

impl Book {
    /// What came in another protocol, after the request of this number.
    fn switched(&mut self, run: u64, number: usize, said: Vec<u8>) {
        if run != self.run {
            return;
        }
        self.open -= 1;
        if let Some((_, message)) = self.came.iter_mut().find(|(other, _)| *other == number) {
            message.body = said;
        }
    }
}

impl Origin {
    pub(crate) async fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Origin { addr: listener.local_addr().unwrap(), book: Arc::default() };
        let book = origin.book.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream, book.clone()));
            }
        });
        origin
    }

    /// What to do from now on.
    pub(crate) fn prepare(&self, run: u64, acts: Vec<Act>) {
        *self.book.lock().unwrap() = Book { acts, came: Vec::new(), run, open: 0 };
    }

    /// What came meanwhile, once nobody says more: a conversation that its client has left ends here
    /// a little later.
    pub(crate) async fn take(&self) -> Vec<(usize, Message)> {
        let ended = async {
            while self.book.lock().unwrap().open > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("an upstream is told of the end");
        let mut came = std::mem::take(&mut self.book.lock().unwrap().came);
        came.sort_by_key(|(number, _)| *number);
        came
    }
}

async fn serve(mut stream: TcpStream, book: Arc<Mutex<Book>>) {
    let (mut buffer, mut ended, mut answered) = (Vec::new(), false, false);
    loop {
        // Requests may wait here one behind the other: this one's answer may have come early as well.
        if !answered && let Some(act) = early(&buffer, &book) {
            answered = true;
            let is_head = buffer.starts_with(b"HEAD ");
            if !answer(&mut stream, &act, is_head).await {
                return part(stream, buffer).await;
            }
        }
        if let Some((message, length)) = Message::read(&buffer, Kind::Request, ended) {
            if length == 0 {
                return;
            }
            buffer.drain(..length);
            if message.all(TAG).eq([CLEAR.as_bytes()]) {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap_or_default();
                continue;
            }
            let is_head = message.line.starts_with(b"HEAD ");
            if std::mem::take(&mut answered) {
                continue;
            }
            let Some((run, number, act)) = note(message, &book) else { return };
            if let Answered::Switched { turns, waits } = &act.body {
                let said = switch(stream, buffer, &act, turns, *waits).await;
                return book.lock().unwrap().switched(run, number, said);
            }
            if !answer(&mut stream, &act, is_head).await {
                return;
            }
            continue;
        }
        ended = !matches!(stream.read_buf(&mut buffer).await, Ok(1..));
    }
}

/// What to do at once with the request that begins so. Of such, only the head is remembered: how much
/// of the rest comes is a matter of chance.
fn early(buffer: &[u8], book: &Mutex<Book>) -> Option<Act> {
    let head = Message::head(buffer)?;
    let (run, number) = tag(&head)?;
    let mut book = book.lock().unwrap();
    let act = book.acts.get(number).filter(|act| run == book.run && act.early).cloned()?;
    book.came.push((number, head));
    Some(act)
}

/// Hears the rest of a request after the answer to it: if its client were not heard any more, it
/// might not read the answer either.
async fn part(mut stream: TcpStream, mut buffer: Vec<u8>) {
    stream.shutdown().await.unwrap_or_default();
    while matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {}
}

/// Says what it is told to; whether the connection goes on.
async fn answer(stream: &mut TcpStream, act: &Act, is_head: bool) -> bool {
    let bytes = act.says(is_head);
    if act.after == After::HangsUp {
        return false;
    }
    let resets = matches!(act.after, After::Resets(_));
    if resets {
        SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    let keeps = act.keeps(is_head);
    let mut pieces = bytes.chunks(act.most.max(bytes.len() / 30 + 1)).peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() && !keeps && !resets {
            // The end goes out with the last bytes, so that who has them all has it as well.
            SockRef::from(&*stream).set_tcp_cork(true).unwrap();
        }
        if stream.write_all(piece).await.is_err() {
            return false;
        }
        tokio::task::yield_now().await;
    }
    keeps
}

/// Says so, and goes on in the other protocol, in turns. What it hears.
async fn switch(
    mut stream: TcpStream,
    mut buffer: Vec<u8>,
    act: &Act,
    turns: &[(usize, usize)],
    waits: bool,
) -> Vec<u8> {
    stream.write_all(&act.says(false)).await.unwrap_or_default();
    let mut reads = 0;
    for (more, says) in turns {
        reads += more;
        while buffer.len() < reads && matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {}
        stream.write_all(&filling(*says)).await.unwrap_or_default();
    }
    while waits && matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {}
    buffer
}

/// Remembers it; what is to be done with it, if all of it came. What was broken off may come late:
/// it is nobody's any more.
fn note(message: Message, book: &Mutex<Book>) -> Option<(u64, usize, Act)> {
    let mut book = book.lock().unwrap();
    let (run, number) = tag(&message).unwrap_or((book.run, usize::MAX));
    let act = book.acts.get(number).filter(|_| run == book.run && message.whole).cloned();
    if run == book.run {
        book.came.push((number, message));
    }
    let act = act?;
    book.open += usize::from(matches!(act.body, Answered::Switched { .. }));
    Some((run, number, act))
}

fn tag(message: &Message) -> Option<(u64, usize)> {
    let tag = std::str::from_utf8(message.all(TAG).next()?).ok()?;
    let (run, number) = tag.split_once(' ')?;
    Some((run.parse().ok()?, number.parse().ok()?))
}
