//! A connection's life: wait, read one head, decide, let it be carried, repeat.
//!
//! Every HTTP/1 request enters here, and where one ends and the next begins is
//! decided here only: whoever carries a request gets a [`BoundedStream`] that shows
//! that one request. While nothing is happening a connection holds no buffer and at
//! most one timer. A panic of the carrier unwinds through [`serve`] and costs this
//! connection; whoever spawned it counts that.

pub mod framing; // where a body ends
pub mod head; // the parser: strict, bounded, one pass
pub mod proxy_protocol; // who is behind a balancer
pub mod stream; // what a lane is given for one request
pub mod transport; // what is needed of a connection underneath

mod alarm; // one timer for a connection's life
mod close; // leaving so that the client reads the answer
mod conn; // the connection and its buffers
mod gather; // waiting for a whole body
mod parcel; // on the way to another runtime
mod spool; // where it is kept meanwhile
mod status; // what a lane answers, seen from what it writes

pub use gather::{Patience, Ungathered};
pub use parcel::{Moved, Parcel};
pub use spool::Buffering;
pub(crate) use spool::{Lost, Spool};
pub use stream::{BoundedStream, Homecoming};
pub use transport::{Portable, Timer, Transport};

use crate::proxy::head::Head;
use crate::proxy::hygiene::{self, Refusal, Said, Terms};
pub(crate) use alarm::Alarm;
use bytes::BytesMut;
use conn::Conn;
use head::{Limits, Parser, Progress};
use pingora::protocols::SocketDigest;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use stream::Home;
use tokio::sync::watch;
use tokio::time::Instant;

/// How the door treats its clients. The defaults are Kong's, which are nginx's.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How large a head may be.
    pub head: Limits,
    /// How long a head may take, from its first byte to its last; and how long a new
    /// connection may wait before its first byte.
    pub head_timeout: Duration,
    /// How long a client may pause within a body.
    pub body_timeout: Duration,
    /// How long it may take nothing of what it is sent.
    pub send_timeout: Duration,
    /// How long a connection may stay open between two requests.
    pub idle_timeout: Duration,
    /// How many requests one connection may make.
    pub requests: u32,
    /// Whether HTTP/2 may be spoken without having been negotiated (prior knowledge).
    pub http2: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            head: Limits::default(),
            head_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            requests: 10_000,
            http2: false,
        }
    }
}

/// One request, as far as its head says.
#[derive(Debug)]
pub struct Request {
    /// What was asked; already inspected, its hop-by-hop fields gone.
    pub head: Box<Head>,
    /// What its framing and connection fields mean.
    pub terms: Terms,
    /// When its first byte was read.
    pub started: Instant,
    /// The how many-th of its connection, from 1.
    pub number: u32,
}

/// What becomes of a connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The answer is complete and promised that the connection stays open.
    Keep,
    /// Nothing more can be said on it.
    Close,
    /// Nothing has been answered yet: whoever gets the connection next does that.
    Moved,
}

/// What happens to requests: the pipeline and its lanes. One per connection, or
/// shared; it knows the client's address, the door does not.
pub trait Carry<T: Transport> {
    /// Answers one request. `stream` yields its body and takes the response; it need
    /// not be given back, nor the body read, nor the response flushed.
    fn carry(&self, request: Request, stream: BoundedStream<T>) -> impl Future<Output = Next>;

    /// Writes a complete response, `Connection: close` included, to a request that is
    /// not carried.
    fn refuse(&self, refusal: Refusal, said: Said<'_>, reply: &mut BytesMut);
}

/// How [`serve`] ended.
#[derive(Debug)]
pub enum Ending<T: Transport> {
    /// The connection is over.
    Closed,
    /// The client speaks HTTP/2 from its first byte on: for Pingora's `process_new`.
    Http2(BoundedStream<T>),
    /// It goes on elsewhere, see [`resume`].
    Moved(Moved<T>),
}

/// Serves one client until either side has had enough.
///
/// Once `draining` is true the next response ends the connection; a connection that
/// waits for a request goes on waiting, since closing it would lose a request under
/// way, and is the caller's to drop when its patience ends.
pub fn serve<T: Transport, C: Carry<T>>(
    io: T,
    digest: Arc<SocketDigest>,
    options: &Options,
    draining: &watch::Receiver<bool>,
    carrier: &C,
) -> impl Future<Output = Ending<T>> {
    go_on(Box::new(Conn::new(io, digest)), Home::new(), 1, options, draining, carrier)
}

/// Serves on where a connection was [moved](Ending::Moved) from: `carry` answers the request that was
/// under way, whose terms these are. Then as [`serve`] does.
pub async fn resume<T: Transport, C: Carry<T>, F: Future<Output = Next>>(
    (io, parcel): (T, Parcel),
    terms: Terms,
    carry: impl FnOnce(BoundedStream<T>) -> F,
    options: &Options,
    draining: &watch::Receiver<bool>,
    carrier: &C,
) -> Ending<T> {
    let home = Home::new();
    let (mut conn, number) = parcel.open(io);
    conn.begin(&terms);
    let next = carry(BoundedStream::lend(conn, &home)).await;
    let Some(conn) = home.take() else { return Ending::Closed };
    let keeps = terms.keep_alive && next == Next::Keep;
    match conclude(conn, keeps, options.send_timeout).await {
        Some(conn) => go_on(conn, home, number + 1, options, draining, carrier).await,
        None => Ending::Closed,
    }
}

/// The same for a client that speaks HTTP/2.
pub fn resume_http2<T: Transport>(io: T, parcel: Parcel) -> BoundedStream<T> {
    BoundedStream::transparent(parcel.open(io).0)
}

/// Serves a connection from its `first` request of those to come.
async fn go_on<T: Transport, C: Carry<T>>(
    mut conn: Box<Conn<T>>,
    home: Arc<Home<T>>,
    first: u32,
    options: &Options,
    draining: &watch::Receiver<bool>,
    carrier: &C,
) -> Ending<T> {
    for number in first..=options.requests.max(1) {
        let mut request = match next_request(&mut conn, options, number).await {
            Ok(request) => request,
            Err(Stop::Gone) => return Ending::Closed,
            Err(Stop::Preface) => return Ending::Http2(BoundedStream::transparent(conn)),
            Err(Stop::Refused(refusal, head)) => {
                let line = head::begun_line(&conn.rd, options.head.line);
                let said = head.as_deref().map_or(Said::Line(line), Said::Head);
                tracing::debug!(%refusal, "request refused");
                let mut reply = BytesMut::new();
                carrier.refuse(refusal, said, &mut reply);
                close::refuse(conn, options.send_timeout, reply).await;
                return Ending::Closed;
            }
        };
        request.terms.keep_alive &= number < options.requests && !*draining.borrow();
        let keeps = request.terms.keep_alive;

        conn.begin(&request.terms);
        let next = carrier.carry(request, BoundedStream::lend(conn, &home)).await;

        // A lane that has not let go of it yet keeps it, and closes it in the end.
        let Some(returned) = home.take() else { return Ending::Closed };
        if next == Next::Moved {
            return Ending::Moved(Moved::new(returned, number));
        }
        let keeps = keeps && next == Next::Keep;
        match conclude(returned, keeps, options.send_timeout).await {
            Some(returned) => conn = returned,
            None => return Ending::Closed,
        }
    }
    Ending::Closed
}

/// After a request: makes ready for another one, or parts.
async fn conclude<T: Transport>(
    mut conn: Box<Conn<T>>,
    keeps: bool,
    patience: Duration,
) -> Option<Box<Conn<T>>> {
    if !keeps || !close::settle(&mut conn, patience).await {
        close::part(conn, patience).await;
        return None;
    }
    conn.release();
    Some(conn)
}

/// Answers a client that has said nothing yet but was wrong to come here, and parts. It may take
/// `patience` to read something of the answer.
pub async fn turn_away<T: Transport, C: Carry<T>>(
    io: T,
    digest: Arc<SocketDigest>,
    refusal: Refusal,
    patience: Duration,
    carrier: &C,
) {
    tracing::debug!(%refusal, "connection refused");
    let mut reply = BytesMut::new();
    carrier.refuse(refusal, Said::Line(b""), &mut reply);
    let conn = Box::new(Conn::new(io, digest));
    close::refuse(conn, patience, reply).await;
}

/// Parts with a client whose connection was given away whole and let go of again. It may take
/// `patience` to read something of what is left.
pub async fn see_off<T: Transport>(homecoming: Homecoming<T>, patience: Duration) {
    if let Some(conn) = homecoming.take() {
        close::see_off(conn, patience).await;
    }
}

/// What came instead of a request.
enum Stop {
    /// The client left, or said nothing for too long.
    Gone,
    /// HTTP/2.
    Preface,
    /// A request that goes no further, with its head if it could be read.
    Refused(Refusal, Option<Box<Head>>),
}

/// Waits for a request, reads its head and decides its terms.
async fn next_request<T: Transport>(
    conn: &mut Conn<T>,
    options: &Options,
    number: u32,
) -> Result<Request, Stop> {
    let (mut head, started) = next_head(conn, options, number).await?;
    match hygiene::inspect(&mut head) {
        Ok(terms) => Ok(Request { head, terms, started, number }),
        Err(refusal) => Err(Stop::Refused(refusal, Some(head))),
    }
}

async fn next_head<T: Transport>(
    conn: &mut Conn<T>,
    options: &Options,
    number: u32,
) -> Result<(Box<Head>, Instant), Stop> {
    let refused = |refusal| Stop::Refused(refusal, None);
    let patience = if number == 1 { options.head_timeout } else { options.idle_timeout };
    let mut parser = Parser::new(options.head);
    let mut came = Instant::now();
    let mut deadline = came + patience;
    let mut started = None;
    loop {
        match parser.advance(&conn.rd).map_err(refused)? {
            Progress::More => {}
            Progress::Preface if options.http2 && number == 1 => return Err(Stop::Preface),
            Progress::Preface => return Err(refused(Refusal::Version)),
            Progress::Complete(len) => {
                let head = parser.finish(take(&mut conn.rd, len));
                return head.map(|head| (head, started.unwrap_or(came))).ok_or(Stop::Gone);
            }
        }
        if started.is_none() && !parser.is_untouched(&conn.rd) {
            started = Some(came);
            deadline = came + options.head_timeout;
        }
        match more(conn, deadline).await {
            More::Came => came = Instant::now(),
            More::TooLate if started.is_some() => return Err(refused(Refusal::HeadTimeout)),
            More::TooLate | More::Gone => return Err(Stop::Gone),
        }
    }
}

/// The first `len` bytes. The whole buffer goes along when nothing else is in it, so
/// that its spare room serves the head's edits.
fn take(buffer: &mut BytesMut, len: usize) -> BytesMut {
    if buffer.len() == len { std::mem::take(buffer) } else { buffer.split_to(len) }
}

enum More {
    Came,
    Gone,
    TooLate,
}

/// Reads something into the connection's buffer, which exists only while there is
/// something in it.
async fn more<T: Transport>(conn: &mut Conn<T>, deadline: Instant) -> More {
    poll_fn(|cx| {
        if conn.eof || !conn.rd.is_empty() || conn.io.poll_readable(cx).is_ready() {
            match conn.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => return Poll::Ready(More::Came),
                Poll::Ready(_) => return Poll::Ready(More::Gone),
                Poll::Pending if conn.rd.is_empty() => conn.rd = BytesMut::new(),
                Poll::Pending => {}
            }
        }
        conn.alarm.poll(deadline, cx).map(|()| More::TooLate)
    })
    .await
}
