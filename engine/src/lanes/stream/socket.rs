//! A TCP connection on a thread of streams: calls that never wait, and waiting for readiness.
//!
//! Nothing but readiness is asked of the runtime, so that whatever waits may be dropped at any
//! time: no byte, no connection and no buffer is with the kernel meanwhile, and an idle
//! connection holds no buffer at all. The price is a second descriptor of each socket, since
//! the runtime must own the one it waits for.

use super::Waits;
use crate::worker::ring;
use futures::FutureExt as _;
use socket2::{Domain, Protocol, Type};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes a connection may read before the others have a turn.
pub(super) const TURN: usize = 256 * 1024;

/// A connection.
#[derive(Debug)]
pub(crate) struct Socket {
    io: TcpStream,
    ready: monoio::net::TcpStream,
}

impl Socket {
    /// Takes over a connection that does not block.
    pub(crate) fn new(io: TcpStream) -> io::Result<Socket> {
        io.set_nodelay(true)?;
        Socket::registered(io)
    }

    fn registered(io: TcpStream) -> io::Result<Socket> {
        let ready = monoio::net::TcpStream::from_std(io.try_clone()?)?;
        Ok(Socket { io, ready })
    }

    /// Connects to an upstream. Without a deadline: the caller has one.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Socket> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = socket2::Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        let is_under_way = |error: &io::Error| {
            error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
        };
        match socket.connect(&address.into()) {
            Err(error) if !is_under_way(&error) => return Err(error),
            _ => {}
        }
        let socket = Socket::registered(socket.into())?;
        socket.writable().await?;
        socket.io.take_error()?.map_or(Ok(socket), Err)
    }

    /// The same connection for whoever calls the kernel.
    pub(super) fn io(&self) -> &TcpStream {
        &self.io
    }

    /// Waits until there is something to read, or nothing more will come; sometimes for less.
    pub(super) async fn readable(&self) -> io::Result<()> {
        if !monoio::utils::is_legacy() {
            return self.ready.readable(false).await;
        }
        // With epoll, the runtime remembers what it was told until the kernel says otherwise, and
        // would ask after each wait as well. Asking once, before, is enough.
        if let Some(answer) = self.ready.readable(false).now_or_never() {
            return answer;
        }
        self.ready.readable(true).await
    }

    /// Waits until something can be written, or never will.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.ready.writable(false).await
    }

    /// Lets others go on, and then waits until there is something to read.
    pub(super) async fn pause(&self) -> io::Result<()> {
        ring::step_aside().await;
        self.readable().await
    }

    /// Reads what there is; nothing if there is nothing yet. Zero bytes are the end.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        now(|| (&self.io).read(buffer))
    }

    /// The same, and leaves it there.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        now(|| self.io.peek(buffer))
    }

    /// Writes what fits, if anything does.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        now(|| (&self.io).write(bytes))
    }

    /// Writes all, however long it takes.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes)? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(count) => bytes = bytes.get(count..).unwrap_or_default(),
                None => self.writable().await?,
            }
        }
        Ok(())
    }

    /// Says that nothing more will be written. One whose peer has gone needs no telling.
    pub(super) fn finish(&self) {
        let _gone_already = self.io.shutdown(Shutdown::Write);
    }
}

/// What a call that does not block gives now, if it gives anything.
pub(super) fn now<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
    loop {
        match call() {
            Ok(given) => return Ok(Some(given)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same connection for a library that wants to poll.
pub(super) struct Polled {
    socket: Rc<Socket>,
    /// Read already, and to be read again first.
    ahead: Vec<u8>,
    /// How much of it has been.
    taken: usize,
    /// How much may be read before others have a turn.
    credit: usize,
    reading: Option<Waits>,
    writing: Option<Waits>,
}

impl Polled {
    pub(super) fn new(socket: Rc<Socket>, ahead: Vec<u8>) -> Polled {
        Polled { socket, ahead, taken: 0, credit: TURN, reading: None, writing: None }
    }
}

impl AsyncRead for Polled {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(left) = this.ahead.get(this.taken..).filter(|left| !left.is_empty()) {
            let count = left.len().min(buffer.remaining());
            buffer.put_slice(left.get(..count).unwrap_or_default());
            this.taken += count;
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Some(waits) = &mut this.reading {
                let waited = ready!(waits.as_mut().poll(cx));
                this.reading = None;
                waited?;
            }
            let socket = this.socket.clone();
            if this.credit == 0 {
                this.credit = TURN;
                this.reading = Some(Box::pin(async move { socket.pause().await }));
                continue;
            }
            match socket.read(buffer.initialize_unfilled())? {
                Some(count) => {
                    buffer.advance(count);
                    this.credit = this.credit.saturating_sub(count);
                    return Poll::Ready(Ok(()));
                }
                None => this.reading = Some(Box::pin(async move { socket.readable().await })),
            }
        }
    }
}

impl AsyncWrite for Polled {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            if let Some(waits) = &mut this.writing {
                let waited = ready!(waits.as_mut().poll(cx));
                this.writing = None;
                waited?;
            }
            let socket = this.socket.clone();
            match socket.write(bytes)? {
                Some(count) => return Poll::Ready(Ok(count)),
                None => this.writing = Some(Box::pin(async move { socket.writable().await })),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.finish();
        Poll::Ready(Ok(()))
    }
}
