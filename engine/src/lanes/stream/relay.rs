//! Carrying bytes both ways until both sides have finished.
//!
//! An end is carried over: a side that finishes may still be answered. Small amounts are copied
//! through a buffer that all connections of the thread share; where much came at once there is
//! more to come, and the kernel moves it through a pipe (`splice`) until less comes. What one
//! side does not take is held, and no more is read from the other meanwhile.

use super::pipe::{Pipe, Pipes, Spliced};
use super::socket::{Socket, TURN};
use super::{Deadlines, Meter, far};
use futures::future::{Either, select, try_join};
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is copied at a time.
const CHUNK: usize = 32 * 1024;
/// From where on it costs less to have the kernel move what comes than to copy it. Measured:
/// docs/benchmarks.md.
const MUCH: usize = 8 * 1024;

/// What all connections of a thread share to carry bytes.
#[derive(Debug)]
pub(super) struct Tools {
    chunk: RefCell<Box<[u8]>>,
    pipes: Pipes,
}

impl Default for Tools {
    fn default() -> Tools {
        Tools { chunk: RefCell::new(vec![0; CHUNK].into()), pipes: Pipes::default() }
    }
}

/// How a relay ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Both sides have finished.
    Finished,
    /// Neither said a word for too long.
    Idle,
    /// One side broke, or took nothing for too long.
    Broken(io::Error),
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the client.
    Up,
    /// To it.
    Down,
}

/// Carries bytes between two sockets.
pub(super) async fn between(
    client: &Socket,
    upstream: &Socket,
    tools: &Tools,
    meter: &Meter,
    deadlines: Deadlines,
) -> Ended {
    let (patience, is_alone) = (deadlines.write, &Cell::new(false));
    let pump = |from, to, way| Pump { from, to, way, tools, meter, patience, is_alone };
    // Where they are they stay: passed on by value they would be copied, and they are large.
    let up = pin!(pump(client, upstream, Way::Up).run());
    let down = pin!(pump(upstream, client, Way::Down).run());
    until_idle(try_join(up, down), meter, deadlines.idle).await
}

async fn until_idle(
    both: impl Future<Output = io::Result<((), ())>>,
    meter: &Meter,
    limit: Duration,
) -> Ended {
    match select(pin!(both), pin!(idle(meter, limit))).await {
        Either::Left((Ok(_), _)) => Ended::Finished,
        Either::Left((Err(error), _)) => Ended::Broken(error),
        Either::Right(_) => Ended::Idle,
    }
}

/// Ends when nothing has moved for so long. Looks when it could be so, not at every byte.
pub(super) async fn idle(meter: &Meter, limit: Duration) {
    loop {
        let since = meter.moved().elapsed();
        let Some(left) = limit.checked_sub(since).filter(|left| !left.is_zero()) else { return };
        monoio::time::sleep(far(left)).await;
    }
}

/// What came of one step of a pump.
struct Step {
    count: usize,
    /// Whether there was no more just now: reading on would be in vain.
    is_drained: bool,
    /// Whether there never will be more.
    is_last: bool,
}

/// One way between two sockets.
struct Pump<'a> {
    from: &'a Socket,
    to: &'a Socket,
    way: Way,
    tools: &'a Tools,
    meter: &'a Meter,
    /// How long the other side may take nothing of what waits for it.
    patience: Duration,
    /// Whether the other way has ended.
    is_alone: &'a Cell<bool>,
}

impl Pump<'_> {
    async fn run(self) -> io::Result<()> {
        // A client has mostly spoken by now; an upstream mostly waits to be spoken to.
        let (mut left, mut is_drained) = (TURN, self.way == Way::Down);
        let mut is_much = false;
        loop {
            if is_drained {
                self.from.readable().await?;
            }
            let step = if is_much { self.splice().await? } else { self.copy().await? };
            if step.is_last {
                break;
            }
            (is_drained, is_much) = (step.is_drained, step.count >= MUCH);
            left = left.saturating_sub(step.count);
            if left == 0 {
                (left, is_drained) = (TURN, false);
                self.from.pause().await?;
            }
        }
        // The second to end leaves it to closing, which follows and says the same.
        if !self.is_alone.replace(true) {
            self.to.finish();
        }
        Ok(())
    }

    /// Copies what comes next.
    async fn copy(&self) -> io::Result<Step> {
        let (count, held) = loop {
            if let Some(copied) = self.copy_now()? {
                break copied;
            }
            self.from.readable().await?;
        };
        if !held.is_empty() {
            self.push(&held).await?;
        }
        Ok(Step { count, is_drained: count < CHUNK, is_last: count == 0 })
    }

    /// What there is to copy, if anything is, and what of it the other side did not take.
    fn copy_now(&self) -> io::Result<Option<(usize, Vec<u8>)>> {
        let mut chunk = self.tools.chunk.borrow_mut();
        let Some(count) = self.from.read(&mut chunk)? else { return Ok(None) };
        let read = chunk.get(..count).unwrap_or_default();
        if self.way == Way::Up {
            self.meter.moved_up(count);
        }
        let written = if read.is_empty() { 0 } else { self.to.write(read)?.unwrap_or(0) };
        if self.way == Way::Down {
            self.meter.moved_down(written);
        }
        Ok(Some((count, read.get(written..).unwrap_or_default().to_vec())))
    }

    /// Has the other side take the rest.
    async fn push(&self, mut held: &[u8]) -> io::Result<()> {
        while !held.is_empty() {
            self.until_writable().await?;
            if let Some(count) = self.to.write(held)? {
                self.meter.moved_on();
                if self.way == Way::Down {
                    self.meter.moved_down(count);
                }
                held = held.get(count..).unwrap_or_default();
            }
        }
        Ok(())
    }

    async fn until_writable(&self) -> io::Result<()> {
        let waits = monoio::time::timeout(far(self.patience), self.to.writable());
        waits.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Has the kernel move bytes for as long as many come and it is this side's turn.
    async fn splice(&self) -> io::Result<Step> {
        let Some(mut pipe) = self.tools.pipes.take() else { return self.copy().await };
        let mut count = 0;
        let is_last = loop {
            match pipe.fill(self.from.io())? {
                Spliced::Moved(more) => {
                    if self.way == Way::Up {
                        self.meter.moved_up(more);
                    }
                    self.drain(&mut pipe).await?;
                    count += more;
                    if count >= TURN || more < CHUNK {
                        break false;
                    }
                }
                Spliced::Nothing => break false,
                Spliced::Ended => break true,
                Spliced::Impossible => {
                    self.tools.pipes.forbid();
                    return self.copy().await;
                }
            }
        };
        self.tools.pipes.give_back(pipe);
        Ok(Step { count, is_drained: count < TURN, is_last })
    }

    async fn drain(&self, pipe: &mut Pipe) -> io::Result<()> {
        while pipe.held() > 0 {
            match pipe.empty(self.to.io())? {
                Some(count) => {
                    self.meter.moved_on();
                    if self.way == Way::Down {
                        self.meter.moved_down(count);
                    }
                }
                None => self.until_writable().await?,
            }
        }
        Ok(())
    }
}

/// Carries bytes between two sides of which one or both speak TLS.
pub(super) async fn through<C, U>(
    client: C,
    upstream: U,
    tools: &Tools,
    meter: &Meter,
    deadlines: Deadlines,
) -> Ended
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (from_client, to_client) = tokio::io::split(client);
    let (from_upstream, to_upstream) = tokio::io::split(upstream);
    let up = poured(from_client, to_upstream, Way::Up, tools, meter, deadlines.write);
    let down = poured(from_upstream, to_client, Way::Down, tools, meter, deadlines.write);
    until_idle(try_join(up, down), meter, deadlines.idle).await
}

async fn poured(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    tools: &Tools,
    meter: &Meter,
    patience: Duration,
) -> io::Result<()> {
    let mut held = Held::default();
    loop {
        let read = std::future::poll_fn(|cx| {
            held.fill(cx, Pin::new(&mut from), Pin::new(&mut to), tools, meter, way)
        });
        if read.await? == 0 {
            break;
        }
        while !held.is_empty() {
            let write = std::future::poll_fn(|cx| held.pour(cx, Pin::new(&mut to)));
            let written = monoio::time::timeout(far(patience), write).await;
            let count = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            meter.moved_on();
            if way == Way::Down {
                meter.moved_down(count);
            }
        }
        std::future::poll_fn(|cx| Pin::new(&mut to).poll_flush(cx)).await?;
    }
    std::future::poll_fn(|cx| Pin::new(&mut to).poll_shutdown(cx)).await
}

/// What one side did not take at once.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    taken: usize,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// Reads what comes next and writes what of it fits, and says how much it was.
    fn fill(
        &mut self,
        cx: &mut Context<'_>,
        from: Pin<&mut impl AsyncRead>,
        to: Pin<&mut impl AsyncWrite>,
        tools: &Tools,
        meter: &Meter,
        way: Way,
    ) -> Poll<io::Result<usize>> {
        let mut chunk = tools.chunk.borrow_mut();
        let mut buffer = ReadBuf::new(&mut chunk);
        ready!(from.poll_read(cx, &mut buffer))?;
        let read = buffer.filled();
        let mut written = 0;
        if !read.is_empty() {
            if way == Way::Up {
                meter.moved_up(read.len());
            }
            if let Poll::Ready(count) = to.poll_write(cx, read) {
                written = count?;
            }
            if way == Way::Down {
                meter.moved_down(written);
            }
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(read.get(written..).unwrap_or_default());
        self.taken = 0;
        if self.bytes.is_empty() {
            self.bytes = Vec::new(); // an idle connection holds no buffer
        }
        Poll::Ready(Ok(read.len()))
    }

    /// Writes what fits of what is left.
    fn pour(
        &mut self,
        cx: &mut Context<'_>,
        to: Pin<&mut impl AsyncWrite>,
    ) -> Poll<io::Result<usize>> {
        let left = self.bytes.get(self.taken..).unwrap_or_default();
        let count = ready!(to.poll_write(cx, left))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.taken += count;
        Poll::Ready(Ok(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::ring::{self, Driver};
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::thread;

    /// Both ends of a connection, the first for a thread of streams.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let near = listener.accept().unwrap().0;
        near.set_nonblocking(true).unwrap();
        (near, far)
    }

    /// Sends so much one way and a word back, and says how many pipes were needed.
    fn carried(driver: Driver, much: usize, tools: &Tools) -> (Ended, usize) {
        let ((near, mut client), (far, mut upstream)) = (pair(), pair());
        let sending = thread::spawn(move || {
            client.write_all(&vec![7; much]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            client.read_to_end(&mut Vec::new()).unwrap()
        });
        let receiving = thread::spawn(move || {
            let count = upstream.read_to_end(&mut Vec::new()).unwrap();
            upstream.write_all(b"done").unwrap();
            count
        });
        let (meter, patience) = (Meter::new(), Duration::from_secs(20));
        let ended = ring::run(driver, async |_| {
            let (client, upstream) = (Socket::new(near).unwrap(), Socket::new(far).unwrap());
            let deadlines = Deadlines { idle: patience, write: patience };
            between(&client, &upstream, tools, &meter, deadlines).await
        });
        assert_eq!((sending.join().unwrap(), receiving.join().unwrap()), (4, much));
        assert_eq!((meter.sent.get(), meter.received.get()), (4, much as u64));
        (ended.unwrap(), tools.pipes.kept())
    }

    #[test]
    fn the_kernel_moves_what_is_much_and_nothing_else() {
        for driver in [ring::probe().driver, Driver::Epoll] {
            for (much, is_moved) in [(1_000, false), (16 << 20, true)] {
                let (ended, pipes) = carried(driver, much, &Tools::default());
                assert!(matches!(ended, Ended::Finished), "{ended:?}");
                assert_eq!(pipes > 0, is_moved, "{driver} {much}");
            }
        }
    }

    #[test]
    fn where_the_kernel_cannot_it_is_copied() {
        let tools = Tools::default();
        tools.pipes.forbid();
        let (ended, pipes) = carried(ring::probe().driver, 16 << 20, &tools);
        assert!(matches!(ended, Ended::Finished) && pipes == 0, "{ended:?}");
    }
}
